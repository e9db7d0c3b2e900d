//go:build !linux

package setup

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
)

// Configure fails: only Linux has been taught so far.
func Configure(name string, mtu int, addresses ...netip.Prefix) error {
	return fmt.Errorf("device %s: cannot be configured on %s: %w", name, runtime.GOOS, errors.ErrUnsupported)
}

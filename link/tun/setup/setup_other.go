//go:build !linux

package setup

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
)

// DefaultRoutes fails, as Configure does.
func DefaultRoutes(name string, m Metrics) error { return Configure(name, 0) }

// Configure fails: only Linux has been taught so far.
func Configure(name string, mtu int, addresses ...netip.Prefix) error {
	return fmt.Errorf("device %s: cannot be configured on %s: %w", name, runtime.GOOS, errors.ErrUnsupported)
}

//go:build !linux

package tun

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/sluicenet/sluice/api/link"
)

// Open fails: there is no TUN driver for this operating system yet.
func Open(cfg Config) (link.Link, error) {
	return nil, fmt.Errorf("tun: no driver for %s, only for linux: %w", runtime.GOOS, errors.ErrUnsupported)
}

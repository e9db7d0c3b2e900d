//go:build !linux

package tuntap

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/sluicenet/sluice/api/link"
)

// Open fails: there is no driver for this operating system yet.
func Open(cfg Config) (link.Link, error) {
	return nil, fmt.Errorf("%v: no driver for %s, only for linux: %w", cfg.Kind, runtime.GOOS, errors.ErrUnsupported)
}

//go:build !linux

package bridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/sluicenet/sluice/sim"
)

// Options are what is not in a file.
type Options struct {
	Capture      io.Writer
	WholeProcess bool
}

// A Bridge is two open devices and the link between them.
type Bridge struct{}

// Open fails: only Linux has been taught so far.
func Open(*File, Options) (*Bridge, error) {
	return nil, fmt.Errorf("bridge: there are no TUN devices on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

// Devices returns the names of the devices.
func (b *Bridge) Devices() [2]string { return [2]string{} }

// Close does nothing.
func (b *Bridge) Close() {}

// Network returns nil.
func (b *Bridge) Network() *sim.Network { return nil }

// Run fails.
func (b *Bridge) Run(context.Context) error { return errors.ErrUnsupported }

// Report returns an empty report.
func (b *Bridge) Report() *Report { return &Report{} }

//go:build !linux

package targets

import (
	"runtime"

	"errors"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/conformance"
)

// wireless says why the kernel cannot be put on a link of the suite's.
func wireless() error { return errors.New("the kernel is a stack on Linux only") }

func newKernelOnWire(*conformance.Env) (api.Stack, error) { return nil, wireless() }

func version() string { return runtime.GOOS }

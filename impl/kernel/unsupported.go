//go:build !linux

package kernel

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/sluicenet/sluice/api"
)

// Stack is the kernel's TCP. There is none on this system.
type Stack struct{ api.Stack }

// New reports that the kernel backend does not run on this system. The error
// matches errors.ErrUnsupported.
func New(Config) (*Stack, error) {
	return nil, fmt.Errorf("kernel backend on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

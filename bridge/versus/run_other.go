//go:build !linux

package versus

import (
	"context"
	"errors"
	"fmt"
)

// Compare fails: there is no Linux here.
func Compare(context.Context, Options) (*Report, error) {
	return nil, fmt.Errorf("a comparison with Linux wants Linux: %w", errors.ErrUnsupported)
}

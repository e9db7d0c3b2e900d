//go:build !linux

package packet

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/sluicenet/sluice/api/link"
)

func open(Config) (link.Link, error) {
	return nil, fmt.Errorf("packet: no driver for %s, only for linux: %w", runtime.GOOS, errors.ErrUnsupported)
}

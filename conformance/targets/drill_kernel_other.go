//go:build !linux

package targets

import (
	"errors"

	"github.com/sluicenet/sluice/conformance/drill"
)

// drillKernel: only Linux has network namespaces.
func drillKernel() (drill.Target, error) {
	return nil, errors.New("the target kernel needs Linux")
}

package conformance_test

import (
	"runtime"
	"testing"

	"github.com/sluicenet/sluice/conformance"
	"github.com/sluicenet/sluice/conformance/targets"
)

// TestTargets holds every stack of this module to every case.
func TestTargets(t *testing.T) {
	for _, target := range targets.All() {
		t.Run(target.Name(), func(t *testing.T) {
			if target.Name() == "kernel" && runtime.GOOS != "linux" {
				t.Skip("the kernel is a stack on Linux only")
			}
			conformance.Run(t, target)
		})
	}
}

package conformance_test

import (
	"testing"

	"github.com/sluicenet/sluice/conformance"
	"github.com/sluicenet/sluice/conformance/targets"
)

// TestTargets holds every stack of this module to every case.
func TestTargets(t *testing.T) {
	for _, target := range targets.All() {
		t.Run(target.Name(), func(t *testing.T) { conformance.Run(t, target) })
	}
}

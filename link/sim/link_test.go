package sim_test

import (
	"testing"
	"time"

	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/link/linktest"
	"github.com/sluicenet/sluice/link/sim"
)

func TestLink(t *testing.T) {
	for name, d := range map[string]sim.Direction{
		"perfect": {},
		"delayed": {Rate: 10 * sim.Gbit, QueueBytes: 1 << 30, Delay: time.Millisecond, Jitter: time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			linktest.Run(t, func() (a, b link.Link) {
				x, y, err := sim.New(clock.NewReal(), sim.Symmetric(d, 1))
				if err != nil {
					t.Fatal(err)
				}
				return x, y
			})
		})
	}
}

//go:build sluicefaults

package tcp

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluicenet/sluice/impl/engine/fault"
)

// exploreFaults are faults of which the search, within its quick bounds, must find
// something: each loses the way to an end that is allowed, or a byte. Faults that show
// with a peer that is no sound TCP are not among them; the suite's cases find those.
var exploreFaults = []string{
	"simultaneous-open-ignored",
	"simultaneous-open-without-ack",
	"time-wait-skipped",
	"closing-skipped",
	"simultaneous-close-as-close-wait",
	"closing-for-ever",
	"last-ack-to-time-wait",
	"fin-wait-2-skipped",
	"fin-not-retransmitted",
	"fin-ignored",
	"fin-over-hole",
	"fin-wait-takes-no-data",
	"syn-not-retransmitted",
	"syn-ack-not-retransmitted",
	"zero-window-not-probed",
	"probe-not-repeated",
	"time-wait-silent",
	"abort-without-reset",
	"rst-ignored",
	"reset-as-end-of-file",
	"window-taken-back",
	"syn-anywhere-resets",
}

// TestExploreFaults tries the search itself: it must notice a machine that is wrong.
func TestExploreFaults(t *testing.T) {
	defer fault.Set("")
	for _, name := range exploreFaults {
		t.Run(name, func(t *testing.T) {
			fault.Set(name)
			for i := range exploreScenarios {
				if what := exploreOnce(&exploreScenarios[i]); what != "" {
					t.Logf("%s: %s", exploreScenarios[i].name, what)
					return
				}
			}
			t.Error("the search finds nothing wrong")
		})
	}
}

// exploreOnce returns what the search finds wrong in a scenario, in a line.
func exploreOnce(sc *scenario) (found string) {
	defer func() {
		if r := recover(); r != nil { // a book that does not balance
			found = fmt.Sprint(r)
		}
	}()
	newExplorer(sc, func(what string) { found, _, _ = strings.Cut(what, "\n") }).run()
	return found
}

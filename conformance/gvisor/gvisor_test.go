package main

import (
	"slices"
	"testing"

	"github.com/sluicenet/sluice/conformance"
)

// TestGVisor holds gVisor to its verdicts: it passes what it passes, and deviates as
// declared.
func TestGVisor(t *testing.T) { conformance.Run(t, target{}) }

// TestKnownGaps: what is known to be missing in gVisor the suite does find.
func TestKnownGaps(t *testing.T) {
	for gap, id := range map[string]string{
		"PAWS": "rfc7323/5.3-paws", "the range of ACKs": "rfc5961/5-ack-range", "packet too big": "rfc5927/ptb-checked",
	} {
		c, ok := conformance.Lookup(id)
		if !ok || !slices.ContainsFunc(deviations, func(d conformance.Deviation) bool { return d.Case == id }) {
			t.Fatalf("%s: no case or no deviation %s", gap, id)
		}
		for _, f := range []conformance.Family{conformance.IPv4, conformance.IPv6} {
			if r := conformance.RunCase(target{}, &c, f, 1, 0); r.Verdict != conformance.Deviates {
				t.Errorf("%s: %s", gap, r.Text())
			}
		}
	}
}

// TestRepeats: virtual time makes two runs the same, packet for packet.
func TestRepeats(t *testing.T) {
	c, _ := conformance.Lookup("rfc5927/ptb-checked")
	var seconds []float64
	for range 5 {
		seconds = append(seconds, conformance.RunCase(target{}, &c, conformance.IPv4, 1, 0).Virtual)
	}
	if len(slices.Compact(seconds)) != 1 {
		t.Errorf("the case took %v virtual seconds", seconds)
	}
}

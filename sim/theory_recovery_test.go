package sim

import (
	"testing"
	"time"
)

// Reordering without loss costs nothing: 1 % of the packets come 10 ms late.
func TestReorderingIsNotLoss(t *testing.T) {
	const rate, rtt = 50e6, 60 * time.Millisecond
	goodput := func(reorder float64) (float64, FlowReport) {
		n := New(Config{Seed: 1, Warmup: 5 * time.Second})
		a, b := theoryHost(t, n, "a", "cubic"), theoryHost(t, n, "b", "cubic")
		theoryLink(t, n, "path", a, b,
			Direction{Rate: rate, Delay: rtt / 2, QueueBytes: rate / 8 * 60 / 1000, Reorder: reorder, ReorderDelay: 10 * time.Millisecond},
			Direction{Delay: rtt / 2})
		f, _ := n.AddBulk(Bulk{FlowConfig: FlowConfig{Name: "f", From: a, To: b}})
		theoryRun(t, n, 35*time.Second)
		r := f.Report()
		return r.Goodput, r
	}
	without, _ := goodput(0)
	with, r := goodput(0.01)
	t.Logf("%.2f and %.2f Mbit/s, %d retransmissions of which %d reported as spurious", without/1e6, with/1e6, r.Resends, r.Spurious)
	within(t, "goodput with reordering, of that without", with/without, 0.95, 1.05)
}

// The last three of ten segments are lost. A tail loss probe has them repaired
// without a retransmission timeout (RFC 8985, section 7).
func TestTailLoss(t *testing.T) {
	n := New(Config{Seed: 1})
	a, b := theoryHost(t, n, "a", "cubic"), theoryHost(t, n, "b", "cubic")
	theoryLink(t, n, "path", a, b, Direction{Rate: 10e6, Delay: 20 * time.Millisecond, LossList: []int64{8, 9, 10}},
		Direction{Rate: 10e6, Delay: 20 * time.Millisecond})
	f, _ := n.AddBulk(Bulk{FlowConfig: FlowConfig{Name: "f", From: a, To: b}, Bytes: 10 * theoryMSS})
	theoryRun(t, n, 5*time.Second)
	r := f.Report()
	t.Logf("complete after %.1f ms, %d retransmissions, %d timeouts", r.End*1e3, r.Resends, r.Timeouts)
	if !r.Complete || r.Timeouts != 0 {
		t.Errorf("complete: %v, timeouts: %d; want it complete with none", r.Complete, r.Timeouts)
	}
}

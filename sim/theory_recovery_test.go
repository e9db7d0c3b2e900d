package sim

import (
	"fmt"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/impl/cubic"
	"github.com/sluicenet/sluice/impl/engine/tcp"
	"github.com/sluicenet/sluice/impl/reno"
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

// watched counts what a controller is told, and passes it on.
type watched struct {
	cc.Controller
	reductions, undone int
}

func (w *watched) OnCongestion(ev *cc.CongestionEvent) {
	w.reductions++
	w.Controller.OnCongestion(ev)
}

func (w *watched) Undo(now cc.Time, kind cc.CongestionKind) {
	w.undone++
	w.Controller.(cc.Undoer).Undo(now, kind)
}

// watchedFactory makes controllers of another factory that can be watched.
type watchedFactory struct {
	cc.Factory
	made []*watched
}

func (f *watchedFactory) Name() string { return "watched" }

func (f *watchedFactory) New(env *cc.Env, opts string) (cc.Controller, error) {
	c, err := f.Factory.New(env, opts)
	if err != nil {
		return nil, err
	}
	w := &watched{Controller: c}
	f.made = append(f.made, w)
	return w, nil
}

// Where packets only come late, by more than the reordering window allows at first,
// each reduction is spurious, and each is undone. The receive window keeps the queue
// from overflowing, so that there are no others.
func TestSpuriousReductionsAreUndone(t *testing.T) {
	const rate, rtt = 50e6, 60 * time.Millisecond
	for name, inner := range map[string]cc.Factory{"reno": reno.Factory, "cubic": cubic.Factory} {
		for _, late := range []time.Duration{10 * time.Millisecond, 40 * time.Millisecond} {
			t.Run(fmt.Sprintf("%s/%v", name, late), func(t *testing.T) {
				t.Parallel()
				f := &watchedFactory{Factory: inner}
				n := New(Config{Seed: 1, Controllers: map[string]cc.Factory{"watched": f}})
				a, b := theoryHost(t, n, "a", "watched"), theoryHost(t, n, "b", "watched")
				l := theoryLink(t, n, "path", a, b,
					Direction{Rate: rate, Delay: rtt / 2, QueueBytes: 4 * rate / 8 * 60 / 1000, Reorder: 0.01, ReorderDelay: late},
					Direction{Delay: rtt / 2})
				flow, err := n.AddBulk(Bulk{FlowConfig: FlowConfig{Name: "f", From: a, To: b, ReceiveBuffer: 2 * rate / 8 * 60 / 1000}})
				if err != nil {
					t.Fatal(err)
				}
				theoryRun(t, n, 15*time.Second)
				var reductions, undone int
				for _, w := range f.made {
					reductions, undone = reductions+w.reductions, undone+w.undone
				}
				r := flow.Report()
				t.Logf("%.2f Mbit/s, %d reductions, %d undone, %d retransmissions, %d of them spurious", r.Goodput/1e6, reductions, undone, r.Resends, r.Spurious)
				if d := l.Stats(false).Drops(); d != 0 {
					t.Fatalf("%d packets were lost: nothing is proved", d)
				}
				if reductions == 0 || undone != reductions {
					t.Errorf("%d of %d reductions undone", undone, reductions)
				}
			})
		}
	}
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

// A flow that never fills its window, or whose peer never opens it, does not grow
// it for that, however long it lasts (RFC 9438, section 5.8; PR quinn#2749 is of a
// stack that overflowed after a week): one packet a second, for 30 days.
func TestMonth(t *testing.T) {
	for congestion, days := range map[string]time.Duration{"cubic": 30, "reno": 3, "bbr": 3, "dctcp": 3} {
		if testing.Short() {
			days = 1
		}
		for _, window := range []bool{false, true} {
			name := "application"
			if window {
				name = "window"
			}
			t.Run(congestion+"/"+name, func(t *testing.T) {
				t.Parallel()
				n := New(Config{Seed: 1})
				a := theoryHost(t, n, "a", congestion)
				b, err := n.AddHost(HostConfig{Name: "b", Params: tcp.Params{AckEverySegment: true}, Flow: api.FlowConfig{Congestion: congestion, MSS: theoryMSSOption}})
				if err != nil {
					t.Fatal(err)
				}
				d := Direction{Rate: 10e6, Delay: 10 * time.Millisecond}
				fc := FlowConfig{Name: "f", From: a, To: b}
				if window {
					// A window of one segment and a bit, and a round trip of a second.
					d.Delay = 500 * time.Millisecond
					fc.ReceiveBuffer = 2048
				}
				theoryLink(t, n, "path", a, b, d, d)
				var f Flow
				if window {
					f, err = n.AddBulk(Bulk{FlowConfig: fc})
				} else {
					f, err = n.AddSource(Source{FlowConfig: fc, Rate: 8000, Chunk: 1000})
				}
				if err != nil {
					t.Fatal(err)
				}
				var most int64
				for day := range days * 24 {
					theoryRun(t, n, (day+1)*time.Hour)
					most = max(most, f.Report().LastCwnd)
				}
				r := f.Report()
				t.Logf("%d bytes, cwnd at most %d, %d retransmissions", r.Bytes, most, r.Resends)
				if seconds := uint64(days * 24 * 3600); r.Bytes < seconds*900 || r.Bytes > seconds*2200 {
					t.Errorf("%d bytes in %d days", r.Bytes, days)
				}
				if most > 64*theoryMSS || r.LastCwnd < theoryMSS || r.Resends > 5 || r.Failed != 0 {
					t.Errorf("cwnd was %d and is %d, %d retransmissions, %d failures", most, r.LastCwnd, r.Resends, r.Failed)
				}
			})
		}
	}
}

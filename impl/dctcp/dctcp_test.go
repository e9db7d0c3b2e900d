package dctcp

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/internal/cctest"
)

const mss = cctest.MSS

// flow is a connection whose ACKs come in windows of data.
type flow struct {
	t        *testing.T
	c        cc.Controller
	una, nxt uint64
}

func newFlow(t *testing.T, opts string) *flow {
	f := &flow{t: t, c: cctest.New(t, Factory, opts), una: 1000, nxt: 1000}
	f.fill()
	return f
}

func (f *flow) fill() { f.nxt = max(f.nxt, f.una+uint64(f.c.Control().Cwnd)) }

func (f *flow) cwnd() int64 { return f.c.Control().Cwnd }

// ack acknowledges n bytes of a full window, and sends as many as it may.
func (f *flow) ack(n int64, ece bool, phase cc.Phase) {
	f.una += uint64(n)
	f.c.OnAck(&cc.AckEvent{CumAcked: n, Delivered: n, SndUna: f.una, SndNxt: f.nxt, CwndLimited: true, ECE: ece, Phase: phase})
	f.fill()
}

// window acknowledges what is in flight, of which the first marked segments met
// congestion, as an engine does: one OnCongestion for the first echo.
func (f *flow) window(marked int) {
	end := f.nxt
	for i := 0; f.una < end; i++ {
		n := int64(min(end-f.una, mss))
		if i == 0 && marked > 0 {
			f.congest(cc.ECNMark)
		}
		f.ack(n, i < marked, cc.Open)
	}
}

func (f *flow) congest(kind cc.CongestionKind) {
	f.c.OnCongestion(&cc.CongestionEvent{Kind: kind, FlightSize: int64(f.nxt - f.una), InFlight: int64(f.nxt - f.una), SndNxt: f.nxt})
}

func (f *flow) alpha() (a float64) {
	f.c.(cc.Inspector).Vars(func(name string, value float64) bool {
		if name == "alpha" {
			a = value
		}
		return true
	})
	return a
}

// RFC 8257, section 3.3: alpha starts at 1 and follows the share of marked bytes,
// with a gain of 1/16 a window.
func TestEstimate(t *testing.T) {
	f := newFlow(t, "")
	want := 1.0
	check := func(m float64) {
		t.Helper()
		want += (m - want) / 16
		if math.Abs(f.alpha()-want) > 1e-12 {
			t.Fatalf("alpha is %v, want %v", f.alpha(), want)
		}
	}
	end := f.nxt
	f.ack(mss, false, cc.Open) // beyond SND.UNA at the start: a window of its own
	check(0)
	f.ack(2*mss, true, cc.Open)
	for f.una < end {
		f.ack(mss, false, cc.Open)
	}
	if math.Abs(f.alpha()-want) > 1e-12 {
		t.Fatal("the estimate moved before the window ended")
	}
	total := float64(end - 1000) // from the last update to the ACK beyond the end
	f.ack(mss, false, cc.Open)
	check(2 * mss / total)
}

func TestEstimateConverges(t *testing.T) {
	f := newFlow(t, "")
	f.congest(cc.LossDetected) // ends slow start
	for range 300 {
		f.window(0)
	}
	if f.alpha() > 1e-6 {
		t.Errorf("without marks alpha is %v", f.alpha())
	}
	for range 300 {
		end := f.nxt
		for i := 0; f.una < end; i++ {
			f.ack(min(mss, int64(end-f.una)), i%4 == 0, cc.Open)
		}
	}
	if math.Abs(f.alpha()-0.25) > 0.03 {
		t.Errorf("with every fourth byte marked alpha is %v", f.alpha())
	}
}

// RFC 8257, section 3.3: cwnd = cwnd * (1 - alpha/2).
func TestReduction(t *testing.T) {
	for opts, want := range map[string]int64{"": 5 * mss, "alpha=0.5": 7500, "alpha=0": 10 * mss} {
		f := newFlow(t, opts)
		f.congest(cc.ECNMark)
		if got := f.c.Control(); got != (cc.Control{Cwnd: want, Ssthresh: want}) {
			t.Errorf("%q: a mark gives %+v, want %d", opts, got, want)
		}
	}
}

// Marks do not keep the window from growing on the ACKs without one.
func TestGrowthBesideMarks(t *testing.T) {
	f := newFlow(t, "alpha=0")
	f.congest(cc.ECNMark) // alpha is 0: no reduction, but the end of slow start
	w := f.cwnd()
	for range 10 {
		f.ack(mss, true, cc.CWR)
	}
	if f.cwnd() != w {
		t.Errorf("the window grew on ACKs with an echo, from %d to %d", w, f.cwnd())
	}
	for range 10 {
		f.ack(mss, false, cc.CWR)
	}
	if f.cwnd() != w+mss {
		t.Errorf("the window went from %d to %d in an unmarked window", w, f.cwnd())
	}
}

// RFC 8257, section 3.5: loss is answered as RFC 5681 does, a timeout with one
// segment, and there is one reduction in a window.
func TestLoss(t *testing.T) {
	f := newFlow(t, "alpha=0.1")
	f.congest(cc.LossDetected)
	if got := f.c.Control(); got != (cc.Control{Cwnd: 5 * mss, Ssthresh: 5 * mss}) {
		t.Errorf("a loss gives %+v", got)
	}
	f = newFlow(t, "alpha=0.1")
	f.ack(mss, false, cc.Open)
	w := f.cwnd()
	f.congest(cc.ECNMark)
	if f.cwnd() <= w*9/10 {
		t.Errorf("a mark takes the window from %d to %d", w, f.cwnd())
	}
	f.congest(cc.LossDetected)
	if f.cwnd() != w/2 {
		t.Errorf("a mark and a loss in one window take it from %d to %d", w, f.cwnd())
	}
	f.congest(cc.Timeout)
	if f.cwnd() != mss {
		t.Errorf("the loss window is %d", f.cwnd())
	}
	ssthresh := f.c.Control().Ssthresh
	f.c.OnCongestion(&cc.CongestionEvent{Kind: cc.Timeout, FlightSize: mss, Repeat: true})
	if got := f.c.Control(); got != (cc.Control{Cwnd: mss, Ssthresh: ssthresh}) {
		t.Errorf("another timeout gives %+v, ssthresh was %d", got, ssthresh)
	}
}

func TestWithoutMarksItIsReno(t *testing.T) {
	for _, c := range []struct {
		every int
		want  float64
	}{{100, 12.2}, {1000, 38.7}, {10000, 122.5}} {
		got := cctest.MeanWindow(t, Factory, "", 100*time.Millisecond, int64(c.want), c.every, 50)
		if math.Abs(got/c.want-1) > 0.04 {
			t.Errorf("one loss in %d: mean window is %.1f segments, want %.1f", c.every, got, c.want)
		}
	}
}

func TestUndo(t *testing.T) {
	f := newFlow(t, "")
	before := f.c.Control()
	f.congest(cc.LossDetected)
	f.c.(cc.Undoer).Undo(1, cc.LossDetected)
	if got := f.c.Control(); got != before {
		t.Errorf("undone: %+v, was %+v", got, before)
	}
	f.congest(cc.ECNMark)
	marked := f.c.Control()
	f.congest(cc.LossDetected)
	f.c.(cc.Undoer).Undo(1, cc.LossDetected)
	if got := f.c.Control(); got != marked {
		t.Errorf("an undone loss after a mark gives %+v, not %+v", got, marked)
	}
}

func TestOptions(t *testing.T) {
	if Factory.Name() != "dctcp" {
		t.Fatalf("name is %q", Factory.Name())
	}
	for opts, part := range map[string]string{
		"g=0": `option "g"`, "g=2": `option "g"`, "g=NaN": `option "g"`, "alpha=-1": `option "alpha"`, "alpha=x": `option "alpha"`,
		"beta=0.5": `unknown option "beta"`,
	} {
		_, err := Factory.New(cctest.Env(), opts)
		if err == nil || !strings.HasPrefix(err.Error(), "dctcp: ") || !strings.Contains(err.Error(), part) {
			t.Errorf("New(%q) gave %v, want it to say %s", opts, err, part)
		}
	}
}

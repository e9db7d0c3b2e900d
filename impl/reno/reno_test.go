package reno

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/internal/cctest"
)

const mss = cctest.MSS

func newPath(t *testing.T) *cctest.Path {
	return cctest.NewPath(t, Factory, "", 100*time.Millisecond)
}

func want(t *testing.T, c cc.Controller, cwnd, ssthresh int64) {
	t.Helper()
	if got := c.Control(); got != (cc.Control{Cwnd: cwnd, Ssthresh: ssthresh}) {
		t.Fatalf("got %+v, want cwnd %d, ssthresh %d", got, cwnd, ssthresh)
	}
}

// RFC 5681, section 3.1 (2) and RFC 3465, section 2.2.
func TestSlowStart(t *testing.T) {
	p := newPath(t)
	want(t, p.C, 10*mss, cc.NoThreshold)
	p.Ack(300) // bytes, not ACKs: dividing ACKs gains nothing
	want(t, p.C, 10*mss+300, cc.NoThreshold)
	p.Ack(2 * mss)
	want(t, p.C, 12*mss+300, cc.NoThreshold)
	p.Ack(64 << 10) // a super-packet: L = 8
	want(t, p.C, 20*mss+300, cc.NoThreshold)
}

func TestSlowStartDoublesEachRound(t *testing.T) {
	p := newPath(t)
	for _, w := range []int64{20, 40, 80, 160} {
		p.Round()
		want(t, p.C, w*mss, cc.NoThreshold)
	}
}

func TestSlowStartEndsAtSsthresh(t *testing.T) {
	p := newPath(t)
	p.Congest(cc.Timeout)
	want(t, p.C, mss, 5*mss)
	p.Ack(8 * mss) // more than is left to ssthresh
	want(t, p.C, 5*mss, 5*mss)
	p.Ack(4 * mss)
	want(t, p.C, 5*mss, 5*mss)
	p.Ack(mss)
	want(t, p.C, 6*mss, 5*mss)
}

// RFC 5681, section 3.1: no more than one SMSS each round trip.
func TestCongestionAvoidance(t *testing.T) {
	p := newPath(t)
	p.Congest(cc.LossDetected)
	want(t, p.C, 5*mss, 5*mss)
	for w := int64(5); w < 50; w++ {
		for range w - 1 {
			p.Ack(mss)
		}
		want(t, p.C, w*mss, 5*mss)
		p.Ack(mss)
		want(t, p.C, (w+1)*mss, 5*mss)
	}
	p.Ack(30 * mss)
	p.Ack(25 * mss) // 5 segments more than a window
	want(t, p.C, 51*mss, 5*mss)
	p.Ack(45 * mss)
	want(t, p.C, 51*mss, 5*mss)
	p.Ack(mss)
	want(t, p.C, 52*mss, 5*mss)
	p.Ack(1 << 30) // one ACK, however much it covers
	want(t, p.C, 53*mss, 5*mss)
	p.Ack(1)
	want(t, p.C, 53*mss, 5*mss)
}

func TestUnusedWindowDoesNotGrow(t *testing.T) {
	p := newPath(t)
	p.Idle(5 * mss)
	want(t, p.C, 10*mss, cc.NoThreshold)
	p.Congest(cc.LossDetected)
	for range 100 {
		p.Idle(5 * mss)
	}
	want(t, p.C, 5*mss, 5*mss)
}

// RFC 5681, equation 4: half of FlightSize, not of cwnd, and 2 SMSS at least.
func TestSsthreshIsOfFlightSize(t *testing.T) {
	p := newPath(t)
	p.C.OnCongestion(&cc.CongestionEvent{FlightSize: 6 * mss})
	want(t, p.C, 3*mss, 3*mss)
	p.C.OnCongestion(&cc.CongestionEvent{FlightSize: mss})
	want(t, p.C, 2*mss, 2*mss)
}

// The engine owns cwnd in recovery: RFC 6582, RFC 9937.
func TestNoGrowthInRecovery(t *testing.T) {
	for _, phase := range []cc.Phase{cc.Recovery, cc.CWR} {
		p := newPath(t)
		p.Congest(cc.LossDetected)
		p.Phase = phase
		for range 100 {
			p.Ack(mss)
		}
		want(t, p.C, 5*mss, 5*mss)
	}
}

// RFC 5681, section 3.1: the loss window is one segment, and ssthresh is set at the
// first timeout of a segment only. RFC 3465, section 2.3: L = 1 afterwards.
func TestTimeout(t *testing.T) {
	p := newPath(t)
	p.Congest(cc.Timeout)
	want(t, p.C, mss, 5*mss)
	p.C.OnCongestion(&cc.CongestionEvent{Kind: cc.Timeout, FlightSize: mss, Repeat: true})
	want(t, p.C, mss, 5*mss)
	p.Phase = cc.Loss
	p.Ack(8 * mss)
	want(t, p.C, 2*mss, 5*mss)
	p.C.OnCongestion(&cc.CongestionEvent{Kind: cc.Timeout, FlightSize: 2 * mss})
	want(t, p.C, mss, 2*mss)
}

func TestUndo(t *testing.T) {
	for _, kind := range []cc.CongestionKind{cc.LossDetected, cc.Timeout} {
		p := newPath(t)
		p.C.(cc.Undoer).Undo(p.Now, kind) // nothing to undo
		want(t, p.C, 10*mss, cc.NoThreshold)
		p.Congest(kind)
		p.C.OnCongestion(&cc.CongestionEvent{Kind: cc.Timeout, FlightSize: mss, Repeat: true})
		p.C.(cc.Undoer).Undo(p.Now, kind)
		want(t, p.C, 10*mss, cc.NoThreshold)
		p.Congest(kind)
		before := p.C.Control()
		p.C.(cc.Undoer).Undo(p.Now, kind)
		p.C.(cc.Undoer).Undo(p.Now, kind)
		// A repeated timeout after that is undone to where it found things.
		p.Ack(mss)
		p.C.OnCongestion(&cc.CongestionEvent{Kind: cc.Timeout, FlightSize: mss, Repeat: true})
		want(t, p.C, mss, cc.NoThreshold)
		p.C.(cc.Undoer).Undo(p.Now, cc.Timeout)
		want(t, p.C, 11*mss, cc.NoThreshold)
		p.C.OnCongestion(&cc.CongestionEvent{FlightSize: mss})
		p.C.(cc.IdleObserver).OnRestart(p.Now, time.Second)
		p.C.(cc.Undoer).Undo(p.Now, cc.LossDetected)
		p.C.(cc.IdleObserver).OnRestart(p.Now, time.Second)
		p.Congest(kind)
		if p.C.Control() != before {
			t.Fatalf("%v: undone and reduced again gives %+v, not %+v", kind, p.C.Control(), before)
		}
	}
}

// RFC 5681, section 4.1.
func TestRestart(t *testing.T) {
	p := newPath(t)
	p.Round()
	p.C.(cc.IdleObserver).OnRestart(p.Now, time.Second)
	want(t, p.C, 10*mss, cc.NoThreshold)
	p.Congest(cc.LossDetected)
	p.C.(cc.IdleObserver).OnRestart(p.Now, time.Second)
	want(t, p.C, 5*mss, 5*mss)
}

func TestMSS(t *testing.T) {
	p := newPath(t)
	m := p.C.(cc.MSSObserver)
	m.OnMSS(500)
	want(t, p.C, 5*mss, cc.NoThreshold) // ten segments still
	m.OnMSS(1000)
	want(t, p.C, 5*mss, cc.NoThreshold)
	p.Congest(cc.Timeout)
	m.OnMSS(9000)
	want(t, p.C, 9000, 18000)
}

func TestOptions(t *testing.T) {
	if Factory.Name() != "reno" {
		t.Fatalf("name is %q", Factory.Name())
	}
	for _, opts := range []string{"beta=0.5", "x", "=1", "x=", ",", "a=1,b=2"} {
		_, err := Factory.New(cctest.Env(), opts)
		if err == nil || !strings.HasPrefix(err.Error(), "reno: ") {
			t.Errorf("New(%q) gave %v", opts, err)
		}
	}
	if _, err := Factory.New(cctest.Env(), "beta=0.5"); err == nil || !strings.Contains(err.Error(), `"beta"`) {
		t.Errorf("error %v does not name the option", err)
	}
}

func TestProperties(t *testing.T) { cctest.Properties(t, Factory, "") }

// The window under periodic loss. RFC 9438, table 1 has 12, 38 and 120; a
// per-ACK model without cost of recovery gives these.
func TestMeanWindow(t *testing.T) {
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

package cubic

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/internal/cctest"
)

const (
	mss = cctest.MSS
	rtt = 100 * time.Millisecond
)

func newPath(t *testing.T, opts string) *cctest.Path {
	return cctest.NewPath(t, Factory, opts, rtt)
}

// grow brings cwnd to n segments by slow start.
func grow(p *cctest.Path, n int64) {
	for p.Cwnd() < n*mss {
		p.Ack(min(8*mss, n*mss-p.Cwnd()))
	}
}

func want(t *testing.T, c cc.Controller, cwnd, ssthresh int64) {
	t.Helper()
	if got := c.Control(); got != (cc.Control{Cwnd: cwnd, Ssthresh: ssthresh}) {
		t.Fatalf("got %+v, want cwnd %d, ssthresh %d", got, cwnd, ssthresh)
	}
}

func vars(c cc.Controller) map[string]float64 {
	m := make(map[string]float64)
	c.(cc.Inspector).Vars(func(name string, v float64) bool { m[name] = v; return true })
	return m
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if math.Abs(got-want) > tolerance*math.Abs(want) {
		t.Fatalf("%s is %g, want %g", what, got, want)
	}
}

func TestSlowStart(t *testing.T) {
	p := newPath(t, "")
	want(t, p.C, 10*mss, cc.NoThreshold)
	p.Ack(300)
	want(t, p.C, 10*mss+300, cc.NoThreshold)
	p.Ack(64 << 10)
	want(t, p.C, 18*mss+300, cc.NoThreshold)
	p.Idle(mss)
	want(t, p.C, 18*mss+300, cc.NoThreshold)
}

// RFC 9438, section 4.6.
func TestMultiplicativeDecrease(t *testing.T) {
	p := newPath(t, "")
	grow(p, 100)
	p.C.OnCongestion(&cc.CongestionEvent{FlightSize: 90 * mss})
	want(t, p.C, 63*mss, 63*mss)
	p.C.OnCongestion(&cc.CongestionEvent{FlightSize: 2 * mss})
	want(t, p.C, 2*mss, 2*mss)
	p.C.OnCongestion(&cc.CongestionEvent{Kind: cc.ECNMark, FlightSize: mss})
	want(t, p.C, mss, 2*mss)
}

// Section 4.2: K = cbrt((W_max - cwnd_epoch) / C), and the window is back at W_max
// when K has passed: concave until then, convex afterwards.
func TestConcaveThenConvex(t *testing.T) {
	p := newPath(t, "")
	grow(p, 1000)
	p.Congest(cc.LossDetected)
	want(t, p.C, 700*mss, 700*mss)
	start := p.Now
	p.Segment()
	k := math.Cbrt(300 / 0.4)
	near(t, "K", vars(p.C)["k"], k, 1e-9)
	near(t, "W_max", vars(p.C)["w_max"], 1000*mss, 1e-9)
	elapsed := func() float64 { return p.Now.Sub(start).Seconds() }
	var sizes []float64
	for elapsed() < 2*k {
		w0 := float64(p.Cwnd())
		p.Round()
		sizes = append(sizes, float64(p.Cwnd())-w0)
		// The window follows the curve one RTT ahead, and never exceeds it.
		w := 1000 + 0.4*math.Pow(elapsed()-k, 3)
		if got := float64(p.Cwnd()) / mss; math.Abs(got-w) > 0.02*w {
			t.Fatalf("after %.1f s the window is %.1f segments, the cubic %.1f", elapsed(), got, w)
		}
	}
	n := len(sizes)
	if !(sizes[0] > 10*sizes[n/2] && sizes[n-1] > 10*sizes[n/2]) {
		t.Fatalf("growth each round at the start, in the middle, at the end: %v, %v, %v", sizes[0], sizes[n/2], sizes[n-1])
	}
}

// Section 4.2: target is within [cwnd, 1.5 cwnd], so a round adds half at most.
func TestTargetIsClamped(t *testing.T) {
	p := newPath(t, "c=900")
	grow(p, 100)
	p.Congest(cc.LossDetected)
	p.Segment()
	for range 20 {
		p.Now = p.Now.Add(time.Hour)
		before := p.Cwnd()
		p.Ack(before) // a whole window in one ACK
		if after := p.Cwnd(); after > before*3/2+1 || after < before*3/2-1 {
			t.Fatalf("a window's ACK took cwnd from %d to %d", before, after)
		}
		p.Ack(1 << 50)
		if after := p.Cwnd(); after > before*9/4+4 {
			t.Fatalf("one ACK counted for more than a window: %d to %d", before, after)
		}
	}
}

// Section 4.3: on short paths the window is what Reno's would be, with alpha first
// 3(1-beta)/(1+beta), and 1 once W_est has reached cwnd_prior.
func TestRenoFriendlyRegion(t *testing.T) {
	p := cctest.NewPath(t, Factory, "", time.Millisecond)
	grow(p, 20)
	p.Congest(cc.LossDetected)
	want(t, p.C, 14*mss, 14*mss)
	rate := func() float64 { // segments a round
		before, w := vars(p.C)["w_est"], p.Cwnd()
		for range w / mss {
			p.Segment()
		}
		return (vars(p.C)["w_est"] - before) / mss
	}
	p.Segment()
	near(t, "growth below cwnd_prior", rate(), 0.5294, 0.06)
	for vars(p.C)["w_est"] < 20*mss {
		p.Segment()
	}
	near(t, "cwnd", float64(p.Cwnd()), vars(p.C)["w_est"], 0.001)
	near(t, "growth above cwnd_prior", rate(), 1, 0.06)
}

// Section 4.7.
func TestFastConvergence(t *testing.T) {
	for opts, second := range map[string]float64{"": 700 * 1.7 / 2, "fast_convergence=on": 700 * 1.7 / 2, "fast_convergence=off": 700} {
		p := newPath(t, opts)
		grow(p, 1000)
		p.Congest(cc.LossDetected)
		near(t, "W_max", vars(p.C)["w_max"], 1000*mss, 1e-9)
		p.Congest(cc.LossDetected) // below W_max
		near(t, opts+": W_max", vars(p.C)["w_max"], second*mss, 1e-9)
	}
}

// Section 4.8.
func TestTimeout(t *testing.T) {
	p := newPath(t, "")
	grow(p, 100)
	p.Congest(cc.Timeout)
	want(t, p.C, mss, 70*mss)
	p.C.OnCongestion(&cc.CongestionEvent{Kind: cc.Timeout, FlightSize: mss, Repeat: true})
	want(t, p.C, mss, 70*mss)
	p.Phase = cc.Loss
	p.Ack(8 * mss) // RFC 3465, section 2.3
	want(t, p.C, 2*mss, 70*mss)
	p.Phase = cc.Open
	grow(p, 70)
	p.Segment()
	v := vars(p.C)
	if v["k"] != 0 || v["w_max"] != 70*mss || v["cwnd_prior"] != 100*mss {
		t.Fatalf("after a timeout: %v", v)
	}
	// The next slow start has nothing to do with that timeout.
	p.C.(cc.IdleObserver).OnRestart(p.Now, time.Second)
	grow(p, 70)
	p.Segment()
	if v := vars(p.C); v["cwnd_prior"] != 70*mss {
		t.Fatalf("after another slow start: %v", v)
	}
}

// Section 4.10: slow start that ended without a loss, here after a restart.
func TestSlowStartWithoutLoss(t *testing.T) {
	p := newPath(t, "")
	grow(p, 100)
	p.Congest(cc.LossDetected)
	p.Segment()
	p.C.(cc.IdleObserver).OnRestart(p.Now, time.Second)
	want(t, p.C, 10*mss, 70*mss)
	grow(p, 70)
	p.Segment()
	v := vars(p.C)
	if v["k"] != 0 || v["w_max"] != 70*mss || v["cwnd_prior"] != 70*mss {
		t.Fatalf("after slow start: %v", v)
	}
}

// Section 4.2: time without data to send MUST NOT count.
func TestApplicationLimitedTimeIsExcluded(t *testing.T) {
	for name, pause := range map[string]func(*cctest.Path){
		"busy": func(*cctest.Path) {},
		"app-limited": func(p *cctest.Path) {
			for range 100 {
				p.Now = p.Now.Add(time.Second)
				p.Idle(mss)
			}
		},
		"month": func(p *cctest.Path) {
			p.Now = p.Now.Add(30 * 24 * time.Hour)
			p.Idle(mss)
		},
	} {
		p := newPath(t, "")
		grow(p, 1000)
		p.Congest(cc.LossDetected)
		p.Round()
		before := p.Cwnd()
		pause(p)
		if p.Cwnd() != before {
			t.Fatalf("%s: cwnd went from %d to %d in the pause", name, before, p.Cwnd())
		}
		p.Round()
		near(t, name+": growth", float64(p.Cwnd()-before), 9_500, 0.02)
	}
}

// Restarting after an idle time does not count it either, where the window is
// small enough to stay.
func TestIdleTimeIsExcluded(t *testing.T) {
	var after []int64
	for _, idle := range []time.Duration{0, time.Hour} {
		p := newPath(t, "")
		p.Congest(cc.LossDetected)
		p.Segment()
		p.Now = p.Now.Add(idle)
		if idle > 0 {
			p.C.(cc.IdleObserver).OnRestart(p.Now, idle)
		}
		for range 5 {
			p.Round()
		}
		after = append(after, p.Cwnd())
	}
	if after[0] != after[1] {
		t.Fatalf("cwnd is %d without an hour of silence, %d with it", after[0], after[1])
	}
}

// A round trip that becomes shorter lowers the target below the window: no ACK
// shrinks that, in either region.
func TestAckNeverShrinks(t *testing.T) {
	p := newPath(t, "")
	grow(p, 100)
	p.Congest(cc.LossDetected)
	p.Segment()
	p.Now = p.Now.Add(3 * time.Second) // out of the Reno-friendly region
	p.RTT = 20 * time.Second
	for range 3 {
		p.Ack(p.Cwnd()) // as the cubic will be in 20 s
	}
	high := p.Cwnd()
	if high <= 100*mss {
		t.Fatalf("cwnd is %d", high)
	}
	p.RTT = time.Millisecond
	for range 100 { // until W_est is above the cubic, and far below cwnd
		p.Now = p.Now.Add(time.Millisecond)
		p.Ack(p.Cwnd())
		if p.Cwnd() < high {
			t.Fatalf("cwnd went from %d to %d", high, p.Cwnd())
		}
	}
	if v := vars(p.C); v["w_est"] <= 101*mss || v["w_est"] >= float64(high) {
		t.Fatalf("W_est is %g", v["w_est"])
	}
}

// A month of ACKs, and growth at any speed, overflow nothing.
func TestSaturation(t *testing.T) {
	for _, opts := range []string{"", "c=999,beta=0.01", "c=0.0001,beta=0.99"} {
		p := newPath(t, opts)
		p.Congest(cc.LossDetected)
		var last int64
		for range 20000 {
			p.Now = p.Now.Add(30 * 24 * time.Hour)
			p.Ack(p.Cwnd())
			if w := p.Cwnd(); w < last || w > 1<<40 {
				t.Fatalf("cwnd went from %d to %d", last, w)
			}
			last = p.Cwnd()
		}
		if opts == "" && last != 1<<40 {
			t.Fatalf("cwnd ended at %d", last)
		}
		p.C.OnCongestion(&cc.CongestionEvent{FlightSize: math.MaxInt64})
		p.C.OnCongestion(&cc.CongestionEvent{FlightSize: mss})
		if w := p.Cwnd(); w != 2*mss {
			t.Fatalf("cwnd is %d", w)
		}
	}
}

// Section 4.9.
func TestUndo(t *testing.T) {
	for _, kind := range []cc.CongestionKind{cc.LossDetected, cc.Timeout} {
		p := newPath(t, "")
		grow(p, 100)
		p.Congest(cc.LossDetected)
		for range 5 {
			p.Round()
		}
		control, v := p.C.Control(), vars(p.C)
		p.Congest(kind)
		p.C.(cc.Undoer).Undo(p.Now, kind)
		if p.C.Control() != control {
			t.Fatalf("%v: %+v became %+v", kind, control, p.C.Control())
		}
		for name, x := range vars(p.C) {
			if x != v[name] {
				t.Fatalf("%v: %s is %g, was %g", kind, name, x, v[name])
			}
		}
		p.C.(cc.Undoer).Undo(p.Now, kind) // once only
		if p.C.Control() != control {
			t.Fatalf("%v: undone twice", kind)
		}
	}
	p := newPath(t, "")
	p.Congest(cc.LossDetected)
	for p.Cwnd() < 20*mss { // grown past cwnd_prior meanwhile: nothing to restore
		p.Now = p.Now.Add(rtt)
		p.Ack(p.Cwnd())
	}
	w := p.Cwnd()
	p.C.(cc.Undoer).Undo(p.Now, cc.LossDetected)
	if p.Cwnd() != w {
		t.Fatalf("Undo took cwnd from %d to %d", w, p.Cwnd())
	}
}

func TestNoGrowthInRecovery(t *testing.T) {
	for _, phase := range []cc.Phase{cc.Recovery, cc.CWR} {
		p := newPath(t, "")
		p.Congest(cc.LossDetected)
		p.Phase = phase
		for range 100 {
			p.Segment()
		}
		want(t, p.C, 7*mss, 7*mss)
	}
}

func TestMSS(t *testing.T) {
	p := newPath(t, "")
	grow(p, 100)
	p.Congest(cc.LossDetected)
	p.Segment()
	k := vars(p.C)["k"]
	p.C.(cc.MSSObserver).OnMSS(500)
	near(t, "cwnd", float64(p.Cwnd()), 35*mss, 0.01)
	near(t, "W_max", vars(p.C)["w_max"], 50*mss, 0.001)
	near(t, "K", vars(p.C)["k"], k, 0) // in segments nothing has changed
	p.Congest(cc.Timeout)
	p.C.(cc.MSSObserver).OnMSS(9000)
	if w := p.Cwnd(); w != 9000 {
		t.Fatalf("cwnd is %d", w)
	}
}

func TestOptions(t *testing.T) {
	if Factory.Name() != "cubic" {
		t.Fatalf("name is %q", Factory.Name())
	}
	p := newPath(t, " beta=0.5 , c=1 ")
	grow(p, 100)
	p.Congest(cc.LossDetected)
	want(t, p.C, 50*mss, 50*mss)
	p.Segment()
	near(t, "K", vars(p.C)["k"], math.Cbrt(50), 1e-9)
	for opts, part := range map[string]string{
		"gamma=1": `unknown option "gamma"`, "beta=0.7,x=1": `unknown option "x"`,
		"beta=1": `option "beta"`, "beta=0": `option "beta"`, "beta=NaN": `option "beta"`, "beta=abc": `option "beta"`,
		"c=-1": `option "c"`, "c=+Inf": `option "c"`, "c=1e999": `option "c"`, "c": `option "c"`, "c=": `option "c="`,
		"fast_convergence=yes": `option "fast_convergence"`, "c=1,c=2": `option "c" is given twice`, "c=1,": `option ""`,
	} {
		_, err := Factory.New(cctest.Env(), opts)
		if err == nil || !strings.HasPrefix(err.Error(), "cubic: ") || !strings.Contains(err.Error(), part) {
			t.Errorf("New(%q) gave %v, want it to say %s", opts, err, part)
		}
	}
}

func TestProperties(t *testing.T) {
	cctest.Properties(t, Factory, "")
	cctest.Properties(t, Factory, "c=900,beta=0.1,fast_convergence=off")
}

// The window under periodic loss: RFC 9438, tables 1 and 2. Fast convergence takes
// a flow that is alone below it now and then.
func TestMeanWindow(t *testing.T) {
	for _, c := range []struct {
		opts    string
		rtt     time.Duration
		every   int
		low, hi float64
		cycles  int
	}{
		{"fast_convergence=off", rtt, 100, 11.8, 12.6, 50},
		{"fast_convergence=off", rtt, 1000, 37.5, 41, 50},
		{"fast_convergence=off", rtt, 10000, 181, 193, 50},
		{"fast_convergence=off", rtt, 100000, 1020, 1090, 5},
		{"fast_convergence=off", rtt / 10, 1000, 37, 40, 50},
		{"fast_convergence=off", rtt / 10, 10000, 117, 126, 50},
		{"", rtt, 100, 11.8, 12.6, 50},
		{"", rtt, 1000, 37.5, 41, 50},
		{"", rtt, 10000, 165, 190, 50},
		{"", rtt, 100000, 930, 1070, 5},
		{"", rtt / 10, 10000, 117, 126, 50},
	} {
		// A cycle that ends at W_max has a mean of (3+beta)/4 W_max.
		start := int64((c.low + c.hi) / 2 * 4 / 3.7)
		got := cctest.MeanWindow(t, Factory, c.opts, c.rtt, start, c.every, c.cycles)
		if got < c.low || got > c.hi {
			t.Errorf("%q, %v, one loss in %d: mean window is %.1f segments, want %.1f to %.1f", c.opts, c.rtt, c.every, got, c.low, c.hi)
		}
	}
}

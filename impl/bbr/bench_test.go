package bbr

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/sluicenet/sluice/conformance/cctest"
)

const mss = cctest.MSS

// newBench returns a controller on a path, and the bench that drives it.
func newBench(t *testing.T, p cctest.Path) (*controller, *cctest.Bench) {
	t.Helper()
	b, err := cctest.NewBench(Factory, "", p, 1)
	if err != nil {
		t.Fatal(err)
	}
	return b.C.(*controller), b
}

// road is 10 Mbit/s and 40 ms, a BDP of 50 segments, with a queue of two of them.
func road() cctest.Path {
	return cctest.Path{Rate: 1.25e6, RTT: 40 * time.Millisecond, Queue: 100 * mss}
}

const bdp = 50 * mss

// reach runs until the controller is in a state.
func reach(t *testing.T, c *controller, b *cctest.Bench, s state) {
	t.Helper()
	if !b.RunUntil(30*time.Second, func() bool { return c.state == s }) {
		t.Fatalf("never in %v: in %v, %v", s, c.state, b)
	}
}

// next are the states that may follow others; DOWN may be over as it begins.
var next = map[state][]state{
	startup: {drain, probeRTT}, drain: {probeDown, probeCruise, probeRTT},
	probeDown: {probeCruise, probeRefill, probeRTT}, probeCruise: {probeRefill, probeRTT},
	probeRefill: {probeUp, probeRTT}, probeUp: {probeDown, probeCruise, probeRTT}, probeRTT: {probeCruise, startup},
}

// Draft, appendix A.1: startup ends when the bandwidth has not grown for 3 rounds.
func TestStartupPlateau(t *testing.T) {
	c, b := newBench(t, road())
	full := uint64(0) // the round in which the link was found to carry no more
	b.RunUntil(10*time.Second, func() bool {
		if full == 0 && c.maxBw() >= 0.98*1.25e6 {
			full = b.Rounds
		}
		return c.state != startup
	})
	if c.state != drain || !c.fullBwReached || !c.fullBwNow || c.fullBwRounds != 3 {
		t.Fatalf("left startup for %v, full_bw_reached %v, full_bw_now %v, full_bw_count %d", c.state, c.fullBwReached, c.fullBwNow, c.fullBwRounds)
	}
	if n := b.Rounds - full; n > 4 {
		t.Errorf("startup went on for %d rounds after the pipe was full", n)
	}
	if bw := c.maxBw() / 1.25e6; math.Abs(bw-1) > 0.02 {
		t.Errorf("max_bw is %.3f of the link's", bw)
	}
	if b.Lost > 0 {
		t.Errorf("startup lost %d bytes with a queue of 2 BDP", b.Lost)
	}
	t.Logf("after %d rounds, %v", b.Rounds, time.Duration(b.Now))
}

// Startup doubles the rate each round.
func TestStartupDoubles(t *testing.T) {
	p := road()
	p.Rate, p.Queue = 1.25e9, 0
	c, b := newBench(t, p)
	last := int64(0)
	for range 8 {
		round := b.Rounds
		from := b.Delivered
		b.RunUntil(time.Second, func() bool { return b.Rounds > round })
		n := b.Delivered - from
		if last > 10*mss && (n < last*17/10 || n > last*5/2) {
			t.Errorf("a round delivered %d bytes after %d", n, last)
		}
		last = n
	}
	if c.state != startup {
		t.Errorf("in %v", c.state)
	}
}

// A.3: drain ends when no more than the BDP is in flight, and paces at half the rate.
func TestDrain(t *testing.T) {
	c, b := newBench(t, road())
	reach(t, c, b, drain)
	if c.pacingGain != 0.5 {
		t.Errorf("pacing_gain is %v", c.pacingGain)
	}
	rounds := b.Rounds
	b.RunUntil(time.Second, func() bool { return c.state != drain })
	if b.InFlight > c.inflightWith(1) {
		t.Errorf("drain ended with %d in flight, BDP %.0f", b.InFlight, c.bdp())
	}
	if n := b.Rounds - rounds; n > 2 {
		t.Errorf("drain took %d rounds", n)
	}
	if q := b.QueueDelay(); q > 4*time.Millisecond {
		t.Errorf("a queue of %v is left", q)
	}
}

// A.4: drain ends after 3 rounds in any case.
func TestDrainTimesOut(t *testing.T) {
	c, b := newBench(t, road())
	reach(t, c, b, drain)
	b.Path.Rate = b.Path.Rate * 2 / 5 // more goes in than comes out
	rounds := c.roundCount
	reach(t, c, b, probeDown)
	if n := c.roundCount - rounds; n != drainRounds+1 {
		t.Errorf("drain took %d rounds", n)
	}
	if b.InFlight <= c.inflightWith(1) {
		t.Error("the test has let the queue drain")
	}
}

// Section 5.3.3: DOWN, CRUISE, REFILL, UP, and over again; full use of the link, and
// hardly a queue.
func TestProbeCycle(t *testing.T) {
	c, b := newBench(t, road())
	reach(t, c, b, drain)
	from, was, ups := b.Delivered, c.state, 0
	b.RunUntil(20*time.Second, func() bool {
		if c.state != was {
			if !slices.Contains(next[was], c.state) {
				t.Fatalf("%v follows %v", c.state, was)
			}
			if was = c.state; was == probeUp {
				ups++
			}
		}
		return false
	})
	if used := float64(b.Delivered-from) / 20 / 1.25e6; used < 0.96 {
		t.Errorf("%.3f of the link is used", used)
	}
	if ups < 5 || ups > 10 {
		t.Errorf("%d probes in 20 seconds", ups)
	}
	if b.Lost > 0 {
		t.Errorf("%d bytes lost", b.Lost)
	}
	if b.SRTT > 100*time.Millisecond {
		t.Errorf("srtt is %v", b.SRTT)
	}
	if bw := c.maxBw() / 1.25e6; math.Abs(bw-1) > 0.02 {
		t.Errorf("max_bw is %.3f of the link's", bw)
	}
}

// The gains of the table in section 5.6.1.
func TestGains(t *testing.T) {
	want := map[state][2]float64{
		startup: {2.77, 2}, drain: {0.5, 2}, probeDown: {0.90, 2}, probeCruise: {1, 2},
		probeRefill: {1, 2}, probeUp: {1.25, 2.25}, probeRTT: {1, 0.5},
	}
	c, b := newBench(t, road())
	seen := map[state]bool{}
	b.RunUntil(20*time.Second, func() bool {
		seen[c.state] = true
		if g := [2]float64{c.pacingGain, c.cwndGain}; g != want[c.state] {
			t.Fatalf("in %v the gains are %v", c.state, g)
		}
		return false
	})
	if len(seen) != len(want) {
		t.Errorf("only the states %v in 20 seconds", seen)
	}
}

// A.5: UP ends after 3 rounds without more bandwidth.
func TestProbeUpPlateau(t *testing.T) {
	c, b := newBench(t, road())
	reach(t, c, b, probeUp)
	rounds := c.roundCount
	reach(t, c, b, probeDown)
	if n := c.roundCount - rounds; n != 3 && n != 4 {
		t.Errorf("UP took %d rounds", n)
	}
	if !c.fullBwNow || c.prevProbeTooHigh {
		t.Errorf("full_bw_now %v, prev_probe_too_high %v", c.fullBwNow, c.prevProbeTooHigh)
	}
}

// A.15 and A.16: ten times the bandwidth is found within a cycle or two, a tenth of it
// too, even if the queue takes it all in without a loss and holds seconds.
func TestBandwidthChanges(t *testing.T) {
	for _, queue := range []int64{500 * mss, 3000 * mss} {
		p := road()
		p.Queue = queue
		c, b := newBench(t, p)
		reach(t, c, b, probeCruise)
		b.Path.Rate *= 10
		at := b.Now
		if !b.RunUntil(10*time.Second, func() bool { return c.maxBw() > 0.9*12.5e6 }) {
			t.Errorf("queue of %d: ten times the bandwidth: max_bw is %.3g after 10 s", queue, c.maxBw())
		}
		up := b.Now.Sub(at)
		b.Run(8 * time.Second)
		b.Path.Rate /= 10
		at = b.Now
		if !b.RunUntil(40*time.Second, func() bool { return c.maxBw() < 1.1*1.25e6 }) {
			t.Errorf("queue of %d: a tenth of the bandwidth: max_bw is %.3g after 40 s", queue, c.maxBw())
		}
		t.Logf("queue of %d: ten times the bandwidth is found after %v, a tenth after %v", queue, up, b.Now.Sub(at))
		b.Run(60 * time.Second)
		if q := b.QueueDelay(); q > 100*time.Millisecond {
			t.Errorf("queue of %d: %v of it stay", queue, q)
		}
	}
}

// A.8: DOWN ends when the queue has drained, with headroom below what is known to
// be too much.
func TestProbeDownInflight(t *testing.T) {
	c, b := newBench(t, road())
	reach(t, c, b, probeDown)
	reach(t, c, b, probeCruise)
	if b.InFlight > c.inflightWith(1) || b.InFlight > c.inflightWithHeadroom() {
		t.Errorf("%d in flight at the start of CRUISE", b.InFlight)
	}
}

// A shallow queue: what UP loses sets inflight_longterm, CRUISE stays 15 % below, the
// next probe is precautionary, and the link is used well all the same.
func TestShallowQueue(t *testing.T) {
	p := road()
	p.Queue = bdp / 5
	c, b := newBench(t, p)
	reach(t, c, b, probeDown)
	b.Run(5 * time.Second)
	if c.inflightLongterm == infinite || c.inflightLongterm > bdp*3/2 {
		t.Fatalf("inflight_longterm is %d with a BDP of %d and a queue of %d", c.inflightLongterm, bdp, p.Queue)
	}
	precautionary := 0
	from, lost := b.Delivered, b.Lost
	was := c.state
	b.RunUntil(30*time.Second, func() bool {
		if was == probeUp && c.state != probeUp && c.prevPrecautionary {
			precautionary++
		}
		was = c.state
		if c.state == probeCruise && b.C.Control().Cwnd > c.inflightWithHeadroom() {
			t.Fatalf("cwnd is %d in CRUISE, inflight_longterm %d", b.C.Control().Cwnd, c.inflightLongterm)
		}
		return false
	})
	used := float64(b.Delivered-from) / 30 / 1.25e6
	share := float64(b.Lost-lost) / float64(b.Delivered-from)
	t.Logf("%.3f of the link used, %.4f lost, %d precautionary probes", used, share, precautionary)
	if used < 0.85 {
		t.Errorf("%.3f of the link is used", used)
	}
	if share > 0.02 {
		t.Errorf("%.4f of the packets are lost", share)
	}
	if precautionary == 0 {
		t.Error("no probe was precautionary")
	}
}

// A.10: ProbeRTT after 5 seconds without a lower RTT, for 200 ms and a round, with
// half a BDP in flight.
func TestProbeRTT(t *testing.T) {
	c, b := newBench(t, road())
	reach(t, c, b, probeCruise)
	stamp := c.probeRTTMinStamp
	reach(t, c, b, probeRTT)
	if d := b.Now.Sub(stamp); d < probeRTTInterval || d > probeRTTInterval+10*time.Second {
		t.Errorf("ProbeRTT began %v after the last minimum", d)
	}
	began, low := b.Now, b.Now
	b.RunUntil(time.Second, func() bool {
		if low == began && b.InFlight <= c.probeRTTCwnd() {
			low = b.Now
		}
		return c.state != probeRTT
	})
	if c.state != probeCruise {
		t.Fatalf("ProbeRTT leads to %v", c.state)
	}
	if d := b.Now.Sub(low); d < probeRTTDuration || d > probeRTTDuration+100*time.Millisecond {
		t.Errorf("little was in flight for %v", d)
	}
	if c.minRTT < b.Path.RTT || c.minRTT > b.Path.RTT+2*time.Millisecond {
		t.Errorf("min_rtt is %v", c.minRTT)
	}
	bw := c.maxBw()
	b.Run(time.Second)
	if math.Abs(c.maxBw()/bw-1) > 0.02 {
		t.Errorf("ProbeRTT took max_bw from %.4g to %.4g", bw, c.maxBw())
	}
}

// A longer path becomes known: min_rtt rises after ProbeRTT.
func TestRTTRises(t *testing.T) {
	c, b := newBench(t, road())
	reach(t, c, b, probeCruise)
	b.Path.RTT *= 2
	b.Run(25 * time.Second)
	if c.minRTT < 80*time.Millisecond || c.minRTT > 90*time.Millisecond {
		t.Errorf("min_rtt is %v on a path of 80 ms", c.minRTT)
	}
	from := b.Delivered
	b.Run(5 * time.Second)
	if used := float64(b.Delivered-from) / 5 / 1.25e6; used < 0.9 {
		t.Errorf("%.3f of the link is used", used)
	}
}

// Random loss of 1 % takes much less than it takes from others. What it takes is the
// draft's: each round with a loss lowers bw_shortterm to what was measured last,
// about 1 % less; and the first in DOWN to what DOWN itself sends, 11 % less,
// since a sample is no higher than the rate of sending.
func TestRandomLoss(t *testing.T) {
	p := road()
	p.Rate, p.RTT, p.Queue = 12.5e6, 100*time.Millisecond, 1250*mss
	x := uint64(1)
	p.Lose = func(int64) bool {
		x = x*6364136223846793005 + 1442695040888963407
		return x>>33%100 == 0
	}
	_, b := newBench(t, p)
	b.Run(10 * time.Second)
	from := b.Delivered
	b.Run(60 * time.Second)
	used := float64(b.Delivered-from) / 60 / 12.5e6
	t.Logf("%.3f of the link is used", used)
	if used < 0.8 {
		t.Errorf("%.3f of the link is used", used)
	}
}

// A.2: heavy loss ends startup even when the application is the limit.
func TestStartupLoss(t *testing.T) {
	p := road()
	p.Rate = 12.5e6
	c, b := newBench(t, p)
	b.AppRate = 2e6
	b.Run(time.Second)
	if c.state != startup {
		t.Fatalf("in %v though application-limited", c.state)
	}
	b.Path.Lose = func(n int64) bool { return n%10 == 0 }
	if !b.RunUntil(2*time.Second, func() bool { return c.state != startup }) {
		t.Fatal("startup goes on with a tenth of the packets lost")
	}
	if !c.fullBwReached || c.inflightLongterm == infinite || !c.undoValid || c.undo != startup {
		t.Errorf("full_bw_reached %v, inflight_longterm %d", c.fullBwReached, c.inflightLongterm)
	}
	if b.Phase != 3 { // cc.Recovery
		t.Errorf("in %v", b.Phase)
	}
}

// A burst of losses, and a loss rate below the threshold, do not end startup.
func TestStartupShrugsOffLittleLoss(t *testing.T) {
	for name, lose := range map[string]func(n int64) bool{
		"burst": func(n int64) bool { return n >= 100 && n < 120 },
		"1 %":   func(n int64) bool { return n%100 == 99 },
	} {
		p := road()
		p.Rate, p.Queue = 125e6, 0
		p.Lose = lose
		c, b := newBench(t, p)
		b.RunUntil(5*time.Second, func() bool { return c.state != startup })
		if c.inflightLongterm != infinite {
			t.Errorf("%s: startup ended for loss, after %d packets", name, b.Sent)
		}
	}
}

// A.6 and A.21: loss above the threshold ends UP at once, and sets inflight_longterm.
func TestProbeUpLoss(t *testing.T) {
	c, b := newBench(t, road())
	reach(t, c, b, probeUp)
	b.Run(45 * time.Millisecond) // until what UP has sent is acknowledged
	b.Path.Lose = func(n int64) bool { return n%10 == 0 }
	if !b.RunUntil(200*time.Millisecond, func() bool { return c.state != probeUp }) {
		t.Fatal("UP goes on")
	}
	if !c.prevProbeTooHigh || c.inflightLongterm == infinite || c.inflightLongterm < amount(beta*bdp) || c.inflightLongterm > 3*bdp {
		t.Errorf("prev_probe_too_high %v, inflight_longterm %d", c.prevProbeTooHigh, c.inflightLongterm)
	}
}

// A.7: without loss, and application-limited, startup does not end.
func TestStartupApplicationLimited(t *testing.T) {
	c, b := newBench(t, road())
	b.AppRate = 1e5
	b.RunUntil(60*time.Second, func() bool {
		if c.state != startup && c.state != probeRTT {
			t.Fatalf("in %v", c.state)
		}
		return false
	})
	if w := c.cwnd; w > 100*mss {
		t.Errorf("cwnd is %d", w)
	}
}

// A.20: ProbeRTT in startup leads back to startup.
func TestProbeRTTInStartup(t *testing.T) {
	c, b := newBench(t, road())
	b.AppRate = 1e5
	b.Run(100 * time.Millisecond)
	b.Path.RTT += 5 * time.Millisecond // the minimum is not met again
	reach(t, c, b, probeRTT)
	b.RunUntil(time.Second, func() bool { return c.state != probeRTT })
	if c.state != startup {
		t.Errorf("ProbeRTT leads to %v", c.state)
	}
}

// A.11: after a pause there is no need for ProbeRTT, and sending goes on at the rate
// that was found.
func TestIdleRestart(t *testing.T) {
	c, b := newBench(t, road())
	reach(t, c, b, probeCruise)
	b.Paused = true
	b.Run(6 * time.Second)
	if b.InFlight != 0 {
		t.Fatalf("%d in flight", b.InFlight)
	}
	w := c.cwnd
	b.Paused = false
	b.RunUntil(time.Second, func() bool { return b.InFlight > 0 })
	if !c.idleRestart {
		t.Error("idle_restart is not set")
	}
	if c.cwnd != w {
		t.Errorf("the pause took cwnd from %d to %d", w, c.cwnd)
	}
	if r := c.pacingRate / (c.bw * 0.99); math.Abs(r-1) > 1e-9 {
		t.Errorf("pacing at %.3f bw", r)
	}
	b.RunUntil(time.Second, func() bool {
		if c.state == probeRTT {
			t.Fatal("ProbeRTT after a pause")
		}
		return false
	})
}

// A.22: a pause in REFILL does not lower max_bw.
func TestPauseInRefill(t *testing.T) {
	c, b := newBench(t, road())
	reach(t, c, b, probeRefill)
	bw := c.maxBw()
	b.AppRate = 2e5
	b.Run(300 * time.Millisecond)
	if c.maxBw() < bw {
		t.Errorf("max_bw went from %.4g to %.4g", bw, c.maxBw())
	}
	b.AppRate = 0
	reach(t, c, b, probeUp)
}

// A.14: a BDP below a packet. Four are in flight, at the right rate.
func TestTinyBDP(t *testing.T) {
	c, b := newBench(t, cctest.Path{Rate: 8000, RTT: 10 * time.Millisecond, Queue: 30 * mss})
	b.Run(20 * time.Second)
	if c.state == startup || c.state == drain {
		t.Fatalf("still in %v", c.state)
	}
	if bw := c.maxBw() / 8000; math.Abs(bw-1) > 0.05 {
		t.Errorf("max_bw is %.3f of the link's", bw)
	}
	from := b.Delivered
	b.RunUntil(20*time.Second, func() bool {
		if c.cwnd < minPipe*mss {
			t.Fatalf("cwnd is %d", c.cwnd)
		}
		return false
	})
	if used := float64(b.Delivered-from) / 20 / 8000; used < 0.9 {
		t.Errorf("%.3f of the link is used", used)
	}
	if b.QueueDelay() > 3*time.Second {
		t.Errorf("a queue of %v", b.QueueDelay())
	}
}

// A.18 and A.19: a loss that was none is undone, to where the probe had been.
func TestUndo(t *testing.T) {
	// In startup.
	p := road()
	p.Rate = 12.5e6
	c, b := newBench(t, p)
	b.Run(150 * time.Millisecond)
	if c.state != startup {
		t.Fatal("the test needs startup")
	}
	b.Path.Lose = func(n int64) bool { return n%10 == 0 }
	b.RunUntil(time.Second, func() bool { return c.state == drain })
	if c.state != drain || c.inflightLongterm == infinite {
		t.Fatal("the test needs loss")
	}
	w := c.priorCwnd
	c.Undo(b.Now, 0)
	if c.state != startup || c.fullBwReached || c.inflightLongterm != infinite || c.cwnd < w {
		t.Errorf("undone: %v, inflight_longterm %d, cwnd %d of %d", c.state, c.inflightLongterm, c.cwnd, w)
	}

	// In UP.
	c, b = newBench(t, road())
	reach(t, c, b, probeUp)
	b.Run(45 * time.Millisecond)
	b.Path.Lose = func(n int64) bool { return n%10 == 0 }
	b.RunUntil(time.Second, func() bool { return c.prevProbeTooHigh })
	if c.inflightLongterm == infinite {
		t.Fatal("the test needs loss")
	}
	c.Undo(b.Now, 0)
	if c.state != probeRefill || c.inflightLongterm != infinite {
		t.Errorf("undone: %v, inflight_longterm %d", c.state, c.inflightLongterm)
	}
	c.Undo(b.Now, 0) // of nothing
}

// After a timeout one segment may leave; when it is over, cwnd is what it was.
func TestTimeout(t *testing.T) {
	c, b := newBench(t, road())
	reach(t, c, b, probeCruise)
	w := c.cwnd
	b.Path.Lose = func(int64) bool { return true }
	b.RunUntil(5*time.Second, func() bool { return b.Timeouts == 1 })
	if c.cwnd != mss {
		t.Errorf("cwnd is %d after a timeout", c.cwnd)
	}
	b.Path.Lose = nil
	b.Run(time.Second)
	if c.cwnd < w/2 || c.inRecovery {
		t.Errorf("cwnd is %d a second after a timeout, was %d", c.cwnd, w)
	}
}

// Section 3.7: marks count as congestion, wherever they come.
func TestMarks(t *testing.T) {
	p := road()
	p.Mark = 10 * time.Millisecond
	c, b := newBench(t, p)
	b.RunUntil(time.Second, func() bool { return c.state != startup })
	if c.state != drain || c.inflightLongterm == infinite {
		t.Errorf("a mark in startup leads to %v", c.state)
	}
	b.Run(3 * time.Second)
	from := b.Delivered
	b.Run(20 * time.Second)
	if used := float64(b.Delivered-from) / 20 / 1.25e6; used < 0.85 {
		t.Errorf("%.3f of the link is used", used)
	}
	if b.SRTT > 80*time.Millisecond {
		t.Errorf("srtt is %v", b.SRTT)
	}
}

// A.17: a policer, that is a bottleneck without a queue.
func TestPolicer(t *testing.T) {
	p := cctest.Path{Rate: 125e6, RTT: 40 * time.Millisecond}
	c, b := newBench(t, p)
	tokens, at := 100e3, b.Now // at 10 Mbit/s
	b.Path.Lose = func(int64) bool {
		tokens = min(tokens+1.25e6*b.Now.Sub(at).Seconds(), 100e3)
		at = b.Now
		if tokens < mss {
			return true
		}
		tokens -= mss
		return false
	}
	b.Run(5 * time.Second)
	from, lost := b.Delivered, b.Lost
	b.Run(20 * time.Second)
	used := float64(b.Delivered-from) / 20 / 1.25e6
	share := float64(b.Lost-lost) / float64(b.Delivered-from)
	t.Logf("%.3f of the rate used, %.4f lost, in %v", used, share, c.state)
	if used < 0.8 || share > 0.05 {
		t.Errorf("%.3f of the rate used, %.4f lost", used, share)
	}
}

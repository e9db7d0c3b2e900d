// Package cubic is CUBIC, RFC 9438: between congestion events the window follows a
// cubic function of time around the size at which the last loss came.
//
// The first slow start is HyStart++, RFC 9406. Options, with their defaults:
//
//	c=0.4                how fast the cubic grows, segments per second cubed
//	beta=0.7             what is left of the window after congestion
//	fast_convergence=on  give way to new flows (section 4.7)
//	hystart=on           leave slow start when delay grows
package cubic

import (
	"math"
	"time"

	"github.com/sluicenet/sluice/api/cc"
)

const (
	// maxSegmentsPerAck limits the growth of slow start for one ACK: L of
	// RFC 9406, section 4.2.
	maxSegmentsPerAck = 8

	// maxWindow keeps the arithmetic exact. An engine's own limit is much lower.
	maxWindow = 1 << 40
)

const noThreshold = float64(cc.NoThreshold) // exact: a power of two

// All windows are bytes; float64 holds them exactly, and the fractions that one ACK
// adds. Products that are summed are converted explicitly, which keeps compilers
// from fusing them: results are the same on every architecture.
//
// Of most connections that there are at any time most are in their first slow start.
// What comes after it is allocated at its end, and kept.
type controller struct {
	*options
	trace func(key string, value float64)

	mss, initial   float64
	cwnd, ssthresh float64
	*grown         // nobody's, which is empty, in the first slow start
	hystart

	inEpoch bool // in congestion avoidance, with the variables set up
	reduced bool // congestion avoidance follows a reduction, with no slow start between
	timeout bool // ... follows the slow start after a timeout
}

// options are those of the package documentation.
type options struct {
	c, beta         float64
	fastConvergence bool
	delayBased      bool // HyStart++
}

// grown is what congestion avoidance needs.
type grown struct {
	avoidance         // of the present or the last epoch
	last      cc.Time // of the last ACK seen in the epoch
	saved     saved   // before the last congestion, for Undo
}

var nobody grown // never written

// grow is called before something is put into c.grown.
func (c *controller) grow() {
	if c.grown == &nobody {
		c.grown = new(grown)
	}
}

type saved struct {
	valid                     bool
	inEpoch, reduced, timeout bool
	cwnd, ssthresh            float64
	avoidance
}

// avoidance holds the variables of congestion avoidance, in RFC 9438's names.
type avoidance struct {
	tEpoch    cc.Time // start of the epoch, later by the time that does not count
	k         float64 // seconds from tEpoch until the cubic reaches wMax
	wMax      float64
	wEst      float64 // what Reno would have
	cwndPrior float64 // cwnd at the last reduction
}

func (c *controller) OnAck(ev *cc.AckEvent) {
	// While a reduction is under way the engine leads cwnd down to ssthresh.
	if ev.Phase == cc.Recovery || ev.Phase == cc.CWR {
		return
	}
	if c.delayBased && c.ssthresh == noThreshold && c.hystart.onAck(ev) {
		c.ssthresh = c.cwnd // RFC 9406, section 4.2: the end of slow start
	}
	if c.inEpoch && !ev.CwndLimited {
		// Section 4.2: time in which the window could not grow for want of
		// data MUST NOT count.
		c.skip(ev.Now)
	}
	if !ev.CwndLimited || ev.Delivered <= 0 {
		return // section 4.3 and RFC 7661: an unused window does not grow
	}
	if c.cwnd < c.ssthresh {
		c.slowStart(ev)
	} else {
		c.avoidCongestion(ev)
	}
}

// skip excludes the time since the last ACK from the epoch.
func (c *controller) skip(now cc.Time) {
	c.tEpoch = min(c.tEpoch.Add(now.Sub(c.last)), now)
	c.last = now
}

// RFC 5681, section 3.1 (2), with L of RFC 3465, which is 1 after a timeout.
func (c *controller) slowStart(ev *cc.AckEvent) {
	limit := maxSegmentsPerAck * c.mss
	if ev.Phase == cc.Loss {
		limit = c.mss
	}
	c.cwnd = min(c.cwnd+c.growth(min(float64(ev.Delivered), limit)), c.ssthresh, maxWindow)
	c.inEpoch, c.reduced = false, false
}

func (c *controller) avoidCongestion(ev *cc.AckEvent) {
	if !c.inEpoch {
		c.startEpoch(ev.Now)
	}
	c.last = ev.Now
	// One ACK never counts for more than a window.
	share := min(float64(ev.Delivered)/c.cwnd, 1)

	// Section 4.3: what Reno would have by now. Once that has
	// caught up with the last reduction it grows as fast as Reno itself.
	alpha := 3 * (1 - c.beta) / (1 + c.beta)
	if c.wEst >= c.cwndPrior {
		alpha = 1
	}
	c.wEst = min(c.wEst+float64(alpha*c.mss*share), maxWindow)

	t := ev.Now.Sub(c.tEpoch)
	if c.cubic(t) < c.wEst {
		c.cwnd = max(c.cwnd, c.wEst)
		return
	}
	// Sections 4.2, 4.4 and 4.5.
	target := clamp(c.cubic(t+ev.RTT.Smoothed), c.cwnd, min(1.5*c.cwnd, maxWindow))
	c.cwnd += float64((target - c.cwnd) * share)
}

// cubic is W_cubic of section 4.2, equation 1, in bytes.
func (c *controller) cubic(t time.Duration) float64 {
	x := t.Seconds() - c.k
	return c.wMax + float64(c.c*x*x*x*c.mss)
}

func (c *controller) startEpoch(now cc.Time) {
	c.grow()
	c.inEpoch, c.tEpoch = true, now
	c.wEst = c.cwnd
	switch {
	case c.reduced && c.cwnd < c.wMax:
		// Section 4.2, equation 2.
		c.k = math.Cbrt((c.wMax - c.cwnd) / c.mss / c.c)
	case c.reduced, c.timeout: // section 4.8
		c.k, c.wMax = 0, c.cwnd
	default: // section 4.10: slow start ended without a loss
		c.k, c.wMax, c.cwndPrior = 0, c.cwnd, c.cwnd
	}
	c.reduced, c.timeout = false, false
	if c.trace != nil {
		c.trace("cubic_k", c.k)
		c.trace("cubic_w_max", c.wMax)
	}
}

func (c *controller) OnCongestion(ev *cc.CongestionEvent) {
	c.grow()
	if !ev.Repeat || !c.saved.valid {
		c.saved = saved{true, c.inEpoch, c.reduced, c.timeout, c.cwnd, c.ssthresh, c.avoidance}
	}
	if ev.Repeat { // another timeout: RFC 5681, section 3.1, ssthresh stays
		c.cwnd = c.mss
		c.inEpoch, c.reduced, c.timeout = false, false, true
		return
	}

	// Section 4.7. Where there was no epoch yet, wMax is 0.
	if c.fastConvergence && c.cwnd < c.wMax {
		c.wMax = c.cwnd * (1 + c.beta) / 2
	} else {
		c.wMax = c.cwnd
	}
	// Section 4.6.
	c.cwndPrior = c.cwnd
	reduced := clamp(math.Round(float64(ev.FlightSize)*c.beta), 0, maxWindow)
	c.ssthresh = max(reduced, 2*c.mss)
	c.inEpoch, c.reduced, c.timeout = false, true, false
	c.hystart = hystart{}
	switch ev.Kind {
	case cc.Timeout:
		c.cwnd = c.mss
		c.reduced, c.timeout = false, true
	case cc.ECNMark:
		c.cwnd = max(reduced, c.mss)
	default:
		c.cwnd = c.ssthresh
	}
}

// Undo implements [cc.Undoer]: section 4.9.
func (c *controller) Undo(now cc.Time, kind cc.CongestionKind) {
	s := &c.saved
	if !s.valid {
		return
	}
	if c.cwnd < c.cwndPrior {
		c.cwnd, c.ssthresh, c.avoidance = max(s.cwnd, c.mss), max(s.ssthresh, 2*c.mss), s.avoidance
		c.inEpoch, c.reduced, c.timeout = s.inEpoch, s.reduced, s.timeout
		c.last = now
	}
	s.valid = false
}

// OnRestart implements [cc.IdleObserver]: the restart window of RFC 5681,
// section 4.1. The idle time does not count.
func (c *controller) OnRestart(now cc.Time, idle time.Duration) {
	if c.inEpoch {
		c.skip(now)
	}
	c.hystart = hystart{}
	if c.cwnd > c.initial {
		c.cwnd = c.initial
		c.inEpoch, c.reduced = false, false
	}
}

// OnMSS implements [cc.MSSObserver]. RFC 5681, section 3.1: where segments turn out
// too large, cwnd shrinks with them, so that there is no burst of small ones.
func (c *controller) OnMSS(mss int64) {
	m := float64(max(mss, 1))
	if m < c.mss {
		r := m / c.mss
		for _, w := range []*float64{&c.cwnd, &c.initial, &c.wMax, &c.wEst, &c.cwndPrior} {
			if *w != 0 {
				*w = math.Floor(*w * r)
			}
		}
	}
	c.mss = m
	c.cwnd, c.initial = max(c.cwnd, m), max(c.initial, m)
	c.ssthresh = max(c.ssthresh, 2*m)
}

func (c *controller) Control() cc.Control {
	return cc.Control{Cwnd: int64(c.cwnd), Ssthresh: int64(c.ssthresh)}
}

// Vars implements [cc.Inspector].
func (c *controller) Vars(yield func(name string, value float64) bool) {
	_ = yield("w_max", c.wMax) && yield("w_est", c.wEst) && yield("k", c.k) && yield("cwnd_prior", c.cwndPrior) && yield("css", b2f(c.css))
}

func b2f(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func clamp(x, lo, hi float64) float64 { return max(lo, min(x, hi)) }

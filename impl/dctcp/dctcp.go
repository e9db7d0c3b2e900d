// Package dctcp is Data Center TCP, RFC 8257: the window shrinks in proportion to
// how much of the data met congestion, as ECN marks tell, rather than by half.
//
// It is for networks whose switches mark early, and which carry nothing else:
// beside other controllers it takes more than its share (RFC 8257, section 5).
// Growth, and the response to loss, are those of RFC 5681. Without ECN it is
// Reno. Options, with their defaults:
//
//	g=0.0625  weight of the newest window in the estimate (section 4.2)
//	alpha=1   the estimate at the start (section 3.3)
package dctcp

import (
	"fmt"
	"strconv"
	"time"

	"github.com/sluicenet/sluice/api/cc"
)

// Factory makes DCTCP controllers, under the name "dctcp".
var Factory cc.Factory = factory{}

const (
	// maxSegmentsPerAck is L of RFC 3465, section 2.2; 8 as in RFC 9406, section
	// 4.2, since ACKs of today cover up to 64 KB.
	maxSegmentsPerAck = 8

	// maxWindow keeps the arithmetic far from overflowing. An engine's own
	// limit is much lower.
	maxWindow int64 = 1 << 40
)

type factory struct{}

func (factory) Name() string { return "dctcp" }

func (factory) New(env *cc.Env, opts string) (cc.Controller, error) {
	c := &controller{g: 1.0 / 16, alpha: 1, trace: env.Trace}
	err := cc.ParseOptions(opts, func(key, value string) (known bool, err error) {
		switch key {
		case "g":
			c.g, err = fraction(value)
			if err == nil && c.g == 0 {
				err = fmt.Errorf("must not be 0")
			}
		case "alpha":
			c.alpha, err = fraction(value)
		default:
			return false, nil
		}
		return true, err
	})
	if err != nil {
		return nil, fmt.Errorf("dctcp: %w", err)
	}
	c.mss = max(env.MSS, 1)
	c.initial = min(max(env.InitialWindow, c.mss), maxWindow)
	c.cwnd, c.ssthresh = c.initial, cc.NoThreshold
	return c, nil
}

// fraction parses a number from 0 to 1.
func fraction(s string) (float64, error) {
	x, err := strconv.ParseFloat(s, 64)
	if err != nil || !(x >= 0 && x <= 1) {
		return 0, fmt.Errorf("%q is not a number from 0 to 1", s)
	}
	return x, nil
}

type controller struct {
	g     float64
	trace func(key string, value float64)

	mss      int64
	initial  int64 // initial window
	cwnd     int64
	ssthresh int64
	grown    int64 // in congestion avoidance: bytes since cwnd last grew

	// RFC 8257, section 3.3, in its names.
	alpha                   float64
	bytesAcked, bytesMarked int64
	windowEnd               uint64

	sndUna uint64 // as of the last ACK

	// The last reduction on a mark: until when it counts, and what a loss would
	// have made of the window.
	reducedUntil uint64
	halved       int64

	saved struct { // before the last congestion, for Undo
		valid          bool
		cwnd, ssthresh int64
	}
}

// ECN implements [cc.ECNUser].
func (c *controller) ECN() cc.ECNMode { return cc.ECNEach }

func (c *controller) OnAck(ev *cc.AckEvent) {
	c.estimate(ev)
	c.sndUna = max(c.sndUna, ev.SndUna)

	// In recovery the engine leads cwnd down to ssthresh. After a mark there is
	// nothing to lead: RFC 8257 reduces at once, and ACKs without an echo
	// count as ever.
	if ev.Phase == cc.Recovery || ev.ECE || !ev.CwndLimited || ev.Delivered <= 0 {
		return
	}
	if c.cwnd < c.ssthresh {
		limit := maxSegmentsPerAck * c.mss
		if ev.Phase == cc.Loss { // RFC 3465, section 2.3
			limit = c.mss
		}
		c.cwnd = min(c.cwnd+min(ev.Delivered, limit), c.ssthresh, maxWindow)
		c.grown = 0
		return
	}
	// RFC 5681, section 3.1: one SMSS each window, and no more for one ACK.
	c.grown += min(ev.Delivered, c.cwnd)
	if c.grown >= c.cwnd {
		c.grown -= c.cwnd
		c.cwnd = min(c.cwnd+c.mss, maxWindow)
	}
}

// estimate updates alpha once in a window of data: RFC 8257, section 3.3. Selective
// acknowledgements do not count.
func (c *controller) estimate(ev *cc.AckEvent) {
	n := min(max(ev.CumAcked, 0), maxWindow)
	c.bytesAcked = min(c.bytesAcked+n, maxWindow)
	if ev.ECE {
		c.bytesMarked = min(c.bytesMarked+n, maxWindow)
	}
	if ev.SndUna <= c.windowEnd || c.bytesAcked == 0 {
		return
	}
	m := float64(c.bytesMarked) / float64(c.bytesAcked)
	// Converted explicitly, which keeps compilers from fusing the products:
	// results are the same on every architecture.
	c.alpha = float64(c.alpha*(1-c.g)) + float64(c.g*m)
	c.alpha = min(max(c.alpha, 0), 1)
	c.windowEnd = ev.SndNxt
	c.bytesAcked, c.bytesMarked = 0, 0
	if c.trace != nil {
		c.trace("dctcp_alpha", c.alpha)
	}
}

func (c *controller) OnCongestion(ev *cc.CongestionEvent) {
	c.grown = 0
	if ev.Repeat { // RFC 5681, section 3.1: ssthresh stays
		c.cwnd = c.mss
		return
	}
	c.saved.valid, c.saved.cwnd, c.saved.ssthresh = true, c.cwnd, c.ssthresh
	half := max(min(ev.FlightSize, maxWindow)/2, 2*c.mss) // RFC 5681, equation 4
	if ev.Kind == cc.ECNMark {
		c.halved, c.reducedUntil = half, ev.SndNxt
		// Section 3.3: cwnd = cwnd * (1 - DCTCP.Alpha / 2).
		w := float64(c.cwnd) * (1 - c.alpha/2)
		c.cwnd = min(max(int64(w), 2*c.mss), max(c.cwnd, c.mss))
		c.ssthresh = max(c.cwnd, 2*c.mss)
		return
	}
	if c.sndUna < c.reducedUntil {
		// Section 3.5: one reduction in a window, whatever the signals. But loss
		// is answered no less than Reno would have answered it.
		c.ssthresh = min(c.ssthresh, c.halved)
		c.reducedUntil = 0
	} else {
		c.ssthresh = half
	}
	if ev.Kind == cc.Timeout {
		c.cwnd = c.mss
	} else {
		c.cwnd = c.ssthresh
	}
}

// Undo implements [cc.Undoer].
func (c *controller) Undo(now cc.Time, kind cc.CongestionKind) {
	if !c.saved.valid {
		return
	}
	c.saved.valid = false
	c.cwnd = max(c.cwnd, c.saved.cwnd)
	c.ssthresh = max(c.ssthresh, c.saved.ssthresh)
}

// OnRestart implements [cc.IdleObserver]: the restart window of RFC 5681,
// section 4.1.
func (c *controller) OnRestart(now cc.Time, idle time.Duration) {
	c.cwnd = min(c.cwnd, c.initial)
	c.grown = 0
}

// OnMSS implements [cc.MSSObserver]. RFC 5681, section 3.1: where segments turn out
// too large, cwnd shrinks with them, so that there is no burst of small ones.
func (c *controller) OnMSS(mss int64) {
	mss = max(mss, 1)
	if mss < c.mss {
		c.cwnd = scale(c.cwnd, mss, c.mss)
		c.initial = scale(c.initial, mss, c.mss)
	}
	c.mss = mss
	c.cwnd, c.initial = max(c.cwnd, mss), max(c.initial, mss)
	c.ssthresh, c.halved = max(c.ssthresh, 2*mss), max(c.halved, 2*mss)
	c.grown = 0
}

// scale returns w * num / den for a window.
func scale(w, num, den int64) int64 { return w/den*num + w%den*num/den }

func (c *controller) Control() cc.Control {
	return cc.Control{Cwnd: c.cwnd, Ssthresh: c.ssthresh}
}

// Vars implements [cc.Inspector].
func (c *controller) Vars(yield func(name string, value float64) bool) {
	_ = yield("alpha", c.alpha) && yield("bytes_marked", float64(c.bytesMarked)) && yield("bytes_acked", float64(c.bytesAcked))
}

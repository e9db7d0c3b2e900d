// Package reno is the standard congestion control of TCP: RFC 5681 with the
// NewReno response of RFC 6582, counting bytes as RFC 3465 does.
//
// It needs no options and takes none. The engine does what the RFCs leave to
// the sender: fast retransmit, the window during recovery, retransmissions.
package reno

import (
	"fmt"
	"time"

	"github.com/sluicenet/sluice/api/cc"
)

// Factory makes Reno controllers, under the name "reno".
var Factory cc.Factory = factory{}

const (
	// maxSegmentsPerAck is L of RFC 3465, section 2.2: how many segments one ACK
	// adds in slow start. That RFC allowed 2; since ACKs of today cover up to
	// 64 KB, we take the 8 of RFC 9406, section 4.2.
	maxSegmentsPerAck = 8

	// maxWindow keeps the arithmetic far from overflowing. An engine's own
	// limit is much lower.
	maxWindow int64 = 1 << 40
)

type factory struct{}

func (factory) Name() string { return "reno" }

func (factory) New(env *cc.Env, opts string) (cc.Controller, error) {
	err := cc.ParseOptions(opts, func(key, value string) (bool, error) { return false, nil })
	if err != nil {
		return nil, fmt.Errorf("reno: %w", err)
	}
	mss := max(env.MSS, 1)
	iw := min(max(env.InitialWindow, mss), maxWindow)
	return &controller{mss: mss, initial: iw, cwnd: iw, ssthresh: cc.NoThreshold}, nil
}

type controller struct {
	mss      int64
	initial  int64 // initial window
	cwnd     int64
	ssthresh int64
	acked    int64 // in congestion avoidance: bytes since cwnd last grew

	saved struct { // before the last congestion, for Undo
		valid          bool
		cwnd, ssthresh int64
	}
}

// OnAck grows the window. Bytes count when they are delivered, cumulatively or
// selectively, so that each counts once.
func (c *controller) OnAck(ev *cc.AckEvent) {
	// While a reduction is under way the engine leads cwnd down to ssthresh.
	if ev.Phase == cc.Recovery || ev.Phase == cc.CWR {
		return
	}
	// A window that was not used says nothing about what the network can carry
	// (RFC 7661, section 1), so it must not grow.
	if !ev.CwndLimited || ev.Delivered <= 0 {
		return
	}
	if c.cwnd < c.ssthresh {
		c.slowStart(ev)
	} else {
		c.avoidCongestion(ev.Delivered)
	}
}

// RFC 5681, section 3.1 (2), with L of RFC 3465.
func (c *controller) slowStart(ev *cc.AckEvent) {
	limit := maxSegmentsPerAck * c.mss
	if ev.Phase == cc.Loss {
		// RFC 3465, section 2.3: after a timeout one ACK may cover much that
		// had left the network long ago.
		limit = c.mss
	}
	c.cwnd = min(c.cwnd+min(ev.Delivered, limit), c.ssthresh, maxWindow)
	c.acked = 0
}

// RFC 5681, section 3.1: one SMSS each time that a window of bytes was
// acknowledged, and no more for one ACK.
func (c *controller) avoidCongestion(delivered int64) {
	c.acked += min(delivered, c.cwnd)
	if c.acked >= c.cwnd {
		c.acked -= c.cwnd
		c.cwnd = min(c.cwnd+c.mss, maxWindow)
	}
}

func (c *controller) OnCongestion(ev *cc.CongestionEvent) {
	if !ev.Repeat || !c.saved.valid {
		c.saved.valid, c.saved.cwnd, c.saved.ssthresh = true, c.cwnd, c.ssthresh
	}
	if !ev.Repeat {
		// RFC 5681, equation 4: of FlightSize, not of cwnd.
		c.ssthresh = max(min(ev.FlightSize, maxWindow)/2, 2*c.mss)
	}
	c.acked = 0
	if ev.Kind == cc.Timeout {
		c.cwnd = c.mss // the loss window, RFC 5681, section 3.1
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
	c.acked = 0
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
	c.ssthresh = max(c.ssthresh, 2*mss)
	c.acked = 0
}

// scale returns w * num / den for a window.
func scale(w, num, den int64) int64 { return w/den*num + w%den*num/den }

func (c *controller) Control() cc.Control {
	return cc.Control{Cwnd: c.cwnd, Ssthresh: c.ssthresh}
}

// Vars implements [cc.Inspector].
func (c *controller) Vars(yield func(name string, value float64) bool) {
	_ = yield("acked", float64(c.acked))
}

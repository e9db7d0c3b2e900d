package tcp

import (
	"time"

	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/fault"
)

// Tail loss probes (RFC 8985, section 7): when the last segments of a flight may
// be lost, nothing comes after them from which that would follow. One probe
// draws an ACK that tells, long before the retransmission timeout.

const (
	tlpMaxAckDelay = 200 * time.Millisecond // TLP.max_ack_delay: of the peer
	tlpInitial     = time.Second            // PTO without a measurement

	// tlpMin is the least PTO. Where round trips take microseconds, goroutines and
	// processors are late by more than two of them, and each probe would be for
	// nothing. Linux has the same (TCP_TIMEOUT_MIN).
	tlpMin = 2 * time.Millisecond
)

type tlpState struct {
	due    bool   // Poll is to send the probe
	end    uint64 // TLP.end_seq: SND.NXT when the probe was sent; 0: none is out
	resent bool   // TLP.is_retrans
}

// mayProbe reports whether no losses are being repaired.
func (c *Conn) mayProbe() bool {
	if fault.On("tlp-off") {
		return false
	}
	return c.phase == cc.Open || c.phase == cc.CWR
}

// armProbe starts the probe timer after something was sent or acknowledged, if a
// probe would be useful (section 7.2), and reports whether it is running.
func (c *Conn) armProbe(now clock.Time) {
	c.tm.stop(tmProbe)
	if c.ctl == nil || !c.useRACK() || c.p.Like.NoTLP || !c.mayProbe() || len(c.sb.ranges) > 0 ||
		c.sndUna == c.sndNxt || c.tlp.end != 0 || c.tlp.due || c.backoff > 0 || !c.tm.armed(tmRetransmit) || c.pending() {
		return
	}
	pto := tlpInitial
	if c.rtt.samples > 0 {
		pto = max(2*c.rtt.srtt, tlpMin)
		if fault.On("tlp-early") {
			pto = c.rtt.srtt / 2
		}
		if int64(c.sndNxt-c.sndUna) <= c.mss && !fault.On("tlp-without-ack-delay") {
			pto += tlpMaxAckDelay
		}
	}
	// Not later than the RTO, in whose place it then comes.
	c.tm[tmProbe] = min(now.Add(pto), c.tm[tmRetransmit])
}

// onProbeTimeout makes Poll send a probe (section 7.3).
func (c *Conn) onProbeTimeout(now clock.Time) {
	if c.sndUna == c.sndNxt || !c.mayProbe() || c.tlp.end != 0 && !fault.On("tlp-again-and-again") || c.persisting() {
		return
	}
	c.tlp.due = true
	c.tm[tmRetransmit] = now.Add(c.currentRTO())
}

// pollTailProbe sends the probe: new data if there is some and the peer's window
// allows it, whatever cwnd says, and otherwise the last segment again.
func (c *Conn) pollTailProbe(now clock.Time, out *Out) bool {
	c.tlp.due = false
	if c.sndUna == c.sndNxt || !c.mayProbe() {
		return false
	}
	size := c.segmentSize()
	n := min(c.unsent(), c.usable(), size)
	if c.p.Like.Records && n > 0 {
		n = c.sq.record(max(c.sndNxt, c.iss+1), n)
	}
	if n > 0 && !fault.On("tlp-no-new-data") && !c.tm.armed(tmCWR) && (n == size || n == c.unsent()) {
		c.tlp.resent = false
		c.sendNew(now, out, n, size, c.finPending() && n == c.unsent() && c.usable() > n)
	} else {
		i := len(c.sb.live()) - 1
		r := &c.sb.live()[i]
		from := r.start
		if r.len() > size {
			from = r.end - uint64(size)
		}
		if r.flags&recSacked != 0 || from >= c.sndEdge { // or beyond a window that has shrunk
			return false
		}
		if from > r.start {
			c.sb.split(i, from)
			i++
		}
		c.tlp.resent = true
		c.retransmit(now, out, i, size)
	}
	c.tlp.end = c.sndNxt
	c.keepRare()
	c.seldom.probes++
	c.tm.stop(tmProbe)
	c.tm[tmRetransmit] = now.Add(c.currentRTO())
	if fault.On("tlp-again-and-again") {
		c.tm[tmProbe] = now.Add(c.rtt.srtt)
	}
	return true
}

// probeAcked looks at what an ACK says about the probe (section 7.4): if the
// probe, sent again, repaired a loss, that was congestion.
func (c *Conn) probeAcked(now clock.Time, ack uint64, delivered int64) {
	t := &c.tlp
	if t.end == 0 || ack < t.end {
		return
	}
	switch {
	case !t.resent:
		t.end = 0
	case c.reo.dsack:
		t.end = 0 // both the original and the probe arrived
	case ack > t.end:
		t.end = 0
		if (c.phase == cc.Open || c.phase == cc.Disorder) && !fault.On("tlp-repair-without-response") {
			c.congested(now, cc.LossDetected, c.mss, max(c.flightSize(), c.mss), c.pipe(), false)
		}
	case delivered == 0:
		t.end = 0 // a duplicate ACK: the original and the probe arrived
	}
}

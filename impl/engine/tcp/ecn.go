package tcp

import (
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/fault"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// Explicit Congestion Notification (RFC 3168, as RFC 8311 has updated it), and
// the exact echo of RFC 8257 for controllers that ask for it.

// ECNPolicy says when connections use ECN. A controller that is a cc.ECNUser
// decides for itself, except against ECNOff.
type ECNPolicy uint8

// The policies.
const (
	ECNPassive ECNPolicy = iota // where the peer asks for it
	ECNOff                      // never
	ECNOn                       // ask for it, too
)

// codepointECT0 is ECT(0) in the IP header (RFC 3168, section 5).
const codepointECT0 = 2

// maxECNSyns is how many SYNs ask for ECN before one without it is tried: there
// are paths that lose the former (RFC 3168, section 6.1.1.1).
const maxECNSyns = 2

// maxPriorAcks bounds the ACKs that wait to tell of changes of the CE mark
// (RFC 8257, section 3.2). Beyond, what the peer learns is less exact.
const maxPriorAcks = 16

type ecnState struct {
	mode  cc.ECNMode // what the controller or the policy wants
	ask   bool       // our SYN is to ask for it
	asked bool       // one did
	plain bool       // one did not
	ok    bool       // negotiated
	seen  bool       // a packet of the peer's was capable of ECN

	// As receiver.
	echo bool // ECE stands in what we send; with ECNEach, DCTCP.CE

	// As sender.
	cwrDue bool   // the next new data carry CWR
	end    uint64 // SND.NXT at the last reduction: an echo counts beyond it
}

// priorAck is an ACK of what came before the CE mark changed.
type priorAck struct {
	ack  uint64
	echo bool
}

// chooseECN is called with a controller like the connection's, before the
// handshake.
func (c *Conn) chooseECN(ctl cc.Controller) {
	e := &c.ecn
	e.mode, e.ask = cc.ECNClassic, c.p.ECN == ECNOn
	if u, ok := ctl.(cc.ECNUser); ok {
		e.mode, e.ask = u.ECN(), true
	}
	if c.p.ECN == ECNOff || e.mode == cc.ECNOff {
		e.mode, e.ask = cc.ECNOff, false
	}
}

// ecnSyn returns what a SYN or a SYN-ACK has of ECN. RFC 3168, section 6.1.1: an
// ECN-setup SYN has ECE and CWR, an ECN-setup SYN-ACK has ECE only.
func (c *Conn) ecnSyn(flags wire.Flags) wire.Flags {
	e := &c.ecn
	switch {
	case flags&wire.ACK != 0:
		if fault.On("ecn-syn-ack-echoes-syn") && e.ok {
			return wire.ECE | wire.CWR
		}
		if e.ok || fault.On("ecn-syn-ack-unasked") {
			return wire.ECE
		}
		return 0
	case e.ask && c.synRexmits < maxECNSyns:
		e.asked = true
		return wire.ECE | wire.CWR
	}
	// "A host that has sent at least one non-ECN-setup SYN ... MUST NOT set ECT",
	// but if the peer still does, we answer.
	e.plain = true
	return 0
}

// ecnTakeSyn takes the peer's SYN without ACK in.
func (c *Conn) ecnTakeSyn(flags wire.Flags) {
	e := &c.ecn
	e.ok = e.mode != cc.ECNOff && flags&(wire.ECE|wire.CWR) == wire.ECE|wire.CWR
	if fault.On("ecn-off") {
		e.ok = false
	}
	if fault.On("ecn-unasked") {
		e.ok = true
	}
	if !c.passive { // a simultaneous open: both have to have asked
		e.ok = e.ok && e.asked
	}
}

// ecnTakeSynAck takes the peer's SYN-ACK in. One with CWR as well comes from those
// who return the bits of a SYN as they are.
func (c *Conn) ecnTakeSynAck(flags wire.Flags) {
	c.ecn.ok = c.ecn.asked && flags&(wire.ECE|wire.CWR) == wire.ECE
}

// ecnReceive takes note of the marks of a segment with data that lie in the window
// (RFC 3168, section 6.1.3: CWR first). What was not negotiated is ignored.
func (c *Conn) ecnReceive(s *Segment) {
	e := &c.ecn
	if !e.ok || s.Len == 0 {
		return
	}
	if e.mode == cc.ECNEach {
		// RFC 8257, section 3.2: when the mark changes, what came before is
		// acknowledged with the old one, at once.
		if s.CE == e.echo {
			return
		}
		if c.lastAckSent < c.rcvNxt && c.ackPending > 0 && len(c.priorAcks) < maxPriorAcks {
			c.keepRare()
			c.priorAcks = append(c.priorAcks, priorAck{c.rcvNxt, e.echo})
			c.ackPending = 0
		}
		e.echo = s.CE
		c.ackNow = true
		return
	}
	if s.TCP.Flags&wire.CWR != 0 && !fault.On("ecn-echo-for-ever") {
		e.echo = false
	}
	if s.CE && !fault.On("ecn-mark-ignored") {
		e.echo = true
	}
}

// ecnEcho returns the flag with which a segment repeats that congestion was met.
func (c *Conn) ecnEcho() wire.Flags {
	if c.ecn.ok && c.ecn.echo {
		c.ecn.echo = !fault.On("ecn-echo-once")
		return wire.ECE
	}
	return 0
}

// pollPriorAck sends one of the ACKs that precede a change of the mark, and
// reports whether there was one. Its window ends where that of the last ACK did.
func (c *Conn) pollPriorAck(now clock.Time, out *Out) bool {
	for len(c.priorAcks) > 0 {
		p := c.priorAcks[0]
		if c.priorAcks = c.priorAcks[1:]; len(c.priorAcks) == 0 {
			c.priorAcks = nil
		}
		if p.ack <= c.lastAckSent {
			continue
		}
		h := &out.TCP
		h.SrcPort, h.DstPort = c.pair.LocalPort, c.pair.RemotePort
		h.Seq, h.Ack, h.Flags = uint32(c.sndNxt), uint32(p.ack), wire.ACK
		if p.echo {
			h.Flags |= wire.ECE
		}
		h.Window = uint16(min(int64(c.rcvEdge-p.ack)>>c.rcvScale, 65535))
		if c.tsOK {
			h.Options.HasTimestamps, h.Options.TSval, h.Options.TSecr = true, c.tsNow(now), c.tsRecent
		}
		c.lastAckSent = p.ack
		out.TTL, out.DSCP = c.cfg.Flow.TTL, c.cfg.Flow.DSCP
		c.lastSend = now
		c.stats.segsSent++
		c.cfg.Counters.SegmentsOut++
		return true
	}
	return false
}

// ecnMark marks a segment of n bytes that have never been sent. RFC 3168: nothing
// else is ECT, neither pure ACKs (section 6.1.4) nor retransmissions (6.1.5) nor
// window probes (6.1.6). CWR stands on the first new data after a reduction
// (section 6.1.2).
func (c *Conn) ecnMark(out *Out, n int64) {
	if !c.ecn.ok || c.ecn.plain || n == 0 || fault.On("ecn-data-not-ect") {
		return
	}
	out.ECN = codepointECT0
	if c.ecn.cwrDue {
		c.ecn.cwrDue = false
		if !fault.On("ecn-cwr-missing") {
			out.TCP.Flags |= wire.CWR
		}
	}
}

// ecnReduced notes that the window has been reduced, for whatever reason: that
// answers every echo of what was in flight, and the peer is told.
func (c *Conn) ecnReduced() {
	c.ecn.cwrDue = c.ecn.ok
	c.ecn.end = c.sndNxt
}

// ecnCongestion answers an echo (RFC 3168, section 6.1.2), at most once in a window
// of data and not where a loss has been answered. The ACK has been taken in.
func (c *Conn) ecnCongestion(now clock.Time, cum, delivered, inFlight int64) {
	if fault.On("ecn-echo-without-reduction") {
		return
	}
	switch {
	case c.sndUna <= c.ecn.end && !fault.On("ecn-reduction-for-each-echo"): // as ever in Recovery and Loss
		return
	case c.cwnd <= c.mss:
		// "the sending TCP MUST reset the retransmit timer on receiving the
		// ECN-Echo packet when the congestion window is one. The sending TCP
		// will then be able to send a new packet only when the retransmit
		// timer expires."
		c.ecnReduced()
		c.tm[tmCWR] = now.Add(c.currentRTO())
		if c.sndUna < c.sndNxt {
			c.tm[tmRetransmit] = c.tm[tmCWR]
		}
		return
	}
	c.watchLosses()
	c.phase = cc.CWR
	c.recoveryPoint = c.sndNxt
	c.undo = undoState{}
	flight := int64(c.sndNxt-c.sndUna) + cum // as the ACK found it
	// RFC 9937, section 6, as for a loss.
	c.prr = prrState{recoverFS: max(1, int64(c.sndNxt-c.sndUna)-c.sb.sacked-c.renoSacked+delivered)}
	c.congested(now, cc.ECNMark, 0, flight, inFlight, false)
}

// engineLeads reports whether cwnd is led down to ssthresh by the engine and not
// set by the controller. RFC 8257, section 3.3, reduces at once.
func (c *Conn) engineLeads() bool {
	if _, owner := c.ctl.(cc.RecoveryOwner); owner {
		return false
	}
	return c.phase == cc.Recovery || c.phase == cc.CWR && c.ecn.mode == cc.ECNClassic
}

// leaveCWR ends the reduction after an echo.
func (c *Conn) leaveCWR() {
	c.phase = cc.Open
	if len(c.sb.ranges) > 0 || c.dupAcks > 0 {
		c.phase = cc.Disorder
	}
	c.takeControl()
}

package tcp

import (
	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/fault"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// releasePayload releases what is left of a segment's payload.
func releasePayload(s *Segment) {
	for i := range s.Payload {
		if s.Payload[i].Len() > 0 || s.Payload[i].MemSize() > 0 {
			s.Payload[i].Release()
		}
		s.Payload[i] = api.Buffer{}
	}
	s.Payload, s.Len = s.Payload[:0], 0
}

// Segment takes a segment in (RFC 9293, section 3.10.7).
func (c *Conn) Segment(now clock.Time, s *Segment) {
	n := uint64(1)
	if s.GSOSize > 0 && s.Len > int64(s.GSOSize) {
		n = uint64((s.Len + int64(s.GSOSize) - 1) / int64(s.GSOSize))
	}
	c.stats.segsReceived += n
	c.pushBase = c.sndNxt // what it lets out is a burst of its own
	if s.Len > 0 {
		c.stats.dataReceived += uint32(n)
		c.lastDataReceived = now
	}
	c.ecn.seen = c.ecn.seen || s.ECT
	c.cfg.Counters.SegmentsIn += n
	if s.TCP.Flags&wire.RST != 0 {
		c.cfg.Counters.ResetsIn++
	}
	if fault.On("window-signed") && s.TCP.Window >= 1<<15 {
		s.TCP.Window = 0
	}
	switch c.state {
	case api.StateClosed:
		c.drop(api.DropClosed)
	case api.StateSynSent:
		c.segmentSynSent(now, s)
	case api.StateTimeWait:
		c.segmentTimeWait(now, s)
	default:
		c.segmentSynchronised(now, s)
	}
	releasePayload(s)
	c.checkInvariants()
}

// segmentSynchronised is RFC 9293, section 3.10.7.4, for the states from
// SYN-RECEIVED on, but TIME-WAIT.
func (c *Conn) segmentSynchronised(now clock.Time, s *Segment) {
	h := &s.TCP
	seq := unwrap(c.rcvNxt, h.Seq)

	// RFC 7323, section 5.3: PAWS comes before the acceptability test.
	if c.tsOK && (h.Flags&wire.RST == 0 || fault.On("paws-for-rst")) && !c.checkTimestamp(now, s, seq) {
		return
	}

	// In a simultaneous open the peer's SYN-ACK repeats the SYN that brought us
	// here: what is new in it is its ACK.
	if (c.state == api.StateSynReceived || c.pending()) && h.Flags&wire.SYN != 0 && seq == c.irs {
		switch {
		case h.Flags&(wire.ACK|wire.RST) == wire.ACK && !c.passive:
			c.ecn.ok = c.ecn.ok && h.Flags&(wire.ECE|wire.CWR) == wire.ECE
			h.Flags &^= wire.SYN | wire.ECE | wire.CWR // of ECN's negotiation
			seq++
			h.Seq++
			c.ackNow = c.ackNow || c.p.Like.OfferAll
		case h.Flags&(wire.ACK|wire.RST) == 0:
			// The SYN again: our SYN-ACK was lost. If the peer has given up asking
			// for ECN, it is not used (RFC 3168, section 6.1.1).
			if h.Flags&(wire.ECE|wire.CWR) != wire.ECE|wire.CWR {
				c.ecn.ok = false
			}
			c.drop(api.DropSyn)
			if c.mayChallenge(now) {
				c.synDue = true
			}
			return
		}
	}

	if fault.On("ts-recent-before-acceptability") && c.tsOK && h.Options.HasTimestamps && h.Flags&wire.RST == 0 {
		c.tsRecent = h.Options.TSval
	}
	orig := seq
	pure := s.Len == 0 && h.Flags&wire.FIN == 0 // as it came

	// First, check sequence number.
	if !c.acceptable(now, s, &seq) {
		return
	}

	// Second, check the RST bit (RFC 5961, section 3).
	if h.Flags&wire.RST != 0 {
		if fault.On("rst-with-data-ignored") && s.Len > 0 || fault.On("rst-ignored") {
			return
		}
		if seq != c.rcvNxt && !fault.On("rst-in-window-resets") {
			if fault.On("rst-in-window-silent") {
				return
			}
			c.challenge(now, api.DropReset)
			c.fastStrayed()
			return
		}
		c.segmentReset()
		return
	}

	// Fourth, check the SYN bit (RFC 5961, section 4).
	if h.Flags&wire.SYN != 0 {
		if fault.On("syn-in-window-resets") && c.state != api.StateSynReceived {
			c.end(api.ErrReset)
			return
		}
		if fault.On("syn-not-challenged") {
			return
		}
		if c.state == api.StateSynReceived && c.passive && !c.pending() {
			c.drop(api.DropSyn)
			c.end(api.ErrReset) // back to LISTEN
			return
		}
		c.challenge(now, api.DropSyn)
		return
	}

	// Fifth, check the ACK field.
	if h.Flags&wire.ACK == 0 && !fault.On("ack-bit-not-needed") {
		c.drop(api.DropNoAck)
		return
	}
	ack := unwrap(c.sndUna, h.Ack)
	if fault.On("ack-bit-not-needed") && h.Flags&wire.ACK == 0 {
		ack = c.sndUna
	}
	if fault.On("ack-of-unsent-taken") && ack > c.sndNxt {
		ack = c.sndNxt
	}
	if c.state == api.StateSynReceived || c.pending() {
		if !c.segmentSynReceivedAck(now, s, seq, ack) {
			return
		}
	} else {
		switch {
		case ack > c.sndNxt: // something not yet sent
			if fault.On("ack-of-unsent-silent") {
				return
			}
			c.challenge(now, api.DropBadAck)
			return
		case fault.On("old-ack-unchecked"):
		case fault.On("old-ack-refused") && ack < c.sndUna:
			return
		case ack+uint64(c.maxSndWnd) < c.sndUna: // RFC 5961, section 5
			c.challenge(now, api.DropBadAck)
			return
		}
	}
	// The segment is the peer's: it counts as a sign of life.
	if !fault.On("keepalive-counts-from-opening") {
		c.lastRecv = now
	}
	if c.ka != nil && !fault.On("keepalive-answers-uncounted") {
		c.ka.sent = 0
	}
	if c.tsOK && h.Options.HasTimestamps {
		c.updateTSRecent(now, h, seq)
	}
	c.segmentAck(now, h, orig, ack, pure)
	if c.state == api.StateClosed || c.state == api.StateTimeWait {
		return
	}
	c.ecnReceive(s)
	c.segmentText(now, s, seq)
}

// acceptable is the first check of section 3.10.7.4. What it lets pass has been
// trimmed to the window; seq then is that of what is left.
func (c *Conn) acceptable(now clock.Time, s *Segment, seq *uint64) bool {
	h := &s.TCP
	length := uint64(s.Len)
	if h.Flags&wire.SYN != 0 {
		length++
	}
	if h.Flags&wire.FIN != 0 {
		length++
	}
	end := *seq + length
	ok := false
	switch {
	case length == 0:
		// Also at the very edge: a peer that has filled the window sends its
		// acknowledgements from there.
		ok = c.rcvNxt <= *seq && *seq <= c.rcvEdge
		if fault.On("zero-window-deaf") && c.rcvWnd() == 0 || fault.On("zero-window-drops-rst") && c.rcvWnd() == 0 && h.Flags&wire.RST != 0 {
			return false
		}
		if fault.On("zero-window-drops-urg") && c.rcvWnd() == 0 {
			h.Flags &^= wire.URG
		}
	case fault.On("zero-window-deaf") && c.rcvWnd() == 0:
	case c.rcvWnd() == 0:
		if fault.On("zero-window-drops-rst") && h.Flags&wire.RST != 0 {
			return false
		}
		if fault.On("zero-window-drops-urg") {
			h.Flags &^= wire.URG
		}
		// "special allowance should be made to accept valid ACKs, URGs, and
		// RSTs" (MUST-66): the rest of the segment is not used.
		if ok = *seq <= c.rcvNxt && end > c.rcvNxt; ok && h.Flags&(wire.RST|wire.SYN) == 0 {
			c.trimWhole(s)
			*seq = c.rcvNxt
			c.ackNow = true
			c.drop(api.DropReceiveBuffer)
			return true
		}
	default:
		ok = *seq < c.rcvEdge && end > c.rcvNxt
	}
	if fault.On("rst-anywhere") && h.Flags&wire.RST != 0 {
		*seq, ok = c.rcvNxt, true
	}
	if fault.On("syn-anywhere-resets") && h.Flags&wire.SYN != 0 && c.state != api.StateSynReceived {
		c.end(api.ErrReset)
		return false
	}
	if !ok {
		if fault.On("unacceptable-silent") {
			c.drop(api.DropUnacceptable)
			return false
		}
		switch {
		case h.Flags&wire.RST != 0 && fault.On("rst-outside-answered"):
			c.challenge(now, api.DropUnacceptable)
		case h.Flags&wire.RST != 0:
			c.drop(api.DropUnacceptable)
		case length > 0 && h.Flags&wire.SYN == 0 && end <= c.rcvNxt && c.rcvNxt-*seq < maxDuplicateAge:
			// An old duplicate: our ACK may have been lost, so the answer does
			// not wait. It answers data, so that two stacks cannot go on
			// answering each other.
			c.drop(api.DropUnacceptable)
			if s.Len > 0 {
				c.noteDuplicate(*seq, *seq+uint64(s.Len))
			}
			c.ackNow = !fault.On("duplicate-not-acknowledged")
		case c.p.Like.AnswersData && length > 0 && h.Flags&wire.SYN == 0:
			c.drop(api.DropUnacceptable)
			c.ackNow = true
		default:
			c.challenge(now, api.DropUnacceptable)
		}
		return false
	}
	if h.Flags&(wire.RST|wire.SYN) != 0 {
		return true // never used beyond its sequence number
	}
	// Trim what has been received before.
	if fault.On("overlap-dropped") && *seq < c.rcvNxt && s.Len > 0 {
		c.ackNow = true
		return false
	}
	if fault.On("overlap-not-trimmed") && *seq < c.rcvNxt {
		*seq = c.rcvNxt
	}
	if *seq < c.rcvNxt {
		if n := min(int64(c.rcvNxt-*seq), s.Len); n > 0 {
			c.noteDuplicate(*seq, *seq+uint64(n))
			c.trimFront(s, n)
			c.ackNow = true
		}
		*seq = c.rcvNxt
	}
	// And what the window has no room for.
	if over := int64(*seq + uint64(s.Len) - c.rcvEdge); over > 0 && fault.On("beyond-window-taken") {
		c.rcvEdge += uint64(over)
	} else if over > 0 {
		c.trimBack(s, over)
		c.drop(api.DropReceiveBuffer)
		h.Flags &^= wire.FIN
		c.ackNow = true
	}
	return true
}

// maxDuplicateAge is how far below RCV.NXT a segment is still taken for a
// retransmission, and not for something forged or desynchronised.
const maxDuplicateAge = 1 << 30

func (c *Conn) trimWhole(s *Segment) {
	s.TCP.Flags &^= wire.FIN
	releasePayload(s)
}

// trimFront takes n bytes off the front of the payload.
func (c *Conn) trimFront(s *Segment, n int64) {
	s.Len -= n
	for i := 0; n > 0; i++ {
		b := &s.Payload[i]
		k := min(int64(b.Len()), n)
		b.Trim(int(k), b.Len())
		n -= k
	}
}

// trimBack takes n bytes off the end.
func (c *Conn) trimBack(s *Segment, n int64) {
	s.Len -= n
	for i := len(s.Payload) - 1; n > 0; i-- {
		b := &s.Payload[i]
		k := min(int64(b.Len()), n)
		b.Trim(0, b.Len()-int(k))
		n -= k
	}
}

// segmentReset is what a RST does that has exactly the next sequence number.
func (c *Conn) segmentReset() {
	if fault.On("syn-received-reset-ignored") && c.state == api.StateSynReceived && c.passive {
		return
	}
	switch c.state {
	case api.StateSynReceived:
		if c.passive || fault.On("syn-received-origin-forgotten") {
			c.end(api.ErrReset) // back to LISTEN: the host forgets it
		} else {
			c.end(api.ErrRefused)
		}
	default:
		c.end(api.ErrReset)
	}
}

// mayChallenge says whether another answer to a segment that should not have come
// may be sent: one in an interval for each connection (RFC 5961, section 7).
// The limit is the connection's own, so that it tells nothing about others,
// and it is the same for everything that one stack might answer and another
// answer again.
func (c *Conn) mayChallenge(now clock.Time) bool {
	if c.challenged && !fault.On("challenges-unlimited") && now < c.challengeAt.Add(c.p.ChallengeInterval) {
		return false
	}
	c.keepRare()
	c.challenged, c.challengeAt = true, now
	return true
}

// challenge answers a segment that is not used by an ACK.
func (c *Conn) challenge(now clock.Time, why api.DropReason) {
	c.drop(why)
	if c.mayChallenge(now) {
		c.ackNow = true
		c.cfg.Counters.ChallengeAcks++
	}
}

// replyReset answers a segment whose ACK is unacceptable with <SEQ=SEG.ACK>
// <CTL=RST>, and keeps the connection.
func (c *Conn) replyReset(now clock.Time, s *Segment) {
	if !c.mayChallenge(now) || fault.On("unacceptable-ack-not-reset") {
		return
	}
	c.keepRare()
	c.rstDue, c.rstSeq, c.rstAck, c.rstFlags = true, s.TCP.Ack, 0, wire.RST
}

// segmentText is the sixth to eighth steps: URG, text, FIN.
func (c *Conn) segmentText(now clock.Time, s *Segment, seq uint64) {
	h := &s.TCP
	if h.Flags&wire.URG != 0 && !c.hasRcvFin {
		c.segmentUrgent(unwrap(c.rcvNxt, h.Seq), h.Urgent) // from SEG.SEQ as it came
	}
	fin := h.Flags&wire.FIN != 0
	if s.Len == 0 && !fin {
		return
	}
	if fault.On("fin-wait-takes-no-data") && (c.state == api.StateFinWait1 || c.state == api.StateFinWait2) && s.Len > 0 {
		c.ackNow = true
		return
	}
	if !c.receiving() {
		if fault.On("data-after-fin-taken") && c.state == api.StateCloseWait && s.Len > 0 {
			c.rcvNxt += uint64(s.Len)
			c.rcvEdge = max(c.rcvEdge, c.rcvNxt)
		}
		// The peer's FIN has been received: nothing may follow it.
		c.drop(api.DropClosed)
		c.ackNow = true
		return
	}
	end := seq + uint64(s.Len)
	if c.hasRcvFin && end > c.rcvFin {
		// Bytes beyond the end of the stream.
		over := min(int64(end-c.rcvFin), s.Len)
		c.trimBack(s, over)
		end -= uint64(over)
		c.drop(api.DropClosed)
		fin = false
		c.ackNow = true
	}
	if s.Len > 0 && (c.orphan || c.p.Like.ResetShut && c.readShut && c.finQueued) {
		c.dataForOrphan()
		return
	}
	if s.Len > 0 {
		c.segmentData(now, s, seq)
	}
	if c.state == api.StateClosed {
		return
	}
	if fin && !c.hasRcvFin && end >= c.rcvNxt {
		if fault.On("fin-over-hole") && end > c.rcvNxt {
			c.rcvNxt = end
			c.uncharge(c.ooo.clear())
			c.rcvEdge = max(c.rcvEdge, c.rcvNxt)
		}
		if fault.On("fin-beyond-hole-dropped") && end > c.rcvNxt {
			return
		}
		if c.ooo.end() <= end { // else a lie: there are data beyond
			c.hasRcvFin, c.rcvFin = true, end
		}
	}
	if fin && !fault.On("fin-not-acknowledged-at-once") {
		c.ackNow = true
	}
	if c.hasRcvFin && c.rcvNxt == c.rcvFin {
		c.segmentFin(now)
	} else if c.ackPending > 0 && !c.ackNow && !c.tm.armed(tmDelack) {
		c.tm[tmDelack] = now.Add(c.p.DelayedAck)
		if fault.On("ack-delayed-too-long") {
			c.tm[tmDelack] = now.Add(clockSecond * 6 / 10)
		}
	}
}

// dataForOrphan is what becomes of data that nobody can read (SHLD-3): a RST, but
// not before what was written has arrived.
func (c *Conn) dataForOrphan() {
	c.drop(api.DropClosed)
	if fault.On("orphan-data-unanswered") {
		c.ackNow = true
		return
	}
	c.unreadLost = true
	c.ackNow = true
	c.resetIfUnread()
	if c.rstDue && c.p.Like.BareResets {
		c.keepRare()
		c.rstSeq, c.rstAck, c.rstFlags = uint32(c.sndUna), 0, wire.RST
	}
}

// receiving reports whether the peer may still send.
func (c *Conn) receiving() bool {
	switch c.state {
	case api.StateEstablished, api.StateFinWait1, api.StateFinWait2:
		return true
	}
	return false
}

// segmentFin is the eighth step: everything up to the peer's FIN has arrived.
func (c *Conn) segmentFin(now clock.Time) {
	if fault.On("fin-ignored") {
		return
	}
	c.rcvNxt = c.rcvFin + 1
	c.rcvEdge = max(c.rcvEdge, c.rcvNxt)
	c.ackNow = true
	c.events |= EventRead
	switch c.state {
	case api.StateEstablished:
		c.setState(api.StateCloseWait)
	case api.StateFinWait1:
		if c.finAcked() || fault.On("closing-skipped") {
			c.enterTimeWait(now)
		} else if fault.On("simultaneous-close-as-close-wait") {
			c.setState(api.StateLastAck)
		} else {
			c.setState(api.StateClosing)
		}
	case api.StateFinWait2:
		c.enterTimeWait(now)
	}
}

// checkTimestamp applies RFC 7323: segments without the option are dropped
// (section 3.2), and old ones by PAWS (section 5.3).
func (c *Conn) checkTimestamp(now clock.Time, s *Segment, seq uint64) bool {
	o := &s.TCP.Options
	if !o.HasTimestamps && s.TCP.Flags&wire.SYN != 0 {
		// A peer that has restarted may not use timestamps any more. It has to be
		// answered, or it would never get rid of this connection (RFC 5961, section 4).
		return true
	}
	if !o.HasTimestamps && fault.On("ts-missing-accepted") {
		return true
	}
	if !o.HasTimestamps {
		c.drop(api.DropNoTimestamp)
		return false
	}
	if !c.hasTSRecent || int32(o.TSval-c.tsRecent) >= 0 || fault.On("paws-off") {
		return true
	}
	if now.Sub(c.tsRecentAt) > pawsIdle { // section 5.5
		return true
	}
	c.drop(api.DropPAWS)
	if fault.On("paws-silent") {
		return false
	}
	if s.Len > 0 && seq < c.rcvNxt && c.rcvNxt-seq < maxDuplicateAge {
		// A retransmission that was overtaken: report it (RFC 2883).
		c.noteDuplicate(seq, min(seq+uint64(s.Len), c.rcvNxt))
	}
	if c.mayChallenge(now) {
		c.ackNow = true
	}
	return false
}

const pawsIdle = 24 * 24 * 3600 * clockSecond

// updateTSRecent is RFC 7323, section 4.3. The segment has been found acceptable.
func (c *Conn) updateTSRecent(now clock.Time, h *wire.TCP, seq uint64) {
	expired := now.Sub(c.tsRecentAt) > pawsIdle
	if fault.On("ts-recent-frozen") {
		return
	}
	if (int32(h.Options.TSval-c.tsRecent) >= 0 || expired || !c.hasTSRecent) && (unwrap(c.lastAckSent, h.Seq) <= c.lastAckSent || fault.On("ts-recent-from-any-segment")) {
		c.tsRecent, c.tsRecentAt, c.hasTSRecent = h.Options.TSval, now, true
	}
}

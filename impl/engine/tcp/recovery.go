package tcp

import (
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/fault"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// segmentAck is the fifth step of section 3.10.7.4 in the synchronised states:
// ack is within what RFC 5961 allows. pure says that the segment came with
// neither data nor FIN.
func (c *Conn) segmentAck(now clock.Time, h *wire.TCP, seq, ack uint64, pure bool) {
	var (
		before      = c.pipe()
		outstanding = c.sndUna < c.sndNxt
		closed      = c.sndWnd() == 0
		priorUna    = c.sndUna
		cum, fresh  int64 // bytes newly acknowledged in order; those of them new
		sacked      int64
		lost        int64
		rtt         = time.Duration(-1)
	)
	c.reo.dsack = false
	if ack < c.sndUna {
		// An old ACK. Its SACK blocks may still tell of a duplicate.
		c.takeSack(now, h, ack, &sacked)
		return
	}
	if ack > c.sndUna {
		cum = int64(ack - c.sndUna)
		fresh, rtt = c.ackBytes(now, h, ack)
	}
	c.takeSack(now, h, ack, &sacked)
	if fault.On("old-segment-as-new") {
		seq = max(seq, c.sndWl1)
	}
	windowChanged := c.updateSendWindow(seq, ack, h.Window)
	if closed && c.sndWnd() > 0 {
		c.windowOpened()
	}
	if _, persistToo := c.userTimeout(); (!persistToo || fault.On("user-timeout-not-while-persisting")) && (c.sndEdge < c.sndNxt || c.sndWnd() == 0) &&
		!(fault.On("shrunken-window-times-out") && c.sndEdge+1 < c.sndNxt) && !(fault.On("persist-times-out") && c.sndWnd() == 0) {
		// The peer answers, though it takes nothing (MUST-37, SHLD-17).
		c.progressAt = now
		c.retries = 0
	}

	// RFC 5681, section 2: duplicate acknowledgement. With SACK, one is an ACK
	// that reports something new (RFC 6675, section 2).
	dup := false
	if c.sackOK {
		dup = sacked > 0 && cum == 0
	} else {
		// Answers to window probes are none.
		dup = outstanding && pure && cum == 0 && ack == priorUna && !windowChanged && !closed
		if fault.On("window-update-as-duplicate") {
			dup = outstanding && cum == 0 && ack == priorUna && pure
		}
		if fault.On("data-as-duplicate") {
			dup = outstanding && cum == 0 && ack == priorUna && !windowChanged && !closed
		}
	}
	if fault.On("duplicates-ignored") {
		dup = false
	}
	if dup {
		c.dupAcks++
		c.stats.dupAcks++
		if !c.sackOK {
			sacked = c.renoDuplicate()
		}
	}
	if cum > 0 {
		c.dupAcks = 0
	}
	delivered := fresh + sacked

	if c.ctl != nil {
		c.rackDuplicates()
		c.probeAcked(now, ack, delivered)
		c.undoIfSpurious(now, h, cum, delivered)
	}
	c.watching(now, delivered)
	lost = c.detectLoss(now, cum, sacked, delivered)
	if c.ctl == nil || c.state == api.StateClosed {
		return
	}
	ece := c.ecn.ok && h.Flags&wire.ECE != 0
	if ece {
		c.keepRare()
		c.seldom.deliveredCE += uint32(c.segmentsIn(delivered))
		c.ecnCongestion(now, cum, delivered, before)
	}
	if c.engineLeads() && !fault.On("prr-off") {
		c.prrAck(delivered, cum > 0 && lost == 0)
	}
	if fault.On("growth-by-duplicates") && cum == 0 && pure {
		delivered = c.mss
	}
	if delivered > 0 {
		c.rate.lost += lost
		e := &c.cfg.told.ack
		*e = cc.AckEvent{
			Now: now, Phase: c.phase,
			CumAcked: cum, Sacked: sacked, Delivered: delivered, Lost: lost,
			FlightBefore: before, FlightAfter: c.pipe(),
			SndUna: c.sndUna, SndNxt: c.sndNxt,
			Rate:       c.rateSample(now, delivered),
			RoundStart: c.roundTrip(),
			Round:      c.rate.round,
			// Duplicates do not grow cwnd (RFC 3042, section 2).
			// Growth is for ACKs of new data (RFC 5681, section 3.1). In recovery only a
			// controller that owns cwnd there grows it, and goes by what arrives.
			CwndLimited: (cum > 0 || c.phase == cc.Recovery) && priorUna < c.cwndLimited,
			AppLimited:  c.limit == limitApp,
			RwndLimited: c.limit == limitRwnd,
			MaxFlight:   c.maxFlight,
			TotalLost:   c.rate.lost, TotalDelivered: c.rate.delivered,
			ECE: ece,
		}
		if c.p.Like.HalfUsedGrows && cum > 0 && c.cwnd < c.ssthresh && c.cwnd < 2*c.peak {
			e.CwndLimited = true
		}
		if fault.On("growth-for-each-ack") {
			e.Delivered, e.CumAcked = max(e.Delivered, c.mss), max(e.CumAcked, c.mss)
		}
		if fault.On("growth-doubled") {
			e.Delivered, e.CumAcked = 3*e.Delivered, 3*e.CumAcked
		}
		if fault.On("growth-unused-window") {
			e.CwndLimited = true
		}
		if fault.On("growth-by-duplicates") && cum == 0 {
			e.CwndLimited, e.Phase = true, cc.Open
		}
		if fault.On("growth-never") {
			e.CwndLimited = false
		}
		e.RTT = cc.RTT{Sample: rtt, Smoothed: c.rtt.srtt, Var: c.rtt.rttvar, Min: c.rtt.least()}
		if _, owner := c.ctl.(cc.RecoveryOwner); c.p.Like.NoAckLimit && !owner && c.cwnd < c.ssthresh && c.phase != cc.Recovery {
			c.tellInParts(e)
		} else {
			c.ctl.OnAck(e)
		}
		c.takeControl()
	}
	c.afterAck(now, cum)
}

// tellInParts tells of one ACK as if each segment had had its own, so that slow
// start is bounded by no L of RFC 3465.
func (c *Conn) tellInParts(e *cc.AckEvent) {
	size := max(c.mss, 1)
	for rest, cum := e.Delivered, e.CumAcked; rest > 0; {
		e.Delivered, e.CumAcked = min(rest, size), min(cum, size)
		rest, cum = rest-e.Delivered, cum-e.CumAcked
		c.ctl.OnAck(e)
		e.Lost, e.Sacked, e.RoundStart, e.RTT.Sample = 0, 0, false, -1
	}
}

// ackBytes moves SND.UNA to ack, and returns how many of the bytes had not been
// reported before, and an RTT sample, or -1.
func (c *Conn) ackBytes(now clock.Time, h *wire.TCP, ack uint64) (fresh int64, rtt time.Duration) {
	sampleAt := clock.Never
	rexmitted, rexmitAt := false, clock.Time(0)
	first := int64(0)
	c.sb.ack(ack, func(r *txRec, n int64) {
		if first == 0 {
			first = min(n, c.mss)
		}
		if r.flags&recEverRexmit != 0 {
			rexmitted, rexmitAt = true, max(rexmitAt, r.sentAt)
		}
		if r.flags&recSacked != 0 {
			return
		}
		fresh += n
		c.noteDelivered(now, h, r, n)
		if r.flags&recEverRexmit == 0 && r.end <= ack {
			sampleAt = r.sentAt
		}
	})
	if !c.sackOK && c.renoSacked > 0 {
		// Duplicate ACKs have stood for everything but what was missing.
		n := min(c.renoSacked, max(0, fresh-first))
		c.renoSacked -= n
		fresh -= n
	}
	wasFull := c.sq.charged >= c.sendLimit()
	if freed := c.sq.ack(min(ack, c.sq.end)); freed > 0 && c.cfg.Budget != nil {
		c.cfg.Budget.Release(freed)
	}
	if wasFull && c.sq.charged < c.sendLimit() {
		c.events |= EventWrite
	}
	c.sndUna = ack
	c.renoSacked = min(c.renoSacked, int64(c.sndNxt-c.sndUna))
	c.events |= EventAcked
	if !fault.On("user-timeout-from-first-write") {
		c.progressAt = now
	}
	c.retries = 0

	// RFC 6298, section 3: Karn's rule, or the timestamp echoed. If that is from
	// before the retransmission, the first copy arrived and its ACK was late
	// or lost: the time since then is no round trip.
	rtt = -1
	switch {
	case fault.On("rtt-never-measured"):
	case rexmitted && fault.On("karn-ignored"):
		rtt = now.Sub(rexmitAt)
	case sampleAt != clock.Never && !rexmitted:
		rtt = now.Sub(sampleAt)
	case c.tsOK && h.Options.HasTimestamps && int32(h.Options.TSecr-c.tsNow(rexmitAt)) >= 0:
		if d, ok := c.tsSample(now, h.Options.TSecr); ok {
			rtt = d
		}
	}
	if rtt >= 0 {
		flight := int64(c.sndNxt-c.sndUna) + fresh
		c.rtt.sample(now, rtt, (flight+2*c.mss-1)/(2*c.mss), c.p)
		rtt = c.rtt.last
		c.backoff = 0
	}
	if fault.On("backoff-ends-without-sample") {
		c.backoff = 0
	}
	return fresh, rtt
}

// takeSack marks what the SACK blocks report.
func (c *Conn) takeSack(now clock.Time, h *wire.TCP, ack uint64, sacked *int64) {
	if !c.sackOK {
		return
	}
	o := &h.Options
	for i := 0; i < int(min(o.SACKCount, 4)); i++ {
		b := seqRange{unwrap(c.sndUna, o.SACK[i].Left), unwrap(c.sndUna, o.SACK[i].Right)}
		if fault.On("sack-bogus-believed") && b.end > c.sndNxt {
			b.end = c.sndNxt
			if b.start >= b.end {
				b.start = b.end - 1
			}
		}
		if fault.On("sack-ignored") || b.start >= b.end || b.end > c.sndNxt {
			continue // inverted, or of what was never sent
		}
		if i == 0 && (b.end <= ack || o.SACKCount > 1 && c.encloses(&o.SACK[1], b)) {
			// RFC 2883, section 4: a duplicate, below the ACK or within the next
			// block. It tells of needless retransmissions and of nothing else.
			if c.seldom.rexmits > uint64(c.seldom.spurious) {
				c.seldom.spurious++ // c.rare is its own: something was sent again
			}
			c.reo.dsack = true
			c.undoDuplicate(b)
			continue
		}
		if b.start < c.sndUna {
			continue // of what was acknowledged: old
		}
		*sacked += c.sb.sack(b, func(r *txRec) { c.noteDelivered(now, h, r, r.len()) })
	}
}

func (c *Conn) encloses(outer *wire.SACKBlock, b seqRange) bool {
	l, r := unwrap(c.sndUna, outer.Left), unwrap(c.sndUna, outer.Right)
	return l <= b.start && b.end <= r && c.sb.ranges.covers(b)
}

// renoDuplicate counts a duplicate ACK without SACK: a segment has left the
// network. No more of them are believed than segments were under way when the
// episode began (RFC 5681, section 3.2, against forged ones).
func (c *Conn) renoDuplicate() int64 {
	limit := c.sndNxt
	if c.phase == cc.Recovery {
		limit = min(limit, c.recoveryPoint)
	} else if c.phase == cc.Loss {
		return 0
	}
	room := int64(limit-min(limit, c.sndUna)) - c.mss - c.renoSacked
	if fault.On("forged-duplicates-believed") {
		room, limit = c.mss, 0
		c.cwnd += 2 * c.mss
	}
	n := max(0, min(c.mss, room))
	c.renoSacked += n
	return n
}

// detectLoss drives the recovery state, and returns the bytes newly thought lost.
func (c *Conn) detectLoss(now clock.Time, cum, sacked, delivered int64) (lost int64) {
	if c.ctl == nil {
		return 0
	}
	if (c.phase == cc.Recovery || c.phase == cc.Loss) && c.sndUna >= c.recoveryPoint {
		c.leaveRecovery(now)
	}
	if c.phase == cc.CWR && c.sndUna >= c.recoveryPoint {
		c.leaveCWR()
	}
	edge := uint64(0)
	if c.sackOK {
		edge = c.sb.lossEdge(c.mss)
	}
	if fault.On("fast-retransmit-never") && (c.phase == cc.Open || c.phase == cc.Disorder) {
		if c.dupAcks > 0 || len(c.sb.ranges) > 0 {
			c.phase = cc.Disorder
		} else {
			c.phase = cc.Open
		}
		return 0
	}
	if fault.On("fast-retransmit-early") && c.dupAcks > 0 && c.phase == cc.Open && c.sndUna < c.sndNxt {
		return c.enterRecovery(now, edge, delivered)
	}
	switch c.phase {
	case cc.Open, cc.Disorder, cc.CWR:
		enter := false
		if c.sackOK {
			// RFC 6675, section 5: DupThresh duplicate ACKs, or IsLost(HighACK+1).
			enter = (c.dupAcks >= dupThresh || edge > c.sndUna) && c.sndUna < c.sndNxt && len(c.sb.ranges) > 0
		} else {
			// RFC 6582, section 3.2, step 2: not for segments retransmitted before.
			enter = c.dupAcks >= dupThresh && (c.sndUna > c.recover || fault.On("recover-ignored")) && c.sndUna < c.sndNxt
		}
		if c.useRACK() {
			inFlight := c.pipe()
			if lost = c.rackDetect(now); lost > 0 {
				c.beginRecovery(now, lost, inFlight, delivered)
				return lost
			}
		} else if enter {
			return c.enterRecovery(now, edge, delivered)
		}
		switch {
		case c.phase == cc.CWR:
		case c.dupAcks > 0 || len(c.sb.ranges) > 0:
			c.phase = cc.Disorder
		default:
			c.phase = cc.Open
			c.limitedTx = 0
		}
	case cc.Recovery:
		if c.useRACK() {
			lost = c.rackDetect(now)
		} else {
			lost = c.sb.markLost(edge)
		}
		if !c.sackOK && cum > 0 && !fault.On("partial-ack-ignored") {
			// RFC 6582, section 3.2, step 3: a partial ACK shows the next hole.
			lost += c.loseHead()
			c.forceRexmit = true
		}
	case cc.Loss:
		// RFC 6675, section 5.1: no new episode before RecoveryPoint. But what
		// was sent since may be lost as well.
		if c.useRACK() {
			lost = c.rackDetect(now)
		} else {
			lost = c.sb.markLost(edge)
		}
	}
	return lost
}

// loseHead marks the first segment as lost.
func (c *Conn) loseHead() int64 {
	l := c.sb.live()
	if len(l) == 0 || l[0].flags&(recSacked|recLost) != 0 {
		return 0
	}
	if l[0].len() > c.mss {
		c.sb.split(0, l[0].start+uint64(c.mss))
	}
	return c.sb.lose(&c.sb.live()[0])
}

// enterRecovery begins fast recovery by duplicate ACKs (RFC 6675, section 5;
// RFC 6582).
func (c *Conn) enterRecovery(now clock.Time, edge uint64, delivered int64) (lost int64) {
	inFlight := c.pipe()
	lost = c.sb.markLost(edge)
	lost += c.loseHead()
	c.beginRecovery(now, lost, inFlight, delivered)
	return lost
}

// flightSize is RFC 5681's FlightSize: what was sent and is not acknowledged. The
// RFC takes for granted that it is within cwnd, but for limited transmit. With SACK
// it is not: while one hole after another is repaired, what was received beyond
// them counts too, and a part of that may be more than the whole window was. So the
// window bounds it; during recovery, the one that PRR leads to.
func (c *Conn) flightSize() int64 {
	wnd := c.cwnd
	if c.phase == cc.Recovery {
		wnd = max(wnd, min(c.ssthresh, c.p.MaxWindow))
	}
	return min(int64(c.sndNxt-c.sndUna), wnd+c.limitedTx)
}

// beginRecovery begins fast recovery. lost bytes have just been marked, and
// inFlight was the pipe before that.
func (c *Conn) beginRecovery(now clock.Time, lost, inFlight, delivered int64) {
	if fault.On("sack-resends-received") {
		c.sb.loseAll(true)
	}
	flight := max(c.flightSize()-c.limitedTx, c.mss) // RFC 5681, section 3.2, step 2
	// An echo and a loss in one window are answered once (RFC 3168, section 6.1.2),
	// and that is not undone if the loss turns out to be none.
	answered := c.phase == cc.CWR && c.engineLeads()
	c.beginUndo(cc.LossDetected)
	if answered {
		c.undo = undoState{}
	}
	c.tlp = tlpState{}
	c.tm.stop(tmProbe)
	c.phase = cc.Recovery
	c.recoveryPoint, c.recover = c.sndNxt, c.sndNxt
	c.rescued, c.rtoRestarted = false, false
	c.forceRexmit = true
	c.limitedTx = 0
	c.sb.highRxt = c.sndUna
	if answered {
		c.ecnReduced()
	} else {
		c.congested(now, cc.LossDetected, lost, flight, inFlight, false)
	}
	if o, ok := c.ctl.(cc.RecoveryOwner); ok {
		o.EnterRecovery(now, inFlight)
		c.takeControl()
	}
	// RFC 9937, section 6.
	c.prr = prrState{recoverFS: max(1, int64(c.sndNxt-c.sndUna)-c.sb.sacked-c.renoSacked+delivered)}
}

// congested tells the controller of an episode.
func (c *Conn) congested(now clock.Time, kind cc.CongestionKind, lost, flight, inFlight int64, repeat bool) {
	if c.p.Like.ReduceCwnd {
		flight = c.cwnd
	}
	if fault.On("loss-without-reduction") {
		flight *= 2
	}
	if fault.On("timeout-keeps-window") && kind == cc.Timeout {
		kind = cc.LossDetected
	}
	if fault.On("timeout-halves-again") {
		repeat = false
	}
	if fault.On("timeout-keeps-ssthresh") && kind == cc.Timeout {
		flight = 1 << 30
	}
	if fault.On("congestion-ignored") {
		c.takeControl()
		return
	}
	c.cfg.told.cong = cc.CongestionEvent{
		Now: now, Kind: kind, Lost: lost, FlightSize: flight,
		InFlight: inFlight, SndNxt: c.sndNxt, Repeat: repeat,
	}
	c.ctl.OnCongestion(&c.cfg.told.cong)
	c.maxFlight = flight
	c.ecnReduced()
	c.takeControl()
}

func (c *Conn) leaveRecovery(now clock.Time) {
	was := c.phase
	c.phase = cc.Open
	if len(c.sb.ranges) > 0 {
		c.phase = cc.Disorder
	}
	c.dupAcks, c.renoSacked, c.limitedTx = 0, 0, 0
	c.forceRexmit = false
	if !c.p.Like.LateUndo || !c.sackOK {
		c.undo = undoState{}
	}
	c.rackLeave()
	if o, ok := c.ctl.(cc.RecoveryOwner); ok && was == cc.Recovery {
		o.ExitRecovery(now, false)
	}
	c.takeControl() // cwnd <- what the controller set at the start: ssthresh
}

// prrAck is RFC 9937, section 6.2: cwnd while the engine leads it. What may be sent in
// proportion is rounded up to whole segments, as in the RFC's examples: half a
// segment that may be sent is one that is not sent, and one ACK later than it should.
func (c *Conn) prrAck(delivered int64, safe bool) {
	if delivered == 0 {
		return
	}
	p := &c.prr
	p.delivered += delivered
	inFlight := c.pipe()
	ssthresh := min(c.ssthresh, c.p.MaxWindow)
	if fault.On("prr-unbounded") {
		ssthresh *= 2
	}
	var n int64
	if inFlight > ssthresh {
		n = (p.delivered*ssthresh + p.recoverFS - 1) / p.recoverFS
		n = (n+c.mss-1)/c.mss*c.mss - p.out
	} else {
		n = max(p.delivered-p.out, delivered)
		if safe {
			n += c.mss
		}
		n = min(ssthresh-inFlight, n)
	}
	n = max(n, 0)
	if p.out == 0 && n == 0 && c.phase == cc.Recovery { // force a fast retransmit
		n = c.mss
	}
	c.cwnd = max(min(inFlight+n, c.p.MaxWindow), c.mss)
}

// renegingDelay is the least wait before reneging is believed.
const renegingDelay = 10 * time.Millisecond

// afterAck looks after the timers and the state once an ACK has been taken in.
func (c *Conn) afterAck(now clock.Time, cum int64) {
	if c.probeDue && !c.persisting() {
		c.probeDue = false // what was to be its octet has been acknowledged
	}
	if c.sndUna == c.sndNxt && fault.On("rto-not-stopped") {
		c.probeDue = cum > 0 && c.state == api.StateEstablished
	}
	if fault.On("rto-not-restarted") && c.sndUna < c.sndNxt {
		return
	}
	if c.sndUna == c.sndNxt {
		c.tm.stop(tmRetransmit) // RFC 6298, (5.2)
	} else if cum > 0 {
		// (5.3); with RFC 6582 only on the first partial ACK of a recovery.
		if c.phase != cc.Recovery || c.sackOK || !c.rtoRestarted {
			c.tm[tmRetransmit] = now.Add(c.currentRTO())
		}
		c.rtoRestarted = true
	}
	if l := c.sb.live(); cum > 0 && len(l) > 0 && l[0].flags&recSacked != 0 {
		// RFC 2018, section 8: an ACK that ends where something was reported: it
		// has been discarded. What the timeout does for that need not wait for
		// the whole of it; just long enough for ACKs that were reordered.
		c.tm[tmRetransmit] = min(c.tm[tmRetransmit], now.Add(max(c.rtt.srtt/2, renegingDelay)))
	}
	if c.persisting() {
		c.tm.stop(tmRetransmit)
		if c.p.Like.EmptyProbes { // which Linux counts from the last ACK on
			c.tm.stop(tmPersist)
		}
		c.armPersist(now)
	} else {
		c.tm.stop(tmPersist)
	}
	c.armProbe(now)
	if c.sndUna == c.sndNxt {
		c.restIfQuiet()
	}
	if !c.waiting() {
		c.tm.stop(tmUser)
	}
	if c.finAcked() {
		switch c.state {
		case api.StateFinWait1:
			c.setState(api.StateFinWait2)
			if fault.On("fin-wait-2-timed") {
				c.tm[tmFinWait2] = now.Add(c.p.FinWait2)
			}
			if fault.On("fin-wait-2-skipped") {
				c.end(nil)
				return
			}
			if c.orphan && c.p.Like.NoFinWait2 {
				c.queueReset()
				if c.p.Like.BareResets {
					c.rstAck, c.rstFlags = 0, wire.RST
				}
				c.end(nil)
				return
			}
			if c.orphan && !fault.On("orphan-fin-wait-2-for-ever") {
				c.tm[tmFinWait2] = now.Add(c.p.FinWait2)
			}
		case api.StateClosing:
			if fault.On("closing-for-ever") {
				return
			}
			c.enterTimeWait(now)
			return
		case api.StateLastAck:
			if fault.On("last-ack-to-time-wait") {
				c.enterTimeWait(now)
				return
			}
			c.end(nil)
			return
		}
	}
	c.resetIfUnread()
}

// onRetransmitTimeout is RFC 6298, section 5, with RFC 5681, section 3.1, and
// RFC 6675, section 5.1.
func (c *Conn) onRetransmitTimeout(now clock.Time) {
	switch c.state {
	case api.StateSynSent, api.StateSynReceived:
		c.onSynTimeout(now)
		if fault.On("fast-open-data-before-ack") && c.pending() {
			c.sb.loseAll(false)
		}
		return
	}
	if c.pending() {
		c.onSynTimeout(now)
		return
	}
	if c.sndUna == c.sndNxt {
		return
	}
	if c.persisting() {
		c.armPersist(now)
		return
	}
	if c.orphan && int(c.retries) >= c.p.OrphanRetries || c.p.Like.Retries > 0 && int(c.retries) >= c.p.Like.Retries {
		c.giveUp(api.ErrTimeout)
		return
	}
	c.watching(now, 0)
	c.keepRare()
	c.seldom.timeouts++
	saturate(&c.retries)
	if !fault.On("backoff-off") && !c.linearTimeout() {
		saturate(&c.backoff) // (5.5)
	}
	c.noteR1(int(c.retries))
	c.fastTimeout(int(c.retries))

	flight, inFlight := c.flightSize(), c.pipe()
	// RFC 2018, section 8: the receiver may have discarded what it reported. It
	// has if the first octet missing is one of those; and when a second
	// timeout in a row shows that something else is wrong, trust ends.
	l := c.sb.live()
	forget := c.retries > 1 || len(l) > 0 && l[0].flags&recSacked != 0
	if fault.On("reneging-not-believed") {
		forget = false
	}
	c.renoSacked = 0
	if forget {
		c.rate.delivered -= c.sb.sacked // it will be reported again
	}
	var lost int64
	if c.useRACK() && !forget {
		lost = c.rackTimeout(now)
	} else {
		lost = c.sb.loseAll(forget)
	}
	c.beginUndo(cc.Timeout)
	if forget {
		// Nothing that was reported counts any more, so nothing is proved by it.
		c.undo.frto = frtoOff
	}
	c.tlp = tlpState{}
	c.tm.stop(tmProbe)
	c.tm.stop(tmReorder)
	if c.phase == cc.Recovery {
		if o, ok := c.ctl.(cc.RecoveryOwner); ok {
			o.ExitRecovery(now, false)
		}
	}
	if fault.On("timeout-repairs-first-only") {
		c.sb.unlose()
		c.sb.loseAgain(&c.sb.live()[0])
	}
	repeat := c.lastTimeout == c.sndUna
	c.lastTimeout = c.sndUna
	c.phase = cc.Loss
	c.recoveryPoint, c.recover = c.sndNxt, c.sndNxt
	c.dupAcks, c.limitedTx = 0, 0
	c.forceRexmit = true
	c.rate.lost += lost
	c.congested(now, cc.Timeout, lost, flight, inFlight, repeat)
}

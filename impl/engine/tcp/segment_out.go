package tcp

import (
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/fault"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// Poll fills in the next segment to send, and returns false if there is none.
// It appends to out.Payload[:0].
func (c *Conn) Poll(now clock.Time, out *Out) bool {
	*out = Out{Payload: out.Payload[:0]}
	if c.rstDue {
		c.pollReset(now, out)
		return true
	}
	if len(c.priorAcks) > 0 && c.state != api.StateClosed && c.pollPriorAck(now, out) {
		return true
	}
	switch c.state {
	case api.StateClosed:
		return false
	case api.StateSynSent, api.StateSynReceived:
		if c.synDue {
			c.pollSyn(now, out)
			return true
		}
		if c.pending() && c.pollData(now, out) {
			c.checkInvariants()
			return true
		}
	case api.StateTimeWait, api.StateFinWait2:
	default:
		if c.synDue && c.pending() {
			c.pollSyn(now, out)
			return true
		}
		if c.pollData(now, out) {
			c.checkInvariants()
			return true
		}
	}
	switch {
	case c.probeDue:
		c.pollProbe(now, out)
	case c.kaDue:
		// RFC 9293, section 3.8.4: SEG.SEQ = SND.NXT-1, no data (SHLD-12).
		c.kaDue = false
		c.ka.sent++
		if fault.On("keepalive-with-new-number") {
			c.header(now, out, c.sndNxt, wire.ACK)
			return true
		}
		c.header(now, out, c.sndNxt-1, wire.ACK)
		if fault.On("keepalive-with-data") {
			out.Payload, out.Len = append(out.Payload, *api.NewBuffer([]byte{0, 0})), 2
		}
	case (c.ackNow || c.announceUp) && c.state != api.StateSynSent && !(c.state == api.StateSynReceived && c.sndNxt == c.iss):
		c.announceUp = false
		c.header(now, out, c.sndNxt, wire.ACK)
		c.urgentField(&out.TCP, c.sndNxt)
	default:
		return false
	}
	return true
}

// header fills in a segment that has no data yet, with the present
// acknowledgement, window and options.
func (c *Conn) header(now clock.Time, out *Out, seq uint64, flags wire.Flags) {
	h := &out.TCP
	h.SrcPort, h.DstPort = c.pair.LocalPort, c.pair.RemotePort
	h.Seq, h.Flags = uint32(seq), flags
	h.Window = c.windowField(flags)
	if fault.On("mss-on-data") && flags&wire.SYN == 0 {
		h.Options.HasMSS, h.Options.MSS = true, 1460
	}
	if c.tsOK && !(fault.On("ts-missing-on-data") && flags&wire.SYN == 0) {
		h.Options.HasTimestamps, h.Options.TSval = true, c.tsNow(now)
	}
	if flags&wire.ACK != 0 {
		h.Ack = uint32(c.rcvNxt)
		h.Options.TSecr = c.tsRecent
		if fault.On("ts-echo-zero") {
			h.Options.TSecr = 0
		}
		if flags&wire.SYN == 0 {
			h.Flags |= c.ecnEcho()
			c.fillSack(&h.Options)
		}
		c.lastAckSent = c.rcvNxt
		c.ackNow, c.ackPending, c.dsack = false, 0, seqRange{}
		c.dropHoles()
		c.tm.stop(tmDelack)
	}
	out.TTL, out.DSCP = c.cfg.Flow.TTL, c.cfg.Flow.DSCP
	if fault.On("ttl-ignored") {
		out.TTL = defaultTTL
	}
	if fault.On("dscp-ignored") {
		out.DSCP = 0
	}
	c.lastSend = now
	c.stats.segsSent++
	c.cfg.Counters.SegmentsOut++
}

func (c *Conn) pollReset(now clock.Time, out *Out) {
	c.rstDue = false
	out.TCP = wire.TCP{
		SrcPort: c.pair.LocalPort, DstPort: c.pair.RemotePort,
		Seq: c.rstSeq, Ack: c.rstAck, Flags: c.rstFlags,
	}
	if fault.On("abort-without-reset") {
		out.TCP.Flags = wire.ACK
	}
	if fault.On("abort-with-wrong-number") {
		out.TCP.Seq += 100_000
	}
	if c.tsOK && c.rstFlags&wire.ACK != 0 && !fault.On("ts-missing-on-reset") { // RFC 7323, section 3.2
		out.TCP.Options.HasTimestamps = true
		out.TCP.Options.TSval, out.TCP.Options.TSecr = c.tsNow(now), c.tsRecent
	}
	out.TTL, out.DSCP = c.cfg.Flow.TTL, c.cfg.Flow.DSCP
	c.lastSend = now
	c.stats.segsSent++
	c.cfg.Counters.SegmentsOut++
	c.cfg.Counters.ResetsOut++
}

// pollData sends what is lost, or else what is new, as far as the peer's window,
// cwnd, pacing, Nagle's algorithm and silly window avoidance allow.
func (c *Conn) pollData(now clock.Time, out *Out) bool {
	if c.persisting() && !fault.On("zero-window-as-loss") {
		c.limit = limitRwnd
		if c.pending() { // the SYN-ACK is what there is to be sent again
			return false
		}
		c.tm.stop(tmRetransmit)
		c.armPersist(now)
		return false
	}
	if c.tlp.due && c.pollTailProbe(now, out) {
		return true
	}
	room := c.cwnd - c.pipe()
	if fault.On("cwnd-ignored") {
		room = 1 << 30
	}
	if c.undo.frto == frtoProve && c.phase == cc.Loss && !c.forceRexmit {
		// RFC 5682, section 3.1, step 2b: new data instead of retransmissions, to
		// see whether what was sent before the timeout arrives.
		if c.pollNew(now, out, room) {
			return true
		}
		if c.limit == limitCwnd || c.limit == limitOther {
			return false
		}
		c.undo.frto = frtoOff
	}
	if i, ok := c.sb.nextLost(); ok && c.sb.live()[i].start < c.sndEdge && !fault.On("nothing-retransmitted") &&
		!(fault.On("shrunken-window-not-retransmitted") && c.usable() < 0) && !(fault.On("fin-not-retransmitted") && c.sb.live()[i].end > c.sq.end) {
		r := &c.sb.live()[i]
		if fault.On("timeout-resends-everything") && c.phase == cc.Loss {
			c.forceRexmit = true
		}
		if !c.forceRexmit && room < min(r.len(), c.mss) && c.pipe() > 0 {
			c.noteLimit(limitCwnd)
			return false
		}
		if !c.forceRexmit && c.paced(now) {
			return false
		}
		c.retransmit(now, out, i, max(room, c.mss))
		return true
	}
	if c.pollNew(now, out, room) {
		return true
	}
	// RFC 6675, section 4, NextSeg, rules (3) and (4).
	if c.phase == cc.Recovery && c.sackOK && !c.useRACK() && (c.limit == limitApp || c.limit == limitRwnd) &&
		room >= c.mss && !c.paced(now) {
		if i, ok := c.nextUnsure(); ok {
			c.retransmit(now, out, i, c.mss)
			return true
		}
	}
	return false
}

// noteLimit remembers what keeps us from sending.
func (c *Conn) noteLimit(l sendLimit) {
	c.limit = l
	if l == limitCwnd {
		c.cwndLimited = c.sndNxt
	}
}

// pollNew sends data that were never sent, and the FIN.
func (c *Conn) pollNew(now clock.Time, out *Out, room int64) bool {
	avail, fin := c.unsent(), c.finPending()
	whole := false // a record ends here, and another follows
	if c.p.Like.Records && avail > 0 {
		if k := c.sq.record(max(c.sndNxt, c.iss+1), avail); k < avail {
			avail, fin, whole = k, false, true
		}
	}
	if avail == 0 && !fin {
		c.limit = limitApp
		if room > 0 && c.ctl != nil {
			c.rate.appLimitedUntil = max(c.rate.delivered+c.pipe(), 1)
		}
		return false
	}
	if c.tm.armed(tmCWR) {
		c.noteLimit(limitOther)
		return false
	}
	if fault.On("limited-transmit-off") && c.phase == cc.Disorder {
		return false
	}
	wnd := c.usable()
	if wnd <= 0 { // full, or shrunk: SHLD-15
		c.noteLimit(limitRwnd)
		return false
	}
	size := c.segmentSize()
	n := min(avail, wnd, c.burst(size))
	if c.ecn.cwrDue { // for one segment, and not for each of a super-packet
		n = min(n, size)
	}
	if room < min(max(n, 1), c.mss) && c.pipe() > 0 {
		c.noteLimit(limitCwnd)
		return false
	}
	n = min(n, max(room, size))
	if fault.On("segments-half-size") {
		n = min(n, max(size/2, 1))
	}
	if fault.On("segment-for-each-write") {
		n = min(n, c.sq.first(c.sndNxt))
	}
	if tail := n % size; tail != 0 && n > size {
		// Full-sized segments only (SHLD-28), but for the end of the queue if it
		// may go now.
		if n < avail || !whole && !c.smallMayGo(n, fin) {
			n -= tail
		}
	}
	if n < size {
		switch {
		case n < avail:
			// The window is what makes it small: RFC 9293, section 3.8.6.2.1
			// (MUST-38), with Fs = 1/2 and an override timer.
			if 2*n < c.maxSndWnd && !c.override && !fault.On("sender-silly-window") {
				c.noteLimit(limitRwnd)
				if !c.tm.armed(tmOverride) && !fault.On("sws-override-never") {
					c.tm[tmOverride] = now.Add(min(max(c.rtt.rto, 100*time.Millisecond), time.Second))
				}
				return false
			}
		case !whole && !c.smallMayGo(n, fin):
			c.noteLimit(limitOther)
			return false
		}
	}
	if c.paced(now) {
		c.noteLimit(limitOther)
		return false
	}
	c.sendNew(now, out, n, size, fin && n == avail && wnd > n)
	return true
}

// smallMayGo reports whether the end of the queue, n bytes from SND.NXT on, may
// leave as less than a full segment: Nagle's algorithm (RFC 9293, section 3.7.4,
// SHLD-7) in Minshall's form, which holds it back only while another small
// segment is unacknowledged, so that it never waits for a delayed ACK of a
// full one.
func (c *Conn) smallMayGo(n int64, fin bool) bool {
	if fault.Built {
		if may, wrong := c.wrongSmallMayGo(n, fin); wrong {
			return may
		}
	}
	return fin || c.cfg.Flow.NoDelay || c.minshall <= c.sndUna ||
		c.noDelayEnd >= c.sndNxt+uint64(n) || c.sndUp > c.sndNxt
}

// segmentSize returns the payload of a full segment: the effective MSS, less the
// SACK blocks that it has to carry.
func (c *Conn) segmentSize() int64 {
	if fault.Built && fault.On("mss-ignores-sack-blocks") {
		return c.mss
	}
	return max(c.mss-sackOptionLen(c.sackBlocks()), 1)
}

// burst returns the most payload that one Out may have: a whole number of
// segments.
func (c *Conn) burst(size int64) int64 {
	most := min(c.cfg.MaxGSO, 65535) - (c.fixedHeaders() + 40)
	if most < 2*size {
		return size
	}
	if k := c.control; k != nil && k.Pacing > 0 {
		most = max(min(most, c.quantum(k)), size)
	}
	return most / size * size
}

func (c *Conn) sendNew(now clock.Time, out *Out, n, size int64, fin bool) {
	c.restartAfterIdle(now)
	c.watchLosses()
	if c.p.Like.Interactive && n > 0 && now.Sub(c.lastDataReceived) < c.p.DelayedAck && c.stats.dataReceived > 0 {
		c.quickAcks = 0
	}
	flags := wire.ACK
	last := c.sndNxt+uint64(n) == c.sq.end
	r := txRec{start: c.sndNxt, end: c.sndNxt + uint64(n)}
	if c.lastDataSent != now {
		c.pushBase = c.sndNxt
	}
	if c.p.Like.Records && n > 0 && c.sq.record(c.sndNxt, n+1) <= n {
		last = true // of a record
	}
	if n > 0 && (last && !c.holdPush || c.pushes(r.end)) && !fault.On("psh-missing") {
		flags |= wire.PSH // MUST-61
		r.flags |= recPush
	}
	if last {
		c.pushBase = r.end
	}
	if fin {
		flags |= wire.FIN
		r.end++
		c.finSent = true
	}
	c.header(now, out, c.sndNxt, flags)
	c.urgentField(&out.TCP, c.sndNxt)
	c.announceUp = false
	c.payload(out, c.sndNxt, n, size)
	c.ecnMark(out, n)
	if fault.On("data-does-not-acknowledge") {
		c.ackNow = true
	}
	c.stampSend(now, &r)
	c.sb.push(r)
	c.sndNxt = r.end
	if n%size != 0 {
		c.minshall = c.sndNxt
	}
	c.override = false
	c.tm.stop(tmOverride)
	c.stats.bytesSent += uint64(n)
	if c.phase == cc.Disorder {
		c.limitedTx += n
	}
	flight := int64(c.sndNxt - c.sndUna)
	c.maxFlight = max(c.maxFlight, flight)
	if c.sndUna >= c.peakEnd || flight > c.peak {
		c.peak, c.peakEnd = flight, c.sndNxt
	}
	c.sent(now, r.len())
}

// pushes reports whether a segment that ends at end has PSH although more follows.
func (c *Conn) pushes(end uint64) bool {
	k := c.p.Like.PushEvery
	return k > 0 && int64(end-max(c.pushBase, c.iss+1))%(k*c.mss) == 0
}

// retransmit sends record i of the scoreboard, or the first part of it, again.
func (c *Conn) retransmit(now clock.Time, out *Out, i int, most int64) {
	r := &c.sb.live()[i]
	size := c.segmentSize()
	n := min(r.len(), most, c.burst(size), int64(c.sndEdge-r.start))
	if n > size && n < r.len() {
		n -= n % size
	}
	if r.end > c.sq.end && n == r.len() && n-1 > c.burst(size) {
		n = c.burst(size)
	}
	if n < r.len() {
		c.sb.split(i, r.start+uint64(n))
		r = &c.sb.live()[i]
	}
	data := n
	flags := wire.ACK
	if r.end > c.sq.end { // the FIN is in it
		data--
		flags |= wire.FIN
	}
	if data > 0 && (r.start+uint64(data) == c.sq.end || (c.p.Like.PushEvery > 0 || c.p.Like.Records) && r.flags&recPush != 0) {
		flags |= wire.PSH
	}
	c.header(now, out, r.start, flags)
	c.urgentField(&out.TCP, r.start)
	c.payload(out, r.start, data, size)
	if fault.On("retransmission-shifted") && data > 8 && r.start > c.sndUna-1 {
		out.Payload = c.sq.views(out.Payload[:0], r.start+4, data-4)
		out.Payload = c.sq.views(out.Payload, r.start, 4)
	}
	if fault.On("ecn-ect-on-retransmission") && c.ecn.ok {
		out.ECN = codepointECT0
	}
	c.stampSend(now, r)
	c.sb.resent(r)
	c.rackResent(r)
	c.undoResent(now, r.end, n)
	c.forceRexmit = false
	segs := uint64(max(1, (data+size-1)/size))
	c.keepRare()
	c.seldom.rexmits += segs
	c.cfg.Counters.Retransmits += segs
	c.seldom.bytesRexmit += uint64(data)
	c.sent(now, n)
}

// payload adds n bytes from seq on.
func (c *Conn) payload(out *Out, seq uint64, n, size int64) {
	if n == 0 {
		return
	}
	out.Payload = c.sq.views(out.Payload, seq, n)
	out.Len = n
	c.stats.dataSent++
	if n > size {
		out.GSOSize = uint16(size)
		more := uint64((n+size-1)/size) - 1
		c.stats.dataSent += uint32(more)
		c.stats.segsSent += more
		c.cfg.Counters.SegmentsOut += more
	}
}

// sent keeps the books for n sequence numbers that have just left.
func (c *Conn) sent(now clock.Time, n int64) {
	if c.phase == cc.Recovery || c.phase == cc.CWR {
		c.prr.out += n
	}
	c.lastDataSent = now
	c.notePaced(now, n)
	if c.cwnd-c.pipe() < c.mss {
		c.cwndLimited = c.sndNxt
	}
	if !c.tm.armed(tmRetransmit) && !fault.On("rto-never") { // RFC 6298, (5.1)
		c.tm[tmRetransmit] = now.Add(c.currentRTO())
	}
	c.armProbe(now)
	c.watchUser(now)
}

// restartAfterIdle tells the controller of the end of a pause (RFC 5681, section
// 4.1).
func (c *Conn) restartAfterIdle(now clock.Time) {
	if c.sndUna != c.sndNxt || c.stats.bytesSent == 0 || c.p.Like.NoIdleRestart {
		return
	}
	idle := now.Sub(c.lastDataSent)
	if idle <= c.rtt.rto || fault.On("idle-restart-off") {
		return
	}
	if c.p.Like.DecayIdle && c.ssthresh >= cc.NoThreshold && c.phase == cc.Open {
		c.remakeController(now, c.cfg.Controller, c.cfg.ControllerOptions, c.decayed(idle))
		return
	}
	if o, ok := c.ctl.(cc.IdleObserver); ok {
		o.OnRestart(now, idle)
		c.takeControl()
	}
}

// nextUnsure returns a record to retransmit although it is not known to be lost:
// RFC 6675, section 4, NextSeg: rule (3), what lies below something selectively
// acknowledged; rule (4), once in a recovery, the last of what is missing.
func (c *Conn) nextUnsure() (int, bool) {
	l := c.sb.live()
	high := c.sb.highestSacked()
	for i := c.sb.find(max(c.sb.highRxt, c.sndUna)); i < len(l) && l[i].start < min(high, c.sndEdge); i++ {
		if l[i].flags&(recSacked|recRexmit) == 0 {
			return i, true
		}
	}
	if c.rescued {
		return 0, false
	}
	for i := len(l) - 1; i >= 0; i-- {
		r := &l[i]
		from := r.start
		if r.len() > c.mss {
			from = r.end - uint64(c.mss)
		}
		if r.flags&(recSacked|recRexmit) != 0 || from >= c.sndEdge {
			continue
		}
		c.rescued = true
		if from > r.start {
			c.sb.split(i, from)
			i++
		}
		return i, true
	}
	return 0, false
}

// pollProbe sends the first octet that the peer has not taken into its closed
// window (RFC 9293, section 3.8.6.1): a new one if there is nothing outstanding.
func (c *Conn) pollProbe(now clock.Time, out *Out) {
	c.probeDue = false
	if c.p.Like.EmptyProbes {
		// The answer to what is below the window tells the window as well.
		c.header(now, out, c.sndUna-1, wire.ACK)
		c.watchUser(now)
		c.armPersist(now)
		return
	}
	seq := c.sndUna
	flags := wire.ACK
	data := int64(1)
	if seq == c.sq.end { // only the FIN is left
		flags |= wire.FIN
		data = 0
	} else if seq+1 == c.sq.end {
		flags |= wire.PSH
	}
	c.header(now, out, seq, flags)
	c.urgentField(&out.TCP, seq)
	c.payload(out, seq, data, 1)
	if c.sndUna == c.sndNxt {
		c.watchLosses()
		r := txRec{start: seq, end: seq + 1, flags: recEverRexmit} // no RTT sample
		c.stampSend(now, &r)
		c.sb.push(r)
		c.sndNxt++
		if data == 0 {
			c.finSent = true
		}
		c.stats.bytesSent += uint64(data)
		c.minshall = c.sndNxt
	} else {
		if l := c.sb.live(); len(l) > 0 {
			l[0].flags |= recEverRexmit
		}
		c.keepRare()
		c.seldom.rexmits++
		c.cfg.Counters.Retransmits++
		c.seldom.bytesRexmit += uint64(data)
	}
	c.lastDataSent = now
	c.watchUser(now)
	c.armPersist(now)
}

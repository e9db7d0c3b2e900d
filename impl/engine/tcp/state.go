package tcp

import (
	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/fault"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// end enters CLOSED. reason is nil for an orderly end. What has been received
// stays readable, except after a reset or an abort.
func (c *Conn) end(reason error) {
	if c.state == api.StateClosed {
		return
	}
	if reason != nil {
		c.keepRare()
		c.reason = reason
	}
	if c.fast != nil || c.fastStatus != FastOpenUnused {
		c.fastEnded(reason)
	}
	c.tm.stopAll()
	if !fault.On("memory-leaks") {
		c.releaseSend()
	}
	c.uncharge(c.ooo.clear())
	c.synDue, c.ackNow, c.probeDue, c.kaDue, c.announceUp = false, false, false, false, false
	if c.orphan || c.cutsShort(reason) {
		c.releaseReceive()
	}
	c.setState(api.StateClosed)
}

// cutsShort reports whether an end for that reason takes from the reader what it
// has not read yet. A reset after both ends have sent their FIN does not: the
// peer's stream was complete.
func (c *Conn) cutsShort(reason error) bool {
	switch reason {
	case api.ErrAborted, api.ErrDisconnected:
		return true
	case api.ErrReset:
		if fault.Built && fault.On("reset-as-end-of-file") {
			c.hasRcvFin, c.rcvFin = true, c.rcvNxt-1
			return false
		}
		return !c.p.Like.KeepUnread && !(c.finQueued && c.hasRcvFin && c.rcvNxt > c.rcvFin)
	}
	return false
}

// queueReset makes Poll send a RST that ends the connection for the peer as well:
// <SEQ=SND.NXT><ACK=RCV.NXT><CTL=RST,ACK>. Where the peer's window ends before
// SND.NXT, because a probe or a FIN stands beyond a closed window, the window's end
// takes its place: what lies outside is dropped without a word (RFC 5961, section 3).
func (c *Conn) queueReset() {
	c.rstDue = true
	c.keepRare()
	seq := c.sndNxt
	if c.state != api.StateSynSent && c.state != api.StateSynReceived {
		seq = min(seq, max(c.sndEdge, c.sndUna))
	}
	c.rstSeq, c.rstAck = uint32(seq), uint32(c.rcvNxt)
	c.rstFlags = wire.RST | wire.ACK
}

// Abort ends the connection, with a RST where the peer may know of it
// (RFC 9293, section 3.10.5).
func (c *Conn) Abort(now clock.Time, reason error) {
	switch c.state {
	case api.StateClosed:
		return
	case api.StateSynReceived:
		if !c.p.Like.QuietHalfOpen || !c.passive || c.pending() {
			c.queueReset()
		}
	case api.StateEstablished, api.StateFinWait1, api.StateFinWait2, api.StateCloseWait:
		c.queueReset()
	case api.StateClosing, api.StateLastAck:
		// The RFC sends none here. But the peer may be without the data before
		// our FIN, and would otherwise learn nothing.
		if c.sndUna < c.sq.end {
			c.queueReset()
		}
	case api.StateTimeWait:
		// An orderly end already: the reason stays nil.
		c.setState(api.StateClosed)
		return
	}
	c.end(reason)
}

// CloseWrite queues a FIN behind what is written (C1). Doing it again does
// nothing.
func (c *Conn) CloseWrite(now clock.Time) {
	if c.finQueued {
		return
	}
	if fault.On("close-as-abort") {
		c.Abort(now, api.ErrAborted)
		return
	}
	if fault.On("close-drops-unsent") && c.sndNxt < c.sq.end && c.sndNxt > c.iss {
		c.sq.cut(c.sndNxt)
	}
	if fault.On("close-shuts-reading") {
		c.CloseRead(now)
	}
	switch c.state {
	case api.StateClosed, api.StateTimeWait:
		return
	case api.StateSynSent:
		// RFC 9293, section 3.10.4 deletes the TCB here. Ours is still wanted for
		// what has been written, so the FIN is queued until the handshake is
		// complete; whoever wants to be rid of the connection aborts it.
	case api.StateSynReceived:
		if c.pending() {
			c.setState(api.StateFinWait1)
		}
	case api.StateEstablished:
		c.setState(api.StateFinWait1)
	case api.StateCloseWait:
		c.setState(api.StateLastAck)
	}
	c.finQueued = !fault.On("close-without-fin")
	if !fault.On("close-leaves-writers-blocked") {
		c.events |= EventWrite // blocked writers fail (W4)
	}
	c.watchUser(now)
}

// CloseRead discards what is received, now and later. The window stays open.
func (c *Conn) CloseRead(now clock.Time) {
	if c.readShut {
		return
	}
	if fault.On("close-read-ignored") {
		return
	}
	c.readShut = true
	c.uncharge(c.rq.clear())
	c.considerWindowUpdate(now)
	c.events |= EventRead
}

// Orphan says that nobody will read or write any more: what is queued is still
// delivered, and a FIN follows, but retries and FIN-WAIT-2 are timed, and
// data that nobody can read is answered by a RST (SHLD-3).
func (c *Conn) Orphan(now clock.Time) {
	if c.orphan {
		return
	}
	c.orphan = true
	if c.FullyClosed() {
		c.releaseReceive()
		return
	}
	// RFC 9293, section 3.6.1: "if such a host issues a CLOSE call while
	// received data is still pending ... its TCP implementation SHOULD send a RST
	// to show that data was lost". It does when all of ours has arrived.
	if c.rq.size > 0 && !fault.On("orphan-unread-silent") {
		c.unreadLost = true
	}
	c.CloseRead(now)
	if c.state == api.StateSynSent {
		c.end(api.ErrAborted)
		return
	}
	c.CloseWrite(now)
	if c.state == api.StateFinWait2 {
		if c.p.Like.NoFinWait2 {
			c.queueReset()
			c.end(nil)
			return
		}
		c.tm[tmFinWait2] = now.Add(c.p.FinWait2)
	}
	c.resetIfUnread()
}

// resetIfUnread ends an orphan for which data came that nobody has read, once
// its own data have arrived (SHLD-3). No RFC says when the RST is to be sent. At
// once it would take with it what the user has written, and, in many a stack, what
// has arrived there and not been read: the answer to a request of which the end was
// of no interest. Delivering what is queued is what Orphan promises (C1), so the RST
// waits, as long as an orphan may retry (OrphanRetries), and the peer's data stay
// unacknowledged. Two orphans that refuse each other's data find out no sooner.
func (c *Conn) resetIfUnread() {
	if c.unreadLost && c.state != api.StateClosed && (c.sndUna >= c.sq.end || c.p.Like.HastyResets) {
		c.queueReset()
		c.end(api.ErrAborted)
	}
}

// finAcked reports that the peer has acknowledged our FIN.
func (c *Conn) finAcked() bool { return c.finSent && c.sndUna > c.sq.end }

// finPending reports that a FIN is to be sent.
func (c *Conn) finPending() bool { return c.finQueued && !c.finSent }

// unsent returns how many bytes have been written and never sent.
func (c *Conn) unsent() int64 {
	if c.sndNxt >= c.sq.end {
		return 0
	}
	if c.sndNxt == c.iss { // the SYN has not left
		return int64(c.sq.end - c.sndNxt - 1)
	}
	return int64(c.sq.end - c.sndNxt)
}

// enterTimeWait starts the wait of 2 MSL (MUST-13).
func (c *Conn) enterTimeWait(now clock.Time) {
	if fault.On("time-wait-skipped") {
		c.end(nil)
		return
	}
	c.tm.stopAll()
	c.releaseSend()
	c.uncharge(c.ooo.clear())
	c.setState(api.StateTimeWait)
	c.buildTimeWait(now)
}

// establish is called when the handshake is complete.
func (c *Conn) establish(now clock.Time) {
	c.tm.stop(tmRetransmit)
	c.tm.stop(tmUser)
	c.setState(api.StateEstablished)
	c.events |= EventEstablished | EventWrite
	c.backoff, c.retries = 0, 0
	c.progressAt = now
	c.initTune(now)
	c.startCongestionControl(now)
	c.stats.delivered++ // the SYN
	// RFC 6298, (5.7): after the loss of a SYN, and with no measurement,
	// the RTO is 3 s when data transmission begins.
	if c.synRexmits > 0 && c.rtt.samples == 0 && !fault.On("rto-after-lost-syn-short") {
		c.rtt.rto = max(c.rtt.rto, 3*clockSecond)
	}
	c.startKeepalive(now)
	if c.finQueued {
		c.setState(api.StateFinWait1)
	}
	if c.waiting() {
		c.watchUser(now)
	}
}

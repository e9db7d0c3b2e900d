package tcp

import (
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/fault"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// What is wrong under a fault where that takes more than a line, or where there are
// several at the same place (see package fault). A function that reports wrong has
// said what is to be done in place of the right thing.

func (c *Conn) wrongWriteError() (err error, wrong bool) {
	switch {
	case fault.On("write-after-reset-is-not-closed"):
		return c.reason, c.state == api.StateClosed && c.reason != nil
	case fault.On("write-after-close-accepted"):
		return nil, c.finQueued && c.state != api.StateClosed
	}
	return nil, false
}

func (c *Conn) wrongSmallMayGo(n int64, fin bool) (may, wrong bool) {
	switch {
	case fault.On("nagle-off"):
		return true, true
	case fault.On("nagle-always"):
		return fin || c.minshall <= c.sndUna, true
	case fault.On("nodelay-write-waits"):
		return fin || c.cfg.Flow.NoDelay || c.minshall <= c.sndUna, true
	case fault.On("small-segments-wait-for-ever"):
		return fin || c.cfg.Flow.NoDelay || c.noDelayEnd >= c.sndNxt+uint64(n), true
	}
	return false, false
}

func wrongTimestamp(now clock.Time, offset uint32) (ts uint32, wrong bool) {
	switch {
	case fault.On("ts-clock-still"):
		return offset, true
	case fault.On("ts-clock-too-fast"):
		return uint32(uint64(now)/uint64(time.Microsecond)) + offset, true
	case fault.On("ts-clock-too-slow"):
		return uint32(uint64(now)/uint64(5*time.Second)) + offset, true
	case fault.On("ts-without-offset"):
		return uint32(uint64(now) / uint64(time.Millisecond)), true
	}
	return 0, false
}

// wrongSendWindow is the window in place of wnd, which is the right one.
func (c *Conn) wrongSendWindow(wnd int64, ack uint64) int64 {
	switch {
	case fault.On("shrinking-refused"):
		return max(wnd, int64(c.sndEdge-ack))
	case fault.On("peer-window-ignored"):
		return 65535
	}
	return wnd
}

// wrongUrgent is the urgent pointer in place of up, which is the right one; 0 tells
// nothing.
func (c *Conn) wrongUrgent(up uint64) uint64 {
	switch {
	case fault.On("urgent-ignored"), fault.On("urgent-announced-once") && c.hasRcvUp:
		return 0
	case fault.On("urgent-pointer-read-short"):
		return up - 1
	}
	return up
}

func (c *Conn) wrongUserTimeout() (limit clock.Time, persistToo, wrong bool) {
	opening := c.state == api.StateSynSent || c.state == api.StateSynReceived
	switch {
	case fault.On("user-timeout-short"):
		return 20 * clock.Time(clockSecond), true, true
	case fault.On("user-timeout-ignored") && !opening:
		return clock.Time(c.p.UserTimeout), false, true
	case fault.On("user-timeout-ignored"):
		return clock.Time(c.p.SynTimeout), false, true
	case fault.On("syn-timeout-short") && opening && c.cfg.Flow.UserTimeout == 0:
		return clock.Time(c.p.SynTimeout / 3), false, true
	}
	return 0, false, false
}

// wrongOutOfOrder reports whether s, which lies beyond a hole, is to be dropped.
func (c *Conn) wrongOutOfOrder(s *Segment) (drop bool) {
	if fault.On("out-of-order-ack-delayed") {
		c.ackNow = false
		c.ackPending += s.Len
	}
	return fault.On("out-of-order-dropped")
}

// wrongAck decides whether data in order are acknowledged at once, where it reports
// wrong.
func (c *Conn) wrongAck(filled bool) (wrong bool) {
	switch {
	case fault.On("gap-filled-ack-delayed"):
		return filled
	case fault.On("ack-never-delayed"):
		c.ackNow = true
		return true
	case fault.On("ack-every-fourth-segment"):
		c.ackNow = c.ackPending >= 4*c.segmentEstimate2()
		return !filled
	}
	return false
}

// spoil makes nothing of an episode that has just begun, or not all.
func (u *undoState) spoil() {
	if fault.On("undo-off") {
		u.active = false
	}
	if fault.On("frto-off") {
		u.frto = frtoOff
	}
}

// And what faults need that nothing else does.

// misreadSyn changes what is read of the options of a SYN.
func misreadSyn(o *wire.TCPOptions) {
	if fault.On("mss-ignored") {
		o.HasMSS, o.MSS = true, 1460
	}
	if fault.On("options-of-syn-not-required") {
		o.SACKPermitted, o.HasTimestamps, o.HasWindowScale = true, true, true
	}
	if fault.On("sack-without-permission") {
		o.SACKPermitted = true
	}
	if fault.On("ts-unasked") {
		o.HasTimestamps = true
	}
}

func (p *Params) minMSS() int64 {
	if fault.On("mss-tiny-obeyed") {
		return 1
	}
	return p.MinMSS
}

// first returns how many bytes the first buffer has from seq on.
func (q *sendQueue) first(seq uint64) int64 {
	for _, e := range q.bufs[q.head:] {
		if end := e.start + uint64(e.b.Len()); end > seq {
			return int64(end - seq)
		}
	}
	return 1 << 30
}

// cut takes out what was written from seq on.
func (q *sendQueue) cut(seq uint64) {
	for n := len(q.bufs); n > q.head && q.bufs[n-1].start >= seq; n-- {
		e := &q.bufs[n-1]
		e.b.Release()
		q.charged -= e.charge
		q.end = e.start
		q.bufs = q.bufs[:n-1]
	}
}

// overwrite replaces queued bytes from seq on.
func (q *oooQueue) overwrite(seq uint64, b []byte) {
	for i := range q.segs {
		if e := &q.segs[i]; e.start <= seq && seq < e.end() {
			copy(e.b.Bytes()[seq-e.start:e.used], b)
		}
	}
}

// Unacknowledged is SND.UNA.
func (c *Conn) Unacknowledged() uint32 { return uint32(c.sndUna) }

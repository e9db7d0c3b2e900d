package tcp

import (
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/fault"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// TimeWait is what remains of a connection in TIME-WAIT: a small record.
type TimeWait struct {
	shared           *Shared
	deadline         clock.Time
	challengeAt      clock.Time
	sndNxt, rcvNxt   uint32
	tsRecent, tsOff  uint32
	srcPort, dstPort uint16
	window           uint16
	ttl, dscp        uint8
	tsOK, challenged bool
}

// timeWait is 2 MSL.
func (p *Params) timeWait() time.Duration {
	if fault.On("time-wait-short") {
		return 5 * time.Second
	}
	return p.TimeWait
}

func (c *Conn) buildTimeWait(now clock.Time) {
	c.tw = &TimeWait{
		shared: c.cfg, deadline: now.Add(c.p.timeWait()),
		challengeAt: c.challengeAt, challenged: c.challenged,
		sndNxt: uint32(c.sndNxt), rcvNxt: uint32(c.rcvNxt),
		tsOK: c.tsOK, tsRecent: c.tsRecent, tsOff: c.tsOffset,
		srcPort: c.pair.LocalPort, dstPort: c.pair.RemotePort,
		window: uint16(min(c.rcvWnd()>>c.rcvScale, 65535)),
		ttl:    c.cfg.Flow.TTL, dscp: c.cfg.Flow.DSCP,
	}
}

// TimeWait returns the record of a connection in TIME-WAIT. The Conn itself is
// then no longer driven: it only serves Read and Info.
func (c *Conn) TimeWait() TimeWait {
	if c.state != api.StateTimeWait {
		panic("BUG: TimeWait of a connection in " + c.state.String())
	}
	return *c.tw
}

// segmentTimeWait serves a connection in TIME-WAIT that is still driven itself.
func (c *Conn) segmentTimeWait(now clock.Time, s *Segment) {
	var out Out
	if c.tw.segment(now, &s.TCP, uint32(s.Len), &out) == TimeWaitReply {
		c.ackNow = true
	}
}

// Segment takes a segment in, and says what becomes of it. The payload is
// released; SegmentsIn has been counted by the caller.
func (t *TimeWait) Segment(now clock.Time, s *Segment, out *Out) TimeWaitVerdict {
	v := t.segment(now, &s.TCP, uint32(s.Len), out)
	releasePayload(s)
	return v
}

func (t *TimeWait) segment(now clock.Time, h *wire.TCP, length uint32, out *Out) TimeWaitVerdict {
	if fault.On("time-wait-reset-ends") && h.Flags&wire.RST != 0 {
		t.deadline = now
		return TimeWaitDrop
	}
	if fault.On("time-wait-silent") {
		return TimeWaitDrop
	}
	switch {
	case h.Flags&wire.RST != 0:
		// RFC 1337, fix 1: a RST does not cut TIME-WAIT short.
		t.shared.Counters.Drops[api.DropReset]++
		return TimeWaitDrop
	case h.Flags&wire.SYN != 0 && h.Flags&wire.ACK == 0:
		// RFC 6191 and RFC 1122, section 4.2.2.13 (MAY-2, SHLD-4): a new
		// connection if nothing of the old one can be taken for its own: a later
		// timestamp, or without timestamps a sequence number beyond the old ones.
		if t.reusable(now, h) && !fault.On("time-wait-never-reused") || fault.On("time-wait-always-reused") {
			return TimeWaitReuse
		}
	case h.Flags&wire.ACK == 0:
		t.shared.Counters.Drops[api.DropNoAck]++
		return TimeWaitDrop
	}
	t.shared.Counters.Drops[api.DropTimeWait]++
	seq := h.Seq
	end := seq + length
	fin := h.Flags&(wire.FIN|wire.SYN) == wire.FIN
	if fin {
		end++
	}
	if fin && end == t.rcvNxt && !t.oldTimestamp(h) {
		// RFC 9293, section 3.10.7.4: a retransmission of the remote FIN.
		// Acknowledge it, and restart the 2 MSL timeout.
		if !fault.On("time-wait-not-restarted") {
			t.deadline = now.Add(t.shared.params.timeWait())
		}
		t.reply(now, out)
		return TimeWaitReply
	}
	if end == seq && h.Flags&wire.SYN == 0 && seq == t.rcvNxt && int32(h.Ack-t.sndNxt) <= 0 {
		return TimeWaitDrop // an ACK in order: nothing to say
	}
	if t.challenged && now < t.challengeAt.Add(t.shared.params.ChallengeInterval) {
		return TimeWaitDrop
	}
	t.challenged, t.challengeAt = true, now
	t.shared.Counters.ChallengeAcks++
	t.reply(now, out)
	return TimeWaitReply
}

func (t *TimeWait) oldTimestamp(h *wire.TCP) bool {
	return t.tsOK && h.Options.HasTimestamps && int32(h.Options.TSval-t.tsRecent) < 0
}

func (t *TimeWait) reusable(now clock.Time, h *wire.TCP) bool {
	if t.tsOK && h.Options.HasTimestamps && !fault.On("time-wait-reused-by-number-only") {
		if d := int32(h.Options.TSval - t.tsRecent); d > 0 {
			return true
		} else if d < 0 {
			return false
		}
	}
	return int32(h.Seq-t.rcvNxt) > 0
}

func (t *TimeWait) reply(now clock.Time, out *Out) {
	*out = Out{Payload: out.Payload[:0], TTL: t.ttl, DSCP: t.dscp}
	out.TCP = wire.TCP{
		SrcPort: t.srcPort, DstPort: t.dstPort,
		Seq: t.sndNxt, Ack: t.rcvNxt, Flags: wire.ACK, Window: t.window,
	}
	if t.tsOK {
		o := &out.TCP.Options
		o.HasTimestamps = true
		o.TSval = timestamp(now, t.tsOff)
		o.TSecr = t.tsRecent
	}
}

// Deadline returns when the record can be forgotten.
func (t *TimeWait) Deadline() clock.Time { return t.deadline }

// Since returns when the wait began; with a FIN repeated it begins again.
func (t *TimeWait) Since() clock.Time { return t.deadline - clock.Time(t.shared.params.timeWait()) }

// MinISS returns the least initial sequence number that a connection replacing
// this one may use, on either end: beyond everything that the old one may
// have sent into the peer's window (RFC 1122, section 4.2.2.13).
func (t *TimeWait) MinISS() uint32 {
	if fault.On("time-wait-reused-with-old-number") {
		return t.sndNxt - 1<<20
	}
	return t.sndNxt + 65535 + 2
}

package tcp

import (
	"github.com/sluicenet/sluice/impl/engine/fault"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// What faults need and nothing else does: see package fault.

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

package tcp

import (
	"github.com/sluicenet/sluice/impl/engine/fault"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// writeUrgent announces everything written so far as urgent (RFC 9293, section
// 3.8.5, MUST-30, MUST-31). The announcement goes out even if the window is
// zero.
func (c *Conn) writeUrgent() {
	c.keepRare()
	c.sndUp = c.sq.end
	if fault.On("urgent-one-byte-only") {
		c.sndUp = min(c.sndUp, max(c.sndNxt, c.iss+1)+1)
	}
	c.announceUp = !fault.On("urgent-not-announced-to-zero-window")
}

// urgentField sets URG and the urgent pointer of a segment that starts at seq:
// the pointer names the octet after the urgent data (MUST-62).
func (c *Conn) urgentField(h *wire.TCP, seq uint64) {
	if c.sndUp <= seq || c.sndUp <= c.sndUna || fault.On("urgent-not-sent") {
		return
	}
	h.Flags |= wire.URG
	h.Urgent = uint16(min(c.sndUp-seq, 65535))
	if fault.On("urgent-pointer-last-octet") {
		h.Urgent--
	}
}

// segmentUrgent is the sixth step: RCV.UP <- max(RCV.UP, SEG.UP). The data stay in
// the stream; only their end is told (MUST-32). A pointer that names nothing
// that is still to be read tells nothing.
func (c *Conn) segmentUrgent(seq uint64, field uint16) {
	up := seq + uint64(field)
	if fault.Built {
		up = c.wrongUrgent(up)
	}
	if up <= c.readSeq() || c.hasRcvUp && up <= c.rcvUp {
		return
	}
	c.keepRare()
	c.rcvUp, c.hasRcvUp = up, true
	if fault.Built && fault.On("urgent-not-told") {
		return
	}
	c.events |= EventUrgent
}

// readSeq is the sequence number of the next byte that Read will return.
func (c *Conn) readSeq() uint64 {
	n := c.rcvNxt
	if c.hasRcvFin && n > c.rcvFin {
		n = c.rcvFin
	}
	return n - uint64(c.rq.size)
}

// urgentPending returns how many bytes are left up to the end of urgent data
// (MUST-33).
func (c *Conn) urgentPending() int64 {
	if !c.hasRcvUp || fault.On("urgent-amount-unknown") {
		return 0
	}
	return max(0, int64(c.rcvUp-c.readSeq()))
}

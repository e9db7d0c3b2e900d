package tcp

import (
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/fault"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// windowScaleFor returns the least shift with which a window of size bytes can
// be announced (RFC 7323, section 2.3: 14 at most).
func windowScaleFor(size int64) uint8 {
	s := uint8(0)
	for s < maxWindowScale && size>>s > 65535 {
		s++
	}
	return s
}

const maxWindowScale = 14

// sndWnd returns SND.WND: what the peer allows beyond SND.UNA.
func (c *Conn) sndWnd() int64 { return max(0, int64(c.sndEdge-c.sndUna)) }

// usable returns how much may be sent from SND.NXT on; negative if the peer has
// shrunk its window (MUST-34).
func (c *Conn) usable() int64 {
	if fault.On("shrunken-window-unsigned") && c.sndEdge < c.sndNxt {
		return 1 << 20
	}
	return int64(c.sndEdge - c.sndNxt)
}

// updateSendWindow applies the rule of RFC 9293, section 3.10.7.4, fifth check:
// only segments that are newer than the last one used may change the window.
func (c *Conn) updateSendWindow(seq, ack uint64, field uint16) (changed bool) {
	if fault.Built && fault.On("old-window-used") {
		c.sndWl1, c.sndWl2 = seq, ack
	}
	if !(c.sndWl1 < seq || c.sndWl1 == seq && c.sndWl2 <= ack) {
		return false
	}
	wnd := int64(field) << c.sndScale
	if fault.Built {
		wnd = c.wrongSendWindow(wnd, ack)
	}
	edge := ack + uint64(wnd)
	changed = edge != c.sndEdge
	c.sndEdge, c.sndWl1, c.sndWl2 = edge, seq, ack
	c.maxSndWnd = max(c.maxSndWnd, wnd)
	return changed
}

// rcvWnd returns what the peer may still send, as far as we ever announced.
func (c *Conn) rcvWnd() int64 { return int64(c.rcvEdge - c.rcvNxt) }

// maxRcvWnd returns the largest window that can be announced: without a scale a
// buffer may be larger than that.
func (c *Conn) maxRcvWnd() int64 { return min(c.receiveLimit(), 65535<<c.rcvScale) }

// wantEdge returns where the right edge of the receive window would be if no
// window had been announced before: memory that is free, counted honestly, as
// far as it can be announced.
func (c *Conn) wantEdge() uint64 {
	return c.rcvNxt + uint64(max(0, min(c.receiveLimit()-c.rcvCharged, c.maxRcvWnd())))
}

// edgeMoves reports whether the right edge should be moved now: receiver silly
// window avoidance, RFC 9293, section 3.8.6.2.2 (MUST-39).
func (c *Conn) edgeMoves() bool {
	want := c.wantEdge()
	if fault.On("receiver-silly-window") {
		return want > c.rcvEdge
	}
	return want > c.rcvEdge && int64(want-c.rcvEdge) >= min(c.receiveLimit()/2, c.windowStep())
}

// windowStep is by how much the right edge moves at least, if that is less than half
// the buffer: a segment; and where the link hands up several as one, as many as came
// at once, for a sender that is let send fewer than it can pays as much for them.
func (c *Conn) windowStep() int64 {
	step := c.segmentEstimate()
	if t := c.tune; t != nil {
		step = max(step, min(t.piece, c.receiveLimit()/4))
	}
	return step
}

// segmentEstimate is the RMSS of the rules above: a full segment of the peer's.
func (c *Conn) segmentEstimate() int64 { return int64(min(c.announcedMSS, max(c.rcvMSS, 536))) }

// windowField decides which window to announce, and remembers its edge.
//
// The edge never moves left (SHLD-14). A scaled window can only be announced in
// steps, counted from a RCV.NXT that moves by any amount: rounding up keeps
// the edge from moving left, but lets it creep to the right; so once it has
// crept an eighth of the buffer, the field is rounded down, which RFC 7323,
// section 2.4, allows. Data up to the old edge are accepted all the same.
func (c *Conn) windowField(flags wire.Flags) uint16 {
	if fault.On("closed-window-opens") && c.rcvEdge == c.rcvNxt && flags&wire.SYN == 0 {
		c.rcvEdge += 1 << 10
	}
	if fault.On("window-overstated") {
		c.rcvEdge = c.rcvNxt + 65535
		return 65535
	}
	if fault.On("window-taken-back") && flags&wire.SYN == 0 {
		return uint16(min(int64(c.wantEdge()-c.rcvNxt)>>c.rcvScale, 65535))
	}
	if flags&wire.SYN != 0 { // never scaled (RFC 7323, section 2.2)
		field := min(max(c.receiveLimit()-c.rq.size, 0), 65535)
		if fault.On("window-of-syn-scaled") {
			field = min(c.receiveLimit(), 65535) >> c.rcvScale
		}
		if flags&wire.ACK != 0 {
			c.rcvEdge = max(c.rcvEdge, c.rcvNxt+uint64(field))
		}
		c.synWindow = uint16(field)
		return uint16(field)
	}
	if c.p.Like.BSDWindow {
		return c.windowLikeBSD()
	}
	scale := c.rcvScale
	unit := int64(1) << scale
	if c.edgeMoves() {
		field := min(int64(c.wantEdge()-c.rcvNxt)>>scale, 65535)
		if edge := c.rcvNxt + uint64(field<<scale); edge > c.rcvEdge {
			c.rcvEdge, c.rcvCreep = edge, 0
			return uint16(field)
		}
	}
	wnd := c.rcvWnd()
	field := wnd >> scale
	if up := (unit - wnd&(unit-1)) & (unit - 1); up > 0 && field < 65535 && c.rcvCreep+up <= c.receiveLimit()/8 {
		c.rcvCreep += up
		c.rcvEdge += uint64(up)
		field++
	}
	return uint16(min(field, 65535))
}

// windowLikeBSD is the field as the BSDs have it: what is free of a buffer of whole
// segments, at least what has been announced, rounded up to what the scale can say.
func (c *Conn) windowLikeBSD() uint16 {
	seg := max(c.mss, 1)
	if c.tsOK { // the MSS does not count options
		seg += 12
	}
	limit := (c.receiveLimit() + seg - 1) / seg * seg
	wnd := limit - c.rq.size
	if wnd < limit/4 && wnd < c.mss {
		wnd = 0
	}
	unit := int64(1) << c.rcvScale
	wnd = max(wnd, c.rcvWnd())
	wnd = min((wnd+unit-1)&^(unit-1), 65535<<c.rcvScale)
	c.rcvEdge, c.rcvCreep = max(c.rcvEdge, c.rcvNxt+uint64(wnd)), 0
	return uint16(wnd >> c.rcvScale)
}

// considerWindowUpdate is called when the user has read: it announces the window
// if that opens it noticeably.
func (c *Conn) considerWindowUpdate(now clock.Time) {
	if !c.receiving() || !c.edgeMoves() || fault.On("window-update-missing") {
		return
	}
	// A window that the peer may be running into is opened at once; otherwise
	// the next ACK will do.
	gain, seg := int64(c.wantEdge()-c.rcvEdge), c.windowStep()
	buf := c.maxRcvWnd()
	if c.rcvWnd() < seg {
		c.noteReopened(now)
	}
	if c.rcvWnd() < seg || gain >= buf/4 || gain >= 2*seg && c.rcvWnd() < buf/2 {
		c.ackNow = true
	}
}

package tcp

import (
	"github.com/sluicenet/sluice/impl/engine/fault"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// noteSackRange remembers that the out-of-order range around seq has changed, so
// that it is reported first (RFC 2018, section 4).
func (c *Conn) noteSackRange(seq uint64) {
	if !c.sackOK {
		return
	}
	r, ok := c.ooo.ranges.containing(seq)
	if !ok {
		return
	}
	keep := [4]uint64{seq}
	n := 1
	for _, a := range c.sackRecent {
		if n < len(keep) && a > c.rcvNxt && !(r.start <= a && a < r.end) {
			keep[n] = a
			n++
		}
	}
	c.sackRecent = keep
}

// noteDuplicate remembers that [start, end) came twice (RFC 2883).
func (c *Conn) noteDuplicate(start, end uint64) {
	if c.sackOK && !c.p.Like.NoDSACK && start < end {
		c.keepHoles()
		c.dsack = seqRange{start, end}
	}
}

// sackBlocks returns how many blocks the next ACK would carry.
func (c *Conn) sackBlocks() int {
	if !c.sackOK || len(c.ooo.ranges) == 0 && c.dsack == (seqRange{}) {
		return 0
	}
	var o wire.TCPOptions
	c.fillSack(&o)
	return int(o.SACKCount)
}

// fillSack puts SACK blocks into the options: a duplicate first, followed by the
// range that encloses it if there is one (RFC 2883, section 4), then the
// ranges that changed last, then any others.
func (c *Conn) fillSack(o *wire.TCPOptions) {
	if !c.sackOK || fault.On("sack-not-sent") {
		return
	}
	limit := uint8(4)
	if c.tsOK {
		limit = 3
	}
	if fault.On("sack-one-block") {
		limit = 1
	}
	if room := (c.mss - 4) / 16; room < int64(limit) { // tiny packets
		limit = uint8(max(room, 0))
	}
	o.SACKCount = 0
	add := func(r seqRange) {
		b := wire.SACKBlock{Left: uint32(r.start), Right: uint32(r.end)}
		if c.p.Like.FinInSACK && c.hasRcvFin && r.end == c.rcvFin && r.start > c.rcvNxt {
			b.Right++
		}
		dup := c.dsack != (seqRange{}) // the first block may be repeated by what encloses it
		for i := uint8(0); i < o.SACKCount; i++ {
			if o.SACK[i] == b && !(dup && i == 0) {
				return
			}
		}
		if o.SACKCount < limit {
			o.SACK[o.SACKCount] = b
			o.SACKCount++
		}
	}
	if d := c.dsack; d != (seqRange{}) && !fault.On("dsack-not-sent") {
		if r, ok := c.ooo.ranges.containing(d.start); ok && fault.On("dsack-not-first") {
			add(r)
		}
		add(d)
		if r, ok := c.ooo.ranges.containing(d.start); ok {
			add(r)
		}
	}
	for _, a := range c.sackRecent {
		if a <= c.rcvNxt || fault.On("sack-newest-not-first") {
			continue
		}
		if r, ok := c.ooo.ranges.containing(a); ok {
			add(r)
		}
	}
	for i := 0; i < len(c.ooo.ranges) && i < 4 && !c.p.Like.FourHoles; i++ {
		add(c.ooo.ranges[i])
	}
}

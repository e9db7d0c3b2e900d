package tcp

import "fmt"

// paranoid makes every Segment and Poll check the machine's books. Tests set it.
var paranoid = false

func (c *Conn) checkInvariants() {
	if !paranoid {
		return
	}
	bug := func(format string, args ...any) {
		panic("BUG: " + fmt.Sprintf(format, args...))
	}
	if c.sndUna > c.sndNxt {
		bug("SND.UNA %d beyond SND.NXT %d", c.sndUna, c.sndNxt)
	}
	if c.sndNxt > c.sq.end+1 {
		bug("SND.NXT %d beyond what was written, %d", c.sndNxt, c.sq.end)
	}
	if c.rcvEdge < c.rcvNxt {
		bug("window edge %d below RCV.NXT %d", c.rcvEdge, c.rcvNxt)
	}
	var sacked, lost, rexmit int64
	at := c.sndUna
	for i := range c.sb.live() {
		r := &c.sb.live()[i]
		if r.start != at || r.end <= r.start {
			bug("record %d is [%d,%d), want start %d", i, r.start, r.end, at)
		}
		at = r.end
		switch {
		case r.flags&recSacked != 0:
			sacked += r.len()
			if !c.sb.ranges.covers(seqRange{r.start, r.end}) {
				bug("record [%d,%d) marked, but not in the ranges", r.start, r.end)
			}
		default:
			if r.flags&recLost != 0 {
				lost += r.len()
			}
			if r.flags&recRexmit != 0 {
				rexmit += r.len()
			}
		}
	}
	if len(c.sb.live()) > 0 && at != c.sndNxt {
		bug("records end at %d, SND.NXT is %d", at, c.sndNxt)
	}
	if sacked != c.sb.sacked || lost != c.sb.lost || rexmit != c.sb.rexmit {
		bug("sums %d %d %d, want %d %d %d", c.sb.sacked, c.sb.lost, c.sb.rexmit, sacked, lost, rexmit)
	}
	var size, charged int64
	for _, r := range c.rq.bufs[c.rq.head:] {
		size += int64(r.used)
		charged += r.charge
	}
	if size != c.rq.size {
		bug("receive queue of %d bytes, counted %d", size, c.rq.size)
	}
	var ooo, oooCharged int64
	small := 0
	at = c.rcvNxt
	for i := range c.ooo.segs {
		e := &c.ooo.segs[i]
		if e.start < at || i == 0 && e.start == at {
			bug("out-of-order segment at %d, want beyond %d", e.start, at)
		}
		at = e.end()
		ooo += int64(e.used)
		oooCharged += e.charge
		if e.small {
			small++
		}
		if !c.ooo.ranges.covers(seqRange{e.start, at}) {
			bug("out-of-order segment not in the ranges")
		}
	}
	var inRanges int64
	for _, r := range c.ooo.ranges {
		inRanges += int64(r.end - r.start)
	}
	if ooo != c.ooo.bytes || inRanges != ooo || oooCharged != c.ooo.charged || small != c.ooo.small {
		bug("out-of-order bytes %d counted %d ranges %d", ooo, c.ooo.bytes, inRanges)
	}
	if charged+oooCharged != c.rcvCharged {
		bug("charged %d, want %d", c.rcvCharged, charged+oooCharged)
	}
}

package tcp

import (
	"sort"

	"github.com/sluicenet/sluice/api/clock"
)

// txRec is one transmission: what was sent in one piece and has not been
// acknowledged. Its length is anything from a byte to a super-packet.
type txRec struct {
	start, end uint64
	sentAt     clock.Time // last time

	// The state of delivery when it was last sent (draft-ietf-ccwg-bbr,
	// delivery rate samples).
	delivered, lostAtTx      int64
	deliveredAt, firstSentAt clock.Time
	inFlight                 int64

	flags recFlags
}

type recFlags uint8

const (
	recSacked     recFlags = 1 << iota // the peer reported it
	recLost                            // thought lost
	recRexmit                          // sent again since, and not thought lost again
	recEverRexmit                      // sent more than once (Karn)
	recAppLimited                      // sent while the application was the limit
	recPush                            // sent with PSH
)

func (r *txRec) len() int64 { return int64(r.end - r.start) }

// Bounds on what a peer can make the scoreboard hold.
const (
	maxRecs       = 32 << 10 // records; beyond, transmissions share one
	maxSplitRecs  = 2 << 10  // records up to which SACK blocks may split others
	maxSackRanges = 4 << 10
)

// scoreboard is what RFC 6675 keeps about the octets between SND.UNA and
// SND.NXT: a record for each transmission, in order and without gaps, and
// the sums from which pipe follows.
type scoreboard struct {
	recs []txRec
	head int

	ranges rangeSet // what has been selectively acknowledged

	sacked, lost, rexmit int64  // bytes of unacknowledged records with that flag; sacked excludes the others
	lostBelow            uint64 // records below have been examined and marked
	rexmitFrom           uint64 // no record below is lost and not retransmitted
	highRxt              uint64 // RFC 6675 HighRxt

	onLost func(r *txRec) // if not nil, told of each that is marked as lost
}

func (b *scoreboard) live() []txRec { return b.recs[b.head:] }

// find returns the index in live of the record that holds seq, or the number of
// records.
func (b *scoreboard) find(seq uint64) int {
	l := b.live()
	return sort.Search(len(l), func(i int) bool { return l[i].end > seq })
}

// spareRecs is how many records an empty scoreboard keeps memory for, at most: 160 KB.
// A flow without super-packets whose ACKs come rarely fills and empties it again
// and again.
const spareRecs = 2 << 10

// push appends the record of a new transmission.
func (b *scoreboard) push(r txRec) {
	if l := b.live(); len(l) >= maxRecs {
		if last := &l[len(l)-1]; last.flags&(recSacked|recLost|recRexmit) == 0 {
			last.end, last.sentAt = r.end, r.sentAt
			last.flags |= recEverRexmit // too coarse to measure with
			return
		}
	}
	b.recs = append(b.recs, r)
}

// split cuts record i of live at seq, which lies inside it.
func (b *scoreboard) split(i int, seq uint64) {
	i += b.head
	b.recs = append(b.recs, txRec{})
	copy(b.recs[i+1:], b.recs[i:])
	b.recs[i].end = seq
	b.recs[i].flags &^= recPush
	b.recs[i+1].start = seq
}

// uncount takes n bytes of record r out of the sums.
func (b *scoreboard) uncount(r *txRec, n int64) {
	if r.flags&recSacked != 0 {
		b.sacked -= n
		return
	}
	if r.flags&recLost != 0 {
		b.lost -= n
	}
	if r.flags&recRexmit != 0 {
		b.rexmit -= n
	}
}

// ack removes what lies below una, and calls each for every record, or part of
// one, that goes.
func (b *scoreboard) ack(una uint64, each func(r *txRec, n int64)) {
	for b.head < len(b.recs) {
		r := &b.recs[b.head]
		if r.start >= una {
			break
		}
		if r.end > una { // in the middle of a transmission
			n := int64(una - r.start)
			each(r, n)
			b.uncount(r, n)
			r.start = una
			break
		}
		each(r, r.len())
		b.uncount(r, r.len())
		b.head++
	}
	if b.head == len(b.recs) {
		b.recs, b.head = reuseUpTo(b.recs, spareRecs), 0
	} else if b.head > 64 && b.head > len(b.recs)/2 {
		n := copy(b.recs, b.recs[b.head:])
		b.recs, b.head = b.recs[:n], 0
	}
	b.ranges.trimBelow(una)
	b.lostBelow = max(b.lostBelow, una)
	b.rexmitFrom = max(b.rexmitFrom, una)
}

// sack marks the octets of block, which lies above SND.UNA and not beyond
// SND.NXT, and returns how many of them are new. each is called for every
// record marked.
func (b *scoreboard) sack(block seqRange, each func(r *txRec)) (fresh int64) {
	if b.ranges.covers(block) || len(b.ranges) >= maxSackRanges && b.ranges.grows(block) {
		return 0
	}
	// Bring the block to boundaries of records, by splitting them at its edges
	// or, if there are many, by ignoring those that it covers in part.
	i := b.find(block.start)
	if l := b.live(); i < len(l) && l[i].start < block.start {
		if l[i].flags&recSacked == 0 {
			if len(l) >= maxSplitRecs {
				block.start = l[i].end
			} else {
				b.split(i, block.start)
			}
		}
		i++
	}
	for ; i < len(b.live()); i++ {
		r := &b.live()[i]
		if r.start >= block.end {
			break
		}
		if r.flags&recSacked != 0 {
			// Skip to the end of what is known already.
			if known, ok := b.ranges.containing(r.start); ok && known.end > r.end {
				i = b.find(known.end - 1) // the loop steps beyond it
			}
			continue
		}
		if r.end > block.end {
			if len(b.live()) >= maxSplitRecs {
				block.end = r.start
				break
			}
			b.split(i, block.end)
			r = &b.live()[i]
		}
		each(r)
		b.uncount(r, r.len())
		r.flags |= recSacked
		b.sacked += r.len()
		fresh += r.len()
	}
	if block.start < block.end {
		b.ranges.add(block)
	}
	return fresh
}

// lossEdge returns the sequence number below which everything not selectively
// acknowledged is lost: RFC 6675, section 4, IsLost: DupThresh discontiguous
// ranges above it, or more than (DupThresh-1)*SMSS octets.
func (b *scoreboard) lossEdge(smss int64) uint64 {
	var octets int64
	for i, n := len(b.ranges)-1, 0; i >= 0; i-- {
		octets += int64(b.ranges[i].end - b.ranges[i].start)
		if n++; n >= dupThresh || octets > (dupThresh-1)*smss {
			return b.ranges[i].start
		}
	}
	return 0
}

// markLost marks as lost what lies below edge and is not acknowledged in any
// way, and returns how many bytes those are.
func (b *scoreboard) markLost(edge uint64) (fresh int64) {
	if edge <= b.lostBelow {
		return 0
	}
	for i := b.find(b.lostBelow); i < len(b.live()); i++ {
		r := &b.live()[i]
		if r.end > edge {
			break
		}
		fresh += b.lose(r)
	}
	b.lostBelow = edge
	return fresh
}

// lose marks one record as lost.
func (b *scoreboard) lose(r *txRec) int64 {
	if r.flags&(recSacked|recLost) != 0 {
		return 0
	}
	r.flags |= recLost
	b.lost += r.len()
	b.rexmitFrom = min(b.rexmitFrom, r.start)
	if b.onLost != nil {
		b.onLost(r)
	}
	return r.len()
}

// loseAll marks everything that is not selectively acknowledged as lost and not
// yet retransmitted, as a retransmission timeout does. With forget it
// first forgets what was selectively acknowledged (RFC 2018, section 8).
func (b *scoreboard) loseAll(forget bool) (fresh int64) {
	if forget {
		b.ranges = b.ranges[:0]
		b.sacked = 0
	}
	for i := range b.live() {
		r := &b.live()[i]
		if forget {
			if r.flags&recSacked != 0 {
				r.flags &^= recSacked | recLost | recRexmit
			}
		}
		if r.flags&recSacked != 0 {
			continue
		}
		if r.flags&recRexmit != 0 {
			r.flags &^= recRexmit
			b.rexmit -= r.len()
			fresh += r.len()
			if b.onLost != nil {
				b.onLost(r)
			}
		}
		fresh += b.lose(r)
	}
	if l := b.live(); len(l) > 0 {
		b.rexmitFrom = l[0].start
		b.highRxt = l[0].start
		b.lostBelow = l[len(l)-1].end
	}
	return fresh
}

// nextLost returns the index in live of the first record that is lost and has
// not been sent again.
func (b *scoreboard) nextLost() (int, bool) {
	if b.lost == 0 {
		return 0, false
	}
	l := b.live()
	for i := b.find(b.rexmitFrom); i < len(l); i++ {
		if l[i].flags&(recSacked|recLost|recRexmit) == recLost {
			b.rexmitFrom = l[i].start
			return i, true
		}
	}
	if len(l) > 0 {
		b.rexmitFrom = l[len(l)-1].end
	}
	return 0, false
}

// resent notes that record r has been sent again.
func (b *scoreboard) resent(r *txRec) {
	if r.flags&recRexmit == 0 {
		b.rexmit += r.len()
	}
	r.flags |= recRexmit | recEverRexmit
	b.highRxt = max(b.highRxt, r.end)
}

// highestSacked is the end of the highest range reported, or 0.
func (b *scoreboard) highestSacked() uint64 {
	if n := len(b.ranges); n > 0 {
		return b.ranges[n-1].end
	}
	return 0
}

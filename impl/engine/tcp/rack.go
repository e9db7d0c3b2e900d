package tcp

import (
	"time"

	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/fault"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// RACK (RFC 8985) declares a segment lost when one that was sent sufficiently
// later has been delivered. It needs SACK, and takes the place of counting
// duplicate ACKs.

// Specification constants of RFC 8985.
const (
	rackMaxMult       = 20 // a bound of ours on reo_wnd_mult; SRTT bounds it first
	rackReoWndPersist = 16 // recoveries for which a grown reordering window lasts
)

type rackState struct {
	// Of the most recently sent segment that has been delivered.
	valid  bool
	sentAt clock.Time    // RACK.xmit_ts
	end    uint64        // RACK.end_seq
	rtt    time.Duration // RACK.rtt

	fack uint64 // highest sequence number delivered (RACK.fack)

	// Retransmissions in the order in which they were sent. Records that were
	// sent once are in that order anyway.
	resent []resentRec
	head   int
}

type resentRec struct {
	start, end uint64
	sentAt     clock.Time
}

// reordering is what RACK has learnt about the path.
type reordering struct {
	reordered  bool   // reordering has been seen
	dsack      bool   // the present ACK reports a duplicate
	mult       uint8  // RACK.reo_wnd_mult
	persist    uint8  // RACK.reo_wnd_persist
	dsackRound uint64 // SND.NXT when mult last grew, or 0
}

// useRACK reports whether RACK detects losses here.
func (c *Conn) useRACK() bool { return c.sackOK && !c.p.NoRACK && !fault.On("rack-off") }

// sentLater reports whether a segment sent at a, ending at aEnd, was sent after
// the other one (RFC 8985, section 6.2: RACK_sent_after).
func sentLater(a clock.Time, aEnd uint64, b clock.Time, bEnd uint64) bool {
	return a > b || a == b && aEnd > bEnd
}

// rackDelivered takes note of a record that this ACK has delivered, cumulatively
// or selectively (RFC 8985, section 6.2, steps 1 to 3).
func (c *Conn) rackDelivered(now clock.Time, h *wire.TCP, r *txRec) {
	if !c.useRACK() {
		return
	}
	k := &c.rack
	// Step 3: reordering is something delivered below what had been delivered
	// before, and not because it was sent again.
	switch {
	case r.end > k.fack:
		k.fack = r.end
	case r.end < k.fack && r.flags&recEverRexmit == 0:
		c.reo.reordered = true
		c.stats.reordered++
	}
	rtt := now.Sub(r.sentAt)
	if r.flags&recEverRexmit != 0 {
		// Step 2: is it the original that was delivered, and not what was sent
		// again? The echoed timestamp tells, or a time that is too short. What is
		// echoed is of the last segment in order (RFC 7323, section 4.3), so of
		// what lies beyond a hole it tells nothing: the probe for a lost tail is
		// one of those.
		inOrder := int32(uint32(r.end)-h.Ack) <= 0
		if inOrder && c.tsOK && h.Options.HasTimestamps && int32(h.Options.TSecr-c.tsNow(r.sentAt)) < 0 {
			return
		}
		if rtt < c.rtt.least() && !fault.On("rack-believes-early-ack") {
			return
		}
	}
	if !k.valid || sentLater(r.sentAt, r.end, k.sentAt, k.end) {
		k.valid = true
		k.sentAt, k.end, k.rtt = r.sentAt, r.end, max(rtt, minSample)
	}
}

// rackReoWnd is the reordering window (RFC 8985, section 6.2, step 4).
func (c *Conn) rackReoWnd() time.Duration {
	k := &c.reo
	if fault.On("rack-no-reordering-window") {
		return 0
	}
	if fault.On("rack-window-always") {
		return c.rtt.least() / 4
	}
	if !k.reordered {
		if c.phase == cc.Recovery || c.phase == cc.Loss || c.dupAcks >= dupThresh ||
			c.sb.lossEdge(c.mss) > 0 {
			return 0
		}
	}
	return min(time.Duration(max(k.mult, 1))*c.rtt.least()/4, c.rtt.srtt)
}

// rackDuplicates lets the reordering window grow by reports of duplicates, at
// most once a round trip (section 6.2, step 4).
func (c *Conn) rackDuplicates() {
	k := &c.reo
	if k.dsackRound != 0 && c.sndUna >= k.dsackRound {
		k.dsackRound = 0
	}
	if k.dsack && k.dsackRound == 0 && !fault.On("rack-window-does-not-adapt") {
		k.dsackRound = c.sndNxt
		k.mult = min(max(k.mult, 1)+1, rackMaxMult)
		k.persist = rackReoWndPersist
	}
}

// rackLeave is called at the end of each recovery.
func (c *Conn) rackLeave() {
	k := &c.reo
	if k.persist > 0 {
		if k.persist--; k.persist == 0 {
			k.mult = 1
		}
	}
}

// rackDetect marks as lost what RACK finds lost (section 6.2, step 5), and arms
// the timer for what may turn out to be. It returns the bytes newly marked.
//
// It looks at each record once: those sent once are in the order of sending,
// and sb.lostBelow is how far they have been marked; the others are in a queue.
func (c *Conn) rackDetect(now clock.Time) (lost int64) {
	k, b := &c.rack, &c.sb
	c.tm.stop(tmReorder)
	if !k.valid || c.sndUna == c.sndNxt {
		return 0
	}
	patience := k.rtt + c.rackReoWnd()
	later := clock.Time(0)

	marking := true
	for i := b.find(b.lostBelow); i < len(b.live()); {
		r := &b.live()[i]
		if r.flags&recSacked != 0 {
			// Skip all of what is known to have arrived.
			if known, ok := b.ranges.containing(r.start); ok && known.end > r.end {
				i = b.find(known.end - 1)
			}
			if marking {
				b.lostBelow = b.live()[i].end
			}
			i++
			continue
		}
		if r.flags&(recEverRexmit|recLost) == 0 {
			if !sentLater(k.sentAt, k.end, r.sentAt, r.end) {
				break
			}
			if due := r.sentAt.Add(patience); due > now {
				later = max(later, due)
				marking = false
				break // what was sent later is due later
			}
			lost += b.lose(r)
		}
		if marking {
			b.lostBelow = r.end
		}
		i++
	}

	for k.head < len(k.resent) {
		q := &k.resent[k.head]
		r, current := b.holds(q)
		if current {
			if !sentLater(k.sentAt, k.end, q.sentAt, q.end) {
				break
			}
			if due := q.sentAt.Add(patience); due > now {
				later = max(later, due)
				break
			}
			if !fault.On("rack-lost-retransmission-unseen") {
				lost += b.loseAgain(r)
			}
		}
		k.head++
	}
	if k.head == len(k.resent) {
		k.resent, k.head = k.resent[:0], 0
	}
	if later > 0 && !fault.On("rack-timer-off") {
		c.tm[tmReorder] = later
	}
	return lost
}

// rackResent notes that a record has been sent again. The queue is bounded: where
// there is no room, the retransmission timer has to find the loss.
func (c *Conn) rackResent(r *txRec) {
	if !c.useRACK() {
		return
	}
	k := &c.rack
	if k.head > 64 && k.head > len(k.resent)/2 {
		n := copy(k.resent, k.resent[k.head:])
		k.resent, k.head = k.resent[:n], 0
	}
	if len(k.resent)-k.head < maxRecs {
		k.resent = append(k.resent, resentRec{r.start, r.end, r.sentAt})
	}
}

// holds returns the record that q tells of, if its last transmission still is
// that one and it has not been delivered.
func (b *scoreboard) holds(q *resentRec) (*txRec, bool) {
	l := b.live()
	i := b.find(q.end - 1)
	if i == len(l) || l[i].start >= q.end {
		return nil, false
	}
	r := &l[i]
	return r, r.sentAt == q.sentAt && r.flags&recSacked == 0 && r.flags&recEverRexmit != 0
}

// loseAgain marks a record whose retransmission is lost.
func (b *scoreboard) loseAgain(r *txRec) (fresh int64) {
	if r.flags&recSacked != 0 {
		return 0
	}
	if r.flags&recRexmit != 0 {
		r.flags &^= recRexmit
		b.rexmit -= r.len()
		fresh = r.len()
		if b.onLost != nil {
			b.onLost(r)
		}
	}
	b.rexmitFrom = min(b.rexmitFrom, r.start)
	return fresh + b.lose(r)
}

// onReorderTimeout is called when what was within the reordering window is so no
// longer (section 6.2, RACK_reorder_timeout).
func (c *Conn) onReorderTimeout(now clock.Time) {
	c.watching(now, 0)
	if c.ctl == nil || !c.useRACK() || c.persisting() {
		return
	}
	inFlight := c.pipe()
	lost := c.rackDetect(now)
	if lost == 0 {
		return
	}
	c.rate.lost += lost
	if c.phase == cc.Recovery || c.phase == cc.Loss {
		return
	}
	c.beginRecovery(now, lost, inFlight, 0)
}

// rackTimeout marks losses at a retransmission timeout: the first segment, and
// what was sent long enough ago (section 6.3).
func (c *Conn) rackTimeout(now clock.Time) (lost int64) {
	b := &c.sb
	patience := max(c.rack.rtt, 0) + c.rackReoWnd()
	for i := range b.live() {
		r := &b.live()[i]
		if r.flags&recSacked != 0 || i > 0 && r.sentAt.Add(patience) > now {
			continue
		}
		lost += b.loseAgain(r)
	}
	if l := b.live(); len(l) > 0 {
		b.rexmitFrom, b.highRxt = l[0].start, l[0].start
	}
	return lost
}

package sim

import (
	"math"
	"time"
)

// CoDel is an active queue management that bounds the time that packets spend in
// the queue (RFC 8289).
type CoDel struct {
	Target   time.Duration // the standing delay that is accepted; 0: 5 ms
	Interval time.Duration // in which it must be reached; 0: 100 ms
	ECN      bool          // mark instead of drop what can be marked
}

// codel is the state of RFC 8289, section 5.2. Its names are the RFC's.
type codel struct {
	firstAboveTime Time
	dropNext       Time
	count          int
	lastcount      int
	dropping       bool
}

// controlLaw is the time of the next drop: drops come closer together with the
// square root of their number.
func (c *codel) controlLaw(t Time, k *CoDel) Time {
	return t.Add(time.Duration(float64(k.Interval) / math.Sqrt(float64(c.count))))
}

// okToDrop tells whether a packet that leaves the queue may be dropped. waiting
// are the bytes behind it.
func (c *codel) okToDrop(now Time, k *CoDel, sojourn time.Duration, waiting, mtu int64) bool {
	if sojourn < k.Target || waiting <= mtu {
		c.firstAboveTime = 0
		return false
	}
	if c.firstAboveTime == 0 {
		c.firstAboveTime = now.Add(k.Interval)
		return false
	}
	return now >= c.firstAboveTime
}

// dequeue takes the next packet to send from p's queue (RFC 8289, section 5.5).
// A packet that can be marked is marked where another would be dropped.
func (c *codel) dequeue(now Time, p *path) *packet {
	k := p.d.CoDel
	next := func() (pkt *packet, ok bool) {
		pkt = p.popQueue()
		if pkt == nil {
			c.firstAboveTime = 0
			return nil, false
		}
		return pkt, c.okToDrop(now, k, now.Sub(pkt.queued), p.waitingBytes, int64(p.link.mtu))
	}
	// hit drops or marks, and reports whether pkt goes on.
	hit := func(pkt *packet) bool {
		if k.ECN && pkt.mark() {
			p.stats.Marked++
			return true
		}
		p.drop(now, pkt, DropCoDel)
		return false
	}
	pkt, okToDrop := next()
	if c.dropping {
		if !okToDrop {
			c.dropping = false
		}
		for c.dropping && pkt != nil && now >= c.dropNext {
			c.count++
			if hit(pkt) {
				c.dropNext = c.controlLaw(c.dropNext, k)
				return pkt
			}
			pkt, okToDrop = next()
			if !okToDrop {
				c.dropping = false
			} else {
				c.dropNext = c.controlLaw(c.dropNext, k)
			}
		}
	} else if okToDrop {
		marked := hit(pkt)
		if !marked {
			pkt, _ = next()
		}
		c.dropping = true
		// If it was dropping lately, go on at about the rate that worked.
		delta := c.count - c.lastcount
		c.count = 1
		if delta > 1 && now.Sub(c.dropNext) < 16*k.Interval {
			c.count = delta
		}
		c.dropNext = c.controlLaw(now, k)
		c.lastcount = c.count
	}
	return pkt
}

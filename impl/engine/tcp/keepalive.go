package tcp

import (
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
)

// startKeepalive arms the timer if there is a Keepalive (MUST-24, MUST-25).
func (c *Conn) startKeepalive(now clock.Time) {
	k := c.cfg.Flow.Keepalive
	if k == nil || c.state == api.StateSynSent || c.state == api.StateSynReceived {
		return
	}
	c.scheduleKeepalive(now)
}

// scheduleKeepalive asks when to look again, without acting.
func (c *Conn) scheduleKeepalive(now clock.Time) {
	action, wait := c.cfg.Flow.Keepalive.Next(now.Sub(c.lastRecv), c.kaSent)
	if action != api.KeepaliveWait {
		wait = 0
	}
	c.tm[tmKeepalive] = now.Add(max(wait, minKeepaliveWait))
}

// minKeepaliveWait keeps a Keepalive that asks for no pause from making the
// connection spin.
const minKeepaliveWait = time.Millisecond

// keepaliveSlack is how late the timer may be before it is taken for a process
// that slept: answers may then wait unread.
const keepaliveSlack = time.Second

// onKeepaliveTimeout probes an idle peer, or gives it up (RFC 9293, section
// 3.8.4).
func (c *Conn) onKeepaliveTimeout(now, due clock.Time) {
	k := c.cfg.Flow.Keepalive
	if k == nil {
		return
	}
	// MUST-26: only while nothing is outstanding. Retransmissions and zero-window
	// probes find a dead peer by themselves.
	if c.sndUna < c.sndNxt || c.unsent() > 0 || c.finPending() {
		_, wait := k.Next(0, 0)
		c.kaSent = 0
		c.tm[tmKeepalive] = now.Add(max(wait, minKeepaliveWait))
		return
	}
	action, wait := k.Next(now.Sub(c.lastRecv), c.kaSent)
	wait = max(wait, minKeepaliveWait)
	switch action {
	case api.KeepaliveWait:
		c.tm[tmKeepalive] = now.Add(wait)
	case api.KeepaliveProbe:
		c.kaDue = true // counted when it is really sent (K2)
		c.tm[tmKeepalive] = now.Add(wait)
	default:
		if now.Sub(due) > keepaliveSlack {
			// Nobody ran for a while; give the answer the time it would have had.
			_, wait = k.Next(now.Sub(c.lastRecv), max(c.kaSent-1, 0))
			c.kaDue = true
			c.tm[tmKeepalive] = now.Add(max(wait, keepaliveSlack))
			return
		}
		c.giveUp(api.ErrKeepalive)
	}
}

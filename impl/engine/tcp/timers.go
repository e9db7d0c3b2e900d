package tcp

import (
	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/fault"
)

// The timers of a connection. When several are due, they act in this order.
const (
	tmUser       = iota // R2, user timeout
	tmProbe             // tail loss probe; before the RTO, which it moves
	tmRetransmit        // RTO, also of SYN and FIN
	tmReorder           // RACK: what is late is lost
	tmPersist           // zero-window probes
	tmOverride          // sender silly window avoidance (RFC 9293, section 3.8.6.2.1)
	tmDelack
	tmKeepalive
	tmFinWait2
	tmPace // not before then may more be sent
	tmCWR  // ECN: cwnd cannot be reduced further, and new data wait
	numTimers
)

var timerNames = [numTimers]string{tmRetransmit: "retransmit", tmProbe: "probe", tmReorder: "reorder", tmPersist: "persist",
	tmDelack: "delack", tmKeepalive: "keepalive"}

type timers [numTimers]clock.Time

func (t *timers) stopAll() {
	for i := range t {
		t[i] = clock.Never
	}
}

func (t *timers) armed(i int) bool { return t[i] != clock.Never }
func (t *timers) stop(i int)       { t[i] = clock.Never }

func (t *timers) next() clock.Time {
	at := clock.Never
	for _, d := range t {
		at = min(at, d)
	}
	return at
}

// Deadline returns when Timeout is to be called next; clock.Never if not at all.
func (c *Conn) Deadline() clock.Time {
	if c.state == api.StateTimeWait {
		return c.tw.Deadline()
	}
	return c.tm.next()
}

// Timeout does what is due at now. Calling it early does nothing.
func (c *Conn) Timeout(now clock.Time) {
	if c.state == api.StateTimeWait {
		if now >= c.tw.Deadline() {
			c.setState(api.StateClosed)
		}
		return
	}
	for i := range c.tm {
		due := c.tm[i]
		if due > now || c.state == api.StateClosed {
			continue
		}
		c.tm[i] = clock.Never
		switch i {
		case tmUser:
			c.onUserTimeout(now)
		case tmProbe:
			c.onProbeTimeout(now)
		case tmRetransmit:
			c.onRetransmitTimeout(now)
		case tmReorder:
			c.onReorderTimeout(now)
		case tmPersist:
			c.onPersistTimeout(now)
		case tmOverride:
			c.override = true
		case tmDelack:
			c.ackNow = true
			if n := int64(c.stats.dataReceived); c.p.Like.Interactive && c.quickAcks == 0 && n < quickAckSegments {
				c.quickAcks = quickAckSegments // nobody answers any more
			}
		case tmKeepalive:
			c.onKeepaliveTimeout(due)
		case tmFinWait2:
			c.end(nil)
		case tmPace, tmCWR: // Poll goes on
		}
	}
}

// userTimeout returns R2: how long data may stay unacknowledged, and whether
// that holds while the peer keeps its window closed, too. The user's own timeout
// does (S19 of a slow reader); ours does not (RFC 9293, section 3.8.6.1, MUST-37).
func (c *Conn) userTimeout() (limit clock.Time, persistToo bool) {
	if fault.Built {
		if limit, persistToo, wrong := c.wrongUserTimeout(); wrong {
			return limit, persistToo
		}
	}
	if d := c.cfg.Flow.UserTimeout; d > 0 {
		return clock.Time(d), true
	}
	if c.state == api.StateSynSent || c.state == api.StateSynReceived {
		return clock.Time(c.p.SynTimeout), false
	}
	return clock.Time(c.p.UserTimeout), false
}

// watchUser starts the user timer when something begins to be unacknowledged.
func (c *Conn) watchUser(now clock.Time) {
	if !c.tm.armed(tmUser) {
		c.progressAt = now
		limit, _ := c.userTimeout()
		c.tm[tmUser] = now + limit
	}
}

// onUserTimeout ends the connection if nothing has been acknowledged for the
// whole of R2 (RFC 9293, section 3.8.3, MUST-20). Progress only moves
// progressAt; the timer catches up here.
func (c *Conn) onUserTimeout(now clock.Time) {
	limit, _ := c.userTimeout()
	switch {
	case !c.waiting():
	case fault.On("user-timeout-never"):
		c.tm[tmUser] = now + limit
	case now < c.progressAt+limit:
		c.tm[tmUser] = c.progressAt + limit
	default:
		c.giveUp(api.ErrTimeout)
	}
}

// waiting reports whether the peer owes us an acknowledgement, or a window.
func (c *Conn) waiting() bool {
	switch c.state {
	case api.StateSynSent, api.StateSynReceived:
		return true
	}
	return c.sndUna < c.sndNxt || c.unsent() > 0 || c.finPending()
}

// giveUp ends the connection after a timeout. A peer that may still be there is
// told by a RST, except before the handshake is complete, when addresses
// have not been verified.
func (c *Conn) giveUp(reason error) {
	if fault.On("keepalive-ends-as-timeout") && reason == api.ErrKeepalive {
		reason = api.ErrTimeout
	}
	if c.state != api.StateSynSent && c.state != api.StateSynReceived {
		c.queueReset()
	}
	c.end(reason)
}

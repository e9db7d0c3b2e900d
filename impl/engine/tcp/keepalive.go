package tcp

import (
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/fault"
)

// A Keepalive is code of the user's, which the machine does not call: it says by
// EventKeepalive that it has a question, whoever drives it gets that from
// AskKeepalive, puts it to the Keepalive, and gives the answer to AnswerKeepalive.

type keepaliveState struct {
	due   clock.Time    // when it was to be asked
	wait  time.Duration // of the last answer
	sent  int32         // probes since the peer was last heard
	asked bool          // the question is open
}

// minKeepaliveWait keeps a Keepalive that asks for no pause from making the
// connection spin.
const minKeepaliveWait = time.Millisecond

// keepaliveSlack is how late the timer may be before it is taken for a process
// that slept: answers may then wait unread.
const keepaliveSlack = time.Second

// startKeepalive asks for the first time, if there is a Keepalive (MUST-24,
// MUST-25).
func (c *Conn) startKeepalive(now clock.Time) {
	if fault.On("keepalive-on-by-default") && c.cfg.Flow.Keepalive == nil {
		c.cfg.Flow.Keepalive = api.KeepaliveConfig{}
	}
	if fault.On("keepalive-never") {
		return
	}
	if c.cfg.Flow.Keepalive == nil || c.state == api.StateSynSent || c.state == api.StateSynReceived {
		return
	}
	c.onKeepaliveTimeout(now)
}

func (c *Conn) onKeepaliveTimeout(due clock.Time) {
	if c.cfg.Flow.Keepalive == nil {
		return
	}
	if c.ka == nil {
		c.ka = new(keepaliveState)
	}
	c.ka.asked, c.ka.due = true, due
	c.events |= EventKeepalive
}

func (c *Conn) keepaliveAsked() bool { return c.ka != nil && c.ka.asked }

// busy reports whether anything is outstanding: retransmissions and zero-window
// probes then find a dead peer by themselves (MUST-26).
func (c *Conn) busy() bool { return c.sndUna < c.sndNxt || c.unsent() > 0 || c.finPending() }

// AskKeepalive returns the question that EventKeepalive announced: call
// k.Next(idle, sent), and give AnswerKeepalive the result. ok is false if there is
// none any more.
func (c *Conn) AskKeepalive(now clock.Time) (k api.Keepalive, idle time.Duration, sent int, ok bool) {
	k = c.cfg.Flow.Keepalive
	if !c.keepaliveAsked() || k == nil || c.FullyClosed() {
		return nil, 0, 0, false
	}
	if c.busy() && !fault.On("keepalive-while-busy") {
		return k, 0, 0, true
	}
	return k, now.Sub(c.lastRecv), int(c.ka.sent), true
}

// AnswerKeepalive does what a Keepalive has decided (RFC 9293, section 3.8.4).
func (c *Conn) AnswerKeepalive(now clock.Time, action api.KeepaliveAction, wait time.Duration) {
	if !c.keepaliveAsked() {
		return
	}
	if c.cfg.Flow.Keepalive == nil || c.FullyClosed() {
		c.ka.asked = false
		return
	}
	late := now.Sub(c.ka.due)
	c.ka.asked = false
	wait = max(wait, minKeepaliveWait)
	if fault.On("keepalive-interval-fixed") {
		wait = min(wait, 60*time.Second)
		if action == api.KeepaliveWait {
			action = api.KeepaliveProbe
		}
	}
	if fault.On("keepalive-interval-short") {
		wait = min(wait, 10*time.Second)
		if action == api.KeepaliveProbe && c.ka.sent > 0 {
			wait = time.Second
		}
	}
	if fault.On("keepalive-one-probe-kills") && c.ka.sent > 0 {
		action = api.KeepaliveGiveUp
	}
	if fault.On("keepalive-never-gives-up") && action == api.KeepaliveGiveUp {
		action = api.KeepaliveProbe
	}
	switch {
	case c.busy() && !fault.On("keepalive-while-busy"):
		c.ka.sent = 0
	case action == api.KeepaliveWait:
	case action == api.KeepaliveProbe:
		c.kaDue = true // counted when it is really sent (K2)
	case late > keepaliveSlack:
		// Nobody ran for a while: give the answer the time it would have had.
		c.kaDue = true
		wait = max(c.ka.wait, keepaliveSlack)
	default:
		c.giveUp(api.ErrKeepalive)
		return
	}
	c.ka.wait = wait
	c.tm[tmKeepalive] = now.Add(wait)
}

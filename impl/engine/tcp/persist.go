package tcp

import (
	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/fault"
)

// persisting reports that there is something to send and the peer's window is
// closed: the persist timer then stands in for the retransmission timer.
func (c *Conn) persisting() bool {
	return c.sndWnd() == 0 && (c.sndUna < c.sndNxt || c.unsent() > 0 || c.finPending())
}

// onPersistTimeout makes Poll send a probe (RFC 9293, section 3.8.6.1, MUST-36,
// SHLD-29, SHLD-30). Nothing but the user's timeout and being an orphan ends
// this as long as the peer answers (MUST-37).
func (c *Conn) onPersistTimeout(now clock.Time) {
	if !c.persisting() {
		return
	}
	if c.orphan && int(c.persistBack) >= c.p.OrphanRetries {
		c.giveUp(api.ErrTimeout)
		return
	}
	if fault.On("zero-window-not-probed") {
		return
	}
	if fault.On("persist-gives-up") && c.persistBack > 10 {
		c.giveUp(api.ErrTimeout)
		return
	}
	if c.p.Like.EmptyProbes && c.persistBack == 0 {
		c.progressAt = now // from where Linux counts the user's timeout
	}
	if !fault.On("persist-without-backoff") {
		saturate(&c.persistBack)
	}
	c.probeDue = true
}

// armPersist starts the timer while the window is closed.
func (c *Conn) armPersist(now clock.Time) {
	if !c.tm.armed(tmPersist) && !c.probeDue {
		d := max(c.backedOff(c.rtt.rto, int(c.persistBack)), c.p.Like.PersistMin)
		if c.p.Like.PersistMax > 0 {
			d = min(d, c.p.Like.PersistMax)
		}
		if fault.On("persist-first-late") && c.persistBack == 0 {
			d = 20 * c.rtt.rto
		}
		c.tm[tmPersist] = now.Add(d)
	}
}

// windowOpened is called when a closed window has opened. What was sent as a
// probe, or before the peer shrank its window, and was not taken, is sent again:
// that is no sign of congestion.
func (c *Conn) windowOpened() {
	c.tm.stop(tmPersist)
	c.probeDue = false
	c.persistBack = 0
	if c.sndUna < c.sndNxt && !fault.On("probe-not-repeated") {
		c.renoSacked = 0
		c.withoutWatch(func() { c.sb.loseAll(false) })
	}
}

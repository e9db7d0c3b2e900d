package tcp

import (
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/fault"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// A reduction of the window turns out to have been spurious when nothing had been
// lost: each retransmission is reported as a duplicate (RFC 2883, RFC 3708); the
// first ACK after a retransmission echoes a timestamp from before it (Eifel,
// RFC 3522); or, after a timeout, something that was not sent again is
// acknowledged (F-RTO, RFC 5682). The controller then takes back what it did
// (RFC 4015), and what was marked lost is in flight again.

type undoState struct {
	active bool
	kind   cc.CongestionKind
	una    uint64 // SND.UNA when the episode began
	high   uint64 // SND.NXT then
	resent int64  // bytes sent again and not reported as duplicates
	any    bool   // something was sent again
	first  uint64 // end of the first retransmission
	stamp  uint32 // its timestamp

	frto     frtoStep
	original bool // the present ACK has delivered what was thought lost and never sent again
}

// frtoStep is how far F-RTO has come (RFC 5682, section 3.1).
type frtoStep uint8

const (
	frtoOff   frtoStep = iota
	frtoFirst          // waiting for the first ACK after the timeout
	frtoProve          // it moved SND.UNA: new data are sent, and the next ACK decides
)

// beginUndo starts watching an episode. A further timeout of the same segment
// goes on with the first one.
func (c *Conn) beginUndo(kind cc.CongestionKind) {
	u := &c.undo
	if kind == cc.Timeout && u.active && u.kind == cc.Timeout && u.una == c.sndUna {
		return
	}
	*u = undoState{active: true, kind: kind, una: c.sndUna, high: c.sndNxt}
	if kind == cc.Timeout && c.sackOK && !c.p.Like.NoFRTO && (c.phase == cc.Open || c.phase == cc.Disorder) {
		u.frto = frtoFirst
	}
	if fault.Built {
		u.spoil()
	}
}

// undoResent notes a retransmission of n bytes up to end.
func (c *Conn) undoResent(now clock.Time, end uint64, n int64) {
	u := &c.undo
	if !u.active {
		return
	}
	if !u.any {
		u.any, u.first, u.stamp = true, end, c.tsNow(now)
	}
	u.resent += n
}

// undoDuplicate notes that the peer has reported b as received twice.
func (c *Conn) undoDuplicate(b seqRange) {
	u := &c.undo
	if u.active && b.start >= u.una && b.end <= u.high {
		u.resent -= int64(b.end - b.start)
	}
}

// undoOriginal notes that this ACK has delivered r, if that was thought lost and
// never sent again.
func (c *Conn) undoOriginal(r *txRec) {
	if r.flags&(recLost|recEverRexmit) == recLost && r.end <= c.undo.high {
		c.undo.original = true
	}
}

// stepFRTO takes one ACK into account, and reports whether it proves that the
// timeout was spurious: an ACK after the first one delivers what was not sent
// again (RFC 5682, section 3.1). The first could owe that to lost ACKs.
func (u *undoState) stepFRTO(una uint64, cum, delivered int64) bool {
	switch u.frto {
	case frtoFirst:
		switch {
		case cum > 0 && una < u.high:
			u.frto = frtoProve
		case cum > 0 || delivered > 0:
			u.frto = frtoOff
		}
	case frtoProve:
		if delivered > 0 {
			u.frto = frtoOff
			return u.original
		}
	}
	return false
}

// undoIfSpurious is called for each ACK during an episode, before losses are
// looked for.
func (c *Conn) undoIfSpurious(now clock.Time, h *wire.TCP, cum, delivered int64) {
	u := &c.undo
	proved := u.active && u.stepFRTO(c.sndUna, cum, delivered)
	u.original = false
	if !u.active || !u.any {
		return
	}
	if c.phase != cc.Recovery && c.phase != cc.Loss {
		if !c.p.Like.LateUndo || u.resent > 0 || c.phase == cc.CWR {
			return
		}
	}
	spurious := proved || u.resent <= 0 && !fault.On("undo-by-duplicates-off")
	if fault.On("undo-always") && cum > 0 {
		spurious = true
	}
	// RFC 3522, section 3.2, step 4: the first ACK that covers it.
	if cum > 0 && c.tsOK && h.Options.HasTimestamps && c.sndUna >= u.first &&
		int32(h.Options.TSecr-u.stamp) < 0 && h.Options.TSecr != 0 && !fault.On("undo-by-timestamp-off") {
		spurious = true
	}
	if !spurious {
		return
	}
	kind := u.kind
	*u = undoState{}
	c.keepRare()
	c.seldom.undone++
	c.ecn.cwrDue = false // nothing has been reduced
	c.sb.unlose()
	c.tlp = tlpState{}
	recovery := c.phase == cc.Recovery
	c.phase = cc.Open
	if len(c.sb.ranges) > 0 {
		c.phase = cc.Disorder
	}
	c.dupAcks, c.limitedTx, c.backoff = 0, 0, 0
	c.forceRexmit = false
	if c.useRACK() {
		// What looked lost was late.
		c.reo.reordered = true
	}
	if o, ok := c.ctl.(cc.Undoer); ok {
		o.Undo(now, kind)
	}
	if o, ok := c.ctl.(cc.RecoveryOwner); ok && recovery {
		o.ExitRecovery(now, true)
	}
	c.takeControl()
}

// unlose takes back that records are lost, except those whose retransmission is
// under way.
func (b *scoreboard) unlose() {
	l := b.live()
	for i := range l {
		r := &l[i]
		if r.flags&(recLost|recSacked) == recLost {
			if r.flags&recRexmit != 0 {
				r.flags &^= recRexmit
				b.rexmit -= r.len()
			}
			r.flags &^= recLost
			b.lost -= r.len()
		}
	}
	if len(l) > 0 {
		b.rexmitFrom = l[len(l)-1].end
		b.lostBelow = l[0].start
	}
}

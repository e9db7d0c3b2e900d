package tcp

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
)

// paranoid makes every Segment, Poll and change of state check the machine's
// books. Tests set it.
var paranoid = false

// SetParanoid is for the tests of other packages: whether every Segment, Poll and
// change of state checks the machine's books, and panics if they are wrong. It is not to be
// changed while a connection is in use.
func SetParanoid(on bool) { paranoid = on }

func (c *Conn) checkInvariants() {
	if !paranoid {
		return
	}
	if err := c.checkBooks(); err != nil {
		panic("BUG: " + err.Error())
	}
}

// Check returns what is wrong with a connection from which Poll has just returned
// false: its sequence numbers and sums, and its timers, of which each has to have a
// reason, and each that is needed has to run.
func (c *Conn) Check() error {
	return errors.Join(c.checkBooks(), c.checkTimers(), c.checkRest())
}

// next lists the changes of state of RFC 9293, figure 5, and those of its section
// 3.10 that the figure leaves out: every state may end in CLOSED.
var nextStates = map[api.State][]api.State{
	api.StateSynSent:     {api.StateSynReceived, api.StateEstablished},
	api.StateSynReceived: {api.StateEstablished, api.StateFinWait1},
	api.StateEstablished: {api.StateFinWait1, api.StateCloseWait},
	api.StateFinWait1:    {api.StateFinWait2, api.StateClosing, api.StateTimeWait},
	api.StateFinWait2:    {api.StateTimeWait},
	api.StateClosing:     {api.StateTimeWait},
	api.StateCloseWait:   {api.StateLastAck},
}

func (c *Conn) checkTransition(to api.State) {
	if !paranoid || to == api.StateClosed {
		return
	}
	for _, s := range nextStates[c.state] {
		if s == to {
			return
		}
	}
	panic(fmt.Sprintf("BUG: from %v to %v", c.state, to))
}

// checkTimers checks that every timer that runs has a reason, and that every one
// that is needed runs.
func (c *Conn) checkTimers() error {
	opening := c.state == api.StateSynSent || c.state == api.StateSynReceived || c.pending()
	ended := c.state == api.StateClosed || c.state == api.StateTimeWait
	outstanding := c.sndUna < c.sndNxt
	idle := c.tm.armed(tmOverride) || c.tm.armed(tmPace) || c.tm.armed(tmCWR)
	for _, r := range []struct {
		timer       int
		name        string
		need, cause bool
	}{
		{tmUser, "user timeout", c.waiting(), c.waiting()},
		{tmRetransmit, "retransmission", opening || outstanding && !c.persisting(), opening || outstanding},
		{tmPersist, "persist", !opening && c.persisting(), !opening && c.persisting()},
		{tmProbe, "tail loss probe", false, outstanding},
		{tmReorder, "reordering", false, outstanding},
		{tmDelack, "delayed ACK", c.ackPending > 0, c.ackPending > 0},
		{tmKeepalive, "keepalive", false, c.cfg.Flow.Keepalive != nil && !opening},
		{tmFinWait2, "FIN-WAIT-2", c.orphan && c.state == api.StateFinWait2, c.orphan && c.state == api.StateFinWait2},
		// With nothing outstanding no ACK will come to let out what waits.
		{tmOverride, "override, pacing or CWR", !opening && !outstanding && !c.persisting() && !idle && (c.unsent() > 0 || c.finPending()), true},
	} {
		switch armed := c.tm.armed(r.timer); {
		case ended && armed:
			return fmt.Errorf("%s timer runs in %v", r.name, c.state)
		case ended:
		case r.need && !armed:
			return fmt.Errorf("no %s timer in %v: %s", r.name, c.state, c.sequence())
		case armed && !r.cause:
			return fmt.Errorf("%s timer without a reason in %v: %s", r.name, c.state, c.sequence())
		}
	}
	if c.state == api.StateTimeWait && c.tw.deadline == clock.Never {
		return errors.New("TIME-WAIT without an end")
	}
	return nil
}

func (c *Conn) sequence() string {
	return fmt.Sprintf("SND.UNA %d SND.NXT %d end %d window to %d (FIN queued %v sent %v), RCV.NXT %d, to be acknowledged %d",
		c.sndUna-c.iss, c.sndNxt-c.iss, c.sq.end-c.iss, int64(c.sndEdge-c.iss), c.finQueued, c.finSent, c.rcvNxt-c.irs, c.ackPending)
}

// checkRest checks what holds of a connection that has nothing to send.
func (c *Conn) checkRest() error {
	switch c.state {
	case api.StateClosed, api.StateTimeWait:
		if c.sq.charged != 0 || c.rcvCharged != 0 || len(c.sb.live()) > 0 || len(c.ooo.segs) > 0 {
			return fmt.Errorf("%v holds %d bytes to send, %d received, %d records", c.state, c.sq.charged, c.rcvCharged, len(c.sb.live()))
		}
	case api.StateSynSent, api.StateSynReceived:
		if c.sndNxt <= c.iss || c.fast == nil && c.sndNxt != c.iss+1 {
			return fmt.Errorf("%v with SND.NXT %d beyond ISS", c.state, c.sndNxt-c.iss)
		}
	default:
		if c.sndUna <= c.iss {
			return fmt.Errorf("%v without an acknowledged SYN", c.state)
		}
	}
	if c.finSent && !c.finQueued || c.finSent && c.state != api.StateClosed && c.sndNxt != c.sq.end+1 {
		return fmt.Errorf("FIN sent, SND.NXT %d, end of data %d", c.sndNxt, c.sq.end)
	}
	if c.hasRcvFin && c.rcvNxt > c.rcvFin+1 {
		return fmt.Errorf("RCV.NXT %d beyond the FIN at %d", c.rcvNxt, c.rcvFin)
	}
	for _, due := range []struct {
		is   bool
		name string
	}{
		{c.rstDue, "RST"}, {c.probeDue, "window probe"}, {c.kaDue, "keepalive"}, {c.announceUp && !(c.state == api.StateSynSent || c.state == api.StateSynReceived), "urgent pointer"},
		{c.synDue && (c.state == api.StateSynSent || c.state == api.StateSynReceived), "SYN"},
	} {
		if due.is {
			return fmt.Errorf("%s due in %v and not sent", due.name, c.state)
		}
	}
	return nil
}

// checkBooks checks the order of the sequence numbers, and each sum against what it
// sums up.
func (c *Conn) checkBooks() (err error) {
	bug := func(format string, args ...any) {
		if err == nil {
			err = fmt.Errorf(format, args...)
		}
	}
	if k := &c.cfg.idle; !reflect.ValueOf(k).Elem().IsZero() {
		bug("something was written where nothing is in flight: %+v", *k)
	}
	if r := &c.cfg.usual; !reflect.ValueOf(r).Elem().IsZero() {
		bug("something was written where all is usual: %+v", *r)
	}
	if h := &c.cfg.whole; !reflect.ValueOf(h).Elem().IsZero() {
		bug("something was written where nothing is missing: %+v", *h)
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
	at := max(c.sndUna, c.iss+1)
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
	var queued int64
	at = 0
	for i, b := range c.sq.bufs[c.sq.head:] {
		if i > 0 && b.start != at {
			bug("written buffer at %d, want %d", b.start, at)
		}
		at = b.start + uint64(b.b.Len())
		queued += b.charge
	}
	if queued != c.sq.charged || at != 0 && at != c.sq.end {
		bug("to send: charged %d, counted %d, end %d, want %d", c.sq.charged, queued, at, c.sq.end)
	}
	if len(c.ooo.ranges) > maxOOORanges || len(c.sb.ranges) > maxSackRanges || len(c.sb.live()) > maxRecs {
		bug("%d ranges out of order, %d selectively acknowledged, %d records", len(c.ooo.ranges), len(c.sb.ranges), len(c.sb.live()))
	}
	return err
}

package tcp

import (
	"time"

	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// Automatic buffers. Both begin small and grow up to what the flow's configuration
// allows; neither ever shrinks, so that no window is taken back (RFC 9293,
// section 3.8.6, SHLD-14).
//
// The receive buffer follows what is read in a round trip (dynamic right-sizing:
// Fisk and Feng, "Dynamic Right-Sizing in TCP", 2001): a sender that the window does
// not limit can use twice that in slow start, and what it sends then is governed by
// the window announced a round trip before. A reader who is slow, and never finds the
// queue empty, gets no more. The send buffer follows what may be in flight: as much
// again may wait.
//
// Between two ends of one machine the round trip is so short that none of this
// bounds anything: whoever runs first fills whatever there is. Bytes that wait longer than
// they have to are no longer in the processor's cache when they are copied, which
// costs more than the waking that a longer queue saves. So a short path gets what
// the fastest reader takes in a round trip, and shortPathSpace for his waking.

// autotuneStart is where automatic buffers begin. Smaller ones are whole at once.
const autotuneStart = 64 << 10

const (
	timestampTick = time.Millisecond      // of our timestamp clock
	leastTuneRTT  = 20 * time.Microsecond // a goroutine takes as long to wake

	shortPathSpace  = 256 << 10 // of the receive buffer: some super-packets
	shortPathQueue  = 64 << 10  // what may wait to be sent: one of them
	shortPathFlight = 2 << 20   // of the send buffer, towards a peer who takes more: a flow's share of the cache
	shortPathRate   = 12        // bytes a nanosecond: nearly 100 Gbit/s
)

type tuneState struct {
	rcvSpace, sndSpace int64 // limits in force, if below the flow's own

	// Of the receiver: what was read since at, and the most in any round trip.
	at           clock.Time
	copied, most int64
	drained      bool          // since at, the reader has found nothing more
	rtt          time.Duration // of the receiver: between an ACK and the data it lets out
	tsecr        uint32        // of the last sample
	edge         uint64        // without timestamps: RCV.NXT gets here after a round trip from edgeAt on
	edgeAt       clock.Time
	reopened     clock.Time // when the reader opened the window, which was closed at the edge closedAt; 0: long ago
	closedAt     uint64
	least        time.Duration // between that and the first data that it let out, at least; 0: never seen
	piece        int64         // the most that has come at once: more than a segment where the link merges them
}

func (c *Conn) initTune(now clock.Time) { c.tunes = c.p.Autotune }

// tuning returns what is needed to tune, or nil if that is not wanted.
func (c *Conn) tuning() *tuneState {
	if c.tunes && c.tune == nil {
		// The first round trip began with the handshake's end.
		c.tune = &tuneState{rcvSpace: autotuneStart, sndSpace: autotuneStart, at: c.opened.Add(c.rtt.srtt)}
	}
	return c.tune
}

// receiveLimit is the receive buffer in force.
func (c *Conn) receiveLimit() int64 {
	switch {
	case !c.tunes:
		return c.cfg.Flow.ReceiveBuffer
	case c.tune == nil:
		return min(c.cfg.Flow.ReceiveBuffer, autotuneStart)
	}
	return min(c.cfg.Flow.ReceiveBuffer, c.tune.rcvSpace)
}

// sendLimit is the send buffer in force.
func (c *Conn) sendLimit() int64 {
	switch {
	case !c.tunes:
		return c.cfg.Flow.SendBuffer
	case c.tune == nil:
		return min(c.cfg.Flow.SendBuffer, autotuneStart)
	}
	return min(c.cfg.Flow.SendBuffer, c.tune.sndSpace)
}

// tuneRTT measures the round trip of a receiver on data in order: by the timestamp
// echoed, once for each, or else by the time in which a whole window arrives. Both
// may come out too long, which only delays the growth.
func (c *Conn) tuneRTT(now clock.Time, h *wire.TCP, n int64) {
	t := c.tuning()
	if t == nil || t.rcvSpace >= c.cfg.Flow.ReceiveBuffer {
		return
	}
	if t.reopened != 0 && c.rcvNxt > t.closedAt {
		if d := max(now.Sub(t.reopened), leastTuneRTT); t.least == 0 || d < t.least {
			t.least = d
		}
		t.reopened = 0
	}
	if c.tsOK {
		if n < c.segmentEstimate2() || h.Options.TSecr == t.tsecr {
			return
		}
		t.tsecr = h.Options.TSecr
		d, ok := c.tsSample(now, h.Options.TSecr)
		if !ok {
			return
		}
		// The clock may have ticked once more than the round trip took.
		if d = max(d-timestampTick, c.leastRTT()); t.rtt == 0 || d <= timestampTick {
			t.rtt = d
		}
		t.rtt += (d - t.rtt) / 8
		return
	}
	if c.rcvNxt < t.edge {
		return
	}
	if d := now.Sub(t.edgeAt); t.edge != 0 && (t.rtt == 0 || d < t.rtt) {
		t.rtt = max(d, c.leastRTT())
	}
	t.edge, t.edgeAt = c.rcvNxt+uint64(max(1, c.rcvWnd())), now
}

// noteMerged notes that n bytes came as one.
func (c *Conn) noteMerged(n int64) {
	if t := c.tuning(); t != nil {
		t.piece = max(t.piece, n)
	}
}

// leastRTT is what a round trip has taken at least, in finer steps than timestamps
// have: our own segments', or the peer's answer to a window that was opened.
func (c *Conn) leastRTT() time.Duration {
	d := c.rtt.least()
	if d == 0 { // the SYN was sent more than once
		d = timestampTick
	}
	if l := c.tune.least; l != 0 && l < d {
		d = l
	}
	return max(d, leastTuneRTT)
}

// noteReopened notes that the reader has opened a window that had closed.
func (c *Conn) noteReopened(now clock.Time) {
	if t := c.tune; t != nil {
		t.reopened, t.closedAt = now, c.rcvEdge
	}
}

// tuneReceive takes note of n bytes read, and at the end of a round trip lets the
// receive buffer grow, if the stack has that much memory.
func (c *Conn) tuneReceive(now clock.Time, n int64) {
	t := c.tuning()
	if t == nil || t.rcvSpace >= c.cfg.Flow.ReceiveBuffer {
		return
	}
	t.copied += n
	t.drained = t.drained || c.rq.empty()
	rtt := t.rtt
	if rtt == 0 {
		rtt = c.rtt.srtt // of the handshake
	}
	if rtt == 0 || now.Sub(t.at) < rtt {
		return
	}
	// Twice what was read; and as much again if that has doubled, for then the
	// sender is in slow start.
	want := 2 * t.copied
	if t.most > 0 {
		want += 2 * min(t.copied, 2*max(0, t.copied-t.most))
	}
	drained := t.drained
	t.most = max(t.most, t.copied)
	t.at, t.copied, t.drained = now, 0, false
	want = min(want, c.cfg.Flow.ReceiveBuffer, max(shortPathSpace, int64(rtt)*shortPathRate))
	if drained && want > t.rcvSpace && c.affords(want-c.rcvCharged) {
		t.rcvSpace = want
	}
}

// affords reports whether the stack has n bytes left: a buffer of which it could not
// fill the rest is no use.
func (c *Conn) affords(n int64) bool {
	if c.cfg.Budget == nil || n <= 0 {
		return true
	}
	if !c.cfg.Budget.Charge(n) {
		return false
	}
	c.cfg.Budget.Release(n)
	return true
}

// tuneSend lets the send buffer grow with what may be in flight. It counts memory, of
// which small writes need more than they have bytes.
func (c *Conn) tuneSend() {
	space := c.sendLimit()
	if !c.tunes || space >= c.cfg.Flow.SendBuffer {
		return
	}
	flight := min(c.cwnd, c.maxSndWnd)
	trip := int64(c.rtt.least()) * shortPathRate
	want := min(flight+min(flight, max(shortPathQueue, trip)), max(shortPathFlight, trip))
	if queued := c.sq.bytes(); queued > 0 && c.sq.charged > queued {
		want = int64(float64(want) * (float64(c.sq.charged) / float64(queued)))
	}
	want = min(want, c.cfg.Flow.SendBuffer)
	if want > space && c.affords(want-c.sq.charged) {
		if c.sq.charged >= space && c.sq.charged < want {
			c.events |= EventWrite
		}
		c.tuning().sndSpace = want
	}
}

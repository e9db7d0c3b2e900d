package tcp

import (
	"time"

	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/fault"
)

const clockSecond = time.Second

// rttState is the retransmission timer of RFC 6298.
type rttState struct {
	srtt, rttvar time.Duration
	rto          time.Duration // before backoff
	samples      int64
	last         time.Duration

	half, before time.Duration // least of this half of the window, and of the half before
	halfAt       clock.Time
}

func (r *rttState) init(initial time.Duration) {
	r.rto = initial
	if fault.On("rto-initial-short") {
		r.rto = initial / 5
	}
	if fault.On("rto-initial-long") {
		r.rto = 10 * initial
	}
}

// minSample keeps a clock that stands still from making an RTT of zero.
const minSample = time.Microsecond

// minWindow is how long a least RTT counts. RFC 8985, section 6.2, step 1, wants a
// recent one: a path that has become longer would otherwise look reordered for ever.
// The window moves by halves.
const minWindow = 5 * time.Minute

// takeLeast takes m into the windowed minimum.
func (r *rttState) takeLeast(now clock.Time, m time.Duration) {
	switch age := now.Sub(r.halfAt); {
	case r.samples == 0 || age >= minWindow:
		r.half, r.before, r.halfAt = m, m, now
	case age >= minWindow/2:
		r.half, r.before, r.halfAt = m, r.half, now
	default:
		r.half = min(r.half, m)
	}
}

// least returns the least RTT of late: see minWindow.
func (r *rttState) least() time.Duration { return min(r.half, r.before) }

// sample takes in a measurement. expected is how many are made in a round trip,
// by which the gains are damped (RFC 7323, section 4.2 and appendix G).
func (r *rttState) sample(now clock.Time, m time.Duration, expected int64, p *Params) {
	m = max(m, minSample)
	r.takeLeast(now, m)
	r.last = m
	if r.samples == 0 {
		r.srtt, r.rttvar = m, m/2 // (2.2)
	} else {
		e := time.Duration(max(expected, 1))
		r.rttvar += ((r.srtt - m).Abs() - r.rttvar) / (4 * e) // (2.3), in this order
		r.srtt += (m - r.srtt) / (8 * e)
		if fault.On("srtt-frozen") {
			r.srtt = r.half
		}
		if fault.On("srtt-last-sample") {
			r.srtt = m
		}
	}
	r.samples++
	// The floor stands under the variance too: a steady RTT would otherwise bring
	// the RTO so close to it that a delayed ACK made it expire. Never
	// shorter than (2.3) asks.
	r.rto = min(r.srtt+max(4*r.rttvar, p.RTOMin), p.RTOMax)
	switch {
	case fault.On("rto-fixed"):
		r.rto = p.RTOInitial / 4
	case fault.On("rto-without-variance"):
		r.rto = r.srtt + time.Millisecond
	case fault.On("rto-huge"):
		r.rto *= 10
	}
}

// currentRTO returns the RTO with backoff (5.5).
func (c *Conn) currentRTO() time.Duration { return c.backedOff(c.rtt.rto, int(c.backoff)) }

func (c *Conn) backedOff(d time.Duration, n int) time.Duration {
	for ; n > 0 && d < c.p.RTOMax; n-- {
		if fault.On("backoff-linear") {
			d += c.rtt.rto
			continue
		}
		d *= 2
	}
	return min(d, c.p.RTOMax)
}

// tsNow is the timestamp clock: milliseconds with a secret offset
// (RFC 7323, section 5.4).
func (c *Conn) tsNow(now clock.Time) uint32 { return timestamp(now, c.tsOffset) }

func timestamp(now clock.Time, offset uint32) uint32 {
	if fault.Built {
		if ts, wrong := wrongTimestamp(now, offset); wrong {
			return ts
		}
	}
	return uint32(uint64(now)/uint64(time.Millisecond)) + offset
}

// tsSample returns the round-trip time that an echoed timestamp shows.
func (c *Conn) tsSample(now clock.Time, tsecr uint32) (time.Duration, bool) {
	d := int32(c.tsNow(now) - tsecr)
	if d < 0 || tsecr == 0 {
		return 0, false
	}
	rtt := time.Duration(d) * time.Millisecond
	if rtt > now.Sub(c.opened)+time.Millisecond { // no segment of ours is that old
		return 0, false
	}
	return rtt, true
}

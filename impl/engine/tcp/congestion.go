package tcp

import (
	"math/rand/v2"
	"time"

	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/fault"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

const dupThresh = 3

// sendLimit is what kept Poll from sending more.
type sendLimit uint8

const (
	limitApp sendLimit = iota // nothing was there to send
	limitCwnd
	limitRwnd
	limitOther // Nagle, pacing
)

// prrState is proportional rate reduction (RFC 9937).
type prrState struct {
	delivered, out, recoverFS int64
}

// rateState keeps the books of delivery-rate samples (draft-ietf-ccwg-bbr).
type rateState struct {
	delivered, lost int64 // totals
	deliveredAt     clock.Time
	firstSent       clock.Time
	appLimitedUntil int64 // total delivered at which the application's pause is over; 0: none
	round           uint64
	roundEnd        uint64 // SND.NXT when the round began
	last            int64  // bytes per second, of the last valid sample
}

// initialWindow is IW of RFC 6928, section 2; one segment if a SYN was lost
// (RFC 5681, section 3.1).
func (c *Conn) initialWindow() int64 {
	switch {
	case fault.On("initial-window-large"):
		return 30 * c.mss
	case fault.On("initial-window-after-lost-syn") && c.synRexmits > 0:
		return 10 * c.mss
	case c.synRexmits > 0:
		return c.mss
	case c.p.Like.InitialSegments > 0:
		return c.p.Like.InitialSegments * c.mss
	case c.p.InitialWindow > 0:
		return max(c.p.InitialWindow, c.mss)
	}
	return min(10*c.mss, max(2*c.mss, 14600))
}

func (c *Conn) env(now clock.Time, rand interface{ Uint64() uint64 }) *cc.Env {
	return &cc.Env{
		Local: c.Local(), Remote: c.Remote(),
		MSS: max(c.mss, 1), InitialWindow: c.initialWindow(), Now: now,
		SRTT: c.rtt.srtt, MinRTT: c.rtt.least(), SACK: c.sackOK,
		Rand: rand, Trace: func(string, float64) {},
	}
}

// checkController finds out whether the factory takes its options. The
// controller itself is made when the MSS and the RTT are known.
func (c *Conn) checkController(now clock.Time) error {
	if c.cfg.Controller == nil {
		panic("BUG: connection without a congestion controller")
	}
	mss := c.mss
	c.mss = int64(c.announcedMSS)
	ctl, err := c.cfg.Controller.New(c.env(now, c.cfg.Rand), c.cfg.ControllerOptions)
	if err == nil {
		c.chooseECN(ctl)
	}
	c.mss = mss
	return err
}

func (c *Conn) startCongestionControl(now clock.Time) {
	ctl, err := c.cfg.Controller.New(c.env(now, c.ownRand()), c.cfg.ControllerOptions)
	if err != nil {
		// The options were good when the connection was made. A factory that has
		// changed its mind gets the least window rather than a panic.
		ctl = fixedWindow(c.mss)
	}
	c.ctl = ctl
	c.rate.deliveredAt, c.rate.firstSent = now, now
	c.rate.roundEnd = c.sndNxt
	c.ecn.end = c.sndNxt
	c.maxFlight = c.initialWindow()
	c.watchPackets()
	c.takeControl()
}

// ownRand returns a source of random numbers that is the connection's alone.
func (c *Conn) ownRand() interface{ Uint64() uint64 } {
	r := c.cfg.Rand
	if r == nil {
		return nil
	}
	return rand.NewPCG(r.Uint64(), r.Uint64())
}

type fixedWindow int64

func (fixedWindow) OnAck(*cc.AckEvent)               {}
func (fixedWindow) OnCongestion(*cc.CongestionEvent) {}
func (w fixedWindow) Control() cc.Control {
	return cc.Control{Cwnd: int64(w), Ssthresh: cc.NoThreshold}
}

// maxSaneWindow is beyond what any path holds: a controller that asks for more has
// lost its reckoning.
const maxSaneWindow = 1 << 48

// takeControl asks the controller and holds what it says within bounds. What no
// controller in its senses says is counted.
func (c *Conn) takeControl() {
	k := c.ctl.Control()
	if k.Cwnd < c.mss || k.Cwnd > maxSaneWindow || k.Ssthresh < 0 || k.Pacing < 0 || k.Quantum < 0 {
		c.keepRare()
		c.seldom.misruled++
	}
	if most := c.p.Like.MaxPacing; most > 0 && (k.Pacing <= 0 || int64(k.Pacing) > most) {
		k.Pacing = cc.BytesPerSec(most)
	}
	switch {
	case c.control != nil:
		c.control.Pacing, c.control.Quantum = max(k.Pacing, 0), max(k.Quantum, 0)
	case k.Pacing > 0:
		c.control = &pace{Pacing: k.Pacing, Quantum: max(k.Quantum, 0)}
	}
	c.ssthresh = min(max(k.Ssthresh, c.mss), cc.NoThreshold)
	if !c.engineLeads() {
		c.cwnd = max(min(k.Cwnd, c.p.MaxWindow), c.mss)
	}
	if k.Pacing <= 0 {
		c.tm.stop(tmPace)
	}
	c.tuneSend()
}

// pipe is the bytes in flight (RFC 6675, section 4).
func (c *Conn) pipe() int64 {
	return max(0, int64(c.sndNxt-c.sndUna)-c.sb.sacked-c.sb.lost+c.sb.rexmit-c.renoSacked)
}

// ---- delivery rate and rounds ----

// stampSend notes the state of delivery in a record about to be sent.
func (c *Conn) stampSend(now clock.Time, r *txRec) {
	pipe := c.pipe()
	if pipe == 0 {
		c.rate.firstSent, c.rate.deliveredAt = now, now
	}
	r.sentAt = now
	r.delivered, r.deliveredAt, r.firstSentAt = c.rate.delivered, c.rate.deliveredAt, c.rate.firstSent
	r.inFlight, r.lostAtTx = pipe+r.len(), c.rate.lost
	r.flags &^= recAppLimited
	if c.rate.appLimitedUntil != 0 {
		r.flags |= recAppLimited
	}
	c.packetSent(r)
}

// noteDelivered notes that n bytes of r have arrived.
func (c *Conn) noteDelivered(now clock.Time, h *wire.TCP, r *txRec, n int64) {
	c.rackDelivered(now, h, r)
	c.undoOriginal(r)
	if n < r.len() { // the rest of a segment has yet to come
		c.stats.delivered += uint32(n / max(c.mss, 1))
	} else {
		c.stats.delivered += uint32(c.segmentsIn(n))
	}
	if !c.hasNewer || r.sentAt > c.newest.sentAt || r.sentAt == c.newest.sentAt && r.end > c.newest.end {
		c.newest, c.hasNewer = *r, true
	}
}

// rateSample makes the sample of one ACK that delivered n bytes.
func (c *Conn) rateSample(now clock.Time, n int64) (s cc.RateSample) {
	c.rate.delivered += n
	if n > 0 {
		c.rate.deliveredAt = now
	}
	if c.rate.appLimitedUntil != 0 && c.rate.delivered > c.rate.appLimitedUntil {
		c.rate.appLimitedUntil = 0
	}
	if !c.hasNewer {
		return s
	}
	r := &c.newest
	c.hasNewer = false
	c.rate.firstSent = r.sentAt
	s.PriorDelivered = r.delivered
	s.Delivered = c.rate.delivered - r.delivered
	s.SendInterval, s.AckInterval = r.sentAt.Sub(r.firstSentAt), now.Sub(r.deliveredAt)
	s.Interval = max(s.SendInterval, s.AckInterval)
	s.TxInFlight, s.LostSinceTx = r.inFlight, c.rate.lost-r.lostAtTx
	s.AppLimited = r.flags&recAppLimited != 0
	s.Retransmit = r.flags&recEverRexmit != 0
	// An interval below the least RTT is an artefact of aggregated ACKs.
	s.Valid = s.Interval > 0 && s.Interval >= c.rtt.least()
	if s.Valid {
		c.rate.last = int64(float64(s.Delivered) * float64(time.Second) / float64(s.Interval))
	}
	return s
}

// roundTrip reports whether this ACK begins a packet-timed round trip.
func (c *Conn) roundTrip() bool {
	if c.sndUna <= c.rate.roundEnd {
		return false
	}
	c.rate.round++
	c.rate.roundEnd = c.sndNxt
	return true
}

// ---- pacing ----

// pace is the part of a cc.Control that is about pacing, and what comes of it.
type pace struct {
	Pacing  cc.BytesPerSec
	Quantum int64
	at      clock.Time // not before then may more be sent
}

// paced reports whether sending has to wait, and arms the timer if so.
func (c *Conn) paced(now clock.Time) bool {
	k := c.control
	if k == nil || k.Pacing <= 0 || k.at <= now {
		return false
	}
	c.tm[tmPace] = k.at
	return true
}

// notePaced moves the next release time by what n bytes take at the pacing rate.
// A pause earns no more than one burst.
func (c *Conn) notePaced(now clock.Time, n int64) {
	k := c.control
	if k == nil || k.Pacing <= 0 {
		return
	}
	rate := float64(k.Pacing)
	quantum := float64(c.quantum(k))
	earned := clock.Time(min(quantum/rate, 1) * float64(time.Second))
	k.at = max(k.at, now-earned) + clock.Time(min(float64(n)/rate, 60)*float64(time.Second))
}

// quantum is the largest burst: by default what a millisecond carries.
func (c *Conn) quantum(k *pace) int64 {
	if k.Quantum > 0 {
		return max(k.Quantum, c.mss)
	}
	return min(max(2*c.mss, int64(k.Pacing)/1000), 64<<10)
}

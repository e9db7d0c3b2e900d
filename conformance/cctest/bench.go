package cctest

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/sluicenet/sluice/api/cc"
)

// A Path is the network of a [Bench]: one bottleneck with a queue, and a
// propagation delay. It may be changed while the bench runs.
type Path struct {
	Rate  int64         // bytes per second; 0 means no bottleneck
	RTT   time.Duration // without queueing
	Queue int64         // bytes that may wait for the bottleneck; 0 means no bound
	Mark  time.Duration // packets that wait longer carry an ECN mark; 0 means none

	// Lose, if not nil, tells which packets are lost beside those that find the
	// queue full: the n-th that is sent, from 0.
	Lose func(n int64) bool
}

// A Bench drives a controller with everything that an engine tells it, from a model
// of a sender and a path in virtual time: ACKs with round trips and delivery-rate
// samples, losses, timeouts, marks and pauses. There is no TCP in it: every
// packet is full-sized, is acknowledged by itself, and what is lost is sent
// again under a new number. A packet is thought lost when three later ones have
// been acknowledged.
type Bench struct {
	C    cc.Controller
	Path Path

	// AppRate is what the application writes, in bytes per second; 0 is without
	// end. Paused stops it.
	AppRate int64
	Paused  bool

	// What there is to see.
	Now              cc.Time
	Sent             int64 // packets
	Delivered, Lost  int64 // bytes
	InFlight         int64
	SRTT             time.Duration
	LastRTT, MaxRTT  time.Duration
	Rounds           uint64
	Losses, Timeouts int // episodes
	Phase            cc.Phase

	mss      int64
	observer cc.PacketObserver
	owner    bool

	flight []packet // sent, from head on not all acknowledged or lost
	head   int
	acks   int       // index in flight of the next to be acknowledged
	scan   int       // ... of the next to be examined for loss
	newest [3]uint64 // sequence numbers of the last to be acknowledged

	una, nxt    uint64
	linkFree    cc.Time
	paceAt      cc.Time
	deliveredAt cc.Time
	firstSent   cc.Time
	roundEnd    uint64
	recovery    uint64
	cwr         uint64
	appUntil    int64 // delivered at which the application's pause is over
	credit      float64
	creditAt    cc.Time
	cwndLimited uint64
	maxFlight   int64
	minRTT      time.Duration
	lastAck     cc.Time
	lastSend    cc.Time

	ack  cc.AckEvent
	cong cc.CongestionEvent
	sent cc.SentPacket
}

type packet struct {
	cc.SentPacket
	deliveredAt, firstSent cc.Time
	ackAt                  cc.Time
	dropped, marked, gone  bool
	acked                  bool
}

// NewBench makes a controller and the bench that drives it, with segments of MSS
// bytes and an initial window of 10 of them.
func NewBench(f cc.Factory, opts string, p Path, seed uint64) (*Bench, error) {
	b := &Bench{Path: p, Now: 1, mss: MSS, una: 1 << 32, nxt: 1 << 32}
	env := Env(seed)
	env.Now = b.Now
	c, err := f.New(env, opts)
	if err != nil {
		return nil, err
	}
	b.C = c
	b.observer, _ = c.(cc.PacketObserver)
	_, b.owner = c.(cc.RecoveryOwner)
	b.roundEnd, b.lastAck, b.lastSend = b.nxt, b.Now, b.Now
	return b, nil
}

// MSS is the segment size of the kit.
const MSS = 1000

// Env returns the environment of a connection with segments of MSS bytes and an
// initial window of 10.
func Env(seed uint64) *cc.Env {
	return &cc.Env{MSS: MSS, InitialWindow: 10 * MSS, Now: 1, SACK: true, Rand: rand.New(rand.NewPCG(seed, 0x5e9))}
}

// Run lets d pass.
func (b *Bench) Run(d time.Duration) { b.RunUntil(d, nil) }

// RunUntil runs until done reports true, which is asked after every event, or for d,
// and reports which.
func (b *Bench) RunUntil(d time.Duration, done func() bool) bool {
	end := b.Now.Add(d)
	for {
		at, act := b.next()
		if at > end {
			b.Now = end
			return false
		}
		b.Now = max(b.Now, at)
		act()
		if done != nil && done() {
			return true
		}
	}
}

// maxFlight bounds what a bench has in flight, as an engine's own limit does.
const maxFlight = 16 << 20

const never = cc.Time(1<<63 - 1)

// next returns the next event.
func (b *Bench) next() (at cc.Time, act func()) {
	at, act = b.sendTime(), b.send
	for b.acks < len(b.flight) && (b.flight[b.acks].dropped || b.flight[b.acks].gone || b.flight[b.acks].acked) {
		b.acks++
	}
	if b.acks < len(b.flight) && b.flight[b.acks].ackAt <= at {
		at, act = b.flight[b.acks].ackAt, b.acknowledge
	}
	if b.InFlight > 0 {
		// RFC 6298 without its variance: this path has little.
		if rto := max(b.lastAck, b.lastSend).Add(max(time.Second, 2*b.SRTT)); rto < at {
			at, act = rto, b.timeout
		}
	}
	return at, act
}

// sendTime returns when the next packet may leave.
func (b *Bench) sendTime() cc.Time {
	k := b.C.Control()
	if b.InFlight > 0 && b.InFlight+b.mss > min(k.Cwnd, maxFlight) {
		b.cwndLimited = b.nxt
		return never
	}
	at := b.Now
	if k.Pacing > 0 {
		at = max(at, b.paceAt)
	}
	if b.Paused {
		b.limited()
		return never
	}
	if b.AppRate > 0 {
		b.earn()
		if short := float64(b.mss) - b.credit; short > 0 {
			b.limited()
			at = max(at, b.Now.Add(time.Duration(short/float64(b.AppRate)*1e9)+1))
		}
	}
	return at
}

// earn notes what the application has written. It writes in time what it could
// not send at once, but no more than a second's worth.
func (b *Bench) earn() {
	b.credit += float64(b.AppRate) * b.Now.Sub(b.creditAt).Seconds()
	b.credit = min(b.credit, float64(max(b.AppRate, b.mss)))
	b.creditAt = b.Now
}

func (b *Bench) limited() { b.appUntil = max(b.Delivered+b.InFlight, 1) }

func (b *Bench) send() {
	if b.AppRate > 0 {
		b.earn()
		b.credit -= float64(b.mss)
	}
	if b.InFlight == 0 {
		b.firstSent, b.deliveredAt = b.Now, b.Now
		if o, ok := b.C.(cc.IdleObserver); ok && b.Sent > 0 && b.Now.Sub(b.lastSend) > max(time.Second, 2*b.SRTT) {
			o.OnRestart(b.Now, b.Now.Sub(b.lastSend))
		}
	}
	p := packet{deliveredAt: b.deliveredAt, firstSent: b.firstSent}
	b.InFlight += b.mss
	p.SentPacket = cc.SentPacket{
		Seq: b.nxt, End: b.nxt + uint64(b.mss), At: b.Now, InFlight: b.InFlight,
		Delivered: b.Delivered, Lost: b.Lost, AppLimited: b.appUntil != 0,
	}
	b.nxt = p.End
	b.maxFlight = max(b.maxFlight, b.InFlight)
	b.route(&p)
	b.Sent++
	b.lastSend = b.Now
	k := b.C.Control()
	if k.Pacing > 0 {
		rate := float64(k.Pacing)
		burst := cc.Time(min(float64(max(k.Quantum, b.mss))/rate, 1) * 1e9)
		b.paceAt = max(b.paceAt, b.Now-burst) + cc.Time(min(float64(b.mss)/rate, 60)*1e9)
	}
	if b.observer != nil {
		b.sent = p.SentPacket
		b.observer.OnSent(&b.sent)
	}
	if b.InFlight+b.mss > b.C.Control().Cwnd {
		b.cwndLimited = b.nxt
	}
	b.flight = append(b.flight, p)
}

// route sends a packet over the path.
func (b *Bench) route(p *packet) {
	out := b.Now
	if b.Path.Rate > 0 {
		start := max(b.Now, b.linkFree)
		waiting := int64(start.Sub(b.Now).Seconds() * float64(b.Path.Rate))
		if b.Path.Queue > 0 && waiting+b.mss > b.Path.Queue+b.mss {
			p.dropped = true
		} else {
			p.marked = b.Path.Mark > 0 && start.Sub(b.Now) > b.Path.Mark
			out = start.Add(time.Duration(float64(b.mss) / float64(b.Path.Rate) * 1e9))
			b.linkFree = out
		}
	}
	if b.Path.Lose != nil && b.Path.Lose(b.Sent) {
		p.dropped = true
	}
	p.ackAt = out.Add(b.Path.RTT)
	if n := len(b.flight); n > 0 { // a shorter RTT overtakes nothing
		p.ackAt = max(p.ackAt, b.flight[n-1].ackAt)
	}
}

// QueueDelay returns how long a packet sent now would wait for the bottleneck.
func (b *Bench) QueueDelay() time.Duration { return max(0, b.linkFree.Sub(b.Now)) }

// acknowledge takes in the ACK of one packet.
func (b *Bench) acknowledge() {
	b.flight[b.acks].acked = true
	p := b.flight[b.acks]
	before := b.InFlight
	b.InFlight -= b.mss
	b.Delivered += b.mss
	b.deliveredAt, b.firstSent = b.Now, p.At
	b.lastAck = b.Now
	if b.appUntil != 0 && b.Delivered > b.appUntil {
		b.appUntil = 0
	}
	rtt := b.Now.Sub(p.At)
	b.LastRTT, b.MaxRTT = rtt, max(b.MaxRTT, rtt)
	if b.SRTT == 0 {
		b.SRTT, b.minRTT = rtt, rtt
	}
	b.SRTT += (rtt - b.SRTT) / 8
	b.minRTT = min(b.minRTT, rtt)

	priorUna := b.una
	lost := int64(0)
	b.newest = [3]uint64{p.Seq, b.newest[0], b.newest[1]}
	for b.scan = max(b.scan, b.head); b.flight[b.scan].Seq < b.newest[2]; b.scan++ {
		if q := &b.flight[b.scan]; q.dropped && !q.gone { // three later ones have arrived
			lost += b.lose(q)
		}
	}
	b.trim()
	if (b.Phase == cc.Recovery || b.Phase == cc.Loss) && b.una >= b.recovery {
		was := b.Phase
		b.Phase = cc.Open
		if o, ok := b.C.(cc.RecoveryOwner); ok && was == cc.Recovery {
			o.ExitRecovery(b.Now, false)
		}
	}
	if b.Phase == cc.CWR && b.una >= b.cwr {
		b.Phase = cc.Open
	}
	if lost > 0 && b.Phase != cc.Recovery && b.Phase != cc.Loss {
		b.Phase, b.recovery = cc.Recovery, b.nxt
		b.Losses++
		b.congested(cc.LossDetected, lost, before)
		if o, ok := b.C.(cc.RecoveryOwner); ok {
			o.EnterRecovery(b.Now, b.InFlight)
		}
	}
	if p.marked && b.Phase == cc.Open {
		b.Phase, b.cwr = cc.CWR, b.nxt
		b.congested(cc.ECNMark, 0, before)
	}

	s := cc.RateSample{
		Delivered: b.Delivered - p.Delivered, PriorDelivered: p.Delivered, TxInFlight: p.InFlight,
		LostSinceTx: b.Lost - p.Lost, AppLimited: p.AppLimited,
		SendInterval: p.At.Sub(p.firstSent), AckInterval: b.Now.Sub(p.deliveredAt),
	}
	s.Interval = max(s.SendInterval, s.AckInterval)
	s.Valid = s.Interval > 0 && s.Interval >= b.minRTT
	round := p.End > b.roundEnd
	if round {
		b.Rounds++
		b.roundEnd = b.nxt
	}
	b.ack = cc.AckEvent{
		Now: b.Now, Phase: b.Phase, CumAcked: int64(b.una - priorUna), Delivered: b.mss, Lost: lost,
		FlightBefore: before, FlightAfter: b.InFlight, SndUna: b.una, SndNxt: b.nxt,
		RTT:  cc.RTT{Sample: rtt, Smoothed: b.SRTT, Min: b.minRTT},
		Rate: s, RoundStart: round, Round: b.Rounds,
		CwndLimited: priorUna < b.cwndLimited, AppLimited: b.appUntil != 0, MaxFlight: b.maxFlight,
		TotalDelivered: b.Delivered, TotalLost: b.Lost, ECE: p.marked,
	}
	b.C.OnAck(&b.ack)
}

// lose marks a packet as lost, and returns its bytes.
func (b *Bench) lose(p *packet) int64 {
	p.gone = true
	b.InFlight -= b.mss
	b.Lost += b.mss
	if b.observer != nil {
		b.sent = p.SentPacket
		b.observer.OnPacketLost(&b.sent, b.Now, b.Delivered, b.Lost)
	}
	return b.mss
}

// trim forgets the packets at the front whose fate is known.
func (b *Bench) trim() {
	for b.head < len(b.flight) && (b.flight[b.head].acked || b.flight[b.head].gone) {
		b.una = b.flight[b.head].End
		b.head++
	}
	if b.head > 64 && b.head > len(b.flight)/2 {
		b.flight = append(b.flight[:0], b.flight[b.head:]...)
		b.acks, b.scan = max(0, b.acks-b.head), max(0, b.scan-b.head)
		b.head = 0
	}
}

func (b *Bench) congested(kind cc.CongestionKind, lost, flight int64) {
	b.cong = cc.CongestionEvent{Now: b.Now, Kind: kind, Lost: lost, FlightSize: flight, InFlight: flight, SndNxt: b.nxt}
	b.C.OnCongestion(&b.cong)
	b.maxFlight = 0
}

// timeout loses all that is in flight.
func (b *Bench) timeout() {
	flight, lost := b.InFlight, int64(0)
	for i := b.head; i < len(b.flight); i++ {
		if p := &b.flight[i]; !p.acked && !p.gone {
			lost += b.lose(p)
		}
	}
	b.trim()
	if b.Phase == cc.Recovery {
		if o, ok := b.C.(cc.RecoveryOwner); ok {
			o.ExitRecovery(b.Now, false)
		}
	}
	b.Phase, b.recovery = cc.Loss, b.nxt
	b.Timeouts++
	b.lastAck = b.Now
	b.congested(cc.Timeout, lost, flight)
}

// String shows where the bench is, for messages of tests.
func (b *Bench) String() string {
	return fmt.Sprintf("at %v: round %d, %v, %d in flight, cwnd %d, delivered %d, lost %d, srtt %v",
		time.Duration(b.Now), b.Rounds, b.Phase, b.InFlight, b.C.Control().Cwnd, b.Delivered, b.Lost, b.SRTT)
}

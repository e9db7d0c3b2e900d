package cctest

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/sluicenet/sluice/api/cc"
)

// maxWindow is more than any engine grants: what is above has lost its saturation.
const maxWindow = 1 << 50

// kind is a call into a controller.
type kind uint8

const (
	callAck kind = iota
	callLoss
	callMark
	callTimeout
	callRepeat
	callUndo
	callRestart
	callMSS
	callSent
	callLost
	callEnter
	callExit
	numCalls
)

var callNames = [numCalls]string{"OnAck", "OnCongestion(LossDetected)", "OnCongestion(ECNMark)", "OnCongestion(Timeout)",
	"OnCongestion(Timeout, again)", "Undo", "OnRestart", "OnMSS", "OnSent", "OnPacketLost", "EnterRecovery", "ExitRecovery"}

// call is one event, in the terms from which the arguments are made.
type call struct {
	kind    kind
	after   time.Duration
	n       int64 // the amount that matters
	rtt     time.Duration
	between time.Duration // interval of the rate sample
	back    int64         // how long ago, in bytes, the packet left
	phase   cc.Phase
	flags   uint8
}

const (
	flagLimited uint8 = 1 << iota
	flagRound
	flagApp
	flagECE
	flagValid
	flagNoRTT
)

func (c call) String() string {
	return fmt.Sprintf("%s after %v: n %d, rtt %v, rate over %v, back %d, phase %v, flags %06b",
		callNames[c.kind], c.after, c.n, c.rtt, c.between, c.back, c.phase, c.flags)
}

// rig makes calls into a controller and watches its answers.
type rig struct {
	c   cc.Controller
	o   Options
	mss int64
	now cc.Time

	una, nxt               uint64
	delivered, lost, round int64
	answer                 cc.Control

	// scribble overwrites the arguments once a call is over, as an engine that
	// reuses them does; else each call has its own.
	scribble bool
	ack      *cc.AckEvent
	cong     *cc.CongestionEvent
	sent     *cc.SentPacket
}

// newRig makes a controller. With scribble, no argument outlives its call.
func newRig(f cc.Factory, o Options, seed uint64, scribble bool) (*rig, error) {
	env := Env(seed)
	c, err := f.New(env, o.Opts)
	if err != nil {
		return nil, err
	}
	if scribble {
		*env = cc.Env{MSS: -1, InitialWindow: -1}
	}
	if c == nil {
		return nil, errors.New("neither a controller nor an error came of New")
	}
	r := &rig{c: c, o: o, scribble: scribble, mss: MSS, now: 1, una: 1 << 32, nxt: 1<<32 + 10*MSS,
		ack: new(cc.AckEvent), cong: new(cc.CongestionEvent), sent: new(cc.SentPacket)}
	r.answer = c.Control()
	return r, r.sane()
}

// add sums amounts without overflow.
func add(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// do makes a call and judges the answer.
func (r *rig) do(c call) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v: panic: %v", c, p)
		}
	}()
	r.now = cc.Time(add(int64(r.now), int64(c.after)))
	before := r.answer
	r.make(c)
	r.answer = r.c.Control()
	if err := r.sane(); err != nil {
		return fmt.Errorf("%v: %w", c, err)
	}
	if c.kind != callAck || !r.o.LossBased {
		return nil
	}
	if r.answer.Cwnd < before.Cwnd {
		return fmt.Errorf("%v: an ACK shrank the window from %d to %d", c, before.Cwnd, r.answer.Cwnd)
	}
	if r.answer.Cwnd > before.Cwnd && (c.flags&flagLimited == 0 || c.phase == cc.Recovery) {
		return fmt.Errorf("%v: the window grew from %d to %d, and was not the limit", c, before.Cwnd, r.answer.Cwnd)
	}
	return nil
}

// sane judges the present answer.
func (r *rig) sane() error {
	k := r.answer
	switch {
	case k.Cwnd < r.mss:
		return fmt.Errorf("the window is %d with segments of %d", k.Cwnd, r.mss)
	case k.Cwnd > maxWindow:
		return fmt.Errorf("the window is %d", k.Cwnd)
	case k.Ssthresh < r.mss || k.Ssthresh > cc.NoThreshold:
		return fmt.Errorf("ssthresh is %d with segments of %d", k.Ssthresh, r.mss)
	case k.Pacing < 0 || k.Quantum < 0 || k.Quantum > maxWindow:
		return fmt.Errorf("pacing is %d, quantum %d", k.Pacing, k.Quantum)
	}
	return nil
}

// make makes a call.
func (r *rig) make(c call) {
	if !r.scribble {
		r.ack, r.cong, r.sent = new(cc.AckEvent), new(cc.CongestionEvent), new(cc.SentPacket)
	}
	congested := func(k cc.CongestionKind) {
		*r.cong = cc.CongestionEvent{Now: r.now, Kind: k, Lost: min(c.n, int64(r.mss)), FlightSize: c.n, InFlight: c.n,
			SndNxt: r.nxt, Repeat: c.kind == callRepeat}
		r.c.OnCongestion(r.cong)
	}
	switch c.kind {
	case callAck:
		r.onAck(c)
	case callLoss:
		congested(cc.LossDetected)
	case callMark:
		congested(cc.ECNMark)
	case callTimeout, callRepeat:
		congested(cc.Timeout)
	case callUndo:
		if u, ok := r.c.(cc.Undoer); ok {
			k := cc.LossDetected
			if c.flags&flagECE != 0 {
				k = cc.Timeout
			}
			u.Undo(r.now, k)
		}
	case callRestart:
		if o, ok := r.c.(cc.IdleObserver); ok {
			o.OnRestart(r.now, c.after)
		}
	case callMSS:
		if o, ok := r.c.(cc.MSSObserver); ok {
			r.mss = 1 + c.n%(64<<10)
			o.OnMSS(r.mss)
		}
	case callSent, callLost:
		o, ok := r.c.(cc.PacketObserver)
		if !ok {
			break
		}
		n := min(c.n, 64<<10)
		*r.sent = cc.SentPacket{Seq: r.nxt, End: r.nxt + uint64(n), At: r.now, InFlight: c.n, Delivered: max(0, r.delivered-c.back),
			Lost: r.lost, AppLimited: c.flags&flagApp != 0}
		if c.kind == callSent {
			r.nxt += uint64(n)
			o.OnSent(r.sent)
			break
		}
		r.sent.Seq -= uint64(min(c.back, 1<<30))
		r.sent.Lost = max(0, r.lost-c.back)
		r.lost = add(r.lost, n)
		o.OnPacketLost(r.sent, r.now, r.delivered, r.lost)
	case callEnter:
		if o, ok := r.c.(cc.RecoveryOwner); ok {
			o.EnterRecovery(r.now, c.n)
		}
	case callExit:
		if o, ok := r.c.(cc.RecoveryOwner); ok {
			o.ExitRecovery(r.now, c.flags&flagECE != 0)
		}
	}
	if r.scribble {
		junk := int64(-7)
		*r.ack = cc.AckEvent{Delivered: junk, CumAcked: junk, FlightAfter: junk, RTT: cc.RTT{Smoothed: 1, Sample: 1}, SndUna: math.MaxUint64}
		*r.cong = cc.CongestionEvent{FlightSize: junk, SndNxt: math.MaxUint64}
		*r.sent = cc.SentPacket{InFlight: junk, Delivered: junk}
	}
}

func (r *rig) onAck(c call) {
	r.delivered = add(r.delivered, c.n)
	r.una += uint64(min(c.n, 1<<40))
	r.nxt = max(r.nxt, r.una+uint64(min(r.answer.Cwnd, 1<<40)))
	has := func(f uint8) bool { return c.flags&f != 0 }
	if has(flagRound) {
		r.round++
	}
	*r.ack = cc.AckEvent{
		Now: r.now, Phase: c.phase, CumAcked: c.n, Delivered: c.n, FlightBefore: r.answer.Cwnd, FlightAfter: max(0, r.answer.Cwnd-c.n),
		SndUna: r.una, SndNxt: r.nxt,
		RTT: cc.RTT{Sample: c.rtt, Smoothed: c.rtt, Min: c.rtt},
		Rate: cc.RateSample{
			Valid: has(flagValid), Delivered: min(r.delivered, add(c.n, c.back)), Interval: c.between, SendInterval: c.between, AckInterval: c.between,
			PriorDelivered: max(0, r.delivered-c.back), TxInFlight: r.answer.Cwnd, LostSinceTx: min(r.lost, c.back), AppLimited: has(flagApp),
		},
		RoundStart: has(flagRound), Round: uint64(r.round),
		CwndLimited: has(flagLimited), AppLimited: has(flagApp), MaxFlight: r.answer.Cwnd,
		TotalDelivered: r.delivered, TotalLost: r.lost, ECE: has(flagECE),
	}
	if !has(flagLimited) {
		r.ack.FlightBefore, r.ack.FlightAfter, r.ack.MaxFlight = r.mss, 0, r.mss
		r.ack.Rate.TxInFlight = r.mss
	}
	if has(flagNoRTT) {
		r.ack.RTT.Sample = -1
	}
	r.c.OnAck(r.ack)
}

// Package bbr is BBR version 3, draft-ietf-ccwg-bbr-06: a model of the path, of its
// bandwidth and its round-trip time, decides how fast to send and how much to
// have in flight. Loss corrects the model instead of halving a window.
//
// It takes no options. It needs an engine that paces, takes delivery-rate samples
// and tells of single packets (see [cc.PacketObserver]). The names are those of the
// draft, without its prefixes: C.x is what the connection reports, RS.x the
// rate sample.
//
// What the draft leaves open: an ECN echo is answered as loss above the threshold
// is.
package bbr

import (
	"fmt"
	"math"
	"time"

	"github.com/sluicenet/sluice/api/cc"
)

// Factory makes BBR controllers, under the name "bbr".
var Factory cc.Factory = factory{}

// Constants of the draft, section 2.
const (
	startupPacingGain = 2.77 // 4 ln 2
	drainPacingGain   = 0.5
	downPacingGain    = 0.90
	upPacingGain      = 1.25
	defaultCwndGain   = 2.0
	upCwndGain        = 2.25
	probeRTTCwndGain  = 0.5
	pacingMargin      = 0.01

	lossThresh  = 0.02
	beta        = 0.7
	headroom    = 0.15
	minPipe     = 4 // MinPipeCwnd, in segments
	fullBwGain  = 1.25
	fullBwCount = 3

	startupFullLossCount = 6
	drainRounds          = 3
	renoRounds           = 63
	extraAckedFilterLen  = 10 // rounds

	minRTTFilterLen  = 10 * time.Second
	probeRTTInterval = 5 * time.Second
	probeRTTDuration = 200 * time.Millisecond
	probeWaitMin     = 2 * time.Second
	probeWaitSpread  = time.Second

	maxQuantum = 64 << 10
)

// Bounds that keep the arithmetic finite. An engine's own are much lower.
const (
	maxWindow int64   = 1 << 40
	maxRate   float64 = 1 << 45         // bytes per second
	maxRTT            = time.Hour       // of a sample that is believed
	infinite  int64   = math.MaxInt64   // no bound, of an amount
	unbounded float64 = math.MaxFloat64 // no bound, of a rate
)

// state is BBR.state.
type state uint8

const (
	startup state = iota
	drain
	probeDown
	probeCruise
	probeRefill
	probeUp
	probeRTT
)

var stateNames = [...]string{"startup", "drain", "probe_bw_down", "probe_bw_cruise", "probe_bw_refill", "probe_bw_up", "probe_rtt"}

// String returns the state's name.
func (s state) String() string { return stateNames[s] }

// ackPhase is BBR.ack_phase: what the ACKs that arrive tell of bandwidth probing.
type ackPhase uint8

const (
	acksInit ackPhase = iota
	acksRefilling
	acksProbeStarting
	acksProbeFeedback
	acksProbeStopping
)

type factory struct{}

func (factory) Name() string { return "bbr" }

func (factory) New(env *cc.Env, opts string) (cc.Controller, error) {
	err := cc.ParseOptions(opts, func(key, value string) (bool, error) { return false, nil })
	if err != nil {
		return nil, fmt.Errorf("bbr: %w", err)
	}
	return newController(env), nil
}

type controller struct {
	rand  interface{ Uint64() uint64 }
	trace func(key string, value float64)
	sack  bool

	// C: the connection.
	now             cc.Time
	mss             int64
	initialCwnd     int64
	cwnd            int64
	pacingRate      float64 // bytes per second
	sendQuantum     int64
	inFlight        int64
	flightBefore    int64 // in flight before the present ACK
	delivered       int64
	cwndLimited     bool
	appLimited      bool // as of the last packet sent
	inRecovery      bool
	seenRTT         bool // the pacing rate rests on a measured RTT
	probeRTTLimited struct{ from, until int64 }

	rs sample

	// The state machine.
	state              state
	pacingGain         float64
	cwndGain           float64
	roundCount         int64
	roundStart         bool
	nextRoundDelivered int64
	idleRestart        bool
	drainStartRound    int64
	priorCwnd          int64

	startupState
	probeBWState
	probeRTTState
	model
	undoState
}

// sample is RS, what the present ACK, or the packet just lost, tells.
type sample struct {
	hasData        bool
	deliveryRate   float64 // bytes per second; 0 if not reliable
	delivered      int64
	priorDelivered int64
	newlyAcked     int64
	txInFlight     int64
	lost           int64
	appLimited     bool
	byApplication  bool          // appLimited, and not by ProbeRTT
	rtt            time.Duration // -1 if none
}

func newController(env *cc.Env) *controller {
	c := &controller{rand: env.Rand, trace: env.Trace, sack: env.SACK, now: env.Now}
	c.mss = max(env.MSS, 1)
	c.initialCwnd = min(max(env.InitialWindow, c.mss), maxWindow)
	c.cwnd = c.initialCwnd

	// Section 5.2.1.
	c.minRTT = maxRTT
	if srtt := env.SRTT; srtt > 0 {
		c.minRTT = min(srtt, maxRTT)
		c.seenRTT = true
	}
	c.minRTTStamp = env.Now
	c.probeRTTMinDelay, c.probeRTTMinStamp = c.minRTT, env.Now
	c.extraAckedStart = env.Now
	c.inflightLongterm = infinite
	c.probeUpAckedPerInc = infinite
	c.cycleStamp = env.Now
	c.resetCongestionSignals()
	c.resetShortTermModel()
	c.undoBwShortterm, c.undoInflightShortterm, c.undoInflightLongterm = 0, 0, 0
	c.initPacingRate()
	c.enterStartup()
	c.setSendQuantum()
	return c
}

// OnAck is UpdateOnACK, section 5.2.3.
func (c *controller) OnAck(ev *cc.AckEvent) {
	c.takeSample(ev)

	// UpdateModelAndState.
	c.updateLatestDeliverySignals()
	c.updateCongestionSignals()
	c.updateACKAggregation()
	c.checkFullBWReached()
	c.checkStartupDone()
	c.checkDrainDone()
	c.updateProbeBWCyclePhase()
	c.updateMinRTT()
	c.checkProbeRTT()
	c.advanceLatestDeliverySignals()
	c.boundBWForModel()

	// UpdateControlParameters.
	c.setPacingRate()
	c.setSendQuantum()
	c.setCwnd()
	if c.trace != nil {
		c.trace("bbr_state", float64(c.state))
		c.trace("bbr_bw", c.bw)
		c.trace("bbr_min_rtt", c.minRTT.Seconds())
	}
}

// takeSample notes what an ACK tells.
func (c *controller) takeSample(ev *cc.AckEvent) {
	c.now = max(c.now, ev.Now)
	c.inFlight, c.flightBefore = clamp(ev.FlightAfter), clamp(ev.FlightBefore)
	c.cwndLimited = ev.CwndLimited
	r, rs := &ev.Rate, &c.rs
	c.delivered = max(c.delivered, ev.TotalDelivered)
	*rs = sample{
		hasData:        r.Delivered > 0,
		delivered:      clamp(r.Delivered),
		priorDelivered: r.PriorDelivered,
		newlyAcked:     clamp(ev.Delivered),
		txInFlight:     clamp(r.TxInFlight),
		lost:           clamp(r.LostSinceTx),
		appLimited:     r.AppLimited || c.sentInProbeRTT(r.PriorDelivered),
		byApplication:  r.AppLimited,
		rtt:            ev.RTT.Sample,
	}
	if r.Valid && r.Interval > 0 {
		rs.deliveryRate = min(float64(rs.delivered)/r.Interval.Seconds(), maxRate)
	}
	if rs.rtt > maxRTT {
		rs.rtt = -1
	}
	if !c.seenRTT && rs.rtt > 0 {
		// Section 5.6.2: the initial rate comes from the first RTT.
		c.seenRTT = true
		c.srttAtStart = rs.rtt
		c.initPacingRate()
	}
	recovering := ev.Phase == cc.Recovery || ev.Phase == cc.Loss
	if c.inRecovery && !recovering {
		c.exitRecovery()
	}
	c.inRecovery = recovering
	c.inEpisode = c.inEpisode && recovering
}

// OnCongestion starts an episode of recovery: section 5.6.4.4.
func (c *controller) OnCongestion(ev *cc.CongestionEvent) {
	c.now = max(c.now, ev.Now)
	switch ev.Kind {
	case cc.ECNMark:
		c.onECN(ev)
	case cc.Timeout:
		// OnEnterRTO.
		c.startEpisode()
		c.saveCwnd()
		c.cwnd = min(clamp(ev.InFlight-min(ev.InFlight, clamp(ev.Lost)))+c.mss, maxWindow)
		c.inRecovery = true
	default:
		// OnEnterFastRecovery.
		c.startEpisode()
		c.inRecovery = true
	}
}

// EnterRecovery implements [cc.RecoveryOwner]; OnCongestion has done it all.
func (c *controller) EnterRecovery(now cc.Time, inFlight int64) {}

// ExitRecovery implements [cc.RecoveryOwner].
func (c *controller) ExitRecovery(now cc.Time, undone bool) {
	if c.inRecovery {
		c.exitRecovery()
	}
}

func (c *controller) exitRecovery() {
	c.inRecovery, c.inEpisode = false, false
	c.restoreCwnd()
	c.boundCwndForProbeRTT()
	c.boundCwndForModel()
}

// OnSent implements [cc.PacketObserver]: HandleRestartFromIdle, section 5.4.1.
func (c *controller) OnSent(p *cc.SentPacket) {
	c.now = max(c.now, p.At)
	c.appLimited = p.AppLimited
	if p.AppLimited && p.InFlight <= int64(p.End-p.Seq) {
		c.idleRestart = true
		c.extraAckedStart = c.now
		if c.inProbeBW() {
			c.setPacingRateWithGain(1)
		} else if c.state == probeRTT {
			c.checkProbeRTTDone()
		}
	}
}

// OnMSS implements [cc.MSSObserver].
func (c *controller) OnMSS(mss int64) {
	c.mss = max(mss, 1)
	c.initialCwnd = max(c.initialCwnd, c.mss)
	c.cwnd = max(c.cwnd, c.mss)
	c.setSendQuantum()
}

func (c *controller) Control() cc.Control {
	return cc.Control{
		Cwnd: max(c.cwnd, c.mss), Ssthresh: cc.NoThreshold,
		Pacing: cc.BytesPerSec(max(c.pacingRate, 1)), Quantum: c.sendQuantum,
	}
}

// Vars implements [cc.Inspector]. Bounds that there are not are left out.
func (c *controller) Vars(yield func(name string, value float64) bool) {
	for _, v := range [...]struct {
		name  string
		value float64
		shown bool
	}{
		{"state", float64(c.state), true},
		{"bw", c.bw, true},
		{"max_bw", c.maxBw(), true},
		{"min_rtt", c.minRTT.Seconds(), c.haveRTT()},
		{"pacing_gain", c.pacingGain, true},
		{"cwnd_gain", c.cwndGain, true},
		{"round_count", float64(c.roundCount), true},
		{"extra_acked", float64(c.extraAcked), true},
		{"bw_shortterm", c.bwShortterm, c.bwShortterm != unbounded},
		{"inflight_shortterm", float64(c.inflightShortterm), c.inflightShortterm != infinite},
		{"inflight_longterm", float64(c.inflightLongterm), c.inflightLongterm != infinite},
	} {
		if v.shown && !yield(v.name, v.value) {
			return
		}
	}
}

// clamp holds an amount within what the arithmetic bears.
func clamp(n int64) int64 { return min(max(n, 0), maxWindow) }

// amount turns bytes into an int64 within bounds.
func amount(x float64) int64 { return int64(min(max(x, 0), float64(maxWindow))) }

// random returns a number from 0 to less than 1.
func (c *controller) random() float64 {
	if c.rand == nil {
		return 0
	}
	return float64(c.rand.Uint64()>>11) / (1 << 53)
}

var (
	_ cc.RecoveryOwner  = (*controller)(nil)
	_ cc.Undoer         = (*controller)(nil)
	_ cc.PacketObserver = (*controller)(nil)
	_ cc.MSSObserver    = (*controller)(nil)
	_ cc.Inspector      = (*controller)(nil)
)

package bbr

import (
	"time"

	"github.com/sluicenet/sluice/api/cc"
)

// startupState tells when the pipe is full: sections 5.3.1.2 and 5.3.1.3.
type startupState struct {
	fullBwReached bool // ever
	fullBwNow     bool // since the last look
	fullBw        float64
	fullBwRounds  int // full_bw_count

	lossRangesInRound int    // discontiguous ranges lost
	lostUpTo          uint64 // end of the last packet lost
}

// probeBWState is section 5.3.3.
type probeBWState struct {
	ackPhase           ackPhase
	bwProbeSample      bool
	probeUpAcked       int64 // bw_probe_up_acked
	probeUpAckedPerInc int64
	probeUpRounds      uint // bw_probe_up_rounds
	roundsSinceProbeUp int64
	probeWait          time.Duration
	cycleStamp         cc.Time
	prevProbeTooHigh   bool
	prevPrecautionary  bool
	upCutShort         bool // the last UP was ended by ProbeRTT
}

// probeRTTState is section 5.3.4.
type probeRTTState struct {
	probeRTTMinDelay  time.Duration
	probeRTTMinStamp  cc.Time
	probeRTTExpired   bool
	probeRTTDone      cc.Time // probe_rtt_done_stamp, if probeRTTTiming
	probeRTTTiming    bool
	probeRTTRoundDone bool
}

// ---- Startup and Drain ----

func (c *controller) enterStartup() {
	c.state = startup
	c.pacingGain, c.cwndGain = startupPacingGain, defaultCwndGain
}

func (c *controller) resetFullBW() {
	c.fullBw, c.fullBwRounds, c.fullBwNow = 0, 0, false
}

// checkFullBWReached looks for a plateau of the delivery rate. An ACK without a
// reliable sample says nothing.
func (c *controller) checkFullBWReached() {
	rate := c.rs.deliveryRate
	if c.fullBwNow || !c.roundStart || c.rs.appLimited || rate <= 0 {
		return
	}
	if rate >= c.fullBw*fullBwGain {
		c.resetFullBW()
		c.fullBw = rate
		return
	}
	c.fullBwRounds++
	c.fullBwNow = c.fullBwRounds >= fullBwCount
	if c.fullBwNow {
		c.fullBwReached = true
	}
}

func (c *controller) checkStartupDone() {
	c.checkStartupHighLoss()
	if c.state == startup && c.fullBwReached {
		c.enterDrain()
	}
}

// checkStartupHighLoss is section 5.3.1.3. A loss round that ends while recovery goes
// on has seen a whole round trip of it.
func (c *controller) checkStartupHighLoss() {
	if c.state != startup || c.fullBwReached {
		return
	}
	if c.inRecovery && (c.lossRoundStart && c.lossRangesInRound >= startupFullLossCount && c.inflightTooHigh() ||
		!c.sack && c.rs.lost > 0) {
		c.handleQueueTooHighInStartup()
	}
	if c.lossRoundStart {
		c.lossRangesInRound = 0
	}
}

func (c *controller) handleQueueTooHighInStartup() {
	c.undo, c.undoValid = startup, true
	c.fullBwReached = true
	c.inflightLongterm = max(amount(c.bdp()), c.inflightLatest)
	c.enterDrain()
}

func (c *controller) enterDrain() {
	c.state = drain
	c.pacingGain, c.cwndGain = drainPacingGain, defaultCwndGain
	c.drainStartRound = c.roundCount
}

func (c *controller) checkDrainDone() {
	if c.state == drain && (c.inFlight <= c.inflightWith(1) || c.roundCount > c.drainStartRound+drainRounds) {
		c.cwndGain = defaultCwndGain
		c.startProbeDown()
	}
}

// ---- ProbeBW ----

func (c *controller) inProbeBW() bool { return c.state >= probeDown && c.state <= probeUp }

func (c *controller) probingBW() bool {
	return c.state == startup || c.state == probeRefill || c.state == probeUp
}

func (c *controller) enterProbeBW(s state, pacingGain, cwndGain float64) {
	c.state, c.pacingGain, c.cwndGain = s, pacingGain, cwndGain
}

func (c *controller) startProbeDown() {
	c.resetCongestionSignals()
	c.probeUpAckedPerInc = infinite
	c.pickProbeWait()
	c.cycleStamp = c.now
	c.ackPhase = acksProbeStopping
	c.startRound()
	c.enterProbeBW(probeDown, downPacingGain, defaultCwndGain)
}

func (c *controller) startProbeCruise() { c.enterProbeBW(probeCruise, 1, defaultCwndGain) }

func (c *controller) startProbeRefill() {
	c.resetShortTermModel()
	c.probeUpRounds, c.probeUpAcked = 0, 0
	c.prevPrecautionary = false
	c.ackPhase = acksRefilling
	c.startRound()
	c.enterProbeBW(probeRefill, 1, defaultCwndGain)
}

func (c *controller) startProbeUp() {
	c.ackPhase = acksProbeStarting
	c.startRound()
	c.resetFullBW()
	c.fullBw = c.rs.deliveryRate
	c.upCutShort = false
	c.enterProbeBW(probeUp, upPacingGain, upCwndGain)
	c.raiseInflightLongtermSlope()
}

// pickProbeWait is section 5.3.3.8.3.
func (c *controller) pickProbeWait() {
	c.roundsSinceProbeUp = 0
	if c.random() >= 0.5 {
		c.roundsSinceProbeUp = 1
	}
	c.probeWait = probeWaitMin + time.Duration(c.random()*float64(probeWaitSpread))
}

// timeToProbeBW moves on to REFILL after 2 to 3 seconds, or as many rounds as Reno
// would need to recover.
func (c *controller) timeToProbeBW() bool {
	reno := min(c.targetInflight()/c.mss, renoRounds)
	if c.now.Sub(c.cycleStamp) <= c.probeWait && c.roundsSinceProbeUp < reno {
		return false
	}
	c.startProbeRefill()
	return true
}

// targetInflight is the estimated BDP, unless congestion cut cwnd.
func (c *controller) targetInflight() int64 { return min(amount(c.bdp()), c.cwnd) }

// updateProbeBWCyclePhase is the state machine of section 5.3.3.9.
func (c *controller) updateProbeBWCyclePhase() {
	if !c.fullBwReached || c.adaptLongTermModel() {
		return
	}
	switch c.state {
	case probeDown:
		if !c.timeToProbeBW() && c.timeToCruise() {
			c.startProbeCruise()
		}
	case probeCruise:
		c.timeToProbeBW()
	case probeRefill:
		if c.roundStart {
			c.bwProbeSample = true
			c.startProbeUp()
		}
	case probeUp:
		if c.timeToGoDown() {
			c.prevProbeTooHigh = false
			c.startProbeDown()
		}
	}
}

func (c *controller) timeToCruise() bool {
	return c.inFlight <= c.inflightWithHeadroom() && c.inFlight <= c.quantize(c.maxBw()*c.minRTT.Seconds())
}

func (c *controller) timeToGoDown() bool {
	// C.inflight before this ACK: cwnd keeps it from exceeding inflight_longterm,
	// so that it has reached it where no other packet fits.
	if c.prevProbeTooHigh && c.flightBefore > c.inflightLongterm-c.mss {
		c.prevPrecautionary = true // section 5.3.3.6
		return true
	}
	if c.cwndLimited && c.cwnd >= c.inflightLongterm {
		c.resetFullBW()
		c.fullBw = c.rs.deliveryRate
		return false
	}
	return c.fullBwNow
}

// inflightWithHeadroom leaves some of what the path bears to others.
func (c *controller) inflightWithHeadroom() int64 {
	if c.inflightLongterm == infinite {
		return infinite
	}
	room := max(c.mss, amount(headroom*float64(c.inflightLongterm)))
	return max(c.inflightLongterm-room, minPipe*c.mss)
}

func (c *controller) raiseInflightLongtermSlope() {
	growth := int64(1) << c.probeUpRounds
	c.probeUpRounds = min(c.probeUpRounds+1, 30)
	c.probeUpAckedPerInc = max(c.cwnd/growth, c.mss)
}

func (c *controller) probeInflightLongtermUpward() {
	if !c.cwndLimited || c.cwnd < c.inflightLongterm {
		return
	}
	c.probeUpAcked = clamp(c.probeUpAcked + c.rs.newlyAcked)
	if c.probeUpAcked >= c.probeUpAckedPerInc {
		n := c.probeUpAcked / c.probeUpAckedPerInc
		c.probeUpAcked -= n * c.probeUpAckedPerInc
		c.inflightLongterm = min(c.inflightLongterm+n*c.mss, maxWindow)
	}
	if c.roundStart {
		c.raiseInflightLongtermSlope()
	}
}

// adaptLongTermModel follows what the ACKs tell of the last probe, and reports
// whether it has decided on the next state.
func (c *controller) adaptLongTermModel() bool {
	if c.ackPhase == acksProbeStarting && c.roundStart {
		c.ackPhase = acksProbeFeedback
	}
	if c.ackPhase == acksProbeStopping && c.roundStart {
		c.bwProbeSample = false
		c.ackPhase = acksInit
		// The draft knows no cycle that ends in ProbeRTT, whose samples count as
		// application-limited. Where a queue of seconds lets no UP come to its
		// end before the next ProbeRTT, max_bw would never be forgotten, and
		// min_rtt would rise for ever: there such a cycle counts.
		if c.inProbeBW() && (!c.rs.appLimited || c.upCutShort && !c.rs.byApplication) {
			c.upCutShort = false
			c.advanceMaxBwFilter()
		}
		if c.inProbeBW() && c.prevPrecautionary && !c.prevProbeTooHigh {
			c.startProbeRefill() // section 5.3.3.6
			return true
		}
	}
	if c.inflightTooHigh() || c.inflightLongterm == infinite {
		return false
	}
	c.inflightLongterm = max(c.inflightLongterm, c.rs.txInFlight)
	if c.state == probeUp {
		c.probeInflightLongtermUpward()
	}
	return false
}

// ---- ProbeRTT ----

// updateMinRTT is section 5.3.4.3.
func (c *controller) updateMinRTT() {
	c.probeRTTExpired = c.now.Sub(c.probeRTTMinStamp) > probeRTTInterval
	if rtt := c.rs.rtt; rtt >= 0 && (rtt < c.probeRTTMinDelay || c.probeRTTExpired) {
		c.probeRTTMinDelay = max(rtt, time.Microsecond)
		c.probeRTTMinStamp = c.now
	}
	expired := c.now.Sub(c.minRTTStamp) > minRTTFilterLen
	if c.probeRTTMinDelay < c.minRTT || expired {
		c.minRTT = c.probeRTTMinDelay
		c.minRTTStamp = c.probeRTTMinStamp
	}
}

func (c *controller) checkProbeRTT() {
	if c.state != probeRTT && c.probeRTTExpired && !c.idleRestart {
		c.saveCwnd()
		c.upCutShort = c.upCutShort || c.state == probeUp
		c.state = probeRTT
		c.pacingGain, c.cwndGain = 1, probeRTTCwndGain
		c.probeRTTTiming = false
		c.ackPhase = acksProbeStopping
		c.startRound()
		c.probeRTTLimited.from = c.delivered
	}
	if c.state == probeRTT {
		c.handleProbeRTT()
	}
	if c.rs.delivered > 0 {
		c.idleRestart = false
	}
}

func (c *controller) handleProbeRTT() {
	// MarkConnectionAppLimited: low rates in ProbeRTT are our own doing.
	c.probeRTTLimited.until = max(c.delivered+c.inFlight, 1)
	switch {
	case !c.probeRTTTiming:
		if c.inFlight <= c.probeRTTCwnd() {
			c.probeRTTTiming, c.probeRTTDone = true, c.now.Add(probeRTTDuration)
			c.probeRTTRoundDone = false
			c.startRound()
		}
	default:
		if c.roundStart {
			c.probeRTTRoundDone = true
		}
		if c.probeRTTRoundDone {
			c.checkProbeRTTDone()
		}
	}
}

// sentInProbeRTT reports whether a packet sent when so much had been delivered was
// application-limited by ProbeRTT: the engine marks only what the application
// itself limits.
func (c *controller) sentInProbeRTT(delivered int64) bool {
	return c.probeRTTLimited.until > 0 && delivered >= c.probeRTTLimited.from && delivered <= c.probeRTTLimited.until
}

func (c *controller) checkProbeRTTDone() {
	if !c.probeRTTTiming || c.now <= c.probeRTTDone {
		return
	}
	c.probeRTTMinStamp = c.now // schedules the next
	c.probeRTTTiming = false
	c.restoreCwnd()
	// ExitProbeRTT, section 5.3.4.4.
	c.resetShortTermModel()
	if c.fullBwReached {
		c.startProbeDown()
		c.startProbeCruise()
	} else {
		c.enterStartup()
	}
}

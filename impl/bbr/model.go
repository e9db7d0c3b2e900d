package bbr

import (
	"time"

	"github.com/sluicenet/sluice/api/cc"
)

// model is the model of the path: section 5.5. Bounds that there are not are
// infinite or unbounded.
type model struct {
	// Long term.
	bwFilter         [2]float64 // max_bw of the ProbeBW cycle before, and of this one
	minRTT           time.Duration
	minRTTStamp      cc.Time
	inflightLongterm int64
	extraAcked       int64
	srttAtStart      time.Duration

	// Short term.
	bwShortterm       float64
	inflightShortterm int64

	bw float64 // bytes per second

	// The last round trip.
	bwLatest           float64
	inflightLatest     int64
	lossInRound        bool
	lossRoundDelivered int64
	lossRoundStart     bool

	// Aggregation of ACKs.
	extraAckedStart     cc.Time
	extraAckedDelivered int64
	extraAckedFilter    roundMax
}

// undoState is what is restored when a loss turns out to have been none: section
// 5.5.11.
type undoState struct {
	inEpisode             bool  // of losses
	undo                  state // startup or probeUp, if undoValid
	undoValid             bool
	undoBwShortterm       float64
	undoInflightShortterm int64
	undoInflightLongterm  int64
}

// maxBw is BBR.max_bw.
func (c *controller) maxBw() float64 { return max(c.bwFilter[0], c.bwFilter[1]) }

// haveRTT reports whether there was a valid RTT sample.
func (c *controller) haveRTT() bool { return c.seenRTT }

// updateRound counts packet-timed round trips: section 5.5.1.
func (c *controller) updateRound() {
	c.roundStart = c.rs.hasData && c.rs.priorDelivered >= c.nextRoundDelivered
	if c.roundStart {
		c.startRound()
		c.roundCount++
		c.roundsSinceProbeUp++
	}
}

func (c *controller) startRound() { c.nextRoundDelivered = c.delivered }

// updateMaxBw is section 5.5.5.
func (c *controller) updateMaxBw() {
	c.updateRound()
	rate := c.rs.deliveryRate
	if rate > 0 && (rate >= c.maxBw() || !c.rs.appLimited) {
		c.bwFilter[1] = max(c.bwFilter[1], rate)
	}
}

// advanceMaxBwFilter is section 5.5.6. A cycle that gave no sample does not end the
// one before.
func (c *controller) advanceMaxBwFilter() {
	if c.bwFilter[1] > 0 {
		c.bwFilter[0], c.bwFilter[1] = c.bwFilter[1], 0
	}
}

// updateACKAggregation is section 5.5.9.
func (c *controller) updateACKAggregation() {
	expected := c.bw * c.now.Sub(c.extraAckedStart).Seconds()
	if float64(c.extraAckedDelivered) <= expected {
		c.extraAckedDelivered = 0
		c.extraAckedStart = c.now
		expected = 0
	}
	c.extraAckedDelivered = clamp(c.extraAckedDelivered + c.rs.newlyAcked)
	extra := min(amount(float64(c.extraAckedDelivered)-expected), c.cwnd)
	rounds := 1
	if c.fullBwReached {
		rounds = extraAckedFilterLen
	}
	c.extraAcked = c.extraAckedFilter.update(c.roundCount, extra, rounds)
}

// roundMax is the maximum over the last rounds.
type roundMax struct {
	last  int64
	maxes [extraAckedFilterLen]int64 // by round, modulo their number
}

// update takes in a value of a round, which never goes back, and returns the maximum
// over the last n rounds, this one included.
func (m *roundMax) update(round, value int64, n int) int64 {
	for i := min(round-m.last, int64(len(m.maxes))); i > 0; i-- {
		m.maxes[(round-i+1)%int64(len(m.maxes))] = 0
	}
	m.last = round
	at := round % int64(len(m.maxes))
	m.maxes[at] = max(m.maxes[at], value)
	most := int64(0)
	for i := range min(int64(n), round+1) {
		most = max(most, m.maxes[(round-i)%int64(len(m.maxes))])
	}
	return most
}

// ---- congestion signals: section 5.5.10 ----

func (c *controller) updateLatestDeliverySignals() {
	c.lossRoundStart = false
	c.bwLatest = max(c.bwLatest, c.rs.deliveryRate)
	c.inflightLatest = max(c.inflightLatest, c.rs.delivered)
	if c.rs.hasData && c.rs.priorDelivered >= c.lossRoundDelivered {
		c.lossRoundDelivered = c.delivered
		c.lossRoundStart = true
	}
}

func (c *controller) advanceLatestDeliverySignals() {
	if c.lossRoundStart {
		c.bwLatest = c.rs.deliveryRate
		c.inflightLatest = c.rs.delivered
	}
}

func (c *controller) resetCongestionSignals() {
	c.lossInRound = false
	c.bwLatest = 0
	c.inflightLatest = 0
}

func (c *controller) updateCongestionSignals() {
	c.updateMaxBw()
	if !c.lossRoundStart {
		return
	}
	// AdaptLowerBoundsFromCongestion, once in a round.
	if !c.probingBW() && c.lossInRound {
		c.initLowerBounds()
		c.bwShortterm = max(c.bwLatest, beta*c.bwShortterm)
		c.inflightShortterm = max(c.inflightLatest, amount(beta*float64(c.inflightShortterm)))
	}
	c.lossInRound = false
}

func (c *controller) initLowerBounds() {
	if c.bwShortterm == unbounded {
		c.bwShortterm = c.maxBw()
	}
	if c.inflightShortterm == infinite {
		c.inflightShortterm = c.cwnd
	}
}

func (c *controller) resetShortTermModel() {
	c.bwShortterm = unbounded
	c.inflightShortterm = infinite
}

func (c *controller) boundBWForModel() { c.bw = min(c.maxBw(), c.bwShortterm) }

// OnPacketLost implements [cc.PacketObserver]: HandleLostPacket.
func (c *controller) OnPacketLost(p *cc.SentPacket, now cc.Time, delivered, lost int64) {
	c.now = max(c.now, now)
	c.delivered = max(c.delivered, delivered)
	c.startEpisode()
	c.noteLoss()
	if c.state == startup && p.Seq != c.lostUpTo {
		c.lossRangesInRound++
	}
	c.lostUpTo = p.End
	if !c.bwProbeSample {
		return
	}
	c.rs.txInFlight = clamp(p.InFlight)
	c.rs.lost = clamp(lost - p.Lost)
	c.rs.appLimited = p.AppLimited || c.sentInProbeRTT(p.Delivered)
	if c.inflightTooHigh() {
		c.rs.txInFlight = c.inflightAtLoss(clamp(int64(p.End - p.Seq)))
		c.handleInflightTooHigh()
	}
}

func (c *controller) noteLoss() {
	if !c.lossInRound {
		c.lossRoundDelivered = c.delivered
	}
	c.lossInRound = true
}

// onECN answers an echo of congestion, which section 3.7 demands without saying how:
// like a loss rate above the threshold in the present round.
func (c *controller) onECN(ev *cc.CongestionEvent) {
	c.saveStateUponLoss()
	c.noteLoss()
	switch {
	case c.state == startup:
		c.handleQueueTooHighInStartup()
	case c.bwProbeSample:
		c.rs.txInFlight = clamp(ev.InFlight)
		c.rs.appLimited = c.appLimited
		c.handleInflightTooHigh()
	}
}

// inflightTooHigh reports whether losses suggest that too much was in flight.
func (c *controller) inflightTooHigh() bool {
	return float64(c.rs.lost) > float64(c.rs.txInFlight)*lossThresh || c.rs.lost > 0 && !c.sack
}

func (c *controller) handleInflightTooHigh() {
	c.prevProbeTooHigh = true
	c.bwProbeSample = false // only one reaction for each probe
	if !c.rs.appLimited {
		c.inflightLongterm = max(c.rs.txInFlight, amount(beta*float64(c.targetInflight())))
	}
	if c.state == probeUp {
		c.undo, c.undoValid = probeUp, true
		c.startProbeDown()
	}
}

// inflightAtLoss returns how much was in flight where losses crossed the threshold,
// which may have been in the midst of the packet lost, of size bytes.
func (c *controller) inflightAtLoss(size int64) int64 {
	prev := float64(c.rs.txInFlight - size)
	lostPrev := float64(c.rs.lost - size)
	prefix := (lossThresh*prev - lostPrev) / (1 - lossThresh)
	return amount(prev + prefix)
}

// ---- spurious losses: section 5.5.11 ----

// startEpisode saves the state at the first loss of an episode, before anything is
// made of it, and only then: the draft saves again in every round with loss, which
// would leave nothing to go back to.
func (c *controller) startEpisode() {
	if !c.inEpisode {
		c.inEpisode = true
		c.saveStateUponLoss()
	}
}

func (c *controller) saveStateUponLoss() {
	c.saveCwnd()
	c.undoValid = false
	c.undoBwShortterm = c.bwShortterm
	c.undoInflightShortterm = c.inflightShortterm
	c.undoInflightLongterm = c.inflightLongterm
}

// Undo implements [cc.Undoer]: HandleSpuriousLossDetection.
func (c *controller) Undo(now cc.Time, kind cc.CongestionKind) {
	c.now = max(c.now, now)
	c.inRecovery, c.inEpisode = false, false
	c.restoreCwnd()
	c.lossInRound = false
	c.resetFullBW()
	c.bwShortterm = max(c.bwShortterm, c.undoBwShortterm)
	c.inflightShortterm = max(c.inflightShortterm, c.undoInflightShortterm)
	c.inflightLongterm = max(c.inflightLongterm, c.undoInflightLongterm)
	if c.undoValid {
		switch {
		case c.undo == startup && c.state != startup:
			c.fullBwReached = false
			if c.state != probeRTT {
				c.enterStartup()
			}
		case c.undo == probeUp && c.state != probeUp && c.state != probeRTT:
			c.startProbeRefill()
		}
	}
	c.undoValid = false
	c.boundBWForModel()
	c.boundCwndForProbeRTT()
	c.boundCwndForModel()
}

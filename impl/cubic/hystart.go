package cubic

import (
	"time"

	"github.com/sluicenet/sluice/api/cc"
)

// Constants of RFC 9406, section 4.3. L is maxSegmentsPerAck.
const (
	minRTTThresh     = 4 * time.Millisecond
	maxRTTThresh     = 16 * time.Millisecond
	minRTTDivisor    = 8
	rttSamples       = 8 // N_RTT_SAMPLE
	cssGrowthDivisor = 4
	cssRounds        = 5
)

// hystart is HyStart++, RFC 9406: slow start slows down when round trips take longer
// than in the round before, and ends if they go on doing so. It stays out of
// the way of any slow start but the first (section 4.3).
type hystart struct {
	lastMin, currentMin time.Duration // least RTT of the round before, and of this one; 0: none
	baseline            time.Duration // cssBaselineMinRtt
	samples             uint8         // in this round, up to rttSamples
	rounds              uint8         // of conservative slow start, the present one included
	css                 bool          // conservative slow start
}

// onAck takes in an ACK of the first slow start, and reports whether that is over.
func (h *hystart) onAck(ev *cc.AckEvent) (over bool) {
	if ev.RoundStart {
		h.lastMin, h.currentMin, h.samples = h.currentMin, 0, 0
		if h.css {
			// The part of a round in which it began counts as one.
			if h.rounds++; h.rounds > cssRounds {
				return true
			}
		}
	}
	if rtt := ev.RTT.Sample; rtt > 0 {
		if h.currentMin == 0 || rtt < h.currentMin {
			h.currentMin = rtt
		}
		h.samples = min(h.samples+1, rttSamples)
	}
	if h.samples < rttSamples {
		return false
	}
	switch {
	case h.css && h.currentMin < h.baseline:
		// The delay was no queue: back to slow start, with all of this.
		h.css, h.baseline = false, 0
	case !h.css && h.lastMin > 0:
		thresh := max(minRTTThresh, min(h.lastMin/minRTTDivisor, maxRTTThresh))
		if h.currentMin >= h.lastMin+thresh {
			h.css, h.baseline, h.rounds = true, h.currentMin, 1
		}
	}
	return false
}

// growth returns how much slow start may add for an ACK that would add n.
func (h *hystart) growth(n float64) float64 {
	if h.css {
		return n / cssGrowthDivisor
	}
	return n
}

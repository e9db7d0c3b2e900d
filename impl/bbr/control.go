package bbr

import "time"

// What BBR controls: section 5.6.

// initPacingRate is section 5.6.2.
func (c *controller) initPacingRate() {
	rtt := time.Millisecond
	switch {
	case c.srttAtStart > 0:
		rtt = c.srttAtStart
	case c.seenRTT:
		rtt = c.minRTT
	}
	c.pacingRate = min(startupPacingGain*float64(c.initialCwnd)/rtt.Seconds(), maxRate)
}

func (c *controller) setPacingRate() { c.setPacingRateWithGain(c.pacingGain) }

func (c *controller) setPacingRateWithGain(gain float64) {
	rate := gain * c.bw * (1 - pacingMargin)
	if c.fullBwReached && c.bw > 0 || rate > c.pacingRate {
		c.pacingRate = min(rate, maxRate)
	}
}

// setSendQuantum is section 5.6.3.
func (c *controller) setSendQuantum() {
	c.sendQuantum = max(min(amount(c.pacingRate/1000), maxQuantum), 2*c.mss)
}

// bdp is BBR.bdp, in bytes.
func (c *controller) bdp() float64 {
	if !c.seenRTT {
		return float64(c.initialCwnd)
	}
	return c.bw * c.minRTT.Seconds()
}

// quantize is QuantizationBudget, section 5.6.4.2.
func (c *controller) quantize(inflightCap float64) int64 {
	n := max(amount(inflightCap), 3*c.sendQuantum, minPipe*c.mss) // section 5.5.8.1
	if c.state == probeUp {
		n += 2 * c.mss
	}
	return n
}

// inflightWith is Inflight: a multiple of the BDP.
func (c *controller) inflightWith(gain float64) int64 { return c.quantize(gain * c.bdp()) }

func (c *controller) maxInflight() int64 {
	return min(c.quantize(float64(c.cwndGain*c.bdp())+float64(c.extraAcked)), maxWindow)
}

// setCwnd is section 5.6.4.6.
func (c *controller) setCwnd() {
	most := c.maxInflight()
	if c.fullBwReached {
		c.cwnd = min(c.cwnd+c.rs.newlyAcked, most)
	} else if c.cwnd < most || c.delivered < c.initialCwnd {
		c.cwnd = min(c.cwnd+c.rs.newlyAcked, maxWindow)
	}
	c.cwnd = max(c.cwnd, minPipe*c.mss)
	c.boundCwndForProbeRTT()
	c.boundCwndForModel()
}

func (c *controller) probeRTTCwnd() int64 {
	return max(amount(probeRTTCwndGain*c.bdp()), minPipe*c.mss)
}

func (c *controller) boundCwndForProbeRTT() {
	if c.state == probeRTT {
		c.cwnd = min(c.cwnd, c.probeRTTCwnd())
	}
}

// boundCwndForModel is section 5.6.4.7.
func (c *controller) boundCwndForModel() {
	most := infinite
	switch {
	case c.state == probeRTT || c.state == probeCruise:
		most = c.inflightWithHeadroom()
	case c.inProbeBW():
		most = c.inflightLongterm
	}
	most = max(min(most, c.inflightShortterm), minPipe*c.mss)
	c.cwnd = min(c.cwnd, most)
}

// saveCwnd remembers the last cwnd that neither recovery nor ProbeRTT has modulated:
// section 5.6.4.4.
func (c *controller) saveCwnd() {
	if c.inRecovery || c.state == probeRTT {
		c.priorCwnd = max(c.priorCwnd, c.cwnd)
	} else {
		c.priorCwnd = c.cwnd
	}
}

func (c *controller) restoreCwnd() { c.cwnd = max(c.cwnd, c.priorCwnd) }

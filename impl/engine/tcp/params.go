package tcp

import (
	"math"
	"time"
)

// DefaultParams returns the parameters that a stack uses unless told otherwise.
func DefaultParams() Params {
	return Params{
		RTOInitial:        time.Second,            // RFC 6298, section 2.1
		RTOMin:            200 * time.Millisecond, // declared: RFC 6298 has 1 s, (2.4)
		RTOMax:            60 * time.Second,       // RFC 6298, (2.5)
		DelayedAck:        40 * time.Millisecond,  // MUST-40: below 0.5 s
		TimeWait:          60 * time.Second,
		FinWait2:          60 * time.Second,
		SynTimeout:        3 * time.Minute, // MUST-23
		UserTimeout:       5 * time.Minute, // SHLD-11: at least 100 s
		OrphanRetries:     8,
		ChallengeInterval: 500 * time.Millisecond,
		MaxWindow:         64 << 20,
		MinMSS:            48,
		Like:              &native,
	}
}

// WithDefaults returns p with its zero fields replaced by those of DefaultParams.
func (p Params) WithDefaults() Params {
	if p.complete {
		return p
	}
	d := DefaultParams()
	for _, f := range []struct{ v, def *time.Duration }{
		{&p.RTOInitial, &d.RTOInitial}, {&p.RTOMin, &d.RTOMin}, {&p.RTOMax, &d.RTOMax},
		{&p.DelayedAck, &d.DelayedAck}, {&p.TimeWait, &d.TimeWait}, {&p.FinWait2, &d.FinWait2},
		{&p.SynTimeout, &d.SynTimeout}, {&p.UserTimeout, &d.UserTimeout},
		{&p.ChallengeInterval, &d.ChallengeInterval},
	} {
		if *f.v <= 0 {
			*f.v = *f.def
		}
	}
	if p.OrphanRetries <= 0 {
		p.OrphanRetries = d.OrphanRetries
	}
	p.OrphanRetries = min(p.OrphanRetries, math.MaxUint8) // as far as the probes are counted
	if p.MaxWindow <= 0 {
		p.MaxWindow = d.MaxWindow
	}
	if p.MinMSS <= 0 {
		p.MinMSS = d.MinMSS
	}
	if p.Like == nil {
		p.Like = d.Like
	}
	p.complete = true
	p.RTOMax = max(p.RTOMax, p.RTOMin)
	p.DelayedAck = min(p.DelayedAck, maxDelayedAck)
	return p
}

// maxDelayedAck keeps a delayed ACK below half a second (MUST-40).
const maxDelayedAck = 499 * time.Millisecond

// Defaults for what a FlowConfig leaves at zero and the caller has not filled.
const (
	defaultBuffer = 1 << 20
	defaultTTL    = 64
)

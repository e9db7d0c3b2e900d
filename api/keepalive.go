package api

import "time"

// A Keepalive decides when to probe an idle peer and when to give it up (K1,
// K2). It has no state, so that one value serves any number of flows, and may
// be called from any goroutine. It must not block.
type Keepalive interface {
	// Next says what to do when the peer has been silent for idle and sent
	// probes have gone out since it was last heard, and how long to wait
	// until asking again. The first wait counts from the last segment heard,
	// later ones from the call.
	Next(idle time.Duration, sent int) (KeepaliveAction, time.Duration)
}

// KeepaliveAction is what a [Keepalive] asks for.
type KeepaliveAction uint8

// The actions.
const (
	KeepaliveWait   KeepaliveAction = iota // nothing to do yet
	KeepaliveProbe                         // send a probe
	KeepaliveGiveUp                        // the peer is gone
)

// String names the action.
func (a KeepaliveAction) String() string {
	switch a {
	case KeepaliveWait:
		return "wait"
	case KeepaliveProbe:
		return "probe"
	case KeepaliveGiveUp:
		return "give up"
	}
	return "unknown"
}

// KeepaliveConfig is the usual [Keepalive]: after After of silence it probes
// every Interval, and gives up one Interval after the last of Probes probes that
// were really sent. A process that slept gives up no sooner, and does not send
// the probes it missed. Fields that are zero or negative mean 2 h, 75 s and 9
// (RFC 9293, section 3.8.4, asks for at least two hours).
type KeepaliveConfig struct {
	After, Interval time.Duration
	Probes          int
}

var _ Keepalive = KeepaliveConfig{}

// Next implements [Keepalive].
func (k KeepaliveConfig) Next(idle time.Duration, sent int) (KeepaliveAction, time.Duration) {
	k = k.withDefaults()
	switch {
	case sent == 0 && idle < k.After:
		return KeepaliveWait, k.After - idle
	case sent < k.Probes:
		return KeepaliveProbe, k.Interval
	default:
		return KeepaliveGiveUp, 0
	}
}

func (k KeepaliveConfig) withDefaults() KeepaliveConfig {
	if k.After <= 0 {
		k.After = 2 * time.Hour
	}
	if k.Interval <= 0 {
		k.Interval = 75 * time.Second
	}
	if k.Probes <= 0 {
		k.Probes = 9
	}
	return k
}

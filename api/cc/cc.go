// Package cc is the contract between a TCP engine and a congestion controller.
//
// The engine detects losses, retransmits, paces, and keeps the books; it tells
// a [Controller] what happened and asks how much may be in flight. A controller
// is a plain state machine: it starts no goroutine, takes no lock, reads no
// clock and touches nothing but its own fields. Every call for one connection
// comes from one goroutine at a time, with times that never go back.
//
// Every count is bytes, in int64, unless its name says otherwise.
package cc

import (
	"net/netip"
	"time"

	"github.com/sluicenet/sluice/api/clock"
)

// Time is an instant on the stack's clock.
type Time = clock.Time

// NoThreshold is the slow start threshold before the first congestion.
const NoThreshold int64 = 1 << 62

// A Factory makes the controllers of one algorithm. Its methods may be called
// from any goroutine.
type Factory interface {
	// Name is the algorithm's name as it stands in configurations: "cubic".
	Name() string

	// New returns the controller of one connection. opts is what followed the
	// name in the configuration, "key=value" separated by commas, or empty;
	// an error names the option at fault. env is valid during the call, but
	// env.Rand and env.Trace may be kept.
	New(env *Env, opts string) (Controller, error)
}

// Env is what a controller is told about its connection at the start.
type Env struct {
	Local, Remote netip.AddrPort
	MSS           int64 // effective send MSS: payload bytes of a full segment
	InitialWindow int64 // RFC 6928, or as configured
	Now           Time
	SRTT, MinRTT  time.Duration // handshake sample, 0 if none
	SACK          bool
	Rand          interface{ Uint64() uint64 } // the connection's own, seeded by the stack
	Trace         func(key string, value float64)
}

// Control is everything a controller may tell the engine.
type Control struct {
	Cwnd     int64       // bytes allowed in flight; the engine holds it within [1 MSS, its maximum]
	Ssthresh int64       // slow start threshold; NoThreshold if there is none
	Pacing   BytesPerSec // 0: the engine's default, no pacing
	Quantum  int64       // largest burst when paced; 0: the engine's default
}

// BytesPerSec is a rate. 0 means none.
type BytesPerSec int64

// A Controller is the whole mandatory surface.
type Controller interface {
	// OnAck is called once for each incoming ACK that delivered data, after
	// loss marking and after OnCongestion for the same ACK. ev is reused.
	OnAck(ev *AckEvent)

	// OnCongestion is called once for each congestion episode, not for each
	// lost packet. ev is reused.
	OnCongestion(ev *CongestionEvent)

	// Control is asked after every call into the controller.
	Control() Control
}

// Phase is the engine's recovery state.
type Phase uint8

// The phases.
const (
	Open     Phase = iota // nothing amiss
	Disorder              // duplicate or selective ACKs, nothing declared lost
	CWR                   // reducing after an ECN echo
	Recovery              // fast recovery: the engine sets cwnd until it ends
	Loss                  // after a retransmission timeout
)

// String names the phase.
func (p Phase) String() string {
	switch p {
	case Open:
		return "open"
	case Disorder:
		return "disorder"
	case CWR:
		return "cwr"
	case Recovery:
		return "recovery"
	case Loss:
		return "loss"
	}
	return "unknown"
}

// AckEvent is the state of the connection at one ACK.
type AckEvent struct {
	Now       Time
	Phase     Phase
	CumAcked  int64 // SND.UNA advance
	Sacked    int64 // newly selectively acknowledged
	Delivered int64 // newly delivered, either way (RFC 9937 DeliveredData)
	Lost      int64 // newly marked lost by this ACK

	FlightBefore, FlightAfter int64  // pipe before and after this ACK
	SndUna, SndNxt            uint64 // unwrapped

	RTT        RTT
	Rate       RateSample
	RoundStart bool   // first ACK of a packet-timed round trip
	Round      uint64 // rounds so far

	CwndLimited bool  // cwnd was fully used at some time since the last ACK that could grow it
	AppLimited  bool  // the application had nothing to send
	RwndLimited bool  // the peer's window was the limit
	MaxFlight   int64 // greatest FlightSize since the last reduction

	TotalDelivered, TotalLost int64
	ECE                       bool // RFC 3168 echo on this ACK
}

// RTT has the round-trip times known at an ACK.
type RTT struct {
	Sample             time.Duration // -1 if this ACK gave none (Karn)
	Smoothed, Var, Min time.Duration
}

// RateSample is a delivery-rate sample (draft-ietf-ccwg-bbr).
type RateSample struct {
	Valid                     bool
	Delivered                 int64
	Interval                  time.Duration // the longer of the two below
	SendInterval, AckInterval time.Duration
	PriorDelivered            int64
	TxInFlight                int64 // in flight when the newest acknowledged segment left
	LostSinceTx               int64
	AppLimited, Retransmit    bool
}

// CongestionKind is what made the engine declare congestion.
type CongestionKind uint8

// The kinds.
const (
	LossDetected CongestionKind = iota // duplicate ACKs, SACK or RACK
	ECNMark                            // RFC 3168 echo
	Timeout                            // retransmission timeout
)

// CongestionEvent is one congestion episode.
type CongestionEvent struct {
	Now        Time
	Kind       CongestionKind
	Lost       int64  // marked lost so far in the episode
	FlightSize int64  // RFC 5681: sent and not cumulatively acknowledged
	InFlight   int64  // RFC 6675 pipe
	SndNxt     uint64 // recovery point, unwrapped
	Repeat     bool   // another timeout of the same segment: ssthresh stays
}

// ---- Optional capabilities, found once when the controller is attached ----

// Undoer is told when the engine has proved the last OnCongestion spurious, to
// restore what it saved then.
type Undoer interface {
	Undo(now Time, kind CongestionKind)
}

// IdleObserver is told of the first send after an idle period.
type IdleObserver interface {
	OnRestart(now Time, idle time.Duration)
}

// MSSObserver is told when the effective send MSS has changed.
type MSSObserver interface {
	OnMSS(mss int64)
}

// RecoveryOwner sets cwnd during recovery itself. Without it the engine does.
type RecoveryOwner interface {
	EnterRecovery(now Time, inFlight int64)
	ExitRecovery(now Time, undone bool)
}

// PacketObserver is told of single transmissions, each of them one segment or,
// with segmentation offload, several. p is reused.
type PacketObserver interface {
	// OnSent is called when p has left, or is about to.
	OnSent(p *SentPacket)

	// OnPacketLost is called when p is thought lost, before OnCongestion and
	// OnAck for the same ACK. delivered and lost are the connection's totals,
	// this ACK and p included.
	OnPacketLost(p *SentPacket, now Time, delivered, lost int64)
}

// SentPacket is one transmission, with the state of the connection when it left.
type SentPacket struct {
	Seq, End               uint64 // unwrapped
	At                     Time
	InFlight               int64 // p included
	Delivered, Lost        int64 // totals
	AppLimited, Retransmit bool  // AppLimited as in RateSample
}

// ECNUser says how a controller wants to use ECN. Without it the stack decides, for
// ECNClassic or for none; marks are reported either way.
type ECNUser interface {
	// ECN is asked once, before the handshake, of a controller that may be
	// thrown away afterwards. The peer may still refuse.
	ECN() ECNMode
}

// ECNMode is a use of ECN.
type ECNMode uint8

// The modes. With ECNClassic and ECNEach, segments are sent as ECT(0), OnCongestion
// is called with ECNMark for the first echo in a window of data, and
// AckEvent.ECE tells which ACKs carried one. A loss in the same window is the same
// episode with ECNClassic, and another with ECNEach. With a window of one segment
// OnCongestion is not called: what is to be sent next waits for an RTO instead
// (RFC 3168, section 6.1.2).
const (
	ECNOff     ECNMode = iota
	ECNClassic         // RFC 3168: one mark is echoed until the sender has reacted
	ECNEach            // RFC 8257: an ACK echoes the marks of what it acknowledges, and no others
)

// Inspector shows a controller's variables, for diagnostics.
type Inspector interface {
	Vars(yield func(name string, value float64) bool)
}

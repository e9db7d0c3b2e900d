package api

import (
	"net/netip"
	"time"
)

// Info is a snapshot of a flow, after Linux's tcp_info. Sizes are bytes.
// Implementations leave at zero what they cannot know.
type Info struct {
	State      State
	Src, Dst   netip.AddrPort
	Congestion string // name of the congestion controller

	Cwnd         int64 // congestion window
	Ssthresh     int64 // slow start threshold, 0 if none yet
	InFlight     int64 // sent, neither acknowledged nor thought lost (pipe)
	SendWindow   int64 // what the peer's last window allows beyond SND.UNA
	RecvWindow   int64 // what we last announced beyond RCV.NXT
	SendQueue    int64 // written, not yet acknowledged
	ReceiveQueue int64 // received in order, not yet read
	OutOfOrder   int64 // received out of order
	Memory       int64 // charged to the flow for both queues

	SRTT, RTTVar time.Duration
	MinRTT       time.Duration
	RTO          time.Duration
	Backoff      int // doublings of the RTO in force
	SendMSS      int64
	RecvMSS      int64
	PathMTU      int64

	SendWindowScale, RecvWindowScale int // -1 if not negotiated
	SACK, Timestamps, ECN            bool

	BytesSent, BytesReceived uint64 // payload in order, retransmissions not counted
	BytesRetransmitted       uint64
	BytesAcked               uint64
	SegmentsSent             uint64
	SegmentsReceived         uint64
	Retransmits              uint64 // segments
	SpuriousRetransmits      uint64 // segments that the peer reported as duplicates
	DupAcks                  uint64
	Timeouts                 uint64 // expiries of the RTO
	PacingRate               int64  // bytes per second, 0 if unpaced
	DeliveryRate             int64  // bytes per second, 0 if unknown

	// Of what was sent and is not acknowledged, in segments: what the peer has
	// reported, what is thought lost, and what of that has been sent again.
	UnackedSegments, SackedSegments, LostSegments, ResentSegments int64

	NotSent         int64  // bytes written and never sent
	CongestionState string // "open", "disorder", "cwr", "recovery" or "loss"; "" before the handshake is complete
	Retries         int    // retransmissions of the same segment in a row
	Probes          uint64 // tail loss probes sent

	// Answers of the congestion controller that no path can want, and that were held
	// within bounds: a window below one segment or beyond 2^48 bytes, or a negative
	// threshold, rate or quantum.
	ControllerFaults uint64

	DataSegmentsSent, DataSegmentsReceived uint64 // segments with payload
	DeliveredSegments                      uint64 // of ours, a SYN included, each once
	DeliveredCE                            uint64 // those whose ACK echoed congestion
	OutOfOrderSegments                     uint64 // received beyond a hole
	ReorderingSeen                         uint64 // times that a late segment overtook nothing lost
	RecvSegment                            int64  // estimate of the size of the peer's segments
	AckDelay                               time.Duration
	ECNSeen                                bool // a packet of the peer's was marked as capable of ECN

	// FastOpen is what has become of TCP Fast Open (RFC 7413): "" if it was not used;
	// "accepted" if data travelled with the SYN and were taken; where we were to send
	// some, "no-cookie", "not-acknowledged", "retransmitted" (the SYN was lost), or "tried"
	// while the SYN is under way.
	FastOpen string

	UrgentPending   int64 // bytes up to the end of urgent data, 0 if none
	KeepaliveProbes int   // unanswered now
	SoftError       error // last error that did not end the flow, or nil

	Opened      time.Time
	LastSend    time.Time
	LastReceive time.Time
	TimerLeft   time.Duration // until the timer named by Timer
	Timer       string        // "", "retransmit", "persist", "keepalive", "timewait", "delack"
	TTL, DSCP   uint8
	NoDelay     bool
	SendBuffer  int64 // limits in force
	RecvBuffer  int64
}

// State is a connection state of RFC 9293, section 3.3.2.
type State uint8

// The states.
const (
	StateClosed State = iota
	StateListen
	StateSynSent
	StateSynReceived
	StateEstablished
	StateFinWait1
	StateFinWait2
	StateCloseWait
	StateClosing
	StateLastAck
	StateTimeWait
)

var stateNames = [...]string{"CLOSED", "LISTEN", "SYN-SENT", "SYN-RECEIVED", "ESTABLISHED",
	"FIN-WAIT-1", "FIN-WAIT-2", "CLOSE-WAIT", "CLOSING", "LAST-ACK", "TIME-WAIT"}

// String returns the RFC's name.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "UNKNOWN"
}

// StackInfo is a snapshot of a stack.
type StackInfo struct {
	Backend   string         // "reno", "cubic", "kernel", ...
	Addresses []netip.Prefix // the stack's own
	Flows     int64          // open, TIME-WAIT and half-open not counted
	HalfOpen  int64
	TimeWait  int64
	Listeners int64

	Memory, MemoryLimit int64 // bytes charged to flows, and what they may reach

	Opened, Accepted, Refused, Failed uint64 // flows since the start
	CookiesSent, CookiesAccepted      uint64 // SYN cookies, those that turned out wrong being DropSynCookie

	PacketsIn, PacketsOut uint64
	BytesIn, BytesOut     uint64 // IP payload included
	SegmentsIn            uint64
	SegmentsOut           uint64
	Retransmits           uint64
	ResetsIn, ResetsOut   uint64
	ChallengeAcks         uint64
	Drops                 [NumDropReasons]uint64 // by DropReason
}

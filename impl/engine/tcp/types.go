package tcp

import (
	"errors"
	"net/netip"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// ErrAgain says that the call would have to wait.
var ErrAgain = errors.New("tcp: would block")

// Counters are shared by the connections of one host, under its lock.
type Counters struct {
	Drops         [api.NumDropReasons]uint64
	SegmentsIn    uint64
	SegmentsOut   uint64
	Retransmits   uint64
	ChallengeAcks uint64
	ResetsIn      uint64
	ResetsOut     uint64
}

// A Budget is the memory limit of a whole stack. Its methods may be called
// concurrently.
type Budget interface {
	// Charge takes n bytes. It returns false, and takes nothing, where that
	// would exceed the limit.
	Charge(n int64) bool
	// Release gives n bytes back.
	Release(n int64)
}

// Params are what the connections of a stack have in common. Zero fields mean
// the defaults of DefaultParams.
type Params struct {
	RTOInitial, RTOMin, RTOMax time.Duration // RFC 6298
	DelayedAck                 time.Duration // RFC 9293, section 3.8.6.3
	AckEverySegment            bool          // no ACK is delayed
	TimeWait                   time.Duration // the whole of it, 2 MSL
	FinWait2                   time.Duration // for orphans
	SynTimeout                 time.Duration // R2 of a SYN, section 3.8.3
	UserTimeout                time.Duration // R2 otherwise
	OrphanRetries              int           // retransmissions for a flow that nobody holds; at most 255
	ChallengeInterval          time.Duration // RFC 5961, section 7: at most one challenge ACK each
	InitialWindow              int64         // bytes; 0: RFC 6928
	MaxWindow                  int64         // cap on cwnd, in bytes
	MinMSS                     int64         // floor under what a peer may announce
	NoSACK                     bool
	NoTimestamps               bool
	NoWindowScale              bool
	ECN                        ECNPolicy
	SynCookies                 CookiePolicy // of listeners
	Autotune                   bool         // buffers begin small and grow up to the flow's
	NoRACK                     bool         // detect losses by RFC 6675 in place of RFC 8985
	FastOpen                   FastOpenParams

	// Like, if not nil, makes a stack behave as others do. It is not changed while
	// connections refer to it.
	Like *Emulation

	complete bool // WithDefaults has returned it
}

// Emulation has what other systems do otherwise and scripts written for them
// expect. The zero value changes nothing.
type Emulation struct {
	InitialSegments        int64         // initial window in segments of the MSS; 0: InitialWindow
	NoQuickAcks            bool          // the first segments of a connection are not acknowledged one by one
	SynRetries             int           // SYNs sent again before giving up; 0: as many as SynTimeout allows
	SynAckRetries          int           // the same of SYN-ACKs; 0: the default
	SynLinear              int           // so many timeouts of a SYN are not doubled
	Retries                int           // retransmissions of the same data before giving up; 0: as many as UserTimeout allows
	PersistMin, PersistMax time.Duration // bounds on the persist timer; 0: none but the RTO's
	NoTLP                  bool          // no tail loss probes
	NoFRTO                 bool          // RFC 5682
	NoDSACK                bool          // duplicates are not reported
	NoIdleRestart          bool          // cwnd survives a pause (RFC 5681, section 4.1, has it reduced)
	EmptyProbes            bool          // zero-window probes have no data, but an old sequence number, as Linux's
	BareResets             bool          // the RST that answers data for an orphan has no ACK, as one for no connection
	HastyResets            bool          // data that nobody reads ends an orphan at once, and what it had to send is lost, as Linux has it
	PushEvery              int64         // PSH stands on every so many segments of a burst, as where each is handed down as one; 0: on the last
	Interactive            bool          // who answers at once has his ACKs delayed from then on, as Linux's "ping-pong" mode
	BSDOptions             bool          // options of SYNs stand in the order of the BSDs
	BSDWindow              bool          // the receive buffer is whole segments, and the window what is free of it, rounded up to a unit
	KeepUnread             bool          // a reset leaves the reader what has arrived
	ResetShut              bool          // data for a connection of which both directions are shut get a RST, as for an orphan
	HalfUsedGrows          bool          // slow start goes on while more than half of cwnd was used, as Linux's
	ReduceCwnd             bool          // ssthresh is a part of cwnd, and not of FlightSize
	NoSynData              bool          // data in a SYN-ACK are dropped
	QuietHalfOpen          bool          // a connection that is not established yet is given up without a RST
	SoftUnreachable        bool          // of ICMP errors only those that refuse a port or protocol fail a dial
	SynWithFin             bool          // a FIN that stands on a SYN is ignored, and the SYN is not
	Blackhole              int           // at closed ports no SYN is answered (1), or nothing (2)
	LateUndo               bool          // duplicates reported after a recovery undo it
	FinInSACK              bool          // a FIN behind a gap is part of the block that is reported
	Cookies                bool          // a SYN-ACK to a SYN without timestamps has the MSS alone, as with SYN cookies
	Records                bool          // no segment reaches beyond the end of a record that WriteOptions.Record has marked, as with Linux's MSG_EOR
	AnswersData            bool          // data beyond the window are acknowledged however many come, as Linux does, and not within the limit of challenge ACKs
	IgnoreTooBig           bool          // ICMP errors do not reduce the path's MTU, as with Linux's IP_PMTUDISC_DONT
	DecayIdle              bool          // cwnd is halved for every RTO of a pause, as Linux does (RFC 2861), where there was no loss yet
	OfferAll               bool          // the SYN-ACK of a simultaneous open offers what the SYN did, and the peer's is acknowledged, as Linux does
	HastySyn               bool          // an unacceptable SYN-ACK has the SYN sent again at once, the first time, as Linux does
	FourHoles              bool          // of out-of-order data no more is remembered than four blocks that were reported, as Linux's
	LinearThin             bool          // timeouts of a stream that is thin are not doubled at first, as with Linux's TCP_THIN_LINEAR_TIMEOUTS
	NoFinWait2             bool          // an orphan whose FIN is acknowledged has ended, as with Linux's TCP_LINGER2 below 0
	DeferAccept            int           // so many timeouts of a SYN-ACK a handshake waits for data, as with Linux's TCP_DEFER_ACCEPT
	MaxPacing              int64         // bytes per second that a connection sends at most; 0: as many as its controller says
	NoAckLimit             bool          // slow start counts all that an ACK covers (L of RFC 3465 is infinite)
}

// native is the Emulation of a stack that is like itself.
var native Emulation

// Config is what one connection is made from. Flow's zero fields have been
// replaced by the stack's defaults.
type Config struct {
	Params            *Params
	Flow              api.FlowConfig
	Local, Remote     netip.AddrPort
	ISS               uint32 // RFC 6528
	TSOffset          uint32 // of our timestamp clock (RFC 7323, section 5.4)
	LinkMTU           int64  // for the MSS that we announce
	PathMTU           int64  // for what we send
	MaxGSO            int64  // largest super-packet with its IP header; 0: none
	Controller        cc.Factory
	ControllerOptions string
	Rand              interface{ Uint64() uint64 } // seeds the controllers' own
	Budget            Budget
	Counters          *Counters
	User              any           // the engine's flow, or the simulator's application
	FastOpen          *FastOpenDial // of an active connection; nil: none

	// Shared, if not nil, is what NewShared has made of such a Config. It then takes
	// the place of all fields but the addresses, ISS, TSOffset, PathMTU, User and FastOpen.
	Shared *Shared
}

// Segment is a segment received. The payload passes to the Conn.
type Segment struct {
	TCP     wire.TCP
	Payload []api.Buffer
	Len     int64  // bytes of Payload
	GSOSize uint16 // if this stands for several segments: payload of each but the last
	CE      bool   // the IP header's ECN field says "congestion experienced"
	ECT     bool   // it says that, or that the sender is capable of ECN
}

// Out is a segment to send. Its payload are views that the caller releases
// once they have been sent.
type Out struct {
	TCP     wire.TCP
	Payload []api.Buffer
	Len     int64
	GSOSize uint16 // if this stands for several segments: payload of each but the last
	ECN     uint8  // IP ECN field
	TTL     uint8
	DSCP    uint8
}

// Events says what has changed since TakeEvents was last called.
type Events uint16

// The events.
const (
	EventState       Events = 1 << iota // State has changed
	EventEstablished                    // the handshake is complete; or Fast Open need not wait for that
	EventRead                           // data, end of file or an error to read
	EventWrite                          // the send queue is below its limit, or closed
	EventAcked                          // Acked has moved
	EventUrgent                         // urgent data announced, or its end moved
	EventError                          // a soft error: Info.SoftError
	EventClosed                         // FullyClosed has become true
	EventKeepalive                      // AskKeepalive has a question
)

// WriteOptions modify one Write.
type WriteOptions struct {
	NoDelay bool // send at once: no Nagle (N2)
	Urgent  bool // all data up to the end of this write is urgent
	Record  bool // a record ends here (Emulation.Records)
}

// ICMPKind is what an ICMP error means for a connection.
type ICMPKind uint8

// The kinds.
const (
	ICMPSoft         ICMPKind = iota // unreachable, time exceeded, parameter problem: remember
	ICMPHard                         // protocol or port unreachable: fails a dial, else soft
	ICMPPacketTooBig                 // MTU has the next hop's
)

// ICMPError is an ICMP error that quotes a segment of ours.
type ICMPError struct {
	Kind ICMPKind
	Seq  uint32 // quoted sequence number
	MTU  int64
	Err  error // what to tell the user
}

// TimeWaitVerdict is what a connection in TIME-WAIT makes of a segment.
type TimeWaitVerdict uint8

// The verdicts.
const (
	TimeWaitDrop  TimeWaitVerdict = iota
	TimeWaitReply                 // send what is in out
	TimeWaitReuse                 // a SYN that may open a new connection in its place
)

var _ = clock.Never

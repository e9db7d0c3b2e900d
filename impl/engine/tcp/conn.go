package tcp

import (
	"net/netip"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/fault"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// Conn is one connection. It is not safe for concurrent use.
type Conn struct {
	// User is whoever holds the connection; the machine does not look at it.
	User any

	cfg     Config
	p       Params
	state   api.State
	passive bool
	v6      bool
	orphan  bool // nobody holds the connection any more
	events  Events
	reason  error // why the connection ended; nil while open and if orderly
	softErr error
	tm      timers

	// Send sequence space (RFC 9293, section 3.3.1), unwrapped.
	iss, sndUna, sndNxt uint64
	sndEdge             uint64 // SND.UNA + SND.WND, as last announced
	sndWl1, sndWl2      uint64
	maxSndWnd           int64
	sq                  sendQueue
	finQueued           bool // CLOSE was called: the FIN's sequence number is sq.end
	finSent             bool
	minshall            uint64 // end of the last segment sent that was not full-sized
	noDelayEnd          uint64 // up to here Nagle's algorithm is off (N2)
	pushBase            uint64 // end of the last segment sent that emptied the queue
	override            bool   // the override timer has expired
	sndUp               uint64 // urgent data end here, if beyond SND.UNA
	announceUp          bool

	// Receive sequence space.
	irs, rcvNxt uint64
	rcvEdge     uint64 // the highest right window edge ever announced
	synWindow   uint16 // announced by our SYN
	rcvCreep    int64  // how far rounding has moved it since it last moved in earnest
	rcvFin      uint64 // sequence number of the peer's FIN, if known
	hasRcvFin   bool
	rq          recvQueue
	ooo         oooQueue
	rcvCharged  int64
	readShut    bool // CloseRead: discard
	eofRead     bool // io.EOF has been returned
	unreadLost  bool // data came for an orphan: end with a RST
	rcvUp       uint64
	hasRcvUp    bool

	// Acknowledgements.
	ackNow      bool
	ackPending  int64 // bytes received and not acknowledged
	lastAckSent uint64
	rcvMSS      int64 // estimate of the peer's segment size
	lastSegLen  int64
	quickAcks   int
	sackRecent  [4]uint64 // a sequence number in each range changed lately, newest first
	dsack       seqRange  // duplicate to report, if not empty
	challengeAt clock.Time
	challenged  bool

	ecn  ecnState
	tune *tuneState // nil if not wanted, or before the handshake is complete

	// Options negotiated.
	sackOK, tsOK, scaleOK bool
	sndScale, rcvScale    uint8
	tsRecent              uint32
	tsRecentAt            clock.Time
	hasTSRecent           bool

	// Sizes.
	pathMTU, peerMSS int64
	mss              int64 // effective send MSS: payload of a full segment without SACK blocks
	announcedMSS     int64

	// What Poll has to send besides data.
	synDue   bool
	rstDue   bool
	rstSeq   uint32
	rstAck   uint32
	rstFlags wire.Flags
	probeDue bool // zero-window probe
	kaDue    bool // keepalive probe

	// Retransmission and congestion control.
	sb               scoreboard
	rtt              rttState
	backoff          int
	retries          int // consecutive expiries without progress
	synRexmits       int
	lastTimeout      uint64 // SND.UNA when the RTO last expired
	progressAt       clock.Time
	ctl              cc.Controller
	ctlName          string
	control          cc.Control // what ctl said last
	cwnd             int64
	ssthresh         int64
	phase            cc.Phase
	recoveryPoint    uint64
	recover          uint64 // RFC 6582
	dupAcks          int
	renoSacked       int64 // without SACK: bytes that duplicate ACKs stand for
	limitedTx        int64 // sent by limited transmit since the first duplicate ACK
	rescued          bool
	rtoRestarted     bool // RFC 6582: on the first partial ACK only
	forceRexmit      bool // the first retransmission of an episode does not wait for cwnd
	lossCount        int64
	prr              prrState
	*lossDetection   // from the handshake on
	rate             rateState
	limit            sendLimit
	cwndLimited      uint64 // data below were in flight when cwnd was the limit
	maxFlight        int64
	persistBack      int
	lastDataSent     clock.Time
	lastDataReceived clock.Time
	paceAt           clock.Time
	told             *controllerEvents // from the handshake on
	watch            *packetWatch      // nil if the controller does not look at packets

	// Keepalive.
	ka keepaliveState

	opened, lastSend, lastRecv clock.Time
	stats                      connStats
	tw                         TimeWait
}

// controllerEvents are what the controller is handed, again and again.
type controllerEvents struct {
	ack  cc.AckEvent
	cong cc.CongestionEvent
}

// connStats are the counters of Info.
type connStats struct {
	bytesSent, bytesReceived, bytesRexmit uint64
	segsSent, segsReceived                uint64
	rexmits, spurious, dupAcks, timeouts  uint64
	probes, undone                        uint64
	dataSent, dataReceived, outOfOrder    uint32 // segments, in 32 bits as tcp_info has them
	delivered, deliveredCE, reordered     uint32
}

// newConn makes what active and passive connections have in common.
func newConn(now clock.Time, cfg *Config) *Conn {
	c := &Conn{User: cfg.User, cfg: *cfg, opened: now, lastRecv: now}
	if cfg.Params != nil {
		c.p = cfg.Params.WithDefaults()
	} else {
		c.p = DefaultParams()
	}
	if c.cfg.Counters == nil {
		c.cfg.Counters = new(Counters)
	}
	f := &c.cfg.Flow
	if f.SendBuffer <= 0 {
		f.SendBuffer = defaultBuffer
	}
	if f.ReceiveBuffer <= 0 {
		f.ReceiveBuffer = defaultBuffer
	}
	if f.TTL == 0 {
		f.TTL = defaultTTL
	}
	c.v6 = cfg.Remote.Addr().Is6() && !cfg.Remote.Addr().Is4In6()
	if c.cfg.LinkMTU <= 0 {
		c.cfg.LinkMTU = 1500
	}
	c.pathMTU = c.cfg.LinkMTU
	if cfg.PathMTU > 0 {
		c.pathMTU = min(cfg.PathMTU, c.cfg.LinkMTU)
	}
	c.tm.stopAll()
	c.iss = seqBase | uint64(cfg.ISS)
	c.sndUna, c.sndNxt = c.iss, c.iss
	c.sndUp, c.minshall, c.noDelayEnd, c.recover = c.iss, c.iss, c.iss, c.iss
	c.lastTimeout = 0
	c.sq.end = c.iss + 1
	c.announcedMSS = c.ourMSS()
	c.rtt.init(c.p.RTOInitial)
	c.cwnd, c.ssthresh = 1, cc.NoThreshold
	if !c.p.Like.NoQuickAcks {
		c.quickAcks = quickAckSegments
	}
	if !c.p.NoWindowScale {
		c.rcvScale = windowScaleFor(f.ReceiveBuffer)
	}
	return c
}

// Local and Remote are the two ends.
func (c *Conn) Local() netip.AddrPort  { return c.cfg.Local }
func (c *Conn) Remote() netip.AddrPort { return c.cfg.Remote }

// Passive reports whether the connection was opened by the peer.
func (c *Conn) Passive() bool { return c.passive }

// State returns the state.
func (c *Conn) State() api.State { return c.state }

// Gone reports that the connection is in CLOSED: the host forgets it. Read may
// still deliver what is queued, and Poll may still return a reset.
func (c *Conn) Gone() bool { return c.state == api.StateClosed }

// FullyClosed reports that the peer has closed and has acknowledged our close, or
// that the connection has ended otherwise (C4).
func (c *Conn) FullyClosed() bool {
	if fault.On("close-waits-for-own-fin-only") && c.state == api.StateFinWait2 {
		return true
	}
	return c.state == api.StateClosed || c.state == api.StateTimeWait
}

// CloseReason is nil for an open connection and after an orderly close.
func (c *Conn) CloseReason() error { return c.reason }

// TakeEvents returns what has changed since the last call.
func (c *Conn) TakeEvents() Events {
	e := c.events
	c.events = 0
	return e
}

// FlowConfig returns the options in force.
func (c *Conn) FlowConfig() api.FlowConfig { return c.cfg.Flow }

// Times returns when the connection was opened and when it last sent and received.
func (c *Conn) Times() (opened, sent, received clock.Time) {
	return c.opened, c.lastSend, c.lastRecv
}

func (c *Conn) setState(s api.State) {
	if c.state == s {
		return
	}
	c.checkTransition(s)
	was := c.FullyClosed() && c.state != api.StateClosed
	c.state = s
	c.events |= EventState
	if c.FullyClosed() && !was {
		c.events |= EventClosed | EventRead | EventWrite
		// What is left to read is the reader's from now on. Nothing is added to it
		// any more; and if nobody ever reads it, it is garbage like the rest of
		// the connection, and not a hole in the stack's budget.
		c.uncharge(c.rq.disown())
	}
}

func (c *Conn) drop(r api.DropReason) { c.cfg.Counters.Drops[r]++ }

// charge takes n bytes of the stack's memory for what is received.
func (c *Conn) charge(n int64) bool {
	if c.cfg.Budget != nil && !c.cfg.Budget.Charge(n) {
		return false
	}
	c.rcvCharged += n
	return true
}

func (c *Conn) uncharge(n int64) {
	c.rcvCharged -= n
	if c.cfg.Budget != nil && n != 0 {
		c.cfg.Budget.Release(n)
	}
}

// ReleaseBuffers gives up all that is queued in both directions. It is called
// when the user has dropped an ended connection.
func (c *Conn) ReleaseBuffers() {
	c.releaseSend()
	c.releaseReceive()
}

func (c *Conn) releaseSend() {
	if n := c.sq.clear(); n > 0 && c.cfg.Budget != nil {
		c.cfg.Budget.Release(n)
	}
	c.sb.clear()
}

func (c *Conn) releaseReceive() {
	c.uncharge(c.ooo.clear() + c.rq.clear())
}

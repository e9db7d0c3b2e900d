package tcp

import (
	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/fault"
)

// Conn is one connection. It is not safe for concurrent use.
type Conn struct {
	// User is whoever holds the connection, and Owner who drives it; the machine
	// does not look at them.
	User, Owner any

	// There may be a million of these: fields stand so that nothing is lost between
	// them, and what is seldom needed is behind a pointer.
	cfg            *Shared
	p              *Params
	*rare          // the Shared's usual one until something is in it
	*holes         // the Shared's empty one while there are none
	*lossDetection // the Shared's idle one while nothing is in flight

	pair   Pair
	events Events
	state  api.State
	phase  cc.Phase
	limit  sendLimit

	passive  bool
	v6       bool
	orphan   bool // nobody holds the connection any more
	holdPush bool // more will be written soon: the end of the queue is not the end of a record

	// Of the send sequence space.
	finQueued  bool // CLOSE was called: the FIN's sequence number is sq.end
	finSent    bool
	override   bool // the override timer has expired
	announceUp bool

	// Of the receive sequence space.
	hasRcvFin  bool
	readShut   bool   // CloseRead: discard
	eofRead    bool   // io.EOF has been returned
	unreadLost bool   // data came for an orphan: end with a RST
	synWindow  uint16 // announced by our SYN

	// Acknowledgements.
	ackNow    bool
	tunes     bool // the buffers begin small; from the end of the handshake on
	quickAcks int8

	// What Poll has to send besides data.
	synDue   bool
	rstDue   bool
	probeDue bool // zero-window probe
	kaDue    bool // keepalive probe

	// Retransmission.
	synAmbiguous bool // the SYN or SYN-ACK was sent more than once, by whatever cause (Karn)
	fastStatus   FastOpenStatus
	backoff      uint8 // this and those below saturate
	persistBack  uint8
	synRexmits   uint16
	retries      uint16 // consecutive expiries without progress

	// Options negotiated.
	sackOK, tsOK, scaleOK bool
	hasTSRecent           bool
	sndScale, rcvScale    uint8
	tsRecent, tsOffset    uint32
	announcedMSS          int32

	tm timers

	// Send sequence space (RFC 9293, section 3.3.1), unwrapped.
	iss, sndUna, sndNxt uint64
	sndEdge             uint64 // SND.UNA + SND.WND, as last announced
	sndWl1, sndWl2      uint64
	maxSndWnd           int64
	sq                  sendQueue
	minshall            uint64 // end of the last segment sent that was not full-sized
	noDelayEnd          uint64 // up to here Nagle's algorithm is off (N2)
	pushBase            uint64 // where the present burst begins, for PushEvery

	// Receive sequence space.
	irs, rcvNxt uint64
	rcvEdge     uint64 // the highest right window edge ever announced
	rcvCreep    int64  // how far rounding has moved it since it last moved in earnest
	rcvFin      uint64 // sequence number of the peer's FIN, if known
	rq          recvQueue
	rcvCharged  int64
	ackPending  int64 // bytes received and not acknowledged
	lastAckSent uint64
	tsRecentAt  clock.Time
	tune        *tuneState // from the first data on, if it tunes

	// Sizes.
	rcvMSS, lastSegLen int32 // estimate of the peer's segment size, and what it goes by
	pathMTU, peerMSS   int32
	mss                int64 // effective send MSS: payload of a full segment without SACK blocks

	// Congestion control.
	ctl              cc.Controller
	control          *pace        // nil as long as ctl asks for no pacing
	watch            *packetWatch // nil if the controller does not look at packets
	cwnd             int64
	ssthresh         int64
	recover          uint64 // RFC 6582
	cwndLimited      uint64 // data below were in flight when cwnd was the limit
	maxFlight        int64
	rtt              rttState
	rate             rateState
	reo              reordering
	ecn              ecnState
	progressAt       clock.Time
	lastDataSent     clock.Time // a SYN, at first
	lastDataReceived clock.Time

	fast *fastOpen // while Fast Open is under way

	opened, lastSend, lastRecv clock.Time
	ka                         *keepaliveState // once there was a question
	tw                         *TimeWait       // in TIME-WAIT
	stats                      connStats
}

// controllerEvents are what the controller is handed, again and again.
type controllerEvents struct {
	ack  cc.AckEvent
	cong cc.CongestionEvent
}

// connStats are the counters of Info. Those of what most connections do not meet are
// rareStats.
type connStats struct {
	bytesSent, bytesReceived          uint64
	segsSent, segsReceived            uint64
	dupAcks, outOfOrder, reordered    uint32
	dataSent, dataReceived, delivered uint32 // segments, in 32 bits as tcp_info has them
}

// newConn makes what active and passive connections have in common.
func newConn(now clock.Time, cfg *Config) *Conn {
	sh := cfg.Shared
	if sh == nil {
		sh = NewShared(cfg)
	}
	c := &Conn{
		User: cfg.User, cfg: sh, p: sh.params, pair: PairOf(cfg.Local, cfg.Remote), tsOffset: cfg.TSOffset,
		opened: now, lastRecv: now, lossDetection: &sh.idle, holes: &sh.whole, rare: &sh.usual,
	}
	f := &sh.Flow
	c.v6 = cfg.Remote.Addr().Is6() && !cfg.Remote.Addr().Is4In6()
	c.pathMTU = int32(sh.LinkMTU)
	if cfg.PathMTU > 0 {
		c.pathMTU = int32(min(cfg.PathMTU, sh.LinkMTU))
	}
	c.tm.stopAll()
	c.iss = seqBase | uint64(cfg.ISS)
	c.sndUna, c.sndNxt = c.iss, c.iss
	c.minshall, c.noDelayEnd, c.recover = c.iss, c.iss, c.iss
	c.sq.end = c.iss + 1
	c.announcedMSS = int32(c.ourMSS())
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

// saturate counts one more, unless n is as high as it can be.
func saturate[T uint8 | uint16](n *T) {
	if *n+1 != 0 {
		*n++
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
	c.restLosses()
}

func (c *Conn) releaseReceive() {
	c.uncharge(c.ooo.clear() + c.rq.clear())
}

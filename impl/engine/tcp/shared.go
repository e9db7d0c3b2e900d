package tcp

import (
	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
)

// A Shared is what connections have in common that were made from the same options:
// a stack may have a million of them. It also has what any of them needs only for
// the length of a call, or while it has something in flight, so all those that use
// it must be under one lock.
type Shared struct {
	params            *Params
	Flow              api.FlowConfig // complete; never changed
	LinkMTU           int64
	MaxGSO            int64
	Controller        cc.Factory
	ControllerOptions string
	Rand              interface{ Uint64() uint64 } // seeds the controllers' own
	Budget            Budget
	Counters          *Counters
	name              string // of the controller

	told  controllerEvents
	idle  lossDetection    // of all connections with nothing in flight: never written
	spare []*lossDetection // to be used again

	usual      rare  // of all connections with nothing out of the ordinary: never written
	whole      holes // of all connections without any: never written
	spareHoles []*holes
}

// maxSpareLosses is how many of a Shared's lossDetections are kept to be used again.
const maxSpareLosses = 16

// maxLinkMTU is more than any packet has, and keeps sizes within 32 bits.
const maxLinkMTU = 1 << 30

// NewShared returns what connections that are made from cfg have in common.
func NewShared(cfg *Config) *Shared {
	s := &Shared{
		params: cfg.Params, Flow: cfg.Flow, LinkMTU: cfg.LinkMTU, MaxGSO: cfg.MaxGSO,
		Controller: cfg.Controller, ControllerOptions: cfg.ControllerOptions, Rand: cfg.Rand, Budget: cfg.Budget, Counters: cfg.Counters,
	}
	if s.params == nil || !s.params.complete {
		p := DefaultParams()
		if s.params != nil {
			p = s.params.WithDefaults()
		}
		s.params = &p
	}
	if s.Counters == nil {
		s.Counters = new(Counters)
	}
	f := &s.Flow
	if f.SendBuffer <= 0 {
		f.SendBuffer = defaultBuffer
	}
	if f.ReceiveBuffer <= 0 {
		f.ReceiveBuffer = defaultBuffer
	}
	if f.TTL == 0 {
		f.TTL = defaultTTL
	}
	if s.LinkMTU <= 0 {
		s.LinkMTU = 1500
	}
	s.LinkMTU = min(s.LinkMTU, maxLinkMTU)
	if s.Controller != nil {
		s.name = s.Controller.Name()
	}
	return s
}

// withFlow returns a Shared with other options of flows.
func (s *Shared) withFlow(f *api.FlowConfig) *Shared {
	return &Shared{
		params: s.params, Flow: *f, LinkMTU: s.LinkMTU, MaxGSO: s.MaxGSO,
		Controller: s.Controller, ControllerOptions: s.ControllerOptions, Rand: s.Rand, Budget: s.Budget, Counters: s.Counters, name: s.name,
	}
}

// share makes c use s from now on.
func (c *Conn) share(s *Shared) {
	if c.lossDetection == &c.cfg.idle {
		c.lossDetection = &s.idle
	}
	if c.holes == &c.cfg.whole {
		c.holes = &s.whole
	}
	if c.rare == &c.cfg.usual {
		c.rare = &s.usual
	}
	c.cfg = s
}

// lossDetection is what is known about transmissions that have not been
// acknowledged. A connection has one of its own while there are some; otherwise all
// of a Shared have the idle one, which is empty.
type lossDetection struct {
	sb   scoreboard
	rack rackState
	tlp  tlpState
	undo undoState

	// The newest transmission that the present ACK has delivered.
	newest   txRec
	hasNewer bool

	// Of the present episode.
	rescued       bool
	rtoRestarted  bool // RFC 6582: on the first partial ACK only
	forceRexmit   bool // the first retransmission of an episode does not wait for cwnd
	recoveryPoint uint64
	lastTimeout   uint64 // SND.UNA when the RTO last expired
	dupAcks       int
	renoSacked    int64 // without SACK: bytes that duplicate ACKs stand for
	limitedTx     int64 // sent by limited transmit since the first duplicate ACK
	prr           prrState

	peak    int64  // most in flight in this window, for HalfUsedGrows
	peakEnd uint64 // SND.NXT when that began
}

// holes has what was received out of order, and what is to be told of it. A connection
// has one of its own while there is something.
type holes struct {
	ooo        oooQueue
	sackRecent [4]uint64 // a sequence number in each range changed lately, newest first
	dsack      seqRange  // duplicate to report, if not empty
}

// keepHoles is called before something is put into c.holes.
func (c *Conn) keepHoles() {
	s := c.cfg
	if c.holes != &s.whole {
		return
	}
	if n := len(s.spareHoles); n > 0 {
		c.holes, s.spareHoles[n-1] = s.spareHoles[n-1], nil
		s.spareHoles = s.spareHoles[:n-1]
	} else {
		c.holes = new(holes)
	}
}

// dropHoles is called when an ACK has told what there was to tell.
func (c *Conn) dropHoles() {
	s, h := c.cfg, c.holes
	if h == &s.whole || len(h.ooo.segs) > 0 || h.dsack != (seqRange{}) {
		return
	}
	c.holes = &s.whole
	if len(s.spareHoles) == maxSpareLosses {
		return
	}
	segs, ranges := reuse(h.ooo.segs), reuse(h.ooo.ranges)
	*h = holes{}
	h.ooo.segs, h.ooo.ranges = segs[:0], ranges[:0]
	s.spareHoles = append(s.spareHoles, h)
}

// watchLosses is called before something is sent that will have to be acknowledged.
func (c *Conn) watchLosses() {
	s := c.cfg
	if c.lossDetection != &s.idle {
		return
	}
	if n := len(s.spare); n > 0 {
		c.lossDetection, s.spare[n-1] = s.spare[n-1], nil
		s.spare = s.spare[:n-1]
	} else {
		c.lossDetection = new(lossDetection)
	}
	if c.watch != nil {
		c.sb.onLost = c.watch.lost
	}
}

// restIfQuiet gives the books back when everything has been acknowledged and nothing
// is left in them that a later ACK may ask for.
func (c *Conn) restIfQuiet() {
	if c.phase == cc.Open && c.tlp == (tlpState{}) && !c.undo.active && !c.hasNewer && c.dupAcks == 0 && len(c.sb.ranges) == 0 && len(c.rack.resent) == 0 {
		c.restLosses()
	}
}

// restLosses forgets everything about what is in flight.
func (c *Conn) restLosses() {
	s, l := c.cfg, c.lossDetection
	if l == &s.idle {
		return
	}
	c.lossDetection = &s.idle
	if len(s.spare) == maxSpareLosses {
		return
	}
	recs, ranges, resent := reuseUpTo(l.sb.recs, spareRecs), l.sb.ranges[:0], l.rack.resent[:0]
	if cap(ranges) > 64 {
		ranges = nil
	}
	if cap(resent) > 64 {
		resent = nil
	}
	*l = lossDetection{}
	l.sb.recs, l.sb.ranges, l.rack.resent = recs, ranges, resent
	s.spare = append(s.spare, l)
}

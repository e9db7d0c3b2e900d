package host

import (
	"errors"
	"net/netip"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/fault"
	"github.com/sluicenet/sluice/impl/engine/ip"
	"github.com/sluicenet/sluice/impl/engine/tcp"
)

// A tuple is the key that what belongs to two addresses is found by.
type tuple = tcp.Pair

func tupleOf(local, remote netip.AddrPort) tuple { return tcp.PairOf(local, remote) }

// A phase is how far a connection has come, as the Host accounts for it.
type phase uint8

const (
	dialling phase = iota // active, not established
	open                  // established
)

// An entry is a connection in the table. Its connection knows it: that has it as
// Owner.
type entry struct {
	conn         *tcp.Conn // which has the key
	chain        *entry    // in the lookup
	older, newer *entry
	listener     *listening // that accepted it, or nil
	timer        timer
	pathExpires  clock.Time // when the path MTU is to be tried again; clock.Never if it is the link's
	label        uint32     // IPv6 flow label (RFC 6437)

	events    tcp.Events // to be told
	phase     phase
	loop      bool // to an address of our own
	foreign   bool // the local address is not ours
	fast      bool // it takes a place of the listener's Fast Open
	fragment  bool // the path carries less than our floor: send without DF
	removed   bool // from the table
	inOutput  bool
	inChanged bool
	inReady   bool
}

func entryOf(c *tcp.Conn) *entry {
	e, _ := c.Owner.(*entry)
	return e
}

// config returns what a connection between local and remote is made from, and its
// entry, which is not in the table yet. shared is of all with those options.
func (h *Host) config(now clock.Time, local, remote netip.AddrPort, id *identity, flow *api.FlowConfig, shared *sharing) (*tcp.Config, *entry) {
	e := &entry{
		timer: timer{index: -1}, pathExpires: clock.Never,
		label: id.label, loop: h.routes.IsOwn(remote.Addr()),
	}
	e.timer.owner = e
	name, opts := splitCongestion(flow.Congestion)
	cfg := &tcp.Config{
		Params: h.params, Flow: *flow, Local: local, Remote: remote,
		ISS: id.iss, TSOffset: id.tsOffset,
		LinkMTU: int64(h.cfg.MTU), PathMTU: int64(h.cfg.MTU), MaxGSO: int64(h.cfg.MaxGSO),
		Controller: h.cfg.Controllers[name], ControllerOptions: opts,
		Rand: h.rand, Budget: h.budget, Counters: &h.counters,
	}
	if e.loop {
		cfg.MaxGSO = maxLoopPacket
	} else if p, ok := h.paths.Get(now, remote.Addr()); ok {
		cfg.PathMTU = min(cfg.PathMTU, int64(p.MTU))
		e.fragment, e.pathExpires = p.Fragment, p.Expires
	}
	s := &shared.link
	if e.loop {
		s = &shared.loop
	}
	if *s == nil {
		*s = tcp.NewShared(cfg)
	}
	cfg.Shared = *s
	return cfg, e
}

// A sharing has what connections with the same options share: those over the link,
// and those to addresses of our own.
type sharing struct{ link, loop *tcp.Shared }

// sharingOf returns the sharing of connections that are dialled with flow. Only that
// of the last options is remembered.
func (h *Host) sharingOf(flow *api.FlowConfig) *sharing {
	if f := &h.dialled; f.Congestion == "" || !sameOptions(f, flow) {
		h.dialled, h.dialledShared = *flow, sharing{}
	}
	return &h.dialledShared
}

// sameOptions reports whether two flows have the same options, as far as that can be
// known.
func sameOptions(a, b *api.FlowConfig) bool {
	if a.Keepalive != nil || b.Keepalive != nil || a.Notify != nil || b.Notify != nil {
		return false
	}
	return a.NoDelay == b.NoDelay && a.SendBuffer == b.SendBuffer && a.ReceiveBuffer == b.ReceiveBuffer &&
		a.UserTimeout == b.UserTimeout && a.TTL == b.TTL && a.DSCP == b.DSCP && a.MSS == b.MSS &&
		a.Local == b.Local && a.Congestion == b.Congestion
}

// insert puts a connection into the table.
func (h *Host) insert(e *entry, c *tcp.Conn) {
	e.conn = c
	c.Owner = e
	if len(h.forwardings) > 0 && !h.routes.IsOwn(c.Local().Addr()) {
		e.foreign = true
		h.foreign++
	}
	h.conns.add(e)
	if e.older = h.last; e.older != nil {
		e.older.newer = e
	} else {
		h.first = e
	}
	h.last = e
	h.touch(e)
}

// remove takes a connection out of the table. It may still have events to tell.
func (h *Host) remove(e *entry) {
	if e.removed {
		return
	}
	e.removed = true
	if e.foreign {
		h.foreign--
	}
	if !fault.On("flows-uncounted") {
		h.budget.flows.Add(-1)
	}
	h.conns.remove(e)
	if e.older != nil {
		e.older.newer = e.newer
	} else {
		h.first = e.newer
	}
	if e.newer != nil {
		e.newer.older = e.older
	} else {
		h.last = e.older
	}
	e.older, e.newer = nil, nil
	h.disarm(&e.timer)
}

// collect takes the events of a connection, and keeps the books.
func (h *Host) collect(e *entry) {
	ev := e.conn.TakeEvents()
	if ev == 0 && e.phase == open {
		return
	}
	if e.phase == dialling && !e.removed {
		switch {
		case ev&tcp.EventEstablished != 0:
			e.phase = open
			h.stats.Opened++
		case e.conn.Gone():
			e.phase = open // count it once
			if errors.Is(e.conn.CloseReason(), api.ErrRefused) {
				h.stats.Refused++
			} else {
				h.stats.Failed++
			}
		}
	}
	if ev != 0 {
		h.tell(e, ev)
	}
}

// settle looks at what has become of a connection that has nothing more to send.
func (h *Host) settle(now clock.Time, e *entry) {
	h.collect(e)
	h.settleFast(now, e)
	switch {
	case e.removed:
	case e.conn.Gone():
		h.remove(e)
	case e.conn.State() == api.StateTimeWait:
		h.enterTimeWait(now, e)
	default:
		h.arm(&e.timer, min(e.conn.Deadline(), e.pathExpires))
	}
}

// finish settles a connection that has ended, ahead of its turn, because its pair
// of addresses is needed: what it still has to send goes to the replies.
func (h *Host) finish(now clock.Time, e *entry) {
	for h.replies.len() < maxReplies && e.conn.Poll(now, &h.out) {
		h.replyTCP(e.conn.Local(), e.conn.Remote(), &h.out, e)
	}
	h.settle(now, e)
}

// ended reports whether e's connection is to leave the table.
func ended(e *entry) bool { return e.conn.Gone() || e.conn.State() == api.StateTimeWait }

// due implements timed.
func (e *entry) due(h *Host, now clock.Time) {
	again := clock.Never
	if e.pathExpires <= now {
		// RFC 8201, section 4: try the whole link again.
		e.pathExpires, e.fragment = clock.Never, false
		e.conn.SetPathMTU(now, int64(h.cfg.MTU))
		h.touch(e)
	}
	if d := e.conn.Deadline(); d <= now {
		e.conn.Timeout(now)
		h.touch(e) // and settle will arm the timer
	} else {
		again = d
	}
	h.arm(&e.timer, min(again, e.pathExpires))
}

// Dial opens a connection. local is complete: its port was chosen by the caller,
// with Ports. It fails with api.ErrPortInUse if the pair of addresses is taken
// and its TIME-WAIT cannot be reused safely, and with api.ErrNoMemory if the
// stack is at its limits. Other errors are those of Resolve and Route. cfg may be
// nil.
func (h *Host) Dial(now clock.Time, local, remote netip.AddrPort, cfg *api.FlowConfig, user any) (*tcp.Conn, error) {
	if fault.On("fast-open-unasked") {
		return h.DialFast(now, local, remote, cfg, user, false)
	}
	return h.dial(now, local, remote, cfg, user, nil)
}

// DialFast is Dial with Fast Open: what is written before the next Poll goes with the
// SYN as far as that is possible. Where it is not, the SYN asks the server for a cookie.
// noCookie is for who trusts the server to take data without one.
func (h *Host) DialFast(now clock.Time, local, remote netip.AddrPort, cfg *api.FlowConfig, user any, noCookie bool) (*tcp.Conn, error) {
	return h.dial(now, local, remote, cfg, user, &tcp.FastOpenDial{NoOption: noCookie})
}

func (h *Host) dial(now clock.Time, local, remote netip.AddrPort, cfg *api.FlowConfig, user any, fast *tcp.FastOpenDial) (*tcp.Conn, error) {
	flow, err := h.Resolve(cfg)
	if err != nil {
		return nil, err
	}
	remote = netip.AddrPortFrom(remote.Addr().Unmap().WithZone(""), remote.Port())
	if fault.On("connection-pair-reused") {
		pair := tupleOf(local, remote)
		if e := h.conns.get(&pair); e != nil {
			h.remove(e)
		}
	}
	src, err := h.Route(remote.Addr(), local.Addr())
	if err != nil {
		return nil, err
	}
	local = netip.AddrPortFrom(src, local.Port())
	if local.Port() == 0 || remote.Port() == 0 {
		return nil, api.ErrInvalidAddress
	}
	id := h.identify(now, local, remote)
	key := id.key
	if e := h.conns.get(&key); e != nil && ended(e) {
		h.finish(now, e)
	}
	if h.conns.get(&key) != nil || h.halfOpens.get(&key) != nil {
		return nil, api.ErrPortInUse
	}
	old := h.timeWait.get(&key)
	if old != nil && now.Sub(old.record.Since()) < timeWaitReuse {
		return nil, api.ErrPortInUse
	}
	if h.budget.full() || !h.budget.takeFlow() {
		return nil, api.ErrNoMemory
	}
	if old != nil {
		id.iss = h.issAfter(id.iss, old.record.MinISS())
	}
	c, e := h.config(now, local, remote, &id, &flow, h.sharingOf(&flow))
	c.User = user
	if fast != nil {
		*fast = h.fastDial(now, local, remote, fast.NoOption)
		c.FastOpen = fast
	}
	conn, err := tcp.NewActive(now, c)
	if err != nil {
		h.budget.flows.Add(-1)
		return nil, err
	}
	conn.User = user
	if old != nil {
		h.forget(old)
	}
	h.insert(e, conn)
	return conn, nil
}

// learnPathMTU keeps what an ICMP error has said and e's connection has believed.
func (h *Host) learnPathMTU(now clock.Time, e *entry, p ip.PathMTU) {
	p = h.paths.Set(now, e.conn.Remote().Addr(), p)
	e.fragment, e.pathExpires = p.Fragment, p.Expires
	h.arm(&e.timer, p.Expires)
}

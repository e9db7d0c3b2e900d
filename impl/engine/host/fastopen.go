package host

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/fault"
	"github.com/sluicenet/sluice/impl/engine/tcp"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// ---- server ----

// FastOpen says how a listener takes part in Fast Open (RFC 7413).
type FastOpen struct {
	// Pending bounds the connections that were opened by a SYN with a cookie and whose
	// handshake is not complete (section 5.1); beyond, a cookie does not help. 0:
	// the listener has no Fast Open.
	Pending int

	NoCookie bool              // data are taken from any SYN, like Params.FastOpen.ServerWithoutCookie
	Keys     []tcp.FastOpenKey // in place of those of the stack
}

// fastListener is what a listener has of Fast Open.
type fastListener struct {
	config  atomic.Pointer[FastOpen]
	pending atomic.Int64
}

// SetFastOpen changes how l takes part in Fast Open. It may be called at any time.
func (l *Listener) SetFastOpen(f FastOpen) { l.fast.config.Store(&f) }

// FastPending returns how many places of Pending are taken.
func (l *Listener) FastPending() int64 { return l.fast.pending.Load() }

// resetHold is for how long a connection that a reset has ended still takes a place.
// Section 5.1: who forges addresses makes their owners send resets, and could go on
// without a bound if those made room.
const resetHold = 60 * time.Second

// fastResets are the places that will be free when resetHold is over, in that order.
type fastResets struct {
	timer timer
	held  fifo[fastReset]
}

type fastReset struct {
	at       clock.Time
	listener *Listener
}

// due implements timed.
func (f *fastResets) due(h *Host, now clock.Time) {
	for f.held.len() > 0 {
		if at := f.held.s[f.held.head].at; at > now {
			h.arm(&f.timer, at)
			return
		}
		f.held.pop().listener.fast.pending.Add(-1)
	}
}

// freeFast gives a place of l back.
func (h *Host) freeFast(now clock.Time, l *Listener, reset bool) {
	if !reset || fault.On("fast-open-reset-frees") {
		l.fast.pending.Add(-1)
		return
	}
	f := &h.fastResets
	r := fastReset{now.Add(resetHold), l}
	if f.held.len() == 0 {
		f.timer = timer{owner: f, index: -1}
		h.arm(&f.timer, r.at)
	}
	f.held.push(r)
}

// keyLife is how long a key makes new cookies that follows from the stack's secret. Those
// of the one before are good, too.
const keyLife = 24 * time.Hour

// fastOpenKeys returns the keys of l, the first of which makes cookies.
func (h *Host) fastOpenKeys(now clock.Time, f *FastOpen) []tcp.FastOpenKey {
	switch {
	case len(f.Keys) > 0:
		return f.Keys
	case len(h.params.FastOpen.Keys) > 0:
		return h.params.FastOpen.Keys
	}
	period := uint64(now / clock.Time(keyLife))
	keys := make([]tcp.FastOpenKey, 0, 2)
	for range 2 {
		s := derive(&h.cfg.Secret, purposeFastOpen, period)
		keys = append(keys, tcp.FastOpenKey{s.long(0), s.long(1)})
		if period == 0 {
			break
		}
		period--
	}
	return keys
}

// fastOpen looks at what a SYN for l has of Fast Open. done says that it has opened a
// connection; otherwise fresh is for the SYN-ACK.
func (h *Host) fastOpen(now clock.Time, l *listening, w *timeWait, id *identity, local, remote netip.AddrPort, s *tcp.Segment) (fresh wire.FastOpenOption, done bool) {
	o := &s.TCP.Options.FastOpen
	f := l.fast.config.Load()
	if fault.On("fast-open-everywhere") {
		f = &FastOpen{Pending: 10}
	}
	if !h.params.FastOpen.Server || f == nil || f.Pending <= 0 || !o.Present && s.Len == 0 {
		return fresh, false
	}
	fresh.Experimental = o.Experimental
	valid := f.NoCookie || h.params.FastOpen.ServerWithoutCookie
	if !valid {
		if !o.Present {
			return fresh, false
		}
		first := true
		var best wire.Cookie
		for _, k := range h.fastOpenKeys(now, f) {
			c := k.Cookie(local.Addr(), remote.Addr())
			if first {
				best = c
			}
			if c == o.Cookie || fault.On("fast-open-any-cookie") && o.Cookie.Len > 0 {
				valid = true
				break
			}
			first = false
		}
		// A new one for who has none, or one that is not or will not be good.
		if fresh.Cookie = best; !valid || !first {
			fresh.Present = !fault.On("fast-open-cookie-not-given")
		}
	}
	limit := int64(f.Pending)
	if fault.On("fast-open-unbounded") {
		limit = 1 << 40
	}
	if !take(&l.fast.pending, 1, limit, 0) {
		return wire.FastOpenOption{}, false // section 4.2.2, (2): the plain handshake
	}
	if !valid || !h.takePlaces(l) {
		l.fast.pending.Add(-1)
		return fresh, false
	}
	if w != nil {
		id.iss = h.issAfter(id.iss, w.record.MinISS())
		h.forget(w)
	}
	cfg, e := h.config(now, local, remote, id, h.optionsOf(l.Listener), &l.shared)
	conn, err := tcp.NewFastOpen(now, cfg, s, fresh)
	if err != nil { // a factory that has changed its mind
		l.unfinished.Add(-1)
		h.budget.flows.Add(-1)
		l.fast.pending.Add(-1)
		return fresh, false
	}
	h.counters.SegmentsIn-- // the connection counts it again
	e.listener, e.phase, e.fast = l, open, true
	h.insert(e, conn)
	h.stats.Accepted++
	h.stats.FastAccepted++
	return fresh, true
}

// settleFast looks at what a connection has learnt about Fast Open, and whether it still
// takes a place of its listener's.
func (h *Host) settleFast(now clock.Time, e *entry) {
	if e.fast && !e.conn.FastOpening() {
		e.fast = false
		h.freeFast(now, e.listener.Listener, e.conn.CloseReason() == api.ErrReset)
	}
	if o, ok := e.conn.TakeFastOpen(); ok {
		h.learnFastOpen(now, e.conn, o)
	}
}

// learnFastOpen is apart from settleFast because its o is on the heap.
func (h *Host) learnFastOpen(now clock.Time, c *tcp.Conn, o tcp.FastOpenOutcome) {
	h.cfg.Servers.Use(func(f *FastOpenServers) { f.learn(now, &h.params.FastOpen, c.Local(), c.Remote(), &o) })
	if o.Established && c.FastOpenStatus() == tcp.FastOpenAccepted {
		h.stats.FastOpened++
	}
}

// ---- client ----

// A FastOpenMemory lets a Host use what is known about servers. That of a stack is shared
// by its Hosts, and sees to it that they use it one at a time.
type FastOpenMemory interface {
	Use(f func(*FastOpenServers))
}

// FastOpenServers is what is known about the servers that were dialled with Fast Open. It is
// not safe for concurrent use.
type FastOpenServers struct {
	known  map[addrPair]serverCookie
	quiet  map[portPath]clock.Time // until when a path is left alone
	order  []addrPair              // as they were learnt; may have some that are forgotten, or twice
	quiets []portPath
	paused clock.Time
	pauses int // in a row
}

// A cookie is good for a pair of addresses, whatever the ports (section 4.1.3).
type addrPair struct{ local, remote netip.Addr }

// What fails may do so for one port only (section 4.1.3.1).
type portPath struct {
	addrPair
	port uint16
}

type serverCookie struct {
	cookie       wire.Cookie
	mss          int64
	experimental bool
	tried        uint8 // requests that got no cookie: 1 by the option of kind 34, 2 by both
}

// Bounds on what is remembered: what was learnt first is forgotten first.
const (
	maxFastServers = 4096
	maxQuietPaths  = 4096

	defaultQuiet = time.Hour
	maxPauses    = 6 // doublings
)

// Use implements FastOpenMemory, for who is alone.
func (f *FastOpenServers) Use(do func(*FastOpenServers)) { do(f) }

// fastDial returns what a connection is to do that is opened with data.
func (h *Host) fastDial(now clock.Time, local, remote netip.AddrPort, noCookie bool) (d tcp.FastOpenDial) {
	h.cfg.Servers.Use(func(f *FastOpenServers) { d = f.dial(now, &h.params.FastOpen, local, remote, noCookie) })
	return d
}

// dial returns what a connection is to do that is opened with data.
func (f *FastOpenServers) dial(now clock.Time, p *tcp.FastOpenParams, local, remote netip.AddrPort, noCookie bool) (d tcp.FastOpenDial) {
	pair := addrPair{local.Addr(), remote.Addr()}
	k := f.known[pair]
	d.MSS, d.Cookie, d.Experimental = k.mss, k.cookie, k.experimental
	if k.cookie.Len == 0 && p.TryExperimental && k.tried == 1 {
		d.Experimental = true
	}
	d.NoOption = noCookie || p.ClientWithoutCookie
	until, quiet := f.quiet[portPath{pair, remote.Port()}]
	d.Off = !p.Client || quiet && now < until || now < f.paused
	return d
}

// learn takes in what has become of Fast Open to remote.
func (f *FastOpenServers) learn(now clock.Time, p *tcp.FastOpenParams, local, remote netip.AddrPort, o *tcp.FastOpenOutcome) {
	pair := addrPair{local.Addr(), remote.Addr()}
	if o.Established {
		k, had := f.known[pair]
		if o.MSS > 0 {
			k.mss = o.MSS
		}
		switch {
		case o.Cookie.Len > 0:
			k.cookie, k.experimental, k.tried = o.Cookie, o.Experimental, 0
		case o.Unanswered && k.cookie.Len == 0:
			k.tried = min(k.tried+1, 2)
		}
		if !had {
			f.makeRoom()
			f.order = append(f.order, pair)
		}
		f.known[pair] = k
	}
	if path := (portPath{pair, remote.Port()}); o.Failed || o.Unanswered {
		f.leaveAlone(now, p, path)
	} else if o.Established && o.Cookie.Len > 0 {
		delete(f.quiet, path)
	}
	switch {
	case o.Blackhole && p.Pause > 0:
		f.paused = max(f.paused, now.Add(p.Pause<<min(f.pauses, maxPauses)))
		f.pauses++
	case o.Transferred:
		f.pauses = 0
	}
}

func (f *FastOpenServers) makeRoom() {
	if f.known == nil {
		f.known = make(map[addrPair]serverCookie)
	}
	if len(f.known) >= maxFastServers && len(f.order) > 0 {
		delete(f.known, f.order[0])
		f.order = f.order[1:]
	}
}

// leaveAlone remembers that Fast Open is not to be tried on a path for a while.
func (f *FastOpenServers) leaveAlone(now clock.Time, p *tcp.FastOpenParams, path portPath) {
	d := p.Quiet
	if d == 0 {
		d = defaultQuiet
	}
	if d < 0 {
		return
	}
	if f.quiet == nil {
		f.quiet = make(map[portPath]clock.Time)
	}
	if _, had := f.quiet[path]; !had {
		for len(f.quiets) >= maxQuietPaths {
			delete(f.quiet, f.quiets[0])
			f.quiets = f.quiets[1:]
		}
		f.quiets = append(f.quiets, path)
	}
	f.quiet[path] = now.Add(d)
}

// SynData returns how many bytes a connection from local, without regard to its
// port, to remote could send with its SYN now, and whether it would do so.
func (h *Host) SynData(now clock.Time, local netip.Addr, remote netip.AddrPort, flow *api.FlowConfig, noCookie bool) (n int64, ok bool) {
	remote = netip.AddrPortFrom(remote.Addr().Unmap().WithZone(""), remote.Port())
	src, err := h.Route(remote.Addr(), local)
	if err != nil {
		return 0, false
	}
	d := h.fastDial(now, netip.AddrPortFrom(src, 0), remote, noCookie)
	if d.Off || d.Cookie.Len == 0 && !d.NoOption {
		return 0, false
	}
	mtu, mss := int64(h.cfg.MTU), int64(0)
	if p, known := h.paths.Get(now, remote.Addr()); known {
		mtu = min(mtu, int64(p.MTU))
	}
	if flow != nil {
		mss = int64(flow.MSS)
	}
	return tcp.SynData(remote.Addr().Is6(), d.MSS, mtu, mss), true
}

package host

import (
	"net/netip"
	"sync/atomic"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/fault"
	"github.com/sluicenet/sluice/impl/engine/tcp"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// Defaults of listeners.
const (
	defaultBacklog  = 128
	defaultHalfOpen = 256
)

// A Listener accepts connections to one port. One value is registered with
// every Host of a stack; its counters bound them together.
type Listener struct {
	Port     uint16
	Address  netip.Addr // zero: any
	Flow     api.FlowConfig
	Backlog  int64 // handlers not returned; 0: 128
	HalfOpen int64 // connections in SYN-RECEIVED; 0: 256
	User     any   // the engine's listener

	unfinished, halfOpen atomic.Int64
	fast                 fastListener
}

// Finished says that a handler has returned. The Host counted it when the
// connection was established.
func (l *Listener) Finished() { l.unfinished.Add(-1) }

// listening is a Listener as one Host has it.
type listening struct {
	*Listener
	responder *tcp.Responder
	shared    sharing
	lanes     []lane // its part of the SYN queue
	queued    int    // how many those are
	timer     timer  // of the first in any lane

	before *listening // has half-open connections from before SetParams

	overflowed bool // a cookie was sent because there was no place
	overflowAt clock.Time
}

// Listen registers l; Unlisten removes it, and resets its half-open connections.
// That no port has two listeners is the caller's care.
func (h *Host) Listen(l *Listener) {
	h.listeners[l.Port] = h.newListening(l, nil)
	if fault.On("listen-resets-connections") {
		for e := h.first; e != nil; e = e.newer {
			if e.conn.Local().Port() == l.Port {
				e.conn.Abort(0, api.ErrAborted)
				h.touch(e)
			}
		}
	}
}

// newListening returns what this Host needs to answer SYNs for l by its parameters.
// before, if not nil, did so by others.
func (h *Host) newListening(l *Listener, before *listening) *listening {
	ln := &listening{Listener: l, timer: timer{index: -1}}
	ln.timer.owner = ln
	flow := h.optionsOf(l)
	name, opts := splitCongestion(flow.Congestion)
	ln.responder = tcp.NewResponder(0, &tcp.Config{
		Params: h.params, Flow: *flow, LinkMTU: int64(h.cfg.MTU),
		Controller: h.cfg.Controllers[name], ControllerOptions: opts,
		Rand: constRand{}, Counters: &h.counters,
	})
	ln.lanes = make([]lane, ln.responder.MaxSynAcks())
	if before != nil {
		ln.overflowed, ln.overflowAt = before.overflowed, before.overflowAt
	}
	for before != nil && before.queued == 0 {
		before = before.before
	}
	ln.before = before
	return ln
}

// optionsOf returns the options of the flows that l accepts.
func (h *Host) optionsOf(l *Listener) *api.FlowConfig {
	if fault.On("listener-options-ignored") {
		return &h.flow
	}
	return &l.Flow
}

// Unlisten undoes Listen. Connections that were established live on.
func (h *Host) Unlisten(now clock.Time, l *Listener) {
	ln := h.listeners[l.Port]
	if ln == nil || ln.Listener != l {
		return
	}
	if fault.On("unlisten-ignored") {
		return
	}
	if fault.On("unlisten-resets-flows") {
		for e := h.first; e != nil; e = e.newer {
			if e.conn.Local().Port() == l.Port {
				e.conn.Abort(now, api.ErrAborted)
				h.touch(e)
			}
		}
	}
	delete(h.listeners, l.Port)
	h.abortHalfOpens(now, ln)
}

// abortHalfOpens resets the half-open connections of ln.
func (h *Host) abortHalfOpens(now clock.Time, ln *listening) {
	for ; ln != nil; ln = ln.before {
		for i := range ln.lanes {
			for q := ln.lanes[i].first; q != nil; q = ln.lanes[i].first {
				if !h.like().QuietHalfOpen {
					ln.responder.Abort(now, &q.state, &h.out)
					h.replyHalfOpen(q)
				}
				h.dequeue(q)
			}
		}
	}
}

// listen takes in a segment for a listener, in the state LISTEN (RFC 9293,
// section 3.10.7.2). w, if not nil, is the record in TIME-WAIT whose place a SYN
// may take.
func (h *Host) listen(now clock.Time, l *listening, w *timeWait, local, remote netip.AddrPort, s *tcp.Segment) {
	if fault.On("listen-without-syn") {
		s.TCP.Flags |= wire.SYN
		s.TCP.Flags &^= wire.ACK | wire.FIN
	}
	if fault.On("listen-answers-reset") && s.TCP.Flags&wire.RST != 0 {
		s.TCP.Flags &^= wire.RST
	}
	if fault.On("listen-ack-silent") && s.TCP.Flags&wire.ACK != 0 {
		return
	}
	switch flags := s.TCP.Flags; {
	case flags&wire.RST != 0: // first
		h.drop(api.DropReset)
		return
	case flags&wire.ACK != 0: // second
		if flags&wire.SYN != 0 || !h.takeCookie(now, l, local, remote, s) {
			h.reset(now, api.DropNoListener, local, remote, s)
		}
		return
	case flags&wire.SYN == 0: // fourth
		h.drop(api.DropNoAck)
		return
	case flags&wire.FIN != 0 && h.like().SynWithFin:
		s.TCP.Flags &^= wire.FIN
	case flags&wire.FIN != 0:
		// No honest opener closes in the same breath.
		h.drop(api.DropSyn)
		return
	}
	if full(&l.unfinished, l.Backlog, defaultBacklog) {
		h.drop(api.DropAcceptQueue)
		return
	}
	if h.budget.full() {
		h.drop(api.DropMemory)
		return
	}
	id := h.identify(now, local, remote)
	fresh, done := h.fastOpen(now, l, w, &id, local, remote, s)
	if done {
		return
	}
	loop := h.routes.IsOwn(remote.Addr())
	if w == nil && h.wantsCookie(now, l) && l.responder.Cookie(now, &id.cookie, id.tsOffset, remote.Addr().Is6(), &s.TCP, &h.out) {
		h.stats.CookiesSent++
		h.out.TCP.Options.FastOpen = fresh
		e := entry{label: id.label, loop: loop}
		h.replyTCP(local, remote, &h.out, &e)
		return
	}
	h.makeRoom(l)
	if w != nil { // its successor's ISS must lie beyond, which a cookie does not
		id.iss = h.issAfter(id.iss, w.record.MinISS())
		h.forget(w)
	}
	q := h.enqueue(l, &id, loop)
	q.state = l.responder.Open(now, id.iss, id.tsOffset, remote.Addr().Is6(), &s.TCP, &h.out)
	h.arm(&l.timer, l.responder.Deadline(&q.state))
	h.out.TCP.Options.FastOpen = fresh // not when it is sent again (RFC 7413, section 4.2.1)
	h.replyHalfOpen(q)
}

package host

import (
	"net/netip"
	"sync/atomic"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
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
}

// Finished says that a handler has returned. The Host counted it when the
// connection was established.
func (l *Listener) Finished() { l.unfinished.Add(-1) }

// listening is a Listener as one Host has it.
type listening struct {
	*Listener
	responder *tcp.Responder
	shared    sharing
	lanes     [tcp.MaxSynAcks]lane // its part of the SYN queue
	queued    int                  // how many those are
	timer     timer                // of the first in any lane

	overflowed bool // a cookie was sent because there was no place
	overflowAt clock.Time
}

// Listen registers l; Unlisten removes it, and resets its half-open connections.
// That no port has two listeners is the caller's care.
func (h *Host) Listen(l *Listener) {
	ln := &listening{Listener: l, timer: timer{index: -1}}
	ln.timer.owner = ln
	name, opts := splitCongestion(l.Flow.Congestion)
	ln.responder = tcp.NewResponder(0, &tcp.Config{
		Params: &h.cfg.Params, Flow: l.Flow, LinkMTU: int64(h.cfg.MTU),
		Controller: h.cfg.Controllers[name], ControllerOptions: opts,
		Rand: constRand{}, Counters: &h.counters,
	})
	h.listeners[l.Port] = ln
}

// Unlisten undoes Listen. Connections that were established live on.
func (h *Host) Unlisten(now clock.Time, l *Listener) {
	ln := h.listeners[l.Port]
	if ln == nil || ln.Listener != l {
		return
	}
	delete(h.listeners, l.Port)
	for i := range ln.lanes {
		for q := ln.lanes[i].first; q != nil; q = ln.lanes[i].first {
			ln.responder.Abort(now, &q.state, &h.out)
			h.replyHalfOpen(q)
			h.dequeue(q)
		}
	}
}

// listen takes in a segment for a listener, in the state LISTEN (RFC 9293,
// section 3.10.7.2). w, if not nil, is the record in TIME-WAIT whose place a SYN
// may take.
func (h *Host) listen(now clock.Time, l *listening, w *timeWait, local, remote netip.AddrPort, s *tcp.Segment) {
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
	loop := h.routes.IsOwn(remote.Addr())
	if w == nil && h.wantsCookie(now, l) && l.responder.Cookie(now, &id.cookie, id.tsOffset, remote.Addr().Is6(), &s.TCP, &h.out) {
		h.stats.CookiesSent++
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
	h.replyHalfOpen(q)
}

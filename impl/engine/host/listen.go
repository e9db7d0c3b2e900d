package host

import (
	"container/list"
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
}

// Finished says that a handler has returned. The Host counted it when the
// connection was established.
func (l *Listener) Finished() { l.unfinished.Add(-1) }

// listening is a Listener as one Host has it.
type listening struct {
	*Listener
	queue list.List // of *entry: its part of the SYN queue, oldest first
}

// Listen registers l; Unlisten removes it, and resets its half-open connections.
// That no port has two listeners is the caller's care.
func (h *Host) Listen(l *Listener) {
	h.listeners[l.Port] = &listening{Listener: l}
	if fault.On("listen-resets-connections") {
		for _, e := range h.conns {
			if e.conn.Local().Port() == l.Port {
				e.conn.Abort(0, api.ErrAborted)
				h.touch(e)
			}
		}
	}
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
		for _, e := range h.conns {
			if e.conn.Local().Port() == l.Port {
				e.conn.Abort(now, api.ErrAborted)
				h.touch(e)
			}
		}
	}
	delete(h.listeners, l.Port)
	for el := ln.queue.Front(); el != nil; el = el.Next() {
		e := el.Value.(*entry)
		e.conn.Abort(now, api.ErrAborted)
		h.touch(e)
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
		h.reset(now, local, remote, s)
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
	h.makeRoom(now, l)
	flow := &l.Flow
	if fault.On("listener-options-ignored") {
		flow = &h.flow
	}
	c, e := h.config(now, local, remote, flow)
	if w != nil {
		c.ISS = h.issAfter(c.ISS, w.record.MinISS())
	}
	conn, err := tcp.NewPassive(now, c, s)
	s.Payload = nil
	if err != nil {
		l.halfOpen.Add(-1)
		h.budget.halfOpen.Add(-1)
		h.drop(api.DropMemory)
		return
	}
	if w != nil {
		h.forget(w)
	}
	e.listener, e.phase = l, halfOpen
	e.inListener = l.queue.PushBack(e)
	e.inQueue = h.halfOpen.PushBack(e)
	h.insert(e, conn)
}

// makeRoom takes a place in the SYN queue: of the listener and of the stack. At a
// limit the oldest half-open connection of the same listener, or failing that of
// any, gives up its own without a word. During a flood that leaves everyone, honest
// or not, the time in which the queue turns over once; to drop the newcomers
// instead would keep the queue full of the dead until their SYN-ACKs have been
// repeated for the last time. Only this shard's part of the queue can be evicted;
// where that is empty, the newcomer gets a place beyond the limit, so that no
// shard is locked out. That is at most one place for each shard.
func (h *Host) makeRoom(now clock.Time, l *listening) {
	for !take(&l.halfOpen, 1, l.HalfOpen, defaultHalfOpen) && !fault.On("half-open-unbounded") {
		if !h.evict(now, &l.queue) {
			l.halfOpen.Add(1)
			break
		}
	}
	for !h.budget.takeHalfOpen() {
		if !h.evict(now, &l.queue) && !h.evict(now, &h.halfOpen) {
			h.budget.halfOpen.Add(1)
			break
		}
	}
}

// evict forgets the oldest of a queue of half-open connections.
func (h *Host) evict(now clock.Time, queue *list.List) bool {
	el := queue.Front()
	if el == nil {
		return false
	}
	e := el.Value.(*entry)
	h.drop(api.DropSynQueue)
	h.discard(now, e)
	return true
}

// discard forgets a half-open connection, of which nobody knows, without a word to
// the peer.
func (h *Host) discard(now clock.Time, e *entry) {
	e.conn.Abort(now, api.ErrAborted)
	e.conn.ReleaseBuffers()
	h.remove(e)
}

// unqueue takes a connection out of the SYN queue, if it is there.
func (h *Host) unqueue(e *entry) {
	if e.inQueue == nil {
		return
	}
	h.halfOpen.Remove(e.inQueue)
	e.listener.queue.Remove(e.inListener)
	e.inQueue, e.inListener = nil, nil
	e.listener.halfOpen.Add(-1)
	h.budget.halfOpen.Add(-1)
}

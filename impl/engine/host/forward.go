package host

import (
	"net/netip"
	"sync/atomic"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/ip"
	"github.com/sluicenet/sluice/impl/engine/tcp"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// DefaultPending is how many requests of one Forwarding may be under way.
const DefaultPending = 1024

// A Forwarding takes connections to addresses that are not the host's own, each
// after it has been asked for. One value is registered with every Host of a stack;
// its counters bound them together.
type Forwarding struct {
	Listener // its Flow and User; the rest is not used
	Prefixes []netip.Prefix
	Pending  int64 // requests of which Finished was not called; 0: DefaultPending

	pending atomic.Int64
	towards [pendingClasses]atomic.Int64 // of pending, by a hash of the destination
}

// One destination, or those few that share its class, may have a quarter of the
// places: handlers that wait for a host that is down must not keep all others waiting.
const (
	pendingClasses      = 256
	pendingShareOfClass = 4
)

func (f *Forwarding) limit() int64 {
	if f.Pending == 0 {
		return DefaultPending
	}
	return f.Pending
}

// take takes a place for a request to dst of the given class.
func (f *Forwarding) take(class uint8) bool {
	limit := f.limit()
	if !take(&f.towards[class], 1, max(limit/pendingShareOfClass, 1), 0) {
		return false
	}
	if !take(&f.pending, 1, limit, 0) {
		f.towards[class].Add(-1)
		return false
	}
	return true
}

// Finished says that nobody looks after a request any more: its place is free.
func (r *Request) Finished() {
	r.Forwarding.pending.Add(-1)
	r.Forwarding.towards[r.class].Add(-1)
}

// longest returns the length of the longest prefix that contains a, or -1.
func (f *Forwarding) longest(a netip.Addr) int {
	n := -1
	for _, p := range f.Prefixes {
		if p.Bits() > n && p.Contains(a) {
			n = p.Bits()
		}
	}
	return n
}

// forwarding is a Forwarding as one Host has it.
type forwarding struct {
	*Forwarding
	listening *listening // for the handshakes of what has been accepted
}

// requestState is how far a Request has come.
type requestState uint8

const (
	requestAsked    requestState = iota // in the table, without an answer
	requestAccepted                     // the handshake is under way, or complete
	requestOver
)

// A Request is a SYN that waits for an answer. Half a kilobyte at most, and no
// more of them than the Forwarding's Pending: a flood cannot take more.
type Request struct {
	Local, Remote netip.AddrPort
	Forwarding    *Forwarding
	User          any // the engine's

	key   tuple
	chain *Request // in the lookup
	f     *forwarding
	syn   wire.TCP
	state requestState
	class uint8 // of the destination
	told  bool  // NextRequest has returned it once

	ended, timedOut bool // by the peer, or because the handshake failed
}

// Ended reports whether a request that NextRequest has returned came to an end
// without its owner: the peer has taken it back, or the handshake has failed.
func (r *Request) Ended() bool { return r.ended }

// Reason is why a request has Ended: api.ErrReset or api.ErrTimeout.
func (r *Request) Reason() error {
	if r.timedOut {
		return api.ErrTimeout
	}
	return api.ErrReset
}

// Forward registers f; StopForwarding removes it.
func (h *Host) Forward(f *Forwarding) {
	f.Listener.HalfOpen = f.limit()
	f.Listener.Backlog = 1 << 62 // Pending bounds it
	h.forwardings = append(h.forwardings, &forwarding{f, h.newListening(&f.Listener, nil)})
}

// StopForwarding undoes Forward. What waits for an answer or for the end of its
// handshake ends; connections live on.
func (h *Host) StopForwarding(now clock.Time, f *Forwarding) {
	for i, fw := range h.forwardings {
		if fw.Forwarding != f {
			continue
		}
		h.forwardings = append(h.forwardings[:i:i], h.forwardings[i+1:]...)
		h.abortHalfOpens(now, fw.listening)
		for _, r := range h.requests.all() {
			if r.f == fw {
				h.endRequest(r)
			}
		}
		return
	}
}

// forwardingOf returns who takes connections to a, or nil.
func (h *Host) forwardingOf(a netip.Addr) *forwarding {
	var best *forwarding
	most := -1
	for _, f := range h.forwardings {
		if n := f.longest(a); n > most {
			best, most = f, n
		}
	}
	return best
}

// forwards reports whether a packet that is not for an address of ours is taken
// all the same: segments to forwarded addresses, and ICMP errors about ours from them.
func (h *Host) forwards(pkt *ip.Packet) bool {
	switch {
	case len(h.forwardings) == 0 && h.foreign == 0:
		return false
	case pkt.Proto != wire.ProtoTCP && pkt.Proto != wire.ProtoICMP && pkt.Proto != wire.ProtoICMPv6:
		return false
	case ip.Martian(pkt.Dst) || h.routes.IsBroadcast(pkt.Dst):
		return false
	}
	// After the end of the forwarding, flows live on.
	return h.foreign > 0 || h.forwardingOf(pkt.Dst) != nil
}

// ask takes in a segment for no connection, to a forwarded address. It is LISTEN
// (RFC 9293, section 3.10.7.2), but that somebody decides.
func (h *Host) ask(now clock.Time, f *forwarding, local, remote netip.AddrPort, s *tcp.Segment) {
	key := tupleOf(local, remote)
	r := h.requests.get(&key)
	switch flags := s.TCP.Flags; {
	case flags&wire.RST != 0:
		h.drop(api.DropReset)
		if r != nil && s.TCP.Seq == r.syn.Seq+1 {
			h.endRequest(r) // the peer has changed its mind
		}
		return
	case flags&wire.ACK != 0:
		h.reset(now, api.DropNoListener, local, remote, s)
		return
	case flags&wire.SYN == 0:
		h.drop(api.DropNoAck)
		return
	case flags&wire.FIN != 0:
		h.drop(api.DropSyn)
		return
	case r != nil:
		r.syn = s.TCP // repeated, or anew after the peer has restarted
		return
	}
	if h.budget.full() {
		h.drop(api.DropMemory)
		return
	}
	class := uint8(hash16(h.requests.hashKey, key.Local, [16]byte{}, 0, 0))
	if !f.take(class) {
		h.drop(api.DropAcceptQueue)
		return
	}
	r = &Request{class: class, Local: local, Remote: remote, Forwarding: f.Forwarding, f: f, syn: s.TCP}
	r.key = key
	h.requests.add(r)
	h.asked.push(r)
}

// NextRequest returns requests that are new and those that have Ended, until there
// are none. Who takes a new one calls Finished when it is done with it, whatever
// became of it.
func (h *Host) NextRequest() (r *Request, fresh, ok bool) {
	if h.asked.len() == 0 {
		return nil, false, false
	}
	r = h.asked.pop()
	fresh = !r.told
	r.told = true
	return r, fresh, true
}

// endRequest ends a request without its owner, which is told.
func (h *Host) endRequest(r *Request) {
	if r.state == requestAsked {
		h.requests.remove(r)
	}
	if r.state != requestOver {
		r.state, r.ended = requestOver, true
		h.asked.push(r)
	}
}

// AcceptRequest answers a request with a SYN-ACK. It fails with api.ErrClosed if r
// has been answered or has ended, and with api.ErrNoMemory at the limits. A connection
// that is established comes out of Ready.
func (h *Host) AcceptRequest(now clock.Time, r *Request) error {
	if r.state != requestAsked {
		return api.ErrClosed
	}
	if h.budget.full() {
		return api.ErrNoMemory
	}
	h.requests.remove(r)
	r.state = requestAccepted
	l := r.f.listening
	id := h.identify(now, r.Local, r.Remote)
	h.makeRoom(l)
	if w := h.timeWait.get(&id.key); w != nil {
		id.iss = h.issAfter(id.iss, w.record.MinISS())
		h.forget(w)
	}
	q := h.enqueue(l, &id, false)
	q.request = r
	q.state = l.responder.Open(now, id.iss, id.tsOffset, r.Remote.Addr().Is6(), &r.syn, &h.out)
	h.arm(&l.timer, l.responder.Deadline(&q.state))
	h.replyHalfOpen(q)
	return nil
}

// AbortRequest resets the handshake of a request that has been accepted, if it is
// still under way.
func (h *Host) AbortRequest(now clock.Time, r *Request) {
	key := tupleOf(r.Local, r.Remote)
	if q := h.halfOpens.get(&key); q != nil && q.request == r {
		q.listener.responder.Abort(now, &q.state, &h.out)
		h.replyHalfOpen(q)
		h.dequeue(q)
	}
	r.state = requestOver
}

// RejectRequest answers a request with a reset.
func (h *Host) RejectRequest(now clock.Time, r *Request) {
	if h.DropRequest(r) {
		h.reset(now, api.DropNoListener, r.Local, r.Remote, &tcp.Segment{TCP: r.syn})
	}
}

// DropRequest forgets a request that has not been answered, and reports whether it
// was one.
func (h *Host) DropRequest(r *Request) bool {
	if r.state != requestAsked {
		return false
	}
	r.state = requestOver
	h.requests.remove(r)
	return true
}

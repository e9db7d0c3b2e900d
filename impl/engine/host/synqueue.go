package host

import (
	"iter"
	"net/netip"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/fault"
	"github.com/sluicenet/sluice/impl/engine/ip"
	"github.com/sluicenet/sluice/impl/engine/tcp"
)

// A halfOpen is a place in the SYN queue. During a flood there are as many as the
// limits allow, and each SYN takes one, so they are small, and everything that is
// done to them takes the same time however many there are.
type halfOpen struct {
	key          tuple
	chain        *halfOpen // in the lookup
	state        tcp.HalfOpen
	listener     *listening
	label        uint32 // IPv6 flow label
	loop         bool
	request      *Request  // that was accepted, or nil
	older, newer *halfOpen // in the SYN queue of the Host
	prev, next   *halfOpen // among those of the listener whose SYN-ACK went out as often
}

// ages has the half-open connections of a Host, by age.
type ages struct{ first, last *halfOpen }

// A lane is a queue of half-open connections of one listener that have sent the
// same number of SYN-ACKs. The first is due first: see tcp.Responder.Deadline.
type lane struct{ first, last *halfOpen }

func (l *lane) push(q *halfOpen) {
	if q.prev = l.last; q.prev != nil {
		q.prev.next = q
	} else {
		l.first = q
	}
	l.last = q
}

func (l *lane) remove(q *halfOpen) {
	if q.prev != nil {
		q.prev.next = q.next
	} else {
		l.first = q.next
	}
	if q.next != nil {
		q.next.prev = q.prev
	} else {
		l.last = q.prev
	}
	q.prev, q.next = nil, nil
}

// maxSpareHalfOpens is how many records are kept to be used again.
const maxSpareHalfOpens = 64

// enqueue puts a half-open connection into the SYN queue, in which makeRoom has
// taken a place. Its state is yet to be filled in.
func (h *Host) enqueue(l *listening, id *identity, loop bool) *halfOpen {
	q := h.spare
	if q != nil {
		h.spare, q.newer = q.newer, nil
		h.spares--
	} else {
		q = new(halfOpen)
	}
	q.key, q.listener, q.label, q.loop = id.key, l, id.label, loop
	h.halfOpens.add(q)
	if q.older = h.halfOpenAges.last; q.older != nil {
		q.older.newer = q
	} else {
		h.halfOpenAges.first = q
	}
	h.halfOpenAges.last = q
	l.lanes[0].push(q)
	l.queued++
	return q
}

// dequeue takes a half-open connection out of the SYN queue, and forgets it.
func (h *Host) dequeue(q *halfOpen) {
	l := q.listener
	h.halfOpens.remove(q)
	if q.request != nil {
		h.endRequest(q.request)
	}
	if q.older != nil {
		q.older.newer = q.newer
	} else {
		h.halfOpenAges.first = q.newer
	}
	if q.newer != nil {
		q.newer.older = q.older
	} else {
		h.halfOpenAges.last = q.older
	}
	l.lanes[q.state.Retries()].remove(q)
	if l.queued--; l.queued == 0 {
		h.disarm(&l.timer)
	}
	l.halfOpen.Add(-1)
	h.budget.halfOpen.Add(-1)
	*q = halfOpen{}
	if h.spares < maxSpareHalfOpens {
		q.newer, h.spare = h.spare, q
		h.spares++
	}
}

// oldest returns the oldest half-open connection of l, or nil.
func (l *listening) oldest() *halfOpen {
	var oldest *halfOpen
	var at clock.Time
	for ; l != nil; l = l.before {
		for i := range l.lanes {
			if q := l.lanes[i].first; q != nil {
				if opened, _ := q.state.Times(); oldest == nil || opened < at {
					oldest, at = q, opened
				}
			}
		}
	}
	return oldest
}

// makeRoom takes a place in the SYN queue: of the listener and of the stack. At a
// limit the oldest half-open connection of the same listener, or failing that of
// any, gives up its own without a word. During a flood that leaves everyone, honest
// or not, the time in which the queue turns over once; to drop the newcomers
// instead would keep the queue full of the dead until their SYN-ACKs have been
// repeated for the last time. Only this shard's part of the queue can be evicted;
// where that is empty, the newcomer gets a place beyond the limit, so that no
// shard is locked out. That is at most one place for each shard.
func (h *Host) makeRoom(l *listening) {
	for !take(&l.halfOpen, 1, l.HalfOpen, defaultHalfOpen) && !fault.On("half-open-unbounded") {
		if !h.evict(l.oldest()) {
			l.halfOpen.Add(1)
			break
		}
	}
	for !h.budget.takeHalfOpen() {
		if !h.evict(l.oldest()) && !h.evict(h.halfOpenAges.first) {
			h.budget.halfOpen.Add(1)
			break
		}
	}
}

// evict forgets q, if there is one, without a word to the peer.
func (h *Host) evict(q *halfOpen) bool {
	if q == nil {
		return false
	}
	h.drop(api.DropSynQueue)
	h.dequeue(q)
	return true
}

// maxSynAcksAtOnce is how many SYN-ACKs are repeated before what else happens is
// looked at; then it goes on a little later.
const maxSynAcksAtOnce = maxReplies / 2

// due implements timed: SYN-ACKs are repeated, and half-open connections given up.
func (l *listening) due(h *Host, now clock.Time) {
	sent := 0
	at := clock.Never
	for i := range l.lanes {
		for q := l.lanes[i].first; q != nil; q = l.lanes[i].first {
			if d := l.responder.Deadline(&q.state); d > now {
				at = min(at, d)
				break
			}
			if sent == maxSynAcksAtOnce {
				at = min(at, now.Add(time.Millisecond))
				break
			}
			verdict := l.responder.Timeout(now, &q.state, &h.out)
			if verdict == tcp.HalfOpenForget {
				if q.request != nil {
					q.request.timedOut = true
				}
				h.dequeue(q)
				continue
			}
			sent++
			l.lanes[i].remove(q)
			l.lanes[i+1].push(q)
			if verdict == tcp.HalfOpenReply {
				h.replyHalfOpen(q)
			}
		}
	}
	h.arm(&l.timer, at)
}

// replyHalfOpen queues what is in h.out for the peer of q.
func (h *Host) replyHalfOpen(q *halfOpen) {
	local, remote := q.key.AddrPorts()
	e := entry{label: q.label, loop: q.loop}
	h.replyTCP(local, remote, &h.out, &e)
}

// halfOpenSegment gives a segment to a half-open connection. One that completes the
// handshake needs a place among the flows and in the backlog of the listener;
// without one it is dropped, and the peer, to whom the SYN-ACK is sent again,
// repeats it.
func (h *Host) halfOpenSegment(now clock.Time, q *halfOpen, local, remote netip.AddrPort, s *tcp.Segment) {
	l := q.listener
	switch l.responder.Segment(now, &q.state, s, &h.out) {
	case tcp.HalfOpenReply:
		h.replyHalfOpen(q)
	case tcp.HalfOpenForget:
		h.dequeue(q)
	case tcp.HalfOpenAccept:
		if !h.takePlaces(l) {
			h.counters.SegmentsIn++
			releasePayload(s)
			return
		}
		id, state := identity{key: q.key, label: q.label}, q.state
		r := q.request
		q.request = nil // it has come true
		h.dequeue(q)
		if c := h.accept(now, l, &id, &state, local, remote, s); r != nil {
			if c != nil {
				c.User = r.User
			} else {
				h.endRequest(r)
			}
		}
	}
}

// takePlaces takes what a connection of l needs to be established. Where that cannot
// be had, it counts the segment that would do it as dropped.
func (h *Host) takePlaces(l *listening) bool {
	why := api.DropAcceptQueue
	if take(&l.unfinished, 1, l.Backlog, defaultBacklog) || fault.On("backlog-unbounded") {
		if h.budget.takeFlow() {
			return true
		}
		l.unfinished.Add(-1)
		why = api.DropMemory
	}
	h.drop(why)
	return false
}

// accept makes a connection of what was half-open: s completes its handshake. It
// returns nil if that did not last.
func (h *Host) accept(now clock.Time, l *listening, id *identity, state *tcp.HalfOpen, local, remote netip.AddrPort, s *tcp.Segment) *tcp.Conn {
	cfg, e := h.config(now, local, remote, id, h.optionsOf(l.Listener), &l.shared)
	conn := l.responder.Accept(now, cfg, state)
	e.listener, e.phase = l, open
	h.insert(e, conn)
	conn.Segment(now, s)
	if conn.State() == api.StateSynReceived || conn.Gone() { // the Responder has judged otherwise: keep the books all the same
		l.unfinished.Add(-1)
		conn.Abort(now, api.ErrAborted)
		conn.ReleaseBuffers()
		conn.TakeEvents()
		h.remove(e)
		return nil
	}
	h.stats.Accepted++
	return conn
}

// halfOpenError takes in an ICMP error about our SYN-ACK. None ends the connection
// (RFC 5927, section 5.2: nobody has asked for it), but the path MTU is learnt.
func (h *Host) halfOpenError(now clock.Time, kind tcp.ICMPKind, q *halfOpen, remote netip.Addr, mtu, quoted int) {
	if kind != tcp.ICMPPacketTooBig {
		return
	}
	path := ip.ReportedMTU(remote.Is6(), mtu, quoted, h.cfg.MinPathMTU)
	before := h.cfg.MTU
	if p, ok := h.paths.Get(now, remote); ok {
		before = min(before, p.MTU)
	}
	if path.MTU >= before {
		h.drop(api.DropICMP)
		return
	}
	h.paths.Set(now, remote, path)
}

// HalfOpens iterates over snapshots of the half-open connections, from the oldest,
// with when they began and when they last sent something.
func (h *Host) HalfOpens(now clock.Time) iter.Seq2[api.Info, [2]clock.Time] {
	return func(yield func(api.Info, [2]clock.Time) bool) {
		for q := h.halfOpenAges.first; q != nil; q = q.newer {
			local, remote := q.key.AddrPorts()
			opened, sent := q.state.Times()
			if !yield(q.listener.responder.Info(now, &q.state, local, remote), [2]clock.Time{opened, sent}) {
				return
			}
		}
	}
}

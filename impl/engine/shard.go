package engine

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/impl/engine/host"
	"github.com/sluicenet/sluice/impl/engine/tcp"
)

// Implementation constants.
const (
	backlogPackets = 1024    // in a shard's backlog
	backlogBytes   = 4 << 20 // of memory they keep alive
	sparePackets   = 1024    // most of what an empty backlog keeps
	spareHeaders   = 64 << 10
	spareCalls     = 1024
	pollBatch      = 64  // packets between two looks at the lock
	flushRounds    = 256 // batches that one caller sends before it hands over
)

// A shard is one pure host behind one lock.
//
// Every use of the host has the form
//
//	now := s.enter()
//	... calls of s.host and of its connections, then s.host.Touch ...
//	s.leave(now)
//
// or, if it has only been looked at, ends with s.exit().
type shard struct {
	stack *Stack
	timer clock.Timer

	mu       sync.Mutex
	host     *host.Host
	armed    clock.Time                 // when timer fires; clock.Never if it is not armed
	flushing bool                       // a goroutine is sending what this shard has to send
	closed   bool                       // the stack has left the network
	calls    []call                     // to be made without the lock
	spare    []call                     // memory for them, to be used again
	idle     waitList                   // those who wait until nobody is flushing
	reported [api.NumDropReasons]uint64 // drops that the observer knows of

	// Owned by the goroutine that is flushing.
	batch host.Batch

	waiting        atomic.Int64 // packets in the backlog
	backlogMu      sync.Mutex
	backlog        []link.Packet
	backlogHeaders []byte // their headers
	backlogBytes   int64
	backlogSpare   []link.Packet // memory to be used again
	spareHeaders   []byte
	backlogDrops   uint64
}

func newShard(s *Stack, cfg *host.Config) (*shard, error) {
	h, err := host.New(cfg)
	if err != nil {
		return nil, err
	}
	sh := &shard{stack: s, host: h, armed: clock.Never}
	sh.timer = s.clock.NewTimer(sh.due)
	return sh, nil
}

// A call is to be made to a user: of the Notify of a flow that has become ready, or of
// a hook.
type call struct {
	ready *Flow
	hook  func()
}

// enter takes the lock and returns the present instant.
func (s *shard) enter() clock.Time {
	s.mu.Lock()
	return s.stack.clock.Now()
}

// exit lets go of the lock after nothing but a look. A link may have found it taken
// meanwhile, and what it left in the backlog must not wait for the next event.
func (s *shard) exit() {
	s.mu.Unlock()
	if s.backlogged() && s.mu.TryLock() {
		now := s.stack.clock.Now()
		s.drain(now)
		s.leave(now)
	}
}

// due is called by the timer.
func (s *shard) due() {
	now := s.enter()
	s.armed = clock.Never
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.host.Timeout(now)
	s.leave(now)
}

// input takes packets from a link or from another shard. Their payload passes to
// the shard; their headers are valid until input returns.
func (s *shard) input(ps []link.Packet) {
	if !s.mu.TryLock() {
		s.postpone(ps)
		// The holder may have looked at the backlog for the last time before
		// the packets were in it, and have let go since.
		if !s.mu.TryLock() {
			return
		}
		ps = nil
	}
	now := s.stack.clock.Now()
	s.drain(now) // what came earlier goes first
	for i := range ps {
		s.packet(now, &ps[i])
	}
	s.leave(now)
}

func (s *shard) packet(now clock.Time, p *link.Packet) {
	if s.closed {
		s.stack.dropsAfter.Add(1)
		p.Release()
		return
	}
	s.host.Packet(now, p)
}

// postpone puts packets into the backlog, as far as it has room.
func (s *shard) postpone(ps []link.Packet) {
	s.backlogMu.Lock()
	defer s.backlogMu.Unlock()
	for i := range ps {
		p := &ps[i]
		size := int64(len(p.Header))
		for j := range p.Payload {
			// Memory that somebody else holds as well is charged there.
			if b := &p.Payload[j]; b.Exclusive() {
				size += b.MemSize()
			} else {
				size += int64(b.Len())
			}
		}
		if len(s.backlog) >= backlogPackets || s.backlogBytes+size > backlogBytes {
			s.backlogDrops++
			p.Release()
			continue
		}
		s.backlogBytes += size
		// Where the headers have outgrown their array, those in the old one keep it.
		h := len(s.backlogHeaders)
		s.backlogHeaders = append(s.backlogHeaders, p.Header...)
		s.backlog = append(s.backlog, link.Packet{
			Header:  s.backlogHeaders[h:len(s.backlogHeaders):len(s.backlogHeaders)],
			Payload: p.Payload,
			Offload: p.Offload,
		})
	}
	s.waiting.Store(int64(len(s.backlog)))
}

// drain feeds what the backlog holds now to the host. The caller holds mu.
func (s *shard) drain(now clock.Time) {
	if !s.backlogged() {
		return
	}
	s.backlogMu.Lock()
	ps := s.backlog
	s.waiting.Store(0)
	headers := s.backlogHeaders
	s.backlog, s.backlogHeaders, s.backlogBytes = s.backlogSpare[:0], s.spareHeaders[:0], 0
	s.backlogSpare, s.spareHeaders = nil, nil
	s.backlogMu.Unlock()

	for i := range ps {
		s.packet(now, &ps[i])
	}
	clear(ps)
	if cap(ps) > sparePackets || cap(headers) > spareHeaders {
		return // a burst was long: an idle shard does not hold that much
	}
	s.backlogMu.Lock()
	s.backlogSpare, s.spareHeaders = ps[:0], headers[:0]
	s.backlogMu.Unlock()
}

// backlogged reports whether somebody has left packets. Who leaves some looks at
// mu afterwards, and who lets go of mu looks here afterwards: one of them sees the
// other.
func (s *shard) backlogged() bool { return s.waiting.Load() > 0 }

// leave brings the shard to rest and lets go of the lock: it wakes those who can
// go on, sends what there is to send, and arms the timer. Where another goroutine
// is flushing already, that one does it.
func (s *shard) leave(now clock.Time) {
	for {
		if !s.flushing {
			s.flushing = true
			rounds := 0
			for s.flush(now) {
				if s.resting() {
					break
				}
				now = s.stack.clock.Now()
				s.drain(now)
				if rounds++; rounds == flushRounds {
					// Do not hold one user's call hostage to everyone's traffic.
					s.mu.Unlock()
					s.stack.clock.Go(s.resume)
					return
				}
			}
			s.flushing = false
			s.idle.wake()
		}
		s.arm()
		s.mu.Unlock()
		if !s.backlogged() || !s.mu.TryLock() {
			return
		}
		now = s.stack.clock.Now()
		s.drain(now)
	}
}

// settled waits until what this shard had to send has been sent, or ctx ends.
func (s *shard) settled(ctx context.Context) {
	now := s.enter()
	for s.flushing && ctx.Err() == nil {
		now, _ = s.idle.wait(ctx, s, now)
	}
	s.leave(now)
}

// resting reports whether another round would find nothing to do. The caller holds
// mu.
func (s *shard) resting() bool {
	return s.host.Resting() && len(s.calls) == 0 && !s.backlogged() && s.stack.observer.Load() == nil
}

// resume goes on flushing for a goroutine that has done its share.
func (s *shard) resume() {
	now := s.enter()
	s.flushing = false
	s.leave(now)
}

// flush makes one round: it distributes what has happened and sends one batch
// without the lock. It returns false, with nothing done, when the shard is at
// rest. The caller holds mu, and has set flushing.
func (s *shard) flush(now clock.Time) bool {
	for {
		r, fresh, ok := s.host.NextRequest()
		if !ok {
			break
		}
		s.stack.requested(s, r, fresh)
	}
	for {
		c, ev, ok := s.host.Ready()
		if !ok {
			break
		}
		s.stack.dispatch(s, now, c, ev)
	}
	b := &s.batch
	s.host.Poll(now, b, pollBatch)
	redirects := s.host.TakeRedirects()
	s.observeDrops()
	if len(b.Link) == 0 && len(b.Loop) == 0 && len(redirects) == 0 && len(s.calls) == 0 {
		return false
	}
	calls := s.calls
	s.calls, s.spare = s.spare, nil
	s.mu.Unlock()

	if len(b.Link) > 0 {
		s.stack.send(b.Link)
	}
	for i := range b.Loop {
		p := b.Loop[i].Copy()
		p.Offload.Vouched = true
		s.stack.inputOne(&p)
	}
	for i := range redirects {
		s.stack.inputOne(&redirects[i])
	}
	b.Reset()
	for _, c := range calls {
		if c.ready != nil {
			c.ready.callNotify()
		} else {
			c.hook()
		}
	}
	s.mu.Lock()
	if cap(calls) <= spareCalls {
		clear(calls)
		s.spare = calls[:0]
	}
	return true
}

// arm sets the timer. A timer that is due too early is left alone: it costs
// one look, where setting it anew would cost as much for every segment.
func (s *shard) arm() {
	if d := s.host.Deadline(); d < s.armed {
		s.armed = d
		s.timer.Reset(d)
	}
}

// touch says that c has been called by its user.
func (s *shard) touch(now clock.Time, c *tcp.Conn) { s.host.Touch(now, c) }

func (s *shard) observeDrops() {
	o := s.stack.observer.Load()
	if o == nil || o.Drop == nil {
		return
	}
	st := s.host.Stats()
	for r, n := range st.Drops {
		if d := n - s.reported[r]; d > 0 {
			s.reported[r] = n
			s.calls = append(s.calls, call{hook: func() { o.Drop(api.DropReason(r), d) }})
		}
	}
}

package engine

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/fault"
	"github.com/sluicenet/sluice/impl/engine/tcp"
)

// lastWait is how long Disconnect waits for peers that have everything and do
// not close themselves; after that time a kernel would have forgotten them too.
const lastWait = 60 * time.Second

// Disconnect implements api.Stack (X1, X2).
func (s *Stack) Disconnect(ctx context.Context) {
	if !s.beginLeaving() {
		s.waitLeft(ctx)
		return
	}
	s.stopHandlers(errLeft)

	w := s.clock.NewWaiter()
	for _, sh := range s.shards {
		now := sh.enter()
		for c := range sh.host.Conns() {
			f, ok := c.User.(*Flow)
			switch st := c.State(); {
			case ok && (st == api.StateSynSent || st == api.StateSynReceived):
				f.abort(now, api.ErrDisconnected) // nothing can have been written
			case ok && fault.On("disconnect-aborts"):
				f.abort(now, api.ErrDisconnected)
			case ok:
				f.disconnect = w.Wake
				f.closeWrite(now)
			default:
				c.Abort(now, api.ErrDisconnected) // nobody has been told of it yet
				sh.touch(now, c)
			}
		}
		sh.leave(now)
	}
	wait, cancel := s.clock.WithCancel(ctx)
	timer := s.clock.NewTimer(func() { cancel(context.DeadlineExceeded) })
	armed := false
	for {
		open, unsent := s.unfinished()
		if open == 0 {
			break
		}
		if unsent == 0 && !armed {
			armed = true
			timer.Reset(s.clock.Now().Add(lastWait))
		}
		if w.Park(wait) != nil {
			break
		}
	}
	timer.Stop()
	cancel(context.Canceled)
	s.leave(ctx)
}

// beginLeaving closes the listeners, and returns false if that was done before.
func (s *Stack) beginLeaving() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left {
		return false
	}
	s.left = true
	s.leaving.Store(true)
	for _, port := range slices.Sorted(maps.Keys(s.listeners)) {
		s.unlisten(port)
	}
	for len(s.forwards) > 0 {
		s.stopForwarding(s.forwards[0])
	}
	return true
}

// waitLeft waits for another Disconnect to end.
func (s *Stack) waitLeft(ctx context.Context) {
	w := s.clock.NewWaiter()
	s.mu.Lock()
	done := s.done
	if !done {
		s.doneWait = append(s.doneWait, w)
	}
	s.mu.Unlock()
	if !done {
		w.Park(ctx)
	}
}

// unfinished counts the flows that have not ended, and those that have not got
// rid of all they had to send.
func (s *Stack) unfinished() (open, unsent int) {
	for _, sh := range s.shards {
		sh.mu.Lock()
		for c := range sh.host.Conns() {
			if c.FullyClosed() {
				continue
			}
			open++
			switch c.State() {
			case api.StateFinWait2, api.StateTimeWait:
			default:
				unsent++
			}
		}
		sh.exit()
	}
	return open, unsent
}

// leave aborts what is left and closes the link, after the last packets, as far as
// ctx leaves time for them.
func (s *Stack) leave(ctx context.Context) {
	if fault.On("disconnect-leaves-flows") {
		return
	}
	for _, sh := range s.shards {
		now := sh.enter()
		var conns []*tcp.Conn
		for c := range sh.host.Conns() {
			conns = append(conns, c)
		}
		for _, c := range conns {
			s.abandon(sh, now, c)
		}
		sh.leave(now)
	}
	for _, sh := range s.shards {
		sh.settled(ctx) // another goroutine may be on its way to the link with our last ACK
	}
	for _, sh := range s.shards {
		now := sh.enter()
		sh.closed = true
		sh.timer.Stop()
		sh.host.Shutdown(now)
		sh.leave(now)
	}
	if err := s.link.Close(); err != nil {
		s.log.Warn("link did not close", "link", s.link.Attributes().Name, "error", err)
	}
	s.log.Info("stack disconnected", "backend", s.backend)
	s.mu.Lock()
	s.done = true
	for _, w := range s.doneWait {
		w.Wake()
	}
	s.doneWait = nil
	s.mu.Unlock()
}

func (s *Stack) abandon(sh *shard, now clock.Time, c *tcp.Conn) {
	if f, ok := c.User.(*Flow); ok {
		f.abort(now, api.ErrDisconnected)
		return
	}
	c.Abort(now, api.ErrDisconnected)
	sh.touch(now, c)
}

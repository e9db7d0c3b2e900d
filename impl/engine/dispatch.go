package engine

import (
	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/tcp"
)

// dispatch tells those concerned what has happened to a connection. The caller
// holds the shard's lock.
func (s *Stack) dispatch(sh *shard, now clock.Time, c *tcp.Conn, ev tcp.Events) {
	f, _ := c.User.(*Flow)
	if f == nil {
		if ev&tcp.EventEstablished == 0 || !c.Passive() {
			return
		}
		if f = s.accept(sh, now, c); f == nil {
			return
		}
	}
	var ready api.Readiness
	if ev&tcp.EventEstablished != 0 {
		f.waiting().opened.wake()
		ready |= api.ReadyWrite
	}
	if ev&tcp.EventRead != 0 {
		f.waiting().readable.wake()
		ready |= api.ReadyRead
	}
	if ev&tcp.EventWrite != 0 {
		f.waiting().writable.wake()
		ready |= api.ReadyWrite
	}
	if ev&tcp.EventAcked != 0 {
		f.waiting().acks.wake()
	}
	if ev&tcp.EventUrgent != 0 {
		ready |= api.ReadyUrgent
	}
	if ev&tcp.EventError != 0 {
		ready |= api.ReadyError
	}
	if ev&tcp.EventClosed != 0 {
		f.wakeAll()
		ready |= api.ReadyClosed
	}
	if ev&(tcp.EventState|tcp.EventClosed) != 0 && f.disconnect != nil {
		f.disconnect()
	}
	if ev&tcp.EventKeepalive != 0 {
		s.askKeepalive(sh, f)
	}
	s.notify(sh, f, ready)
	s.observe(sh, now, f, ev)
}

// askKeepalive queues the call of the user's Keepalive.
func (s *Stack) askKeepalive(sh *shard, f *Flow) {
	sh.calls = append(sh.calls, call{hook: func() {
		sh.mu.Lock()
		k, idle, sent, ok := f.conn.AskKeepalive(s.clock.Now())
		sh.mu.Unlock()
		if !ok {
			return
		}
		action, wait := k.Next(idle, sent)
		now := sh.enter()
		f.conn.AnswerKeepalive(now, action, wait)
		sh.touch(now, f.conn)
		sh.mu.Unlock() // whoever makes this call brings the shard to rest
	}})
}

// notify queues the call of the user's Notify function.
func (s *Stack) notify(sh *shard, f *Flow, ready api.Readiness) {
	if f.notify == nil || ready == 0 {
		return
	}
	queued := f.ready != 0
	f.ready |= ready
	if queued {
		return
	}
	sh.calls = append(sh.calls, call{ready: f})
}

// callNotify tells the user what has become ready.
func (f *Flow) callNotify() {
	f.shard.mu.Lock()
	ready, notify := f.ready, f.notify
	f.ready = 0
	f.shard.mu.Unlock()
	if notify != nil {
		notify(f, ready)
	}
}

// observe queues calls of the observer's hooks. States that were passed through
// between two looks are not reported.
func (s *Stack) observe(sh *shard, now clock.Time, f *Flow, ev tcp.Events) {
	o := s.observer.Load()
	if o == nil {
		return
	}
	if from, to := f.state, f.conn.State(); from != to {
		f.state = to
		if o.State != nil {
			sh.calls = append(sh.calls, call{hook: func() { o.State(f.Src(), f.Dst(), from, to) }})
		}
	}
	if ev&tcp.EventClosed != 0 && o.Closed != nil {
		info, reason := s.info(now, f.conn), f.conn.CloseReason()
		sh.calls = append(sh.calls, call{hook: func() { o.Closed(info, reason) }})
	}
}

// SetObserver implements api.Observable.
// It is told of what happens from now on.
func (s *Stack) SetObserver(o *api.Observer) {
	for _, sh := range s.shards {
		sh.mu.Lock()
		sh.reported = sh.host.Stats().Drops
		sh.exit()
	}
	if s.ether != nil {
		s.ether.observed()
	}
	s.observer.Store(o)
}

// SetParams replaces the parameters of the connections that are opened from now on.
// It is for tests that change a system's settings while it runs.
func (s *Stack) SetParams(p tcp.Params) {
	for _, sh := range s.shards {
		sh.mu.Lock()
		sh.host.SetParams(p)
		sh.exit()
	}
}

// Done is closed when the stack begins to leave the network.
func (s *Stack) Done() <-chan struct{} { return s.handlers.Done() }

// info completes a connection's snapshot.
func (s *Stack) info(now clock.Time, c *tcp.Conn) api.Info {
	info := c.Info(now)
	opened, sent, received := c.Times()
	info.Opened = s.clock.Wall(opened)
	if sent > 0 {
		info.LastSend = s.clock.Wall(sent)
	}
	if received > 0 {
		info.LastReceive = s.clock.Wall(received)
	}
	return info
}

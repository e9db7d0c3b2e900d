package engine

import (
	"fmt"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/fault"
	"github.com/sluicenet/sluice/impl/engine/host"
	"github.com/sluicenet/sluice/impl/engine/tcp"
)

// Implementation constants.
const (
	defaultBacklog  = 4096 // handlers of one listener that have not returned
	defaultHalfOpen = 1024 // connections of one listener in SYN-RECEIVED

	// Ports that Listen picks from when it is asked for any: RFC 6335's
	// dynamic ports, beyond those that dialling takes first.
	firstAnyPort, lastAnyPort = 49152, 65535
)

// listener is what the engine hangs onto a host.Listener.
type listener struct {
	host.Listener
	handler api.Handler
}

// Listen implements api.Stack (L1, L2, L3).
func (s *Stack) Listen(port uint16, cfg *api.ListenConfig, h api.Handler) (uint16, error) {
	fail := func(err error) (uint16, error) {
		return 0, &api.Error{Op: "listen", Src: s.anyAddrPort(cfg, port), Err: err}
	}
	if h == nil {
		return fail(configError("Listen needs a handler"))
	}
	if cfg == nil {
		cfg = &api.ListenConfig{}
	}
	if cfg.Backlog < 0 || cfg.HalfOpen < 0 || cfg.FastOpen < 0 {
		return fail(configError("Backlog, HalfOpen and FastOpen cannot be negative"))
	}
	if cfg.Address.IsValid() && !cfg.Address.IsUnspecified() && !s.isLocal(cfg.Address) {
		return fail(fmt.Errorf("%w: %v is not an address of this stack", api.ErrInvalidAddress, cfg.Address))
	}
	sh := s.shards[0]
	sh.mu.Lock()
	flow, err := sh.host.Resolve(&cfg.Flow)
	sh.exit()
	if err != nil {
		return fail(err)
	}
	l := &listener{handler: h}
	l.Flow = flow
	l.Backlog, l.HalfOpen = int64(cfg.Backlog), int64(cfg.HalfOpen)
	if l.Backlog == 0 {
		l.Backlog = defaultBacklog
	}
	if l.HalfOpen == 0 {
		l.HalfOpen = defaultHalfOpen
	}
	if !cfg.Address.IsUnspecified() {
		l.Address = cfg.Address.Unmap()
	}
	l.User = l
	l.SetFastOpen(host.FastOpen{Pending: cfg.FastOpen})

	defer s.settle() // when s.mu is free
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left {
		return fail(api.ErrDisconnected)
	}
	if port == 0 {
		if port = s.freePort(); port == 0 {
			return fail(api.ErrNoPorts)
		}
	} else if s.listeners[port] != nil && !fault.On("listen-twice") {
		return fail(api.ErrPortInUse)
	}
	if fault.On("listen-beside-connections-refused") {
		for _, sh := range s.shards {
			sh.mu.Lock()
			for c := range sh.host.Conns() {
				if c.Local().Port() == port {
					sh.mu.Unlock()
					return fail(api.ErrPortInUse)
				}
			}
			sh.mu.Unlock()
		}
	}
	l.Port = port
	s.listeners[port] = l
	// The shards are not brought to rest here: that may call hooks of users, who
	// may call Listen.
	for _, sh := range s.shards {
		sh.mu.Lock()
		sh.host.Listen(&l.Listener)
		sh.mu.Unlock()
	}
	return port, nil
}

// freePort returns a port without a listener, from a random place on. The caller
// holds mu.
func (s *Stack) freePort() uint16 {
	const n = lastAnyPort - firstAnyPort + 1
	first := s.rand.IntN(n)
	for i := range n {
		if p := uint16(firstAnyPort + (first+i)%n); s.listeners[p] == nil {
			return p
		}
	}
	return 0
}

// Unlisten implements api.Stack (U1).
func (s *Stack) Unlisten(port uint16) {
	s.mu.Lock()
	s.unlisten(port)
	s.mu.Unlock()
	s.settle()
}

// settle brings every shard to rest.
func (s *Stack) settle() {
	for _, sh := range s.shards {
		sh.leave(sh.enter())
	}
}

// unlisten removes a listener and resets its half-open connections, whose resets
// leave with the next settle. The caller holds mu.
func (s *Stack) unlisten(port uint16) {
	l := s.listeners[port]
	if l == nil {
		return
	}
	delete(s.listeners, port)
	for _, sh := range s.shards {
		now := sh.enter()
		sh.host.Unlisten(now, &l.Listener)
		sh.mu.Unlock()
	}
}

// accept makes a flow of a connection that a peer has opened, and runs its
// listener's handler. The caller holds the shard's lock.
func (s *Stack) accept(sh *shard, now clock.Time, c *tcp.Conn) *Flow {
	hl := sh.host.ListenerOf(c)
	if hl == nil {
		c.Abort(now, api.ErrAborted)
		sh.touch(now, c)
		return nil
	}
	if fw, ok := hl.User.(*forwarder); ok {
		hl.Finished() // requests are counted, not handlers of flows
		return fw.established(sh, c)
	}
	l := hl.User.(*listener)
	f := newFlow(sh, c.FlowConfig().Notify)
	f.conn, f.state = c, api.StateSynReceived
	c.User = f
	s.clock.Go(func() {
		defer hl.Finished()
		if fault.On("handler-return-closes") {
			defer f.Abort()
		}
		if fault.On("handlers-one-by-one") {
			s.mu.Lock()
			defer s.mu.Unlock()
		}
		l.handler(s.handlers, f)
	})
	return f
}

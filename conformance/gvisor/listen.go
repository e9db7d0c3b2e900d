package main

import (
	"net/netip"
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/sluicenet/sluice/api"
)

const defaultBacklog = 128

type listener struct {
	s   *stack
	ep  tcpip.Endpoint
	cfg api.ListenConfig
	h   api.Handler

	mu      sync.Mutex
	running int // handlers
}

func (s *stack) Listen(port uint16, cfg *api.ListenConfig, h api.Handler) (uint16, error) {
	l := &listener{s: s, h: h}
	if cfg != nil {
		l.cfg = *cfg
	}
	l.cfg.Flow = merged(&l.cfg.Flow, s.env.Flow)
	if l.cfg.Backlog <= 0 {
		l.cfg.Backlog = defaultBacklog
	}
	local := netip.AddrPortFrom(l.cfg.Address, port)
	fail := func(err error) (uint16, error) { return 0, failed("listen", local, netip.AddrPort{}, err) }
	if s.disconnected() {
		return fail(api.ErrDisconnected)
	}
	s.mu.Lock()
	_, taken := s.listeners[port]
	s.mu.Unlock()
	if taken && port != 0 {
		return fail(api.ErrPortInUse)
	}
	proto := ipv6.ProtocolNumber // both, unless told otherwise
	if l.cfg.Address.IsValid() {
		proto = protocol(l.cfg.Address)
	}
	ep, err := s.g.NewEndpoint(tcp.ProtocolNumber, proto, &waiter.Queue{})
	if err != nil {
		return fail(cause(err))
	}
	// Options are inherited, and some count from the SYN on.
	f := &flow{s: s, ep: ep}
	if err := f.configure(l.cfg.Flow); err != nil {
		ep.Close()
		return fail(err)
	}
	ep.SocketOptions().SetReuseAddress(true) // flows of an earlier listener may live on
	if err := ep.Bind(fullAddress(local)); err != nil {
		ep.Close()
		return fail(cause(err))
	}
	if err := ep.Listen(l.cfg.Backlog); err != nil {
		ep.Close()
		return fail(cause(err))
	}
	l.ep = ep
	a, _ := ep.GetLocalAddress()
	s.mu.Lock()
	s.listeners[a.Port] = l
	s.mu.Unlock()
	return a.Port, nil
}

func (s *stack) Unlisten(port uint16) {
	s.mu.Lock()
	l := s.listeners[port]
	delete(s.listeners, port)
	s.mu.Unlock()
	if l != nil {
		l.ep.Close()
		s.settle()
	}
}

// accept starts handlers for what has been established, and reports whether there
// was anything.
func (l *listener) accept() bool {
	accepted := false
	for {
		l.mu.Lock()
		full := l.running >= l.cfg.Backlog
		l.mu.Unlock()
		if full {
			return accepted
		}
		ep, _, err := l.ep.Accept(nil)
		if err != nil {
			return accepted
		}
		accepted = true
		f := &flow{s: l.s, ep: ep, wasOpen: true}
		f.locate()
		_ = f.configure(l.cfg.Flow)
		l.s.add(f)
		l.mu.Lock()
		l.running++
		l.mu.Unlock()
		l.s.env.Clock.Go(func() {
			l.h(l.s.ctx, f)
			l.mu.Lock()
			l.running--
			l.mu.Unlock()
			if !l.s.disconnected() {
				l.s.settle()
			}
		})
	}
}

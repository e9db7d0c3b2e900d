package kernel

import (
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/sluicenet/sluice/api"
	"golang.org/x/sys/unix"
)

// A listener is one port with a handler. It has a socket for each local address,
// or one for all.
type listener struct {
	s       *Stack
	port    uint16
	cfg     api.FlowConfig
	h       api.Handler
	backlog int
	queue   int // for listen(2)

	fastOpen int

	mu         sync.Mutex
	sockets    []listenSocket
	unfinished int // handlers that have not returned
	closed     bool
	retrying   bool
}

type listenSocket struct {
	fd    int
	ipv6  bool
	addr  netip.Addr
	token uint64
}

// Listen implements [api.Stack] (L1, L2, L3).
func (s *Stack) Listen(port uint16, cfg *api.ListenConfig, h api.Handler) (uint16, error) {
	port, err := s.listen(port, cfg, h)
	if err != nil {
		return port, opError("listen", netip.AddrPortFrom(listenAddress(cfg), port), netip.AddrPort{}, err)
	}
	return port, nil
}

// listenAddress is the address that the listener is restricted to, or the
// unspecified one.
func listenAddress(cfg *api.ListenConfig) netip.Addr {
	switch {
	case cfg == nil:
	case cfg.Address.IsValid():
		return cfg.Address.Unmap()
	case cfg.Flow.Local.Addr().IsValid():
		return cfg.Flow.Local.Addr().Unmap()
	}
	return netip.IPv6Unspecified()
}

func (s *Stack) listen(port uint16, cfg *api.ListenConfig, h api.Handler) (uint16, error) {
	if cfg == nil {
		cfg = &api.ListenConfig{}
	}
	if h == nil {
		return port, invalid("no handler")
	}
	if cfg.Backlog < 0 || cfg.HalfOpen < 0 || cfg.FastOpen < 0 {
		return port, invalid("Backlog, HalfOpen and FastOpen cannot be negative")
	}
	l := &listener{s: s, h: h, cfg: merge(s.config.Flow, &cfg.Flow), backlog: cfg.Backlog, fastOpen: cfg.FastOpen}
	if err := validate(&l.cfg); err != nil {
		return port, err
	}
	if l.backlog == 0 {
		l.backlog = defaultBacklog
	}
	// The argument of listen(2) bounds both the connections that are
	// half-open and those that wait for accept.
	l.queue = l.backlog
	if cfg.HalfOpen > 0 {
		l.queue = min(l.queue, cfg.HalfOpen)
	}
	addrs, err := s.listenAddresses(listenAddress(cfg))
	if err != nil {
		return port, err
	}

	// Lock the table throughout, so that of two calls for one port one fails.
	s.mu.Lock()
	if s.leaving {
		s.mu.Unlock()
		return port, api.ErrDisconnected
	}
	if port != 0 && s.listeners[port] != nil {
		s.mu.Unlock()
		return port, api.ErrPortInUse
	}
	for try := 0; ; try++ {
		l.port, err = l.open(port, addrs)
		// The port that was free at the first address may not be at another.
		if err == nil || port != 0 || try == 16 || !errors.Is(err, api.ErrPortInUse) {
			break
		}
	}
	if err == nil {
		s.listeners[l.port] = l
	}
	s.mu.Unlock()
	if err != nil {
		return port, err
	}
	if err := l.register(); err != nil {
		s.Unlisten(l.port)
		return port, s.disconnectedOr(err)
	}
	return l.port, nil
}

// listenAddresses are the addresses to make sockets for.
func (s *Stack) listenAddresses(a netip.Addr) ([]netip.Addr, error) {
	if !a.IsUnspecified() {
		if !s.own(a) {
			return nil, api.ErrInvalidAddress
		}
		return []netip.Addr{a}, nil
	}
	if len(s.config.Addresses) == 0 {
		return []netip.Addr{a}, nil
	}
	var as []netip.Addr
	for _, p := range s.config.Addresses {
		as = append(as, p.Addr())
	}
	return as, nil
}

// open makes the sockets, all on one port, which it returns.
func (l *listener) open(port uint16, addrs []netip.Addr) (_ uint16, err error) {
	defer func() {
		if err != nil {
			for _, k := range l.sockets {
				unix.Close(k.fd)
			}
			l.sockets = nil
		}
	}()
	for _, a := range addrs {
		k := listenSocket{fd: -1, addr: a}
		if k.fd, k.ipv6, err = l.bind(netip.AddrPortFrom(a, port)); err != nil {
			return port, err
		}
		l.sockets = append(l.sockets, k)
		if l.fastOpen > 0 { // net.ipv4.tcp_fastopen decides whether it has an effect
			if err := unix.SetsockoptInt(k.fd, unix.IPPROTO_TCP, unix.TCP_FASTOPEN, l.fastOpen); err != nil {
				return port, setupError("TCP_FASTOPEN", errnoOf(err))
			}
		}
		if err := unix.Listen(k.fd, l.queue); err != nil {
			return port, setupError("listen", errnoOf(err))
		}
		name, err := unix.Getsockname(k.fd)
		if err != nil {
			return port, err
		}
		port = addrPort(name).Port()
	}
	return port, nil
}

// bind makes one bound socket, with the options that accepted ones inherit. The
// unspecified address stands for those of both families.
func (l *listener) bind(a netip.AddrPort) (_ int, ipv6 bool, err error) {
	family, sa, err := sockaddr(a)
	if err != nil {
		return -1, false, err
	}
	fd, err := socket(family)
	if errors.Is(err, unix.EAFNOSUPPORT) && a.Addr() == netip.IPv6Unspecified() {
		return l.bind(netip.AddrPortFrom(netip.IPv4Unspecified(), a.Port()))
	}
	if err != nil {
		return -1, false, err
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	ipv6 = family == unix.AF_INET6
	if ipv6 {
		only := boolInt(!a.Addr().IsUnspecified())
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only); err != nil {
			return -1, false, err
		}
	}
	// Connections in TIME-WAIT do not keep the port; a listener does, also
	// with this option.
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return -1, false, err
	}
	if err := l.s.apply(fd, ipv6, &api.FlowConfig{}, &l.cfg); err != nil {
		return -1, false, err
	}
	if err := unix.Bind(fd, sa); err != nil {
		return -1, false, setupError("bind", errnoOf(err))
	}
	return fd, ipv6, nil
}

func (l *listener) register() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return api.ErrDisconnected
	}
	for i := range l.sockets {
		k := &l.sockets[i]
		token, err := l.s.poll.add(k.fd, listenEvents, l)
		if err != nil {
			return err
		}
		k.token = token
	}
	return nil
}

// Unlisten implements [api.Stack] (U1). Connections that no handler has seen
// yet are reset by the kernel.
func (s *Stack) Unlisten(port uint16) {
	s.mu.Lock()
	l := s.listeners[port]
	delete(s.listeners, port)
	s.mu.Unlock()
	if l != nil {
		l.close()
	}
}

func (l *listener) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, k := range l.sockets {
		l.s.poll.closeFD(k.fd, k.token)
	}
	l.sockets = nil
}

// event implements handler.
func (l *listener) event(uint32) { l.accept() }

// accept starts handlers for the connections that wait, within the backlog.
func (l *listener) accept() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range l.sockets {
		for l.unfinished < l.backlog {
			fd, sa, err := unix.Accept4(k.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			if err == unix.EAGAIN {
				break
			}
			if err == unix.EINTR || err == unix.ECONNABORTED {
				continue
			}
			if err != nil {
				l.retry(err)
				break
			}
			l.serve(fd, k.ipv6, addrPort(sa))
		}
	}
}

// retry accepts again later: the kernel does not repeat the event. The caller
// holds mu.
func (l *listener) retry(err error) {
	l.s.failed.Add(1)
	if l.retrying {
		return
	}
	l.retrying = true
	l.s.log.Warn("kernel backend: accept failed, trying again", "port", l.port, "error", err)
	time.AfterFunc(50*time.Millisecond, func() {
		l.mu.Lock()
		l.retrying = false
		l.mu.Unlock()
		l.accept()
	})
}

// serve starts the handler of one connection. The caller holds mu.
func (l *listener) serve(fd int, ipv6 bool, dst netip.AddrPort) {
	f := l.s.newFlow(fd, ipv6, l.cfg)
	f.dst = dst
	refuse := func(err error) {
		l.s.refused.Add(1)
		l.s.log.Warn("kernel backend: connection refused", "port", l.port, "peer", dst, "error", err)
		unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		unix.Close(fd)
	}
	local, err := unix.Getsockname(fd)
	if err != nil {
		refuse(err)
		return
	}
	f.src = addrPort(local)
	if err := l.s.admit(f); err != nil {
		refuse(err)
		return
	}
	// Events may come, and even end the flow, before add returns.
	f.fdMu.Lock()
	f.token, err = l.s.poll.add(fd, flowEvents, f)
	if err != nil {
		f.fd = -1
	}
	f.fdMu.Unlock()
	if err != nil {
		l.s.remove(f)
		refuse(err)
		return
	}
	l.s.accepted.Add(1)
	l.unfinished++
	go func() {
		defer l.finished()
		l.s.established(f, api.StateSynReceived)
		l.h(l.s.ctx, f)
	}()
}

// finished ends a handler's place in the backlog.
func (l *listener) finished() {
	l.mu.Lock()
	wasFull := l.unfinished == l.backlog
	l.unfinished--
	l.mu.Unlock()
	if wasFull {
		l.accept()
	}
}

// infos are snapshots of the listening sockets.
func (l *listener) infos() []api.Info {
	l.mu.Lock()
	defer l.mu.Unlock()
	var infos []api.Info
	for _, k := range l.sockets {
		infos = append(infos, api.Info{State: api.StateListen, Src: netip.AddrPortFrom(k.addr, l.port),
			SendWindowScale: -1, RecvWindowScale: -1, TTL: l.cfg.TTL, DSCP: l.cfg.DSCP, NoDelay: l.cfg.NoDelay,
			SendBuffer: l.cfg.SendBuffer, RecvBuffer: l.cfg.ReceiveBuffer})
	}
	return infos
}

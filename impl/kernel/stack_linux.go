package kernel

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicenet/sluice/api"
	"golang.org/x/sys/unix"
)

// Stack is the kernel's TCP. New makes one, and Disconnect ends it.
type Stack struct {
	config   Config
	poll     *poller
	log      *slog.Logger
	observer atomic.Pointer[api.Observer]

	sendDefault, receiveDefault int64 // sizes of buffers

	ctx    context.Context // of handlers; ends with ErrDisconnected
	cancel context.CancelCauseFunc
	left   chan struct{} // closed when the stack has left the network
	polled chan struct{} // closed when the poller's goroutine has ended

	mu        sync.Mutex
	leaving   bool
	gone      bool
	flows     map[*flow]struct{}
	listeners map[uint16]*listener
	idle      signal // a flow has ended

	dialled, accepted, refused, failed atomic.Uint64
}

var (
	_ api.Stack      = (*Stack)(nil)
	_ api.Observable = (*Stack)(nil)
)

// New makes a stack of the host's sockets.
func New(config Config) (*Stack, error) {
	if err := validate(&config.Flow); err != nil {
		return nil, fmt.Errorf("kernel: %w", err)
	}
	if config.Limits.Flows < 0 {
		return nil, fmt.Errorf("kernel: %w", invalid("limit of %d flows", config.Limits.Flows))
	}
	if config.Limits.Flows == 0 {
		config.Limits.Flows = defaultFlows
	}
	for _, p := range config.Addresses {
		if !p.IsValid() || p.Addr().IsMulticast() || p.Addr().IsUnspecified() {
			return nil, fmt.Errorf("kernel: %w: %v", api.ErrInvalidAddress, p)
		}
	}
	p, err := newPoller()
	if err != nil {
		return nil, fmt.Errorf("kernel: %w", err)
	}
	s := &Stack{
		config:         config,
		poll:           p,
		log:            config.Logger,
		sendDefault:    defaultBuffer("tcp_wmem", 16<<10),
		receiveDefault: defaultBuffer("tcp_rmem", 128<<10),
		left:           make(chan struct{}),
		polled:         make(chan struct{}),
		flows:          make(map[*flow]struct{}),
		listeners:      make(map[uint16]*listener),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.observer.Store(config.Observer)
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	go func() {
		defer close(s.polled)
		if err := p.run(); err != nil {
			s.log.Error("kernel backend: waiting for events failed", "error", err)
		}
	}()
	return s, nil
}

// Done returns a channel that is closed when Disconnect is called: from then on
// no flow is accepted. The Listener of package netconn uses it.
func (s *Stack) Done() <-chan struct{} { return s.ctx.Done() }

// SetObserver implements [api.Observable].
func (s *Stack) SetObserver(o *api.Observer) { s.observer.Store(o) }

// admit makes room for one more flow.
func (s *Stack) admit(f *flow) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.leaving:
		return api.ErrDisconnected
	case int64(len(s.flows)) >= s.config.Limits.Flows:
		return api.ErrNoMemory
	}
	s.flows[f] = struct{}{}
	return nil
}

func (s *Stack) remove(f *flow) {
	s.mu.Lock()
	delete(s.flows, f)
	s.mu.Unlock()
	s.idle.broadcast()
}

// established tells the observer of a new flow.
func (s *Stack) established(f *flow, from api.State) {
	if o := s.observer.Load(); o != nil && o.State != nil {
		o.State(f.src, f.dst, from, api.StateEstablished)
	}
}

// own reports whether the stack may use the local address a.
func (s *Stack) own(a netip.Addr) bool {
	for _, p := range s.config.Addresses {
		if p.Addr() == a {
			return true
		}
	}
	return len(s.config.Addresses) == 0
}

// ownOf returns the address of the same family as dst to dial from: none if the
// kernel may choose, and ok is false if the stack has none.
func (s *Stack) ownOf(dst netip.Addr) (a netip.Addr, ok bool) {
	for _, p := range s.config.Addresses {
		if p.Addr().Is4() == dst.Is4() {
			return p.Addr(), true
		}
	}
	return netip.Addr{}, len(s.config.Addresses) == 0
}

// socket makes a non-blocking socket.
func socket(family int) (int, error) {
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return -1, setupError("socket", errnoOf(err))
	}
	// Urgent data stays in the stream (RFC 6093, section 3.1).
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_OOBINLINE, 1); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// Dial implements [api.Stack] (O1, O2).
func (s *Stack) Dial(ctx context.Context, dst netip.AddrPort, cfg *api.FlowConfig) (api.Flow, error) {
	dst = netip.AddrPortFrom(dst.Addr().Unmap(), dst.Port())
	c := merge(s.config.Flow, cfg)
	// A TCP that is dialled at the very port that the kernel has just chosen
	// for the dialler connects to itself (RFC 9293, section 3.5, simultaneous
	// open). Nobody wants that; try another port.
	for try := 0; ; try++ {
		f, err := s.dial(ctx, dst, c)
		if err == nil && f.src == f.dst && c.Local.Port() == 0 && try < 8 {
			f.Abort()
			continue
		}
		if err != nil {
			if errors.Is(err, api.ErrRefused) {
				s.refused.Add(1)
			} else {
				s.failed.Add(1)
			}
			return nil, opError("dial", c.Local, dst, err)
		}
		s.dialled.Add(1)
		s.established(f, api.StateSynSent)
		return f, nil
	}
}

func (s *Stack) dial(ctx context.Context, dst netip.AddrPort, c api.FlowConfig) (_ *flow, err error) {
	if err := validate(&c); err != nil {
		return nil, err
	}
	if !dst.IsValid() || dst.Port() == 0 || dst.Addr().IsMulticast() || dst.Addr().IsUnspecified() {
		return nil, api.ErrInvalidAddress
	}
	family, to, err := sockaddr(dst)
	if err != nil {
		return nil, err
	}
	fd, err := socket(family)
	if err != nil {
		return nil, err
	}
	f := s.newFlow(fd, family == unix.AF_INET6, c)
	f.dialled = true
	f.dst = dst
	f.connecting.Store(true)
	defer func() {
		if err == nil {
			return
		}
		f.fdMu.Lock()
		if f.fd >= 0 {
			s.poll.closeFD(f.fd, f.token)
			f.fd = -1
		}
		f.fdMu.Unlock()
		s.remove(f)
	}()
	if err := s.admit(f); err != nil {
		return nil, err
	}
	if err := s.apply(fd, f.ipv6, &api.FlowConfig{}, &c); err != nil {
		return nil, err
	}
	if err := s.bindLocal(fd, dst.Addr(), c.Local); err != nil {
		return nil, err
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_SYNCNT, synRetries(c.UserTimeout)); err != nil {
		return nil, err
	}
	if f.token, err = s.poll.add(fd, flowEvents, f); err != nil {
		return nil, s.disconnectedOr(err)
	}
	if err := f.connect(ctx, to, c.UserTimeout); err != nil {
		return nil, err
	}
	return f, nil
}

// synRetries is how often the kernel is to repeat a SYN. The default, 6, gives
// up before the three minutes that O2 and RFC 9293, section 3.8.3, R2, ask for:
// with n repetitions, the last wait ends after 2^(n+1)-1 seconds or more.
func synRetries(userTimeout time.Duration) int {
	n := 7
	for n < 20 && time.Duration(1<<(n+1)-1)*time.Second < userTimeout {
		n++
	}
	return n
}

// disconnectedOr returns err, or ErrDisconnected if the stack is leaving.
func (s *Stack) disconnectedOr(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leaving {
		return api.ErrDisconnected
	}
	return err
}

// bindLocal binds fd to local, as far as that is specified.
func (s *Stack) bindLocal(fd int, dst netip.Addr, local netip.AddrPort) error {
	a := local.Addr().Unmap()
	if a.IsValid() && !a.IsUnspecified() {
		if a.Is4() != dst.Is4() || !s.own(a) {
			return api.ErrInvalidAddress
		}
	} else {
		own, ok := s.ownOf(dst)
		switch {
		case !ok:
			return api.ErrUnreachable
		case own.IsValid():
			a = own
		case local.Port() == 0:
			return nil
		case dst.Is4():
			a = netip.IPv4Unspecified()
		default:
			a = netip.IPv6Unspecified()
		}
	}
	_, sa, err := sockaddr(netip.AddrPortFrom(a, local.Port()))
	if err != nil {
		return err
	}
	// A port of one's own choice may be in TIME-WAIT; one of the kernel's is
	// better chosen by connect, which knows the destination.
	level, opt := unix.SOL_SOCKET, unix.SO_REUSEADDR
	if local.Port() == 0 {
		level, opt = unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT
	}
	if err := unix.SetsockoptInt(fd, level, opt, 1); err != nil {
		return err
	}
	if err := unix.Bind(fd, sa); err != nil {
		return setupError("bind", errnoOf(err))
	}
	return nil
}

// connect performs the handshake.
func (f *flow) connect(ctx context.Context, to unix.Sockaddr, limit time.Duration) error {
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, api.ErrTimeout)
		defer cancel()
	}
	if err := context.Cause(ctx); err != nil { // a handshake cannot but block
		return err
	}
	switch err := unix.Connect(f.fd, to); err {
	case nil, unix.EINPROGRESS, unix.EINTR:
	default:
		return setupError("connect", errnoOf(err))
	}
	local, err := unix.Getsockname(f.fd)
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.src = addrPort(local)
	f.mu.Unlock()
	for {
		wake := f.writable.wait()
		errno, err := unix.GetsockoptInt(f.fd, unix.SOL_SOCKET, unix.SO_ERROR)
		if err != nil {
			return err
		}
		if errno := unix.Errno(errno); errno == unix.ECONNRESET || errno == unix.EPIPE {
			// Established, and already over: in SYN-SENT it is ECONNREFUSED.
			f.sockErr.Store(int32(errno))
			break
		} else if errno != 0 {
			return setupError("connect", errno)
		}
		if state := socketState(f.fd); state != unix.BPF_TCP_SYN_SENT && state != unix.BPF_TCP_SYN_RECV {
			break
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-f.s.ctx.Done():
			return api.ErrDisconnected
		}
	}
	f.connecting.Store(false) // from here on the poller may close the descriptor
	if f.s.ctx.Err() != nil { // Disconnect may not have noticed us
		return api.ErrDisconnected
	}
	// Look at what may have happened before the events were for us.
	f.fdMu.RLock()
	polled := []unix.PollFd{{Fd: int32(f.fd), Events: unix.POLLIN | unix.POLLRDHUP | unix.POLLPRI}}
	n, _ := unix.Poll(polled, 0) // looks at nothing if the descriptor is -1
	f.fdMu.RUnlock()
	if n > 0 {
		f.event(uint32(uint16(polled[0].Revents)))
	}
	return nil
}

// Disconnect implements [api.Stack] (X1, X2). TIME-WAIT is left to the kernel.
func (s *Stack) Disconnect(ctx context.Context) {
	s.mu.Lock()
	s.leaving = true
	var listeners []*listener
	for _, l := range s.listeners {
		listeners = append(listeners, l)
	}
	clear(s.listeners)
	flows := s.flowsLocked()
	s.mu.Unlock()
	s.cancel(api.ErrDisconnected)
	for _, l := range listeners {
		l.close()
	}
	for _, f := range flows {
		f.CloseWrite()
	}
	for {
		wake := s.idle.wait()
		s.mu.Lock()
		n := len(s.flows)
		s.mu.Unlock()
		if n == 0 {
			break
		}
		select {
		case <-wake:
			continue
		case <-s.left: // another call was less patient
			continue
		case <-ctx.Done():
		}
		s.mu.Lock()
		flows = s.flowsLocked()
		s.mu.Unlock()
		for _, f := range flows {
			f.abort(api.ErrDisconnected)
		}
		// What is left are dials, which s.ctx has ended.
		ctx = context.Background()
	}
	s.mu.Lock()
	first := !s.gone
	s.gone = true
	s.mu.Unlock()
	if first {
		s.poll.close()
		close(s.left)
	}
	<-s.polled
}

func (s *Stack) flowsLocked() []*flow {
	flows := make([]*flow, 0, len(s.flows))
	for f := range s.flows {
		flows = append(flows, f)
	}
	return flows
}

// Info implements [api.Stack]. It counts what passed through this stack; the
// kernel's counters of packets are for the whole host, and stay out.
func (s *Stack) Info() api.StackInfo {
	info := api.StackInfo{
		Backend:   "kernel",
		Addresses: s.addresses(),
		Opened:    s.dialled.Load(),
		Accepted:  s.accepted.Load(),
		Refused:   s.refused.Load(),
		Failed:    s.failed.Load(),
	}
	s.mu.Lock()
	flows := s.flowsLocked()
	info.Listeners = int64(len(s.listeners))
	s.mu.Unlock()
	for _, f := range flows {
		if f.connecting.Load() {
			info.HalfOpen++
			continue
		}
		info.Flows++
		i := f.Info()
		info.Memory += i.Memory
		info.SegmentsIn += i.SegmentsReceived
		info.SegmentsOut += i.SegmentsSent
		info.Retransmits += i.Retransmits
	}
	return info
}

// addresses are those configured, or all of the host's.
func (s *Stack) addresses() []netip.Prefix {
	if len(s.config.Addresses) > 0 {
		return append([]netip.Prefix(nil), s.config.Addresses...)
	}
	var ps []netip.Prefix
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		s.log.Warn("kernel backend: no list of local addresses", "error", err)
		return nil
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			ip, _ := netip.AddrFromSlice(n.IP)
			ones, _ := n.Mask.Size()
			ps = append(ps, netip.PrefixFrom(ip.Unmap(), ones))
		}
	}
	return ps
}

// Flows implements [api.Stack]. Connections in TIME-WAIT are not among them.
func (s *Stack) Flows() iter.Seq[api.Info] {
	return func(yield func(api.Info) bool) {
		s.mu.Lock()
		flows := s.flowsLocked()
		var infos []api.Info
		for _, l := range s.listeners {
			infos = append(infos, l.infos()...)
		}
		s.mu.Unlock()
		for _, i := range infos {
			if !yield(i) {
				return
			}
		}
		for _, f := range flows {
			if !yield(f.Info()) {
				return
			}
		}
	}
}

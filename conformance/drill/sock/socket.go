package sock

import (
	"context"
	"errors"
	"net/netip"
	"syscall"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
)

// A socket is one descriptor's. Its fields are under the process's mu.
type socket struct {
	p        *Proc
	domain   int
	protocol int
	nonblock bool
	opt      options

	bound    bool
	local    netip.AddrPort // as bound, unmapped
	flow     api.Flow       // connected, or was
	dst      netip.AddrPort // of connect
	dialling bool
	deferred bool                    // connected by the first write (TCP_FASTOPEN_CONNECT)
	fast     bool                    // accepted by Fast Open
	fresh    bool                    // connected without connect having told so
	active   bool                    // connected by connect
	failed   bool                    // a connect has failed
	cancel   context.CancelCauseFunc // of the dial
	listener *listener

	soErr   Errno // pending: SO_ERROR
	errSeen bool  // the flow's reason has been turned into soErr
	softErr error // the last soft error reported

	rdShut, wrShut bool
	eof            bool   // the end of the stream has been read from the flow
	ahead          []byte // read from the flow and not yet by the user
	mark           int    // ahead[mark] follows the urgent byte; -1: none
	oob            int    // urgent byte, -1 none, -2 read already
	cork           []byte // written and held back
	flush          clock.Timer
	closed         bool

	notices  notices
	tuned    Tuning
	flushing bool   // flush is armed
	changes  uint64 // of its state, for edges
	noSpace  bool   // somebody has found the send buffer full
	spaceGen uint64 // counts the times that it was so no longer
}

// listener is a listening socket's queue.
type listener struct {
	s       *socket
	port    uint16
	queue   []*accepted
	down    bool
	backlog int

	established uint64 // connections so far, for edges
}

type accepted struct {
	flow  api.Flow
	taken clock.Waiter
}

// Socket implements [Process].
func (p *Proc) Socket(domain, typ, protocol int) (int, error) {
	if domain != AFInet && domain != AFInet6 {
		return -1, EAFNOSUPPORT
	}
	switch typ & SockTypeMask {
	case SockStream:
		switch protocol {
		case 0, IPProtoTCP:
		case 132:
			return -1, Unsupported{"SCTP"}
		case 262:
			return -1, Unsupported{"MPTCP"}
		default:
			return -1, EPROTONOSUPPORT
		}
	case SockDgram:
		if protocol == 136 {
			return -1, Unsupported{"UDP-Lite"}
		}
		return -1, Unsupported{"UDP sockets"}
	case SockRaw:
		return -1, Unsupported{"raw sockets"}
	case 5:
		return -1, Unsupported{"SCTP"}
	default:
		return -1, EINVAL
	}
	s := &socket{p: p, domain: domain, protocol: IPProtoTCP, nonblock: typ&SockNonblock != 0, mark: -1, oob: -1}
	s.opt.init(&p.cfg)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.alloc(s), nil
}

// Bind implements [Process].
func (p *Proc) Bind(fd int, addr netip.AddrPort) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, err := p.socket(fd)
	if err != nil {
		return err
	}
	if s.bound || s.flow != nil || s.listener != nil || s.dialling {
		return EINVAL
	}
	if s.domain == AFInet && !addr.Addr().Is4() {
		return EAFNOSUPPORT
	}
	addr = unmap(addr)
	if a := addr.Addr(); !a.IsUnspecified() && !p.own(a) {
		return EADDRNOTAVAIL
	}
	port := addr.Port()
	if port != 0 && p.ports[port] > 0 && !s.opt.reuse() {
		return EADDRINUSE
	}
	if port == 0 {
		for port = 40000; p.ports[port] > 0; port++ {
		}
		addr = netip.AddrPortFrom(addr.Addr(), port)
	}
	p.ports[port]++
	s.bound, s.local = true, addr
	return nil
}

// own reports whether a is an address of the stack.
func (p *Proc) own(a netip.Addr) bool {
	for _, pre := range p.cfg.Stack.Info().Addresses {
		if pre.Addr().Unmap() == a {
			return true
		}
	}
	return false
}

// Listen implements [Process].
func (p *Proc) Listen(fd, backlog int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, err := p.socket(fd)
	if err != nil {
		return err
	}
	if s.listener != nil {
		s.listener.backlog = backlog
		return nil
	}
	if s.flow != nil && s.flow.CloseReason() == nil && !s.ended() || s.dialling {
		return EINVAL
	}
	if backlog < 0 || backlog > p.cfg.Somaxconn {
		backlog = p.cfg.Somaxconn
	}
	l := &listener{s: s, backlog: backlog}
	cfg := &api.ListenConfig{Flow: s.flowConfig(), Backlog: backlog + 1}
	cfg.Flow.Local = netip.AddrPort{}
	if a := s.local.Addr(); s.bound && !a.IsUnspecified() {
		cfg.Address = a
	}
	port, err := p.cfg.Stack.Listen(s.local.Port(), cfg, l.handle)
	if err != nil {
		return p.errno(err)
	}
	l.port = port
	s.listener = l
	s.listenFastOpen(backlog)
	if !s.bound {
		s.bound = true
		a := netip.IPv4Unspecified()
		if s.domain == AFInet6 {
			a = netip.IPv6Unspecified()
		}
		s.local = netip.AddrPortFrom(a, port)
		p.ports[port]++
	}
	return nil
}

// handle runs for every flow established. It returns when the flow has been
// accepted: until then it takes a place in the backlog.
func (l *listener) handle(ctx context.Context, f api.Flow) {
	p := l.s.p
	a := &accepted{flow: f, taken: p.cfg.Clock.NewWaiter()}
	p.mu.Lock()
	if l.down {
		p.mu.Unlock()
		f.Abort()
		return
	}
	l.queue = append(l.queue, a)
	l.established++
	p.mu.Unlock()
	p.changed()
	_ = a.taken.Park(ctx)
}

// close stops listening and resets what nobody has accepted.
func (l *listener) close() {
	p := l.s.p
	p.mu.Lock()
	l.down = true
	queue := l.queue
	l.queue = nil
	p.mu.Unlock()
	p.cfg.Stack.Unlisten(l.port)
	for _, a := range queue {
		a.flow.Abort()
		a.taken.Wake()
	}
	p.changed()
}

// Accept implements [Process].
func (p *Proc) Accept(ctx context.Context, fd, flags int) (int, netip.AddrPort, error) {
	p.mu.Lock()
	s, err := p.socket(fd)
	var l *listener
	if err == nil {
		if l = s.listener; l == nil {
			err = EINVAL
		}
	}
	var nonblock bool
	var timeout time.Duration = -1
	if err == nil {
		nonblock = s.nonblock
		timeout = s.opt.timeout(SoRcvTimeo)
	}
	p.mu.Unlock()
	if err != nil {
		return -1, netip.AddrPort{}, err
	}
	if nonblock {
		timeout = 0
	}
	var a *accepted
	var closed bool
	try := func() bool {
		if l.down {
			closed = true
			return true
		}
		if len(l.queue) == 0 {
			return false
		}
		a, l.queue = l.queue[0], l.queue[1:]
		return true
	}
	if nonblock {
		p.mu.Lock()
		ok := try()
		p.mu.Unlock()
		if !ok {
			return -1, netip.AddrPort{}, EAGAIN
		}
	} else if err := p.wait(ctx, timeout, try); err != nil {
		if err == errTimeout {
			err = EAGAIN
		}
		return -1, netip.AddrPort{}, err
	}
	if closed {
		return -1, netip.AddrPort{}, EINVAL
	}
	p.mu.Lock()
	n := &socket{p: p, domain: s.domain, protocol: s.protocol, nonblock: flags&SockNonblock != 0, bound: true,
		flow: a.flow, local: a.flow.Src(), dst: a.flow.Dst(), mark: -1, oob: -1}
	if i := a.flow.Info(); i.FastOpen == "accepted" || i.State == api.StateSynReceived {
		n.fast = true
	}
	n.opt = s.opt.clone()
	newFD := p.alloc(n)
	peer := n.remap(a.flow.Dst())
	p.mu.Unlock()
	n.applyOptions() // what has been set since listen
	a.taken.Wake()
	return newFD, peer, nil
}

// Connect implements [Process].
func (p *Proc) Connect(ctx context.Context, fd int, addr netip.AddrPort) error {
	p.mu.Lock()
	s, err := p.socket(fd)
	if err == nil {
		err = s.mayConnect(addr)
	}
	if err != nil {
		p.mu.Unlock()
		if err == errConnected {
			return nil
		}
		return err
	}
	if s.dialling || s.deferred && !s.nonblock { // a second connect
		nonblock := s.nonblock
		p.mu.Unlock()
		if nonblock {
			return EALREADY
		}
		return s.waitConnected(ctx)
	}
	if s.deferConnect(addr) {
		p.mu.Unlock()
		return nil
	}
	s.dst = unmap(addr)
	cfg := s.flowConfig()
	open := func(ctx context.Context) (api.Flow, error) { return p.cfg.Stack.Dial(ctx, s.dst, &cfg) }
	if s.fastOption(TCPFastOpenConnect) != 0 { // the SYN asks for a cookie
		open = func(ctx context.Context) (api.Flow, error) {
			return p.cfg.FastOpen.Dial(ctx, s.dst, &cfg, false, nil)
		}
	}
	dial := s.begin(open)
	nonblock := s.nonblock
	p.mu.Unlock()
	p.cfg.Clock.Go(dial)
	if nonblock {
		return s.begun(ctx)
	}
	return s.waitConnected(ctx)
}

func (s *socket) mayConnect(addr netip.AddrPort) error {
	switch {
	case s.deferred && !s.nonblock: // it waits for the write
		return nil
	case s.listener != nil, s.deferred:
		return EISCONN
	case s.flow != nil && s.fresh:
		s.fresh = false
		return errAgainConnected(s)
	case s.flow != nil && !s.ended():
		return EISCONN
	case s.soErr != "" && !s.dialling && s.failed:
		e := s.soErr
		s.soErr = ""
		if !s.p.cfg.FreeBSD {
			s.failed = false
		}
		return e
	case s.dialling:
		return nil
	case s.failed:
		if !s.p.cfg.FreeBSD {
			s.failed = false // Linux says it once
		}
		return ECONNABORTED
	case !addr.IsValid():
		return EAFNOSUPPORT
	case s.domain == AFInet && !addr.Addr().Is4():
		return EAFNOSUPPORT
	}
	return nil
}

// errAgainConnected is what the first connect after an asynchronous one has
// succeeded returns: success on Linux, EISCONN on FreeBSD.
func errAgainConnected(s *socket) error {
	if s.p.cfg.FreeBSD {
		return EISCONN
	}
	return errConnected
}

// errConnected is no error.
const errConnected = Errno("connected")

// dial runs in a goroutine of its own.
func (s *socket) dial(ctx context.Context, open func(context.Context) (api.Flow, error)) {
	p := s.p
	f, err := open(ctx)
	p.mu.Lock()
	s.dialling = false
	s.changes++
	if err != nil {
		s.failed = true
		if ctx.Err() == nil {
			s.soErr = p.errno(err)
		}
		p.mu.Unlock()
		p.changed()
		return
	}
	if s.closed {
		p.mu.Unlock()
		f.Abort()
		return
	}
	s.flow, s.fresh, s.active = f, true, true
	s.local = f.Src()
	if !s.bound {
		s.bound = true
		p.ports[s.local.Port()]++
	}
	p.mu.Unlock()
	s.applyOptions()
	p.changed()
}

func (s *socket) waitConnected(ctx context.Context) error {
	p := s.p
	var result error
	timeout := time.Duration(-1)
	p.mu.Lock()
	timeout = s.opt.timeout(SoSndTimeo)
	p.mu.Unlock()
	err := p.wait(ctx, timeout, func() bool {
		if s.dialling || s.deferred {
			return false
		}
		if s.flow != nil {
			s.fresh = false
			return true
		}
		result = ECONNABORTED
		if s.soErr != "" {
			result, s.soErr = s.soErr, ""
		}
		s.failed = false // another connect may be tried
		return true
	})
	if err == errTimeout {
		return EINPROGRESS
	}
	if err != nil {
		return err
	}
	return result
}

// ended reports whether the connection is over in both directions, as far as the
// socket sees it.
func (s *socket) ended() bool {
	if s.flow == nil {
		return false
	}
	switch s.flow.Info().State {
	case api.StateClosed, api.StateTimeWait:
		return true
	}
	return false
}

// state is the connection's.
func (s *socket) state() api.State {
	switch {
	case s.flow != nil:
		return s.flow.Info().State
	case s.listener != nil && !s.listener.down:
		return api.StateListen
	case s.deferred:
		return api.StateSynSent
	case s.dialling:
		if i, ok := s.dialInfo(); ok {
			return i.State
		}
		return api.StateSynSent
	}
	return api.StateClosed
}

// dialInfo finds the connection that connect is opening.
func (s *socket) dialInfo() (api.Info, bool) {
	for i := range s.p.cfg.Stack.Flows() {
		if i.Dst == s.dst && (i.State == api.StateSynSent || i.State == api.StateSynReceived) {
			return i, true
		}
	}
	return api.Info{}, false
}

// errno translates an error of the stack.
func (p *Proc) errno(err error) Errno {
	switch {
	case errors.Is(err, api.ErrRefused):
		return ECONNREFUSED
	case errors.Is(err, api.ErrTimeout), errors.Is(err, api.ErrKeepalive):
		return ETIMEDOUT
	case errors.Is(err, api.ErrReset):
		return ECONNRESET
	case errors.Is(err, api.ErrPortInUse):
		return EADDRINUSE
	case errors.Is(err, api.ErrNoPorts), errors.Is(err, api.ErrInvalidAddress):
		return EADDRNOTAVAIL
	case errors.Is(err, api.ErrUnreachable):
		for _, e := range []struct {
			is  syscall.Errno
			was Errno
		}{{syscall.ENETUNREACH, ENETUNREACH}, {syscall.ENOPROTOOPT, ENOPROTOOPT}, {syscall.EACCES, EACCES}} {
			if errors.Is(err, e.is) {
				return e.was
			}
		}
		return EHOSTUNREACH
	case errors.Is(err, api.ErrNoMemory):
		return ENOBUFS
	case errors.Is(err, api.ErrDisconnected):
		return ENETDOWN
	case errors.Is(err, api.ErrAborted):
		return ECONNABORTED
	case errors.Is(err, api.ErrInvalidConfig):
		return EINVAL
	}
	return EINVAL
}

// sync turns what has become of the flow into soErr, once. The caller holds mu.
func (s *socket) sync() {
	f := s.flow
	if f == nil {
		return
	}
	if !s.errSeen {
		if reason := f.CloseReason(); reason != nil {
			s.errSeen = true
			e := s.p.errno(reason)
			switch {
			case e == ECONNABORTED:
				e = "" // our own doing
			case e == ECONNRESET && s.p.flowState(f).last == api.StateCloseWait && !s.p.cfg.FreeBSD:
				e = EPIPE
			case e == ETIMEDOUT:
				if soft := f.Info().SoftError; soft != nil && errors.Is(soft, api.ErrUnreachable) {
					e = s.p.errno(soft)
				}
			}
			s.soErr = e
		}
	}
	if s.opt.ints[option{IPProtoIP, IPRecvErr}] != 0 || s.opt.ints[option{IPProtoV6, IPv6RecvErr}] != 0 {
		if soft := f.Info().SoftError; soft != nil && soft != s.softErr && errors.Is(soft, api.ErrUnreachable) {
			s.softErr = soft
			if s.soErr == "" {
				s.soErr = s.p.errno(soft)
			}
		}
	}
}

// takeErr returns the pending error and clears it.
func (s *socket) takeErr() Errno {
	s.sync()
	e := s.soErr
	s.soErr = ""
	return e
}

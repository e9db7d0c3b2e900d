package sock

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
)

// Config is what a process lives in.
type Config struct {
	Stack api.Stack
	Clock clock.Clock

	// FreeBSD selects its errors, option values and tcp_info where they differ
	// from Linux's.
	FreeBSD bool

	// Flow has the defaults of every socket: buffers, for instance.
	Flow api.FlowConfig

	// Controllers are the congestion controllers of the stack by the names that
	// TCP_CONGESTION has for them, the default first.
	Controllers []string

	// SynRetries is how often a SYN is sent again, for TCP_SYNCNT's default.
	SynRetries int

	// Somaxconn bounds the backlog of listen; 0: 4096.
	Somaxconn int

	// Keepalive are the defaults of TCP_KEEPIDLE and the rest; zero: 2 h, 75 s, 9.
	Keepalive api.KeepaliveConfig

	// SynLinear is how many timeouts of a SYN are not doubled.
	SynLinear int

	// NotSentLowat is TCP_NOTSENT_LOWAT where a socket has none; 0: there is none.
	NotSentLowat int

	// ReceiveMax and SendMax bound SO_RCVBUF and SO_SNDBUF; 0: nothing does.
	ReceiveMax, SendMax int64

	// Tune, if not nil, gives an open flow what options of its socket ask for.
	Tune func(f api.Flow, t *Tuning)

	// Switch, if not nil, gives an open flow another congestion controller, if it can.
	Switch func(f api.Flow, name string) bool

	// DeferAccept, if not nil, makes listeners wait for data: so many timeouts of a
	// SYN-ACK.
	DeferAccept func(timeouts int)

	// FastOpen, if not nil, is what the stack can do of TCP Fast Open, and FastOpenBits
	// the value of net.ipv4.tcp_fastopen.
	FastOpen     FastOpen
	FastOpenBits int64

	// Init, if not 0, is how long a connect may take (FreeBSD's keepinit).
	Init time.Duration
}

// Tuning is what socket options ask of TCP beyond an [api.FlowConfig]. Zero fields ask
// for nothing.
type Tuning struct {
	FinWait2       time.Duration // negative: none
	RTOMin, RTOMax time.Duration
	DelayedAck     time.Duration
	LinearThin     bool
	MaxPacing      int64 // bytes per second
	NoPMTUD        bool
}

// Proc is a [Process] over a stack. Its methods may be called from any goroutine
// of its clock.
type Proc struct {
	cfg Config

	mu    sync.Mutex // never held while anything waits
	files map[int]any
	ports map[uint16]int // bound ports that connect or listen may use, and how often

	wmu     sync.Mutex // what Notify functions touch
	looking bool       // Observe has started somebody
	waiters []clock.Waiter
	flows   map[api.Flow]*flowState
}

var _ Process = (*Proc)(nil)

// A flowState is what is known of a flow from its notifications.
type flowState struct {
	last              api.State // before it ended
	arrivals, changes uint64    // notifications of data, and of what concerns everybody
}

// New returns a process without descriptors but 0, 1 and 2.
func New(cfg Config) *Proc {
	if cfg.Somaxconn == 0 {
		cfg.Somaxconn = 4096
	}
	if len(cfg.Controllers) == 0 {
		cfg.Controllers = []string{"reno"}
	}
	p := &Proc{
		cfg:   cfg,
		files: map[int]any{0: nil, 1: nil, 2: nil},
		ports: make(map[uint16]int),
		flows: make(map[api.Flow]*flowState),
	}
	return p
}

// ended is a context that has ended: calls with it do not block.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// notify is the Notify of all flows.
func (p *Proc) notify(f api.Flow, r api.Readiness) {
	state := f.Info().State
	p.wmu.Lock()
	s := p.flows[f]
	if s == nil {
		s = &flowState{last: state}
		p.flows[f] = s
	}
	if r&(api.ReadyRead|api.ReadyUrgent) != 0 {
		s.arrivals++
	}
	if r&(api.ReadyClosed|api.ReadyError) != 0 || state != s.last && state != api.StateEstablished {
		s.changes++
	}
	if state != api.StateClosed {
		s.last = state
	}
	p.wmu.Unlock()
	p.changed()
}

func (p *Proc) flowState(f api.Flow) flowState {
	p.wmu.Lock()
	defer p.wmu.Unlock()
	if s := p.flows[f]; s != nil {
		return *s
	}
	return flowState{}
}

// Observe says that a packet has left the stack or has reached it. Nobody is notified
// of what has been sent and acknowledged, so the sockets look for themselves, a moment
// later. It may be called with any lock held.
func (p *Proc) Observe() {
	p.wmu.Lock()
	defer p.wmu.Unlock()
	if p.looking {
		return
	}
	p.looking = true
	p.cfg.Clock.Go(func() {
		p.wmu.Lock()
		p.looking = false
		p.wmu.Unlock()
		p.mu.Lock()
		now := p.cfg.Clock.Wall(p.cfg.Clock.Now())
		for _, s := range p.sockets() {
			s.observe(now)
		}
		p.mu.Unlock()
		p.changed()
	})
}

// Retune gives every open flow to f, for settings that have changed, and then what the
// options of its socket ask for once more.
func (p *Proc) Retune(f func(api.Flow)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.sockets() {
		if s.flow == nil {
			continue
		}
		f(s.flow)
		if s.tuned != (Tuning{}) && p.cfg.Tune != nil {
			p.cfg.Tune(s.flow, &s.tuned)
		}
	}
}

// sockets are those that are open, in the order of their descriptors. The caller
// holds mu.
func (p *Proc) sockets() (out []*socket) {
	fds := slices.Sorted(maps.Keys(p.files))
	for _, fd := range fds {
		if s, ok := p.files[fd].(*socket); ok {
			out = append(out, s)
		}
	}
	return out
}

// changed lets everyone who waits look again.
func (p *Proc) changed() {
	p.wmu.Lock()
	defer p.wmu.Unlock()
	for _, w := range p.waiters {
		w.Wake()
	}
}

// errTimeout is what wait returns when its time is over.
const errTimeout = Errno("timeout")

// wait calls try, with mu held, until it returns true, or the timeout, if it is
// not negative, is over (errTimeout), or ctx ends (EINTR).
func (p *Proc) wait(ctx context.Context, timeout time.Duration, try func() bool) error {
	w := p.cfg.Clock.NewWaiter()
	p.wmu.Lock()
	p.waiters = append(p.waiters, w)
	p.wmu.Unlock()
	defer func() {
		p.wmu.Lock()
		defer p.wmu.Unlock()
		for i := range p.waiters {
			if p.waiters[i] == w {
				p.waiters = append(p.waiters[:i], p.waiters[i+1:]...)
				return
			}
		}
	}()
	inner := ctx
	if timeout >= 0 {
		var cancel context.CancelFunc
		inner, cancel = p.cfg.Clock.WithTimeout(ctx, timeout)
		defer cancel()
	}
	for {
		p.mu.Lock()
		done := try()
		p.mu.Unlock()
		if done {
			return nil
		}
		if w.Park(inner) == nil {
			continue
		}
		if ctx.Err() != nil {
			return EINTR
		}
		return errTimeout
	}
}

// alloc puts a file at the lowest free descriptor. The caller holds mu.
func (p *Proc) alloc(f any) int {
	fd := 0
	for {
		if _, taken := p.files[fd]; !taken {
			p.files[fd] = f
			return fd
		}
		fd++
	}
}

// socket returns the socket with a descriptor. The caller holds mu.
func (p *Proc) socket(fd int) (*socket, error) {
	f, ok := p.files[fd]
	if !ok {
		return nil, EBADF
	}
	s, ok := f.(*socket)
	if !ok {
		return nil, ENOTSOCK
	}
	return s, nil
}

// Shutdown of the whole process: every descriptor is closed and every flow aborted.
func (p *Proc) Exit() {
	p.mu.Lock()
	var socks []*socket
	for _, f := range p.files {
		if s, ok := f.(*socket); ok {
			socks = append(socks, s)
		}
	}
	p.files = map[int]any{}
	p.mu.Unlock()
	for _, s := range socks {
		p.mu.Lock()
		flow, cancel, l := s.flow, s.cancel, s.listener
		p.mu.Unlock()
		if cancel != nil {
			cancel(EINTR)
		}
		if l != nil {
			l.close()
		}
		if flow != nil {
			flow.Abort()
		}
	}
	p.changed()
}

// unmap returns an address as the stack knows it.
func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// remap returns an address as a socket of a domain shows it.
func (s *socket) remap(a netip.AddrPort) netip.AddrPort {
	if s.domain == AFInet6 && a.Addr().Is4() {
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr().As16()), a.Port())
	}
	return a
}

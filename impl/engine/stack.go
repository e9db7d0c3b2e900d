package engine

import (
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/impl/engine/host"
)

// Stack is an api.Stack in user space.
type Stack struct {
	backend   string
	link      link.Link // of IP packets
	ether     *ether    // the same, if the link carries Ethernet; or nil
	clock     clock.Clock
	log       *slog.Logger
	addresses []netip.Prefix
	hashKey   uint64
	shards    []*shard
	budget    *host.Budget
	observer  atomic.Pointer[api.Observer]

	handlers     context.Context // of handlers: ends when the stack disconnects
	stopHandlers context.CancelCauseFunc

	leaving    atomic.Bool // no flow is opened any more
	dropsAfter atomic.Uint64
	dropsLink  atomic.Uint64

	mu        sync.Mutex
	listeners map[uint16]*listener
	forwards  []*forwarder
	left      bool // Disconnect has begun
	done      bool // and has ended
	doneWait  []clock.Waiter
	rand      *rand.Rand
}

var (
	_ api.Stack      = (*Stack)(nil)
	_ api.Observable = (*Stack)(nil)
	_ api.Forwarder  = (*Stack)(nil)
	_ api.FastDialer = (*Stack)(nil)
)

// New returns a stack that is attached to its link. It fails if the
// configuration cannot work; the error says why, and matches
// api.ErrInvalidConfig.
func New(cfg Config) (*Stack, error) {
	if err := check(&cfg); err != nil {
		return nil, err
	}
	s := &Stack{
		backend:   cfg.Backend,
		link:      cfg.Link,
		clock:     cfg.Clock,
		log:       cfg.Logger,
		addresses: append([]netip.Prefix(nil), cfg.Addresses...),
		listeners: make(map[uint16]*listener),
		budget: &host.Budget{
			MemoryLimit:   cfg.Limits.Memory,
			FlowLimit:     cfg.Limits.Flows,
			HalfOpenLimit: cfg.Limits.HalfOpen,
		},
	}
	s.observer.Store(cfg.Observer)
	s.handlers, s.stopHandlers = s.clock.WithCancel(context.Background())

	secret := newSecret(cfg.Seed)
	s.hashKey = binary.LittleEndian.Uint64(secret[24:])
	s.rand = rand.New(rand.NewChaCha8(secret))
	controllers := make(map[string]cc.Factory, len(cfg.Controllers))
	for _, f := range cfg.Controllers {
		controllers[f.Name()] = f
	}
	attrs := cfg.Link.Attributes()
	if attrs.Medium == link.Ethernet {
		e, err := newEther(s, &cfg)
		if err != nil {
			return nil, err
		}
		s.link, s.ether = e, e
	}
	servers := new(fastOpenMemory)
	for i := range cfg.Shards {
		sh, err := newShard(s, &host.Config{
			Params:      cfg.Params,
			Addresses:   s.addresses,
			Gateways:    cfg.Gateways,
			MTU:         attrs.MTU,
			MaxGSO:      attrs.MaxGSO,
			TxChecksum:  attrs.TxChecksum,
			Flow:        cfg.Flow,
			Controllers: controllers,
			Secret:      secret,
			Seed:        s.rand.Uint64(),
			ISN:         cfg.ISN,
			Budget:      s.budget,
			Servers:     servers,
			MaxTimeWait: max(cfg.Limits.TimeWait/cfg.Shards, 1),
		})
		if err != nil {
			return nil, fmt.Errorf("shard %d: %w", i, err)
		}
		s.shards = append(s.shards, sh)
	}
	if err := s.link.Attach(s.receive); err != nil {
		return nil, fmt.Errorf("attach to link %q: %w", attrs.Name, err)
	}
	s.log.Info("stack attached", "backend", s.backend, "link", attrs.Name, "mtu", attrs.MTU, "addresses", s.addresses)
	return s, nil
}

// check completes cfg, and finds what cannot work.
func check(cfg *Config) error {
	switch {
	case cfg.Link == nil:
		return configError("Link is missing")
	case len(cfg.Addresses) == 0:
		return configError("Addresses is empty: a stack needs an address of its own")
	case len(cfg.Controllers) == 0:
		return configError("Controllers is empty: a stack needs a congestion controller")
	case cfg.Shards < 0:
		return configError("Shards cannot be negative")
	}
	l := &cfg.Limits
	if l.Memory < 0 || l.Flows < 0 || l.HalfOpen < 0 || l.TimeWait < 0 {
		return configError("Limits cannot be negative")
	}
	setDefault(&l.Memory, 256<<20)
	setDefault(&l.Flows, 65536)
	setDefault(&l.HalfOpen, 4096)
	setDefault(&l.TimeWait, 65536)
	if cfg.Clock == nil {
		cfg.Clock = clock.NewReal()
	}
	if cfg.Shards == 0 {
		if _, virtual := cfg.Clock.(*clock.Virtual); virtual {
			cfg.Shards = 1
		} else {
			cfg.Shards = 16 * runtime.GOMAXPROCS(0)
		}
	}
	if cfg.Flow.Congestion == "" {
		cfg.Flow.Congestion = cfg.Controllers[0].Name()
	}
	if cfg.Backend == "" {
		cfg.Backend = cfg.Controllers[0].Name()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

func setDefault[T int | int64](p *T, v T) {
	if *p == 0 {
		*p = v
	}
}

func newSecret(seed uint64) (secret [32]byte) {
	if seed == 0 {
		crand.Read(secret[:])
		return secret
	}
	r := rand.New(rand.NewPCG(seed, 0x51c1ce))
	for i := 0; i < len(secret); i += 8 {
		binary.LittleEndian.PutUint64(secret[i:], r.Uint64())
	}
	return secret
}

// receive takes a batch from the link. What goes to one shard goes together, wherever
// in the batch it was: a lock, a round of wake-ups and an ACK are then for all of it.
// The packets of a flow stay in order.
func (s *Stack) receive(batch []link.Packet) {
	if len(s.shards) == 1 {
		s.shards[0].input(batch)
		return
	}
	var of [groupPackets]*shard // nil once the packet has been handed over
	for len(batch) > 0 {
		part := batch[:min(len(batch), groupPackets)]
		batch = batch[len(part):]
		for i := range part {
			of[i] = s.shardOf(&part[i])
		}
		s.distribute(part, of[:len(part)])
	}
}

// groupPackets is how many packets are looked at together.
const groupPackets = 64

// groups has the memory for packets of one shard that did not lie together.
var groups = sync.Pool{New: func() any { return new([groupPackets]link.Packet) }}

// distribute hands each packet to its shard.
func (s *Stack) distribute(ps []link.Packet, of []*shard) {
	for i := 0; i < len(ps); {
		sh := of[i]
		if sh == nil {
			i++
			continue
		}
		end := i + 1
		for end < len(ps) && of[end] == sh {
			end++
		}
		next := end
		for next < len(ps) && of[next] != sh {
			next++
		}
		if next == len(ps) {
			sh.input(ps[i:end])
			i = end
			continue
		}
		group := groups.Get().(*[groupPackets]link.Packet)
		n := copy(group[:], ps[i:end])
		for ; next < len(ps); next++ {
			if of[next] == sh {
				group[n], of[next] = ps[next], nil
				n++
			}
		}
		sh.input(group[:n])
		clear(group[:n])
		groups.Put(group)
		i = end
	}
}

func (s *Stack) inputOne(p *link.Packet) {
	s.shardOf(p).input([]link.Packet{*p})
}

func (s *Stack) shardOf(p *link.Packet) *shard {
	if len(s.shards) == 1 {
		return s.shards[0]
	}
	return s.shards[host.ShardHash(s.hashKey, p)%uint64(len(s.shards))]
}

// send gives packets to the link.
func (s *Stack) send(ps []link.Packet) {
	if err := s.link.Send(ps); err != nil {
		if n := s.dropsLink.Add(uint64(len(ps))); n == uint64(len(ps)) {
			s.log.Warn("link cannot send", "link", s.link.Attributes().Name, "error", err)
		}
	}
}

func (s *Stack) isLocal(a netip.Addr) bool {
	a = a.Unmap()
	for _, p := range s.addresses {
		if p.Addr().Unmap() == a {
			return true
		}
	}
	return false
}

func (s *Stack) anyAddrPort(cfg *api.ListenConfig, port uint16) netip.AddrPort {
	a := netip.IPv4Unspecified()
	if cfg != nil && cfg.Address.IsValid() {
		a = cfg.Address
	} else if len(s.addresses) > 0 && s.addresses[0].Addr().Is6() {
		a = netip.IPv6Unspecified()
	}
	return netip.AddrPortFrom(a, port)
}

// Info implements api.Stack.
func (s *Stack) Info() api.StackInfo {
	info := api.StackInfo{
		Backend:     s.backend,
		Addresses:   append([]netip.Prefix(nil), s.addresses...),
		Memory:      s.budget.Memory(),
		MemoryLimit: s.budget.MemoryLimit,
	}
	for _, sh := range s.shards {
		sh.mu.Lock()
		st := sh.host.Stats()
		sh.exit()
		sh.backlogMu.Lock()
		info.Drops[api.DropBacklog] += sh.backlogDrops
		sh.backlogMu.Unlock()
		info.Flows += st.Conns
		info.HalfOpen += st.HalfOpen
		info.TimeWait += st.TimeWait
		info.Opened += st.Opened
		info.Accepted += st.Accepted
		info.Refused += st.Refused
		info.Failed += st.Failed
		info.CookiesSent += st.CookiesSent
		info.CookiesAccepted += st.CookiesAccepted
		info.PacketsIn += st.PacketsIn
		info.PacketsOut += st.PacketsOut
		info.BytesIn += st.BytesIn
		info.BytesOut += st.BytesOut
		info.SegmentsIn += st.SegmentsIn
		info.SegmentsOut += st.SegmentsOut
		info.Retransmits += st.Retransmits
		info.ResetsIn += st.ResetsIn
		info.ResetsOut += st.ResetsOut
		info.ChallengeAcks += st.ChallengeAcks
		for r, n := range st.Drops {
			info.Drops[r] += n
		}
	}
	if s.ether != nil {
		s.ether.drops(&info.Drops)
	}
	info.Drops[api.DropLink] += s.dropsLink.Load()
	info.Drops[api.DropDisconnected] += s.dropsAfter.Load()
	s.mu.Lock()
	info.Listeners = int64(len(s.listeners))
	s.mu.Unlock()
	return info
}

// Flows implements api.Stack. Each shard is looked at once, so what happens
// meanwhile may be seen in one and not in another.
func (s *Stack) Flows() iter.Seq[api.Info] {
	return func(yield func(api.Info) bool) {
		var infos []api.Info
		s.mu.Lock()
		for port, l := range s.listeners {
			a := l.Address
			if !a.IsValid() {
				a = s.anyAddrPort(nil, 0).Addr()
			}
			infos = append(infos, api.Info{State: api.StateListen, Src: netip.AddrPortFrom(a, port),
				Congestion: l.Flow.Congestion, SendWindowScale: -1, RecvWindowScale: -1})
		}
		s.mu.Unlock()
		for i := range len(s.shards) + 1 {
			for _, info := range infos {
				if !yield(info) {
					return
				}
			}
			infos = infos[:0]
			if i == len(s.shards) {
				return
			}
			sh := s.shards[i]
			now := sh.enter()
			for c := range sh.host.Conns() {
				infos = append(infos, s.info(now, c))
			}
			for info, times := range sh.host.HalfOpens(now) {
				info.Opened, info.LastReceive = s.clock.Wall(times[0]), s.clock.Wall(times[0])
				info.LastSend = s.clock.Wall(times[1])
				infos = append(infos, info)
			}
			for info := range sh.host.TimeWaits(now) {
				infos = append(infos, info)
			}
			sh.exit()
		}
	}
}

// errLeft is why handlers' contexts end.
var errLeft = errors.Join(context.Canceled, api.ErrDisconnected)

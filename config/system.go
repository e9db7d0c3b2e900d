package config

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/config/service"
)

// Deps is what a System gets from its surroundings. The zero value is that of a
// daemon without a log.
type Deps struct {
	// Clock is the time to live in; nil means the machine's. Services use
	// sockets and files, and need that one.
	Clock clock.Clock

	// Logger receives what an operator should know; nil discards it.
	Logger *slog.Logger

	// Wrap, if not nil, is given every end of every link before a stack is
	// attached to it, under the name by which the stack refers to it, and
	// returns what the stack is attached to instead.
	Wrap func(name string, l link.Link) link.Link
}

// A System is a configuration that has come to life.
type System struct {
	cfg      *Config
	clock    clock.Clock
	log      *slog.Logger
	started  time.Time
	stacks   []*builtStack
	links    []*builtLink
	services []*builtService

	close  sync.Once
	closed chan struct{}
}

type builtStack struct {
	name  string
	cfg   *Stack
	stack api.Stack
}

type builtService struct {
	cfg *Service
	service.Service
}

// A builtLink is one link, with those of its ends that no stack owns yet.
type builtLink struct {
	cfg     *Link
	ends    map[string]link.Link // by what stacks call them
	order   []string
	capture *os.File
}

// Build opens the links and makes the stacks of cfg. Nothing listens before
// Start. If it fails, everything has been closed again.
func Build(cfg *Config, deps Deps) (*System, error) {
	if deps.Clock == nil {
		deps.Clock = clock.NewReal()
	}
	if deps.Logger == nil {
		deps.Logger = slog.New(slog.DiscardHandler)
	}
	s := &System{cfg: cfg, clock: deps.Clock, log: deps.Logger, closed: make(chan struct{})}
	s.started = s.clock.Wall(s.clock.Now())
	if err := s.build(deps); err != nil {
		s.abandon()
		return nil, err
	}
	return s, nil
}

func (s *System) build(deps Deps) error {
	ends := map[string]link.Link{}
	for i := range s.cfg.Links {
		l := &s.cfg.Links[i]
		b, err := openLink(l, deps)
		if b != nil {
			s.links = append(s.links, b)
		}
		if err != nil {
			return s.explain(fmt.Sprintf("links[%d]", i), "links."+l.Name, err)
		}
		for name, end := range b.ends {
			if deps.Wrap != nil {
				end = deps.Wrap(name, end)
				b.ends[name] = end
			}
			ends[name] = end
		}
	}
	for i := range s.cfg.Stacks {
		c := &s.cfg.Stacks[i]
		env := &Environment{Stack: c, Link: ends[c.Link], Clock: s.clock, Logger: s.log.With("stack", c.Name)}
		st, err := s.cfg.backends[c.Backend].New(env)
		if err != nil {
			return s.explain(fmt.Sprintf("stacks[%d]", i), "stacks."+c.Name, err)
		}
		s.stacks = append(s.stacks, &builtStack{name: c.Name, cfg: c, stack: st})
	}
	for i := range s.cfg.Services {
		s.services = append(s.services, s.newService(&s.cfg.Services[i]))
	}
	return nil
}

func (s *System) newService(c *Service) *builtService {
	cfg := service.Config{
		Name:        c.Name,
		Stack:       s.Stack(c.Stack),
		Address:     c.Listen.Addr,
		Port:        c.Listen.Port,
		Connections: c.Connections,
		FastOpen:    c.FastOpen,
		Logger:      s.log,
	}
	var v service.Service
	switch c.Handler {
	case "echo":
		v = service.Echo(cfg)
	case "discard":
		v = service.Discard(cfg)
	case "chargen":
		v = service.Chargen(cfg)
	case "http":
		v = service.HTTP(cfg, service.HTTPOptions{Root: c.Root, Upload: c.Upload, Status: func() any { return s.Status() }})
	case "proxy":
		v = service.Proxy(cfg, c.To.AddrPort)
	case "forward":
		if len(c.Prefixes) > 0 {
			prefixes := make([]netip.Prefix, len(c.Prefixes))
			for i, p := range c.Prefixes {
				prefixes[i] = p.Prefix.Masked()
			}
			v = service.Transparent(cfg, prefixes)
			break
		}
		v = service.Forward(cfg, c.From.AddrPort, c.To.AddrPort)
	default:
		panic("BUG: handler " + c.Handler)
	}
	return &builtService{cfg: c, Service: v}
}

// explain says which item of the configuration an error is about.
func (s *System) explain(path, key string, err error) error {
	return fmt.Errorf("%s: %s: %w", nearestPos(s.cfg.pos, path), key, err)
}

// Start lets the services begin. If one cannot, the others are ended, and the
// System with them.
func (s *System) Start() error {
	for i, v := range s.services {
		if err := v.Start(); err != nil {
			ctx, cancel := context.WithCancel(context.Background())
			cancel() // there is nobody yet to be polite to
			s.Close(ctx)
			return s.explain(fmt.Sprintf("services[%d]", i), "services."+v.cfg.Name, err)
		}
	}
	return nil
}

// Stack returns the stack of that name, or nil.
func (s *System) Stack(name string) api.Stack {
	for _, b := range s.stacks {
		if b.name == name {
			return b.stack
		}
	}
	return nil
}

// Service returns the counters of the service of that name.
func (s *System) Service(name string) (stats service.Stats, ok bool) {
	for _, b := range s.services {
		if b.cfg.Name == name {
			return b.Stats(), true
		}
	}
	return stats, false
}

// Config returns the configuration that the System was built from.
func (s *System) Config() *Config { return s.cfg }

// Close ends everything in order: services come to an end, for half of the
// configured time for a shutdown at most; stacks deliver what was written, close
// their flows and leave the network, for the rest of it; links are closed. When
// ctx ends, whatever is left is ended at once. Close may be called again, and
// returns when all is over.
func (s *System) Close(ctx context.Context) {
	s.close.Do(func() {
		defer close(s.closed)
		total := time.Duration(s.cfg.Shutdown)
		ctx, cancel := s.clock.WithTimeout(ctx, total)
		defer cancel()
		half, cancelHalf := s.clock.WithTimeout(ctx, total/2)
		defer cancelHalf()
		each(s.services, func(v *builtService) { v.Drain(half) })
		// Together: stacks at the two ends of a link need each other to
		// close their flows.
		s.disconnect(ctx)
		each(s.services, func(v *builtService) { v.Close() })
		s.closeLinks()
	})
	<-s.closed
}

// disconnect takes every stack off its network. It works in virtual time too.
func (s *System) disconnect(ctx context.Context) {
	var mu sync.Mutex
	left := len(s.stacks)
	if left == 0 {
		return
	}
	w := s.clock.NewWaiter()
	for _, b := range s.stacks {
		s.clock.Go(func() {
			b.stack.Disconnect(ctx)
			mu.Lock()
			left--
			last := left == 0
			mu.Unlock()
			if last {
				w.Wake()
			}
		})
	}
	if err := w.Park(context.Background()); err != nil {
		s.log.Error("disconnecting", "error", err)
	}
}

func each[T any](list []T, f func(T)) {
	var wg sync.WaitGroup
	for _, x := range list {
		wg.Go(func() { f(x) })
	}
	wg.Wait()
}

// abandon ends what a failed Build has made.
func (s *System) abandon() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, b := range s.stacks {
		b.stack.Disconnect(ctx)
	}
	s.closeLinks()
}

func (s *System) closeLinks() {
	for _, b := range s.links {
		var errs []error
		for _, name := range b.order {
			errs = append(errs, b.ends[name].Close())
		}
		if b.capture != nil {
			errs = append(errs, b.capture.Close())
		}
		if err := errors.Join(errs...); err != nil {
			s.log.Warn("closing link", "link", b.cfg.Name, "error", err)
		}
	}
}

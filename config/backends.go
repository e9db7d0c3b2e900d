package config

import (
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/impl/bbr"
	"github.com/sluicenet/sluice/impl/cubic"
	"github.com/sluicenet/sluice/impl/dctcp"
	"github.com/sluicenet/sluice/impl/engine"
	"github.com/sluicenet/sluice/impl/engine/tcp"
	"github.com/sluicenet/sluice/impl/fixed"
	"github.com/sluicenet/sluice/impl/kernel"
	"github.com/sluicenet/sluice/impl/reno"
	"github.com/sluicenet/sluice/link/pipe"
)

// Backends are the implementations that a configuration can name. A program
// adds its own to what [DefaultBackends] returns, and gives the table to Load.
type Backends map[string]Backend

// A Backend makes stacks.
type Backend struct {
	// Link says that the stack is attached to a link, and has addresses on it.
	Link bool

	// Keys are the keys of a stack that the backend honours, or blocks of
	// them: "limits", "limits.memory". A configuration that sets another is
	// refused.
	Keys []string

	// New makes a stack. A stack attached to a link owns it from then on.
	New func(env *Environment) (api.Stack, error)
}

// An Environment is what a stack is made from.
type Environment struct {
	Stack  *Stack
	Link   link.Link // nil if the configuration names none
	Clock  clock.Clock
	Logger *slog.Logger
}

// DefaultBackends returns a new table with the backends of this module.
func DefaultBackends() Backends {
	cubicBackend := Engine(cubic.Factory, func(s *Stack) string {
		if s.Cubic == nil {
			return ""
		}
		return "fast_convergence=" + onOff(s.Cubic.FastConvergence) + ",hystart=" + onOff(s.Cubic.HyStart) +
			",c=" + strconv.FormatFloat(s.Cubic.C, 'g', -1, 64) +
			",beta=" + strconv.FormatFloat(s.Cubic.Beta, 'g', -1, 64)
	})
	cubicBackend.Keys = append(cubicBackend.Keys, "cubic")
	fixedBackend := Engine(fixed.Factory, func(s *Stack) string {
		if s.Fixed == nil {
			return ""
		}
		return "window=" + strconv.FormatInt(int64(s.Fixed.Window), 10) + "B"
	})
	fixedBackend.Keys = append(fixedBackend.Keys, "fixed")
	return Backends{
		"bbr":    Engine(bbr.Factory, nil),
		"cubic":  cubicBackend,
		"dctcp":  Engine(dctcp.Factory, nil),
		"fixed":  fixedBackend,
		"reno":   Engine(reno.Factory, nil),
		"kernel": kernelBackend,
	}
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

// Names returns the names in alphabetical order.
func (b Backends) Names() []string { return slices.Sorted(maps.Keys(b)) }

// Engine returns a backend that is the userspace engine with a congestion
// controller. options, if not nil, returns the controller's options. Flows can
// ask for each of this module's controllers as well.
func Engine(controller cc.Factory, options func(*Stack) string) Backend {
	return Backend{
		Link: true,
		Keys: []string{"link", "addresses", "gateways", "duplicate_detection", "buffers", "limits", "keepalive", "nodelay",
			"user_timeout", "ttl", "dscp", "mss", "timers", "tcp", "shards", "seed"},
		New: func(env *Environment) (api.Stack, error) {
			s := env.Stack
			if env.Link == nil {
				// The other end of this pipe belongs to nobody.
				env.Link, _ = pipe.New(pipe.Config{Name: s.Name})
			}
			cfg := engine.Config{
				Backend:   s.Backend,
				Link:      env.Link,
				Clock:     env.Clock,
				Addresses: s.prefixes(),
				Gateways:  s.Gateways,

				NoDuplicateDetection: !s.DuplicateDetection,

				Controllers: []cc.Factory{controller},
				Flow:        s.flowConfig(),
				Params:      s.params(),
				Limits: engine.Limits{Memory: int64(s.Limits.Memory), Flows: int64(s.Limits.Flows),
					HalfOpen: int64(s.Limits.HalfOpen), TimeWait: s.Limits.TimeWait},
				Shards: s.Shards,
				Seed:   s.Seed,
				Logger: env.Logger,
			}
			for _, f := range []cc.Factory{reno.Factory, cubic.Factory, bbr.Factory, dctcp.Factory, fixed.Factory} {
				if f.Name() != controller.Name() {
					cfg.Controllers = append(cfg.Controllers, f)
				}
			}
			if options != nil {
				if o := options(s); o != "" {
					cfg.Flow.Congestion = controller.Name() + ":" + o
				}
			}
			st, err := engine.New(cfg)
			if err != nil {
				return nil, err
			}
			return st, nil
		},
	}
}

var kernelBackend = Backend{
	Keys: []string{"addresses", "buffers.send", "buffers.receive", "limits.flows", "keepalive", "nodelay",
		"user_timeout", "ttl", "dscp", "mss"},
	New: func(env *Environment) (api.Stack, error) {
		s := env.Stack
		if _, virtual := env.Clock.(*clock.Virtual); virtual {
			return nil, fmt.Errorf("the kernel's sockets know no virtual time")
		}
		st, err := kernel.New(kernel.Config{
			Addresses: s.prefixes(),
			Flow:      s.flowConfig(),
			Limits:    kernel.Limits{Flows: int64(s.Limits.Flows)},
			Logger:    env.Logger,
		})
		if err != nil {
			return nil, err
		}
		return st, nil
	},
}

func (s *Stack) prefixes() []netip.Prefix {
	ps := make([]netip.Prefix, len(s.Addresses))
	for i, p := range s.Addresses {
		ps[i] = p.Prefix
	}
	return ps
}

func (s *Stack) flowConfig() api.FlowConfig {
	c := api.FlowConfig{
		NoDelay:       s.NoDelay,
		SendBuffer:    int64(s.Buffers.Send),
		ReceiveBuffer: int64(s.Buffers.Receive),
		UserTimeout:   time.Duration(s.UserTimeout),
		TTL:           uint8(s.TTL),
		DSCP:          uint8(s.DSCP),
		MSS:           uint16(s.MSS),
	}
	if k := s.Keepalive; k != nil {
		c.Keepalive = api.KeepaliveConfig{After: time.Duration(k.After), Interval: time.Duration(k.Interval), Probes: k.Probes}
	}
	return c
}

func (s *Stack) params() tcp.Params {
	return tcp.Params{
		RTOInitial:        time.Duration(s.Timers.RTOInitial),
		RTOMin:            time.Duration(s.Timers.RTOMin),
		RTOMax:            time.Duration(s.Timers.RTOMax),
		DelayedAck:        time.Duration(s.Timers.DelayedAck),
		TimeWait:          time.Duration(s.Timers.TimeWait),
		FinWait2:          time.Duration(s.Timers.FinWait2),
		SynTimeout:        time.Duration(s.Timers.SynTimeout),
		ChallengeInterval: time.Duration(s.Timers.ChallengeInterval),
		OrphanRetries:     s.TCP.OrphanRetries,
		InitialWindow:     int64(s.TCP.InitialWindow),
		MaxWindow:         int64(s.TCP.MaxWindow),
		MinMSS:            int64(s.TCP.MinMSS),
		NoSACK:            !s.TCP.SACK,
		NoTimestamps:      !s.TCP.Timestamps,
		NoWindowScale:     !s.TCP.WindowScale,
		ECN:               ecnPolicies[s.TCP.ECN],
		SynCookies:        cookiePolicies[s.TCP.SynCookies],
		Autotune:          s.Buffers.Autotune,
		FastOpen:          tcp.FastOpenParams{Client: s.TCP.FastOpen.Client, Server: s.TCP.FastOpen.Server},
	}
}

// cookiePolicies are the values of the key tcp.syn_cookies.
var cookiePolicies = map[string]tcp.CookiePolicy{"never": tcp.CookiesNever, "overflow": tcp.CookiesOverflow, "always": tcp.CookiesAlways}

// ecnPolicies are the values of the key tcp.ecn.
var ecnPolicies = map[string]tcp.ECNPolicy{"off": tcp.ECNOff, "passive": tcp.ECNPassive, "on": tcp.ECNOn}

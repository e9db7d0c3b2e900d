package targets

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/conformance/drill"
	"github.com/sluicenet/sluice/conformance/drill/settings"
	"github.com/sluicenet/sluice/conformance/drill/sock"
	"github.com/sluicenet/sluice/impl/bbr"
	"github.com/sluicenet/sluice/impl/cubic"
	"github.com/sluicenet/sluice/impl/dctcp"
	"github.com/sluicenet/sluice/impl/engine"
	"github.com/sluicenet/sluice/impl/engine/tcp"
	"github.com/sluicenet/sluice/impl/reno"
)

// drillFactories are the controllers that a script can name.
var drillFactories = []cc.Factory{cubic.Factory, reno.Factory, bbr.Factory, dctcp.Factory}

// Drill returns the target of scripts with the given name: "cubic", "reno" or
// "bbr", which is the controller of scripts that name none, or "kernel".
func Drill(name string) (drill.Target, error) {
	for _, f := range drillFactories[:3] {
		if f.Name() == name {
			return drillEngine{f}, nil
		}
	}
	if name == "kernel" {
		return drillKernel()
	}
	return nil, fmt.Errorf("no target %q; there are cubic, reno, bbr, kernel", name)
}

// drillEngine runs scripts on the userspace stack.
type drillEngine struct{ factory cc.Factory }

func (e drillEngine) Name() string  { return e.factory.Name() }
func (e drillEngine) Virtual() bool { return true }

func (e drillEngine) New(env *drill.Env) (*drill.Host, error) {
	s := env.Settings
	names, factories, err := e.controllers(s.Congestion)
	if err != nil {
		return nil, err
	}
	params, err := drillParams(s)
	if err != nil {
		return nil, err
	}
	flow := drillFlow(s)
	tap := &tapped{Link: env.Link}
	stack, err := engine.New(engine.Config{
		Link:        tap,
		Clock:       env.Clock,
		Addresses:   env.Addresses,
		Gateways:    env.Gateway,
		Controllers: factories,
		Flow:        flow,
		Params:      params,
		Seed:        max(env.Seed, 1),
	})
	if err != nil {
		return nil, err
	}
	proc := sock.New(sock.Config{
		Stack:       stack,
		Clock:       env.Clock,
		FreeBSD:     s.Profile == settings.FreeBSD,
		Flow:        flow,
		Controllers: names,
		SynRetries:  s.SynRetries,
		Somaxconn:   s.Somaxconn,
		Keepalive:   drillKeepalive(s),
		Init:        s.KeepaliveInit,
		SynLinear:   s.SynLinear,

		NotSentLowat: s.NotSentLowat,
		ReceiveMax:   s.ReceiveMax,
		SendMax:      s.SendMax,
		Tune:         drillTune,
		Switch: func(f api.Flow, name string) bool {
			e, ok := f.(*engine.Flow)
			i := slices.IndexFunc(factories, func(f cc.Factory) bool { return f.Name() == name })
			return ok && i >= 0 && e.SwitchController(factories[i])
		},
		DeferAccept: func(n int) {
			like := *params.Like
			like.DeferAccept = n
			params.Like = &like
			stack.SetParams(params)
		},

		FastOpen:     drillFastOpen{stack},
		FastOpenBits: s.FastOpen,
	})
	tap.packet.Store(proc.Observe)
	made := *s
	return &drill.Host{
		Process: proc,
		Query:   drillQuery(stack),

		FastOpenCookie: fastOpenCookie(s),
		Configure: func(s *settings.Settings) error {
			if s.Congestion != made.Congestion {
				return sock.Unsupported{Feature: "another default of congestion control while connections are open"}
			}
			p, err := drillParams(s)
			if err != nil {
				return err
			}
			p.Like.DeferAccept = params.Like.DeferAccept
			params = p
			stack.SetParams(p)
			full := p.WithDefaults()
			proc.Retune(func(f api.Flow) {
				if e, ok := f.(*engine.Flow); ok {
					e.Tune(func(p *tcp.Params) {
						like := *full.Like
						*p = full
						p.Like = &like
					})
				}
			})
			proc.SetFastOpen(s.FastOpen)
			return nil
		},
		Close: func(ctx context.Context) {
			proc.Exit()
			stack.Disconnect(ctx)
		},
	}, nil
}

// controllers returns the controllers with the one in force first.
func (e drillEngine) controllers(name string) (names []string, factories []cc.Factory, err error) {
	if name == "newreno" {
		name = "reno"
	}
	if name == "" {
		name = e.factory.Name()
	}
	for _, f := range drillFactories {
		if f.Name() == name {
			names, factories = append([]string{name}, names...), append([]cc.Factory{f}, factories...)
		} else {
			names, factories = append(names, f.Name()), append(factories, f)
		}
	}
	if names[0] != name {
		return nil, nil, sock.Unsupported{Feature: "congestion control " + name}
	}
	return names, factories, nil
}

// drillParams turns settings into the parameters of the engine.
func drillParams(s *settings.Settings) (tcp.Params, error) {
	p := tcp.Params{
		RTOInitial: s.RTOInitial, RTOMin: s.RTOMin, RTOMax: s.RTOMax,
		DelayedAck:        s.DelayedAck,
		AckEverySegment:   s.AckEvery,
		TimeWait:          s.TimeWait,
		FinWait2:          s.FinWait2,
		SynTimeout:        forever,
		UserTimeout:       forever,
		OrphanRetries:     s.OrphanRetries,
		ChallengeInterval: s.ChallengeInterval,
		MinMSS:            s.MinMSS,
		NoSACK:            !s.SACK,
		NoTimestamps:      !s.Timestamps,
		NoWindowScale:     !s.WindowScale,
		NoRACK:            !s.RACK,
		Autotune:          drillAutotune(s),
		FastOpen:          fastOpenParams(s),
		Like: &tcp.Emulation{
			NoAckLimit:      s.Profile == settings.Linux,
			BSDOptions:      s.Profile == settings.FreeBSD,
			BSDWindow:       s.Profile == settings.FreeBSD,
			KeepUnread:      true,
			QuietHalfOpen:   true,
			SoftUnreachable: s.Profile == settings.FreeBSD,
			SynWithFin:      s.Profile == settings.FreeBSD && !s.DropSynFin,
			Blackhole:       s.Blackhole,
			ReduceCwnd:      true,
			NoSynData:       s.Profile == settings.Linux,
			Cookies:         s.Cookies,
			ResetShut:       s.Profile == settings.Linux,
			HalfUsedGrows:   s.Profile == settings.Linux,
			LateUndo:        s.Profile == settings.Linux,
			FinInSACK:       s.Profile == settings.Linux,
			InitialSegments: int64(s.InitialWindow),
			NoQuickAcks:     !s.QuickStart,
			SynRetries:      s.SynRetries,
			SynAckRetries:   s.SynAckRetries,
			SynLinear:       s.SynLinear,
			Retries:         s.Retries,
			PersistMin:      s.PersistMin,
			PersistMax:      s.PersistMax,
			NoTLP:           !s.TLP,
			NoFRTO:          !s.FRTO,
			NoDSACK:         !s.DSACK,
			NoIdleRestart:   !s.SlowStartAfterIdle,
			BareResets:      true,
			HastyResets:     s.Profile == settings.Linux,
			PushEvery:       map[settings.Profile]int64{settings.Linux: 2}[s.Profile],
			EmptyProbes:     s.Profile == settings.Linux,
			Interactive:     s.Profile == settings.Linux,
			Records:         true,
			OfferAll:        s.Profile == settings.Linux,
			HastySyn:        s.Profile == settings.Linux,
			DecayIdle:       s.Profile == settings.Linux && s.Congestion != "bbr",
			FourHoles:       s.Profile == settings.Linux,
			AnswersData:     s.Profile == settings.Linux,
			IgnoreTooBig:    !s.PMTUD,
			LinearThin:      s.LinearThin,
		},
	}
	switch s.ECN {
	case settings.ECNOff:
		p.ECN = tcp.ECNOff
	case settings.ECNRequest:
		p.ECN = tcp.ECNOn
	}
	var missing []string
	for feature, needed := range map[string]bool{
		"a reordering threshold other than 3": s.Reordering != 3,
		"no limited transmit":                 !s.LimitedTransmit,
		"recovery without PRR":                !s.PRR,
	} {
		if needed {
			missing = append(missing, feature)
		}
	}
	if len(missing) > 0 {
		return p, sock.Unsupported{Feature: strings.Join(missing, ", ")}
	}
	return p, nil
}

// drillTune gives a flow what options of its socket ask for.
func drillTune(f api.Flow, t *sock.Tuning) {
	e, ok := f.(*engine.Flow)
	if !ok {
		return
	}
	e.Tune(func(p *tcp.Params) {
		p.Like.NoFinWait2 = t.FinWait2 < 0
		if t.FinWait2 > 0 {
			p.FinWait2 = t.FinWait2
		}
		if t.RTOMin > 0 {
			p.RTOMin = t.RTOMin
		}
		if t.RTOMax > 0 {
			p.RTOMax = t.RTOMax
		}
		if t.DelayedAck > 0 {
			p.DelayedAck = min(p.DelayedAck, t.DelayedAck)
		}
		p.Like.LinearThin = p.Like.LinearThin || t.LinearThin
		p.Like.IgnoreTooBig = p.Like.IgnoreTooBig || t.NoPMTUD
		p.Like.MaxPacing = t.MaxPacing
	})
}

// forever is beyond the end of every script: counts decide, not times.
const forever = 24 * 365 * time.Hour

// drillAutotune: buffers grow as the system's do, unless the script has fixed them.
func drillAutotune(s *settings.Settings) bool {
	return s.AutotuneReceive && s.ReceiveBuffer.Default == settings.New(s.Profile).ReceiveBuffer.Default
}

func drillFlow(s *settings.Settings) api.FlowConfig {
	f := api.FlowConfig{
		SendBuffer:    max(s.SendBuffer.Max, 4096),
		ReceiveBuffer: max(s.ReceiveBuffer.Max, 2048),
		TTL:           uint8(min(max(s.TTL, 1), 255)),
		MSS:           uint16(s.MSS),
	}
	if n := s.WindowShift; n >= 0 && s.WindowScale && s.Keys["net.ipv4.tcp_rmem"] == "" {
		f.ReceiveBuffer = 65535 << n // the largest with that shift
		return f
	}
	if !drillAutotune(s) {
		f.ReceiveBuffer = max(s.ReceiveBuffer.Default, 2048)
		if s.Profile == settings.Linux {
			f.ReceiveBuffer = max(s.ReceiveBuffer.Default/2, 2048) // the other half is for overhead
		}
	}
	return f
}

func drillKeepalive(s *settings.Settings) api.KeepaliveConfig {
	return api.KeepaliveConfig{After: s.KeepaliveIdle, Interval: s.KeepaliveEvery, Probes: s.KeepaliveCount}
}

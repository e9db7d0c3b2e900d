package targets

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sort"
	"sync/atomic"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/conformance/drill"
	"github.com/sluicenet/sluice/conformance/drill/settings"
	"github.com/sluicenet/sluice/conformance/drill/sock"
	"github.com/sluicenet/sluice/conformance/targets/kernelsock"
	"github.com/sluicenet/sluice/link/tun"
	"github.com/sluicenet/sluice/link/tun/setup"
)

// drillHostKernel runs scripts on the kernel's TCP, each in a network namespace
// of its own with a TUN device in it, in real time. It needs root.
type drillHostKernel struct{}

func drillKernel() (drill.Target, error) { return drillHostKernel{}, nil }

func (drillHostKernel) Name() string  { return "kernel" }
func (drillHostKernel) Virtual() bool { return false }

// Native says that sysctls are the kernel's own, whatever their values.
func (drillHostKernel) Native() bool { return true }

// drillDevice is the name of the device in the namespace.
const drillDevice = "tun0"

func (drillHostKernel) New(env *drill.Env) (_ *drill.Host, err error) {
	if env.Settings.Profile != settings.Linux {
		return nil, sock.Unsupported{Feature: "FreeBSD's kernel"}
	}
	ns, err := kernelsock.NewNamespace()
	if err != nil {
		return nil, err
	}
	var closers []func()
	closeAll := func() {
		for i := len(closers) - 1; i >= 0; i-- {
			closers[i]()
		}
	}
	closers = append(closers, ns.Close)
	defer func() {
		if err != nil {
			closeAll()
		}
	}()
	// Nothing of IPv6's own on the wire.
	for _, key := range []string{"net.ipv6.conf.all.accept_dad", "net.ipv6.conf.default.accept_dad", "net.ipv6.conf.default.router_solicitations", "net.ipv6.conf.default.addr_gen_mode"} {
		value := "0"
		if key == "net.ipv6.conf.default.addr_gen_mode" {
			value = "1"
		}
		if err := ns.SetSysctl(key, value); err != nil && !errors.Is(err, kernelsock.ErrNoKey) {
			return nil, err
		}
	}
	set := map[string]string{}
	if err := applySysctls(ns, set, env.Settings); err != nil {
		return nil, err
	}
	var dev link.Link
	err = ns.Do(func() error {
		var err error
		if dev, err = tun.Open(tun.Config{Name: drillDevice}); err != nil {
			return err
		}
		closers = append(closers, func() { dev.Close() })
		addresses := make([]netip.Prefix, 0, len(env.Addresses))
		for _, a := range env.Addresses {
			if a.Addr().Is6() && env.MTU > 0 && env.MTU < 1280 {
				continue // the kernel does not do IPv6 there
			}
			addresses = append(addresses, a)
		}
		if err := setup.Configure(drillDevice, env.MTU, addresses...); err != nil {
			return err
		}
		return setup.DefaultRoutes(drillDevice, drillMetrics(env.Settings))
	})
	if err != nil {
		return nil, err
	}
	var closed atomic.Bool
	if err := dev.Attach(func(batch []link.Packet) {
		for i := range batch {
			if raw := batch[i].AppendTo(nil); !closed.Load() && !isChatter(raw) {
				env.Emit(raw)
			}
			batch[i].Release()
		}
	}); err != nil {
		return nil, err
	}
	p := kernelsock.New(ns)
	return &drill.Host{
		Process: p,
		Inject: func(raw []byte) {
			dev.Send([]link.Packet{{Payload: []api.Buffer{*api.CopyBuffer(raw)}}})
		},
		FastOpenCookie: fastOpenCookie(env.Settings),
		Configure: func(s *settings.Settings) error {
			if err := applySysctls(ns, set, s); err != nil {
				return err
			}
			return ns.Do(func() error { return setup.DefaultRoutes(drillDevice, drillMetrics(s)) })
		},
		Close: func(context.Context) {
			closed.Store(true)
			p.Exit()
			closeAll()
		},
	}, nil
}

// applySysctls sets what the script has set and is not set yet.
func applySysctls(ns *kernelsock.Namespace, set map[string]string, s *settings.Settings) error {
	var keys []string
	for k := range s.Keys {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		if v, ok := set[k]; ok && v == s.Keys[k] {
			continue
		}
		switch err := ns.SetSysctl(k, s.Keys[k]); {
		case errors.Is(err, kernelsock.ErrNoKey):
			// The machine's own, or gone from this kernel: settings knows whether
			// that may matter.
		case err != nil:
			return sock.Unsupported{Feature: fmt.Sprintf("the sysctl %s=%s on this kernel (%v)", k, s.Keys[k], err)}
		}
		set[k] = s.Keys[k]
	}
	return nil
}

func drillMetrics(s *settings.Settings) setup.Metrics {
	def := settings.New(s.Profile)
	m := setup.Metrics{MTU: s.PathMTU, AdvMSS: int(s.MSS), InitRwnd: s.InitialReceiveWindow, QuickAck: s.AckEvery}
	if s.InitialWindow != def.InitialWindow {
		m.InitCwnd = s.InitialWindow
	}
	if _, ok := s.Keys["net.ipv4.tcp_rto_min_us"]; !ok && s.RTOMin != def.RTOMin {
		m.RTOMin = s.RTOMin
	}
	if _, ok := s.Keys["net.ipv4.tcp_congestion_control"]; !ok {
		m.Congestion = s.Congestion
	}
	return m
}

// isChatter says whether a packet is one that the kernel sends by itself:
// neighbour discovery, multicast listeners.
func isChatter(raw []byte) bool {
	if len(raw) < 48 || raw[0]>>4 != 6 {
		return len(raw) > 20 && raw[0]>>4 == 4 && raw[9] == 2 // IGMP
	}
	at := 40
	next := raw[6]
	if next == 0 { // hop-by-hop options, with the router alert of MLD
		next, at = raw[40], at+8*(1+int(raw[41]))
	}
	return next == 58 && at < len(raw) && raw[at] >= 130 && raw[at] <= 143
}

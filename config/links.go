package config

import (
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/link/pcap"
	"github.com/sluicenet/sluice/link/pipe"
	"github.com/sluicenet/sluice/link/sim"
	"github.com/sluicenet/sluice/link/tun"
	"github.com/sluicenet/sluice/link/tun/setup"
)

// openLink opens a link. If it returns an error, it may return what is to be
// closed as well.
func openLink(l *Link, deps Deps) (*builtLink, error) {
	b := &builtLink{cfg: l, ends: map[string]link.Link{}}
	switch l.Driver {
	case "pipe":
		cfg := pipe.Config{Name: l.Name, MTU: l.MTU}
		if err := cfg.Check(); err != nil {
			return nil, err
		}
		x, y := pipe.New(cfg)
		b.add(l.Name+":"+l.Ends[0], x)
		b.add(l.Name+":"+l.Ends[1], y)
	case "sim":
		x, y, err := sim.New(deps.Clock, l.simConfig())
		if err != nil {
			return nil, err
		}
		b.add(l.Name+":"+l.Ends[0], x)
		b.add(l.Name+":"+l.Ends[1], y)
	case "tun":
		x, err := openTun(l, deps)
		if x != nil {
			b.add(l.Name, x)
		}
		if err != nil {
			return b, err
		}
	default:
		panic("BUG: driver " + l.Driver)
	}
	if l.Capture != "" {
		if err := b.record(deps); err != nil {
			return b, fmt.Errorf("capture: %w", err)
		}
	}
	return b, nil
}

// record puts a recorder in front of the first end.
func (b *builtLink) record(deps Deps) error {
	f, err := os.OpenFile(b.cfg.Capture, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) // payload is private
	if err != nil {
		return err
	}
	b.capture = f
	name := b.order[0]
	l, err := pcap.New(b.ends[name], f, deps.Clock, pcap.Config{OnError: func(err error) {
		deps.Logger.Error("the capture has ended", "link", b.cfg.Name, "file", b.cfg.Capture, "error", err)
	}})
	if err != nil {
		return err
	}
	b.ends[name] = l
	return nil
}

// openTun opens a device and sets it up. If only the latter fails it returns the
// device too.
func openTun(l *Link, deps Deps) (link.Link, error) {
	cfg := tun.Config{MTU: l.MTU, OnError: func(err error) {
		deps.Logger.Error("the device has failed", "link", l.Name, "error", err)
	}}
	t := l.Tun
	if t == nil {
		t = &Tun{Up: true}
	}
	cfg.Name = t.Device
	cfg.HasFD, cfg.FD = t.FD != 0, t.FD
	switch t.Offload {
	case "on":
		cfg.Offload = tun.OffloadOn
	case "auto":
		cfg.Offload = tun.OffloadAuto
	}
	x, err := tun.Open(cfg)
	if err != nil {
		return nil, err
	}
	if t.Up {
		addrs := make([]netip.Prefix, len(t.HostAddresses))
		for i, p := range t.HostAddresses {
			addrs[i] = p.Prefix
		}
		if err := setup.Configure(x.Attributes().Name, l.MTU, addrs...); err != nil {
			return x, err
		}
	}
	return x, nil
}

func (b *builtLink) add(name string, l link.Link) {
	if b.cfg.Driver != "tun" { // a device has a name of its own
		l = &named{l, name}
	}
	b.ends[name] = l
	b.order = append(b.order, name)
}

// named is an end of a link under the name that the configuration gives it.
type named struct {
	link.Link
	name string
}

func (n *named) Attributes() link.Attributes {
	a := n.Link.Attributes()
	a.Name = n.name
	return a
}

func (l *Link) simConfig() sim.Config {
	cfg := sim.Config{Name: l.Name, MTU: l.MTU}
	if l.Sim == nil {
		return cfg
	}
	cfg.Seed = l.Sim.Seed
	cfg.AB = l.Sim.Path.direction()
	cfg.BA = cfg.AB
	if l.Sim.Reverse != nil {
		cfg.BA = l.Sim.Reverse.direction()
	}
	return cfg
}

func (p *Path) direction() sim.Direction {
	return sim.Direction{
		Rate:         sim.BitsPerSec(p.Rate),
		QueueBytes:   int64(p.Queue),
		Loss:         float64(p.Loss),
		Corrupt:      float64(p.Corrupt),
		Delay:        time.Duration(p.Delay),
		Jitter:       time.Duration(p.Jitter),
		Reorder:      float64(p.Reorder),
		ReorderDelay: time.Duration(p.ReorderDelay),
		Duplicate:    float64(p.Duplicate),
	}
}

package config

import (
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/link/gso"
	"github.com/sluicenet/sluice/link/packet"
	"github.com/sluicenet/sluice/link/pcap"
	"github.com/sluicenet/sluice/link/pipe"
	"github.com/sluicenet/sluice/link/sim"
	"github.com/sluicenet/sluice/link/tap"
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
		if l.Pipe != nil && l.Pipe.Offload == "on" {
			cfg.MaxGSO, cfg.TxChecksum = 65535, true
		}
		if err := cfg.Check(); err != nil {
			return nil, err
		}
		x, y := pipe.New(cfg)
		for i, end := range []link.Link{x, y} {
			if l.Pipe != nil && l.Pipe.Offload == "software" {
				end = gso.Wrap(end)
			}
			b.add(l.Name+":"+l.Ends[i], end)
		}
	case "sim":
		x, y, err := sim.New(deps.Clock, l.simConfig())
		if err != nil {
			return nil, err
		}
		b.add(l.Name+":"+l.Ends[0], x)
		b.add(l.Name+":"+l.Ends[1], y)
	case "replay":
		x, err := openReplay(l, deps)
		if err != nil {
			return nil, err
		}
		b.add(l.Name, x)
	case "tun", "tap", "packet":
		x, err := openDevice(l, deps)
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

// openDevice opens a device and sets it up. If only the latter fails it returns the
// device too.
func openDevice(l *Link, deps Deps) (link.Link, error) {
	onError := func(err error) {
		deps.Logger.Error("the device has failed", "link", l.Name, "error", err)
	}
	if l.Driver == "packet" {
		x, err := packet.Open(packet.Config{
			Interface: l.Packet.Interface, HardwareAddr: l.Packet.MAC, MTU: l.MTU,
			NoOffload: l.Packet.Offload != "on", OnError: onError,
		})
		if err == nil && l.Packet.Offload == "software" {
			x = gso.Wrap(x)
		}
		return x, err
	}
	t := l.kernelDevice()
	if t == nil {
		t = &Tun{Up: true}
	}
	var x link.Link
	var err error
	if l.Driver == "tap" {
		cfg := tap.Config{Name: t.Device, HasFD: t.FD != 0, FD: t.FD, MTU: l.MTU, Queues: t.Queues, Offload: offloadModes[t.Offload], OnError: onError}
		if l.Tap != nil {
			cfg.HardwareAddr = l.Tap.MAC
		}
		x, err = tap.Open(cfg)
	} else {
		x, err = tun.Open(tun.Config{Name: t.Device, HasFD: t.FD != 0, FD: t.FD, MTU: l.MTU, Queues: t.Queues, Offload: offloadModes[t.Offload], OnError: onError})
	}
	if err != nil {
		return nil, err
	}
	if t.Offload == "software" {
		x = gso.Wrap(x)
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

// offloadModes are the values of the key offload; software is off for the device.
var offloadModes = map[string]tun.OffloadMode{"off": tun.OffloadOff, "on": tun.OffloadOn, "auto": tun.OffloadAuto}

// openReplay opens a capture. The link closes the file.
func openReplay(l *Link, deps Deps) (link.Link, error) {
	f, err := os.Open(l.Replay.File)
	if err != nil {
		return nil, err
	}
	x, err := pcap.NewReplay(pcap.ReplayConfig{
		Name: l.Name, Reader: f, Clock: deps.Clock, Speed: l.Replay.Speed, Interface: l.Replay.Interface,
		HardwareAddr: l.Replay.MAC, MTU: l.MTU,
		OnEnd: func(err error) {
			if err != nil {
				deps.Logger.Error("the replay has ended", "link", l.Name, "file", l.Replay.File, "error", err)
				return
			}
			deps.Logger.Info("the replay has ended", "link", l.Name, "file", l.Replay.File)
		},
	})
	if err != nil {
		f.Close()
		return nil, err
	}
	return x, nil
}

// ownName reports whether the link has a name of its own, that of a device.
func (b *builtLink) ownName() bool {
	switch b.cfg.Driver {
	case "tun", "tap", "packet":
		return true
	}
	return false
}

func (b *builtLink) add(name string, l link.Link) {
	if !b.ownName() {
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

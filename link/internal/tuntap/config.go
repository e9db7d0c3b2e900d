// Package tuntap is the driver of Linux's TUN and TAP devices, which packages tun
// and tap give to users.
package tuntap

import (
	"fmt"

	"github.com/sluicenet/sluice/link/internal/virtio"
)

// Kind is what a device carries.
type Kind uint8

// The kinds.
const (
	TUN Kind = iota // IP packets
	TAP             // Ethernet frames
)

// String returns "tun" or "tap", as ip(8) spells them.
func (k Kind) String() string {
	if k == TAP {
		return "tap"
	}
	return "tun"
}

func (k Kind) noun() string {
	if k == TAP {
		return "TAP"
	}
	return "TUN"
}

func (k Kind) other() Kind { return TAP - k }

// maxQueues is the kernel's limit (MAX_TAP_QUEUES).
const maxQueues = 256

// Config is described where users see it, in packages tun and tap.
type Config struct {
	Kind         Kind
	Name         string
	HasFD        bool
	FD           int
	MTU          int
	Queues       int
	Offload      virtio.Mode
	HardwareAddr [6]byte // ours, for TAP
	OnError      func(error)
}

// Check returns an error that names the field that is wrong, if one is.
func (cfg *Config) Check() error {
	if cfg.MTU != 0 && (cfg.MTU < 68 || cfg.MTU > 65535) {
		return fmt.Errorf("%v: MTU %d is not between 68 and 65535", cfg.Kind, cfg.MTU)
	}
	if len(cfg.Name) > 15 {
		return fmt.Errorf("%v: device name %q is longer than 15 bytes", cfg.Kind, cfg.Name)
	}
	if cfg.Offload > virtio.Auto {
		return fmt.Errorf("%v: %v is unknown", cfg.Kind, cfg.Offload)
	}
	if cfg.HasFD && cfg.FD < 0 {
		return fmt.Errorf("%v: FD %d is no descriptor", cfg.Kind, cfg.FD)
	}
	if cfg.Queues < 0 || cfg.Queues > maxQueues {
		return fmt.Errorf("%v: %d queues; a device has 1 to %d", cfg.Kind, cfg.Queues, maxQueues)
	}
	if cfg.HasFD && cfg.Queues > 1 {
		return fmt.Errorf("%v: a descriptor is one queue, not %d", cfg.Kind, cfg.Queues)
	}
	return nil
}

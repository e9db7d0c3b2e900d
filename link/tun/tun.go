// Package tun is a link to the kernel's network through a TUN device of Linux,
// which carries bare IP packets.
//
// The device is created or attached to by name, or comes as a descriptor that
// somebody else has opened. Giving it addresses and setting it up is left to
// package setup, or to ip(8).
//
// It needs the kernel's module tun (CONFIG_TUN) and /dev/net/tun, and CAP_NET_ADMIN
// to create a device; one that root has made for the user needs no capability.
package tun

import (
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/link/internal/tuntap"
	"github.com/sluicenet/sluice/link/internal/virtio"
)

// Config says which device to open, and how.
type Config struct {
	// Name is that of the device. It is created, and then vanishes with Close,
	// unless it exists already. "" or a pattern such as "tun%d" lets the kernel
	// choose a number.
	Name string

	// HasFD says that FD is an open descriptor of /dev/net/tun to which a TUN
	// device is attached, with IFF_NO_PI; Name is then not used. If Open
	// succeeds the link owns the descriptor, which may have changed its number.
	HasFD bool
	FD    int

	// MTU is the largest IP packet that is sent, in bytes, 68 to 65535. 0 takes
	// the device's, or 1500 for a descriptor, whose device may be in another
	// namespace. Packets received may be longer if the device's MTU is.
	MTU int

	// Queues is how many queues of the device are used, each with a goroutine
	// that reads; 0 means 1. The kernel gives every flow a queue, so that flows
	// arrive on several CPUs and each stays in order. One for each CPU pays where
	// many flows are busy, above all without offload. A device that exists
	// must have been made for several (IFF_MULTI_QUEUE; "ip tuntap add ...
	// multi_queue").
	Queues int

	// Offload says whether super-packets and unfinished checksums cross the
	// device.
	Offload OffloadMode

	// OnError, if not nil, is called once when the device has failed for
	// good: it has been deleted, or an inherited one was opened without
	// IFF_NO_PI. Nothing is received from then on. It may call Close.
	OnError func(error)
}

// OffloadMode says whether a device uses offloads.
type OffloadMode = virtio.Mode

// The modes.
const (
	OffloadOff  = virtio.Off  // plain packets only
	OffloadOn   = virtio.On   // Open fails where the device cannot
	OffloadAuto = virtio.Auto // on where the device can
)

// Check returns an error that names the field that is wrong, if one is.
func (cfg *Config) Check() error {
	c := cfg.device()
	return c.Check()
}

func (cfg *Config) device() tuntap.Config {
	return tuntap.Config{
		Kind: tuntap.TUN, Name: cfg.Name, HasFD: cfg.HasFD, FD: cfg.FD, MTU: cfg.MTU,
		Queues: cfg.Queues, Offload: cfg.Offload, OnError: cfg.OnError,
	}
}

// Open opens a TUN device. The link's name is the device's. Opening by name
// happens in the network namespace of the calling thread; the link then works
// from any. Errors say what to do about them. On other systems than Linux it fails
// with errors.ErrUnsupported.
//
// Send never waits: what the kernel has no room for is dropped and counted.
func Open(cfg Config) (link.Link, error) { return tuntap.Open(cfg.device()) }

// Package tap is a link to the kernel's network through a TAP device of Linux,
// which carries Ethernet frames. The stack at its end is a station of its own, with
// an Ethernet address other than the kernel's: it speaks ARP and neighbour
// discovery, and the device can be a port of a bridge.
//
// It needs the kernel's module tun (CONFIG_TUN) and /dev/net/tun, and CAP_NET_ADMIN
// to create a device; one that root has made for the user needs no capability.
// Giving it addresses and setting it up is left to package link/tun/setup, or to
// ip(8).
package tap

import (
	crand "crypto/rand"
	"fmt"

	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/link/internal/tuntap"
	"github.com/sluicenet/sluice/link/internal/virtio"
)

// Config says which device to open, and how.
type Config struct {
	// Name is that of the device. It is created, and then vanishes with Close,
	// unless it exists already. "" or a pattern such as "tap%d" lets the kernel
	// choose a number.
	Name string

	// HardwareAddr is the stack's Ethernet address, which must not be that of
	// the device itself: that one is the kernel's. Zero means one made at random
	// (locally administered, RFC 7042, section 2.1).
	HardwareAddr [6]byte

	// HasFD says that FD is an open descriptor of /dev/net/tun to which a TAP
	// device is attached, with IFF_NO_PI; Name is then not used. If Open
	// succeeds the link owns the descriptor, which may have changed its number.
	HasFD bool
	FD    int

	// MTU is the largest IP packet that is sent, in bytes, 68 to 65535. 0 takes
	// the device's, or 1500 for a descriptor, whose device may be in another
	// namespace. Packets received may be longer if the device's MTU is.
	MTU int

	// Queues is how many queues of the device are used, each with a goroutine
	// that reads; 0 means 1. A device that exists must have been made for
	// several (IFF_MULTI_QUEUE; "ip tuntap add ... multi_queue").
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
	OffloadOff  = virtio.Off  // plain frames only
	OffloadOn   = virtio.On   // Open fails where the device cannot
	OffloadAuto = virtio.Auto // on where the device can
)

// Check returns an error that names the field that is wrong, if one is.
func (cfg *Config) Check() error {
	if cfg.HardwareAddr[0]&1 != 0 {
		return fmt.Errorf("tap: %x is the Ethernet address of a group, not of a station", cfg.HardwareAddr)
	}
	c := cfg.device()
	return c.Check()
}

func (cfg *Config) device() tuntap.Config {
	return tuntap.Config{
		Kind: tuntap.TAP, Name: cfg.Name, HasFD: cfg.HasFD, FD: cfg.FD, MTU: cfg.MTU, Queues: cfg.Queues,
		Offload: cfg.Offload, HardwareAddr: cfg.HardwareAddr, OnError: cfg.OnError,
	}
}

// Open opens a TAP device. The link's name is the device's. Opening by name
// happens in the network namespace of the calling thread; the link then works
// from any. Errors say what to do about them. On other systems than Linux it fails
// with errors.ErrUnsupported.
//
// Send never waits: what the kernel has no room for is dropped and counted.
func Open(cfg Config) (link.Link, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	if cfg.HardwareAddr == [6]byte{} {
		crand.Read(cfg.HardwareAddr[:])
		cfg.HardwareAddr[0] = cfg.HardwareAddr[0]&^1 | 2
	}
	return tuntap.Open(cfg.device())
}

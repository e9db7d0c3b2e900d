// Package packet is a link through a packet socket (AF_PACKET) on a network
// interface of Linux that exists already: a card, a veth, a bridge. The stack is a
// station of its own on that Ethernet, beside the kernel.
//
// It needs CAP_NET_RAW, and an interface of Ethernet that is up. CAP_NET_ADMIN
// lets the socket have larger buffers than the system's limits.
//
// The kernel sees the frames as well. It leaves those for the stack alone as long as
// it does not have the stack's IP addresses itself, on any interface, and, if the
// stack uses the interface's own Ethernet address, does not forward
// (net.ipv4.ip_forward, net.ipv6.conf.all.forwarding: it would send what is for the
// stack once more). Frames that the stack sends leave by the interface: the machine's
// own kernel does not get them, and cannot be reached that way.
package packet

import (
	"fmt"

	"github.com/sluicenet/sluice/api/link"
)

// Config says which interface to use, and how.
type Config struct {
	// Interface is its name.
	Interface string

	// HardwareAddr is the stack's Ethernet address. Zero means the interface's
	// own. With another the interface is set to promiscuous mode, which
	// switches of virtual machines, and wireless networks, often do not
	// allow.
	HardwareAddr [6]byte

	// MTU is the largest IP packet that is sent, in bytes, 68 to 65535; 0 takes
	// the interface's.
	MTU int

	// NoOffload keeps super-packets and unfinished checksums from being sent.
	// Received ones are always understood (PACKET_VNET_HDR): an interface
	// merges what it receives, and a veth carries what its other end sends.
	NoOffload bool

	// OnError, if not nil, is called once when the interface has gone.
	// Nothing is received from then on. It may call Close.
	OnError func(error)
}

// Check returns an error that names the field that is wrong, if one is.
func (cfg *Config) Check() error {
	switch {
	case cfg.Interface == "":
		return fmt.Errorf("packet: Interface is missing: give the name of one, as \"ip link\" shows them")
	case len(cfg.Interface) > 15:
		return fmt.Errorf("packet: interface name %q is longer than 15 bytes", cfg.Interface)
	case cfg.MTU != 0 && (cfg.MTU < 68 || cfg.MTU > 65535):
		return fmt.Errorf("packet: MTU %d is not between 68 and 65535", cfg.MTU)
	case cfg.HardwareAddr[0]&1 != 0:
		return fmt.Errorf("packet: %x is the Ethernet address of a group, not of a station", cfg.HardwareAddr)
	}
	return nil
}

// Open opens a packet socket in the network namespace of the calling thread; the
// link then works from any. Errors say what to do about them. On other systems than
// Linux it fails with errors.ErrUnsupported.
//
// Send never waits: what the kernel has no room for is dropped and counted.
func Open(cfg Config) (link.Link, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	return open(cfg)
}

// Package tun is a link to the kernel's network through a TUN device of Linux,
// which carries bare IP packets.
//
// The device is created or attached to by name, or comes as a descriptor that
// somebody else has opened. Giving it addresses and setting it up is left to
// package setup, or to ip(8).
package tun

import "fmt"

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

	// Offload says whether super-packets and unfinished checksums cross the
	// device.
	Offload OffloadMode

	// OnError, if not nil, is called once when the device has failed for
	// good: it has been deleted, or an inherited one was opened without
	// IFF_NO_PI. Nothing is received from then on. It may call Close.
	OnError func(error)
}

// OffloadMode says whether a device uses offloads.
type OffloadMode uint8

// The modes.
const (
	OffloadOff  OffloadMode = iota // plain packets only
	OffloadOn                      // Open fails where the device cannot
	OffloadAuto                    // on where the device can
)

// String returns "off", "on" or "auto".
func (m OffloadMode) String() string {
	switch m {
	case OffloadOff:
		return "off"
	case OffloadOn:
		return "on"
	case OffloadAuto:
		return "auto"
	}
	return fmt.Sprintf("offload mode %d", uint8(m))
}

// Check returns an error that names the field that is wrong, if one is.
func (cfg *Config) Check() error {
	if cfg.MTU != 0 && (cfg.MTU < 68 || cfg.MTU > 65535) {
		return fmt.Errorf("tun: MTU %d is not between 68 and 65535", cfg.MTU)
	}
	if len(cfg.Name) > 15 {
		return fmt.Errorf("tun: device name %q is longer than 15 bytes", cfg.Name)
	}
	if cfg.Offload > OffloadAuto {
		return fmt.Errorf("tun: %v is unknown", cfg.Offload)
	}
	if cfg.HasFD && cfg.FD < 0 {
		return fmt.Errorf("tun: FD %d is no descriptor", cfg.FD)
	}
	return nil
}

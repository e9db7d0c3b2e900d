package setup

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Configure gives the kernel's side of the named device its MTU (0: as it is)
// and addresses, each with its network, which the kernel then routes to the
// device, and sets it up. Addresses that it has already stay. It works in the
// network namespace of the calling thread and needs CAP_NET_ADMIN there.
func Configure(name string, mtu int, addresses ...netip.Prefix) error {
	dev, err := netlink.LinkByName(name)
	if err != nil {
		return explain(name, "find it", err)
	}
	if mtu != 0 {
		if err := netlink.LinkSetMTU(dev, mtu); err != nil {
			return explain(name, fmt.Sprintf("set its MTU to %d", mtu), err)
		}
	}
	for _, a := range addresses {
		if !a.IsValid() {
			return fmt.Errorf("device %s: invalid address %v", name, a)
		}
		addr := &netlink.Addr{IPNet: &net.IPNet{
			IP:   a.Addr().AsSlice(),
			Mask: net.CIDRMask(a.Bits(), a.Addr().BitLen()),
		}}
		if a.Addr().Is6() {
			// There is nobody to collide with: usable at once.
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := netlink.AddrReplace(dev, addr); err != nil {
			return explain(name, fmt.Sprintf("give it the address %v", a), err)
		}
	}
	if err := netlink.LinkSetUp(dev); err != nil {
		return explain(name, "set it up", err)
	}
	return nil
}

func explain(name, what string, err error) error {
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("device %s: not allowed to %s: run as root, or have root run \"ip address add\" and \"ip link set up\": %w", name, what, err)
	}
	return fmt.Errorf("device %s: cannot %s: %w", name, what, err)
}

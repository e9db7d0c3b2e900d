package setup

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Configure gives the kernel's side of the named device its MTU (0: as it is)
// and addresses, each with its network, which the kernel then routes to the
// device, and sets it up. Addresses that it has already stay. It works in the
// network namespace of the calling thread and needs CAP_NET_ADMIN there.
func Configure(name string, mtu int, addresses ...netip.Prefix) error {
	for _, a := range addresses {
		if !a.IsValid() {
			return fmt.Errorf("device %s: invalid address %v", name, a)
		}
	}
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
	for _, a := range addresses {
		if err := awaitLocal(a.Addr()); err != nil {
			return explain(name, fmt.Sprintf("see the address %v at work", a), err)
		}
	}
	return nil
}

// awaitLocal waits until the kernel takes packets to the address for its own. It
// makes an IPv6 address known at once, but its route only in a work item that
// runs a little later; until then it would drop the first packets.
func awaitLocal(a netip.Addr) error {
	for range 2000 {
		routes, err := netlink.RouteGet(a.AsSlice())
		if err == nil && len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	return errors.New("no local route after 2 s")
}

func explain(name, what string, err error) error {
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("device %s: not allowed to %s: run as root, or have root run \"ip address add\" and \"ip link set up\": %w", name, what, err)
	}
	return fmt.Errorf("device %s: cannot %s: %w", name, what, err)
}

// DefaultRoutes leads everything to the named device, by routes with the given
// metrics, which replace those that are there. It works in the network namespace
// of the calling thread and needs CAP_NET_ADMIN there.
func DefaultRoutes(name string, m Metrics) error {
	dev, err := netlink.LinkByName(name)
	if err != nil {
		return explain(name, "find it", err)
	}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		addresses, err := netlink.AddrList(dev, family)
		if err != nil {
			return explain(name, "list its addresses", err)
		}
		if len(addresses) == 0 {
			continue
		}
		r := netlink.Route{LinkIndex: dev.Attrs().Index, Family: family, Scope: netlink.SCOPE_LINK,
			MTU: m.MTU, AdvMSS: m.AdvMSS, InitCwnd: m.InitCwnd, InitRwnd: m.InitRwnd, RtoMin: int(m.RTOMin / time.Millisecond), Congctl: m.Congestion}
		r.Dst = &net.IPNet{IP: make(net.IP, 4), Mask: net.CIDRMask(0, 32)}
		if family == unix.AF_INET6 {
			r.Scope = netlink.SCOPE_UNIVERSE
			r.Dst = &net.IPNet{IP: make(net.IP, 16), Mask: net.CIDRMask(0, 128)}
		}
		if m.QuickAck {
			r.QuickACK = 1
		}
		if err := netlink.RouteReplace(&r); err != nil {
			return explain(name, "make it the default route", err)
		}
	}
	return nil
}

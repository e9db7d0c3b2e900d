package ip

import "net/netip"

var (
	thisNetwork4 = netip.MustParsePrefix("0.0.0.0/8")
	reserved4    = netip.MustParsePrefix("240.0.0.0/4")
	mapped6      = netip.MustParsePrefix("::ffff:0:0/96")
	compatible6  = netip.MustParsePrefix("::/96")
	broadcast4   = netip.AddrFrom4([4]byte{255, 255, 255, 255})
)

// Martian reports whether no packet from a link may have the source a
// (RFC 1122, section 3.2.1.3; RFC 9293, section 3.9.2.3, MUST-63): unspecified,
// loopback, multicast, broadcast, reserved, IPv4 in disguise. Broadcasts of a
// network, and addresses of our own, are known to [Routes].
func Martian(a netip.Addr) bool {
	if a.Is4() {
		return thisNetwork4.Contains(a) || a.IsLoopback() || a.IsMulticast() || reserved4.Contains(a)
	}
	return a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || mapped6.Contains(a) || compatible6.Contains(a)
}

// directedBroadcast returns the broadcast address of an IPv4 network.
func directedBroadcast(p netip.Prefix) (netip.Addr, bool) {
	if !p.Addr().Is4() || p.Bits() > 30 {
		return netip.Addr{}, false
	}
	a := p.Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		a[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(a), true
}

func commonBits(a, b netip.Addr) int {
	x, y := a.AsSlice(), b.AsSlice()
	n := 0
	for i := range x {
		d := x[i] ^ y[i]
		if d == 0 {
			n += 8
			continue
		}
		for d&0x80 == 0 {
			n++
			d <<= 1
		}
		break
	}
	return n
}

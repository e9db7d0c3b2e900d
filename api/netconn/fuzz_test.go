package netconn

import (
	"context"
	"net/netip"
	"testing"
)

// FuzzAddress: an address of a dial is refused with an error, or is one that fits the
// network and that netip reads the same way. No name is looked up without a resolver.
func FuzzAddress(f *testing.F) {
	for _, s := range []string{"10.0.0.1:80", "[::1]:80", "[fe80::1%eth0]:http", "host:1", ":80", "1.2.3.4:70000", "[::ffff:1.2.3.4]:5", "::1:80", "1.2.3.4:-1"} {
		f.Add(uint8(0), s)
	}
	f.Fuzz(func(t *testing.T, kind uint8, address string) {
		network := []string{"tcp", "tcp4", "tcp6", "udp"}[kind%4]
		dsts, err := new(Dialer).resolve(context.Background(), network, address)
		if (len(dsts) == 0) == (err == nil) || network == "udp" && err == nil {
			t.Fatalf("%q: %v, %v", address, dsts, err)
		}
		for _, d := range dsts {
			if !d.Addr().IsValid() || d.Addr().Is4In6() || network == "tcp4" && !d.Addr().Is4() || network == "tcp6" && !d.Addr().Is6() {
				t.Fatalf("%q over %s: %v", address, network, d)
			}
			if want, err := netip.ParseAddrPort(address); err == nil && netip.AddrPortFrom(want.Addr().Unmap(), want.Port()) != d {
				t.Fatalf("%q: %v, netip reads %v", address, d, want)
			}
		}
	})
}

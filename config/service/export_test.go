package service

import (
	"context"
	"net"
	"net/netip"
)

// DialBy makes a Transparent dial by f, which a test can lead to an address that
// needs no network.
func DialBy(s Service, f func(ctx context.Context, to netip.AddrPort) (net.Conn, error)) Service {
	s.(*transparent).dial = f
	return s
}

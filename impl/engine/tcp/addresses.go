package tcp

import "net/netip"

// A Pair is the addresses and ports of the two ends of a connection, as a key: small,
// and without pointers, so that it hashes fast. An IPv4 address is written as an IPv6
// one, which no packet has.
type Pair struct {
	Local, Remote         [16]byte
	LocalPort, RemotePort uint16
}

// PairOf returns the Pair of local and remote. Zones are not kept.
func PairOf(local, remote netip.AddrPort) Pair {
	return Pair{local.Addr().As16(), remote.Addr().As16(), local.Port(), remote.Port()}
}

// AddrPorts returns the two ends.
func (p *Pair) AddrPorts() (local, remote netip.AddrPort) {
	return addrPort(&p.Local, p.LocalPort), addrPort(&p.Remote, p.RemotePort)
}

func addrPort(a *[16]byte, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16(*a).Unmap(), port)
}

// Pair returns the addresses and ports of the two ends. They never change, and are not
// to be written to.
func (c *Conn) Pair() *Pair { return &c.pair }

// Local and Remote are the two ends.
func (c *Conn) Local() netip.AddrPort  { return addrPort(&c.pair.Local, c.pair.LocalPort) }
func (c *Conn) Remote() netip.AddrPort { return addrPort(&c.pair.Remote, c.pair.RemotePort) }

package neigh

import (
	"encoding/binary"
	"net/netip"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

var allNodes = netip.MustParseAddr("ff02::1")

// solicitedNode returns the multicast address on which a is asked for
// (RFC 4291, section 2.7.1).
func solicitedNode(a netip.Addr) netip.Addr {
	b := a.As16()
	return netip.AddrFrom16([16]byte{0: 0xff, 1: 2, 11: 1, 12: 0xff, 13: b[13], 14: b[14], 15: b[15]})
}

// groupAddr returns the Ethernet address of an IPv6 multicast address (RFC 2464,
// section 7).
func groupAddr(a netip.Addr) wire.HardwareAddr {
	b := a.As16()
	return wire.HardwareAddr{0x33, 0x33, b[12], b[13], b[14], b[15]}
}

// sendSolicit asks for the address a: everybody, or one station if to is not zero.
func (m *Machine) sendSolicit(local, a netip.Addr, to wire.HardwareAddr, f *Frames) {
	if a.Is4() {
		dst := to
		if dst == (wire.HardwareAddr{}) {
			dst = wire.EthernetBroadcast
		}
		m.sendARP(dst, wire.ARP{Op: wire.ARPRequest, Sender: local, TargetHW: to, Target: a}, f)
		return
	}
	n := wire.NDP{ICMP: wire.ICMP{Type: wire.NDPNeighbourSolicit}, Target: a, HW: m.cfg.HardwareAddr, HasHW: true}
	dst := a
	if to == (wire.HardwareAddr{}) {
		dst = solicitedNode(a)
		to = groupAddr(dst)
	}
	m.sendNDP(to, local, dst, &n, f)
}

// sendProbe asks whether anybody has a, without saying that we do.
func (m *Machine) sendProbe(a netip.Addr, f *Frames) {
	if a.Is4() {
		m.sendARP(wire.EthernetBroadcast, wire.ARP{Op: wire.ARPRequest, Sender: netip.IPv4Unspecified(), Target: a}, f)
		return
	}
	dst := solicitedNode(a)
	n := wire.NDP{ICMP: wire.ICMP{Type: wire.NDPNeighbourSolicit}, Target: a}
	m.sendNDP(groupAddr(dst), netip.IPv6Unspecified(), dst, &n, f)
}

// announce tells everybody that we have a (RFC 5227, section 2.3; RFC 4861,
// section 7.2.6).
func (m *Machine) announce(a netip.Addr, f *Frames) {
	if a.Is4() {
		m.sendARP(wire.EthernetBroadcast, wire.ARP{Op: wire.ARPRequest, Sender: a, Target: a}, f)
		return
	}
	m.sendAdvert(a, allNodes, wire.HardwareAddr{}, wire.NDPOverride, f)
}

// sendAdvert says to dst that we have a. A multicast dst needs no to.
func (m *Machine) sendAdvert(a, dst netip.Addr, to wire.HardwareAddr, flags uint32, f *Frames) {
	if dst.IsMulticast() {
		to = groupAddr(dst)
	}
	n := wire.NDP{ICMP: wire.ICMP{Type: wire.NDPNeighbourAdvert, Rest: flags}, Target: a, HW: m.cfg.HardwareAddr, HasHW: true}
	m.sendNDP(to, a, dst, &n, f)
}

func (m *Machine) sendARP(to wire.HardwareAddr, a wire.ARP, f *Frames) {
	a.SenderHW = m.cfg.HardwareAddr
	b := f.header(wire.EthernetHeaderLen + wire.ARPLen)
	h := wire.Ethernet{Dst: to, Src: m.cfg.HardwareAddr, Type: wire.EtherTypeARP}
	a.Emit(b[h.Emit(b):])
	f.Link = append(f.Link, link.Packet{Header: b})
}

func (m *Machine) sendNDP(to wire.HardwareAddr, src, dst netip.Addr, n *wire.NDP, f *Frames) {
	b := f.header(wire.EthernetHeaderLen + wire.IPv6HeaderLen + n.Len())
	h := wire.Ethernet{Dst: to, Src: m.cfg.HardwareAddr, Type: wire.EtherTypeIPv6}
	v6 := wire.IPv6{PayloadLen: uint16(n.Len()), NextHeader: wire.ProtoICMPv6, HopLimit: 255, Src: src, Dst: dst}
	p := b[h.Emit(b):]
	v6.Emit(p)
	msg := p[wire.IPv6HeaderLen:]
	n.Emit(msg)
	sum := wire.PseudoHeader(src, dst, wire.ProtoICMPv6, len(msg))
	sum.Add(msg)
	binary.BigEndian.PutUint16(msg[wire.ICMPChecksumOffset:], sum.Value())
	f.Link = append(f.Link, link.Packet{Header: b})
}

// quoteLen is how much of a packet that found nobody is quoted: its headers.
const quoteLen = 128

// unreachable tells our own host that p, made by copyFrame, found nobody: an ICMP
// error in the name of the address it was for (RFC 1122, section 2.3.2.2;
// RFC 4861, section 7.2.2).
func (m *Machine) unreachable(p *link.Packet, f *Frames) {
	quote := p.Payload[0].Bytes()[wire.EthernetHeaderLen:]
	src, dst, ok := addresses(quote)
	if !ok {
		panic("BUG: a packet waits that has no addresses")
	}
	quote = quote[:min(len(quote), quoteLen)]
	n := wire.ICMPHeaderLen + len(quote)
	var b []byte
	var msg wire.ICMP
	var sum wire.Checksum
	if dst.Is4() {
		b = make([]byte, wire.IPv4MinHeaderLen+n)
		v4 := wire.IPv4{TotalLen: uint16(len(b)), TTL: 64, Protocol: wire.ProtoICMP, Src: dst, Dst: src}
		v4.Emit(b)
		msg = wire.ICMP{Type: wire.ICMPv4Unreachable, Code: wire.ICMPv4CodeHost}
	} else {
		b = make([]byte, wire.IPv6HeaderLen+n)
		v6 := wire.IPv6{PayloadLen: uint16(n), NextHeader: wire.ProtoICMPv6, HopLimit: 64, Src: dst, Dst: src}
		v6.Emit(b)
		msg = wire.ICMP{Type: wire.ICMPv6Unreachable, Code: wire.ICMPv6CodeAddress}
		sum = wire.PseudoHeader(dst, src, wire.ProtoICMPv6, n)
	}
	m2 := b[len(b)-n:]
	msg.Emit(m2)
	copy(m2[wire.ICMPHeaderLen:], quote)
	sum.Add(m2)
	binary.BigEndian.PutUint16(m2[wire.ICMPChecksumOffset:], sum.Value())
	f.Up = append(f.Up, link.Packet{Payload: []api.Buffer{*api.NewBuffer(b)}})
}

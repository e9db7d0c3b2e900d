package conformance

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/sluicenet/sluice/api/clock"
)

type clockTime = clock.Time

// icmp returns an ICMP packet: v4 or v6 as the addresses are.
func icmp(src, dst netip.Addr, typ4, code4, typ6, code6 uint8, rest uint32, body []byte) []byte {
	b := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if src.Is4() {
		l := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(typ4, code4), Id: uint16(rest >> 16), Seq: uint16(rest)}
		ip := ipLayer(src, dst, layers.IPProtocolICMPv4, 64, 0)
		must(gopacket.SerializeLayers(b, opts, ip, l, gopacket.Payload(body)))
		return bytes.Clone(b.Bytes())
	}
	l := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(typ6, code6)}
	ip := ipLayer(src, dst, layers.IPProtocolICMPv6, 64, 0).(*layers.IPv6)
	must(l.SetNetworkLayerForChecksum(ip))
	must(gopacket.SerializeLayers(b, opts, ip, l, gopacket.Payload(append(binary.BigEndian.AppendUint32(nil, rest), body...))))
	return bytes.Clone(b.Bytes())
}

// echoRequest returns a ping.
func echoRequest(src, dst netip.Addr, id uint16, body []byte) []byte {
	return icmp(src, dst, 8, 0, 128, 0, uint32(id)<<16|1, body)
}

// quote returns the beginning of the packet of s, as an ICMP error carries it.
func quote(s *Segment) []byte {
	raw := encode(s)
	if s.Src.Addr().Is4() {
		return raw[:min(len(raw), 20+20+8)]
	}
	return raw[:min(len(raw), 1000)]
}

// packetTooBig returns the ICMP error of a router that cannot forward s.
func packetTooBig(s *Segment, router netip.Addr, mtu uint16) []byte {
	return icmp(router, s.Src.Addr(), 3, 4, 2, 0, uint32(mtu), quote(s))
}

// unreachable returns a destination-unreachable error with the IPv4 code given
// and the ICMPv6 type and code that stand for the same.
func unreachable(s *Segment, router netip.Addr, code4, typ6, code6 uint8) []byte {
	return icmp(router, s.Src.Addr(), 3, code4, typ6, code6, 0, quote(s))
}

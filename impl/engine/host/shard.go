package host

import (
	"encoding/binary"
	"math/bits"
	"net/netip"

	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/impl/engine/ip"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// ShardHash returns the hash by which packets are spread over Hosts: of the pair
// of addresses for TCP, also where an ICMP error quotes it (the quoted
// source being local); of addresses, protocol and identification for fragments;
// of the addresses otherwise. key is the same for all Hosts of a stack.
func ShardHash(key uint64, p *link.Packet) uint64 {
	b := contiguous(p)
	// The way of nearly every packet: IPv4 without options, or IPv6 without
	// extensions, whole, with TCP.
	if len(b) >= wire.IPv4MinHeaderLen+4 && b[0] == 0x45 && b[9] == wire.ProtoTCP && (b[6]&0x3f|b[7]) == 0 {
		src, dst := binary.BigEndian.Uint32(b[12:]), binary.BigEndian.Uint32(b[16:])
		return hash4(key, dst, src, binary.BigEndian.Uint16(b[22:]), binary.BigEndian.Uint16(b[20:]))
	}
	if len(b) >= wire.IPv6HeaderLen+4 && b[0]>>4 == 6 && b[6] == wire.ProtoTCP {
		return hash16(key, [16]byte(b[24:40]), [16]byte(b[8:24]),
			binary.BigEndian.Uint16(b[42:]), binary.BigEndian.Uint16(b[40:]))
	}
	pkt, _, ok := ip.Parse(b, p.Len())
	if !ok {
		return mix(key, uint64(len(b)), 0)
	}
	switch {
	case pkt.Fragment:
		proto := pkt.Proto
		if pkt.Is6() {
			proto = 0 // as the table of datagrams has it
		}
		return mix(hashAddrs(key, pkt.Dst, pkt.Src, 0, 0), uint64(proto)<<32|uint64(pkt.FragID), 1)
	case pkt.Proto == wire.ProtoTCP && len(b) >= pkt.HeaderLen+4:
		t := b[pkt.HeaderLen:]
		return hashAddrs(key, pkt.Dst, pkt.Src, binary.BigEndian.Uint16(t[2:]), binary.BigEndian.Uint16(t))
	case pkt.Proto == wire.ProtoICMP || pkt.Proto == wire.ProtoICMPv6:
		msg := icmpMessage(&pkt, p)
		if m, ok := wire.ParseICMP(msg); ok && isICMPError(pkt.Is6(), m.Type) {
			if q, ok := ip.ParseQuote(msg[wire.ICMPHeaderLen:]); ok {
				return TupleHash(key, q.Local, q.Remote)
			}
		}
	}
	return hashAddrs(key, pkt.Dst, pkt.Src, 0, 0)
}

// TupleHash is ShardHash of a segment from remote to local.
func TupleHash(key uint64, local, remote netip.AddrPort) uint64 {
	return hashAddrs(key, local.Addr().Unmap(), remote.Addr().Unmap(), local.Port(), remote.Port())
}

func hashAddrs(key uint64, local, remote netip.Addr, localPort, remotePort uint16) uint64 {
	if local.Is4() && remote.Is4() {
		l, r := local.As4(), remote.As4()
		return hash4(key, binary.BigEndian.Uint32(l[:]), binary.BigEndian.Uint32(r[:]), localPort, remotePort)
	}
	return hash16(key, local.As16(), remote.As16(), localPort, remotePort)
}

func hash4(key uint64, local, remote uint32, localPort, remotePort uint16) uint64 {
	return mix(key, uint64(local)<<32|uint64(remote), uint64(localPort)<<16|uint64(remotePort))
}

func hash16(key uint64, local, remote [16]byte, localPort, remotePort uint16) uint64 {
	h := mix(key, binary.BigEndian.Uint64(local[:]), binary.BigEndian.Uint64(local[8:]))
	h = mix(h, binary.BigEndian.Uint64(remote[:]), binary.BigEndian.Uint64(remote[8:]))
	return mix(h, uint64(localPort)<<16|uint64(remotePort), 6)
}

// mix folds two words into a keyed hash. Who does not know the key cannot choose
// words that collide more often than others.
func mix(key, a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^key^0xa0761d6478bd642f, b^bits.RotateLeft64(key, 32)^0xe7037ed1a0b428db)
	hi, lo = bits.Mul64(hi^lo^key, 0x8ebc6af09c88c6e3)
	return hi ^ lo
}

package sim

import (
	"encoding/binary"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// forward takes a packet through a router (RFC 1812, section 5.2).
func (v *node) forward(now Time, pkt *packet) {
	lose := func(r DropReason) {
		v.net.logDrop(now, nil, v, pkt, r)
		v.net.packets.put(pkt)
	}
	if pkt.headers == 0 { // perhaps not what it was
		b := pkt.bytes()
		if !soundHeader(b) {
			lose(DropHeader)
			return
		}
		if pkt.to = v.net.nodeAt(b); pkt.to == nil {
			pkt.to = v
			lose(DropNoRoute)
			return
		}
	}
	if pkt.to == v {
		lose(DropNoRoute) // routers speak to nobody
		return
	}
	if !pkt.hop() {
		v.icmp(now, pkt, wire.ICMP{Type: wire.ICMPv4TimeExceeded}, wire.ICMP{Type: wire.ICMPv6TimeExceeded})
		lose(DropTTL)
		return
	}
	p := v.next[pkt.to.index]
	if p == nil {
		v.icmp(now, pkt, wire.ICMP{Type: wire.ICMPv4Unreachable}, wire.ICMP{Type: wire.ICMPv6Unreachable})
		lose(DropNoRoute)
		return
	}
	if pkt.size > int64(p.link.mtu) {
		// RFC 1191, section 4; RFC 4443, section 3.2. Packets that may be
		// fragmented are not told apart: ours all have DF.
		v.icmp(now, pkt, wire.ICMP{Type: wire.ICMPv4Unreachable, Code: wire.ICMPv4CodeFragNeeded, Rest: uint32(p.link.mtu)},
			wire.ICMP{Type: wire.ICMPv6PacketTooBig, Rest: uint32(p.link.mtu)})
		lose(DropTooBig)
		return
	}
	v.net.hops++
	p.send(now, pkt)
}

// soundHeader reports whether a router would look at the packet.
func soundHeader(b []byte) bool {
	if len(b) >= wire.IPv6HeaderLen && b[0]>>4 == 6 {
		return true
	}
	if len(b) < wire.IPv4MinHeaderLen || b[0]>>4 != 4 {
		return false
	}
	n := int(b[0]&15) * 4
	if n < wire.IPv4MinHeaderLen || n > len(b) {
		return false
	}
	var sum wire.Checksum
	sum.Add(b[:n])
	return sum.Folded() == 0xffff
}

// quoted is how much of a packet an ICMP error repeats.
const quoted = 128

// icmp tells the sender of a packet what became of it: m4 or m6.
func (v *node) icmp(now Time, pkt *packet, m4, m6 wire.ICMP) {
	b := pkt.bytes()
	if pkt.from == nil || pkt.cross != nil || len(b) < wire.IPv4MinHeaderLen {
		return
	}
	v4 := b[0]>>4 == 4
	if proto := b[9]; v4 && proto == wire.ProtoICMP || !v4 && b[6] == wire.ProtoICMPv6 {
		return // RFC 1122, section 3.2.2: not about another error
	}
	whole := pkt.appendTo(nil)
	whole = whole[:min(len(whole), quoted)]
	ip, m, proto := wire.IPv6HeaderLen, m6, uint8(wire.ProtoICMPv6)
	if v4 {
		ip, m, proto = wire.IPv4MinHeaderLen, m4, wire.ProtoICMP
	}
	n := wire.ICMPHeaderLen + len(whole)
	buf := api.Alloc(ip + n)
	out := buf.Bytes()
	clear(out)
	var sum wire.Checksum
	if v4 {
		h := wire.IPv4{TotalLen: uint16(ip + n), TTL: 64, Protocol: proto, Src: v.addr, Dst: pkt.from.addr}
		h.Emit(out)
	} else {
		h := wire.IPv6{PayloadLen: uint16(n), HopLimit: 64, NextHeader: proto, Src: v.addr, Dst: pkt.from.addr}
		h.Emit(out)
		sum = wire.PseudoHeader(v.addr, pkt.from.addr, proto, n)
	}
	m.Emit(out[ip:])
	copy(out[ip+wire.ICMPHeaderLen:], whole)
	sum.Add(out[ip:])
	binary.BigEndian.PutUint16(out[ip+wire.ICMPChecksumOffset:], sum.Value())

	r := v.net.packets.get()
	r.payload = append(r.inline[:0], *buf)
	r.size, r.from, r.to = int64(ip+n), v, pkt.from
	v.net.sent++
	r.number = v.net.sent
	v.send(now, r)
}

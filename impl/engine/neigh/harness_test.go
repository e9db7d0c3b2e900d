package neigh

import (
	"bytes"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

var (
	ourHW  = wire.HardwareAddr{2, 0, 0, 0, 0, 1}
	peerHW = wire.HardwareAddr{2, 0, 0, 0, 0, 2}
	other  = wire.HardwareAddr{2, 0, 0, 0, 0, 3}

	our4, peer4  = netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	our6, peer6  = netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00::2")
	zero4, zero6 = netip.IPv4Unspecified(), netip.IPv6Unspecified()
)

// A script drives one machine. Frames are built and read by gopacket.
type script struct {
	*testing.T
	m     *Machine
	now   clock.Time
	f     Frames
	sent  []gopacket.Packet // not yet looked at
	up    []gopacket.Packet // IP packets that have reached the host
	lost  []Conflict
	total int // frames sent
}

func begin(t *testing.T, detect bool) *script {
	t.Helper()
	s := &script{T: t}
	var err error
	s.m, err = New(0, Config{
		Addresses:    []netip.Prefix{netip.PrefixFrom(our4, 8), netip.PrefixFrom(our6, 64)},
		Gateways:     []netip.Addr{netip.MustParseAddr("10.0.0.254"), netip.MustParseAddr("fe80::fe")},
		HardwareAddr: ourHW,
		NoDetection:  !detect,
		Rand:         rand.New(rand.NewPCG(1, 2)),
	})
	if err != nil {
		t.Fatal(err)
	}
	if !detect {
		s.advance(5 * time.Second) // the announcements
		s.sent = nil
	}
	return s
}

// collect takes what a call has left, as its caller does.
func (s *script) collect() {
	s.Helper()
	s.total += len(s.f.Link)
	for i := range s.f.Link {
		b := s.f.Link[i].AppendTo(nil)
		s.sent = append(s.sent, gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.Default))
	}
	for i := range s.f.Up {
		s.takeUp(&s.f.Up[i])
	}
	s.lost = append(s.lost, s.f.Conflicts...)
	s.f.Reset()
	st := s.m.Stats()
	if st.Neighbours > maxKnown+maxResolving+maxHeard || st.Pending > maxAllPending || st.PendingBytes > maxPendingMem || st.Pending < 0 || st.PendingBytes < 0 {
		s.Fatalf("beyond the bounds: %+v", st)
	}
}

func (s *script) takeUp(p *link.Packet) {
	b := p.AppendTo(nil)
	first := layers.LayerTypeIPv4
	if b[0]>>4 == 6 {
		first = layers.LayerTypeIPv6
	}
	s.up = append(s.up, gopacket.NewPacket(b, first, gopacket.Default))
	p.Release()
}

func (s *script) advance(d time.Duration) {
	s.Helper()
	end := s.now.Add(d)
	for n := 0; s.m.Deadline() <= end; n++ {
		if n > 10000 {
			s.Fatal("timers for ever")
		}
		s.now = max(s.now, s.m.Deadline())
		s.m.Timeout(s.now, &s.f)
		s.collect()
	}
	s.now = end
}

// frame gives the machine a frame.
func (s *script) frame(ls ...gopacket.SerializableLayer) {
	s.Helper()
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ls...); err != nil {
		s.Fatal(err)
	}
	s.raw(buf.Bytes())
}

func (s *script) raw(b []byte) {
	s.Helper()
	p := link.Packet{Payload: []api.Buffer{*api.CopyBuffer(b)}}
	if s.m.Input(s.now, &p, &s.f) {
		s.takeUp(&p)
	}
	s.collect()
}

func ether(src, dst wire.HardwareAddr, typ layers.EthernetType) *layers.Ethernet {
	return &layers.Ethernet{SrcMAC: src[:], DstMAC: dst[:], EthernetType: typ}
}

func (s *script) arp(op uint16, hw wire.HardwareAddr, from, to netip.Addr) {
	s.Helper()
	dst := wire.EthernetBroadcast
	if op == layers.ARPReply {
		dst = ourHW
	}
	s.arpTo(dst, op, hw, from, to)
}

func (s *script) arpTo(dst wire.HardwareAddr, op uint16, hw wire.HardwareAddr, from, to netip.Addr) {
	s.Helper()
	s.frame(ether(hw, dst, layers.EthernetTypeARP), &layers.ARP{
		AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4, Operation: op,
		SourceHwAddress: hw[:], SourceProtAddress: from.AsSlice(), DstHwAddress: make([]byte, 6), DstProtAddress: to.AsSlice(),
	})
}

// ndp gives the machine a message of the type, with the address option if hw is not
// zero.
func (s *script) ndp(typ uint8, hw wire.HardwareAddr, from, to, target netip.Addr, flags uint8, hops uint8) {
	s.Helper()
	dst := ourHW
	if to.IsMulticast() {
		dst = groupAddr(to)
	}
	ip := &layers.IPv6{Version: 6, NextHeader: layers.IPProtocolICMPv6, HopLimit: hops, SrcIP: from.AsSlice(), DstIP: to.AsSlice()}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(typ, 0)}
	icmp.SetNetworkLayerForChecksum(ip)
	var opts layers.ICMPv6Options
	src := hw
	if hw == (wire.HardwareAddr{}) {
		src = peerHW
	} else {
		kind := layers.ICMPv6OptSourceAddress
		if typ == layers.ICMPv6TypeNeighborAdvertisement {
			kind = layers.ICMPv6OptTargetAddress
		}
		opts = layers.ICMPv6Options{{Type: kind, Data: hw[:]}}
	}
	var body gopacket.SerializableLayer = &layers.ICMPv6NeighborSolicitation{TargetAddress: target.AsSlice(), Options: opts}
	switch typ {
	case layers.ICMPv6TypeNeighborAdvertisement:
		body = &layers.ICMPv6NeighborAdvertisement{Flags: flags, TargetAddress: target.AsSlice(), Options: opts}
	case layers.ICMPv6TypeRouterAdvertisement:
		body = &layers.ICMPv6RouterAdvertisement{HopLimit: 64, RouterLifetime: 1800, Options: opts}
	}
	s.frame(ether(src, dst, layers.EthernetTypeIPv6), ip, icmp, body)
}

// send has the host send a packet of n bytes of UDP.
func (s *script) send(to netip.Addr, n int) {
	s.Helper()
	b := packet(our(to), to, n)
	k := len(b) - n // the headers
	p := link.Packet{Header: b[:k:k], Payload: []api.Buffer{*api.CopyBuffer(b[k:])}}
	if n%2 == 1 { // all in the payload
		p = link.Packet{Payload: []api.Buffer{*api.CopyBuffer(b)}}
	}
	s.m.Output(s.now, &p, &s.f)
	s.collect()
	p.Release()
}

func our(a netip.Addr) netip.Addr {
	if a.Is4() {
		return our4
	}
	return our6
}

func packet(from, to netip.Addr, n int) []byte {
	buf := gopacket.NewSerializeBuffer()
	udp := &layers.UDP{SrcPort: 1000, DstPort: 2000}
	var ip interface {
		gopacket.SerializableLayer
		gopacket.NetworkLayer
	} = &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: from.AsSlice(), DstIP: to.AsSlice()}
	if to.Is6() {
		ip = &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolUDP, SrcIP: from.AsSlice(), DstIP: to.AsSlice()}
	}
	udp.SetNetworkLayerForChecksum(ip)
	gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ip, udp, gopacket.Payload(bytes.Repeat([]byte{7}, n)))
	return buf.Bytes()
}

// quiet fails if a frame was sent.
func (s *script) quiet(why string) {
	s.Helper()
	if len(s.sent) > 0 {
		s.Fatalf("%s: sent\n%v", why, s.sent[0])
	}
}

// next returns the next frame that was sent.
func (s *script) next(what string) gopacket.Packet {
	s.Helper()
	if len(s.sent) == 0 {
		s.Fatalf("nothing was sent; want %s", what)
	}
	p := s.sent[0]
	s.sent = s.sent[1:]
	if p.ErrorLayer() != nil {
		s.Fatalf("%s: %v", what, p.ErrorLayer().Error())
	}
	if src := p.LinkLayer().(*layers.Ethernet).SrcMAC; !bytes.Equal(src, ourHW[:]) {
		s.Fatalf("a frame from %v", src)
	}
	return p
}

func dstOf(p gopacket.Packet) wire.HardwareAddr {
	return wire.HardwareAddr(p.LinkLayer().(*layers.Ethernet).DstMAC)
}

func addrOf(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a
}

// wantARP expects an ARP message of ours.
func (s *script) wantARP(what string, dst wire.HardwareAddr, op uint16, from, to netip.Addr) {
	s.Helper()
	p := s.next(what)
	a, ok := p.Layer(layers.LayerTypeARP).(*layers.ARP)
	if !ok || dstOf(p) != dst || a.Operation != op || addrOf(a.SourceProtAddress) != from || addrOf(a.DstProtAddress) != to || !bytes.Equal(a.SourceHwAddress, ourHW[:]) {
		s.Fatalf("%s: want op %d from %v to %v for %v; sent\n%v", what, op, from, to, net.HardwareAddr(dst[:]), p)
	}
}

// wantSolicit expects a neighbour solicitation.
func (s *script) wantSolicit(what string, dst wire.HardwareAddr, from, to, target netip.Addr) {
	s.Helper()
	p := s.next(what)
	ip, _ := p.Layer(layers.LayerTypeIPv6).(*layers.IPv6)
	n, ok := p.Layer(layers.LayerTypeICMPv6NeighborSolicitation).(*layers.ICMPv6NeighborSolicitation)
	if !ok || dstOf(p) != dst || addrOf(ip.SrcIP) != from || addrOf(ip.DstIP) != to || ip.HopLimit != 255 || addrOf(n.TargetAddress) != target {
		s.Fatalf("%s: sent\n%v", what, p)
	}
	if hasOption := len(n.Options) == 1 && bytes.Equal(n.Options[0].Data, ourHW[:]); hasOption != !from.IsUnspecified() {
		s.Fatalf("%s: options %v", what, n.Options)
	}
	s.checkNDP(p)
}

// wantAdvert expects a neighbour advertisement with exactly these flags.
func (s *script) wantAdvert(what string, dst wire.HardwareAddr, to, target netip.Addr, flags uint8) {
	s.Helper()
	p := s.next(what)
	ip, _ := p.Layer(layers.LayerTypeIPv6).(*layers.IPv6)
	n, ok := p.Layer(layers.LayerTypeICMPv6NeighborAdvertisement).(*layers.ICMPv6NeighborAdvertisement)
	if !ok || dstOf(p) != dst || addrOf(ip.SrcIP) != target || addrOf(ip.DstIP) != to || ip.HopLimit != 255 ||
		addrOf(n.TargetAddress) != target || n.Flags != flags || len(n.Options) != 1 || !bytes.Equal(n.Options[0].Data, ourHW[:]) {
		s.Fatalf("%s: sent\n%v", what, p)
	}
	s.checkNDP(p)
}

// checkNDP has gopacket compute the checksum.
func (s *script) checkNDP(p gopacket.Packet) {
	s.Helper()
	ip := p.Layer(layers.LayerTypeIPv6).(*layers.IPv6)
	icmp := p.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6)
	got := icmp.Checksum
	icmp.SetNetworkLayerForChecksum(ip)
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{ComputeChecksums: true}, icmp, gopacket.Payload(icmp.Payload)); err != nil {
		s.Fatal(err)
	}
	if icmp.Checksum != got {
		s.Fatalf("ICMPv6 checksum %x, want %x", got, icmp.Checksum)
	}
}

// wantPacket expects a packet for the station that goes to the address.
func (s *script) wantPacket(what string, dst wire.HardwareAddr, to netip.Addr, n int) {
	s.Helper()
	p := s.next(what)
	udp, ok := p.Layer(layers.LayerTypeUDP).(*layers.UDP)
	if !ok || dstOf(p) != dst || addrOf(p.NetworkLayer().NetworkFlow().Dst().Raw()) != to || len(udp.Payload) != n {
		s.Fatalf("%s: want %d bytes for %v; sent\n%v", what, n, to, p)
	}
}

func (s *script) wantDrops(r api.DropReason, n uint64) {
	s.Helper()
	if got := s.m.Stats().Drops[r]; got != n {
		s.Fatalf("%d drops of %v, want %d", got, r, n)
	}
}

// resolve makes a neighbour known.
func (s *script) resolve(a netip.Addr, hw wire.HardwareAddr) {
	s.Helper()
	s.send(a, 10)
	if a.Is4() {
		s.wantARP("a request", wire.EthernetBroadcast, layers.ARPRequest, our4, a)
		s.arp(layers.ARPReply, hw, a, our4)
	} else {
		s.wantSolicit("a solicitation", groupAddr(solicitedNode(a)), our6, solicitedNode(a), a)
		s.ndp(layers.ICMPv6TypeNeighborAdvertisement, hw, a, our6, a, 0x60, 255)
	}
	s.wantPacket("what waited", hw, a, 10)
}

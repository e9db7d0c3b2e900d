package neigh

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// wantAsk expects a request or solicitation for a: to all, or to one station.
func (s *script) wantAsk(what string, a netip.Addr, to wire.HardwareAddr) {
	s.Helper()
	multicast := to == wire.HardwareAddr{}
	switch {
	case a.Is4() && multicast:
		s.wantARP(what, wire.EthernetBroadcast, layers.ARPRequest, our4, a)
	case a.Is4():
		s.wantARP(what, to, layers.ARPRequest, our4, a)
	case multicast:
		s.wantSolicit(what, groupAddr(solicitedNode(a)), our6, solicitedNode(a), a)
	default:
		s.wantSolicit(what, to, our6, a, a)
	}
}

// answer is what the neighbour says when asked; unasked it says it to everybody.
func (s *script) answer(a netip.Addr, hw wire.HardwareAddr, solicited bool) {
	s.Helper()
	switch {
	case a.Is4() && solicited:
		s.arp(layers.ARPReply, hw, a, our4)
	case a.Is4():
		s.arpTo(wire.EthernetBroadcast, layers.ARPReply, hw, a, a)
	case solicited:
		s.ndp(layers.ICMPv6TypeNeighborAdvertisement, hw, a, our6, a, 0x60, 255)
	default:
		s.ndp(layers.ICMPv6TypeNeighborAdvertisement, hw, a, allNodes, a, 0x20, 255)
	}
}

func eachFamily(t *testing.T, f func(s *script, peer netip.Addr)) {
	for _, peer := range []netip.Addr{peer4, peer6} {
		t.Run(peer.String(), func(t *testing.T) { f(begin(t, false), peer) })
	}
}

// RFC 4861, section 7.3.3: the life of a neighbour that answers, falls silent, and
// comes back with another card.
func TestStates(t *testing.T) {
	eachFamily(t, func(s *script, peer netip.Addr) {
		s.resolve(peer, peerHW)
		s.advance(10 * time.Second)
		s.send(peer, 20)
		s.wantPacket("REACHABLE: sent at once", peerHW, peer, 20)
		s.quiet("REACHABLE: no doubt")
		s.advance(40 * time.Second)
		s.quiet("STALE: nothing is sent unless it is used")
		s.send(peer, 21)
		s.wantPacket("STALE: sent at once", peerHW, peer, 21)
		s.advance(4999 * time.Millisecond)
		s.quiet("DELAY: it might be confirmed meanwhile")
		s.advance(time.Millisecond)
		s.wantAsk("PROBE: unicast", peer, peerHW)
		s.answer(peer, peerHW, true)
		s.send(peer, 22)
		s.wantPacket("REACHABLE again", peerHW, peer, 22)
		s.advance(10 * time.Second)
		s.quiet("REACHABLE again: no doubt")

		// It falls silent.
		s.advance(50 * time.Second)
		s.send(peer, 23)
		s.wantPacket("STALE", peerHW, peer, 23)
		s.advance(5 * time.Second)
		for range maxUnicastSolicit {
			s.wantAsk("PROBE", peer, peerHW)
			s.quiet("one a second")
			s.advance(time.Second)
		}
		s.quiet("given up")
		if n := s.m.Stats().Neighbours; n != 0 {
			s.Fatalf("%d neighbours are left", n)
		}
		// It comes back.
		s.send(peer, 24)
		s.wantAsk("multicast again", peer, wire.HardwareAddr{})
		s.answer(peer, other, true)
		s.wantPacket("the other card", other, peer, 24)
		s.advance(time.Hour)
		s.quiet("nothing is used")
	})
}

// A neighbour that does not answer: three requests, one a second, then the packets
// are dropped and the host is told; the last packets are those that are kept.
func TestNobody(t *testing.T) {
	eachFamily(t, func(s *script, peer netip.Addr) {
		for i := range maxPending + 3 {
			s.send(peer, i)
		}
		for range maxMulticastSolicit {
			s.wantAsk("a request", peer, wire.HardwareAddr{})
			s.quiet("one a second")
			s.advance(time.Second)
		}
		s.quiet("given up")
		s.wantDrops(api.DropUnresolved, maxPending+3)
		if st := s.m.Stats(); st.Neighbours != 0 || st.Pending != 0 || st.PendingBytes != 0 {
			s.Fatalf("something is left: %+v", st)
		}
		if len(s.up) != maxPending {
			s.Fatalf("%d errors for the host, want %d", len(s.up), maxPending)
		}
		for i, p := range s.up {
			if p.ErrorLayer() != nil {
				s.Fatal(p.ErrorLayer().Error())
			}
			src, dst := p.NetworkLayer().NetworkFlow().Endpoints()
			if addrOf(src.Raw()) != peer || addrOf(dst.Raw()) != our(peer) {
				s.Fatalf("an error from %v to %v", src, dst)
			}
			var quote []byte
			if icmp, ok := p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4); ok {
				if icmp.TypeCode != layers.CreateICMPv4TypeCode(3, 1) {
					s.Fatal(icmp.TypeCode)
				}
				quote = icmp.Payload
			} else {
				icmp := p.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6)
				if icmp.TypeCode != layers.CreateICMPv6TypeCode(1, 3) {
					s.Fatal(icmp.TypeCode)
				}
				s.checkNDP(p)
				quote = icmp.Payload[4:]
			}
			first := layers.LayerTypeIPv4
			if peer.Is6() {
				first = layers.LayerTypeIPv6
			}
			udp, ok := gopacket.NewPacket(quote, first, gopacket.Default).Layer(layers.LayerTypeUDP).(*layers.UDP)
			if !ok || int(udp.Length)-8 != i+3 {
				s.Fatalf("error %d quotes %v", i, udp)
			}
		}
		s.send(peer, 2)
		s.wantAsk("the next packet begins anew", peer, wire.HardwareAddr{})
		s.answer(peer, peerHW, true)
		s.wantPacket("found", peerHW, peer, 2)
	})
}

// Off the link everything goes to the gateway of the family.
func TestGateway(t *testing.T) {
	s := begin(t, false)
	gw4, gw6 := netip.MustParseAddr("10.0.0.254"), netip.MustParseAddr("fe80::fe")
	far4, far6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	s.send(far4, 2)
	s.wantAsk("for the gateway", gw4, wire.HardwareAddr{})
	s.answer(gw4, other, true)
	s.wantPacket("by the gateway", other, far4, 2)
	s.send(netip.MustParseAddr("192.0.2.2"), 3)
	s.wantPacket("another by the gateway", other, netip.MustParseAddr("192.0.2.2"), 3)
	s.send(far6, 2)
	s.wantAsk("for the gateway", gw6, wire.HardwareAddr{})
	s.answer(gw6, peerHW, true)
	s.wantPacket("by the gateway", peerHW, far6, 2)
	s.send(netip.MustParseAddr("fe80::77"), 2)
	s.quiet("no link-local network is ours")
	s.wantDrops(api.DropNoRoute, 1)
}

// S41: dead neighbours, 65536 of them, neither grow beyond the bounds nor keep a
// live one from being reached at any time, and those known stay known.
func TestDeadDoNotStarve(t *testing.T) {
	s := begin(t, false)
	s.resolve(peer4, peerHW)
	s.resolve(peer6, peerHW)
	fresh := netip.MustParseAddr("10.9.9.9")
	for i := range 65536 {
		dead := netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
		s.send(dead, 1000)
		s.send(dead, 1000)
		s.sent = nil
		if i%8192 == 5000 {
			s.send(peer4, 10)
			s.wantPacket("known before the flood", peerHW, peer4, 10)
			s.send(fresh, 12)
			s.wantAsk("in the midst of it", fresh, wire.HardwareAddr{})
			for j := range 100 { // it goes on until the answer
				s.send(netip.AddrFrom4([4]byte{10, 2, byte(i >> 8), byte(j)}), 1000)
			}
			s.sent = nil
			s.answer(fresh, other, true)
			s.wantPacket("found", other, fresh, 12)
			fresh = fresh.Next()
		}
	}
	s.send(peer6, 10)
	s.wantPacket("known before the flood", peerHW, peer6, 10)
	s.advance(10 * time.Second)
	if st := s.m.Stats(); st.Pending != 0 || st.PendingBytes != 0 || st.Neighbours != 2+8 {
		t.Fatalf("after the flood: %+v", st)
	}
}

// S41: what nobody asked for makes no entries, and does not displace any.
func TestUnsolicited(t *testing.T) {
	s := begin(t, false)
	s.resolve(peer4, peerHW)
	s.resolve(peer6, peerHW)
	s.advance(2 * time.Second)
	r := rand.New(rand.NewPCG(3, 4))
	const n = 100_000
	for i := range n {
		hw := wire.HardwareAddr{2, 9, byte(i >> 16), byte(i >> 8), byte(i), 1}
		s.arpTo(ourHW, layers.ARPReply, hw, netip.AddrFrom4([4]byte{10, byte(r.Uint32()) | 128, byte(i >> 8), byte(i)}), our4)
	}
	if st := s.m.Stats(); st.Neighbours != 2 || st.Drops[api.DropNeighbour] != n {
		t.Fatalf("after %d replies: %+v", n, st)
	}
	// Requests for us make entries, but only in a class of their own.
	for i := range 20_000 {
		hw := wire.HardwareAddr{2, 9, byte(i >> 16), byte(i >> 8), byte(i), 1}
		from := netip.AddrFrom4([4]byte{10, 200, byte(i >> 8), byte(i)})
		s.arp(layers.ARPRequest, hw, from, our4)
		s.wantARP("the answer", hw, layers.ARPReply, our4, from)
	}
	if st := s.m.Stats(); st.Neighbours != 2+maxHeard {
		t.Fatalf("after the requests: %+v", st)
	}
	s.quiet("one answer each")
	s.send(peer4, 10)
	s.wantPacket("still known", peerHW, peer4, 10)
	s.send(peer6, 10)
	s.wantPacket("still known", peerHW, peer6, 10)
	// The one that asked last needs not be asked.
	last := netip.AddrFrom4([4]byte{10, 200, 19999 >> 8, 19999 & 255})
	s.send(last, 10)
	s.wantPacket("it has told us", wire.HardwareAddr{2, 9, 0, 19999 >> 8, 19999 & 255, 1}, last, 10)
}

// Another address, unasked: not within a second of a confirmation; later it is
// used, and soon asked for.
func TestMoves(t *testing.T) {
	eachFamily(t, func(s *script, peer netip.Addr) {
		s.resolve(peer, peerHW)
		s.answer(peer, other, false)
		s.send(peer, 10)
		s.wantPacket("too early to believe it", peerHW, peer, 10)
		s.advance(2 * time.Second)
		s.answer(peer, other, false)
		s.send(peer, 11)
		s.wantPacket("it has moved", other, peer, 11)
		s.advance(5 * time.Second)
		s.wantAsk("is it true?", peer, other)
		s.answer(peer, wire.HardwareAddr{1, 2, 3, 4, 5, 6}, true)
		s.answer(peer, ourHW, true)
		s.send(peer, 12)
		s.wantPacket("no station has a group's address, and none ours", other, peer, 12)
	})
}

// An advertisement without the override flag does not replace an address
// (RFC 4861, section 7.2.5).
func TestNoOverride(t *testing.T) {
	s := begin(t, false)
	s.resolve(peer6, peerHW)
	s.advance(2 * time.Second)
	s.ndp(layers.ICMPv6TypeNeighborAdvertisement, other, peer6, our6, peer6, 0x40, 255)
	s.send(peer6, 10)
	s.wantPacket("kept", peerHW, peer6, 10)
	s.advance(5 * time.Second)
	s.wantAsk("but in doubt", peer6, peerHW)
}

// Who asks for us is answered, and nobody else.
func TestAnswers(t *testing.T) {
	s := begin(t, false)
	s.arp(layers.ARPRequest, peerHW, peer4, our4)
	s.wantARP("reply", peerHW, layers.ARPReply, our4, peer4)
	s.send(peer4, 10)
	s.wantPacket("no need to ask", peerHW, peer4, 10)
	s.arp(layers.ARPRequest, peerHW, zero4, our4)
	s.wantARP("a probe is answered: the address is taken", peerHW, layers.ARPReply, our4, zero4)
	s.arp(layers.ARPRequest, peerHW, peer4, netip.MustParseAddr("10.0.0.77"))
	s.quiet("not for us")

	s.ndp(layers.ICMPv6TypeNeighborSolicitation, peerHW, peer6, solicitedNode(our6), our6, 0, 255)
	s.wantAdvert("advertisement", peerHW, peer6, our6, 0x60)
	s.send(peer6, 10)
	s.wantPacket("no need to ask", peerHW, peer6, 10)
	s.ndp(layers.ICMPv6TypeNeighborSolicitation, wire.HardwareAddr{}, peer6, our6, our6, 0, 255)
	s.wantAdvert("to the station it came from", peerHW, peer6, our6, 0x60)
	s.ndp(layers.ICMPv6TypeNeighborSolicitation, wire.HardwareAddr{}, netip.IPv6Unspecified(), solicitedNode(our6), our6, 0, 255)
	s.wantAdvert("to all: the address is taken", groupAddr(allNodes), allNodes, our6, 0x20)
	s.ndp(layers.ICMPv6TypeNeighborSolicitation, peerHW, peer6, solicitedNode(our6), netip.MustParseAddr("fd00::77"), 0, 255)
	s.quiet("not for us")
	s.wantDrops(api.DropNotForUs, 1)
}

// What is malformed or forged is counted, and does nothing.
func TestMalformed(t *testing.T) {
	s := begin(t, false)
	want := uint64(0)
	bad := func(what string, f func()) {
		t.Helper()
		f()
		s.quiet(what)
		want++
		if got := s.m.Stats().Drops[api.DropNeighbour]; got != want {
			t.Errorf("%s: %d drops, want %d", what, got, want)
			want = got
		}
	}
	ns, na := uint8(layers.ICMPv6TypeNeighborSolicitation), uint8(layers.ICMPv6TypeNeighborAdvertisement)
	bad("hop limit", func() { s.ndp(ns, peerHW, peer6, solicitedNode(our6), our6, 0, 254) })
	bad("detection with an address option", func() { s.ndp(ns, peerHW, netip.IPv6Unspecified(), solicitedNode(our6), our6, 0, 255) })
	bad("detection to one", func() { s.ndp(ns, wire.HardwareAddr{}, netip.IPv6Unspecified(), our6, our6, 0, 255) })
	bad("multicast target", func() { s.ndp(ns, peerHW, peer6, our6, allNodes, 0, 255) })
	bad("solicited, to all", func() { s.ndp(na, peerHW, peer6, allNodes, peer6, 0x40, 255) })
	bad("unasked", func() { s.ndp(na, peerHW, peer6, our6, peer6, 0x60, 255) })
	bad("router advertisement", func() {
		s.ndp(layers.ICMPv6TypeRouterAdvertisement, peerHW, netip.MustParseAddr("fe80::1"), allNodes, our6, 0, 255)
	})
	bad("ARP operation", func() { s.arp(7, peerHW, peer4, our4) })
	bad("ARP reply, unasked", func() { s.arp(layers.ARPReply, peerHW, peer4, our4) })
	bad("ARP, short", func() { s.raw(append(append([]byte{}, ourHW[:]...), 2, 0, 0, 0, 0, 2, 8, 6, 0, 1)) })
	if st := s.m.Stats(); st.Neighbours != 0 {
		t.Errorf("%+v", st)
	}
	valid := packet(peer6, our6, 10)
	for _, tt := range []struct {
		what     string
		src, dst wire.HardwareAddr
		typ      uint16
		payload  []byte
		reason   api.DropReason
	}{
		{"for another station", peerHW, other, wire.EtherTypeIPv6, valid, api.DropNotForUs},
		{"unicast in a broadcast", peerHW, wire.EthernetBroadcast, wire.EtherTypeIPv6, valid, api.DropNotForUs},
		{"our own", ourHW, ourHW, wire.EtherTypeIPv6, valid, api.DropMartian},
		{"from a group", wire.EthernetBroadcast, ourHW, wire.EtherTypeIPv6, valid, api.DropMartian},
		{"a VLAN", peerHW, ourHW, 0x8100, valid, api.DropProtocol},
		{"the other version", peerHW, ourHW, wire.EtherTypeIPv4, valid, api.DropIPHeader},
		{"nothing", peerHW, ourHW, wire.EtherTypeIPv4, nil, api.DropIPHeader},
	} {
		before := s.m.Stats().Drops[tt.reason]
		h := wire.Ethernet{Dst: tt.dst, Src: tt.src, Type: tt.typ}
		b := make([]byte, wire.EthernetHeaderLen)
		h.Emit(b)
		s.raw(append(b, tt.payload...))
		if got := s.m.Stats().Drops[tt.reason] - before; got != 1 || len(s.up) != 0 {
			t.Errorf("%s: %d drops of %v, %d packets for the host", tt.what, got, tt.reason, len(s.up))
		}
	}
	b := make([]byte, wire.EthernetHeaderLen)
	h := wire.Ethernet{Dst: ourHW, Src: peerHW, Type: wire.EtherTypeIPv6}
	h.Emit(b)
	s.raw(append(b, valid...))
	if len(s.up) != 1 || s.up[0].Layer(layers.LayerTypeUDP) == nil {
		t.Error("a good packet did not get to the host")
	}
}

// S42: router advertisements do nothing but be counted.
func TestRouterAdvertisements(t *testing.T) {
	s := begin(t, false)
	s.resolve(peer6, peerHW)
	sent := s.total
	for i := range 10_000 {
		from := netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 14: byte(i >> 8), 15: byte(i)})
		s.ndp(layers.ICMPv6TypeRouterAdvertisement, peerHW, from, allNodes, our6, 0, 255)
	}
	if st := s.m.Stats(); st.Neighbours != 1 || st.Drops[api.DropNeighbour] != 10_000 || s.total != sent {
		t.Fatalf("%+v, %d frames sent", st, s.total-sent)
	}
	s.send(peer6, 10)
	s.wantPacket("works on", peerHW, peer6, 10)
}

func TestNewRefuses(t *testing.T) {
	for _, hw := range []wire.HardwareAddr{{}, wire.EthernetBroadcast, {1, 0, 0, 0, 0, 1}} {
		_, err := New(0, Config{Addresses: []netip.Prefix{netip.PrefixFrom(our4, 8)}, HardwareAddr: hw})
		if !errors.Is(err, api.ErrInvalidConfig) {
			t.Errorf("%x: %v", hw, err)
		}
	}
	if _, err := New(0, Config{HardwareAddr: ourHW}); !errors.Is(err, api.ErrInvalidConfig) {
		t.Errorf("no address: %v", err)
	}
}

// A known neighbour costs no allocation.
func TestOutputAllocations(t *testing.T) {
	s := begin(t, false)
	s.resolve(peer4, peerHW)
	p := link.Packet{Header: packet(our4, peer4, 100)}
	var f Frames
	if n := testing.AllocsPerRun(1000, func() {
		s.m.Output(s.now, &p, &f)
		f.Reset()
	}); n != 0 {
		t.Errorf("%v allocations a packet", n)
	}
}

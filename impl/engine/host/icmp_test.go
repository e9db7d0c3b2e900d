package host

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/impl/engine/ip"
	"github.com/sluicenet/sluice/impl/engine/tcp"
)

func icmp4(typ, code uint8, id, seq uint16) *layers.ICMPv4 {
	return &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(typ, code), Id: id, Seq: seq}
}

// message6 returns an ICMPv6 packet; rest is what follows type, code and checksum.
func message6(t testing.TB, src, dst netip.Addr, typ, code uint8, rest []byte) []byte {
	nl := ipTo(src, dst, layers.IPProtocolICMPv6)
	m := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(typ, code)}
	m.SetNetworkLayerForChecksum(nl.(gopacket.NetworkLayer))
	return serialize(t, nl, m, gopacket.Payload(rest))
}

// errorAbout returns the ICMP error that a router, or the peer, sends about a
// packet of ours.
func errorAbout(t testing.TB, quoted []byte, typ, code uint8, rest uint32) []byte {
	if quoted[0]>>4 == 6 {
		src, _ := netip.AddrFromSlice(quoted[8:24])
		return message6(t, peer6, src, typ, code, append(binary.BigEndian.AppendUint32(nil, rest), quoted...))
	}
	src, _ := netip.AddrFromSlice(quoted[12:16])
	// The quote is the IP header and eight bytes, as old routers have it.
	return serialize(t, ipTo(peer4, src, layers.IPProtocolICMPv4), icmp4(typ, code, uint16(rest>>16), uint16(rest)), gopacket.Payload(quoted[:28]))
}

func TestEcho(t *testing.T) {
	l := newLab(t, nil)
	for _, n := range []int{0, 1, 56, 1400} {
		data := bytes.Repeat([]byte("x"), n)
		l.packet(serialize(t, ipTo(peer4, us4, layers.IPProtocolICMPv4), icmp4(8, 0, 77, 3), gopacket.Payload(data)))
		out := l.run()
		if len(out) != 1 {
			t.Fatalf("%d answers", len(out))
		}
		m, ok := out[0].Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
		if !ok || m.TypeCode.Type() != 0 || m.Id != 77 || m.Seq != 3 || !bytes.Equal(m.Payload, data) {
			t.Errorf("%d bytes: %v", n, out[0])
		}
		if n4 := out[0].NetworkLayer().(*layers.IPv4); !n4.SrcIP.Equal(us4.AsSlice()) || !n4.DstIP.Equal(peer4.AsSlice()) {
			t.Errorf("%v", n4)
		}
		l.packet(message6(t, peer6, us6, 128, 0, append([]byte{0, 77, 0, 3}, data...)))
		out = l.run()
		if len(out) != 1 {
			t.Fatalf("%d answers", len(out))
		}
		m6, ok := out[0].Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6)
		if !ok || m6.TypeCode.Type() != 129 || !bytes.Equal(m6.Payload, append([]byte{0, 77, 0, 3}, data...)) {
			t.Errorf("%d bytes: %v", n, out[0])
		}
	}
	for name, b := range map[string][]byte{
		"multicast":    serialize(t, ipTo(peer4, netip.MustParseAddr("224.0.0.1"), layers.IPProtocolICMPv4), icmp4(8, 0, 1, 1)),
		"broadcast":    serialize(t, ipTo(peer4, netip.MustParseAddr("10.0.0.255"), layers.IPProtocolICMPv4), icmp4(8, 0, 1, 1)),
		"from nowhere": serialize(t, ipTo(netip.MustParseAddr("0.0.0.0"), us4, layers.IPProtocolICMPv4), icmp4(8, 0, 1, 1)),
		"echo reply":   serialize(t, ipTo(peer4, us4, layers.IPProtocolICMPv4), icmp4(0, 0, 1, 1)),
		"redirect":     serialize(t, ipTo(peer4, us4, layers.IPProtocolICMPv4), icmp4(5, 1, 1, 1)),
		"quench":       serialize(t, ipTo(peer4, us4, layers.IPProtocolICMPv4), icmp4(4, 0, 1, 1)), // MUST-55
		"v6 multicast": message6(t, peer6, netip.MustParseAddr("ff02::1"), 128, 0, []byte{0, 1, 0, 1}),
		"checksum": func() []byte {
			b := serialize(t, ipTo(peer4, us4, layers.IPProtocolICMPv4), icmp4(8, 0, 1, 1))
			b[22] ^= 1
			return b
		}(),
		"router advertisement": message6(t, peer6, us6, 134, 0, make([]byte, 12)),
	} {
		l.packet(b)
		if out := l.run(); len(out) != 0 {
			t.Errorf("%s: answered %v", name, out)
		}
	}
}

// TestEchoFragments: a ping longer than the link comes and goes in fragments.
func TestEchoFragments(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 300)
	for _, src := range []netip.Addr{peer4, peer6} {
		l := newLab(t, nil)
		whole := message6(t, peer6, us6, 128, 0, append([]byte{0, 77, 0, 3}, data...))
		if src.Is4() {
			whole = serialize(t, ipTo(peer4, us4, layers.IPProtocolICMPv4), icmp4(8, 0, 77, 3), gopacket.Payload(data))
		}
		ip.Fragment(whole, 1280, 99, func(b []byte) { l.packet(b) })
		out := l.run()
		if len(out) != 4 {
			t.Fatalf("%d fragments", len(out))
		}
		// An independent reassembly.
		var payload []byte
		for i, g := range out {
			switch n := g.NetworkLayer().(type) {
			case *layers.IPv4:
				if int(n.FragOffset)*8 != len(payload) || (n.Flags&layers.IPv4MoreFragments != 0) != (i < 3) || n.Flags&layers.IPv4DontFragment != 0 {
					t.Fatalf("fragment %d: %+v", i, n)
				}
				payload = append(payload, n.Payload...)
			case *layers.IPv6:
				f := g.Layer(layers.LayerTypeIPv6Fragment).(*layers.IPv6Fragment)
				if int(f.FragmentOffset)*8 != len(payload) || f.MoreFragments != (i < 3) {
					t.Fatalf("fragment %d: %+v", i, f)
				}
				payload = append(payload, f.Payload...)
			}
		}
		if !bytes.Equal(payload[8:], data) || payload[0] != 0 && payload[0] != 129 {
			t.Errorf("%d bytes came back", len(payload))
		}
		l.wantEmpty()
	}
}

// TestReassembledSegment: TCP in fragments comes out as a redirect, and is then a
// segment like any other.
func TestReassembledSegment(t *testing.T) {
	for _, src := range []netip.Addr{peer4, peer6} {
		l := newLab(t, nil)
		l.listen(nil)
		iss := l.connect(seg{src: src, seq: 100})
		data := strings.Repeat("0123456789", 200)
		var fragments [][]byte
		ip.Fragment(seg{src: src, flags: "A", seq: 101, ack: iss + 1, data: data}.bytes(t), 600, 5, func(b []byte) {
			fragments = append(fragments, bytes.Clone(b))
		})
		for i := range fragments {
			l.packet(fragments[len(fragments)-1-i])
		}
		l.run()
		var got []byte
		for {
			b, err := l.conns[0].Read(l.now)
			if err != nil {
				break
			}
			got = append(got, b.Bytes()...)
			b.Release()
		}
		if string(got) != data {
			t.Errorf("%d bytes", len(got))
		}
	}
}

// TestReassemblyTimeExceeded: a datagram that never became whole is reported if its
// first fragment came, and counted.
func TestReassemblyTimeExceeded(t *testing.T) {
	for _, src := range []netip.Addr{peer4, peer6} {
		for first := range 2 {
			l := newLab(t, nil)
			var fragments [][]byte
			ip.Fragment(seg{src: src, flags: "A", data: strings.Repeat("x", 1000)}.bytes(t), 600, 5, func(b []byte) {
				fragments = append(fragments, bytes.Clone(b))
			})
			l.packet(fragments[first])
			l.want()
			if l.h.budget.Fragments() == 0 || l.h.Deadline() <= l.now {
				t.Error("fragments are not charged, or not timed")
			}
			l.advance(61 * time.Second)
			out := l.run()
			if want := 1 - first; len(out) != want {
				t.Fatalf("%d reports, want %d", len(out), want)
			}
			if len(out) == 1 {
				want := "10.0.0.1 > 10.0.0.2 icmp 11.1 "
				if src.Is6() {
					want = "fd00::1 > fd00::2 icmp6 3.1 "
				}
				if got := text(out[0]); !strings.HasPrefix(got, want) {
					t.Errorf("%s", got)
				}
			}
			if l.drops(api.DropFragmentTimeout) != 1 {
				t.Error("not counted")
			}
			l.wantEmpty()
		}
	}
}

func TestUnknownProtocol(t *testing.T) {
	udp := func(src, dst netip.Addr) []byte {
		nl := ipTo(src, dst, layers.IPProtocolUDP)
		u := &layers.UDP{SrcPort: 19, DstPort: 7}
		u.SetNetworkLayerForChecksum(nl.(gopacket.NetworkLayer))
		return serialize(t, nl, u, gopacket.Payload("hello"))
	}
	l := newLab(t, nil)
	l.packet(udp(peer4, us4))
	l.want("10.0.0.1 > 10.0.0.2 icmp 3.3 len 33")
	l.packet(udp(peer6, us6))
	l.want("fd00::1 > fd00::2 icmp6 1.4 len 57")
	l.packet(serialize(t, ipTo(peer4, us4, 99), gopacket.Payload("hello")))
	l.want("10.0.0.1 > 10.0.0.2 icmp 3.2 len 25")
	l.packet(serialize(t, ipTo(peer6, us6, 99), gopacket.Payload("hello")))
	l.want("fd00::1 > fd00::2 icmp6 4.1 len 49")
	l.packet(serialize(t, ipTo(peer6, us6, layers.IPProtocolNoNextHeader)))
	l.want()
	l.packet(udp(peer4, netip.MustParseAddr("10.0.0.255"))) // no storm (S40)
	l.packet(udp(peer4, netip.MustParseAddr("224.0.0.251")))
	l.packet(udp(netip.MustParseAddr("10.0.0.255"), us4))
	l.packet(udp(netip.MustParseAddr("127.0.0.1"), us4))
	l.want()
	// An option that asks to be reported; in answer to a multicast too.
	options := []byte{99, 0, 0xbe, 4, 0, 0, 0, 0}
	l.packet(serialize(t, ipTo(peer6, us6, layers.IPProtocolIPv6Destination), gopacket.Payload(options)))
	l.want("fd00::1 > fd00::2 icmp6 4.2 len 52")
	l.packet(serialize(t, ipTo(peer6, netip.MustParseAddr("ff02::1"), layers.IPProtocolIPv6Destination), gopacket.Payload(options)))
	l.want("fd00::1 > fd00::2 icmp6 4.2 len 52")
	options[2] = 0xfe
	l.packet(serialize(t, ipTo(peer6, netip.MustParseAddr("ff02::1"), layers.IPProtocolIPv6Destination), gopacket.Payload(options)))
	l.want()
	// They are limited (S39).
	n := 0
	for range 1000 {
		l.packet(udp(peer4, us4))
		n += len(l.run())
	}
	if n > 20 {
		t.Errorf("%d errors at once to one destination", n)
	}
}

// TestPacketTooBig: only what quotes a segment in flight is believed, remembered
// for the destination, and forgotten in time (RFC 1191, RFC 8201, RFC 5927).
func TestPacketTooBig(t *testing.T) {
	for _, dst := range []netip.Addr{peer4, peer6} {
		l := newLab(t, nil)
		l.listen(nil)
		iss := l.connect(seg{src: dst, mss: 1400, seq: 100})
		c := l.conns[0]
		c.Write(l.now, []*api.Buffer{api.NewBuffer(make([]byte, 1400))}, tcp.WriteOptions{NoDelay: true})
		l.h.Touch(l.now, c)
		out := l.run()
		sent := out[0].Data()
		if n := len(tcpOf(t, out[0]).Payload); n != 1400 {
			t.Fatalf("payload of %d", n)
		}
		typ, code, least, reported := uint8(3), uint8(4), int64(552), uint32(1000)
		if dst.Is6() {
			typ, code, least, reported = 2, 0, 1280, 1300
		}
		seqAt := len(sent) - 1400 - 20 + 4
		forged := bytes.Clone(sent)
		binary.BigEndian.PutUint32(forged[seqAt:], iss+100_000)
		l.packet(errorAbout(t, forged, typ, code, reported))
		l.want()
		if mtu := c.Info(l.now).PathMTU; mtu != 1500 {
			t.Fatalf("a forged quote lowered the path MTU to %d", mtu)
		}
		if l.h.paths.Len() != 0 {
			t.Error("a forged quote was remembered")
		}
		// Another's connection, and another's address.
		forged = bytes.Clone(sent)
		binary.BigEndian.PutUint16(forged[seqAt-2:], 999)
		l.packet(errorAbout(t, forged, typ, code, reported))
		l.want()

		l.packet(errorAbout(t, sent, typ, code, reported))
		for _, g := range l.run() {
			if len(g.Data()) > int(reported) {
				t.Errorf("a packet of %d bytes after %d was reported", len(g.Data()), reported)
			}
		}
		if mtu := c.Info(l.now).PathMTU; mtu != int64(reported) {
			t.Errorf("path MTU %d", mtu)
		}
		// The next connection to the same host begins there.
		d, _ := l.dial(5000, dst)
		if mtu := d.Info(l.now).PathMTU; mtu != int64(reported) {
			t.Errorf("another connection begins with path MTU %d", mtu)
		}
		// Nobody can push it below the floor (S12).
		l.packet(errorAbout(t, sent, typ, code, 100))
		l.run()
		if mtu := c.Info(l.now).PathMTU; mtu < least {
			t.Errorf("path MTU %d", mtu)
		}
		// With nothing in flight, it is tried again after a while.
		l.in(seg{src: dst, flags: "A", seq: 101, ack: iss + 1401})
		l.run()
		l.advance(ip.PathMTULife)
		l.run()
		if mtu := c.Info(l.now).PathMTU; mtu != 1500 {
			t.Errorf("path MTU %d after %v", mtu, ip.PathMTULife)
		}
		if _, ok := l.h.paths.Get(l.now, dst); ok {
			t.Error("remembered for too long")
		}
	}
}

// TestBelowTheFloor: a path that carries less than our floor gets packets that may
// be fragmented on the way, rather than a black hole.
func TestBelowTheFloor(t *testing.T) {
	l := newLab(t, nil)
	l.listen(nil)
	iss := l.connect(seg{mss: 1400, seq: 100})
	c := l.conns[0]
	c.Write(l.now, []*api.Buffer{api.NewBuffer(make([]byte, 1400))}, tcp.WriteOptions{NoDelay: true})
	l.h.Touch(l.now, c)
	out := l.run()
	if n := out[0].NetworkLayer().(*layers.IPv4); n.Flags&layers.IPv4DontFragment == 0 || n.Id != 0 {
		t.Errorf("before: %+v", n)
	}
	l.packet(errorAbout(t, out[0].Data(), 3, 4, 296))
	out = l.run()
	if len(out) == 0 {
		t.Fatal("nothing was sent again")
	}
	ids := map[uint16]bool{}
	for _, g := range out {
		n := g.NetworkLayer().(*layers.IPv4)
		if n.Flags&layers.IPv4DontFragment != 0 || int(n.Length) > 552 {
			t.Errorf("after: %+v", n)
		}
		ids[n.Id] = true
	}
	if len(ids) != len(out) {
		t.Errorf("identifications %v of %d packets", ids, len(out))
	}
	// With all acknowledged, only the path MTU is timed, ten minutes from now; a
	// retransmission is due sooner all the same.
	l.in(seg{flags: "A", seq: 101, ack: iss + 1401})
	l.run()
	l.advance(10 * time.Second)
	c.Write(l.now, []*api.Buffer{api.NewBuffer([]byte("again"))}, tcp.WriteOptions{NoDelay: true})
	l.h.Touch(l.now, c)
	l.run()
	l.advance(3 * time.Second)
	if out = l.run(); len(out) == 0 || string(tcpOf(t, out[0]).Payload) != "again" {
		t.Error("no retransmission")
	}
	l.in(seg{flags: "A", seq: 101, ack: iss + 1406})
	l.run()
	// And when that is over DF is set again.
	l.advance(ip.PathMTULife)
	c.Write(l.now, []*api.Buffer{api.NewBuffer([]byte("later"))}, tcp.WriteOptions{NoDelay: true})
	l.h.Touch(l.now, c)
	if n := l.run()[0].NetworkLayer().(*layers.IPv4); n.Flags&layers.IPv4DontFragment == 0 || n.Id != 0 {
		t.Errorf("ten minutes after: %+v", n)
	}
}

// TestICMPErrors: what fails a dial, and what a connection only remembers (S29;
// MUST-54, MUST-56).
func TestICMPErrors(t *testing.T) {
	for _, test := range []struct {
		name      string
		dst       netip.Addr
		typ, code uint8
		fails     error
	}{
		{"host unreachable", peer4, 3, 1, api.ErrUnreachable},
		{"protocol unreachable", peer4, 3, 2, api.ErrUnreachable},
		{"port unreachable", peer4, 3, 3, api.ErrRefused},
		{"time exceeded", peer4, 11, 0, nil},
		{"parameter problem", peer4, 12, 0, nil},
		{"source quench", peer4, 4, 0, nil},
		{"redirect", peer4, 5, 1, nil},
		{"no route, IPv6", peer6, 1, 0, api.ErrUnreachable},
		{"port unreachable, IPv6", peer6, 1, 4, api.ErrRefused},
		{"time exceeded, IPv6", peer6, 3, 0, nil},
		{"parameter problem, IPv6", peer6, 4, 0, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newLab(t, nil)
			src, _ := l.h.Route(test.dst, netip.Addr{})
			c, err := l.h.Dial(l.now, netip.AddrPortFrom(src, 5000), netip.AddrPortFrom(test.dst, 80), nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			syn := l.run()[0]
			iss := tcpOf(t, syn).Seq
			forged := bytes.Clone(syn.Data())
			seqAt := len(forged) - len(tcpOf(t, syn).Contents) + 4
			binary.BigEndian.PutUint32(forged[seqAt:], iss+12345)
			l.packet(errorAbout(t, forged, test.typ, test.code, 0))
			l.want()
			if c.Gone() {
				t.Fatal("a forged quote failed the dial")
			}
			if test.fails == nil {
				l.packet(errorAbout(t, syn.Data(), test.typ, test.code, 0))
				l.want()
				if c.Gone() {
					t.Fatalf("the dial failed: %v", c.CloseReason())
				}
				return
			}
			// Once synchronised, the same only is remembered.
			l.in(seg{src: test.dst, sport: 80, dport: 5000, flags: "SA", seq: 300, ack: iss + 1, mss: 1460})
			l.run()
			c.Write(l.now, []*api.Buffer{api.NewBuffer([]byte("x"))}, tcp.WriteOptions{NoDelay: true})
			l.h.Touch(l.now, c)
			data := l.run()[0]
			l.packet(errorAbout(t, data.Data(), test.typ, test.code, 0))
			l.want()
			if c.State() != api.StateEstablished || !errors.Is(c.Info(l.now).SoftError, test.fails) {
				t.Errorf("%v, %v", c.State(), c.Info(l.now).SoftError)
			}
			// And it fails another dial.
			d, err := l.h.Dial(l.now, netip.AddrPortFrom(src, 5001), netip.AddrPortFrom(test.dst, 80), nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			l.packet(errorAbout(t, l.run()[0].Data(), test.typ, test.code, 0))
			l.want()
			if !d.Gone() || !errors.Is(d.CloseReason(), test.fails) {
				t.Errorf("the dial did not fail: %v", d.CloseReason())
			}
			if s := l.h.Stats(); s.Failed+s.Refused != 1 {
				t.Errorf("counted %d failed, %d refused", s.Failed, s.Refused)
			}
		})
	}
}

// TestICMPErrorElsewhere: an error that comes to another address of ours than the
// segment that it quotes came from is no answer to it (RFC 5927).
func TestICMPErrorElsewhere(t *testing.T) {
	other := netip.MustParseAddr("10.0.0.9")
	l := newLab(t, func(c *Config) { c.Addresses = append(c.Addresses, netip.PrefixFrom(other, 24)) })
	c, err := l.h.Dial(l.now, netip.AddrPortFrom(us4, 5000), netip.AddrPortFrom(peer4, 80), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	syn := l.run()[0].Data()
	l.packet(serialize(t, ipTo(peer4, other, layers.IPProtocolICMPv4), icmp4(3, 1, 0, 0), gopacket.Payload(syn)))
	l.want()
	if c.Gone() || l.drops(api.DropICMP) != 1 {
		t.Errorf("%v, %d dropped", c.State(), l.drops(api.DropICMP))
	}
	l.packet(serialize(t, ipTo(peer4, us4, layers.IPProtocolICMPv4), icmp4(3, 1, 0, 0), gopacket.Payload(syn)))
	l.want()
	if !c.Gone() {
		t.Error("the right one did nothing")
	}
}

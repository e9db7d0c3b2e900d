package host

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/impl/engine/tcp"
	"github.com/sluicenet/sluice/impl/reno"
)

var (
	us4   = netip.MustParseAddr("10.0.0.1")
	us6   = netip.MustParseAddr("fd00::1")
	peer4 = netip.MustParseAddr("10.0.0.2")
	peer6 = netip.MustParseAddr("fd00::2")
)

// A lab is one Host and what is done to it. Packets are written and read by
// gopacket, which is the oracle for whether they are well formed.
type lab struct {
	t     testing.TB
	h     *Host
	now   clock.Time
	batch Batch
	conns []*tcp.Conn // accepted, in order
}

func newLab(t testing.TB, edit func(*Config)) *lab {
	t.Helper()
	cfg := &Config{
		Addresses:   []netip.Prefix{netip.PrefixFrom(us4, 24), netip.PrefixFrom(us6, 64)},
		Gateways:    []netip.Addr{peer4, peer6},
		MTU:         1500,
		Controllers: map[string]cc.Factory{"reno": reno.Factory},
		Flow:        api.FlowConfig{Congestion: "reno"},
		Secret:      [32]byte{1, 2, 3},
		Seed:        7,
		Budget:      &Budget{},
	}
	if edit != nil {
		edit(cfg)
	}
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &lab{t: t, h: h}
}

func serialize(t testing.TB, ls ...gopacket.SerializableLayer) []byte {
	t.Helper()
	sb := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(sb, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ls...); err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(sb.Bytes())
}

// ipTo returns an IP header to the host; the transport's checksum will cover it.
func ipTo(src, dst netip.Addr, proto layers.IPProtocol) gopacket.SerializableLayer {
	if src.Is4() && dst.Is4() {
		return &layers.IPv4{Version: 4, TTL: 64, Protocol: proto, SrcIP: net.IP(src.AsSlice()), DstIP: net.IP(dst.AsSlice())}
	}
	return &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: proto, SrcIP: net.IP(src.AsSlice()), DstIP: net.IP(dst.AsSlice())}
}

// seg is a TCP segment as the tests write it.
type seg struct {
	src, dst     netip.Addr // default: peer to us, IPv4
	sport, dport uint16     // default: 1000 to 80
	flags        string     // of S A F R P
	seq, ack     uint32
	win          uint16 // default 65535
	mss          uint16
	data         string
	tsval        uint32
	scale        uint8  // window scale option, if not 0
	fast         []byte // Fast Open option, if not nil
	exp          bool   // of kind 254
}

func (s seg) withDefaults() seg {
	if !s.src.IsValid() {
		s.src = peer4
	}
	if !s.dst.IsValid() {
		s.dst = us4
		if s.src.Is6() {
			s.dst = us6
		}
	}
	if s.sport == 0 {
		s.sport = 1000
	}
	if s.dport == 0 {
		s.dport = 80
	}
	if s.win == 0 {
		s.win = 65535
	}
	return s
}

func (s seg) bytes(t testing.TB) []byte {
	s = s.withDefaults()
	l := &layers.TCP{
		SrcPort: layers.TCPPort(s.sport), DstPort: layers.TCPPort(s.dport), Seq: s.seq, Ack: s.ack, Window: s.win,
		SYN: strings.Contains(s.flags, "S"), ACK: strings.Contains(s.flags, "A"), FIN: strings.Contains(s.flags, "F"),
		RST: strings.Contains(s.flags, "R"), PSH: strings.Contains(s.flags, "P"),
	}
	if s.mss > 0 {
		l.Options = append(l.Options, layers.TCPOption{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{byte(s.mss >> 8), byte(s.mss)}})
	}
	if s.fast != nil {
		kind, data := layers.TCPOptionKind(34), s.fast
		if s.exp {
			kind, data = 254, append([]byte{0xf9, 0x89}, s.fast...)
		}
		l.Options = append(l.Options, layers.TCPOption{OptionType: kind, OptionLength: uint8(2 + len(data)), OptionData: data})
	}
	if s.scale > 0 {
		l.Options = append(l.Options, layers.TCPOption{OptionType: layers.TCPOptionKindWindowScale, OptionLength: 3, OptionData: []byte{s.scale}})
	}
	if s.tsval > 0 {
		d := make([]byte, 8)
		d[0], d[1], d[2], d[3] = byte(s.tsval>>24), byte(s.tsval>>16), byte(s.tsval>>8), byte(s.tsval)
		l.Options = append(l.Options, layers.TCPOption{OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: d})
	}
	nl := ipTo(s.src, s.dst, layers.IPProtocolTCP)
	l.SetNetworkLayerForChecksum(nl.(gopacket.NetworkLayer))
	return serialize(t, nl, l, gopacket.Payload(s.data))
}

// packet feeds raw bytes, as a link does that reads into one buffer.
func (l *lab) packet(b []byte) {
	l.h.Packet(l.now, &link.Packet{Payload: []api.Buffer{*api.CopyBuffer(b)}})
}

func (l *lab) in(s seg) { l.packet(s.bytes(l.t)) }

// run brings the host to rest, as the engine does, and returns what went to the
// link. What goes to the host itself is fed back to it.
func (l *lab) run() []gopacket.Packet {
	l.t.Helper()
	var out []gopacket.Packet
	for {
		for {
			c, ev, ok := l.h.Ready()
			if !ok {
				break
			}
			if ev&tcp.EventEstablished != 0 && c.Passive() {
				if l.h.ListenerOf(c) == nil {
					l.t.Fatal("accepted by no listener")
				}
				l.conns = append(l.conns, c)
			}
		}
		more := l.h.Poll(l.now, &l.batch, 8)
		for i := range l.batch.Link {
			out = append(out, l.decode(&l.batch.Link[i]))
		}
		var loop []link.Packet
		for i := range l.batch.Loop {
			p := l.batch.Loop[i].Copy()
			p.Offload.Vouched = true
			loop = append(loop, p)
		}
		again := more || len(loop)+len(l.batch.Link) > 0
		l.batch.Reset()
		redirects := l.h.TakeRedirects()
		for i := range redirects {
			l.h.Packet(l.now, &redirects[i])
		}
		for i := range loop {
			l.h.Packet(l.now, &loop[i])
		}
		if !again && len(redirects) == 0 {
			return out
		}
	}
}

// decode lets gopacket read a packet, and checks its checksums by letting gopacket
// write it again.
func (l *lab) decode(p *link.Packet) gopacket.Packet {
	l.t.Helper()
	b := p.AppendTo(nil)
	kind := layers.LayerTypeIPv4
	if b[0]>>4 == 6 {
		kind = layers.LayerTypeIPv6
	}
	g := gopacket.NewPacket(b, kind, gopacket.Default)
	if e := g.ErrorLayer(); e != nil {
		l.t.Fatalf("gopacket cannot read % x: %v", b, e.Error())
	}
	if p.Offload.GSOSize == 0 && len(b) > l.h.cfg.MTU {
		l.t.Fatalf("packet of %d bytes on a link of %d", len(b), l.h.cfg.MTU)
	}
	if p.Offload.NeedsChecksum {
		return g
	}
	var ls []gopacket.SerializableLayer
	for _, x := range g.Layers() {
		last := true
		switch y := x.(type) {
		case *layers.TCP:
			y.SetNetworkLayerForChecksum(g.NetworkLayer())
		case *layers.ICMPv6:
			y.SetNetworkLayerForChecksum(g.NetworkLayer())
		case *layers.ICMPv4:
		default:
			last = false
		}
		s, ok := x.(gopacket.SerializableLayer)
		if !ok {
			ls = append(ls, gopacket.Payload(x.LayerContents()))
			last = true
		} else {
			ls = append(ls, s)
		}
		if last {
			ls = append(ls, gopacket.Payload(x.LayerPayload()))
			break
		}
	}
	if again := serialize(l.t, ls...); !bytes.Equal(again, b) && g.Layer(layers.LayerTypeIPv6Fragment) == nil {
		l.t.Fatalf("gopacket would have written\n% x, got\n% x", again, b)
	}
	return g
}

func (l *lab) advance(d time.Duration) {
	end := l.now.Add(d)
	for {
		at := l.h.Deadline()
		if at > end {
			break
		}
		l.now = max(l.now, at)
		l.h.Timeout(l.now)
	}
	l.now = end
}

// text is a packet in one line: "10.0.0.1.80 > 10.0.0.2.1000 SA seq 1 ack 2 len 0".
func text(g gopacket.Packet) string {
	n := g.NetworkLayer()
	if n == nil {
		return g.String()
	}
	src, dst := n.NetworkFlow().Endpoints()
	if t, ok := g.Layer(layers.LayerTypeTCP).(*layers.TCP); ok {
		flags := ""
		for i, set := range []bool{t.SYN, t.FIN, t.RST, t.ACK} {
			if set {
				flags += string("SFRA"[i])
			}
		}
		return fmt.Sprintf("%v.%d > %v.%d %s seq %d ack %d len %d", src, t.SrcPort, dst, t.DstPort, flags, t.Seq, t.Ack, len(t.Payload))
	}
	for _, x := range g.Layers() {
		switch y := x.(type) {
		case *layers.ICMPv4:
			return fmt.Sprintf("%v > %v icmp %d.%d len %d", src, dst, y.TypeCode.Type(), y.TypeCode.Code(), len(y.Payload))
		case *layers.ICMPv6:
			return fmt.Sprintf("%v > %v icmp6 %d.%d len %d", src, dst, y.TypeCode.Type(), y.TypeCode.Code(), len(y.Payload))
		}
	}
	return fmt.Sprintf("%v > %v %v", src, dst, g.Layers()[len(g.Layers())-1].LayerType())
}

// want runs the host and compares what it sends.
func (l *lab) want(lines ...string) []gopacket.Packet {
	l.t.Helper()
	out := l.run()
	var got []string
	for _, g := range out {
		got = append(got, text(g))
	}
	if strings.Join(got, "\n") != strings.Join(lines, "\n") {
		l.t.Fatalf("sent\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(lines, "\n\t"))
	}
	return out
}

func tcpOf(t testing.TB, g gopacket.Packet) *layers.TCP {
	t.Helper()
	x, ok := g.Layer(layers.LayerTypeTCP).(*layers.TCP)
	if !ok {
		t.Fatalf("not TCP: %v", g)
	}
	return x
}

// only runs the host and returns the one segment it sends.
func (l *lab) only() *layers.TCP {
	l.t.Helper()
	out := l.run()
	if len(out) != 1 {
		var got []string
		for _, g := range out {
			got = append(got, text(g))
		}
		l.t.Fatalf("sent %d packets, want one: %q", len(out), got)
	}
	return tcpOf(l.t, out[0])
}

func (l *lab) listen(edit func(*Listener)) *Listener {
	ln := &Listener{Port: 80}
	ln.Flow, _ = l.h.Resolve(nil)
	if edit != nil {
		edit(ln)
	}
	l.h.Listen(ln)
	return ln
}

// connect completes a handshake that begins with s, and returns our ISS.
func (l *lab) connect(s seg) (iss uint32) {
	l.t.Helper()
	s.flags = "S"
	if s.mss == 0 {
		s.mss = 1460
	}
	l.in(s)
	iss = l.only().Seq
	s.flags, s.mss, s.scale = "A", 0, 0
	s.seq++
	s.ack = iss + 1
	l.in(s)
	l.want()
	return iss
}

// dial sends a SYN from the given port to the peer and returns its ISS.
func (l *lab) dial(port uint16, dst netip.Addr) (*tcp.Conn, uint32) {
	l.t.Helper()
	src, err := l.h.Route(dst, netip.Addr{})
	if err != nil {
		l.t.Fatal(err)
	}
	c, err := l.h.Dial(l.now, netip.AddrPortFrom(src, port), netip.AddrPortFrom(dst, 80), nil, "user")
	if err != nil {
		l.t.Fatal(err)
	}
	return c, l.only().Seq
}

func (l *lab) drops(r api.DropReason) uint64 { return l.h.Stats().Drops[r] }

// wantEmpty checks that nothing is left and nothing is charged.
func (l *lab) wantEmpty() {
	l.t.Helper()
	s, b := l.h.Stats(), l.h.budget
	if s.Conns != 0 || s.HalfOpen != 0 || b.Flows() != 0 || b.HalfOpen() != 0 || b.Memory() != 0 || b.Fragments() != 0 ||
		l.h.first != nil || l.h.last != nil || l.h.halfOpenAges != (ages{}) {
		l.t.Errorf("left: %d conns, %d half-open; charged: %d flows, %d half-open, %d bytes, %d of fragments",
			s.Conns, s.HalfOpen, b.Flows(), b.HalfOpen(), b.Memory(), b.Fragments())
	}
}

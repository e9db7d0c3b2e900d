package conformance

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/sluicenet/sluice/api"
)

// ipCases are about TCP on IP: RFC 9293, section 3.9.2.
var ipCases = []Case{
	{
		ID: "rfc9293/MUST-44", Level: OnWire, Source: "RFC 9293 section 3.9.1.1 (MUST-43, MUST-44, MUST-45)", Title: "One local address, from the SYN to the end",
		Clause: "The SYN's source address is the stack's own in the destination's family, or the one asked for, and every later segment has it too.",
		Run: func(t *T) {
			second := netip.MustParseAddr("192.0.2.77")
			if t.V6() {
				second = netip.MustParseAddr("2001:db8::77")
			}
			w := t.Lab(func(e *Env) { e.Addresses = append(e.Addresses, netip.PrefixFrom(second, e.Addresses[0].Bits())) })
			c := w.Dial(Hello{Flow: api.FlowConfig{Local: netip.AddrPortFrom(second, 0)}})
			if c.host.Addr() != second {
				t.Fatalf("dialled from %v, asked for %v", c.host.Addr(), second)
			}
			c.Alive()
			d := w.Dial(Hello{})
			if a := d.host.Addr(); a != w.Host && a != second {
				t.Fatalf("dialled from %v", a)
			}
			d.Alive()
		},
	},
	{
		ID: "rfc9293/MUST-48", Level: OnWire, Source: "RFC 9293 section 3.9.1.9 (MUST-48, SHLD-21, SHLD-22), 3.9.2 (MUST-49)", Title: "Diffserv and TTL are what the caller says",
		Clause: "DSCP and TTL of the flow's options stand in every packet, the SYN included, and follow Configure.",
		Run: func(t *T) {
			w := t.Lab(nil)
			c := w.Dial(Hello{Flow: api.FlowConfig{DSCP: 46, TTL: 7}})
			check := func(s *Segment, dscp, ttl uint8) {
				if s.TOS>>2 != dscp || s.TTL != ttl {
					t.Fatalf("DSCP %d and TTL %d, want %d and %d: %s", s.TOS>>2, s.TTL, dscp, ttl, s)
				}
			}
			check(c.syn, 46, 7)
			c.Written(10)
			check(c.Got(time.Second, "data", hasData), 46, 7)
			c.AckAll()
			t.ok("configure", c.Flow.Configure(func(f *api.FlowConfig) { f.DSCP, f.TTL = 10, 200 }))
			c.Written(10)
			check(c.Got(time.Second, "data", hasData), 10, 200)
			a := w.Accept(Hello{Flow: api.FlowConfig{DSCP: 8, TTL: 99}})
			check(a.syn, 8, 99)
			plain := w.Accept(Hello{})
			if plain.syn.TTL < 32 {
				t.Fatalf("the default TTL is %d", plain.syn.TTL)
			}
		},
	},
	{
		ID: "rfc9293/MUST-50", Level: OnWire, Source: "RFC 9293 section 3.9.2 (MUST-50)", Title: "Unknown IP options are ignored", Family: IPv4,
		Clause: "A segment whose IPv4 header has unknown options is taken like any other.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			raw := encode(c.build(ACK|PSH, Data(50)))
			c.Inject(withIPOptions(raw, []byte{0x5e, 4, 1, 2, 1, 1, 1, 0}))
			c.GotAck(time.Second, c.snd)
			c.WantRead(50)
			c.Alive()
		},
	},
	{
		ID: "ipv6/extension-headers", Level: OnWire, Source: "RFC 8200 section 4", Title: "Extension headers before TCP are stepped over", Family: IPv6,
		Clause: "A segment behind a destination-options header with padding is taken like any other.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			raw := encode(c.build(ACK|PSH, Data(50)))
			ext := []byte{6, 0, 1, 4, 0, 0, 0, 0} // next header TCP, 8 bytes, PadN
			p := append(bytes.Clone(raw[:40]), ext...)
			p = append(p, raw[40:]...)
			p[6] = 60
			binary.BigEndian.PutUint16(p[4:], uint16(len(p)-40))
			c.Inject(p)
			c.GotAck(time.Second, c.snd)
			c.WantRead(50)
			c.Alive()
		},
	},
	{
		ID: "ip/fragments", Level: OnWire, Source: "RFC 791; RFC 8200 section 4.5; RFC 5722", Title: "Fragments are put together, in any order, and overlaps thrown away",
		Clause: "A segment in three fragments is taken whichever comes first; one with overlapping fragments is not taken at all.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			for i, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 2, 0}} {
				raw := encode(c.build(ACK|PSH, Data(900)))
				f := fragments(raw, 320, uint32(100+i))
				for _, k := range order {
					c.Inject(f[k])
				}
				c.GotAck(time.Second, c.snd)
				c.WantRead(900)
			}
			raw := encode(c.build(ACK|PSH, Seq(c.snd), Data(900)))
			f := fragments(raw, 320, 500)
			g := fragments(raw, 400, 500) // same datagram, cut elsewhere
			c.Inject(f[0], g[1], f[1], f[2])
			c.None(time.Second, "ACK of a datagram with overlapping fragments", func(s *Segment) bool { return c.ackOf(s) != c.snd })
			c.Alive()
		},
	},
	{
		ID: "ip/trailing", Level: OnWire, Source: "RFC 1122 section 3.2.1; RFC 894", Title: "What follows the IP packet is padding",
		Clause: "Bytes beyond the length that the IP header tells are not data.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			raw := encode(c.build(ACK|PSH, Data(3)))
			c.Inject(append(raw, 1, 2, 3, 4, 5, 6))
			c.GotAck(time.Second, c.snd)
			c.WantRead(3)
			c.Alive()
		},
	},
	{
		ID: "rfc9293/MUST-46", Level: OnWire, Source: "RFC 9293 section 3.9.1.1 (MUST-46)", Title: "A dial to a broadcast or multicast address fails",
		Clause: "Such a dial fails at once and nothing is sent; nor to the unspecified address.",
		Run: func(t *T) {
			w := t.Lab(nil)
			list := []string{"224.0.0.1:80", "239.1.2.3:80", "255.255.255.255:80", "192.0.2.255:80", "0.0.0.0:80"}
			if t.V6() {
				list = []string{"[ff02::1]:80", "[ff0e::5]:80", "[::]:80"}
			}
			for _, a := range list {
				op := Start(t, "dial", func() error { _, err := w.Stack.Dial(t.Bound(), netip.MustParseAddrPort(a), nil); return err })
				if err := op.WaitFor(time.Second); err == nil {
					t.Fatalf("the dial of %s succeeded", a)
				} else {
					t.is("dial "+a, err, api.ErrInvalidAddress)
				}
			}
			w.Quiet(time.Minute, "segment", anySegment)
			w.Accept(Hello{}).Alive()
		},
	},
	{
		ID: "rfc9293/MUST-57", Level: OnWire, Source: "RFC 9293 section 3.9.2.3 (MUST-57)", Title: "A segment to a broadcast or multicast address is dropped",
		Clause: "A SYN so addressed gets neither a SYN-ACK nor a RST.",
		Run: func(t *T) {
			w := t.Lab(nil)
			l := w.Listen(nil)
			list := []string{"224.0.0.1", "255.255.255.255", "192.0.2.255"}
			if t.V6() {
				list = []string{"ff02::1", "ff02::2"}
			}
			for _, a := range list {
				for _, port := range []uint16{l.Port, 9} {
					w.SendSegment(&Segment{Src: addrPort(w.Peer, 5555), Dst: addrPort(mustAddr(a), port), Flags: SYN, Seq: 1, Window: 1000})
				}
			}
			w.Quiet(time.Minute, "answer", anySegment)
			w.Open(l, Hello{}).Alive()
		},
	},
	{
		ID: "rfc9293/MUST-63", Level: OnWire, Source: "RFC 9293 section 3.9.2.3 (MUST-63)", Title: "A SYN from an impossible source is ignored",
		Clause: "Broadcast, multicast, loopback, unspecified and the stack's own address as source get no answer and leave nothing.",
		Run: func(t *T) {
			w := t.Lab(nil)
			l := w.Listen(nil)
			list := []string{"224.0.0.1", "255.255.255.255", "192.0.2.255", "127.0.0.1", "0.0.0.0", "240.0.0.1", w.Host.String()}
			if t.V6() {
				list = []string{"ff02::1", "::1", "::", w.Host.String()}
			}
			for _, a := range list {
				for _, port := range []uint16{l.Port, 9} {
					w.SendSegment(&Segment{Src: addrPort(mustAddr(a), 5555), Dst: addrPort(w.Host, port), Flags: SYN, Seq: 1, Window: 1000, Options: optMSS(1460)})
				}
			}
			w.Quiet(time.Minute, "answer", anySegment)
			if n := w.Stack.Info().HalfOpen; n != 0 {
				t.Fatalf("%d half-open connections", n)
			}
			w.Open(l, Hello{}).Alive()
		},
	},
	{
		ID: "ip/not-ours", Level: OnWire, Source: "RFC 1122 section 3.3.4; RFC 9293 section 3.9.2", Title: "Packets for others are dropped silently",
		Clause: "A segment for an address that is not the stack's gets no answer.",
		Run: func(t *T) {
			w := t.Lab(nil)
			other := mustAddr("192.0.2.99")
			if t.V6() {
				other = mustAddr("2001:db8::99")
			}
			w.SendSegment(&Segment{Src: addrPort(w.Peer, 5555), Dst: addrPort(other, 80), Flags: SYN, Seq: 1})
			w.Inject(echoRequest(w.Peer, other, 1, []byte("hello")))
			w.Quiet(time.Second, "answer", anySegment)
			if raw := w.Packet(0); raw != nil {
				t.Fatalf("answered by %s", describe(raw))
			}
			w.Accept(Hello{}).Alive()
		},
	},
}

// dropCases are about what is not used.
var dropCases = []Case{
	{
		ID: "robust/counted", Level: OnWire, Source: "api.DropReason", Title: "Every packet dropped is counted, by its reason", Needs: Accounting,
		Real:   time.Minute,
		Clause: "Packets that cannot be used raise the counter that names why, by one, and no other.",
		Run: func(t *T) {
			w := t.Lab(nil)
			l := w.Listen(nil)
			c := w.Open(l, Hello{TS: true})
			c.Alive()
			t.Sleep(5 * time.Second)
			c.Drain(0)
			at := 40
			if t.V6() {
				at = 60
			}
			data := func(mods ...Mod) []byte {
				return encode(c.build(ACK|PSH, append([]Mod{Seq(c.snd), Data(10)}, mods...)...))
			}
			from := func(a string) []byte {
				return encode(&Segment{Src: addrPort(mustAddr(a), 5), Dst: addrPort(w.Host, l.Port), Flags: SYN, Seq: 1})
			}
			other, martian := "192.0.2.99", "127.0.0.1"
			if t.V6() {
				other, martian = "2001:db8::99", "::1"
			}
			for _, x := range []struct {
				want api.DropReason
				raw  []byte
			}{
				{api.DropTruncated, data()[:30]},
				{api.DropTCPChecksum, func() []byte { b := data(); b[len(b)-1] ^= 1; return b }()},
				{api.DropTCPHeader, func() []byte { b := data(); b[at-8] = 0x20; return b }()},
				{api.DropNotForUs, encode(&Segment{Src: c.peer, Dst: addrPort(mustAddr(other), 80), Flags: SYN, Seq: 1})},
				{api.DropMartian, from(martian)},
				{api.DropProtocol, func() []byte {
					b := data()
					if t.V6() {
						b[6] = 200
						return b
					}
					b[9] = 200
					b[10], b[11] = 0, 0
					binary.BigEndian.PutUint16(b[10:], ^sum(b[:20]))
					return b
				}()},
				{api.DropNoListener, encode(&Segment{Src: c.peer, Dst: addrPort(w.Host, 9), Flags: SYN, Seq: 1})},
				{api.DropUnacceptable, data(Seq(c.snd + 1<<30))},
				{api.DropPAWS, data(TSval(c.tsNow() - 1<<20))},
				{api.DropNoTimestamp, data(NoTS)},
				{api.DropBadAck, data(Ack(c.rcv + 1<<20))},
				{api.DropReset, encode(c.build(RST, Seq(c.snd+100)))},
				{api.DropSyn, encode(c.build(SYN, Seq(c.snd), Opts(optTimestamps(c.tsNow()+10_000, 0))))},
			} {
				before := w.Stack.Info().Drops
				w.Inject(x.raw)
				c.Drain(2 * time.Second)
				after := w.Stack.Info().Drops
				for r := range after {
					n := after[r] - before[r]
					if want := api.DropReason(r) == x.want; n > 1 || (n == 1) != want {
						t.Errorf("a packet to be dropped as %q: %d more dropped as %q", x.want, n, api.DropReason(r))
					}
				}
			}
			c.Alive()
		},
	},
}

// withIPOptions inserts options into an IPv4 header.
func withIPOptions(raw, opts []byte) []byte {
	p := gopacket.NewPacket(raw, layers.LayerTypeIPv4, gopacket.Default)
	ip := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
	b := append(bytes.Clone(raw[:20]), opts...)
	b = append(b, ip.Payload...)
	b[0] = 0x40 | byte((20+len(opts))/4)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	b[10], b[11] = 0, 0
	binary.BigEndian.PutUint16(b[10:], ^sum(b[:20+len(opts)]))
	return b
}

// fragments cuts an IP packet into fragments with n bytes of payload each.
func fragments(raw []byte, n int, id uint32) [][]byte {
	var out [][]byte
	if raw[0]>>4 == 4 {
		payload := raw[20:]
		for at := 0; at < len(payload); at += n {
			part := payload[at:min(at+n, len(payload))]
			b := append(bytes.Clone(raw[:20]), part...)
			binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
			binary.BigEndian.PutUint16(b[4:], uint16(id))
			field := uint16(at / 8)
			if at+n < len(payload) {
				field |= 0x2000
			}
			binary.BigEndian.PutUint16(b[6:], field)
			b[10], b[11] = 0, 0
			binary.BigEndian.PutUint16(b[10:], ^sum(b[:20]))
			out = append(out, b)
		}
		return out
	}
	payload := raw[40:]
	for at := 0; at < len(payload); at += n {
		part := payload[at:min(at+n, len(payload))]
		field := uint16(at/8) << 3
		if at+n < len(payload) {
			field |= 1
		}
		b := bytes.Clone(raw[:40])
		b = append(b, raw[6], 0)
		b = binary.BigEndian.AppendUint16(b, field)
		b = binary.BigEndian.AppendUint32(b, id)
		b = append(b, part...)
		b[6] = 44
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
		out = append(out, b)
	}
	return out
}

// icmpCases are RFC 9293, section 3.9.2.2, RFC 5927, RFC 1191 and RFC 8201, and ping.
var icmpCases = []Case{
	{
		ID: "icmp/echo", Level: OnWire, Source: "RFC 1122 section 3.2.2.6; RFC 4443 section 4.2", Title: "Ping is answered",
		Clause: "An echo request gets a reply with the same identifier, sequence number and data.",
		Run: func(t *T) {
			w := t.Lab(nil)
			for _, n := range []int{0, 1, 56, 1400} {
				body := pattern(0, n)
				w.Inject(echoRequest(w.Peer, w.Host, 4242, body))
				raw := w.Packet(time.Second)
				if raw == nil {
					t.Fatalf("no answer to a ping with %d bytes", n)
				}
				p := gopacket.NewPacket(raw, packetType(raw), gopacket.Default)
				if t.V6() {
					l, _ := p.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6)
					if l == nil || l.TypeCode.Type() != layers.ICMPv6TypeEchoReply || !bytes.Equal(l.Payload, append([]byte{0x10, 0x92, 0, 1}, body...)) {
						t.Fatalf("a ping with %d bytes got %s", n, describe(raw))
					}
				} else {
					l, _ := p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
					if l == nil || l.TypeCode.Type() != layers.ICMPv4TypeEchoReply || l.Id != 4242 || l.Seq != 1 || !bytes.Equal(l.Payload, body) {
						t.Fatalf("a ping with %d bytes got %s", n, describe(raw))
					}
				}
			}
		},
	},
	{
		ID: "rfc9293/MUST-56", Level: OnWire, Source: "RFC 9293 section 3.9.2.2 (MUST-54, MUST-56, SHLD-25, MUST-47)", Title: "Soft ICMP errors end nothing, and are reported",
		Clause: "Unreachable, time exceeded and parameter problem, quoting a segment in flight, leave the connection alone; Info and the callback tell.",
		Run: func(t *T) {
			told := 0
			c := t.Lab(nil).Accept(Hello{Flow: api.FlowConfig{Notify: func(_ api.Flow, r api.Readiness) {
				if r&api.ReadyError != 0 {
					told++
				}
			}}})
			c.Written(100)
			s := c.Got(time.Second, "data", hasData)
			for _, x := range [][3]uint8{{0, 1, 0}, {1, 1, 3}, {5, 1, 0}} { // code v4; type, code v6
				c.Inject(unreachable(s, c.Peer, x[0], x[1], x[2]))
			}
			c.Inject(icmp(c.Peer, c.Host, 11, 0, 3, 0, 0, quote(s)))
			c.Inject(icmp(c.Peer, c.Host, 12, 0, 4, 0, 0, quote(s)))
			c.Drain(time.Millisecond)
			if c.Flow.Info().SoftError == nil || told == 0 {
				t.Fatalf("soft error %v, %d notifications", c.Flow.Info().SoftError, told)
			}
			c.AckAll()
			c.Alive()
		},
	},
	{
		ID: "rfc5927/hard-synchronised", Level: OnWire, Source: "RFC 5927 section 5.2; RFC 9293 section 3.9.2.2 (SHLD-26)", Title: "Hard ICMP errors do not reset an open connection",
		Clause: "Protocol and port unreachable, though they quote a segment in flight, are soft once the connection is synchronised.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			c.Written(100)
			s := c.Got(time.Second, "data", hasData)
			c.Inject(unreachable(s, c.Peer, 2, 1, 4), unreachable(s, c.Peer, 3, 1, 4), unreachable(s, c.Peer, 3, 4, 1))
			c.Drain(time.Millisecond)
			c.AckAll()
			c.Alive()
		},
	},
	{
		ID: "rfc5461/hard-syn-sent", Level: OnWire, Source: "RFC 9293 section 3.9.2.2 (SHLD-26); RFC 5461", Title: "An ICMP error that quotes our SYN fails the dial",
		Clause: "Port unreachable for the SYN ends the dial soon; one that quotes another sequence number is ignored.",
		Run: func(t *T) {
			w := t.Lab(nil)
			c, op := w.StartDial(Hello{})
			forged := *c.syn
			forged.Seq += 1000
			c.Inject(unreachable(&forged, c.Peer, 3, 1, 4))
			t.Sleep(10 * time.Millisecond)
			if op.Done() {
				t.Fatalf("an ICMP error that quotes another sequence number ended the dial: %v", op.Wait().err)
			}
			c.Inject(unreachable(c.syn, c.Peer, 3, 1, 4))
			d := op.WaitFor(time.Second)
			if d.err == nil {
				t.Fatalf("the dial succeeded")
			}
			t.isNot("dial", d.err, api.ErrTimeout)
		},
	},
	{
		ID: "rfc9293/MUST-55", Level: OnWire, Source: "RFC 9293 section 3.9.2.2 (MUST-55); RFC 6633", Title: "Source Quench is ignored", Family: IPv4,
		Clause: "An ICMP Source Quench changes nothing: the next flight is as large as without it.",
		Run: func(t *T) {
			flight := func(quench bool) uint32 {
				c := t.Lab(nil).Accept(Hello{MSS: 1000})
				c.Written(1000)
				s := c.Got(time.Second, "data", hasData)
				if quench {
					for range 10 {
						c.Inject(icmp(c.Peer, c.Host, 4, 0, 0, 0, 0, quote(s)))
					}
				}
				c.AckAll()
				from := c.rcv
				op := c.WriteLater(50_000)
				c.Drain(paced)
				n := c.rcv - from
				if err := c.Flow.Info().SoftError; err != nil {
					t.Fatalf("Source Quench was reported: %v", err)
				}
				c.acks(time.Minute, 51_001)
				t.ok("write", op.Wait())
				c.Stack.Disconnect(t.Timeout(0))
				return n
			}
			slack := int64(0)
			if !t.Has(LossBased) {
				slack = 1000 // what is in flight depends on when the ACKs came, to the nanosecond
			}
			if a, b := int64(flight(false)), int64(flight(true)); max(a, b)-min(a, b) > slack {
				t.Fatalf("%d bytes in flight without, %d with Source Quench", a, b)
			}
		},
	},
	{
		ID: "rfc5927/ptb-checked", Level: OnWire, Source: "RFC 5927 section 7.2; RFC 8201 section 4; RFC 1191 section 3", Title: "Packet too big counts only if it quotes what is in flight, and has a floor",
		Clause: "An error that quotes a sequence number not outstanding is ignored, and one with an MTU of 68 (IPv4) or less than 1280 (IPv6) does not make tiny segments for ever.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			c.Alive()
			c.Written(3000)
			segs := c.GotData(time.Second, c.rcv+3000)
			full := len(segs[0].Payload)
			for _, off := range []uint32{1 << 20, ^uint32(1 << 20)} {
				forged := *segs[0]
				forged.Seq += off
				c.Inject(packetTooBig(&forged, c.Peer, 1280))
			}
			c.AckAll()
			c.Written(3000)
			segs = c.GotData(time.Second, c.rcv+3000)
			if n := len(segs[0].Payload); n != full {
				t.Fatalf("segments of %d bytes after a forged packet-too-big, %d before", n, full)
			}
			c.Inject(packetTooBig(segs[0], c.Peer, 68))
			c.Drain(time.Millisecond)
			c.AckAll()
			c.Written(6000)
			packets := 0
			deadline := t.clk.Now().Add(time.Minute)
			for target := c.rcv + 6000; c.rcv < target; {
				s := c.Take(deadline)
				if s == nil {
					t.Fatalf("the stream stops")
				}
				if hasData(s) {
					packets++
					c.AckAll()
				}
			}
			if packets > 20 {
				t.Fatalf("%d packets for 6000 bytes after a packet-too-big of 68", packets)
			}
			c.Alive()
		},
	},
	{
		ID: "icmp/wrong-connection", Level: OnWire, Source: "RFC 5927 section 4; RFC 9293 section 3.9.2.2 (MUST-54)", Title: "ICMP errors reach the connection they quote, and no other",
		Clause: "Errors that quote unknown ports, or are cut short, change nothing and are not answered.",
		Run: func(t *T) {
			w := t.Lab(nil)
			l := w.Listen(nil)
			a, b := w.Open(l, Hello{}), w.Open(l, Hello{})
			a.Written(100)
			s := a.Got(time.Second, "data", hasData)
			raw := unreachable(s, a.Peer, 1, 1, 3)
			for n := 0; n < len(raw); n += 3 {
				w.Inject(raw[:n])
			}
			other := *s
			other.Dst = addrPort(other.Dst.Addr(), 1)
			w.Inject(unreachable(&other, a.Peer, 1, 1, 3))
			if err := errors.Join(a.Flow.Info().SoftError, b.Flow.Info().SoftError); err != nil {
				t.Fatalf("an error about another connection was reported: %v", err)
			}
			if raw := w.Packet(time.Second); raw != nil {
				t.Fatalf("an ICMP error was answered: %s", describe(raw))
			}
			w.Inject(unreachable(s, a.Peer, 1, 1, 3))
			if a.Flow.Info().SoftError == nil || b.Flow.Info().SoftError != nil {
				t.Fatalf("soft errors %v and %v; only the first connection was quoted", a.Flow.Info().SoftError, b.Flow.Info().SoftError)
			}
			a.AckAll()
			a.Alive()
			b.Alive()
		},
	},
}

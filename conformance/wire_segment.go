package conformance

import (
	"net/netip"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/link"
)

// segmentCases are about the header: RFC 9293, section 3.1 and 3.2.
var segmentCases = []Case{
	{
		ID: "rfc9293/MUST-1", Level: OnWire, Source: "RFC 9293 section 3.1", Title: "Windows of 32768 and more are not negative",
		Clause: "The window field is unsigned: with 65535 announced, more than 32768 bytes may be in flight.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{Window: 65535, Flow: api.FlowConfig{SendBuffer: 1 << 20}})
			op := c.WriteLater(500_000)
			most := uint32(0)
			for c.rcv < 500_001 {
				from := c.rcv
				c.Drain(100 * time.Millisecond) // a whole flight, while nothing is acknowledged
				most = max(most, c.rcv-from)
				c.GotData(0, from+1) // everything had been acknowledged
				c.AckAll()
			}
			t.ok("write", op.Wait())
			if most <= 32768 {
				t.Fatalf("at most %d bytes in flight with a window of 65535", most)
			}
			if most > 65535 {
				t.Fatalf("%d bytes in flight with a window of 65535", most)
			}
		},
	},
	{
		ID: "rfc9293/MUST-2", Level: OnWire, Source: "RFC 9293 section 3.1", Title: "Every segment has a right checksum",
		Clause: "SYN-ACK, data of even and odd length, ACK, FIN and RST carry checksums that a second implementation computes the same.",
		Run: func(t *T) {
			w := t.Lab(nil) // the oracle computes them all
			c := w.Accept(Hello{TS: true, SACK: true, Scale: 2})
			for n := 1; n < 40; n++ {
				c.Written(n)
				c.GotData(2*time.Second, c.rcv+uint32(n))
				c.AckAll()
			}
			t.ok("CloseWrite", c.Flow.CloseWrite())
			s := c.GotFIN(time.Second)
			if s.checksumMismatch != "" {
				t.Fatalf("FIN with a wrong %s", s.checksumMismatch)
			}
			c.AckAll()
			c.Flow.Abort()
			c.GotRST(time.Second)
		},
	},
	{
		ID: "rfc9293/MUST-3", Level: OnWire, Source: "RFC 9293 section 3.1", Title: "A segment with a bad checksum has no effect",
		Clause: "Data, SYN, FIN, RST and ACK with a wrong checksum are dropped: no reply, no change.",
		Run: func(t *T) {
			w := t.Lab(nil)
			l := w.Listen(nil)
			c := w.Open(l, Hello{})
			c.Written(100)
			c.GotData(time.Second, 101)
			corrupt := func(s *Segment) {
				raw := encode(s)
				off := 20 + 16
				if t.V6() {
					off += 20
				}
				raw[off] ^= 0x55
				c.Inject(raw)
			}
			corrupt(c.build(RST, Seq(c.snd)))
			corrupt(c.build(RST|ACK, Seq(c.snd)))
			corrupt(c.build(FIN|ACK, Seq(c.snd)))
			corrupt(c.build(SYN, Seq(c.snd)))
			corrupt(c.build(ACK|PSH, Seq(c.snd), Data(10)))
			s := c.build(SYN, Seq(0))
			s.Src = netip.AddrPortFrom(w.Peer, 50001)
			corrupt(s)
			s.Dst = netip.AddrPortFrom(w.Host, 9)
			corrupt(s)
			w.Quiet(0, "answer to a corrupt segment", anySegment)
			// Had the ACK counted, there would be no retransmission.
			corrupt(c.build(ACK, Seq(c.snd)))
			c.Got(10*time.Second, "retransmission of what only a corrupt ACK acknowledged", hasData)
			c.AckAll()
			c.Alive()
		},
	},
	{
		ID: "rfc9293/MUST-4", Level: OnWire, Source: "RFC 9293 section 3.1", Title: "End of options, no-operation and MSS are understood",
		Clause: "A SYN with NOPs before the MSS and an end-of-options after it is taken; what follows the end is ignored.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{MSS: -1, Extra: []byte{1, 1, 1, 2, 4, 0x01, 0xf4, 0, 2, 4, 0xff}}) // 500; what follows is cut off
			c.Written(2000)
			for c.rcv < 2001 {
				for _, s := range c.GotData(time.Second, c.rcv+1) {
					if len(s.Payload) != 500 {
						t.Fatalf("%d bytes in a segment to a peer with MSS 500", len(s.Payload))
					}
				}
				c.AckAll()
			}
		},
	},
	{
		ID: "rfc9293/MUST-5", Level: OnWire, Source: "RFC 9293 section 3.1 (MUST-5, MUST-6, MUST-68)", Title: "Options on any segment, and unknown ones",
		Clause: "Unknown options are skipped by their length, on SYNs and on data and FIN segments alike, and do not make the segment odd.",
		Run: func(t *T) {
			unknown := []byte{253, 8, 1, 2, 3, 4, 5, 6, 200, 2, 1, 1}
			c := t.Lab(nil).Accept(Hello{Extra: unknown})
			c.Send(ACK|PSH, Data(100), Opts(unknown))
			c.GotAck(time.Second, 101)
			c.Send(ACK|PSH, Data(100), Opts([]byte{1, 1, 1, 1, 1, 1, 1, 0}))
			c.GotAck(time.Second, 201)
			c.WantRead(200)
			c.Alive()
			c.Send(FIN|ACK, Opts(unknown))
			c.GotAck(time.Second, c.snd)
			t.WantEOF(c.Flow)
		},
	},
	{
		ID: "rfc9293/MUST-7", Level: OnWire, Source: "RFC 9293 section 3.1", Title: "Illegal option lengths do no harm",
		Clause: "Options of length 0, 1 or beyond the header do not crash the stack, keep it busy or damage a connection; it serves on.",
		Run: func(t *T) {
			w := t.Lab(nil)
			l := w.Listen(nil)
			c := w.Open(l, Hello{})
			for _, o := range [][]byte{{253, 0, 1, 1}, {253, 1, 1, 1}, {253, 40, 1, 1}, {2, 0}, {2, 1}, {2, 3, 5}, {2, 255, 1, 1}, {3, 0}, {4, 0}, {5, 0}, {5, 3, 0}, {5, 255}, {8, 0}, {8, 9, 1, 1, 1}, {1, 1, 1, 253}, {1, 1, 1, 2}} {
				c.Send(ACK|PSH, Seq(c.snd), Data(3), Opts(o)) // dropped or taken, as it likes
				c.Drain(0)
				s := c.build(SYN, Seq(0), Opts(o))
				s.Src = netip.AddrPortFrom(w.Peer, 50002)
				s.Dst = netip.AddrPortFrom(w.Host, l.Port)
				w.SendSegment(s)
				s.Flags, s.Ack = RST, 0
				s.Seq++
				w.SendSegment(s)
				c.Drain(0)
			}
			c.Send(ACK|PSH, Data(3))
			c.GotAck(time.Second, c.snd)
			c.WantRead(3)
			c.Alive()
			w.Open(l, Hello{}).Alive()
		},
	},
	{
		ID: "rfc9293/MUST-64", Level: OnWire, Source: "RFC 9293 section 3.2", Title: "Options at any alignment",
		Clause: "Options that begin at odd offsets are read all the same.",
		Run: func(t *T) {
			for pad := range 4 {
				nops := []byte{1, 1, 1, 1}[:pad]
				opts := append(append([]byte{}, nops...), 2, 4, 0x02, 0x58) // 600
				opts = append(append(opts, nops...), 3, 3, 2)
				opts = append(append(opts, nops...), 4, 2)
				c := t.Lab(nil).Accept(Hello{MSS: -1, Extra: opts})
				if !c.syn.HasScale || !c.syn.SACKPermitted {
					t.Fatalf("with %d NOPs before each option the answer is %s", pad, c.syn)
				}
				c.Written(1200)
				for _, s := range c.GotData(time.Second, 1201) {
					if len(s.Payload) != 600 {
						t.Fatalf("%d bytes in a segment to a peer with MSS 600", len(s.Payload))
					}
				}
				c.AckAll()
				c.Stack.Disconnect(t.Timeout(0))
			}
		},
	},
	{
		ID: "rfc9293/MUST-65", Level: OnWire, Source: "RFC 9293 section 3.2 (MUST-65, MUST-69)", Title: "Options of a SYN stand on SYNs only, and padding is zero",
		Clause: "No segment after the handshake carries MSS, window scale or SACK-permitted.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{Scale: 3, SACK: true, TS: true}) // the oracle looks at everything sent
			if !c.syn.HasMSS || !c.syn.HasScale || !c.syn.SACKPermitted {
				t.Fatalf("the SYN-ACK lacks options: %s", c.syn)
			}
			c.Alive()
			t.ok("CloseWrite", c.Flow.CloseWrite())
			s := c.GotFIN(time.Second)
			if s.HasMSS || s.HasScale || s.SACKPermitted {
				t.Fatalf("options of a SYN on a FIN: %s", s)
			}
			c.Send(FIN | ACK)
			c.GotAck(time.Second, c.snd)
		},
	},
	{
		ID: "rfc9293/MUST-59", Level: OnWire, Source: "RFC 9293 section 3.10.7.4 (MUST-58, MUST-59)", Title: "Segments that arrive together are acknowledged together",
		Clause: "A batch of segments is processed before an ACK is sent: there are fewer ACKs than one for each, and the last covers everything.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			t.Sleep(time.Minute) // past any quick ACKs at the start
			var raws [][]byte
			for range 10 {
				raws = append(raws, encode(c.build(ACK|PSH, Data(1000))))
			}
			c.Inject(raws...)
			acks := 0
			for _, s := range c.Drain(time.Second) {
				if s.PureACK() {
					acks++
				}
				if got := c.ackOf(s); got != c.snd && acks == 1 && got < 2001 {
					t.Fatalf("the first ACK covers %d", got)
				}
			}
			if acks == 0 || acks >= 10 {
				t.Fatalf("%d ACKs for a batch of 10 segments", acks)
			}
			c.WantRead(10_000)
			c.Alive()
		},
	},
	{
		ID: "rfc9293/3.4-duplicate-syn", Level: OnWire, Source: "RFC 9293 section 3.5.2", Title: "An old SYN is sorted out by a reset",
		Clause: "An old duplicate SYN opens a half-open connection; the peer's RST for its SYN-ACK ends that, and the true SYN is served.",
		Run: func(t *T) {
			w := t.Lab(nil)
			l := w.Listen(nil)
			c := w.newConn(Hello{})
			c.host = netip.AddrPortFrom(w.Host, l.Port)
			old := c.build(SYN, Seq(1<<20), Opts(c.options()))
			c.Inject(encode(old))
			s := c.Segment(time.Second, "SYN-ACK", isSYNACK)
			// What a peer in SYN-SENT does with an unacceptable ACK.
			w.SendSegment(&Segment{Src: c.peer, Dst: c.host, Flags: RST, Seq: s.Ack})
			c.SYN()
			c.SYNACK()
			c.Send(ACK)
			f, err := l.Flows.Take(t.Bound())
			t.ok("accept", err)
			c.Flow = f
			c.Alive()
		},
	},
	{
		ID: "rfc9293/3.5.1-half-open", Level: OnWire, Source: "RFC 9293 section 3.5.1", Title: "A peer that has forgotten the connection can open it anew",
		Clause: "A SYN in ESTABLISHED gets a challenge ACK; the RST it provokes ends the old connection, and the next SYN opens a new one.",
		Run: func(t *T) {
			w := t.Lab(nil)
			l := w.Listen(nil)
			c := w.Open(l, Hello{Port: 7777})
			old := c.Flow
			fresh := w.newConn(Hello{Port: 7777})
			fresh.host = c.host
			fresh.SYN()
			s := w.Segment(time.Second, "challenge ACK", func(s *Segment) bool { return s.PureACK() })
			if s.Ack != c.iss+c.snd {
				t.Fatalf("the challenge acknowledges %d, not RCV.NXT", s.Ack-c.iss)
			}
			w.SendSegment(&Segment{Src: c.peer, Dst: c.host, Flags: RST, Seq: s.Ack})
			t.is("read", readError(t, old), api.ErrReset)
			fresh.SYN()
			fresh.SYNACK()
			fresh.Send(ACK)
			f, err := l.Flows.Take(t.Bound())
			t.ok("accept", err)
			fresh.Flow = f
			fresh.Alive()
		},
	},
	{
		ID: "robust/garbage", Level: OnWire, Source: "RFC 9293 section 3.1; RFC 1122 section 1.2.2", Title: "Garbage does no harm",
		Clause: "Random and truncated packets, and mutations of real ones, are dropped; a connection beside them lives on.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{Scale: 3, SACK: true})
			c.Send(ACK|PSH, Data(64))
			c.WantRead(64)
			good := encode(c.build(ACK|PSH, Seq(c.snd-64), Data(64))) // old: where a mutation leaves it valid, it is harmless
			t.oracle.pause(true)                                      // a mutation may well be a valid packet from somewhere else
			for i := range 3000 {
				raw := append([]byte(nil), good...)
				switch i % 3 {
				case 0:
					raw = raw[:t.rand.IntN(len(raw))]
				case 1:
					raw[t.rand.IntN(len(raw))] ^= byte(1 + t.rand.IntN(255))
				case 2:
					for j := range raw {
						raw[j] = byte(t.rand.Uint32())
					}
					raw[0] = good[0]
				}
				c.port.deliver([]link.Packet{packetOf(raw)})
			}
			t.oracle.pause(false)
			c.Drain(time.Minute)
			c.Alive()
		},
	},
}

// handshakeCases are about opening: RFC 9293, sections 3.5, 3.7.1, 3.10.7.2 and
// 3.10.7.3.
var handshakeCases = []Case{
	{
		ID: "rfc9293/MUST-10", Level: OnWire, Source: "RFC 9293 section 3.5", Title: "Simultaneous open, completed by a plain ACK",
		Clause: "After crossing SYNs the ACK of our SYN completes the connection, and data that comes with it is taken.",
		Run: func(t *T) {
			w := t.Lab(nil)
			c, op := w.StartDial(Hello{})
			c.SYN()
			c.Got(time.Second, "SYN-ACK", isSYNACK)
			c.rcv = 1
			c.Send(ACK|PSH, Data(20))
			d := op.WaitFor(time.Second)
			t.ok("dial", d.err)
			c.Flow = d.flow
			c.WantRead(20)
			c.GotAck(time.Second, 21)
			c.Alive()
		},
	},
	{
		ID: "rfc9293/MUST-11", Level: OnWire, Source: "RFC 9293 section 3.5, 3.10.7.4", Title: "A RST in SYN-RECEIVED leads back to where it came from",
		Clause: "After a passive open the listener goes on and nobody is told; after an active one (crossing SYNs) the dial fails.",
		Run: func(t *T) {
			w := t.Lab(nil)
			l := w.Listen(nil)
			c := w.newConn(Hello{})
			c.host = netip.AddrPortFrom(w.Host, l.Port)
			c.SYN()
			c.SYNACK()
			c.Send(RST)
			w.Open(l, Hello{}).Alive()

			a, op := w.StartDial(Hello{})
			a.SYN()
			a.Got(time.Second, "SYN-ACK", isSYNACK)
			a.Send(RST | ACK)
			d := op.WaitFor(time.Second)
			if d.err == nil {
				t.Fatalf("the dial succeeded after a RST")
			}
			t.is("dial", d.err, api.ErrRefused)
		},
	},
	{
		ID: "rfc9293/MUST-14", Level: OnWire, Source: "RFC 9293 section 3.7.1 (MUST-14, MUST-67, SHLD-5)", Title: "The MSS option is sent and obeyed",
		Clause: "SYN and SYN-ACK announce what the link allows, no more than 1460 (IPv4) or 1440 (IPv6) for an MTU of 1500; the peer's limit is obeyed.",
		Run: func(t *T) {
			w := t.Lab(nil)
			want := uint16(1460)
			if t.V6() {
				want = 1440
			}
			for _, c := range []*Conn{w.Accept(Hello{MSS: 700}), w.Dial(Hello{MSS: 700})} {
				if !c.syn.HasMSS || c.syn.MSS != want {
					t.Fatalf("announced: %s, want MSS %d", c.syn, want)
				}
				c.Written(3000)
				most := 0
				for _, s := range c.GotData(time.Second, 3001) {
					most = max(most, len(s.Payload))
				}
				if most != 700 {
					t.Fatalf("the largest of the segments to a peer with MSS 700 has %d bytes", most)
				}
				c.AckAll()
			}
		},
	},
	{
		ID: "rfc9293/MUST-15", Level: OnWire, Source: "RFC 9293 section 3.7.1", Title: "Without an MSS option segments have 536 or 1220 bytes",
		Clause: "If the peer's SYN or SYN-ACK has no MSS option, 536 (IPv4) or 1220 (IPv6) is assumed.",
		Run: func(t *T) {
			w := t.Lab(nil)
			want := 536
			if t.V6() {
				want = 1220
			}
			for _, c := range []*Conn{w.Accept(Hello{MSS: -1}), w.Dial(Hello{MSS: -1})} {
				c.Written(4000)
				most := 0
				for _, s := range c.GotData(time.Second, 4001) {
					most = max(most, len(s.Payload))
				}
				if most != want {
					t.Fatalf("the largest segment has %d bytes, want %d", most, want)
				}
				c.AckAll()
			}
		},
	},
	{
		ID: "rfc9293/MUST-16", Level: OnWire, Source: "RFC 9293 section 3.7.1; RFC 6691", Title: "Options count against the segment size",
		Clause: "With timestamps on every segment the payload shrinks by their twelve bytes; a peer that announces more than the link carries gets what the link carries.",
		Run: func(t *T) {
			w := t.Lab(nil)
			full := 1460
			if t.V6() {
				full = 1440
			}
			for _, x := range []struct {
				hello Hello
				want  int
			}{
				{Hello{TS: true}, full - 12},
				{Hello{MSS: 1000, TS: true}, 988},
				{Hello{MSS: 9000}, full},
				{Hello{MSS: 65535}, full},
			} {
				c := w.Accept(x.hello)
				c.Written(5000)
				most := 0
				for _, s := range c.GotData(time.Second, 5001) {
					most = max(most, len(s.Payload))
				}
				if most != x.want {
					t.Fatalf("the largest segment to a peer with MSS %d, timestamps %v, has %d bytes, want %d", x.hello.MSS, x.hello.TS, most, x.want)
				}
				c.AckAll()
			}
		},
	},
	{
		ID: "rfc9293/tiny-mss", Level: OnWire, Source: "RFC 9293 section 3.7.1", Title: "A hostile MSS does not multiply packets",
		Clause: "An MSS of 0, 1 or 8 bytes is not obeyed to the letter: 4 KiB do not become thousands of packets.",
		Run: func(t *T) {
			for _, mss := range []byte{0, 1, 8} {
				c := t.Lab(nil).Accept(Hello{MSS: -1, Extra: []byte{2, 4, 0, mss}, TS: true})
				c.Written(4096)
				packets := 0
				for c.rcv < 4097 {
					packets += len(c.GotData(5*time.Second, c.rcv+1))
					c.AckAll()
				}
				if packets > 4096/16 {
					t.Fatalf("%d packets for 4096 bytes to a peer with MSS %d", packets, mss)
				}
			}
		},
	},
	{
		ID: "rfc9293/MUST-22", Level: OnWire, Source: "RFC 9293 section 3.8.3 (MUST-22, MUST-23, SHLD-10)", Title: "A SYN is retransmitted, for at least three minutes",
		Clause: "The same SYN goes out again, at growing intervals, and the dial is not given up in the first three minutes.",
		Run: func(t *T) {
			t.Takes(3 * time.Minute)
			w := t.Lab(nil)
			start := t.clk.Now()
			c, op := w.StartDial(Hello{})
			var at []time.Duration
			for t.clk.Now().Sub(start) < 20*time.Minute && !op.Done() {
				for _, s := range c.Drain(time.Second) {
					if s.Flags&^(ECE|CWR) != SYN || s.Seq != c.irs || !s.HasMSS {
						t.Fatalf("retransmitted: %s\nthe first: %s", s, c.syn)
					}
					at = append(at, s.At.Sub(start))
				}
			}
			t.is("dial", op.Wait().err, api.ErrTimeout)
			took := t.clk.Now().Sub(start)
			if took < 3*time.Minute {
				t.Fatalf("given up after %v, SYNs at %v", took, at)
			}
			if len(at) < 3 {
				t.Fatalf("%d retransmissions: at %v", len(at), at)
			}
			if at[0] < 500*time.Millisecond || at[0] > 4*time.Second {
				t.Fatalf("the first retransmission came after %v", at[0])
			}
			for i := 2; i < len(at); i++ {
				if at[i]-at[i-1] < at[i-1]-at[i-2] {
					t.Fatalf("intervals shrink: SYNs at %v", at)
				}
			}
		},
	},
	{
		ID: "rfc9293/MUST-42", Level: OnWire, Source: "RFC 9293 section 3.9.1.1 (MUST-41, MUST-42)", Title: "A listener lives beside connections on its port",
		Clause: "One can listen on a port while a connection from that port is in SYN-SENT, and the listener serves while other handshakes hang.",
		Run: func(t *T) {
			w := t.Lab(nil)
			local := uint16(4242)
			c, op := w.StartDial(Hello{Flow: api.FlowConfig{Local: netip.AddrPortFrom(netip.Addr{}, local)}})
			if c.host.Port() != local {
				t.Fatalf("dialled from port %d, asked for %d", c.host.Port(), local)
			}
			flows := NewMailbox[api.Flow](t)
			_, err := w.Stack.Listen(local, nil, func(_ contextT, f api.Flow) { flows.Put(f) })
			t.ok("listen", err)
			l := &WirePort{Port: local, Flows: flows}
			half := w.newConn(Hello{})
			half.host = c.host
			half.SYN()
			half.SYNACK()
			w.Open(l, Hello{}).Alive()
			c.Send(SYN|ACK, Opts(c.options()))
			d := op.WaitFor(time.Minute)
			t.ok("dial", d.err)
			c.Flow = d.flow
			c.Drain(0)
			c.Alive()
		},
	},
	{
		ID: "rfc9293/3.10.7.2-listen", Level: OnWire, Source: "RFC 9293 section 3.10.7.2", Title: "LISTEN: RST ignored, ACK reset, data kept or asked for again",
		Clause: "In LISTEN a RST is ignored, an ACK is answered by <SEQ=SEG.ACK><CTL=RST>, other segments are dropped; data on the SYN is not lost.",
		Run: func(t *T) {
			w := t.Lab(nil)
			l := w.Listen(nil)
			to := netip.AddrPortFrom(w.Host, l.Port)
			from := netip.AddrPortFrom(w.Peer, 6000)
			w.SendSegment(&Segment{Src: from, Dst: to, Flags: RST, Seq: 5})
			w.SendSegment(&Segment{Src: from, Dst: to, Flags: RST | ACK, Seq: 5, Ack: 6})
			w.SendSegment(&Segment{Src: from, Dst: to, Flags: SYN | RST, Seq: 5})
			w.SendSegment(&Segment{Src: from, Dst: to, Flags: PSH, Seq: 5, Payload: []byte("x")})
			w.SendSegment(&Segment{Src: from, Dst: to, Flags: 0, Seq: 5})
			w.Quiet(time.Second, "answer", anySegment)
			for _, f := range []Flags{ACK, ACK | PSH, SYN | ACK, FIN | ACK} {
				w.SendSegment(&Segment{Src: from, Dst: to, Flags: f, Seq: 5, Ack: 1 << 31, Payload: []byte("xyz")})
				s := w.Segment(time.Second, "RST", isRST)
				if s.Seq != 1<<31 || s.Has(ACK) {
					t.Fatalf("[%v] in LISTEN got %s, want <SEQ=%d><CTL=RST>", f, s, uint32(1<<31))
				}
			}
			if w.Stack.Info().HalfOpen != 0 {
				t.Fatalf("half-open connections from segments that are no SYN")
			}
			c := w.newConn(Hello{})
			c.host = to
			c.Send(SYN, Opts(c.options()), Bytes(pattern(0, 50)))
			s := c.Segment(time.Second, "SYN-ACK", isSYNACK)
			if ack := s.Ack - c.iss; ack != 1 && ack != 51 {
				t.Fatalf("the SYN-ACK acknowledges %d", ack)
			}
			c.hear(s)
			c.snd = 1
			c.Send(ACK|PSH, Data(50))
			c.GotAck(time.Second, 51)
			f, err := l.Flows.Take(t.Bound())
			t.ok("accept", err)
			c.Flow = f
			c.WantRead(50)
			c.Alive()
		},
	},
	{
		ID: "rfc9293/3.10.7.3-syn-sent-ack", Level: OnWire, Source: "RFC 9293 section 3.10.7.3", Title: "SYN-SENT: an unacceptable ACK is reset",
		Real:   30 * time.Second,
		Clause: "An ACK of something never sent is answered by <SEQ=SEG.ACK><CTL=RST>, unless it is a RST; the dial goes on.",
		Run: func(t *T) {
			w := t.Lab(nil)
			c, op := w.StartDial(Hello{})
			for _, ack := range []uint32{0, 2, 1000, 1 << 31} {
				for _, f := range []Flags{ACK, SYN | ACK} {
					t.Sleep(2 * time.Second) // the resets may be limited in rate
					c.Send(f, Seq(0), Ack(ack))
					s := c.GotRST(time.Second)
					if s.Seq != c.irs+ack || s.Has(ACK) {
						t.Fatalf("[%v] with ack %d got %s", f, ack, s)
					}
				}
				c.Send(RST|ACK, Seq(0), Ack(ack))
			}
			c.None(0, "answer to a RST", isRST)
			if op.Done() {
				t.Fatalf("a RST that acknowledges something else ended the dial: %v", op.Wait().err)
			}
			c.Send(SYN|ACK, Seq(0), Ack(1), Opts(c.options()))
			c.snd = 1
			d := op.WaitFor(time.Second)
			t.ok("dial", d.err)
			c.Flow = d.flow
			c.Drain(0)
			c.Alive()
		},
	},
	{
		ID: "rfc9293/3.10.7.3-syn-sent-rst", Level: OnWire, Source: "RFC 9293 section 3.10.7.3; RFC 5961", Title: "SYN-SENT: a RST that acknowledges our SYN refuses",
		Clause: "A RST without ACK is dropped; one that acknowledges the SYN fails the dial with ErrRefused.",
		Run: func(t *T) {
			w := t.Lab(nil)
			c, op := w.StartDial(Hello{})
			c.Send(RST, Seq(0))
			c.Send(RST, Seq(12345))
			t.Sleep(100 * time.Millisecond)
			if op.Done() {
				t.Fatalf("a RST without ACK ended the dial")
			}
			c.Send(RST|ACK, Seq(0), Ack(1))
			d := op.WaitFor(time.Second)
			t.is("dial", d.err, api.ErrRefused)
			c.None(5*time.Minute, "segment after the refusal", anySegment)
		},
	},
	{
		ID: "rfc9293/3.10.7.3-syn-sent-other", Level: OnWire, Source: "RFC 9293 section 3.10.7.3", Title: "SYN-SENT: what is neither SYN nor RST is dropped",
		Clause: "A FIN or data with an acceptable ACK but no SYN changes nothing; the handshake then completes, also with data on the SYN-ACK.",
		Run: func(t *T) {
			w := t.Lab(nil)
			c, op := w.StartDial(Hello{})
			c.Send(ACK, Seq(0), Ack(1))
			c.Send(FIN|ACK, Seq(0), Ack(1))
			c.Send(FIN, Seq(0))
			c.None(100*time.Millisecond, "answer", anySegment)
			if op.Done() {
				t.Fatalf("the dial has ended: %v", op.Wait().err)
			}
			c.Send(SYN|ACK, Opts(c.options()))
			d := op.WaitFor(time.Second)
			t.ok("dial", d.err)
			c.Flow = d.flow
			c.Drain(0)
			c.Alive()
		},
	},
	{
		ID: "rfc9293/3.10.7.4-syn-rcvd-ack", Level: OnWire, Source: "RFC 9293 section 3.10.7.4", Title: "SYN-RECEIVED: a wrong ACK is reset, and does no harm",
		Clause: "An ACK of something never sent is answered by <SEQ=SEG.ACK><CTL=RST>; the right one still completes the handshake.",
		Run: func(t *T) {
			w := t.Lab(nil)
			l := w.Listen(nil)
			c := w.newConn(Hello{})
			c.host = netip.AddrPortFrom(w.Host, l.Port)
			c.SYN()
			c.SYNACK()
			for _, ack := range []uint32{0, 2, 1 << 30} {
				t.Sleep(2 * time.Second) // the resets may be limited in rate
				c.Send(ACK, Ack(ack))
				s := c.GotRST(time.Second)
				if s.Seq != c.irs+ack {
					t.Fatalf("an ACK of %d got %s", ack, s)
				}
			}
			if l.Flows.Len() != 0 {
				t.Fatalf("accepted by a wrong ACK")
			}
			c.Send(ACK)
			f, err := l.Flows.Take(t.Timeout(time.Second))
			t.ok("accept", err)
			c.Flow = f
			c.Alive()
		},
	},
	{
		ID: "rfc9293/syn-ack-lost-data", Level: OnWire, Source: "RFC 9293 section 3.10.7.4", Title: "Data completes the handshake when the ACK is lost",
		Clause: "The first data segment acknowledges the SYN-ACK too; FIN may come with it.",
		Run: func(t *T) {
			w := t.Lab(nil)
			l := w.Listen(nil)
			c := w.newConn(Hello{})
			c.host = netip.AddrPortFrom(w.Host, l.Port)
			c.SYN()
			c.SYNACK()
			c.Send(ACK|PSH|FIN, Data(100))
			f, err := l.Flows.Take(t.Timeout(time.Second))
			t.ok("accept", err)
			c.Flow = f
			c.GotAck(time.Second, 102)
			c.WantRead(100)
			t.WantEOF(f)
			c.Written(50)
			c.GotData(time.Second, 51)
			c.AckAll()
		},
	},
}

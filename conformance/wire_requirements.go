package conformance

import (
	"net/netip"
	"slices"
	"time"

	"github.com/sluicenet/sluice/api"
)

// size returns a random number of bytes, from a to b.
func (t *T) size(a, b int) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return a + t.rand.IntN(b-a+1)
}

// between returns a random duration, in milliseconds, from a to b.
func (t *T) between(a, b time.Duration) time.Duration {
	return a + time.Duration(t.size(0, int((b-a)/time.Millisecond)))*time.Millisecond
}

// gapless fails the case unless the options of s are whole options, none of which
// but EOL and NOP lacks its length, with zeros after an EOL.
func (t *T) gapless(s *Segment) {
	b := s.Options
	for len(b) > 0 {
		switch {
		case b[0] == 0:
			if len(b) > 4 {
				t.Fatalf("%d bytes of padding: %s", len(b), s)
			}
			for _, x := range b {
				if x != 0 {
					t.Fatalf("padding %x: %s", b, s)
				}
			}
			return
		case b[0] == 1:
			b = b[1:]
		case len(b) < 2 || b[1] < 2 || int(b[1]) > len(b):
			t.Fatalf("option %x without a length that fits: %s", b, s)
		default:
			b = b[b[1]:]
		}
	}
}

// headerCases are requirements of RFC 9293 on the header that share a text with
// others and are observed by themselves.
var headerCases = []Case{
	{
		ID: "rfc9293/MUST-6", Level: OnWire, Source: "RFC 9293 section 3.1", Title: "An unknown option is skipped by its length",
		Clause: "Whatever its kind, length and place, an option that is not known costs nothing, and the one behind it is read.",
		Run: func(t *T) {
			w := t.Lab(nil)
			for range 8 {
				kind, n := byte(t.size(100, 250)), t.size(0, 12)
				odd := append([]byte{kind, byte(2 + n)}, pattern(t.size(0, 1000), n)...)
				mss := t.size(500, 1200)
				c := w.Accept(Hello{MSS: -1, Extra: append(slices.Clone(odd), optMSS(uint16(mss))...)})
				c.Send(ACK|PSH, Data(t.size(1, 500)), Opts(odd))
				c.GotAck(time.Second, c.snd)
				c.WantRead(int(c.snd) - 1)
				c.Written(4 * mss)
				if got := len(c.GotData(time.Second, c.rcv+uint32(4*mss))[0].Payload); got != mss {
					t.Fatalf("segments of %d bytes; the MSS behind option %d of length %d was %d", got, kind, 2+n, mss)
				}
				c.AckAll()
				c.Send(FIN|ACK, Opts(odd))
				c.GotAck(time.Second, c.snd)
			}
		},
	},
	{
		ID: "rfc9293/MUST-68", Level: OnWire, Source: "RFC 9293 section 3.1", Title: "What stands within an option is no option",
		Clause: "Every option but EOL and NOP has a length, in what is sent too: bytes within an unknown one that look like an MSS, an end or a scale are not read as such.",
		Run: func(t *T) {
			inner := []byte{0, 2, 4, 0, 100, 3, 3, 14, 1, 4, 2}
			opts := append([]byte{byte(t.size(100, 250)), byte(2 + len(inner))}, inner...)
			c := t.Lab(nil).Accept(Hello{MSS: -1, Extra: append(opts, optMSS(1000)...)})
			if c.syn.HasScale || c.syn.SACKPermitted {
				t.Fatalf("options were read from within another: %s", c.syn)
			}
			t.gapless(c.syn)
			c.Written(3000)
			for _, s := range c.GotData(time.Second, 3001) {
				t.gapless(s)
				if len(s.Payload) != 1000 {
					t.Fatalf("segments of %d bytes, the MSS is 1000", len(s.Payload))
				}
			}
			c.AckAll()
		},
	},
	{
		ID: "rfc9293/MUST-69", Level: OnWire, Source: "RFC 9293 section 3.1", Title: "Options are padded with zeros to a multiple of four",
		Clause: "Whatever options a segment has, the header is filled up with NOPs before or zeros after the end, and says its length right.",
		Run: func(t *T) {
			w := t.Lab(nil)
			for i := range 8 {
				h := Hello{SACK: i&1 != 0, TS: i&2 != 0}
				if i&4 != 0 {
					h.Scale = t.size(1, 9)
				}
				c := w.Accept(h)
				t.gapless(c.syn)
				for k := range uint32(4) {
					c.Send(ACK|PSH, Seq(1001+2000*k), Data(t.size(1, 900)))
				}
				c.Written(100)
				for _, s := range c.Drain(time.Millisecond) {
					t.gapless(s)
				}
				c.Send(ACK|PSH, Data(5))
				c.GotAck(time.Second, 6)
			}
			d, _ := w.StartDial(Hello{})
			t.gapless(d.syn)
		},
	},
	{
		ID: "rfc9293/MUST-67", Level: OnWire, Source: "RFC 9293 section 3.7.1", Title: "The MSS announced fits the link",
		Clause: "Neither a SYN nor a SYN-ACK announces more than MTU less both headers, also where the caller asks for more; and what it announces is taken.",
		Run: func(t *T) {
			w := t.Lab(nil)
			most := 1460
			if t.V6() {
				most = 1440
			}
			for _, mss := range []uint16{0, 9000, 32767, uint16(t.size(536, 1400))} {
				cfg := api.FlowConfig{MSS: mss}
				d, op := w.StartDial(Hello{Flow: cfg})
				a := w.Accept(Hello{Flow: cfg})
				for _, s := range []*Segment{d.syn, a.syn} {
					if int(s.MSS) > most || !s.HasMSS || mss > 0 && s.MSS > mss {
						t.Fatalf("asked for %d; announced: %s", mss, s)
					}
				}
				d.Send(RST | ACK)
				op.Wait()
				a.Send(ACK|PSH, Data(int(a.syn.MSS)))
				a.GotAck(time.Second, a.snd)
			}
		},
	},
	{
		ID: "rfc9293/SHLD-5", Level: OnWire, Source: "RFC 9293 section 3.7.1 (SHLD-5, MAY-3)", Title: "Each SYN has an MSS option",
		Clause: "SYN, SYN-ACK and their retransmissions carry the option, also where the peer had none.",
		Run: func(t *T) {
			w := t.Lab(nil)
			d, _ := w.StartDial(Hello{})
			l := w.Listen(nil)
			a := w.newConn(Hello{MSS: -1})
			a.host = netip.AddrPortFrom(w.Host, l.Port)
			a.SYN()
			a.SYNACK()
			for _, s := range []*Segment{d.syn, a.syn, w.Segment(5*time.Second, "SYN again", isSYN), w.Segment(5*time.Second, "SYN-ACK again", isSYNACK)} {
				if !s.HasMSS || s.MSS == 0 {
					t.Fatalf("no MSS: %s", s)
				}
			}
		},
	},
	{
		ID: "rfc9293/MAY-3", Level: OnWire, Source: "RFC 9293 section 3.7.1", Title: "Also an MSS that is the default is announced",
		Clause: "With an MSS of 536 or 1220 asked for, the option is sent all the same.",
		Run: func(t *T) {
			mss := uint16(536)
			if t.V6() {
				mss = 1220
			}
			c := t.Lab(nil).Accept(Hello{Flow: api.FlowConfig{MSS: mss}})
			if !c.syn.HasMSS || c.syn.MSS != mss {
				t.Fatalf("announced: %s", c.syn)
			}
			c.Alive()
		},
	},
	{
		ID: "rfc9293/REC-1", Level: OnWire, Source: "RFC 9293 section 3.1 (REC-1)", Title: "Windows of more than 16 bits", Needs: WindowScale,
		Clause: "With window scale more than 65,535 bytes are announced, and are in flight where the peer announces them.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{Scale: 7, Flow: api.FlowConfig{SendBuffer: 4 << 20, ReceiveBuffer: 1 << 20}})
			op := c.WriteLater(1_500_000)
			most := uint32(0)
			for c.rcv < 1_500_001 {
				from := c.rcv
				c.Drain(50 * time.Millisecond)
				most = max(most, c.rcv-from)
				c.GotData(0, from+1) // the stream does not stop
				for rel := from + 1460; rel < c.rcv; rel += 2920 {
					c.Send(ACK, Ack(rel))
				}
				c.AckAll()
			}
			t.ok("write", op.Wait())
			c.Drain(time.Second)
			if most <= 65535 || c.lastWindow <= 65535 {
				t.Fatalf("at most %d bytes in flight, and a window of %d", most, c.lastWindow)
			}
		},
	},
}

// openingCases are about opening: sections 3.4.1, 3.8.3 and 3.9.1.1.
var openingCases = []Case{
	{
		ID: "rfc9293/MUST-23", Level: OnWire, Source: "RFC 9293 section 3.8.3", Title: "A SYN-ACK is not too late after three minutes",
		Clause: "A dial that nobody has answered for 179 seconds still succeeds when the answer comes.",
		Run: func(t *T) {
			t.Takes(3 * time.Minute)
			c, op := t.Lab(nil).StartDial(Hello{})
			n := len(c.Drain(179 * time.Second))
			if op.Done() {
				t.Fatalf("given up after %d retransmissions: %v", n, op.Wait().err)
			}
			if n < 3 {
				t.Fatalf("%d retransmissions in three minutes", n)
			}
			c.Send(SYN|ACK, Seq(0), Opts(c.options()))
			c.snd = 1
			d := op.WaitFor(time.Second)
			t.ok("dial", d.err)
			c.Flow = d.flow
			c.Drain(0)
			c.Alive()
		},
	},
	{
		ID: "rfc9293/MUST-41", Level: OnWire, Source: "RFC 9293 section 3.9.1.1", Title: "Listening disturbs nothing that is there",
		Clause: "A passive open of a port with a listener, an open connection and a half-open one fails; each of them goes on.",
		Run: func(t *T) {
			w := t.Lab(nil)
			l := w.Listen(nil)
			c := w.Open(l, Hello{})
			half := w.newConn(Hello{})
			half.host = c.host
			half.SYN()
			half.SYNACK()
			_, err := w.Stack.Listen(l.Port, nil, func(contextT, api.Flow) { t.Errorf("the second listener has a flow") })
			t.is("second listen", err, api.ErrPortInUse)
			c.Alive()
			half.Send(ACK)
			f, err := l.Flows.Take(t.Timeout(time.Minute))
			t.ok("accept", err)
			half.Flow = f
			half.Alive()
			w.Open(l, Hello{}).Alive()
		},
	},
	{
		ID: "rfc9293/MUST-43", Level: OnWire, Source: "RFC 9293 section 3.9.1.1", Title: "The local end can be given",
		Clause: "A dial with a local address, a local port or both comes from there; a listener with an address answers there.",
		Run: func(t *T) {
			second := netip.MustParseAddr("192.0.2.77")
			if t.V6() {
				second = netip.MustParseAddr("2001:db8::77")
			}
			w := t.Lab(func(e *Env) { e.Addresses = append(e.Addresses, netip.PrefixFrom(second, e.Addresses[0].Bits())) })
			port := uint16(t.size(1024, 30_000))
			for _, local := range []netip.AddrPort{addrPort(second, 0), addrPort(netip.Addr{}, port), addrPort(second, port+1)} {
				c := w.Dial(Hello{Flow: api.FlowConfig{Local: local}})
				if local.Addr().IsValid() && c.host.Addr() != second || local.Port() != 0 && c.host.Port() != local.Port() {
					t.Fatalf("dialled from %v, asked for %v", c.host, local)
				}
				if c.Flow.Src() != c.host {
					t.Fatalf("the flow says %v, its packets %v", c.Flow.Src(), c.host)
				}
				c.Alive()
			}
			l := w.Listen(&api.ListenConfig{Address: second})
			c := w.newConn(Hello{})
			c.host = addrPort(second, l.Port)
			c.SYN()
			c.SYNACK()
		},
	},
	{
		ID: "rfc9293/MUST-45", Level: OnWire, Source: "RFC 9293 section 3.9.1.1", Title: "One local address for the whole connection",
		Clause: "Handshake, data, retransmissions, probes and the reset have one source address, though the stack has several.",
		Run: func(t *T) {
			t.Takes(time.Minute)
			second := netip.MustParseAddr("192.0.2.77")
			if t.V6() {
				second = netip.MustParseAddr("2001:db8::77")
			}
			w := t.Lab(func(e *Env) {
				e.Addresses = append([]netip.Prefix{netip.PrefixFrom(second, e.Addresses[0].Bits())}, e.Addresses...)
			})
			from := map[netip.Addr]int{}
			w.Hook(func(s *Segment) bool { from[s.Src.Addr()]++; return false })
			c := w.Dial(Hello{Window: 1000, Flow: api.FlowConfig{Keepalive: api.KeepaliveConfig{After: 20 * time.Second, Interval: 5 * time.Second, Probes: 5}}})
			c.Written(1000)
			c.GotData(time.Second, 1001)
			c.Got(10*time.Second, "retransmission", hasData)
			c.Send(ACK, Win(0))
			c.Written(100)
			c.Got(10*time.Second, "probe", anySegment)
			c.Send(ACK, Win(1000))
			c.Drain(10 * time.Second)
			c.AckAll()
			c.Got(time.Minute, "keepalive", anySegment)
			c.Flow.Abort()
			c.GotRST(time.Second)
			if len(from) != 1 || from[c.Flow.Src().Addr()] < 6 {
				t.Fatalf("segments came from %v", from)
			}
		},
	},
	{
		ID: "rfc9293/SHLD-1", Level: OnWire, Source: "RFC 9293 section 3.4.1; RFC 6528", Title: "The clock is the same for all, the rest is each connection's own",
		Clause: "For several pairs of ends the ISN advances by the same clock, from starts that have nothing in common.",
		Run: func(t *T) {
			w := t.Lab(nil)
			l := w.Listen(nil)
			base := uint16(t.size(2000, 60_000))
			isn := func(i uint16) uint32 {
				c := w.newConn(Hello{Port: base + i})
				c.host = addrPort(w.Host, l.Port)
				c.SYN()
				s := c.SYNACK()
				c.Send(RST)
				return s.Seq
			}
			var first [8]uint32
			at := t.clk.Now()
			for i := range first {
				first[i] = isn(uint16(i))
			}
			t.Sleep(t.between(10*time.Second, time.Minute))
			want := uint32(int64(t.clk.Now().Sub(at)) / 4000)
			for i := range first {
				if d := int32(isn(uint16(i)) - first[i] - want); d > 1<<20 || d < -1<<20 {
					t.Fatalf("port %d: the ISN is %d away from the clock", base+uint16(i), d)
				}
				if i > 0 && first[i]-first[i-1] < 1<<16 {
					t.Fatalf("ISNs of neighbouring ports are %d apart", first[i]-first[i-1])
				}
			}
		},
	},
	{
		ID: "rfc6528/3-tuple", Level: OnWire, Source: "RFC 6528 section 3", Title: "Each part of the two ends counts",
		Clause: "At one instant the ISN differs, unpredictably, with the peer's address, the peer's port, the local port and the local address.",
		Run: func(t *T) {
			second := netip.MustParseAddr("192.0.2.77")
			peers := []netip.Addr{netip.MustParseAddr("192.0.2.101"), netip.MustParseAddr("192.0.2.102")}
			if t.V6() {
				second = netip.MustParseAddr("2001:db8::77")
				peers = []netip.Addr{netip.MustParseAddr("2001:db8::101"), netip.MustParseAddr("2001:db8::102")}
			}
			w := t.Lab(func(e *Env) { e.Addresses = append(e.Addresses, netip.PrefixFrom(second, e.Addresses[0].Bits())) })
			ls := []*WirePort{w.Listen(nil), w.Listen(nil)}
			base := uint16(t.size(2000, 60_000))
			var seen []uint32
			for _, host := range []netip.Addr{w.Host, second} {
				for _, peer := range peers {
					for _, l := range ls {
						for i := range uint16(2) {
							c := w.newConn(Hello{Port: base + i})
							c.peer, c.host = addrPort(peer, base+i), addrPort(host, l.Port)
							c.SYN()
							seen = append(seen, c.SYNACK().Seq)
						}
					}
				}
			}
			for i, a := range seen {
				for _, b := range seen[:i] {
					if d := int32(a - b); d < 1<<12 && d > -1<<12 {
						t.Fatalf("ISNs %d and %d of different connections", a, b)
					}
				}
			}
		},
	},
	{
		ID: "rfc9293/SHLD-26", Level: OnWire, Source: "RFC 9293 section 3.9.2.2; RFC 5461", Title: "Hard ICMP errors abort a handshake",
		Clause: "Protocol unreachable and port unreachable that quote the SYN end the dial with an error that says so, and no SYN follows.",
		Run: func(t *T) {
			t.Takes(20 * time.Second)
			w := t.Lab(nil)
			for i := range 2 {
				c, op := w.StartDial(Hello{})
				t.Sleep(t.between(0, 5*time.Second))
				c.Inject(unreachable(c.syn, c.Peer, uint8(2+i), 1, 4))
				d := op.WaitFor(time.Second)
				if d.err == nil {
					t.Fatalf("the dial succeeded")
				}
				t.isNot("dial", d.err, api.ErrTimeout)
				c.Drain(0)
				c.None(time.Minute, "SYN after the error", isSYN)
			}
		},
	},
	{
		ID: "rfc9293/SHLD-4", Level: OnWire, Source: "RFC 9293 section 3.6.1; RFC 6191", Title: "A newer timestamp ends TIME-WAIT", Needs: Timestamps,
		Clause: "In TIME-WAIT a SYN whose sequence number is old but whose timestamp is new opens a connection.",
		Run: func(t *T) {
			w := t.Lab(nil)
			l := w.Listen(nil)
			c := w.Open(l, Hello{TS: true})
			n := t.size(1000, 50_000)
			for int(c.snd) < n {
				c.Send(ACK|PSH, Data(min(1400, n)))
				c.GotAck(time.Second, c.snd)
				c.WantRead(int(c.snd) - 1 - c.read)
			}
			t.ok("CloseWrite", c.Flow.CloseWrite())
			c.GotFIN(time.Second)
			c.Send(FIN | ACK)
			c.GotAck(time.Second, c.snd)
			t.Sleep(t.between(2*time.Second, 20*time.Second))
			again := w.newConn(Hello{TS: true, Port: c.peer.Port(), ISS: c.iss})
			again.host = c.host
			again.SYN()
			again.SYNACK()
			again.Send(ACK)
			f, err := l.Flows.Take(t.Timeout(time.Minute))
			t.ok("accept", err)
			again.Flow = f
			again.Alive()
		},
	},
	{
		ID: "rfc9293/MAY-2", Level: OnWire, Source: "RFC 9293 section 3.6.1", Title: "A SYN beyond the old connection ends TIME-WAIT",
		Clause: "A SYN whose sequence number lies beyond the last of the old connection opens a new one, whose ISN lies beyond its own.",
		Run: func(t *T) {
			w := t.Lab(nil)
			l := w.Listen(nil)
			c := w.Open(l, Hello{})
			c.Alive()
			t.ok("CloseWrite", c.Flow.CloseWrite())
			c.GotFIN(time.Second)
			c.Send(FIN | ACK)
			c.GotAck(time.Second, c.snd)
			t.Sleep(t.between(time.Second, 20*time.Second))
			again := w.newConn(Hello{Port: c.peer.Port(), ISS: c.iss + c.snd + uint32(t.size(1, 1<<20))})
			again.host = c.host
			again.SYN()
			again.SYNACK()
			if int32(again.irs-c.irs-c.rcv) <= 0 {
				t.Fatalf("the new ISN lies before the end of the old connection")
			}
			again.Send(ACK)
			f, err := l.Flows.Take(t.Timeout(time.Minute))
			t.ok("accept", err)
			again.Flow = f
			again.Alive()
		},
	},
}

// reportCases are about what callers are told and may set: sections 3.8.3, 3.8.4,
// 3.9.1.8 and 3.9.1.9.
var reportCases = []Case{
	{
		ID: "rfc9293/SHLD-9", Level: OnWire, Source: "RFC 9293 section 3.8.3", Title: "Trouble is told between R1 and R2", Needs: Readiness,
		Clause: "While data go unacknowledged the caller is told before the connection is given up, once for the trouble and not for each retransmission.",
		Run: func(t *T) {
			t.Takes(100 * time.Second)
			told := 0
			c := t.Lab(nil).Accept(Hello{Flow: api.FlowConfig{Notify: func(_ api.Flow, r api.Readiness) {
				if r&api.ReadyError != 0 {
					told++
				}
			}}})
			c.Written(t.size(1, 1000))
			for range 100 {
				c.Drain(time.Second)
				if told > 0 {
					break
				}
			}
			if err := c.Flow.CloseReason(); told == 0 || err != nil {
				t.Fatalf("told %d times before the end; the reason is %v", told, err)
			}
			if c.Flow.Info().SoftError == nil {
				t.Fatalf("told, but Info has no soft error")
			}
			c.AckAll()
			c.Drain(5 * time.Second)
			c.AckAll()
			c.Alive()
			if told > 2 {
				t.Fatalf("told %d times", told)
			}
		},
	},
	{
		ID: "rfc9293/SHLD-10", Level: OnWire, Source: "RFC 9293 section 3.8.3", Title: "R1 is three retransmissions at least",
		Clause: "Neither the first nor the second retransmission is trouble worth a report.",
		Run: func(t *T) {
			t.Takes(time.Minute)
			c := t.Lab(nil).Accept(Hello{})
			c.Alive()
			c.Written(t.size(1, 1000))
			c.Got(time.Second, "data", hasData)
			for i := 1; i <= 8; i++ {
				c.Got(2*time.Minute, "retransmission", hasData)
				switch err := c.Flow.Info().SoftError; {
				case i < 3 && err != nil:
					t.Fatalf("reported by retransmission %d: %v", i, err)
				case err != nil:
					c.AckAll()
					c.Drain(0)
					c.Alive()
					return
				}
			}
			t.Fatalf("eight retransmissions, and nothing is reported")
		},
	},
	{
		ID: "rfc9293/SHLD-11", Level: OnWire, Source: "RFC 9293 section 3.8.3", Title: "R2 is a hundred seconds at least",
		Clause: "Data that were not acknowledged for 100 seconds are still retransmitted, and an ACK then saves the connection.",
		Run: func(t *T) {
			t.Takes(100 * time.Second)
			c := t.Lab(nil).Accept(Hello{})
			c.Written(t.size(1, 1000))
			if n := len(c.Drain(100 * time.Second)); n < 4 {
				t.Fatalf("%d segments in 100 s", n)
			}
			if err := c.Flow.CloseReason(); err != nil {
				t.Fatalf("given up: %v", err)
			}
			c.AckAll()
			c.Drain(time.Second)
			c.Alive()
		},
	},
	{
		ID: "rfc9293/MUST-24", Level: OnWire, Source: "RFC 9293 section 3.8.4", Title: "Keep-alive is each connection's own, and can be switched",
		Clause: "One connection is probed and its neighbour is not; the open connection's probes end when they are switched off, and begin when they are switched on.",
		Run: func(t *T) {
			t.Takes(40 * time.Minute)
			w := t.Lab(nil)
			k := api.KeepaliveConfig{After: t.between(10*time.Second, 30*time.Second), Interval: 5 * time.Second, Probes: 9}
			a, b := w.Accept(Hello{}), w.Accept(Hello{})
			set := func(k api.Keepalive) {
				t.ok("configure", a.Flow.Configure(func(c *api.FlowConfig) { c.Keepalive = k }))
			}
			probes := func() (n, other int) {
				end := t.clk.Now().Add(10 * time.Minute)
				for s := w.next(end); s != nil; s = w.next(end) {
					if a.mine(s) {
						n++
						a.AckAll()
					} else if b.mine(s) {
						other++
					}
				}
				return n, other
			}
			for i, on := range []bool{false, true, false, true} {
				if on {
					set(k)
				} else if i > 0 {
					set(nil)
				}
				n, other := probes()
				if on && (n < 15 || n > 61) || !on && n > 0 || other > 0 {
					t.Fatalf("round %d, keepalive %v: %d probes in ten minutes, %d of the other connection", i, on, n, other)
				}
			}
			b.Alive()
		},
	},
	{
		ID: "rfc9293/MUST-27", Level: OnWire, Source: "RFC 9293 section 3.8.4", Title: "The keep-alive interval is what was asked for",
		Clause: "Random idle times and intervals are kept to within a second.",
		Run: func(t *T) {
			w := t.Lab(nil)
			for range 4 {
				k := api.KeepaliveConfig{After: t.between(5*time.Second, time.Hour), Interval: t.between(2*time.Second, time.Minute), Probes: 5}
				c := w.Accept(Hello{Flow: api.FlowConfig{Keepalive: k}})
				last, want := t.clk.Now(), k.After
				for i := range 4 {
					s := c.Got(want+2*time.Second, "probe", anySegment)
					if d := s.At.Sub(last) - want; d < -time.Second || d > time.Second {
						t.Fatalf("probe %d came %v after the last segment, want %v", i+1, s.At.Sub(last), want)
					}
					last, want = s.At, k.Interval
				}
				c.AckAll()
				c.Alive()
				c.Flow.Abort()
				c.GotRST(time.Second)
			}
		},
	},
	{
		ID: "rfc9293/MAY-5", Level: OnWire, Source: "RFC 9293 section 3.8.4", Title: "There are keep-alives",
		Clause: "With one a peer that has gone is noticed, though nothing is sent otherwise.",
		Run: func(t *T) {
			t.Takes(2 * time.Minute)
			c := t.Lab(nil).Accept(Hello{Flow: api.FlowConfig{Keepalive: api.KeepaliveConfig{After: 30 * time.Second, Interval: 10 * time.Second, Probes: 3}}})
			c.Alive()
			n := 0
			for range 120 {
				for _, s := range c.Drain(time.Second) {
					if !s.Has(RST) {
						n++
					}
				}
			}
			t.is("reason", c.Flow.CloseReason(), api.ErrKeepalive)
			if n != 3 {
				t.Fatalf("%d probes, want 3", n)
			}
		},
	},
	{
		ID: "rfc9293/MUST-30", Level: OnWire, Source: "RFC 9293 section 3.8.5", Title: "Urgent data, both ways", Needs: Urgent,
		Clause: "What is written as urgent is marked so on the wire, and what arrives so is announced; the stream has all of it in place.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			for range 3 {
				n := t.size(1, 1000)
				t.ok("urgent write", c.Flow.(api.UrgentFlow).WriteUrgent(t.Bound(), api.NewBuffer(pattern(c.written, n))))
				c.written += n
				end := uint32(c.written) + 1
				s := c.Got(time.Second, "urgent data", func(s *Segment) bool { return s.Has(URG) })
				if c.seqOf(s)+uint32(s.Urgent) != end {
					t.Fatalf("the urgent data end at %d: %s", end, s)
				}
				for c.rcv < end {
					c.Got(time.Second, "the rest", hasData)
				}
				c.AckAll()
				m := t.size(1, 1000)
				c.Send(ACK|PSH|URG, Data(m), Urg(uint16(m)))
				c.GotAck(time.Second, c.snd)
				if p := c.Flow.Info().UrgentPending; p != int64(m) {
					t.Fatalf("%d urgent bytes pending, %d came", p, m)
				}
				c.WantRead(m)
			}
			c.Alive()
		},
	},
	{
		ID: "rfc9293/MUST-32", Level: OnWire, Source: "RFC 9293 section 3.8.5", Title: "The caller is told of urgent data, unasked", Needs: Urgent | Readiness,
		Clause: "With nobody reading, the callback says ReadyUrgent when urgent data are announced, and again when their end advances.",
		Run: func(t *T) {
			told := 0
			c := t.Lab(nil).Accept(Hello{Flow: api.FlowConfig{Notify: func(_ api.Flow, r api.Readiness) {
				if r&api.ReadyUrgent != 0 {
					told++
				}
			}}})
			c.Send(ACK|PSH, Data(10))
			c.Drain(time.Second)
			if told != 0 {
				t.Fatalf("told of urgent data without any")
			}
			for i, u := range []int{100, 200, 40_000} {
				c.Send(ACK|URG, Urg(uint16(u)))
				c.Drain(time.Second)
				if told != i+1 {
					t.Fatalf("told %d times of %d announcements", told, i+1)
				}
			}
			c.WantRead(10)
		},
	},
	{
		ID: "rfc9293/MUST-33", Level: OnWire, Source: "RFC 9293 section 3.8.5", Title: "The caller can learn how much urgent data is left", Needs: Urgent,
		Clause: "Info.UrgentPending counts to the end of the urgent data, those not yet arrived included, and goes down as they are read.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			end := t.size(1000, 30_000)
			c.Send(ACK|PSH|URG, Data(100), Urg(uint16(end)))
			for c.read < end {
				if want := int64(end - c.read); c.Flow.Info().UrgentPending != want {
					t.Fatalf("%d urgent bytes pending, want %d", c.Flow.Info().UrgentPending, want)
				}
				if c.read == int(c.snd)-1 {
					c.Send(ACK|PSH, Data(t.size(1, min(1400, end-c.read))))
				}
				c.readSome()
				c.Drain(time.Millisecond)
			}
			if n := c.Flow.Info().UrgentPending; n != 0 {
				t.Fatalf("%d urgent bytes pending after the last was read", n)
			}
			c.Alive()
		},
	},
	{
		ID: "rfc9293/MUST-47", Level: OnWire, Source: "RFC 9293 section 3.9.1.8", Title: "Soft errors are reported", Needs: Readiness,
		Clause: "An ICMP error about data in flight, and many retransmissions, each reach the callback and Info.",
		Run: func(t *T) {
			w := t.Lab(nil)
			for i := range 3 {
				told := 0
				c := w.Accept(Hello{Flow: api.FlowConfig{Notify: func(_ api.Flow, r api.Readiness) {
					if r&api.ReadyError != 0 {
						told++
					}
				}}})
				c.Written(t.size(1, 500))
				s := c.Got(time.Second, "data", hasData)
				switch i {
				case 0:
					c.Inject(unreachable(s, c.Peer, 1, 1, 3))
				case 1:
					c.Inject(icmp(c.Peer, c.Host, 11, 0, 3, 0, 0, quote(s)))
				case 2:
					c.Drain(30 * time.Second)
				}
				c.Drain(time.Millisecond)
				if told == 0 || c.Flow.Info().SoftError == nil {
					t.Fatalf("error %d: told %d times, Info has %v", i, told, c.Flow.Info().SoftError)
				}
				c.AckAll()
				c.Drain(0)
				c.Alive()
			}
		},
	},
	{
		ID: "rfc9293/SHLD-20", Level: OnWire, Source: "RFC 9293 section 3.9.1.8", Title: "Reports can be switched off", Needs: Readiness,
		Clause: "A flow whose callback has been removed reports no more; before, it did.",
		Run: func(t *T) {
			told := 0
			c := t.Lab(nil).Accept(Hello{Flow: api.FlowConfig{Notify: func(_ api.Flow, r api.Readiness) {
				if r&api.ReadyError != 0 {
					told++
				}
			}}})
			c.Written(10)
			s := c.Got(time.Second, "data", hasData)
			c.Inject(unreachable(s, c.Peer, 1, 1, 3))
			c.Drain(time.Millisecond)
			before := told
			if before == 0 {
				t.Fatalf("never told")
			}
			t.ok("configure", c.Flow.Configure(func(f *api.FlowConfig) { f.Notify = nil }))
			c.Inject(icmp(c.Peer, c.Host, 11, 0, 3, 0, 0, quote(s)))
			c.Drain(time.Second)
			if told != before {
				t.Fatalf("told after the callback was removed")
			}
			c.AckAll()
			c.Drain(0)
			c.Alive()
		},
	},
	{
		ID: "rfc9293/SHLD-25", Level: OnWire, Source: "RFC 9293 section 3.9.2.2", Title: "A soft ICMP error is made known",
		Clause: "Info.SoftError tells which: each kind of soft error that quotes data in flight is there to read, and the connection goes on.",
		Run: func(t *T) {
			w := t.Lab(nil)
			for _, x := range [][4]uint8{{3, 0, 1, 0}, {3, 1, 1, 3}, {3, 5, 1, 0}, {11, 0, 3, 0}, {12, 0, 4, 0}} {
				c := w.Accept(Hello{})
				c.Written(t.size(1, 500))
				s := c.Got(time.Second, "data", hasData)
				if err := c.Flow.Info().SoftError; err != nil {
					t.Fatalf("a soft error before any: %v", err)
				}
				c.Inject(icmp(c.Peer, c.Host, x[0], x[1], x[2], x[3], 0, quote(s)))
				if c.Flow.Info().SoftError == nil {
					t.Fatalf("ICMP type %d code %d (IPv6: %d, %d) is not made known", x[0], x[1], x[2], x[3])
				}
				c.AckAll()
				c.Alive()
			}
		},
	},
	{
		ID: "rfc9293/MUST-54", Level: OnWire, Source: "RFC 9293 section 3.9.2.2", Title: "An ICMP error acts on the connection it quotes",
		Clause: "Of several connections between the same two hosts the one quoted hears of the error; a packet-too-big makes packets smaller.",
		Run: func(t *T) {
			w := t.Lab(nil)
			l := w.Listen(nil)
			var cs []*Conn
			for range 4 {
				cs = append(cs, w.Open(l, Hello{}))
			}
			k := t.rand.IntN(len(cs))
			var quoted *Segment
			for i, c := range cs {
				c.Written(3000)
				s := c.GotData(time.Second, 3001)[0]
				if i == k {
					quoted = s
				}
			}
			w.Inject(icmp(w.Peer, w.Host, 11, 0, 3, 0, 0, quote(quoted)))
			for i, c := range cs {
				if err := c.Flow.Info().SoftError; (err != nil) != (i == k) {
					t.Fatalf("connection %d has soft error %v; quoted was %d", i, err, k)
				}
			}
			w.Inject(packetTooBig(quoted, w.Peer, 1300))
			c := cs[k]
			c.Drain(time.Millisecond)
			c.AckAll()
			c.Written(3000)
			for _, s := range c.GotData(5*time.Second, 6001) {
				if s.PacketLen > 1300 {
					t.Fatalf("a packet of %d bytes after a packet-too-big of 1300", s.PacketLen)
				}
			}
			c.AckAll()
			c.Alive()
		},
	},
	{
		ID: "rfc9293/MUST-49", Level: OnWire, Source: "RFC 9293 section 3.9.2", Title: "The TTL is what the caller says",
		Clause: "A random TTL or hop limit stands in every packet of the connection, FIN and RST included; others keep the default.",
		Run: func(t *T) {
			w := t.Lab(nil)
			ttl := uint8(t.size(1, 255))
			c := w.Dial(Hello{Flow: api.FlowConfig{TTL: ttl}})
			other := w.Accept(Hello{})
			check := func(s *Segment) {
				if s.TTL != ttl {
					t.Fatalf("TTL %d, asked for %d: %s", s.TTL, ttl, s)
				}
			}
			check(c.syn)
			c.Written(10)
			check(c.Got(time.Second, "data", hasData))
			c.AckAll()
			c.Send(ACK|PSH, Data(10))
			check(c.GotAck(time.Second, 11))
			t.ok("CloseWrite", c.Flow.CloseWrite())
			check(c.GotFIN(time.Second))
			c.Flow.Abort()
			check(c.GotRST(time.Second))
			if ttl != other.syn.TTL && other.syn.TTL < 32 {
				t.Fatalf("the default TTL is %d", other.syn.TTL)
			}
		},
	},
	{
		ID: "rfc9293/SHLD-21", Level: OnWire, Source: "RFC 9293 section 3.9.1.9", Title: "The Diffserv field can be changed",
		Clause: "Each change by Configure stands in the very next packet.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			for range 5 {
				dscp := uint8(t.size(1, 63))
				t.ok("configure", c.Flow.Configure(func(f *api.FlowConfig) { f.DSCP = dscp }))
				c.Written(10)
				if s := c.Got(time.Second, "data", hasData); s.TOS>>2 != dscp {
					t.Fatalf("DSCP %d, set was %d: %s", s.TOS>>2, dscp, s)
				}
				c.AckAll()
			}
		},
	},
	{
		ID: "rfc9293/SHLD-22", Level: OnWire, Source: "RFC 9293 section 3.9.1.9", Title: "Every Diffserv value is passed unchanged",
		Clause: "Each of the 64 values comes out as it was set, beside the ECN field.",
		Run: func(t *T) {
			w := t.Lab(nil)
			for dscp := range uint8(64) {
				c := w.Accept(Hello{Flow: api.FlowConfig{DSCP: dscp}})
				c.Written(1)
				s := c.Got(time.Second, "data", hasData)
				if c.syn.TOS>>2 != dscp || s.TOS>>2 != dscp {
					t.Fatalf("DSCP %d and %d, set was %d", c.syn.TOS>>2, s.TOS>>2, dscp)
				}
				c.Flow.Abort()
				c.GotRST(time.Second)
			}
		},
	},
	{
		ID: "rfc9293/MAY-18", Level: OnWire, Source: "RFC 9293 section 3.8.2", Title: "The congestion control is named, and bounds what is sent", Needs: FlowInfo,
		Clause: "Info names the controller in force; a name that there is not is refused; what is in flight is within its window.",
		Run: func(t *T) {
			w := t.Lab(nil)
			_, err := w.Stack.Dial(t.Bound(), addrPort(w.Peer, 80), &api.FlowConfig{Congestion: "no-such-controller"})
			t.is("dial with an unknown controller", err, api.ErrInvalidConfig)
			c := w.Accept(Hello{MSS: 1000, Scale: 7})
			op := c.WriteLater(200_000)
			for c.rcv < 200_001 {
				from := c.rcv
				c.Drain(20 * time.Millisecond)
				if i := c.Flow.Info(); i.Congestion == "" || int64(c.rcv-from) > i.Cwnd+1000 {
					t.Fatalf("%d bytes in flight, window %d, controller %q", c.rcv-from, i.Cwnd, i.Congestion)
				}
				c.GotData(0, from+1) // the stream does not stop
				c.AckAll()
			}
			t.ok("write", op.Wait())
		},
	},
}

// flowCases are about windows, acknowledging and sending: sections 3.7.4, 3.8.6,
// 3.9.1.2 and 3.10.7.4.
var flowCases = []Case{
	{
		ID: "rfc9293/MUST-36", Level: OnWire, Source: "RFC 9293 section 3.8.6.1", Title: "A window that was zero from the start is probed",
		Clause: "A peer whose window is zero in its SYN is probed, and gets the data when it answers with a window.",
		Run: func(t *T) {
			w := t.Lab(nil)
			l := w.Listen(nil)
			c := w.newConn(Hello{})
			c.host = netip.AddrPortFrom(w.Host, l.Port)
			c.win = 0
			c.SYN()
			c.SYNACK()
			c.Send(ACK)
			f, err := l.Flows.Take(t.Bound())
			t.ok("accept", err)
			c.Flow = f
			n := t.size(1, 3000)
			c.Written(n)
			for range 3 {
				s := c.Got(2*time.Minute, "zero-window probe", func(s *Segment) bool { return !s.Has(RST) })
				if len(s.Payload) > 1 {
					t.Fatalf("%d bytes sent into a window of 0", len(s.Payload))
				}
				c.rcv = 1
				c.Send(ACK)
			}
			c.win = 65535
			c.AckAll()
			c.acks(10*time.Second, uint32(n)+1)
			c.Alive()
		},
	},
	{
		ID: "rfc9293/SHLD-29", Level: OnWire, Source: "RFC 9293 section 3.8.6.1", Title: "The first probe comes after one retransmission timeout",
		Clause: "With a measured round trip the first probe of a closed window comes no sooner than that and within about one RTO.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{Window: 5000})
			rtt := t.between(50*time.Millisecond, 400*time.Millisecond)
			for range 10 {
				c.Written(100)
				c.GotData(time.Second, c.rcv+100)
				t.Sleep(rtt)
				c.AckAll()
			}
			rto := c.Flow.Info().RTO
			c.Send(ACK, Win(0))
			c.Drain(0)
			start := t.clk.Now()
			c.Written(500)
			s := c.Got(time.Minute, "zero-window probe", func(s *Segment) bool { return !s.Has(RST) })
			if d := s.At.Sub(start); d < rtt || rto > 0 && (d < rto-50*time.Millisecond || d > 2*rto) || d > 4*time.Second {
				t.Fatalf("the first probe came after %v; the round trip is %v and the RTO %v", d, rtt, rto)
			}
			c.Send(ACK, Ack(1001), Win(5000))
			c.rcv = 1001
			c.acks(10*time.Second, 1501)
		},
	},
	{
		ID: "rfc9293/SHLD-30", Level: OnWire, Source: "RFC 9293 section 3.8.6.1", Title: "The interval between probes grows exponentially", Needs: VirtualTime,
		Real:   45 * time.Second,
		Clause: "Each interval is about twice the one before, up to a ceiling, whether the probes are answered or not.",
		Run: func(t *T) {
			w := t.Lab(nil)
			for _, answered := range []bool{true, false} {
				c := w.Accept(Hello{Window: 1000})
				c.Written(1000)
				c.GotData(time.Second, 1001)
				c.Send(ACK, Win(0))
				c.Drain(0)
				c.Written(500)
				at := []clockTime{t.clk.Now()}
				for range 6 {
					s := c.Got(3*time.Minute, "zero-window probe", func(s *Segment) bool { return !s.Has(RST) })
					at = append(at, s.At)
					c.rcv = 1001
					if answered {
						c.Send(ACK, Win(0))
					}
				}
				for i := 2; i < len(at); i++ {
					before, now := at[i-1].Sub(at[i-2]), at[i].Sub(at[i-1])
					if r := float64(now) / float64(before); now < 50*time.Second && (r < 1.5 || r > 2.5) {
						t.Fatalf("answered %v: probe %d came %v after the one before, that one %v after its own", answered, i, now, before)
					}
				}
			}
		},
	},
	{
		ID: "rfc9293/SHLD-15", Level: OnWire, Source: "RFC 9293 section 3.8.6", Title: "Nothing new beyond a window that has shrunk",
		Clause: "After the right edge has moved left, nothing that was not sent before goes out beyond it, until it moves right again.",
		Run: func(t *T) {
			t.Takes(time.Minute)
			c := t.Lab(nil).Accept(Hello{MSS: 1000, Window: 8000})
			c.Written(5000)
			c.GotData(time.Second, 5001)
			edge := uint32(t.size(2001, 5000))
			c.Send(ACK, Ack(1001), Win(uint16(edge-1001)))
			op := c.WriteLater(5000)
			for _, s := range c.Drain(30 * time.Second) {
				if end := c.seqOf(s) + uint32(len(s.Payload)); end > 5001 {
					t.Fatalf("bytes up to %d, never sent before, beyond the edge at %d", end, edge)
				}
			}
			for i := 0; c.rcv < 10_001; i++ {
				c.Send(ACK, Ack(max(c.rcv, 5001)), Win(8000))
				c.rcv = max(c.rcv, 5001)
				c.Drain(10 * time.Second)
				if i > 50 {
					t.Fatalf("the transfer does not complete: at %d", c.rcv)
				}
			}
			t.ok("write", op.Wait())
		},
	},
	{
		ID: "rfc9293/SHLD-16", Level: OnWire, Source: "RFC 9293 section 3.8.6", Title: "Within a window that has shrunk old data are retransmitted",
		Real:   40 * time.Second,
		Clause: "Of what is outstanding that which lies before the new edge is sent again, from the first byte on.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{MSS: 1000, Window: 8000})
			c.Written(6000)
			c.GotData(time.Second, 6001)
			from := uint32(1 + 1000*t.size(0, 2))
			edge := from + 2000
			c.Send(ACK, Ack(from), Win(uint16(edge-from)))
			c.rcv = from
			s := c.Got(30*time.Second, "retransmission", hasData)
			if c.seqOf(s) != from || c.seqOf(s)+uint32(len(s.Payload)) > edge {
				t.Fatalf("retransmitted %s; outstanding from %d, edge %d", s, from, edge)
			}
			for i := 0; c.rcv < 6001; i++ {
				c.Send(ACK, Win(8000))
				c.Drain(10 * time.Second)
				if i > 50 {
					t.Fatalf("the transfer does not complete: at %d", c.rcv)
				}
			}
			c.Send(ACK, Win(8000))
		},
	},
	{
		ID: "rfc9293/MAY-8", Level: OnWire, Source: "RFC 9293 section 3.8.6.1", Title: "A window may stay closed for ever",
		Clause: "With nobody reading for two days the window stays zero, every probe of it is answered, and then everything is there.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{Flow: api.FlowConfig{ReceiveBuffer: 16 << 10}})
			c.fillWindow()
			for range 48 {
				t.Sleep(time.Hour)
				c.Send(ACK, Seq(c.snd-1))
				s := c.Got(time.Second, "answer to a probe", func(s *Segment) bool { return s.Has(ACK) })
				if s.Has(RST) || c.windowOf(s) != 0 || c.ackOf(s) != c.snd {
					t.Fatalf("a probe of the closed window got %s", s)
				}
			}
			c.WantRead(int(c.snd) - 1)
			c.Drain(time.Second)
			c.Alive()
		},
	},
	{
		ID: "rfc9293/MUST-58", Level: OnWire, Source: "RFC 9293 section 3.10.7.4", Title: "ACKs are aggregated",
		Clause: "Of a steady stream of full segments, one after the other, not each gets an ACK of its own.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			t.Sleep(time.Minute)
			n, acks := 60, 0
			reader := Start(t, "read", func() bool { t.WantPattern(c.Flow, 0, n*c.hello.MSS); return true })
			for range n {
				c.Send(ACK|PSH, Data(c.hello.MSS))
				for _, s := range c.Drain(200 * time.Microsecond) {
					if s.PureACK() {
						acks++
					}
				}
			}
			acks += len(c.Drain(time.Second))
			reader.Wait()
			if acks < 5 || acks > n*3/4 {
				t.Fatalf("%d ACKs for %d segments", acks, n)
			}
			c.read = n * c.hello.MSS
			c.Alive()
		},
	},
	{
		ID: "rfc9293/SHLD-18", Level: OnWire, Source: "RFC 9293 section 3.8.6.3", Title: "ACKs are delayed",
		Clause: "Past the beginning of a connection the ACK of a lone segment waits a while, so that data can carry it.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			for range 40 {
				c.Send(ACK|PSH, Data(t.size(1, 500)))
				c.GotAck(time.Second, c.snd)
				c.WantRead(int(c.snd) - 1 - c.read)
				t.Sleep(50 * time.Millisecond)
			}
			late := 0
			for range 10 {
				start := t.clk.Now()
				c.Send(ACK|PSH, Data(t.size(1, 500)))
				if c.GotAck(499*time.Millisecond, c.snd).At > start {
					late++
				}
				c.WantRead(int(c.snd) - 1 - c.read)
				t.Sleep(50 * time.Millisecond)
			}
			if late < 5 {
				t.Fatalf("%d of 10 ACKs were delayed", late)
			}
		},
	},
	{
		ID: "rfc9293/SHLD-31", Level: OnWire, Source: "RFC 9293 section 3.10.7.4", Title: "Segments out of order are queued",
		Clause: "Segments in random order, each once, make the whole stream: nothing has to be sent again.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			var cuts []uint32
			at := uint32(1)
			for range 20 {
				cuts = append(cuts, at)
				at += uint32(t.size(1, 1400))
			}
			cuts = append(cuts, at)
			for _, i := range t.rand.Perm(len(cuts) - 1) {
				c.Send(ACK|PSH, Seq(cuts[i]), Data(int(cuts[i+1]-cuts[i])))
			}
			c.GotAck(time.Second, at)
			c.snd = at
			c.WantRead(int(at) - 1)
			c.Alive()
		},
	},
	{
		ID: "rfc9293/MAY-13", Level: OnWire, Source: "RFC 9293 section 3.10.7.4", Title: "A segment out of order is acknowledged at once",
		Clause: "The ACK, of what was expected, comes in the same instant, for each of several.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			t.Sleep(time.Minute)
			for range 5 {
				c.Send(ACK|PSH, Seq(c.snd+uint32(t.size(1, 20_000))), Bytes([]byte{1}))
				if s := c.Got(0, "duplicate ACK", func(s *Segment) bool { return s.PureACK() }); c.ackOf(s) != c.snd {
					t.Fatalf("the ACK is %d, expected is %d", c.ackOf(s), c.snd)
				}
			}
		},
	},
	{
		ID: "rfc9293/MAY-12", Level: OnWire, Source: "RFC 9293 section 3.10.7.4; RFC 5961 section 5", Title: "Data with an ACK number far off are not taken",
		Real:   40 * time.Second,
		Clause: "A blind attacker's data, with an ACK outside what is acceptable, never reach the reader.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{Window: 10_000})
			c.Alive()
			for range 20 {
				t.Sleep(time.Second)
				c.Drain(0)
				off := uint32(t.size(20_000, 1<<31-1)) // before SND.UNA by more than the window, or beyond SND.NXT
				if t.rand.IntN(2) == 0 {
					off = -off
				}
				c.Send(ACK|PSH, Seq(c.snd), Ack(c.rcv+off), Bytes([]byte("evil!")))
			}
			c.Drain(2 * time.Second)
			c.Alive()
		},
	},
	{
		ID: "rfc9293/MUST-61", Level: OnWire, Source: "RFC 9293 section 3.9.1.2", Title: "The last segment that is queued carries PSH",
		Clause: "However the writes were, also when the window lets the queue out in parts, its end has PSH.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{Window: 4000})
			for range 5 {
				c.Send(ACK, Win(0))
				c.Drain(0)
				n := 0
				for range t.size(1, 10) {
					k := t.size(1, 800)
					c.Written(k)
					n += k
				}
				end := c.rcv + uint32(n)
				c.AckAll()
				for {
					s := c.Got(10*time.Second, "data", hasData)
					if c.seqOf(s)+uint32(len(s.Payload)) == end {
						if !s.Has(PSH) {
							t.Fatalf("the last of %d bytes queued has no PSH: %s", n, s)
						}
						break
					}
					c.AckAll()
				}
			}
		},
	},
	{
		ID: "rfc9293/SHLD-28", Level: OnWire, Source: "RFC 9293 section 3.9.1.2", Title: "Segments are full where there is enough",
		Clause: "Of a large write all segments but the last have the full size, for any size that the peer takes.",
		Run: func(t *T) {
			w := t.Lab(nil)
			for range 3 {
				mss := t.size(200, 1400)
				c := w.Accept(Hello{MSS: mss})
				n := t.size(5*mss, 9*mss)
				c.Written(n)
				segs := c.GotData(time.Second, uint32(n)+1)
				for _, s := range segs[:len(segs)-1] {
					if len(s.Payload) != mss {
						t.Fatalf("a segment of %d bytes with an MSS of %d and %d bytes queued", len(s.Payload), mss, n)
					}
				}
				c.AckAll()
			}
		},
	},
	{
		ID: "rfc9293/MAY-16", Level: OnWire, Source: "RFC 9293 section 3.9.1.2", Title: "Small writes behind unacknowledged data are aggregated",
		Clause: "Twenty writes of a few bytes while one is unacknowledged leave as one segment.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{Nagle: true})
			c.Written(1)
			c.GotData(0, 2)
			n := 0
			for range 20 {
				k := t.size(1, 40)
				c.Written(k)
				n += k
			}
			c.AckAll()
			if segs := c.GotData(time.Second, uint32(n)+2); len(segs) != 1 {
				t.Fatalf("%d bytes of 20 writes left in %d segments", n, len(segs))
			}
			c.AckAll()
		},
	},
	{
		ID: "rfc9293/MAY-1", Level: OnWire, Source: "RFC 9293 section 3.6.1", Title: "A flow can be closed both ways at once", Needs: Orphaning,
		Clause: "Given up in both directions, the flow still sends what was written, then FIN; its calls fail, and it takes no more data.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			n := t.size(1, 5000)
			c.Written(n)
			c.Flow.(api.Orphaner).Orphan()
			t.WantEOF(c.Flow)
			t.is("write", c.Flow.Write(t.Bound(), api.CopyBuffer([]byte("x"))), api.ErrClosed)
			c.acks(time.Second, uint32(n)+2) // FIN included
			c.Send(ACK|PSH, Data(10))
			c.GotRST(time.Second)
		},
	},
}

// sourceRoute is an IPv4 option of loose source routing towards a.
func sourceRoute(a netip.Addr) []byte {
	b := append([]byte{131, 7, 4}, a.AsSlice()...)
	return append(b, 0)
}

// leftoverCases are RFC 1122, sections 3.2 and 3.3.
var leftoverCases = []Case{
	{
		ID: "rfc1122/3.2.1.1-version", Level: OnWire, Source: "RFC 1122 section 3.2.1.1", Title: "A version that is none is dropped",
		Clause: "Packets whose version is neither 4 nor 6, or not that of their header, get no answer and do no harm.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			good := encode(c.build(ACK|PSH, Seq(1), Data(10)))
			t.oracle.pause(true)
			for v := range byte(16) {
				if v == good[0]>>4 {
					continue
				}
				raw := slices.Clone(good)
				raw[0] = raw[0]&15 | v<<4
				if v != 4 && !t.V6() || v != 6 && t.V6() {
					c.Inject(raw)
				}
			}
			t.oracle.pause(false)
			c.None(time.Second, "answer to a packet of no version", anySegment)
			c.Alive()
		},
	},
	{
		ID: "rfc1122/3.2.2-no-error", Level: OnWire, Source: "RFC 1122 section 3.2.2; RFC 4443 section 2.4", Title: "No error about an error",
		Clause: "ICMP errors of any kind, also about nothing known, and packets to groups get no ICMP error; a ping is answered all the while.",
		Run: func(t *T) {
			w := t.Lab(nil)
			s := &Segment{Src: addrPort(w.Host, 7), Dst: addrPort(w.Peer, 7), Flags: ACK, Seq: 5, Ack: 6}
			for typ := range uint8(41) {
				if typ == 8 || typ == 13 || typ == 15 || typ == 17 || typ == 10 {
					continue // requests
				}
				w.Inject(icmp(w.Peer, w.Host, typ, 0, typ, 0, 0, quote(s)))
				if raw := w.Packet(time.Millisecond); raw != nil {
					t.Fatalf("an ICMP message of type %d was answered: %s", typ, describe(raw))
				}
			}
			w.Inject(echoRequest(w.Peer, w.Host, 9, []byte("alive")))
			if w.Packet(time.Second) == nil {
				t.Fatalf("a ping is not answered")
			}
		},
	},
	{
		ID: "rfc1122/3.3.2-timeout", Level: OnWire, Source: "RFC 1122 section 3.3.2", Title: "Fragments are not kept for ever",
		Clause: "The rest of a datagram that comes minutes later completes nothing; within seconds it does.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			for i, d := range []time.Duration{5 * time.Second, 5 * time.Minute} {
				raw := encode(c.build(ACK|PSH, Seq(c.snd), Data(900)))
				f := fragments(raw, 8*t.size(10, 50), uint32(t.rand.Uint32()))
				last := len(f) - 1
				c.Inject(f[:last]...)
				t.Sleep(d)
				c.Drain(0)
				c.Inject(f[last])
				if i == 0 {
					c.snd += 900
					c.GotAck(time.Second, c.snd)
					c.WantRead(900)
					continue
				}
				c.None(time.Second, "ACK of a datagram whose first parts are old", anySegment)
			}
			c.Alive()
		},
	},
	{
		ID: "ip/source-route", Level: OnWire, Source: "RFC 7126 section 4.3; RFC 9293 section 3.9.2.1", Title: "A source route is not followed", Family: IPv4,
		Clause: "A packet with a loose source route is dropped: nothing is sent along the route, or back by it.",
		Run: func(t *T) {
			t.Takes(10 * time.Second)
			w := t.Lab(nil)
			l := w.Listen(nil)
			for _, s := range []*Segment{
				{Src: addrPort(w.Peer, 7000), Dst: addrPort(w.Host, l.Port), Flags: SYN, Seq: 1, Window: 1000},
				{Src: addrPort(w.Peer, 7001), Dst: addrPort(w.Host, 9), Flags: SYN, Seq: 1, Window: 1000},
			} {
				w.Inject(withIPOptions(encode(s), sourceRoute(netip.MustParseAddr("192.0.2.55"))))
			}
			end := t.clk.Now().Add(10 * time.Second)
			for s := w.next(end); s != nil; s = w.next(end) {
				if s.Dst.Addr() != w.Peer {
					t.Fatalf("the route was followed: %s", s)
				}
				if isSYNACK(s) {
					t.Fatalf("a connection by a source route: %s", s)
				}
			}
			w.Open(l, Hello{}).Alive()
		},
	},
}

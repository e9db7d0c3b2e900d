package conformance

import (
	"net/netip"
	"time"

	"github.com/sluicenet/sluice/api"
)

// closingCases are RFC 9293, section 3.6, and the closing states of 3.10.7.4.
var closingCases = []Case{
	{
		ID: "rfc9293/MUST-12", Level: OnWire, Source: "RFC 9293 section 3.6 (MUST-12)", Title: "A caller can tell a close from an abort",
		Clause: "A FIN ends the stream in order, a RST does not: the two give different results to a blocked reader and in CloseReason.",
		Run: func(t *T) {
			w := t.Lab(nil)
			for _, reset := range []bool{false, true} {
				c := w.Accept(Hello{})
				op := Start(t, "read", func() error { _, err := c.Flow.Read(t.Bound()); return err })
				op.Blocked("nothing was sent")
				if reset {
					c.Send(RST)
					t.is("read", op.Wait(), api.ErrReset)
					t.is("reason", c.Flow.CloseReason(), api.ErrReset)
				} else {
					c.Send(FIN | ACK)
					if err := op.Wait(); err.Error() != "EOF" {
						t.Fatalf("read: %v", err)
					}
					if err := c.Flow.CloseReason(); err != nil {
						t.Fatalf("reason: %v", err)
					}
				}
			}
		},
	},
	{
		ID: "rfc9293/MUST-13", Level: OnWire, Source: "RFC 9293 section 3.6.1 (MUST-13)", Title: "The active closer stays in TIME-WAIT",
		Clause: "For a minute by default the end of the connection is remembered: a repeated FIN is acknowledged, and afterwards it is unknown.",
		Run: func(t *T) {
			c := t.Lab(nil).InState(api.StateTimeWait)
			t.Sleep(55 * time.Second)
			c.Drain(0)
			c.Send(ACK)
			c.None(0, "RST: TIME-WAIT is over too early", isRST)
			t.Sleep(4 * time.Minute)
			c.Ended()
		},
	},
	{
		ID: "rfc9293/3.10.7.4-time-wait-restart", Level: OnWire, Source: "RFC 9293 section 3.10.7.4 (eighth)", Title: "A FIN in TIME-WAIT is acknowledged and restarts the wait",
		Clause: "After a repeated FIN the 2 MSL begin anew.",
		Run: func(t *T) {
			c := t.Lab(nil).InState(api.StateTimeWait)
			t.Sleep(40 * time.Second)
			c.Drain(0)
			c.Send(FIN|ACK, Seq(c.snd-1))
			c.GotAck(time.Second, c.snd)
			t.Sleep(40 * time.Second)
			c.Send(FIN|ACK, Seq(c.snd-1))
			c.GotAck(time.Second, c.snd)
		},
	},
	{
		ID: "rfc1337/time-wait-rst", Level: OnWire, Source: "RFC 1337 section 3", Title: "A RST does not end TIME-WAIT",
		Clause: "In TIME-WAIT a RST, old data and old ACKs are harmless: the state stays.",
		Run: func(t *T) {
			c := t.Lab(nil).InState(api.StateTimeWait)
			c.Send(RST)
			c.Send(RST, Seq(c.snd-1))
			t.Sleep(2 * time.Second)
			c.Drain(0)
			c.Send(FIN|ACK, Seq(c.snd-1))
			s := c.Got(time.Second, "ACK of the repeated FIN", anySegment)
			if s.Has(RST) || c.ackOf(s) != c.snd {
				t.Fatalf("after a RST in TIME-WAIT: %s", s)
			}
		},
	},
	{
		ID: "rfc6191/reuse", Level: OnWire, Source: "RFC 6191; RFC 9293 section 3.6.1 (MAY-2, SHLD-4)", Title: "A new SYN may end TIME-WAIT, an old one not",
		Clause: "A SYN beyond the last sequence number, or with a newer timestamp, opens a new connection at once; one before it does not.",
		Run: func(t *T) {
			w := t.Lab(nil)
			for _, ts := range []bool{false, true} {
				l := w.Listen(nil)
				c := w.Open(l, Hello{TS: ts})
				t.ok("CloseWrite", c.Flow.CloseWrite())
				c.GotFIN(time.Second)
				c.Send(FIN | ACK)
				c.GotAck(time.Second, c.snd)
				t.Sleep(5 * time.Second)
				old := c.build(SYN, Seq(c.snd-1000), Opts(optMSS(1460)))
				if ts {
					old = c.build(SYN, Seq(c.snd-1000), Opts(optMSS(1460)), Opts(optTimestamps(c.tsNow()-10_000, 0)))
				}
				c.Inject(encode(old))
				for _, s := range c.Drain(time.Second) {
					if isSYNACK(s) {
						t.Fatalf("an old SYN was accepted in TIME-WAIT: %s", s)
					}
				}
				again := w.newConn(Hello{TS: ts, Port: c.peer.Port(), ISS: c.iss + c.snd + 100_000})
				if ts {
					again.iss = c.iss + c.snd - 5000 // older, but with a newer timestamp
				}
				again.host = c.host
				again.SYN()
				again.SYNACK()
				if d := int32(again.irs - (c.irs + c.rcv)); d <= 0 {
					t.Fatalf("the new initial sequence number lies %d before the end of the old connection", -d)
				}
				again.Send(ACK)
				f, err := l.Flows.Take(t.Bound())
				t.ok("accept", err)
				again.Flow = f
				again.Alive()
			}
		},
	},
	{
		ID: "rfc9293/simultaneous-close", Level: OnWire, Source: "RFC 9293 section 3.6 (case 3)", Title: "Simultaneous close goes through CLOSING",
		Clause: "Crossing FINs are acknowledged; Close returns when ours has been acknowledged, and TIME-WAIT follows.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			op := Start(t, "close", func() error { return c.Flow.Close(t.Bound()) })
			c.GotFIN(time.Second)
			c.Send(FIN|ACK, Ack(c.rcv-1)) // before ours came
			c.GotAck(time.Second, c.snd)
			op.Blocked("our FIN has not been acknowledged")
			c.Drain(0)
			c.AckAll()
			t.ok("close", op.WaitFor(time.Second))
			t.Sleep(2 * time.Second)
			c.Drain(0)
			c.Send(FIN|ACK, Seq(c.snd-1))
			c.GotAck(time.Second, c.snd)
		},
	},
	{
		ID: "rfc9293/passive-close", Level: OnWire, Source: "RFC 9293 section 3.6 (case 2)", Title: "The passive closer ends in LAST-ACK, without TIME-WAIT",
		Clause: "After the peer's FIN we may still send; then our FIN, and with its ACK the connection is gone.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			c.Send(FIN | ACK)
			c.GotAck(time.Second, c.snd)
			c.Written(3000)
			c.GotData(time.Second, 3001)
			c.AckAll()
			op := Start(t, "close", func() error { return c.Flow.Close(t.Bound()) })
			s := c.GotFIN(time.Second)
			if c.seqOf(s)+uint32(len(s.Payload)) != 3001 {
				t.Fatalf("FIN at %d, the data ends at 3001", c.seqOf(s)+uint32(len(s.Payload)))
			}
			op.Blocked("our FIN has not been acknowledged")
			c.Drain(0)
			c.AckAll()
			t.ok("close", op.WaitFor(time.Second))
			c.Ended()
		},
	},
	{
		ID: "rfc9293/fin-with-data", Level: OnWire, Source: "RFC 9293 section 3.10.7.4", Title: "FIN together with data, and out of order",
		Clause: "A FIN takes effect when everything before it has come: data with it is read first, and one that comes early waits.",
		Run: func(t *T) {
			w := t.Lab(nil)
			c := w.Accept(Hello{})
			c.Send(FIN|PSH|ACK, Data(100))
			c.GotAck(time.Second, 102)
			c.WantRead(100)
			t.WantEOF(c.Flow)

			c = w.Accept(Hello{})
			c.Send(FIN|ACK, Seq(1001), Data(500)) // 1..1000 is missing
			s := c.Got(time.Second, "duplicate ACK", func(s *Segment) bool { return s.PureACK() })
			if c.ackOf(s) != 1 {
				t.Fatalf("acknowledged %d over a hole", c.ackOf(s))
			}
			if st := c.Flow.Info().State; st != api.StateEstablished {
				t.Fatalf("state %v by a FIN beyond a hole", st)
			}
			c.Send(ACK|PSH, Seq(1), Data(1000))
			c.GotAck(time.Second, 1502)
			c.WantRead(1500)
			t.WantEOF(c.Flow)
			c.snd = 1502
			c.Written(10) // the other direction is still open
			c.GotData(time.Second, 11)
		},
	},
	{
		ID: "rfc9293/data-after-fin", Level: OnWire, Source: "RFC 9293 section 3.10.7.4 (seventh)", Title: "Data after the peer's FIN is not taken",
		Clause: "In CLOSE-WAIT segment text beyond the FIN is ignored.",
		Run: func(t *T) {
			c := t.Lab(nil).InState(api.StateCloseWait)
			c.Send(ACK|PSH, Seq(c.snd), Bytes([]byte("ghost")))
			for _, s := range c.Drain(2 * time.Second) {
				if c.ackOf(s) != c.snd {
					t.Fatalf("data after the FIN was acknowledged: %s", s)
				}
			}
			t.WantEOF(c.Flow)
		},
	},
	{
		ID: "rfc9293/fin-retransmission", Level: OnWire, Source: "RFC 9293 section 3.6, 3.8.1", Title: "Our FIN is retransmitted until it is acknowledged",
		Clause: "A lost FIN goes out again with the same sequence number; Close waits for it.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			op := Start(t, "close", func() error { return c.Flow.Close(t.Bound()) })
			first := c.GotFIN(time.Second)
			for range 3 {
				if s := c.GotFIN(10 * time.Second); s.Seq != first.Seq {
					t.Fatalf("the FIN was %s, again %s", first, s)
				}
			}
			c.Send(FIN | ACK)
			t.ok("close", op.WaitFor(time.Second))
		},
	},
	{
		ID: "rfc9293/half-close-data", Level: OnWire, Source: "RFC 9293 section 3.6; contract C3", Title: "Data in FIN-WAIT-1 and FIN-WAIT-2 is received",
		Clause: "After our FIN, before and after its acknowledgment, the peer's data is acknowledged and read.",
		Run: func(t *T) {
			c := t.Lab(nil).InState(api.StateFinWait1)
			c.Send(ACK|PSH, Ack(c.rcv-1), Data(100))
			c.GotAck(time.Second, 101)
			c.WantRead(100)
			c.AckAll() // FIN-WAIT-2
			c.Send(ACK|PSH, Data(100))
			c.GotAck(time.Second, 201)
			c.WantRead(100)
			c.Send(FIN|PSH|ACK, Data(100))
			c.GotAck(time.Second, 302)
			c.WantRead(100)
			t.WantEOF(c.Flow)
		},
	},
	{
		ID: "rfc9293/last-ack-lost", Level: OnWire, Source: "RFC 9293 section 3.8.3; 3.10.8", Title: "LAST-ACK and CLOSING end though nobody answers",
		Clause: "A peer that vanishes after its FIN cannot hold the connection for ever.",
		Run: func(t *T) {
			t.Takes(time.Hour)
			w := t.Lab(nil)
			for _, state := range []api.State{api.StateLastAck, api.StateClosing, api.StateFinWait1} {
				c := w.InState(state)
				start := t.clk.Now()
				for c.Flow.Info().State != api.StateClosed && t.clk.Now().Sub(start) < time.Hour {
					c.Drain(time.Second)
				}
				if st := c.Flow.Info().State; st != api.StateClosed {
					t.Fatalf("still in %v an hour after the peer vanished in %v", st, state)
				}
				c.Ended()
			}
		},
	},
	{
		ID: "rfc9293/SHLD-3", Level: OnWire, Source: "RFC 9293 section 3.6.1 (SHLD-3, MAY-1)", Title: "Data that nobody will read is answered by a reset", Needs: Orphaning,
		Clause: "When both directions were given up at once (api.Orphaner), data that was left unread, or comes later, gets a RST; without any, the close is orderly, and FIN-WAIT-2 is timed.",
		Run: func(t *T) {
			w := t.Lab(nil)
			orphan := func(c *Conn) {
				o, ok := c.Flow.(api.Orphaner)
				if !ok {
					t.Fatalf("the flows cannot be orphaned")
				}
				o.Orphan()
			}
			c := w.Accept(Hello{})
			c.Send(ACK|PSH, Data(100))
			c.GotAck(time.Second, 101)
			orphan(c)
			c.GotRST(time.Second)

			c = w.Accept(Hello{})
			c.Written(100)
			orphan(c)
			c.GotFIN(time.Second)
			c.AckAll()
			c.Send(ACK|PSH, Data(100))
			c.GotRST(time.Second)

			c = w.Accept(Hello{})
			orphan(c)
			c.GotFIN(time.Second)
			c.Send(FIN | ACK)
			s := c.GotAck(time.Second, c.snd)
			if s.Has(RST) {
				t.Fatalf("an orderly close of an orphan got %s", s)
			}

			c = w.Accept(Hello{})
			orphan(c)
			c.GotFIN(time.Second)
			c.AckAll()
			t.Sleep(10 * time.Minute) // FIN-WAIT-2 of an orphan does not last
			c.Ended()
		},
	},
}

// keepaliveWireCases are RFC 9293, section 3.8.4.
var keepaliveWireCases = []Case{
	{
		ID: "rfc9293/MUST-25", Level: OnWire, Source: "RFC 9293 section 3.8.4 (MUST-24, MUST-25)", Title: "Keep-alive is off unless asked for",
		Clause: "An idle connection sends nothing for a week, and a dead peer goes unnoticed.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			c.None(7*24*time.Hour, "segment on an idle connection", anySegment)
			c.Alive()
		},
	},
	{
		ID: "rfc9293/SHLD-12", Level: OnWire, Source: "RFC 9293 section 3.8.4 (SHLD-12, MUST-27)", Title: "A probe is an old ACK without data",
		Clause: "Probes carry SND.NXT-1, no data (or one octet at most), come at the interval asked for, and stop when answered.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{Flow: api.FlowConfig{Keepalive: api.KeepaliveConfig{After: 20 * time.Second, Interval: 3 * time.Second, Probes: 5}}})
			start := t.clk.Now()
			for i := range 3 {
				s := c.Got(time.Minute, "probe", anySegment)
				if c.seqOf(s) != c.rcv-1 || len(s.Payload) > 1 || s.Flags&(SYN|FIN|RST) != 0 || c.ackOf(s) != c.snd {
					t.Fatalf("probe: %s", s)
				}
				want := 20*time.Second + time.Duration(i)*3*time.Second
				if at := s.At.Sub(start); at < want-time.Second || at > want+time.Second {
					t.Fatalf("probe %d came at %v, want %v", i+1, at, want)
				}
			}
			c.AckAll()
			c.None(19*time.Second, "probe before the connection was idle again", anySegment)
			s := c.Got(2*time.Second, "probe", anySegment)
			if c.seqOf(s) != c.rcv-1 {
				t.Fatalf("probe: %s", s)
			}
			c.AckAll()
			c.Alive()
		},
	},
	{
		ID: "rfc9293/MUST-26", Level: OnWire, Source: "RFC 9293 section 3.8.4 (MUST-26)", Title: "No probes while data is outstanding or the peer talks",
		Clause: "Received segments postpone the probe; outstanding data is the retransmission timer's affair.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{Flow: api.FlowConfig{Keepalive: api.KeepaliveConfig{After: 20 * time.Second, Interval: 3 * time.Second, Probes: 5}}})
			for range 10 {
				c.AckAll()
				c.None(15*time.Second, "probe though the peer talks", anySegment)
			}
			c.AckAll()
			c.Written(100)
			c.GotData(0, 101)
			for _, s := range c.Drain(30 * time.Second) {
				if !hasData(s) {
					t.Fatalf("while data was outstanding there came %s", s)
				}
			}
			c.AckAll()
			c.Alive()
		},
	},
	{
		ID: "rfc9293/MUST-28", Level: OnWire, Source: "RFC 9293 section 3.8.4 (MUST-28)", Title: "The default interval is two hours at least",
		Clause: "With default keepalive nothing is sent for two hours of idleness, then a probe.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{Flow: api.FlowConfig{Keepalive: api.KeepaliveConfig{}}})
			c.None(2*time.Hour-time.Second, "segment in the first two hours", anySegment)
			c.Got(10*time.Second, "probe", anySegment)
		},
	},
	{
		ID: "rfc9293/MUST-29", Level: OnWire, Source: "RFC 9293 section 3.8.4 (MUST-29)", Title: "One unanswered probe does not kill",
		Clause: "A connection whose first probes are lost and whose third is answered lives on; one without any answer ends.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{Flow: api.FlowConfig{Keepalive: api.KeepaliveConfig{After: 20 * time.Second, Interval: 3 * time.Second, Probes: 3}}})
			c.Got(time.Minute, "probe", anySegment)
			c.Got(time.Minute, "probe", anySegment)
			c.Got(time.Minute, "probe", anySegment)
			c.Alive()
			c.Drain(28 * time.Second)
			if err := c.Flow.CloseReason(); err != nil {
				t.Fatalf("ended one interval too early: %v", err)
			}
			c.Drain(3 * time.Second)
			t.is("reason", c.Flow.CloseReason(), api.ErrKeepalive)
		},
	},
	{
		ID: "rfc9293/keepalive-answer", Level: OnWire, Source: "RFC 9293 section 3.8.4, 3.10.7.4", Title: "The peer's probes are answered",
		Clause: "A segment at RCV.NXT-1, without data or with one old octet, gets an ACK, and each one again.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			c.Alive()
			for range 3 {
				for _, n := range []int{0, 1} {
					t.Sleep(30 * time.Second)
					c.Drain(0)
					c.Send(ACK, Seq(c.snd-1), Data(n))
					c.GotAck(time.Second, c.snd)
				}
			}
			c.Alive()
		},
	},
}

// urgentCases are RFC 9293, section 3.8.5.
var urgentCases = []Case{
	{
		ID: "rfc9293/MUST-62", Level: OnWire, Source: "RFC 9293 section 3.8.5 (MUST-30, MUST-62); RFC 6093", Title: "The urgent pointer names the octet after the urgent data", Needs: Urgent,
		Clause: "WriteUrgent sends its data in the stream with URG, the pointer counting from the segment's sequence number to the octet after the last urgent one.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			c.Written(5)
			c.GotData(time.Second, 6)
			c.AckAll()
			t.ok("urgent write", c.Flow.(api.UrgentFlow).WriteUrgent(t.Bound(), api.NewBuffer(pattern(5, 10))))
			c.written = 15
			s := c.Got(time.Second, "urgent data", hasData)
			if !s.Has(URG) || c.seqOf(s)+uint32(s.Urgent) != 16 {
				t.Fatalf("the urgent data ends before 16; the pointer names %d: %s", c.seqOf(s)+uint32(s.Urgent), s)
			}
			c.AckAll()
			c.Alive()
		},
	},
	{
		ID: "rfc9293/urgent-zero-window", Level: OnWire, Source: "RFC 9293 section 3.8.5, 3.4 (MUST-66)", Title: "Urgent news passes a closed window, both ways", Needs: Urgent,
		Clause: "With the peer's window closed WriteUrgent announces itself at once; with ours closed the peer's announcement is heard.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{Window: 1000, Flow: api.FlowConfig{ReceiveBuffer: 8 << 10}})
			c.Written(1000)
			c.GotData(time.Second, 1001)
			c.Send(ACK, Win(0))
			c.Drain(0)
			t.ok("urgent write", c.Flow.(api.UrgentFlow).WriteUrgent(t.Bound(), api.NewBuffer(pattern(1000, 10))))
			c.written = 1010
			s := c.Got(0, "announcement of urgent data", func(s *Segment) bool { return s.Has(URG) })
			if c.seqOf(s)+uint32(s.Urgent) != 1011 || len(s.Payload) > 0 {
				t.Fatalf("announced: %s", s)
			}
			c.fillWindow()
			unread := int64(c.snd) - 1
			c.Send(ACK|URG, Urg(100))
			if n := c.Flow.Info().UrgentPending; n != unread+100 {
				t.Fatalf("%d urgent bytes pending, announced are %d unread and 100 more", n, unread)
			}
		},
	},
	{
		ID: "rfc9293/MUST-31", Level: OnWire, Source: "RFC 9293 section 3.8.5 (MUST-31, MUST-32, MUST-33)", Title: "Urgent data of any length is announced to the caller", Needs: Urgent | Readiness,
		Clause: "The callback says ReadyUrgent when urgent data appears and when its end moves; Info.UrgentPending counts down as it is read; the bytes are in the stream.",
		Run: func(t *T) {
			calls := 0
			c := t.Lab(nil).Accept(Hello{Flow: api.FlowConfig{Notify: func(_ api.Flow, r api.Readiness) {
				if r&api.ReadyUrgent != 0 {
					calls++
				}
			}}})
			for _, x := range []struct{ n, urg int }{{1, 1}, {100, 5000}, {3, 60_000}} {
				before := calls
				c.Send(ACK|PSH|URG, Data(x.n), Urg(uint16(x.urg)))
				c.Drain(time.Millisecond)
				if calls == before {
					t.Fatalf("urgent data of %d bytes was not announced", x.urg)
				}
				if n := c.Flow.Info().UrgentPending; n < int64(x.urg) {
					t.Fatalf("%d urgent bytes pending, %d announced", n, x.urg)
				}
			}
			c.WantRead(104)
			end := int64(1 + 1 + 100 + 60_000) // relative number of the octet after
			if n := c.Flow.Info().UrgentPending; n != end-int64(c.snd) {
				t.Fatalf("%d urgent bytes pending after all that came was read, want %d", n, end-int64(c.snd))
			}
			for n := end - int64(c.snd); n > 0; n = end - int64(c.snd) {
				k := int(min(n, 1400))
				c.Send(ACK|PSH, Data(k))
				c.WantRead(k)
				c.Drain(time.Millisecond)
			}
			if n := c.Flow.Info().UrgentPending; n != 0 {
				t.Fatalf("%d urgent bytes pending after all was read", n)
			}
			c.Alive()
		},
	},
	{
		ID: "rfc9293/urgent-nonsense", Level: OnWire, Source: "RFC 9293 section 3.8.5; RFC 6093", Title: "Odd urgent pointers change nothing in the stream",
		Clause: "Pointers of 0, 1, beyond the segment, on FIN and on old segments leave the byte stream as it would be without URG.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			for _, u := range []uint16{0, 1, 5, 10, 11, 1000, 65535} {
				c.Send(ACK|PSH|URG, Data(10), Urg(u))
				c.Send(ACK|PSH|URG, Seq(c.snd-5), Data(5), Urg(u))
				c.Send(ACK, Urg(u)) // a pointer without URG
				c.GotAck(time.Second, c.snd)
			}
			c.WantRead(70)
			c.Alive()
			c.Send(FIN|URG|ACK, Urg(3))
			c.GotAck(time.Second, c.snd)
			t.WantEOF(c.Flow)
		},
	},
}

// isnCases are RFC 6528, RFC 6056 and RFC 9293, section 3.4.1.
var isnCases = []Case{
	{
		ID: "rfc9293/MUST-8", Level: OnWire, Source: "RFC 9293 section 3.4.1 (MUST-8, SHLD-1); RFC 6528", Title: "Initial sequence numbers follow a clock of 4 microseconds",
		Clause: "For the same pair of addresses and ports the ISN grows by a quarter of a million a second.",
		Run: func(t *T) {
			w := t.Lab(nil)
			l := w.Listen(nil)
			isn := func() uint32 {
				c := w.newConn(Hello{Port: 12345})
				c.host = addrPort(w.Host, l.Port)
				c.SYN()
				s := c.SYNACK()
				c.Send(RST)
				return s.Seq
			}
			for _, d := range []time.Duration{100 * time.Second, time.Hour} {
				at := t.clk.Now()
				before := isn()
				t.Sleep(d)
				grown := isn() - before
				want := uint32(int64(t.clk.Now().Sub(at)) / 4000)
				if diff := int32(grown - want); diff > 1<<20 || diff < -1<<20 {
					t.Fatalf("in %v the ISN grew by %d, want about %d (modulo 2^32)", d, grown, want)
				}
			}
		},
	},
	{
		ID: "rfc9293/MUST-9", Level: OnWire, Source: "RFC 9293 section 3.4.1 (MUST-9); RFC 6528", Title: "Initial sequence numbers of different connections are unrelated",
		Clause: "At one instant, neighbouring ports get ISNs without a visible pattern, and two stacks give different ones.",
		Run: func(t *T) {
			var all [2][]uint32
			for k := range 2 {
				w := t.Lab(func(e *Env) { e.Seed += uint64(1000 * k) })
				l := w.Listen(nil)
				for i := range 64 {
					c := w.newConn(Hello{Port: uint16(20_000 + i)})
					c.host = addrPort(w.Host, l.Port)
					c.SYN()
					all[k] = append(all[k], c.SYNACK().Seq)
				}
			}
			diffs := map[uint32]int{}
			ones := [32]int{}
			for i := 1; i < 64; i++ {
				diffs[all[0][i]-all[0][i-1]]++
			}
			for d, n := range diffs {
				if n > 1 {
					t.Fatalf("the difference %d occurs %d times between ISNs of neighbouring ports", d, n)
				}
			}
			for _, v := range append(all[0], all[1]...) {
				for b := range 32 {
					ones[b] += int(v >> b & 1)
				}
			}
			for b, n := range ones {
				if n < 30 || n > 98 { // 128 values; six sigma
					t.Fatalf("bit %d is set in %d of 128 ISNs", b, n)
				}
			}
		},
	},
	{
		ID: "rfc6056/ports", Level: OnWire, Source: "RFC 6056", Title: "Ephemeral ports are not predictable",
		Clause: "Dials choose ports of a wide range, none twice at the same time, whose order shows no simple pattern across destinations.",
		Run: func(t *T) {
			w := t.Lab(nil)
			var starts []uint16
			used := map[netip.AddrPort]bool{}
			for i := range 30 {
				c, _ := w.StartDial(Hello{Port: uint16(3000 + i)})
				if c.host.Port() < 1024 {
					t.Fatalf("dialled from port %d", c.host.Port())
				}
				starts = append(starts, c.host.Port())
				used[c.host] = true
			}
			steps, low, high := map[uint16]int{}, starts[0], starts[0]
			for i := 1; i < len(starts); i++ {
				steps[starts[i]-starts[i-1]]++
				low, high = min(low, starts[i]), max(high, starts[i])
			}
			for s, n := range steps {
				if n > 3 {
					t.Fatalf("the step %d occurs %d times between the ports of successive dials: %v", s, n, starts)
				}
			}
			if high-low < 2000 {
				t.Fatalf("all ports lie between %d and %d", low, high)
			}
			if len(used) < 28 {
				t.Fatalf("%d different ports in 30 dials", len(used))
			}
		},
	},
}

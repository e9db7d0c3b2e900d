package conformance

import (
	"time"

	"github.com/sluicenet/sluice/api"
)

// timerCases are RFC 6298 and RFC 9293, sections 3.8.1 to 3.8.3.
var timerCases = []Case{
	{
		ID: "rfc6298/2-initial", Level: OnWire, Source: "RFC 6298 section 2", Title: "The first timeouts are about a second",
		Clause: "Without an RTT sample a SYN or SYN-ACK is retransmitted after about one second, and the timer doubles.",
		Run: func(t *T) {
			w := t.Lab(nil)
			c, _ := w.StartDial(Hello{})
			start := c.syn.At
			var at []time.Duration
			for range 3 {
				at = append(at, c.Got(10*time.Second, "SYN", isSYN).At.Sub(start))
			}
			if at[0] < 900*time.Millisecond || at[0] > 3100*time.Millisecond {
				t.Fatalf("SYNs at %v", at)
			}
			for i, r := range []float64{float64(at[1]-at[0]) / float64(at[0]), float64(at[2]-at[1]) / float64(at[1]-at[0])} {
				if r < 1.8 || r > 2.2 {
					t.Fatalf("SYNs at %v: interval %d is %.2f times the one before", at, i+2, r)
				}
			}
		},
	},
	{
		ID: "rfc6298/2-estimate", Level: OnWire, Source: "RFC 6298 section 2.2 to 2.4", Title: "The timeout follows the round-trip time", Needs: VirtualTime,
		Clause: "With a steady RTT of 300 ms SRTT converges to it, and the timeout lies above the RTT and not far above: at least 200 ms, at most a second more.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			for range 30 {
				c.Written(100)
				c.GotData(time.Second, c.rcv+100)
				t.Sleep(300 * time.Millisecond)
				c.AckAll()
			}
			i := c.Flow.Info()
			if i.SRTT < 280*time.Millisecond || i.SRTT > 320*time.Millisecond {
				t.Fatalf("SRTT is %v with a round trip of 300 ms", i.SRTT)
			}
			c.Written(100)
			s := c.Got(0, "data", hasData)
			again := c.Got(5*time.Second, "retransmission", hasData)
			if d := again.At.Sub(s.At); d < 310*time.Millisecond || d > 1400*time.Millisecond {
				t.Fatalf("retransmitted after %v with a round trip of 300 ms", d)
			}
		},
	},
	{
		ID: "rfc9293/MUST-18", Level: OnWire, Source: "RFC 6298 section 3; RFC 9293 section 3.8.1", Title: "Karn's rule: no sample from what was retransmitted",
		Real:   30 * time.Second,
		Clause: "An ACK that comes just after a retransmission says nothing about the round trip: SRTT stays, and the timer stays backed off until there is a sample.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			for range 20 {
				c.Written(100)
				c.GotData(time.Second, c.rcv+100)
				t.Sleep(400 * time.Millisecond)
				c.AckAll()
			}
			before := c.Flow.Info().SRTT
			c.Written(100)
			c.GotData(time.Second, c.rcv+100)
			for range 3 {
				c.Got(10*time.Second, "retransmission", hasData)
			}
			t.Sleep(time.Millisecond)
			c.AckAll()
			if after := c.Flow.Info().SRTT; after != before {
				t.Fatalf("SRTT went from %v to %v by the ACK of a retransmission", before, after)
			}
		},
	},
	{
		ID: "rfc6298/5.2-stop", Level: OnWire, Source: "RFC 6298 section 5.2", Title: "When everything is acknowledged no timer runs",
		Clause: "Nothing is retransmitted once all data has been acknowledged.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			c.Written(5000)
			c.GotData(time.Second, 5001)
			c.AckAll()
			c.None(time.Hour, "segment after everything was acknowledged", anySegment)
			c.Alive()
		},
	},
	{
		ID: "rfc6298/5.7-syn-lost", Level: OnWire, Source: "RFC 6298 section 5.7; RFC 5681 section 3.1", Title: "After a lost SYN the connection begins carefully",
		Clause: "If the SYN-ACK had to be retransmitted, the timeout is at least 3 s when data begins, or an RTT has been measured.",
		Run: func(t *T) {
			w := t.Lab(nil)
			l := w.Listen(nil)
			c := w.newConn(Hello{})
			c.host = addrPort(w.Host, l.Port)
			c.SYN()
			c.SYNACK()
			c.Segment(5*time.Second, "retransmitted SYN-ACK", isSYNACK)
			c.Send(ACK)
			f, err := l.Flows.Take(t.Bound())
			t.ok("accept", err)
			c.Flow = f
			c.Written(100)
			s := c.Got(0, "data", hasData)
			again := c.Got(10*time.Second, "retransmission", hasData)
			if d := again.At.Sub(s.At); d < 2900*time.Millisecond {
				t.Fatalf("retransmitted after %v; without an RTT sample and after a lost SYN-ACK it is 3 s", d)
			}
		},
	},
	{
		ID: "rfc9293/MUST-20", Level: OnWire, Source: "RFC 9293 section 3.8.3 (MUST-20, SHLD-9, SHLD-10, SHLD-11)", Title: "Trouble is reported at R1, and the connection given up at R2",
		Clause: "Data that nobody acknowledges is retransmitted at least three times before the caller is told, and by default not given up within 100 s; in the end it is.",
		Run: func(t *T) {
			t.Takes(20 * time.Minute)
			told := false
			cfg := api.FlowConfig{Notify: func(_ api.Flow, r api.Readiness) { told = told || r&api.ReadyError != 0 }}
			c := t.Lab(nil).Accept(Hello{Flow: cfg})
			c.Written(100)
			c.GotData(0, 101)
			start := t.clk.Now()
			retransmissions, when := 0, time.Duration(0)
			for c.Flow.CloseReason() == nil {
				for _, s := range c.Drain(100 * time.Millisecond) {
					if hasData(s) {
						retransmissions++
					}
				}
				if told && when == 0 {
					when = t.clk.Now().Sub(start)
					if retransmissions < 3 {
						t.Fatalf("reported after %d retransmissions", retransmissions)
					}
					if err := c.Flow.Info().SoftError; err == nil {
						t.Fatalf("reported, but Info has no soft error")
					}
				}
				if t.clk.Now().Sub(start) > time.Hour {
					t.Fatalf("not given up within an hour")
				}
			}
			if took := t.clk.Now().Sub(start); took < 100*time.Second {
				t.Fatalf("given up after %v", took)
			}
			if when == 0 {
				t.Fatalf("the caller was never told of %d retransmissions", retransmissions)
			}
			t.is("reason", c.Flow.CloseReason(), api.ErrTimeout)
		},
	},
	{
		ID: "rfc9293/MUST-21", Level: OnWire, Source: "RFC 9293 section 3.8.3 (MUST-21)", Title: "The user timeout can be set, and changed",
		Clause: "FlowConfig.UserTimeout sets R2 of a connection, from the start or later.",
		Run: func(t *T) {
			t.Takes(time.Minute)
			w := t.Lab(nil)
			for _, d := range []time.Duration{20 * time.Second, 200 * time.Second} {
				c := w.Accept(Hello{})
				t.ok("configure", c.Flow.Configure(func(f *api.FlowConfig) { f.UserTimeout = d }))
				c.Written(100)
				start := t.clk.Now()
				for c.Flow.CloseReason() == nil && t.clk.Now().Sub(start) < time.Hour {
					c.Drain(100 * time.Millisecond)
				}
				if took := t.clk.Now().Sub(start); took < d || took > d*3/2+5*time.Second {
					t.Fatalf("given up after %v with a user timeout of %v", took, d)
				}
				t.is("reason", c.Flow.CloseReason(), api.ErrTimeout)
			}
		},
	},
	{
		ID: "rfc9293/MUST-19", Level: OnWire, Source: "RFC 5681 section 3.1; RFC 6928; RFC 9293 section 3.8.2", Title: "Slow start: ten segments, then at most twice as many",
		Clause: "The first flight is at most ten segments; when it has been acknowledged the next is larger, and at most about twice as large.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{MSS: 1000, Scale: 7, Flow: api.FlowConfig{SendBuffer: 4 << 20}})
			op := c.WriteLater(1_000_000)
			var flights []uint32
			for range 4 {
				from := c.rcv
				t.Sleep(100 * time.Millisecond) // no retransmission yet
				c.Drain(0)
				flights = append(flights, (c.rcv-from)/1000)
				for rel := from + 1000; rel <= c.rcv; rel += 1000 { // one ACK a segment
					c.Send(ACK, Ack(rel))
				}
			}
			if flights[0] < 2 || flights[0] > 10 {
				t.Fatalf("flights of %v segments", flights)
			}
			window := flights[0]
			if !t.virtual {
				window = 10 // Linux leaves room in it at times, to send more at once later
			}
			for i := 1; i < len(flights); i++ {
				window = 2*window + 2
				if flights[i] <= flights[i-1] && i < 2 || flights[i] > window {
					t.Fatalf("flights of %v segments", flights)
				}
				if t.virtual {
					window = flights[i]
				}
			}
			c.acks(time.Minute, 1_000_001)
			t.ok("write", op.Wait())
		},
	},
	{
		ID: "rfc5681/ack-division", Level: OnWire, Source: "RFC 5681 section 3.1; RFC 3465", Title: "An ACK split into many opens the window no further",
		Clause: "Growth counts bytes: acknowledging one flight byte by byte does not make the next larger than twice.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{MSS: 1000, Scale: 7})
			op := c.WriteLater(200_000)
			c.Drain(time.Millisecond)
			from := c.rcv
			if from < 2001 || from > 10_001 {
				t.Fatalf("%d bytes in the first flight", from-1)
			}
			for rel := uint32(51); rel <= from; rel += 50 {
				c.Send(ACK, Ack(rel))
			}
			c.Drain(time.Millisecond)
			if n := c.rcv - from; n > 2*(from-1)+2000 {
				t.Fatalf("a flight of %d bytes, acknowledged in %d pieces, was followed by one of %d", from-1, (from-1)/50, n)
			}
			c.AckAll()
			c.acks(time.Minute, 200_001)
			t.ok("write", op.Wait())
		},
	},
	{
		ID: "rfc5681/optimistic-ack", Level: OnWire, Source: "RFC 5681; RFC 9293 section 3.10.7.4", Title: "An ACK of what was never sent opens nothing",
		Clause: "ACKs beyond SND.NXT are answered and dropped; they neither advance the stream nor the congestion window.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{MSS: 1000, Scale: 7})
			op := c.WriteLater(100_000)
			c.Drain(time.Millisecond)
			from := c.rcv
			for i := range uint32(20) {
				c.Send(ACK, Ack(from+1000*(i+1)))
			}
			c.Drain(time.Millisecond)
			if c.rcv != from {
				t.Fatalf("ACKs of unsent data released %d bytes", c.rcv-from)
			}
			c.AckAll()
			c.acks(time.Minute, 100_001)
			t.ok("write", op.Wait())
		},
	},
}

// recoveryCases are RFC 5681, RFC 6582 and RFC 3042: recovery without SACK.
var recoveryCases = []Case{
	{
		ID: "rfc5681/3.2-fast-retransmit", Level: OnWire, Source: "RFC 5681 section 3.2", Title: "Three duplicate ACKs bring the retransmission",
		Clause: "The third duplicate ACK makes the first outstanding segment go out again at once, not the second, and no timer is waited for.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{MSS: 1000})
			c.Written(1000) // RFC 6582's "recover" begins at the ISS, so something must have been acknowledged
			c.acks(time.Second, 1001)
			c.Written(8000)
			c.GotData(paced, 9001)
			for i := 1; i <= 3; i++ {
				c.Send(ACK, Ack(1001))
				again := false
				for _, s := range c.Drain(0) {
					again = again || hasData(s) && c.seqOf(s) == 1001
				}
				if again != (i == 3) {
					t.Fatalf("duplicate ACK %d: retransmitted %v", i, again)
				}
			}
			c.AckAll()
			c.Alive()
			if n := c.Flow.Info().Timeouts; n != 0 {
				t.Fatalf("%d timeouts", n)
			}
		},
	},
	{
		ID: "rfc5681/2-not-duplicate", Level: OnWire, Source: "RFC 5681 section 2", Title: "What is no duplicate ACK does not count as one",
		Clause: "Window updates, segments with data and ACKs while nothing is outstanding are no duplicate ACKs.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{MSS: 1000, Window: 30_000})
			for range 10 {
				c.Send(ACK)
			}
			c.Written(5000)
			c.GotData(paced, 5001)
			for i := range 10 {
				c.Send(ACK, Ack(1), Win(uint16(30_000+100*(i+1)))) // window updates
			}
			for range 10 {
				c.Send(ACK|PSH, Ack(1), Data(10))
			}
			for _, s := range c.Drain(10 * time.Millisecond) {
				if hasData(s) {
					t.Fatalf("retransmitted: %s", s)
				}
			}
			c.WantRead(100)
			c.AckAll()
			c.Alive()
		},
	},
	{
		ID: "rfc3042/limited-transmit", Level: OnWire, Source: "RFC 3042 section 2", Title: "The first two duplicate ACKs let a new segment out each",
		Clause: "With new data waiting behind the congestion window, each of the first two duplicate ACKs sends at most one new segment.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{MSS: 1000, Flow: api.FlowConfig{SendBuffer: 1 << 20}})
			c.Written(1000) // RFC 6582's "recover" begins at the ISS, so something must have been acknowledged
			c.acks(time.Second, 1001)
			c.Written(50_000) // in one piece, so that all segments are full
			c.Drain(paced)
			window := max(c.rcv-1001, 11_000) // a sender may leave room in its window, to send more at once later
			first := c.rcv
			for i := range uint32(2) {
				from := c.rcv
				c.Send(ACK, Ack(1001))
				c.Drain(paced)
				window += 1000
				if !t.Has(LossBased) {
					window += 1000 // BBR's window grows by what an ACK reports as delivered, as in slow start
				}
				if c.rcv-1001 > window {
					t.Fatalf("duplicate ACK %d released %d new bytes, want one segment", i+1, c.rcv-from)
				}
			}
			if c.rcv == first {
				t.Fatalf("two duplicate ACKs released no new byte")
			}
			c.AckAll()
			c.acks(time.Minute, 51_001)
		},
	},
	{
		ID: "rfc6582/partial-ack", Level: OnWire, Source: "RFC 6582 section 3.2", Title: "A partial ACK brings the next hole",
		Clause: "In recovery without SACK an ACK that covers some of what was outstanding makes the next hole go out at once; each loss costs a round trip, not a timeout.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{MSS: 1000})
			c.Written(1000) // RFC 6582's "recover" begins at the ISS, so something must have been acknowledged
			c.acks(time.Second, 1001)
			c.Written(10_000)
			c.GotData(paced, 11_001) // lost: 1001, 4001, 7001
			for range 7 {
				c.Send(ACK, Ack(1001))
			}
			want := func(rel uint32) {
				for _, s := range c.Drain(10 * time.Millisecond) {
					if hasData(s) && c.seqOf(s) == rel {
						return
					}
				}
				t.Fatalf("the hole at %d was not filled at once", rel)
			}
			want(1001)
			c.Send(ACK, Ack(4001))
			want(4001)
			c.Send(ACK, Ack(7001))
			want(7001)
			c.Send(ACK, Ack(11_001))
			if n := c.Flow.Info().Timeouts; n != 0 {
				t.Fatalf("%d timeouts", n)
			}
			c.Alive()
		},
	},
	{
		ID: "rfc5681/3.1-halve", Level: OnWire, Source: "RFC 5681 section 3.1, 3.2; RFC 9438 section 4.6", Title: "A loss makes the window smaller", Needs: LossBased,
		Clause: "After a recovery the next flight is at most 0.7 times the flight in which the loss happened.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{MSS: 1000, Scale: 7, Flow: api.FlowConfig{SendBuffer: 4 << 20}})
			op := c.WriteLater(1_000_000)
			for range 2 { // two flights without loss
				c.Drain(50 * time.Millisecond)
				c.AckAll()
			}
			from := c.rcv
			c.Drain(50 * time.Millisecond)
			flight := c.rcv - from
			window := flight
			if t.Has(FlowInfo) { // it may be more than what was written in time
				window = max(window, uint32(c.Flow.Info().Cwnd))
			}
			if flight < 5000 {
				t.Inconclusivef("a third flight of %d bytes is too small to lose from", flight)
			}
			// Its first segment was lost; all others arrived.
			top := c.rcv
			for range int(flight/1000) - 1 {
				c.Send(ACK, Ack(from))
			}
			c.Drain(10 * time.Millisecond)
			sentInRecovery := c.rcv
			t.Logf("cwnd %d, ssthresh %d after the duplicate ACKs", c.Flow.Info().Cwnd, c.Flow.Info().Ssthresh)
			c.Send(ACK, Ack(top)) // full ACK of what was outstanding then
			c.Drain(0)
			if n := c.rcv - top; n > window*8/10+3000 {
				t.Fatalf("%d bytes in flight after a loss in a window of %d (recovery sent %d)", n, window, sentInRecovery-top)
			}
			c.AckAll()
			c.acks(time.Minute, 1_000_001)
			t.ok("write", op.Wait())
		},
	},
	{
		ID: "rfc5681/dupack-spoofing", Level: OnWire, Source: "RFC 5681 section 3.2; RFC 3465", Title: "Spoofed duplicate ACKs release a bounded number of segments",
		Clause: "A thousand duplicate ACKs for ten segments in flight do not release more than about as many new segments as were outstanding.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{MSS: 1000, Scale: 7})
			op := c.WriteLater(200_000)
			c.Drain(paced)
			from := c.rcv
			for range 1000 {
				c.Send(ACK, Ack(1))
			}
			c.Drain(paced)
			if n := (c.rcv - from) / 1000; n > 2*(from/1000)+3 && t.Has(LossBased) || n > 3*(from/1000) {
				t.Fatalf("1000 duplicate ACKs for %d segments in flight released %d new ones", from/1000, n)
			}
			c.AckAll()
			c.acks(time.Minute, 200_001)
			t.ok("write", op.Wait())
		},
	},
	{
		ID: "rfc5681/go-on-after-rto", Level: OnWire, Source: "RFC 5681 section 3.1; RFC 6298 section 5.4", Title: "After a timeout everything lost is sent again, once",
		Clause: "A whole flight that was lost is retransmitted from the first byte on, growing from one segment, and the stream completes.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{MSS: 1000})
			c.Written(10_000)
			c.GotData(paced, 10_001)
			c.rcv = 1 // all of it lost
			seen := map[uint32]int{}
			deadline := t.clk.Now().Add(10 * time.Second)
			for c.rcv < 10_001 {
				s := c.Take(deadline)
				if s == nil {
					t.Fatalf("retransmitted up to %d of 10001", c.rcv)
				}
				if hasData(s) {
					seen[c.seqOf(s)]++
					c.AckAll()
				}
			}
			for rel, n := range seen {
				if n > 2 {
					t.Fatalf("byte %d was retransmitted %d times", rel, n)
				}
			}
			c.Alive()
		},
	},
}

// sackCases are RFC 2018, RFC 2883 and RFC 6675.
var sackCases = []Case{
	{
		ID: "rfc2018/2-permitted", Level: OnWire, Source: "RFC 2018 section 2", Title: "SACK only where both ends permit it", Needs: SACK,
		Clause: "A SYN that permits SACK is answered by a SYN-ACK that does; without it neither the option nor a block is ever sent.",
		Run: func(t *T) {
			w := t.Lab(nil)
			for _, permitted := range []bool{true, false} {
				c := w.Accept(Hello{SACK: permitted})
				if c.syn.SACKPermitted != permitted {
					t.Fatalf("offered %v, answered: %s", permitted, c.syn)
				}
				c.Send(ACK|PSH, Seq(1001), Data(1000))
				s := c.Got(time.Second, "duplicate ACK", func(s *Segment) bool { return s.PureACK() })
				if (len(s.SACK) > 0) != permitted {
					t.Fatalf("permitted %v: %s", permitted, s)
				}
			}
			d := w.Dial(Hello{})
			if !d.syn.SACKPermitted {
				t.Fatalf("the SYN does not offer SACK: %s", d.syn)
			}
			d.Send(ACK|PSH, Seq(1001), Data(1000))
			if s := d.Got(time.Second, "duplicate ACK", func(s *Segment) bool { return s.PureACK() }); len(s.SACK) > 0 {
				t.Fatalf("not permitted by the SYN-ACK: %s", s)
			}
		},
	},
	{
		ID: "rfc2018/4-blocks", Level: OnWire, Source: "RFC 2018 section 4", Title: "Blocks tell what has been received, the newest first", Needs: SACK,
		Clause: "The first block contains the segment that caused the ACK; others repeat the most recent blocks; as many as fit; none once the gap is filled.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{SACK: true})
			abs := func(from, to uint32) Range { return Range{c.iss + from, c.iss + to} }
			for i, x := range []struct {
				seq  uint32
				want []Range
			}{
				{2001, []Range{abs(2001, 2501)}},
				{4001, []Range{abs(4001, 4501), abs(2001, 2501)}},
				{6001, []Range{abs(6001, 6501), abs(4001, 4501), abs(2001, 2501)}},
				{2501, []Range{abs(2001, 3001), abs(6001, 6501), abs(4001, 4501)}},
				{8001, []Range{abs(8001, 8501), abs(2001, 3001), abs(6001, 6501), abs(4001, 4501)}},
			} {
				c.Send(ACK|PSH, Seq(x.seq), Data(500))
				s := c.Got(0, "duplicate ACK", func(s *Segment) bool { return s.PureACK() })
				if len(s.SACK) == 0 || s.SACK[0] != x.want[0] {
					t.Fatalf("segment %d: the first block is not %v: %s", i+1, x.want[0], s)
				}
				if len(s.SACK) != len(x.want) {
					t.Fatalf("segment %d: %d blocks, want %d: %s", i+1, len(s.SACK), len(x.want), s)
				}
				for _, r := range s.SACK {
					found := false
					for _, want := range x.want {
						found = found || r == want
					}
					if !found {
						t.Fatalf("segment %d: block %v was never received so: %s", i+1, r, s)
					}
				}
			}
			for rel := uint32(1); rel < 8001; rel += 1000 { // fills everything
				c.Send(ACK|PSH, Seq(rel), Data(1000))
			}
			c.GotAck(0, 8501)
			c.snd = 8501
			c.WantRead(8500)
			c.Send(ACK|PSH, Data(10))
			if s := c.GotAck(time.Second, 8511); len(s.SACK) > 0 {
				t.Fatalf("blocks without a gap: %s", s)
			}
		},
	},
	{
		ID: "rfc2018/3-timestamps", Level: OnWire, Source: "RFC 2018 section 3; RFC 7323", Title: "With timestamps three blocks fit", Needs: SACK | Timestamps,
		Clause: "SACK blocks and timestamps share the 40 bytes of options; the header never overflows.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{SACK: true, TS: true})
			for i := range uint32(8) {
				c.Send(ACK|PSH, Seq(2001+2000*i), Data(500))
			}
			var last *Segment
			for _, s := range c.Drain(0) {
				last = s
			}
			if last == nil || len(last.SACK) != 3 || !last.HasTimestamps {
				t.Fatalf("the last of 8 duplicate ACKs: %v", last)
			}
		},
	},
	{
		ID: "rfc2883/4-duplicate", Level: OnWire, Source: "RFC 2883 section 4", Title: "A duplicate segment is reported first", Needs: SACK | DSACK,
		Clause: "A segment received twice is reported by the first SACK block: below the ACK, or inside another block, which then follows.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{SACK: true})
			c.Send(ACK|PSH, Data(1000))
			c.GotAck(time.Second, 1001)
			c.Send(ACK|PSH, Seq(1), Data(500))
			s := c.Got(0, "ACK of a duplicate", func(s *Segment) bool { return s.PureACK() })
			if len(s.SACK) != 1 || s.SACK[0] != (Range{c.iss + 1, c.iss + 501}) {
				t.Fatalf("the duplicate 1..501 is reported as %s", s)
			}
			c.Send(ACK|PSH, Seq(3001), Data(1000))
			c.Drain(0)
			c.Send(ACK|PSH, Seq(3201), Data(300))
			s = c.Got(0, "ACK of a duplicate", func(s *Segment) bool { return s.PureACK() })
			if len(s.SACK) < 2 || s.SACK[0] != (Range{c.iss + 3201, c.iss + 3501}) || s.SACK[1] != (Range{c.iss + 3001, c.iss + 4001}) {
				t.Fatalf("the duplicate 3201..3501 is reported as %s", s)
			}
			c.Send(ACK|PSH, Seq(5001), Data(100))
			s = c.Got(0, "ACK", func(s *Segment) bool { return s.PureACK() })
			for _, r := range s.SACK {
				if r == (Range{c.iss + 3201, c.iss + 3501}) {
					t.Fatalf("the duplicate is reported again: %s", s)
				}
			}
		},
	},
	{
		ID: "rfc6675/5-holes-only", Level: OnWire, Source: "RFC 6675 section 5", Title: "Only what is missing is retransmitted", Needs: SACK,
		Clause: "With SACK all holes are filled within the window, in order and once; what has been reported is not sent again.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{MSS: 1000, SACK: true})
			c.Written(10_000)
			c.GotData(paced, 10_001) // lost: 1 and 4001
			abs := func(from, to uint32) Range { return Range{c.irsPlus(from), c.irsPlus(to)} }
			for _, o := range [][]Range{
				{abs(1001, 2001)}, {abs(1001, 3001)}, {abs(1001, 4001)}, {abs(5001, 6001), abs(1001, 4001)},
				{abs(5001, 7001), abs(1001, 4001)}, {abs(5001, 8001), abs(1001, 4001)}, {abs(5001, 9001), abs(1001, 4001)}, {abs(5001, 10_001), abs(1001, 4001)},
			} {
				c.Send(ACK, Ack(1), Opts(optSACK(o...)))
			}
			times := map[uint32]int{}
			for _, s := range c.Drain(50 * time.Millisecond) {
				if hasData(s) {
					times[c.seqOf(s)]++
				}
			}
			if times[9001] == 1 {
				delete(times, 9001) // the rescue retransmission of section 4, rule 4: it was the last not yet reported
			}
			if times[1] != 1 || times[4001] != 1 || len(times) != 2 {
				t.Fatalf("retransmitted (byte: times) %v, want 1 and 4001 once", times)
			}
			c.AckAll()
			if n := c.Flow.Info().Timeouts; n != 0 {
				t.Fatalf("%d timeouts", n)
			}
			c.Alive()
		},
	},
	{
		ID: "rfc2018/8-reneging", Level: OnWire, Source: "RFC 2018 section 8", Title: "A receiver may go back on its word", Needs: SACK,
		Clause: "Data reported by SACK is kept until it is acknowledged; after a timeout it is sent again.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{MSS: 1000, SACK: true})
			c.Written(6000)
			c.GotData(paced, 6001)
			for i := range uint32(5) {
				c.Send(ACK, Ack(1), Opts(optSACK(Range{c.irsPlus(1001), c.irsPlus(2001 + 1000*i)})))
			}
			c.Drain(20 * time.Millisecond)
			// The receiver has dropped everything but the first segment.
			c.rcv = 1001
			c.AckAll()
			deadline := t.clk.Now().Add(time.Minute)
			for c.rcv < 6001 {
				s := c.Take(deadline)
				if s == nil {
					t.Fatalf("what the receiver had reported and dropped was not sent again: at %d", c.rcv)
				}
				if hasData(s) {
					c.AckAll()
				}
			}
			c.Alive()
		},
	},
	{
		ID: "rfc2018/bogus-blocks", Level: OnWire, Source: "RFC 2018 section 5; RFC 2883", Title: "Nonsense in SACK blocks is ignored", Needs: SACK,
		Clause: "Blocks outside what is outstanding, inverted, empty or overlapping neither crash nor confuse: the stream completes.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{MSS: 1000, SACK: true, Scale: 5})
			op := c.WriteLater(100_000)
			c.Drain(time.Millisecond)
			for range 2000 {
				var rs []Range
				for range 1 + t.rand.IntN(4) {
					at := c.irsPlus(uint32(t.rand.IntN(40_000) - 10_000))
					rs = append(rs, Range{at, at + uint32(t.rand.IntN(20_000)-5000)})
				}
				c.Send(ACK, Ack(1), Opts(optSACK(rs...)))
			}
			if i := c.Flow.Info(); t.Has(FlowInfo) && (i.InFlight < 0 || i.Cwnd <= 0) {
				t.Fatalf("in flight %d, cwnd %d", i.InFlight, i.Cwnd)
			}
			c.Drain(time.Millisecond)
			c.rcv = 1
			deadline := t.clk.Now().Add(10 * time.Minute)
			for c.rcv < 100_001 {
				s := c.Take(deadline)
				if s == nil {
					t.Fatalf("the stream stops at %d", c.rcv)
				}
				if hasData(s) {
					c.Drain(0) // one ACK for all that came at once: a storm of answers would be ours too
					c.AckAll()
				}
			}
			t.ok("write", op.Wait())
			c.Alive()
		},
	},
}

// irsPlus returns the absolute number of byte rel of the stack's stream.
func (c *Conn) irsPlus(rel uint32) uint32 { return c.irs + rel }

// timestampCases are RFC 7323.
var timestampCases = []Case{
	{
		ID: "rfc7323/2.2-scale", Level: OnWire, Source: "RFC 7323 section 2.2, 2.3", Title: "Window scale is used where both offer it", Needs: WindowScale,
		Clause: "A SYN with the option is answered with it, one without is not; a dial offers it, and windows are scaled only then. The shift is at most 14.",
		Run: func(t *T) {
			w := t.Lab(nil)
			if c := w.Accept(Hello{}); c.syn.HasScale {
				t.Fatalf("not offered, but answered: %s", c.syn)
			}
			c := w.Accept(Hello{Scale: 4, Window: 1000, Flow: api.FlowConfig{ReceiveBuffer: 4 << 20}})
			if !c.syn.HasScale || c.syn.Scale > 14 {
				t.Fatalf("offered, but answered: %s", c.syn)
			}
			op := c.WriteLater(14_000) // the peer's window is 16,000
			c.Drain(time.Millisecond)
			if c.rcv < 10_000 {
				t.Fatalf("%d bytes sent into a window of 1000<<4", c.rcv-1)
			}
			c.acks(time.Second, 14_001)
			t.ok("write", op.Wait())
			d := w.Dial(Hello{Window: 1000}) // the SYN-ACK does not offer it
			if !d.syn.HasScale {
				t.Fatalf("the SYN does not offer window scale: %s", d.syn)
			}
			op = d.WriteLater(5000)
			d.Drain(50 * time.Millisecond)
			if d.rcv > 1001 {
				t.Fatalf("%d bytes sent into an unscaled window of 1000", d.rcv-1)
			}
			d.acks(10*time.Second, 5001)
			t.ok("write", op.Wait())
		},
	},
	{
		ID: "rfc7323/2.2-scale-later", Level: OnWire, Source: "RFC 7323 section 2.2", Title: "A window scale option after the handshake is ignored",
		Clause: "Only the option of the SYN counts.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{Scale: -1, Window: 2000})
			c.Send(ACK|PSH, Data(10), Opts(optScale(7)))
			c.GotAck(time.Second, 11)
			op := c.WriteLater(10_000)
			c.Drain(50 * time.Millisecond)
			if c.rcv > 2001 {
				t.Fatalf("%d bytes sent into a window of 2000", c.rcv-1)
			}
			c.acks(10*time.Second, 10_001)
			t.ok("write", op.Wait())
		},
	},
	{
		ID: "rfc7323/3.2-every-segment", Level: OnWire, Source: "RFC 7323 section 3.2", Title: "Timestamps on every segment, once negotiated", Needs: Timestamps,
		Clause: "A dial offers timestamps; negotiated, they stand on every segment, echoing the peer's; not negotiated, on none.",
		Run: func(t *T) {
			w := t.Lab(nil)
			c := w.Accept(Hello{TS: true})
			if !c.syn.HasTimestamps || c.syn.TSecr-c.tsBase > c.tsNow()-c.tsBase {
				t.Fatalf("the SYN-ACK does not echo %d or a little more: %s", c.tsBase, c.syn)
			}
			for range 5 {
				t.Sleep(10 * time.Millisecond)
				sent := c.tsNow()
				c.Send(ACK|PSH, Data(10), TSval(sent))
				c.WantRead(10)
				c.Written(10)
				for _, s := range c.GotData(time.Second, c.rcv+10) {
					if !s.HasTimestamps || s.TSecr != sent {
						t.Fatalf("the peer's timestamp was %d: %s", sent, s)
					}
				}
				c.AckAll()
			}
			t.ok("CloseWrite", c.Flow.CloseWrite())
			if s := c.GotFIN(time.Second); !s.HasTimestamps {
				t.Fatalf("no timestamps: %s", s)
			}
			if c := w.Accept(Hello{}); c.syn.HasTimestamps {
				t.Fatalf("not offered, but answered: %s", c.syn)
			}
			d := w.Dial(Hello{})
			if !d.syn.HasTimestamps || d.syn.TSecr != 0 {
				t.Fatalf("the SYN does not offer timestamps, or its TSecr is not 0: %s", d.syn)
			}
			d.Written(10)
			if s := d.Got(time.Second, "data", hasData); s.HasTimestamps {
				t.Fatalf("the SYN-ACK had no timestamps: %s", s)
			}
		},
	},
	{
		ID: "rfc7323/3.2-missing", Level: OnWire, Source: "RFC 7323 section 3.2", Title: "A segment without its timestamps is dropped", Needs: Timestamps,
		Clause: "Once negotiated, data without timestamps is not taken, and the connection lives; a RST without them still resets.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{TS: true})
			c.Send(ACK|PSH, Seq(1), Data(10), NoTS)
			for _, s := range c.Drain(time.Second) {
				if c.ackOf(s) != 1 {
					t.Fatalf("data without timestamps was taken: %s", s)
				}
			}
			c.Alive()
			c.Send(RST, NoTS)
			t.is("read", readError(t, c.Flow), api.ErrReset)
		},
	},
	{
		ID: "rfc7323/4.3-recent", Level: OnWire, Source: "RFC 7323 section 4.3", Title: "What is echoed comes from the segment at the edge", Needs: Timestamps,
		Clause: "TS.Recent is taken from a segment that covers the last ACK sent: an out-of-order segment's timestamp is not echoed, that of the segment which fills the hole is.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{TS: true})
			v := c.tsNow()
			c.Send(ACK|PSH, Data(100), TSval(v+1))
			c.GotAck(time.Second, 101)
			c.Send(ACK|PSH, Seq(201), Data(100), TSval(v+3)) // 101 is missing
			s := c.Got(0, "duplicate ACK", func(s *Segment) bool { return s.PureACK() })
			if s.TSecr != v+1 {
				t.Fatalf("the ACK of an out-of-order segment echoes %d, want %d", s.TSecr, v+1)
			}
			c.Send(ACK|PSH, Seq(101), Data(100), TSval(v+2))
			s = c.GotAck(0, 301)
			if s.TSecr != v+2 {
				t.Fatalf("the ACK of the segment that filled the hole echoes %d, want %d", s.TSecr, v+2)
			}
			c.snd = 301
			c.WantRead(300)
			t.Sleep(100 * time.Millisecond) // the peer's clock has caught up
			c.Alive()
		},
	},
	{
		ID: "rfc7323/5.3-paws", Level: OnWire, Source: "RFC 7323 section 5.3", Title: "A segment with an old timestamp is dropped and answered", Needs: Timestamps,
		Clause: "Data whose timestamp is older than TS.Recent gets an ACK and is not taken; a RST is exempt.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{TS: true})
			t.Sleep(10 * time.Second)
			c.Alive()
			c.Send(ACK|PSH, Seq(c.snd), Bytes([]byte("from long ago")), TSval(c.tsNow()-5000))
			c.GotAck(time.Second, c.snd)
			c.Alive()
			c.Send(RST, TSval(c.tsNow()-5000))
			t.is("read", readError(t, c.Flow), api.ErrReset)
		},
	},
	{
		ID: "rfc7323/5.3-poison", Level: OnWire, Source: "RFC 7323 section 4.3, 5.3", Title: "A segment outside the window cannot poison TS.Recent", Needs: Timestamps,
		Clause: "A timestamp far ahead on a segment that is not acceptable leaves TS.Recent alone: the peer's data is still taken.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{TS: true})
			c.Alive()
			for _, rel := range []uint32{c.snd + 1<<30, c.snd - 1000, c.snd + 2000} {
				c.Send(ACK|PSH, Seq(rel), Bytes([]byte("x")), TSval(c.tsNow()+1<<30))
				c.Drain(0)
			}
			t.Sleep(2 * time.Second)
			c.Send(ACK|PSH, Data(10))
			c.GotAck(time.Second, c.snd)
			c.WantRead(10)
		},
	},
	{
		ID: "rfc7323/5.4-clock", Level: OnWire, Source: "RFC 7323 section 5.4", Title: "The timestamp clock ticks between 1 ms and 1 s", Needs: Timestamps,
		Clause: "TSval grows with time, by one to a thousand for each second, and never goes back within a connection.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{TS: true})
			first := c.syn
			var last *Segment
			for range 10 {
				t.Sleep(time.Second)
				c.Written(1)
				s := c.Got(time.Second, "data", hasData)
				if last != nil && int32(s.TSval-last.TSval) < 0 {
					t.Fatalf("TSval went back from %d to %d", last.TSval, s.TSval)
				}
				last = s
				c.AckAll()
			}
			ticks, seconds := float64(last.TSval-first.TSval), last.At.Sub(first.At).Seconds()
			if rate := ticks / seconds; rate < 1 || rate > 1001 {
				t.Fatalf("%.1f ticks a second", rate)
			}
		},
	},
	{
		ID: "rfc7323/offset", Level: OnWire, Source: "RFC 7323 section 5.4, 7.1", Title: "The timestamp clock does not tell how long the host is up", Needs: Timestamps,
		Clause: "Different connections at the same instant start from unrelated timestamps.",
		Run: func(t *T) {
			w := t.Lab(nil)
			l := w.Listen(nil)
			seen := map[uint32]bool{}
			for range 20 {
				c := w.newConn(Hello{TS: true})
				c.host = addrPort(w.Host, l.Port)
				c.SYN()
				seen[c.SYNACK().TSval>>16] = true
			}
			if len(seen) < 10 {
				t.Fatalf("the timestamps of 20 connections share their upper half: %d different", len(seen))
			}
		},
	},
}

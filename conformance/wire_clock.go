package conformance

import (
	"time"

	"github.com/sluicenet/sluice/api"
)

// near fails the case unless got is want, but for two milliseconds and one part in fifty.
func (t *T) near(what string, got, want time.Duration) {
	if d := (got - want).Abs(); d > 2*time.Millisecond+want/50 {
		t.Fatalf("%s is %v, want %v", what, got, want)
	}
}

// clockCases are RFC 6298.
var clockCases = []Case{
	{
		ID: "rfc6298/2.2-first", Level: OnWire, Source: "RFC 6298 section 2.2", Title: "After the first measurement the timeout is three times it",
		Clause: "With one round trip known, that of the handshake, data are retransmitted after R + 4 R/2, or at the floor where that is later.",
		Run: func(t *T) {
			rtt := t.between(150*time.Millisecond, 900*time.Millisecond)
			c := t.Lab(nil).Accept(Hello{RTT: rtt})
			c.Written(100)
			s := c.Got(0, "data", hasData)
			again := c.Got(10*time.Second, "retransmission", hasData)
			if d := again.At.Sub(s.At); d < 3*rtt-2*time.Millisecond || d > max(3*rtt, time.Second)+t.late(50*time.Millisecond) {
				t.Fatalf("retransmitted after %v; the handshake took %v", d, rtt)
			}
		},
	},
	{
		ID: "rfc6298/2.3-update", Level: OnWire, Source: "RFC 6298 section 2.3", Title: "How measurements are taken in", Needs: FlowInfo | VirtualTime,
		Clause: "RTTVAR moves by a quarter and SRTT by an eighth of the difference, in this order, for random round trips of single segments.",
		Run: func(t *T) {
			first := t.between(50*time.Millisecond, 300*time.Millisecond)
			c := t.Lab(nil).Accept(Hello{RTT: first})
			srtt, rttvar := first, first/2
			for range 20 {
				r := t.between(50*time.Millisecond, 300*time.Millisecond)
				c.Written(100)
				c.GotData(0, c.rcv+100)
				t.Sleep(r)
				c.AckAll()
				rttvar += ((srtt - r).Abs() - rttvar) / 4
				srtt += (r - srtt) / 8
				i := c.Flow.Info()
				t.near("SRTT", i.SRTT, srtt)
				t.near("RTTVAR", i.RTTVar, rttvar)
				if i.RTO < i.SRTT+4*i.RTTVar-2*time.Millisecond {
					t.Fatalf("RTO %v with SRTT %v and RTTVAR %v", i.RTO, i.SRTT, i.RTTVar)
				}
			}
		},
	},
	{
		ID: "rfc6298/2.4-floor", Level: OnWire, Source: "RFC 6298 section 2.4", Title: "There is a floor under the timeout",
		Clause: "However short the round trips, nothing is retransmitted by the timer within 200 ms (the RFC has a second; what stacks declare is less).",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			for range 20 {
				c.Written(100)
				c.GotData(0, c.rcv+100)
				t.Sleep(time.Millisecond)
				c.AckAll()
			}
			c.Written(100)
			s := c.Got(0, "data", hasData)
			if d := c.Got(10*time.Second, "retransmission", hasData).At.Sub(s.At); d < 199*time.Millisecond {
				t.Fatalf("retransmitted after %v", d)
			}
		},
	},
	{
		ID: "rfc6298/2.5-ceiling", Level: OnWire, Source: "RFC 6298 section 2.5", Title: "A ceiling is not below a minute",
		Clause: "The intervals of retransmissions grow to a minute at least.",
		Run: func(t *T) {
			t.Takes(time.Hour)
			c := t.Lab(nil).Accept(Hello{Flow: api.FlowConfig{UserTimeout: 2 * time.Hour}})
			c.Written(100)
			last := c.Got(0, "data", hasData).At
			longest := time.Duration(0)
			for range 12 { // a stack may give up after fifteen
				s := c.Got(time.Hour, "retransmission", hasData)
				longest = max(longest, s.At.Sub(last))
				last = s.At
			}
			if longest < time.Minute {
				t.Fatalf("the longest interval of 12 is %v", longest)
			}
			c.AckAll()
			c.Alive()
		},
	},
	{
		ID: "rfc6298/3-timestamps", Level: OnWire, Source: "RFC 6298 section 3; RFC 7323 section 4", Title: "With timestamps a retransmission can be measured", Needs: Timestamps,
		Clause: "An ACK that echoes the retransmission's timestamp ends the backoff: the next timeout is not doubled.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{TS: true, RTT: 100 * time.Millisecond})
			for range 10 {
				c.Written(100)
				c.GotData(time.Second, c.rcv+100)
				t.Sleep(100 * time.Millisecond)
				c.AckAll()
			}
			timeout := func() time.Duration {
				c.Written(100)
				s := c.Got(0, "data", hasData)
				return c.Got(10*time.Second, "retransmission", hasData).At.Sub(s.At)
			}
			first := timeout()
			s := c.Got(10*time.Second, "second retransmission", hasData)
			t.Sleep(100 * time.Millisecond)
			c.tsRecent = s.TSval
			c.AckAll()
			if second := timeout(); second > first*3/2+50*time.Millisecond {
				t.Fatalf("a timeout of %v, before the retransmissions it was %v", second, first)
			}
		},
	},
	{
		ID: "rfc6298/5.1-start", Level: OnWire, Source: "RFC 6298 section 5.1", Title: "Whenever something is outstanding the timer runs",
		Clause: "After any pause, data that are not acknowledged are retransmitted; also data that follow an ACK of everything.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			for range 6 {
				t.Sleep(t.between(0, 2*time.Minute))
				n := t.size(1, 1000)
				from := c.rcv
				c.Written(n)
				c.GotData(0, from+uint32(n))
				c.Got(5*time.Second, "retransmission", c.at(from))
				c.AckAll()
				c.None(5*time.Second, "data when all is acknowledged", hasData)
				c.Alive() // a measurement, which ends the backoff
			}
		},
	},
	{
		ID: "rfc6298/5.4-earliest", Level: OnWire, Source: "RFC 6298 section 5.4", Title: "The timer retransmits the earliest segment",
		Clause: "Of several outstanding, some acknowledged, the first that is not goes out first.",
		Run: func(t *T) {
			w := t.Lab(nil)
			for range 4 {
				c := w.Accept(Hello{MSS: 1000})
				n := t.size(2, 9)
				c.train(n)
				k := uint32(1000*t.size(0, n-1)) + 1
				c.Send(ACK, Ack(k))
				s := c.Got(5*time.Second, "retransmission", hasData)
				if c.seqOf(s) != k {
					t.Fatalf("retransmitted %d, the first outstanding is %d", c.seqOf(s), k)
				}
				c.AckAll()
				c.Drain(0)
				c.Alive()
			}
		},
	},
}

// scaleCases are more of RFC 7323.
var scaleCases = []Case{
	{
		ID: "rfc7323/2.4-retraction", Level: OnWire, Source: "RFC 7323 section 2.4", Title: "A window that retracts by its rounding is borne", Needs: WindowScale,
		Real:   30 * time.Second,
		Clause: "A peer whose scaled window steps back by less than a unit with each ACK gets all its data, and nothing beyond the furthest edge.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{MSS: 1000, Scale: 10, Window: 20, Flow: api.FlowConfig{SendBuffer: 1 << 20}})
			op := c.WriteLater(200_000)
			una, furthest := uint32(1), uint32(1+20<<10)
			for i := 0; c.rcv < 200_001; i++ {
				for _, s := range c.Drain(20 * time.Millisecond) {
					if end := c.seqOf(s) + uint32(len(s.Payload)); end > furthest {
						t.Fatalf("byte %d was sent, the window never ended beyond %d", end, furthest)
					}
				}
				if c.rcv == una {
					c.Drain(time.Second)
				}
				una = min(c.rcv, una+uint32(t.size(1, 2000)))
				furthest = max(furthest, una+19<<10)
				c.Send(ACK, Ack(una), Win(19))
				if i > 2000 {
					t.Fatalf("the stream does not end: at %d", c.rcv)
				}
			}
			c.AckAll()
			t.ok("write", op.Wait())
		},
	},
	{
		ID: "rfc7323/3.2-rst", Level: OnWire, Source: "RFC 7323 section 3.2", Title: "A RST has timestamps too", Needs: Timestamps,
		Clause: "The reset of an abort carries them where they were negotiated, and not where they were not.",
		Run: func(t *T) {
			w := t.Lab(nil)
			for _, ts := range []bool{true, false} {
				c := w.Accept(Hello{TS: ts})
				c.Alive()
				c.Flow.Abort()
				if s := c.GotRST(time.Second); s.HasTimestamps != ts {
					t.Fatalf("negotiated %v: %s", ts, s)
				}
			}
		},
	},
	{
		ID: "rfc7323/4.1-rttm", Level: OnWire, Source: "RFC 7323 section 4.1", Title: "Only an ACK of new data is a measurement", Needs: Timestamps | FlowInfo,
		Clause: "Segments that acknowledge nothing new, though they echo an old timestamp after a long pause, leave SRTT alone.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{TS: true, RTT: 100 * time.Millisecond})
			for range 10 {
				c.Written(100)
				c.GotData(time.Second, c.rcv+100)
				t.Sleep(100 * time.Millisecond)
				c.AckAll()
			}
			before := c.Flow.Info().SRTT
			for range 5 {
				t.Sleep(t.between(time.Second, 10*time.Second))
				c.AckAll()
				n := t.size(1, 500)
				c.Send(ACK|PSH, Data(n))
				c.WantRead(n)
				c.Drain(time.Second)
			}
			if after := c.Flow.Info().SRTT; after != before {
				t.Fatalf("SRTT went from %v to %v", before, after)
			}
			c.Alive()
		},
	},
	{
		ID: "rfc7323/5.5-idle", Level: OnWire, Source: "RFC 7323 section 5.5", Title: "After 24 days of silence an old timestamp is none", Needs: Timestamps,
		Clause: "A peer whose clock has run half its circle while the connection was idle, so that its timestamps look old, is understood.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{TS: true})
			c.Alive()
			t.Sleep(25*24*time.Hour + t.between(0, 10*24*time.Hour))
			c.Drain(0)
			c.Send(ACK|PSH, Data(10))
			c.GotAck(time.Second, c.snd)
			c.WantRead(10)
			c.Alive()
		},
	},
}

// blindMoreCases are more of RFC 5961.
var blindMoreCases = []Case{
	{
		ID: "rfc5961/3.2-exact", Level: OnWire, Source: "RFC 5961 section 3.2", Title: "A RST at the number expected next resets",
		Clause: "Also with data queued out of order behind it, and with an ACK number that acknowledges nothing.",
		Run: func(t *T) {
			w := t.Lab(nil)
			for i := range 3 {
				c := w.Accept(Hello{})
				n := t.size(1, 1000)
				c.Send(ACK|PSH, Data(n))
				c.GotAck(time.Second, c.snd)
				c.WantRead(n)
				switch i {
				case 0:
					c.Send(RST)
				case 1:
					c.Send(ACK|PSH, Seq(c.snd+1000), Data(100))
					c.Drain(0)
					c.Send(RST)
				case 2:
					c.Send(RST|ACK, Ack(uint32(t.size(0, 1))))
				}
				t.is("reason", c.Flow.CloseReason(), api.ErrReset)
				c.Ended()
			}
		},
	},
	{
		ID: "rfc5961/5.2-edges", Level: OnWire, Source: "RFC 5961 section 5.2", Title: "The edges of what an ACK may say",
		Clause: "Data with an ACK of exactly SND.NXT, or of SND.UNA less the largest window, are taken; one byte beyond either edge they are not.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{Window: 5000})
			c.Written(20_000)
			c.acks(10*time.Second, 20_001)
			for _, x := range []struct {
				ack  uint32
				good bool
			}{{c.rcv, true}, {c.rcv - 5000, true}, {c.rcv - 5001, false}, {c.rcv + 1, false}, {c.rcv - uint32(t.size(1, 4999)), true}} {
				t.Sleep(2 * time.Second)
				c.Drain(0)
				before := c.snd
				c.Send(ACK|PSH, Ack(x.ack), Bytes(pattern(c.read, 10)))
				s := c.Got(time.Second, "ACK", func(s *Segment) bool { return s.Has(ACK) })
				if got := c.ackOf(s) != before; got != x.good {
					t.Fatalf("data with an ACK of SND.NXT%+d: taken %v, want %v", int32(x.ack-c.rcv), got, x.good)
				}
				if x.good {
					c.WantRead(10)
				} else {
					c.snd = before
				}
			}
			c.Alive()
		},
	},
}

// lowered brings a path MTU of mtu about and returns the connection.
func (t *T) lowered(mtu uint16) *Conn {
	c := t.Lab(nil).Accept(Hello{})
	c.Written(3000)
	s := c.GotData(time.Second, 3001)[0]
	c.Inject(packetTooBig(s, c.Peer, mtu))
	c.Drain(100 * time.Millisecond)
	c.AckAll()
	return c
}

// sizes writes 5000 bytes and returns the longest packet that carries them.
func (c *Conn) sizes() (first *Segment, longest int) {
	segs := c.GotDataOf(5000)
	for _, s := range segs {
		longest = max(longest, s.PacketLen)
	}
	return segs[0], longest
}

// GotDataOf writes n bytes and returns what carries them.
func (c *Conn) GotDataOf(n int) []*Segment {
	c.Written(n)
	return c.GotData(5*time.Second, c.rcv+uint32(n))
}

// noIncrease is RFC 1191, section 6.3, and RFC 8201, section 4.
func noIncrease(t *T) {
	mtu := t.size(1280, 1450)
	c := t.lowered(uint16(mtu))
	for range 14 {
		if _, n := c.sizes(); n > mtu {
			t.Fatalf("a packet of %d bytes, %v after a packet-too-big of %d", n, t.clk.Now(), mtu)
		}
		c.AckAll()
		t.Sleep(20 * time.Second)
	}
	c.Alive()
}

// pathCases are RFC 1191 and RFC 8201.
var pathCases = []Case{
	{
		ID: "rfc1191/3-floor", Level: OnWire, Source: "RFC 1191 section 3", Title: "No path is narrower than 68 bytes", Family: IPv4,
		Clause: "Errors that report next to nothing do not make packets of fewer than 68 bytes where there is more to send.",
		Run: func(t *T) {
			for _, mtu := range []uint16{1, 40, 67, 68, uint16(t.size(69, 300))} {
				c := t.lowered(mtu)
				segs := c.GotDataOf(300)
				if n := segs[0].PacketLen; n < 68 {
					t.Fatalf("packets of %d bytes after a packet-too-big of %d", n, mtu)
				}
				c.AckAll()
				c.Stack.Disconnect(t.Timeout(0))
			}
		},
	},
	{
		ID: "rfc1191/6.3-no-increase", Level: OnWire, Source: "RFC 1191 section 6.3", Title: "Five minutes without trying more", Family: IPv4,
		Clause: "After a packet-too-big no larger packet is sent for five minutes.",
		Run:    noIncrease,
	},
	{
		ID: "rfc1191/6.4-no-congestion", Level: OnWire, Source: "RFC 1191 section 6.4; RFC 8201 section 5.4", Title: "A packet that was too big is no congestion",
		Clause: "What was too big goes out again at once, smaller, and the next flight is not smaller than the first was.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{Scale: 7, RTT: roundTrip})
			c.WriteLater(500_000)
			segs, before := c.flight()
			top := c.rcv
			c.Inject(packetTooBig(segs[0], c.Peer, 1300))
			again := c.Drain(0)
			if old, _ := c.resent(again, top); len(old) == 0 || old[0] != 1 {
				t.Fatalf("sent again at once: %v", old)
			}
			c.Drain(roundTrip)
			c.AckAll()
			if _, n := c.flight(); n < before*9/10 {
				t.Fatalf("a flight of %d bytes after a packet-too-big, %d before", n, before)
			}
		},
	},
	{
		ID: "rfc8201/4-floor", Level: OnWire, Source: "RFC 8201 section 4", Title: "No packet below 1280 bytes by a packet-too-big", Family: IPv6,
		Clause: "Errors that report less than 1280 leave packets of 1280 bytes.",
		Run: func(t *T) {
			for _, mtu := range []uint16{0, 68, 1000, 1279, uint16(t.size(1, 1278))} {
				c := t.lowered(mtu)
				if _, n := c.sizes(); n < 1280-12 {
					t.Fatalf("packets of at most %d bytes after a packet-too-big of %d", n, mtu)
				}
				c.AckAll()
				c.Stack.Disconnect(t.Timeout(0))
			}
		},
	},
	{
		ID: "rfc8201/4-raise", Level: OnWire, Source: "RFC 8201 section 4", Title: "A packet-too-big never raises the estimate",
		Clause: "One that reports more than the path is known to carry changes nothing.",
		Run: func(t *T) {
			mtu := t.size(1280, 1350)
			c := t.lowered(uint16(mtu))
			for _, more := range []uint16{uint16(mtu + t.size(1, 100)), 1500, 9000, 65535} {
				s, _ := c.sizes()
				c.Inject(packetTooBig(s, c.Peer, more))
				c.Drain(0)
				c.AckAll()
				if _, n := c.sizes(); n > mtu {
					t.Fatalf("packets of %d bytes after a packet-too-big of %d, the path carries %d", n, more, mtu)
				}
				c.AckAll()
			}
			c.Alive()
		},
	},
	{
		ID: "rfc8201/4-no-increase", Level: OnWire, Source: "RFC 8201 section 4", Title: "Five minutes without trying more", Family: IPv6,
		Clause: "After a packet-too-big no larger packet is sent for five minutes.",
		Run:    noIncrease,
	},
}

package conformance

import (
	"time"

	"github.com/sluicenet/sluice/api"
)

// transferCases are about sending data: RFC 9293, sections 3.7.4 and 3.9.1.2.
var transferCases = []Case{
	{
		ID: "rfc9293/MUST-60", Level: OnWire, Source: "RFC 9293 section 3.9.1.2 (MUST-60, MUST-61)", Title: "The last of what is queued leaves, with PSH",
		Clause: "Nothing waits for ever in the queue without a push, and the last segment of a write carries PSH.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			for _, n := range []int{1, 1460, 5000} {
				c.Written(n)
				segs := c.GotData(2*time.Second, c.rcv+uint32(n))
				if last := segs[len(segs)-1]; !last.Has(PSH) {
					t.Fatalf("the last segment of a write of %d bytes has no PSH: %s", n, last)
				}
				c.AckAll()
			}
		},
	},
	{
		ID: "rfc9293/SHLD-27", Level: OnWire, Source: "RFC 9293 section 3.9.1.2 (SHLD-27, SHLD-28)", Title: "Small writes are collected into full segments",
		Real:   40 * time.Second,
		Clause: "Many small writes that wait behind a closed window leave as segments of full size.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{Window: 1, Nagle: true})
			c.Written(1)
			c.GotData(5*time.Second, 2)
			for range 100 {
				c.Written(100)
			}
			c.Drain(0)
			c.Send(ACK, Win(65535))
			full, total := 0, 0
			for _, s := range c.GotData(5*time.Second, 10_000) {
				if len(s.Payload) >= int(c.hello.MSS) {
					full++
				}
				total++
			}
			if full < 5 || total > 9 {
				t.Fatalf("10,000 bytes in %d segments, %d of them full", total, full)
			}
			c.AckAll()
		},
	},
	{
		ID: "rfc9293/loss-free-bulk", Level: OnWire, Source: "RFC 9293 section 3.7.4", Title: "Bulk data goes out in order, once, in full segments",
		Clause: "Without loss nothing is retransmitted, and only the last segment may be short.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{Scale: 6, TS: true, SACK: true})
			op := c.WriteLater(400_000)
			next := uint32(1)
			for next < 400_001 {
				s := c.Got(2*time.Second, "data", hasData)
				if c.seqOf(s) != next {
					t.Fatalf("byte %d was sent when %d was next", c.seqOf(s), next)
				}
				next += uint32(len(s.Payload))
				if len(s.Payload) < int(c.hello.MSS)-12 && next < 300_000 && !s.Has(PSH) {
					t.Fatalf("a short segment in the middle: %s", s)
				}
				c.AckAll()
			}
			t.ok("write", op.Wait())
			if n := c.Flow.Info().Retransmits; n != 0 {
				t.Fatalf("%d retransmissions without loss", n)
			}
		},
	},
}

// nagleCases are RFC 9293, section 3.7.4, and the sender's half of 3.8.6.2.
var nagleCases = []Case{
	{
		ID: "rfc9293/SHLD-7", Level: OnWire, Source: "RFC 9293 section 3.7.4", Title: "Nagle's algorithm",
		Clause: "While something is unacknowledged a small segment waits; it leaves with the ACK, or when it is full.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{Nagle: true})
			c.Written(10)
			c.GotData(0, 11)
			c.Written(10)
			c.Written(10)
			c.None(100*time.Millisecond, "small segment while another is unacknowledged", func(s *Segment) bool { return c.seqOf(s) > 1 && hasData(s) })
			c.AckAll()
			segs := c.GotData(100*time.Millisecond, 31)
			if len(segs) != 1 {
				t.Fatalf("two small writes left in %d segments", len(segs))
			}
			n := int(c.hello.MSS)
			c.Written(n)
			c.GotData(0, 31+uint32(n)) // a full one does not wait
		},
	},
	{
		ID: "rfc9293/MUST-17", Level: OnWire, Source: "RFC 9293 section 3.7.4", Title: "Nagle's algorithm can be switched off, and on again",
		Clause: "With NoDelay small segments leave at once, from the start and after Configure.",
		Run: func(t *T) {
			w := t.Lab(nil)
			for _, later := range []bool{false, true} {
				c := w.Accept(Hello{Nagle: later})
				if later {
					t.ok("configure", c.Flow.Configure(func(f *api.FlowConfig) { f.NoDelay = true }))
				}
				for range 5 {
					c.Written(10)
					c.GotData(0, c.rcv+10)
				}
				t.ok("configure", c.Flow.Configure(func(f *api.FlowConfig) { f.NoDelay = false }))
				c.Written(10)
				c.None(50*time.Millisecond, "small segment while others are unacknowledged", func(s *Segment) bool { return c.seqOf(s) > 41 && hasData(s) })
				c.AckAll()
				c.GotData(time.Second, 61)
				c.AckAll()
			}
		},
	},
	{
		ID: "rfc9293/MUST-38", Level: OnWire, Source: "RFC 9293 section 3.8.6.2.1", Title: "The sender avoids the silly window",
		Clause: "When the window opens by a few bytes at a time the sender waits for a full segment or half the window, for a while.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{Window: 8000, Flow: api.FlowConfig{NoDelay: true}})
			c.Written(8000)
			c.GotData(time.Second, 8001)
			c.Send(ACK, Win(0))
			op := c.WriteLater(20_000)
			c.Drain(time.Millisecond)
			sent := 0
			for i := 1; i <= 100; i++ {
				c.Send(ACK, Win(uint16(2*i))) // up to 200 bytes, in 100 steps
				for _, s := range c.Drain(time.Millisecond) {
					if hasData(s) && len(s.Payload) > 1 {
						sent++
					}
				}
			}
			if sent > 3 {
				t.Fatalf("%d small segments into a window that opened by 2 bytes at a time", sent)
			}
			c.Send(ACK, Win(8000))
			c.acks(time.Minute, 28_001)
			t.ok("write", op.Wait())
		},
	},
	{
		ID: "rfc9293/sws-override", Level: OnWire, Source: "RFC 9293 section 3.8.6.2.1 (4)", Title: "A small window is used in the end",
		Clause: "If the window stays smaller than a segment and half of the largest seen, data goes into it after the override timeout.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{Window: 8000})
			c.Written(8000)
			c.GotData(time.Second, 8001)
			c.Send(ACK, Win(500))
			c.Written(3000)
			c.Got(2*time.Second, "data into a window of 500", func(s *Segment) bool { return c.seqOf(s) == 8001 && len(s.Payload) == 500 })
			c.Send(ACK, Win(8000))
			c.acks(10*time.Second, 11_001)
		},
	},
}

// windowCases are RFC 9293, section 3.8.6.
var windowCases = []Case{
	{
		ID: "rfc9293/MUST-34", Level: OnWire, Source: "RFC 9293 section 3.8.6 (MUST-34, SHLD-15, SHLD-16)", Title: "A window that shrinks is borne",
		Clause: "When the peer takes window back, no new data is sent beyond the new edge; what lies inside is retransmitted, and the transfer completes.",
		Run: func(t *T) {
			t.Takes(time.Minute)
			c := t.Lab(nil).Accept(Hello{Window: 10_000, MSS: 1000})
			c.Written(10_000)
			c.GotData(time.Second, 10_001)
			c.Send(ACK, Ack(1001), Win(3000)) // the edge goes from 10001 to 4001
			c.Written(5000)
			for _, s := range c.Drain(20 * time.Second) {
				if end := c.seqOf(s) + uint32(len(s.Payload)); c.seqOf(s) > 10_000 {
					t.Fatalf("new data beyond the window that shrank: %d", end)
				}
			}
			c.rcv = 1001 // as if the rest had been lost
			c.Send(ACK, Ack(1001), Win(3000))
			s := c.Got(5*time.Minute, "retransmission inside the window", hasData)
			if from := c.seqOf(s); from != 1001 {
				t.Fatalf("retransmitted %d, the first outstanding byte is 1001", from)
			}
			for i := 0; c.rcv < 15_001; i++ {
				c.Send(ACK, Win(5000))
				c.Drain(10 * time.Second)
				if i > 100 {
					t.Fatalf("the transfer does not complete: at %d of 15001", c.rcv)
				}
			}
			c.Send(ACK, Win(5000))
			c.win = 5000
			c.Alive()
		},
	},
	{
		ID: "rfc9293/MUST-35", Level: OnWire, Source: "RFC 9293 section 3.8.6 (MUST-35)", Title: "A window that shrinks to zero is probed",
		Clause: "When the peer takes all of its window back with data outstanding, the stack probes, and goes on when it opens.",
		Run: func(t *T) {
			t.Takes(time.Minute)
			c := t.Lab(nil).Accept(Hello{Window: 5000, MSS: 1000})
			c.Written(8000)
			c.GotData(time.Second, 5001)
			c.rcv = 1
			c.Send(ACK, Win(0))
			for range 3 {
				s := c.Got(time.Minute, "probe or retransmission", func(s *Segment) bool { return !s.Has(RST) })
				if c.seqOf(s) > 5001 {
					t.Fatalf("new data into a closed window: %s", s)
				}
				c.rcv = 1
				c.Send(ACK, Win(0))
			}
			for i := 0; c.rcv < 8001; i++ {
				c.Send(ACK, Win(5000))
				c.Drain(10 * time.Second)
				if i > 100 {
					t.Fatalf("the transfer does not complete: at %d of 8001", c.rcv)
				}
			}
		},
	},
	{
		ID: "rfc9293/SHLD-17", Level: OnWire, Source: "RFC 9293 section 3.8.6 (SHLD-17)", Title: "Data beyond a window that shrank does not time the connection out",
		Clause: "While the peer keeps acknowledging with a window that ends before what has been sent, the connection is not given up.",
		Run: func(t *T) {
			t.Takes(time.Minute)
			c := t.Lab(nil).Accept(Hello{Window: 5000, MSS: 1000})
			c.Written(5000)
			c.GotData(time.Second, 5001)
			c.Send(ACK, Ack(2001), Win(0)) // the edge goes from 5001 to 2001
			start := t.clk.Now()
			for t.clk.Now().Sub(start) < 3*time.Hour {
				if segs := c.Drain(10 * time.Second); len(segs) > 0 {
					c.Send(ACK, Ack(2001), Win(0))
				}
				if err := c.Flow.CloseReason(); err != nil {
					t.Fatalf("given up after %v: %v", t.clk.Now().Sub(start), err)
				}
			}
			c.rcv = 2001
			for i := 0; c.rcv < 5001; i++ {
				c.Send(ACK, Win(5000))
				c.Drain(10 * time.Second)
				if i > 100 {
					t.Fatalf("the transfer does not complete: at %d of 5001", c.rcv)
				}
			}
			c.AckAll()
			c.Alive()
		},
	},
	{
		ID: "rfc9293/MUST-37", Level: OnWire, Source: "RFC 9293 section 3.8.6.1 (MUST-36, MUST-37, SHLD-29, SHLD-30)", Title: "Probing goes on for as long as probes are answered",
		Clause: "The first probe comes after about one RTO, the intervals grow, and a peer that answers with a zero window for a day is not given up.",
		Run: func(t *T) {
			t.Takes(time.Minute)
			c := t.Lab(nil).Accept(Hello{Window: 1000})
			c.Written(1000)
			c.GotData(time.Second, 1001)
			c.Send(ACK, Win(0))
			c.Written(500)
			start := t.clk.Now()
			var at []time.Duration
			for t.clk.Now().Sub(start) < 24*time.Hour {
				s := c.Got(5*time.Minute, "zero-window probe", func(s *Segment) bool { return !s.Has(RST) })
				at = append(at, s.At.Sub(start))
				c.Send(ACK, Ack(1001), Win(0))
				if s.At == t.clk.Now() {
					c.rcv = 1001
				}
				if len(at) > 20_000 {
					t.Fatalf("%d probes in %v", len(at), at[len(at)-1])
				}
			}
			if at[0] < 100*time.Millisecond || at[0] > 3*time.Second {
				t.Fatalf("the first probe came after %v", at[0])
			}
			for i := 1; i < 6; i++ {
				before := at[i-1]
				if i > 1 {
					before = at[i-1] - at[i-2]
				}
				if at[i]-at[i-1] < before {
					t.Fatalf("the intervals between probes do not grow: at %v", at[:7])
				}
			}
			if n := len(at); n < 300 {
				t.Fatalf("only %d probes in a day: a lost update would stall for minutes", n)
			}
			c.win = 5000
			c.AckAll()
			c.acks(10*time.Second, 1501)
			c.Alive()
		},
	},
	{
		ID: "rfc9293/persist-user-timeout", Level: OnWire, Source: "RFC 9293 section 3.8.3; RFC 5482", Title: "A user timeout bounds a closed window too",
		Clause: "With UserTimeout a peer that keeps its window closed, though it answers probes, is given up; data it never took is reported as lost.",
		Run: func(t *T) {
			t.Takes(time.Minute)
			c := t.Lab(nil).Accept(Hello{Window: 1000, Flow: api.FlowConfig{UserTimeout: 60 * time.Second}})
			c.Written(1000)
			c.GotData(time.Second, 1001)
			c.Send(ACK, Win(0))
			c.Written(500)
			start := t.clk.Now()
			for c.Flow.CloseReason() == nil && t.clk.Now().Sub(start) < 10*time.Minute {
				for range c.Drain(time.Second) {
					c.Send(ACK, Ack(1001), Win(0))
					c.rcv = 1001
				}
			}
			t.is("reason", c.Flow.CloseReason(), api.ErrTimeout)
			if took := t.clk.Now().Sub(start); took < 59*time.Second || took > 2*time.Minute {
				t.Fatalf("given up after %v", took)
			}
		},
	},
	{
		ID: "rfc9293/SHLD-14", Level: OnWire, Source: "RFC 9293 section 3.8.6 (SHLD-14)", Title: "The announced window is never taken back",
		Clause: "Under in-order, out-of-order and tiny segments, a slow reader and a shrinking ReceiveBuffer the right edge of the window never moves left.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{Scale: 2, Flow: api.FlowConfig{ReceiveBuffer: 64 << 10}}) // note looks at every ACK
			for i := 0; i < 300 && !c.failed(); i++ {
				room := int(c.rightEdge) - int(c.snd)
				n := min(1+t.rand.IntN(1400), room)
				if n > 0 {
					if t.rand.IntN(3) == 0 && room > 3000 {
						c.Send(ACK|PSH, Seq(c.snd+1400), Data(100))
					}
					c.Send(ACK|PSH, Data(n))
				}
				c.Drain(time.Millisecond)
				if i == 100 {
					t.ok("configure", c.Flow.Configure(func(f *api.FlowConfig) { f.ReceiveBuffer = 8 << 10 }))
				}
				if have := int(c.snd) - 1 - c.read; t.rand.IntN(4) == 0 && have > 0 {
					c.readSome()
				}
			}
			for c.read < int(c.snd)-1 && !c.failed() {
				c.readSome()
				c.Drain(time.Second)
			}
		},
	},
	{
		ID: "rfc9293/MUST-39", Level: OnWire, Source: "RFC 9293 section 3.8.6.2.2", Title: "The receiver avoids the silly window",
		Clause: "A closed window opens again by a segment or half the buffer at least, not by the few bytes that a slow reader frees.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{MSS: 100, Flow: api.FlowConfig{ReceiveBuffer: 16 << 10}})
			c.fillWindow()
			total := int(c.snd) - 1
			for c.read < total {
				c.readSome()
				for _, s := range c.Drain(time.Millisecond) {
					if n := c.windowOf(s); n > 0 && n < 1000 {
						t.Fatalf("the window opens by %d bytes", n)
					}
				}
			}
			c.Drain(time.Second)
			if c.lastWindow < 4<<10 {
				t.Fatalf("window %d after everything has been read", c.lastWindow)
			}
			c.Alive()
		},
	},
	{
		ID: "rfc9293/window-update", Level: OnWire, Source: "RFC 9293 section 3.8.6.2.2", Title: "A reader that reads opens the window, unasked",
		Clause: "When a full buffer is read an update is sent at once, so that the peer need not probe.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{Flow: api.FlowConfig{ReceiveBuffer: 16 << 10}})
			c.fillWindow()
			c.Drain(time.Second)
			c.WantRead(int(c.snd) - 1)
			s := c.Got(0, "window update", func(s *Segment) bool { return c.windowOf(s) > 0 })
			if c.ackOf(s) != c.snd {
				t.Fatalf("the update acknowledges %d", c.ackOf(s))
			}
			c.Alive()
		},
	},
	{
		ID: "rfc9293/wl1-wl2", Level: OnWire, Source: "RFC 9293 section 3.10.7.4 (fifth)", Title: "An old segment does not change the send window",
		Clause: "A window from a segment older than the last one that set it (SND.WL1, SND.WL2) is not used.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{Window: 2000})
			c.Send(ACK|PSH, Data(10))
			c.Send(ACK, Win(500)) // newer than anything before
			c.GotAck(time.Second, 11)
			c.Send(ACK, Seq(5), Win(60_000)) // older than the last: would open the window
			c.Send(ACK|PSH, Seq(1), Bytes(pattern(0, 5)), Win(60_000))
			c.Written(5000)
			c.Drain(50 * time.Millisecond)
			if c.rcv > 501 {
				t.Fatalf("%d bytes were sent; the newest window is 500", c.rcv-1)
			}
			c.Send(ACK, Win(60_000))
			c.acks(10*time.Second, 5001)
			c.WantRead(10)
		},
	},
	{
		ID: "rfc9293/beyond-window", Level: OnWire, Source: "RFC 9293 section 3.10.7.4 (first)", Title: "Data beyond the window is cut off",
		Clause: "Of a segment that reaches beyond the right edge only what lies inside is taken; one wholly outside is dropped and answered by an ACK.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{Flow: api.FlowConfig{ReceiveBuffer: 16 << 10}})
			edge := uint32(0)
			for { // leave less than a segment of window
				room := uint32(c.rightEdge) - c.snd
				if room <= 1000 {
					edge = c.snd + room
					break
				}
				c.Send(ACK|PSH, Data(int(min(room-500, 1000))))
				c.GotAck(time.Second, c.snd)
			}
			before := c.snd
			c.Send(ACK|PSH, Seq(edge+100), Data(100))
			s := c.Got(time.Second, "ACK", func(s *Segment) bool { return s.Has(ACK) })
			if c.ackOf(s) != before {
				t.Fatalf("data outside the window moved the ACK to %d", c.ackOf(s))
			}
			c.Drain(2 * time.Second)
			c.Send(ACK|PSH, Seq(before), Data(int(edge-before)+400))
			s = c.Got(time.Second, "ACK", func(s *Segment) bool { return s.Has(ACK) })
			if got := c.ackOf(s); got < before || got > edge {
				t.Fatalf("acknowledged %d; the window ended at %d", got, edge)
			}
			c.snd = c.ackOf(s)
			c.WantRead(int(c.snd) - 1)
			c.Got(time.Second, "window update", func(s *Segment) bool { return c.windowOf(s) > 0 })
			c.Alive()
		},
	},
	{
		ID: "rfc9293/3.10.7.4-acceptability", Level: OnWire, Source: "RFC 9293 section 3.10.7.4 (first)", Title: "The four cases of acceptability",
		Real:   time.Minute,
		Clause: "With an open and with a closed window, with and without data: what the table calls unacceptable changes nothing and is answered by an ACK, what it accepts is taken.",
		Run: func(t *T) {
			w := t.Lab(nil)
			for _, closed := range []bool{false, true} {
				c := w.Accept(Hello{Flow: api.FlowConfig{ReceiveBuffer: 16 << 10}})
				if closed {
					c.fillWindow()
				} else {
					c.Send(ACK|PSH, Data(100))
					c.GotAck(time.Second, 101)
				}
				nxt := c.snd
				for _, x := range []struct {
					rel  uint32
					n    int
					open bool // acceptable with an open window, and brings nothing new
				}{
					{nxt, 0, true}, {nxt - 1, 0, false}, {nxt + 1<<20, 0, false}, {nxt - 50, 20, false}, {nxt + 1<<20, 20, false}, {nxt + 1<<31, 20, false},
				} {
					t.Sleep(2 * time.Second)
					c.Drain(0)
					c.Send(ACK, Seq(x.rel), Data(x.n))
					segs := c.Drain(time.Second)
					if x.rel == nxt && len(segs) > 0 {
						t.Fatalf("an acceptable empty ACK was answered by %s", segs[0])
					}
					if x.rel != nxt && len(segs) == 0 {
						t.Fatalf("no answer to an unacceptable segment (seq %+d, %d bytes, closed %v)", int32(x.rel-nxt), x.n, closed)
					}
					for _, s := range segs {
						if c.ackOf(s) != nxt {
							t.Fatalf("seq %+d, %d bytes: acknowledged %d instead of %d", int32(x.rel-nxt), x.n, c.ackOf(s), nxt)
						}
					}
				}
				c.WantRead(int(nxt) - 1)
				c.Drain(time.Second)
				c.Alive()
			}
		},
	},
	{
		ID: "rfc9293/tiny-segments", Level: OnWire, Source: "RFC 9293 section 3.8.6; contract R2", Title: "Tiny segments cannot hold more memory than the buffer",
		Real:   40 * time.Second,
		Clause: "20,000 segments of one byte, with nobody reading, keep the flow's memory within twice its buffer, without taking window back.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{Flow: api.FlowConfig{ReceiveBuffer: 64 << 10}})
			for i := range 20_000 {
				if int64(c.snd) >= c.rightEdge {
					break
				}
				c.Send(ACK|PSH, Data(1))
				if i%64 == 0 {
					c.Drain(time.Millisecond)
				}
			}
			if m := c.Flow.Info().Memory; m > 128<<10 {
				t.Fatalf("%d bytes of memory for a receive buffer of 64 KiB", m)
			}
			c.Drain(time.Second)
			c.WantRead(int(c.snd) - 1)
			c.Drain(time.Second)
			c.Alive()
		},
	},
	{
		ID: "rfc9293/whole-window-out-of-order", Level: OnWire, Source: "RFC 9293 section 3.10.7.4 (SHLD-31)", Title: "The whole window can be used out of order",
		Clause: "Everything inside the announced window is kept though it comes in reverse order.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{SACK: true, Flow: api.FlowConfig{ReceiveBuffer: 64 << 10}})
			n := int(c.rightEdge-1) / 1000
			n = min(n, 40)
			for i := n - 1; i >= 0; i-- {
				c.Send(ACK|PSH, Seq(uint32(1+1000*i)), Data(1000))
			}
			c.GotAck(time.Second, uint32(1+1000*n))
			c.snd = uint32(1 + 1000*n)
			c.WantRead(1000 * n)
			c.Drain(time.Second)
			c.Alive()
		},
	},
}

// readSome reads one buffer, whatever its size.
func (c *Conn) readSome() {
	b, err := c.Flow.Read(c.Timeout(time.Second))
	c.ok("read", err)
	if want := pattern(c.read, b.Len()); string(want) != string(b.Bytes()) {
		c.Fatalf("wrong bytes at %d of the stream", c.read)
	}
	c.read += b.Len()
	b.Release()
}

// ackCases are about acknowledging: RFC 9293, section 3.8.6.3; RFC 5681, section 4.2.
var ackCases = []Case{
	{
		ID: "rfc9293/MUST-40", Level: OnWire, Source: "RFC 9293 section 3.8.6.3 (MUST-40, SHLD-18)", Title: "An ACK is delayed, but by less than half a second",
		Clause: "A single segment is acknowledged within 500 ms; on a connection past its beginning not every segment gets an ACK of its own at once.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			for range 40 {
				c.Send(ACK|PSH, Data(100))
				c.GotAck(499*time.Millisecond, c.snd)
				c.WantRead(100)
				t.Sleep(100 * time.Millisecond)
			}
			start := t.clk.Now()
			c.Send(ACK|PSH, Data(100))
			s := c.GotAck(499*time.Millisecond, c.snd)
			if s.At == start {
				t.Fatalf("a lone segment, long after the start, was acknowledged at once: no delayed ACK")
			}
		},
	},
	{
		ID: "rfc9293/SHLD-19", Level: OnWire, Source: "RFC 9293 section 3.8.6.3; RFC 5681 section 4.2", Title: "At least every second full segment is acknowledged",
		Clause: "In a stream of full segments an ACK comes at once for every second one at the latest.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			n := int(c.hello.MSS)
			reader := Start(t, "read", func() bool { t.WantPattern(c.Flow, 0, 40*n); return true })
			for range 20 {
				c.Send(ACK, Data(n))
				c.Send(ACK|PSH, Data(n))
				c.GotAck(0, c.snd)
				t.Sleep(time.Millisecond)
			}
			reader.Wait()
		},
	},
	{
		ID: "rfc5681/4.2-out-of-order", Level: OnWire, Source: "RFC 5681 section 4.2", Title: "An out-of-order segment is acknowledged at once, and so is one that fills a gap",
		Clause: "Each out-of-order segment gets an immediate duplicate ACK; the segment that fills the gap an immediate cumulative one.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			t.Sleep(time.Minute)
			for i := range 3 {
				c.Send(ACK|PSH, Seq(uint32(1001+1000*i)), Data(1000))
				s := c.Got(0, "immediate duplicate ACK", func(s *Segment) bool { return s.PureACK() })
				if c.ackOf(s) != 1 {
					t.Fatalf("acknowledged %d, the gap begins at 1", c.ackOf(s))
				}
			}
			c.Send(ACK|PSH, Seq(1), Data(1000))
			c.GotAck(0, 4001)
			c.snd = 4001
			c.WantRead(4000)
			c.Alive()
		},
	},
	{
		ID: "rfc9293/piggyback", Level: OnWire, Source: "RFC 9293 section 3.10.7.4 (MUST-58)", Title: "Data carries the acknowledgment",
		Clause: "Every segment with data acknowledges everything received, and no pure ACK for the same follows.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			t.Sleep(time.Minute)
			for range 30 {
				c.Send(ACK|PSH, Data(10))
				c.WantRead(10)
				c.Written(10)
				segs := c.GotData(0, c.rcv+10)
				if last := segs[len(segs)-1]; c.ackOf(last) != c.snd {
					t.Fatalf("data acknowledges %d, received is %d", c.ackOf(last), c.snd)
				}
				c.AckAll()
			}
			c.None(time.Second, "pure ACK for what a data segment has acknowledged", anySegment)
		},
	},
	{
		ID: "rfc9293/no-ack-of-ack", Level: OnWire, Source: "RFC 9293 section 3.10.7.4; RFC 5681 section 4.2", Title: "A pure ACK is not acknowledged",
		Clause: "Acceptable segments without data, SYN or FIN are never answered, however many there are.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			for range 50 {
				c.AckAll()
			}
			c.None(time.Minute, "answer to a pure ACK", anySegment)
			c.Alive()
		},
	},
	{
		ID: "rfc9293/first-byte-wins", Level: OnWire, Source: "RFC 9293 section 3.10.7.4 (text may be trimmed either way; one answer denies an attacker the choice)", Title: "A byte that has been received does not change",
		Clause: "Where segments overlap with different contents, what came first is delivered, in and out of order.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			evil := make([]byte, 100)
			c.Send(ACK|PSH, Seq(101), Data(50))                                         // queued: 101..150
			c.Send(ACK|PSH, Seq(81), Bytes(append(pattern(80, 20), evil[:50]...)))      // 81..150: its second half is late
			c.Send(ACK|PSH, Seq(131), Bytes(append(evil[:20:20], pattern(150, 30)...))) // 131..180
			c.Send(ACK|PSH, Seq(1), Data(80))
			c.GotAck(time.Second, 181)
			c.Send(ACK|PSH, Seq(1), Bytes(evil)) // all old
			c.snd = 181
			c.Drain(time.Second)
			c.WantRead(180)
			c.Alive()
		},
	},
}

package conformance

import (
	"time"

	"github.com/sluicenet/sluice/api"
)

// abs returns a block of the peer's stream, in relative numbers.
func (c *Conn) abs(from, to uint32) Range { return Range{c.iss + from, c.iss + to} }

// pureACK reports whether s does nothing but acknowledge.
func pureACK(s *Segment) bool { return s.PureACK() }

// at returns a matcher of the first byte of a data segment.
func (c *Conn) at(rel uint32) func(*Segment) bool {
	return func(s *Segment) bool { return hasData(s) && c.seqOf(s) == rel }
}

// resent returns which of segs begin before top, and how many bytes the others have.
func (c *Conn) resent(segs []*Segment, top uint32) (old []uint32, fresh int) {
	for _, s := range segs {
		if hasData(s) && c.seqOf(s) < top {
			old = append(old, c.seqOf(s))
		} else if hasData(s) {
			fresh += len(s.Payload)
		}
	}
	return old, fresh
}

// finish acknowledges everything until the stream is at rest.
func (c *Conn) finishStream(to uint32) {
	c.AckAll()
	c.acks(10*time.Minute, to)
}

// selectiveCases are RFC 2018, RFC 2883 and RFC 3042 with SACK.
var selectiveCases = []Case{
	{
		ID: "rfc2018/4-first-random", Level: OnWire, Source: "RFC 2018 section 4", Title: "The first block holds what has just come", Needs: SACK,
		Clause: "For segments in any order the first block of the ACK contains the segment that caused it, and every block tells only what was received.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{SACK: true})
			got := make([]bool, 41)
			for _, i := range t.rand.Perm(40) {
				if i == 0 {
					continue // the hole
				}
				c.Send(ACK|PSH, Seq(uint32(1+500*i)), Data(500))
				got[i] = true
				s := c.Got(0, "duplicate ACK", pureACK)
				if len(s.SACK) == 0 {
					t.Fatalf("no block: %s", s)
				}
				for k, r := range s.SACK {
					from, to := int(r.Left-c.iss-1)/500, int(r.Right-c.iss-1)/500
					if k == 0 && (from > i || to <= i) {
						t.Fatalf("segment %d is not in the first block: %s", i, s)
					}
					for j := from; j < to; j++ {
						if !got[j] {
							t.Fatalf("segment %d never came: %s", j, s)
						}
					}
					if from > 0 && got[from-1] || got[to] {
						t.Fatalf("block %d is not all of its run: %s", k, s)
					}
				}
			}
			c.Send(ACK|PSH, Seq(1), Data(500))
			c.GotAck(time.Second, 20_001)
		},
	},
	{
		ID: "rfc2018/4-every-ack", Level: OnWire, Source: "RFC 2018 section 4", Title: "While something is missing every ACK has blocks", Needs: SACK,
		Clause: "Also those that data carry, and those that answer a duplicate or a probe.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{SACK: true})
			c.Send(ACK|PSH, Seq(1001), Data(500))
			c.Drain(0)
			for i := range 4 {
				switch i {
				case 0:
					c.Written(10)
				case 1:
					c.Send(ACK|PSH, Seq(2001), Data(t.size(1, 500)))
				case 2:
					c.Send(ACK, Seq(0)) // a keepalive
				case 3:
					c.Written(1000)
				}
				s := c.Got(time.Second, "ACK", func(s *Segment) bool { return s.Has(ACK) })
				if len(s.SACK) == 0 {
					t.Fatalf("no block though 1..1000 is missing: %s", s)
				}
				c.AckAll()
				t.Sleep(2 * time.Second)
				c.Drain(0)
			}
		},
	},
	{
		ID: "rfc2018/5-after-timeout", Level: OnWire, Source: "RFC 2018 section 5", Title: "After a timeout the left edge is sent again, reported or not", Needs: SACK,
		Clause: "A peer that reports all of a flight by blocks but acknowledges nothing gets the first segment again, and in the end everything.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{MSS: 1000, SACK: true})
			n := 1000 * t.size(2, 8)
			c.Written(n)
			c.GotData(paced, uint32(n)+1)
			c.Send(ACK, Ack(1), SACKed(1, uint32(n)+1))
			c.Got(time.Minute, "the first segment again", c.at(1))
			c.rcv = 1001
			c.finishStream(uint32(n) + 1)
			c.Alive()
		},
	},
	{
		ID: "rfc2883/4-once", Level: OnWire, Source: "RFC 2883 section 4", Title: "Each duplicate is reported once", Needs: DSACK,
		Clause: "The ACK of the duplicate reports it, and the next ACK does not; a second duplicate is reported again.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{SACK: true})
			n := t.size(100, 1400)
			c.Send(ACK|PSH, Data(n))
			c.GotAck(time.Second, c.snd)
			dup := c.abs(1, uint32(n)+1)
			for range 3 {
				c.Send(ACK|PSH, Seq(1), Data(n))
				if s := c.Got(0, "ACK of a duplicate", pureACK); len(s.SACK) == 0 || s.SACK[0] != dup {
					t.Fatalf("the duplicate %v is not reported: %s", dup, s)
				}
				c.Send(ACK|PSH, Data(10))
				if s := c.GotAck(time.Second, c.snd); len(s.SACK) > 0 {
					t.Fatalf("reported again: %s", s)
				}
			}
		},
	},
	{
		ID: "rfc2883/4.1-partial", Level: OnWire, Source: "RFC 2883 section 4.1", Title: "Of a segment that is old in part that part is reported", Needs: DSACK,
		Clause: "A segment that overlaps what was received brings its new bytes, and the block names the bytes that came twice.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{SACK: true})
			c.Send(ACK|PSH, Data(1000))
			c.GotAck(time.Second, 1001)
			from := uint32(t.size(1, 1000))
			c.Send(ACK|PSH, Seq(from), Data(int(1001-from)+200))
			s := c.GotAck(0, 1201)
			if len(s.SACK) != 1 || s.SACK[0] != c.abs(from, 1001) {
				t.Fatalf("of %d..1201 the bytes before 1001 came twice: %s", from, s)
			}
			c.snd = 1201
			c.WantRead(1200)
			c.Alive()
		},
	},
	{
		ID: "rfc2883/4-sender", Level: OnWire, Source: "RFC 2883 section 4", Title: "A report of a duplicate acknowledges nothing", Needs: SACK,
		Clause: "A block below the ACK neither counts as a loss nor covers what is outstanding: nothing is retransmitted by it, and the timer still repairs.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{MSS: 1000, SACK: true})
			c.Written(3000)
			c.GotData(paced, 3001)
			c.AckAll()
			c.Written(5000)
			c.GotData(paced, 8001)
			for range 5 {
				c.Send(ACK, Ack(3001), SACKed(uint32(1+1000*t.rand.IntN(3)), 3001))
			}
			// But for a tail loss probe, which is the last segment.
			if old, _ := c.resent(c.Drain(20*time.Millisecond), 7001); len(old) > 0 {
				t.Fatalf("retransmitted %v by reports of duplicates", old)
			}
			c.Got(5*time.Second, "retransmission of what was lost", c.at(3001))
			c.rcv = 4001
			c.finishStream(8001)
			c.Alive()
		},
	},
	{
		ID: "rfc3042/2-sack", Level: OnWire, Source: "RFC 3042 section 2", Title: "With SACK a duplicate ACK without news sends nothing", Needs: SACK | VirtualTime,
		Clause: "Duplicate ACKs with no block, or with one that is known, let no new segment out; one that reports more does.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(bulk(Hello{SACK: true}))
			_, segs, _ := c.pump(1)
			from, top := c.seqOf(segs[0]), c.rcv
			for range 5 {
				c.Send(ACK, Ack(from))
			}
			if _, fresh := c.resent(c.Drain(0), top); fresh > 0 {
				t.Fatalf("%d new bytes for duplicate ACKs without a block", fresh)
			}
			c.Send(ACK, Ack(from), SACKed(from+1000, from+2000))
			if _, first := c.resent(c.Drain(0), top); first != 1000 {
				t.Fatalf("%d new bytes for the first report", first)
			}
			for range 5 {
				c.Send(ACK, Ack(from), SACKed(from+1000, from+2000))
			}
			if _, fresh := c.resent(c.Drain(0), top); fresh > 0 {
				t.Fatalf("%d new bytes for reports that say nothing new", fresh)
			}
		},
	},
}

// congestionCases are RFC 5681, RFC 6582, RFC 6675, RFC 3522 and RFC 5682.
var congestionCases = []Case{
	{
		ID: "rfc5681/3.1-bound", Level: OnWire, Source: "RFC 5681 section 3.1", Title: "Never more in flight than either window allows", Needs: FlowInfo,
		Clause: "Under random windows and ACKs no byte lies beyond the peer's window, and no more is outstanding than cwnd and what limited transmit adds.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(bulk(Hello{Window: 100}))
			op := c.WriteLater(400_000)
			una, edge := uint32(1), uint32(1+100<<7)
			for c.rcv < 400_001 {
				before := c.rcv
				for _, s := range c.Drain(20 * time.Millisecond) {
					if end := c.seqOf(s) + uint32(len(s.Payload)); end > edge {
						t.Fatalf("byte %d was sent, the window ends at %d", end, edge)
					}
				}
				if i := c.Flow.Info(); int64(c.rcv-una) > i.Cwnd+2000 {
					t.Fatalf("%d bytes outstanding, cwnd is %d", c.rcv-una, i.Cwnd)
				}
				una = una + (c.rcv-una)*uint32(t.size(1, 10))/10
				if c.rcv == before {
					una = c.rcv
				}
				edge = max(edge, una+uint32(t.size(8, 400))<<7) // never back
				win := uint16((edge - una + 127) >> 7)
				edge = una + uint32(win)<<7
				c.Send(ACK, Ack(una), Win(win))
			}
			c.Send(ACK, Win(1000))
			t.ok("write", op.Wait())
		},
	},
	{
		ID: "rfc5681/3.1-iw", Level: OnWire, Source: "RFC 5681 section 3.1; RFC 6928 section 2", Title: "The initial window",
		Clause: "The first flight is at most ten segments, and at most 14,600 bytes where a segment is not larger than that; with one round trip more nothing is owed to the handshake.",
		Run: func(t *T) {
			w := t.Lab(nil)
			for _, mss := range []int{t.size(200, 700), t.size(701, 1300), 1440} {
				c := w.Accept(Hello{MSS: mss, Scale: 7, Flow: api.FlowConfig{SendBuffer: 1 << 20}})
				c.WriteLater(200_000)
				_, n := c.flight()
				if n < mss || n > 10*mss || n > 14_600 {
					t.Fatalf("a first flight of %d bytes with segments of %d", n, mss)
				}
				c.Flow.Abort()
			}
			w.Accept(Hello{}).Alive()
		},
	},
	{
		ID: "rfc5681/3.1-iw-syn-lost", Level: OnWire, Source: "RFC 5681 section 3.1", Title: "After a lost SYN the first flight is one segment",
		Clause: "Where the SYN or the SYN-ACK had to be retransmitted a second time, only one segment is sent before the first ACK of data.",
		Run: func(t *T) {
			w := t.Lab(nil)
			l := w.Listen(&api.ListenConfig{Flow: api.FlowConfig{NoDelay: true, SendBuffer: 1 << 20}})
			c := w.newConn(bulk(Hello{}))
			c.host = addrPort(w.Host, l.Port)
			c.SYN()
			c.SYNACK()
			for range 2 {
				c.Segment(10*time.Second, "SYN-ACK again", isSYNACK)
			}
			c.Send(ACK)
			f, err := l.Flows.Take(t.Bound())
			t.ok("accept", err)
			c.Flow = f
			d, op := w.StartDial(bulk(Hello{}))
			for range 2 {
				d.Got(10*time.Second, "SYN again", isSYN)
			}
			d.Send(SYN|ACK, Seq(0), Opts(d.options()))
			d.snd = 1
			r := op.WaitFor(time.Second)
			t.ok("dial", r.err)
			d.Flow = r.flow
			for _, c := range []*Conn{c, d} {
				c.WriteLater(20_000)
				_, n := c.flight()
				if n != 1000 {
					t.Fatalf("a first flight of %d bytes after a lost SYN or SYN-ACK; one segment has 1000", n)
				}
				c.finishStream(20_001)
			}
		},
	},
	{
		ID: "rfc5681/3.1-avoidance", Level: OnWire, Source: "RFC 5681 section 3.1", Title: "In congestion avoidance a segment a round trip", Needs: LossBased | SACK,
		Clause: "After a loss has ended slow start ten flights without loss grow by about a segment each, and not by more.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(bulk(Hello{SACK: true}))
			_, segs, _ := c.pump(2)
			c.loseFirst(segs)
			c.settleRecovery()
			segs, _ = c.flight()
			start := len(segs)
			for range 10 {
				c.ackEach(segs, 0)
				before := len(segs)
				segs, _ = c.flight()
				if len(segs) > before+2 {
					t.Fatalf("a flight of %d segments after one of %d, in congestion avoidance", len(segs), before)
				}
			}
			if n := len(segs); n > start+12 || n < start {
				t.Fatalf("from %d to %d segments in ten round trips", start, n)
			}
		},
	},
	{
		ID: "rfc5681/3.1-ssthresh", Level: OnWire, Source: "RFC 5681 section 3.1", Title: "After a timeout the threshold is half of what was in flight", Needs: LossBased | FlowInfo,
		Clause: "It is about half (seven tenths with CUBIC) of the data outstanding when the timer expired, and two segments at least.",
		Run: func(t *T) {
			w := t.Lab(nil)
			c := w.Accept(bulk(Hello{}))
			_, segs, bytes := c.pump(1)
			c.Got(5*time.Second, "retransmission", c.at(c.seqOf(segs[0])))
			if s := c.Flow.Info().Ssthresh; s < int64(bytes)*45/100-1000 || s > int64(bytes)*72/100+1000 {
				t.Fatalf("ssthresh %d after a timeout with %d bytes in flight", s, bytes)
			}
			d := w.Accept(bulk(Hello{}))
			d.Written(1000)
			d.GotData(0, 1001)
			d.Got(5*time.Second, "retransmission", hasData)
			if s := d.Flow.Info().Ssthresh; s < 2000 {
				t.Fatalf("ssthresh %d is less than two segments", s)
			}
		},
	},
	{
		ID: "rfc5681/3.1-ssthresh-once", Level: OnWire, Source: "RFC 5681 section 3.1", Title: "Backoff does not lower the threshold again", Needs: LossBased | FlowInfo,
		Clause: "A segment that times out again and again leaves ssthresh where the first timeout set it.",
		Run: func(t *T) {
			t.Takes(time.Minute)
			c := t.Lab(nil).Accept(bulk(Hello{}))
			_, segs, _ := c.pump(1)
			first := int64(0)
			for i := range 4 {
				c.Got(time.Minute, "retransmission", c.at(c.seqOf(segs[0])))
				s := c.Flow.Info().Ssthresh
				if i == 0 {
					first = s
				}
				if s != first || s == 0 {
					t.Fatalf("ssthresh %d after timeout %d, %d after the first", s, i+1, first)
				}
			}
		},
	},
	{
		ID: "rfc5681/4.2-one-ack", Level: OnWire, Source: "RFC 5681 section 4.2", Title: "One ACK for a segment, not two",
		Clause: "Whatever a reader does, of two pure ACKs with the same number and the same window one answers nothing, and passes for a duplicate.",
		Run: func(t *T) {
			w := t.Lab(nil)
			for _, scale := range []int{0, 7} {
				c := w.Accept(Hello{Scale: scale})
				n := 50
				reader := Start(t, "read", func() bool { t.WantPattern(c.Flow, 0, n*1000); return true })
				var last *Segment
				for range n {
					c.Send(ACK|PSH, Data(1000))
					for _, s := range c.Drain(t.between(0, 2*time.Millisecond)) {
						if last != nil && s.PureACK() && s.Ack == last.Ack && s.Window == last.Window {
							t.Fatalf("the same ACK twice: %s", s)
						}
						last = s
					}
				}
				reader.Wait()
				c.read = n * 1000
				c.Drain(time.Second)
				c.Alive()
			}
		},
	},
	{
		ID: "rfc6582/3.2-full", Level: OnWire, Source: "RFC 6582 section 3.2", Title: "A full ACK ends the recovery", Needs: LossBased,
		Clause: "Without SACK: after the ACK of everything that was outstanding the window is what the reduction left, nothing is retransmitted, and a later loss is recovered again.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(bulk(Hello{}))
			_, segs, bytes := c.pump(2)
			for range 2 {
				from, top := c.seqOf(segs[0]), c.rcv
				for range len(segs) - 1 {
					c.Send(ACK, Ack(from))
				}
				again := c.Drain(0)
				if old, _ := c.resent(again, top); len(old) != 1 || old[0] != from {
					t.Fatalf("retransmitted %v, lost was %d", old, from)
				}
				top = c.rcv
				c.AckAll()
				var n int
				segs, n = c.flight()
				if old, _ := c.resent(segs, top); len(old) > 0 {
					t.Fatalf("retransmitted %v after a full ACK", old)
				}
				if n > bytes*8/10+2000 || len(segs) < 4 {
					t.Fatalf("a flight of %d bytes after a recovery; before the loss it was %d", n, bytes)
				}
			}
			if n := c.Flow.Info().Timeouts; n != 0 {
				t.Fatalf("%d timeouts", n)
			}
		},
	},
	{
		ID: "rfc6582/3.2-once", Level: OnWire, Source: "RFC 6582 section 3.2", Title: "Duplicate ACKs of a timeout's retransmissions start nothing",
		Clause: "Without SACK: after a timeout, duplicate ACKs below what had been sent before it bring no fast retransmission and no second reduction.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(bulk(Hello{}))
			_, segs, _ := c.pump(1)
			from, top := c.seqOf(segs[0]), c.rcv
			c.Got(5*time.Second, "retransmission", c.at(from))
			threshold := c.Flow.Info().Ssthresh
			for range 8 {
				c.Send(ACK, Ack(from))
			}
			if old, _ := c.resent(c.Drain(20*time.Millisecond), top); len(old) > 0 {
				t.Fatalf("duplicate ACKs after a timeout brought %v", old)
			}
			if s := c.Flow.Info().Ssthresh; s != threshold {
				t.Fatalf("ssthresh went from %d to %d", threshold, s)
			}
			c.AckAll()
			c.Drain(roundTrip)
			c.AckAll()
		},
	},
	{
		ID: "rfc6675/5-one-cut", Level: OnWire, Source: "RFC 6675 section 5", Title: "One reduction for the losses of a window", Needs: SACK | LossBased,
		Clause: "Three segments lost from one flight cost one reduction: the window afterwards is about half, not an eighth, and no timer has expired.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(bulk(Hello{SACK: true}))
			_, segs, bytes := c.pump(2)
			k := len(segs) / 4
			c.lose(segs, 0, k, 2*k)
			c.settleRecovery()
			_, n := c.flight()
			if n < bytes*4/10-2000 || n > bytes*8/10+2000 {
				t.Fatalf("a flight of %d bytes after three losses from one of %d", n, bytes)
			}
			if n := c.Flow.Info().Timeouts; n != 0 {
				t.Fatalf("%d timeouts", n)
			}
		},
	},
	{
		ID: "rfc6675/5-pipe", Level: OnWire, Source: "RFC 6675 section 5", Title: "In recovery no more is in flight than the reduced window", Needs: SACK | LossBased,
		Clause: "When all of a flight but its first segment has been reported, what is outstanding in its place is about the reduced window.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(bulk(Hello{SACK: true}))
			_, segs, bytes := c.pump(2)
			top := c.rcv
			_, fresh := c.lose(segs, 0)
			if fresh+1000 > bytes*75/100+2000 || fresh < bytes*3/10 {
				t.Fatalf("%d new bytes are in flight beyond %d, beside the retransmission; the flight was %d", fresh, top, bytes)
			}
		},
	},
	{
		ID: "rfc6675/5-order", Level: OnWire, Source: "RFC 6675 section 5", Title: "What is missing goes first, in order", Needs: SACK | LossBased,
		Clause: "The first segment missing is the first retransmitted, the others follow in order, each once before anything of the flight is sent a second time.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(bulk(Hello{SACK: true}))
			_, segs, _ := c.pump(2)
			k := len(segs) / 4
			old, _ := c.lose(segs, 0, k, k+1, 2*k)
			want := []uint32{c.seqOf(segs[0]), c.seqOf(segs[k]), c.seqOf(segs[k+1]), c.seqOf(segs[2*k])}
			if len(old) < len(want) {
				t.Fatalf("retransmitted %v of %v", old, want)
			}
			for i, rel := range want {
				if old[i] != rel {
					t.Fatalf("retransmitted %v, missing were %v", old, want)
				}
			}
		},
	},
	{
		ID: "rfc6675/5.1-after-timeout", Level: OnWire, Source: "RFC 6675 section 5.1", Title: "After a timeout no recovery before the recovery point", Needs: SACK | LossBased | FlowInfo,
		Clause: "Blocks that report the rest of a flight after its timer has expired bring no second reduction.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(bulk(Hello{SACK: true}))
			_, segs, _ := c.pump(1)
			from := c.seqOf(segs[0])
			top := c.rcv
			c.Got(10*time.Second, "retransmission", c.at(from))
			threshold := c.Flow.Info().Ssthresh
			if threshold == 0 {
				t.Fatalf("no threshold after a timeout")
			}
			for rel := from + 2000; rel <= top; rel += 1000 {
				c.Send(ACK, Ack(from), SACKed(from+1000, rel))
			}
			c.Drain(0)
			if s := c.Flow.Info().Ssthresh; s != 0 && s < threshold { // 0: they undid the timeout (RFC 5682)
				t.Fatalf("ssthresh went from %d to %d by reports after a timeout", threshold, s)
			}
			c.AckAll()
		},
	},
	{
		ID: "rfc3522/3.2-eifel", Level: OnWire, Source: "RFC 3522 section 3.2; RFC 4015", Title: "A timestamp shows that a timeout was spurious", Needs: FRTO | Timestamps,
		Clause: "When the first ACK after a timeout echoes the original's timestamp the window is given back, and nothing else of the flight is sent again.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(bulk(Hello{TS: true}))
			_, segs, bytes := c.pump(1)
			top := c.rcv
			stamp := segs[0].TSval
			c.Got(5*time.Second, "retransmission", c.at(c.seqOf(segs[0])))
			c.Send(ACK, Ack(top), TSecr(stamp))
			next, n := c.flight()
			if old, _ := c.resent(next, top); len(old) > 0 {
				t.Fatalf("sent again: %v", old)
			}
			if n < bytes*9/10 {
				t.Fatalf("a flight of %d bytes after a timeout that was spurious, in one of %d", n, bytes)
			}
		},
	},
	{
		ID: "rfc5682/3.1-frto", Level: OnWire, Source: "RFC 5682 section 3.1", Title: "Two ACKs show that a timeout was spurious", Needs: FRTO | SACK,
		Clause: "When ACKs of the originals go on arriving after a timeout, the flight is not sent again and its window is given back.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(bulk(Hello{SACK: true}))
			_, segs, bytes := c.pump(1)
			top := c.rcv
			c.Got(10*time.Second, "retransmission", c.at(c.seqOf(segs[0])))
			c.ackEach(segs[:2], 0)
			again := c.Drain(0)
			c.ackEach(segs[2:], 0)
			more, n := c.flight()
			if old, _ := c.resent(append(again, more...), top); len(old) > 1 {
				t.Fatalf("sent again: %v", old)
			}
			_, first := c.resent(again, top)
			if n+first < bytes*8/10 {
				t.Fatalf("a flight of %d bytes after a timeout that was spurious, in one of %d", n+first, bytes)
			}
		},
	},
}

// loseFirst reports all of a flight but its first segment.
func (c *Conn) loseFirst(segs []*Segment) { c.lose(segs, 0) }

// lose reports, one by one, all of a flight but some of its segments, the first
// among them, and returns what the stack sends: numbers that had been sent before,
// and how many new bytes.
func (c *Conn) lose(segs []*Segment, lost ...int) (old []uint32, fresh int) {
	top := c.rcv
	missing := map[int]bool{}
	for _, i := range lost {
		missing[i] = true
	}
	var runs []uint32 // edges, the newest run last
	for i, s := range segs {
		from := c.seqOf(s)
		if missing[i] {
			continue
		}
		if n := len(runs); n > 0 && runs[n-1] == from {
			runs[n-1] = from + uint32(len(s.Payload))
		} else {
			runs = append(runs, from, from+uint32(len(s.Payload)))
		}
		n := len(runs)
		newest := []uint32{runs[n-2], runs[n-1]}
		for j := n - 4; j >= 0 && len(newest) < 8; j -= 2 {
			newest = append(newest, runs[j], runs[j+1])
		}
		c.Send(ACK, Ack(c.seqOf(segs[0])), SACKed(newest...))
		o, f := c.resent(c.Drain(0), top)
		old, fresh = append(old, o...), fresh+f
	}
	return old, fresh
}

// settleRecovery lets a recovery end: everything that is out arrives.
func (c *Conn) settleRecovery() {
	c.Drain(roundTrip)
	c.AckAll()
	segs, _ := c.flight()
	c.ackEach(segs, 0)
}

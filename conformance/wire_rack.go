package conformance

import (
	"math"
	"time"

	"github.com/sluicenet/sluice/api"
)

// measured exchanges some flights, so that the stack knows a round trip of rtt and a
// path that is faster than what a train needs: a sender that paces has to learn that,
// too.
func (c *Conn) measured(rtt time.Duration) {
	for _, n := range []int{1, 1, 1, 10, 20, 40, 40} {
		c.Written(1000 * n)
		c.echo(rtt, c.rcv+uint32(1000*n))
	}
	c.Drain(0)
}

// echo acknowledges each segment a round trip after it was sent, until everything
// before rel has been acknowledged.
func (c *Conn) echo(rtt time.Duration, rel uint32) {
	var out []*Segment // not yet acknowledged
	for int32(c.rcv-rel) < 0 || len(out) > 0 {
		deadline := c.clk.Now().Add(5 * time.Second)
		if len(out) > 0 {
			deadline = out[0].At.Add(rtt)
		}
		switch s := c.Take(deadline); {
		case s == nil && len(out) == 0:
			c.Fatalf("the stack has sent up to %d and then nothing, want %d", c.rcv, rel)
		case s == nil:
			c.ackEach(out[:1], 0)
			out = out[1:]
		case hasData(s):
			out = append(out, s)
		}
	}
}

// train writes n segments of 1000 bytes, waits until they have come and returns the
// number of the first.
func (c *Conn) train(n int) uint32 {
	from := c.rcv
	c.Written(1000 * n)
	c.GotData(paced, from+uint32(1000*n))
	return from
}

const trainRTT = 100 * time.Millisecond

// rackCases are RFC 8985.
var rackCases = []Case{
	{
		ID: "rfc8985/6.2-window", Level: OnWire, Source: "RFC 8985 section 6.2", Title: "A segment is lost when a later one has long been delivered", Needs: RACK,
		Clause: "One report of a segment sent later is enough: what was sent before goes out again within a round trip, without three reports and without a timeout.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(bulk(Hello{SACK: true, RTT: trainRTT}))
			c.measured(trainRTT)
			from := c.train(5)
			t.Sleep(trainRTT)
			c.Send(ACK, Ack(from), SACKed(from+1000, from+2000))
			c.Got(trainRTT, "retransmission", c.at(from))
			if n := c.Flow.Info().Timeouts; n != 0 {
				t.Fatalf("%d timeouts", n)
			}
			c.AckAll()
			c.Alive()
		},
	},
	{
		ID: "rfc8985/6.2-reorder", Level: OnWire, Source: "RFC 8985 section 6.2", Title: "What is late by less than the reordering window is not sent again", Needs: RACK | VirtualTime,
		Clause: "After reordering has been seen, even many reports of later segments bring no retransmission if the missing one is acknowledged within a quarter of the round trip.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(bulk(Hello{SACK: true, RTT: trainRTT}))
			c.seenReordering()
			from := c.train(8)
			t.Sleep(trainRTT)
			for k := uint32(2); k <= 6; k++ {
				c.Send(ACK, Ack(from), SACKed(from+1000, from+1000*k))
			}
			if old, _ := c.resent(c.Drain(trainRTT/5), c.rcv); len(old) > 0 {
				t.Fatalf("sent again: %v", old)
			}
			c.Send(ACK, Ack(from+6000))
			c.AckAll()
			c.Alive()
			if n := c.Flow.Info().Retransmits; n != 0 {
				t.Fatalf("%d retransmissions though nothing was lost", n)
			}
		},
	},
	{
		ID: "rfc8985/6.2-timer", Level: OnWire, Source: "RFC 8985 section 6.2", Title: "When the reordering window has passed the segment is lost", Needs: RACK | VirtualTime,
		Clause: "After reordering has been seen, a segment whose successors are reported goes out again when a quarter of the round trip has passed, though nothing more arrives.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(bulk(Hello{SACK: true, RTT: trainRTT}))
			c.seenReordering()
			from := c.train(8)
			t.Sleep(trainRTT)
			start := t.clk.Now()
			c.Send(ACK, Ack(from), SACKed(from+1000, from+6000))
			s := c.Got(trainRTT, "retransmission", c.at(from))
			if d := s.At.Sub(start); d < trainRTT/8 {
				t.Fatalf("retransmitted after %v", d)
			}
			c.AckAll()
			c.Alive()
		},
	},
	{
		ID: "rfc8985/6.2-dsack", Level: OnWire, Source: "RFC 8985 section 6.2", Title: "Reports of duplicates widen the reordering window", Needs: RACK | VirtualTime,
		Clause: "After needless retransmissions that the peer reports as duplicates, a segment is given more time than before.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(bulk(Hello{SACK: true, RTT: trainRTT}))
			c.seenReordering()
			var patience []time.Duration
			window := c.Flow.Info().Cwnd
			for range 4 {
				from := c.train(5)
				t.Sleep(trainRTT)
				start := t.clk.Now()
				c.Send(ACK, Ack(from), SACKed(from+1000, from+4000))
				s := c.Got(2*trainRTT, "retransmission", c.at(from))
				patience = append(patience, s.At.Sub(start))
				c.Send(ACK, SACKed(from, from+1000)) // the original was late
				c.Drain(0)
				c.measured(trainRTT)
			}
			if now := c.Flow.Info().Cwnd; t.Has(LossBased|FlowInfo) && now < window*6/10 {
				t.Fatalf("a window of %d after four losses that were none; it was %d", now, window)
			}
			if last := len(patience) - 1; patience[last] < patience[0]*3/2 {
				t.Fatalf("it waited %v", patience)
			}
		},
	},
	{
		ID: "rfc8985/6.2-retransmission", Level: OnWire, Source: "RFC 8985 section 6.2", Title: "A retransmission that is lost is found lost", Needs: RACK | VirtualTime,
		Clause: "When something sent after the retransmission is reported and it is not, it goes out once more, without a timeout.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(bulk(Hello{SACK: true}))
			_, segs, _ := c.pump(2)
			from := c.seqOf(segs[0])
			top := c.rcv
			old, fresh := c.lose(segs, 0)
			if len(old) == 0 || fresh == 0 {
				t.Inconclusivef("recovery sent %v again and %d new bytes", old, fresh)
			}
			t.Sleep(roundTrip) // the retransmission is lost; new data arrive
			for rel := top + 1000; rel <= top+uint32(fresh); rel += 1000 {
				c.Send(ACK, Ack(from), SACKed(from+1000, rel))
			}
			c.Got(roundTrip, "the retransmission again", c.at(from))
			if n := c.Flow.Info().Timeouts; n != 0 {
				t.Fatalf("%d timeouts", n)
			}
			c.AckAll()
		},
	},
	{
		ID: "rfc8985/6.2-karn", Level: OnWire, Source: "RFC 8985 section 6.2", Title: "The original's ACK is not the retransmission's", Needs: RACK | VirtualTime,
		Clause: "An ACK that comes too soon after a retransmission to be its own does not make everything that was sent before it lost.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(bulk(Hello{SACK: true, RTT: trainRTT}))
			c.measured(trainRTT)
			from := c.train(9)
			t.Sleep(trainRTT)
			for k := uint32(2); k <= 4; k++ {
				c.Send(ACK, Ack(from), SACKed(from+1000, from+1000*k))
			}
			c.Got(trainRTT/2, "retransmission", c.at(from))
			t.Sleep(time.Millisecond)
			c.Send(ACK, Ack(from+4000)) // the original was late
			if old, _ := c.resent(c.Drain(trainRTT/5), c.rcv); len(old) > 0 {
				t.Fatalf("sent again: %v; only %d was late", old, from)
			}
			c.AckAll()
			c.Alive()
		},
	},
	{
		ID: "rfc8985/7.2-pto", Level: OnWire, Source: "RFC 8985 section 7.2", Title: "A probe comes after about two round trips", Needs: RACK,
		Clause: "With nothing acknowledged one segment goes out after 1.5 to 4 round trips, with the peer's delayed ACK allowed for where one segment is out, and not after the RTO.",
		Run: func(t *T) {
			w := t.Lab(nil)
			for _, n := range []int{5, 1} {
				c := w.Accept(bulk(Hello{SACK: true, RTT: trainRTT}))
				c.measured(trainRTT)
				c.train(n)
				start, rto := t.clk.Now(), max(c.Flow.Info().RTO, time.Second)
				s := c.Got(5*time.Second, "probe", hasData)
				d, least, most := s.At.Sub(start), 3*trainRTT/2, t.late(4*trainRTT)
				if n == 1 {
					most += 200 * time.Millisecond
				}
				if d < least || d > most || d > t.late(rto) {
					t.Fatalf("%d segments out, round trip %v: the probe came after %v", n, trainRTT, d)
				}
				c.AckAll()
				c.Alive()
			}
		},
	},
	{
		ID: "rfc8985/7.3-new", Level: OnWire, Source: "RFC 8985 section 7.3", Title: "A probe carries new data where there are some", Needs: RACK,
		Clause: "With data waiting behind the congestion window, and room in the peer's, the probe is a segment of those.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(bulk(Hello{SACK: true}))
			_, _, _ = c.pump(1)
			top := c.rcv
			s := c.Got(5*roundTrip, "probe", hasData)
			if c.seqOf(s) != top {
				t.Fatalf("the probe is %d, the next new byte %d", c.seqOf(s), top)
			}
		},
	},
	{
		ID: "rfc8985/7.3-last", Level: OnWire, Source: "RFC 8985 section 7.3", Title: "Without new data the probe is the last segment", Needs: RACK,
		Clause: "With nothing waiting the segment with the highest number goes out again.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(bulk(Hello{SACK: true, RTT: trainRTT}))
			c.measured(trainRTT)
			n := t.size(2, 8)
			from := c.train(n)
			s := c.Got(4*trainRTT, "probe", hasData)
			if want := from + uint32(1000*(n-1)); c.seqOf(s) != want {
				t.Fatalf("the probe is %d, the last segment %d", c.seqOf(s), want)
			}
			c.AckAll()
			c.Alive()
		},
	},
	{
		ID: "rfc8985/7.3-one", Level: OnWire, Source: "RFC 8985 section 7.3", Title: "One probe, then the timer", Needs: RACK,
		Clause: "A probe that nobody answers is not followed by another: what comes next is the first segment, by the retransmission timer.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(bulk(Hello{SACK: true, RTT: trainRTT}))
			c.measured(trainRTT)
			from := c.train(5)
			c.Got(4*trainRTT, "probe", c.at(from+4000))
			s := c.Got(5*time.Second, "retransmission", hasData)
			if c.seqOf(s) != from {
				t.Fatalf("after the probe came %d; the first outstanding is %d", c.seqOf(s), from)
			}
			c.AckAll()
			c.Alive()
		},
	},
	{
		ID: "rfc8985/7.3-tail", Level: OnWire, Source: "RFC 8985 section 7.3", Title: "A lost tail needs no timeout", Needs: RACK,
		Clause: "The last three segments of a train are lost: the probe's report brings the other two, and no timer expires.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(bulk(Hello{SACK: true, RTT: trainRTT}))
			c.measured(trainRTT)
			n := uint32(t.size(5, 8))
			from := c.train(int(n))
			t.Sleep(trainRTT)
			una := from + 1000*(n-3)
			c.Send(ACK, Ack(una))
			c.Got(5*trainRTT, "probe", c.at(una+2000))
			t.Sleep(trainRTT)
			c.Send(ACK, Ack(una), SACKed(una+2000, una+3000))
			c.Got(trainRTT, "the first of the tail", c.at(una))
			t.Sleep(trainRTT / 2)
			c.Send(ACK, Ack(una+1000), SACKed(una+2000, una+3000))
			c.Got(trainRTT, "the second of the tail", c.at(una+1000))
			c.AckAll()
			c.Alive()
			if n := c.Flow.Info().Timeouts; n != 0 {
				t.Fatalf("%d timeouts", n)
			}
		},
	},
	{
		ID: "rfc8985/7.4-loss", Level: OnWire, Source: "RFC 8985 section 7.4", Title: "A loss that the probe repaired is congestion all the same", Needs: RACK | LossBased | FlowInfo,
		Clause: "When the probe, sent again, is acknowledged with nothing that says it came twice, the window is reduced.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(bulk(Hello{SACK: true, RTT: trainRTT}))
			c.measured(trainRTT)
			from := c.train(6)
			t.Sleep(trainRTT)
			c.Send(ACK, Ack(from+5000))
			c.Got(6*trainRTT, "probe", c.at(from+5000))
			before := c.Flow.Info()
			t.Sleep(trainRTT)
			c.AckAll()
			c.Written(1000)
			c.GotData(time.Second, c.rcv+1000)
			t.Sleep(trainRTT)
			c.AckAll()
			if after := c.Flow.Info(); after.Ssthresh == 0 || after.Cwnd > before.Cwnd {
				t.Fatalf("cwnd %d and ssthresh %d; before the probe cwnd was %d", after.Cwnd, after.Ssthresh, before.Cwnd)
			}
			c.Alive()
		},
	},
	{
		ID: "rfc8985/7.4-no-loss", Level: OnWire, Source: "RFC 8985 section 7.4", Title: "A probe that repaired nothing reduces nothing", Needs: RACK | FlowInfo,
		Clause: "When the original was only late, and the probe is reported as a duplicate, the window stays.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(bulk(Hello{SACK: true, RTT: trainRTT}))
			c.measured(trainRTT)
			from := c.train(6)
			before := c.Flow.Info()
			c.Got(4*trainRTT, "probe", c.at(from+5000))
			c.AckAll()
			c.Send(ACK, SACKed(from+5000, from+6000))
			c.Written(1000)
			c.GotData(time.Second, c.rcv+1000)
			c.AckAll()
			if after := c.Flow.Info(); after.Cwnd < before.Cwnd || after.Ssthresh != before.Ssthresh {
				t.Fatalf("cwnd %d and ssthresh %d; before %d and %d", after.Cwnd, after.Ssthresh, before.Cwnd, before.Ssthresh)
			}
			c.Alive()
		},
	},
}

// seenReordering makes the stack see that the path reorders, without loss.
func (c *Conn) seenReordering() {
	c.measured(trainRTT)
	from := c.train(4)
	c.Sleep(trainRTT)
	c.Send(ACK, Ack(from), SACKed(from+1000, from+2000))
	c.Send(ACK, Ack(from+2000))
	c.Sleep(time.Millisecond)
	c.AckAll()
	c.Drain(0)
	if n := c.Flow.Info().Retransmits; n != 0 {
		c.Inconclusivef("%d retransmissions by reordering within an instant", n)
	}
}

// windowLawCases are RFC 9438 and RFC 9937.
var windowLawCases = []Case{
	{
		ID: "rfc9438/4.6-beta", Level: OnWire, Source: "RFC 9438 section 4.6", Title: "A loss multiplies the window by 0.7", Needs: Cubic | SACK | VirtualTime,
		Clause: "The flight after a recovery is seven tenths of the one that met the loss, to within a segment or two.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(bulk(Hello{SACK: true}))
			_, segs, bytes := c.pump(2)
			c.loseFirst(segs)
			c.settleRecovery()
			if _, n := c.flight(); math.Abs(float64(n)-0.7*float64(bytes)) > 2500 {
				t.Fatalf("a flight of %d bytes after a loss from one of %d", n, bytes)
			}
		},
	},
	{
		ID: "rfc9438/4.8-timeout", Level: OnWire, Source: "RFC 9438 section 4.8", Title: "After a timeout one segment, and a threshold of 0.7", Needs: Cubic | FlowInfo,
		Clause: "The threshold is seven tenths of what was in flight, and what follows the retransmission begins with one segment.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(bulk(Hello{}))
			_, segs, bytes := c.pump(1)
			c.Got(5*time.Second, "retransmission", c.at(c.seqOf(segs[0])))
			if n := len(c.Drain(10 * time.Millisecond)); n != 0 {
				t.Fatalf("%d segments beside the retransmission", n)
			}
			if s := float64(c.Flow.Info().Ssthresh); math.Abs(s-0.7*float64(bytes)) > 2500 {
				t.Fatalf("ssthresh %v after a timeout with %d bytes in flight", s, bytes)
			}
			c.AckAll()
		},
	},
	{
		ID: "rfc9438/4.2-growth", Level: OnWire, Source: "RFC 9438 section 4.2, 4.4, 4.5", Title: "The window grows no faster than the curve", Needs: Cubic | SACK | VirtualTime,
		Clause: "After a loss each flight is below the cubic function a round trip ahead, or what Reno would send, and below one and a half times the one before.",
		Run:    func(t *T) { t.cubicGrowth(true) },
	},
	{
		ID: "rfc9438/4.3-reno", Level: OnWire, Source: "RFC 9438 section 4.3", Title: "The window grows no slower than Reno's", Needs: Cubic | SACK | VirtualTime,
		Clause: "After a loss each flight is at least what a sender with the same reduction and additive growth would send.",
		Run:    func(t *T) { t.cubicGrowth(false) },
	},
	{
		ID: "rfc9937/6.2-proportional", Level: OnWire, Source: "RFC 9937 section 6.2", Title: "In recovery what is sent is in proportion to what arrives", Needs: PRR | SACK | LossBased | FlowInfo,
		Clause: "After each ACK the bytes sent in recovery are at most those delivered times ssthresh over the flight, but for one segment.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(bulk(Hello{SACK: true}))
			_, segs, bytes := c.pump(2)
			from, top := c.seqOf(segs[0]), c.rcv
			sent, delivered, share := 0, 0, 0.0
			for i := 1; i < len(segs); i++ {
				c.Send(ACK, Ack(from), SACKed(from+1000, from+uint32(1000*(i+1))))
				old, fresh := c.resent(c.Drain(0), top)
				if s := c.Flow.Info().Ssthresh; share == 0 && len(old) > 0 {
					share = float64(s) / float64(bytes)
					delivered, fresh = 1000*i, 0 // what came before is limited transmit
				} else {
					delivered += 1000
				}
				if share == 0 {
					continue
				}
				sent += 1000*len(old) + fresh
				if limit := share*float64(delivered) + 2000; float64(sent) > limit {
					t.Fatalf("%d bytes sent in recovery for %d delivered; the window goes to %.2f of what it was", sent, delivered, share)
				}
			}
			if share == 0 || sent < bytes*3/10 {
				t.Fatalf("%d bytes sent in recovery, of a flight of %d", sent, bytes)
			}
			c.AckAll()
		},
	},
	{
		ID: "rfc9937/6.2-bounded", Level: OnWire, Source: "RFC 9937 section 6.2", Title: "After heavy loss an ACK sends what it delivers, and a segment more", Needs: VirtualTime | PRR | SACK | LossBased,
		Clause: "When most of a flight is lost no ACK releases more than it delivers plus one segment: no burst fills the hole.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(bulk(Hello{SACK: true}))
			_, segs, _ := c.pump(2)
			from, top := c.seqOf(segs[0]), c.rcv
			first := len(segs) * 3 / 4
			sent, acks := 0, 0
			for i := first; i < len(segs); i++ {
				c.Send(ACK, Ack(from), SACKed(c.seqOf(segs[first]), c.seqOf(segs[i])+1000))
				old, fresh := c.resent(c.Drain(0), top)
				acks++
				sent += len(old) + fresh/1000
				if n := len(old) + fresh/1000; n > 3 {
					t.Fatalf("one ACK of a segment released %d", n)
				}
			}
			if sent > 2*acks+2 || sent < 1 {
				t.Fatalf("%d ACKs released %d segments", acks, sent)
			}
			c.AckAll()
		},
	},
	{
		ID: "rfc9937/6.2-first", Level: OnWire, Source: "RFC 9937 section 6.2", Title: "The first retransmission does not wait", Needs: PRR | SACK,
		Clause: "The ACK that finds the loss sends the segment at once, though the window is to be much smaller than what is in flight.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(bulk(Hello{SACK: true}))
			_, segs, _ := c.pump(2)
			from := c.seqOf(segs[0])
			for i := uint32(2); i <= 4; i++ {
				c.Send(ACK, Ack(from), SACKed(from+1000, from+1000*i))
			}
			c.Got(0, "retransmission", c.at(from))
			c.AckAll()
		},
	},
	{
		ID: "rfc9937/6.2-end", Level: OnWire, Source: "RFC 9937 section 6.2", Title: "Recovery ends without a burst", Needs: PRR | SACK | LossBased | FlowInfo,
		Clause: "After the ACK that ends it no more is outstanding than the window that the controller has chosen, to within a segment.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(bulk(Hello{SACK: true}))
			_, segs, bytes := c.pump(2)
			top := c.rcv
			c.loseFirst(segs)
			c.Drain(roundTrip)
			high := c.rcv
			c.Send(ACK, Ack(top))
			c.Drain(0)
			if n := int(c.rcv - top); n > bytes*75/100+2000 || int(c.rcv-high) > 3000 {
				t.Fatalf("%d bytes are outstanding after a recovery from a flight of %d; the last ACK released %d", n, bytes, c.rcv-high)
			}
			c.AckAll()
		},
	},
}

// cubicGrowth compares the flights after a loss with RFC 9438, section 4.2 and 4.3.
func (t *T) cubicGrowth(above bool) {
	const rtt = 100 * time.Millisecond
	c := t.Lab(nil).Accept(bulk(Hello{SACK: true, Flow: api.FlowConfig{}}))
	_, segs, bytes := c.pump(2)
	c.loseFirst(segs)
	c.settleRecovery()
	segs, n := c.flight()
	wMax, w0 := float64(bytes)/1000, float64(n)/1000
	k := math.Cbrt((wMax - w0) / 0.4)
	start := t.clk.Now()
	before := w0
	const alpha = 3 * (1 - 0.7) / (1 + 0.7)
	for i := 1; i <= 40; i++ {
		t.Sleep(rtt - roundTrip)
		c.ackEach(segs, 0)
		segs, n = c.flight()
		w := float64(n) / 1000
		at := t.clk.Now().Sub(start).Seconds() + rtt.Seconds()
		curve := 0.4*math.Pow(at-k, 3) + wMax
		reno := w0 + alpha*float64(i)
		if reno > wMax {
			reno = wMax + (float64(i) - (wMax-w0)/alpha)
		}
		if above && (w > max(curve, reno)+2.5 || w > 1.5*before+2) {
			t.Fatalf("flight %d has %.0f segments; the curve is at %.1f, Reno at %.1f, the flight before had %.0f", i, w, curve, reno, before)
		}
		if !above && w < reno-2.5 {
			t.Fatalf("flight %d has %.0f segments; Reno would be at %.1f", i, w, reno)
		}
		before = w
	}
	if before < w0+3 {
		t.Fatalf("from %.0f to %.0f segments in 40 round trips", w0, before)
	}
	c.AckAll()
}

package conformance

import (
	"time"

	"github.com/sluicenet/sluice/api"
)

// acceptECN is Accept of a connection for which the peer asks for ECN.
func (w *Lab) acceptECN(h Hello) *Conn {
	l := w.Listen(&api.ListenConfig{Flow: h.flow()})
	c := w.newConn(h)
	c.host = addrPort(w.Host, l.Port)
	c.snd = 0
	c.Send(SYN|ECE|CWR, Opts(c.options()))
	if s := c.SYNACK(); s.Flags&(ECE|CWR) != ECE {
		w.Fatalf("an ECN-setup SYN was answered by %s", s)
	}
	if h.RTT > 0 {
		w.Sleep(h.RTT)
	}
	c.Send(ACK)
	f, err := l.Flows.Take(w.Timeout(time.Minute))
	w.ok("accept", err)
	c.Flow = f
	return c
}

// roundTrip is how long the peer of the cases about windows takes to answer: short of any
// retransmission.
const roundTrip = 50 * time.Millisecond

// flight returns the data that come within a round trip.
func (c *Conn) flight() (segs []*Segment, bytes int) {
	for _, s := range c.Drain(roundTrip) {
		if hasData(s) {
			segs = append(segs, s)
			bytes += len(s.Payload)
		}
	}
	return segs, bytes
}

// ackEach acknowledges segments one by one, with flags.
func (c *Conn) ackEach(segs []*Segment, flags Flags) {
	for _, s := range segs {
		c.Send(ACK|flags, Ack(c.seqOf(s)+uint32(len(s.Payload))))
	}
}

// pump makes the stack send a long stream, lets some flights pass without loss, and
// returns the flight that is then outstanding. All segments have 1000 bytes, without
// timestamps.
func (c *Conn) pump(flights int) (op *Op[error], segs []*Segment, bytes int) {
	op = c.WriteLater(5_000_000)
	for range flights {
		segs, _ = c.flight()
		c.ackEach(segs, 0)
	}
	segs, bytes = c.flight()
	if len(segs) < 8 {
		c.Inconclusivef("a flight of %d segments is too small", len(segs))
	}
	return op, segs, bytes
}

// bulk are options for pump.
func bulk(h Hello) Hello {
	h.MSS, h.Scale = 1000, 7
	if h.RTT == 0 {
		h.RTT = roundTrip
	}
	if h.TS {
		h.MSS = 1012
	}
	h.Flow.SendBuffer = 4 << 20
	return h
}

// ecnCases are RFC 3168.
var ecnCases = []Case{
	{
		ID: "rfc9293/SHLD-8", Level: OnWire, Source: "RFC 9293 section 3.8.2; RFC 3168", Title: "ECN works, end to end", Needs: ECN,
		Clause: "Where the peer asks for it ECN is agreed on, data are ECT, and congestion that was met is echoed.",
		Run: func(t *T) {
			c := t.Lab(nil).acceptECN(Hello{})
			c.Written(t.size(1, 1400))
			if s := c.Got(time.Second, "data", hasData); ecnOf(s) != ect0 && ecnOf(s) != ect1 {
				t.Fatalf("data that are not ECT: %s", s)
			}
			c.AckAll()
			c.Send(ACK|PSH, Data(10), IPECN(congestionExperienced))
			if s := c.GotAck(time.Second, 11); !s.Has(ECE) {
				t.Fatalf("CE is not echoed: %s", s)
			}
			c.WantRead(10)
			if !c.Flow.Info().ECN && t.Has(FlowInfo) {
				t.Fatalf("Info does not tell of ECN")
			}
		},
	},
	{
		ID: "rfc3168/5-ignore", Level: OnWire, Source: "RFC 3168 section 6.1", Title: "Without agreement ECN is not used", Needs: ECN,
		Clause: "After a plain handshake no data are ECT, CE is not echoed, and an ECE reduces nothing.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(bulk(Hello{}))
			c.Send(ACK|PSH, Data(10), IPECN(congestionExperienced))
			if s := c.GotAck(time.Second, 11); s.Has(ECE) {
				t.Fatalf("CE was echoed without agreement: %s", s)
			}
			c.WantRead(10)
			_, segs, bytes := c.pump(1)
			for _, s := range segs {
				if ecnOf(s) != notECT || s.Flags&(ECE|CWR) != 0 {
					t.Fatalf("ECN without agreement: %s", s)
				}
			}
			c.ackEach(segs, ECE)
			if _, n := c.flight(); n < bytes*9/10 {
				t.Fatalf("a flight of %d bytes after one of %d: an ECE without agreement was obeyed", n, bytes)
			}
		},
	},
	{
		ID: "rfc3168/6.1.1-syn", Level: OnWire, Source: "RFC 3168 section 6.1.1", Title: "The forms of SYN and SYN-ACK", Needs: ECN,
		Clause: "An ECN-setup SYN-ACK has ECE and not CWR, and answers an ECN-setup SYN alone; one flag, or none, gets a plain SYN-ACK. An ECN-setup SYN of the stack has both.",
		Run: func(t *T) {
			w := t.Lab(func(e *Env) { e.AskECN = true })
			for _, f := range []Flags{0, ECE, CWR, ECE | CWR} {
				l := w.Listen(nil)
				c := w.newConn(Hello{})
				c.host = addrPort(w.Host, l.Port)
				c.Send(SYN|f, Opts(c.options()))
				s := c.SYNACK()
				want := Flags(0)
				if f == ECE|CWR {
					want = ECE
				}
				if s.Flags&(ECE|CWR) != want {
					t.Fatalf("a SYN with flags [%v] got %s", f, s)
				}
			}
			c, _ := w.StartDial(Hello{})
			if f := c.syn.Flags & (ECE | CWR); f != ECE|CWR && f != 0 {
				t.Fatalf("half of an ECN-setup SYN: %s", c.syn)
			}
		},
	},
	{
		ID: "rfc3168/6.1.1-no-ect", Level: OnWire, Source: "RFC 3168 section 6.1.1", Title: "SYN and SYN-ACK are not ECT", Needs: ECN,
		Clause: "Neither carries an ECN codepoint, retransmitted or not, while the data after them do.",
		Run: func(t *T) {
			w := t.Lab(func(e *Env) { e.AskECN = true })
			c, op := w.StartDial(Hello{})
			again := c.Got(5*time.Second, "SYN again", isSYN)
			l := w.Listen(nil)
			a := w.newConn(Hello{})
			a.host = addrPort(w.Host, l.Port)
			a.Send(SYN|ECE|CWR, Opts(a.options()))
			first := a.SYNACK()
			second := w.Segment(5*time.Second, "SYN-ACK again", isSYNACK)
			for _, s := range []*Segment{c.syn, again, first, second} {
				if ecnOf(s) != notECT {
					t.Fatalf("ECN codepoint %d: %s", ecnOf(s), s)
				}
			}
			c.Send(RST | ACK)
			op.Wait()
			d := w.acceptECN(Hello{})
			d.Written(10)
			if s := d.Got(time.Second, "data", hasData); ecnOf(s) == notECT {
				t.Fatalf("data that are not ECT: %s", s)
			}
		},
	},
	{
		ID: "rfc3168/6.1.1-bounce", Level: OnWire, Source: "RFC 3168 section 6.1.1", Title: "A SYN-ACK that returns both bits agrees to nothing", Needs: ECN,
		Clause: "Only a SYN-ACK with ECE and without CWR agrees: after any other the data are not ECT.",
		Run: func(t *T) {
			w := t.Lab(func(e *Env) { e.AskECN = true })
			for _, f := range []Flags{ECE | CWR, CWR, 0, ECE} {
				c, op := w.StartDial(Hello{})
				if !c.syn.Has(ECE | CWR) {
					t.Skipf("the stack's dials do not ask for ECN")
				}
				c.Send(SYN|ACK|f, Opts(c.options()))
				d := op.WaitFor(time.Second)
				t.ok("dial", d.err)
				c.Flow = d.flow
				c.Drain(0)
				c.Written(100)
				if s := c.Got(time.Second, "data", hasData); (ecnOf(s) != notECT) != (f == ECE) {
					t.Fatalf("after a SYN-ACK with flags [%v] data have ECN codepoint %d", f, ecnOf(s))
				}
			}
		},
	},
	{
		ID: "rfc3168/6.1.1.1-fallback", Level: OnWire, Source: "RFC 3168 section 6.1.1.1", Title: "An ECN-setup SYN without an answer gives way to a plain one", Needs: ECN,
		Clause: "Of the retransmitted SYNs some are plain, so that a path that loses the others is passed; the connection is then without ECN.",
		Run: func(t *T) {
			c, op := t.Lab(func(e *Env) { e.AskECN = true }).StartDial(Hello{})
			if !c.syn.Has(ECE | CWR) {
				t.Skipf("the stack's dials do not ask for ECN")
			}
			c.Got(3*time.Minute, "plain SYN", func(s *Segment) bool { return isSYN(s) && s.Flags&(ECE|CWR) == 0 })
			c.Send(SYN|ACK, Seq(0), Opts(c.options()))
			c.snd = 1
			d := op.WaitFor(time.Second)
			t.ok("dial", d.err)
			c.Flow = d.flow
			c.Drain(0)
			c.Written(10)
			if s := c.Got(time.Second, "data", hasData); ecnOf(s) != notECT {
				t.Fatalf("ECT after a plain SYN: %s", s)
			}
		},
	},
	{
		ID: "rfc3168/6.1.2-reduce", Level: OnWire, Source: "RFC 3168 section 6.1.2", Title: "An echo is answered like a loss, once", Needs: ECN | LossBased,
		Clause: "ECE on every ACK of a flight makes the next smaller, but not by more than one reduction does; nothing is retransmitted.",
		Run: func(t *T) {
			c := t.Lab(nil).acceptECN(bulk(Hello{SACK: true}))
			_, segs, bytes := c.pump(2)
			top := c.rcv
			c.ackEach(segs, ECE)
			next, n := c.flight()
			for _, s := range next {
				if c.seqOf(s) < top {
					t.Fatalf("retransmitted: %s", s)
				}
			}
			if n > bytes*8/10+1000 || n < bytes*4/10-1000 {
				t.Fatalf("a flight of %d bytes, after one of %d that met congestion", n, bytes)
			}
		},
	},
	{
		ID: "rfc3168/6.1.2-cwr", Level: OnWire, Source: "RFC 3168 section 6.1.2", Title: "CWR stands on the first new data after a reduction", Needs: ECN,
		Clause: "After an ECE the first data segment that is new carries CWR, and those after it do not.",
		Run: func(t *T) {
			c := t.Lab(nil).acceptECN(bulk(Hello{SACK: true}))
			_, segs, _ := c.pump(1)
			c.ackEach(segs, ECE)
			next, _ := c.flight()
			for i, s := range next {
				if s.Has(CWR) != (i == 0) {
					t.Fatalf("segment %d after the ECE: %s", i+1, s)
				}
			}
			c.ackEach(next, 0)
			again, _ := c.flight()
			for _, s := range again {
				if s.Has(CWR) {
					t.Fatalf("CWR again: %s", s)
				}
			}
			if len(next) == 0 || len(again) == 0 {
				t.Fatalf("flights of %d and %d segments", len(next), len(again))
			}
		},
	},
	{
		ID: "rfc3168/6.1.3-echo", Level: OnWire, Source: "RFC 3168 section 6.1.3", Title: "Congestion is echoed until CWR comes", Needs: ECN,
		Clause: "After one segment with CE each ACK, and each segment with data, has ECE, until a segment with CWR arrives.",
		Run: func(t *T) {
			c := t.Lab(nil).acceptECN(Hello{})
			got := func(flags Flags, ce bool, want bool) {
				mark := ect0
				if ce {
					mark = congestionExperienced
				}
				c.Send(ACK|PSH|flags, Data(t.size(1, 500)), IPECN(mark))
				s := c.GotAck(time.Second, c.snd)
				c.WantRead(int(c.snd) - 1 - c.read)
				if s.Has(ECE) != want {
					t.Fatalf("ECE is %v, want %v: %s", s.Has(ECE), want, s)
				}
				c.Written(5)
				if s := c.Got(time.Second, "data", hasData); s.Has(ECE) != want {
					t.Fatalf("ECE is %v, want %v: %s", s.Has(ECE), want, s)
				}
				c.AckAll()
			}
			got(0, false, false)
			got(0, true, true)
			for range t.size(2, 8) {
				got(0, false, true)
			}
			got(CWR, false, false)
			got(0, false, false)
		},
	},
	{
		ID: "rfc3168/6.1.3-cwr-ce", Level: OnWire, Source: "RFC 3168 section 6.1.3", Title: "CE counts though CWR comes with it", Needs: ECN,
		Clause: "A segment with CWR that has itself met congestion ends the old echo and begins a new one.",
		Run: func(t *T) {
			c := t.Lab(nil).acceptECN(Hello{})
			for _, x := range []struct {
				flags Flags
				mark  uint8
				want  bool
			}{{0, congestionExperienced, true}, {CWR, congestionExperienced, true}, {0, ect0, true}, {CWR, ect0, false}, {CWR, congestionExperienced, true}} {
				c.Send(ACK|PSH|x.flags, Data(10), IPECN(x.mark))
				if s := c.GotAck(time.Second, c.snd); s.Has(ECE) != x.want {
					t.Fatalf("flags [%v], mark %d: ECE is %v, want %v", x.flags, x.mark, s.Has(ECE), x.want)
				}
				c.WantRead(10)
			}
		},
	},
	{
		ID: "rfc3168/6.1.4-ack", Level: OnWire, Source: "RFC 3168 section 6.1.4", Title: "A pure ACK is not ECT", Needs: ECN,
		Real:   30 * time.Second,
		Clause: "Segments without data carry no ECN codepoint; data do.",
		Run: func(t *T) {
			c := t.Lab(nil).acceptECN(Hello{SACK: true, Flow: api.FlowConfig{Keepalive: api.KeepaliveConfig{After: 20 * time.Second, Interval: 5 * time.Second, Probes: 5}}})
			c.Send(ACK|PSH, Data(10), IPECN(ect0))
			c.Send(ACK|PSH, Seq(101), Data(10), IPECN(ect0))
			c.Written(100)
			n := 0
			for _, s := range c.Drain(20500 * time.Millisecond) {
				if len(s.Payload) == 0 && ecnOf(s) != notECT {
					t.Fatalf("no data, and ECT: %s", s)
				}
				if hasData(s) && ecnOf(s) != notECT {
					n++
				}
				c.AckAll()
			}
			if n == 0 {
				t.Fatalf("no data with ECT")
			}
		},
	},
	{
		ID: "rfc3168/6.1.5-retransmission", Level: OnWire, Source: "RFC 3168 section 6.1.5", Title: "A retransmission is not ECT", Needs: ECN,
		Clause: "What is sent again, by duplicate ACKs or by the timer, carries no ECN codepoint; what is new does.",
		Run: func(t *T) {
			for _, fast := range []bool{true, false} {
				c := t.Lab(nil).acceptECN(bulk(Hello{}))
				_, segs, _ := c.pump(0)
				if fast {
					for range 5 {
						c.Send(ACK, Ack(c.seqOf(segs[0])))
					}
				}
				top, again := c.rcv, 0
				for _, s := range c.Drain(3 * time.Second) {
					switch {
					case !hasData(s):
					case c.seqOf(s) < top:
						again++
						if ecnOf(s) != notECT {
							t.Fatalf("retransmitted as ECT: %s", s)
						}
					default:
						top = c.seqOf(s) + uint32(len(s.Payload))
						if ecnOf(s) == notECT {
							t.Fatalf("new data that are not ECT: %s", s)
						}
					}
				}
				if again == 0 {
					t.Fatalf("nothing was retransmitted")
				}
				c.Stack.Disconnect(t.Timeout(0))
			}
		},
	},
	{
		ID: "rfc3168/6.1.5-window", Level: OnWire, Source: "RFC 3168 section 6.1.5", Title: "CE outside the window is ignored", Needs: ECN,
		Clause: "The mark of a segment that is not acceptable, as an attacker may send it, is not echoed.",
		Run: func(t *T) {
			c := t.Lab(nil).acceptECN(Hello{})
			for _, rel := range []uint32{c.snd + 1<<20 + uint32(t.size(0, 1<<20)), c.snd - 2000, c.snd + 1<<30} {
				c.Send(ACK|PSH, Seq(rel), Bytes([]byte("evil")), IPECN(congestionExperienced))
				c.Drain(2 * time.Second)
			}
			c.Send(ACK|PSH, Data(10), IPECN(ect0))
			if s := c.GotAck(time.Second, c.snd); s.Has(ECE) {
				t.Fatalf("the mark of a segment outside the window is echoed: %s", s)
			}
			c.WantRead(10)
		},
	},
	{
		ID: "rfc3168/6.1.6-probe", Level: OnWire, Source: "RFC 3168 section 6.1.6", Title: "A window probe is not ECT", Needs: ECN,
		Clause: "What is sent into a closed window carries no ECN codepoint.",
		Run: func(t *T) {
			c := t.Lab(nil).acceptECN(Hello{Window: 1000})
			c.Written(1000)
			if s := c.GotData(time.Second, 1001)[0]; ecnOf(s) == notECT {
				t.Fatalf("data that are not ECT: %s", s)
			}
			c.Send(ACK, Win(0))
			c.Drain(0)
			c.Written(500)
			for range 4 {
				if s := c.Got(time.Minute, "probe", anySegment); ecnOf(s) != notECT {
					t.Fatalf("a probe that is ECT: %s", s)
				}
				c.rcv = 1001
				c.Send(ACK, Win(0))
			}
		},
	},
}

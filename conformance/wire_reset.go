package conformance

import (
	"context"
	"net/netip"
	"time"

	"github.com/sluicenet/sluice/api"
)

type contextT = context.Context

// resetCases are about RST: RFC 9293, sections 3.5.2, 3.5.3, 3.10.7.1 and 3.10.7.4.
var resetCases = []Case{
	{
		ID: "rfc9293/3.10.7.1-closed", Level: OnWire, Source: "RFC 9293 section 3.10.7.1", Title: "CLOSED: everything but a RST is reset",
		Clause: "A segment with ACK gets <SEQ=SEG.ACK><CTL=RST>, one without <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>; a RST gets nothing.",
		Run: func(t *T) {
			w := t.Lab(nil)
			from, to := netip.AddrPortFrom(w.Peer, 6001), netip.AddrPortFrom(w.Host, 81)
			for _, f := range []Flags{SYN, SYN | ACK, ACK, FIN | ACK, FIN, PSH | ACK, PSH, 0} {
				s := &Segment{Src: from, Dst: to, Flags: f, Seq: 0xfffffff0, Ack: 0x80000001, Payload: make([]byte, 20)}
				if f&ACK == 0 {
					s.Ack = 0
				}
				w.SendSegment(s)
				r := w.Segment(time.Second, "RST", isRST)
				switch {
				case f&ACK != 0 && (r.Seq != s.Ack || r.Has(ACK)):
					t.Fatalf("[%v] got %s, want <SEQ=SEG.ACK><CTL=RST>", f, r)
				case f&ACK == 0 && (r.Seq != 0 || !r.Has(ACK) || r.Ack != s.Seq+s.Len()):
					t.Fatalf("[%v] got %s, want <SEQ=0><ACK=%d><CTL=RST,ACK>", f, r, s.Seq+s.Len())
				}
				if len(r.Payload) != 0 || r.Src != to || r.Dst != from {
					t.Fatalf("[%v] got %s", f, r)
				}
			}
			for _, f := range []Flags{RST, RST | ACK, RST | SYN, RST | FIN} {
				w.SendSegment(&Segment{Src: from, Dst: to, Flags: f, Seq: 1, Ack: 2})
			}
			w.Quiet(time.Second, "answer to a RST", anySegment)
		},
	},
	{
		ID: "rfc9293/MUST-66", Level: OnWire, Source: "RFC 9293 section 3.4 (MUST-66)", Title: "A RST counts although the window is zero",
		Clause: "With a receive window of zero a RST at RCV.NXT resets, and an ACK is still processed.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{Flow: api.FlowConfig{ReceiveBuffer: 8 << 10}})
			c.fillWindow()
			c.Written(100)
			c.GotData(time.Second, 101)
			c.AckAll()
			c.None(10*time.Second, "retransmission of what was acknowledged at a closed window", hasData)
			c.Send(RST)
			t.is("write", c.Flow.Write(t.Bound(), api.CopyBuffer([]byte("x"))), api.ErrReset)
			t.is("reason", c.Flow.CloseReason(), api.ErrReset)
		},
	},
	{
		ID: "rfc9293/SHLD-2", Level: OnWire, Source: "RFC 9293 section 3.5.3", Title: "A RST may carry data",
		Clause: "A RST with a payload resets like any other.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			c.Send(RST, Bytes([]byte("go away")))
			t.is("read", readError(t, c.Flow), api.ErrReset)
		},
	},
	{
		ID: "rfc9293/3.10.5-abort", Level: OnWire, Source: "RFC 9293 section 3.10.5", Title: "Abort sends <SEQ=SND.NXT><CTL=RST>",
		Clause: "The RST of an abort has the next sequence number, so that the peer accepts it, and nothing follows it.",
		Run: func(t *T) {
			w := t.Lab(nil)
			for _, closed := range []bool{false, true} {
				c := w.Accept(Hello{})
				c.Written(100)
				c.GotData(time.Second, 101)
				if closed {
					t.ok("CloseWrite", c.Flow.CloseWrite())
					c.GotFIN(time.Second)
				}
				c.Flow.Abort()
				s := c.GotRST(time.Second)
				if c.seqOf(s) != c.rcv {
					t.Fatalf("RST at %d, SND.NXT is %d", c.seqOf(s), c.rcv)
				}
				c.None(time.Minute, "segment after the RST", anySegment)
				c.Ended()
			}
		},
	},
	{
		ID: "rfc9293/3.10.7.4-reset-states", Level: OnWire, Source: "RFC 9293 section 3.10.7.4", Title: "A RST ends the connection in every synchronised state",
		Clause: "In ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2 and CLOSE-WAIT a RST gives ErrReset; in CLOSING and LAST-ACK it ends the connection.",
		Run: func(t *T) {
			w := t.Lab(nil)
			for _, state := range []api.State{api.StateEstablished, api.StateFinWait1, api.StateFinWait2, api.StateCloseWait, api.StateClosing, api.StateLastAck} {
				c := w.InState(state)
				c.Send(RST)
				c.Drain(0)
				if state != api.StateClosing && state != api.StateLastAck {
					t.is("reason in "+state.String(), c.Flow.CloseReason(), api.ErrReset)
				}
				if got := c.Flow.Info().State; got != api.StateClosed {
					t.Fatalf("state %v after a RST in %v", got, state)
				}
				c.Ended()
			}
		},
	},
	{
		ID: "rfc9293/no-ack-bit", Level: OnWire, Source: "RFC 9293 section 3.10.7.4 (fifth)", Title: "A segment without ACK is dropped",
		Clause: "In a synchronised state a segment with neither ACK, RST nor SYN has no effect.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			c.Send(PSH, Seq(1), Bytes(pattern(100, 10)))
			c.Send(FIN, Seq(1))
			c.Send(0, Seq(1), Bytes(pattern(100, 10)))
			for _, s := range c.Drain(time.Second) {
				if c.ackOf(s) != 1 {
					t.Fatalf("acknowledged: %s", s)
				}
			}
			c.Alive()
		},
	},
}

// fillWindow sends data until the stack's window is closed. Nobody reads.
func (c *Conn) fillWindow() {
	for window := c.lastWindow; window > 0; {
		c.Send(ACK|PSH, Data(int(min(window, int64(c.hello.MSS)))))
		window = c.windowOf(c.GotAck(time.Second, c.snd))
		if c.snd > 1<<20 {
			c.Fatalf("the window does not close")
		}
	}
	c.Drain(0)
}

// InState returns a connection that the peer has opened and brought to a state.
func (w *Lab) InState(state api.State) *Conn {
	c := w.Accept(Hello{})
	closeWrite := func() {
		w.ok("CloseWrite", c.Flow.CloseWrite())
		c.GotFIN(time.Second)
	}
	switch state {
	case api.StateEstablished:
	case api.StateFinWait1:
		closeWrite()
	case api.StateFinWait2:
		closeWrite()
		c.AckAll()
	case api.StateCloseWait:
		c.Send(FIN | ACK)
		c.GotAck(time.Second, c.snd)
	case api.StateClosing:
		closeWrite()
		c.Send(FIN|ACK, Ack(c.rcv-1))
		c.GotAck(time.Second, c.snd)
	case api.StateLastAck:
		c.Send(FIN | ACK)
		c.GotAck(time.Second, c.snd)
		closeWrite()
	case api.StateTimeWait:
		closeWrite()
		c.Send(FIN | ACK)
		c.GotAck(time.Second, c.snd)
	default:
		panic("BUG: no way to state " + state.String())
	}
	if got := c.Flow.Info().State; got != state {
		w.Fatalf("the state is %v, brought about was %v", got, state)
	}
	return c
}

// synchronised are the states in which RFC 5961 applies.
var synchronised = []api.State{api.StateEstablished, api.StateFinWait1, api.StateFinWait2, api.StateCloseWait, api.StateClosing, api.StateLastAck}

// blindCases are RFC 5961.
var blindCases = []Case{
	{
		ID: "rfc5961/3-rst-in-window", Level: OnWire, Source: "RFC 5961 section 3.2", Title: "A RST in the window, but not at its edge, is challenged",
		Real:   45 * time.Second,
		Clause: "Such a RST gets an ACK of what we expect, and nothing else happens; a true peer answers with a RST at the right place.",
		Run: func(t *T) {
			w := t.Lab(nil)
			for _, state := range synchronised {
				c := w.InState(state)
				t.Sleep(5 * time.Second)
				c.Drain(0)
				c.Send(RST, Seq(c.snd+100))
				s := c.Got(time.Second, "challenge ACK in "+state.String(), func(s *Segment) bool { return s.Has(ACK) && !s.Has(RST) })
				if c.ackOf(s) != c.snd {
					t.Fatalf("the challenge acknowledges %d, not RCV.NXT", c.ackOf(s))
				}
				if got := c.Flow.Info().State; got != state {
					t.Fatalf("a RST inside the window changed the state from %v to %v", state, got)
				}
				c.Send(RST)
				if got := c.Flow.Info().State; got != api.StateClosed {
					t.Fatalf("state %v after a RST at RCV.NXT", got)
				}
			}
		},
	},
	{
		ID: "rfc5961/3-rst-outside", Level: OnWire, Source: "RFC 5961 section 3.2", Title: "A RST outside the window is dropped silently",
		Real:   40 * time.Second,
		Clause: "No answer, no change, in every synchronised state.",
		Run: func(t *T) {
			w := t.Lab(nil)
			for _, state := range synchronised {
				c := w.InState(state)
				t.Sleep(5 * time.Second)
				c.Drain(0)
				for _, rel := range []uint32{c.snd - 1, c.snd + 1<<30, c.snd - 1<<20} {
					c.Send(RST, Seq(rel))
					c.Send(RST|ACK, Seq(rel))
				}
				c.None(0, "answer to a RST outside the window in "+state.String(), anySegment)
				if got := c.Flow.Info().State; got != state {
					t.Fatalf("a RST outside the window changed the state from %v to %v", state, got)
				}
				if state == api.StateEstablished {
					c.Alive()
				}
			}
		},
	},
	{
		ID: "rfc5961/4-syn", Level: OnWire, Source: "RFC 5961 section 4.2; RFC 9293 section 3.10.7.4", Title: "A SYN in a synchronised state is challenged, wherever it is",
		Real:   75 * time.Second,
		Clause: "A SYN at RCV.NXT, in the window or outside gets a challenge ACK and changes nothing.",
		Run: func(t *T) {
			w := t.Lab(nil)
			for _, state := range synchronised {
				c := w.InState(state)
				for _, rel := range []uint32{c.snd, c.snd + 500, c.snd + 1<<30, 0} {
					t.Sleep(2 * time.Second)
					c.Drain(0)
					c.Send(SYN, Seq(rel))
					s := c.Got(time.Second, "challenge ACK in "+state.String(), func(s *Segment) bool { return s.Has(ACK) })
					if s.Has(RST) || s.Has(SYN) || c.ackOf(s) != c.snd {
						t.Fatalf("a SYN at %d in %v got %s", rel, state, s)
					}
				}
				if got := c.Flow.Info().State; got != state {
					t.Fatalf("a SYN changed the state from %v to %v", state, got)
				}
				if state == api.StateEstablished {
					c.Alive()
				}
			}
		},
	},
	{
		ID: "rfc5961/5-ack-range", Level: OnWire, Source: "RFC 5961 section 5.2", Title: "Data with an impossible ACK number is not taken",
		Real:   30 * time.Second,
		Clause: "An ACK beyond SND.NXT, or older than SND.UNA by more than the largest window, makes the segment an ACK and a drop.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{Window: 10_000})
			c.Alive()
			for _, ack := range []uint32{c.rcv + 1, c.rcv + 1<<20, c.rcv - 1<<20, c.rcv + 1<<31} {
				t.Sleep(2 * time.Second)
				c.Drain(0)
				c.Send(ACK|PSH, Seq(c.snd), Ack(ack), Bytes([]byte("evil!")))
				for _, s := range c.Drain(time.Second) {
					if c.ackOf(s) != c.snd {
						t.Fatalf("data with ack %d was taken: %s", ack, s)
					}
				}
			}
			t.Sleep(2 * time.Second)
			c.Drain(0)
			c.Send(ACK|PSH, Seq(c.snd), Ack(c.rcv+1), Bytes([]byte("evil!")))
			c.GotAck(time.Second, c.snd) // an ACK of what was never sent is answered
			c.Alive()
		},
	},
	{
		ID: "rfc5961/5-old-ack", Level: OnWire, Source: "RFC 5961 section 5.2; RFC 9293 section 3.10.7.4", Title: "An old ACK is ignored, its data taken",
		Clause: "A segment whose ACK lies between SND.UNA - MAX.SND.WND and SND.UNA brings its data.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			c.Written(1000)
			c.GotData(time.Second, 1001)
			c.AckAll()
			c.Send(ACK|PSH, Ack(500), Data(100))
			c.GotAck(time.Second, c.snd)
			c.WantRead(100)
			c.Alive()
		},
	},
	{
		ID: "rfc5961/7-limit", Level: OnWire, Source: "RFC 5961 section 7", Title: "Challenge ACKs are limited, for each connection",
		Clause: "A thousand challenges in a second get few answers; another connection is not affected.",
		Run: func(t *T) {
			w := t.Lab(nil)
			l := w.Listen(nil)
			c, other := w.Open(l, Hello{}), w.Open(l, Hello{})
			t.Sleep(5 * time.Second)
			answers := c.barrage(1000, func() { c.Send(SYN, Seq(c.snd+500)) })
			if answers == 0 || answers > 20 {
				t.Fatalf("%d answers to 1000 SYNs within a second", answers)
			}
			other.Send(RST, Seq(other.snd+100))
			other.GotAck(time.Second, other.snd)
			t.Sleep(5 * time.Second)
			c.Drain(0)
			c.Alive()
			other.Alive()
		},
	},
	{
		ID: "rfc5961/ack-war", Level: OnWire, Source: "RFC 5961 section 7; RFC 9293 section 3.10.7.4", Title: "Two desynchronised ends do not storm",
		Clause: "Each out-of-window segment is answered, but not without limit: a peer that answers every ACK by an unacceptable one gets few.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			t.Sleep(5 * time.Second)
			answers := c.barrage(1000, func() { c.Send(ACK, Seq(c.snd+1<<30)) })
			if answers == 0 || answers > 50 {
				t.Fatalf("%d answers to 1000 unacceptable ACKs within a second", answers)
			}
			t.Sleep(5 * time.Second)
			c.Drain(0)
			c.Alive()
		},
	},
}

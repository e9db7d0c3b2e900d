package conformance

import (
	"bytes"
	"time"

	"github.com/sluicenet/sluice/api"
)

// optFastOpen returns the option of RFC 7413, section 2, with a cookie; without one it
// asks for it.
func optFastOpen(cookie []byte) []byte {
	b := append([]byte{kindFastOpen, byte(2 + len(cookie))}, cookie...)
	for len(b)%4 != 0 {
		b = append(b, 1)
	}
	return b
}

// fastOpenOf returns the cookie in the option of a segment; nil if it has no option.
func fastOpenOf(s *Segment) []byte {
	if !s.HasFastOpen {
		return nil
	}
	return append([]byte{}, s.FastOpen...)
}

// fastLab is a lab with Fast Open.
func (t *T) fastLab() *Lab { return t.Lab(func(e *Env) { e.FastOpen = true }) }

// fastPort listens on a port with so many places for Fast Open.
func (w *Lab) fastPort(pending int) *WirePort {
	return w.Listen(&api.ListenConfig{FastOpen: pending, Flow: api.FlowConfig{NoDelay: true}})
}

// fastCookie asks for a cookie, and ends the handshake.
func (w *Lab) fastCookie(l *WirePort) []byte {
	c := w.fastSYN(l, Hello{}, []byte{}, 0)
	s := c.SYNACK()
	cookie := fastOpenOf(s)
	if n := len(cookie); n < 4 || n > 16 || n%2 != 0 {
		w.Fatalf("a request for a cookie is answered with one of %d octets: %s", n, s)
	}
	c.Send(RST)
	return cookie
}

// fastSYN sends a SYN with a cookie, if it is not nil, and n bytes of the pattern.
func (w *Lab) fastSYN(l *WirePort, h Hello, cookie []byte, n int) *Conn {
	if cookie != nil {
		h.Extra = optFastOpen(cookie)
	}
	c := w.newConn(h)
	c.host = addrPort(w.Host, l.Port)
	c.fastAgain(n)
	return c
}

// fastAgain sends the SYN, and its data.
func (c *Conn) fastAgain(n int) {
	c.snd = 0
	mods := []Mod{Opts(c.options())}
	if n > 0 {
		mods = append(mods, Bytes(pattern(0, n)))
	}
	c.Send(SYN, mods...)
}

// fastSYNACK waits for the SYN-ACK, which has to acknowledge want bytes.
func (c *Conn) fastSYNACK(want int) *Segment {
	s := c.Segment(5*time.Second, "SYN-ACK", func(s *Segment) bool { return c.mine(s) && isSYNACK(s) })
	if got := c.ackOf(s); got != uint32(want)+1 {
		c.Fatalf("the SYN-ACK acknowledges %d bytes of the SYN, want %d", got-1, want)
	}
	c.hear(s)
	c.snd = uint32(want) + 1
	return s
}

// fastFlow takes the flow that has been accepted.
func (c *Conn) fastFlow(l *WirePort) {
	f, err := l.Flows.Take(c.Timeout(time.Second))
	if err != nil {
		c.Fatalf("no flow was accepted: %v", err)
	}
	c.Flow = f
}

// fastOpened is a flow that the stack has accepted with n bytes of a SYN, whose handshake
// is not complete.
func (t *T) fastOpened(h Hello, n int) (*Lab, *Conn) {
	w := t.fastLab()
	l := w.fastPort(8)
	c := w.fastSYN(l, h, w.fastCookie(l), n)
	c.fastSYNACK(n)
	c.fastFlow(l)
	return w, c
}

// startFast makes the stack dial the peer with data.
func (w *Lab) startFast(h Hello, n int) (*Conn, *Op[dialling]) {
	d, ok := w.Stack.(api.FastDialer)
	if !ok {
		w.Fatalf("the stack is no api.FastDialer")
	}
	c := w.newConn(h)
	cfg := h.flow()
	op := Start(w.T, "dial", func() dialling {
		var bs []*api.Buffer
		if n > 0 {
			bs = append(bs, api.NewBuffer(pattern(0, n)))
		}
		f, err := d.DialFast(w.Bound(), c.peer, &cfg, bs...)
		return dialling{f, err}
	})
	s := w.Segment(time.Second, "SYN", func(s *Segment) bool { return isSYN(s) && s.Dst == c.peer })
	c.host = s.Src
	c.hear(s)
	return c, op
}

// fastAnswer answers a dial, and takes n bytes of the SYN.
func (c *Conn) fastAnswer(op *Op[dialling], n int, cookie []byte) {
	opts := c.options()
	if cookie != nil {
		opts = append(opts, optFastOpen(cookie)...)
	}
	c.rcv = uint32(n) + 1
	c.Send(SYN|ACK, Seq(0), Opts(opts))
	c.snd = 1
	d := op.WaitFor(time.Second)
	c.ok("dial", d.err)
	c.Flow = d.flow
}

var aCookie, anotherCookie = []byte("a cookie"), []byte("another!")

// fastKnown makes the stack know a server with aCookie, which announces mss.
func (w *Lab) fastKnown(h Hello) {
	c, op := w.startFast(h, 0)
	if got := fastOpenOf(c.syn); got == nil || len(got) > 0 || len(c.syn.Payload) > 0 {
		w.Fatalf("the first SYN does not ask for a cookie, or has data: %s", c.syn)
	}
	c.fastAnswer(op, 0, aCookie)
	c.Drain(0)
	c.Flow.Abort()
	c.GotRST(time.Second)
}

// fastOpenCases are RFC 7413.
var fastOpenCases = []Case{
	{
		ID: "rfc7413/4.1.2-cookie", Level: OnWire, Source: "RFC 7413 section 4.1.2", Title: "Who asks for a cookie gets one", Needs: FastOpen,
		Clause: "A SYN with an empty Fast Open option is answered with a cookie of 4 to 16 octets, the same each time; the handshake is a plain one.",
		Run: func(t *T) {
			w := t.fastLab()
			l := w.fastPort(8)
			first, second := w.fastCookie(l), w.fastCookie(l)
			if !bytes.Equal(first, second) {
				t.Fatalf("cookies %x and %x for one address", first, second)
			}
		},
	},
	{
		ID: "rfc7413/4.1.1-length", Level: OnWire, Source: "RFC 7413 section 4.1.1", Title: "An option of a wrong length is ignored", Needs: FastOpen,
		Clause: "A SYN with a cookie of an odd length, or one of less than 4 or more than 16 octets, is a plain SYN.",
		Run: func(t *T) {
			w := t.fastLab()
			l := w.fastPort(8)
			cookie := w.fastCookie(l)
			for _, bad := range [][]byte{cookie[:1], cookie[:2], cookie[:3], cookie[:5], make([]byte, 18)} {
				c := w.fastSYN(l, Hello{}, bad, 100)
				if got := fastOpenOf(c.fastSYNACK(0)); got != nil {
					t.Errorf("an option with %d octets is answered with %x", len(bad), got)
				}
				c.Send(RST)
			}
		},
	},
	{
		ID: "rfc7413/4.2.2-server", Level: OnWire, Source: "RFC 7413 section 4.2.2", Title: "A SYN with a good cookie brings its data", Needs: FastOpen,
		Clause: "The SYN-ACK acknowledges the data; they can be read, and are answered, before the handshake is complete; it is completed as ever.",
		Run: func(t *T) {
			_, c := t.fastOpened(Hello{}, 500)
			t.WantPattern(c.Flow, 0, 500)
			c.Written(1000)
			c.GotData(time.Second, 1001)
			c.Send(ACK)
			c.Send(ACK|PSH, Bytes(pattern(500, 100)))
			t.WantPattern(c.Flow, 500, 600)
			c.Send(FIN | ACK)
			t.WantEOF(c.Flow)
		},
	},
	{
		ID: "rfc7413/4.2.2-no-data", Level: OnWire, Source: "RFC 7413 section 4.2.2", Title: "A good cookie without data lets the server speak first", Needs: FastOpen,
		Clause: "After a SYN with a valid cookie the server may send, although the handshake is not complete.",
		Run: func(t *T) {
			_, c := t.fastOpened(Hello{}, 0)
			c.Written(700)
			c.GotData(time.Second, 701)
		},
	},
	{
		ID: "rfc7413/4.1.2-invalid", Level: OnWire, Source: "RFC 7413 section 4.1.2, section 4.2.2", Title: "A wrong cookie leads to a plain handshake", Needs: FastOpen,
		Clause: "The SYN-ACK acknowledges the SYN alone, nobody is told, and the data are delivered once when they have come again. A cookie for the next time comes along.",
		Run: func(t *T) {
			w := t.fastLab()
			l := w.fastPort(8)
			good := w.fastCookie(l)
			bad := bytes.Clone(good)
			bad[0] ^= 0x55
			c := w.fastSYN(l, Hello{}, bad, 300)
			s := c.fastSYNACK(0)
			if got := fastOpenOf(s); !bytes.Equal(got, good) {
				t.Errorf("cookie %x, want %x: %s", got, good, s)
			}
			if _, err := l.Flows.Take(w.Timeout(t.short())); err == nil {
				t.Fatalf("a flow was accepted before the handshake was complete")
			}
			c.Send(ACK|PSH, Data(300))
			c.fastFlow(l)
			t.WantPattern(c.Flow, 0, 300)
			c.Send(FIN | ACK)
			t.WantEOF(c.Flow)
		},
	},
	{
		ID: "rfc7413/4.2.2-syn-ack-again", Level: OnWire, Source: "RFC 7413 section 4.2.2", Title: "A SYN-ACK is sent again with neither data nor the option", Needs: FastOpen,
		Clause: "If the SYN-ACK timer fires, the SYN-ACK is retransmitted without data and without Fast Open option, and still acknowledges what came with the SYN; the data follow its ACK.",
		Run: func(t *T) {
			_, c := t.fastOpened(Hello{}, 300)
			c.Written(400)
			c.GotData(time.Second, 401)
			for range 2 {
				s := c.Got(10*time.Second, "SYN-ACK again", anySegment)
				if !isSYNACK(s) || hasData(s) || fastOpenOf(s) != nil || c.ackOf(s) != 301 {
					t.Fatalf("in its place: %s", s)
				}
			}
			c.rcv = 1 // the data are lost
			c.Send(ACK)
			c.GotData(10*time.Second, 401)
		},
	},
	{
		ID: "rfc7413/4.2.2-duplicate", Level: OnWire, Source: "RFC 7413 section 4.2.2, RFC 9293 section 3.10.7.4", Title: "A SYN that comes twice brings its data once", Needs: FastOpen,
		Clause: "The SYN again, with its data, is answered by the SYN-ACK again, or by an ACK once the handshake is complete; the data are delivered once.",
		Run: func(t *T) {
			_, c := t.fastOpened(Hello{}, 200)
			c.Drain(600 * time.Millisecond)
			c.fastAgain(200)
			c.fastSYNACK(200)
			c.Send(ACK)
			c.Drain(time.Second)
			c.Send(SYN, Seq(0), Bytes(pattern(0, 200)), NoTS)
			if s := c.Got(time.Second, "ACK", anySegment); s.Flags&(SYN|RST) != 0 || c.ackOf(s) != 201 {
				t.Fatalf("the old SYN is answered by %s", s)
			}
			c.Send(FIN | ACK)
			t.WantPattern(c.Flow, 0, 200)
			t.WantEOF(c.Flow)
		},
	},
	{
		ID: "rfc7413/4.2.2-initial-window", Level: OnWire, Source: "RFC 7413 section 4.2.2", Title: "No more than the initial window goes out before the handshake is complete", Needs: FastOpen,
		Clause: "The server follows RFC 5681 (RFC 6928) in what it sends before the ACK of its SYN-ACK.",
		Run: func(t *T) {
			_, c := t.fastOpened(Hello{MSS: 1000}, 10)
			c.Written(30_000)
			c.Drain(paced)
			if n := c.rcv - 1; n < 1000 || n > 14_600 {
				t.Fatalf("%d bytes are sent", n)
			}
		},
	},
	{
		ID: "rfc7413/4.2.2-reset", Level: OnWire, Source: "RFC 7413 section 4.2.2, MUST-11", Title: "A reset ends what a SYN with data has opened", Needs: FastOpen,
		Clause: "A reset in SYN-RECEIVED ends the flow, and its user gets ErrReset.",
		Run: func(t *T) {
			w, c := t.fastOpened(Hello{}, 0)
			op := Start(t, "read", func() error { _, err := c.Flow.Read(t.Bound()); return err })
			w.Sleep(t.short())
			c.Send(RST)
			t.is("read", op.WaitFor(time.Second), api.ErrReset)
		},
	},
	{
		ID: "rfc7413/5.1-pending", Level: OnWire, Source: "RFC 7413 section 5.1", Title: "Only so many connections wait for the end of their handshake", Needs: FastOpen,
		Clause: "Beyond the limit a good cookie leads to a plain handshake. A connection that a reset has ended still counts for a while; one that was established does not.",
		Run: func(t *T) {
			w := t.fastLab()
			l := w.fastPort(2)
			cookie := w.fastCookie(l)
			a := w.fastSYN(l, Hello{}, cookie, 100)
			a.fastSYNACK(100)
			b := w.fastSYN(l, Hello{}, cookie, 100)
			b.fastSYNACK(100)
			w.fastSYN(l, Hello{}, cookie, 100).fastSYNACK(0)
			a.Send(RST)
			w.Sleep(time.Second)
			w.fastSYN(l, Hello{}, cookie, 100).fastSYNACK(0)
			b.Send(ACK)
			w.Sleep(t.short())
			w.fastSYN(l, Hello{}, cookie, 100).fastSYNACK(100)
		},
	},
	{
		ID: "rfc7413/off-server", Level: OnWire, Source: "RFC 7413 section 4.2.2 (FastOpenEnabled)", Title: "A listener without Fast Open has none", Needs: FastOpen,
		Clause: "The option is not answered, and no data are taken from a SYN.",
		Run: func(t *T) {
			w := t.fastLab()
			cookie := w.fastCookie(w.fastPort(8))
			l := w.fastPort(0)
			for _, x := range [][]byte{{}, cookie} {
				if got := fastOpenOf(w.fastSYN(l, Hello{}, x, 100).fastSYNACK(0)); got != nil {
					t.Errorf("cookie %x", got)
				}
			}
		},
	},
	{
		ID: "rfc7413/4.2.1-request", Level: OnWire, Source: "RFC 7413 section 4.2.1", Title: "A client without a cookie asks for one, and sends no data", Needs: FastOpen,
		Clause: "The SYN has an empty Fast Open option and no data; those follow the handshake.",
		Run: func(t *T) {
			c, op := t.fastLab().startFast(Hello{}, 300)
			if got := fastOpenOf(c.syn); got == nil || len(got) > 0 || hasData(c.syn) {
				t.Fatalf("SYN with cookie %x: %s", got, c.syn)
			}
			c.fastAnswer(op, 0, aCookie)
			c.GotData(time.Second, 301)
		},
	},
	{
		ID: "rfc7413/4.2.2-client", Level: OnWire, Source: "RFC 7413 section 4.2.2", Title: "A client with a cookie sends data with its SYN", Needs: FastOpen,
		Clause: "The SYN has the cookie and the data; what the SYN-ACK acknowledges is not sent again, and the connection goes on behind it.",
		Run: func(t *T) {
			w := t.fastLab()
			w.fastKnown(Hello{})
			c, op := w.startFast(Hello{}, 400)
			if got := fastOpenOf(c.syn); !bytes.Equal(got, aCookie) || !bytes.Equal(c.syn.Payload, pattern(0, 400)) {
				t.Fatalf("cookie %x, want %x, with %d bytes: %s", got, aCookie, len(c.syn.Payload), c.syn)
			}
			c.fastAnswer(op, 400, nil)
			c.written = 400
			c.None(5*time.Second, "data again", hasData)
			c.Written(100)
			c.GotData(time.Second, 501)
		},
	},
	{
		ID: "rfc7413/4.1.3-mss", Level: OnWire, Source: "RFC 7413 section 4.1.3, section 4.2.2", Title: "Data in a SYN keep to the MSS that the server announced before", Needs: FastOpen,
		Clause: "The SYN has no more data than the MSS cached with the cookie; the rest follows the handshake.",
		Run: func(t *T) {
			w := t.fastLab()
			w.fastKnown(Hello{MSS: 800})
			c, op := w.startFast(Hello{MSS: 800}, 2000)
			n := len(c.syn.Payload)
			if n == 0 || n > 800 {
				t.Fatalf("%d bytes in the SYN: %s", n, c.syn)
			}
			c.fastAnswer(op, n, nil)
			c.GotData(time.Second, 2001)
		},
	},
	{
		ID: "rfc7413/4.1.3-replaced", Level: OnWire, Source: "RFC 7413 section 4.1.3, section 4.2.2", Title: "A new cookie takes the place of the old one", Needs: FastOpen,
		Clause: "A SYN-ACK with a cookie updates the cache, whether or not it acknowledges the data.",
		Run: func(t *T) {
			w := t.fastLab()
			w.fastKnown(Hello{})
			c, op := w.startFast(Hello{}, 100)
			c.fastAnswer(op, 0, anotherCookie)
			c.GotData(time.Second, 101)
			c, _ = w.startFast(Hello{}, 100)
			if got := fastOpenOf(c.syn); !bytes.Equal(got, anotherCookie) || len(c.syn.Payload) != 100 {
				t.Fatalf("cookie %x, want %x: %s", got, anotherCookie, c.syn)
			}
		},
	},
	{
		ID: "rfc7413/4.2.2-not-acknowledged", Level: OnWire, Source: "RFC 7413 section 4.2.2", Title: "Data that the SYN-ACK does not acknowledge are sent again with the ACK", Needs: FastOpen,
		Clause: "All or the rest of the data follow at once, without waiting for a timer.",
		Run: func(t *T) {
			for _, taken := range []int{0, 150} {
				w := t.fastLab()
				w.fastKnown(Hello{})
				c, op := w.startFast(Hello{}, 400)
				c.fastAnswer(op, taken, anotherCookie)
				s := c.Got(t.short(), "ACK", anySegment)
				if c.seqOf(s) != uint32(taken)+1 || len(s.Payload) != 400-taken || c.ackOf(s) != 1 {
					t.Fatalf("the first segment after the SYN-ACK is %s", s)
				}
				c.Send(ACK)
				c.Drain(0)
			}
		},
	},
	{
		ID: "rfc7413/4.2.2-syn-again", Level: OnWire, Source: "RFC 7413 section 4.2.2", Title: "A SYN is sent again with neither data nor the option", Needs: FastOpen,
		Clause: "When the SYN timer fires, a SYN without data and Fast Open option is sent, for networks and servers that drop the other; the data follow the handshake.",
		Run: func(t *T) {
			for _, known := range []bool{false, true} {
				w := t.fastLab()
				if known {
					w.fastKnown(Hello{})
				}
				c, op := w.startFast(Hello{}, 300)
				for range 2 {
					s := c.Segment(10*time.Second, "SYN again", isSYN)
					if fastOpenOf(s) != nil || hasData(s) {
						t.Fatalf("the SYN again: %s", s)
					}
				}
				c.fastAnswer(op, 0, nil)
				c.GotData(time.Second, 301)
			}
		},
	},
	{
		ID: "rfc7413/4.1.3.1-negative", Level: OnWire, Source: "RFC 7413 section 4.1.3.1", Title: "Where Fast Open has failed it is not tried again at once", Needs: FastOpen,
		Clause: "After data were not acknowledged and no new cookie came, or after a SYN with data was lost, the next SYN to the same address and port is a plain one.",
		Run: func(t *T) {
			for _, lost := range []bool{false, true} {
				w := t.fastLab()
				h := Hello{Port: 4000}
				w.fastKnown(h)
				c, op := w.startFast(h, 100)
				if lost {
					c.Segment(10*time.Second, "SYN again", isSYN)
				}
				c.fastAnswer(op, 0, nil)
				c.GotData(time.Second, 101)
				c.Flow.Abort()
				c.GotRST(time.Second)
				c, _ = w.startFast(h, 100)
				if fastOpenOf(c.syn) != nil || hasData(c.syn) {
					t.Fatalf("the next SYN (the one before was lost: %v): %s", lost, c.syn)
				}
			}
		},
	},
	{
		ID: "rfc7413/off-client", Level: OnWire, Source: "RFC 7413 section 4.2", Title: "A plain dial has nothing of Fast Open", Needs: FastOpen,
		Clause: "Applications have to ask for Fast Open: without, no SYN has the option, whatever is known about the server.",
		Run: func(t *T) {
			w := t.fastLab()
			w.fastKnown(Hello{})
			if c, _ := w.StartDial(Hello{}); fastOpenOf(c.syn) != nil {
				t.Fatalf("an option: %s", c.syn)
			}
		},
	},
}

package conformance

import (
	"context"
	"net"
	"time"

	"github.com/sluicenet/sluice/api"
)

var closeCases = []Case{
	{
		ID: "contract/C1", Source: "C1", Title: "Close flushes what was written, then signals the end",
		Clause: "Close delivers everything written before it, through a full window too, and then the FIN.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.ConnectSmall()
			n := 0
			for {
				if err := f.Write(t.Timeout(t.short()), api.NewBuffer(pattern(n, 4096))); err != nil {
					break
				}
				n += 4096
			}
			op := Start(t, "close", func() error { return f.Close(t.Bound()) })
			op.Blocked("the peer has not even read")
			t.WantPattern(g, 0, n)
			t.WantEOF(g)
			t.ok("close", g.Close(t.Bound()))
			t.ok("close", op.Wait())
		},
	},
	{
		ID: "contract/C2", Source: "C2", Title: "The peer reads end of file after everything else",
		Clause: "Once the peer has read everything, its read returns end of file, not before.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(nil, nil)
			t.Write(f, []byte("last words"))
			op := Start(t, "close", func() error { return f.Close(t.Bound()) })
			t.Settle()
			t.WantBytes(g, []byte("last words"))
			t.WantEOF(g)
			t.ok("close", g.Close(t.Bound()))
			t.ok("close", op.Wait())
		},
	},
	{
		ID: "contract/C3", Source: "C3", Title: "A half-closed flow still carries data the other way",
		Clause: "Until the peer closes too it may still write, and the local end still reads, for as long as it takes.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(nil, nil)
			op := Start(t, "close", func() error { return f.Close(t.Bound()) })
			t.WantEOF(g)
			if t.virtual {
				t.Sleep(3 * time.Hour) // only orphans are timed
			} else {
				t.Settle()
			}
			w := t.WriteAll(g, 0, 100_000)
			t.WantPattern(f, 0, 100_000)
			t.ok("write", w.Wait())
			t.ok("close", g.Close(t.Bound()))
			t.WantEOF(f)
			t.ok("close", op.Wait())
		},
	},
	{
		ID: "contract/C4", Source: "C4", Title: "Close waits until the peer has closed too",
		Clause: "Close returns only when both ends have closed; a context ends the wait, not the close.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(nil, nil)
			ctx, stop := t.stopped()
			op := Start(t, "close", func() error { return f.Close(ctx) })
			op.Blocked("the peer has not closed")
			stop()
			t.is("close whose context ended", op.Wait(), errStop)
			t.WantEOF(g) // closed all the same
			t.is("close with a timeout", f.Close(t.Timeout(t.short())), context.DeadlineExceeded)
			t.is("write after close", f.Write(t.Bound(), api.CopyBuffer([]byte("x"))), api.ErrClosed)
			second := Start(t, "close", func() error { return f.Close(t.Bound()) })
			second.Blocked("the peer has not closed")
			t.Write(g, []byte("still here"))
			t.ok("close", g.Close(t.Bound()))
			t.ok("close", second.Wait())
			t.WantBytes(f, []byte("still here"))
			t.WantEOF(f)
		},
	},
	{
		ID: "contract/C4-twice", Source: "C4", Title: "Closing twice or from several goroutines is fine",
		Clause: "Every Close of a flow returns nil once both ends have closed, at the same time or later.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(nil, nil)
			var ops []*Op[error]
			for range 3 {
				ops = append(ops, Start(t, "close", func() error { return f.Close(t.Bound()) }),
					Start(t, "close", func() error { return g.Close(t.Bound()) }))
			}
			for _, op := range ops {
				t.ok("close", op.Wait())
			}
			t.ok("another close", f.Close(t.Bound()))
			t.ok("another close", g.Close(t.Bound()))
			t.ok("close write after close", f.CloseWrite())
		},
	},
	{
		ID: "contract/C4-reset", Source: "C4", Title: "Close reports a connection that ended otherwise",
		Clause: "A blocked Close returns the reason when the peer resets the connection, and so does a later one.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(nil, nil)
			op := Start(t, "close", func() error { return f.Close(t.Bound()) })
			op.Blocked("the peer has not closed")
			g.Abort()
			t.is("blocked close", op.Wait(), api.ErrReset)
			t.is("later close", f.Close(t.Bound()), api.ErrReset)
		},
	},
	{
		ID: "contract/C5", Source: "C5", Title: "After the close nothing flows and everything is free", Needs: Accounting,
		Clause: "When both ends have closed and everything has been read, the stack has neither flows nor memory charged to them, and after TIME-WAIT no record.",
		Run: func(t *T) {
			p := t.Pair(nil)
			for range 5 {
				f, g := p.Connect(nil, nil)
				w := t.WriteAll(f, 0, 50_000)
				t.WantPattern(g, 0, 50_000)
				t.ok("write", w.Wait())
				p.closeBoth(f, g)
				t.WantEOF(f)
				t.WantEOF(g)
			}
			t.Settle()
			for _, s := range []api.Stack{p.A, p.B} {
				if i := s.Info(); i.Flows != 0 || i.HalfOpen != 0 || i.Memory != 0 {
					t.Fatalf("after the last close the stack still has %d flows, %d half-open, %d bytes", i.Flows, i.HalfOpen, i.Memory)
				}
			}
			// Both ends close at once, so both may have to remember.
			if n := p.A.Info().TimeWait + p.B.Info().TimeWait; (n < 5 || n > 10) && t.virtual {
				t.Fatalf("%d records in TIME-WAIT after 5 connections", n)
			}
			if !t.virtual {
				return
			}
			sent := p.Net.Sent(0) + p.Net.Sent(1)
			t.Sleep(10 * time.Minute)
			if n := p.A.Info().TimeWait + p.B.Info().TimeWait; n != 0 {
				t.Fatalf("%d records in TIME-WAIT after ten minutes", n)
			}
			if n := p.Net.Sent(0) + p.Net.Sent(1) - sent; n != 0 {
				t.Fatalf("%d packets crossed after the last close", n)
			}
		},
	},
	{
		ID: "contract/C5-unread", Source: "C5 R3", Title: "What is left to read outlives the connection",
		Clause: "A flow that both ends have closed still delivers what had arrived.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(nil, nil)
			t.Write(f, pattern(0, 9000))
			p.closeBoth(f, g)
			t.Settle()
			t.WantPattern(g, 0, 9000)
			t.WantEOF(g)
		},
	},
	{
		ID: "contract/D1", Source: "D1", Title: "Src and Dst are the two ends, for good",
		Clause: "Dst is the address and port that the flow is connected to and Src the local end; both stay valid after the close and after a reset.",
		Run: func(t *T) {
			p := t.Pair(nil)
			s := p.Listen(nil)
			f := p.Dial(s.Addr, nil)
			g := p.Accept(s)
			check := func(when string) {
				if f.Dst() != s.Addr || f.Src().Addr() != p.AddrA || f.Src().Port() == 0 {
					t.Fatalf("%s: the dialled flow is %v -> %v; dialled was %v", when, f.Src(), f.Dst(), s.Addr)
				}
				if g.Dst() != f.Src() || g.Src() != f.Dst() {
					t.Fatalf("%s: the ends disagree: %v -> %v and %v -> %v", when, f.Src(), f.Dst(), g.Src(), g.Dst())
				}
			}
			check("open")
			if i := f.Info(); i.Src != f.Src() || i.Dst != f.Dst() {
				t.Fatalf("Info says %v -> %v", i.Src, i.Dst)
			}
			f.Abort()
			t.Settle()
			check("aborted")
			f2 := p.Dial(s.Addr, nil)
			g2 := p.Accept(s)
			f, g = f2, g2
			p.closeBoth(f, g)
			check("closed")
			t.isNot("reason", f.CloseReason(), net.ErrClosed)
		},
	},
}

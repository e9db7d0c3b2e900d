package conformance

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/sluicenet/sluice/api"
)

func addrPort(a netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(a, port) }

func mustAddr(s string) netip.Addr { return netip.MustParseAddr(s) }

// park waits until ctx ends.
func (t *T) park(ctx context.Context) { t.clk.NewWaiter().Park(ctx) }

var beyondCases = []Case{
	{
		ID: "contract/CloseWrite", Source: "C1 (CloseWrite)", Title: "CloseWrite closes and does not wait",
		Clause: "CloseWrite returns at once; the peer reads what was written and end of file, and may still write.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(nil, nil)
			t.Write(f, []byte("bye"))
			op := Start(t, "CloseWrite", f.CloseWrite)
			t.ok("CloseWrite", op.WaitFor(t.late(t.short())))
			t.ok("CloseWrite again", f.CloseWrite())
			t.WantBytes(g, []byte("bye"))
			t.WantEOF(g)
			t.Write(g, []byte("well"))
			t.WantBytes(f, []byte("well"))
			t.ok("CloseWrite", g.CloseWrite())
			t.WantEOF(f)
			t.ok("close", f.Close(t.Bound()))
		},
	},
	{
		ID: "contract/CloseRead", Source: "R4 (CloseRead)", Title: "CloseRead discards, and does not block the peer",
		Clause: "After CloseRead every Read, also one that blocks, returns end of file; what the peer sends is discarded without holding it up, and writing goes on.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.ConnectSmall()
			op := Start(t, "read", func() error { _, err := g.Read(t.Bound()); return err })
			op.Blocked("nothing has been written")
			t.ok("CloseRead", g.CloseRead())
			if err := op.Wait(); err != io.EOF {
				t.Fatalf("blocked read: %v, want io.EOF itself", err)
			}
			w := t.WriteAll(f, 0, 300_000) // far more than the buffers hold
			t.ok("write", w.Wait())
			t.WantEOF(g)
			t.Write(g, []byte("one way"))
			t.WantBytes(f, []byte("one way"))
		},
	},
	{
		ID: "contract/Abort", Source: "W4 (Abort)", Title: "Abort resets the connection at once",
		Clause: "Abort never blocks; every pending and later call fails with ErrAborted, the peer sees a reset, and aborting again does nothing.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.ConnectSmall()
			write := t.fill(f)
			read := Start(t, "read", func() error { _, err := f.Read(t.Bound()); return err })
			closing := Start(t, "close", func() error { return f.Close(t.Bound()) })
			closing.Blocked("the peer has not closed")
			f.Abort()
			f.Abort()
			t.is("blocked read", read.Wait(), api.ErrAborted, net.ErrClosed)
			t.is("blocked write", write.Wait(), api.ErrClosed) // by the close
			t.is("blocked close", closing.Wait(), api.ErrAborted)
			t.is("later write", f.Write(t.Bound(), api.CopyBuffer([]byte("x"))), api.ErrClosed, api.ErrAborted)
			t.is("later read", readError(t, f), api.ErrAborted)
			t.is("later close", f.Close(t.Bound()), api.ErrAborted)
			t.is("reason", f.CloseReason(), api.ErrAborted)
			t.Eventually("the reset arrives", func() bool { return g.CloseReason() != nil })
			t.is("the peer's reason", g.CloseReason(), api.ErrReset)
		},
	},
	{
		ID: "contract/CloseReason", Source: "W5 (CloseReason)", Title: "CloseReason tells how a flow ended",
		Clause: "It is nil while the flow is open, half-closed, and after an orderly close; then ErrReset, ErrAborted and so on.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(nil, nil)
			for _, when := range []string{"open", "half-closed"} {
				if f.CloseReason() != nil || g.CloseReason() != nil {
					t.Fatalf("%s: reasons %v and %v", when, f.CloseReason(), g.CloseReason())
				}
				t.ok("CloseWrite", f.CloseWrite())
				t.Settle()
			}
			p.closeBoth(f, g)
			if f.CloseReason() != nil || g.CloseReason() != nil {
				t.Fatalf("closed: reasons %v and %v", f.CloseReason(), g.CloseReason())
			}
			f.Abort() // does nothing to an ended flow
			if err := f.CloseReason(); err != nil {
				t.Fatalf("an abort after the end changed the reason to %v", err)
			}
			f, g = p.Connect(nil, nil)
			g.Abort()
			t.is("reason", g.CloseReason(), api.ErrAborted)
			t.Eventually("the reset arrives", func() bool { return f.CloseReason() != nil })
			t.is("reason", f.CloseReason(), api.ErrReset)
		},
	},
	{
		ID: "contract/Info", Source: "D1 (Info)", Title: "Info is a true snapshot", Needs: FlowInfo,
		Clause: "State, ends, controller, byte counts and queues follow what happened; Flows lists what there is.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(nil, nil)
			t.Write(f, pattern(0, 5000))
			t.WantPattern(g, 0, 5000)
			t.Settle()
			i, j := f.Info(), g.Info()
			if i.State != api.StateEstablished || j.State != api.StateEstablished {
				t.Fatalf("states %v and %v", i.State, j.State)
			}
			if i.BytesSent != 5000 || i.BytesAcked != 5000 || j.BytesReceived != 5000 {
				t.Fatalf("sent %d, acknowledged %d, received %d; want 5000", i.BytesSent, i.BytesAcked, j.BytesReceived)
			}
			if i.SendQueue != 0 || i.InFlight != 0 || j.ReceiveQueue != 0 {
				t.Fatalf("queues not empty: %d, %d, %d", i.SendQueue, i.InFlight, j.ReceiveQueue)
			}
			if i.Congestion == "" || i.Cwnd <= 0 || i.SendMSS < 48 || i.SRTT <= 0 || i.RTO <= 0 {
				t.Fatalf("controller %q, cwnd %d, MSS %d, SRTT %v, RTO %v", i.Congestion, i.Cwnd, i.SendMSS, i.SRTT, i.RTO)
			}
			t.Write(f, pattern(0, 1000))
			t.Settle()
			if n := g.Info().ReceiveQueue; n != 1000 {
				t.Fatalf("%d bytes in the receive queue, 1000 unread", n)
			}
			if n := p.A.Info().Flows; n < 1 {
				t.Fatalf("the stack counts %d flows", n)
			}
			found := false
			for k := range p.A.Flows() {
				found = found || k.Src == f.Src() && k.Dst == f.Dst() && k.State == api.StateEstablished
			}
			if !found {
				t.Fatalf("Flows does not list the open flow")
			}
			if p.A.Info().Backend == "" {
				t.Fatalf("the stack has no name")
			}
		},
	},
	{
		ID: "contract/Configure", Source: "N4 (Configure)", Title: "Options of an open flow can be changed, fixed ones not",
		Clause: "Configure shows the options in force and applies the edited ones; changing a fixed one, or to a bad value, changes nothing and matches ErrInvalidConfig.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(nil, nil)
			t.ok("configure", f.Configure(func(c *api.FlowConfig) {
				c.NoDelay, c.TTL, c.DSCP, c.UserTimeout = true, 17, 12, time.Minute
			}))
			if i := f.Info(); !i.NoDelay || i.TTL != 17 || i.DSCP != 12 {
				t.Fatalf("Info after Configure: nodelay %v, TTL %d, DSCP %d", i.NoDelay, i.TTL, i.DSCP)
			}
			for what, change := range map[string]func(c *api.FlowConfig){
				"MSS":        func(c *api.FlowConfig) { c.MSS, c.TTL = c.MSS+100, 99 },
				"Congestion": func(c *api.FlowConfig) { c.Congestion, c.TTL = c.Congestion+"x", 99 },
				"Local":      func(c *api.FlowConfig) { c.Local, c.TTL = addrPort(p.AddrA, 1), 99 },
				"DSCP":       func(c *api.FlowConfig) { c.DSCP, c.TTL = 64, 99 },
			} {
				t.is("configure "+what, f.Configure(change), api.ErrInvalidConfig)
				if i := f.Info(); i.TTL != 17 {
					t.Fatalf("a refused change of %s has changed the TTL", what)
				}
			}
			p.Echo(f, g)
			_, err := p.A.Dial(t.Bound(), f.Dst(), &api.FlowConfig{Congestion: "no such controller"})
			t.is("dial with an unknown controller", err, api.ErrInvalidConfig)
		},
	},
	{
		ID: "contract/Notify", Source: "R1 W2 (Notify)", Title: "A callback tells when a flow is ready", Needs: Readiness,
		Clause: "Notify is called, one call at a time, when there is something to read, room to write, or the end; it may use the flow.",
		Run: func(t *T) {
			p := t.Pair(nil)
			var mu sync.Mutex
			var seen api.Readiness
			inside := false
			got := 0
			done := t.Timeout(0)
			cfg := small()
			cfg.Notify = func(f api.Flow, r api.Readiness) {
				mu.Lock()
				if inside {
					t.Errorf("two calls of Notify at once")
				}
				inside, seen = true, seen|r
				mu.Unlock()
				for r&api.ReadyRead != 0 {
					b, err := f.Read(done) // takes what is there, and never waits
					if err != nil {
						break
					}
					mu.Lock()
					got += b.Len()
					mu.Unlock()
					b.Release()
				}
				mu.Lock()
				inside = false
				mu.Unlock()
			}
			f, g := p.Connect(nil, &api.ListenConfig{Flow: cfg})
			w := t.WriteAll(f, 0, 100_000)
			t.Eventually("everything is read by the callback", func() bool { mu.Lock(); defer mu.Unlock(); return got == 100_000 })
			t.ok("write", w.Wait())
			f.Abort()
			t.Eventually("the callback tells the end", func() bool { mu.Lock(); defer mu.Unlock(); return seen&api.ReadyClosed != 0 })
			t.is("reason", g.CloseReason(), api.ErrReset)
		},
	},
	{
		ID: "contract/Notify-write", Source: "W2 (Notify)", Title: "A callback tells when there is room to write", Needs: Readiness,
		Clause: "After a write that found the queue full, Notify says ReadyWrite once there is room.",
		Run: func(t *T) {
			p := t.Pair(nil)
			var mu sync.Mutex
			writable := 0
			cfg := small()
			cfg.Notify = func(_ api.Flow, r api.Readiness) {
				mu.Lock()
				defer mu.Unlock()
				if r&api.ReadyWrite != 0 {
					writable++
				}
			}
			lcfg := small()
			f, g := p.Connect(&cfg, &api.ListenConfig{Flow: lcfg})
			n := 0
			for {
				if err := f.Write(t.Timeout(t.short()), api.NewBuffer(pattern(n, 4096))); err != nil {
					break
				}
				n += 4096
			}
			mu.Lock()
			writable = 0
			mu.Unlock()
			t.WantPattern(g, 0, n)
			t.Eventually("the callback says ReadyWrite", func() bool { mu.Lock(); defer mu.Unlock(); return writable > 0 })
			t.ok("write", f.Write(t.Timeout(0), api.CopyBuffer([]byte("room"))))
			t.WantBytes(g, []byte("room"))
		},
	},
	{
		ID: "contract/context-done", Source: "R1 W2 (contexts)", Title: "A call that need not block ignores an ended context",
		Clause: "Given a context that has ended, reads and writes still succeed if they can without blocking.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(nil, nil)
			ctx, stop := t.stopped()
			stop()
			t.ok("write with an ended context", f.Write(ctx, api.CopyBuffer([]byte("now"))))
			t.Eventually("the bytes arrive", func() bool { return g.Info().ReceiveQueue == 3 })
			b, err := g.Read(ctx)
			t.ok("read with an ended context", err)
			if string(b.Bytes()) != "now" {
				t.Fatalf("read %q", b.Bytes())
			}
			_, err = g.Read(ctx)
			t.is("read of nothing with an ended context", err, errStop)
		},
	},
	{
		ID: "contract/loss", Source: "R3 C1", Title: "The stream is whole over a bad network", Needs: Wire | VirtualTime,
		Clause: "With one packet in ten lost in each direction, every byte arrives once and in order, and both ends close.",
		Run: func(t *T) {
			p := t.Pair(nil)
			lose := func(*Segment) bool { return t.rand.Float64() >= 0.1 }
			p.Net.Filter(0, lose)
			p.Net.Filter(1, lose)
			f, g := p.Connect(nil, nil)
			const n = 300_000
			w1, w2 := t.WriteAll(f, 0, n), t.WriteAll(g, n, 2*n)
			r := Start(t, "read", func() bool { t.WantPattern(f, n, 2*n); return true })
			t.WantPattern(g, 0, n)
			r.Wait()
			t.ok("write", w1.Wait())
			t.ok("write", w2.Wait())
			p.closeBoth(f, g)
			t.WantEOF(f)
			t.WantEOF(g)
		},
	},
	{
		ID: "contract/urgent", Source: "RFC 9293 section 3.8.5 (MUST-31, MUST-33)", Title: "Urgent data travels in line and is announced", Needs: Urgent,
		Clause: "WriteUrgent's bytes arrive in the ordinary stream; while they are ahead the receiver's Info.UrgentPending is the number of bytes up to their end.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(nil, nil)
			t.Write(f, []byte("normal "))
			t.ok("urgent write", f.(api.UrgentFlow).WriteUrgent(t.Bound(), api.CopyBuffer([]byte("urgent!"))))
			t.Eventually("the bytes arrive", func() bool { return g.Info().ReceiveQueue == 14 })
			if n := g.Info().UrgentPending; n != 14 {
				t.Errorf("%d urgent bytes pending, want 14", n)
			}
			t.WantBytes(g, []byte("normal urgent!"))
			t.Write(f, []byte("after"))
			t.WantBytes(g, []byte("after"))
			if n := g.Info().UrgentPending; n != 0 {
				t.Errorf("%d urgent bytes pending after all has been read", n)
			}
		},
	},
	{
		ID: "contract/K-custom", Source: "K1 (api.Keepalive)", Title: "A Keepalive of the user's own is accepted",
		Clause: "FlowConfig.Keepalive is an interface: any value is taken, not only api.KeepaliveConfig.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(&api.FlowConfig{Keepalive: everyTen{}}, nil)
			p.Echo(f, g)
		},
	},
	{
		ID: "contract/mss-small", Source: "RFC 9293 section 3.7.1 (MUST-14)", Title: "A small MSS can be configured",
		Clause: "FlowConfig.MSS of 64 is announced and used, and the stream arrives.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(&api.FlowConfig{MSS: 64}, nil)
			if n := f.Info().SendMSS; n > 64 {
				t.Fatalf("the send MSS is %d", n)
			}
			t.Write(g, pattern(0, 1000))
			t.WantPattern(f, 0, 1000)
			t.Write(f, pattern(0, 1000))
			t.WantPattern(g, 0, 1000)
		},
	},
	{
		ID: "contract/Flows", Source: "D1 (Flows)", Title: "Flows lists listeners and TIME-WAIT too",
		Clause: "The iterator yields listeners in state LISTEN, open flows, and what remains of closed ones in TIME-WAIT.",
		Run: func(t *T) {
			p := t.Pair(nil)
			s := p.Listen(nil)
			f := p.Dial(s.Addr, nil)
			g := p.Accept(s)
			count := func(stack api.Stack, state api.State, local netip.AddrPort) int {
				n := 0
				for i := range stack.Flows() {
					if i.State == state && i.Src.Port() == local.Port() {
						n++
					}
				}
				return n
			}
			if n := count(p.B, api.StateListen, s.Addr); n == 0 { // there may be one for each address
				t.Errorf("no listener listed on port %d", s.Addr.Port())
			}
			if n := count(p.B, api.StateEstablished, g.Src()); n != 1 {
				t.Errorf("%d open flows listed", n)
			}
			closing := Start(t, "close", func() error { return f.Close(t.Bound()) })
			t.WantEOF(g)
			t.ok("close", g.Close(t.Bound()))
			t.ok("close", closing.Wait())
			if n := count(p.A, api.StateTimeWait, f.Src()); n != 1 {
				t.Errorf("%d records in TIME-WAIT listed after the active close", n)
			}
		},
	},
	{
		ID: "contract/Observer", Source: "W5 (api.Observable)", Title: "An observer sees flows open and end", Needs: Observing,
		Clause: "SetObserver's hooks tell of a flow's establishment, and of its end with the last snapshot and the reason; nil removes them.",
		Run: func(t *T) {
			p := t.Pair(nil)
			o, ok := p.A.(api.Observable)
			if !ok {
				t.Fatalf("the stack takes no observer")
			}
			var mu sync.Mutex
			established, closed := 0, []error(nil)
			var last api.Info
			o.SetObserver(&api.Observer{
				State: func(_, _ netip.AddrPort, _, to api.State) {
					mu.Lock()
					defer mu.Unlock()
					if to == api.StateEstablished {
						established++
					}
				},
				Closed: func(i api.Info, reason error) {
					mu.Lock()
					defer mu.Unlock()
					closed, last = append(closed, reason), i
				},
			})
			count := func(n int) func() bool {
				return func() bool { mu.Lock(); defer mu.Unlock(); return len(closed) == n }
			}
			f, g := p.Connect(nil, nil)
			t.Write(f, pattern(0, 1000))
			t.WantPattern(g, 0, 1000)
			t.Settle()
			g.Abort()
			t.Eventually("the end is observed", count(1))
			mu.Lock()
			t.is("observed reason", closed[0], api.ErrReset)
			if established != 1 || last.Src != f.Src() || last.Dst != f.Dst() {
				t.Errorf("%d flows established, the last is %v -> %v", established, last.Src, last.Dst)
			}
			mu.Unlock()
			f, g = p.Connect(nil, nil)
			closing := Start(t, "close", func() error { return f.Close(t.Bound()) })
			t.WantEOF(g)
			t.ok("close", g.Close(t.Bound()))
			t.ok("close", closing.Wait())
			t.Eventually("the end is observed", count(2))
			mu.Lock()
			if closed[1] != nil {
				t.Errorf("observed reason of an orderly end: %v", closed[1])
			}
			mu.Unlock()
			o.SetObserver(nil)
			f, _ = p.Connect(nil, nil)
			f.Abort()
			t.Settle()
			if !count(2)() {
				t.Errorf("a removed observer was called")
			}
		},
	},
}

package conformance

import (
	"context"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sluicenet/sluice/api"
)

var listenCases = []Case{
	{
		ID: "contract/L1", Source: "L1", Title: "The handler runs for each flow, in a goroutine of its own",
		Clause: "Listen runs the callback for every flow established to the port. One that blocks holds up no other, and returning does not close the flow.",
		Run: func(t *T) {
			p := t.Pair(nil)
			flows := NewMailbox[api.Flow](t)
			release, stop := t.stopped()
			port, err := p.B.Listen(0, nil, func(_ context.Context, f api.Flow) {
				flows.Put(f)
				if f.Info().State != api.StateEstablished {
					t.Errorf("the handler got a flow in state %v", f.Info().State)
				}
				f.Write(release, api.CopyBuffer([]byte("hello")))
				t.park(release) // some handlers take for ever
			})
			t.ok("listen", err)
			s := &Served{Flows: flows}
			s.Addr = addrPort(p.AddrB, port)
			var fs, gs []api.Flow
			for range 3 {
				fs = append(fs, p.Dial(s.Addr, nil))
				gs = append(gs, p.Accept(s))
			}
			for _, f := range fs {
				t.WantBytes(f, []byte("hello"))
			}
			stop()
			t.Settle()
			for i := range fs { // the handlers have returned
				p.Echo(fs[i], gs[i])
			}
		},
	},
	{
		ID: "contract/L2", Source: "L2", Title: "The listener's options are applied before the handler runs",
		Clause: "Nodelay, keepalive, TTL, DSCP and buffer sizes given to Listen are in force when the callback starts.",
		Run: func(t *T) {
			p := t.Pair(nil)
			k := api.KeepaliveConfig{After: 77 * time.Second, Interval: 7 * time.Second, Probes: 7}
			cfg := &api.ListenConfig{Flow: api.FlowConfig{NoDelay: true, Keepalive: k, TTL: 33, DSCP: 10}}
			infos := NewMailbox[api.Info](t)
			keeps := NewMailbox[api.Keepalive](t)
			port, err := p.B.Listen(0, cfg, func(_ context.Context, f api.Flow) {
				infos.Put(f.Info())
				f.Configure(func(c *api.FlowConfig) { keeps.Put(c.Keepalive) })
			})
			t.ok("listen", err)
			p.Dial(addrPort(p.AddrB, port), nil)
			i, err := infos.Take(t.Bound())
			t.ok("handler", err)
			if !i.NoDelay || i.TTL != 33 || i.DSCP != 10 {
				t.Fatalf("in the handler: nodelay %v, TTL %d, DSCP %d; want true, 33, 10", i.NoDelay, i.TTL, i.DSCP)
			}
			got, err := keeps.Take(t.Bound())
			t.ok("handler", err)
			if got != k {
				t.Fatalf("in the handler the keepalive is %#v, want %#v", got, k)
			}
		},
	},
	{
		ID: "contract/L2-keepalive", Source: "L2 K1", Title: "An accepted flow is probed as the listener says", Needs: Wire | VirtualTime | KeepaliveOptions,
		Clause: "A keepalive given to Listen watches the accepted flows, though the handler does nothing.",
		Run: func(t *T) {
			p := t.Pair(nil)
			k := api.KeepaliveConfig{After: 20 * time.Second, Interval: 2 * time.Second, Probes: 3}
			_, g := p.Connect(nil, &api.ListenConfig{Flow: api.FlowConfig{Keepalive: k}})
			p.Net.Cut(1)
			t.Eventually("the accepted flow ends", func() bool { return g.CloseReason() != nil })
			t.is("reason", g.CloseReason(), api.ErrKeepalive)
		},
	},
	{
		ID: "contract/L3", Source: "L3", Title: "A port has at most one listener",
		Clause: "A second Listen on a port fails with ErrPortInUse and leaves the first alone; port 0 picks a free port and tells which.",
		Run: func(t *T) {
			p := t.Pair(nil)
			s := p.Listen(nil)
			if s.Addr.Port() == 0 {
				t.Fatalf("port 0 stayed port 0")
			}
			wrong := func(context.Context, api.Flow) { t.Errorf("the refused listener's handler ran") }
			for range 2 {
				port, err := p.B.Listen(s.Addr.Port(), nil, wrong)
				t.is("second listen", err, api.ErrPortInUse, syscall.EADDRINUSE)
				if port != 0 && port != s.Addr.Port() {
					t.Fatalf("a refused listen returned port %d", port)
				}
			}
			f := p.Dial(s.Addr, nil)
			p.Echo(f, p.Accept(s))
			other := p.Listen(nil)
			if other.Addr.Port() == s.Addr.Port() {
				t.Fatalf("port 0 picked a port that has a listener")
			}
		},
	},
	{
		ID: "contract/L3-backlog", Source: "L3", Title: "The number of unfinished handlers is bounded",
		Clause: "While Backlog handlers run no other starts; when one returns, the next connection is served.",
		Run: func(t *T) {
			p := t.Pair(nil)
			var running, most atomic.Int64
			var served, dialled atomic.Int64
			release, stop := t.stopped()
			port, err := p.B.Listen(0, &api.ListenConfig{Backlog: 2}, func(_ context.Context, f api.Flow) {
				n := running.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				served.Add(1)
				t.park(release)
				running.Add(-1)
			})
			t.ok("listen", err)
			for range 6 {
				t.Go(func() {
					f, err := p.A.Dial(t.Bound(), addrPort(p.AddrB, port), nil)
					if err != nil {
						t.Errorf("dial: %v", err)
						return
					}
					f.Info()
					dialled.Add(1)
					// A stack that had no room for the last ACK completes the handshake now.
					if err := f.Write(t.Bound(), api.CopyBuffer([]byte("x"))); err != nil {
						t.Errorf("write: %v", err)
					}
				})
			}
			t.Eventually("two handlers run", func() bool { return running.Load() >= 2 })
			t.Settle()
			if n := most.Load(); n != 2 {
				t.Fatalf("%d handlers ran at once with a backlog of 2", n)
			}
			stop()
			t.Eventually("every connection is served", func() bool { return served.Load() == 6 && dialled.Load() == 6 })
		},
	},
	{
		ID: "contract/L-address", Source: "L1", Title: "A listener can be restricted to one address",
		Clause: "ListenConfig.Address must be an address of the stack; the listener then answers there.",
		Run: func(t *T) {
			p := t.Pair(nil)
			s := p.Listen(&api.ListenConfig{Address: p.AddrB})
			f := p.Dial(s.Addr, nil)
			p.Echo(f, p.Accept(s))
			bad := "198.51.100.77"
			if t.V6() {
				bad = "2001:db8:77::1"
			}
			_, err := p.B.Listen(0, &api.ListenConfig{Address: mustAddr(bad)}, func(context.Context, api.Flow) {})
			t.is("listen on somebody else's address", err, api.ErrInvalidAddress)
		},
	},
	{
		ID: "contract/U1", Source: "U1", Title: "Unlisten stops the listener and nothing else",
		Clause: "After Unlisten a dial is refused, established flows live on, and the port can be taken again; unlistening a free port does nothing.",
		Run: func(t *T) {
			p := t.Pair(nil)
			s := p.Listen(nil)
			f := p.Dial(s.Addr, nil)
			g := p.Accept(s)
			p.B.Unlisten(s.Addr.Port())
			p.B.Unlisten(s.Addr.Port())
			p.B.Unlisten(1)
			p.Echo(f, g)
			_, err := p.A.Dial(t.Bound(), s.Addr, nil)
			t.is("dial after Unlisten", err, api.ErrRefused)
			p.Echo(f, g)
			again := NewMailbox[api.Flow](t)
			port, err := p.B.Listen(s.Addr.Port(), nil, func(_ context.Context, f api.Flow) { again.Put(f) })
			t.ok("listen again", err)
			if port != s.Addr.Port() {
				t.Fatalf("listen returned port %d, asked for %d", port, s.Addr.Port())
			}
			f2 := p.Dial(s.Addr, nil)
			g2, err := again.Take(t.Bound())
			t.ok("accept", err)
			p.Echo(f2, g2)
			p.Echo(f, g)
		},
	},
}

var disconnectCases = []Case{
	{
		ID: "contract/X1", Source: "X1", Title: "Disconnect closes every flow in order",
		Clause: "Disconnect delivers what was written and closes; the peer reads it and then end of file. It returns when the peer has closed too.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(nil, nil)
			t.Write(f, pattern(0, 20_000))
			op := Start(t, "disconnect", func() bool { p.A.Disconnect(t.Bound()); return true })
			t.WantPattern(g, 0, 20_000)
			t.WantEOF(g)
			t.ok("close", g.Close(t.Bound()))
			op.Wait()
			p.A.Disconnect(t.Bound()) // again
		},
	},
	{
		ID: "contract/X1-release", Source: "X1", Title: "Disconnect releases every blocked call",
		Clause: "When its context ends Disconnect aborts the flows that are left: blocked reads, writes, closes and dials return ErrDisconnected, handlers' contexts end, and later calls fail with it.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, _ := p.ConnectSmall()
			handled, stop := t.stopped()
			port, err := p.A.Listen(0, nil, func(ctx context.Context, f api.Flow) {
				t.park(ctx)
				stop()
			})
			t.ok("listen", err)
			if _, err := p.B.Dial(t.Bound(), addrPort(p.AddrA, port), nil); err != nil {
				t.Fatalf("dial: %v", err)
			}
			read := Start(t, "read", func() error { _, err := f.Read(t.Bound()); return err })
			write := t.fill(f)
			f2, _ := p.Connect(nil, nil)
			closing := Start(t, "close", func() error { return f2.Close(t.Bound()) })
			var dial *Op[error]
			if p.Net != nil {
				p.Net.Filter(0, func(s *Segment) bool { return s.Flags&SYN == 0 })
				dial = Start(t, "dial", func() error {
					_, err := p.A.Dial(t.Bound(), addrPort(p.AddrB, 9), nil)
					return err
				})
			}
			read.Blocked("nothing has been written")
			closing.Blocked("the peer has not closed")
			p.A.Disconnect(t.Timeout(t.short()))
			t.is("blocked read", read.Wait(), api.ErrDisconnected)
			t.is("blocked write", write.Wait(), api.ErrClosed) // by the close that comes first
			t.is("blocked close", closing.Wait(), api.ErrDisconnected)
			if dial != nil {
				t.is("blocked dial", dial.Wait(), api.ErrDisconnected)
			}
			t.Eventually("the handler's context ends", func() bool { return handled.Err() != nil })
			t.is("reason", f.CloseReason(), api.ErrDisconnected)
			t.is("later write", f.Write(t.Bound(), api.CopyBuffer([]byte("x"))), api.ErrDisconnected, api.ErrClosed)
			_, err = p.A.Dial(t.Bound(), addrPort(p.AddrB, 9), nil)
			t.is("later dial", err, api.ErrDisconnected)
			_, err = p.A.Listen(0, nil, func(context.Context, api.Flow) {})
			t.is("later listen", err, api.ErrDisconnected)
			p.A.Unlisten(port)
			for range p.A.Flows() {
				t.Fatalf("a flow is left after Disconnect")
			}
			if i := p.A.Info(); i.Flows != 0 {
				t.Fatalf("%d flows are left after Disconnect", i.Flows)
			}
		},
	},
	{
		ID: "contract/X2", Source: "X2", Title: "Disconnect cannot fail",
		Clause: "With a context that has ended, again, and from several goroutines, Disconnect returns soon and leaves nothing.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(nil, nil)
			ctx, stop := t.stopped()
			stop()
			var ops []*Op[bool]
			for range 3 {
				ops = append(ops, Start(t, "disconnect", func() bool { p.A.Disconnect(ctx); return true }))
			}
			for _, op := range ops {
				op.WaitFor(t.late(t.short()))
			}
			t.is("reason", f.CloseReason(), api.ErrDisconnected)
			_, err := g.Read(t.Bound())
			if err == nil {
				t.Fatalf("the peer of a stack that left reads data")
			}
		},
	},
}

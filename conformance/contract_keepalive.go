package conformance

import (
	"io"
	"syscall"
	"time"

	"github.com/sluicenet/sluice/api"
)

// everyTen probes every ten seconds, from the start, and gives up after two.
type everyTen struct{}

func (everyTen) Next(idle time.Duration, sent int) (api.KeepaliveAction, time.Duration) {
	switch {
	case idle < 10*time.Second:
		return api.KeepaliveWait, 10*time.Second - idle
	case sent < 2:
		return api.KeepaliveProbe, 10 * time.Second
	}
	return api.KeepaliveGiveUp, 0
}

var keepaliveCases = []Case{
	{
		ID: "contract/K1", Source: "K1", Title: "An idle flow is probed, if asked for", Needs: Wire | VirtualTime | KeepaliveOptions,
		Clause: "Without a keepalive an idle flow sends nothing for days. With one, the first probe comes after After, and each answered probe starts anew.",
		Run: func(t *T) {
			p := t.Pair(nil)
			p.Connect(nil, nil)
			sent := p.Net.Sent(0) + p.Net.Sent(1)
			t.Sleep(5 * 24 * time.Hour)
			if n := p.Net.Sent(0) + p.Net.Sent(1) - sent; n != 0 {
				t.Fatalf("%d packets on an idle flow without keepalive", n)
			}
			k := api.KeepaliveConfig{After: 30 * time.Second, Interval: 5 * time.Second, Probes: 3}
			f, g := p.Connect(&api.FlowConfig{Keepalive: k}, nil)
			t.Sleep(5 * time.Second)
			sent = p.Net.Sent(0)
			t.Sleep(24 * time.Second) // 29 s after the handshake
			if n := p.Net.Sent(0) - sent; n != 0 {
				t.Fatalf("%d packets before 30 s of idleness", n)
			}
			t.Sleep(2 * time.Second)
			if n := p.Net.Sent(0) - sent; n != 1 {
				t.Fatalf("%d probes at 31 s of idleness, want one", n)
			}
			t.Sleep(time.Hour)
			if n := p.Net.Sent(0) - sent; n < 110 || n > 125 {
				t.Fatalf("%d probes in an hour of idleness, want one each 30 s", n)
			}
			p.Echo(f, g)
		},
	},
	{
		ID: "contract/K2", Source: "K2", Title: "A peer that does not answer is given up, but not after one probe", Needs: Wire | VirtualTime | KeepaliveOptions,
		Clause: "After Probes unanswered probes, one Interval apart, the connection is disconnected; a single lost probe does not matter.",
		Run: func(t *T) {
			p := t.Pair(nil)
			k := api.KeepaliveConfig{After: 30 * time.Second, Interval: 5 * time.Second, Probes: 4}
			f, g := p.Connect(&api.FlowConfig{Keepalive: k}, nil)
			lose := 2
			p.Net.Filter(0, func(*Segment) bool { lose--; return lose < 0 })
			t.Sleep(2 * time.Minute)
			if err := f.CloseReason(); err != nil {
				t.Fatalf("given up though the third probe was answered: %v", err)
			}
			p.Echo(f, g)
			start, sent := t.clk.Now(), p.Net.Sent(0)
			p.Net.Cut(0)
			t.Eventually("the flow ends", func() bool { return f.CloseReason() != nil })
			t.is("reason", f.CloseReason(), api.ErrKeepalive)
			if took := t.clk.Now().Sub(start); took < 49*time.Second || took > 52*time.Second {
				t.Fatalf("given up after %v of silence, want 30 s and 4 times 5 s", took)
			}
			if n := p.Net.Sent(0) - sent; n < 4 || n > 5 {
				t.Fatalf("%d packets in the time of 4 probes", n)
			}
		},
	},
	{
		ID: "contract/K2-defaults", Source: "K2", Title: "The defaults are 2 h, 75 s and 9 probes", Needs: Wire | VirtualTime,
		Clause: "Zero values of a KeepaliveConfig mean two hours of silence, 75 s between probes, and nine of them.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, _ := p.Connect(&api.FlowConfig{Keepalive: api.KeepaliveConfig{}}, nil)
			t.Sleep(5 * time.Second)
			start, sent := t.clk.Now(), p.Net.Sent(0)
			p.Net.Cut(0)
			t.Sleep(2*time.Hour - time.Minute)
			if n := p.Net.Sent(0) - sent; n != 0 {
				t.Fatalf("%d packets in the first two hours", n)
			}
			for f.CloseReason() == nil && t.clk.Now().Sub(start) < 3*time.Hour {
				t.Sleep(time.Second)
			}
			t.is("reason", f.CloseReason(), api.ErrKeepalive)
			took := t.clk.Now().Sub(start)
			if want := 2*time.Hour + 9*75*time.Second; took < want-10*time.Second || took > want+10*time.Second {
				t.Fatalf("given up after %v, want %v", took, want)
			}
			if n := p.Net.Sent(0) - sent; n != 9 && n != 10 { // a RST may follow the probes
				t.Fatalf("%d packets, want 9 probes", n)
			}
		},
	},
	{
		ID: "contract/K2-custom", Source: "K2", Title: "Any Keepalive decides", Needs: Wire | VirtualTime | CustomKeepalive,
		Clause: "A user's own Keepalive is asked when to probe and when to give up, and can be set on an open flow.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, _ := p.Connect(nil, nil)
			t.Sleep(time.Minute)
			p.Net.Cut(0)
			start, sent := t.clk.Now(), p.Net.Sent(0)
			t.ok("configure", f.Configure(func(c *api.FlowConfig) { c.Keepalive = everyTen{} }))
			t.Eventually("the flow ends", func() bool { return f.CloseReason() != nil })
			t.is("reason", f.CloseReason(), api.ErrKeepalive)
			if n := p.Net.Sent(0) - sent; n != 2 && n != 3 { // a RST may follow the probes
				t.Fatalf("%d packets, want 2 probes", n)
			}
			if took := t.clk.Now().Sub(start); took > 31*time.Second {
				t.Fatalf("given up after %v", took)
			}
		},
	},
	{
		ID: "contract/K3", Source: "K3", Title: "After a failed keepalive Read returns end of file", Needs: Wire | VirtualTime | KeepaliveOptions,
		Clause: "A reader, blocked or later, gets io.EOF itself; what had arrived is read first, and CloseReason tells the cause.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(&api.FlowConfig{Keepalive: api.KeepaliveConfig{After: time.Minute, Interval: time.Second, Probes: 2}}, nil)
			t.Write(g, []byte("before"))
			t.Settle()
			blocked, _ := p.Connect(&api.FlowConfig{Keepalive: api.KeepaliveConfig{After: time.Minute, Interval: time.Second, Probes: 2}}, nil)
			op := Start(t, "read", func() error { _, err := blocked.Read(t.Bound()); return err })
			p.Net.Cut(0)
			if err := op.Wait(); err != io.EOF {
				t.Fatalf("blocked read: %v (%T), want io.EOF itself", err, err)
			}
			t.is("reason", blocked.CloseReason(), api.ErrKeepalive, syscall.ETIMEDOUT)
			t.WantEOF(blocked)
			t.Eventually("the other flow ends", func() bool { return f.CloseReason() != nil })
			t.WantBytes(f, []byte("before"))
			t.WantEOF(f)
		},
	},
	{
		ID: "contract/K4", Source: "K4", Title: "After a failed keepalive a write fails with ErrClosed", Needs: Wire | VirtualTime | KeepaliveOptions,
		Clause: "Each way to write fails with ErrClosed and the cause; the error is not net.ErrClosed, for nobody here closed.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, _ := p.Connect(&api.FlowConfig{Keepalive: api.KeepaliveConfig{After: time.Minute, Interval: time.Second, Probes: 2}}, nil)
			p.Net.Cut(0)
			t.Eventually("the flow ends", func() bool { return f.CloseReason() != nil })
			for _, w := range writeCalls {
				t.is(w.name, w.call(t.Bound(), f, []byte("late!!")), api.ErrClosed, api.ErrKeepalive)
			}
			if i := p.A.Info(); i.Flows != 0 {
				t.Fatalf("%d flows left", i.Flows)
			}
		},
	},
	{
		ID: "contract/K-config", Source: "K1 K2", Title: "A keepalive can be set and removed while the flow is open", Needs: KeepaliveOptions,
		Clause: "Configure sets a KeepaliveConfig on an open flow, and takes it away again; the flow goes on.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(nil, nil)
			k := api.KeepaliveConfig{After: 40 * time.Second, Interval: 5 * time.Second, Probes: 2}
			t.ok("configure", f.Configure(func(c *api.FlowConfig) { c.Keepalive = k }))
			t.ok("configure", f.Configure(func(c *api.FlowConfig) {
				if c.Keepalive == nil {
					t.Errorf("Configure does not show the keepalive in force")
				}
				c.Keepalive = nil
			}))
			p.Echo(f, g)
			if p.Net != nil && t.virtual {
				sent := p.Net.Sent(0)
				t.Sleep(time.Hour)
				if n := p.Net.Sent(0) - sent; n > 1 { // the delayed ACK of the echo
					t.Fatalf("%d packets in an idle hour after the keepalive was removed", n)
				}
			}
		},
	},
}

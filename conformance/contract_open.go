package conformance

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/sluicenet/sluice/api"
)

var openCases = []Case{
	{
		ID: "contract/O1", Source: "O1", Title: "Dial opens a connection",
		Clause: "Dial opens a connection to an IPv4 or an IPv6 endpoint; several at once are independent of each other.",
		Run: func(t *T) {
			p := t.Pair(nil)
			s := p.Listen(nil)
			var fs, gs []api.Flow
			for range 5 {
				fs = append(fs, p.Dial(s.Addr, nil))
				gs = append(gs, p.Accept(s))
			}
			for i := range fs {
				if fs[i].Info().State != api.StateEstablished || gs[i].Info().State != api.StateEstablished {
					t.Fatalf("states %v and %v after Dial", fs[i].Info().State, gs[i].Info().State)
				}
				t.Write(fs[i], []byte{byte(i), 1})
			}
			for i := range gs {
				t.WantBytes(gs[i], []byte{byte(i), 1})
			}
		},
	},
	{
		ID: "contract/O1-local", Source: "O1", Title: "The local end can be chosen",
		Clause: "FlowConfig.Local gives the address and port to dial from; an address that is not the stack's own is refused.",
		Run: func(t *T) {
			p := t.Pair(nil)
			s := p.Listen(nil)
			probe := p.Dial(s.Addr, nil) // a port that is free: one that has just been used
			p.Accept(s)
			local := netip.AddrPortFrom(p.AddrA, probe.Src().Port())
			probe.Abort()
			t.Settle()
			f := p.Dial(s.Addr, &api.FlowConfig{Local: local})
			g := p.Accept(s)
			if f.Src() != local {
				t.Fatalf("dialled from %v, asked for %v", f.Src(), local)
			}
			p.Echo(f, g)
			bad := netip.MustParseAddrPort("198.51.100.77:0")
			if t.V6() {
				bad = netip.MustParseAddrPort("[2001:db8:77::1]:0")
			}
			_, err := p.A.Dial(t.Bound(), s.Addr, &api.FlowConfig{Local: bad})
			t.is("dial from somebody else's address", err, api.ErrInvalidAddress)
		},
	},
	{
		ID: "contract/O2-refused", Source: "O2", Title: "A dial to a closed port is refused",
		Clause: "Dial fails with ErrRefused, and the kernel's ECONNREFUSED, if the peer answers with a reset; nothing is left of it.",
		Run: func(t *T) {
			p := t.Pair(nil)
			s := p.Listen(nil)
			p.B.Unlisten(s.Addr.Port())
			f, err := p.A.Dial(t.Bound(), s.Addr, nil)
			if f != nil {
				t.Fatalf("a failed dial returned a flow")
			}
			t.is("dial", err, api.ErrRefused, syscall.ECONNREFUSED)
			t.isNot("dial", err, api.ErrTimeout, api.ErrReset)
			var e *api.Error
			if !errors.As(err, &e) || e.Op != "dial" || e.Dst != s.Addr {
				t.Fatalf("error %#v does not say what was dialled", err)
			}
			if n := p.A.Info().Flows; n != 0 {
				t.Fatalf("%d flows after a failed dial", n)
			}
		},
	},
	{
		ID: "contract/O2-timeout", Source: "O2", Title: "A dial that nobody answers ends with ErrTimeout, not before three minutes", Needs: Wire | VirtualTime,
		Clause: "By default at least three minutes are given to a SYN (RFC 9293, section 3.8.3); then Dial fails with ErrTimeout.",
		Run: func(t *T) {
			p := t.Pair(nil)
			s := p.Listen(nil)
			p.Net.Cut(0)
			start := t.clk.Now()
			_, err := p.A.Dial(t.Bound(), s.Addr, nil)
			t.is("dial", err, api.ErrTimeout, syscall.ETIMEDOUT)
			t.isNot("dial", err, os.ErrDeadlineExceeded, context.DeadlineExceeded)
			if took := t.clk.Now().Sub(start); took < 3*time.Minute || took > 20*time.Minute {
				t.Fatalf("gave up after %v", took)
			}
			if i := p.A.Info(); i.Flows != 0 || i.HalfOpen != 0 {
				t.Fatalf("after a failed dial: %d flows, %d half-open", i.Flows, i.HalfOpen)
			}
		},
	},
	{
		ID: "contract/O2-user-timeout", Source: "O2", Title: "UserTimeout bounds a dial", Needs: Wire | VirtualTime,
		Clause: "FlowConfig.UserTimeout bounds the handshake; Dial then fails with ErrTimeout.",
		Run: func(t *T) {
			p := t.Pair(nil)
			s := p.Listen(nil)
			p.Net.Cut(0)
			start := t.clk.Now()
			_, err := p.A.Dial(t.Bound(), s.Addr, &api.FlowConfig{UserTimeout: 10 * time.Second})
			t.is("dial", err, api.ErrTimeout)
			if took := t.clk.Now().Sub(start); took < 10*time.Second || took > 15*time.Second {
				t.Fatalf("gave up after %v", took)
			}
		},
	},
	{
		ID: "contract/O2-context", Source: "O2", Title: "A context ends a dial", Needs: Wire,
		Clause: "The end of the context ends Dial with its cause, and frees what the dial held; a connection that is established later cannot come of it.",
		Run: func(t *T) {
			p := t.Pair(nil)
			s := p.Listen(nil)
			p.Net.Cut(0)
			ctx, stop := t.stopped()
			op := Start(t, "dial", func() error { _, err := p.A.Dial(ctx, s.Addr, nil); return err })
			op.Blocked("nobody answers")
			stop()
			t.is("dial", op.Wait(), errStop)
			_, err := p.A.Dial(t.Timeout(time.Second), s.Addr, nil)
			t.is("dial", err, context.DeadlineExceeded)
			t.isNot("dial", err, api.ErrTimeout)
			p.Net.Filter(0, nil)
			t.Settle()
			if n := s.Flows.Len(); n != 0 {
				t.Fatalf("%d flows were accepted from dials that had ended", n)
			}
			if i := p.A.Info(); i.Flows != 0 || i.HalfOpen != 0 {
				t.Fatalf("after the dials: %d flows, %d half-open", i.Flows, i.HalfOpen)
			}
		},
	},
	{
		ID: "contract/O2-done-context", Source: "O2", Title: "A dial with an ended context fails at once",
		Clause: "Given a context that has ended, Dial fails with its cause and opens nothing.",
		Run: func(t *T) {
			p := t.Pair(nil)
			s := p.Listen(nil)
			ctx, stop := t.stopped()
			stop()
			op := Start(t, "dial", func() error { _, err := p.A.Dial(ctx, s.Addr, nil); return err })
			t.is("dial", op.WaitFor(t.short()), errStop)
			t.Settle()
			if n := s.Flows.Len(); n != 0 {
				for range n {
					g := p.Accept(s)
					if g.Info().State == api.StateEstablished {
						t.Fatalf("a connection came of a dial that failed")
					}
				}
			}
		},
	},
	{
		ID: "contract/O2-invalid", Source: "O2", Title: "Addresses that nobody can have are refused",
		Clause: "Dialling a multicast or the unspecified address, or port 0, fails at once.",
		Run: func(t *T) {
			p := t.Pair(nil)
			list := []string{"224.0.0.1:80", "255.255.255.255:80"}
			if t.V6() {
				list = []string{"[ff02::1]:80"}
			}
			for _, a := range list {
				dst := netip.MustParseAddrPort(a)
				op := Start(t, "dial", func() error { _, err := p.A.Dial(t.Bound(), dst, nil); return err })
				err := op.WaitFor(t.short())
				if err == nil {
					t.Fatalf("dial %v succeeded", dst)
				}
				if !errors.Is(err, api.ErrInvalidAddress) && !errors.Is(err, api.ErrUnreachable) {
					t.Fatalf("dial %v: %v, want ErrInvalidAddress", dst, err)
				}
			}
		},
	},
}

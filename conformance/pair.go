package conformance

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"time"

	"github.com/sluicenet/sluice/api"
)

// Addresses of the suite's hosts, all from the ranges for documentation. A and
// B are the two stacks of a contract case; in a wire case A is the stack and B
// the peer.
var (
	addrA4, addrB4 = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	addrA6, addrB6 = netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
)

// prefixes returns a host's addresses with their networks.
func prefixes(v4, v6 netip.Addr) []netip.Prefix {
	return []netip.Prefix{netip.PrefixFrom(v4, 24), netip.PrefixFrom(v6, 64)}
}

// Pair is two stacks that can reach each other.
type Pair struct {
	*T
	A, B         api.Stack
	AddrA, AddrB netip.Addr
	Net          *Network // nil without Wire
}

// Pair makes two stacks. edit, if not nil, may change their environments.
func (t *T) Pair(edit func(a, b *Env)) *Pair {
	p := &Pair{T: t}
	a := &Env{Clock: t.clk, Seed: t.seed*2 + 1}
	b := &Env{Clock: t.clk, Seed: t.seed*2 + 2}
	if t.Has(Wire) {
		p.Net = newNetwork(t)
		a.Link, b.Link = p.Net.ports[0], p.Net.ports[1]
		a.Addresses, b.Addresses = prefixes(addrA4, addrA6), prefixes(addrB4, addrB6)
		p.AddrA, p.AddrB = addrA4, addrB4
		if t.V6() {
			p.AddrA, p.AddrB = addrA6, addrB6
		}
	} else {
		a.Addresses = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("::1/128")}
		b.Addresses = a.Addresses
		p.AddrA = netip.MustParseAddr("127.0.0.1")
		if t.V6() {
			p.AddrA = netip.IPv6Loopback()
		}
		p.AddrB = p.AddrA
	}
	if edit != nil {
		edit(a, b)
	}
	p.A, p.B = t.newStack(a), t.newStack(b)
	return p
}

// Served is a listener of the case, with the flows that it has accepted.
type Served struct {
	Addr  netip.AddrPort
	Flows *Mailbox[api.Flow]
}

// Listen makes B listen, on a port of its choice.
func (p *Pair) Listen(cfg *api.ListenConfig) *Served {
	s := &Served{Flows: NewMailbox[api.Flow](p.T)}
	port, err := p.B.Listen(0, cfg, func(_ context.Context, f api.Flow) { s.Flows.Put(f) })
	if err != nil {
		p.Fatalf("listen: %v", err)
	}
	s.Addr = netip.AddrPortFrom(p.AddrB, port)
	return s
}

// Accept returns the next flow that s has accepted.
func (p *Pair) Accept(s *Served) api.Flow {
	g, err := s.Flows.Take(p.Bound())
	if err != nil {
		p.Fatalf("no flow was accepted: %v", err)
	}
	return g
}

// Dial opens a flow from A.
func (p *Pair) Dial(to netip.AddrPort, cfg *api.FlowConfig) api.Flow {
	f, err := p.A.Dial(p.Bound(), to, cfg)
	if err != nil {
		p.Fatalf("dial %v: %v", to, err)
	}
	return f
}

// Connect opens a flow from A to B and returns both ends.
func (p *Pair) Connect(dial *api.FlowConfig, listen *api.ListenConfig) (f, g api.Flow) {
	s := p.Listen(listen)
	f = p.Dial(s.Addr, dial)
	return f, p.Accept(s)
}

// small are options that make queues fill soon.
func small() api.FlowConfig {
	return api.FlowConfig{SendBuffer: 16 << 10, ReceiveBuffer: 16 << 10}
}

// ConnectSmall is Connect with small buffers at both ends.
func (p *Pair) ConnectSmall() (f, g api.Flow) {
	c := small()
	return p.Connect(&c, &api.ListenConfig{Flow: c})
}

// pattern returns n bytes that differ from place to place: byte i of a stream
// is the same wherever it is cut.
func pattern(from, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		k := uint32(from+i) * 2654435761
		b[i] = byte(k>>24) ^ byte(k>>13)
	}
	return b
}

// Write writes b to f, or fails the case.
func (t *T) Write(f api.Flow, b []byte) {
	if err := f.Write(t.Bound(), api.CopyBuffer(b)); err != nil {
		t.Fatalf("write of %d bytes: %v", len(b), err)
	}
}

// WriteAll writes bytes [from, to) of the pattern in pieces, in a goroutine.
func (t *T) WriteAll(f api.Flow, from, to int) *Op[error] {
	return Start(t, "a series of writes", func() error {
		for from < to {
			n := min(4096, to-from)
			if err := f.Write(t.Bound(), api.NewBuffer(pattern(from, n))); err != nil {
				return err
			}
			from += n
		}
		return nil
	})
}

// Read reads exactly n bytes from f, or fails the case.
func (t *T) Read(f api.Flow, n int) []byte {
	var got []byte
	for len(got) < n {
		b, err := f.Read(t.Bound())
		if err != nil {
			t.Fatalf("read after %d of %d bytes: %v", len(got), n, err)
		}
		if b.Len() == 0 {
			t.Fatalf("read returned an empty buffer") // R2
		}
		got = append(got, b.Bytes()...)
		b.Release()
	}
	if len(got) > n {
		t.Fatalf("read %d bytes, but only %d were sent", len(got), n)
	}
	return got
}

// WantPattern reads bytes [from, to) of the pattern from f.
func (t *T) WantPattern(f api.Flow, from, to int) {
	got := t.Read(f, to-from)
	if want := pattern(from, to-from); !bytes.Equal(got, want) {
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("byte %d of the stream is wrong: %#02x instead of %#02x", from+i, got[i], want[i])
			}
		}
	}
}

// WantBytes reads exactly want from f.
func (t *T) WantBytes(f api.Flow, want []byte) {
	if got := t.Read(f, len(want)); !bytes.Equal(got, want) {
		t.Fatalf("read %q, want %q", got, want)
	}
}

// WantEOF reads the end of file from f: bare, and again (R4).
func (t *T) WantEOF(f api.Flow) {
	for range 3 {
		b, err := f.Read(t.Bound())
		if err != io.EOF {
			n := -1
			if b != nil {
				n = b.Len()
			}
			t.Fatalf("read: %d bytes, error %v (%T), want io.EOF itself", n, err, err)
		}
	}
}

// closeBoth closes both ends in order and waits for both.
func (p *Pair) closeBoth(f, g api.Flow) {
	a := Start(p.T, "close", func() error { return f.Close(p.Bound()) })
	b := Start(p.T, "close", func() error { return g.Close(p.Bound()) })
	p.ok("close", a.Wait())
	p.ok("close", b.Wait())
}

// Echo proves that the connection carries data both ways.
func (p *Pair) Echo(f, g api.Flow) {
	p.Write(f, []byte("ping"))
	p.WantBytes(g, []byte("ping"))
	p.Write(g, []byte("pong"))
	p.WantBytes(f, []byte("pong"))
}

var errStop = errors.New("stopped by the case")

// stopped returns a context that stop ends with errStop.
func (t *T) stopped() (ctx context.Context, stop func()) {
	ctx, cancel := t.clk.WithCancel(t.ctx)
	t.Cleanup(func() { cancel(errStop) })
	return ctx, func() { cancel(errStop) }
}

// short is a little time: in virtual time far more than any round trip.
func (t *T) short() time.Duration {
	if t.virtual {
		return 10 * time.Second
	}
	return 80 * time.Millisecond
}

//go:build linux

package kernel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
	"go.uber.org/goleak"
)

// patience bounds what ought to happen soon, however slow the machine.
const patience = 30 * time.Second

var loopbacks = map[string]netip.Addr{
	"IPv4": netip.MustParseAddr("127.0.0.1"),
	"IPv6": netip.MustParseAddr("::1"),
}

func withPatience(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// ended is a context that ended long ago.
func ended(cause error) context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(cause)
	return ctx
}

// newStack makes a stack that leaves neither goroutine nor descriptor behind.
func newStack(t testing.TB, cfg Config) *Stack {
	t.Helper()
	leaked := goleak.IgnoreCurrent()
	before := descriptors(t)
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Disconnect(ended(context.Canceled))
		goleak.VerifyNone(t, leaked)
		if after := descriptors(t); after > before {
			t.Errorf("%d descriptors before, %d after", before, after)
		}
	})
	return s
}

// wakeRuntime makes the runtime open the descriptors of its own poller, which
// are nobody's leak.
var wakeRuntime = sync.OnceFunc(func() {
	if r, w, err := os.Pipe(); err == nil {
		r.Close()
		w.Close()
	}
})

func descriptors(t testing.TB) int {
	t.Helper()
	wakeRuntime()
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(d)
}

// pair returns the two ends of a flow over the loopback address a.
func pair(t testing.TB, s *Stack, a netip.Addr, dial *api.FlowConfig, listen *api.ListenConfig) (client, server api.Flow) {
	t.Helper()
	accepted := make(chan api.Flow, 1)
	port, err := s.Listen(0, listen, func(_ context.Context, f api.Flow) { accepted <- f })
	if err != nil {
		t.Fatal(err)
	}
	client, err = s.Dial(withPatience(t), netip.AddrPortFrom(a, port), dial)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case server = <-accepted:
	case <-time.After(patience):
		t.Fatal("no flow accepted")
	}
	s.Unlisten(port)
	return client, server
}

// each runs a test over both families.
func each(t *testing.T, test func(t *testing.T, s *Stack, a netip.Addr)) {
	for name, a := range loopbacks {
		t.Run(name, func(t *testing.T) { test(t, newStack(t, Config{}), a) })
	}
}

func send(t testing.TB, f api.Flow, s string) {
	t.Helper()
	if err := f.Write(withPatience(t), api.CopyBuffer([]byte(s))); err != nil {
		t.Fatalf("write: %v", err)
	}
}

// receive reads exactly n bytes.
func receive(t testing.TB, f api.Flow, n int) []byte {
	t.Helper()
	var got []byte
	for len(got) < n {
		b, err := f.Read(withPatience(t))
		if err != nil {
			t.Fatalf("read after %d bytes: %v", len(got), err)
		}
		if b.Len() < 1 {
			t.Fatal("empty read")
		}
		got = append(got, b.Bytes()...)
		b.Release()
	}
	if len(got) != n {
		t.Fatalf("read %d bytes, want %d", len(got), n)
	}
	return got
}

func wantEOF(t testing.TB, f api.Flow) {
	t.Helper()
	for range 2 {
		if b, err := f.Read(withPatience(t)); err != io.EOF {
			t.Fatalf("read: %v, %v, want io.EOF", b, err)
		}
	}
}

func want(t testing.TB, err error, targets ...error) {
	t.Helper()
	var e *api.Error
	if !errors.As(err, &e) {
		t.Errorf("%v is no *api.Error", err)
	}
	for _, target := range targets {
		if !errors.Is(err, target) {
			t.Errorf("error %q does not match %q", err, target)
		}
	}
}

// pattern returns n bytes that repeat late.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}

func TestEcho(t *testing.T) {
	each(t, func(t *testing.T, s *Stack, a netip.Addr) {
		c, srv := pair(t, s, a, nil, nil)
		if c.Dst() != srv.Src() || c.Src() != srv.Dst() || c.Dst().Addr() != a {
			t.Fatalf("addresses %v %v, %v %v", c.Src(), c.Dst(), srv.Src(), srv.Dst())
		}
		send(t, c, "hello")
		if got := string(receive(t, srv, 5)); got != "hello" {
			t.Fatalf("got %q", got)
		}
		// Half-close: the server still writes, the client still reads (C3).
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		wantEOF(t, srv)
		send(t, srv, "and back")
		if got := string(receive(t, c, 8)); got != "and back" {
			t.Fatalf("got %q", got)
		}
		if err := c.Close(ended(errors.New("enough"))); err == nil {
			t.Error("Close succeeded while the peer is open (C4)")
		}
		if err := srv.Close(withPatience(t)); err != nil {
			t.Errorf("server: Close: %v", err)
		}
		if err := c.Close(withPatience(t)); err != nil {
			t.Errorf("client: Close: %v", err)
		}
		wantEOF(t, c)
		for _, f := range []api.Flow{c, srv} {
			if r := f.CloseReason(); r != nil {
				t.Errorf("CloseReason %v", r)
			}
			if st := f.Info().State; st != api.StateClosed {
				t.Errorf("state %v", st)
			}
			want(t, f.Write(withPatience(t), api.CopyBuffer([]byte("x"))), api.ErrClosed)
		}
		if n := s.Info().Flows; n != 0 {
			t.Errorf("%d flows left", n)
		}
	})
}

func TestBulk(t *testing.T) {
	each(t, func(t *testing.T, s *Stack, a netip.Addr) {
		c, srv := pair(t, s, a, &api.FlowConfig{SendBuffer: 64 << 10}, nil)
		data := pattern(2 << 20)
		errs := make(chan error, 1)
		go func() {
			rest := data
			for len(rest) > 0 {
				n := min(len(rest), 100_000)
				if err := c.Write(context.Background(), api.CopyBuffer(rest[:n])); err != nil {
					errs <- err
					return
				}
				rest = rest[n:]
			}
			errs <- c.Close(withPatience(t))
		}()
		var got []byte
		for {
			b, err := srv.Read(withPatience(t))
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, b.Bytes()...)
			b.Release()
		}
		if !bytes.Equal(got, data) {
			t.Error("bytes differ")
		}
		if err := srv.Close(withPatience(t)); err != nil {
			t.Error(err)
		}
		if err := <-errs; err != nil {
			t.Error(err)
		}
	})
}

func ExampleNew() {
	s, err := New(Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Disconnect(context.Background())
	port, err := s.Listen(0, nil, func(ctx context.Context, f api.Flow) {
		b, err := f.Read(ctx)
		if err == nil {
			f.Write(ctx, b)
		}
		f.Close(ctx)
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	f, err := s.Dial(ctx, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	f.Write(ctx, api.CopyBuffer([]byte("hello")))
	b, err := f.Read(ctx)
	fmt.Println(string(b.Bytes()), err)
	fmt.Println(f.Close(ctx))
	// Output:
	// hello <nil>
	// <nil>
}

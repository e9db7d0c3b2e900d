//go:build linux

package kernel

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
	"golang.org/x/sys/unix"
)

// deafen makes the kernel drop whatever arrives for a socket, as if the path to
// it were cut.
func deafen(t testing.TB, fd int) {
	t.Helper()
	drop := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &drop}); err != nil {
		t.Fatal(err)
	}
}

func fdOf(f api.Flow) int { return f.(*flow).fd }

// fillUp writes to f until a write blocks, and returns what was queued.
func fillUp(t testing.TB, f api.Flow) (queued []byte) {
	t.Helper()
	enough := errors.New("enough")
	for i := 0; ; i++ {
		p := bytes.Repeat([]byte{byte(i)}, 50_000)
		ctx, cancel := context.WithTimeoutCause(context.Background(), 100*time.Millisecond, enough)
		err := f.Write(ctx, api.CopyBuffer(p))
		cancel()
		if errors.Is(err, enough) {
			return queued
		}
		if err != nil {
			t.Fatal(err)
		}
		queued = append(queued, p...)
	}
}

func TestReset(t *testing.T) {
	each(t, func(t *testing.T, s *Stack, a netip.Addr) {
		c, srv := pair(t, s, a, nil, nil)
		send(t, c, "unread")
		srv.(*flow).settle()
		for srv.Info().ReceiveQueue != 6 { // loopback delivers before write returns
			t.Fatal("the data has not arrived")
		}
		c.Abort()
		_, err := srv.Read(withPatience(t)) // not "unread" (R4)
		want(t, err, api.ErrReset, syscall.ECONNRESET)
		if errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) {
			t.Errorf("a reset is taken for something else: %v", err)
		}
		err = srv.Write(withPatience(t), api.CopyBuffer([]byte("x")))
		want(t, err, api.ErrClosed, api.ErrReset)
		if errors.Is(err, net.ErrClosed) {
			t.Errorf("the peer's reset is taken for a local close: %v", err)
		}
		if srv.CloseReason() != api.ErrReset {
			t.Errorf("CloseReason %v", srv.CloseReason())
		}
		want(t, srv.Close(withPatience(t)), api.ErrReset)

		_, err = c.Read(withPatience(t))
		want(t, err, api.ErrAborted, net.ErrClosed)
		want(t, c.Write(withPatience(t), api.CopyBuffer([]byte("x"))), api.ErrAborted, api.ErrClosed)
		want(t, c.Close(withPatience(t)), api.ErrAborted)
		c.Abort()
		if c.CloseReason() != api.ErrAborted {
			t.Errorf("CloseReason %v", c.CloseReason())
		}
	})
}

// End of file stays end of file, whatever happens afterwards (R4).
func TestEOFIsFinal(t *testing.T) {
	each(t, func(t *testing.T, s *Stack, a netip.Addr) {
		c, srv := pair(t, s, a, nil, nil)
		c.CloseWrite()
		wantEOF(t, srv)
		c.Abort()
		want(t, srv.Close(withPatience(t)), api.ErrReset)
		wantEOF(t, srv)
	})
}

// What had arrived can be read after both ends have closed (R3), and takes no
// descriptor (C5).
func TestReadAfterTheEnd(t *testing.T) {
	each(t, func(t *testing.T, s *Stack, a netip.Addr) {
		c, srv := pair(t, s, a, nil, nil)
		data := pattern(30_000) // fits the first window
		if err := c.Write(withPatience(t), api.CopyBuffer(data)); err != nil {
			t.Fatal(err)
		}
		c.CloseWrite()
		if err := srv.Close(withPatience(t)); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(withPatience(t)); err != nil {
			t.Fatal(err)
		}
		if fdOf(srv) != -1 {
			t.Error("an ended flow keeps its descriptor")
		}
		if n := srv.Info().ReceiveQueue; n != int64(len(data)) {
			t.Errorf("ReceiveQueue %d", n)
		}
		if !bytes.Equal(receive(t, srv, len(data)), data) {
			t.Error("bytes differ")
		}
		wantEOF(t, srv)
	})
}

// A buffer that was read is the reader's own (R1).
func TestReadIsFresh(t *testing.T) {
	each(t, func(t *testing.T, s *Stack, a netip.Addr) {
		c, srv := pair(t, s, a, nil, nil)
		send(t, c, "one")
		one, err := srv.Read(withPatience(t))
		if err != nil {
			t.Fatal(err)
		}
		if !one.Exclusive() {
			t.Error("somebody else can see the buffer")
		}
		send(t, c, "two")
		two, err := srv.Read(withPatience(t))
		if err != nil {
			t.Fatal(err)
		}
		clear(one.Bytes())
		if string(two.Bytes()) != "two" {
			t.Errorf("read %q", two.Bytes())
		}
	})
}

// A call whose context has ended succeeds if it need not block, and otherwise
// leaves the flow as it was.
func TestContexts(t *testing.T) {
	each(t, func(t *testing.T, s *Stack, a netip.Addr) {
		c, srv := pair(t, s, a, nil, nil)
		mine := errors.New("mine")
		_, err := srv.Read(ended(mine))
		want(t, err, mine)
		if err := c.Write(ended(mine), api.CopyBuffer([]byte("abc"))); err != nil {
			t.Errorf("a write that need not block: %v", err)
		}
		if b, err := srv.Read(ended(mine)); err != nil || string(b.Bytes()) != "abc" {
			t.Errorf("a read that need not block: %v", err)
		}
		ctx, cancel := context.WithCancelCause(context.Background())
		reading := make(chan error)
		go func() {
			_, err := srv.Read(ctx)
			reading <- err
		}()
		cancel(mine)
		want(t, <-reading, mine)
		send(t, c, "still open")
		receive(t, srv, 10)
		want(t, c.Close(ended(mine)), mine) // the FIN is sent all the same
		wantEOF(t, srv)
	})
}

// A cancelled write has queued nothing, the others are there whole and in order
// (W1, V1).
func TestFullQueue(t *testing.T) {
	each(t, func(t *testing.T, s *Stack, a netip.Addr) {
		small := api.FlowConfig{SendBuffer: 32 << 10, ReceiveBuffer: 32 << 10}
		c, srv := pair(t, s, a, &small, &api.ListenConfig{Flow: small})
		queued := fillUp(t, c)
		if len(queued) == 0 {
			t.Fatal("nothing could be written")
		}
		if i := c.Info(); i.SendQueue == 0 || i.SendQueue > int64(len(queued)) {
			t.Errorf("SendQueue %d of %d", i.SendQueue, len(queued))
		}
		// A write that waits fails when the flow is closed (W4).
		writing := make(chan error)
		go func() { writing <- c.Write(withPatience(t), api.CopyBuffer([]byte("never"))) }()
		for {
			f := c.(*flow)
			f.writable.mu.Lock()
			waits := f.writable.ch != nil
			f.writable.mu.Unlock()
			if waits {
				break
			}
			time.Sleep(time.Millisecond)
		}
		c.CloseWrite()
		want(t, <-writing, api.ErrClosed, net.ErrClosed)
		if !bytes.Equal(receive(t, srv, len(queued)), queued) {
			t.Error("bytes differ")
		}
		wantEOF(t, srv)
	})
}

// However large, a write is taken whole if the queue is below its limit.
func TestLargeWrite(t *testing.T) {
	each(t, func(t *testing.T, s *Stack, a netip.Addr) {
		c, srv := pair(t, s, a, &api.FlowConfig{SendBuffer: 256 << 10}, nil)
		data := pattern(4 << 20)
		vector := []*api.Buffer{api.CopyBuffer(data[:1]), api.CopyBuffer(nil), api.CopyBuffer(data[1:100]), api.CopyBuffer(data[100:])}
		if err := c.Writev(ended(context.Canceled), vector); err != nil {
			t.Fatal(err)
		}
		if i := c.Info(); i.SendQueue == 0 {
			t.Error("nothing is queued")
		}
		want(t, c.Write(ended(context.Canceled), api.CopyBuffer([]byte("x"))), context.Canceled)
		c.CloseWrite()
		if !bytes.Equal(receive(t, srv, len(data)), data) {
			t.Error("bytes differ")
		}
		wantEOF(t, srv)
	})
}

// Concurrent writes do not mix (V1).
func TestWritesAreAtomic(t *testing.T) {
	each(t, func(t *testing.T, s *Stack, a netip.Addr) {
		small := api.FlowConfig{SendBuffer: 32 << 10}
		c, srv := pair(t, s, a, &small, nil)
		const writers, writes, size = 8, 10, 30_000
		var wg sync.WaitGroup
		for w := range writers {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for range writes {
					p := bytes.Repeat([]byte{byte(w)}, size)
					err := c.Writev(withPatience(t), []*api.Buffer{api.CopyBuffer(p[:size/3]), api.CopyBuffer(p[size/3:])})
					if err != nil {
						t.Error(err)
						return
					}
				}
			}()
		}
		for range writers * writes {
			got := receive2(t, srv, size)
			if n := bytes.Count(got, got[:1]); n != size {
				t.Fatalf("a write of %d has %d bytes of its own", size, n)
			}
		}
		wg.Wait()
	})
}

// receive2 reads n bytes of a longer stream, keeping what is beyond.
func receive2(t testing.TB, f api.Flow, n int) []byte {
	t.Helper()
	keptMu.Lock()
	got := kept[f]
	keptMu.Unlock()
	for len(got) < n {
		b, err := f.Read(withPatience(t))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, b.Bytes()...)
		b.Release()
	}
	keptMu.Lock()
	kept[f] = got[n:]
	keptMu.Unlock()
	return got[:n]
}

var (
	keptMu sync.Mutex
	kept   = map[api.Flow][]byte{}
)

func TestWriteNoDelay(t *testing.T) {
	each(t, func(t *testing.T, s *Stack, a netip.Addr) {
		c, srv := pair(t, s, a, nil, nil)
		data := pattern(1 << 20)
		go func() {
			for range 10 {
				receive2(t, srv, len(data)/10)
			}
		}()
		if err := c.WriteNoDelay(withPatience(t), api.CopyBuffer(data)); err != nil {
			t.Fatal(err)
		}
		if i := c.Info(); i.SendQueue != 0 {
			t.Errorf("%d bytes were not acknowledged when WriteNoDelay returned (N1)", i.SendQueue)
		}
		if n, _ := unix.GetsockoptInt(fdOf(c), unix.IPPROTO_TCP, unix.TCP_NODELAY); n != 0 {
			t.Error("Nagle's algorithm is still off")
		}

		deafen(t, fdOf(srv))
		mine := errors.New("mine")
		ctx, cancel := context.WithTimeoutCause(context.Background(), 100*time.Millisecond, mine)
		defer cancel()
		err := c.WritevNoDelay(ctx, []*api.Buffer{api.CopyBuffer([]byte("unheard"))})
		want(t, err, mine)
		// The FIN, which SIOCOUTQ counts, makes no difference.
		c.CloseWrite()
		if n, _ := c.(*flow).acked(); n != int64(len(data)) {
			t.Errorf("%d bytes acknowledged, want %d", n, len(data))
		}
		go func() {
			time.Sleep(10 * time.Millisecond)
			c.Abort()
		}()
		want(t, c.Close(withPatience(t)), api.ErrAborted)
		want(t, c.WriteNoDelay(withPatience(t), api.CopyBuffer([]byte("x"))), api.ErrClosed)
	})
}

func TestWriteNoDelayReset(t *testing.T) {
	each(t, func(t *testing.T, s *Stack, a netip.Addr) {
		c, srv := pair(t, s, a, nil, nil)
		deafen(t, fdOf(srv))
		writing := make(chan error)
		go func() { writing <- c.WriteNoDelay(withPatience(t), api.CopyBuffer([]byte("unheard"))) }()
		for c.Info().SendQueue == 0 {
			time.Sleep(time.Millisecond)
		}
		srv.Abort()
		want(t, <-writing, api.ErrClosed, api.ErrReset)
	})
}

func TestCloseFromSeveralGoroutines(t *testing.T) {
	each(t, func(t *testing.T, s *Stack, a netip.Addr) {
		c, srv := pair(t, s, a, nil, nil)
		closing := make(chan error)
		for range 4 {
			go func() { closing <- c.Close(withPatience(t)) }()
		}
		wantEOF(t, srv)
		select {
		case err := <-closing:
			t.Fatalf("Close returned %v before the peer closed (C4)", err)
		case <-time.After(50 * time.Millisecond):
		}
		if st := c.Info().State; st != api.StateFinWait2 {
			t.Errorf("state %v", st)
		}
		if st := srv.Info().State; st != api.StateCloseWait {
			t.Errorf("peer's state %v", st)
		}
		if err := srv.Close(withPatience(t)); err != nil {
			t.Error(err)
		}
		for range 4 {
			if err := <-closing; err != nil {
				t.Error(err)
			}
		}
	})
}

func TestCloseRead(t *testing.T) {
	each(t, func(t *testing.T, s *Stack, a netip.Addr) {
		c, srv := pair(t, s, a, nil, nil)
		reading := make(chan error)
		go func() {
			_, err := srv.Read(withPatience(t))
			reading <- err
		}()
		if err := srv.CloseRead(); err != nil {
			t.Fatal(err)
		}
		if err := <-reading; err != io.EOF {
			t.Errorf("pending Read: %v", err)
		}
		// The peer is not blocked.
		for range 400 {
			if err := c.Write(withPatience(t), api.Alloc(100_000)); err != nil {
				t.Fatal(err)
			}
		}
		wantEOF(t, srv)
		send(t, srv, "still writing")
		receive(t, c, 13)
		go c.Close(withPatience(t))
		if err := srv.Close(withPatience(t)); err != nil {
			t.Error(err)
		}
	})
}

func TestOrphan(t *testing.T) {
	each(t, func(t *testing.T, s *Stack, a netip.Addr) {
		// Everything is in the socket.
		c, srv := pair(t, s, a, nil, nil)
		send(t, c, "last words")
		c.(api.Orphaner).Orphan()
		c.(api.Orphaner).Orphan()
		_, err := c.Read(withPatience(t))
		want(t, err, net.ErrClosed)
		want(t, c.Write(withPatience(t), api.CopyBuffer([]byte("x"))), net.ErrClosed)
		want(t, c.Close(withPatience(t)), net.ErrClosed)
		receive(t, srv, 10)
		wantEOF(t, srv)

		// The socket has not taken everything yet.
		small := api.FlowConfig{SendBuffer: 16 << 10}
		c, srv = pair(t, s, a, &small, nil)
		data := pattern(1 << 20)
		if err := c.Write(withPatience(t), api.CopyBuffer(data)); err != nil {
			t.Fatal(err)
		}
		reading := make(chan error)
		go func() {
			_, err := c.Read(withPatience(t))
			reading <- err
		}()
		c.(api.Orphaner).Orphan()
		want(t, <-reading, net.ErrClosed)
		if !bytes.Equal(receive(t, srv, len(data)), data) {
			t.Error("bytes differ")
		}
		wantEOF(t, srv)

		// Unread and arriving data are answered by a reset.
		c, srv = pair(t, s, a, nil, nil)
		send(t, srv, "unread")
		c.(api.Orphaner).Orphan()
		_, err = srv.Read(withPatience(t))
		want(t, err, api.ErrReset)

		c, srv = pair(t, s, a, &small, nil)
		if err := c.Write(withPatience(t), api.CopyBuffer(data)); err != nil {
			t.Fatal(err)
		}
		c.(api.Orphaner).Orphan()
		send(t, srv, "anybody there?")
		want(t, srv.Close(withPatience(t)), api.ErrReset)
	})
}

func TestDialErrors(t *testing.T) {
	each(t, func(t *testing.T, s *Stack, a netip.Addr) {
		var dropped api.Flow
		port, err := s.Listen(0, &api.ListenConfig{Address: a}, func(_ context.Context, f api.Flow) { dropped = f })
		if err != nil {
			t.Fatal(err)
		}
		l := s.listeners[port]
		deafen(t, l.sockets[0].fd) // SYNs are lost from now on
		dst := netip.AddrPortFrom(a, port)

		_, err = s.Dial(context.Background(), dst, &api.FlowConfig{UserTimeout: 100 * time.Millisecond})
		want(t, err, api.ErrTimeout, syscall.ETIMEDOUT)
		if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a dead peer is taken for a deadline: %v", err)
		}
		mine := errors.New("mine")
		ctx, cancel := context.WithTimeoutCause(context.Background(), 20*time.Millisecond, mine)
		_, err = s.Dial(ctx, dst, nil)
		cancel()
		want(t, err, mine)
		_, err = s.Dial(ended(mine), dst, nil)
		want(t, err, mine)

		// A half-open dial is listed, and gets ErrDisconnected in the end.
		s.Unlisten(port)
		_, err = s.Dial(withPatience(t), dst, nil)
		want(t, err, api.ErrRefused, syscall.ECONNREFUSED)

		bad := []netip.AddrPort{{}, netip.AddrPortFrom(a, 0), netip.MustParseAddrPort("224.0.0.1:80"),
			netip.MustParseAddrPort("[ff02::1]:80"), netip.MustParseAddrPort("0.0.0.0:80"), netip.MustParseAddrPort("[::]:80")}
		for _, dst := range bad {
			_, err = s.Dial(withPatience(t), dst, nil)
			want(t, err, api.ErrInvalidAddress)
		}
		_, err = s.Dial(withPatience(t), dst, &api.FlowConfig{Local: netip.MustParseAddrPort("192.0.2.1:0")})
		want(t, err, api.ErrInvalidAddress)
		if i := s.Info(); i.Refused != 1 || i.Failed == 0 || i.Flows != 0 || i.HalfOpen != 0 {
			t.Errorf("%+v", i)
		}
		if dropped != nil {
			t.Error("a SYN got through")
		}
	})
}

// By default a dial is not given up within three minutes (O2).
func TestDialPatience(t *testing.T) {
	for _, userTimeout := range []time.Duration{0, time.Second, 10 * time.Minute} {
		n := synRetries(userTimeout)
		if atLeast := time.Duration(1<<(n+1)-1) * time.Second; atLeast < max(userTimeout, 3*time.Minute) {
			t.Errorf("%d repetitions take %v, for a user timeout of %v", n, atLeast, userTimeout)
		}
	}
}

func TestDialLocal(t *testing.T) {
	s := newStack(t, Config{Addresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/8"), netip.MustParsePrefix("127.0.0.3/8")}})
	accepted := make(chan api.Flow, 8)
	port, err := s.Listen(0, nil, func(_ context.Context, f api.Flow) { accepted <- f })
	if err != nil {
		t.Fatal(err)
	}
	dial := func(dst string, local string) (api.Flow, error) {
		cfg := &api.FlowConfig{}
		if local != "" {
			cfg.Local = netip.MustParseAddrPort(local)
		}
		f, err := s.Dial(withPatience(t), netip.AddrPortFrom(netip.MustParseAddr(dst), port), cfg)
		if err == nil {
			got := <-accepted
			if got.Dst() != f.Src() || got.Src() != f.Dst() {
				t.Errorf("%v-%v and %v-%v", f.Src(), f.Dst(), got.Src(), got.Dst())
			}
		}
		return f, err
	}
	// Both addresses are listened on, on one port, and nothing else.
	for _, dst := range []string{"127.0.0.2", "127.0.0.3"} {
		f, err := dial(dst, "")
		if err != nil {
			t.Fatal(err)
		}
		if f.Src().Addr() != netip.MustParseAddr("127.0.0.2") {
			t.Errorf("dialled from %v, not the first address", f.Src())
		}
	}
	_, err = dial("127.0.0.1", "")
	want(t, err, api.ErrRefused)
	_, err = dial("127.0.0.2", "127.0.0.1:0")
	want(t, err, api.ErrInvalidAddress) // not ours
	_, err = s.Dial(withPatience(t), netip.AddrPortFrom(netip.IPv6LinkLocalAllNodes(), 1), nil)
	want(t, err, api.ErrInvalidAddress)
	_, err = s.Dial(withPatience(t), netip.AddrPortFrom(netip.MustParseAddr("::1"), port), nil)
	want(t, err, api.ErrUnreachable) // no address of that family
	f, err := dial("127.0.0.2", "127.0.0.3:0")
	if err != nil {
		t.Fatal(err)
	}
	if f.Src().Addr() != netip.MustParseAddr("127.0.0.3") {
		t.Errorf("dialled from %v", f.Src())
	}
	again, err := dial("127.0.0.3", netip.AddrPortFrom(f.Src().Addr(), f.Src().Port()).String())
	if err != nil {
		want(t, err, api.ErrPortInUse)
	} else if again.Src() != f.Src() {
		t.Errorf("dialled from %v", again.Src())
	}
	_, err = dial("127.0.0.2", f.Src().String()) // the very same 4-tuple
	if err == nil {
		t.Error("two flows between the same ends")
	} else if !errors.Is(err, api.ErrPortInUse) && !errors.Is(err, api.ErrNoPorts) {
		t.Error(err)
	}
	if got := s.Info().Addresses; len(got) != 2 || got[0] != netip.MustParsePrefix("127.0.0.2/8") {
		t.Errorf("addresses %v", got)
	}
}

// Either half of Local may be left to the stack.
func TestDialHalfLocal(t *testing.T) {
	each(t, func(t *testing.T, s *Stack, a netip.Addr) {
		c, _ := pair(t, s, a, &api.FlowConfig{Local: netip.AddrPortFrom(a, 0)}, nil)
		if c.Src().Addr() != a || c.Src().Port() == 0 {
			t.Errorf("dialled from %v", c.Src())
		}
		c.Abort()
		for _, unspecified := range []netip.Addr{{}, netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
			// c's port would not do: towards other destinations it may be in
			// TIME-WAIT. A port that can be listened on is free.
			l, err := net.Listen("tcp", netip.AddrPortFrom(a, 0).String())
			if err != nil {
				t.Fatal(err)
			}
			port := uint16(l.Addr().(*net.TCPAddr).Port)
			l.Close()
			d, _ := pair(t, s, a, &api.FlowConfig{Local: netip.AddrPortFrom(unspecified, port)}, nil)
			if d.Src() != netip.AddrPortFrom(a, port) {
				t.Errorf("dialled from %v, not port %v", d.Src(), port)
			}
			d.Abort()
		}
	})
}

// silent makes a flow whose peer has gone deaf.
func silent(t *testing.T, s *Stack, a netip.Addr, cfg *api.FlowConfig) *flow {
	c, srv := pair(t, s, a, cfg, nil)
	deafen(t, fdOf(srv))
	return c.(*flow)
}

func TestKeepalive(t *testing.T) {
	for name, a := range loopbacks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStackShared(t)
			// The option of a listener reaches the flow before its handler
			// does (L2).
			keepalive := api.KeepaliveConfig{After: time.Second, Interval: time.Second, Probes: 1}
			listen := &api.ListenConfig{Flow: api.FlowConfig{Keepalive: keepalive}}
			c, srv := pair(t, s, a, nil, listen)
			send(t, c, "before")
			deafen(t, fdOf(c))
			begin := time.Now()
			receive(t, srv, 6)
			wantEOF(t, srv) // (K3)
			if d := time.Since(begin); d < 1900*time.Millisecond {
				t.Errorf("given up after %v (K2)", d)
			}
			if r := srv.CloseReason(); r != api.ErrKeepalive {
				t.Errorf("CloseReason %v", r)
			}
			want(t, srv.Write(withPatience(t), api.CopyBuffer([]byte("x"))), api.ErrClosed) // (K4)
			want(t, srv.Close(withPatience(t)), api.ErrKeepalive)
			if e := srv.(*flow).sockErr.Load(); unix.Errno(e) != unix.ETIMEDOUT {
				t.Errorf("the kernel said %v", unix.Errno(e))
			}
		})
	}
}

// newStackShared is newStack for parallel tests, which would blame one another
// for goroutines and descriptors.
func newStackShared(t *testing.T) *Stack {
	s, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Disconnect(ended(context.Canceled)) })
	return s
}

func TestUserTimeout(t *testing.T) {
	for name, a := range loopbacks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStackShared(t)
			// With a keepalive too, data that nobody acknowledges is no
			// silent peer.
			f := silent(t, s, a, &api.FlowConfig{UserTimeout: 300 * time.Millisecond,
				Keepalive: api.KeepaliveConfig{After: time.Hour}})
			send(t, f, "unheard")
			_, err := f.Read(withPatience(t))
			want(t, err, api.ErrTimeout)
			if f.CloseReason() != api.ErrTimeout {
				t.Errorf("CloseReason %v", f.CloseReason())
			}
			want(t, f.Write(withPatience(t), api.CopyBuffer([]byte("x"))), api.ErrClosed, api.ErrTimeout)
			if e := f.sockErr.Load(); unix.Errno(e) != unix.ETIMEDOUT {
				t.Errorf("the kernel said %v", unix.Errno(e))
			}
		})
	}
}

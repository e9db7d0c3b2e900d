package netconn_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/netconn"
	"golang.org/x/net/nettest"
)

// patience bounds what ought to happen soon, however slow the machine.
const patience = 30 * time.Second

func TestConn(t *testing.T) {
	eachStack(t, func(t *testing.T, e env) {
		nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
			l, err := netconn.Listen(e.server, 0, e.listen())
			if err != nil {
				return nil, nil, nil, err
			}
			defer l.Close()
			type result struct {
				c   net.Conn
				err error
			}
			accepted := make(chan result, 1)
			go func() {
				c, err := l.Accept()
				accepted <- result{c, err}
			}()
			d := netconn.Dialer{Stack: e.client}
			c1, err = d.Dial("tcp", l.Addr().String())
			if err != nil {
				return nil, nil, nil, err
			}
			r := <-accepted
			if r.err != nil {
				c1.Close()
				return nil, nil, nil, r.err
			}
			return c1, r.c, func() { c1.Close(); r.c.Close() }, nil
		})
	})
}

// connect returns the two ends of a connection.
func connect(t *testing.T, e env) (client, server *netconn.Conn) {
	t.Helper()
	l, err := netconn.Listen(e.server, 0, e.listen())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	d := netconn.Dialer{Stack: e.client}
	c, err := d.DialContext(ctx, "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); s.Close() })
	for _, c := range []net.Conn{c, s} {
		c.SetDeadline(time.Now().Add(patience))
	}
	return c.(*netconn.Conn), s.(*netconn.Conn)
}

// want fails unless err is a *net.OpError for op that matches the targets.
func want(t *testing.T, err error, op string, targets ...error) {
	t.Helper()
	var e *net.OpError
	if !errors.As(err, &e) {
		t.Errorf("%v (%T) is no *net.OpError", err, err)
		return
	}
	if e.Op != op || e.Net != "tcp" {
		t.Errorf("error %v: operation %q on %q, want %q on tcp", err, e.Op, e.Net, op)
	}
	for _, target := range targets {
		if !errors.Is(err, target) {
			t.Errorf("error %q does not match %q", err, target)
		}
	}
}

func TestHalfClose(t *testing.T) {
	eachStack(t, func(t *testing.T, e env) {
		c, s := connect(t, e)
		if _, err := c.Write([]byte("question")); err != nil {
			t.Fatal(err)
		}
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(s)
		if string(got) != "question" || err != nil {
			t.Fatalf("read %q, %v", got, err)
		}
		_, err = c.Write([]byte("x"))
		want(t, err, "write", net.ErrClosed, syscall.EPIPE, api.ErrClosed)
		if _, err := s.Write([]byte("answer")); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		got, err = io.ReadAll(c)
		if string(got) != "answer" || err != nil {
			t.Fatalf("read %q, %v", got, err)
		}
	})
}

// After Close what was written still arrives, without anybody waiting for it.
func TestCloseLingers(t *testing.T) {
	eachStack(t, func(t *testing.T, e env) {
		c, s := connect(t, e)
		data := make([]byte, 300_000)
		for i := range data {
			data[i] = byte(i * 7 >> 3)
		}
		go func() {
			c.Write(data)
			c.Close()
		}()
		got, err := io.ReadAll(s)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, data) {
			t.Fatalf("%d of %d bytes arrived, or others", len(got), len(data))
		}
		if _, ok := c.Flow().(api.Orphaner); !ok {
			t.Error("the stack's flows cannot be orphaned: each Close costs a timer")
		}
	})
}

func TestErrors(t *testing.T) {
	eachStack(t, func(t *testing.T, e env) {
		t.Run("closed", func(t *testing.T) {
			c, _ := connect(t, e)
			reading := make(chan error)
			go func() {
				_, err := c.Read(make([]byte, 1))
				reading <- err
			}()
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			want(t, <-reading, "read", net.ErrClosed)
			_, err := c.Read(make([]byte, 1))
			want(t, err, "read", net.ErrClosed)
			_, err = c.Write([]byte("x"))
			want(t, err, "write", net.ErrClosed)
			want(t, c.Close(), "close", net.ErrClosed)
			want(t, c.SetDeadline(time.Time{}), "set", net.ErrClosed)
			want(t, c.SetNoDelay(true), "set", net.ErrClosed)
			want(t, c.CloseWrite(), "close", net.ErrClosed)
		})
		t.Run("reset", func(t *testing.T) {
			c, s := connect(t, e)
			if err := s.SetLinger(0); err != nil {
				t.Fatal(err)
			}
			s.Close()
			_, err := c.Read(make([]byte, 1))
			want(t, err, "read", syscall.ECONNRESET, api.ErrReset)
			if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("a reset is taken for something else: %v", err)
			}
			_, err = c.Write([]byte("x"))
			want(t, err, "write", api.ErrClosed, api.ErrReset)
			if errors.Is(err, net.ErrClosed) {
				t.Errorf("the peer's reset is taken for a local close: %v", err)
			}
		})
		t.Run("unread data is answered by a reset", func(t *testing.T) {
			c, s := connect(t, e)
			c.Write([]byte("two"))
			if _, err := io.ReadFull(s, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			s.Close()
			_, err := c.Read(make([]byte, 1))
			want(t, err, "read", syscall.ECONNRESET)
		})
		t.Run("close read", func(t *testing.T) {
			c, s := connect(t, e)
			c.Write([]byte("two"))
			if _, err := io.ReadFull(s, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			if err := s.CloseRead(); err != nil {
				t.Fatal(err)
			}
			if n, err := s.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("read %d, %v after CloseRead", n, err)
			}
		})
	})
}

func TestDeadlines(t *testing.T) {
	eachStack(t, func(t *testing.T, e env) {
		c, s := connect(t, e)
		timeout := func(err error, op string) {
			t.Helper()
			want(t, err, op, os.ErrDeadlineExceeded)
			var ne net.Error
			if !errors.As(err, &ne) || !ne.Timeout() {
				t.Errorf("%v is no timeout", err)
			}
		}
		past := time.Now().Add(-time.Second)

		// A passed deadline wins over data.
		s.Write([]byte("abcd"))
		one := make([]byte, 1)
		if _, err := io.ReadFull(c, one); err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(past)
		_, err := c.Read(one)
		timeout(err, "read")
		c.SetWriteDeadline(past)
		_, err = c.Write(one)
		timeout(err, "write")

		// Moved, it no longer does, and nothing was lost.
		c.SetDeadline(time.Now().Add(patience))
		rest := make([]byte, 3)
		if _, err := io.ReadFull(c, rest); string(rest) != "bcd" || err != nil {
			t.Fatalf("read %q, %v", rest, err)
		}

		// A pending call notices a deadline that comes nearer.
		reading := make(chan error)
		go func() {
			_, err := c.Read(one)
			reading <- err
		}()
		c.SetReadDeadline(past)
		timeout(<-reading, "read")

		// One that moves away leaves pending calls alone, also many times.
		c.SetReadDeadline(time.Now().Add(patience))
		go func() {
			_, err := c.Read(one)
			reading <- err
		}()
		for i := range 100 {
			c.SetReadDeadline(time.Now().Add(patience + time.Duration(i)*time.Second))
		}
		c.SetReadDeadline(time.Time{})
		s.Write([]byte("!"))
		if err := <-reading; err != nil {
			t.Error(err)
		}

		// A write that cannot go on says how much it has queued.
		big := make([]byte, 64<<20)
		type result struct {
			n   int
			err error
		}
		writing := make(chan result)
		go func() {
			n, err := c.Write(big)
			writing <- result{n, err}
		}()
		for c.Flow().Info().SendQueue == 0 {
			time.Sleep(time.Millisecond)
		}
		c.SetWriteDeadline(past)
		r := <-writing
		n := r.n
		timeout(r.err, "write")
		if n <= 0 || n >= len(big) {
			t.Fatalf("%d bytes of %d written to a peer that does not read", n, len(big))
		}
		c.SetDeadline(time.Now().Add(patience))
		go c.CloseWrite()
		s.SetDeadline(time.Now().Add(patience))
		if m, err := io.Copy(io.Discard, onlyReader{s}); int(m) != n || err != nil {
			t.Errorf("%d bytes arrived, %v; Write said %d", m, err, n)
		}
	})
}

type onlyReader struct{ io.Reader }
type onlyWriter struct{ io.Writer }

// Every way of io.Copy carries the same bytes.
func TestCopy(t *testing.T) {
	eachStack(t, func(t *testing.T, e env) {
		data := make([]byte, 1<<20+17)
		for i := range data {
			data[i] = byte(i ^ i>>8 ^ i>>16)
		}
		sum := sha256.Sum256(data)
		// data -> a1=a2 -> b1=b2 -> hash
		a1, a2 := connect(t, e)
		b1, b2 := connect(t, e)
		errs := make(chan error, 2)
		go func() {
			n, err := a1.ReadFrom(bytes.NewReader(data))
			if err == nil && n != int64(len(data)) {
				err = io.ErrShortWrite
			}
			a1.CloseWrite()
			errs <- err
		}()
		go func() {
			first := make([]byte, 5) // leaves a rest for the handing over
			_, err := io.ReadFull(a2, first)
			if err == nil {
				_, err = b1.Write(first)
			}
			if err == nil {
				var n int64
				n, err = io.Copy(b1, a2)
				if err == nil && n != int64(len(data)-5) {
					err = io.ErrShortWrite
				}
			}
			b1.CloseWrite()
			errs <- err
		}()
		h := sha256.New()
		if _, err := b2.WriteTo(onlyWriter{h}); err != nil {
			t.Error(err)
		}
		for range 2 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if [32]byte(h.Sum(nil)) != sum {
			t.Error("bytes differ")
		}
	})
}

// limited takes n bytes and then fails.
type limited struct{ n int }

var errFull = errors.New("full")

func (l *limited) Write(p []byte) (int, error) {
	if len(p) <= l.n {
		l.n -= len(p)
		return len(p), nil
	}
	return l.n, errFull
}

func TestWriteToKeepsWhatWasNotTaken(t *testing.T) {
	eachStack(t, func(t *testing.T, e env) {
		c, s := connect(t, e)
		if _, err := c.Write([]byte("0123456789")); err != nil {
			t.Fatal(err)
		}
		c.CloseWrite()
		n, err := s.WriteTo(&limited{4})
		if n != 4 || err != errFull {
			t.Fatalf("WriteTo returned %d, %v", n, err)
		}
		rest, err := io.ReadAll(s)
		if string(rest) != "456789" || err != nil {
			t.Fatalf("then read %q, %v", rest, err)
		}
	})
}

func TestOptions(t *testing.T) {
	eachStack(t, func(t *testing.T, e env) {
		c, _ := connect(t, e)
		options := func() (cfg api.FlowConfig) {
			if err := c.Flow().Configure(func(f *api.FlowConfig) { cfg = *f }); err != nil {
				t.Fatal(err)
			}
			return cfg
		}
		check := func(err error) {
			t.Helper()
			if err != nil {
				t.Error(err)
			}
		}
		check(c.SetNoDelay(true))
		if !c.Flow().Info().NoDelay {
			t.Error("SetNoDelay(true) did nothing")
		}
		check(c.SetNoDelay(false))
		if c.Flow().Info().NoDelay {
			t.Error("SetNoDelay(false) did nothing")
		}
		keepalive := func(want api.Keepalive) {
			t.Helper()
			if got := options().Keepalive; got != want {
				t.Errorf("keepalive %v, want %v", got, want)
			}
		}
		check(c.SetKeepAlivePeriod(time.Minute))
		keepalive(nil)
		check(c.SetKeepAlive(true))
		keepalive(api.KeepaliveConfig{After: 15 * time.Second, Interval: 15 * time.Second, Probes: 9})
		check(c.SetKeepAlivePeriod(time.Minute))
		keepalive(api.KeepaliveConfig{After: time.Minute, Interval: 15 * time.Second, Probes: 9})
		check(c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: -1, Interval: 2 * time.Second, Count: 3}))
		keepalive(api.KeepaliveConfig{After: time.Minute, Interval: 2 * time.Second, Probes: 3})
		check(c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true}))
		keepalive(api.KeepaliveConfig{After: 15 * time.Second, Interval: 15 * time.Second, Probes: 9})
		check(c.SetKeepAlive(false))
		keepalive(nil)
		check(c.SetReadBuffer(128 << 10))
		check(c.SetWriteBuffer(64 << 10))
		if i := c.Flow().Info(); i.RecvBuffer != 128<<10 || i.SendBuffer != 64<<10 {
			t.Errorf("buffers %d, %d", i.RecvBuffer, i.SendBuffer)
		}
	})
}

func TestAddresses(t *testing.T) {
	eachStack(t, func(t *testing.T, e env) {
		c, s := connect(t, e)
		if c.LocalAddr().String() != s.RemoteAddr().String() || c.RemoteAddr().String() != s.LocalAddr().String() {
			t.Errorf("%v-%v and %v-%v", c.LocalAddr(), c.RemoteAddr(), s.LocalAddr(), s.RemoteAddr())
		}
		a, ok := c.LocalAddr().(*net.TCPAddr)
		if !ok || a.AddrPort() != netip.AddrPortFrom(c.Flow().Src().Addr(), c.Flow().Src().Port()) {
			t.Errorf("local address %v", c.LocalAddr())
		}
	})
}

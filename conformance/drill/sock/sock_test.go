package sock_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/conformance/drill/sock"
	"github.com/sluicenet/sluice/impl/engine"
	"github.com/sluicenet/sluice/impl/reno"
	linksim "github.com/sluicenet/sluice/link/sim"
)

var (
	addrA = netip.MustParseAddr("192.0.2.1")
	addrB = netip.MustParseAddr("192.0.2.2")
	bg    = context.Background()
)

// world is two processes on two stacks that reach each other.
type world struct {
	*testing.T
	v    *clock.Virtual
	a, b *sock.Proc
}

// in runs f as an actor of a virtual clock.
func in(t *testing.T, freebsd bool, f func(w *world)) {
	t.Helper()
	v := clock.NewVirtual()
	v.Run(func() {
		la, lb, err := linksim.New(v, linksim.Config{Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		made := func(l link.Link, addr netip.Addr, seed uint64) (*engine.Stack, *sock.Proc) {
			s, err := engine.New(engine.Config{Link: l, Clock: v, Addresses: []netip.Prefix{netip.PrefixFrom(addr, 24)},
				Controllers: []cc.Factory{reno.Factory}, Seed: seed})
			if err != nil {
				t.Fatal(err)
			}
			return s, sock.New(sock.Config{Stack: s, Clock: v, Controllers: []string{"reno"}, FreeBSD: freebsd})
		}
		sa, a := made(la, addrA, 1)
		sb, b := made(lb, addrB, 2)
		f(&world{t, v, a, b})
		a.Exit()
		b.Exit()
		ctx, cancel := v.WithTimeout(bg, time.Second)
		defer cancel()
		sa.Disconnect(ctx)
		sb.Disconnect(ctx)
	})
}

func (w *world) ok(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) fails(err error, want sock.Errno) {
	w.Helper()
	if err != want {
		w.Fatalf("the error is %v, not %v", err, want)
	}
}

func (w *world) socket(p *sock.Proc) int {
	w.Helper()
	fd, err := p.Socket(sock.AFInet, sock.SockStream, 0)
	w.ok(err)
	return fd
}

func (w *world) sleep(d time.Duration) { _ = clock.Sleep(bg, w.v, d) }

// connected returns a descriptor of a and the one of b at the other end.
func (w *world) connected() (x, y int) {
	w.Helper()
	l := w.socket(w.b)
	w.ok(w.b.Bind(l, netip.AddrPortFrom(netip.IPv4Unspecified(), 80)))
	w.ok(w.b.Listen(l, 5))
	x = w.socket(w.a)
	w.ok(w.a.Connect(bg, x, netip.AddrPortFrom(addrB, 80)))
	y, peer, err := w.b.Accept(bg, l, 0)
	w.ok(err)
	if name, err := w.a.GetSockName(x); err != nil || name != peer {
		w.Fatalf("%v is connected to %v (%v)", name, peer, err)
	}
	return x, y
}

func (w *world) send(p *sock.Proc, fd int, b []byte, flags int) int {
	w.Helper()
	n, err := p.Send(bg, fd, &sock.Message{Iov: [][]byte{b}}, flags)
	w.ok(err)
	return n
}

func recv(p *sock.Proc, fd, n, flags int) (string, error) {
	b := make([]byte, n)
	k, err := p.Recv(bg, fd, &sock.Message{Iov: [][]byte{b}}, flags)
	return string(b[:max(k, 0)]), err
}

func (w *world) wants(p *sock.Proc, fd, n, flags int, want string) {
	w.Helper()
	got, err := recv(p, fd, n, flags)
	w.ok(err)
	if got != want {
		w.Fatalf("read %q, not %q", got, want)
	}
}

func (w *world) option(p *sock.Proc, fd, level, name int, want int32) {
	w.Helper()
	b, err := p.GetSockopt(fd, level, name, 4)
	w.ok(err)
	if got := int32(binary.LittleEndian.Uint32(b)); got != want {
		w.Fatalf("option %d/%d is %d, not %d", level, name, got, want)
	}
}

func (w *world) set(p *sock.Proc, fd, level, name, v int) {
	w.Helper()
	w.ok(p.SetSockopt(fd, level, name, binary.LittleEndian.AppendUint32(nil, uint32(v))))
}

func TestReadAndWrite(t *testing.T) {
	in(t, false, func(w *world) {
		x, y := w.connected()
		w.send(w.a, x, []byte("hello world"), 0)
		w.wants(w.b, y, 5, sock.MsgPeek, "hello")
		w.wants(w.b, y, 5, 0, "hello")
		if _, n, err := w.b.Ioctl(y, sock.FIONREAD, 0); err != nil || n != 6 {
			t.Fatalf("FIONREAD: %d, %v", n, err)
		}
		w.wants(w.b, y, 100, 0, " world")
		_, err := recv(w.b, y, 10, sock.MsgDontWait)
		w.fails(err, sock.EAGAIN)
		w.v.Go(func() {
			w.sleep(time.Second)
			w.send(w.a, x, []byte("abc"), 0)
			w.sleep(time.Second)
			w.send(w.a, x, []byte("def"), 0)
		})
		began := w.v.Now()
		w.wants(w.b, y, 6, sock.MsgWaitAll, "abcdef")
		if d := w.v.Now().Sub(began); d < 2*time.Second || d > 3*time.Second {
			t.Fatalf("MSG_WAITALL took %v", d)
		}
		w.ok(w.b.SetSockopt(y, sock.SolSocket, sock.SoRcvTimeo, append(binary.LittleEndian.AppendUint64(nil, 3), make([]byte, 8)...)))
		began = w.v.Now()
		_, err = recv(w.b, y, 10, 0)
		w.fails(err, sock.EAGAIN)
		if d := w.v.Now().Sub(began); d != 3*time.Second {
			t.Fatalf("SO_RCVTIMEO took %v", d)
		}
		w.ok(w.a.Close(bg, x))
		w.sleep(time.Second)
		w.wants(w.b, y, 10, 0, "")
		_, err = recv(w.b, 77, 10, 0)
		w.fails(err, sock.EBADF)
	})
}

func TestConnectErrors(t *testing.T) {
	in(t, false, func(w *world) {
		x := w.socket(w.a)
		w.fails(w.a.Connect(bg, x, netip.AddrPortFrom(addrB, 81)), sock.ECONNREFUSED)
		n, err := w.a.Send(bg, x, &sock.Message{Iov: [][]byte{{1}}}, 0)
		if n != -1 {
			t.Fatal(n)
		}
		w.fails(err, sock.EPIPE)
		_, err = recv(w.a, x, 1, 0)
		w.fails(err, sock.ENOTCONN)

		x = w.socket(w.a)
		_, err = w.a.Fcntl(x, sock.FSetFL, sock.ONonblock)
		w.ok(err)
		w.fails(w.a.Connect(bg, x, netip.AddrPortFrom(addrB, 81)), sock.EINPROGRESS)
		w.fails(w.a.Connect(bg, x, netip.AddrPortFrom(addrB, 81)), sock.EALREADY)
		fds := []sock.PollFD{{FD: x, Events: sock.PollOut}}
		k, err := w.a.Poll(bg, fds, -1)
		w.ok(err)
		if want := int16(sock.PollOut | sock.PollErr | sock.PollHup); k != 1 || fds[0].Revents != want {
			t.Fatalf("poll: %d, %#x", k, fds[0].Revents)
		}
		w.option(w.a, x, sock.SolSocket, sock.SoError, 111)
		w.option(w.a, x, sock.SolSocket, sock.SoError, 0)

		x, _ = w.connected()
		w.fails(w.a.Connect(bg, x, netip.AddrPortFrom(addrB, 80)), sock.EISCONN)
		l := w.socket(w.b)
		w.fails(w.b.Bind(l, netip.AddrPortFrom(netip.IPv4Unspecified(), 80)), sock.EADDRINUSE)
		w.fails(w.b.Bind(l, netip.AddrPortFrom(netip.MustParseAddr("198.51.100.1"), 80)), sock.EADDRNOTAVAIL)
	})
}

func TestReset(t *testing.T) {
	in(t, false, func(w *world) {
		x, y := w.connected()
		w.ok(w.a.SetSockopt(x, sock.SolSocket, sock.SoLinger, []byte{1, 0, 0, 0, 0, 0, 0, 0}))
		w.ok(w.a.Close(bg, x))
		w.sleep(time.Second)
		_, err := recv(w.b, y, 1, 0)
		w.fails(err, sock.ECONNRESET)
		w.wants(w.b, y, 1, 0, "")
		_, err = w.b.Send(bg, y, &sock.Message{Iov: [][]byte{{1}}}, 0)
		w.fails(err, sock.EPIPE)

		// A close that leaves data unread resets, too.
	})
	in(t, false, func(w *world) {
		x, y := w.connected()
		w.send(w.b, y, []byte("unread"), 0)
		w.sleep(time.Second)
		w.ok(w.a.Close(bg, x))
		w.sleep(time.Second)
		_, err := recv(w.b, y, 1, 0)
		w.fails(err, sock.ECONNRESET)
	})
}

func TestShutdown(t *testing.T) {
	in(t, false, func(w *world) {
		x, y := w.connected()
		w.fails(w.a.Shutdown(x, 7), sock.EINVAL)
		w.ok(w.a.Shutdown(x, sock.ShutWR))
		_, err := w.a.Send(bg, x, &sock.Message{Iov: [][]byte{{1}}}, 0)
		w.fails(err, sock.EPIPE)
		w.wants(w.b, y, 1, 0, "")
		w.send(w.b, y, []byte("still"), 0)
		w.wants(w.a, x, 10, 0, "still")
		w.ok(w.a.Shutdown(x, sock.ShutRD))
		w.wants(w.a, x, 10, 0, "")
		fds := []sock.PollFD{{FD: x, Events: sock.PollIn | sock.PollRdHup}}
		_, err = w.a.Poll(bg, fds, 0)
		w.ok(err)
		if want := int16(sock.PollIn | sock.PollRdHup | sock.PollHup); fds[0].Revents != want {
			t.Fatalf("poll: %#x", fds[0].Revents)
		}
		l := w.socket(w.a)
		w.fails(w.a.Shutdown(l, sock.ShutWR), sock.ENOTCONN)
	})
}

func TestOptions(t *testing.T) {
	in(t, false, func(w *world) {
		x := w.socket(w.a)
		w.set(w.a, x, sock.SolSocket, sock.SoSndBuf, 10000)
		w.option(w.a, x, sock.SolSocket, sock.SoSndBuf, 20000)
		w.set(w.a, x, sock.SolSocket, sock.SoRcvBuf, 1)
		w.option(w.a, x, sock.SolSocket, sock.SoRcvBuf, 2304)
		w.option(w.a, x, sock.SolSocket, sock.SoType, sock.SockStream)
		w.option(w.a, x, sock.IPProtoIP, sock.IPTTL, 64)
		w.set(w.a, x, sock.IPProtoIP, sock.IPTOS, 0xff)
		w.option(w.a, x, sock.IPProtoIP, sock.IPTOS, 0xfc)
		w.fails(w.a.SetSockopt(x, sock.IPProtoIP, sock.IPTTL, []byte{0, 1, 0, 0}), sock.EINVAL)
		w.fails(w.a.SetSockopt(x, sock.IPProtoTCP, sock.TCPKeepCnt, []byte{0, 0, 0, 0}), sock.EINVAL)
		w.fails(w.a.SetSockopt(x, sock.IPProtoTCP, sock.TCPMaxSeg, []byte{1, 0, 0, 0}), sock.EINVAL)
		w.fails(w.a.SetSockopt(x, sock.IPProtoTCP, 9999, []byte{1, 0, 0, 0}), sock.ENOPROTOOPT)
		w.option(w.a, x, sock.IPProtoTCP, sock.TCPKeepIdle, 7200)
		w.set(w.a, x, sock.IPProtoTCP, sock.TCPKeepIdle, 10)
		w.option(w.a, x, sock.IPProtoTCP, sock.TCPKeepIdle, 10)
		b, err := w.a.GetSockopt(x, sock.IPProtoTCP, sock.TCPCongestion, 16)
		w.ok(err)
		if !bytes.HasPrefix(b, []byte("reno\x00")) {
			t.Fatalf("%q", b)
		}
		if err := w.a.SetSockopt(x, sock.IPProtoTCP, sock.TCPFastOpenConnect, []byte{1, 0, 0, 0}); err == nil {
			t.Fatal("TCP_FASTOPEN_CONNECT was taken")
		} else if _, ok := err.(sock.Unsupported); !ok {
			t.Fatal(err)
		}
	})
}

// Corking holds back what is no full segment, for 200 ms at most.
func TestCork(t *testing.T) {
	in(t, false, func(w *world) {
		x, y := w.connected()
		began := w.v.Now()
		w.send(w.a, x, []byte("held"), sock.MsgMore)
		w.wants(w.b, y, 10, 0, "held")
		if d := w.v.Now().Sub(began); d < 200*time.Millisecond || d > 300*time.Millisecond {
			t.Fatalf("the cork held for %v", d)
		}
		w.sleep(time.Second) // all is acknowledged
		w.set(w.a, x, sock.IPProtoTCP, sock.TCPCork, 1)
		w.send(w.a, x, []byte("one "), 0)
		w.send(w.a, x, []byte("two"), 0)
		if _, n, err := w.a.Ioctl(x, sock.SIOCOUTQ, 0); err != nil || n != 7 {
			t.Fatalf("SIOCOUTQ: %d, %v", n, err)
		}
		began = w.v.Now()
		w.set(w.a, x, sock.IPProtoTCP, sock.TCPCork, 0)
		w.wants(w.b, y, 10, 0, "one two")
		if d := w.v.Now().Sub(began); d > 100*time.Millisecond {
			t.Fatalf("uncorked after %v", d)
		}
	})
}

// The urgent byte is taken out of the stream, and reading stops at it.
func TestUrgent(t *testing.T) {
	in(t, false, func(w *world) {
		x, y := w.connected()
		w.send(w.a, x, []byte("ab!"), sock.MsgOOB)
		w.send(w.a, x, []byte("cd"), 0)
		w.sleep(time.Second)
		w.wants(w.b, y, 1, sock.MsgOOB, "!")
		_, err := recv(w.b, y, 1, sock.MsgOOB)
		w.fails(err, sock.EINVAL)
		w.wants(w.b, y, 10, 0, "ab")
		if _, at, err := w.b.Ioctl(y, sock.SIOCATMARK, 0); err != nil || at != 1 {
			t.Fatalf("SIOCATMARK: %d, %v", at, err)
		}
		w.wants(w.b, y, 10, 0, "cd")
	})
}

func TestEpoll(t *testing.T) {
	in(t, false, func(w *world) {
		x, y := w.connected()
		ep, err := w.b.EpollCreate(0)
		w.ok(err)
		w.ok(w.b.EpollCtl(ep, sock.EpollCtlAdd, y, sock.EpollEvent{Events: sock.PollIn | sock.EpollET, Data: 9}))
		w.fails(w.b.EpollCtl(ep, sock.EpollCtlAdd, y, sock.EpollEvent{}), sock.EEXIST)
		w.v.Go(func() {
			w.sleep(time.Second)
			w.send(w.a, x, []byte("x"), 0)
		})
		evs, err := w.b.EpollWait(bg, ep, 5, 10*time.Second)
		w.ok(err)
		if len(evs) != 1 || evs[0] != (sock.EpollEvent{Events: sock.PollIn, Data: 9}) {
			t.Fatalf("%+v", evs)
		}
		if evs, _ = w.b.EpollWait(bg, ep, 5, 0); len(evs) != 0 {
			t.Fatalf("no edge, but %+v", evs)
		}
		w.ok(w.b.EpollCtl(ep, sock.EpollCtlMod, y, sock.EpollEvent{Events: sock.PollIn | sock.EpollOneShot, Data: 9}))
		if evs, _ = w.b.EpollWait(bg, ep, 5, 0); len(evs) != 1 {
			t.Fatal("the level is not seen")
		}
		if evs, _ = w.b.EpollWait(bg, ep, 5, 0); len(evs) != 0 {
			t.Fatal("one shot, but two")
		}
		began := w.v.Now()
		if evs, _ = w.b.EpollWait(bg, ep, 5, time.Second); len(evs) != 0 || w.v.Now().Sub(began) != time.Second {
			t.Fatalf("%v after %v", evs, w.v.Now().Sub(began))
		}
	})
}

// A blocking write waits for room in the send buffer.
func TestSendBuffer(t *testing.T) {
	in(t, false, func(w *world) {
		x, y := w.connected()
		w.set(w.a, x, sock.SolSocket, sock.SoSndBuf, 10000)
		n, err := w.a.Send(bg, x, &sock.Message{Iov: [][]byte{make([]byte, 1<<20)}}, sock.MsgDontWait)
		w.ok(err)
		if n <= 0 || n > 20000 {
			t.Fatalf("%d bytes were taken", n)
		}
		_, err = w.a.Send(bg, x, &sock.Message{Iov: [][]byte{make([]byte, 1<<20)}}, sock.MsgDontWait)
		w.fails(err, sock.EAGAIN)
		total := n
		w.v.Go(func() {
			for got := 0; got < n+(1<<20); {
				s, err := recv(w.b, y, 65536, 0)
				if err != nil || s == "" {
					return
				}
				got += len(s)
			}
		})
		total += w.send(w.a, x, make([]byte, 1<<20), 0)
		if total != n+1<<20 {
			t.Fatalf("%d bytes were taken", total)
		}
	})
}

func TestInfo(t *testing.T) {
	for _, freebsd := range []bool{false, true} {
		in(t, freebsd, func(w *world) {
			l := w.socket(w.a)
			w.ok(w.a.Listen(l, 3))
			x, y := w.connected()
			w.send(w.a, x, []byte("123"), 0)
			w.wants(w.b, y, 3, 0, "123")
			w.sleep(time.Second)
			i, err := w.a.Info(x)
			w.ok(err)
			want := map[string]int64{"tcpi_state": 1, "tcpi_unacked": 0, "tcpi_snd_mss": 1448, "tcpi_options": 7, "tcpi_snd_cwnd": 10}
			listen := int64(10)
			if freebsd {
				want = map[string]int64{"tcpi_state": 4, "tcpi_snd_mss": 1448, "tcpi_options": 7}
				listen = 1
			}
			for k, v := range want {
				if i[k] != v {
					t.Errorf("%s is %d, not %d", k, i[k], v)
				}
			}
			if i, err = w.a.Info(l); err != nil || i["tcpi_state"] != listen {
				t.Errorf("a listener's state is %d (%v)", i["tcpi_state"], err)
			}
		})
	}
}

// SO_LINGER makes close wait for the acknowledgement of what was written.
func TestLinger(t *testing.T) {
	in(t, false, func(w *world) {
		x, _ := w.connected()
		w.ok(w.a.SetSockopt(x, sock.SolSocket, sock.SoLinger, []byte{1, 0, 0, 0, 5, 0, 0, 0}))
		w.send(w.a, x, make([]byte, 1000), 0)
		began := w.v.Now()
		w.ok(w.a.Close(bg, x))
		if d := w.v.Now().Sub(began); d > 5*time.Second {
			t.Fatalf("close took %v", d)
		}
	})
}

// A call that is told to end returns EINTR.
func TestInterrupt(t *testing.T) {
	in(t, false, func(w *world) {
		_, y := w.connected()
		ctx, cancel := w.v.WithTimeout(bg, time.Second)
		defer cancel()
		_, err := w.b.Recv(ctx, y, &sock.Message{Iov: [][]byte{make([]byte, 1)}}, 0)
		w.fails(err, sock.EINTR)
	})
}

package tun

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/netconn"
	"github.com/sluicenet/sluice/impl/cubic"
	"github.com/sluicenet/sluice/impl/engine"
	"github.com/sluicenet/sluice/impl/engine/tcp"
	"golang.org/x/sys/unix"
)

// The engine and the kernel open connections to each other with data in the SYN (RFC
// 7413), each as client and as server.
func TestFastOpenAgainstKernel(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		t.Run(map[bool]string{false: "IPv4", true: "IPv6"}[v6], func(t *testing.T) {
			namespace(t)
			// Of the namespace of whoever opens it.
			if err := os.WriteFile("/proc/sys/net/ipv4/tcp_fastopen", []byte("3"), 0); err != nil {
				t.Fatal(err)
			}
			p := open(t, Config{})
			p.configure()
			s, err := engine.New(engine.Config{
				Link:        p.link,
				Addresses:   []netip.Prefix{netip.PrefixFrom(ours4, 24), netip.PrefixFrom(ours6, 64)},
				Controllers: []cc.Factory{cubic.Factory},
				Params:      tcp.Params{FastOpen: tcp.FastOpenParams{Client: true, Server: true}},
			})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			defer s.Disconnect(ctx)
			ours, kernel := ours4, kernel4.Addr()
			if v6 {
				ours, kernel = ours6, kernel6.Addr()
			}
			fastOpenFromKernel(ctx, t, s, netip.AddrPortFrom(ours, 7))
			fastOpenToKernel(ctx, t, s, kernel)
		})
	}
}

// fastOpenFromKernel has the kernel connect to the stack: the first time it is given a
// cookie, the second time the stack answers before the handshake is complete.
func fastOpenFromKernel(ctx context.Context, t *testing.T, s *engine.Stack, dst netip.AddrPort) {
	t.Helper()
	got := make(chan api.Info, 2)
	if _, err := s.Listen(dst.Port(), &api.ListenConfig{FastOpen: 10}, func(ctx context.Context, f api.Flow) {
		c := netconn.New(f)
		defer c.Close()
		b := make([]byte, len("request"))
		if _, err := io.ReadFull(c, b); err != nil || string(b) != "request" {
			t.Errorf("the stack has read %q, %v", b, err)
		}
		c.Write([]byte("answer"))
		got <- f.Info()
	}); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"", "accepted"} {
		d := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) (err error) {
			raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_FASTOPEN_CONNECT, 1) })
			return err
		}}
		c, err := d.DialContext(ctx, "tcp", dst.String())
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(patience))
		if _, err := c.Write([]byte("request")); err != nil {
			t.Fatal(err)
		}
		// The write has not waited for the handshake, and Linux's shutdown would end one that
		// is under way.
		if b, err := io.ReadAll(c); err != nil || string(b) != "answer" {
			t.Errorf("the kernel has read %q, %v", b, err)
		}
		if i == 1 {
			if ti := tcpInfo(t, c); ti.Options&32 == 0 { // TCPI_OPT_SYN_DATA
				t.Errorf("the kernel's data did not go with the SYN: options %#x", ti.Options)
			}
		}
		c.Close()
		if info := <-got; info.FastOpen != want {
			t.Errorf("connection %d: Fast Open %q, want %q", i+1, info.FastOpen, want)
		}
	}
}

// fastOpenToKernel has the stack dial the kernel.
func fastOpenToKernel(ctx context.Context, t *testing.T, s *engine.Stack, kernel netip.Addr) {
	t.Helper()
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_FASTOPEN, 10) })
		return err
	}}
	l, err := lc.Listen(ctx, "tcp", netip.AddrPortFrom(kernel, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dst := l.Addr().(*net.TCPAddr).AddrPort()
	for i, want := range []string{"no-cookie", "accepted"} {
		f, err := s.DialFast(ctx, dst, nil, api.CopyBuffer([]byte("request")))
		if err != nil {
			t.Fatal(err)
		}
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(patience))
		f.CloseWrite()
		if b, err := io.ReadAll(c); err != nil || string(b) != "request" {
			t.Errorf("the kernel has read %q, %v", b, err)
		}
		if _, err := c.Write([]byte("answer")); err != nil {
			t.Error(err)
		}
		c.Close()
		n := netconn.New(f)
		if b, err := io.ReadAll(n); err != nil || string(b) != "answer" {
			t.Errorf("the stack has read %q, %v", b, err)
		}
		if got := f.Info().FastOpen; got != want {
			t.Errorf("dial %d: Fast Open %q, want %q", i+1, got, want)
		}
		n.Close()
	}
}

func tcpInfo(t *testing.T, c net.Conn) *unix.TCPInfo {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var info *unix.TCPInfo
	raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) })
	if err != nil {
		t.Fatal(err)
	}
	return info
}

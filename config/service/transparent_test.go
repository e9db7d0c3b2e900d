package service_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/netconn"
	"github.com/sluicenet/sluice/config"
	"github.com/sluicenet/sluice/config/service"
)

// A client connects to addresses that are not the stack's, and reaches what the host
// reaches under them.
func TestTransparent(t *testing.T) {
	client, server := stacks(t)
	real, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer real.Close()
	go func() {
		for {
			c, err := real.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(c, c); c.Close() }()
		}
	}()
	var dialled atomic.Pointer[netip.AddrPort]
	s := service.DialBy(service.Transparent(service.Config{Name: "out", Stack: server, Connections: 8},
		[]netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")}),
		func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
			dialled.Store(&to)
			switch to.Port() {
			case 1:
				return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
			case 2:
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return net.Dial("tcp", real.Addr().String())
		})
	start(t, s)

	to := netip.MustParseAddrPort("10.0.0.77:7777")
	c, err := (&netconn.Dialer{Stack: client}).DialContext(context.Background(), "tcp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	if got := *dialled.Load(); got != to {
		t.Errorf("dialled %v, want %v", got, to)
	}
	c.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := c.Write([]byte("through")); err != nil {
		t.Fatal(err)
	}
	c.(interface{ CloseWrite() error }).CloseWrite()
	if b, err := io.ReadAll(c); err != nil || string(b) != "through" {
		t.Errorf("read %q, %v", b, err)
	}
	c.Close()

	if _, err := client.Dial(context.Background(), netip.MustParseAddrPort("10.0.0.78:1"), nil); !errors.Is(err, api.ErrRefused) {
		t.Errorf("a refused destination: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if _, err := client.Dial(ctx, netip.MustParseAddrPort("10.0.0.78:2"), nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a destination that does not answer: %v", err)
	}
	for st := s.Stats(); st.BytesIn != 7 || st.BytesOut != 7 || st.Total < 3 || st.Failed < 1; st = s.Stats() {
		time.Sleep(5 * time.Millisecond)
	}
}

// The kernel's sockets cannot take connections to addresses of others.
func TestTransparentNeedsAForwarder(t *testing.T) {
	cfg, err := config.Load(config.Options{Name: "test", Data: []byte(`version: 1
stacks: [{name: host, backend: kernel}]
services: [{name: out, stack: host, handler: forward, prefixes: [0.0.0.0/0]}]
`)})
	if err != nil {
		t.Fatal(err)
	}
	sys, err := config.Build(cfg, config.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	err = sys.Start()
	if err == nil {
		t.Fatal("it starts")
	}
	t.Log(err)
}

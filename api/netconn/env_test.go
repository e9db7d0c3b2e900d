package netconn_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/impl/cubic"
	"github.com/sluicenet/sluice/impl/engine"
	"github.com/sluicenet/sluice/impl/kernel"
	"github.com/sluicenet/sluice/impl/reno"
	"github.com/sluicenet/sluice/link/pipe"
	"go.uber.org/goleak"
)

// env is two stacks, perhaps the same, that reach each other.
type env struct {
	client, server api.Stack
	address        netip.Addr // of the server
}

func (e env) listen() *api.ListenConfig { return &api.ListenConfig{Address: e.address} }

// backends make envs.
var backends = []struct {
	name string
	env  func(t *testing.T) env
}{
	{"reno", engines(reno.Factory)},
	{"cubic", engines(cubic.Factory)},
	{"kernel", sockets},
}

// engines are two userspace stacks on a pipe.
func engines(controller cc.Factory) func(t *testing.T) env {
	return func(t *testing.T) env {
		a, b := pipe.New(pipe.Config{})
		client, server := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
		var stacks []api.Stack
		for i, l := range []*pipe.End{a, b} {
			s, err := engine.New(engine.Config{
				Link:        l,
				Addresses:   []netip.Prefix{netip.PrefixFrom([]netip.Addr{client, server}[i], 24)},
				Controllers: []cc.Factory{controller},
			})
			if err != nil {
				t.Fatal(err)
			}
			stacks = append(stacks, s)
		}
		return env{stacks[0], stacks[1], server}
	}
}

// sockets are the kernel's, on the loopback interface.
func sockets(t *testing.T) env {
	s, err := kernel.New(kernel.Config{})
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return env{s, s, netip.MustParseAddr("127.0.0.1")}
}

// eachStack runs a test over every backend, and then checks that nothing of it
// is left.
func eachStack(t *testing.T, test func(t *testing.T, e env)) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			running := goleak.IgnoreCurrent()
			e := b.env(t)
			t.Cleanup(func() {
				e.leave()
				goleak.VerifyNone(t, running)
			})
			test(t, e)
		})
	}
}

// leave disconnects at once.
func (e env) leave() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	e.client.Disconnect(ctx)
	e.server.Disconnect(ctx)
}

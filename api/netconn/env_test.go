package netconn_test

import (
	"context"
	"net/netip"
	"testing"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/impl/kernel"
	"go.uber.org/goleak"
)

// env is two stacks, perhaps the same, that reach each other.
type env struct {
	client, server api.Stack
	address        netip.Addr // of the server
}

func (e env) listen() *api.ListenConfig { return &api.ListenConfig{Address: e.address} }

// backends make envs.
var backends = map[string]func(t *testing.T) env{
	"kernel": func(t *testing.T) env {
		s, err := kernel.New(kernel.Config{})
		if err != nil {
			t.Skip(err)
		}
		return env{s, s, netip.MustParseAddr("127.0.0.1")}
	},
}

// eachStack runs a test over every backend, and then checks that nothing of it
// is left.
func eachStack(t *testing.T, test func(t *testing.T, e env)) {
	for name, make := range backends {
		t.Run(name, func(t *testing.T) {
			running := goleak.IgnoreCurrent()
			e := make(t)
			t.Cleanup(func() {
				ctx, cancel := context.WithCancel(context.Background())
				cancel()
				e.client.Disconnect(ctx)
				e.server.Disconnect(ctx)
				goleak.VerifyNone(t, running)
			})
			test(t, e)
		})
	}
}

package drill

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/conformance/drill/sock"
	"github.com/sluicenet/sluice/impl/cubic"
	"github.com/sluicenet/sluice/impl/engine"
	"github.com/sluicenet/sluice/impl/reno"
)

// engineTarget is a target of the least that the tests of the runtime need. The real
// ones are in conformance/targets.
type engineTarget struct{ edit func(*engine.Config) }

func (engineTarget) Name() string  { return "test" }
func (engineTarget) Virtual() bool { return true }

func (t engineTarget) New(env *Env) (*Host, error) {
	cfg := engine.Config{
		Link: env.Link, Clock: env.Clock, Addresses: env.Addresses, Gateways: env.Gateway, Seed: env.Seed,
		Controllers: []cc.Factory{cubic.Factory, reno.Factory},
	}
	if t.edit != nil {
		t.edit(&cfg)
	}
	s, err := engine.New(cfg)
	if err != nil {
		return nil, err
	}
	p := sock.New(sock.Config{Stack: s, Clock: env.Clock, Controllers: []string{"cubic", "reno"},
		Flow: api.FlowConfig{}, SynRetries: 6})
	return &Host{Process: p, Close: func(ctx context.Context) {
		p.Exit()
		s.Disconnect(ctx)
	}}, nil
}

// check runs a script and compares its outcome.
func check(t *testing.T, o Options, source string, want Outcome, has ...string) *Verdict {
	t.Helper()
	if o.Target == nil {
		o.Target = engineTarget{}
	}
	v := Run(&o, "test.pkt", source)
	if v.Outcome != want {
		t.Fatalf("want %s, got\n%v", want, v)
	}
	text := v.String()
	for _, h := range has {
		if !strings.Contains(text, h) {
			t.Fatalf("the verdict does not mention %q:\n%v", h, text)
		}
	}
	return v
}

const passiveOpen = `
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
+0 > S. 0:0(0) ack 1 <mss 1460,nop,nop,sackOK,nop,wscale 5>
+.1 < . 1:1(0) ack 1 win 257
+0 accept(3, ..., ...) = 4
`

func TestPassiveOpen(t *testing.T) {
	check(t, Options{}, passiveOpen, Pass)
	_ = time.Now
}

// Package targets has the stacks of this module as targets of the conformance
// suite.
package targets

import (
	"fmt"
	"strings"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/conformance"
	"github.com/sluicenet/sluice/impl/bbr"
	"github.com/sluicenet/sluice/impl/cubic"
	"github.com/sluicenet/sluice/impl/dctcp"
	"github.com/sluicenet/sluice/impl/engine"
	"github.com/sluicenet/sluice/impl/engine/tcp"
	"github.com/sluicenet/sluice/impl/reno"
)

// Engine is the userspace stack with one congestion controller as its default.
type Engine struct{ Factory cc.Factory }

var _ conformance.Target = Engine{}

// Name implements conformance.Target.
func (e Engine) Name() string { return e.Factory.Name() }

// Capabilities implements conformance.Target: all there are, but for what the
// congestion controller says of itself.
func (e Engine) Capabilities() conformance.Capability {
	switch e.Name() {
	case "cubic":
		return conformance.All
	case "bbr":
		return conformance.All &^ (conformance.LossBased | conformance.Cubic)
	}
	return conformance.All &^ conformance.Cubic
}

// Deviations implements conformance.Target: there are none but those of DCTCP, which
// echoes marks in a way of its own.
func (e Engine) Deviations() []conformance.Deviation {
	if e.Name() != "dctcp" {
		return nil
	}
	const (
		reason  = "with DCTCP an ACK tells what the last segment carried, not that something was marked since the last CWR"
		source  = "RFC 8257 section 3.2, in place of RFC 3168 section 6.1.3"
		failure = "ECE is false, want true"
	)
	return []conformance.Deviation{
		{Case: "rfc3168/6.1.3-echo", Reason: reason, Source: source, Failure: failure},
		{Case: "rfc3168/6.1.3-cwr-ce", Reason: reason, Source: source, Failure: failure},
	}
}

// New implements conformance.Target.
func (e Engine) New(env *conformance.Env) (api.Stack, error) {
	return engine.New(engine.Config{
		Link:        env.Link,
		Clock:       env.Clock,
		Addresses:   env.Addresses,
		Gateways:    env.Gateways,
		Controllers: []cc.Factory{e.Factory},
		Flow:        env.Flow,
		Limits: engine.Limits{
			Memory: env.Limits.Memory, Flows: env.Limits.Flows,
			HalfOpen: env.Limits.HalfOpen, TimeWait: env.Limits.TimeWait,
		},
		Params: params(env),
		Seed:   env.Seed,
		ISN:    env.ISN,
	})
}

func params(env *conformance.Env) (p tcp.Params) {
	if env.AskECN {
		p.ECN = tcp.ECNOn
	}
	p.FastOpen.Client, p.FastOpen.Server = env.FastOpen, env.FastOpen
	return p
}

// All returns the targets of this module.
func All() []conformance.Target {
	return []conformance.Target{Engine{reno.Factory}, Engine{cubic.Factory}, Engine{bbr.Factory}, Engine{dctcp.Factory}, Kernel{}}
}

// Named returns the target with the given name.
func Named(name string) (conformance.Target, error) {
	var names []string
	for _, t := range All() {
		if t.Name() == name {
			return t, nil
		}
		names = append(names, t.Name())
	}
	return nil, fmt.Errorf("no target %q; there are %s", name, strings.Join(names, ", "))
}

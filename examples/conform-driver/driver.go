// Package driver puts a stack to the conformance suite: this is all that the author
// of a stack writes. The stack here is Sluice's own; another has its api.Stack in New.
package driver

import (
	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/conformance"
	"github.com/sluicenet/sluice/impl/engine"
	"github.com/sluicenet/sluice/impl/reno"
)

// Mine is the stack to be judged.
type Mine struct{}

// Name implements conformance.Target.
func (Mine) Name() string { return "mine" }

// Capabilities implements conformance.Target: what the stack can do, and which
// optional RFCs it claims. Cases that need more are skipped, and say so.
func (Mine) Capabilities() conformance.Capability {
	return conformance.VirtualTime | conformance.Wire |
		conformance.WindowScale | conformance.Timestamps | conformance.SACK | conformance.LossBased
}

// New implements conformance.Target: a fresh stack on the suite's link, with the
// suite's addresses and in the suite's time.
func (Mine) New(env *conformance.Env) (api.Stack, error) {
	return engine.New(engine.Config{
		Link: env.Link, Clock: env.Clock, Addresses: env.Addresses, Gateways: env.Gateways,
		Controllers: []cc.Factory{reno.Factory}, Flow: env.Flow, Seed: env.Seed,
	})
}

// Deviations implements conformance.Target: the cases that the stack is known to
// fail, why, and what the failure looks like. One that no longer occurs fails.
func (Mine) Deviations() []conformance.Deviation { return nil }

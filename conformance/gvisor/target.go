package main

import (
	"runtime/debug"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/conformance"
)

// target is gVisor with SACK and CUBIC, otherwise as it comes.
type target struct{}

var _ conformance.Target = target{}

func (target) Name() string { return "gvisor" }

// Version implements conformance.Versioned: the module of gVisor that was built in.
func (target) Version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "gvisor.dev/gvisor" {
				return "gVisor " + m.Version
			}
		}
	}
	return "gVisor"
}

func (target) Capabilities() conformance.Capability {
	return conformance.VirtualTime | conformance.Wire | conformance.KeepaliveOptions | conformance.Orphaning |
		conformance.WindowScale | conformance.Timestamps | conformance.SACK | conformance.LossBased
}

func (target) New(env *conformance.Env) (api.Stack, error) { return newStack(env) }

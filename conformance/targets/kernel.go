package targets

import (
	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/conformance"
	"github.com/sluicenet/sluice/impl/kernel"
)

// Kernel is the host kernel's TCP, in real time. Each stack has a network namespace
// of its own, which it makes and removes, with a TUN device that leads to the
// suite's link. That takes root and /dev/net/tun; without them the stacks are the
// host's own, over the loopback interface, and the cases that need a link are not
// applicable.
type Kernel struct{}

var _ conformance.Target = Kernel{}

// Name implements conformance.Target.
func (Kernel) Name() string { return "kernel" }

// Capabilities implements conformance.Target.
func (Kernel) Capabilities() conformance.Capability {
	can := conformance.All &^ (conformance.VirtualTime | conformance.CustomKeepalive | conformance.InitialSequence |
		conformance.Bounds)
	if wireless() != nil {
		can &^= conformance.Wire
	}
	return can
}

// Lacks implements conformance.Explainer.
func (Kernel) Lacks(missing conformance.Capability) string {
	if err := wireless(); err != nil && missing&conformance.Wire != 0 {
		return err.Error()
	}
	return ""
}

// New implements conformance.Target.
func (Kernel) New(env *conformance.Env) (api.Stack, error) {
	if env.Link != nil {
		return newKernelOnWire(env)
	}
	return kernel.New(kernel.Config{Addresses: env.Addresses, Flow: env.Flow})
}

// Deviations implements conformance.Target.
func (Kernel) Deviations() []conformance.Deviation {
	return []conformance.Deviation{
		{
			Case:    "contract/K-custom",
			Reason:  "a Keepalive of the user's own is refused with ErrInvalidConfig",
			Source:  "RFC 9293 section 3.8.4 leaves the policy to the implementation; Linux has TCP_KEEPIDLE, TCP_KEEPINTVL and TCP_KEEPCNT alone",
			Failure: "the kernel takes no Keepalive but a KeepaliveConfig",
		},
		{
			Case:    "contract/urgent",
			Reason:  "Info.UrgentPending is 1 while urgent data is ahead, wherever it ends",
			Source:  "RFC 6093 section 3.2; Linux tells by SIOCATMARK only whether the mark has been reached",
			Failure: "1 urgent bytes pending, want 14",
		},
		{
			Case:    "contract/mss-small",
			Reason:  "an MSS below 88 is refused with ErrInvalidConfig",
			Source:  "TCP_MAXSEG takes 88 to 32767 (TCP_MIN_MSS of Linux)",
			Failure: "invalid configuration: MSS 64",
		},
		{
			Case:    "contract/Flows",
			Reason:  "connections in TIME-WAIT are not listed",
			Source:  "RFC 9293 section 3.6.1: TIME-WAIT belongs to the kernel, which keeps it without a socket",
			Failure: "0 records in TIME-WAIT listed",
		},
	}
}

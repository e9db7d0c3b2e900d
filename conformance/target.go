package conformance

import (
	"net/netip"
	"strings"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
)

// A Target is a kind of stack to be judged. Its methods may be called from
// several goroutines.
type Target interface {
	// Name is what users call it.
	Name() string

	// Capabilities says what it can be asked to do. A case that needs more is
	// not applicable, and reported so.
	Capabilities() Capability

	// New returns a fresh stack that lives in env. A target uses what its
	// capabilities promise and may ignore the rest of env.
	New(env *Env) (api.Stack, error)

	// Deviations are the cases that the target is known to fail, with reasons.
	// Such a case is run all the same: passing it is then a failure.
	Deviations() []Deviation
}

// Explainer is implemented by targets that can say why a capability is missing here
// and now.
type Explainer interface {
	// Lacks returns the reason, or "".
	Lacks(missing Capability) string
}

// Versioned is a Target that can say which version of a stack it judges, such as
// "Linux 6.12". Reports show it.
type Versioned interface{ Version() string }

// Capability is a set of things that a target may be able to do, or claim to
// do: a case about an optional RFC runs for those who claim it.
type Capability uint32

// What a target can do.
const (
	// VirtualTime: the stack lives in Env.Clock, whatever that is.
	VirtualTime Capability = 1 << iota
	// Wire: the stack attaches to Env.Link and has Env.Addresses. Without it a
	// stack is taken to be the host's own, reachable on its loopback addresses.
	Wire
	// KeepaliveOptions: an api.KeepaliveConfig's idle time, interval and number
	// of probes are obeyed.
	KeepaliveOptions
	// CustomKeepalive: any api.Keepalive works, not only api.KeepaliveConfig.
	CustomKeepalive
	// Urgent: flows implement api.UrgentFlow.
	Urgent
	// InitialSequence: Env.ISN is used.
	InitialSequence
	// Bounds: Env.Limits is used.
	Bounds
	// Accounting: StackInfo has exact counts of flows and memory.
	Accounting
	// Readiness: FlowConfig.Notify works.
	Readiness
	// FlowInfo: Info has what tcp_info has: windows, round-trip times, counters.
	FlowInfo
	// Observing: the stack implements api.Observable.
	Observing
	// Orphaning: flows implement api.Orphaner.
	Orphaning
)

// What a target claims to implement, beyond RFC 9293.
const (
	// WindowScale: RFC 7323, section 2.
	WindowScale Capability = 1 << (12 + iota)
	// Timestamps: RFC 7323, sections 3 to 5, PAWS among them.
	Timestamps
	// SACK: RFC 2018 as receiver and sender, RFC 6675.
	SACK
	// DSACK: RFC 2883, as receiver.
	DSACK
	// ECN: RFC 3168.
	ECN
	// LossBased: the congestion window follows RFC 5681: it opens by what is
	// acknowledged, and a loss makes it smaller. BBR's does not.
	LossBased
	// Cubic: the congestion window follows RFC 9438.
	Cubic
	// RACK: RFC 8985, tail loss probes included.
	RACK
	// PRR: RFC 9937.
	PRR
	// FRTO: RFC 5682, or another way to undo a spurious timeout.
	FRTO
	// FastOpen: RFC 7413; the stack implements api.FastDialer.
	FastOpen
)

// All is every capability.
const All = FastOpen<<1 - 1

var capabilityNames = []string{"virtual-time", "wire", "keepalive-options", "custom-keepalive", "urgent",
	"initial-sequence", "bounds", "accounting", "readiness", "flow-info", "observing", "orphaning",
	"window-scale", "timestamps", "sack", "dsack", "ecn", "loss-based", "cubic", "rack", "prr", "f-rto", "fast-open"}

// String lists the capabilities' names.
func (c Capability) String() string {
	var names []string
	for i, n := range capabilityNames {
		if c&(1<<i) != 0 {
			names = append(names, n)
		}
	}
	return strings.Join(names, " ")
}

// Env is what a stack under test lives in.
type Env struct {
	Clock     clock.Clock
	Link      link.Link      // nil for a target without Wire
	Addresses []netip.Prefix // of the stack
	Gateways  []netip.Addr
	Seed      uint64 // of everything random, so that a run repeats
	Flow      api.FlowConfig
	Limits    Limits
	AskECN    bool // dials ask for ECN; of targets with the capability ECN
	FastOpen  bool // data may go with SYNs both ways; of targets with the capability FastOpen

	// ISN, if not nil, chooses initial sequence numbers.
	ISN func(local, remote netip.AddrPort, now clock.Time) uint32
}

// Limits bound a stack under test. Zero means its default.
type Limits struct {
	Memory   int64 // bytes of buffers of all flows
	Flows    int64
	HalfOpen int64 // connections in SYN-RECEIVED
	TimeWait int   // records in TIME-WAIT
}

// Deviation says that a target is known to fail a case, and why.
type Deviation struct {
	Case    string // ID
	Reason  string // what it does instead
	Source  string // the RFC clause or the documented behaviour that explains it
	Failure string // text that every failure has; another failure is no deviation
	Family  Family // in which it occurs; zero means both
}

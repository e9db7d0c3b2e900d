// Package kernel is the host kernel's TCP as an [api.Stack]: the same program
// runs on it, on a userspace stack or in a simulator, and the conformance suite
// has something to compare with.
//
// Flows live in the network namespace of the thread that calls [New] and the
// other methods, which is the process's unless somebody changed it.
//
// It runs on Linux; elsewhere New says that it does not. Every stack has one
// goroutine, which waits in epoll, and none for each flow.
//
// Where Linux cannot keep a promise of the contract to the letter, the
// difference is listed by [Deviations] with its reason.
package kernel

import (
	"log/slog"
	"net/netip"

	"github.com/sluicenet/sluice/api"
)

// Config is what a Stack is made from. The zero value is good.
type Config struct {
	// Addresses are the local addresses that the stack uses, out of those that
	// the host has: it listens on them alone and dials from them. If there
	// are none it uses them all. Only the addresses count; the lengths of the
	// prefixes are shown by Info.
	Addresses []netip.Prefix

	// Flow has the defaults of flows.
	Flow api.FlowConfig

	// Limits bound the stack. Memory is the kernel's business
	// (net.ipv4.tcp_mem).
	Limits Limits

	// Logger receives what an operator should know; nil discards it.
	Logger *slog.Logger

	// Observer is the first observer; SetObserver replaces it. The kernel
	// does not tell of segments dropped nor of every change of state: State
	// is called when a flow is established and when it has ended.
	Observer *api.Observer
}

// Limits bound a stack. Zero means the default in parentheses.
type Limits struct {
	Flows int64 // open flows (65536)
}

const (
	defaultFlows   = 65536
	defaultBacklog = 4096 // handlers of one listener that have not returned
)

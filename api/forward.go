package api

import (
	"context"
	"net/netip"
)

// A Forwarder is a [Stack] that can also take connections to addresses that are
// not its own: what a VPN, a sandbox or a transparent proxy has a stack for.
type Forwarder interface {
	Stack

	// Forward calls h, each time in a goroutine of its own, for every new
	// connection to an address in prefixes that no listener claims. Listeners
	// claim addresses of the stack alone. The peer waits, without an answer to
	// its SYN, until h has answered the [Request]; so h can try the real
	// destination before it accepts.
	//
	// ctx ends when h has had a minute, when the peer has given up, when the
	// stack disconnects, or after stop. When h returns without an answer, the
	// request is dropped as if the SYN had been lost.
	//
	// The number of requests under way is bounded: while cfg.Pending of them are
	// being handled, new SYNs are dropped, and their senders try again. One
	// destination gets a quarter of the places at most, so that those who wait for
	// a host that is down do not keep others waiting.
	//
	// stop ends the forwarding; flows that were accepted live on. It may be called
	// more than once. Prefixes of several Forwards may overlap: the longest
	// that contains an address decides, and of equal ones the first. cfg may be nil.
	Forward(prefixes []netip.Prefix, cfg *ForwardConfig, h func(ctx context.Context, r Request)) (stop func(), err error)
}

// A Request is somebody's wish to connect to somewhere. It is answered once; its
// methods may be called from any goroutine until the handler that got it returns.
type Request interface {
	// Dst is who asks, and Src is whom it wants: the addresses that the flow
	// will have.
	Dst() netip.AddrPort
	Src() netip.AddrPort

	// Accept completes the handshake and returns the flow, which the caller owns.
	// It fails with ErrReset or ErrTimeout if the peer does not go along,
	// with the cause of ctx if that ends first, with ErrNoMemory at the stack's
	// limits, and with ErrClosed if the request has been answered or has ended.
	Accept(ctx context.Context) (Flow, error)

	// Reject refuses the connection with a reset: the peer's dial fails with
	// ErrRefused. It does nothing if the request has been answered or has ended.
	Reject()
}

// ForwardConfig holds the options of [Forwarder].Forward. The zero value of each
// field means its default.
type ForwardConfig struct {
	// Flow has the options of the flows accepted. Local is ignored.
	Flow FlowConfig

	// Pending bounds the handlers that have not returned: 1024 by default.
	Pending int
}

package api

import (
	"context"
	"iter"
	"net/netip"
)

// A Stack opens and accepts flows over one network. Its methods may be called
// from any goroutine.
type Stack interface {
	// Dial opens a connection to dst, IPv4 or IPv6 (O1). cfg may be nil. It
	// fails with ErrRefused if the peer refuses and with ErrTimeout if it does
	// not answer in the configured time, three minutes at least by default
	// (O2); sooner with the cause of ctx if that ends. ErrUnreachable,
	// ErrInvalidAddress, ErrPortInUse, ErrNoPorts and ErrNoMemory are
	// possible too.
	Dial(ctx context.Context, dst netip.AddrPort, cfg *FlowConfig) (Flow, error)

	// Listen runs h, each time in a goroutine of its own, for every flow
	// established to port (L1), and returns the port: port 0 picks a free one.
	// cfg, which may be nil, is applied before h runs (L2). A port that has
	// a listener already fails with ErrPortInUse (L3).
	Listen(port uint16, cfg *ListenConfig, h Handler) (uint16, error)

	// Unlisten stops the listener on port, if there is one (U1). Flows
	// that were established live on.
	Unlisten(port uint16)

	// Disconnect closes every flow in order and leaves the network (X1). When
	// ctx ends, or a minute after everything written has been delivered, the
	// flows that are left are aborted, which releases every blocked call with
	// ErrDisconnected. Dial and Listen fail with ErrDisconnected as soon as
	// Disconnect has been called. It cannot fail (X2), and may be called again.
	// It must not be called from a Notify or Observer function.
	Disconnect(ctx context.Context)

	// Info returns a snapshot of the stack.
	Info() StackInfo

	// Flows iterates over snapshots of the stack's flows, half-open ones,
	// those in TIME-WAIT and listeners included, in no particular order.
	Flows() iter.Seq[Info]
}

// Handler serves one accepted flow, which it owns: returning does not close
// it. ctx ends when the stack disconnects.
type Handler func(ctx context.Context, f Flow)

// ListenConfig holds the options of a listener. The zero value of each field,
// and a nil *ListenConfig, mean defaults.
type ListenConfig struct {
	// Flow has the options of the flows accepted. Local and Congestion's
	// meaning is that for a dialled flow; Local's port is ignored.
	Flow FlowConfig

	// Address restricts the listener to one local address of the stack.
	Address netip.Addr

	// Backlog bounds the handlers that have not returned (L3). While that
	// many run, connections wait half-open, and new SYNs are dropped.
	Backlog int

	// HalfOpen bounds the connections in SYN-RECEIVED: a flood of SYNs
	// cannot take more memory than that. What becomes of SYNs beyond is the
	// stack's business; the userspace engine answers them with SYN cookies.
	HalfOpen int

	// FastOpen, if not 0, lets peers that have a cookie of the stack's send data with
	// their SYN (TCP Fast Open, RFC 7413), where the stack's configuration allows that too:
	// the handler is then called before the handshake is complete, and may read and
	// answer. It bounds how many such connections wait for the end of their handshake;
	// beyond, the data wait as ever.
	//
	// The network can repeat a SYN, and its data with it, so that the handler may be
	// called for the same request twice (section 6.1). It is for services to which
	// that does no harm.
	FastOpen int
}

// FastDialer is implemented by stacks that can send data with the SYN (TCP Fast Open,
// RFC 7413).
type FastDialer interface {
	// DialFast is Dial followed by Writev of bs, as one: it takes bs over, whatever it
	// returns. If the stack's configuration allows it and the server has given it a
	// cookie before, as much of bs as fits goes with the SYN, and what the server
	// answers may be there a round trip sooner. Otherwise, or if the server does not take
	// the data, they follow the handshake, and the SYN asks for a cookie for the
	// next time. Without bs it does no more than ask.
	//
	// What goes with a SYN may arrive twice: the network can repeat the SYN, and a server
	// that has closed the first connection takes it for a new one (section 6.1). Do
	// not put into bs what must not be done twice.
	//
	// It returns when the handshake is complete, and fails as Dial does; with
	// ErrNoMemory also where there is no room for bs.
	DialFast(ctx context.Context, dst netip.AddrPort, cfg *FlowConfig, bs ...*Buffer) (Flow, error)
}

// Observer has hooks that a stack calls when something happens. Nil fields
// are skipped, and a stack without an Observer pays one atomic load a hook. Hooks
// are called without locks held, possibly from several goroutines at once; they
// must not block.
type Observer struct {
	// State is called when a flow has changed its state.
	State func(src, dst netip.AddrPort, from, to State)
	// Closed is called when a flow has ended; reason is nil for an orderly end.
	Closed func(last Info, reason error)
	// Drop is called when packets have been dropped.
	Drop func(reason DropReason, packets uint64)
}

// Observable is implemented by stacks that take an [Observer].
type Observable interface {
	// SetObserver replaces the observer; nil removes it.
	SetObserver(*Observer)
}

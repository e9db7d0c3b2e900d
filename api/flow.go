package api

import (
	"context"
	"net/netip"
	"time"
)

// A Flow is one TCP connection.
//
// Its methods may be called from any goroutine. Concurrent Reads each get
// different bytes, in no useful order; concurrent writes are atomic with respect
// to one another.
type Flow interface {
	// Read blocks until data is available and returns it in a fresh buffer
	// that the caller owns and may overwrite (R1), of a size that suits the
	// implementation and of at least one byte (R2).
	//
	// After the peer has closed, Read goes on returning data until all that
	// was in flight has been read, also after a local Close (R3); then it
	// returns io.EOF, bare, on this and every later call (R4). A flow that the
	// peer reset returns ErrReset at once. A flow given up by its keepalive
	// reads io.EOF (K3); CloseReason tells the difference.
	Read(ctx context.Context) (*Buffer, error)

	// Write queues b for transmission and takes ownership of it, whatever it
	// returns (W1). It blocks while the send queue is at its limit and then
	// takes b whole, so that a Write whose context ended has queued nothing.
	// Success means queued in order, not delivered (W2). The bytes may travel
	// in any segments (W3). Once the flow is closed, also while Write blocks,
	// the error matches ErrClosed (W4), also if its keepalive gave it up (K4).
	// An empty b does nothing.
	Write(ctx context.Context, b *Buffer) error

	// Writev is Write of several buffers, in order and as one write (V1).
	Writev(ctx context.Context, bs []*Buffer) error

	// WriteNoDelay is Write, sent at once (N2), that returns when the peer's
	// TCP has acknowledged the last byte of b (N1). If ctx ends while it
	// waits for that, the bytes are sent all the same.
	WriteNoDelay(ctx context.Context, b *Buffer) error

	// WritevNoDelay is WriteNoDelay of several buffers (N3).
	WritevNoDelay(ctx context.Context, bs []*Buffer) error

	// Close flushes pending writes and tells the peer that no more will
	// follow (C1, C2). Until the peer closes too, it may still write, and Read
	// still delivers (C3). Close returns nil when both ends have closed and
	// the peer has acknowledged our close (C4); the flow's resources are
	// then free, but for what is left to read and a small record for
	// TIME-WAIT (C5). If the connection ends otherwise, Close returns the
	// reason. The end of ctx ends the wait, not the close. Closing again, or
	// from several goroutines, is fine.
	Close(ctx context.Context) error

	// CloseWrite does what Close does and does not wait.
	CloseWrite() error

	// CloseRead discards what has been received and will be. Read returns
	// io.EOF from now on. The window stays open, so that the peer is not
	// blocked.
	CloseRead() error

	// Abort resets the connection and frees it. It never blocks. Pending and
	// later calls fail with ErrAborted. Aborting an ended flow does nothing.
	Abort()

	// Dst is the address and port that the flow is connected to (D1), and Src
	// its own. Both are valid for the life of the value.
	Dst() netip.AddrPort
	Src() netip.AddrPort

	// CloseReason is nil while the flow is open and after an orderly close;
	// otherwise it says why it ended: ErrReset, ErrKeepalive, ErrTimeout,
	// ErrAborted or ErrDisconnected.
	CloseReason() error

	// Info returns a snapshot.
	Info() Info

	// Configure changes options of the open flow: change is called once with
	// the options in force, which it edits; it must not block or call Configure
	// itself. A Keepalive, Notify, NoDelay or DSCP that it sets to zero is off then,
	// whatever the stack's default. Options that are fixed once a flow exists are
	// marked in [FlowConfig]; changing one of those, or an error in a value,
	// changes nothing and matches ErrInvalidConfig.
	Configure(change func(*FlowConfig)) error
}

// UrgentFlow is implemented by flows that support urgent data (RFC 9293,
// section 3.8.5). Urgent data travels in the ordinary stream and is read with
// it; only its end is announced, through [ReadyUrgent] and Info.UrgentPending.
// New applications should not use it (RFC 6093).
type UrgentFlow interface {
	Flow

	// WriteUrgent is Write that announces all data up to the end of b as
	// urgent. The announcement goes out at once, even if the window is zero.
	WriteUrgent(ctx context.Context, b *Buffer) error
}

// FlowConfig holds the options of one flow. The zero value of each field, and a
// nil *FlowConfig, mean the stack's default.
type FlowConfig struct {
	// Keepalive, if not nil, watches the flow while it is idle (K1).
	Keepalive Keepalive

	// NoDelay switches Nagle's algorithm off for plain writes too (N4,
	// RFC 9293, section 3.7.4).
	NoDelay bool

	// SendBuffer and ReceiveBuffer limit what is queued in each direction, in
	// bytes of real memory. Shrinking ReceiveBuffer never retracts a window
	// that was announced.
	SendBuffer, ReceiveBuffer int64

	// UserTimeout ends the flow when written data stays unacknowledged for
	// that long (RFC 9293, section 3.8.3, R2; RFC 5482), a closed window
	// included. While dialling it bounds the handshake.
	UserTimeout time.Duration

	// TTL is the IPv4 time to live and the IPv6 hop limit of packets sent.
	TTL uint8

	// DSCP is the 6-bit Diffserv code point of packets sent (RFC 2474).
	DSCP uint8

	// MSS, if not zero, is the largest segment payload that is announced
	// and sent, in bytes. Fixed once the flow exists.
	MSS uint16

	// Local is the address and port to dial from. Either half may be
	// unspecified, and is then chosen by the stack. Fixed once the flow exists.
	Local netip.AddrPort

	// Congestion names the congestion controller, with its options after a
	// colon: "reno", "cubic:fast_convergence=off". Fixed once the flow exists.
	Congestion string

	// Notify, if not nil, is called when the flow has become ready, so that
	// a program can watch many flows without a goroutine each. It is called
	// without locks held, one call at a time for each flow; it must not block,
	// and may use the flow.
	Notify func(Flow, Readiness)
}

// Readiness says what has changed since the last call of Notify. A set bit is a
// hint that a call may now succeed, not a promise.
type Readiness uint8

// The bits of a Readiness.
const (
	ReadyRead   Readiness = 1 << iota // data or end of file to read
	ReadyWrite                        // the send queue is below its limit again
	ReadyUrgent                       // urgent data announced, or its end moved
	ReadyClosed                       // the flow has ended; see CloseReason
	ReadyError                        // a soft error was reported; see Info.SoftError
)

// Orphaner is implemented by flows that can be left to the stack, as a
// kernel's sockets are when a process closes them. Package netconn uses it.
type Orphaner interface {
	// Orphan gives up both directions: what is queued is still delivered, then
	// the FIN; FIN-WAIT-2 and retries are timed from now; unread or arriving
	// data is answered by a reset (RFC 9293, section 3.6.1). It never blocks,
	// and takes no goroutine. Pending and later calls fail as after a local
	// close. Orphaning twice, or an ended flow, does nothing.
	Orphan()
}

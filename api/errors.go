package api

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
)

// The errors of flows and stacks. They arrive wrapped in an [*Error]; test for
// them with errors.Is. Each also matches the errno that a kernel socket would
// have reported, so that code written for package net works unchanged. None
// matches os.ErrDeadlineExceeded, which is for deadlines alone (W5).
var (
	// ErrRefused: the peer answered the dial with a reset (O2).
	ErrRefused error = &kind{msg: "connection refused", errno: syscall.ECONNREFUSED}
	// ErrTimeout: the peer did not answer, for as long as the configuration
	// allows (O2, user timeout).
	ErrTimeout error = &kind{msg: "connection timed out", errno: syscall.ETIMEDOUT, timeout: true}
	// ErrClosed: the flow is closed for this operation (W4). It matches
	// net.ErrClosed only where the local end closed it.
	ErrClosed error = &kind{msg: "flow is closed"}
	// ErrReset: the peer reset the connection (R4).
	ErrReset error = &kind{msg: "connection reset by peer", errno: syscall.ECONNRESET}
	// ErrAborted: the local end called Abort.
	ErrAborted error = &kind{msg: "connection aborted", errno: syscall.ECONNABORTED, local: true}
	// ErrKeepalive: no answer to keepalive probes (K2). Only CloseReason tells.
	ErrKeepalive error = &kind{msg: "no answer to keepalive probes", errno: syscall.ETIMEDOUT, timeout: true}
	// ErrDisconnected: the stack has left the network (X1).
	ErrDisconnected error = &kind{msg: "stack is disconnected", errno: syscall.ENETDOWN, local: true}
	// ErrPortInUse: a listener or connection has the port already (L3).
	ErrPortInUse error = &kind{msg: "port is in use", errno: syscall.EADDRINUSE}
	// ErrNoPorts: no ephemeral port is left towards the destination.
	ErrNoPorts error = &kind{msg: "no local port is free", errno: syscall.EADDRNOTAVAIL}
	// ErrUnreachable: no route, or the network said so while dialling.
	ErrUnreachable error = &kind{msg: "destination is unreachable", errno: syscall.EHOSTUNREACH}
	// ErrInvalidAddress: the address cannot be dialled, or is not the stack's own.
	ErrInvalidAddress error = &kind{msg: "address cannot be used", errno: syscall.EADDRNOTAVAIL}
	// ErrNoMemory: a configured limit on flows or memory is reached.
	ErrNoMemory error = &kind{msg: "the stack's limit is reached", errno: syscall.ENOBUFS}
	// ErrInvalidConfig: an option has a value that it cannot have, or cannot
	// take while the flow is open.
	ErrInvalidConfig error = &kind{msg: "invalid configuration", errno: syscall.EINVAL}
)

type kind struct {
	msg     string
	errno   syscall.Errno
	timeout bool
	local   bool // caused by the local end, so net.ErrClosed too
}

func (k *kind) Error() string   { return k.msg }
func (k *kind) Timeout() bool   { return k.timeout }
func (k *kind) Temporary() bool { return false }

func (k *kind) Is(target error) bool {
	return k.errno != 0 && target == k.errno || k.local && target == net.ErrClosed
}

// ClosedBy returns the error of an operation on a flow that has ended for the
// given reason: it matches [ErrClosed] and the reason (W4, W5). Without a
// reason it is the error after a local close, and matches net.ErrClosed.
func ClosedBy(reason error) error {
	if reason == nil {
		return errClosedLocally
	}
	return &closedBy{reason}
}

var errClosedLocally error = &closedBy{net.ErrClosed}

type closedBy struct{ reason error }

func (e *closedBy) Error() string {
	if e.reason == net.ErrClosed {
		return ErrClosed.Error()
	}
	return ErrClosed.Error() + ": " + e.reason.Error()
}

func (e *closedBy) Is(target error) bool {
	return target == ErrClosed || target == syscall.EPIPE
}
func (e *closedBy) Unwrap() error { return e.reason }

// Error is the error of one operation on one flow or stack.
type Error struct {
	Op       string         // "dial", "listen", "read", "write", "close", "configure"
	Src, Dst netip.AddrPort // as far as known
	Err      error          // one of the errors above, or a context's cause
}

// Error prints the operation, the addresses and the cause.
func (e *Error) Error() string {
	s := "tcp " + e.Op
	if e.Src.IsValid() {
		s += " " + e.Src.String()
	}
	if e.Dst.IsValid() {
		if e.Src.IsValid() {
			s += "->"
		} else {
			s += " "
		}
		s += e.Dst.String()
	}
	return s + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Timeout reports whether the cause is a timeout, as net.Error asks.
func (e *Error) Timeout() bool {
	var t interface{ Timeout() bool }
	return errors.As(e.Err, &t) && t.Timeout()
}

// Temporary is false. It exists for net.Error.
func (e *Error) Temporary() bool { return false }

var _ net.Error = (*Error)(nil)

package kernel

import (
	"errors"
	"net/netip"

	"github.com/sluicenet/sluice/api"
	"golang.org/x/sys/unix"
)

// sysError is one of the contract's errors with the errno that told it, where
// the errno is not the one that the former stands for anyway.
type sysError struct {
	kind  error
	errno unix.Errno
}

func (e *sysError) Error() string   { return e.kind.Error() + " (" + e.errno.Error() + ")" }
func (e *sysError) Unwrap() []error { return []error{e.kind, e.errno} }

func mapped(kind error, errno unix.Errno) error {
	if errors.Is(kind, errno) {
		return kind
	}
	return &sysError{kind, errno}
}

// errnoOf returns the errno in err, which comes from package unix.
func errnoOf(err error) unix.Errno {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return unix.EIO
}

// setupError is the meaning of an errno from socket, bind, listen or connect.
func setupError(call string, errno unix.Errno) error {
	switch errno {
	case unix.ECONNREFUSED:
		return api.ErrRefused
	case unix.ETIMEDOUT:
		return api.ErrTimeout
	case unix.ECONNRESET, unix.EPIPE:
		return api.ErrReset
	case unix.EADDRINUSE:
		return api.ErrPortInUse
	case unix.EADDRNOTAVAIL:
		if call == "connect" { // the ephemeral ports are used up
			return api.ErrNoPorts
		}
		return api.ErrInvalidAddress
	case unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EHOSTDOWN, unix.ENETDOWN, unix.ENONET, unix.EPROTO, unix.ENOPROTOOPT:
		return mapped(api.ErrUnreachable, errno)
	case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.ENOSPC:
		return mapped(api.ErrNoMemory, errno)
	case unix.EAFNOSUPPORT, unix.EINVAL, unix.EACCES, unix.EPERM:
		return mapped(api.ErrInvalidAddress, errno)
	}
	return errno
}

// endReason is why the kernel has ended an established flow, from the errno that
// it left behind. idle says that a keepalive was on and nothing was unacknowledged.
func endReason(errno unix.Errno, idle bool) (reason, soft error) {
	switch errno {
	case 0:
		return nil, nil
	case unix.ECONNRESET, unix.EPIPE, unix.ECONNREFUSED:
		// tcp_reset reports EPIPE in CLOSE-WAIT.
		return api.ErrReset, nil
	case unix.ECONNABORTED: // by an administrator, "ss -K"
		return api.ErrAborted, nil
	}
	// A timeout is reported as the last soft error, if there was one
	// (tcp_write_err).
	if errno != unix.ETIMEDOUT {
		soft = errno
	}
	if idle {
		return api.ErrKeepalive, soft
	}
	return api.ErrTimeout, soft
}

func opError(op string, src, dst netip.AddrPort, err error) error {
	return &api.Error{Op: op, Src: src, Dst: dst, Err: err}
}

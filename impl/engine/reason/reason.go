// Package reason has the errors that tell why a destination cannot be reached, each
// with the errno that a kernel has for it. The pure machines pass them on.
package reason

import (
	"syscall"

	"github.com/sluicenet/sluice/api"
)

// unreachable is api.ErrUnreachable with the errno that a kernel has for a code of
// ICMP's (RFC 792, RFC 4443).
type unreachable struct {
	errno syscall.Errno
	text  string
}

func (u *unreachable) Error() string        { return u.text }
func (u *unreachable) Is(target error) bool { return target == u.errno }
func (u *unreachable) Unwrap() error        { return api.ErrUnreachable }

// One value for each, so that errors can be compared.
var (
	netUnreachable      error = &unreachable{syscall.ENETUNREACH, "network is unreachable"}
	protocolUnreachable error = &unreachable{syscall.ENOPROTOOPT, "the destination has no such protocol"}
	prohibited          error = &unreachable{syscall.EACCES, "destination is administratively prohibited"}
)

// Unreachable4 returns the error for a code of an ICMPv4 "destination unreachable".
func Unreachable4(code uint8) error {
	switch code {
	case 0, 6, 9, 11: // the network: unreachable, unknown, prohibited, not for this type of service
		return netUnreachable
	case 2:
		return protocolUnreachable
	}
	return api.ErrUnreachable
}

// Unreachable6 is the same for ICMPv6.
func Unreachable6(code uint8) error {
	switch code {
	case 0: // no route
		return netUnreachable
	case 1, 5, 6: // prohibited, policy, reject route
		return prohibited
	}
	return api.ErrUnreachable
}

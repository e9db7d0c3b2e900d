package reason

import (
	"errors"
	"syscall"
	"testing"

	"github.com/sluicenet/sluice/api"
)

// The errno of an unreachable destination is the one that a kernel has for the code.
func TestErrno(t *testing.T) {
	for _, c := range []struct {
		err  error
		want syscall.Errno
	}{
		{Unreachable4(0), syscall.ENETUNREACH}, {Unreachable4(1), syscall.EHOSTUNREACH}, {Unreachable4(2), syscall.ENOPROTOOPT},
		{Unreachable4(9), syscall.ENETUNREACH}, {Unreachable4(10), syscall.EHOSTUNREACH}, {Unreachable4(13), syscall.EHOSTUNREACH},
		{Unreachable6(0), syscall.ENETUNREACH}, {Unreachable6(1), syscall.EACCES}, {Unreachable6(3), syscall.EHOSTUNREACH},
	} {
		if !errors.Is(c.err, c.want) || !errors.Is(c.err, api.ErrUnreachable) {
			t.Errorf("%v does not match %v", c.err, c.want)
		}
	}
}

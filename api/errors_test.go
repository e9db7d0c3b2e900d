package api

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
)

var sentinels = map[string]error{
	"refused": ErrRefused, "timeout": ErrTimeout, "closed": ErrClosed, "reset": ErrReset, "aborted": ErrAborted,
	"keepalive": ErrKeepalive, "disconnected": ErrDisconnected, "port": ErrPortInUse, "noports": ErrNoPorts,
	"unreachable": ErrUnreachable, "address": ErrInvalidAddress, "memory": ErrNoMemory, "config": ErrInvalidConfig,
}

// (W5): what each error of a flow matches, and nothing else.
func TestErrorsMatch(t *testing.T) {
	targets := map[string]error{
		"net.ErrClosed": net.ErrClosed, "os.ErrDeadlineExceeded": os.ErrDeadlineExceeded,
		"context.DeadlineExceeded": context.DeadlineExceeded, "context.Canceled": context.Canceled, "io.EOF": io.EOF,
		"ECONNREFUSED": syscall.ECONNREFUSED, "ETIMEDOUT": syscall.ETIMEDOUT, "ECONNRESET": syscall.ECONNRESET,
		"ECONNABORTED": syscall.ECONNABORTED, "ENETDOWN": syscall.ENETDOWN, "EADDRINUSE": syscall.EADDRINUSE,
		"EADDRNOTAVAIL": syscall.EADDRNOTAVAIL, "EHOSTUNREACH": syscall.EHOSTUNREACH, "ENOBUFS": syscall.ENOBUFS,
		"EINVAL": syscall.EINVAL, "EPIPE": syscall.EPIPE,
	}
	for name, err := range sentinels {
		targets[name] = err
	}
	matrix := []struct {
		err     error
		matches []string
		timeout bool
	}{
		{ErrRefused, []string{"refused", "ECONNREFUSED"}, false},
		{ErrTimeout, []string{"timeout", "ETIMEDOUT"}, true},
		{ErrReset, []string{"reset", "ECONNRESET"}, false},
		{ErrAborted, []string{"aborted", "ECONNABORTED", "net.ErrClosed"}, false},
		{ErrKeepalive, []string{"keepalive", "ETIMEDOUT"}, true},
		{ErrDisconnected, []string{"disconnected", "ENETDOWN", "net.ErrClosed"}, false},
		{ErrPortInUse, []string{"port", "EADDRINUSE"}, false},
		{ErrNoPorts, []string{"noports", "EADDRNOTAVAIL"}, false},
		{ErrUnreachable, []string{"unreachable", "EHOSTUNREACH"}, false},
		{ErrInvalidAddress, []string{"address", "EADDRNOTAVAIL"}, false},
		{ErrNoMemory, []string{"memory", "ENOBUFS"}, false},
		{ErrInvalidConfig, []string{"config", "EINVAL"}, false},
		{ErrClosed, []string{"closed"}, false},
		{ClosedBy(nil), []string{"closed", "EPIPE", "net.ErrClosed"}, false},
		{ClosedBy(ErrReset), []string{"closed", "EPIPE", "reset", "ECONNRESET"}, false},
		{ClosedBy(ErrAborted), []string{"closed", "EPIPE", "aborted", "ECONNABORTED", "net.ErrClosed"}, false},
		{ClosedBy(ErrKeepalive), []string{"closed", "EPIPE", "keepalive", "ETIMEDOUT"}, true},
		{ClosedBy(ErrTimeout), []string{"closed", "EPIPE", "timeout", "ETIMEDOUT"}, true},
		{ClosedBy(ErrDisconnected), []string{"closed", "EPIPE", "disconnected", "ENETDOWN", "net.ErrClosed"}, false},
		{context.Canceled, []string{"context.Canceled"}, false},
		{context.DeadlineExceeded, []string{"context.DeadlineExceeded"}, true},
		{os.ErrDeadlineExceeded, []string{"os.ErrDeadlineExceeded"}, true},
	}
	for _, row := range matrix {
		err := error(&Error{Op: "write", Err: row.err})
		want := map[string]bool{}
		for _, m := range row.matches {
			want[m] = true
		}
		for name, target := range targets {
			if got := errors.Is(err, target); got != want[name] {
				t.Errorf("errors.Is(%q, %s) is %v", err, name, got)
			}
		}
		var ne net.Error
		if !errors.As(err, &ne) || ne.Timeout() != row.timeout {
			t.Errorf("%q: Timeout is %v, want %v", err, ne.Timeout(), row.timeout)
		}
		if err.Error() == "" {
			t.Errorf("%T prints nothing", row.err)
		}
	}
}

// A name for every sentinel, and no two alike (W5: every error prints itself).
func TestErrorsPrint(t *testing.T) {
	seen := map[string]bool{}
	for name, err := range sentinels {
		if s := err.Error(); s == "" || seen[s] {
			t.Errorf("%s prints as %q", name, s)
		} else {
			seen[s] = true
		}
	}
	src, dst := netip.MustParseAddrPort("10.0.0.1:5000"), netip.MustParseAddrPort("[fd00::1]:80")
	for want, e := range map[string]*Error{
		"tcp dial 10.0.0.1:5000->[fd00::1]:80: connection refused":                             {"dial", src, dst, ErrRefused},
		"tcp dial [fd00::1]:80: destination is unreachable":                                    {"dial", netip.AddrPort{}, dst, ErrUnreachable},
		"tcp listen 10.0.0.1:5000: port is in use":                                             {"listen", src, netip.AddrPort{}, ErrPortInUse},
		"tcp read: context canceled":                                                           {"read", netip.AddrPort{}, netip.AddrPort{}, context.Canceled},
		"tcp write 10.0.0.1:5000->[fd00::1]:80: flow is closed":                                {"write", src, dst, ClosedBy(nil)},
		"tcp write 10.0.0.1:5000->[fd00::1]:80: flow is closed: connection reset by peer":      {"write", src, dst, ClosedBy(ErrReset)},
		"tcp write 10.0.0.1:5000->[fd00::1]:80: flow is closed: no answer to keepalive probes": {"write", src, dst, ClosedBy(ErrKeepalive)},
	} {
		if e.Error() != want {
			t.Errorf("got %q, want %q", e.Error(), want)
		}
	}
}

func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for r := DropReason(0); r < NumDropReasons; r++ {
		if s := r.String(); s == "" || s == "unknown" || seen[s] {
			t.Errorf("drop reason %d prints as %q", r, s)
		} else {
			seen[s] = true
		}
	}
	for s := StateClosed; s <= StateTimeWait; s++ {
		if n := s.String(); n == "" || n == "UNKNOWN" || seen[n] {
			t.Errorf("state %d prints as %q", s, n)
		} else {
			seen[n] = true
		}
	}
	if NumDropReasons.String() != "unknown" || (StateTimeWait+1).String() != "UNKNOWN" {
		t.Error("values out of range have names")
	}
}

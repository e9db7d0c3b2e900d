//go:build linux

package kernel

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
	"golang.org/x/sys/unix"
)

// deviationTests show that each deviation still occurs: a kernel that has lost
// one is to be given the promise back.
var deviationTests = map[string]func(t *testing.T, s *Stack){
	"N1/polling": func(t *testing.T, s *Stack) {
		c, srv := pair(t, s, loopbacks["IPv4"], nil, nil)
		ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(ep)
		ev := unix.EpollEvent{Events: flowEvents}
		if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fdOf(c), &ev); err != nil {
			t.Fatal(err)
		}
		var evs [4]unix.EpollEvent
		unix.EpollWait(ep, evs[:], 0) // that it is writable
		send(t, c, "x")
		receive(t, srv, 1)
		for c.Info().SendQueue != 0 {
			time.Sleep(time.Millisecond)
		}
		if n, _ := unix.EpollWait(ep, evs[:], 0); n != 0 {
			t.Errorf("the kernel tells of an acknowledgement: events %x", evs[0].Events)
		}
	},
	"K1/custom": func(t *testing.T, s *Stack) {
		_, err := s.Listen(0, &api.ListenConfig{Flow: api.FlowConfig{Keepalive: odd{}}}, nobody)
		want(t, err, api.ErrInvalidConfig)
	},
	"K1/granularity": func(t *testing.T, s *Stack) {
		c, _ := pair(t, s, loopbacks["IPv4"], &api.FlowConfig{Keepalive: api.KeepaliveConfig{After: 1500 * time.Millisecond}}, nil)
		if n, _ := unix.GetsockoptInt(fdOf(c), unix.IPPROTO_TCP, unix.TCP_KEEPIDLE); n != 2 {
			t.Errorf("TCP_KEEPIDLE %d", n)
		}
		for _, opt := range []int{unix.TCP_KEEPIDLE, unix.TCP_KEEPINTVL} {
			if unix.SetsockoptInt(fdOf(c), unix.IPPROTO_TCP, opt, 32768) == nil {
				t.Error("the kernel takes more than 32767 s")
			}
		}
		if unix.SetsockoptInt(fdOf(c), unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 128) == nil {
			t.Error("the kernel takes more than 127 probes")
		}
		for _, k := range []api.KeepaliveConfig{{After: 10 * time.Hour}, {Interval: 10 * time.Hour}, {Probes: 128}} {
			want(t, c.Configure(func(c *api.FlowConfig) { c.Keepalive = k }), api.ErrInvalidConfig)
		}
	},
	"K2/user-timeout": func(t *testing.T, s *Stack) {
		const probes = 100
		f := silent(t, s, loopbacks["IPv4"], &api.FlowConfig{UserTimeout: time.Second,
			Keepalive: &api.KeepaliveConfig{After: time.Second, Interval: time.Second, Probes: probes}})
		wantEOF(t, f)
		if n := f.Info().KeepaliveProbes; n >= probes {
			t.Errorf("%d probes were sent, in spite of the user timeout", n)
		}
		if f.CloseReason() != api.ErrKeepalive {
			t.Errorf("CloseReason %v", f.CloseReason())
		}
	},
	"K3/cause": func(t *testing.T, s *Stack) {
		// TestKeepalive and TestUserTimeout see the same errno; here it is
		// told apart by the queue.
		idle, _ := endReason(unix.ETIMEDOUT, true)
		busy, _ := endReason(unix.ETIMEDOUT, false)
		if idle != api.ErrKeepalive || busy != api.ErrTimeout {
			t.Errorf("%v, %v", idle, busy)
		}
	},
	"L3/backlog": func(t *testing.T, s *Stack) {
		proceed := make(chan struct{})
		port, err := s.Listen(0, &api.ListenConfig{Backlog: 1}, func(_ context.Context, f api.Flow) { <-proceed; f.Abort() })
		if err != nil {
			t.Fatal(err)
		}
		defer close(proceed)
		for range 2 { // the second has no handler
			f, err := s.Dial(withPatience(t), netip.AddrPortFrom(loopbacks["IPv4"], port), nil)
			if err != nil {
				t.Fatal(err)
			}
			if st := f.Info().State; st != api.StateEstablished {
				t.Errorf("state %v", st)
			}
		}
	},
	"X1/time-wait": func(t *testing.T, s *Stack) {
		c, srv := pair(t, s, loopbacks["IPv4"], nil, nil)
		c.CloseWrite()
		wantEOF(t, srv)
		if err := srv.Close(withPatience(t)); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(withPatience(t)); err != nil {
			t.Fatal(err)
		}
		s.Disconnect(withPatience(t))
		for i := range s.Flows() {
			t.Errorf("listed: %+v", i)
		}
		fd, err := socket(unix.AF_INET)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		_, sa, _ := sockaddr(c.Src())
		if err := unix.Bind(fd, sa); err != unix.EADDRINUSE {
			t.Errorf("the port is not in TIME-WAIT: %v", err)
		}
	},
	"buffers/autotuned": func(t *testing.T, s *Stack) {
		c, _ := pair(t, s, loopbacks["IPv4"], &api.FlowConfig{SendBuffer: 2, ReceiveBuffer: 2}, nil)
		if i := c.Info(); i.SendBuffer <= 2 || i.RecvBuffer <= 2 {
			t.Errorf("the kernel has no minimum: %d, %d", i.SendBuffer, i.RecvBuffer)
		}
		// tcp_wmem is where it begins, and what it leaves as it learns about
		// the path.
		c, srv := pair(t, s, loopbacks["IPv4"], nil, nil)
		go c.Write(withPatience(t), api.Alloc(4<<20))
		receive(t, srv, 4<<20)
		if n := c.Info().SendBuffer; n <= s.sendDefault {
			t.Errorf("the kernel does not tune: %d, %d", s.sendDefault, n)
		}
	},
	"congestion/options": func(t *testing.T, s *Stack) {
		_, err := s.Listen(0, &api.ListenConfig{Flow: api.FlowConfig{Congestion: "reno:x=y"}}, nobody)
		want(t, err, api.ErrInvalidConfig)
		_, err = s.Listen(0, &api.ListenConfig{Flow: api.FlowConfig{Congestion: "no-such"}}, nobody)
		want(t, err, api.ErrInvalidConfig)
	},
	"mss/floor": func(t *testing.T, s *Stack) {
		for _, mss := range []uint16{1, 87} {
			_, err := s.Listen(0, &api.ListenConfig{Flow: api.FlowConfig{MSS: mss}}, nobody)
			want(t, err, api.ErrInvalidConfig)
		}
	},
	"urgent/end": func(t *testing.T, s *Stack) {
		c, srv := pair(t, s, loopbacks["IPv4"], nil, nil)
		if err := c.(api.UrgentFlow).WriteUrgent(withPatience(t), api.CopyBuffer([]byte("four"))); err != nil {
			t.Fatal(err)
		}
		if n := srv.Info().UrgentPending; n != 1 {
			t.Errorf("UrgentPending %d", n)
		}
	},
}

type odd struct{}

func (odd) Next(time.Duration, int) (api.KeepaliveAction, time.Duration) {
	return api.KeepaliveWait, time.Hour
}

func TestDeviations(t *testing.T) {
	seen := map[string]bool{}
	for _, d := range Deviations() {
		if seen[d.ID] || d.Title == "" || d.Reason == "" {
			t.Errorf("deviation %+v", d)
		}
		seen[d.ID] = true
		t.Run(d.ID, func(t *testing.T) {
			test := deviationTests[d.ID]
			if test == nil {
				t.Fatal("no test that it still occurs")
			}
			test(t, newStack(t, Config{}))
		})
	}
	for id := range deviationTests {
		if !seen[id] {
			t.Errorf("%s is tested and not declared", id)
		}
	}
}

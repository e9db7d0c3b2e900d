//go:build linux

package kernel

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
	"golang.org/x/sys/unix"
)

func nobody(context.Context, api.Flow) {}

func TestListenErrors(t *testing.T) {
	s := newStack(t, Config{})
	port, err := s.Listen(0, nil, nobody)
	if err != nil || port == 0 {
		t.Fatal(port, err)
	}
	_, err = s.Listen(port, nil, nobody)
	want(t, err, api.ErrPortInUse, unix.EADDRINUSE)
	_, err = s.Listen(port, &api.ListenConfig{Address: loopbacks["IPv4"]}, nobody)
	want(t, err, api.ErrPortInUse)

	// Somebody else has the port.
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	_, err = s.Listen(uint16(other.Addr().(*net.TCPAddr).Port), nil, nobody)
	want(t, err, api.ErrPortInUse)

	_, err = s.Listen(0, &api.ListenConfig{Address: netip.MustParseAddr("192.0.2.1")}, nobody)
	want(t, err, api.ErrInvalidAddress)
	for _, cfg := range []*api.ListenConfig{
		{Backlog: -1}, {HalfOpen: -1}, {Flow: api.FlowConfig{DSCP: 64}}, {Flow: api.FlowConfig{Congestion: "no-such"}},
		{Flow: api.FlowConfig{SendBuffer: -1}}, {Flow: api.FlowConfig{UserTimeout: -1}},
	} {
		_, err = s.Listen(0, cfg, nobody)
		want(t, err, api.ErrInvalidConfig)
	}
	_, err = s.Listen(0, nil, nil)
	want(t, err, api.ErrInvalidConfig)

	s.Unlisten(port)
	s.Unlisten(port) // does nothing (U1)
	s.Unlisten(1)
	if _, err := s.Listen(port, nil, nobody); err != nil {
		t.Errorf("the port is not free after Unlisten: %v", err)
	}
	if n := s.Info().Listeners; n != 1 {
		t.Errorf("%d listeners", n)
	}
}

// Handlers that have not returned are bounded (L3), and those that wait come
// when one returns.
func TestBacklog(t *testing.T) {
	each(t, func(t *testing.T, s *Stack, a netip.Addr) {
		const backlog, flows = 2, 6
		var running, most atomic.Int32
		proceed, handled := make(chan struct{}), make(chan struct{}, flows)
		port, err := s.Listen(0, &api.ListenConfig{Backlog: backlog}, func(ctx context.Context, f api.Flow) {
			n := running.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			handled <- struct{}{}
			<-proceed
			running.Add(-1)
			f.Abort()
		})
		if err != nil {
			t.Fatal(err)
		}
		dials := make(chan error, flows)
		for range flows {
			go func() {
				_, err := s.Dial(withPatience(t), netip.AddrPortFrom(a, port), nil)
				dials <- err
			}()
		}
		for range backlog {
			<-handled
		}
		close(proceed)
		for range flows - backlog {
			<-handled
		}
		for range flows {
			if err := <-dials; err != nil {
				t.Error(err)
			}
		}
		if n := most.Load(); n != backlog {
			t.Errorf("%d handlers at once, want %d", n, backlog)
		}
		if n := s.Info().Accepted; n != flows {
			t.Errorf("%d accepted", n)
		}
	})
}

// The options of a listener and of a stack are in force before the handler
// runs (L2).
func TestOptionsOfAcceptedFlows(t *testing.T) {
	for name, a := range loopbacks {
		t.Run(name, func(t *testing.T) {
			s := newStack(t, Config{Flow: api.FlowConfig{DSCP: 10, TTL: 33, Congestion: "reno"}})
			cfg := api.FlowConfig{NoDelay: true, TTL: 44, SendBuffer: 64 << 10, ReceiveBuffer: 96 << 10, MSS: 1000,
				UserTimeout: 5 * time.Second, Keepalive: &api.KeepaliveConfig{After: time.Minute}}
			c, srv := pair(t, s, a, nil, &api.ListenConfig{Flow: cfg})
			i := srv.Info()
			if !i.NoDelay || i.TTL != 44 || i.DSCP != 10 || i.SendBuffer != 64<<10 || i.RecvBuffer != 96<<10 || i.Congestion != "reno" {
				t.Errorf("%+v", i)
			}
			if i.SendMSS > 1000 {
				t.Errorf("MSS %d", i.SendMSS)
			}
			get := func(level, opt int) int {
				v, err := unix.GetsockoptInt(fdOf(srv), level, opt)
				if err != nil {
					t.Error(err)
				}
				return v
			}
			tos := get(unix.IPPROTO_IP, unix.IP_TOS)
			if a.Is6() {
				tos = get(unix.IPPROTO_IPV6, unix.IPV6_TCLASS)
			}
			for _, o := range []struct {
				what      string
				got, want int
			}{
				{"TCP_NODELAY", get(unix.IPPROTO_TCP, unix.TCP_NODELAY), 1},
				{"TCP_USER_TIMEOUT", get(unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT), 5000},
				{"SO_KEEPALIVE", get(unix.SOL_SOCKET, unix.SO_KEEPALIVE), 1},
				{"TCP_KEEPIDLE", get(unix.IPPROTO_TCP, unix.TCP_KEEPIDLE), 60},
				{"TCP_KEEPINTVL", get(unix.IPPROTO_TCP, unix.TCP_KEEPINTVL), 75},
				{"TCP_KEEPCNT", get(unix.IPPROTO_TCP, unix.TCP_KEEPCNT), 9},
				{"traffic class", tos, 40},
			} {
				if o.got != o.want {
					t.Errorf("%s is %d, want %d", o.what, o.got, o.want)
				}
			}
			if i := c.Info(); i.TTL != 33 || i.NoDelay || i.DSCP != 10 {
				t.Errorf("the stack's defaults: %+v", i)
			}
			if i := c.Info(); i.SendMSS > 1000 {
				t.Errorf("the MSS was not announced: %d", i.SendMSS)
			}
		})
	}
}

func TestConfigure(t *testing.T) {
	each(t, func(t *testing.T, s *Stack, a netip.Addr) {
		f, _ := pair(t, s, a, nil, nil)
		for _, change := range []func(*api.FlowConfig){
			func(c *api.FlowConfig) { c.MSS = 500 },
			func(c *api.FlowConfig) { c.Congestion = "reno:x" },
			func(c *api.FlowConfig) { c.Local = netip.AddrPort{} },
			func(c *api.FlowConfig) { c.DSCP = 64 },
			func(c *api.FlowConfig) { c.NoDelay, c.UserTimeout = true, -1 },
		} {
			want(t, f.Configure(change), api.ErrInvalidConfig)
		}
		if f.Info().NoDelay {
			t.Error("a refused change was made in part")
		}
		if err := f.Configure(func(c *api.FlowConfig) {
			f.Info() // the flow may be used meanwhile
			c.NoDelay, c.TTL, c.DSCP, c.ReceiveBuffer = true, 7, 46, 100<<10
			c.Keepalive = api.KeepaliveConfig{}
		}); err != nil {
			t.Fatal(err)
		}
		if i := f.Info(); !i.NoDelay || i.TTL != 7 || i.DSCP != 46 || i.RecvBuffer != 100<<10 {
			t.Errorf("%+v", i)
		}
		if n, _ := unix.GetsockoptInt(fdOf(f), unix.IPPROTO_TCP, unix.TCP_KEEPIDLE); n != 7200 {
			t.Errorf("TCP_KEEPIDLE %d", n)
		}
		if err := f.Configure(func(c *api.FlowConfig) { c.Keepalive, c.TTL = nil, 0 }); err != nil {
			t.Fatal(err)
		}
		if n, _ := unix.GetsockoptInt(fdOf(f), unix.SOL_SOCKET, unix.SO_KEEPALIVE); n != 0 {
			t.Error("the keepalive is still on")
		}
		if i := f.Info(); i.TTL != 64 {
			t.Errorf("TTL %d, want the system's default", i.TTL)
		}
		f.Abort()
		want(t, f.Configure(func(*api.FlowConfig) {}), api.ErrClosed, api.ErrAborted)
	})
}

func TestNotify(t *testing.T) {
	each(t, func(t *testing.T, s *Stack, a netip.Addr) {
		ready := make(chan api.Readiness, 100)
		var inside atomic.Int32
		cfg := &api.FlowConfig{SendBuffer: 16 << 10, Notify: func(f api.Flow, r api.Readiness) {
			if inside.Add(1) != 1 {
				t.Error("two calls of Notify at once")
			}
			ready <- r
			inside.Add(-1)
		}}
		// until waits for bit, and collects others.
		until := func(bit api.Readiness) {
			t.Helper()
			for limit := time.After(patience); ; {
				select {
				case r := <-ready:
					if r&bit != 0 {
						return
					}
				case <-limit:
					t.Fatalf("no readiness %b", bit)
				}
			}
		}
		c, srv := pair(t, s, a, cfg, nil)
		send(t, srv, "x")
		until(api.ReadyRead)
		receive(t, c, 1)
		queued := fillUp(t, c)
		if !receiveAll(t, srv, len(queued)) {
			t.Fatal("bytes are missing")
		}
		until(api.ReadyWrite)
		if err := srv.(api.UrgentFlow).WriteUrgent(withPatience(t), api.CopyBuffer([]byte("!"))); err != nil {
			t.Fatal(err)
		}
		until(api.ReadyUrgent)
		srv.CloseWrite()
		until(api.ReadyRead)
		receive(t, c, 1)
		wantEOF(t, c)
		c.CloseWrite()
		until(api.ReadyClosed)
		if err := c.CloseReason(); err != nil {
			t.Error(err)
		}
	})
}

func receiveAll(t testing.TB, f api.Flow, n int) bool {
	t.Helper()
	return len(receive(t, f, n)) == n
}

func TestUrgent(t *testing.T) {
	each(t, func(t *testing.T, s *Stack, a netip.Addr) {
		c, srv := pair(t, s, a, nil, nil)
		send(t, c, "ab")
		if srv.Info().UrgentPending != 0 {
			t.Error("urgent data out of nowhere")
		}
		if err := c.(api.UrgentFlow).WriteUrgent(withPatience(t), api.CopyBuffer([]byte("cd"))); err != nil {
			t.Fatal(err)
		}
		if srv.Info().UrgentPending == 0 {
			t.Error("no urgent data is announced")
		}
		send(t, c, "ef")
		if got := string(receive(t, srv, 6)); got != "abcdef" {
			t.Errorf("read %q: urgent data does not stay in line", got)
		}
		if n := srv.Info().UrgentPending; n != 0 {
			t.Errorf("UrgentPending %d when all was read", n)
		}
	})
}

func TestInfo(t *testing.T) {
	each(t, func(t *testing.T, s *Stack, a netip.Addr) {
		c, srv := pair(t, s, a, nil, nil)
		data := pattern(500_000)
		go c.Write(withPatience(t), api.CopyBuffer(data))
		receive(t, srv, len(data)-1000+1000)
		send(t, srv, "answer")
		if err := srv.WriteNoDelay(withPatience(t), api.CopyBuffer([]byte("!"))); err != nil {
			t.Fatal(err)
		}
		i, j := c.Info(), srv.Info()
		if i.State != api.StateEstablished || i.Src != c.Src() || i.Dst != c.Dst() {
			t.Errorf("%+v", i)
		}
		if i.BytesSent != uint64(len(data)) || i.BytesAcked != uint64(len(data)) || i.BytesReceived != 7 || j.BytesAcked != 7 {
			t.Errorf("sent %d, acknowledged %d of %d; received %d; the peer's were acknowledged: %d", i.BytesSent, i.BytesAcked, len(data), i.BytesReceived, j.BytesAcked)
		}
		if i.ReceiveQueue != 7 || i.SendQueue != 0 || i.Memory <= 0 {
			t.Errorf("queues %d, %d, memory %d", i.ReceiveQueue, i.SendQueue, i.Memory)
		}
		if i.Cwnd <= 0 || i.SRTT <= 0 || i.RTO <= 0 || i.SendMSS <= 0 || i.PathMTU <= 0 || i.SegmentsSent == 0 || i.SendWindow <= 0 || i.RecvWindow <= 0 {
			t.Errorf("%+v", i)
		}
		if !i.SACK || !i.Timestamps || i.SendWindowScale != j.RecvWindowScale || i.RecvWindowScale != j.SendWindowScale || i.SendWindowScale <= 0 {
			t.Errorf("options: SACK %v, timestamps %v, scales %d %d %d %d", i.SACK, i.Timestamps, i.SendWindowScale, i.RecvWindowScale, j.SendWindowScale, j.RecvWindowScale)
		}
		if i.LastSend.Before(i.Opened.Add(-time.Second)) || i.LastReceive.Before(i.Opened.Add(-time.Second)) {
			t.Errorf("opened %v, last %v %v", i.Opened, i.LastSend, i.LastReceive)
		}
		port, err := s.Listen(0, nil, nobody)
		if err != nil {
			t.Fatal(err)
		}
		var flows, listeners int
		for i := range s.Flows() {
			switch {
			case i.State == api.StateListen && i.Src.Port() == port:
				listeners++
			case i.Src == c.Src() || i.Src == srv.Src():
				flows++
			}
		}
		for range s.Flows() {
			break // need not be finished
		}
		if flows != 2 || listeners != 1 {
			t.Errorf("%d flows, %d listeners", flows, listeners)
		}
		if i := s.Info(); i.Flows != 2 || i.Listeners != 1 || i.Opened != 1 || i.Accepted != 1 || i.Backend != "kernel" || len(i.Addresses) == 0 {
			t.Errorf("%+v", i)
		}
	})
}

func TestFlowLimit(t *testing.T) {
	s := newStack(t, Config{Limits: Limits{Flows: 2}})
	c, _ := pair(t, s, loopbacks["IPv4"], nil, nil)
	port, err := s.Listen(0, nil, nobody)
	if err != nil {
		t.Fatal(err)
	}
	dst := netip.AddrPortFrom(loopbacks["IPv4"], port)
	_, err = s.Dial(withPatience(t), dst, nil)
	want(t, err, api.ErrNoMemory)
	// From outside, the answer to one too many is a reset.
	out, err := net.Dial("tcp", dst.String())
	if err == nil {
		out.SetReadDeadline(time.Now().Add(patience))
		_, err = out.Read(make([]byte, 1))
		out.Close()
	}
	if !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("a connection over the limit got %v", err)
	}
	c.Abort()
	if _, err := s.Dial(withPatience(t), dst, nil); err != nil && !errors.Is(err, api.ErrNoMemory) {
		t.Error(err) // the peer's end of c may still count
	}
}

func TestObserver(t *testing.T) {
	s := newStack(t, Config{})
	type change struct {
		src      netip.AddrPort
		from, to api.State
	}
	var mu sync.Mutex
	var changes []change
	closed := make(chan error, 2)
	s.SetObserver(&api.Observer{
		State: func(src, dst netip.AddrPort, from, to api.State) {
			mu.Lock()
			defer mu.Unlock()
			changes = append(changes, change{src, from, to})
		},
		Closed: func(last api.Info, reason error) {
			if last.State != api.StateClosed || last.BytesSent+last.BytesReceived != 1 {
				t.Errorf("%+v", last)
			}
			closed <- reason
		},
	})
	c, srv := pair(t, s, loopbacks["IPv4"], nil, nil)
	send(t, c, "x")
	receive(t, srv, 1)
	srv.Abort()
	want(t, c.Close(withPatience(t)), api.ErrReset)
	reasons := map[error]bool{<-closed: true, <-closed: true}
	if !reasons[api.ErrAborted] || !reasons[api.ErrReset] {
		t.Errorf("reasons %v", reasons)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(changes) != 4 {
		t.Errorf("changes %v", changes)
	}
	s.SetObserver(nil)
}

func TestDisconnect(t *testing.T) {
	each(t, func(t *testing.T, s *Stack, a netip.Addr) {
		other, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer other.Disconnect(ended(context.Canceled))
		flows := make(chan api.Flow, 2)
		port, err := other.Listen(0, nil, func(_ context.Context, f api.Flow) { flows <- f })
		if err != nil {
			t.Fatal(err)
		}
		dst := netip.AddrPortFrom(a, port)
		polite, err := s.Dial(withPatience(t), dst, nil)
		if err != nil {
			t.Fatal(err)
		}
		polites := <-flows
		rude, err := s.Dial(withPatience(t), dst, nil)
		if err != nil {
			t.Fatal(err)
		}
		rudes := <-flows

		handlers := make(chan error, 1)
		port, err = s.Listen(0, nil, func(ctx context.Context, f api.Flow) {
			<-ctx.Done()
			handlers <- context.Cause(ctx)
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := other.Dial(withPatience(t), netip.AddrPortFrom(a, port), nil); err != nil {
			t.Fatal(err)
		}
		for s.Info().Accepted == 0 {
			time.Sleep(time.Millisecond)
		}

		send(t, polite, "written before")
		blocked := make(chan error, 3)
		go func() {
			_, err := rude.Read(withPatience(t))
			blocked <- err
		}()
		go func() { blocked <- rude.Close(withPatience(t)) }()
		go func() {
			receive(t, polites, 14)
			polites.Close(withPatience(t))
		}()
		ctx, cancel := context.WithCancel(context.Background())
		go func() { // patient enough for the one and not for the other
			<-polite.(*flow).done
			cancel()
		}()
		s.Disconnect(ctx)
		for range 2 {
			want(t, <-blocked, api.ErrDisconnected)
		}
		if err := <-handlers; err != api.ErrDisconnected {
			t.Errorf("the handler's context ended with %v", err)
		}
		if rude.CloseReason() != api.ErrDisconnected {
			t.Errorf("CloseReason %v", rude.CloseReason())
		}
		if r := polite.CloseReason(); r != nil {
			t.Errorf("a flow whose peer closed too ended with %v", r)
		}
		want(t, rudes.Close(withPatience(t)), api.ErrReset)
		want(t, rude.Write(withPatience(t), api.CopyBuffer([]byte("x"))), api.ErrDisconnected, api.ErrClosed)
		_, err = s.Dial(withPatience(t), dst, nil)
		want(t, err, api.ErrDisconnected)
		_, err = s.Listen(0, nil, nobody)
		want(t, err, api.ErrDisconnected)
		s.Unlisten(port)
		s.Disconnect(context.Background()) // again
		select {
		case <-s.Done():
		default:
			t.Error("Done tells nothing")
		}
	})
}

// Disconnect ends dials under way.
func TestDisconnectDialling(t *testing.T) {
	other, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Disconnect(ended(context.Canceled)) })
	port, err := other.Listen(0, &api.ListenConfig{Address: loopbacks["IPv4"]}, nobody)
	if err != nil {
		t.Fatal(err)
	}
	deafen(t, other.listeners[port].sockets[0].fd)
	s := newStack(t, Config{})
	dialling := make(chan error)
	go func() {
		_, err := s.Dial(context.Background(), netip.AddrPortFrom(loopbacks["IPv4"], port), nil)
		dialling <- err
	}()
	inSynSent := func() (n int) {
		for i := range s.Flows() {
			if i.State == api.StateSynSent {
				n++
			}
		}
		return n
	}
	for inSynSent() == 0 {
		time.Sleep(time.Millisecond)
	}
	if i := s.Info(); i.HalfOpen != 1 || i.Flows != 0 {
		t.Errorf("%+v", i)
	}
	s.Disconnect(context.Background())
	want(t, <-dialling, api.ErrDisconnected)
}

// Whatever the order of calls, nothing is lost, leaked or used after its close.
func TestEverythingAtOnce(t *testing.T) {
	s := newStack(t, Config{})
	var wg sync.WaitGroup
	for round := range 20 {
		c, srv := pair(t, s, loopbacks["IPv4"], &api.FlowConfig{SendBuffer: 16 << 10, Notify: func(f api.Flow, _ api.Readiness) { f.Info() }}, nil)
		for i, f := range []api.Flow{c, srv} {
			for _, call := range []func(){
				func() { f.Read(withPatience(t)) },
				func() { f.Write(withPatience(t), api.Alloc(200_000)) },
				func() { f.WriteNoDelay(withPatience(t), api.Alloc(1000)) },
				func() { f.Close(withPatience(t)) },
				func() { f.Info() },
				func() { f.Configure(func(c *api.FlowConfig) { c.NoDelay = true }) },
				func() { f.CloseReason() },
				func() {
					if (round+i)%3 == 0 {
						f.CloseRead()
					}
				},
				func() {
					if (round+i)%2 == 0 {
						f.Abort()
					} else {
						f.(api.Orphaner).Orphan()
					}
				},
			} {
				wg.Add(1)
				go func() {
					defer wg.Done()
					call()
				}()
			}
		}
	}
	wg.Wait()
	s.Disconnect(withPatience(t))
	if i := s.Info(); i.Flows != 0 {
		t.Errorf("%d flows left", i.Flows)
	}
}

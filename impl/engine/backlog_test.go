package engine_test

import (
	"context"
	"encoding/binary"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/impl/engine"
	"github.com/sluicenet/sluice/impl/reno"
	"github.com/sluicenet/sluice/link/pipe"
)

// An eventfulClock calls a function once, the next time that it is looked at: in
// the middle of whatever the stack is doing, with the shard's lock held.
type eventfulClock struct {
	clock.Clock
	event func()
}

func (c *eventfulClock) Now() clock.Time {
	if f := c.event; f != nil {
		c.event = nil
		f()
	}
	return c.Clock.Now()
}

// A backlogTap keeps what a stack sends, and lets a test be the network.
type backlogTap struct {
	recv func([]link.Packet)
	mu   sync.Mutex
	sent int
}

func (l *backlogTap) Attach(recv func([]link.Packet)) error { l.recv = recv; return nil }
func (l *backlogTap) Attributes() link.Attributes {
	return link.Attributes{Name: "tap", Medium: link.IP, MTU: 1500}
}
func (l *backlogTap) Close() error      { return nil }
func (l *backlogTap) Stats() link.Stats { return link.Stats{} }
func (l *backlogTap) Send(ps []link.Packet) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent += len(ps)
	return nil
}

// ping is an ICMP echo request from 10.1.0.2 to 10.1.0.1.
func ping() []byte {
	b := []byte{0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0, 0, 10, 1, 0, 2, 10, 1, 0, 1, 8, 0, 0xf7, 0xff, 0, 0, 0, 0}
	var sum uint32
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	binary.BigEndian.PutUint16(b[10:], ^uint16(sum+sum>>16))
	return b
}

// A packet that comes while somebody only looks at a shard is not left lying in
// the backlog until something else happens.
func TestNothingStaysInTheBacklog(t *testing.T) {
	clk := &eventfulClock{Clock: clock.NewReal()}
	l := &backlogTap{}
	s, err := engine.New(engine.Config{
		Link: l, Clock: clk, Addresses: []netip.Prefix{addrA4}, Shards: 1,
		Controllers: []cc.Factory{reno.Factory},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Disconnect(context.Background())
	// The handler is gone before anything is looked at: it looks at the clock too.
	served := make(chan struct{})
	if _, err := s.Listen(7, nil, func(context.Context, api.Flow) { close(served) }); err != nil {
		t.Fatal(err)
	}
	f, err := s.Dial(context.Background(), netip.AddrPortFrom(addrA4.Addr(), 7), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Abort()
	<-served

	for name, look := range map[string]func(){
		"Flow.Info": func() { f.Info() },
		"Flows": func() {
			for range s.Flows() {
			}
		},
		"a Dial that fails": func() { s.Dial(context.Background(), netip.MustParseAddrPort("224.0.0.1:7"), nil) },
		"Configure":         func() { f.Configure(func(c *api.FlowConfig) { c.MSS++ }) },
	} {
		l.sent = 0
		happened := false
		clk.event = func() {
			happened = true
			l.recv([]link.Packet{{Header: ping()}})
		}
		look()
		if !happened {
			t.Errorf("%s does not look at the clock; the test shows nothing", name)
		}
		if l.sent != 1 {
			t.Errorf("a ping during %s has %d answers", name, l.sent)
		}
	}
}

// A slowLink holds back what is sent while it is told to.
type slowLink struct {
	link.Link
	hold   atomic.Bool
	closed atomic.Bool
	resume chan struct{}
}

func (l *slowLink) Send(ps []link.Packet) error {
	if l.hold.Load() {
		<-l.resume
	}
	return l.Link.Send(ps)
}

func (l *slowLink) Close() error {
	l.closed.Store(true)
	return l.Link.Close()
}

// The peer has closed, so that Disconnect is over; but the acknowledgement of its FIN
// is still on its way to the link, in the hands of whoever brought the FIN. The link
// is not closed before it has left, or the peer could not end its flow.
func TestDisconnectSendsTheLastACK(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &slowLink{resume: make(chan struct{})}
		near, far := pipe.New(pipe.Config{})
		slow.Link = near
		w := newWorld(t, clock.NewReal(), slow, far, nil)
		ctx := context.Background()
		accepted := make(chan api.Flow, 1)
		if _, err := w.b.Listen(80, nil, func(_ context.Context, f api.Flow) { accepted <- f }); err != nil {
			t.Fatal(err)
		}
		if _, err := w.a.Dial(ctx, netip.AddrPortFrom(addrB4.Addr(), 80), nil); err != nil {
			t.Fatal(err)
		}
		peer := <-accepted
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			w.a.Disconnect(ctx)
		}()
		synctest.Wait() // its FIN has been sent and acknowledged
		slow.hold.Store(true)
		closed := make(chan error, 1)
		go func() { closed <- peer.Close(ctx) }()
		synctest.Wait()
		if slow.closed.Load() {
			t.Error("the link was closed before the last ACK had left")
		}
		slow.hold.Store(false)
		close(slow.resume)
		if err := <-closed; err != nil {
			t.Errorf("the peer's close: %v", err)
		}
		<-gone
		if !slow.closed.Load() {
			t.Error("the link is still open")
		}
		w.b.Disconnect(ctx)
	})
}

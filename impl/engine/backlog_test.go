package engine_test

import (
	"context"
	"encoding/binary"
	"net/netip"
	"sync"
	"testing"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/impl/engine"
	"github.com/sluicenet/sluice/impl/reno"
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
	if _, err := s.Listen(7, nil, echo); err != nil {
		t.Fatal(err)
	}
	f, err := s.Dial(context.Background(), netip.AddrPortFrom(addrA4.Addr(), 7), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Abort()

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

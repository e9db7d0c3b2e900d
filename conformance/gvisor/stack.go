package main

import (
	"context"
	"fmt"
	"iter"
	"net/netip"
	"runtime"
	"slices"
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/conformance"
)

// stack is gVisor's as an api.Stack in the suite's time.
//
// gVisor processes segments in a goroutine of its own that the suite's clock knows
// nothing of. So that time cannot pass meanwhile, everything that enters gVisor (a
// packet, a call, a timer) ends with settle, which returns when that goroutine has
// nothing left to do. It is the only one: there are as many as GOMAXPROCS is when the
// stack is made, so it is 1 then; and gVisor's own Pause returns when its queue is
// empty and it waits. Nothing is guessed from how long something takes.
type stack struct {
	env   *conformance.Env
	clock *stackClock
	link  *endpoint
	g     *gstack.Stack

	mu        sync.Mutex
	flows     []*flow
	listeners map[uint16]*listener
	waiting   []clock.Waiter               // of blocked calls, in order
	unacked   map[tcp.TCPEndpointID]uint32 // SND.UNA
	gone      bool
	ctx       context.Context // of handlers
	cancel    context.CancelCauseFunc

	settling sync.Mutex
	stopped  bool // gVisor runs no more; guarded by settling
}

var _ api.Stack = (*stack)(nil)

const nic = 1

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

var processors sync.Mutex // guards GOMAXPROCS while it is changed

func newStack(env *conformance.Env) (*stack, error) {
	s := &stack{env: env, link: &endpoint{link: env.Link, iss: map[ends]uint32{}}, listeners: map[uint16]*listener{}, unacked: map[tcp.TCPEndpointID]uint32{}}
	s.clock = &stackClock{env.Clock, s.settle}
	s.ctx, s.cancel = env.Clock.WithCancel(context.Background())
	processors.Lock()
	n := runtime.GOMAXPROCS(1)
	s.g = gstack.New(gstack.Options{
		NetworkProtocols: []gstack.NetworkProtocolFactory{
			ipv4.NewProtocol,
			ipv6.NewProtocolWithOptions(ipv6.Options{}), // no neighbours to solicit
		},
		TransportProtocols: []gstack.TransportProtocolFactory{tcp.NewProtocolProbe(s.probe)},
		Clock:              s.clock,
	})
	runtime.GOMAXPROCS(n)
	processors.Unlock()
	sack, cc, moderate := tcpip.TCPSACKEnabled(true), tcpip.CongestionControlOption("cubic"), tcpip.TCPModerateReceiveBufferOption(true)
	for _, o := range []tcpip.SettableTransportProtocolOption{&sack, &cc, &moderate} {
		if err := s.g.SetTransportProtocolOption(tcp.ProtocolNumber, o); err != nil {
			return nil, fmt.Errorf("gVisor: option %T: %v", o, err)
		}
	}
	if err := s.g.CreateNIC(nic, s.link); err != nil {
		return nil, fmt.Errorf("gVisor: %v", err)
	}
	var routes []tcpip.Route
	for _, p := range env.Addresses {
		proto := protocol(p.Addr())
		a := tcpip.ProtocolAddress{Protocol: proto, AddressWithPrefix: tcpip.AddressWithPrefix{
			Address: tcpip.AddrFromSlice(p.Addr().AsSlice()), PrefixLen: p.Bits()}}
		if err := s.g.AddProtocolAddress(nic, a, gstack.AddressProperties{}); err != nil {
			return nil, fmt.Errorf("gVisor: address %v: %v", p, err)
		}
		routes = append(routes, tcpip.Route{Destination: a.AddressWithPrefix.Subnet(), NIC: nic})
	}
	for _, gw := range env.Gateways {
		destination := header.IPv4EmptySubnet
		if gw.Is6() {
			destination = header.IPv6EmptySubnet
		}
		routes = append(routes, tcpip.Route{Destination: destination, Gateway: tcpip.AddrFromSlice(gw.AsSlice()), NIC: nic})
	}
	s.g.SetRouteTable(routes)
	s.settle()
	return s, env.Link.Attach(func(batch []link.Packet) {
		s.link.receive(batch)
		s.settle()
	})
}

func protocol(a netip.Addr) tcpip.NetworkProtocolNumber {
	if a.Unmap().Is4() {
		return ipv4.ProtocolNumber
	}
	return ipv6.ProtocolNumber
}

// settle waits until gVisor has come to rest, and tells whoever waits for something.
func (s *stack) settle() {
	s.settling.Lock()
	defer s.settling.Unlock()
	for !s.stopped {
		s.g.Pause()
		s.g.Resume()
		s.mu.Lock()
		flows := slices.Clone(s.flows)
		listeners := make([]*listener, 0, len(s.listeners))
		for _, l := range s.listeners {
			listeners = append(listeners, l)
		}
		s.mu.Unlock()
		again := false
		for _, f := range flows {
			f.update() // first: gVisor tells an error once
			again = f.flush() || again
		}
		for _, l := range listeners {
			again = l.accept() || again
		}
		if !again {
			break
		}
	}
	s.mu.Lock()
	waiting := s.waiting
	s.waiting = nil
	s.mu.Unlock()
	for _, w := range waiting {
		w.Wake()
	}
}

// wait blocks until done, which is asked whenever something may have changed.
func (s *stack) wait(ctx context.Context, done func() bool) error {
	w := s.env.Clock.NewWaiter()
	for !done() {
		s.mu.Lock()
		s.waiting = append(s.waiting, w)
		s.mu.Unlock()
		if err := w.Park(ctx); err != nil {
			return err
		}
	}
	return nil
}

// probe keeps what gVisor tells of a connection after each of its segments.
func (s *stack) probe(state *tcp.TCPEndpointState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unacked[state.ID] = uint32(state.Sender.SndUna)
}

func (s *stack) disconnected() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gone
}

func (s *stack) Dial(ctx context.Context, dst netip.AddrPort, cfg *api.FlowConfig) (api.Flow, error) {
	c := merged(cfg, s.env.Flow)
	fail := func(err error) (api.Flow, error) { return nil, failed("dial", c.Local, dst, err) }
	if s.disconnected() {
		return fail(api.ErrDisconnected)
	}
	if ctx.Err() != nil {
		return fail(context.Cause(ctx))
	}
	if a := dst.Addr(); !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a == broadcast || dst.Port() == 0 {
		return fail(api.ErrInvalidAddress)
	}
	q := &waiter.Queue{}
	ep, gerr := s.g.NewEndpoint(tcp.ProtocolNumber, protocol(dst.Addr()), q)
	if gerr != nil {
		return fail(cause(gerr))
	}
	f := &flow{s: s, ep: ep, dst: dst}
	if err := f.configure(c); err != nil {
		ep.Close()
		return fail(err)
	}
	if c.Local.Port() != 0 || c.Local.Addr().IsValid() && !c.Local.Addr().IsUnspecified() {
		ep.SocketOptions().SetReuseAddress(true)
		if err := ep.Bind(fullAddress(c.Local)); err != nil {
			ep.Close()
			return fail(cause(err))
		}
	}
	gerr = ep.Connect(fullAddress(dst))
	if _, ok := gerr.(*tcpip.ErrConnectStarted); !ok && gerr != nil {
		ep.Close()
		return fail(cause(gerr))
	}
	f.locate()
	s.add(f)
	s.settle()
	err := s.wait(ctx, func() bool { return f.opened() || f.ended() || s.disconnected() })
	switch {
	case err != nil:
	case f.opened():
		// gVisor arms its keepalive timer when a segment comes or an option is set.
		f.ep.SocketOptions().SetKeepAlive(c.Keepalive != nil)
		return f, nil
	case f.ended():
		if err = f.CloseReason(); err == nil || err == api.ErrReset {
			err = api.ErrRefused
		}
	default:
		err = api.ErrDisconnected
	}
	f.drop()
	return fail(err)
}

func (s *stack) add(f *flow) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flows = append(s.flows, f)
}

func (s *stack) remove(f *flow) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.flows, f); i >= 0 {
		s.flows = slices.Delete(s.flows, i, i+1)
	}
}

// Disconnect implements api.Stack.
func (s *stack) Disconnect(ctx context.Context) {
	s.mu.Lock()
	first := !s.gone
	s.gone = true
	flows := slices.Clone(s.flows)
	listeners := s.listeners
	s.listeners = map[uint16]*listener{}
	s.mu.Unlock()
	if !first {
		return
	}
	for _, l := range listeners {
		l.ep.Close()
	}
	for _, f := range flows {
		if f.opened() {
			_ = f.CloseWrite()
		} else {
			f.end(api.ErrDisconnected)
			f.drop()
		}
	}
	s.settle()
	ctx, stop := s.env.Clock.WithTimeout(ctx, disconnectGrace)
	_ = s.wait(ctx, func() bool {
		return !slices.ContainsFunc(flows, func(f *flow) bool { return !f.closed() })
	})
	stop()
	for _, f := range flows {
		f.end(api.ErrDisconnected)
		f.drop()
	}
	s.settle()
	s.cancel(api.ErrDisconnected)
	s.env.Link.Close()
	s.settling.Lock()
	defer s.settling.Unlock()
	s.stopped = true
	s.g.Close()
	s.g.Wait()
}

func (s *stack) Info() api.StackInfo {
	st := s.g.Stats()
	i := api.StackInfo{
		Backend: "gvisor", Addresses: s.env.Addresses,
		PacketsIn: st.IP.PacketsReceived.Value(), PacketsOut: st.IP.PacketsSent.Value(),
		SegmentsIn: st.TCP.ValidSegmentsReceived.Value(), SegmentsOut: st.TCP.SegmentsSent.Value(),
		Retransmits: st.TCP.Retransmits.Value(), ResetsIn: st.TCP.ResetsReceived.Value(), ResetsOut: st.TCP.ResetsSent.Value(),
		Opened: st.TCP.ActiveConnectionOpenings.Value(), Accepted: st.TCP.PassiveConnectionOpenings.Value(),
		Failed: st.TCP.FailedConnectionAttempts.Value(),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i.Listeners = int64(len(s.listeners))
	for _, f := range s.flows {
		switch f.state() {
		case api.StateTimeWait:
			i.TimeWait++
		case api.StateClosed:
		case api.StateSynSent, api.StateSynReceived:
			i.HalfOpen++
		default:
			i.Flows++
		}
	}
	return i
}

func (s *stack) Flows() iter.Seq[api.Info] {
	return func(yield func(api.Info) bool) {
		s.mu.Lock()
		flows := slices.Clone(s.flows)
		var ports []uint16
		for p := range s.listeners {
			ports = append(ports, p)
		}
		s.mu.Unlock()
		for _, f := range flows {
			if i := f.Info(); i.State != api.StateClosed && !yield(i) {
				return
			}
		}
		slices.Sort(ports)
		for _, p := range ports {
			if !yield(api.Info{State: api.StateListen, Src: netip.AddrPortFrom(netip.IPv6Unspecified(), p)}) {
				return
			}
		}
	}
}

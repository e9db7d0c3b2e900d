package main

import (
	"context"
	"fmt"
	"net"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	gpipe "gvisor.dev/gvisor/pkg/tcpip/link/pipe"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// gvisorOptions says how gVisor is set up: as its users tune it.
const gvisorOptions = "gVisor v0.0.0-20260905035102-160fafc42237: SACK, CUBIC, send buffer <= 6 MiB, receive buffer <= 8 MiB, receive moderation, TIME_WAIT 1 s and reused, RACK as by default, no host firewall; links: its pipe, its channel, and endpoints written for it (memory without a queue, also with its GSO in software; TUN from the caller's goroutine, 64 KB host GSO, with one queue and with one for each CPU)"

// newGVisor makes a stack of gVisor's on an endpoint.
func newGVisor(ep stack.LinkEndpoint, address [4]byte) (*stack.Stack, error) {
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol},
	})
	set := func(o tcpip.SettableTransportProtocolOption) error {
		if err := s.SetTransportProtocolOption(tcp.ProtocolNumber, o); err != nil {
			return fmt.Errorf("gVisor: option %T: %v", o, err)
		}
		return nil
	}
	sack, cc, moderate := tcpip.TCPSACKEnabled(true), tcpip.CongestionControlOption("cubic"), tcpip.TCPModerateReceiveBufferOption(true)
	reuse, timeWait := tcpip.TCPTimeWaitReuseGlobal, tcpip.TCPTimeWaitTimeoutOption(1e9)
	for _, o := range []tcpip.SettableTransportProtocolOption{
		&sack, &cc, &moderate, &reuse, &timeWait,
		&tcpip.TCPSendBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: 1 << 20, Max: sendBuffer},
		&tcpip.TCPReceiveBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: 1 << 20, Max: receiveBuffer},
	} {
		if err := set(o); err != nil {
			return nil, err
		}
	}
	if err := s.SetPortRange(1024, 65535); err != nil {
		return nil, fmt.Errorf("gVisor: %v", err)
	}
	const nic = 1
	if err := s.CreateNIC(nic, ep); err != nil {
		return nil, fmt.Errorf("gVisor: %v", err)
	}
	a := tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: tcpip.AddressWithPrefix{Address: tcpip.AddrFrom4(address), PrefixLen: 16}}
	if err := s.AddProtocolAddress(nic, a, stack.AddressProperties{}); err != nil {
		return nil, fmt.Errorf("gVisor: %v", err)
	}
	s.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nic}})
	return s, nil
}

type gvisorLink int

const (
	gvisorPipe    gvisorLink = iota // its own pipe
	gvisorChannel                   // its own channel, with a goroutine that carries packets across
	gvisorDirect                    // ours: as its pipe, and with super-packets
)

// gvisorNetwork is one or two stacks of gVisor's.
type gvisorNetwork struct {
	client, server *stack.Stack
	kernelNetwork  // the server, if that is the kernel
}

func newGVisorPair(l memLink, kind gvisorLink) (network, error) {
	var a, b stack.LinkEndpoint
	n := &gvisorNetwork{}
	switch kind {
	case gvisorPipe:
		a, b = gpipe.New("", "", uint32(l.mtu))
	case gvisorChannel:
		ca, cb := channel.New(4096, uint32(l.mtu), ""), channel.New(4096, uint32(l.mtu), "")
		if l.gso {
			for _, c := range []*channel.Endpoint{ca, cb} {
				c.SupportedGSOKind = stack.HostGSOSupported
				c.LinkEPCapabilities = stack.CapabilityTXChecksumOffload | stack.CapabilityRXChecksumOffload
			}
		}
		go carry(ca, cb)
		go carry(cb, ca)
		a, b = ca, cb
	case gvisorDirect:
		da, db := &directEndpoint{link: l}, &directEndpoint{link: l}
		da.peer, db.peer = db, da
		a, b = da, db
	}
	var err error
	if n.client, err = newGVisor(a, clientNet.Addr().As4()); err != nil {
		return nil, err
	}
	if n.server, err = newGVisor(b, serverNet.Addr().As4()); err != nil {
		return nil, err
	}
	return n, nil
}

// carry moves packets from one channel endpoint to another.
func carry(from, to *channel.Endpoint) {
	for {
		p := from.ReadContext(context.Background())
		if p == nil {
			return
		}
		in := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: p.ToBuffer()})
		p.DecRef()
		to.InjectInbound(ipv4.ProtocolNumber, in)
		in.DecRef()
	}
}

func newGVisorTun(offload bool, queues int) (network, error) {
	ep, err := newTunEndpoint(offload, queues)
	if err != nil {
		return nil, err
	}
	n := &gvisorNetwork{}
	if n.client, err = newGVisor(ep, clientNet.Addr().As4()); err != nil {
		return nil, err
	}
	return n, nil
}

func (n *gvisorNetwork) dial(ctx context.Context, port int) (net.Conn, error) {
	return gonet.DialContextTCP(ctx, n.client, tcpip.FullAddress{Addr: tcpip.AddrFrom4(serverNet.Addr().As4()), Port: uint16(port)}, ipv4.ProtocolNumber)
}

func (n *gvisorNetwork) listen(port int) (net.Listener, error) {
	if n.server == nil {
		return n.kernelNetwork.listen(port)
	}
	return gonet.ListenTCP(n.server, tcpip.FullAddress{Port: uint16(port)}, ipv4.ProtocolNumber)
}

func (n *gvisorNetwork) raw() bool { return false }

func (n *gvisorNetwork) retransmits() int64 {
	r := n.client.Stats().TCP.Retransmits.Value()
	if n.server != nil {
		r += n.server.Stats().TCP.Retransmits.Value()
	}
	return int64(r)
}

// endpointBase has what the endpoints written here have in common.
type endpointBase struct{ dispatcher stack.NetworkDispatcher }

func (e *endpointBase) Attach(d stack.NetworkDispatcher)      { e.dispatcher = d }
func (e *endpointBase) IsAttached() bool                      { return e.dispatcher != nil }
func (*endpointBase) Wait()                                   {}
func (*endpointBase) MaxHeaderLength() uint16                 { return 0 }
func (*endpointBase) LinkAddress() tcpip.LinkAddress          { return "" }
func (*endpointBase) SetLinkAddress(tcpip.LinkAddress)        {}
func (*endpointBase) SetMTU(uint32)                           {}
func (*endpointBase) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareNone }
func (*endpointBase) AddHeader(*stack.PacketBuffer)           {}
func (*endpointBase) ParseHeader(*stack.PacketBuffer) bool    { return true }
func (*endpointBase) SetOnCloseAction(func())                 {}

// directEndpoint hands packets to its peer, in the sender's goroutine, without
// the locks of gVisor's own pipe.
type directEndpoint struct {
	endpointBase
	link memLink
	peer *directEndpoint
}

var (
	_ stack.LinkEndpoint = (*directEndpoint)(nil)
	_ stack.GSOEndpoint  = (*directEndpoint)(nil)
)

func (e *directEndpoint) MTU() uint32        { return uint32(e.link.mtu) }
func (e *directEndpoint) Close()             {}
func (e *directEndpoint) GSOMaxSize() uint32 { return 65535 }

func (e *directEndpoint) Capabilities() stack.LinkEndpointCapabilities {
	if e.link.gso {
		return stack.CapabilityTXChecksumOffload | stack.CapabilityRXChecksumOffload
	}
	return 0
}

func (e *directEndpoint) SupportedGSO() stack.SupportedGSO {
	switch {
	case e.link.gso:
		return stack.HostGSOSupported
	case e.link.software:
		return stack.GVisorGSOSupported
	}
	return stack.GSONotSupported
}

func (e *directEndpoint) WritePackets(pkts stack.PacketBufferList) (int, tcpip.Error) {
	for _, p := range pkts.AsSlice() {
		in := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: p.ToBuffer()})
		e.peer.dispatcher.DeliverNetworkPacket(p.NetworkProtocolNumber, in)
		in.DecRef()
	}
	return pkts.Len(), nil
}

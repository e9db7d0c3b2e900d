package main

import (
	"net/netip"
	"sync"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/link"
)

// endpoint is the suite's link as gVisor's.
type endpoint struct {
	link       link.Link
	dispatcher gstack.NetworkDispatcher

	mu  sync.Mutex
	iss map[ends]uint32
}

type ends struct{ src, dst netip.AddrPort }

var _ gstack.LinkEndpoint = (*endpoint)(nil)

func (e *endpoint) MTU() uint32                                 { return uint32(e.link.Attributes().MTU) }
func (e *endpoint) Attach(d gstack.NetworkDispatcher)           { e.dispatcher = d }
func (e *endpoint) IsAttached() bool                            { return e.dispatcher != nil }
func (*endpoint) Capabilities() gstack.LinkEndpointCapabilities { return 0 }
func (*endpoint) Close()                                        {}
func (*endpoint) Wait()                                         {}
func (*endpoint) MaxHeaderLength() uint16                       { return 0 }
func (*endpoint) LinkAddress() tcpip.LinkAddress                { return "" }
func (*endpoint) SetLinkAddress(tcpip.LinkAddress)              {}
func (*endpoint) SetMTU(uint32)                                 {}
func (*endpoint) ARPHardwareType() header.ARPHardwareType       { return header.ARPHardwareNone }
func (*endpoint) AddHeader(*gstack.PacketBuffer)                {}
func (*endpoint) ParseHeader(*gstack.PacketBuffer) bool         { return true }
func (*endpoint) SetOnCloseAction(func())                       {}

func (e *endpoint) WritePackets(pkts gstack.PacketBufferList) (int, tcpip.Error) {
	for _, p := range pkts.AsSlice() {
		raw := p.ToBuffer()
		b := api.NewBuffer(raw.Flatten())
		raw.Release()
		e.note(p, b.Bytes())
		if err := e.link.Send([]link.Packet{{Payload: []api.Buffer{*b}}}); err != nil {
			return 0, &tcpip.ErrNetworkUnreachable{}
		}
	}
	return pkts.Len(), nil
}

// note keeps the initial sequence number of a connection, which gVisor does not tell:
// with it SND.UNA says how many bytes have been acknowledged.
func (e *endpoint) note(p *gstack.PacketBuffer, raw []byte) {
	if p.TransportProtocolNumber != header.TCPProtocolNumber {
		return
	}
	var src, dst tcpip.Address
	if p.NetworkProtocolNumber == header.IPv4ProtocolNumber {
		h := header.IPv4(raw)
		src, dst, raw = h.SourceAddress(), h.DestinationAddress(), h[h.HeaderLength():]
	} else {
		h := header.IPv6(raw)
		src, dst, raw = h.SourceAddress(), h.DestinationAddress(), h[header.IPv6MinimumSize:]
	}
	h := header.TCP(raw)
	if h.Flags()&header.TCPFlagSyn == 0 {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.iss[ends{
		addrPort(tcpip.FullAddress{Addr: src, Port: h.SourcePort()}),
		addrPort(tcpip.FullAddress{Addr: dst, Port: h.DestinationPort()}),
	}] = h.SequenceNumber()
}

func (e *endpoint) initial(src, dst netip.AddrPort) uint32 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.iss[ends{src, dst}]
}

// receive hands a batch to gVisor.
func (e *endpoint) receive(batch []link.Packet) {
	for i := range batch {
		raw := batch[i].AppendTo(nil)
		batch[i].Release()
		proto := header.IPv4ProtocolNumber
		if len(raw) > 0 && raw[0]>>4 == 6 {
			proto = header.IPv6ProtocolNumber
		}
		if d := e.dispatcher; d != nil {
			p := gstack.NewPacketBuffer(gstack.PacketBufferOptions{Payload: buffer.MakeWithData(raw)})
			d.DeliverNetworkPacket(proto, p)
			p.DecRef()
		}
	}
}

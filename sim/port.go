package sim

import (
	"fmt"

	"github.com/sluicenet/sluice/api"
)

// A Port is where packets come into the network from outside and leave it: a
// device of a real machine, say. A link joins two ports, and carries whatever it is
// given, in bytes nobody here has made.
type Port struct {
	*node
	deliver func(due Time, packet []byte)
}

// AddPort adds a port. deliver is called with each packet that arrives at it, when
// it is due; the packet is valid during the call.
func (n *Network) AddPort(name string, deliver func(due Time, packet []byte)) (*Port, error) {
	v, err := n.addNode(name)
	if err != nil {
		return nil, err
	}
	v.port = &Port{node: v, deliver: deliver}
	return v.port, nil
}

// Send puts a packet onto the port's link at the present instant, which the caller
// has let come about with Run. It copies the packet.
func (p *Port) Send(packet []byte) {
	if len(packet) == 0 || len(p.ports) == 0 {
		return
	}
	n, out := p.net, p.ports[0]
	pkt := n.packets.get()
	pkt.payload = append(pkt.inline[:0], *api.CopyBuffer(packet))
	pkt.size, pkt.from, pkt.to = int64(len(packet)), p.node, out.to
	n.sent++
	n.hops++
	pkt.number = n.sent
	if out.waiting.len()+out.flight.len()+len(out.late) >= maxCrossing/out.link.mtu {
		out.stats.Offered++
		out.stats.OfferedBytes += uint64(pkt.size)
		out.drop(n.now, pkt, DropQueue)
		return
	}
	out.send(n.now, pkt)
}

// maxCrossing bounds the memory, in bytes, of what comes through a port and is on its
// way: where neither a rate nor a sender that waits for answers does.
const maxCrossing = 128 << 20

// receive hands a packet to the outside.
func (p *Port) receive(now Time, pkt *packet) {
	if len(pkt.payload) == 1 && pkt.headers == 0 {
		p.deliver(now, pkt.payload[0].Bytes())
	} else {
		p.deliver(now, pkt.appendTo(nil))
	}
	p.net.packets.put(pkt)
}

// checkPorts refuses links of ports that lead to something else: nodes forward and
// answer by addresses of the network's own, which are not those of such packets.
func checkPorts(a, b *node) error {
	if a.port == nil && b.port == nil {
		return nil
	}
	if a.port == nil || b.port == nil {
		return fmt.Errorf("a port's link leads to another port")
	}
	if len(a.ports) > 0 || len(b.ports) > 0 {
		return fmt.Errorf("a port has one link")
	}
	return nil
}

// Next returns the instant of the next event, or [Never] if there is none.
func (n *Network) Next() Time {
	if len(n.events.s) == 0 {
		return Never
	}
	return n.events.s[0].at
}

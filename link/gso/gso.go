// Package gso gives a link that carries plain packets only an edge in software at
// which super-packets are cut into packets on their way out (GSO), and trains of
// received packets merged into super-packets (GRO). The stack works with super-packets
// then, whose cost is shared by many segments.
//
// Nothing is lost or invented by it: a super-packet merged here has headers that all
// of its packets had, so that cutting it up gives the packets again.
package gso

import (
	"sync"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/link"
)

// maxPacket is the largest super-packet, as an IP packet.
const maxPacket = 65535

// Wrap returns a link that does what l does, takes super-packets and unfinished
// checksums, and merges what arrives within one batch. Links that take super-packets
// themselves are returned as they are.
func Wrap(l link.Link) link.Link {
	at := l.Attributes()
	if at.MaxGSO > 0 {
		return l
	}
	e := &edge{Link: l}
	if at.Medium == link.Ethernet {
		e.l2 = 14
	}
	e.cutters.New = func() any { return &cutter{l2: e.l2, mtu: at.MTU} }
	e.mergers.New = func() any { return &merger{l2: e.l2} }
	return e
}

// An edge is a link with that edge.
type edge struct {
	link.Link
	l2      int // bytes before the IP header
	cutters sync.Pool
	mergers sync.Pool
}

// Attributes implements [link.Link].
func (e *edge) Attributes() link.Attributes {
	a := e.Link.Attributes()
	a.MaxGSO, a.TxChecksum = maxPacket, true
	return a
}

// Attach implements [link.Link].
func (e *edge) Attach(recv func(batch []link.Packet)) error {
	if recv == nil {
		return e.Link.Attach(nil) // which says what is wrong
	}
	return e.Link.Attach(func(batch []link.Packet) {
		if len(batch) == 1 { // as requests and answers come
			recv(batch)
			return
		}
		m := e.mergers.Get().(*merger)
		recv(m.merge(batch))
		m.reset()
		e.mergers.Put(m)
	})
}

// Send implements [link.Link]. What makes no sense as a super-packet is given to the
// link as it is, which drops and counts it.
func (e *edge) Send(batch []link.Packet) error {
	plain := true
	for i := range batch {
		o := &batch[i].Offload
		plain = plain && o.GSOSize == 0 && !o.NeedsChecksum
	}
	if plain {
		return e.Link.Send(batch)
	}
	c := e.cutters.Get().(*cutter)
	for i := range batch {
		c.add(&batch[i])
	}
	err := e.Link.Send(c.packets)
	c.reset()
	e.cutters.Put(c)
	return err
}

// pieces walks over the payload of a packet. The buffers that it returns are not
// counted references: they are good for as long as the packet's own.
type pieces struct {
	rest []api.Buffer
	at   int // bytes of rest[0] that are gone
}

// skip passes over n bytes.
func (p *pieces) skip(n int) {
	for n > 0 && len(p.rest) > 0 {
		k := min(n, p.rest[0].Len()-p.at)
		p.at += k
		n -= k
		if p.at == p.rest[0].Len() {
			p.rest, p.at = p.rest[1:], 0
		}
	}
}

// take appends the next n bytes to bs.
func (p *pieces) take(bs []api.Buffer, n int) []api.Buffer {
	for n > 0 && len(p.rest) > 0 {
		b := p.rest[0]
		k := min(n, b.Len()-p.at)
		b.Trim(p.at, p.at+k)
		if k > 0 {
			bs = append(bs, b)
		}
		p.skip(k)
		if k == 0 {
			p.rest, p.at = p.rest[1:], 0
		}
		n -= k
	}
	return bs
}

package sim

import (
	"encoding/binary"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// maxHeader is room for the longest IP and TCP headers.
const maxHeader = wire.IPv4MaxHeaderLen + 60

// A packet is one IP packet under way. Its payload is shared with the sender's
// queue; only what is changed is copied. Transport checksums are finished
// where somebody looks at the bytes: in captures, and before a bit is flipped.
type packet struct {
	header   [maxHeader]byte
	headers  int // bytes of header in use; 0 if everything is in payload
	payload  []api.Buffer
	inline   [2]api.Buffer
	offload  link.Offload
	size     int64
	number   uint64 // of all packets sent, from 1
	from, to *node
	queued   Time
	cross    *Cross // if it belongs to no TCP connection
}

// bytes returns the run of bytes in which the headers are.
func (p *packet) bytes() []byte {
	if p.headers > 0 {
		return p.header[:p.headers]
	}
	if len(p.payload) > 0 {
		return p.payload[0].Bytes()
	}
	return nil
}

// pool keeps packets for use again.
type pool struct{ free []*packet }

func (q *pool) get() *packet {
	if n := len(q.free); n > 0 {
		p := q.free[n-1]
		q.free = q.free[:n-1]
		return p
	}
	return new(packet)
}

func (q *pool) put(p *packet) {
	for i := range p.payload {
		p.payload[i].Release()
	}
	q.recycle(p)
}

// recycle is put of a packet whose payload has been taken.
func (q *pool) recycle(p *packet) {
	p.inline = [2]api.Buffer{}
	p.payload, p.headers, p.offload, p.cross = nil, 0, link.Offload{}, nil
	q.free = append(q.free, p)
}

// take fills a packet from one of a host's batch, whose payload it takes.
func (p *packet) take(l *link.Packet) {
	p.headers = copy(p.header[:], l.Header)
	if p.headers < len(l.Header) {
		// Longer than headers ever are: an ICMP message, whole.
		p.headers = 0
		c := l.Copy()
		l.Release()
		p.payload = append(p.inline[:0], c.Payload...)
	} else {
		p.payload = append(p.inline[:0], l.Payload...)
		l.Payload = nil
	}
	p.offload = l.Offload
	p.size = int64(p.headers)
	for i := range p.payload {
		p.size += int64(p.payload[i].Len())
	}
}

// clone returns a packet with the same contents.
func (q *pool) clone(p *packet) *packet {
	c := q.get()
	c.header, c.headers, c.offload, c.size = p.header, p.headers, p.offload, p.size
	c.number, c.from, c.to, c.cross = p.number, p.from, p.to, p.cross
	c.payload = c.inline[:0]
	for i := range p.payload {
		c.payload = append(c.payload, p.payload[i].View(0, p.payload[i].Len()))
	}
	return c
}

// appendTo appends the packet's bytes to b, with a finished checksum.
func (p *packet) appendTo(b []byte) []byte {
	start := len(b)
	b = append(b, p.header[:p.headers]...)
	for i := range p.payload {
		b = append(b, p.payload[i].Bytes()...)
	}
	if o := &p.offload; o.NeedsChecksum {
		t := b[start+int(o.ChecksumStart):]
		var sum wire.Checksum
		sum.Add(t)
		binary.BigEndian.PutUint16(t[o.ChecksumOffset:], sum.Value())
	}
	return b
}

// flatten puts all bytes into one buffer of the packet's own.
func (p *packet) flatten() []byte {
	buf := api.Alloc(int(p.size))
	p.appendTo(buf.Bytes()[:0])
	for i := range p.payload {
		p.payload[i].Release()
	}
	p.inline = [2]api.Buffer{*buf}
	p.payload, p.headers, p.offload = p.inline[:1], 0, link.Offload{}
	return p.payload[0].Bytes()
}

// ecn returns the ECN field of the IP header.
func (p *packet) ecn() uint8 {
	b := p.bytes()
	switch {
	case len(b) >= wire.IPv4MinHeaderLen && b[0]>>4 == 4:
		return b[1] & 3
	case len(b) >= wire.IPv6HeaderLen && b[0]>>4 == 6:
		return b[1] >> 4 & 3
	}
	return 0
}

// mark sets "congestion experienced", and reports whether the packet can be
// marked: whether its sender speaks ECN (RFC 3168, section 5).
func (p *packet) mark() bool {
	if p.ecn() == 0 {
		return false
	}
	if p.headers == 0 {
		p.flatten() // the bytes may be shared
	}
	b := p.bytes()
	if b[0]>>4 == 4 {
		old := binary.BigEndian.Uint16(b)
		b[1] |= 3
		updateChecksum(b[10:], old, binary.BigEndian.Uint16(b))
	} else {
		b[1] |= 3 << 4
	}
	return true
}

// hop takes one from the time to live, and reports whether any is left.
func (p *packet) hop() bool {
	b := p.bytes()
	if p.headers == 0 {
		b = p.flatten()
	}
	if b[0]>>4 == 4 {
		if b[8] <= 1 {
			return false
		}
		old := binary.BigEndian.Uint16(b[8:])
		b[8]--
		updateChecksum(b[10:], old, binary.BigEndian.Uint16(b[8:]))
		return true
	}
	if b[7] <= 1 {
		return false
	}
	b[7]--
	return true
}

// updateChecksum changes the checksum at c for a word of the header that has
// changed (RFC 1624, equation 3).
func updateChecksum(c []byte, old, new uint16) {
	s := uint32(^binary.BigEndian.Uint16(c)) + uint32(^old) + uint32(new)
	s = s&0xffff + s>>16
	s = s&0xffff + s>>16
	binary.BigEndian.PutUint16(c, ^uint16(s))
}

// A PacketInfo tells what a packet is.
type PacketInfo struct {
	Number           uint64 // of all packets sent in the network, from 1
	From, To         string // hosts
	SrcPort, DstPort uint16 // 0 if it is not TCP
	Seq, Ack         uint32
	Flags            wire.Flags
	Size             int64 // of the whole packet
	Payload          int64 // of TCP
}

// tcpView is what impairments have to know about a packet.
type tcpView struct {
	ok               bool
	srcPort, dstPort uint16
	seq, ack         uint32
	flags            wire.Flags
	payload          int64
}

func (p *packet) tcp() (v tcpView) {
	b := p.bytes()
	var t []byte
	switch {
	case len(b) >= wire.IPv4MinHeaderLen && b[0]>>4 == 4 && b[9] == wire.ProtoTCP:
		t = b[min(int(b[0]&15)*4, len(b)):]
	case len(b) >= wire.IPv6HeaderLen && b[0]>>4 == 6 && b[6] == wire.ProtoTCP:
		t = b[wire.IPv6HeaderLen:]
	}
	if len(t) < 20 {
		return v
	}
	v.ok = true
	v.srcPort, v.dstPort = binary.BigEndian.Uint16(t), binary.BigEndian.Uint16(t[2:])
	v.seq, v.ack = binary.BigEndian.Uint32(t[4:]), binary.BigEndian.Uint32(t[8:])
	v.flags = wire.Flags(binary.BigEndian.Uint16(t[12:]) & 0x1ff)
	v.payload = p.size - int64(len(b)-len(t)) - int64(t[12]>>4)*4
	return v
}

func (p *packet) info() PacketInfo {
	v := p.tcp()
	return PacketInfo{
		Number: p.number, From: p.from.name, To: p.to.name, SrcPort: v.srcPort, DstPort: v.dstPort,
		Seq: v.seq, Ack: v.ack, Flags: v.flags, Size: p.size, Payload: v.payload,
	}
}

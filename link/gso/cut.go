package gso

import (
	"encoding/binary"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/link"
)

// Numbers of TCP.
const (
	protoTCP = 6
	flagFIN  = 1 << 0
	flagPSH  = 1 << 3
	flagACK  = 1 << 4
	flagCWR  = 1 << 7
	maxHead  = 14 + 60 + 60
)

// A cutter makes plain packets. Its memory is used again.
type cutter struct {
	l2, mtu int
	packets []link.Packet
	headers []byte
	buffers []api.Buffer
}

func (c *cutter) reset() {
	clear(c.packets)
	clear(c.buffers)
	c.packets, c.headers, c.buffers = c.packets[:0], c.headers[:0], c.buffers[:0]
}

// header returns n bytes that stay where they are.
func (c *cutter) header(n int) []byte {
	if len(c.headers)+n > cap(c.headers) {
		c.headers = make([]byte, 0, max(2*cap(c.headers), 8192, n))
	}
	i := len(c.headers)
	c.headers = c.headers[:i+n]
	return c.headers[i : i+n : i+n]
}

// payload returns the next n bytes of p.
func (c *cutter) payload(p *pieces, n int) []api.Buffer {
	// The array may move: what was handed out before stays in the old one.
	i := len(c.buffers)
	c.buffers = p.take(c.buffers, n)
	return c.buffers[i:len(c.buffers):len(c.buffers)]
}

// add appends p, finished.
func (c *cutter) add(p *link.Packet) {
	head := p.Header
	if len(head) == 0 && len(p.Payload) > 0 {
		head = p.Payload[0].Bytes()
	}
	o := p.Offload
	n := p.Len()
	switch {
	case o.GSOSize == 0 && !o.NeedsChecksum:
		c.packets = append(c.packets, *p)
	case o.GSOSize == 0:
		c.finish(p, head, n)
	default:
		c.cut(p, head, n)
	}
}

// rest returns what follows the first n bytes of p.
func rest(p *link.Packet, n int) pieces {
	w := pieces{rest: p.Payload}
	if len(p.Header) > n { // payload, too, is there
		w.rest = append([]api.Buffer{*api.NewBuffer(p.Header[n:])}, p.Payload...)
		return w
	}
	w.skip(n - len(p.Header))
	return w
}

// finish sums a packet that is whole otherwise.
func (c *cutter) finish(p *link.Packet, head []byte, n int) {
	start := c.l2 + int(p.Offload.ChecksumStart)
	at := start + int(p.Offload.ChecksumOffset)
	if at+2 > len(head) {
		c.packets = append(c.packets, *p) // no such packet
		return
	}
	k := len(p.Header)
	if k == 0 {
		k = min(len(head), maxHead)
		k = max(k, at+2)
	}
	b := c.header(k)
	copy(b, head)
	w := rest(p, k)
	q := link.Packet{Header: b, Payload: c.payload(&w, n-k)}
	// The field holds the sum of the pseudo-header.
	setSum(b[start:], q.Payload, 0, at-start)
	c.packets = append(c.packets, q)
}

// setSum stores, in the field at, the checksum of head and payload with a sum of what
// is not there.
func setSum(head []byte, payload []api.Buffer, sum uint64, at int) {
	sum = add(sum, head, false)
	odd := len(head)%2 == 1
	for i := range payload {
		b := payload[i].Bytes()
		sum = add(sum, b, odd)
		odd = odd != (len(b)%2 == 1)
	}
	v := ^fold(sum)
	if v == 0 && at == 6 {
		v = 0xffff // UDP: 0 would say that there is none
	}
	binary.BigEndian.PutUint16(head[at:], v)
}

// cut makes packets of a super-packet.
func (c *cutter) cut(p *link.Packet, head []byte, n int) {
	tcp := c.l2 + int(p.Offload.ChecksumStart)
	size := int(p.Offload.GSOSize)
	refuse := func() { c.packets = append(c.packets, *p) }
	if !p.Offload.NeedsChecksum || len(head) < tcp+20 || tcp < c.l2+20 {
		refuse()
		return
	}
	v6 := head[c.l2]>>4 == 6
	if v6 && head[c.l2+6] != protoTCP || !v6 && head[c.l2+9] != protoTCP {
		refuse()
		return
	}
	k := tcp + int(head[tcp+12]>>4)*4
	if k < tcp+20 || k > len(head) || k-c.l2+size > c.mtu || v6 && tcp < c.l2+40 {
		refuse()
		return
	}
	seq := binary.BigEndian.Uint32(head[tcp+4:])
	id := binary.BigEndian.Uint16(head[c.l2+4:])
	w := rest(p, k)
	for off := 0; off == 0 || off < n-k; off += size {
		data := min(size, n-k-off)
		b := c.header(k)
		copy(b, head[:k])
		ip, t := b[c.l2:tcp], b[tcp:]
		if v6 {
			binary.BigEndian.PutUint16(ip[4:], uint16(k-c.l2-40+data))
		} else {
			binary.BigEndian.PutUint16(ip[2:], uint16(k-c.l2+data))
			binary.BigEndian.PutUint16(ip[4:], id+uint16(off/size))
			sumIPv4(ip)
		}
		binary.BigEndian.PutUint32(t[4:], seq+uint32(off))
		if off > 0 {
			t[13] &^= flagCWR // RFC 3168, section 6.1.2: once
		}
		if off+size < n-k {
			t[13] &^= flagFIN | flagPSH
		}
		t[16], t[17] = 0, 0
		q := link.Packet{Header: b, Payload: c.payload(&w, data)}
		setSum(t, q.Payload, pseudoHeader(ip, len(t)+data), 16)
		c.packets = append(c.packets, q)
	}
}

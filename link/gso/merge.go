package gso

import (
	"bytes"
	"encoding/binary"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/link"
)

// maxTrains is how many flows of one batch are followed; the one that began first
// makes room.
const maxTrains = 8

// A merger merges the packets of a batch. Its memory is used again.
type merger struct {
	l2      int
	out     []link.Packet
	trains  []train
	headers []byte
}

// A train is a super-packet that grows.
type train struct {
	at   int // its packet in out
	head []byte
	tcp  int // where in head the TCP header is
	next uint32
	size int // payload of its first packet
	len  int // bytes of the IP packet
	more bool
}

func (m *merger) reset() {
	clear(m.out)
	m.out, m.trains, m.headers = m.out[:0], m.trains[:0], m.headers[:0]
}

// merge returns the packets to be handed on, which may be in other places than in
// batch; those of one flow stay in order.
func (m *merger) merge(batch []link.Packet) []link.Packet {
	for i := range batch {
		p := &batch[i]
		head := p.Header
		if len(head) == 0 && len(p.Payload) > 0 {
			head = p.Payload[0].Bytes()
		}
		s, ok := m.parse(head, p)
		if !ok {
			// What cannot be told may belong to any flow: a fragment, say.
			m.trains = m.trains[:0]
			m.out = append(m.out, *p)
			continue
		}
		if m.extend(&s, p) {
			continue
		}
		m.out = append(m.out, *p)
		m.begin(&s)
	}
	return m.out
}

// A segment is a TCP segment that arrives in one packet.
type segment struct {
	head []byte // all headers
	tcp  int
	seq  uint32
	data int
	len  int // of the IP packet; what is beyond is padding
}

// parse reads a packet of TCP without IP options and extension headers.
func (m *merger) parse(b []byte, p *link.Packet) (s segment, ok bool) {
	o := &p.Offload
	if len(b) < m.l2+20 || o.GSOSize != 0 || o.NeedsChecksum {
		return s, false
	}
	if t := b[:m.l2]; m.l2 > 0 {
		if v := binary.BigEndian.Uint16(t[12:]); v != 0x0800 && v != 0x86dd {
			return s, false
		}
	}
	ip := b[m.l2:]
	switch {
	case ip[0] == 0x45:
		s.tcp, s.len = m.l2+20, int(binary.BigEndian.Uint16(ip[2:]))
		if ip[9] != protoTCP || ip[6]&0x3f|ip[7] != 0 || fold(add(0, ip[:20], false)) != 0xffff {
			return s, false
		}
	case ip[0]>>4 == 6 && len(ip) >= 40:
		s.tcp, s.len = m.l2+40, 40+int(binary.BigEndian.Uint16(ip[4:]))
		if ip[6] != protoTCP {
			return s, false
		}
	default:
		return s, false
	}
	if len(b) < s.tcp+20 {
		return s, false
	}
	k := s.tcp + int(b[s.tcp+12]>>4)*4
	if k < s.tcp+20 || k > len(b) || k-m.l2 > s.len || s.len > p.Len()-m.l2 {
		return s, false
	}
	s.head, s.data = b[:k], s.len-(k-m.l2)
	s.seq = binary.BigEndian.Uint32(b[s.tcp+4:])
	return s, true
}

// sound reports whether the segment may be part of a train: data with ACK and perhaps
// PSH, whose checksum is right. Payload that stands in Header would have to be copied,
// and is not merged.
func (m *merger) sound(s *segment, p *link.Packet) bool {
	return s.data > 0 && len(p.Header) <= len(s.head) && s.head[s.tcp+13]&^flagPSH == flagACK && s.head[s.tcp+12]&0xf == 0 && (p.Offload.Vouched || m.verify(s, p))
}

func (m *merger) verify(s *segment, p *link.Packet) bool {
	t := s.head[s.tcp:]
	sum := add(pseudoHeader(s.head[m.l2:], len(t)+s.data), t, false)
	w := rest(p, len(s.head))
	odd := false
	var bs [4]api.Buffer
	for _, b := range w.take(bs[:0], s.data) {
		sum = add(sum, b.Bytes(), odd)
		odd = odd != (b.Len()%2 == 1)
	}
	return fold(sum) == 0xffff
}

// sameFlow reports whether two headers are of one connection and direction.
func sameFlow(a, b []byte, l2, tcp int) bool {
	addrs := 12
	if a[l2]>>4 == 6 {
		addrs = 8
	}
	return a[l2]>>4 == b[l2]>>4 && bytes.Equal(a[l2+addrs:tcp+4], b[l2+addrs:tcp+4])
}

// sameHeaders reports whether two headers differ at most in what a cut super-packet's
// do: lengths, the identification, checksums, sequence number and PSH.
func sameHeaders(a, b []byte, l2, tcp int) bool {
	if len(a) != len(b) || !bytes.Equal(a[:l2], b[:l2]) {
		return false
	}
	x, y := a[l2:tcp], b[l2:tcp]
	if x[0]>>4 == 6 {
		if !bytes.Equal(x[:4], y[:4]) || !bytes.Equal(x[6:], y[6:]) {
			return false
		}
	} else if !bytes.Equal(x[:2], y[:2]) || !bytes.Equal(x[6:10], y[6:10]) || !bytes.Equal(x[12:], y[12:]) {
		return false
	}
	x, y = a[tcp:], b[tcp:]
	return bytes.Equal(x[:4], y[:4]) && bytes.Equal(x[8:13], y[8:13]) && (x[13]^y[13])&^flagPSH == 0 &&
		bytes.Equal(x[14:16], y[14:16]) && bytes.Equal(x[18:], y[18:])
}

// find returns the train of the segment's flow.
func (m *merger) find(s *segment) int {
	for i := range m.trains {
		if t := &m.trains[i]; t.tcp == s.tcp && sameFlow(t.head, s.head, m.l2, s.tcp) {
			return i
		}
	}
	return -1
}

// extend adds a segment to the train of its flow, if it continues that. A segment
// that does not ends the train, so that the order stays.
func (m *merger) extend(s *segment, p *link.Packet) bool {
	i := m.find(s)
	if i < 0 {
		return false
	}
	t := &m.trains[i]
	if !t.more || s.seq != t.next || s.data > t.size || t.len+s.data > maxPacket ||
		!sameHeaders(t.head, s.head, m.l2, s.tcp) || !m.sound(s, p) {
		m.trains = append(m.trains[:i], m.trains[i+1:]...)
		return false
	}
	q := &m.out[t.at]
	if q.Offload.GSOSize == 0 {
		if !m.lead(t, q) {
			m.trains = append(m.trains[:i], m.trains[i+1:]...)
			return false
		}
	}
	q.Payload = strip(q.Payload, p, len(s.head), s.data)
	t.len += s.data
	t.next += uint32(s.data)
	psh := s.head[s.tcp+13] & flagPSH
	t.head[t.tcp+13] |= psh
	t.more = psh == 0 && s.data == t.size
	ip := t.head[m.l2:t.tcp]
	if ip[0]>>4 == 6 {
		binary.BigEndian.PutUint16(ip[4:], uint16(t.len-40))
	} else {
		binary.BigEndian.PutUint16(ip[2:], uint16(t.len))
		sumIPv4(ip)
	}
	return true
}

// lead makes the first packet of a train a super-packet, with headers of its own.
func (m *merger) lead(t *train, q *link.Packet) bool {
	s, ok := m.parse(t.head, q)
	if !ok || !m.sound(&s, q) {
		return false
	}
	b := m.header(len(t.head))
	copy(b, t.head)
	q.Payload = strip(nil, q, len(b), s.data)
	q.Header, t.head = b, b
	q.Offload.GSOSize, q.Offload.Vouched = uint16(t.size), true
	return true
}

func (m *merger) header(n int) []byte {
	if len(m.headers)+n > cap(m.headers) {
		m.headers = make([]byte, 0, max(2*cap(m.headers), 4096, n))
	}
	i := len(m.headers)
	m.headers = m.headers[:i+n]
	return m.headers[i : i+n : i+n]
}

// strip appends the n bytes of payload behind the first k bytes of p to bs, and
// releases the rest of p.
func strip(bs []api.Buffer, p *link.Packet, k, n int) []api.Buffer {
	k -= len(p.Header)
	for i := range p.Payload {
		b := p.Payload[i]
		from := min(k, b.Len())
		k -= from
		to := min(from+n, b.Len())
		n -= to - from
		if from == to {
			b.Release()
			continue
		}
		b.Trim(from, to)
		// What one end of a link in memory has cut out of a page is one piece again.
		if i := len(bs) - 1; i < 0 || !bs[i].Join(&b) {
			bs = append(bs, b)
		}
	}
	return bs
}

// begin starts a train with the last packet of out, if one can follow it.
func (m *merger) begin(s *segment) {
	if s.data == 0 || s.head[s.tcp+13] != flagACK {
		return
	}
	if len(m.trains) == maxTrains {
		m.trains = append(m.trains[:0], m.trains[1:]...)
	}
	m.trains = append(m.trains, train{at: len(m.out) - 1, head: s.head, tcp: s.tcp, next: s.seq + uint32(s.data), size: s.data, len: s.len, more: true})
}

package host

import (
	"encoding/binary"
	"net/netip"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/impl/engine/fault"
	"github.com/sluicenet/sluice/impl/engine/ip"
	"github.com/sluicenet/sluice/impl/engine/tcp"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// maxLoopPacket is the largest packet that a host sends to itself.
const maxLoopPacket = 65535

// A Batch collects packets to send. Its memory is used again after Reset: until
// then the packets' headers and slices of payload are valid.
type Batch struct {
	Link []link.Packet // for the link
	// Loop has packets for an address of the host's own: copies of them are to
	// be fed to Packet of the shard that ShardHash names.
	Loop []link.Packet

	headers []byte
	buffers []api.Buffer
}

// Reset releases the packets' payload and empties the batch.
func (b *Batch) Reset() {
	for i := range b.Link {
		b.Link[i].Release()
	}
	for i := range b.Loop {
		b.Loop[i].Release()
	}
	clear(b.Link)
	clear(b.Loop)
	clear(b.buffers)
	b.Link, b.Loop = b.Link[:0], b.Loop[:0]
	b.headers, b.buffers = b.headers[:0], b.buffers[:0]
}

// header returns n bytes. Where there is no room, a larger array takes the place of
// the old one, which the packets keep that are in it.
func (b *Batch) header(n int) []byte {
	if len(b.headers)+n > cap(b.headers) {
		b.headers = make([]byte, 0, max(2*cap(b.headers), 4096, n))
	}
	i := len(b.headers)
	b.headers = b.headers[:i+n]
	return b.headers[i : i+n : i+n]
}

func (b *Batch) add(p link.Packet, loop bool) {
	if loop {
		b.Loop = append(b.Loop, p)
	} else {
		b.Link = append(b.Link, p)
	}
}

func heapBytes(n int) []byte { return make([]byte, n) }

// Poll appends packets to send, about max of them, and reports whether there
// may be more. Answers to strangers go first, and then each connection has its
// turn, one quantum at a time.
func (h *Host) Poll(now clock.Time, b *Batch, max int) (more bool) {
	n := len(b.Link) + len(b.Loop) + max
	for h.replies.len() > 0 && len(b.Link)+len(b.Loop) < n {
		r := h.replies.pop()
		h.replyBytes -= r.size
		h.sent(&r.packet)
		b.add(r.packet, r.loop)
	}
	for h.output.len() > 0 && len(b.Link)+len(b.Loop) < n {
		e := h.output.pop()
		e.inOutput = false
		if e.removed {
			continue
		}
		if h.pollConn(now, e, b, n) {
			h.settle(now, e)
		} else {
			e.inOutput = true
			h.output.push(e)
		}
	}
	return h.output.len() > 0 || h.replies.len() > 0
}

// pollConn appends one quantum of e's packets, and reports whether e has nothing
// more to send.
func (h *Host) pollConn(now clock.Time, e *entry, b *Batch, limit int) (done bool) {
	local, remote := e.conn.Local(), e.conn.Remote()
	bytes := int64(0)
	for range quantumSegments {
		if bytes >= quantumBytes || len(b.Link)+len(b.Loop) >= limit {
			return false
		}
		if !e.conn.Poll(now, &h.out) {
			return true
		}
		p := h.tcpPacket(local, remote, &h.out, e, b.header)
		i := len(b.buffers)
		b.buffers = append(b.buffers, h.out.Payload...)
		p.Payload = b.buffers[i:len(b.buffers):len(b.buffers)]
		clear(h.out.Payload)
		bytes += h.out.Len
		h.sent(&p)
		b.add(p, e.loop)
	}
	return false
}

func (h *Host) sent(p *link.Packet) {
	h.stats.PacketsOut++
	h.stats.BytesOut += uint64(p.Len())
}

// tcpPacket puts IP and TCP headers in front of what a connection wants sent. It
// leaves the payload in out, for the caller to move.
func (h *Host) tcpPacket(local, remote netip.AddrPort, out *tcp.Out, e *entry, alloc func(int) []byte) link.Packet {
	out.TCP.SrcPort, out.TCP.DstPort = local.Port(), remote.Port()
	src, dst := local.Addr(), remote.Addr()
	tcpLen := out.TCP.HeaderLen()
	segLen := tcpLen + int(out.Len)
	ipLen := wire.IPv6HeaderLen
	if src.Is4() {
		ipLen = wire.IPv4MinHeaderLen
	}
	if ipLen+segLen > 65535 {
		panic("BUG: segment does not fit into a packet")
	}
	b := alloc(ipLen + tcpLen)
	if fault.On("local-address-changes") && out.TCP.Flags&wire.SYN == 0 {
		for _, p := range h.cfg.Addresses {
			if p.Addr() != src && p.Addr().Is4() == src.Is4() {
				src = p.Addr()
				break
			}
		}
	}
	ttl := out.TTL
	if ttl == 0 {
		ttl = h.flow.TTL
	}
	h.emitIP(b, ipHeader{
		src: src, dst: dst, proto: wire.ProtoTCP, payload: segLen,
		ttl: ttl, tos: h.tos(out), label: e.label, mayFragment: e.fragment,
	})
	t := b[ipLen:]
	out.TCP.Emit(t)

	p := link.Packet{Header: b}
	if out.GSOSize > 0 && out.Len > int64(out.GSOSize) {
		p.Offload.GSOSize = out.GSOSize
	}
	if e.loop {
		h.loop.put(&p)
		return p
	}
	sum := wire.PseudoHeader(src, dst, wire.ProtoTCP, segLen)
	if fault.On("checksum-without-odd-byte") && segLen%2 == 1 || fault.On("checksum-without-pseudo-header") {
		sum.AddUint16(0x100)
	}
	if h.cfg.TxChecksum || p.Offload.GSOSize > 0 {
		// Who cuts a super-packet up must sum every piece anew.
		p.Offload.NeedsChecksum = true
		p.Offload.ChecksumStart = uint16(ipLen)
		p.Offload.ChecksumOffset = wire.TCPChecksumOffset
		binary.BigEndian.PutUint16(t[wire.TCPChecksumOffset:], sum.Folded())
		return p
	}
	sum.Add(t)
	for i := range out.Payload {
		sum.Add(out.Payload[i].Bytes())
	}
	binary.BigEndian.PutUint16(t[wire.TCPChecksumOffset:], sum.Value())
	return p
}

// tos is the byte of the IP header that has Diffserv and ECN.
func (h *Host) tos(out *tcp.Out) uint8 {
	if fault.On("dscp-not-shifted") {
		return out.DSCP
	}
	if fault.On("ecn-ect-on-everything") {
		return out.DSCP<<2 | 2
	}
	return out.DSCP<<2 | out.ECN&3
}

// ipHeader is what the IP header of a packet of ours says.
type ipHeader struct {
	src, dst    netip.Addr
	proto       uint8
	payload     int // bytes behind the IP header
	ttl, tos    uint8
	label       uint32 // IPv6 flow label
	mayFragment bool   // IPv4: DF is not set
}

// emitIP writes an IP header at the start of b.
func (h *Host) emitIP(b []byte, f ipHeader) {
	if f.src.Is6() {
		v6 := wire.IPv6{
			TrafficClass: f.tos, FlowLabel: f.label, PayloadLen: uint16(f.payload),
			NextHeader: f.proto, HopLimit: f.ttl, Src: f.src, Dst: f.dst,
		}
		v6.Emit(b)
		return
	}
	v4 := wire.IPv4{
		TOS: f.tos, TotalLen: uint16(wire.IPv4MinHeaderLen + f.payload), DF: !f.mayFragment,
		TTL: f.ttl, Protocol: f.proto, Src: f.src, Dst: f.dst,
	}
	// What is never fragmented needs no identification (RFC 6864, section 4.1),
	// and elsewhere one that tells nothing about what is sent to others.
	if f.mayFragment {
		v4.ID = uint16(h.rand.Uint32())
	}
	v4.Emit(b)
}

// A reply is a packet in answer to a stranger.
type reply struct {
	packet link.Packet
	loop   bool
	size   int
}

// reply queues a packet, as far as there is room: what arrives faster than it can
// be answered is not answered.
func (h *Host) reply(p link.Packet, loop bool) {
	size := len(p.Header)
	for i := range p.Payload {
		size += int(p.Payload[i].MemSize())
	}
	if h.replies.len() >= maxReplies || h.replyBytes+size > maxReplyMemory {
		h.drop(api.DropMemory)
		p.Release()
		return
	}
	h.replyBytes += size
	h.replies.push(reply{p, loop, size})
}

// replyTCP queues a segment.
func (h *Host) replyTCP(local, remote netip.AddrPort, out *tcp.Out, e *entry) {
	p := h.tcpPacket(local, remote, out, e, heapBytes)
	if len(out.Payload) > 0 {
		p.Payload = append([]api.Buffer(nil), out.Payload...)
		clear(out.Payload)
	}
	h.reply(p, e.loop)
}

// replyOver queues a whole packet that may be longer than the link carries.
func (h *Host) replyOver(p link.Packet, loop bool) {
	if loop || p.Len() <= h.cfg.MTU {
		h.reply(p, loop)
		return
	}
	ip.Fragment(p.AppendTo(nil), h.cfg.MTU, h.rand.Uint32(), func(b []byte) {
		h.reply(link.Packet{Header: append([]byte(nil), b...)}, loop)
	})
	p.Release()
}

// A loopMark tells packets that a Host has sent to itself, or to another shard of
// its stack, from those of a link, which may not come from addresses of our own
// (the LAND attack): a keyed number in the fields of Offload that have no meaning
// while NeedsChecksum is not set. No link sets them, and no packet can.
type loopMark struct{ start, offset uint16 }

func newLoopMark(secret *[32]byte) loopMark {
	s := derive(secret, purposeLoop, uint64(0))
	w := s.word(0)
	return loopMark{uint16(w>>16) | 1, uint16(w) | 1}
}

// put marks p, whose checksum nobody needs: it never leaves the machine.
func (m loopMark) put(p *link.Packet) {
	p.Offload.Vouched = true
	p.Offload.ChecksumStart, p.Offload.ChecksumOffset = m.start, m.offset
}

func (m loopMark) is(p *link.Packet) bool {
	o := &p.Offload
	return o.Vouched && !o.NeedsChecksum && o.ChecksumStart == m.start && o.ChecksumOffset == m.offset
}

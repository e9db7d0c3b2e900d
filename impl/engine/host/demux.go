package host

import (
	"net/netip"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/impl/engine/fault"
	"github.com/sluicenet/sluice/impl/engine/ip"
	"github.com/sluicenet/sluice/impl/engine/tcp"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// segment takes in a TCP segment: b begins with the headers of p.
func (h *Host) segment(now clock.Time, pkt *ip.Packet, p *link.Packet, b []byte) {
	t, tcpLen, ok := wire.ParseTCP(b[pkt.HeaderLen:min(len(b), pkt.Len)])
	if !ok {
		h.drop(api.DropTCPHeader)
		return
	}
	// RFC 9293, section 3.1, MUST-3.
	if !p.Offload.Vouched && !p.Offload.NeedsChecksum && !checksumOK(pkt, p) && !fault.On("checksum-not-verified") {
		h.drop(api.DropTCPChecksum)
		return
	}
	local := netip.AddrPortFrom(pkt.Dst, t.DstPort)
	remote := netip.AddrPortFrom(pkt.Src, t.SrcPort)
	s := tcp.Segment{
		TCP:     t,
		Payload: takePayload(p, pkt.HeaderLen+tcpLen, pkt.Len),
		Len:     int64(pkt.Len - pkt.HeaderLen - tcpLen),
		GSOSize: p.Offload.GSOSize,
		CE:      pkt.TOS&3 == 3,
		ECT:     pkt.TOS&3 != 0,
	}
	h.demux(now, local, remote, &s)
}

// demux finds who a segment is for: a connection, a record in TIME-WAIT, a
// listener, or nobody.
func (h *Host) demux(now clock.Time, local, remote netip.AddrPort, s *tcp.Segment) {
	key := tupleOf(local, remote)
	e := h.conns.get(&key)
	if e != nil && ended(e) {
		h.finish(now, e)
		e = h.conns.get(&key)
	}
	if e != nil {
		e.conn.Segment(now, s)
		if fault.On("acknowledges-before-batch-ends") {
			for !ended(e) && h.replies.len() < maxReplies && e.conn.Poll(now, &h.out) {
				h.replyTCP(e.conn.Local(), e.conn.Remote(), &h.out, e)
			}
		}
		h.touch(e)
		return
	}
	if q := h.halfOpens.get(&key); q != nil {
		h.halfOpenSegment(now, q, local, remote, s)
		return
	}
	defer releasePayload(s)
	h.counters.SegmentsIn++
	if s.TCP.Flags&wire.RST != 0 {
		h.counters.ResetsIn++
	}
	length := s.Len
	w := h.timeWait.get(&key)
	if w != nil && !h.timeWaitSegment(now, w, s) {
		return
	}
	l := h.listeners[local.Port()]
	if l != nil && l.Address.IsValid() && !l.Address.IsUnspecified() && l.Address.Unmap() != local.Addr() {
		l = nil
	}
	if len(h.forwardings) > 0 || h.foreign > 0 {
		own := h.routes.IsOwn(local.Addr())
		if !own {
			l = nil // listeners are for addresses of ours
		}
		f := h.forwardingOf(local.Addr())
		switch {
		case l != nil:
		case f != nil && remote.Port() != 0:
			s.Len = length
			h.ask(now, f, local, remote, s)
			return
		case !own:
			h.drop(api.DropNotForUs)
			return
		}
	}
	// A port without a name is not one to talk to (RFC 6335, section 6).
	if fault.On("listener-takes-any-address") {
		l = h.listeners[local.Port()]
	}
	if l == nil || remote.Port() == 0 {
		if k := h.like().Blackhole; k > 1 || k == 1 && s.TCP.Flags&wire.SYN != 0 {
			h.drop(api.DropNoListener)
			return
		}
		s.Len = length // the record has released the payload
		h.reset(now, api.DropNoListener, local, remote, s)
		return
	}
	h.listen(now, l, w, local, remote, s)
}

// reset answers a segment for no connection (RFC 9293, section 3.10.7.1).
func (h *Host) reset(now clock.Time, why api.DropReason, local, remote netip.AddrPort, s *tcp.Segment) {
	h.drop(why)
	if fault.On("closed-silent") {
		return
	}
	if s.TCP.Flags&wire.RST != 0 && !fault.On("closed-answers-reset") || !h.resetLimit.Allow(now, remote.Addr()) {
		return
	}
	out := tcp.Out{TCP: resetFor(&s.TCP, s.Len)}
	e := entry{loop: h.routes.IsOwn(remote.Addr())}
	h.counters.ResetsOut++
	h.counters.SegmentsOut++
	h.replyTCP(local, remote, &out, &e)
}

// resetFor returns the RST that answers a segment with n bytes of payload.
func resetFor(t *wire.TCP, n int64) wire.TCP {
	if t.Flags&wire.ACK != 0 && !fault.On("closed-reset-with-zero-number") {
		return wire.TCP{Seq: t.Ack, Flags: wire.RST}
	}
	ack := t.Seq + uint32(n)
	if fault.On("closed-reset-without-length") {
		ack = t.Seq
	}
	if t.Flags&wire.SYN != 0 {
		ack++
	}
	if t.Flags&wire.FIN != 0 {
		ack++
	}
	return wire.TCP{Ack: ack, Flags: wire.RST | wire.ACK}
}

// checksumOK verifies the checksum of a transport with a pseudo-header.
func checksumOK(pkt *ip.Packet, p *link.Packet) bool {
	sum := wire.PseudoHeader(pkt.Src, pkt.Dst, pkt.Proto, pkt.Len-pkt.HeaderLen)
	addRange(&sum, p, pkt.HeaderLen, pkt.Len)
	return sum.Folded() == 0xffff
}

// addRange adds bytes [i, j) of p.
func addRange(sum *wire.Checksum, p *link.Packet, i, j int) {
	add := func(b []byte) {
		from, to := min(max(i, 0), len(b)), min(max(j, 0), len(b))
		sum.Add(b[from:to])
		i -= len(b)
		j -= len(b)
	}
	add(p.Header)
	for k := range p.Payload {
		add(p.Payload[k].Bytes())
	}
}

// takePayload takes bytes [i, j) of p out of it, and releases the rest. What is in
// the header is copied, since that is not ours to keep.
func takePayload(p *link.Packet, i, j int) []api.Buffer {
	bufs := p.Payload
	p.Payload = nil
	var head *api.Buffer
	if n := len(p.Header); n > 0 {
		if i < n && i < j {
			// From the pool, however short: many such come in a flood.
			b := p.Header[i:min(n, j)]
			head = api.Alloc(len(b))
			copy(head.Bytes(), b)
		}
		i, j = max(i-n, 0), max(j-n, 0)
	}
	kept := bufs[:0]
	for k := range bufs {
		buf := bufs[k]
		n := buf.Len()
		from, to := min(i, n), min(j, n)
		i, j = max(i-n, 0), max(j-n, 0)
		if from >= to {
			buf.Release()
			continue
		}
		buf.Trim(from, to)
		kept = append(kept, buf)
	}
	clear(bufs[len(kept):])
	if head != nil {
		kept = append([]api.Buffer{*head}, kept...)
	}
	return kept
}

func releasePayload(s *tcp.Segment) {
	for i := range s.Payload {
		s.Payload[i].Release()
	}
	s.Payload = nil
}

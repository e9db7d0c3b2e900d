package host

import (
	"encoding/binary"
	"net/netip"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/impl/engine/fault"
	"github.com/sluicenet/sluice/impl/engine/ip"
	"github.com/sluicenet/sluice/impl/engine/reason"
	"github.com/sluicenet/sluice/impl/engine/tcp"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// How much of a packet an ICMP error of ours quotes: all that fits into what every
// path carries (RFC 1812, section 4.3.2.3; RFC 4443, section 2.4).
const (
	maxICMPv4Error = 576
	maxICMPv6Error = ip.MinMTU6
)

// icmpMessage returns the ICMP message of a whole packet, contiguous.
func icmpMessage(pkt *ip.Packet, p *link.Packet) []byte {
	b := contiguous(p)
	if len(b) < pkt.Len {
		b = p.AppendTo(nil)
	}
	return b[pkt.HeaderLen:pkt.Len]
}

func isICMPError(is6 bool, typ uint8) bool {
	if is6 {
		return typ < 128 // RFC 4443, section 2.1
	}
	switch typ {
	case wire.ICMPv4Unreachable, wire.ICMPv4SourceQuench, wire.ICMPv4Redirect, wire.ICMPv4TimeExceeded, wire.ICMPv4ParamProblem:
		return true
	}
	return false
}

// icmp takes in an ICMP message for us.
func (h *Host) icmp(now clock.Time, pkt *ip.Packet, p *link.Packet) {
	msg := icmpMessage(pkt, p)
	m, ok := wire.ParseICMP(msg)
	var sum wire.Checksum
	if pkt.Is6() {
		sum = wire.PseudoHeader(pkt.Src, pkt.Dst, wire.ProtoICMPv6, len(msg))
	}
	sum.Add(msg)
	if !ok || sum.Folded() != 0xffff {
		h.drop(api.DropICMP)
		return
	}
	switch {
	case pkt.Is6() && m.Type == wire.ICMPv6Echo, !pkt.Is6() && m.Type == wire.ICMPv4Echo:
		if !h.routes.IsOwn(pkt.Dst) { // forwarded: whether that host is up is not for us to say
			h.drop(api.DropNotForUs)
			return
		}
		h.echo(pkt, p, m)
	case isICMPError(pkt.Is6(), m.Type):
		h.icmpError(now, pkt, m, msg[wire.ICMPHeaderLen:])
	default:
		h.drop(api.DropICMP)
	}
}

// echo answers a ping (RFC 1122, section 3.2.2.6; RFC 4443, section 4.2). Pings of
// multicast and broadcast addresses do not get here.
func (h *Host) echo(pkt *ip.Packet, p *link.Packet, m wire.ICMP) {
	if fault.On("echo-unanswered") {
		return
	}
	f := ipHeader{
		src: pkt.Dst, dst: pkt.Src, proto: pkt.Proto, payload: pkt.Len - pkt.HeaderLen,
		ttl: h.flow.TTL, tos: pkt.TOS &^ 3, mayFragment: true,
	}
	m.Type = wire.ICMPv4EchoReply
	ipLen := wire.IPv4MinHeaderLen
	var sum wire.Checksum
	if pkt.Is6() {
		m.Type, ipLen = wire.ICMPv6EchoReply, wire.IPv6HeaderLen
		sum = wire.PseudoHeader(f.src, f.dst, wire.ProtoICMPv6, f.payload)
	}
	b := make([]byte, ipLen+wire.ICMPHeaderLen)
	h.emitIP(b, f)
	m.Emit(b[ipLen:])
	sum.Add(b[ipLen:])
	reply := link.Packet{Header: b, Payload: takePayload(p, pkt.HeaderLen+wire.ICMPHeaderLen, pkt.Len)}
	for i := range reply.Payload {
		sum.Add(reply.Payload[i].Bytes())
	}
	binary.BigEndian.PutUint16(b[ipLen+wire.ICMPChecksumOffset:], sum.Value())
	loop := h.routes.IsOwn(pkt.Src)
	if loop {
		h.loop.put(&reply)
	}
	h.replyOver(reply, loop)
}

// icmpError takes in an ICMP error, and gives it to the connection that it is
// about (RFC 9293, section 3.9.2.2, MUST-54).
func (h *Host) icmpError(now clock.Time, pkt *ip.Packet, m wire.ICMP, quoted []byte) {
	kind, reason, ok := icmpMeaning(pkt.Is6(), m)
	if !ok {
		h.drop(api.DropICMP)
		return
	}
	q, ok := ip.ParseQuote(quoted)
	// What we sent came from where the error goes to.
	if !ok || q.Local.Addr() != pkt.Dst {
		h.drop(api.DropICMP)
		return
	}
	key := tupleOf(q.Local, q.Remote)
	e := h.conns.get(&key)
	if e == nil {
		if half := h.halfOpens.get(&key); half != nil && half.state.InFlight(q.Seq) {
			h.halfOpenError(now, kind, half, q.Remote.Addr(), reported(pkt, m), q.Len)
			return
		}
	}
	if fault.On("icmp-for-any-connection") && e == nil && h.first != nil {
		e = h.first
		_, q.Seq = q.Seq, e.conn.Unacknowledged()
	}
	if e == nil || ended(e) {
		h.drop(api.DropICMP)
		return
	}
	err := tcp.ICMPError{Kind: kind, Seq: q.Seq, Err: reason}
	if kind != tcp.ICMPPacketTooBig {
		e.conn.ICMP(now, err)
		h.touch(e)
		return
	}
	path := ip.ReportedMTU(pkt.Is6(), reported(pkt, m), q.Len, h.cfg.MinPathMTU)
	if fault.On("pmtu-not-remembered") {
		defer h.paths.Forget(e.conn.Remote().Addr())
	}
	if path.MTU >= h.cfg.MTU {
		h.drop(api.DropICMP) // the link itself carries no more
		return
	}
	// The connection knows whether the quoted sequence number is in flight
	// (RFC 5927, section 7); what it does not believe is not remembered.
	err.MTU = int64(path.MTU)
	before := e.conn.Info(now).PathMTU
	e.conn.ICMP(now, err)
	h.touch(e)
	after := e.conn.Info(now).PathMTU
	if after < before && after <= err.MTU {
		h.learnPathMTU(now, e, path)
	}
}

// reported returns the MTU that a "packet too big" has.
func reported(pkt *ip.Packet, m wire.ICMP) int {
	if !pkt.Is6() {
		return int(m.Rest & 0xffff) // RFC 1191, section 4
	}
	return int(min(m.Rest, 65535))
}

// icmpMeaning returns what an error means for a connection. Every "unreachable"
// fails a dial, as on Linux; synchronised connections only remember it. Redirects
// and source quenches are ignored (RFC 9293, section 3.9.2.2, MUST-55; RFC 6633).
func icmpMeaning(is6 bool, m wire.ICMP) (kind tcp.ICMPKind, err error, ok bool) {
	if is6 {
		switch m.Type {
		case wire.ICMPv6PacketTooBig:
			return tcp.ICMPPacketTooBig, nil, true
		case wire.ICMPv6Unreachable:
			if m.Code == wire.ICMPv6CodePort {
				return tcp.ICMPHard, api.ErrRefused, true
			}
			return tcp.ICMPHard, reason.Unreachable6(m.Code), true
		case wire.ICMPv6TimeExceeded, wire.ICMPv6ParamProblem:
			return tcp.ICMPSoft, api.ErrUnreachable, true
		}
		return 0, nil, false
	}
	if fault.On("source-quench-obeyed") && m.Type == wire.ICMPv4SourceQuench {
		return tcp.ICMPSoft, api.ErrUnreachable, true
	}
	switch m.Type {
	case wire.ICMPv4Unreachable:
		switch m.Code {
		case wire.ICMPv4CodeFragNeeded:
			return tcp.ICMPPacketTooBig, nil, true
		case wire.ICMPv4CodePort:
			return tcp.ICMPHard, api.ErrRefused, true
		}
		return tcp.ICMPHard, reason.Unreachable4(m.Code), true
	case wire.ICMPv4TimeExceeded, wire.ICMPv4ParamProblem:
		return tcp.ICMPSoft, api.ErrUnreachable, true
	}
	return 0, nil, false
}

// unknownProtocol tells the sender that there is nobody to talk to
// (RFC 1122, sections 3.2.2.1 and 4.1.3.1; RFC 4443, section 3).
func (h *Host) unknownProtocol(now clock.Time, pkt *ip.Packet, b []byte) {
	b = b[:min(len(b), pkt.Len)]
	switch {
	case pkt.Proto == wire.ProtoNoNext:
	case pkt.Is6() && pkt.Proto == wire.ProtoUDP:
		h.sendError(now, pkt.Src, pkt.Dst, wire.ICMP{Type: wire.ICMPv6Unreachable, Code: wire.ICMPv6CodePort}, b)
	case pkt.Is6():
		h.sendError(now, pkt.Src, pkt.Dst, wire.ICMP{
			Type: wire.ICMPv6ParamProblem, Code: wire.ICMPv6CodeNextHeader, Rest: pkt.NextHeaderPointer()}, b)
	case pkt.Proto == wire.ProtoUDP:
		h.sendError(now, pkt.Src, pkt.Dst, wire.ICMP{Type: wire.ICMPv4Unreachable, Code: wire.ICMPv4CodePort}, b)
	default:
		h.sendError(now, pkt.Src, pkt.Dst, wire.ICMP{Type: wire.ICMPv4Unreachable, Code: wire.ICMPv4CodeProtocol}, b)
	}
}

// reportFault sends the ICMPv6 parameter problem that a fault asks for.
func (h *Host) reportFault(now clock.Time, pkt *ip.Packet, f *ip.Fault, b []byte) {
	if !f.Report || !h.routes.AcceptableSource(pkt.Src) {
		return
	}
	dst := pkt.Dst
	if !h.routes.IsOwn(dst) {
		// RFC 4443, section 2.4 (e.3): one of the two answers to a multicast.
		if !f.Always || !dst.IsMulticast() {
			return
		}
		var err error
		if dst, err = h.routes.Source(pkt.Src, netip.Addr{}); err != nil {
			return
		}
	}
	if pkt.Proto == wire.ProtoICMPv6 {
		return // it may be an error itself
	}
	h.sendError(now, pkt.Src, dst, wire.ICMP{Type: wire.ICMPv6ParamProblem, Code: f.Code, Rest: f.Pointer}, b[:min(len(b), pkt.Len)])
}

// reassemblyExceeded returns what sends "time exceeded" for a datagram whose first
// fragment is quoted.
func (h *Host) reassemblyExceeded(now clock.Time) func(src, dst netip.Addr, quote []byte) {
	return func(src, dst netip.Addr, quote []byte) {
		m := wire.ICMP{Type: wire.ICMPv4TimeExceeded, Code: wire.ICMPCodeReassembly}
		if src.Is6() {
			m.Type = wire.ICMPv6TimeExceeded
		}
		h.sendError(now, src, dst, m, quote)
	}
}

// sendError sends an ICMP error from local, an address of ours, about the packet
// whose beginning is quote. That this one may be answered (RFC 1122, section
// 3.2.2; RFC 4443, section 2.4) has been made sure, but for ICMP itself.
func (h *Host) sendError(now clock.Time, to, local netip.Addr, m wire.ICMP, quote []byte) {
	if quotesICMPError(quote) || h.routes.IsOwn(to) || !h.icmpLimit.Allow(now, to) {
		return
	}
	f := ipHeader{src: local, dst: to, ttl: h.flow.TTL, proto: wire.ProtoICMP, mayFragment: true}
	ipLen, most := wire.IPv4MinHeaderLen, maxICMPv4Error
	if to.Is6() {
		f.proto, ipLen, most = wire.ProtoICMPv6, wire.IPv6HeaderLen, maxICMPv6Error
	}
	most = min(most, h.cfg.MTU)
	quote = quote[:min(len(quote), most-ipLen-wire.ICMPHeaderLen)]
	f.payload = wire.ICMPHeaderLen + len(quote)
	b := make([]byte, ipLen+f.payload)
	h.emitIP(b, f)
	msg := b[ipLen:]
	m.Emit(msg)
	copy(msg[wire.ICMPHeaderLen:], quote)
	var sum wire.Checksum
	if to.Is6() {
		sum = wire.PseudoHeader(local, to, wire.ProtoICMPv6, len(msg))
	}
	sum.Add(msg)
	binary.BigEndian.PutUint16(msg[wire.ICMPChecksumOffset:], sum.Value())
	h.reply(link.Packet{Header: b}, false)
}

// quotesICMPError reports whether a packet is an ICMP error, or ICMP that cannot
// be told from one, which must not be answered by another.
func quotesICMPError(b []byte) bool {
	pkt, _, _ := ip.Parse(b, max(len(b), 65535+wire.IPv6HeaderLen))
	switch pkt.Proto {
	case wire.ProtoICMP, wire.ProtoICMPv6:
		return len(b) <= pkt.HeaderLen || isICMPError(pkt.Is6(), b[pkt.HeaderLen])
	}
	return false
}

package ip

import (
	"encoding/binary"
	"net/netip"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/impl/engine/fault"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// maxExtensions bounds the extension headers of one packet that are walked. A
// chain has at most four sensible ones; RFC 8504, section 5.3, asks for a limit.
const maxExtensions = 8

// Packet is what the IP headers of a received packet say.
type Packet struct {
	Src, Dst  netip.Addr
	Proto     uint8 // of the transport; for a fragment, what follows its header
	TTL       uint8 // or hop limit
	TOS       uint8 // DSCP and ECN
	HeaderLen int   // all IP headers; what follows is the transport's or the fragment's
	Len       int   // of the packet; link padding is beyond it

	// For a fragment. An atomic one (RFC 6946) is not counted as such.
	Fragment   bool
	FragOffset int
	More       bool
	FragID     uint32

	unfragmentable int // IPv6: length of what precedes the fragment header
	nextHeaderAt   int // IPv6: where the last next-header field before Proto stands
}

// Is6 reports whether this is IPv6.
func (p *Packet) Is6() bool { return p.Src.Is6() }

// A Fault says why a packet is not taken.
type Fault struct {
	Reason api.DropReason

	// Report asks for an ICMPv6 parameter problem with this code and pointer,
	// also in answer to a multicast if Always.
	Report, Always bool
	Code           uint8
	Pointer        uint32
}

// Parse reads the IP headers at the beginning of b, which holds all the headers of
// a packet of total bytes. The checksum of an IPv4 header is verified; addresses
// are not judged.
func Parse(b []byte, total int) (Packet, Fault, bool) {
	if len(b) == 0 {
		return Packet{}, Fault{Reason: api.DropTruncated}, false
	}
	switch b[0] >> 4 {
	case 4:
		return parse4(b, total)
	case 6:
		return parse6(b, total)
	}
	return Packet{}, Fault{Reason: api.DropIPHeader}, false
}

func fail(r api.DropReason) (Packet, Fault, bool) { return Packet{}, Fault{Reason: r}, false }

func parse4(b []byte, total int) (Packet, Fault, bool) {
	if len(b) < wire.IPv4MinHeaderLen || len(b) < int(b[0]&15)*4 {
		return fail(api.DropTruncated)
	}
	h, n, ok := wire.ParseIPv4(b)
	if !ok {
		return fail(api.DropIPHeader)
	}
	// The total length rules: what the link carries beyond it is padding, and
	// must not reach the transport.
	if int(h.TotalLen) > total {
		return fail(api.DropTruncated)
	}
	var sum wire.Checksum
	if sum.Add(b[:n]); sum.Folded() != 0xffff && !fault.On("ip-checksum-not-verified") {
		return fail(api.DropIPChecksum)
	}
	if !options4(h.Options) {
		return fail(api.DropIPHeader)
	}
	p := Packet{
		Src: h.Src, Dst: h.Dst, Proto: h.Protocol, TTL: h.TTL, TOS: h.TOS,
		HeaderLen: n, Len: int(h.TotalLen),
	}
	if fault.On("ip-padding-is-data") {
		p.Len = total
	}
	if h.MF || h.FragOffset > 0 {
		p.Fragment, p.FragOffset, p.More, p.FragID = true, h.FragOffset, h.MF, uint32(h.ID)
	}
	return p, Fault{}, true
}

// IPv4 options that matter.
const (
	opt4End              = 0
	opt4Nop              = 1
	opt4LooseSourceRoute = 131
	opt4StrictSource     = 137
)

// options4 reports whether the options are well formed and have no source
// route. All others are skipped (MUST-50).
func options4(b []byte) bool {
	if fault.On("ip-options-refused") && len(b) > 0 {
		return false
	}
	for len(b) > 0 {
		switch b[0] {
		case opt4End:
			return true
		case opt4Nop:
			b = b[1:]
			continue
		case opt4LooseSourceRoute, opt4StrictSource:
			return false
		}
		if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
			return false
		}
		b = b[b[1]:]
	}
	return true
}

func parse6(b []byte, total int) (Packet, Fault, bool) {
	h, ok := wire.ParseIPv6(b)
	if !ok {
		return fail(api.DropTruncated)
	}
	p := Packet{
		Src: h.Src, Dst: h.Dst, Proto: h.NextHeader, TTL: h.HopLimit, TOS: h.TrafficClass,
		HeaderLen: wire.IPv6HeaderLen, Len: wire.IPv6HeaderLen + int(h.PayloadLen),
		nextHeaderAt: 6,
	}
	if p.Len > total {
		return fail(api.DropTruncated)
	}
	f, ok := p.extensions(b[:min(len(b), p.Len)])
	return p, f, ok
}

// extensions walks the chain of extension headers (RFC 8200, section 4).
func (p *Packet) extensions(b []byte) (Fault, bool) {
	at, proto, nextAt := p.HeaderLen, p.Proto, p.nextHeaderAt
	first := false // in the first fragment, which must hold the whole chain (RFC 7112)
	cut := func() (Fault, bool) {
		f := Fault{Reason: api.DropTruncated}
		if first {
			f = Fault{Reason: api.DropFragmentInvalid, Report: true, Code: wire.ICMPv6CodeFirstFrag}
		}
		return f, false
	}
	for n := 0; ; n++ {
		if n > maxExtensions {
			return Fault{Reason: api.DropIPHeader}, false
		}
		if at > len(b) {
			return cut()
		}
		switch proto {
		case wire.ProtoHopByHop, wire.ProtoDestOptions, wire.ProtoRouting:
			if fault.On("extension-headers-refused") {
				return Fault{Reason: api.DropIPHeader}, false
			}
			next, size, ok := wire.ParseIPv6Extension(b[at:])
			if !ok {
				return cut()
			}
			switch proto {
			case wire.ProtoHopByHop:
				// Only directly behind the IPv6 header (RFC 8200, section 4.1).
				if n > 0 {
					return paramProblem(wire.ICMPv6CodeNextHeader, nextAt), false
				}
				fallthrough
			case wire.ProtoDestOptions:
				if f, ok := options6(b, at, at+size); !ok {
					return f, false
				}
			case wire.ProtoRouting:
				// RFC 8200, section 4.4; type 0 is dead (RFC 5095).
				if b[at+3] != 0 {
					return paramProblem(wire.ICMPv6CodeHeaderField, at+2), false
				}
			}
			proto, nextAt = next, at
			at += size
		case wire.ProtoFragment:
			f, ok := wire.ParseIPv6Fragment(b[at:])
			if !ok {
				return cut()
			}
			// A datagram is not fragmented twice by anyone honest.
			if p.Fragment || first {
				return Fault{Reason: api.DropFragmentInvalid}, false
			}
			p.unfragmentable, p.nextHeaderAt = at, nextAt
			if f.Offset > 0 || f.More {
				p.Fragment, p.FragOffset, p.More, p.FragID = true, f.Offset, f.More, f.ID
				p.Proto, p.HeaderLen = f.NextHeader, at+wire.IPv6FragHeaderLen
				if f.Offset > 0 {
					return Fault{}, true // what follows is not a header
				}
			}
			// An atomic fragment is a packet like any other (RFC 6946).
			first = true
			proto, nextAt = f.NextHeader, at
			at += wire.IPv6FragHeaderLen
		default:
			if p.Fragment {
				// RFC 7112, section 5: the first fragment has the whole chain,
				// the transport's header included.
				if len(b)-at < upperHeaderLen(proto) {
					return cut()
				}
				return Fault{}, true
			}
			p.Proto, p.HeaderLen, p.nextHeaderAt = proto, at, nextAt
			return Fault{}, true
		}
	}
}

func upperHeaderLen(proto uint8) int {
	switch proto {
	case wire.ProtoTCP:
		return wire.TCPMinHeaderLen
	case wire.ProtoICMPv6, wire.ProtoUDP:
		return 8
	}
	return 0
}

func paramProblem(code uint8, pointer int) Fault {
	return Fault{Reason: api.DropIPHeader, Report: true, Code: code, Pointer: uint32(pointer)}
}

// options6 checks the options in b[at:end], whose first two bytes begin the
// header. The two high bits of an unknown one say what to do (RFC 8200,
// section 4.2).
func options6(b []byte, at, end int) (Fault, bool) {
	for at += 2; at < end; {
		kind := b[at]
		if kind == 0 { // Pad1
			at++
			continue
		}
		if at+2 > end || at+2+int(b[at+1]) > end {
			return Fault{Reason: api.DropIPHeader}, false
		}
		const padN, routerAlert = 1, 5
		if kind != padN && kind != routerAlert {
			switch kind >> 6 {
			case 1:
				return Fault{Reason: api.DropIPHeader}, false
			case 2, 3:
				f := paramProblem(wire.ICMPv6CodeOption, at)
				f.Always = kind>>6 == 2
				return f, false
			}
		}
		at += 2 + int(b[at+1])
	}
	return Fault{}, true
}

// NextHeaderPointer returns where the field stands that names the transport, for
// a report that it is unknown.
func (p *Packet) NextHeaderPointer() uint32 { return uint32(p.nextHeaderAt) }

// ICMPQuote is the beginning of a segment of ours that an ICMP error quotes.
type ICMPQuote struct {
	Local, Remote netip.AddrPort
	Seq           uint32
	Len           int // of the packet quoted, by its own header
}

// ParseQuote reads the packet quoted in an ICMP error: its IP header and at least
// the first eight bytes of a TCP header. Nothing in it is to be believed.
func ParseQuote(b []byte) (q ICMPQuote, ok bool) {
	if len(b) == 0 {
		return ICMPQuote{}, false
	}
	var src, dst netip.Addr
	var tcp []byte
	switch b[0] >> 4 {
	case 4:
		h, n, ok := wire.ParseIPv4(b)
		if !ok || h.Protocol != wire.ProtoTCP || h.FragOffset != 0 {
			return ICMPQuote{}, false
		}
		src, dst, tcp, q.Len = h.Src, h.Dst, b[n:], int(h.TotalLen)
	case 6:
		h, ok := wire.ParseIPv6(b)
		if !ok {
			return ICMPQuote{}, false
		}
		p := Packet{Proto: h.NextHeader, HeaderLen: wire.IPv6HeaderLen}
		if _, ok := p.extensions(b); !ok || p.Proto != wire.ProtoTCP || p.FragOffset != 0 {
			return ICMPQuote{}, false
		}
		src, dst, tcp, q.Len = h.Src, h.Dst, b[p.HeaderLen:], wire.IPv6HeaderLen+int(h.PayloadLen)
	default:
		return ICMPQuote{}, false
	}
	if len(tcp) < 8 {
		return ICMPQuote{}, false
	}
	q.Local = netip.AddrPortFrom(src, binary.BigEndian.Uint16(tcp))
	q.Remote = netip.AddrPortFrom(dst, binary.BigEndian.Uint16(tcp[2:]))
	q.Seq = binary.BigEndian.Uint32(tcp[4:])
	return q, true
}

package wire

import (
	"encoding/binary"
	"net/netip"
)

// Numbers of protocols and IPv6 extension headers.
const (
	ProtoHopByHop    = 0
	ProtoICMP        = 1
	ProtoTCP         = 6
	ProtoUDP         = 17
	ProtoRouting     = 43
	ProtoFragment    = 44
	ProtoICMPv6      = 58
	ProtoNoNext      = 59
	ProtoDestOptions = 60
)

// Lengths of headers.
const (
	IPv4MinHeaderLen  = 20
	IPv4MaxHeaderLen  = 60
	IPv6HeaderLen     = 40
	IPv6FragHeaderLen = 8
	ICMPHeaderLen     = 8
)

// IPv4 is an IPv4 header as a value.
type IPv4 struct {
	TOS        uint8 // DSCP and ECN
	TotalLen   uint16
	ID         uint16
	DF, MF     bool
	FragOffset int // bytes
	TTL        uint8
	Protocol   uint8
	Src, Dst   netip.Addr
	Options    []byte // a multiple of four bytes, a part of what was parsed
}

// ParseIPv4 parses the header at the start of b and returns its length. That
// TotalLen covers the header has been checked; that b is that long has not, nor
// has the checksum.
func ParseIPv4(b []byte) (h IPv4, headerLen int, ok bool) {
	if len(b) < IPv4MinHeaderLen || b[0]>>4 != 4 {
		return IPv4{}, 0, false
	}
	headerLen = int(b[0]&15) * 4
	h.TotalLen = binary.BigEndian.Uint16(b[2:])
	if headerLen < IPv4MinHeaderLen || headerLen > len(b) || int(h.TotalLen) < headerLen {
		return IPv4{}, 0, false
	}
	h.TOS = b[1]
	h.ID = binary.BigEndian.Uint16(b[4:])
	frag := binary.BigEndian.Uint16(b[6:])
	h.DF = frag&0x4000 != 0
	h.MF = frag&0x2000 != 0
	h.FragOffset = int(frag&0x1fff) * 8
	h.TTL = b[8]
	h.Protocol = b[9]
	h.Src = netip.AddrFrom4([4]byte(b[12:16]))
	h.Dst = netip.AddrFrom4([4]byte(b[16:20]))
	h.Options = b[IPv4MinHeaderLen:headerLen:headerLen]
	return h, headerLen, true
}

// HeaderLen returns the length of the header with its options.
func (h *IPv4) HeaderLen() int { return IPv4MinHeaderLen + len(h.Options) }

// Emit writes the header with its checksum into b and returns its length.
func (h *IPv4) Emit(b []byte) int {
	n := h.HeaderLen()
	if n > IPv4MaxHeaderLen || n%4 != 0 {
		panic("BUG: IPv4 options of impossible length")
	}
	b = b[:n]
	b[0] = 4<<4 | byte(n/4)
	b[1] = h.TOS
	binary.BigEndian.PutUint16(b[2:], h.TotalLen)
	binary.BigEndian.PutUint16(b[4:], h.ID)
	frag := uint16(h.FragOffset / 8)
	if h.DF {
		frag |= 0x4000
	}
	if h.MF {
		frag |= 0x2000
	}
	binary.BigEndian.PutUint16(b[6:], frag)
	b[8] = h.TTL
	b[9] = h.Protocol
	b[10], b[11] = 0, 0
	src, dst := h.Src.As4(), h.Dst.As4()
	copy(b[12:16], src[:])
	copy(b[16:20], dst[:])
	copy(b[20:], h.Options)
	var c Checksum
	c.Add(b)
	binary.BigEndian.PutUint16(b[10:], c.Value())
	return n
}

// IPv6 is an IPv6 header as a value.
type IPv6 struct {
	TrafficClass uint8 // DSCP and ECN
	FlowLabel    uint32
	PayloadLen   uint16
	NextHeader   uint8
	HopLimit     uint8
	Src, Dst     netip.Addr
}

// ParseIPv6 parses the header at the start of b. That b holds PayloadLen bytes
// more has not been checked.
func ParseIPv6(b []byte) (h IPv6, ok bool) {
	if len(b) < IPv6HeaderLen || b[0]>>4 != 6 {
		return IPv6{}, false
	}
	first := binary.BigEndian.Uint32(b)
	h.TrafficClass = uint8(first >> 20)
	h.FlowLabel = first & 0xfffff
	h.PayloadLen = binary.BigEndian.Uint16(b[4:])
	h.NextHeader = b[6]
	h.HopLimit = b[7]
	h.Src = netip.AddrFrom16([16]byte(b[8:24]))
	h.Dst = netip.AddrFrom16([16]byte(b[24:40]))
	return h, true
}

// Emit writes the header into b and returns its length.
func (h *IPv6) Emit(b []byte) int {
	b = b[:IPv6HeaderLen]
	binary.BigEndian.PutUint32(b, 6<<28|uint32(h.TrafficClass)<<20|h.FlowLabel&0xfffff)
	binary.BigEndian.PutUint16(b[4:], h.PayloadLen)
	b[6] = h.NextHeader
	b[7] = h.HopLimit
	src, dst := h.Src.As16(), h.Dst.As16()
	copy(b[8:24], src[:])
	copy(b[24:40], dst[:])
	return IPv6HeaderLen
}

// IPv6Fragment is an IPv6 fragment header (RFC 8200, section 4.5).
type IPv6Fragment struct {
	NextHeader uint8
	Offset     int // bytes
	More       bool
	ID         uint32
}

// ParseIPv6Fragment parses the fragment header at the start of b.
func ParseIPv6Fragment(b []byte) (f IPv6Fragment, ok bool) {
	if len(b) < IPv6FragHeaderLen {
		return IPv6Fragment{}, false
	}
	off := binary.BigEndian.Uint16(b[2:])
	return IPv6Fragment{
		NextHeader: b[0],
		Offset:     int(off &^ 7),
		More:       off&1 != 0,
		ID:         binary.BigEndian.Uint32(b[4:]),
	}, true
}

// Emit writes the header into b and returns its length.
func (f *IPv6Fragment) Emit(b []byte) int {
	b = b[:IPv6FragHeaderLen]
	b[0], b[1] = f.NextHeader, 0
	off := uint16(f.Offset) &^ 7
	if f.More {
		off |= 1
	}
	binary.BigEndian.PutUint16(b[2:], off)
	binary.BigEndian.PutUint32(b[4:], f.ID)
	return IPv6FragHeaderLen
}

// ParseIPv6Extension parses the two bytes that hop-by-hop options, routing
// headers and destination options begin with, and returns the length of the
// whole header, which b holds.
func ParseIPv6Extension(b []byte) (next uint8, headerLen int, ok bool) {
	if len(b) < 2 {
		return 0, 0, false
	}
	headerLen = (int(b[1]) + 1) * 8
	if headerLen > len(b) {
		return 0, 0, false
	}
	return b[0], headerLen, true
}

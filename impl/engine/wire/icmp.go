package wire

import "encoding/binary"

// Types of ICMP for IPv4 (RFC 792).
const (
	ICMPv4EchoReply    = 0
	ICMPv4Unreachable  = 3
	ICMPv4SourceQuench = 4
	ICMPv4Redirect     = 5
	ICMPv4Echo         = 8
	ICMPv4TimeExceeded = 11
	ICMPv4ParamProblem = 12
)

// Types of ICMP for IPv6 (RFC 4443).
const (
	ICMPv6Unreachable  = 1
	ICMPv6PacketTooBig = 2
	ICMPv6TimeExceeded = 3
	ICMPv6ParamProblem = 4
	ICMPv6Echo         = 128
	ICMPv6EchoReply    = 129
)

// Codes of ICMP errors.
const (
	ICMPv4CodeHost        = 1 // unreachable
	ICMPv4CodeProtocol    = 2
	ICMPv4CodePort        = 3
	ICMPv4CodeFragNeeded  = 4
	ICMPv6CodeAddress     = 3 // unreachable
	ICMPv6CodePort        = 4
	ICMPCodeReassembly    = 1 // time exceeded, both families
	ICMPv6CodeHeaderField = 0 // parameter problem
	ICMPv6CodeNextHeader  = 1
	ICMPv6CodeOption      = 2
	ICMPv6CodeFirstFrag   = 3 // RFC 7112, section 5
)

// ICMP is the header of an ICMP message of either family.
type ICMP struct {
	Type, Code uint8
	Rest       uint32 // the four bytes whose meaning depends on the type
}

// ParseICMP parses the header at the start of b. The checksum is not looked at.
func ParseICMP(b []byte) (m ICMP, ok bool) {
	if len(b) < ICMPHeaderLen {
		return ICMP{}, false
	}
	return ICMP{Type: b[0], Code: b[1], Rest: binary.BigEndian.Uint32(b[4:])}, true
}

// Emit writes the header with a zero checksum into b and returns its length.
func (m *ICMP) Emit(b []byte) int {
	b = b[:ICMPHeaderLen]
	b[0], b[1], b[2], b[3] = m.Type, m.Code, 0, 0
	binary.BigEndian.PutUint32(b[4:], m.Rest)
	return ICMPHeaderLen
}

// ICMPChecksumOffset is where the checksum stands in the header.
const ICMPChecksumOffset = 2

// Package wire reads and writes the headers of IPv4, IPv6, ICMP and TCP.
//
// Parsers never panic, whatever the bytes: they return ok=false, or for TCP a
// reason, and look at nothing beyond the slice. Emitters write into a slice that
// is long enough, as told by the value's HeaderLen, and panic otherwise.
package wire

// Flags are the control bits of a TCP header, the reserved AE bit included.
type Flags uint16

// The control bits.
const (
	FIN Flags = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
	AE
)

// TCP is a TCP header as a value.
type TCP struct {
	SrcPort, DstPort uint16
	Seq, Ack         uint32
	Flags            Flags
	Window, Urgent   uint16
	Options          TCPOptions
}

// TCPOptions are the options that we understand; others are skipped by their
// length (RFC 9293, section 3.1, MUST-6, MUST-7).
type TCPOptions struct {
	HasMSS         bool
	MSS            uint16
	HasWindowScale bool
	WindowScale    uint8 // as received; the user clamps to 14
	SACKPermitted  bool
	HasTimestamps  bool
	TSval, TSecr   uint32
	SACK           [4]SACKBlock
	SACKCount      uint8
}

// SACKBlock is one block of a SACK option: [Left, Right).
type SACKBlock struct{ Left, Right uint32 }

// HeaderLen returns the length of the header with its options, padded to a
// multiple of four. Options that do not fit into 40 bytes are left out in the
// order SACK blocks from the last.
func (t *TCP) HeaderLen() int { panic("BUG: not written") }

// Emit writes the header with a zero checksum into b and returns its length.
func (t *TCP) Emit(b []byte) int { panic("BUG: not written") }

// ParseTCP parses the TCP header at the start of b, and returns the length of
// the header. The checksum is not looked at.
func ParseTCP(b []byte) (t TCP, headerLen int, ok bool) { panic("BUG: not written") }

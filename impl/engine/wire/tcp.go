package wire

import (
	"encoding/binary"

	"github.com/sluicenet/sluice/impl/engine/fault"
)

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

// String lists the bits that are set, as in "SYN|ACK".
func (f Flags) String() string {
	names := [...]string{"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "AE"}
	s := ""
	for i, name := range names {
		if f&(1<<i) == 0 {
			continue
		}
		if s != "" {
			s += "|"
		}
		s += name
	}
	if s == "" {
		return "none"
	}
	return s
}

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
	FastOpen       FastOpenOption

	// BSD, for Emit, has the options of a SYN in the order of the BSDs: MSS, window
	// scale, SACK-permitted, timestamps. The length is the same.
	BSD bool
}

// SACKBlock is one block of a SACK option: [Left, Right).
type SACKBlock struct{ Left, Right uint32 }

// Specification constants (RFC 9293, section 3.1; RFC 7323; RFC 2018).
const (
	TCPMinHeaderLen = 20
	TCPMaxHeaderLen = 60

	// TCPChecksumOffset is where the checksum stands in the header.
	TCPChecksumOffset = 16

	maxTCPOptions = TCPMaxHeaderLen - TCPMinHeaderLen

	optEnd           = 0
	optNop           = 1
	optMSS           = 2
	optWindowScale   = 3
	optSACKPermitted = 4
	optSACK          = 5
	optTimestamps    = 8

	lenMSS           = 4
	lenWindowScale   = 3
	lenSACKPermitted = 2
	lenTimestamps    = 10
	lenSACKBlock     = 8
)

// optionsLen returns the length of the options as Emit lays them out, each group
// padded to a multiple of four, and how many SACK blocks fit.
func (o *TCPOptions) optionsLen() (n int, blocks int) {
	if o.HasMSS {
		n += lenMSS
	}
	switch {
	case o.HasTimestamps: // with SACK-permitted, or two NOPs, in front
		n += 2 + lenTimestamps
	case o.SACKPermitted:
		n += 2 + lenSACKPermitted
	}
	if o.HasWindowScale {
		n += 1 + lenWindowScale
	}
	if k := o.FastOpen.len(); n+k <= maxTCPOptions {
		n += k
	}
	blocks = min(int(o.SACKCount), len(o.SACK), (maxTCPOptions-n-4)/lenSACKBlock)
	if blocks > 0 {
		n += 4 + blocks*lenSACKBlock
	} else {
		blocks = 0
	}
	return n, blocks
}

// HeaderLen returns the length of the header with its options, padded to a
// multiple of four. Options that do not fit into 40 bytes are left out in the
// order SACK blocks from the last, Fast Open.
func (t *TCP) HeaderLen() int {
	n, _ := t.Options.optionsLen()
	return TCPMinHeaderLen + n
}

// Emit writes the header with a zero checksum into b and returns its length.
func (t *TCP) Emit(b []byte) int {
	optLen, blocks := t.Options.optionsLen()
	n := TCPMinHeaderLen + optLen
	b = b[:n]
	binary.BigEndian.PutUint16(b[0:], t.SrcPort)
	binary.BigEndian.PutUint16(b[2:], t.DstPort)
	binary.BigEndian.PutUint32(b[4:], t.Seq)
	binary.BigEndian.PutUint32(b[8:], t.Ack)
	binary.BigEndian.PutUint16(b[12:], uint16(n/4)<<12|uint16(t.Flags&(AE<<1-1)))
	binary.BigEndian.PutUint16(b[14:], t.Window)
	binary.BigEndian.PutUint16(b[16:], 0)
	binary.BigEndian.PutUint16(b[18:], t.Urgent)
	t.Options.emit(b[TCPMinHeaderLen:], blocks)
	if o := b[TCPMinHeaderLen:]; fault.On("option-padding-not-zero") && optLen == 2+lenTimestamps {
		copy(o, o[2:])
		o[lenTimestamps], o[lenTimestamps+1] = optEnd, 0xaa
	}
	return n
}

func (o *TCPOptions) emit(b []byte, blocks int) {
	if o.BSD && o.HasMSS {
		o.emitBSD(b)
		return
	}
	if o.HasMSS {
		b[0], b[1] = optMSS, lenMSS
		binary.BigEndian.PutUint16(b[2:], o.MSS)
		b = b[lenMSS:]
	}
	if o.HasTimestamps || o.SACKPermitted {
		b[0], b[1] = optNop, optNop
		if fault.On("option-unknown-sent") {
			b[0], b[1] = 77, 2
		}
		if o.HasTimestamps && o.SACKPermitted {
			b[0], b[1] = optSACKPermitted, lenSACKPermitted
		}
		b = b[2:]
	}
	switch {
	case o.HasTimestamps:
		b[0], b[1] = optTimestamps, lenTimestamps
		binary.BigEndian.PutUint32(b[2:], o.TSval)
		binary.BigEndian.PutUint32(b[6:], o.TSecr)
		b = b[lenTimestamps:]
	case o.SACKPermitted:
		b[0], b[1] = optSACKPermitted, lenSACKPermitted
		b = b[lenSACKPermitted:]
	}
	if o.HasWindowScale {
		b[0], b[1], b[2], b[3] = optNop, optWindowScale, lenWindowScale, o.WindowScale
		b = b[1+lenWindowScale:]
	}
	if k := o.FastOpen.len(); k > 0 && k <= len(b) {
		o.FastOpen.emit(b)
		b = b[k:]
	}
	if blocks > 0 {
		b[0], b[1], b[2], b[3] = optNop, optNop, optSACK, byte(2+blocks*lenSACKBlock)
		b = b[4:]
		for _, s := range o.SACK[:blocks] {
			binary.BigEndian.PutUint32(b[0:], s.Left)
			binary.BigEndian.PutUint32(b[4:], s.Right)
			b = b[lenSACKBlock:]
		}
	}
}

// emitBSD writes the options of a SYN as the BSDs do.
func (o *TCPOptions) emitBSD(b []byte) {
	n := copy(b, []byte{optMSS, lenMSS, byte(o.MSS >> 8), byte(o.MSS)})
	if o.HasWindowScale {
		n += copy(b[n:], []byte{optNop, optWindowScale, lenWindowScale, o.WindowScale})
	}
	if o.SACKPermitted {
		n += copy(b[n:], []byte{optSACKPermitted, lenSACKPermitted})
	}
	if o.HasTimestamps {
		for n%4 != 2 {
			b[n] = optNop
			n++
		}
		n += copy(b[n:], []byte{optTimestamps, lenTimestamps})
		binary.BigEndian.PutUint32(b[n:], o.TSval)
		binary.BigEndian.PutUint32(b[n+4:], o.TSecr)
		n += 8
	}
	if k := o.FastOpen.len(); k > 0 && n+k <= len(b) {
		for n%4 != 0 {
			b[n] = optNop
			n++
		}
		o.FastOpen.emit(b[n:])
		n += k
	}
	clear(b[n:]) // the end of options, and padding
}

// ParseTCP parses the TCP header at the start of b, and returns the length of
// the header. The checksum is not looked at. It fails only where the header is
// cut short or its data offset is impossible: malformed options end the options
// (RFC 9293, section 3.1, MUST-7), and those of a wrong length are skipped.
func ParseTCP(b []byte) (t TCP, headerLen int, ok bool) {
	if len(b) < TCPMinHeaderLen {
		return TCP{}, 0, false
	}
	bits := binary.BigEndian.Uint16(b[12:])
	headerLen = int(bits>>12) * 4
	if headerLen < TCPMinHeaderLen || headerLen > len(b) {
		return TCP{}, 0, false
	}
	t.SrcPort = binary.BigEndian.Uint16(b[0:])
	t.DstPort = binary.BigEndian.Uint16(b[2:])
	t.Seq = binary.BigEndian.Uint32(b[4:])
	t.Ack = binary.BigEndian.Uint32(b[8:])
	t.Flags = Flags(bits) & (AE<<1 - 1)
	t.Window = binary.BigEndian.Uint16(b[14:])
	t.Urgent = binary.BigEndian.Uint16(b[18:])
	t.Options.parse(b[TCPMinHeaderLen:headerLen])
	if fault.On("options-on-syn-only") && t.Flags&SYN == 0 && headerLen > TCPMinHeaderLen {
		return TCP{}, 0, false
	}
	if fault.On("options-off-syn-ignored") && t.Flags&SYN == 0 {
		t.Options = TCPOptions{}
	}
	return t, headerLen, true
}

func (o *TCPOptions) parse(b []byte) {
	for n := len(b); len(b) > 0; {
		if fault.On("option-end-skipped") && b[0] == optEnd {
			b = b[1:]
			continue
		}
		if fault.On("option-nop-unknown") && b[0] == optNop {
			return
		}
		switch b[0] {
		case optEnd:
			return
		case optNop:
			b = b[1:]
			continue
		}
		if fault.On("option-unaligned-ignored") && (n-len(b))%4 != 0 && b[0] == optMSS {
			return
		}
		// A length below 2 would not advance, and one past the end is a lie:
		// nothing after it can be trusted.
		if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) && !fault.On("option-length-trusted") {
			return
		}
		kind, opt := b[0], b[:b[1]]
		if unknown := kind > optTimestamps || kind == 6 || kind == 7; unknown && fault.On("option-unknown-ends") {
			return
		} else if unknown && fault.On("option-unknown-by-one-octet") {
			opt = b[:1]
		}
		b = b[len(opt):]
		switch {
		case kind == optMSS && len(opt) == lenMSS:
			o.HasMSS, o.MSS = true, binary.BigEndian.Uint16(opt[2:])
		case kind == optWindowScale && len(opt) == lenWindowScale:
			o.HasWindowScale, o.WindowScale = true, opt[2]
		case kind == optSACKPermitted && len(opt) == lenSACKPermitted:
			o.SACKPermitted = true
		case kind == optTimestamps && len(opt) == lenTimestamps:
			o.HasTimestamps = true
			o.TSval = binary.BigEndian.Uint32(opt[2:])
			o.TSecr = binary.BigEndian.Uint32(opt[6:])
		case kind == optSACK && len(opt) > 2 && (len(opt)-2)%lenSACKBlock == 0:
			o.SACKCount = 0
			for p := opt[2:]; len(p) > 0 && int(o.SACKCount) < len(o.SACK); p = p[lenSACKBlock:] {
				o.SACK[o.SACKCount] = SACKBlock{binary.BigEndian.Uint32(p), binary.BigEndian.Uint32(p[4:])}
				o.SACKCount++
			}
		case kind == optFastOpen:
			o.FastOpen.parse(false, opt[lenFastOpen:])
		case kind == optExperimental && len(opt) >= lenFastOpenExp && binary.BigEndian.Uint16(opt[2:]) == fastOpenMagic:
			o.FastOpen.parse(true, opt[lenFastOpenExp:])
		}
	}
}

package conformance

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/sluicenet/sluice/api/clock"
)

// Flags are the control bits of a TCP segment.
type Flags uint8

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
)

// String prints flags as tcpdump does.
func (f Flags) String() string {
	s := ""
	for i, c := range "FSRP.UEW" {
		if f&(1<<i) != 0 {
			s += string(c)
		}
	}
	if s == "" {
		return "-"
	}
	return s
}

// Range is one block of a SACK option: [Left, Right).
type Range struct{ Left, Right uint32 }

// Segment is a TCP segment on the wire.
type Segment struct {
	At               clock.Time
	Src, Dst         netip.AddrPort
	TTL, TOS         uint8
	DontFragment     bool
	Seq, Ack         uint32
	Flags            Flags
	Window, Urgent   uint16
	HasMSS           bool
	MSS              uint16
	HasScale         bool
	Scale            uint8
	SACKPermitted    bool
	HasTimestamps    bool
	TSval, TSecr     uint32
	SACK             []Range
	HasFastOpen      bool   // RFC 7413
	FastOpen         []byte // the cookie
	Options          []byte // raw, padding included
	Payload          []byte
	PacketLen        int
	optionTrouble    string // what is wrong with the options, for the oracle
	checksumMismatch string
}

// Len is the sequence space that the segment takes.
func (s *Segment) Len() uint32 {
	n := uint32(len(s.Payload))
	if s.Flags&SYN != 0 {
		n++
	}
	if s.Flags&FIN != 0 {
		n++
	}
	return n
}

// Has reports whether all flags of f are set.
func (s *Segment) Has(f Flags) bool { return s.Flags&f == f }

// PureACK reports whether the segment does nothing but acknowledge.
func (s *Segment) PureACK() bool {
	return s.Flags&(SYN|FIN|RST|ACK) == ACK && len(s.Payload) == 0
}

// String prints the segment in the manner of tcpdump, with absolute numbers.
func (s *Segment) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v > %v: [%v] seq %d", s.Src, s.Dst, s.Flags, s.Seq)
	if n := len(s.Payload); n > 0 {
		fmt.Fprintf(&b, ":%d(%d)", s.Seq+uint32(n), n)
	}
	if s.Has(ACK) {
		fmt.Fprintf(&b, " ack %d", s.Ack)
	}
	fmt.Fprintf(&b, " win %d", s.Window)
	if s.Has(URG) {
		fmt.Fprintf(&b, " urg %d", s.Urgent)
	}
	var o []string
	if s.HasMSS {
		o = append(o, fmt.Sprintf("mss %d", s.MSS))
	}
	if s.HasScale {
		o = append(o, fmt.Sprintf("wscale %d", s.Scale))
	}
	if s.SACKPermitted {
		o = append(o, "sackOK")
	}
	if s.HasTimestamps {
		o = append(o, fmt.Sprintf("TS %d:%d", s.TSval, s.TSecr))
	}
	for _, r := range s.SACK {
		o = append(o, fmt.Sprintf("sack %d-%d", r.Left, r.Right))
	}
	if len(o) > 0 {
		fmt.Fprintf(&b, " <%s>", strings.Join(o, ", "))
	}
	return b.String()
}

// packetType returns where gopacket starts decoding an IP packet.
func packetType(raw []byte) gopacket.Decoder {
	if len(raw) > 0 && raw[0]>>4 == 6 {
		return layers.LayerTypeIPv6
	}
	return layers.LayerTypeIPv4
}

// decode returns the TCP segment in an IP packet, or nil if it is no
// well-formed one.
func decode(raw []byte) *Segment {
	p := gopacket.NewPacket(raw, packetType(raw), gopacket.DecodeOptions{NoCopy: true})
	s := &Segment{PacketLen: len(raw)}
	var src, dst netip.Addr
	switch ip := p.NetworkLayer().(type) {
	case *layers.IPv4:
		src, _ = netip.AddrFromSlice(ip.SrcIP.To4())
		dst, _ = netip.AddrFromSlice(ip.DstIP.To4())
		s.TTL, s.TOS, s.DontFragment = ip.TTL, ip.TOS, ip.Flags&layers.IPv4DontFragment != 0
		if sum(ip.Contents) != 0xffff {
			s.checksumMismatch = "IPv4 header checksum"
		}
	case *layers.IPv6:
		src, _ = netip.AddrFromSlice(ip.SrcIP)
		dst, _ = netip.AddrFromSlice(ip.DstIP)
		s.TTL, s.TOS, s.DontFragment = ip.HopLimit, ip.TrafficClass, true
	default:
		return nil
	}
	t, _ := p.Layer(layers.LayerTypeTCP).(*layers.TCP)
	if t == nil || len(t.Contents) < 20 {
		return nil
	}
	s.Src = netip.AddrPortFrom(src, uint16(t.SrcPort))
	s.Dst = netip.AddrPortFrom(dst, uint16(t.DstPort))
	s.Seq, s.Ack, s.Window, s.Urgent, s.Payload = t.Seq, t.Ack, t.Window, t.Urgent, t.Payload
	for i, set := range []bool{t.FIN, t.SYN, t.RST, t.PSH, t.ACK, t.URG, t.ECE, t.CWR} {
		if set {
			s.Flags |= 1 << i
		}
	}
	s.Options = t.Contents[20:]
	for _, o := range t.Options {
		d := o.OptionData
		switch {
		case o.OptionType == layers.TCPOptionKindMSS && len(d) == 2:
			s.HasMSS, s.MSS = true, binary.BigEndian.Uint16(d)
		case o.OptionType == layers.TCPOptionKindWindowScale && len(d) == 1:
			s.HasScale, s.Scale = true, d[0]
		case o.OptionType == layers.TCPOptionKindSACKPermitted && len(d) == 0:
			s.SACKPermitted = true
		case o.OptionType == layers.TCPOptionKindTimestamps && len(d) == 8:
			s.HasTimestamps = true
			s.TSval, s.TSecr = binary.BigEndian.Uint32(d), binary.BigEndian.Uint32(d[4:])
		case o.OptionType == layers.TCPOptionKindSACK && len(d)%8 == 0 && len(d) > 0:
			for ; len(d) >= 8; d = d[8:] {
				s.SACK = append(s.SACK, Range{binary.BigEndian.Uint32(d), binary.BigEndian.Uint32(d[4:])})
			}
		case o.OptionType == kindFastOpen && (len(d) == 0 || len(d) >= 4 && len(d) <= 16 && len(d)%2 == 0):
			s.HasFastOpen, s.FastOpen = true, bytes.Clone(d)
		case o.OptionType == layers.TCPOptionKindNop || o.OptionType == layers.TCPOptionKindEndList:
		default:
			s.optionTrouble = fmt.Sprintf("option kind %d with %d bytes of data", o.OptionType, len(d))
		}
	}
	if p.ErrorLayer() != nil {
		s.optionTrouble = p.ErrorLayer().Error().Error()
	}
	segment := append(bytes.Clone(t.Contents), t.Payload...)
	if sum(pseudo(src, dst, 6, len(segment)), segment) != 0xffff {
		s.checksumMismatch = "TCP checksum"
	}
	return s
}

// pseudo returns the pseudo-header of a transport checksum.
func pseudo(src, dst netip.Addr, protocol byte, length int) []byte {
	b := append(src.AsSlice(), dst.AsSlice()...)
	if src.Is4() {
		return append(b, 0, protocol, byte(length>>8), byte(length))
	}
	b = binary.BigEndian.AppendUint32(b, uint32(length))
	return append(b, 0, 0, 0, protocol)
}

// sum is the ones' complement sum of RFC 1071 over the parts, each of which but
// the last has an even length. Over bytes with a right checksum it is 0xffff.
func sum(parts ...[]byte) uint16 {
	var s uint32
	for _, b := range parts {
		for i := 0; i+1 < len(b); i += 2 {
			s += uint32(b[i])<<8 | uint32(b[i+1])
		}
		if len(b)%2 == 1 {
			s += uint32(b[len(b)-1]) << 8
		}
		for s > 0xffff {
			s = s>>16 + s&0xffff
		}
	}
	return uint16(s)
}

// encode returns the IP packet of a segment, built by gopacket. The options
// go out as they are, however illegal; a length that is no multiple of four is
// padded with zeros.
func encode(s *Segment) []byte {
	opts := bytes.Clone(s.Options)
	for len(opts)%4 != 0 {
		opts = append(opts, 0)
	}
	body := append(opts, s.Payload...)
	t := &layers.TCP{
		SrcPort: layers.TCPPort(s.Src.Port()), DstPort: layers.TCPPort(s.Dst.Port()),
		Seq: s.Seq, Ack: s.Ack, Window: s.Window, Urgent: s.Urgent,
		DataOffset: uint8(5 + len(opts)/4),
		FIN:        s.Has(FIN), SYN: s.Has(SYN), RST: s.Has(RST), PSH: s.Has(PSH), ACK: s.Has(ACK), URG: s.Has(URG),
		ECE: s.Has(ECE), CWR: s.Has(CWR),
	}
	b := gopacket.NewSerializeBuffer()
	ip := ipLayer(s.Src.Addr(), s.Dst.Addr(), layers.IPProtocolTCP, s.TTL, s.TOS)
	must(t.SetNetworkLayerForChecksum(ip.(gopacket.NetworkLayer)))
	must(gopacket.Payload(body).SerializeTo(b, gopacket.SerializeOptions{}))
	must(t.SerializeTo(b, gopacket.SerializeOptions{ComputeChecksums: true})) // the data offset is ours
	if v4, ok := ip.(*layers.IPv4); ok && s.DontFragment {
		v4.Flags = layers.IPv4DontFragment
	}
	must(ip.SerializeTo(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}))
	return bytes.Clone(b.Bytes())
}

// ipLayer returns the gopacket layer of an IP header.
func ipLayer(src, dst netip.Addr, protocol layers.IPProtocol, ttl, tos uint8) gopacket.SerializableLayer {
	if ttl == 0 {
		ttl = 64
	}
	if src.Is4() {
		return &layers.IPv4{Version: 4, TTL: ttl, TOS: tos, Protocol: protocol, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
	}
	return &layers.IPv6{Version: 6, HopLimit: ttl, TrafficClass: tos, NextHeader: protocol, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
}

func must(err error) {
	if err != nil {
		panic(fmt.Sprintf("BUG: gopacket: %v", err))
	}
}

// Raw TCP options, for Opt.
const kindFastOpen = 34

func optMSS(n uint16) []byte   { return []byte{2, 4, byte(n >> 8), byte(n)} }
func optScale(n uint8) []byte  { return []byte{3, 3, n, 1} }
func optSACKPermitted() []byte { return []byte{4, 2, 1, 1} }
func optTimestamps(val, ecr uint32) []byte {
	b := []byte{1, 1, 8, 10}
	b = binary.BigEndian.AppendUint32(b, val)
	return binary.BigEndian.AppendUint32(b, ecr)
}
func optSACK(rs ...Range) []byte {
	b := []byte{1, 1, 5, byte(2 + 8*len(rs))}
	for _, r := range rs {
		b = binary.BigEndian.AppendUint32(b, r.Left)
		b = binary.BigEndian.AppendUint32(b, r.Right)
	}
	return b
}

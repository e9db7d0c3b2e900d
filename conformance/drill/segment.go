package drill

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

// The bits of a segment's flags.
const (
	fFIN = 1 << iota
	fSYN
	fRST
	fPSH
	fACK
	fURG
	fECE
	fCWR
	fAE
)

// segment is a packet on the wire: TCP, ICMP, or something else.
type segment struct {
	at       clock.Time
	raw      []byte
	out      bool // the host sent it
	v6       bool
	src, dst netip.AddrPort
	tos, ttl uint8
	label    uint32 // flow label
	ipID     uint16

	tcp            bool
	flags          uint16
	seq, ack       uint32
	window, urgent uint16
	options        []tcpOption
	optionBytes    int
	payload        []byte

	icmp               bool
	icmpType, icmpCode uint8
	icmpMTU            uint32

	proto   uint8
	trouble string // malformed, or a wrong checksum
}

// tcpOption is an option as it is on the wire.
type tcpOption struct {
	kind uint8
	data []byte
}

// decode returns what is in an IP packet.
func decode(raw []byte) *segment {
	s := &segment{raw: raw}
	first := gopacket.Decoder(layers.LayerTypeIPv4)
	if len(raw) > 0 && raw[0]>>4 == 6 {
		first, s.v6 = layers.LayerTypeIPv6, true
	}
	p := gopacket.NewPacket(raw, first, gopacket.DecodeOptions{NoCopy: true})
	var src, dst netip.Addr
	switch ip := p.NetworkLayer().(type) {
	case *layers.IPv4:
		src, _ = netip.AddrFromSlice(ip.SrcIP.To4())
		dst, _ = netip.AddrFromSlice(ip.DstIP.To4())
		s.tos, s.ttl, s.ipID, s.proto = ip.TOS, ip.TTL, ip.Id, uint8(ip.Protocol)
		if checksum(ip.Contents) != 0xffff {
			s.trouble = "bad IPv4 header checksum"
		}
	case *layers.IPv6:
		src, _ = netip.AddrFromSlice(ip.SrcIP)
		dst, _ = netip.AddrFromSlice(ip.DstIP)
		s.tos, s.ttl, s.label, s.proto = ip.TrafficClass, ip.HopLimit, ip.FlowLabel, uint8(ip.NextHeader)
	default:
		s.trouble = "no IP packet"
		return s
	}
	s.src, s.dst = netip.AddrPortFrom(src, 0), netip.AddrPortFrom(dst, 0)
	if t, ok := p.Layer(layers.LayerTypeTCP).(*layers.TCP); ok && len(t.Contents) >= 20 {
		s.tcp = true
		s.src, s.dst = netip.AddrPortFrom(src, uint16(t.SrcPort)), netip.AddrPortFrom(dst, uint16(t.DstPort))
		s.seq, s.ack, s.window, s.urgent, s.payload = t.Seq, t.Ack, t.Window, t.Urgent, t.Payload
		for i, set := range []bool{t.FIN, t.SYN, t.RST, t.PSH, t.ACK, t.URG, t.ECE, t.CWR, t.NS} {
			if set {
				s.flags |= 1 << i
			}
		}
		s.optionBytes = len(t.Contents) - 20
		s.options = parseOptions(t.Contents[20:])
		whole := append(bytes.Clone(t.Contents), t.Payload...)
		if checksum(pseudo(src, dst, 6, len(whole)), whole) != 0xffff {
			s.trouble = "bad TCP checksum"
		}
		return s
	}
	switch l := p.Layer(layers.LayerTypeICMPv4).(type) {
	case *layers.ICMPv4:
		s.icmp, s.icmpType, s.icmpCode, s.icmpMTU = true, l.TypeCode.Type(), l.TypeCode.Code(), uint32(l.Seq)
	}
	switch l := p.Layer(layers.LayerTypeICMPv6).(type) {
	case *layers.ICMPv6:
		s.icmp, s.icmpType, s.icmpCode = true, l.TypeCode.Type(), l.TypeCode.Code()
	}
	if !s.icmp && p.ErrorLayer() != nil {
		s.trouble = p.ErrorLayer().Error().Error()
	}
	return s
}

func parseOptions(b []byte) (os []tcpOption) {
	for len(b) > 0 {
		switch {
		case b[0] <= 1: // EOL, NOP
			os = append(os, tcpOption{kind: b[0]})
			b = b[1:]
		case len(b) < 2 || b[1] < 2 || int(b[1]) > len(b):
			return append(os, tcpOption{kind: b[0], data: b[1:]}) // malformed: what is left
		default:
			os = append(os, tcpOption{kind: b[0], data: b[2:b[1]]})
			b = b[b[1]:]
		}
	}
	return os
}

// timestamps returns the values of the timestamp option.
func (s *segment) timestamps() (val, ecr uint32, ok bool) {
	for _, o := range s.options {
		if o.kind == kindTS && len(o.data) == 8 {
			return binary.BigEndian.Uint32(o.data), binary.BigEndian.Uint32(o.data[4:]), true
		}
	}
	return 0, 0, false
}

// pureACK reports whether the segment does nothing but acknowledge.
func (s *segment) pureACK() bool {
	return s.tcp && s.flags&(fSYN|fFIN|fRST|fACK|fURG) == fACK && len(s.payload) == 0
}

// Option kinds.
const (
	kindEOL     = 0
	kindNOP     = 1
	kindMSS     = 2
	kindWScale  = 3
	kindSACKOK  = 4
	kindSACK    = 5
	kindTS      = 8
	kindMD5     = 19
	kindFO      = 34
	kindAccECN0 = 172
	kindAccECN1 = 174
	kindExp     = 254
)

// header is what build puts together.
type header struct {
	src, dst       netip.AddrPort
	tos, ttl       uint8
	label          uint32
	flags          uint16
	seq, ack       uint32
	window, urgent uint16
	options        []byte
	payload        []byte
}

// build returns the IP packet of a segment.
func build(h *header) []byte {
	opts := bytes.Clone(h.options)
	for len(opts)%4 != 0 {
		opts = append(opts, kindEOL)
	}
	set := func(f uint16) bool { return h.flags&f != 0 }
	t := &layers.TCP{
		SrcPort: layers.TCPPort(h.src.Port()), DstPort: layers.TCPPort(h.dst.Port()),
		Seq: h.seq, Ack: h.ack, Window: h.window, Urgent: h.urgent, DataOffset: uint8(5 + len(opts)/4),
		FIN: set(fFIN), SYN: set(fSYN), RST: set(fRST), PSH: set(fPSH), ACK: set(fACK), URG: set(fURG),
		ECE: set(fECE), CWR: set(fCWR), NS: set(fAE),
	}
	b := gopacket.NewSerializeBuffer()
	ip := ipLayer(h.src.Addr(), h.dst.Addr(), layers.IPProtocolTCP, h.ttl, h.tos, h.label)
	must(t.SetNetworkLayerForChecksum(ip.(gopacket.NetworkLayer)))
	must(gopacket.Payload(append(opts, h.payload...)).SerializeTo(b, gopacket.SerializeOptions{}))
	must(t.SerializeTo(b, gopacket.SerializeOptions{ComputeChecksums: true}))
	must(ip.SerializeTo(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}))
	return bytes.Clone(b.Bytes())
}

func ipLayer(src, dst netip.Addr, protocol layers.IPProtocol, ttl, tos uint8, label uint32) gopacket.SerializableLayer {
	if ttl == 0 {
		ttl = 255
	}
	if src.Is4() {
		return &layers.IPv4{Version: 4, IHL: 5, TTL: ttl, TOS: tos, Protocol: protocol, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
	}
	return &layers.IPv6{Version: 6, HopLimit: ttl, TrafficClass: tos, FlowLabel: label, NextHeader: protocol,
		SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
}

func must(err error) {
	if err != nil {
		panic(fmt.Sprintf("BUG: gopacket: %v", err))
	}
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

// checksum is the sum of RFC 1071; over bytes with a right checksum it is 0xffff.
// Each part but the last has an even length.
func checksum(parts ...[]byte) uint16 {
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

// flagText prints flags as packetdrill does.
func flagText(f uint16) string {
	var b strings.Builder
	for _, x := range []struct {
		bit uint16
		c   byte
	}{{fSYN, 'S'}, {fFIN, 'F'}, {fRST, 'R'}, {fPSH, 'P'}, {fACK, '.'}, {fURG, 'U'}, {fECE, 'E'}, {fCWR, 'W'}, {fAE, 'A'}} {
		if f&x.bit != 0 {
			b.WriteByte(x.c)
		}
	}
	if b.Len() == 0 {
		return "-"
	}
	return b.String()
}

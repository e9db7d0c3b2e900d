package drill

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/sluicenet/sluice/conformance/drill/script"
)

// icmpType4 and icmpType6 are the types by the names that scripts use, and
// icmpCode4 and icmpCode6 their codes.
var (
	icmpType4 = map[string]uint8{
		"echo_reply": 0, "unreachable": 3, "source_quench": 4, "redirect": 5, "echo_request": 8,
		"time_exceeded": 11, "parameter_problem": 12, "timestamp": 13, "timestamp_reply": 14,
	}
	icmpCode4 = map[string]uint8{
		"net_unreachable": 0, "host_unreachable": 1, "protocol_unreachable": 2, "port_unreachable": 3,
		"frag_needed": 4, "source_route_failed": 5, "net_unknown": 6, "host_unknown": 7, "source_host_isolated": 8,
		"net_prohibited": 9, "host_prohibited": 10, "net_unreachable_for_tos": 11, "host_unreachable_for_tos": 12,
		"communication_prohibited": 13, "packet_filtered": 13, "host_precedence_violation": 14, "precedence_cutoff": 15,
		"ttl_exceeded": 0, "fragment_reassembly_time_exceeded": 1, "ttl_exceeded_in_transit": 0,
	}
	icmpType6 = map[string]uint8{
		"unreachable": 1, "packet_too_big": 2, "time_exceeded": 3, "parameter_problem": 4,
		"echo_request": 128, "echo_reply": 129,
	}
	icmpCode6 = map[string]uint8{
		"no_route": 0, "noroute": 0, "admin_prohibited": 1, "not_neighbour": 2, "not_neighbor": 2, "beyond_scope": 2,
		"addr_unreachable": 3, "address_unreachable": 3, "port_unreachable": 4, "fp_prohibited": 5, "reject_route": 6,
		"hop_limit_exceeded": 0, "fragment_reassembly_time_exceeded": 1,
		"erroneous_header": 0, "unrecognized_next_header": 1, "unrecognized_option": 2,
	}
)

// icmpNumbers returns the type and code of a script's ICMP message.
func icmpNumbers(m *script.ICMP, v6 bool) (typ, code uint8, ok bool) {
	types, codes := icmpType4, icmpCode4
	if v6 {
		types, codes = icmpType6, icmpCode6
	}
	typ, ok = number(m.Type, types)
	if !ok {
		return 0, 0, false
	}
	if m.Code == "" {
		return typ, 0, true
	}
	code, ok = number(m.Code, codes)
	return typ, code, ok
}

// number reads a name or a decimal number.
func number(s string, names map[string]uint8) (uint8, bool) {
	if v, ok := names[s]; ok {
		return v, true
	}
	n := 0
	if s == "" {
		return 0, false
	}
	for _, c := range s {
		if c < '0' || c > '9' {
			return 0, false
		}
		if n = n*10 + int(c-'0'); n > 255 {
			return 0, false
		}
	}
	return uint8(n), true
}

// inboundICMP returns the packet to inject for a script's ICMP message. What it
// quotes is a packet of the host's.
func (c *conn) inboundICMP(p *script.Packet, typ, code uint8) []byte {
	m := p.ICMP
	var quoted []byte
	if e := m.Echoed; e != nil {
		quoted = c.quote(e)
	}
	rest := uint32(m.MTU)
	if m.HasID {
		rest = uint32(m.ID) << 16
	}
	src, dst := c.remote.Addr(), c.local.Addr()
	b := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if src.Is4() {
		l := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(typ, code), Id: uint16(rest >> 16), Seq: uint16(rest)}
		ip := ipLayer(src, dst, layers.IPProtocolICMPv4, 0, tosOf(&p.IP), 0)
		must(gopacket.SerializeLayers(b, opts, ip, l, gopacket.Payload(quoted)))
		return bytes.Clone(b.Bytes())
	}
	l := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(typ, code)}
	ip := ipLayer(src, dst, layers.IPProtocolICMPv6, 0, tosOf(&p.IP), 0).(*layers.IPv6)
	must(l.SetNetworkLayerForChecksum(ip))
	body := append(binary.BigEndian.AppendUint32(nil, rest), quoted...)
	must(gopacket.SerializeLayers(b, opts, ip, l, gopacket.Payload(body)))
	return bytes.Clone(b.Bytes())
}

// quote returns the beginning of a packet that the host may have sent: its IP
// header and 20 bytes of TCP, or 8 of another protocol.
func (c *conn) quote(e *script.Echoed) []byte {
	var raw []byte
	switch e.Protocol {
	case "", "tcp":
		seq := e.Seq.Start
		if !e.Seq.Absolute {
			seq += c.localOffset(false)
			if !c.hasISS {
				seq = e.Seq.Start
			}
		}
		raw = build(&header{src: c.local, dst: c.remote, ttl: 64, seq: seq, ack: c.irs + 1, flags: fACK,
			payload: make([]byte, e.Seq.Len)})
		return raw[:min(len(raw), ipHeaderLen(c.local.Addr())+20)]
	default:
		proto := map[string]layers.IPProtocol{"udp": layers.IPProtocolUDP, "udplite": layers.IPProtocolUDPLite,
			"sctp": layers.IPProtocolSCTP, "raw": layers.IPProtocol(255)}[e.Protocol]
		b := gopacket.NewSerializeBuffer()
		head := binary.BigEndian.AppendUint16(nil, c.local.Port())
		head = binary.BigEndian.AppendUint16(head, c.remote.Port())
		must(gopacket.Payload(append(head, make([]byte, max(e.Len, 4))...)).SerializeTo(b, gopacket.SerializeOptions{}))
		ip := ipLayer(c.local.Addr(), c.remote.Addr(), proto, 64, 0, 0)
		must(ip.SerializeTo(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}))
		raw = bytes.Clone(b.Bytes())
		return raw[:min(len(raw), ipHeaderLen(c.local.Addr())+8)]
	}
}

func ipHeaderLen(a netip.Addr) int {
	if a.Is4() {
		return 20
	}
	return 40
}

package wire

import (
	"encoding/binary"
	"net/netip"
)

// Lengths and numbers of Ethernet.
const (
	EthernetHeaderLen = 14
	EtherTypeIPv4     = 0x0800
	EtherTypeARP      = 0x0806
	EtherTypeIPv6     = 0x86dd
)

// A HardwareAddr is an Ethernet address.
type HardwareAddr [6]byte

// EthernetBroadcast is the address of every station.
var EthernetBroadcast = HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// IsGroup reports whether a is a multicast address or broadcast.
func (a HardwareAddr) IsGroup() bool { return a[0]&1 != 0 }

// IsStation reports whether a can be the address of one station.
func (a HardwareAddr) IsStation() bool { return a != HardwareAddr{} && !a.IsGroup() }

// Ethernet is the header of a frame without a VLAN tag.
type Ethernet struct {
	Dst, Src HardwareAddr
	Type     uint16
}

// ParseEthernet parses the header at the start of b.
func ParseEthernet(b []byte) (h Ethernet, ok bool) {
	if len(b) < EthernetHeaderLen {
		return Ethernet{}, false
	}
	return Ethernet{Dst: HardwareAddr(b[:6]), Src: HardwareAddr(b[6:12]), Type: binary.BigEndian.Uint16(b[12:])}, true
}

// Emit writes the header into b and returns its length.
func (h *Ethernet) Emit(b []byte) int {
	b = b[:EthernetHeaderLen]
	copy(b, h.Dst[:])
	copy(b[6:], h.Src[:])
	binary.BigEndian.PutUint16(b[12:], h.Type)
	return EthernetHeaderLen
}

// Numbers of ARP (RFC 826).
const (
	ARPLen     = 28 // for Ethernet and IPv4
	ARPRequest = 1
	ARPReply   = 2
)

// ARP is an ARP message for IPv4 on Ethernet.
type ARP struct {
	Op                 uint16
	SenderHW, TargetHW HardwareAddr
	Sender, Target     netip.Addr
}

// ParseARP parses the message at the start of b. Other address families than IPv4
// on Ethernet are refused.
func ParseARP(b []byte) (m ARP, ok bool) {
	if len(b) < ARPLen || binary.BigEndian.Uint64(b)>>16 != 0x0001_0800_0604 {
		return ARP{}, false
	}
	return ARP{
		Op:       binary.BigEndian.Uint16(b[6:]),
		SenderHW: HardwareAddr(b[8:14]),
		Sender:   netip.AddrFrom4([4]byte(b[14:18])),
		TargetHW: HardwareAddr(b[18:24]),
		Target:   netip.AddrFrom4([4]byte(b[24:28])),
	}, true
}

// Emit writes the message into b and returns its length.
func (m *ARP) Emit(b []byte) int {
	b = b[:ARPLen]
	binary.BigEndian.PutUint64(b, 0x0001_0800_0604_0000|uint64(m.Op))
	copy(b[8:], m.SenderHW[:])
	s, t := m.Sender.As4(), m.Target.As4()
	copy(b[14:], s[:])
	copy(b[18:], m.TargetHW[:])
	copy(b[24:], t[:])
	return ARPLen
}

// Types of neighbour discovery (RFC 4861, section 4).
const (
	NDPRouterSolicit    = 133
	NDPRouterAdvert     = 134
	NDPNeighbourSolicit = 135
	NDPNeighbourAdvert  = 136
	NDPRedirect         = 137
)

// Flags and options of neighbour discovery, as they stand in the first word
// behind the checksum and in front of an option.
const (
	NDPSolicited = 1 << 30
	NDPOverride  = 1 << 29

	NDPSourceAddress = 1
	NDPTargetAddress = 2

	NDPMinLen = 24 // a neighbour solicitation or advertisement without options
)

// NDP is a neighbour solicitation or advertisement.
type NDP struct {
	ICMP
	Target netip.Addr

	// HW is the link-layer address of the option that a message of its type
	// has, if HasHW.
	HW    HardwareAddr
	HasHW bool
}

// ParseNDP parses the message that b is. The checksum is not looked at.
func ParseNDP(b []byte) (m NDP, ok bool) {
	if len(b) < NDPMinLen {
		return NDP{}, false
	}
	m.ICMP, _ = ParseICMP(b)
	if m.Type != NDPNeighbourSolicit && m.Type != NDPNeighbourAdvert || m.Code != 0 {
		return NDP{}, false
	}
	m.Target = netip.AddrFrom16([16]byte(b[8:24]))
	option := byte(NDPSourceAddress)
	if m.Type == NDPNeighbourAdvert {
		option = NDPTargetAddress
	}
	for b = b[NDPMinLen:]; len(b) > 0; {
		// RFC 4861, section 4.6: an option of length zero spoils the packet.
		if len(b) < 8 || b[1] == 0 || int(b[1])*8 > len(b) {
			return NDP{}, false
		}
		if b[0] == option && b[1] == 1 {
			m.HW, m.HasHW = HardwareAddr(b[2:8]), true
		}
		b = b[int(b[1])*8:]
	}
	return m, true
}

// Len returns how many bytes Emit writes.
func (m *NDP) Len() int {
	if m.HasHW {
		return NDPMinLen + 8
	}
	return NDPMinLen
}

// Emit writes the message with a zero checksum into b and returns its length.
func (m *NDP) Emit(b []byte) int {
	b = b[:m.Len()]
	m.ICMP.Emit(b)
	t := m.Target.As16()
	copy(b[8:], t[:])
	if m.HasHW {
		b[24], b[25] = NDPSourceAddress, 1
		if m.Type == NDPNeighbourAdvert {
			b[24] = NDPTargetAddress
		}
		copy(b[26:], m.HW[:])
	}
	return len(b)
}

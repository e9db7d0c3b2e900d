package gso

import (
	"encoding/binary"
	"math/bits"
)

// add adds the bytes b to an Internet checksum that is not yet folded; odd says that
// an odd number of bytes came before.
func add(sum uint64, b []byte, odd bool) uint64 {
	var s, carry uint64
	for len(b) >= 32 {
		s, carry = bits.Add64(s, binary.BigEndian.Uint64(b), carry)
		s, carry = bits.Add64(s, binary.BigEndian.Uint64(b[8:]), carry)
		s, carry = bits.Add64(s, binary.BigEndian.Uint64(b[16:]), carry)
		s, carry = bits.Add64(s, binary.BigEndian.Uint64(b[24:]), carry)
		b = b[32:]
	}
	for len(b) >= 2 {
		s, carry = bits.Add64(s, uint64(binary.BigEndian.Uint16(b)), carry)
		b = b[2:]
	}
	if len(b) == 1 {
		s, carry = bits.Add64(s, uint64(b[0])<<8, carry)
	}
	s, carry = bits.Add64(s, carry, 0)
	part := uint64(fold(s)) + carry
	if odd {
		part = uint64(bits.ReverseBytes16(fold(part)))
	}
	return sum + part
}

// fold returns a sum in 16 bits, not inverted.
func fold(s uint64) uint16 {
	s = s>>32 + s&0xffffffff
	s = s>>32 + s&0xffffffff
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	return uint16(s)
}

// pseudoHeader returns the sum of the pseudo-header for the n bytes of TCP of a
// packet that begins with the IP header ip.
func pseudoHeader(ip []byte, n int) uint64 {
	addrs := ip[12:20]
	if ip[0]>>4 == 6 {
		addrs = ip[8:40]
	}
	return add(uint64(n>>16)+uint64(n&0xffff)+protoTCP, addrs, false)
}

// sumIPv4 sets the checksum of an IPv4 header.
func sumIPv4(h []byte) {
	h[10], h[11] = 0, 0
	binary.BigEndian.PutUint16(h[10:], ^fold(add(0, h, false)))
}

package gso

import (
	"encoding/binary"
	"math/bits"

	"github.com/sluicenet/sluice/internal/inet"
)

// add adds the bytes b to an Internet checksum that is not yet folded; odd says that
// an odd number of bytes came before.
func add(sum uint64, b []byte, odd bool) uint64 {
	part := inet.Sum(b)
	if odd {
		part = bits.ReverseBytes16(part)
	}
	return sum + uint64(part)
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

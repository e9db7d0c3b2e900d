package wire

import (
	"encoding/binary"
	"math/bits"
	"net/netip"

	"github.com/sluicenet/sluice/internal/inet"
)

// A Checksum is a running Internet checksum (RFC 1071). The zero value is that
// of no bytes. Runs of bytes may be added in pieces of any length, odd ones
// included, as long as they are added in order.
type Checksum struct {
	sum uint32 // of 16-bit words, not yet folded
	odd bool   // an odd number of bytes has been added
}

// Add adds b.
func (c *Checksum) Add(b []byte) {
	s := inet.Sum(b)
	if c.odd {
		s = bits.ReverseBytes16(s)
	}
	c.add(s)
	c.odd = c.odd != (len(b)%2 == 1)
}

// AddUint16 adds a number as its two bytes. The count so far must be even.
func (c *Checksum) AddUint16(v uint16) { c.add(v) }

func (c *Checksum) add(v uint16) {
	c.sum += uint32(v)
	c.sum = c.sum&0xffff + c.sum>>16
}

// Folded returns the sum, which is all ones for a run of bytes that includes its
// right checksum.
func (c *Checksum) Folded() uint16 {
	s := c.sum
	s = s&0xffff + s>>16
	return uint16(s)
}

// Value returns the checksum to be stored in a header, whose checksum field
// was zero when it was added.
func (c *Checksum) Value() uint16 { return ^c.Folded() }

// PseudoHeader returns the checksum of the pseudo-header of a transport segment
// of n bytes (RFC 9293, section 3.1; RFC 8200, section 8.1).
func PseudoHeader(src, dst netip.Addr, proto uint8, n int) Checksum {
	var c Checksum
	if src.Is4() {
		s, d := src.As4(), dst.As4()
		sum := uint64(binary.BigEndian.Uint32(s[:])) + uint64(binary.BigEndian.Uint32(d[:]))
		sum = sum>>32 + sum&0xffffffff // 33 bits
		sum = sum>>16 + sum&0xffff     // 17 bits
		c.sum = uint32(sum>>16 + sum&0xffff)
	} else {
		s, d := src.As16(), dst.As16()
		c.Add(s[:])
		c.Add(d[:])
	}
	c.add(uint16(n >> 16))
	c.add(uint16(n))
	c.add(uint16(proto))
	return c
}

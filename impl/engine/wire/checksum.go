package wire

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
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
	s := sum16(b)
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

// sum16 returns the one's complement sum of b as big-endian 16-bit words. It
// adds eight bytes at a time in the order of the machine's most common memory:
// the sum is the same but for the order of its bytes (RFC 1071, section 2(B)).
//
// A chain of additions with carry goes at one word a cycle; two of them, which know
// nothing of each other, go side by side.
func sum16(b []byte) uint16 {
	var s, t, carries uint64
	for len(b) >= 128 {
		p := (*[128]byte)(b)
		var c uint64
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[0:]), 0)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[8:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[16:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[24:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[32:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[40:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[48:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[56:]), c)
		carries += c
		t, c = bits.Add64(t, binary.LittleEndian.Uint64(p[64:]), 0)
		t, c = bits.Add64(t, binary.LittleEndian.Uint64(p[72:]), c)
		t, c = bits.Add64(t, binary.LittleEndian.Uint64(p[80:]), c)
		t, c = bits.Add64(t, binary.LittleEndian.Uint64(p[88:]), c)
		t, c = bits.Add64(t, binary.LittleEndian.Uint64(p[96:]), c)
		t, c = bits.Add64(t, binary.LittleEndian.Uint64(p[104:]), c)
		t, c = bits.Add64(t, binary.LittleEndian.Uint64(p[112:]), c)
		t, c = bits.Add64(t, binary.LittleEndian.Uint64(p[120:]), c)
		carries += c
		b = b[128:]
	}
	s, carry := bits.Add64(s, t, 0)
	s, carry = bits.Add64(s, carries, carry)
	for len(b) >= 8 {
		s, carry = bits.Add64(s, binary.LittleEndian.Uint64(b), carry)
		b = b[8:]
	}
	if len(b) >= 4 { // as the headers of IPv4 end
		s, carry = bits.Add64(s, uint64(binary.LittleEndian.Uint32(b)), carry)
		b = b[4:]
	}
	var tail uint64
	for i, x := range b {
		tail |= uint64(x) << (8 * i)
	}
	s, carry = bits.Add64(s, tail, carry)
	s, carry = bits.Add64(s, 0, carry)
	s += carry
	s = s>>32 + s&0xffffffff
	s = s>>32 + s&0xffffffff
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	return bits.ReverseBytes16(uint16(s))
}

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

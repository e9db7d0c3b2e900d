package wire

import "github.com/sluicenet/sluice/impl/engine/fault"

// Fast Open (RFC 7413, section 2): its option, and that of the experiments before it,
// which RFC 6994 tells from others by a number.
const (
	optFastOpen     = 34
	optExperimental = 254
	fastOpenMagic   = 0xf989

	lenFastOpen    = 2 // without the cookie
	lenFastOpenExp = 4

	minCookie = 4
	maxCookie = 16
)

// A Cookie is one of Fast Open: of 4 to 16 octets, an even number. That of no octets
// asks for one.
type Cookie struct {
	Len    uint8
	Octets [maxCookie]byte
}

// MakeCookie returns the cookie of the octets of b, and false if there is none of
// that length.
func MakeCookie(b []byte) (c Cookie, ok bool) {
	if n := len(b); n != 0 && (n < minCookie || n > maxCookie || n%2 != 0) {
		return c, false
	}
	c.Len = uint8(copy(c.Octets[:], b))
	return c, true
}

// Bytes returns the octets of the cookie, and is nil for none.
func (c *Cookie) Bytes() []byte { return c.Octets[:c.Len] }

// FastOpenOption is the option of a SYN or a SYN-ACK.
type FastOpenOption struct {
	Present      bool
	Experimental bool // of kind 254
	Cookie       Cookie
}

// len returns the length of the option with its padding.
func (o *FastOpenOption) len() int {
	switch {
	case !o.Present:
		return 0
	case o.Experimental:
		return (lenFastOpenExp + int(o.Cookie.Len) + 3) &^ 3
	}
	return (lenFastOpen + int(o.Cookie.Len) + 3) &^ 3
}

// emit writes the option, and NOPs up to a multiple of four.
func (o *FastOpenOption) emit(b []byte) {
	n := 0
	if o.Experimental {
		n = copy(b, []byte{optExperimental, lenFastOpenExp + o.Cookie.Len, fastOpenMagic >> 8, fastOpenMagic & 0xff})
	} else {
		n = copy(b, []byte{optFastOpen, lenFastOpen + o.Cookie.Len})
	}
	n += copy(b[n:], o.Cookie.Bytes())
	for ; n%4 != 0; n++ {
		b[n] = optNop
	}
}

// parse takes in what follows the kind and the length. A cookie of a wrong length
// makes it no option (section 4.1.1).
func (o *FastOpenOption) parse(experimental bool, b []byte) {
	if c, ok := MakeCookie(b); ok || fault.On("fast-open-length-unchecked") {
		*o = FastOpenOption{Present: true, Experimental: experimental, Cookie: c}
	}
}

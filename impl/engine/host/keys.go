package host

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/fault"
	"github.com/sluicenet/sluice/impl/engine/tcp"
)

// What a derived secret is for. Two purposes never see the same one.
const (
	purposeRandom = iota + 1
	purposeConnection
	purposePorts
	purposePortTable
	purposeLoop
	purposeLookup
	purposeFastOpen
)

// secretWords is what a keyed hash gives: words that cannot be told from random
// ones without the key.
type secretWords [32]byte

func (s *secretWords) word(i int) uint32 { return binary.LittleEndian.Uint32(s[4*i:]) }

func (s *secretWords) long(i int) uint64 { return binary.LittleEndian.Uint64(s[8*i:]) }

// derive hashes what, of fixed size for each purpose, with the key in front. The
// lengths being fixed, SHA-256 serves as the keyed pseudo-random function that
// RFC 6528, section 3, asks for.
func derive(secret *[32]byte, purpose uint8, what any) secretWords {
	var buf [32 + 1 + 36]byte
	b := append(buf[:0], secret[:]...)
	b = append(b, purpose)
	switch w := what.(type) {
	case tuple:
		b = append(b, w.Local[:]...)
		b = append(b, w.Remote[:]...)
		b = binary.BigEndian.AppendUint16(b, w.LocalPort)
		b = binary.BigEndian.AppendUint16(b, w.RemotePort)
	case uint64:
		b = binary.BigEndian.AppendUint64(b, w)
	default:
		panic("BUG: nothing to derive a secret from")
	}
	return sha256.Sum256(b)
}

// isn returns the initial sequence number of a connection (RFC 6528, section 3;
// RFC 9293, section 3.4.1, MUST-8, MUST-9): a clock of four microseconds and the
// keyed hash of its addresses.
func isn(now clock.Time, s *secretWords) uint32 {
	switch {
	case fault.On("isn-without-clock"):
		return s.word(0)
	case fault.On("isn-clock-slow"):
		return uint32(time.Duration(now)/(400*time.Microsecond)) + s.word(0)
	case fault.On("isn-without-hash"):
		return uint32(time.Duration(now) / (4 * time.Microsecond))
	}
	return uint32(time.Duration(now)/(4*time.Microsecond)) + s.word(0)
}

// An identity is what is peculiar to the connection between two addresses.
type identity struct {
	key      tuple
	iss      uint32 // RFC 6528, or a test's
	tsOffset uint32 // of our timestamp clock (RFC 7323, section 5.4)
	label    uint32 // IPv6 flow label (RFC 6437)
	cookie   tcp.CookieKey
}

func (h *Host) identify(now clock.Time, local, remote netip.AddrPort) identity {
	id := identity{key: tupleOf(local, remote)}
	s := derive(&h.cfg.Secret, purposeConnection, id.key)
	if fault.On("isn-hash-without-ports") {
		s = derive(&h.cfg.Secret, purposeConnection, tuple{Local: id.key.Local, Remote: id.key.Remote})
	}
	id.iss, id.tsOffset, id.label = isn(now, &s), s.word(1), s.word(2)&0xfffff
	id.cookie = tcp.CookieKey{s.long(2), s.long(3)}
	if h.cfg.ISN != nil {
		id.iss = h.cfg.ISN(local, remote, now)
	}
	return id
}

// issAfter returns iss, or if that is before least, which a connection in
// TIME-WAIT asks for, a number a little beyond least.
func (h *Host) issAfter(iss, least uint32) uint32 {
	if int32(iss-least) < 0 {
		return least + h.rand.Uint32()&0xffff
	}
	return iss
}

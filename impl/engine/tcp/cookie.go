package tcp

import (
	"math/bits"
	"time"

	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// SYN cookies (RFC 4987, section 3.6): where there is no place for a half-open
// connection, our initial sequence number says what would have been kept in it, and
// proves by a keyed hash that it is ours when the peer acknowledges it.
//
//	28 bits  hash of the pair of addresses, the peer's ISN, the period and what follows
//	 3 bits  index of the peer's MSS, rounded down
//	 1 bit   the period's lowest
//
// The other options fit only into the timestamp, which the peer echoes; where it
// has none, there is no window scale, no SACK and no ECN. The low 6 bits of the
// timestamp are
//
//	 4 bits  the peer's window scale; 15 for none
//	 1 bit   SACK
//	 1 bit   ECN
//
// A SYN-ACK with a cookie is not repeated, and an ACK of one that was lost is not
// missed: if it is the server that speaks first, such a connection hangs until the
// client's own patience ends. That is the price of remembering nothing.

// CookiePolicy says when a SYN is answered with a cookie.
type CookiePolicy uint8

// The policies.
const (
	CookiesOverflow CookiePolicy = iota // when the SYN queue is full
	CookiesNever                        // the oldest half-open connection makes room instead
	CookiesAlways                       // no SYN takes a place in the queue
)

// cookiePeriod is how long a counter lasts that is part of each cookie. One is good
// for the rest of its period and for the whole of the next.
const cookiePeriod = 64 * time.Second

// CookieLife is how long after a cookie was sent its ACK may still be accepted.
const CookieLife = 2 * cookiePeriod

// cookieMSS are the sizes that a cookie can say, the usual ones among them: those of
// dialup and tunnels, of Ethernet with IPv6 and with IPv4, of jumbo frames. All are
// at least the least that any peer has to take (RFC 9293, section 3.7.1: our
// floor).
var cookieMSS = [8]uint16{48, 536, 1220, 1300, 1380, 1440, 1460, 8940}

const (
	cookieScaleBits = 0xf
	cookieNoScale   = 0xf
	cookieSACK      = 1 << 4
	cookieECN       = 1 << 5
	cookieTSBits    = 0x3f

	cookieHashBits = 0xfffffff0
)

// A CookieKey is the secret that the cookies of one pair of addresses are made with.
type CookieKey [2]uint64

func cookiePeriodAt(now clock.Time) uint32 { return uint32(now / clock.Time(cookiePeriod)) }

// hash returns what of a cookie proves that it is ours. low are its other bits, and
// options those of the timestamp, or what no timestamp has.
func (k *CookieKey) hash(irs, period, low, options uint32) uint32 {
	return uint32(sipHash(k, uint64(irs)<<32|uint64(period), uint64(low)<<32|uint64(options))) & cookieHashBits
}

const cookieWithoutTS = 1 << 31

// Cookie answers a SYN without remembering anything: the SYN-ACK is in out. It
// returns false for a SYN that no cookie can be made for: one with an MSS below them
// all.
func (r *Responder) Cookie(now clock.Time, key *CookieKey, tsOffset uint32, v6 bool, syn *wire.TCP, out *Out) bool {
	h := r.negotiate(now, tsOffset, v6, syn)
	if h.peerMSS < cookieMSS[0] {
		return false
	}
	mss := uint32(0)
	for int(mss+1) < len(cookieMSS) && cookieMSS[mss+1] <= h.peerMSS {
		mss++
	}
	options, ts := uint32(cookieWithoutTS), uint32(0)
	if h.flags&halfTimestamps == 0 {
		h.flags &= halfV6
	} else {
		options = cookieNoScale
		if h.flags&halfScale != 0 {
			options = uint32(h.peerScale)
		}
		if h.flags&halfSACK != 0 {
			options |= cookieSACK
		}
		if h.flags&halfECN != 0 {
			options |= cookieECN
		}
		present := h.tsNow(now)
		if ts = present&^cookieTSBits | options; int32(ts-present) > 0 {
			ts -= cookieTSBits + 1 // never from the future, nor newer than what follows
		}
	}
	period := cookiePeriodAt(now)
	low := mss<<1 | period&1
	h.iss = key.hash(h.irs, period, low, options) | low
	r.synAck(&h, ts, out)
	return true
}

// TakeCookie returns what a cookie stands for that the segment s acknowledges, and
// false if it is none of ours, or too old. s has an ACK, and neither SYN nor RST.
func (r *Responder) TakeCookie(now clock.Time, key *CookieKey, tsOffset uint32, v6 bool, s *wire.TCP) (HalfOpen, bool) {
	h := HalfOpen{
		opened: now, repeated: now, tsOffset: tsOffset, iss: s.Ack - 1, irs: s.Seq - 1,
		flags: halfAmbiguous, // nobody knows when the SYN-ACK was sent
	}
	options := uint32(cookieWithoutTS)
	if s.Options.HasTimestamps && !r.p.NoTimestamps {
		h.flags |= halfTimestamps
		h.tsRecent = s.Options.TSval
		options = s.Options.TSecr & cookieTSBits
		if age := h.tsNow(now) - s.Options.TSecr; age > uint32(CookieLife/time.Millisecond)+cookieTSBits+1 {
			return h, false
		}
	}
	low := h.iss &^ cookieHashBits
	period := cookiePeriodAt(now)
	if (period^low)&1 != 0 {
		period--
	}
	if key.hash(h.irs, period, low, options)|low != h.iss {
		return h, false
	}
	h.peerMSS = cookieMSS[low>>1]
	if v6 {
		h.flags |= halfV6
	}
	if options == cookieWithoutTS {
		return h, true
	}
	if scale := options & cookieScaleBits; scale != cookieNoScale {
		h.flags |= halfScale
		h.peerScale = uint8(scale)
	}
	if options&cookieSACK != 0 {
		h.flags |= halfSACK
	}
	if options&cookieECN != 0 {
		h.flags |= halfECN
	}
	return h, true
}

// sipHash is SipHash-2-4 of sixteen bytes: those of a and b, the lowest first.
func sipHash(k *CookieKey, a, b uint64) uint64 {
	h := newSip(k)
	h.word(a)
	h.word(b)
	return h.sum(16)
}

// sip is the state of SipHash-2-4 (Aumasson and Bernstein, "SipHash: a fast short-input
// PRF", 2012) of a message of whole words, the lowest byte of each first.
type sip [4]uint64

func newSip(k *CookieKey) sip {
	return sip{
		k[0] ^ 0x736f6d6570736575, k[1] ^ 0x646f72616e646f6d,
		k[0] ^ 0x6c7967656e657261, k[1] ^ 0x7465646279746573,
	}
}

func (v *sip) round() {
	v[0] += v[1]
	v[1] = bits.RotateLeft64(v[1], 13) ^ v[0]
	v[0] = bits.RotateLeft64(v[0], 32)
	v[2] += v[3]
	v[3] = bits.RotateLeft64(v[3], 16) ^ v[2]
	v[0] += v[3]
	v[3] = bits.RotateLeft64(v[3], 21) ^ v[0]
	v[2] += v[1]
	v[1] = bits.RotateLeft64(v[1], 17) ^ v[2]
	v[2] = bits.RotateLeft64(v[2], 32)
}

func (v *sip) word(m uint64) {
	v[3] ^= m
	v.round()
	v.round()
	v[0] ^= m
}

// sum returns the hash of the n bytes that word has been given.
func (v *sip) sum(n int) uint64 {
	v.word(uint64(n) << 56)
	v[2] ^= 0xff
	for range 4 {
		v.round()
	}
	return v[0] ^ v[1] ^ v[2] ^ v[3]
}

package ip

import (
	"net/netip"
	"time"

	"github.com/sluicenet/sluice/api/clock"
)

// A bucket is a token bucket. Tokens are counted in thousandths.
type bucket struct {
	tokens int64
	last   clock.Time
}

func (b *bucket) take(now clock.Time, perSecond, burst, cost int64) bool {
	if d := now.Sub(b.last); d > 0 {
		if d > time.Hour {
			d = time.Hour
		}
		// At most burst is added, so that the product cannot overflow.
		add := int64(d/time.Microsecond) * perSecond / 1000
		if add > 0 {
			b.tokens = min(b.tokens+add, burst*1000)
			b.last = now
		}
	}
	if b.tokens < cost {
		return false
	}
	b.tokens -= cost
	return true
}

// Limits of what is sent to strangers in answer to what they sent.
const (
	errorsPerSecond   = 1000
	errorsBurst       = 64
	perDestPerSecond  = 20
	perDestBurst      = 10
	destinationSlots  = 256
	bucketInitialTime = clock.Time(-1 << 62)
)

// A Limiter bounds the rate of messages provoked by strangers: first for each
// destination, then for all together. What the common limit takes is random, so
// that its state, seen through one's own share of it, does not tell what was sent
// to others (the side channel of CVE-2020-25705). The zero value is not ready; use
// [NewLimiter].
type Limiter struct {
	rand  interface{ Uint64() uint64 }
	key   uint64
	all   bucket
	cost  int64 // of the next message, for all
	dests [destinationSlots]bucket

	perSecond, burst, destPerSecond, destBurst int64
}

// NewLimiter returns a limiter for ICMP errors.
func NewLimiter(rand interface{ Uint64() uint64 }) *Limiter {
	l := &Limiter{
		rand: rand, key: rand.Uint64(),
		perSecond: errorsPerSecond, burst: errorsBurst,
		destPerSecond: perDestPerSecond, destBurst: perDestBurst,
	}
	l.all.last = bucketInitialTime
	l.all.tokens = l.burst * 1000
	for i := range l.dests {
		l.dests[i].last = bucketInitialTime
		l.dests[i].tokens = l.destBurst * 1000
	}
	return l
}

// NewLimiterOf returns a limiter with limits of its own, in messages a second and
// in a burst.
func NewLimiterOf(rand interface{ Uint64() uint64 }, perSecond, burst, destPerSecond, destBurst int64) *Limiter {
	l := NewLimiter(rand)
	l.perSecond, l.burst, l.destPerSecond, l.destBurst = perSecond, burst, destPerSecond, destBurst
	l.all.tokens = burst * 1000
	for i := range l.dests {
		l.dests[i].tokens = destBurst * 1000
	}
	return l
}

// Allow reports whether a message may be sent to dst now.
func (l *Limiter) Allow(now clock.Time, dst netip.Addr) bool {
	a := dst.As16()
	h := l.key
	for _, x := range a {
		h = (h ^ uint64(x)) * 0x9e3779b97f4a7c15
		h ^= h >> 29
	}
	if !l.dests[h%destinationSlots].take(now, l.destPerSecond, l.destBurst, 1000) {
		return false
	}
	if l.cost == 0 {
		l.cost = int64(500 + l.rand.Uint64()%1001)
	}
	if !l.all.take(now, l.perSecond, l.burst, l.cost) {
		return false
	}
	l.cost = 0
	return true
}

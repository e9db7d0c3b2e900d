// Package impair has what simulated networks do to packets, apart from any
// network: chances drawn from seeded streams, and the time that bytes take on a
// wire. Package link/sim and the laboratory sim share it.
package impair

import (
	"math/bits"
	"math/rand/v2"
	"time"
)

// Stream returns one of the independent streams of random numbers that belong to
// a seed. lane and n tell them apart.
func Stream(seed, lane, n uint64) *rand.Rand {
	id := lane<<32 | n
	return rand.New(rand.NewPCG(Mix(seed^Mix(id)), Mix(seed+0x9e3779b97f4a7c15*(id+1))))
}

// Mix is the finaliser of SplitMix64: it keeps seeds that are close to each
// other from giving streams that are.
func Mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Odds are the probabilities of what may befall a packet, and how far its delay
// may stray.
type Odds struct {
	Loss, Corrupt, Reorder, Duplicate float64
	Jitter                            time.Duration
}

// Luck is what chance has in store for one packet.
type Luck struct {
	Lost, Corrupted, Reordered, Duplicated bool
	Jitter, Jitter2                        time.Duration // of the packet and of its duplicate
	Position                               uint64        // of the corrupted bit, in 2^-64ths of the packet
}

// Chance has one stream of random numbers for each impairment, so that they do
// not depend on one another.
type Chance struct {
	loss, corrupt, bit, jitter, reorder, duplicate, jitter2 *rand.Rand
}

// NewChance returns the streams of one lane, a direction of a link, say.
func NewChance(seed, lane uint64) Chance {
	stream := func(n uint64) *rand.Rand { return Stream(seed, lane, n) }
	return Chance{
		loss: stream(1), corrupt: stream(2), bit: stream(3), jitter: stream(4),
		reorder: stream(5), duplicate: stream(6), jitter2: stream(7),
	}
}

// Draw draws for one packet. It takes the same numbers whatever the odds.
func (c *Chance) Draw(o *Odds) Luck {
	return Luck{
		Lost:       c.loss.Float64() < o.Loss,
		Corrupted:  c.corrupt.Float64() < o.Corrupt,
		Reordered:  c.reorder.Float64() < o.Reorder,
		Duplicated: c.duplicate.Float64() < o.Duplicate,
		Jitter:     spread(c.jitter, o.Jitter),
		Jitter2:    spread(c.jitter2, o.Jitter),
		Position:   c.bit.Uint64(),
	}
}

// spread returns a duration between -j and j, from one number of r whatever j is.
func spread(r *rand.Rand, j time.Duration) time.Duration {
	return time.Duration((2*r.Float64() - 1) * float64(j))
}

// FlipBit inverts the bit of b at a [Luck.Position].
func FlipBit(b []byte, position uint64) {
	bit, _ := bits.Mul64(position, uint64(len(b))*8)
	b[bit/8] ^= 1 << (bit % 8)
}

// A Serializer tells how long bytes take at a rate, exactly in the long run: what
// is left of a nanosecond is carried over to the next call. The zero value is
// ready.
type Serializer struct {
	rest uint64 // in 1/rate of a nanosecond
	rate int64  // in whose fractions rest is
}

// Reset forgets the carry: the wire has been idle.
func (s *Serializer) Reset() { s.rest = 0 }

// Time returns how long n bytes take at rate bits a second, which is positive.
func (s *Serializer) Time(n, rate int64) time.Duration {
	if rate != s.rate {
		s.rest, s.rate = 0, rate
	}
	hi, lo := bits.Mul64(uint64(n)*8, uint64(time.Second))
	lo, carry := bits.Add64(lo, s.rest, 0)
	quo, rem := bits.Div64(hi+carry, lo, uint64(rate))
	s.rest = rem
	return time.Duration(quo)
}

// BDP returns the bytes that a rate in bits a second carries in d.
func BDP(rate int64, d time.Duration) int64 {
	hi, lo := bits.Mul64(uint64(rate)/8, uint64(d))
	if hi >= uint64(time.Second) {
		return 1<<63 - 1
	}
	n, _ := bits.Div64(hi, lo, uint64(time.Second))
	return int64(min(n, 1<<63-1))
}

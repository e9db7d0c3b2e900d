package sim

import "time"

// A Bucket is a token bucket: Rate bits a second, and Burst bytes at once.
type Bucket struct {
	Rate  int64
	Burst int64
}

// tokens is the state of a Bucket. It counts in units of 1e-9 bits, so that rates
// are exact.
type tokens struct {
	n  int64
	at Time
	b  Bucket
}

const tokensPerByte = 8 * int64(time.Second)

func newTokens(b Bucket, now Time) tokens {
	return tokens{n: b.Burst * tokensPerByte, at: now, b: b}
}

func (t *tokens) refill(now Time) {
	full := t.b.Burst * tokensPerByte
	d := int64(now.Sub(t.at))
	t.at = now
	if d > (full-t.n)/t.b.Rate {
		t.n = full
		return
	}
	t.n += d * t.b.Rate
}

// take takes n bytes if there are as many.
func (t *tokens) take(now Time, n int64) bool {
	t.refill(now)
	if t.n < n*tokensPerByte {
		return false
	}
	t.n -= n * tokensPerByte
	return true
}

// when returns when n bytes, no more than Burst, may go.
func (t *tokens) when(now Time, n int64) Time {
	t.refill(now)
	if need := n*tokensPerByte - t.n; need > 0 {
		return now.Add(time.Duration((need + t.b.Rate - 1) / t.b.Rate))
	}
	return now
}

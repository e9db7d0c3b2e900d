package engine_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/impl/cubic"
	"github.com/sluicenet/sluice/impl/engine"
	"github.com/sluicenet/sluice/impl/reno"
	"github.com/sluicenet/sluice/link/pipe"
)

var (
	addrA4 = netip.MustParsePrefix("10.1.0.1/24")
	addrB4 = netip.MustParsePrefix("10.1.0.2/24")
	addrA6 = netip.MustParsePrefix("fd01::1/64")
	addrB6 = netip.MustParsePrefix("fd01::2/64")
)

var controllers = map[string]cc.Factory{"reno": reno.Factory, "cubic": cubic.Factory}

// A world is two stacks, A and B, on the ends of one link.
type world struct {
	t    testing.TB
	clk  clock.Clock
	a, b *engine.Stack
}

// newWorld joins two stacks by the given link. edit, if not nil, changes their
// configurations.
func newWorld(t testing.TB, clk clock.Clock, la, lb link.Link, edit func(name string, c *engine.Config)) *world {
	t.Helper()
	w := &world{t: t, clk: clk}
	for _, end := range []struct {
		name   string
		link   link.Link
		addrs  []netip.Prefix
		result **engine.Stack
	}{
		{"a", la, []netip.Prefix{addrA4, addrA6}, &w.a},
		{"b", lb, []netip.Prefix{addrB4, addrB6}, &w.b},
	} {
		cfg := engine.Config{
			Link: end.link, Clock: clk, Addresses: end.addrs,
			Controllers: []cc.Factory{cubic.Factory, reno.Factory},
			Seed:        uint64(end.name[0]),
		}
		if edit != nil {
			edit(end.name, &cfg)
		}
		s, err := engine.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		*end.result = s
	}
	return w
}

func pipeWorld(t testing.TB, clk clock.Clock, edit func(string, *engine.Config)) *world {
	la, lb := pipe.New(pipe.Config{Name: "pipe"})
	return newWorld(t, clk, la, lb, edit)
}

func (w *world) close() {
	ctx, cancel := w.clk.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	w.a.Disconnect(ctx)
	w.b.Disconnect(ctx)
}

// virtually runs f as an actor of a new virtual clock.
func virtually(t testing.TB, f func(v *clock.Virtual)) {
	t.Helper()
	v := clock.NewVirtual()
	v.Run(func() { f(v) })
}

// A result carries a value out of a goroutine of a clock.
type result[T any] struct {
	w     clock.Waiter
	value T
}

func goResult[T any](clk clock.Clock, f func() T) *result[T] {
	r := &result[T]{w: clk.NewWaiter()}
	clk.Go(func() {
		r.value = f()
		r.w.Wake()
	})
	return r
}

func (r *result[T]) wait(t testing.TB) T {
	t.Helper()
	if err := r.w.Park(context.Background()); err != nil {
		t.Fatal(err)
	}
	return r.value
}

// sendRandom writes n pseudo-random bytes in writes of random size, and returns
// their hash.
func sendRandom(f api.Flow, seed uint64, n int) (string, error) {
	r := rand.New(rand.NewPCG(seed, 1))
	h := sha256.New()
	ctx := context.Background()
	for n > 0 {
		k := min(1+r.IntN(32<<10), n)
		b := make([]byte, k)
		for i := 0; i+8 <= k; i += 8 {
			v := r.Uint64()
			for j := range 8 {
				b[i+j] = byte(v >> (8 * j))
			}
		}
		h.Write(b)
		if err := f.Write(ctx, api.NewBuffer(b)); err != nil {
			return "", err
		}
		n -= k
	}
	return sum(h), nil
}

// receive reads to the end of file, and returns the hash and the length.
func receive(f api.Flow) (string, int, error) {
	h := sha256.New()
	n := 0
	for {
		b, err := f.Read(context.Background())
		if err == io.EOF {
			return sum(h), n, nil
		}
		if err != nil {
			return "", n, err
		}
		h.Write(b.Bytes())
		n += b.Len()
		clear(b.Bytes()) // it is ours (R1)
		b.Release()
	}
}

func sum(h hash.Hash) string { return fmt.Sprintf("%x", h.Sum(nil)[:16]) }

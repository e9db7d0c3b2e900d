//go:build !race

package engine_test

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"runtime"
	"testing"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
)

// flowPair returns the two ends of a flow over a pipe, and what ends all of it.
func flowPair(tb testing.TB) (client, server api.Flow, done func()) {
	w := pipeWorld(tb, clock.NewReal(), nil)
	accepted := make(chan api.Flow, 1)
	port, err := w.b.Listen(0, nil, func(_ context.Context, f api.Flow) { accepted <- f })
	if err != nil {
		tb.Fatal(err)
	}
	client, err = w.a.Dial(context.Background(), netip.AddrPortFrom(addrB4.Addr(), port), nil)
	if err != nil {
		tb.Fatal(err)
	}
	server = <-accepted
	return client, server, func() {
		client.Abort()
		server.Abort()
		w.close()
	}
}

// mallocs returns how many objects f allocates, what other goroutines do meanwhile
// included.
func mallocs(f func()) float64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs - before.Mallocs)
}

const blockSize = 64 << 10

// transfer moves n blocks.
func transfer(tb testing.TB, from, to api.Flow, n int) {
	ctx := context.Background()
	go func() {
		for range n {
			if err := from.Write(ctx, api.Alloc(blockSize)); err != nil {
				tb.Error(err)
				return
			}
		}
	}()
	for got := 0; got < n*blockSize; {
		b, err := to.Read(ctx)
		if err != nil {
			tb.Error(err)
			return
		}
		got += b.Len()
		b.Release()
	}
}

// echoFlow returns what it reads until the flow ends.
func echoFlow(tb testing.TB, f api.Flow) {
	ctx := context.Background()
	for {
		b, err := f.Read(ctx)
		if err == nil {
			err = f.Write(ctx, b)
		}
		switch {
		case err == nil:
		case err == io.EOF, errors.Is(err, api.ErrReset), errors.Is(err, api.ErrAborted):
			return
		default:
			tb.Error(err)
			return
		}
	}
}

func ask(tb testing.TB, f api.Flow, n int) {
	ctx := context.Background()
	for range n {
		if err := f.Write(ctx, api.NewBuffer(make([]byte, 1))); err != nil {
			tb.Fatal(err)
		}
		b, err := f.Read(ctx)
		if err != nil {
			tb.Fatal(err)
		}
		b.Release()
	}
}

// In steady state a segment costs no allocation of its own, and a request and its
// answer only a few. The bounds are counts, not times, with room for what the pools
// and the scheduler do, but not for one more on every segment.
func TestAllocations(t *testing.T) {
	client, server, done := flowPair(t)
	defer done()
	transfer(t, client, server, 64) // queues and pools have their sizes then
	const blocks = 512
	n := mallocs(func() { transfer(t, client, server, blocks) })
	if perSegment := n / (blocks * blockSize / 1448); perSegment > 0.5 {
		t.Errorf("%.2f allocations a segment", perSegment)
	}

	ended := make(chan struct{})
	go func() { defer close(ended); echoFlow(t, server) }()
	ask(t, client, 100)
	const asked = 2000
	n = mallocs(func() { ask(t, client, asked) })
	if each := n / asked; each > 7 {
		t.Errorf("%.1f allocations for a request and its answer", each)
	}
	client.Abort()
	<-ended
}

func BenchmarkTransfer(b *testing.B) {
	client, server, done := flowPair(b)
	defer done()
	b.ReportAllocs()
	b.SetBytes(blockSize)
	b.ResetTimer()
	transfer(b, client, server, b.N)
}

func BenchmarkRequestResponse(b *testing.B) {
	client, server, done := flowPair(b)
	defer done()
	go echoFlow(b, server)
	b.ReportAllocs()
	b.ResetTimer()
	ask(b, client, b.N)
}

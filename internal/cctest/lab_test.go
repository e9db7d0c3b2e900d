package cctest_test

import (
	"context"
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
	"github.com/sluicenet/sluice/link/sim"
)

// goodput returns the payload bytes per second that one bulk flow delivers over a
// simulated link, after a time for settling.
func goodput(t *testing.T, f cc.Factory, road sim.Direction, settle, measure time.Duration) (rate float64, last api.Info) {
	t.Helper()
	clk := clock.NewVirtual()
	clk.Run(func() {
		back := sim.Direction{Delay: road.Delay}
		a, b, err := sim.New(clk, sim.Config{AB: road, BA: back, Seed: 5})
		if err != nil {
			t.Fatal(err)
		}
		stack := func(l link.Link, address string) *engine.Stack {
			s, err := engine.New(engine.Config{
				Link: l, Clock: clk, Seed: 1, Addresses: []netip.Prefix{netip.MustParsePrefix(address)},
				Controllers: []cc.Factory{f}, Flow: api.FlowConfig{SendBuffer: 4 << 20, ReceiveBuffer: 8 << 20},
			})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		near, far := stack(a, "10.0.0.1/24"), stack(b, "10.0.0.2/24")
		var received int64
		if _, err := far.Listen(9, nil, func(ctx context.Context, f api.Flow) {
			for {
				buf, err := f.Read(ctx)
				if err != nil {
					return
				}
				received += int64(buf.Len())
				buf.Release()
			}
		}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := clk.WithCancel(context.Background())
		flow, err := near.Dial(ctx, netip.MustParseAddrPort("10.0.0.2:9"), nil)
		if err != nil {
			t.Fatal(err)
		}
		clk.Go(func() {
			for flow.Write(ctx, api.Alloc(16<<10)) == nil {
			}
		})
		_ = clock.Sleep(ctx, clk, settle)
		before := received
		_ = clock.Sleep(ctx, clk, measure)
		rate = float64(received-before) / measure.Seconds()
		last = flow.Info()
		cancel(nil)
		flow.Abort()
		near.Disconnect(context.Background())
		far.Disconnect(context.Background())
	})
	return rate, last
}

// One flow fills a link whose queue is as large as its bandwidth-delay product,
// whatever the controller, and nearly fills one with a smaller queue.
func TestFillsTheLink(t *testing.T) {
	const rtt = 40 * time.Millisecond
	const bdp = 10e6 / 8 * 0.04
	for _, c := range []struct {
		f     cc.Factory
		queue float64 // in BDPs
		least float64 // of what the link can carry
	}{
		{reno.Factory, 1, 0.97}, {cubic.Factory, 1, 0.97},
		{reno.Factory, 0.5, 0.90}, {cubic.Factory, 0.5, 0.94},
	} {
		rate, info := goodput(t, c.f, sim.Direction{Rate: 10 * sim.Mbit, Delay: rtt / 2, QueueBytes: int64(c.queue * bdp)}, 10*time.Second, 20*time.Second)
		most := 10e6 / 8 * float64(info.SendMSS) / 1500
		t.Logf("%s, queue of %g BDP: %.1f %%, %d segments sent again", c.f.Name(), c.queue, 100*rate/most, info.Retransmits)
		if rate < c.least*most || rate > most*1.001 {
			t.Errorf("%s, queue of %g BDP: %.1f %% of what the link can carry", c.f.Name(), c.queue, 100*rate/most)
		}
		if info.Timeouts > 1 {
			t.Errorf("%s, queue of %g BDP: %d timeouts", c.f.Name(), c.queue, info.Timeouts)
		}
	}
}

// Random loss of one segment in a thousand leaves a window of about 1.31/sqrt(p)
// segments to Reno, less what recovery takes, and somewhat more to CUBIC.
func TestRandomLoss(t *testing.T) {
	const rtt = 100 * time.Millisecond
	for _, c := range []struct {
		f       cc.Factory
		low, hi float64 // segments
	}{{reno.Factory, 33, 46}, {cubic.Factory, 38, 56}} {
		rate, info := goodput(t, c.f, sim.Direction{Rate: 100 * sim.Mbit, Delay: rtt / 2, Loss: 0.001}, 10*time.Second, 100*time.Second)
		window := rate * rtt.Seconds() / float64(info.SendMSS)
		t.Logf("%s: %.1f segments", c.f.Name(), window)
		if window < c.low || window > c.hi {
			t.Errorf("%s: a mean window of %.1f segments, want %g to %g", c.f.Name(), window, c.low, c.hi)
		}
	}
}

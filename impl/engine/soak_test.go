package engine_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine"
	"github.com/sluicenet/sluice/link/sim"
)

var (
	soakBytes = flag.Int("soak.bytes", 4<<20, "bytes each way of TestSoak")
	soakSeeds = flag.Int("soak.seeds", 50, "seeds of TestSoak")
)

// badWeather is what TestSoak sends through.
func badWeather() sim.Direction {
	return sim.Direction{
		Rate: 100 * sim.Mbit, Delay: 10 * time.Millisecond, Jitter: 2 * time.Millisecond,
		Loss: 0.05, Reorder: 0.05, Duplicate: 0.02, Corrupt: 0.01,
		QueueBytes: 256 << 10,
	}
}

// soak sends n bytes each way through bad weather in virtual time, and returns a
// hash of every packet on the link with its time.
func soak(t *testing.T, controller string, seed uint64, n int, isn uint32) (packets string, count int) {
	t.Helper()
	virtually(t, func(v *clock.Virtual) {
		log := sha256.New()
		la, lb, err := sim.New(v, sim.Config{
			Name: "soak", AB: badWeather(), BA: badWeather(), Seed: seed,
			Tap: func(e sim.Event) {
				var head [10]byte
				head[0], head[1] = byte(e.Dir), byte(e.Fate)
				binary.BigEndian.PutUint64(head[2:], uint64(e.Time))
				log.Write(head[:])
				log.Write(e.Data)
				count++
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld(t, v, la, lb, func(name string, c *engine.Config) {
			c.Flow.Congestion = controller
			c.Seed += seed << 8
			if isn != 0 {
				c.ISN = func(local, remote netip.AddrPort, now clock.Time) uint32 { return isn }
			}
		})
		type sent struct {
			hash string
			err  error
		}
		type got struct {
			hash string
			n    int
			err  error
		}
		var serverSent *result[sent]
		var serverGot *result[got]
		var server api.Flow
		ready := v.NewWaiter()
		if _, err := w.b.Listen(80, nil, func(ctx context.Context, f api.Flow) {
			server = f
			serverSent = goResult(v, func() sent {
				h, err := sendRandom(f, seed+1000, n)
				f.CloseWrite()
				return sent{h, err}
			})
			serverGot = goResult(v, func() got {
				h, k, err := receive(f)
				return got{h, k, err}
			})
			ready.Wake()
		}); err != nil {
			t.Fatal(err)
		}
		dst := netip.AddrPortFrom(addrB4.Addr(), 80)
		if seed%2 == 1 {
			dst = netip.AddrPortFrom(addrB6.Addr(), 80)
		}
		f, err := w.a.Dial(context.Background(), dst, nil)
		if err != nil {
			t.Fatal(err)
		}
		clientSent := goResult(v, func() sent {
			h, err := sendRandom(f, seed+2000, n)
			f.CloseWrite()
			return sent{h, err}
		})
		hash, k, err := receive(f)
		if err := ready.Park(context.Background()); err != nil {
			t.Fatal(err)
		}
		ss, cs, sg := serverSent.wait(t), clientSent.wait(t), serverGot.wait(t)
		if err != nil || ss.err != nil || cs.err != nil || sg.err != nil {
			t.Fatalf("seed %d: client read %v write %v, server read %v write %v", seed, err, cs.err, sg.err, ss.err)
		}
		if hash != ss.hash || k != n {
			t.Errorf("seed %d: B to A: %d of %d bytes, hash %s, want %s", seed, k, n, hash, ss.hash)
		}
		if sg.hash != cs.hash || sg.n != n {
			t.Errorf("seed %d: A to B: %d of %d bytes, hash %s, want %s", seed, sg.n, n, sg.hash, cs.hash)
		}
		for _, f := range []api.Flow{f, server} {
			if err := f.Close(context.Background()); err != nil {
				t.Errorf("seed %d: close: %v", seed, err)
			}
		}
		w.close()
		for name, s := range map[string]*engine.Stack{"A": w.a, "B": w.b} {
			if m := s.Info().Memory; m != 0 {
				t.Errorf("seed %d: stack %s is charged %d bytes after the end", seed, name, m)
			}
		}
		packets = fmt.Sprintf("%x", log.Sum(nil)[:16])
		t.Logf("seed %d: %d packets in %v of virtual time", seed, count, v.Now())
	})
	return packets, count
}

// TestSoak sends both ways through loss, reordering, duplication, corruption and
// jitter, from sequence numbers at the edges too, and checks every byte.
func TestSoak(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	for seed := range uint64(*soakSeeds) {
		controller := []string{"cubic", "reno"}[seed/2%2]
		isn := []uint32{0, 1<<32 - 1000, 1<<31 - 1000, 1<<32 - 1}[seed/4%4]
		t.Run(fmt.Sprintf("%s/seed=%d", controller, seed), func(t *testing.T) {
			t.Parallel()
			soak(t, controller, seed, *soakBytes, isn)
		})
	}
}

// TestSameSeedSamePackets runs the same transfer twice.
func TestSameSeedSamePackets(t *testing.T) {
	for _, controller := range []string{"reno", "cubic"} {
		first, n := soak(t, controller, 7, 1<<20, 0)
		second, m := soak(t, controller, 7, 1<<20, 0)
		if first != second || n != m {
			t.Errorf("%s: %d packets, hash %s, and then %d packets, hash %s", controller, n, first, m, second)
		}
		other, _ := soak(t, controller, 8, 1<<20, 0)
		if other == first {
			t.Errorf("%s: another seed gave the same packets", controller)
		}
	}
}

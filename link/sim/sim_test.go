package sim

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
)

// packet returns a packet of n >= 4 bytes that begins with its number.
func packet(i, n int) link.Packet {
	b := make([]byte, n)
	binary.BigEndian.PutUint32(b, uint32(i))
	for j := 4; j < n; j++ {
		b[j] = byte(i>>(8*(j%4))) + byte(j)
	}
	return link.Packet{Header: b[:4], Payload: []api.Buffer{*api.NewBuffer(b[4:])}}
}

type arrival struct {
	at   clock.Time
	data []byte
}

func (a arrival) number() int { return int(binary.BigEndian.Uint32(a.data)) }

// world is a link in virtual time and what has arrived at its end b.
type world struct {
	*testing.T
	clk  *clock.Virtual
	a, b *End
	got  []arrival
}

func newWorld(t *testing.T, cfg Config) *world {
	w := &world{T: t, clk: clock.NewVirtual()}
	var err error
	if w.a, w.b, err = New(w.clk, cfg); err != nil {
		t.Fatal(err)
	}
	w.b.Attach(func(batch []link.Packet) {
		for i := range batch {
			w.got = append(w.got, arrival{w.clk.Now(), batch[i].AppendTo(nil)})
			if batch[i].Offload != (link.Offload{}) {
				t.Errorf("delivered with %+v", batch[i].Offload)
			}
			batch[i].Release()
		}
	})
	return w
}

func (w *world) send(i, n int) {
	if err := w.a.Send([]link.Packet{packet(i, n)}); err != nil {
		w.Fatal(err)
	}
}

func (w *world) sleep(d time.Duration) {
	if err := clock.Sleep(context.Background(), w.clk, d); err != nil {
		w.Fatal(err)
	}
}

func TestRateAndDelayAreExact(t *testing.T) {
	w := newWorld(t, Config{AB: Direction{Rate: 8 * Mbit, Delay: 20 * time.Millisecond}})
	w.clk.Run(func() {
		w.send(0, 1000) // takes 1 ms
		w.send(1, 500)  // and this half of one, behind the first
		w.sleep(5 * time.Millisecond)
		w.send(2, 1000) // the wire is idle again
		w.sleep(time.Second)
	})
	want := []time.Duration{21 * time.Millisecond, 21500 * time.Microsecond, 26 * time.Millisecond}
	if len(w.got) != len(want) {
		t.Fatalf("%d packets arrived", len(w.got))
	}
	for i, d := range want {
		if w.got[i].at != clock.Time(d) || w.got[i].number() != i {
			t.Errorf("packet %d arrived at %v, want packet %d at %v", w.got[i].number(), w.got[i].at, i, d)
		}
	}
}

// A rate at which no packet takes a whole number of nanoseconds is exact in the
// long run all the same.
func TestRateHasNoDrift(t *testing.T) {
	const rate, size, n = 7_000_003 * 3, 999, 3000
	w := newWorld(t, Config{AB: Direction{Rate: rate, QueueBytes: n * size}})
	w.clk.Run(func() {
		for i := range n {
			w.send(i, size)
		}
		w.sleep(time.Hour)
	})
	if len(w.got) != n {
		t.Fatalf("%d packets arrived", len(w.got))
	}
	want := clock.Time(uint64(n*size*8) * 1e9 / rate)
	if got := w.got[n-1].at; got != want {
		t.Errorf("the last arrived at %d ns, want %d", got, want)
	}
}

func TestQueueIsBounded(t *testing.T) {
	for _, tt := range []struct {
		name string
		d    Direction
		want int // packets of 1000 bytes that survive a burst of 1000
	}{
		{"bytes", Direction{Rate: Mbit, QueueBytes: 10_000}, 11},
		{"bytes, not a multiple", Direction{Rate: Mbit, QueueBytes: 10_999}, 11},
		{"packets", Direction{Rate: Mbit, QueuePackets: 7}, 8},
		{"both", Direction{Rate: Mbit, QueueBytes: 100_000, QueuePackets: 7}, 8},
		{"default", Direction{Rate: Mbit}, 1 + minQueue/1000},
		{"default, long wire", Direction{Rate: 8 * Mbit, Delay: 100 * time.Millisecond}, 1 + 200},
		{"no rate", Direction{QueueBytes: 1}, 1000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, Config{AB: tt.d})
			w.clk.Run(func() {
				for i := range 1000 {
					w.send(i, 1000)
				}
				c := w.a.Counters()
				if int(c.InFlight) != tt.want {
					t.Errorf("%d packets under way, want %d", c.InFlight, tt.want)
				}
				w.sleep(time.Hour)
			})
			if len(w.got) != tt.want {
				t.Fatalf("%d packets arrived, want %d", len(w.got), tt.want)
			}
			for i, g := range w.got {
				if g.number() != i {
					t.Fatalf("drop-tail kept packet %d as number %d", g.number(), i)
				}
			}
			c, s := w.a.Counters(), w.a.Stats()
			if got := c.DropsQueue; got != uint64(1000-tt.want) || s.DropsOut != got || s.PacketsOut != uint64(tt.want) {
				t.Errorf("counters %+v, stats %+v", c, s)
			}
			if c.QueueBytes != 0 || c.MaxQueueBytes > 1000*int64(tt.want) {
				t.Errorf("queue of %d bytes, at most %d", c.QueueBytes, c.MaxQueueBytes)
			}
		})
	}
}

func TestFlightIsBounded(t *testing.T) {
	w := newWorld(t, Config{MTU: 65535, AB: Direction{Delay: time.Hour}})
	const n, limit = 200, 4 << 20
	w.a.out.maxInFlight = limit
	w.clk.Run(func() {
		big := packet(0, 65535)
		for range n {
			w.a.Send([]link.Packet{big})
		}
	})
	c := w.a.Counters()
	if max := uint64(limit/65535 + 1); c.InFlight > max || c.InFlight+c.DropsFlight != n {
		t.Errorf("%d packets in flight, want at most %d; dropped %d", c.InFlight, max, c.DropsFlight)
	}
	w.b.Close()
	if c := w.a.Counters(); c.InFlight != 0 {
		t.Errorf("%d packets in flight to a closed end", c.InFlight)
	}
}

// binomial reports whether k of n is within 5 standard deviations of p.
func binomial(k, n int, p float64) bool {
	return math.Abs(float64(k)-float64(n)*p) <= 5*math.Sqrt(float64(n)*p*(1-p))
}

func TestProbabilities(t *testing.T) {
	const n = 20_000
	d := Direction{
		Delay: 10 * time.Millisecond, Jitter: 3 * time.Millisecond,
		Loss: 0.05, Reorder: 0.04, Duplicate: 0.02, Corrupt: 0.01, ReorderDelay: 20 * time.Millisecond,
	}
	w := newWorld(t, Config{AB: d, Seed: 1})
	var sentAt [n]clock.Time
	w.clk.Run(func() {
		for i := range n {
			sentAt[i] = w.clk.Now()
			w.send(i, 100)
			w.sleep(time.Millisecond)
		}
		w.sleep(time.Second)
	})
	c := w.a.Counters()
	kept := n - int(c.Lost)
	if !binomial(int(c.Lost), n, d.Loss) || !binomial(int(c.Reordered), kept, d.Reorder) ||
		!binomial(int(c.Duplicated), kept, d.Duplicate) || !binomial(int(c.Corrupted), kept, d.Corrupt) {
		t.Errorf("unlikely: %+v", c)
	}
	if c.Delivered != uint64(len(w.got)) || c.Delivered != c.Sent-c.Lost+c.Duplicated || c.InFlight != 0 {
		t.Errorf("%d arrived, counters %+v", len(w.got), c)
	}
	// What arrived tells the same as the counters.
	seen := map[int]int{}
	var overtaken, damaged int
	last := -1
	for _, g := range w.got {
		if string(g.data) != string(contents(g.number())) {
			damaged++
			continue
		}
		i := g.number()
		seen[i]++
		if i < last {
			overtaken++
		}
		last = max(last, i)
		if min := sentAt[i].Add(d.Delay - d.Jitter); g.at < min {
			t.Fatalf("packet %d arrived at %v, before %v", i, g.at, min)
		}
	}
	if damaged != int(c.Corrupted) {
		t.Errorf("%d arrived damaged, %d counted", damaged, c.Corrupted)
	}
	if overtaken < int(c.Reordered)*9/10 || overtaken > int(c.Reordered+c.Duplicated) {
		t.Errorf("%d overtaken, %d counted as reordered", overtaken, c.Reordered)
	}
}

func contents(i int) []byte {
	p := packet(i, 100)
	return p.AppendTo(nil)
}

func TestJitterKeepsOrder(t *testing.T) {
	w := newWorld(t, Config{AB: Direction{Delay: 10 * time.Millisecond, Jitter: 10 * time.Millisecond}, Seed: 3})
	const n = 2000
	var low, high int
	w.clk.Run(func() {
		for i := range n {
			w.send(i, 100)
			w.sleep(100 * time.Millisecond)
		}
	})
	for i, g := range w.got {
		d := g.at.Sub(clock.Time(i) * clock.Time(100*time.Millisecond))
		if d < 0 || d > 20*time.Millisecond {
			t.Fatalf("packet %d took %v", i, d)
		}
		if d < 2*time.Millisecond {
			low++
		}
		if d > 18*time.Millisecond {
			high++
		}
	}
	if !binomial(low, n, 0.1) || !binomial(high, n, 0.1) {
		t.Errorf("%d below 2 ms and %d above 18 ms of %d", low, high, n)
	}

	w = newWorld(t, Config{AB: Direction{Jitter: 10 * time.Millisecond}, Seed: 3})
	w.clk.Run(func() {
		for i := range n {
			w.send(i, 100)
			w.sleep(time.Millisecond)
		}
		w.sleep(time.Second)
	})
	for i, g := range w.got {
		if g.number() != i {
			t.Fatalf("packet %d arrived as number %d", g.number(), i)
		}
	}
}

func TestCorruptionIsOneBit(t *testing.T) {
	w := newWorld(t, Config{AB: Direction{Corrupt: 1}, Seed: 5})
	const n, size = 4000, 40
	w.clk.Run(func() {
		for i := range n {
			p := packet(i, size)
			w.a.Send([]link.Packet{p})
			if q := packet(i, size); string(p.AppendTo(nil)) != string(q.AppendTo(nil)) {
				t.Fatal("the sender's bytes were damaged")
			}
		}
		w.sleep(time.Second)
	})
	var hits [size * 8]int
	for i, g := range w.got {
		p := packet(i, size)
		var diff int
		for j, x := range p.AppendTo(nil) {
			x ^= g.data[j]
			diff += bits.OnesCount8(x)
			if x != 0 {
				hits[j*8+bits.TrailingZeros8(x)]++
			}
		}
		if diff != 1 {
			t.Fatalf("%d bits of packet %d inverted", diff, i)
		}
	}
	for i, h := range hits {
		if h == 0 {
			t.Errorf("bit %d is never hit", i) // chance of that: 320 * exp(-12.5) = 0.1 %, and the seed is fixed
		}
	}
}

// run sends a fixed load through cfg and returns a hash of all that the tap saw
// and the numbers of packets by fate.
func run(t *testing.T, cfg Config) (hash [32]byte, fates map[Fate][]int) {
	t.Helper()
	h := sha256.New()
	fates = map[Fate][]int{}
	cfg.Tap = func(e Event) {
		binary.Write(h, binary.BigEndian, []uint64{uint64(e.Dir), uint64(e.Time), uint64(e.Fate), uint64(len(e.Data))})
		h.Write(e.Data)
		if e.Dir == AtoB {
			fates[e.Fate] = append(fates[e.Fate], int(binary.BigEndian.Uint32(e.Data)))
		}
	}
	w := newWorld(t, cfg)
	w.a.Attach(func(batch []link.Packet) {})
	w.clk.Run(func() {
		for i := range 2000 {
			w.send(i, 100+i%1400)
			if i%3 == 0 {
				w.b.Send([]link.Packet{packet(i, 60)})
			}
			if i%10 == 0 {
				w.sleep(2 * time.Millisecond)
			}
		}
		w.sleep(time.Hour)
	})
	h.Sum(hash[:0])
	return hash, fates
}

var rough = Direction{
	Rate: 50 * Mbit, Delay: 20 * time.Millisecond, Jitter: 2 * time.Millisecond,
	Loss: 0.05, Reorder: 0.05, Duplicate: 0.02, Corrupt: 0.01,
}

func TestSameSeedSamePackets(t *testing.T) {
	one, _ := run(t, Symmetric(rough, 7))
	two, _ := run(t, Symmetric(rough, 7))
	if one != two {
		t.Error("two runs with one seed differ")
	}
	if other, _ := run(t, Symmetric(rough, 8)); one == other {
		t.Error("two seeds give the same")
	}
}

// Which packets are lost does not depend on the other impairments.
func TestImpairmentsAreIndependent(t *testing.T) {
	_, only := run(t, Config{AB: Direction{Loss: 0.05}, Seed: 7})
	_, all := run(t, Symmetric(rough, 7))
	if fmt.Sprint(only[Lost]) != fmt.Sprint(all[Lost]) || len(only[Lost]) == 0 {
		t.Errorf("lost alone: %v\nlost among others: %v", only[Lost], all[Lost])
	}
	more := rough
	more.Loss, more.Rate = 0.1, 0
	_, all = run(t, Symmetric(more, 7))
	lost := map[int]bool{}
	for _, i := range all[Lost] {
		lost[i] = true
	}
	for _, i := range only[Lost] {
		if !lost[i] {
			t.Errorf("packet %d is lost at 5 %% but not at 10 %%", i)
		}
	}
}

func TestDirectionsAreIndependent(t *testing.T) {
	clk := clock.NewVirtual()
	fates := map[Dir][]Fate{}
	a, b, _ := New(clk, Config{AB: Direction{Loss: 0.5}, BA: Direction{Loss: 0.5}, Seed: 1,
		Tap: func(e Event) {
			if e.Fate != Sent {
				fates[e.Dir] = append(fates[e.Dir], e.Fate)
			}
		}})
	a.Attach(func([]link.Packet) {})
	b.Attach(func([]link.Packet) {})
	clk.Run(func() {
		for i := range 64 {
			a.Send([]link.Packet{packet(i, 60)})
			b.Send([]link.Packet{packet(i, 60)})
			clock.Sleep(context.Background(), clk, time.Second)
		}
	})
	if len(fates[AtoB]) != 64 || fmt.Sprint(fates[AtoB]) == fmt.Sprint(fates[BtoA]) {
		t.Errorf("a>b %v\nb>a %v", fates[AtoB], fates[BtoA])
	}
}

func TestSet(t *testing.T) {
	w := newWorld(t, Config{AB: Direction{Delay: time.Second}})
	w.clk.Run(func() {
		w.send(0, 100)
		if err := w.a.Set(Direction{Delay: time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		w.send(1, 100) // does not overtake
		w.sleep(2 * time.Second)
		w.send(2, 100)
		w.a.Set(Direction{Loss: 1})
		w.send(3, 100)
		w.sleep(2 * time.Second)
	})
	want := []time.Duration{time.Second, time.Second, 2*time.Second + time.Millisecond}
	if len(w.got) != len(want) {
		t.Fatalf("%d packets arrived", len(w.got))
	}
	for i, d := range want {
		if w.got[i].at != clock.Time(d) {
			t.Errorf("packet %d arrived at %v, want %v", i, w.got[i].at, d)
		}
	}
	if err := w.a.Set(Direction{Loss: 2}); err == nil {
		t.Error("a probability of 2 was taken")
	}
}

func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		cfg  Config
		want string
	}{
		{Config{MTU: 67}, "MTU"},
		{Config{MTU: 65536}, "MTU"},
		{Config{AB: Direction{Loss: 1.5}}, "AB: sim: Loss"},
		{Config{BA: Direction{Corrupt: math.NaN()}}, "BA: sim: Corrupt"},
		{Config{AB: Direction{Reorder: -0.1}}, "Reorder"},
		{Config{AB: Direction{Duplicate: 7}}, "Duplicate"},
		{Config{AB: Direction{Rate: -1}}, "Rate"},
		{Config{AB: Direction{Rate: maxRate + 1}}, "Rate"},
		{Config{AB: Direction{Delay: -1}}, "Delay"},
		{Config{AB: Direction{Delay: 25 * time.Hour}}, "delay"},
		{Config{AB: Direction{QueueBytes: -1}}, "QueueBytes"},
	} {
		if _, _, err := New(clock.NewVirtual(), tt.cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want an error about %s", tt.cfg, err, tt.want)
		}
	}
}

func TestMalformed(t *testing.T) {
	w := newWorld(t, Config{MTU: 1000})
	w.clk.Run(func() {
		gso := packet(0, 500)
		gso.Offload.GSOSize = 100
		sum := packet(0, 500)
		sum.Offload.NeedsChecksum = true
		if err := w.a.Send([]link.Packet{packet(0, 1001), {}, gso, sum, packet(5, 1000)}); err != nil {
			t.Fatal(err)
		}
		w.sleep(time.Second)
	})
	if len(w.got) != 1 || w.got[0].number() != 5 {
		t.Errorf("arrived: %v", w.got)
	}
	if c, s := w.a.Counters(), w.a.Stats(); c.DropsMalformed != 4 || s.DropsOut != 4 {
		t.Errorf("%+v %+v", c, s)
	}
}

func TestClosedEnd(t *testing.T) {
	w := newWorld(t, Config{AB: Direction{Delay: time.Second}})
	w.clk.Run(func() {
		w.send(0, 100)
		w.a.Close()
		if err := w.a.Send([]link.Packet{packet(1, 100)}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Send after Close: %v", err)
		}
		w.sleep(2 * time.Second)
	})
	if len(w.got) != 1 {
		t.Errorf("%d packets arrived of 1 sent before Close", len(w.got))
	}
	w = newWorld(t, Config{AB: Direction{Delay: time.Second}})
	w.clk.Run(func() {
		w.send(0, 100)
		w.b.Close()
		w.send(1, 100)
		w.sleep(2 * time.Second)
	})
	if c := w.a.Counters(); len(w.got) != 0 || c.DropsReceiver != 2 || w.b.Stats().DropsIn != 1 {
		t.Errorf("%d packets arrived at a closed end; %+v", len(w.got), c)
	}
}

// The extremes of the configuration break no arithmetic.
func TestAnyConfig(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := rapid.Float64Range(0, 1)
		delay := rapid.OneOf(rapid.Just(time.Duration(0)), rapid.Custom(func(t *rapid.T) time.Duration {
			return time.Duration(rapid.Int64Range(0, int64(maxDelay)).Draw(t, "d"))
		}))
		cfg := Config{Seed: rapid.Uint64().Draw(rt, "seed"), AB: Direction{
			Rate:  BitsPerSec(rapid.Int64Range(0, maxRate).Draw(rt, "rate")),
			Delay: delay.Draw(rt, "delay"), Jitter: delay.Draw(rt, "jitter"), ReorderDelay: delay.Draw(rt, "reorder delay"),
			Loss: p.Draw(rt, "loss"), Reorder: p.Draw(rt, "reorder"),
			Duplicate: p.Draw(rt, "duplicate"), Corrupt: p.Draw(rt, "corrupt"),
			QueueBytes:   rapid.Int64Range(0, math.MaxInt64).Draw(rt, "bytes"),
			QueuePackets: rapid.IntRange(0, math.MaxInt).Draw(rt, "packets"),
		}}
		w := newWorld(t, cfg)
		w.clk.Run(func() {
			for i := range 50 {
				w.send(i, 20+i)
			}
			w.sleep(200 * 24 * time.Hour)
		})
		c := w.a.Counters()
		if c.Delivered+c.InFlight != c.Sent-c.Lost-c.DropsQueue+c.Duplicated || uint64(len(w.got)) != c.Delivered {
			rt.Fatalf("packets do not add up: %+v", c)
		}
		if w.b.Close(); w.a.Counters().InFlight != 0 {
			rt.Fatal("packets in flight after Close")
		}
	})
}

// The real clock keeps order, and loses nothing, with many senders at once.
func TestRealClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, err := New(clock.NewReal(), Symmetric(Direction{Delay: time.Millisecond, Rate: Gbit, QueueBytes: 1 << 20}, 1))
		if err != nil {
			t.Fatal(err)
		}
		const senders, each = 4, 200
		var mu sync.Mutex
		next := [senders]int{}
		total := 0
		b.Attach(func(batch []link.Packet) {
			mu.Lock()
			defer mu.Unlock()
			for i := range batch {
				n := arrival{data: batch[i].AppendTo(nil)}.number()
				s, k := n/each, n%each
				if k != next[s] {
					t.Errorf("sender %d: packet %d arrived as number %d", s, k, next[s])
				}
				next[s] = k + 1
				total++
				batch[i].Release()
			}
		})
		var wg sync.WaitGroup
		for s := range senders {
			wg.Go(func() {
				for k := range each {
					if err := a.Send([]link.Packet{packet(s*each+k, 200)}); err != nil {
						t.Error(err)
					}
					if k%10 == 0 {
						time.Sleep(time.Duration(s) * 100 * time.Microsecond)
					}
				}
			})
		}
		wg.Wait()
		time.Sleep(time.Second)
		mu.Lock()
		defer mu.Unlock()
		if total != senders*each {
			t.Errorf("%d of %d arrived", total, senders*each)
		}
		a.Close()
		b.Close()
	})
}

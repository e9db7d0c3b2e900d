package tcp

import (
	"bytes"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"pgregory.net/rapid"
)

// Whatever the network does, short of losing everything, both ends read what
// the other wrote, both end, nothing stays charged, no packet is too large and no
// window is taken back (newPair checks the last two on the way).
func TestTransferProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		iss := rapid.SampledFrom([]uint32{0, 1, 1<<32 - 1000, 1<<32 - 1, 1<<31 - 1000, 1<<31 - 1, 1 << 31, 12345})
		buf := rapid.SampledFrom([]int64{0, 700, 3000, 20_000, 70_000, 300_000})
		pc := pairConfig{
			seed:    rapid.Uint64().Draw(rt, "seed"),
			iss:     [2]uint32{iss.Draw(rt, "iss0"), iss.Draw(rt, "iss1")},
			gso:     rapid.SampledFrom([]int64{0, 0, 9000, 65535}).Draw(rt, "gso"),
			mtu:     rapid.SampledFrom([]int64{1500, 1500, 9000, 576, 300}).Draw(rt, "mtu"),
			passive: rapid.Bool().Draw(rt, "passive"),
			params: Params{
				NoSACK:        rapid.Bool().Draw(rt, "nosack"),
				NoTimestamps:  rapid.Bool().Draw(rt, "nots"),
				NoWindowScale: rapid.Bool().Draw(rt, "nows"),
				ECN:           rapid.SampledFrom([]ECNPolicy{ECNPassive, ECNOn}).Draw(rt, "ecn"),
				Autotune:      rapid.Bool().Draw(rt, "autotune"),
			},
			ch: channel{
				delay:   time.Duration(rapid.IntRange(0, 50).Draw(rt, "delay")) * time.Millisecond,
				jitter:  time.Duration(rapid.IntRange(0, 5).Draw(rt, "jitter")) * time.Millisecond,
				loss:    rapid.SampledFrom([]float64{0, 0.01, 0.05, 0.15}).Draw(rt, "loss"),
				dup:     rapid.SampledFrom([]float64{0, 0.02, 0.2}).Draw(rt, "dup"),
				mark:    rapid.SampledFrom([]float64{0, 0.05, 1}).Draw(rt, "mark"),
				reorder: rapid.SampledFrom([]float64{0, 0.05, 0.3}).Draw(rt, "reorder"),
			},
		}
		if rapid.Bool().Draw(rt, "each") {
			pc.cc = &ecnFactory{mode: cc.ECNEach}
		}
		if rapid.IntRange(0, 3).Draw(rt, "budgeted") == 0 {
			pc.budget = 120_000
		}
		for i := range pc.flow {
			pc.flow[i] = api.FlowConfig{SendBuffer: buf.Draw(rt, "snd"), ReceiveBuffer: buf.Draw(rt, "rcv"),
				NoDelay: rapid.Bool().Draw(rt, "nodelay")}
		}
		chunk := rapid.SampledFrom([]int{1, 50, 1448, 1449, 30_000}).Draw(rt, "chunk")
		n := rapid.IntRange(0, 150_000).Draw(rt, "n0")
		m := rapid.IntRange(0, 50_000).Draw(rt, "n1")
		if chunk == 1 {
			n, m = n/100, m/100
		}
		p := newPair(tb{t, rt}, pc)
		data := [2][]byte{pattern(n, 1), pattern(m, 2)}
		got := p.transfer(data, func() int { return 1 + p.rng.IntN(chunk) }, 24*time.Hour)
		if !bytes.Equal(got[1], data[0]) || !bytes.Equal(got[0], data[1]) {
			rt.Fatalf("bytes differ")
		}
		for p.step() {
		}
		for i, c := range p.c {
			if !c.Gone() {
				rt.Errorf("end %d still in %v", i, c.State())
			}
			c.ReleaseBuffers()
			if p.budget[i].used != 0 {
				rt.Errorf("end %d: %d bytes still charged", i, p.budget[i].used)
			}
			if err := c.CloseReason(); err != nil {
				rt.Errorf("end %d: close reason %v", i, err)
			}
		}
	})
}

// tb lets a helper written for testing.TB report to rapid.
type tb struct {
	testing.TB
	rt *rapid.T
}

func (t tb) Fatalf(f string, a ...any) { t.rt.Fatalf(f, a...) }
func (t tb) Fatal(a ...any)            { t.rt.Fatal(a...) }
func (t tb) Errorf(f string, a ...any) { t.rt.Errorf(f, a...) }

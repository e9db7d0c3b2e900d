package sim

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/impl/engine/tcp"
)

// BBR in a network with a slower second link (draft-ietf-ccwg-bbr).
func TestBBRTwoLinks(t *testing.T) {
	t.Parallel()
	needs(t, "bbr")
	n := New(Config{Seed: 1, Sample: time.Millisecond})
	a, b := theoryHost(t, n, "a", "bbr"), theoryHost(t, n, "b", "bbr")
	r, err := n.AddRouter("r")
	if err != nil {
		t.Fatal(err)
	}
	const rate, rtt = 4e6, 64 * time.Millisecond
	theoryLink(t, n, "access", a, r, Direction{Rate: 10e6, Delay: 2 * time.Millisecond}, Direction{Rate: 10e6, Delay: 2 * time.Millisecond})
	l := theoryLink(t, n, "bottleneck", r, b, Direction{Rate: rate, Delay: 30 * time.Millisecond, QueueBytes: 2 * rate / 8 * 64 / 1000},
		Direction{Rate: rate, Delay: 30 * time.Millisecond})
	f, _ := n.AddBulk(Bulk{FlowConfig: FlowConfig{Name: "f", From: a, To: b}})
	theoryRun(t, n, 3*time.Second)
	early := l.Stats(false).Drops()
	theoryRun(t, n, 30*time.Second)
	late := l.Stats(false).Drops()
	if late != early {
		t.Errorf("%d packets lost after start-up", late-early)
	}
	flows, _ := n.Series()
	var worst time.Duration
	var pacing []int64
	for _, s := range flows {
		if s.Time > Time(3*time.Second) {
			worst = max(worst, s.SRTT)
			pacing = append(pacing, s.Pacing)
		}
	}
	// Most of the time BBR cruises, at 99 % of its max_bw, which counts payload.
	slices.Sort(pacing)
	within(t, "max_bw over the bottleneck's", float64(pacing[len(pacing)/2])/0.99*8/(rate*1000/1052), 0.98, 1.02)
	within(t, "greatest srtt over the base RTT", float64(worst)/float64(rtt), 1, 2.5)
	within(t, "goodput over the bottleneck's", f.Report().Goodput/(rate*1000/1052), 0.9, 1.0)
}

// BBR on a path that loses 1 % at random.
//
// What one hopes for is nine tenths of the link. The draft as it stands gives less:
// while it cruises, each round trip with a loss sets bw_shortterm to what was just
// delivered, which is the pacing rate less its margin of 1 % and less what was
// lost. With a loss in every round that adds up, until the next probe, to a fifth
// after 25 rounds. The test holds BBR to that, and to being far above CUBIC.
func TestBBRRandomLoss(t *testing.T) {
	t.Parallel()
	needs(t, "bbr")
	const rate = 100e6
	share := func(congestion string, seed uint64) float64 {
		n := New(Config{Seed: seed, Warmup: 5 * time.Second})
		a, b := theoryHost(t, n, "a", congestion), theoryHost(t, n, "b", congestion)
		theoryLink(t, n, "path", a, b, Direction{Rate: rate, Delay: 50 * time.Millisecond, QueueBytes: rate / 8 / 10, Loss: 0.01},
			Direction{Delay: 50 * time.Millisecond})
		f, _ := n.AddBulk(Bulk{FlowConfig: FlowConfig{Name: "f", From: a, To: b}})
		theoryRun(t, n, 15*time.Second)
		return f.Report().Goodput / (rate * 1000 / 1052)
	}
	seeds := uint64(10)
	if testing.Short() {
		seeds = 2
	}
	var bbr float64
	for s := range seeds {
		x := share("bbr", s+1)
		t.Logf("seed %d: %.3f", s+1, x)
		bbr += x / float64(seeds)
	}
	within(t, "BBR's share of the link", bbr, 0.8, 1)
	// CUBIC: 14.3 segments of 1000 bytes every 100 ms, as at every 1e-2.
	within(t, "CUBIC's share of the link", share("cubic", 1), 0.5*14.3*8000/0.1/rate, 1.5*14.3*8000/0.1/rate)
}

// DCTCP keeps the link busy and the queue short.
func TestDCTCP(t *testing.T) {
	t.Parallel()
	needs(t, "dctcp")
	const rate = 50e6
	n := New(Config{Seed: 1, Warmup: 3 * time.Second, Sample: time.Millisecond})
	a, b := theoryHost(t, n, "a", "dctcp"), theoryHost(t, n, "b", "dctcp")
	theoryLink(t, n, "path", a, b,
		Direction{Rate: rate, Delay: 2500 * time.Microsecond, QueueBytes: rate / 8 * 20 / 1000, MarkBytes: rate / 8 / 1000},
		Direction{Delay: 2500 * time.Microsecond})
	if _, err := n.AddBulk(Bulk{FlowConfig: FlowConfig{Name: "f", From: a, To: b}}); err != nil {
		t.Fatal(err)
	}
	theoryRun(t, n, 13*time.Second)
	l := n.Report().Links[0]
	within(t, "utilization", l.Utilization, 0.97, 1)
	within(t, "mean queueing delay in ms", l.MeanWaiting*1e3, 0, 2)
	if l.Marked == 0 {
		t.Error("nothing was marked")
	}
}

// What HyStart++ saves of the segments that slow start sends too many (RFC 9406).
// How many these are depends on where the last doubling lands, and so it is the
// sum over initial windows that counts.
//
// Published measurements have half of the retransmitted bytes saved. Here it is
// a third: a round's RTT samples are of packets sent in the round before, so that
// delay is seen one doubling after it arose, and with a queue of one
// bandwidth-delay product that doubling is the one that overflows it. What
// remains to be saved is what would be lost later. The test holds it to that.
var hystartTable = []struct {
	rate    int64
	rtt     time.Duration
	windows []int64 // initial ones, in segments
	most    float64 // of the bytes retransmitted without it
}{
	{100e6, 100 * time.Millisecond, []int64{10, 11, 12, 13, 14, 15, 16, 17, 18, 19}, 0.75},
}

func TestHyStart(t *testing.T) {
	for _, c := range hystartTable {
		t.Run(fmt.Sprintf("%vMbit/%v", c.rate/1e6, c.rtt), func(t *testing.T) {
			t.Parallel()
			resent := func(congestion string) (sum float64) {
				for _, iw := range c.windows {
					n := New(Config{Seed: 1})
					a, err := n.AddHost(HostConfig{Name: "a",
						Params: tcp.Params{AckEverySegment: true, MaxWindow: 1 << 30, InitialWindow: iw * theoryMSS},
						Flow:   api.FlowConfig{Congestion: congestion, MSS: theoryMSSOption, SendBuffer: 128 << 20, ReceiveBuffer: 1 << 30}})
					if err != nil {
						t.Fatal(err)
					}
					b := theoryHost(t, n, "b", "cubic")
					theoryLink(t, n, "path", a, b, Direction{Rate: c.rate, Delay: c.rtt / 2, QueueBytes: int64(float64(c.rate) / 8 * c.rtt.Seconds())},
						Direction{Delay: c.rtt / 2})
					f, _ := n.AddBulk(Bulk{FlowConfig: FlowConfig{Name: "f", From: a, To: b}, Bytes: 20 << 20})
					theoryRun(t, n, 30*time.Second)
					r := f.Report()
					t.Logf("%s, initial window %d: %.2f s, %d bytes retransmitted", congestion, iw, r.End, r.Resent)
					if !r.Complete {
						t.Errorf("%s, initial window %d: not complete", congestion, iw)
					}
					sum += float64(r.Resent)
				}
				return sum
			}
			within(t, "bytes retransmitted with HyStart++ over those without",
				resent("cubic:hystart=on")/max(resent("cubic:hystart=off"), 1), 0, c.most)
		})
	}
}

package sim

import (
	"fmt"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/impl/engine/tcp"
)

// These tests hold the machine and its controllers to what theory says about them:
// closed forms of the literature, and the numbers of RFCs. What is varied stands in
// one table for each law; a row costs what its packets cost, and can be added
// freely.

const (
	theoryMSS = 1000
	// The MSS option counts the 12 bytes of timestamps in every segment (RFC
	// 6691, section 3).
	theoryMSSOption = theoryMSS + 12
)

// theoryHost adds a host without delayed ACKs and with an endless receive window.
func theoryHost(t testing.TB, n *Network, name, congestion string) *Host {
	t.Helper()
	if raceDetector {
		t.Skip("a network has one goroutine: nothing to race, and much to wait for")
	}
	h, err := n.AddHost(HostConfig{
		Name:   name,
		Params: tcp.Params{AckEverySegment: true, MaxWindow: 1 << 30},
		Flow: api.FlowConfig{Congestion: congestion, MSS: theoryMSSOption, SendBuffer: 128 << 20,
			ReceiveBuffer: 1 << 30},
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func theoryLink(t testing.TB, n *Network, name string, a, b Node, ab, ba Direction) *Link {
	t.Helper()
	l, err := n.AddLink(LinkConfig{Name: name, A: a, B: b, AB: ab, BA: ba})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func theoryRun(t testing.TB, n *Network, d time.Duration) {
	t.Helper()
	if err := n.Run(d); err != nil {
		t.Fatal(err)
	}
}

// needs skips a row whose controller this build does not have.
func needs(t *testing.T, congestion ...string) {
	t.Helper()
	for _, c := range congestion {
		if Controllers()[c] == nil {
			t.Skipf("there is no controller %s", c)
		}
	}
}

// within fails the test if a figure is not where it should be.
func within(t *testing.T, what string, got, low, high float64) {
	t.Helper()
	t.Logf("%s: %.4g, expected %.4g to %.4g", what, got, low, high)
	if !(got >= low && got <= high) {
		t.Errorf("%s is %.4g, not within %.4g and %.4g", what, got, low, high)
	}
}

// The mean window under a drop of every n-th data packet: Reno's is sqrt(3/(2p)), and
// CUBIC's the greater of that and of RFC 9438, section 5.1.
//
// The mean is that of RFC 9438, section 5: payload acknowledged x base RTT / time, over whole
// cycles. An early loss ends slow start, so that there is a cycle to be in.
var meanWindowTable = []struct {
	congestion string
	rtt        time.Duration
	n          int64
	window     float64 // segments
	tolerance  float64
	settle     int // cycles before the measurement
	cycles     int
}{
	{"reno", 100 * time.Millisecond, 100, 12.2, 0.07, 20, 200}, // see wholeSegments
	{"reno", 100 * time.Millisecond, 1000, 38.7, 0.07, 10, 60},
	{"reno", 100 * time.Millisecond, 10_000, 122.5, 0.07, 6, 20},
	{"cubic", 100 * time.Millisecond, 1000, 39.9, 0.08, 20, 60},
	{"cubic", 100 * time.Millisecond, 10_000, 179, 0.08, 12, 20},
	{"cubic", 100 * time.Millisecond, 100_000, 990, 0.08, 4, 5},
	{"cubic", 10 * time.Millisecond, 1000, 38.7, 0.08, 20, 60},
	{"cubic", 10 * time.Millisecond, 10_000, 122.5, 0.08, 12, 20},
	{"cubic", 10 * time.Millisecond, 100_000, 387, 0.08, 4, 4},
}

// wholeSegments is the mean window of a Reno that, unlike the closed form's,
// cannot send a part of a segment, does not grow during the round trip that it
// takes to recover, and uses one of its places there for the retransmission. Both
// cost little of a large window, and an eighth of one of 12 segments, which is all
// that the closed form leaves for p = 1e-2.
func wholeSegments(n int64) float64 {
	cwnd, fresh, rounds, lost := 10.0, int64(0), 0, false
	var from, sent int64
	for cycle := 0; cycle < 1000; {
		round := int64(cwnd)
		rounds++
		if lost { // recovery
			fresh += round - 1
			lost = false
		} else {
			fresh += round
			cwnd += float64(round) / cwnd
		}
		if fresh/n > (fresh-round)/n && fresh%n < round {
			lost = true
			cwnd = max(cwnd/2, 2)
			if cycle++; cycle == 100 {
				from, rounds = fresh, 0
			}
			sent = fresh - from
		}
	}
	return float64(sent) / float64(rounds)
}

func TestMeanWindow(t *testing.T) {
	for _, c := range meanWindowTable {
		t.Run(fmt.Sprintf("%s/%v/%d", c.congestion, c.rtt, c.n), func(t *testing.T) {
			t.Parallel()
			if testing.Short() && c.n > 10_000 {
				t.Skip("long")
			}
			needs(t, c.congestion)
			n := New(Config{Seed: 1})
			a, b := theoryHost(t, n, "a", c.congestion), theoryHost(t, n, "b", c.congestion)
			theoryLink(t, n, "path", a, b,
				Direction{Delay: c.rtt / 2, LossEvery: c.n, LossList: []int64{int64(2 * c.window)}}, Direction{Delay: c.rtt / 2})
			f, err := n.AddBulk(Bulk{FlowConfig: FlowConfig{Name: "f", From: a, To: b}})
			if err != nil {
				t.Fatal(err)
			}
			client := &f.(*bulk).flow
			var drops int
			var from, to Time
			var fromAcked, toAcked uint64
			n.OnDrop(func(d Drop) {
				if d.Reason != DropEvery {
					return
				}
				drops++
				switch drops {
				case c.settle:
					from, fromAcked = d.Time, client.client.tcp.Acked()
				case c.settle + c.cycles:
					to, toAcked = d.Time, client.client.tcp.Acked()
				}
			})
			for i := time.Second; drops < c.settle+c.cycles; i += time.Second {
				theoryRun(t, n, i)
				if i > 10*time.Hour {
					t.Fatalf("%d drops in %v", drops, i)
				}
			}
			window := float64(toAcked-fromAcked) / theoryMSS * c.rtt.Seconds() / to.Sub(from).Seconds()
			r := f.Report()
			t.Logf("retransmissions %d, timeouts %d", r.Resends, r.Timeouts)
			want := c.window
			if w := wholeSegments(c.n); c.congestion == "reno" && w < c.window*(1-c.tolerance) {
				t.Logf("the closed form says %.4g, and whole segments with recovery %.4g", c.window, w)
				want = w
			}
			within(t, "mean window in segments", window, want*(1-c.tolerance), want*(1+c.tolerance))
		})
	}
}

// What one flow makes of a drop-tail queue of b bandwidth-delay products. A Reno
// window of which the queue holds b swings between m = (1+b)/2 and 1+b; while it is
// below 1 the link idles.
var utilizationTable = []struct {
	congestion string
	buffer     float64 // in bandwidth-delay products
	low, high  float64
}{
	{"reno", 0.25, 0.893 - 0.03, 0.893 + 0.03},
	{"reno", 0.5, 0.964 - 0.03, 0.964 + 0.03},
	{"reno", 1, 1 - 0.03, 1},
	{"cubic", 0.5, 0.98, 1},
	{"cubic", 1, 0.98, 1},
}

func TestUtilization(t *testing.T) {
	const rate, rtt = 20e6, 40 * time.Millisecond
	const bdp = rate / 8 * 0.04
	for _, c := range utilizationTable {
		t.Run(fmt.Sprintf("%s/%v", c.congestion, c.buffer), func(t *testing.T) {
			t.Parallel()
			needs(t, c.congestion)
			n := New(Config{Seed: 1, Warmup: 20 * time.Second})
			a, b := theoryHost(t, n, "a", c.congestion), theoryHost(t, n, "b", c.congestion)
			theoryLink(t, n, "path", a, b, Direction{Rate: rate, Delay: rtt / 2, QueueBytes: int64(c.buffer * bdp)}, Direction{Delay: rtt / 2})
			f, _ := n.AddBulk(Bulk{FlowConfig: FlowConfig{Name: "f", From: a, To: b}})
			theoryRun(t, n, 80*time.Second)
			r := n.Report()
			fr := f.Report()
			t.Logf("goodput %.3f of the link, retransmitted %.3f %%, timeouts %d", fr.Goodput/rate, fr.LossRatio*100, fr.Timeouts)
			within(t, "utilization", r.Links[0].Utilization, c.low, c.high)
		})
	}
}

// dumbbell is flows with hosts of their own, each with its own delay, over one
// bottleneck.
func dumbbell(t testing.TB, cfg Config, rate int64, queue int64, congestion []string, rtts []time.Duration) (*Network, []Flow) {
	t.Helper()
	n := New(cfg)
	left, err := n.AddRouter("left")
	if err != nil {
		t.Fatal(err)
	}
	right, err := n.AddRouter("right")
	if err != nil {
		t.Fatal(err)
	}
	theoryLink(t, n, "bottleneck", left, right, Direction{Rate: rate, Delay: time.Millisecond, QueueBytes: queue}, Direction{Delay: time.Millisecond})
	var flows []Flow
	for i, c := range congestion {
		a, b := theoryHost(t, n, fmt.Sprintf("a%d", i), c), theoryHost(t, n, fmt.Sprintf("b%d", i), c)
		d := Direction{Delay: (rtts[i] - 2*time.Millisecond) / 4, Rate: 20 * rate, Jitter: 100 * time.Microsecond}
		theoryLink(t, n, fmt.Sprintf("access%d", i), a, left, d, d)
		theoryLink(t, n, fmt.Sprintf("exit%d", i), right, b, d, d)
		f, err := n.AddBulk(Bulk{FlowConfig: FlowConfig{Name: fmt.Sprintf("%s-%d", c, i), From: a, To: b, Start: time.Duration(i) * 300 * time.Millisecond}})
		if err != nil {
			t.Fatal(err)
		}
		flows = append(flows, f)
	}
	return n, flows
}

func repeat[T any](x T, n int) []T {
	s := make([]T, n)
	for i := range s {
		s[i] = x
	}
	return s
}

// Equal flows have equal shares.
var fairnessTable = []struct {
	congestion string
	flows      int
}{{"reno", 2}, {"reno", 4}, {"reno", 8}, {"cubic", 2}, {"cubic", 4}, {"cubic", 8}}

func TestFairness(t *testing.T) {
	const rate, rtt = 20e6, 40 * time.Millisecond
	for _, c := range fairnessTable {
		t.Run(fmt.Sprintf("%s/%d", c.congestion, c.flows), func(t *testing.T) {
			t.Parallel()
			needs(t, c.congestion)
			n, flows := dumbbell(t, Config{Seed: 1, Warmup: 20 * time.Second}, rate, rate/8*40/1000, repeat(c.congestion, c.flows), repeat(rtt, c.flows))
			theoryRun(t, n, 100*time.Second)
			var rates []float64
			for _, f := range flows {
				r := f.Report()
				rates = append(rates, r.Goodput)
				t.Logf("%s: %.2f Mbit/s, %d timeouts", r.Name, r.Goodput/1e6, r.Timeouts)
			}
			within(t, "Jain index", Jain(rates), 0.95, 1)
		})
	}
}

// A Reno and a CUBIC flow at 10 Mbit/s: CUBIC behaves like Reno there (RFC 9438,
// section 4.3), with slightly more.
var coexistenceTable = []struct {
	rtt    time.Duration
	buffer float64
}{{20 * time.Millisecond, 1}, {30 * time.Millisecond, 1}, {40 * time.Millisecond, 1}, {40 * time.Millisecond, 0.5}}

func TestRenoBesideCubic(t *testing.T) {
	const rate = 10e6
	for _, c := range coexistenceTable {
		t.Run(fmt.Sprintf("%v/%v", c.rtt, c.buffer), func(t *testing.T) {
			t.Parallel()
			var share, n float64
			for seed := range uint64(2) {
				net, flows := dumbbell(t, Config{Seed: seed, Warmup: 30 * time.Second}, rate, int64(rate/8*c.rtt.Seconds()*c.buffer),
					[]string{"reno", "cubic"}, repeat(c.rtt, 2))
				theoryRun(t, net, 150*time.Second)
				reno, cubic := flows[0].Report(), flows[1].Report()
				share += cubic.Goodput / (reno.Goodput + cubic.Goodput)
				n++
			}
			within(t, "CUBIC's share", share/n, 0.5, 0.67)
		})
	}
}

// Two flows with round-trip times of 1:4.
var rttTable = []struct {
	congestion string
	buffer     time.Duration // that the queue takes
	low, high  float64       // of the ratio of goodputs
}{{"reno", 20 * time.Millisecond, 4, 7}, {"cubic", 20 * time.Millisecond, 0.8, 1.8}}

func TestRTTRatio(t *testing.T) {
	const rate = 50e6
	for _, c := range rttTable {
		t.Run(c.congestion, func(t *testing.T) {
			t.Parallel()
			needs(t, c.congestion)
			var near, far float64
			for seed := range uint64(2) {
				n, flows := dumbbell(t, Config{Seed: seed, Warmup: 40 * time.Second}, rate, int64(rate/8*c.buffer.Seconds()),
					repeat(c.congestion, 2), []time.Duration{40 * time.Millisecond, 160 * time.Millisecond})
				theoryRun(t, n, 140*time.Second)
				near, far = near+flows[0].Report().Goodput, far+flows[1].Report().Goodput
			}
			within(t, "ratio of the goodputs", near/far, c.low, c.high)
		})
	}
}

package sim

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
)

// cross adds traffic whose packets leave at known instants.
func cross(t testing.TB, n *Network, a, b *Host, rate, size int64, stop time.Duration) *Cross {
	t.Helper()
	c, err := n.AddCross(CrossConfig{Name: "cross", From: a, To: b, Rate: rate, Size: size, Stop: stop})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// arrivals notes when packets arrive at a host, by their number.
func arrivals(h *Host) *[]struct {
	at     Time
	number uint64
} {
	var got []struct {
		at     Time
		number uint64
	}
	h.tap = func(now Time, p *path, pkt *packet, out bool) {
		if !out {
			got = append(got, struct {
				at     Time
				number uint64
			}{now, pkt.number})
		}
	}
	return &got
}

// A wire takes the time that bits take, exactly, and then the delay.
func TestRateAndDelay(t *testing.T) {
	n, a, b, _ := pair(t, Config{}, Direction{Rate: 3e6, Delay: 7 * time.Millisecond})
	cross(t, n, a, b, 1e6, 1000, 3*time.Second)
	got := arrivals(b)
	run(t, n, 4*time.Second)
	if len(*got) != 375 {
		t.Fatalf("%d packets arrived", len(*got))
	}
	for i, x := range *got {
		// 8000 bits at 3 Mbit/s are 2666666.67 ns, and packets come every 8 ms.
		if want := Time(i)*8e6 + 2666666 + 7e6; x.at != want {
			t.Fatalf("packet %d arrived at %v, want %v", i, x.at, want)
		}
	}
}

// Rates are exact in the long run, though an instant is a whole number.
func TestRateInTheLongRun(t *testing.T) {
	n, a, b, l := pair(t, Config{}, Direction{Rate: 7e6, QueueBytes: 1 << 20})
	cross(t, n, a, b, 70e6, 1000, 0)
	run(t, n, 10*time.Second)
	if got, want := l.Stats(false).SentBytes, uint64(7e6/8*10); got < want-1000 || got > want+1000 {
		t.Errorf("%d bytes in 10 s, want %d", got, want)
	}
}

func TestQueueBounds(t *testing.T) {
	for _, c := range []struct {
		d    Direction
		most int64
	}{
		{Direction{Rate: 1e6, QueueBytes: 10500}, 10000},
		{Direction{Rate: 1e6, QueuePackets: 7}, 7000},
		{Direction{Rate: 1e6, QueueBytes: 10500, QueuePackets: 3}, 3000},
		{Direction{Rate: 1e6}, 65000}, // 64 KiB
		{Direction{Rate: 1e6, Delay: time.Second}, 250000},
	} {
		n, a, b, l := pair(t, Config{}, c.d)
		cross(t, n, a, b, 10e6, 1000, 0)
		run(t, n, 10*time.Second)
		s := l.Stats(false)
		if s.MaxQueueBytes != c.most || s.Dropped[DropQueue] == 0 || s.Offered != s.Sent+s.Drops()+uint64(s.QueuePackets) {
			t.Errorf("%+v: most in the queue %d, want %d; %+v", c.d, s.MaxQueueBytes, c.most, s)
		}
		if d := s.MeanQueueDelay.Seconds(); math.Abs(d-float64(c.most)*8/1e6) > 0.15*d {
			t.Errorf("%+v: mean delay %v, want about that of a full queue", c.d, s.MeanQueueDelay)
		}
	}
}

func TestLossEveryAndList(t *testing.T) {
	n, a, b, l := pair(t, Config{Seed: 1}, Direction{Rate: 10e6, Delay: 10 * time.Millisecond, LossEvery: 100, LossList: []int64{250, 7, 250}})
	f := bulkFlow(t, n, a, b, 1448*1000)
	run(t, n, 60*time.Second)
	s := l.Stats(false)
	if !f.Report().Complete || s.Dropped[DropEvery] != 10 || s.Dropped[DropList] != 2 {
		t.Errorf("complete: %v, dropped %v; want 10 of every 100 and 2 of the list", f.Report().Complete, s.Dropped)
	}
	log, more := n.Drops()
	if len(log) != 12 || more != 0 {
		t.Fatalf("%d entries in the log and %d more", len(log), more)
	}
	if d := log[0]; d.Reason != DropList || d.Packet.Payload != 1448 || d.Link != "wire" || d.Packet.From != "a" {
		t.Errorf("first drop: %+v", d)
	}
	var csv strings.Builder
	if err := n.WriteDrops(&csv); err != nil || strings.Count(csv.String(), "\n") != 13 {
		t.Errorf("%v: %s", err, csv.String())
	}
}

// near fails unless a count is within four standard deviations.
func near(t *testing.T, what string, got uint64, n, p float64) {
	t.Helper()
	if dev := 4 * math.Sqrt(n*p*(1-p)); math.Abs(float64(got)-n*p) > dev {
		t.Errorf("%s: %d of %.0f, want %.0f give or take %.0f", what, got, n, n*p, dev)
	}
}

func TestChances(t *testing.T) {
	n, a, b, l := pair(t, Config{Seed: 3}, Direction{Delay: 10 * time.Millisecond, Loss: 0.02, Reorder: 0.03, Duplicate: 0.04})
	cross(t, n, a, b, 8e6, 1000, 20*time.Second)
	got := arrivals(b)
	run(t, n, 30*time.Second)
	s := l.Stats(false)
	all, kept := float64(s.Sent), float64(s.Sent-s.Dropped[DropLoss])
	near(t, "lost", s.Dropped[DropLoss], all, 0.02)
	near(t, "reordered", s.Reordered, kept, 0.03)
	near(t, "duplicated", s.Duplicated, kept, 0.04)
	if uint64(len(*got)) != s.Delivered || s.Delivered != s.Sent-s.Dropped[DropLoss]+s.Duplicated {
		t.Errorf("%d arrived of %+v", len(*got), s)
	}
	late := uint64(0)
	highest := uint64(0)
	for _, x := range *got {
		if x.number < highest {
			late++
		}
		highest = max(highest, x.number)
	}
	if late < s.Reordered*9/10 || late > s.Reordered {
		t.Errorf("%d packets arrived late, %d were held up", late, s.Reordered)
	}
}

// The Gilbert-Elliott model loses as many as it should, in bursts as long as they
// should be.
func TestGilbert(t *testing.T) {
	g := Gilbert{ToBad: 0.01, ToGood: 0.25, LossBad: 1}
	n, a, b, l := pair(t, Config{Seed: 5}, Direction{Gilbert: &g})
	cross(t, n, a, b, 80e6, 1000, 10*time.Second)
	var bursts int
	var last uint64
	n.OnDrop(func(d Drop) {
		if d.Packet.Number != last+1 {
			bursts++
		}
		last = d.Packet.Number
	})
	run(t, n, 10*time.Second)
	s := l.Stats(false)
	lost := float64(s.Dropped[DropGilbert])
	if share, want := lost/float64(s.Sent), g.ToBad/(g.ToBad+g.ToGood); math.Abs(share-want) > 0.15*want {
		t.Errorf("a share of %.4f lost, want %.4f", share, want)
	}
	if length := lost / float64(bursts); math.Abs(length-4) > 0.4 {
		t.Errorf("bursts of %.2f, want 4", length)
	}
}

func TestJitter(t *testing.T) {
	for _, reorders := range []bool{false, true} {
		n, a, b, _ := pair(t, Config{Seed: 1}, Direction{Delay: 20 * time.Millisecond, Jitter: 15 * time.Millisecond, JitterReorders: reorders})
		cross(t, n, a, b, 8e6, 1000, time.Second)
		got := arrivals(b)
		run(t, n, 2*time.Second)
		late := 0
		for i, x := range *got {
			d := x.at.Sub(Time(x.number-1) * 1e6)
			if d < 5*time.Millisecond || d > 35*time.Millisecond {
				t.Fatalf("packet %d took %v", x.number, d)
			}
			if i > 0 && x.number < (*got)[i-1].number {
				late++
			}
		}
		if len(*got) != 1000 || reorders != (late > 100) || !reorders && late > 0 {
			t.Errorf("reorders %v: %d arrived, %d out of order", reorders, len(*got), late)
		}
	}
}

// A policer lets a burst pass and then its rate; a shaper loses nothing.
func TestPolicerAndShaper(t *testing.T) {
	bucket := &Bucket{Rate: 2e6, Burst: 50000}
	n, a, b, l := pair(t, Config{}, Direction{Policer: bucket})
	cross(t, n, a, b, 8e6, 1000, 10*time.Second)
	run(t, n, 11*time.Second)
	s := l.Stats(false)
	if want := 50000 + 2e6/8*10; math.Abs(float64(s.SentBytes)-want) > 1000 || s.Dropped[DropPolicer]+s.Sent != s.Offered {
		t.Errorf("policer: %d bytes passed, want %.0f; %v", s.SentBytes, want, s.Dropped)
	}

	n, a, b, l = pair(t, Config{}, Direction{Shaper: bucket, QueueBytes: 1 << 24})
	cross(t, n, a, b, 8e6, 1000, time.Second)
	got := arrivals(b)
	run(t, n, 10*time.Second)
	if len(*got) != 1000 || l.Stats(false).Drops() != 0 {
		t.Fatalf("shaper: %d of 1000 arrived", len(*got))
	}
	// The burst, and what comes meanwhile, passes at once: 50000/(1-2/8) bytes.
	if x := (*got)[60]; x.at != 60e6 {
		t.Errorf("packet 60 arrived at %v", x.at)
	}
	if x := (*got)[999]; math.Abs(float64(x.at)-(1e6-5e4)*8/2e6*1e9) > 5e6 {
		t.Errorf("the last packet arrived at %v", x.at)
	}
}

// CoDel brings a standing queue down to about its target, and leaves a burst alone.
func TestCoDel(t *testing.T) {
	delay := func(k *CoDel) (mean time.Duration, s LinkStats) {
		n, a, b, l := pair(t, Config{Seed: 1, Warmup: 5 * time.Second}, Direction{Rate: 20e6, Delay: 20 * time.Millisecond, QueueBytes: 1 << 20, CoDel: k})
		bulkFlow(t, n, a, b, 0)
		run(t, n, 30*time.Second)
		s = l.Stats(false)
		return s.MeanQueueDelay, s
	}
	without, _ := delay(nil)
	with, s := delay(&CoDel{})
	t.Logf("mean delay %v without, %v with CoDel", without, with)
	if without < 100*time.Millisecond || with > 10*time.Millisecond || s.Dropped[DropCoDel] == 0 || s.Dropped[DropQueue] != 0 {
		t.Errorf("mean delay %v without, %v with CoDel: %v", without, with, s.Dropped)
	}
	n, a, b, l := pair(t, Config{}, Direction{Rate: 10e6, QueueBytes: 1 << 20, CoDel: &CoDel{}})
	cross(t, n, a, b, 100e6, 1000, 9*time.Millisecond) // 112 packets: 82 ms
	run(t, n, time.Second)
	if d := l.Stats(false).Drops(); d != 0 {
		t.Errorf("CoDel lost %d packets of a burst shorter than its interval", d)
	}
}

// Marks go to packets that can have them.
func TestMark(t *testing.T) {
	n, a, b, l := pair(t, Config{}, Direction{Rate: 1e6, QueueBytes: 20000, MarkBytes: 5000})
	cross(t, n, a, b, 10e6, 1000, time.Second)
	run(t, n, 2*time.Second)
	if s := l.Stats(false); s.Marked != 0 {
		t.Errorf("%d packets marked that do not speak ECN", s.Marked)
	}
	n, a, b, l = pair(t, Config{}, Direction{Rate: 1e6, QueueBytes: 20000, MarkBytes: 5000})
	cross(t, n, a, b, 2e6, 1000, time.Second)
	marked := 0
	a.tap = func(_ Time, _ *path, pkt *packet, out bool) {
		old := pkt.header[1]
		pkt.header[1] |= 2 // ECT(0), behind the back of the checksum
		updateChecksum(pkt.header[10:], uint16(pkt.header[0])<<8|uint16(old), uint16(pkt.header[0])<<8|uint16(pkt.header[1]))
	}
	b.tap = func(_ Time, _ *path, pkt *packet, out bool) {
		if !out && pkt.ecn() == 3 {
			marked++
		}
		if !soundHeader(pkt.bytes()) {
			t.Fatal("a header's checksum is wrong")
		}
	}
	run(t, n, 2*time.Second)
	s := l.Stats(false)
	if marked < 100 || uint64(marked) != s.Marked || s.MaxQueueBytes < 6000 {
		t.Errorf("%d packets arrived marked, %d were; %+v", marked, s.Marked, s)
	}
}

// Changes take effect at their time, and a blackhole ends.
func TestSet(t *testing.T) {
	n, a, b, l := pair(t, Config{Seed: 1}, Direction{Rate: 10e6, Delay: 10 * time.Millisecond})
	f := bulkFlow(t, n, a, b, 0)
	set := func(at time.Duration, change func(*Direction)) {
		n.At(Time(at), func(Time) {
			d := l.Direction(false)
			change(&d)
			if err := l.Set(false, d); err != nil {
				t.Error(err)
			}
		})
	}
	set(5*time.Second, func(d *Direction) { d.Rate = 1e6 })
	set(10*time.Second, func(d *Direction) { d.Blackhole = true })
	set(12*time.Second, func(d *Direction) { d.Blackhole, d.Rate = false, 10e6 })
	bytes := func(until time.Duration) float64 {
		before := f.Report().Bytes
		run(t, n, until)
		return float64(f.Report().Bytes - before)
	}
	bytes(2 * time.Second)
	if got := bytes(5*time.Second) * 8 / 3; got < 9e6 {
		t.Errorf("%.0f bit/s before the change", got)
	}
	bytes(7 * time.Second)
	if got := bytes(10*time.Second) * 8 / 3; got > 1e6 || got < 0.7e6 {
		t.Errorf("%.0f bit/s after the change", got)
	}
	bytes(11 * time.Second)
	if got := bytes(12 * time.Second); got != 0 {
		t.Errorf("%.0f bytes through a blackhole", got)
	}
	if got := bytes(20*time.Second) * 8 / 8; got < 5e6 {
		t.Errorf("%.0f bit/s after the blackhole", got)
	}
	if err := l.Set(false, Direction{Loss: 2}); err == nil {
		t.Error("a probability of 2 was taken")
	}
}

// A router tells the sender of packets that are too long for the next link.
func TestPathMTU(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		n := New(Config{Seed: 1, IPv6: v6})
		a, _ := n.AddHost(HostConfig{Name: "a"})
		b, _ := n.AddHost(HostConfig{Name: "b"})
		r, _ := n.AddRouter("r")
		d := Direction{Rate: 10e6, Delay: 5 * time.Millisecond}
		for _, l := range []LinkConfig{
			{Name: "wide", A: a, B: r, MTU: 9000, AB: d, BA: d}, {Name: "narrow", A: r, B: b, MTU: 1400, AB: d, BA: d},
		} {
			if _, err := n.AddLink(l); err != nil {
				t.Fatal(err)
			}
		}
		// The other end's MSS hides the narrow link in one direction only: let the
		// far host have a wide link of its own.
		c, _ := n.AddHost(HostConfig{Name: "c"})
		r2, _ := n.AddRouter("r2")
		for _, l := range []LinkConfig{
			{Name: "middle", A: r, B: r2, MTU: 1300, AB: d, BA: d}, {Name: "wide2", A: r2, B: c, MTU: 9000, AB: d, BA: d},
		} {
			if _, err := n.AddLink(l); err != nil {
				t.Fatal(err)
			}
		}
		f := bulkFlow(t, n, a, c, 1<<20)
		run(t, n, 20*time.Second)
		drops, _ := n.Drops()
		if !f.Report().Complete || len(drops) == 0 || drops[0].Reason != DropTooBig {
			t.Errorf("IPv6 %v: complete %v, drops %v", v6, f.Report().Complete, drops)
		}
		if i := f.(*bulk).client.tcp.Info(n.now); i.PathMTU != 1300 {
			t.Errorf("IPv6 %v: the path MTU is %d, want 1300", v6, i.PathMTU)
		}
	}
}

// A flow to where nothing arrives fails, and says so.
func TestDialTimesOut(t *testing.T) {
	n, a, b, _ := pair(t, Config{Seed: 1}, Direction{Blackhole: true})
	f := bulkFlow(t, n, a, b, 100)
	run(t, n, 10*time.Minute)
	if r := f.Report(); r.Failed != 1 || r.Error != api.ErrTimeout.Error() || r.Complete {
		t.Errorf("%+v", r)
	}
}

func TestBadNetworks(t *testing.T) {
	n := New(Config{})
	a, _ := n.AddHost(HostConfig{Name: "a"})
	b, _ := n.AddHost(HostConfig{Name: "b"})
	c, _ := n.AddHost(HostConfig{Name: "c"})
	other, _ := New(Config{}).AddHost(HostConfig{Name: "x"})
	for _, l := range []LinkConfig{
		{Name: "l", A: a}, {Name: "l", A: a, B: a}, {Name: "l", A: a, B: other}, {Name: "l", A: a, B: b, MTU: 100},
		{Name: "l", A: a, B: b, AB: Direction{Loss: -1}}, {Name: "l", A: a, B: b, BA: Direction{Delay: -1}},
		{Name: "l", A: a, B: b, AB: Direction{Policer: &Bucket{}}},
	} {
		if _, err := n.AddLink(l); err == nil {
			t.Errorf("%+v was taken", l)
		}
	}
	if _, err := n.AddHost(HostConfig{Name: "d", Flow: api.FlowConfig{Congestion: "nonsense"}}); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("an unknown controller: %v", err)
	}
	if _, err := n.AddLink(LinkConfig{Name: "l", A: a, B: b}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.AddBulk(Bulk{FlowConfig: FlowConfig{Name: "f", From: a, To: b, Congestion: "cubic:beta=7"}}); err == nil {
		t.Error("a controller's bad option was taken")
	}
	bulkFlow(t, n, a, c, 0)
	if err := n.Run(time.Second); err == nil || !strings.Contains(err.Error(), "no way from a to c") {
		t.Errorf("a flow without a way: %v", err)
	}
}

package sim

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"pgregory.net/rapid"
)

// pair returns two hosts joined by a link with d from a to b, and the same rate and
// delay back.
func pair(t testing.TB, cfg Config, d Direction) (n *Network, a, b *Host, l *Link) {
	t.Helper()
	n = New(cfg)
	a, err := n.AddHost(HostConfig{Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	b, err = n.AddHost(HostConfig{Name: "b"})
	if err != nil {
		t.Fatal(err)
	}
	l, err = n.AddLink(LinkConfig{Name: "wire", A: a, B: b, AB: d, BA: Direction{Delay: d.Delay, Rate: d.Rate}})
	if err != nil {
		t.Fatal(err)
	}
	return n, a, b, l
}

func bulkFlow(t testing.TB, n *Network, a, b *Host, bytes int64) Flow {
	t.Helper()
	f, err := n.AddBulk(Bulk{FlowConfig: FlowConfig{Name: "f", From: a, To: b}, Bytes: bytes})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func run(t testing.TB, n *Network, d time.Duration) {
	t.Helper()
	if err := n.Run(d); err != nil {
		t.Fatal(err)
	}
}

func TestBulk(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		n, a, b, l := pair(t, Config{Seed: 1, IPv6: v6, Sample: 100 * time.Millisecond}, Direction{Rate: 10e6, Delay: 20 * time.Millisecond, QueueBytes: 50000})
		f := bulkFlow(t, n, a, b, 5<<20)
		run(t, n, 20*time.Second)
		r := f.Report()
		if !r.Complete || r.Bytes != 5<<20 || r.Failed != 0 || r.End < 4.3 || r.End > 7 {
			t.Errorf("IPv6 %v: %+v", v6, r)
		}
		if r.BaseRTT != 0.04 || r.MinRTT < 0.04 || r.MinRTT > 0.042 || r.MeanRTT < r.MinRTT {
			t.Errorf("IPv6 %v: RTTs %v, %v, %v", v6, r.BaseRTT, r.MinRTT, r.MeanRTT)
		}
		if s := l.Stats(false); s.Sent+s.Dropped[DropQueue] != s.Offered || s.MaxQueueBytes > 50000 || s.QueueBytes != 0 {
			t.Errorf("%+v", s)
		}
		for _, h := range []*Host{a, b} {
			for reason, k := range h.m.Stats().Drops {
				if k > 0 {
					t.Errorf("%s dropped %d for reason %d", h.name, k, reason)
				}
			}
		}
	}
}

// rough is a direction with everything that chance can do.
var rough = Direction{Rate: 20e6, Delay: 10 * time.Millisecond, Jitter: 2 * time.Millisecond, JitterReorders: true, QueueBytes: 40000,
	Loss: 0.01, Corrupt: 0.01, Reorder: 0.01, Duplicate: 0.01, Gilbert: &Gilbert{ToBad: 0.001, ToGood: 0.3, LossBad: 1}}

// capture runs flows of every kind over a rough network of five links and returns
// what was seen at both ends.
func capture(t testing.TB, seed uint64) []byte {
	n := New(Config{Seed: seed})
	host := func(name string) *Host {
		h, err := n.AddHost(HostConfig{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	a, b, c, d := host("a"), host("b"), host("c"), host("d")
	r1, _ := n.AddRouter("r1")
	r2, _ := n.AddRouter("r2")
	links := make([]*Link, 0, 5)
	for _, e := range []struct{ x, y Node }{{a, r1}, {b, r1}, {r1, r2}, {r2, c}, {r2, d}} {
		l, err := n.AddLink(LinkConfig{Name: fmt.Sprint("l", len(links)), A: e.x, B: e.y, AB: rough, BA: rough})
		if err != nil {
			t.Fatal(err)
		}
		links = append(links, l)
	}
	fc := func(name string, from, to *Host, congestion string) FlowConfig {
		return FlowConfig{Name: name, From: from, To: to, Congestion: congestion}
	}
	for _, err := range []error{
		second(n.AddBulk(Bulk{FlowConfig: fc("bulk", a, c, "cubic")})),
		second(n.AddBulk(Bulk{FlowConfig: fc("bulk2", d, b, "reno")})),
		second(n.AddRequest(Request{FlowConfig: fc("request", b, d, ""), Request: 300, Response: 20000, Think: 10 * time.Millisecond})),
		second(n.AddSource(Source{FlowConfig: fc("onoff", a, d, ""), Rate: 1e6, On: 100 * time.Millisecond, Off: 50 * time.Millisecond, Exponential: true})),
		second(n.AddShort(Short{FlowConfig: fc("short", b, c, ""), Interval: 100 * time.Millisecond, Bytes: 10000, Sizes: Pareto})),
		second(n.AddCross(CrossConfig{Name: "cross", From: a, To: c, Rate: 1e6, Poisson: true})),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var buf bytes.Buffer
	p := n.NewCapture(&buf)
	for _, x := range []struct {
		l  *Link
		at Node
	}{{links[0], a}, {links[3], c}} {
		if err := p.Add(x.l, x.at); err != nil {
			t.Fatal(err)
		}
	}
	run(t, n, 3*time.Second)
	if err := p.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, f := range n.Flows() {
		if f.Report().Bytes == 0 {
			t.Errorf("%s: nothing arrived: %+v", f.Name(), f.Report())
		}
	}
	return buf.Bytes()
}

func second[T any](_ T, err error) error { return err }

// The same seed gives the same bytes, whatever else the machine does; another
// seed others.
func TestSameSeedSameBytes(t *testing.T) {
	want := sha256.Sum256(capture(t, 7))
	if sha256.Sum256(capture(t, 8)) == want {
		t.Error("another seed gave the same packets")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, procs := range []int{1, 2, 4} {
		runtime.GOMAXPROCS(procs)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if got := sha256.Sum256(capture(t, 7)); got != want {
					t.Errorf("with %d processors the packets differ", procs)
				}
			})
		}
		wg.Wait()
	}
}

// What a capture has is what gopacket reads: every packet whole, in order of
// time, and with right checksums but for those in which a bit was flipped.
func TestCapture(t *testing.T) {
	data := capture(t, 3)
	r, err := pcapgo.NewNgReader(bytes.NewReader(data), pcapgo.NgReaderOptions{WantMixedLinkType: true})
	if err != nil {
		t.Fatal(err)
	}
	var packets, segments, wrong int
	var last time.Time
	for {
		b, ci, err := r.ReadPacketData()
		if err != nil {
			break
		}
		packets++
		if ci.CaptureLength != ci.Length || len(b) != ci.Length {
			t.Fatalf("packet %d is cut", packets)
		}
		if ci.Timestamp.Before(last) {
			t.Fatalf("packet %d is from before the one that precedes it", packets)
		}
		last = ci.Timestamp
		p := gopacket.NewPacket(b, layers.LayerTypeIPv4, gopacket.Default)
		ip, ok := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
		tcp, isTCP := p.Layer(layers.LayerTypeTCP).(*layers.TCP)
		if !ok || !isTCP {
			continue
		}
		segments++
		sum := tcp.Checksum
		if err := tcp.SetNetworkLayerForChecksum(ip); err != nil {
			t.Fatal(err)
		}
		out := gopacket.NewSerializeBuffer()
		if err := gopacket.SerializeLayers(out, gopacket.SerializeOptions{ComputeChecksums: true}, tcp, gopacket.Payload(tcp.Payload)); err != nil {
			t.Fatal(err)
		}
		if tcp.Checksum != sum {
			wrong++
		}
	}
	t.Logf("%d packets, %d segments, %d with a wrong checksum", packets, segments, wrong)
	if packets < 1000 || segments < packets/2 || wrong == 0 || wrong > packets/20 {
		t.Errorf("%d packets, %d segments, %d with a wrong checksum; want few wrong, but some", packets, segments, wrong)
	}
}

// The heap gives back what was put into it in a total order.
func TestEventHeap(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var h eventHeap
		timers := make([]timer, 20)
		for i := range timers {
			timers[i] = newTimer(nil)
		}
		for range rapid.IntRange(1, 200).Draw(rt, "steps") {
			x := &timers[rapid.IntRange(0, len(timers)-1).Draw(rt, "timer")]
			switch rapid.IntRange(0, 3).Draw(rt, "what") {
			case 0:
				h.disarm(x)
			default:
				h.arm(x, Time(rapid.IntRange(0, 10).Draw(rt, "at")))
			}
			for i, y := range h.s {
				if y.index != i || i > 0 && h.less(y, h.s[(i-1)/4]) {
					rt.Fatalf("entry %d is out of place", i)
				}
			}
		}
		armed := 0
		for i := range timers {
			if timers[i].at != Never {
				armed++
			}
		}
		var last *timer
		var lastAt Time
		var lastOrder uint64
		for len(h.s) > 0 {
			at, order := h.s[0].at, h.s[0].order
			x := h.pop()
			if last != nil && (at < lastAt || at == lastAt && order < lastOrder) {
				rt.Fatalf("%v after %v", at, lastAt)
			}
			last, lastAt, lastOrder = x, at, order
			armed--
		}
		if armed != 0 {
			rt.Fatalf("%d timers are lost", armed)
		}
	})
}

// BenchmarkPackets measures how many packets of a bulk flow, acknowledgements
// among them, one processor simulates in a second.
func BenchmarkPackets(b *testing.B) {
	for _, flows := range []int{1, 100} {
		b.Run(fmt.Sprint(flows), func(b *testing.B) {
			n, x, y, _ := pair(b, Config{Seed: 1}, Direction{Rate: 1e9, Delay: 5 * time.Millisecond, QueueBytes: 625000})
			for range flows {
				if _, err := n.AddBulk(Bulk{FlowConfig: FlowConfig{Name: "f", From: x, To: y}}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			b.ResetTimer()
			for sent := uint64(0); sent < uint64(b.N); sent, _ = n.Packets() {
				run(b, n, time.Duration(n.Now())+10*time.Millisecond)
			}
			b.ReportMetric(float64(n.sent)/b.Elapsed().Seconds(), "packets/s")
		})
	}
}

package sim

import (
	"encoding/csv"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
)

// One exchange takes a handshake less than the time to the first response: a
// round trip, and what the bytes take on the wire.
func TestRequest(t *testing.T) {
	n, a, b, _ := pair(t, Config{Seed: 1}, Direction{Rate: 10e6, Delay: 25 * time.Millisecond})
	f, err := n.AddRequest(Request{FlowConfig: FlowConfig{Name: "r", From: a, To: b}, Request: 100, Response: 1000, Think: 100 * time.Millisecond, Count: 20})
	if err != nil {
		t.Fatal(err)
	}
	run(t, n, 10*time.Second)
	r := f.Report()
	if !r.Complete || r.Count != 20 || r.Bytes != 20000 || r.Failed != 0 {
		t.Errorf("%+v", r)
	}
	want := 0.05 + (152+1052)*8/10e6
	if l := r.LatencyP; math.Abs(l.P50-want) > 0.001 || l.Max > want+0.001 || l.Mean > l.Max {
		t.Errorf("%+v, want about %v", l, want)
	}
}

// A paced source delivers its rate, and one that is off half of the time, half.
func TestSource(t *testing.T) {
	for _, c := range []struct {
		cfg  Source
		want float64
	}{
		{Source{Rate: 1e6}, 1e6},
		{Source{Rate: 1e6, On: 200 * time.Millisecond, Off: 200 * time.Millisecond}, 0.5e6},
		{Source{Rate: 1e6, On: 100 * time.Millisecond, Off: 300 * time.Millisecond, Exponential: true}, 0.25e6},
	} {
		n, a, b, _ := pair(t, Config{Seed: 1, Warmup: time.Second}, Direction{Rate: 10e6, Delay: 5 * time.Millisecond})
		c.cfg.FlowConfig = FlowConfig{Name: "s", From: a, To: b}
		f, err := n.AddSource(c.cfg)
		if err != nil {
			t.Fatal(err)
		}
		run(t, n, 60*time.Second)
		tolerance := 0.02
		if c.cfg.Exponential {
			tolerance = 0.25
		}
		if g := f.Report().Goodput; math.Abs(g-c.want) > tolerance*c.want {
			t.Errorf("%+v: %.0f bit/s, want %.0f", c.cfg, g, c.want)
		}
	}
}

// A source that the network does not keep up with is bounded, and goes on.
func TestSourceBehind(t *testing.T) {
	n, a, b, _ := pair(t, Config{Seed: 1}, Direction{Rate: 1e6, Delay: 5 * time.Millisecond})
	f, _ := n.AddSource(Source{FlowConfig: FlowConfig{Name: "s", From: a, To: b, SendBuffer: 64 << 10}, Rate: 10e6})
	run(t, n, 20*time.Second)
	s := f.(*source)
	if g := f.Report().Goodput; g < 0.85e6 || s.behind > maxBehind {
		t.Errorf("%.0f bit/s, %d bytes behind", g, s.behind)
	}
}

func TestShort(t *testing.T) {
	for _, sizes := range []Distribution{Fixed, Exponential, Pareto} {
		n, a, b, _ := pair(t, Config{Seed: 2}, Direction{Rate: 50e6, Delay: 5 * time.Millisecond})
		f, err := n.AddShort(Short{FlowConfig: FlowConfig{Name: "s", From: a, To: b}, Interval: 10 * time.Millisecond, Bytes: 10000, Sizes: sizes, Count: 1000})
		if err != nil {
			t.Fatal(err)
		}
		run(t, n, 60*time.Second)
		r := f.Report()
		if !r.Complete || r.Count != 1000 || r.Failed != 0 || r.End < 7 || r.End > 20 {
			t.Errorf("%d: %+v", sizes, r)
		}
		if mean := float64(r.Bytes) / 1000; math.Abs(mean-10000) > 3000 || sizes == Fixed && mean != 10000 {
			t.Errorf("%d: a mean size of %.0f", sizes, mean)
		}
		// Handshake, data and the FIN back: three round trips and a bit.
		if l := r.LatencyP; l.P50 < 0.02 || l.P50 > 0.08 {
			t.Errorf("%d: %+v", sizes, l)
		}
		if h := a.m.Stats().Conns; h != 0 {
			t.Errorf("%d connections are left", h)
		}
	}
}

// Too many open connections are a number in the report, not in memory.
func TestShortLimit(t *testing.T) {
	n, a, b, _ := pair(t, Config{Seed: 2}, Direction{Rate: 100e3, Delay: 5 * time.Millisecond})
	f, _ := n.AddShort(Short{FlowConfig: FlowConfig{Name: "s", From: a, To: b}, Interval: 10 * time.Millisecond, Bytes: 10000, MaxOpen: 20})
	run(t, n, 20*time.Second)
	if r := f.Report(); r.Unstarted < 100 || len(f.(*short).open) > 20 {
		t.Errorf("%d did not begin, %d are open", r.Unstarted, len(f.(*short).open))
	}
}

// Flows start and stop when they are told to.
func TestStartAndStop(t *testing.T) {
	n, a, b, l := pair(t, Config{Seed: 1}, Direction{Rate: 10e6, Delay: 5 * time.Millisecond})
	fc := FlowConfig{From: a, To: b, Start: time.Second, Stop: 3 * time.Second}
	name := func(s string) FlowConfig { c := fc; c.Name = s; return c }
	for _, err := range []error{
		second(n.AddBulk(Bulk{FlowConfig: name("bulk")})),
		second(n.AddRequest(Request{FlowConfig: name("request"), Request: 10, Response: 1000})),
		second(n.AddSource(Source{FlowConfig: name("source"), Rate: 1e5})),
		second(n.AddShort(Short{FlowConfig: name("short"), Interval: 50 * time.Millisecond, Bytes: 5000})),
		second(n.AddCross(CrossConfig{Name: "cross", From: a, To: b, Rate: 1e5, Start: fc.Start, Stop: fc.Stop})),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	run(t, n, 999*time.Millisecond)
	if s := l.Stats(false).Offered; s != 0 {
		t.Errorf("%d packets before the start", s)
	}
	run(t, n, 4*time.Second)
	before := l.Stats(false).Offered
	run(t, n, 10*time.Second)
	if s := l.Stats(false).Offered; s != before || before < 1000 {
		t.Errorf("%d packets, and %d more after the end", before, s-before)
	}
	for _, f := range n.Flows() {
		if r := f.Report(); r.Bytes == 0 || r.Failed != 0 || r.End != 3 {
			t.Errorf("%+v", r)
		}
	}
}

// The time series has every instant, and its CSV form is well-formed.
func TestSeries(t *testing.T) {
	n, a, b, _ := pair(t, Config{Seed: 1, Sample: 10 * time.Millisecond}, Direction{Rate: 10e6, Delay: 20 * time.Millisecond})
	f := bulkFlow(t, n, a, b, 0)
	run(t, n, 5*time.Second)
	flows, links := n.Series()
	if len(flows) != 501 || len(links) != 2*501 {
		t.Fatalf("%d and %d samples", len(flows), len(links))
	}
	var sum float64
	for i, s := range flows {
		if s.Time != Time(i)*1e7 {
			t.Fatalf("sample %d is of %v", i, s.Time)
		}
		sum += s.Goodput * 0.01 / 8
	}
	if got := float64(f.Report().Bytes); math.Abs(sum-got) > 1 {
		t.Errorf("the goodputs add up to %.0f bytes of %.0f", sum, got)
	}
	if last := flows[500]; last.Cwnd < 10000 || last.SRTT < 40*time.Millisecond || last.InFlight == 0 {
		t.Errorf("%+v", last)
	}
	var out strings.Builder
	if err := n.WriteSeries(&out); err != nil {
		t.Fatal(err)
	}
	var lines strings.Builder
	if err := n.WriteSeriesJSON(&lines); err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(strings.NewReader(lines.String()))
	objects, received := 0, 0.0
	for ; dec.More(); objects++ {
		var x map[string]any
		if err := dec.Decode(&x); err != nil {
			t.Fatal(err)
		}
		if v, ok := x["received"]; ok {
			received = v.(float64)
		}
	}
	if objects != 3*501 || received != float64(f.Report().Bytes) {
		t.Errorf("%d JSON objects, %.0f bytes received", objects, received)
	}
	rows, err := csv.NewReader(strings.NewReader(out.String())).ReadAll()
	if err != nil || len(rows) != 1+3*501 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
}

// The series stays within its bound, at a coarser interval.
func TestSeriesThins(t *testing.T) {
	n, a, b, _ := pair(t, Config{Seed: 1, Sample: time.Microsecond}, Direction{Rate: 1e6, Delay: 20 * time.Millisecond})
	bulkFlow(t, n, a, b, 1000)
	run(t, n, 300*time.Millisecond)
	flows, links := n.Series()
	if len(flows)+len(links) > maxSamples || len(links) < maxSamples/4 {
		t.Errorf("%d and %d samples", len(flows), len(links))
	}
	if d := links[4].Time - links[2].Time; d <= 1000 || d != links[len(links)-1].Time-links[len(links)-3].Time {
		t.Errorf("an interval of %v", d)
	}
}

func TestJain(t *testing.T) {
	for _, c := range []struct {
		rates []float64
		want  float64
	}{{[]float64{3, 3, 3}, 1}, {[]float64{1, 0}, 0.5}, {[]float64{1, 2}, 0.9}, {nil, 0}, {[]float64{0, 0}, 0}} {
		if got := Jain(c.rates); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("Jain(%v) is %v", c.rates, got)
		}
	}
}

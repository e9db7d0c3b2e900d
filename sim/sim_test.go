package sim

import (
	"testing"
	"time"
)

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

func TestBulk(t *testing.T) {
	n, a, b, _ := pair(t, Config{Seed: 1, Sample: 100 * time.Millisecond}, Direction{Rate: 10e6, Delay: 20 * time.Millisecond, QueueBytes: 50000})
	f, err := n.AddBulk(Bulk{FlowConfig: FlowConfig{Name: "f", From: a, To: b}})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Run(20 * time.Second); err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", f.Report())
	t.Logf("%+v", n.Report().Links)
}

func BenchmarkBulk(b *testing.B) {
	n, x, y, _ := pair(b, Config{Seed: 1}, Direction{Rate: 1e9, Delay: 5 * time.Millisecond})
	n.AddBulk(Bulk{FlowConfig: FlowConfig{Name: "f", From: x, To: y}})
	b.ResetTimer()
	for n.sent < uint64(b.N) {
		n.Run(time.Duration(n.now) + 100*time.Millisecond)
	}
	b.ReportMetric(float64(n.sent)/b.Elapsed().Seconds(), "packets/s")
}

package plot

import (
	"bytes"
	"encoding/xml"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/sluicenet/sluice/sim"
)

// The drawing is well-formed, has its four panels, every flow's name, and no
// coordinate outside of it.
func TestSVG(t *testing.T) {
	n := sim.New(sim.Config{Seed: 1, Sample: 5 * time.Millisecond})
	a, _ := n.AddHost(sim.HostConfig{Name: "a"})
	b, _ := n.AddHost(sim.HostConfig{Name: "b"})
	d := sim.Direction{Rate: 10e6, Delay: 10 * time.Millisecond, QueueBytes: 30000}
	if _, err := n.AddLink(sim.LinkConfig{Name: "wire", A: a, B: b, AB: d, BA: d}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"first<&>", "second"} {
		if _, err := n.AddBulk(sim.Bulk{FlowConfig: sim.FlowConfig{Name: name, From: a, To: b}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Run(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if err := SVG(&buf, n, "a & b"); err != nil {
		t.Fatal(err)
	}
	dec := xml.NewDecoder(bytes.NewReader(buf.Bytes()))
	lines, text := 0, ""
	for {
		tok, err := dec.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch x := tok.(type) {
		case xml.StartElement:
			if x.Name.Local == "polyline" {
				lines++
				for _, a := range x.Attr {
					if a.Name.Local == "points" && (strings.Contains(a.Value, "NaN") || strings.Contains(a.Value, "Inf") || len(a.Value) < 20) {
						t.Errorf("points %.60s", a.Value)
					}
				}
			}
		case xml.CharData:
			text += string(x) + "\n"
		}
	}
	// Two flows: window, threshold, RTT and goodput each; one queue.
	if lines != 9 {
		t.Errorf("%d lines", lines)
	}
	for _, want := range []string{"a & b", "first<&>", "second", "wire", "cwnd", "smoothed RTT", "queue", "goodput", "time"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing", want)
		}
	}
	// A network of which nothing was noted has axes and nothing else.
	buf.Reset()
	if err := SVG(&buf, sim.New(sim.Config{}), ""); err != nil || strings.Contains(buf.String(), "NaN") {
		t.Error(err)
	}
}

func TestAxis(t *testing.T) {
	for _, most := range []float64{1e-6, 0.7, 1, 3, 7, 12, 99, 101, 1e9} {
		ticks, end := axis(most)
		if end < most || end > 2*most || len(ticks) < 3 || len(ticks) > 8 || ticks[0] != 0 || math.IsNaN(end) {
			t.Errorf("axis(%v): %v", most, ticks)
		}
	}
}

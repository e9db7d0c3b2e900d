package versus

import (
	"math"
	"testing"
	"time"
)

func TestGrids(t *testing.T) {
	full := FullGrid()
	if len(full) != 54 || len(DefaultGrid()) != 12 {
		t.Fatalf("%d and %d cells", len(full), len(DefaultGrid()))
	}
	in := map[Cell]bool{}
	for _, c := range full {
		in[c] = true
	}
	seen := map[any]bool{}
	for _, c := range DefaultGrid() {
		if !in[c] {
			t.Errorf("%v is not in the full grid", c)
		}
		delete(in, c) // twice would not be
		seen[c.Rate], seen[c.RTT], seen[c.Buffer] = true, true, true
		seen["loss"+c.String()[len(c.String())-3:]] = true
	}
	for _, c := range full {
		if !seen[c.Rate] || !seen[c.RTT] || !seen[c.Buffer] {
			t.Errorf("the default grid has nothing of %v", c)
		}
	}
	if q := (Cell{10e6, 50 * time.Millisecond, .5, 0}).QueueBytes(); q != 31250 {
		t.Errorf("half a BDP is %d bytes", q)
	}
	if q := (Cell{1e5, time.Millisecond, .5, 0}).QueueBytes(); q != 3000 {
		t.Errorf("the least queue is %d bytes", q)
	}
}

func TestSummary(t *testing.T) {
	row := func(algorithm string, linux, ours, shared float64) Row {
		r := Row{Algorithm: algorithm, Rate: 10e6, RTT: .05, Buffer: 1, Runs: []Run{
			{Kind: Linux, Senders: []Sender{{Stack: Linux, Goodput: linux - 1, MeanRTT: .1, Retransmitted: .01}}},
			{Kind: Linux, Senders: []Sender{{Stack: Linux, Goodput: linux + 1, MeanRTT: .1, Retransmitted: .03}}},
			{Kind: Sluice, Senders: []Sender{{Stack: Sluice, Goodput: ours, MeanRTT: .05}}},
			{Kind: Both, Senders: []Sender{{Stack: Linux, Late: 10 - shared}, {Stack: Sluice, Late: shared}}},
		}}
		r.settle()
		return r
	}
	rows := []Row{row("reno", 10, 9, 4), row("cubic", 10, 8, 5), row("cubic", 10, 11, 6), row("bbr", 10, 1, 0)}
	r := &rows[0]
	near := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 1e-9 {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}
	near("goodput", r.Linux.Goodput, 10)
	near("retransmitted", r.Linux.Retransmitted, .02)
	near("goodput ratio", r.GoodputRatio, .9)
	near("RTT ratio", r.RTTRatio, .5)
	near("share", *r.Share, .4)
	s := Summarize(rows)
	near("median ratio", s.MedianGoodputRatio, .9)
	near("least ratio", s.LeastGoodputRatio, .8)
	near("least share", s.LeastShare, .4)
	near("greatest share", s.GreatestShare, .6)
	near("median share", s.MedianShare, .5)
	if s.LeastCell != "10Mbit 50ms 1BDP 0% cubic" {
		t.Errorf("the least is %q", s.LeastCell)
	}
	if s := Summarize(nil); s != (Summary{}) {
		t.Errorf("nothing is %+v", s)
	}
	lone := Row{Runs: []Run{{Kind: Linux, Senders: []Sender{{Goodput: 1, MeanRTT: 1}}}}}
	if lone.settle(); lone.Sluice != nil || lone.Share != nil || lone.GoodputRatio != 0 {
		t.Errorf("%+v", lone)
	}
}

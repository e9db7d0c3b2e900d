// Package versus sends the same transfer over the same emulated path from Linux's TCP
// and from ours, to a Linux receiver, and compares what comes of it; and lets both
// send at once, to see how they share.
//
// Every run has two network namespaces of its own, which vanish with it, joined by a
// bridge (package bridge) in a process of its own. Our stack is attached to a TUN
// device in the sender's namespace, whose kernel routes its packets to the bridge
// just as those of its own sockets.
package versus

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/sluicenet/sluice/config"
	"github.com/sluicenet/sluice/link/impair"
)

// A Cell is a path.
type Cell struct {
	Rate   int64         // bits a second of whole IP packets, both ways
	RTT    time.Duration // without queues
	Buffer float64       // of the sender's direction, in products of Rate and RTT
	Loss   float64       // probability, in the sender's direction
}

// String describes the cell.
func (c Cell) String() string {
	return fmt.Sprintf("%v %v %gBDP %v", config.Rate(c.Rate), config.Duration(c.RTT), c.Buffer, config.Percent(c.Loss))
}

// QueueBytes returns the size of the buffer, two packets at least.
func (c Cell) QueueBytes() int64 {
	return max(int64(math.Round(c.Buffer*float64(impair.BDP(c.Rate, c.RTT)))), 3000)
}

// Grid returns every combination.
func Grid(rates []int64, rtts []time.Duration, buffers, losses []float64) (cells []Cell) {
	for _, r := range rates {
		for _, t := range rtts {
			for _, b := range buffers {
				for _, l := range losses {
					cells = append(cells, Cell{r, t, b, l})
				}
			}
		}
	}
	return cells
}

// FullGrid returns the 54 cells of which [DefaultGrid] is a selection.
func FullGrid() []Cell {
	return Grid([]int64{10e6, 100e6}, []time.Duration{10 * time.Millisecond, 50 * time.Millisecond, 150 * time.Millisecond},
		[]float64{.5, 1, 2}, []float64{0, .001, .01})
}

// DefaultGrid returns 12 cells in which every rate, RTT, buffer and loss has its turn.
func DefaultGrid() []Cell {
	const ms = time.Millisecond
	return []Cell{
		{10e6, 10 * ms, 1, 0},
		{10e6, 50 * ms, .5, 0},
		{10e6, 50 * ms, 1, .001},
		{10e6, 50 * ms, 2, .01},
		{10e6, 150 * ms, 1, 0},
		{10e6, 150 * ms, 2, .001},
		{100e6, 10 * ms, .5, 0},
		{100e6, 10 * ms, 1, .001},
		{100e6, 50 * ms, 1, 0},
		{100e6, 50 * ms, 2, .01},
		{100e6, 150 * ms, 1, 0},
		{100e6, 150 * ms, 2, .001},
	}
}

// Kinds of runs.
const (
	Linux  = "linux"  // Linux to Linux
	Sluice = "sluice" // our stack to Linux
	Both   = "both"   // at once, over the same path
)

// Options say what is compared.
type Options struct {
	Cells      []Cell
	Algorithms []string // congestion controllers: reno, cubic, bbr
	Kinds      []string // nil: all
	Duration   time.Duration
	Repeat     int // runs of each kind, with other seeds; 0 means 1
	Seed       uint64

	// Bridge is the command that runs a bridge whose file comes on its standard
	// input, and reports in JSON.
	Bridge []string

	// Progress, if not nil, is told before each run.
	Progress func(done, all int, what string)

	// Row, if not nil, is told what a cell has come to.
	Row func(*Row)
}

// Sender is what came of one sender. Times are seconds, rates bits a second.
type Sender struct {
	Stack         string  `json:"stack"` // linux or sluice
	Goodput       float64 `json:"goodput"`
	Late          float64 `json:"goodput_late"` // without the first quarter of the time
	Bytes         int64   `json:"bytes"`        // received in order
	Retransmitted float64 `json:"retransmitted_share"`
	MeanRTT       float64 `json:"mean_rtt"` // of the smoothed one
	Packets       uint64  `json:"packets"`
}

// Run is one transfer, or two at once.
type Run struct {
	Kind     string   `json:"kind"`
	Seed     uint64   `json:"seed"`
	Senders  []Sender `json:"senders"`
	Late50   float64  `json:"bridge_late_p50"` // how late the bridge was
	Late99   float64  `json:"bridge_late_p99"`
	LateMax  float64  `json:"bridge_late_max"`
	Refused  uint64   `json:"bridge_refused"` // packets that a device had no room for: not the path's doing
	Realtime bool     `json:"bridge_realtime"`
	Drops    uint64   `json:"drops"`
}

// Row is a cell with an algorithm. What is absent was not measured.
type Row struct {
	Rate      int64   `json:"rate"`
	RTT       float64 `json:"rtt"`
	Buffer    float64 `json:"buffer_bdp"`
	Loss      float64 `json:"loss"`
	Algorithm string  `json:"algorithm"`
	Runs      []Run   `json:"runs"`

	Linux  *Sender `json:"linux,omitempty"`  // alone, means over the runs
	Sluice *Sender `json:"sluice,omitempty"` // alone, means over the runs

	GoodputRatio float64  `json:"goodput_ratio,omitempty"` // ours to Linux's
	RTTRatio     float64  `json:"rtt_ratio,omitempty"`
	Share        *float64 `json:"share,omitempty"` // our part of what both got, without the first quarter of the time
}

// Cell returns the path of the row.
func (r *Row) Cell() Cell {
	return Cell{r.Rate, time.Duration(math.Round(r.RTT * 1e9)), r.Buffer, r.Loss}
}

// Summary is what all rows come to. The rows of bbr are not in it: Linux has its
// first version.
type Summary struct {
	MedianGoodputRatio float64 `json:"median_goodput_ratio"`
	LeastGoodputRatio  float64 `json:"least_goodput_ratio"`
	LeastCell          string  `json:"least_goodput_cell"`
	LeastShare         float64 `json:"least_share"`
	GreatestShare      float64 `json:"greatest_share"`
	MedianShare        float64 `json:"median_share"`
}

// Report is everything.
type Report struct {
	Kernel   string  `json:"kernel"`
	Duration float64 `json:"duration"`
	Rows     []Row   `json:"rows"`
	Summary  Summary `json:"summary"`
}

// settle works out the means and ratios of a row.
func (r *Row) settle() {
	var shares []float64
	for i := range r.Runs {
		run := &r.Runs[i]
		if run.Kind == Both {
			var ours, all float64
			for _, s := range run.Senders {
				all += s.Late
				if s.Stack == Sluice {
					ours += s.Late
				}
			}
			if all > 0 {
				shares = append(shares, ours/all)
			}
		}
	}
	r.Linux, r.Sluice = r.mean(Linux), r.mean(Sluice)
	if a, b := r.Sluice, r.Linux; a != nil && b != nil && b.Goodput > 0 && b.MeanRTT > 0 {
		r.GoodputRatio, r.RTTRatio = a.Goodput/b.Goodput, a.MeanRTT/b.MeanRTT
	}
	if len(shares) > 0 {
		m := mean(shares)
		r.Share = &m
	}
}

// mean returns the mean of the runs of a stack alone, or nil.
func (r *Row) mean(kind string) *Sender {
	m, n := Sender{Stack: kind}, 0.0
	for i := range r.Runs {
		if r.Runs[i].Kind != kind {
			continue
		}
		s := &r.Runs[i].Senders[0]
		n++
		m.Goodput += s.Goodput
		m.Late += s.Late
		m.Bytes += s.Bytes
		m.Packets += s.Packets
		m.Retransmitted += s.Retransmitted
		m.MeanRTT += s.MeanRTT
	}
	if n == 0 {
		return nil
	}
	m.Goodput, m.Late, m.Retransmitted, m.MeanRTT = m.Goodput/n, m.Late/n, m.Retransmitted/n, m.MeanRTT/n
	m.Bytes, m.Packets = m.Bytes/int64(n), m.Packets/uint64(n)
	return &m
}

// Summarize returns what the rows come to.
func Summarize(rows []Row) (s Summary) {
	var ratios, shares []float64
	for i := range rows {
		r := &rows[i]
		if r.Algorithm == "bbr" {
			continue
		}
		if r.GoodputRatio > 0 {
			if len(ratios) == 0 || r.GoodputRatio < s.LeastGoodputRatio {
				s.LeastGoodputRatio, s.LeastCell = r.GoodputRatio, r.Cell().String()+" "+r.Algorithm
			}
			ratios = append(ratios, r.GoodputRatio)
		}
		if r.Share != nil {
			shares = append(shares, *r.Share)
		}
	}
	s.MedianGoodputRatio, s.MedianShare = median(ratios), median(shares)
	if len(shares) > 0 {
		s.LeastShare, s.GreatestShare = slices.Min(shares), slices.Max(shares)
	}
	return s
}

func mean(v []float64) (m float64) {
	for _, x := range v {
		m += x
	}
	return m / float64(len(v))
}

// median returns 0 for nothing.
func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	switch n := len(v); {
	case n == 0:
		return 0
	case n%2 == 1:
		return v[n/2]
	default:
		return (v[n/2-1] + v[n/2]) / 2
	}
}

package scenario

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"github.com/sluicenet/sluice/config"
	"github.com/sluicenet/sluice/sim"
)

// A Vary is a key and the values it takes in turn.
type Vary struct {
	Key    string
	Values []string
}

// ParseVary parses "key=value,value,...". Where values have commas in them, they
// are separated by semicolons.
func ParseVary(s string) (Vary, error) {
	key, values, ok := strings.Cut(s, "=")
	if !ok || key == "" || values == "" {
		return Vary{}, fmt.Errorf("%q is not KEY=VALUE or KEY=VALUE,VALUE", s)
	}
	sep := ","
	if strings.Contains(values, ";") {
		sep = ";"
	}
	v := Vary{Key: key}
	for _, x := range strings.Split(values, sep) {
		v.Values = append(v.Values, strings.TrimSpace(x))
	}
	return v, nil
}

// A Cell is one combination of values, carried out with one seed.
type Cell struct {
	Values []string // of the varied keys, in their order
	Seed   uint64
	Report *sim.Report
	Err    error
}

// MatrixOptions say what a matrix is of.
type MatrixOptions struct {
	Vary  []Vary
	Seeds []uint64
	Jobs  int // experiments at a time; 0: one for each CPU

	// Progress, if not nil, is called after each experiment, one call at a time.
	Progress func(done, all int)
}

// maxCells bounds a matrix.
const maxCells = 1_000_000

// Matrix carries out every combination of values with every seed. The cells are
// in the order of the keys, their values and the seeds, whichever was ready first.
// An error of one of the combinations is found before any is carried out. When ctx
// ends, what is under way is finished and the rest left out.
func Matrix(ctx context.Context, opts Options, m MatrixOptions) ([]Cell, error) {
	if len(m.Seeds) == 0 {
		m.Seeds = []uint64{1}
	}
	combinations := [][]string{nil}
	for _, v := range m.Vary {
		var next [][]string
		for _, c := range combinations {
			for _, x := range v.Values {
				next = append(next, append(append([]string(nil), c...), x))
			}
		}
		combinations = next
		if len(combinations)*len(m.Seeds) > maxCells {
			return nil, fmt.Errorf("more than %d experiments", maxCells)
		}
	}
	var cells []Cell
	var scenarios []*Scenario
	for _, c := range combinations {
		o := opts
		o.Set = append([]config.Assignment(nil), opts.Set...)
		for i, v := range m.Vary {
			o.Set = append(o.Set, config.Assignment{Key: v.Key, Value: c[i], Source: "--vary " + v.Key + "=" + c[i]})
		}
		s, err := Load(o)
		if err != nil {
			return nil, err
		}
		for _, seed := range m.Seeds {
			cells = append(cells, Cell{Values: c, Seed: seed})
			scenarios = append(scenarios, s)
		}
	}
	jobs := m.Jobs
	if jobs <= 0 {
		jobs = runtime.GOMAXPROCS(0)
	}
	var (
		mu   sync.Mutex
		next int
		done int
		wg   sync.WaitGroup
	)
	for range min(jobs, len(cells)) {
		wg.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				if i >= len(cells) {
					return
				}
				c := &cells[i]
				if c.Err = ctx.Err(); c.Err == nil {
					var e *Experiment
					if e, c.Err = scenarios[i].Run(RunOptions{Seed: &c.Seed}); c.Err == nil {
						c.Report = e.Report
					}
				}
				mu.Lock()
				done++
				if m.Progress != nil {
					m.Progress(done, len(cells))
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return cells, ctx.Err()
}

// WriteCSV writes one row for each flow of each cell.
func WriteCSV(w io.Writer, scenario string, vary []Vary, cells []Cell) error {
	out := csv.NewWriter(w)
	head := []string{"scenario"}
	for _, v := range vary {
		head = append(head, v.Key)
	}
	head = append(head, "seed", "flow", "kind", "congestion", "goodput_bits_per_s", "bytes", "retransmitted_bytes", "retransmitted_share",
		"timeouts", "spurious", "min_rtt_s", "mean_rtt_s", "mean_cwnd_bytes", "complete", "end_s", "count", "latency_mean_s",
		"latency_p50_s", "latency_p95_s", "latency_p99_s", "jain", "drops", "packets", "error")
	if err := out.Write(head); err != nil {
		return err
	}
	num := func(x float64) string { return strconv.FormatFloat(x, 'g', 8, 64) }
	for i := range cells {
		c := &cells[i]
		row := append([]string{scenario}, c.Values...)
		row = append(row, strconv.FormatUint(c.Seed, 10))
		if c.Report == nil {
			row = append(row, make([]string, len(head)-len(row)-1)...)
			if err := out.Write(append(row, fmt.Sprint(c.Err))); err != nil {
				return err
			}
			continue
		}
		var drops uint64
		for _, n := range c.Report.Drops {
			drops += n
		}
		for j := range c.Report.Flows {
			f := &c.Report.Flows[j]
			l := &f.LatencyP
			if err := out.Write(append(append([]string(nil), row...), f.Name, f.Kind, f.Congestion, num(f.Goodput), fmt.Sprint(f.Bytes),
				fmt.Sprint(f.Resent), num(f.LossRatio), fmt.Sprint(f.Timeouts), fmt.Sprint(f.Spurious), num(f.MinRTT), num(f.MeanRTT),
				num(f.MeanCwnd), strconv.FormatBool(f.Complete), num(f.End), strconv.Itoa(f.Count), num(l.Mean), num(l.P50), num(l.P95),
				num(l.P99), num(c.Report.Jain), fmt.Sprint(drops), fmt.Sprint(c.Report.Packets), f.Error)); err != nil {
				return err
			}
		}
	}
	out.Flush()
	return out.Error()
}

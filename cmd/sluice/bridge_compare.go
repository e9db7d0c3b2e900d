package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/bridge/versus"
	"github.com/sluicenet/sluice/config"
)

// compareCommand returns the command "bridge compare".
func compareCommand() *cobra.Command {
	var rates, rtts, buffers, losses, algorithms, kinds []string
	var duration time.Duration
	var repeat int
	var seed uint64
	var asJSON, full bool
	var jsonFile string
	cmd := &cobra.Command{
		Use:   "compare",
		Short: "Compare our TCP with Linux's over the same emulated paths, in real time",
		Long: "Compare sends from Linux to Linux, from our stack to Linux, and from both at once, through a bridge with the same\n" +
			"rate, delay, buffer and losses, and prints goodput, retransmissions and mean RTT side by side, and the shares.\n" +
			"It runs as root, in network namespaces of its own that vanish with each run. See docs/bridge.md.",
		Example: "  sluice bridge compare                                    12 cells, reno and cubic: about 25 minutes\n" +
			"  sluice bridge compare --rate 10Mbit --rtt 50ms --buffer 1 --loss 0%,1% --cc cubic --duration 5s\n" +
			"  sluice bridge compare --full --duration 60s --repeat 3 --json-file grid.json",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, errs := cmd.OutOrStdout(), cmd.ErrOrStderr()
			o := versus.Options{Duration: duration, Repeat: repeat, Seed: seed, Algorithms: algorithms, Cells: versus.DefaultGrid()}
			if duration < time.Second || duration > time.Hour {
				return misused("--duration %v is not between 1s and 1h", duration)
			}
			if repeat < 1 {
				return misused("--repeat %d is less than 1", repeat)
			}
			for _, a := range algorithms {
				if !slices.Contains([]string{"reno", "cubic", "bbr"}, a) {
					return misused("--cc %s: reno, cubic and bbr are what Linux has too", a)
				}
			}
			for _, k := range kinds {
				if !slices.Contains([]string{versus.Linux, versus.Sluice, versus.Both}, k) {
					return misused("--runs %s: there are linux, sluice and both", k)
				}
			}
			o.Kinds = kinds
			given := false
			for _, name := range []string{"rate", "rtt", "buffer", "loss"} {
				given = given || cmd.Flags().Changed(name)
			}
			switch {
			case full && given:
				return misused("--full says which cells, and --rate, --rtt, --buffer and --loss say it too")
			case full:
				o.Cells = versus.FullGrid()
			case given:
				var err error
				if o.Cells, err = parseGrid(rates, rtts, buffers, losses); err != nil {
					return misused("%w", err)
				}
			}
			self, err := os.Executable()
			if err != nil {
				return failed(err)
			}
			o.Bridge = []string{self, "bridge", "--json", "-c", "-"}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			preferProcess()
			bar := newProgressBar(errs)
			began := time.Now()
			o.Progress = func(done, all int, what string) {
				if done > 0 {
					bar.show(done, all)
				}
				if bar.w == nil && done == 0 {
					fmt.Fprintf(errs, "%d runs of %v\n", all, duration)
				}
			}
			table := out
			if asJSON {
				table = errs
			}
			first := true
			o.Row = func(r *versus.Row) {
				bar.done()
				if first {
					printRowHead(table)
					first = false
				}
				printRow(table, r)
			}
			r, err := versus.Compare(ctx, o)
			bar.done()
			if len(r.Rows) > 1 {
				printSummary(table, r, time.Since(began))
			}
			encode := func(w io.Writer) error {
				enc := json.NewEncoder(w)
				enc.SetIndent("", "  ")
				return enc.Encode(r)
			}
			if asJSON {
				if e := encode(out); err == nil {
					err = e
				}
			}
			if jsonFile != "" {
				if e := writeReport(jsonFile, out, encode); err == nil {
					err = e
				}
			}
			if err != nil {
				return failed(err)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&rates, "rate", []string{"10Mbit"}, "rates of the path, instead of the default cells")
	f.StringSliceVar(&rtts, "rtt", []string{"50ms"}, "round-trip times")
	f.StringSliceVar(&buffers, "buffer", []string{"1"}, "buffers, in products of rate and RTT")
	f.StringSliceVar(&losses, "loss", []string{"0%"}, "random losses towards the receiver")
	f.StringSliceVar(&algorithms, "cc", []string{"reno", "cubic"}, "congestion controllers; bbr is compared with Linux's first version of it")
	f.StringSliceVar(&kinds, "runs", []string{versus.Linux, versus.Sluice, versus.Both}, "who sends: linux, sluice, both at once")
	f.DurationVar(&duration, "duration", 20*time.Second, "time of each run")
	f.IntVar(&repeat, "repeat", 1, "runs of each kind, with other seeds, of which the means are shown")
	f.Uint64Var(&seed, "seed", 1, "seed of the losses")
	f.BoolVar(&full, "full", false, "all 54 cells that the default ones are taken from")
	f.BoolVar(&asJSON, "json", false, "print everything as JSON, and the table to standard error")
	f.StringVar(&jsonFile, "json-file", "", "write everything as JSON into this `file` too")
	return cmd
}

// parseGrid parses the four lists of a grid.
func parseGrid(rates, rtts, buffers, losses []string) ([]versus.Cell, error) {
	var rs []int64
	var ts []time.Duration
	var bs, ls []float64
	for _, s := range rates {
		var r config.Rate
		if err := r.UnmarshalText([]byte(s)); err != nil {
			return nil, fmt.Errorf("--rate: %w", err)
		}
		if r < 100e3 || r > 10e9 {
			return nil, fmt.Errorf("--rate: %v is not between 100kbit and 10Gbit", r)
		}
		rs = append(rs, int64(r))
	}
	for _, s := range rtts {
		var d config.Duration
		if err := d.UnmarshalText([]byte(s)); err != nil {
			return nil, fmt.Errorf("--rtt: %w", err)
		}
		if time.Duration(d) < time.Millisecond || time.Duration(d) > 10*time.Second {
			return nil, fmt.Errorf("--rtt: %v is not between 1ms and 10s", d)
		}
		ts = append(ts, time.Duration(d))
	}
	for _, s := range buffers {
		b, err := strconv.ParseFloat(strings.TrimSuffix(strings.ToLower(s), "bdp"), 64)
		if err != nil || !(b > 0 && b <= 1000) {
			return nil, fmt.Errorf("--buffer: %q is not a number of products of rate and RTT such as 0.5", s)
		}
		bs = append(bs, b)
	}
	for _, s := range losses {
		var p config.Percent
		if err := p.UnmarshalText([]byte(s)); err != nil {
			return nil, fmt.Errorf("--loss: %w", err)
		}
		ls = append(ls, float64(p))
	}
	return versus.Grid(rs, ts, bs, ls), nil
}

func printRowHead(w io.Writer) {
	fmt.Fprintf(w, "%-28s | %-23s | %-19s | %-23s | %s\n", "", "goodput, Mbit/s", "resent, %", "mean RTT, ms", "both at once, Mbit/s")
	fmt.Fprintf(w, "%-28s | %7s %7s %7s | %9s %9s | %7s %7s %7s | %7s %7s %6s | %s\n", "rate RTT buffer loss cc", "Linux", "Sluice", "ratio",
		"Linux", "Sluice", "Linux", "Sluice", "ratio", "Linux", "Sluice", "share", "bridge late 50/99 %/max, ms")
}

func printRow(w io.Writer, r *versus.Row) {
	fmt.Fprintf(w, "%-28s |", r.Cell().String()+" "+r.Algorithm)
	number := func(width, digits int, v float64, ok bool) {
		if !ok {
			fmt.Fprintf(w, " %*s", width, "-")
			return
		}
		fmt.Fprintf(w, " %*.*f", width, digits, v)
	}
	var a, b versus.Sender
	if r.Linux != nil {
		a = *r.Linux
	}
	if r.Sluice != nil {
		b = *r.Sluice
	}
	alone := r.Linux != nil && r.Sluice != nil
	number(7, 2, a.Goodput/1e6, r.Linux != nil)
	number(7, 2, b.Goodput/1e6, r.Sluice != nil)
	number(7, 3, r.GoodputRatio, alone)
	fmt.Fprint(w, " |")
	number(9, 3, a.Retransmitted*100, r.Linux != nil)
	number(9, 3, b.Retransmitted*100, r.Sluice != nil)
	fmt.Fprint(w, " |")
	number(7, 1, a.MeanRTT*1e3, r.Linux != nil)
	number(7, 1, b.MeanRTT*1e3, r.Sluice != nil)
	number(7, 3, r.RTTRatio, alone)
	fmt.Fprint(w, " |")
	var both [2]float64
	var n, late50, late99, late float64
	for _, run := range r.Runs {
		late50, late99, late = max(late50, run.Late50), max(late99, run.Late99), max(late, run.LateMax)
		if run.Kind != versus.Both {
			continue
		}
		n++
		for _, s := range run.Senders {
			if s.Stack == versus.Linux {
				both[0] += s.Late
			} else {
				both[1] += s.Late
			}
		}
	}
	number(7, 2, both[0]/n/1e6, n > 0)
	number(7, 2, both[1]/n/1e6, n > 0)
	share := 0.0
	if r.Share != nil {
		share = *r.Share
	}
	number(6, 3, share, r.Share != nil)
	fmt.Fprintf(w, " | %.2f/%.2f/%.1f\n", late50*1e3, late99*1e3, late*1e3)
}

func printSummary(w io.Writer, r *versus.Report, took time.Duration) {
	s := &r.Summary
	fmt.Fprintf(w, "\nLinux %s, %v for %d rows (bbr is not in what follows)\n", r.Kernel, took.Round(time.Second), len(r.Rows))
	if s.MedianGoodputRatio > 0 {
		fmt.Fprintf(w, "goodput, ours to Linux's: median %.3f, least %.3f (%s)\n", s.MedianGoodputRatio, s.LeastGoodputRatio, s.LeastCell)
	}
	if s.GreatestShare > 0 {
		fmt.Fprintf(w, "our share beside Linux: median %.3f, %.3f to %.3f\n", s.MedianShare, s.LeastShare, s.GreatestShare)
	}
}

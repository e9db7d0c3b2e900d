package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/config"
	builtin "github.com/sluicenet/sluice/examples/sim"
	"github.com/sluicenet/sluice/sim"
	"github.com/sluicenet/sluice/sim/plot"
	"github.com/sluicenet/sluice/sim/scenario"
)

// simCommand returns the command "sim".
func simCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sim",
		Short: "Experiment with flows in a simulated network",
		Long: "Sim carries out experiments in virtual time: hosts with the daemon's own TCP, links, routers and\n" +
			"applications, as a scenario file describes them. See docs/sim.md.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(simRunCommand(), simListCommand(), simMatrixCommand())
	return cmd
}

func simListCommand() *cobra.Command {
	var show string
	var keys bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the built-in scenarios",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := cmd.OutOrStdout()
			if keys {
				for _, k := range scenario.Keys() {
					fmt.Fprintf(out, "%s (%s)\n    %s\n", k.Path, k.Summary(), k.Doc)
				}
				return nil
			}
			if show != "" {
				data, ok := builtin.Get(show)
				if !ok {
					return misused("there is no built-in scenario %q%s", show, config.Suggest(show, builtin.Names()))
				}
				_, err := out.Write(data)
				return err
			}
			w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
			for _, name := range builtin.Names() {
				data, _ := builtin.Get(name)
				s, err := scenario.Load(scenario.Options{Name: name, Data: data})
				if err != nil {
					return failed(err)
				}
				fmt.Fprintf(w, "%s\t%s\n", name, s.Title)
			}
			return w.Flush()
		},
	}
	cmd.Flags().StringVar(&show, "show", "", "print the file of a built-in scenario, to begin another with")
	cmd.Flags().BoolVar(&keys, "keys", false, "list every key that a scenario can have")
	return cmd
}

// scenarioOptions says where a scenario comes from: a file, or a built-in one.
func scenarioOptions(arg string, set []string) (scenario.Options, error) {
	var opts scenario.Options
	for _, s := range set {
		a, err := config.ParseAssignment(s, "--set")
		if err != nil {
			return opts, misused("%w", err)
		}
		opts.Set = append(opts.Set, a)
	}
	if data, ok := builtin.Get(arg); ok {
		opts.Name, opts.Data = arg, data
		return opts, nil
	}
	if _, err := os.Stat(arg); err != nil {
		if strings.ContainsAny(arg, "./\\") {
			return opts, failed(err)
		}
		return opts, misused("%q is neither a file nor a built-in scenario%s", arg, config.Suggest(arg, builtin.Names()))
	}
	opts.File = arg
	return opts, nil
}

func simRunCommand() *cobra.Command {
	var set []string
	var seed uint64
	var asJSON bool
	var plotFile, captureFile, captureAt, csvFile, jsonlFile, dropsFile string
	cmd := &cobra.Command{
		Use:   "run FILE|NAME",
		Short: "Carry out an experiment",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts, err := scenarioOptions(args[0], set)
			if err != nil {
				return err
			}
			s, err := scenario.Load(opts)
			if err != nil {
				return failed(err)
			}
			var run scenario.RunOptions
			if cmd.Flags().Changed("seed") {
				run.Seed = &seed
			}
			out := cmd.OutOrStdout()
			if captureAt != "" && captureFile == "" {
				return misused("--pcap-at says where, but --pcap does not say into which file")
			}
			var capture *os.File
			if captureFile != "" {
				if capture, err = os.Create(captureFile); err != nil {
					return failed(err)
				}
				run.Capture, run.Where = capture, captureAt
			}
			began := time.Now()
			e, err := s.Run(run)
			took := time.Since(began)
			if capture != nil {
				if e := capture.Close(); err == nil {
					err = e
				}
			}
			if err != nil {
				return failed(err)
			}
			for _, f := range []struct {
				path  string
				write func(io.Writer) error
			}{
				{plotFile, func(w io.Writer) error { return plot.SVG(w, e.Net, plotTitle(e)) }},
				{csvFile, e.Net.WriteSeries},
				{jsonlFile, e.Net.WriteSeriesJSON},
				{dropsFile, e.Net.WriteDrops},
			} {
				if f.path == "" {
					continue
				}
				if err := writeReport(f.path, out, f.write); err != nil {
					return failed(err)
				}
			}
			if asJSON {
				enc := json.NewEncoder(out)
				enc.SetIndent("", "  ")
				return enc.Encode(e.Report)
			}
			printExperiment(out, e)
			fmt.Fprintf(out, "\n%s in %.2f s (%s/s)\n", quantity(float64(e.Report.Packets), " packets"), took.Seconds(),
				quantity(float64(e.Report.Packets)/max(took.Seconds(), 1e-6), " packets"))
			return nil
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&set, "set", nil, "set one key of the scenario, as in `KEY=VALUE`: links.bottleneck.rate=5Mbit")
	f.Uint64Var(&seed, "seed", 1, "seed of everything random, instead of the scenario's")
	f.BoolVar(&asJSON, "json", false, "print the results as JSON")
	f.StringVar(&plotFile, "plot", "", "draw cwnd, RTT, queue and goodput into this `file` (SVG)")
	f.StringVar(&captureFile, "pcap", "", "write packets into this `file` (pcapng)")
	f.StringVar(&captureAt, "pcap-at", "", "where they are captured: `LINK[:NODE]`, several separated by commas (default: at the sender of the first flow)")
	f.StringVar(&csvFile, "csv", "", "write the time series into this `file` (CSV)")
	f.StringVar(&jsonlFile, "jsonl", "", "write the time series into this `file` (a JSON object a line)")
	f.StringVar(&dropsFile, "drops", "", "write every packet that was lost, and why, into this `file` (CSV)")
	return cmd
}

func plotTitle(e *scenario.Experiment) string {
	t := e.Scenario.Title
	if t == "" {
		t = e.Scenario.Name()
	}
	return fmt.Sprintf("%s (seed %d)", t, e.Report.Seed)
}

// printExperiment prints the results as tables.
func printExperiment(out io.Writer, e *scenario.Experiment) {
	r := e.Report
	fmt.Fprintf(out, "%s: %s\nseed %d, %v of virtual time\n\n", r.Scenario, r.Title, r.Seed, e.Scenario.Duration)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "FLOW\tKIND\tCC\tGOODPUT\tBYTES\tRESENT\tTIMEOUTS\tRTT MIN/MEAN\tMEAN CWND\t")
	for i := range r.Flows {
		f := &r.Flows[i]
		rtt, cwnd := "-", "-"
		if f.MinRTT > 0 {
			rtt = fmt.Sprintf("%s/%s ms", trim(f.MinRTT*1e3), trim(f.MeanRTT*1e3))
		}
		if f.MeanCwnd > 0 {
			cwnd = quantity(f.MeanCwnd, "B")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%.3g %%\t%d\t%s\t%s\t\n", f.Name, f.Kind, dash(f.Congestion), quantity(f.Goodput, "bit/s"),
			quantity(float64(f.Bytes), "B"), f.LossRatio*100, f.Timeouts, rtt, cwnd)
	}
	w.Flush()
	for i := range r.Flows {
		f := &r.Flows[i]
		if f.Count > 0 {
			l := &f.LatencyP
			fmt.Fprintf(out, "%s: %d exchanges, mean %s ms, median %s, 95 %% %s, 99 %% %s, longest %s\n", f.Name, f.Count,
				trim(l.Mean*1e3), trim(l.P50*1e3), trim(l.P95*1e3), trim(l.P99*1e3), trim(l.Max*1e3))
		}
		if f.Failed > 0 {
			fmt.Fprintf(out, "%s: %d failed: %s\n", f.Name, f.Failed, f.Error)
		}
		if f.Unstarted > 0 {
			fmt.Fprintf(out, "%s: %d connections did not begin: too many were open\n", f.Name, f.Unstarted)
		}
	}
	if r.Jain > 0 {
		fmt.Fprintf(out, "Jain index of the bulk flows: %.4f\n", r.Jain)
	}
	fmt.Fprintln(out)
	fmt.Fprintln(w, "LINK\tFROM\tTO\tRATE\tUSED\tPACKETS\tLOST\tMARKED\tQUEUE MEAN/MAX\tDELAY MEAN/MAX\t")
	for i := range r.Links {
		l := &r.Links[i]
		rate, used := "-", "-"
		if l.Rate > 0 {
			rate, used = quantity(float64(l.Rate), "bit/s"), fmt.Sprintf("%.1f %%", l.Utilization*100)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%d\t%s/%s\t%s/%s ms\t\n", l.Name, l.From, l.To, rate, used, l.Offered,
			lost(l.Dropped), l.Marked, quantity(l.MeanQueue, "B"), quantity(float64(l.MaxQueue), "B"), trim(l.MeanWaiting*1e3), trim(l.MaxWaiting*1e3))
	}
	w.Flush()
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// lost prints counts by reason.
func lost(m map[string]uint64) string {
	if len(m) == 0 {
		return "0"
	}
	var s []string
	for k, n := range m {
		s = append(s, fmt.Sprintf("%d %s", n, k))
	}
	slices.Sort(s)
	return strings.Join(s, ", ")
}

func trim(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }

// quantity prints a number with three digits and a prefix.
func quantity(v float64, unit string) string {
	for _, p := range []struct {
		least  float64
		prefix string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if v >= p.least {
			return strconv.FormatFloat(v/p.least, 'g', 4, 64) + " " + p.prefix + strings.TrimSpace(unit)
		}
	}
	return strconv.FormatFloat(v, 'f', 0, 64) + " " + strings.TrimSpace(unit)
}

func simMatrixCommand() *cobra.Command {
	var set, vary []string
	var seeds, csvFile string
	var jobs int
	cmd := &cobra.Command{
		Use:   "matrix FILE|NAME --vary KEY=VALUE,VALUE...",
		Short: "Carry out an experiment for every combination of parameters and seeds",
		Example: "  sluice sim matrix one-flow --vary hosts.sender.congestion=reno,cubic \\\n" +
			"      --vary links.bottleneck.queue=5ms,10ms,20ms,40ms --seeds 1-5 --csv queues.csv",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts, err := scenarioOptions(args[0], set)
			if err != nil {
				return err
			}
			m := scenario.MatrixOptions{Jobs: jobs}
			for _, s := range vary {
				v, err := scenario.ParseVary(s)
				if err != nil {
					return misused("--vary: %v", err)
				}
				m.Vary = append(m.Vary, v)
			}
			if m.Seeds, err = parseSeeds(seeds); err != nil {
				return misused("--seeds: %v", err)
			}
			bar := newProgressBar(cmd.ErrOrStderr())
			m.Progress = bar.show
			cells, err := scenario.Matrix(cmd.Context(), opts, m)
			bar.done()
			if err != nil {
				return failed(err)
			}
			out := cmd.OutOrStdout()
			name := strings.TrimSuffix(args[0], ".yaml")
			if csvFile != "" {
				if err := writeReport(csvFile, out, func(w io.Writer) error { return scenario.WriteCSV(w, name, m.Vary, cells) }); err != nil {
					return failed(err)
				}
			}
			if csvFile != "-" {
				printMatrix(out, m.Vary, cells)
			}
			for i := range cells {
				if cells[i].Err != nil {
					return failed(cells[i].Err)
				}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&set, "set", nil, "set one key of the scenario, as in `KEY=VALUE`")
	f.StringArrayVar(&vary, "vary", nil, "a key and its values, as in `KEY=VALUE,VALUE`; with semicolons between values that have commas")
	f.StringVar(&seeds, "seeds", "1", "seeds, as in `1-10` or 1,7,9")
	f.StringVar(&csvFile, "csv", "", "write one row for each flow of each experiment into this `file` (- for standard output)")
	f.IntVar(&jobs, "jobs", 0, "experiments at a time (default: one for each CPU)")
	return cmd
}

// parseSeeds parses "1-10,20".
func parseSeeds(s string) (seeds []uint64, err error) {
	for _, part := range strings.Split(s, ",") {
		from, to, isRange := strings.Cut(strings.TrimSpace(part), "-")
		a, err := strconv.ParseUint(from, 10, 64)
		b := a
		if err == nil && isRange {
			b, err = strconv.ParseUint(to, 10, 64)
		}
		if err != nil || b < a || b-a >= 1_000_000 {
			return nil, fmt.Errorf("%q is not a seed, or a range such as 1-10", part)
		}
		for ; ; a++ {
			seeds = append(seeds, a)
			if a == b {
				break
			}
		}
	}
	return seeds, nil
}

// printMatrix prints the mean over the seeds of each flow's goodput and RTT.
func printMatrix(out io.Writer, vary []scenario.Vary, cells []scenario.Cell) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	defer w.Flush()
	for _, v := range vary {
		fmt.Fprintf(w, "%s\t", v.Key)
	}
	fmt.Fprintln(w, "FLOW\tSEEDS\tGOODPUT\tMIN\tMAX\tRESENT\tMEAN RTT\t")
	for i := 0; i < len(cells); {
		j := i
		for j < len(cells) && slices.Equal(cells[j].Values, cells[i].Values) {
			j++
		}
		printCombination(w, cells[i:j])
		i = j
	}
}

func printCombination(w io.Writer, cells []scenario.Cell) {
	var reports []*sim.Report
	for i := range cells {
		if cells[i].Report != nil {
			reports = append(reports, cells[i].Report)
		}
	}
	if len(reports) == 0 {
		return
	}
	for f := range reports[0].Flows {
		var sum, resent, rtt float64
		low, high := reports[0].Flows[f].Goodput, 0.0
		for _, r := range reports {
			x := &r.Flows[f]
			sum, resent, rtt = sum+x.Goodput, resent+x.LossRatio, rtt+x.MeanRTT
			low, high = min(low, x.Goodput), max(high, x.Goodput)
		}
		n := float64(len(reports))
		for _, v := range cells[0].Values {
			fmt.Fprintf(w, "%s\t", v)
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%.3g %%\t%s ms\t\n", reports[0].Flows[f].Name, len(reports),
			quantity(sum/n, "bit/s"), quantity(low, "bit/s"), quantity(high, "bit/s"), resent/n*100, trim(rtt/n*1e3))
	}
}

// A progressBar shows how far a matrix has come, if someone is looking.
type progressBar struct {
	w     io.Writer
	began time.Time
	shown time.Time
}

func newProgressBar(w io.Writer) *progressBar {
	b := &progressBar{began: time.Now()}
	if f, ok := w.(*os.File); ok {
		if st, err := f.Stat(); err == nil && st.Mode()&os.ModeCharDevice != 0 {
			b.w = w
		}
	}
	return b
}

func (b *progressBar) show(done, all int) {
	if b.w == nil || done < all && time.Since(b.shown) < 100*time.Millisecond {
		return
	}
	b.shown = time.Now()
	const cells = 40
	full := cells * done / all
	left := time.Duration(float64(time.Since(b.began)) / float64(done) * float64(all-done)).Round(time.Second)
	out := bufio.NewWriter(b.w)
	fmt.Fprintf(out, "\r[%s%s] %d of %d, %v left \x1b[K", strings.Repeat("#", full), strings.Repeat(".", cells-full), done, all, left)
	out.Flush()
}

func (b *progressBar) done() {
	if b.w != nil && !b.shown.IsZero() {
		fmt.Fprint(b.w, "\r\x1b[K")
	}
}

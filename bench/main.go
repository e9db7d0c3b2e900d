// Command bench puts TCP stacks side by side: ours, gVisor's netstack, and the
// kernel.
//
//	cd bench && go run . [-rounds 5] [-cells 'bulk/mem/*'] [-stacks 'sluice*'] [-json FILE]
//
// It needs root (or CAP_NET_ADMIN) and /dev/net/tun. Every run is a process of
// its own in a network namespace of its own, and the stacks take turns, so that
// what else the machine does hits all of them. Compare ratios, not figures.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path"
	"runtime"
	"time"
)

// options are the flags.
type options struct {
	rounds     int
	cells      string
	stacks     string
	seconds    float64
	jsonFile   string
	profileDir string
	allocsDir  string
	list       bool
	n          int
	child      bool
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "how often each stack has its turn in each cell")
	flag.StringVar(&o.cells, "cells", "default", "cells to run, separated by commas: names, or patterns as of path.Match; \"default\" leaves out the slow ones")
	flag.StringVar(&o.stacks, "stacks", "*", "stacks to run, as a pattern")
	flag.Float64Var(&o.seconds, "seconds", 1, "how long to measure in each run, in seconds, after a third of that to warm up")
	flag.StringVar(&o.jsonFile, "json", "", "write the results to this file as well")
	flag.StringVar(&o.profileDir, "profile", "", "write a CPU profile of every run to this directory")
	flag.StringVar(&o.allocsDir, "allocs", "", "write a profile of every run's allocations to this directory; it slows the run down")
	flag.BoolVar(&o.list, "list", false, "list the cells and their stacks")
	flag.IntVar(&o.n, "n", 0, "size of a cell that counts connections; 0 means its default")
	flag.BoolVar(&o.child, "child", false, "run one cell of one stack in this process, without a namespace, and print its result")
	flag.Parse()
	if err := run(&o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(o *options) error {
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	if o.rounds < 1 || o.seconds <= 0 {
		return fmt.Errorf("-rounds and -seconds have to be positive")
	}
	if _, err := path.Match(o.stacks, ""); err != nil {
		return fmt.Errorf("-stacks %q: %v", o.stacks, err)
	}
	cells, err := selectCells(o.cells)
	if err != nil {
		return err
	}
	switch {
	case o.list:
		for _, c := range allCells() {
			note := ""
			if c.slow {
				note = " (not by default)"
			}
			fmt.Printf("%-28s %s%s\n", c.name, c.about, note)
			for _, s := range c.stacks {
				fmt.Printf("%-28s   %s\n", "", s.name)
			}
		}
		return nil
	case o.child:
		return runChild(o, cells)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt)
	results := newResults(o)
	fmt.Printf("# %d CPUs, %s, %d rounds of %gs\n# %s\n", runtime.NumCPU(), runtime.Version(), o.rounds, o.seconds, gvisorOptions)
	for _, c := range cells {
		if err := results.runCell(o, c, stop); err != nil {
			return err
		}
	}
	if o.jsonFile != "" {
		b, err := json.MarshalIndent(results, "", "  ")
		if err != nil {
			return err
		}
		return os.WriteFile(o.jsonFile, append(b, '\n'), 0o666)
	}
	return nil
}

// A result is what one run has measured. Units are in the names.
type result struct {
	Cell    string             `json:"cell"`
	Stack   string             `json:"stack"`
	Round   int                `json:"round"`
	Metrics map[string]float64 `json:"metrics,omitempty"`
	Error   string             `json:"error,omitempty"`
}

// results are what a whole command has measured.
type results struct {
	Time    time.Time     `json:"time"`
	CPUs    int           `json:"cpus"`
	Go      string        `json:"go"`
	Rounds  int           `json:"rounds"`
	Seconds float64       `json:"seconds"`
	GVisor  string        `json:"gvisor"`
	Cells   []cellSummary `json:"cells"`
	Runs    []result      `json:"runs"`
}

func newResults(o *options) *results {
	return &results{Time: time.Now(), CPUs: runtime.NumCPU(), Go: runtime.Version(), Rounds: o.rounds, Seconds: o.seconds, GVisor: gvisorOptions}
}

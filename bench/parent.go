package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// cellSummary is what the rounds of one cell come to.
type cellSummary struct {
	Cell   string         `json:"cell"`
	Metric string         `json:"metric"` // that Summaries and ratios are about
	Better string         `json:"better"` // "higher" or "lower"
	Stacks []stackSummary `json:"stacks"`

	// BestGVisor is the name of gVisor's best variant in this run.
	BestGVisor string `json:"best_gvisor,omitempty"`
	// GVisorBesideReference compares gVisor's standing relative to the kernel with
	// the one that was once measured with care; below 0.8 the cell is void.
	GVisorBesideReference float64 `json:"gvisor_beside_reference,omitempty"`
	Void                  bool    `json:"void,omitempty"`
}

// stackSummary is what the rounds of one stack in one cell come to.
type stackSummary struct {
	Stack            string             `json:"stack"`
	Min, Median, Max float64            // of the metric
	Medians          map[string]float64 `json:"medians"`          // of every metric
	OverGVisor       float64            `json:"over_gvisor"`      // median over that of gVisor's best; 0 if unknown
	OverKernel       float64            `json:"over_kernel"`      //
	CPUOverGVisor    float64            `json:"cpu_over_gvisor"`  // work per CPU-second over gVisor's best
	Failed           int                `json:"failed,omitempty"` // runs
	Errors           []string           `json:"errors,omitempty"` //
}

// runCell runs every stack of a cell, in turns, and prints what came of it.
func (rs *results) runCell(o *options, c *cell, stop <-chan os.Signal) error {
	var stacks []string
	for _, s := range c.stacks {
		if ok, _ := path.Match(o.stacks, s.name); ok {
			stacks = append(stacks, s.name)
		}
	}
	if len(stacks) == 0 {
		return nil
	}
	rounds := o.rounds
	if c.rounds > 0 {
		rounds = min(rounds, c.rounds)
	}
	runs := make(map[string][]result)
	for round := range rounds {
		for i := range stacks {
			s := stacks[(i+round)%len(stacks)] // nobody is always first
			r := runOne(o, c, s, round, stop)
			if r.Error == errStopped.Error() {
				return errStopped
			}
			runs[s] = append(runs[s], r)
			rs.Runs = append(rs.Runs, r)
		}
	}
	sum := summarise(c, stacks, runs)
	rs.Cells = append(rs.Cells, sum)
	sum.print(c)
	return nil
}

var errStopped = errors.New("stopped")

// runOne runs one stack in one cell, in a process and a namespace of its own.
func runOne(o *options, c *cell, stack string, round int, stop <-chan os.Signal) result {
	r := result{Cell: c.name, Stack: stack, Round: round}
	limit := time.Duration(o.seconds*2*float64(time.Second)) + c.timeout + 30*time.Second
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	args := []string{"-child", "-cells", c.name, "-stacks", stack, "-seconds", fmt.Sprint(o.seconds), "-n", fmt.Sprint(o.n)}
	name := strings.ReplaceAll(fmt.Sprintf("%s.%s.%d", c.name, stack, round), "/", "_")
	if o.profileDir != "" {
		args = append(args, "-profile", filepath.Join(o.profileDir, name+".cpu.pprof"))
	}
	if o.allocsDir != "" {
		args = append(args, "-allocs", filepath.Join(o.allocsDir, name+".allocs.pprof"))
	}
	self, err := os.Executable()
	if err != nil {
		r.Error = err.Error()
		return r
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	cmd.Env = append(os.Environ(), c.env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	done := make(chan error, 1)
	go func() { done <- cmd.Run() }()
	select {
	case err = <-done:
	case <-stop:
		cancel()
		<-done
		r.Error = errStopped.Error()
		return r
	}
	if err != nil {
		text := strings.TrimSpace(errs.String())
		if len(text) > 2000 {
			text = text[:2000]
		}
		if ctx.Err() != nil {
			text = "took too long; " + text
		}
		r.Error = fmt.Sprintf("%v: %s", err, text)
		return r
	}
	if err := json.Unmarshal(out.Bytes(), &r.Metrics); err != nil {
		r.Error = fmt.Sprintf("result %q: %v", out.String(), err)
	}
	return r
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

func isGVisor(stack string) bool { return strings.HasPrefix(stack, "gvisor") }
func isKernel(stack string) bool { return strings.HasPrefix(stack, "kernel") }

// summarise makes medians and ratios. A ratio says how much better a stack is:
// where lower is better it is turned round.
func summarise(c *cell, stacks []string, runs map[string][]result) cellSummary {
	sum := cellSummary{Cell: c.name, Metric: c.metric, Better: "higher"}
	if c.lower {
		sum.Better = "lower"
	}
	better := func(a, b float64) float64 {
		switch {
		case a == 0 || b == 0:
			return 0
		case c.lower:
			return b / a
		}
		return a / b
	}
	// What was measured for reference was the kernel as the machine has it, the first;
	// the stacks are held against the best.
	var gvisor, kernel, bestKernel *stackSummary
	bestCPU := 0.0 // gVisor's best, which may be another variant
	for _, s := range stacks {
		ss := stackSummary{Stack: s, Medians: make(map[string]float64)}
		all := make(map[string][]float64)
		for _, r := range runs[s] {
			if r.Error != "" {
				ss.Failed++
				if !slices.Contains(ss.Errors, r.Error) {
					ss.Errors = append(ss.Errors, r.Error)
				}
				continue
			}
			for k, v := range r.Metrics {
				all[k] = append(all[k], v)
			}
		}
		for k, v := range all {
			ss.Medians[k] = median(v)
		}
		if v := all[c.metric]; len(v) > 0 {
			ss.Min, ss.Median, ss.Max = slices.Min(v), median(v), slices.Max(v)
		}
		sum.Stacks = append(sum.Stacks, ss)
	}
	for i := range sum.Stacks {
		ss := &sum.Stacks[i]
		switch {
		case ss.Median == 0:
			continue
		case isGVisor(ss.Stack) && (gvisor == nil || better(ss.Median, gvisor.Median) > 1):
			gvisor = ss
		case isKernel(ss.Stack):
			if kernel == nil {
				kernel = ss
			}
			if bestKernel == nil || better(ss.Median, bestKernel.Median) > 1 {
				bestKernel = ss
			}
		}
		if isGVisor(ss.Stack) {
			bestCPU = max(bestCPU, ss.Medians[c.cpuMetric])
		}
	}
	for i := range sum.Stacks {
		ss := &sum.Stacks[i]
		if gvisor != nil {
			ss.OverGVisor = better(ss.Median, gvisor.Median)
			if bestCPU > 0 {
				ss.CPUOverGVisor = ss.Medians[c.cpuMetric] / bestCPU
			}
		}
		if bestKernel != nil {
			ss.OverKernel = better(ss.Median, bestKernel.Median)
		}
	}
	if gvisor != nil {
		sum.BestGVisor = gvisor.Stack
		if kernel != nil && c.reference.gvisor > 0 {
			sum.GVisorBesideReference = better(gvisor.Median, kernel.Median) / better(c.reference.gvisor, c.reference.kernel)
			sum.Void = sum.GVisorBesideReference < 0.8
		}
	}
	return sum
}

func (sum *cellSummary) print(c *cell) {
	fmt.Printf("\n%s: %s\n", c.name, c.about)
	fmt.Printf("  %-16s %12s %12s %12s %9s %9s %11s %9s\n", c.metric, "median", "min", "max", "/ gVisor", "/ kernel", "per CPU-s", "/ gVisor")
	for _, s := range sum.Stacks {
		perCPU := "-"
		if v := s.Medians[c.cpuMetric]; v > 0 {
			perCPU = number(v)
		}
		fmt.Printf("  %-16s %12s %12s %12s %9s %9s %11s %9s", s.Stack, number(s.Median), number(s.Min), number(s.Max), ratio(s.OverGVisor), ratio(s.OverKernel), perCPU, ratio(s.CPUOverGVisor))
		for _, m := range c.also {
			fmt.Printf("  %s %s", m, number(s.Medians[m]))
		}
		fmt.Println()
		for _, e := range s.Errors {
			fmt.Printf("    failed (%d): %s\n", s.Failed, e)
		}
	}
	if r := c.reference; r.gvisor > 0 {
		fmt.Printf("  reference: kernel %s, gVisor %s", number(r.kernel), number(r.gvisor))
		if sum.GVisorBesideReference > 0 {
			fmt.Printf("; gVisor beside it, relative to the kernel: %.2f", sum.GVisorBesideReference)
			if sum.Void {
				fmt.Print(": VOID, gVisor does worse here than it can")
			}
		}
		fmt.Println()
	}
}

func ratio(r float64) string {
	if r == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", r)
}

func number(v float64) string {
	switch {
	case v >= 10000:
		return fmt.Sprintf("%.0f", v)
	case v >= 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

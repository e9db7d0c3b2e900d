package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"syscall"
	"time"
)

// params are what a run is told.
type params struct {
	warm, measure time.Duration
	n             int // connections; 0 means the cell's default
	profile       string
}

// runChild runs the one cell and stack that the flags name, in this process, and
// prints what it measured.
func runChild(o *options, cells []*cell) error {
	if len(cells) != 1 {
		return fmt.Errorf("-child runs one cell, not %d", len(cells))
	}
	var v *variant
	for i := range cells[0].stacks {
		if cells[0].stacks[i].name == o.stacks {
			v = &cells[0].stacks[i]
		}
	}
	if v == nil {
		return fmt.Errorf("cell %s has no stack %q", cells[0].name, o.stacks)
	}
	if o.allocsDir != "" {
		runtime.MemProfileRate = 4 << 10
	}
	measure := time.Duration(o.seconds * float64(time.Second))
	m, err := v.run(&params{warm: measure / 3, measure: measure, n: o.n, profile: o.profileDir})
	if err != nil {
		return err
	}
	if o.allocsDir != "" {
		if err := writeAllocs(o.allocsDir); err != nil {
			return err
		}
	}
	return json.NewEncoder(os.Stdout).Encode(m)
}

func writeAllocs(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return pprof.Lookup("allocs").WriteTo(f, 0)
}

// A span measures CPU time and allocations between begin and end.
type span struct {
	start   time.Time
	cpu     time.Duration
	mallocs uint64
	file    *os.File
}

func (p *params) begin() *span {
	s := &span{}
	if p.profile != "" {
		f, err := os.Create(p.profile)
		if err == nil {
			err = pprof.StartCPUProfile(f)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "no profile:", err)
		} else {
			s.file = f
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s.mallocs, s.cpu, s.start = m.Mallocs, cpuTime(), time.Now()
	return s
}

// end returns the seconds, the seconds of CPU time and the allocations since begin.
func (s *span) end() (seconds, cpu, mallocs float64) {
	seconds, cpu = time.Since(s.start).Seconds(), (cpuTime() - s.cpu).Seconds()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if s.file != nil {
		pprof.StopCPUProfile()
		s.file.Close()
	}
	return seconds, max(cpu, 1e-6), float64(m.Mallocs - s.mallocs)
}

// cpuTime is what this process has used, in user mode and in the kernel.
func cpuTime() time.Duration {
	var ru syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &ru)
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

package conformance

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options say what to run and how.
type Options struct {
	Cases    []Case        // nil: all
	Family   Family        // only this one; Both does not restrict
	Seed     uint64        // of everything random; 0 means 1
	Packets  bool          // keep the packets of cases that pass, too
	Progress func(Record)  // called after each case, by one goroutine at a time, or nil
	Patience time.Duration // of the machine, for one case; 0 means a minute, in real time 20 s or the case's own bound

	// Context, if not nil, ends the run early: cases that have not begun when it ends
	// have no record.
	Context context.Context

	// Repeat returns the command that runs the case of a record again, as the
	// record will tell. It is called before the case has run. It may be nil.
	Repeat func(*Record) string
}

// runs returns how many records a run will have for each target.
func (o *Options) runs() (n int) {
	for i := range o.Cases {
		n += len(o.families(&o.Cases[i]))
	}
	return n
}

// families returns the families that c is to run in.
func (o *Options) families(c *Case) []Family {
	switch {
	case o.Family == Both:
		return c.families()
	case c.Family == Both || c.Family == o.Family:
		return []Family{o.Family}
	}
	return nil
}

// Planned returns how many records a run with o will have for each target.
func Planned(o Options) int {
	if o.Cases == nil {
		o.Cases = Cases()
	}
	return o.runs()
}

// RunTarget is RunTargets for one.
func RunTarget(target Target, o Options) *Report { return RunTargets([]Target{target}, o) }

// RunTargets runs cases against each of targets. Targets in virtual time run at
// the same time; then those in real time follow one by one, so that a busy
// machine does not upset them.
func RunTargets(targets []Target, o Options) *Report {
	if o.Cases == nil {
		o.Cases = Cases()
	}
	o.Seed = max(o.Seed, 1)
	if o.Context == nil {
		o.Context = context.Background()
	}
	if progress := o.Progress; progress != nil {
		var mu sync.Mutex
		o.Progress = func(r Record) {
			mu.Lock()
			defer mu.Unlock()
			progress(r)
		}
	}
	start := time.Now()
	reports := make([]*Report, len(targets))
	room := make(chan struct{}, max(runtime.GOMAXPROCS(0), 1))
	var wg sync.WaitGroup
	for i, t := range targets {
		if t.Capabilities()&VirtualTime == 0 {
			continue
		}
		wg.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			reports[i] = runTarget(t, o)
		})
	}
	wg.Wait()
	for i, t := range targets {
		if reports[i] == nil {
			reports[i] = runTarget(t, o)
		}
	}
	r := Merge(reports...)
	r.Started, r.Seconds = start.UTC(), time.Since(start).Seconds()
	return r
}

// runTarget runs cases against target: one after another in virtual time, and several
// at once in real time, where they mostly wait. The report has them in order.
func runTarget(target Target, o Options) *Report {
	start := time.Now()
	type run struct {
		c *Case
		f Family
	}
	var runs []run
	for i := range o.Cases {
		for _, f := range o.families(&o.Cases[i]) {
			runs = append(runs, run{&o.Cases[i], f})
		}
	}
	r := &Report{Records: make([]Record, len(runs))}
	var next atomic.Int64
	var workers sync.WaitGroup
	for range parallel(target) {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(runs)) && o.Context.Err() == nil; i = next.Add(1) - 1 {
				r.Records[i] = runCase(target, runs[i].c, runs[i].f, o)
				if o.Progress != nil {
					o.Progress(r.Records[i])
				}
			}
		})
	}
	workers.Wait()
	r.Records = slices.DeleteFunc(r.Records, func(rec Record) bool { return rec.ID == "" })
	t := TargetReport{
		Name: target.Name(), Seed: o.Seed, Started: start.UTC(), Seconds: time.Since(start).Seconds(),
		Capabilities: strings.Fields(target.Capabilities().String()),
	}
	if v, ok := target.(Versioned); ok {
		t.Version = v.Version()
	}
	r.Targets = []TargetReport{t}
	return r
}

// parallel returns how many cases run at once. A target that is the host's own stack
// has but one set of ports.
func parallel(target Target) int {
	if c := target.Capabilities(); c&VirtualTime != 0 || c&Wire == 0 {
		return 1
	}
	return 16
}

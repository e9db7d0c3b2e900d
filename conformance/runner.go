package conformance

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/sluicenet/sluice/api/clock"
)

// Verdict is what became of one case.
type Verdict string

// The verdicts.
const (
	Pass         Verdict = "pass"
	Fail         Verdict = "fail"
	Skip         Verdict = "skip"         // not applicable: the target cannot do what the case needs
	Deviates     Verdict = "deviation"    // fails, as declared with a reason
	Inconclusive Verdict = "inconclusive" // the situation did not come about
)

// Verdicts are all of them, as tables have them.
var Verdicts = []Verdict{Pass, Deviates, Fail, Inconclusive, Skip}

// Record is the result of one case in one address family.
type Record struct {
	ID       string  `json:"id"`
	Title    string  `json:"title"`
	Clause   string  `json:"clause"`
	Source   string  `json:"source"`
	URL      string  `json:"url,omitempty"` // of the RFC and section that the source names first
	Level    string  `json:"level"`
	Family   string  `json:"family"`
	Target   string  `json:"target"`
	Verdict  Verdict `json:"verdict"`
	Seed     uint64  `json:"seed"`
	Duration float64 `json:"seconds"`                   // of the machine
	Virtual  float64 `json:"virtual_seconds,omitempty"` // of the case, in virtual time
	Attempts int     `json:"attempts,omitempty"`        // if more than one, in real time
	Repeat   string  `json:"repeat,omitempty"`          // the command that runs just this again

	Requirements []string `json:"requirements,omitempty"` // IDs of those that the case proves

	Missing  string   `json:"missing,omitempty"`  // capabilities, of a skip
	Reason   string   `json:"reason,omitempty"`   // of a skip, a deviation or an inconclusive case
	Citation string   `json:"citation,omitempty"` // of a deviation
	Failures []string `json:"failures,omitempty"`
	Log      []string `json:"log,omitempty"`
	Packets  []string `json:"packets,omitempty"` // decoded; of a case that passed only if asked for
}

// Failed reports whether the record speaks against the target.
func (r *Record) Failed() bool { return r.Verdict == Fail || r.Verdict == Inconclusive }

// attempts is how often a case is tried in real time before it counts as failed: what
// a stack does wrong it does again, what a busy machine does it does not.
const attempts = 2

// How long a case may take, of the machine's time, before it counts as hung.
const (
	virtualBound = time.Minute      // in virtual time: far more than any needs
	realBound    = 20 * time.Second // in real time, unless the case has a bound of its own
)

// bound returns how long c may take.
func (c *Case) bound(virtual bool) time.Duration {
	if virtual {
		return virtualBound
	}
	return max(realBound, c.Real)
}

// RunCase runs one case in one family. In real time a case that fails, or whose
// situation does not come about, is tried once more.
func RunCase(target Target, c *Case, family Family, seed uint64, patience time.Duration) Record {
	return runCase(target, c, family, Options{Seed: seed, Patience: patience})
}

func runCase(target Target, c *Case, family Family, o Options) Record {
	rec := runOnce(target, c, family, o)
	for n := 2; n <= attempts && rec.Failed() && target.Capabilities()&VirtualTime == 0; n++ {
		rec = runOnce(target, c, family, o)
		rec.Attempts = n
	}
	return rec
}

func runOnce(target Target, c *Case, family Family, o Options) Record {
	patience := o.Patience
	if patience == 0 {
		patience = c.bound(target.Capabilities()&VirtualTime != 0)
	}
	seed := o.Seed
	rec := Record{
		ID: c.ID, Title: c.Title, Clause: c.Clause, Source: c.Source, URL: c.URL(), Level: c.Level.String(), Family: family.String(),
		Target: target.Name(), Seed: seed, Requirements: c.Requirements(),
	}
	if o.Repeat != nil {
		rec.Repeat = o.Repeat(&rec)
	}
	if missing := c.Capabilities() &^ target.Capabilities(); missing != 0 {
		rec.Verdict, rec.Missing = Skip, missing.String()
		rec.Reason = "not applicable: the target lacks " + rec.Missing
		if x, ok := target.(Explainer); ok && x.Lacks(missing) != "" {
			rec.Reason += ": " + x.Lacks(missing)
		}
		return rec
	}
	start := time.Now()
	t := newT(target, c, family, seed)
	done := make(chan struct{})
	go func() {
		defer close(done)
		t.run()
	}()
	hung := false
	select {
	case <-done:
	case <-time.After(patience):
		hung = true
		t.hung.Store(true)
	}
	rec.Duration = time.Since(start).Seconds()
	if t.virtual && !hung {
		rec.Virtual = time.Duration(t.clk.Now()).Seconds()
	}
	t.judge(&rec, hung, patience)
	if rec.Verdict != Skip && (rec.Verdict != Pass || o.Packets) {
		rec.Packets = t.trace.decoded()
	}
	return rec
}

func newT(target Target, c *Case, family Family, seed uint64) *T {
	t := &T{
		c: c, target: target, family: family, seed: seed, trace: &trace{},
		rand: rand.New(rand.NewPCG(seed, hash(c.ID))),
	}
	t.oracle = newOracle(linkMTU, t.Errorf)
	if t.Has(VirtualTime) {
		t.clk, t.virtual = clock.NewVirtual(), true
	} else {
		t.clk = clock.NewReal()
	}
	t.idle = t.clk.NewWaiter()
	return t
}

// hash spreads seeds over cases (FNV-1a).
func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for _, b := range []byte(s) {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return h
}

// run runs the case in the calling goroutine.
func (t *T) run() {
	body := func() {
		ctx, cancel := t.clk.WithCancel(context.Background())
		t.ctx = ctx
		t.protect(func() { t.c.Run(t) })
		t.finish()
		cancel(nil)
	}
	if v, ok := t.clk.(*clock.Virtual); ok {
		v.Run(body)
	} else {
		body()
	}
}

// allContain reports whether each of lines has text in it.
func allContain(lines []string, text string) bool {
	for _, l := range lines {
		if !strings.Contains(l, text) {
			return false
		}
	}
	return true
}

// judge turns what happened into a verdict.
func (t *T) judge(rec *Record, hung bool, patience time.Duration) {
	var declared *Deviation
	for _, d := range t.target.Deviations() {
		if d.Case == t.c.ID && (d.Family == Both || d.Family == t.family) {
			declared = &d
			break
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if hung {
		t.failures = append(t.failures, fmt.Sprintf("the case hangs: no end after %v of the machine's time", patience))
	}
	switch {
	case len(t.failures) > 0 && declared != nil && allContain(t.failures, declared.Failure):
		rec.Verdict, rec.Reason, rec.Citation = Deviates, declared.Reason, declared.Source
	case len(t.failures) > 0:
		rec.Verdict = Fail
	case t.skipped != "":
		rec.Verdict, rec.Reason = Skip, "not applicable: "+t.skipped
	case t.unclear != "":
		rec.Verdict, rec.Reason = Inconclusive, t.unclear
	case declared != nil:
		rec.Verdict = Fail
		t.failures = append(t.failures, "deviation no longer occurs: "+declared.Reason)
	default:
		rec.Verdict = Pass
		return
	}
	rec.Failures = append(rec.Failures, t.failures...)
	rec.Log = append(rec.Log, t.logs...)
}

// Text prints what there is to know about a case that did not pass.
func (r *Record) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s (%s, %s, target %s, seed %d)\n  %s [%s]\n", r.Verdict, r.ID, r.Level, r.Family, r.Target, r.Seed, r.Title, r.Source)
	if r.Reason != "" {
		fmt.Fprintf(&b, "  %s\n", r.Reason)
	}
	if r.Citation != "" {
		fmt.Fprintf(&b, "  see: %s\n", r.Citation)
	}
	for _, f := range r.Failures {
		fmt.Fprintf(&b, "  - %s\n", strings.ReplaceAll(strings.TrimSpace(f), "\n", "\n    "))
	}
	for _, l := range r.Log {
		fmt.Fprintf(&b, "  . %s\n", l)
	}
	if r.Repeat != "" && r.Failed() {
		fmt.Fprintf(&b, "  again: %s\n", r.Repeat)
	}
	if len(r.Packets) > 0 && r.Failed() {
		fmt.Fprintf(&b, "  packets:\n")
		for _, p := range r.Packets {
			fmt.Fprintf(&b, "    %s\n", p)
		}
	}
	return b.String()
}

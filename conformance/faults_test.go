//go:build sluicefaults

package conformance

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"regexp"
	"runtime"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/impl/cubic"
	"github.com/sluicenet/sluice/impl/engine/fault"
)

// The suite under test: stacks that are wrong in one known way, and what the cases
// say about them. There are two kinds of fault: those of the table in package fault,
// inside the engine, and the mutants of this package around a sound one.
var (
	faultsFull     = flag.Bool("faults.full", false, "run every case under every fault, and not only those that have to fail")
	faultsOnly     = flag.String("faults.only", "", "run the faults whose names match one of these patterns, separated by commas")
	faultsJSON     = flag.String("faults.json", "", "write the matrix to this `file`")
	faultsBase     = flag.String("faults.base", "", "with -faults.only: take the other faults from the matrix in this `file`")
	faultsMarkdown = flag.String("faults.markdown", "", "write the summary to this `file`")
)

// aFault is one way for a stack to be wrong.
type aFault struct {
	Name     string   `json:"name"`
	Where    string   `json:"where"` // "engine", or "around" for what is done to the packets and calls of a sound one
	Requires []string `json:"requires"`
	Breaks   string   `json:"breaks"`
	Cases    []string `json:"cases"` // those that have to fail

	Failed []string `json:"failed"` // those that did
	Hung   []string `json:"hung,omitempty"`
}

func split(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ", ")
}

var identifier = regexp.MustCompile(`\b(?:MUST|SHLD|MAY|REC)-\d+\b`)

// cites returns the requirements that a case names: identifiers of RFC 9293, ids of
// the contract, and itself.
func cites(c *Case) []string {
	ids := identifier.FindAllString(c.Source+" "+path.Base(c.ID), -1)
	if c.Level == Contract || !strings.Contains(c.Source, "RFC") {
		ids = append(ids, regexp.MustCompile(`\b[A-Z]\d\b`).FindAllString(c.Source, -1)...)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// allFaults lists the faults of the engine and those around it. What the latter
// break is what the case is for that they were made for.
func allFaults() []*aFault {
	var all []*aFault
	for _, f := range fault.Table {
		all = append(all, &aFault{Name: f.Name, Where: "engine", Requires: split(f.Requires), Breaks: f.Breaks, Cases: split(f.Cases)})
	}
	for _, m := range mutants() {
		a := &aFault{Name: "around/" + m.name, Where: "around", Breaks: strings.ReplaceAll(m.name, "-", " ")}
		for id, name := range found {
			if name == m.name {
				a.Cases = append(a.Cases, id)
				if c, ok := Lookup(id); ok {
					a.Requires = append(a.Requires, cites(&c)...)
				}
			}
		}
		slices.Sort(a.Cases)
		slices.Sort(a.Requires)
		a.Requires = slices.Compact(a.Requires)
		all = append(all, a)
	}
	return all
}

// engineTarget is reno, with whatever fault has been chosen.
type engineTarget struct{}

func (engineTarget) Name() string             { return "faulty" }
func (engineTarget) Capabilities() Capability { return ^Capability(0) }
func (engineTarget) Deviations() []Deviation  { return nil }
func (engineTarget) New(e *Env) (api.Stack, error) {
	return mutantTarget{&mutant{}}.New(e)
}

// cubicTarget is cubic in its place, for the cases about that.
type cubicTarget struct{ engineTarget }

func (cubicTarget) New(e *Env) (api.Stack, error) {
	return mutantTarget{&mutant{cc: cubic.Factory}}.New(e)
}

// faultTarget returns the target that has the named fault, for a case.
func faultTarget(name string, c *Case) Target {
	if m, ok := strings.CutPrefix(name, "around/"); ok {
		for _, x := range mutants() {
			if x.name == m {
				if c.Needs&Cubic != 0 && x.cc == nil {
					x.cc = cubic.Factory
				}
				return mutantTarget{&x}
			}
		}
		return nil
	}
	fault.Set(name)
	if c.Needs&Cubic != 0 {
		return cubicTarget{}
	}
	return engineTarget{}
}

// A worker is this program again, told by its standard input what to run: the name
// of a fault and of a case, a line each. It answers with a line before and one after
// each, so that whoever started it knows where it ended. A hung case ends it, since
// that may still be running; and so does a panic, which some faults cause.
func TestFaultWorker(t *testing.T) {
	if os.Getenv("SLUICE_FAULT_WORKER") == "" {
		t.Skip("not a worker")
	}
	byID := map[string]*Case{}
	for i := range Cases() {
		byID[Cases()[i].ID] = &Cases()[i]
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		name, id, _ := strings.Cut(in.Text(), " ")
		fmt.Printf("@ run %s %s\n", name, id)
		c := byID[id]
		patience := 5 * time.Second
		if slow[id] {
			patience = time.Minute
		}
		r := RunCase(faultTarget(name, c), c, c.families()[0], 1, patience)
		hung := len(r.Failures) > 0 && strings.HasPrefix(r.Failures[len(r.Failures)-1], "the case hangs")
		why := ""
		if len(r.Failures) > 0 {
			why, _, _ = strings.Cut(r.Failures[0], "\n")
		}
		if hung {
			fmt.Printf("@ done hung %s %s %s\n", name, id, why)
			os.Exit(0)
		}
		fmt.Printf("@ done %s %s %s %s\n", r.Verdict, name, id, why)
	}
	os.Exit(0)
}

// task is a case to be run under a fault.
type task struct{ fault, id string }

// outcome is what came of it: a verdict, "hung" or "crash".
type outcome struct {
	task
	verdict, why string
}

// work runs tasks one after another in workers.
func work(t *testing.T, tasks []task, each func(outcome), skip func([]task) []task) {
	for len(tasks) > 0 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestFaultWorker$", "-test.timeout=0")
		cmd.Env = append(os.Environ(), "SLUICE_FAULT_WORKER=1", "GOMAXPROCS=1")
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Error(err)
			return
		}
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Error(err)
			return
		}
		var stderr tail
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Error(err)
			return
		}
		go func(tasks []task) {
			defer stdin.Close()
			w := bufio.NewWriter(stdin)
			for _, x := range tasks {
				fmt.Fprintln(w, x.fault, x.id)
			}
			w.Flush()
		}(tasks)
		n, running := 0, false
		for out := bufio.NewScanner(stdout); out.Scan(); {
			line, ok := strings.CutPrefix(out.Text(), "@ ")
			if !ok {
				continue
			}
			if strings.HasPrefix(line, "run ") {
				running = true
				continue
			}
			line = strings.TrimPrefix(line, "done ")
			f := strings.SplitN(line, " ", 4)
			each(outcome{tasks[n], f[0], f[3]})
			n, running = n+1, false
		}
		cmd.Wait()
		if running {
			each(outcome{tasks[n], "crash", stderr.String()})
			n++
		} else if n == 0 {
			t.Errorf("a worker does nothing: %s", stderr.String())
			return
		}
		tasks = tasks[n:]
		if tasks = skip(tasks); len(tasks) == 0 {
			return
		}
	}
}

// tail keeps the beginning of what is written to it.
type tail struct{ b []byte }

func (w *tail) Write(p []byte) (int, error) {
	w.b = append(w.b, p[:min(len(p), 300-min(300, len(w.b)))]...)
	return len(p), nil
}
func (w *tail) String() string { line, _, _ := strings.Cut(string(w.b), "\n"); return line }

// selected reports whether -faults.only asks for a fault.
func selected(f *aFault) bool {
	if *faultsOnly == "" {
		return true
	}
	return slices.ContainsFunc(strings.Split(*faultsOnly, ","), func(p string) bool { ok, _ := path.Match(p, f.Name); return ok })
}

// maxHung is how often a fault may hang or crash cases that are not named for it. Then
// the others are not run: each costs the whole patience.
const maxHung = 2

// slow are the cases that run only under faults that they have to find.
var slow = map[string]bool{"mirage/port-exhaustion": true, "mirage/syn-flood-bounded": true, "rfc9293/tiny-segments": true}

// TestFaults breaks the stack in every way that is listed, and sees that the cases
// named for it fail. With -faults.full it runs all cases under each fault.
func TestFaults(t *testing.T) {
	fault.Set("")
	faults := allFaults()
	byName := map[string]*aFault{}
	// A case that fails on the sound stack says nothing about a fault.
	sound := &aFault{Name: "none"}
	byName[sound.Name] = sound
	var tasks []task
	for _, c := range Cases() {
		if !slow[c.ID] {
			tasks = append(tasks, task{sound.Name, c.ID})
		}
	}
	for _, f := range faults {
		if byName[f.Name] != nil {
			t.Errorf("two faults %q", f.Name)
		}
		byName[f.Name] = f
		if !selected(f) {
			continue
		}
		for _, id := range f.Cases {
			if _, ok := Lookup(id); !ok {
				t.Errorf("%s: there is no case %q", f.Name, id)
				continue
			}
			tasks = append(tasks, task{f.Name, id})
		}
		if !*faultsFull {
			continue
		}
		for _, c := range Cases() {
			if !slices.Contains(f.Cases, c.ID) && !slow[c.ID] {
				tasks = append(tasks, task{f.Name, c.ID})
			}
		}
	}
	if t.Failed() {
		return
	}
	start := time.Now()
	var mu sync.Mutex
	why := map[task]string{}
	hung := map[string]int{}
	note := func(o outcome) {
		mu.Lock()
		defer mu.Unlock()
		f := byName[o.fault]
		why[o.task] = o.verdict + ": " + o.why
		switch o.verdict {
		case "hung", "crash":
			hung[o.fault]++
			f.Hung = append(f.Hung, o.id)
			fallthrough
		case string(Fail):
			f.Failed = append(f.Failed, o.id)
		}
	}
	var wg sync.WaitGroup
	n := runtime.NumCPU()
	for i := range n {
		// Whole faults to one worker: it then gets on with the next case sooner.
		var mine []task
		j, last := -1, ""
		for _, x := range tasks {
			if x.fault != last {
				j, last = j+1, x.fault
			}
			if j%n == i {
				mine = append(mine, x)
			}
		}
		wg.Go(func() {
			work(t, mine, note, func(left []task) []task {
				mu.Lock()
				defer mu.Unlock()
				return slices.DeleteFunc(left, func(x task) bool {
					return hung[x.fault] >= maxHung && !slices.Contains(byName[x.fault].Cases, x.id)
				})
			})
		})
	}
	wg.Wait()

	// Around a stack the machine's scheduler has a say in what a fault does. One that
	// none of its cases has found gets two more chances, alone.
	for range 2 {
		var again []task
		for _, f := range faults {
			found := slices.ContainsFunc(f.Cases, func(id string) bool { return slices.Contains(f.Failed, id) })
			if selected(f) && !found {
				for _, id := range f.Cases {
					again = append(again, task{f.Name, id})
				}
			}
		}
		work(t, again, note, func(left []task) []task { return left })
	}

	for _, id := range sound.Failed {
		t.Errorf("%s fails on the sound stack: %s", id, why[task{sound.Name, id}])
		for _, f := range faults {
			f.Failed = slices.DeleteFunc(f.Failed, func(x string) bool { return x == id })
		}
	}
	if !*faultsFull { // those that name no case have not been tried
		faults = slices.DeleteFunc(faults, func(f *aFault) bool { return len(f.Cases) == 0 })
	}
	if *faultsBase != "" {
		if err := takeFrom(*faultsBase, faults); err != nil {
			t.Fatal(err)
		}
	}
	report := summarise(faults)
	for _, id := range report.Uncovering {
		if *faultsOnly == "" && *faultsFull {
			t.Errorf("%s: no fault that it finds", id)
		}
	}
	for _, f := range faults {
		for _, id := range f.Cases {
			if w, ran := why[task{f.Name, id}]; ran && !slices.Contains(f.Failed, id) {
				t.Errorf("%s (%s) is not found by %s: %s", f.Name, f.Breaks, id, w)
			}
		}
	}
	if testing.Verbose() {
		for _, f := range faults {
			for _, id := range f.Cases {
				t.Logf("%s: %s: %s", f.Name, id, why[task{f.Name, id}])
			}
			if *faultsFull && selected(f) {
				t.Logf("%s: others: %d: %s", f.Name, len(f.others()), strings.Join(f.others(), " "))
			}
		}
	}
	t.Logf("%d runs in %v", len(why), time.Since(start).Round(time.Second))
	if *faultsOnly != "" && *faultsBase == "" {
		return
	}
	t.Log("\n" + report.text())
	if *faultsFull && report.Detected*100 < 95*len(faults) {
		t.Errorf("%d of %d faults are detected, less than 95 %%", report.Detected, len(faults))
	}
	write := func(file string, to func(io.Writer) error) {
		if file == "" {
			return
		}
		out, err := os.Create(file)
		if err == nil {
			err = to(out)
			out.Close()
		}
		if err != nil {
			t.Error(err)
		}
	}
	write(*faultsJSON, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "\t")
		return e.Encode(report)
	})
	write(*faultsMarkdown, report.markdown)
}

// takeFrom fills in what an earlier run, of all cases, has found about the faults that
// this one does not try.
func takeFrom(file string, faults []*aFault) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var earlier faultReport
	if err := json.Unmarshal(b, &earlier); err != nil {
		return err
	}
	byName := map[string]*aFault{}
	for _, f := range earlier.Faults {
		byName[f.Name] = f
	}
	for _, f := range faults {
		if selected(f) {
			continue
		}
		if e := byName[f.Name]; e == nil {
			return fmt.Errorf("%s does not have the fault %q", file, f.Name)
		} else {
			f.Failed, f.Hung = e.Failed, e.Hung
		}
	}
	return nil
}

// others are the cases that failed though they were not named.
func (f *aFault) others() []string {
	var out []string
	for _, id := range f.Failed {
		if !slices.Contains(f.Cases, id) {
			out = append(out, id)
		}
	}
	return out
}

// faultReport is the matrix.
type faultReport struct {
	Faults     []*aFault `json:"faults"`
	Detected   int       `json:"detected"`   // faults under which a named case fails, or any if none is named
	Undetected []string  `json:"undetected"` // the others
	// Requirement: whether a case that cites it fails under a fault that breaks it.
	Requirements map[string]bool `json:"requirements"`
	Covering     int             `json:"covering"` // cases that fail under a fault
	Uncovering   []string        `json:"uncovering"`
}

func summarise(faults []*aFault) *faultReport {
	r := &faultReport{Faults: faults, Requirements: map[string]bool{}, Undetected: []string{}, Uncovering: []string{}}
	covers := map[string]bool{}
	for i := range Cases() {
		for _, q := range cites(&Cases()[i]) {
			r.Requirements[q] = false
		}
	}
	for _, f := range faults {
		slices.Sort(f.Failed)
		hit := len(f.Cases) == 0 && len(f.Failed) > 0
		for _, id := range f.Failed {
			covers[id] = true
		}
		for _, id := range f.Cases {
			if !slices.Contains(f.Failed, id) {
				continue
			}
			hit = true
			c, _ := Lookup(id)
			for _, q := range cites(&c) {
				if slices.Contains(f.Requires, q) {
					r.Requirements[q] = true
				}
			}
		}
		if hit {
			r.Detected++
		} else {
			r.Undetected = append(r.Undetected, f.Name)
		}
	}
	for _, c := range Cases() {
		if covers[c.ID] {
			r.Covering++
		} else {
			r.Uncovering = append(r.Uncovering, c.ID)
		}
	}
	return r
}

// missing are the requirements of which no fault is found.
func (r *faultReport) missing() []string {
	var out []string
	for q, ok := range r.Requirements {
		if !ok {
			out = append(out, q)
		}
	}
	sort.Strings(out)
	return out
}

func (r *faultReport) text() string {
	missing := r.missing()
	return fmt.Sprintf("faults: %d, detected %d (%.1f %%)\nundetected: %s\nrequirements with a case: %d, covered %d\nnot covered: %s\ncases: %d, covering %d\nnot covering: %s\n",
		len(r.Faults), r.Detected, 100*float64(r.Detected)/float64(len(r.Faults)), strings.Join(r.Undetected, " "),
		len(r.Requirements), len(r.Requirements)-len(missing), strings.Join(missing, " "),
		len(Cases()), r.Covering, strings.Join(r.Uncovering, " "))
}

// undetectedBecause has the reasons for faults that no case finds.
var undetectedBecause = map[string]string{}

// markdown writes the summary that docs/conformance-faults.md publishes.
// TestFaultsPublished sees that it is not stale.
func (r *faultReport) markdown(w io.Writer) error {
	b := bufio.NewWriter(w)
	missing := r.missing()
	engine := 0
	lost := map[string]bool{}
	for _, name := range r.Undetected {
		lost[name] = true
	}
	rows := map[string][]*aFault{}
	for _, f := range r.Faults {
		if f.Where == "engine" {
			engine++
		}
		for _, q := range f.Requires {
			if f.Where == "engine" || r.Requirements[q] {
				rows[q] = append(rows[q], f)
			}
		}
	}
	fmt.Fprintf(b, "# Faults and the cases that find them\n\n")
	fmt.Fprintf(b, "Written by `go test -tags sluicefaults ./conformance -run 'TestFaults$' -args -faults.full -faults.markdown FILE`;\n")
	fmt.Fprintf(b, "[how it works](conformance.md#what-tells-that-the-suite-can-fail).\n\n")
	fmt.Fprintf(b, "| | |\n|---|---|\n| faults of the engine | %d |\n| faults around a sound stack | %d |\n| detected | %d of %d (%.1f %%) |\n| requirements that a case cites | %d |\n| of those covered | %d |\n| cases | %d |\n| that find a fault | %d |\n",
		engine, len(r.Faults)-engine, r.Detected, len(r.Faults), 100*float64(r.Detected)/float64(len(r.Faults)), len(r.Requirements), len(r.Requirements)-len(missing), len(Cases()), r.Covering)
	for _, name := range r.Undetected {
		fmt.Fprintf(b, "\nNot detected: `%s`. %s\n", name, undetectedBecause[name])
	}
	for _, q := range missing {
		fmt.Fprintf(b, "\nNot covered: %s.\n", q)
	}
	quoted := func(names []string) string {
		if len(names) == 0 {
			return ""
		}
		return "`" + strings.Join(names, "` `") + "`"
	}
	table := func(title string, is func(q string) bool) {
		fmt.Fprintf(b, "\n## %s\n\n| requirement | faults, in brackets around a sound stack | cases named for them |\n|---|---|---|\n", title)
		var ids []string
		for q := range rows {
			if is(q) {
				ids = append(ids, q)
			}
		}
		slices.SortFunc(ids, natural)
		for _, q := range ids {
			var names, around, cases []string
			for _, f := range rows[q] {
				cases = append(cases, f.Cases...)
				if name, ok := strings.CutPrefix(f.Name, "around/"); ok {
					around = append(around, name)
				} else {
					names = append(names, f.Name)
				}
			}
			if len(names) > 0 { // those around that break many requirements would fill the page
				around = nil
				cases = nil
				for _, f := range rows[q] {
					if f.Where == "engine" {
						cases = append(cases, f.Cases...)
					}
				}
			}
			if around != nil {
				cases = slices.DeleteFunc(cases, func(id string) bool {
					c, _ := Lookup(id)
					return !slices.Contains(cites(&c), q)
				})
			}
			slices.Sort(cases)
			what := quoted(names)
			if len(around) > 0 {
				what += "(" + quoted(around) + ")"
			}
			fmt.Fprintf(b, "| %s | %s | %s |\n", q, what, quoted(slices.Compact(cases)))
		}
	}
	contract := regexp.MustCompile(`^[A-Z]\d$`)
	table("RFC 9293", func(q string) bool { return identifier.MatchString(q) })
	table("Other sections and RFCs", func(q string) bool { return !identifier.MatchString(q) && !contract.MatchString(q) })
	table("The contract", contract.MatchString)
	return b.Flush()
}

// natural orders names with numbers in them.
func natural(a, b string) int {
	number := regexp.MustCompile(`\d+`)
	pad := func(s string) string {
		return number.ReplaceAllStringFunc(s, func(d string) string { return fmt.Sprintf("%06s", d) })
	}
	return strings.Compare(pad(a), pad(b))
}

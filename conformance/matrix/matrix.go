// Package matrix shows reports of the conformance suite as a matrix of
// requirements and implementations: a page of HTML that needs nothing but itself,
// or Markdown.
package matrix

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluicenet/sluice/conformance"
)

// A Matrix is what a report says, by requirement and target.
type Matrix struct {
	Started  time.Time
	Seed     uint64
	Targets  []*Target
	Groups   []*Group
	Coverage []Coverage

	cases []*Case
}

// A Target is a column.
type Target struct {
	Name   string
	Run    bool // the report has records of it
	Levels []Level

	conformance.TargetReport
}

// A Level is how a target fared on one level.
type Level struct {
	Name   string
	Total  int
	Counts map[conformance.Verdict]int
}

// A Group is the requirements of one document, and the cases about it that belong to
// none of them.
type Group struct {
	ID    string // "contract", "rfc9293"
	Title string
	URL   string // or ""
	Rows  []*Row
}

// A Row is a requirement, or a case that proves none in particular.
type Row struct {
	Name        string // "MUST-34"
	ID          string // "rfc9293/MUST-34"
	Level       string // "MUST", "SHOULD NOT", "promise"; "-" if there is no requirement
	Source, URL string
	Clause      string
	Unseen      string // why no case can show it
	Cases       []*Case
	Cells       []Cell // one for each target
}

// A Cell is how one target fared with one row.
type Cell struct{ V4, V6 Mark }

// A Mark is the worst verdict of a row's cases in one family.
type Mark struct {
	Verdict conformance.Verdict // "" if there is no record
	Counts  map[conformance.Verdict]int
}

// A Case is a case with its records.
type Case struct {
	ID, Title, Clause, Source, URL, Level string

	Home    *Row // where the page shows it
	Results []Result
}

// A Result is how one target fared with one case.
type Result struct {
	Target string
	V4, V6 *conformance.Record // nil if there is none
}

// Records returns the records that there are.
func (r *Result) Records() []*conformance.Record {
	var out []*conformance.Record
	for _, rec := range []*conformance.Record{r.V4, r.V6} {
		if rec != nil {
			out = append(out, rec)
		}
	}
	return out
}

// Coverage counts the requirements of one kind: all, those that can be observed, and
// those of them that a case proves.
type Coverage struct {
	Name string
	conformance.Coverage
}

// New arranges a report. columns are the names of the targets that come first, in
// this order; one that the report has no records of is shown as not run.
func New(r *conformance.Report, columns []string) *Matrix {
	r = conformance.Merge(r)
	m := &Matrix{Started: r.Started, Seed: r.Seed, Coverage: Covered()}
	for _, name := range columns {
		m.column(name)
	}
	for i := range r.Targets {
		t := m.column(r.Targets[i].Name)
		t.TargetReport, t.Run = r.Targets[i], true
	}
	cases := m.collect(r)
	rows := map[string]*Row{}
	for _, q := range conformance.Requirements() {
		row := &Row{ID: q.ID, Name: q.Name(), Level: q.Level, Source: q.Source(), URL: q.URL(), Clause: q.Clause, Unseen: q.Unseen}
		rows[q.ID] = row
		g := m.group(q.ID)
		g.Rows = append(g.Rows, row)
	}
	for _, c := range m.cases {
		proves := cases[c.ID]
		found := false
		for _, id := range proves {
			if row := rows[id]; row != nil {
				row.Cases = append(row.Cases, c)
				found = true
				if c.Home == nil || row.ID == c.ID {
					c.Home = row
				}
			}
		}
		if !found {
			_, name, _ := strings.Cut(c.ID, "/")
			row := &Row{ID: c.ID, Name: name, Level: "-", Source: c.Source, URL: c.URL, Clause: c.Title, Cases: []*Case{c}}
			c.Home = row
			g := m.group(c.ID)
			g.Rows = append(g.Rows, row)
		}
	}
	for _, g := range m.Groups {
		for _, row := range g.Rows {
			// The case of the requirement's own name comes first.
			slices.SortStableFunc(row.Cases, func(a, b *Case) int { return foreign(a, row) - foreign(b, row) })
			row.judge(len(m.Targets))
		}
	}
	return m
}

func foreign(c *Case, r *Row) int {
	if c.ID == r.ID {
		return 0
	}
	return 1
}

// column returns the target with a name, and adds it if it is new.
func (m *Matrix) column(name string) *Target {
	for _, t := range m.Targets {
		if t.Name == name {
			return t
		}
	}
	t := &Target{Name: name}
	m.Targets = append(m.Targets, t)
	return t
}

// collect makes cases of the records, and returns which requirements each proves.
func (m *Matrix) collect(r *conformance.Report) map[string][]string {
	proves := map[string][]string{}
	byID := map[string]*Case{}
	index := map[string]int{}
	for i, t := range m.Targets {
		index[t.Name] = i
	}
	for i := range r.Records {
		rec := &r.Records[i]
		c := byID[rec.ID]
		if c == nil {
			c = &Case{ID: rec.ID, Title: rec.Title, Clause: rec.Clause, Source: rec.Source, URL: rec.URL, Level: rec.Level}
			for _, t := range m.Targets {
				c.Results = append(c.Results, Result{Target: t.Name})
			}
			byID[rec.ID] = c
			proves[rec.ID] = rec.Requirements
			m.cases = append(m.cases, c)
		}
		t := m.Targets[index[rec.Target]]
		t.count(rec)
		res := &c.Results[index[rec.Target]]
		if rec.Family == conformance.IPv6.String() {
			res.V6 = rec
		} else {
			res.V4 = rec
		}
	}
	return proves
}

func (t *Target) count(rec *conformance.Record) {
	i := slices.IndexFunc(t.Levels, func(l Level) bool { return l.Name == rec.Level })
	if i < 0 {
		i = len(t.Levels)
		t.Levels = append(t.Levels, Level{Name: rec.Level, Counts: map[conformance.Verdict]int{}})
	}
	t.Levels[i].Total++
	t.Levels[i].Counts[rec.Verdict]++
}

// severity orders verdicts: of the cases of a row the one that says most counts.
var severity = []conformance.Verdict{"", conformance.Skip, conformance.Pass, conformance.Deviates, conformance.Inconclusive, conformance.Fail}

func (k *Mark) add(rec *conformance.Record) {
	if rec == nil {
		return
	}
	if k.Counts == nil {
		k.Counts = map[conformance.Verdict]int{}
	}
	k.Counts[rec.Verdict]++
	if slices.Index(severity, rec.Verdict) > slices.Index(severity, k.Verdict) {
		k.Verdict = rec.Verdict
	}
}

// String tells the verdict, and what the cases say if they differ.
func (k Mark) String() string {
	if k.Verdict == "" {
		return "not run"
	}
	if len(k.Counts) == 1 {
		return string(k.Verdict)
	}
	var parts []string
	for _, v := range conformance.Verdicts {
		if n := k.Counts[v]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, v))
		}
	}
	return string(k.Verdict) + " (" + strings.Join(parts, ", ") + ")"
}

// judge fills in the cells.
func (r *Row) judge(targets int) {
	r.Cells = make([]Cell, targets)
	for _, c := range r.Cases {
		for i := range c.Results {
			r.Cells[i].V4.add(c.Results[i].V4)
			r.Cells[i].V6.add(c.Results[i].V6)
		}
	}
}

// Covered counts requirements by where they stand and how they bind.
func Covered() []Coverage {
	kinds := []struct {
		name string
		keep func(*conformance.Requirement) bool
	}{
		{"contract", func(r *conformance.Requirement) bool { return r.RFC == 0 }},
		{"RFC 9293, MUST and MUST NOT", func(r *conformance.Requirement) bool { return r.RFC == 9293 && r.Must() }},
		{"RFC 9293, the rest", func(r *conformance.Requirement) bool { return r.RFC == 9293 && !r.Must() }},
		{"other RFCs, MUST and MUST NOT", func(r *conformance.Requirement) bool { return r.RFC != 0 && r.RFC != 9293 && r.Must() }},
		{"other RFCs, the rest", func(r *conformance.Requirement) bool { return r.RFC != 0 && r.RFC != 9293 && !r.Must() }},
	}
	var out []Coverage
	for _, k := range kinds {
		out = append(out, Coverage{k.name, conformance.Covers(k.keep)})
	}
	return out
}

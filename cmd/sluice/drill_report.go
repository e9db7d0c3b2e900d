package main

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"sort"
	"time"

	"github.com/sluicenet/sluice/conformance/drill"
)

// drillReport is what "sluice drill --json" writes; docs/drill.md has its shape.
type drillReport struct {
	Target  string                `json:"target"`
	Match   string                `json:"match"`
	Seconds float64               `json:"seconds"` // of the machine
	Counts  map[drill.Outcome]int `json:"counts"`
	Missing map[string]int        `json:"missing"` // features that were missing, and in how many scripts
	Scripts []*drill.Verdict      `json:"scripts"`
}

func (r *drillReport) count() {
	r.Counts = map[drill.Outcome]int{drill.Pass: 0, drill.Fail: 0, drill.Skip: 0, drill.Broken: 0}
	r.Missing = map[string]int{}
	for _, v := range r.Scripts {
		r.Counts[v.Outcome]++
		if v.Outcome == drill.Skip {
			r.Missing[v.Skipped]++
		}
	}
}

func (r *drillReport) writeJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// writeSummary prints a table of the verdicts and what was missing.
func (r *drillReport) writeSummary(w io.Writer) {
	for _, o := range []drill.Outcome{drill.Pass, drill.Fail, drill.Skip, drill.Broken} {
		if n := r.Counts[o]; n > 0 {
			fmt.Fprintf(w, "%-7s %5d\n", o, n)
		}
	}
	var missing []string
	for name := range r.Missing {
		missing = append(missing, name)
	}
	sort.Slice(missing, func(i, j int) bool {
		if a, b := r.Missing[missing[i]], r.Missing[missing[j]]; a != b {
			return a > b
		}
		return missing[i] < missing[j]
	})
	for _, name := range missing {
		fmt.Fprintf(w, "  missing in %4d: %s\n", r.Missing[name], name)
	}
	took := time.Duration(r.Seconds * float64(time.Second)).Round(10 * time.Millisecond)
	fmt.Fprintf(w, "target %s, match %s, %d scripts in %v: %d pass, %d fail, %d skip, %d broken\n", r.Target, r.Match, len(r.Scripts), took,
		r.Counts[drill.Pass], r.Counts[drill.Fail], r.Counts[drill.Skip], r.Counts[drill.Broken])
}

// writeJUnit writes JUnit's XML: a script is a test case, and a broken one an
// error.
func (r *drillReport) writeJUnit(w io.Writer) error {
	type message struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
	type testcase struct {
		Name    string   `xml:"name,attr"`
		Class   string   `xml:"classname,attr"`
		Time    string   `xml:"time,attr"`
		Failure *message `xml:"failure,omitempty"`
		Error   *message `xml:"error,omitempty"`
		Skipped *message `xml:"skipped,omitempty"`
		Output  string   `xml:"system-out,omitempty"`
	}
	type suite struct {
		XMLName  xml.Name   `xml:"testsuite"`
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Errors   int        `xml:"errors,attr"`
		Skipped  int        `xml:"skipped,attr"`
		Time     string     `xml:"time,attr"`
		Cases    []testcase `xml:"testcase"`
	}
	type suites struct {
		XMLName xml.Name `xml:"testsuites"`
		Name    string   `xml:"name,attr"`
		Suites  []suite
	}
	s := suite{Name: r.Target + "/" + r.Match, Tests: len(r.Scripts), Failures: r.Counts[drill.Fail], Errors: r.Counts[drill.Broken],
		Skipped: r.Counts[drill.Skip], Time: fmt.Sprintf("%.3f", r.Seconds)}
	for _, v := range r.Scripts {
		c := testcase{Name: v.Script, Class: r.Target + "." + r.Match, Time: fmt.Sprintf("%.3f", v.Took.Seconds()), Output: v.Output}
		switch v.Outcome {
		case drill.Fail:
			c.Failure = &message{v.Reason, v.String()}
		case drill.Broken:
			c.Error = &message{v.Reason, v.String()}
		case drill.Skip:
			c.Skipped = &message{Message: v.Skipped}
		}
		s.Cases = append(s.Cases, c)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(suites{Name: "sluice drill " + r.Target, Suites: []suite{s}}); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

package conformance

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"
)

// WriteJSON writes the report as one JSON object; docs/conformance.md has its
// shape.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// WriteJUnit writes the report as JUnit's XML: a suite for each level. A
// deviation is a passed test with its reason in the output.
func (r *Report) WriteJUnit(w io.Writer) error {
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
		Suites  []*suite
	}
	all := suites{Name: "sluice conform " + r.Target}
	byLevel := map[string]*suite{}
	for i := range r.Records {
		rec := &r.Records[i]
		s := byLevel[rec.Level]
		if s == nil {
			s = &suite{Name: r.Target + "/" + rec.Level}
			byLevel[rec.Level] = s
			all.Suites = append(all.Suites, s)
		}
		c := testcase{Name: rec.ID + "/" + rec.Family, Class: r.Target + "." + rec.Level, Time: fmt.Sprintf("%.3f", rec.Duration)}
		s.Tests++
		switch rec.Verdict {
		case Fail:
			s.Failures++
			c.Failure = &message{first(rec.Failures), rec.Text()}
		case Inconclusive:
			s.Errors++
			c.Error = &message{rec.Reason, rec.Text()}
		case Skip:
			s.Skipped++
			c.Skipped = &message{Message: rec.Reason}
		case Deviates:
			c.Output = rec.Text()
		}
		s.Cases = append(s.Cases, c)
	}
	for _, s := range all.Suites {
		seconds := 0.0
		for i := range r.Records {
			if r.Target+"/"+r.Records[i].Level == s.Name {
				seconds += r.Records[i].Duration
			}
		}
		s.Time = fmt.Sprintf("%.3f", seconds)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func first(s []string) string {
	if len(s) == 0 {
		return ""
	}
	line, _, _ := strings.Cut(s[0], "\n")
	return line
}

// WriteTable writes a summary for people: how each group of cases fared, then
// whatever did not simply pass.
func (r *Report) WriteTable(w io.Writer) error {
	order := []Verdict{Pass, Fail, Deviates, Skip, Inconclusive}
	counts := map[string]map[Verdict]int{}
	var names []string
	for i := range r.Records {
		rec := &r.Records[i]
		group, _, _ := strings.Cut(rec.ID, "/")
		if counts[group] == nil {
			counts[group] = map[Verdict]int{}
			names = append(names, group)
		}
		counts[group][rec.Verdict]++
	}
	slices.Sort(names)
	var b strings.Builder
	fmt.Fprintf(&b, "%-16s", "group")
	for _, v := range order {
		fmt.Fprintf(&b, " %12s", v)
	}
	b.WriteByte('\n')
	row := func(name string, c map[Verdict]int) {
		fmt.Fprintf(&b, "%-16s", name)
		for _, v := range order {
			fmt.Fprintf(&b, " %12d", c[v])
		}
		b.WriteByte('\n')
	}
	for _, n := range names {
		row(n, counts[n])
	}
	row("total", r.Counts)
	skipped := map[string]int{}
	var reasons []string
	seen := map[string]bool{}
	for i := range r.Records {
		rec := &r.Records[i]
		switch {
		case rec.Verdict == Skip:
			if skipped[rec.Reason] == 0 {
				reasons = append(reasons, rec.Reason)
			}
			skipped[rec.Reason]++
		case rec.Verdict == Deviates && !seen[rec.ID]:
			seen[rec.ID] = true
			fmt.Fprintf(&b, "deviation: %s: %s (%s)\n", rec.ID, rec.Reason, rec.Citation)
		}
	}
	for _, reason := range reasons {
		fmt.Fprintf(&b, "skip: %d %s\n", skipped[reason], reason)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteExplanation writes what a case demands.
func (c *Case) WriteExplanation(w io.Writer) error {
	families := "IPv4 and IPv6"
	if c.Family != Both {
		families = c.Family.String() + " only"
	}
	needs := c.needs().String()
	if needs == "" {
		needs = "nothing special"
	}
	_, err := fmt.Fprintf(w, "%s\n  %s\n\n  %s\n\n  source:  %s\n  level:   %s\n  runs in: %s\n  needs:   %s\n",
		c.ID, c.Title, c.Clause, c.Source, c.Level, families, needs)
	return err
}

package conformance

import (
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// The elements of JUnit's XML that most readers agree on.
type (
	junitMessage struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr"`
		Text    string `xml:",chardata"`
	}
	junitSkipped struct {
		Message string `xml:"message,attr"`
	}
	junitProperty struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	junitCase struct {
		Name    string        `xml:"name,attr"`
		Class   string        `xml:"classname,attr"`
		Time    string        `xml:"time,attr"`
		Skipped *junitSkipped `xml:"skipped"`
		Error   *junitMessage `xml:"error"`
		Failure *junitMessage `xml:"failure"`
		Output  string        `xml:"system-out,omitempty"`
	}
	junitSuite struct {
		Name       string          `xml:"name,attr"`
		Tests      int             `xml:"tests,attr"`
		Failures   int             `xml:"failures,attr"`
		Errors     int             `xml:"errors,attr"`
		Skipped    int             `xml:"skipped,attr"`
		Time       string          `xml:"time,attr"`
		Timestamp  string          `xml:"timestamp,attr"`
		Properties []junitProperty `xml:"properties>property"`
		Cases      []junitCase     `xml:"testcase"`

		seconds float64
	}
	junitSuites struct {
		XMLName  xml.Name      `xml:"testsuites"`
		Name     string        `xml:"name,attr"`
		Tests    int           `xml:"tests,attr"`
		Failures int           `xml:"failures,attr"`
		Errors   int           `xml:"errors,attr"`
		Time     string        `xml:"time,attr"`
		Suites   []*junitSuite `xml:"testsuite"`
	}
)

// WriteJUnit writes the report as JUnit's XML: a suite for each target and level.
// A deviation is a passed test with its reason in the output, an inconclusive case
// an error.
func (r *Report) WriteJUnit(w io.Writer) error {
	all := junitSuites{Name: "sluice conform", Tests: len(r.Records), Failures: r.Counts[Fail], Errors: r.Counts[Inconclusive]}
	total := 0.0
	suites := map[string]*junitSuite{}
	for i := range r.Records {
		rec := &r.Records[i]
		name := rec.Target + "." + rec.Level
		s := suites[name]
		if s == nil {
			s = r.newSuite(rec, name)
			suites[name] = s
			all.Suites = append(all.Suites, s)
		}
		s.add(rec)
		s.seconds += rec.Duration
		total += rec.Duration
	}
	for _, s := range all.Suites {
		s.Time = seconds(s.seconds)
	}
	all.Time = seconds(total)
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

// newSuite returns the empty suite that rec belongs to.
func (r *Report) newSuite(rec *Record, name string) *junitSuite {
	s := &junitSuite{Name: name}
	i := slices.IndexFunc(r.Targets, func(t TargetReport) bool { return t.Name == rec.Target })
	if i < 0 {
		return s
	}
	t := &r.Targets[i]
	s.Timestamp = t.Started.UTC().Format(time.DateOnly + "T" + time.TimeOnly)
	s.Properties = []junitProperty{{"seed", fmt.Sprint(t.Seed)}, {"capabilities", strings.Join(t.Capabilities, " ")}}
	if t.Version != "" {
		s.Properties = append(s.Properties, junitProperty{"version", t.Version})
	}
	return s
}

func (s *junitSuite) add(rec *Record) {
	c := junitCase{Name: rec.ID + "/" + rec.Family, Class: s.Name, Time: seconds(rec.Duration)}
	s.Tests++
	switch rec.Verdict {
	case Fail:
		s.Failures++
		c.Failure = &junitMessage{first(rec.Failures), string(Fail), rec.Text()}
	case Inconclusive:
		s.Errors++
		c.Error = &junitMessage{rec.Reason, string(Inconclusive), rec.Text()}
	case Skip:
		s.Skipped++
		c.Skipped = &junitSkipped{rec.Reason}
	case Deviates:
		c.Output = rec.Text()
	}
	s.Cases = append(s.Cases, c)
}

func seconds(s float64) string { return fmt.Sprintf("%.3f", s) }

func first(s []string) string {
	if len(s) == 0 {
		return ""
	}
	line, _, _ := strings.Cut(s[0], "\n")
	return line
}

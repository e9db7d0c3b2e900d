package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Report is the result of a run, or of several that were merged.
type Report struct {
	Target  string          `json:"target"` // names, separated by commas
	Seed    uint64          `json:"seed"`   // of the first run
	Started time.Time       `json:"started"`
	Seconds float64         `json:"seconds"`
	Counts  map[Verdict]int `json:"counts"`
	Targets []TargetReport  `json:"targets"`
	Records []Record        `json:"records"`
}

// TargetReport says how one target fared.
type TargetReport struct {
	Name         string          `json:"name"`
	Version      string          `json:"version,omitempty"` // see [Versioned]
	Capabilities []string        `json:"capabilities"`
	Seed         uint64          `json:"seed"`
	Started      time.Time       `json:"started"`
	Seconds      float64         `json:"seconds"` // of the machine
	Counts       map[Verdict]int `json:"counts"`
}

// OK reports whether nothing failed.
func (r *Report) OK() bool { return r.Counts[Fail] == 0 && r.Counts[Inconclusive] == 0 }

// Merge makes one report of several. Where two have a record of the same case,
// family and target, that of the later one counts.
func Merge(reports ...*Report) *Report {
	type key struct{ target, id, family string }
	m := &Report{Counts: map[Verdict]int{}, Targets: []TargetReport{}, Records: []Record{}}
	targets, records := map[string]int{}, map[key]int{}
	for _, r := range reports {
		if m.Started.IsZero() || !r.Started.IsZero() && r.Started.Before(m.Started) {
			m.Started = r.Started
		}
		m.Seconds += r.Seconds
		for _, t := range r.Targets {
			t.Counts = map[Verdict]int{}
			if i, ok := targets[t.Name]; ok {
				t.Seconds += m.Targets[i].Seconds
				m.Targets[i] = t
				continue
			}
			targets[t.Name] = len(m.Targets)
			m.Targets = append(m.Targets, t)
		}
		for _, rec := range r.Records {
			if _, ok := targets[rec.Target]; !ok {
				targets[rec.Target] = len(m.Targets)
				m.Targets = append(m.Targets, TargetReport{Name: rec.Target, Seed: rec.Seed, Started: r.Started, Seconds: r.Seconds, Counts: map[Verdict]int{}, Capabilities: []string{}})
			}
			k := key{rec.Target, rec.ID, rec.Family}
			if i, ok := records[k]; ok {
				m.Records[i] = rec
				continue
			}
			records[k] = len(m.Records)
			m.Records = append(m.Records, rec)
		}
	}
	for i := range m.Records {
		rec := &m.Records[i]
		m.Counts[rec.Verdict]++
		m.Targets[targets[rec.Target]].Counts[rec.Verdict]++
	}
	names := make([]string, len(m.Targets))
	for i := range m.Targets {
		names[i] = m.Targets[i].Name
	}
	m.Target = strings.Join(names, ",")
	if len(m.Targets) > 0 {
		m.Seed = m.Targets[0].Seed
	}
	return m
}

// WriteJSON writes the report as one JSON object; docs/conformance.md has its
// shape.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// ReadJSON reads what WriteJSON has written.
func ReadJSON(rd io.Reader) (*Report, error) {
	d := json.NewDecoder(rd)
	r := &Report{}
	if err := d.Decode(r); err != nil {
		return nil, fmt.Errorf("no report of the conformance suite: %w", err)
	}
	if len(r.Records) == 0 {
		return nil, errors.New("no report of the conformance suite: it has no records")
	}
	for i := range r.Records {
		rec := &r.Records[i]
		if rec.ID == "" || rec.Target == "" || !slices.Contains(Verdicts, rec.Verdict) || rec.Family != IPv4.String() && rec.Family != IPv6.String() {
			return nil, fmt.Errorf("record %d lacks an id, a target, or a verdict and a family that this program knows", i)
		}
	}
	return r, nil
}

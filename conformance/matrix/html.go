package matrix

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"

	"github.com/sluicenet/sluice/conformance"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

//go:embed page.js
var pageJS string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"again":   again,
	"anchor":  anchor,
	"args":    func(p *pageData, c *Case) caseData { return caseData{p, c} },
	"class":   class,
	"cite":    cite,
	"columns": func(p *pageData) int { return 2 + 2*len(p.Targets) },
	"explain": explain,
	"family":  func(r *conformance.Record) string { return familyName(r.Family) },
	"instant": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") },
	"join":    func(s []string) string { return strings.Join(s, ", ") },
	"kind":    kind,
	"notable": notable,
	"percent": func(n, of int) string { return fmt.Sprintf("%.2f", 100*float64(n)/float64(max(of, 1))) },
	"symbol":  symbol,
	"width":   func(p *pageData) int { return 2 * len(p.Targets) },
}).Parse(pageHTML))

// pageData is what the template sees.
type pageData struct {
	*Matrix
	CSS      template.CSS
	JS       template.JS
	Verdicts []conformance.Verdict
	Kinds    []string
	trace    int
}

// caseData is what the template of a case sees.
type caseData struct {
	Page *pageData
	Case *Case
}

// Packets are the packets of a record as the page shows them.
func (p *pageData) Packets(r *conformance.Record) []Packet { return packets(r.Packets, p.trace) }

// WriteHTML writes the matrix as one page that needs nothing but itself.
//
// The traces of cases that did not pass are cut to the last packets of each if
// the page would become too large otherwise. If there are traces of cases that passed,
// nothing is cut: whoever asked for them wants them.
func (m *Matrix) WriteHTML(w io.Writer) error {
	return page.Execute(w, &pageData{
		Matrix: m, CSS: template.CSS(pageCSS), JS: template.JS(pageJS),
		Verdicts: conformance.Verdicts, Kinds: m.kinds(), trace: m.traceLimit(),
	})
}

// traceBudget bounds the bytes of all traces of a page.
const traceBudget = 1 << 20

// traceLimit returns how many packets of each record the page shows.
func (m *Matrix) traceLimit() int {
	for _, limit := range []int{200, 100, 60, 40, 20, 10, 5} {
		total := 0
		for _, c := range m.cases {
			for i := range c.Results {
				for _, r := range c.Results[i].Records() {
					if len(r.Packets) > 0 && r.Verdict == conformance.Pass {
						return 1 << 30
					}
					for _, line := range r.Packets[max(len(r.Packets)-limit, 0):] {
						total += len(line) + 40
					}
				}
			}
		}
		if total <= traceBudget {
			return limit
		}
	}
	return 2
}

// kinds returns the levels of requirements that there are, for the filter.
func (m *Matrix) kinds() (kinds []string) {
	seen := map[string]bool{}
	for _, g := range m.Groups {
		for _, r := range g.Rows {
			seen[kind(r)] = true
		}
	}
	for _, k := range []string{"MUST", "SHOULD", "MAY", "promise", "unnumbered"} {
		if seen[k] {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

// kind puts a row's level into one of few.
func kind(r *Row) string {
	switch {
	case strings.HasPrefix(r.Level, "MUST"):
		return "MUST"
	case strings.HasPrefix(r.Level, "SHOULD"), r.Level == "RECOMMENDED":
		return "SHOULD"
	case r.Level == "MAY", r.Level == "promise":
		return r.Level
	}
	return "unnumbered"
}

// again returns the command that repeats a case on a target over both families, or ""
// if it was skipped or the records do not tell.
func again(r Result) string {
	for _, rec := range r.Records() {
		if rec.Verdict != conformance.Skip && rec.Repeat != "" {
			return strings.Replace(rec.Repeat, " --family "+rec.Family, "", 1)
		}
	}
	return ""
}

// A reason explains the verdicts of one or both families.
type reason struct{ Families, Reason, Citation string }

// explain returns the reasons of a result, once if both families have the same.
func explain(r Result) (out []reason) {
	for _, rec := range r.Records() {
		if rec.Reason == "" {
			continue
		}
		if len(out) == 1 && out[0].Reason == rec.Reason && out[0].Citation == rec.Citation {
			out[0].Families = ""
			continue
		}
		out = append(out, reason{familyName(rec.Family) + ":", rec.Reason, rec.Citation})
	}
	return out
}

// notable reports whether a record has more to tell than its verdict.
func notable(r *conformance.Record) bool {
	return len(r.Failures) > 0 || len(r.Log) > 0 || len(r.Packets) > 0
}

// anchor turns an ID into what may stand behind a "#".
func anchor(id string) string {
	var b strings.Builder
	for _, c := range []byte(id) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.', c == '/':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "_%02x", c)
		}
	}
	return b.String()
}

// class is the class of a verdict in the style sheet.
func class(v conformance.Verdict) string {
	if v == "" {
		return "v-none"
	}
	return "v-" + string(v)
}

// symbol stands for a verdict where there is room for one character.
func symbol(v conformance.Verdict) string {
	switch v {
	case conformance.Pass:
		return "✓"
	case conformance.Fail:
		return "✗"
	case conformance.Deviates:
		return "≠"
	case conformance.Inconclusive:
		return "?"
	case conformance.Skip:
		return "–"
	}
	return "·"
}

func familyName(f string) string {
	switch f {
	case "ipv4":
		return "IPv4"
	case "ipv6":
		return "IPv6"
	}
	return f
}

// A piece of text may be a link.
type piece struct{ Text, URL string }

// cite makes links of the places that a text names.
func cite(text string) []piece {
	var out []piece
	for _, c := range conformance.Citations(text) {
		before, after, _ := strings.Cut(text, c.Text)
		if before != "" {
			out = append(out, piece{Text: before})
		}
		out = append(out, piece{c.Text, c.URL()})
		text = after
	}
	if text != "" {
		out = append(out, piece{Text: text})
	}
	return out
}

package matrix

import (
	"fmt"
	"io"
	"strings"

	"github.com/sluicenet/sluice/conformance"
)

// WriteMarkdown writes the matrix as Markdown: totals, every requirement with its
// cases, and the reasons of what did not pass. It has neither times nor packets, so
// that it changes only when a verdict does.
func (m *Matrix) WriteMarkdown(w io.Writer) error {
	var b strings.Builder
	m.markdownTotals(&b)
	m.markdownCoverage(&b)
	for _, g := range m.Groups {
		m.markdownGroup(&b, g)
	}
	m.markdownReasons(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (m *Matrix) markdownTotals(b *strings.Builder) {
	fmt.Fprintf(b, "## Totals\n\nCases over IPv4 and IPv6 count apart. Seed %d.\n\n| implementation | level |", m.Seed)
	for _, v := range conformance.Verdicts {
		fmt.Fprintf(b, " %s |", v)
	}
	b.WriteString("\n|---|---|" + strings.Repeat("--:|", len(conformance.Verdicts)) + "\n")
	for _, t := range m.Targets {
		name := cell(t.Name)
		if t.Version != "" {
			name += " (" + cell(t.Version) + ")"
		}
		if !t.Run {
			fmt.Fprintf(b, "| %s | not run |%s\n", name, strings.Repeat(" |", len(conformance.Verdicts)))
		}
		for _, l := range t.Levels {
			fmt.Fprintf(b, "| %s | %s |", name, l.Name)
			for _, v := range conformance.Verdicts {
				fmt.Fprintf(b, " %d |", l.Counts[v])
			}
			b.WriteByte('\n')
		}
	}
}

func (m *Matrix) markdownCoverage(b *strings.Builder) {
	b.WriteString("\n## Requirements\n\n| kind | all | can be observed | have a case |\n|---|--:|--:|--:|\n")
	for _, c := range m.Coverage {
		fmt.Fprintf(b, "| %s | %d | %d | %d |\n", cell(c.Name), c.All, c.Observable, c.Covered)
	}
	b.WriteString("\nThose that cannot be observed:\n\n")
	for _, g := range m.Groups {
		for _, r := range g.Rows {
			if r.Unseen != "" {
				fmt.Fprintf(b, "- %s (%s): %s\n", cell(r.ID), cell(strings.TrimSuffix(r.Clause, ".")), cell(r.Unseen))
			}
		}
	}
}

func (m *Matrix) markdownGroup(b *strings.Builder, g *Group) {
	fmt.Fprintf(b, "\n## %s\n\n| requirement | level |", cell(g.Title))
	for _, t := range m.Targets {
		fmt.Fprintf(b, " %s |", cell(t.Name))
	}
	b.WriteString(" cases |\n|---|---|" + strings.Repeat("---|", len(m.Targets)) + "---|\n")
	for _, r := range g.Rows {
		name := cell(r.Name)
		if r.URL != "" {
			name = "[" + name + "](" + r.URL + ")"
		}
		level := r.Level
		if level == "-" {
			level = ""
		}
		fmt.Fprintf(b, "| %s %s | %s |", name, cell(r.Clause), level)
		for i := range m.Targets {
			b.WriteString(" " + r.markdownCell(i) + " |")
		}
		var ids []string
		for _, c := range r.Cases {
			ids = append(ids, code(c.ID))
		}
		b.WriteString(" " + strings.Join(ids, " ") + " |\n")
	}
}

// markdownCell tells a verdict, twice only if the families differ.
func (r *Row) markdownCell(i int) string {
	if len(r.Cases) == 0 {
		if r.Unseen != "" {
			return "not observable"
		}
		return "no case"
	}
	v4, v6 := r.Cells[i].V4.Verdict, r.Cells[i].V6.Verdict
	switch {
	case v4 == "" && v6 == "":
		return "not run"
	case v4 == v6 || v6 == "":
		return emphasis(v4)
	case v4 == "":
		return emphasis(v6)
	}
	return "v4 " + emphasis(v4) + ", v6 " + emphasis(v6)
}

func emphasis(v conformance.Verdict) string {
	if v == conformance.Fail || v == conformance.Inconclusive {
		return "**" + string(v) + "**"
	}
	return string(v)
}

// markdownReasons lists, by target, why cases did not pass.
func (m *Matrix) markdownReasons(b *strings.Builder) {
	for i, t := range m.Targets {
		var lines []string
		skips := map[string]int{}
		var order []string
		for _, c := range m.cases {
			seen := map[string]bool{}
			for _, rec := range c.Results[i].Records() {
				line := ""
				switch rec.Verdict {
				case conformance.Skip:
					if skips[rec.Reason] == 0 {
						order = append(order, rec.Reason)
					}
					skips[rec.Reason]++
				case conformance.Deviates:
					line = fmt.Sprintf("- %s: %s (%s)", code(c.ID), cell(rec.Reason), cell(rec.Citation))
				case conformance.Fail, conformance.Inconclusive:
					line = fmt.Sprintf("- %s: **%s**", code(c.ID), rec.Verdict)
					if rec.Reason != "" {
						line += ": " + cell(rec.Reason)
					}
				}
				if line != "" && !seen[line] {
					seen[line] = true
					lines = append(lines, line)
				}
			}
		}
		if len(lines)+len(order) == 0 {
			continue
		}
		fmt.Fprintf(b, "\n## What %s does otherwise\n\n", cell(t.Name))
		for _, l := range lines {
			b.WriteString(l + "\n")
		}
		for _, reason := range order {
			fmt.Fprintf(b, "- skipped, %d: %s\n", skips[reason], cell(reason))
		}
	}
}

// escapes are the characters that mean something in a line of Markdown.
var escapes = strings.NewReplacer(
	"\n", " ", "\r", " ", `\`, `\\`, "|", `\|`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "<", "&lt;", ">", "&gt;", "&", "&amp;")

// cell escapes text for a table or a line.
func cell(text string) string { return escapes.Replace(text) }

// code writes an ID as code. Backquotes and bars cannot stand in one within a table.
func code(id string) string {
	return "`" + strings.NewReplacer("`", "'", "|", "/", "\n", " ").Replace(id) + "`"
}

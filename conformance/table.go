package conformance

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// WriteTable writes a summary for people: how the cases fared, by group for one
// target, by level for several; then the reasons of deviations and skips.
func (r *Report) WriteTable(w io.Writer) error {
	type row struct{ target, group string }
	counts := map[row]map[Verdict]int{}
	several := len(r.Targets) > 1
	var rows []row
	for i := range r.Records {
		rec := &r.Records[i]
		k := row{rec.Target, rec.Level}
		if !several {
			k.group, _, _ = strings.Cut(rec.ID, "/")
		}
		if counts[k] == nil {
			counts[k] = map[Verdict]int{}
			rows = append(rows, k)
		}
		counts[k][rec.Verdict]++
	}
	if !several {
		slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(a.group, b.group) })
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if several {
		fmt.Fprint(tw, "target\tlevel")
	} else {
		fmt.Fprint(tw, "group")
	}
	for _, v := range Verdicts {
		fmt.Fprintf(tw, "\t%s", v)
	}
	fmt.Fprintln(tw)
	line := func(k row, c map[Verdict]int) {
		if several {
			fmt.Fprintf(tw, "%s\t", k.target)
		}
		fmt.Fprint(tw, k.group)
		for _, v := range Verdicts {
			fmt.Fprintf(tw, "\t%*d", len(v), c[v])
		}
		fmt.Fprintln(tw)
	}
	for _, k := range rows {
		line(k, counts[k])
	}
	total := row{group: "total"}
	if several {
		total = row{target: "total"}
	}
	line(total, r.Counts)
	if err := tw.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, r.reasons())
	return err
}

// reasons lists the deviations and, counted, why cases were skipped.
func (r *Report) reasons() string {
	var b strings.Builder
	skipped := map[string]int{}
	var order []string
	seen := map[string]bool{}
	for i := range r.Records {
		rec := &r.Records[i]
		who := ""
		if len(r.Targets) > 1 {
			who = rec.Target + ": "
		}
		switch {
		case rec.Verdict == Skip:
			if skipped[who+rec.Reason] == 0 {
				order = append(order, who+rec.Reason)
			}
			skipped[who+rec.Reason]++
		case rec.Verdict == Deviates && !seen[who+rec.ID]:
			seen[who+rec.ID] = true
			fmt.Fprintf(&b, "deviation: %s%s: %s (%s)\n", who, rec.ID, rec.Reason, rec.Citation)
		}
	}
	for _, reason := range order {
		fmt.Fprintf(&b, "skip: %d %s\n", skipped[reason], reason)
	}
	return b.String()
}

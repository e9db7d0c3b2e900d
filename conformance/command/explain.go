package command

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/conformance"
)

func (s *Suite) explainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "explain ID",
		Short: "Tell what a requirement or a case demands, and where that stands",
		Long: "Explain tells what is demanded, in our words, where that stands, which cases prove it and what they do, and which\n" +
			"target is known to deviate, with the reason. ID is a requirement, such as MUST-34 or rfc5961/7-limit, a promise of\n" +
			"the contract, such as R3, a case, such as contract/R3-local, or an RFC, such as rfc5961: then everything that\n" +
			"the suite knows of it is explained.",
		Example: "  " + s.Program + " explain MUST-34\n  " + s.Program + " explain rfc5961",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("which one? Give a requirement, such as MUST-34, a case, or an RFC; '%s list --requirements' and '%s list' have them all", s.Program, s.Program)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			e := explainer{s: s, w: cmd.OutOrStdout(), told: map[string]bool{}}
			if !e.explain(args[0]) {
				if near := near(args[0]); len(near) > 0 {
					return misused("there is no requirement or case %q; there are %s", args[0], strings.Join(near, ", "))
				}
				return misused("there is no requirement or case %q; '%s list --requirements' and '%s list' have them all", args[0], s.Program, s.Program)
			}
			return e.err
		},
	}
}

var rfcName = regexp.MustCompile(`^(?i:rfc)[ -]?(\d+)$`)

// explainer writes explanations one below the other.
type explainer struct {
	s     *Suite
	w     io.Writer
	begun bool
	told  map[string]bool // cases
	err   error
}

func (e *explainer) printf(format string, args ...any) {
	if _, err := fmt.Fprintf(e.w, format, args...); err != nil && e.err == nil {
		e.err = failed(err)
	}
}

// next separates one explanation from the one before.
func (e *explainer) next() {
	if e.begun {
		e.printf("\n")
	}
	e.begun = true
}

// explain explains whatever has the name id, and reports whether there is anything.
func (e *explainer) explain(id string) bool {
	if m := rfcName.FindStringSubmatch(id); m != nil {
		return e.rfc(m[1])
	}
	if r, ok := conformance.FindRequirement(id); ok {
		e.requirement(&r)
		return true
	}
	if c, ok := conformance.Lookup(id); ok {
		e.next()
		e.oneCase(&c)
		return true
	}
	// The case of another group's requirement: "3-rst-in-window".
	found := false
	for _, c := range conformance.Cases() {
		if _, name, _ := strings.Cut(c.ID, "/"); name == id {
			e.next()
			e.oneCase(&c)
			found = true
		}
	}
	return found
}

// rfc explains every requirement of an RFC, then the cases that cite it beside.
func (e *explainer) rfc(number string) bool {
	found := false
	for _, r := range conformance.Requirements() {
		if fmt.Sprint(r.RFC) != number {
			continue
		}
		found = true
		e.requirement(&r)
	}
	for _, c := range conformance.Cases() {
		cites := slices.ContainsFunc(conformance.Citations(c.Source), func(k conformance.Citation) bool { return fmt.Sprint(k.RFC) == number })
		if cites && !e.told[c.ID] {
			found = true
			e.next()
			e.oneCase(&c)
		}
	}
	return found
}

// requirement explains a requirement and the cases that prove it.
func (e *explainer) requirement(r *conformance.Requirement) {
	e.next()
	e.printf("%s  %s\n  %s\n\n  source:  %s\n", r.ID, r.Level, r.Clause, r.Source())
	if u := r.URL(); u != "" {
		e.printf("  read:    %s\n", u)
	}
	cases := r.Cases()
	switch {
	case r.Unseen != "":
		e.printf("  cases:   none, for it cannot be observed: %s\n", r.Unseen)
	case len(cases) == 0:
		e.printf("  cases:   none yet\n")
	}
	for i := range cases {
		e.printf("\n")
		if c := &cases[i]; e.told[c.ID] {
			e.printf("%s\n  %s; see above\n", c.ID, c.Title)
		} else {
			e.oneCase(c)
		}
	}
}

// oneCase explains a case, and who deviates.
func (e *explainer) oneCase(c *conformance.Case) {
	e.told[c.ID] = true
	if err := c.WriteExplanation(e.w); err != nil && e.err == nil {
		e.err = failed(err)
	}
	for _, t := range e.s.Targets {
		if missing := c.Capabilities() &^ t.Capabilities(); missing != 0 {
			e.printf("  %s: skipped, for it lacks %s\n", t.Name(), missing)
			continue
		}
		for _, d := range t.Deviations() {
			if d.Case == c.ID {
				e.printf("  %s: deviates: %s (%s)\n", t.Name(), d.Reason, d.Source)
			}
		}
	}
}

// near returns a few IDs that look like a name that there is not.
func near(name string) []string {
	const few = 8
	var ids []string
	add := func(id, text string) {
		if strings.Contains(strings.ToLower(text), strings.ToLower(name)) && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	for _, r := range conformance.Requirements() {
		add(r.ID, r.ID)
	}
	for _, c := range conformance.Cases() {
		add(c.ID, c.ID)
	}
	if len(ids) > few {
		return append(ids[:few:few], "and others")
	}
	return ids
}

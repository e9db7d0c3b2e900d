package command

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/conformance"
	"github.com/sluicenet/sluice/conformance/matrix"
)

func (s *Suite) listCommand() *cobra.Command {
	var glob string
	var asJSON, requirements bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the cases, or what they prove",
		Long: "List lists the cases, or with --requirements what the contract and the RFCs demand: which of it has a case, how many\n" +
			"MUSTs can be observed and have one, and what cannot be observed, with the reason.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			w := cmd.OutOrStdout()
			if requirements {
				if glob != "" {
					return misused("--case: it chooses cases, and --requirements lists what they prove; give one of them")
				}
				if asJSON {
					return encode(w, requirementsJSON())
				}
				return listRequirements(w)
			}
			cases, err := conformance.Select(glob)
			if err != nil {
				return misused("--case: %v", err)
			}
			if asJSON {
				return encode(w, casesJSON(cases))
			}
			for i := range cases {
				c := &cases[i]
				fmt.Fprintf(w, "%-9s %-36s %s  [%s]\n", c.Level, c.ID, c.Title, c.Source)
			}
			fmt.Fprintf(w, "%d cases\n", len(cases))
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&glob, "case", "", `only cases that match, as "mirage/*,contract/W?"`)
	f.BoolVar(&asJSON, "json", false, "print JSON")
	f.BoolVar(&requirements, "requirements", false, "list requirements rather than cases")
	return cmd
}

func encode(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return failed(err)
	}
	return nil
}

// caseJSON is a case as "list --json" has it.
type caseJSON struct {
	ID           string   `json:"id"`
	Title        string   `json:"title"`
	Clause       string   `json:"clause"`
	Source       string   `json:"source"`
	URL          string   `json:"url,omitempty"`
	Level        string   `json:"level"`
	Families     []string `json:"families"`
	Needs        []string `json:"needs"`
	Requirements []string `json:"requirements"`
}

func casesJSON(cases []conformance.Case) any {
	out := make([]caseJSON, len(cases))
	for i := range cases {
		c := &cases[i]
		out[i] = caseJSON{
			ID: c.ID, Title: c.Title, Clause: c.Clause, Source: c.Source, URL: c.URL(), Level: c.Level.String(),
			Families: c.Families(), Needs: strings.Fields(c.Capabilities().String()), Requirements: c.Requirements(),
		}
		if out[i].Requirements == nil {
			out[i].Requirements = []string{}
		}
	}
	return struct {
		Cases []caseJSON `json:"cases"`
	}{out}
}

// requirementJSON is a requirement as "list --requirements --json" has it.
type requirementJSON struct {
	ID      string   `json:"id"`
	RFC     int      `json:"rfc,omitempty"`
	Section string   `json:"section"`
	Level   string   `json:"level"`
	Clause  string   `json:"clause"`
	URL     string   `json:"url,omitempty"`
	Unseen  string   `json:"unobservable,omitempty"`
	Cases   []string `json:"cases"`
}

type coverageJSON struct {
	Kind       string `json:"kind"`
	All        int    `json:"all"`
	Observable int    `json:"observable"`
	Covered    int    `json:"covered"`
}

func requirementsJSON() any {
	var out struct {
		Coverage     []coverageJSON    `json:"coverage"`
		Requirements []requirementJSON `json:"requirements"`
	}
	for _, c := range matrix.Covered() {
		out.Coverage = append(out.Coverage, coverageJSON{c.Name, c.All, c.Observable, c.Coverage.Covered})
	}
	for _, r := range conformance.Requirements() {
		j := requirementJSON{ID: r.ID, RFC: r.RFC, Section: r.Section, Level: r.Level, Clause: r.Clause, URL: r.URL(), Unseen: r.Unseen, Cases: []string{}}
		for _, c := range r.Cases() {
			j.Cases = append(j.Cases, c.ID)
		}
		out.Requirements = append(out.Requirements, j)
	}
	return out
}

// listRequirements prints the catalogue, what of it has no case, and counts.
func listRequirements(w io.Writer) error {
	var unseen, bare []conformance.Requirement
	for _, r := range conformance.Requirements() {
		cases := r.Cases()
		how := "no case"
		switch {
		case r.Unseen != "":
			how = "cannot be observed"
			unseen = append(unseen, r)
		case len(cases) == 0:
			bare = append(bare, r)
		default:
			var ids []string
			for _, c := range cases {
				ids = append(ids, c.ID)
			}
			how = strings.Join(ids, " ")
		}
		fmt.Fprintf(w, "%-11s %-28s %s  [%s]\n", r.Level, r.ID, r.Clause, how)
	}
	fmt.Fprintf(w, "\ncannot be observed:\n")
	for _, r := range unseen {
		fmt.Fprintf(w, "  %-28s %s\n", r.ID, r.Unseen)
	}
	if len(bare) > 0 {
		fmt.Fprintf(w, "\ncan be observed, and have no case:\n")
		for _, r := range bare {
			fmt.Fprintf(w, "  %-28s %s\n", r.ID, r.Clause)
		}
	}
	fmt.Fprintln(w)
	for _, c := range matrix.Covered() {
		fmt.Fprintf(w, "%-30s %3d, of which %3d can be observed, of which %3d have a case\n", c.Name+":", c.All, c.Observable, c.Coverage.Covered)
	}
	return nil
}

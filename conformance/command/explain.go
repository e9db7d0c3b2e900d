package command

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/conformance"
)

func (s *Suite) explainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "explain ID",
		Short: "Tell what a case demands, and where that stands",
		Long: "Explain tells what a case demands, and where that stands. Instead of a case, such as contract/R3, ID may\n" +
			"be a requirement, such as R3 or MUST-34: then all cases are explained that prove it.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if c, ok := conformance.Lookup(args[0]); ok {
				return c.WriteExplanation(cmd.OutOrStdout())
			}
			cases := casesFor(args[0])
			if len(cases) == 0 {
				var near []string
				for _, k := range conformance.Cases() {
					if strings.Contains(strings.ToLower(k.ID+" "+k.Source), strings.ToLower(args[0])) {
						near = append(near, k.ID)
					}
				}
				if len(near) > 0 {
					return misused("no case %q; there are %s", args[0], strings.Join(near, ", "))
				}
				return misused("no case %q; %s list has them all", args[0], s.Program)
			}
			for i, c := range cases {
				if i > 0 {
					fmt.Fprintln(cmd.OutOrStdout())
				}
				if err := c.WriteExplanation(cmd.OutOrStdout()); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// casesFor returns the cases that prove a requirement: an id of the contract or of an
// RFC's list.
func casesFor(requirement string) (cases []conformance.Case) {
	for _, c := range conformance.Cases() {
		if path.Base(c.ID) == requirement || slices.Contains(strings.FieldsFunc(c.Source, notInID), requirement) {
			cases = append(cases, c)
		}
	}
	return cases
}

func notInID(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '-' }

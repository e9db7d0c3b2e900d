package command

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/conformance"
)

func listCommand() *cobra.Command {
	var glob string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the cases",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cases, err := conformance.Select(glob)
			if err != nil {
				return misused("--case: %v", err)
			}
			w := cmd.OutOrStdout()
			for i := range cases {
				c := &cases[i]
				fmt.Fprintf(w, "%-9s %-36s %s  [%s]\n", c.Level, c.ID, c.Title, c.Source)
			}
			fmt.Fprintf(w, "%d cases\n", len(cases))
			return nil
		},
	}
	cmd.Flags().StringVar(&glob, "case", "", `only cases that match, as "mirage/*,contract/W?"`)
	return cmd
}

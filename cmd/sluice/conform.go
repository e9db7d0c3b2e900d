package main

import (
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/conformance"
	"github.com/sluicenet/sluice/conformance/targets"
)

// conformCommand returns the command "conform".
func conformCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "conform",
		Short: "Judge TCP stacks by the contract and by the RFCs",
		Long: "Conform runs the conformance suite: contract cases look at what callers of a stack see, wire cases at\n" +
			"its packets, opposite a peer that speaks in raw segments. See docs/conformance.md.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(conformListCommand(), conformExplainCommand(), conformRunCommand())
	return cmd
}

func conformListCommand() *cobra.Command {
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

func conformExplainCommand() *cobra.Command {
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
				return misused("no case %q; sluice conform list has them all", args[0])
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

func conformRunCommand() *cobra.Command {
	var glob, name, jsonFile, junitFile string
	var seed uint64
	var verbose bool
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run cases against a stack",
		Long: "Run runs cases against a stack. The exit status is 0 if nothing failed: a deviation that the target\n" +
			"declares, with its reason, is no failure, but passing such a case is.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			target, err := targets.Named(name)
			if err != nil {
				return misused("--target: %v", err)
			}
			cases, err := conformance.Select(glob)
			if err != nil {
				return misused("--case: %v", err)
			}
			out, progress := cmd.OutOrStdout(), cmd.ErrOrStderr()
			report := conformance.RunTarget(target, conformance.Options{
				Cases: cases,
				Seed:  seed,
				Progress: func(r conformance.Record) {
					switch {
					case r.Failed():
						fmt.Fprint(progress, r.Text())
					case verbose:
						fmt.Fprintf(progress, "%-12s %s/%s (%.3f s)\n", r.Verdict, r.ID, r.Family, r.Duration)
					}
				},
			})
			if err := report.WriteTable(out); err != nil {
				return failed(err)
			}
			fmt.Fprintf(out, "target %s, seed %d, %d cases in %v\n", report.Target, report.Seed, len(report.Records),
				time.Duration(report.Seconds*float64(time.Second)).Round(10*time.Millisecond))
			for _, f := range []struct {
				path  string
				write func(io.Writer) error
			}{{jsonFile, report.WriteJSON}, {junitFile, report.WriteJUnit}} {
				if f.path == "" {
					continue
				}
				if err := writeReport(f.path, out, f.write); err != nil {
					return failed(err)
				}
			}
			if !report.OK() {
				return &statusError{status: 1}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&name, "target", "cubic", "stack to judge: "+strings.Join(targetNames(), ", "))
	f.StringVar(&glob, "case", "", `only cases that match, as "mirage/*,contract/W?"`)
	f.StringVar(&jsonFile, "json", "", "write the records to this file (- for standard output)")
	f.StringVar(&junitFile, "junit", "", "write JUnit XML to this file (- for standard output)")
	f.Uint64Var(&seed, "seed", 1, "seed of everything random")
	f.BoolVarP(&verbose, "verbose", "v", false, "print every case as it ends")
	return cmd
}

func targetNames() []string {
	var names []string
	for _, t := range targets.All() {
		names = append(names, t.Name())
	}
	return names
}

// writeReport writes to a file, or to out if path is "-".
func writeReport(path string, out io.Writer, write func(io.Writer) error) error {
	if path == "-" {
		return write(out)
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

package command

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/conformance"
)

func (s *Suite) runCommand() *cobra.Command {
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
			target, err := s.named(name)
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
				return &Error{Status: 1}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&name, "target", s.defaultTarget(), "stack to judge: "+strings.Join(s.names(), ", "))
	f.StringVar(&glob, "case", "", `only cases that match, as "mirage/*,contract/W?"`)
	f.StringVar(&jsonFile, "json", "", "write the records to this file (- for standard output)")
	f.StringVar(&junitFile, "junit", "", "write JUnit XML to this file (- for standard output)")
	f.Uint64Var(&seed, "seed", 1, "seed of everything random")
	f.BoolVarP(&verbose, "verbose", "v", false, "print every case as it ends")
	return cmd
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

package command

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/conformance"
)

func (s *Suite) reportCommand() *cobra.Command {
	var files outputs
	var columns string
	cmd := &cobra.Command{
		Use:   "report FILE.json...",
		Short: "Make one page or table of the records of several runs",
		Long: "Report merges what 'run --json' has written, by this program or another, here or on another machine, and\n" +
			"writes a page, a table, or one file of records. Where two files have the same case of the same target, the later\n" +
			"one counts. Without files to write it prints the totals. FILE may be - for standard input. The exit status is 0\n" +
			"whatever the verdicts are.",
		Example: "  " + s.Program + " run --target all --json ours.json\n" +
			"  " + s.Program + " report ours.json theirs.json --html page.html",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fmt.Errorf("which files? '%s run --json FILE' writes them", s.Program)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := files.check(); err != nil {
				return err
			}
			var reports []*conformance.Report
			for _, path := range args {
				r, err := readReport(path, cmd.InOrStdin())
				if err != nil {
					return failed(err)
				}
				reports = append(reports, r)
			}
			r := conformance.Merge(reports...)
			out := cmd.OutOrStdout()
			if len(files.paths()) == 0 {
				if err := r.WriteTable(out); err != nil {
					return failed(err)
				}
			}
			var names []string
			for name := range strings.SplitSeq(columns, ",") {
				if name = strings.TrimSpace(name); name != "" {
					names = append(names, name)
				}
			}
			if err := files.write(out, r, names); err != nil {
				return failed(err)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&columns, "columns", "", `targets that come first in the matrix, as "a,b"; one without records is shown as not run`)
	files.flags(cmd, "json", "junit", "html", "markdown")
	return cmd
}

// readReport reads one file of records.
func readReport(path string, stdin io.Reader) (*conformance.Report, error) {
	if path == "-" {
		r, err := conformance.ReadJSON(stdin)
		if err != nil {
			return nil, fmt.Errorf("standard input: %w", err)
		}
		return r, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := conformance.ReadJSON(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; 'run --json FILE' writes one", path, err)
	}
	return r, nil
}

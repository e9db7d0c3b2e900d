// Command sluice runs TCP stacks outside the kernel, looks into a running
// daemon, and judges stacks.
//
// Exit status: 0 for success, 1 if what was asked for failed, 2 for wrong usage.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/config"
)

func main() {
	os.Exit(execute(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// execute runs one command line and returns the exit status.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	var s interface {
		Unwrap() error
		ExitStatus() int
	}
	if errors.As(err, &s) {
		if cause := s.Unwrap(); cause != nil {
			fmt.Fprintln(stderr, "sluice:", cause)
		}
		return s.ExitStatus()
	}
	// What cobra itself says is about the command line.
	fmt.Fprintf(stderr, "sluice: %v\nTry 'sluice --help'.\n", err)
	return 2
}

// statusError ends the program with a status. err may be nil if everything has
// been said.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.status)
	}
	return e.err.Error()
}

func (e *statusError) Unwrap() error { return e.err }

func (e *statusError) ExitStatus() int { return e.status }

// failed says that what was asked for did not work.
func failed(err error) error { return &statusError{1, err} }

// misused says that it was asked for in the wrong way.
func misused(format string, args ...any) error {
	return &statusError{2, fmt.Errorf(format, args...)}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "sluice",
		Short:         "TCP outside the kernel",
		Long:          "Sluice runs TCP stacks outside the kernel.\n\nTo see one at work, without any set-up:  sluice run",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, args []string) error { return cmd.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(runCommand(), checkCommand(), flowsCommand(), simCommand(), bridgeCommand(), conformCommand(), drillCommand(), versionCommand())
	return root
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			fmt.Fprintf(cmd.OutOrStdout(), "sluice %s %s %s/%s\n", config.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}
}

// Package command is the command line of the conformance suite, for whatever
// targets a program has. The program of a stack's author is one line:
//
//	func main() { command.Main(mystack.Target{}) }
//
// and "sluice conform" is the same over the targets of this module.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/conformance"
)

// A Suite is the conformance suite over some targets.
type Suite struct {
	// Targets are what can be judged; there is at least one, and no two have the
	// same name.
	Targets []conformance.Target

	// Default names the target that is judged if the user names none. Empty means
	// the first.
	Default string

	// Program is what users type before "run" and its flags, such as "sluice
	// conform". Reports show it where they tell how to repeat a case. Empty means the
	// name of the running program.
	Program string
}

// Command returns the command "conform", to be put below another. Errors that it
// returns while it runs have the method ExitStatus if they are an [Error], and are about
// the command line if they are not.
func (s Suite) Command() *cobra.Command {
	if s.Program == "" {
		s.Program = filepath.Base(os.Args[0])
	}
	cmd := &cobra.Command{
		Use:   "conform",
		Short: "Judge TCP stacks by the contract and by the RFCs",
		Long: "Conform runs the conformance suite: contract cases look at what callers of a stack see, wire cases at\n" +
			"its packets, opposite a peer that speaks in raw segments. See docs/conformance.md.",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(s.listCommand(), s.explainCommand(), s.runCommand(), s.reportCommand())
	return cmd
}

// Execute runs one command line, without the program's name, and returns the exit
// status: 0 if nothing failed, 1 if something did, 2 for wrong usage.
func (s Suite) Execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if s.Program == "" {
		s.Program = filepath.Base(os.Args[0])
	}
	cmd := s.Command()
	cmd.Use = filepath.Base(os.Args[0])
	cmd.CompletionOptions.HiddenDefaultCmd = true
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	var e *Error
	if errors.As(err, &e) {
		if e.Err != nil {
			fmt.Fprintf(stderr, "%s: %v\n", cmd.Use, e.Err)
		}
		return e.Status
	}
	fmt.Fprintf(stderr, "%s: %v\nTry '%s --help'.\n", cmd.Use, err, s.Program)
	return 2
}

// Main is the main function of a program that judges targets, the first of them
// by default. It does not return.
func Main(targets ...conformance.Target) {
	os.Exit(Suite{Targets: targets}.Execute(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// Error ends the program with a status.
type Error struct {
	Status int
	Err    error // nil if everything has been said
}

// Error implements error.
func (e *Error) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit status %d", e.Status)
	}
	return e.Err.Error()
}

// Unwrap returns e.Err.
func (e *Error) Unwrap() error { return e.Err }

// ExitStatus returns e.Status.
func (e *Error) ExitStatus() int { return e.Status }

// failed says that what was asked for did not work.
func failed(err error) error { return &Error{1, err} }

// misused says that it was asked for in the wrong way.
func misused(format string, args ...any) error { return &Error{2, fmt.Errorf(format, args...)} }

// defaultTarget returns the name of the target that is judged if none is named.
func (s *Suite) defaultTarget() string {
	if s.Default == "" {
		return s.Targets[0].Name()
	}
	return s.Default
}

// names returns the names of all targets.
func (s *Suite) names() (names []string) {
	for _, t := range s.Targets {
		names = append(names, t.Name())
	}
	return names
}

// named returns the target with the given name.
func (s *Suite) named(name string) (conformance.Target, error) {
	for _, t := range s.Targets {
		if t.Name() == name {
			return t, nil
		}
	}
	return nil, fmt.Errorf("no target %q; there are %s", name, strings.Join(s.names(), ", "))
}

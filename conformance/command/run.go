package command

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/conformance"
)

func (s *Suite) runCommand() *cobra.Command {
	var glob, names, family string
	var files outputs
	var seed uint64
	var verbose, packets bool
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run cases against one stack or several",
		Long: "Run runs cases against one stack or several. The exit status is 0 if nothing failed: a deviation that the target\n" +
			"declares, with its reason, is no failure, but passing such a case is. Whatever fails is printed at once, with\n" +
			"its packets and the command that repeats just that.\n\n" +
			"An interrupt ends the run after the cases that have begun; what has a verdict is reported.\n\n" +
			"--json keeps the records; several such files, also of other programs and machines, make one page or one\n" +
			"table with 'report'.",
		Example: "  " + s.Program + " run --target " + strings.Join(s.names(), ",") + " --html page.html\n" +
			"  " + s.Program + " run --case 'rfc9293/MUST-3?' --seed 7 -v",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			targets, err := s.chosen(names)
			if err != nil {
				return misused("--target: %v", err)
			}
			o := conformance.Options{Seed: seed, Packets: packets, Repeat: s.repeat}
			if o.Cases, err = conformance.Select(glob); err != nil {
				return misused("--case: %v; '%s list' has all cases", err, s.Program)
			}
			if o.Family, err = familyNamed(family); err != nil {
				return misused("--family: %v", err)
			}
			if conformance.Planned(o) == 0 {
				return misused("--family: none of the cases runs over %s", family)
			}
			if err := files.check(); err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			p := newProgress(cmd.ErrOrStderr(), targets, conformance.Planned(o), verbose)
			o.Progress = p.record
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			o.Context = ctx
			report := conformance.RunTargets(targets, o)
			p.end()
			if !files.stdout() {
				if err := report.WriteTable(out); err != nil {
					return failed(err)
				}
				if glob == "" {
					if err := conformance.WriteCoverage(out); err != nil {
						return failed(err)
					}
				}
				fmt.Fprintf(out, "target %s, seed %d, %d cases in %v\n", report.Target, report.Seed, len(report.Records),
					time.Duration(report.Seconds*float64(time.Second)).Round(10*time.Millisecond))
			}
			if err := files.write(out, report, nil); err != nil {
				return failed(err)
			}
			if n := conformance.Planned(o) * len(targets); len(report.Records) < n {
				return failed(fmt.Errorf("interrupted: %d of %d cases have a verdict", len(report.Records), n))
			}
			if !report.OK() {
				return &Error{Status: 1}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&names, "target", s.defaultTarget(), `stacks to judge, as "a,b", or "all"; there are `+strings.Join(s.names(), ", "))
	f.StringVar(&glob, "case", "", `only cases that match, as "mirage/*,contract/W?"`)
	f.StringVar(&family, "family", "", "only over ipv4 or ipv6")
	f.Uint64Var(&seed, "seed", 1, "seed of everything random")
	f.BoolVar(&packets, "packets", false, "keep the packets of cases that pass, too, in --json and --html")
	f.BoolVarP(&verbose, "verbose", "v", false, "print every case as it ends")
	files.flags(cmd, "json", "junit", "html", "markdown")
	return cmd
}

// chosen returns the targets that a list of names chooses.
func (s *Suite) chosen(names string) (chosen []conformance.Target, err error) {
	if strings.TrimSpace(names) == "all" {
		return s.Targets, nil
	}
	for name := range strings.SplitSeq(names, ",") {
		name = strings.TrimSpace(name)
		t, err := s.named(name)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(chosen, func(c conformance.Target) bool { return c.Name() == name }) {
			return nil, fmt.Errorf("%s is named twice", name)
		}
		chosen = append(chosen, t)
	}
	return chosen, nil
}

func familyNamed(name string) (conformance.Family, error) {
	switch name {
	case "":
		return conformance.Both, nil
	case conformance.IPv4.String():
		return conformance.IPv4, nil
	case conformance.IPv6.String():
		return conformance.IPv6, nil
	}
	return 0, fmt.Errorf("%q is neither ipv4 nor ipv6", name)
}

// repeat returns the command that runs the case of a record again.
func (s *Suite) repeat(r *conformance.Record) string {
	return fmt.Sprintf("%s run --target %s --case %s --family %s --seed %d", s.Program, quoted(r.Target), quoted(r.ID), r.Family, r.Seed)
}

// quoted returns a word for a shell.
func quoted(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./,:=+", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// progress tells people how far a run is: a line that changes, on a terminal, and
// whatever fails.
type progress struct {
	w        io.Writer
	terminal bool
	verbose  bool
	names    []string
	done     map[string]int
	failed   int
	total    int // of each target
	shown    time.Time
	width    int // of the line that is on the screen
}

func newProgress(w io.Writer, targets []conformance.Target, total int, verbose bool) *progress {
	p := &progress{w: w, terminal: isTerminal(w), verbose: verbose, done: map[string]int{}, total: total}
	for _, t := range targets {
		p.names = append(p.names, t.Name())
	}
	return p
}

func (p *progress) record(r conformance.Record) {
	p.done[r.Target]++
	switch {
	case r.Failed():
		p.failed++
		p.clear()
		fmt.Fprint(p.w, r.Text())
	case p.verbose:
		p.clear()
		who := ""
		if len(p.names) > 1 {
			who = r.Target + " "
		}
		fmt.Fprintf(p.w, "%-12s %s%s/%s (%.3f s)\n", r.Verdict, who, r.ID, r.Family, r.Duration)
	}
	if now := time.Now(); p.terminal && now.Sub(p.shown) > 100*time.Millisecond {
		p.shown = now
		p.clear()
		line := p.line()
		p.width = len(line)
		fmt.Fprint(p.w, line)
	}
}

// line returns how far each target is.
func (p *progress) line() string {
	var parts []string
	for _, n := range p.names {
		parts = append(parts, fmt.Sprintf("%s %d/%d", n, p.done[n], p.total))
	}
	line := strings.Join(parts, "  ")
	if p.failed > 0 {
		line += fmt.Sprintf("  %d failed", p.failed)
	}
	return line
}

// clear takes the line off the screen.
func (p *progress) clear() {
	if p.width > 0 {
		fmt.Fprintf(p.w, "\r%*s\r", p.width, "")
		p.width = 0
	}
}

func (p *progress) end() { p.clear() }

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/conformance/drill"
	"github.com/sluicenet/sluice/conformance/drill/settings"
	"github.com/sluicenet/sluice/conformance/targets"
)

// drillFlags are the flags of "sluice drill".
type drillFlags struct {
	target, match, profile string
	defines, options       []string
	jsonFile, junitFile    string
	pcap                   string
	jobs                   int
	seed                   uint64
	verbose, list          bool
}

// drillCommand returns the command "drill".
func drillCommand() *cobra.Command {
	var f drillFlags
	cmd := &cobra.Command{
		Use:   "drill SCRIPT|DIR...",
		Short: "Run packetdrill scripts",
		Long: "Drill runs packetdrill scripts, on a stack of this program in virtual time or on the kernel's TCP in real\n" +
			"time. A directory stands for all *.pkt files below it, - for standard input. Every script ends in one of\n" +
			"pass, fail with a diagnosis, skip with the feature that is missing, or broken if it cannot be read.\n" +
			"Shell commands in scripts are read as settings and never executed. See docs/drill.md.\n\n" +
			"The exit status is 0 if no script failed or was broken.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 && !f.list {
				return errors.New("drill needs a script or a directory")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.list {
				return listDrill(cmd.OutOrStdout())
			}
			return runDrill(cmd, args, &f)
		},
	}
	p := cmd.Flags()
	p.StringVar(&f.target, "target", "cubic", "stack to judge: cubic, reno, bbr, kernel")
	p.StringVar(&f.match, "match", "strict", "how packets are compared: strict, as packetdrill does, or lenient, for scripts written for another stack")
	p.StringVar(&f.profile, "profile", "auto", "defaults that scripts assume: linux, freebsd, or auto to find out from each script")
	p.StringArrayVarP(&f.defines, "define", "D", nil, "NAME=value of a symbol in scripts; may be repeated")
	p.StringArrayVar(&f.options, "option", nil, "name=value of an option of packetdrill, as tolerance_usecs=10000; may be repeated; those of scripts win")
	p.StringVar(&f.jsonFile, "json", "", "write the verdicts to this file (- for standard output)")
	p.StringVar(&f.junitFile, "junit", "", "write JUnit XML to this file (- for standard output)")
	p.StringVar(&f.pcap, "pcap", "", "write packets to this file, or to a file for each script below this directory")
	p.IntVarP(&f.jobs, "jobs", "j", runtime.GOMAXPROCS(0), "scripts to run at a time, in virtual time")
	p.Uint64Var(&f.seed, "seed", 1, "seed of everything random")
	p.BoolVarP(&f.verbose, "verbose", "v", false, "print every verdict, not only those of scripts that did not pass, and notes")
	p.BoolVar(&f.list, "list", false, "list what scripts may use, and end")
	return cmd
}

// drillScript is a script to run.
type drillScript struct{ name, source string }

func runDrill(cmd *cobra.Command, args []string, f *drillFlags) error {
	target, err := targets.Drill(f.target)
	if err != nil {
		return misused("--target: %v", err)
	}
	o := drill.Options{Target: target, Match: drill.Match(f.match), Seed: f.seed, Args: f.options, Defines: map[string]string{}}
	if o.Match != drill.Strict && o.Match != drill.Lenient {
		return misused("--match: %q is neither strict nor lenient", f.match)
	}
	switch f.profile {
	case "auto":
	case string(settings.Linux), string(settings.FreeBSD):
		o.Profile = settings.Profile(f.profile)
	default:
		return misused("--profile: %q is none of linux, freebsd, auto", f.profile)
	}
	for _, d := range f.defines {
		name, value, ok := strings.Cut(d, "=")
		if !ok || name == "" {
			return misused("--define: %q is not NAME=value", d)
		}
		o.Defines[name] = value
	}
	scripts, err := findScripts(args, cmd.InOrStdin())
	if err != nil {
		return misused("%v", err)
	}
	pcaps, err := pcapFiles(f.pcap, scripts)
	if err != nil {
		return misused("--pcap: %v", err)
	}
	jobs := f.jobs
	if !target.Virtual() || jobs < 1 {
		jobs = 1
	}
	began := time.Now()
	verdicts := drillAll(cmd.Context(), o, scripts, pcaps, jobs, func(v *drill.Verdict) {
		if f.verbose {
			fmt.Fprintf(cmd.ErrOrStderr(), "%v (%v)\n", v, v.Took)
			fmt.Fprint(cmd.ErrOrStderr(), v.Output)
		} else if v.Outcome != drill.Pass {
			short := *v
			short.Notes = nil
			fmt.Fprintln(cmd.ErrOrStderr(), &short)
		}
	})
	report := drillReport{Target: f.target, Match: f.match, Seconds: time.Since(began).Seconds(), Scripts: verdicts}
	report.count()
	out := cmd.OutOrStdout()
	for _, w := range []struct {
		path  string
		write func(io.Writer) error
	}{{f.jsonFile, report.writeJSON}, {f.junitFile, report.writeJUnit}} {
		if w.path == "" {
			continue
		}
		if err := writeReport(w.path, out, w.write); err != nil {
			return failed(err)
		}
	}
	summary := out
	if f.jsonFile == "-" || f.junitFile == "-" {
		summary = cmd.ErrOrStderr()
	}
	report.writeSummary(summary)
	if report.Counts[drill.Fail]+report.Counts[drill.Broken] > 0 {
		return &statusError{status: 1}
	}
	return nil
}

// drillAll runs scripts, so many at a time, and returns the verdicts in their
// order. done is called for each, in that order.
func drillAll(ctx context.Context, o drill.Options, scripts []drillScript, pcaps []string, jobs int, done func(*drill.Verdict)) []*drill.Verdict {
	verdicts := make([]*drill.Verdict, len(scripts))
	var mu sync.Mutex
	next, shown := 0, 0
	finish := func(i int, v *drill.Verdict) {
		mu.Lock()
		defer mu.Unlock()
		verdicts[i] = v
		for shown < len(verdicts) && verdicts[shown] != nil {
			done(verdicts[shown])
			shown++
		}
	}
	var wg sync.WaitGroup
	for range min(jobs, len(scripts)) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				if i >= len(scripts) {
					return
				}
				if ctx.Err() != nil {
					finish(i, &drill.Verdict{Script: scripts[i].name, Target: o.Target.Name(), Match: o.Match, Outcome: drill.Skip, Skipped: "interrupted"})
					continue
				}
				finish(i, drillOne(o, scripts[i], pcaps[i]))
			}
		}()
	}
	wg.Wait()
	return verdicts
}

func drillOne(o drill.Options, s drillScript, pcap string) *drill.Verdict {
	if pcap == "" {
		return drill.Run(&o, s.name, s.source)
	}
	var capture bytes.Buffer
	o.Pcap = &capture
	v := drill.Run(&o, s.name, s.source)
	if err := os.WriteFile(pcap, capture.Bytes(), 0o644); err != nil {
		v.Notes = append(v.Notes, err.Error())
		return v
	}
	v.Pcap = pcap
	return v
}

// findScripts reads the scripts that arguments name.
func findScripts(args []string, stdin io.Reader) ([]drillScript, error) {
	var files []string
	var out []drillScript
	for _, a := range args {
		if a == "-" {
			b, err := io.ReadAll(io.LimitReader(stdin, 2<<20))
			if err != nil {
				return nil, err
			}
			out = append(out, drillScript{"-", string(b)})
			continue
		}
		info, err := os.Stat(a)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			files = append(files, a)
			continue
		}
		before := len(files)
		err = filepath.WalkDir(a, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && strings.HasSuffix(path, ".pkt") {
				files = append(files, path)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		if len(files) == before {
			return nil, fmt.Errorf("there is no *.pkt below %s", a)
		}
		sort.Strings(files[before:])
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		out = append(out, drillScript{f, string(b)})
	}
	return out, nil
}

// pcapFiles names the capture of each script: the file itself if there is one
// script and path is no directory.
func pcapFiles(path string, scripts []drillScript) ([]string, error) {
	out := make([]string, len(scripts))
	if path == "" {
		return out, nil
	}
	info, err := os.Stat(path)
	dir := err == nil && info.IsDir() || strings.HasSuffix(path, "/") || len(scripts) > 1
	if !dir {
		out[0] = path
		return out, nil
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, err
	}
	taken := map[string]int{}
	for i, s := range scripts {
		name := strings.TrimSuffix(strings.Trim(strings.NewReplacer("/", "_", string(filepath.Separator), "_", "..", "_").Replace(s.name), "_"), ".pkt")
		if name == "-" || name == "" {
			name = "stdin"
		}
		if n := taken[name]; n > 0 {
			taken[name]++
			name = fmt.Sprintf("%s-%d", name, n+1)
		} else {
			taken[name] = 1
		}
		out[i] = filepath.Join(path, name+".pcapng")
	}
	return out, nil
}

// listDrill prints what scripts may use.
func listDrill(w io.Writer) error {
	honoured, ignored := settings.Supported()
	fmt.Fprintf(w, "targets: cubic, reno, bbr (virtual time), kernel (Linux, root, real time)\n")
	fmt.Fprintf(w, "matching: strict, lenient\nprofiles: linux, freebsd\n\nsystem calls:\n  %s\n", wrap(drill.Syscalls(), "\n  "))
	var options []string
	for name := range settings.Options {
		options = append(options, "--"+name)
	}
	sort.Strings(options)
	fmt.Fprintf(w, "\noptions:\n  %s\n", wrap(options, "\n  "))
	fmt.Fprintf(w, "\nsysctls that are honoured:\n  %s\n", strings.Join(honoured, "\n  "))
	fmt.Fprintf(w, "\nsysctls that are read and change nothing here, or need the value named in docs/drill.md:\n  %s\n", strings.Join(ignored, "\n  "))
	return nil
}

// wrap joins words into lines of some 100 characters.
func wrap(words []string, newline string) string {
	var b strings.Builder
	length := 0
	for i, w := range words {
		if length+len(w) > 100 {
			b.WriteString(newline)
			length = 0
		} else if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(w)
		length += len(w) + 1
	}
	return b.String()
}

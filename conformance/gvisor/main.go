// Command gvisor runs the conformance suite against gVisor's TCP.
//
// It is a module of its own so that Sluice's stays free of gVisor. The exit status is 0 if
// nothing failed, 1 if something did and 2 for wrong usage, as with "sluice conform run".
package main

import (
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/sluicenet/sluice/conformance"
)

func main() {
	cases := flag.String("case", "", `only cases that match, as "mirage/*,contract/W?"`)
	seed := flag.Uint64("seed", 1, "seed of everything random")
	jsonFile := flag.String("json", "", `write a JSON report to a file, or to "-"`)
	junitFile := flag.String("junit", "", `write JUnit XML to a file, or to "-"`)
	verbose := flag.Bool("v", false, "print every verdict as it comes")
	flag.Parse()
	selected, err := conformance.Select(*cases)
	if err == nil && flag.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	r := conformance.RunTarget(target{}, conformance.Options{Cases: selected, Seed: *seed, Progress: func(r conformance.Record) {
		switch {
		case r.Failed():
			fmt.Fprint(os.Stderr, r.Text())
		case *verbose:
			fmt.Fprintf(os.Stderr, "%-12s %s/%s (%.3f s)\n", r.Verdict, r.ID, r.Family, r.Duration)
		}
	}})
	err = r.WriteTable(os.Stdout)
	for _, f := range []struct {
		path  string
		write func(io.Writer) error
	}{{*jsonFile, r.WriteJSON}, {*junitFile, r.WriteJUnit}} {
		if err == nil && f.path != "" {
			err = writeTo(f.path, f.write)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if err != nil || !r.OK() {
		os.Exit(1)
	}
}

func writeTo(path string, write func(io.Writer) error) error {
	if path == "-" {
		return write(os.Stdout)
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

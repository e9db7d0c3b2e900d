// Command gvisor runs the conformance suite against gVisor's TCP.
//
// It is a module of its own so that Sluice's stays free of gVisor.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/sluicenet/sluice/conformance"
)

func main() {
	cases := flag.String("case", "", "")
	seed := flag.Uint64("seed", 1, "")
	flag.Parse()
	selected, err := conformance.Select(*cases)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	r := conformance.RunTarget(target{}, conformance.Options{Cases: selected, Seed: *seed, Progress: func(r conformance.Record) {
		if r.Failed() {
			fmt.Fprint(os.Stderr, r.Text())
		}
	}})
	r.WriteTable(os.Stdout)
	if !r.OK() {
		os.Exit(1)
	}
}

package conformance_test

import (
	"flag"
	"runtime"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluicenet/sluice/conformance"
	"github.com/sluicenet/sluice/conformance/targets"
)

var everyKernelCase = flag.Bool("kernel", false, "TestTargets runs the wire cases against the kernel too")

// TestTargets holds every stack of this module to every case.
func TestTargets(t *testing.T) {
	for _, target := range targets.All() {
		t.Run(target.Name(), func(t *testing.T) {
			if _, ours := target.(targets.Engine); ours {
				allPass(t, target)
				return
			}
			if target.Name() == "kernel" && runtime.GOOS != "linux" {
				t.Skip("the kernel is a stack on Linux only")
			}
			// The wire takes minutes of real time.
			cases, err := conformance.Select("contract/*")
			if *everyKernelCase {
				cases, err = conformance.Cases(), nil
			}
			if err != nil {
				t.Fatal(err)
			}
			conformance.RunTarget(target, conformance.Options{Cases: cases, Progress: func(r conformance.Record) {
				if r.Failed() {
					t.Error(r.Text())
				}
			}})
		})
	}
}

// allPass is conformance.Run that allows neither a deviation nor a skip, but for what
// a congestion controller does not claim or declares.
func allPass(t *testing.T, target conformance.Target) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent()) // no case leaves a goroutine behind
	cases := conformance.Cases()
	for i := range cases {
		for _, family := range []conformance.Family{conformance.IPv4, conformance.IPv6} {
			if f := cases[i].Family; f != conformance.Both && f != family {
				continue
			}
			want := conformance.Pass
			if cases[i].Needs&^target.Capabilities()&(conformance.LossBased|conformance.Cubic) != 0 {
				want = conformance.Skip
			} else if slices.ContainsFunc(target.Deviations(), func(d conformance.Deviation) bool { return d.Case == cases[i].ID }) {
				want = conformance.Deviates
			}
			if r := conformance.RunCase(target, &cases[i], family, 1, 0); r.Verdict != want {
				t.Error(r.Text())
			}
		}
	}
}

// TestSeeds runs the cases that draw random numbers with other seeds.
func TestSeeds(t *testing.T) {
	cases, err := conformance.Select("contract/loss,contract/W*,robust/*,rfc2018/bogus*,rfc9293/SHLD-14,mirage/s*-wrap*,mirage/partial*")
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range targets.All() {
		if _, ours := target.(targets.Engine); !ours {
			continue
		}
		for seed := uint64(2); seed < 12; seed++ {
			for i := range cases {
				if r := conformance.RunCase(target, &cases[i], conformance.IPv4, seed, 0); r.Verdict != conformance.Pass {
					t.Error(r.Text())
				}
			}
		}
	}
}

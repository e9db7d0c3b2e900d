package command

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/sluicenet/sluice/conformance"
	"github.com/sluicenet/sluice/conformance/targets"
	"github.com/sluicenet/sluice/impl/cubic"
	"github.com/sluicenet/sluice/impl/reno"
)

// ours is the suite over two stacks in virtual time.
func ours() Suite {
	return Suite{
		Targets: []conformance.Target{targets.Engine{Factory: reno.Factory}, targets.Engine{Factory: cubic.Factory}},
		Default: "cubic",
		Program: "judge",
	}
}

// judge runs one command line.
func judge(s Suite, args ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	status = s.Execute(context.Background(), args, &out, &errs)
	return status, out.String(), errs.String()
}

func TestExitStatus(t *testing.T) {
	for _, c := range []struct {
		args     []string
		status   int
		out, err string
	}{
		{nil, 0, "Usage:", ""},
		{[]string{"run", "--help"}, 0, `(default "cubic")`, ""},
		{[]string{"run", "--case", "contract/R2"}, 0, "target cubic, seed 1, 2 cases", ""},
		{[]string{"run", "--case", "contract/R2", "--target", "kernel"}, 2, "", `--target: no target "kernel"; there are reno, cubic`},
		{[]string{"run", "--frob"}, 2, "", "Try 'judge --help'"},
		{[]string{"frob"}, 2, "", `unknown command "frob"`},
		{[]string{"explain", "nothing"}, 2, "", "'judge list' have them all"},
	} {
		status, out, errs := judge(ours(), c.args...)
		if status != c.status || !strings.Contains(out, c.out) || !strings.Contains(errs, c.err) {
			t.Errorf("%v: status %d, want %d; output %q, want %q; errors %q, want %q", c.args, status, c.status, out, c.out, errs, c.err)
		}
	}
}

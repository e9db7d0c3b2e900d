package command

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
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

// TestReports runs two targets, in one family, and merges what they wrote with what
// another run wrote.
func TestReports(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	status, out, errs := judge(ours(), "run", "--target", "all", "--case", "contract/R*", "--family", "ipv6", "--seed", "7", "--packets", "--json", at("a.json"), "--junit", at("a.xml"))
	if status != 0 || !strings.Contains(out, "target reno,cubic, seed 7") {
		t.Fatalf("status %d\n%s%s", status, out, errs)
	}
	if status, _, errs := judge(ours(), "run", "--case", "contract/R2", "--json", at("b.json")); status != 0 {
		t.Fatalf("status %d, %s", status, errs)
	}
	status, out, errs = judge(ours(), "report", at("a.json"), at("b.json"), "--columns", "absent,reno", "--json", "-", "--html", at("p.html"), "--markdown", at("p.md"))
	if status != 0 {
		t.Fatalf("status %d, %s", status, errs)
	}
	r, err := conformance.ReadJSON(strings.NewReader(out))
	if err != nil {
		t.Fatalf("standard output is not the records alone: %v", err)
	}
	seen := map[string]int{}
	for _, rec := range r.Records {
		seen[rec.Target+" "+rec.ID+" "+rec.Family]++
		if rec.Clause == "" || len(rec.Requirements) == 0 || rec.Level != "contract" {
			t.Errorf("an incomplete record: %+v", rec)
		}
		if rec.ID == "contract/R2" && rec.Target == "cubic" {
			if rec.Seed != 1 || rec.Repeat != "judge run --target cubic --case contract/R2 --family "+rec.Family+" --seed 1" {
				t.Errorf("the later run does not count, or cannot be repeated: %+v", rec)
			}
		} else if rec.Seed != 7 || len(rec.Packets) == 0 || rec.Family != "ipv6" {
			t.Errorf("not as asked for: %+v", rec)
		}
	}
	for k, n := range seen {
		if n != 1 {
			t.Errorf("%d records of %s", n, k)
		}
	}
	if seen["cubic contract/R2 ipv4"] != 1 || seen["reno contract/R1 ipv6"] != 1 || len(r.Targets) != 2 {
		t.Errorf("records %v, targets %v", seen, r.Targets)
	}
	for name, want := range map[string]string{"p.html": "<!DOCTYPE html>", "p.md": "| absent | not run |", "a.xml": `<testsuite name="reno.contract"`} {
		b, err := os.ReadFile(at(name))
		if err != nil || !strings.Contains(string(b), want) {
			t.Errorf("%s: %v, no %q", name, err, want)
		}
	}
	if err := os.WriteFile(at("bad.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args   []string
		status int
		err    string
	}{
		{[]string{"report"}, 2, "which files?"},
		{[]string{"report", at("none.json")}, 1, "no such file"},
		{[]string{"report", at("bad.json")}, 1, "it has no records; 'run --json FILE' writes one"},
		{[]string{"report", at("a.json"), "--html", at("no/p.html")}, 1, "make its directory first"},
		{[]string{"run", "--json", "-", "--html", "-"}, 2, "give each a file of its own"},
		{[]string{"run", "--family", "ipx"}, 2, "neither ipv4 nor ipv6"},
		{[]string{"run", "--target", "reno,reno"}, 2, "named twice"},
		{[]string{"list", "--requirements", "--case", "x"}, 2, "give one of them"},
	} {
		if status, _, errs := judge(ours(), c.args...); status != c.status || !strings.Contains(errs, c.err) {
			t.Errorf("%v: status %d, want %d; %q, want %q", c.args, status, c.status, errs, c.err)
		}
	}
}

func TestExplain(t *testing.T) {
	for id, want := range map[string][]string{
		"MUST-34":           {"rfc9293/MUST-34  MUST", "html#section-3.8.6", "A window that shrinks is borne"},
		"R3":                {"contract/R3  promise", "contract/R3-local", "contract/C5-unread"},
		"MUST-51":           {"cannot be observed: the contract has no source routes"},
		"rfc5961":           {"rfc5961/7-limit  SHOULD", "rfc5961/3-rst-in-window", "rfc5961/ack-war"},
		"RFC 5961":          {"rfc5961/7-limit  SHOULD"},
		"mirage/pmtud":      {"Packet too big makes packets smaller"},
		"contract/R3-local": {"A local close ends sending only"},
	} {
		status, out, errs := judge(ours(), "explain", id)
		if status != 0 {
			t.Errorf("explain %s: status %d, %s", id, status, errs)
		}
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("explain %s: no %q in\n%s", id, w, out)
			}
		}
	}
	s := Suite{Targets: []conformance.Target{targets.Kernel{}}, Program: "judge"}
	if _, out, _ := judge(s, "explain", "contract/K-custom"); !strings.Contains(out, "kernel: skipped, for it lacks") && !strings.Contains(out, "kernel: deviates: ") {
		t.Errorf("explain does not tell who deviates:\n%s", out)
	}
}

func TestListJSON(t *testing.T) {
	var cases struct {
		Cases []struct {
			ID, Clause, Level             string
			Families, Needs, Requirements []string
		}
	}
	_, out, _ := judge(ours(), "list", "--json")
	if err := json.Unmarshal([]byte(out), &cases); err != nil || len(cases.Cases) != len(conformance.Cases()) {
		t.Errorf("list --json: %v, %d cases", err, len(cases.Cases))
	}
	var reqs struct {
		Coverage []struct {
			Kind                     string
			All, Observable, Covered int
		}
		Requirements []struct {
			ID, Level, Unobservable string
			Cases                   []string
		}
	}
	_, out, _ = judge(ours(), "list", "--requirements", "--json")
	if err := json.Unmarshal([]byte(out), &reqs); err != nil || len(reqs.Requirements) != len(conformance.Requirements()) {
		t.Errorf("list --requirements --json: %v, %d requirements", err, len(reqs.Requirements))
	}
	all := 0
	for _, c := range reqs.Coverage {
		all += c.All
	}
	if all != len(reqs.Requirements) {
		t.Errorf("the counts are of %d requirements, and there are %d", all, len(reqs.Requirements))
	}
	if _, out, _ = judge(ours(), "list", "--requirements"); !strings.Contains(out, "cannot be observed:\n") || !strings.Contains(out, "RFC 9293, MUST and MUST NOT:") {
		t.Errorf("list --requirements: %s", out)
	}
}

func TestQuoted(t *testing.T) {
	for in, want := range map[string]string{"rfc9293/MUST-1": "rfc9293/MUST-1", "": "''", "a b": "'a b'", "it's": `'it'\''s'`, "2^31": "'2^31'"} {
		if got := quoted(in); got != want {
			t.Errorf("%q becomes %s, want %s", in, got, want)
		}
	}
}

// What a terminal shows is taken away before anything else is written.
func TestProgress(t *testing.T) {
	var b bytes.Buffer
	p := newProgress(&b, ours().Targets, 2, false)
	p.terminal = true
	p.record(conformance.Record{Target: "cubic", Verdict: conformance.Pass})
	if b.String() != "reno 0/2  cubic 1/2" {
		t.Errorf("%q", b.String())
	}
	p.record(conformance.Record{Target: "reno", ID: "x/y", Verdict: conformance.Fail})
	p.end()
	if out := b.String(); !strings.Contains(out, "\r                   \rfail x/y") || p.failed != 1 {
		t.Errorf("%q", out)
	}
}

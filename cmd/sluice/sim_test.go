package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluicenet/sluice/sim"
)

func simulate(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = execute(context.Background(), append([]string{"sim"}, args...), &out, &errs)
	return status, out.String(), errs.String()
}

func TestSimRun(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	run := func(n string, seed string) {
		status, out, errs := simulate(t, "run", "lossy-radio", "--set", "duration=10s", "--set", "warmup=0s", "--seed", seed,
			"--plot", file(n+".svg"), "--pcap", file(n+".pcapng"), "--csv", file(n+".csv"), "--drops", file(n+"-drops.csv"))
		if status != 0 || !strings.Contains(out, "download") || !strings.Contains(out, "gilbert") {
			t.Fatalf("status %d: %s%s", status, out, errs)
		}
	}
	run("1", "5")
	run("2", "5")
	run("3", "6")
	for _, suffix := range []string{".svg", ".pcapng", ".csv", "-drops.csv"} {
		var sums [3][32]byte
		for i, n := range []string{"1", "2", "3"} {
			b, err := os.ReadFile(file(n + suffix))
			if err != nil || len(b) < 1000 {
				t.Fatalf("%s: %d bytes, %v", suffix, len(b), err)
			}
			sums[i] = sha256.Sum256(b)
		}
		if sums[0] != sums[1] || sums[0] == sums[2] {
			t.Errorf("%s: the same seed must give the same bytes, and another others", suffix)
		}
	}
}

func TestSimJSON(t *testing.T) {
	status, out, errs := simulate(t, "run", "tail-loss", "--json")
	var r sim.Report
	if err := json.Unmarshal([]byte(out), &r); status != 0 || err != nil || r.Scenario != "tail-loss" || !r.Flows[0].Complete || r.Drops["list"] != 3 {
		t.Errorf("status %d, %v: %s%s", status, err, out, errs)
	}
}

func TestSimMatrix(t *testing.T) {
	file := filepath.Join(t.TempDir(), "m.csv")
	status, out, errs := simulate(t, "matrix", "one-flow", "--set", "duration=12s", "--vary", "hosts.sender.congestion=reno,cubic", "--seeds", "1-2,9", "--csv", file)
	b, err := os.ReadFile(file)
	if status != 0 || err != nil || strings.Count(string(b), "\n") != 7 || strings.Count(out, "\n") != 3 {
		t.Errorf("status %d, %v: %s%s\n%s", status, err, out, errs, b)
	}
}

func TestSimList(t *testing.T) {
	status, out, _ := simulate(t, "list")
	if status != 0 || strings.Count(out, "\n") < 12 || !strings.Contains(out, "bufferbloat") {
		t.Errorf("status %d: %s", status, out)
	}
	if status, out, _ := simulate(t, "list", "--show", "policer"); status != 0 || !strings.Contains(out, "policer: {rate: 10Mbit") {
		t.Errorf("status %d: %s", status, out)
	}
	if status, out, _ := simulate(t, "list", "--keys"); status != 0 || !strings.Contains(out, "links[].loss_every") {
		t.Errorf("status %d: %s", status, out)
	}
}

func TestSimMistakes(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("version: 1\nduration: 5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"run", "buferbloat"}, 2, `did you mean "bufferbloat"?`},
		{[]string{"run", "./none.yaml"}, 1, "none.yaml"},
		{[]string{"run", bad}, 1, `bad.yaml:2: duration: "5" has no unit`},
		{[]string{"run"}, 2, "1 arg"},
		{[]string{"run", "one-flow", "--pcap-at", "x"}, 2, "--pcap does not say"},
		{[]string{"run", "one-flow", "--set", "links.botleneck.rate=1Mbit"}, 1, `did you mean "bottleneck"?`},
		{[]string{"run", "tail-loss", "--pcap", filepath.Join(t.TempDir(), "x"), "--pcap-at", "none"}, 1, `no link "none"`},
		{[]string{"matrix", "one-flow", "--vary", "x"}, 2, "KEY=VALUE"},
		{[]string{"matrix", "one-flow", "--seeds", "9-1"}, 2, "not a seed"},
		{[]string{"list", "--show", "x"}, 2, "no built-in scenario"},
	} {
		if status, out, errs := simulate(t, c.args...); status != c.status || !strings.Contains(errs, c.want) {
			t.Errorf("%v: status %d: %s%s; want %d and %q", c.args, status, out, errs, c.status, c.want)
		}
	}
}

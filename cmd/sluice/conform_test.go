package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// conform runs "sluice conform" with args.
func conform(args ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	status = execute(context.Background(), append([]string{"conform"}, args...), &out, &errs)
	return status, out.String(), errs.String()
}

func TestConformListAndExplain(t *testing.T) {
	status, out, _ := conform("list")
	if status != 0 || !strings.Contains(out, "contract/R1 ") || !strings.Contains(out, "mirage/pmtud ") || !strings.Contains(out, " cases\n") {
		t.Errorf("list: status %d\n%s", status, out)
	}
	status, out, _ = conform("list", "--case", "contract/K?")
	if status != 0 || strings.Count(out, "\n") != 5 {
		t.Errorf("list of contract/K?: status %d\n%s", status, out)
	}
	status, out, _ = conform("explain", "rfc9293/MUST-34")
	if status != 0 || !strings.Contains(out, "RFC 9293 section 3.8.6") || !strings.Contains(out, "IPv4 and IPv6") {
		t.Errorf("explain: status %d\n%s", status, out)
	}
	// A requirement stands for the cases that prove it, as the README has it.
	for id, cases := range map[string][]string{"R3": {"contract/R3", "contract/C5-unread"}, "MUST-34": {"rfc9293/MUST-34"}} {
		status, out, errs := conform("explain", id)
		if status != 0 {
			t.Errorf("explain %s: status %d, %s", id, status, errs)
		}
		for _, c := range cases {
			if !strings.Contains(out, c) {
				t.Errorf("explain %s does not tell of %s:\n%s", id, c, out)
			}
		}
	}
	status, _, errs := conform("explain", "must-34")
	if status != 2 || !strings.Contains(errs, "rfc9293/MUST-34") {
		t.Errorf("explain of an unknown case: status %d, %s", status, errs)
	}
}

func TestConformRun(t *testing.T) {
	dir := t.TempDir()
	j, x := filepath.Join(dir, "r.json"), filepath.Join(dir, "r.xml")
	status, out, errs := conform("run", "--target", "reno", "--case", "contract/R*,mirage/p*-ack*", "--json", j, "--junit", x, "--seed", "7", "-v")
	if status != 0 || !strings.Contains(out, "target reno, seed 7") || !strings.Contains(errs, "mirage/partial-ack-mid-segment/ipv6") {
		t.Errorf("run: status %d\n%s\n%s", status, out, errs)
	}
	b, err := os.ReadFile(j)
	if err != nil {
		t.Fatal(err)
	}
	var r struct {
		Target  string
		Seed    uint64
		Counts  map[string]int
		Records []struct{ ID, Verdict string }
	}
	if err := json.Unmarshal(b, &r); err != nil || r.Target != "reno" || r.Seed != 7 || r.Counts["pass"] != len(r.Records) || len(r.Records) < 10 {
		t.Errorf("JSON: %v, %+v", err, r)
	}
	f, err := os.Open(x)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for d := xml.NewDecoder(f); ; {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("JUnit: %v", err)
		}
	}
	for _, args := range [][]string{{"run", "--target", "nobody"}, {"run", "--case", "none/*"}, {"run", "--case", "["}, {"run", "extra"}, {"explain"}, {"list", "--case", "["}} {
		if status, _, errs := conform(args...); status != 2 || errs == "" {
			t.Errorf("conform %v: status %d, %q", args, status, errs)
		}
	}
	if status, _, _ := conform("run", "--target", "reno", "--case", "contract/R2", "--json", filepath.Join(dir, "no", "dir")); status != 1 {
		t.Errorf("a report that cannot be written: status %d", status)
	}
}

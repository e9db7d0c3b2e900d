package checks

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sluicenet/sluice/conformance"
)

// TestRequirements holds docs/rfc9293.md to the RFC's list of requirements and to
// the suite: each has its row, what is kept has a case that exists and that cites
// it, or a reason, and what the suite cites is not said to be missing.
func TestRequirements(t *testing.T) {
	var want []string
	for _, g := range []struct {
		level string
		n     int
	}{{"MUST", 69}, {"SHLD", 31}, {"MAY", 18}, {"REC", 1}} {
		for i := range g.n {
			want = append(want, fmt.Sprintf("%s-%d", g.level, i+1))
		}
	}
	cites := map[string][]string{} // requirement: cases
	id := regexp.MustCompile(`\b(MUST|SHLD|MAY|REC)-\d+\b`)
	for _, c := range conformance.Cases() {
		for _, r := range id.FindAllString(c.Source+" "+path.Base(c.ID), -1) {
			cites[r] = append(cites[r], c.ID)
		}
	}
	b, err := os.ReadFile(filepath.Join(root, "docs/rfc9293.md"))
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile(`(?m)^\| ((?:MUST|SHLD|MAY|REC)-\d+) \| [\d., ]+ \| (yes|no|-) \| (.+) \|$`)
	name := regexp.MustCompile("^`([^`/]+/[^`]+)`$")
	var got []string
	for _, m := range row.FindAllStringSubmatch(string(b), -1) {
		r, kept, how := m[1], m[2], m[3]
		got = append(got, r)
		n := name.FindStringSubmatch(how)
		switch {
		case n != nil && kept != "yes":
			t.Errorf("%s has a case, and is said not to be kept", r)
		case n != nil && !slices.Contains(cites[r], n[1]):
			t.Errorf("%s: the case %s does not exist, or does not cite it", r, n[1])
		case n == nil && len(cites[r]) > 0:
			t.Errorf("%s: has no case in the table, and the suite has %s", r, strings.Join(cites[r], ", "))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d rows, want %d in the RFC's order", len(got), len(want))
	}
}

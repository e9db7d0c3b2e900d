package checks

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// contract has the ids of the promises that every stack makes.
const contract = "R1 R2 R3 R4 W1 W2 W3 W4 W5 V1 N1 N2 N3 N4 C1 C2 C3 C4 C5 D1 O1 O2 K1 K2 K3 K4 L1 L2 L3 U1 X1 X2"

// TestContractIDs: each promise stands in the doc comment of who keeps it, and has
// a conformance case of its name.
func TestContractIDs(t *testing.T) {
	text := func(dir string) string {
		names, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %d files, %v", dir, len(names), err)
		}
		var all strings.Builder
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(b)
		}
		return all.String()
	}
	docs, cases := text("api"), text("conformance")
	for _, id := range strings.Fields(contract) {
		// Such as "(W4)" and "(R1, R2)". A promise may have several cases: contract/O2-refused.
		if !regexp.MustCompile(`//.*\b` + id + `\b`).MatchString(docs) {
			t.Errorf("no doc comment in api has the id %s", id)
		}
		if !regexp.MustCompile(`"contract/` + id + `["-]`).MatchString(cases) {
			t.Errorf("no conformance case is named contract/%s", id)
		}
	}
}

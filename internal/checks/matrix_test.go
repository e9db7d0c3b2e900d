package checks

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/sluicenet/sluice/conformance"
)

// The published matrix has the cases that the suite has, neither more nor fewer.
func TestMatrixIsFresh(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root, "docs/conformance-matrix.md"))
	if err != nil {
		t.Fatal(err)
	}
	published := map[string]bool{}
	for _, m := range regexp.MustCompile("`([^`/ ]+/[^` ]+)`").FindAllStringSubmatch(string(b), -1) {
		if m[1] != ".ci/matrix" {
			published[m[1]] = true
		}
	}
	var missing []string
	for _, c := range conformance.Cases() {
		if !published[c.ID] {
			missing = append(missing, c.ID)
		}
		delete(published, c.ID)
	}
	var gone []string
	for id := range published {
		gone = append(gone, id)
	}
	slices.Sort(gone)
	if len(missing)+len(gone) > 0 {
		t.Errorf("docs/conformance-matrix.md is stale: it lacks %q and has %q, which are no cases; run .ci/matrix", missing, gone)
	}
}

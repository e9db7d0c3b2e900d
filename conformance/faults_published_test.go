package conformance

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestFaultsPublished sees that the page of the faults has been written since the
// table of them last changed: it has each of them, each case that is named for it,
// and says how many there are.
func TestFaultsPublished(t *testing.T) {
	page, err := os.ReadFile("../docs/conformance-faults.md")
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), "../impl/engine/fault/table.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	has := func(s string) {
		if !strings.Contains(string(page), s) {
			t.Errorf("docs/conformance-faults.md does not have %s; it says itself how it is written", s)
		}
	}
	n := 0
	ast.Inspect(file, func(node ast.Node) bool {
		row, ok := node.(*ast.CompositeLit)
		if !ok || row.Type != nil || len(row.Elts) != 4 {
			return true
		}
		n++
		var text [4]string
		for i, e := range row.Elts {
			if text[i], err = strconv.Unquote(e.(*ast.BasicLit).Value); err != nil {
				t.Fatal(err)
			}
		}
		has("`" + text[0] + "`")
		for _, id := range strings.Split(text[3], ", ") {
			has("`" + id + "`")
		}
		return false
	})
	has(fmt.Sprintf("| faults of the engine | %d |\n", n))
	has(fmt.Sprintf("| cases | %d |\n", len(Cases())))
}

package mocks_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/mocks"
)

var (
	_ api.Stack     = (*mocks.Stack)(nil)
	_ api.Flow      = (*mocks.Flow)(nil)
	_ api.Keepalive = (*mocks.Keepalive)(nil)
	_ link.Link     = (*mocks.Link)(nil)
	_ cc.Factory    = (*mocks.Factory)(nil)
	_ cc.Controller = (*mocks.Controller)(nil)
	_ clock.Clock   = (*mocks.Clock)(nil)
	_ clock.Timer   = (*mocks.Timer)(nil)
	_ clock.Waiter  = (*mocks.Waiter)(nil)
)

// TestFresh generates the mocks anew and compares.
func TestFresh(t *testing.T) {
	if testing.Short() {
		t.Skip("builds mockery; not with -short")
	}
	// Where its sources cannot be had this is no test of the mocks.
	if out, err := goTool(t, "download"); err != nil {
		if os.Getenv("SLUICE_REQUIRE_NET") == "1" {
			t.Fatalf("mockery cannot be had: %v\n%s", err, out)
		}
		t.Skipf("mockery cannot be had: %v\n%s", err, out)
	}
	config, err := os.ReadFile("../.mockery.yml")
	if err != nil {
		t.Fatal(err)
	}
	module := t.TempDir() // mockery wants its output to be in a module
	if err := os.WriteFile(filepath.Join(module, "go.mod"), []byte("module github.com/sluicenet/sluice\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(module, "mocks")
	old, new := "\ndir: mocks\n", "\ndir: "+filepath.ToSlash(dir)+"\n"
	if !strings.Contains(string(config), old) {
		t.Fatalf("no line %q in .mockery.yml", strings.TrimSpace(old))
	}
	file := filepath.Join(t.TempDir(), "mockery.yml")
	if err := os.WriteFile(file, []byte(strings.Replace(string(config), old, new, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := goTool(t, "run", "--config", file); err != nil {
		t.Fatalf("mockery: %v\n%s", err, out)
	}
	fresh, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(fresh) == 0 {
		t.Fatalf("mockery has generated nothing: %v", err)
	}
	generated := map[string]bool{}
	for _, f := range fresh {
		name := filepath.Base(f)
		generated[name] = true
		want, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(name)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is stale: run go tool -modfile=tools/go.mod mockery", name)
		}
	}
	present, _ := filepath.Glob("*.go")
	for _, name := range present {
		if name != "doc.go" && !strings.HasSuffix(name, "_test.go") && !generated[name] {
			t.Errorf("%s is not generated any more", name)
		}
	}
}

func goTool(t *testing.T, what string, args ...string) ([]byte, error) {
	t.Helper()
	if what == "download" {
		args = []string{"mod", "download", "-modfile=tools/go.mod"}
	} else {
		args = append([]string{"tool", "-modfile=tools/go.mod", "mockery"}, args...)
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = ".."
	return cmd.CombinedOutput()
}

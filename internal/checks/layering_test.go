package checks

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/sluicenet/sluice"

// root is the top of the repository, as seen from this package.
const root = "../.."

// pkg is what go list says about a package, its tests left out.
type pkg struct {
	ImportPath, Dir string
	Standard        bool
	GoFiles         []string
	Imports, Deps   []string
}

// list returns the module's packages on an operating system.
func list(t *testing.T, goos string) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Dir,Standard,GoFiles,Imports,Deps", "./...")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOOS="+goos, "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOWORK=off")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	var pkgs []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if len(p.GoFiles) > 0 {
			pkgs = append(pkgs, p)
		}
	}
	if len(pkgs) < 5 {
		t.Fatalf("go list found %d packages", len(pkgs))
	}
	return pkgs
}

// ours returns the path of a package within the module, and false for others'.
func ours(importPath string) (string, bool) {
	if importPath == module {
		return ".", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

// standard reports whether an import path is of the standard library.
func standard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".")
}

// A rule says what a package may import beside the standard library. Patterns are
// paths within the module, or whole import paths of other modules; "x/..."
// is x and everything below it. The first rule that matches a package counts.
type rule struct {
	pkg string
	may []string
}

var rules = []rule{
	{"api", nil},
	{"api/clock", nil},
	{"api/cc", []string{"api/clock"}},
	{"api/link", []string{"api"}},
	{"api/netconn", []string{"api"}},

	// The engine knows neither controllers nor drivers nor configurations.
	{"impl/engine/...", []string{"api/...", "impl/engine/...", "internal/inet"}},
	{"impl/kernel/...", []string{"api/...", "impl/kernel/...", "golang.org/x/sys/unix", "golang.org/x/sys/windows"}},
	// Any other package of impl is a congestion controller.
	{"impl/...", []string{"api/cc"}},

	{"link/internal/tuntap", []string{"api/...", "link/internal/virtio", "link/internal/pages", "golang.org/x/sys/unix"}},
	{"link/internal/pages", []string{"api"}},
	{"link/internal/virtio", []string{"api/link"}},
	{"link/internal/...", nil},
	{"link/tun/setup/...", []string{"api/...", "github.com/vishvananda/netlink/...", "github.com/vishvananda/netns", "golang.org/x/sys/unix"}},
	{"link/tun/...", []string{"api/...", "link/internal/...", "golang.org/x/sys/unix"}},
	{"link/packet", []string{"api/...", "link/internal/...", "golang.org/x/sys/unix"}},
	{"link/pcap", []string{"api/...", "link/internal/...", "github.com/google/gopacket/..."}},
	{"link/sim", []string{"api/...", "link/internal/...", "link/impair"}},
	{"link/gso", []string{"api/...", "internal/inet"}},
	{"link/...", []string{"api/...", "link/internal/..."}},

	// The suite judges any stack, so only what makes targets may know ours.
	{"conformance/command/...", []string{"conformance/...", "github.com/spf13/cobra"}},
	{"conformance/targets/kernelsock", []string{"conformance/drill/sock", "golang.org/x/sys/unix"}},
	{"conformance/targets/...", []string{"api/...", "impl/...", "link/...", "conformance/...", "config/...",
		"github.com/vishvananda/netlink/...", "golang.org/x/sys/unix"}},
	{"conformance/...", []string{"api/...", "link/...", "conformance/...", "github.com/google/gopacket/..."}},

	{"config/...", []string{"api/...", "impl/...", "link/...", "config/...",
		"github.com/spf13/viper", "github.com/spf13/pflag", "github.com/go-viper/mapstructure/v2", "go.yaml.in/yaml/v3"}},
	{"sim/...", []string{"api/...", "impl/...", "link/...", "config/...", "sim/..."}},
	{"bridge/...", []string{"api/...", "impl/...", "link/...", "config/...", "sim/...", "bridge/...", "golang.org/x/sys/unix", "github.com/vishvananda/netlink/..."}},
	{"mocks", []string{"api/...", "github.com/stretchr/testify/..."}},
	{"internal/inet", nil},
	{"internal/...", []string{"api/...", "impl/...", "link/...", "pgregory.net/rapid"}},
	{"cmd/...", []string{"..."}},
	{"examples/conform-driver", []string{"api/...", "impl/...", "conformance"}},
	{"examples/...", []string{"api/...", "impl/...", "link/...", "config/..."}},
	{"test/...", []string{"..."}},
}

func matches(pattern, importPath string) bool {
	prefix, all := strings.CutSuffix(pattern, "...")
	if !all {
		return pattern == importPath
	}
	return strings.HasPrefix(importPath+"/", prefix)
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"api", "api", true}, {"api", "api/cc", false}, {"api/...", "api", true}, {"api/...", "api/cc", true},
		{"api/...", "apix", false}, {"...", "cmd/sluice", true}, {"impl/...", "impl/reno", true}, {"impl/reno", "impl/renoir", false},
	} {
		if matches(c.pattern, c.path) != c.want {
			t.Errorf("matches(%q, %q) is %v", c.pattern, c.path, !c.want)
		}
	}
}

// violations returns what is wrong with the imports of a package.
func violations(p pkg) []string {
	self, _ := ours(p.ImportPath)
	i := slices.IndexFunc(rules, func(r rule) bool { return matches(r.pkg, self) })
	if i < 0 {
		return []string{self + ": no rule says what this package may import; add one"}
	}
	var bad []string
	for _, imp := range p.Imports {
		if standard(imp) {
			continue
		}
		name := imp
		if own, ok := ours(imp); ok {
			name = own
		}
		if !slices.ContainsFunc(rules[i].may, func(pattern string) bool { return matches(pattern, name) }) {
			bad = append(bad, self+" imports "+name+", and may import only "+strings.Join(append([]string{"std"}, rules[i].may...), ", "))
		}
		if strings.HasPrefix(name, "cmd/") && !strings.HasPrefix(self, "cmd/") {
			bad = append(bad, self+" imports "+name+": nothing below cmd does")
		}
	}
	return bad
}

// The layers of docs/design.md.
func TestLayers(t *testing.T) {
	for _, goos := range []string{"linux", "darwin", "windows"} {
		for _, p := range list(t, goos) {
			for _, v := range violations(p) {
				t.Errorf("%s: %s", goos, v)
			}
		}
	}
}

// The rules catch what they are for.
func TestLayersCatch(t *testing.T) {
	for _, c := range []struct{ from, to string }{
		{"api", "api/clock"}, {"api/cc", "api"}, {"impl/reno", "api"}, {"impl/reno", "impl/cubic"},
		{"impl/engine", "impl/reno"}, {"impl/engine/tcp", "config"}, {"impl/engine", "link/pipe"},
		{"link/pipe", "impl/engine"}, {"link/sim", "link/pipe"}, {"conformance", "impl/engine"},
		{"config", "cmd/sluice"}, {"impl/kernel", "config"}, {"unheard/of", "api"},
	} {
		p := pkg{ImportPath: module + "/" + c.from, Imports: []string{"fmt", module + "/" + c.to}}
		if len(violations(p)) == 0 {
			t.Errorf("%s may import %s", c.from, c.to)
		}
	}
	for _, heavy := range heavyModules {
		for _, from := range []string{"api", "impl/engine", "impl/reno", "link/pipe", "link/sim"} {
			if p := (pkg{ImportPath: module + "/" + from, Imports: []string{heavy}}); len(violations(p)) == 0 {
				t.Errorf("%s may import %s", from, heavy)
			}
		}
	}
	if v := violations(pkg{ImportPath: module + "/impl/reno", Imports: []string{"fmt", module + "/api/cc"}}); v != nil {
		t.Error(v)
	}
}

var heavyModules = []string{
	"github.com/spf13/viper", "github.com/spf13/cobra", "github.com/google/gopacket",
	"github.com/vishvananda/netlink", "github.com/stretchr/testify", "go.yaml.in/yaml/v3",
}

// A program that embeds a stack compiles almost nothing but us.
func TestHeavyModulesStayOut(t *testing.T) {
	for _, p := range list(t, "linux") {
		self, _ := ours(p.ImportPath)
		if !slices.ContainsFunc([]string{"api/...", "impl/...", "link/pipe", "link/sim", "link/gso", "link/tun", "link/tap", "link/packet"}, func(pattern string) bool { return matches(pattern, self) }) {
			continue
		}
		for _, dep := range p.Deps {
			for _, heavy := range heavyModules {
				if matches(heavy+"/...", dep) {
					t.Errorf("%s depends on %s", self, dep)
				}
			}
		}
	}
}

// isPure reports whether a package is of the pure machines: those of the engine,
// and every congestion controller.
func isPure(self string) bool {
	switch self {
	case "impl/engine/tcp", "impl/engine/host", "impl/engine/ip", "impl/engine/neigh", "impl/engine/wire":
		return true
	}
	return matches("impl/...", self) && !matches("impl/engine/...", self) && !matches("impl/kernel/...", self)
}

// exceptions are what a pure package may import all the same.
var exceptions = map[string][]string{
	"impl/engine/host": {"sync/atomic"}, // the memory budget is shared by shards
}

var impure = []string{"sync", "sync/atomic", "net", "os", "log", "log/slog", "syscall", "runtime", "context", "unsafe",
	"math/rand", "crypto/rand"}

// The pure machines have no lock, clock, log or I/O; of package time they
// use durations alone.
func TestPureMachines(t *testing.T) {
	found := 0
	for _, p := range list(t, "linux") {
		self, _ := ours(p.ImportPath)
		if !isPure(self) {
			continue
		}
		found++
		for _, imp := range p.Imports {
			if slices.Contains(impure, imp) && !slices.Contains(exceptions[self], imp) {
				t.Errorf("%s imports %s", self, imp)
			}
		}
		for _, name := range p.GoFiles {
			src, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			for _, bad := range impurities(t, path.Join(self, name), src) {
				t.Error(bad)
			}
		}
	}
	if found < 6 {
		t.Errorf("found %d pure packages", found)
	}
}

// impurities returns what a pure machine must not have: clocks, goroutines,
// channels, and random numbers that were not given to it.
func impurities(t *testing.T, name string, src []byte) (bad []string) {
	t.Helper()
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, src, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	local := map[string]string{} // name in this file -> import path
	for _, imp := range file.Imports {
		p := strings.Trim(imp.Path.Value, `"`)
		n := path.Base(p)
		if p == "math/rand/v2" {
			n = "rand"
		}
		if imp.Name != nil {
			n = imp.Name.Name
		}
		local[n] = p
	}
	report := func(n ast.Node, what string) {
		bad = append(bad, fset.Position(n.Pos()).String()+": "+what)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			report(n, "a goroutine")
		case *ast.ChanType, *ast.SelectStmt, *ast.SendStmt:
			report(n, "a channel")
		case *ast.SelectorExpr:
			x, ok := n.X.(*ast.Ident)
			if !ok {
				break
			}
			switch local[x.Name] {
			case "time":
				if !slices.Contains([]string{"Duration", "Nanosecond", "Microsecond", "Millisecond", "Second", "Minute", "Hour"}, n.Sel.Name) {
					report(n, "time."+n.Sel.Name)
				}
			case "math/rand/v2":
				if !slices.Contains([]string{"New", "NewPCG", "NewChaCha8", "Rand", "Source", "PCG", "ChaCha8"}, n.Sel.Name) {
					report(n, "the global rand."+n.Sel.Name)
				}
			case module + "/api/clock":
				if strings.HasPrefix(n.Sel.Name, "New") || n.Sel.Name == "Sleep" {
					report(n, "clock."+n.Sel.Name)
				}
			}
		}
		return true
	})
	return bad
}

func TestImpuritiesCatch(t *testing.T) {
	const src = `package p
import ("time"; tm "time"; "math/rand/v2"; "github.com/sluicenet/sluice/api/clock")
var _ time.Duration = time.Second
var r = rand.New(rand.NewPCG(1, 2))
var n = clock.Never
`
	if bad := impurities(t, "good.go", []byte(src)); bad != nil {
		t.Error(bad)
	}
	for _, line := range []string{
		"var x = time.Now()", "var x = tm.After(1)", "func f() { time.Sleep(1) }", "func f() { go f() }",
		"var x chan int", "var x = rand.Int()", "var x = clock.NewReal()", "var x *time.Timer", "func f() { select {} }",
	} {
		if bad := impurities(t, "bad.go", []byte(src+line)); len(bad) == 0 {
			t.Errorf("%s is let through", line)
		}
	}
}

package checks

import (
	"bytes"
	"go/ast"
	"go/doc"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// files calls f for each file of the repository that a person may have written.
func files(t *testing.T, f func(name string, content []byte)) {
	t.Helper()
	n := 0
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == ".git" {
				return filepath.SkipDir
			}
			return nil
		}
		info, err := d.Info()
		if err != nil || !info.Mode().IsRegular() || info.Size() > 4<<20 {
			return err
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if bytes.IndexByte(content, 0) < 0 { // text
			n++
			rel, _ := filepath.Rel(root, name)
			f(filepath.ToSlash(rel), content)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n < 20 {
		t.Fatalf("found %d files", n)
	}
}

func TestGofmt(t *testing.T) {
	files(t, func(name string, content []byte) {
		if !strings.HasSuffix(name, ".go") {
			return
		}
		formatted, err := format.Source(content)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !bytes.Equal(formatted, content) {
			t.Errorf("%s is not formatted; run gofmt -w", name)
		}
	})
}

// foreign matches the paths of somebody's machine, which mean nothing elsewhere.
// It is put together so that it does not match itself.
var foreign = regexp.MustCompile(`(^|[^A-Za-z0-9._/-])/(` + strings.Join([]string{"work", "root", "home", "Users"}, "|") + `)/[A-Za-z0-9._]`)

func TestNoMachinePaths(t *testing.T) {
	files(t, func(name string, content []byte) {
		for i, line := range strings.Split(string(content), "\n") {
			if foreign.MatchString(line) {
				t.Errorf("%s:%d: a path of one machine: %s", name, i+1, strings.TrimSpace(line))
			}
		}
	})
	for line, want := range map[string]bool{
		"see " + "/work" + "/x": true, "(" + "/home" + "/me)": true, "https://example.org" + "/work" + "/x": false, "/root": false, "net" + "/work" + "/x": false,
	} {
		if foreign.MatchString(line) != want {
			t.Errorf("%q matches: %v", line, !want)
		}
	}
}

// Conflict markers and trailing spaces are slips.
func TestTidyText(t *testing.T) {
	files(t, func(name string, content []byte) {
		if strings.HasSuffix(name, ".sum") || strings.Contains(name, "testdata/") {
			return
		}
		for i, line := range strings.Split(string(content), "\n") {
			if strings.HasPrefix(line, strings.Repeat("<", 7)+" ") || strings.HasPrefix(line, strings.Repeat(">", 7)+" ") {
				t.Errorf("%s:%d: a conflict marker", name, i+1)
			}
		}
		if n := len(content); n > 0 && content[n-1] != '\n' {
			t.Errorf("%s does not end in a newline", name)
		}
	})
}

// Every package says what it is, and every exported identifier outside of tests
// and generated code has a comment.
func TestDocComments(t *testing.T) {
	for _, p := range list(t, "linux") {
		self, _ := ours(p.ImportPath)
		if self == "mocks" {
			continue
		}
		fset := token.NewFileSet()
		var syntax []*ast.File
		grouped := map[*ast.FuncDecl]bool{}
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			syntax = append(syntax, f)
			group(fset, f, grouped)
		}
		d, err := doc.NewFromFiles(fset, syntax, p.ImportPath)
		if err != nil {
			t.Fatal(err)
		}
		missing := func(what, comment string) {
			if strings.TrimSpace(comment) == "" {
				t.Errorf("%s: %s has no doc comment", self, what)
			}
		}
		missing("the package", d.Doc)
		if strings.HasPrefix(self, "cmd/") || strings.HasPrefix(self, "examples/") {
			continue
		}
		for _, f := range d.Funcs {
			missing(f.Name, f.Doc)
		}
		values := func(vs []*doc.Value) {
			for _, v := range vs {
				missing(strings.Join(v.Names, ", "), v.Doc+specComments(v.Decl))
			}
		}
		values(d.Consts)
		values(d.Vars)
		for _, typ := range d.Types {
			missing(typ.Name, typ.Doc)
			values(typ.Consts)
			values(typ.Vars)
			for _, f := range typ.Funcs {
				missing(f.Name, f.Doc)
			}
			for _, m := range typ.Methods {
				if !wellKnown[m.Name] && !grouped[m.Decl] {
					missing(typ.Name+"."+m.Name, m.Doc)
				}
			}
		}
	}
}

// wellKnown are methods that explain themselves.
var wellKnown = map[string]bool{"Error": true, "Unwrap": true, "Is": true, "Timeout": true, "Temporary": true, "String": true,
	"Len": true, "Less": true, "Swap": true, "Push": true, "Pop": true, "UnmarshalText": true, "MarshalText": true}

// group adds to grouped the functions of f that stand directly below one with a
// comment, which speaks for them too.
func group(fset *token.FileSet, f *ast.File, grouped map[*ast.FuncDecl]bool) {
	var last *ast.FuncDecl
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok {
			last = nil
			continue
		}
		if last != nil && fn.Doc == nil && (last.Doc != nil || grouped[last]) &&
			fset.Position(fn.Pos()).Line == fset.Position(last.End()).Line+1 {
			grouped[fn] = true
		}
		last = fn
	}
}

// specComments returns the comments of the single names of a declaration.
func specComments(d *ast.GenDecl) string {
	var b strings.Builder
	for _, s := range d.Specs {
		if v, ok := s.(*ast.ValueSpec); ok {
			b.WriteString(v.Doc.Text())
			b.WriteString(v.Comment.Text())
		}
	}
	return b.String()
}

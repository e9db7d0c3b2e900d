package command

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/conformance"
	"github.com/sluicenet/sluice/conformance/matrix"
)

// outputs are the files that a report is written to. "-" is standard output.
type outputs struct{ json, junit, html, markdown string }

// flags adds the flags for some of the formats.
func (o *outputs) flags(cmd *cobra.Command, formats ...string) {
	f := cmd.Flags()
	for _, name := range formats {
		switch name {
		case "json":
			f.StringVar(&o.json, name, "", "write the records to this file (- for standard output)")
		case "junit":
			f.StringVar(&o.junit, name, "", "write JUnit XML to this file (- for standard output)")
		case "html":
			f.StringVar(&o.html, name, "", "write a page with the matrix of requirements and targets to this file (- for standard output)")
		case "markdown":
			f.StringVar(&o.markdown, name, "", "write that matrix as Markdown to this file (- for standard output)")
		}
	}
}

// stdout reports whether standard output is one of the files, and so has no room for
// anything else.
func (o *outputs) stdout() bool { return slices.Contains(o.paths(), "-") }

// paths returns where reports go, in the order of the flags.
func (o *outputs) paths() (paths []string) {
	for _, p := range []string{o.json, o.junit, o.html, o.markdown} {
		if p != "" {
			paths = append(paths, p)
		}
	}
	return paths
}

// check finds out before a long run whether the files can be written.
func (o *outputs) check() error {
	paths := o.paths()
	for i, p := range paths {
		if slices.Contains(paths[:i], p) {
			return misused("two reports go to %s; give each a file of its own", p)
		}
		if p == "-" {
			continue
		}
		_, err := os.Stat(p)
		fresh := errors.Is(err, fs.ErrNotExist)
		f, err := os.OpenFile(p, os.O_WRONLY|os.O_CREATE, 0o666)
		if errors.Is(err, fs.ErrNotExist) {
			return failed(fmt.Errorf("%w: make its directory first", err))
		} else if err != nil {
			return failed(err)
		}
		f.Close()
		if fresh {
			os.Remove(p)
		}
	}
	return nil
}

// write writes the report to the files. columns are the targets that the matrix
// shows, see [matrix.New].
func (o *outputs) write(out io.Writer, r *conformance.Report, columns []string) error {
	var m *matrix.Matrix
	if o.html != "" || o.markdown != "" {
		m = matrix.New(r, columns)
	}
	for _, f := range []struct {
		path  string
		write func(io.Writer) error
	}{
		{o.json, r.WriteJSON}, {o.junit, r.WriteJUnit},
		{o.html, func(w io.Writer) error { return m.WriteHTML(w) }},
		{o.markdown, func(w io.Writer) error { return m.WriteMarkdown(w) }},
	} {
		if f.path == "" {
			continue
		}
		if err := writeFile(f.path, out, f.write); err != nil {
			return err
		}
	}
	return nil
}

// writeFile writes to a file, or to out if path is "-".
func writeFile(path string, out io.Writer, write func(io.Writer) error) error {
	if path == "-" {
		return write(out)
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// isTerminal reports whether somebody looks at w while it is written.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

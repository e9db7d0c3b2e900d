package config

import (
	"fmt"
	"sort"
	"strings"
)

// position is where a value came from.
type position struct {
	file   string
	line   int
	column int
	source string // instead of a file: "--listen", "SLUICE_LOG_LEVEL"
}

func (p position) String() string {
	switch {
	case p.source != "":
		return p.source
	case p.line > 0:
		return fmt.Sprintf("%s:%d", p.file, p.line)
	}
	return p.file
}

// Error is one thing wrong with a configuration.
type Error struct {
	File         string // as given to Load
	Line, Column int    // from 1; 0 if unknown
	Source       string // flag or variable that the value came from, instead of the file
	Key          string // "stacks.edge.link"
	Reason       string
}

// Error prints where, what and why on one line.
func (e *Error) Error() string {
	where := position{e.File, e.Line, e.Column, e.Source}.String()
	if e.Key != "" {
		where += ": " + e.Key
	}
	return where + ": " + e.Reason
}

// Errors is everything wrong with a configuration, in the order of the file.
type Errors []*Error

// Error prints one error on each line.
func (es Errors) Error() string {
	s := make([]string, len(es))
	for i, e := range es {
		s[i] = e.Error()
	}
	return strings.Join(s, "\n")
}

// Unwrap gives errors.As each error.
func (es Errors) Unwrap() []error {
	s := make([]error, len(es))
	for i, e := range es {
		s[i] = e
	}
	return s
}

func (es *Errors) add(p position, key, format string, args ...any) {
	*es = append(*es, &Error{File: p.file, Line: p.line, Column: p.column, Source: p.source,
		Key: key, Reason: fmt.Sprintf(format, args...)})
}

func (es Errors) orNil() error {
	if len(es) == 0 {
		return nil
	}
	sort.SliceStable(es, func(i, j int) bool {
		a, b := es[i], es[j]
		if (a.Source == "") != (b.Source == "") {
			return a.Source == ""
		}
		if a.Line != b.Line {
			return a.Line < b.Line
		}
		return a.Column < b.Column
	})
	return es
}

// suggest returns ": did you mean X?" where one of the words is near enough to
// be what was meant, otherwise the list of them.
func suggest(word string, words []string) string {
	if w := nearest(word, words); w != "" {
		return fmt.Sprintf("; did you mean %q?", w)
	}
	switch {
	case len(words) == 0:
		return ""
	case len(words) <= 12:
		return "; valid: " + strings.Join(words, ", ")
	}
	return ""
}

// nearest returns the word at the least edit distance, if that is at most a
// third of its length (2 for short ones).
func nearest(word string, words []string) string {
	best, least := "", 1<<30
	for _, w := range words {
		d := distance(strings.ToLower(word), w)
		if d < least && d <= max(2, len(w)/3) && d < len(w) {
			best, least = w, d
		}
	}
	return best
}

// distance is the Levenshtein distance, with transpositions of neighbours.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 1 << 20
	}
	var d [65][65]int
	for i := range len(a) + 1 {
		for j := range len(b) + 1 {
			switch {
			case i == 0 || j == 0:
				d[i][j] = i + j
				continue
			case a[i-1] == b[j-1]:
				d[i][j] = d[i-1][j-1]
			default:
				d[i][j] = 1 + min(d[i-1][j], d[i][j-1], d[i-1][j-1])
			}
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}

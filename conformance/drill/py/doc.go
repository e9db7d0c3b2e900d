// Package py runs the Python that scripts have between %{ and }%: assertions over
// what tcp_info says, and the little around them. It knows expressions with
// comparisons, also chained, and, or, not, in, is, if-else, arithmetic and bits;
// numbers, strings, tuples, lists; %-formatting and f-strings; assignments, assert,
// print, if, while, for, pass; and the functions abs, bool, float, hex, int, len,
// max, min, print, range, repr, round, sorted, str and sum. Anything else is
// [Unsupported], by name and position. A program takes bounded time and memory.
package py

import "fmt"

// Pos is a place in a program: that of the script it stands in, if Compile was
// told where.
type Pos struct{ Line, Col int }

// String returns "line:column".
func (p Pos) String() string { return fmt.Sprintf("%d:%d", p.Line, p.Col) }

// Unsupported is Python that is not known here.
type Unsupported struct {
	Pos
	Feature string
}

func (e *Unsupported) Error() string { return fmt.Sprintf("%v: Python: %s", e.Pos, e.Feature) }

// SyntaxError is what is no Python.
type SyntaxError struct {
	Pos
	Msg string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("%v: %s", e.Pos, e.Msg) }

// AssertionError is an assertion that does not hold.
type AssertionError struct {
	Pos
	Expr    string // as written
	Values  string // the names in it with their values
	Message string // its second part, or ""
}

func (e *AssertionError) Error() string {
	s := fmt.Sprintf("%v: assert %s", e.Pos, e.Expr)
	if e.Message != "" {
		s += ": " + e.Message
	}
	if e.Values != "" {
		s += " (" + e.Values + ")"
	}
	return s
}

// RuntimeError is another error of the program, such as a name without a value.
type RuntimeError struct {
	Pos
	Msg string
}

func (e *RuntimeError) Error() string { return fmt.Sprintf("%v: %s", e.Pos, e.Msg) }

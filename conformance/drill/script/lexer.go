package script

import (
	"fmt"
	"strings"
)

// tokenKind is the kind of a token.
type tokenKind uint8

const (
	tokEOF     tokenKind = iota
	tokWord              // letters, digits, underscores; not all digits
	tokInt               // [-]digits
	tokHex               // 0x...
	tokFloat             // [-][digits].digits
	tokString            // "...", text without the quotes, escapes not replaced
	tokCommand           // `...`, the same
	tokCode              // %{...}%, text between
	tokOption            // --name, text without the dashes
	tokDots              // ...
	tokPunct             // one other byte
)

// token is one token. text is as written, but for the delimiters of tokString,
// tokCommand, tokCode and tokOption.
type token struct {
	kind     tokenKind
	text     string
	pos      Pos
	off, end int // in the source
}

// String says what the token is in an error.
func (t token) String() string {
	switch t.kind {
	case tokEOF:
		return "the end of the script"
	case tokString:
		return fmt.Sprintf("the string %s", clip(`"`+t.text+`"`))
	case tokCommand:
		return fmt.Sprintf("the command %s", clip("`"+t.text+"`"))
	case tokCode:
		return "%{ code }%"
	case tokOption:
		return "the option --" + clip(t.text)
	}
	return fmt.Sprintf("%q", clip(t.text))
}

// clip shortens s for an error.
func clip(s string) string {
	const most = 40
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}

// is says whether t is the punctuation c.
func (t token) is(c byte) bool { return t.kind == tokPunct && t.text[0] == c }

// isWord says whether t is the word w.
func (t token) isWord(w string) bool { return t.kind == tokWord && t.text == w }

// isNumber says whether t is a whole number without a sign.
func (t token) isNumber() bool { return t.kind == tokHex || t.kind == tokInt && t.text[0] != '-' }

// lexer cuts a source into tokens.
type lexer struct {
	file string
	src  string
	off  int
	os   string

	lineOff int // where the line of the last position starts
	line    int

	within int // a block "#ifdef" that is in force ends here, or 0
}

func newLexer(file, src, os string) *lexer {
	return &lexer{file: file, src: src, os: os, line: 1}
}

// at returns the position of an offset.
func (l *lexer) at(off int) Pos {
	if off < l.lineOff {
		l.line, l.lineOff = 1, 0
	}
	for {
		i := strings.IndexByte(l.src[l.lineOff:off], '\n')
		if i < 0 {
			break
		}
		l.line++
		l.lineOff += i + 1
	}
	return Pos{File: l.file, Line: l.line, Col: off - l.lineOff + 1}
}

// rewind makes the next token start at an offset.
func (l *lexer) rewind(off int) { l.off = off }

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isHex(c byte) bool {
	return isDigit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}
func isWordByte(c byte) bool {
	return isDigit(c) || c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// systems are the names that "#ifdef" knows.
var systems = []string{"freebsd", "linux", "netbsd", "openbsd", "omnet"}

// skip passes over blanks and comments.
func (l *lexer) skip() error {
	for l.off < len(l.src) {
		rest := l.src[l.off:]
		switch {
		case isBlank(rest[0]):
			l.off++
		case strings.HasPrefix(rest, "//"):
			l.skipLine()
		case strings.HasPrefix(rest, "/*"):
			n := strings.Index(rest[2:], "*/")
			if n < 0 {
				return &Error{l.at(l.off), "this comment does not end: expected */"}
			}
			l.off += n + 4
		case rest[0] == '#':
			if err := l.directive(rest); err != nil {
				return err
			}
		default:
			return nil
		}
	}
	return nil
}

func (l *lexer) skipLine() {
	if n := strings.IndexByte(l.src[l.off:], '\n'); n >= 0 {
		l.off += n + 1
	} else {
		l.off = len(l.src)
	}
}

// directive passes over a line that starts with "#": a block for another
// operating system as a whole, "#ifdef" of ours and "#endif" alone, and anything
// else as a comment.
func (l *lexer) directive(rest string) error {
	if strings.HasPrefix(rest, "#endif") && l.within > 0 && l.off >= l.within {
		l.within = 0
		l.off += len("#endif")
		return nil
	}
	fields := strings.Fields(firstLine(rest))
	if len(fields) < 2 || fields[0] != "#ifdef" {
		l.skipLine()
		return nil
	}
	name := strings.ToLower(fields[1])
	known := false
	for _, s := range systems {
		known = known || name == s
	}
	n := strings.Index(rest, "#endif")
	switch {
	case !known:
		return &Error{l.at(l.off), fmt.Sprintf("#ifdef %s: expected one of %s", clip(fields[1]), strings.Join(systems, ", "))}
	case n < 0:
		return &Error{l.at(l.off), "this #ifdef has no #endif"}
	case name != l.os:
		l.off += n + len("#endif")
	case l.within > 0:
		return &Error{l.at(l.off), "#ifdef within #ifdef"}
	default:
		l.within = l.off + n
		l.off += strings.Index(rest, fields[1]) + len(fields[1])
	}
	return nil
}

func firstLine(s string) string {
	if n := strings.IndexByte(s, '\n'); n >= 0 {
		return s[:n]
	}
	return s
}

// next returns the next token.
func (l *lexer) next() (token, error) {
	if err := l.skip(); err != nil {
		return token{}, err
	}
	t := token{pos: l.at(l.off), off: l.off, end: l.off}
	if l.off >= len(l.src) {
		return t, nil
	}
	rest := l.src[l.off:]
	n := 0
	switch c := rest[0]; {
	case strings.HasPrefix(rest, "..."):
		t.kind, n = tokDots, 3
	case c == '"' || c == '`':
		end := closing(rest, c)
		if end < 0 {
			return t, &Error{t.pos, fmt.Sprintf("this %s does not end: expected %c", map[byte]string{'"': "string", '`': "command"}[c], c)}
		}
		t.kind, t.text, n = tokString, rest[1:end], end+1
		if c == '`' {
			t.kind = tokCommand
		}
	case strings.HasPrefix(rest, "%{"):
		end := strings.Index(rest, "}%")
		if end < 0 {
			return t, &Error{t.pos, "this code does not end: expected }%"}
		}
		t.kind, t.text, n = tokCode, rest[2:end], end+2
	case len(rest) > 2 && rest[:2] == "--" && isWordByte(rest[2]):
		n = 2
		for n < len(rest) && isWordByte(rest[n]) {
			n++
		}
		t.kind, t.text = tokOption, rest[2:n]
	default:
		t.kind, n = number(rest)
		if n == 0 {
			t.kind, n = tokPunct, 1
		}
	}
	if t.text == "" && t.kind != tokString && t.kind != tokCommand && t.kind != tokCode {
		t.text = rest[:n]
	}
	if t.kind == tokWord && t.text == "sequence" && n < len(rest) && rest[n] == '#' {
		n++ // the one word with a "#"
	}
	l.off += n
	t.end = l.off
	return t, nil
}

// number recognises numbers and words: the longest of them counts.
func number(s string) (tokenKind, int) {
	word := 0
	for word < len(s) && isWordByte(s[word]) {
		word++
	}
	digits := 0
	if s[0] == '-' {
		digits = 1
	}
	first := digits
	for digits < len(s) && isDigit(s[digits]) {
		digits++
	}
	integer := digits
	if digits == first || strings.HasPrefix(s, "-0x") {
		integer = 0
	}
	float := 0
	if digits+1 < len(s) && s[digits] == '.' && isDigit(s[digits+1]) {
		float = digits + 2
		for float < len(s) && isDigit(s[float]) {
			float++
		}
	}
	switch {
	case float > word && float > integer:
		return tokFloat, float
	case integer >= word && integer > 0:
		return tokInt, integer
	case word > 2 && s[:2] == "0x":
		for i := 2; i < word; i++ {
			if !isHex(s[i]) {
				return tokWord, word
			}
		}
		return tokHex, word
	}
	return tokWord, word
}

// closing returns the index of the quote that ends s, which starts with one.
// A backslash protects the byte behind it.
func closing(s string, quote byte) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case quote:
			return i
		}
	}
	return -1
}

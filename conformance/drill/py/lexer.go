package py

import (
	"strings"
)

type kind uint8

const (
	kEOF kind = iota
	kNewline
	kIndent
	kDedent
	kName
	kNumber
	kString
	kFString
	kOp
)

type token struct {
	kind     kind
	text     string // of a string: its value
	pos      Pos
	off, end int
}

var operators = []string{"**=", "//=", ">>=", "<<=", "**", "//", ">>", "<<", "<=", ">=", "==", "!=", "->", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", ":=",
	"+", "-", "*", "/", "%", "@", "&", "|", "^", "~", "<", ">", "(", ")", "[", "]", "{", "}", ",", ":", ".", ";", "="}

// lex cuts a program into tokens, indentation included.
func lex(src string, at Pos) ([]token, error) {
	var out []token
	line, lineStart := at.Line, -(at.Col - 1)
	pos := func(off int) Pos { return Pos{line, off - lineStart + 1} }
	indents := []int{0}
	brackets := 0
	fresh := true // at the start of a logical line
	add := func(k kind, text string, off, end int) { out = append(out, token{k, text, pos(off), off, end}) }
	first := true
	i := 0
	for i < len(src) {
		if fresh && brackets == 0 {
			start, width := i, 0
			for i < len(src) && (src[i] == ' ' || src[i] == '\t') {
				width++
				if src[i] == '\t' {
					width = width/8*8 + 8
				}
				i++
			}
			if i == len(src) {
				break
			}
			switch src[i] {
			case '\n':
				i++
				line, lineStart = line+1, i
				continue
			case '\r':
				i++
				continue
			case '#':
				for i < len(src) && src[i] != '\n' {
					i++
				}
				continue
			}
			// The blanks before the first statement have been cut off or not; its
			// indentation is that of the program.
			if first {
				first, indents[0] = false, width
			}
			if width > indents[len(indents)-1] {
				if len(indents) > 50 {
					return nil, &Unsupported{pos(i), "more than 50 levels of indentation"}
				}
				indents = append(indents, width)
				add(kIndent, "", start, i)
			}
			for width < indents[len(indents)-1] {
				if len(indents) == 1 { // the first line alone was indented
					indents[0] = width
					break
				}
				indents = indents[:len(indents)-1]
				add(kDedent, "", start, i)
				if width > indents[len(indents)-1] {
					return nil, &SyntaxError{pos(i), "unindent does not match any outer indentation level"}
				}
			}
			fresh = false
		}
		c := src[i]
		switch {
		case c == ' ' || c == '\t' || c == '\r' || c == '\f':
			i++
		case c == '\n':
			i++
			if brackets == 0 {
				add(kNewline, "", i-1, i)
				fresh = true
			}
			line, lineStart = line+1, i
		case c == '#':
			for i < len(src) && src[i] != '\n' {
				i++
			}
		case c == '\\' && i+1 < len(src) && src[i+1] == '\n':
			i += 2
			line, lineStart = line+1, i
		case isNameByte(c) && !isDigit(c):
			start := i
			for i < len(src) && isNameByte(src[i]) {
				i++
			}
			word := src[start:i]
			if i < len(src) && (src[i] == '"' || src[i] == '\'') && len(word) <= 2 {
				raw := strings.ContainsAny(word, "rR")
				f := strings.ContainsAny(word, "fF")
				if strings.Trim(word, "rRfFuU") != "" {
					return nil, &Unsupported{pos(start), "a string with the prefix " + word}
				}
				value, end, err := str(src, i, raw || f, pos)
				if err != nil {
					return nil, err
				}
				k := kString
				if f {
					k = kFString
				}
				add(k, value, start, end)
				for j := start; j < end; j++ {
					if src[j] == '\n' {
						line, lineStart = line+1, j+1
					}
				}
				i = end
				break
			}
			add(kName, word, start, i)
		case isDigit(c) || c == '.' && i+1 < len(src) && isDigit(src[i+1]):
			start := i
			for i < len(src) && (isNameByte(src[i]) || src[i] == '.' ||
				(src[i] == '+' || src[i] == '-') && (src[i-1] == 'e' || src[i-1] == 'E') && !strings.HasPrefix(src[start:], "0x")) {
				i++
			}
			add(kNumber, src[start:i], start, i)
		case c == '"' || c == '\'':
			start := i
			value, end, err := str(src, i, false, pos)
			if err != nil {
				return nil, err
			}
			add(kString, value, start, end)
			for j := start; j < end; j++ {
				if src[j] == '\n' {
					line, lineStart = line+1, j+1
				}
			}
			i = end
		default:
			op := ""
			for _, o := range operators {
				if strings.HasPrefix(src[i:], o) {
					op = o
					break
				}
			}
			if op == "" {
				return nil, &SyntaxError{pos(i), "invalid character " + quoteByte(c)}
			}
			switch op {
			case "(", "[", "{":
				brackets++
			case ")", "]", "}":
				brackets = max(brackets-1, 0)
			}
			add(kOp, op, i, i+len(op))
			i += len(op)
		}
	}
	add(kNewline, "", i, i)
	for range len(indents) - 1 {
		add(kDedent, "", i, i)
	}
	add(kEOF, "", i, i)
	return out, nil
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isNameByte(c byte) bool {
	return isDigit(c) || c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func quoteByte(c byte) string { return "'" + string(rune(c)) + "'" }

// str reads a string that starts at i, and returns its value and end.
func str(src string, i int, raw bool, pos func(int) Pos) (string, int, error) {
	start := i
	quote := src[i : i+1]
	if strings.HasPrefix(src[i:], strings.Repeat(quote, 3)) {
		quote = strings.Repeat(quote, 3)
	}
	i += len(quote)
	var b strings.Builder
	for i < len(src) {
		switch {
		case strings.HasPrefix(src[i:], quote):
			return b.String(), i + len(quote), nil
		case src[i] == '\n' && len(quote) == 1:
			return "", 0, &SyntaxError{pos(start), "this string does not end"}
		case src[i] == '\\' && i+1 < len(src):
			if raw {
				b.WriteString(src[i : i+2])
			} else {
				switch src[i+1] {
				case '\n':
				case 'n':
					b.WriteByte('\n')
				case 't':
					b.WriteByte('\t')
				case 'r':
					b.WriteByte('\r')
				case '\\', '\'', '"':
					b.WriteByte(src[i+1])
				default:
					b.WriteString(src[i : i+2])
				}
			}
			i += 2
		default:
			b.WriteByte(src[i])
			i++
		}
	}
	return "", 0, &SyntaxError{pos(start), "this string does not end"}
}

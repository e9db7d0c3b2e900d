package py

import (
	"math/big"
	"strconv"
	"strings"
)

// Program is a program that has been read.
type Program struct {
	src  string
	body []stmt
}

type stmt struct {
	pos  Pos
	run  string // "expr", "assert", "assign", "aug", "if", "while", "for", "pass", "break", "continue"
	op   string // of aug
	text string // of assert: the expression as written
	dst  []string
	many bool // dst is a tuple
	x, y *expr
	body []stmt
	rest []stmt
}

// expr is an expression.
type expr struct {
	pos  Pos
	kind string // "const", "name", "binary", "unary", "and", "or", "not", "compare", "call", "tuple", "list", "index", "slice", "ifelse", "fstring"
	val  any
	name string
	args []*expr
	ops  []string // of compare
	spec []string // of fstring: format of each argument
	lits []string // of fstring: text around the arguments
}

// Compile reads a program. at is where its first byte stands in the script.
func Compile(src string, at Pos) (*Program, error) {
	if len(src) > 1<<16 {
		return nil, &Unsupported{at, "a program of more than 64 KiB"}
	}
	if at.Line < 1 {
		at = Pos{1, 1}
	}
	tokens, err := lex(src, at)
	if err != nil {
		return nil, err
	}
	p := &parser{src: src, tokens: tokens}
	prog := &Program{src: src}
	for p.tok().kind != kEOF {
		if p.tok().kind == kNewline {
			p.i++
			continue
		}
		s, err := p.statement()
		if err != nil {
			return nil, err
		}
		prog.body = append(prog.body, s...)
	}
	return prog, nil
}

type parser struct {
	src    string
	tokens []token
	i      int
	depth  int
}

func (p *parser) tok() token { return p.tokens[p.i] }

func (p *parser) is(text string) bool {
	t := p.tok()
	return (t.kind == kOp || t.kind == kName) && t.text == text
}

func (p *parser) take(text string) bool {
	if p.is(text) {
		p.i++
		return true
	}
	return false
}

func (p *parser) expect(text string) error {
	if !p.take(text) {
		return p.invalid("expected '" + text + "'")
	}
	return nil
}

func (p *parser) invalid(msg string) error {
	t := p.tok()
	found := "'" + t.text + "'"
	switch t.kind {
	case kEOF:
		found = "the end"
	case kNewline:
		found = "the end of the line"
	case kIndent, kDedent:
		found = "a change of indentation"
	}
	return &SyntaxError{t.pos, msg + ", found " + found}
}

// statement reads a line: a compound statement, or simple ones with semicolons.
func (p *parser) statement() ([]stmt, error) {
	if p.depth++; p.depth > 60 {
		return nil, &Unsupported{p.tok().pos, "statements nested more than 60 deep"}
	}
	defer func() { p.depth-- }()
	t := p.tok()
	if t.kind == kName {
		switch t.text {
		case "if", "while":
			s, err := p.conditional(t.text)
			return []stmt{s}, err
		case "for":
			return p.loop()
		case "def", "class", "import", "from", "try", "with", "lambda", "return", "raise", "del", "global", "nonlocal", "async", "yield", "match":
			if next := p.tokens[p.i+1]; next.kind != kOp || next.text == "(" || next.text == "[" {
				return nil, &Unsupported{t.pos, "the statement " + t.text}
			}
		}
	}
	var out []stmt
	for {
		s, err := p.simple()
		if err != nil {
			return nil, err
		}
		out = append(out, s)
		if !p.take(";") {
			break
		}
		if p.tok().kind == kNewline {
			break
		}
	}
	if p.tok().kind != kNewline {
		if p.tok().kind == kString && out[len(out)-1].run == "expr" && out[len(out)-1].x.name == "print" {
			return nil, &Unsupported{t.pos, "print without parentheses"}
		}
		return nil, p.invalid("invalid syntax")
	}
	p.i++
	return out, nil
}

// block reads what a colon leads to.
func (p *parser) block() ([]stmt, error) {
	if err := p.expect(":"); err != nil {
		return nil, err
	}
	if p.tok().kind != kNewline {
		return p.statement()
	}
	for p.tok().kind == kNewline {
		p.i++
	}
	if p.tok().kind != kIndent {
		return nil, p.invalid("expected an indented block")
	}
	p.i++
	var out []stmt
	for p.tok().kind != kDedent {
		if p.tok().kind == kEOF {
			break
		}
		if p.tok().kind == kNewline {
			p.i++
			continue
		}
		s, err := p.statement()
		if err != nil {
			return nil, err
		}
		out = append(out, s...)
	}
	if p.tok().kind == kDedent {
		p.i++
	}
	return out, nil
}

func (p *parser) conditional(word string) (stmt, error) {
	s := stmt{pos: p.tok().pos, run: word}
	if word == "elif" {
		s.run = "if"
	}
	if p.depth++; p.depth > 60 {
		return s, &Unsupported{s.pos, "statements nested more than 60 deep"}
	}
	defer func() { p.depth-- }()
	p.i++
	var err error
	if s.x, err = p.expression(); err != nil {
		return s, err
	}
	if s.body, err = p.block(); err != nil {
		return s, err
	}
	switch {
	case word != "while" && p.is("elif"):
		e, err := p.conditional("elif")
		s.rest = []stmt{e}
		return s, err
	case p.is("else"):
		p.i++
		s.rest, err = p.block()
	}
	return s, err
}

func (p *parser) loop() ([]stmt, error) {
	s := stmt{pos: p.tok().pos, run: "for"}
	p.i++
	for {
		if p.tok().kind != kName {
			return nil, p.invalid("expected a name")
		}
		s.dst = append(s.dst, p.tok().text)
		p.i++
		if !p.take(",") {
			break
		}
		s.many = true
	}
	if err := p.expect("in"); err != nil {
		return nil, err
	}
	var err error
	if s.x, err = p.expressions(); err != nil {
		return nil, err
	}
	if s.body, err = p.block(); err != nil {
		return nil, err
	}
	if p.is("else") {
		return nil, &Unsupported{p.tok().pos, "else behind for"}
	}
	return []stmt{s}, nil
}

func (p *parser) simple() (stmt, error) {
	t := p.tok()
	s := stmt{pos: t.pos, run: "expr"}
	var err error
	switch {
	case p.take("pass"), p.take("break"), p.take("continue"):
		s.run = t.text
		return s, nil
	case p.take("assert"):
		s.run = "assert"
		from := p.tok().off
		if s.x, err = p.expression(); err != nil {
			return s, err
		}
		s.text = strings.Join(strings.Fields(p.src[from:p.tokens[p.i-1].end]), " ")
		if p.take(",") {
			s.y, err = p.expression()
		}
		return s, err
	}
	if s.x, err = p.expressions(); err != nil {
		return s, err
	}
	switch op := p.tok().text; {
	case p.is("="):
		p.i++
		s.run = "assign"
		if s.dst, s.many, err = targets(s.x); err != nil {
			return s, err
		}
		s.x, err = p.expressions()
		if p.is("=") {
			return s, &Unsupported{p.tok().pos, "an assignment to several targets"}
		}
	case p.tok().kind == kOp && len(op) >= 2 && strings.HasSuffix(op, "=") && !strings.Contains("== != <= >=", op):
		p.i++
		s.run, s.op = "aug", strings.TrimSuffix(op, "=")
		if s.dst, s.many, err = targets(s.x); err != nil || s.many {
			return s, &SyntaxError{s.pos, "cannot assign to this"}
		}
		s.x, err = p.expressions()
	}
	return s, err
}

// targets returns the names that an expression assigns to.
func targets(x *expr) ([]string, bool, error) {
	switch x.kind {
	case "name":
		return []string{x.name}, false, nil
	case "tuple", "list":
		var out []string
		for _, a := range x.args {
			if a.kind != "name" {
				return nil, false, &Unsupported{a.pos, "an assignment to other than names"}
			}
			out = append(out, a.name)
		}
		return out, true, nil
	}
	return nil, false, &Unsupported{x.pos, "an assignment to other than names"}
}

// expressions reads "a, b, c" as a tuple.
func (p *parser) expressions() (*expr, error) {
	x, err := p.expression()
	if err != nil || !p.is(",") {
		return x, err
	}
	t := &expr{pos: x.pos, kind: "tuple", args: []*expr{x}}
	for p.take(",") {
		if k := p.tok(); k.kind == kNewline || k.kind == kEOF || p.is("=") || p.is(")") || p.is(":") {
			break
		}
		if x, err = p.expression(); err != nil {
			return nil, err
		}
		t.args = append(t.args, x)
	}
	return t, nil
}

// expression reads "a if b else c" and what binds more.
func (p *parser) expression() (*expr, error) {
	if p.depth++; p.depth > 60 {
		return nil, &Unsupported{p.tok().pos, "expressions nested more than 60 deep"}
	}
	defer func() { p.depth-- }()
	if p.is("lambda") || p.is("await") || p.is("yield") {
		return nil, &Unsupported{p.tok().pos, p.tok().text}
	}
	x, err := p.or()
	if err != nil || !p.is("if") {
		return x, err
	}
	t := p.tok()
	p.i++
	c, err := p.or()
	if err != nil {
		return nil, err
	}
	if err := p.expect("else"); err != nil {
		return nil, err
	}
	y, err := p.expression()
	return &expr{pos: t.pos, kind: "ifelse", args: []*expr{c, x, y}}, err
}

func (p *parser) or() (*expr, error)  { return p.logic("or", p.and) }
func (p *parser) and() (*expr, error) { return p.logic("and", p.not) }

func (p *parser) logic(word string, sub func() (*expr, error)) (*expr, error) {
	x, err := sub()
	for err == nil && p.is(word) {
		t := p.tok()
		p.i++
		var y *expr
		y, err = sub()
		x = &expr{pos: t.pos, kind: word, args: []*expr{x, y}}
	}
	return x, err
}

func (p *parser) not() (*expr, error) {
	n := 0
	t := p.tok()
	for p.take("not") {
		n++
	}
	x, err := p.compare()
	for ; n > 0 && err == nil; n-- {
		x = &expr{pos: t.pos, kind: "not", args: []*expr{x}}
		if n > 2 {
			n -= 2 * ((n - 1) / 2) // "not not" is idempotent
		}
	}
	return x, err
}

func (p *parser) compare() (*expr, error) {
	x, err := p.binary(0)
	if err != nil {
		return nil, err
	}
	c := &expr{pos: x.pos, kind: "compare", args: []*expr{x}}
	for {
		op := p.tok().text
		switch {
		case p.tok().kind == kOp && (op == "<" || op == ">" || op == "<=" || op == ">=" || op == "==" || op == "!="):
			p.i++
		case p.is("in"):
			p.i++
		case p.is("not") && p.tokens[p.i+1].text == "in":
			p.i += 2
			op = "not in"
		case p.is("is"):
			p.i++
			if p.take("not") {
				op = "is not"
			}
		default:
			if len(c.ops) == 0 {
				return x, nil
			}
			return c, nil
		}
		y, err := p.binary(0)
		if err != nil {
			return nil, err
		}
		c.ops, c.args = append(c.ops, op), append(c.args, y)
	}
}

// levels of binary operators, the least binding first.
var levels = [][]string{{"|"}, {"^"}, {"&"}, {"<<", ">>"}, {"+", "-"}, {"*", "/", "//", "%", "@"}}

func (p *parser) binary(level int) (*expr, error) {
	if level == len(levels) {
		return p.unary()
	}
	x, err := p.binary(level + 1)
	for err == nil && p.tok().kind == kOp {
		op := ""
		for _, o := range levels[level] {
			if p.tok().text == o {
				op = o
			}
		}
		if op == "" {
			break
		}
		t := p.tok()
		if op == "@" {
			return nil, &Unsupported{t.pos, "the operator @"}
		}
		p.i++
		var y *expr
		y, err = p.binary(level + 1)
		x = &expr{pos: t.pos, kind: "binary", name: op, args: []*expr{x, y}}
	}
	return x, err
}

func (p *parser) unary() (*expr, error) {
	t := p.tok()
	if t.kind == kOp && (t.text == "-" || t.text == "+" || t.text == "~") {
		if p.depth++; p.depth > 60 {
			return nil, &Unsupported{t.pos, "expressions nested more than 60 deep"}
		}
		defer func() { p.depth-- }()
		p.i++
		x, err := p.unary()
		return &expr{pos: t.pos, kind: "unary", name: t.text, args: []*expr{x}}, err
	}
	x, err := p.postfix()
	if err == nil && p.is("**") {
		t := p.tok()
		p.i++
		var y *expr
		if p.depth++; p.depth > 60 {
			return nil, &Unsupported{t.pos, "expressions nested more than 60 deep"}
		}
		y, err = p.unary()
		p.depth--
		x = &expr{pos: t.pos, kind: "binary", name: "**", args: []*expr{x, y}}
	}
	return x, err
}

func (p *parser) postfix() (*expr, error) {
	x, err := p.primary()
	for err == nil {
		t := p.tok()
		switch {
		case p.is("(") && t.kind == kOp:
			if x.kind != "name" {
				return nil, &Unsupported{t.pos, "a call of other than a function by name"}
			}
			p.i++
			call := &expr{pos: x.pos, kind: "call", name: x.name}
			for !p.is(")") {
				if p.tok().kind == kName && p.tokens[p.i+1].kind == kOp && p.tokens[p.i+1].text == "=" {
					if x.name == "print" { // sep, end, file
						return nil, &Unsupported{p.tok().pos, "the argument " + p.tok().text + " of print"}
					}
					return nil, &Unsupported{p.tok().pos, "an argument by name"}
				}
				if p.is("*") || p.is("**") {
					return nil, &Unsupported{p.tok().pos, "an argument with a star"}
				}
				a, err := p.expression()
				if err != nil {
					return nil, err
				}
				if p.is("for") {
					return nil, &Unsupported{p.tok().pos, "a generator"}
				}
				call.args = append(call.args, a)
				if !p.take(",") {
					break
				}
			}
			if err := p.expect(")"); err != nil {
				return nil, err
			}
			x = call
		case p.is("[") && t.kind == kOp:
			p.i++
			if p.is(":") {
				return nil, &Unsupported{p.tok().pos, "a slice"}
			}
			i, err := p.expression()
			if err != nil {
				return nil, err
			}
			if p.is(":") {
				return nil, &Unsupported{p.tok().pos, "a slice"}
			}
			if err := p.expect("]"); err != nil {
				return nil, err
			}
			x = &expr{pos: t.pos, kind: "index", args: []*expr{x, i}}
		case p.is(".") && t.kind == kOp:
			return nil, &Unsupported{t.pos, "the attribute ." + p.tokens[p.i+1].text}
		default:
			return x, nil
		}
	}
	return x, err
}

var keywords = map[string]bool{"and": true, "or": true, "not": true, "in": true, "is": true, "if": true, "else": true, "elif": true,
	"for": true, "while": true, "assert": true, "pass": true, "break": true, "continue": true, "lambda": true, "def": true, "class": true,
	"import": true, "from": true, "return": true, "try": true, "except": true, "finally": true, "raise": true, "with": true, "as": true,
	"del": true, "global": true, "nonlocal": true, "yield": true, "async": true, "await": true}

func (p *parser) primary() (*expr, error) {
	t := p.tok()
	switch t.kind {
	case kNumber:
		p.i++
		return number(t)
	case kString, kFString:
		return p.strings()
	case kName:
		switch t.text {
		case "True":
			p.i++
			return &expr{pos: t.pos, kind: "const", val: true}, nil
		case "False":
			p.i++
			return &expr{pos: t.pos, kind: "const", val: false}, nil
		case "None":
			p.i++
			return &expr{pos: t.pos, kind: "const", val: nil}, nil
		}
		if keywords[t.text] {
			break
		}
		p.i++
		return &expr{pos: t.pos, kind: "name", name: t.text}, nil
	case kOp:
		switch t.text {
		case "(", "[":
			end := ")"
			x := &expr{pos: t.pos, kind: "tuple"}
			if t.text == "[" {
				end, x.kind = "]", "list"
			}
			p.i++
			comma := false
			for !p.is(end) {
				a, err := p.expression()
				if err != nil {
					return nil, err
				}
				if p.is("for") {
					return nil, &Unsupported{p.tok().pos, "a comprehension"}
				}
				x.args = append(x.args, a)
				if !p.take(",") {
					break
				}
				comma = true
			}
			if err := p.expect(end); err != nil {
				return nil, err
			}
			if x.kind == "tuple" && len(x.args) == 1 && !comma {
				return x.args[0], nil
			}
			return x, nil
		case "{":
			return nil, &Unsupported{t.pos, "a dictionary or a set"}
		}
	}
	return nil, p.invalid("invalid syntax")
}

func number(t token) (*expr, error) {
	text := strings.ReplaceAll(t.text, "_", "")
	if n, ok := new(big.Int).SetString(text, 0); ok && !(len(text) > 1 && text[0] == '0' && isDigit(text[1])) && len(text) < 100 {
		return &expr{pos: t.pos, kind: "const", val: n}, nil
	}
	if strings.Trim(text, "0123456789.eE+-") == "" && !strings.HasPrefix(text, "0x") {
		if f, err := strconv.ParseFloat(text, 64); err == nil && strings.ContainsAny(text, ".eE") {
			return &expr{pos: t.pos, kind: "const", val: f}, nil
		}
	}
	return nil, &SyntaxError{t.pos, "invalid number " + t.text}
}

// strings reads strings, one behind the other.
func (p *parser) strings() (*expr, error) {
	x := &expr{pos: p.tok().pos, kind: "fstring", lits: []string{""}}
	for {
		t := p.tok()
		switch t.kind {
		case kString:
			x.lits[len(x.lits)-1] += t.text
		case kFString:
			if err := p.interpolate(x, t); err != nil {
				return nil, err
			}
		default:
			if len(x.args) == 0 {
				return &expr{pos: x.pos, kind: "const", val: x.lits[0]}, nil
			}
			return x, nil
		}
		p.i++
	}
}

// interpolate reads the expressions in an f-string.
func (p *parser) interpolate(x *expr, t token) error {
	text := t.text
	lit := func(s string) { x.lits[len(x.lits)-1] += s }
	for len(text) > 0 {
		i := strings.IndexAny(text, "{}\\")
		if i < 0 {
			lit(text)
			return nil
		}
		lit(text[:i])
		rest := text[i:]
		switch {
		case rest[0] == '\\':
			if len(rest) > 1 {
				j := strings.IndexByte("ntr\\'\"", rest[1])
				if j >= 0 {
					lit("\n\t\r\\'\""[j : j+1])
				} else {
					lit(rest[:2])
				}
				text = rest[2:]
			} else {
				text = ""
			}
			continue
		case strings.HasPrefix(rest, "{{"), strings.HasPrefix(rest, "}}"):
			lit(rest[:1])
			text = rest[2:]
			continue
		case rest[0] == '}':
			return &SyntaxError{t.pos, "a single '}' in an f-string"}
		}
		end, depth := -1, 0
		for j := 1; j < len(rest); j++ {
			switch rest[j] {
			case '(', '[', '{':
				depth++
			case ')', ']':
				depth--
			case '}':
				if depth <= 0 {
					end = j
				}
				depth--
			}
			if end >= 0 {
				break
			}
		}
		if end < 0 {
			return &SyntaxError{t.pos, "a '{' of an f-string is not closed"}
		}
		code, spec := rest[1:end], ""
		if j := strings.LastIndexByte(code, ':'); j >= 0 {
			code, spec = code[:j], code[j+1:]
		}
		if strings.HasSuffix(code, "!r") || strings.HasSuffix(code, "!s") {
			code = code[:len(code)-2]
		}
		if strings.HasSuffix(code, "=") && !strings.HasSuffix(code, "==") {
			lit(code)
			code = code[:len(code)-1]
		}
		tokens, err := lex(strings.TrimSpace(code), t.pos)
		if err != nil {
			return err
		}
		sub := &parser{src: code, tokens: tokens, depth: p.depth + 1}
		a, err := sub.expressions()
		if err != nil {
			return err
		}
		if sub.tok().kind != kNewline {
			return sub.invalid("invalid syntax in an f-string")
		}
		x.args, x.spec, x.lits = append(x.args, a), append(x.spec, spec), append(x.lits, "")
		text = rest[end+1:]
	}
	return nil
}

package script

import (
	"strconv"
	"strings"
)

func (p *parser) syscall() (*Syscall, error) {
	s := &Syscall{Pos: p.tok.pos}
	var err error
	if p.tok.kind == tokDots {
		s.Blocking = true
		if err := p.advance(); err != nil {
			return nil, err
		}
		if s.End, err = p.seconds(); err != nil {
			return nil, err
		}
		s.Pos = p.tok.pos
	}
	if p.tok.kind != tokWord {
		return nil, p.expected("the name of a system call")
	}
	s.Name = p.tok.text
	if err := p.advance(); err != nil {
		return nil, err
	}
	if !p.tok.is('(') {
		return nil, p.expected("'(' after " + clip(s.Name))
	}
	if s.Args, err = p.items('(', ')'); err != nil {
		return nil, err
	}
	if err := p.punct('='); err != nil {
		return nil, err
	}
	if s.Result, err = p.expression(); err != nil {
		return nil, err
	}
	if p.tok.kind == tokWord {
		s.Errno = &Errno{Pos: p.tok.pos, Name: p.tok.text}
		if err := p.advance(); err != nil {
			return nil, err
		}
		if p.tok.is('(') {
			if s.Errno.Text, err = p.note(); err != nil {
				return nil, err
			}
		}
	}
	if p.tok.is('(') {
		s.Note, err = p.note()
	}
	return s, err
}

// note reads "(words)", from the source: words may contain anything but a
// parenthesis.
func (p *parser) note() (string, error) {
	src := p.lex.src
	end := strings.IndexByte(src[p.tok.end:], ')')
	if end < 0 {
		return "", p.fail("expected ')' after these words")
	}
	text := src[p.tok.end : p.tok.end+end]
	p.lex.rewind(p.tok.end + end + 1)
	return strings.Join(strings.Fields(text), " "), p.advance()
}

// items reads a list of expressions with what is around it.
func (p *parser) items(open, end byte) ([]Expr, error) {
	if err := p.punct(open); err != nil {
		return nil, err
	}
	p.brackets++
	defer func() { p.brackets-- }()
	var list []Expr
	for !p.tok.is(end) {
		x, err := p.expression()
		if err != nil {
			return nil, err
		}
		list = append(list, x)
		if p.tok.is(end) {
			break
		}
		if !p.tok.is(',') {
			return nil, p.expected("',' or '" + string(end) + "'")
		}
		if err := p.advance(); err != nil {
			return nil, err
		}
		if p.tok.is(end) {
			return nil, p.expected("an expression")
		}
	}
	return list, p.punct(end)
}

// precedence of the operators, as in C. Those above 1 are known within
// brackets alone: behind a result, '+' and '*' start the next event.
var precedence = map[string]int{"|": 1, "^": 2, "&": 3, "<<": 4, ">>": 4, "+": 5, "-": 5, "*": 6}

// operator returns the operator that the present token starts, or "".
func (p *parser) operator() string {
	if p.tok.kind == tokInt && p.tok.text[0] == '-' && p.brackets > 0 {
		return "-" // "8-1" is two numbers to the lexer
	}
	if p.tok.kind != tokPunct {
		return ""
	}
	op := p.tok.text
	if op == "<" || op == ">" {
		if src := p.lex.src; p.tok.end < len(src) && src[p.tok.end] == op[0] {
			return op + op
		}
		return ""
	}
	return op
}

func (p *parser) expression() (Expr, error) { return p.binary(1) }

func (p *parser) binary(least int) (Expr, error) {
	p.depth++
	defer func() { p.depth-- }()
	if p.depth > maxDepth {
		return nil, p.fail("expressions are nested more than %d deep", maxDepth)
	}
	left, err := p.unary()
	if err != nil {
		return nil, err
	}
	if name, ok := left.(Name); ok && p.tok.is('=') && p.brackets > 0 {
		if err := p.advance(); err != nil {
			return nil, err
		}
		right, err := p.binary(1)
		if err != nil {
			return nil, err
		}
		return &Binary{name.Pos, "=", left, right}, nil
	}
	for n := 0; ; n++ {
		op := p.operator()
		level := precedence[op]
		if level < least || level > 1 && p.brackets == 0 {
			return left, nil
		}
		if n > 1000 {
			return nil, p.fail("too many operators")
		}
		switch {
		case p.tok.kind == tokInt: // minus is part of the number
			p.tok.text = p.tok.text[1:]
		default:
			if err := p.advance(); err != nil {
				return nil, err
			}
			if len(op) == 2 {
				if err := p.advance(); err != nil {
					return nil, err
				}
			}
		}
		right, err := p.binary(level + 1)
		if err != nil {
			return nil, err
		}
		left = &Binary{left.Position(), op, left, right}
	}
}

func (p *parser) unary() (Expr, error) {
	if p.tok.is('~') || p.tok.is('-') {
		u := &Unary{Pos: p.tok.pos, Op: p.tok.text}
		if err := p.advance(); err != nil {
			return nil, err
		}
		if p.depth++; p.depth > maxDepth {
			return nil, p.fail("expressions are nested more than %d deep", maxDepth)
		}
		defer func() { p.depth-- }()
		var err error
		u.X, err = p.unary()
		return u, err
	}
	return p.primary()
}

func (p *parser) primary() (Expr, error) {
	t := p.tok
	switch {
	case t.kind == tokDots:
		return Ellipsis{t.pos}, p.advance()
	case t.kind == tokInt:
		n, err := strconv.ParseInt(t.text, 10, 64)
		if len(t.text) > 1 && t.text[0] == '0' { // as in C
			if o, oerr := strconv.ParseInt(t.text, 8, 64); oerr == nil && t.text != "00" {
				n, err = o, nil
			}
		}
		if err != nil {
			return nil, p.fail("the number %s is too large", clip(t.text))
		}
		return Int{t.pos, n, false}, p.advance()
	case t.kind == tokHex:
		n, err := strconv.ParseUint(t.text[2:], 16, 64)
		if err != nil {
			return nil, p.fail("the number %s is too large", clip(t.text))
		}
		return Int{t.pos, int64(n), true}, p.advance()
	case t.kind == tokString:
		return p.str()
	case t.kind == tokWord:
		if err := p.advance(); err != nil {
			return nil, err
		}
		// Behind a result, parentheses are a note.
		if p.tok.is('(') && (p.brackets > 0 || isFunction(t.text)) {
			args, err := p.items('(', ')')
			return &Call{t.pos, t.text, args}, err
		}
		return Name{t.pos, t.text}, nil
	case t.is('['):
		items, err := p.items('[', ']')
		return &List{Pos: t.pos, Items: items}, err
	case t.is('{'):
		return p.braces()
	case t.is('(') && p.brackets > 0:
		if err := p.advance(); err != nil {
			return nil, err
		}
		x, err := p.expression()
		if err != nil {
			return nil, err
		}
		return x, p.punct(')')
	}
	return nil, p.expected("an expression")
}

func isFunction(name string) bool {
	switch name {
	case "htons", "htonl", "inet_addr", "inet6_addr":
		return true
	}
	return false
}

// str reads strings, one after the other.
func (p *parser) str() (Expr, error) {
	s := Str{Pos: p.tok.pos}
	var b strings.Builder
	for p.tok.kind == tokString {
		b.WriteString(unescape(p.tok.text))
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
	s.Value = b.String()
	if s.Partial = p.tok.kind == tokDots; s.Partial {
		return s, p.advance()
	}
	return s, nil
}

// unescape replaces the escapes of C.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		switch c := s[i]; {
		case c >= '0' && c <= '7':
			n, k := 0, i
			for ; k < len(s) && k < i+3 && s[k] >= '0' && s[k] <= '7'; k++ {
				n = n*8 + int(s[k]-'0')
			}
			b.WriteByte(byte(n))
			i = k - 1
		case c == 'x' && i+1 < len(s) && isHex(s[i+1]):
			k := i + 2
			if k < len(s) && isHex(s[k]) {
				k++
			}
			n, _ := strconv.ParseUint(s[i+1:k], 16, 8)
			b.WriteByte(byte(n))
			i = k - 1
		default:
			if j := strings.IndexByte("abfnrtv", c); j >= 0 {
				c = "\a\b\f\n\r\t\v"[j]
			}
			b.WriteByte(c)
		}
	}
	return b.String()
}

// braces reads "{...}": members with names, or a list, or an MPLS stack or a
// GRE header.
func (p *parser) braces() (Expr, error) {
	start := p.tok
	switch next := p.ahead(3); {
	case next[0].is('(') && next[1].isWord("label") && next[2].isNumber():
		return p.headerValue(start, "mpls")
	case (next[0].isWord("flags") || next[0].isWord("Flags")) && (next[1].isNumber() || next[1].is('[')):
		return p.headerValue(start, "gre")
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	p.brackets++
	items, fields, err := p.members()
	p.brackets--
	if err != nil {
		return nil, err
	}
	if err := p.punct('}'); err != nil {
		return nil, err
	}
	if len(fields) == len(items) && len(items) > 0 {
		return &Struct{start.pos, fields}, nil
	}
	for _, f := range fields {
		if f.Arg != nil {
			return nil, &Error{f.Pos, "this member has a name, others of the same list have none"}
		}
	}
	return &List{Pos: start.pos, Braces: true, Items: items}, nil
}

// members reads what is between braces, as expressions, and as members those
// that have a name.
func (p *parser) members() (items []Expr, fields []Field, err error) {
	for !p.tok.is('}') {
		f := Field{Pos: p.tok.pos, Name: p.tok.text}
		isWord := p.tok.kind == tokWord
		x, err := p.expression()
		if err != nil {
			return nil, nil, err
		}
		switch x := x.(type) {
		case *Binary:
			if isWord && x.Op == "=" {
				f.Value = x.Right
			}
		case *Call: // name(argument)=value
			if p.tok.is('=') && len(x.Args) == 1 {
				f.Arg = x.Args[0]
				if err := p.advance(); err != nil {
					return nil, nil, err
				}
				if f.Value, err = p.expression(); err != nil {
					return nil, nil, err
				}
			}
		}
		items = append(items, x)
		if f.Value != nil {
			fields = append(fields, f)
		}
		if p.tok.is('}') {
			break
		}
		if !p.tok.is(',') {
			return nil, nil, p.expected("',' or '}'")
		}
		if err := p.advance(); err != nil {
			return nil, nil, err
		}
		if p.tok.is('}') {
			return nil, nil, p.expected("an expression")
		}
	}
	return items, fields, nil
}

// headerValue reads a header as a value, "{(label 1, ...)}" or
// "{flags 0x2000, ...}".
func (p *parser) headerValue(start token, kind string) (Expr, error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	var text string
	if kind == "mpls" {
		labels, err := p.mpls()
		if err != nil {
			return nil, err
		}
		text = mplsText(labels)
	} else {
		g, err := p.gre()
		if err != nil {
			return nil, err
		}
		text = greText(g)
	}
	if err := p.punct('}'); err != nil {
		return nil, err
	}
	return Header{start.pos, kind, text}, nil
}

package script

import (
	"fmt"
	"strings"
	"time"
)

// Config says how to read a script.
type Config struct {
	// Defines are the symbols of the command line, -D NAME=value. A value in
	// double quotes is a string, one in backquotes a command, any other is read as
	// it stands. The script's own --define lines come after and win.
	Defines map[string]string
	// OS chooses the blocks "#ifdef OS ... #endif": "linux" (also if empty) or
	// "freebsd".
	OS string
}

// Error is what is wrong with a script, and where.
type Error struct {
	Pos
	Msg string
}

func (e *Error) Error() string { return e.Pos.String() + ": " + e.Msg }

// maxSource is how long a script may be, in bytes.
const maxSource = 1 << 20

// maxDepth is how deep expressions may be nested.
const maxDepth = 64

// Parse reads a script. Its error is an *Error. file is only used in positions.
func Parse(file, source string, cfg Config) (*Script, error) {
	if len(source) > maxSource {
		return nil, &Error{Pos{file, 1, 1}, fmt.Sprintf("the script is longer than %d bytes", maxSource)}
	}
	if cfg.OS == "" {
		cfg.OS = "linux"
	}
	p := &parser{lex: newLexer(file, source, cfg.OS), defines: map[string]string{}}
	for name, value := range cfg.Defines {
		p.defines[name] = value
	}
	s := &Script{File: file, Source: source}
	if err := p.script(s); err != nil {
		return nil, err
	}
	return s, nil
}

// parser reads a script, with one token of lookahead.
type parser struct {
	lex     *lexer
	tok     token
	pending []token // of a symbol's value, before what the lexer has
	defines map[string]string
	depth   int // of expressions, bounded

	brackets int // open around the present expression
}

// fail returns an error about the present token.
func (p *parser) fail(format string, args ...any) error {
	return &Error{p.tok.pos, fmt.Sprintf(format, args...)}
}

// expected returns the error that something else was found.
func (p *parser) expected(what string) error {
	return p.fail("expected %s, found %v", what, p.tok)
}

// advance reads the next token, with symbols replaced.
func (p *parser) advance() error {
	if len(p.pending) > 0 {
		p.tok, p.pending = p.pending[0], p.pending[1:]
		return nil
	}
	t, err := p.lex.next()
	if err != nil {
		return err
	}
	p.tok = t
	if t.kind != tokWord {
		return nil
	}
	value, ok := p.defines[t.text]
	if !ok {
		return nil
	}
	sub := newLexer("", value, p.lex.os)
	for {
		u, err := sub.next()
		if err != nil {
			return &Error{t.pos, fmt.Sprintf("in the value of %s: %s", t.text, err.(*Error).Msg)}
		}
		if u.kind == tokEOF {
			break
		}
		u.pos, u.off, u.end = t.pos, t.off, t.end
		p.pending = append(p.pending, u)
	}
	return p.advance()
}

// punct passes over the punctuation c.
func (p *parser) punct(c byte) error {
	if !p.tok.is(c) {
		return p.expected(fmt.Sprintf("'%c'", c))
	}
	return p.advance()
}

// word passes over the word w.
func (p *parser) word(w string) error {
	if !p.tok.isWord(w) {
		return p.expected(fmt.Sprintf("%q", w))
	}
	return p.advance()
}

// optional passes over the punctuation c, if it is there.
func (p *parser) optional(c byte) (bool, error) {
	if !p.tok.is(c) {
		return false, nil
	}
	return true, p.advance()
}

// peek returns the token behind the present one.
func (p *parser) peek() (token, error) {
	if len(p.pending) > 0 {
		return p.pending[0], nil
	}
	saved := *p.lex
	t, err := p.lex.next()
	*p.lex = saved
	return t, err
}

// ahead returns the next n tokens without going on. Those beyond the end, or beyond what
// is no token, are the end.
func (p *parser) ahead(n int) []token {
	lex, tok, pending := *p.lex, p.tok, p.pending
	defer func() { *p.lex, p.tok, p.pending = lex, tok, pending }()
	ts := make([]token, n)
	for i := range ts {
		if p.advance() != nil {
			p.tok = token{kind: tokEOF}
		}
		ts[i] = p.tok
		if p.tok.kind == tokEOF {
			break
		}
	}
	return ts
}

func (p *parser) script(s *Script) error {
	if err := p.advance(); err != nil {
		return err
	}
	for p.tok.kind == tokOption {
		o, err := p.option()
		if err != nil {
			return err
		}
		s.Options = append(s.Options, o)
	}
	for p.tok.kind == tokCommand {
		c := p.commandAction()
		if s.Init == nil {
			s.Init = c
		} else {
			s.Init.Text += "\n" + c.Text
		}
		if err := p.advance(); err != nil {
			return err
		}
	}
	for {
		switch {
		case p.tok.kind == tokEOF:
			if len(s.Events) == 0 {
				return p.expected("an event")
			}
			return nil
		case p.tok.kind == tokCommand && len(s.Events) > 0:
			s.Cleanup = p.commandAction()
			if err := p.advance(); err != nil {
				return err
			}
			if p.tok.kind != tokEOF {
				return &Error{s.Cleanup.Pos, "expected the time of an event; only the last command of a script goes without"}
			}
			return nil
		}
		e, err := p.event()
		if err != nil {
			return err
		}
		s.Events = append(s.Events, e)
	}
}

// option reads "--name", "--name=value" or "--name=SYMBOL=value". Values are
// taken from the source: they end with a blank, outside quotes.
func (p *parser) option() (Option, error) {
	o := Option{Pos: p.tok.pos, Name: p.tok.text}
	src, off := p.lex.src, p.tok.end
	rest := strings.TrimLeft(src[off:], " \t")
	if strings.HasPrefix(rest, "=") {
		o.HasValue = true
		off = len(src) - len(rest) + 1
		for off < len(src) && (src[off] == ' ' || src[off] == '\t') {
			off++
		}
		start := off
	value:
		for off < len(src) {
			switch c := src[off]; {
			case c == '"' || c == '`':
				end := closing(src[off:], c)
				if end < 0 {
					return o, &Error{p.lex.at(off), fmt.Sprintf("this value does not end: expected %c", c)}
				}
				off += end + 1
			case isBlank(c), strings.HasPrefix(src[off:], "//") && !strings.HasSuffix(src[start:off], ":"):
				break value
			default:
				off++
			}
		}
		o.Value = src[start:off]
		if o.Value == "" {
			return o, &Error{p.lex.at(off), "expected the value of --" + o.Name}
		}
		if n := len(o.Value); n >= 2 && o.Value[0] == '"' && closing(o.Value, '"') == n-1 {
			o.Value, o.quoted = o.Value[1:n-1], true
		}
	}
	if o.Name == "define" {
		name, value, ok := strings.Cut(o.Value, "=")
		if !ok || name == "" {
			return o, &Error{o.Pos, "expected --define=NAME=value"}
		}
		p.defines[name] = value
	}
	p.lex.rewind(off)
	return o, p.advance()
}

func (p *parser) event() (Event, error) {
	e := Event{Pos: p.tok.pos}
	var err error
	if e.Time, err = p.time(); err != nil {
		return e, err
	}
	switch {
	case p.tok.is('<') || p.tok.is('>'):
		e.Action, err = p.packet()
	case p.tok.kind == tokWord || p.tok.kind == tokDots:
		e.Action, err = p.syscall()
	case p.tok.kind == tokCommand:
		e.Action = p.commandAction()
		err = p.advance()
	case p.tok.kind == tokCode:
		e.Action = p.code()
		err = p.advance()
	default:
		err = p.expected("a packet (< or >), a system call, a `command` or %{ code }%")
	}
	if err != nil {
		return e, err
	}
	pkt, ok := e.Action.(*Packet)
	if (!ok || pkt.Dir != Outbound) && e.Time.Kind >= AnyTime {
		what := "a range of times"
		if e.Time.Kind == AnyTime {
			what = "the time *"
		}
		return e, &Error{e.Time.Pos, what + " is for outbound packets only"}
	}
	return e, nil
}

// time reads the time of an event.
func (p *parser) time() (Time, error) {
	t := Time{Pos: p.tok.pos}
	var err error
	if p.tok.is('*') {
		t.Kind = AnyTime
		return t, p.advance()
	}
	relative, err := p.optional('+')
	if err != nil {
		return t, err
	}
	if relative {
		t.Kind = Relative
	}
	if t.At, err = p.seconds(); err != nil {
		return t, err
	}
	ranged, err := p.optional('~')
	if err != nil || !ranged {
		return t, err
	}
	t.Kind += AbsoluteRange
	if relative {
		if _, err := p.optional('+'); err != nil {
			return t, err
		}
	}
	if t.Until, err = p.seconds(); err != nil {
		return t, err
	}
	if t.Until < t.At {
		return t, &Error{t.Pos, "the range of times is backwards"}
	}
	return t, nil
}

// seconds reads a number of seconds.
func (p *parser) seconds() (time.Duration, error) {
	if p.tok.kind != tokInt && p.tok.kind != tokFloat {
		return 0, p.expected("a time in seconds")
	}
	text := p.tok.text
	if text[0] == '-' {
		return 0, p.fail("a time cannot be negative: %s", clip(text))
	}
	whole, fraction, _ := strings.Cut(text, ".")
	var d time.Duration
	for i := range len(whole) {
		tenfold := d > maxTime/10 // what does not fit must not wrap
		d = d*10 + time.Duration(whole[i]-'0')*time.Second
		if tenfold || d > maxTime {
			return 0, p.fail("the time %s is beyond %v", clip(text), maxTime)
		}
	}
	unit := time.Second
	for i := 0; i < len(fraction) && unit > 1; i++ {
		unit /= 10
		d += time.Duration(fraction[i]-'0') * unit
	}
	return d, p.advance()
}

// maxTime is the latest time of an event.
const maxTime = 100 * 365 * 24 * time.Hour

func (p *parser) commandAction() *Command {
	return &Command{p.tok.pos, strings.ReplaceAll(p.tok.text, "\\`", "`")}
}

// code removes the blanks and tabs around code, as the first line of Python
// must not be indented.
func (p *parser) code() *Code {
	text := strings.TrimLeft(p.tok.text, " \t")
	pos := p.tok.pos
	pos.Col += len("%{") + len(p.tok.text) - len(text)
	return &Code{pos, strings.TrimRight(text, " \t")}
}

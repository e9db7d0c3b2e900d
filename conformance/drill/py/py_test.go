package py

import (
	"errors"
	"strings"
	"testing"
)

func env() *Env {
	vals := map[string]int64{"tcpi_state": 1, "tcpi_snd_cwnd": 10, "tcpi_options": 7, "tcpi_rtt": 100000, "TCP_ESTABLISHED": 1}
	return &Env{Lookup: func(n string) (int64, bool) { v, ok := vals[n]; return v, ok }}
}

func run(src string, e *Env) error {
	p, err := Compile(src, Pos{10, 5})
	if err != nil {
		return err
	}
	return p.Run(e)
}

func TestHolds(t *testing.T) {
	for _, src := range []string{
		"assert tcpi_snd_cwnd == 10",
		"assert tcpi_snd_cwnd == 10, tcpi_snd_cwnd",
		"assert 5 < tcpi_snd_cwnd <= 10 < 11 != 12",
		"assert tcpi_options & 4 != 4 or (tcpi_options & 4) == 4",
		"assert not tcpi_state != TCP_ESTABLISHED and True",
		"assert tcpi_snd_cwnd in (9, 10) and 3 not in [1, 2]",
		"assert (tcpi_rtt >= 90 * 1000 and\n  tcpi_rtt <= 110000), 'no'",
		"a = 5; b = a + 2\nassert a * b == 35 and b // 2 == 3 and -7 // 2 == -4 and -7 % 3 == 2 and 7 / 2 == 3.5",
		"x, y = 1, 2\nx += 10\nassert x == 11 and y << 3 == 16 and 2 ** 10 == 1024 and ~0 == -1 and 0x10 ^ 1 == 17",
		"if tcpi_state == 2:\n  assert False\nelif tcpi_state == 1:\n  z = 3\nelse:\n  assert False\nassert z == 3",
		"n = 0\nwhile n < 5:\n    n += 1\n    if n == 4: break\nassert n == 4",
		"s = 0\nfor i in range(5):\n  s += i\nassert s == 10",
		"for a, b in [(1, 2), (3, 4)]:\n\tassert b == a + 1\n",
		"assert 'cwnd %d of %s, %.2f%%' % (10, 'x', 0.5) == 'cwnd 10 of x, 0.50%'",
		"assert f'{tcpi_snd_cwnd} {1+1:03d} {{}}' == '10 002 {}'",
		"assert min(3, 1, 2) == 1 and max([1, 5]) == 5 and abs(-2) == 2 and len('abc') == 3 and sum((1, 2)) == 3",
		"assert (1 if tcpi_state else 2) == 1",
		"assert None is None and 1 is not None",
		"assert 'a' 'b' + \"c\" == 'abc'",
		"assert round(2.567, 2) == 2.57 and int(3.9) == 3 and hex(255) == '0xff' and str(1.0) == '1.0'",
		"# a comment\n\npass\nassert 18446744073709551615 == 2 ** 64 - 1",
		"   assert True\n   assert True",
		"assert 1_000 == 1000 and 1e3 == 1000 and .5 == 1 / 2",
		"assert [1, 2][-1] == 2",
	} {
		if err := run(src, env()); err != nil {
			t.Errorf("%s\n%v", src, err)
		}
	}
}

func TestPrintAndSharedVariables(t *testing.T) {
	e := env()
	if err := run("v = tcpi_snd_cwnd\nprint('cwnd', v, [1, (2,)], True, None, 0.1)", e); err != nil {
		t.Fatal(err)
	}
	if err := run("assert v == 10", e); err != nil {
		t.Fatal(err)
	}
	if got := e.Out.String(); got != "cwnd 10 [1, (2,)] True None 0.1\n" {
		t.Errorf("%q", got)
	}
}

func TestErrors(t *testing.T) {
	var (
		assertion   *AssertionError
		unsupported *Unsupported
		syntax      *SyntaxError
		runtime     *RuntimeError
	)
	for _, c := range []struct {
		src, want string
		kind      any
	}{
		{"assert tcpi_snd_cwnd == 11, 'want %d' % 11", "10:5: assert tcpi_snd_cwnd == 11: want 11 (tcpi_snd_cwnd = 10)", &assertion},
		{"pass\n assert False", "unindent", nil},
		{"assert 1\nassert (tcpi_state\n  == 2)", "11:1: assert (tcpi_state == 2) (tcpi_state = 1)", &assertion},
		{"assert foo", "10:12: name 'foo' is not defined", &runtime},
		{"assert tcpi_unknown == 1", "10:12: Python: the value tcpi_unknown", &unsupported},
		{"import os", "10:5: Python: the statement import", &unsupported},
		{"print 'x'", "10:5: Python: print without parentheses", &unsupported},
		{"x = {1: 2}", "10:9: Python: a dictionary or a set", &unsupported},
		{"x = [i for i in range(3)]", "10:12: Python: a comprehension", &unsupported},
		{"foo(1)", "10:5: Python: the function foo", &unsupported},
		{"'a'.upper()", "10:8: Python: the attribute .upper", &unsupported},
		{"assert 1 +", "10:15: invalid syntax, found the end of the line", &syntax},
		{"assert (1", "10:14: expected ')', found the end of the line", &syntax},
		{"x = 'abc", "10:9: this string does not end", &syntax},
		{"x = 1 $ 2", "10:11: invalid character '$'", &syntax},
		{"assert 1 < 'a'", "10:12: '<' is not supported between an int and a str", &runtime},
		{"x = 1 // 0", "10:11: division by zero", &runtime},
		{"while True: pass", "the program takes too long", &runtime},
		{"x = 2 ** 5000", "out of range", &runtime},
		{"x = 'a' * 100000000", "the string is too long", &runtime},
		{"x = 1\nwhile 1: x = (x, x)", "the value is too large", &runtime},
		{"x = " + strings.Repeat("(", 100), "nested more than 60 deep", &unsupported},
	} {
		err := run(c.src, env())
		if c.kind == nil {
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || !errors.As(err, c.kind) {
			t.Errorf("%.60s\ngot  %T %v\nwant %s", c.src, err, err, c.want)
		}
	}
}

func FuzzRun(f *testing.F) {
	f.Add("assert tcpi_snd_cwnd == 10, 'x %d' % 5\nif 1:\n  print(f'{1:03d}')\nfor a, b in [(1, 2)]: a += b")
	f.Add("x = not not 5 if 3 < 4 <= 5 else [1, 2][0] ** -2 // .5")
	f.Fuzz(func(t *testing.T, src string) {
		p, err := Compile(src, Pos{1, 1})
		if err == nil {
			p.Run(env())
		}
	})
}

package settings

import (
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// Query is a command that prints the state of the system into a pipeline whose
// last stage tells success or failure, as in
//
//	sockstat -s -P tcp | grep -c ESTABLISHED | grep -q 1
type Query struct {
	// Source is the command: "sockstat", "netstat", "ss", "nstat" or "sysctl".
	Source string
	Args   []string
	Text   string // all of it

	negate bool // "!" stands before it: it is to fail
	stages []func(lines []string) ([]string, bool, error)
}

// Check runs what the command would have printed through the pipeline, and
// says why that fails.
func (q *Query) Check(lines []string) error {
	in := lines
	ok := true
	for _, f := range q.stages {
		out, fine, err := f(lines)
		if err != nil {
			return err
		}
		lines, ok = out, fine
	}
	if ok == q.negate {
		return fmt.Errorf("%s: wrong on\n%s", q.Text, strings.Join(in, "\n"))
	}
	return nil
}

// query reads a pipeline.
func (s *Settings) query(name string, args []string, stages []stage) []Effect {
	if name == "cat" && len(args) == 2 && strings.HasPrefix(args[1], "/proc/sys/") {
		name, args = "sysctl", []string{"sysctl", "-n", procKey(args[1])}
	}
	text := strings.Join(args, " ")
	for _, st := range stages {
		text += " | " + strings.Join(st.args, " ")
	}
	q := &Query{Source: name, Args: args[1:], Text: text}
	switch name {
	case "sockstat", "netstat", "ss", "nstat", "sysctl":
	default:
		return []Effect{Skip{"the shell command " + text}}
	}
	for _, st := range stages {
		if len(st.args) == 0 {
			return []Effect{Skip{"the shell command " + text}}
		}
		f := filter(st.args)
		if f == nil {
			return []Effect{Skip{"the shell command " + text}}
		}
		q.stages = append(q.stages, f)
	}
	if name == "sysctl" {
		return []Effect{s.sysctlQuery(q)}
	}
	return []Effect{q}
}

// sysctlQuery asks for a value: what was set. A default is not known, and what
// one greps for is taken to be there.
func (s *Settings) sysctlQuery(q *Query) Effect {
	for _, k := range dropFlags(q.Args) {
		text, ok := s.Keys[sysctlKey(k)]
		if !ok {
			return Note{q.Text + ": the default is taken to be what is asked for"}
		}
		if !strings.Contains(strings.Join(q.Args, " "), "-n") {
			text = sysctlKey(k) + " = " + text
		}
		if err := q.Check([]string{text}); err != nil {
			return Skip{"the shell command " + q.Text}
		}
	}
	return Note{q.Text}
}

// filter returns what one command of a pipeline does to lines, or nil.
func filter(args []string) func([]string) ([]string, bool, error) {
	switch path.Base(args[0]) {
	case "grep", "egrep", "fgrep":
		return grep(args)
	case "wc":
		if len(args) == 2 && args[1] == "-l" {
			return func(in []string) ([]string, bool, error) { return []string{strconv.Itoa(len(in))}, true, nil }
		}
	case "head", "tail":
		n, err := 10, error(nil)
		switch {
		case len(args) == 3 && args[1] == "-n":
			n, err = strconv.Atoi(args[2])
		case len(args) == 2:
			n, err = strconv.Atoi(strings.TrimPrefix(strings.TrimPrefix(args[1], "-n"), "-"))
		case len(args) != 1:
			return nil
		}
		if err != nil || n < 0 {
			return nil
		}
		tail := path.Base(args[0]) == "tail"
		return func(in []string) ([]string, bool, error) {
			k := min(n, len(in))
			if tail {
				return in[len(in)-k:], true, nil
			}
			return in[:k], true, nil
		}
	case "cat", "tee", "sort":
		return func(in []string) ([]string, bool, error) { return in, true, nil }
	}
	return nil
}

// grep reads grep(1) with the flags -c -q -v -i -w -x -E -F -o -e and -s.
func grep(args []string) func([]string) ([]string, bool, error) {
	var patterns []string
	var count, invert, fold, word, line, fixed bool
	fixed = path.Base(args[0]) == "fgrep"
	extended := path.Base(args[0]) == "egrep"
	for i := 1; i < len(args); i++ {
		a := args[i]
		if !strings.HasPrefix(a, "-") || a == "-" {
			patterns = append(patterns, a)
			continue
		}
		if strings.HasPrefix(a, "--") {
			if a == "--quiet" || a == "--silent" || strings.HasPrefix(a, "--color") {
				continue
			}
			return nil
		}
		for j := 1; j < len(a); j++ {
			switch a[j] {
			case 'c':
				count = true
			case 'v':
				invert = true
			case 'i', 'y':
				fold = true
			case 'w':
				word = true
			case 'x':
				line = true
			case 'F':
				fixed = true
			case 'E', 'P':
				extended = true
			case 'q', 's', 'o', 'a':
			case 'e':
				if j+1 == len(a) && i+1 < len(args) {
					i++
					patterns = append(patterns, args[i])
					j = len(a)
					break
				}
				return nil
			default:
				return nil
			}
		}
	}
	if len(patterns) != 1 {
		return nil
	}
	re := patterns[0]
	switch {
	case fixed:
		re = regexp.QuoteMeta(re)
	case !extended:
		re = basic(re)
	}
	if word {
		re = `\b(?:` + re + `)\b`
	}
	if line {
		re = `^(?:` + re + `)$`
	}
	if fold {
		re = "(?i)" + re
	}
	if len(re) > 1000 {
		return nil
	}
	x, err := regexp.Compile(re)
	if err != nil {
		return nil
	}
	return func(in []string) ([]string, bool, error) {
		var out []string
		for _, l := range in {
			if x.MatchString(l) != invert {
				out = append(out, l)
			}
		}
		ok := len(out) > 0
		if count {
			out = []string{strconv.Itoa(len(out))}
		}
		return out, ok, nil
	}
}

// basic turns a basic regular expression into an extended one: there, what
// groups and repeats wants a backslash.
func basic(re string) string {
	var b strings.Builder
	for i := 0; i < len(re); i++ {
		c := re[i]
		switch {
		case c == '\\' && i+1 < len(re):
			i++
			if strings.IndexByte("(){}|+?", re[i]) >= 0 {
				b.WriteByte(re[i])
			} else {
				b.WriteByte('\\')
				b.WriteByte(re[i])
			}
		case strings.IndexByte("(){}|+?", c) >= 0:
			b.WriteByte('\\')
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

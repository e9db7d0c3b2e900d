package settings

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Command reads shell commands, applies what they set, and returns what they
// mean, in order. Nothing is executed.
func (s *Settings) Command(text string) []Effect {
	lists, err := split(text)
	if err != nil {
		return []Effect{Skip{"in a shell command, " + err.Error()}}
	}
	var out []Effect
	for _, p := range lists {
		out = append(out, s.pipeline(p, 0)...)
	}
	return out
}

// stage is one command of a pipeline.
type stage struct {
	args []string
	out  string // file that its output goes to
}

// Most that a command may have of anything.
const (
	maxStages  = 1000
	maxNesting = 4
)

// split cuts a command into pipelines. What "||" leads to is left out: the
// left side is taken to succeed.
func split(text string) ([][]stage, error) {
	var lists [][]stage
	var p []stage
	var cur stage
	stages := 0
	skipping := false // behind "||"
	endStage := func() error {
		if len(cur.args) > 0 || cur.out != "" {
			p = append(p, cur)
			if stages++; stages > maxStages {
				return fmt.Errorf("there are more than %d commands", maxStages)
			}
		}
		cur = stage{}
		return nil
	}
	endList := func(or bool) error {
		if err := endStage(); err != nil {
			return err
		}
		if len(p) > 0 && !skipping {
			lists = append(lists, p)
		}
		p, skipping = nil, or
		return nil
	}
	i := 0
	word := func() (string, error) {
		var b strings.Builder
		for i < len(text) {
			switch c := text[i]; c {
			case ' ', '\t', '\n', '\r', ';', '&', '|', '<', '>', '(', ')':
				return b.String(), nil
			case '\'':
				n := strings.IndexByte(text[i+1:], '\'')
				if n < 0 {
					return "", fmt.Errorf("a quote is not closed")
				}
				b.WriteString(text[i+1 : i+1+n])
				i += n + 2
			case '"':
				i++
				for {
					if i >= len(text) {
						return "", fmt.Errorf("a quote is not closed")
					}
					if text[i] == '"' {
						break
					}
					if text[i] == '$' || text[i] == '`' {
						return "", fmt.Errorf("there is an expansion (%q)", string(text[i]))
					}
					if text[i] == '\\' && i+1 < len(text) && strings.IndexByte("\"\\$`\n", text[i+1]) >= 0 {
						i++
					}
					b.WriteByte(text[i])
					i++
				}
				i++
			case '\\':
				if i+1 < len(text) {
					if text[i+1] != '\n' {
						b.WriteByte(text[i+1])
					}
					i++
				}
				i++
			case '$', '`':
				return "", fmt.Errorf("there is an expansion (%q)", string(c))
			default:
				b.WriteByte(c)
				i++
			}
		}
		return b.String(), nil
	}
	for i < len(text) {
		rest := text[i:]
		var err error
		switch {
		case rest[0] == ' ' || rest[0] == '\t' || rest[0] == '\r':
			i++
		case rest[0] == '#':
			for i < len(text) && text[i] != '\n' {
				i++
			}
		case strings.HasPrefix(rest, "\\\n"):
			i += 2
		case strings.HasPrefix(rest, "&&"):
			i += 2
			err = endList(false)
		case strings.HasPrefix(rest, "||"):
			i += 2
			err = endList(true)
		case strings.HasPrefix(rest, "&>"):
			i++
		case rest[0] == ';' || rest[0] == '\n' || rest[0] == '&':
			i++
			err = endList(false)
		case rest[0] == '|':
			i++
			err = endStage()
		case rest[0] == '(' || rest[0] == ')':
			i++
			err = endList(false)
		case strings.HasPrefix(rest, "<<"):
			return nil, fmt.Errorf("there is a here-document")
		case rest[0] == '<':
			i++
			for i < len(text) && text[i] == ' ' {
				i++
			}
			_, err = word()
		case rest[0] == '>' || rest[0] == '1' && strings.HasPrefix(rest, "1>") || strings.HasPrefix(rest, "2>"):
			second := rest[0] == '2'
			if rest[0] != '>' {
				i++
			}
			for i < len(text) && text[i] == '>' {
				i++
			}
			if i < len(text) && text[i] == '&' { // 2>&1
				i++
				_, err = word()
				break
			}
			for i < len(text) && text[i] == ' ' {
				i++
			}
			var file string
			if file, err = word(); err == nil && !second {
				cur.out = file
			}
		default:
			before := i
			var w string
			if w, err = word(); err == nil {
				if i == before {
					return nil, fmt.Errorf("there is %q", string(rest[0]))
				}
				cur.args = append(cur.args, w)
			}
		}
		if err != nil {
			return nil, err
		}
	}
	if err := endList(false); err != nil {
		return nil, err
	}
	return lists, nil
}

// pipeline reads one pipeline.
func (s *Settings) pipeline(p []stage, depth int) []Effect {
	args := p[0].args
	negate := false
	for len(args) > 0 && (args[0] == "sudo" || args[0] == "!" || args[0] == "exec" || args[0] == "command" || isAssignment(args[0])) {
		negate = negate != (args[0] == "!")
		args = args[1:]
	}
	if len(args) == 0 {
		return []Effect{Note{"nothing to do"}}
	}
	name := path.Base(args[0])
	last := p[len(p)-1]
	switch {
	case name == "sh" || name == "bash" || name == "dash":
		if len(args) == 3 && strings.HasPrefix(args[1], "-") && strings.HasSuffix(args[1], "c") && depth < maxNesting {
			lists, err := split(args[2])
			if err != nil {
				return []Effect{Skip{"in a shell command, " + err.Error()}}
			}
			var out []Effect
			for _, l := range lists {
				out = append(out, s.pipeline(l, depth+1)...)
			}
			return out
		}
		if len(args) >= 2 {
			args, name = args[1:], path.Base(args[1])
		}
	case (name == "echo" || name == "printf") && strings.HasPrefix(last.out, "/proc/sys/"):
		return []Effect{s.set(procKey(last.out), strings.Join(dropFlags(args[1:]), " "))}
	case name == "echo" && len(p) == 2 && slices.Contains(p[1].args, "tee"):
		if f := p[1].args[len(p[1].args)-1]; strings.HasPrefix(f, "/proc/sys/") {
			return []Effect{s.set(procKey(f), strings.Join(dropFlags(args[1:]), " "))}
		}
	}
	if strings.HasSuffix(name, ".sh") || strings.HasSuffix(name, ".py") {
		return s.helper(name, args[1:])
	}
	if len(p) > 1 {
		effects := s.query(name, args, p[1:])
		for _, e := range effects {
			if q, ok := e.(*Query); ok {
				q.negate = negate
			}
		}
		return effects
	}
	switch name {
	case "sysctl":
		return s.sysctl(args[1:])
	case "ip":
		return s.ip(args[1:])
	case "ifconfig":
		return s.ifconfig(args[1:])
	case "tc":
		return tc(args[1:])
	case "sleep", "usleep":
		return []Effect{sleep(name, args[1:])}
	case "echo", "printf":
		if last.out != "" && !strings.HasPrefix(last.out, "/dev/") {
			text := strings.Join(dropFlags(args[1:]), " ")
			if name == "echo" && (len(args) < 2 || args[1] != "-n") {
				text += "\n"
			}
			return []Effect{File{last.out, []byte(text), int64(len(text))}}
		}
		return []Effect{Note{name + ": output is not shown"}}
	case "dd", "truncate":
		return []Effect{file(name, args[1:])}
	case "touch":
		var out []Effect
		for _, f := range dropFlags(args[1:]) {
			out = append(out, File{Path: f})
		}
		return out
	case "true", ":", "rm", "cat", "mkdir", "rmdir", "chmod", "date", "export", "set", "unset", "ulimit", "umask", "cd", "wait",
		"sync", "logger", "kldload", "kldstat", "kldunload", "modprobe", "rmmod", "lsmod", "hash", "type", "which", "uname", "id", "exit":
		return []Effect{Note{name + ": " + noFile}}
	case "ethtool", "txqueuelen":
		return []Effect{Note{name + ": segments are compared after they have been cut"}}
	case "nstat", "ss", "netstat", "sockstat", "dmesg", "ps":
		for _, a := range args[1:] {
			if name == "ss" && (a == "-K" || a == "--kill") {
				return []Effect{Skip{"connections aborted by ss -K"}}
			}
		}
		return []Effect{Note{name + ": output is not shown"}}
	}
	return []Effect{Skip{"the shell command " + name}}
}

func isAssignment(w string) bool {
	name, _, ok := strings.Cut(w, "=")
	return ok && name != "" && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") == ""
}

// dropFlags leaves out what starts with a dash.
func dropFlags(args []string) []string {
	var out []string
	for _, a := range args {
		if !strings.HasPrefix(a, "-") || len(a) > 1 && a[1] >= '0' && a[1] <= '9' {
			out = append(out, a)
		}
	}
	return out
}

// procKey turns /proc/sys/a/b into a.b.
func procKey(file string) string {
	return strings.ReplaceAll(strings.Trim(strings.TrimPrefix(file, "/proc/sys/"), "/"), "/", ".")
}

// sysctlKey is a key as sysctl(8) takes it.
func sysctlKey(name string) string {
	if strings.HasPrefix(name, "/proc/sys/") {
		return procKey(name)
	}
	return strings.ReplaceAll(name, "/", ".")
}

// sysctl reads "key=value" and "-w key=value"; a key alone is printed, which
// nobody sees.
func (s *Settings) sysctl(args []string) []Effect {
	var out []Effect
	args = dropFlags(args)
	for i := 0; i < len(args); i++ {
		name, text, ok := strings.Cut(args[i], "=")
		switch {
		case ok && text == "" && i+1 < len(args) && !strings.Contains(args[i+1], "="): // "key= value"
			i++
			text = args[i]
		case !ok && i+2 < len(args) && args[i+1] == "=": // "key = value"
			text = args[i+2]
			i += 2
		case !ok:
			if _, known := lookup(sysctlKey(name)); !known {
				out = append(out, Skip{"the sysctl " + sysctlKey(name)})
				continue
			}
			out = append(out, Note{"sysctl " + name + ": output is not shown"})
			continue
		}
		// A value of several numbers need not be quoted.
		for i+1 < len(args) && !strings.Contains(args[i+1], "=") && isNumber(args[i+1]) && isNumber(text[strings.LastIndexByte(text, ' ')+1:]) {
			i++
			text += " " + args[i]
		}
		out = append(out, s.set(sysctlKey(name), strings.TrimSpace(text)))
	}
	return out
}

func isNumber(s string) bool {
	_, err := strconv.ParseInt(s, 0, 64)
	return err == nil
}

// helper reads the call of a script that configures: the profile's defaults,
// and what its arguments set.
func (s *Settings) helper(name string, args []string) []Effect {
	var out []Effect
	for _, a := range dropFlags(args) {
		k, text, ok := strings.Cut(a, "=")
		if !ok {
			continue
		}
		if strings.HasPrefix(k, "/proc/sys/") || strings.Contains(k, ".") {
			out = append(out, s.set(sysctlKey(k), text))
		}
	}
	return append(out, Note{name + ": the defaults of the profile " + string(s.Profile)})
}

// ip reads ip(8).
func (s *Settings) ip(args []string) []Effect {
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		args = args[1:]
	}
	if len(args) == 0 {
		return []Effect{Note{"ip: output is not shown"}}
	}
	object := args[0]
	is := func(full string) bool { return object != "" && strings.HasPrefix(full, object) }
	switch {
	case is("route"):
		return s.route(args[1:])
	case is("link") && len(args) > 1:
		for i, a := range args[:len(args)-1] {
			if a == "mtu" {
				return []Effect{s.mtu("ip link mtu", args[i+1], func(n int) { s.MTU = n })}
			}
		}
		return []Effect{Note{"ip link: " + noFile}}
	case is("link"), is("address"), is("neighbour"), is("rule"), object == "neigh", object == "addr", object == "tcp_metrics", object == "tcpmetrics", is("maddress"):
		return []Effect{Note{"ip " + object + ": " + noFile}}
	}
	return []Effect{Skip{"the shell command ip " + object}}
}

func (s *Settings) mtu(what, text string, apply func(int)) Effect {
	n, err := strconv.Atoi(text)
	if err != nil || n < 68 || n > 65535 {
		return Skip{fmt.Sprintf("%s %q", what, text)}
	}
	apply(n)
	return Set{what, text}
}

// route reads the attributes of a route.
func (s *Settings) route(args []string) []Effect {
	var out []Effect
	for i := 0; i < len(args); i++ {
		next := func() string {
			if i+1 < len(args) && args[i+1] == "lock" {
				i++
			}
			if i+1 < len(args) {
				i++
				return args[i]
			}
			return ""
		}
		name := args[i]
		what := "ip route " + name
		switch name {
		case "initcwnd", "initrwnd":
			text := next()
			n, err := strconv.Atoi(text)
			if err != nil || n < 0 || n > 1<<20 {
				out = append(out, Skip{what + " " + text})
				continue
			}
			if name == "initcwnd" {
				s.InitialWindow = n
			} else {
				s.InitialReceiveWindow = n
			}
			out = append(out, Set{what, text})
		case "mtu":
			out = append(out, s.mtu(what, next(), func(n int) { s.PathMTU = n }))
		case "advmss":
			out = append(out, s.mtu(what, next(), func(n int) { s.MSS = int64(n) }))
		case "quickack":
			text := next()
			s.AckEvery = text == "1"
			out = append(out, Set{what, text})
		case "congctl":
			s.Congestion = next()
			out = append(out, Set{what, s.Congestion})
		case "rto_min":
			text := next()
			d, err := parseTime(text)
			if err != nil {
				out = append(out, Skip{what + " " + text})
				continue
			}
			s.RTOMin = d
			out = append(out, Set{what, text})
		case "hoplimit":
			text := next()
			if n, err := strconv.Atoi(text); err == nil && n > 0 && n < 256 {
				s.TTL = n
			}
			out = append(out, Set{what, text})
		case "features":
			text := next()
			switch text {
			case "ecn":
				s.ECN = ECNRequest
				out = append(out, Set{what, text})
			default:
				out = append(out, Skip{what + " " + text})
			}
		case "window", "cwnd", "ssthresh", "rtt", "rttvar", "reordering", "fastopen_no_cookie":
			out = append(out, Skip{what + " " + next()})
		}
	}
	if len(out) == 0 {
		out = append(out, Note{"ip route: " + noFile})
	}
	return out
}

// parseTime reads a time of ip(8): milliseconds, unless a unit is given.
func parseTime(text string) (time.Duration, error) {
	if n, err := strconv.Atoi(text); err == nil && n >= 0 && n < 1<<30 {
		return time.Duration(n) * time.Millisecond, nil
	}
	d, err := time.ParseDuration(text)
	if err == nil && d < 0 {
		err = fmt.Errorf("negative")
	}
	return d, err
}

func (s *Settings) ifconfig(args []string) []Effect {
	for i, a := range args {
		if a == "mtu" && i+1 < len(args) {
			return []Effect{s.mtu("ifconfig mtu", args[i+1], func(n int) { s.MTU = n })}
		}
	}
	return []Effect{Note{"ifconfig: " + noFile}}
}

func tc(args []string) []Effect {
	for _, a := range args {
		switch a {
		case "netem", "tbf", "htb", "police", "bpf", "pedit", "filter", "mirred", "red", "codel", "fq_codel":
			if a == "fq_codel" || a == "codel" {
				break // no queue builds up in a script
			}
			return []Effect{Skip{"tc " + a}}
		}
	}
	return []Effect{Note{"tc: there is no queue below the stack"}}
}

func sleep(name string, args []string) Effect {
	unit := time.Second
	if name == "usleep" {
		unit = time.Microsecond
	}
	if len(args) != 1 {
		return Skip{"the shell command " + name + " " + strings.Join(args, " ")}
	}
	text := args[0]
	for suffix, u := range map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "ms": time.Millisecond} {
		if t := strings.TrimSuffix(text, suffix); t != text && strings.Trim(t, "0123456789.") == "" {
			text, unit = t, u
			break
		}
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !(f >= 0 && f*float64(unit) < float64(24*time.Hour)) {
		return Skip{"the shell command " + name + " " + args[0]}
	}
	return Sleep{time.Duration(f * float64(unit))}
}

// file reads dd and truncate.
func file(name string, args []string) Effect {
	var f File
	if name == "truncate" {
		for i, a := range args {
			if a == "-s" && i+1 < len(args) {
				f.Size = size(args[i+1])
			} else if strings.HasPrefix(a, "-s") && len(a) > 2 {
				f.Size = size(a[2:])
			} else if !strings.HasPrefix(a, "-") && (i == 0 || args[i-1] != "-s") {
				f.Path = a
			}
		}
	} else {
		block, count := int64(512), int64(1)
		for _, a := range args {
			k, v, _ := strings.Cut(a, "=")
			switch k {
			case "of":
				f.Path = v
			case "bs":
				block = size(v)
			case "count":
				count = size(v)
			}
		}
		if block >= 0 && count >= 0 && (count == 0 || block <= maxFile/count) {
			f.Size = block * count
		} else {
			f.Size = -1
		}
	}
	if f.Path == "" || f.Size < 0 || f.Size > maxFile {
		return Skip{"the shell command " + name + " " + strings.Join(args, " ")}
	}
	return f
}

// maxFile is how large a file may be.
const maxFile = 1 << 30

// size reads a number with a suffix, -1 if it is none.
func size(text string) int64 {
	unit := int64(1)
	if n := len(text); n > 0 {
		switch text[n-1] {
		case 'k', 'K':
			unit = 1 << 10
		case 'm', 'M':
			unit = 1 << 20
		case 'g', 'G':
			unit = 1 << 30
		}
		if unit > 1 {
			text = text[:n-1]
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > maxFile/unit {
		return -1
	}
	return n * unit
}

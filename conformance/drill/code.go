package drill

import (
	"errors"
	"strings"

	"github.com/sluicenet/sluice/conformance/drill/py"
	"github.com/sluicenet/sluice/conformance/drill/script"
	"github.com/sluicenet/sluice/conformance/drill/sock"
)

// maxOutput bounds what a verdict keeps of print.
const maxOutput = 4 << 10

// snapshot returns what tcp_info says of the connection in hand.
func (r *run) snapshot() (map[string]int64, error) {
	r.needHost()
	fd := -1
	r.mu.Lock()
	if r.cur != nil {
		fd = r.cur.fd
	}
	r.mu.Unlock()
	live, ok := r.caller.fds[int64(fd)]
	if !ok { // the script has not accepted it: the socket opened last
		last := int64(-1)
		for v := range r.caller.fds {
			last = max(last, v)
		}
		if live, ok = r.caller.fds[last]; !ok {
			return nil, nil
		}
	}
	return r.host.Process.Info(live)
}

// code runs the script's code at once, rather than at the end: what it asserts is
// the same, and a failure is shown where it happens.
func (r *run) code(c *script.Code) {
	p, err := py.Compile(c.Text, py.Pos{Line: c.Pos.Line, Col: c.Pos.Col})
	if err == nil {
		var info map[string]int64
		if info, err = r.snapshot(); err == nil {
			missing := ""
			r.python.Lookup = func(name string) (int64, bool) {
				if v, ok := info[name]; ok {
					return v, true
				}
				if strings.HasPrefix(name, "tcpi_") || strings.HasPrefix(name, "SK_MEMINFO") || strings.HasPrefix(name, "bbr_") ||
					strings.HasPrefix(name, "tcpv_") || strings.HasPrefix(name, "dctcp_") {
					missing = name
				}
				v, ok := sock.Symbols[name]
				return v, ok
			}
			err = p.Run(&r.python)
			if out := r.python.Out.String(); out != "" {
				r.verdict.Output = out[max(0, len(out)-maxOutput):]
			}
			if err != nil && missing != "" {
				r.skip(c.Pos.Line, missing+" of the connection")
			}
		}
	}
	if err == nil {
		return
	}
	var u *py.Unsupported
	if errors.As(err, &u) {
		r.skip(u.Pos.Line, u.Error())
	}
	var n sock.Unsupported
	if errors.As(err, &n) {
		r.skip(c.Pos.Line, n.Feature)
	}
	var a *py.AssertionError
	if errors.As(err, &a) {
		r.verdict.Expect, r.verdict.Got = "assert "+a.Expr, a.Values
		r.verdict.WantAt, r.verdict.GotAt = seconds(r.evAt), seconds(r.now())
		r.failLine(a.Pos.Line, err.Error())
	}
	r.failLine(c.Pos.Line, err.Error())
}

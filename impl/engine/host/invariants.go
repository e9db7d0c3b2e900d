package host

import (
	"fmt"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
)

// Check returns what is wrong with the books of a Host at rest: with each
// connection's, with what is charged, with what is in the tables, and with the timers,
// of which the first has to be due when anything is. The Budget has to be this Host's
// alone.
func (h *Host) Check() error {
	if !h.Resting() {
		return fmt.Errorf("something is left to fetch")
	}
	var memory, flows, halfOpen, conns int64
	first := clock.Never
	seen := map[tuple]bool{}
	for c := range h.Conns() {
		conns++
		key := *c.Pair()
		if seen[key] {
			return fmt.Errorf("two connections from %v to %v", c.Local(), c.Remote())
		}
		seen[key] = true
		if err := c.Check(); err != nil {
			return fmt.Errorf("%v to %v: %w", c.Local(), c.Remote(), err)
		}
		switch state := c.State(); {
		case state == api.StateClosed || state == api.StateTimeWait:
			return fmt.Errorf("a connection in %v is in the table", state)
		default:
			flows++
		}
		first = min(first, c.Deadline())
		memory += c.Info(0).Memory
	}
	for q := h.halfOpenAges.first; q != nil; q = q.newer {
		halfOpen++
		if seen[q.key] {
			return fmt.Errorf("a half-open connection where there is another")
		}
		seen[q.key] = true
		first = min(first, q.listener.responder.Deadline(&q.state))
	}
	s, b := h.Stats(), h.budget
	if s.HalfOpen != halfOpen || s.Conns != conns || flows != b.Flows() || s.HalfOpen != b.HalfOpen() || memory != b.Memory() || h.frags.Memory() != b.Fragments() {
		return fmt.Errorf("%d flows of %d bytes, %d half-open, %d bytes of fragments; charged are %d of %d, %d and %d",
			flows, memory, s.HalfOpen, h.frags.Memory(), b.Flows(), b.Memory(), b.HalfOpen(), b.Fragments())
	}
	for _, l := range []struct {
		what      string
		is, limit int64
	}{
		{"flows", b.Flows(), orDefault(b.FlowLimit, 65536)},
		{"bytes", b.Memory(), orDefault(b.MemoryLimit, 256<<20)},
		{"half-open connections", b.HalfOpen(), orDefault(b.HalfOpenLimit, 4096)},
		{"bytes of fragments", b.Fragments(), orDefault(b.FragmentLimit, 4<<20)},
		{"records in TIME-WAIT", s.TimeWait, int64(h.cfg.MaxTimeWait)},
	} {
		if l.is > l.limit {
			return fmt.Errorf("%d %s, the limit is %d", l.is, l.what, l.limit)
		}
	}
	if h.replyBytes != 0 {
		return fmt.Errorf("%d bytes of replies charged, and there are none", h.replyBytes)
	}
	d := h.Deadline()
	switch {
	case d > first:
		return fmt.Errorf("a connection is due at %v, the host at %v", first, d)
	case d == clock.Never && (s.TimeWait > 0 || s.HalfOpen > 0 || h.frags.Len() > 0):
		return fmt.Errorf("no timer for %d in TIME-WAIT, %d half-open and %d incomplete datagrams", s.TimeWait, s.HalfOpen, h.frags.Len())
	case d != clock.Never && conns == 0 && s.TimeWait == 0 && s.HalfOpen == 0 && h.frags.Len() == 0:
		return fmt.Errorf("a timer at %v for nothing", d)
	}
	for i, t := range h.timers {
		if int(t.index) != i || i > 0 && h.timers.Less(i, (i-1)/2) {
			return fmt.Errorf("timer %d of %d is out of place", i, len(h.timers))
		}
	}
	return nil
}

func orDefault(n, usual int64) int64 {
	if n == 0 {
		return usual
	}
	return n
}

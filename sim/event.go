package sim

import "github.com/sluicenet/sluice/api/clock"

// Time is an instant of virtual time: nanoseconds since the start.
type Time = clock.Time

// Never is later than every instant.
const Never = clock.Never

// A timer is something to be done at an instant. Its owner arms it again and
// again; it is in the heap at most once.
type timer struct {
	at    Time
	order uint64
	index int // in the heap, -1 if it is not there
	do    doer
}

type doer interface{ fire(now Time) }

type doFunc func(now Time)

func (f doFunc) fire(now Time) { f(now) }

func newTimer(d doer) timer { return timer{at: Never, index: -1, do: d} }

// eventHeap has the timers in the order in which they are due, and those due at
// one instant in the order in which they were armed: a total order. It is a heap
// of four children a node, which is as deep as half a binary one. It holds
// a timer for each thing that can happen, not for each packet, so that the cost of
// a packet does not depend on how many are on their way.
type eventHeap struct {
	s     []*timer
	armed uint64
}

func (h *eventHeap) less(a, b *timer) bool {
	return a.at < b.at || a.at == b.at && a.order < b.order
}

// arm sets t to an instant, Never meaning none.
func (h *eventHeap) arm(t *timer, at Time) {
	if at == Never {
		h.disarm(t)
		return
	}
	h.armed++
	t.at, t.order = at, h.armed
	if t.index < 0 {
		t.index = len(h.s)
		h.s = append(h.s, t)
		h.up(t.index)
		return
	}
	if !h.up(t.index) {
		h.down(t.index)
	}
}

func (h *eventHeap) disarm(t *timer) {
	i := t.index
	if i < 0 {
		return
	}
	last := len(h.s) - 1
	moved := h.s[last]
	h.s[last] = nil
	h.s = h.s[:last]
	t.index, t.at = -1, Never
	if i < last {
		h.s[i], moved.index = moved, i
		if !h.up(i) {
			h.down(i)
		}
	}
}

// pop takes out the first.
func (h *eventHeap) pop() *timer {
	t := h.s[0]
	h.disarm(t)
	return t
}

func (h *eventHeap) up(i int) (moved bool) {
	t := h.s[i]
	for i > 0 {
		p := (i - 1) / 4
		if !h.less(t, h.s[p]) {
			break
		}
		h.s[i] = h.s[p]
		h.s[i].index = i
		i, moved = p, true
	}
	h.s[i], t.index = t, i
	return moved
}

func (h *eventHeap) down(i int) {
	t := h.s[i]
	for {
		first := 4*i + 1
		if first >= len(h.s) {
			break
		}
		least := first
		for c := first + 1; c < min(first+4, len(h.s)); c++ {
			if h.less(h.s[c], h.s[least]) {
				least = c
			}
		}
		if !h.less(h.s[least], t) {
			break
		}
		h.s[i] = h.s[least]
		h.s[i].index = i
		i = least
	}
	h.s[i], t.index = t, i
}

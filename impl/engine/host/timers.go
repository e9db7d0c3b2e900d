package host

import (
	"container/heap"

	"github.com/sluicenet/sluice/api/clock"
)

// A timer is when to look at its owner. It may come early: an owner whose deadline
// moves away, as that of a retransmission does with every ACK, is not moved in the
// heap, but looked at in vain and put back.
type timer struct {
	at    clock.Time
	order uint32
	index int32 // in the heap, -1 if it is not there
	owner timed
}

type timed interface {
	// due does what is due at now and arms the timer again.
	due(h *Host, now clock.Time)
}

// arm makes sure that t's owner is looked at by the given instant.
func (h *Host) arm(t *timer, at clock.Time) {
	switch {
	case at == clock.Never:
	case t.index < 0:
		h.armed++
		t.at, t.order = at, h.armed
		heap.Push(&h.timers, t)
	case at < t.at:
		t.at = at
		heap.Fix(&h.timers, int(t.index))
	}
}

func (h *Host) disarm(t *timer) {
	if t.index >= 0 {
		heap.Remove(&h.timers, int(t.index))
	}
}

// Timeout does what is due.
func (h *Host) Timeout(now clock.Time) {
	for len(h.timers) > 0 && h.timers[0].at <= now {
		t := heap.Pop(&h.timers).(*timer)
		t.owner.due(h, now)
	}
	if h.frags.Deadline() <= now {
		h.frags.Expire(now, h.reassemblyExceeded(now))
	}
}

// Deadline returns when Timeout is to be called next.
func (h *Host) Deadline() clock.Time {
	d := h.frags.Deadline()
	if len(h.timers) > 0 {
		d = min(d, h.timers[0].at)
	}
	return d
}

type timerHeap []*timer

func (h timerHeap) Len() int { return len(h) }
func (h timerHeap) Less(i, j int) bool {
	if h[i].at != h[j].at {
		return h[i].at < h[j].at
	}
	return int32(h[i].order-h[j].order) < 0
}
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = int32(i), int32(j)
}
func (h *timerHeap) Push(x any) {
	t := x.(*timer)
	t.index = int32(len(*h))
	*h = append(*h, t)
}
func (h *timerHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.index = -1
	return t
}

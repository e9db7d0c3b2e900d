package host

import "sync/atomic"

// Budget has the limits of a whole stack, shared by its Hosts. Zero limits mean
// defaults.
//
// They are enforced in this order. When flows or memory are at their limit, new
// connections are refused first: SYNs are dropped and a dial fails with
// api.ErrNoMemory. Then the flows that exist feel it: a write fails with
// api.ErrNoMemory, and segments that would have to be queued are dropped, which
// their sender takes for congestion. Nothing that has been acknowledged is given
// up. Half-open connections and fragments have limits of their own: beyond the former
// SYNs are answered with cookies, or the oldest makes room, as with the latter.
type Budget struct {
	MemoryLimit   int64 // bytes of buffers (256 MiB)
	FlowLimit     int64 // connections that are not half-open (65536)
	HalfOpenLimit int64 // connections in SYN-RECEIVED (4096)
	FragmentLimit int64 // bytes of datagrams that are not whole (4 MiB)

	memory, flows, halfOpen, fragments atomic.Int64
}

// Charge implements tcp.Budget.
func (b *Budget) Charge(n int64) bool { return take(&b.memory, n, b.MemoryLimit, 256<<20) }

// Release implements tcp.Budget.
func (b *Budget) Release(n int64) { b.memory.Add(-n) }

// Memory, Flows and HalfOpen return what is taken.
func (b *Budget) Memory() int64   { return b.memory.Load() }
func (b *Budget) Flows() int64    { return b.flows.Load() }
func (b *Budget) HalfOpen() int64 { return b.halfOpen.Load() }

// Fragments returns the bytes taken by datagrams that are not whole.
func (b *Budget) Fragments() int64 { return b.fragments.Load() }

func (b *Budget) takeFlow() bool     { return take(&b.flows, 1, b.FlowLimit, 65536) }
func (b *Budget) takeHalfOpen() bool { return take(&b.halfOpen, 1, b.HalfOpenLimit, 4096) }

func (b *Budget) halfOpenFull() bool { return full(&b.halfOpen, b.HalfOpenLimit, 4096) }

// full reports whether a new connection must not be opened.
func (b *Budget) full() bool {
	return full(&b.flows, b.FlowLimit, 65536) || full(&b.memory, b.MemoryLimit, 256<<20)
}

func full(v *atomic.Int64, limit, usual int64) bool {
	if limit == 0 {
		limit = usual
	}
	return v.Load() >= limit
}

// take adds n to v, unless that would exceed the limit.
func take(v *atomic.Int64, n, limit, usual int64) bool {
	if limit == 0 {
		limit = usual
	}
	if v.Add(n) > limit {
		v.Add(-n)
		return false
	}
	return true
}

// fragmentAccount implements ip.Account.
type fragmentAccount struct{ b *Budget }

func (a fragmentAccount) Charge(n int64) bool {
	return take(&a.b.fragments, n, a.b.FragmentLimit, 4<<20)
}
func (a fragmentAccount) Release(n int64) { a.b.fragments.Add(-n) }

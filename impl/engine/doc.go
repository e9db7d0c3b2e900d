// Package engine is the userspace TCP stack: it puts locks, time and blocking
// calls around the pure machines of packages host and tcp.
//
// A [Stack] is divided into shards. A shard is one pure host behind one lock;
// which shard a connection belongs to follows from a hash of its two addresses.
// Whoever arrives (a writer, a reader, a link, a timer) takes the shard's lock
// and runs to completion: it feeds the host, wakes those who wait, and sends what
// the host has to send. There is no goroutine for a flow, and none between the
// link and a blocked caller.
//
// A link that finds the lock taken leaves its packets in the shard's backlog,
// which the holder drains before it lets go. Packets are sent without the lock,
// by one goroutine at a time for each shard, so those of one flow leave in
// order, and a packet that comes straight back over a memory link finds the lock
// free. Nobody waits for a second shard while holding one.
//
// # Limits
//
// What peers and users can make a stack hold is bounded by [Limits], in this
// order: a segment first meets its own flow's receive buffer, then the stack's
// memory, and is dropped and counted where either is full; a write waits for its
// own flow's send buffer, and fails with api.ErrNoMemory where the stack's
// memory is full; a SYN meets the listener's and the stack's limits of half-open
// connections, then the flow limit.
package engine

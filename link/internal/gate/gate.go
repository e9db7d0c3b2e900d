// Package gate lets a link's Close wait for the calls of recv that are under way.
package gate

import "sync/atomic"

const closedBit = 1 << 62

// A Gate counts who is inside. Unlike a sync.RWMutex it may be entered again by
// someone who is inside already while another waits for it to empty, which is
// what happens when recv sends, and the answer comes back within the call.
type Gate struct {
	state atomic.Int64 // how many are inside; closedBit once closed
	done  chan struct{}
	over  atomic.Bool // done is closed
}

// New returns an open gate.
func New() *Gate { return &Gate{done: make(chan struct{})} }

// Enter reports whether the gate is open; if so, the caller is inside until
// Leave.
func (g *Gate) Enter() bool {
	if g.state.Add(1)&closedBit == 0 {
		return true
	}
	g.Leave()
	return false
}

// Leave ends what Enter began.
func (g *Gate) Leave() {
	if g.state.Add(-1) == closedBit {
		g.empty()
	}
}

// Closed reports whether Close has been called.
func (g *Gate) Closed() bool { return g.state.Load()&closedBit != 0 }

// Close shuts the gate and waits until nobody is inside. It may be called
// again, also at the same time, and waits each time.
func (g *Gate) Close() {
	if g.state.Or(closedBit)&^closedBit == 0 {
		g.empty()
	}
	<-g.done
}

func (g *Gate) empty() {
	if g.over.CompareAndSwap(false, true) {
		close(g.done)
	}
}

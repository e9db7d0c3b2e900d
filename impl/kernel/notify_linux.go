package kernel

import (
	"sync"

	"github.com/sluicenet/sluice/api"
)

// A notifier calls a flow's Notify, one call at a time and with no lock held.
// What happens during a call is reported by the next.
type notifier struct {
	f    *flow
	call func(api.Flow, api.Readiness)

	mu      sync.Mutex
	ready   api.Readiness
	running bool
}

// set replaces the function.
func (n *notifier) set(call func(api.Flow, api.Readiness)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.call = call
}

// add reports ready. The function runs in a goroutine that lasts as long as
// there is something to report: whoever calls add may be within the user's own
// locks.
func (n *notifier) add(ready api.Readiness) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.call == nil || ready == 0 {
		return
	}
	n.ready |= ready
	if !n.running {
		n.running = true
		go n.run()
	}
}

func (n *notifier) run() {
	for {
		n.mu.Lock()
		call, ready := n.call, n.ready
		n.ready = 0
		if ready == 0 || call == nil {
			n.running = false
			n.mu.Unlock()
			return
		}
		n.mu.Unlock()
		call(n.f, ready)
	}
}

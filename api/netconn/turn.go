package netconn

import (
	"context"
	"sync"
)

// A turn is a mutex that a caller waits for no longer than a context lasts.
type turn struct {
	mu      sync.Mutex
	taken   bool
	waiting int           // who have not been given the turn
	given   chan struct{} // holds the turn from when it is passed on until it is taken
}

// take waits for the turn, and reports whether it has come before ctx ended.
func (t *turn) take(ctx context.Context) bool {
	t.mu.Lock()
	if !t.taken {
		t.taken = true
		t.mu.Unlock()
		return true
	}
	if t.given == nil {
		t.given = make(chan struct{}, 1)
	}
	t.waiting++
	t.mu.Unlock()
	select {
	case <-t.given:
		return true
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-t.given: // it came all the same: for another
		t.passLocked()
	default:
		t.waiting--
	}
	return false
}

// pass lets the next one have the turn.
func (t *turn) pass() {
	t.mu.Lock()
	t.passLocked()
	t.mu.Unlock()
}

func (t *turn) passLocked() {
	if t.waiting == 0 {
		t.taken = false
		return
	}
	t.waiting--
	t.given <- struct{}{}
}

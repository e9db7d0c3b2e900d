package clock

import (
	"context"
	"sync"
	"time"
)

// NewReal returns a clock that follows the machine's monotonic clock. Its epoch
// is the time of the call.
func NewReal() Clock { return &realClock{epoch: time.Now()} }

type realClock struct{ epoch time.Time }

func (c *realClock) Now() Time             { return Time(time.Since(c.epoch)) }
func (c *realClock) Wall(t Time) time.Time { return c.epoch.Add(time.Duration(t)) }
func (c *realClock) Go(f func())           { go f() }

func (c *realClock) WithTimeout(parent context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(parent, d)
}

func (c *realClock) WithCancel(parent context.Context) (context.Context, context.CancelCauseFunc) {
	return context.WithCancelCause(parent)
}

func (c *realClock) NewTimer(f func()) Timer { return &realTimer{clock: c, f: f} }

// A realTimer creates its runtime timer at the first Reset: most are never armed.
type realTimer struct {
	clock *realClock
	f     func()
	mu    sync.Mutex
	t     *time.Timer
}

func (t *realTimer) Reset(at Time) {
	if at == Never {
		t.Stop()
		return
	}
	d := max(at.Sub(t.clock.Now()), 0)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.t == nil {
		t.t = time.AfterFunc(d, t.f)
	} else {
		t.t.Reset(d)
	}
}

func (t *realTimer) Stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.t != nil {
		t.t.Stop()
	}
}

// A realWaiter holds one pending wake. The channel makes a parked goroutine
// durably blocked in a synctest bubble, which a condition variable on a mutex
// shared with other bubbles would not.
type realWaiter struct{ woken chan struct{} }

func (c *realClock) NewWaiter() Waiter { return &realWaiter{make(chan struct{}, 1)} }

func (w *realWaiter) Park(ctx context.Context) error {
	select {
	case <-w.woken:
		return nil
	default:
	}
	done := ctx.Done()
	if done == nil { // one channel costs half of what two do
		<-w.woken
		return nil
	}
	select {
	case <-w.woken:
		return nil
	case <-done:
		return context.Cause(ctx)
	}
}

func (w *realWaiter) Wake() {
	select {
	case w.woken <- struct{}{}:
	default:
	}
}

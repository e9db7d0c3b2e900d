package netconn

import (
	"context"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// A deadline turns an instant that can be moved into contexts, which cannot be
// revived: one that has ended has ended for every call that ever saw it. So
// moving a deadline that has not passed keeps the context in force and moves
// its timer, and moving one that has passed makes a new context.
type deadline struct {
	force atomic.Pointer[context.Context] // in force; ctx, for those who only look

	mu     sync.Mutex
	ctx    context.Context // nil until first needed, or after one that ended
	cancel context.CancelCauseFunc
	timer  *time.Timer
	armed  uint64 // counts the calls of set, to tell a timer that came too late
	closed bool
}

// context returns the context in force. Its cause will be
// os.ErrDeadlineExceeded or net.ErrClosed.
func (d *deadline) context() context.Context {
	if ctx := d.force.Load(); ctx != nil {
		return *ctx
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.contextLocked()
}

func (d *deadline) contextLocked() context.Context {
	if d.ctx == nil {
		d.ctx, d.cancel = context.WithCancelCause(context.Background())
		ctx := d.ctx
		d.force.Store(&ctx)
	}
	return d.ctx
}

// forget lets go of a context that has ended.
func (d *deadline) forget() {
	d.ctx, d.cancel = nil, nil
	d.force.Store(nil)
}

// set moves the deadline to t; the zero time means none.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	d.armed++
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if d.ctx != nil && d.ctx.Err() != nil {
		d.forget()
	}
	if t.IsZero() {
		return
	}
	d.contextLocked()
	left := time.Until(t)
	if left <= 0 {
		d.cancel(os.ErrDeadlineExceeded)
		return
	}
	armed := d.armed
	d.timer = time.AfterFunc(left, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.armed == armed && !d.closed {
			d.cancel(os.ErrDeadlineExceeded)
		}
	})
}

// close ends the deadline for good, with net.ErrClosed.
func (d *deadline) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	d.closed = true
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if d.ctx != nil && d.ctx.Err() != nil {
		d.forget()
	}
	d.contextLocked()
	d.cancel(net.ErrClosed)
}

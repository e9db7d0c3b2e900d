package clock

import (
	"container/heap"
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// ErrStalled is what Park returns to the goroutine in [Virtual.Run] when every
// actor is parked and no timer is armed: nothing could ever wake anyone.
var ErrStalled = errors.New("virtual clock stalled: every goroutine waits and no timer is armed")

// Virtual is a clock whose time passes only while nothing can run.
//
// Its goroutines ("actors") run one at a time, in the order in which they
// became ready, and change over only where one parks or returns; timers that
// are due at the same instant fire in the order in which they were armed. So
// what happens depends on nothing but the program, and repeats exactly.
//
// Outside Run nothing happens and time stands still.
type Virtual struct {
	epoch time.Time

	mu      sync.Mutex
	now     Time
	timers  timerHeap
	armed   uint64           // timers ever armed, to order those due at one instant
	ready   []*virtualWaiter // actors that may run, in order
	watched []*virtualWaiter // parked with a context that may end without us, in order
	active  bool             // a Run is under way
	running bool             // somebody holds the right to run
	main    *virtualWaiter   // the waiter in which Run's own goroutine is parked, or nil
	inMain  bool             // the running actor is Run's own goroutine
}

// NewVirtual returns a virtual clock at instant 0, which it calls
// 2000-01-01 00:00 UTC.
func NewVirtual() *Virtual {
	return &Virtual{epoch: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)}
}

// Run runs f as an actor in the calling goroutine. It returns when f has
// returned and no other actor is ready; parked actors stay parked, and go on in
// the next Run. Only one Run may be under way at a time.
func (v *Virtual) Run(f func()) {
	v.mu.Lock()
	if v.active {
		v.mu.Unlock()
		panic("BUG: clock.Virtual.Run while another Run is under way")
	}
	v.active, v.running, v.inMain = true, true, true
	v.mu.Unlock()
	defer func() {
		v.mu.Lock()
		for len(v.ready) > 0 { // let the others come to rest, without passing time
			w := v.newWaiter()
			w.main = true
			v.ready = append(v.ready, w)
			v.dispatch()
			v.mu.Unlock()
			<-w.run
			v.mu.Lock()
		}
		v.active, v.running, v.inMain = false, false, false
		v.mu.Unlock()
	}()
	f()
}

// Now implements [Clock].
func (v *Virtual) Now() Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.now
}

// Wall implements [Clock].
func (v *Virtual) Wall(t Time) time.Time { return v.epoch.Add(time.Duration(t)) }

// Go implements [Clock]. f begins to run when its turn comes, never before Go
// has returned and the caller has parked.
func (v *Virtual) Go(f func()) {
	v.mu.Lock()
	w := v.newWaiter()
	v.ready = append(v.ready, w)
	v.mu.Unlock()
	go func() {
		<-w.run
		defer func() {
			v.mu.Lock()
			v.dispatch()
			v.mu.Unlock()
		}()
		f()
	}()
}

// dispatch gives the right to run to the next ready actor, passing time and
// firing timers until there is one. The caller holds mu and the right to run,
// and is about to wait or to end.
func (v *Virtual) dispatch() {
	for {
		if len(v.ready) > 0 {
			w := v.ready[0]
			v.ready = v.ready[1:]
			v.inMain = w.main
			w.run <- struct{}{}
			return
		}
		if v.releaseEnded() {
			continue
		}
		if len(v.timers) > 0 {
			t := heap.Pop(&v.timers).(*virtualTimer)
			v.now = max(v.now, t.at)
			v.inMain = false
			v.mu.Unlock()
			t.f()
			v.mu.Lock()
			continue
		}
		if w := v.main; w != nil && w.parked && !w.foreign {
			w.release(ErrStalled)
			continue
		}
		v.running = false // a context from outside may yet end and resume us
		return
	}
}

// releaseEnded releases those whose contexts have ended without this clock's
// doing. Being told by such a context takes a goroutine, and time must not pass
// meanwhile. The caller holds mu.
func (v *Virtual) releaseEnded() bool {
	for i := 0; i < len(v.watched); {
		if w := v.watched[i]; w.ctx.Err() != nil {
			w.release(context.Cause(w.ctx)) // which takes it out
		} else {
			i++
		}
	}
	return len(v.ready) > 0
}

// resume starts running again after a wake from outside, within a Run whose own
// goroutine waits for one. The caller holds mu.
func (v *Virtual) resume() {
	if v.active && !v.running && len(v.ready) > 0 {
		v.running = true
		v.dispatch()
	}
}

type virtualWaiter struct {
	v       *Virtual
	run     chan struct{} // the right to run, handed over
	woken   bool
	parked  bool
	main    bool            // parked here is Run's own goroutine
	ctx     context.Context // watched, or nil
	foreign bool            // parked with a context that is not this clock's
	parks   uint64          // calls of Park so far that had to wait
	err     error
}

// NewWaiter implements [Clock].
func (v *Virtual) NewWaiter() Waiter { return v.newWaiter() }

func (v *Virtual) newWaiter() *virtualWaiter {
	return &virtualWaiter{v: v, run: make(chan struct{}, 1)}
}

// release makes a parked waiter ready. The caller holds mu.
func (w *virtualWaiter) release(err error) {
	if !w.parked {
		return
	}
	w.parked, w.err = false, err
	w.v.ready = append(w.v.ready, w)
	if w.ctx != nil {
		w.ctx = nil
		i := slices.Index(w.v.watched, w)
		w.v.watched = slices.Delete(w.v.watched, i, i+1)
	}
}

func (w *virtualWaiter) Wake() {
	v := w.v
	v.mu.Lock()
	defer v.mu.Unlock()
	if w.parked {
		w.release(nil)
		v.resume()
	} else if len(v.ready) == 0 || !w.queued() {
		w.woken = true
	}
}

// queued reports whether w has been released but has not run yet, so that
// another wake adds nothing. The caller holds mu.
func (w *virtualWaiter) queued() bool {
	for _, r := range w.v.ready {
		if r == w {
			return w.err == nil
		}
	}
	return false
}

func (w *virtualWaiter) Park(ctx context.Context) error {
	v := w.v
	v.mu.Lock()
	if w.woken {
		w.woken = false
		v.mu.Unlock()
		return nil
	}
	if ctx.Err() != nil {
		v.mu.Unlock()
		return context.Cause(ctx)
	}
	w.parked, w.err = true, nil
	w.parks++
	w.main = v.inMain
	if w.main {
		v.main = w
	}
	own, _ := ctx.Value(virtualContextKey{v}).(*virtualContext)
	if own != nil {
		own.parked = append(own.parked, w)
	}
	// A context that was derived from one of this clock's by package context may
	// also end on its own.
	var stop func() bool
	if w.foreign = ctx.Done() != nil && (own == nil || own.Done() != ctx.Done()); w.foreign {
		park := w.parks
		stop = context.AfterFunc(ctx, func() {
			v.mu.Lock()
			defer v.mu.Unlock()
			if w.parks == park { // else it comes too late
				w.release(context.Cause(ctx))
				v.resume()
			}
		})
	}
	if w.foreign || own != nil && own.watched {
		w.ctx = ctx
		v.watched = append(v.watched, w)
	}
	v.dispatch()
	v.mu.Unlock()
	<-w.run
	if stop != nil {
		stop()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if w.main {
		v.main = nil
	}
	if own != nil {
		own.remove(w)
	}
	return w.err
}

// A virtualContext ends at a virtual instant, or when its cancel function is
// called, and releases those parked with it in the same breath: a channel
// alone would let time pass before they noticed.
type virtualContext struct {
	context.Context // carries Done, Err and Cause
	v               *Virtual
	outer           *virtualContext
	parked          []*virtualWaiter
	inner           []*virtualContext
	cancel          context.CancelCauseFunc
	stopParent      func() bool // stops following a parent that is not this clock's
	watched         bool        // has such an ancestor
	deadline        time.Time
}

type virtualContextKey struct{ v *Virtual }

func (c *virtualContext) Value(key any) any {
	if key == (virtualContextKey{c.v}) {
		return c
	}
	return c.Context.Value(key)
}

func (c *virtualContext) Deadline() (time.Time, bool) {
	d, ok := c.Context.Deadline()
	if !c.deadline.IsZero() && (!ok || c.deadline.Before(d)) {
		return c.deadline, true
	}
	return d, ok
}

// Err tells a passed deadline from a cancellation, as the standard contexts do.
func (c *virtualContext) Err() error {
	err := c.Context.Err()
	if err != nil && context.Cause(c.Context) == context.DeadlineExceeded {
		return context.DeadlineExceeded
	}
	return err
}

func (c *virtualContext) remove(w *virtualWaiter) {
	for i, p := range c.parked {
		if p == w {
			c.parked = append(c.parked[:i], c.parked[i+1:]...)
			return
		}
	}
}

// end ends c and every context below it.
func (c *virtualContext) end(cause error) {
	c.cancel(cause)
	if c.stopParent != nil {
		c.stopParent()
	}
	c.v.mu.Lock()
	defer c.v.mu.Unlock()
	c.releaseAll()
	if o := c.outer; o != nil {
		for i, in := range o.inner {
			if in == c {
				o.inner = append(o.inner[:i], o.inner[i+1:]...)
				break
			}
		}
	}
	c.v.resume()
}

func (c *virtualContext) releaseAll() {
	for _, w := range c.parked {
		w.release(context.Cause(c))
	}
	for _, in := range c.inner {
		in.releaseAll()
	}
}

func (v *Virtual) newContext(parent context.Context) *virtualContext {
	inner, cancel := context.WithCancelCause(parent)
	c := &virtualContext{Context: inner, v: v, cancel: cancel}
	o, _ := parent.Value(virtualContextKey{v}).(*virtualContext)
	if o != nil {
		v.mu.Lock()
		c.outer, o.inner = o, append(o.inner, c)
		c.watched = o.watched
		v.mu.Unlock()
	}
	if parent.Done() != nil && (o == nil || o.Done() != parent.Done()) {
		c.watched = true
		c.stopParent = context.AfterFunc(parent, func() {
			v.mu.Lock()
			defer v.mu.Unlock()
			c.releaseAll() // its cancel function will take it out of the tree
			v.resume()
		})
	}
	return c
}

// WithCancel implements [Clock].
func (v *Virtual) WithCancel(parent context.Context) (context.Context, context.CancelCauseFunc) {
	c := v.newContext(parent)
	return c, c.end
}

// WithTimeout implements [Clock].
func (v *Virtual) WithTimeout(parent context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	c := v.newContext(parent)
	at := v.Now().Add(d)
	c.deadline = v.Wall(at)
	t := v.NewTimer(func() { c.end(context.DeadlineExceeded) })
	if d <= 0 {
		c.end(context.DeadlineExceeded)
	} else {
		t.Reset(at)
	}
	return c, func() {
		t.Stop()
		c.end(context.Canceled)
	}
}

type virtualTimer struct {
	v     *Virtual
	f     func()
	at    Time
	order uint64
	index int // in the heap, -1 if not armed
}

// NewTimer implements [Clock].
func (v *Virtual) NewTimer(f func()) Timer { return &virtualTimer{v: v, f: f, index: -1} }

func (t *virtualTimer) Reset(at Time) {
	t.v.mu.Lock()
	defer t.v.mu.Unlock()
	t.remove()
	if at == Never {
		return
	}
	t.v.armed++
	t.at, t.order = max(at, t.v.now), t.v.armed
	heap.Push(&t.v.timers, t)
}

func (t *virtualTimer) Stop() {
	t.v.mu.Lock()
	defer t.v.mu.Unlock()
	t.remove()
}

func (t *virtualTimer) remove() {
	if t.index >= 0 {
		heap.Remove(&t.v.timers, t.index)
	}
}

type timerHeap []*virtualTimer

func (h timerHeap) Len() int { return len(h) }
func (h timerHeap) Less(i, j int) bool {
	if h[i].at != h[j].at {
		return h[i].at < h[j].at
	}
	return h[i].order < h[j].order
}
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *timerHeap) Push(x any) {
	t := x.(*virtualTimer)
	t.index = len(*h)
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

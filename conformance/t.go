package conformance

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
)

// T is one run of one case. Its methods may be called from any goroutine that
// Go has started, Fatalf and Skipf included.
type T struct {
	c       *Case
	target  Target
	family  Family
	seed    uint64
	clk     clock.Clock
	virtual bool
	ctx     context.Context // ends when the case is over
	trace   *trace
	oracle  *oracle
	rand    *rand.Rand

	mu       sync.Mutex
	failures []string
	skipped  string
	unclear  string
	logs     []string
	cleanups []func()
	stacks   []api.Stack
	actors   int
	idle     clock.Waiter // woken when actors reaches 0

	hung atomic.Bool // given up: packets vanish and waits end
}

// abandoned ends the calling goroutine of a case that has been given up.
func (t *T) abandoned() {
	if t.hung.Load() {
		panic(abort{})
	}
}

// abort is what Fatalf panics with, to unwind one goroutine of a case.
type abort struct{}

// Errorf notes a failure and goes on.
func (t *T) Errorf(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.failures) < 10 {
		t.failures = append(t.failures, fmt.Sprintf("at %v: ", t.clk.Now())+fmt.Sprintf(format, args...))
	}
}

// Fatalf notes a failure and ends the goroutine.
func (t *T) Fatalf(format string, args ...any) {
	t.Errorf(format, args...)
	panic(abort{})
}

// Skipf ends the case without a verdict about the stack: it does not apply.
func (t *T) Skipf(format string, args ...any) {
	t.mu.Lock()
	t.skipped = fmt.Sprintf(format, args...)
	t.mu.Unlock()
	panic(abort{})
}

// Inconclusivef ends the case without a verdict: the situation that it needs
// did not come about.
func (t *T) Inconclusivef(format string, args ...any) {
	t.mu.Lock()
	t.unclear = fmt.Sprintf(format, args...)
	t.mu.Unlock()
	panic(abort{})
}

// Logf adds a line to the record of a case that fails.
func (t *T) Logf(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.logs = append(t.logs, fmt.Sprintf("at %v: ", t.clk.Now())+fmt.Sprintf(format, args...))
}

func (t *T) failed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.failures) > 0
}

// Cleanup runs f when the case is over, last one first.
func (t *T) Cleanup(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cleanups = append(t.cleanups, f)
}

// Clock returns the clock of the case.
func (t *T) Clock() clock.Clock { return t.clk }

// V6 reports whether the case runs over IPv6.
func (t *T) V6() bool { return t.family == IPv6 }

// Has reports whether the target has a capability.
func (t *T) Has(c Capability) bool { return t.target.Capabilities()&c == c }

// protect runs f and keeps its panics.
func (t *T) protect(f func()) {
	defer func() {
		switch p := recover(); p.(type) {
		case nil, abort:
		default:
			t.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	f()
}

// Go runs f in a goroutine of the case's clock. The case is not over before
// it has returned.
func (t *T) Go(f func()) {
	t.mu.Lock()
	t.actors++
	t.mu.Unlock()
	t.clk.Go(func() {
		defer func() {
			t.mu.Lock()
			t.actors--
			last := t.actors == 0
			t.mu.Unlock()
			if last {
				t.idle.Wake()
			}
		}()
		t.protect(f)
	})
}

// Timeout returns a context of the case's clock.
func (t *T) Timeout(d time.Duration) context.Context {
	ctx, cancel := t.clk.WithTimeout(t.ctx, d)
	t.Cleanup(cancel)
	return ctx
}

// Bound returns a context that is long enough for anything that should
// happen at all: hours in virtual time, seconds in real time.
func (t *T) Bound() context.Context {
	if t.virtual {
		return t.Timeout(24 * time.Hour)
	}
	return t.Timeout(20 * time.Second)
}

// Sleep lets d pass.
func (t *T) Sleep(d time.Duration) {
	t.abandoned()
	if !t.virtual && d > realPatience {
		t.Skipf("it takes %v of real time", d)
	}
	if err := clock.Sleep(t.ctx, t.clk, d); err != nil {
		panic(abort{})
	}
}

// Takes ends a case that waits for d where that would be real time.
func (t *T) Takes(d time.Duration) {
	if !t.virtual && d > realPatience {
		t.Skipf("it takes %v of real time", d)
	}
}

// Settle lets enough time pass for a stack to do what it is about to do. A
// stack that does something wrong later than that goes unnoticed; none is
// accused wrongly.
func (t *T) Settle() {
	if t.virtual {
		t.Sleep(5 * time.Second)
	} else {
		t.Sleep(60 * time.Millisecond)
	}
}

// Eventually waits until cond holds, and fails the case if it never does.
func (t *T) Eventually(what string, cond func() bool) {
	step, rounds := 50*time.Millisecond, 6000 // five minutes
	if !t.virtual {
		step, rounds = 5*time.Millisecond, 4000
	}
	for range rounds {
		if cond() {
			return
		}
		t.Sleep(step)
	}
	t.Fatalf("%s: it did not happen", what)
}

// An Op is a blocking call under way in a goroutine of its own.
type Op[R any] struct {
	t    *T
	what string
	mu   sync.Mutex
	done bool
	r    R
	w    clock.Waiter
}

// Start runs f as an Op.
func Start[R any](t *T, what string, f func() R) *Op[R] {
	o := &Op[R]{t: t, what: what, w: t.clk.NewWaiter()}
	t.Go(func() {
		defer o.w.Wake()
		r := f()
		o.mu.Lock()
		o.r, o.done = r, true
		o.mu.Unlock()
	})
	return o
}

// Done reports whether the call has returned.
func (o *Op[R]) Done() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.done
}

// Blocked fails the case unless the call still blocks after a while.
func (o *Op[R]) Blocked(why string) {
	o.t.Settle()
	o.mu.Lock()
	done, r := o.done, o.r
	o.mu.Unlock()
	if done {
		o.t.Fatalf("%s returned (%v) but %s", o.what, r, why)
	}
}

// Wait returns the result. It fails the case if there never is one.
func (o *Op[R]) Wait() R {
	if err := o.w.Park(o.t.Bound()); err != nil {
		o.t.Fatalf("%s never returned: %v", o.what, err)
	}
	o.w.Wake() // for a second Wait
	if !o.Done() {
		panic(abort{}) // its goroutine has failed the case
	}
	return o.r
}

// WaitFor is Wait that must not take longer than d.
func (o *Op[R]) WaitFor(d time.Duration) R {
	start := o.t.clk.Now()
	r := o.Wait()
	if took := o.t.clk.Now().Sub(start); took > d {
		o.t.Fatalf("%s took %v, more than %v", o.what, took, d)
	}
	return r
}

// A Mailbox hands values from any goroutine to one that waits for them.
type Mailbox[V any] struct {
	t  *T
	mu sync.Mutex
	vs []V
	w  clock.Waiter
}

// NewMailbox returns an empty mailbox.
func NewMailbox[V any](t *T) *Mailbox[V] { return &Mailbox[V]{t: t, w: t.clk.NewWaiter()} }

// Put adds v. It never blocks.
func (m *Mailbox[V]) Put(v V) {
	m.mu.Lock()
	m.vs = append(m.vs, v)
	m.mu.Unlock()
	m.w.Wake()
}

// Len returns how many values wait.
func (m *Mailbox[V]) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.vs)
}

// Take returns the next value, or the cause of ctx when that ends first.
func (m *Mailbox[V]) Take(ctx context.Context) (V, error) {
	for {
		m.mu.Lock()
		if len(m.vs) > 0 {
			v := m.vs[0]
			m.vs = m.vs[1:]
			m.mu.Unlock()
			return v, nil
		}
		m.mu.Unlock()
		if err := m.w.Park(ctx); err != nil {
			var zero V
			return zero, err
		}
	}
}

// newStack makes a stack that is disconnected when the case is over.
func (t *T) newStack(env *Env) api.Stack {
	s, err := t.target.New(env)
	if err != nil {
		t.Fatalf("target %s: %v", t.target.Name(), err)
	}
	t.mu.Lock()
	t.stacks = append(t.stacks, s)
	t.mu.Unlock()
	return s
}

// finish ends the case: it disconnects the stacks, which must release every
// call (X1), and waits for the case's goroutines.
func (t *T) finish() {
	grace := time.Second
	if !t.virtual {
		grace = 20 * time.Millisecond
	}
	for _, s := range t.stacks {
		t.protect(func() {
			ctx, cancel := t.clk.WithTimeout(context.Background(), grace)
			defer cancel()
			s.Disconnect(ctx)
		})
	}
	t.join()
	for {
		t.mu.Lock()
		n := len(t.cleanups)
		if n == 0 {
			t.mu.Unlock()
			break
		}
		f := t.cleanups[n-1]
		t.cleanups = t.cleanups[:n-1]
		t.mu.Unlock()
		t.protect(f)
	}
}

// join waits for the goroutines that Go has started.
func (t *T) join() {
	ctx, cancel := t.clk.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for {
		t.mu.Lock()
		n := t.actors
		t.mu.Unlock()
		if n == 0 {
			return
		}
		if err := t.idle.Park(ctx); err != nil {
			t.Errorf("%d calls still blocked after Disconnect", n)
			return
		}
	}
}

// is fails the case unless err matches each of targets.
func (t *T) is(what string, err error, targets ...error) {
	if err == nil {
		t.Fatalf("%s succeeded; it must fail with %v", what, targets)
	}
	for _, target := range targets {
		if !errors.Is(err, target) {
			t.Fatalf("%s: error %q (%T) does not match %q", what, err, err, target)
		}
	}
}

// isNot fails the case if err matches one of targets.
func (t *T) isNot(what string, err error, targets ...error) {
	for _, target := range targets {
		if errors.Is(err, target) {
			t.Fatalf("%s: error %q matches %q", what, err, target)
		}
	}
}

// ok fails the case if err is not nil.
func (t *T) ok(what string, err error) {
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// Package clock is the time a stack and its links live in, and the only place
// where one of their goroutines waits.
//
// There are two implementations. [NewReal] follows the machine's monotonic
// clock and works inside a testing/synctest bubble. [NewVirtual] is a
// discrete-event scheduler: time stands still while anything can run and jumps
// to the next timer when everything waits, so hours pass in milliseconds and
// every run repeats exactly.
package clock

import (
	"context"
	"math"
	"time"
)

// Time is an instant: nanoseconds since its clock's epoch. It never goes back.
type Time int64

// Never is later than every instant a clock reaches. As a deadline it means none.
const Never Time = math.MaxInt64

// Add returns the instant d after t. It saturates at [Never].
func (t Time) Add(d time.Duration) Time {
	s := t + Time(d)
	if d > 0 && s < t {
		return Never
	}
	return s
}

// Sub returns the duration from u to t.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t - u) }

// String prints t as the duration since the clock's epoch.
func (t Time) String() string {
	if t == Never {
		return "never"
	}
	return time.Duration(t).String()
}

// A Clock tells the time, runs timers and parks goroutines.
// Its methods may be called from any goroutine.
type Clock interface {
	// Now returns the present instant.
	Now() Time

	// Wall returns the civil time at t, for logs, captures and snapshots.
	Wall(t Time) time.Time

	// NewTimer returns a stopped timer that calls f, in no particular
	// goroutine, each time it fires. f must not block.
	NewTimer(f func()) Timer

	// NewWaiter returns a waiter for one goroutine at a time.
	NewWaiter() Waiter

	// Go runs f in a new goroutine. Under a virtual clock every goroutine
	// that calls a blocking method must have been started by Go or by
	// [Virtual.Run], and must block in nothing else: no channel, no I/O.
	Go(f func())

	// WithTimeout and WithCancel are context.WithTimeout and
	// context.WithCancelCause in the clock's own time.
	WithTimeout(parent context.Context, d time.Duration) (context.Context, context.CancelFunc)
	WithCancel(parent context.Context) (context.Context, context.CancelCauseFunc)
}

// A Timer is a function to be called at one instant. Its methods may be called
// from any goroutine, the function's own included.
type Timer interface {
	// Reset makes the timer fire at the given instant, or at once if that
	// has passed, and at no other. [Never] stops it.
	Reset(at Time)

	// Stop keeps the timer from firing. The function may be running.
	Stop()
}

// A Waiter parks a goroutine until another wakes it.
type Waiter interface {
	// Park blocks until Wake has been called since Park last returned nil,
	// and then returns nil, or until ctx ends, and then returns its cause.
	// A wake that came first wins over a context that is already done.
	Park(ctx context.Context) error

	// Wake lets the present or the next Park return. It never blocks;
	// wakes that nobody has parked for count as one.
	Wake()
}

// Sleep parks the caller for d. It returns the cause of ctx if that ends first.
func Sleep(ctx context.Context, c Clock, d time.Duration) error {
	w := c.NewWaiter()
	t := c.NewTimer(w.Wake)
	defer t.Stop()
	t.Reset(c.Now().Add(d))
	return w.Park(ctx)
}

package clock

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var background = context.Background()

// Hours pass at once, and exactly.
func TestVirtualSleep(t *testing.T) {
	v := NewVirtual()
	v.Run(func() {
		for i := range 1000 {
			if err := Sleep(background, v, time.Hour+time.Nanosecond); err != nil {
				t.Fatal(err)
			}
			if want := Time(i+1) * Time(time.Hour+1); v.Now() != want {
				t.Fatalf("now is %v, want %v", v.Now(), want)
			}
		}
		if w := v.Wall(0); w.Year() != 2000 || v.Wall(v.Now()).Sub(w) != time.Duration(v.Now()) {
			t.Fatalf("civil time: %v, %v", w, v.Wall(v.Now()))
		}
	})
}

// Timers due at one instant fire in the order in which they were armed, and
// Reset arms anew.
func TestVirtualTimerOrder(t *testing.T) {
	v := NewVirtual()
	var got []string
	timer := func(name string) Timer {
		return v.NewTimer(func() { got = append(got, fmt.Sprint(name, int64(v.Now()))) })
	}
	a, b, c, d, e := timer("a"), timer("b"), timer("c"), timer("d"), timer("e")
	v.Run(func() {
		a.Reset(5)
		b.Reset(5)
		c.Reset(3)
		d.Reset(9)
		e.Reset(7)
		e.Stop()
		a.Reset(5) // now behind b
		d.Reset(Never)
		_ = Sleep(background, v, 100)
		a.Reset(1) // past: at once, and time does not go back
		e.Reset(200)
		_ = Sleep(background, v, 50)
	})
	if want := []string{"c3", "b5", "a5", "a100"}; !slices.Equal(got, want) {
		t.Fatalf("fired %v, want %v", got, want)
	}
}

// A timer may rearm and stop itself and others from its own function.
func TestVirtualTimerInFunction(t *testing.T) {
	v := NewVirtual()
	var ticks []Time
	var tick Timer
	tick = v.NewTimer(func() {
		ticks = append(ticks, v.Now())
		if len(ticks) < 3 {
			tick.Reset(v.Now().Add(10))
		}
	})
	v.Run(func() {
		tick.Reset(10)
		_ = Sleep(background, v, 1000)
	})
	if want := []Time{10, 20, 30}; !slices.Equal(ticks, want) {
		t.Fatalf("ticked at %v, want %v", ticks, want)
	}
}

// Actors run one at a time, in the order in which they became ready.
func TestVirtualActorsTakeTurns(t *testing.T) {
	v := NewVirtual()
	var got []string
	w := []Waiter{v.NewWaiter(), v.NewWaiter(), v.NewWaiter()}
	v.Run(func() {
		for i := range w {
			v.Go(func() {
				got = append(got, fmt.Sprint("start", i))
				_ = w[i].Park(background)
				got = append(got, fmt.Sprint("woken", i))
			})
		}
		got = append(got, "main")
		_ = Sleep(background, v, 1)
		for _, i := range []int{2, 0, 1} {
			w[i].Wake()
		}
		got = append(got, "main again")
		_ = Sleep(background, v, 1)
	})
	want := []string{"main", "start0", "start1", "start2", "main again", "woken2", "woken0", "woken1"}
	if !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

// A wake is not lost where nobody is parked, and several count as one.
func TestVirtualWakeBeforePark(t *testing.T) {
	v := NewVirtual()
	v.Run(func() {
		w := v.NewWaiter()
		w.Wake()
		w.Wake()
		done, cancel := v.WithCancel(background)
		cancel(nil)
		if err := w.Park(done); err != nil {
			t.Fatalf("a wake that came first lost to a context: %v", err)
		}
		if err := w.Park(done); !errors.Is(err, context.Canceled) {
			t.Fatalf("the second Park gave %v", err)
		}
		ctx, stop := v.WithTimeout(background, time.Second)
		defer stop()
		if err := w.Park(ctx); !errors.Is(err, context.DeadlineExceeded) || v.Now() != Time(time.Second) {
			t.Fatalf("Park gave %v at %v", err, v.Now())
		}
	})
}

func TestVirtualTimeout(t *testing.T) {
	v := NewVirtual()
	v.Run(func() {
		ctx, cancel := v.WithTimeout(background, time.Minute)
		defer cancel()
		if d, ok := ctx.Deadline(); !ok || !d.Equal(v.Wall(Time(time.Minute))) {
			t.Fatalf("deadline %v, %v", d, ok)
		}
		if ctx.Err() != nil {
			t.Fatal(ctx.Err())
		}
		if err := Sleep(ctx, v, time.Hour); err != context.DeadlineExceeded {
			t.Fatalf("Sleep gave %v", err)
		}
		if v.Now() != Time(time.Minute) || ctx.Err() != context.DeadlineExceeded {
			t.Fatalf("at %v: %v", v.Now(), ctx.Err())
		}
		select {
		case <-ctx.Done():
		default:
			t.Fatal("Done is open")
		}
		for _, d := range []time.Duration{0, -1} {
			over, cancel := v.WithTimeout(background, d)
			if over.Err() != context.DeadlineExceeded {
				t.Fatalf("a timeout of %v: %v", d, over.Err())
			}
			cancel()
		}
	})
}

// An inner context ends with the outer, and in the same instant; an inner
// deadline does not outlive the outer one.
func TestVirtualNestedContexts(t *testing.T) {
	v := NewVirtual()
	cause := errors.New("cause")
	type key struct{}
	v.Run(func() {
		outer, cancelOuter := v.WithCancel(context.WithValue(background, key{}, 1))
		middle, cancelMiddle := v.WithTimeout(outer, time.Hour)
		inner, cancelInner := v.WithTimeout(context.WithValue(middle, key{}, 2), 2*time.Hour)
		defer cancelMiddle()
		defer cancelInner()
		if d, _ := inner.Deadline(); !d.Equal(v.Wall(Time(time.Hour))) {
			t.Fatalf("the inner deadline is %v", d)
		}
		if inner.Value(key{}) != 2 || outer.Value(key{}) != 1 {
			t.Fatal("values are lost")
		}
		var errs []error
		for _, ctx := range []context.Context{outer, middle, inner, context.WithValue(inner, key{}, 3)} {
			v.Go(func() { errs = append(errs, Sleep(ctx, v, 24*time.Hour)) })
		}
		_ = Sleep(background, v, time.Minute)
		cancelOuter(cause)
		at := v.Now()
		_ = Sleep(background, v, 0)
		if v.Now() != at || !slices.Equal(errs, []error{cause, cause, cause, cause}) {
			t.Fatalf("at %v: %v", v.Now(), errs)
		}
		late, cancel := v.WithTimeout(inner, time.Hour)
		defer cancel()
		if late.Err() == nil || Sleep(late, v, 1) != cause {
			t.Fatal("a context derived from one that has ended lives")
		}
	})
}

// A context that package context derived from one of the clock's ends on its
// own, and with its parent. No time passes meanwhile.
func TestVirtualDerivedContexts(t *testing.T) {
	v := NewVirtual()
	v.Run(func() {
		parent, cancelParent := v.WithTimeout(background, time.Hour)
		defer cancelParent()
		child, cancelChild := context.WithCancel(parent)
		v.Go(func() { cancelChild() })
		if err := v.NewWaiter().Park(child); err != context.Canceled || v.Now() != 0 {
			t.Fatalf("Park gave %v at %v", err, v.Now())
		}
		child, cancelChild = context.WithCancel(parent)
		defer cancelChild()
		if err := v.NewWaiter().Park(child); err != context.DeadlineExceeded {
			t.Fatalf("Park gave %v", err)
		}
		if v.Now() != Time(time.Hour) {
			t.Fatalf("at %v", v.Now())
		}
	})
}

// The end of a context from outside is noticed though the clock stands still: of
// one that is passed to Park, and of one that a virtual context comes from.
func TestVirtualForeignContexts(t *testing.T) {
	cause := errors.New("cause")
	for name, derive := range map[string]func(*Virtual, context.Context) context.Context{
		"directly": func(v *Virtual, ctx context.Context) context.Context { return ctx },
		"derived": func(v *Virtual, ctx context.Context) context.Context {
			ctx, cancel := v.WithTimeout(ctx, time.Hour)
			t.Cleanup(cancel)
			return ctx
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := NewVirtual()
			foreign, cancel := context.WithCancelCause(background)
			var err error
			v.Run(func() {
				done := v.NewWaiter()
				v.Go(func() {
					err = v.NewWaiter().Park(derive(v, foreign))
					done.Wake()
				})
				v.Go(func() { cancel(cause) })
				_ = done.Park(foreignForever(t))
			})
			if err != cause {
				t.Fatalf("Park gave %v at %v", err, v.Now())
			}
		})
	}
}

// foreignForever is a context that could end, and does only after the test.
func foreignForever(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(background)
	t.Cleanup(cancel)
	return ctx
}

// A foreign context that ends too late for the Park that it was given to does not
// end the next one.
func TestVirtualLateForeignContext(t *testing.T) {
	for range 200 {
		v := NewVirtual()
		v.Run(func() {
			w := v.NewWaiter()
			ctx, cancel := context.WithCancel(background)
			v.Go(func() {
				w.Wake()
				cancel()
			})
			if err := w.Park(ctx); err != nil {
				t.Fatalf("the first Park gave %v", err)
			}
			timer := v.NewTimer(w.Wake)
			timer.Reset(v.Now().Add(time.Second))
			if err := w.Park(background); err != nil {
				t.Fatalf("the second Park gave %v", err)
			}
		})
	}
}

func TestVirtualStall(t *testing.T) {
	v := NewVirtual()
	w := v.NewWaiter()
	v.Run(func() {
		v.Go(func() { _ = w.Park(background) })
		if err := v.NewWaiter().Park(background); err != ErrStalled {
			t.Fatalf("Park gave %v", err)
		}
		ctx, cancel := v.WithCancel(background)
		defer cancel(nil)
		if err := v.NewWaiter().Park(ctx); err != ErrStalled {
			t.Fatalf("Park gave %v", err)
		}
		w.Wake()
	})
}

// Outside Run nothing happens, whoever wakes; the next Run goes on.
func TestVirtualRest(t *testing.T) {
	v := NewVirtual()
	w := v.NewWaiter()
	ran, ticks := false, 0
	var tick Timer
	tick = v.NewTimer(func() {
		ticks++
		tick.Reset(v.Now().Add(time.Second))
	})
	var cancel context.CancelCauseFunc
	var err error
	v.Run(func() {
		tick.Reset(Time(time.Second))
		v.Go(func() {
			_ = w.Park(background)
			ran = true
		})
		v.Go(func() {
			var ctx context.Context
			ctx, cancel = v.WithCancel(background)
			err = v.NewWaiter().Park(ctx)
		})
	})
	w.Wake()
	cancel(nil)
	if ran || ticks != 0 || v.Now() != 0 {
		t.Fatalf("outside Run: ran %v, %d ticks, at %v", ran, ticks, v.Now())
	}
	v.Run(func() { _ = Sleep(background, v, 10*time.Second+1) })
	if !ran || err != context.Canceled || ticks != 10 {
		t.Fatalf("after the next Run: ran %v, %v, %d ticks", ran, err, ticks)
	}
	tick.Stop()
}

func TestVirtualRunTwice(t *testing.T) {
	v := NewVirtual()
	v.Run(func() {
		defer func() {
			if recover() == nil {
				t.Error("a second Run was let in")
			}
		}()
		v.Run(func() {})
	})
	v.Run(func() {})
}

// trace runs a program of actors that sleep, wake each other and give up, all
// drawn from a seed, and returns what happened when.
func trace(seed uint64) []string {
	v := NewVirtual()
	rng := rand.New(rand.NewPCG(seed, 0))
	var log []string
	waiters := make([]Waiter, 8)
	for i := range waiters {
		waiters[i] = v.NewWaiter()
	}
	v.Run(func() {
		left := len(waiters)
		for i := range waiters {
			v.Go(func() {
				for range 50 {
					var err error
					switch rng.IntN(4) {
					case 0:
						err = Sleep(background, v, time.Duration(rng.IntN(5)))
					case 1:
						waiters[rng.IntN(len(waiters))].Wake()
					case 2:
						ctx, cancel := v.WithTimeout(background, time.Duration(rng.IntN(5)))
						err = waiters[i].Park(ctx)
						cancel()
					case 3:
						v.Go(func() { log = append(log, fmt.Sprint(v.Now(), " child of ", i)) })
					}
					log = append(log, fmt.Sprint(v.Now(), " ", i, " ", err))
				}
				left--
			})
		}
		for left > 0 {
			_ = Sleep(background, v, 100)
		}
	})
	return log
}

// What happens depends on nothing but the program.
func TestVirtualIsDeterministic(t *testing.T) {
	for seed := range uint64(10) {
		first := trace(seed)
		if len(first) < 400 {
			t.Fatalf("only %d events", len(first))
		}
		for range 5 {
			if again := trace(seed); !reflect.DeepEqual(first, again) {
				for i := range first {
					if i >= len(again) || first[i] != again[i] {
						t.Fatalf("seed %d: runs differ at event %d: %s", seed, i, strings.Join(first[max(0, i-3):i+1], "; "))
					}
				}
			}
		}
	}
}

func TestTime(t *testing.T) {
	if Never.Add(1) != Never || (Never-5).Add(time.Hour) != Never || Time(5).Add(3) != 8 || Time(5).Add(-3) != 2 {
		t.Error("Add")
	}
	if Time(5).Sub(3) != 2 || Time(1500).String() != "1.5µs" || Never.String() != "never" {
		t.Error("Sub or String")
	}
}

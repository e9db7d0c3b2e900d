package clock

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestRealClock(t *testing.T) {
	c := NewReal()
	before := time.Now()
	a := c.Now()
	if err := Sleep(background, c, 5*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if d := c.Now().Sub(a); d < 5*time.Millisecond {
		t.Fatalf("slept %v", d)
	}
	if w := c.Wall(c.Now()); w.Before(before) || w.After(time.Now().Add(time.Minute)) {
		t.Fatalf("the civil time is %v", w)
	}
	ctx, cancel := c.WithCancel(background)
	cause := errors.New("cause")
	c.Go(func() { cancel(cause) })
	if err := Sleep(ctx, c, time.Hour); err != cause {
		t.Fatalf("Sleep gave %v", err)
	}
	ctx, stop := c.WithTimeout(background, time.Millisecond)
	defer stop()
	if err := Sleep(ctx, c, time.Hour); err != context.DeadlineExceeded {
		t.Fatalf("Sleep gave %v", err)
	}
}

// The real clock lives in a synctest bubble: its waiters block durably there, and
// it follows the bubble's time.
func TestRealClockInBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewReal()
		if err := Sleep(background, c, 24*time.Hour); err != nil {
			t.Fatal(err)
		}
		if c.Now() != Time(24*time.Hour) {
			t.Fatalf("now is %v", c.Now())
		}
		fired := make(chan Time, 10)
		timer := c.NewTimer(func() { fired <- c.Now() })
		timer.Reset(0) // past: at once
		_ = Sleep(background, c, time.Second)
		timer.Reset(c.Now().Add(time.Hour))
		timer.Reset(c.Now().Add(time.Minute)) // at no other instant than the last
		_ = Sleep(background, c, 2*time.Hour)
		timer.Reset(c.Now().Add(time.Minute))
		timer.Stop()
		timer.Reset(Never)
		_ = Sleep(background, c, 2*time.Hour)
		day := Time(24 * time.Hour)
		if n := len(fired); n != 2 {
			t.Fatalf("fired %d times", n)
		}
		if a, b := <-fired, <-fired; a != day || b != day.Add(time.Second+time.Minute) {
			t.Fatalf("fired at %v and %v", a, b)
		}
	})
}

func TestRealWaiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewReal()
		w := c.NewWaiter()
		w.Wake()
		w.Wake()
		done, cancel := c.WithCancel(background)
		cancel(nil)
		if err := w.Park(done); err != nil {
			t.Fatalf("a wake that came first lost to a context: %v", err)
		}
		if err := w.Park(done); err != context.Canceled {
			t.Fatalf("the second Park gave %v", err)
		}
		var returned atomic.Bool
		c.Go(func() {
			_ = w.Park(background)
			returned.Store(true)
		})
		synctest.Wait()
		if returned.Load() {
			t.Fatal("Park returned without a wake")
		}
		w.Wake()
		synctest.Wait()
		if !returned.Load() {
			t.Fatal("Park did not return")
		}
	})
}

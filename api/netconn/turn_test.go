package netconn

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// One at a time has the turn, whoever gives up meanwhile, and in the end it is free
// and remembers nobody.
func TestTurn(t *testing.T) {
	var (
		turn          turn
		inside, ended atomic.Int32
		got, gone     atomic.Int32
		all           sync.WaitGroup
	)
	for i := range 8 {
		all.Go(func() {
			for j := range 300 {
				ctx, cancel := context.WithCancel(context.Background())
				if (i+j)%3 == 0 {
					all.Go(cancel)
				}
				if turn.take(ctx) {
					if inside.Add(1) != 1 {
						ended.Add(1)
					}
					if j%64 == 0 {
						time.Sleep(time.Microsecond) // so that others wait
					}
					inside.Add(-1)
					turn.pass()
					got.Add(1)
				} else {
					gone.Add(1)
				}
				cancel()
			}
		})
	}
	all.Wait()
	if ended.Load() > 0 {
		t.Errorf("two had the turn at a time, %d times", ended.Load())
	}
	if turn.taken || turn.waiting != 0 || len(turn.given) != 0 {
		t.Errorf("left behind: taken %v, %d waiting, %d given", turn.taken, turn.waiting, len(turn.given))
	}
	if got.Load()+gone.Load() != 8*300 || got.Load() == 0 {
		t.Errorf("%d and %d of %d", got.Load(), gone.Load(), 8*300)
	}
}

// Who is given the turn as he gives up passes it on.
func TestTurnGivenTooLate(t *testing.T) {
	var turn turn
	if !turn.take(context.Background()) {
		t.Fatal("not taken")
	}
	ctx, cancel := context.WithCancel(context.Background())
	first, second := make(chan bool), make(chan bool)
	wait := func(ctx context.Context, to chan bool, n int) {
		go func() { to <- turn.take(ctx) }()
		for {
			turn.mu.Lock()
			k := turn.waiting
			turn.mu.Unlock()
			if k == n {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}
	wait(ctx, first, 1)
	wait(context.Background(), second, 2)
	turn.mu.Lock() // nobody can say that he gives up
	cancel()
	turn.passLocked()
	turn.mu.Unlock()
	if <-first { // the first of two may have been quicker
		turn.pass()
	}
	if !<-second {
		t.Fatal("the second waits for ever")
	}
	turn.pass()
	if turn.taken || turn.waiting != 0 {
		t.Errorf("left behind: taken %v, %d waiting", turn.taken, turn.waiting)
	}
}

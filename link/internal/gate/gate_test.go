package gate

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func TestCloseWaitsForThoseInside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New()
		for range 2 {
			if !g.Enter() {
				t.Fatal("an open gate refused")
			}
		}
		var closed atomic.Int32
		for range 2 {
			go func() { g.Close(); closed.Add(1) }()
		}
		synctest.Wait()
		if g.Enter() {
			t.Fatal("entered a closed gate")
		}
		g.Leave()
		synctest.Wait()
		if n := closed.Load(); n != 0 {
			t.Fatalf("%d of 2 Close returned while one was inside", n)
		}
		g.Leave()
		synctest.Wait()
		if n := closed.Load(); n != 2 {
			t.Fatalf("%d of 2 Close returned", n)
		}
		g.Close()
	})
}

func TestNobodyInsideAfterClose(t *testing.T) {
	for range 200 {
		g := New()
		var inside atomic.Int32
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for g.Enter() {
					inside.Add(1)
					inside.Add(-1)
					g.Leave()
				}
			})
		}
		g.Close()
		if n := inside.Load(); n != 0 {
			t.Fatalf("%d inside after Close", n)
		}
		wg.Wait()
	}
}

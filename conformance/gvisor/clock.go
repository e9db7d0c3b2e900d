package main

import (
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"

	"github.com/sluicenet/sluice/api/clock"
)

// stackClock is the suite's clock as gVisor's. Every timer ends with settle, so that
// time stands still until gVisor has come to rest.
type stackClock struct {
	clock.Clock
	settle func()
}

var _ tcpip.Clock = (*stackClock)(nil)

// uptime is what the clock has when the suite's starts: gVisor takes 0 for no time.
const uptime = time.Hour

func (c *stackClock) Now() time.Time { return c.Wall(c.Clock.Now()) }

func (c *stackClock) NowMonotonic() tcpip.MonotonicTime {
	return tcpip.MonotonicTime{}.Add(uptime + time.Duration(c.Clock.Now()))
}

func (c *stackClock) AfterFunc(d time.Duration, f func()) tcpip.Timer {
	t := &stackTimer{clock: c}
	t.timer = c.NewTimer(func() {
		t.mu.Lock()
		armed := t.armed
		t.armed = false
		t.mu.Unlock()
		if armed {
			f()
			c.settle()
		}
	})
	t.Reset(d)
	return t
}

type stackTimer struct {
	clock *stackClock
	timer clock.Timer
	mu    sync.Mutex
	armed bool
}

func (t *stackTimer) Stop() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	was := t.armed
	t.armed = false
	t.timer.Stop()
	return was
}

func (t *stackTimer) Reset(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.armed = true
	t.timer.Reset(t.clock.Clock.Now().Add(d))
}

package engine

import (
	"context"

	"github.com/sluicenet/sluice/api/clock"
)

// A waitList has the goroutines parked for one thing, under the shard's lock.
// All of them are woken together: each looks again for itself, so no wake is
// lost on one that was leaving.
type waitList struct {
	parked []clock.Waiter
	spare  clock.Waiter // of the last one who waited; most flows have one reader and one writer
}

// wait parks the caller, who holds the shard's lock, until it is woken or ctx
// ends. The shard is left for that time, and entered again whatever happens.
func (l *waitList) wait(ctx context.Context, s *shard, now clock.Time) (clock.Time, error) {
	w := l.join(s)
	s.leave(now)
	err := w.Park(ctx)
	now = s.enter()
	l.part(w, err)
	return now, err
}

// look is wait for a caller who has done nothing but look.
func (l *waitList) look(ctx context.Context, s *shard) {
	w := l.join(s)
	s.exit()
	err := w.Park(ctx)
	s.mu.Lock()
	l.part(w, err)
}

func (l *waitList) join(s *shard) clock.Waiter {
	w := l.spare
	l.spare = nil
	if w == nil {
		w = s.stack.clock.NewWaiter()
	}
	l.parked = append(l.parked, w)
	return w
}

// part takes w out, whose Park has returned err.
func (l *waitList) part(w clock.Waiter, err error) {
	for i, p := range l.parked {
		if p == w {
			l.parked[i] = l.parked[len(l.parked)-1]
			l.parked[len(l.parked)-1] = nil
			l.parked = l.parked[:len(l.parked)-1]
			break
		}
	}
	if err == nil {
		l.spare = w // its wake has been used up
	}
}

func (l *waitList) wake() {
	for _, w := range l.parked {
		w.Wake()
	}
}

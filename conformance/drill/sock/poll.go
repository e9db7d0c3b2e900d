package sock

import (
	"context"
	"sort"
	"time"

	"github.com/sluicenet/sluice/api"
)

// events is what poll would report of a socket. The caller holds mu.
func (s *socket) events() (mask uint32) {
	if l := s.listener; l != nil && !l.down {
		if len(l.queue) > 0 {
			mask |= PollIn | PollRdNorm
		}
		return mask
	}
	s.sync()
	if s.soErr != "" {
		mask |= PollErr
	}
	if len(s.notices.queue) > 0 {
		mask |= PollErr
		if s.opt.ints[option{SolSocket, SoSelectErrQueue}] != 0 {
			mask |= PollPri
		}
	}
	if s.dialling {
		return mask
	}
	if s.deferred { // a write is what it waits for
		return mask | PollOut | PollWrNorm
	}
	if s.flow == nil {
		mask |= PollHup | PollOut | PollWrNorm
		if s.failed || s.listener != nil {
			mask |= PollIn | PollRdNorm | PollRdHup
		}
		return mask
	}
	i := s.flow.Info()
	closed := i.State == api.StateClosed || i.State == api.StateTimeWait
	finned := closed
	switch i.State {
	case api.StateCloseWait, api.StateLastAck, api.StateClosing:
		finned = true
	}
	sndShut := s.wrShut || closed
	rcvShut := s.rdShut || finned
	if closed || sndShut && rcvShut {
		mask |= PollHup
	}
	if rcvShut {
		mask |= PollIn | PollRdNorm | PollRdHup
	}
	if n := s.readable(); n > 0 && n >= s.opt.ints[option{SolSocket, SoRcvLowat}] {
		mask |= PollIn | PollRdNorm
	}
	switch {
	case sndShut:
		mask |= PollOut | PollWrNorm
	case s.writable(&i):
		mask |= PollOut | PollWrNorm
	default:
		s.noSpace = true
	}
	if s.oob >= 0 || i.UrgentPending > 0 {
		mask |= PollPri | PollRdBand
	}
	return mask
}

// writable reports whether a third of the send buffer is free, and less than
// TCP_NOTSENT_LOWAT waits.
func (s *socket) writable(i *api.Info) bool {
	queued := i.SendQueue + int64(len(s.cork))
	limit := i.SendBuffer
	if s.opt.sndBuf > 0 {
		limit = s.opt.sndBuf
	}
	if queued > limit*2/3 {
		return false
	}
	if low := s.notSentLowat(); low > 0 && 2*(i.NotSent+int64(len(s.cork))) >= low { // Linux wants half of it free
		return false
	}
	return true
}

// notSentLowat is TCP_NOTSENT_LOWAT; 0: none.
func (s *socket) notSentLowat() int64 {
	if v := s.opt.ints[option{IPProtoTCP, TCPNotSentLowat}]; v != 0 {
		return int64(uint32(v))
	}
	return int64(s.p.cfg.NotSentLowat)
}

// Poll implements [Process]. A negative timeout is none.
func (p *Proc) Poll(ctx context.Context, fds []PollFD, timeout time.Duration) (int, error) {
	ready := 0
	try := func() bool {
		ready = 0
		for i := range fds {
			f := &fds[i]
			f.Revents = 0
			if f.FD < 0 {
				continue
			}
			file, ok := p.files[f.FD]
			var mask uint32
			switch v := file.(type) {
			case *socket:
				mask = v.events()
			case *pipe:
				mask = PollOut
				if len(v.data) > 0 {
					mask |= PollIn
				}
			default:
				if !ok {
					mask = PollNval
				} else {
					mask = PollIn | PollOut
				}
			}
			f.Revents = int16(mask) & (f.Events | PollErr | PollHup | PollNval)
			if f.Revents != 0 {
				ready++
			}
		}
		return ready > 0
	}
	if timeout == 0 {
		p.mu.Lock()
		try()
		p.mu.Unlock()
		return ready, nil
	}
	switch err := p.wait(ctx, timeout, try); err {
	case nil, errTimeout:
		return ready, nil
	default:
		return -1, err
	}
}

// edges counts what wakes somebody who waits for the given events.
func (s *socket) edges(events uint32) uint64 {
	if s.listener != nil {
		return s.listener.established
	}
	gen := s.notices.reports + s.changes
	if s.flow == nil {
		return gen
	}
	f := s.p.flowState(s.flow)
	gen += f.changes
	if events&(PollIn|PollPri|PollRdNorm|PollRdBand) != 0 {
		gen += f.arrivals
	}
	if events&(PollOut|PollWrNorm) != 0 {
		gen += s.spaceGen
	}
	return gen
}

// epoll is an epoll instance.
type epoll struct {
	items map[int]*interest
	order int
}

type interest struct {
	s        *socket
	ev       EpollEvent
	order    int
	disabled bool
	gen      uint64 // edges that have been looked at
	fresh    bool
	there    bool // it was reported, and may be again
}

func (e *epoll) remove(fd int) { delete(e.items, fd) }

// EpollCreate implements [Process].
func (p *Proc) EpollCreate(int) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.alloc(&epoll{items: make(map[int]*interest)}), nil
}

// EpollCtl implements [Process].
func (p *Proc) EpollCtl(epfd, op, fd int, ev EpollEvent) error {
	p.mu.Lock()
	e, ok := p.files[epfd].(*epoll)
	f, open := p.files[fd]
	s, isSocket := f.(*socket)
	var it *interest
	if ok {
		it = e.items[fd]
	}
	var err error
	switch {
	case !open:
		err = EBADF
	case !ok:
		err = EINVAL
	case !isSocket:
		err = EPERM
	case op == EpollCtlAdd && it != nil:
		err = EEXIST
	case op != EpollCtlAdd && it == nil:
		err = ENOENT
	case op == EpollCtlDel:
		delete(e.items, fd)
	case op == EpollCtlAdd, op == EpollCtlMod:
		e.order++
		e.items[fd] = &interest{s: s, ev: ev, order: e.order, fresh: true}
	default:
		err = EINVAL
	}
	p.mu.Unlock()
	if err == nil {
		p.changed()
	}
	return err
}

// EpollWait implements [Process].
func (p *Proc) EpollWait(ctx context.Context, epfd, most int, timeout time.Duration) ([]EpollEvent, error) {
	p.mu.Lock()
	e, ok := p.files[epfd].(*epoll)
	p.mu.Unlock()
	switch {
	case !ok:
		return nil, EINVAL
	case most <= 0:
		return nil, EINVAL
	}
	var out []EpollEvent
	try := func() bool {
		out = out[:0]
		var items []*interest
		for _, it := range e.items {
			items = append(items, it)
		}
		sort.Slice(items, func(i, j int) bool { return items[i].order < items[j].order })
		for _, it := range items {
			if it.disabled || len(out) == most {
				continue
			}
			// Only what somebody has been woken for is looked at, and, without EPOLLET,
			// what was there the last time.
			gen := it.s.edges(it.ev.Events)
			if !it.fresh && gen == it.gen && !it.there {
				continue
			}
			it.gen, it.fresh = gen, false
			mask := it.s.events() & (it.ev.Events&^(EpollET|EpollOneShot|EpollExclusive) | PollErr | PollHup)
			it.there = mask != 0 && it.ev.Events&EpollET == 0
			if mask == 0 {
				continue
			}
			out = append(out, EpollEvent{Events: mask, Data: it.ev.Data})
			if it.ev.Events&EpollOneShot != 0 {
				it.disabled = true
			}
		}
		return len(out) > 0
	}
	if timeout == 0 {
		p.mu.Lock()
		try()
		p.mu.Unlock()
		return out, nil
	}
	switch err := p.wait(ctx, timeout, try); err {
	case nil, errTimeout:
		return out, nil
	default:
		return nil, err
	}
}

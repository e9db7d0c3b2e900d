package kernel

import (
	"context"
	"sync"
	"time"

	"github.com/sluicenet/sluice/api"
	"golang.org/x/sys/unix"
)

// writeSide is the half of a flow that sends.
//
// A write is admitted when nothing is pending and the socket takes its first
// byte. What the socket does not take with it is pending: it belongs to the
// flow and is passed on by the poller, so that a cancelled Write has queued
// either all or nothing, and at most one write is queued beyond the socket's
// buffer.
type writeSide struct {
	wmu      sync.Mutex
	pending  []*api.Buffer // admitted, not yet in the socket
	waiting  int64         // bytes of pending
	written  int64         // bytes admitted since the beginning
	flags    int           // of sendmsg(2), for pending
	finAsked bool          // CloseWrite or more was called
	finSent  bool          // shutdown(2) was called
	blocked  bool          // a write has met a full queue since the last ReadyWrite
	noDelays int           // calls of WriteNoDelay under way
}

// Write implements [api.Flow] (W1 to W5).
func (f *flow) Write(ctx context.Context, b *api.Buffer) error {
	return f.Writev(ctx, []*api.Buffer{b})
}

// Writev implements [api.Flow] (V1).
func (f *flow) Writev(ctx context.Context, bs []*api.Buffer) error {
	if _, err := f.write(ctx, bs, 0); err != nil {
		return f.error("write", err)
	}
	return nil
}

// write queues bs, all or nothing, and returns how far into the stream they
// reach. flags are those of the last sendmsg(2).
func (f *flow) write(ctx context.Context, bs []*api.Buffer, flags int) (end int64, err error) {
	own := make([]*api.Buffer, 0, len(bs))
	for _, b := range bs {
		if b.Len() == 0 {
			b.Release()
			continue
		}
		own = append(own, b)
	}
	size := total(own)
	var wake <-chan struct{}
	for {
		var admitted bool
		own, admitted, err = f.tryWrite(own, size, flags, &end)
		if admitted {
			return end, nil
		}
		if err == nil && wake != nil {
			select {
			case <-wake:
				wake = nil
				continue
			case <-ctx.Done():
				err = context.Cause(ctx)
			}
		}
		if err != nil {
			for _, b := range own {
				b.Release()
			}
			return 0, err
		}
		wake = f.writable.wait()
	}
}

// tryWrite admits bs if the queue is below its limit. It returns what of bs
// still belongs to the caller: nothing if bs was admitted.
func (f *flow) tryWrite(bs []*api.Buffer, size int64, flags int, end *int64) (rest []*api.Buffer, admitted bool, err error) {
	f.wmu.Lock()
	if err := f.closedError(); err != nil {
		f.wmu.Unlock()
		return bs, false, err
	}
	if size == 0 {
		*end = f.written
		f.wmu.Unlock()
		return nil, true, nil
	}
	if len(f.pending) > 0 {
		f.blocked = true
		f.wmu.Unlock()
		return bs, false, nil
	}
	rest, err = f.send(bs, flags)
	switch {
	case err == nil || err == unix.EAGAIN && total(rest) < size:
		f.pending, f.waiting, f.flags = rest, total(rest), flags
		f.written += size
		*end = f.written
		f.wmu.Unlock()
		return nil, true, nil
	case err == unix.EAGAIN:
		f.blocked = true
		f.wmu.Unlock()
		return rest, false, nil
	}
	f.wmu.Unlock()
	f.settle()
	f.wmu.Lock()
	defer f.wmu.Unlock()
	if closed := f.closedError(); closed != nil {
		err = closed
	}
	return rest, false, err
}

// total returns the number of bytes in bs.
func total(bs []*api.Buffer) (n int64) {
	for _, b := range bs {
		n += int64(b.Len())
	}
	return n
}

// send gives the socket as much of bs as it takes, releases that, and returns
// the rest. The caller holds wmu.
func (f *flow) send(bs []*api.Buffer, flags int) (rest []*api.Buffer, err error) {
	f.fdMu.RLock()
	defer f.fdMu.RUnlock()
	if f.fd < 0 {
		return bs, unix.EPIPE
	}
	const maxVector = 1024 // IOV_MAX
	for len(bs) > 0 {
		var vector [8][]byte
		v := vector[:0]
		for _, b := range bs[:min(len(bs), maxVector)] {
			v = append(v, b.Bytes())
		}
		fl := unix.MSG_NOSIGNAL | unix.MSG_DONTWAIT
		if len(v) == len(bs) {
			fl |= flags
		}
		n, err := unix.SendmsgBuffers(f.fd, v, nil, nil, fl)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			// EPIPE means no more than that we may not write, unless that is
			// how the kernel reports a reset in CLOSE-WAIT.
			if err != unix.EAGAIN && (err != unix.EPIPE || !f.finSent) {
				f.sockErr.CompareAndSwap(0, int32(errnoOf(err)))
			}
			return bs, err
		}
		for n > 0 {
			if m := bs[0].Len(); n < m {
				bs[0].Trim(n, m)
				break
			} else {
				n -= m
			}
			bs[0].Release()
			bs = bs[1:]
		}
	}
	return nil, nil
}

// flush passes on what is pending, and then the FIN if that was asked for. It
// reports whether something was pending and no longer is.
func (f *flow) flush() bool {
	f.wmu.Lock()
	defer f.wmu.Unlock()
	was := len(f.pending) > 0
	if was {
		f.pending, _ = f.send(f.pending, f.flags)
		f.waiting = total(f.pending)
		if len(f.pending) > 0 {
			return false // the poller tells when to go on, or that there is an error
		}
	}
	f.shutdownLocked()
	return was
}

// shutdownLocked sends the FIN if it is due. The caller holds wmu.
func (f *flow) shutdownLocked() {
	if !f.finAsked || f.finSent || len(f.pending) > 0 {
		return
	}
	f.fdMu.RLock()
	defer f.fdMu.RUnlock()
	if f.fd < 0 {
		return
	}
	f.finSent = true
	unix.Shutdown(f.fd, unix.SHUT_WR) // fails only if the connection is no more
}

// unblocked wakes the writers, and reports whether one had been turned away.
func (f *flow) unblocked() bool {
	f.wmu.Lock()
	defer f.wmu.Unlock()
	if len(f.pending) > 0 {
		return false
	}
	was := f.blocked
	f.blocked = false
	f.writable.broadcast()
	return was
}

// dropPending releases what an ended flow cannot send.
func (f *flow) dropPending() {
	f.wmu.Lock()
	defer f.wmu.Unlock()
	for _, b := range f.pending {
		b.Release()
	}
	f.pending, f.waiting = nil, 0
}

// CloseWrite implements [api.Flow] (C1, C2).
func (f *flow) CloseWrite() error {
	f.wmu.Lock()
	f.finAsked = true
	f.shutdownLocked()
	f.wmu.Unlock()
	f.writable.broadcast()
	return nil
}

// WriteNoDelay implements [api.Flow] (N1, N2).
func (f *flow) WriteNoDelay(ctx context.Context, b *api.Buffer) error {
	return f.WritevNoDelay(ctx, []*api.Buffer{b})
}

// WritevNoDelay implements [api.Flow] (N3).
func (f *flow) WritevNoDelay(ctx context.Context, bs []*api.Buffer) error {
	f.noDelay(+1)
	defer f.noDelay(-1)
	end, err := f.write(ctx, bs, 0)
	if err == nil {
		err = f.waitAcked(ctx, end)
	}
	if err != nil {
		return f.error("write", err)
	}
	return nil
}

// noDelay keeps Nagle's algorithm off while a WriteNoDelay is under way.
func (f *flow) noDelay(change int) {
	f.wmu.Lock()
	defer f.wmu.Unlock()
	f.noDelays += change
	if f.noDelays > 1 || f.noDelays == 1 && change < 0 {
		return
	}
	f.fdMu.RLock()
	defer f.fdMu.RUnlock()
	f.mu.Lock()
	always := f.cfg.NoDelay
	f.mu.Unlock()
	if f.fd >= 0 {
		unix.SetsockoptInt(f.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, boolInt(always || f.noDelays > 0))
	}
}

// The kernel does not tell when a byte has been acknowledged (N1), so it is
// asked, less and less often.
const (
	minPoll = 20 * time.Microsecond
	maxPoll = 5 * time.Millisecond
)

// waitAcked waits until the peer has acknowledged the stream up to end.
func (f *flow) waitAcked(ctx context.Context, end int64) error {
	var timer *time.Timer
	for pause := minPoll; ; pause = min(2*pause, maxPoll) {
		acked, open := f.acked()
		if acked >= end {
			return nil
		}
		if !open {
			f.settle()
			f.mu.Lock()
			reason, ended := f.reason, f.ended
			f.mu.Unlock()
			if ended && reason == nil {
				return nil // in order: everything was acknowledged
			}
			return api.ClosedBy(reason)
		}
		if timer == nil {
			timer = time.NewTimer(pause)
			defer timer.Stop()
		} else {
			timer.Reset(pause)
		}
		select {
		case <-timer.C:
		case <-f.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// acked returns how much of the stream the peer has acknowledged, and whether
// more can be.
func (f *flow) acked() (n int64, open bool) {
	f.wmu.Lock()
	defer f.wmu.Unlock()
	f.fdMu.RLock()
	defer f.fdMu.RUnlock()
	if f.fd < 0 {
		return 0, false
	}
	queued, err := unix.IoctlGetInt(f.fd, unix.SIOCOUTQ)
	if err != nil {
		return 0, false
	}
	open = socketState(f.fd) != unix.BPF_TCP_CLOSE
	if f.finSent && queued > 0 {
		queued-- // SIOCOUTQ counts the FIN
	}
	return f.written - f.waiting - int64(queued), open
}

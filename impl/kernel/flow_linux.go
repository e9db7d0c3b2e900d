package kernel

import (
	"context"
	"io"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicenet/sluice/api"
	"golang.org/x/sys/unix"
)

// A flow is one socket.
//
// The descriptor is closed as soon as the kernel has ended the connection; what
// was left to read is kept. Locks are taken in the order wmu, fdMu, mu.
type flow struct {
	s        *Stack
	src, dst netip.AddrPort
	ipv6     bool // the socket's family
	dialled  bool
	token    uint64 // of the poller
	opened   time.Time

	// done is closed when the flow has ended or was orphaned.
	done     chan struct{}
	doneOnce sync.Once

	// readable and writable are signalled when trying again may help.
	readable, writable signal

	// fdMu keeps the descriptor open: read-locked around each system call on
	// it, none of which blocks, and locked to close it.
	fdMu sync.RWMutex
	fd   int // -1 once closed

	// sockErr is an errno that a call has taken away from the socket, which
	// tells each but once.
	sockErr atomic.Int32

	configuring sync.Mutex // one Configure at a time; taken before all others

	// connecting is true until the handshake is over.
	connecting atomic.Bool

	mu         sync.Mutex
	cfg        api.FlowConfig // as asked for
	ended      bool
	orphaned   bool
	detached   bool // orphaned before it had ended
	eof        bool // Read has returned io.EOF
	reason     error
	soft       error
	readClosed bool
	left       []*api.Buffer // what an ended flow has left to read
	last       api.Info      // of an ended flow
	readSize   int           // what Read allocates

	writeSide

	notify notifier
}

var (
	_ api.Flow     = (*flow)(nil)
	_ api.Orphaner = (*flow)(nil)
)

// newFlow makes a flow of fd, which belongs to it from now on. It is not yet
// registered with the poller.
func (s *Stack) newFlow(fd int, ipv6 bool, cfg api.FlowConfig) *flow {
	f := &flow{s: s, fd: fd, ipv6: ipv6, cfg: cfg, opened: time.Now(),
		done: make(chan struct{}), readSize: minRead}
	f.notify.f = f
	f.notify.call = cfg.Notify
	return f
}

// Sizes of what Read asks the kernel for.
const (
	minRead = 16 << 10
	maxRead = 64 << 10
)

// Dst implements [api.Flow] (D1).
func (f *flow) Dst() netip.AddrPort { return f.dst }

// Src implements [api.Flow] (D1).
func (f *flow) Src() netip.AddrPort { return f.src }

// CloseReason implements [api.Flow].
func (f *flow) CloseReason() error {
	f.settle()
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reason
}

func (f *flow) error(op string, err error) error { return opError(op, f.src, f.dst, err) }

// Read implements [api.Flow] (R1 to R4).
func (f *flow) Read(ctx context.Context) (*api.Buffer, error) {
	var wake <-chan struct{}
	for {
		b, again, err := f.tryRead()
		if err == io.EOF {
			return nil, err
		}
		if err != nil {
			return nil, f.error("read", err)
		}
		if b != nil {
			return b, nil
		}
		if !again {
			continue // the flow has just ended: look at what it left
		}
		if wake == nil {
			wake = f.readable.wait()
			continue
		}
		select {
		case <-wake:
			wake = nil
		case <-ctx.Done():
			return nil, f.error("read", context.Cause(ctx))
		}
	}
}

// tryRead returns what there is to read. again means nothing yet.
func (f *flow) tryRead() (b *api.Buffer, again bool, err error) {
	f.mu.Lock()
	size := f.readSize
	switch {
	case f.orphaned:
		err = api.ClosedBy(nil)
	case f.readClosed || f.eof:
		err = io.EOF
	case len(f.left) > 0:
		b, f.left = f.left[0], f.left[1:]
	case f.ended:
		if err = f.reason; err == nil || err == api.ErrKeepalive {
			f.eof, err = true, io.EOF
		}
	}
	f.mu.Unlock()
	if b != nil || err != nil {
		return b, false, err
	}

	f.fdMu.RLock()
	if f.fd < 0 {
		f.fdMu.RUnlock()
		return nil, false, nil
	}
	// The kernel reports a reset only after what arrived before it; a flow
	// reports it at once (R4).
	if f.takeError() {
		f.fdMu.RUnlock()
		f.settle()
		return nil, false, nil
	}
	b = api.Alloc(size)
	n, err := recv(f.fd, b.Bytes(), 0)
	if err != nil && err != unix.EAGAIN {
		f.sockErr.CompareAndSwap(0, int32(errnoOf(err)))
	}
	f.fdMu.RUnlock()
	switch {
	case err == unix.EAGAIN:
		b.Release()
		return nil, true, nil
	case err != nil:
		b.Release()
		f.settle()
		return nil, false, nil
	case n == 0:
		b.Release()
		f.settle() // an ended flow has no end of file of its own
		return nil, false, f.endOfFile()
	}
	f.adapt(size, n)
	return shrink(b, n), false, nil
}

// endOfFile is the result of a Read that met the end of the stream.
func (f *flow) endOfFile() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return nil // tryRead says more
	}
	f.eof = true
	return io.EOF
}

// adapt makes reads of a busy flow larger, and those of a quiet one smaller.
func (f *flow) adapt(size, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case n == size:
		f.readSize = maxRead
	case n <= minRead:
		f.readSize = minRead
	}
}

// shrink narrows b to its first n bytes, in a smaller page if they fit one: the
// reader may keep it for long.
func shrink(b *api.Buffer, n int) *api.Buffer {
	if int64(n)*8 > b.MemSize() {
		b.Trim(0, n)
		return b
	}
	c := api.CopyBuffer(b.Bytes()[:n])
	b.Release()
	return c
}

// takeError moves the socket's error, if it has one, to sockErr. fdMu is at
// least read-locked and fd valid.
func (f *flow) takeError() bool {
	if f.sockErr.Load() != 0 {
		return true
	}
	errno, err := unix.GetsockoptInt(f.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil || errno == 0 {
		return false
	}
	f.sockErr.CompareAndSwap(0, int32(errno))
	return true
}

// Close implements [api.Flow] (C1 to C5).
func (f *flow) Close(ctx context.Context) error {
	f.CloseWrite()
	f.settle()
	select {
	case <-f.done:
	default:
		select {
		case <-f.done:
		case <-ctx.Done():
			return f.error("close", context.Cause(ctx))
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.reason != nil:
		return f.error("close", f.reason)
	case f.detached: // nobody will know
		return f.error("close", api.ClosedBy(nil))
	}
	return nil
}

// CloseRead implements [api.Flow].
func (f *flow) CloseRead() error {
	f.mu.Lock()
	f.readClosed = true
	f.releaseLeft()
	f.mu.Unlock()
	f.readable.broadcast()
	f.discard()
	return nil
}

func (f *flow) releaseLeft() {
	for _, b := range f.left {
		b.Release()
	}
	f.left = nil
}

// discard throws away what has arrived, which the kernel does without copying.
func (f *flow) discard() {
	f.fdMu.RLock()
	defer f.fdMu.RUnlock()
	if f.fd < 0 {
		return
	}
	for {
		n, err := recvTrunc(f.fd)
		if err != nil && err != unix.EAGAIN {
			f.sockErr.CompareAndSwap(0, int32(errnoOf(err)))
		}
		if err != nil || n == 0 {
			return
		}
	}
}

// Abort implements [api.Flow].
func (f *flow) Abort() { f.abort(api.ErrAborted) }

// abort resets the connection, unless it has ended.
func (f *flow) abort(reason error) {
	if f.connecting.Load() {
		return // Dial cleans up after itself
	}
	f.settle()
	f.fdMu.Lock()
	if f.fd >= 0 {
		unix.SetsockoptLinger(f.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}
	f.end(reason, nil, false)
}

// Orphan implements [api.Orphaner]: it is close(2), except that what the socket
// has not taken yet is passed on first.
func (f *flow) Orphan() {
	f.settle()
	f.wmu.Lock()
	f.finAsked = true
	f.fdMu.Lock()
	unread := 0
	if f.fd >= 0 {
		unread, _ = unix.IoctlGetInt(f.fd, unix.TIOCINQ)
	}
	f.mu.Lock()
	if f.orphaned {
		f.mu.Unlock()
		f.fdMu.Unlock()
		f.wmu.Unlock()
		return
	}
	f.orphaned = true
	f.releaseLeft()
	ended := f.ended
	f.detached = !ended
	f.mu.Unlock()
	if ended {
		f.fdMu.Unlock()
		f.wmu.Unlock()
		return
	}
	if len(f.pending) == 0 || unread > 0 {
		f.wmu.Unlock()
		f.end(nil, nil, false)
		return
	}
	f.fdMu.Unlock()
	f.wmu.Unlock()
	f.doneOnce.Do(func() { close(f.done) })
	f.readable.broadcast()
	f.writable.broadcast()
	time.AfterFunc(orphanTime, f.Abort)
}

// orphanTime bounds how long an orphan may take to hand the rest of what was
// written to the kernel, which has its own limits from then on.
const orphanTime = 60 * time.Second

// event implements handler.
func (f *flow) event(events uint32) {
	if f.connecting.Load() {
		f.writable.broadcast()
		return
	}
	const ending = unix.EPOLLHUP | unix.EPOLLERR
	flushed := f.flush()
	if events&ending != 0 {
		f.settle()
	}
	f.mu.Lock()
	readClosed, orphaned := f.readClosed, f.orphaned
	f.mu.Unlock()
	if orphaned {
		f.orphanEvent()
		return
	}
	if readClosed {
		f.discard()
	}
	var ready api.Readiness
	if events&(unix.EPOLLIN|unix.EPOLLRDHUP|ending) != 0 {
		f.readable.broadcast()
		ready |= api.ReadyRead
	}
	if flushed || events&(unix.EPOLLOUT|ending) != 0 {
		if f.unblocked() {
			ready |= api.ReadyWrite
		}
	}
	if events&unix.EPOLLPRI != 0 {
		ready |= api.ReadyUrgent
	}
	f.notify.add(ready)
}

// orphanEvent lets go of an orphan that has handed over everything, or to which
// somebody still talks: close(2) then answers by a reset.
func (f *flow) orphanEvent() {
	f.wmu.Lock()
	flushed := len(f.pending) == 0
	f.wmu.Unlock()
	f.fdMu.Lock()
	if f.fd < 0 {
		f.fdMu.Unlock()
		return
	}
	unread, _ := unix.IoctlGetInt(f.fd, unix.TIOCINQ)
	if !flushed && unread == 0 {
		f.fdMu.Unlock()
		return
	}
	f.end(nil, nil, false)
}

// settle ends the flow if the kernel has ended the connection.
func (f *flow) settle() {
	f.fdMu.RLock()
	var closed bool
	if f.fd >= 0 && !f.connecting.Load() {
		closed = socketState(f.fd) == unix.BPF_TCP_CLOSE
	}
	f.fdMu.RUnlock()
	if !closed {
		return
	}
	f.fdMu.Lock()
	if f.fd < 0 {
		f.fdMu.Unlock()
		return
	}
	// Nobody is in a system call now, so whoever took the socket's error has
	// put it into sockErr.
	f.takeError()
	errno := unix.Errno(f.sockErr.Load())
	f.mu.Lock()
	k, _ := keepaliveOf(f.cfg.Keepalive)
	f.mu.Unlock()
	queued, _ := unix.IoctlGetInt(f.fd, unix.SIOCOUTQ)
	reason, soft := endReason(errno, k != nil && queued == 0)
	f.end(reason, soft, reason != api.ErrReset && reason != api.ErrAborted)
}

// end closes the descriptor, keeping what is left to read if keep is set. The
// caller holds fdMu, which end unlocks. An ended flow stays as it is.
func (f *flow) end(reason, soft error, keep bool) {
	f.mu.Lock()
	if f.ended || f.fd < 0 {
		f.mu.Unlock()
		f.fdMu.Unlock()
		return
	}
	f.last = f.infoLocked()
	f.last.State = api.StateClosed
	f.last.Memory, f.last.SendQueue, f.last.InFlight, f.last.ReceiveQueue = 0, 0, 0, 0
	if keep && !f.readClosed && !f.orphaned {
		for {
			b := api.Alloc(maxRead)
			n, err := recv(f.fd, b.Bytes(), 0)
			if err != nil || n == 0 {
				b.Release()
				break
			}
			f.left = append(f.left, shrink(b, n))
			f.last.ReceiveQueue += int64(n)
		}
	}
	wasOrphaned := f.orphaned
	f.ended, f.reason, f.soft = true, reason, soft
	if soft != nil {
		f.last.SoftError = soft
	}
	f.s.poll.closeFD(f.fd, f.token)
	f.fd = -1
	last := f.last
	f.mu.Unlock()
	f.fdMu.Unlock()

	f.doneOnce.Do(func() { close(f.done) })
	f.s.remove(f)
	f.readable.broadcast()
	f.writable.broadcast()
	f.dropPending()
	if o := f.s.observer.Load(); o != nil {
		if o.State != nil {
			o.State(f.src, f.dst, api.StateEstablished, api.StateClosed)
		}
		if o.Closed != nil {
			o.Closed(last, reason)
		}
	}
	if !wasOrphaned {
		f.notify.add(api.ReadyRead | api.ReadyWrite | api.ReadyClosed)
	}
}

// closedError is the error of a write to a flow that is closed, or nil.
// The caller holds wmu.
func (f *flow) closedError() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.ended:
		return api.ClosedBy(f.reason)
	case f.finAsked:
		return api.ClosedBy(nil)
	}
	return nil
}

package kernel

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// A poller tells handlers what happens to their descriptors, from one goroutine
// of its own, edge-triggered. The goroutine waits for the epoll descriptor in the
// runtime's own poller, so it does not occupy a thread.
type poller struct {
	file *os.File
	raw  syscall.RawConn

	mu       sync.Mutex
	last     uint64
	handlers map[uint64]handler
}

// A handler is told of the events of one descriptor. It does not block.
type handler interface{ event(events uint32) }

// What a flow and a listener want to hear of.
const (
	flowEvents   = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLPRI | unix.EPOLLRDHUP | unix.EPOLLET
	listenEvents = unix.EPOLLIN | unix.EPOLLET
)

func newPoller() (*poller, error) {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	if err := unix.SetNonblock(epfd, true); err != nil {
		unix.Close(epfd)
		return nil, fmt.Errorf("epoll descriptor: %w", err)
	}
	p := &poller{handlers: make(map[uint64]handler)}
	p.file = os.NewFile(uintptr(epfd), "epoll")
	if p.raw, err = p.file.SyscallConn(); err != nil {
		p.file.Close()
		return nil, fmt.Errorf("epoll descriptor: %w", err)
	}
	return p, nil
}

// add registers fd. Events carry a token, not the descriptor, whose number may
// have a new owner by the time they are looked at.
func (p *poller) add(fd int, events uint32, h handler) (token uint64, err error) {
	p.mu.Lock()
	p.last++
	token = p.last
	p.handlers[token] = h
	p.mu.Unlock()
	ev := unix.EpollEvent{Events: events, Fd: int32(token), Pad: int32(token >> 32)}
	errClosed := p.raw.Control(func(epfd uintptr) {
		err = unix.EpollCtl(int(epfd), unix.EPOLL_CTL_ADD, fd, &ev)
	})
	if err == nil {
		err = errClosed
	}
	if err != nil {
		p.forget(token)
		return 0, err
	}
	return token, nil
}

// closeFD unregisters fd and closes it. Without the former, epoll_wait may at this
// moment hold a reference that keeps the socket, and so its port, for a little
// longer than close(2).
func (p *poller) closeFD(fd int, token uint64) {
	p.forget(token)
	p.raw.Control(func(epfd uintptr) {
		unix.EpollCtl(int(epfd), unix.EPOLL_CTL_DEL, fd, nil)
	})
	unix.Close(fd)
}

func (p *poller) forget(token uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.handlers, token)
}

// run dispatches events until close.
func (p *poller) run() error {
	events := make([]unix.EpollEvent, 256)
	for {
		var n int
		var errWait error
		err := p.raw.Read(func(fd uintptr) bool {
			for {
				n, errWait = unix.EpollWait(int(fd), events, 0)
				if errWait != unix.EINTR {
					return n != 0
				}
			}
		})
		if err != nil {
			if errors.Is(err, os.ErrClosed) {
				return nil
			}
			return err
		}
		if errWait != nil {
			return fmt.Errorf("epoll_wait: %w", errWait)
		}
		for _, ev := range events[:n] {
			token := uint64(uint32(ev.Fd)) | uint64(uint32(ev.Pad))<<32
			p.mu.Lock()
			h := p.handlers[token]
			p.mu.Unlock()
			if h != nil {
				h.event(ev.Events)
			}
		}
	}
}

// close ends run.
func (p *poller) close() { p.file.Close() }

// A signal lets any number of goroutines wait until something may have changed.
type signal struct {
	mu sync.Mutex
	ch chan struct{} // nil while nobody waits
}

// wait returns a channel that the next broadcast closes. Call it before looking
// at what may change.
func (s *signal) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

func (s *signal) broadcast() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}

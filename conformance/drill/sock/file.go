package sock

import (
	"context"
	"errors"
	"net/netip"

	"github.com/sluicenet/sluice/api"
)

// isEnded reports whether err says that a call would have blocked.
func isEnded(err error) bool { return errors.Is(err, context.Canceled) }

// pipe is both ends of a pipe.
type pipe struct{ data []byte }

// zeroes is an open file that has zeros for ever.
type zeroes struct{}

// Pipe implements [Process].
func (p *Proc) Pipe(int) (int, int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := &pipe{}
	return p.alloc(f), p.alloc(f), nil
}

func (p *Proc) readPipe(f *pipe, m *Message) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(f.data) == 0 {
		return -1, EAGAIN
	}
	n := 0
	for _, b := range m.Iov {
		k := copy(b, f.data)
		f.data = f.data[k:]
		n += k
	}
	return n, nil
}

// Open implements [Process]. Every file reads as zeros.
func (p *Proc) Open(string, int) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.alloc(zeroes{}), nil
}

// SendFile implements [Process].
func (p *Proc) SendFile(ctx context.Context, out, in int, offset *int64, n int) (int, error) {
	p.mu.Lock()
	_, ok := p.files[in].(zeroes)
	p.mu.Unlock()
	if !ok {
		return -1, EBADF
	}
	k, err := p.Send(ctx, out, &Message{Iov: [][]byte{make([]byte, n)}}, 0)
	if err == nil && offset != nil {
		*offset += int64(k)
	}
	return k, err
}

// Splice implements [Process]: one side is a pipe.
func (p *Proc) Splice(ctx context.Context, in, out, n, flags int) (int, error) {
	p.mu.Lock()
	from, ok1 := p.files[in].(*pipe)
	to, ok2 := p.files[out].(*pipe)
	p.mu.Unlock()
	more := 0
	if flags&SpliceMore != 0 {
		more = MsgMore
	}
	if flags&SpliceNonblock != 0 {
		more |= MsgDontWait
	}
	switch {
	case ok1 && !ok2:
		n = min(n, len(from.data))
		if n == 0 {
			return -1, EAGAIN
		}
		k, err := p.Send(ctx, out, &Message{Iov: [][]byte{from.data[:n]}}, more)
		if err == nil {
			from.data = from.data[k:]
		}
		return k, err
	case ok2 && !ok1:
		buf := make([]byte, n)
		k, err := p.Recv(ctx, in, &Message{Iov: [][]byte{buf}}, more&MsgDontWait)
		if err == nil {
			to.data = append(to.data, buf[:k]...)
		}
		return k, err
	}
	return -1, EINVAL
}

// Fcntl implements [Process].
func (p *Proc) Fcntl(fd, cmd, arg int) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f, ok := p.files[fd]
	if !ok {
		return -1, EBADF
	}
	s, _ := f.(*socket)
	switch cmd {
	case FGetFL:
		fl := ORdWr
		if s != nil && s.nonblock {
			fl |= ONonblock
		}
		return fl, nil
	case FSetFL:
		if s != nil {
			s.nonblock = arg&ONonblock != 0
		}
		return 0, nil
	case FGetFD, FSetFD:
		return 0, nil
	}
	return -1, Unsupported{"this command of fcntl"}
}

// Ioctl implements [Process].
func (p *Proc) Ioctl(fd, request, arg int) (int, int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, err := p.socket(fd)
	if err != nil {
		return -1, 0, err
	}
	switch request {
	case FIONBIO:
		s.nonblock = arg != 0
		return 0, arg, nil
	case FIONREAD:
		if s.listener != nil {
			return -1, 0, EINVAL
		}
		n := s.readable()
		if s.mark > 0 { // up to the urgent byte
			n = min(n, s.mark)
		}
		return 0, n, nil
	case SIOCOUTQ:
		if s.listener != nil {
			return -1, 0, EINVAL
		}
		if s.flow == nil {
			return 0, 0, nil
		}
		i := s.flow.Info()
		return 0, int(i.SendQueue) + len(s.cork) + s.finQueued(&i), nil
	case SIOCOUTQNSD:
		if s.listener != nil {
			return -1, 0, EINVAL
		}
		if s.flow == nil {
			return 0, 0, nil
		}
		i := s.flow.Info()
		n := int(i.NotSent) + len(s.cork)
		if n > 0 { // a FIN that has not been sent either
			n += s.finQueued(&i)
		}
		return 0, n, nil
	case FIONSPACE:
		if s.flow == nil {
			return 0, 0, nil
		}
		i := s.flow.Info()
		return 0, int(i.SendBuffer - i.SendQueue), nil
	case SIOCATMARK:
		if s.flow == nil {
			return 0, 0, nil
		}
		i := s.flow.Info()
		at := s.mark == 0 || s.mark < 0 && len(s.ahead) == 0 && i.UrgentPending == 1
		if at {
			return 0, 1, nil
		}
		return 0, 0, nil
	}
	return -1, 0, ENOTTY
}

// finQueued is 1 while our FIN, which counts as a byte on Linux, is not acknowledged.
func (s *socket) finQueued(i *api.Info) int {
	switch i.State {
	case api.StateFinWait1, api.StateClosing, api.StateLastAck:
		if !s.p.cfg.FreeBSD {
			return 1
		}
	}
	return 0
}

// GetSockName implements [Process].
func (p *Proc) GetSockName(fd int) (netip.AddrPort, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, err := p.socket(fd)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if s.flow != nil {
		return s.remap(s.flow.Src()), nil
	}
	if s.dialling {
		if i, ok := s.dialInfo(); ok {
			return s.remap(i.Src), nil
		}
	}
	if s.bound {
		return s.remap(s.local), nil
	}
	a := netip.IPv4Unspecified()
	if s.domain == AFInet6 {
		a = netip.IPv6Unspecified()
	}
	return netip.AddrPortFrom(a, 0), nil
}

// GetPeerName implements [Process].
func (p *Proc) GetPeerName(fd int) (netip.AddrPort, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, err := p.socket(fd)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if s.flow == nil || s.ended() {
		return netip.AddrPort{}, ENOTCONN
	}
	return s.remap(s.flow.Dst()), nil
}

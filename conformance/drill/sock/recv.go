package sock

import (
	"context"
	"encoding/binary"
	"io"
	"time"

	"github.com/sluicenet/sluice/api"
)

// A partReader reads no more than it is asked for.
type partReader interface {
	ReadInto(ctx context.Context, p []byte) (int, error)
}

// pull moves up to n bytes from the flow to ahead, and reports the end of the
// stream. It does not block. The caller holds mu.
func (s *socket) pull(n int) {
	if s.flow == nil || s.eof {
		return
	}
	for n > 0 {
		i := s.flow.Info()
		mark := int64(-1)
		if i.UrgentPending > 0 {
			// The urgent byte is the last one announced.
			mark = i.UrgentPending - 1
		}
		var got []byte
		var err error
		if r, ok := s.flow.(partReader); ok {
			buf := make([]byte, n)
			var k int
			k, err = r.ReadInto(ended, buf)
			got = buf[:k]
		} else {
			var b *api.Buffer
			if b, err = s.flow.Read(ended); err == nil {
				got = append(got, b.Bytes()...)
				b.Release()
			}
		}
		if err != nil {
			s.eof = err == io.EOF
			return
		}
		if mark >= 0 && mark < int64(len(got)) && s.opt.ints[option{SolSocket, SoOOBInline}] == 0 {
			// The byte is taken out of the stream, as in BSD.
			s.oob = int(got[mark])
			s.mark = len(s.ahead) + int(mark)
			got = append(got[:mark], got[mark+1:]...)
			n++ // it does not count
		} else if mark >= 0 && mark < int64(len(got)) {
			s.mark = len(s.ahead) + int(mark)
		}
		s.ahead = append(s.ahead, got...)
		n -= len(got)
	}
}

// readable returns how many bytes could be read now.
func (s *socket) readable() int {
	n := len(s.ahead)
	if s.flow != nil && !s.eof {
		n += int(s.flow.Info().ReceiveQueue)
	}
	return n
}

// peerDone reports that nothing more will come.
func (s *socket) peerDone() bool {
	if s.flow == nil {
		return false
	}
	if s.eof || s.rdShut {
		return true
	}
	i := s.flow.Info()
	switch i.State {
	case api.StateCloseWait, api.StateLastAck, api.StateClosing, api.StateTimeWait, api.StateClosed:
		return i.ReceiveQueue == 0
	}
	return false
}

// Recv implements [Process]: read, readv, recv, recvfrom and recvmsg.
func (p *Proc) Recv(ctx context.Context, fd int, m *Message, flags int) (int, error) {
	p.mu.Lock()
	if f, ok := p.files[fd].(*pipe); ok {
		p.mu.Unlock()
		return p.readPipe(f, m)
	}
	s, err := p.socket(fd)
	if err != nil {
		p.mu.Unlock()
		return -1, err
	}
	if flags&MsgErrQueue != 0 && !p.cfg.FreeBSD {
		defer p.mu.Unlock()
		return s.recvErr(m)
	}
	want := 0
	for _, b := range m.Iov {
		want += len(b)
	}
	if m.Plain && want == 0 && !p.cfg.FreeBSD { // as System V had it
		p.mu.Unlock()
		return 0, nil
	}
	if flags&MsgOOB != 0 {
		defer p.mu.Unlock()
		return s.recvOOB(m, flags)
	}
	if s.flow == nil && !s.dialling && !s.deferred {
		e := s.takeErr()
		p.mu.Unlock()
		if e != "" {
			return -1, e
		}
		return -1, ENOTCONN
	}
	target := min(max(s.opt.ints[option{SolSocket, SoRcvLowat}], 1), want)
	if flags&MsgWaitAll != 0 && flags&MsgPeek == 0 {
		target = want
	}
	nonblock := s.nonblock || flags&MsgDontWait != 0
	timeout := s.opt.timeout(SoRcvTimeo)
	p.mu.Unlock()

	n := 0
	var result error
	finished := false
	try := func() bool {
		if s.dialling || s.deferred {
			return false
		}
		if m.Fault && s.readable() > 0 && flags&MsgTrunc == 0 {
			result, finished = EFAULT, true
			return true
		}
		if flags&MsgPeek != 0 {
			from := 0
			if off, ok := s.opt.ints[option{SolSocket, SoPeekOff}]; ok && off >= 0 {
				from = off
			}
			s.pull(from + want - len(s.ahead))
			n = s.copyOut(m.Iov, from, flags)
		} else {
			for n < want {
				stop := s.mark
				s.pull(want - n - len(s.ahead))
				k := s.take(m.Iov, n, want-n, flags)
				n += k
				if k == 0 || stop >= 0 || s.mark == 0 {
					break
				}
			}
		}
		switch {
		case n > 0 && (n >= target || s.peerDone() || s.mark == 0):
			finished = true
		case want == 0 && (p.cfg.FreeBSD || s.readable() > 0):
			finished = true
		case n == 0:
			if e := s.takeErr(); e != "" {
				result, finished = e, true
			} else if s.flow == nil {
				result, finished = ENOTCONN, true
			} else if s.peerDone() && s.readable() == 0 {
				finished = true // end of file
			}
		default:
			s.sync()
			finished = s.soErr != ""
		}
		return finished
	}
	if nonblock {
		p.mu.Lock()
		try()
		p.mu.Unlock()
		if !finished && n == 0 {
			return -1, EAGAIN
		}
	} else if err := p.wait(ctx, timeout, try); err != nil && n == 0 {
		if err == errTimeout {
			err = EAGAIN
		}
		return -1, err
	}
	if result != nil {
		return -1, result
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if off, ok := s.opt.ints[option{SolSocket, SoPeekOff}]; ok && off >= 0 {
		if flags&MsgPeek != 0 {
			s.opt.ints[option{SolSocket, SoPeekOff}] = off + n
		} else {
			s.opt.ints[option{SolSocket, SoPeekOff}] = max(off-n, 0)
		}
	}
	if m.WantName && s.flow != nil {
		m.Name = s.remap(s.flow.Dst())
	}
	s.control(m, n)
	p.changed() // whoever polls for more
	return n, nil
}

// take moves up to most bytes from ahead to iov, from its byte at on.
func (s *socket) take(iov [][]byte, at, most, flags int) int {
	n := min(most, len(s.ahead))
	if s.mark == 0 {
		s.mark = -1 // reading on from the mark
		if s.oob >= 0 {
			s.oob = -2 // unread urgent data are lost
		}
	}
	if s.mark > 0 {
		n = min(n, s.mark)
	}
	if flags&MsgTrunc == 0 {
		scatter(iov, at, s.ahead[:n])
	}
	s.ahead = s.ahead[n:]
	if s.mark > 0 {
		s.mark -= n
	}
	return n
}

// copyOut copies what take would move, from a byte on (SO_PEEK_OFF).
func (s *socket) copyOut(iov [][]byte, from, flags int) int {
	n := 0
	for _, b := range iov {
		n += len(b)
	}
	from = min(from, len(s.ahead))
	n = min(n, len(s.ahead)-from)
	if s.mark > from {
		n = min(n, s.mark-from)
	}
	if flags&MsgTrunc == 0 {
		scatter(iov, 0, s.ahead[from:from+n])
	}
	return n
}

// scatter copies b into iov from its byte at on.
func scatter(iov [][]byte, at int, b []byte) {
	for _, v := range iov {
		if at >= len(v) {
			at -= len(v)
			continue
		}
		k := copy(v[at:], b)
		b = b[k:]
		at = 0
		if len(b) == 0 {
			return
		}
	}
}

// recvOOB is recv with MSG_OOB.
func (s *socket) recvOOB(m *Message, flags int) (int, error) {
	if s.flow == nil {
		return -1, ENOTCONN
	}
	if s.opt.ints[option{SolSocket, SoOOBInline}] != 0 {
		return -1, EINVAL
	}
	if i := s.flow.Info(); i.UrgentPending > 0 {
		if i.ReceiveQueue < i.UrgentPending {
			return -1, EAGAIN // announced, not here yet
		}
		s.pull(int(i.UrgentPending))
	}
	switch {
	case s.oob < 0:
		return -1, EINVAL
	}
	if len(m.Iov) > 0 && len(m.Iov[0]) > 0 {
		m.Iov[0][0] = byte(s.oob)
	}
	if flags&MsgPeek == 0 {
		s.oob = -2
	}
	m.Flags |= MsgOOB
	return 1, nil
}

// control fills in the control messages that the socket's options ask for.
func (s *socket) control(m *Message, n int) {
	// What waits to be read is one piece to Linux, with the time of its last part.
	if at := s.notices.arrived; !at.IsZero() && n > 0 {
		switch {
		case s.opt.ints[option{SolSocket, SoTimestampNS}] != 0:
			m.put(CMsg{SolSocket, SoTimestampNS, timeBytes(at, time.Nanosecond)})
		case s.opt.ints[option{SolSocket, SoTimestamp}] != 0:
			m.put(CMsg{SolSocket, SoTimestamp, timeBytes(at, time.Microsecond)})
		}
		if f := s.tsFlags(); f&tsSoftware != 0 && f&tsRxSoftware != 0 {
			m.put(CMsg{SolSocket, SoTimestamping, append(timeBytes(at, time.Nanosecond), make([]byte, 32)...)})
		}
	}
	if s.opt.ints[option{IPProtoTCP, TCPInq}] != 0 {
		n := s.readable()
		if s.peerDone() || s.finCame() {
			n++ // the end of file is something to read
		}
		m.put(CMsg{IPProtoTCP, TCPInq, putInt(n)})
	}
}

// finCame reports that the peer has sent all.
func (s *socket) finCame() bool {
	if s.flow == nil {
		return false
	}
	switch s.flow.Info().State {
	case api.StateCloseWait, api.StateLastAck, api.StateClosing, api.StateTimeWait:
		return true
	}
	return false
}

func timeBytes(t time.Time, unit time.Duration) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(t.Unix()))
	return binary.LittleEndian.AppendUint64(b, uint64(t.Nanosecond()/int(unit)))
}

package sock

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/sluicenet/sluice/api"
)

// corkTimeout is how long a part of a segment is held back, if nothing else waits to
// be acknowledged: FreeBSD's never; Linux takes the timer of zero-window probes for it,
// whose least is this.
const corkTimeout = 200 * time.Millisecond

// Send implements [Process]: write, writev, send, sendto and sendmsg.
func (p *Proc) Send(ctx context.Context, fd int, m *Message, flags int) (int, error) {
	p.mu.Lock()
	if f, ok := p.files[fd].(*pipe); ok {
		n := 0
		for _, b := range m.Iov {
			f.data = append(f.data, b...)
			n += len(b)
		}
		p.mu.Unlock()
		p.changed()
		return n, nil
	}
	s, err := p.socket(fd)
	p.mu.Unlock()
	if err != nil {
		return -1, err
	}
	stamp := -1
	for _, c := range m.Control {
		switch {
		case c.Level != SolSocket:
			continue // TCP looks at SOL_SOCKET's alone
		case c.Type == SoTimestamping && len(c.Data) == 4:
			v := int(binary.LittleEndian.Uint32(c.Data))
			if v&^tsTxRecord != 0 {
				return -1, EINVAL
			}
			stamp = v
		case c.Type == SoTxTime, c.Type == SoMark, c.Type == SoPriority:
			return -1, Unsupported{optionName(c.Level, c.Type) + " as a control message"}
		default:
			return -1, EINVAL
		}
	}
	var data []byte
	for _, b := range m.Iov {
		data = append(data, b...)
	}
	p.mu.Lock()
	nonblock := s.nonblock || flags&MsgDontWait != 0
	timeout := s.opt.timeout(SoSndTimeo)
	zeroCopy := flags&MsgZeroCopy != 0 && s.opt.ints[option{SolSocket, SoZeroCopy}] != 0
	if stamp < 0 {
		stamp = s.tsFlags()
	} else {
		stamp |= s.tsFlags() &^ tsTxRecord
	}
	fast := flags&MsgFastOpen != 0 || s.deferred
	p.mu.Unlock()

	sent := 0
	if fast {
		n, done, err := s.fastSend(ctx, m.Name, data, nonblock)
		switch {
		case err != nil:
			return -1, err
		case done:
			return n, nil
		}
		if sent = n; sent == len(data) {
			return sent, nil
		}
	}
	var result error
	try := func() bool {
		if s.dialling {
			return false
		}
		if result = s.writeError(); result != nil {
			return true
		}
		if len(data) == 0 {
			return true
		}
		if m.Fault {
			result = EFAULT
			return true
		}
		n := len(data) - sent
		if s.opt.sndBuf > 0 {
			i := s.flow.Info()
			if n = min(n, int(s.opt.sndBuf)-int(i.SendQueue)-len(s.cork)); n <= 0 {
				s.noSpace = true
				return false
			}
		}
		if result = s.put(data[sent:sent+n], flags); result != nil {
			if result == EAGAIN {
				result, s.noSpace = nil, true
				return false
			}
			return true
		}
		sent += n
		return sent == len(data)
	}
	if nonblock {
		p.mu.Lock()
		done := try()
		p.mu.Unlock()
		if !done && sent == 0 {
			return -1, EAGAIN
		}
	} else if err := p.wait(ctx, timeout, try); err != nil && sent == 0 {
		if err == errTimeout {
			err = EAGAIN
		}
		return -1, err
	}
	if result != nil && sent == 0 {
		return -1, result
	}
	p.mu.Lock()
	s.noteSend(sent, zeroCopy, stamp)
	p.mu.Unlock()
	p.Observe()
	return sent, nil
}

// writeError is why nothing can be written, or nil.
func (s *socket) writeError() error {
	if e := s.takeErr(); e != "" {
		return e
	}
	switch {
	case s.flow == nil && s.p.cfg.FreeBSD:
		return ENOTCONN
	case s.flow == nil, s.wrShut:
		return EPIPE
	}
	switch s.flow.Info().State {
	case api.StateEstablished, api.StateCloseWait, api.StateSynReceived: // the last with Fast Open
		return nil
	}
	return EPIPE
}

// put queues b, or holds it back while the socket is corked. The caller holds mu.
func (s *socket) put(b []byte, flags int) error {
	if flags&MsgOOB != 0 {
		if err := s.uncork(); err != nil {
			return err
		}
		u, ok := s.flow.(api.UrgentFlow)
		if !ok {
			return Unsupported{"MSG_OOB"}
		}
		return s.result(u.WriteUrgent(ended, api.CopyBuffer(b)))
	}
	if flags&MsgEOR != 0 {
		if err := s.uncork(); err != nil {
			return err
		}
		r, ok := s.flow.(recordWriter)
		if !ok {
			return Unsupported{"MSG_EOR"}
		}
		return s.result(r.WriteRecord(ended, pieces(b)))
	}
	corked := flags&MsgMore != 0 || s.opt.ints[option{IPProtoTCP, TCPCork}] != 0
	if !corked && len(s.cork) == 0 {
		return s.result(s.write(b))
	}
	s.holdPush(corked)
	all := append(s.cork[:len(s.cork):len(s.cork)], b...)
	n := len(all)
	if corked {
		mss := max(int(s.flow.Info().SendMSS), 1)
		n -= n % mss
	}
	if n > 0 {
		if err := s.result(s.write(all[:n])); err != nil {
			return err
		}
	}
	s.cork = all[n:]
	s.armCork()
	return nil
}

// uncork writes what is held back.
func (s *socket) uncork() error {
	if len(s.cork) == 0 || s.flow == nil {
		return nil
	}
	b := s.cork
	s.cork = nil
	s.armCork()
	s.holdPush(false)
	// A nagled tail is what the cork is for: what was held back goes now.
	return s.result(s.write(b))
}

// finish ends the stream, with what is held back in the same segment as the FIN.
func (s *socket) finish() {
	w, ok := s.flow.(interface{ WriteLast(bs []*api.Buffer) error })
	if len(s.cork) == 0 || !ok {
		_ = s.uncork()
		_ = s.flow.CloseWrite()
		return
	}
	b := s.cork
	s.cork = nil
	s.armCork()
	s.holdPush(false)
	_ = w.WriteLast(pieces(b))
}

// holdPush says whether what is written next is the end of a record.
func (s *socket) holdPush(on bool) {
	if h, ok := s.flow.(interface{ HoldPush(on bool) }); ok {
		h.HoldPush(on)
	}
}

// piece is the size of the buffers that are written: memory, and with it room for
// more, is given back for whole ones.
const piece = 1024

// write hands a copy of b to the flow, whole or not at all.
func (s *socket) write(b []byte) error { return s.flow.Writev(ended, pieces(b)) }

// pieces are a copy of b.
func pieces(b []byte) (bs []*api.Buffer) {
	for len(b) > 0 {
		k := min(len(b), piece)
		bs = append(bs, api.NewBuffer(append(make([]byte, 0, k), b[:k]...)))
		b = b[k:]
	}
	return bs
}

// A recordWriter is a flow whose segments do not reach beyond the end of a record.
type recordWriter interface {
	WriteRecord(ctx context.Context, bs []*api.Buffer) error
}

// armCork starts or stops the timer that ends the holding back.
func (s *socket) armCork() {
	i := s.flow.Info()
	if len(s.cork) == 0 || i.SendQueue > 0 {
		if s.flush != nil {
			s.flush.Stop()
		}
		s.flushing = false
		return
	}
	if s.flushing {
		return
	}
	s.flushing = true
	if s.flush == nil {
		s.flush = s.p.cfg.Clock.NewTimer(func() {
			s.p.mu.Lock()
			defer s.p.mu.Unlock()
			_ = s.uncork()
		})
	}
	s.flush.Reset(s.p.cfg.Clock.Now().Add(max(corkTimeout, i.RTO)))
}

// result translates the error of a write that did not block.
func (s *socket) result(err error) error {
	switch {
	case err == nil:
		return nil
	case isEnded(err):
		return EAGAIN
	}
	if e := s.takeErr(); e != "" {
		return e
	}
	return EPIPE
}

// Shutdown implements [Process].
func (p *Proc) Shutdown(fd, how int) error {
	p.mu.Lock()
	s, err := p.socket(fd)
	if err != nil {
		p.mu.Unlock()
		return err
	}
	if how < ShutRD || how > ShutRDWR {
		p.mu.Unlock()
		return EINVAL
	}
	if l := s.listener; l != nil && !l.down {
		p.mu.Unlock()
		if p.cfg.FreeBSD { // it wakes who accepts, and goes on listening
			return ENOTCONN
		}
		if how != ShutWR {
			l.close()
		}
		return nil
	}
	defer p.changed()
	defer p.mu.Unlock()
	s.changes++
	if s.dialling {
		if how == ShutWR && !p.cfg.FreeBSD || how != ShutWR {
			s.cancel(ECONNRESET)
			s.soErr = ECONNRESET
		}
		return nil
	}
	if s.flow == nil || s.ended() {
		return ENOTCONN
	}
	if how != ShutWR {
		s.rdShut = true
	}
	if how != ShutRD && !s.wrShut {
		s.wrShut = true
		s.finish()
	}
	switch {
	case how != ShutWR && p.cfg.FreeBSD: // what is there, and what comes, is thrown away
		s.ahead, s.eof = nil, true
		_ = s.flow.CloseRead()
	case s.rdShut && s.wrShut && !p.cfg.FreeBSD:
		s.pull(int(s.flow.Info().ReceiveQueue)) // what is there can still be read
		_ = s.flow.CloseRead()
	}
	return nil
}

// Close implements [Process].
func (p *Proc) Close(ctx context.Context, fd int) error {
	p.mu.Lock()
	f, ok := p.files[fd]
	if !ok {
		p.mu.Unlock()
		return EBADF
	}
	delete(p.files, fd)
	for _, e := range p.files {
		if ep, ok := e.(*epoll); ok {
			ep.remove(fd)
		}
	}
	s, ok := f.(*socket)
	if !ok {
		p.mu.Unlock()
		return nil
	}
	s.closed, s.deferred = true, false
	if s.bound {
		p.ports[s.local.Port()]--
	}
	l, cancel := s.listener, s.cancel
	flow, dialling := s.flow, s.dialling
	unread := len(s.ahead) > 0 || flow != nil && !s.eof && flow.Info().ReceiveQueue > 0
	linger := s.opt.linger
	p.mu.Unlock()
	defer p.changed()
	switch {
	case l != nil && !l.down:
		l.close()
	case dialling:
		cancel(ECONNABORTED)
	case flow == nil:
	case linger.on && linger.seconds == 0, unread && !p.cfg.FreeBSD:
		flow.Abort()
	default:
		p.mu.Lock()
		if len(s.cork) > 0 {
			s.finish()
		}
		p.mu.Unlock()
		if unread { // BSD forgets what has not been read, and ends in order
			_ = flow.CloseRead()
		}
		if linger.on && !s.nonblock {
			_ = flow.CloseWrite()
			// An acknowledged FIN is no event of a flow, so this looks now and then.
			end := p.cfg.Clock.Now().Add(time.Duration(linger.seconds) * time.Second)
			done := func() bool {
				switch flow.Info().State {
				case api.StateFinWait1, api.StateClosing, api.StateLastAck, api.StateEstablished, api.StateCloseWait:
					return false
				}
				return true
			}
			for !done() && p.cfg.Clock.Now() < end && ctx.Err() == nil {
				_ = p.wait(ctx, lingerLook, done)
			}
		}
		if o, ok := flow.(api.Orphaner); ok {
			o.Orphan()
		} else {
			_ = flow.CloseWrite()
			_ = flow.CloseRead()
		}
	}
	if s.flush != nil {
		s.flush.Stop()
	}
	return nil
}

// lingerLook is how often a close that lingers looks at its flow.
const lingerLook = time.Millisecond

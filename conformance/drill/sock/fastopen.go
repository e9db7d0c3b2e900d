package sock

import (
	"context"
	"encoding/binary"
	"net/netip"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
)

// TCP Fast Open (RFC 7413) as Linux's sockets have it: MSG_FASTOPEN, which is connect and
// send in one; TCP_FASTOPEN_CONNECT, with which the first write connects; TCP_FASTOPEN for
// listeners.

// FastOpen is what a stack can do of Fast Open.
type FastOpen interface {
	// Room returns how many bytes Dial would send with the SYN now; ok is false if it
	// would send none.
	Room(dst netip.AddrPort, cfg *api.FlowConfig, noCookie bool) (n int64, ok bool)

	// Dial opens a flow; data go with the SYN if they can.
	Dial(ctx context.Context, dst netip.AddrPort, cfg *api.FlowConfig, noCookie bool, data []byte) (api.Flow, error)

	// Listener configures the listener on a port. Each key has 16 bytes.
	Listener(port uint16, pending int, noCookie bool, keys [][]byte)
}

// The bits of the sysctl net.ipv4.tcp_fastopen.
const (
	FastOpenClient         = 0x1
	FastOpenServer         = 0x2
	FastOpenClientNoCookie = 0x4
	FastOpenServerNoCookie = 0x200
	FastOpenEveryListener  = 0x400
	fastOpenKeyLen         = 16
)

// SetFastOpen changes net.ipv4.tcp_fastopen.
func (p *Proc) SetFastOpen(bits int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cfg.FastOpenBits = bits
}

func (s *socket) fastOption(name int) int { return s.opt.ints[option{IPProtoTCP, name}] }

// configureFastOpen tells the stack how a listener takes part.
func (s *socket) configureFastOpen() {
	f, l := s.p.cfg.FastOpen, s.listener
	if f == nil || l == nil || l.down {
		return
	}
	var keys [][]byte
	for b := s.opt.blob[option{IPProtoTCP, TCPFastOpenKey}]; len(b) >= fastOpenKeyLen; b = b[fastOpenKeyLen:] {
		keys = append(keys, b[:fastOpenKeyLen])
	}
	f.Listener(l.port, s.fastOption(TCPFastOpen), s.fastOption(TCPFastOpenNoCookie) != 0, keys)
}

// listenFastOpen is called when a socket begins to listen.
func (s *socket) listenFastOpen(backlog int) {
	const all = FastOpenServer | FastOpenEveryListener
	if s.p.cfg.FastOpenBits&all == all && s.fastOption(TCPFastOpen) == 0 {
		s.opt.ints[option{IPProtoTCP, TCPFastOpen}] = backlog
	}
	s.configureFastOpen()
}

// setFastOpen sets one of the options; ok is false for others.
func (s *socket) setFastOpen(name int, value []byte) (ok bool, err error) {
	switch name {
	case TCPFastOpen, TCPFastOpenConnect, TCPFastOpenKey, TCPFastOpenNoCookie:
	default:
		return false, nil
	}
	if s.p.cfg.FastOpen == nil || s.p.cfg.FreeBSD {
		return false, nil
	}
	st := s.state()
	closed := st == api.StateClosed
	if name == TCPFastOpenKey {
		value = fastOpenKey(value)
		if len(value) != fastOpenKeyLen && len(value) != 2*fastOpenKeyLen {
			return true, EINVAL
		}
		s.opt.blob[option{IPProtoTCP, name}] = value
		s.configureFastOpen()
		return true, nil
	}
	if len(value) < 4 {
		return true, EINVAL
	}
	v := int(int32(binary.LittleEndian.Uint32(value)))
	switch {
	case name == TCPFastOpen && (v < 0 || !closed && st != api.StateListen),
		name != TCPFastOpen && (v < 0 || v > 1),
		name == TCPFastOpenNoCookie && !closed && st != api.StateListen:
		return true, EINVAL
	case name == TCPFastOpenConnect && s.p.cfg.FastOpenBits&FastOpenClient == 0:
		return true, EOPNOTSUPP
	case name == TCPFastOpenConnect && !closed:
		return true, EINVAL
	}
	if name == TCPFastOpen {
		v = min(v, s.p.cfg.Somaxconn)
	}
	s.opt.ints[option{IPProtoTCP, name}] = v
	s.configureFastOpen()
	return true, nil
}

// fastOpenKey takes the end off that a string has.
func fastOpenKey(b []byte) []byte {
	if n := len(b); n > 0 && n%fastOpenKeyLen == 1 && b[n-1] == 0 {
		b = b[:n-1]
	}
	return append([]byte(nil), b...)
}

// deferConnect is connect with TCP_FASTOPEN_CONNECT: with a cookie it does nothing yet.
// The caller holds mu.
func (s *socket) deferConnect(addr netip.AddrPort) bool {
	f := s.p.cfg.FastOpen
	if f == nil || s.fastOption(TCPFastOpenConnect) == 0 {
		return false
	}
	s.dst = unmap(addr)
	cfg := s.flowConfig()
	if _, ok := f.Room(s.dst, &cfg, s.fastOption(TCPFastOpenNoCookie) != 0); !ok {
		return false
	}
	s.deferred = true
	return true
}

// fastSend is a send with MSG_FASTOPEN, or the first on a socket whose connect waits for it.
// It returns how many of data have been taken; done says that the call returns that, or
// the error.
func (s *socket) fastSend(ctx context.Context, to netip.AddrPort, data []byte, nonblock bool) (n int, done bool, err error) {
	p := s.p
	p.mu.Lock()
	deferred := s.deferred
	fast := p.cfg.FastOpen
	switch {
	case fast == nil || p.cfg.FreeBSD:
		err = Unsupported{"TCP Fast Open (MSG_FASTOPEN)"}
	case p.cfg.FastOpenBits&FastOpenClient == 0:
		err = EOPNOTSUPP
	case deferred:
	case s.dialling:
		err = EALREADY
	case !to.IsValid():
		err = EINVAL
	default:
		if err = s.mayConnect(to); err == errConnected {
			err = EISCONN
		}
		s.dst = unmap(to)
	}
	if err != nil {
		p.mu.Unlock()
		return 0, true, err
	}
	const most = 64 << 10 // of what is queued before the handshake
	noCookie := s.fastOption(TCPFastOpenNoCookie) != 0
	cfg := s.flowConfig()
	room, ok := fast.Room(s.dst, &cfg, noCookie)
	if ok {
		n = int(min(int64(len(data)), room))
	}
	if !nonblock { // who waits leaves the rest to follow the handshake
		n = min(len(data), most)
		if s.opt.sndBuf > 0 {
			n = min(n, max(int(s.opt.sndBuf), int(room)))
		}
	}
	first := data[:n]
	s.deferred = false
	ctl := s.begin(func(ctx context.Context) (api.Flow, error) {
		return fast.Dial(ctx, s.dst, &cfg, noCookie, first)
	})
	p.mu.Unlock()
	p.cfg.Clock.Go(ctl)
	if nonblock {
		err = s.begun(ctx)
		if err == EINPROGRESS && n > 0 {
			return n, true, nil
		}
		return n, err != nil, err
	}
	err = s.waitConnected(ctx)
	return n, err != nil, err
}

// begin prepares a dial, and returns what makes it. The caller holds mu.
func (s *socket) begin(open func(context.Context) (api.Flow, error)) func() {
	s.dialling, s.failed, s.soErr, s.errSeen, s.flow = true, false, "", false, nil
	ctx, cancel := s.p.cfg.Clock.WithCancel(context.Background())
	s.cancel = cancel
	return func() { s.dial(ctx, open) }
}

// begun is what a connect that does not wait returns.
func (s *socket) begun(ctx context.Context) error {
	p := s.p
	// Let the SYN go out, or fail, before the caller goes on.
	_ = clock.Sleep(ctx, p.cfg.Clock, 0)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !s.dialling && s.soErr != "":
		e := s.soErr
		s.soErr = ""
		return e
	case !s.dialling && s.flow != nil:
		s.fresh = false
		return nil
	}
	return EINPROGRESS
}

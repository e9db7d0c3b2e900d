package netconn

import (
	"context"
	"net"
	"net/netip"
	"sync"

	"github.com/sluicenet/sluice/api"
)

// A Listener is a net.Listener on a port of a stack.
//
// Flows wait for Accept in the stack's backlog (L3): while that is full, new
// connections are not established.
type Listener struct {
	stack  api.Stack
	addr   *net.TCPAddr
	flows  chan api.Flow
	once   sync.Once
	closed chan struct{}
	left   <-chan struct{} // closed when the stack disconnects; nil if it does not tell
}

var _ net.Listener = (*Listener)(nil)

// Listen listens on a port of s, 0 meaning a free one; cfg may be nil.
// While the port has a listener, the error matches api.ErrPortInUse.
//
// Accept fails once the listener is closed. It notices that the stack has
// disconnected if s has a method Done() <-chan struct{}, whose channel is
// closed then; otherwise close the Listener as well.
func Listen(s api.Stack, port uint16, cfg *api.ListenConfig) (*Listener, error) {
	l := &Listener{stack: s, flows: make(chan api.Flow), closed: make(chan struct{})}
	if d, ok := s.(interface{ Done() <-chan struct{} }); ok {
		l.left = d.Done()
	}
	ip := listenAddress(s, cfg)
	port, err := s.Listen(port, cfg, l.serve)
	l.addr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, port))
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: l.addr, Err: strip(err)}
	}
	return l, nil
}

// listenAddress is an address under which the listener can be reached.
func listenAddress(s api.Stack, cfg *api.ListenConfig) netip.Addr {
	if cfg != nil && cfg.Address.IsValid() {
		return cfg.Address
	}
	for _, p := range s.Info().Addresses {
		return p.Addr()
	}
	return netip.IPv6Unspecified()
}

// serve keeps one slot of the backlog until the flow has been accepted.
func (l *Listener) serve(ctx context.Context, f api.Flow) {
	select {
	case l.flows <- f:
	case <-l.closed:
		f.Abort()
	case <-ctx.Done():
		f.Abort()
	}
}

// Accept waits for a flow and returns it as a *Conn. After Close the error
// matches net.ErrClosed.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, l.error("accept", net.ErrClosed)
	default:
	}
	select {
	case f := <-l.flows:
		return New(f), nil
	case <-l.closed:
		return nil, l.error("accept", net.ErrClosed)
	case <-l.left:
		return nil, l.error("accept", api.ErrDisconnected)
	}
}

// Close stops listening (U1) and resets the flows that nobody has accepted;
// accepted ones live on. Closing again returns net.ErrClosed.
func (l *Listener) Close() error {
	err := l.error("close", net.ErrClosed)
	l.once.Do(func() {
		l.stack.Unlisten(uint16(l.addr.Port))
		close(l.closed)
		err = nil
	})
	return err
}

// Addr returns an address under which the listener can be reached: that of the
// configuration, or else the stack's first, or the unspecified one if the
// stack has no list of addresses.
func (l *Listener) Addr() net.Addr { return l.addr }

func (l *Listener) error(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Addr: l.addr, Err: err}
}

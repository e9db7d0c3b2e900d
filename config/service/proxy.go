package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/sluicenet/sluice/api"
)

// dialTimeout bounds how long a carried connection waits for its other half.
const dialTimeout = 30 * time.Second

// Proxy returns a service that carries the connections to the stack on to an
// address of the host's network.
func Proxy(cfg Config, to netip.AddrPort) Service {
	s := &proxy{simple{base: newBase(cfg)}}
	s.serve = func(f api.Flow) error {
		ctx, cancel := context.WithTimeout(s.draining, dialTimeout)
		defer cancel()
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", to.String())
		if err != nil {
			s.log.Warn("cannot reach the target", "peer", f.Dst(), "error", err)
			return err
		}
		return s.pump(f, c.(*net.TCPConn))
	}
	return s
}

type proxy struct{ simple }

// Drain implements Service.
func (s *proxy) Drain(ctx context.Context) {
	if s.port != 0 {
		s.cfg.Stack.Unlisten(s.port)
	}
	s.drainCarried(ctx)
}

// drainCarried waits for the connections to end by themselves, for the first
// half of the time: what their ends write is theirs, and they are told by
// the other service if there is one. The rest is for what has been read.
func (s *base) drainCarried(ctx context.Context) {
	if end, ok := ctx.Deadline(); ok {
		soft, cancel := context.WithTimeout(ctx, time.Until(end)/2)
		defer cancel()
		s.wait(soft)
	} else {
		s.wait(ctx)
	}
	s.drain()
	s.wait(ctx)
}

// Forward returns a service that listens on an address of the host and carries
// the connections through the stack.
func Forward(cfg Config, from, to netip.AddrPort) Service {
	s := &forward{base: newBase(cfg), from: from, to: to}
	s.accepting, s.noMore = context.WithCancel(s.draining)
	return s
}

type forward struct {
	*base
	from, to  netip.AddrPort
	listener  net.Listener
	accepting context.Context // ends when no connection is taken any more
	noMore    context.CancelFunc
}

// Start implements Service.
func (s *forward) Start() error {
	l, err := net.Listen("tcp", s.from.String())
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			return &PortInUseError{Service: s.cfg.Name, Addr: s.from, Err: err}
		}
		return fmt.Errorf("service %s: %w", s.cfg.Name, err)
	}
	s.listener = l
	s.listensOn(l.Addr().String())
	s.running.Add(1)
	go s.accept()
	s.log.Info("service started", "listen", l.Addr(), "to", s.to)
	return nil
}

// A PortInUseError says that a service's address on the host is taken.
type PortInUseError struct {
	Service string
	Addr    netip.AddrPort
	Err     error
}

// Error names the service and the address.
func (e *PortInUseError) Error() string {
	return fmt.Sprintf("service %s: %s is in use by another program", e.Service, e.Addr)
}

// Unwrap returns the error of the system.
func (e *PortInUseError) Unwrap() error { return e.Err }

func (s *forward) accept() {
	defer s.running.Done()
	room := make(chan struct{}, s.cfg.Connections)
	for {
		select {
		case room <- struct{}{}:
		case <-s.accepting.Done():
			return
		}
		c, err := s.listener.Accept()
		if err != nil {
			if s.accepting.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			// Out of descriptors, most likely: that passes.
			s.log.Warn("cannot accept", "error", err)
			<-room
			select {
			case <-time.After(100 * time.Millisecond):
			case <-s.accepting.Done():
				return
			}
			continue
		}
		end := s.begin()
		go func() {
			err := s.carry(c.(*net.TCPConn))
			s.log.Debug("connection ended", "client", c.RemoteAddr(), "error", err)
			end(err)
			<-room
		}()
	}
}

func (s *forward) carry(c *net.TCPConn) error {
	ctx, cancel := context.WithTimeout(s.draining, dialTimeout)
	f, err := s.cfg.Stack.Dial(ctx, s.to, nil)
	cancel()
	if err != nil {
		s.log.Warn("cannot reach the target", "client", c.RemoteAddr(), "error", err)
		reset(c)
		return err
	}
	err = s.pump(f, c)
	if err != nil {
		f.Abort()
		return err
	}
	return f.Close(s.hard)
}

// Drain implements Service.
func (s *forward) Drain(ctx context.Context) {
	s.noMore()
	if s.listener != nil {
		s.listener.Close()
	}
	s.drainCarried(ctx)
}

// Close implements Service.
func (s *forward) Close() {
	s.noMore()
	s.drain()
	if s.listener != nil {
		s.listener.Close()
	}
	s.base.Close()
}

func reset(c *net.TCPConn) {
	c.SetLinger(0)
	c.Close()
}

// pump carries bytes both ways until both directions have ended, and closes
// c. An end of file goes on as such, and anything worse as a reset. When the
// service drains, what has been read is still written, and both ends see an end
// of file.
func (s *base) pump(f api.Flow, c *net.TCPConn) error {
	stopRead := context.AfterFunc(s.draining, func() { c.SetReadDeadline(time.Unix(1, 0)) })
	defer stopRead()
	stopAll := context.AfterFunc(s.hard, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stopAll()

	var once sync.Once
	var failure error
	fail := func(err error) {
		once.Do(func() {
			failure = err
			f.Abort()
			reset(c)
		})
	}
	outward := make(chan struct{})
	go func() {
		defer close(outward)
		if err := s.toHost(f, c); err != nil {
			fail(err)
		}
	}()
	if err := s.fromHost(f, c); err != nil {
		fail(err)
	}
	<-outward
	if s.draining.Err() != nil && failure == nil {
		s.linger(c)
	}
	c.Close()
	return failure
}

func (s *base) toHost(f api.Flow, c *net.TCPConn) error {
	for {
		b, err := s.read(f)
		if err == io.EOF {
			if reason := f.CloseReason(); reason != nil {
				return reason // given up by its keepalive: not an orderly end
			}
			return c.CloseWrite()
		}
		if err != nil {
			return err
		}
		_, err = c.Write(b.Bytes())
		b.Release()
		if err != nil {
			return err
		}
	}
}

// pumpBuffer is how much is read from a socket at once: as much as keeps system
// calls cheap, and as little as keeps a flow's queue, which counts whole pages,
// from filling with air.
const pumpBuffer = 16 << 10

func (s *base) fromHost(f api.Flow, c *net.TCPConn) error {
	for {
		b := api.Alloc(pumpBuffer)
		n, err := c.Read(b.Bytes())
		if n > 0 {
			if n < pumpBuffer/4 {
				small := api.CopyBuffer(b.Bytes()[:n])
				b.Release()
				b = small
			} else {
				b.Trim(0, n)
			}
			if err := s.write(s.hard, f, b); err != nil {
				if s.draining.Err() != nil && errors.Is(err, api.ErrClosed) && f.CloseReason() == nil {
					return nil // the stack has closed it: there is no more time
				}
				return err
			}
			b = nil
		}
		if b != nil {
			b.Release()
		}
		switch {
		case err == nil:
		case err == io.EOF, s.draining.Err() != nil && isTimeout(err):
			return f.CloseWrite()
		default:
			return err
		}
	}
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// linger waits until the client has closed as well. To close a socket that holds
// unread data resets the connection, which could destroy what is on its way.
func (s *base) linger(c *net.TCPConn) {
	c.SetReadDeadline(time.Now().Add(time.Second))
	if s.hard.Err() != nil {
		return
	}
	io.Copy(io.Discard, c)
}

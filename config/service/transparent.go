package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/sluicenet/sluice/api"
)

// Transparent returns a service that takes the connections from the stack's network
// to any address in prefixes, and carries each on to that address by the host's
// network. The real destination is dialled first: a client is refused if that
// refuses, and its connection stands when that does. The stack must be an
// api.Forwarder.
//
// The host must not route those addresses into the stack's own link: the service
// would go round in circles, until its connections are used up.
func Transparent(cfg Config, prefixes []netip.Prefix) Service {
	s := &transparent{base: newBase(cfg), prefixes: prefixes}
	s.room = make(chan struct{}, s.cfg.Connections)
	var d net.Dialer
	s.dial = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
		return d.DialContext(ctx, "tcp", to.String())
	}
	return s
}

type transparent struct {
	*base
	prefixes []netip.Prefix
	dial     func(ctx context.Context, to netip.AddrPort) (net.Conn, error)
	room     chan struct{} // a place for each connection
	stop     func()
}

// Start implements Service.
func (s *transparent) Start() error {
	fw, ok := s.cfg.Stack.(api.Forwarder)
	if !ok {
		return fmt.Errorf("service %s: the stack's backend (%s) has its own addresses only and cannot forward: use a userspace backend such as cubic",
			s.cfg.Name, s.cfg.Stack.Info().Backend)
	}
	stop, err := fw.Forward(s.prefixes, &api.ForwardConfig{Pending: s.cfg.Connections}, s.take)
	if err != nil {
		return fmt.Errorf("service %s: %w", s.cfg.Name, err)
	}
	s.base.listensOn(fmt.Sprint(s.prefixes))
	s.stop = stop
	s.log.Info("service started", "prefixes", s.prefixes)
	return nil
}

// take answers one request. It returns as soon as that is done, so that the place
// of the request is free while the connection lasts.
func (s *transparent) take(ctx context.Context, r api.Request) {
	select {
	case s.room <- struct{}{}:
	default:
		return // as if the SYN had been lost: it will be repeated
	}
	end := s.begin()
	done := func(err error) {
		end(err)
		<-s.room
		s.log.Debug("connection ended", "client", r.Dst(), "to", r.Src(), "error", err)
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	stopDial := context.AfterFunc(s.draining, cancel)
	defer stopDial()
	c, err := s.dial(ctx, r.Src())
	if err != nil {
		if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH) {
			r.Reject()
		}
		done(err)
		return
	}
	f, err := r.Accept(ctx)
	if err != nil {
		reset(c.(*net.TCPConn))
		done(err)
		return
	}
	go func() {
		err := s.pump(f, c.(*net.TCPConn))
		if err == nil {
			err = f.Close(s.hard)
		} else {
			f.Abort()
		}
		done(err)
	}()
}

// Drain implements Service.
func (s *transparent) Drain(ctx context.Context) {
	if s.stop != nil {
		s.stop()
	}
	s.drainCarried(ctx)
}

// Close implements Service.
func (s *transparent) Close() {
	if s.stop != nil {
		s.stop()
	}
	s.base.Close()
}

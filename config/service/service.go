// Package service has what a daemon runs on stacks: the small services of RFC
// 862, 863 and 864, HTTP, and connections carried between a stack and the host's
// sockets.
//
// A service has a bounded number of connections, keeps half-close in both
// directions, and ends in two steps: Drain takes no new connection and stops
// reading, so that what has been written so far is all there will be; Close
// ends what is left.
package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/sluicenet/sluice/api"
)

// Config is what every service is made from.
type Config struct {
	Name        string
	Stack       api.Stack
	Address     netip.Addr // of the stack to listen on; zero means all
	Port        uint16     // to listen on; 0 picks one
	Connections int        // most at once
	FastOpen    int        // as api.ListenConfig has it
	Logger      *slog.Logger
}

// A Service runs on a stack. Start is called once; Drain and Close end it.
type Service interface {
	// Start begins to accept connections.
	Start() error

	// Drain takes no new connection, lets the present ones come to an orderly
	// end, and returns when they have or when ctx ends. What they have
	// written is with their flows then.
	Drain(ctx context.Context)

	// Close ends what Drain has left. When it returns no goroutine of the
	// service is running. The stack should have been disconnected.
	Close()

	// Stats returns what has been counted.
	Stats() Stats
}

// Stats counts connections, and the payload of the stack's side.
type Stats struct {
	Listen   string // where it listens, once started
	Active   int64  // connections now
	Total    int64  // connections since the start
	Failed   int64  // of them, those that did not end in order
	BytesIn  int64  // read from the stack's flows
	BytesOut int64  // written to the stack's flows
}

// base is what all services share.
type base struct {
	cfg      Config
	log      *slog.Logger
	draining context.Context // ends when no more is to be read
	drain    context.CancelFunc
	hard     context.Context // ends when nothing is to be waited for
	stop     context.CancelFunc
	running  sync.WaitGroup
	listen   atomic.Pointer[string]

	active, total, failed atomic.Int64
	bytesIn, bytesOut     atomic.Int64
}

func newBase(cfg Config) *base {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Connections <= 0 {
		cfg.Connections = 1024
	}
	s := &base{cfg: cfg, log: cfg.Logger.With("service", cfg.Name)}
	s.draining, s.drain = context.WithCancel(context.Background())
	s.hard, s.stop = context.WithCancel(context.Background())
	return s
}

// Stats implements Service.
func (s *base) Stats() Stats {
	st := Stats{
		Active: s.active.Load(), Total: s.total.Load(), Failed: s.failed.Load(),
		BytesIn: s.bytesIn.Load(), BytesOut: s.bytesOut.Load(),
	}
	if l := s.listen.Load(); l != nil {
		st.Listen = *l
	}
	return st
}

func (s *base) listensOn(a string) { s.listen.Store(&a) }

// listenConfig returns the options of the service's listener. The backlog is
// that of handlers that have not returned, so it bounds the connections.
func (s *base) listenConfig() *api.ListenConfig {
	return &api.ListenConfig{Address: s.cfg.Address, Backlog: s.cfg.Connections, FastOpen: s.cfg.FastOpen}
}

func (s *base) where(port uint16) string {
	if s.cfg.Address.IsValid() {
		return netip.AddrPortFrom(s.cfg.Address, port).String()
	}
	return fmt.Sprintf(":%d", port)
}

// wait returns when the service's goroutines have, or when ctx ends.
func (s *base) wait(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		s.running.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		// The goroutine above ends with the last connection, which Close
		// waits for.
	}
}

// begin counts a connection; the function it returns counts its end.
func (s *base) begin() (end func(err error)) {
	s.running.Add(1)
	s.active.Add(1)
	s.total.Add(1)
	return func(err error) {
		if err != nil {
			s.failed.Add(1)
		}
		s.active.Add(-1)
		s.running.Done()
	}
}

// read is f.Read until the service drains. Then it returns io.EOF, as if the
// peer had closed.
func (s *base) read(f api.Flow) (*api.Buffer, error) {
	b, err := f.Read(s.draining)
	switch {
	case err == nil:
		s.bytesIn.Add(int64(b.Len()))
	case s.draining.Err() != nil && errors.Is(err, context.Canceled):
		err = io.EOF
	}
	return b, err
}

// write is f.Write, waiting for as long as it takes.
func (s *base) write(ctx context.Context, f api.Flow, b *api.Buffer) error {
	n := b.Len()
	err := f.Write(ctx, b)
	if err == nil {
		s.bytesOut.Add(int64(n))
	}
	return err
}

// A simple service is one function for each flow, which reads and writes until
// it has done, and leaves closing to its caller.
type simple struct {
	*base
	port  uint16
	serve func(f api.Flow) error
}

// Start implements Service.
func (s *simple) Start() error {
	port, err := s.cfg.Stack.Listen(s.cfg.Port, s.listenConfig(), func(_ context.Context, f api.Flow) {
		end := s.begin()
		err := s.serve(f)
		if err == nil {
			err = f.Close(s.hard)
		} else {
			f.Abort()
		}
		end(err)
		s.log.Debug("connection ended", "peer", f.Dst(), "error", err)
	})
	if err != nil {
		return fmt.Errorf("service %s: %w", s.cfg.Name, err)
	}
	s.port = port
	s.listensOn(s.where(port))
	s.log.Info("service started", "listen", s.where(port))
	return nil
}

// Drain implements Service.
func (s *simple) Drain(ctx context.Context) {
	if s.port != 0 {
		s.cfg.Stack.Unlisten(s.port)
	}
	s.drain()
	s.wait(ctx)
}

// Close implements Service.
func (s *base) Close() {
	s.drain()
	s.stop()
	s.running.Wait()
	if st := s.Stats(); st.Total > 0 {
		s.log.Info("service ended", "connections", st.Total, "failed", st.Failed, "read", st.BytesIn, "written", st.BytesOut)
	}
}

// Echo returns the service of RFC 862: what comes in goes out again.
func Echo(cfg Config) Service {
	s := &simple{base: newBase(cfg)}
	s.serve = func(f api.Flow) error {
		for {
			b, err := s.read(f)
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			if err := s.write(s.hard, f, b); err != nil {
				return err
			}
		}
	}
	return s
}

// Discard returns the service of RFC 863: what comes in is thrown away.
func Discard(cfg Config) Service {
	s := &simple{base: newBase(cfg)}
	s.serve = func(f api.Flow) error {
		for {
			b, err := s.read(f)
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			b.Release()
		}
	}
	return s
}

// Chargen returns the service of RFC 864: lines of printable characters, without
// end, as fast as the peer reads. What comes in is thrown away.
func Chargen(cfg Config) Service {
	s := &simple{base: newBase(cfg)}
	s.serve = func(f api.Flow) error {
		if err := f.CloseRead(); err != nil {
			return err
		}
		for {
			b := api.CopyBuffer(chargenPage)
			if err := s.write(s.draining, f, b); err != nil {
				if s.draining.Err() != nil && errors.Is(err, context.Canceled) {
					return nil
				}
				return err
			}
		}
	}
	return s
}

// chargenPage is two rounds of RFC 864's pattern: 95 lines, each beginning one
// character later.
var chargenPage = func() []byte {
	var page []byte
	for line := range 2 * 95 {
		for i := range 72 {
			page = append(page, byte(' '+(line+i)%95))
		}
		page = append(page, '\r', '\n')
	}
	return page
}()

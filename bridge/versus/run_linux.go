package versus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/bridge"
	"github.com/sluicenet/sluice/impl/engine"
	"github.com/sluicenet/sluice/sim"
)

// Compare carries the runs out. Rows are complete as far as they go if there is an
// error.
func Compare(ctx context.Context, o Options) (*Report, error) {
	r := &Report{Duration: o.Duration.Seconds()}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		r.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	for _, a := range o.Algorithms {
		if sim.Controllers()[a] == nil {
			return r, fmt.Errorf("we have no congestion controller %q", a)
		}
	}
	kinds := o.Kinds
	if kinds == nil {
		kinds = []string{Linux, Sluice, Both}
	}
	repeat := max(o.Repeat, 1)
	all, done := len(o.Cells)*len(o.Algorithms)*len(kinds)*repeat, 0
	for _, c := range o.Cells {
		for _, a := range o.Algorithms {
			row := Row{Rate: c.Rate, RTT: c.RTT.Seconds(), Buffer: c.Buffer, Loss: c.Loss, Algorithm: a}
			for i := range repeat {
				for _, kind := range kinds {
					if o.Progress != nil {
						o.Progress(done, all, fmt.Sprintf("%v %s %s", c, a, kind))
					}
					run, err := measure(ctx, &o, c, a, kind, o.Seed+uint64(i))
					if err != nil {
						return r, fmt.Errorf("%v %s %s: %w", c, a, kind, err)
					}
					row.Runs = append(row.Runs, *run)
					done++
				}
			}
			row.settle()
			r.Rows = append(r.Rows, row)
			if o.Row != nil {
				o.Row(&row)
			}
		}
	}
	r.Summary = Summarize(r.Rows)
	return r, nil
}

// sampleEvery is how often the smoothed RTT is looked at.
const sampleEvery = 20 * time.Millisecond

// sender is one that is sending.
type sender interface {
	stack() string
	src() netip.AddrPort
	write(b []byte) error // blocks; fails after stop
	srtt() time.Duration
	stop()
}

// measure carries one run out.
func measure(ctx context.Context, o *Options, c Cell, algorithm, kind string, seed uint64) (*Run, error) {
	w, err := newWorld(ctx, o.Bridge, c, seed)
	if err != nil {
		return nil, err
	}
	defer w.close()
	l, err := w.listen()
	if err != nil {
		return nil, err
	}
	sink := newSink(l)
	defer sink.close()
	var senders []sender
	defer func() {
		for _, s := range senders {
			s.stop()
		}
	}()
	if kind != Sluice {
		conn, err := w.dial(ctx, algorithm)
		if err != nil {
			return nil, fmt.Errorf("from Linux: %w", err)
		}
		senders = append(senders, &linuxFlow{conn})
	}
	if kind != Linux {
		s, err := dialOurs(ctx, w, algorithm)
		if err != nil {
			return nil, fmt.Errorf("from our stack: %w", err)
		}
		senders = append(senders, s)
	}
	run := &Run{Kind: kind, Seed: seed, Senders: make([]Sender, len(senders))}
	begin := time.Now()
	errs := make(chan error, 2*len(senders))
	var writers sync.WaitGroup
	for _, s := range senders {
		writers.Add(1)
		go func() {
			defer writers.Done()
			b := make([]byte, 64<<10)
			for {
				if err := s.write(b); err != nil {
					errs <- fmt.Errorf("%s: %w", s.stack(), err)
					return
				}
			}
		}()
	}
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	samples := make([]time.Duration, len(senders))
	n, quarter := 0, make([]int64, len(senders))
	var quarterAt time.Duration
	for elapsed := time.Duration(0); elapsed < o.Duration; elapsed = time.Since(begin) {
		select {
		case <-ticker.C:
		case err := <-errs:
			return nil, err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		for i, s := range senders {
			samples[i] += s.srtt()
			if quarterAt == 0 && elapsed >= o.Duration/4 {
				quarter[i] = sink.received(s.src())
			}
		}
		if quarterAt == 0 && elapsed >= o.Duration/4 {
			quarterAt = time.Since(begin)
		}
		n++
	}
	elapsed := time.Since(begin)
	for i, s := range senders {
		x := &run.Senders[i]
		x.Stack, x.Bytes = s.stack(), sink.received(s.src())
		x.Goodput = float64(x.Bytes) * 8 / elapsed.Seconds()
		x.Late = float64(x.Bytes-quarter[i]) * 8 / (elapsed - quarterAt).Seconds()
		x.MeanRTT = (samples[i] / time.Duration(max(n, 1))).Seconds()
	}
	report, err := w.finish() // before the connections end, for that costs packets
	if err != nil {
		return nil, err
	}
	for _, s := range senders {
		s.stop()
	}
	writers.Wait()
	return run, run.take(report, senders)
}

// take adds what the bridge has seen.
func (r *Run) take(b *bridge.Report, senders []sender) error {
	r.Late50, r.Late99, r.LateMax, r.Realtime = b.Late.P50, b.Late.P99, b.Late.Max, b.Realtime
	for _, e := range b.Ends {
		r.Refused += e.Refused
	}
	for _, n := range b.Drops {
		r.Drops += n
	}
	for i, s := range senders {
		found := false
		for _, f := range b.Flows {
			if f.Src == s.src().String() {
				r.Senders[i].Packets, r.Senders[i].Retransmitted = f.Packets, f.RetransmittedShare
				found = true
			}
		}
		if !found {
			return errors.New("the bridge has not seen " + s.src().String())
		}
	}
	return nil
}

// linuxFlow is a connection of the kernel's.
type linuxFlow struct{ c *net.TCPConn }

func (f *linuxFlow) stack() string       { return Linux }
func (f *linuxFlow) src() netip.AddrPort { return f.c.LocalAddr().(*net.TCPAddr).AddrPort() }
func (f *linuxFlow) write(b []byte) error {
	_, err := f.c.Write(b)
	return err
}
func (f *linuxFlow) srtt() (d time.Duration) {
	raw, err := f.c.SyscallConn()
	if err != nil {
		return 0
	}
	raw.Control(func(fd uintptr) {
		if i, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			d = time.Duration(i.Rtt) * time.Microsecond
		}
	})
	return d
}
func (f *linuxFlow) stop() {
	f.c.SetLinger(0)
	f.c.Close()
}

// ourFlow is a flow of our stack, and the stack.
type ourFlow struct {
	st   api.Stack
	flow api.Flow
	once sync.Once
}

func dialOurs(ctx context.Context, w *world, algorithm string) (sender, error) {
	l, err := w.openOurs()
	if err != nil {
		return nil, err
	}
	st, err := engine.New(engine.Config{
		Link: l, Addresses: []netip.Prefix{ourSender}, Gateways: []netip.Addr{ourGateway.Addr()},
		Controllers: []cc.Factory{sim.Controllers()[algorithm]},
		Flow:        api.FlowConfig{SendBuffer: 64 << 20},
	})
	if err != nil {
		l.Close()
		return nil, err
	}
	f, err := st.Dial(ctx, netip.AddrPortFrom(receiver, port), nil)
	if err != nil {
		disconnect(st)
		return nil, err
	}
	return &ourFlow{st: st, flow: f}, nil
}

// disconnect ends a stack at once.
func disconnect(st api.Stack) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	st.Disconnect(ctx)
}

func (f *ourFlow) stack() string        { return Sluice }
func (f *ourFlow) src() netip.AddrPort  { return f.flow.Src() }
func (f *ourFlow) srtt() time.Duration  { return f.flow.Info().SRTT }
func (f *ourFlow) write(b []byte) error { return f.flow.Write(context.Background(), api.CopyBuffer(b)) }
func (f *ourFlow) stop() {
	f.once.Do(func() {
		f.flow.Abort()
		disconnect(f.st)
	})
}

// sink receives and counts.
type sink struct {
	l     net.Listener
	mu    sync.Mutex
	conns map[netip.AddrPort]*counted
	wg    sync.WaitGroup
}

type counted struct {
	net.Conn
	n atomic.Int64
}

func newSink(l net.Listener) *sink {
	s := &sink{l: l, conns: map[netip.AddrPort]*counted{}}
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			k := &counted{Conn: c}
			s.mu.Lock()
			s.conns[c.RemoteAddr().(*net.TCPAddr).AddrPort()] = k
			s.mu.Unlock()
			s.wg.Add(1)
			go func() {
				defer s.wg.Done()
				b := make([]byte, 256<<10)
				for {
					n, err := k.Read(b)
					k.n.Add(int64(n))
					if err != nil {
						return
					}
				}
			}()
		}
	}()
	return s
}

// received returns the bytes that have come from an address.
func (s *sink) received(from netip.AddrPort) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.conns[from]; c != nil {
		return c.n.Load()
	}
	return 0
}

func (s *sink) close() {
	s.l.Close()
	s.mu.Lock()
	for _, c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/netconn"
)

// A network is two ends that reach each other: a client that dials and a server
// that listens on a few ports. Nothing of it is closed after a run: the process and
// its namespace end.
type network interface {
	dial(ctx context.Context, port int) (net.Conn, error)
	listen(port int) (net.Listener, error)
	// retransmits counts segments sent again, or is negative if nobody knows.
	retransmits() int64
	// raw says that conns are to be used as Flows, without copies.
	raw() bool
}

const (
	firstPort = 5001
	ports     = 8 // that a server listens on, for more pairs of addresses
	blockSize = 64 << 10
)

// connect opens n flows.
func connect(nw network, n int) (clients, servers []net.Conn, err error) {
	l, err := nw.listen(firstPort)
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second+time.Duration(n)*10*time.Millisecond)
	defer cancel()
	accepted := make(chan net.Conn, n)
	failed := make(chan error, 1)
	go func() {
		for range n {
			c, err := l.Accept()
			if err != nil {
				failed <- err
				return
			}
			accepted <- c
		}
	}()
	for range n {
		c, err := nw.dial(ctx, firstPort)
		if err != nil {
			return nil, nil, err
		}
		clients = append(clients, c)
		select {
		case s := <-accepted:
			servers = append(servers, s)
		case err := <-failed:
			return nil, nil, err
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
	return clients, servers, nil
}

// bulk moves as much as it can, one way.
type bulk struct {
	flows int
	down  bool // the server sends
}

func (w bulk) run(nw network, p *params) (map[string]float64, error) {
	from, to, err := connect(nw, w.flows)
	if err != nil {
		return nil, err
	}
	if w.down {
		from, to = to, from
	}
	counts := make([]struct {
		bytes atomic.Int64
		_     [120]byte
	}, w.flows)
	total := func() (n int64) {
		for i := range counts {
			n += counts[i].bytes.Load()
		}
		return n
	}
	ctx := context.Background()
	var firstErr atomic.Pointer[error]
	fail := func(what string, err error) {
		err = fmt.Errorf("%s: %w", what, err)
		firstErr.CompareAndSwap(nil, &err)
	}
	for i := range w.flows {
		go func() { fail("send", send(ctx, from[i], nw.raw())) }()
		go func() { fail("receive", receive(ctx, to[i], nw.raw(), &counts[i].bytes)) }()
	}
	time.Sleep(p.warm)
	s := p.begin()
	before, again := total(), nw.retransmits()
	time.Sleep(p.measure)
	bytes := float64(total() - before)
	again = nw.retransmits() - again
	seconds, cpu, mallocs := s.end()
	if err := firstErr.Load(); err != nil {
		return nil, *err
	}
	if bytes == 0 {
		return nil, errors.New("nothing arrived")
	}
	m := map[string]float64{
		"gbit/s":     bytes * 8 / 1e9 / seconds,
		"gbit/cpu-s": bytes * 8 / 1e9 / cpu,
		"allocs/MB":  mallocs / bytes * 1e6,
		"cpus":       cpu / seconds,
	}
	if again >= 0 {
		m["retransmits"] = float64(again)
	}
	return m, nil
}

// flowOf returns the flow of one of our conns, if it is to be used as such.
func flowOf(c net.Conn, raw bool) api.Flow {
	if n, ok := c.(*netconn.Conn); ok && raw {
		return n.Flow()
	}
	return nil
}

// send sends without end.
func send(ctx context.Context, c net.Conn, raw bool) error {
	if f := flowOf(c, raw); f != nil {
		for {
			b := api.Alloc(blockSize) // as if just filled by whoever has the data
			if err := f.Write(ctx, b); err != nil {
				return err
			}
		}
	}
	b := make([]byte, blockSize)
	for {
		if _, err := c.Write(b); err != nil {
			return err
		}
	}
}

// receive receives without end, and counts.
func receive(ctx context.Context, c net.Conn, raw bool, n *atomic.Int64) error {
	if f := flowOf(c, raw); f != nil {
		for {
			b, err := f.Read(ctx)
			if err != nil {
				return err
			}
			n.Add(int64(b.Len()))
			b.Release()
		}
	}
	b := make([]byte, blockSize)
	for {
		m, err := c.Read(b)
		n.Add(int64(m))
		if err != nil {
			return err
		}
	}
}

// abort ends a conn without waiting for anything.
func abort(c net.Conn) {
	if n, ok := c.(*netconn.Conn); ok {
		n.Flow().Abort()
		return
	}
	if t, ok := c.(interface{ SetLinger(int) error }); ok {
		t.SetLinger(0)
	}
	c.Close()
}

// requestResponse sends one byte there and back.
func requestResponse(nw network, p *params) (map[string]float64, error) {
	clients, servers, err := connect(nw, 1)
	if err != nil {
		return nil, err
	}
	c, s := clients[0], servers[0]
	ended := make(chan error, 1)
	go func() { ended <- echo(s, nw.raw()) }()
	step := pingPong(c, nw.raw())
	m, err := trips(p, func(t *tripTimes) error {
		for more := true; more; more = t.back() {
			if err := step(); err != nil {
				return err
			}
		}
		return nil
	})
	abort(c)
	abort(s)
	<-ended
	return m, err
}

// tripTimes takes down how long each transaction of a round takes.
type tripTimes struct {
	last, until time.Time
	latency     []float64 // in microseconds; nil while nothing is noted
}

// back ends a transaction, and reports whether there is time for another.
func (t *tripTimes) back() bool {
	now := time.Now()
	if t.latency != nil {
		t.latency = append(t.latency, float64(now.Sub(t.last).Nanoseconds())/1000)
	}
	t.last = now
	return now.Before(t.until)
}

// trips has round make transactions until its time is over, first to warm up, and then
// to be measured.
func trips(p *params, round func(t *tripTimes) error) (map[string]float64, error) {
	noted := make([]float64, 0, 1<<20)
	now := time.Now()
	if err := round(&tripTimes{last: now, until: now.Add(p.warm)}); err != nil {
		return nil, err
	}
	sp := p.begin()
	now = time.Now()
	t := &tripTimes{last: now, until: now.Add(p.measure), latency: noted}
	if err := round(t); err != nil {
		return nil, err
	}
	seconds, cpu, mallocs := sp.end()
	return rates(t.latency, seconds, cpu, mallocs), nil
}

func rates(latency []float64, seconds, cpu, mallocs float64) map[string]float64 {
	n := float64(len(latency))
	m := map[string]float64{"per_s": n / seconds, "per_cpu-s": n / cpu, "allocs/op": mallocs / max(n, 1), "cpus": cpu / seconds}
	if len(latency) > 0 {
		slices.Sort(latency)
		m["p50_us"] = latency[len(latency)/2]
		m["p99_us"] = latency[len(latency)*99/100]
	}
	return m
}

// notifiedRequestResponse is requestResponse for programs without a goroutine for
// each flow: our ends answer in the call that tells them of what has come.
func notifiedRequestResponse(nw network, p *params) (map[string]float64, error) {
	clients, servers, err := connect(nw, 1)
	if err != nil {
		return nil, err
	}
	c, s := clients[0], servers[0]
	ended := make(chan error, 2)
	if f := flowOf(s, true); f != nil {
		err = onRead(f, ended, func(b *api.Buffer) error { return f.Write(context.Background(), b) })
		if err != nil {
			return nil, err
		}
	} else {
		go func() { ended <- echo(s, false) }()
	}
	f := flowOf(c, true)
	ask := func() error { return f.Write(context.Background(), api.NewBuffer(make([]byte, 1))) }
	var times *tripTimes // of the round under way
	over := make(chan struct{})
	err = onRead(f, ended, func(b *api.Buffer) error {
		b.Release()
		if times.back() {
			return ask()
		}
		over <- struct{}{}
		return nil
	})
	if err != nil {
		return nil, err
	}
	m, err := trips(p, func(t *tripTimes) error {
		times = t
		if err := ask(); err != nil {
			return err
		}
		select {
		case <-over:
			return nil
		case err := <-ended:
			return err
		case <-time.After(time.Until(t.until) + 5*time.Second):
			return errors.New("no answer")
		}
	})
	abort(c)
	abort(s)
	return m, err
}

// onRead has do called with each buffer that f receives, until there is an error.
func onRead(f api.Flow, ended chan<- error, do func(*api.Buffer) error) error {
	now, cancel := context.WithCancel(context.Background())
	cancel() // what is not there is not waited for
	return f.Configure(func(c *api.FlowConfig) {
		c.Notify = func(f api.Flow, ready api.Readiness) {
			if ready&api.ReadyRead == 0 {
				return
			}
			for {
				b, err := f.Read(now)
				if err == nil {
					err = do(b)
				}
				switch {
				case errors.Is(err, context.Canceled):
					return
				case err != nil:
					select {
					case ended <- err:
					default:
					}
					return
				}
			}
		}
	})
}

func echo(c net.Conn, raw bool) error {
	if f := flowOf(c, raw); f != nil {
		ctx := context.Background()
		for {
			b, err := f.Read(ctx)
			if err != nil {
				return err
			}
			if err := f.Write(ctx, b); err != nil {
				return err
			}
		}
	}
	b := make([]byte, 1)
	for {
		if _, err := io.ReadFull(c, b); err != nil {
			return err
		}
		if _, err := c.Write(b); err != nil {
			return err
		}
	}
}

func pingPong(c net.Conn, raw bool) func() error {
	if f := flowOf(c, raw); f != nil {
		ctx := context.Background()
		return func() error {
			if err := f.Write(ctx, api.NewBuffer(make([]byte, 1))); err != nil {
				return err
			}
			b, err := f.Read(ctx)
			if err == nil {
				b.Release()
			}
			return err
		}
	}
	b := make([]byte, 1)
	return func() error {
		if _, err := c.Write(b); err != nil {
			return err
		}
		_, err := c.Read(b)
		return err
	}
}

// connections opens and closes, with a byte there and back between.
type connections struct{ workers int }

func (w connections) run(nw network, p *params) (map[string]float64, error) {
	var servers sync.WaitGroup
	var listeners []net.Listener
	for port := range ports {
		l, err := nw.listen(firstPort + port)
		if err != nil {
			return nil, err
		}
		listeners = append(listeners, l)
		servers.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer c.Close()
					b := make([]byte, 1)
					if _, err := io.ReadFull(c, b); err != nil {
						return
					}
					if _, err := c.Write(b); err == nil {
						c.Read(b) // the client closes first
					}
				}()
			}
		})
	}
	once := func(worker, i int) error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		c, err := nw.dial(ctx, firstPort+(worker+i)%ports)
		if err != nil {
			return fmt.Errorf("dial: %w", err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(5 * time.Second))
		b := make([]byte, 1)
		if _, err := c.Write(b); err != nil {
			return err
		}
		_, err = io.ReadFull(c, b)
		return err
	}
	var failed atomic.Int64
	var lastErr atomic.Pointer[error]
	round := func(d time.Duration) []float64 {
		until := time.Now().Add(d)
		all := make([][]float64, w.workers)
		var wg sync.WaitGroup
		for worker := range w.workers {
			wg.Go(func() {
				for i := 0; ; i++ {
					start := time.Now()
					if !start.Before(until) {
						return
					}
					if err := once(worker, i); err != nil {
						failed.Add(1)
						lastErr.Store(&err)
						continue
					}
					all[worker] = append(all[worker], float64(time.Since(start).Nanoseconds())/1000)
				}
			})
		}
		wg.Wait()
		return slices.Concat(all...)
	}
	round(p.warm)
	failed.Store(0)
	s := p.begin()
	latency := round(p.measure)
	seconds, cpu, mallocs := s.end()
	for _, l := range listeners {
		l.Close()
	}
	if len(latency) == 0 {
		if err := lastErr.Load(); err != nil {
			return nil, *err
		}
		return nil, errors.New("no connection was made")
	}
	m := rates(latency, seconds, cpu, mallocs)
	m["failed"] = float64(failed.Load())
	return m, nil
}

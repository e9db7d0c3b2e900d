package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/impl/engine"
	"github.com/sluicenet/sluice/link/pipe"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// scaleCells are those about many connections and about hostile peers.
func scaleCells() []*cell {
	oneCPU := []string{"GOMAXPROCS=1"}
	return []*cell{
		{
			name: "idle", about: "heap of an idle connection, one end; 10,000 unless -n says otherwise",
			metric: "heap_bytes", lower: true, rounds: 3, timeout: time.Minute,
			also: []string{"connections", "rss_bytes", "open_per_s"},
			stacks: []variant{
				{"sluice", func(p *params) (map[string]float64, error) { return sluiceIdle(p, 10_000) }},
				{"gvisor-direct", func(p *params) (map[string]float64, error) { return gvisorIdle(p, 10_000) }},
			},
		},
		{
			name: "million", about: "1,000,000 idle connections between two stacks of one process",
			metric: "rss_gb", lower: true, slow: true, rounds: 1, timeout: 10 * time.Minute,
			also:   []string{"heap_bytes", "gc_pause_p99_ms", "gc_stop_p99_ms", "goroutines", "open_s", "close_s", "connections"},
			stacks: []variant{{"sluice", func(p *params) (map[string]float64, error) { return sluiceIdle(p, 1_000_000) }}},
		},
		{
			name: "synflood", about: "SYNs from forged addresses that get an answer, on one CPU, while good clients connect",
			metric: "answered_per_s", cpuMetric: "per_cpu-s", rounds: 5, env: oneCPU,
			also:   []string{"heap_growth_bytes", "good_share"},
			stacks: []variant{{"sluice", sluiceFlood}, {"gvisor-channel", gvisorFlood}},
		},
		{
			name: "outoforder", about: "segments of one byte, each beyond a hole, on one CPU",
			metric: "per_s", cpuMetric: "per_cpu-s", env: oneCPU,
			also:   []string{"heap_growth_bytes"},
			stacks: []variant{{"sluice", sluiceHoles}, {"gvisor-channel", gvisorHoles}},
		},
	}
}

// heap returns the bytes of live objects.
func heap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// rss returns the bytes of memory that the process has in use.
func rss() float64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, resident float64
	fmt.Sscan(string(b), &size, &resident)
	return resident * float64(os.Getpagesize())
}

// pauseP99 returns the 99th percentile of the garbage collector's pauses so far, in
// milliseconds: whole ones ("total"), or the part of them until all had stopped
// ("stopping").
func pauseP99(part string) float64 {
	s := []metrics.Sample{{Name: "/sched/pauses/" + part + "/gc:seconds"}}
	metrics.Read(s)
	if s[0].Value.Kind() != metrics.KindFloat64Histogram {
		return 0
	}
	h := s[0].Value.Float64Histogram()
	total := uint64(0)
	for _, n := range h.Counts {
		total += n
	}
	seen := uint64(0)
	for i, n := range h.Counts {
		if seen += n; total > 0 && seen*100 >= total*99 {
			return h.Buckets[i+1] * 1000
		}
	}
	return 0
}

// portsFor is how many ports a server needs for n connections from one address.
func portsFor(n int) int { return n/20_000 + 1 }

// sluiceIdle opens connections between two stacks of ours, without a goroutine
// for each, weighs them, and closes them.
func sluiceIdle(p *params, n int) (map[string]float64, error) {
	if p.n > 0 {
		n = p.n
	}
	nw, err := newSluicePair(memLink{mtu: 1500}, true)
	if err != nil {
		return nil, err
	}
	s := nw.(*sluiceNetwork)
	servers := make([]api.Flow, n)
	var accepted atomic.Int64
	for port := range portsFor(n) {
		_, err := s.server.Listen(uint16(firstPort+port), nil, func(_ context.Context, f api.Flow) {
			servers[accepted.Add(1)-1] = f
		})
		if err != nil {
			return nil, err
		}
	}
	clients := make([]api.Flow, n)
	empty := heap()
	start := time.Now()
	if err := openAll(n, func(i int) error {
		dst := netip.AddrPortFrom(serverNet.Addr(), uint16(firstPort+i%portsFor(n)))
		f, err := s.client.Dial(context.Background(), dst, nil)
		clients[i] = f
		return err
	}); err != nil {
		return nil, err
	}
	for until := time.Now().Add(10 * time.Second); accepted.Load() < int64(n); time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			return nil, fmt.Errorf("%d of %d accepted", accepted.Load(), n)
		}
	}
	opened := time.Since(start)
	goroutines := runtime.NumGoroutine()
	full := heap()
	resident := rss()

	start = time.Now()
	for i := range clients {
		clients[i].CloseWrite()
		servers[i].CloseWrite()
	}
	for s.client.Info().Flows+s.server.Info().Flows > 0 {
		if time.Since(start) > 5*time.Minute {
			return nil, errors.New("the connections do not close")
		}
		time.Sleep(time.Millisecond)
	}
	closed := time.Since(start)
	runtime.KeepAlive(clients)
	runtime.KeepAlive(servers)
	return map[string]float64{
		"heap_bytes": (full - empty) / float64(2*n), "rss_bytes": resident / float64(2*n), "rss_gb": resident / (1 << 30),
		"connections": float64(n), "open_per_s": float64(n) / opened.Seconds(), "open_s": opened.Seconds(),
		"close_s": closed.Seconds(), "goroutines": float64(goroutines), "gc_pause_p99_ms": pauseP99("total"), "gc_stop_p99_ms": pauseP99("stopping"),
	}, nil
}

// openAll calls open n times, from a few goroutines.
func openAll(n int, open func(i int) error) error {
	const workers = 4
	var wg sync.WaitGroup
	var failed atomic.Pointer[error]
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n && failed.Load() == nil; i += workers {
				if err := open(i); err != nil {
					err = fmt.Errorf("connection %d: %w", i, err)
					failed.Store(&err)
				}
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// gvisorIdle does the same with gVisor's endpoints.
func gvisorIdle(p *params, n int) (map[string]float64, error) {
	if p.n > 0 {
		n = p.n
	}
	nw, err := newGVisorPair(memLink{mtu: 1500}, gvisorDirect)
	if err != nil {
		return nil, err
	}
	g := nw.(*gvisorNetwork)
	type end struct {
		ep tcpip.Endpoint
		wq *waiter.Queue
	}
	clients, servers := make([]end, n), make([]end, n)
	var accepted atomic.Int64
	for port := range portsFor(n) {
		wq := new(waiter.Queue)
		l, e := g.server.NewEndpoint(tcp.ProtocolNumber, ipv4.ProtocolNumber, wq)
		if e == nil {
			e = l.Bind(tcpip.FullAddress{Port: uint16(firstPort + port)})
		}
		if e == nil {
			e = l.Listen(4096)
		}
		if e != nil {
			return nil, errors.New(e.String())
		}
		entry, ready := waiter.NewChannelEntry(waiter.ReadableEvents)
		wq.EventRegister(&entry)
		go func() {
			for {
				ep, q, e := l.Accept(nil)
				if e != nil {
					<-ready
					continue
				}
				servers[accepted.Add(1)-1] = end{ep, q}
			}
		}()
	}
	empty := heap()
	start := time.Now()
	if err := openAll(n, func(i int) error {
		wq := new(waiter.Queue)
		ep, e := g.client.NewEndpoint(tcp.ProtocolNumber, ipv4.ProtocolNumber, wq)
		if e != nil {
			return errors.New(e.String())
		}
		entry, ready := waiter.NewChannelEntry(waiter.WritableEvents)
		wq.EventRegister(&entry)
		defer wq.EventUnregister(&entry)
		clients[i] = end{ep, wq}
		e = ep.Connect(tcpip.FullAddress{Addr: tcpip.AddrFrom4(serverNet.Addr().As4()), Port: uint16(firstPort + i%portsFor(n))})
		if _, started := e.(*tcpip.ErrConnectStarted); started {
			<-ready
			e = ep.LastError()
		}
		if e != nil {
			return errors.New(e.String())
		}
		return nil
	}); err != nil {
		return nil, err
	}
	for until := time.Now().Add(10 * time.Second); accepted.Load() < int64(n); time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			return nil, fmt.Errorf("%d of %d accepted", accepted.Load(), n)
		}
	}
	opened := time.Since(start)
	m := map[string]float64{
		"connections": float64(n), "open_per_s": float64(n) / opened.Seconds(), "goroutines": float64(runtime.NumGoroutine()),
	}
	m["heap_bytes"] = (heap() - empty) / float64(2*n)
	m["rss_bytes"] = rss() / float64(2*n)
	m["gc_pause_p99_ms"], m["gc_stop_p99_ms"] = pauseP99("total"), pauseP99("stopping")
	runtime.KeepAlive(clients)
	runtime.KeepAlive(servers)
	return m, nil
}

// sluiceTarget is a stack of ours with a listener, to throw packets at.
func sluiceTarget(onPacket func(b []byte)) (t *target, err error) {
	a, b := pipe.New(pipe.Config{Unvouched: true})
	s, err := newEngine(a, serverNet, func(c *engine.Config) { c.Limits.TimeWait = 1024 })
	if err != nil {
		return nil, err
	}
	t = &target{}
	if _, err := s.Listen(firstPort, nil, func(_ context.Context, f api.Flow) {
		t.accepted.Add(1)
		if t.keep {
			return
		}
		f.Abort()
	}); err != nil {
		return nil, err
	}
	t.inject = pipeInjector(b, onPacket)
	return t, nil
}

// gvisorTarget is the same of gVisor's.
func gvisorTarget(onPacket func(b []byte)) (*target, error) {
	ep := newChannel()
	s, err := newGVisor(ep, serverNet.Addr().As4())
	if err != nil {
		return nil, err
	}
	nw := &gvisorNetwork{server: s}
	l, err := nw.listen(firstPort)
	if err != nil {
		return nil, err
	}
	t := &target{}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.accepted.Add(1)
			if !t.keep {
				abort(c)
			}
		}
	}()
	drain := func() {
		for p := ep.Read(); p != nil; p = ep.Read() {
			v := p.ToView()
			onPacket(v.AsSlice())
			v.Release()
			p.DecRef()
		}
	}
	t.inject = func(b []byte) {
		in := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: bufferOf(b)})
		ep.InjectInbound(ipv4.ProtocolNumber, in)
		in.DecRef()
		drain()
	}
	t.idle = func() {
		runtime.Gosched()
		drain()
	}
	return t, nil
}

// A target is a stack that packets are injected into.
type target struct {
	inject   func(b []byte)
	idle     func() // lets it work, if it does so in goroutines of its own
	keep     bool   // connections accepted stay open
	accepted atomic.Int64
}

func sluiceFlood(p *params) (map[string]float64, error) { return flood(p, sluiceTarget) }
func gvisorFlood(p *params) (map[string]float64, error) { return flood(p, gvisorTarget) }

// goodEvery SYNs of the flood comes that of a good client, who answers the
// SYN-ACK goodDelay SYNs later.
const (
	goodEvery = 1000
	goodDelay = 500
)

// flood sends SYNs from forged addresses, and counts the answers.
func flood(p *params, open func(func([]byte)) (*target, error)) (map[string]float64, error) {
	var answered, goodTried int64
	goodAcks := make(map[uint32]uint32) // address of a good client -> number to acknowledge
	t, err := open(func(b []byte) {
		if s, ok := parseSegment(b); ok && s.flags == flagSYN|flagACK {
			answered++
			if s.dst>>24 == goodNet {
				goodAcks[s.dst] = s.seq + 1
			}
		}
	})
	if err != nil {
		return nil, err
	}
	buf := make([]byte, 64)
	before := heap()
	var at int64
	i := uint32(0)
	run := func(d time.Duration) {
		until := time.Now().Add(d)
		for ; i%256 != 0 || time.Now().Before(until); i++ {
			t.inject(segment{src: 11<<24 | i&0xffffff, srcPort: uint16(i>>8 | 1024), seq: i * 7919, flags: flagSYN}.append(buf[:0]))
			switch i % goodEvery {
			case 0:
				goodTried++
				t.inject(segment{src: goodNet<<24 | i/goodEvery&0xffffff, srcPort: 2000, seq: 1000, flags: flagSYN}.append(buf[:0]))
			case goodDelay:
				a := goodNet<<24 | i/goodEvery&0xffffff
				if ack, ok := goodAcks[a]; ok {
					delete(goodAcks, a)
					t.inject(segment{src: a, srcPort: 2000, seq: 1001, ack: ack, flags: flagACK}.append(buf[:0]))
				}
			}
			if t.idle != nil && i%64 == 0 {
				t.idle()
			}
		}
		if t.idle != nil {
			t.idle()
		}
	}
	run(p.warm)
	at, tried, good := answered, goodTried, t.accepted.Load()
	sp := p.begin()
	run(p.measure)
	seconds, cpu, _ := sp.end()
	n := float64(answered - at)
	return map[string]float64{
		"answered_per_s": n / seconds, "per_cpu-s": n / cpu, "heap_growth_bytes": max(0, heap()-before),
		"good_share": float64(t.accepted.Load()-good) / float64(max(1, goodTried-tried)),
	}, nil
}

func sluiceHoles(p *params) (map[string]float64, error) { return holes(p, sluiceTarget) }
func gvisorHoles(p *params) (map[string]float64, error) { return holes(p, gvisorTarget) }

// holes sends segments of one byte that leave out every second byte, and waits
// for their ACKs.
func holes(p *params, open func(func([]byte)) (*target, error)) (map[string]float64, error) {
	var acks int64
	var serverNext uint32
	t, err := open(func(b []byte) {
		if s, ok := parseSegment(b); ok {
			switch {
			case s.flags == flagSYN|flagACK:
				serverNext = s.seq + 1
			case s.flags&flagRST != 0:
				acks = -1 << 40
			case s.flags&flagACK != 0:
				acks++
			}
		}
	})
	if err != nil {
		return nil, err
	}
	t.keep = true
	const client = 12<<24 | 1
	buf := make([]byte, 64)
	send := func(s segment) {
		s.src, s.srcPort = client, 2000
		t.inject(s.append(buf[:0]))
	}
	wait := func(what string, ok func() bool) error {
		for until := time.Now().Add(5 * time.Second); !ok(); {
			if time.Now().After(until) {
				return errors.New("no " + what)
			}
			if t.idle != nil {
				t.idle()
			} else {
				time.Sleep(time.Millisecond)
			}
		}
		return nil
	}
	send(segment{seq: 0, flags: flagSYN})
	if err := wait("SYN-ACK", func() bool { return serverNext != 0 }); err != nil {
		return nil, err
	}
	send(segment{seq: 1, ack: serverNext, flags: flagACK})
	if err := wait("connection", func() bool { return t.accepted.Load() > 0 }); err != nil {
		return nil, err
	}
	before := heap()
	sent, start := int64(0), acks
	const window = 32 << 10 // bytes of sequence space
	run := func(d time.Duration) error {
		until := time.Now().Add(d)
		for ; sent%64 != 0 || time.Now().Before(until); sent++ {
			send(segment{seq: 1 + 1 + uint32(sent*2%window), ack: serverNext, flags: flagACK, data: []byte{'x'}})
			if sent-(acks-start) > 64 {
				if err := wait("ACK", func() bool { return sent-(acks-start) <= 64 }); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if err := run(p.warm); err != nil {
		return nil, err
	}
	from := acks
	sp := p.begin()
	if err := run(p.measure); err != nil {
		return nil, err
	}
	seconds, cpu, _ := sp.end()
	if acks < 0 {
		return nil, errors.New("the connection was reset")
	}
	n := float64(acks - from)
	return map[string]float64{"per_s": n / seconds, "per_cpu-s": n / cpu, "heap_growth_bytes": max(0, heap()-before)}, nil
}

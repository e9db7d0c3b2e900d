package sim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/impl/engine/tcp"
	"github.com/sluicenet/sluice/link/impair"
)

// Short is a flow of many short connections, each of which sends some bytes and
// closes. They begin at random: a Poisson process.
type Short struct {
	FlowConfig
	Interval time.Duration // mean time between beginnings
	Bytes    int64         // mean size
	Sizes    Distribution
	Count    int // of connections; 0: without an end
	MaxOpen  int // connections open at once; 0: 1000. What would be more does not begin
}

// Distribution says how sizes vary around their mean.
type Distribution uint8

// The distributions.
const (
	Fixed       Distribution = iota
	Exponential              // memoryless
	Pareto                   // heavy-tailed, with the shape 1.5; at most 1000 times the mean
)

// AddShort adds a flow.
func (n *Network) AddShort(cfg Short) (Flow, error) {
	if cfg.MaxOpen == 0 {
		cfg.MaxOpen = 1000
	}
	if cfg.Interval <= 0 || cfg.Bytes <= 0 || cfg.Count < 0 || cfg.MaxOpen < 0 {
		return nil, fmt.Errorf("sim: flow %s: short flows have an interval and a size", cfg.Name)
	}
	f, err := n.newFlow("short", cfg.FlowConfig)
	if err != nil {
		return nil, err
	}
	s := &short{flow: f, cfg: cfg, chance: impair.Stream(n.seed, 1<<30|uint64(len(n.flows)), 1)}
	s.next = newTimer(doFunc(s.arrive))
	n.flows = append(n.flows, s)
	return s, nil
}

type short struct {
	flow
	cfg       Short
	chance    *rand.Rand
	next      timer
	started   int
	open      []*shortConn // in the order of their beginning
	took      durations
	unstarted int
}

// shortConn is one of the connections, seen from its sending end.
type shortConn struct {
	s      *short
	began  Time
	left   int64
	closed bool
	c      *Conn
}

func (s *short) begin() {
	s.listen(s, func(now Time) {
		s.net.events.arm(&s.next, now.Add(s.gap()))
	})
	s.stopAt(func(now Time) {
		s.net.events.disarm(&s.next)
		for _, o := range slices.Clone(s.open) {
			o.c.abort(now)
		}
	})
}

func (s *short) gap() time.Duration {
	return time.Duration(s.chance.ExpFloat64() * float64(s.cfg.Interval))
}

func (s *short) size() int64 {
	mean := float64(s.cfg.Bytes)
	u := s.chance.Float64() // one number whatever the distribution
	switch s.cfg.Sizes {
	case Exponential:
		mean *= -math.Log(1 - u)
	case Pareto:
		const shape = 1.5
		mean *= min((shape-1)/shape*math.Pow(1-u, -1/shape), 1000)
	}
	return max(int64(mean), 1)
}

func (s *short) arrive(now Time) {
	size := s.size()
	if len(s.open) >= s.cfg.MaxOpen {
		s.unstarted++
	} else {
		o := &shortConn{s: s, began: now, left: size}
		if o.c = s.dial(now, o); o.c != nil {
			s.open = append(s.open, o)
		}
	}
	if s.started++; s.cfg.Count == 0 || s.started < s.cfg.Count {
		s.net.events.arm(&s.next, now.Add(s.gap()))
	}
}

func (o *shortConn) ready(now Time, c *Conn, ev tcp.Events) {
	o.c = c
	if ev&(tcp.EventEstablished|tcp.EventWrite) != 0 && o.left > 0 {
		o.left -= c.write(now, o.left)
		if o.left == 0 {
			c.tcp.CloseWrite(now)
		}
		c.host.touched(now, c)
	}
	if ev&tcp.EventClosed == 0 || o.closed {
		return
	}
	o.closed = true
	s := o.s
	s.open = slices.DeleteFunc(s.open, func(x *shortConn) bool { return x == o })
	s.total.add(c, nil)
	if !s.flow.closed(c) && !s.stopped {
		// Its own end of the stream has been acknowledged and the other's has
		// come back: what a client waits for.
		s.took.add(now.Sub(o.began))
		if s.cfg.Count > 0 && len(s.took)+s.failed+s.unstarted == s.cfg.Count {
			s.arrived(now)
		}
	}
}

func (s *short) accept(now Time, c *Conn) connUser {
	c.tcp.CloseRead(now)
	return &shortSink{s: s}
}

// shortSink is the receiving end of one connection.
type shortSink struct {
	s    *short
	done bool
}

func (k *shortSink) ready(now Time, c *Conn, ev tcp.Events) {
	if k.done || c.tcp.State() != api.StateCloseWait && !c.tcp.FullyClosed() {
		return
	}
	c.tcp.CloseWrite(now)
	k.done = true
	k.s.total.received += c.tcp.Info(now).BytesReceived
	c.host.touched(now, c)
}

// Report implements Flow.
func (s *short) Report() FlowReport {
	r := s.flow.Report()
	r.Count, r.LatencyP, r.Unstarted = len(s.took), s.took.latency(), s.unstarted
	return r
}

// durations are how long exchanges took.
type durations []time.Duration

func (d *durations) add(x time.Duration) { *d = append(*d, x) }

func (d durations) latency() (l Latency) {
	if len(d) == 0 {
		return l
	}
	s := slices.Sorted(slices.Values(d))
	var sum time.Duration
	for _, x := range s {
		sum += x
	}
	at := func(q float64) float64 {
		return s[min(int(math.Ceil(q*float64(len(s))))-1, len(s)-1)].Seconds()
	}
	return Latency{Mean: sum.Seconds() / float64(len(s)), P50: at(0.5), P95: at(0.95), P99: at(0.99), Max: s[len(s)-1].Seconds()}
}

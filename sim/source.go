package sim

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/sluicenet/sluice/impl/engine/tcp"
	"github.com/sluicenet/sluice/link/impair"
)

// Source is a flow that writes at a rate of its own, all the time or in bursts: a
// paced source, or an on-off one.
type Source struct {
	FlowConfig
	Rate  int64 // of writing, in bits a second
	Chunk int64 // bytes written at once; 0: 1000

	// On and Off, if not 0, are how long it writes and pauses in turn. With
	// Exponential they are means.
	On, Off     time.Duration
	Exponential bool
}

// AddSource adds a flow.
func (n *Network) AddSource(cfg Source) (Flow, error) {
	if cfg.Chunk == 0 {
		cfg.Chunk = 1000
	}
	if cfg.Rate <= 0 || cfg.Rate > maxRate || cfg.Chunk < 0 || cfg.Chunk > pageSize || cfg.On < 0 || cfg.Off < 0 || cfg.Off > 0 && cfg.On == 0 {
		return nil, fmt.Errorf("sim: flow %s: a source has a rate, chunks of up to %d bytes, and a time to be on if it is off sometimes", cfg.Name, pageSize)
	}
	kind := "paced"
	if cfg.Off > 0 {
		kind = "onoff"
	}
	f, err := n.newFlow(kind, cfg.FlowConfig)
	if err != nil {
		return nil, err
	}
	s := &source{flow: f, cfg: cfg, chance: impair.Stream(n.seed, 1<<30|uint64(len(n.flows)), 1)}
	s.tick = newTimer(doFunc(s.write))
	n.flows = append(n.flows, s)
	return s, nil
}

type source struct {
	flow
	cfg    Source
	chance *rand.Rand
	serial impair.Serializer
	tick   timer
	offAt  Time // when the present burst ends
	behind int64
}

func (s *source) begin() {
	s.listen(sink{&s.flow}, func(now Time) { s.client = s.dial(now, s) })
	s.stopAt(func(now Time) {
		s.net.events.disarm(&s.tick)
		if s.client != nil {
			s.client.abort(now)
		}
	})
}

func (s *source) span(d time.Duration) time.Duration {
	if s.cfg.Exponential {
		return time.Duration(s.chance.ExpFloat64() * float64(d))
	}
	return d
}

func (s *source) ready(now Time, c *Conn, ev tcp.Events) {
	s.client = c
	switch {
	case ev&tcp.EventClosed != 0:
		s.net.events.disarm(&s.tick)
		if s.closed(c) && s.endedAt == 0 {
			s.endedAt = now
		}
	case ev&tcp.EventEstablished != 0:
		s.offAt = Never
		if s.cfg.Off > 0 {
			s.offAt = now.Add(s.span(s.cfg.On))
		}
		s.write(now)
	case ev&tcp.EventWrite != 0 && s.behind > 0:
		s.catchUp(now)
	}
}

// maxBehind is what a source keeps that its connection does not take: an
// application's own buffer. What exceeds it is not produced.
const maxBehind = 1 << 20

func (s *source) write(now Time) {
	s.behind = min(s.behind+s.cfg.Chunk, maxBehind)
	s.catchUp(now)
	at := now.Add(s.serial.Time(s.cfg.Chunk, s.cfg.Rate))
	if at >= s.offAt {
		at = max(s.offAt, now).Add(s.span(s.cfg.Off))
		s.offAt = at.Add(s.span(s.cfg.On))
	}
	s.net.events.arm(&s.tick, at)
}

func (s *source) catchUp(now Time) {
	for s.behind >= s.cfg.Chunk && s.client.write(now, s.cfg.Chunk) > 0 {
		s.behind -= s.cfg.Chunk
	}
	s.client.host.touched(now, s.client)
}

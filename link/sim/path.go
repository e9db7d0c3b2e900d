package sim

import (
	"container/heap"
	"sync"
	"time"

	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/link/impair"
)

// A path is one direction. Its packets wait in a heap for one timer.
type path struct {
	clk         clock.Clock
	dir         Dir
	mtu         int
	maxInFlight int64
	tap         func(Event)
	from, to    *End
	timer       clock.Timer

	mu          sync.Mutex
	d           Direction
	chance      impair.Chance
	wire        wire
	lastInOrder clock.Time // arrival of the latest packet that kept its place
	flight      flightHeap
	order       uint64
	memory      int64      // of what is in flight
	armed       clock.Time // what the timer is set to; Never if it is not
	abandoned   bool       // the receiver is gone
	delivering  bool       // a goroutine is in deliver
	counters    Counters

	batch []link.Packet // of the goroutine that is delivering
}

func newPath(clk clock.Clock, cfg *Config, dir Dir, d Direction, from, to *End) *path {
	p := &path{
		clk: clk, dir: dir, mtu: cfg.MTU, maxInFlight: maxInFlight, tap: cfg.Tap, from: from, to: to,
		d: d, chance: impair.NewChance(cfg.Seed, uint64(dir)), armed: clock.Never,
	}
	p.timer = clk.NewTimer(p.deliver)
	return p
}

func (p *path) set(d Direction) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.d = d
}

func (p *path) snapshot() Counters {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wire.advance(p.clk.Now())
	c := p.counters
	c.InFlight = uint64(len(p.flight))
	c.QueueBytes = p.wire.waitingBytes
	return c
}

// send takes in packets.
func (p *path) send(batch []link.Packet) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clk.Now()
	for i := range batch {
		fate, n := p.admit(now, &batch[i])
		if fate == Sent || fate == Lost {
			p.from.packetsOut.Add(1)
			p.from.bytesOut.Add(uint64(n))
		} else {
			p.from.dropsOut.Add(1)
		}
	}
	p.arm()
}

// arm sets the timer for the next arrival. The caller holds mu.
func (p *path) arm() {
	if p.delivering || len(p.flight) == 0 || p.flight[0].at == p.armed {
		return
	}
	p.armed = p.flight[0].at
	p.timer.Reset(p.armed)
}

// admit decides what happens to one packet, and reports whether it is on its
// way (Sent) or what became of it. The caller holds mu.
func (p *path) admit(now clock.Time, pkt *link.Packet) (fate Fate, n int) {
	p.counters.Sent++
	n = pkt.Len()
	// Every packet draws the same numbers, whatever becomes of it.
	luck := p.chance.Draw(&impair.Odds{
		Loss: p.d.Loss, Corrupt: p.d.Corrupt, Reorder: p.d.Reorder, Duplicate: p.d.Duplicate, Jitter: p.d.Jitter,
	})
	if n == 0 || n > p.mtu || pkt.Offload.GSOSize != 0 || pkt.Offload.NeedsChecksum {
		p.counters.DropsMalformed++
		return p.tell(now, DropMalformed, pkt), n
	}
	c := pkt.Copy()
	c.Offload = link.Offload{}
	p.tell(now, Sent, &c)
	fate = p.route(now, &c, luck, n)
	if fate != Sent {
		p.tell(now, fate, &c)
		c.Release()
	}
	return fate, n
}

// route takes a packet through the queue and onto the wire.
func (p *path) route(now clock.Time, c *link.Packet, luck impair.Luck, n int) Fate {
	if p.abandoned {
		p.counters.DropsReceiver++
		return DropReceiver
	}
	if p.memory >= p.maxInFlight {
		p.counters.DropsFlight++
		return DropFlight
	}
	sent, ok := p.wire.transmit(now, int64(n), &p.d)
	p.counters.MaxQueueBytes = max(p.counters.MaxQueueBytes, p.wire.waitingBytes)
	if !ok {
		p.counters.DropsQueue++
		return DropQueue
	}
	if luck.Lost {
		p.counters.Lost++
		return Lost
	}
	var copied link.Packet
	if luck.Duplicated {
		copied = c.Copy()
	}
	if luck.Corrupted {
		p.counters.Corrupted++
		impair.FlipBit(c.Payload[0].Bytes(), luck.Position)
	}
	at := p.arrival(sent, luck.Jitter)
	if luck.Reordered {
		p.counters.Reordered++
		p.launch(at.Add(p.d.reorderDelay()), *c)
	} else {
		p.lastInOrder = at
		p.launch(at, *c)
	}
	if luck.Duplicated {
		p.counters.Duplicated++
		at := p.arrival(sent, luck.Jitter2)
		p.lastInOrder = at
		p.launch(at, copied)
	}
	return Sent
}

// arrival returns when a packet that left at the given instant arrives, if it
// keeps its place among the others.
func (p *path) arrival(sent clock.Time, jitter time.Duration) clock.Time {
	return max(sent.Add(max(p.d.Delay+jitter, 0)), p.lastInOrder)
}

func (d *Direction) reorderDelay() time.Duration {
	if d.ReorderDelay != 0 {
		return d.ReorderDelay
	}
	return max(d.Delay/2, time.Millisecond)
}

func (p *path) tell(now clock.Time, fate Fate, pkt *link.Packet) Fate {
	if p.tap == nil {
		return fate
	}
	var data []byte
	if len(pkt.Header) == 0 && len(pkt.Payload) == 1 {
		data = pkt.Payload[0].Bytes()
	} else {
		data = pkt.AppendTo(nil)
	}
	p.tap(Event{Dir: p.dir, Time: now, Fate: fate, Data: data})
	return fate
}

// launch puts a packet on the way.
func (p *path) launch(at clock.Time, c link.Packet) {
	p.order++
	p.memory += c.Payload[0].MemSize()
	heap.Push(&p.flight, inFlight{at: at, order: p.order, packet: c})
}

// deliver is the timer's function. Only one goroutine delivers at a time, so
// that order is kept; what becomes due meanwhile is left to it.
func (p *path) deliver() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed = clock.Never
	if p.delivering {
		return
	}
	p.delivering = true
	for !p.abandoned && len(p.flight) > 0 {
		now := p.clk.Now()
		if p.flight[0].at > now {
			break
		}
		var bytes uint64
		for len(p.flight) > 0 && p.flight[0].at <= now {
			f := heap.Pop(&p.flight).(inFlight)
			p.memory -= f.packet.Payload[0].MemSize()
			bytes += uint64(f.packet.Payload[0].Len())
			p.batch = append(p.batch, f.packet)
		}
		fate := Delivered
		if p.to.recv.Load() == nil || p.to.gate.Closed() {
			fate = DropReceiver
		}
		for i := range p.batch {
			p.tell(now, fate, &p.batch[i])
		}
		n := uint64(len(p.batch))
		p.mu.Unlock()
		ok := p.to.deliver(p.batch, bytes)
		p.mu.Lock()
		if ok {
			p.counters.Delivered += n
		} else {
			p.counters.DropsReceiver += n
		}
		clear(p.batch)
		p.batch = p.batch[:0]
	}
	p.delivering = false
	p.arm()
}

// abandon drops what is under way: the receiver has closed.
func (p *path) abandon() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.abandoned = true
	p.timer.Stop()
	p.armed = clock.Never
	p.counters.DropsReceiver += uint64(len(p.flight))
	p.to.dropsIn.Add(uint64(len(p.flight)))
	now := p.clk.Now()
	for len(p.flight) > 0 { // in the order of arrival, for the tap
		f := heap.Pop(&p.flight).(inFlight)
		p.tell(now, DropReceiver, &f.packet)
		f.packet.Release()
	}
	p.flight, p.memory = nil, 0
}

type inFlight struct {
	at     clock.Time
	order  uint64
	packet link.Packet
}

// flightHeap has the packets in the order of their arrival, and of their
// sending where that is the same.
type flightHeap []inFlight

func (h flightHeap) Len() int { return len(h) }
func (h flightHeap) Less(i, j int) bool {
	if h[i].at != h[j].at {
		return h[i].at < h[j].at
	}
	return h[i].order < h[j].order
}
func (h flightHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *flightHeap) Push(x any)   { *h = append(*h, x.(inFlight)) }
func (h *flightHeap) Pop() any {
	old := *h
	f := old[len(old)-1]
	old[len(old)-1] = inFlight{}
	*h = old[:len(old)-1]
	return f
}

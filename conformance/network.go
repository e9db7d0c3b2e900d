package conformance

import (
	"errors"
	"net"
	"sync"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
)

// linkMTU is the MTU of the suite's links.
const linkMTU = 1500

// port is the suite's end of a link to a stack under test: it implements
// link.Link for the stack.
type port struct {
	t    *T
	name string
	send func(p *link.Packet) // takes what the stack sends; reads or copies at once

	mu     sync.Mutex
	recv   func([]link.Packet)
	closed bool
	stats  link.Stats

	running sync.RWMutex // held for reading while recv runs
}

var _ link.Link = (*port)(nil)

func (p *port) Attributes() link.Attributes {
	return link.Attributes{Name: p.name, Medium: link.IP, MTU: linkMTU}
}

func (p *port) Attach(recv func([]link.Packet)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.recv != nil {
		return errors.New("attached already")
	}
	p.recv = recv
	return nil
}

func (p *port) Send(batch []link.Packet) error {
	if p.t.hung.Load() {
		return nil
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return net.ErrClosed
	}
	for i := range batch {
		p.stats.PacketsOut++
		p.stats.BytesOut += uint64(batch[i].Len())
	}
	p.mu.Unlock()
	for i := range batch {
		p.send(&batch[i])
	}
	return nil
}

func (p *port) Stats() link.Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats
}

func (p *port) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.running.Lock() // recv is not running
	defer p.running.Unlock()
	return nil
}

// deliver hands packets to the stack.
func (p *port) deliver(batch []link.Packet) {
	p.running.RLock()
	defer p.running.RUnlock()
	p.mu.Lock()
	recv, closed := p.recv, p.closed || p.t.hung.Load()
	if !closed && recv != nil {
		for i := range batch {
			p.stats.PacketsIn++
			p.stats.BytesIn += uint64(batch[i].Len())
		}
	}
	p.mu.Unlock()
	if closed || recv == nil {
		for i := range batch {
			batch[i].Release()
		}
		return
	}
	recv(batch)
}

// Network joins two stacks. Packets take Delay, in order; what a Filter does
// to them is the case's affair. Payloads cross it as views of the sender's
// memory: a receiver that gives such memory away breaks R1.
type Network struct {
	t     *T
	Delay time.Duration
	ports [2]*port

	mu     sync.Mutex
	filter [2]func(s *Segment) bool
	queue  [2][]transit
	timer  [2]clock.Timer
	sent   [2]int
}

type transit struct {
	due clock.Time
	p   link.Packet
}

// newNetwork returns a network with a round trip of 20 ms.
func newNetwork(t *T) *Network {
	n := &Network{t: t, Delay: 10 * time.Millisecond}
	for i, name := range []string{"A", "B"} {
		n.ports[i] = &port{t: t, name: name, send: func(p *link.Packet) { n.take(i, p) }}
		n.timer[i] = t.clk.NewTimer(func() { n.arrive(i) })
		t.Cleanup(n.timer[i].Stop)
	}
	return n
}

// Filter makes every segment from one end pass keep, which says whether it
// goes on; nil lets everything pass.
func (n *Network) Filter(from int, keep func(s *Segment) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.filter[from] = keep
}

// Cut drops everything from one end.
func (n *Network) Cut(from int) { n.Filter(from, func(*Segment) bool { return false }) }

// Sent returns how many packets one end has sent.
func (n *Network) Sent(from int) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.sent[from]
}

func (n *Network) take(from int, p *link.Packet) {
	raw := p.AppendTo(nil)
	now := n.t.clk.Now()
	n.mu.Lock()
	n.sent[from]++
	keep := n.filter[from]
	n.mu.Unlock()
	who := []string{"A>B", "B>A"}[from]
	n.t.oracle.packet(raw)
	if keep != nil {
		if s := decode(raw); s == nil || !keep(s) {
			n.t.trace.add(now, who+"x", raw)
			return
		}
	}
	n.t.trace.add(now, who, raw)
	n.t.oracle.heard(raw)
	q := link.Packet{Header: append([]byte(nil), p.Header...)}
	for i := range p.Payload {
		q.Payload = append(q.Payload, p.Payload[i].View(0, p.Payload[i].Len()))
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.queue[from] = append(n.queue[from], transit{now.Add(n.Delay), q})
	if len(n.queue[from]) == 1 {
		n.timer[from].Reset(n.queue[from][0].due)
	}
}

// arrive delivers what is due in the direction from one end to the other.
func (n *Network) arrive(from int) {
	n.mu.Lock()
	now := n.t.clk.Now()
	var batch []link.Packet
	for len(n.queue[from]) > 0 && n.queue[from][0].due <= now {
		batch = append(batch, n.queue[from][0].p)
		n.queue[from] = n.queue[from][1:]
	}
	if len(n.queue[from]) > 0 {
		n.timer[from].Reset(n.queue[from][0].due)
	}
	n.mu.Unlock()
	if len(batch) > 0 {
		n.ports[1-from].deliver(batch)
	}
}

// packetOf returns a received packet with a copy of raw.
func packetOf(raw []byte) link.Packet {
	return link.Packet{Payload: []api.Buffer{*api.CopyBuffer(raw)}}
}

package sim

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// Config is what a Network is made from.
type Config struct {
	// Seed chooses what chance will do, everywhere in the network.
	Seed uint64

	// Controllers are the congestion controllers that flows can name; nil means
	// [Controllers]. Of an algorithm that is not in the table, add it to what
	// Controllers returns.
	Controllers map[string]cc.Factory

	// Sample is how often cwnd, queues and so on are noted; 0: never.
	Sample time.Duration

	// Warmup is the time at the beginning that goodputs, utilizations and means
	// of reports leave out.
	Warmup time.Duration

	// MaxDrops bounds the drop log; 0 means 100,000 entries. What does not fit is
	// only counted.
	MaxDrops int

	// IPv6 makes the hosts speak IPv6 instead of IPv4.
	IPv6 bool
}

// A Network is hosts and routers joined by links, and the flows between them.
type Network struct {
	seed        uint64
	v6          bool
	warmup      Time
	controllers map[string]cc.Factory
	now         Time
	events      eventHeap
	packets     pool
	page        *api.Buffer // what applications send

	nodes   []*node
	hosts   []*Host
	links   []*Link
	flows   []Flow
	started bool
	err     error // the first thing that went wrong while running

	sent     uint64 // packets that hosts and cross traffic have sent
	hops     uint64 // and that have begun to cross a link
	drops    []Drop
	maxDrops int
	unlogged uint64
	onDrop   func(Drop)
	series   *sampler
}

// pageSize is how much an application writes at once. Every application writes the
// same page, again and again: nothing is copied.
const pageSize = 64 << 10

// New returns an empty network.
func New(cfg Config) *Network {
	n := &Network{seed: cfg.Seed, v6: cfg.IPv6, warmup: Time(cfg.Warmup), controllers: cfg.Controllers, maxDrops: cfg.MaxDrops}
	if n.controllers == nil {
		n.controllers = Controllers()
	}
	if n.maxDrops == 0 {
		n.maxDrops = 100_000
	}
	b := make([]byte, pageSize)
	for i := 0; i+4 <= len(b); i += 4 {
		binary.BigEndian.PutUint32(b[i:], uint32(i)*2654435761)
	}
	n.page = api.NewBuffer(b)
	if cfg.Sample > 0 {
		n.series = newSampler(n, cfg.Sample)
	}
	return n
}

// A Node is a [Host], a [Router] or a [Port].
type Node interface {
	Name() string
	// Addr is the node's address, given to it by the network.
	Addr() netip.Addr
	base() *node
}

// node is what hosts and routers have in common.
type node struct {
	net   *Network
	name  string
	index int
	addr  netip.Addr
	ports []*path // out of the node
	next  []*path // by the index of the destination
	host  *Host   // nil for a router or a port
	port  *Port   // nil for others
	tap   func(now Time, p *path, pkt *packet, out bool)
}

// Name implements Node.
func (v *node) Name() string { return v.name }

// Addr implements Node.
func (v *node) Addr() netip.Addr { return v.addr }

func (v *node) base() *node { return v }

// A Router forwards packets along the way with the fewest links, and tells senders
// what it cannot forward, by ICMP.
type Router struct{ *node }

// AddRouter adds a router.
func (n *Network) AddRouter(name string) (*Router, error) {
	v, err := n.addNode(name)
	if err != nil {
		return nil, err
	}
	return &Router{v}, nil
}

const maxNodes = 65000

func (n *Network) addNode(name string) (*node, error) {
	switch {
	case n.started:
		return nil, fmt.Errorf("sim: node %s: the network is running", name)
	case len(n.nodes) == maxNodes:
		return nil, fmt.Errorf("sim: node %s: more than %d nodes", name, maxNodes)
	}
	v := &node{net: n, name: name, index: len(n.nodes)}
	i := uint16(v.index + 1)
	if n.v6 {
		a := [16]byte{0: 0xfd, 14: byte(i >> 8), 15: byte(i)}
		v.addr = netip.AddrFrom16(a)
	} else {
		v.addr = netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
	}
	n.nodes = append(n.nodes, v)
	return v, nil
}

// nodeAt returns the node that a packet is addressed to, or nil.
func (n *Network) nodeAt(b []byte) *node {
	i := 0
	switch {
	case len(b) >= wire.IPv4MinHeaderLen && b[0]>>4 == 4 && b[16] == 10 && b[17] == 0:
		i = int(binary.BigEndian.Uint16(b[18:]))
	case len(b) >= wire.IPv6HeaderLen && b[0]>>4 == 6 && b[24] == 0xfd:
		i = int(binary.BigEndian.Uint16(b[38:]))
	}
	if i < 1 || i > len(n.nodes) {
		return nil
	}
	return n.nodes[i-1]
}

// route finds the ways from every node: breadth first, links in the order in
// which they were added.
func (n *Network) route() {
	for _, v := range n.nodes {
		v.next = make([]*path, len(n.nodes))
		seen := make([]bool, len(n.nodes))
		seen[v.index] = true
		type step struct {
			at    *node
			first *path
		}
		todo := []step{{v, nil}}
		for len(todo) > 0 {
			s := todo[0]
			todo = todo[1:]
			if (s.at.host != nil || s.at.port != nil) && s.at != v {
				continue // hosts do not forward
			}
			for _, p := range s.at.ports {
				if seen[p.to.index] {
					continue
				}
				seen[p.to.index] = true
				first := s.first
				if first == nil {
					first = p
				}
				v.next[p.to.index] = first
				todo = append(todo, step{p.to, first})
			}
		}
	}
}

// way returns the directions of the links from one node to another, or nil.
func (n *Network) way(from, to *node) []*path {
	if from.next == nil {
		n.route()
	}
	var w []*path
	for v := from; v != to; {
		p := v.next[to.index]
		if p == nil {
			return nil
		}
		w = append(w, p)
		v = p.to
	}
	return w
}

// BaseRTT returns the round-trip time between two hosts without any queue: the
// delays of the links both ways. What packets take to be put onto the wires is not
// in it. It is negative if there is no way.
func (n *Network) BaseRTT(a, b Node) time.Duration {
	there, back := n.way(a.base(), b.base()), n.way(b.base(), a.base())
	if there == nil || back == nil {
		return -1
	}
	var d time.Duration
	for _, p := range append(there, back...) {
		d += p.d.Delay
	}
	return d
}

// send gives a packet to the link that leads to its destination.
func (v *node) send(now Time, pkt *packet) {
	p := v.next[pkt.to.index]
	if p == nil {
		v.net.logDrop(now, nil, v, pkt, DropNoRoute)
		v.net.packets.put(pkt)
		return
	}
	v.net.hops++
	p.send(now, pkt)
}

// receive takes a packet from a link.
func (v *node) receive(now Time, pkt *packet) {
	switch {
	case v.host != nil:
		v.host.receive(now, pkt)
	case v.port != nil:
		v.port.receive(now, pkt)
	default:
		v.forward(now, pkt)
	}
}

// Now returns the present instant.
func (n *Network) Now() Time { return n.now }

// At calls f at an instant, or at once if that has passed.
func (n *Network) At(at Time, f func(now Time)) {
	t := newTimer(doFunc(f))
	n.events.arm(&t, max(at, n.now))
}

// Check reports what is wrong with the network: flows without a way.
func (n *Network) Check() error {
	n.route()
	var errs []error
	for _, f := range n.flows {
		if err := f.check(); err != nil {
			errs = append(errs, fmt.Errorf("sim: flow %s: %w", f.Name(), err))
		}
	}
	return errors.Join(errs...)
}

// Run lets time pass until an instant. It may be called again, to go on.
func (n *Network) Run(until time.Duration) error {
	if !n.started {
		if err := n.Check(); err != nil {
			return err
		}
		n.started = true
		for _, f := range n.flows {
			f.begin()
		}
		if n.series != nil {
			n.series.begin()
		}
		n.At(n.warmup, func(now Time) {
			for _, f := range n.flows {
				f.warm(now)
			}
			for _, l := range n.links {
				l.ab.warm(now)
				l.ba.warm(now)
			}
		})
	}
	end := Time(until)
	for len(n.events.s) > 0 && n.events.s[0].at <= end && n.err == nil {
		n.now = n.events.s[0].at
		n.events.pop().do.fire(n.now)
	}
	if n.err == nil {
		n.now = max(n.now, end)
	}
	return n.err
}

// Packets returns how many packets hosts and cross traffic have sent, and how
// many links these have crossed together.
func (n *Network) Packets() (sent, hops uint64) { return n.sent, n.hops }

// Flows returns the flows in the order in which they were added.
func (n *Network) Flows() []Flow { return n.flows }

// Links returns the links in the order in which they were added.
func (n *Network) Links() []*Link { return n.links }

// Link returns the link of that name, or nil.
func (n *Network) Link(name string) *Link {
	if i := slices.IndexFunc(n.links, func(l *Link) bool { return l.name == name }); i >= 0 {
		return n.links[i]
	}
	return nil
}

// public returns the node as what it is.
func (v *node) public() Node {
	switch {
	case v.host != nil:
		return v.host
	case v.port != nil:
		return v.port
	}
	return &Router{v}
}

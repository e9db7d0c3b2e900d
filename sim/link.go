package sim

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/sluicenet/sluice/link/impair"
)

// LinkConfig describes a link between two nodes.
type LinkConfig struct {
	Name string
	A, B Node
	MTU  int // largest IP packet, in bytes; 0: 1500

	// AB is what happens to packets from A to B, BA to the others.
	AB, BA Direction
}

// Direction has the impairments of one direction of a link, in the order in which
// a packet meets them. The zero value is a perfect wire.
type Direction struct {
	Blackhole bool // everything is lost

	// Policer drops what exceeds a rate, before the queue.
	Policer *Bucket

	// QueueBytes and QueuePackets bound what waits to be sent, the packet that
	// is being sent not included; what finds no room is dropped. 0 means no bound
	// of that kind; if both are 0 the queue takes what Rate carries in twice
	// the Delay, at least 64 KiB. Without a Rate and a Shaper nothing waits.
	QueueBytes   int64
	QueuePackets int

	// MarkBytes, if not 0, marks packets of senders that speak ECN when they
	// find more than that waiting (a step, as DCTCP wants it: RFC 8257, section
	// 3.1).
	MarkBytes int64

	// CoDel, if not nil, drops or marks at the head of the queue.
	CoDel *CoDel

	// Shaper holds packets back until a token bucket has let them go.
	Shaper *Bucket

	// Rate is how fast packets are put onto the wire, in bits a second of whole
	// IP packets; 0 means at once.
	Rate int64

	// The losses of the wire. Loss is a probability; LossEvery loses every n-th
	// data packet and LossList those of these numbers, counted from 1, in which
	// retransmissions and packets without payload are not counted; Gilbert
	// loses in bursts.
	Loss      float64
	LossEvery int64
	LossList  []int64
	Gilbert   *Gilbert

	// Corrupt is the probability that one bit is inverted.
	Corrupt float64

	// Delay is the time from the end of transmission to arrival, and Jitter
	// changes it by as much as this, either way, evenly distributed, never
	// below zero. Packets keep their order unless JitterReorders.
	Delay, Jitter  time.Duration
	JitterReorders bool

	// Reorder is the probability that a packet is held up by ReorderDelay, so
	// that later ones overtake it. 0 for ReorderDelay means half the Delay, but
	// at least 1 ms.
	Reorder      float64
	ReorderDelay time.Duration

	// Duplicate is the probability that a packet arrives twice.
	Duplicate float64
}

// Gilbert is the Gilbert-Elliott model of losses: a wire that is in one of two
// states, with a probability of loss in each. Before each packet it changes from
// good to bad with the probability ToBad, and back with ToGood.
type Gilbert struct {
	ToBad, ToGood     float64
	LossGood, LossBad float64
}

// Bounds that keep the arithmetic from overflowing.
const (
	maxDelay  = 24 * time.Hour
	maxRate   = 1e13
	maxBurst  = 1 << 30
	minQueue  = 64 << 10
	maxQueued = 1 << 20 // packets in any queue
)

// Check returns an error that names the field that is wrong, if one is.
func (d *Direction) Check() error {
	probability := func(name string, p float64) error {
		if math.IsNaN(p) || p < 0 || p > 1 {
			return fmt.Errorf("%s %v is not a probability between 0 and 1", name, p)
		}
		return nil
	}
	bucket := func(name string, b *Bucket) error {
		switch {
		case b == nil:
		case b.Rate <= 0 || b.Rate > maxRate:
			return fmt.Errorf("%s: the rate %d is not between 1 and %d bit/s", name, b.Rate, int64(maxRate))
		case b.Burst <= 0 || b.Burst > maxBurst:
			return fmt.Errorf("%s: the burst %d is not between 1 and %d bytes", name, b.Burst, maxBurst)
		}
		return nil
	}
	errs := []error{
		probability("Loss", d.Loss), probability("Corrupt", d.Corrupt),
		probability("Reorder", d.Reorder), probability("Duplicate", d.Duplicate),
		bucket("Policer", d.Policer), bucket("Shaper", d.Shaper),
	}
	if g := d.Gilbert; g != nil {
		errs = append(errs, probability("Gilbert.ToBad", g.ToBad), probability("Gilbert.ToGood", g.ToGood),
			probability("Gilbert.LossGood", g.LossGood), probability("Gilbert.LossBad", g.LossBad))
	}
	if c := d.CoDel; c != nil && (c.Target < 0 || c.Interval < 0) {
		errs = append(errs, errors.New("CoDel: a negative time"))
	}
	for _, v := range []struct {
		name  string
		value int64
	}{
		{"Rate", d.Rate}, {"Delay", int64(d.Delay)}, {"Jitter", int64(d.Jitter)}, {"ReorderDelay", int64(d.ReorderDelay)},
		{"QueueBytes", d.QueueBytes}, {"QueuePackets", int64(d.QueuePackets)}, {"MarkBytes", d.MarkBytes}, {"LossEvery", d.LossEvery},
	} {
		if v.value < 0 {
			errs = append(errs, fmt.Errorf("%s %d is negative", v.name, v.value))
		}
	}
	if max(d.Delay, d.Jitter, d.ReorderDelay) > maxDelay {
		errs = append(errs, fmt.Errorf("a delay of more than %v", maxDelay))
	}
	if d.Rate > maxRate {
		errs = append(errs, fmt.Errorf("a rate of %d is more than %d bit/s", d.Rate, int64(maxRate)))
	}
	return errors.Join(errs...)
}

// A Link joins two nodes.
type Link struct {
	net    *Network
	name   string
	mtu    int
	a, b   *node
	ab, ba *path
}

// AddLink adds a link.
func (n *Network) AddLink(cfg LinkConfig) (*Link, error) {
	fail := func(format string, args ...any) (*Link, error) {
		return nil, fmt.Errorf("sim: link %s: %w", cfg.Name, fmt.Errorf(format, args...))
	}
	if n.started {
		return fail("the network is running")
	}
	if cfg.A == nil || cfg.B == nil {
		return fail("wants two ends")
	}
	if cfg.MTU == 0 {
		cfg.MTU = 1500
	}
	if cfg.MTU < 576 || cfg.MTU > 65535 {
		return fail("MTU %d is not between 576 and 65535", cfg.MTU)
	}
	l := &Link{net: n, name: cfg.Name, mtu: cfg.MTU, a: cfg.A.base(), b: cfg.B.base()}
	if l.a == l.b {
		return fail("both ends are at %s", l.a.name)
	}
	if l.a.net != n || l.b.net != n {
		return fail("an end is in another network")
	}
	if err := checkPorts(l.a, l.b); err != nil {
		return fail("%w", err)
	}
	if err := cfg.AB.Check(); err != nil {
		return fail("AB: %w", err)
	}
	if err := cfg.BA.Check(); err != nil {
		return fail("BA: %w", err)
	}
	l.ab = newPath(l, 2*uint64(len(n.links)), l.a, l.b, cfg.AB)
	l.ba = newPath(l, 2*uint64(len(n.links))+1, l.b, l.a, cfg.BA)
	l.a.ports = append(l.a.ports, l.ab)
	l.b.ports = append(l.b.ports, l.ba)
	n.links = append(n.links, l)
	return l, nil
}

// Name returns the link's name.
func (l *Link) Name() string { return l.name }

// Set changes the impairments of one direction from now on: from A to B, or back.
// Packets on their way are not affected; a queue that is longer than its new
// bound drains.
func (l *Link) Set(back bool, d Direction) error {
	if err := d.Check(); err != nil {
		return fmt.Errorf("sim: link %s: %w", l.name, err)
	}
	l.path(back).set(l.net.now, d)
	return nil
}

// Direction returns the impairments in force.
func (l *Link) Direction(back bool) Direction { return l.path(back).d }

// Stats returns what has happened in one direction so far.
func (l *Link) Stats(back bool) LinkStats { return l.path(back).snapshot(l.net.now) }

func (l *Link) path(back bool) *path {
	if back {
		return l.ba
	}
	return l.ab
}

// DropReason says why a packet was lost.
type DropReason uint8

// The reasons.
const (
	DropQueue     DropReason = iota // no room in the queue
	DropCoDel                       // by CoDel
	DropPolicer                     // above the policer's rate
	DropLoss                        // by chance
	DropEvery                       // by LossEvery
	DropList                        // by LossList
	DropGilbert                     // in the bad state of the Gilbert-Elliott model, or the good
	DropBlackhole                   // the link is one
	DropTooBig                      // longer than the link's MTU
	DropTTL                         // time to live over
	DropHeader                      // corrupted header, at a router
	DropNoRoute                     // no way to its destination
	numDropReasons
)

var dropNames = [numDropReasons]string{"queue", "codel", "policer", "loss", "every", "list", "gilbert", "blackhole",
	"too-big", "ttl", "header", "no-route"}

// String returns the reason's name as it stands in drop logs.
func (r DropReason) String() string {
	if r < numDropReasons {
		return dropNames[r]
	}
	return "unknown"
}

// LinkStats counts what happened in one direction of a link.
type LinkStats struct {
	Offered, OfferedBytes     uint64 // packets that came to the link
	Sent, SentBytes           uint64 // put onto the wire
	Delivered                 uint64 // arrived, duplicates included
	Dropped                   [numDropReasons]uint64
	DroppedBytes              uint64
	Marked                    uint64 // with "congestion experienced"
	Corrupted                 uint64
	Reordered                 uint64
	Duplicated                uint64
	QueueBytes                int64         // waiting now
	QueuePackets              int           // waiting now
	MaxQueueBytes             int64         // the most that has waited since the warm-up
	MeanQueueBytes            float64       // since the warm-up
	MeanQueueDelay, MaxQueued time.Duration // of packets that were sent: from arrival to transmission
}

// Drops returns how many packets were lost in all.
func (s LinkStats) Drops() (n uint64) {
	for _, d := range s.Dropped {
		n += d
	}
	return n
}

// defaultQueue is the bound of a queue for which none was given.
func (d *Direction) defaultQueue() int64 {
	return max(impair.BDP(d.lineRate(), 2*d.Delay), minQueue)
}

// lineRate is the rate at which the queue drains.
func (d *Direction) lineRate() int64 {
	if d.Shaper != nil && (d.Rate == 0 || d.Shaper.Rate < d.Rate) {
		return d.Shaper.Rate
	}
	return d.Rate
}

// Ends returns the nodes at the link's first and second end.
func (l *Link) Ends() (a, b Node) { return l.a.public(), l.b.public() }

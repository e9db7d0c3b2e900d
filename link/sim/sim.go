// Package sim is a link through a simulated network: a rate with a bounded
// queue, delay, jitter, loss, reordering, duplication and corruption, for each
// direction on its own, repeatable from a seed. It works in real and in virtual
// time.
package sim

import (
	"fmt"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/link/internal/gate"
)

// BitsPerSec is a rate in bits a second, counting whole IP packets.
type BitsPerSec int64

// Units of BitsPerSec.
const (
	Kbit BitsPerSec = 1e3
	Mbit BitsPerSec = 1e6
	Gbit BitsPerSec = 1e9
)

// Config describes a simulated link. Its zero value is a perfect one.
type Config struct {
	// Name is the link's; the ends are called Name:a and Name:b. Default "sim".
	Name string

	// MTU is the largest IP packet in bytes, 68 to 65535; 0 means 1500.
	MTU int

	// AB is what happens to packets from end a to end b, BA to the others.
	AB, BA Direction

	// Seed chooses what chance will do. What befalls the n-th packet that an
	// end sends is a function of Seed, n and the probabilities alone: it does
	// not depend on when or how large the packet is, and changing one
	// probability does not change what the others do.
	Seed uint64

	// Tap, if not nil, is told of every packet. It must not block, keep
	// Event.Data, or call the link. The calls of one direction come one at a
	// time; those of the two directions may come together.
	Tap func(Event)
}

// Symmetric returns a Config with d in both directions.
func Symmetric(d Direction, seed uint64) Config {
	return Config{AB: d, BA: d, Seed: seed}
}

// Direction has the impairments of one direction, in the order in which a
// packet meets them. The zero value has none.
type Direction struct {
	// Rate is how fast packets are put onto the wire; 0 means at once.
	Rate BitsPerSec

	// QueueBytes and QueuePackets bound what waits for the wire, the packet
	// being transmitted not included; a packet that finds no room is dropped.
	// 0 means no bound of that kind; if both are 0 the queue takes what the
	// wire carries in a round trip (twice Delay), at least 64 KiB. Without a
	// Rate nothing waits.
	QueueBytes   int64
	QueuePackets int

	// Loss is the probability that a packet is lost on the wire.
	Loss float64

	// Corrupt is the probability that one bit of a packet, chosen at random
	// from all of them, is inverted.
	Corrupt float64

	// Delay is the time from the end of transmission to arrival. Jitter
	// changes it by as much as this, either way, evenly distributed, but
	// never below zero and never so that packets overtake each other.
	Delay, Jitter time.Duration

	// Reorder is the probability that a packet is held up by ReorderDelay,
	// so that later ones overtake it. 0 for ReorderDelay means half the Delay,
	// but at least 1 ms.
	Reorder      float64
	ReorderDelay time.Duration

	// Duplicate is the probability that a packet arrives twice. The copy has
	// a jitter of its own.
	Duplicate float64
}

// maxInFlight bounds the memory, in bytes, of the packets on their way in one
// direction where no Rate does.
const maxInFlight = 256 << 20

// Check returns an error that names the field that is wrong, if one is.
func (d *Direction) Check() error {
	for _, p := range []struct {
		name  string
		value float64
	}{{"Loss", d.Loss}, {"Reorder", d.Reorder}, {"Duplicate", d.Duplicate}, {"Corrupt", d.Corrupt}} {
		if math.IsNaN(p.value) || p.value < 0 || p.value > 1 {
			return fmt.Errorf("sim: %s %v is not a probability between 0 and 1", p.name, p.value)
		}
	}
	for _, p := range []struct {
		name  string
		value int64
	}{
		{"Rate", int64(d.Rate)}, {"Delay", int64(d.Delay)}, {"Jitter", int64(d.Jitter)},
		{"ReorderDelay", int64(d.ReorderDelay)}, {"QueueBytes", d.QueueBytes}, {"QueuePackets", int64(d.QueuePackets)},
	} {
		if p.value < 0 {
			return fmt.Errorf("sim: %s %d is negative", p.name, p.value)
		}
	}
	if max(d.Delay, d.Jitter, d.ReorderDelay) > maxDelay {
		return fmt.Errorf("sim: a delay of more than %v", maxDelay)
	}
	if d.Rate > maxRate {
		return fmt.Errorf("sim: Rate %d is more than %d bit/s", d.Rate, BitsPerSec(maxRate))
	}
	return nil
}

// Bounds that keep the arithmetic of instants from overflowing.
const (
	maxDelay = 24 * time.Hour
	maxRate  = 1e13
)

// Check returns an error that names the field that is wrong, if one is.
func (cfg *Config) Check() error {
	if cfg.MTU != 0 && (cfg.MTU < 68 || cfg.MTU > 65535) {
		return fmt.Errorf("sim: MTU %d is not between 68 and 65535", cfg.MTU)
	}
	if err := cfg.AB.Check(); err != nil {
		return fmt.Errorf("AB: %w", err)
	}
	if err := cfg.BA.Check(); err != nil {
		return fmt.Errorf("BA: %w", err)
	}
	return nil
}

// New returns the two ends of a simulated link that lives in clk's time.
func New(clk clock.Clock, cfg Config) (a, b *End, err error) {
	if err := cfg.Check(); err != nil {
		return nil, nil, err
	}
	if cfg.Name == "" {
		cfg.Name = "sim"
	}
	if cfg.MTU == 0 {
		cfg.MTU = 1500
	}
	a, b = newEnd(&cfg, "a"), newEnd(&cfg, "b")
	a.out = newPath(clk, &cfg, AtoB, cfg.AB, a, b)
	b.out = newPath(clk, &cfg, BtoA, cfg.BA, b, a)
	a.in, b.in = b.out, a.out
	return a, b, nil
}

// End is one end of a simulated link. It implements [link.Link].
//
// What an end has sent arrives even if that end is closed meanwhile. Packets
// that chance loses are not among the drops of Stats: see Counters.
type End struct {
	attr    link.Attributes
	gate    *gate.Gate
	recv    atomic.Pointer[func([]link.Packet)]
	out, in *path

	packetsIn, bytesIn, dropsIn    atomic.Uint64
	packetsOut, bytesOut, dropsOut atomic.Uint64
	closing                        sync.Once
}

var _ link.Link = (*End)(nil)

func newEnd(cfg *Config, suffix string) *End {
	return &End{
		attr: link.Attributes{Name: cfg.Name + ":" + suffix, Medium: link.IP, MTU: cfg.MTU},
		gate: gate.New(),
	}
}

// Attributes implements [link.Link].
func (e *End) Attributes() link.Attributes { return e.attr }

// Attach implements [link.Link]. Packets that arrive before are dropped.
func (e *End) Attach(recv func(batch []link.Packet)) error {
	if recv == nil {
		return fmt.Errorf("link %s: Attach of a nil function", e.attr.Name)
	}
	if e.gate.Closed() {
		return e.errClosed()
	}
	if !e.recv.CompareAndSwap(nil, &recv) {
		return fmt.Errorf("link %s is attached already", e.attr.Name)
	}
	return nil
}

// Send implements [link.Link].
func (e *End) Send(batch []link.Packet) error {
	if e.gate.Closed() {
		return e.errClosed()
	}
	e.out.send(batch)
	return nil
}

// Set changes the impairments of what this end sends from now on. Packets on
// their way are not affected.
func (e *End) Set(d Direction) error {
	if err := d.Check(); err != nil {
		return err
	}
	e.out.set(d)
	return nil
}

// Counters returns what has happened to what this end has sent.
func (e *End) Counters() Counters { return e.out.snapshot() }

// Stats implements [link.Link].
func (e *End) Stats() link.Stats {
	return link.Stats{
		PacketsIn:  e.packetsIn.Load(),
		BytesIn:    e.bytesIn.Load(),
		PacketsOut: e.packetsOut.Load(),
		BytesOut:   e.bytesOut.Load(),
		DropsIn:    e.dropsIn.Load(),
		DropsOut:   e.dropsOut.Load(),
	}
}

// Close implements [link.Link].
func (e *End) Close() error {
	e.gate.Close()
	e.closing.Do(e.in.abandon)
	return nil
}

func (e *End) errClosed() error { return fmt.Errorf("link %s: %w", e.attr.Name, net.ErrClosed) }

// deliver hands over what has arrived, which becomes the receiver's.
func (e *End) deliver(batch []link.Packet, bytes uint64) (ok bool) {
	recv := e.recv.Load()
	if recv == nil || !e.gate.Enter() {
		for i := range batch {
			batch[i].Release()
		}
		e.dropsIn.Add(uint64(len(batch)))
		return false
	}
	defer e.gate.Leave()
	e.packetsIn.Add(uint64(len(batch)))
	e.bytesIn.Add(bytes)
	(*recv)(batch)
	return true
}

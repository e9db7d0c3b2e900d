package sim

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/sluicenet/sluice/impl/engine/wire"
	"github.com/sluicenet/sluice/link/impair"
)

// CrossConfig describes cross traffic: UDP datagrams that take no notice of what
// becomes of them.
type CrossConfig struct {
	Name        string
	From, To    *Host
	Start, Stop time.Duration // Stop 0: never
	Rate        int64         // bits a second, of whole packets
	Size        int64         // bytes of a packet with its headers; 0: 1000
	Poisson     bool          // packets at random instants instead of even ones
	On, Off     time.Duration // as of a Source
	Exponential bool
}

// Cross is cross traffic. It implements Flow.
type Cross struct {
	net    *Network
	cfg    CrossConfig
	chance *rand.Rand
	serial impair.Serializer
	tick   timer
	offAt  Time
	port   uint16

	packets, received uint64
	base              baseline
}

// AddCross adds cross traffic.
func (n *Network) AddCross(cfg CrossConfig) (*Cross, error) {
	if cfg.Size == 0 {
		cfg.Size = 1000
	}
	fail := func(reason string) (*Cross, error) {
		return nil, fmt.Errorf("sim: flow %s: %s", cfg.Name, reason)
	}
	switch {
	case n.started:
		return fail("the network is running")
	case cfg.From == nil || cfg.To == nil || cfg.From == cfg.To || cfg.From.net != n || cfg.To.net != n:
		return fail("wants two different hosts of the network")
	case cfg.Rate <= 0 || cfg.Rate > maxRate:
		return fail("has no rate")
	case cfg.Size < 60 || cfg.Size > 65535:
		return fail("packets have 60 to 65535 bytes")
	case cfg.On < 0 || cfg.Off < 0 || cfg.Off > 0 && cfg.On == 0:
		return fail("what is off sometimes has a time to be on")
	case cfg.Start < 0 || cfg.Stop != 0 && cfg.Stop <= cfg.Start:
		return fail("must start at 0 or later, and stop later than it starts")
	}
	c := &Cross{net: n, cfg: cfg, chance: impair.Stream(n.seed, 1<<30|uint64(len(n.flows)), 1),
		port: uint16(firstPort + len(n.flows))}
	c.tick = newTimer(doFunc(c.send))
	n.flows = append(n.flows, c)
	return c, nil
}

// Name returns the flow's name.
func (c *Cross) Name() string { return c.cfg.Name }

func (c *Cross) check() error {
	if c.net.way(c.cfg.From.node, c.cfg.To.node) == nil {
		return fmt.Errorf("there is no way from %s to %s", c.cfg.From.name, c.cfg.To.name)
	}
	return nil
}

func (c *Cross) begin() {
	c.net.At(Time(c.cfg.Start), func(now Time) {
		c.offAt = Never
		if c.cfg.Off > 0 {
			c.offAt = now.Add(c.span(c.cfg.On))
		}
		c.send(now)
	})
}

func (c *Cross) span(d time.Duration) time.Duration {
	if c.cfg.Exponential {
		return time.Duration(c.chance.ExpFloat64() * float64(d))
	}
	return d
}

// send sends one packet.
func (c *Cross) send(now Time) {
	if c.cfg.Stop != 0 && now >= Time(c.cfg.Stop) {
		return
	}
	pkt := c.net.packets.get()
	src, dst := c.cfg.From.addr, c.cfg.To.addr
	ip := wire.IPv4MinHeaderLen
	if src.Is6() {
		ip = wire.IPv6HeaderLen
	}
	payload := c.cfg.Size - int64(ip) - 8
	if src.Is6() {
		h := wire.IPv6{PayloadLen: uint16(payload + 8), HopLimit: 64, NextHeader: wire.ProtoUDP, Src: src, Dst: dst}
		h.Emit(pkt.header[:])
	} else {
		h := wire.IPv4{TotalLen: uint16(c.cfg.Size), DF: true, TTL: 64, Protocol: wire.ProtoUDP, Src: src, Dst: dst}
		h.Emit(pkt.header[:])
	}
	u := pkt.header[ip : ip+8]
	u[0], u[1] = byte(c.port>>8), byte(c.port)
	u[2], u[3] = 0, 9 // discard
	u[4], u[5] = byte((payload+8)>>8), byte(payload+8)
	sum := wire.PseudoHeader(src, dst, wire.ProtoUDP, int(payload+8))
	s := sum.Folded()
	u[6], u[7] = byte(s>>8), byte(s)
	pkt.headers = ip + 8
	pkt.offload.NeedsChecksum = true
	pkt.offload.ChecksumStart, pkt.offload.ChecksumOffset = uint16(ip), 6
	pkt.payload = append(pkt.inline[:0], c.net.page.View(0, int(payload)))
	pkt.size, pkt.from, pkt.to, pkt.cross = c.cfg.Size, c.cfg.From.node, c.cfg.To.node, c
	c.net.sent++
	c.packets++
	pkt.number = c.net.sent
	c.cfg.From.node.send(now, pkt)

	gap := c.serial.Time(c.cfg.Size, c.cfg.Rate)
	if c.cfg.Poisson {
		gap = time.Duration(c.chance.ExpFloat64() * float64(c.cfg.Size*8) / float64(c.cfg.Rate) * 1e9)
	}
	at := now.Add(gap)
	if at >= c.offAt {
		at = max(c.offAt, now).Add(c.span(c.cfg.Off))
		c.offAt = at.Add(c.span(c.cfg.On))
	}
	c.net.events.arm(&c.tick, at)
}

func (c *Cross) arrived(now Time, pkt *packet) { c.received++ }

// Report implements Flow: Bytes, Sent and Goodput count whole packets.
func (c *Cross) Report() FlowReport {
	end := Time(c.cfg.Stop)
	if end == 0 || end > c.net.now {
		end = c.net.now
	}
	r := FlowReport{
		Name: c.cfg.Name, Kind: "cross", From: c.cfg.From.name, To: c.cfg.To.name,
		Start: c.cfg.Start.Seconds(), End: time.Duration(end).Seconds(),
		Bytes: c.received * uint64(c.cfg.Size), Sent: c.packets * uint64(c.cfg.Size),
		BaseRTT: c.net.BaseRTT(c.cfg.From, c.cfg.To).Seconds(),
	}
	r.Goodput = c.base.rate(r.Bytes, Time(c.cfg.Start), end)
	return r
}

func (c *Cross) sample(now Time, s *FlowSample) bool {
	s.Bytes = c.received * uint64(c.cfg.Size)
	return true
}

func (c *Cross) warm(now Time) { c.base = baseline{now, c.received * uint64(c.cfg.Size)} }

package neigh

import (
	"container/list"
	"fmt"
	"net/netip"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/impl/engine/ip"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// Specification constants (RFC 4861, section 10). They serve ARP as well, which has
// none of its own.
const (
	maxMulticastSolicit = 3
	maxUnicastSolicit   = 3
	retransTimer        = time.Second
	reachableTime       = 30 * time.Second // times a random factor of 0.5 to 1.5
	delayFirstProbe     = 5 * time.Second
)

// Implementation constants.
const (
	maxKnown      = 1024 // neighbours that have answered
	maxResolving  = 256  // that are being asked
	maxHeard      = 256  // that have asked for us and not been asked
	maxPending    = 16   // packets waiting for one neighbour
	maxAllPending = 512  // and for all
	maxPendingMem = 4 << 20

	// lockTime is how long a confirmed address is not given up for what
	// somebody says unasked.
	lockTime = time.Second
)

// Config is what a Machine is made from.
type Config struct {
	Addresses    []netip.Prefix // our own, with the networks that are on the link
	Gateways     []netip.Addr   // at most one of each family; taken to be on the link
	HardwareAddr wire.HardwareAddr

	// NoDetection uses the addresses at once, and only announces them.
	NoDetection bool

	Rand interface{ Uint64() uint64 }
}

// A Machine resolves neighbours for one host on one Ethernet.
type Machine struct {
	cfg    Config
	routes *ip.Routes
	own    []own
	unsure int // own addresses that cannot be used (yet)

	entries      map[netip.Addr]*entry
	class        [numClasses]list.List // of *entry, the one that makes room next in front
	pending      int
	pendingBytes int
	next         clock.Time // nothing is due before

	lastDst netip.Addr // where the last packet went, and through whom
	lastVia *entry

	stats Stats
}

// Stats are counts of a Machine.
type Stats struct {
	Neighbours   int // in the cache, of all states
	Pending      int // packets that wait for a neighbour
	PendingBytes int
	Conflicts    uint64 // frames of others that use an address of ours
	Drops        [api.NumDropReasons]uint64
}

// New returns a machine whose duplicate address detection begins at now.
func New(now clock.Time, cfg Config) (*Machine, error) {
	if !cfg.HardwareAddr.IsStation() {
		return nil, fmt.Errorf("%w: %x is not the Ethernet address of a station", api.ErrInvalidConfig, cfg.HardwareAddr)
	}
	routes, err := ip.NewRoutes(cfg.Addresses, cfg.Gateways)
	if err != nil {
		return nil, err
	}
	m := &Machine{cfg: cfg, routes: routes, entries: make(map[netip.Addr]*entry), next: clock.Never}
	for _, p := range cfg.Addresses {
		m.addOwn(now, p.Addr().Unmap().WithZone(""))
	}
	return m, nil
}

// Stats returns what has been counted.
func (m *Machine) Stats() Stats {
	s := m.stats
	s.Neighbours, s.Pending, s.PendingBytes = len(m.entries), m.pending, m.pendingBytes
	return s
}

// Deadline returns when Timeout wants to be called, at the earliest.
func (m *Machine) Deadline() clock.Time { return m.next }

// due has Timeout called at t.
func (m *Machine) due(t clock.Time) {
	if t < m.next {
		m.next = t
	}
}

// Timeout does what is due.
func (m *Machine) Timeout(now clock.Time, f *Frames) {
	if now < m.next {
		return
	}
	m.next = clock.Never
	for i := range m.own {
		if a := &m.own[i]; a.due <= now {
			m.detect(now, a, f)
		}
		m.due(m.own[i].due)
	}
	for c := range m.class {
		for el := m.class[c].Front(); el != nil; {
			e := el.Value.(*entry)
			el = el.Next() // e may go
			if e.due <= now {
				m.expire(now, e, f)
			}
		}
	}
	for c := range m.class {
		for el := m.class[c].Front(); el != nil; el = el.Next() {
			m.due(el.Value.(*entry).due)
		}
	}
}

// Frames is what a call of a Machine wants done. Its memory is used again after
// Reset: until then the packets' headers are valid.
type Frames struct {
	Link      []link.Packet // for the link
	Up        []link.Packet // for the host: its own ICMP errors
	Conflicts []Conflict    // to be told to an operator

	headers []byte
	owned   []api.Buffer
}

// A Conflict says that somebody else uses an address of ours.
type Conflict struct {
	Addr netip.Addr
	By   wire.HardwareAddr
	Lost bool // the address is not used until the other has gone
}

// Reset releases what waited, and empties f. Packets of Up are the receiver's.
func (f *Frames) Reset() {
	for i := range f.owned {
		f.owned[i].Release()
	}
	clear(f.owned)
	clear(f.Link)
	clear(f.Up)
	f.Link, f.Up, f.owned, f.headers = f.Link[:0], f.Up[:0], f.owned[:0], f.headers[:0]
	f.Conflicts = f.Conflicts[:0]
}

// header returns n bytes that stay where they are until Reset.
func (f *Frames) header(n int) []byte {
	if len(f.headers)+n > cap(f.headers) {
		f.headers = make([]byte, 0, max(2*cap(f.headers), 4096, n))
	}
	i := len(f.headers)
	f.headers = f.headers[:i+n]
	return f.headers[i : i+n : i+n]
}

func (m *Machine) drop(r api.DropReason) { m.stats.Drops[r]++ }

// Output takes an IP packet that the host sends. It appends to f the frame, whose
// payload is that of p, or keeps a copy until the neighbour has been found.
func (m *Machine) Output(now clock.Time, p *link.Packet, f *Frames) {
	head := p.Header
	if len(head) == 0 && len(p.Payload) > 0 {
		head = p.Payload[0].Bytes()
	}
	src, dst, ok := addresses(head)
	if !ok {
		m.drop(api.DropIPHeader)
		return
	}
	if m.unsure > 0 && !m.usable(src) {
		m.drop(api.DropUnresolved)
		return
	}
	e := m.lastVia
	if dst != m.lastDst || e == nil {
		via, ok := m.routes.NextHop(dst)
		if !ok {
			m.drop(api.DropNoRoute)
			return
		}
		if e = m.entries[via]; e == nil {
			e = m.add(via, resolving)
		}
		m.lastDst, m.lastVia = dst, e
	}
	e.local = src
	switch e.state {
	case stateIncomplete:
		m.hold(e, p)
		if e.sent == 0 {
			m.solicit(now, e, f)
		}
		return
	case stateReachable:
		if now >= e.confirmed.Add(e.life) {
			e.state = stateStale
			m.delay(now, e)
		}
	case stateStale:
		m.delay(now, e)
	}
	m.class[e.class].MoveToBack(e.element)
	m.frame(e.hw, p, f)
}

// delay begins to doubt a stale neighbour that is used again (RFC 4861, section
// 7.3.3).
func (m *Machine) delay(now clock.Time, e *entry) {
	e.state, e.due = stateDelay, now.Add(delayFirstProbe)
	m.due(e.due)
}

func addresses(b []byte) (src, dst netip.Addr, ok bool) {
	switch {
	case len(b) >= wire.IPv4MinHeaderLen && b[0]>>4 == 4:
		return netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20])), true
	case len(b) >= wire.IPv6HeaderLen && b[0]>>4 == 6:
		return netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40])), true
	}
	return src, dst, false
}

// frame appends p to f as a frame for dst.
func (m *Machine) frame(dst wire.HardwareAddr, p *link.Packet, f *Frames) {
	if len(p.Header) == 0 {
		c := copyFrame(p)
		m.frameCopy(dst, c, f)
		return
	}
	b := f.header(wire.EthernetHeaderLen + len(p.Header))
	h := wire.Ethernet{Dst: dst, Src: m.cfg.HardwareAddr, Type: wire.EtherTypeIPv4}
	if p.Header[0]>>4 == 6 {
		h.Type = wire.EtherTypeIPv6
	}
	copy(b[h.Emit(b):], p.Header)
	f.Link = append(f.Link, link.Packet{Header: b, Payload: p.Payload, Offload: p.Offload})
}

// copyFrame returns a copy of an IP packet with room for the Ethernet header.
func copyFrame(p *link.Packet) link.Packet {
	buf := api.Alloc(wire.EthernetHeaderLen + p.Len())
	p.AppendTo(buf.Bytes()[:wire.EthernetHeaderLen])
	return link.Packet{Payload: []api.Buffer{*buf}, Offload: p.Offload}
}

// frameCopy appends what copyFrame has returned.
func (m *Machine) frameCopy(dst wire.HardwareAddr, p link.Packet, f *Frames) {
	b := p.Payload[0].Bytes()
	h := wire.Ethernet{Dst: dst, Src: m.cfg.HardwareAddr, Type: wire.EtherTypeIPv4}
	if b[wire.EthernetHeaderLen]>>4 == 6 {
		h.Type = wire.EtherTypeIPv6
	}
	h.Emit(b)
	f.owned = append(f.owned, p.Payload[0])
	f.Link = append(f.Link, p)
}

// Forget drops what waits and all that is known, and does nothing more.
func (m *Machine) Forget() {
	for _, e := range m.entries {
		m.remove(e)
	}
	for i := range m.own {
		m.own[i].due = clock.Never
	}
	m.next = clock.Never
}

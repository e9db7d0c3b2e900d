// Package host is one whole Internet host as a pure machine: addresses, routes,
// reassembly, ICMP, listeners, the table of connections, the SYN queue, TIME-WAIT
// and ports. Like package tcp it has no goroutine, lock, clock or I/O.
//
// The engine runs many Hosts with the same addresses side by side, each with a
// part of the connections ("shards"); the simulator runs one for each machine.
//
// A Host is driven like a connection: packets come in ([Host.Packet]), a timer is
// due ([Host.Timeout]), the user has called a connection ([Host.Touch]). After any
// of these, take what has happened with [Host.Ready], what there is to send with
// [Host.Poll], whole datagrams with [Host.TakeRedirects], until there is no more
// of any; then ask for the [Host.Deadline].
package host

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"net/netip"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/impl/engine/fault"
	"github.com/sluicenet/sluice/impl/engine/ip"
	"github.com/sluicenet/sluice/impl/engine/tcp"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// Implementation constants.
const (
	defaultMTU      = 1500
	defaultTTL      = 64
	defaultTimeWait = 65536

	// A connection that has more to send than this goes to the end of the queue.
	quantumBytes    = 64 << 10
	quantumSegments = 16

	// Answers to strangers that wait to be sent.
	maxReplies     = 1024
	maxReplyMemory = 1 << 20

	// Resets in answer to segments for no connection (RFC 9293, section 3.10.7.1).
	resetsPerSecond     = 20000
	resetsBurst         = 4000
	resetsPerDestSecond = 5000
	resetsPerDestBurst  = 2000
)

// Config is what a Host is made from.
type Config struct {
	Params      tcp.Params
	Addresses   []netip.Prefix // the host's own; their networks are on the link
	Gateways    []netip.Addr   // default routes, at most one a family; on an IP medium any is as good
	MTU         int
	MaxGSO      int                                                       // of the link; 0: none
	TxChecksum  bool                                                      // the link completes transport checksums
	Flow        api.FlowConfig                                            // defaults of flows
	Controllers map[string]cc.Factory                                     // by name; Flow.Congestion names the default
	Secret      [32]byte                                                  // keys ISNs, ports, timestamps and hashes
	Seed        uint64                                                    // of what need not be secret
	ISN         func(local, remote netip.AddrPort, now clock.Time) uint32 // tests: instead of RFC 6528
	Budget      *Budget
	MaxTimeWait int // records kept; 0: default

	// FirstPort and LastPort bound the ephemeral ports (RFC 6056, section 3.2);
	// 0: 32768 to 60999.
	FirstPort, LastPort uint16

	// Servers is what is known about those that may support Fast Open; nil: each
	// Host finds out for itself.
	Servers FastOpenMemory

	// MinPathMTU is the least IPv4 path MTU that an ICMP error can cause, 68 or
	// more; 0: 552. What needs less is fragmented on the way.
	MinPathMTU int
}

// Host is one host. It is not safe for concurrent use.
type Host struct {
	cfg    Config
	params *tcp.Params    // complete; never changed, as connections refer to it
	flow   api.FlowConfig // defaults, complete
	budget *Budget
	routes *ip.Routes
	paths  ip.PathMTUs
	frags  *ip.Reassembler
	rand   *rand.Rand

	icmpLimit  *ip.Limiter
	resetLimit *ip.Limiter
	ports      ports
	loop       loopMark

	conns        lookup[entry]
	first, last  *entry // of conns, by age
	halfOpens    lookup[halfOpen]
	halfOpenAges ages
	spare        *halfOpen // a few, to be used again
	spares       int
	listeners    map[uint16]*listening

	dialled       api.FlowConfig // options last dialled with
	dialledShared sharing
	forwardings   []*forwarding
	requests      lookup[Request]
	asked         fifo[*Request] // new, or ended
	foreign       int            // connections whose local address is not ours

	timeWait      lookup[timeWait]
	timeWaitFirst *timeWait // oldest
	timeWaitLast  *timeWait

	fastResets fastResets

	timers timerHeap
	armed  uint32 // timers ever put into the heap, to order those due at one instant

	output     fifo[*entry] // may have something to send
	changed    fifo[*entry] // may have events
	ready      fifo[*entry] // something has changed
	replies    fifo[reply]
	replyBytes int
	redirects  []link.Packet

	counters tcp.Counters
	stats    Stats
	out      tcp.Out // for Poll, used again
}

// New returns a Host. The error tells what is wrong with the configuration, and
// matches api.ErrInvalidConfig.
func New(cfg *Config) (*Host, error) {
	h := &Host{
		cfg:       *cfg,
		budget:    cfg.Budget,
		listeners: make(map[uint16]*listening),
	}
	var err error
	if h.routes, err = ip.NewRoutes(cfg.Addresses, cfg.Gateways); err != nil {
		return nil, err
	}
	c := &h.cfg
	if c.MTU == 0 {
		c.MTU = defaultMTU
	}
	c.MaxGSO = min(c.MaxGSO, 65535)
	if c.MaxTimeWait == 0 {
		c.MaxTimeWait = defaultTimeWait
	}
	if c.MinPathMTU == 0 {
		c.MinPathMTU = ip.MinMTU4
	}
	least := 68 // RFC 791
	for _, p := range cfg.Addresses {
		if a := p.Addr().Unmap(); a.Is6() {
			least = ip.MinMTU6
		}
	}
	switch {
	case c.MTU < least || c.MTU > 65535:
		return nil, fmt.Errorf("%w: MTU %d is not within %d and 65535", api.ErrInvalidConfig, c.MTU, least)
	case c.MaxGSO < 0 || c.MaxTimeWait < 0:
		return nil, fmt.Errorf("%w: MaxGSO and MaxTimeWait cannot be negative", api.ErrInvalidConfig)
	case c.MinPathMTU < 68:
		return nil, fmt.Errorf("%w: MinPathMTU %d is below 68", api.ErrInvalidConfig, c.MinPathMTU)
	case len(c.Controllers) == 0:
		return nil, fmt.Errorf("%w: no congestion controller", api.ErrInvalidConfig)
	}
	if h.budget == nil {
		h.budget = &Budget{}
	}
	if c.Servers == nil {
		c.Servers = new(FastOpenServers)
	}
	if h.flow, err = defaultFlow(c); err != nil {
		return nil, err
	}
	// What is random need not be secret, but must differ between the shards of
	// a stack; what must be secret is keyed by Secret alone.
	h.rand = rand.New(rand.NewChaCha8(derive(&c.Secret, purposeRandom, c.Seed)))
	if h.ports, err = newPorts(c); err != nil {
		return nil, err
	}
	p := c.Params.WithDefaults()
	h.params = &p
	h.loop = newLoopMark(&c.Secret)
	key := derive(&c.Secret, purposeLookup, c.Seed)
	h.conns = lookup[entry]{hashKey: key.long(0), place: func(e *entry) (*tuple, **entry) { return e.conn.Pair(), &e.chain }}
	h.halfOpens = lookup[halfOpen]{hashKey: key.long(0), place: func(q *halfOpen) (*tuple, **halfOpen) { return &q.key, &q.chain }}
	h.requests = lookup[Request]{hashKey: key.long(0), place: func(r *Request) (*tuple, **Request) { return &r.key, &r.chain }}
	h.timeWait = lookup[timeWait]{hashKey: key.long(0), place: func(w *timeWait) (*tuple, **timeWait) { return &w.key, &w.chain }}
	h.icmpLimit = ip.NewLimiter(h.rand)
	h.resetLimit = ip.NewLimiterOf(h.rand, resetsPerSecond, resetsBurst, resetsPerDestSecond, resetsPerDestBurst)
	h.frags = ip.NewReassembler(fragmentAccount{h.budget}, &h.counters.Drops)
	return h, nil
}

// Ready returns connections in which something has changed, until there are
// none. A newly established passive one has a nil User and a Listener. One that
// has ended is returned a last time, after the Host has forgotten it.
func (h *Host) Ready() (c *tcp.Conn, events tcp.Events, ok bool) {
	// What has been called has events before it is asked for its packets.
	for h.changed.len() > 0 {
		e := h.changed.pop()
		e.inChanged = false
		h.collect(e)
	}
	if h.ready.len() > 0 {
		e := h.ready.pop()
		e.inReady = false
		events, e.events = e.events, 0
		return e.conn, events, true
	}
	return nil, 0, false
}

// Resting reports whether Ready, Poll and TakeRedirects have nothing to give.
func (h *Host) Resting() bool {
	return h.changed.len() == 0 && h.asked.len() == 0 && h.ready.len() == 0 &&
		h.output.len() == 0 && h.replies.len() == 0 && len(h.redirects) == 0
}

// ListenerOf returns the listener that accepted c, or nil.
func (h *Host) ListenerOf(c *tcp.Conn) *Listener {
	if e := entryOf(c); e != nil && e.listener != nil {
		return e.listener.Listener
	}
	return nil
}

// Touch says that the user has called methods of c: it may have something to
// send, a new deadline, or have ended.
func (h *Host) Touch(now clock.Time, c *tcp.Conn) {
	// Also where the Host has forgotten it: somebody may wait for what was changed.
	if e := entryOf(c); e != nil {
		h.touch(e)
	}
}

// touch puts e into the queues of those that may have events and something to
// send.
func (h *Host) touch(e *entry) {
	if !e.inChanged {
		e.inChanged = true
		h.changed.push(e)
	}
	if !e.inOutput && !e.removed {
		e.inOutput = true
		h.output.push(e)
	}
}

func (h *Host) tell(e *entry, ev tcp.Events) {
	e.events |= ev
	if !e.inReady {
		e.inReady = true
		h.ready.push(e)
	}
}

// Route returns the source address towards dst, or api.ErrUnreachable or
// api.ErrInvalidAddress (multicast, broadcast, unspecified: MUST-46).
func (h *Host) Route(dst, src netip.Addr) (netip.Addr, error) { return h.routes.Source(dst, src) }

// Conns iterates over the connections, from the oldest.
func (h *Host) Conns() iter.Seq[*tcp.Conn] {
	return func(yield func(*tcp.Conn) bool) {
		for e := h.first; e != nil; {
			next := e.newer
			if !yield(e.conn) {
				return
			}
			e = next
		}
	}
}

// Shutdown drops everything that is left: half-open connections, TIME-WAIT
// records, fragments. Connections must have been aborted before.
func (h *Host) Shutdown(now clock.Time) {
	for h.first != nil {
		e := h.first
		h.collect(e)
		h.remove(e)
	}
	for h.halfOpenAges.first != nil {
		h.dequeue(h.halfOpenAges.first)
	}
	h.spare, h.spares = nil, 0
	for h.timeWaitFirst != nil {
		h.forget(h.timeWaitFirst)
	}
	clear(h.listeners)
	h.forwardings = nil
	for _, r := range h.requests.all() {
		h.endRequest(r)
	}
	h.frags.Clear()
	for h.replies.len() > 0 {
		r := h.replies.pop()
		r.packet.Release()
	}
	h.replyBytes = 0
	for i := range h.redirects {
		h.redirects[i].Release()
	}
	h.redirects = nil
	h.output = fifo[*entry]{}
	h.timers = nil
}

// like returns what the stack emulates.
func (h *Host) like() *tcp.Emulation {
	if h.cfg.Params.Like == nil {
		return &noEmulation
	}
	return h.cfg.Params.Like
}

var noEmulation tcp.Emulation

// SetParams replaces the parameters of connections made from now on.
func (h *Host) SetParams(p tcp.Params) {
	p = p.WithDefaults()
	h.params = &p
	h.dialled, h.dialledShared = api.FlowConfig{}, sharing{}
	for port, old := range h.listeners {
		h.listeners[port] = h.newListening(old.Listener, old)
	}
	for _, f := range h.forwardings {
		f.listening = h.newListening(&f.Listener, f.listening)
	}
}

// Stats are counters since the start, and the sizes of tables.
type Stats struct {
	tcp.Counters
	PacketsIn, PacketsOut, BytesIn, BytesOut uint64
	Opened, Accepted, Refused, Failed        uint64
	CookiesSent, CookiesAccepted             uint64
	FastOpened, FastAccepted                 uint64 // connections of which data went with the SYN, and were taken: ours, and peers'
	HalfOpen, TimeWait, Conns                int64  // Conns without the half-open
}

// Stats returns the counters.
func (h *Host) Stats() Stats {
	s := h.stats
	s.Counters = h.counters
	s.HalfOpen = int64(h.halfOpens.len())
	s.TimeWait = int64(h.timeWait.len())
	s.Conns = int64(h.conns.len())
	return s
}

// TakeRedirects returns packets that came in as fragments and are whole now. They
// belong to the shard that ShardHash names, which may be another or this one, and
// are to be fed to its Packet.
func (h *Host) TakeRedirects() []link.Packet {
	r := h.redirects
	h.redirects = nil
	return r
}

func (h *Host) drop(r api.DropReason) {
	if fault.On("drops-uncounted") {
		return
	}
	h.counters.Drops[r]++
}

// Packet takes in one packet; its payload passes to the Host.
func (h *Host) Packet(now clock.Time, p *link.Packet) {
	total := p.Len()
	h.stats.PacketsIn++
	h.stats.BytesIn += uint64(total)
	b := contiguous(p)
	pkt, flaw, ok := ip.Parse(b, total)
	loop := h.loop.is(p)
	switch {
	case !ok:
		h.drop(flaw.Reason)
		h.reportFault(now, &pkt, &flaw, b)
	case !loop && (!h.routes.AcceptableSource(pkt.Src) || pkt.Dst.IsLoopback()) && !fault.On("martian-source-accepted"):
		h.drop(api.DropMartian)
	case !h.routes.IsOwn(pkt.Dst) && !h.forwards(&pkt) && !(fault.On("multicast-destination-accepted") && (pkt.Dst.IsMulticast() || h.routes.IsBroadcast(pkt.Dst))) &&
		!(fault.On("foreign-destination-accepted") && !pkt.Dst.IsMulticast() && !h.routes.IsBroadcast(pkt.Dst)):
		// Broadcasts and multicasts too: no TCP, no answer (RFC 9293, section
		// 3.9.2.3, MUST-57; RFC 1122, section 3.2.2.6).
		h.drop(api.DropNotForUs)
	case pkt.Fragment && fault.On("fragments-dropped"):
	case pkt.Fragment:
		h.fragment(now, &pkt, p)
	default:
		h.transport(now, &pkt, p, b)
	}
	p.Release()
}

// transport gives a whole packet for us to its protocol. What of the payload is
// still in p afterwards is released by the caller.
func (h *Host) transport(now clock.Time, pkt *ip.Packet, p *link.Packet, b []byte) {
	switch pkt.Proto {
	case wire.ProtoTCP:
		h.segment(now, pkt, p, b)
	case wire.ProtoICMP, wire.ProtoICMPv6:
		if (pkt.Proto == wire.ProtoICMPv6) == pkt.Is6() {
			h.icmp(now, pkt, p)
			return
		}
		fallthrough
	default:
		h.drop(api.DropProtocol)
		if fault.On("unknown-protocol-unanswered") {
			return
		}
		h.unknownProtocol(now, pkt, b)
	}
}

func (h *Host) fragment(now clock.Time, pkt *ip.Packet, p *link.Packet) {
	b := p.AppendTo(nil)[:pkt.Len]
	whole, flaw := h.frags.Add(now, pkt, b)
	if flaw.Report {
		h.reportFault(now, pkt, &flaw, b)
	}
	if whole != nil {
		h.redirects = append(h.redirects, link.Packet{Payload: []api.Buffer{*api.NewBuffer(whole)}})
	}
}

// contiguous returns the run of bytes that the headers of p are in.
func contiguous(p *link.Packet) []byte {
	if len(p.Header) > 0 || len(p.Payload) == 0 {
		return p.Header
	}
	return p.Payload[0].Bytes()
}

// Package host is one whole Internet host as a pure machine: addresses, routes,
// reassembly, ICMP, listeners, the table of connections, the SYN queue, TIME-WAIT
// and ports. Like package tcp it has no goroutine, lock, clock or I/O.
//
// The engine runs many Hosts with the same addresses side by side, each with a
// part of the connections ("shards"); the simulator runs one for each machine.
package host

import (
	"iter"
	"net/netip"
	"sync/atomic"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/impl/engine/tcp"
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
}

// Budget has the limits of a whole stack, shared by its Hosts.
type Budget struct {
	MemoryLimit, FlowLimit, HalfOpenLimit int64
	memory, flows, halfOpen               atomic.Int64
}

// Charge implements tcp.Budget.
func (b *Budget) Charge(n int64) bool { panic("BUG: not written") }

// Release implements tcp.Budget.
func (b *Budget) Release(n int64) { panic("BUG: not written") }

// Memory, Flows and HalfOpen return what is taken.
func (b *Budget) Memory() int64   { return b.memory.Load() }
func (b *Budget) Flows() int64    { return b.flows.Load() }
func (b *Budget) HalfOpen() int64 { return b.halfOpen.Load() }

// A Listener accepts connections to one port. One value is registered with
// every Host of a stack; its counters bound them together.
type Listener struct {
	Port     uint16
	Address  netip.Addr // zero: any
	Flow     api.FlowConfig
	Backlog  int64 // handlers not returned
	HalfOpen int64 // connections in SYN-RECEIVED
	User     any   // the engine's listener

	unfinished, halfOpen atomic.Int64
}

// Finished says that a handler has returned. The Host counted it when the
// connection was established.
func (l *Listener) Finished() { l.unfinished.Add(-1) }

// A Batch collects packets to send. Its memory is used again after Reset.
type Batch struct {
	Link []link.Packet // for the link
	Loop []link.Packet // for an address of the host's own: to be fed to Packet of the shard that ShardHash names
}

// Reset releases the packets' payload and empties the batch.
func (b *Batch) Reset() { panic("BUG: not written") }

// Host is one host. It is not safe for concurrent use.
type Host struct{}

// New returns a Host. The error tells what is wrong with the configuration.
func New(cfg *Config) (*Host, error) { panic("BUG: not written") }

// Packet takes in one packet; its payload passes to the Host.
func (h *Host) Packet(now clock.Time, p *link.Packet) { panic("BUG: not written") }

// Timeout does what is due.
func (h *Host) Timeout(now clock.Time) { panic("BUG: not written") }

// Deadline returns when Timeout is to be called next.
func (h *Host) Deadline() clock.Time { panic("BUG: not written") }

// Poll appends packets to send, about max of them, and reports whether there
// may be more.
func (h *Host) Poll(now clock.Time, b *Batch, max int) (more bool) { panic("BUG: not written") }

// Ready returns connections in which something has changed, until there are
// none. A newly established passive one has a nil User and a Listener.
func (h *Host) Ready() (c *tcp.Conn, events tcp.Events, ok bool) { panic("BUG: not written") }

// ListenerOf returns the listener that accepted c, or nil.
func (h *Host) ListenerOf(c *tcp.Conn) *Listener { panic("BUG: not written") }

// Touch says that the user has called methods of c: it may have something to
// send, a new deadline, or have ended.
func (h *Host) Touch(now clock.Time, c *tcp.Conn) { panic("BUG: not written") }

// Route returns the source address towards dst, or api.ErrUnreachable or
// api.ErrInvalidAddress (multicast, broadcast, unspecified: MUST-46).
func (h *Host) Route(dst, src netip.Addr) (netip.Addr, error) { panic("BUG: not written") }

// Dial opens a connection. local is complete: its port was chosen by the caller,
// with Ports. It fails with api.ErrPortInUse if the pair of addresses is taken
// and its TIME-WAIT cannot be reused safely.
func (h *Host) Dial(now clock.Time, local, remote netip.AddrPort, cfg *api.FlowConfig, user any) (*tcp.Conn, error) {
	panic("BUG: not written")
}

// Ports yields ephemeral ports towards remote in the order in which they are to
// be tried (RFC 6056, section 3.3.4, with a keyed hash): each port of the
// range at most once.
func (h *Host) Ports(now clock.Time, local netip.Addr, remote netip.AddrPort) iter.Seq[uint16] {
	panic("BUG: not written")
}

// Resolve fills the zero fields of cfg (nil: all) with the host's defaults and
// checks it; errors match api.ErrInvalidConfig and say which field.
func (h *Host) Resolve(cfg *api.FlowConfig) (api.FlowConfig, error) { panic("BUG: not written") }

// Listen registers l; Unlisten removes it, and resets its half-open connections.
// That no port has two listeners is the caller's care.
func (h *Host) Listen(l *Listener)                   { panic("BUG: not written") }
func (h *Host) Unlisten(now clock.Time, l *Listener) { panic("BUG: not written") }

// Conns iterates over the connections, half-open ones included.
func (h *Host) Conns() iter.Seq[*tcp.Conn] { panic("BUG: not written") }

// TimeWaits iterates over snapshots of the records in TIME-WAIT.
func (h *Host) TimeWaits(now clock.Time) iter.Seq[api.Info] { panic("BUG: not written") }

// Shutdown drops everything that is left: half-open connections, TIME-WAIT
// records, fragments. Connections must have been aborted before.
func (h *Host) Shutdown(now clock.Time) { panic("BUG: not written") }

// Stats are counters since the start, and the sizes of tables.
type Stats struct {
	tcp.Counters
	PacketsIn, PacketsOut, BytesIn, BytesOut uint64
	Opened, Accepted, Refused, Failed        uint64
	HalfOpen, TimeWait, Conns                int64
}

// Stats returns the counters.
func (h *Host) Stats() Stats { panic("BUG: not written") }

// TakeRedirects returns packets that came in as fragments and belong to another
// shard now that they are whole.
func (h *Host) TakeRedirects() []link.Packet { panic("BUG: not written") }

// ShardHash returns the hash by which packets are spread over Hosts: of the pair
// of addresses for TCP, also where an ICMP error quotes it (the quoted
// source being local); of addresses, protocol and identification for fragments;
// of the addresses otherwise. key is the same for all Hosts of a stack.
func ShardHash(key uint64, p *link.Packet) uint64 { panic("BUG: not written") }

// TupleHash is ShardHash of a segment from remote to local.
func TupleHash(key uint64, local, remote netip.AddrPort) uint64 { panic("BUG: not written") }

package engine

import (
	"log/slog"
	"net/netip"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/impl/engine/tcp"
)

// Config is what a Stack is made from. Link, Addresses and Controllers are
// compulsory; the zero value of any other field means its default.
type Config struct {
	// Backend is the name that Info shows; by default that of the first
	// controller.
	Backend string

	// Link is the network. The stack attaches to it and closes it when it
	// disconnects. On a link of Ethernet frames it is a station with the link's
	// HardwareAddr, and speaks ARP and neighbour discovery.
	Link link.Link

	// Clock is the time to live in; by default the machine's.
	Clock clock.Clock

	// Addresses are the stack's own, with their networks; Gateways lead
	// beyond those, at most one for each family.
	Addresses []netip.Prefix
	Gateways  []netip.Addr

	// NoDuplicateDetection uses the addresses at once on a link of Ethernet, where
	// otherwise the first seconds go by with asking whether another station
	// has them (RFC 5227; RFC 4862): up to 7 for IPv4, 2 for IPv6. Packets
	// to and from an address are dropped until then.
	NoDuplicateDetection bool

	// Controllers are those that Flow.Congestion may name, the first being
	// the default.
	Controllers []cc.Factory

	// Flow has the defaults of flows.
	Flow api.FlowConfig

	// Params has the parameters of TCP.
	Params tcp.Params

	// Limits bound what peers and users can make the stack hold.
	Limits Limits

	// Shards is how many parts the stack is divided into, each with its own
	// lock; by default 16 for each CPU, and 1 under a virtual clock.
	Shards int

	// Seed, if not zero, replaces the random secret and seeds everything
	// else, so that a simulation repeats exactly. Never set it in production:
	// sequence numbers become predictable.
	Seed uint64

	// ISN, if not nil, replaces RFC 6528, for tests at the edges of sequence
	// space.
	ISN func(local, remote netip.AddrPort, now clock.Time) uint32

	// Logger receives what an operator should know; nil discards it.
	Logger *slog.Logger

	// Observer is the first observer; SetObserver replaces it.
	Observer *api.Observer
}

// Limits bound a stack. Zero means the default in parentheses.
type Limits struct {
	Memory   int64 // bytes of buffers of all flows together (256 MiB)
	Flows    int64 // open flows (65536)
	HalfOpen int64 // connections in SYN-RECEIVED (4096)
	TimeWait int   // records in TIME-WAIT (65536)
}

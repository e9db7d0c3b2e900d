package drill

import (
	"context"
	"net/netip"

	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/conformance/drill/settings"
	"github.com/sluicenet/sluice/conformance/drill/sock"
)

// A Target makes hosts to run scripts on.
type Target interface {
	// Name is what users call it.
	Name() string

	// Virtual says that hosts live in virtual time. Otherwise they live in the
	// time of the machine, and scripts are run one at a time.
	Virtual() bool

	// New makes a host for one script. The runner closes it.
	New(env *Env) (*Host, error)
}

// Env is what a host is made from.
type Env struct {
	Clock    clock.Clock
	Settings *settings.Settings // as the script's commands have left them so far
	Seed     uint64

	// Link is the host's only link, over which Local and Remote face each other.
	// A host that does not use it gets packets by its own Inject, and hands out
	// what it sends by Emit.
	Link link.Link
	Emit func(raw []byte) // copies raw; may be called from any goroutine

	Local, Remote netip.Addr     // for scripts in the family of the script
	Addresses     []netip.Prefix // of the host: Local, and one of the other family
	Gateway       []netip.Addr   // the remote end of each family
	MTU           int
	V6, Mapped    bool // the script's --ip_version: ipv6, or ipv4-mapped-ipv6
}

// Host is a host under test.
type Host struct {
	// Process makes the script's system calls.
	Process sock.Process

	// Inject hands a packet to the host; nil: it comes over Env.Link.
	Inject func(raw []byte)

	// Configure takes over settings that a command has changed while the script
	// runs. The error, if not nil, says what cannot be changed now. Nil: nothing can.
	Configure func(s *settings.Settings) error

	// FastOpenCookie returns the cookie of RFC 7413 that the host gives a client, by the
	// key of its settings; nil: that is not known.
	FastOpenCookie func(local, remote netip.Addr) []byte

	// Query answers a query in a command, as "sockstat", by lines of text. ok is
	// false if it is not known.
	Query func(source string) (lines []string, ok bool)

	// Close frees everything. Blocked system calls have returned before, for their
	// contexts have ended.
	Close func(ctx context.Context)
}

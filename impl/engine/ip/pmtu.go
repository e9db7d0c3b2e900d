package ip

import (
	"net/netip"
	"time"

	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/fault"
)

// Limits on path MTUs.
const (
	// MinMTU4 is the least IPv4 path MTU that is believed; below it the rest is
	// left to fragmentation on the way. Every IPv4 path carries 68 bytes.
	MinMTU4 = 552
	// MinMTU6 is the least IPv6 path MTU (RFC 8200, section 5).
	MinMTU6 = 1280

	// PathMTULife is how long a path MTU is kept (RFC 8201, section 4).
	PathMTULife = 10 * time.Minute

	maxPaths = 1024
)

// A PathMTU is what is known about the way to one destination.
type PathMTU struct {
	MTU int
	// Fragment says that the path carries less than MTU, our floor: packets go
	// without DF, to be fragmented on the way.
	Fragment bool
	Expires  clock.Time
}

// PathMTUs remembers path MTUs, of a bounded number of destinations: the one
// learnt earliest makes room.
type PathMTUs struct {
	paths map[netip.Addr]PathMTU
	queue []pathAge // in the order learnt; may name paths that were learnt anew since
}

type pathAge struct {
	dst     netip.Addr
	expires clock.Time
}

// Get returns what is known about dst.
func (m *PathMTUs) Get(now clock.Time, dst netip.Addr) (PathMTU, bool) {
	p, ok := m.paths[dst]
	if !ok || p.Expires <= now {
		return PathMTU{}, false
	}
	return p, true
}

// Set remembers p, until now+PathMTULife.
func (m *PathMTUs) Set(now clock.Time, dst netip.Addr, p PathMTU) PathMTU {
	if m.paths == nil {
		m.paths = make(map[netip.Addr]PathMTU)
	}
	p.Expires = now.Add(PathMTULife)
	for len(m.queue) > 0 {
		head := m.queue[0]
		known, ok := m.paths[head.dst]
		stale := !ok || known.Expires != head.expires
		if !stale && known.Expires > now && len(m.paths) < maxPaths && len(m.queue) < 2*maxPaths {
			break
		}
		if !stale {
			delete(m.paths, head.dst)
		}
		m.queue = m.queue[1:]
	}
	m.paths[dst] = p
	m.queue = append(m.queue, pathAge{dst, p.Expires})
	return p
}

// Len returns the number of destinations.
func (m *PathMTUs) Len() int { return len(m.paths) }

// The plateaus of RFC 1191, section 7: what to try when a router does not say
// what it can carry.
var plateaus = [...]int{32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68}

// ReportedMTU returns the MTU that a "packet too big" with the given number means
// for a quoted packet of the given length, with the floor of the family.
// RFC 8201, section 4: less than the IPv6 minimum is not possible.
func ReportedMTU(is6 bool, reported, quoted, floor4 int) PathMTU {
	if fault.On("pmtu-without-floor") {
		return PathMTU{MTU: max(reported, 68)}
	}
	if is6 {
		return PathMTU{MTU: max(reported, MinMTU6)}
	}
	if reported == 0 {
		for _, p := range plateaus {
			if reported = p; p < quoted {
				break
			}
		}
	}
	return PathMTU{MTU: max(reported, floor4), Fragment: reported < floor4}
}

package host

import (
	"fmt"
	"iter"
	"net/netip"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/fault"
)

// The usual ephemeral ports: Linux's, which leave the registered ones alone.
const (
	defaultFirstPort = 32768
	defaultLastPort  = 60999

	portTableSize = 1024
)

// ports chooses ephemeral ports by double hashing (RFC 6056, section 3.3.4): a
// keyed hash of the destination gives where to begin, and a counter that this
// destination shares with a few others how far it has come, so that a port is not
// used again before all others were. RFC 6056 then takes ports in ascending
// order, which lets an observer guess the next; here they are taken in the order of
// a permutation that is keyed for each destination.
type ports struct {
	first uint16
	count uint32
	table [portTableSize]uint32
}

func newPorts(c *Config) (ports, error) {
	first, last := c.FirstPort, c.LastPort
	if first == 0 && last == 0 {
		first, last = defaultFirstPort, defaultLastPort
	}
	if first == 0 || last < first {
		return ports{}, fmt.Errorf("%w: ephemeral ports from %d to %d", api.ErrInvalidConfig, first, last)
	}
	p := ports{first: first, count: uint32(last-first) + 1}
	for i := 0; i < len(p.table); i += 8 {
		s := derive(&c.Secret, purposePortTable, c.Seed<<16+uint64(i))
		for j := range 8 {
			p.table[i+j] = s.word(j)
		}
	}
	return p, nil
}

// Ports yields ephemeral ports towards remote in the order in which they are to
// be tried (RFC 6056, section 3.3.4, with a keyed hash): each port of the
// range at most once. The next call begins one further, however many ports were
// looked at in this one.
func (h *Host) Ports(now clock.Time, local netip.Addr, remote netip.AddrPort) iter.Seq[uint16] {
	dst := tupleOf(netip.AddrPortFrom(local.Unmap(), 0), netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port()))
	s := derive(&h.cfg.Secret, purposePorts, dst)
	offset, keys := s.word(0), [4]uint32{s.word(1), s.word(2), s.word(3), s.word(4)}
	counter := &h.ports.table[s.word(5)%portTableSize]
	self := local.Unmap() == remote.Addr().Unmap()
	return func(yield func(uint16) bool) {
		begin := offset + *counter
		*counter++
		for n := range h.ports.count {
			i := (begin + n) % h.ports.count
			port := h.ports.first + uint16(permute(i, h.ports.count, &keys))
			if fault.On("ports-in-order") {
				h.ports.table[0]++
				port = h.ports.first + uint16(h.ports.table[0]%h.ports.count)
			}
			if fault.On("ports-few") {
				port = h.ports.first + port%1000
			}
			if self && port == remote.Port() {
				continue // not a connection to itself, unless that is asked for
			}
			if !yield(port) {
				return
			}
		}
	}
}

// permute maps the numbers below n <= 1<<16 onto one another: a Feistel network
// over 16 bits, walked until it hits a number below n.
func permute(i, n uint32, keys *[4]uint32) uint32 {
	for {
		l, r := i>>8, i&0xff
		for _, k := range keys {
			f := (r ^ k) * 0x9e3779b1
			f ^= f >> 15
			f = (f + k>>7) * 0x85ebca6b
			l, r = r, l^(f>>24)
		}
		if i = l<<8 | r; i < n {
			return i
		}
	}
}

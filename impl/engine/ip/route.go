package ip

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/impl/engine/fault"
)

// fewAddresses is up to how many are looked through faster than looked up.
const fewAddresses = 8

// Routes knows a host's own addresses and where it can send. It does not change.
type Routes struct {
	local      []netip.Prefix          // in the order given
	own        map[netip.Addr]struct{} // the same, for many
	broadcasts []netip.Addr
	gateway    [2]netip.Addr // the default route for IPv4, IPv6, if valid
}

// NewRoutes returns the routes of a host with the given addresses, whose networks
// are on its link, and default routes. On a medium without link-layer addresses
// it does not matter which gateway it is.
func NewRoutes(addresses []netip.Prefix, gateways []netip.Addr) (*Routes, error) {
	r := &Routes{own: make(map[netip.Addr]struct{})}
	if len(addresses) == 0 {
		return nil, fmt.Errorf("%w: a host needs an address", api.ErrInvalidConfig)
	}
	for _, p := range addresses {
		if !p.IsValid() {
			return nil, fmt.Errorf("%w: address %v is not valid", api.ErrInvalidConfig, p)
		}
		if p.Addr().Is4In6() {
			if p.Bits() < 96 {
				return nil, fmt.Errorf("%w: address %v mixes IPv4 and IPv6", api.ErrInvalidConfig, p)
			}
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		p = netip.PrefixFrom(p.Addr().WithZone(""), p.Bits())
		a := p.Addr()
		if a.IsUnspecified() || a.IsMulticast() || a.Is4() && (reserved4.Contains(a) || thisNetwork4.Contains(a)) {
			return nil, fmt.Errorf("%w: %v cannot be a host's address", api.ErrInvalidConfig, a)
		}
		if b, ok := directedBroadcast(p); ok {
			if a == b {
				return nil, fmt.Errorf("%w: %v is the broadcast address of %v", api.ErrInvalidConfig, a, p.Masked())
			}
			r.broadcasts = append(r.broadcasts, b)
		}
		if _, ok := r.own[a]; ok {
			return nil, fmt.Errorf("%w: address %v is given twice", api.ErrInvalidConfig, a)
		}
		r.own[a] = struct{}{}
		r.local = append(r.local, p)
	}
	for _, g := range gateways {
		if !g.IsValid() || g.IsMulticast() {
			return nil, fmt.Errorf("%w: gateway %v is not an address", api.ErrInvalidConfig, g)
		}
		f := family(g.Unmap())
		if r.gateway[f].IsValid() {
			return nil, fmt.Errorf("%w: gateway %v is the second of its family", api.ErrInvalidConfig, g)
		}
		r.gateway[f] = g.Unmap().WithZone("")
	}
	return r, nil
}

func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

// IsOwn reports whether a is an address of the host.
func (r *Routes) IsOwn(a netip.Addr) bool {
	if len(r.local) > fewAddresses {
		_, ok := r.own[a]
		return ok
	}
	for i := range r.local {
		if r.local[i].Addr() == a {
			return true
		}
	}
	return false
}

// IsBroadcast reports whether a is a broadcast address.
func (r *Routes) IsBroadcast(a netip.Addr) bool {
	return a.Is4() && (a == broadcast4 || slices.Contains(r.broadcasts, a))
}

// AcceptableSource reports whether a packet from the link may come from a. Our
// own addresses may not (the LAND attack); packets that we send to ourselves
// do not cross the link.
func (r *Routes) AcceptableSource(a netip.Addr) bool {
	return !Martian(a) && !r.IsOwn(a) && !r.IsBroadcast(a)
}

// Source returns the address from which dst is reached: src if that is one of
// ours, or if it is not valid or unspecified the best of ours, which is dst itself
// if that is ours, and otherwise the one with the longest prefix in common with
// dst (RFC 6724, section 5, rules 1, 2 and 8). It fails with api.ErrInvalidAddress
// for a dst that is no one host's (RFC 9293, section 3.9.2.3, MUST-46) or a src
// that is not ours, and with api.ErrUnreachable where nothing leads to dst.
func (r *Routes) Source(dst, src netip.Addr) (netip.Addr, error) {
	dst, src = dst.Unmap().WithZone(""), src.Unmap().WithZone("")
	if fault.On("dial-to-multicast") && dst.IsValid() && (dst.IsMulticast() || r.IsBroadcast(dst)) {
		return r.local[0].Addr(), nil
	}
	if fault.On("local-address-ignored") {
		src = netip.Addr{}
	}
	if !dst.IsValid() || dst.IsUnspecified() || dst.IsMulticast() || r.IsBroadcast(dst) ||
		dst.Is4() && (reserved4.Contains(dst) || thisNetwork4.Contains(dst)) {
		return netip.Addr{}, api.ErrInvalidAddress
	}
	given := src.IsValid() && !src.IsUnspecified()
	if given && (!r.IsOwn(src) || src.Is4() != dst.Is4()) {
		return netip.Addr{}, api.ErrInvalidAddress
	}
	if r.IsOwn(dst) {
		if given {
			return src, nil
		}
		return dst, nil
	}
	// Loopback addresses that are not ours are nobody's, and nothing leaves for
	// them (RFC 1122, section 3.2.1.3).
	if dst.IsLoopback() || !r.reachable(dst) {
		return netip.Addr{}, api.ErrUnreachable
	}
	if given {
		if src.IsLoopback() {
			return netip.Addr{}, api.ErrInvalidAddress
		}
		return src, nil
	}
	best, bestBits := netip.Addr{}, -1
	for _, p := range r.local {
		a := p.Addr()
		if a.Is4() != dst.Is4() || a.IsLoopback() {
			continue
		}
		n := commonBits(a, dst)
		if fault.On("source-address-last") {
			n = bestBits + 1
		}
		if fault.On("source-address-unspecified") {
			return netip.IPv4Unspecified(), nil
		}
		if p.Contains(dst) {
			n += 256
		}
		// Rule 2: a scope that fits. Link-local talks to link-local.
		if a.IsLinkLocalUnicast() == dst.IsLinkLocalUnicast() {
			n += 512
		}
		if n > bestBits {
			best, bestBits = a, n
		}
	}
	if !best.IsValid() {
		return netip.Addr{}, api.ErrUnreachable
	}
	return best, nil
}

// reachable reports whether dst is on the link or behind a gateway.
func (r *Routes) reachable(dst netip.Addr) bool {
	if fault.On("everything-on-link") {
		return true
	}
	_, ok := r.NextHop(dst)
	return ok
}

// NextHop returns the address on the link to which packets for dst go: dst itself,
// if it is in one of our networks, or a gateway.
func (r *Routes) NextHop(dst netip.Addr) (netip.Addr, bool) {
	for _, p := range r.local {
		if p.Contains(dst) {
			return dst, true
		}
	}
	g := r.gateway[family(dst)]
	if dst.IsLinkLocalUnicast() {
		return dst, g == dst
	}
	return g, g.IsValid()
}

// IsGateway reports whether a is one of the gateways.
func (r *Routes) IsGateway(a netip.Addr) bool { return r.gateway[family(a)] == a }

package neigh

import (
	"net/netip"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/impl/engine/ip"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// Input takes a received frame. If it returns true, p has become an IP packet for
// the host. Otherwise it has been released, and what it has led to is in f.
func (m *Machine) Input(now clock.Time, p *link.Packet, f *Frames) (up bool) {
	up = m.input(now, p, f)
	if !up {
		p.Release()
	}
	return up
}

func (m *Machine) input(now clock.Time, p *link.Packet, f *Frames) bool {
	b := p.Header
	if len(b) == 0 && len(p.Payload) > 0 {
		b = p.Payload[0].Bytes()
	}
	h, ok := wire.ParseEthernet(b)
	switch {
	case !ok:
		m.drop(api.DropTruncated)
		return false
	case h.Src == m.cfg.HardwareAddr || h.Src.IsGroup():
		m.drop(api.DropMartian) // our own come back, too
		return false
	case h.Dst != m.cfg.HardwareAddr && !h.Dst.IsGroup():
		m.drop(api.DropNotForUs)
		return false
	}
	b = b[wire.EthernetHeaderLen:]
	switch h.Type {
	case wire.EtherTypeARP:
		if a, ok := wire.ParseARP(b); ok {
			m.arp(now, &h, &a, f)
		} else {
			m.drop(api.DropNeighbour)
		}
		return false
	case wire.EtherTypeIPv4, wire.EtherTypeIPv6:
	default:
		m.drop(api.DropProtocol)
		return false
	}
	src, dst, ok := addresses(b)
	if !ok || dst.Is6() != (h.Type == wire.EtherTypeIPv6) {
		m.drop(api.DropIPHeader)
		return false
	}
	if dst.Is6() && b[6] == wire.ProtoICMPv6 && len(b) > wire.IPv6HeaderLen &&
		b[wire.IPv6HeaderLen] >= wire.NDPRouterSolicit && b[wire.IPv6HeaderLen] <= wire.NDPRedirect {
		whole := b
		if len(p.Header) > 0 || len(p.Payload) > 1 {
			whole = p.AppendTo(nil)[wire.EthernetHeaderLen:]
		}
		m.ndp(now, &h, src, dst, whole, p.Offload.Vouched || p.Offload.NeedsChecksum, f)
		return false
	}
	// RFC 1122, section 3.3.6: what every station gets is not for one address.
	if h.Dst.IsGroup() && m.routes.IsOwn(dst) || m.unsure > 0 && m.routes.IsOwn(dst) && !m.usable(dst) {
		m.drop(api.DropNotForUs)
		return false
	}
	if len(p.Header) > 0 {
		p.Header = p.Header[wire.EthernetHeaderLen:]
	} else {
		p.Payload[0].Trim(wire.EthernetHeaderLen, p.Payload[0].Len())
	}
	return true
}

// arp takes in an ARP message (RFC 826; RFC 5227).
func (m *Machine) arp(now clock.Time, h *wire.Ethernet, a *wire.ARP, f *Frames) {
	if a.Op != wire.ARPRequest && a.Op != wire.ARPReply || !a.SenderHW.IsStation() || a.SenderHW == m.cfg.HardwareAddr {
		m.drop(api.DropNeighbour)
		return
	}
	probe := a.Op == wire.ARPRequest && a.Sender.IsUnspecified()
	switch {
	case probe:
		// Two probe for one address: neither has it (RFC 5227, section 2.1.1).
		if o := m.ownOf(a.Target); o != nil && o.state == tentative {
			m.conflict(now, o, a.SenderHW, f)
			return
		}
	case ip.Martian(a.Sender) || m.routes.IsBroadcast(a.Sender):
		m.drop(api.DropMartian)
		return
	case m.routes.IsOwn(a.Sender):
		m.conflict(now, m.ownOf(a.Sender), a.SenderHW, f)
		return
	}
	if a.Op == wire.ARPReply {
		forUs := h.Dst == m.cfg.HardwareAddr && m.routes.IsOwn(a.Target)
		m.heardOf(now, a.Sender, a.SenderHW, forUs, true, f)
		return
	}
	if !m.usable(a.Target) {
		if !probe {
			m.heardOf(now, a.Sender, a.SenderHW, false, true, f)
		}
		return
	}
	if !probe {
		m.asked(now, a.Sender, a.SenderHW, f)
	}
	m.sendARP(a.SenderHW, wire.ARP{Op: wire.ARPReply, Sender: a.Target, TargetHW: a.SenderHW, Target: a.Sender}, f)
}

// heardOf is learn, and counts what nobody wanted to know.
func (m *Machine) heardOf(now clock.Time, a netip.Addr, hw wire.HardwareAddr, solicited, override bool, f *Frames) {
	if m.entries[a] == nil {
		m.drop(api.DropNeighbour)
		return
	}
	m.learn(now, a, hw, solicited, override, f)
}

// ndp takes in a message of neighbour discovery, b being the IPv6 packet.
func (m *Machine) ndp(now clock.Time, h *wire.Ethernet, src, dst netip.Addr, b []byte, vouched bool, f *Frames) {
	v6, ok := wire.ParseIPv6(b)
	end := wire.IPv6HeaderLen + int(v6.PayloadLen)
	// RFC 4861, sections 7.1.1 and 7.1.2: a hop limit of 255 shows that it comes
	// from this link.
	if !ok || end > len(b) || v6.HopLimit != 255 {
		m.drop(api.DropNeighbour)
		return
	}
	body := b[wire.IPv6HeaderLen:end]
	n, ok := wire.ParseNDP(body)
	if !ok || n.Target.IsMulticast() || !vouched && !ndpChecksum(src, dst, body) {
		m.drop(api.DropNeighbour)
		return
	}
	if n.Type == wire.NDPNeighbourAdvert {
		m.advert(now, &n, dst, f)
		return
	}
	m.solicited(now, h, &n, src, dst, f)
}

func ndpChecksum(src, dst netip.Addr, body []byte) bool {
	sum := wire.PseudoHeader(src, dst, wire.ProtoICMPv6, len(body))
	sum.Add(body)
	return sum.Folded() == 0xffff
}

// solicited answers a neighbour solicitation (RFC 4861, section 7.2.3).
func (m *Machine) solicited(now clock.Time, h *wire.Ethernet, n *wire.NDP, src, dst netip.Addr, f *Frames) {
	o := m.ownOf(n.Target)
	detecting := src.IsUnspecified()
	switch {
	case detecting && (n.HasHW || dst != solicitedNode(n.Target)):
		m.drop(api.DropNeighbour)
		return
	case o == nil:
		m.drop(api.DropNotForUs)
		return
	case o.state == tentative && detecting:
		m.conflict(now, o, h.Src, f) // RFC 4862, section 5.4.3
		return
	case o.state != usable:
		m.drop(api.DropNeighbour)
		return
	case !detecting && (ip.Martian(src) || m.routes.IsOwn(src)):
		m.drop(api.DropMartian)
		return
	}
	if detecting {
		m.sendAdvert(o.addr, allNodes, wire.HardwareAddr{}, wire.NDPOverride, f)
		return
	}
	to := h.Src
	if n.HasHW {
		to = n.HW
		m.asked(now, src, n.HW, f)
	}
	if !to.IsStation() {
		m.drop(api.DropNeighbour)
		return
	}
	m.sendAdvert(o.addr, src, to, wire.NDPSolicited|wire.NDPOverride, f)
}

// advert takes in a neighbour advertisement (RFC 4861, section 7.2.5).
func (m *Machine) advert(now clock.Time, n *wire.NDP, dst netip.Addr, f *Frames) {
	solicited := n.Rest&wire.NDPSolicited != 0
	if solicited && dst.IsMulticast() {
		m.drop(api.DropNeighbour)
		return
	}
	if o := m.ownOf(n.Target); o != nil {
		if n.HW != m.cfg.HardwareAddr {
			m.conflict(now, o, n.HW, f)
		}
		return
	}
	e := m.entries[n.Target]
	if e == nil || !n.HasHW && e.state == stateIncomplete {
		m.drop(api.DropNeighbour)
		return
	}
	hw := n.HW
	if !n.HasHW {
		hw = e.hw
	}
	m.learn(now, n.Target, hw, solicited && m.usable(dst), n.Rest&wire.NDPOverride != 0, f)
}

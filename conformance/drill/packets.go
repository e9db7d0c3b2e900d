package drill

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/sluicenet/sluice/conformance/drill/script"
)

// emit takes what the host sends.
func (r *run) emit(raw []byte) {
	if r.hung.Load() {
		return
	}
	s := decode(append([]byte(nil), raw...))
	s.out = true
	s.at = r.clk.Now()
	r.mu.Lock()
	if r.over {
		r.mu.Unlock()
		return
	}
	r.capture.add(r.clk.Wall(s.at), s.raw)
	c := r.owner(s)
	r.remember(c, s)
	if c != nil {
		if s.tcp && s.flags&fSYN != 0 {
			r.sawSYN(c, s)
		}
		if len(c.inbox) < maxInbox {
			c.inbox = append(c.inbox, s)
		}
	} else if s.icmp && len(r.icmp) < maxInbox {
		r.icmp = append(r.icmp, s)
	}
	r.mu.Unlock()
	r.w.Wake()
}

func (r *run) remember(c *conn, s *segment) {
	if len(r.log) >= 4*keptPackets {
		r.log = append(r.log[:0], r.log[len(r.log)-keptPackets:]...)
	}
	r.log = append(r.log, logged{s.at, c, s})
}

// owner finds the connection of a packet of the host's. The caller holds mu.
func (r *run) owner(s *segment) *conn {
	if !s.tcp {
		return nil
	}
	for i := len(r.conns) - 1; i >= 0; i-- {
		c := r.conns[i]
		if c.remote != s.dst {
			continue
		}
		if c.local == s.src {
			return c
		}
		if c.local.Port() == 0 && s.flags&(fSYN|fACK) == fSYN {
			c.local = s.src // of connect: the port was the host's choice
			return c
		}
	}
	return nil
}

// sawSYN learns the host's initial sequence number.
func (r *run) sawSYN(c *conn, s *segment) {
	c.iss, c.hasISS = s.seq, true
	if s.flags&fACK != 0 && c.passive && s.ack != c.irs+1 && c.lastSYN == s.ack-1 {
		c.irs = c.lastSYN // a new connection in the place of an old one
	}
}

// listening notes that the process listens.
func (r *run) listening(port uint16) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.port, r.isListen = port, true
}

// connecting notes that the process is about to connect. busy says that the
// socket has a connection already, so that no new one comes of it.
func (r *run) connecting(fd int, to netip.AddrPort, busy bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if busy {
		return
	}
	c := newConn()
	c.fd = fd
	c.remote = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	r.conns = append(r.conns, c)
	r.cur, r.isListen = c, false
}

// accepted notes which descriptor a connection has.
func (r *run) accepted(fd int, peer netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	peer = netip.AddrPortFrom(peer.Addr().Unmap(), peer.Port())
	for i := len(r.conns) - 1; i >= 0; i-- {
		if c := r.conns[i]; c.passive && c.remote == peer {
			c.fd = fd
			return
		}
	}
}

// connFor returns the connection of a script's packet: the one in hand, or a new
// one that the script's side opens to a listener, or the one whose ports are given.
func (r *run) connFor(p *script.Packet) *conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	in := p.Dir == script.Inbound
	if p.Ports != nil && p.Ports.Src != 0 && p.Ports.Dst != 0 {
		local, remote := p.Ports.Dst, p.Ports.Src
		if !in {
			local, remote = remote, local
		}
		for i := len(r.conns) - 1; i >= 0; i-- {
			if c := r.conns[i]; c.local.Port() == local && c.remote.Port() == remote {
				return c
			}
		}
		c := newConn()
		c.passive = true
		c.local, c.remote = netip.AddrPortFrom(r.env.Local, local), netip.AddrPortFrom(r.env.Remote, remote)
		if r.cur != nil && !(in && p.TCP.Flags.SYN) {
			// Another port of the connection in hand: its numbers hold.
			c.iss, c.irs, c.scriptISS, c.scriptIRS = r.cur.iss, r.cur.irs, r.cur.scriptISS, r.cur.scriptIRS
			c.hasISS, c.hasIRS = r.cur.hasISS, r.cur.hasIRS
		}
		r.conns = append(r.conns, c)
		if in && p.TCP.Flags.SYN {
			r.cur, r.isListen = c, false
		}
		return c
	}
	if in && p.TCP != nil && (r.cur == nil || r.isListen) {
		c := newConn()
		c.passive = true
		port := r.port
		if port == 0 {
			port = r.opt.bindPort
		}
		r.nextPort++
		c.local = netip.AddrPortFrom(r.env.Local, port)
		c.remote = netip.AddrPortFrom(r.env.Remote, r.nextPort)
		c.irs, c.hasIRS = p.TCP.Seq.Start, true
		c.scriptIRS = c.irs
		r.conns = append(r.conns, c)
		r.cur, r.isListen = c, false
		return c
	}
	return r.cur
}

// packet injects a packet or waits for one.
func (r *run) packet(p *script.Packet, at, until, gap time.Duration) {
	switch {
	case len(p.Encap) > 0:
		r.skip(p.Pos.Line, "encapsulated packets ("+map[script.EncapKind]string{script.EncapIPv4: "IPv4", script.EncapIPv6: "IPv6",
			script.EncapGRE: "GRE", script.EncapMPLS: "MPLS"}[p.Encap[0].Kind]+")")
	case p.UDP != nil:
		r.skip(p.Pos.Line, "UDP")
	case p.Other != nil:
		r.skip(p.Pos.Line, p.Other.Protocol)
	case p.TCP != nil && p.TCP.Fuzz != nil:
		r.skip(p.Pos.Line, "fuzzed packets")
	case p.TCP != nil && p.TCP.UDP != nil:
		r.skip(p.Pos.Line, "TCP over UDP")
	}
	if p.Dir == script.Inbound {
		r.sleepUntil(at)
		r.onTime("the inbound packet", at, gap)
		r.needHost()
		r.inject(p)
		return
	}
	r.needHost()
	if p.ICMP != nil {
		r.expectICMP(p, at, until, gap)
		return
	}
	r.expect(p, at, until, gap)
}

func (r *run) inject(p *script.Packet) {
	c := r.connFor(p)
	if c == nil {
		r.broken(p.Pos.Line, "there is no connection that this packet could belong to")
	}
	var raw []byte
	if p.ICMP != nil {
		typ, code, ok := icmpNumbers(p.ICMP, r.opt.v6)
		if !ok {
			r.broken(p.Pos.Line, fmt.Sprintf("there is no ICMP message %q %q", p.ICMP.Type, p.ICMP.Code))
		}
		r.mu.Lock()
		raw = c.inboundICMP(p, typ, code)
		r.mu.Unlock()
	} else {
		r.mu.Lock()
		if f := &p.TCP.Flags; f.SYN {
			c.lastSYN = p.TCP.Seq.Start
			if !c.hasIRS || f.ACK && !c.passive {
				c.irs, c.scriptIRS, c.hasIRS = p.TCP.Seq.Start, p.TCP.Seq.Start, true
			}
		}
		if c.local.Port() == 0 {
			r.mu.Unlock()
			r.fail("the host has sent no SYN yet, so there is nothing that this packet could answer")
		}
		mapped := *p
		tcp := *p.TCP
		tcp.Options = r.toLive(c, tcp.Options)
		mapped.TCP = &tcp
		raw = c.inbound(&mapped)
		r.mu.Unlock()
	}
	if len(raw) > 65535 {
		r.broken(p.Pos.Line, fmt.Sprintf("a packet of %d bytes cannot be", len(raw)))
	}
	s := decode(raw)
	s.at = r.clk.Now()
	r.mu.Lock()
	r.capture.add(r.clk.Wall(s.at), raw)
	r.remember(c, s)
	r.mu.Unlock()
	if r.host.Inject != nil {
		r.host.Inject(raw)
		return
	}
	r.wire.deliver(raw)
}

// next returns the first packet of a connection that no event has taken, and
// waits for one until limit. It stays where it is.
func (r *run) next(c *conn, i int, limit time.Duration) *segment {
	for {
		r.mu.Lock()
		if len(c.inbox) > i {
			s := c.inbox[i]
			r.mu.Unlock()
			return s
		}
		r.mu.Unlock()
		if !r.park(limit) {
			r.mu.Lock()
			defer r.mu.Unlock()
			if len(c.inbox) > i {
				return c.inbox[i]
			}
			return nil
		}
	}
}

// take removes the first n packets of a connection, and puts others in their place.
func (r *run) take(c *conn, n int, back ...*segment) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.inbox = append(append([]*segment(nil), back...), c.inbox[n:]...)
}

// An attempt is what came of comparing an expected packet with live ones.
type attempt struct {
	got    *segment // in the script's numbers
	differ []Mismatch
	n      int        // packets of the inbox that it used
	back   []*segment // what is left of them
	times  []time.Duration
}

// expect waits for a packet of the host's and compares it.
func (r *run) expect(p *script.Packet, at, until, gap time.Duration) {
	c := r.connFor(p)
	if c == nil {
		r.broken(p.Pos.Line, "there is no connection that this packet could belong to")
	}
	tol := r.tolerance(gap)
	wait := grace
	if !r.virtual {
		wait = realGrace
	}
	limit := until + tol + wait
	any := r.ev.Time.Kind == script.AnyTime
	if any {
		limit = until
	}
	var first *attempt // that failed
	for {
		s := r.next(c, 0, limit)
		if s == nil {
			if first != nil {
				r.differs(p, first, at)
			}
			if r.opt.nonFatalPacket {
				r.note(fmt.Sprintf("line %d: no packet came", p.Pos.Line))
				return
			}
			r.verdict.Expect, r.verdict.WantAt = expectedText(p), seconds(at)
			r.verdict.Got, r.verdict.GotAt = "no packet", seconds(r.now())
			r.fail("the expected packet was not sent")
		}
		a := r.attempt(c, p, s, limit)
		if len(a.differ) == 0 {
			if !any && !onTime(a.times, at-tol, until+tol) {
				r.wrongTime(p, a, at, until)
				return
			}
			r.take(c, a.n, a.back...)
			return
		}
		if r.rules.lenient {
			if r.covered(p, a.got, at) {
				r.note(fmt.Sprintf("line %d: a later packet acknowledges as much", p.Pos.Line))
				return
			}
			if a.got.pureACK() {
				// An ACK more, or a window update.
				if first == nil {
					first = a
				}
				r.take(c, 1)
				continue
			}
		}
		if r.opt.nonFatalPacket {
			r.note(fmt.Sprintf("line %d: the packet differs: %v", p.Pos.Line, a.differ))
			r.take(c, a.n, a.back...)
			return
		}
		r.differs(p, a, at)
	}
}

func onTime(times []time.Duration, from, to time.Duration) bool {
	for _, t := range times {
		if from <= t && t <= to {
			return true
		}
	}
	return false
}

// covered reports whether a packet makes a pure ACK that the script expects
// unnecessary: it acknowledges at least as much, soon enough.
func (r *run) covered(p *script.Packet, got *segment, at time.Duration) bool {
	t := p.TCP
	if !got.tcp || flagsOf(&t.Flags)&^(fECE|fCWR|fAE) != fACK || t.Seq.Len > 0 || got.flags&(fRST|fSYN) != 0 || got.flags&fACK == 0 {
		return false
	}
	for _, o := range t.Options {
		if o.Kind == script.OptSACK {
			return false // it tells more than an ACK
		}
	}
	later := int32(got.ack - t.Ack)
	if later < 0 || later == 0 && len(got.payload) == 0 && got.flags&fFIN == 0 {
		return false
	}
	return got.at.Sub(r.start) <= at+lateACK
}

// attempt compares what a script expects with the next packets: with several if
// the payload is longer than that of the first.
func (r *run) attempt(c *conn, p *script.Packet, s *segment, limit time.Duration) *attempt {
	t := p.TCP
	r.mu.Lock()
	if t.Flags.SYN && s.tcp && s.flags&fSYN != 0 {
		c.scriptISS = t.Seq.Start
		if t.Seq.Absolute {
			c.scriptISS = s.seq
		}
	}
	for i := range t.Options {
		if o := &t.Options[i]; o.Kind == script.OptTS && !o.AnyVal {
			if val, _, ok := s.timestamps(); ok {
				c.sawTS(o.Val, val)
			}
		}
	}
	r.mu.Unlock()
	parts := []*segment{s}
	a := &attempt{n: 1}
	length := len(s.payload)
	plain := s.tcp && s.flags&(fSYN|fRST|fFIN) == 0
	if plain && length > 0 && !r.rules.strictSegments {
		for length < t.Seq.Len {
			n := r.next(c, a.n, limit)
			if n == nil || n.seq != s.seq+uint32(length) || len(n.payload) == 0 || n.flags&(fSYN|fRST) != 0 {
				break
			}
			parts = append(parts, n)
			length += len(n.payload)
			a.n++
		}
		if r.rules.lenient && t.Flags.FIN && length == t.Seq.Len && parts[len(parts)-1].flags&fFIN == 0 {
			// The FIN may follow on its own.
			if n := r.next(c, a.n, r.now()+r.tolerance(0)); n != nil && n.flags&fFIN != 0 && n.seq == s.seq+uint32(length) && len(n.payload) == 0 {
				parts = append(parts, n)
				a.n++
			}
		}
	}
	whole := merge(parts)
	if whole == nil {
		whole, a.n, parts = s, 1, parts[:1]
	}
	if r.rules.lenient && !r.rules.strictSegments && whole.tcp {
		if t.Seq.Len > 0 && len(whole.payload) > t.Seq.Len && whole.flags&fSYN == 0 {
			front, rest := split(whole, t.Seq.Len)
			front.flags |= flagsOf(&t.Flags) & fPSH
			whole, a.back = front, []*segment{rest}
		} else if len(whole.payload) == t.Seq.Len && t.Seq.Len > 0 && whole.flags&fFIN != 0 && !t.Flags.FIN {
			front, rest := split(whole, t.Seq.Len)
			whole, a.back = front, []*segment{rest}
		}
	}
	r.mu.Lock()
	a.got = c.scripted(whole)
	r.toScript(c, a.got, t.Options)
	a.differ = c.compare(p, a.got, whole, &r.rules)
	r.mu.Unlock()
	a.times = []time.Duration{parts[0].at.Sub(r.start)}
	if len(parts) > 1 {
		a.times = append(a.times, parts[len(parts)-1].at.Sub(r.start))
	}
	return a
}

// differs fails the script: the packet is not as expected.
func (r *run) differs(p *script.Packet, a *attempt, at time.Duration) {
	v := r.verdict
	v.Expect, v.Got, v.Differ = expectedText(p), notation(a.got), a.differ
	v.WantAt, v.GotAt = seconds(at), seconds(a.times[0])
	r.fail("the packet differs in " + fields(a.differ))
}

func (r *run) wrongTime(p *script.Packet, a *attempt, at, until time.Duration) {
	want := seconds(at)
	if until != at {
		want += "~" + seconds(until)
	}
	text := fmt.Sprintf("the packet was sent at another time: expected at %s s, happened at %s s", want, seconds(a.times[0]))
	if r.opt.nonFatalPacket {
		r.note(fmt.Sprintf("line %d: %s", p.Pos.Line, text))
		r.take(r.connFor(p), a.n, a.back...)
		return
	}
	v := r.verdict
	v.Expect, v.Got = expectedText(p), notation(a.got)
	v.WantAt, v.GotAt = want, seconds(a.times[0])
	r.fail(text)
}

func fields(ms []Mismatch) string {
	t := ""
	for i, m := range ms {
		if i > 0 {
			t += ", "
		}
		t += m.Field
	}
	return t
}

// expectICMP waits for an ICMP message of the host's.
func (r *run) expectICMP(p *script.Packet, at, until, gap time.Duration) {
	typ, code, ok := icmpNumbers(p.ICMP, r.opt.v6)
	if !ok {
		r.broken(p.Pos.Line, fmt.Sprintf("there is no ICMP message %q %q", p.ICMP.Type, p.ICMP.Code))
	}
	tol := r.tolerance(gap)
	limit := until + tol
	for {
		r.mu.Lock()
		var s *segment
		if len(r.icmp) > 0 {
			s, r.icmp = r.icmp[0], r.icmp[1:]
		}
		r.mu.Unlock()
		if s == nil {
			if r.park(limit) {
				continue
			}
			r.verdict.Expect, r.verdict.Got = expectedText(p), "no packet"
			r.verdict.WantAt, r.verdict.GotAt = seconds(at), seconds(r.now())
			r.fail("the expected packet was not sent")
		}
		if s.icmpType == typ && s.icmpCode == code {
			return
		}
		if !r.rules.lenient {
			r.verdict.Expect, r.verdict.Got = expectedText(p), notation(s)
			r.verdict.WantAt, r.verdict.GotAt = seconds(at), seconds(s.at.Sub(r.start))
			r.fail("the packet differs in type")
		}
	}
}

package neigh

import (
	"container/list"
	"net/netip"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// A state is that of a neighbour (RFC 4861, section 7.3.2).
type state uint8

const (
	stateIncomplete state = iota
	stateReachable        // confirmed lately
	stateStale            // perhaps not there any more; not in use
	stateDelay            // the same, in use: to be asked soon
	stateProbe            // being asked
)

// A class bounds how many neighbours there are of a kind.
type class uint8

const (
	known class = iota
	resolving
	heard
	numClasses
)

var classLimit = [numClasses]int{maxKnown, maxResolving, maxHeard}

type entry struct {
	addr    netip.Addr
	local   netip.Addr // from which it was last sent to: the source of solicitations
	hw      wire.HardwareAddr
	state   state
	class   class
	element *list.Element // in the list of its class

	sent      int // solicitations without an answer
	due       clock.Time
	confirmed clock.Time
	life      time.Duration // of the confirmation
	pending   []link.Packet // made by copyFrame
}

// add makes an entry, for which another may have to go.
func (m *Machine) add(a netip.Addr, c class) *entry {
	e := &entry{addr: a, due: clock.Never}
	m.entries[a] = e
	m.enter(e, c)
	return e
}

// enter puts e into a class, and makes room for it there.
func (m *Machine) enter(e *entry, c class) {
	if e.element != nil {
		m.class[e.class].Remove(e.element)
	}
	l := &m.class[c]
	for l.Len() >= classLimit[c] {
		victim := l.Front().Value.(*entry)
		if m.routes.IsGateway(victim.addr) && l.Len() > 1 {
			l.MoveToBack(victim.element) // at most two are
			continue
		}
		m.remove(victim)
	}
	e.class, e.element = c, l.PushBack(e)
}

// remove forgets e. Packets that wait for it are dropped.
func (m *Machine) remove(e *entry) {
	m.unhold(e, len(e.pending))
	m.class[e.class].Remove(e.element)
	delete(m.entries, e.addr)
	if m.lastVia == e {
		m.lastVia, m.lastDst = nil, netip.Addr{}
	}
}

// hold keeps a copy of a packet for e.
func (m *Machine) hold(e *entry, p *link.Packet) {
	if len(e.pending) == maxPending {
		m.unhold(e, 1)
	}
	c := copyFrame(p)
	size := int(c.Payload[0].MemSize())
	for el := m.class[resolving].Front(); el != nil && (m.pending >= maxAllPending || m.pendingBytes+size > maxPendingMem); el = el.Next() {
		for o := el.Value.(*entry); len(o.pending) > 0 && (m.pending >= maxAllPending || m.pendingBytes+size > maxPendingMem); {
			m.unhold(o, 1)
		}
	}
	e.pending = append(e.pending, c)
	m.pending++
	m.pendingBytes += size
}

// unhold drops and counts the first n packets that wait for e.
func (m *Machine) unhold(e *entry, n int) {
	for i := range e.pending[:n] {
		m.pendingBytes -= int(e.pending[i].Payload[0].MemSize())
		m.pending--
		m.drop(api.DropUnresolved)
		e.pending[i].Release()
	}
	rest := copy(e.pending, e.pending[n:])
	clear(e.pending[rest:])
	e.pending = e.pending[:rest]
	if rest == 0 {
		e.pending = nil
	}
}

// flush sends what waited for e.
func (m *Machine) flush(e *entry, f *Frames) {
	for _, p := range e.pending {
		m.pendingBytes -= int(p.Payload[0].MemSize())
		m.pending--
		m.frameCopy(e.hw, p, f)
	}
	e.pending = nil
}

// solicit asks for e, who is to answer within retransTimer.
func (m *Machine) solicit(now clock.Time, e *entry, f *Frames) {
	e.sent++
	e.due = now.Add(retransTimer)
	m.due(e.due)
	if !m.usable(e.local) {
		return
	}
	var to wire.HardwareAddr
	if e.state == stateProbe {
		to = e.hw
	}
	m.sendSolicit(e.local, e.addr, to, f)
}

// expire does what is due for e.
func (m *Machine) expire(now clock.Time, e *entry, f *Frames) {
	e.due = clock.Never
	switch e.state {
	case stateIncomplete:
		if e.sent < maxMulticastSolicit {
			m.solicit(now, e, f)
			return
		}
		for i := range e.pending {
			m.unreachable(&e.pending[i], f)
		}
		m.remove(e)
	case stateDelay:
		e.state, e.sent = stateProbe, 0
		m.solicit(now, e, f)
	case stateProbe:
		if e.sent < maxUnicastSolicit {
			m.solicit(now, e, f)
			return
		}
		m.remove(e)
	}
}

// learn takes in what a frame says about an address: the answer to a solicitation
// of ours, if solicited, or something unasked for, which only changes entries that
// exist (RFC 4861, section 7.2.5). Without override it does not replace an address.
func (m *Machine) learn(now clock.Time, a netip.Addr, hw wire.HardwareAddr, solicited, override bool, f *Frames) {
	e := m.entries[a]
	if e == nil || !hw.IsStation() || hw == m.cfg.HardwareAddr {
		return
	}
	solicited = solicited && (e.state == stateIncomplete || e.state == stateProbe)
	switch {
	case e.state == stateIncomplete:
	case hw == e.hw:
		if !solicited {
			return // that it speaks does not prove that it hears us
		}
	case !override:
		if e.state == stateReachable {
			e.state = stateStale
		}
		return
	case !solicited && now.Sub(e.confirmed) < lockTime:
		return
	}
	e.hw = hw
	e.sent, e.due = 0, clock.Never
	if solicited {
		e.state, e.confirmed = stateReachable, now
		e.life = reachableTime/2 + time.Duration(m.cfg.Rand.Uint64()%uint64(reachableTime))
		if e.class != known {
			m.enter(e, known)
		}
	} else {
		e.state = stateStale
		if e.class == resolving {
			m.enter(e, heard)
		}
		if len(e.pending) > 0 {
			m.delay(now, e)
		}
	}
	m.flush(e, f)
}

// asked remembers who has asked for us, because we shall answer more than that.
func (m *Machine) asked(now clock.Time, a netip.Addr, hw wire.HardwareAddr, f *Frames) {
	if !hw.IsStation() || hw == m.cfg.HardwareAddr {
		return
	}
	if m.entries[a] != nil {
		m.learn(now, a, hw, false, true, f)
		return
	}
	if via, ok := m.routes.NextHop(a); !ok || via != a || m.routes.IsOwn(a) {
		return // not on our link, whatever it says
	}
	e := m.add(a, heard)
	e.hw, e.state = hw, stateStale
	e.confirmed = now.Add(-lockTime) // it may correct itself
}

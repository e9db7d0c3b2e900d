package neigh

import (
	"net/netip"
	"time"

	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// Specification constants of RFC 5227, section 1.1, and RFC 4862, section 5.1.
const (
	probeWait         = time.Second
	probeNum          = 3
	probeMin          = time.Second
	probeMax          = 2 * time.Second
	announceWait      = 2 * time.Second
	announceNum       = 2
	announceInterval  = 2 * time.Second
	rateLimitInterval = time.Minute
	defendInterval    = 10 * time.Second

	dupAddrDetectTransmits = 1
)

type ownState uint8

const (
	tentative ownState = iota
	usable
	duplicate // somebody else has it
)

// own is an address of ours.
type own struct {
	addr     netip.Addr
	state    ownState
	sent     int        // probes, and then announcements
	due      clock.Time // of the next step
	defended clock.Time // the last time; RFC 5227, section 2.4 (c)
}

func (m *Machine) addOwn(now clock.Time, a netip.Addr) {
	o := own{addr: a, state: usable, due: now, defended: now.Add(-defendInterval)}
	switch {
	case a.IsLoopback():
		o.due = clock.Never // is not on the link
	case !m.cfg.NoDetection:
		o.state, o.due = tentative, m.after(now, 0, probeWait)
		m.unsure++
	}
	m.own = append(m.own, o)
	m.due(o.due)
}

// after returns an instant that is random between two delays from now.
func (m *Machine) after(now clock.Time, least, most time.Duration) clock.Time {
	return now.Add(least + time.Duration(m.cfg.Rand.Uint64()%uint64(most-least+1)))
}

func (m *Machine) ownOf(a netip.Addr) *own {
	for i := range m.own {
		if m.own[i].addr == a {
			return &m.own[i]
		}
	}
	return nil
}

// usable reports whether a is an address of ours that is used.
func (m *Machine) usable(a netip.Addr) bool {
	o := m.ownOf(a)
	return o != nil && o.state == usable
}

// detect takes the next step with an address: to ask whether somebody has it, and
// to tell everybody that we do.
func (m *Machine) detect(now clock.Time, o *own, f *Frames) {
	probes, wait := probeNum, announceWait
	if o.addr.Is6() {
		probes, wait = dupAddrDetectTransmits, retransTimer
	}
	if o.state == duplicate { // perhaps the other has gone
		o.state, o.sent = tentative, 0
	}
	if o.state == tentative && o.sent < probes {
		o.sent++
		m.sendProbe(o.addr, f)
		o.due = now.Add(wait)
		if o.sent < probes {
			o.due = m.after(now, probeMin, probeMax)
		}
		return
	}
	if o.state == tentative {
		o.state, o.sent = usable, 0
		m.unsure--
	}
	m.announce(o.addr, f)
	if o.sent++; o.sent < announceNum {
		o.due = now.Add(announceInterval)
	} else {
		o.due = clock.Never
	}
}

// conflict takes in a sign that a station other than ours uses o. While we only ask
// for the address it is the other's, and we look again after a minute. Once we
// have it we keep it, because flows hang on it, and say so in answer at most once
// in defendInterval (RFC 5227, section 2.4 (c)).
func (m *Machine) conflict(now clock.Time, o *own, by wire.HardwareAddr, f *Frames) {
	m.stats.Conflicts++
	switch o.state {
	case tentative:
		o.state, o.due = duplicate, now.Add(rateLimitInterval)
		m.due(o.due)
		f.Conflicts = append(f.Conflicts, Conflict{o.addr, by, true})
	case usable:
		if now.Sub(o.defended) >= defendInterval {
			o.defended = now
			m.announce(o.addr, f)
			f.Conflicts = append(f.Conflicts, Conflict{o.addr, by, false})
		}
	}
}

package host

import (
	"net/netip"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/fault"
	"github.com/sluicenet/sluice/impl/engine/tcp"
)

// wantsCookie reports whether a SYN for l is to be answered with a SYN cookie: during
// a flood nobody is pushed out of the queue, nor kept out by those who are in it.
func (h *Host) wantsCookie(now clock.Time, l *listening) bool {
	switch h.params.SynCookies {
	case tcp.CookiesNever:
		return false
	case tcp.CookiesAlways:
		return true
	}
	if !full(&l.halfOpen, l.HalfOpen, defaultHalfOpen) && !h.budget.halfOpenFull() || fault.On("half-open-unbounded") {
		return false
	}
	l.overflowed, l.overflowAt = true, now
	return true
}

// takeCookie takes in an ACK for l that belongs to no connection, and returns false
// if there is no reason to think of a cookie: as long as none has been sent, nobody
// can make us compute hashes (S03).
func (h *Host) takeCookie(now clock.Time, l *listening, local, remote netip.AddrPort, s *tcp.Segment) bool {
	switch h.params.SynCookies {
	case tcp.CookiesNever:
		return false
	case tcp.CookiesOverflow:
		if !l.overflowed || now.Sub(l.overflowAt) > tcp.CookieLife {
			l.overflowed = false
			return false
		}
	}
	id := h.identify(now, local, remote)
	state, ok := l.responder.TakeCookie(now, &id.cookie, id.tsOffset, remote.Addr().Is6(), &s.TCP)
	if !ok {
		h.reset(now, api.DropSynCookie, local, remote, s)
		return true
	}
	// Without a place it is dropped, and what the peer sends next will do as well.
	if h.takePlaces(l) {
		h.stats.CookiesAccepted++
		h.counters.SegmentsIn-- // the connection counts it again
		h.accept(now, l, &id, &state, local, remote, s)
	}
	return true
}

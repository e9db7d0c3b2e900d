package tcp

import (
	"errors"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/fault"
)

// Floors under a path MTU. What an ICMP error may ask for is limited to what no
// real path undercuts (RFC 5927, section 7.2); configuration may go lower.
const (
	minMTU4     = 68
	minMTU6     = 1280
	minICMPMTU4 = 552
)

// fixedHeaders returns the length of the IP and TCP headers without options.
func (c *Conn) fixedHeaders() int64 {
	if c.v6 {
		return 40 + 20
	}
	return 20 + 20
}

// ourMSS is the MSS to announce: MMS_R - 20, options not counted (MUST-67,
// RFC 6691).
func (c *Conn) ourMSS() int64 {
	m := min(c.cfg.LinkMTU-c.fixedHeaders(), 65535)
	if fault.On("mss-announces-mtu") {
		m = c.cfg.LinkMTU
	}
	if f := int64(c.cfg.Flow.MSS); f > 0 {
		m = min(m, f)
	}
	return max(m, 1)
}

// updateMSS computes the effective send MSS (RFC 9293, section 3.7.1, MUST-16):
// the lesser of what the peer takes and what the path takes, less the options
// that each segment carries.
func (c *Conn) updateMSS() {
	m := min(int64(c.peerMSS), int64(c.pathMTU)-c.fixedHeaders(), 65535)
	if fault.On("mss-ignores-peer") {
		m = int64(c.pathMTU) - c.fixedHeaders()
	}
	if f := int64(c.cfg.Flow.MSS); f > 0 {
		m = min(m, f)
	}
	if c.tsOK && !fault.On("mss-ignores-options") {
		m -= tsOptionLen
	}
	m = max(m, 1)
	if m == c.mss {
		return
	}
	c.mss = m
	if c.ctl != nil {
		if o, ok := c.ctl.(cc.MSSObserver); ok {
			o.OnMSS(m)
		}
		c.takeControl()
	}
}

const tsOptionLen = 12 // with padding

// sackOptionLen returns the length of a SACK option of n blocks, with padding.
func sackOptionLen(n int) int64 {
	if n == 0 {
		return 0
	}
	return 4 + 8*int64(n)
}

// SetPathMTU lowers what a segment may be, or raises it again up to the link's.
func (c *Conn) SetPathMTU(now clock.Time, mtu int64) {
	least := int64(minMTU4)
	if c.v6 && !fault.On("pmtu-without-floor") {
		least = minMTU6
	}
	mtu = min(max(mtu, least), c.cfg.LinkMTU)
	was := int64(c.pathMTU)
	if mtu == was {
		return
	}
	lowered := mtu < was
	c.pathMTU = int32(mtu)
	if c.peerMSS == 0 { // no SYN seen yet
		c.fastTooBig()
		return
	}
	c.updateMSS()
	if lowered && !fault.On("pmtu-not-resent") {
		c.withoutWatch(c.resendTooBig)
	}
}

// resendTooBig sends again at once what was too big for the path; that is no sign
// of congestion (RFC 1191, section 6.5).
func (c *Conn) resendTooBig() {
	l := c.sb.live()
	if len(l) == 0 {
		return
	}
	for i := range l {
		r := &l[i]
		if r.len() <= c.mss || r.flags&recSacked != 0 {
			continue
		}
		if r.flags&recRexmit != 0 {
			r.flags &^= recRexmit
			c.sb.rexmit -= r.len()
			c.sb.rexmitFrom = min(c.sb.rexmitFrom, r.start)
		}
		c.sb.lose(r)
	}
}

// ICMP takes an ICMP error in (RFC 9293, section 3.9.2.2; RFC 5927).
func (c *Conn) ICMP(now clock.Time, e ICMPError) {
	seq := unwrap(c.sndUna, e.Seq)
	if fault.On("icmp-ignored") {
		return
	}
	if fault.On("icmp-number-unchecked") {
		seq = c.sndUna
		if c.sndUna == c.sndNxt {
			seq--
			c.sndUna--
			defer func() { c.sndUna++ }()
		}
	}
	if c.FullyClosed() || seq < c.sndUna || seq >= c.sndNxt { // not in flight: old, or forged
		c.drop(api.DropICMP)
		return
	}
	if fault.On("icmp-soft-aborts") && e.Kind != ICMPPacketTooBig || fault.On("icmp-hard-aborts") && e.Kind == ICMPHard && c.state != api.StateSynSent {
		c.end(api.ErrUnreachable)
		return
	}
	if fault.On("icmp-hard-ignored") && e.Kind == ICMPHard {
		return
	}
	switch e.Kind {
	case ICMPPacketTooBig:
		if !c.p.Like.IgnoreTooBig {
			c.packetTooBig(now, e.MTU)
		}
		return
	case ICMPHard:
		// RFC 5927, section 5.2: hard errors abort only before the connection
		// is synchronised.
		soft := c.p.Like.SoftUnreachable && !errors.Is(e.Err, api.ErrRefused)
		if c.state == api.StateSynSent && seq == c.iss && !soft {
			err := e.Err
			if err == nil {
				err = api.ErrUnreachable
			}
			c.end(err)
			return
		}
	}
	c.softError(e.Err)
}

// plateaus are the MTUs to try when a router does not say (RFC 1191, section 7).
var plateaus = [...]int64{32000, 17914, 8166, 4352, 2002, 1492, 1006, minICMPMTU4}

func (c *Conn) packetTooBig(now clock.Time, mtu int64) {
	least := int64(minICMPMTU4)
	if c.v6 {
		least = minMTU6
	}
	if !c.v6 && mtu < minMTU4 { // a router from before RFC 1191
		mtu = least
		for _, p := range plateaus {
			if p < int64(c.pathMTU) {
				mtu = p
				break
			}
		}
	}
	if fault.On("packet-too-big-ignored") {
		return
	}
	if fault.On("pmtu-without-floor") {
		least = 100
	}
	mtu = max(mtu, least)
	if mtu >= int64(c.pathMTU) {
		c.drop(api.DropICMP)
		return
	}
	c.SetPathMTU(now, mtu)
}

// softError tells the user of something that does not end the connection
// (MUST-47, SHLD-25).
func (c *Conn) softError(err error) {
	if err == nil || fault.On("soft-error-not-reported") {
		return
	}
	c.keepRare()
	c.softErr = err
	c.events |= EventError
}

// maxR1 retransmissions of a segment are R1: trouble worth telling of
// (RFC 9293, section 3.8.3, SHLD-9, SHLD-10).
const maxR1 = 3

func (c *Conn) noteR1(retransmissions int) {
	if retransmissions == maxR1 && !fault.On("r1-not-reported") || retransmissions == 1 && fault.On("r1-at-once") {
		c.softError(api.ErrTimeout)
	}
}

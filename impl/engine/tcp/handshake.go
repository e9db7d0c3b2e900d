package tcp

import (
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/fault"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// NewActive returns a connection in SYN-SENT, whose SYN the next Poll returns.
// The error is the controller factory's.
func NewActive(now clock.Time, cfg *Config) (*Conn, error) {
	c := newConn(now, cfg)
	if err := c.checkController(now); err != nil {
		return nil, err
	}
	c.state = api.StateSynSent
	c.synDue = true
	c.sackOK, c.tsOK, c.scaleOK = !c.p.NoSACK, !c.p.NoTimestamps, !c.p.NoWindowScale // as offered
	if cfg.FastOpen != nil {
		c.dialFast(cfg.FastOpen)
	}
	c.watchUser(now)
	return c, nil
}

// NewPassive returns a connection in SYN-RECEIVED that comes from LISTEN and
// remembers that (MUST-11). syn is the SYN received, the payload of which is
// released: the peer will send it again (RFC 9293, section 3.10.7.2). A host that
// is not to hold a Conn for every SYN has a Responder instead.
func NewPassive(now clock.Time, cfg *Config, syn *Segment) (*Conn, error) {
	defer releasePayload(syn)
	c := newConn(now, cfg)
	if err := c.checkController(now); err != nil {
		return nil, err
	}
	c.passive = true
	c.state = api.StateSynReceived
	c.sackOK, c.tsOK, c.scaleOK = !c.p.NoSACK, !c.p.NoTimestamps, !c.p.NoWindowScale
	c.takeSyn(now, syn)
	c.ecnTakeSyn(syn.TCP.Flags)
	c.synDue = true
	c.stats.segsReceived++
	c.watchUser(now)
	return c, nil
}

// takeSyn takes in the peer's SYN: its sequence number and its options.
func (c *Conn) takeSyn(now clock.Time, s *Segment) {
	c.irs = seqBase | uint64(s.TCP.Seq)
	c.rcvNxt = c.irs + 1
	c.lastAckSent = c.rcvNxt
	c.rcvEdge = max(c.rcvEdge, c.rcvNxt)
	c.rcvMSS = 0
	o := &s.TCP.Options
	misreadSyn(o)
	c.sackOK = c.sackOK && o.SACKPermitted
	if c.tsOK = c.tsOK && o.HasTimestamps; c.tsOK {
		c.tsRecent, c.tsRecentAt, c.hasTSRecent = o.TSval, now, true
	}
	if c.passive && c.p.Like.Cookies && !c.tsOK {
		// A cookie has room for the MSS; the rest is in the timestamp (RFC 4987, section 3.6).
		c.sackOK, c.scaleOK = false, false
	}
	// RFC 7323, section 2.2: scaling is used if both sent the option, and never
	// in the window field of a SYN.
	if c.scaleOK = c.scaleOK && (o.HasWindowScale || fault.On("scale-unasked")); c.scaleOK {
		c.sndScale = min(o.WindowScale, maxWindowScale)
		if fault.On("scale-above-14") {
			c.sndScale = o.WindowScale
		}
		if fault.On("scale-of-peer-ignored") {
			c.sndScale = 0
		}
	} else {
		c.sndScale, c.rcvScale = 0, 0
	}
	// RFC 9293, section 3.7.1: without the option 536 or 1220 (MUST-15).
	c.peerMSS = 536
	if c.v6 {
		c.peerMSS = 1220
	}
	if fault.On("mss-default-large") {
		c.peerMSS = 1400
	}
	if o.HasMSS {
		c.peerMSS = int32(max(int64(o.MSS), c.p.minMSS()))
	}
	c.updateMSS()
	c.sndEdge = c.sndUna + uint64(s.TCP.Window)
	c.sndWl1, c.sndWl2 = c.irs, c.sndUna
	c.maxSndWnd = int64(s.TCP.Window)
}

// segmentSynSent is RFC 9293, section 3.10.7.3.
func (c *Conn) segmentSynSent(now clock.Time, s *Segment) {
	h := &s.TCP
	ackOK := false
	// First, check the ACK bit.
	if h.Flags&wire.ACK != 0 {
		ack := unwrap(c.sndUna, h.Ack)
		if fault.On("syn-sent-any-ack") {
			ack = c.sndNxt
		}
		if fault.On("syn-sent-rst-any-ack") && h.Flags&wire.RST != 0 {
			ack = c.sndNxt
		}
		if ack <= c.iss || ack > c.sndNxt {
			c.drop(api.DropBadAck)
			if fault.On("syn-sent-reset-answered") {
				c.replyReset(now, s)
			}
			if h.Flags&wire.RST == 0 {
				c.replyReset(now, s)
			}
			if c.p.Like.HastySyn && c.synRexmits == 0 && !c.synDue {
				c.tm[tmRetransmit] = min(c.tm[tmRetransmit], now.Add(2*time.Millisecond))
			}
			return
		}
		ackOK = true
	}
	// Second, check the RST bit.
	if h.Flags&wire.RST != 0 {
		if !ackOK && !fault.On("syn-sent-rst-without-ack") {
			c.drop(api.DropReset)
			return
		}
		if fault.On("refusal-ignored") {
			return
		}
		c.end(api.ErrRefused)
		return
	}
	// Fourth, check the SYN bit.
	if h.Flags&wire.SYN == 0 && !(fault.On("syn-sent-opened-by-ack") && ackOK) {
		c.drop(api.DropNoAck)
		return
	}
	if fault.On("simultaneous-open-ignored") && !ackOK {
		return
	}
	c.lastRecv = now
	c.takeSyn(now, s)
	c.rcvEdge = c.rcvNxt + uint64(c.synWindow) // as our SYN announced
	if !ackOK {
		// Simultaneous open (MUST-10): the SYN becomes a SYN-ACK.
		c.ecnTakeSyn(h.Flags)
		c.setState(api.StateSynReceived)
		c.synDue = true
		return
	}
	c.ecnTakeSynAck(h.Flags)
	c.synDue = false
	c.sndUna = c.iss + 1
	c.sndEdge = c.sndUna + uint64(h.Window)
	if fault.On("scale-in-syn") {
		c.sndEdge = c.sndUna + uint64(h.Window)<<c.sndScale
	}
	c.sndWl2 = c.sndUna
	c.synSample(now, h)
	c.establish(now)
	c.fastSynAnswered(now, h, unwrap(c.sndUna, h.Ack))
	c.ackNow = true
	// "If there are other controls or text in the segment, then continue
	// processing at the sixth step."
	h.Flags &^= wire.SYN
	h.Seq++
	h.Urgent -= min(h.Urgent, 1)
	if c.p.Like.NoSynData && c.fastStatus == FastOpenUnused {
		c.trimWhole(s)
	}
	if seq := c.rcvNxt; c.acceptable(now, s, &seq) {
		c.segmentText(now, s, seq)
	}
}

// synSample takes the RTT of the handshake (Karn: not of a SYN sent twice,
// unless timestamps tell).
func (c *Conn) synSample(now clock.Time, h *wire.TCP) {
	sent := c.lastDataSent
	if c.pending() {
		sent = c.fast.sentAt
	}
	if c.synRexmits == 0 && !c.synAmbiguous || fault.On("karn-ignored") {
		c.rtt.sample(now, now.Sub(sent), 1, c.p)
	} else if c.tsOK && h.Options.HasTimestamps {
		if d, ok := c.tsSample(now, h.Options.TSecr); ok {
			c.rtt.sample(now, d, 1, c.p)
		}
	}
}

// pollSyn sends the SYN or the SYN-ACK, the same options each time.
func (c *Conn) pollSyn(now clock.Time, out *Out) {
	c.synDue = false
	flags := wire.SYN
	if c.state != api.StateSynSent && !(fault.On("simultaneous-open-without-ack") && !c.passive) {
		flags |= wire.ACK
	}
	first := c.sndNxt == c.iss
	if c.pending() {
		first, c.fast.sent, c.fast.sentAt = !c.fast.sent, true, now
	}
	c.sndNxt = max(c.sndNxt, c.iss+1)
	c.lastDataSent = now
	if !first {
		c.synAmbiguous = true
		c.keepRare()
		c.seldom.rexmits++
		c.cfg.Counters.Retransmits++
	}
	c.header(now, out, c.iss, flags)
	out.TCP.Flags |= c.ecnSyn(flags)
	o := &out.TCP.Options
	o.HasMSS, o.MSS = true, uint16(c.announcedMSS) // SHLD-5, MAY-3
	if fault.On("mss-not-sent") || fault.On("mss-not-in-syn-ack") && flags&wire.ACK != 0 {
		o.HasMSS = false
	}
	o.BSD = c.p.Like.BSDOptions
	o.SACKPermitted = c.sackOK
	if c.scaleOK {
		o.HasWindowScale, o.WindowScale = true, c.rcvScale
	}
	if c.p.Like.OfferAll && !c.passive && c.state == api.StateSynReceived {
		o.SACKPermitted = !c.p.NoSACK
		if !c.p.NoTimestamps {
			o.HasTimestamps, o.TSval, o.TSecr = true, c.tsNow(now), c.tsRecent
		}
		if !c.p.NoWindowScale {
			o.HasWindowScale, o.WindowScale = true, windowScaleFor(c.cfg.Flow.ReceiveBuffer)
		}
	}
	if fault.On("syn-ack-again-without-options") && !first {
		*o = wire.TCPOptions{}
	}
	switch {
	case c.state == api.StateSynSent:
		c.synFast(now, out)
	case c.pending() && (first || fault.On("fast-open-synack-with-option")): // and not again: section 4.2.2 of RFC 7413
		o.FastOpen = c.fast.option
		if fault.Built && !first {
			o.FastOpen.Present = true
		}
	}
	if !c.tm.armed(tmRetransmit) {
		c.tm[tmRetransmit] = now.Add(c.currentRTO())
	}
}

// onSynTimeout retransmits a SYN or SYN-ACK (MUST-22).
func (c *Conn) onSynTimeout(now clock.Time) {
	if fault.On("syn-not-retransmitted") || fault.On("syn-ack-not-retransmitted") && c.passive {
		return
	}
	limit := c.p.Like.SynRetries
	if c.passive {
		limit = c.p.maxSynAcks() - 1
		if c.pending() { // somebody uses it
			limit++
		}
	}
	if linear := c.p.Like.SynLinear; !c.passive && limit > 0 && linear > 0 {
		// Linux: those are not counted, but the time that the others would take ends it.
		if now.Sub(c.opened) >= time.Duration(2<<min(limit, 30)-1)*c.p.RTOInitial {
			c.end(api.ErrTimeout)
			return
		}
		limit += linear
	}
	if limit > 0 && int(c.synRexmits) >= limit {
		c.end(api.ErrTimeout)
		return
	}
	saturate(&c.synRexmits)
	if c.passive || int(c.synRexmits) > c.p.Like.SynLinear {
		saturate(&c.backoff)
	}
	c.keepRare()
	c.seldom.timeouts++
	c.synDue = true
	c.fastSynTimeout()
	c.noteR1(int(c.synRexmits))
}

// segmentSynReceivedAck is the fifth check of section 3.10.7.4 in SYN-RECEIVED.
func (c *Conn) segmentSynReceivedAck(now clock.Time, s *Segment, seq, ack uint64) bool {
	if fault.On("syn-received-any-ack") {
		ack = c.sndNxt
	}
	una := c.sndUna
	if c.pending() {
		una = c.iss
	}
	if fault.On("syn-received-bad-ack-ends") && (ack <= c.sndUna || ack > c.sndNxt) {
		c.end(api.ErrReset)
		return false
	}
	if ack <= una || ack > c.sndNxt {
		c.drop(api.DropBadAck)
		c.replyReset(now, s)
		return false
	}
	c.sndUna = c.iss + 1
	c.sndWl1, c.sndWl2 = 0, 0
	c.updateSendWindow(seq, ack, s.TCP.Window)
	c.synDue = false
	c.synSample(now, &s.TCP)
	if c.pending() {
		c.fastEstablished(now)
		return true
	}
	c.establish(now)
	if c.fast != nil { // a simultaneous open
		c.fast = nil
		if ack == c.sndUna {
			c.resendSynData(now)
		}
	}
	return true
}

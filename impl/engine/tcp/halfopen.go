package tcp

import (
	"math"
	"net/netip"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/fault"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// A HalfOpen is a connection in SYN-RECEIVED that comes from LISTEN: all that a SYN
// makes a listener remember (RFC 4987, section 3.4, calls it a SYN cache). It
// becomes a Conn, by Accept, when its handshake is completed. What many of them have
// in common is in their Responder, which does the processing.
type HalfOpen struct {
	opened   clock.Time // when the SYN came and was answered
	repeated clock.Time // when the SYN-ACK was last sent by the timer
	answered clock.Time // when a segment that was not used was last answered

	iss, irs            uint32
	tsOffset, tsRecent  uint32
	peerMSS, peerWindow uint16
	peerScale           uint8
	retries             uint8
	flags               halfOpenFlags
}

type halfOpenFlags uint8

const (
	halfSACK       halfOpenFlags = 1 << iota // negotiated, as the next three
	halfTimestamps                           //
	halfScale                                //
	halfECN                                  //
	halfV6                                   //
	halfChallenged                           // answered holds
	halfDeferred                             // the handshake is complete, and waits for data
	halfAmbiguous                            // the SYN-ACK went out more than once, or nobody knows when: no RTT sample
)

// A Responder answers SYNs for a listener.
type Responder struct {
	p          *Params
	shared     *Shared
	ttl, dscp  uint8
	rto        time.Duration
	limit      clock.Time // how long a handshake may take
	window     uint16     // to announce, like what follows
	scale      uint8
	mss4, mss6 uint16
	ecn        cc.ECNMode
	counters   *Counters
	sendBuffer int64
	recvBuffer int64
}

// NewResponder returns the Responder for connections made from cfg, in which the
// addresses, ISS and TSOffset are not looked at. Options that the controller's
// factory does not take have been found before; without a controller there is no ECN.
func NewResponder(now clock.Time, cfg *Config) *Responder {
	four, six := *cfg, *cfg
	four.Local, four.Remote = netip.AddrPort{}, netip.AddrPort{}
	six.Local = netip.AddrPortFrom(netip.IPv6Unspecified(), 0)
	six.Remote = six.Local
	c, c6 := newConn(now, &four), newConn(now, &six)
	if err := c.checkController(now); err != nil {
		c.ecn.mode = cc.ECNOff
	}
	c.state = api.StateSynReceived
	limit, _ := c.userTimeout()
	return &Responder{
		p: c.p, shared: c.cfg, ttl: c.cfg.Flow.TTL, dscp: c.cfg.Flow.DSCP, rto: c.rtt.rto, limit: limit,
		window: c.windowField(wire.SYN), scale: c.rcvScale,
		mss4: uint16(c.announcedMSS), mss6: uint16(c6.announcedMSS),
		ecn: c.ecn.mode, counters: c.cfg.Counters,
		sendBuffer: c.sendLimit(), recvBuffer: c.receiveLimit(),
	}
}

// Open takes a SYN in (RFC 9293, section 3.10.7.2), and puts the SYN-ACK into out.
// Data that came with it will be sent again by the peer.
func (r *Responder) Open(now clock.Time, iss, tsOffset uint32, v6 bool, syn *wire.TCP, out *Out) HalfOpen {
	h := r.negotiate(now, tsOffset, v6, syn)
	h.iss = iss
	r.synAck(&h, h.tsNow(now), out)
	return h
}

// negotiate takes the options of a SYN in.
func (r *Responder) negotiate(now clock.Time, tsOffset uint32, v6 bool, syn *wire.TCP) HalfOpen {
	options := syn.Options
	o := &options
	misreadSyn(o)
	h := HalfOpen{
		opened: now, repeated: now, irs: syn.Seq, tsOffset: tsOffset,
		peerMSS: r.takeMSS(v6, o), peerWindow: syn.Window,
	}
	if v6 {
		h.flags |= halfV6
	}
	if !r.p.NoSACK && o.SACKPermitted {
		h.flags |= halfSACK
	}
	if !r.p.NoTimestamps && o.HasTimestamps {
		h.flags |= halfTimestamps
		h.tsRecent = o.TSval
	}
	if !r.p.NoWindowScale && (o.HasWindowScale || fault.On("scale-unasked")) {
		h.flags |= halfScale
		h.peerScale = min(o.WindowScale, maxWindowScale)
		if fault.On("scale-above-14") {
			h.peerScale = o.WindowScale
		}
	}
	if r.p.Like.Cookies && h.flags&halfTimestamps == 0 {
		// A cookie has room for the MSS; the rest is in the timestamp (RFC 4987, section 3.6).
		h.flags &^= halfSACK | halfScale
	}
	if r.ecn != cc.ECNOff && syn.Flags&(wire.ECE|wire.CWR) == wire.ECE|wire.CWR && !fault.On("ecn-off") || fault.On("ecn-unasked") {
		h.flags |= halfECN
	}
	return h
}

// takeMSS returns the MSS that a SYN announces (RFC 9293, section 3.7.1, MUST-15).
func (r *Responder) takeMSS(v6 bool, o *wire.TCPOptions) uint16 {
	switch {
	case o.HasMSS:
		return uint16(min(max(int64(o.MSS), r.p.minMSS()), 65535))
	case fault.On("mss-default-large"):
		return 1400
	case v6:
		return 1220
	}
	return 536
}

// synAck fills in the SYN-ACK: the same options each time.
func (r *Responder) synAck(h *HalfOpen, tsVal uint32, out *Out) {
	r.header(out, h, h.iss, wire.SYN|wire.ACK, tsVal)
	switch ecn := h.flags&halfECN != 0; {
	case ecn && fault.On("ecn-syn-ack-echoes-syn"):
		out.TCP.Flags |= wire.ECE | wire.CWR
	case ecn || fault.On("ecn-syn-ack-unasked"):
		out.TCP.Flags |= wire.ECE
	}
	o := &out.TCP.Options
	if fault.On("syn-ack-again-without-options") && (h.retries > 0 || h.flags&halfAmbiguous != 0) {
		*o = wire.TCPOptions{}
		return
	}
	o.HasMSS, o.MSS = !fault.On("mss-not-sent") && !fault.On("mss-not-in-syn-ack"), r.mss4
	if h.flags&halfV6 != 0 {
		o.MSS = r.mss6
	}
	o.BSD = r.p.Like.BSDOptions
	o.SACKPermitted = h.flags&halfSACK != 0
	if h.flags&halfScale != 0 {
		o.HasWindowScale, o.WindowScale = true, r.scale
	}
}

func (r *Responder) header(out *Out, h *HalfOpen, seq uint32, flags wire.Flags, tsVal uint32) {
	*out = Out{Payload: out.Payload[:0], TTL: r.ttl, DSCP: r.dscp}
	out.TCP = wire.TCP{Seq: seq, Flags: flags}
	if fault.On("ttl-ignored") {
		out.TTL = defaultTTL
	}
	if fault.On("dscp-ignored") {
		out.DSCP = 0
	}
	r.counters.SegmentsOut++
	if flags == wire.RST {
		r.counters.ResetsOut++
		return
	}
	out.TCP.Ack = h.irs + 1
	if h.flags&halfTimestamps != 0 && !(fault.On("ts-missing-on-reset") && flags&wire.RST != 0) &&
		!(fault.On("ts-missing-on-data") && flags&wire.SYN == 0) { // on a RST with ACK too (RFC 7323, section 3.2)
		o := &out.TCP.Options
		o.HasTimestamps, o.TSval, o.TSecr = true, tsVal, h.tsRecent
		if fault.On("ts-echo-zero") {
			o.TSecr = 0
		}
	}
	if flags&wire.RST != 0 {
		r.counters.ResetsOut++
		return
	}
	out.TCP.Window = r.window
	if flags&wire.SYN == 0 && h.flags&halfScale != 0 {
		out.TCP.Window = r.scaledWindow()
	}
}

// scaledWindow is the window as segments without SYN announce it where windows are
// scaled: rounded up, so as not to move the edge that the SYN-ACK announced to the
// left (RFC 7323, section 2.4).
func (r *Responder) scaledWindow() uint16 {
	return uint16((uint32(r.window) + 1<<r.scale - 1) >> r.scale)
}

func (h *HalfOpen) tsNow(now clock.Time) uint32 { return timestamp(now, h.tsOffset) }

// ISS returns our initial sequence number.
func (h *HalfOpen) ISS() uint32 { return h.iss }

// A HalfOpenVerdict is what becomes of a half-open connection.
type HalfOpenVerdict uint8

// The verdicts.
const (
	HalfOpenKeep   HalfOpenVerdict = iota // nothing
	HalfOpenReply                         // it stays; send what is in out
	HalfOpenForget                        // it has ended
	HalfOpenAccept                        // the segment completes the handshake, and is the Conn's
)

// Segment takes in a segment for h: RFC 9293, section 3.10.7.4, as far as it is about
// SYN-RECEIVED. Unless the verdict is HalfOpenAccept, the segment has been counted,
// and its payload released. What a Conn in SYN-RECEIVED does is the same; a test
// compares the two.
func (r *Responder) Segment(now clock.Time, h *HalfOpen, s *Segment, out *Out) HalfOpenVerdict {
	v := r.segment(now, h, s, out)
	if v != HalfOpenAccept {
		r.counters.SegmentsIn++
		if s.TCP.Flags&wire.RST != 0 {
			r.counters.ResetsIn++
		}
		releasePayload(s)
	}
	return v
}

func (r *Responder) segment(now clock.Time, h *HalfOpen, s *Segment, out *Out) HalfOpenVerdict {
	t := &s.TCP
	next := h.irs + 1 // RCV.NXT
	drop := func(why api.DropReason) HalfOpenVerdict {
		r.counters.Drops[why]++
		return HalfOpenKeep
	}
	ack := func() HalfOpenVerdict {
		r.header(out, h, h.iss+1, wire.ACK, h.tsNow(now))
		return HalfOpenReply
	}
	challenge := func(why api.DropReason) HalfOpenVerdict {
		drop(why)
		if !r.mayAnswer(now, h) {
			return HalfOpenKeep
		}
		r.counters.ChallengeAcks++
		return ack()
	}

	// RFC 7323, section 5.3: PAWS comes before the acceptability test.
	if h.flags&halfTimestamps != 0 && (t.Flags&wire.RST == 0 || fault.On("paws-for-rst")) {
		switch {
		case fault.On("paws-off") && t.Options.HasTimestamps || fault.On("ts-missing-accepted") && !t.Options.HasTimestamps:
		case !t.Options.HasTimestamps && t.Flags&wire.SYN == 0:
			return drop(api.DropNoTimestamp)
		case t.Options.HasTimestamps && int32(t.Options.TSval-h.tsRecent) < 0:
			drop(api.DropPAWS)
			if !fault.On("paws-silent") && r.mayAnswer(now, h) {
				return ack()
			}
			return HalfOpenKeep
		}
	}

	if t.Flags&(wire.SYN|wire.ACK|wire.RST) == wire.SYN && t.Seq == h.irs {
		// The SYN again: our SYN-ACK was lost. If the peer has given up asking for
		// ECN, it is not used (RFC 3168, section 6.1.1).
		if t.Flags&(wire.ECE|wire.CWR) != wire.ECE|wire.CWR {
			h.flags &^= halfECN
		}
		drop(api.DropSyn)
		if !r.mayAnswer(now, h) {
			return HalfOpenKeep
		}
		h.flags |= halfAmbiguous
		r.counters.Retransmits++
		r.synAck(h, h.tsNow(now), out)
		return HalfOpenReply
	}

	// First, check sequence number.
	length := int64(s.Len)
	if t.Flags&wire.SYN != 0 {
		length++
	}
	if t.Flags&wire.FIN != 0 {
		length++
	}
	begin := int64(int32(t.Seq - next)) // relative to RCV.NXT
	end, wnd := begin+length, int64(r.window)
	ok := begin < wnd && end > 0
	if length == 0 {
		ok = 0 <= begin && begin <= wnd
	}
	if fault.On("rst-anywhere") && t.Flags&wire.RST != 0 {
		begin, ok = 0, true
	}
	if !ok {
		switch {
		case fault.On("unacceptable-silent"):
			return drop(api.DropUnacceptable)
		case t.Flags&wire.RST != 0 && !fault.On("rst-outside-answered"):
			return drop(api.DropUnacceptable)
		case length > 0 && t.Flags&wire.SYN == 0 && end <= 0 && -begin < maxDuplicateAge:
			drop(api.DropUnacceptable)
			if fault.On("duplicate-not-acknowledged") {
				return HalfOpenKeep
			}
			return ack()
		}
		return challenge(api.DropUnacceptable)
	}

	// Second, check the RST bit (RFC 5961, section 3).
	if t.Flags&wire.RST != 0 {
		if fault.On("rst-with-data-ignored") && s.Len > 0 || fault.On("rst-ignored") {
			return HalfOpenKeep
		}
		if begin != 0 && !fault.On("rst-in-window-resets") {
			if fault.On("rst-in-window-silent") {
				return HalfOpenKeep
			}
			return challenge(api.DropReset)
		}
		if fault.On("syn-received-reset-ignored") {
			return HalfOpenKeep
		}
		return HalfOpenForget // back to LISTEN
	}
	// Fourth, check the SYN bit.
	if t.Flags&wire.SYN != 0 {
		if fault.On("syn-not-challenged") {
			return HalfOpenKeep
		}
		drop(api.DropSyn)
		return HalfOpenForget // back to LISTEN
	}
	// Fifth, check the ACK field.
	if t.Flags&wire.ACK == 0 {
		return drop(api.DropNoAck)
	}
	if t.Ack != h.iss+1 && !fault.On("syn-received-any-ack") {
		if fault.On("syn-received-bad-ack-ends") {
			return HalfOpenForget
		}
		drop(api.DropBadAck)
		if !r.mayAnswer(now, h) || fault.On("unacceptable-ack-not-reset") {
			return HalfOpenKeep
		}
		r.header(out, h, t.Ack, wire.RST, 0)
		return HalfOpenReply
	}
	if length == 0 && int(h.retries) < r.p.Like.DeferAccept {
		h.flags |= halfDeferred
		return HalfOpenKeep
	}
	return HalfOpenAccept
}

// mayAnswer is Conn.mayChallenge.
func (r *Responder) mayAnswer(now clock.Time, h *HalfOpen) bool {
	if h.flags&halfChallenged != 0 && !fault.On("challenges-unlimited") && now < h.answered.Add(r.p.ChallengeInterval) {
		return false
	}
	h.flags |= halfChallenged
	h.answered = now
	return true
}

// Deadline returns when Timeout is to be called. Among the half-open connections of
// one Responder that have sent the same number of SYN-ACKs it follows the order in
// which they sent the last, and if they moved on in order so does their age: their
// queue needs no sorting.
func (r *Responder) Deadline(h *HalfOpen) clock.Time {
	rto := r.rto
	for n := h.retries; n > 0 && rto < r.p.RTOMax; n-- {
		if fault.On("backoff-linear") {
			rto += r.rto
			continue
		}
		rto *= 2
	}
	return min(h.repeated.Add(min(rto, r.p.RTOMax)), h.opened+r.limit)
}

// maxSynAcks bounds what one SYN from an unverified address can make us send
// (RFC 4987).
const maxSynAcks = 6

func (p *Params) maxSynAcks() int {
	if n := p.Like.SynAckRetries; n > 0 {
		return min(n, math.MaxUint8) + 1
	}
	return maxSynAcks
}

// MaxSynAcks returns how many SYN-ACKs the timer lets a half-open connection send.
func (r *Responder) MaxSynAcks() int { return r.p.maxSynAcks() }

// Retries returns how often the timer has sent the SYN-ACK again: less than the
// Responder's MaxSynAcks.
func (h *HalfOpen) Retries() int { return int(h.retries) }

// Timeout sends the SYN-ACK again, as Retries then counts, or gives up.
func (r *Responder) Timeout(now clock.Time, h *HalfOpen, out *Out) HalfOpenVerdict {
	if now >= h.opened+r.limit || int(h.retries)+1 >= r.p.maxSynAcks() {
		return HalfOpenForget
	}
	h.retries++
	h.repeated = now
	if fault.On("syn-not-retransmitted") || fault.On("syn-ack-not-retransmitted") {
		return HalfOpenKeep
	}
	if h.flags&halfDeferred != 0 && int(h.retries) < r.p.Like.DeferAccept {
		return HalfOpenKeep // not before the last chance
	}
	r.counters.Retransmits++
	r.synAck(h, h.tsNow(now), out)
	return HalfOpenReply
}

// Abort fills in the reset that tells the peer that its SYN is not wanted any more:
// the listener is gone.
func (r *Responder) Abort(now clock.Time, h *HalfOpen, out *Out) {
	r.header(out, h, h.iss+1, wire.RST|wire.ACK, h.tsNow(now))
}

// InFlight reports whether seq, which an ICMP error quotes, is of our SYN-ACK.
func (h *HalfOpen) InFlight(seq uint32) bool { return seq == h.iss }

// Accept returns the connection that h has become. cfg is as for NewPassive, but that
// h has the ISS and the timestamp offset. The segment that completes the
// handshake is to be given to it at once.
func (r *Responder) Accept(now clock.Time, cfg *Config, h *HalfOpen) *Conn {
	cfg.ISS, cfg.TSOffset = h.iss, h.tsOffset
	if cfg.Shared == nil {
		cfg.Shared = r.shared
	}
	c := newConn(h.opened, cfg)
	c.passive = true
	c.state = api.StateSynReceived
	c.sackOK, c.tsOK, c.scaleOK = h.flags&halfSACK != 0, h.flags&halfTimestamps != 0, h.flags&halfScale != 0
	syn := Segment{TCP: wire.TCP{Seq: h.irs, Flags: wire.SYN, Window: h.peerWindow, Options: wire.TCPOptions{
		HasMSS: true, MSS: h.peerMSS, SACKPermitted: c.sackOK, HasTimestamps: c.tsOK, TSval: h.tsRecent,
		HasWindowScale: c.scaleOK, WindowScale: h.peerScale,
	}}}
	c.takeSyn(h.opened, &syn)
	c.ecn.mode, c.ecn.ok = r.ecn, h.flags&halfECN != 0

	// As if it had sent the SYN-ACK itself.
	c.sndNxt = c.iss + 1
	c.synWindow = r.window
	c.rcvEdge = c.rcvNxt + uint64(r.window)
	if c.scaleOK {
		c.rcvEdge = c.rcvNxt + uint64(r.scaledWindow())<<r.scale
	}
	c.lastSend, c.lastDataSent = h.repeated, h.repeated
	c.synRexmits = uint16(h.retries)
	c.synAmbiguous = h.flags&halfAmbiguous != 0
	if h.flags&halfChallenged != 0 {
		c.keepRare()
		c.challenged, c.challengeAt = true, h.answered
	}
	n := uint64(h.retries)
	c.stats.segsReceived, c.stats.segsSent = 1, 1+n
	if n > 0 {
		c.keepRare()
		c.seldom.rexmits, c.seldom.timeouts = n, uint32(n)
	}
	if h.retries >= maxR1 {
		c.softError(api.ErrTimeout)
	}
	c.tm[tmRetransmit] = r.Deadline(h)
	c.watchUser(h.opened)
	return c
}

// Info returns a snapshot of h, as Conn.Info does.
func (r *Responder) Info(now clock.Time, h *HalfOpen, local, remote netip.AddrPort) api.Info {
	i := api.Info{
		State: api.StateSynReceived, Src: local, Dst: remote, Congestion: r.shared.name,
		InFlight: 1, SendWindow: int64(h.peerWindow), RecvWindow: int64(r.window),
		RTO: r.Deadline(h).Sub(h.repeated), Backoff: int(h.retries),
		SendMSS: int64(h.peerMSS), RecvMSS: int64(r.mss4),
		SendWindowScale: -1, RecvWindowScale: -1,
		SACK: h.flags&halfSACK != 0, Timestamps: h.flags&halfTimestamps != 0, ECN: h.flags&halfECN != 0,
		SegmentsSent: 1 + uint64(h.retries), SegmentsReceived: 1,
		UnackedSegments: 1, Retries: int(h.retries), AckDelay: r.p.DelayedAck,
		Retransmits: uint64(h.retries), Timeouts: uint64(h.retries),
		Timer: "retransmit", TimerLeft: max(0, r.Deadline(h).Sub(now)),
		TTL: r.ttl, DSCP: r.dscp, SendBuffer: r.sendBuffer, RecvBuffer: r.recvBuffer,
	}
	if h.flags&halfV6 != 0 {
		i.RecvMSS = int64(r.mss6)
	}
	if h.flags&halfTimestamps != 0 {
		i.SendMSS -= tsOptionLen
	}
	if h.flags&halfScale != 0 {
		i.SendWindowScale, i.RecvWindowScale = int(h.peerScale), int(r.scale)
	}
	return i
}

// Times returns when the SYN came, and when the last SYN-ACK was sent.
func (h *HalfOpen) Times() (opened, sent clock.Time) { return h.opened, h.repeated }

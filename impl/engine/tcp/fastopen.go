package tcp

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/fault"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// TCP Fast Open (RFC 7413): data travel with the SYN. A cookie that a server has given
// proves that a client is where it says it is, so that the server may take the data
// from the SYN, and answer, before the handshake is complete.
//
// The connection knows what it does in one handshake. What is known about servers, the
// keys that cookies are made with, and the bounds on what peers may ask for are the
// host's.

// FastOpenParams are the parameters of Fast Open. The zero value has it off.
type FastOpenParams struct {
	Client bool // what is dialled with data may send them with the SYN
	Server bool // listeners that ask for it may take data from SYNs

	// ClientWithoutCookie sends data without a cookie and without the option, and
	// ServerWithoutCookie takes them (section 8 of the RFC wants cookies: only where every
	// peer is trusted).
	ClientWithoutCookie, ServerWithoutCookie bool

	// Keys are those that cookies are made with; beyond the first, which makes new ones,
	// they are only good for those that are out. None: they follow from the
	// stack's secret, and a new one comes every day.
	Keys []FastOpenKey

	// Quiet is for how long a path on which Fast Open has failed is left alone (section
	// 4.1.3.1); 0: an hour; negative: not at all.
	Quiet time.Duration

	// Pause, if not 0, is for how long no data go with any SYN after a connection that
	// did has met what looks like a black hole; it doubles while that goes on, up
	// to 64 times. Linux: tcp_fastopen_blackhole_timeout_sec.
	Pause time.Duration

	// TryExperimental asks a server that has not answered a request with the option of
	// kind 254 the next time, as Linux does.
	TryExperimental bool
}

// FastOpenStatus is what has become of Fast Open on a connection.
type FastOpenStatus uint8

// The statuses.
const (
	FastOpenUnused        FastOpenStatus = iota
	FastOpenAccepted                     // data travelled with the SYN, and were taken
	FastOpenNoCookie                     // there was no cookie, or Fast Open is paused
	FastOpenNotAcked                     // the peer did not take the data from the SYN
	FastOpenRetransmitted                // the SYN had to be sent again, without them
	FastOpenTried                        // the SYN with data is under way
)

var fastOpenNames = [...]string{
	FastOpenAccepted: "accepted", FastOpenNoCookie: "no-cookie", FastOpenNotAcked: "not-acknowledged",
	FastOpenRetransmitted: "retransmitted", FastOpenTried: "tried",
}

// FastOpenDial is what an active connection knows of the server.
type FastOpenDial struct {
	Cookie       wire.Cookie // of no octets: ask for one, and send no data
	Experimental bool        // the option is that of kind 254
	NoOption     bool        // send data, and no option
	Off          bool        // neither; Info still tells that it was wanted
	MSS          int64       // that the server announced; 0: not known
}

// FastOpenOutcome is what a handshake with Fast Open, or its failure, has taught the client.
type FastOpenOutcome struct {
	Cookie       wire.Cookie // that the server gave, if it has octets
	Experimental bool
	MSS          int64 // that the server announced, or 0

	Established bool // the handshake was completed
	Failed      bool // negative, as section 4.1.3.1 has it: leave the path alone
	Unanswered  bool // a request that got no cookie
	Blackhole   bool // the path loses what has to do with Fast Open, as it seems
	Transferred bool // the peer's data have come, so it does not
}

// fastOpen is the state of a connection whose SYN has the option, or data, until its
// handshake is complete and the host has been told.
type fastOpen struct {
	sent bool // a SYN, or SYN-ACK, has been sent

	// Of an active connection.
	dial    FastOpenDial
	over    bool // the SYN has been answered
	plain   bool // the SYN is sent without option and data from now on
	offered bool // the SYN had the option
	data    bool // the SYN had data
	outcome FastOpenOutcome
	told    bool // outcome holds, and has not been taken

	// Of a passive connection.
	pending bool                // the SYN-ACK is not acknowledged, and the user has the connection
	sentAt  clock.Time          // the SYN-ACK
	option  wire.FastOpenOption // for the first SYN-ACK
}

// synRoom is left in a SYN for options: those that middleboxes add included.
const synRoom = 40

// SynData returns how many bytes may go with a SYN (section 4.2.2): what the MSS that
// the server announced last leaves beside options, or the default one, and no
// more than the path carries nor than is usual (section 4.1.3).
func SynData(v6 bool, cached, linkMTU, ourMSS int64) int64 {
	mss, usual, headers := int64(536), int64(1460), int64(40)
	if v6 {
		mss, usual, headers = 1220, 1440, 60
	}
	if cached > 0 {
		mss = cached
	}
	if mss = min(mss, usual, linkMTU-headers); ourMSS > 0 {
		mss = min(mss, ourMSS)
	}
	return max(0, mss-synRoom)
}

// pending reports whether c is a passive connection the SYN-ACK of which has not been
// acknowledged, although its user has it.
func (c *Conn) pending() bool { return c.fast != nil && c.fast.pending }

// FastOpening reports the same.
func (c *Conn) FastOpening() bool { return c.pending() && c.state != api.StateClosed }

// dialFast is called by NewActive.
func (c *Conn) dialFast(d *FastOpenDial) {
	if d.Off || d.Cookie.Len == 0 && !d.NoOption {
		c.fastStatus = FastOpenNoCookie
	}
	if !d.Off {
		c.fast = &fastOpen{dial: *d}
	}
}

// synFast adds the option and the data to a SYN, and reports whether that was done.
func (c *Conn) synFast(now clock.Time, out *Out) {
	f := c.fast
	if f == nil || (f.sent || f.plain) && !fault.On("fast-open-repeated") {
		return
	}
	f.sent = true
	d := &f.dial
	if !d.NoOption {
		out.TCP.Options.FastOpen = wire.FastOpenOption{Present: true, Experimental: d.Experimental, Cookie: d.Cookie}
		if out.TCP.HeaderLen() == headerWithout(&out.TCP) {
			out.TCP.Options.FastOpen = wire.FastOpenOption{} // no room: section 4.2.2, (1a)
			return
		}
		f.offered = true
		if d.Cookie.Len == 0 && !fault.On("fast-open-without-cookie") {
			return
		}
	}
	n := min(int64(c.sq.end-c.iss-1), SynData(c.v6, d.MSS, int64(c.pathMTU), int64(c.cfg.Flow.MSS)))
	if fault.On("fast-open-beyond-mss") {
		n = min(int64(c.sq.end-c.iss-1), int64(c.pathMTU)-c.fixedHeaders()-synRoom)
	}
	if n <= 0 || fault.On("fast-open-never") {
		return
	}
	f.data = true
	c.fastStatus = FastOpenTried
	c.watchLosses()
	r := txRec{start: c.iss + 1, end: c.iss + 1 + uint64(n), flags: recPush}
	c.stampSend(now, &r)
	if c.sndNxt < r.end {
		c.sb.push(r)
	}
	c.payload(out, r.start, n, n)
	c.sndNxt, c.pushBase = r.end, r.end
	c.stats.bytesSent += uint64(n)
}

func headerWithout(t *wire.TCP) int {
	u := *t
	u.Options.FastOpen = wire.FastOpenOption{}
	return u.HeaderLen()
}

// fastSynTimeout is called when the SYN of an active connection has not been answered.
// From now on it has neither data nor the option: section 4.2.2, "network or servers
// dropping SYN packets with payload or unknown options".
func (c *Conn) fastSynTimeout() {
	f := c.fast
	if f == nil || c.passive || f.over {
		return
	}
	f.plain = true
	if f.data {
		c.fastStatus = FastOpenRetransmitted
		c.fastTimeout(int(c.synRexmits))
	}
}

// fastTooBig is called when a SYN does not fit through the path: without data it does.
func (c *Conn) fastTooBig() {
	if f := c.fast; f != nil && f.data && !f.plain && !f.over {
		f.plain = true
		c.fastStatus = FastOpenRetransmitted
		c.synDue = c.state == api.StateSynSent
	}
}

// fastSynAnswered takes in the SYN-ACK, which acknowledges up to ack. The connection has
// been established.
func (c *Conn) fastSynAnswered(now clock.Time, h *wire.TCP, ack uint64) {
	f := c.fast
	if f == nil || f.over {
		return
	}
	f.over = true
	taken := ack >= c.sndNxt
	if f.data {
		c.fastSynData(now, h, ack)
	}
	o := FastOpenOutcome{Established: true, MSS: int64(c.peerMSS)}
	if fo := &h.Options.FastOpen; fo.Present && fo.Cookie.Len > 0 && f.offered { // else nobody has asked for it
		o.Cookie, o.Experimental = fo.Cookie, fo.Experimental
	}
	if fault.On("fast-open-cookie-not-kept") && f.dial.Cookie.Len > 0 {
		o.Cookie = f.dial.Cookie
	}
	switch none := o.Cookie.Len == 0; {
	case f.data && taken:
		c.fastStatus = FastOpenAccepted
	case f.data && f.plain:
		// What was answered is the plain SYN, unless there is a cookie.
		c.fastStatus = FastOpenRetransmitted
		o.Failed = none
	case f.data:
		c.fastStatus = FastOpenNotAcked
		o.Failed = none
	case f.offered && none && f.dial.Cookie.Len == 0:
		o.Unanswered, o.Failed = !f.plain, f.plain
	}
	c.tellFastOpen(o)
}

// fastSynData takes in what a SYN-ACK acknowledges of the data that went with the
// SYN, and has the rest sent again at once: that they were not taken is no sign of
// congestion.
func (c *Conn) fastSynData(now clock.Time, h *wire.TCP, ack uint64) {
	if ack > c.sndUna {
		// One round trip is measured once; and the window of a SYN is not scaled.
		rtt, scale := c.rtt, c.sndScale
		c.sndScale = 0
		g := *h
		g.Flags = wire.ACK
		c.segmentAck(now, &g, c.irs, ack, false)
		c.rtt, c.sndScale = rtt, scale
	}
	if c.state != api.StateClosed && !fault.On("fast-open-data-forgotten") {
		c.resendSynData(now)
	}
}

// resendSynData makes what is left of the data of the SYN be sent again.
func (c *Conn) resendSynData(now clock.Time) {
	if len(c.sb.live()) == 0 {
		return
	}
	c.withoutWatch(func() { c.sb.loseAll(false) })
	if !c.tm.armed(tmRetransmit) {
		c.tm[tmRetransmit] = now.Add(c.currentRTO())
	}
}

// fastEnded is called when a connection ends.
func (c *Conn) fastEnded(reason error) {
	f := c.fast
	switch {
	case c.passive:
		c.fast = nil
	case f != nil && !f.over:
		f.over = true
		// Given up by the user before anything was lost: nothing has been learnt.
		// And a port that is closed is no fault of a request.
		if (f.data || f.offered && reason != api.ErrRefused) && (reason != api.ErrAborted && reason != api.ErrDisconnected || f.plain) {
			c.tellFastOpen(FastOpenOutcome{Failed: true})
		}
	case c.fastStatus == FastOpenUnused:
	case c.stats.dataReceived > 0:
		c.tellFastOpen(FastOpenOutcome{Transferred: true})
	case c.hasRcvFin && c.rcvNxt <= c.rcvFin:
		c.fastStrayed() // what came before the FIN did not
	}
}

// fastTimeout is called when the same was sent n times in vain. Some middleboxes lose
// SYNs with data, or let them pass and lose what follows: after the third time, that is
// what it is taken for.
func (c *Conn) fastTimeout(n int) {
	switch c.fastStatus {
	case FastOpenAccepted, FastOpenNotAcked, FastOpenRetransmitted:
		if n == fastBlackholeTimeouts && !c.passive {
			c.tellFastOpen(FastOpenOutcome{Failed: true, Blackhole: true})
		}
	}
}

const fastBlackholeTimeouts = 3

// fastStrayed is called when a RST or a FIN has come from beyond what has arrived,
// before any data: what lies between has been lost on the way.
func (c *Conn) fastStrayed() {
	if !c.passive && c.fastStatus != FastOpenUnused && c.stats.dataReceived == 0 {
		c.tellFastOpen(FastOpenOutcome{Failed: true, Blackhole: true})
	}
}

func (c *Conn) tellFastOpen(o FastOpenOutcome) {
	if fault.On("fast-open-failure-forgotten") {
		o.Failed, o.Unanswered = false, false
	}
	if c.fast == nil {
		c.fast = &fastOpen{over: true}
	}
	c.fast.outcome, c.fast.told = o, true
}

// TakeFastOpen returns what has been learnt about Fast Open to the peer, once.
func (c *Conn) TakeFastOpen() (o FastOpenOutcome, ok bool) {
	f := c.fast
	if f == nil || !f.told {
		return o, false
	}
	f.told = false
	if f.over {
		c.fast = nil
	}
	return f.outcome, true
}

// FastOpenStatus returns what has become of Fast Open.
func (c *Conn) FastOpenStatus() FastOpenStatus { return c.fastStatus }

// NewFastOpen returns a connection in SYN-RECEIVED of which a SYN with a valid cookie is
// all that there is so far: its user may read the data of the SYN, and write (section
// 4.2.2, server). fresh, if present, is for the SYN-ACK. cfg is as for NewPassive.
func NewFastOpen(now clock.Time, cfg *Config, syn *Segment, fresh wire.FastOpenOption) (*Conn, error) {
	data := Segment{TCP: syn.TCP, Payload: syn.Payload, Len: syn.Len, CE: syn.CE, ECT: syn.ECT}
	syn.Payload, syn.Len = nil, 0
	defer releasePayload(&data)
	c, err := NewPassive(now, cfg, syn)
	if err != nil {
		return nil, err
	}
	c.fast = &fastOpen{pending: true, sentAt: now, option: fresh}
	// The SYN-ACK is looked after on its own: for everything else it is as if it
	// had been acknowledged.
	c.sndUna, c.sndNxt = c.iss+1, c.iss+1
	c.sndEdge = c.sndUna + uint64(data.TCP.Window)
	c.sndWl2 = c.sndUna
	c.startCongestionControl(now)
	if fault.On("fast-open-window-unbounded") {
		c.cwnd = 1 << 20
	}
	if over := data.Len - min(c.receiveLimit(), 65535); over > 0 {
		c.trimBack(&data, over)
	}
	if data.Len > 0 && !fault.On("fast-open-data-dropped") {
		c.fastStatus = FastOpenAccepted
		c.stats.dataReceived++
		c.lastDataReceived = now
		c.rcvEdge = max(c.rcvEdge, c.rcvNxt+uint64(data.Len)) // it is here already
		c.segmentData(now, &data, c.rcvNxt)
		c.lastAckSent = c.rcvNxt
		c.tm.stop(tmDelack)
		c.ackPending, c.ackNow = 0, false // the SYN-ACK acknowledges it
	}
	c.events |= EventEstablished | EventState | EventWrite
	c.checkInvariants()
	return c, nil
}

// fastEstablished completes the handshake of a pending connection.
func (c *Conn) fastEstablished(now clock.Time) {
	c.fast = nil
	c.tm.stop(tmRetransmit)
	c.tm.stop(tmUser)
	c.synDue = false
	c.backoff, c.retries = 0, 0
	c.progressAt = now
	c.initTune(now)
	c.stats.delivered++ // the SYN
	if c.synRexmits > 0 {
		// RFC 5681, section 3.1: the window after a lost SYN-ACK is one segment. And
		// RFC 6298, (5.7).
		if c.rtt.samples == 0 {
			c.rtt.rto = max(c.rtt.rto, 3*clockSecond)
		}
		c.startCongestionControl(now)
	}
	if c.state == api.StateSynReceived {
		c.setState(api.StateEstablished)
		if c.finQueued {
			c.setState(api.StateFinWait1)
		}
	}
	c.events |= EventEstablished | EventWrite
	c.startKeepalive(now)
	if c.sndUna < c.sndNxt {
		c.tm[tmRetransmit] = now.Add(c.currentRTO())
	}
	if c.waiting() {
		c.watchUser(now)
	}
}

// A FastOpenKey is a secret that cookies are made with, as Linux takes it:
// tcp_fastopen_key has it as four words.
type FastOpenKey [2]uint64

// ParseFastOpenKey returns the key of 16 octets.
func ParseFastOpenKey(b []byte) FastOpenKey {
	return FastOpenKey{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}
}

// Cookie returns the cookie of the client at remote for the server at local (RFC 7413,
// section 4.1.2): SipHash-2-4 of the addresses of a SYN as they stand in its header. Linux
// computes the same, so that servers which share a key take each other's.
func (k FastOpenKey) Cookie(local, remote netip.Addr) wire.Cookie {
	var b []byte
	b = append(b, remote.AsSlice()...)
	b = append(b, local.AsSlice()...)
	key := CookieKey(k)
	h := newSip(&key)
	for p := b; len(p) > 0; p = p[8:] {
		h.word(binary.LittleEndian.Uint64(p))
	}
	c := wire.Cookie{Len: 8}
	binary.LittleEndian.PutUint64(c.Octets[:], h.sum(len(b)))
	return c
}

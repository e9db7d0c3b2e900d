package conformance

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
)

// Lab is one stack opposite a peer that speaks in raw packets. The link
// between them takes no time: what the stack answers to a packet at once is
// there when Send returns.
type Lab struct {
	*T
	Stack      api.Stack
	Host, Peer netip.Addr // the stack's address and the peer's

	port     *port
	nextPort uint16

	mu    sync.Mutex
	inbox []*Segment
	other [][]byte              // packets that are not TCP
	hook  func(s *Segment) bool // sees TCP first, and keeps what it says true to
	w     clock.Waiter
}

// Lab makes a stack and its peer. edit, if not nil, may change the stack's
// environment.
func (t *T) Lab(edit func(*Env)) *Lab {
	w := &Lab{T: t, nextPort: uint16(20_000 + t.rand.IntN(30_000)), w: t.clk.NewWaiter()}
	w.Host, w.Peer = addrA4, addrB4
	if t.V6() {
		w.Host, w.Peer = addrA6, addrB6
	}
	w.port = &port{t: t, name: "wire", send: w.take}
	env := &Env{Clock: t.clk, Link: w.port, Addresses: prefixes(addrA4, addrA6), Seed: t.seed}
	if edit != nil {
		edit(env)
	}
	w.Stack = t.newStack(env)
	return w
}

// take is the link's Send.
func (w *Lab) take(p *link.Packet) {
	raw := p.AppendTo(nil)
	w.trace.add(w.clk.Now(), "stack", raw)
	w.oracle.packet(raw)
	s := decode(raw)
	w.mu.Lock()
	hook := w.hook
	w.mu.Unlock()
	if s != nil {
		s.At = w.clk.Now()
		if hook != nil && hook(s) {
			return
		}
	}
	w.mu.Lock()
	if s != nil {
		w.inbox = append(w.inbox, s)
	} else {
		w.other = append(w.other, raw)
	}
	w.mu.Unlock()
	w.w.Wake()
}

// Hook lets f see every segment first; those for which it returns true go no
// further. It is called from within the stack's Send and must not send.
func (w *Lab) Hook(f func(s *Segment) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hook = f
}

// Inject hands packets to the stack, as one batch.
func (w *Lab) Inject(raws ...[]byte) {
	w.abandoned()
	batch := make([]link.Packet, len(raws))
	for i, raw := range raws {
		if len(raw) > linkMTU {
			panic(fmt.Sprintf("BUG: the peer sends a packet of %d bytes", len(raw)))
		}
		w.trace.add(w.clk.Now(), "peer", raw)
		w.oracle.heard(raw)
		batch[i] = packetOf(raw)
	}
	w.port.deliver(batch)
}

// SendSegment sends s from the peer. Addresses that are zero are filled in.
func (w *Lab) SendSegment(s *Segment) {
	if !s.Src.Addr().IsValid() {
		s.Src = netip.AddrPortFrom(w.Peer, s.Src.Port())
	}
	if !s.Dst.Addr().IsValid() {
		s.Dst = netip.AddrPortFrom(w.Host, s.Dst.Port())
	}
	w.Inject(encode(s))
}

// In real time a stack answers from other goroutines or from the kernel, so every
// deadline is a little later; and a case that would wait for longer than that
// does not apply.
const (
	realGrace    = 40 * time.Millisecond // to see what the stack does
	realDelay    = time.Second           // for what it must do: a busy machine is late
	realPatience = 8 * time.Second
)

// paced is time enough for a flight of a sender that paces, on the suite's links,
// whose round trips take none; and less than any retransmission timer.
const paced = 20 * time.Millisecond

// extend returns the deadline to wait for, and whether reaching it says nothing.
func (t *T) extend(deadline clock.Time, grace time.Duration) (clock.Time, bool) {
	if t.virtual {
		return deadline, false
	}
	if limit := t.clk.Now().Add(realPatience); deadline > limit {
		return limit, true
	}
	return deadline.Add(grace), false
}

// late returns d, the time within which something has to happen, and what it may be
// late in real time.
func (t *T) late(d time.Duration) time.Duration {
	if t.virtual {
		return d
	}
	return d + realDelay
}

// next returns the next segment, or nil if none comes before the deadline.
func (w *Lab) next(deadline clock.Time) *Segment { return w.await(deadline, realGrace) }

// due is next of a segment that has to come.
func (w *Lab) due(deadline clock.Time) *Segment { return w.await(deadline, realDelay) }

func (w *Lab) await(deadline clock.Time, grace time.Duration) *Segment {
	w.abandoned()
	deadline, cut := w.extend(deadline, grace)
	for {
		w.mu.Lock()
		if len(w.inbox) > 0 {
			s := w.inbox[0]
			w.inbox = w.inbox[1:]
			w.mu.Unlock()
			return s
		}
		w.mu.Unlock()
		now := w.clk.Now()
		if now >= deadline {
			if cut {
				w.Skipf("it takes more than %v of real time", realPatience)
			}
			return nil
		}
		ctx, cancel := w.clk.WithTimeout(w.ctx, deadline.Sub(now))
		w.w.Park(ctx)
		cancel()
	}
}

// Segment returns the first segment that match accepts, and throws away those
// before it. It fails the case if none comes in time.
func (w *Lab) Segment(within time.Duration, what string, match func(*Segment) bool) *Segment {
	deadline := w.clk.Now().Add(within)
	for {
		s := w.due(deadline)
		if s == nil {
			w.Fatalf("no %s within %v", what, within)
		}
		if match(s) {
			return s
		}
	}
}

// Quiet fails the case if a segment that match accepts comes within d.
func (w *Lab) Quiet(d time.Duration, what string, match func(*Segment) bool) {
	deadline := w.clk.Now().Add(d)
	for s := w.next(deadline); s != nil; s = w.next(deadline) {
		if match(s) {
			w.Fatalf("unexpected %s: %s", what, s)
		}
	}
}

// Packet returns the next packet that is not TCP, or nil if none comes in time.
func (w *Lab) Packet(within time.Duration) []byte {
	deadline := w.clk.Now().Add(within)
	for {
		w.mu.Lock()
		if len(w.other) > 0 {
			raw := w.other[0]
			w.other = w.other[1:]
			w.mu.Unlock()
			return raw
		}
		w.mu.Unlock()
		now := w.clk.Now()
		if now >= deadline {
			return nil
		}
		ctx, cancel := w.clk.WithTimeout(w.ctx, deadline.Sub(now))
		w.w.Park(ctx)
		cancel()
	}
}

func anySegment(*Segment) bool { return true }

func isRST(s *Segment) bool { return s.Has(RST) }

func isSYN(s *Segment) bool { return s.Flags&(SYN|ACK) == SYN }

func isSYNACK(s *Segment) bool { return s.Has(SYN | ACK) }

func hasData(s *Segment) bool { return len(s.Payload) > 0 }

// A WirePort is a port on which the stack under test listens.
type WirePort struct {
	Port  uint16
	Flows *Mailbox[api.Flow]
}

// Listen makes the stack listen on a port of its choice.
func (w *Lab) Listen(cfg *api.ListenConfig) *WirePort {
	l := &WirePort{Flows: NewMailbox[api.Flow](w.T)}
	port, err := w.Stack.Listen(0, cfg, func(_ context.Context, f api.Flow) { l.Flows.Put(f) })
	if err != nil {
		w.Fatalf("listen: %v", err)
	}
	l.Port = port
	return l
}

// Hello is how the peer opens its side of a connection.
type Hello struct {
	MSS    int           // 0: 1460 or 1440; negative: no option
	Scale  int           // 0: no option; negative: a shift of 0
	SACK   bool          // permitted
	TS     bool          // timestamps
	Window uint16        // field of every segment; 0: 65535
	ISS    uint32        // 0: random
	Port   uint16        // of the peer; 0: a fresh one
	RTT    time.Duration // that the handshake takes; 0: none
	Flow   api.FlowConfig
	Nagle  bool   // leave Nagle's algorithm on; otherwise small segments need not wait
	Extra  []byte // more options of the SYN
}

// flow returns the options of the stack's flow.
func (h *Hello) flow() api.FlowConfig {
	f := h.Flow
	f.NoDelay = f.NoDelay || !h.Nagle
	return f
}

// options returns the peer's SYN options.
func (c *Conn) options() []byte {
	var b []byte
	h := &c.hello
	if h.MSS >= 0 {
		b = append(b, optMSS(uint16(h.MSS))...)
	}
	if h.SACK {
		b = append(b, optSACKPermitted()...)
	}
	if h.TS {
		b = append(b, optTimestamps(c.tsNow(), c.tsRecent)...)
	}
	if h.Scale != 0 {
		b = append(b, optScale(uint8(max(h.Scale, 0)))...)
	}
	return append(b, h.Extra...)
}

// Conn is the peer's half of one connection. Its sequence numbers are relative:
// 0 is the SYN of that direction and 1 its first byte.
type Conn struct {
	*Lab
	Flow api.Flow

	hello         Hello
	peer, host    netip.AddrPort
	iss, irs      uint32
	snd           uint32   // next to send
	rcv           uint32   // next expected
	win           uint16   // window field to send
	shift         uint8    // of the stack's windows, 0 if not negotiated
	syn           *Segment // the stack's SYN or SYN-ACK
	ts            bool     // negotiated
	closed        bool     // the peer has sent a FIN: windows mean nothing any more
	tsRecent      uint32
	tsBase        uint32
	raw           bool  // the stack's payload is not the pattern
	written       int   // bytes of the pattern written to Flow
	read          int   // bytes of the pattern read from Flow
	lastWindow    int64 // the stack's, unscaled, newest
	hasLastWindow bool
	rightEdge     int64 // greatest relAck + window announced by the stack
}

func (w *Lab) newConn(h Hello) *Conn {
	c := &Conn{Lab: w, hello: h}
	if c.hello.MSS == 0 {
		c.hello.MSS = 1460
		if w.V6() {
			c.hello.MSS = 1440
		}
	}
	if c.hello.Window == 0 {
		c.hello.Window = 65535
	}
	c.iss = h.ISS
	if c.iss == 0 {
		c.iss = w.rand.Uint32()
	}
	if c.hello.Port == 0 {
		w.nextPort++
		c.hello.Port = w.nextPort
	}
	c.win = c.hello.Window
	c.tsBase = 1_000_000
	c.peer = netip.AddrPortFrom(w.Peer, c.hello.Port)
	return c
}

// Open returns a connection that the peer has opened to l.
func (w *Lab) Open(l *WirePort, h Hello) *Conn {
	c := w.newConn(h)
	c.host = netip.AddrPortFrom(w.Host, l.Port)
	c.SYN()
	c.SYNACK()
	if h.RTT > 0 {
		w.Sleep(h.RTT)
	}
	c.Send(ACK)
	f, err := l.Flows.Take(w.Timeout(time.Minute))
	if err != nil {
		w.Fatalf("the handshake is complete but no flow was accepted: %v", err)
	}
	c.Flow = f
	return c
}

// Accept returns a connection that the peer has opened to a listener of its own.
func (w *Lab) Accept(h Hello) *Conn {
	return w.Open(w.Listen(&api.ListenConfig{Flow: h.flow()}), h)
}

// SYN sends the peer's SYN.
func (c *Conn) SYN() {
	c.snd = 0
	c.Send(SYN, Opts(c.options()))
}

// SYNACK waits for the stack's SYN-ACK and takes over what it says.
func (c *Conn) SYNACK() *Segment {
	s := c.Segment(5*time.Second, "SYN-ACK", func(s *Segment) bool { return c.mine(s) && isSYNACK(s) })
	if s.Ack != c.iss+1 {
		c.Fatalf("the SYN-ACK acknowledges %d instead of %d", s.Ack, c.iss+1)
	}
	c.hear(s)
	return s
}

// hear takes over the stack's SYN or SYN-ACK.
func (c *Conn) hear(s *Segment) {
	c.syn, c.irs, c.rcv = s, s.Seq, 1
	c.ts = c.hello.TS && s.HasTimestamps
	c.tsRecent = s.TSval
	if s.HasScale {
		c.shift = s.Scale
	}
	c.lastWindow, c.hasLastWindow = int64(s.Window), true
	c.rightEdge = 1 + int64(s.Window)
}

// A dialling is a Dial of the stack under way.
type dialling struct {
	flow api.Flow
	err  error
}

// StartDial makes the stack dial the peer, and returns when its SYN has come.
func (w *Lab) StartDial(h Hello) (*Conn, *Op[dialling]) {
	c := w.newConn(h)
	cfg := h.flow()
	op := Start(w.T, "dial", func() dialling {
		f, err := w.Stack.Dial(w.Bound(), c.peer, &cfg)
		return dialling{f, err}
	})
	s := w.Segment(time.Second, "SYN", func(s *Segment) bool { return isSYN(s) && s.Dst == c.peer })
	c.host = s.Src
	c.hear(s)
	if h.Scale == 0 {
		c.shift = 0 // our SYN-ACK will not offer it
	}
	return c, op
}

// Dial returns a connection that the stack has opened to the peer.
func (w *Lab) Dial(h Hello) *Conn {
	c, op := w.StartDial(h)
	c.Send(SYN|ACK, Opts(c.options()))
	d := op.WaitFor(time.Second)
	if d.err != nil {
		w.Fatalf("dial: %v", d.err)
	}
	c.Flow = d.flow
	c.Got(time.Second, "ACK of the handshake", func(s *Segment) bool { return s.Has(ACK) && s.Flags&SYN == 0 && c.ackOf(s) == 1 })
	return c
}

// mine reports whether s belongs to c.
func (c *Conn) mine(s *Segment) bool { return s.Src == c.host && s.Dst == c.peer }

// seqOf and ackOf return a segment's relative numbers.
func (c *Conn) seqOf(s *Segment) uint32 { return s.Seq - c.irs }
func (c *Conn) ackOf(s *Segment) uint32 { return s.Ack - c.iss }

// windowOf returns the window that s announces, in bytes.
func (c *Conn) windowOf(s *Segment) int64 {
	if s.Has(SYN) {
		return int64(s.Window)
	}
	return int64(s.Window) << c.shift
}

func (c *Conn) tsNow() uint32 { return c.tsBase + uint32(int64(c.clk.Now())/int64(time.Millisecond)) }

// A Mod changes a segment before it is sent.
type Mod func(c *Conn, s *Segment, o *sendOptions)

type sendOptions struct {
	hold  bool // c.snd stays
	bare  bool // no timestamps
	n     int  // bytes of the pattern, put in last
	tsval *uint32
	tsecr *uint32
}

// Seq sets the relative sequence number, and leaves the next one as it is.
func Seq(rel uint32) Mod {
	return func(c *Conn, s *Segment, o *sendOptions) { s.Seq, o.hold = c.iss+rel, true }
}

// Ack sets the relative acknowledgment number.
func Ack(rel uint32) Mod { return func(c *Conn, s *Segment, _ *sendOptions) { s.Ack = c.irs + rel } }

// Data adds n bytes of the pattern, as they belong to the sequence number.
func Data(n int) Mod { return func(_ *Conn, _ *Segment, o *sendOptions) { o.n = n } }

// Bytes adds a payload.
func Bytes(b []byte) Mod { return func(_ *Conn, s *Segment, _ *sendOptions) { s.Payload = b } }

// Win sets the window field.
func Win(n uint16) Mod { return func(_ *Conn, s *Segment, _ *sendOptions) { s.Window = n } }

// Urg sets the urgent pointer.
func Urg(n uint16) Mod { return func(_ *Conn, s *Segment, _ *sendOptions) { s.Urgent = n } }

// IPECN sets the ECN field of the IP header: ECT0, ECT1 or CE.
func IPECN(n uint8) Mod { return func(_ *Conn, s *Segment, _ *sendOptions) { s.TOS = s.TOS&^3 | n } }

// The ECN field (RFC 3168, section 5).
const (
	notECT uint8 = iota
	ect1
	ect0
	congestionExperienced
)

// ecnOf returns the ECN field of a segment's IP header.
func ecnOf(s *Segment) uint8 { return s.TOS & 3 }

// Opts adds raw options.
func Opts(b []byte) Mod {
	return func(_ *Conn, s *Segment, _ *sendOptions) { s.Options = append(s.Options, b...) }
}

// NoTS leaves out the timestamps.
func NoTS(_ *Conn, _ *Segment, o *sendOptions) { o.bare = true }

// TSval sets the timestamp.
func TSval(v uint32) Mod { return func(_ *Conn, _ *Segment, o *sendOptions) { o.tsval = &v } }

// TSecr sets the timestamp that is echoed.
func TSecr(v uint32) Mod { return func(_ *Conn, _ *Segment, o *sendOptions) { o.tsecr = &v } }

// SACKed adds blocks, in relative numbers of the stack's stream, two by two.
func SACKed(edges ...uint32) Mod {
	return func(c *Conn, s *Segment, _ *sendOptions) {
		var rs []Range
		for i := 0; i+1 < len(edges); i += 2 {
			rs = append(rs, Range{c.irs + edges[i], c.irs + edges[i+1]})
		}
		s.Options = append(s.Options, optSACK(rs...)...)
	}
}

// build makes the next segment of c.
func (c *Conn) build(flags Flags, mods ...Mod) *Segment {
	s := &Segment{Src: c.peer, Dst: c.host, Flags: flags, Seq: c.iss + c.snd, Window: c.win}
	if flags&ACK != 0 {
		s.Ack = c.irs + c.rcv
	}
	var o sendOptions
	for _, m := range mods {
		m(c, s, &o)
	}
	if c.ts && !o.bare && flags&SYN == 0 {
		val := c.tsNow()
		if o.tsval != nil {
			val = *o.tsval
		}
		ecr := c.tsRecent
		if o.tsecr != nil {
			ecr = *o.tsecr
		}
		s.Options = append(optTimestamps(val, ecr), s.Options...)
	}
	if o.n > 0 {
		s.Payload = pattern(int(s.Seq-c.iss)-1, o.n)
	}
	if !o.hold {
		c.snd += s.Len()
		c.closed = c.closed || s.Has(FIN)
	}
	return s
}

// Send sends a segment: by default the next sequence number, acknowledging
// everything received.
func (c *Conn) Send(flags Flags, mods ...Mod) *Segment {
	s := c.build(flags, mods...)
	c.Inject(encode(s))
	return s
}

// Take returns the next segment of the connection, or nil if none comes before
// the deadline. What it carries has been noted.
func (c *Conn) Take(deadline clock.Time) *Segment { return c.take(c.next, deadline) }

func (c *Conn) take(next func(clock.Time) *Segment, deadline clock.Time) *Segment {
	for {
		s := next(deadline)
		if s == nil || c.mine(s) {
			if s != nil {
				c.note(s)
			}
			return s
		}
	}
}

// note keeps account of a segment of the stack.
func (c *Conn) note(s *Segment) {
	if s.Has(RST) {
		return
	}
	rel := c.seqOf(s)
	garbage := len(s.Payload) == 1 && int32(rel+1-c.rcv) <= 0 // of a probe: RFC 9293, section 3.8.4
	if n := len(s.Payload); n > 0 && !c.raw && !garbage && int32(rel) >= 1 {
		if want := pattern(int(rel)-1, n); string(want) != string(s.Payload) {
			c.Fatalf("wrong bytes at %d: %s", rel, s)
		}
	}
	end := rel + s.Len()
	if int32(rel-c.rcv) <= 0 && int32(end-c.rcv) > 0 {
		c.rcv = end
		if c.ts {
			c.tsRecent = s.TSval
		}
	}
	if s.Has(ACK) && !s.Has(SYN) && !c.closed {
		c.lastWindow, c.hasLastWindow = c.windowOf(s), true
		// RFC 9293, section 3.8.6, SHLD-14; RFC 7323, section 2.4, allows for the
		// rounding of a scaled window.
		edge := int64(c.ackOf(s)) + c.lastWindow
		if c.rightEdge-edge >= 1<<c.shift {
			c.Errorf("the right edge of the window went back from %d to %d: %s", c.rightEdge, edge, s)
		}
		c.rightEdge = max(c.rightEdge, edge)
	}
}

// Got returns the first segment that match accepts. Others on the way are
// noted and passed over.
func (c *Conn) Got(within time.Duration, what string, match func(*Segment) bool) *Segment {
	deadline := c.clk.Now().Add(within)
	for {
		s := c.take(c.due, deadline)
		if s == nil {
			c.Fatalf("no %s within %v", what, within)
		}
		if match(s) {
			return s
		}
	}
}

// Expect is Got that allows nothing but pure acknowledgments on the way.
func (c *Conn) Expect(within time.Duration, what string, match func(*Segment) bool) *Segment {
	deadline := c.clk.Now().Add(within)
	for {
		s := c.take(c.due, deadline)
		if s == nil {
			c.Fatalf("no %s within %v", what, within)
		}
		if match(s) {
			return s
		}
		if !s.PureACK() {
			c.Fatalf("waiting for %s, but there came %s", what, s)
		}
	}
}

// None fails the case if a segment that match accepts comes within d.
func (c *Conn) None(d time.Duration, what string, match func(*Segment) bool) {
	deadline := c.clk.Now().Add(d)
	for s := c.Take(deadline); s != nil; s = c.Take(deadline) {
		if match(s) {
			c.Fatalf("unexpected %s: %s", what, s)
		}
	}
}

// Drain returns everything that comes within d.
func (c *Conn) Drain(d time.Duration) []*Segment {
	var out []*Segment
	deadline := c.clk.Now().Add(d)
	for s := c.Take(deadline); s != nil; s = c.Take(deadline) {
		out = append(out, s)
	}
	return out
}

// barrage calls send n times within a second, and returns how many segments came back.
func (c *Conn) barrage(n int, send func()) int {
	answers := 0
	for range n {
		send()
		if c.virtual {
			answers += len(c.Drain(time.Second / time.Duration(n)))
		}
	}
	if !c.virtual {
		answers += len(c.Drain(100 * time.Millisecond))
	}
	return answers
}

// GotAck waits for a segment that acknowledges exactly rel.
func (c *Conn) GotAck(within time.Duration, rel uint32) *Segment {
	return c.Got(within, fmt.Sprintf("ACK of %d", rel), func(s *Segment) bool {
		return s.Has(ACK) && !s.Has(RST) && c.ackOf(s) == rel
	})
}

// GotData waits until the bytes before rel have come, and returns the segments
// that brought them.
func (c *Conn) GotData(within time.Duration, rel uint32) []*Segment {
	var out []*Segment
	deadline := c.clk.Now().Add(within)
	for int32(c.rcv-rel) < 0 {
		s := c.take(c.due, deadline)
		if s == nil {
			c.Fatalf("the stack has sent up to %d within %v, want %d", c.rcv, within, rel)
		}
		if hasData(s) {
			out = append(out, s)
		}
	}
	return out
}

// GotRST waits for a reset.
func (c *Conn) GotRST(within time.Duration) *Segment { return c.Got(within, "RST", isRST) }

// GotFIN waits for the stack's FIN.
func (c *Conn) GotFIN(within time.Duration) *Segment {
	return c.Got(within, "FIN", func(s *Segment) bool { return s.Has(FIN) })
}

// Written writes n bytes of the pattern to the flow.
func (c *Conn) Written(n int) {
	c.Write(c.Flow, pattern(c.written, n))
	c.written += n
}

// WriteLater is Written in a goroutine of its own, for more than the queue holds.
func (c *Conn) WriteLater(n int) *Op[error] {
	from := c.written
	c.written += n
	return c.WriteAll(c.Flow, from, from+n)
}

// WantRead reads n bytes of the pattern from the flow.
func (c *Conn) WantRead(n int) {
	c.WantPattern(c.Flow, c.read, c.read+n)
	c.read += n
}

// AckAll acknowledges what has come.
func (c *Conn) AckAll() { c.Send(ACK) }

// Alive proves that the connection still carries data both ways. Everything
// sent before must have been acknowledged and read.
func (c *Conn) Alive() {
	if err := c.Flow.CloseReason(); err != nil {
		c.Fatalf("the connection has ended: %v", err)
	}
	c.Send(ACK|PSH, Data(5))
	c.GotAck(time.Second, c.snd)
	c.WantRead(5)
	c.Written(5)
	c.GotData(2*time.Second, c.rcv+5)
	c.AckAll()
}

// Ended proves that the stack knows nothing of the connection: a segment for
// it is answered by a reset.
func (c *Conn) Ended() {
	c.Drain(0)
	c.Send(ACK)
	c.GotRST(time.Second)
}

// acks runs an automatic receiver: every data segment is acknowledged at once,
// cumulatively, until the stack has sent rel.
func (c *Conn) acks(within time.Duration, rel uint32) {
	deadline := c.clk.Now().Add(within)
	for int32(c.rcv-rel) < 0 {
		s := c.take(c.due, deadline)
		if s == nil {
			c.Fatalf("the stack has sent up to %d within %v, want %d", c.rcv, within, rel)
		}
		if s.Len() > 0 {
			c.AckAll()
		}
	}
}

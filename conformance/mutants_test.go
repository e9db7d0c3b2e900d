package conformance

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/impl/engine"
	"github.com/sluicenet/sluice/impl/engine/tcp"
	"github.com/sluicenet/sluice/impl/reno"
)

// A mutant is a stack with one fault: what it does to the packets that go out
// of a sound stack or come in, to its environment, or to its calls.
type mutant struct {
	name  string
	out   func(m *mutation, s *Segment) []*Segment
	in    func(m *mutation, s *Segment) []*Segment
	raw   func(m *mutation, in bool, raw []byte) []byte // nil drops
	env   func(e *Env)
	stack func(s api.Stack) api.Stack
	cc    cc.Factory
	tcp   func(p *tcp.Params)
}

// mutation is the state of a mutant.
type mutation struct {
	clk  clock.Clock
	link *mutantLink
	mu   sync.Mutex
	conn map[netip.AddrPort]*mutantConn // by the peer's end
	n    int
}

type mutantConn struct {
	rcvNxt, sndMax uint32 // of the stack
	synced         bool
	win            uint16
	synAcks        int
}

// of returns what is known of the connection of s.
func (m *mutation) of(peer netip.AddrPort) *mutantConn {
	c := m.conn[peer]
	if c == nil {
		c = &mutantConn{}
		m.conn[peer] = c
	}
	return c
}

// mutantTarget is reno with a fault.
type mutantTarget struct{ m *mutant }

func (t mutantTarget) Name() string             { return "mutant " + t.m.name }
func (t mutantTarget) Capabilities() Capability { return All }
func (t mutantTarget) Deviations() []Deviation  { return nil }

func (t mutantTarget) New(env *Env) (api.Stack, error) {
	e := *env
	if t.m.env != nil {
		t.m.env(&e)
	}
	if t.m.out != nil || t.m.in != nil || t.m.raw != nil {
		m := &mutation{clk: e.Clock, conn: map[netip.AddrPort]*mutantConn{}}
		m.link = &mutantLink{Link: e.Link, fault: t.m, m: m}
		e.Link = m.link
	}
	f := cc.Factory(reno.Factory)
	if t.m.cc != nil {
		f = t.m.cc
	}
	var p tcp.Params
	if e.AskECN {
		p.ECN = tcp.ECNOn
	}
	p.FastOpen.Client, p.FastOpen.Server = e.FastOpen, e.FastOpen
	if t.m.tcp != nil {
		t.m.tcp(&p)
	}
	s, err := engine.New(engine.Config{
		Params: p,
		Link:   e.Link, Clock: e.Clock, Addresses: e.Addresses, Gateways: e.Gateways, Controllers: []cc.Factory{f},
		Flow: e.Flow, Seed: e.Seed, ISN: e.ISN,
		Limits: engine.Limits{Memory: e.Limits.Memory, Flows: e.Limits.Flows, HalfOpen: e.Limits.HalfOpen, TimeWait: e.Limits.TimeWait},
	})
	if err != nil {
		return nil, err
	}
	if t.m.stack != nil {
		return t.m.stack(s), nil
	}
	return s, nil
}

// mutantLink is where a mutant touches packets.
type mutantLink struct {
	link.Link
	fault *mutant
	m     *mutation
	recv  func([]link.Packet)
	port  uint16 // of the stack, in the newest segment that it sent
}

func (l *mutantLink) Attach(recv func([]link.Packet)) error {
	l.recv = recv
	return l.Link.Attach(func(batch []link.Packet) {
		var out []link.Packet
		for i := range batch {
			raws := l.apply(true, batch[i].AppendTo(nil))
			batch[i].Release()
			for _, raw := range raws {
				out = append(out, packetOf(raw))
			}
		}
		if len(out) > 0 {
			recv(out)
		}
	})
}

func (l *mutantLink) Send(batch []link.Packet) error {
	var out []link.Packet
	for i := range batch {
		for _, raw := range l.apply(false, batch[i].AppendTo(nil)) {
			out = append(out, link.Packet{Header: raw})
		}
	}
	return l.Link.Send(out)
}

// inject hands s to the stack, or to the peer, as if it had come.
func (l *mutantLink) inject(in bool, s *Segment) {
	if in {
		l.recv([]link.Packet{packetOf(encode(s))})
	} else {
		l.Link.Send([]link.Packet{{Header: encode(s)}})
	}
}

// apply returns what becomes of a packet.
func (l *mutantLink) apply(in bool, raw []byte) [][]byte {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	s := decode(raw)
	if l.fault.raw != nil {
		if raw = l.fault.raw(l.m, in, raw); raw == nil {
			return nil
		}
	}
	f := l.fault.out
	if in {
		f = l.fault.in
	}
	var out [][]byte
	if s == nil || f == nil || s.checksumMismatch != "" || s.optionTrouble != "" {
		out = [][]byte{raw}
	} else {
		for _, x := range f(l.m, s) {
			out = append(out, encode(x))
		}
	}
	if s != nil && !in { // what the stack itself believes, whatever it said
		l.port = s.Src.Port()
		c := l.m.of(s.Dst)
		if s.Has(SYN) {
			c.sndMax = s.Seq + 1
		} else if end := s.Seq + s.Len(); int32(end-c.sndMax) > 0 {
			c.sndMax = end
		}
		if s.Has(ACK) && !s.Has(RST) {
			c.rcvNxt, c.synced, c.win = s.Ack, true, s.Window
		}
	}
	return out
}

// one is the unchanged result of a fault.
func one(s *Segment) []*Segment { return []*Segment{s} }

// dropIf drops the segments for which f holds.
func dropIf(f func(m *mutation, s *Segment) bool) func(*mutation, *Segment) []*Segment {
	return func(m *mutation, s *Segment) []*Segment {
		if f(m, s) {
			return nil
		}
		return one(s)
	}
}

// change edits every segment.
func change(f func(m *mutation, s *Segment)) func(*mutation, *Segment) []*Segment {
	return func(m *mutation, s *Segment) []*Segment {
		f(m, s)
		return one(s)
	}
}

// overwrite replaces an option by NOPs, or edits its data where edit is not nil.
func overwrite(s *Segment, kind byte, edit func(data []byte)) {
	b := slices.Clone(s.Options)
	for i := 0; i < len(b); {
		switch {
		case b[i] == 0:
			s.Options = b
			return
		case b[i] == 1:
			i++
		default:
			if i+1 >= len(b) || b[i+1] < 2 || i+int(b[i+1]) > len(b) {
				return
			}
			n := int(b[i+1])
			if b[i] == kind {
				if edit != nil {
					edit(b[i+2 : i+n])
				} else {
					for j := range n {
						b[i+j] = 1
					}
				}
			}
			i += n
		}
	}
	s.Options = b
}

// later lets f run after d.
func (m *mutation) later(d time.Duration, f func()) {
	t := m.clk.NewTimer(f)
	t.Reset(m.clk.Now().Add(d))
}

// reply makes a segment that answers s.
func reply(s *Segment, flags Flags, seq, ack uint32) *Segment {
	return &Segment{Src: s.Dst, Dst: s.Src, Flags: flags, Seq: seq, Ack: ack, Window: 1000}
}

// faultyStack passes everything on; a mutant overrides some of it.
type faultyStack struct {
	api.Stack
	flow   func(f api.Flow) api.Flow
	dial   func(cfg *api.FlowConfig)   // edits the options of a dial
	listen func(cfg *api.ListenConfig) // edits those of a listener
	err    func(op string, err error) error
	off    bool // Disconnect does nothing
	twice  bool // Listen on a port in use succeeds
}

func (s *faultyStack) wrap(f api.Flow) api.Flow {
	if s.flow == nil || f == nil {
		return f
	}
	return s.flow(f)
}

func (s *faultyStack) Dial(ctx context.Context, dst netip.AddrPort, cfg *api.FlowConfig) (api.Flow, error) {
	if s.dial != nil {
		var c api.FlowConfig
		if cfg != nil {
			c = *cfg
		}
		s.dial(&c)
		cfg = &c
	}
	f, err := s.Stack.Dial(ctx, dst, cfg)
	if err != nil {
		if s.err != nil {
			err = s.err("dial", err)
		}
		return nil, err
	}
	return s.wrap(f), nil
}

func (s *faultyStack) Listen(port uint16, cfg *api.ListenConfig, h api.Handler) (uint16, error) {
	if s.listen != nil {
		var c api.ListenConfig
		if cfg != nil {
			c = *cfg
		}
		s.listen(&c)
		cfg = &c
	}
	p, err := s.Stack.Listen(port, cfg, func(ctx context.Context, f api.Flow) { h(ctx, s.wrap(f)) })
	if s.twice && errors.Is(err, api.ErrPortInUse) {
		return port, nil
	}
	return p, err
}

func (s *faultyStack) Disconnect(ctx context.Context) {
	if !s.off {
		s.Stack.Disconnect(ctx)
	}
}

// faultyFlow passes everything on; nil functions change nothing.
type faultyFlow struct {
	api.UrgentFlow
	read      func(ctx context.Context, f api.Flow) (*api.Buffer, error)
	write     func(ctx context.Context, f api.Flow, bs []*api.Buffer, nodelay bool) error
	close     func(ctx context.Context, f api.Flow) error
	abort     func(f api.Flow)
	reason    func(error) error
	info      func(api.Info) api.Info
	configure func(f api.Flow, change func(*api.FlowConfig)) error
	addr      func(netip.AddrPort) netip.AddrPort
	closeRead func(f api.Flow) error
}

func (f *faultyFlow) Read(ctx context.Context) (*api.Buffer, error) {
	if f.read != nil {
		return f.read(ctx, f.UrgentFlow)
	}
	return f.UrgentFlow.Read(ctx)
}

func (f *faultyFlow) Write(ctx context.Context, b *api.Buffer) error {
	if f.write != nil {
		return f.write(ctx, f.UrgentFlow, []*api.Buffer{b}, false)
	}
	return f.UrgentFlow.Write(ctx, b)
}

func (f *faultyFlow) Writev(ctx context.Context, bs []*api.Buffer) error {
	if f.write != nil {
		return f.write(ctx, f.UrgentFlow, bs, false)
	}
	return f.UrgentFlow.Writev(ctx, bs)
}

func (f *faultyFlow) WriteNoDelay(ctx context.Context, b *api.Buffer) error {
	if f.write != nil {
		return f.write(ctx, f.UrgentFlow, []*api.Buffer{b}, true)
	}
	return f.UrgentFlow.WriteNoDelay(ctx, b)
}

func (f *faultyFlow) WritevNoDelay(ctx context.Context, bs []*api.Buffer) error {
	if f.write != nil {
		return f.write(ctx, f.UrgentFlow, bs, true)
	}
	return f.UrgentFlow.WritevNoDelay(ctx, bs)
}

func (f *faultyFlow) Close(ctx context.Context) error {
	if f.close != nil {
		return f.close(ctx, f.UrgentFlow)
	}
	return f.UrgentFlow.Close(ctx)
}

func (f *faultyFlow) CloseRead() error {
	if f.closeRead != nil {
		return f.closeRead(f.UrgentFlow)
	}
	return f.UrgentFlow.CloseRead()
}

func (f *faultyFlow) Abort() {
	if f.abort != nil {
		f.abort(f.UrgentFlow)
		return
	}
	f.UrgentFlow.Abort()
}

func (f *faultyFlow) CloseReason() error {
	if f.reason != nil {
		return f.reason(f.UrgentFlow.CloseReason())
	}
	return f.UrgentFlow.CloseReason()
}

func (f *faultyFlow) Info() api.Info {
	if f.info != nil {
		return f.info(f.UrgentFlow.Info())
	}
	return f.UrgentFlow.Info()
}

func (f *faultyFlow) Configure(change func(*api.FlowConfig)) error {
	if f.configure != nil {
		return f.configure(f.UrgentFlow, change)
	}
	return f.UrgentFlow.Configure(change)
}

func (f *faultyFlow) Dst() netip.AddrPort {
	if f.addr != nil {
		return f.addr(f.UrgentFlow.Dst())
	}
	return f.UrgentFlow.Dst()
}

// flows returns a mutant's stack function that wraps each flow.
func flows(make func() faultyFlow) func(api.Stack) api.Stack {
	return func(s api.Stack) api.Stack {
		return &faultyStack{Stack: s, flow: func(f api.Flow) api.Flow {
			w := make()
			w.UrgentFlow = f.(api.UrgentFlow)
			return &w
		}}
	}
}

// options returns a mutant's stack function that edits the options of flows.
func options(edit func(*api.FlowConfig)) func(api.Stack) api.Stack {
	return func(s api.Stack) api.Stack {
		return &faultyStack{Stack: s, dial: edit, listen: func(c *api.ListenConfig) { edit(&c.Flow) }}
	}
}

// wide is a controller that never limits anything.
type wide struct{}

func (wide) Name() string                                 { return "wide" }
func (wide) New(*cc.Env, string) (cc.Controller, error)   { return wide{}, nil }
func (wide) OnAck(*cc.AckEvent)                           {}
func (wide) OnCongestion(*cc.CongestionEvent)             {}
func (wide) Control() cc.Control                          { return cc.Control{Cwnd: 1 << 30, Ssthresh: cc.NoThreshold} }
func (wide) EnterRecovery(now clock.Time, inFlight int64) {}
func (wide) ExitRecovery(now clock.Time, undone bool)     {}

// stubborn opens its window in slow start and never closes it.
type stubborn struct{ wide }

type stubbornController struct {
	wide
	cwnd *int64
}

func (stubborn) Name() string { return "stubborn" }
func (stubborn) New(e *cc.Env, _ string) (cc.Controller, error) {
	n := 10 * e.MSS
	return stubbornController{cwnd: &n}, nil
}
func (c stubbornController) OnAck(e *cc.AckEvent) { *c.cwnd += e.CumAcked }
func (c stubbornController) Control() cc.Control {
	return cc.Control{Cwnd: *c.cwnd, Ssthresh: cc.NoThreshold}
}

// narrow is one that stays at two segments.
type narrow struct{ wide }

func (narrow) Name() string                                   { return "narrow" }
func (narrow) New(e *cc.Env, _ string) (cc.Controller, error) { return narrow{}, nil }
func (narrow) Control() cc.Control                            { return cc.Control{Cwnd: 2920, Ssthresh: 2920} }

var errOdd = errors.New("odd")

// drainAll writes bs one by one.
func drainAll(ctx context.Context, f api.Flow, bs []*api.Buffer) error {
	for _, b := range bs {
		if err := f.Write(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

func mutants() []mutant {
	isData := func(s *Segment) bool { return len(s.Payload) > 0 }
	return []mutant{
		// Packets going out.
		{name: "silent", out: dropIf(func(*mutation, *Segment) bool { return true })},
		{name: "no-rst", out: dropIf(func(_ *mutation, s *Segment) bool { return s.Has(RST) })},
		{name: "no-fin", out: dropIf(func(_ *mutation, s *Segment) bool { return s.Has(FIN) })},
		{name: "no-pure-ack", out: dropIf(func(m *mutation, s *Segment) bool { return s.PureACK() && s.Seq == m.of(s.Dst).sndMax })},
		{name: "no-challenge", out: dropIf(func(m *mutation, s *Segment) bool {
			c := m.of(s.Dst)
			return s.PureACK() && c.synced && s.Ack == c.rcvNxt && s.Window == c.win
		})},
		{name: "ack-one-more", out: change(func(_ *mutation, s *Segment) {
			if s.PureACK() {
				s.Ack++
			}
		})},
		{name: "ack-late", out: func(m *mutation, s *Segment) []*Segment {
			if !s.PureACK() || s.Seq != m.of(s.Dst).sndMax {
				return one(s)
			}
			m.later(600*time.Millisecond, func() { m.link.inject(false, s) })
			return nil
		}},
		{name: "ack-delayed-always", out: func(m *mutation, s *Segment) []*Segment {
			if !s.PureACK() {
				return one(s)
			}
			m.later(100*time.Millisecond, func() { m.link.inject(false, s) })
			return nil
		}},
		{name: "ack-every-ack", in: func(m *mutation, s *Segment) []*Segment {
			if c := m.of(s.Src); s.PureACK() && c.synced {
				m.link.inject(false, reply(s, ACK, s.Ack, s.Seq))
			}
			return one(s)
		}},
		{name: "acks-thrice", out: func(_ *mutation, s *Segment) []*Segment {
			if s.PureACK() {
				return []*Segment{s, s, s}
			}
			return one(s)
		}},
		{name: "ack-data-at-once", in: func(m *mutation, s *Segment) []*Segment {
			if c := m.of(s.Src); isData(s) && c.synced && s.Seq == c.rcvNxt {
				m.link.inject(false, reply(s, ACK, c.sndMax, s.Seq+s.Len()))
			}
			return one(s)
		}},
		{name: "no-psh", out: change(func(_ *mutation, s *Segment) { s.Flags &^= PSH })},
		{name: "no-urg", out: change(func(_ *mutation, s *Segment) { s.Flags &^= URG; s.Urgent = 0 })},
		{name: "urg-off-by-one", out: change(func(_ *mutation, s *Segment) {
			if s.Has(URG) && s.Urgent > 1 {
				s.Urgent--
			}
		})},
		{name: "urg-deaf", in: change(func(_ *mutation, s *Segment) { s.Flags &^= URG; s.Urgent = 0 })},
		{name: "urg-eats-a-byte", in: change(func(_ *mutation, s *Segment) {
			if s.Has(URG) && len(s.Payload) > 1 {
				s.Payload = append([]byte{0}, s.Payload[1:]...)
			}
		})},
		{name: "syn-without-options", out: change(func(_ *mutation, s *Segment) {
			if s.Has(SYN) {
				s.Options = nil
			}
		})},
		{name: "second-synack-without-options", out: change(func(m *mutation, s *Segment) {
			if c := m.of(s.Dst); s.Has(SYN | ACK) {
				if c.synAcks++; c.synAcks > 1 {
					s.Options = nil
				}
			}
		})},
		{name: "mss-on-data", out: change(func(_ *mutation, s *Segment) {
			if s.Flags&SYN == 0 {
				s.Options = append(optMSS(1460), s.Options...)
			}
		})},
		{name: "mss-9000", out: change(func(_ *mutation, s *Segment) { overwrite(s, 2, func(d []byte) { d[0], d[1] = 9000>>8, 9000&0xff }) })},
		{name: "scale-in-syn", out: change(func(_ *mutation, s *Segment) {
			if s.Has(SYN) && s.HasScale {
				s.Window >>= s.Scale
			}
		})},
		{name: "always-offers", out: change(func(_ *mutation, s *Segment) {
			if s.Has(SYN | ACK) {
				s.Options = append(append(append(optMSS(1460), optScale(3)...), optSACKPermitted()...), optTimestamps(5, 6)...)
			}
		})},
		{name: "sack-unasked", out: change(func(m *mutation, s *Segment) {
			if s.PureACK() && len(s.Options) == 0 {
				s.Options = optSACK(Range{s.Ack + 1000, s.Ack + 2000})
			}
		})},
		{name: "no-sack-blocks", out: change(func(_ *mutation, s *Segment) { overwrite(s, 5, nil) })},
		{name: "sack-reversed", out: change(func(_ *mutation, s *Segment) {
			overwrite(s, 5, func(d []byte) {
				for i, j := 0, len(d)-8; i < j; i, j = i+8, j-8 {
					for k := range 8 {
						d[i+k], d[j+k] = d[j+k], d[i+k]
					}
				}
			})
		})},
		{name: "no-dsack", out: change(func(_ *mutation, s *Segment) {
			if len(s.SACK) > 0 && int32(s.SACK[0].Right-s.Ack) <= 0 {
				overwrite(s, 5, nil)
			}
		})},
		{name: "ts-echo-zero", out: change(func(_ *mutation, s *Segment) { overwrite(s, 8, func(d []byte) { clear(d[4:]) }) })},
		{name: "ts-echo-newest", out: func() func(*mutation, *Segment) []*Segment {
			return change(func(m *mutation, s *Segment) {
				overwrite(s, 8, func(d []byte) {
					if m.n != 0 {
						d[4], d[5], d[6], d[7] = byte(m.n>>24), byte(m.n>>16), byte(m.n>>8), byte(m.n)
					}
				})
			})
		}(), in: change(func(m *mutation, s *Segment) {
			if s.HasTimestamps {
				m.n = int(s.TSval)
			}
		})},
		{name: "ts-stands-still", out: change(func(_ *mutation, s *Segment) { overwrite(s, 8, func(d []byte) { clear(d[:4]) }) })},
		{name: "ts-nanoseconds", out: change(func(m *mutation, s *Segment) {
			v := uint32(m.clk.Now())
			overwrite(s, 8, func(d []byte) { d[0], d[1], d[2], d[3] = byte(v>>24), byte(v>>16), byte(v>>8), byte(v) })
		})},
		{name: "no-ts-on-data", out: change(func(_ *mutation, s *Segment) {
			if s.Flags&SYN == 0 {
				overwrite(s, 8, nil)
			}
		})},
		{name: "window-always-open", out: change(func(_ *mutation, s *Segment) {
			if !s.Has(RST) {
				s.Window = 65535
			}
		})},
		{name: "window-always-zero", out: change(func(_ *mutation, s *Segment) {
			if !s.Has(SYN) {
				s.Window = 0
			}
		})},
		{name: "window-jitters", out: change(func(m *mutation, s *Segment) {
			m.n++
			s.Window -= s.Window / 4 * uint16(m.n%2)
		})},
		{name: "no-window-update", out: dropIf(func(m *mutation, s *Segment) bool {
			c := m.of(s.Dst)
			return s.PureACK() && c.synced && s.Ack == c.rcvNxt && s.Window > c.win
		})},
		{name: "silly-window", out: change(func(m *mutation, s *Segment) {
			if c := m.of(s.Dst); s.PureACK() && c.synced && s.Ack == c.rcvNxt && s.Window > c.win {
				s.Window = c.win + 100
			}
		})},
		{name: "byte-wrong", out: change(func(m *mutation, s *Segment) {
			if isData(s) {
				s.Payload = slices.Clone(s.Payload)
				s.Payload[len(s.Payload)-1] ^= 1
			}
		})},
		{name: "retransmission-shifted", out: change(func(m *mutation, s *Segment) {
			if c := m.of(s.Dst); isData(s) && int32(s.Seq-c.sndMax) < 0 && len(s.Payload) > 10 {
				s.Payload = append(slices.Clone(s.Payload[5:]), s.Payload[:5]...)
			}
		})},
		{name: "no-retransmission", out: dropIf(func(m *mutation, s *Segment) bool {
			return s.Len() > 0 && int32(s.Seq-m.of(s.Dst).sndMax) < 0
		})},
		{name: "everything-twice", out: func(_ *mutation, s *Segment) []*Segment {
			if isData(s) || s.Has(SYN) {
				return []*Segment{s, s}
			}
			return one(s)
		}},
		{name: "chatty", out: func(m *mutation, s *Segment) []*Segment {
			if s.Has(SYN | ACK) {
				m.later(time.Minute, func() {
					c := m.of(s.Dst)
					m.link.inject(false, &Segment{Src: s.Src, Dst: s.Dst, Flags: ACK, Seq: c.sndMax - 1, Ack: c.rcvNxt, Window: 1000})
				})
			}
			return one(s)
		}},
		{name: "small-segments", out: func(_ *mutation, s *Segment) []*Segment {
			var out []*Segment
			for len(s.Payload) > 400 {
				a := *s
				a.Payload, a.Flags = s.Payload[:400], s.Flags&^(PSH|FIN)
				out = append(out, &a)
				b := *s
				b.Payload, b.Seq = s.Payload[400:], s.Seq+400
				s = &b
			}
			return append(out, s)
		}},
		{name: "ttl-64", out: change(func(_ *mutation, s *Segment) { s.TTL = 64 })},
		{name: "tos-0", out: change(func(_ *mutation, s *Segment) { s.TOS = 0 })},
		{name: "df-off", out: change(func(_ *mutation, s *Segment) { s.DontFragment = false })},
		{name: "rst-without-ack", out: change(func(_ *mutation, s *Segment) {
			if s.Has(RST) {
				s.Flags &^= ACK
				s.Ack = 0
			}
		})},
		{name: "rst-ack-off", out: change(func(_ *mutation, s *Segment) {
			if s.Has(RST | ACK) {
				s.Ack--
			}
		})},
		{name: "rst-seq-zero", out: change(func(_ *mutation, s *Segment) {
			if s.Has(RST) {
				s.Seq = 0
			}
		})},
		{name: "checksum-zero", raw: func(_ *mutation, in bool, raw []byte) []byte {
			if !in && len(raw) > 60 {
				raw[len(raw)-1] ^= 0x80
			}
			return raw
		}},
		{name: "one-checksum-wrong", raw: func(m *mutation, in bool, raw []byte) []byte {
			if m.n++; !in && m.n%7 == 0 && raw[0]>>4 == 4 {
				raw[36] ^= 1
			}
			return raw
		}},
		{name: "no-icmp-out", raw: func(_ *mutation, in bool, raw []byte) []byte {
			if !in && decode(raw) == nil {
				return nil
			}
			return raw
		}},
		// Packets coming in.
		{name: "deaf-to-rst", in: dropIf(func(_ *mutation, s *Segment) bool { return s.Has(RST) })},
		{name: "deaf-to-rst-syn-rcvd", in: dropIf(func(m *mutation, s *Segment) bool {
			return s.Has(RST) && m.of(s.Src).sndMax != 0 && int32(s.Seq-m.of(s.Src).rcvNxt) == 0 && m.of(s.Src).synAcks == 0
		})},
		{name: "deaf-to-fin", in: change(func(_ *mutation, s *Segment) { s.Flags &^= FIN })},
		{name: "deaf-to-repeated-fin", in: dropIf(func(m *mutation, s *Segment) bool {
			c := m.of(s.Src)
			return s.Has(FIN) && c.synced && int32(s.Seq-c.rcvNxt) < 0
		})},
		{name: "deaf-to-old", in: dropIf(func(m *mutation, s *Segment) bool {
			c := m.of(s.Src)
			return c.synced && !s.Has(SYN) && !s.Has(RST) && int32(s.Seq-c.rcvNxt) < 0
		})},
		{name: "deaf-to-early", in: dropIf(func(m *mutation, s *Segment) bool {
			c := m.of(s.Src)
			return c.synced && isData(s) && int32(s.Seq-c.rcvNxt) > 0
		})},
		{name: "deaf-to-dupacks", in: dropIf(func(m *mutation, s *Segment) bool {
			c := m.of(s.Src)
			return c.synced && s.PureACK() && int32(s.Ack-c.sndMax) < 0
		})},
		{name: "deaf-to-sack", in: change(func(_ *mutation, s *Segment) { overwrite(s, 5, nil) })},
		{name: "deaf-to-mss", in: change(func(_ *mutation, s *Segment) {
			overwrite(s, 2, nil)
			if s.Has(SYN) {
				s.Options = append(optMSS(1460), s.Options...)
			}
		})},
		{name: "deaf-to-scale", in: change(func(_ *mutation, s *Segment) {
			if s.HasScale {
				overwrite(s, 3, func(d []byte) { d[0] = 0 })
			}
		})},
		{name: "scales-unasked", in: change(func(_ *mutation, s *Segment) {
			if s.Has(SYN) && !s.HasScale {
				s.Options = append(slices.Clone(s.Options), optScale(7)...)
			} else if s.HasScale {
				s.Window = 65535
			}
		})},
		{name: "scale-15", in: change(func(_ *mutation, s *Segment) {
			if s.Window < 3 {
				s.Window *= 2
			}
		})},
		{name: "needs-mss-88", in: dropIf(func(_ *mutation, s *Segment) bool { return s.Has(SYN) && s.HasMSS && s.MSS < 88 })},
		{name: "tiny-mss-obeyed", out: func(_ *mutation, s *Segment) []*Segment {
			var out []*Segment
			for len(s.Payload) > 8 {
				a := *s
				a.Payload = s.Payload[:8]
				out = append(out, &a)
				b := *s
				b.Payload, b.Seq = s.Payload[8:], s.Seq+8
				s = &b
			}
			return append(out, s)
		}},
		{name: "options-confuse", in: dropIf(func(_ *mutation, s *Segment) bool { return s.Flags&SYN == 0 && len(s.Options) > 0 && !s.HasTimestamps })},
		{name: "unaligned-options-confuse", in: dropIf(func(_ *mutation, s *Segment) bool { return s.Has(SYN) && len(s.Options) > 0 && s.Options[0] == 1 })},
		{name: "rst-anywhere", in: change(func(m *mutation, s *Segment) {
			if c := m.of(s.Src); s.Has(RST) && c.synced {
				s.Seq = c.rcvNxt
			}
		})},
		{name: "rst-in-window", in: change(func(m *mutation, s *Segment) {
			if c := m.of(s.Src); s.Has(RST) && c.synced && s.Seq-c.rcvNxt < 5000 {
				s.Seq = c.rcvNxt
			}
		})},
		{name: "syn-resets", in: change(func(m *mutation, s *Segment) {
			if c := m.of(s.Src); isSYN(s) && c.synced && c.synAcks == 0 {
				s.Flags, s.Seq = RST, c.rcvNxt
			}
		})},
		{name: "any-ack", in: change(func(m *mutation, s *Segment) {
			if c := m.of(s.Src); s.Has(ACK) && !s.Has(RST) && c.synced && int32(s.Ack-c.sndMax) > 0 {
				s.Ack = c.sndMax
			}
		})},
		{name: "any-old-ack", in: change(func(m *mutation, s *Segment) {
			if c := m.of(s.Src); s.Has(ACK) && c.synced && s.Ack != c.sndMax {
				s.Ack = c.sndMax
			}
		})},
		{name: "ack-not-needed", in: change(func(m *mutation, s *Segment) {
			if c := m.of(s.Src); c.synced && s.Flags&(ACK|SYN|RST) == 0 {
				s.Flags |= ACK
				s.Ack = c.sndMax
			}
		})},
		{name: "old-ack-loses-data", in: dropIf(func(m *mutation, s *Segment) bool {
			c := m.of(s.Src)
			return c.synced && isData(s) && int32(s.Ack-c.sndMax) < 0
		})},
		{name: "any-window", in: change(func(m *mutation, s *Segment) {
			if !s.Has(RST) {
				s.Window = 65535
			}
		})},
		{name: "signed-window", in: change(func(_ *mutation, s *Segment) {
			if s.Window >= 32768 {
				s.Window = 32767
			}
		})},
		{name: "old-window-counts", in: func(m *mutation, s *Segment) []*Segment {
			if c := m.of(s.Src); c.synced && !s.Has(RST) && int32(s.Seq-c.rcvNxt) < 0 {
				return []*Segment{s, {Src: s.Src, Dst: s.Dst, Flags: ACK, Seq: c.rcvNxt, Ack: s.Ack, Window: s.Window}}
			}
			return one(s)
		}},
		{name: "zero-window-deaf", in: dropIf(func(m *mutation, s *Segment) bool {
			c := m.of(s.Src)
			return c.synced && c.win == 0
		})},
		{name: "takes-beyond-window", in: func(m *mutation, s *Segment) []*Segment {
			if c := m.of(s.Src); c.synced && isData(s) && s.Seq-c.rcvNxt > uint32(c.win) && s.Seq-c.rcvNxt < 1<<24 {
				m.later(0, func() { m.link.inject(false, reply(s, ACK, c.sndMax, s.Seq+s.Len())) })
			}
			return one(s)
		}},
		{name: "no-paws", in: change(func(m *mutation, s *Segment) {
			if s.HasTimestamps && s.Flags&SYN == 0 {
				v := uint32(1_000_000 + int64(m.clk.Now())/1e6)
				overwrite(s, 8, func(d []byte) { d[0], d[1], d[2], d[3] = byte(v>>24), byte(v>>16), byte(v>>8), byte(v) })
			}
		})},
		{name: "poisoned", in: func(m *mutation, s *Segment) []*Segment {
			if c := m.of(s.Src); c.synced && s.HasTimestamps && int32(s.Seq-c.rcvNxt) != 0 && !s.Has(SYN) {
				return []*Segment{s, {Src: s.Src, Dst: s.Dst, Flags: ACK, Seq: c.rcvNxt, Ack: s.Ack, Window: s.Window, Options: s.Options}}
			}
			return one(s)
		}},
		{name: "ts-not-needed", in: change(func(m *mutation, s *Segment) {
			if !s.HasTimestamps && m.n != 0 && !s.Has(SYN) {
				s.Options = append(optTimestamps(uint32(m.n), 0), s.Options...)
			}
			if s.HasTimestamps {
				m.n = int(s.TSval)
			}
		})},
		{name: "paws-for-rst", in: dropIf(func(m *mutation, s *Segment) bool {
			old := s.Has(RST) && s.HasTimestamps && int32(s.TSval-uint32(m.n)) < 0
			if s.HasTimestamps && !s.Has(RST) {
				m.n = int(s.TSval)
			}
			return old || s.Has(RST) && !s.HasTimestamps && m.n != 0
		})},
		{name: "last-byte-wins", in: func() func(*mutation, *Segment) []*Segment {
			queue := map[uint32]byte{}
			return func(m *mutation, s *Segment) []*Segment {
				s.Payload = slices.Clone(s.Payload)
				for i := range s.Payload {
					queue[s.Seq+uint32(i)] = s.Payload[i]
				}
				c := m.of(s.Src)
				if c.synced && isData(s) && int32(s.Seq-c.rcvNxt) > 0 {
					return nil
				}
				if c.synced && isData(s) && s.Seq == c.rcvNxt {
					for i := uint32(len(s.Payload)); len(s.Payload) < 1400; i++ {
						b, ok := queue[s.Seq+i]
						if !ok {
							break
						}
						s.Payload = append(s.Payload, b)
					}
				}
				return one(s)
			}
		}()},
		{name: "no-checksum-check", raw: func(_ *mutation, in bool, raw []byte) []byte {
			if !in {
				return raw
			}
			if raw[0]>>4 == 4 && len(raw) >= 20 && sum(raw[:20]) != 0xffff {
				raw[10], raw[11] = 0, 0
				v := ^sum(raw[:20])
				raw[10], raw[11] = byte(v>>8), byte(v)
			}
			if s := decode(raw); s != nil && s.checksumMismatch != "" {
				return encode(s)
			}
			return raw
		}},
		{name: "no-simultaneous-open", in: func(m *mutation, s *Segment) []*Segment {
			c := m.of(s.Src)
			if isSYN(s) && c.sndMax != 0 && !c.synced {
				m.link.inject(false, reply(s, RST|ACK, 0, s.Seq+1))
				return nil
			}
			return one(s)
		}},
		{name: "fin-over-hole", in: change(func(m *mutation, s *Segment) {
			if c := m.of(s.Src); s.Has(FIN) && c.synced && int32(s.Seq-c.rcvNxt) > 0 {
				s.Seq, s.Payload = c.rcvNxt, nil
			}
		})},
		{name: "answers-anything", in: func(m *mutation, s *Segment) []*Segment {
			if !s.Has(RST) {
				src := s.Dst
				m.link.inject(false, &Segment{Src: src, Dst: s.Src, Flags: RST | ACK, Ack: s.Seq + 1})
			}
			return one(s)
		}},
		{name: "answers-rst", in: func(m *mutation, s *Segment) []*Segment {
			if s.Has(RST) {
				m.link.inject(false, reply(s, RST|ACK, 0, s.Seq))
			}
			return one(s)
		}},
		{name: "answers-syn-always", in: func(m *mutation, s *Segment) []*Segment {
			if isSYN(s) {
				m.link.inject(false, reply(s, SYN|ACK, 7, s.Seq+1))
			}
			return one(s)
		}},
		{name: "challenges-without-limit", in: func(m *mutation, s *Segment) []*Segment {
			if c := m.of(s.Src); c.synced && (isSYN(s) || s.Seq-c.rcvNxt > 1<<20) {
				m.link.inject(false, reply(s, ACK, c.sndMax, c.rcvNxt))
			}
			return one(s)
		}},
		{name: "deaf", in: dropIf(func(_ *mutation, s *Segment) bool { return !s.Has(SYN) && !s.Has(ACK) || s.Has(RST) })},
		{name: "rst-without-ack-refuses", in: change(func(m *mutation, s *Segment) {
			if c := m.of(s.Src); s.Has(RST) && !c.synced && c.sndMax != 0 {
				s.Flags |= ACK
				s.Ack = c.sndMax
			}
		})},
		{name: "rst-may-have-any-ack", in: change(func(m *mutation, s *Segment) {
			if c := m.of(s.Src); s.Has(RST|ACK) && !c.synced && c.sndMax != 0 {
				s.Ack = c.sndMax
			}
		})},
		{name: "rst-with-data-ignored", in: dropIf(func(_ *mutation, s *Segment) bool { return s.Has(RST) && isData(s) })},
		{name: "ack-opens-syn-sent", in: func(m *mutation, s *Segment) []*Segment {
			if c := m.of(s.Src); !c.synced && c.sndMax != 0 && s.Has(ACK) && s.Flags&(SYN|RST) == 0 {
				s.Flags = SYN | ACK
			}
			return one(s)
		}},
		{name: "no-icmp-in", raw: func(_ *mutation, in bool, raw []byte) []byte {
			if in && decode(raw) == nil && (raw[0]>>4 == 4 && raw[9] == 1 || raw[0]>>4 == 6 && len(raw) > 6 && raw[6] == 58) {
				return nil
			}
			return raw
		}},
		{name: "icmp-resets", raw: func(m *mutation, in bool, raw []byte) []byte {
			if in && decode(raw) == nil && len(raw) > 20 && raw[0]>>4 == 4 && raw[9] == 1 && raw[20] != 8 {
				for peer, c := range m.conn {
					p := peer
					m.later(0, func() {
						m.link.inject(true, &Segment{Src: p, Dst: netip.AddrPortFrom(addrA4, m.link.hostPort()), Flags: RST, Seq: c.rcvNxt})
					})
				}
			}
			return raw
		}},
		{name: "icmp-unchecked", raw: func(m *mutation, in bool, raw []byte) []byte {
			if in && len(raw) >= 56 && raw[0]>>4 == 4 && raw[9] == 1 && (raw[20] == 3 || raw[20] == 11 || raw[20] == 12) {
				peer := netip.AddrPortFrom(addrB4, uint16(raw[50])<<8|uint16(raw[51]))
				c := m.of(peer)
				b := slices.Clone(raw)
				v := c.sndMax - 1
				b[52], b[53], b[54], b[55] = byte(v>>24), byte(v>>16), byte(v>>8), byte(v)
				b[22], b[23] = 0, 0
				k := ^sum(b[20:])
				b[22], b[23] = byte(k>>8), byte(k)
				return b
			}
			return raw
		}},
		{name: "quench-obeyed", raw: func(m *mutation, in bool, raw []byte) []byte {
			if in && len(raw) > 20 && raw[0]>>4 == 4 && raw[9] == 1 && raw[20] == 4 {
				m.n = 1
			}
			return raw
		}, out: dropIf(func(m *mutation, s *Segment) bool {
			drop := m.n == 1 && isData(s) && s.Seq == m.of(s.Dst).sndMax && len(s.Payload) > 900
			m.n += m.n % 2
			return drop
		})},
		{name: "no-fragments", raw: func(_ *mutation, in bool, raw []byte) []byte {
			if in && (raw[0]>>4 == 4 && (raw[6]&0x3f != 0 || raw[7] != 0) || raw[0]>>4 == 6 && raw[6] == 44) {
				return nil
			}
			return raw
		}},
		{name: "overlaps-accepted", raw: func(m *mutation, in bool, raw []byte) []byte {
			if in && (raw[0]>>4 == 4 && raw[6]&0x1f == 0 && raw[7] == 50) {
				return nil
			}
			return raw
		}},
		{name: "no-ip-options", raw: func(_ *mutation, in bool, raw []byte) []byte {
			if in && (raw[0] > 0x45 && raw[0] < 0x50 || raw[0]>>4 == 6 && raw[6] == 60) {
				return nil
			}
			return raw
		}},
		{name: "padding-is-data", raw: func(_ *mutation, in bool, raw []byte) []byte {
			if s := decode(raw); in && s != nil && s.checksumMismatch == "" && raw[0]>>4 == 4 && len(raw) > int(raw[2])<<8|int(raw[3]) {
				s.Payload = append(slices.Clone(s.Payload), raw[int(raw[2])<<8|int(raw[3]):]...)
				return encode(s)
			}
			return raw
		}},
		{name: "takes-all-addresses", raw: func(m *mutation, in bool, raw []byte) []byte {
			if s := decode(raw); in && s != nil && s.Dst.Addr() != addrA4 && s.Dst.Addr() != addrA6 && s.Dst.Addr().Is4() {
				s.Dst = netip.AddrPortFrom(addrA4, s.Dst.Port())
				return encode(s)
			}
			return raw
		}},
		{name: "believes-any-source", in: change(func(_ *mutation, s *Segment) {
			if s.Src.Addr().Is4() && !netip.MustParsePrefix("192.0.2.0/25").Contains(s.Src.Addr()) || s.Src.Addr() == addrA4 {
				s.Src = netip.AddrPortFrom(netip.MustParseAddr("192.0.2.50"), s.Src.Port())
			}
		})},
		// Environment.
		{name: "isn-constant", env: func(e *Env) { e.ISN = func(_, _ netip.AddrPort, _ clock.Time) uint32 { return 12345 } }},
		{name: "isn-by-port", env: func(e *Env) {
			e.ISN = func(_, r netip.AddrPort, now clock.Time) uint32 {
				return uint32(r.Port())*64000 + uint32(int64(now)/4000)
			}
		}},
		{name: "ports-in-order", stack: func() func(api.Stack) api.Stack {
			n := uint16(40000)
			return options(func(c *api.FlowConfig) {
				n++
				if !c.Local.IsValid() {
					c.Local = netip.AddrPortFrom(netip.Addr{}, n)
				}
			})
		}()},
		{name: "one-address", env: func(e *Env) { e.Addresses = e.Addresses[:2] }},
		{name: "everything-on-link", env: func(e *Env) { e.Gateways = []netip.Addr{addrB4, addrB6} }},
		{name: "cwnd-wide", cc: wide{}},
		{name: "cwnd-narrow", cc: narrow{}},
		{name: "cwnd-never-shrinks", cc: stubborn{}},
		{name: "dupacks-acknowledge", in: change(func(m *mutation, s *Segment) {
			if c := m.of(s.Src); c.synced && s.PureACK() && int32(s.Ack-c.sndMax) < 0 {
				m.n++
				if s.Ack += uint32(1000 * m.n); int32(s.Ack-c.sndMax) > 0 {
					s.Ack = c.sndMax
				}
			}
		})},
		{name: "bad-option-resets", raw: func(m *mutation, in bool, raw []byte) []byte {
			if s := decode(raw); in && s != nil && s.optionTrouble != "" && s.Flags&SYN == 0 {
				s.Flags, s.Options, s.Payload, s.Seq = RST, nil, nil, m.of(s.Src).rcvNxt
				return encode(s)
			}
			return raw
		}},
		// Calls.
		{name: "memory-unbounded", stack: flows(func() faultyFlow {
			return faultyFlow{info: func(i api.Info) api.Info { i.Memory *= 100; return i }}
		})},
		{name: "observer-deaf", stack: func(s api.Stack) api.Stack { return &deafObserver{s} }},
		{name: "drops-uncounted", stack: func(s api.Stack) api.Stack { return &noDrops{s} }},
		{name: "keepalive-only-usual", stack: func(s api.Stack) api.Stack { return &usualKeepalive{s} }},
		{name: "nagle-off", stack: options(func(c *api.FlowConfig) { c.NoDelay = true })},
		{name: "nagle-on", stack: func(s api.Stack) api.Stack {
			return &faultyStack{Stack: s, dial: func(c *api.FlowConfig) { c.NoDelay = false }, listen: func(c *api.ListenConfig) { c.Flow.NoDelay = false }}
		}},
		{name: "keepalive-always", stack: options(func(c *api.FlowConfig) {
			c.Keepalive = api.KeepaliveConfig{After: 10 * time.Second, Interval: time.Second, Probes: 100}
		})},
		{name: "keepalive-never", stack: options(func(c *api.FlowConfig) { c.Keepalive = nil })},
		{name: "keepalive-one-probe", stack: options(func(c *api.FlowConfig) {
			if k, ok := c.Keepalive.(api.KeepaliveConfig); ok {
				k.Probes = 1
				c.Keepalive = k
			}
		})},
		{name: "user-timeout-ignored", stack: func(s api.Stack) api.Stack {
			return flowsOf(&faultyStack{Stack: s, dial: func(c *api.FlowConfig) { c.UserTimeout = 0 }, listen: func(c *api.ListenConfig) { c.Flow.UserTimeout = 0 }},
				func() faultyFlow {
					return faultyFlow{configure: func(f api.Flow, change func(*api.FlowConfig)) error {
						return f.Configure(func(c *api.FlowConfig) { u := c.UserTimeout; change(c); c.UserTimeout = u })
					}}
				})
		}},
		{name: "user-timeout-short", stack: options(func(c *api.FlowConfig) { c.UserTimeout = 5 * time.Second })},
		{name: "notify-never", stack: options(func(c *api.FlowConfig) { c.Notify = nil })},
		{name: "buffers-ignored", stack: options(func(c *api.FlowConfig) { c.SendBuffer, c.ReceiveBuffer = 8<<20, 8<<20 })},
		{name: "mss-ignored", stack: options(func(c *api.FlowConfig) { c.MSS = 0 })},
		{name: "local-ignored", stack: options(func(c *api.FlowConfig) { c.Local = netip.AddrPort{} })},
		{name: "backlog-ignored", stack: func(s api.Stack) api.Stack {
			return &faultyStack{Stack: s, listen: func(c *api.ListenConfig) { c.Backlog = 0 }}
		}},
		{name: "half-open-unbounded", stack: func(s api.Stack) api.Stack {
			return &faultyStack{Stack: s, listen: func(c *api.ListenConfig) { c.HalfOpen = 100_000 }}
		}},
		{name: "address-ignored", stack: func(s api.Stack) api.Stack {
			return &faultyStack{Stack: s, listen: func(c *api.ListenConfig) { c.Address = netip.Addr{} }}
		}},
		{name: "listen-twice", stack: func(s api.Stack) api.Stack { return &faultyStack{Stack: s, twice: true} }},
		{name: "unlisten-ignored", stack: func(s api.Stack) api.Stack { return &noUnlisten{s} }},
		{name: "unlisten-aborts", stack: func(s api.Stack) api.Stack { return &unlistenAborts{faultyStack: &faultyStack{Stack: s}} }},
		{name: "disconnect-ignored", stack: func(s api.Stack) api.Stack { return &faultyStack{Stack: s, off: true} }},
		{name: "disconnect-aborts", stack: func(s api.Stack) api.Stack { return &hastyDisconnect{s} }},
		{name: "refused-is-timeout", stack: func(s api.Stack) api.Stack {
			return &faultyStack{Stack: s, err: func(op string, err error) error {
				return &api.Error{Op: op, Err: api.ErrTimeout}
			}}
		}},
		{name: "errors-bare", stack: func(s api.Stack) api.Stack {
			return flowsOf(&faultyStack{Stack: s, err: func(_ string, err error) error { return errors.Unwrap(err) }}, func() faultyFlow {
				bare := func(err error) error {
					var e *api.Error
					if errors.As(err, &e) {
						return e.Err
					}
					return err
				}
				return faultyFlow{
					read:  func(ctx context.Context, f api.Flow) (*api.Buffer, error) { b, err := f.Read(ctx); return b, bare(err) },
					write: func(ctx context.Context, f api.Flow, bs []*api.Buffer, _ bool) error { return bare(f.Writev(ctx, bs)) },
				}
			})
		}},
		{name: "read-shares", stack: flows(func() faultyFlow {
			var page [1 << 16]byte // one buffer for every Read of the flow
			return faultyFlow{read: func(ctx context.Context, f api.Flow) (*api.Buffer, error) {
				b, err := f.Read(ctx)
				if err != nil {
					return nil, err
				}
				n := copy(page[:], b.Bytes())
				return api.NewBuffer(page[:n:n]), nil
			}}
		})},
		{name: "read-empty", stack: flows(func() faultyFlow {
			n := 0
			return faultyFlow{read: func(ctx context.Context, f api.Flow) (*api.Buffer, error) {
				if n++; n%2 == 1 {
					return api.NewBuffer(nil), nil
				}
				return f.Read(ctx)
			}}
		})},
		{name: "read-wraps-eof", stack: flows(func() faultyFlow {
			return faultyFlow{read: func(ctx context.Context, f api.Flow) (*api.Buffer, error) {
				b, err := f.Read(ctx)
				if err == io.EOF {
					err = &api.Error{Op: "read", Err: io.EOF}
				}
				return b, err
			}}
		})},
		{name: "read-eof-once", stack: flows(func() faultyFlow {
			seen := false
			return faultyFlow{read: func(ctx context.Context, f api.Flow) (*api.Buffer, error) {
				b, err := f.Read(ctx)
				if err == io.EOF {
					if seen {
						return nil, &api.Error{Op: "read", Err: api.ErrClosed}
					}
					seen = true
				}
				return b, err
			}}
		})},
		{name: "read-ends-on-close", stack: flows(func() faultyFlow {
			closed := false
			return faultyFlow{
				read: func(ctx context.Context, f api.Flow) (*api.Buffer, error) {
					if closed {
						return nil, io.EOF
					}
					return f.Read(ctx)
				},
				close: func(ctx context.Context, f api.Flow) error { closed = true; return f.Close(ctx) },
			}
		})},
		{name: "reset-is-eof", stack: flows(func() faultyFlow {
			return faultyFlow{read: func(ctx context.Context, f api.Flow) (*api.Buffer, error) {
				b, err := f.Read(ctx)
				if errors.Is(err, api.ErrReset) || errors.Is(err, api.ErrTimeout) {
					err = io.EOF
				}
				return b, err
			}}
		})},
		{name: "eof-is-reset", stack: flows(func() faultyFlow {
			return faultyFlow{read: func(ctx context.Context, f api.Flow) (*api.Buffer, error) {
				b, err := f.Read(ctx)
				if err == io.EOF {
					err = &api.Error{Op: "read", Err: api.ErrReset}
				}
				return b, err
			}}
		})},
		{name: "write-copies-wrongly", stack: flows(func() faultyFlow {
			return faultyFlow{write: func(ctx context.Context, f api.Flow, bs []*api.Buffer, nd bool) error {
				for _, b := range bs {
					if n := b.Len(); n > 500 && n < 3000 {
						b.Bytes()[0]++
					}
				}
				return f.Writev(ctx, bs)
			}}
		})},
		{name: "write-waits-for-ack", stack: flows(func() faultyFlow {
			return faultyFlow{write: func(ctx context.Context, f api.Flow, bs []*api.Buffer, nd bool) error {
				return f.WritevNoDelay(ctx, bs)
			}}
		})},
		{name: "nodelay-does-not-wait", stack: flows(func() faultyFlow {
			return faultyFlow{write: func(ctx context.Context, f api.Flow, bs []*api.Buffer, nd bool) error { return f.Writev(ctx, bs) }}
		})},
		{name: "nodelay-waits-for-close", stack: flows(func() faultyFlow {
			return faultyFlow{write: func(ctx context.Context, f api.Flow, bs []*api.Buffer, nd bool) error {
				if err := f.Writev(ctx, bs); err != nil || !nd {
					return err
				}
				return f.Close(ctx)
			}}
		})},
		{name: "writev-in-pieces", stack: flows(func() faultyFlow {
			return faultyFlow{write: func(ctx context.Context, f api.Flow, bs []*api.Buffer, nd bool) error {
				if nd {
					return f.WritevNoDelay(ctx, bs)
				}
				return drainAll(ctx, f, bs)
			}}
		})},
		{name: "write-in-halves", stack: flows(func() faultyFlow {
			return faultyFlow{write: func(ctx context.Context, f api.Flow, bs []*api.Buffer, nd bool) error {
				for _, b := range bs {
					if n := b.Len(); n > 10 {
						rest := b.Split(n / 2)
						if err := f.Write(ctx, b); err != nil {
							return err
						}
						b = rest
					}
					if err := f.Write(ctx, b); err != nil {
						return err
					}
				}
				return nil
			}}
		})},
		{name: "write-drops-last", stack: flows(func() faultyFlow {
			return faultyFlow{write: func(ctx context.Context, f api.Flow, bs []*api.Buffer, nd bool) error {
				if err := f.Writev(ctx, nil); err != nil {
					return err
				}
				if b := bs[len(bs)-1]; b.Len() > 1 {
					b.Trim(0, b.Len()-1)
				}
				return f.Writev(ctx, bs)
			}}
		})},
		{name: "write-error-odd", stack: flows(func() faultyFlow {
			return faultyFlow{write: func(ctx context.Context, f api.Flow, bs []*api.Buffer, nd bool) error {
				var err error
				if nd {
					err = f.WritevNoDelay(ctx, bs)
				} else {
					err = f.Writev(ctx, bs)
				}
				if errors.Is(err, api.ErrClosed) {
					return errOdd
				}
				return err
			}}
		})},
		{name: "close-returns-at-once", stack: flows(func() faultyFlow {
			return faultyFlow{close: func(_ context.Context, f api.Flow) error { return f.CloseWrite() }}
		})},
		{name: "close-aborts", stack: flows(func() faultyFlow {
			return faultyFlow{close: func(ctx context.Context, f api.Flow) error { f.Abort(); return nil }}
		})},
		{name: "close-swallows", stack: flows(func() faultyFlow {
			return faultyFlow{close: func(ctx context.Context, f api.Flow) error { f.Close(ctx); return nil }}
		})},
		{name: "close-only-once", stack: flows(func() faultyFlow {
			n := 0
			return faultyFlow{close: func(ctx context.Context, f api.Flow) error {
				if n++; n > 1 {
					return api.ErrClosed
				}
				return f.Close(ctx)
			}}
		})},
		{name: "close-gives-up-with-context", stack: flows(func() faultyFlow {
			return faultyFlow{close: func(ctx context.Context, f api.Flow) error {
				err := f.Close(ctx)
				if ctx.Err() != nil {
					f.Abort()
				}
				return err
			}}
		})},
		{name: "abort-closes", stack: flows(func() faultyFlow {
			return faultyFlow{abort: func(f api.Flow) { f.CloseWrite() }}
		})},
		{name: "reason-none", stack: flows(func() faultyFlow { return faultyFlow{reason: func(error) error { return nil }} })},
		{name: "reason-always", stack: flows(func() faultyFlow {
			return faultyFlow{reason: func(err error) error {
				if err == nil {
					return api.ErrClosed
				}
				return err
			}}
		})},
		{name: "info-empty", stack: flows(func() faultyFlow { return faultyFlow{info: func(api.Info) api.Info { return api.Info{} }} })},
		{name: "configure-ignored", stack: flows(func() faultyFlow {
			return faultyFlow{configure: func(_ api.Flow, change func(*api.FlowConfig)) error { change(&api.FlowConfig{}); return nil }}
		})},
		{name: "dst-wrong", stack: flows(func() faultyFlow {
			return faultyFlow{addr: func(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr(), a.Port()+1) }}
		})},
		{name: "close-read-does-nothing", stack: flows(func() faultyFlow { return faultyFlow{closeRead: func(api.Flow) error { return nil }} })},
		{name: "context-checked-first", stack: flows(func() faultyFlow {
			return faultyFlow{read: func(ctx context.Context, f api.Flow) (*api.Buffer, error) {
				if ctx.Err() != nil {
					return nil, &api.Error{Op: "read", Src: f.Src(), Dst: f.Dst(), Err: context.Cause(ctx)}
				}
				return f.Read(ctx)
			}}
		})},
		{name: "context-ignored", stack: func(s api.Stack) api.Stack { return &patientDial{s} }},
		{name: "flows-leak", stack: func(s api.Stack) api.Stack { return &leakyInfo{s} }},
		{name: "dial-anything", stack: func(s api.Stack) api.Stack {
			return &faultyStack{Stack: s, err: func(_ string, err error) error {
				if errors.Is(err, api.ErrInvalidAddress) || errors.Is(err, api.ErrUnreachable) || errors.Is(err, api.ErrNoPorts) {
					return nil
				}
				return err
			}}
		}},
		{name: "one-at-a-time", stack: func(s api.Stack) api.Stack {
			return &faultyStack{Stack: s, listen: func(c *api.ListenConfig) { c.Backlog = 1 }}
		}},
		{name: "listener-options-ignored", stack: func(s api.Stack) api.Stack {
			return &faultyStack{Stack: s, listen: func(c *api.ListenConfig) { c.Flow = api.FlowConfig{} }}
		}},
		{name: "urgent-is-plain", stack: func(s api.Stack) api.Stack {
			return &faultyStack{Stack: s, flow: func(f api.Flow) api.Flow { return plainUrgent{f.(api.UrgentFlow)} }}
		}},
		{name: "flows-empty", stack: func(s api.Stack) api.Stack { return &noFlows{s} }},
	}
}

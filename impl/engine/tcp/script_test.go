package tcp

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// A script plays the peer of one connection, packet by packet, in virtual time.
// Its sequence numbers count from the SYNs: the peer's SYN is 0, and so is ours.
// States are only reached by packets and by what a user may call.
type script struct {
	testing.TB
	c        *Conn
	now      clock.Time
	iss, irs uint32
	v6       bool
	budget   *testBudget
	counters Counters
	window   uint16 // of the peer's segments
	ts       bool   // the peer sends timestamps
	out      Out
}

const (
	fFIN = wire.FIN
	fSYN = wire.SYN
	fRST = wire.RST
	fPSH = wire.PSH
	fACK = wire.ACK
	fURG = wire.URG
	fECE = wire.ECE
	fCWR = wire.CWR
)

// fixedFactory makes controllers with a window of so many segments.
type fixedFactory int64

func (fixedFactory) Name() string { return "test-fixed" }
func (f fixedFactory) New(e *cc.Env, _ string) (cc.Controller, error) {
	return fixedWindow(int64(f) * e.MSS), nil
}

type scriptConfig struct {
	params  Params
	flow    api.FlowConfig
	iss     uint32
	irs     uint32
	synOpts wire.TCPOptions
	window  uint16
	v6      bool
	gso     int64
	mtu     int64
	cc      cc.Factory
	ecn     bool // the peer asks for ECN, and the SYN-ACK agrees
}

func (sc scriptConfig) start(t testing.TB) (*script, *Config) {
	s := &script{TB: t, now: clock.Time(time.Hour), iss: sc.iss, irs: sc.irs, v6: sc.v6, budget: &testBudget{}, window: sc.window}
	if s.iss == 0 {
		s.iss = 1_000_000
	}
	if s.irs == 0 {
		s.irs = 1<<32 - 77
	}
	if s.window == 0 {
		s.window = 65535
	}
	if sc.cc == nil {
		sc.cc = fixedFactory(100)
	}
	if sc.mtu == 0 {
		sc.mtu = 1500
	}
	if sc.flow.ReceiveBuffer == 0 {
		sc.flow.ReceiveBuffer = 60_000
	}
	a, b := netip.MustParseAddrPort("10.0.0.1:80"), netip.MustParseAddrPort("10.0.0.2:5555")
	if sc.v6 {
		a, b = netip.MustParseAddrPort("[fd00::1]:80"), netip.MustParseAddrPort("[fd00::2]:5555")
	}
	s.ts = sc.synOpts.HasTimestamps
	return s, &Config{Params: &sc.params, Flow: sc.flow, Local: a, Remote: b, ISS: s.iss, TSOffset: 5000, LinkMTU: sc.mtu,
		MaxGSO: sc.gso, Controller: sc.cc, Budget: s.budget, Counters: &s.counters}
}

// syn returns the peer's SYN.
func (s *script) segment(flags wire.Flags, seq, ack uint32, data []byte) *Segment {
	g := &Segment{TCP: wire.TCP{SrcPort: 5555, DstPort: 80, Flags: flags, Seq: s.irs + seq, Window: s.window}, Len: int64(len(data))}
	if flags&fACK != 0 {
		g.TCP.Ack = s.iss + ack
	}
	if s.ts {
		g.TCP.Options.HasTimestamps = true
		g.TCP.Options.TSval = s.tsval()
		if flags&fACK != 0 {
			g.TCP.Options.TSecr = s.c.tsNow(s.now)
		}
	}
	if len(data) > 0 {
		g.Payload = []api.Buffer{*api.CopyBuffer(data)}
	}
	return g
}

func (s *script) tsval() uint32 { return uint32(s.now/clock.Time(time.Millisecond)) + 1<<31 }

// listen opens passively, up to the SYN-ACK.
func (sc scriptConfig) listen(t testing.TB) *script {
	s, cfg := sc.start(t)
	g := &Segment{TCP: wire.TCP{SrcPort: 5555, DstPort: 80, Flags: fSYN, Seq: s.irs, Window: s.window, Options: sc.synOpts}}
	if s.ts {
		g.TCP.Options.TSval = s.tsval()
	}
	agree := wire.Flags(0)
	if sc.ecn {
		g.TCP.Flags |= fECE | fCWR
		agree = fECE
	}
	c, err := NewPassive(s.now, cfg, g)
	if err != nil {
		t.Fatal(err)
	}
	s.c = c
	s.want(fSYN|fACK|agree, 0, 1, 0)
	return s
}

// dial opens actively, up to the SYN.
func (sc scriptConfig) dial(t testing.TB) *script {
	s, cfg := sc.start(t)
	c, err := NewActive(s.now, cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.c = c
	ask := wire.Flags(0)
	if sc.params.ECN == ECNOn {
		ask = fECE | fCWR
	}
	s.want(fSYN|ask, 0, 0, 0)
	s.state(api.StateSynSent)
	return s
}

// open goes through the whole passive handshake.
func (sc scriptConfig) open(t testing.TB) *script {
	s := sc.listen(t)
	s.recv(fACK, 1, 1)
	s.state(api.StateEstablished)
	s.none()
	s.c.TakeEvents()
	return s
}

// recv gives the connection a segment of the peer's; mod may edit it.
func (s *script) recv(flags wire.Flags, seq, ack uint32, mod ...func(*Segment)) {
	s.recvData(flags, seq, ack, nil, mod...)
}

func (s *script) recvData(flags wire.Flags, seq, ack uint32, data []byte, mod ...func(*Segment)) {
	g := s.segment(flags, seq, ack, data)
	for _, m := range mod {
		m(g)
	}
	s.c.Segment(s.now, g)
	s.keepalive()
}

func win(w uint16) func(*Segment)    { return func(g *Segment) { g.TCP.Window = w } }
func tsval(v uint32) func(*Segment)  { return func(g *Segment) { g.TCP.Options.TSval = v } }
func urgPtr(v uint16) func(*Segment) { return func(g *Segment) { g.TCP.Urgent = v } }
func noTS(g *Segment)                { g.TCP.Options.HasTimestamps = false }

func (s *script) sack(blocks ...uint32) func(*Segment) {
	return func(g *Segment) {
		for i := 0; i+1 < len(blocks); i += 2 {
			g.TCP.Options.SACK[i/2] = wire.SACKBlock{Left: s.iss + blocks[i], Right: s.iss + blocks[i+1]}
			g.TCP.Options.SACKCount++
		}
	}
}

func (s *script) poll() bool {
	return s.c.Poll(s.now, &s.out)
}

func (s *script) payload() []byte {
	var b []byte
	for i := range s.out.Payload {
		b = append(b, s.out.Payload[i].Bytes()...)
	}
	return b
}

func (s *script) done() {
	for i := range s.out.Payload {
		s.out.Payload[i].Release()
	}
	s.out.Payload = s.out.Payload[:0]
}

// want polls and checks the next segment; ack is not looked at without ACK. PSH
// is looked at only if asked for.
func (s *script) want(flags wire.Flags, seq, ack uint32, length int) *wire.TCP {
	s.Helper()
	if !s.poll() {
		s.Fatalf("nothing sent, want %v seq %d ack %d len %d", flags, seq, ack, length)
	}
	defer s.done()
	h := &s.out.TCP
	got := h.Flags
	if flags&fPSH == 0 {
		got &^= fPSH
	}
	gotAck := h.Ack - s.irs
	if flags&fACK == 0 {
		ack, gotAck = 0, h.Ack
	}
	if got != flags || h.Seq-s.iss != seq || gotAck != ack || s.out.Len != int64(length) {
		s.Fatalf("sent %v seq %d ack %d len %d, want %v seq %d ack %d len %d", h.Flags, h.Seq-s.iss, gotAck, s.out.Len, flags, seq, ack, length)
	}
	return h
}

func (s *script) none() {
	s.Helper()
	if s.poll() {
		h := &s.out.TCP
		s.Fatalf("sent %v seq %d ack %d len %d, want nothing", h.Flags, h.Seq-s.iss, h.Ack-s.irs, s.out.Len)
	}
}

func (s *script) state(st api.State) {
	s.Helper()
	if s.c.State() != st {
		s.Fatalf("state %v, want %v", s.c.State(), st)
	}
}

// advance lets time pass during which nothing may be sent.
func (s *script) advance(d time.Duration) {
	s.Helper()
	end := s.now.Add(d)
	for s.c.Deadline() <= end {
		s.now = max(s.now, s.c.Deadline())
		s.c.Timeout(s.now)
		s.keepalive()
		if s.poll() {
			h := &s.out.TCP
			s.Fatalf("after %v sent %v seq %d ack %d len %d, want nothing", s.now.Sub(end.Add(-d)), h.Flags, h.Seq-s.iss, h.Ack-s.irs, s.out.Len)
		}
	}
	s.now = end
}

// until lets time pass until there is something to send, and returns how long.
func (s *script) until() time.Duration {
	s.Helper()
	start := s.now
	for range 10000 {
		if s.c.Deadline() == clock.Never {
			s.Fatalf("nothing will ever be sent (state %v)", s.c.State())
		}
		s.now = max(s.now, s.c.Deadline())
		s.c.Timeout(s.now)
		s.keepalive()
		// Look without taking: a state change also ends the wait.
		if s.c.State() == api.StateClosed || s.due() {
			return s.now.Sub(start)
		}
	}
	s.Fatal("timers run for ever")
	return 0
}

// keepalive answers for the flow's Keepalive, as an engine does.
func (s *script) keepalive() {
	if k, idle, sent, ok := s.c.AskKeepalive(s.now); ok {
		action, wait := k.Next(idle, sent)
		s.c.AnswerKeepalive(s.now, action, wait)
	}
}

// due reports whether a timeout has left something to send.
func (s *script) due() bool {
	c := s.c
	_, lost := c.sb.nextLost()
	return c.synDue || c.rstDue || c.ackNow || c.probeDue || c.kaDue || c.tlp.due || (c.override || lost) && !c.persisting()
}

func (s *script) write(n int, o ...WriteOptions) uint64 {
	s.Helper()
	var opt WriteOptions
	if len(o) > 0 {
		opt = o[0]
	}
	end, err := s.c.Write(s.now, []*api.Buffer{api.NewBuffer(pattern(n, 9))}, opt)
	if err != nil {
		s.Fatal(err)
	}
	return end
}

// read reads everything there is and checks how many bytes that are.
func (s *script) read(n int) []byte {
	s.Helper()
	var got []byte
	for {
		b, err := s.c.Read(s.now)
		if err != nil {
			if len(got) != n {
				s.Fatalf("read %d bytes, then %v, want %d", len(got), err, n)
			}
			return got
		}
		if b.Len() == 0 {
			s.Fatal("empty read (R2)")
		}
		got = append(got, b.Bytes()...)
		b.Release()
	}
}

func (s *script) readErr(want error) {
	s.Helper()
	for range 2 { // this and every later read (R4)
		if b, err := s.c.Read(s.now); b != nil || !errors.Is(err, want) {
			s.Fatalf("read %v, %v, want %v", b, err, want)
		}
	}
	if want == io.EOF {
		if _, err := s.c.Read(s.now); err != io.EOF {
			s.Fatalf("end of file is not bare: %#v", err)
		}
	}
}

func (s *script) clean() {
	s.Helper()
	s.c.ReleaseBuffers()
	if s.budget.used != 0 {
		s.Errorf("%d bytes still charged", s.budget.used)
	}
}

func (s *script) drops(r api.DropReason) uint64 { return s.counters.Drops[r] }

func same(t testing.TB, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Fatalf("bytes differ: %d, want %d", len(got), len(want))
	}
}

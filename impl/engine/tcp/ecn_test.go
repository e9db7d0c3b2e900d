package tcp

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// ecnFactory makes spies that want a use of ECN of their own.
type ecnFactory struct {
	spyFactory
	mode  cc.ECNMode
	byEnd map[netip.AddrPort]*spy // by local address
}

func (f *ecnFactory) of(c *Conn) *spy { return f.byEnd[c.Local()] }

type ecnSpy struct {
	*spy
	mode cc.ECNMode
}

func (e ecnSpy) ECN() cc.ECNMode { return e.mode }

func (f *ecnFactory) New(e *cc.Env, o string) (cc.Controller, error) {
	c, err := f.spyFactory.New(e, o)
	if f.byEnd == nil {
		f.byEnd = map[netip.AddrPort]*spy{}
	}
	f.byEnd[e.Local] = c.(*spy)
	return ecnSpy{c.(*spy), f.mode}, err
}

func marked(g *Segment) { g.CE = true }

// RFC 3168, section 6.1.1: ECN is used if the peer's SYN is an ECN-setup SYN, and
// the policy or the controller wants it.
func TestECNPassive(t *testing.T) {
	for _, x := range []struct {
		policy ECNPolicy
		cc     cc.Factory
		flags  wire.Flags
		ok     bool
	}{
		{ECNPassive, nil, fECE | fCWR, true},
		{ECNOn, nil, fECE | fCWR, true},
		{ECNOff, nil, fECE | fCWR, false},
		{ECNPassive, nil, 0, false},
		{ECNPassive, nil, fECE, false},
		{ECNPassive, nil, fCWR, false},
		{ECNPassive, nil, fECE | fCWR | wire.AE, true}, // of a peer that speaks Accurate ECN
		{ECNPassive, &ecnFactory{mode: cc.ECNOff}, fECE | fCWR, false},
		{ECNPassive, &ecnFactory{mode: cc.ECNEach}, fECE | fCWR, true},
		{ECNOff, &ecnFactory{mode: cc.ECNEach}, fECE | fCWR, false},
	} {
		s, cfg := scriptConfig{params: Params{ECN: x.policy}, cc: x.cc}.start(t)
		c, err := NewPassive(s.now, cfg, &Segment{TCP: wire.TCP{Flags: fSYN | x.flags, Seq: s.irs, Window: 60000, Options: sackOpts}})
		if err != nil {
			t.Fatal(err)
		}
		s.c = c
		want := fSYN | fACK
		if x.ok {
			want |= fECE
		}
		s.want(want, 0, 1, 0)
		if s.out.ECN != 0 {
			t.Error("a SYN-ACK is ECT")
		}
		s.recv(fACK, 1, 1)
		s.write(100)
		s.want(fACK, 1, 1, 100)
		if got := s.out.ECN == 2; got != x.ok || c.Info(s.now).ECN != x.ok {
			t.Errorf("%+v: ECT %d, Info.ECN %v", x, s.out.ECN, c.Info(s.now).ECN)
		}
	}
}

// The same from the other end.
func TestECNActive(t *testing.T) {
	for _, x := range []struct {
		policy ECNPolicy
		cc     cc.Factory
		answer wire.Flags
		asks   bool
		ok     bool
	}{
		{ECNOn, nil, fECE, true, true},
		{ECNOn, nil, 0, true, false},
		{ECNOn, nil, fECE | fCWR, true, false}, // reflects what it does not know
		{ECNOn, nil, fCWR, true, false},
		{ECNPassive, nil, fECE, false, false},
		{ECNOff, nil, fECE, false, false},
		{ECNPassive, &ecnFactory{mode: cc.ECNEach}, fECE, true, true},
		{ECNPassive, &ecnFactory{mode: cc.ECNClassic}, fECE, true, true},
		{ECNOn, &ecnFactory{mode: cc.ECNOff}, fECE, false, false},
		{ECNOff, &ecnFactory{mode: cc.ECNEach}, fECE, false, false},
	} {
		s, cfg := scriptConfig{params: Params{ECN: x.policy}, cc: x.cc}.start(t)
		c, err := NewActive(s.now, cfg)
		if err != nil {
			t.Fatal(err)
		}
		s.c = c
		want := fSYN
		if x.asks {
			want |= fECE | fCWR
		}
		s.want(want, 0, 0, 0)
		if s.out.ECN != 0 || c.Info(s.now).ECN {
			t.Error("a SYN is ECT, or ECN in use before the answer")
		}
		s.recv(fSYN|fACK|x.answer, 0, 1, func(g *Segment) { g.TCP.Options = sackOpts })
		s.want(fACK, 1, 1, 0)
		if s.out.ECN != 0 {
			t.Error("a pure ACK is ECT")
		}
		s.write(100)
		s.want(fACK, 1, 1, 100)
		if got := s.out.ECN == 2; got != x.ok || c.Info(s.now).ECN != x.ok {
			t.Errorf("%+v: ECT %d, Info.ECN %v", x, s.out.ECN, c.Info(s.now).ECN)
		}
	}
}

// RFC 3168, section 6.1.1.1: where SYNs that ask for ECN get no answer, one that does
// not is tried; after it nothing is ECT, though marks are still echoed.
func TestECNSynFallback(t *testing.T) {
	for _, late := range []bool{false, true} {
		s := scriptConfig{params: Params{ECN: ECNOn}}.dial(t)
		s.until()
		s.want(fSYN|fECE|fCWR, 0, 0, 0)
		s.until()
		s.want(fSYN, 0, 0, 0)
		s.until()
		s.want(fSYN, 0, 0, 0)
		flags := fSYN | fACK
		if late { // the answer to the first
			flags |= fECE
		}
		s.recv(flags, 0, 1, func(g *Segment) { g.TCP.Options = sackOpts })
		s.want(fACK, 1, 1, 0)
		s.write(100)
		s.want(fACK, 1, 1, 100)
		if s.out.ECN != 0 {
			t.Error("ECT after a SYN without ECN")
		}
		s.recvData(fACK, 1, 101, pattern(1460, 1), marked)
		if s.c.Info(s.now).ECN != late {
			t.Error(s.c.Info(s.now).ECN)
		}
		want := fACK
		if late {
			want |= fECE
		}
		s.want(want, 101, 1461, 0)
	}
}

// The peer's SYN comes again without ECN: it is not used.
func TestECNPeerFallsBack(t *testing.T) {
	s := scriptConfig{synOpts: sackOpts, ecn: true}.listen(t)
	s.recv(fSYN|fECE|fCWR, 0, 0)
	s.want(fSYN|fACK|fECE, 0, 1, 0)
	s.now = s.now.Add(time.Second)
	s.recv(fSYN, 0, 0)
	s.want(fSYN|fACK, 0, 1, 0)
	s.recv(fACK, 1, 1)
	s.write(10)
	s.want(fACK, 1, 1, 10)
	if s.out.ECN != 0 || s.c.Info(s.now).ECN {
		t.Error("ECN is in use")
	}
}

// Section 6.1.1: both ends of a simultaneous open have to ask.
func TestECNSimultaneousOpen(t *testing.T) {
	for _, x := range []struct {
		syn, synAck wire.Flags
		ok          bool
	}{{fECE | fCWR, fECE, true}, {fECE | fCWR, 0, false}, {0, 0, false}} {
		s := scriptConfig{params: Params{ECN: ECNOn}}.dial(t)
		s.recv(fSYN|x.syn, 0, 0, func(g *Segment) { g.TCP.Options = sackOpts })
		want := fSYN | fACK
		if x.syn != 0 {
			want |= fECE
		}
		s.want(want, 0, 1, 0)
		s.recv(fSYN|fACK|x.synAck, 0, 1)
		s.state(api.StateEstablished)
		if s.c.Info(s.now).ECN != x.ok {
			t.Errorf("%+v", x)
		}
	}
}

// ecnFlight is flight with ECN.
func ecnFlight(t *testing.T) (*script, *spyFactory) {
	return flightWith(t, scriptConfig{synOpts: sackOpts, ecn: true, params: Params{NoRACK: true}})
}

// Sections 6.1.4 to 6.1.6: only data sent for the first time are ECT.
func TestECTOnNewDataOnly(t *testing.T) {
	s, _ := ecnFlight(t)
	ect := func(what string, want uint8) {
		t.Helper()
		if s.out.ECN != want {
			t.Errorf("%s: ECN field %d, want %d", what, s.out.ECN, want)
		}
	}
	s.recv(fACK, 1, seg(1))
	s.want(fACK, seg(10), 1, 1460)
	ect("new data", 2)
	for s.poll() {
		s.done()
	}
	s.recvData(fACK, 2, seg(1), pattern(10, 1)) // out of order: acknowledged at once
	s.want(fACK, seg(12), 1, 0)
	ect("pure ACK", 0)
	s.until()
	s.want(fACK, seg(1), 1, 1460-12) // with room for the SACK block
	ect("retransmission", 0)
	s.recv(fACK, 12, seg(12), win(0))
	s.until()
	s.want(fACK, seg(12), 1, 1)
	ect("window probe", 0)

	s = scriptConfig{synOpts: sackOpts, ecn: true, flow: api.FlowConfig{
		Keepalive: api.KeepaliveConfig{After: time.Minute, Interval: time.Second, Probes: 3}}}.open(t)
	s.until()
	s.want(fACK, 0, 1, 0)
	ect("keepalive probe", 0)
	s.recv(fACK, 1, 1)
	s.c.CloseWrite(s.now)
	s.want(fFIN|fACK, 1, 1, 0)
	ect("FIN without data", 0)

	s, at, size := warm(t, &spyFactory{}, 0, sackOpts) // tail loss probe
	s.c.ecn.ok = true
	s.until()
	s.want(fACK, at(9), 1, size)
	ect("tail loss probe", 0)
}

// Section 6.1.3: after a CE mark every segment has ECE, until one with CWR comes.
func TestECNEcho(t *testing.T) {
	s := scriptConfig{synOpts: sackOpts, ecn: true}.open(t)
	seq := uint32(1)
	data := func(flags, want wire.Flags, mod ...func(*Segment)) {
		t.Helper()
		s.recvData(fACK|flags, seq, 1, pattern(1460, 1), mod...)
		seq += 1460
		s.want(fACK|want, 1, seq, 0)
	}
	data(0, 0)
	data(0, fECE, marked)
	data(0, fECE)
	data(0, fECE)
	data(fCWR, 0)
	data(0, 0)
	data(fCWR, fECE, marked) // CWR first
	data(0, fECE)

	// Data of ours have it as well.
	s.write(10)
	s.want(fACK|fECE, 1, seq, 10)
	s.recvData(fACK|fCWR, seq, 11, pattern(1460, 1))
	seq += 1460
	s.want(fACK, 11, seq, 0)

	// A mark on a pure ACK, or outside the window, is none.
	s.recv(fACK, seq, 11, marked)
	s.recvData(fACK, seq-1460, 11, pattern(1460, 1), marked) // old
	s.want(fACK, 11, seq, 0)
	s.recvData(fACK, seq+1<<20, 11, pattern(1460, 1), marked) // beyond
	s.want(fACK, 11, seq, 0)

	// Out of order counts.
	s.recvData(fACK, seq+1460, 11, pattern(1460, 1), marked)
	s.want(fACK|fECE, 11, seq, 0)
	s.clean()
}

// Marks mean nothing where ECN was not negotiated.
func TestECNNotNegotiated(t *testing.T) {
	s, f := flight(t, sackOpts)
	s.recvData(fACK|fECE, 1, seg(1), pattern(1460, 1), marked)
	s.want(fACK, seg(10), 1461, 1460)
	if s.out.ECN != 0 || len(f.last.congs) != 0 || f.last.acks[0].ECE {
		t.Errorf("ECN field %d, %d congestions", s.out.ECN, len(f.last.congs))
	}
}

// Section 6.1.2: one reduction in a window of data, CWR on the first new data after
// it, and cwnd goes down as what is in flight does (RFC 9937).
func TestECNReduction(t *testing.T) {
	s, f := ecnFlight(t)
	s.recv(fACK|fECE, 1, seg(1))
	if len(f.last.congs) != 1 || f.last.congs[0].Kind != cc.ECNMark || s.c.phase != cc.CWR || !f.last.acks[0].ECE {
		t.Fatalf("%+v, phase %v", f.last.congs, s.c.phase)
	}
	// Ten in flight, ssthresh five: about one for every second ACK.
	sent := uint32(0)
	for i := uint32(2); i <= 10; i++ {
		if s.poll() {
			want := fACK
			if sent == 0 {
				want |= fCWR
			}
			if h := &s.out.TCP; h.Flags != want || h.Seq-s.iss != seg(10+sent) || s.out.ECN != 2 {
				t.Fatalf("sent %v seq %d, ECN %d", h.Flags, h.Seq-s.iss, s.out.ECN)
			}
			s.done()
			sent++
			s.none()
		}
		s.recv(fACK|fECE, 1, seg(i)) // the echo goes on until CWR arrives
	}
	if sent < 4 || sent > 5 {
		t.Errorf("%d segments sent for 9 ACKs", sent)
	}
	i := s.c.Info(s.now)
	if len(f.last.congs) != 1 || s.c.phase != cc.Open || i.Cwnd != i.Ssthresh || i.Cwnd != 5*1460 {
		t.Errorf("%d congestions, phase %v, cwnd %d, ssthresh %d", len(f.last.congs), s.c.phase, i.Cwnd, i.Ssthresh)
	}
	// Beyond that window an echo is a new one.
	s.recv(fACK|fECE, 1, seg(11))
	if len(f.last.congs) != 2 {
		t.Error("a second window's echo was ignored")
	}
}

// With super-packets, CWR is on one segment only.
func TestCWROnOneSegment(t *testing.T) {
	s := scriptConfig{synOpts: sackOpts, ecn: true, gso: 65535, cc: &spyFactory{}}.open(t)
	s.write(30 * 1460)
	s.want(fACK, 1, 1, 10*1460)
	s.now = s.now.Add(10 * time.Millisecond)
	s.recv(fACK|fECE, 1, seg(8))
	s.want(fACK|fCWR, seg(10), 1, 1460)
	s.want(fACK, seg(11), 1, 2*1460)
}

// A loss in the window of an echo has been answered; and it cannot be undone.
func TestECNAndLoss(t *testing.T) {
	s, f := ecnFlight(t)
	s.recv(fACK|fECE, 1, seg(1))
	for s.poll() {
		s.done()
	}
	ssthresh := s.c.Info(s.now).Ssthresh
	for i := uint32(3); i <= 6; i++ {
		s.recv(fACK|fECE, 1, seg(1), s.sack(seg(2), seg(i)))
	}
	if s.c.phase != cc.Recovery || len(f.last.congs) != 1 || s.c.undo.active {
		t.Errorf("phase %v, %+v", s.c.phase, f.last.congs)
	}
	s.want(fACK, seg(1), 1, 1460)
	if s.out.ECN != 0 {
		t.Error("a retransmission is ECT")
	}
	if got := s.c.Info(s.now).Ssthresh; got != ssthresh {
		t.Errorf("ssthresh %d, then %d", ssthresh, got)
	}

	// The other way round: an echo during recovery.
	s, f = ecnFlight(t)
	for i := uint32(2); i <= 5; i++ {
		s.recv(fACK, 1, seg(0), s.sack(seg(1), seg(i)))
	}
	s.recv(fACK|fECE, 1, seg(1), s.sack())
	if len(f.last.congs) != 1 || f.last.congs[0].Kind != cc.LossDetected {
		t.Errorf("%+v", f.last.congs)
	}
	// The peer is told all the same that the window was reduced.
	cwr := 0
	for s.poll() {
		if s.out.TCP.Flags&fCWR != 0 {
			cwr++
			if s.out.TCP.Seq-s.iss < seg(10) {
				t.Error("CWR on a retransmission")
			}
		}
		s.done()
	}
	s.recv(fACK, 1, seg(9))
	for s.poll() {
		if s.out.TCP.Flags&fCWR != 0 {
			cwr++
		}
		s.done()
	}
	if cwr != 1 {
		t.Errorf("%d segments with CWR", cwr)
	}
}

// Section 6.1.2: with a window of one segment, an echo makes the next new data wait
// for the retransmission timer.
func TestECNWindowOfOne(t *testing.T) {
	f := &spyFactory{}
	s := scriptConfig{synOpts: sackOpts, ecn: true, cc: f, params: Params{InitialWindow: 1460}}.open(t)
	s.write(10 * 1460)
	s.want(fACK, seg(0), 1, 1460)
	s.none()
	s.now = s.now.Add(10 * time.Millisecond)
	s.recv(fACK|fECE, 1, seg(1))
	s.none()
	rto := s.c.Info(s.now).RTO
	s.advance(rto - time.Millisecond)
	s.now = s.now.Add(time.Millisecond)
	s.c.Timeout(s.now)
	s.want(fACK|fCWR, seg(1), 1, 1460)
	if len(f.last.congs) != 0 || s.c.seldom.timeouts != 0 {
		t.Errorf("%+v, %d timeouts", f.last.congs, s.c.seldom.timeouts)
	}
}

// RFC 8257, section 3.2: each change of the mark is told at once, with an ACK of what
// came before it, and unmarked data are never acknowledged with ECE.
func TestECNEachReceiver(t *testing.T) {
	s := scriptConfig{synOpts: sackOpts, ecn: true, cc: &ecnFactory{mode: cc.ECNEach}}.open(t)
	s.c.quickAcks = 0
	data := func(i uint32, mod ...func(*Segment)) { s.recvData(fACK, seg(i), 1, pattern(1460, 1), mod...) }
	data(0)
	s.none() // delayed
	data(1, marked)
	h := s.want(fACK, 1, seg(1), 0)
	edge := h.Ack + uint32(h.Window)
	h = s.want(fACK|fECE, 1, seg(2), 0)
	if h.Ack+uint32(h.Window) < edge {
		t.Error("the window was taken back")
	}
	s.none()
	data(2, marked)
	s.none() // as before: delayed
	data(3, marked)
	s.want(fACK|fECE, 1, seg(4), 0)
	data(4, marked)
	data(5)
	s.want(fACK|fECE, 1, seg(5), 0)
	s.want(fACK, 1, seg(6), 0)
	// CWR has no meaning here.
	s.recvData(fACK|fCWR, seg(6), 1, pattern(1460, 1), marked)
	s.want(fACK|fECE, 1, seg(7), 0)
	s.none()
	// Several changes before there is a chance to send.
	data(7)
	data(8, marked)
	data(9)
	s.want(fACK, 1, seg(8), 0)
	s.want(fACK|fECE, 1, seg(9), 0)
	s.want(fACK, 1, seg(10), 0)
	s.none()
	// However many there are, what waits is bounded.
	for i := uint32(10); i < 40; i++ {
		s.recvData(fACK, seg(i), 1, pattern(1460, 1), func(g *Segment) { g.CE = i%2 == 0 })
	}
	n := 0
	for s.poll() {
		n++
		s.done()
	}
	if n > maxPriorAcks+1 || s.c.lastAckSent != s.c.rcvNxt {
		t.Errorf("%d ACKs", n)
	}
	s.read(40 * 1460)
	s.clean()
}

// RFC 8257, section 3.3: the controller's reduction holds at once, once in a window,
// and every ACK says whether it had an echo.
func TestECNEachSender(t *testing.T) {
	f := &ecnFactory{mode: cc.ECNEach}
	s := scriptConfig{synOpts: sackOpts, ecn: true, cc: f}.open(t)
	s.write(40 * 1460)
	for i := range uint32(10) {
		s.want(fACK, seg(i), 1, 1460)
	}
	s.now = s.now.Add(10 * time.Millisecond)
	echoes := []bool{false, true, true, false, true}
	for i, e := range echoes {
		flags := fACK
		if e {
			flags |= fECE
		}
		s.recv(flags, 1, seg(uint32(i)+1))
		if i == 1 {
			if info := s.c.Info(s.now); info.Cwnd != f.last.cwnd || info.Cwnd != info.Ssthresh {
				t.Errorf("cwnd %d, the controller wants %d", info.Cwnd, f.last.cwnd)
			}
		}
	}
	if len(f.last.congs) != 1 || f.last.congs[0].Kind != cc.ECNMark {
		t.Errorf("%+v", f.last.congs)
	}
	for i, e := range echoes {
		if f.last.acks[i].ECE != e {
			t.Errorf("ACK %d: ECE %v", i, f.last.acks[i].ECE)
		}
	}
}

// Whole transfers over paths that mark, lose and reorder: everything arrives, marks
// are answered, at most once a round trip, and end when marking ends. With the
// exact echo and no loss, the sender learns of every byte that was marked.
func TestECNTransfers(t *testing.T) {
	for seed := range uint64(16) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			ch := channel{delay: 10 * time.Millisecond, mark: 0.05}
			lossy := seed%3 == 1
			if lossy {
				ch.loss, ch.reorder = 0.02, 0.05
			}
			pc := pairConfig{passive: seed%2 == 0, seed: seed, gso: int64(seed%4/2) * 65535, ch: ch, params: Params{ECN: ECNOn, Autotune: seed%5 == 0}}
			f := &ecnFactory{mode: cc.ECNEach}
			each := seed >= 8
			if each {
				pc.cc = f
			}
			p := newPair(t, pc)
			cwr, ect := 0, 0
			var started, last time.Duration
			p.onSend = func(c *Conn, out *Out) {
				if out.TCP.Flags&fSYN != 0 || c != p.c[0] {
					return
				}
				at := time.Duration(p.now)
				if started == 0 {
					started = at
				}
				if out.TCP.Flags&fCWR != 0 {
					cwr++
					last = at
				}
				if out.ECN != 0 {
					ect++
				}
				if out.ECN != 0 && out.Len == 0 {
					t.Fatal("ECT without data")
				}
			}
			data := pattern(700_000, 1)
			got := p.transfer([2][]byte{data, nil}, func() int { return 100_000 }, time.Hour)
			same(t, got[1], data)
			rounds := int((last-started)/(20*time.Millisecond)) + 1
			if ect == 0 || cwr == 0 || cwr > rounds {
				t.Errorf("%d segments ECT, %d with CWR in %d round trips", ect, cwr, rounds)
			}
			if !each || lossy {
				return
			}
			var told int64
			for _, e := range f.of(p.c[0]).acks {
				if e.ECE {
					told += e.CumAcked
				}
			}
			if told == 0 || told != p.marked {
				t.Errorf("%d bytes were marked, the sender was told of %d", p.marked, told)
			}
		})
	}
}

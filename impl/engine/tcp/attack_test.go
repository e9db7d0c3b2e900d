package tcp

import (
	"io"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// reach brings a connection into a synchronised state by packets and calls, and
// returns the next sequence numbers of the peer and of ours.
func reach(t testing.TB, st api.State) (s *script, seq, ack uint32) {
	s = scriptConfig{synOpts: mssOnly}.open(t)
	seq, ack = 1, 1
	peerFin := func() {
		s.recv(fACK|fFIN, seq, ack)
		seq++
		s.want(fACK, ack, seq, 0)
	}
	ourFin := func() {
		s.c.CloseWrite(s.now)
		s.want(fACK|fFIN, ack, seq, 0)
	}
	switch st {
	case api.StateEstablished:
	case api.StateFinWait1:
		ourFin()
		ack = 2
	case api.StateFinWait2:
		ourFin()
		ack = 2
		s.recv(fACK, seq, 2)
	case api.StateCloseWait:
		peerFin()
	case api.StateLastAck:
		peerFin()
		ourFin()
		ack = 2
	case api.StateClosing:
		ourFin()
		s.recv(fACK|fFIN, 1, 1)
		seq, ack = 2, 2
		s.want(fACK, 2, 2, 0)
	case api.StateTimeWait:
		ourFin()
		ack = 2
		s.recv(fACK|fFIN, 1, 2)
		seq = 2
		s.want(fACK, 2, 2, 0)
	default:
		t.Fatal("unreachable")
	}
	s.state(st)
	s.none()
	return s, seq, ack
}

var synchronised = []api.State{api.StateEstablished, api.StateFinWait1, api.StateFinWait2, api.StateCloseWait, api.StateClosing, api.StateLastAck}

// RFC 5961, section 3 (security S06), in every synchronised state: exact RST,
// challenge in the window, silence outside it.
func TestBlindReset(t *testing.T) {
	for _, st := range synchronised {
		t.Run(st.String(), func(t *testing.T) {
			s, seq, ack := reach(t, st)
			s.recv(fRST, seq-1, 0)
			s.recv(fRST, seq+1<<20, 0)
			s.recv(fRST|fACK, seq+1<<31, ack)
			s.none()
			s.state(st)
			s.recv(fRST, seq+100, 0)
			s.want(fACK, ack, seq, 0)
			s.recv(fRST|fACK, seq+101, ack) // one an interval (section 7)
			s.none()
			s.state(st)
			if s.counters.ChallengeAcks != 1 || s.drops(api.DropReset) != 2 {
				t.Errorf("%+v", s.counters)
			}
			s.recvData(fRST, seq, 0, []byte("why")) // SHLD-2
			s.state(api.StateClosed)
			s.none()
			if s.c.CloseReason() != api.ErrReset {
				t.Error(s.c.CloseReason())
			}
			s.clean()
		})
	}
}

// RFC 5961, section 4 (security S07): a SYN anywhere is challenged.
func TestBlindSyn(t *testing.T) {
	for _, st := range synchronised {
		for _, off := range []uint32{0, 50, 1 << 31, 1<<32 - 1, 1 << 20} {
			for _, flags := range []wire.Flags{fSYN, fSYN | fACK} {
				s, seq, ack := reach(t, st)
				s.recv(flags, seq+off, ack)
				s.want(fACK, ack, seq, 0)
				s.recv(flags, seq+off, ack)
				s.none()
				s.state(st)
				s.advance(200 * time.Millisecond)
			}
		}
	}
}

// RFC 5961, section 5 (MAY-12, security S26): acknowledgements out of range.
func TestBlindData(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly, window: 1000}.open(t)
	s.write(3000)
	s.want(fACK, 1, 1, 1000)
	s.recv(fACK, 1, 1001)
	s.want(fACK, 1001, 1, 1000)
	cwnd := s.c.Info(s.now).Cwnd
	for _, ack := range []uint32{2002, 5000, 1 << 31, 0x7fffffff} {
		s.recvData(fACK, 1, ack, pattern(10, 1))
		s.want(fACK, 2001, 1, 0)
		s.now = s.now.Add(150 * time.Millisecond)
		s.recvData(fACK, 1, ack, pattern(10, 1)) // limited
		s.none()
		s.now = s.now.Add(350 * time.Millisecond)
	}
	// Older than SND.UNA by more than the largest window.
	var zero uint32
	s.recvData(fACK, 1, zero-1000, pattern(10, 1))
	s.want(fACK, 2001, 1, 0)
	s.read(0)
	// Old, but no older than that: the data count, the ACK does not.
	s.recvData(fACK, 1, 2, pattern(10, 1))
	s.read(10)
	if i := s.c.Info(s.now); i.Cwnd != cwnd || i.BytesAcked != 1000 || s.drops(api.DropBadAck) != 9 {
		t.Errorf("%+v, %d drops", i, s.drops(api.DropBadAck))
	}
}

// Security S08, S09, RFC 5961 section 7: a thousand challenges in a second are
// answered three times, and no other connection's count is touched.
func TestChallengeLimit(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly}.open(t)
	other := scriptConfig{synOpts: mssOnly}.open(t)
	replies := 0
	for range 1000 {
		s.recv(fSYN, 100, 0)
		s.recv(fRST, 100, 0)
		s.recv(fACK, 1, 77)
		s.recv(fACK, 1<<31, 1)
		s.recvData(fACK, 1<<29, 1, pattern(100, 1))
		for s.poll() {
			s.done()
			replies++
		}
		s.now = s.now.Add(time.Millisecond)
	}
	if replies == 0 || replies > 3 {
		t.Errorf("%d replies", replies)
	}
	other.recv(fSYN, 100, 0)
	other.want(fACK, 1, 1, 0)
}

// Security S09: two stacks that disagree about everything do not go on answering
// each other.
func TestAckWar(t *testing.T) {
	p := newPair(t, pairConfig{passive: true, ch: channel{delay: time.Millisecond}})
	for range 100 {
		p.step()
	}
	for i, c := range p.c {
		if c.State() != api.StateEstablished {
			t.Fatal(c.State())
		}
		c.sndNxt += 1_000_000
		c.sndUna += 1_000_000
		c.sq.end += 1_000_000
		b := api.CopyBuffer(pattern(100, uint64(i)))
		if _, err := c.Write(p.now, []*api.Buffer{b}, WriteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	paranoid = false
	defer func() { paranoid = true }()
	start, before := p.now, p.packets
	for p.now < start.Add(20*time.Second) && p.step() {
	}
	if n := p.packets - before; n > 8*20 {
		t.Errorf("%d packets in 20 s", n)
	}
	for p.now < start.Add(time.Hour) && p.step() {
	}
	for _, c := range p.c {
		if c.State() != api.StateClosed {
			t.Errorf("still in %v", c.State())
		}
	}
}

// RFC 9293, section 3.10.7.4, first check; cases unacceptable-ack, overlap-trim,
// fin-retransmitted.
func TestAcceptability(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly}.open(t)
	data := pattern(300, 5)
	s.recvData(fACK, 1, 1, data[:100])
	s.read(100)
	s.advance(40*time.Millisecond - 1)
	s.now++
	s.c.Timeout(s.now)
	s.want(fACK, 1, 101, 0)
	// An old segment is answered at once.
	s.recvData(fACK, 1, 1, data[:100])
	s.want(fACK, 1, 101, 0)
	// Beyond the window.
	s.recvData(fACK, 70000, 1, data[:100])
	s.want(fACK, 1, 101, 0)
	s.none()
	// Overlapping what is there: the new bytes count.
	s.recvData(fACK, 51, 1, data[50:200])
	s.want(fACK, 1, 201, 0)
	same(t, s.read(100), data[100:200])
	// Keepalive of another stack: a byte or none before RCV.NXT.
	s.now = s.now.Add(time.Second)
	s.recv(fACK, 200, 1)
	s.want(fACK, 1, 201, 0)
	s.now = s.now.Add(time.Second)
	s.recvData(fACK, 200, 1, []byte{0})
	s.want(fACK, 1, 201, 0)
	s.recv(fACK|fFIN, 201, 1)
	s.want(fACK, 1, 202, 0)
	s.recv(fACK|fFIN, 201, 1)
	s.want(fACK, 1, 202, 0)
	s.state(api.StateCloseWait)
	s.readErr(io.EOF)
	s.clean()
}

// No ACK bit: dropped.
func TestNoAckBit(t *testing.T) {
	for _, st := range synchronised {
		s, seq, _ := reach(t, st)
		s.recvData(fPSH, seq, 0, pattern(10, 1))
		s.none()
		s.read(0)
		if s.drops(api.DropNoAck) != 1 {
			t.Errorf("%v: %d drops", st, s.drops(api.DropNoAck))
		}
	}
}

var tsOpts = wire.TCPOptions{HasMSS: true, MSS: 1460, HasTimestamps: true}

// RFC 7323: PAWS (5.3), missing timestamps (3.2), TS.Recent (4.3), 24 days (5.5);
// security S22.
func TestTimestamps(t *testing.T) {
	s := scriptConfig{synOpts: tsOpts}.open(t)
	base := s.tsval()
	// Out of the window with a timestamp far ahead: TS.Recent stays.
	s.recvData(fACK, 1<<30, 1, pattern(10, 1), tsval(base+1<<30))
	if h := s.want(fACK, 1, 1, 0); h.Options.TSecr != base {
		t.Errorf("TSecr moved by %d", h.Options.TSecr-base)
	}
	// In the window, but beyond Last.ACK.sent: it stays as well.
	s.recvData(fACK, 101, 1, pattern(10, 1), tsval(base+500))
	if h := s.want(fACK, 1, 1, 0); h.Options.TSecr != base {
		t.Errorf("TSecr moved by %d", h.Options.TSecr-base)
	}
	// Older than TS.Recent: ACK and drop, but a RST counts.
	s.now = s.now.Add(time.Second)
	s.recvData(fACK, 1, 1, pattern(100, 1), tsval(base-1))
	s.want(fACK, 1, 1, 0)
	s.read(0)
	if s.drops(api.DropPAWS) != 1 {
		t.Errorf("%d PAWS drops", s.drops(api.DropPAWS))
	}
	// Without the option: dropped, no answer.
	s.recvData(fACK, 1, 1, pattern(100, 1), noTS)
	s.none()
	if s.drops(api.DropNoTimestamp) != 1 {
		t.Error("no drop counted")
	}
	s.recvData(fACK, 1, 1, pattern(100, 1), tsval(base+1000))
	if h := s.want(fACK, 1, 111, 0); h.Options.TSecr != base+1000 {
		t.Errorf("TSecr moved by %d", h.Options.TSecr-base)
	}
	s.read(110)
	// After 24 days of silence TS.Recent is void.
	s.now = s.now.Add(25 * 24 * time.Hour)
	s.recvData(fACK, 111, 1, pattern(10, 1), tsval(base-5000))
	s.read(10)
	s.recv(fRST, 121, 0, noTS)
	s.state(api.StateClosed)

	s = scriptConfig{synOpts: tsOpts}.open(t)
	s.recv(fRST|fACK, 1, 1, tsval(base-100000))
	s.state(api.StateClosed)
}

// Security S24: ACK division earns nothing, S26 neither do ACKs of the unsent.
func TestAckDivision(t *testing.T) {
	grow := func(parts int) int64 {
		s := scriptConfig{synOpts: mssOnly, cc: renoFactory{}}.open(t)
		s.write(14600)
		for i := range uint32(10) {
			s.want(fACK, 1+1460*i, 1, 1460)
		}
		before := s.c.Info(s.now).Cwnd
		for i := 1; i <= parts; i++ {
			s.recv(fACK, 1, 1+uint32(1460*i/parts))
		}
		return s.c.Info(s.now).Cwnd - before
	}
	if one, many := grow(1), grow(100); one != many || one != 1460 {
		t.Errorf("cwnd grows by %d with one ACK, by %d with a hundred", one, many)
	}
}

// Security S25: forged duplicate ACKs.
func TestForgedDupAcks(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly, cc: renoFactory{}}.open(t)
	s.write(100_000)
	n := 0
	for s.poll() {
		n++
		s.done()
	}
	if n != 10 {
		t.Fatalf("%d segments", n)
	}
	extra := 0
	for range 1000 {
		s.recv(fACK, 1, 1)
		for s.poll() {
			if s.out.TCP.Seq-s.iss != 1 { // not the fast retransmission
				extra++
			}
			s.done()
		}
	}
	if extra > 10 {
		t.Errorf("%d new segments", extra)
	}
}

// RFC 5961, section 4: a SYN is answered by a challenge ACK also where timestamps
// are in use and it has none: it may be of a peer that has restarted.
func TestSynWithoutTimestampIsChallenged(t *testing.T) {
	o := mssOnly
	o.HasTimestamps = true
	s := scriptConfig{synOpts: o}.open(t)
	s.recv(fSYN, 5000, 0, noTS)
	s.want(fACK, 1, 1, 0)
	s.state(api.StateEstablished)
	// Anything else without one is dropped in silence (RFC 7323, section 3.2).
	s.recvData(fACK, 1, 1, []byte("x"), noTS)
	s.none()
	if n := s.drops(api.DropNoTimestamp); n != 1 {
		t.Errorf("%d drops", n)
	}
}

package tcp

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// spy is testReno that remembers what it was told.
type spy struct {
	testReno
	acks  []cc.AckEvent
	congs []cc.CongestionEvent
	idle  []time.Duration
}

func (r *spy) OnAck(e *cc.AckEvent) {
	r.acks = append(r.acks, *e)
	r.testReno.OnAck(e)
}

func (r *spy) OnCongestion(e *cc.CongestionEvent) {
	r.congs = append(r.congs, *e)
	r.testReno.OnCongestion(e)
}
func (r *spy) OnRestart(_ clock.Time, d time.Duration) { r.idle = append(r.idle, d) }

type spyFactory struct{ last *spy }

func (*spyFactory) Name() string { return "spy" }
func (f *spyFactory) New(e *cc.Env, _ string) (cc.Controller, error) {
	c, _ := renoFactory{}.New(e, "")
	f.last = &spy{testReno: *c.(*testReno)}
	return f.last, nil
}

// flight opens a connection with ten segments in flight and as many waiting.
func flight(t *testing.T, opts wire.TCPOptions) (*script, *spyFactory) {
	return flightWith(t, scriptConfig{synOpts: opts})
}

func flightWith(t *testing.T, sc scriptConfig) (*script, *spyFactory) {
	f := &spyFactory{}
	sc.cc = f
	s := sc.open(t)
	s.write(40 * 1460)
	for i := range uint32(10) {
		s.want(fACK, seg(i), 1, 1460)
	}
	s.none()
	s.now = s.now.Add(10 * time.Millisecond)
	return s, f
}

// seg is the sequence number of the i-th full segment.
func seg(i uint32) uint32 { return 1 + 1460*i }

// RFC 5681, section 3.2; RFC 3042; RFC 6582.
func TestNewReno(t *testing.T) {
	s, f := flight(t, mssOnly)
	s.recv(fACK, 1, seg(0))
	s.want(fACK, seg(10), 1, 1460) // limited transmit
	s.recv(fACK, 1, seg(0))
	s.want(fACK, seg(11), 1, 1460)
	s.none()
	s.recv(fACK, 1, seg(0))
	s.want(fACK, seg(0), 1, 1460) // fast retransmit
	if len(f.last.congs) != 1 || f.last.congs[0].Kind != cc.LossDetected || f.last.congs[0].FlightSize != 10*1460 {
		t.Fatalf("%+v", f.last.congs)
	}
	// Every further duplicate delivers; half of them let something new out.
	sent := 0
	for range 6 {
		s.recv(fACK, 1, seg(0))
		for s.poll() {
			if s.out.TCP.Seq-s.iss < seg(12) {
				t.Fatalf("sent %d again", s.out.TCP.Seq-s.iss)
			}
			s.done()
			sent++
		}
	}
	if sent < 2 || sent > 4 {
		t.Errorf("%d new segments for 6 duplicates", sent)
	}
	// Partial ACK: the next hole, at once.
	s.recv(fACK, 1, seg(4))
	s.want(fACK, seg(4), 1, 1460)
	for s.poll() {
		if s.out.TCP.Seq-s.iss < seg(12) {
			t.Fatalf("sent %d again", s.out.TCP.Seq-s.iss)
		}
		s.done()
	}
	if i := s.c.Info(s.now); s.c.phase != cc.Recovery || i.Retransmits != 2 {
		t.Errorf("%v %+v", s.c.phase, i)
	}
	// Full ACK.
	s.recv(fACK, 1, seg(12))
	if i := s.c.Info(s.now); s.c.phase != cc.Open || i.Cwnd != 5*1460 || i.Ssthresh != 5*1460 {
		t.Errorf("%v, cwnd %d, ssthresh %d", s.c.phase, i.Cwnd, i.Ssthresh)
	}
	if len(f.last.congs) != 1 {
		t.Errorf("%d episodes", len(f.last.congs))
	}
}

// RFC 6582, section 3.2, step 2, and section 4: duplicates that go-back-N caused
// start nothing.
func TestNoFastRetransmitAfterTimeout(t *testing.T) {
	s, f := flight(t, mssOnly)
	s.until()
	s.want(fACK, seg(0), 1, 1460)
	for range 5 {
		s.recv(fACK, 1, seg(0))
		s.none()
	}
	s.recv(fACK, 1, seg(9))
	s.want(fACK, seg(9), 1, 1460)
	for s.poll() {
		s.done()
	}
	for range 5 {
		s.recv(fACK, 1, seg(9))
		for s.poll() {
			if s.out.TCP.Seq-s.iss == seg(9) {
				t.Fatal("retransmitted on old duplicates")
			}
			s.done()
		}
	}
	if len(f.last.congs) != 1 || f.last.congs[0].Kind != cc.Timeout {
		t.Errorf("%+v", f.last.congs)
	}
}

// RFC 6675: holes in order, nothing that was reported, one reduction.
func TestSackRecovery(t *testing.T) {
	s, f := flight(t, sackOpts)
	s.recv(fACK, 1, seg(0), s.sack(seg(1), seg(2)))
	s.want(fACK, seg(10), 1, 1460)
	s.recv(fACK, 1, seg(0), s.sack(seg(1), seg(3)))
	s.want(fACK, seg(11), 1, 1460)
	s.recv(fACK, 1, seg(0), s.sack(seg(4), seg(5), seg(1), seg(3)))
	s.want(fACK, seg(0), 1, 1460)
	s.none() // 3 is below one segment only
	if s.c.phase != cc.Recovery {
		t.Fatal(s.c.phase)
	}
	s.recv(fACK, 1, seg(0), s.sack(seg(4), seg(6), seg(1), seg(3)))
	s.recv(fACK, 1, seg(0), s.sack(seg(4), seg(8), seg(1), seg(3)))
	s.none() // PRR: half as many as arrive
	s.recv(fACK, 1, seg(0), s.sack(seg(4), seg(9), seg(1), seg(3)))
	s.want(fACK, seg(3), 1, 1460) // lost now: more than two segments above it
	for s.poll() {
		if n := s.out.TCP.Seq - s.iss; n < seg(12) {
			t.Fatalf("sent %d again", n)
		}
		s.done()
	}
	s.recv(fACK, 1, seg(3), s.sack(seg(4), seg(9)))
	s.recv(fACK, 1, seg(9))
	if s.c.phase != cc.Recovery {
		t.Error("left too early")
	}
	s.recv(fACK, 1, seg(12))
	if i := s.c.Info(s.now); s.c.phase != cc.Open || i.Cwnd != 5*1460 || i.Retransmits != 2 || len(f.last.congs) != 1 {
		t.Errorf("%v %+v", s.c.phase, i)
	}
	var delivered, lost int64
	for _, e := range f.last.acks {
		delivered += e.Delivered
		lost += e.Lost
	}
	if delivered != 12*1460 || lost != 2*1460 {
		t.Errorf("delivered %d, lost %d", delivered, lost)
	}
}

// RFC 6675, section 5, step (4): entering loses the first segment, whatever IsLost
// says; section 2: only new information is a duplicate ACK.
func TestSackDuplicates(t *testing.T) {
	s, f := flight(t, sackOpts)
	for range 10 {
		s.recv(fACK, 1, seg(0), s.sack(seg(1), seg(1)+10))
	}
	if s.c.phase != cc.Disorder {
		t.Error("the same block again started recovery")
	}
	for i := range uint32(2) {
		s.recv(fACK, 1, seg(0), s.sack(seg(1), seg(1)+20+i))
	}
	if s.c.phase != cc.Recovery || len(f.last.congs) != 1 {
		t.Error("three duplicates did not")
	}
	s.want(fACK, seg(0), 1, 1460)
}

// RFC 6675, NextSeg (3) and (4): with nothing else to send, what may be lost.
func TestSackRescue(t *testing.T) {
	f := &spyFactory{}
	s := scriptConfig{synOpts: sackOpts, cc: f, params: Params{NoRACK: true}}.open(t)
	s.write(6 * 1460)
	for i := range uint32(6) {
		s.want(fACK, seg(i), 1, 1460)
	}
	s.recv(fACK, 1, seg(0), s.sack(seg(2), seg(3)))
	s.recv(fACK, 1, seg(0), s.sack(seg(2), seg(4)))
	s.recv(fACK, 1, seg(0), s.sack(seg(2), seg(5)))
	s.want(fACK, seg(0), 1, 1460)
	s.none()
	s.recv(fACK, 1, seg(1), s.sack(seg(2), seg(5)))
	s.want(fACK, seg(1), 1, 1460)
	s.want(fACK, seg(5), 1, 1460) // the rescue
	s.none()
	s.recv(fACK, 1, seg(6))
	if s.c.phase != cc.Open || s.c.Info(s.now).InFlight != 0 {
		t.Error(s.c.phase)
	}
}

// RFC 5681, section 3.1; RFC 6675, section 5.1; case dupack-grows-cwnd.
func TestTimeoutRecovery(t *testing.T) {
	s, f := flightWith(t, scriptConfig{synOpts: sackOpts, params: Params{NoRACK: true}})
	s.recv(fACK, 1, seg(0), s.sack(seg(3), seg(5)))
	s.want(fACK, seg(10), 1, 1460)
	s.want(fACK, seg(11), 1, 1460)
	cwnd := s.c.Info(s.now).Cwnd
	if cwnd != 10*1460 {
		t.Errorf("a duplicate ACK made cwnd %d", cwnd)
	}
	s.until()
	i := s.c.Info(s.now)
	if i.Cwnd != 1460 || i.Ssthresh != 6*1460 || s.c.phase != cc.Loss {
		t.Errorf("%+v", i)
	}
	s.want(fACK, seg(0), 1, 1460)
	s.none()
	if s.until(); f.last.congs[1].Repeat != true || len(f.last.congs) != 2 {
		t.Errorf("%+v", f.last.congs)
	}
	if i := s.c.Info(s.now); i.Ssthresh != 6*1460 {
		t.Errorf("ssthresh set twice: %d", i.Ssthresh)
	}
	s.want(fACK, seg(0), 1, 1460)
	s.recv(fACK, 1, seg(1), s.sack(seg(3), seg(5)))
	s.want(fACK, seg(1), 1, 1460)
	s.want(fACK, seg(2), 1, 1460)
	s.want(fACK, seg(5), 1, 1460) // 3 and 4 are not sent again
	s.recv(fACK, 1, seg(5))
	// New SACK information is no new episode before RecoveryPoint.
	s.recv(fACK, 1, seg(5), s.sack(seg(6), seg(10)))
	if s.c.phase != cc.Loss || len(f.last.congs) != 2 {
		t.Error(s.c.phase)
	}
}

// Security S13: the peer discards what it reported.
func TestReneging(t *testing.T) {
	s, _ := flight(t, sackOpts)
	s.recv(fACK, 1, seg(0), s.sack(seg(1), seg(10)))
	for s.poll() {
		s.done()
	}
	s.recv(fACK, 1, seg(1)) // the hole only
	got := map[uint32]bool{}
	ack := seg(1)
	for range 200 {
		if !s.poll() {
			if s.c.sndUna == s.c.sndNxt {
				break
			}
			s.until()
			continue
		}
		n := s.out.TCP.Seq - s.iss
		got[n] = true
		s.done()
		if n == ack {
			ack += 1460
		}
		s.recv(fACK, 1, ack)
	}
	for i := uint32(1); i < 40; i++ {
		if !got[seg(i)] {
			t.Errorf("segment %d was not sent again", i)
		}
	}
	if s.c.Acked() != 40*1460 {
		t.Errorf("acked %d", s.c.Acked())
	}
}

// Security S14: SACK blocks that make no sense.
func TestBogusSack(t *testing.T) {
	s, f := flight(t, sackOpts)
	una, nxt := seg(0), seg(10)
	for _, b := range [][]uint32{
		{nxt, nxt + 1460}, {una + 1, nxt + 1}, {500, 400}, {7, 7}, {una - 1, una + 5},
		{1 << 31, 1<<31 + 5}, {una - 5000, una - 10}, {1<<32 - 5, 3},
	} {
		s.recv(fACK, 1, una, s.sack(b...))
		if s.c.sb.sacked != 0 {
			t.Fatalf("block %v taken", b)
		}
	}
	s.none()
	r := rand.New(rand.NewPCG(3, 3))
	for range 5000 {
		var b []uint32
		for range 1 + r.IntN(4) {
			l := r.Uint32N(20_000)
			b = append(b, l, l+r.Uint32N(3000)-500)
		}
		s.recv(fACK, 1, una, s.sack(b...))
		for s.poll() {
			s.done()
		}
		i := s.c.Info(s.now)
		if i.Cwnd < 1460 || i.InFlight < 0 {
			t.Fatalf("%+v", i)
		}
	}
	if len(f.last.congs) > 1 || s.c.Info(s.now).Retransmits > 20 {
		t.Errorf("%d episodes, %d retransmissions", len(f.last.congs), s.c.Info(s.now).Retransmits)
	}
}

// Security S10, S11: a scoreboard that the peer shatters stays bounded, and
// everything arrives in the end.
func TestShatteredScoreboard(t *testing.T) {
	paranoid = false
	defer func() { paranoid = true }()
	for _, gso := range []int64{0, 65535} {
		o := allOpts
		o.MSS = 48
		s := scriptConfig{synOpts: o, gso: gso, cc: fixedFactory(30_000), params: Params{MaxWindow: 1 << 30}, flow: api.FlowConfig{SendBuffer: 4 << 20}}.open(t)
		s.recv(fACK, 1, 1)
		s.write(1 << 20)
		nxt := uint32(1)
		for s.poll() {
			nxt = s.out.TCP.Seq - s.iss + uint32(s.out.Len)
			s.done()
		}
		for i := range uint32(20_000) {
			at := 1 + (i*37)%(nxt-10)
			s.recv(fACK, 1, 1, s.sack(at+1, at+2, at+5, at+7, at+8, at+9))
			if i%50 == 0 {
				for s.poll() {
					s.done()
				}
			}
		}
		if n := len(s.c.sb.live()); n > maxRecs+maxSplitRecs {
			t.Errorf("%d records", n)
		}
		if n := len(s.c.sb.ranges); n > maxSackRanges {
			t.Errorf("%d ranges", n)
		}
		paranoid = true
		s.c.checkInvariants()
		paranoid = false
		s.recv(fACK, 1, uint32(s.c.sndNxt)-s.iss)
		for s.c.Acked() < 1<<20 {
			for s.poll() {
				s.done()
			}
			s.recv(fACK, 1, uint32(s.c.sndNxt)-s.iss)
		}
		s.clean()
	}
}

// D-SACK (RFC 2883) counts needless retransmissions and changes nothing else.
func TestDSACK(t *testing.T) {
	s, f := flightWith(t, scriptConfig{synOpts: sackOpts, params: Params{NoRACK: true}})
	s.until()
	s.want(fACK, seg(0), 1, 1460)
	s.recv(fACK, 1, seg(10))
	before := s.c.Info(s.now)
	s.recv(fACK, 1, seg(10), s.sack(seg(0), seg(1)))
	i := s.c.Info(s.now)
	if i.SpuriousRetransmits != 1 || i.Cwnd != before.Cwnd || i.DupAcks != before.DupAcks || s.c.sb.sacked != 0 {
		t.Errorf("%+v", i)
	}
	_ = f
}

// What a controller is told: RTT, rounds, limits, delivery rate.
func TestAckEvents(t *testing.T) {
	s, f := flight(t, sackOpts)
	s.recv(fACK, 1, seg(2))
	e := f.last.acks[0]
	if e.CumAcked != 2920 || e.Delivered != 2920 || e.RTT.Sample != 10*time.Millisecond || !e.CwndLimited || e.AppLimited || !e.RoundStart ||
		e.FlightBefore != 14600 || e.FlightAfter != 11680 || e.Phase != cc.Open || e.SndUna != s.c.sndUna {
		t.Errorf("%+v", e)
	}
	if r := e.Rate; !r.Valid || r.Delivered != 2920 || r.Interval != 10*time.Millisecond || r.TxInFlight == 0 {
		t.Errorf("%+v", r)
	}
	s.recv(fACK, 1, seg(4))
	if e := f.last.acks[1]; e.RoundStart {
		t.Errorf("%+v", e)
	}
	// Application-limited: no reason to grow.
	f2 := &spyFactory{}
	s = scriptConfig{synOpts: mssOnly, cc: f2}.open(t)
	for i := range uint32(50) {
		s.write(1460)
		s.want(fACK, seg(i), 1, 1460)
		s.now = s.now.Add(10 * time.Millisecond)
		s.recv(fACK, 1, seg(i+1))
	}
	if e := f2.last.acks[20]; e.CwndLimited || !e.AppLimited {
		t.Errorf("%+v", e)
	}
	if w := s.c.Info(s.now).Cwnd; w != 14600 {
		t.Errorf("cwnd %d", w)
	}
	// Idle restart.
	s.now = s.now.Add(time.Hour)
	s.write(10)
	s.want(fACK, seg(50), 1, 10)
	if len(f2.last.idle) != 1 || f2.last.idle[0] < time.Hour {
		t.Errorf("%v", f2.last.idle)
	}
}

// The window bounds what is in flight, whatever is lost.
func TestFlightWithinCwnd(t *testing.T) {
	for seed := range uint64(10) {
		p := newPair(t, pairConfig{passive: true, seed: seed, gso: int64(seed%2) * 65535,
			ch: channel{delay: 10 * time.Millisecond, loss: 0.03}})
		p.onSend = func(c *Conn, out *Out) {
			if c.ctl == nil || out.Len == 0 {
				return
			}
			if pipe := c.pipe(); pipe > max(c.cwnd, c.mss)+c.mss {
				t.Fatalf("%d in flight, cwnd %d, %v", pipe, c.cwnd, c.phase)
			}
		}
		p.transfer([2][]byte{pattern(500_000, 1), nil}, func() int { return 100_000 }, time.Hour)
	}
}

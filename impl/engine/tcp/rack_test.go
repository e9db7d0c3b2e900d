package tcp

import (
	"testing"
	"time"

	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

var sackTSOpts = func() wire.TCPOptions {
	o := sackOpts
	o.HasTimestamps = true
	return o
}()

// warm opens a connection whose RTT is 40 ms, with ten segments in flight and as
// many as waiting says behind them. at gives the sequence number of the i-th of
// them, and size is that of a segment.
func warm(t *testing.T, f cc.Factory, waiting int, opts wire.TCPOptions) (s *script, at func(i uint32) uint32, size int) {
	t.Helper()
	s = scriptConfig{synOpts: opts, cc: f}.listen(t)
	s.now = s.now.Add(40 * time.Millisecond)
	s.recv(fACK, 1, 1)
	size = int(s.c.mss)
	// A dozen segments one by one give a steady RTT, without much growth.
	const first = 12
	at = func(i uint32) uint32 { return 1 + (first+i)*uint32(size) }
	for i := range uint32(first) {
		s.write(size)
		s.want(fACK, 1+i*uint32(size), 1, size)
		s.now = s.now.Add(40 * time.Millisecond)
		s.recv(fACK, 1, 1+(i+1)*uint32(size))
	}
	s.write((10 + waiting) * size)
	for i := range uint32(10) {
		s.want(fACK, at(i), 1, size)
	}
	return s, at, size
}

// RFC 8985, section 6.2: one segment delivered out of order does not make those
// before it lost until the reordering window has passed.
func TestRACKReorderingWindow(t *testing.T) {
	f := &spyFactory{}
	s, at, size := warm(t, f, 0, sackOpts)
	s.now = s.now.Add(40 * time.Millisecond)
	s.recv(fACK, 1, at(0), s.sack(at(1), at(2)))
	s.none()
	if s.c.phase != cc.Disorder {
		t.Fatalf("phase %v", s.c.phase)
	}
	s.now = s.now.Add(5 * time.Millisecond)
	s.recv(fACK, 1, at(2)) // it was only late
	if s.c.phase != cc.Open || len(f.last.congs) != 0 || !s.c.reo.reordered {
		t.Errorf("phase %v, %d congestions, reordered %v", s.c.phase, len(f.last.congs), s.c.reo.reordered)
	}
	// The next time it is lost, and a quarter of the RTT tells.
	s.recv(fACK, 1, at(2), s.sack(at(3), at(4)))
	s.none()
	if d := s.until(); d < 4*time.Millisecond || d > 12*time.Millisecond {
		t.Errorf("declared lost after %v, want about a quarter of 40 ms", d)
	}
	s.want(fACK, at(2), 1, size)
	if s.c.phase != cc.Recovery || len(f.last.congs) != 1 {
		t.Errorf("phase %v, %d congestions", s.c.phase, len(f.last.congs))
	}
}

// Section 6.2, step 4: three segments delivered beyond a hole, and no reordering
// seen: lost at once.
func TestRACKThreeSacked(t *testing.T) {
	f := &spyFactory{}
	s, at, size := warm(t, f, 0, sackOpts)
	s.now = s.now.Add(40 * time.Millisecond)
	s.recv(fACK, 1, at(0), s.sack(at(1), at(4)))
	s.want(fACK, at(0), 1, size)
	if s.c.phase != cc.Recovery || len(f.last.congs) != 1 {
		t.Errorf("phase %v, %d congestions", s.c.phase, len(f.last.congs))
	}
}

// A retransmission that is lost as well is found without a timeout.
func TestRACKLostRetransmission(t *testing.T) {
	s, at, size := warm(t, &spyFactory{}, 20, sackOpts)
	s.now = s.now.Add(40 * time.Millisecond)
	s.recv(fACK, 1, at(0), s.sack(at(1), at(4)))
	s.want(fACK, at(0), 1, size)
	high := at(10)
	for s.poll() { // PRR lets new data out
		high = s.out.TCP.Seq - s.iss + uint32(s.out.Len)
		s.done()
	}
	s.now = s.now.Add(20 * time.Millisecond)
	s.recv(fACK, 1, at(0), s.sack(at(1), at(10)))
	for s.poll() {
		high = s.out.TCP.Seq - s.iss + uint32(s.out.Len)
		s.done()
	}
	if high == at(10) {
		t.Fatal("no new data went out")
	}
	s.now = s.now.Add(40 * time.Millisecond)
	// What was sent after the retransmission has arrived.
	s.recv(fACK, 1, at(0), s.sack(at(1), high))
	s.want(fACK, at(0), 1, size)
	if s.c.seldom.timeouts != 0 {
		t.Error("a timeout was needed")
	}
}

// RFC 8985, section 7: the last segments of a flight are lost.
func TestTailLossProbe(t *testing.T) {
	f := &spyFactory{}
	s, at, size := warm(t, f, 0, sackOpts)
	s.now = s.now.Add(40 * time.Millisecond)
	s.recv(fACK, 1, at(7)) // 7, 8, 9 are lost
	s.none()
	if d := s.until(); d < 75*time.Millisecond || d > 90*time.Millisecond {
		t.Errorf("probe after %v, want 2 * SRTT", d)
	}
	s.want(fACK, at(9), 1, size)
	s.none()
	s.now = s.now.Add(40 * time.Millisecond)
	s.recv(fACK, 1, at(7), s.sack(at(9), at(10)))
	if !s.due() && s.c.phase != cc.Recovery {
		s.until()
	}
	for s.c.phase != cc.Recovery {
		s.until()
	}
	s.want(fACK, at(7), 1, size)
	s.now = s.now.Add(40 * time.Millisecond)
	s.recv(fACK, 1, at(8), s.sack(at(9), at(10)))
	s.want(fACK, at(8), 1, size)
	s.now = s.now.Add(40 * time.Millisecond)
	s.recv(fACK, 1, at(10))
	if s.c.seldom.timeouts != 0 || len(f.last.congs) != 1 || s.c.phase != cc.Open {
		t.Errorf("%d timeouts, %d congestions, phase %v", s.c.seldom.timeouts, len(f.last.congs), s.c.phase)
	}
}

// Section 7.4: a probe that repaired the loss by itself is a congestion too, but
// one of which the original arrived is none.
func TestTailLossProbeRepairs(t *testing.T) {
	for _, duplicate := range []bool{false, true} {
		f := &spyFactory{}
		s, at, size := warm(t, f, 0, sackOpts)
		s.now = s.now.Add(40 * time.Millisecond)
		s.recv(fACK, 1, at(9))
		s.until()
		s.want(fACK, at(9), 1, size)
		s.now = s.now.Add(40 * time.Millisecond)
		if duplicate {
			s.recv(fACK, 1, at(10))
			s.recv(fACK, 1, at(10), s.sack(at(9), at(10)))
		} else {
			s.recv(fACK, 1, at(10))
		}
		s.write(size)
		s.want(fACK, at(10), 1, size)
		s.now = s.now.Add(40 * time.Millisecond)
		s.recv(fACK, 1, at(11))
		want := 1
		if duplicate {
			want = 0
		}
		if len(f.last.congs) != want {
			t.Errorf("duplicate %v: %d congestions, want %d", duplicate, len(f.last.congs), want)
		}
	}
}

// Section 7.3: where there is new data, the probe carries that.
func TestTailLossProbeNewData(t *testing.T) {
	s, at, size := warm(t, &spyFactory{}, 0, sackOpts)
	s.now = s.now.Add(time.Millisecond)
	s.write(size) // may not go: Cwnd is full
	if int64(10*size) < s.c.cwnd {
		t.Skip("cwnd is larger than the flight")
	}
	s.none()
	s.until()
	s.want(fACK, at(10), 1, size)
}

// undoer counts what it is asked to undo.
type undoer struct {
	*spy
	undone []cc.CongestionKind
}

func (u *undoer) Undo(_ cc.Time, k cc.CongestionKind) { u.undone = append(u.undone, k) }

type undoerFactory struct{ last *undoer }

func (*undoerFactory) Name() string { return "undoer" }
func (f *undoerFactory) New(e *cc.Env, _ string) (cc.Controller, error) {
	c, _ := (&spyFactory{}).New(e, "")
	f.last = &undoer{spy: c.(*spy)}
	return f.last, nil
}

// RFC 3708: every retransmission is reported as a duplicate.
func TestUndoByDuplicates(t *testing.T) {
	f := &undoerFactory{}
	s, at, size := warm(t, f, 30, sackOpts)
	s.now = s.now.Add(40 * time.Millisecond)
	s.recv(fACK, 1, at(0), s.sack(at(1), at(4)))
	s.want(fACK, at(0), 1, size)
	for s.poll() {
		s.done()
	}
	s.now = s.now.Add(time.Millisecond)
	s.recv(fACK, 1, at(5)) // the original arrives
	for s.poll() {
		s.done()
	}
	if s.c.phase != cc.Recovery || len(f.last.undone) != 0 {
		t.Fatalf("phase %v, undone %v", s.c.phase, f.last.undone)
	}
	s.recv(fACK, 1, at(6), s.sack(at(0), at(1))) // and the copy
	if len(f.last.undone) != 1 || f.last.undone[0] != cc.LossDetected || s.c.phase == cc.Recovery {
		t.Errorf("undone %v, phase %v", f.last.undone, s.c.phase)
	}
}

// RFC 3522: the ACK that covers a retransmission echoes an older timestamp.
func TestUndoByTimestamp(t *testing.T) {
	for _, spurious := range []bool{true, false} {
		f := &undoerFactory{}
		s, at, size := warm(t, f, 30, sackTSOpts)
		sentAt := s.c.tsNow(s.now)
		s.now = s.now.Add(40 * time.Millisecond)
		s.recv(fACK, 1, at(0), s.sack(at(1), at(4)))
		s.want(fACK, at(0), 1, size)
		again := s.c.tsNow(s.now)
		for s.poll() {
			s.done()
		}
		s.now = s.now.Add(10 * time.Millisecond)
		s.recv(fACK, 1, at(4), func(g *Segment) {
			if g.TCP.Options.TSecr = again; spurious {
				g.TCP.Options.TSecr = sentAt
			}
		})
		if got := len(f.last.undone) == 1; got != spurious {
			t.Errorf("spurious %v: undone %v", spurious, f.last.undone)
		}
		if spurious && s.c.phase == cc.Recovery {
			t.Error("recovery goes on")
		}
	}
}

// RFC 5682, section 3.1: after a timeout, the first ACK makes new data leave, and
// the next one tells by what it acknowledges.
func TestFRTO(t *testing.T) {
	for _, spurious := range []bool{true, false} {
		f := &undoerFactory{}
		s, at, size := warm(t, f, 30, sackOpts)
		for s.c.seldom.timeouts == 0 { // a tail loss probe comes first
			s.until()
			for s.c.seldom.timeouts == 0 && s.poll() {
				s.done()
			}
		}
		s.want(fACK, at(0), 1, size)
		s.none()
		s.now = s.now.Add(time.Millisecond)
		s.recv(fACK, 1, at(1))
		if s.c.phase != cc.Loss {
			t.Fatalf("phase %v after the first ACK", s.c.phase)
		}
		fresh := 0
		for s.poll() {
			if s.out.TCP.Seq-s.iss < at(10) {
				t.Errorf("retransmission of %d before F-RTO has decided", s.out.TCP.Seq-s.iss)
			}
			fresh++
			s.done()
		}
		if fresh == 0 || fresh > 2 {
			t.Errorf("%d new segments, want 1 or 2", fresh)
		}
		s.now = s.now.Add(time.Millisecond)
		if spurious {
			s.recv(fACK, 1, at(2)) // the second original
			if len(f.last.undone) != 1 || f.last.undone[0] != cc.Timeout || s.c.phase == cc.Loss {
				t.Errorf("undone %v, phase %v", f.last.undone, s.c.phase)
			}
			if s.c.sb.lost != 0 {
				t.Errorf("%d bytes are still thought lost", s.c.sb.lost)
			}
			continue
		}
		s.recv(fACK, 1, at(1), s.sack(at(11), at(12))) // only what was new
		if len(f.last.undone) != 0 || s.c.phase != cc.Loss {
			t.Errorf("undone %v, phase %v", f.last.undone, s.c.phase)
		}
		s.want(fACK, at(1), 1, size)
	}
}

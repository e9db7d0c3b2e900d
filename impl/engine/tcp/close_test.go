package tcp

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"
	"unsafe"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// RFC 9293, figure 12: the active closer waits 2 MSL (MUST-13); C1, C2, C4.
func TestActiveClose(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly}.open(t)
	s.write(100)
	s.c.CloseWrite(s.now)
	s.c.CloseWrite(s.now)
	s.state(api.StateFinWait1)
	s.want(fACK|fFIN, 1, 1, 100)
	if err := s.c.WriteError(); !errors.Is(err, api.ErrClosed) || !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	s.recv(fACK, 1, 101) // the data, not the FIN
	s.state(api.StateFinWait1)
	s.recv(fACK, 1, 102)
	s.state(api.StateFinWait2)
	if s.c.Acked() != 100 || s.c.FullyClosed() {
		t.Errorf("acked %d", s.c.Acked())
	}
	// Case fin-wait-2, C3: half-closed for as long as the peer likes.
	s.advance(1000 * time.Hour)
	s.recvData(fACK, 1, 102, pattern(2000, 1))
	s.want(fACK, 102, 2001, 0)
	s.c.TakeEvents()
	s.recv(fACK|fFIN, 2001, 102)
	s.state(api.StateTimeWait)
	if !s.c.FullyClosed() || s.c.TakeEvents()&EventClosed == 0 || s.c.CloseReason() != nil {
		t.Error("not closed in order")
	}
	s.want(fACK, 102, 2002, 0)
	// R3: still readable.
	same(t, s.read(2000), pattern(2000, 1))
	s.readErr(io.EOF)
	start := s.now
	s.until()
	s.state(api.StateClosed)
	if d := s.now.Sub(start); d != time.Minute {
		t.Errorf("TIME-WAIT of %v", d)
	}
	if s.c.TakeEvents()&EventClosed != 0 {
		t.Error("closed twice")
	}
	s.clean()
}

// R3, R4, C3: the passive side.
func TestPassiveClose(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly}.open(t)
	s.recvData(fACK|fFIN, 1, 1, pattern(10, 1))
	s.state(api.StateCloseWait)
	s.want(fACK, 1, 12, 0)
	s.read(10)
	s.readErr(io.EOF)
	s.write(50)
	s.want(fACK, 1, 12, 50)
	s.c.CloseWrite(s.now)
	s.state(api.StateLastAck)
	s.want(fACK|fFIN, 51, 12, 0)
	s.recv(fACK, 12, 51)
	s.state(api.StateLastAck)
	s.recv(fACK, 12, 52)
	s.state(api.StateClosed)
	if s.c.CloseReason() != nil {
		t.Error(s.c.CloseReason())
	}
	s.readErr(io.EOF)
	s.none()
	s.clean()
}

// RFC 9293, figure 13: simultaneous close.
func TestSimultaneousClose(t *testing.T) {
	s, _, _ := reach(t, api.StateClosing)
	s.recv(fACK, 2, 2)
	s.state(api.StateTimeWait)
	s.none()
	// FIN and the ACK of ours in one segment: straight to TIME-WAIT.
	s, _, _ = reach(t, api.StateFinWait1)
	s.recv(fACK|fFIN, 1, 2)
	s.state(api.StateTimeWait)
	s.want(fACK, 2, 2, 0)
}

// A FIN is retransmitted, alone and behind data, and given up at R2.
func TestFinRetransmission(t *testing.T) {
	for _, st := range []api.State{api.StateFinWait1, api.StateClosing, api.StateLastAck} {
		s, seq, _ := reach(t, st)
		start := s.now
		n := 0
		for s.c.State() != api.StateClosed {
			if s.until(); s.c.State() != api.StateClosed {
				s.want(fACK|fFIN, 1, seq, 0)
				n++
			}
		}
		if d := s.now.Sub(start); d != 5*time.Minute || n < 5 || s.c.CloseReason() != api.ErrTimeout {
			t.Errorf("%v: %d retransmissions in %v, %v", st, n, d, s.c.CloseReason())
		}
		s.want(fRST|fACK, 2, seq, 0)
		s.clean()
	}
	s := scriptConfig{synOpts: mssOnly}.open(t)
	s.write(2000)
	s.c.CloseWrite(s.now)
	s.want(fACK, 1, 1, 1460)
	s.want(fACK|fFIN, 1461, 1, 540)
	s.recv(fACK, 1, 1561)
	s.until()
	s.want(fACK|fFIN, 1561, 1, 440)
	s.recv(fACK, 1, 2001)
	s.until()
	s.want(fACK|fFIN, 2001, 1, 0)
	s.recv(fACK, 1, 2002)
	s.state(api.StateFinWait2)
}

// An out-of-order FIN waits for what precedes it; what lies beyond it is a lie.
func TestFinOutOfOrder(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly}.open(t)
	d := pattern(100, 1)
	s.recvData(fACK|fFIN, 51, 1, d[50:])
	s.want(fACK, 1, 1, 0)
	s.state(api.StateEstablished)
	s.recvData(fACK, 96, 1, pattern(40, 7)) // beyond the FIN
	s.want(fACK, 1, 1, 0)
	s.recvData(fACK, 1, 1, d[:50])
	s.state(api.StateCloseWait)
	s.want(fACK, 1, 102, 0)
	same(t, s.read(100), d)
	s.readErr(io.EOF)
	// Text after the FIN.
	s.now = s.now.Add(time.Second)
	s.recvData(fACK, 102, 1, d)
	s.want(fACK, 1, 102, 0)
	s.readErr(io.EOF)
	s.clean()
}

// R4, W5, MUST-12: a reset is an error at once, and not an end of file.
func TestReset(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly}.open(t)
	s.recvData(fACK, 1, 1, pattern(10, 1))
	s.write(100)
	s.recv(fRST|fACK, 11, 1)
	s.readErr(api.ErrReset)
	if err := s.c.WriteError(); !errors.Is(err, api.ErrClosed) || !errors.Is(err, api.ErrReset) || errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	s.none()
	s.clean()
	// But who has read the end of file keeps reading that (R4).
	s, seq, _ := reach(t, api.StateCloseWait)
	s.readErr(io.EOF)
	s.recv(fRST, seq, 0)
	s.readErr(io.EOF)
	if s.c.CloseReason() != api.ErrReset {
		t.Error(s.c.CloseReason())
	}
	// Before that, the reset is told.
	s, seq, _ = reach(t, api.StateCloseWait)
	s.recv(fRST, seq, 0)
	s.readErr(api.ErrReset)
}

// R3: a reset after both FINs takes nothing from the reader; an abort does.
func TestResetAfterBothFins(t *testing.T) {
	for _, abort := range []bool{false, true} {
		s := scriptConfig{synOpts: mssOnly}.open(t)
		s.recvData(fACK|fFIN, 1, 1, pattern(10, 1))
		s.want(fACK, 1, 12, 0)
		s.c.CloseWrite(s.now)
		s.want(fACK|fFIN, 1, 12, 0)
		if abort {
			s.c.Abort(s.now, api.ErrAborted)
			s.readErr(api.ErrAborted)
		} else {
			s.recv(fRST, 12, 0)
			s.read(10)
			s.readErr(io.EOF)
		}
		s.state(api.StateClosed)
		s.clean()
	}
}

// RFC 9293, section 3.10.5: ABORT in every state.
func TestAbort(t *testing.T) {
	for st, rst := range map[api.State]bool{
		api.StateEstablished: true, api.StateFinWait1: true, api.StateFinWait2: true,
		api.StateCloseWait: true, api.StateClosing: false, api.StateLastAck: false, api.StateTimeWait: false,
	} {
		s, seq, ack := reach(t, st)
		s.c.Abort(s.now, api.ErrAborted)
		s.state(api.StateClosed)
		if rst {
			s.want(fRST|fACK, ack, seq, 0)
		}
		s.none()
		want := error(api.ErrAborted)
		if st == api.StateTimeWait {
			want = nil
		}
		if s.c.CloseReason() != want {
			t.Errorf("%v: %v", st, s.c.CloseReason())
		}
		s.c.Abort(s.now, api.ErrDisconnected) // nothing
		if s.c.CloseReason() != want {
			t.Errorf("%v: %v", st, s.c.CloseReason())
		}
		s.clean()
	}
	s := scriptConfig{synOpts: mssOnly}.listen(t)
	s.c.Abort(s.now, api.ErrDisconnected)
	s.want(fRST|fACK, 1, 1, 0)
	s = scriptConfig{}.dial(t)
	s.c.Abort(s.now, api.ErrAborted)
	s.none()
	s.readErr(api.ErrAborted)
	// Queues are freed, blocked callers woken.
	s = scriptConfig{synOpts: mssOnly, window: 1000}.open(t)
	s.write(10_000)
	s.want(fACK, 1, 1, 1000)
	s.recvData(fACK, 1, 1, pattern(10, 1))
	s.c.Abort(s.now, api.ErrAborted)
	s.want(fRST|fACK, 1001, 11, 0)
	s.readErr(api.ErrAborted)
	if err := s.c.WriteError(); !errors.Is(err, api.ErrClosed) || !errors.Is(err, api.ErrAborted) {
		t.Error(err)
	}
	if s.budget.used != 0 {
		t.Errorf("%d charged", s.budget.used)
	}
}

// CloseRead: end of file at once, and the peer is not blocked.
func TestCloseRead(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly, flow: api.FlowConfig{ReceiveBuffer: 4000}}.open(t)
	s.recvData(fACK, 1, 1, pattern(100, 1))
	s.recvData(fACK, 201, 1, pattern(100, 1))
	s.want(fACK, 1, 101, 0)
	s.c.CloseRead(s.now)
	s.readErr(io.EOF)
	for seq := uint32(101); seq < 50_000; seq += 1000 {
		s.recvData(fACK, seq, 1, pattern(1000, 1))
		for s.poll() {
			if s.out.TCP.Window < 1000 {
				t.Fatalf("window %d", s.out.TCP.Window)
			}
			s.done()
		}
	}
	if s.c.rcvCharged != 0 {
		t.Errorf("%d charged", s.c.rcvCharged)
	}
	s.recv(fACK|fFIN, uint32(s.c.rcvNxt)-s.irs, 1)
	s.state(api.StateCloseWait)
	s.write(10) // the other direction goes on
	s.want(fACK, 1, uint32(s.c.rcvNxt)-s.irs, 10)
	s.clean()
}

// SHLD-3, security S20: orphans.
func TestOrphan(t *testing.T) {
	// FIN-WAIT-2 is timed.
	s := scriptConfig{synOpts: mssOnly}.open(t)
	s.write(10)
	s.c.Orphan(s.now)
	s.want(fACK|fFIN, 1, 1, 10)
	s.recv(fACK, 1, 12)
	s.state(api.StateFinWait2)
	start := s.now
	s.until()
	s.state(api.StateClosed)
	if d := s.now.Sub(start); d != time.Minute || s.c.CloseReason() != nil {
		t.Errorf("%v, %v", d, s.c.CloseReason())
	}
	s.clean()

	// Data that nobody can read.
	s = scriptConfig{synOpts: mssOnly}.open(t)
	s.c.Orphan(s.now)
	s.want(fACK|fFIN, 1, 1, 0)
	s.recv(fACK, 1, 2)
	s.recvData(fACK, 1, 2, pattern(10, 1))
	s.want(fRST|fACK, 2, 1, 0)
	s.state(api.StateClosed)
	s.none()

	// But what was written arrives first.
	s = scriptConfig{synOpts: mssOnly}.open(t)
	s.write(10)
	s.c.Orphan(s.now)
	s.want(fACK|fFIN, 1, 1, 10)
	s.recvData(fACK, 1, 1, pattern(10, 1))
	s.want(fACK, 12, 1, 0)
	s.until()
	s.want(fACK|fFIN, 1, 1, 10)
	s.recv(fACK, 1, 12)
	s.want(fRST|fACK, 12, 1, 0)
	s.state(api.StateClosed)
	s.clean()

	// Unread data.
	s = scriptConfig{synOpts: mssOnly}.open(t)
	s.recvData(fACK, 1, 1, pattern(10, 1))
	s.c.Orphan(s.now)
	s.want(fRST|fACK, 1, 11, 0)
	s.state(api.StateClosed)
	s.clean()

	// Retries are limited, and so are window probes, even if answered.
	for _, window := range []uint16{1000, 0} {
		s = scriptConfig{synOpts: mssOnly, window: 1000, flow: api.FlowConfig{UserTimeout: 1000 * time.Hour}}.open(t)
		if window == 0 {
			s.recv(fACK, 1, 1, win(0))
		}
		s.write(10)
		s.c.Orphan(s.now)
		n := 0
		for s.c.State() != api.StateClosed {
			for s.poll() {
				n++
				s.done()
				if window == 0 {
					s.recv(fACK, 1, 1, win(0))
				}
			}
			s.until()
		}
		if n < 8 || n > 10 {
			t.Errorf("window %d: %d transmissions", window, n)
		}
		if window == 0 { // where the peer accepts it, although a probe lies beyond
			s.want(fRST|fACK, 1, 1, 0)
		} else {
			s.want(fRST|fACK, 12, 1, 0)
		}
		s.clean()
	}
}

// LAST-ACK and CLOSING of an orphan end as well (security S20).
func TestOrphanClosing(t *testing.T) {
	for _, st := range []api.State{api.StateClosing, api.StateLastAck, api.StateFinWait1} {
		s, _, _ := reach(t, st)
		s.c.Orphan(s.now)
		start := s.now
		for s.c.State() != api.StateClosed {
			for s.poll() {
				s.done()
			}
			s.until()
		}
		if d := s.now.Sub(start); d > 2*time.Minute {
			t.Errorf("%v: %v", st, d)
		}
	}
}

// TIME-WAIT: section 3.10.7.4 and RFC 1337, 1122, 6191; security S21.
func TestTimeWait(t *testing.T) {
	if n := unsafe.Sizeof(TimeWait{}); n > 200 {
		t.Errorf("a record of %d bytes", n)
	}
	s, _, _ := reach(t, api.StateTimeWait)
	tw := s.c.TimeWait()
	var out Out
	ask := func(flags wire.Flags, seq, ack uint32, data []byte, mod ...func(*Segment)) TimeWaitVerdict {
		g := s.segment(flags, seq, ack, data)
		for _, m := range mod {
			m(g)
		}
		return tw.Segment(s.now, g, &out)
	}
	if v := ask(fRST, 2, 0, nil); v != TimeWaitDrop {
		t.Error("RST", v)
	}
	if v := ask(fACK, 2, 2, nil); v != TimeWaitDrop {
		t.Error("ACK", v)
	}
	s.now = s.now.Add(30 * time.Second)
	before := tw.Deadline()
	for range 3 { // each time
		if v := ask(fACK|fFIN, 1, 2, nil); v != TimeWaitReply {
			t.Error("FIN", v)
		}
		if out.TCP.Seq != s.iss+2 || out.TCP.Ack != s.irs+2 || out.TCP.Flags != fACK {
			t.Errorf("%+v", out.TCP)
		}
	}
	if tw.Deadline() != before.Add(30*time.Second) {
		t.Error("2 MSL not restarted")
	}
	// Old data: answered, once in an interval.
	if v := ask(fACK, 1, 2, pattern(5, 1)); v != TimeWaitReply {
		t.Error("data", v)
	}
	if v := ask(fACK, 1, 2, pattern(5, 1)); v != TimeWaitDrop {
		t.Error("data again", v)
	}
	if tw.Deadline() != before.Add(30*time.Second) {
		t.Error("2 MSL restarted by data")
	}
	// A SYN below RCV.NXT is old; above, it is a new connection.
	if v := ask(fSYN, 2, 0, nil); v == TimeWaitReuse {
		t.Error("old SYN", v)
	}
	if v := ask(fSYN, 3, 0, nil); v != TimeWaitReuse {
		t.Error("new SYN", v)
	}
	if d := int32(tw.MinISS() - (s.iss + 2)); d <= 0 {
		t.Errorf("least ISS is %d beyond SND.NXT", d)
	}
}

// RFC 6191: a later timestamp is as good as a higher sequence number.
func TestTimeWaitTimestamps(t *testing.T) {
	s := scriptConfig{synOpts: tsOpts}.open(t)
	s.c.CloseWrite(s.now)
	s.want(fACK|fFIN, 1, 1, 0)
	s.recv(fACK|fFIN, 1, 2)
	h := s.want(fACK, 2, 2, 0)
	tw := s.c.TimeWait()
	var out Out
	last := s.tsval()
	for _, tc := range []struct {
		seq  uint32
		ts   uint32
		want bool
	}{{1, last + 1, true}, {0xfffff, last - 1, false}, {1, last, false}, {50, last, true}} {
		g := s.segment(fSYN, tc.seq, 0, nil)
		tsval(tc.ts)(g)
		s.now = s.now.Add(time.Second)
		if v := tw.Segment(s.now, g, &out); (v == TimeWaitReuse) != tc.want {
			t.Errorf("seq %d, timestamp %+d: %v", tc.seq, int32(tc.ts-last), v)
		}
	}
	g := s.segment(fACK|fFIN, 1, 2, nil)
	if v := tw.Segment(s.now, g, &out); v != TimeWaitReply || !out.TCP.Options.HasTimestamps || out.TCP.Options.TSecr != h.Options.TSecr {
		t.Errorf("%v %+v", v, out.TCP)
	}
}

// A connection in TIME-WAIT that is still driven behaves like its record.
func TestTimeWaitDriven(t *testing.T) {
	s, _, _ := reach(t, api.StateTimeWait)
	s.recv(fRST, 2, 0)
	s.none()
	s.now = s.now.Add(50 * time.Second)
	s.recv(fACK|fFIN, 1, 2)
	s.want(fACK, 2, 2, 0)
	if left := s.c.Info(s.now).TimerLeft; left != time.Minute || s.c.Info(s.now).Timer != "timewait" {
		t.Error(left)
	}
}

package tcp

import (
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
)

// fillWindow sends data until the window is closed, and returns the next sequence
// number.
func (s *script) fillWindow() uint32 {
	seq := uint32(s.c.rcvNxt) - s.irs
	for s.c.rcvWnd() > 0 {
		n := min(s.c.rcvWnd(), 1460)
		s.recvData(fACK, seq, 1, pattern(int(n), 1))
		seq += uint32(n)
		for s.poll() {
			s.done()
		}
	}
	return seq
}

// Section 3.10.7.4, first check: segments at the right edge of the window.
func TestRightEdge(t *testing.T) {
	open := func() *script {
		return scriptConfig{synOpts: mssOnly, flow: api.FlowConfig{ReceiveBuffer: 3000}}.open(t)
	}
	// The FIN of a segment that is cut off is cut off too.
	s := open()
	s.recvData(fACK|fFIN, 1, 1, pattern(3100, 1))
	s.want(fACK, 1, 3001, 0)
	s.state(api.StateEstablished)
	s.read(3000)
	s.want(fACK, 1, 3001, 0)
	s.recvData(fACK|fFIN, 3001, 1, pattern(100, 1))
	s.state(api.StateCloseWait)
	// The last octet is inside, the one after it is not: answers to that are limited.
	s = open()
	s.recvData(fACK, 3000, 1, []byte{1})
	s.want(fACK, 1, 1, 0)
	if s.c.Info(s.now).OutOfOrder != 1 {
		t.Error("the last octet of the window was refused")
	}
	s.recvData(fACK, 3001, 1, []byte{1})
	s.want(fACK, 1, 1, 0)
	s.recvData(fACK, 3001, 1, []byte{1})
	s.none()
	// An ACK from beyond the edge is still an ACK, one from further is not.
	s = open()
	s.write(100)
	s.want(fACK, 1, 1, 100)
	s.recv(fACK, 3002, 101)
	s.want(fACK, 101, 1, 0)
	if s.c.Acked() != 0 {
		t.Error("ACK taken from outside")
	}
	s.recv(fACK, 3001, 101)
	if s.c.Acked() != 100 {
		t.Error("ACK from the edge not taken")
	}
}

// MUST-66: a RST that carries data, against a closed window.
func TestZeroWindowResetWithData(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly, flow: api.FlowConfig{ReceiveBuffer: 3000}}.open(t)
	seq := s.fillWindow()
	s.recvData(fRST, seq, 0, []byte("gone"))
	s.state(api.StateClosed)
}

// CloseRead opens the window that nobody was reading.
func TestCloseReadOpensWindow(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly, flow: api.FlowConfig{ReceiveBuffer: 3000}}.open(t)
	seq := s.fillWindow()
	s.c.CloseRead(s.now)
	if h := s.want(fACK, 1, seq, 0); h.Window != 3000 {
		t.Errorf("window %d", h.Window)
	}
}

// RFC 2883: the part of a segment that came before is reported.
func TestPartialDuplicate(t *testing.T) {
	s := scriptConfig{synOpts: sackOpts}.open(t)
	s.recvData(fACK, 1, 1, pattern(100, 1))
	s.recvData(fACK, 51, 1, pattern(100, 1))
	s.wantSack(151, 51, 101)
}

// Answers to old timestamps are limited like all the others (S09).
func TestPAWSLimited(t *testing.T) {
	s := scriptConfig{synOpts: tsOpts}.open(t)
	n := 0
	for range 100 {
		s.recvData(fACK, 1, 1, pattern(10, 1), tsval(s.c.tsRecent-1))
		for s.poll() {
			s.done()
			n++
		}
		s.now = s.now.Add(time.Millisecond)
	}
	if n != 1 {
		t.Errorf("%d answers in 100 ms", n)
	}
}

// A connection that has ended is not charged any more, though what it has received
// can still be read: a user who never does must not use the stack's memory up.
func TestChargesAfterTheEnd(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly, flow: api.FlowConfig{UserTimeout: time.Second}}.open(t)
	s.recvData(fACK, 1, 1, pattern(1000, 1))
	s.recvData(fACK, 3001, 1, pattern(1000, 1))
	for s.poll() {
		s.done()
	}
	s.write(5000)
	for s.c.State() != api.StateClosed {
		for s.poll() {
			s.done()
		}
		s.until()
	}
	if i := s.c.Info(s.now); i.OutOfOrder != 0 || i.ReceiveQueue != 1000 || i.Memory != 0 || s.budget.used != 0 {
		t.Errorf("%+v, %d charged", i, s.budget.used)
	}
	s.read(1000)
	s.readErr(api.ErrTimeout)
	if s.budget.used != 0 {
		t.Errorf("%d charged", s.budget.used)
	}
}

// RFC 6675, section 5.1: after one timeout what was selectively acknowledged is not
// sent again; and every retransmission is counted.
func TestTimeoutKeepsSack(t *testing.T) {
	s := scriptConfig{synOpts: sackOpts, cc: fixedFactory(4)}.open(t)
	s.write(4 * 1460)
	for i := range uint32(4) {
		s.want(fACK, seg(i), 1, 1460)
	}
	s.recv(fACK, 1, seg(0), s.sack(seg(1), seg(2)))
	for s.c.Info(s.now).Timeouts == 0 {
		for s.poll() {
			s.done()
		}
		s.until()
	}
	before := s.counters.Retransmits
	s.want(fACK, seg(0), 1, 1460)
	s.want(fACK, seg(2), 1, 1460)
	s.want(fACK, seg(3), 1, 1460)
	s.none()
	if n := s.counters.Retransmits - before; n != 3 {
		t.Errorf("%d retransmissions counted", n)
	}
}

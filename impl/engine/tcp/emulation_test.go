package tcp

import (
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

func like(e Emulation) Params { return Params{Like: &e} }

// Probes of a closed window that carry nothing, below it, as Linux's.
func TestEmptyProbes(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly, window: 1000, params: like(Emulation{EmptyProbes: true})}.open(t)
	s.write(1000)
	s.want(fACK, 1, 1, 1000)
	s.recv(fACK, 1, 1001, win(0))
	s.write(500)
	s.none()
	want := s.c.Info(s.now).RTO
	for range 3 {
		if d := s.until(); d != want {
			t.Fatalf("a probe after %v, want %v", d, want)
		}
		s.want(fACK, 1000, 1, 0)
		s.none()
		s.recv(fACK, 1, 1001, win(0))
		want *= 2
	}
	s.recv(fACK, 1, 1001, win(60000))
	s.want(fACK, 1001, 1, 500)
}

// Who answers at once has his ACKs delayed from then on.
func TestInteractive(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly, params: like(Emulation{Interactive: true})}.open(t)
	s.recvData(fACK, 1, 1, pattern(10, 1))
	s.want(fACK, 1, 11, 0)
	s.write(5)
	s.want(fACK, 1, 11, 5)
	s.recvData(fACK, 11, 6, pattern(10, 1))
	s.none()
	if d := s.until(); d != 40*time.Millisecond {
		t.Errorf("delayed by %v", d)
	}
	s.want(fACK, 6, 21, 0)
	// And a user who wants them hurried has it his way.
	s.c.QuickAck(true)
	s.recvData(fACK, 21, 6, pattern(10, 1))
	s.want(fACK, 6, 31, 0)
	s.recvData(fACK, 31, 6, pattern(5, 1)) // too small for the rule of full segments
	s.c.QuickAck(true)                     // sends what waits
	s.want(fACK, 6, 36, 0)
	s.c.QuickAck(false)
	s.recvData(fACK, 36, 6, pattern(10, 1))
	s.none()
}

// What Info counts in segments.
func TestSegmentInfo(t *testing.T) {
	s := scriptConfig{synOpts: sackOpts, window: 60000}.open(t)
	s.write(5 * 1460)
	for i := range uint32(5) {
		s.want(fACK, 1+1460*i, 1, 1460)
	}
	i := s.c.Info(s.now)
	if i.UnackedSegments != 5 || i.DataSegmentsSent != 5 || i.DeliveredSegments != 1 || i.CongestionState != "open" {
		t.Fatalf("%+v", i)
	}
	s.advance(time.Millisecond) // before the tail loss probe
	s.recv(fACK, 1, 1, s.sack(1461, 5*1460+1))
	if i = s.c.Info(s.now); i.SackedSegments != 4 || i.LostSegments != 1 || i.CongestionState != "recovery" || i.DeliveredSegments != 5 {
		t.Fatalf("%+v", i)
	}
	s.want(fACK, 1, 1, 1460)
	if i = s.c.Info(s.now); i.ResentSegments != 1 || i.UnackedSegments != 5 {
		t.Fatalf("%+v", i)
	}
	s.recv(fACK, 1, 5*1460+1)
	if i = s.c.Info(s.now); i.UnackedSegments != 0 || i.LostSegments != 0 || i.DeliveredSegments != 6 {
		t.Fatalf("%+v", i)
	}
}

// PSH on every second segment of a burst, counted from where the queue was last
// empty, and again when one is retransmitted.
func TestPushEvery(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly, window: 60000, params: like(Emulation{PushEvery: 2})}.open(t)
	push := func(h *wire.TCP, want bool) {
		t.Helper()
		if got := h.Flags&wire.PSH != 0; got != want {
			t.Fatalf("seq %d: PSH %v, want %v", h.Seq, got, want)
		}
	}
	s.write(100)
	push(s.want(fACK, 1, 1, 100), true)
	s.recv(fACK, 1, 101)
	s.write(5 * 1460)
	for i := range uint32(5) {
		push(s.want(fACK, 101+1460*i, 1, 1460), i%2 == 1 || i == 4)
	}
	s.recv(fACK, 1, 101+1460)
	s.until()
	push(s.want(fACK, 101+1460, 1, 1460), true)
}

// Data that nobody reads resets an orphan before its own data have arrived.
func TestHastyResets(t *testing.T) {
	for _, early := range []bool{false, true} {
		s := scriptConfig{synOpts: mssOnly, params: like(Emulation{HastyResets: true})}.open(t)
		if early { // left unread
			s.recvData(fACK, 1, 1, pattern(10, 1))
			s.write(10)
			s.want(fACK|fPSH, 1, 11, 10)
			s.c.Orphan(s.now)
			s.want(fRST|fACK, 11, 11, 0)
		} else {
			s.write(10)
			s.c.Orphan(s.now)
			s.want(fACK|fFIN, 1, 1, 10)
			s.recvData(fACK, 1, 1, pattern(10, 1))
			s.want(fRST|fACK, 12, 1, 0)
		}
		s.state(api.StateClosed)
		s.clean()
	}
}

// Data for an orphan is answered as if there were no connection.
func TestBareResets(t *testing.T) {
	for _, bare := range []bool{false, true} {
		s := scriptConfig{synOpts: mssOnly, params: like(Emulation{BareResets: bare})}.open(t)
		s.c.Orphan(s.now)
		s.want(fACK|fFIN, 1, 1, 0)
		s.recv(fACK, 1, 2)
		s.recvData(fACK, 1, 2, pattern(10, 1))
		if bare {
			s.want(wire.RST, 2, 0, 0)
		} else {
			s.want(wire.RST|fACK, 2, 1, 0)
		}
	}
}

package tcp

import (
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/impl/engine/wire"
	"github.com/sluicenet/sluice/impl/reno"
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

// A reset leaves the reader what has arrived, where others do that.
func TestKeepUnread(t *testing.T) {
	for _, keep := range []bool{false, true} {
		s := scriptConfig{synOpts: mssOnly, params: like(Emulation{KeepUnread: keep})}.open(t)
		s.recvData(fACK, 1, 1, pattern(10, 1))
		s.recv(fRST, 11, 0)
		b, err := s.c.Read(s.now)
		if keep != (err == nil && b.Len() == 10) {
			t.Errorf("keep %v: %v", keep, err)
		}
		if _, err = s.c.Read(s.now); err == nil {
			t.Errorf("keep %v: no error in the end", keep)
		}
	}
}

// Data for a connection of which both directions are shut.
func TestResetShut(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly, params: like(Emulation{ResetShut: true, BareResets: true})}.open(t)
	s.c.CloseRead(s.now)
	s.c.CloseWrite(s.now)
	s.want(fACK|fFIN, 1, 1, 0)
	s.recv(fACK, 1, 2)
	s.recvData(fACK, 1, 2, pattern(10, 1))
	s.want(fRST, 2, 0, 0)
}

// Slow start goes on while more than half of cwnd was used.
func TestHalfUsedGrows(t *testing.T) {
	for _, c := range []struct{ segments, want int64 }{{5, 10}, {6, 16}} {
		s := scriptConfig{cc: reno.Factory, synOpts: mssOnly, window: 60000, params: like(Emulation{HalfUsedGrows: true, NoAckLimit: true})}.open(t)
		s.write(int(c.segments * 1460))
		for i := range uint32(c.segments) {
			s.want(fACK, 1+1460*i, 1, 1460)
		}
		s.recv(fACK, 1, uint32(1+1460*c.segments))
		if got := s.c.Info(s.now).Cwnd / 1460; got != c.want {
			t.Errorf("after %d segments cwnd is %d, want %d", c.segments, got, c.want)
		}
	}
}

// What is written while more is to come has no PSH at its end.
func TestHoldPush(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly, window: 60000}.open(t)
	for i, hold := range []bool{true, false} {
		s.c.HoldPush(hold)
		s.write(1460)
		var out Out
		if !s.c.Poll(s.now, &out) || out.Len != 1460 {
			t.Fatalf("%d: nothing sent", i)
		}
		if push := out.TCP.Flags&wire.PSH != 0; push == hold {
			t.Errorf("held back %v, PSH %v", hold, push)
		}
	}
}

// A SYN-ACK with a SYN cookie has room for the MSS alone.
func TestCookies(t *testing.T) {
	s := scriptConfig{synOpts: sackOpts, params: like(Emulation{Cookies: true})}.open(t)
	if i := s.c.Info(s.now); i.SACK || i.SendWindowScale > 0 {
		t.Errorf("%+v", i)
	}
}

// The receive buffer is whole segments, and the window is rounded up to its unit.
func TestBSDWindow(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly, params: like(Emulation{BSDWindow: true})}.open(t)
	limit := s.c.receiveLimit()
	want := (limit + s.c.mss - 1) / s.c.mss * s.c.mss
	if got := int64(s.c.windowField(wire.ACK)) << s.c.rcvScale; got != min(want, 65535) {
		t.Errorf("a window of %d bytes, want %d", got, want)
	}
}

// What a timeout takes its part of: of cwnd, or of what was in flight.
func TestReduceCwnd(t *testing.T) {
	for _, c := range []struct {
		like bool
		want int64
	}{{false, 2}, {true, 5}} {
		s := scriptConfig{cc: reno.Factory, synOpts: mssOnly, window: 60000, params: like(Emulation{ReduceCwnd: c.like})}.open(t)
		s.write(1460)
		s.want(fACK, 1, 1, 1460)
		s.none()
		s.until()
		s.want(fACK, 1, 1, 1460)
		if got := s.c.Info(s.now).Ssthresh / 1460; got != c.want {
			t.Errorf("ssthresh is %d segments, want %d", got, c.want)
		}
	}
}

package tcp

import (
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/impl/cubic"
	"github.com/sluicenet/sluice/impl/engine/wire"
	"github.com/sluicenet/sluice/impl/reno"
)

// Segments end where records do, Nagle or not, and also when they are sent again.
func TestRecords(t *testing.T) {
	s := scriptConfig{cc: fixedFactory(2), synOpts: mssOnly, params: like(Emulation{Records: true})}.open(t)
	end := WriteOptions{Record: true}
	s.write(2*1460, end)
	s.want(fACK, 1, 1, 1460)
	s.want(fACK|fPSH, 1461, 1, 1460)
	s.write(100, end)
	s.write(1500, end)
	s.write(200)
	s.none() // cwnd
	s.recv(fACK, 1, 2921)
	s.want(fACK|fPSH, 2921, 1, 100)
	s.want(fACK, 3021, 1, 1460)
	s.want(fACK|fPSH, 4481, 1, 40)
	s.none() // Nagle: it is the end of what there is
	s.recv(fACK, 1, 4481)
	s.none()
	s.until()
	s.want(fACK|fPSH, 4481, 1, 40)
}

// What a connection is given of its own, others do not get.
func TestTune(t *testing.T) {
	params := like(Emulation{})
	s := scriptConfig{synOpts: mssOnly, params: params}.open(t)
	was := s.c.cfg.params
	s.c.Tune(s.now, func(p *Params) { p.RTOMax, p.FinWait2, p.Like.NoFinWait2 = time.Second, time.Minute, true })
	if was.RTOMax == time.Second || was.Like.NoFinWait2 || s.c.cfg.params.RTOMax != time.Second {
		t.Fatal("tuned the wrong parameters")
	}
	s.write(10)
	s.want(fACK|fPSH, 1, 1, 10)
	var last time.Duration
	for range 6 {
		last = s.until()
		s.poll()
	}
	if last != time.Second {
		t.Errorf("the sixth timeout after %v", last)
	}
}

// An orphan that does not wait in FIN-WAIT-2.
func TestNoFinWait2(t *testing.T) {
	for _, late := range []bool{false, true} {
		s := scriptConfig{synOpts: mssOnly, params: like(Emulation{NoFinWait2: true, BareResets: true})}.open(t)
		if late { // it is there already
			s.c.CloseWrite(s.now)
			s.want(fACK|fFIN, 1, 1, 0)
			s.recv(fACK, 1, 2)
			s.c.Orphan(s.now)
			s.want(fRST|fACK, 2, 1, 0)
		} else {
			s.c.Orphan(s.now)
			s.want(fACK|fFIN, 1, 1, 0)
			s.recv(fACK, 1, 2)
			s.want(fRST, 2, 0, 0)
		}
		s.state(api.StateClosed)
		s.clean()
	}
}

// Timeouts of a thin stream that has left its first slow start.
func TestLinearThin(t *testing.T) {
	for _, thin := range []bool{false, true} {
		s := scriptConfig{cc: reno.Factory, synOpts: sackOpts, params: like(Emulation{LinearThin: thin, NoTLP: true})}.open(t)
		s.write(4 * 1460)
		for i := range uint32(4) {
			s.want(fACK, 1+1460*i, 1, 1460)
		}
		s.advance(time.Millisecond)
		s.recv(fACK, 1, 1, s.sack(1461, 4*1460+1))
		s.want(fACK, 1, 1, 1460)
		s.recv(fACK, 1, 4*1460+1)
		s.write(10)
		s.want(fACK|fPSH, 4*1460+1, 1, 10)
		first := s.until()
		s.want(fACK|fPSH, 4*1460+1, 1, 10)
		want := 2 * first
		if thin {
			want = first
		}
		if d := s.until(); d != want {
			t.Errorf("thin %v: the second timeout after %v, the first after %v", thin, d, first)
		}
	}
}

// Of the blocks that there is no room for nothing is remembered.
func TestFourHoles(t *testing.T) {
	for _, four := range []bool{false, true} {
		s := scriptConfig{synOpts: sackOpts, params: like(Emulation{FourHoles: four})}.open(t)
		for i := range uint32(5) {
			s.recvData(fACK, 101+200*i, 1, pattern(100, 1))
			s.poll()
		}
		s.recvData(fACK, 801, 1, pattern(100, 1)) // joins the last two
		if !s.poll() {
			t.Fatal("no ACK")
		}
		want := uint8(4)
		if four {
			want = 3
		}
		if n := s.out.TCP.Options.SACKCount; n != want {
			t.Errorf("four %v: %d blocks, want %d", four, n, want)
		}
	}
}

// Data beyond the window, within the interval of challenge ACKs.
func TestAnswersData(t *testing.T) {
	for _, always := range []bool{false, true} {
		s := scriptConfig{synOpts: mssOnly, params: like(Emulation{AnswersData: always})}.open(t)
		for i := range 3 {
			s.recvData(fACK, 200_000, 1, pattern(10, 1))
			if got := s.poll(); got != (always || i == 0) {
				t.Errorf("always %v: segment %d answered: %v", always, i, got)
			}
			s.recv(fACK, 200_000, 1)
			if s.poll() && (always || i > 0) && i > 0 {
				t.Errorf("always %v: a bare ACK is answered for the %dth time", always, i+1)
			}
		}
	}
}

// A pause halves cwnd for every RTO of it.
func TestDecayIdle(t *testing.T) {
	s := scriptConfig{cc: reno.Factory, synOpts: mssOnly, params: like(Emulation{DecayIdle: true, NoAckLimit: true})}.open(t)
	at := uint32(1)
	for _, n := range []uint32{10, 20} {
		s.write(int(n) * 1460)
		for range n {
			s.want(fACK, at, 1, 1460)
			at += 1460
		}
		s.recv(fACK, 1, at)
	}
	if w := s.c.Info(s.now).Cwnd; w != 40*1460 {
		t.Fatalf("cwnd is %d segments", w/1460)
	}
	s.advance(s.c.Info(s.now).RTO + time.Millisecond)
	s.write(1460)
	s.want(fACK, at, 1, 1460)
	if w := s.c.Info(s.now).Cwnd; w != 20*1460 {
		t.Errorf("cwnd is %d segments after one RTO", w/1460)
	}
}

// Another controller, as long as nothing has happened to the first.
func TestSwitchController(t *testing.T) {
	s := scriptConfig{cc: cubic.Factory, synOpts: sackOpts}.open(t)
	if !s.c.SwitchController(s.now, reno.Factory) || s.c.Info(s.now).Congestion != "reno" {
		t.Fatal("not switched")
	}
	s.write(10 * 1460)
	for i := range uint32(10) {
		s.want(fACK, 1+1460*i, 1, 1460)
	}
	s.advance(time.Millisecond)
	s.recv(fACK, 1, 1, s.sack(1461, 4*1460+1))
	s.want(fACK, 1, 1, 1460)
	if got := s.c.Info(s.now).Ssthresh; got != 5*1460 {
		t.Errorf("ssthresh is %d", got)
	}
	if s.c.SwitchController(s.now, cubic.Factory) {
		t.Error("switched in recovery")
	}
}

// A bound on pacing holds for controllers that do not pace.
func TestMaxPacing(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly}.open(t)
	s.c.Tune(s.now, func(p *Params) { p.Like.MaxPacing = 146_000 })
	s.write(20 * 1460)
	var sent int64
	for range 100 {
		for s.poll() {
			sent += s.out.Len
		}
		s.now = s.now.Add(time.Millisecond)
		s.c.Timeout(s.now)
	}
	// A tenth of a second, and a burst.
	if sent < 14_600 || sent > 14_600+4*1460 {
		t.Errorf("%d bytes in 100 ms", sent)
	}
}

// The SYN-ACK of a simultaneous open, and one that acknowledges nonsense.
func TestLikeLinuxOpening(t *testing.T) {
	s := scriptConfig{params: like(Emulation{OfferAll: true})}.dial(t)
	s.recv(fSYN, 0, 0)
	h := s.want(fSYN|fACK, 0, 1, 0)
	if o := &h.Options; !o.HasTimestamps || !o.SACKPermitted || !o.HasWindowScale || o.TSecr != 0 {
		t.Errorf("%+v", *o)
	}
	s.recv(fSYN|fACK, 0, 1)
	s.want(fACK, 1, 1, 0)
	s.state(api.StateEstablished)

	s = scriptConfig{params: like(Emulation{HastySyn: true})}.dial(t)
	s.recv(fSYN|fACK, 0, 100)
	s.want(wire.RST, 100, 0, 0)
	if d := s.until(); d > 10*time.Millisecond {
		t.Errorf("the SYN is sent again after %v", d)
	}
	s.want(fSYN, 0, 0, 0)
}

// A SYN-ACK that waits for data.
func TestDeferAccept(t *testing.T) {
	s, cfg := scriptConfig{synOpts: mssOnly, params: like(Emulation{DeferAccept: 1})}.start(t)
	r := NewResponder(s.now, cfg)
	syn := wire.TCP{SrcPort: 5555, DstPort: 80, Flags: fSYN, Seq: s.irs, Window: 1000, Options: mssOnly}
	h := r.Open(s.now, s.iss, 0, false, &syn, &s.out)
	ack := func(data int) HalfOpenVerdict {
		g := &Segment{TCP: wire.TCP{Flags: fACK, Seq: s.irs + 1, Ack: s.iss + 1, Window: 1000}, Len: int64(data)}
		if data > 0 {
			g.Payload = []api.Buffer{*api.CopyBuffer(pattern(data, 1))}
		}
		return r.Segment(s.now, &h, g, &s.out)
	}
	if v := ack(0); v != HalfOpenKeep {
		t.Fatalf("a bare ACK: %v", v)
	}
	copied := h
	if v := ack(10); v != HalfOpenAccept {
		t.Errorf("data: %v", v)
	}
	h = copied
	s.now = r.Deadline(&h)
	if v := r.Timeout(s.now, &h, &s.out); v != HalfOpenReply || s.out.TCP.Flags != fSYN|fACK {
		t.Errorf("the last chance: %v, %v", v, s.out.TCP.Flags)
	}
	if v := ack(0); v != HalfOpenAccept {
		t.Errorf("a bare ACK in the end: %v", v)
	}
}

package tcp

import (
	"errors"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// SHLD-28, MUST-60, MUST-61, SHLD-27: full-sized segments; PSH on the last queued.
func TestSegmentation(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly}.open(t)
	for range 4 {
		s.write(1000) // several writes, gathered
	}
	if h := s.want(fACK, 1, 1, 1460); h.Flags&fPSH != 0 {
		t.Error("PSH in the middle")
	}
	s.want(fACK, 1461, 1, 1460)
	s.want(fACK|fPSH, 2921, 1, 1080)
	s.none()
}

// Super-packets: a whole number of segments, the size in GSOSize.
func TestSuperPackets(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly, gso: 65535}.open(t)
	s.write(100_000)
	s.want(fACK, 1, 1, 44*1460)
	if s.out.GSOSize != 1460 {
		t.Errorf("GSOSize %d", s.out.GSOSize)
	}
	// A small window is filled by a smaller one.
	s = scriptConfig{synOpts: mssOnly, gso: 65535, window: 5000, cc: renoFactory{}}.open(t)
	s.write(100_000)
	s.c.CloseWrite(s.now)
	s.want(fACK, 1, 1, 3*1460)
	// An acknowledgement in the middle of a super-packet, of a segment, of a buffer.
	s.recv(fACK, 1, 1000, win(10000))
	s.want(fACK, 4381, 1, 4*1460)
	s.until()
	s.want(fACK, 1000, 1, 1460)
	s.recv(fACK, 1, 2460)
	s.want(fACK, 2460, 1, 1921)
}

// Case partial-ack-mid-segment: what is sent again is what the peer lacks, byte for
// byte, under its own sequence number.
func TestPartialAckMidSegment(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly}.open(t)
	d := pattern(1460, 4)
	if _, err := s.c.Write(s.now, []*api.Buffer{api.CopyBuffer(d[:700]), api.CopyBuffer(d[700:])}, WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	s.want(fACK, 1, 1, 1460)
	for _, acked := range []uint32{1, 699, 700, 701, 1000} {
		s.recv(fACK, 1, 1+acked)
		s.until()
		if !s.poll() || s.out.TCP.Seq-s.iss != 1+acked {
			t.Fatalf("sent %+v", s.out.TCP)
		}
		same(t, s.payload(), d[acked:])
		s.done()
	}
	s.recv(fACK, 1, 1461)
	s.none()
	if s.budget.used != 0 {
		t.Errorf("%d charged", s.budget.used)
	}
}

// SHLD-7, MUST-17, N2, N4: Nagle's algorithm, in Minshall's form.
func TestNagle(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly}.open(t)
	s.write(10)
	s.want(fACK, 1, 1, 10) // nothing outstanding
	s.write(10)
	s.write(10)
	s.none()
	s.recv(fACK, 1, 11)
	s.want(fACK, 11, 1, 20)
	s.write(1460)
	s.want(fACK, 31, 1, 1460) // full
	s.write(5)
	s.none()
	s.write(5, WriteOptions{NoDelay: true}) // N2: and what is queued before it
	s.want(fACK, 1491, 1, 10)
	s.write(5)
	s.none()
	f := s.c.FlowConfig()
	f.NoDelay = true
	s.c.Configure(s.now, &f)
	s.want(fACK, 1501, 1, 5)
	// A close flushes (C1).
	s = scriptConfig{synOpts: mssOnly}.open(t)
	s.write(10)
	s.want(fACK, 1, 1, 10)
	s.write(10)
	s.none()
	s.c.CloseWrite(s.now)
	s.want(fACK|fFIN, 11, 1, 10)
}

// MUST-38, security S18: small windows are not filled, but for the override timer.
func TestSenderSillyWindow(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly, window: 4000}.open(t)
	s.write(4000)
	s.want(fACK, 1, 1, 1460)
	s.want(fACK, 1461, 1, 1460)
	s.want(fACK, 2921, 1, 1080) // PSHed, D <= U
	s.write(10_000)
	s.none()
	s.recv(fACK, 1, 4001, win(0))
	s.none()
	sent := 0
	for i := range 1000 {
		s.recv(fACK, 1, uint32(s.c.sndNxt)-s.iss, win(uint16(1+i%2)))
		for s.poll() {
			if s.out.Len > 0 {
				sent++
			}
			s.done()
		}
		s.now = s.now.Add(time.Millisecond)
		s.c.Timeout(s.now)
	}
	if sent > 10 {
		t.Errorf("%d segments in a second", sent)
	}
	s.recv(fACK, 1, uint32(s.c.sndNxt)-s.iss, win(1459)) // less than half of the largest: waits
	s.none()
	s.until()
	s.want(fACK, uint32(s.c.sndNxt)-s.iss, 1, 1459)
}

// W4, W5, and admission: whole while below the limit.
func TestWriteAdmission(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly, flow: api.FlowConfig{SendBuffer: 5000}, window: 1000}.open(t)
	s.write(4000)
	s.write(50_000) // below the limit: whole
	b := api.NewBuffer(pattern(1, 1))
	if _, err := s.c.Write(s.now, []*api.Buffer{b}, WriteOptions{}); err != ErrAgain {
		t.Fatal(err)
	}
	if b.Len() != 1 {
		t.Error("buffer taken by a Write that failed")
	}
	s.want(fACK, 1, 1, 1000)
	s.c.TakeEvents()
	s.recv(fACK, 1, 1001)
	if s.c.TakeEvents()&EventWrite != 0 {
		t.Error("writable while the queue is at its limit")
	}
	ack := uint32(1001)
	for s.c.Acked() < 54_000 {
		for s.poll() {
			ack = s.out.TCP.Seq - s.iss + uint32(s.out.Len)
			s.done()
		}
		s.recv(fACK, 1, ack, win(30000))
	}
	if s.c.TakeEvents()&(EventWrite|EventAcked) != EventWrite|EventAcked {
		t.Error("not writable")
	}
	s.budget.limit = 100
	if _, err := s.c.Write(s.now, []*api.Buffer{api.NewBuffer(pattern(1000, 1))}, WriteOptions{}); err != api.ErrNoMemory {
		t.Error(err)
	}
	// An empty write does nothing.
	if end, err := s.c.Write(s.now, []*api.Buffer{api.NewBuffer(nil)}, WriteOptions{}); err != nil || end != 54_000 {
		t.Error(end, err)
	}
	s.none()
	s.c.CloseWrite(s.now)
	if _, err := s.c.Write(s.now, []*api.Buffer{b}, WriteOptions{}); !errors.Is(err, api.ErrClosed) {
		t.Error(err)
	}
}

// MUST-18, MUST-19: RFC 6298: doubling, Karn's rule, restart on new ACKs, the cap.
// Case rto-restart.
func TestRetransmissionTimer(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly, flow: api.FlowConfig{UserTimeout: 24 * time.Hour}}.listen(t)
	s.now = s.now.Add(100 * time.Millisecond)
	s.recv(fACK, 1, 1)
	// R = 100 ms: SRTT = R, RTTVAR = R/2, RTO = SRTT + 4*RTTVAR.
	if i := s.c.Info(s.now); i.SRTT != 100*time.Millisecond || i.RTTVar != 50*time.Millisecond || i.RTO != 300*time.Millisecond {
		t.Fatalf("%v %v %v", i.SRTT, i.RTTVar, i.RTO)
	}
	s.write(2920)
	s.want(fACK, 1, 1, 1460)
	s.want(fACK, 1461, 1, 1460)
	s.now = s.now.Add(200 * time.Millisecond)
	s.recv(fACK, 1, 1461) // new: the timer restarts (5.3); a sample of 200 ms
	rto := s.c.Info(s.now).RTO
	if srtt := s.c.Info(s.now).SRTT; srtt != 112500*time.Microsecond {
		t.Errorf("SRTT %v", srtt)
	}
	want := rto
	for i := range 12 {
		if d := s.until(); d != want {
			t.Errorf("retransmission %d after %v, want %v", i, d, want)
		}
		s.want(fACK, 1461, 1, 1460)
		s.none()
		want = min(2*want, 60*time.Second)
	}
	if i := s.c.Info(s.now); i.Backoff != 12 || i.SoftError != api.ErrTimeout || i.Timer != "retransmit" {
		t.Errorf("%+v", i)
	}
	// Karn: no sample, and the backoff stays until there is one.
	srtt := s.c.Info(s.now).SRTT
	s.recv(fACK, 1, 2921)
	if i := s.c.Info(s.now); i.SRTT != srtt || i.Timer != "" {
		t.Errorf("SRTT %v, timer %q", i.SRTT, i.Timer)
	}
	s.write(100)
	s.want(fACK, 2921, 1, 100)
	s.now = s.now.Add(50 * time.Millisecond)
	s.recv(fACK, 1, 3021)
	if i := s.c.Info(s.now); i.Backoff != 0 {
		t.Errorf("backoff %d", i.Backoff)
	}
}

// RFC 7323, section 4.1: with timestamps a retransmission can be measured.
func TestTimestampSample(t *testing.T) {
	s := scriptConfig{synOpts: tsOpts}.open(t)
	s.write(100)
	s.want(fACK, 1, 1, 100)
	s.until()
	s.want(fACK, 1, 1, 100)
	tv := s.out.TCP.Options.TSval
	s.now = s.now.Add(70 * time.Millisecond)
	n := s.c.rtt.samples
	s.recv(fACK, 1, 101, func(g *Segment) { g.TCP.Options.TSecr = tv })
	if s.c.rtt.samples != n+1 || s.c.rtt.last != 70*time.Millisecond {
		t.Errorf("%d samples, last %v", s.c.rtt.samples-n, s.c.rtt.last)
	}
	// But not from the echo of the first transmission.
	s.write(100)
	s.want(fACK, 101, 1, 100)
	tv = s.out.TCP.Options.TSval
	s.until()
	s.want(fACK, 101, 1, 100)
	n = s.c.rtt.samples
	s.recv(fACK, 1, 201, func(g *Segment) { g.TCP.Options.TSecr = tv })
	if s.c.rtt.samples != n {
		t.Error("sampled a late ACK")
	}
}

// MUST-20, MUST-21, SHLD-11, MUST-12; case giveup-unblocks.
func TestUserTimeout(t *testing.T) {
	for _, limit := range []time.Duration{0, 30 * time.Second} {
		s := scriptConfig{synOpts: mssOnly, flow: api.FlowConfig{UserTimeout: limit}}.open(t)
		want := limit
		if want == 0 {
			want = 5 * time.Minute
		}
		s.advance(time.Hour) // idle for as long as one likes
		s.write(100)
		s.want(fACK, 1, 1, 100)
		start := s.now
		for s.c.State() != api.StateClosed {
			if s.until(); s.c.State() != api.StateClosed {
				s.want(fACK, 1, 1, 100)
			}
		}
		if d := s.now.Sub(start); d != want {
			t.Errorf("ended after %v, want %v", d, want)
		}
		s.want(fRST|fACK, 101, 1, 0)
		s.readErr(api.ErrTimeout)
		if err := s.c.WriteError(); !errors.Is(err, api.ErrTimeout) || !errors.Is(err, api.ErrClosed) {
			t.Error(err)
		}
		if s.c.TakeEvents()&(EventClosed|EventRead|EventWrite) != EventClosed|EventRead|EventWrite {
			t.Error("nobody is woken")
		}
		s.clean()
	}
}

// MUST-36, MUST-37, SHLD-29, SHLD-30; case zero-window-probe; security S19.
func TestPersist(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly, window: 1000}.open(t)
	s.write(1000)
	s.want(fACK, 1, 1, 1000)
	s.recv(fACK, 1, 1001, win(0))
	s.write(5000)
	s.none()
	rto := s.c.Info(s.now).RTO
	want := rto
	start := s.now
	probes := 0
	for s.now < start.Add(24*time.Hour) {
		if d := s.until(); d != want {
			t.Fatalf("probe %d after %v, want %v", probes, d, want)
		}
		if i := s.c.Info(s.now); i.State != api.StateEstablished {
			t.Fatalf("%v after %v", i.State, s.now.Sub(start))
		}
		s.want(fACK, 1001, 1, 1) // an octet of new data
		s.none()
		s.recv(fACK, 1, 1001, win(0))
		probes++
		want = min(want*2, time.Minute)
	}
	s.recv(fACK, 1, 1001, win(60000))
	s.want(fACK, 1001, 1, 1)
	s.want(fACK, 1002, 1, 1460)
	if i := s.c.Info(s.now); i.Timeouts != 0 || i.Cwnd != 100*1460 {
		t.Errorf("probing is no congestion: %+v", i)
	}

	// A peer that does not answer is given up all the same.
	s = scriptConfig{synOpts: mssOnly, window: 1000}.open(t)
	s.write(1500)
	s.want(fACK, 1, 1, 1000)
	s.recv(fACK, 1, 1001, win(0))
	start = s.now
	for s.c.State() != api.StateClosed {
		if s.until(); s.c.State() != api.StateClosed {
			s.want(fACK, 1001, 1, 1)
		}
	}
	if d := s.now.Sub(start); d != 5*time.Minute {
		t.Errorf("given up after %v", d)
	}

	// The user's timeout counts while the peer answers (S19).
	s = scriptConfig{synOpts: mssOnly, window: 1000, flow: api.FlowConfig{UserTimeout: 30 * time.Second}}.open(t)
	s.write(1500)
	s.want(fACK, 1, 1, 1000)
	s.recv(fACK, 1, 1001, win(0))
	start = s.now
	for s.c.State() != api.StateClosed {
		if s.until(); s.c.State() != api.StateClosed {
			s.want(fACK, 1001, 1, 1)
			s.recv(fACK, 1, 1001, win(0))
		}
	}
	if d := s.now.Sub(start); d != 30*time.Second {
		t.Errorf("ended after %v", d)
	}
	s.readErr(api.ErrTimeout)
}

// A FIN against a closed window is its own probe.
func TestPersistFin(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly, window: 1000}.open(t)
	s.write(1000)
	s.want(fACK, 1, 1, 1000)
	s.recv(fACK, 1, 1001, win(0))
	s.c.CloseWrite(s.now)
	s.none()
	s.until()
	s.want(fACK|fFIN, 1001, 1, 0)
	s.recv(fACK, 1, 1002, win(0))
	s.state(api.StateFinWait2)
}

// A probe is due and has not been sent, another being busy with sending, when the ACK
// comes that leaves nothing to probe with.
func TestPersistAckBeforeProbe(t *testing.T) {
	for _, closing := range []bool{true, false} {
		s := scriptConfig{synOpts: mssOnly, window: 1000}.open(t)
		last, flags, length := uint32(1002), fACK|fFIN, 0
		if closing {
			s.write(1000)
			s.c.CloseWrite(s.now)
		} else {
			s.write(1001)
			flags, length = fACK, 1
		}
		s.want(fACK, 1, 1, 1000)
		s.recv(fACK, 1, 1001, win(0))
		s.none()
		s.until()
		s.want(flags, 1001, 1, length)
		s.recv(fACK, 1, 1001, win(0))
		s.until()
		s.recv(fACK, 1, last, win(0))
		s.none()
		if closing {
			s.state(api.StateFinWait2)
		} else {
			s.state(api.StateEstablished)
		}
		if d := s.c.Deadline(); d != clock.Never {
			t.Errorf("a timer runs for nothing, until %v from %v", d, s.now)
		}
	}
}

// MUST-34, MUST-35, SHLD-15, SHLD-16, SHLD-17: the peer shrinks its window.
func TestShrunkenWindow(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly, window: 10_000}.open(t)
	s.write(20_000)
	for i := range uint32(6) {
		s.want(fACK, 1+1460*i, 1, 1460)
	}
	s.none() // 1240 left: less than a segment, and less than half
	s.recv(fACK, 1, 1, win(3000))
	s.none()
	s.until()
	s.want(fACK, 1, 1, 1460) // inside: retransmitted
	s.recv(fACK, 1, 1461, win(1540))
	s.want(fACK, 1461, 1, 1460)
	s.recv(fACK, 1, 2921, win(0)) // to nothing: probe
	s.none()
	start := s.now
	for s.now < start.Add(time.Hour) {
		s.until()
		s.want(fACK, 2921, 1, 1)
		s.recv(fACK, 1, 2921, win(0))
	}
	s.state(api.StateEstablished)
	s.recv(fACK, 1, 2921, win(60000))
	for i := range uint32(4) {
		s.want(fACK, 2921+1460*i, 1, 1460)
	}
}

// RFC 9293, 3.10.7.4: only newer segments change the window (WL1, WL2).
func TestWindowUpdateRule(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly, window: 5000}.open(t)
	s.recvData(fACK, 1, 1, pattern(10, 1), win(6000))
	s.recvData(fACK, 11, 1, pattern(10, 1), win(7000))
	s.want(fACK, 1, 21, 0)
	s.recvData(fACK, 1, 1, pattern(15, 1), win(100)) // older
	s.want(fACK, 1, 21, 0)
	s.recvData(fACK, 1, 1, pattern(25, 1), win(100)) // older, but with something new
	if w := s.c.Info(s.now).SendWindow; w != 7000 {
		t.Errorf("window %d", w)
	}
	s.write(10)
	s.want(fACK, 1, 26, 10)
	s.recv(fACK, 26, 11, win(8000))
	s.recv(fACK, 26, 1, win(200)) // same SEQ, older ACK
	if w := s.c.Info(s.now).SendWindow; w != 8000 {
		t.Errorf("window %d", w)
	}
	s.recv(fACK, 26, 11, win(300))
	if w := s.c.Info(s.now).SendWindow; w != 300 {
		t.Errorf("window %d", w)
	}
}

// Keepalive: MUST-24 to 29, SHLD-12, K1 to K4.
func TestKeepalive(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly}.open(t)
	if s.advance(1000 * time.Hour); s.c.Deadline() != 1<<63-1 {
		t.Error("a timer runs without keepalive")
	}
	ka := api.KeepaliveConfig{After: time.Hour, Interval: time.Minute, Probes: 3}
	s = scriptConfig{synOpts: mssOnly, flow: api.FlowConfig{Keepalive: ka}}.open(t)
	s.now = s.now.Add(30 * time.Minute)
	s.recvData(fACK, 1, 1, pattern(1, 1))
	s.until()
	s.want(fACK, 1, 2, 0)
	for s.until(); !s.c.kaDue; s.until() {
	}
	if idle := s.now.Sub(s.c.lastRecv); idle != time.Hour {
		t.Errorf("probe after %v", idle)
	}
	if h := s.want(fACK, 0, 2, 0); h.Flags != fACK {
		t.Errorf("%v", h.Flags)
	}
	// An answer starts it over.
	s.recv(fACK, 2, 1)
	s.none()
	for s.until(); !s.c.kaDue; s.until() {
	}
	if idle := s.now.Sub(s.c.lastRecv); idle != time.Hour {
		t.Errorf("probe after %v", idle)
	}
	s.want(fACK, 0, 2, 0)
	for range 2 {
		if d := s.until(); d != time.Minute {
			t.Errorf("next probe after %v", d)
		}
		s.want(fACK, 0, 2, 0)
	}
	if n := s.c.Info(s.now).KeepaliveProbes; n != 3 {
		t.Errorf("%d probes", n)
	}
	if d := s.until(); d != time.Minute {
		t.Errorf("given up after %v", d)
	}
	s.state(api.StateClosed)
	s.want(fRST|fACK, 1, 2, 0)
	if s.c.CloseReason() != api.ErrKeepalive {
		t.Error(s.c.CloseReason())
	}
	s.read(1)
	if _, err := s.c.Read(s.now); err.Error() != "EOF" {
		t.Error(err)
	}
	if err := s.c.WriteError(); !errors.Is(err, api.ErrClosed) || !errors.Is(err, api.ErrKeepalive) {
		t.Error(err)
	}
	s.clean()
}

// MUST-26: not while something is outstanding, nor against a closed window.
// K2: a process that slept gives up no sooner.
func TestKeepaliveQuiet(t *testing.T) {
	ka := api.KeepaliveConfig{After: time.Second, Interval: time.Second, Probes: 2}
	s := scriptConfig{synOpts: mssOnly, window: 100, flow: api.FlowConfig{Keepalive: ka}}.open(t)
	s.write(200)
	s.want(fACK, 1, 1, 100)
	s.recv(fACK, 1, 101, win(0))
	for range 100 {
		s.until()
		s.want(fACK, 101, 1, 1) // window probes only
		s.recv(fACK, 1, 101, win(0))
	}

	s = scriptConfig{synOpts: mssOnly, flow: api.FlowConfig{Keepalive: ka}}.open(t)
	s.until()
	s.want(fACK, 0, 1, 0)
	s.until()
	s.want(fACK, 0, 1, 0)
	s.now = s.now.Add(10 * time.Hour) // asleep; the answers are still to be read
	s.c.Timeout(s.now)
	s.keepalive()
	s.state(api.StateEstablished)
	s.want(fACK, 0, 1, 0)
	s.recv(fACK, 1, 1)
	if n := s.c.Info(s.now).KeepaliveProbes; n != 0 {
		t.Errorf("%d probes", n)
	}
}

// MUST-48, MUST-49, SHLD-21, SHLD-22: TTL and DSCP, also changed on the way.
func TestTTLAndDSCP(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly, flow: api.FlowConfig{TTL: 7, DSCP: 46}}.open(t)
	s.write(1)
	s.want(fACK, 1, 1, 1)
	if s.out.TTL != 7 || s.out.DSCP != 46 {
		t.Errorf("%d %d", s.out.TTL, s.out.DSCP)
	}
	f := s.c.FlowConfig()
	f.TTL, f.DSCP = 9, 8
	s.c.Configure(s.now, &f)
	s.recv(fACK, 1, 2)
	s.write(1)
	s.want(fACK, 2, 1, 1)
	if s.out.TTL != 9 || s.out.DSCP != 8 {
		t.Errorf("%d %d", s.out.TTL, s.out.DSCP)
	}
}

// MUST-54, MUST-56, SHLD-25, SHLD-26, MUST-47; security S29.
func TestICMP(t *testing.T) {
	why := errors.New("why")
	for _, st := range synchronised {
		s, _, _ := reach(t, st)
		if s.c.sndUna == s.c.sndNxt {
			continue
		}
		s.c.TakeEvents()
		for _, k := range []ICMPKind{ICMPSoft, ICMPHard} {
			s.c.ICMP(s.now, ICMPError{Kind: k, Seq: uint32(s.c.sndUna - 1), Err: why})
			s.c.ICMP(s.now, ICMPError{Kind: k, Seq: uint32(s.c.sndNxt), Err: why})
			if s.c.TakeEvents() != 0 || s.c.Info(s.now).SoftError != nil {
				t.Error("believed a quote of nothing in flight")
			}
		}
		s.c.ICMP(s.now, ICMPError{Kind: ICMPHard, Seq: uint32(s.c.sndUna), Err: why})
		s.state(st)
		if s.c.TakeEvents()&EventError == 0 || s.c.Info(s.now).SoftError != why {
			t.Error("not told")
		}
	}
	s := scriptConfig{}.dial(t)
	s.c.ICMP(s.now, ICMPError{Kind: ICMPSoft, Seq: s.iss, Err: why})
	s.c.ICMP(s.now, ICMPError{Kind: ICMPHard, Seq: s.iss + 1, Err: api.ErrUnreachable})
	s.state(api.StateSynSent)
	s.c.ICMP(s.now, ICMPError{Kind: ICMPHard, Seq: s.iss, Err: api.ErrUnreachable})
	s.state(api.StateClosed)
	s.readErr(api.ErrUnreachable)
}

// RFC 1191, RFC 8201: packet too big lowers the MSS, splits what is outstanding and
// sends it again at once; floors; case pmtud.
func TestPacketTooBig(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly, cc: renoFactory{}}.open(t)
	s.write(5840)
	for i := range uint32(4) {
		s.want(fACK, 1+1460*i, 1, 1460)
	}
	s.c.ICMP(s.now, ICMPError{Kind: ICMPPacketTooBig, Seq: s.iss + 60000, MTU: 1000})
	s.none()
	cwnd := s.c.Info(s.now).Cwnd
	s.c.ICMP(s.now, ICMPError{Kind: ICMPPacketTooBig, Seq: s.iss + 1, MTU: 1000})
	at, want := uint32(1), []int{960, 500}
	for i := range 8 {
		s.want(fACK, at, 1, want[i%2])
		at += uint32(want[i%2])
	}
	if i := s.c.Info(s.now); i.Cwnd != cwnd || i.PathMTU != 1000 || i.SendMSS != 960 {
		t.Errorf("%+v", i)
	}
	for mtu, want := range map[int64]int64{900: 900, 552: 552, 68: 552, 100: 552, 1200: 1000, 0: 552} {
		s.c.SetPathMTU(s.now, 1000)
		s.c.ICMP(s.now, ICMPError{Kind: ICMPPacketTooBig, Seq: s.iss + 1, MTU: mtu})
		if got := s.c.Info(s.now).PathMTU; got != want {
			t.Errorf("MTU %d: path MTU %d, want %d", mtu, got, want)
		}
	}
	s.c.SetPathMTU(s.now, 1)
	if got := s.c.Info(s.now).PathMTU; got != 68 {
		t.Errorf("path MTU %d", got)
	}
	s.c.SetPathMTU(s.now, 9000)
	if got := s.c.Info(s.now).PathMTU; got != 1500 {
		t.Errorf("path MTU %d", got)
	}
	s = scriptConfig{v6: true, synOpts: mssOnly}.open(t)
	s.write(100)
	s.want(fACK, 1, 1, 100)
	s.c.ICMP(s.now, ICMPError{Kind: ICMPPacketTooBig, Seq: s.iss + 1, MTU: 600})
	if got := s.c.Info(s.now).PathMTU; got != 1280 {
		t.Errorf("path MTU %d", got)
	}
}

// pacedFactory makes controllers that pace.
type pacedFactory struct{ cc.BytesPerSec }

type pacedController struct {
	fixedWindow
	rate cc.BytesPerSec
}

func (pacedFactory) Name() string { return "test-paced" }
func (f pacedFactory) New(e *cc.Env, _ string) (cc.Controller, error) {
	return pacedController{fixedWindow(1 << 30), f.BytesPerSec}, nil
}
func (p pacedController) Control() cc.Control {
	return cc.Control{Cwnd: 1 << 30, Pacing: p.rate, Quantum: 2920}
}

// Pacing is obeyed, on the average and in its bursts.
func TestPacing(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly, cc: pacedFactory{1_460_000}}.open(t)
	s.write(60_000)
	start := s.now
	var n int64
	for n < 60_000 {
		burst := int64(0)
		for s.poll() {
			burst += s.out.Len
			s.done()
		}
		if burst > 2*2920 {
			t.Fatalf("burst of %d", burst)
		}
		n += burst
		if d := s.now.Sub(start); n > 2*2920+int64(d/time.Microsecond)*146/100 {
			t.Fatalf("%d bytes in %v", n, d)
		}
		if n == 60_000 {
			break
		}
		s.now = max(s.now, s.c.Deadline())
		s.c.Timeout(s.now)
	}
	if d := s.now.Sub(start); d > 45*time.Millisecond {
		t.Errorf("took %v", d)
	}
}

// Nonsense from a controller is clamped.
func TestControllerClamp(t *testing.T) {
	for _, w := range []int64{-5, 0, 1 << 62} {
		s := scriptConfig{synOpts: mssOnly, cc: nonsense(w), params: Params{MaxWindow: 20_000}}.open(t)
		if c := s.c.Info(s.now).Cwnd; c < 1460 || c > 20_000 {
			t.Errorf("cwnd %d", c)
		}
		if n := s.c.Info(s.now).ControllerFaults; n == 0 {
			t.Errorf("a window of %d is not counted", w)
		}
		s.write(3000) // and it goes on
		s.want(fACK, 1, 1, 1460)
	}
	// So are the other things that it says, and nothing that makes sense.
	for _, k := range []cc.Control{
		{Cwnd: 10_000, Ssthresh: -1},
		{Cwnd: 10_000, Ssthresh: 10_000, Pacing: -1},
		{Cwnd: 10_000, Ssthresh: 10_000, Quantum: -1},
		{Cwnd: 1460, Ssthresh: cc.NoThreshold, Pacing: 1e6, Quantum: 3000},
		{Cwnd: 1 << 30, Ssthresh: 1},
	} {
		s := scriptConfig{synOpts: mssOnly, cc: ruler(k)}.open(t)
		s.write(3000)
		s.want(fACK, 1, 1, 1460)
		s.recv(fACK, 1, 1461)
		wrong := k.Ssthresh < 0 || k.Pacing < 0 || k.Quantum < 0
		if i := s.c.Info(s.now); (i.ControllerFaults > 0) != wrong || i.PacingRate < 0 || i.Ssthresh < 0 {
			t.Errorf("%+v: %d counted, pacing %d, ssthresh %d", k, i.ControllerFaults, i.PacingRate, i.Ssthresh)
		}
	}
}

// ruler is a controller that always says the same.
type ruler cc.Control

func (ruler) Name() string                                 { return "ruler" }
func (r ruler) New(*cc.Env, string) (cc.Controller, error) { return r, nil }
func (ruler) OnAck(*cc.AckEvent)                           {}
func (ruler) OnCongestion(*cc.CongestionEvent)             {}
func (r ruler) Control() cc.Control                        { return cc.Control(r) }

type nonsense int64

func (nonsense) Name() string { return "nonsense" }
func (n nonsense) New(*cc.Env, string) (cc.Controller, error) {
	return fixedWindow(n), nil
}

var _ = wire.ACK

package tcp

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

var allOpts = wire.TCPOptions{HasMSS: true, MSS: 1460, HasWindowScale: true, WindowScale: 7, SACKPermitted: true, HasTimestamps: true}
var mssOnly = wire.TCPOptions{HasMSS: true, MSS: 1460}

// RFC 9293, section 3.10.7.2 and 3.10.7.4; MUST-14, SHLD-5, MUST-65, RFC 7323 2.2.
func TestPassiveOpen(t *testing.T) {
	s, cfg := scriptConfig{flow: api.FlowConfig{ReceiveBuffer: 1 << 20}}.start(t)
	s.ts = true
	syn := &Segment{TCP: wire.TCP{Flags: fSYN, Seq: s.irs, Window: 1000, Options: allOpts}}
	syn.TCP.Options.TSval = s.tsval()
	c, err := NewPassive(s.now, cfg, syn)
	if err != nil {
		t.Fatal(err)
	}
	s.c = c
	s.state(api.StateSynReceived)
	if !c.Passive() {
		t.Error("not passive (MUST-11)")
	}
	h := s.want(fSYN|fACK, 0, 1, 0)
	o := h.Options
	if !o.HasMSS || o.MSS != 1460 || !o.SACKPermitted || !o.HasWindowScale || o.WindowScale != 5 || !o.HasTimestamps || o.TSecr != s.tsval() {
		t.Errorf("options of the SYN-ACK: %+v", o)
	}
	if h.Window != 65535 {
		t.Errorf("window of the SYN-ACK is %d, want it unscaled", h.Window)
	}
	s.recv(fACK, 1, 1, win(50))
	s.state(api.StateEstablished)
	if w := c.Info(s.now).SendWindow; w != 50<<7 {
		t.Errorf("send window %d, want it scaled", w)
	}
	if e := c.TakeEvents(); e&EventEstablished == 0 {
		t.Errorf("events %b", e)
	}
	s.write(10)
	h = s.want(fACK, 1, 1, 10)
	if h.Options.HasMSS || h.Options.HasWindowScale || h.Options.SACKPermitted {
		t.Errorf("SYN options on data: %+v (MUST-65)", h.Options)
	}
	if !h.Options.HasTimestamps {
		t.Error("no timestamp (RFC 7323, section 3.2)")
	}
	if h.Window != 1<<20>>5 {
		t.Errorf("window %d", h.Window)
	}
}

// RFC 9293, section 3.10.7.3; RFC 7323: an option is used only if both sent it.
func TestActiveOpen(t *testing.T) {
	s := scriptConfig{}.dial(t)
	if o := s.out.TCP.Options; !o.HasMSS || !o.SACKPermitted || !o.HasWindowScale || !o.HasTimestamps || s.out.TCP.Window != 60000 {
		t.Errorf("SYN %+v", s.out.TCP)
	}
	s.advance(50 * time.Millisecond)
	s.recv(fSYN|fACK, 0, 1, func(g *Segment) { g.TCP.Options = mssOnly })
	s.state(api.StateEstablished)
	h := s.want(fACK, 1, 1, 0)
	if h.Options != (wire.TCPOptions{}) {
		t.Errorf("options nobody negotiated: %+v", h.Options)
	}
	i := s.c.Info(s.now)
	if i.SRTT != 50*time.Millisecond || i.SACK || i.Timestamps || i.SendWindowScale != -1 {
		t.Errorf("%+v", i)
	}
}

// MUST-15, MUST-16, security S12, case option-mss-small.
func TestMSS(t *testing.T) {
	for _, tc := range []struct {
		name string
		v6   bool
		opts wire.TCPOptions
		mtu  int64
		flow uint16
		want int
	}{
		{"default v4", false, wire.TCPOptions{}, 1500, 0, 536},
		{"default v6", true, wire.TCPOptions{}, 1500, 0, 1220},
		{"link", false, wire.TCPOptions{HasMSS: true, MSS: 9000}, 1500, 0, 1460},
		{"link v6", true, wire.TCPOptions{HasMSS: true, MSS: 9000}, 1500, 0, 1440},
		{"peer", false, wire.TCPOptions{HasMSS: true, MSS: 1000}, 1500, 0, 1000},
		{"small", false, wire.TCPOptions{HasMSS: true, MSS: 64}, 1500, 0, 64},
		{"zero", false, wire.TCPOptions{HasMSS: true}, 1500, 0, 48},
		{"one", false, wire.TCPOptions{HasMSS: true, MSS: 1}, 1500, 0, 48},
		{"flow", false, mssOnly, 1500, 700, 700},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := scriptConfig{v6: tc.v6, synOpts: tc.opts, mtu: tc.mtu, flow: api.FlowConfig{MSS: tc.flow}}.open(t)
			s.write(10000)
			s.want(fACK, 1, 1, tc.want)
		})
	}
	// Timestamps and SACK blocks come off the effective MSS (RFC 6691).
	o := mssOnly
	o.HasTimestamps, o.SACKPermitted = true, true
	s := scriptConfig{synOpts: o}.open(t)
	s.write(10000)
	s.want(fACK, 1, 1, 1448)
	s.recvData(fACK, 101, 1, pattern(10, 1))
	h := s.want(fACK, 1449, 1, 1436)
	if h.Options.SACKCount != 1 {
		t.Errorf("no SACK block: %+v", h.Options)
	}
}

// RFC 7323, section 2.3: shifts above 14 mean 14; section 2.2: not without ours.
func TestWindowScaleClamp(t *testing.T) {
	o := mssOnly
	o.HasWindowScale, o.WindowScale = true, 200
	s := scriptConfig{synOpts: o}.listen(t)
	s.recv(fACK, 1, 1, win(2))
	if w := s.c.Info(s.now).SendWindow; w != 2<<14 {
		t.Errorf("window %d", w)
	}
	s = scriptConfig{synOpts: o, params: Params{NoWindowScale: true}}.listen(t)
	s.recv(fACK, 1, 1, win(2))
	if w := s.c.Info(s.now).SendWindow; w != 2 {
		t.Errorf("window %d", w)
	}
}

// MUST-1: windows above 32767 are not negative.
func TestLargeWindow(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly, window: 65535}.open(t)
	if w := s.c.Info(s.now).SendWindow; w != 65535 {
		t.Errorf("window %d", w)
	}
}

// MUST-10: simultaneous open, as in RFC 9293, figure 8.
func TestSimultaneousOpen(t *testing.T) {
	for _, how := range []string{"syn-ack", "ack"} {
		s := scriptConfig{}.dial(t)
		s.recv(fSYN, 0, 0, func(g *Segment) { g.TCP.Options = mssOnly })
		s.state(api.StateSynReceived)
		h := s.want(fSYN|fACK, 0, 1, 0)
		if !h.Options.HasMSS {
			t.Error("no MSS on the SYN-ACK")
		}
		if how == "ack" {
			s.recv(fACK, 1, 1)
		} else {
			s.recv(fSYN|fACK, 0, 1)
		}
		s.state(api.StateEstablished)
	}
}

// Case synack-retransmit-options; MUST-22; security S02: at most six SYN-ACKs.
func TestSynAckRetransmission(t *testing.T) {
	s := scriptConfig{synOpts: allOpts}.listen(t)
	first := s.out.TCP.Options
	n := 1
	for s.c.State() != api.StateClosed {
		s.until()
		if s.c.State() == api.StateClosed {
			break
		}
		h := s.want(fSYN|fACK, 0, 1, 0)
		first.TSval = h.Options.TSval
		if h.Options != first {
			t.Fatalf("options changed: %+v", h.Options)
		}
		n++
	}
	if n != 6 {
		t.Errorf("%d SYN-ACKs", n)
	}
	s.none() // and no RST to an address nobody has verified
	if !errors.Is(s.c.CloseReason(), api.ErrTimeout) {
		t.Error(s.c.CloseReason())
	}
	s.clean()
}

// The user timeout of a listener's flows bounds their handshake, too.
func TestPassiveUserTimeout(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly, flow: api.FlowConfig{UserTimeout: 5 * time.Second}}.listen(t)
	start := s.now
	for s.c.State() != api.StateClosed {
		if s.until(); s.c.State() != api.StateClosed {
			s.want(fSYN|fACK, 0, 1, 0)
		}
	}
	if d := s.now.Sub(start); d != 5*time.Second {
		t.Errorf("given up after %v", d)
	}
}

// The peer's SYN again: the SYN-ACK was lost.
func TestSynAgain(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly}.listen(t)
	s.advance(900 * time.Millisecond)
	s.recv(fSYN, 0, 0)
	s.want(fSYN|fACK, 0, 1, 0)
	s.none()
	s.state(api.StateSynReceived)
}

// MUST-22, MUST-23, MUST-20, SHLD-9, O2: a dial retransmits with backoff and
// fails after three minutes.
func TestDialTimeout(t *testing.T) {
	s := scriptConfig{}.dial(t)
	start, want := s.now, time.Second
	soft := 0
	for {
		d := s.until()
		if s.c.State() == api.StateClosed {
			break
		}
		if d != want {
			t.Errorf("SYN after %v, want %v", d, want)
		}
		want = min(2*want, time.Minute)
		s.want(fSYN, 0, 0, 0)
		if s.c.TakeEvents()&EventError != 0 {
			soft++
		}
	}
	if d := s.now.Sub(start); d < 3*time.Minute || d > 4*time.Minute {
		t.Errorf("gave up after %v", d)
	}
	if soft != 1 {
		t.Errorf("%d soft errors, want one at R1", soft)
	}
	s.readErr(api.ErrTimeout)
	s.none()
	s.clean()

	// The user timeout bounds the handshake.
	s = scriptConfig{flow: api.FlowConfig{UserTimeout: 5 * time.Second}}.dial(t)
	start = s.now
	for s.c.State() != api.StateClosed {
		if s.until(); s.c.State() != api.StateClosed {
			s.want(fSYN, 0, 0, 0)
		}
	}
	if d := s.now.Sub(start); d != 5*time.Second {
		t.Errorf("gave up after %v", d)
	}
}

// RFC 9293, section 3.10.7.3, first and second checks; O2; SHLD-2.
func TestSynSentSegments(t *testing.T) {
	for _, ack := range []uint32{0, 2, 1 << 31} {
		s := scriptConfig{}.dial(t)
		s.recv(fACK, 7, ack)
		s.want(fRST, ack, 0, 0)
		s.state(api.StateSynSent)
		s.recv(fRST|fACK, 0, ack)
		s.none()
		s.state(api.StateSynSent)
	}
	s := scriptConfig{}.dial(t)
	s.recv(fRST, 0, 0)
	s.recv(fACK, 5, 1) // neither SYN nor RST
	s.recv(fFIN, 5, 1)
	s.none()
	s.state(api.StateSynSent)
	s.recvData(fRST|fACK, 0, 1, pattern(7, 1))
	s.state(api.StateClosed)
	s.readErr(api.ErrRefused)
	if err := s.c.WriteError(); !errors.Is(err, api.ErrClosed) || !errors.Is(err, api.ErrRefused) {
		t.Error(err)
	}
	s.none()
	s.clean()
}

// "If there are other controls or text in the segment, continue": data and FIN on
// the SYN-ACK.
func TestSynAckWithDataAndFin(t *testing.T) {
	s := scriptConfig{}.dial(t)
	s.recvData(fSYN|fACK|fFIN, 0, 1, pattern(5, 1), func(g *Segment) { g.TCP.Options = mssOnly })
	s.state(api.StateCloseWait)
	s.want(fACK, 1, 7, 0)
	same(t, s.read(5), pattern(5, 1))
	s.readErr(io.EOF)
}

// RFC 9293, section 3.10.7.2: data on a SYN are not lost.
func TestSynWithData(t *testing.T) {
	s, cfg := scriptConfig{}.start(t)
	g := s.segment(fSYN|fFIN, 0, 0, pattern(5, 1))
	c, err := NewPassive(s.now, cfg, g)
	if err != nil {
		t.Fatal(err)
	}
	s.c = c
	s.want(fSYN|fACK, 0, 1, 0)
	s.recvData(fACK, 1, 1, pattern(5, 1))
	same(t, s.read(5), pattern(5, 1))
}

// Case rst-syn-rcvd, MUST-11: only the exact RST ends a half-open connection, and
// it ends in LISTEN or as refused, depending on where it came from.
func TestSynReceivedReset(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly}.listen(t)
	s.recv(fRST|fACK, 5000, 77) // in the window, not exact
	s.want(fACK, 1, 1, 0)
	s.state(api.StateSynReceived)
	s.recv(fRST, 70000, 0)
	s.recv(fRST|fACK, 1<<31, 1)
	s.none()
	s.state(api.StateSynReceived)
	s.recv(fRST, 1, 0)
	s.state(api.StateClosed)
	s.none()

	s = scriptConfig{}.dial(t)
	s.recv(fSYN, 0, 0)
	s.want(fSYN|fACK, 0, 1, 0)
	s.recv(fRST, 1, 0)
	s.readErr(api.ErrRefused)
}

// Section 3.10.7.4, fourth: a SYN in the window of a half-open connection that was
// opened passively goes back to LISTEN. Fifth: an unacceptable ACK is reset.
func TestSynReceivedSynAndBadAck(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly}.listen(t)
	s.recv(fSYN, 100, 0)
	s.state(api.StateClosed)

	for _, ack := range []uint32{0, 2, 500000} {
		s = scriptConfig{synOpts: mssOnly}.listen(t)
		s.recv(fACK, 1, ack)
		s.want(fRST, ack, 0, 0)
		s.state(api.StateSynReceived)
		s.recv(fACK, 1, 1)
		s.state(api.StateEstablished)
	}
	// No ACK at all.
	s = scriptConfig{synOpts: mssOnly}.listen(t)
	s.recvData(0, 1, 0, pattern(3, 1))
	s.none()
	s.state(api.StateSynReceived)
}

// The ACK that completes the handshake may carry data and FIN.
func TestHandshakeAckWithData(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly}.listen(t)
	s.recvData(fACK|fFIN, 1, 1, pattern(100, 3))
	s.state(api.StateCloseWait)
	s.want(fACK, 1, 102, 0)
	same(t, s.read(100), pattern(100, 3))
	s.readErr(io.EOF)
}

// RFC 6298, (5.7), and RFC 5681, section 3.1: after the loss of a SYN.
func TestSynLoss(t *testing.T) {
	s := scriptConfig{cc: renoFactory{}}.dial(t)
	s.until()
	s.want(fSYN, 0, 0, 0)
	s.recv(fSYN|fACK, 0, 1, func(g *Segment) { g.TCP.Options = mssOnly })
	s.want(fACK, 1, 1, 0)
	if i := s.c.Info(s.now); i.RTO != 3*time.Second || i.Cwnd != 1460 || i.SRTT != 0 {
		t.Errorf("RTO %v, cwnd %d, SRTT %v", i.RTO, i.Cwnd, i.SRTT)
	}
}

// RFC 6928, section 2.
func TestInitialWindow(t *testing.T) {
	for mss, want := range map[uint16]int64{1460: 14600, 536: 5360, 8960: 17920} {
		s := scriptConfig{cc: renoFactory{}, mtu: 9000, synOpts: wire.TCPOptions{HasMSS: true, MSS: mss}}.open(t)
		if w := s.c.Info(s.now).Cwnd; w != want {
			t.Errorf("MSS %d: cwnd %d, want %d", mss, w, want)
		}
	}
}

// Written before the handshake is complete, sent after it; CLOSE too.
func TestWriteBeforeEstablished(t *testing.T) {
	s := scriptConfig{}.dial(t)
	s.write(10)
	s.c.CloseWrite(s.now)
	s.none()
	s.recv(fSYN|fACK, 0, 1, func(g *Segment) { g.TCP.Options = mssOnly })
	s.want(fACK|fFIN, 1, 1, 10)
	s.state(api.StateFinWait1)
}

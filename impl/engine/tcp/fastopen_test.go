package tcp

import (
	"encoding/hex"
	"errors"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

var goodCookie, _ = wire.MakeCookie([]byte("cookie!!"))

// dialFast opens actively with n bytes written beforehand, up to the SYN, which has want of
// them.
func (sc scriptConfig) dialFast(t testing.TB, d FastOpenDial, n, want int) *script {
	t.Helper()
	s, cfg := sc.start(t)
	cfg.FastOpen = &d
	c, err := NewActive(s.now, cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.c = c
	if n > 0 {
		s.write(n)
	}
	h := s.want(fSYN, 0, 0, want)
	o := h.Options.FastOpen
	switch {
	case d.NoOption || d.Off:
		if o.Present {
			t.Fatal("an option that should not be there")
		}
	case !o.Present || o.Cookie != d.Cookie || o.Experimental != d.Experimental:
		t.Fatalf("option %+v", o)
	}
	s.state(api.StateSynSent)
	s.none()
	return s
}

func synOpts(o wire.TCPOptions) func(*Segment) { return func(g *Segment) { g.TCP.Options = o } }

func withCookie(c wire.Cookie) wire.TCPOptions {
	o := wire.TCPOptions{HasMSS: true, MSS: 1460, SACKPermitted: true}
	o.FastOpen = wire.FastOpenOption{Present: true, Cookie: c}
	return o
}

func (s *script) fastOutcome() FastOpenOutcome {
	s.Helper()
	o, ok := s.c.TakeFastOpen()
	if !ok {
		s.Fatal("nothing to tell about Fast Open")
	}
	if _, again := s.c.TakeFastOpen(); again {
		s.Fatal("told twice")
	}
	return o
}

func (s *script) status(want FastOpenStatus) {
	s.Helper()
	if got := s.c.FastOpenStatus(); got != want {
		s.Fatalf("status %v, want %v", got, want)
	}
}

func TestFastOpenRequest(t *testing.T) {
	s := scriptConfig{params: Params{NoTimestamps: true}}.dialFast(t, FastOpenDial{}, 300, 0)
	s.recv(fSYN|fACK, 0, 1, synOpts(withCookie(goodCookie)))
	s.want(fACK, 1, 1, 300) // with the ACK, as ever
	s.status(FastOpenNoCookie)
	if o := s.fastOutcome(); o.Cookie != goodCookie || o.MSS != 1460 || o.Failed || o.Unanswered || !o.Established {
		t.Errorf("outcome %+v", o)
	}

	// Without an answer to the request.
	s = scriptConfig{params: Params{NoTimestamps: true}}.dialFast(t, FastOpenDial{}, 0, 0)
	s.recv(fSYN|fACK, 0, 1)
	if o := s.fastOutcome(); !o.Unanswered || o.Failed {
		t.Errorf("outcome %+v", o)
	}

	// The SYN with the option was lost.
	s = scriptConfig{params: Params{NoTimestamps: true}}.dialFast(t, FastOpenDial{}, 0, 0)
	s.until()
	if h := s.want(fSYN, 0, 0, 0); h.Options.FastOpen.Present {
		t.Error("the option is sent again")
	}
	s.recv(fSYN|fACK, 0, 1)
	if o := s.fastOutcome(); !o.Failed {
		t.Errorf("outcome %+v", o)
	}
}

func TestFastOpenUnaskedCookie(t *testing.T) {
	s := scriptConfig{params: Params{NoTimestamps: true}}.dialFast(t, FastOpenDial{NoOption: true}, 100, 100)
	s.recv(fSYN|fACK, 0, 101, synOpts(withCookie(goodCookie)))
	if o := s.fastOutcome(); o.Cookie.Len != 0 {
		t.Errorf("outcome %+v", o)
	}
}

func TestFastOpenData(t *testing.T) {
	for _, ts := range []bool{false, true} {
		sc := scriptConfig{params: Params{NoTimestamps: !ts}}
		sc.synOpts.HasTimestamps = ts
		s := sc.dialFast(t, FastOpenDial{Cookie: goodCookie, MSS: 1460}, 1000, 1000)
		s.status(FastOpenTried)
		if i := s.c.Info(s.now); i.UnackedSegments != 2 || i.FastOpen != "tried" {
			t.Errorf("%d unacknowledged segments, %q", i.UnackedSegments, i.FastOpen)
		}
		s.advance(50 * time.Millisecond)
		s.recvData(fSYN|fACK, 0, 1001, []byte("answer"), func(g *Segment) {
			g.TCP.Options.HasMSS, g.TCP.Options.MSS = true, 1400
			g.TCP.Options.HasWindowScale, g.TCP.Options.WindowScale = true, 7
		})
		s.state(api.StateEstablished)
		s.want(fACK, 1001, 7, 0)
		s.none()
		same(t, s.read(6), []byte("answer"))
		s.status(FastOpenAccepted)
		if o := s.fastOutcome(); o.Failed || o.Cookie.Len != 0 || o.MSS != 1400 {
			t.Errorf("outcome %+v", o)
		}
		if s.c.rtt.samples != 1 || s.c.rtt.srtt != 50*time.Millisecond {
			t.Errorf("%d samples, srtt %v", s.c.rtt.samples, s.c.rtt.srtt)
		}
		if w := s.c.sndWnd(); w != 65535 { // that of a SYN-ACK is not scaled
			t.Errorf("SND.WND %d", w)
		}
		if a := s.c.Acked(); a != 1000 {
			t.Errorf("acked %d", a)
		}
		if err := s.c.Check(); err != nil {
			t.Error(err)
		}
	}
}

func TestFastOpenSize(t *testing.T) {
	for _, x := range []struct {
		name string
		sc   scriptConfig
		mss  int64
		want int
	}{
		{"no MSS known", scriptConfig{}, 0, 536 - 40},
		{"no MSS known, IPv6", scriptConfig{v6: true}, 0, 1220 - 40},
		{"as announced", scriptConfig{}, 1000, 1000 - 40},
		{"jumbo", scriptConfig{mtu: 9000}, 8960, 1460 - 40},
		{"the path carries less", scriptConfig{mtu: 1000}, 1460, 1000 - 40 - 40},
		{"ours is less", scriptConfig{flow: api.FlowConfig{MSS: 700}}, 1460, 700 - 40},
		{"no room", scriptConfig{}, 40, 0},
	} {
		t.Run(x.name, func(t *testing.T) {
			d := FastOpenDial{Cookie: goodCookie, MSS: x.mss}
			s := x.sc.dialFast(t, d, 5000, x.want)
			s.recv(fSYN|fACK, 0, uint32(x.want)+1)
			s.want(fACK, uint32(x.want)+1, 1, int(s.c.mss)) // the rest
		})
	}
}

func TestFastOpenNoRoomForOption(t *testing.T) {
	long, _ := wire.MakeCookie(make([]byte, 16))
	sc := scriptConfig{params: Params{}}
	s, cfg := sc.start(t)
	cfg.FastOpen = &FastOpenDial{Cookie: long, Experimental: true, MSS: 1460}
	c, err := NewActive(s.now, cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.c = c
	s.write(100)
	h := s.want(fSYN, 0, 0, 100) // 20 and 20: it just fits
	if !h.Options.FastOpen.Present || h.HeaderLen() != 60 {
		t.Errorf("%+v, header of %d", h.Options.FastOpen, h.HeaderLen())
	}
}

func TestFastOpenNotAcked(t *testing.T) {
	for _, fresh := range []bool{false, true} {
		s := scriptConfig{params: Params{NoTimestamps: true}, cc: fixedFactory(10)}.dialFast(t, FastOpenDial{Cookie: goodCookie, MSS: 1460}, 2000, 1420)
		var mod []func(*Segment)
		other, _ := wire.MakeCookie([]byte("other!"))
		if fresh {
			mod = append(mod, synOpts(withCookie(other)))
		} else {
			mod = append(mod, synOpts(wire.TCPOptions{HasMSS: true, MSS: 1460}))
		}
		s.advance(30 * time.Millisecond)
		s.recv(fSYN|fACK, 0, 1, mod...)
		s.state(api.StateEstablished)
		s.want(fACK, 1, 1, 1420) // at once
		s.want(fACK, 1421, 1, 580)
		s.none()
		if s.c.cwnd != 10*1460 {
			t.Errorf("cwnd %d: that is no congestion", s.c.cwnd)
		}
		s.status(FastOpenNotAcked)
		o := s.fastOutcome()
		if o.Failed == fresh || fresh && o.Cookie != other {
			t.Errorf("outcome %+v", o)
		}
		if err := s.c.Check(); err != nil {
			t.Error(err)
		}
		s.recv(fACK, 1, 2001)
		if s.c.Acked() != 2000 {
			t.Errorf("acked %d", s.c.Acked())
		}
		s.clean()
	}
}

func TestFastOpenPartlyAcked(t *testing.T) {
	s := scriptConfig{params: Params{NoTimestamps: true}}.dialFast(t, FastOpenDial{Cookie: goodCookie, MSS: 1460}, 1000, 1000)
	s.recv(fSYN|fACK, 0, 401)
	s.want(fACK, 401, 1, 536)
	s.want(fACK, 937, 1, 64)
	s.none()
	s.recv(fACK, 1, 1001)
	if s.c.Acked() != 1000 {
		t.Errorf("acked %d", s.c.Acked())
	}
	if err := s.c.Check(); err != nil {
		t.Error(err)
	}
}

// The SYN with data is lost: section 4.2.2.
func TestFastOpenSynLost(t *testing.T) {
	for _, x := range []struct {
		name   string
		opts   wire.TCPOptions
		ack    uint32
		failed bool
		status FastOpenStatus
	}{
		{"answer to the plain SYN", wire.TCPOptions{HasMSS: true, MSS: 1460}, 1, true, FastOpenRetransmitted},
		{"late answer to the first", withCookie(goodCookie), 1, false, FastOpenRetransmitted},
		{"data acknowledged", wire.TCPOptions{HasMSS: true, MSS: 1460}, 501, false, FastOpenAccepted},
	} {
		t.Run(x.name, func(t *testing.T) {
			s := scriptConfig{params: Params{NoTimestamps: true}}.dialFast(t, FastOpenDial{Cookie: goodCookie, MSS: 1460}, 500, 500)
			if d := s.until(); d != time.Second {
				t.Errorf("SYN again after %v", d)
			}
			if h := s.want(fSYN, 0, 0, 0); h.Options.FastOpen.Present {
				t.Error("the option is sent again")
			}
			if i := s.c.Info(s.now); i.FastOpen != "retransmitted" {
				t.Errorf("info %q", i.FastOpen)
			}
			s.recv(fSYN|fACK, 0, x.ack, synOpts(x.opts))
			if x.ack == 1 {
				s.want(fACK, 1, 1, 500)
			} else {
				s.want(fACK, 501, 1, 0)
			}
			s.none()
			s.status(x.status)
			if o := s.fastOutcome(); o.Failed != x.failed {
				t.Errorf("outcome %+v", o)
			}
			if err := s.c.Check(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestFastOpenFailures(t *testing.T) {
	data := FastOpenDial{Cookie: goodCookie, MSS: 1460}
	for _, x := range []struct {
		name         string
		dial         FastOpenDial
		do           func(s *script)
		told, failed bool
	}{
		{"reset of data", data, func(s *script) { s.recv(fRST|fACK, 0, 501) }, true, true},
		{"reset of a request", FastOpenDial{}, func(s *script) { s.recv(fRST|fACK, 0, 1) }, false, false},
		{"ICMP", data, func(s *script) {
			s.c.ICMP(s.now, ICMPError{Kind: ICMPHard, Seq: s.iss, Err: api.ErrUnreachable})
		}, true, true},
		{"ICMP for a request", FastOpenDial{}, func(s *script) {
			s.c.ICMP(s.now, ICMPError{Kind: ICMPHard, Seq: s.iss, Err: api.ErrUnreachable})
		}, true, true},
		{"given up at once", data, func(s *script) { s.c.Abort(s.now, api.ErrAborted) }, false, false},
		{"given up after a loss", data, func(s *script) { s.until(); s.want(fSYN, 0, 0, 0); s.c.Abort(s.now, api.ErrAborted) }, true, true},
	} {
		t.Run(x.name, func(t *testing.T) {
			n := 500
			if x.dial.Cookie.Len == 0 {
				n = 0
			}
			s := scriptConfig{params: Params{NoTimestamps: true}}.dialFast(t, x.dial, 500, n)
			x.do(s)
			s.state(api.StateClosed)
			if o, ok := s.c.TakeFastOpen(); ok != x.told || o.Failed != x.failed || o.Established {
				t.Errorf("told %v %+v", ok, o)
			}
			s.clean()
		})
	}
}

func TestFastOpenNobodyAnswers(t *testing.T) {
	s := scriptConfig{params: Params{NoTimestamps: true}}.dialFast(t, FastOpenDial{Cookie: goodCookie, MSS: 1460}, 500, 500)
	for range 3 {
		s.until()
		s.want(fSYN, 0, 0, 0)
	}
	if o := s.fastOutcome(); !o.Failed || !o.Blackhole {
		t.Errorf("outcome %+v", o)
	}
	for s.c.State() != api.StateClosed {
		s.until()
		s.poll()
		s.done()
	}
	if !errors.Is(s.c.CloseReason(), api.ErrTimeout) {
		t.Error(s.c.CloseReason())
	}
	if o := s.fastOutcome(); !o.Failed {
		t.Errorf("outcome %+v", o)
	}
	s.clean()
}

func TestFastOpenSynTooBig(t *testing.T) {
	s := scriptConfig{params: Params{NoTimestamps: true}}.dialFast(t, FastOpenDial{Cookie: goodCookie, MSS: 1460}, 3000, 1420)
	s.c.ICMP(s.now, ICMPError{Kind: ICMPPacketTooBig, Seq: s.iss, MTU: 1000})
	s.want(fSYN, 0, 0, 0)
	s.none()
	s.recv(fSYN|fACK, 0, 1, synOpts(wire.TCPOptions{HasMSS: true, MSS: 1460}))
	s.want(fACK, 1, 1, 960)
	s.want(fACK, 961, 1, 460)
	s.want(fACK, 1421, 1, 960)
}

func TestFastOpenBlackholeAfterHandshake(t *testing.T) {
	s := scriptConfig{params: Params{NoTimestamps: true}}.dialFast(t, FastOpenDial{Cookie: goodCookie, MSS: 1460}, 500, 500)
	s.recv(fSYN|fACK, 0, 501)
	s.want(fACK, 501, 1, 0)
	s.fastOutcome()
	s.write(300)
	s.want(fACK, 501, 1, 300)
	for s.c.seldom.timeouts < 3 {
		s.until()
		for s.poll() {
			s.done()
		}
	}
	if o := s.fastOutcome(); !o.Failed || !o.Blackhole {
		t.Errorf("outcome %+v", o)
	}

	// A reset from beyond what has arrived.
	s = scriptConfig{params: Params{NoTimestamps: true}}.dialFast(t, FastOpenDial{Cookie: goodCookie, MSS: 1460}, 500, 500)
	s.recv(fSYN|fACK, 0, 501)
	s.want(fACK, 501, 1, 0)
	s.fastOutcome()
	s.recv(fRST, 101, 0)
	s.want(fACK, 501, 1, 0)
	if o := s.fastOutcome(); !o.Blackhole {
		t.Errorf("outcome %+v", o)
	}

	// And data show that there is none.
	s = scriptConfig{params: Params{NoTimestamps: true}}.dialFast(t, FastOpenDial{Cookie: goodCookie, MSS: 1460}, 500, 500)
	s.recv(fSYN|fACK, 0, 501)
	s.want(fACK, 501, 1, 0)
	s.fastOutcome()
	s.recvData(fACK, 1, 501, []byte("data"))
	s.recv(fRST, 5, 0)
	if o := s.fastOutcome(); o.Blackhole || !o.Transferred {
		t.Errorf("outcome %+v", o)
	}
}

// RFC 7413, section 4.2.2: "A special case is simultaneous open".
func TestFastOpenSimultaneous(t *testing.T) {
	for _, acked := range []uint32{0, 500} {
		s := scriptConfig{params: Params{NoTimestamps: true}}.dialFast(t, FastOpenDial{Cookie: goodCookie, MSS: 1460}, 500, 500)
		s.recv(fSYN, 0, 0)
		s.state(api.StateSynReceived)
		if h := s.want(fSYN|fACK, 0, 1, 0); h.Options.FastOpen.Present {
			t.Error("a SYN-ACK asks for a cookie")
		}
		s.recv(fSYN|fACK, 0, 1+acked)
		s.state(api.StateEstablished)
		if acked == 0 {
			s.want(fACK, 1, 1, 500)
		}
		if err := s.c.Check(); err != nil {
			t.Error(err)
		}
		if s.c.Acked() != uint64(acked) {
			t.Errorf("acked %d", s.c.Acked())
		}
	}
}

// listenFast opens passively by a SYN with data, up to the SYN-ACK.
func (sc scriptConfig) listenFast(t testing.TB, data string, fresh wire.FastOpenOption) *script {
	t.Helper()
	s, cfg := sc.start(t)
	g := &Segment{TCP: wire.TCP{SrcPort: 5555, DstPort: 80, Flags: fSYN, Seq: s.irs, Window: s.window, Options: sc.synOpts}, Len: int64(len(data))}
	if data != "" {
		g.Payload = []api.Buffer{*api.CopyBuffer([]byte(data))}
	}
	c, err := NewFastOpen(s.now, cfg, g, fresh)
	if err != nil {
		t.Fatal(err)
	}
	s.c = c
	s.state(api.StateSynReceived)
	if ev := c.TakeEvents(); ev&EventEstablished == 0 || data != "" && ev&EventRead == 0 {
		t.Fatalf("events %b", ev)
	}
	h := s.want(fSYN|fACK, 0, 1+uint32(len(data)), 0)
	if h.Options.FastOpen != fresh {
		t.Fatalf("option %+v", h.Options.FastOpen)
	}
	s.none()
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestFastOpenServer(t *testing.T) {
	s := scriptConfig{synOpts: wire.TCPOptions{HasMSS: true, MSS: 1000}}.listenFast(t, "request", wire.FastOpenOption{})
	same(t, s.read(7), []byte("request"))
	s.status(FastOpenAccepted)
	// The answer does not wait for the handshake.
	s.write(1500)
	s.want(fACK, 1, 8, 1000)
	s.want(fACK, 1001, 8, 500)
	s.none()
	s.state(api.StateSynReceived)
	if err := s.c.Check(); err != nil {
		t.Error(err)
	}
	s.advance(40 * time.Millisecond)
	s.recv(fACK, 8, 1001)
	s.state(api.StateEstablished)
	if s.c.Acked() != 1000 || s.c.FastOpening() {
		t.Errorf("acked %d", s.c.Acked())
	}
	if s.c.rtt.srtt != 40*time.Millisecond {
		t.Errorf("srtt %v", s.c.rtt.srtt)
	}
	s.recv(fACK, 8, 1501)
	if err := s.c.Check(); err != nil {
		t.Error(err)
	}
	s.c.CloseWrite(s.now)
	s.want(fFIN|fACK, 1501, 8, 0)
	s.recv(fFIN|fACK, 8, 1502)
	s.want(fACK, 1502, 9, 0)
	s.state(api.StateTimeWait)
	s.clean()
}

func TestFastOpenServerInitialWindow(t *testing.T) {
	s := scriptConfig{synOpts: wire.TCPOptions{HasMSS: true, MSS: 1000}, cc: fixedFactory(10)}.listenFast(t, "x", wire.FastOpenOption{})
	s.write(20000)
	for i := range uint32(10) {
		s.want(fACK, 1+1000*i, 2, 1000)
	}
	s.none()
}

func TestFastOpenServerWindow(t *testing.T) {
	s := scriptConfig{synOpts: wire.TCPOptions{HasMSS: true, MSS: 1000, HasWindowScale: true, WindowScale: 10}, window: 1500}.listenFast(t, "x", wire.FastOpenOption{})
	s.write(5000)
	s.want(fACK, 1, 2, 1000)
	s.none() // no more than the window of the SYN, which is not scaled
	s.recv(fACK, 2, 1, win(60))
	s.state(api.StateEstablished)
	for i := range uint32(4) {
		s.want(fACK, 1001+1000*i, 2, 1000)
	}
	// A window of nothing: the SYN-ACK is what is repeated.
	s = scriptConfig{synOpts: wire.TCPOptions{HasMSS: true, MSS: 1000}}.listenFast(t, "x", wire.FastOpenOption{})
	s.c.sndEdge = s.c.sndUna
	s.write(100)
	s.none()
	if err := s.c.Check(); err != nil {
		t.Error(err)
	}
	s.until()
	s.want(fSYN|fACK, 0, 2, 0)
	s.recv(fACK, 2, 1, win(1000))
	s.want(fACK, 1, 2, 100)
}

// The SYN-ACK is sent again with neither data nor the option; data wait for its ACK.
func TestFastOpenSynAckAgain(t *testing.T) {
	fresh := wire.FastOpenOption{Present: true, Cookie: goodCookie}
	s := scriptConfig{synOpts: wire.TCPOptions{HasMSS: true, MSS: 1000}, cc: fixedFactory(10)}.listenFast(t, "request", fresh)
	s.write(3000)
	for i := range uint32(3) {
		s.want(fACK, 1+1000*i, 8, 1000)
	}
	for n := range 2 {
		if d := s.until(); d != time.Second<<n {
			t.Errorf("after %v", d)
		}
		if h := s.want(fSYN|fACK, 0, 8, 0); h.Options.FastOpen.Present {
			t.Error("the option is sent again")
		}
		s.none()
	}
	// The SYN again, with its data, or without.
	s.advance(600 * time.Millisecond)
	for _, data := range []string{"request", ""} {
		g := s.segment(fSYN, 0, 0, []byte(data))
		s.c.Segment(s.now, g)
		s.want(fSYN|fACK, 0, 8, 0)
		s.none()
		s.advance(600 * time.Millisecond)
	}
	s.recv(fACK, 8, 1)
	s.state(api.StateEstablished)
	s.none()
	s.until()
	s.want(fACK, 1, 8, 1000) // by the RTO
	s.recv(fACK, 8, 3001)
	if s.c.Acked() != 3000 {
		t.Errorf("acked %d", s.c.Acked())
	}
	same(t, s.read(7), []byte("request"))
	if err := s.c.Check(); err != nil {
		t.Error(err)
	}
}

func TestFastOpenServerGivesUp(t *testing.T) {
	s := scriptConfig{}.listenFast(t, "request", wire.FastOpenOption{})
	n := 0
	for s.until(); s.c.State() != api.StateClosed; s.until() {
		s.want(fSYN|fACK, 0, 8, 0)
		n++
	}
	if n != maxSynAcks || !errors.Is(s.c.CloseReason(), api.ErrTimeout) {
		t.Errorf("%d SYN-ACKs, then %v", n, s.c.CloseReason())
	}
	s.none()
	s.clean()
}

func TestFastOpenServerReset(t *testing.T) {
	s := scriptConfig{}.listenFast(t, "request", wire.FastOpenOption{})
	s.recv(fRST, 9, 0) // not the next
	s.want(fACK, 1, 8, 0)
	s.recv(fSYN, 9, 0) // in the window: not the end of a connection that somebody has
	s.state(api.StateSynReceived)
	s.recv(fACK, 8, 77) // of what was never sent
	s.state(api.StateSynReceived)
	s.recv(fRST, 8, 0)
	s.state(api.StateClosed)
	if s.c.FastOpening() || !errors.Is(s.c.CloseReason(), api.ErrReset) {
		t.Error(s.c.CloseReason())
	}
	s.readErr(api.ErrReset)
	s.clean()
}

func TestFastOpenServerCloses(t *testing.T) {
	s := scriptConfig{}.listenFast(t, "request", wire.FastOpenOption{})
	s.read(7)
	s.write(10)
	s.c.CloseWrite(s.now)
	s.state(api.StateFinWait1)
	s.want(fFIN|fACK, 1, 8, 10)
	if err := s.c.Check(); err != nil {
		t.Error(err)
	}
	s.until()
	s.want(fSYN|fACK, 0, 8, 0)
	s.none()
	s.recv(fACK, 8, 1)
	s.state(api.StateFinWait1)
	if s.c.FastOpening() {
		t.Error("still opening")
	}
	s.until()
	s.want(fFIN|fACK, 1, 8, 10)
	s.recv(fACK, 8, 12)
	s.state(api.StateFinWait2)
	s.recv(fFIN|fACK, 8, 12)
	s.want(fACK, 12, 9, 0)
	s.state(api.StateTimeWait)
	s.readErr(io.EOF)
	s.clean()
}

func TestFastOpenServerAborts(t *testing.T) {
	s := scriptConfig{params: Params{Like: &Emulation{QuietHalfOpen: true}}}.listenFast(t, "request", wire.FastOpenOption{})
	s.c.Abort(s.now, api.ErrAborted)
	s.want(fRST|fACK, 1, 8, 0)
	s.clean()
	s = scriptConfig{}.listenFast(t, "request", wire.FastOpenOption{})
	s.c.Orphan(s.now) // with unread data
	s.want(fRST|fACK, 1, 8, 0)
	s.clean()
}

func TestFastOpenServerMemory(t *testing.T) {
	s, cfg := scriptConfig{}.start(t)
	s.budget.limit = 1
	g := &Segment{TCP: wire.TCP{SrcPort: 5555, DstPort: 80, Flags: fSYN, Seq: s.irs, Window: 1000}, Payload: []api.Buffer{*api.CopyBuffer([]byte("data"))}, Len: 4}
	c, err := NewFastOpen(s.now, cfg, g, wire.FastOpenOption{})
	if err != nil {
		t.Fatal(err)
	}
	s.c = c
	s.want(fSYN|fACK, 0, 1, 0) // what there is no memory for is not acknowledged
	s.clean()
}

// The same that Linux 6.18 has computed for the key
// 00000001-00000002-00000003-00000004.
func TestFastOpenCookie(t *testing.T) {
	key, _ := hex.DecodeString("01000000020000000300000004000000")
	k := ParseFastOpenKey(key)
	for _, x := range []struct{ server, client, want string }{
		{"192.168.0.2", "192.0.2.1", "d1702ef897e4f53c"},
		{"fd3d:fa7b:d17d::2", "2001:db8::1", "93bfebb89c04e62a"},
	} {
		c := k.Cookie(netip.MustParseAddr(x.server), netip.MustParseAddr(x.client))
		if got := hex.EncodeToString(c.Bytes()); got != x.want {
			t.Errorf("%s to %s: %s, want %s", x.client, x.server, got, x.want)
		}
	}
}

package host

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/impl/engine/tcp"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// fastLab is a lab whose port 80 has Fast Open with two places.
func fastLab(t testing.TB, edit func(*Config)) (*lab, *Listener) {
	t.Helper()
	l := newLab(t, func(c *Config) {
		c.Params.FastOpen = tcp.FastOpenParams{Client: true, Server: true}
		if edit != nil {
			edit(c)
		}
	})
	ln := &Listener{Port: 80, Flow: l.h.flow}
	ln.SetFastOpen(FastOpen{Pending: 2})
	l.h.Listen(ln)
	return l, ln
}

// option returns the Fast Open option of a packet, and of which kind it is.
func option(g gopacket.Packet) (cookie []byte, kind layers.TCPOptionKind) {
	for _, o := range g.Layer(layers.LayerTypeTCP).(*layers.TCP).Options {
		switch {
		case o.OptionType == 34:
			return append([]byte{}, o.OptionData...), 34
		case o.OptionType == 254 && bytes.HasPrefix(o.OptionData, []byte{0xf9, 0x89}):
			return append([]byte{}, o.OptionData[2:]...), 254
		}
	}
	return nil, 0
}

// one returns the only packet that is sent.
func (l *lab) one(want string) gopacket.Packet {
	l.t.Helper()
	out := l.run()
	if len(out) != 1 {
		l.t.Fatalf("%d packets, want one: %s", len(out), want)
	}
	tc := out[0].Layer(layers.LayerTypeTCP).(*layers.TCP)
	flags := ""
	for i, set := range []bool{tc.SYN, tc.FIN, tc.RST, tc.ACK} {
		if set {
			flags += string("SFRA"[i])
		}
	}
	if got := fmt.Sprintf("%s ack %d len %d", flags, tc.Ack, len(tc.Payload)); got != want {
		l.t.Fatalf("sent %s, want %s", got, want)
	}
	return out[0]
}

func (l *lab) cookie(sport uint16, exp bool) []byte {
	l.t.Helper()
	l.in(seg{flags: "S", seq: 100, sport: sport, fast: []byte{}, exp: exp})
	g := l.one("SA ack 101 len 0")
	c, kind := option(g)
	if want := (map[bool]layers.TCPOptionKind{false: 34, true: 254})[exp]; kind != want || len(c) != 8 {
		l.t.Fatalf("option %d with %x", kind, c)
	}
	l.in(seg{flags: "R", seq: 101, sport: sport})
	l.run()
	return c
}

func TestFastOpenHandshake(t *testing.T) {
	for _, exp := range []bool{false, true} {
		l, ln := fastLab(t, nil)
		cookie := l.cookie(1000, exp)
		if len(l.conns) != 0 || l.h.Stats().HalfOpen != 0 {
			t.Fatal("a connection")
		}
		l.in(seg{flags: "S", seq: 200, sport: 1001, fast: cookie, exp: exp, data: "hello"})
		g := l.one("SA ack 206 len 0")
		if _, kind := option(g); kind != 0 {
			t.Error("a cookie for who has one")
		}
		if len(l.conns) != 1 || ln.FastPending() != 1 || l.h.Stats().HalfOpen != 0 {
			t.Fatalf("%d connections, %d pending", len(l.conns), ln.FastPending())
		}
		c := l.conns[0]
		b, err := c.Read(l.now)
		if err != nil || string(b.Bytes()) != "hello" {
			t.Fatal(b, err)
		}
		if _, err := c.Write(l.now, []*api.Buffer{api.CopyBuffer([]byte("world!"))}, tcp.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
		l.h.Touch(l.now, c)
		l.one("A ack 206 len 6")
		iss := g.Layer(layers.LayerTypeTCP).(*layers.TCP).Seq
		l.in(seg{flags: "A", seq: 206, ack: iss + 7, sport: 1001})
		l.run()
		if c.State() != api.StateEstablished || ln.FastPending() != 0 || c.Acked() != 6 {
			t.Errorf("%v, %d pending", c.State(), ln.FastPending())
		}
		if s := l.h.Stats(); s.FastAccepted != 1 || s.Accepted != 1 {
			t.Errorf("%+v", s)
		}
		if err := l.h.Check(); err != nil {
			t.Error(err)
		}
	}
}

func TestFastOpenWrongCookie(t *testing.T) {
	l, ln := fastLab(t, nil)
	good := l.cookie(1000, false)
	bad := append([]byte(nil), good...)
	bad[3] ^= 1
	for i, c := range [][]byte{bad, good[:4], append(good[:8:8], 0, 0)} {
		sport := uint16(2000 + i)
		l.in(seg{flags: "S", seq: 200, sport: sport, fast: c, data: "hello"})
		g := l.one("SA ack 201 len 0") // the SYN alone
		if got, _ := option(g); !bytes.Equal(got, good) {
			t.Errorf("%x: cookie %x", c, got)
		}
		if len(l.conns) != 0 || ln.FastPending() != 0 {
			t.Fatal("a connection")
		}
		// And the plain handshake goes on, with the data sent again.
		iss := g.Layer(layers.LayerTypeTCP).(*layers.TCP).Seq
		l.in(seg{flags: "A", seq: 201, ack: iss + 1, sport: sport, data: "hello"})
		l.run()
		if len(l.conns) != 1 {
			t.Fatal("no connection")
		}
		l.conns = nil
	}
	// Another's cookie.
	l.in(seg{src: netip.MustParseAddr("10.0.0.3"), flags: "S", seq: 200, fast: good, data: "hello"})
	l.one("SA ack 201 len 0")
}

func TestFastOpenOff(t *testing.T) {
	for name, edit := range map[string]func(*Config, *Listener){
		"stack":    func(c *Config, _ *Listener) { c.Params.FastOpen.Server = false },
		"listener": func(_ *Config, ln *Listener) { ln.SetFastOpen(FastOpen{}) },
	} {
		t.Run(name, func(t *testing.T) {
			other, _ := fastLab(t, nil)
			cookie := other.cookie(1000, false)
			l, ln := fastLab(t, nil)
			edit(&l.h.cfg, ln)
			l.h.SetParams(l.h.cfg.Params)
			for _, c := range [][]byte{{}, cookie} {
				l.in(seg{flags: "S", seq: 200, sport: 2000 + uint16(len(c)), fast: c, data: "hello"})
				if got, kind := option(l.one("SA ack 201 len 0")); kind != 0 {
					t.Errorf("cookie %x", got)
				}
			}
		})
	}
}

func TestFastOpenWithoutCookie(t *testing.T) {
	l, ln := fastLab(t, nil)
	l.in(seg{flags: "S", seq: 200, data: "hello"})
	l.one("SA ack 201 len 0")
	ln.SetFastOpen(FastOpen{Pending: 2, NoCookie: true})
	l.in(seg{flags: "S", seq: 200, sport: 1001, data: "hello"})
	l.one("SA ack 206 len 0")
	l.in(seg{flags: "S", seq: 200, sport: 1002}) // neither data nor option: nothing to do with it
	l.one("SA ack 201 len 0")
	if len(l.conns) != 1 {
		t.Errorf("%d connections", len(l.conns))
	}
}

// Section 5.1: beyond the limit there is only the plain handshake; what a reset has
// ended still counts for a while.
func TestFastOpenPending(t *testing.T) {
	l, ln := fastLab(t, nil)
	cookie := l.cookie(1000, false)
	syn := func(sport uint16, ack uint32) {
		t.Helper()
		l.in(seg{flags: "S", seq: 200, sport: sport, fast: cookie, data: "hello"})
		g := l.one(fmt.Sprintf("SA ack %d len 0", ack))
		if _, kind := option(g); kind != 0 {
			t.Error("an option")
		}
	}
	syn(1001, 206)
	syn(1002, 206)
	syn(1003, 201)
	if ln.FastPending() != 2 {
		t.Fatalf("%d pending", ln.FastPending())
	}
	l.in(seg{flags: "R", seq: 206, sport: 1001})
	l.run()
	l.advance(resetHold / 2)
	l.run()
	syn(1004, 201)
	l.advance(resetHold / 2)
	l.run()
	syn(1005, 206)

	// A listener that is full, or a stack, takes no data either.
	l, ln = fastLab(t, func(c *Config) { c.Budget = &Budget{FlowLimit: 1} })
	cookie = l.cookie(1000, false)
	syn(1001, 206)
	l.in(seg{flags: "S", seq: 200, sport: 1002, fast: cookie, data: "hello"})
	if out := l.run(); len(out) != 0 {
		t.Error(out)
	}
	if ln.FastPending() != 1 {
		t.Errorf("%d pending", ln.FastPending())
	}
}

// The end of what nobody completes gives its place back.
func TestFastOpenPendingEnds(t *testing.T) {
	l, ln := fastLab(t, nil)
	cookie := l.cookie(1000, false)
	l.in(seg{flags: "S", seq: 200, sport: 1001, fast: cookie, data: "hello"})
	l.one("SA ack 206 len 0")
	for range 20 {
		l.advance(time.Minute)
		l.run()
	}
	if ln.FastPending() != 0 || l.h.Stats().Conns != 0 || l.h.budget.Flows() != 0 || l.h.budget.Memory() != 0 {
		t.Errorf("%d pending, %+v", ln.FastPending(), l.h.Stats())
	}
}

// Keys follow one another: the cookies of the last are taken, and replaced.
func TestFastOpenKeys(t *testing.T) {
	l, _ := fastLab(t, nil)
	first := l.cookie(1000, false)
	l.advance(keyLife)
	second := l.cookie(1001, false)
	if bytes.Equal(first, second) {
		t.Fatal("the key does not change")
	}
	l.in(seg{flags: "S", seq: 200, sport: 1002, fast: first, data: "hello"})
	if got, _ := option(l.one("SA ack 206 len 0")); !bytes.Equal(got, second) {
		t.Errorf("cookie %x", got)
	}
	l.advance(keyLife)
	l.run()
	l.in(seg{flags: "S", seq: 200, sport: 1003, fast: first, data: "hello"})
	l.one("SA ack 201 len 0")

	// Given ones stay.
	keys := []tcp.FastOpenKey{{1, 2}, {3, 4}}
	l, ln := fastLab(t, func(c *Config) { c.Params.FastOpen.Keys = keys })
	want := keys[0].Cookie(us4, peer4)
	if got := l.cookie(1000, false); !bytes.Equal(got, want.Bytes()) {
		t.Errorf("cookie %x, want %x", got, want.Bytes())
	}
	old := keys[1].Cookie(us4, peer4)
	l.in(seg{flags: "S", seq: 200, sport: 1002, fast: old.Bytes(), data: "hello"})
	if got, _ := option(l.one("SA ack 206 len 0")); !bytes.Equal(got, want.Bytes()) {
		t.Errorf("cookie %x", got)
	}
	ln.SetFastOpen(FastOpen{Pending: 5, Keys: keys[1:]})
	if got := l.cookie(1001, false); !bytes.Equal(got, old.Bytes()) {
		t.Errorf("cookie %x", got)
	}
}

// A flood without cookies does not come near the connections with one, nor these the
// SYN queue.
func TestFastOpenInFlood(t *testing.T) {
	l, ln := fastLab(t, nil)
	cookie := l.cookie(1000, false)
	ln.HalfOpen = 4
	for i := range uint16(20) {
		l.in(seg{flags: "S", seq: 1, sport: 3000 + i})
	}
	l.run()
	l.in(seg{flags: "S", seq: 200, sport: 1001, fast: cookie, data: "hello"})
	l.one("SA ack 206 len 0")
	if l.h.Stats().HalfOpen != 4 {
		t.Errorf("%d half-open", l.h.Stats().HalfOpen)
	}
}

// ---- client ----

func (l *lab) dialFast(port uint16, data string) *tcp.Conn {
	l.t.Helper()
	c, err := l.h.DialFast(l.now, netip.AddrPortFrom(us4, port), netip.AddrPortFrom(peer4, 443), nil, nil, false)
	if err != nil {
		l.t.Fatal(err)
	}
	if data != "" {
		if _, err := c.Write(l.now, []*api.Buffer{api.CopyBuffer([]byte(data))}, tcp.WriteOptions{}); err != nil {
			l.t.Fatal(err)
		}
	}
	return c
}

// answer sends a SYN-ACK for the SYN g, which acknowledges n bytes of data.
func (l *lab) answer(g gopacket.Packet, n uint32, cookie []byte) {
	s := g.Layer(layers.LayerTypeTCP).(*layers.TCP)
	l.in(seg{flags: "SA", seq: 500, ack: s.Seq + 1 + n, sport: 443, dport: uint16(s.SrcPort), mss: 1400, fast: cookie})
}

func TestFastOpenClient(t *testing.T) {
	l, _ := fastLab(t, nil)
	remote := netip.AddrPortFrom(peer4, 443)
	room := func(want int64) {
		t.Helper()
		n, ok := l.h.SynData(l.now, netip.Addr{}, remote, nil, false)
		if n != want || ok != (want > 0) {
			t.Errorf("room %d %v, want %d", n, ok, want)
		}
	}
	room(0)
	l.dialFast(2000, "first")
	g := l.one("S ack 0 len 0")
	if c, kind := option(g); kind != 34 || len(c) != 0 {
		t.Fatalf("option %d %x", kind, c)
	}
	cookie := []byte("abcdefgh")
	l.answer(g, 0, cookie)
	l.one("A ack 501 len 5")
	room(1360)

	c := l.dialFast(2001, "second")
	g = l.one("S ack 0 len 6")
	if got, _ := option(g); !bytes.Equal(got, cookie) {
		t.Errorf("cookie %x", got)
	}
	newer := []byte("01234567")
	l.answer(g, 6, newer) // it is replaced
	l.one("A ack 501 len 0")
	if c.Acked() != 6 || l.h.Stats().FastOpened != 1 {
		t.Errorf("%d acknowledged", c.Acked())
	}
	l.dialFast(2002, "third")
	g = l.one("S ack 0 len 5")
	if got, _ := option(g); !bytes.Equal(got, newer) {
		t.Errorf("cookie %x", got)
	}
	// A plain dial has nothing of it.
	if _, err := l.h.Dial(l.now, netip.AddrPortFrom(us4, 2003), remote, nil, nil); err != nil {
		t.Fatal(err)
	}
	if _, kind := option(l.one("S ack 0 len 0")); kind != 0 {
		t.Error("an option on a plain SYN")
	}
	// Another server does not get that cookie.
	if n, ok := l.h.SynData(l.now, netip.Addr{}, netip.MustParseAddrPort("10.0.0.9:443"), nil, false); ok {
		t.Errorf("room %d", n)
	}
	// Another port of the same does.
	if _, ok := l.h.SynData(l.now, netip.Addr{}, netip.AddrPortFrom(peer4, 80), nil, false); !ok {
		t.Error("a cookie is for an address, not a port")
	}
	l.h.params.FastOpen.Client = false
	room(0)
}

// Section 4.1.3.1.
func TestFastOpenLeavesPathAlone(t *testing.T) {
	remote := netip.AddrPortFrom(peer4, 443)
	l, _ := fastLab(t, func(c *Config) { c.Params.FastOpen.Quiet = time.Minute })
	l.dialFast(2000, "")
	l.answer(l.one("S ack 0 len 0"), 0, []byte("abcdefgh"))
	l.run()
	l.dialFast(2001, "data")
	l.answer(l.one("S ack 0 len 4"), 0, nil) // not taken
	l.one("A ack 501 len 4")
	if _, ok := l.h.SynData(l.now, netip.Addr{}, remote, nil, false); ok {
		t.Error("the path is not left alone")
	}
	if _, ok := l.h.SynData(l.now, netip.Addr{}, netip.AddrPortFrom(peer4, 80), nil, false); !ok {
		t.Error("another port is left alone, too")
	}
	l.dialFast(2002, "data")
	if _, kind := option(l.one("S ack 0 len 0")); kind != 0 {
		t.Error("the option is tried again at once")
	}
	l.advance(time.Minute)
	l.run()
	if _, ok := l.h.SynData(l.now, netip.Addr{}, remote, nil, false); !ok {
		t.Error("the path is left alone for ever")
	}
}

func TestFastOpenPause(t *testing.T) {
	var f FastOpenServers
	p := &tcp.FastOpenParams{Client: true, Pause: time.Minute, Quiet: -1}
	a, b := netip.MustParseAddrPort("10.0.0.1:1"), netip.MustParseAddrPort("10.0.0.2:2")
	cookie, _ := wire.MakeCookie([]byte("abcd"))
	f.learn(0, p, a, b, &tcp.FastOpenOutcome{Established: true, Cookie: cookie, MSS: 1000})
	l := &lab{t: t}
	off := func(want bool) {
		t.Helper()
		if d := f.dial(l.now, p, a, b, false); d.Off != want {
			t.Errorf("off %v, want %v", d.Off, want)
		}
	}
	off(false)
	for i := range 9 {
		f.learn(l.now, p, a, b, &tcp.FastOpenOutcome{Failed: true, Blackhole: true})
		d := time.Minute << min(i, 6)
		l.now = l.now.Add(d - 1)
		off(true)
		l.now++
		off(false)
	}
	f.learn(l.now, p, a, b, &tcp.FastOpenOutcome{Transferred: true})
	f.learn(l.now, p, a, b, &tcp.FastOpenOutcome{Failed: true, Blackhole: true})
	l.now = l.now.Add(time.Minute)
	off(false)
}

func TestFastOpenTryExperimental(t *testing.T) {
	var f FastOpenServers
	p := &tcp.FastOpenParams{Client: true, Quiet: -1, TryExperimental: true}
	a, b := netip.MustParseAddrPort("10.0.0.1:1"), netip.MustParseAddrPort("10.0.0.2:2")
	for _, want := range []bool{false, true, false, false} {
		if d := f.dial(0, p, a, b, false); d.Experimental != want {
			t.Errorf("experimental %v, want %v", d.Experimental, want)
		}
		f.learn(0, p, a, b, &tcp.FastOpenOutcome{Established: true, Unanswered: true})
	}
}

func TestFastOpenServersBounded(t *testing.T) {
	var f FastOpenServers
	p := &tcp.FastOpenParams{Client: true}
	a := netip.MustParseAddrPort("10.0.0.1:1")
	cookie, _ := wire.MakeCookie([]byte("abcd"))
	for i := range 3 * maxFastServers {
		b := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 1)
		for range 2 {
			f.learn(0, p, a, b, &tcp.FastOpenOutcome{Established: true, Failed: true, Cookie: cookie})
		}
	}
	if len(f.known) > maxFastServers || len(f.order) > maxFastServers || len(f.quiet) > maxQuietPaths || len(f.quiets) > maxQuietPaths {
		t.Errorf("%d servers, %d paths", len(f.known), len(f.quiet))
	}
}

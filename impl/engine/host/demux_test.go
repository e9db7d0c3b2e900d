package host

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket/layers"
	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/impl/engine/tcp"
)

// TestResets is RFC 9293, section 3.10.7.1: what a closed port answers.
func TestResets(t *testing.T) {
	for _, test := range []struct {
		in   seg
		want string
	}{
		{seg{flags: "S", seq: 100}, "RA seq 0 ack 101 len 0"},
		{seg{flags: "S", seq: 100, data: "abc"}, "RA seq 0 ack 104 len 0"},
		{seg{flags: "F", seq: 100, data: "abc"}, "RA seq 0 ack 104 len 0"},
		{seg{flags: "SF", seq: 0xffffffff, data: "abc"}, "RA seq 0 ack 4 len 0"},
		{seg{flags: "", seq: 100, data: "0123456789"}, "RA seq 0 ack 110 len 0"},
		{seg{flags: "A", seq: 100, ack: 7}, "R seq 7 ack 0 len 0"},
		{seg{flags: "SA", seq: 100, ack: 7}, "R seq 7 ack 0 len 0"},
		{seg{flags: "FA", seq: 100, ack: 7, data: "0123456789"}, "R seq 7 ack 0 len 0"},
		{seg{flags: "R", seq: 100}, ""},
		{seg{flags: "RA", seq: 100, ack: 7}, ""},
	} {
		for _, src := range []netip.Addr{peer4, peer6} {
			l := newLab(t, nil)
			test.in.src = src
			test.in.dst = netip.Addr{}
			l.in(test.in)
			dst := us4
			if src.Is6() {
				dst = us6
			}
			if test.want == "" {
				l.want()
			} else {
				l.want(dst.String() + ".80 > " + src.String() + ".1000 " + test.want)
			}
			if l.drops(api.DropNoListener) != 1 {
				t.Errorf("%+v: not counted", test.in)
			}
		}
	}
}

// TestListenRules is RFC 9293, section 3.10.7.2: what a listener makes of what is
// no SYN.
func TestListenRules(t *testing.T) {
	for _, test := range []struct {
		in     seg
		want   string
		reason api.DropReason
	}{
		{seg{flags: "R"}, "", api.DropReset},
		{seg{flags: "RA", ack: 7}, "", api.DropReset},
		{seg{flags: "SR"}, "", api.DropReset},
		{seg{flags: "A", ack: 7, data: "x"}, "R seq 7 ack 0 len 0", api.DropNoListener},
		{seg{flags: "SA", ack: 7}, "R seq 7 ack 0 len 0", api.DropNoListener},
		{seg{flags: ""}, "", api.DropNoAck},
		{seg{flags: "F"}, "", api.DropNoAck},
		{seg{flags: "SF"}, "", api.DropSyn},
	} {
		l := newLab(t, nil)
		l.listen(nil)
		l.in(test.in)
		if test.want == "" {
			l.want()
		} else {
			l.want("10.0.0.1.80 > 10.0.0.2.1000 " + test.want)
		}
		if l.drops(test.reason) != 1 {
			t.Errorf("%+v: not counted as %v: %v", test.in, test.reason, l.h.Stats().Drops)
		}
		l.wantEmpty()
	}
}

// TestBadPackets: nothing that is malformed, or comes from where nothing can, gets
// an answer or leaves anything behind (S40; MUST-3, MUST-57, MUST-63).
func TestBadPackets(t *testing.T) {
	good := seg{flags: "S", seq: 1, data: "x"}.bytes(t)
	flip := func(i int) []byte { b := bytes.Clone(good); b[i] ^= 1; return b }
	from := func(src, dst string) []byte {
		return seg{flags: "S", src: netip.MustParseAddr(src), dst: netip.MustParseAddr(dst)}.bytes(t)
	}
	for _, test := range []struct {
		name   string
		b      []byte
		reason api.DropReason
	}{
		{"TCP checksum", flip(30), api.DropTCPChecksum},
		{"payload", flip(len(good) - 1), api.DropTCPChecksum},
		{"IP checksum", flip(9), api.DropIPChecksum},
		{"empty", nil, api.DropTruncated},
		{"cut short", good[:len(good)-1], api.DropTruncated},
		{"TCP header cut short", serialize(t, ipTo(peer4, us4, 6)), api.DropTCPHeader},
		{"version", append([]byte{0x15}, good[1:]...), api.DropIPHeader},
		{"for another", from("10.0.0.2", "10.0.0.3"), api.DropNotForUs},
		{"to the network's broadcast", from("10.0.0.2", "10.0.0.255"), api.DropNotForUs},
		{"to all", from("10.0.0.2", "255.255.255.255"), api.DropNotForUs},
		{"to a multicast", from("10.0.0.2", "224.0.0.1"), api.DropNotForUs},
		{"to a multicast, IPv6", from("fd00::2", "ff02::1"), api.DropNotForUs},
		{"from nowhere", from("0.0.0.0", "10.0.0.1"), api.DropMartian},
		{"from loopback", from("127.0.0.1", "10.0.0.1"), api.DropMartian},
		{"from a multicast", from("224.0.0.1", "10.0.0.1"), api.DropMartian},
		{"from class E", from("250.0.0.1", "10.0.0.1"), api.DropMartian},
		{"from all", from("255.255.255.255", "10.0.0.1"), api.DropMartian},
		{"from the network's broadcast", from("10.0.0.255", "10.0.0.1"), api.DropMartian},
		{"LAND", from("10.0.0.1", "10.0.0.1"), api.DropMartian},
		{"LAND, IPv6", from("fd00::1", "fd00::1"), api.DropMartian},
		{"from ::", from("::", "fd00::1"), api.DropMartian},
		{"from ::1", from("::1", "fd00::1"), api.DropMartian},
		{"from ff02::1", from("ff02::1", "fd00::1"), api.DropMartian},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newLab(t, nil)
			l.listen(nil)
			l.packet(test.b)
			l.want()
			if l.drops(test.reason) != 1 {
				t.Errorf("not counted as %v: %v", test.reason, l.h.Stats().Drops)
			}
			l.wantEmpty()
		})
	}
}

// TestLinkPadding: what the link carries beyond the packet is not data.
func TestLinkPadding(t *testing.T) {
	for _, src := range []netip.Addr{peer4, peer6} {
		l := newLab(t, nil)
		l.listen(nil)
		iss := l.connect(seg{src: src, seq: 100})
		l.packet(append(seg{src: src, flags: "PA", seq: 101, ack: iss + 1, data: "hi"}.bytes(t), "padding"...))
		l.run()
		if b, err := l.conns[0].Read(l.now); err != nil || string(b.Bytes()) != "hi" {
			t.Errorf("read %q, %v", b.Bytes(), err)
		}
	}
}

// TestBuffers: however a link lays a packet out, the same bytes arrive, and
// nothing refers to a header that is not ours to keep.
func TestBuffers(t *testing.T) {
	data := strings.Repeat("0123456789", 30)
	for cut1 := 0; cut1 <= 1; cut1++ {
		for _, headerLen := range []int{0, 40, 41, 100} {
			for _, second := range []int{0, 1, 7, 150} {
				l := newLab(t, nil)
				l.listen(nil)
				iss := l.connect(seg{seq: 100})
				b := append(seg{flags: "PA", seq: 101, ack: iss + 1, data: data}.bytes(t), "padding"...)
				p := link.Packet{Header: bytes.Clone(b[:headerLen])}
				rest := b[headerLen:]
				if headerLen == 0 { // headers at the beginning of Payload[0]
					p.Payload = append(p.Payload, *api.CopyBuffer(rest[:60]))
					rest = rest[60:]
				}
				if second > 0 {
					p.Payload = append(p.Payload, *api.CopyBuffer(rest[:second]))
					rest = rest[second:]
				}
				p.Payload = append(p.Payload, *api.CopyBuffer(rest))
				l.h.Packet(l.now, &p)
				for i := range p.Header {
					p.Header[i] = 0xff // valid during the call only
				}
				l.run()
				var got []byte
				for {
					r, err := l.conns[0].Read(l.now)
					if err != nil {
						break
					}
					got = append(got, r.Bytes()...)
					r.Release()
				}
				if string(got) != data {
					t.Errorf("header %d, second %d: read %d bytes, %q", headerLen, second, len(got), got)
				}
			}
		}
	}
}

// TestAccept: a handshake from the wire, data both ways, and the close; the
// record in TIME-WAIT goes by itself.
func TestAccept(t *testing.T) {
	for _, src := range []netip.Addr{peer4, peer6} {
		l := newLab(t, nil)
		ln := l.listen(nil)
		iss := l.connect(seg{src: src, seq: 100})
		if len(l.conns) != 1 || l.conns[0].User != nil || ln.unfinished.Load() != 1 || l.h.Stats().Accepted != 1 {
			t.Fatalf("%d accepted, %d unfinished", len(l.conns), ln.unfinished.Load())
		}
		c := l.conns[0]
		if c.Local() != netip.AddrPortFrom(l.h.routesOf(src), 80) || c.Remote() != netip.AddrPortFrom(src, 1000) {
			t.Errorf("%v - %v", c.Local(), c.Remote())
		}
		if _, err := c.Write(l.now, []*api.Buffer{api.NewBuffer([]byte("hello"))}, tcp.WriteOptions{NoDelay: true}); err != nil {
			t.Fatal(err)
		}
		c.CloseWrite(l.now)
		l.h.Touch(l.now, c)
		out := l.run()
		last := tcpOf(t, out[len(out)-1])
		if !last.FIN || string(tcpOf(t, out[0]).Payload) != "hello" {
			t.Fatalf("sent %v", out)
		}
		l.in(seg{src: src, flags: "FA", seq: 101, ack: iss + 7})
		if f := l.only(); !f.ACK || f.Ack != 102 {
			t.Fatalf("answer to FIN: %+v", f)
		}
		ln.Finished()
		s := l.h.Stats()
		if s.Conns != 0 || s.TimeWait != 1 || ln.unfinished.Load() != 0 {
			t.Errorf("%d conns, %d in TIME-WAIT", s.Conns, s.TimeWait)
		}
		for info := range l.h.TimeWaits(l.now) {
			if info.State != api.StateTimeWait || info.Src != c.Local() || info.Dst != c.Remote() || info.TimerLeft <= 0 {
				t.Errorf("%+v", info)
			}
		}
		if _, err := c.Read(l.now); err != io.EOF {
			t.Errorf("read %v", err)
		}
		l.wantEmpty()
		l.advance(59 * time.Second)
		if l.h.Stats().TimeWait != 1 {
			t.Error("TIME-WAIT cut short (MUST-13)")
		}
		l.advance(2 * time.Second)
		if l.h.Stats().TimeWait != 0 || l.h.Deadline() != clock.Never {
			t.Errorf("TIME-WAIT for ever, deadline %v", l.h.Deadline())
		}
		l.want()
	}
}

func (h *Host) routesOf(peer netip.Addr) netip.Addr {
	a, err := h.Route(peer, netip.Addr{})
	if err != nil {
		panic(err)
	}
	return a
}

// timeWaiting brings a connection of the peer into TIME-WAIT, and returns our ISS.
func (l *lab) timeWaiting(s seg) (iss uint32) {
	l.t.Helper()
	n := len(l.conns)
	iss = l.connect(s)
	c := l.conns[n]
	c.CloseWrite(l.now)
	l.h.Touch(l.now, c)
	l.only()
	s.flags, s.seq, s.ack = "FA", s.seq+1, iss+2
	l.in(s)
	l.only()
	return iss
}

// TestTimeWait: RFC 1337 and RFC 6191, on the wire (S21).
func TestTimeWait(t *testing.T) {
	l := newLab(t, nil)
	l.listen(nil)
	iss := l.timeWaiting(seg{seq: 100})
	l.in(seg{flags: "R", seq: 102})
	l.want()
	if l.h.Stats().TimeWait != 1 {
		t.Fatal("assassinated by a RST")
	}
	l.in(seg{flags: "FA", seq: 101, ack: iss + 2}) // our ACK was lost
	if a := l.only(); !a.ACK || a.Ack != 102 || a.Seq != iss+2 {
		t.Errorf("answer to the FIN again: %+v", a)
	}
	// A FIN that comes again restarts the time (RFC 9293, section 3.10.7.4).
	l.advance(40 * time.Second)
	l.in(seg{flags: "FA", seq: 101, ack: iss + 2})
	l.run()
	l.advance(40 * time.Second)
	if l.h.Stats().TimeWait != 1 {
		t.Fatal("TIME-WAIT was not restarted")
	}
	l.in(seg{flags: "S", seq: 50}) // an old duplicate
	l.run()
	if s := l.h.Stats(); s.TimeWait != 1 || s.HalfOpen != 0 {
		t.Error("an old SYN was taken for a new one")
	}
	// A new one takes the place, with a sequence number beyond the old one's.
	l.in(seg{flags: "S", seq: 100_000, mss: 1460})
	sa := l.only()
	if !sa.SYN || !sa.ACK || sa.Ack != 100_001 || int32(sa.Seq-(iss+2)) <= 0 {
		t.Errorf("answer to the new SYN: %+v, old ISS %d", sa, iss)
	}
	if s := l.h.Stats(); s.TimeWait != 0 || s.HalfOpen != 1 {
		t.Errorf("%d in TIME-WAIT, %d half-open", s.TimeWait, s.HalfOpen)
	}
	l.in(seg{flags: "A", seq: 100_001, ack: sa.Seq + 1})
	l.want()
	if len(l.conns) != 2 {
		t.Error("the new connection was not accepted")
	}
}

// TestTimeWaitInOneBatch: the peer's FIN and its next SYN come before the host was
// asked for anything to send.
func TestTimeWaitInOneBatch(t *testing.T) {
	l := newLab(t, nil)
	l.listen(nil)
	iss := l.connect(seg{seq: 100})
	c := l.conns[0]
	c.CloseWrite(l.now)
	l.h.Touch(l.now, c)
	l.only()
	l.in(seg{flags: "FA", seq: 101, ack: iss + 2})
	l.in(seg{flags: "S", seq: 100_000, mss: 1460})
	out := l.run()
	if len(out) != 2 || tcpOf(t, out[0]).Ack != 102 || !tcpOf(t, out[1]).SYN {
		t.Fatalf("sent %v", out)
	}
}

func TestTimeWaitLimit(t *testing.T) {
	l := newLab(t, func(c *Config) { c.MaxTimeWait = 3 })
	l.listen(nil)
	for port := uint16(1); port <= 5; port++ {
		l.timeWaiting(seg{sport: port, seq: 100})
	}
	var left []uint16
	for info := range l.h.TimeWaits(l.now) {
		left = append(left, info.Dst.Port())
	}
	if len(left) != 3 || left[0] != 3 {
		t.Errorf("left: %v, want the youngest three", left)
	}
	l.advance(2 * time.Minute)
	if l.h.Stats().TimeWait != 0 {
		t.Error("left after 2 MSL")
	}
}

// TestDialOverTimeWait: our own dial takes the place of a record, after a while
// and beyond its sequence numbers.
func TestDialOverTimeWait(t *testing.T) {
	l := newLab(t, func(c *Config) {
		c.ISN = func(local, remote netip.AddrPort, now clock.Time) uint32 { return 1000 } // always before
	})
	c, iss := l.dial(5000, peer4)
	l.in(seg{sport: 80, dport: 5000, flags: "SA", seq: 300, ack: iss + 1, mss: 1460})
	l.only()
	c.CloseWrite(l.now)
	l.h.Touch(l.now, c)
	l.only()
	l.in(seg{sport: 80, dport: 5000, flags: "FA", seq: 301, ack: iss + 2})
	l.only()
	if l.h.Stats().TimeWait != 1 {
		t.Fatal("not in TIME-WAIT")
	}
	local, remote := netip.AddrPortFrom(us4, 5000), netip.AddrPortFrom(peer4, 80)
	if _, err := l.h.Dial(l.now, local, remote, nil, nil); !errors.Is(err, api.ErrPortInUse) {
		t.Errorf("dial at once: %v", err)
	}
	l.advance(timeWaitReuse)
	if _, err := l.h.Dial(l.now, local, remote, nil, nil); err != nil {
		t.Fatal(err)
	}
	if syn := l.only(); !syn.SYN || int32(syn.Seq-(iss+2)) <= 0 {
		t.Errorf("the new SYN is %+v, the old ISS was %d", syn, iss)
	}
	if _, err := l.h.Dial(l.now, local, remote, nil, nil); !errors.Is(err, api.ErrPortInUse) {
		t.Errorf("a third: %v", err)
	}
}

// TestSynFlood: 100,000 SYNs that are never completed leave no more than the SYN
// queue, and an honest peer gets through (S01, S02), also without SYN cookies.
func TestSynFlood(t *testing.T) {
	l := newLab(t, func(c *Config) { c.Params.SynCookies = tcp.CookiesNever })
	ln := l.listen(func(ln *Listener) { ln.HalfOpen = 128 })
	base := seg{flags: "S", mss: 1460}.bytes(t)
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	out, synAcks := 0, 0
	flood := func(from, to int) {
		for i := from; i < to; i++ {
			b := bytes.Clone(base)
			p := link.Packet{Payload: []api.Buffer{*api.NewBuffer(b)}, Offload: link.Offload{Vouched: true}}
			b[13], b[14], b[15] = byte(i>>16), byte(i>>8), byte(i) // source 10.x.x.x
			fixChecksum(b)
			l.h.Packet(l.now, &p)
			if _, _, ok := l.h.Ready(); ok {
				t.Fatal("somebody is told of a half-open connection")
			}
			l.h.Poll(l.now, &l.batch, 64)
			for range l.batch.Link {
				synAcks++
				out++
			}
			l.batch.Reset()
			l.now = l.now.Add(10 * time.Microsecond)
		}
	}
	flood(1000, 101_000)
	if n := ln.halfOpen.Load(); n > 128 || l.h.budget.HalfOpen() != n || l.h.Stats().HalfOpen != n {
		t.Errorf("%d half-open connections, %d charged", n, l.h.budget.HalfOpen())
	}
	if synAcks > 100_000 {
		t.Errorf("%d packets in answer to 100000", out)
	}
	if got := heap() - before; got > 1<<20 {
		t.Errorf("%d bytes held", got)
	} else {
		t.Logf("%d bytes for each half-open connection", got/128)
	}
	// In the middle of it an honest peer, 1 ms away.
	l.in(seg{src: netip.MustParseAddr("10.200.0.9"), flags: "S", seq: 5, mss: 1460})
	sa := l.only()
	flood(101_000, 101_100)
	l.in(seg{src: netip.MustParseAddr("10.200.0.9"), flags: "A", seq: 6, ack: sa.Seq + 1})
	l.run()
	if len(l.conns) != 1 {
		t.Error("the honest peer did not get through")
	}
	l.conns[0].Abort(l.now, api.ErrAborted)
	// Everything goes by itself, with at most six SYN-ACKs each.
	l.h.Touch(l.now, l.conns[0])
	n := 0
	for range 400 {
		l.advance(time.Second)
		n += len(l.run())
	}
	if n > 128*6 {
		t.Errorf("%d SYN-ACKs for 128 SYNs", n)
	}
	l.wantEmpty()
}

func fixChecksum(b []byte) {
	b[10], b[11] = 0, 0
	var s uint32
	for i := 0; i < 20; i += 2 {
		s += uint32(b[i])<<8 | uint32(b[i+1])
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	b[10], b[11] = byte(^s>>8), byte(^s)
}

// TestHalfOpenLimit: the stack's limit holds over all listeners.
func TestHalfOpenLimit(t *testing.T) {
	l := newLab(t, func(c *Config) { c.Budget.HalfOpenLimit, c.Params.SynCookies = 10, tcp.CookiesNever })
	l.listen(nil)
	l.listen(func(ln *Listener) { ln.Port = 81 })
	for i := range uint16(50) {
		l.in(seg{flags: "S", sport: 1000 + i, dport: 80 + i%2})
	}
	if l.h.budget.HalfOpen() != 10 || l.h.Stats().HalfOpen != 10 {
		t.Errorf("%d half-open", l.h.Stats().HalfOpen)
	}
	if l.drops(api.DropSynQueue) != 40 {
		t.Errorf("%d counted", l.drops(api.DropSynQueue))
	}
	// A limit that other Hosts have used up locks nobody out: one place is left to
	// each, in which the next SYN takes the place of the last.
	m := newLab(t, func(c *Config) { c.Budget, c.Params.SynCookies = l.h.budget, tcp.CookiesNever })
	m.listen(nil)
	for i := range uint16(20) {
		m.in(seg{flags: "S", sport: 2000 + i})
		m.only()
	}
	if n := m.h.Stats().HalfOpen; n != 1 || m.drops(api.DropSynQueue) != 19 || l.h.budget.HalfOpen() != 11 {
		t.Errorf("%d half-open, %d counted, %d in all", n, m.drops(api.DropSynQueue), l.h.budget.HalfOpen())
	}
	m.h.Shutdown(m.now)
	l.h.Shutdown(l.now)
	l.wantEmpty()
}

// TestBacklog: while the handlers do not return, connections wait half-open, and
// more SYNs are dropped (L3, S04).
func TestBacklog(t *testing.T) {
	l := newLab(t, nil)
	ln := l.listen(func(ln *Listener) { ln.Backlog = 2 })
	// Three handshakes under way at once; the third finds the backlog full.
	var iss [3]uint32
	for i := range iss {
		l.in(seg{flags: "S", sport: uint16(i + 1), mss: 1460})
		iss[i] = l.only().Seq
	}
	for i := range iss {
		l.in(seg{flags: "A", sport: uint16(i + 1), seq: 1, ack: iss[i] + 1})
	}
	l.want()
	if len(l.conns) != 2 || l.drops(api.DropAcceptQueue) != 1 || ln.halfOpen.Load() != 1 {
		t.Fatalf("%d accepted, %d half-open", len(l.conns), ln.halfOpen.Load())
	}
	l.in(seg{flags: "S", sport: 4})
	l.want()
	if l.drops(api.DropAcceptQueue) != 2 {
		t.Error("a SYN beyond the backlog was not counted")
	}
	// A handler returns; our SYN-ACK, repeated, is answered again.
	ln.Finished()
	l.advance(1100 * time.Millisecond)
	if sa := l.only(); !sa.SYN || sa.DstPort != 3 {
		t.Fatalf("%+v", sa)
	}
	l.in(seg{flags: "A", sport: 3, seq: 1, ack: iss[2] + 1})
	l.want()
	if len(l.conns) != 3 {
		t.Error("the third was not accepted")
	}
}

// TestUnlisten: half-open connections are reset, established ones live on (U1).
func TestUnlisten(t *testing.T) {
	l := newLab(t, nil)
	ln := l.listen(nil)
	l.connect(seg{sport: 1})
	l.in(seg{flags: "S", sport: 2, seq: 9})
	sa := l.only()
	l.h.Unlisten(l.now, ln)
	if r := l.only(); !r.RST || r.DstPort != 2 || r.Seq != sa.Seq+1 {
		t.Errorf("%+v", r)
	}
	if s := l.h.Stats(); s.Conns != 1 || s.HalfOpen != 0 || ln.halfOpen.Load() != 0 {
		t.Errorf("%d conns, %d half-open", s.Conns, s.HalfOpen)
	}
	l.in(seg{flags: "S", sport: 3})
	if r := l.only(); !r.RST {
		t.Errorf("%+v", r)
	}
	l.h.Unlisten(l.now, ln) // again does nothing
	l.want()
}

// TestListenerAddress: a listener on one address is not there on the others.
func TestListenerAddress(t *testing.T) {
	l := newLab(t, nil)
	l.listen(func(ln *Listener) { ln.Address = us6 })
	l.in(seg{flags: "S"})
	if r := l.only(); !r.RST {
		t.Errorf("%+v", r)
	}
	l.in(seg{flags: "S", src: peer6})
	if r := l.only(); !r.SYN || r.RST {
		t.Errorf("%+v", r)
	}
}

// TestPassiveReset: a RST sends a half-open connection back to LISTEN, without a
// word to anyone (RFC 9293, section 3.10.7.4).
func TestPassiveReset(t *testing.T) {
	l := newLab(t, nil)
	l.listen(nil)
	l.in(seg{flags: "S", seq: 100})
	l.only()
	l.in(seg{flags: "R", seq: 101})
	l.want()
	l.wantEmpty()
	if len(l.conns) != 0 {
		t.Error("accepted")
	}
}

// TestDial: what an active opener sees: success, refusal, a listener's port, limits.
func TestDial(t *testing.T) {
	l := newLab(t, func(c *Config) { c.Budget.FlowLimit = 2 })
	c, iss := l.dial(5000, peer4)
	if c.User != "user" {
		t.Error("the user is lost")
	}
	local, remote := netip.AddrPortFrom(us4, 5000), netip.AddrPortFrom(peer4, 80)
	if _, err := l.h.Dial(l.now, local, remote, nil, nil); !errors.Is(err, api.ErrPortInUse) {
		t.Errorf("the same again: %v", err)
	}
	c2, iss2 := l.dial(5001, peer4)
	if _, err := l.h.Dial(l.now, netip.AddrPortFrom(us4, 5002), remote, nil, nil); !errors.Is(err, api.ErrNoMemory) {
		t.Errorf("beyond the limit: %v", err)
	}
	l.in(seg{sport: 80, dport: 5000, flags: "SA", seq: 300, ack: iss + 1, mss: 1460})
	l.want("10.0.0.1.5000 > 10.0.0.2.80 A seq " + utoa(iss+1) + " ack 301 len 0")
	l.in(seg{sport: 80, dport: 5001, flags: "RA", seq: 0, ack: iss2 + 1})
	l.want()
	if !errors.Is(c2.CloseReason(), api.ErrRefused) {
		t.Errorf("refused dial: %v", c2.CloseReason())
	}
	s := l.h.Stats()
	if s.Opened != 1 || s.Refused != 1 || s.Failed != 0 || s.Conns != 1 || l.h.budget.Flows() != 1 {
		t.Errorf("opened %d, refused %d, failed %d, %d conns, %d flows", s.Opened, s.Refused, s.Failed, s.Conns, l.h.budget.Flows())
	}
	for dst, want := range map[string]error{
		"224.0.0.1": api.ErrInvalidAddress, "10.0.0.255": api.ErrInvalidAddress, "0.0.0.0": api.ErrInvalidAddress,
		"127.0.0.1": api.ErrUnreachable, "::1": api.ErrUnreachable, "ff02::1": api.ErrInvalidAddress,
	} {
		if _, err := l.h.Route(netip.MustParseAddr(dst), netip.Addr{}); !errors.Is(err, want) {
			t.Errorf("route to %s: %v (MUST-46)", dst, err)
		}
	}
	c.Abort(l.now, api.ErrAborted)
	l.h.Touch(l.now, c)
	if r := l.only(); !r.RST {
		t.Errorf("%+v", r)
	}
	l.wantEmpty()
}

func utoa(n uint32) string {
	var b []byte
	for {
		b = append([]byte{byte('0' + n%10)}, b...)
		if n /= 10; n == 0 {
			return string(b)
		}
	}
}

// TestFairness: a connection with much to send does not keep the others waiting.
func TestFairness(t *testing.T) {
	l := newLab(t, nil)
	l.listen(nil)
	for port := uint16(1); port <= 3; port++ {
		l.connect(seg{sport: port})
	}
	for _, c := range l.conns {
		for range 3 { // more than one quantum
			c.Write(l.now, []*api.Buffer{api.NewBuffer(make([]byte, 100_000))}, tcp.WriteOptions{})
		}
		l.h.Touch(l.now, c)
	}
	seen := map[layers.TCPPort]int{}
	l.h.Poll(l.now, &l.batch, 3*quantumSegments)
	for i := range l.batch.Link {
		seen[tcpOf(t, l.decode(&l.batch.Link[i])).DstPort]++
	}
	l.batch.Reset()
	if len(seen) != 3 {
		t.Errorf("served: %v", seen)
	}
}

// TestFlowLimit: at the limit of flows a connection that would be established waits
// half-open, like one that finds the backlog full.
func TestFlowLimit(t *testing.T) {
	l := newLab(t, func(c *Config) { c.Budget.FlowLimit = 1 })
	ln := l.listen(nil)
	var iss [2]uint32
	for i := range iss {
		l.in(seg{flags: "S", sport: uint16(i + 1), mss: 1460})
		iss[i] = l.only().Seq
	}
	for i := range iss {
		l.in(seg{flags: "A", sport: uint16(i + 1), seq: 1, ack: iss[i] + 1})
	}
	l.want()
	if len(l.conns) != 1 || l.drops(api.DropMemory) != 1 || ln.unfinished.Load() != 1 {
		t.Fatalf("%d accepted, %d unfinished", len(l.conns), ln.unfinished.Load())
	}
	l.in(seg{flags: "S", sport: 9})
	l.want()
	if l.drops(api.DropMemory) != 2 {
		t.Error("a SYN at the limit was not counted")
	}
	l.in(seg{flags: "R", sport: 1, seq: 1})
	l.want()
	l.in(seg{flags: "A", sport: 2, seq: 1, ack: iss[1] + 1})
	l.want()
	if len(l.conns) != 2 {
		t.Error("not accepted when there was room again")
	}
}

// TestBadAckHalfOpen: an ACK that completes nothing takes no place in the backlog.
func TestBadAckHalfOpen(t *testing.T) {
	l := newLab(t, nil)
	ln := l.listen(nil)
	l.in(seg{flags: "S", mss: 1460})
	iss := l.only().Seq
	l.in(seg{flags: "A", seq: 1, ack: iss + 77})
	if r := l.only(); !r.RST || r.Seq != iss+77 { // RFC 9293, section 3.10.7.4
		t.Errorf("%+v", r)
	}
	if ln.unfinished.Load() != 0 || l.h.budget.Flows() != 0 || ln.halfOpen.Load() != 1 {
		t.Errorf("%d unfinished, %d flows, %d half-open", ln.unfinished.Load(), l.h.budget.Flows(), ln.halfOpen.Load())
	}
	n := 0
	for i := range l.h.HalfOpens(l.now) {
		if n++; i.State != api.StateSynReceived {
			t.Error(i.State)
		}
	}
	if n != 1 {
		t.Errorf("%d connections", n)
	}
}

// TestTimeWaitSize: a record costs a fraction of a connection (C5, S21).
func TestTimeWaitSize(t *testing.T) {
	l := newLab(t, nil)
	l.listen(func(ln *Listener) { ln.Backlog = 1 << 20 })
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	const n = 4000
	before := heap()
	for port := uint16(1); port <= n; port++ {
		l.timeWaiting(seg{sport: port, seq: 100})
		l.conns[0].ReleaseBuffers()
		l.conns = l.conns[:0]
	}
	clear(l.conns[:cap(l.conns)])
	if l.h.Stats().TimeWait != n {
		t.Fatalf("%d in TIME-WAIT", l.h.Stats().TimeWait)
	}
	each := (heap() - before) / n
	t.Logf("%d bytes for each record", each)
	if each > 220 {
		t.Errorf("%d bytes for each record in TIME-WAIT", each)
	}
	runtime.KeepAlive(l)
}

// TestFairnessBytes: the same where one segment is as long as forty.
func TestFairnessBytes(t *testing.T) {
	l := newLab(t, func(c *Config) { c.MaxGSO, c.Params.InitialWindow = 65535, 1<<20 })
	l.listen(nil)
	for port := uint16(1); port <= 2; port++ {
		l.connect(seg{sport: port, scale: 10}) // a window of 64 MB
	}
	for _, c := range l.conns {
		for range 10 {
			c.Write(l.now, []*api.Buffer{api.NewBuffer(make([]byte, 100_000))}, tcp.WriteOptions{})
		}
		l.h.Touch(l.now, c)
	}
	first, bytes := 0, 0
	l.h.Poll(l.now, &l.batch, 1000)
	for i := range l.batch.Link {
		s := tcpOf(t, l.decode(&l.batch.Link[i]))
		if len(s.Payload) == 0 {
			continue
		}
		if s.DstPort != 1 {
			break
		}
		first++
		bytes += len(s.Payload)
	}
	if len(l.batch.Link) < 10 || first == 0 || bytes > 2*quantumBytes {
		t.Errorf("%d packets; the first connection got %d bytes in %d before the second had its turn", len(l.batch.Link), bytes, first)
	}
	l.batch.Reset()
}

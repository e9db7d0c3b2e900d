package host

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/impl/engine/tcp"
)

// A stranger sends one segment after the other, without the cost of an oracle.
type stranger struct {
	l    *lab
	base []byte
}

func newStranger(l *lab, s seg) *stranger { return &stranger{l, s.bytes(l.t)} }

// send sends the segment from 10.x.x.x, and returns how many packets came back.
func (s *stranger) send(from uint32, edit func(tcp []byte)) int {
	b := append([]byte(nil), s.base...)
	b[13], b[14], b[15] = byte(from>>16), byte(from>>8), byte(from)
	fixChecksum(b)
	if edit != nil {
		edit(b[20:])
	}
	l := s.l
	l.h.Packet(l.now, &link.Packet{Payload: []api.Buffer{*api.NewBuffer(b)}, Offload: link.Offload{Vouched: true}})
	for {
		c, ev, ok := l.h.Ready()
		if !ok {
			break
		}
		if ev&tcp.EventEstablished != 0 {
			l.conns = append(l.conns, c)
		}
	}
	l.h.Poll(l.now, &l.batch, 64)
	n := len(l.batch.Link)
	l.batch.Reset()
	return n
}

func liveHeap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestFlood is S01: 200,000 SYNs leave no more than the SYN queue, with one SYN-ACK
// each, and during it good clients get connections, with all that they negotiated.
func TestFlood(t *testing.T) {
	l := newLab(t, nil)
	ln := l.listen(func(ln *Listener) { ln.HalfOpen = 128 })
	syn := newStranger(l, seg{flags: "S", mss: 1460})
	before := liveHeap()
	answers := 0
	const n = 200_000
	for i := range uint32(n) {
		answers += syn.send(1000+i, nil)
		l.now = l.now.Add(time.Microsecond)
	}
	if got := liveHeap() - before; got > 128<<10+64<<10 {
		t.Errorf("%d bytes held by 128 half-open connections", got)
	}
	if s := l.h.Stats(); answers != n || ln.halfOpen.Load() != 128 || s.HalfOpen != 128 || s.CookiesSent != n-128 {
		t.Errorf("%d answers, %d half-open, %d cookies", answers, s.HalfOpen, s.CookiesSent)
	}
	// The flood goes on for a minute and a half; then the queue is empty again.
	for i, at := range []time.Duration{0, 30 * time.Second, 90 * time.Second} {
		l.now = l.now.Add(at)
		s := seg{src: netip.AddrFrom4([4]byte{10, 200, 0, byte(i)}), flags: "S", seq: 5, mss: 1400, tsval: 77, scale: 9}
		l.in(s)
		sa := l.only()
		s.flags, s.mss, s.scale, s.tsval, s.seq, s.ack = "A", 0, 0, 78, 6, sa.Seq+1
		l.inTS(s, tsVal(t, sa))
		l.want()
		if len(l.conns) != i+1 {
			t.Fatalf("good client %d did not get through: %+v", i, l.h.Stats())
		}
		if i := l.conns[i].Info(l.now); i.SendMSS != 1380-12 || i.SendWindowScale != 9 || !i.Timestamps || i.Dst != netip.AddrPortFrom(s.src, 1000) {
			t.Errorf("%+v", i)
		}
	}
	if s := l.h.Stats(); s.CookiesAccepted != 3 || s.Accepted != 3 || s.Conns != 3 {
		t.Errorf("%d cookies accepted, %d connections", s.CookiesAccepted, s.Accepted)
	}
	// A wrong hash: a reset, and nothing else. And none is taken once nothing has
	// overflowed for a while.
	l.in(seg{src: netip.AddrFrom4([4]byte{10, 201, 0, 1}), flags: "A", seq: 6, ack: 12345})
	if r := l.only(); !r.RST || r.Seq != 12345 || l.drops(api.DropSynCookie) != 1 || len(l.conns) != 3 {
		t.Errorf("%+v, %d wrong cookies", r, l.drops(api.DropSynCookie))
	}
	for _, c := range l.conns {
		c.Abort(l.now, api.ErrAborted)
		l.h.Touch(l.now, c)
	}
	l.run()
	for range 70 {
		l.advance(time.Second)
		l.run()
	}
	l.wantEmpty()
	l.in(seg{flags: "S", mss: 1460})
	if sa := l.only(); l.h.Stats().HalfOpen != 1 {
		t.Errorf("not back in the queue: %+v", sa)
	}
}

func tsVal(t *testing.T, s *layers.TCP) uint32 {
	for _, o := range s.Options {
		if o.OptionType == layers.TCPOptionKindTimestamps {
			return binary.BigEndian.Uint32(o.OptionData)
		}
	}
	t.Fatal("no timestamp")
	return 0
}

// inTS is in with a timestamp echoed.
func (l *lab) inTS(s seg, tsecr uint32) {
	b := s.bytes(l.t)
	// The option comes last, and gopacket pads it.
	h := 20 + int(b[20+12]>>4)*4
	for i := 40; i < h; {
		switch b[i] {
		case 1:
			i++
			continue
		case 8:
			binary.BigEndian.PutUint32(b[i+6:], tsecr)
		}
		if b[i] == 0 {
			break
		}
		i += int(b[i+1])
	}
	l.h.Packet(l.now, &link.Packet{Payload: []api.Buffer{*api.NewBuffer(b)}, Offload: link.Offload{Vouched: true}})
}

// TestCookieData: the ACK may be lost, if what comes instead carries the same numbers;
// what comes with it is not.
func TestCookieData(t *testing.T) {
	for _, src := range []netip.Addr{peer4, peer6} {
		l := newLab(t, func(c *Config) { c.Params.SynCookies = tcp.CookiesAlways })
		l.listen(nil)
		l.in(seg{src: src, flags: "S", seq: 9, mss: 1460, scale: 3}) // no timestamp: no scale
		sa := l.only()
		if l.h.Stats().HalfOpen != 0 || len(sa.Options) != 1 {
			t.Fatalf("%+v", sa)
		}
		l.advance(100 * time.Second)
		l.want() // a cookie is sent once (S02)
		l.in(seg{src: src, flags: "S", seq: 9, mss: 1460})
		sa = l.only()
		l.in(seg{src: src, flags: "AFP", seq: 10, ack: sa.Seq + 1, data: "hello"})
		if a := l.only(); len(l.conns) != 1 || a.Ack != 16 {
			t.Fatalf("%+v", a)
		}
		c := l.conns[0]
		if b, err := c.Read(l.now); err != nil || string(b.Bytes()) != "hello" || c.State() != api.StateCloseWait {
			t.Errorf("%v, %v", err, c.State())
		}
		if i := c.Info(l.now); i.SendWindowScale != -1 || i.RTO != time.Second || i.SRTT != 0 {
			t.Errorf("%+v", i)
		}
		// It sends as any other does.
		c.Write(l.now, []*api.Buffer{api.NewBuffer([]byte("world"))}, tcp.WriteOptions{})
		l.h.Touch(l.now, c)
		if s := l.only(); string(s.Payload) != "world" || s.Seq != sa.Seq+1 {
			t.Errorf("%+v", s)
		}
	}
}

// TestSynAckRetries is S02: at most six SYN-ACKs for a SYN, of which nothing is left
// afterwards.
func TestSynAckRetries(t *testing.T) {
	l := newLab(t, func(c *Config) { c.Budget.HalfOpenLimit = 1 << 20 })
	l.listen(func(ln *Listener) { ln.HalfOpen = 1 << 20 })
	syn := newStranger(l, seg{flags: "S", mss: 1460})
	const n = 10_000
	sent := 0
	for i := range uint32(n) {
		sent += syn.send(1000+i, nil)
		l.now = l.now.Add(10 * time.Microsecond)
	}
	for range 80_000 {
		at := l.h.Deadline()
		if at > l.now.Add(time.Hour) {
			break
		}
		l.now = max(l.now, at)
		l.h.Timeout(l.now)
		for more := true; more; {
			more = l.h.Poll(l.now, &l.batch, 64)
			sent += len(l.batch.Link)
			l.batch.Reset()
		}
	}
	if sent != 6*n || l.drops(api.DropMemory) != 0 {
		t.Errorf("%d SYN-ACKs for %d SYNs, %d lost", sent, n, l.drops(api.DropMemory))
	}
	l.wantEmpty()
}

// TestAckFlood is S03: ACKs that belong to nothing make nobody compute hashes while
// no cookie is out, and none is accepted when some are.
func TestAckFlood(t *testing.T) {
	l := newLab(t, nil)
	l.listen(func(ln *Listener) { ln.HalfOpen = 4 })
	rng := rand.New(rand.NewPCG(1, 2))
	ack := newStranger(l, seg{flags: "A"})
	const n = 200_000
	flood := func() (resets int) {
		for i := range uint32(n) {
			resets += ack.send(1000+i, func(b []byte) {
				binary.BigEndian.PutUint32(b[4:], rng.Uint32())
				binary.BigEndian.PutUint32(b[8:], rng.Uint32())
			})
			l.now = l.now.Add(time.Microsecond)
		}
		return resets
	}
	limit := resetsPerSecond + resetsBurst // what a second's answers may be
	if resets := flood(); resets > limit || l.drops(api.DropSynCookie) != 0 || l.drops(api.DropNoListener) != n {
		t.Errorf("%d resets, %d cookies looked at, %d strays", resets, l.drops(api.DropSynCookie), l.drops(api.DropNoListener))
	}
	syn := newStranger(l, seg{flags: "S", mss: 1460})
	for i := range uint32(8) {
		syn.send(500+i, nil)
	}
	if resets := flood(); resets > limit || l.drops(api.DropSynCookie) != n || l.h.Stats().CookiesAccepted != 0 || l.h.Stats().Conns != 0 {
		t.Errorf("%d resets, %d cookies looked at, %d accepted", resets, l.drops(api.DropSynCookie), l.h.Stats().CookiesAccepted)
	}
	looked := l.drops(api.DropSynCookie)
	l.now = l.now.Add(tcp.CookieLife + 1)
	l.in(seg{src: netip.AddrFrom4([4]byte{10, 5, 5, 5}), flags: "A", seq: 6, ack: 12345})
	if l.only(); l.drops(api.DropSynCookie) != looked {
		t.Error("a cookie is looked at long after the last was sent")
	}
}

// TestAcceptQueueFlood is S04: complete handshakes that nobody accepts.
func TestAcceptQueueFlood(t *testing.T) {
	for _, policy := range []tcp.CookiePolicy{tcp.CookiesOverflow, tcp.CookiesNever, tcp.CookiesAlways} {
		l := newLab(t, func(c *Config) { c.Params.SynCookies = policy })
		ln := l.listen(func(ln *Listener) { ln.Backlog = 16 })
		iss := map[uint16]uint32{}
		for i := range uint16(1000) {
			l.in(seg{flags: "S", sport: 2000 + i, mss: 1460})
			if out := l.run(); len(out) == 1 {
				iss[2000+i] = tcpOf(t, out[0]).Seq
			}
			// The ACKs come in batches of 50.
			if i%50 == 49 {
				for p := 2000 + i - 49; p <= 2000+i; p++ {
					l.in(seg{flags: "A", sport: p, seq: 1, ack: iss[p] + 1})
				}
				l.run()
			}
		}
		if n := l.h.Stats().Conns; n != 16 || len(l.conns) != 16 {
			t.Fatalf("policy %d: %d established", policy, n)
		}
		for range 16 {
			ln.Finished()
		}
		l.connect(seg{sport: 1}) // the listener answers again
		if len(l.conns) != 17 {
			t.Errorf("policy %d: the next client was not accepted", policy)
		}
	}
}

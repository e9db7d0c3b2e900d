package host

import (
	"bytes"
	"crypto/sha256"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/ip"
	"github.com/sluicenet/sluice/impl/engine/tcp"
)

// TestBystander: a transfer among forty thousand hostile packets, some of which aim
// at it. Every byte arrives, and afterwards nothing is left.
func TestBystander(t *testing.T) {
	for _, src := range []netip.Addr{peer4, peer6} {
		l := newLab(t, nil)
		ln := l.listen(func(ln *Listener) { ln.HalfOpen, ln.Backlog = 64, 16 })
		rng := rand.New(rand.NewPCG(5, 6))
		iss := l.connect(seg{src: src, seq: 100})
		c := l.conns[0]
		us := c.Local().Addr()

		stranger := func() netip.Addr {
			if src.Is4() {
				return netip.AddrFrom4([4]byte{10, 77, byte(rng.Uint32()), byte(rng.Uint32())})
			}
			a := peer6.As16()
			a[15], a[14], a[9] = byte(rng.Uint32()), byte(rng.Uint32()), 7
			return netip.AddrFrom16(a)
		}
		flags := func() string {
			s := ""
			for _, f := range "SAFRP" {
				if rng.IntN(3) == 0 {
					s += string(f)
				}
			}
			return s
		}
		hostile := func() {
			switch rng.IntN(8) {
			case 0: // SYNs
				l.in(seg{src: stranger(), flags: "S", seq: rng.Uint32(), mss: uint16(rng.Uint32())})
			case 1: // anything to the listener, or to no one
				l.in(seg{src: stranger(), dst: us, dport: 80 + uint16(rng.IntN(2)), flags: flags(), seq: rng.Uint32(), ack: rng.Uint32(), data: "attack"})
			case 2: // the connection itself, by someone who cannot see it
				l.in(seg{src: src, flags: flags(), seq: rng.Uint32(), ack: rng.Uint32(), data: "attack"})
			case 3: // fragments
				b := seg{src: stranger(), dst: us, flags: "A", data: string(make([]byte, 800))}.bytes(t)
				skip := rng.IntN(2)
				i := 0
				ip.Fragment(b, 600, rng.Uint32(), func(f []byte) {
					if i++; i != skip+1 {
						l.packet(f)
					}
				})
			case 4: // ICMP errors about the connection
				b := seg{src: us, dst: src, sport: 80, dport: 1000, flags: "A", seq: rng.Uint32(), data: "12345678"}.bytes(t)
				typ, code := uint8(3), uint8(rng.IntN(16))
				if src.Is6() {
					typ, code = uint8(1+rng.IntN(4)), uint8(rng.IntN(8))
				}
				l.packet(errorAbout(t, b, typ, code, uint32(rng.IntN(1500))))
			case 5: // echo
				if src.Is4() {
					l.packet(serialize(t, ipTo(stranger(), us, layers.IPProtocolICMPv4), icmp4(8, 0, 1, 1), gopacket.Payload("ping")))
				} else {
					l.packet(message6(t, stranger(), us, 128, 0, []byte("0000ping")))
				}
			case 6: // noise
				b := make([]byte, rng.IntN(100))
				for i := range b {
					b[i] = byte(rng.Uint32())
				}
				if len(b) > 0 {
					b[0] = 0x45
					if src.Is6() {
						b[0] = 0x60
					}
				}
				repair(b)
				l.packet(b)
			case 7: // other protocols
				l.packet(serialize(t, ipTo(stranger(), us, layers.IPProtocol(rng.IntN(256))), gopacket.Payload("whatever")))
			}
		}

		data := make([]byte, 500_000)
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		var got bytes.Buffer
		for off := 0; off < len(data); {
			for range 60 {
				hostile()
				l.now = l.now.Add(20 * time.Microsecond)
			}
			n := min(1460, len(data)-off)
			l.in(seg{src: src, flags: "A", seq: uint32(101 + off), ack: iss + 1, data: string(data[off : off+n])})
			off += n
			l.run()
			for {
				b, err := c.Read(l.now)
				if err != nil {
					break
				}
				got.Write(b.Bytes())
				b.Release()
			}
			l.h.Touch(l.now, c)
			if d := l.h.Deadline(); d <= l.now {
				l.h.Timeout(l.now)
			}
			if l.h.Stats().HalfOpen > 64 || ln.unfinished.Load() > 16 || l.h.budget.Fragments() > 4<<20 || l.h.replies.len() > 0 {
				t.Fatalf("%+v", l.h.Stats())
			}
		}
		if sha256.Sum256(got.Bytes()) != sha256.Sum256(data) {
			t.Errorf("%v: %d bytes of %d arrived, or others (%v, %v)", src, got.Len(), len(data), c.State(), c.CloseReason())
		}
		for _, c := range l.conns {
			c.Abort(l.now, api.ErrAborted)
			c.ReleaseBuffers()
			l.h.Touch(l.now, c)
		}
		for range 300 {
			l.run()
			l.advance(time.Second)
		}
		if l.h.Deadline() != clock.Never {
			t.Errorf("something is left: %+v", l.h.Stats())
		}
		l.wantEmpty()
	}
}

// TestLingerers: flows whose users have gone and whose peers fall silent all end, in
// whichever state they are, within the longest timer and the last retry (S20).
func TestLingerers(t *testing.T) {
	const flows = 3000
	l := newLab(t, func(c *Config) { c.Params.OrphanRetries = 8 })
	l.listen(func(ln *Listener) { ln.Backlog, ln.HalfOpen = flows, flows })
	for i := range flows {
		port := uint16(1000 + i)
		l.in(seg{sport: port, flags: "S", seq: 100, mss: 1460})
		iss := l.only().Seq
		l.in(seg{sport: port, flags: "A", seq: 101, ack: iss + 1})
		l.run()
		c := l.conns[len(l.conns)-1]
		switch i % 5 {
		case 0: // FIN-WAIT-1: the FIN is never acknowledged
		case 1: // FIN-WAIT-2
			c.Orphan(l.now)
			l.h.Touch(l.now, c)
			fin := l.only()
			l.in(seg{sport: port, flags: "A", seq: 101, ack: fin.Seq + 1})
		case 2: // LAST-ACK
			l.in(seg{sport: port, flags: "FA", seq: 101, ack: iss + 1})
		case 3: // CLOSING
			c.Orphan(l.now)
			l.h.Touch(l.now, c)
			l.only()
			l.in(seg{sport: port, flags: "FA", seq: 101, ack: iss + 1})
		case 4: // data that nobody acknowledges
			if _, err := c.Write(l.now, []*api.Buffer{api.NewBuffer(make([]byte, 100))}, tcp.WriteOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		c.Orphan(l.now)
		l.h.Touch(l.now, c)
		l.run()
	}
	if err := l.h.Check(); err != nil {
		t.Fatal(err)
	}
	start, ends := l.now, clock.Time(0)
	for l.h.Stats().Conns > 0 {
		d := l.h.Deadline()
		if d == clock.Never || d > start.Add(3*time.Minute) {
			t.Fatalf("%d connections stay: %v", l.h.Stats().Conns, d)
		}
		l.now = max(l.now, d)
		ends = l.now
		l.h.Timeout(l.now)
		l.run()
	}
	t.Logf("all gone after %v", ends.Sub(start))
	for _, c := range l.conns {
		c.ReleaseBuffers()
	}
	l.advance(2 * time.Minute)
	l.run()
	l.wantEmpty()
}

// TestEveryStateEnds: connections in each state, and the half-open, and those in
// TIME-WAIT: Abort and Shutdown leave nothing, neither memory nor timers (S48).
func TestEveryStateEnds(t *testing.T) {
	l := newLab(t, nil)
	l.listen(func(ln *Listener) { ln.Backlog, ln.HalfOpen = 1000, 1000 })
	states := map[api.State]int{}
	for round := range 50 {
		for kind := range 9 {
			port := uint16(1000 + round*10 + kind)
			if kind == 0 { // SYN-SENT
				c, err := l.h.Dial(l.now, netip.AddrPortFrom(us4, port), netip.AddrPortFrom(peer4, 9), nil, nil)
				if err != nil {
					t.Fatal(err)
				}
				l.conns = append(l.conns, c)
				l.run()
				continue
			}
			l.in(seg{sport: port, flags: "S", seq: 100, mss: 1460})
			iss := l.only().Seq
			if kind == 1 { // SYN-RECEIVED
				continue
			}
			l.in(seg{sport: port, flags: "A", seq: 101, ack: iss + 1, data: "unread"})
			l.in(seg{sport: port, flags: "A", seq: 200, ack: iss + 1, data: "out of order"})
			l.run()
			c := l.conns[len(l.conns)-1]
			if kind != 3 {
				c.Write(l.now, []*api.Buffer{api.NewBuffer(make([]byte, 3000))}, tcp.WriteOptions{})
			}
			fin := seg{sport: port, flags: "FA", seq: 107, ack: iss + 1}
			switch kind {
			case 3: // FIN-WAIT-2, TIME-WAIT
				c.CloseWrite(l.now)
				l.h.Touch(l.now, c)
				l.run()
				l.in(seg{sport: port, flags: "A", seq: 107, ack: iss + 2})
				if round%2 == 1 {
					l.in(seg{sport: port, flags: "A", seq: 107, ack: iss + 2, data: string(make([]byte, 105))})
					fin.seq, fin.ack = 212, iss+2
					l.in(fin)
				}
			case 4: // CLOSE-WAIT
				l.in(seg{sport: port, flags: "A", seq: 107, ack: iss + 1, data: string(make([]byte, 105))})
				fin.seq = 212
				l.in(fin)
			case 5, 6, 7: // FIN-WAIT-1, CLOSING, LAST-ACK
				if kind == 7 {
					l.in(seg{sport: port, flags: "A", seq: 107, ack: iss + 1, data: string(make([]byte, 105))})
					fin.seq = 212
					l.in(fin)
				}
				c.CloseWrite(l.now)
				l.h.Touch(l.now, c)
				l.run()
				if kind == 6 {
					l.in(seg{sport: port, flags: "A", seq: 107, ack: iss + 1, data: string(make([]byte, 105))})
					fin.seq = 212
					l.in(fin)
				}
			}
			l.h.Touch(l.now, c)
			l.run()
		}
	}
	if err := l.h.Check(); err != nil {
		t.Fatal(err)
	}
	for c := range l.h.Conns() {
		states[c.State()]++
	}
	s := l.h.Stats()
	if len(states)+min(int(s.HalfOpen), 1)-states[api.StateSynReceived]/50 < 8 || s.TimeWait == 0 || s.HalfOpen == 0 {
		t.Fatalf("states %v, %d half-open, %d in TIME-WAIT", states, s.HalfOpen, s.TimeWait)
	}
	for range 2 { // the second does nothing
		for _, c := range l.conns {
			c.Abort(l.now, api.ErrDisconnected)
			c.ReleaseBuffers()
			l.h.Touch(l.now, c)
		}
		l.run()
		l.h.Shutdown(l.now)
		if l.h.Deadline() != clock.Never || l.h.Stats().TimeWait != 0 {
			t.Errorf("a timer at %v, %d in TIME-WAIT", l.h.Deadline(), l.h.Stats().TimeWait)
		}
		l.run()
		l.wantEmpty()
	}
}

// TestIdentifications: what a host sends to one tells nothing about what it sends to
// another, and data, RSTs and pings share no counter (S38).
func TestIdentifications(t *testing.T) {
	l := newLab(t, nil)
	id := func(b []byte) (uint16, bool) {
		l.packet(b)
		out := l.run()
		if len(out) != 1 {
			t.Fatalf("%d packets", len(out))
		}
		n := out[0].NetworkLayer().(*layers.IPv4)
		return n.Id, n.Flags&layers.IPv4DontFragment != 0
	}
	var last uint16
	steps := map[uint16]int{}
	for i := range 400 {
		// RSTs are atomic: the field means nothing (RFC 6864).
		if n, df := id(seg{src: netip.AddrFrom4([4]byte{10, 0, 0, byte(3 + i%200)}), sport: uint16(1 + i), dport: 7, flags: "A", ack: 5}.bytes(t)); n != 0 || !df {
			t.Fatalf("a RST has identification %d, DF %v", n, df)
		}
		// Echo replies may be fragmented: theirs are random.
		n, _ := id(serialize(t, ipTo(peer4, us4, layers.IPProtocolICMPv4), icmp4(8, 0, 1, uint16(i)), gopacket.Payload("ping")))
		steps[n-last]++
		last = n
	}
	for d, n := range steps {
		if n > 3 {
			t.Errorf("identifications are %d apart %d times of 400", d, n)
		}
	}
}

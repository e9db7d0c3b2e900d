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

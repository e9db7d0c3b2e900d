package tcp

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// The vector for sixteen bytes of the authors' reference implementation: key and
// message count up from 0.
func TestSipHash(t *testing.T) {
	k := CookieKey{0x0706050403020100, 0x0f0e0d0c0b0a0908}
	if h := sipHash(&k, 0x0706050403020100, 0x0f0e0d0c0b0a0908); h != 0x3f2acc7f57c29bdb {
		t.Errorf("%#x", h)
	}
}

// A cookie says what a half-open record would have kept, as far as there is a
// timestamp to say it in, for two periods at most, and to nobody else.
func TestCookie(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := clock.Time(rapid.Int64Range(0, int64(100*24*time.Hour)).Draw(t, "now"))
		var counters Counters
		cfg := &Config{
			Params: &Params{NoSACK: rapid.Bool().Draw(t, "nosack"), NoTimestamps: rapid.Bool().Draw(t, "nots"), NoWindowScale: rapid.Bool().Draw(t, "nows")},
			Local:  netip.MustParseAddrPort("10.0.0.1:80"), Remote: netip.MustParseAddrPort("10.0.0.2:1000"),
			LinkMTU: 1500, Controller: renoFactory{}, Counters: &counters, Rand: rand.NewPCG(1, 2),
		}
		r := NewResponder(now, cfg)
		key := CookieKey{rapid.Uint64().Draw(t, "k0"), rapid.Uint64().Draw(t, "k1")}
		offset := rapid.Uint32().Draw(t, "offset")
		v6 := rapid.Bool().Draw(t, "v6")
		syn := wire.TCP{Seq: rapid.Uint32().Draw(t, "isn"), Flags: wire.SYN, Window: 100, Options: wire.TCPOptions{
			HasMSS: rapid.Bool().Draw(t, "hasmss"), MSS: rapid.Uint16().Draw(t, "mss"),
			HasWindowScale: rapid.Bool().Draw(t, "hasws"), WindowScale: rapid.Uint8Range(0, 20).Draw(t, "ws"),
			SACKPermitted: rapid.Bool().Draw(t, "sack"), HasTimestamps: rapid.Bool().Draw(t, "hasts"), TSval: rapid.Uint32().Draw(t, "tsval"),
		}}
		if rapid.Bool().Draw(t, "ecn") {
			syn.Flags |= wire.ECE | wire.CWR
		}
		var out, plain Out
		want := r.Open(now, 1, offset, v6, &syn, &plain)
		if !r.Cookie(now, &key, offset, v6, &syn, &out) {
			t.Fatalf("no cookie for %+v", syn)
		}
		o := &out.TCP.Options
		if want.flags&halfTimestamps == 0 {
			want.flags &= halfV6
			if o.SACKPermitted || o.HasWindowScale || o.HasTimestamps || out.TCP.Flags&wire.ECE != 0 {
				t.Fatalf("promises what nobody will remember: %+v", out.TCP)
			}
		} else {
			if d := plain.TCP.Options.TSval - o.TSval; d > 127 {
				t.Fatalf("timestamp %d before the present", int32(d))
			}
			plain.TCP.Options.TSval, plain.TCP.Seq = o.TSval, out.TCP.Seq
			if plain.TCP != out.TCP {
				t.Fatalf("the SYN-ACK is\n%+v, without cookie\n%+v", out.TCP, plain.TCP)
			}
		}

		later := now.Add(time.Duration(rapid.Int64Range(0, int64(cookiePeriod)).Draw(t, "later")))
		ack := wire.TCP{Seq: syn.Seq + 1, Ack: out.TCP.Seq + 1, Flags: wire.ACK, Window: 5}
		if o.HasTimestamps {
			ack.Options = wire.TCPOptions{HasTimestamps: true, TSval: syn.Options.TSval + 3, TSecr: o.TSval}
		}
		got, ok := r.TakeCookie(later, &key, offset, v6, &ack)
		if !ok {
			t.Fatal("our own cookie is not taken")
		}
		mss := uint16(0)
		for _, m := range cookieMSS {
			if m <= want.peerMSS {
				mss = m
			}
		}
		if got.flags != want.flags|halfAmbiguous || got.peerScale != want.peerScale && got.flags&halfScale != 0 || got.peerMSS != mss || got.irs != syn.Seq {
			t.Fatalf("%+v, want %+v", got, want)
		}
		if _, ok := r.TakeCookie(now.Add(CookieLife+time.Millisecond), &key, offset, v6, &ack); ok {
			t.Fatal("an old one is taken")
		}
		wrong := ack
		switch rapid.IntRange(0, 3).Draw(t, "wrong") {
		case 0:
			wrong.Ack ^= 1 << rapid.IntRange(0, 31).Draw(t, "bit")
		case 1:
			wrong.Seq++
		case 2:
			other := key
			other[0]++
			if _, ok := r.TakeCookie(later, &other, offset, v6, &ack); ok {
				t.Fatal("taken with another key")
			}
			return
		case 3:
			if !o.HasTimestamps {
				return
			}
			wrong.Options.TSecr ^= 1 << rapid.IntRange(0, 5).Draw(t, "option") // options that were never negotiated
		}
		if _, ok := r.TakeCookie(later, &key, offset, v6, &wrong); ok {
			t.Fatal("a wrong one is taken")
		}
	})
}

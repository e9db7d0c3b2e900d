package ip

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
)

type account struct{ used, limit int64 }

func (a *account) Charge(n int64) bool {
	if a.used+n > a.limit {
		return false
	}
	a.used += n
	return true
}
func (a *account) Release(n int64) { a.used -= n }

type testReassembler struct {
	*Reassembler
	account *account
	drops   *[api.NumDropReasons]uint64
}

func newTestReassembler() testReassembler {
	a, d := &account{limit: 4 << 20}, new([api.NumDropReasons]uint64)
	return testReassembler{NewReassembler(a, d), a, d}
}

// A frag is a piece of a datagram, in bytes.
type frag struct {
	off, n int
	more   bool
	fill   byte // instead of the datagram's own bytes, if not 0
}

var datagramBytes = func() []byte {
	b := make([]byte, 1<<16)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}()

func (f frag) payload() []byte {
	b := bytes.Clone(datagramBytes[f.off : f.off+f.n])
	if f.fill != 0 {
		for i := range b {
			b[i] = f.fill
		}
	}
	return b
}

// packet lets gopacket write the fragment.
func (f frag) packet(t testing.TB, is6 bool, id uint32, src netip.Addr) []byte {
	if is6 {
		// gopacket cannot serialize the fragment header
		more := byte(0)
		if f.more {
			more = 1
		}
		b := v6(44, []byte{17, 0, byte(f.off >> 8), byte(f.off) | more, byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)}, f.payload())
		if src.IsValid() {
			copy(b[8:], src.AsSlice())
		}
		return b
	}
	return serialize(t, ipv4(func(l *layers.IPv4) {
		l.Id, l.FragOffset, l.Protocol = uint16(id), uint16(f.off/8), layers.IPProtocolUDP
		if f.more {
			l.Flags = layers.IPv4MoreFragments
		}
		if src.IsValid() {
			l.SrcIP = src.AsSlice()
		}
	}), gopacket.Payload(f.payload()))
}

func (r testReassembler) add(t testing.TB, now clock.Time, b []byte) []byte {
	t.Helper()
	p, f, ok := Parse(b, len(b))
	if !ok || !p.Fragment {
		t.Fatalf("not a fragment: %v", f.Reason)
	}
	whole, _ := r.Add(now, &p, b)
	return whole
}

func (r testReassembler) wantEmpty(t testing.TB) {
	t.Helper()
	if r.Len() != 0 || r.Memory() != 0 || r.account.used != 0 || len(r.sources) != 0 || r.Deadline() != clock.Never {
		t.Errorf("left: %d datagrams, %d bytes, %d charged, %d sources, deadline %v", r.Len(), r.Memory(), r.account.used, len(r.sources), r.Deadline())
	}
}

// permutations calls f with every order of n things.
func permutations(n int, f func([]int)) {
	order := make([]int, 0, n)
	used := make([]bool, n)
	var walk func()
	walk = func() {
		if len(order) == n {
			f(order)
			return
		}
		for i := range n {
			if !used[i] {
				used[i] = true
				order = append(order, i)
				walk()
				order = order[:len(order)-1]
				used[i] = false
			}
		}
	}
	walk()
}

// TestReassemblyPermutations: every way to cut a datagram of five blocks and a bit,
// in every order.
func TestReassemblyPermutations(t *testing.T) {
	const total = 5*8 + 3
	for _, is6 := range []bool{false, true} {
		for cuts := range 1 << 5 { // where the datagram is cut: after blocks 1 to 5
			if cuts == 0 {
				continue
			}
			var fs []frag
			start := 0
			for i := range 5 {
				if cuts>>i&1 != 0 {
					fs = append(fs, frag{off: start, n: (i+1)*8 - start, more: true})
					start = (i + 1) * 8
				}
			}
			fs = append(fs, frag{off: start, n: total - start})
			permutations(len(fs), func(order []int) {
				if is6 && fs[0].n < 8 {
					return
				}
				r := newTestReassembler()
				var whole []byte
				for i, k := range order {
					if whole = r.add(t, 0, fs[k].packet(t, is6, 9, netip.Addr{})); whole != nil && i < len(order)-1 {
						t.Fatalf("whole after %d of %v", i+1, order)
					}
				}
				p, f, ok := Parse(whole, len(whole))
				if !ok || p.Fragment || !bytes.Equal(whole[p.HeaderLen:p.Len], datagramBytes[:total]) {
					t.Fatalf("v6 %v, cuts %b, order %v: ok %v (%v), % x", is6, cuts, order, ok, f.Reason, whole)
				}
				// An independent reader agrees.
				kind := layers.LayerTypeIPv4
				if is6 {
					kind = layers.LayerTypeIPv6
				}
				if g := gopacket.NewPacket(whole, kind, gopacket.Default); g.NetworkLayer() == nil || len(g.NetworkLayer().LayerPayload()) != total {
					t.Fatalf("gopacket reads %v", g)
				}
				r.wantEmpty(t)
			})
		}
	}
}

// TestReassemblyHoles: with any one fragment missing nothing comes out, until the
// datagram is given up.
func TestReassemblyHoles(t *testing.T) {
	fs := []frag{{0, 8, true, 0}, {8, 16, true, 0}, {24, 8, true, 0}, {32, 5, false, 0}}
	for _, is6 := range []bool{false, true} {
		timeout := Reassembly4Timeout
		if is6 {
			timeout = Reassembly6Timeout
		}
		for missing := range fs {
			r := newTestReassembler()
			for i, f := range fs {
				if i != missing && r.add(t, clock.Time(time.Duration(i)*time.Second), f.packet(t, is6, 1, netip.Addr{})) != nil {
					t.Fatalf("whole without fragment %d", missing)
				}
			}
			first := time.Duration(0)
			if missing == 0 {
				first = time.Second
			}
			due := clock.Time(first + timeout)
			if r.Deadline() != due {
				t.Errorf("deadline %v, want %v", r.Deadline(), due)
			}
			var quoted [][]byte
			exceeded := func(src, dst netip.Addr, quote []byte) { quoted = append(quoted, quote) }
			r.Expire(due-1, exceeded)
			if r.Len() != 1 {
				t.Error("given up too soon")
			}
			r.Expire(due, exceeded)
			r.wantEmpty(t)
			// RFC 792: only if the first fragment came.
			if want := missing != 0; (len(quoted) == 1) != want {
				t.Errorf("without fragment %d: %d reports", missing, len(quoted))
			}
			if len(quoted) == 1 && !bytes.Equal(quoted[0], fs[0].packet(t, is6, 1, netip.Addr{})) {
				t.Errorf("quoted % x", quoted[0])
			}
			if r.drops[api.DropFragmentTimeout] != 3 {
				t.Errorf("%d counted as timed out", r.drops[api.DropFragmentTimeout])
			}
		}
	}
}

// TestReassemblyOverlap: a datagram with overlapping fragments is dropped whole, with
// what is still to come (RFC 5722), in every order. The oracle is a set of bytes.
func TestReassemblyOverlap(t *testing.T) {
	for _, is6 := range []bool{false, true} {
		for off := 0; off <= 32; off += 8 {
			for n := 8; off+n <= 40; n += 8 {
				evil := frag{off, n, true, 0xee}
				fs := []frag{{0, 16, true, 0}, {16, 16, true, 0}, {32, 8, false, 0}, evil}
				permutations(len(fs), func(order []int) {
					r := newTestReassembler()
					got := map[int]byte{} // what the datagram consists of so far
					clean, end := true, false
					for _, k := range order {
						f := fs[k]
						done := r.add(t, 0, f.packet(t, is6, 1, netip.Addr{}))
						for i, x := range f.payload() {
							if _, ok := got[f.off+i]; ok {
								clean = false
							}
							got[f.off+i] = x
						}
						end = end || k == 2
						if want := clean && end && len(got) == 40; want != (done != nil) {
							t.Fatalf("evil %+v, order %v, fragment %d: delivered %v, want %v", evil, order, k, done != nil, want)
						}
						if done == nil {
							continue
						}
						p, _, _ := Parse(done, len(done))
						for i, x := range done[p.HeaderLen:p.Len] {
							if got[i] != x {
								t.Fatalf("evil %+v, order %v: wrong bytes", evil, order)
							}
						}
						clear(got) // the next fragment begins another datagram
						clean, end = true, false
					}
					r.Expire(clock.Time(2*time.Minute), nil)
					r.wantEmpty(t)
				})
			}
		}
	}
}

func TestReassemblyDuplicates(t *testing.T) {
	for _, is6 := range []bool{false, true} {
		r := newTestReassembler()
		a, b := frag{0, 16, true, 0}.packet(t, is6, 1, netip.Addr{}), frag{16, 4, false, 0}.packet(t, is6, 1, netip.Addr{})
		for range 5 {
			if r.add(t, 0, a) != nil {
				t.Fatal("whole")
			}
		}
		if r.add(t, 0, b) == nil {
			t.Error("an exact duplicate, as networks make them, killed the datagram")
		}
		r.wantEmpty(t)
	}
}

// TestReassemblyRejects: what cannot be part of a datagram (S32).
func TestReassemblyRejects(t *testing.T) {
	for _, test := range []struct {
		name   string
		fs     []frag
		reason api.DropReason
	}{
		{"not a multiple of eight", []frag{{0, 12, true, 0}}, api.DropFragmentInvalid},
		{"empty", []frag{{8, 0, true, 0}}, api.DropFragmentInvalid},
		{"ping of death", []frag{{65528, 8, false, 0}}, api.DropFragmentInvalid},
		{"beyond the end", []frag{{8, 8, false, 0}, {16, 8, true, 0}}, api.DropFragmentInvalid},
		{"end before what came", []frag{{24, 8, true, 0}, {8, 8, false, 0}}, api.DropFragmentInvalid},
		{"two ends", []frag{{8, 8, false, 0}, {24, 8, false, 0}}, api.DropFragmentInvalid},
		{"teardrop", []frag{{0, 24, true, 0}, {8, 4, false, 0xee}}, api.DropFragmentOverlap},
	} {
		for _, is6 := range []bool{false, true} {
			r := newTestReassembler()
			for _, f := range test.fs {
				b := f.packet(t, is6, 1, netip.Addr{})
				if p, _, ok := Parse(b, len(b)); ok {
					if whole, _ := r.Add(0, &p, b); whole != nil {
						t.Errorf("%s: delivered", test.name)
					}
				}
			}
			if r.drops[test.reason] == 0 {
				t.Errorf("%s (v6 %v): not counted as %v: %v", test.name, is6, test.reason, r.drops)
			}
			r.Expire(clock.Time(time.Hour), nil)
			r.wantEmpty(t)
		}
	}
}

// TestReassemblyFlood: fragments that never make a datagram, from one source or
// from many, are bounded, and honest datagrams still come through (S31).
func TestReassemblyFlood(t *testing.T) {
	for name, source := range map[string]func(i int) netip.Addr{
		"one source":   func(int) netip.Addr { return netip.MustParseAddr("203.0.113.5") },
		"many sources": func(i int) netip.Addr { return netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newTestReassembler()
			rng := rand.New(rand.NewPCG(1, 2))
			template := frag{8, 8, true, 0}.packet(t, false, 0, netip.Addr{})
			good, lost := 0, 0
			for i := range 200_000 {
				p, _, _ := Parse(template, len(template))
				p.Src, p.FragID = source(i), rng.Uint32()&0xffff
				p.FragOffset = 8 * rng.IntN(8000)
				r.Add(clock.Time(i), &p, template)
				if r.account.used > 4<<20 || r.Memory() > maxReassemblyBytes || r.Len() > maxDatagrams {
					t.Fatalf("%d bytes in %d datagrams", r.account.used, r.Len())
				}
				if i%1000 == 0 {
					good++
					r.add(t, clock.Time(i), frag{0, 16, true, 0}.packet(t, false, uint32(i), netip.Addr{}))
				}
				if i%1000 == 10 {
					if r.add(t, clock.Time(i), frag{16, 4, false, 0}.packet(t, false, uint32(i-10), netip.Addr{})) == nil {
						lost++
					}
				}
			}
			if lost*10 > good {
				t.Errorf("%d of %d honest datagrams were lost", lost, good)
			}
			r.Expire(clock.Time(time.Hour), nil)
			r.wantEmpty(t)
		})
	}
}

// TestReassemblyDeadline: with both families the deadline is the earliest, though
// neither is always the oldest.
func TestReassemblyDeadline(t *testing.T) {
	sec := func(n int) clock.Time { return clock.Time(time.Duration(n) * time.Second) }
	r := newTestReassembler()
	f := frag{8, 8, true, 0}
	r.add(t, sec(0), f.packet(t, true, 1, netip.Addr{}))
	r.add(t, sec(1), f.packet(t, true, 2, netip.Addr{}))
	r.add(t, sec(10), f.packet(t, false, 3, netip.Addr{}))
	for _, want := range []clock.Time{sec(40), sec(60), sec(61)} {
		if r.Deadline() != want {
			t.Fatalf("deadline %v, want %v", r.Deadline(), want)
		}
		r.Expire(want, nil)
	}
	r.wantEmpty(t)
}

func TestReassemblyECN(t *testing.T) {
	// RFC 3168, section 5.3: the codepoints of the fragments, and of the whole;
	// 9 means that it is dropped.
	for _, test := range []struct{ a, b, want byte }{
		{0, 0, 0}, {1, 1, 1}, {2, 2, 2}, {3, 3, 3}, {2, 3, 3}, {1, 3, 3}, {0, 3, 9}, {0, 2, 0}, {1, 2, 2},
	} {
		for _, is6 := range []bool{false, true} {
			r := newTestReassembler()
			var whole []byte
			for i, f := range []frag{{0, 8, true, 0}, {8, 8, false, 0}} {
				b := f.packet(t, is6, 1, netip.Addr{})
				p, _, _ := Parse(b, len(b))
				p.TOS = [...]byte{test.a, test.b}[i]
				whole, _ = r.Add(0, &p, b)
			}
			if (whole == nil) != (test.want == 9) {
				t.Errorf("%+v: delivered %v", test, whole != nil)
			} else if whole != nil {
				if p, _, ok := Parse(whole, len(whole)); !ok || p.TOS != test.want {
					t.Errorf("%+v: %d", test, p.TOS)
				}
			}
		}
	}
}

func FuzzReassembly(f *testing.F) {
	f.Add([]byte{0, 8, 1, 8, 8, 0})
	f.Fuzz(func(t *testing.T, script []byte) {
		r := newTestReassembler()
		now := clock.Time(0)
		for ; len(script) >= 3; script = script[3:] {
			off, n, more := int(script[0]&31)*8, int(script[1]&31), script[2]&1 != 0
			b := frag{off, n, more, script[0]}.packet(t, script[2]&2 != 0, uint32(script[2]>>6), netip.Addr{})
			if p, _, ok := Parse(b, len(b)); ok && p.Fragment {
				if whole, _ := r.Add(now, &p, b); whole != nil {
					if q, _, ok := Parse(whole, len(whole)); !ok || q.Fragment {
						t.Fatalf("reassembled into % x", whole)
					}
				}
			}
			now = now.Add(time.Duration(script[2]>>4) * time.Second)
			r.Expire(now, nil)
		}
		r.Clear()
		r.wantEmpty(t)
	})
}

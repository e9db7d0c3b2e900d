package pages

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// Whatever lengths follow each other, a packet has the bytes that were read, its
// beginning is where Head shows it, and none is written over by those that come
// later.
func TestSlot(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	lengths := []int{1, Small - 1, Small, Small + 1, CopyLimit, CopyLimit + 1, Small + CopyLimit, Small + CopyLimit + 1, Big - 1, Big}
	var s Slot
	defer s.Release()
	type packet struct {
		want []byte
		got  func() []byte
	}
	var kept []packet
	whole := 0
	for range 2000 {
		n := lengths[r.IntN(len(lengths))]
		if r.IntN(2) == 0 {
			n = 1 + r.IntN(Small)
		}
		want := make([]byte, n)
		for i := range want {
			want[i] = byte(r.Uint32())
		}
		first, second := s.Space()
		if len(first)+len(second) < Big {
			t.Fatalf("room for %d and %d bytes", len(first), len(second))
		}
		copy(second, want[copy(first, want):])
		if !bytes.Equal(s.Head(n), want[:min(n, Small)]) {
			t.Fatal("Head")
		}
		p := s.Take(n)
		if len(p) == 1 && n > Small {
			whole++
		}
		if len(p) > 2 {
			t.Fatalf("%d pieces", len(p))
		}
		kept = append(kept, packet{want, func() (b []byte) {
			for i := range p {
				b = append(b, p[i].Bytes()...)
			}
			return b
		}})
		if len(kept) == 32 {
			for i, k := range kept {
				if !bytes.Equal(k.got(), k.want) {
					t.Fatalf("packet %d of %d bytes is damaged", i, len(k.want))
				}
			}
			kept = kept[:0]
		}
	}
	if whole == 0 {
		t.Error("no long packet came in one piece")
	}
}

// A packet costs the slice that it is handed over in.
func TestSlotAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector has pools forget")
	}
	var s Slot
	defer s.Release()
	for _, n := range []int{100, Big} {
		one := func() {
			s.Space()
			p := s.Take(n)
			for i := range p {
				p[i].Release()
			}
		}
		one()
		if a := testing.AllocsPerRun(200, one); a >= 2 {
			t.Errorf("%v allocations for a packet of %d bytes", a, n)
		}
	}
}

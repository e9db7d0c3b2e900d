package host

import (
	"encoding/binary"
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

// TestLookup compares a lookup with a map.
func TestLookup(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := lookup[timeWait]{hashKey: rapid.Uint64().Draw(t, "key"), place: func(w *timeWait) *place[timeWait] { return &w.place }}
		model := map[tuple]*timeWait{}
		tupleN := func(n uint32) (k tuple) {
			binary.BigEndian.PutUint32(k.remote[12:], n)
			return k
		}
		for _, n := range rapid.SliceOfN(rapid.Uint32Range(0, 300), 0, 2000).Draw(t, "keys") {
			k := tupleN(n)
			w := l.get(&k)
			if w != model[k] {
				t.Fatalf("%d: another one", n)
			}
			if w == nil {
				w = &timeWait{place: place[timeWait]{key: k}}
				l.add(w)
				model[k] = w
			} else {
				l.remove(w)
				delete(model, k)
			}
			if l.len() != len(model) {
				t.Fatalf("%d things, want %d", l.len(), len(model))
			}
		}
		for k, w := range model {
			if l.get(&k) != w {
				t.Fatal("lost one")
			}
			l.remove(w)
		}
		if l.len() != 0 || len(l.buckets) > minBuckets {
			t.Fatalf("%d left, %d buckets", l.len(), len(l.buckets))
		}
	})
}

// TestHalfOpenSize: what one SYN makes the host hold, with its bucket (S01).
func TestHalfOpenSize(t *testing.T) {
	if n := unsafe.Sizeof(halfOpen{}) + unsafe.Sizeof((*halfOpen)(nil)); n > 160 {
		t.Errorf("%d bytes", n)
	}
}

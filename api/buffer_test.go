package api

import (
	"bytes"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func TestBufferSizes(t *testing.T) {
	for _, n := range []int{0, 1, 2 << 10, 2<<10 + 1, 16 << 10, 16<<10 + 1, 66 << 10, 66<<10 + 1, 1 << 20} {
		b := Alloc(n)
		if b.Len() != n || len(b.Bytes()) != n || cap(b.Bytes()) != n {
			t.Errorf("Alloc(%d): len %d, cap %d", n, b.Len(), cap(b.Bytes()))
		}
		if b.MemSize() < int64(n) {
			t.Errorf("Alloc(%d) charges %d", n, b.MemSize())
		}
		if !b.Exclusive() {
			t.Errorf("Alloc(%d) is shared", n)
		}
		b.Release()
	}
}

// The memory behind a Buffer is charged whole, also for a small part of it.
func TestBufferMemSize(t *testing.T) {
	b := NewBuffer(make([]byte, 10, 1000))
	if b.MemSize() != 1000 {
		t.Errorf("MemSize is %d, want 1000", b.MemSize())
	}
	v := b.View(3, 4)
	if v.MemSize() != 1000 {
		t.Errorf("MemSize of a view is %d, want 1000", v.MemSize())
	}
}

// Slices handed out are limited in capacity: appending never touches a neighbour.
func TestBufferAppend(t *testing.T) {
	page := []byte("abcdef")
	for name, b := range map[string]*Buffer{"new": NewBuffer(page[:3]), "alloc": CopyBuffer([]byte("abc"))} {
		if c := append(b.Bytes(), 'X'); &c[0] == &b.Bytes()[0] {
			t.Errorf("%s: append wrote in place", name)
		}
	}
	b := NewBuffer(page)
	v := b.View(0, 3)
	rest := b.Split(4)
	for _, x := range []*Buffer{&v, b, rest} {
		_ = append(x.Bytes(), 'X')
	}
	b.Trim(0, 2)
	_ = append(b.Bytes(), 'Y')
	if string(page) != "abcdef" {
		t.Errorf("the page is now %q", page)
	}
}

func TestBufferViews(t *testing.T) {
	b := CopyBuffer([]byte("hello, world"))
	v := b.View(7, 12)
	if string(v.Bytes()) != "world" || b.Exclusive() || v.Exclusive() {
		t.Fatalf("view %q, exclusive %v, %v", v.Bytes(), b.Exclusive(), v.Exclusive())
	}
	rest := b.Split(5)
	if string(b.Bytes()) != "hello" || string(rest.Bytes()) != ", world" {
		t.Fatalf("split into %q and %q", b.Bytes(), rest.Bytes())
	}
	b.Release()
	rest.Release()
	if !v.Exclusive() || string(v.Bytes()) != "world" {
		t.Fatalf("the last owner sees %q, exclusive %v", v.Bytes(), v.Exclusive())
	}
	v.Release()
}

// What has been released to the pool is not seen through a view that is still held.
func TestBufferReuse(t *testing.T) {
	b := CopyBuffer([]byte("precious"))
	v := b.View(0, 8)
	b.Release()
	var held []*Buffer
	for range 100 {
		n := CopyBuffer([]byte("XXXXXXXX"))
		held = append(held, n)
	}
	if string(v.Bytes()) != "precious" {
		t.Fatalf("the view now shows %q", v.Bytes())
	}
	v.Release()
	for _, n := range held {
		n.Release()
	}
}

func TestBufferDoubleRelease(t *testing.T) {
	b := CopyBuffer([]byte("x"))
	v := b.View(0, 1)
	b.Release()
	defer func() {
		if p := recover(); (p != nil) != catchDoubleRelease {
			t.Errorf("panic %v, race build %v", p, catchDoubleRelease)
		}
		if v.MemSize() == 0 || !v.Exclusive() { // another's reference was not taken away
			t.Error("the view lost its memory")
		}
	}()
	b.Release()
}

// Two Buffers over the same memory may be released concurrently.
func TestBufferConcurrentRelease(t *testing.T) {
	for range 100 {
		b := Alloc(100)
		var wg sync.WaitGroup
		for range 4 {
			v := b.View(0, 100)
			wg.Go(func() { v.Release() })
		}
		b.Release()
		wg.Wait()
	}
}

// Any sequence of View, Split, Trim and Release shows the right bytes, and gives
// the memory back exactly when the last Buffer goes.
func TestBufferProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.SliceOfN(rapid.Byte(), 1, 5000).Draw(t, "data")
		type part struct {
			b    *Buffer
			want []byte
		}
		first := CopyBuffer(data)
		mem := first.mem
		parts := []part{{first, data}}
		for len(parts) > 0 && rapid.IntRange(0, 30).Draw(t, "go on") > 0 {
			k := rapid.IntRange(0, len(parts)-1).Draw(t, "which")
			p := &parts[k]
			i := rapid.IntRange(0, len(p.want)).Draw(t, "i")
			j := rapid.IntRange(i, len(p.want)).Draw(t, "j")
			switch rapid.IntRange(0, 3).Draw(t, "op") {
			case 0:
				v := p.b.View(i, j)
				parts = append(parts, part{&v, p.want[i:j]})
			case 1:
				rest := p.b.Split(i)
				tail := p.want[i:]
				p.want = p.want[:i]
				parts = append(parts, part{rest, tail})
			case 2:
				p.b.Trim(i, j)
				p.want = p.want[i:j]
			case 3:
				p.b.Release()
				parts = append(parts[:k], parts[k+1:]...)
			}
			for _, p := range parts {
				if !bytes.Equal(p.b.Bytes(), p.want) || p.b.Len() != len(p.want) {
					t.Fatalf("%q instead of %q", p.b.Bytes(), p.want)
				}
				if p.b.Exclusive() != (len(parts) == 1) {
					t.Fatalf("%d buffers, Exclusive is %v", len(parts), p.b.Exclusive())
				}
			}
			if got := int(mem.refs.Load()); len(parts) > 0 && got != len(parts) {
				t.Fatalf("%d references for %d buffers", got, len(parts))
			}
		}
	})
}

// Join puts together again what View and Split have taken apart, and nothing else.
func TestBufferJoin(t *testing.T) {
	page := Alloc(100)
	for i := range page.Bytes() {
		page.Bytes()[i] = byte(i)
	}
	a, b, c := page.View(10, 30), page.View(30, 50), page.View(50, 60)
	empty := page.View(30, 30)
	other := CopyBuffer(page.Bytes()[30:50])
	for what, next := range map[string]*Buffer{"a gap": &c, "itself": &a, "other memory": other, "nothing": &empty, "what comes before": page} {
		if a.Join(next) {
			t.Errorf("joined with %s", what)
		}
	}
	if c.Join(&b) {
		t.Error("joined backwards")
	}
	if !a.Join(&b) || !a.Join(&c) {
		t.Fatal("not joined")
	}
	if a.Len() != 50 || cap(a.Bytes()) != 50 || a.Bytes()[0] != 10 || a.Bytes()[49] != 59 {
		t.Errorf("%d bytes, %v", a.Len(), a.Bytes())
	}
	empty.Release()
	page.Release()
	if !a.Exclusive() {
		t.Error("something still refers to the page")
	}
	tail := a.Split(20)
	if !a.Join(tail) || a.Len() != 50 {
		t.Error("what was split is not joined")
	}
	a.Release()
	gone := NewBuffer([]byte("x"))
	gone.Release()
	if gone.Join(other) || other.Join(gone) {
		t.Error("joined with a released buffer")
	}
	other.Release()
}

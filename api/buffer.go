package api

import (
	"sync"
	"sync/atomic"
	"unsafe"
)

// A Buffer is a run of bytes with one owner at a time.
//
// Passing a Buffer to a method documented to take ownership gives it away.
// Whoever owns it last should Release it, which lets its memory be reused; a
// Buffer that is dropped instead is garbage like any other. A Buffer may be
// a part of a larger page, which it keeps alive: copy the bytes to keep a few of
// them for long.
//
// A Buffer is not safe for concurrent use; two Buffers over the same memory are.
type Buffer struct {
	b   []byte
	mem *memory // nil once released
}

// memory is what several Buffers may look at. It goes back to its pool when
// the last of them is released, so refs also tells whether one may be written.
type memory struct {
	refs atomic.Int32
	page []byte
	pool *sync.Pool // nil if the page is not pooled
}

// Page sizes of Alloc: one for a packet of an ordinary MTU with headroom, one
// for bulk, one for a super-packet of 64 KiB with headroom.
var pageSizes = [...]int{2 << 10, 16 << 10, 66 << 10}

var pagePools [len(pageSizes)]sync.Pool

// NewBuffer returns a Buffer that owns b, which the caller must not use again.
func NewBuffer(b []byte) *Buffer {
	n := new(struct { // one allocation for both
		Buffer
		memory
	})
	n.page = b[:cap(b):cap(b)]
	n.refs.Store(1)
	n.Buffer = Buffer{b: b[:len(b):len(b)], mem: &n.memory}
	return &n.Buffer
}

// Alloc returns a Buffer of n bytes from a pool. Its contents are undefined.
func Alloc(n int) *Buffer {
	b := alloc(n)
	return &b
}

// alloc is apart from Alloc so that the latter is inlined, and the Buffer need
// not be allocated where the caller only wants its value.
func alloc(n int) Buffer {
	for i, size := range pageSizes {
		if n > size {
			continue
		}
		m, _ := pagePools[i].Get().(*memory)
		if m == nil {
			m = &memory{page: make([]byte, size), pool: &pagePools[i]}
		}
		m.refs.Store(1)
		return Buffer{b: m.page[:n:n], mem: m}
	}
	return *NewBuffer(make([]byte, n))
}

// tinyCopy is the size up to which a copy is allocated with its Buffer: a page would
// cost more to fetch, and who is charged for what a Buffer keeps alive would pay
// for much that is not used.
const tinyCopy = 64

// CopyBuffer returns a Buffer with a copy of b.
func CopyBuffer(b []byte) *Buffer {
	if len(b) <= tinyCopy {
		n := new(struct {
			Buffer
			memory
			bytes [tinyCopy]byte
		})
		n.page = n.bytes[:]
		n.refs.Store(1)
		n.Buffer = Buffer{b: n.bytes[:copy(n.bytes[:], b):len(b)], mem: &n.memory}
		return &n.Buffer
	}
	c := Alloc(len(b))
	copy(c.b, b)
	return c
}

// Bytes returns the contents. They are valid until the Buffer is released or
// given away; appending to them never touches a neighbour.
func (b *Buffer) Bytes() []byte { return b.b }

// Len returns the number of bytes.
func (b *Buffer) Len() int { return len(b.b) }

// MemSize returns the memory that the Buffer keeps alive, in bytes, however few
// of them it shows.
func (b *Buffer) MemSize() int64 {
	if b.mem == nil {
		return 0
	}
	return int64(len(b.mem.page))
}

// View returns another Buffer over bytes [i, j) of b, sharing their memory.
// Both have to be released.
func (b *Buffer) View(i, j int) Buffer {
	if b.mem != nil {
		b.mem.refs.Add(1)
	}
	return Buffer{b: b.b[i:j:j], mem: b.mem}
}

// Trim narrows b to its bytes [i, j).
func (b *Buffer) Trim(i, j int) { b.b = b.b[i:j:j] }

// Split cuts b at n and returns the rest as a Buffer of its own. Nothing is
// copied.
func (b *Buffer) Split(n int) *Buffer {
	t := b.View(n, len(b.b))
	b.Trim(0, n)
	return &t
}

// Join takes next into b where its bytes follow b's in the same memory, as those of two
// Views or of the parts of a Split do, and reports whether that is so. next is released
// by it.
func (b *Buffer) Join(next *Buffer) bool {
	n := len(b.b)
	if b.mem == nil || b.mem != next.mem || n == 0 || len(next.b) == 0 {
		return false
	}
	// b's capacity ends with it: only the page knows what follows.
	from, end := pageOffset(b.mem.page, b.b), pageOffset(next.mem.page, next.b)+len(next.b)
	if from+n+len(next.b) != end {
		return false
	}
	b.b = b.mem.page[from:end:end]
	next.Release()
	return true
}

// pageOffset returns where in page the slice b of it begins.
func pageOffset(page, b []byte) int {
	return int(uintptr(unsafe.Pointer(unsafe.SliceData(b))) - uintptr(unsafe.Pointer(unsafe.SliceData(page))))
}

// Exclusive reports whether no other Buffer shares b's memory, so that whoever
// owns b may overwrite it unseen (R1).
func (b *Buffer) Exclusive() bool { return b.mem == nil || b.mem.refs.Load() == 1 }

// Release gives the memory back. The Buffer must not be used afterwards.
// Releasing it twice is a bug, which builds with the race detector report by a
// panic and others ignore.
func (b *Buffer) Release() {
	m := b.mem
	if m == nil {
		if catchDoubleRelease {
			panic("BUG: Buffer released twice")
		}
		return
	}
	b.b, b.mem = nil, nil
	switch refs := m.refs.Add(-1); {
	case refs == 0 && m.pool != nil:
		m.pool.Put(m)
	case refs < 0:
		panic("BUG: Buffer memory released more often than shared")
	}
}

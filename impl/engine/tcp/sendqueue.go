package tcp

import (
	"sort"

	"github.com/sluicenet/sluice/api"
)

// sendQueue holds what was written and is not acknowledged. Segments are views
// of its buffers, so that nothing is copied (W1).
type sendQueue struct {
	bufs    []sendBuf
	head    int
	end     uint64 // sequence number after the last byte written
	charged int64
}

type sendBuf struct {
	b      api.Buffer
	start  uint64
	charge int64
	ends   bool // a record ends with it (Emulation.Records)
}

// bufferOverhead is charged for the bookkeeping of each queued buffer, without
// which one-byte buffers would be almost free.
const bufferOverhead = 64

// sendCharge is what a written buffer costs: the memory that it alone keeps
// alive, or only its bytes where somebody else holds the page as well.
func sendCharge(b *api.Buffer) int64 {
	n := int64(b.Len())
	if b.Exclusive() {
		n = max(n, b.MemSize())
	}
	return n + bufferOverhead
}

// push appends a buffer, which it takes.
func (q *sendQueue) push(b *api.Buffer, charge int64) {
	q.bufs = append(q.bufs, sendBuf{b: *b, start: q.end, charge: charge})
	q.end += uint64(b.Len())
	q.charged += charge
	*b = api.Buffer{}
}

// ack releases the buffers that end at or below una, and returns what they cost.
func (q *sendQueue) ack(una uint64) (freed int64) {
	for q.head < len(q.bufs) {
		e := &q.bufs[q.head]
		if e.start+uint64(e.b.Len()) > una {
			break
		}
		freed += e.charge
		e.b.Release()
		*e = sendBuf{}
		q.head++
	}
	if q.head == len(q.bufs) {
		q.bufs, q.head = reuse(q.bufs), 0
	} else if q.head > 64 && q.head > len(q.bufs)/2 {
		n := copy(q.bufs, q.bufs[q.head:])
		clear(q.bufs[n:])
		q.bufs, q.head = q.bufs[:n], 0
	}
	q.charged -= freed
	return freed
}

// bytes returns how many are held, of which the first may be acknowledged.
func (q *sendQueue) bytes() int64 {
	if q.head == len(q.bufs) {
		return 0
	}
	return int64(q.end - q.bufs[q.head].start)
}

// endRecord marks the end of what is queued as that of a record.
func (q *sendQueue) endRecord() { q.bufs[len(q.bufs)-1].ends = true }

// record returns how many of the n bytes from seq on belong to the record that seq is
// in.
func (q *sendQueue) record(seq uint64, n int64) int64 {
	live := q.bufs[q.head:]
	i := max(sort.Search(len(live), func(i int) bool { return live[i].start > seq })-1, 0)
	for ; i < len(live) && live[i].start < seq+uint64(n); i++ {
		if live[i].ends {
			return min(n, int64(live[i].start+uint64(live[i].b.Len())-seq))
		}
	}
	return n
}

// views appends views of the n bytes from seq on.
func (q *sendQueue) views(dst []api.Buffer, seq uint64, n int64) []api.Buffer {
	live := q.bufs[q.head:]
	i := sort.Search(len(live), func(i int) bool { return live[i].start > seq }) - 1
	if i < 0 {
		panic("BUG: sending bytes that are no longer queued")
	}
	for ; n > 0; i++ {
		e := &live[i]
		from := int(seq - e.start)
		k := min(int64(e.b.Len()-from), n)
		dst = append(dst, e.b.View(from, from+int(k)))
		seq += uint64(k)
		n -= k
	}
	return dst
}

// clear releases everything and returns what it cost.
func (q *sendQueue) clear() (freed int64) {
	for i := q.head; i < len(q.bufs); i++ {
		q.bufs[i].b.Release()
	}
	freed = q.charged
	*q = sendQueue{end: q.end}
	return freed
}

// reuse returns an empty slice with the memory of s, unless that is more than an
// idle connection should hold.
func reuse[E any](s []E) []E { return reuseUpTo(s, 128) }

func reuseUpTo[E any](s []E, limit int) []E {
	if cap(s) > limit {
		return nil
	}
	return s[:0]
}

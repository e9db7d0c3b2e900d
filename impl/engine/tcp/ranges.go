package tcp

import "sort"

// unwrap returns the 64-bit sequence number nearest to ref whose low half is seq.
func unwrap(ref uint64, seq uint32) uint64 {
	return ref + uint64(int64(int32(seq-uint32(ref))))
}

// seqBase is added to initial sequence numbers so that what lies up to 2^31 below
// them is still positive.
const seqBase = 1 << 32

// seqRange is the sequence numbers [start, end).
type seqRange struct{ start, end uint64 }

// rangeSet is a set of sequence numbers: sorted ranges that neither overlap nor
// touch.
type rangeSet []seqRange

// after returns the index of the first range that ends after seq.
func (s rangeSet) after(seq uint64) int {
	return sort.Search(len(s), func(i int) bool { return s[i].end > seq })
}

// containing returns the range that seq lies in.
func (s rangeSet) containing(seq uint64) (seqRange, bool) {
	if i := s.after(seq); i < len(s) && s[i].start <= seq {
		return s[i], true
	}
	return seqRange{}, false
}

// covers reports whether every number of r is in the set.
func (s rangeSet) covers(r seqRange) bool {
	c, ok := s.containing(r.start)
	return ok && c.end >= r.end
}

// grows reports whether adding r would make one range more.
func (s rangeSet) grows(r seqRange) bool {
	i := sort.Search(len(s), func(i int) bool { return s[i].end >= r.start })
	return i == len(s) || s[i].start > r.end
}

// add puts r into the set.
func (s *rangeSet) add(r seqRange) {
	a := *s
	i := sort.Search(len(a), func(i int) bool { return a[i].end >= r.start })
	j := i
	for j < len(a) && a[j].start <= r.end {
		r.start, r.end = min(r.start, a[j].start), max(r.end, a[j].end)
		j++
	}
	if i == j {
		a = append(a, seqRange{})
		copy(a[i+1:], a[i:])
		a[i] = r
	} else {
		a[i] = r
		a = append(a[:i+1], a[j:]...)
	}
	*s = a
}

// trimBelow takes everything below seq out of the set.
func (s *rangeSet) trimBelow(seq uint64) {
	a := *s
	i := a.after(seq)
	if i > 0 {
		a = append(a[:0], a[i:]...)
	}
	if len(a) > 0 && a[0].start < seq {
		a[0].start = seq
	}
	*s = a
}

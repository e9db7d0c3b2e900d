// Package pages has the memory that device drivers read packets into.
package pages

import "github.com/sluicenet/sluice/api"

// Sizes.
const (
	Small     = 2 << 10  // where the beginning of a packet is read to
	Big       = 64 << 10 // and where the rest of a longer one; or all of it
	CopyLimit = 16 << 10 // what a big page has up to this many bytes of is copied into a page of its size
)

// patience is how many packets in a row, none of which needed a big page, end the
// reading of whole packets into one.
const patience = 16

// A Slot is where one packet is read to. The zero value is ready.
//
// Usually that is a small page and a big one behind it, so that what fits into the
// small one costs no more than that. While super-packets come it is the big
// page alone: they are then in one piece, which costs their reader half as much.
type Slot struct {
	small, big api.Buffer // empty if there is none: values cost no allocation each
	whole      int        // how many packets more are read into the big page alone
}

// Space returns the memory to read the next packet to, one part after the other.
// The second part may be empty.
func (s *Slot) Space() (first, second []byte) {
	if s.big.Len() == 0 {
		s.big = *api.Alloc(Big)
	}
	if s.whole > 0 {
		return s.big.Bytes(), nil
	}
	if s.small.Len() == 0 {
		s.small = *api.Alloc(Small)
	}
	return s.small.Bytes(), s.big.Bytes()
}

// Head returns the beginning of a packet of n bytes that has been read.
func (s *Slot) Head(n int) []byte {
	if s.whole > 0 {
		return s.big.Bytes()[:min(n, Small)]
	}
	return s.small.Bytes()[:min(n, Small)]
}

// Take returns that packet. Memory that it does not keep is used again.
func (s *Slot) Take(n int) []api.Buffer {
	if s.whole > 0 {
		return []api.Buffer{s.takeBig(n)}
	}
	small := s.small
	s.small = api.Buffer{}
	if n <= Small {
		small.Trim(0, n)
		return []api.Buffer{small}
	}
	return []api.Buffer{small, s.takeBig(n - Small)}
}

// takeBig returns the first n bytes of the big page.
func (s *Slot) takeBig(n int) api.Buffer {
	if n <= CopyLimit {
		if s.whole > 0 {
			s.whole--
		}
		// CopyBuffer would allocate where a packet is but an acknowledgement.
		b := *api.Alloc(n)
		copy(b.Bytes(), s.big.Bytes()[:n])
		return b
	}
	s.whole = patience
	b := s.big
	s.big = api.Buffer{}
	b.Trim(0, n)
	return b
}

// Release gives the memory back.
func (s *Slot) Release() {
	for _, b := range []*api.Buffer{&s.small, &s.big} {
		if b.Len() > 0 {
			b.Release()
		}
	}
}

// Package pages has the memory that device drivers read packets into.
package pages

import "github.com/sluicenet/sluice/api"

// Sizes.
const (
	Small     = 2 << 10  // where the beginning of every packet is read to
	Big       = 64 << 10 // and where the rest of a longer one
	CopyLimit = 16 << 10 // a rest up to this long is copied into a page of its size
)

// A Slot is where one packet is read to. The zero value is ready.
type Slot struct{ small, big *api.Buffer }

// Space returns the memory to read the next packet to, one part after the other.
func (s *Slot) Space() (small, big []byte) {
	if s.small == nil {
		s.small = api.Alloc(Small)
	}
	if s.big == nil {
		s.big = api.Alloc(Big)
	}
	return s.small.Bytes(), s.big.Bytes()
}

// Head returns the beginning of a packet of n bytes that has been read.
func (s *Slot) Head(n int) []byte { return s.small.Bytes()[:min(n, Small)] }

// Take returns that packet. Memory that it does not keep is used again.
func (s *Slot) Take(n int) []api.Buffer {
	small := s.small
	s.small = nil
	if n <= Small {
		small.Trim(0, n)
		return []api.Buffer{*small}
	}
	rest := s.big
	if n-Small <= CopyLimit {
		rest = api.CopyBuffer(s.big.Bytes()[:n-Small])
	} else {
		rest.Trim(0, n-Small)
		s.big = nil
	}
	return []api.Buffer{*small, *rest}
}

// Release gives the memory back.
func (s *Slot) Release() {
	for _, b := range []*api.Buffer{s.small, s.big} {
		if b != nil {
			b.Release()
		}
	}
	s.small, s.big = nil, nil
}

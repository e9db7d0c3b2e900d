package packet

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/link/internal/virtio"
)

var nativeIsLittle = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// read hands packets to recv until the socket is closed or has failed.
func (s *socket) read(recv func(batch []link.Packet)) {
	s.batch = make([]link.Packet, 0, batchSize)
	for {
		err := s.raw.Read(s.fillFunc)
		if err != nil && !s.isClosed() && s.readError == nil {
			s.readError = err
		}
		if n := len(s.batch); n > 0 && err == nil {
			s.packetsIn.Add(uint64(n))
			recv(s.batch)
		}
		clear(s.batch)
		s.batch = s.batch[:0]
		if err != nil || s.readError != nil {
			break
		}
	}
	for i := range s.slots {
		s.slots[i].Release()
	}
	err := s.readError
	close(s.done)
	if err != nil && s.onError != nil {
		s.onError(fmt.Errorf("link %s: the interface has gone: %w", s.attr.Name, err))
	}
}

// fill receives one batch. It returns false to wait for more.
func (s *socket) fill(fd uintptr) bool {
	m := &s.in
	m.reset()
	for i := range s.slots {
		small, big := s.slots[i].Space()
		m.add(s.headers[i][:], small, big)
	}
	n, err := m.receive(int(fd))
	switch {
	case err == nil:
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return false
	default:
		// ENETDOWN comes once when the interface is set down, which may be for a
		// while, and when it has gone.
		s.errors.Add(1)
		if !s.exists(int(fd)) {
			s.readError = err
			return true
		}
		return false
	}
	for i := range n {
		s.received(i, m.length(i)-virtio.HeaderLen, m.truncated(i))
	}
	return len(s.batch) > 0
}

// exists reports whether the interface is there.
func (s *socket) exists(fd int) bool {
	ifr, err := unix.NewIfreq(s.attr.Name)
	return err == nil && !errors.Is(unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, ifr), unix.ENODEV)
}

// received makes a packet of the n bytes in slot i, if it is one.
func (s *socket) received(i, n int, truncated bool) {
	if n <= l2 || truncated {
		s.dropsIn.Add(1)
		return
	}
	o, ok := virtio.Parse(s.headers[i][:], s.slots[i].Head(n), n, l2)
	if !ok {
		s.dropsIn.Add(1)
		return
	}
	s.bytesIn.Add(uint64(n))
	s.batch = append(s.batch, link.Packet{Payload: s.slots[i].Take(n), Offload: o})
}

package packet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

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
		if errors.Is(err, os.ErrDeadlineExceeded) {
			if err = s.raw.Control(s.lookFunc); err == nil && s.readError == nil {
				continue
			}
		}
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
		s.errors.Add(1)
		s.look(fd)
		return s.readError != nil
	}
	for i := range n {
		s.received(i, m.length(i)-virtio.HeaderLen, m.truncated(i))
	}
	return len(s.batch) > 0
}

// lookAgain is how long a link that is down goes without a look at its interface.
const lookAgain = time.Second

// look finds out what has become of the interface. ENETDOWN comes once when it is set
// down, which may be for a while or because it is about to go, and nothing comes
// when it goes after that: so while it is down it is looked at again.
func (s *socket) look(fd uintptr) {
	up, err := s.interfaceUp(int(fd))
	switch {
	case errors.Is(err, unix.ENODEV):
		s.readError = err
	case err == nil && up:
		s.file.SetReadDeadline(time.Time{})
	default:
		s.file.SetReadDeadline(time.Now().Add(lookAgain))
	}
}

// interfaceUp reports whether the interface is up, by its index, which it keeps if it is
// given another name. The error is ENODEV if it has gone.
func (s *socket) interfaceUp(fd int) (bool, error) {
	ifr, err := unix.NewIfreq(s.attr.Name)
	if err != nil {
		return false, err
	}
	ifr.SetUint32(uint32(s.index))
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFNAME, ifr); err != nil {
		return false, err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, ifr); err != nil {
		return false, err
	}
	return ifr.Uint16()&unix.IFF_UP != 0, nil
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

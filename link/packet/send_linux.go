package packet

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/link/internal/virtio"
)

// sender is the part of a socket that belongs to whoever is sending.
type sender struct {
	mu      sync.Mutex
	batch   []link.Packet
	headers [batchSize][virtio.HeaderLen]byte
	out     messages
	sizes   [batchSize]int
	err     error // the interface has gone
}

// Send implements [link.Link]. Once the interface has gone it returns an error.
func (s *socket) Send(batch []link.Packet) error {
	t := &s.send
	t.mu.Lock()
	defer t.mu.Unlock()
	t.batch, t.err = batch, nil
	err := s.raw.Write(s.drainFunc)
	t.batch = nil
	switch {
	case err != nil && s.isClosed(): // err has no name outside package os
		return s.errClosed()
	case err != nil:
		return fmt.Errorf("link %s: %w", s.attr.Name, err)
	case t.err != nil:
		return fmt.Errorf("link %s: the interface has gone: %w", s.attr.Name, t.err)
	}
	return nil
}

// drain sends the batch. It always returns true: there is no waiting.
func (s *socket) drain(fd uintptr) bool {
	t := &s.send
	for len(t.batch) > 0 {
		t.out.reset()
		n := 0
		for len(t.batch) > 0 && n < batchSize {
			p := &t.batch[0]
			t.batch = t.batch[1:]
			if s.prepare(p, n) {
				n++
			} else {
				s.dropsOut.Add(1)
			}
		}
		if n > 0 && !s.transmit(int(fd), n) {
			s.dropsOut.Add(uint64(len(t.batch)))
			break
		}
	}
	t.out.forget()
	return true
}

// transmit sends the n messages that are prepared. It returns false if it makes no
// sense to send more now.
func (s *socket) transmit(fd, n int) bool {
	t := &s.send
	for i := 0; i < n; {
		sent, err := t.out.send(fd, i)
		for range sent {
			s.packetsOut.Add(1)
			s.bytesOut.Add(uint64(t.sizes[i]))
			i++
		}
		switch {
		case err == nil, errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ENOMEM):
			s.dropsOut.Add(uint64(n - i)) // no room
			return false
		case errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV):
			s.errors.Add(1)
			s.dropsOut.Add(uint64(n - i))
			t.err = err
			return false
		default: // ENETDOWN: the interface is down
			s.errors.Add(1)
			s.dropsOut.Add(1)
			i++
		}
	}
	return true
}

// prepare makes message i of p. It returns false if the interface cannot take
// such a packet.
func (s *socket) prepare(p *link.Packet, i int) bool {
	t, o := &s.send, &p.Offload
	n := p.Len()
	switch {
	case n <= l2:
		return false
	case o.GSOSize == 0 && n-l2 > s.attr.MTU:
		return false
	case o.GSOSize != 0 && n-l2 > s.attr.MaxGSO:
		return false
	}
	head := p.Header
	if len(head) == 0 {
		head = p.Payload[0].Bytes()
	}
	if !virtio.Emit(t.headers[i][:], o, head, n, l2) {
		return false
	}
	t.sizes[i] = n
	if len(p.Payload)+2 > maxPieces {
		t.out.add(t.headers[i][:], p.AppendTo(nil))
		return true
	}
	t.out.add(t.headers[i][:], p.Header)
	for j := range p.Payload {
		t.out.more(p.Payload[j].Bytes())
	}
	return true
}

package tun

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/api/link"
)

// sender is the part of a device that belongs to whoever is sending.
type sender struct {
	mu     sync.Mutex
	batch  []link.Packet
	header [virtioHeaderLen]byte
	iov    [][]byte
	whole  []byte // a packet in too many pieces, put together
	err    error  // the device has failed for good
}

// Send implements [link.Link]. Once the device has failed it returns an error.
func (d *device) Send(batch []link.Packet) error {
	s := &d.send
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batch, s.err = batch, nil
	err := d.raw.Write(d.drainFunc)
	s.batch = nil
	switch {
	case err != nil && d.isClosed(): // err has no name outside package os
		return d.errClosed()
	case err != nil:
		return fmt.Errorf("link %s: %w", d.attr.Name, err)
	case s.err != nil:
		return fmt.Errorf("link %s: the device has failed: %w", d.attr.Name, s.err)
	}
	return nil
}

// drain writes the batch. It always returns true: there is no waiting.
func (d *device) drain(fd uintptr) bool {
	s := &d.send
	for i := range s.batch {
		p := &s.batch[i]
		n := p.Len()
		if !d.prepare(p, n) {
			d.dropsOut.Add(1)
			continue
		}
		switch err := d.writev(int(fd)); {
		case err == nil:
			d.packetsOut.Add(1)
			d.bytesOut.Add(uint64(n))
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ENOMEM):
			d.dropsOut.Add(1) // no room
		case errors.Is(err, unix.EBADFD):
			d.dropsOut.Add(uint64(len(s.batch) - i))
			d.errors.Add(1)
			s.err = err
			return true
		default: // EIO: the interface is down
			d.dropsOut.Add(1)
			d.errors.Add(1)
		}
	}
	clear(s.iov[:cap(s.iov)])
	return true
}

// prepare sets the pieces to write for p, of n bytes. It returns false if the
// device cannot take such a packet.
func (d *device) prepare(p *link.Packet, n int) bool {
	s, o := &d.send, &p.Offload
	switch {
	case n == 0:
		return false
	case o.GSOSize == 0 && n > d.attr.MTU:
		return false
	case o.GSOSize != 0 && n > d.attr.MaxGSO:
		return false
	case o.NeedsChecksum && d.headerLen == 0:
		return false
	}
	s.iov = s.iov[:0]
	if d.headerLen > 0 {
		head := p.Header
		if len(head) == 0 {
			head = p.Payload[0].Bytes()
		}
		if !emitVirtio(s.header[:], o, head, n) {
			return false
		}
		s.iov = append(s.iov, s.header[:])
	}
	if len(p.Header) > 0 {
		s.iov = append(s.iov, p.Header)
	}
	if len(s.iov)+len(p.Payload) > maxPieces {
		s.whole = s.whole[:0]
		for i := range p.Payload {
			s.whole = append(s.whole, p.Payload[i].Bytes()...)
		}
		s.iov = append(s.iov, s.whole)
		return true
	}
	for i := range p.Payload {
		if b := p.Payload[i].Bytes(); len(b) > 0 {
			s.iov = append(s.iov, b)
		}
	}
	return true
}

func (d *device) writev(fd int) error {
	for {
		_, err := unix.Writev(fd, d.send.iov)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

package tuntap

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/link/internal/virtio"
)

// Send implements [link.Link]. All packets of a flow take the same queue, and so
// stay in order; the kernel then answers on that queue, too.
func (d *device) Send(batch []link.Packet) error {
	if len(d.queues) == 1 {
		return d.queues[0].transmit(batch)
	}
	if len(batch) == 0 {
		return d.queues[0].transmit(nil)
	}
	for len(batch) > 0 {
		q := d.queueOf(&batch[0])
		n := 1
		for n < len(batch) && d.queueOf(&batch[n]) == q {
			n++
		}
		if err := q.transmit(batch[:n]); err != nil {
			return err
		}
		batch = batch[n:]
	}
	return nil
}

// queueOf returns the queue for a packet, by a hash of its addresses and ports.
func (d *device) queueOf(p *link.Packet) *queue {
	head := p.Header
	if len(head) == 0 && len(p.Payload) > 0 {
		head = p.Payload[0].Bytes()
	}
	return d.queues[flowHash(head[min(d.l2, len(head)):])%uint32(len(d.queues))]
}

// flowHash hashes what tells one flow from another, in a packet that is no
// fragment: FNV-1a.
func flowHash(ip []byte) uint32 {
	var addrs, ports []byte
	switch {
	case len(ip) >= 20 && ip[0]>>4 == 4:
		addrs = ip[12:20]
		n := int(ip[0]&15) * 4
		if fragment := ip[6]&0x3f | ip[7]; fragment == 0 && len(ip) >= n+4 && n >= 20 {
			ports = ip[n : n+4]
		}
	case len(ip) >= 40 && ip[0]>>4 == 6:
		addrs = ip[8:40]
		if tcp := byte(6); ip[6] == tcp && len(ip) >= 44 {
			ports = ip[40:44]
		}
	}
	h := uint32(2166136261)
	for _, b := range addrs {
		h = (h ^ uint32(b)) * 16777619
	}
	for _, b := range ports {
		h = (h ^ uint32(b)) * 16777619
	}
	return h ^ h>>15
}

// sender is the part of a queue that belongs to whoever is sending.
type sender struct {
	mu     sync.Mutex
	batch  []link.Packet
	header [virtio.HeaderLen]byte
	iov    [][]byte
	whole  []byte // a packet in too many pieces, put together
	err    error  // the device has failed for good
}

// transmit sends packets. Once the device has failed it returns an error.
func (q *queue) transmit(batch []link.Packet) error {
	s := &q.send
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batch, s.err = batch, nil
	err := q.raw.Write(q.drainFunc)
	s.batch = nil
	switch {
	case err != nil && q.closed.Load(): // err has no name outside package os
		return q.errClosed()
	case err != nil:
		return fmt.Errorf("link %s: %w", q.attr.Name, err)
	case s.err != nil:
		return fmt.Errorf("link %s: the device has failed: %w", q.attr.Name, s.err)
	}
	return nil
}

// drain writes the batch. It always returns true: there is no waiting.
func (q *queue) drain(fd uintptr) bool {
	s := &q.send
	for i := range s.batch {
		p := &s.batch[i]
		n := p.Len()
		if !q.prepare(p, n) {
			q.dropsOut.Add(1)
			continue
		}
		switch err := q.writev(int(fd)); {
		case err == nil:
			q.packetsOut.Add(1)
			q.bytesOut.Add(uint64(n))
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ENOMEM):
			q.dropsOut.Add(1) // no room
		case errors.Is(err, unix.EBADFD):
			q.dropsOut.Add(uint64(len(s.batch) - i))
			q.errors.Add(1)
			s.err = err
			return true
		default: // EIO: the interface is down
			q.dropsOut.Add(1)
			q.errors.Add(1)
		}
	}
	clear(s.iov[:cap(s.iov)])
	return true
}

// prepare sets the pieces to write for p, of n bytes. It returns false if the
// device cannot take such a packet.
func (q *queue) prepare(p *link.Packet, n int) bool {
	s, o := &q.send, &p.Offload
	switch {
	case n <= q.l2:
		return false
	case o.GSOSize == 0 && n-q.l2 > q.attr.MTU:
		return false
	case o.GSOSize != 0 && n-q.l2 > q.attr.MaxGSO:
		return false
	case o.NeedsChecksum && q.headerLen == 0:
		return false
	}
	s.iov = s.iov[:0]
	if q.headerLen > 0 {
		head := p.Header
		if len(head) == 0 {
			head = p.Payload[0].Bytes()
		}
		if !virtio.Emit(s.header[:], o, head, n, q.l2) {
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

func (q *queue) writev(fd int) error {
	for {
		_, err := unix.Writev(fd, q.send.iov)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

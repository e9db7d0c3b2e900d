package tuntap

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/link/internal/pages"
	"github.com/sluicenet/sluice/link/internal/virtio"
)

// Implementation constants.
const (
	// What is handed to recv at a time, at most. A batch of super-packets is
	// short enough to be still in the cache when its reader comes.
	batchSize  = 64
	batchBytes = 1 << 20

	// maxPieces is how many slices one writev may have: IOV_MAX.
	maxPieces = 1024

	// maxReadErrors ends a wakeup in which reading keeps failing.
	maxReadErrors = 16
)

// A device is an open TUN or TAP device.
type device struct {
	attr      link.Attributes
	kind      Kind
	l2        int // bytes before the IP header
	headerLen int // of the virtio header, or 0 if there is none
	inherited bool
	onError   func(error)
	failed    sync.Once
	queues    []*queue

	mu       sync.Mutex
	attached bool
	closed   atomic.Bool // set under mu

	errors atomic.Uint64
}

// A queue of a device has a descriptor of its own. One goroutine reads; whoever
// calls Send writes.
type queue struct {
	*device
	file *os.File
	raw  syscall.RawConn
	done chan struct{} // the reading goroutine has ended

	// The reading goroutine's.
	fillFunc   func(fd uintptr) bool
	recv       func(batch []link.Packet)
	header     [virtio.HeaderLen]byte
	slot       pages.Slot // to be read into next
	batch      []link.Packet
	batchBytes int
	readIOV    [3][]byte
	readError  error // for good

	send      sender
	drainFunc func(fd uintptr) bool // drain, bound once: fewer allocations

	reads                          atomic.Uint64 // calls of readv
	packetsIn, bytesIn, dropsIn    atomic.Uint64
	packetsOut, bytesOut, dropsOut atomic.Uint64
}

// Attributes implements [link.Link].
func (d *device) Attributes() link.Attributes { return d.attr }

// Stats implements [link.Link].
func (d *device) Stats() link.Stats {
	st := link.Stats{Errors: d.errors.Load()}
	for _, q := range d.queues {
		st.PacketsIn += q.packetsIn.Load()
		st.BytesIn += q.bytesIn.Load()
		st.PacketsOut += q.packetsOut.Load()
		st.BytesOut += q.bytesOut.Load()
		st.DropsIn += q.dropsIn.Load()
		st.DropsOut += q.dropsOut.Load()
	}
	return st
}

// QueuePackets returns how many packets have crossed each queue of a link that Open
// has returned.
func QueuePackets(l link.Link) (in, out []uint64) {
	for _, q := range l.(*device).queues {
		in, out = append(in, q.packetsIn.Load()), append(out, q.packetsOut.Load())
	}
	return in, out
}

// Reads returns how many calls of readv the queues of a link that Open has returned
// have made.
func Reads(l link.Link) (n uint64) {
	for _, q := range l.(*device).queues {
		n += q.reads.Load()
	}
	return n
}

// Attach implements [link.Link]. It starts the reading goroutines.
func (d *device) Attach(recv func(batch []link.Packet)) error {
	if recv == nil {
		return fmt.Errorf("link %s: Attach of a nil function", d.attr.Name)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed.Load() {
		return d.errClosed()
	}
	if d.attached {
		return fmt.Errorf("link %s is attached already", d.attr.Name)
	}
	d.attached = true
	for _, q := range d.queues {
		go q.read(recv)
	}
	return nil
}

// Close implements [link.Link].
func (d *device) Close() error {
	d.mu.Lock()
	first := !d.closed.Swap(true)
	attached := d.attached
	d.mu.Unlock()
	var errs []error
	for _, q := range d.queues {
		if first {
			errs = append(errs, q.file.Close())
		}
	}
	if attached {
		for _, q := range d.queues {
			<-q.done
		}
	}
	return errors.Join(errs...)
}

func (d *device) errClosed() error { return fmt.Errorf("link %s: %w", d.attr.Name, net.ErrClosed) }

// read hands packets to recv until the device is closed or has failed.
func (q *queue) read(recv func(batch []link.Packet)) {
	q.recv, q.batch = recv, make([]link.Packet, 0, batchSize)
	q.file.SetReadDeadline(time.Now().Add(livenessInterval))
	for {
		err := q.raw.Read(q.fillFunc)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = nil
			q.checkAlive()
			q.file.SetReadDeadline(time.Now().Add(livenessInterval))
		}
		if err != nil && !q.closed.Load() {
			// The runtime's poller has seen the descriptor fail before we have.
			if q.checkAlive(); q.readError == nil {
				q.readError = err
			}
		}
		if err != nil || q.readError != nil {
			break
		}
	}
	q.slot.Release()
	err := q.readError
	close(q.done)
	if err != nil && q.onError != nil {
		q.failed.Do(func() { q.onError(fmt.Errorf("link %s: the device has failed: %w", q.attr.Name, err)) })
	}
}

// livenessInterval is how often the reading goroutine looks whether its device is
// still there. The kernel wakes readers of a device that is deleted a moment before
// it takes the device from them: who reads in between finds nothing, and would
// wait for ever.
const livenessInterval = 2 * time.Second

// checkAlive sets readError if the device is gone.
func (q *queue) checkAlive() {
	q.raw.Control(func(fd uintptr) {
		ifr, _ := unix.NewIfreq("")
		if err := unix.IoctlIfreq(int(fd), unix.TUNGETIFF, ifr); errors.Is(err, unix.EBADFD) {
			q.errors.Add(1)
			q.readError = err
		}
	})
}

// fill reads packets and hands them on until nothing is left. It then returns false,
// to wait for more. What comes while recv works with the last batch, after the look
// that found nothing, is not missed: the poller tells of it.
func (q *queue) fill(fd uintptr) bool {
	for {
		more := q.gather(int(fd))
		if n := len(q.batch); n > 0 {
			q.packetsIn.Add(uint64(n))
			q.recv(q.batch)
			clear(q.batch)
			q.batch = q.batch[:0]
			q.batchBytes = 0
		}
		if q.readError != nil || q.closed.Load() {
			return true
		}
		if !more {
			return false
		}
		// Those for whom something has come work while it is in the cache, and
		// make room in their windows. A device that always has more would keep
		// the processor until the scheduler takes it away.
		runtime.Gosched()
	}
}

// gather reads packets into the batch until that is full or nothing is left, and
// reports whether there may be more.
func (q *queue) gather(fd int) bool {
	for failures := 0; len(q.batch) < batchSize && q.batchBytes < batchBytes && q.readError == nil; {
		first, second := q.slot.Space()
		iov := append(q.readIOV[:0], first, second)
		if q.headerLen > 0 {
			iov = append(q.readIOV[:0], q.header[:], first, second)
		}
		q.reads.Add(1)
		n, err := unix.Readv(fd, iov)
		switch {
		case err == nil:
			q.received(n - q.headerLen)
		case errors.Is(err, unix.EAGAIN):
			return false
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EBADFD), errors.Is(err, unix.EBADF), errors.Is(err, unix.ENODEV):
			q.errors.Add(1)
			q.readError = err
		default:
			q.errors.Add(1)
			if failures++; failures == maxReadErrors {
				return false
			}
		}
	}
	return true
}

// received makes a packet of n bytes just read, if it is one.
func (q *queue) received(n int) {
	if n <= q.l2 {
		q.dropsIn.Add(1)
		return
	}
	if q.inherited && q.hasPacketInfo(n) {
		q.readError = errPacketInfo
		return
	}
	var o link.Offload
	if q.headerLen > 0 {
		var ok bool
		if o, ok = virtio.Parse(q.header[:], q.slot.Head(n), n, q.l2); !ok {
			q.dropsIn.Add(1)
			return
		}
	}
	q.bytesIn.Add(uint64(n))
	q.batchBytes += n
	q.batch = append(q.batch, link.Packet{Payload: q.slot.Take(n), Offload: o})
}

var errPacketInfo = errors.New("packet information stands before each packet: whoever opens the inherited descriptor must set IFF_NO_PI")

// hasPacketInfo reports whether a struct tun_pi stands before what was read.
// TUNGETIFF does not tell: it shows IFF_NOFILTER in the same bit as IFF_NO_PI.
func (q *queue) hasPacketInfo(n int) bool {
	b := q.slot.Head(n)
	if len(b) < 5+q.l2 {
		return false
	}
	if v := b[0] >> 4; q.l2 == 0 && (v == 4 || v == 6) {
		return false
	}
	pi := b[:4] // flags, and then the EtherType in network order
	if q.headerLen > 0 {
		pi = q.header[:4]
	}
	if q.l2 > 0 { // the EtherType stands in the frame once more
		return pi[0] == 0 && pi[1]&^1 == 0 && [2]byte(pi[2:4]) == [2]byte(b[4+12:])
	}
	switch proto := uint16(pi[2])<<8 | uint16(pi[3]); proto {
	case unix.ETH_P_IP:
		return b[4]>>4 == 4
	case unix.ETH_P_IPV6:
		return b[4]>>4 == 6
	}
	return false
}

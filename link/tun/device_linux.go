package tun

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/link"
)

// Implementation constants.
const (
	batchSize = 64       // packets handed to recv at a time
	smallPage = 2 << 10  // where the beginning of every packet is read to
	bigPage   = 64 << 10 // and where the rest of a longer one
	copyLimit = 16 << 10 // a rest up to this long is copied into a page of its size

	// maxPieces is how many slices one writev may have: IOV_MAX.
	maxPieces = 1024

	// maxReadErrors ends a wakeup in which reading keeps failing.
	maxReadErrors = 16
)

// A device is an open TUN device. One goroutine reads; whoever calls Send writes.
type device struct {
	attr      link.Attributes
	headerLen int // of the virtio header: 10, or 0 if there is none
	inherited bool
	onError   func(error)
	file      *os.File
	raw       syscall.RawConn

	mu       sync.Mutex
	attached bool
	closed   bool
	done     chan struct{} // the reading goroutine has ended

	// The reading goroutine's.
	fillFunc  func(fd uintptr) bool
	header    [virtioHeaderLen]byte
	small     *api.Buffer // to be read into next, or nil
	big       *api.Buffer
	batch     []link.Packet
	readIOV   [3][]byte
	readError error // for good

	send      sender
	drainFunc func(fd uintptr) bool // drain, bound once: fewer allocations

	packetsIn, bytesIn, dropsIn    atomic.Uint64
	packetsOut, bytesOut, dropsOut atomic.Uint64
	errors                         atomic.Uint64
}

// Attributes implements [link.Link].
func (d *device) Attributes() link.Attributes { return d.attr }

// Stats implements [link.Link].
func (d *device) Stats() link.Stats {
	return link.Stats{
		PacketsIn:  d.packetsIn.Load(),
		BytesIn:    d.bytesIn.Load(),
		PacketsOut: d.packetsOut.Load(),
		BytesOut:   d.bytesOut.Load(),
		DropsIn:    d.dropsIn.Load(),
		DropsOut:   d.dropsOut.Load(),
		Errors:     d.errors.Load(),
	}
}

// Attach implements [link.Link]. It starts the reading goroutine.
func (d *device) Attach(recv func(batch []link.Packet)) error {
	if recv == nil {
		return fmt.Errorf("link %s: Attach of a nil function", d.attr.Name)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return d.errClosed()
	}
	if d.attached {
		return fmt.Errorf("link %s is attached already", d.attr.Name)
	}
	d.attached = true
	go d.read(recv)
	return nil
}

// Close implements [link.Link].
func (d *device) Close() error {
	d.mu.Lock()
	first := !d.closed
	d.closed = true
	attached := d.attached
	d.mu.Unlock()
	var err error
	if first {
		err = d.file.Close()
	}
	if attached {
		<-d.done
	}
	return err
}

func (d *device) isClosed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.closed
}

func (d *device) errClosed() error { return fmt.Errorf("link %s: %w", d.attr.Name, net.ErrClosed) }

// read hands packets to recv until the device is closed or has failed.
func (d *device) read(recv func(batch []link.Packet)) {
	d.batch = make([]link.Packet, 0, batchSize)
	d.file.SetReadDeadline(time.Now().Add(livenessInterval))
	for {
		err := d.raw.Read(d.fillFunc)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = nil
			d.checkAlive()
			d.file.SetReadDeadline(time.Now().Add(livenessInterval))
		}
		if err != nil && !d.isClosed() {
			// The runtime's poller has seen the descriptor fail before we have.
			if d.checkAlive(); d.readError == nil {
				d.readError = err
			}
		}
		if n := len(d.batch); n > 0 && err == nil {
			d.packetsIn.Add(uint64(n))
			recv(d.batch)
		}
		clear(d.batch)
		d.batch = d.batch[:0]
		if err != nil || d.readError != nil {
			break
		}
	}
	for _, page := range []*api.Buffer{d.small, d.big} {
		if page != nil {
			page.Release()
		}
	}
	err := d.readError
	close(d.done)
	if err != nil && d.onError != nil {
		d.onError(fmt.Errorf("link %s: the device has failed: %w", d.attr.Name, err))
	}
}

// livenessInterval is how often the reading goroutine looks whether its device is
// still there. The kernel wakes readers of a device that is deleted a moment before
// it takes the device from them: who reads in between finds nothing, and would
// wait for ever.
const livenessInterval = 2 * time.Second

// checkAlive sets readError if the device is gone.
func (d *device) checkAlive() {
	d.raw.Control(func(fd uintptr) {
		ifr, _ := unix.NewIfreq("")
		if err := unix.IoctlIfreq(int(fd), unix.TUNGETIFF, ifr); errors.Is(err, unix.EBADFD) {
			d.errors.Add(1)
			d.readError = err
		}
	})
}

// fill reads packets into the batch until that is full or nothing is left. It
// returns false to wait for more.
func (d *device) fill(fd uintptr) bool {
	for failures := 0; len(d.batch) < batchSize && d.readError == nil; {
		if d.small == nil {
			d.small = api.Alloc(smallPage)
		}
		if d.big == nil {
			d.big = api.Alloc(bigPage)
		}
		iov := append(d.readIOV[:0], d.small.Bytes(), d.big.Bytes())
		if d.headerLen > 0 {
			iov = append(d.readIOV[:0], d.header[:], d.small.Bytes(), d.big.Bytes())
		}
		n, err := unix.Readv(int(fd), iov)
		switch {
		case err == nil:
			d.received(n - d.headerLen)
		case errors.Is(err, unix.EAGAIN):
			return len(d.batch) > 0
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EBADFD), errors.Is(err, unix.EBADF), errors.Is(err, unix.ENODEV):
			d.errors.Add(1)
			d.readError = err
			return true
		default:
			d.errors.Add(1)
			if failures++; failures == maxReadErrors {
				return len(d.batch) > 0
			}
		}
	}
	return true
}

// received makes a packet of n bytes just read, if it is one.
func (d *device) received(n int) {
	if n <= 0 {
		d.dropsIn.Add(1)
		return
	}
	if d.inherited && d.hasPacketInfo(n) {
		d.readError = errPacketInfo
		return
	}
	var o link.Offload
	if d.headerLen > 0 {
		var ok bool
		if o, ok = parseVirtio(d.header[:], d.small.Bytes()[:min(n, smallPage)], n); !ok {
			d.dropsIn.Add(1)
			return
		}
	}
	p := link.Packet{Offload: o}
	if n <= smallPage {
		d.small.Trim(0, n)
		p.Payload = []api.Buffer{*d.small}
	} else {
		rest := d.big
		rest.Trim(0, n-smallPage)
		if rest.Len() <= copyLimit {
			c := api.CopyBuffer(rest.Bytes())
			rest.Release()
			rest = c
		}
		p.Payload = []api.Buffer{*d.small, *rest}
		d.big = nil
	}
	d.small = nil
	d.bytesIn.Add(uint64(n))
	d.batch = append(d.batch, p)
}

var errPacketInfo = errors.New("packet information stands before each packet: whoever opens the inherited descriptor must set IFF_NO_PI")

// hasPacketInfo reports whether a struct tun_pi stands before what was read.
// TUNGETIFF does not tell: it shows IFF_NOFILTER in the same bit as IFF_NO_PI.
func (d *device) hasPacketInfo(n int) bool {
	b := d.small.Bytes()[:min(n, smallPage)]
	if v := b[0] >> 4; v == 4 || v == 6 || len(b) < 5 {
		return false
	}
	pi := b[:4] // flags, and then the EtherType in network order
	if d.headerLen > 0 {
		pi = d.header[:4]
	}
	switch proto := uint16(pi[2])<<8 | uint16(pi[3]); proto {
	case unix.ETH_P_IP:
		return b[4]>>4 == 4
	case unix.ETH_P_IPV6:
		return b[4]>>4 == 6
	}
	return false
}

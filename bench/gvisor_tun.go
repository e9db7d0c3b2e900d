package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/sluicenet/sluice/link/tun/setup"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// tunEndpoint reaches a TUN device without a queue or a goroutine between: it
// writes from the caller's, and reads until nothing is left. Super-packets of
// 64 KB cross it whole both ways, and what it reads is not copied. Each queue of the
// device has a goroutine that reads; what is sent is spread over them by the
// hash that gVisor gives each connection, as its own endpoint (fdbased) does.
type tunEndpoint struct {
	endpointBase
	files   []*os.File
	offload bool
	once    sync.Once
	fds     []int
	headers sync.Pool
}

var (
	_ stack.LinkEndpoint = (*tunEndpoint)(nil)
	_ stack.GSOEndpoint  = (*tunEndpoint)(nil)
)

const virtioHeader = 10

func newTunEndpoint(offload bool, queues int) (*tunEndpoint, error) {
	if err := tunePeer(); err != nil {
		return nil, err
	}
	e := &tunEndpoint{offload: offload, headers: sync.Pool{New: func() any { return new([virtioHeader]byte) }}}
	for range queues {
		fd, err := openTun("bench0", offload, queues > 1)
		if err != nil {
			return nil, err
		}
		e.files, e.fds = append(e.files, os.NewFile(uintptr(fd), "tun")), append(e.fds, fd)
	}
	if err := setup.Configure("bench0", 1500, serverNet); err != nil {
		return nil, err
	}
	return e, setQueueLength("bench0", tunQueue)
}

func openTun(name string, offload, several bool) (int, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("/dev/net/tun: %w", err)
	}
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return -1, err
	}
	flags := uint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if offload {
		flags |= unix.IFF_VNET_HDR
	}
	if several {
		flags |= unix.IFF_MULTI_QUEUE
	}
	ifr.SetUint16(flags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		return -1, fmt.Errorf("TUNSETIFF: %w", err)
	}
	if offload {
		if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, unix.TUN_F_CSUM|unix.TUN_F_TSO4|unix.TUN_F_TSO6); err != nil {
			return -1, fmt.Errorf("TUNSETOFFLOAD: %w", err)
		}
	}
	return fd, nil
}

func (e *tunEndpoint) MTU() uint32        { return 1500 }
func (e *tunEndpoint) GSOMaxSize() uint32 { return 65535 }

func (e *tunEndpoint) Close() {
	e.once.Do(func() {
		for _, f := range e.files {
			f.Close()
		}
	})
}

func (e *tunEndpoint) Capabilities() stack.LinkEndpointCapabilities {
	// With CapabilityTXChecksumOffload gVisor would leave the checksum of a SYN at
	// 0, and not say so; of super-packets it leaves it to the device in any case.
	if e.offload {
		return stack.CapabilityRXChecksumOffload
	}
	return 0
}

func (e *tunEndpoint) SupportedGSO() stack.SupportedGSO {
	if e.offload {
		return stack.HostGSOSupported
	}
	return stack.GSONotSupported
}

func (e *tunEndpoint) Attach(d stack.NetworkDispatcher) {
	e.dispatcher = d
	if d != nil {
		for _, f := range e.files {
			go e.read(f)
		}
	}
}

func (e *tunEndpoint) WritePackets(pkts stack.PacketBufferList) (int, tcpip.Error) {
	h := e.headers.Get().(*[virtioHeader]byte)
	defer e.headers.Put(h)
	var array [16][]byte
	for i, p := range pkts.AsSlice() {
		iov := array[:0]
		if e.offload {
			clear(h[:])
			if g := &p.GSOOptions; g.Type != stack.GSONone {
				if g.NeedsCsum {
					h[0] = 1 // VIRTIO_NET_HDR_F_NEEDS_CSUM
					binary.NativeEndian.PutUint16(h[6:], g.L3HdrLen)
					binary.NativeEndian.PutUint16(h[8:], g.CsumOffset)
				}
				if p.Data().Size() > int(g.MSS) {
					h[1] = 1 // VIRTIO_NET_HDR_GSO_TCPV4
					binary.NativeEndian.PutUint16(h[2:], uint16(p.HeaderSize()))
					binary.NativeEndian.PutUint16(h[4:], g.MSS)
				}
			}
			iov = append(iov, h[:])
		}
		iov = append(iov, p.AsSlices()...)
		for {
			_, err := unix.Writev(e.fds[p.Hash%uint32(len(e.fds))], iov)
			if err == nil {
				break
			}
			if !errors.Is(err, unix.EINTR) {
				return i, &tcpip.ErrNoBufferSpace{}
			}
		}
	}
	return pkts.Len(), nil
}

// read delivers what comes from the device. Small packets are copied out, so that
// the large view they were read into can be used again.
func (e *tunEndpoint) read(f *os.File) {
	raw, err := f.SyscallConn()
	if err != nil {
		return
	}
	const big = 65535
	h := make([]byte, virtioHeader)
	view := buffer.NewView(big)
	view.Grow(big)
	raw.Read(func(fd uintptr) bool {
		for {
			iov := [][]byte{view.AsSlice()}
			if e.offload {
				iov = [][]byte{h, view.AsSlice()}
			}
			n, err := unix.Readv(int(fd), iov)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if errors.Is(err, unix.EAGAIN) {
				return false
			}
			if err != nil {
				return true
			}
			if e.offload {
				n -= virtioHeader
			}
			if n < header.IPv4MinimumSize {
				continue
			}
			var payload buffer.Buffer
			if n <= 8192 {
				payload = buffer.MakeWithData(view.AsSlice()[:n])
			} else {
				view.CapLength(n)
				payload = buffer.MakeWithView(view)
				view = buffer.NewView(big)
				view.Grow(big)
			}
			p := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: payload})
			e.dispatcher.DeliverNetworkPacket(ipv4.ProtocolNumber, p)
			p.DecRef()
		}
	})
}

package packet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
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
	batchSize    = 32 // frames in one system call
	l2           = 14 // bytes of the Ethernet header
	maxPieces    = 1024
	socketBuffer = 8 << 20 // bytes asked for, each way

	// ignoreOutgoing is PACKET_IGNORE_OUTGOING, of Linux 4.20.
	ignoreOutgoing = 23
)

// A socket is an open packet socket. One goroutine reads; whoever calls Send writes.
type socket struct {
	attr    link.Attributes
	index   int // of the interface
	onError func(error)
	file    *os.File
	raw     syscall.RawConn

	mu       sync.Mutex
	attached bool
	closed   bool
	done     chan struct{} // the reading goroutine has ended

	// The reading goroutine's.
	fillFunc  func(fd uintptr) bool
	lookFunc  func(fd uintptr)
	slots     [batchSize]pages.Slot
	headers   [batchSize][virtio.HeaderLen]byte
	in        messages
	batch     []link.Packet
	readError error // for good

	send      sender
	drainFunc func(fd uintptr) bool // bound once: fewer allocations

	packetsIn, bytesIn, dropsIn    atomic.Uint64
	packetsOut, bytesOut, dropsOut atomic.Uint64
	errors                         atomic.Uint64
}

func open(cfg Config) (link.Link, error) {
	face, err := net.InterfaceByName(cfg.Interface)
	if err != nil {
		return nil, fmt.Errorf("packet: no interface %s in this network namespace; \"ip link\" shows those there are: %w", cfg.Interface, err)
	}
	if len(face.HardwareAddr) != 6 {
		return nil, fmt.Errorf("packet: interface %s is not an Ethernet: it has the hardware address %q", face.Name, face.HardwareAddr)
	}
	s := &socket{index: face.Index, onError: cfg.OnError, done: make(chan struct{})}
	s.attr = link.Attributes{Name: face.Name, Medium: link.Ethernet, MTU: cfg.MTU, HardwareAddr: cfg.HardwareAddr}
	own := [6]byte(face.HardwareAddr)
	if cfg.HardwareAddr == [6]byte{} {
		s.attr.HardwareAddr = own
	}
	if cfg.MTU == 0 {
		s.attr.MTU = min(face.MTU, 65535)
	}
	if s.attr.MTU > face.MTU {
		return nil, fmt.Errorf("packet: MTU %d is more than that of interface %s, %d: lower it, or have \"ip link set dev %[2]s mtu %[1]d\" done", s.attr.MTU, face.Name, face.MTU)
	}
	if !cfg.NoOffload {
		s.attr.MaxGSO, s.attr.TxChecksum = 65535, true
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if errors.Is(err, unix.EPERM) {
		return nil, fmt.Errorf("packet: not allowed to open a packet socket: run as root or with CAP_NET_RAW: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("packet: cannot open a packet socket: %w", err)
	}
	if err := s.setup(fd, face.Index, s.attr.HardwareAddr != own); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("packet: interface %s: %w", face.Name, err)
	}
	// With the descriptor not blocking, File waits in the runtime's poller, and
	// Close wakes a reader.
	s.file = os.NewFile(uintptr(fd), "packet socket")
	err = s.file.SetReadDeadline(time.Time{})
	if err == nil {
		s.raw, err = s.file.SyscallConn()
	}
	if err != nil {
		s.file.Close()
		return nil, fmt.Errorf("packet: interface %s cannot be polled: %w", face.Name, err)
	}
	s.fillFunc, s.drainFunc, s.lookFunc = s.fill, s.drain, s.look
	return s, nil
}

// setup makes the socket what we want. It receives from bind on.
func (s *socket) setup(fd, index int, promiscuous bool) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1); err != nil {
		return fmt.Errorf("this kernel has no PACKET_VNET_HDR: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, ignoreOutgoing, 1); err != nil {
		return fmt.Errorf("this kernel has no PACKET_IGNORE_OUTGOING (Linux 4.20 has): %w", err)
	}
	filter := filterFor(s.attr.HardwareAddr)
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}); err != nil {
		return fmt.Errorf("cannot filter what it receives: %w", err)
	}
	for _, o := range [][2]int{{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF}, {unix.SO_SNDBUFFORCE, unix.SO_SNDBUF}} {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, o[0], socketBuffer) != nil {
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, o[1], socketBuffer) // up to the system's limit
		}
	}
	// Neighbour discovery is multicast, to groups that the card does not know of.
	m := unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_ALLMULTI}
	if promiscuous {
		m.Type = unix.PACKET_MR_PROMISC
	}
	if err := unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &m); err != nil {
		return fmt.Errorf("cannot receive for the address %x: %w", s.attr.HardwareAddr, err)
	}
	const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8 // in network order
	protocol := uint16(unix.ETH_P_ALL)
	if nativeIsLittle {
		protocol = all
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: index}); err != nil {
		return fmt.Errorf("cannot bind to it: %w", err)
	}
	return nil
}

// filterFor returns a filter, in classic BPF, that lets through what is for one
// station and for groups. Frames of VLANs are not: the kernel has taken their tags
// off already, so that they would look like ours.
func filterFor(hw [6]byte) []unix.SockFilter {
	const (
		load32  = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		load16  = unix.BPF_LD | unix.BPF_H | unix.BPF_ABS
		load8   = unix.BPF_LD | unix.BPF_B | unix.BPF_ABS
		equal   = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		bits    = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
		ret     = unix.BPF_RET | unix.BPF_K
		vlanTag = 0xfffff000 + 48 // SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT
		accept  = 1 << 18         // bytes of it: all
	)
	return []unix.SockFilter{
		{Code: load32, K: vlanTag},
		{Code: equal, K: 0, Jf: 7},
		{Code: load8, K: 0},
		{Code: bits, K: 1, Jt: 4},
		{Code: load32, K: 0},
		{Code: equal, K: binary.BigEndian.Uint32(hw[:]), Jf: 3},
		{Code: load16, K: 4},
		{Code: equal, K: uint32(binary.BigEndian.Uint16(hw[4:])), Jf: 1},
		{Code: ret, K: accept},
		{Code: ret, K: 0},
	}
}

// Attributes implements [link.Link].
func (s *socket) Attributes() link.Attributes { return s.attr }

// Stats implements [link.Link].
func (s *socket) Stats() link.Stats {
	return link.Stats{
		PacketsIn:  s.packetsIn.Load(),
		BytesIn:    s.bytesIn.Load(),
		PacketsOut: s.packetsOut.Load(),
		BytesOut:   s.bytesOut.Load(),
		DropsIn:    s.dropsIn.Load(),
		DropsOut:   s.dropsOut.Load(),
		Errors:     s.errors.Load(),
	}
}

// Attach implements [link.Link]. It starts the reading goroutine.
func (s *socket) Attach(recv func(batch []link.Packet)) error {
	if recv == nil {
		return fmt.Errorf("link %s: Attach of a nil function", s.attr.Name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return s.errClosed()
	}
	if s.attached {
		return fmt.Errorf("link %s is attached already", s.attr.Name)
	}
	s.attached = true
	go s.read(recv)
	return nil
}

// Close implements [link.Link].
func (s *socket) Close() error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	attached := s.attached
	s.mu.Unlock()
	var err error
	if first {
		err = s.file.Close()
	}
	if attached {
		<-s.done
	}
	return err
}

func (s *socket) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

func (s *socket) errClosed() error { return fmt.Errorf("link %s: %w", s.attr.Name, net.ErrClosed) }

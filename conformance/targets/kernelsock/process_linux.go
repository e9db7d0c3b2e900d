package kernelsock

import (
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/conformance/drill/sock"
)

// Process makes the kernel's system calls. Sockets are made in its namespace,
// and closed by Exit.
type Process struct {
	ns *Namespace

	mu   sync.Mutex
	open map[int]bool
}

var _ sock.Process = (*Process)(nil)

// New returns a process in a namespace.
func New(ns *Namespace) *Process { return &Process{ns: ns, open: map[int]bool{}} }

// firstForeign is where numbers begin that Linux does not have.
const firstForeign = 0x10000

// errno makes a sock.Errno of an error.
func errno(err error) error {
	var e unix.Errno
	if err == nil || !errors.As(err, &e) {
		return err
	}
	if name := unix.ErrnoName(e); name != "" {
		return sock.Errno(name)
	}
	return sock.Errno(e.Error())
}

func (p *Process) add(fd int) int {
	p.mu.Lock()
	p.open[fd] = true
	p.mu.Unlock()
	return fd
}

// own says whether a descriptor is the script's. Others of this program are none.
func (p *Process) own(fd int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.open[fd] {
		return sock.EBADF
	}
	return nil
}

// Exit closes every descriptor, with a reset where a connection is open.
func (p *Process) Exit() {
	p.mu.Lock()
	fds := slices.Collect(maps.Keys(p.open))
	p.open = map[int]bool{}
	p.mu.Unlock()
	for _, fd := range fds {
		unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		unix.Close(fd)
	}
}

// blocking makes a call that may block. When ctx ends, the socket is shut down,
// which ends the call.
func blocking[T any](ctx context.Context, fd int, f func() (T, error)) (T, error) {
	type result struct {
		v   T
		err error
	}
	done := make(chan result, 1)
	go func() {
		for {
			v, err := f()
			if err == unix.EINTR { // of the runtime's own signals
				continue
			}
			done <- result{v, errno(err)}
			return
		}
	}()
	select {
	case r := <-done:
		return r.v, r.err
	case <-ctx.Done():
	}
	unix.Shutdown(fd, unix.SHUT_RDWR)
	select {
	case <-done:
	case <-time.After(time.Second):
	}
	var zero T
	return zero, sock.EINTR
}

// Socket implements sock.Process.
func (p *Process) Socket(domain, typ, protocol int) (fd int, err error) {
	err = p.ns.Do(func() (err error) {
		fd, err = unix.Socket(domain, typ|unix.SOCK_CLOEXEC, protocol)
		return err
	})
	if err != nil {
		return -1, errno(err)
	}
	return p.add(fd), nil
}

// sockaddr makes the address that the socket's family takes.
func sockaddr(fd int, a netip.AddrPort) unix.Sockaddr {
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if a.Addr().Is4() && (err != nil || domain != unix.AF_INET6) {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// rawSockaddr is sockaddr as the kernel reads it; nothing for no address.
func rawSockaddr(fd int, a netip.AddrPort) []byte {
	if !a.IsValid() {
		return nil
	}
	var b []byte
	switch sa := sockaddr(fd, a).(type) {
	case *unix.SockaddrInet4:
		b = binary.NativeEndian.AppendUint16(b, unix.AF_INET)
		b = binary.BigEndian.AppendUint16(b, uint16(sa.Port))
		b = append(append(b, sa.Addr[:]...), make([]byte, 8)...)
	case *unix.SockaddrInet6:
		b = binary.NativeEndian.AppendUint16(b, unix.AF_INET6)
		b = binary.BigEndian.AppendUint16(b, uint16(sa.Port))
		b = append(append(append(b, make([]byte, 4)...), sa.Addr[:]...), make([]byte, 4)...)
	}
	return b
}

func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
	}
	return netip.AddrPort{}
}

// Bind implements sock.Process.
func (p *Process) Bind(fd int, addr netip.AddrPort) error {
	if err := p.own(fd); err != nil {
		return err
	}
	return errno(unix.Bind(fd, sockaddr(fd, addr)))
}

// Listen implements sock.Process.
func (p *Process) Listen(fd, backlog int) error {
	if err := p.own(fd); err != nil {
		return err
	}
	return errno(unix.Listen(fd, backlog))
}

// Accept implements sock.Process.
func (p *Process) Accept(ctx context.Context, fd, flags int) (int, netip.AddrPort, error) {
	if err := p.own(fd); err != nil {
		return -1, netip.AddrPort{}, err
	}
	var peer netip.AddrPort
	n, err := blocking(ctx, fd, func() (int, error) {
		n, sa, err := unix.Accept4(fd, flags|unix.SOCK_CLOEXEC)
		if err == nil {
			peer = addrPort(sa)
		}
		return n, err
	})
	if err != nil {
		return -1, netip.AddrPort{}, err
	}
	return p.add(n), peer, nil
}

// Connect implements sock.Process.
func (p *Process) Connect(ctx context.Context, fd int, addr netip.AddrPort) error {
	if err := p.own(fd); err != nil {
		return err
	}
	_, err := blocking(ctx, fd, func() (struct{}, error) { return struct{}{}, unix.Connect(fd, sockaddr(fd, addr)) })
	return err
}

// iovecs is what the kernel takes for m's memory. Memory that is not the process's
// stands at zero.
func iovecs(m *sock.Message) []unix.Iovec {
	out := make([]unix.Iovec, len(m.Iov))
	for i, b := range m.Iov {
		out[i].SetLen(len(b))
		if len(b) > 0 && !m.Fault {
			out[i].Base = &b[0]
		}
	}
	return out
}

// message makes the call that takes a struct msghdr.
func message(call uintptr, fd int, m *sock.Message, name, control []byte, flags int) (n int, h unix.Msghdr, err error) {
	iov := iovecs(m)
	if len(iov) > 0 {
		h.Iov = &iov[0]
		h.SetIovlen(len(iov))
	}
	if len(name) > 0 {
		h.Name, h.Namelen = &name[0], uint32(len(name))
	}
	if len(control) > 0 {
		h.Control = &control[0]
		h.SetControllen(len(control))
	}
	r, _, e := unix.Syscall(call, uintptr(fd), uintptr(unsafe.Pointer(&h)), uintptr(flags))
	if e != 0 {
		return -1, h, e
	}
	return int(r), h, nil
}

// vector makes readv or writev.
func vector(call uintptr, fd int, m *sock.Message) (int, error) {
	iov := iovecs(m)
	var at unsafe.Pointer
	if len(iov) > 0 {
		at = unsafe.Pointer(&iov[0])
	}
	r, _, e := unix.Syscall(call, uintptr(fd), uintptr(at), uintptr(len(iov)))
	if e != 0 {
		return -1, e
	}
	return int(r), nil
}

// Recv implements sock.Process.
func (p *Process) Recv(ctx context.Context, fd int, m *sock.Message, flags int) (int, error) {
	if err := p.own(fd); err != nil {
		return -1, err
	}
	if m.Plain {
		return blocking(ctx, fd, func() (int, error) { return vector(unix.SYS_READV, fd, m) })
	}
	control, name := make([]byte, m.ControlLen), make([]byte, unix.SizeofSockaddrAny)
	var h unix.Msghdr
	n, err := blocking(ctx, fd, func() (n int, err error) {
		n, h, err = message(unix.SYS_RECVMSG, fd, m, name, control, flags)
		return n, err
	})
	if err != nil {
		return -1, err
	}
	m.Flags = int(h.Flags) &^ unix.MSG_CMSG_CLOEXEC
	if m.WantName {
		m.Name, _ = p.GetPeerName(fd)
	}
	if h.Controllen > 0 {
		list, err := unix.ParseSocketControlMessage(control[:h.Controllen])
		if err != nil {
			return -1, errno(err)
		}
		for _, c := range list {
			m.Control = append(m.Control, sock.CMsg{Level: int(c.Header.Level), Type: int(c.Header.Type), Data: c.Data})
		}
	}
	return n, nil
}

// Send implements sock.Process.
func (p *Process) Send(ctx context.Context, fd int, m *sock.Message, flags int) (int, error) {
	if err := p.own(fd); err != nil {
		return -1, err
	}
	var control []byte
	for _, c := range m.Control {
		b := make([]byte, unix.CmsgSpace(len(c.Data)))
		h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
		h.Level, h.Type = int32(c.Level), int32(c.Type)
		h.SetLen(unix.CmsgLen(len(c.Data)))
		copy(b[unix.CmsgLen(0):], c.Data)
		control = append(control, b...)
	}
	return blocking(ctx, fd, func() (int, error) {
		if m.Plain && flags == 0 {
			if domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN); err != nil || domain == 0 { // a pipe has no SIGPIPE to fear: both its ends are open
				return vector(unix.SYS_WRITEV, fd, m)
			}
		}
		n, _, err := message(unix.SYS_SENDMSG, fd, m, rawSockaddr(fd, m.Name), control, flags|unix.MSG_NOSIGNAL)
		return n, err
	})
}

// Close implements sock.Process.
func (p *Process) Close(ctx context.Context, fd int) error {
	if err := p.own(fd); err != nil {
		return err
	}
	p.mu.Lock()
	delete(p.open, fd)
	p.mu.Unlock()
	_, err := blocking(ctx, fd, func() (struct{}, error) { return struct{}{}, unix.Close(fd) })
	return err
}

// Shutdown implements sock.Process.
func (p *Process) Shutdown(fd, how int) error {
	if err := p.own(fd); err != nil {
		return err
	}
	return errno(unix.Shutdown(fd, how))
}

// Fcntl implements sock.Process.
func (p *Process) Fcntl(fd, cmd, arg int) (int, error) {
	if err := p.own(fd); err != nil {
		return -1, err
	}
	switch cmd {
	case unix.F_GETFL, unix.F_SETFL, unix.F_GETFD, unix.F_SETFD:
	default:
		return -1, sock.Unsupported{Feature: "this command of fcntl"}
	}
	n, err := unix.FcntlInt(uintptr(fd), cmd, arg)
	return n, errno(err)
}

// Ioctl implements sock.Process.
func (p *Process) Ioctl(fd, request, arg int) (result, value int, err error) {
	if err := p.own(fd); err != nil {
		return -1, 0, err
	}
	switch request {
	case sock.FIONBIO:
		return 0, 0, errno(unix.IoctlSetPointerInt(fd, sock.FIONBIO, arg))
	case sock.FIONREAD, sock.SIOCOUTQ, sock.SIOCOUTQNSD, sock.SIOCATMARK:
		v, err := unix.IoctlGetInt(fd, uint(request))
		if err != nil {
			return -1, 0, errno(err)
		}
		return 0, v, nil
	}
	return -1, 0, sock.Unsupported{Feature: "this request of ioctl on Linux"}
}

// GetSockopt implements sock.Process.
func (p *Process) GetSockopt(fd, level, name, room int) ([]byte, error) {
	if err := p.own(fd); err != nil {
		return nil, err
	}
	if name >= firstForeign || level >= firstForeign {
		return nil, sock.Unsupported{Feature: "a socket option that Linux does not have"}
	}
	b := make([]byte, max(room, 1))
	n := uint32(room)
	if _, _, e := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), uintptr(name),
		uintptr(unsafe.Pointer(&b[0])), uintptr(unsafe.Pointer(&n)), 0); e != 0 {
		return nil, errno(e)
	}
	return b[:min(int(n), len(b))], nil
}

// SetSockopt implements sock.Process.
func (p *Process) SetSockopt(fd, level, name int, value []byte) error {
	if err := p.own(fd); err != nil {
		return err
	}
	if name >= firstForeign || level >= firstForeign {
		return sock.Unsupported{Feature: "a socket option that Linux does not have"}
	}
	if level == unix.SOL_SOCKET && (name == unix.SO_BINDTODEVICE || name == unix.SO_ATTACH_FILTER || name == unix.SO_ATTACH_BPF) {
		return sock.Unsupported{Feature: "a socket option that reaches beyond the socket"}
	}
	var at unsafe.Pointer
	if len(value) > 0 {
		at = unsafe.Pointer(&value[0])
	}
	if _, _, e := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), uintptr(level), uintptr(name), uintptr(at), uintptr(len(value)), 0); e != 0 {
		return errno(e)
	}
	return nil
}

// GetSockName implements sock.Process.
func (p *Process) GetSockName(fd int) (netip.AddrPort, error) {
	if err := p.own(fd); err != nil {
		return netip.AddrPort{}, err
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}, errno(err)
	}
	return addrPort(sa), nil
}

// GetPeerName implements sock.Process.
func (p *Process) GetPeerName(fd int) (netip.AddrPort, error) {
	if err := p.own(fd); err != nil {
		return netip.AddrPort{}, err
	}
	sa, err := unix.Getpeername(fd)
	if err != nil {
		return netip.AddrPort{}, errno(err)
	}
	return addrPort(sa), nil
}

// slice is how long a wait for readiness is, before it looks whether the script
// is over.
const slice = 50 * time.Millisecond

// wait calls f, with the time that it may wait for, until it finds something.
func wait(ctx context.Context, timeout time.Duration, f func(time.Duration) (int, error)) (int, error) {
	end := time.Now().Add(timeout)
	for {
		d := slice
		if timeout >= 0 {
			d = min(d, max(time.Until(end), 0))
		}
		n, err := f(d)
		switch {
		case err == unix.EINTR:
		case n != 0 || err != nil:
			return n, errno(err)
		}
		if timeout >= 0 && time.Now().After(end) || timeout == 0 {
			return 0, nil
		}
		if ctx.Err() != nil {
			return -1, sock.EINTR
		}
	}
}

// Poll implements sock.Process.
func (p *Process) Poll(ctx context.Context, fds []sock.PollFD, timeout time.Duration) (int, error) {
	list := make([]unix.PollFd, len(fds))
	for i, f := range fds {
		list[i] = unix.PollFd{Fd: int32(f.FD), Events: f.Events}
		if f.FD >= 0 && p.own(f.FD) != nil {
			list[i].Fd = 1 << 30 // none: POLLNVAL
		}
	}
	n, err := wait(ctx, timeout, func(d time.Duration) (int, error) {
		t := unix.NsecToTimespec(d.Nanoseconds())
		return unix.Ppoll(list, &t, nil)
	})
	for i := range list {
		fds[i].Revents = list[i].Revents
	}
	return n, err
}

// EpollCreate implements sock.Process.
func (p *Process) EpollCreate(flags int) (int, error) {
	fd, err := unix.EpollCreate1(flags | unix.EPOLL_CLOEXEC)
	if err != nil {
		return -1, errno(err)
	}
	return p.add(fd), nil
}

// EpollCtl implements sock.Process.
func (p *Process) EpollCtl(epfd, op, fd int, ev sock.EpollEvent) error {
	if err := p.own(epfd); err != nil {
		return err
	}
	if err := p.own(fd); err != nil {
		return err
	}
	return errno(unix.EpollCtl(epfd, op, fd, &unix.EpollEvent{Events: ev.Events, Fd: int32(ev.Data), Pad: int32(ev.Data >> 32)}))
}

// EpollWait implements sock.Process.
func (p *Process) EpollWait(ctx context.Context, epfd, most int, timeout time.Duration) ([]sock.EpollEvent, error) {
	if err := p.own(epfd); err != nil {
		return nil, err
	}
	if most <= 0 {
		return nil, sock.EINVAL
	}
	list := make([]unix.EpollEvent, min(most, 1024))
	n, err := wait(ctx, timeout, func(d time.Duration) (int, error) {
		return unix.EpollWait(epfd, list, int((d+time.Millisecond-1)/time.Millisecond))
	})
	if err != nil {
		return nil, err
	}
	var out []sock.EpollEvent
	for _, e := range list[:n] {
		out = append(out, sock.EpollEvent{Events: e.Events, Data: uint64(uint32(e.Fd)) | uint64(uint32(e.Pad))<<32})
	}
	return out, nil
}

// Pipe implements sock.Process.
func (p *Process) Pipe(flags int) (r, w int, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], flags|unix.O_CLOEXEC); err != nil {
		return -1, -1, errno(err)
	}
	return p.add(fds[0]), p.add(fds[1]), nil
}

// Splice implements sock.Process.
func (p *Process) Splice(ctx context.Context, in, out, n, flags int) (int, error) {
	if err := p.own(in); err != nil {
		return -1, err
	}
	if err := p.own(out); err != nil {
		return -1, err
	}
	v, err := blocking(ctx, in, func() (int64, error) {
		n, err := unix.Splice(in, nil, out, nil, n, flags) // an int64, or an int on machines of 32 bits
		return int64(n), err
	})
	return int(v), err
}

// Open opens nothing: scripts have no business in the file system.
func (p *Process) Open(path string, flags int) (int, error) {
	return -1, sock.Unsupported{Feature: "open on the kernel"}
}

// SendFile implements sock.Process.
func (p *Process) SendFile(ctx context.Context, out, in int, offset *int64, n int) (int, error) {
	return -1, sock.Unsupported{Feature: "sendfile on the kernel"}
}

// Info reads TCP_INFO: the members of the struct by name, and the two bit fields.
func (p *Process) Info(fd int) (map[string]int64, error) {
	if err := p.own(fd); err != nil {
		return nil, err
	}
	raw, err := p.GetSockopt(fd, unix.IPPROTO_TCP, unix.TCP_INFO, int(unsafe.Sizeof(unix.TCPInfo{})))
	if err != nil {
		return nil, err
	}
	full := make([]byte, unsafe.Sizeof(unix.TCPInfo{}))
	copy(full, raw)
	info := *(*unix.TCPInfo)(unsafe.Pointer(&full[0]))
	out := map[string]int64{
		"tcpi_snd_wscale": int64(full[6] & 15), "tcpi_rcv_wscale": int64(full[6] >> 4),
		"tcpi_delivery_rate_app_limited": int64(full[7] & 1), "tcpi_fastopen_client_fail": int64(full[7] >> 1 & 3),
	}
	v := reflect.ValueOf(info)
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Name != "_" && int(f.Offset) < len(raw) {
			out["tcpi_"+strings.ToLower(f.Name)] = int64(v.Field(i).Uint())
		}
	}
	return out, nil
}

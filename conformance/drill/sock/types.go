package sock

import (
	"context"
	"net/netip"
	"time"
)

// Errno is the name of an error, as "EAGAIN".
type Errno string

// Error implements error.
func (e Errno) Error() string { return string(e) }

// The errors that this package returns.
const (
	EPERM           Errno = "EPERM"
	EINTR           Errno = "EINTR"
	EBADF           Errno = "EBADF"
	EAGAIN          Errno = "EAGAIN"
	EACCES          Errno = "EACCES"
	EEXIST          Errno = "EEXIST"
	ENOENT          Errno = "ENOENT"
	EFAULT          Errno = "EFAULT"
	ESPIPE          Errno = "ESPIPE"
	EINVAL          Errno = "EINVAL"
	EPIPE           Errno = "EPIPE"
	ENOTSOCK        Errno = "ENOTSOCK"
	EDESTADDRREQ    Errno = "EDESTADDRREQ"
	EMSGSIZE        Errno = "EMSGSIZE"
	EPROTOTYPE      Errno = "EPROTOTYPE"
	ENOPROTOOPT     Errno = "ENOPROTOOPT"
	EPROTONOSUPPORT Errno = "EPROTONOSUPPORT"
	EOPNOTSUPP      Errno = "EOPNOTSUPP"
	EAFNOSUPPORT    Errno = "EAFNOSUPPORT"
	EADDRINUSE      Errno = "EADDRINUSE"
	EADDRNOTAVAIL   Errno = "EADDRNOTAVAIL"
	ENETDOWN        Errno = "ENETDOWN"
	ENETUNREACH     Errno = "ENETUNREACH"
	ECONNABORTED    Errno = "ECONNABORTED"
	ECONNRESET      Errno = "ECONNRESET"
	ENOBUFS         Errno = "ENOBUFS"
	EISCONN         Errno = "EISCONN"
	ENOTCONN        Errno = "ENOTCONN"
	ETIMEDOUT       Errno = "ETIMEDOUT"
	ECONNREFUSED    Errno = "ECONNREFUSED"
	EHOSTUNREACH    Errno = "EHOSTUNREACH"
	EALREADY        Errno = "EALREADY"
	EINPROGRESS     Errno = "EINPROGRESS"
	EDOM            Errno = "EDOM"
	ENOTTY          Errno = "ENOTTY"
)

// Unsupported says that a call needs something that is not there. It is no verdict
// about the stack.
type Unsupported struct{ Feature string }

// Error implements error.
func (u Unsupported) Error() string { return "not supported: " + u.Feature }

// PollFD is struct pollfd.
type PollFD struct {
	FD      int
	Events  int16
	Revents int16
}

// EpollEvent is struct epoll_event, with the data as one number.
type EpollEvent struct {
	Events uint32
	Data   uint64
}

// CMsg is a control message.
type CMsg struct {
	Level, Type int
	Data        []byte
}

// Message is struct msghdr.
type Message struct {
	Name       netip.AddrPort // zero: none
	Iov        [][]byte       // memory to read into or to write from
	Control    []CMsg
	WantName   bool // recvmsg: fill in Name
	ControlLen int  // recvmsg: room for control messages; 0: none
	Plain      bool // read, readv, write or writev
	Fault      bool // the memory that Iov stands for is not the process's
	Flags      int  // of the result
}

// Process is what makes system calls. ctx ends a blocking call with EINTR. An
// error is an [Errno] or an [Unsupported].
type Process interface {
	Socket(domain, typ, protocol int) (fd int, err error)
	Bind(fd int, addr netip.AddrPort) error
	Listen(fd, backlog int) error
	Accept(ctx context.Context, fd, flags int) (newFD int, peer netip.AddrPort, err error)
	Connect(ctx context.Context, fd int, addr netip.AddrPort) error
	Recv(ctx context.Context, fd int, m *Message, flags int) (n int, err error)
	Send(ctx context.Context, fd int, m *Message, flags int) (n int, err error)
	Close(ctx context.Context, fd int) error
	Shutdown(fd, how int) error
	Fcntl(fd, cmd, arg int) (int, error)
	Ioctl(fd, request, arg int) (result, value int, err error)
	GetSockopt(fd, level, name, room int) ([]byte, error)
	SetSockopt(fd, level, name int, value []byte) error
	GetSockName(fd int) (netip.AddrPort, error)
	GetPeerName(fd int) (netip.AddrPort, error)
	Poll(ctx context.Context, fds []PollFD, timeout time.Duration) (int, error)
	EpollCreate(flags int) (fd int, err error)
	EpollCtl(epfd, op, fd int, ev EpollEvent) error
	EpollWait(ctx context.Context, epfd, most int, timeout time.Duration) ([]EpollEvent, error)
	Pipe(flags int) (r, w int, err error)
	Splice(ctx context.Context, in, out, n, flags int) (int, error)
	Open(path string, flags int) (fd int, err error)
	SendFile(ctx context.Context, out, in int, offset *int64, n int) (int, error)

	// Info is what TCP_INFO tells, by the names that Linux's struct tcp_info has
	// and that FreeBSD's has.
	Info(fd int) (map[string]int64, error)
}

package packet

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// messages is what recvmmsg(2) and sendmmsg(2) take: up to batchSize messages, each
// in pieces. The memory named by the pieces is kept alive by iovs.
type messages struct {
	n    int
	msgs [batchSize]mmsghdr
	iovs []unix.Iovec
	at   [batchSize]int // where each message's pieces begin
}

// mmsghdr is struct mmsghdr.
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

func (m *messages) reset() { m.n, m.iovs = 0, m.iovs[:0] }

// forget lets go of the memory.
func (m *messages) forget() {
	m.reset()
	clear(m.iovs[:cap(m.iovs)])
	clear(m.msgs[:])
}

// add begins a message.
func (m *messages) add(pieces ...[]byte) {
	m.at[m.n] = len(m.iovs)
	m.n++
	for _, b := range pieces {
		m.more(b)
	}
}

// more adds a piece to the last message.
func (m *messages) more(b []byte) {
	if len(b) == 0 {
		return
	}
	v := unix.Iovec{Base: unsafe.SliceData(b)}
	v.SetLen(len(b))
	m.iovs = append(m.iovs, v)
}

// point makes the headers point to the pieces, which stay where they are now.
func (m *messages) point() {
	for i := range m.n {
		end := len(m.iovs)
		if i+1 < m.n {
			end = m.at[i+1]
		}
		m.msgs[i] = mmsghdr{}
		m.msgs[i].hdr.Iov = &m.iovs[m.at[i]]
		m.msgs[i].hdr.SetIovlen(end - m.at[i])
	}
}

// receive receives up to n messages.
func (m *messages) receive(fd int) (int, error) {
	m.point()
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&m.msgs[0])), uintptr(m.n), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// send sends the messages from number first on, and returns how many were sent before
// the first that could not be.
func (m *messages) send(fd, first int) (int, error) {
	if first == 0 {
		m.point()
	}
	n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&m.msgs[first])), uintptr(m.n-first), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func (m *messages) length(i int) int     { return int(m.msgs[i].len) }
func (m *messages) truncated(i int) bool { return m.msgs[i].hdr.Flags&unix.MSG_TRUNC != 0 }

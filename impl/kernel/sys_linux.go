package kernel

import "golang.org/x/sys/unix"

// recv is recv(2), without its EINTR.
func recv(fd int, p []byte, flags int) (int, error) {
	for {
		n, _, err := unix.Recvfrom(fd, p, flags|unix.MSG_DONTWAIT)
		if err != unix.EINTR {
			return n, err
		}
	}
}

// trash is what recvTrunc passes for memory. Linux does not store what it
// receives from TCP with MSG_TRUNC; see tcp(7).
var trash [1 << 20]byte

// recvTrunc receives and discards bytes.
func recvTrunc(fd int) (int, error) { return recv(fd, trash[:], unix.MSG_TRUNC) }

// socketState returns the kernel's number of the state of a TCP socket.
func socketState(fd int) int {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return -1
	}
	return int(info.State)
}

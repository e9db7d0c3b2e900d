package kernel

import (
	"context"

	"github.com/sluicenet/sluice/api"
	"golang.org/x/sys/unix"
)

var _ api.UrgentFlow = (*flow)(nil)

// WriteUrgent implements [api.UrgentFlow]. The kernel's urgent pointer points
// behind the last byte of b, as RFC 6093, section 3, has it.
func (f *flow) WriteUrgent(ctx context.Context, b *api.Buffer) error {
	if _, err := f.write(ctx, []*api.Buffer{b}, unix.MSG_OOB); err != nil {
		return f.error("write", err)
	}
	return nil
}

// urgentAhead reports whether urgent data was announced whose end the reader has
// not reached: poll(2) says POLLPRI as long as that is so.
func urgentAhead(fd int) (bool, error) {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLPRI}}
	if _, err := unix.Poll(p, 0); err != nil {
		return false, err
	}
	return p[0].Revents&unix.POLLPRI != 0, nil
}

package engine

import (
	"context"
	"net/netip"
	"sync"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/host"
	"github.com/sluicenet/sluice/impl/engine/tcp"
)

// fastDial is what a dial with Fast Open has to send.
type fastDial struct {
	bs       []*api.Buffer
	noCookie bool
}

// write queues the data of a connection that has just been dialled. One that has no
// room for them ends, without a word, as its SYN has not left.
func (d *fastDial) write(now clock.Time, c *tcp.Conn) error {
	if len(d.bs) == 0 {
		return nil
	}
	if _, err := c.Write(now, d.bs, tcp.WriteOptions{}); err != nil {
		c.User = nil // nobody is to hear of it
		c.Abort(now, api.ErrAborted)
		return api.ErrNoMemory
	}
	d.bs = nil
	return nil
}

// fastOpenMemory is what the shards of a stack know about servers.
type fastOpenMemory struct {
	mu      sync.Mutex
	servers host.FastOpenServers
}

// Use implements host.FastOpenMemory. It is called with a shard's lock held, and takes
// no other.
func (m *fastOpenMemory) Use(f func(*host.FastOpenServers)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(&m.servers)
}

// DialFast implements api.FastDialer.
func (s *Stack) DialFast(ctx context.Context, dst netip.AddrPort, cfg *api.FlowConfig, bs ...*api.Buffer) (api.Flow, error) {
	return s.DialFastWith(ctx, dst, cfg, FastOpenOptions{}, bs...)
}

// FastOpenOptions are those of one flow.
type FastOpenOptions struct {
	// WithoutCookie sends the data whether or not the server has given a cookie, and
	// sends none: for networks in which everybody is trusted.
	WithoutCookie bool
}

// DialFastWith is DialFast with options.
func (s *Stack) DialFastWith(ctx context.Context, dst netip.AddrPort, cfg *api.FlowConfig, o FastOpenOptions, bs ...*api.Buffer) (api.Flow, error) {
	d := &fastDial{bs: bs, noCookie: o.WithoutCookie}
	f, err := s.dial(ctx, dst, cfg, d)
	for _, b := range d.bs {
		b.Release()
	}
	return f, err
}

// FastOpenRoom returns how many bytes a DialFastWith would send with the SYN now. ok is
// false if it would send none: for want of a cookie, because Fast Open is off, or because
// it has failed on that path.
func (s *Stack) FastOpenRoom(dst netip.AddrPort, cfg *api.FlowConfig, o FastOpenOptions) (n int64, ok bool) {
	sh := s.shards[0]
	now := sh.enter()
	defer sh.exit()
	flow, err := sh.host.Resolve(cfg)
	if err != nil {
		return 0, false
	}
	return sh.host.SynData(now, flow.Local.Addr().Unmap(), dst, &flow, o.WithoutCookie)
}

// SetFastOpen changes how the listener on a port takes part in Fast Open, beyond what
// api.ListenConfig can say, and reports whether there is one.
func (s *Stack) SetFastOpen(port uint16, f host.FastOpen) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.listeners[port]
	if l != nil {
		l.SetFastOpen(f)
	}
	return l != nil
}

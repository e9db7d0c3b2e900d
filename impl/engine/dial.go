package engine

import (
	"context"
	"errors"
	"net/netip"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/impl/engine/fault"
	"github.com/sluicenet/sluice/impl/engine/host"
	"github.com/sluicenet/sluice/impl/engine/tcp"
)

// portsAtOnce is how many ephemeral ports are drawn before any is tried. The
// first is nearly always free; drawing more costs little.
const portsAtOnce = 8

// Dial implements api.Stack (O1, O2).
func (s *Stack) Dial(ctx context.Context, dst netip.AddrPort, cfg *api.FlowConfig) (api.Flow, error) {
	return s.dial(ctx, dst, cfg, nil)
}

// dial opens a flow; fast, if not nil, says how with Fast Open.
func (s *Stack) dial(ctx context.Context, dst netip.AddrPort, cfg *api.FlowConfig, fast *fastDial) (api.Flow, error) {
	dst = netip.AddrPortFrom(dst.Addr().Unmap(), dst.Port())
	f, err := s.open(dst, cfg, fast)
	if err != nil {
		return nil, &api.Error{Op: "dial", Dst: dst, Err: err}
	}

	now := f.shard.enter()
	var ended error
	for {
		st := f.conn.State()
		if f.conn.FullyClosed() || f.conn.Gone() {
			if ended = f.conn.CloseReason(); ended == nil {
				ended = api.ErrReset
			}
			break
		}
		if st != api.StateSynSent && st != api.StateSynReceived {
			f.forgetWaits()
			f.shard.leave(now)
			return f, nil
		}
		if ended == nil && ctx.Err() != nil {
			ended = context.Cause(ctx)
		}
		if fault.On("dial-ignores-context") {
			ended = nil
			now, _ = f.wait(context.Background(), now, forOpened)
			continue
		}
		if ended != nil {
			f.abort(now, api.ErrAborted)
			break
		}
		now, ended = f.wait(ctx, now, forOpened)
	}
	f.conn.ReleaseBuffers()
	f.shard.leave(now)
	if fault.On("refusal-as-timeout") && ended == api.ErrRefused {
		ended = api.ErrTimeout
	}
	return nil, f.fail("dial", ended)
}

// open sends a SYN from a local address and port that are free.
func (s *Stack) open(dst netip.AddrPort, cfg *api.FlowConfig, fast *fastDial) (*Flow, error) {
	if !dst.IsValid() || dst.Port() == 0 {
		return nil, api.ErrInvalidAddress
	}
	sh := s.shards[0]
	now := sh.enter()
	if sh.closed || s.leaving.Load() {
		sh.exit()
		return nil, api.ErrDisconnected
	}
	flow, err := sh.host.Resolve(cfg)
	var src netip.Addr
	if err == nil {
		src, err = sh.host.Route(dst.Addr(), flow.Local.Addr().Unmap())
	}
	if err != nil {
		sh.exit()
		return nil, err
	}
	if port := flow.Local.Port(); port != 0 {
		sh.exit()
		return s.openFrom(netip.AddrPortFrom(src, port), dst, &flow, fast)
	}
	// Ports come from shard 0 in small lots, because the shard in which one is
	// tried must not be waited for while holding another.
	var ports []uint16
	want := portsAtOnce
	for {
		tried := len(ports)
		ports = ports[:0]
		for p := range sh.host.Ports(now, src, dst) {
			if ports = append(ports, p); len(ports) == want {
				break
			}
		}
		sh.exit()
		for _, p := range ports {
			if s.listening(p) {
				continue
			}
			f, err := s.openFrom(netip.AddrPortFrom(src, p), dst, &flow, fast)
			if !errors.Is(err, api.ErrPortInUse) {
				return f, err
			}
		}
		if tried > 0 || len(ports) < want {
			return nil, api.ErrNoPorts
		}
		want = 1 << 16 // the whole range, once
		now = sh.enter()
	}
}

func (s *Stack) listening(port uint16) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listeners[port] != nil
}

func (s *Stack) openFrom(src, dst netip.AddrPort, cfg *api.FlowConfig, fast *fastDial) (*Flow, error) {
	sh := s.shards[host.TupleHash(s.hashKey, src, dst)%uint64(len(s.shards))]
	f := newFlow(sh, cfg.Notify)
	now := sh.enter()
	if sh.closed || s.leaving.Load() {
		sh.exit()
		return nil, api.ErrDisconnected
	}
	var c *tcp.Conn
	var err error
	if fast == nil {
		c, err = sh.host.Dial(now, src, dst, cfg, f)
	} else {
		c, err = sh.host.DialFast(now, src, dst, cfg, f, fast.noCookie)
	}
	if err == nil && fast != nil {
		// Before the SYN leaves: it takes along what fits.
		err = fast.write(now, c)
	}
	if err == nil {
		f.conn, f.state = c, api.StateClosed
		sh.touch(now, c)
	}
	sh.leave(now)
	if err != nil {
		return nil, err
	}
	return f, nil
}

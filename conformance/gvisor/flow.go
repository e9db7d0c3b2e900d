package main

import (
	"bytes"
	"context"
	"io"
	"net/netip"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"github.com/sluicenet/sluice/api"
)

// disconnectGrace is how long Disconnect waits for the peers, at most.
const disconnectGrace = time.Minute

// flow is one of gVisor's endpoints as an api.Flow.
type flow struct {
	s        *stack
	ep       tcpip.Endpoint
	src, dst netip.AddrPort

	mu       sync.Mutex
	cfg      api.FlowConfig
	pending  []byte // taken by a write, not yet by gVisor, whose buffer is full
	taken    uint64 // bytes of all writes
	una      uint32 // SND.UNA of the last probe
	acked    uint64
	wasOpen  bool
	fin      bool // CloseWrite was called
	shut     bool // gVisor knows
	discards bool // CloseRead was called
	orphaned bool
	over     bool
	reason   error
}

var (
	_ api.Flow     = (*flow)(nil)
	_ api.Orphaner = (*flow)(nil)
)

// locate notes the addresses, which gVisor forgets with the end.
func (f *flow) locate() {
	if a, err := f.ep.GetLocalAddress(); err == nil {
		f.src = addrPort(a)
	}
	if a, err := f.ep.GetRemoteAddress(); err == nil {
		f.dst = addrPort(a)
	}
}

func (f *flow) Src() netip.AddrPort { return f.src }
func (f *flow) Dst() netip.AddrPort { return f.dst }

func (f *flow) state() api.State {
	switch tcp.EndpointState(f.ep.State()) {
	case tcp.StateConnecting, tcp.StateSynSent:
		return api.StateSynSent
	case tcp.StateSynRecv:
		return api.StateSynReceived
	case tcp.StateEstablished:
		return api.StateEstablished
	case tcp.StateFinWait1:
		return api.StateFinWait1
	case tcp.StateFinWait2:
		return api.StateFinWait2
	case tcp.StateCloseWait:
		return api.StateCloseWait
	case tcp.StateClosing:
		return api.StateClosing
	case tcp.StateLastAck:
		return api.StateLastAck
	case tcp.StateTimeWait:
		return api.StateTimeWait
	}
	return api.StateClosed
}

// opened reports whether the handshake has been completed.
func (f *flow) opened() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.wasOpen
}

// ended reports whether the connection is gone, for whatever reason.
func (f *flow) ended() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.over
}

// closed reports whether both ends have closed, or the connection is gone.
func (f *flow) closed() bool { return f.ended() || f.state() == api.StateTimeWait }

func (f *flow) CloseReason() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reason
}

// end notes the end, and its reason. The first one counts.
func (f *flow) end(reason error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.over {
		f.over, f.reason = true, reason
	}
}

// update looks at what has become of the endpoint. It runs while gVisor rests.
func (f *flow) update() {
	f.s.mu.Lock()
	id := tcp.TCPEndpointID{
		LocalPort: f.src.Port(), LocalAddress: fullAddress(f.src).Addr,
		RemotePort: f.dst.Port(), RemoteAddress: fullAddress(f.dst).Addr,
	}
	una, probed := f.s.unacked[id]
	f.s.mu.Unlock()
	st := f.state()
	f.mu.Lock()
	if probed {
		if f.una == 0 {
			f.una = f.s.link.initial(f.src, f.dst) + 1
		}
		f.acked += uint64(una - f.una)
		f.una = una
	}
	f.wasOpen = f.wasOpen || st != api.StateClosed && st != api.StateSynSent && st != api.StateSynReceived
	idle := f.acked >= f.taken && f.cfg.Keepalive != nil && f.wasOpen
	over := f.over
	f.mu.Unlock()
	if st == api.StateClosed {
		if !over {
			reason := cause(f.ep.LastError())
			if reason == api.ErrTimeout && idle {
				reason = api.ErrKeepalive
			}
			if reason == api.ErrClosed {
				reason = nil
			}
			if reason == api.ErrAborted {
				reason = api.ErrReset // our own aborts have been noted: in CLOSE-WAIT gVisor calls a reset so
			}
			f.end(reason)
		}
		f.s.remove(f)
	}
}

// flush hands gVisor what it has room for, and reports whether it took anything.
func (f *flow) flush() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	progress := false
	for len(f.pending) > 0 && !f.over {
		n, err := f.ep.Write(bytes.NewReader(f.pending), tcpip.WriteOptions{Atomic: true})
		if _, full := err.(*tcpip.ErrWouldBlock); err != nil && !full {
			f.pending = nil
		}
		if n == 0 {
			break
		}
		f.pending = f.pending[n:]
		progress = true
	}
	if len(f.pending) == 0 && !f.shut && !f.over {
		if f.orphaned {
			f.shut, progress = true, true
			f.ep.Close()
		} else if f.fin {
			f.shut, progress = true, true
			f.ep.Shutdown(tcpip.ShutdownWrite)
		}
	}
	if f.discards && !f.orphaned {
		if res, err := f.ep.Read(io.Discard, tcpip.ReadOptions{}); err == nil && res.Count > 0 {
			progress = true
		}
	}
	return progress
}

func (f *flow) Read(ctx context.Context) (*api.Buffer, error) {
	var b bytes.Buffer
	var failure error
	err := f.s.wait(ctx, func() bool {
		f.mu.Lock()
		reason, discards := f.reason, f.discards
		f.mu.Unlock()
		switch {
		case reason != nil && reason != api.ErrKeepalive:
			failure = failed("read", f.src, f.dst, reason)
			return true
		case discards:
			failure = io.EOF
			return true
		}
		_, err := f.ep.Read(&b, tcpip.ReadOptions{})
		if _, empty := err.(*tcpip.ErrWouldBlock); empty {
			return false
		}
		if b.Len() == 0 {
			f.s.settle() // an error is told once: update must see why the flow ended
			if f.CloseReason() == nil || f.CloseReason() == api.ErrKeepalive {
				failure = io.EOF
			} else {
				failure = failed("read", f.src, f.dst, f.CloseReason())
			}
		}
		return true
	})
	if err != nil {
		return nil, failed("read", f.src, f.dst, err)
	}
	if failure != nil {
		return nil, failure
	}
	f.s.settle() // the window may have opened
	return api.NewBuffer(b.Bytes()), nil
}

// writable returns why nothing can be written any more, or nil.
func (f *flow) writable() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.over:
		return api.ClosedBy(f.reason)
	case f.fin || f.orphaned:
		return api.ClosedBy(nil)
	}
	return nil
}

// write takes bs once there is room.
func (f *flow) write(ctx context.Context, bs []*api.Buffer, then func()) error {
	var all []byte
	for _, b := range bs {
		all = append(all, b.Bytes()...)
		b.Release()
	}
	if len(all) == 0 {
		return nil
	}
	var failure error
	err := f.s.wait(ctx, func() bool {
		if failure = f.writable(); failure != nil {
			return true
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.pending) > 0 {
			return false
		}
		f.pending = all
		f.taken += uint64(len(all))
		return true
	})
	if err == nil {
		err = failure
	}
	if err != nil {
		return failed("write", f.src, f.dst, err)
	}
	f.flush()
	then()
	f.s.settle()
	return nil
}

func (f *flow) Write(ctx context.Context, b *api.Buffer) error {
	return f.write(ctx, []*api.Buffer{b}, func() {})
}

func (f *flow) Writev(ctx context.Context, bs []*api.Buffer) error {
	return f.write(ctx, bs, func() {})
}

func (f *flow) WriteNoDelay(ctx context.Context, b *api.Buffer) error {
	return f.WritevNoDelay(ctx, []*api.Buffer{b})
}

func (f *flow) WritevNoDelay(ctx context.Context, bs []*api.Buffer) error {
	var upTo uint64
	err := f.write(ctx, bs, func() {
		f.mu.Lock()
		upTo = f.taken
		delay := !f.cfg.NoDelay
		f.mu.Unlock()
		f.ep.SocketOptions().SetDelayOption(false) // which sends
		f.ep.SocketOptions().SetDelayOption(delay)
	})
	if err != nil {
		return err
	}
	acked := func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.acked >= upTo
	}
	if err = f.s.wait(ctx, func() bool { return acked() || f.ended() }); err == nil && !acked() {
		err = api.ClosedBy(f.CloseReason())
	}
	if err != nil {
		return failed("write", f.src, f.dst, err)
	}
	return nil
}

func (f *flow) CloseWrite() error {
	f.mu.Lock()
	f.fin = true
	f.mu.Unlock()
	f.flush()
	f.s.settle()
	return nil
}

func (f *flow) Close(ctx context.Context) error {
	_ = f.CloseWrite()
	err := f.s.wait(ctx, f.closed)
	if err == nil {
		err = f.CloseReason()
	}
	if err != nil {
		return failed("close", f.src, f.dst, err)
	}
	return nil
}

func (f *flow) CloseRead() error {
	f.mu.Lock()
	f.discards = true
	f.mu.Unlock()
	f.s.settle()
	return nil
}

func (f *flow) Abort() {
	if f.state() == api.StateClosed || f.state() == api.StateTimeWait {
		return
	}
	f.end(api.ErrAborted)
	f.drop()
}

// drop ends the endpoint, with a reset if the connection is open.
func (f *flow) drop() {
	f.ep.Abort()
	f.s.settle()
	f.s.remove(f)
}

func (f *flow) Orphan() {
	f.mu.Lock()
	f.orphaned, f.discards = true, true
	f.mu.Unlock()
	f.flush()
	f.s.settle()
}

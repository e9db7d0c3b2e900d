package engine

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/impl/engine/host"
	"github.com/sluicenet/sluice/impl/engine/tcp"
)

// requestPatience is how long a handler may take to answer a request. Peers repeat
// their SYN for longer than that, and some of them give up much sooner.
const requestPatience = time.Minute

// A forwarder is what the engine hangs onto a host.Forwarding.
type forwarder struct {
	host.Forwarding
	stack   *Stack
	handler func(context.Context, api.Request)
}

// A request is an api.Request. What can change is under its shard's lock.
type request struct {
	fw     *forwarder
	shard  *shard
	host   *host.Request
	cancel context.CancelCauseFunc

	flow *Flow // once established
	wake waitList
}

var _ api.Request = (*request)(nil)

// Forward implements api.Forwarder.
func (s *Stack) Forward(prefixes []netip.Prefix, cfg *api.ForwardConfig, h func(context.Context, api.Request)) (stop func(), err error) {
	fail := func(err error) (func(), error) { return nil, &api.Error{Op: "forward", Err: err} }
	if h == nil {
		return fail(configError("Forward needs a handler"))
	}
	if len(prefixes) == 0 {
		return fail(configError("Forward needs prefixes: 0.0.0.0/0 and ::/0 are all addresses"))
	}
	if cfg == nil {
		cfg = &api.ForwardConfig{}
	}
	if cfg.Pending < 0 {
		return fail(configError("Pending cannot be negative"))
	}
	fw := &forwarder{stack: s, handler: h}
	for _, p := range prefixes {
		if !p.IsValid() || p.Addr().Is4In6() {
			return fail(fmt.Errorf("%w: %v is not a prefix of IPv4 or IPv6 addresses", api.ErrInvalidConfig, p))
		}
		fw.Prefixes = append(fw.Prefixes, p.Masked())
	}
	sh := s.shards[0]
	sh.mu.Lock()
	flow := cfg.Flow
	flow.Local = netip.AddrPort{}
	fw.Flow, err = sh.host.Resolve(&flow)
	sh.exit()
	if err != nil {
		return fail(err)
	}
	fw.Pending = int64(cfg.Pending)
	fw.User = fw

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left {
		return fail(api.ErrDisconnected)
	}
	s.forwards = append(s.forwards, fw)
	for _, sh := range s.shards {
		sh.mu.Lock()
		sh.host.Forward(&fw.Forwarding)
		sh.exit()
	}
	return func() {
		s.mu.Lock()
		s.stopForwarding(fw)
		s.mu.Unlock()
		s.settle()
	}, nil
}

// stopForwarding ends what waits for fw; the resets leave with the next settle. The
// caller holds mu.
func (s *Stack) stopForwarding(fw *forwarder) {
	i := slices.Index(s.forwards, fw)
	if i < 0 {
		return
	}
	s.forwards = slices.Delete(s.forwards, i, i+1)
	for _, sh := range s.shards {
		now := sh.enter()
		sh.host.StopForwarding(now, &fw.Forwarding)
		sh.mu.Unlock()
	}
}

// requested runs the handler of a new request, and ends one that is over. The
// caller holds the shard's lock.
func (s *Stack) requested(sh *shard, hr *host.Request, fresh bool) {
	if !fresh {
		r := hr.User.(*request)
		r.cancel(hr.Reason())
		r.wake.wake()
		return
	}
	fw := hr.Forwarding.User.(*forwarder)
	r := &request{fw: fw, shard: sh, host: hr}
	hr.User = r
	patient, end := s.clock.WithTimeout(s.handlers, requestPatience)
	ctx, cancel := s.clock.WithCancel(patient)
	r.cancel = cancel
	if hr.Ended() { // before anyone could look at it
		cancel(hr.Reason())
	}
	s.clock.Go(func() {
		defer r.finish(end)
		fw.handler(ctx, r)
	})
}

// finish is called when the handler has returned.
func (r *request) finish(end context.CancelFunc) {
	now := r.shard.enter()
	r.host.Finished()
	r.shard.host.DropRequest(r.host)
	r.shard.leave(now)
	r.cancel(context.Canceled)
	end()
}

// established makes a flow of a connection whose request was accepted. The caller
// holds the shard's lock.
func (fw *forwarder) established(sh *shard, c *tcp.Conn) *Flow {
	f := newFlow(sh, c.FlowConfig().Notify)
	f.conn, f.state = c, api.StateSynReceived
	r := c.User.(*request)
	c.User = f
	r.flow = f
	r.wake.wake()
	return f
}

// Src implements api.Request.
func (r *request) Src() netip.AddrPort { return r.host.Local }

// Dst implements api.Request.
func (r *request) Dst() netip.AddrPort { return r.host.Remote }

// Accept implements api.Request.
func (r *request) Accept(ctx context.Context) (api.Flow, error) {
	sh := r.shard
	now := sh.enter()
	err := error(api.ErrDisconnected)
	if !sh.closed {
		err = sh.host.AcceptRequest(now, r.host)
	}
	if err == nil {
		for err == nil && r.flow == nil && !r.host.Ended() {
			now, err = r.wake.wait(ctx, sh, now)
		}
		if r.flow != nil {
			sh.leave(now)
			return r.flow, nil
		}
		if r.host.Ended() {
			err = r.host.Reason()
		}
		sh.host.AbortRequest(now, r.host)
	}
	sh.leave(now)
	return nil, &api.Error{Op: "accept", Src: r.Src(), Dst: r.Dst(), Err: err}
}

// Reject implements api.Request.
func (r *request) Reject() {
	now := r.shard.enter()
	if !r.shard.closed {
		r.shard.host.RejectRequest(now, r.host)
	}
	r.shard.leave(now)
}

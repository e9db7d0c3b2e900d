package conformance

import (
	"context"
	"iter"
	"net/netip"
	"sync"

	"github.com/sluicenet/sluice/api"
)

// flowsOf adds a wrapper of flows to a faulty stack.
func flowsOf(s *faultyStack, make func() faultyFlow) api.Stack {
	s.flow = func(f api.Flow) api.Flow {
		w := make()
		w.UrgentFlow = f.(api.UrgentFlow)
		return &w
	}
	return s
}

type noUnlisten struct{ api.Stack }

func (noUnlisten) Unlisten(uint16) {}

type unlistenAborts struct {
	*faultyStack
	mu    sync.Mutex
	flows []api.Flow
}

func (s *unlistenAborts) Listen(port uint16, cfg *api.ListenConfig, h api.Handler) (uint16, error) {
	return s.faultyStack.Listen(port, cfg, func(ctx context.Context, f api.Flow) {
		s.mu.Lock()
		s.flows = append(s.flows, f)
		s.mu.Unlock()
		h(ctx, f)
	})
}

func (s *unlistenAborts) Unlisten(port uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.flows {
		f.Abort()
	}
	s.faultyStack.Unlisten(port)
}

type hastyDisconnect struct{ api.Stack }

func (s *hastyDisconnect) Disconnect(context.Context) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.Stack.Disconnect(ctx)
}

type patientDial struct{ api.Stack }

func (s *patientDial) Dial(_ context.Context, dst netip.AddrPort, cfg *api.FlowConfig) (api.Flow, error) {
	return s.Stack.Dial(context.Background(), dst, cfg)
}

type leakyInfo struct{ api.Stack }

func (s *leakyInfo) Info() api.StackInfo {
	i := s.Stack.Info()
	i.Flows, i.HalfOpen, i.Memory = int64(i.Opened+i.Accepted), i.HalfOpen+100, i.Memory+2<<20
	return i
}

type usualKeepalive struct{ api.Stack }

func (s *usualKeepalive) Dial(ctx context.Context, dst netip.AddrPort, cfg *api.FlowConfig) (api.Flow, error) {
	if cfg != nil && cfg.Keepalive != nil {
		if _, ok := cfg.Keepalive.(api.KeepaliveConfig); !ok {
			return nil, &api.Error{Op: "dial", Dst: dst, Err: api.ErrInvalidConfig}
		}
	}
	return s.Stack.Dial(ctx, dst, cfg)
}

type deafObserver struct{ api.Stack }

func (*deafObserver) SetObserver(*api.Observer) {}

type noDrops struct{ api.Stack }

func (s *noDrops) Info() api.StackInfo {
	i := s.Stack.Info()
	i.Drops = [api.NumDropReasons]uint64{}
	return i
}

type noFlows struct{ api.Stack }

func (s *noFlows) Flows() iter.Seq[api.Info] { return func(func(api.Info) bool) {} }

type plainUrgent struct{ api.UrgentFlow }

func (f plainUrgent) WriteUrgent(ctx context.Context, b *api.Buffer) error { return f.Write(ctx, b) }

// hostPort is the stack's port in the newest segment that it has sent.
func (l *mutantLink) hostPort() uint16 { return l.port }

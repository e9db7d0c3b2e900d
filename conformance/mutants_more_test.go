package conformance

import (
	"context"
	"flag"
	"fmt"
	"iter"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

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

var matrix = flag.String("matrix", "", "write which mutant each case kills to this file")

// TestMatrix is for writing the table of TestMutants: it runs every case against
// every mutant.
func TestMatrix(t *testing.T) {
	if *matrix == "" {
		t.Skip("no -matrix")
	}
	out, err := os.Create(*matrix)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	killed := map[string][]string{}
	for _, m := range append(mutants(), caseMutants()...) {
		start := time.Now()
		n := 0
		for i := range Cases() {
			c := &Cases()[i]
			if c.ID == "mirage/port-exhaustion" || c.ID == "mirage/syn-flood-bounded" {
				continue
			}
			r := RunCase(mutantTarget{&m}, c, c.families()[0], 1, 3*time.Second)
			if r.Verdict == Fail {
				killed[c.ID] = append(killed[c.ID], m.name)
				n++
			}
		}
		fmt.Printf("%s: %d cases, %v\n", m.name, n, time.Since(start).Round(time.Millisecond))
	}
	for _, c := range Cases() {
		k := killed[c.ID]
		slices.Sort(k)
		fmt.Fprintf(out, "%s: %d: %s\n", c.ID, len(k), strings.Join(k, " "))
	}
}

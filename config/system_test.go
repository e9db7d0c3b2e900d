package config

import (
	"context"
	"errors"
	"iter"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"go.uber.org/goleak"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/mocks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// journal notes what happened in which order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(s string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, s)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.lines, " ")
}

// before reports whether all of a's lines come before all of b's, and both occur.
func (j *journal) before(a, b string) bool {
	s := j.String()
	return strings.Contains(s, a) && strings.Contains(s, b) && strings.LastIndex(s, a) < strings.Index(s, b)
}

func (j *journal) stack(t *testing.T, name string) *mocks.Stack {
	st := mocks.NewStack(t)
	st.EXPECT().Disconnect(mock.Anything).Run(func(context.Context) { j.add("disconnect:" + name) }).Return().Once()
	return st
}

func (j *journal) link(t *testing.T, name string) *mocks.Link {
	l := mocks.NewLink(t)
	l.EXPECT().Close().RunAndReturn(func() error { j.add("close:" + name); return nil }).Once()
	return l
}

const services = `services:
  - {name: one, stack: near, handler: echo, listen: 7}
  - {name: two, stack: far, handler: discard, listen: 9}
`

func TestBuildUnwinds(t *testing.T) {
	j := &journal{}
	boom := errors.New("boom")
	backends := Backends{
		"good": {Link: true, Keys: []string{"link", "addresses"}, New: func(env *Environment) (api.Stack, error) {
			if env.Link == nil || env.Stack.Name != "near" || env.Logger == nil || env.Clock == nil {
				t.Errorf("environment: %+v", env)
			}
			return j.stack(t, env.Stack.Name), nil
		}},
		"bad": {Link: true, Keys: []string{"link", "addresses"}, New: func(*Environment) (api.Stack, error) { return nil, boom }},
	}
	cfg, err := Load(Options{Name: "f.yaml", Data: []byte(minimal), Backends: backends,
		Set: []Assignment{{"stacks.near.backend", "good", "--set"}, {"stacks.far.backend", "bad", "--set"}}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = Build(cfg, Deps{Wrap: func(name string, _ link.Link) link.Link { return j.link(t, name) }})
	if !errors.Is(err, boom) || !strings.HasPrefix(err.Error(), "f.yaml:6: stacks.far: ") {
		t.Errorf("error: %v", err)
	}
	if !j.before("disconnect:near", "close:lab:a") || !strings.Contains(j.String(), "close:lab:b") {
		t.Errorf("what happened: %s", j)
	}
}

func mockSystem(t *testing.T, j *journal, stacks map[string]*mocks.Stack, yaml string) *System {
	t.Helper()
	backends := Backends{"mock": {Link: true, Keys: []string{"link", "addresses"},
		New: func(env *Environment) (api.Stack, error) { return stacks[env.Stack.Name], nil }}}
	cfg, err := Load(Options{Name: "f.yaml", Data: []byte(yaml), Backends: backends,
		Set: []Assignment{{"stacks.near.backend", "mock", "--set"}, {"stacks.far.backend", "mock", "--set"}}})
	if err != nil {
		t.Fatal(err)
	}
	sys, err := Build(cfg, Deps{Wrap: func(name string, _ link.Link) link.Link { return j.link(t, name) }})
	if err != nil {
		t.Fatal(err)
	}
	return sys
}

func TestStartFailureEndsAll(t *testing.T) {
	j := &journal{}
	stacks := map[string]*mocks.Stack{"near": j.stack(t, "near"), "far": j.stack(t, "far")}
	stacks["near"].EXPECT().Listen(uint16(7), mock.Anything, mock.Anything).Return(7, nil).Once()
	stacks["near"].EXPECT().Unlisten(uint16(7)).Run(func(uint16) { j.add("unlisten:near") }).Return().Once()
	stacks["far"].EXPECT().Listen(uint16(9), mock.Anything, mock.Anything).Return(0, api.ErrPortInUse).Once()
	sys := mockSystem(t, j, stacks, minimal+services)
	err := sys.Start()
	if !errors.Is(err, api.ErrPortInUse) || !strings.HasPrefix(err.Error(), "f.yaml:9: services.two: ") {
		t.Errorf("error: %v", err)
	}
	if !j.before("unlisten:near", "disconnect:") || !j.before("disconnect:", "close:") {
		t.Errorf("what happened: %s", j)
	}
}

// TestCloseOrder: services end before stacks, and stacks before links; a flow
// in a handler ends in order.
func TestCloseOrder(t *testing.T) {
	j := &journal{}
	stacks := map[string]*mocks.Stack{"near": j.stack(t, "near"), "far": j.stack(t, "far")}
	for name, st := range stacks {
		st.EXPECT().Listen(mock.Anything, mock.Anything, mock.Anything).RunAndReturn(
			func(port uint16, cfg *api.ListenConfig, h api.Handler) (uint16, error) {
				if cfg.Backlog != 1024 {
					t.Errorf("backlog %d", cfg.Backlog)
				}
				if name == "near" {
					go h(context.Background(), busyFlow(t, j))
				}
				return port, nil
			}).Once()
		st.EXPECT().Unlisten(mock.Anything).Run(func(uint16) { j.add("unlisten") }).Return().Once()
	}
	sys := mockSystem(t, j, stacks, minimal+services)
	if err := sys.Start(); err != nil {
		t.Fatal(err)
	}
	for !strings.Contains(j.String(), "read") {
		time.Sleep(time.Millisecond) // until the handler runs
	}
	sys.Close(context.Background())
	sys.Close(context.Background()) // again is fine
	if !j.before("unlisten", "disconnect:") || !j.before("flow-closed", "disconnect:") || !j.before("disconnect:", "close:") {
		t.Errorf("what happened: %s", j)
	}
	if st, ok := sys.Service("one"); !ok || st.Total != 1 || st.Active != 0 || st.Failed != 0 {
		t.Errorf("counters: %+v", st)
	}
}

// busyFlow is a flow whose peer says nothing.
func busyFlow(t *testing.T, j *journal) api.Flow {
	f := mocks.NewFlow(t)
	f.EXPECT().Read(mock.Anything).RunAndReturn(func(ctx context.Context) (*api.Buffer, error) {
		j.add("read")
		<-ctx.Done()
		return nil, &api.Error{Op: "read", Err: context.Cause(ctx)}
	})
	f.EXPECT().Close(mock.Anything).RunAndReturn(func(context.Context) error { j.add("flow-closed"); return nil }).Once()
	f.EXPECT().Dst().Return(netip.MustParseAddrPort("10.0.0.9:9")).Maybe()
	return f
}

func TestStatus(t *testing.T) {
	j := &journal{}
	stacks := map[string]*mocks.Stack{"near": j.stack(t, "near"), "far": j.stack(t, "far")}
	ap := netip.MustParseAddrPort
	info := api.StackInfo{Backend: "mock", Flows: 2, Retransmits: 5}
	info.Drops[api.DropPAWS] = 3
	stacks["near"].EXPECT().Info().Return(info)
	stacks["near"].EXPECT().Flows().Return(iter.Seq[api.Info](func(yield func(api.Info) bool) {
		_ = yield(api.Info{State: api.StateEstablished, Src: ap("10.0.0.1:2"), Dst: ap("10.0.0.2:80"), SRTT: 20 * time.Millisecond}) &&
			yield(api.Info{State: api.StateEstablished, Src: ap("10.0.0.1:1"), Dst: ap("10.0.0.2:80"), SoftError: api.ErrUnreachable})
	}))
	stacks["far"].EXPECT().Info().Return(api.StackInfo{})
	stacks["far"].EXPECT().Flows().Return(iter.Seq[api.Info](func(func(api.Info) bool) {}))

	cfg := minimal
	sys := func() *System {
		backends := Backends{"mock": {Link: true, Keys: []string{"link", "addresses"},
			New: func(env *Environment) (api.Stack, error) { return stacks[env.Stack.Name], nil }}}
		c, err := Load(Options{Name: "f.yaml", Data: []byte(cfg), Backends: backends,
			Set: []Assignment{{"stacks.near.backend", "mock", "--set"}, {"stacks.far.backend", "mock", "--set"}}})
		if err != nil {
			t.Fatal(err)
		}
		s, err := Build(c, Deps{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}()
	st := sys.Status()
	if len(st.Stacks) != 2 || st.Stacks[0].Name != "near" || st.Stacks[0].Retransmits != 5 || st.Stacks[0].Drops["paws"] != 3 || len(st.Stacks[0].Drops) != 1 {
		t.Errorf("stacks: %+v", st.Stacks)
	}
	if len(st.Links) != 2 || st.Links[0].Name != "lab:a" || st.Links[1].Driver != "sim" || st.Links[0].MTU != 1500 {
		t.Errorf("links: %+v", st.Links)
	}
	if len(st.Flows) != 2 || st.Flows[0].Local != ap("10.0.0.1:1") || st.Flows[1].RTT != 20000 || st.Flows[0].SoftError == "" {
		t.Errorf("flows: %+v", st.Flows)
	}
	sys.Close(context.Background())
}

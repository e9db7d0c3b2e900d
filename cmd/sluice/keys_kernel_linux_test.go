package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sort"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/config"
)

// kernelCases has a case for every key that the backend kernel takes. want is
// what the kernel itself says is in force.
var kernelCases = map[string]struct {
	set  []string
	see  func(k *kernelState) any
	want string
}{
	"addresses":       {[]string{"addresses=127.0.0.5/8"}, func(k *kernelState) any { return k.flow.Src().Addr() }, "127.0.0.5"},
	"buffers.send":    {[]string{"buffers.send=256KiB"}, func(k *kernelState) any { return k.opts.SendBuffer }, "262144"},
	"buffers.receive": {[]string{"buffers.receive=192KiB"}, func(k *kernelState) any { return k.opts.ReceiveBuffer }, "196608"},
	"limits.flows": {[]string{"limits.flows=2"}, func(k *kernelState) any {
		f, err := k.stack.Dial(context.Background(), k.flow.Dst(), nil) // one more than the flow's two ends
		if err == nil {
			f.Abort()
		}
		return errors.Is(err, api.ErrNoMemory)
	}, "true"},
	"keepalive.after":    {[]string{"keepalive.after=33s"}, func(k *kernelState) any { return k.keepalive().After }, "33s"},
	"keepalive.interval": {[]string{"keepalive.interval=7s"}, func(k *kernelState) any { return k.keepalive().Interval }, "7s"},
	"keepalive.probes":   {[]string{"keepalive.probes=5"}, func(k *kernelState) any { return k.keepalive().Probes }, "5"},
	"nodelay":            {[]string{"nodelay=true"}, func(k *kernelState) any { return k.flow.Info().NoDelay }, "true"},
	"user_timeout":       {[]string{"user_timeout=44s"}, func(k *kernelState) any { return k.opts.UserTimeout }, "44s"},
	"ttl":                {[]string{"ttl=9"}, func(k *kernelState) any { return k.flow.Info().TTL }, "9"},
	"dscp":               {[]string{"dscp=46"}, func(k *kernelState) any { return k.flow.Info().DSCP }, "46"},
	"mss":                {[]string{"mss=500"}, func(k *kernelState) any { return k.flow.Info().SendMSS <= 500 }, "true"},
}

type kernelState struct {
	stack api.Stack
	flow  api.Flow
	opts  api.FlowConfig // in force
}

func (k *kernelState) keepalive() api.KeepaliveConfig {
	c, _ := k.opts.Keepalive.(api.KeepaliveConfig)
	return c
}

func TestKeysOfKernel(t *testing.T) {
	var blocks, missing []string
	for _, key := range config.DefaultBackends()["kernel"].Keys {
		if _, ok := kernelCases[key]; ok {
			continue
		}
		found := false
		for _, k := range config.Keys() { // a block: each of its keys
			if path := "stacks[]." + key + "."; len(k.Path) > len(path) && k.Path[:len(path)] == path {
				found = true
				if _, ok := kernelCases[k.Path[len("stacks[]."):]]; !ok {
					missing = append(missing, k.Path)
				}
			}
		}
		if !found {
			blocks = append(blocks, key)
		}
	}
	sort.Strings(missing)
	if len(missing) > 0 || len(blocks) > 0 {
		t.Errorf("no case for %v %v", missing, blocks)
	}
	for key, c := range kernelCases {
		t.Run(key, func(t *testing.T) {
			before := seeKernel(t, nil, c.see)
			after := seeKernel(t, c.set, c.see)
			if before == after || after != c.want {
				t.Errorf("%v: %s became %s, want %s", c.set, before, after, c.want)
			}
		})
	}
}

func seeKernel(t *testing.T, set []string, see func(*kernelState) any) string {
	t.Helper()
	for i := range set {
		set[i] = "stacks.k." + set[i]
	}
	cfg := loadKeys(t, "version: 1\nstacks: [{name: k, backend: kernel, addresses: [127.0.0.1/8]}]\nshutdown: 1s\n", set)
	for i := range set {
		set[i] = set[i][len("stacks.k."):]
	}
	sys, err := config.Build(cfg, config.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	defer sys.Close(ctx)
	k := &kernelState{stack: sys.Stack("k")}
	port, err := k.stack.Listen(0, nil, func(ctx context.Context, f api.Flow) {
		f.Read(ctx)
		f.Abort()
	})
	if err != nil {
		t.Fatal(err)
	}
	k.flow, err = k.stack.Dial(ctx, netip.AddrPortFrom(cfg.Stacks[0].Addresses[0].Addr(), port), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer k.flow.Abort()
	for limit := time.Now().Add(10 * time.Second); k.stack.Info().Flows < 2; time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("the connection is not accepted")
		}
	}
	if err := k.flow.Configure(func(c *api.FlowConfig) { k.opts = *c }); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(see(k))
}

package config

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
)

// Each controller is a backend, takes its options, and can be asked for by a flow of
// another.
func TestControllers(t *testing.T) {
	for _, c := range []struct {
		stack, name string
		cwnd        int64 // at the start, if known
	}{
		{"backend: reno", "reno", 0},
		{"backend: cubic, cubic: {hystart: false}", "cubic", 0},
		{"backend: bbr", "bbr", 0},
		{"backend: dctcp", "dctcp", 0},
		{"backend: fixed", "fixed", 64 << 10},
		{"backend: fixed, fixed: {window: 12345B}", "fixed", 12345},
	} {
		cfg, err := load(t, "version: 1\nstacks:\n  - {name: near, link: none, addresses: [10.0.0.1/24], "+c.stack+"}\n")
		if err != nil {
			t.Errorf("%s: %v", c.stack, err)
			continue
		}
		clk := clock.NewVirtual()
		clk.Run(func() {
			s := cfg.Stacks[0]
			st, err := DefaultBackends()[s.Backend].New(&Environment{Stack: &s, Clock: clk, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
			if err != nil {
				t.Errorf("%s: %v", c.stack, err)
				return
			}
			ctx := context.Background()
			defer st.Disconnect(ctx)
			port, err := st.Listen(0, nil, func(ctx context.Context, f api.Flow) {
				_, _ = f.Read(ctx)
				_ = f.Close(ctx)
			})
			if err != nil {
				t.Errorf("%s: %v", c.stack, err)
				return
			}
			for _, congestion := range []string{"", "reno", "cubic", "bbr", "dctcp:g=0.5", "fixed:window=9999B"} {
				cfg := api.FlowConfig{Congestion: congestion}
				f, err := st.Dial(ctx, netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), port), &cfg)
				if err != nil {
					t.Errorf("%s, flow %q: %v", c.stack, congestion, err)
					continue
				}
				want, _, _ := strings.Cut(congestion, ":")
				if want == "" {
					want = c.name
				}
				i := f.Info()
				if i.Congestion != want {
					t.Errorf("%s, flow %q: the controller is %q", c.stack, congestion, i.Congestion)
				}
				if congestion == "" && c.cwnd > 0 && i.Cwnd != c.cwnd || strings.HasPrefix(congestion, "fixed") && i.Cwnd != 9999 {
					t.Errorf("%s, flow %q: the window is %d", c.stack, congestion, i.Cwnd)
				}
				if err := f.Close(ctx); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestControllerOptionErrors(t *testing.T) {
	for stack, part := range map[string]string{
		"backend: bbr, cubic: {c: 1}":                 "the backend bbr does not take it",
		"backend: dctcp, fixed: {window: 1KiB}":       "the backend dctcp does not take it",
		"backend: fixed, fixed: {window: 1000}":       "has no unit",
		"backend: fixed, fixed: {windw: 1KiB}":        `did you mean "window"?`,
		"backend: fixed, fixed: {window: 2GiB}":       "the most is 1GiB",
		"backend: bbrr":                               `did you mean "bbr"?`,
		"backend: cubic, cubic: {hystart: sometimes}": "stacks.near.cubic.hystart",
	} {
		_, err := load(t, strings.Replace(minimal, "addresses: [10.0.0.1/24]", "addresses: [10.0.0.1/24], "+stack, 1))
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v, want it to say %s", stack, err, part)
		}
	}
}

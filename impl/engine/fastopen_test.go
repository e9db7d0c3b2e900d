package engine_test

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine"
	"github.com/sluicenet/sluice/impl/engine/host"
)

// Two stacks, with many shards: what one dial learns, the next knows.
func TestDialFast(t *testing.T) {
	virtually(t, func(v *clock.Virtual) {
		w := pipeWorld(t, v, func(_ string, c *engine.Config) {
			c.Params.FastOpen.Client, c.Params.FastOpen.Server = true, true
			c.Shards = 8
		})
		defer w.close()
		ctx, cancel := v.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		got := make(chan string, 8)
		port, err := w.b.Listen(0, &api.ListenConfig{FastOpen: 4}, func(ctx context.Context, f api.Flow) {
			b, err := f.Read(ctx)
			if err != nil {
				t.Error(err)
				return
			}
			text := string(b.Bytes())
			for len(text) < len("question") {
				if b, err = f.Read(ctx); err != nil {
					break
				}
				text += string(b.Bytes())
			}
			got <- text
			if err := f.Write(ctx, api.CopyBuffer([]byte("answer"))); err != nil {
				t.Error(err)
			}
			f.CloseWrite()
		})
		if err != nil {
			t.Fatal(err)
		}
		dst := netip.AddrPortFrom(addrB4.Addr(), port)
		for i, want := range []string{"no-cookie", "accepted", "accepted"} {
			n, ok := w.a.FastOpenRoom(dst, nil, engine.FastOpenOptions{})
			if ok != (i > 0) || ok && n < 1000 {
				t.Errorf("dial %d: room for %d bytes, %v", i, n, ok)
			}
			f, err := w.a.DialFast(ctx, dst, nil, api.CopyBuffer([]byte("quest")), api.CopyBuffer([]byte("ion")))
			if err != nil {
				t.Error(err)
				return
			}
			b, err := f.Read(ctx)
			if err != nil || !bytes.Equal(b.Bytes(), []byte("answer")) {
				t.Error(b, err)
				return
			}
			if s := f.Info().FastOpen; s != want {
				t.Errorf("dial %d: %q, want %q", i, s, want)
			}
			f.Abort()
		}
		for range 3 {
			if s := <-got; s != "question" {
				t.Errorf("the server has read %q", s)
			}
		}
		if !w.b.SetFastOpen(port, host.FastOpen{}) || w.b.SetFastOpen(port^1, host.FastOpen{}) {
			t.Error("SetFastOpen")
		}
		// Nobody listens.
		if _, err := w.a.DialFast(ctx, netip.AddrPortFrom(addrB4.Addr(), port^1), nil, api.CopyBuffer([]byte("x"))); !errors.Is(err, api.ErrRefused) {
			t.Error(err)
		}
	})
}

// Data for which there is no room end the dial before its SYN leaves.
func TestDialFastWithoutMemory(t *testing.T) {
	virtually(t, func(v *clock.Virtual) {
		w := pipeWorld(t, v, func(_ string, c *engine.Config) {
			c.Params.FastOpen.Client = true
			c.Limits.Memory = 100_000
			c.Observer = &api.Observer{Closed: func(api.Info, error) { t.Error("a flow that never was has ended") }}
		})
		defer w.close()
		_, err := w.a.DialFast(context.Background(), netip.AddrPortFrom(addrB4.Addr(), 80), nil, api.NewBuffer(make([]byte, 200_000)))
		if !errors.Is(err, api.ErrNoMemory) {
			t.Error(err)
		}
		if i := w.a.Info(); i.Flows != 0 || i.Memory != 0 {
			t.Errorf("%d flows, %d bytes", i.Flows, i.Memory)
		}
	})
}

package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine"
)

// forwarding is a world in which A routes everything to B, which forwards.
func forwarding(t *testing.T, v *clock.Virtual, edit func(*engine.Config)) *world {
	return pipeWorld(t, v, func(name string, c *engine.Config) {
		if name == "a" {
			c.Gateways = []netip.Addr{addrB4.Addr(), addrB6.Addr()}
		}
		if edit != nil {
			edit(c)
		}
	})
}

var everywhere = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}

func TestForward(t *testing.T) {
	for _, to := range []string{"198.51.100.7:80", "[2001:db8:7::1]:443"} {
		t.Run(to, func(t *testing.T) {
			virtually(t, func(v *clock.Virtual) {
				w := forwarding(t, v, nil)
				defer w.close()
				dst := netip.MustParseAddrPort(to)
				served := v.NewWaiter()
				stop, err := w.b.Forward(everywhere, &api.ForwardConfig{Flow: api.FlowConfig{Congestion: "reno"}}, func(ctx context.Context, r api.Request) {
					defer served.Wake()
					if r.Src() != dst || r.Dst().Addr() != addrA4.Addr() && r.Dst().Addr() != addrA6.Addr() {
						t.Errorf("request from %v to %v", r.Dst(), r.Src())
					}
					// The real destination is dialled first, which takes a while.
					if err := clock.Sleep(ctx, v, 5*time.Second); err != nil {
						t.Error(err)
					}
					f, err := r.Accept(ctx)
					if err != nil {
						t.Error(err)
						return
					}
					if f.Src() != dst || f.Dst() != r.Dst() {
						t.Errorf("flow from %v to %v", f.Src(), f.Dst())
					}
					if _, err := r.Accept(ctx); !errors.Is(err, api.ErrClosed) {
						t.Errorf("a second Accept: %v", err)
					}
					r.Reject() // does nothing any more
					b, err := f.Read(ctx)
					if err != nil {
						t.Error(err)
						return
					}
					f.Write(ctx, b)
					f.Close(ctx)
				})
				if err != nil {
					t.Fatal(err)
				}
				f, err := w.a.Dial(context.Background(), dst, nil)
				if err != nil {
					t.Fatal(err)
				}
				f.Write(context.Background(), api.CopyBuffer([]byte("hello")))
				if b, err := f.Read(context.Background()); err != nil || string(b.Bytes()) != "hello" {
					t.Errorf("read %v, %v", b, err)
				}
				if _, err := f.Read(context.Background()); err != io.EOF {
					t.Errorf("read: %v", err)
				}
				stop() // what was accepted lives on
				if err := f.Close(context.Background()); err != nil {
					t.Errorf("close: %v", err)
				}
				served.Park(context.Background())
				stop()
				short, cancel := v.WithTimeout(context.Background(), 10*time.Second)
				defer cancel()
				if _, err := w.a.Dial(short, dst, nil); err == nil {
					t.Error("forwarded after stop")
				}
			})
		})
	}
}

// What a handler does with a request, and what the peer sees of it.
func TestForwardAnswers(t *testing.T) {
	for _, c := range []struct {
		name   string
		handle func(ctx context.Context, v *clock.Virtual, r api.Request) error
		dial   error // how A's dial ends within 30 s
	}{
		{"reject", func(_ context.Context, _ *clock.Virtual, r api.Request) error { r.Reject(); return nil }, api.ErrRefused},
		{"return", func(context.Context, *clock.Virtual, api.Request) error { return nil }, context.DeadlineExceeded},
		{"late", func(ctx context.Context, v *clock.Virtual, r api.Request) error {
			<-ctx.Done()
			return nil
		}, context.DeadlineExceeded},
	} {
		t.Run(c.name, func(t *testing.T) {
			virtually(t, func(v *clock.Virtual) {
				w := forwarding(t, v, nil)
				defer w.close()
				if c.name == "late" {
					c.handle = func(ctx context.Context, v *clock.Virtual, r api.Request) error {
						start := v.Now()
						err := clock.Sleep(ctx, v, time.Hour)
						if took := v.Now().Sub(start); err == nil || took > 61*time.Second {
							return fmt.Errorf("ctx ended after %v with %v", took, err)
						}
						return nil
					}
				}
				calls := 0
				_, err := w.b.Forward(everywhere[:1], nil, func(ctx context.Context, r api.Request) {
					calls++
					if err := c.handle(ctx, v, r); err != nil {
						t.Error(err)
					}
				})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := v.WithTimeout(context.Background(), 30*time.Second)
				defer cancel()
				if _, err := w.a.Dial(ctx, netip.MustParseAddrPort("198.51.100.1:80"), nil); !errors.Is(err, c.dial) {
					t.Errorf("dial: %v, want %v", err, c.dial)
				}
				// Each SYN asks again where the one before was dropped; one that is being
				// handled is not asked for twice.
				if want := map[string]int{"reject": 1, "return": 5, "late": 1}[c.name]; calls != want {
					t.Errorf("%d requests, want %d", calls, want)
				}
				clock.Sleep(context.Background(), v, 2*time.Minute)
			})
		})
	}
}

// Slow handlers hold no more than their places, those of one destination no more
// than a quarter of all: another destination is served beside them. What finds no place
// is dropped and counted, and is served when one is free.
func TestForwardIsBounded(t *testing.T) {
	virtually(t, func(v *clock.Virtual) {
		w := forwarding(t, v, nil)
		defer w.close()
		running, most := 0, 0
		_, err := w.b.Forward(everywhere, &api.ForwardConfig{Pending: 12}, func(ctx context.Context, r api.Request) {
			running++
			most = max(most, running)
			defer func() { running-- }()
			if r.Src().Port() == 9 { // nobody there
				clock.Sleep(ctx, v, time.Hour)
				return
			}
			if f, err := r.Accept(ctx); err != nil {
				t.Error(err)
			} else {
				f.Close(ctx)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		dial := func(host byte, port uint16, patience time.Duration) func() error {
			return func() error {
				ctx, cancel := v.WithTimeout(context.Background(), patience)
				defer cancel()
				f, err := w.a.Dial(ctx, netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, host}), port), nil)
				if err == nil {
					f.Close(ctx)
				}
				return err
			}
		}
		var dead []*result[error]
		down := func(host byte) { dead = append(dead, goResult(v, dial(host, 9, 10*time.Second))) }
		for range 50 {
			down(1)
		}
		clock.Sleep(context.Background(), v, time.Millisecond)
		if most != 3 {
			t.Errorf("%d handlers for one destination, want 3 of 12", most)
		}
		if err := goResult(v, dial(2, 80, time.Second)).wait(t); err != nil {
			t.Errorf("beside a destination that is down: %v", err)
		}
		for host := range byte(50) {
			down(100 + host)
		}
		for _, d := range dead {
			if d.wait(t) == nil {
				t.Error("a dead destination answered")
			}
		}
		i := w.b.Info()
		if most != 12 || i.Drops[api.DropAcceptQueue] == 0 {
			t.Errorf("%d handlers at once, want 12; %d SYNs dropped", most, i.Drops[api.DropAcceptQueue])
		}
		clock.Sleep(context.Background(), v, time.Minute)
		if running != 0 {
			t.Errorf("%d handlers still run", running)
		}
		if err := goResult(v, dial(3, 80, time.Second)).wait(t); err != nil {
			t.Errorf("when places are free again: %v", err)
		}
	})
}

// A peer that gives up ends the request's context, and disconnecting the stack ends all.
func TestForwardEnds(t *testing.T) {
	virtually(t, func(v *clock.Virtual) {
		w := forwarding(t, v, nil)
		var causes []error
		_, err := w.b.Forward(everywhere, nil, func(ctx context.Context, r api.Request) {
			clock.Sleep(ctx, v, time.Hour)
			causes = append(causes, context.Cause(ctx))
			if _, err := r.Accept(context.Background()); err == nil {
				t.Error("accepted although it has ended")
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		short, cancel := v.WithTimeout(context.Background(), time.Second)
		defer cancel()
		d := goResult(v, func() error {
			_, err := w.a.Dial(short, netip.MustParseAddrPort("203.0.113.9:80"), nil)
			return err
		})
		e := goResult(v, func() error {
			_, err := w.a.Dial(context.Background(), netip.MustParseAddrPort("203.0.113.9:81"), nil)
			return err
		})
		d.wait(t)
		clock.Sleep(context.Background(), v, time.Second)
		w.b.Disconnect(context.Background())
		clock.Sleep(context.Background(), v, time.Second)
		if len(causes) == 0 || !errors.Is(causes[len(causes)-1], api.ErrDisconnected) {
			t.Errorf("handlers ended with %v", causes)
		}
		w.a.Disconnect(short)
		if e.wait(t) == nil {
			t.Error("a dial without an answer succeeded")
		}
	})
}

func TestForwardConfig(t *testing.T) {
	virtually(t, func(v *clock.Virtual) {
		w := forwarding(t, v, nil)
		defer w.close()
		h := func(context.Context, api.Request) {}
		for name, f := range map[string]func() (func(), error){
			"no handler":  func() (func(), error) { return w.b.Forward(everywhere, nil, nil) },
			"no prefixes": func() (func(), error) { return w.b.Forward(nil, nil, h) },
			"mapped": func() (func(), error) {
				return w.b.Forward([]netip.Prefix{netip.MustParsePrefix("::ffff:10.0.0.0/104")}, nil, h)
			},
			"invalid":  func() (func(), error) { return w.b.Forward([]netip.Prefix{{}}, nil, h) },
			"negative": func() (func(), error) { return w.b.Forward(everywhere, &api.ForwardConfig{Pending: -1}, h) },
			"controller": func() (func(), error) {
				return w.b.Forward(everywhere, &api.ForwardConfig{Flow: api.FlowConfig{Congestion: "x"}}, h)
			},
		} {
			if _, err := f(); !errors.Is(err, api.ErrInvalidConfig) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// A listener claims its port on the stack's own addresses; the longest prefix decides
// about the rest, and without one nothing is answered.
func TestForwardPrecedence(t *testing.T) {
	virtually(t, func(v *clock.Virtual) {
		w := forwarding(t, v, nil)
		defer w.close()
		got := map[string]string{}
		forward := func(name string, prefixes ...string) {
			var ps []netip.Prefix
			for _, p := range prefixes {
				ps = append(ps, netip.MustParsePrefix(p))
			}
			if _, err := w.b.Forward(ps, nil, func(_ context.Context, r api.Request) {
				got[r.Src().String()] = name
				r.Reject()
			}); err != nil {
				t.Fatal(err)
			}
		}
		forward("wide", "198.51.0.0/16", addrB4.Masked().String())
		forward("narrow", "198.51.100.0/24")
		if _, err := w.b.Listen(80, nil, func(_ context.Context, f api.Flow) { f.Abort() }); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct{ to, want string }{
			{"198.51.7.1:80", "wide"}, {"198.51.100.1:80", "narrow"},
			{addrB4.Addr().String() + ":80", ""}, {addrB4.Addr().String() + ":81", "wide"},
			{"203.0.113.1:80", ""},
		} {
			ctx, cancel := v.WithTimeout(context.Background(), time.Second)
			w.a.Dial(ctx, netip.MustParseAddrPort(c.to), nil)
			cancel()
			if got[c.to] != c.want {
				t.Errorf("%s: %q, want %q", c.to, got[c.to], c.want)
			}
		}
		if n := w.b.Info().Drops[api.DropNotForUs]; n == 0 {
			t.Error("nothing was dropped as not for us")
		}
	})
}

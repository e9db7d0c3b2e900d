package engine_test

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine"
)

// echo copies what it reads to where it came from, until end of file.
func echo(ctx context.Context, f api.Flow) {
	for {
		b, err := f.Read(ctx)
		if err != nil {
			break
		}
		if f.Write(ctx, b) != nil {
			break
		}
	}
	f.Close(context.WithoutCancel(ctx))
}

func TestEcho(t *testing.T) {
	for _, controller := range []string{"reno", "cubic"} {
		for _, dst := range []netip.Addr{addrB4.Addr(), addrB6.Addr()} {
			virtually(t, func(v *clock.Virtual) {
				w := pipeWorld(t, v, nil)
				defer w.close()
				ctx := context.Background()
				if _, err := w.b.Listen(7, nil, echo); err != nil {
					t.Fatal(err)
				}
				f, err := w.a.Dial(ctx, netip.AddrPortFrom(dst, 7), &api.FlowConfig{Congestion: controller})
				if err != nil {
					t.Fatal(err)
				}
				if got := f.Info().Congestion; got != controller {
					t.Errorf("controller %q, want %q", got, controller)
				}
				if err := f.WriteNoDelay(ctx, api.NewBuffer([]byte("hello"))); err != nil {
					t.Fatal(err)
				}
				b, err := f.Read(ctx)
				if err != nil || string(b.Bytes()) != "hello" {
					t.Fatalf("read %q, %v", b.Bytes(), err)
				}
				if err := f.Close(ctx); err != nil {
					t.Errorf("close: %v", err)
				}
				if _, err := f.Read(ctx); err != io.EOF {
					t.Errorf("read after the end: %v, want io.EOF", err)
				}
				if err := f.Write(ctx, api.NewBuffer([]byte("x"))); !errors.Is(err, api.ErrClosed) {
					t.Errorf("write after close: %v, want ErrClosed", err)
				}
				if v.Now() > clock.Time(5*time.Second) {
					t.Errorf("took %v of virtual time", v.Now())
				}
			})
		}
	}
}

// TestLoopback dials the stack's own address.
func TestLoopback(t *testing.T) {
	virtually(t, func(v *clock.Virtual) {
		w := pipeWorld(t, v, func(_ string, c *engine.Config) { c.Shards = 8 })
		defer w.close()
		ctx := context.Background()
		if _, err := w.a.Listen(7, nil, echo); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			f, err := w.a.Dial(ctx, netip.AddrPortFrom(addrA4.Addr(), 7), nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := f.Write(ctx, api.NewBuffer([]byte("self"))); err != nil {
				t.Fatal(err)
			}
			b, err := f.Read(ctx)
			if err != nil || string(b.Bytes()) != "self" {
				t.Fatalf("read %v, %v", b, err)
			}
			f.Close(ctx)
		}
	})
}

func TestDialFails(t *testing.T) {
	virtually(t, func(v *clock.Virtual) {
		w := pipeWorld(t, v, nil)
		defer w.close()
		ctx := context.Background()
		for _, c := range []struct {
			what string
			dst  string
			want error
		}{
			{"a closed port", "10.1.0.2:81", api.ErrRefused},
			{"multicast", "224.0.0.1:80", api.ErrInvalidAddress},
			{"broadcast", "255.255.255.255:80", api.ErrInvalidAddress},
			{"another network without a gateway", "192.0.2.1:80", api.ErrUnreachable},
			{"port 0", "10.1.0.2:0", api.ErrInvalidAddress},
		} {
			_, err := w.a.Dial(ctx, netip.MustParseAddrPort(c.dst), nil)
			if !errors.Is(err, c.want) {
				t.Errorf("dial to %s: %v, want %v", c.what, err, c.want)
			}
		}
		start := v.Now()
		_, err := w.a.Dial(ctx, netip.MustParseAddrPort("10.1.0.77:80"), nil)
		if !errors.Is(err, api.ErrTimeout) {
			t.Errorf("dial to nobody: %v, want ErrTimeout", err)
		}
		if d := v.Now().Sub(start); d < 3*time.Minute {
			t.Errorf("dial to nobody gave up after %v, want 3 minutes at least (MUST-23)", d)
		}
		short, cancel := v.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		start = v.Now()
		_, err = w.a.Dial(short, netip.MustParseAddrPort("10.1.0.77:80"), nil)
		if !errors.Is(err, context.DeadlineExceeded) || v.Now().Sub(start) != 2*time.Second {
			t.Errorf("dial with a 2 s context: %v after %v", err, v.Now().Sub(start))
		}
		if n := w.a.Info().Flows; n != 0 {
			t.Errorf("%d flows left", n)
		}
	})
}

func TestListenErrors(t *testing.T) {
	virtually(t, func(v *clock.Virtual) {
		w := pipeWorld(t, v, nil)
		defer w.close()
		h := func(context.Context, api.Flow) {}
		if _, err := w.a.Listen(80, nil, h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.a.Listen(80, nil, h); !errors.Is(err, api.ErrPortInUse) {
			t.Errorf("second listener: %v", err)
		}
		w.a.Unlisten(80)
		w.a.Unlisten(81)
		if _, err := w.a.Listen(80, nil, h); err != nil {
			t.Errorf("after Unlisten: %v", err)
		}
		p, err := w.a.Listen(0, nil, h)
		if err != nil || p == 0 {
			t.Errorf("port 0: %d, %v", p, err)
		}
		if _, err := w.a.Listen(82, &api.ListenConfig{Address: netip.MustParseAddr("10.9.9.9")}, h); !errors.Is(err, api.ErrInvalidAddress) {
			t.Errorf("foreign address: %v", err)
		}
	})
}

// TestDisconnectReleases checks that Disconnect delivers what was written and
// releases whoever is blocked (X1).
func TestDisconnectReleases(t *testing.T) {
	virtually(t, func(v *clock.Virtual) {
		w := pipeWorld(t, v, nil)
		ctx := context.Background()
		var got int
		served := v.NewWaiter()
		w.b.Listen(80, nil, func(ctx context.Context, f api.Flow) {
			defer served.Wake()
			_, got, _ = receive(f)
			f.Close(context.Background())
		})
		w.b.Listen(81, nil, func(ctx context.Context, f api.Flow) {}) // silent for ever
		f, err := w.a.Dial(ctx, netip.AddrPortFrom(addrB4.Addr(), 80), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Write(ctx, api.NewBuffer(make([]byte, 100_000))); err != nil {
			t.Fatal(err)
		}
		silent, err := w.a.Dial(ctx, netip.AddrPortFrom(addrB4.Addr(), 81), nil)
		if err != nil {
			t.Fatal(err)
		}
		blocked := goResult(v, func() error { _, err := silent.Read(ctx); return err })
		w.a.Disconnect(ctx)
		if err := blocked.wait(t); !errors.Is(err, api.ErrDisconnected) {
			t.Errorf("blocked read: %v, want ErrDisconnected", err)
		}
		if err := served.Park(ctx); err != nil {
			t.Fatal(err)
		}
		if got != 100_000 {
			t.Errorf("the peer got %d bytes of 100000", got)
		}
		if _, err := w.a.Dial(ctx, netip.AddrPortFrom(addrB4.Addr(), 80), nil); !errors.Is(err, api.ErrDisconnected) {
			t.Errorf("dial afterwards: %v", err)
		}
		if _, err := w.a.Listen(80, nil, echo); !errors.Is(err, api.ErrDisconnected) {
			t.Errorf("listen afterwards: %v", err)
		}
		w.a.Disconnect(ctx)
		w.b.Disconnect(ctx)
	})
}

func TestNotifyAndObserver(t *testing.T) {
	virtually(t, func(v *clock.Virtual) {
		var states []api.State
		var closed int
		w := pipeWorld(t, v, func(name string, c *engine.Config) {
			if name == "a" {
				c.Observer = &api.Observer{
					State:  func(_, _ netip.AddrPort, _, to api.State) { states = append(states, to) },
					Closed: func(api.Info, error) { closed++ },
				}
			}
		})
		defer w.close()
		ctx := context.Background()
		w.b.Listen(7, nil, echo)
		done := v.NewWaiter()
		var got []byte
		var bits api.Readiness
		f, err := w.a.Dial(ctx, netip.AddrPortFrom(addrB4.Addr(), 7), &api.FlowConfig{
			Notify: func(f api.Flow, r api.Readiness) {
				bits |= r
				ended, cancel := context.WithCancel(context.Background())
				cancel()
				for {
					b, err := f.Read(ended) // does not block
					if err == io.EOF {
						done.Wake()
					}
					if err != nil {
						return
					}
					got = append(got, b.Bytes()...)
				}
			}})
		if err != nil {
			t.Fatal(err)
		}
		f.Write(ctx, api.NewBuffer([]byte("watched")))
		f.CloseWrite()
		if err := done.Park(ctx); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(ctx); err != nil {
			t.Fatal(err)
		}
		if string(got) != "watched" || bits&api.ReadyRead == 0 || bits&api.ReadyClosed == 0 {
			t.Errorf("got %q, readiness %b", got, bits)
		}
		if !slices.Contains(states, api.StateEstablished) || closed != 1 {
			t.Errorf("observer saw %v and %d ends", states, closed)
		}
	})
}

func TestConfigure(t *testing.T) {
	virtually(t, func(v *clock.Virtual) {
		w := pipeWorld(t, v, nil)
		defer w.close()
		w.b.Listen(7, nil, echo)
		f, err := w.a.Dial(context.Background(), netip.AddrPortFrom(addrB4.Addr(), 7), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Configure(func(c *api.FlowConfig) { c.DSCP, c.TTL, c.NoDelay = 46, 9, true }); err != nil {
			t.Fatal(err)
		}
		if i := f.Info(); i.DSCP != 46 || i.TTL != 9 || !i.NoDelay {
			t.Errorf("%+v", i)
		}
		for what, change := range map[string]func(c *api.FlowConfig){
			"congestion": func(c *api.FlowConfig) { c.Congestion = "reno" },
			"mss":        func(c *api.FlowConfig) { c.MSS = 500 },
			"dscp 64":    func(c *api.FlowConfig) { c.DSCP = 64 },
		} {
			if err := f.Configure(change); !errors.Is(err, api.ErrInvalidConfig) {
				t.Errorf("%s: %v, want ErrInvalidConfig", what, err)
			}
		}
	})
}

// TestMemoryLimit lets 1,000 flows send to readers that never read. What both
// stacks are charged, and what the process really holds, stays within the limits.
func TestMemoryLimit(t *testing.T) {
	const flows, limit = 1000, 32 << 20
	before := heap()
	virtually(t, func(v *clock.Virtual) {
		w := pipeWorld(t, v, func(_ string, c *engine.Config) { c.Limits.Memory = limit })
		ctx := context.Background()
		w.b.Listen(9, nil, func(ctx context.Context, f api.Flow) {}) // never reads
		writing, stop := v.WithCancel(ctx)
		for range flows {
			f, err := w.a.Dial(ctx, netip.AddrPortFrom(addrB4.Addr(), 9), nil)
			if err != nil {
				t.Fatal(err)
			}
			v.Go(func() {
				for {
					err := f.Write(writing, api.NewBuffer(make([]byte, 8<<10)))
					if errors.Is(err, api.ErrNoMemory) {
						if clock.Sleep(writing, v, time.Second) != nil {
							return
						}
						continue
					}
					if err != nil {
						return
					}
				}
			})
		}
		if err := clock.Sleep(ctx, v, 30*time.Second); err != nil {
			t.Fatal(err)
		}
		held := heap() - before
		for name, s := range map[string]*engine.Stack{"A": w.a, "B": w.b} {
			m := s.Info().Memory
			t.Logf("stack %s is charged %d KiB of %d", name, m>>10, limit>>10)
			if m > limit {
				t.Errorf("stack %s is charged %d bytes, more than its limit of %d", name, m, limit)
			}
			if m < limit/4 {
				t.Errorf("stack %s is charged only %d bytes: the test did not fill it", name, m)
			}
		}
		t.Logf("the process holds %d KiB more", held>>10)
		// Both stacks, twice over for what the collector has not seen yet, and
		// 16 KiB a flow for goroutines and connections.
		if most := int64(2*2*limit + flows*2*16<<10); held > most {
			t.Errorf("the process holds %d bytes more than before, want at most %d", held, most)
		}
		stop(nil)
		short, cancel := v.WithTimeout(ctx, time.Second)
		defer cancel()
		w.a.Disconnect(short)
		w.b.Disconnect(short)
		for name, s := range map[string]*engine.Stack{"A": w.a, "B": w.b} {
			if m := s.Info().Memory; m > limit {
				t.Errorf("stack %s: %d bytes after the end", name, m)
			}
		}
	})
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestManyInRealTime drives many flows from many goroutines with the real clock
// and many shards, for the race detector.
func TestManyInRealTime(t *testing.T) {
	w := pipeWorld(t, clock.NewReal(), func(_ string, c *engine.Config) { c.Shards = 8 })
	defer w.close()
	if _, err := w.b.Listen(7, nil, echo); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			ctx := context.Background()
			f, err := w.a.Dial(ctx, netip.AddrPortFrom(addrB4.Addr(), 7), nil)
			if err != nil {
				t.Error(err)
				return
			}
			sent := make(chan string)
			go func() {
				h, err := sendRandom(f, uint64(i), 300_000)
				if err != nil {
					t.Error(err)
				}
				f.CloseWrite()
				sent <- h
			}()
			h, n, err := receive(f)
			if want := <-sent; err != nil || n != 300_000 || h != want {
				t.Errorf("flow %d: %d bytes, %v", i, n, err)
			}
			if err := f.Close(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// TestSynctest runs a stack with the real clock in a synctest bubble, where a
// handshake that is never answered times out at once.
func TestSynctest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := pipeWorld(t, clock.NewReal(), nil)
		start := time.Now()
		_, err := w.a.Dial(context.Background(), netip.MustParseAddrPort("10.1.0.77:80"), nil)
		if !errors.Is(err, api.ErrTimeout) || time.Since(start) < 3*time.Minute {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		w.close()
	})
}

// TestHooksMayCallTheStack calls what takes the stack's own locks from a hook
// that runs while such a call is under way.
func TestHooksMayCallTheStack(t *testing.T) {
	virtually(t, func(v *clock.Virtual) {
		w := pipeWorld(t, v, nil)
		defer w.close()
		ctx := context.Background()
		w.b.Listen(7, nil, echo)
		calls := 0
		hook := func(f api.Flow, _ api.Readiness) {
			calls++
			p, err := w.a.Listen(0, nil, echo)
			if err != nil {
				t.Error(err)
			}
			w.a.Unlisten(p)
			f.Configure(func(c *api.FlowConfig) { c.TTL = 3 })
			w.a.Info()
		}
		f, err := w.a.Dial(ctx, netip.AddrPortFrom(addrB4.Addr(), 7), &api.FlowConfig{Notify: hook})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			f.Write(ctx, api.NewBuffer([]byte("x")))
			w.a.Unlisten(1)
			f.Configure(func(c *api.FlowConfig) { c.TTL = 4 })
			if b, err := f.Read(ctx); err != nil {
				t.Fatal(b, err)
			}
		}
		if calls == 0 {
			t.Error("the hook was never called")
		}
		f.Abort()
	})
}

// curious is a Keepalive that looks at its flow, which it could not do if it were
// called with a lock held.
type curious struct {
	api.KeepaliveConfig
	look func()
}

func (k curious) Next(idle time.Duration, sent int) (api.KeepaliveAction, time.Duration) {
	k.look()
	return k.KeepaliveConfig.Next(idle, sent)
}

func TestKeepaliveIsCalledWithoutLocks(t *testing.T) {
	virtually(t, func(v *clock.Virtual) {
		w := pipeWorld(t, v, nil)
		ctx := context.Background()
		w.b.Listen(7, nil, echo)
		var f api.Flow
		looks := 0
		f, err := w.a.Dial(ctx, netip.AddrPortFrom(addrB4.Addr(), 7), &api.FlowConfig{Keepalive: curious{
			api.KeepaliveConfig{After: time.Second, Interval: time.Second, Probes: 3},
			func() {
				if looks++; f != nil {
					f.Info()
				}
			}}})
		if err != nil {
			t.Fatal(err)
		}
		clock.Sleep(ctx, v, 10*time.Second)
		if looks < 5 || f.CloseReason() != nil {
			t.Errorf("asked %d times, reason %v", looks, f.CloseReason())
		}
		w.b.Disconnect(func() context.Context { c, cancel := context.WithCancel(ctx); cancel(); return c }())
		clock.Sleep(ctx, v, 10*time.Second)
		w.close()
	})
}

// TestDisconnectEndsDials: a dial under way has nothing to deliver that would be
// worth waiting for.
func TestDisconnectEndsDials(t *testing.T) {
	virtually(t, func(v *clock.Virtual) {
		w := pipeWorld(t, v, nil)
		defer w.close()
		ctx := context.Background()
		dial := goResult(v, func() error {
			_, err := w.a.Dial(ctx, netip.MustParseAddrPort("10.1.0.77:80"), nil)
			return err
		})
		if err := clock.Sleep(ctx, v, time.Second); err != nil {
			t.Fatal(err)
		}
		w.a.Disconnect(ctx)
		if err := dial.wait(t); !errors.Is(err, api.ErrDisconnected) {
			t.Errorf("the dial ended with %v, want ErrDisconnected", err)
		}
		if v.Now() > clock.Time(2*time.Second) {
			t.Errorf("Disconnect took until %v", v.Now())
		}
	})
}

// TestConfigureTurnsOff: what the stack turns on for every flow, one flow can turn
// off again.
func TestConfigureTurnsOff(t *testing.T) {
	virtually(t, func(v *clock.Virtual) {
		w := pipeWorld(t, v, func(name string, c *engine.Config) {
			if name == "a" {
				c.Flow = api.FlowConfig{
					NoDelay: true, DSCP: 46,
					Keepalive: api.KeepaliveConfig{After: time.Minute, Interval: time.Second, Probes: 3},
				}
			}
		})
		defer w.close()
		ctx := context.Background()
		w.b.Listen(7, nil, echo)
		f, err := w.a.Dial(ctx, netip.AddrPortFrom(addrB4.Addr(), 7), nil)
		if err != nil {
			t.Fatal(err)
		}
		change := func(c *api.FlowConfig) { c.NoDelay, c.DSCP, c.Keepalive = false, 0, nil }
		if err := f.Configure(change); err != nil {
			t.Fatal(err)
		}
		if err := f.Configure(func(c *api.FlowConfig) {
			if c.NoDelay || c.DSCP != 0 || c.Keepalive != nil {
				t.Errorf("in force afterwards: NoDelay %v, DSCP %d, Keepalive %v", c.NoDelay, c.DSCP, c.Keepalive)
			}
		}); err != nil {
			t.Fatal(err)
		}
		before := f.Info().SegmentsSent
		if err := clock.Sleep(ctx, v, 10*time.Minute); err != nil {
			t.Fatal(err)
		}
		if i := f.Info(); i.NoDelay || i.DSCP != 0 || i.SegmentsSent != before {
			t.Errorf("NoDelay %v, DSCP %d, %d segments sent while idle", i.NoDelay, i.DSCP, i.SegmentsSent-before)
		}
	})
}

// TestWriteSharedMemory writes views of memory of which another goroutine releases
// views meanwhile: what the stack charges for it changes with that.
func TestWriteSharedMemory(t *testing.T) {
	w := pipeWorld(t, clock.NewReal(), func(_ string, c *engine.Config) { c.Shards = 2 })
	defer w.close()
	ctx := context.Background()
	got := make(chan int, 1)
	w.b.Listen(9, nil, func(_ context.Context, f api.Flow) {
		_, n, _ := receive(f)
		f.Close(ctx)
		got <- n
	})
	f, err := w.a.Dial(ctx, netip.AddrPortFrom(addrB4.Addr(), 9), nil)
	if err != nil {
		t.Fatal(err)
	}
	const rounds = 2000
	for range rounds {
		b := api.Alloc(16 << 10)
		x, y, z := b.View(0, 100), b.View(100, 200), b.View(200, 300)
		var wg sync.WaitGroup
		wg.Go(func() { b.Release(); z.Release() })
		if err := f.Writev(ctx, []*api.Buffer{&x, &y}); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
	}
	f.Close(ctx)
	if n := <-got; n != rounds*200 {
		t.Errorf("%d bytes arrived", n)
	}
	if m := w.a.Info().Memory; m != 0 {
		t.Errorf("%d bytes still charged", m)
	}
}

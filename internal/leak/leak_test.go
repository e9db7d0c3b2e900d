package leak

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/api/netconn"
	"github.com/sluicenet/sluice/impl/cubic"
	"github.com/sluicenet/sluice/impl/engine"
	"github.com/sluicenet/sluice/impl/reno"
	"github.com/sluicenet/sluice/link/pipe"
)

func newStack(t *testing.T, l link.Link, address string) *engine.Stack {
	t.Helper()
	s, err := engine.New(engine.Config{
		Link: l, Addresses: []netip.Prefix{netip.MustParsePrefix(address)},
		Controllers: []cc.Factory{cubic.Factory, reno.Factory},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A thousand flows come and go, in every way that a flow can go, and leave
// neither goroutines nor memory behind.
func TestNothingLeaks(t *testing.T) {
	if testing.Short() {
		t.Skip("1000 flows")
	}
	// Goroutines of other tests of this process are none of ours.
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())

	a, b := pipe.New(pipe.Config{})
	near, far := newStack(t, a, "10.0.0.1/24"), newStack(t, b, "10.0.0.2/24")
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()

	// The far end echoes until end of file and then closes.
	port, err := far.Listen(7, nil, func(ctx context.Context, f api.Flow) {
		for {
			buf, err := f.Read(ctx)
			if err != nil {
				if err != io.EOF {
					f.Abort()
				}
				break
			}
			if f.Write(ctx, buf) != nil {
				f.Abort()
				break
			}
		}
		_ = f.Close(ctx)
	})
	if err != nil {
		t.Fatal(err)
	}
	dst := netip.AddrPortFrom(netip.MustParseAddr("10.0.0.2"), port)

	ways := []func(api.Flow) error{
		func(f api.Flow) error { // in order, by the contract
			if err := f.Write(ctx, api.CopyBuffer([]byte("hello"))); err != nil {
				return err
			}
			if err := f.CloseWrite(); err != nil {
				return err
			}
			var n int
			for {
				buf, err := f.Read(ctx)
				if err == io.EOF {
					break
				} else if err != nil {
					return err
				}
				n += buf.Len()
				buf.Release()
			}
			if n != 5 {
				return fmt.Errorf("%d bytes came back", n)
			}
			return f.Close(ctx)
		},
		func(f api.Flow) error { // at once
			f.Abort()
			return nil
		},
		func(f api.Flow) error { // with data nobody reads
			err := f.Write(ctx, api.Alloc(10000))
			f.Abort()
			return err
		},
		func(f api.Flow) error { // with a reader that is blocked
			done := make(chan error)
			go func() {
				_, err := f.Read(ctx)
				done <- err
			}()
			f.Abort()
			if err := <-done; !errors.Is(err, api.ErrAborted) {
				return fmt.Errorf("the blocked read gave %v", err)
			}
			return nil
		},
		func(f api.Flow) error { return netconn.New(f).Close() }, // by the adapter, which does not wait
		func(f api.Flow) error { // by the adapter, with a deadline that is pending
			c := netconn.New(f)
			if err := c.SetDeadline(time.Now().Add(time.Hour)); err != nil {
				return err
			}
			if _, err := c.Write([]byte("hello")); err != nil {
				return err
			}
			if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
				return err
			}
			return c.Close()
		},
		func(f api.Flow) error { // with a read that gave up
			short, cancel := context.WithTimeout(ctx, time.Millisecond)
			defer cancel()
			if _, err := f.Read(short); !errors.Is(err, context.DeadlineExceeded) {
				return fmt.Errorf("the read gave %v", err)
			}
			return f.Close(ctx)
		},
	}
	const flows, parallel = 1000, 20
	var wg sync.WaitGroup
	for worker := range parallel {
		wg.Go(func() {
			for i := worker; i < flows; i += parallel {
				f, err := near.Dial(ctx, dst, nil)
				if err != nil {
					t.Errorf("flow %d: %v", i, err)
					return
				}
				if err := ways[i%len(ways)](f); err != nil {
					t.Errorf("flow %d, way %d: %v", i, i%len(ways), err)
				}
			}
		})
	}
	// A listener that is closed with flows nobody has accepted.
	l, err := netconn.Listen(far, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		d := netconn.Dialer{Stack: near}
		c, err := d.DialContext(ctx, "tcp", net.JoinHostPort("10.0.0.2", fmt.Sprint(l.Addr().(*net.TCPAddr).Port)))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	l.Close()
	wg.Wait()

	near.Disconnect(ctx)
	far.Disconnect(ctx)
	for name, s := range map[string]*engine.Stack{"near": near, "far": far} {
		i := s.Info()
		if i.Flows != 0 || i.HalfOpen != 0 || i.TimeWait != 0 || i.Listeners != 0 || i.Memory != 0 {
			t.Errorf("the %s stack is left with %d flows, %d half-open, %d in TIME-WAIT, %d listeners, %d bytes",
				name, i.Flows, i.HalfOpen, i.TimeWait, i.Listeners, i.Memory)
		}
	}
}

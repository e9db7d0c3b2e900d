package engine_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/impl/engine"
	"github.com/sluicenet/sluice/link/pipe"
)

// wire is an end of an Ethernet between two stations, made of a pipe.
type wire struct {
	link.Link
	hw   byte
	mtu  int
	lost *atomic.Bool // the cable is cut
}

func (w wire) Attributes() link.Attributes {
	a := w.Link.Attributes()
	a.Medium, a.HardwareAddr, a.MTU = link.Ethernet, [6]byte{2, 0, 0, 0, 0, w.hw}, w.mtu
	if a.MaxGSO > 0 {
		a.MaxGSO = 65535 - 14
	}
	return a
}

func (w wire) Send(batch []link.Packet) error {
	if w.lost.Load() {
		return nil
	}
	return w.Link.Send(batch)
}

func etherWorld(t testing.TB, clk clock.Clock, cfg pipe.Config, edit func(string, *engine.Config)) (*world, *atomic.Bool) {
	cfg.MTU = 1514
	la, lb := pipe.New(cfg)
	lost := new(atomic.Bool)
	return newWorld(t, clk, wire{la, 0xa, 1500, lost}, wire{lb, 0xb, 1500, lost}, edit), lost
}

// Two stacks find each other on an Ethernet, in plain packets and in super-packets.
func TestEthernet(t *testing.T) {
	for _, cfg := range []pipe.Config{{Unvouched: true}, {MaxGSO: 65535, TxChecksum: true}} {
		for _, dst := range []netip.Addr{addrB4.Addr(), addrB6.Addr()} {
			t.Run(fmt.Sprintf("MaxGSO=%d,%v", cfg.MaxGSO, dst), func(t *testing.T) {
				virtually(t, func(v *clock.Virtual) { testEthernet(t, v, cfg, dst) })
			})
		}
	}
}

func testEthernet(t *testing.T, v *clock.Virtual, cfg pipe.Config, dst netip.Addr) {
	w, _ := etherWorld(t, v, cfg, nil)
	defer w.close()
	type got struct {
		sum string
		n   int
		err error
	}
	received := make([]got, 0, 1)
	done := v.NewWaiter()
	if _, err := w.b.Listen(9, nil, func(ctx context.Context, f api.Flow) {
		s, n, err := receive(f)
		received = append(received, got{s, n, err})
		done.Wake()
	}); err != nil {
		t.Fatal(err)
	}
	// While the addresses are not sure nothing gets through, and afterwards a
	// retransmission does.
	start := v.Now()
	f, err := w.a.Dial(context.Background(), netip.AddrPortFrom(dst, 9), nil)
	if err != nil {
		t.Fatal(err)
	}
	if d := v.Now().Sub(start); d < time.Second || d > 16*time.Second {
		t.Errorf("the dial took %v", d)
	}
	const n = 3 << 20
	want, err := sendRandom(f, 5, n)
	if err != nil {
		t.Fatal(err)
	}
	f.Close(context.Background())
	done.Park(context.Background())
	if g := received[0]; g.err != nil || g.n != n || g.sum != want {
		t.Errorf("received %+v, want %s", g, want)
	}
	if i := w.a.Info(); i.Retransmits > 6 {
		t.Errorf("%d segments were sent again", i.Retransmits)
	}
}

// Nobody has the address: the dial fails when ARP has given up, as it does on a
// kernel, and not only at the user timeout.
func TestEthernetNobody(t *testing.T) {
	virtually(t, func(v *clock.Virtual) {
		drops := map[api.DropReason]uint64{}
		w, lost := etherWorld(t, v, pipe.Config{}, func(_ string, c *engine.Config) {
			c.NoDuplicateDetection = true
			c.Observer = &api.Observer{Drop: func(r api.DropReason, n uint64) { drops[r] += n }}
		})
		defer w.close()
		for _, dst := range []string{"10.1.0.77", "fd01::77"} {
			start := v.Now()
			_, err := w.a.Dial(context.Background(), netip.AddrPortFrom(netip.MustParseAddr(dst), 9), nil)
			if d := v.Now().Sub(start); !errors.Is(err, api.ErrUnreachable) || d != 3*time.Second {
				t.Errorf("dial of %s: %v after %v", dst, err, d)
			}
		}
		if n := w.a.Info().Drops[api.DropUnresolved]; n == 0 || drops[api.DropUnresolved] != n {
			t.Errorf("%d drops, the observer knows of %d", n, drops[api.DropUnresolved])
		}
		// A neighbour that was there and goes; and comes back.
		if _, err := w.b.Listen(7, nil, echo); err != nil {
			t.Fatal(err)
		}
		f, err := w.a.Dial(context.Background(), netip.AddrPortFrom(addrB4.Addr(), 7), nil)
		if err != nil {
			t.Fatal(err)
		}
		lost.Store(true)
		if err := f.Write(context.Background(), api.NewBuffer([]byte("hello"))); err != nil {
			t.Fatal(err)
		}
		clock.Sleep(context.Background(), v, 100*time.Second)
		if st := f.Info().State; st != api.StateEstablished {
			t.Fatalf("a silent neighbour ends a flow: %v", st)
		}
		lost.Store(false)
		if b, err := f.Read(context.Background()); err != nil || string(b.Bytes()) != "hello" {
			t.Errorf("after it came back: %v", err)
		}
		f.Close(context.Background())
	})
}

// A station with our address is there already: the stack does not use it, and its
// flows to it fail.
func TestEthernetConflict(t *testing.T) {
	virtually(t, func(v *clock.Virtual) {
		w, _ := etherWorld(t, v, pipe.Config{}, func(name string, c *engine.Config) {
			c.Addresses = []netip.Prefix{addrB4}
			c.NoDuplicateDetection = name == "b"
		})
		defer w.close()
		clock.Sleep(context.Background(), v, 20*time.Second)
		ctx, cancel := v.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if _, err := w.a.Dial(ctx, netip.MustParseAddrPort("10.1.0.9:9"), nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dial from an address that is another's: %v", err)
		}
		if n := w.a.Info().Drops[api.DropUnresolved]; n == 0 {
			t.Error("nothing was dropped")
		}
	})
}

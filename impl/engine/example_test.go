package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/netip"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/impl/engine"
	"github.com/sluicenet/sluice/impl/reno"
	"github.com/sluicenet/sluice/link/pipe"
	"github.com/sluicenet/sluice/link/sim"
)

// newStack returns a stack with one address on a link.
func newStack(l link.Link, address string, c cc.Factory) *engine.Stack {
	s, err := engine.New(engine.Config{
		Link:        l,
		Addresses:   []netip.Prefix{netip.MustParsePrefix(address)},
		Controllers: []cc.Factory{c},
	})
	if err != nil {
		log.Fatal(err)
	}
	return s
}

// Two stacks on the ends of a pipe. The far one counts what it is sent until the
// near one closes its direction, and answers on the other: a half-closed
// connection works for as long as one likes.
func Example() {
	ctx := context.Background()
	a, b := pipe.New(pipe.Config{})
	near, far := newStack(a, "10.0.0.1/24", reno.Factory), newStack(b, "10.0.0.2/24", reno.Factory)

	port, err := far.Listen(0, nil, func(ctx context.Context, f api.Flow) {
		n := 0
		for {
			buf, err := f.Read(ctx)
			if err == io.EOF {
				break
			} else if err != nil {
				return
			}
			n += buf.Len()
			buf.Release()
		}
		_ = f.Write(ctx, api.CopyBuffer(fmt.Appendf(nil, "%d bytes", n)))
		_ = f.Close(ctx)
	})
	if err != nil {
		log.Fatal(err)
	}

	f, err := near.Dial(ctx, netip.AddrPortFrom(netip.MustParseAddr("10.0.0.2"), port), nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := f.Write(ctx, api.NewBuffer(make([]byte, 1_000_000))); err != nil { // the buffer is the flow's now
		log.Fatal(err)
	}
	if err := f.CloseWrite(); err != nil {
		log.Fatal(err)
	}
	answer, err := f.Read(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", answer.Bytes())
	fmt.Println(f.Close(ctx)) // both ends have closed
	near.Disconnect(ctx)
	far.Disconnect(ctx)
	// Output:
	// 1000000 bytes
	// <nil>
}

// The same engine in virtual time, over a simulated link: seconds pass at once,
// and always the same number of them.
func Example_virtualTime() {
	clk := clock.NewVirtual()
	clk.Run(func() {
		ctx := context.Background()
		a, b, err := sim.New(clk, sim.Symmetric(sim.Direction{Delay: 100 * time.Millisecond}, 1))
		if err != nil {
			log.Fatal(err)
		}
		stack := func(l link.Link, address string) *engine.Stack {
			s, err := engine.New(engine.Config{
				Link: l, Clock: clk, Seed: 1,
				Addresses:   []netip.Prefix{netip.MustParsePrefix(address)},
				Controllers: []cc.Factory{reno.Factory},
			})
			if err != nil {
				log.Fatal(err)
			}
			return s
		}
		near, far := stack(a, "10.0.0.1/24"), stack(b, "10.0.0.2/24")
		if _, err := far.Listen(7, nil, func(ctx context.Context, f api.Flow) { _ = f.Close(ctx) }); err != nil {
			log.Fatal(err)
		}
		f, err := near.Dial(ctx, netip.MustParseAddrPort("10.0.0.2:7"), nil)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("connected after", clk.Now())
		_, err = f.Read(ctx)
		fmt.Println("read", err, "after", clk.Now())
		f.Abort()
		near.Disconnect(ctx)
		far.Disconnect(ctx)
	})
	// Output:
	// connected after 200ms
	// read EOF after 400ms
}

// A fixedWindow is about the least that a congestion controller can be. It is a
// bad one: it answers no congestion.
type fixedWindow struct{ cwnd int64 }

func (w fixedWindow) Name() string { return "fixed" }

// New reads an option: "fixed:segments=4".
func (w fixedWindow) New(env *cc.Env, opts string) (cc.Controller, error) {
	segments := 10
	err := cc.ParseOptions(opts, func(key, value string) (bool, error) {
		if key != "segments" {
			return false, nil
		}
		_, err := fmt.Sscan(value, &segments)
		return true, err
	})
	return fixedWindow{int64(segments) * env.MSS}, err
}

func (w fixedWindow) OnAck(*cc.AckEvent)               {}
func (w fixedWindow) OnCongestion(*cc.CongestionEvent) {}
func (w fixedWindow) Control() cc.Control {
	return cc.Control{Cwnd: w.cwnd, Ssthresh: cc.NoThreshold}
}

// A congestion controller of one's own is one small type, given to the stack like
// any other, and named in the options of a flow.
func ExampleConfig_controller() {
	ctx := context.Background()
	a, b := pipe.New(pipe.Config{})
	near, far := newStack(a, "10.0.0.1/24", fixedWindow{}), newStack(b, "10.0.0.2/24", reno.Factory)
	if _, err := far.Listen(7, nil, func(ctx context.Context, f api.Flow) { _ = f.Close(ctx) }); err != nil {
		log.Fatal(err)
	}
	f, err := near.Dial(ctx, netip.MustParseAddrPort("10.0.0.2:7"), &api.FlowConfig{Congestion: "fixed:segments=4"})
	if err != nil {
		log.Fatal(err)
	}
	info := f.Info()
	fmt.Println(info.Congestion, info.Cwnd/info.SendMSS)
	_, err = near.Dial(ctx, netip.MustParseAddrPort("10.0.0.2:7"), &api.FlowConfig{Congestion: "fixed:size=4"})
	fmt.Println(err)
	_ = f.Close(ctx)
	near.Disconnect(ctx)
	far.Disconnect(ctx)
	// Output:
	// fixed 4
	// tcp dial 10.0.0.2:7: invalid configuration: Congestion: unknown option "size"
}

// A tap is a link around another one: here it prints what the stack sends.
type tap struct{ link.Link }

func (t tap) Send(batch []link.Packet) error {
	for i := range batch {
		packet := batch[i].AppendTo(nil)
		src, _ := netip.AddrFromSlice(packet[12:16])
		dst, _ := netip.AddrFromSlice(packet[16:20])
		fmt.Println(src, "->", dst, "protocol", packet[9])
	}
	return t.Link.Send(batch)
}

// A link of one's own is anything with the methods of link.Link: a tunnel, a
// capture, a fault injector.
func ExampleConfig_link() {
	a, b := pipe.New(pipe.Config{})
	defer b.Close()
	near := newStack(tap{a}, "10.0.0.1/24", reno.Factory)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	_, err := near.Dial(ctx, netip.MustParseAddrPort("10.0.0.2:7"), nil) // where nobody answers
	fmt.Println(errors.Unwrap(err))
	near.Disconnect(context.Background())
	// Output:
	// 10.0.0.1 -> 10.0.0.2 protocol 6
	// context deadline exceeded
}

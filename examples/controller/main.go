// Command controller is a program outside of Sluice that brings a congestion
// controller of its own: package toy. It sends some megabytes from one userspace
// stack to another over a simulated link, in virtual or in real time, or over a
// TUN device to a server in the host's own kernel, and tells what came of it.
//
//	go run . -link sim                      in virtual time
//	go run . -link real                     the same link, in real time
//	go run . -link tun -to 10.9.0.1:9000    over the TUN device sluice0, which must be there
//	go run . -congestion cubic              with one of Sluice's own, to compare
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"time"

	"example.com/controller/toy"
	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/impl/cubic"
	"github.com/sluicenet/sluice/impl/engine"
	"github.com/sluicenet/sluice/link/sim"
	"github.com/sluicenet/sluice/link/tun"
)

type options struct {
	link, device, from, to, congestion string
	bytes                              int64
}

func main() {
	var o options
	flag.StringVar(&o.link, "link", "sim", "sim, real or tun")
	flag.StringVar(&o.device, "device", "sluice0", "TUN device to open")
	flag.StringVar(&o.from, "from", "10.9.0.2/24", "address of our stack on the TUN device")
	flag.StringVar(&o.to, "to", "10.9.0.1:9000", "server beyond the TUN device, which reads to the end")
	flag.StringVar(&o.congestion, "congestion", "toy", "toy, toy:queue=N or cubic")
	flag.Int64Var(&o.bytes, "bytes", 8<<20, "how much to send")
	flag.Parse()
	if err := run(o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "controller:", err)
		os.Exit(1)
	}
}

func run(o options, out io.Writer) error {
	switch o.link {
	case "sim":
		var err error
		clk := clock.NewVirtual()
		clk.Run(func() { err = simulated(clk, o, out) })
		return err
	case "real":
		return simulated(clock.NewReal(), o, out)
	case "tun":
		to, err := netip.ParseAddrPort(o.to)
		if err != nil {
			return err
		}
		dev, err := tun.Open(tun.Config{Name: o.device})
		if err != nil {
			return err
		}
		near, err := newStack(clock.NewReal(), dev, o.from, o.congestion)
		if err != nil {
			dev.Close()
			return err
		}
		defer near.Disconnect(context.Background())
		return send(clock.NewReal(), near, to, o, out)
	}
	return fmt.Errorf("no link %q", o.link)
}

// newStack brings the controller to a stack: that is all there is to it.
func newStack(clk clock.Clock, l link.Link, address, congestion string) (*engine.Stack, error) {
	prefix, err := netip.ParsePrefix(address)
	if err != nil {
		return nil, err
	}
	return engine.New(engine.Config{
		Link: l, Clock: clk, Seed: 1, Addresses: []netip.Prefix{prefix},
		Controllers: []cc.Factory{toy.Factory{}, cubic.Factory},
		Flow:        api.FlowConfig{Congestion: congestion, SendBuffer: 1 << 20, ReceiveBuffer: 1 << 20},
	})
}

// simulated joins two stacks by a link of 50 Mbit/s and 20 ms.
func simulated(clk clock.Clock, o options, out io.Writer) error {
	a, b, err := sim.New(clk, sim.Symmetric(sim.Direction{Rate: 50 * sim.Mbit, Delay: 10 * time.Millisecond, QueueBytes: 250_000}, 1))
	if err != nil {
		return err
	}
	near, err := newStack(clk, a, "10.0.0.1/24", o.congestion)
	if err != nil {
		return err
	}
	defer near.Disconnect(context.Background())
	far, err := newStack(clk, b, "10.0.0.2/24", o.congestion)
	if err != nil {
		return err
	}
	defer far.Disconnect(context.Background())
	if _, err := far.Listen(9, nil, func(ctx context.Context, f api.Flow) {
		for {
			buf, err := f.Read(ctx)
			if err != nil {
				_ = f.Close(ctx)
				return
			}
			buf.Release()
		}
	}); err != nil {
		return err
	}
	return send(clk, near, netip.MustParseAddrPort("10.0.0.2:9"), o, out)
}

// send sends, waits until all is acknowledged, and reports.
func send(clk clock.Clock, near *engine.Stack, to netip.AddrPort, o options, out io.Writer) error {
	ctx, cancel := clk.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	f, err := near.Dial(ctx, to, nil)
	if err != nil {
		return err
	}
	start, worst := clk.Now(), time.Duration(0)
	for left := o.bytes; left > 0; {
		buf := api.Alloc(int(min(left, 64<<10)))
		left -= int64(buf.Len())
		if err := f.Write(ctx, buf); err != nil {
			return err
		}
		worst = max(worst, f.Info().SRTT)
	}
	for f.Info().BytesAcked < uint64(o.bytes) {
		if err := clock.Sleep(ctx, clk, time.Millisecond); err != nil {
			return err
		}
	}
	took := clk.Now().Sub(start)
	i := f.Info()
	fmt.Fprintf(out, "%s: %d bytes in %v, %.1f Mbit/s, greatest smoothed RTT %v, %d retransmitted\n",
		i.Congestion, o.bytes, took.Round(time.Millisecond), float64(o.bytes)*8/1e6/took.Seconds(), worst.Round(100*time.Microsecond), i.BytesRetransmitted)
	return f.Close(ctx)
}

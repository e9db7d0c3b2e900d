// Command hello says hello to itself over TCP. Which TCP is one word of its
// configuration: "backend: cubic", "reno" or "kernel".
//
//	go run ./examples/hello
//	go run ./examples/hello -backend kernel
package main

import (
	"context"
	_ "embed"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/config"
)

//go:embed hello.yaml
var yaml []byte

func main() {
	backend := flag.String("backend", "", "`name` to put in place of the one in hello.yaml")
	flag.Parse()
	if err := run(*backend, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "hello:", err)
		os.Exit(1)
	}
}

func run(backend string, out io.Writer) error {
	opts := config.Options{Name: "hello.yaml", Data: yaml}
	if backend != "" {
		opts.Set = []config.Assignment{{Key: "stacks.hello.backend", Value: backend, Source: "-backend"}}
	}
	cfg, err := config.Load(opts)
	if err != nil {
		return err
	}
	sys, err := config.Build(cfg, config.Deps{})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	defer sys.Close(ctx)
	return hello(ctx, sys.Stack("hello"), out)
}

// hello knows nothing of what is behind the contract.
func hello(ctx context.Context, stack api.Stack, out io.Writer) error {
	port, err := stack.Listen(0, nil, func(ctx context.Context, f api.Flow) {
		for {
			b, err := f.Read(ctx)
			if err != nil {
				break
			}
			f.Write(ctx, api.NewBuffer(append([]byte("hello, "), b.Bytes()...)))
		}
		f.Close(ctx)
	})
	if err != nil {
		return err
	}
	self := netip.AddrPortFrom(stack.Info().Addresses[0].Addr(), port)
	f, err := stack.Dial(ctx, self, nil)
	if err != nil {
		return err
	}
	if err := f.Write(ctx, api.NewBuffer([]byte("world"))); err != nil {
		return err
	}
	b, err := f.Read(ctx)
	if err != nil {
		return err
	}
	i := f.Info()
	fmt.Fprintf(out, "%s: %s (congestion control %s, MSS %d)\n", stack.Info().Backend, b.Bytes(), i.Congestion, i.SendMSS)
	b.Release()
	return f.Close(ctx)
}

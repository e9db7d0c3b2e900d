package targets

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/conformance"
	"github.com/sluicenet/sluice/impl/kernel"
)

// wireless says why the kernel cannot be put on a link of the suite's, if it cannot.
var wireless = sync.OnceValue(func() error {
	n, err := newNamespace(1500, nil)
	if err != nil {
		return err
	}
	n.close()
	return nil
})

// kernelOnWire is the kernel of a network namespace of its own, which lasts as long
// as the stack, on the suite's link.
type kernelOnWire struct {
	*kernel.Stack
	ns    *namespace
	link  link.Link
	close sync.Once
}

var _ api.Observable = (*kernelOnWire)(nil)

func newKernelOnWire(env *conformance.Env) (api.Stack, error) {
	ns, err := newNamespace(env.Link.Attributes().MTU, env.Addresses)
	if err != nil {
		return nil, err
	}
	k := &kernelOnWire{ns: ns, link: env.Link}
	flow := env.Flow
	if flow.Congestion == "" {
		// Linux's own choice, whatever that of the machine is. A namespace inherits the
		// latter, and may not be set to a controller that users may not have.
		flow.Congestion = "cubic"
	}
	err = ns.do(func() (err error) {
		k.Stack, err = kernel.New(kernel.Config{Addresses: env.Addresses, Flow: flow})
		return err
	})
	if err == nil {
		err = ns.dev.Attach(carry(env.Link))
	}
	if err == nil {
		err = env.Link.Attach(carry(ns.dev))
	}
	if err != nil {
		ns.close()
		return nil, err
	}
	return k, nil
}

// version is what uname(2) says of the kernel, without what its builder has appended.
func version() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "Linux"
	}
	release, _, _ := strings.Cut(unix.ByteSliceToString(u.Release[:]), "-")
	return "Linux " + release
}

// farewell is how long the device stays: what the kernel has sent last is still in it.
const farewell = 30 * time.Millisecond

// carry returns a receiver that sends everything on to a link.
func carry(to link.Link) func([]link.Packet) {
	return func(batch []link.Packet) {
		_ = to.Send(batch) // what is lost on the way is lost
		for i := range batch {
			batch[i].Release()
		}
	}
}

func (k *kernelOnWire) Dial(ctx context.Context, dst netip.AddrPort, cfg *api.FlowConfig) (f api.Flow, err error) {
	err = k.ns.do(func() (err error) {
		f, err = k.Stack.Dial(ctx, dst, cfg)
		return err
	})
	return f, err
}

func (k *kernelOnWire) Listen(port uint16, cfg *api.ListenConfig, h api.Handler) (got uint16, err error) {
	err = k.ns.do(func() (err error) {
		got, err = k.Stack.Listen(port, cfg, h)
		return err
	})
	return got, err
}

func (k *kernelOnWire) Disconnect(ctx context.Context) {
	k.Stack.Disconnect(ctx)
	k.close.Do(func() {
		time.Sleep(farewell)
		k.ns.close()
		k.link.Close()
	})
}

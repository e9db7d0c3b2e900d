package conformance

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/impl/kernel"
	"github.com/sluicenet/sluice/link/tun"
	"github.com/sluicenet/sluice/link/tun/setup"
)

var kernelCases = flag.String("kernel", "", "cases for TestKernelOnWire")

// kernelOnWire is the kernel of a network namespace of its own, reached through
// a TUN device: the anchor of the wire cases. A case that Linux fails is more
// often a wrong case than a wrong Linux.
type kernelOnWire struct {
	dev  link.Link
	port atomic.Pointer[link.Link]
}

func (*kernelOnWire) Name() string             { return "kernel on the wire" }
func (*kernelOnWire) Capabilities() Capability { return Wire | Urgent | Readiness }
func (*kernelOnWire) Deviations() []Deviation  { return nil }

func (k *kernelOnWire) New(e *Env) (api.Stack, error) {
	k.port.Store(&e.Link)
	if err := e.Link.Attach(func(batch []link.Packet) {
		k.dev.Send(batch)
		for i := range batch {
			batch[i].Release()
		}
	}); err != nil {
		return nil, err
	}
	return kernel.New(kernel.Config{Addresses: e.Addresses, Flow: e.Flow})
}

// TestKernelOnWire runs wire cases against Linux, in real time. It starts itself
// again in a fresh network namespace.
func TestKernelOnWire(t *testing.T) {
	if *kernelCases == "" {
		t.Skip("no -kernel: it takes long, and needs root")
	}
	if os.Getenv("CONFORMANCE_NETNS") == "" {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestKernelOnWire$", "-test.v", "-kernel="+*kernelCases)
		cmd.Env = append(os.Environ(), "CONFORMANCE_NETNS=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		return
	}
	for file, value := range map[string]string{
		"/proc/sys/net/ipv6/conf/all/accept_dad": "0", "/proc/sys/net/ipv6/conf/default/accept_dad": "0",
		"/proc/sys/net/ipv6/conf/default/router_solicitations": "0",
	} {
		if err := os.WriteFile(file, []byte(value), 0); err != nil {
			t.Log(err)
		}
	}
	k := &kernelOnWire{}
	dev, err := tun.Open(tun.Config{Name: "sluicek"})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	k.dev = dev
	if err := setup.Configure("sluicek", 1500, prefixes(addrA4, addrA6)...); err != nil {
		t.Fatal(err)
	}
	dev.Attach(func(batch []link.Packet) {
		if p := k.port.Load(); p != nil {
			(*p).Send(batch)
		}
		for i := range batch {
			batch[i].Release()
		}
	})
	time.Sleep(50 * time.Millisecond)
	cases, err := Select(*kernelCases)
	if err != nil {
		t.Fatal(err)
	}
	counts := map[Verdict]int{}
	for i := range cases {
		c := &cases[i]
		if c.Level != OnWire {
			continue
		}
		for _, f := range c.families() {
			r := RunCase(k, c, f, 1, 30*time.Second)
			counts[r.Verdict]++
			if r.Verdict != Pass {
				line := r.Reason
				if len(r.Failures) > 0 {
					line = r.Failures[0]
				}
				fmt.Printf("%s %s/%s: %.300s\n", r.Verdict, r.ID, r.Family, line)
			}
		}
	}
	fmt.Println(counts)
}

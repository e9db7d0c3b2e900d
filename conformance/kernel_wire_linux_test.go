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

// Deviations has what is known of Linux 6.18 and of the kernel backend.
func (*kernelOnWire) Deviations() []Deviation {
	return []Deviation{
		{"mirage/simultaneous-open", "it scales its windows after crossing SYNs of which one did not offer that", "tcp_rcv_synsent_state_process; RFC 7323 section 2.2 differs", "right edge"},
		{"rfc9293/MUST-10", "it scales its windows after crossing SYNs of which one did not offer that", "tcp_rcv_synsent_state_process; RFC 7323 section 2.2 differs", "right edge"},
		{"rfc9293/MUST-11", "a dial that is reset in SYN-RECEIVED counts as established and reset", "the backend cannot tell the two apart by SO_ERROR", "dial succeeded"},
		{"rfc9293/MUST-13", "a socket in TIME-WAIT shows as CLOSED", "TIME-WAIT is kept without a socket", "the state is CLOSED"},
		{"rfc1337/time-wait-rst", "a socket in TIME-WAIT shows as CLOSED", "TIME-WAIT is kept without a socket", "the state is CLOSED"},
		{"rfc9293/first-byte-wins", "of out-of-order bytes that differ the newest is kept", "RFC 9293 section 3.10.7.4 allows either", "of the stream is wrong"},
		{"rfc9293/urgent-zero-window", "urgent data is not announced into a closed window at once", "tcp_check_urg_mode; RFC 9293 section 3.8.5 differs", "no announcement"},
		{"rfc6298/2-initial", "the first four SYNs are a second apart", "net.ipv4.tcp_syn_linear_timeouts; RFC 6298 section 5.5 differs", "times the one before"},
		{"rfc7323/3.2-missing", "data without its timestamps is taken", "tcp_validate_incoming; a SHOULD of RFC 7323 section 3.2", "without timestamps was taken"},
		{"rfc9293/MUST-56", "soft errors are not reported", "the backend does not ask for IP_RECVERR", "soft error <nil>"},
		{"icmp/wrong-connection", "soft errors are not reported", "the backend does not ask for IP_RECVERR", "soft errors <nil>"},
		{"rfc9293/MUST-46", "a dial of 255.255.255.255 is unreachable rather than invalid", "connect(2): ENETUNREACH", "unreachable"},
	}
}

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
// again in a fresh network namespace. It depends on the machine's speed, and on what
// the kernel remembers from case to case (path MTUs), so it runs only when asked to.
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
			k.port.Store(nil) // what still comes belongs to no case
			time.Sleep(30 * time.Millisecond)
			if r.Failed() {
				t.Fail()
			}
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

package main

import (
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// The controller moves data over the simulated link, in virtual and in real time, and
// nearly fills it, with a queue of a few segments.
func TestSimulated(t *testing.T) {
	for _, o := range []options{
		{link: "sim", congestion: "toy", bytes: 16 << 20},
		{link: "sim", congestion: "toy:queue=20", bytes: 16 << 20},
		{link: "sim", congestion: "cubic", bytes: 16 << 20},
		{link: "real", congestion: "toy", bytes: 2 << 20},
	} {
		var out strings.Builder
		if err := run(o, &out); err != nil {
			t.Fatalf("%+v: %v", o, err)
		}
		name, _, _ := strings.Cut(o.congestion, ":")
		if !strings.HasPrefix(out.String(), name+": ") {
			t.Errorf("%+v: %q", o, out.String())
		}
		t.Logf("%s %s", o.link, out.String())
	}
	var a, b strings.Builder
	o := options{link: "sim", congestion: "toy", bytes: 4 << 20}
	if err := run(o, &a); err != nil {
		t.Fatal(err)
	}
	if err := run(o, &b); err != nil || a.String() != b.String() {
		t.Errorf("virtual time does not repeat: %q, %q, %v", a.String(), b.String(), err)
	}
	for _, o := range []options{{link: "string"}, {link: "sim", congestion: "vegas"}, {link: "sim", congestion: "toy:queue=1"}} {
		if err := run(o, io.Discard); err == nil {
			t.Errorf("%+v works", o)
		}
	}
}

const inside = "CONTROLLER_TEST_INSIDE"

// A real link: a TUN device, in a network namespace of the test's own, with a server
// on the kernel's sockets behind it.
func TestTUN(t *testing.T) {
	if os.Getenv(inside) != "" {
		overTUN(t)
		return
	}
	_, err := os.Stat("/dev/net/tun")
	if os.Getuid() != 0 || err != nil {
		if os.Getenv("SLUICE_REQUIRE_NET") != "" {
			t.Fatal("needs root and /dev/net/tun")
		}
		t.Skip("needs root and /dev/net/tun")
	}
	const ns = "sluice-controller"
	if out, err := exec.Command("ip", "netns", "add", ns).CombinedOutput(); err != nil {
		t.Fatalf("ip netns add: %v: %s", err, out)
	}
	defer exec.Command("ip", "netns", "delete", ns).Run()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("ip", "netns", "exec", ns, self, "-test.run=^TestTUN$", "-test.v")
	cmd.Env = append(os.Environ(), inside+"=1")
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
}

func overTUN(t *testing.T) {
	for _, args := range []string{"tuntap add dev sluice0 mode tun", "address add 10.9.0.1/24 dev sluice0", "link set sluice0 up"} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", args, err, out)
		}
	}
	l, err := net.Listen("tcp4", "10.9.0.1:9000")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	received := make(chan int64, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		n, _ := io.Copy(io.Discard, c)
		c.Close()
		received <- n
	}()
	const bytes = 8 << 20
	var out strings.Builder
	if err := run(options{link: "tun", device: "sluice0", from: "10.9.0.2/24", to: "10.9.0.1:9000", congestion: "toy", bytes: bytes}, &out); err != nil {
		t.Fatal(err)
	}
	t.Log(out.String())
	select {
	case n := <-received:
		if n != bytes {
			t.Errorf("the kernel received %d of %d bytes", n, bytes)
		}
	case <-time.After(time.Minute):
		t.Error("the kernel did not see the end")
	}
}

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

const forwardYAML = `version: 1
links: [{name: t, driver: tun, tun: {device: fwd0, up: false}}]
stacks: [{name: s, link: t, addresses: [10.9.0.2/24, "fd09::2/64"]}]
services: [{name: f, stack: s, handler: forward, prefixes: [198.51.100.0/24, "2001:db8:f::/64"]}]
`

// TestForwardOverTUN: the kernel of one namespace reaches servers of another through
// the service forward, which dials them first. The device belongs to the clients, and
// the daemon lives among the servers.
func TestForwardOverTUN(t *testing.T) {
	world := newNamespace(t)
	clients := &namespace{t, world.name + "-clients"}
	if out, err := exec.Command("ip", "netns", "add", clients.name).CombinedOutput(); err != nil {
		t.Fatalf("ip netns add: %v\n%s", err, out)
	}
	t.Cleanup(func() { exec.Command("ip", "netns", "del", clients.name).Run() })

	for _, a := range []string{"198.51.100.7/32", "2001:db8:f::7/128"} {
		world.run("ip", "addr", "add", a, "dev", "lo")
	}
	// What goes there is never heard of again.
	world.run("ip", "link", "add", "sink", "type", "veth", "peer", "name", "sink1")
	world.run("ip", "link", "set", "sink", "up")
	world.run("ip", "link", "set", "sink1", "up")
	world.run("ip", "addr", "add", "192.0.2.1/24", "dev", "sink")
	world.run("ip", "route", "add", "198.51.100.96/28", "dev", "sink")
	world.run("ip", "neigh", "add", "198.51.100.99", "lladdr", "02:00:00:00:00:99", "dev", "sink")

	for _, family := range []string{"tcp4", "tcp6"} { // what "tcp" means has been found out elsewhere
		var l net.Listener
		if err := world.do(func() (err error) { l, err = net.Listen(family, ":7"); return err }); err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer c.Close()
					io.Copy(c, c)
				}()
			}
		}()
	}

	// The kernel takes a new IPv6 address into use in its own time.
	hosts := []string{"198.51.100.7", "[2001:db8:f::7]"}
	for _, host := range hosts {
		for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
			c, err := world.tryDial(host+":7", time.Second)
			if err == nil {
				c.Close()
				break
			}
			if time.Now().After(end) {
				t.Fatalf("without a forwarder: %v", err)
			}
		}
	}

	file := filepath.Join(t.TempDir(), "forward.yaml")
	if err := os.WriteFile(file, []byte(forwardYAML), 0o600); err != nil {
		t.Fatal(err)
	}
	startDaemon(t, world.prefix(), "-c", file, "--set", "log.level=debug")
	world.run("ip", "link", "set", "fwd0", "netns", clients.name)
	clients.run("ip", "addr", "add", "10.9.0.1/24", "dev", "fwd0")
	clients.run("ip", "addr", "add", "fd09::1/64", "dev", "fwd0", "nodad")
	clients.run("ip", "link", "set", "fwd0", "up")
	clients.run("ip", "route", "add", "198.51.100.0/24", "dev", "fwd0")
	clients.run("ip", "-6", "route", "add", "2001:db8:f::/64", "dev", "fwd0")

	// So many that nobody answers, while the others go on.
	var silent sync.WaitGroup
	for range 40 {
		silent.Go(func() {
			c, err := clients.tryDial("198.51.100.99:7", 3*time.Second)
			if err == nil {
				c.Close()
				t.Error("a client is connected though its destination never was")
			}
		})
	}
	defer silent.Wait()

	for _, host := range hosts {
		sent := bytes.Repeat([]byte(fmt.Sprintf("%-16.16s", host)), 64<<10)
		c := clients.dial(host + ":7")
		go func() {
			c.Write(sent)
			c.CloseWrite()
		}()
		if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%s: %d bytes of %d came back, %v", host, len(got), len(sent), err)
		}
		if c, err := clients.tryDial(host+":9", time.Minute); !errors.Is(err, syscall.ECONNREFUSED) {
			if err == nil {
				c.Close()
			}
			t.Errorf("%s: a port that refuses: %v", host, err)
		}
	}
}

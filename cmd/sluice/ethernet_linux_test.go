package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// bothWays has curl fetch and store a file in a namespace, over both families.
func bothWays(t *testing.T, n *namespace, root, want string) {
	t.Helper()
	for family, url := range map[string]string{"v4": "http://10.9.0.2/", "v6": "http://[fd09::2]/"} {
		down := filepath.Join(t.TempDir(), "down")
		n.run("curl", "-sS", "-g", "--fail", "--max-time", "600", "-o", down, url+"file")
		if got := sumOf(t, down); got != want {
			t.Errorf("%s download: SHA-256 %s, want %s", family, got, want)
		}
		n.run("curl", "-sS", "-g", "--fail", "--max-time", "600", "-T", filepath.Join(root, "file"), url+"up-"+family)
		if got := sumOf(t, filepath.Join(root, "up-"+family)); got != want {
			t.Errorf("%s upload: SHA-256 %s, want %s", family, got, want)
		}
	}
}

// TestTAP: examples/tap.yaml in a namespace of its own, where the kernel is the
// other station.
func TestTAP(t *testing.T) {
	n := newNamespace(t)
	root := t.TempDir()
	want := randomFile(t, filepath.Join(root, "file"), 16<<20)
	d := startDaemon(t, n.prefix(), "-c", "../../examples/tap.yaml", "--set", "services.files.root="+root)
	n.run("ping", "-c", "3", "-i", "0.2", "-W", "5", "10.9.0.2")
	n.run("ping", "-c", "3", "-i", "0.2", "-W", "5", "fd09::2")
	bothWays(t, n, root, want)
	if out := n.run("ip", "neighbour", "show", "10.9.0.2"); !strings.Contains(out, "02:51:00:00:00:02") {
		t.Errorf("the kernel's neighbour: %s", out)
	}
	d.signal()
	d.wait()
}

// TestPacket: examples/packet.yaml on one end of a cable; the kernel of another
// namespace is at the other end. Duplicate address detection is on.
func TestPacket(t *testing.T) {
	n := newNamespace(t)
	far := &namespace{t, n.name + "-far"}
	if out, err := exec.Command("ip", "netns", "add", far.name).CombinedOutput(); err != nil {
		t.Fatalf("ip netns add: %v\n%s", err, out)
	}
	t.Cleanup(func() { exec.Command("ip", "netns", "del", far.name).Run() })
	n.run("ip", "link", "add", "lan0", "type", "veth", "peer", "name", "lan1", "netns", far.name)
	n.run("ip", "link", "set", "lan0", "up")
	far.run("ip", "link", "set", "lan1", "up")
	far.run("ip", "address", "add", "10.9.0.1/24", "dev", "lan1")
	far.run("ip", "address", "add", "fd09::1/64", "dev", "lan1", "nodad")
	root := t.TempDir()
	want := randomFile(t, filepath.Join(root, "file"), 16<<20)
	d := startDaemon(t, n.prefix(), "-c", "../../examples/packet.yaml", "--set", "services.files.root="+root,
		"--set", "links.lan.packet.interface=lan0")
	for _, addr := range []string{"10.9.0.2", "fd09::2"} {
		var out string
		var err error
		for start := time.Now(); time.Since(start) < time.Minute; {
			if out, err = far.try("ping", "-c", "1", "-W", "1", addr); err == nil {
				break
			}
		}
		if err != nil {
			t.Fatal(fmt.Errorf("ping: %w\n%s", err, out))
		}
	}
	bothWays(t, far, root, want)
	d.signal()
	d.wait()
}

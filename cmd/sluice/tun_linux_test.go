package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netns"
)

// namespace is a network namespace of the test's own.
type namespace struct {
	t    *testing.T
	name string
}

// needNamespaces skips the test where there can be no namespaces and devices.
func needNamespaces(t *testing.T) (cannot func(why string)) {
	t.Helper()
	cannot = func(why string) {
		t.Helper()
		if requireNet {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	if os.Getuid() != 0 {
		cannot("not root")
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		cannot("no TUN: " + err.Error())
	}
	for _, tool := range []string{"ip", "curl", "ping"} {
		if _, err := exec.LookPath(tool); err != nil {
			cannot(err.Error())
		}
	}
	return cannot
}

// newNamespace makes one, or skips the test where that cannot be.
func newNamespace(t *testing.T) *namespace {
	t.Helper()
	cannot := needNamespaces(t)
	n := &namespace{t, fmt.Sprintf("sluice-e2e-%d", os.Getpid())}
	if out, err := exec.Command("ip", "netns", "add", n.name).CombinedOutput(); err != nil {
		cannot(fmt.Sprintf("ip netns add: %v\n%s", err, out))
	}
	t.Cleanup(func() { exec.Command("ip", "netns", "del", n.name).Run() })
	n.run("ip", "link", "set", "lo", "up")
	return n
}

func (n *namespace) prefix() []string { return []string{"ip", "netns", "exec", n.name} }

// try runs a command in the namespace.
func (n *namespace) try(args ...string) (string, error) {
	out, err := exec.Command("ip", append([]string{"netns", "exec", n.name}, args...)...).CombinedOutput()
	return string(out), err
}

// run is try of a command that has to succeed.
func (n *namespace) run(args ...string) string {
	n.t.Helper()
	out, err := n.try(args...)
	if err != nil {
		n.t.Errorf("%v: %v\n%s", args, err, out)
	}
	return out
}

// do calls f on a thread that is in the namespace. The thread is not unlocked, so that it
// ends with the goroutine and nothing else ever runs there.
func (n *namespace) do(f func() error) error {
	ch := make(chan error)
	go func() {
		runtime.LockOSThread()
		h, err := netns.GetFromName(n.name)
		if err == nil {
			err = netns.Set(h)
			h.Close()
		}
		if err == nil {
			err = f()
		}
		ch <- err
	}()
	return <-ch
}

// tryDial connects from within the namespace.
func (n *namespace) tryDial(addr string, timeout time.Duration) (c *net.TCPConn, err error) {
	err = n.do(func() error {
		conn, err := net.DialTimeout("tcp", addr, timeout)
		if err == nil {
			c = conn.(*net.TCPConn)
		}
		return err
	})
	return c, err
}

// dial is tryDial that has to succeed.
func (n *namespace) dial(addr string) *net.TCPConn {
	n.t.Helper()
	c, err := n.tryDial(addr, 10*time.Second)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(2 * time.Minute))
	return c
}

// randomFile writes a file of n random bytes and returns its SHA-256.
func randomFile(t *testing.T, path string, n int64) string {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	w := bufio.NewWriterSize(io.MultiWriter(f, h), 1<<20)
	if _, err := io.CopyN(w, rand.NewChaCha8([32]byte{byte(n)}), n); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func sumOf(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Error(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// TestTUN: examples/tun.yaml in a namespace of its own, where the kernel is the
// other end: curl both ways over IPv4 and IPv6, ping, flows, and an end by
// SIGTERM under load that loses nothing. SLUICE_BIG=1 makes the files 1 GiB.
func TestTUN(t *testing.T) {
	n := newNamespace(t)
	length := int64(64 << 20)
	if bigFiles {
		length = 1 << 30
	}
	if testing.Short() {
		length = 4 << 20
	}
	root, work := t.TempDir(), t.TempDir()
	want := randomFile(t, filepath.Join(root, "file"), length)

	// A slow machine takes its time to finish what is under way; nothing waits for
	// the whole of it.
	d := startDaemon(t, n.prefix(), "-c", "../../examples/tun.yaml", "--set", "services.files.root="+root, "--set", "shutdown=20m")
	n.run("ping", "-c", "3", "-i", "0.2", "-W", "5", "10.9.0.2")
	n.run("ping", "-c", "3", "-i", "0.2", "-W", "5", "fd09::2")
	n.run("ping", "-c", "1", "-s", "20000", "-W", "5", "10.9.0.2") // in fragments

	for family, url := range map[string]string{"v4": "http://10.9.0.2/", "v6": "http://[fd09::2]/"} {
		began := time.Now()
		down := filepath.Join(work, "down-"+family)
		n.run("curl", "-sS", "-g", "--fail", "--max-time", "600", "-o", down, url+"file")
		if got := sumOf(t, down); got != want {
			t.Errorf("%s download: SHA-256 %s, want %s", family, got, want)
		}
		t.Logf("%s download: %.1f MB/s", family, float64(length)/1e6/time.Since(began).Seconds())
		began = time.Now()
		n.run("curl", "-sS", "-g", "--fail", "--max-time", "600", "-T", filepath.Join(root, "file"), url+"up-"+family)
		if got := sumOf(t, filepath.Join(root, "up-"+family)); got != want {
			t.Errorf("%s upload: SHA-256 %s, want %s", family, got, want)
		}
		t.Logf("%s upload: %.1f MB/s", family, float64(length)/1e6/time.Since(began).Seconds())
	}
	if out, err := n.try("curl", "-sS", "--max-time", "10", "http://10.9.0.2:81/"); err == nil || !strings.Contains(out, "refused") &&
		!strings.Contains(out, "connect") {
		t.Errorf("a port without a listener: %v, %s", err, out)
	}

	// Flows while there is traffic: one that is not read, so that it stays.
	c := n.dial("10.9.0.2:19")
	if _, err := io.ReadFull(c, make([]byte, 1_000_000)); err != nil {
		t.Fatal(err)
	}
	status, out, errs := sluice("flows", "--socket", d.socket)
	for _, w := range []string{"STATE", "RECV-Q", "SEND-Q", "ESTAB", "LISTEN", "10.9.0.2:19", "cubic", "rto:", "rtt:", "mss:1448", "cwnd:", "rwnd:", "retrans:"} {
		if status != 0 || !strings.Contains(out, w) {
			t.Errorf("flows: status %d, no %q\n%s%s", status, w, out, errs)
			break
		}
	}

	// SIGTERM while a file is fetched, another is stored, and a third
	// connection generates without end. The first two are finished, and the
	// third delivers what the service had written.
	type transfer struct {
		name string
		out  string
		err  error
	}
	rate := fmt.Sprint(min(length/2, 16<<20))
	results := make(chan transfer, 2)
	for name, args := range map[string][]string{
		"download": {"-o", filepath.Join(work, "last"), "http://10.9.0.2/file"},
		"upload":   {"-T", filepath.Join(root, "file"), "http://[fd09::2]/last"},
	} {
		go func() {
			out, err := n.try(append([]string{"curl", "-sS", "-g", "--fail", "--max-time", "900", "--limit-rate", rate}, args...)...)
			results <- transfer{name, out, err}
		}()
	}
	begun := func() bool {
		st, _ := os.Stat(filepath.Join(work, "last"))
		parts, _ := filepath.Glob(filepath.Join(root, ".upload-*"))
		return st != nil && st.Size() > 0 && len(parts) == 1
	}
	for limit := time.Now().Add(5 * time.Minute); !begun(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("the last transfers do not begin")
		}
	}
	d.signal()
	read, err := io.Copy(io.Discard, c)
	if err != nil {
		t.Errorf("chargen after SIGTERM: %v", err)
	}
	c.Close()
	for range 2 {
		if r := <-results; r.err != nil {
			t.Errorf("%s after SIGTERM: %v %s", r.name, r.err, r.out)
		}
	}
	if got := sumOf(t, filepath.Join(work, "last")); got != want {
		t.Errorf("download after SIGTERM: SHA-256 %s, want %s", got, want)
	}
	if got := sumOf(t, filepath.Join(root, "last")); got != want {
		t.Errorf("upload after SIGTERM: SHA-256 %s, want %s", got, want)
	}
	d.wait()
	if wrote := d.written("chargen"); wrote != read+1_000_000 {
		t.Errorf("chargen has written %d bytes, and %d have arrived", wrote, read+1_000_000)
	}
	if out, _ := n.try("ip", "-o", "link"); strings.Contains(out, "sluice0") {
		t.Errorf("the device is left behind:\n%s", out)
	}
}

// TestTUNRefusals: what is wrong is said in words.
func TestTUNRefusals(t *testing.T) {
	n := newNamespace(t)
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"services.files": {"-c", "../../examples/tun.yaml", "--set", "services.files.root=/proc/nonexistent"},
		"--fd":           nil,
	} {
		if args == nil {
			args, want = []string{"-c", "../../examples/tun.yaml", "--set", "links.wan.tun.device=", "--set", "links.wan.tun.fd=77"}, "links.wan"
		}
		cmd := exec.Command("ip", append([]string{"netns", "exec", n.name, path, "run", "--socket", filepath.Join(t.TempDir(), "s")}, args...)...)
		cmd.Env = environment()
		var errs bytes.Buffer
		cmd.Stderr = &errs
		cmd.Run()
		if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(errs.String(), want) || !strings.Contains(errs.String(), "tun.yaml:") {
			t.Errorf("%v: exit status %d\n%s", args, cmd.ProcessState.ExitCode(), errs.String())
		}
	}
}

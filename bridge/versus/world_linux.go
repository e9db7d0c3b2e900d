package versus

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/bridge"
	"github.com/sluicenet/sluice/link/tun"
	"github.com/sluicenet/sluice/link/tun/setup"
)

// The addresses in the namespaces. They are nobody else's business.
var (
	linuxSender = netip.MustParseAddr("10.77.0.1")
	receiver    = netip.MustParseAddr("10.77.0.2")
	ourGateway  = netip.MustParsePrefix("10.78.0.1/24")
	ourSender   = netip.MustParsePrefix("10.78.0.2/24")
)

const port = 5001

// namespace is a network namespace without a name. It lasts until close, if nothing
// else holds it.
type namespace struct{ f *os.File }

func newNamespace() (*namespace, error) {
	type result struct {
		f   *os.File
		err error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			done <- result{nil, fmt.Errorf("cannot make a network namespace: %w: run as root", err)}
			return
		}
		f, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
		done <- result{f, err}
	}()
	r := <-done
	if r.err != nil {
		return nil, r.err
	}
	n := &namespace{r.f}
	// Buffers that are never the limit, and nothing remembered from run to run.
	err := n.do(func() error {
		for _, s := range [][2]string{
			{"ipv4/tcp_rmem", "4096 131072 67108864"}, {"ipv4/tcp_wmem", "4096 131072 67108864"},
			{"ipv4/tcp_no_metrics_save", "1"}, {"ipv4/ip_forward", "1"},
		} {
			if err := os.WriteFile("/proc/sys/net/"+s[0], []byte(s[1]), 0); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

// path is where another process finds the namespace.
func (n *namespace) path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.f.Fd()) }

// do calls f in the namespace.
func (n *namespace) do(f func() error) error { return bridge.InNamespace(n.path(), f) }

func (n *namespace) close() { n.f.Close() }

// world is a path between two namespaces.
type world struct {
	left, right *namespace
	bridge      *exec.Cmd
	report      bytes.Buffer
	errs        bytes.Buffer
	read        chan struct{} // standard error has been read
}

// newWorld makes the namespaces and starts the bridge.
func newWorld(ctx context.Context, command []string, c Cell, seed uint64) (w *world, err error) {
	w = &world{read: make(chan struct{})}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if w.left, err = newNamespace(); err != nil {
		return w, err
	}
	if w.right, err = newNamespace(); err != nil {
		return w, err
	}
	file := fmt.Sprintf(`version: 1
seed: %d
ends:
  - {name: left, netns: %q, device: left0, addresses: ["%s/24"]}
  - {name: right, netns: %q, device: right0, addresses: ["%s/24"]}
link:
  {rate: %dbit, delay: %v, queue: %dB, loss: %v%%, reverse: {rate: %dbit, delay: %v, queue: 16MiB}}
`, seed, w.left.path(), linuxSender, w.right.path(), receiver, c.Rate, c.RTT/2, c.QueueBytes(), c.Loss*100, c.Rate, c.RTT/2)
	w.bridge = exec.CommandContext(ctx, command[0], command[1:]...)
	w.bridge.Cancel = func() error { return w.bridge.Process.Signal(syscall.SIGTERM) }
	w.bridge.WaitDelay = 5 * time.Second
	w.bridge.Stdin = strings.NewReader(file)
	w.bridge.Stdout = &w.report
	// A pipe of our own: that of StderrPipe is closed by Wait before all is read.
	r, stderr, err := os.Pipe()
	if err != nil {
		return w, err
	}
	w.bridge.Stderr = stderr
	err = w.bridge.Start()
	stderr.Close()
	if err != nil {
		r.Close()
		w.bridge = nil
		return w, fmt.Errorf("the bridge: %w", err)
	}
	ready := make(chan bool, 1)
	go func() {
		defer close(w.read)
		defer r.Close()
		in := bufio.NewReader(r)
		line, _ := in.ReadString('\n')
		w.errs.WriteString(line)
		ready <- strings.Contains(line, "joined")
		io.Copy(&w.errs, in)
	}()
	if !<-ready {
		w.stop()
		return w, fmt.Errorf("the bridge does not start: %s", strings.TrimSpace(w.errs.String()))
	}
	// The way back to our stack.
	err = w.right.do(func() error {
		dev, err := netlink.LinkByName("right0")
		if err != nil {
			return err
		}
		return netlink.RouteAdd(&netlink.Route{LinkIndex: dev.Attrs().Index,
			Dst: &net.IPNet{IP: ourSender.Masked().Addr().AsSlice(), Mask: net.CIDRMask(ourSender.Bits(), 32)}})
	})
	if err != nil {
		return w, fmt.Errorf("a route to %v: %w", ourSender, err)
	}
	return w, nil
}

// openOurs opens our stack's device.
func (w *world) openOurs() (l link.Link, err error) {
	err = w.left.do(func() error {
		if l, err = tun.Open(tun.Config{Name: "ours0", MTU: 1500, Offload: tun.OffloadAuto}); err != nil {
			return err
		}
		dev, err := netlink.LinkByName("ours0")
		if err == nil {
			err = netlink.LinkSetTxQLen(dev, 10000)
		}
		if err == nil {
			err = setup.Configure("ours0", 1500, ourGateway)
		}
		return err
	})
	if err != nil && l != nil {
		l.Close()
		l = nil
	}
	return l, err
}

// stop ends the bridge.
func (w *world) stop() error {
	if w.bridge == nil {
		return nil
	}
	w.bridge.Process.Signal(syscall.SIGTERM)
	<-w.read
	err := w.bridge.Wait()
	w.bridge = nil
	if err != nil {
		return fmt.Errorf("the bridge: %w: %s", err, strings.TrimSpace(w.errs.String()))
	}
	return nil
}

// finish ends the bridge and returns its report.
func (w *world) finish() (*bridge.Report, error) {
	if err := w.stop(); err != nil {
		return nil, err
	}
	r := new(bridge.Report)
	if err := json.Unmarshal(w.report.Bytes(), r); err != nil {
		return nil, fmt.Errorf("the bridge's report: %w", err)
	}
	return r, nil
}

func (w *world) close() {
	w.stop()
	for _, n := range []*namespace{w.left, w.right} {
		if n != nil {
			n.close()
		}
	}
}

// listen listens at the receiver.
func (w *world) listen() (l net.Listener, err error) {
	err = w.right.do(func() error {
		l, err = net.ListenTCP("tcp4", &net.TCPAddr{IP: receiver.AsSlice(), Port: port})
		return err
	})
	return l, err
}

// dial connects from Linux's own TCP.
func (w *world) dial(ctx context.Context, algorithm string) (*net.TCPConn, error) {
	var c net.Conn
	err := w.left.do(func() (err error) {
		d := net.Dialer{Timeout: 30 * time.Second, Control: func(_, _ string, raw syscall.RawConn) error {
			var e error
			if err := raw.Control(func(fd uintptr) {
				e = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, algorithm)
			}); err != nil {
				return err
			}
			if errors.Is(e, unix.ENOENT) {
				return fmt.Errorf("this kernel has no congestion control %s: load it with \"modprobe tcp_%s\"", algorithm, algorithm)
			}
			return e
		}}
		c, err = d.DialContext(ctx, "tcp4", netip.AddrPortFrom(receiver, port).String())
		return err
	})
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

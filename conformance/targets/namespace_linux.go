package targets

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/link/tun"
	"github.com/sluicenet/sluice/link/tun/setup"
)

// namespace is a network namespace of its own with a TUN device in it. It vanishes
// with the device and the last socket.
type namespace struct {
	dev link.Link

	mu sync.Mutex
	fd int // of the namespace, -1 when it has been closed
}

// sysctls are what a namespace needs to be quiet: nothing is sent but what TCP and
// the case want.
var sysctls = map[string]string{
	"net/ipv6/conf/all/accept_dad":               "0",
	"net/ipv6/conf/default/accept_dad":           "0",
	"net/ipv6/conf/default/router_solicitations": "0",
	"net/ipv6/conf/all/disable_ipv6":             "0",
	"net/ipv4/conf/all/rp_filter":                "0",
	"net/ipv4/tcp_no_metrics_save":               "1",
}

// newNamespace makes a namespace whose device has addresses.
func newNamespace(mtu int, addresses []netip.Prefix) (*namespace, error) {
	n := &namespace{fd: -1}
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("cannot make a network namespace: %w: run as root", err)
		}
		fd, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("cannot open the new network namespace: %w", err)
		}
		n.fd = fd
		for name, value := range sysctls {
			if err := os.WriteFile("/proc/sys/"+name, []byte(value), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("cannot set %s: %w", name, err)
			}
		}
		lo, err := netlink.LinkByName("lo")
		if err == nil {
			err = netlink.LinkSetUp(lo)
		}
		if err != nil {
			return fmt.Errorf("cannot set up the loopback interface: %w", err)
		}
		if n.dev, err = tun.Open(tun.Config{Name: "conform0", MTU: mtu}); err != nil {
			return err
		}
		return setup.Configure("conform0", mtu, addresses...)
	})
	if err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

// do runs f in the namespace, or where it is when that has been closed. f may block.
func (n *namespace) do(f func() error) error {
	return onThread(func() error {
		if err := n.enter(); err != nil {
			return fmt.Errorf("cannot enter the network namespace: %w", err)
		}
		return f()
	})
}

// enter takes the calling thread into the namespace.
func (n *namespace) enter() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fd < 0 {
		return nil
	}
	return unix.Setns(n.fd, unix.CLONE_NEWNET)
}

func (n *namespace) close() {
	if n.dev != nil {
		n.dev.Close()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fd >= 0 {
		unix.Close(n.fd)
		n.fd = -1
	}
}

// onThread runs f in a thread of its own, which ends with it: nothing else ever runs
// in a namespace that it has entered.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		done <- f()
	}()
	return <-done
}

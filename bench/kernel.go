package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"unsafe"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// tunQueue is the length of the device's queue towards the stack: the default of
// 500 packets holds less than one flow's window, and then what is measured is
// recovery.
const tunQueue = 10000

// kernelNetwork is the kernel's sockets.
type kernelNetwork struct {
	address   netip.Addr // of the server; the zero value is serverNet's
	serverNS  netns.NsHandle
	hasServer bool // in a namespace of its own
}

// tuneKernel prepares this process's namespace: buffers like those of the other
// stacks, and ports enough. congestion, if not empty, replaces the machine's default.
func tuneKernel(congestion string) error {
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		return fmt.Errorf("lo: %w", err)
	}
	settings := map[string]string{
		"ipv4/tcp_wmem":            fmt.Sprintf("4096 1048576 %d", sendBuffer),
		"ipv4/tcp_rmem":            fmt.Sprintf("4096 1048576 %d", receiveBuffer),
		"ipv4/tcp_tw_reuse":        "1",
		"ipv4/ip_local_port_range": "10000 65535",
		"ipv4/tcp_max_syn_backlog": "4096",
	}
	if congestion != "" {
		settings[congestionSetting] = congestion
	}
	for name, value := range settings {
		// Not every kernel has all of them in a namespace.
		if err := os.WriteFile("/proc/sys/net/"+name, []byte(value), 0); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("sysctl: %w", err)
		}
	}
	return nil
}

const congestionSetting = "ipv4/tcp_congestion_control"

// unpaced is a controller of the kernel's that sends as soon as it may: CUBIC, as
// the other stacks', or Reno where namespaces may not have that. A default of BBR paces
// what it sends by timers, and they would be all that is measured of whoever receives
// it. isDefault says that the machine's default is the same.
func unpaced() (name string, isDefault bool) {
	name = "reno"
	if allowed, _ := os.ReadFile("/proc/sys/net/ipv4/tcp_allowed_congestion_control"); slices.Contains(strings.Fields(string(allowed)), "cubic") {
		name = "cubic"
	}
	now, _ := os.ReadFile("/proc/sys/net/" + congestionSetting)
	return name, strings.TrimSpace(string(now)) == name
}

// tunePeer is tuneKernel for the peer of another stack.
func tunePeer() error {
	name, _ := unpaced()
	return tuneKernel(name)
}

// kernels returns the kernel as a stack of a cell: as the machine has it, and for
// bulk also unpaced.
func kernels(bulk bool, run func(congestion string) func(*params) (map[string]float64, error)) []variant {
	v := []variant{{"kernel", run("")}}
	if name, isDefault := unpaced(); bulk && !isDefault {
		v = append(v, variant{"kernel-" + name, run(name)})
	}
	return v
}

// newLoopback is the kernel talking to itself over lo.
func newLoopback(l memLink, congestion string) (network, error) {
	if err := tuneKernel(congestion); err != nil {
		return nil, err
	}
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetMTU(lo, l.mtu)
	}
	if err != nil {
		return nil, fmt.Errorf("lo: %w", err)
	}
	if err := setOffload("lo", l.gso); err != nil {
		return nil, err
	}
	return &kernelNetwork{address: netip.MustParseAddr("127.0.0.1")}, nil
}

// newVeth is two namespaces joined by a pair of veth devices.
func newVeth(offload bool, congestion string) (network, error) {
	if err := tuneKernel(congestion); err != nil {
		return nil, err
	}
	n := &kernelNetwork{hasServer: true}
	// Namespaces belong to threads. This one stays locked, and ends with the run.
	runtime.LockOSThread()
	here, err := netns.Get()
	if err != nil {
		return nil, err
	}
	if n.serverNS, err = netns.New(); err != nil { // and enters it
		return nil, err
	}
	if err := tuneKernel(congestion); err != nil {
		return nil, err
	}
	if err := netns.Set(here); err != nil {
		return nil, err
	}
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "va", MTU: 1500}, PeerName: "vb"}); err != nil {
		return nil, fmt.Errorf("veth: %w", err)
	}
	vb, err := netlink.LinkByName("vb")
	if err != nil {
		return nil, err
	}
	if err := netlink.LinkSetNsFd(vb, int(n.serverNS)); err != nil {
		return nil, err
	}
	up := func(name string, a netip.Prefix) error {
		dev, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		ip := &net.IPNet{IP: a.Addr().AsSlice(), Mask: net.CIDRMask(a.Bits(), 32)}
		if err := netlink.AddrAdd(dev, &netlink.Addr{IPNet: ip}); err != nil {
			return err
		}
		if err := netlink.LinkSetUp(dev); err != nil {
			return err
		}
		return setOffload(name, offload)
	}
	if err := up("va", clientNet); err != nil {
		return nil, err
	}
	err = n.inServer(func() error { return up("vb", serverNet) })
	return n, err
}

// inServer calls f in the server's namespace, if it has one. Sockets stay in the
// namespace that they were made in.
func (n *kernelNetwork) inServer(f func() error) error {
	if !n.hasServer {
		return f()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	here, err := netns.Get()
	if err != nil {
		return err
	}
	defer here.Close()
	if err := netns.Set(n.serverNS); err != nil {
		return err
	}
	err = f()
	if back := netns.Set(here); back != nil {
		return back
	}
	return err
}

func (n *kernelNetwork) addr(port int) string {
	a := n.address
	if !a.IsValid() {
		a = serverNet.Addr()
	}
	return netip.AddrPortFrom(a, uint16(port)).String()
}

func (n *kernelNetwork) dial(ctx context.Context, port int) (net.Conn, error) {
	var d net.Dialer
	d.KeepAlive = -1
	return d.DialContext(ctx, "tcp4", n.addr(port))
}

func (n *kernelNetwork) listen(port int) (l net.Listener, err error) {
	err = n.inServer(func() error {
		lc := net.ListenConfig{KeepAlive: -1}
		l, err = lc.Listen(context.Background(), "tcp4", n.addr(port))
		return err
	})
	return l, err
}

func (n *kernelNetwork) retransmits() int64 { return -1 }
func (n *kernelNetwork) raw() bool          { return false }

// setQueueLength sets how many packets a device queues.
func setQueueLength(name string, n int) error {
	dev, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return netlink.LinkSetTxQLen(dev, n)
}

// setOffload turns segmentation and receive offloads of a device on or off. Those
// that the device cannot change it keeps.
func setOffload(name string, on bool) error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	value := uint32(0)
	if on {
		value = 1
	}
	for _, command := range []uint32{unix.ETHTOOL_STSO, unix.ETHTOOL_SGSO, unix.ETHTOOL_SGRO} {
		v := struct{ command, data uint32 }{command, value}
		var ifr struct {
			name [unix.IFNAMSIZ]byte
			data uintptr
			_    [16]byte
		}
		copy(ifr.name[:], name)
		ifr.data = uintptr(unsafe.Pointer(&v))
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(s), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&ifr)))
		runtime.KeepAlive(&v)
		if errno != 0 && command == unix.ETHTOOL_STSO && !on {
			return fmt.Errorf("%s: segmentation offload cannot be turned off: %w", name, errno)
		}
	}
	return nil
}

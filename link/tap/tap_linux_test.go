package tap

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/api/netconn"
	"github.com/sluicenet/sluice/impl/cubic"
	"github.com/sluicenet/sluice/impl/engine"
	"github.com/sluicenet/sluice/link/internal/tuntap"
	"github.com/sluicenet/sluice/link/tun/setup"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second

// namespace moves the test into a network namespace of its own.
func namespace(t *testing.T) {
	t.Helper()
	missing := ""
	if os.Getuid() != 0 {
		missing = "root"
	} else if f, err := os.OpenFile(tuntap.DevNetTun, os.O_RDWR, 0); err != nil {
		missing = err.Error()
	} else {
		f.Close()
	}
	if missing != "" {
		if os.Getenv("SLUICE_REQUIRE_NET") == "1" {
			t.Fatalf("SLUICE_REQUIRE_NET is set, but no TAP here: %s", missing)
		}
		t.Skipf("no TAP here: %s", missing)
	}
	runtime.LockOSThread()
	origin, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ns.Close()
		if err := netns.Set(origin); err != nil {
			panic(err) // the thread must not be used again
		}
		origin.Close()
		runtime.UnlockOSThread()
	})
}

// The kernel's addresses and ours, of either family.
var (
	kernel4 = netip.MustParsePrefix("10.9.0.1/24")
	kernel6 = netip.MustParsePrefix("fd09::1/64")
	ours4   = netip.MustParseAddr("10.9.0.2")
	ours6   = netip.MustParseAddr("fd09::2")
)

// station opens a device and attaches a stack that answers on port 7 with what it
// gets.
func station(t *testing.T, cfg Config, edit func(*engine.Config)) (link.Link, *engine.Stack) {
	t.Helper()
	l, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := setup.Configure(l.Attributes().Name, 0, kernel4, kernel6); err != nil {
		l.Close()
		t.Fatal(err)
	}
	c := engine.Config{
		Link:                 l,
		Addresses:            []netip.Prefix{netip.PrefixFrom(ours4, 24), netip.PrefixFrom(ours6, 64)},
		Controllers:          []cc.Factory{cubic.Factory},
		NoDuplicateDetection: true,
	}
	if edit != nil {
		edit(&c)
	}
	s, err := engine.New(c)
	if err != nil {
		l.Close()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		s.Disconnect(ctx)
	})
	return l, s
}

const transfer = 8 << 20

// data returns bytes that repeat from run to run and nowhere within one.
func data() io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{1}), transfer) }

func hashOf(r io.Reader) (sum [32]byte, err error) {
	h := sha256.New()
	_, err = io.Copy(h, r)
	h.Sum(sum[:0])
	return sum, err
}

// The engine and the kernel's TCP talk over the device, each having found the
// other, in super-packets and without: what either sends arrives.
func TestStackAgainstKernel(t *testing.T) {
	for _, mode := range []OffloadMode{OffloadOff, OffloadOn} {
		for _, dst := range []netip.Addr{ours4, ours6} {
			t.Run(fmt.Sprintf("offload=%v,%v", mode, dst), func(t *testing.T) {
				namespace(t)
				testStack(t, mode, dst)
			})
		}
	}
}

func testStack(t *testing.T, mode OffloadMode, dst netip.Addr) {
	l, s := station(t, Config{Offload: mode}, nil)
	if a := l.Attributes(); a.Medium != link.Ethernet || a.MTU != 1500 || a.HardwareAddr[0]&3 != 2 || a.TxChecksum != (mode == OffloadOn) {
		t.Errorf("attributes %+v", a)
	}
	type result struct {
		sum [32]byte
		err error
	}
	handled := make(chan result, 1)
	if _, err := s.Listen(7, nil, func(ctx context.Context, f api.Flow) {
		c := netconn.New(f)
		defer c.Close()
		var r result
		if r.sum, r.err = hashOf(c); r.err == nil {
			_, r.err = io.Copy(c, data())
		}
		handled <- r
	}); err != nil {
		t.Fatal(err)
	}
	c, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(netip.AddrPortFrom(dst, 7)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	want, _ := hashOf(data())
	if _, err := io.Copy(c, data()); err != nil {
		t.Fatal(err)
	}
	c.CloseWrite()
	got, err := hashOf(c)
	if err != nil || got != want {
		t.Errorf("the kernel received other bytes than the stack sent: %v", err)
	}
	if r := <-handled; r.err != nil || r.sum != want {
		t.Errorf("the stack received other bytes than the kernel sent: %v", r.err)
	}
	st := l.Stats()
	if st.DropsIn != 0 || st.Errors != 0 {
		t.Errorf("stats %+v", st)
	}
	if super := st.PacketsOut < transfer/1500; super != (mode == OffloadOn) {
		t.Errorf("%d packets for %d bytes", st.PacketsOut, st.BytesOut)
	}
	if n := s.Info().Drops[api.DropTCPChecksum]; n != 0 {
		t.Errorf("%d segments with a wrong checksum", n)
	}
}

// neighbour returns the kernel's idea of where an address is.
func neighbour(t *testing.T, l link.Link, a netip.Addr) (netlink.Neigh, bool) {
	t.Helper()
	dev, err := netlink.LinkByName(l.Attributes().Name)
	if err != nil {
		t.Fatal(err)
	}
	family := netlink.FAMILY_V4
	if a.Is6() {
		family = netlink.FAMILY_V6
	}
	ns, err := netlink.NeighList(dev.Attrs().Index, family)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range ns {
		if got, _ := netip.AddrFromSlice(n.IP); got.Unmap() == a {
			return n, true
		}
	}
	return netlink.Neigh{}, false
}

// The kernel's ping, which finds us by ARP and neighbour discovery.
func TestPing(t *testing.T) {
	namespace(t)
	if _, err := exec.LookPath("ping"); err != nil {
		t.Skip("no ping here")
	}
	hw := [6]byte{2, 0x51, 0xce, 1, 2, 3}
	l, _ := station(t, Config{Name: "sl%d", HardwareAddr: hw}, nil)
	for _, a := range []netip.Addr{ours4, ours6} {
		for _, size := range []string{"56", "1400", "4000"} { // the last in fragments
			out, err := exec.Command("ping", "-n", "-c", "3", "-i", "0.05", "-W", "5", "-s", size, a.String()).CombinedOutput()
			if err != nil || !bytes.Contains(out, []byte(" 0% packet loss")) {
				t.Errorf("ping %v: %v\n%s", a, err, out)
			}
		}
		if n, ok := neighbour(t, l, a); !ok || !bytes.Equal(n.HardwareAddr, hw[:]) {
			t.Errorf("%v: the kernel's neighbour is %+v", a, n)
		}
	}
}

// log collects messages.
type log struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// The kernel has the stack's addresses: duplicate address detection sees it, and
// the stack stays silent.
func TestConflict(t *testing.T) {
	namespace(t)
	logs := new(log)
	kernels := []netip.Prefix{netip.PrefixFrom(kernel4.Addr(), 24), netip.PrefixFrom(kernel6.Addr(), 64)}
	l, s := station(t, Config{}, func(c *engine.Config) {
		c.Addresses = kernels
		c.NoDuplicateDetection = false
		c.Logger = slog.New(slog.NewTextHandler(logs, nil))
	})
	for start := time.Now(); strings.Count(logs.String(), "another station has our address") < 2; time.Sleep(time.Millisecond) {
		if time.Since(start) > patience {
			t.Fatalf("the conflict went unseen: %s", logs)
		}
	}
	for _, want := range []string{"10.9.0.1", "fd09::1"} {
		if !strings.Contains(logs.String(), want) {
			t.Errorf("nothing about %s: %s", want, logs)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	before := s.Info().Drops[api.DropUnresolved]
	if _, err := s.Dial(ctx, netip.MustParseAddrPort("10.9.0.77:7"), nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("dial: %v", err)
	}
	if n := s.Info().Drops[api.DropUnresolved]; n == before {
		t.Error("a packet went out from an address that is another's")
	}
	l.Close()
}

// The kernel detects that we have its address, by the same protocol.
func TestKernelDetects(t *testing.T) {
	namespace(t)
	l, _ := station(t, Config{}, nil)
	dev, err := netlink.LinkByName(l.Attributes().Name)
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.AddrAdd(dev, &netlink.Addr{IPNet: &net.IPNet{IP: ours6.AsSlice(), Mask: net.CIDRMask(64, 128)}}); err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); time.Since(start) < patience; time.Sleep(10 * time.Millisecond) {
		addrs, err := netlink.AddrList(dev, netlink.FAMILY_V6)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range addrs {
			if a.IP.Equal(ours6.AsSlice()) && a.Flags&unix.IFA_F_DADFAILED != 0 {
				return
			}
		}
	}
	t.Error("the kernel took an address of ours")
}

// The neighbour goes away in the midst of a flow, and comes back with another
// Ethernet address.
func TestNeighbourReturns(t *testing.T) {
	namespace(t)
	l, s := station(t, Config{}, nil)
	if _, err := s.Listen(7, nil, func(ctx context.Context, f api.Flow) {
		c := netconn.New(f)
		defer c.Close()
		io.Copy(c, c)
	}); err != nil {
		t.Fatal(err)
	}
	c, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(netip.AddrPortFrom(ours4, 7)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	echo := func(s string) {
		t.Helper()
		c.Write([]byte(s))
		b := make([]byte, len(s))
		if _, err := io.ReadFull(c, b); err != nil || string(b) != s {
			t.Fatalf("echo of %q: %q, %v", s, b, err)
		}
	}
	echo("before")
	dev, err := netlink.LinkByName(l.Attributes().Name)
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetDown(dev); err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetHardwareAddr(dev, net.HardwareAddr{2, 7, 7, 7, 7, 7}); err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(dev); err != nil {
		t.Fatal(err)
	}
	echo("after")
	// Nobody has this one: the dial fails when ARP gives up.
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := s.Dial(ctx, netip.MustParseAddrPort("10.9.0.99:7"), nil); !errors.Is(err, api.ErrUnreachable) {
		t.Errorf("dial of nobody: %v", err)
	}
}

func TestErrors(t *testing.T) {
	namespace(t)
	fd, err := unix.Open(tuntap.DevNetTun, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := tuntap.SetInterface(fd, "tun0", unix.IFF_TUN|unix.IFF_NO_PI); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		cfg  Config
		want string
	}{
		{Config{Name: "tun0"}, "tap: tun0 cannot be a TAP device"},
		{Config{HasFD: true, FD: fd}, "is tun0, a TUN device, which carries IP packets; open it with IFF_TAP"},
		{Config{MTU: 67}, "tap: MTU 67"},
		{Config{HardwareAddr: [6]byte{1, 2}}, "address of a group"},
	} {
		l, err := Open(tt.cfg)
		if err == nil {
			l.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want an error that says %q", tt.cfg, err, tt.want)
		}
	}
}

package packet

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"go.uber.org/goleak"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/api/netconn"
	"github.com/sluicenet/sluice/impl/cubic"
	"github.com/sluicenet/sluice/impl/engine"
	"github.com/sluicenet/sluice/link/tun/setup"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second

// The other kernel's addresses and ours, of either family.
var (
	kernel4 = netip.MustParsePrefix("10.9.0.1/24")
	kernel6 = netip.MustParsePrefix("fd09::1/64")
	ours4   = netip.MustParseAddr("10.9.0.2")
	ours6   = netip.MustParseAddr("fd09::2")
)

// A cable is a veth pair between two network namespaces: near, where links are
// opened, and far, whose kernel is the other station.
type cable struct {
	*testing.T
	near, far netns.NsHandle
	nearEnd   netlink.Link
}

// lay makes a cable, and leaves the test in the near namespace. Without permission
// the test is skipped, or fails where it must not be.
func lay(t *testing.T) *cable {
	t.Helper()
	if os.Getuid() != 0 {
		if os.Getenv("SLUICE_REQUIRE_NET") == "1" {
			t.Fatal("SLUICE_REQUIRE_NET is set, but this is not root")
		}
		t.Skip("needs root")
	}
	runtime.LockOSThread()
	origin, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{T: t}
	t.Cleanup(func() {
		if err := netns.Set(origin); err != nil {
			panic(err) // the thread must not be used again
		}
		for _, ns := range []netns.NsHandle{origin, c.near, c.far} {
			ns.Close()
		}
		runtime.UnlockOSThread()
	})
	if c.far, err = netns.New(); err == nil {
		c.near, err = netns.New()
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "near0"}, PeerName: "far0"}); err != nil {
		t.Fatal(err)
	}
	far, err := netlink.LinkByName("far0")
	if err == nil {
		err = netlink.LinkSetNsFd(far, int(c.far))
	}
	if err != nil {
		t.Fatal(err)
	}
	if c.nearEnd, err = netlink.LinkByName("near0"); err == nil {
		err = netlink.LinkSetUp(c.nearEnd)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.goFar()
	if err := setup.Configure("far0", 0, kernel4, kernel6); err != nil {
		t.Fatal(err)
	}
	c.goNear()
	return c
}

func (c *cable) enter(ns netns.NsHandle) {
	c.Helper()
	if err := netns.Set(ns); err != nil {
		c.Fatal(err)
	}
}

func (c *cable) goNear() { c.enter(c.near) }
func (c *cable) goFar()  { c.enter(c.far) }

// station opens a link and attaches a stack.
func (c *cable) station(cfg Config, edit func(*engine.Config)) (link.Link, *engine.Stack) {
	c.Helper()
	cfg.Interface = "near0"
	l, err := Open(cfg)
	if err != nil {
		c.Fatal(err)
	}
	ec := engine.Config{
		Link:                 l,
		Addresses:            []netip.Prefix{netip.PrefixFrom(ours4, 24), netip.PrefixFrom(ours6, 64)},
		Controllers:          []cc.Factory{cubic.Factory},
		NoDuplicateDetection: true,
	}
	if edit != nil {
		edit(&ec)
	}
	s, err := engine.New(ec)
	if err != nil {
		l.Close()
		c.Fatal(err)
	}
	c.Cleanup(func() {
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

// The engine and another kernel's TCP talk over the wire, with offloads and without,
// under the interface's Ethernet address and under one of the stack's own.
func TestStackAgainstKernel(t *testing.T) {
	for _, cfg := range []Config{{}, {NoOffload: true}, {HardwareAddr: [6]byte{2, 0x51, 0xce, 0, 0, 9}}} {
		for _, dst := range []netip.Addr{ours4, ours6} {
			t.Run(fmt.Sprintf("offload=%v,own=%v,%v", !cfg.NoOffload, cfg.HardwareAddr[0] != 0, dst), func(t *testing.T) {
				testStack(lay(t), cfg, dst)
			})
		}
	}
}

func testStack(c *cable, cfg Config, dst netip.Addr) {
	l, s := c.station(cfg, nil)
	if a := l.Attributes(); a.Name != "near0" || a.Medium != link.Ethernet || a.MTU != 1500 || a.TxChecksum == cfg.NoOffload {
		c.Errorf("attributes %+v", a)
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
		c.Fatal(err)
	}
	c.goFar()
	k, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(netip.AddrPortFrom(dst, 7)))
	c.goNear()
	if err != nil {
		c.Fatal(err)
	}
	defer k.Close()
	k.SetDeadline(time.Now().Add(patience))
	want, _ := hashOf(data())
	if _, err := io.Copy(k, data()); err != nil {
		c.Fatal(err)
	}
	k.CloseWrite()
	got, err := hashOf(k)
	if err != nil || got != want {
		c.Errorf("the kernel received other bytes than the stack sent: %v", err)
	}
	if r := <-handled; r.err != nil || r.sum != want {
		c.Errorf("the stack received other bytes than the kernel sent: %v", r.err)
	}
	st := l.Stats()
	if st.DropsIn != 0 || st.Errors != 0 {
		c.Errorf("stats %+v", st)
	}
	if super := st.PacketsOut < transfer/1500; super == cfg.NoOffload {
		c.Errorf("%d packets for %d bytes", st.PacketsOut, st.BytesOut)
	}
	if n := s.Info().Drops[api.DropTCPChecksum]; n != 0 {
		c.Errorf("%d segments with a wrong checksum", n)
	}
}

// The other kernel's ping finds us; ours, on whose interface we are, keeps out of
// it.
func TestPing(t *testing.T) {
	if _, err := exec.LookPath("ping"); err != nil {
		t.Skip("no ping here")
	}
	c := lay(t)
	hw := [6]byte{2, 0x51, 0xce, 1, 2, 3}
	_, s := c.station(Config{HardwareAddr: hw}, nil)
	c.goFar()
	defer c.goNear()
	for _, a := range []netip.Addr{ours4, ours6} {
		out, err := exec.Command("ping", "-n", "-c", "3", "-i", "0.05", "-W", "5", "-s", "1400", a.String()).CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte(" 0% packet loss")) || bytes.Contains(out, []byte("DUP")) {
			t.Errorf("ping %v: %v\n%s", a, err, out)
		}
	}
	dev, err := netlink.LinkByName("far0")
	if err != nil {
		t.Fatal(err)
	}
	ns, err := netlink.NeighList(dev.Attrs().Index, netlink.FAMILY_V4)
	if err != nil || len(ns) != 1 || !bytes.Equal(ns[0].HardwareAddr, hw[:]) {
		t.Errorf("the kernel's neighbours are %v, %v", ns, err)
	}
	// A closed port is refused by us, and by nobody else.
	if _, err := net.DialTimeout("tcp", netip.AddrPortFrom(ours4, 99).String(), patience); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("dial of a closed port: %v", err)
	}
	if n := s.Info().ResetsOut; n != 1 {
		t.Errorf("%d resets", n)
	}
}

// Frames that are tagged for a VLAN, or for another station, do not get to the stack.
func TestFilter(t *testing.T) {
	c := lay(t)
	l, err := Open(Config{Interface: "near0", HardwareAddr: [6]byte{2, 0, 0, 0, 0, 9}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c.goFar()
	defer c.goNear()
	far, err := Open(Config{Interface: "far0"})
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	got := make(chan []byte, 100)
	if err := l.Attach(func(batch []link.Packet) {
		for i := range batch {
			b := batch[i].AppendTo(nil)
			if b[12] == 0x88 && b[13] == 0xb5 { // the local experimental EtherType
				got <- b
			}
			batch[i].Release()
		}
	}); err != nil {
		t.Fatal(err)
	}
	frame := func(dst byte, tag bool, id byte) link.Packet {
		b := []byte{2, 0, 0, 0, 0, dst, 2, 0, 0, 0, 0, 1}
		if tag {
			b = append(b, 0x81, 0, 0, 5)
		}
		b = append(b, 0x88, 0xb5, id)
		return link.Packet{Header: append(b, make([]byte, 60)...)}
	}
	group := frame(9, false, 4)
	copy(group.Header, []byte{0x33, 0x33, 0, 0, 0, 1})
	if err := far.Send([]link.Packet{frame(9, true, 1), frame(8, false, 2), frame(9, false, 3), group}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []byte{3, 4} {
		select {
		case b := <-got:
			if b[14] != id {
				t.Errorf("frame %d came, want %d", b[14], id)
			}
		case <-time.After(patience):
			t.Fatalf("in vain waited for frame %d", id)
		}
	}
}

// The interface goes down, comes back, perhaps under another name, and goes away, at
// once or some time after it has gone down: of that the socket hears nothing.
func TestInterfaceGoes(t *testing.T) {
	t.Run("at once", func(t *testing.T) { interfaceGoes(t, false, false) })
	t.Run("while down", func(t *testing.T) { interfaceGoes(t, true, false) })
	t.Run("with another name", func(t *testing.T) { interfaceGoes(t, true, true) })
}

func interfaceGoes(t *testing.T, whileDown, renamed bool) {
	c := lay(t)
	failed := make(chan error, 2)
	var l link.Link
	l, s := c.station(Config{OnError: func(err error) { failed <- err }}, nil)
	if _, err := s.Listen(7, nil, func(ctx context.Context, f api.Flow) {
		c := netconn.New(f)
		defer c.Close()
		io.Copy(c, c)
	}); err != nil {
		t.Fatal(err)
	}
	c.goFar()
	k, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(netip.AddrPortFrom(ours4, 7)))
	c.goNear()
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	k.SetDeadline(time.Now().Add(patience))
	echo := func(s string) {
		t.Helper()
		k.Write([]byte(s))
		b := make([]byte, len(s))
		if _, err := io.ReadFull(k, b); err != nil || string(b) != s {
			t.Fatalf("echo of %q: %q, %v", s, b, err)
		}
	}
	echo("before")
	if err := netlink.LinkSetDown(c.nearEnd); err != nil {
		t.Fatal(err)
	}
	noticed := func(errors uint64) {
		for start := time.Now(); l.Stats().Errors < errors && time.Since(start) < patience; time.Sleep(time.Millisecond) {
		}
	}
	noticed(1)
	if renamed {
		if err := netlink.LinkSetName(c.nearEnd, "near9"); err != nil {
			t.Fatal(err)
		}
	}
	if err := netlink.LinkSetUp(c.nearEnd); err != nil {
		t.Fatal(err)
	}
	echo("after")
	if whileDown {
		before := l.Stats().Errors
		if err := netlink.LinkSetDown(c.nearEnd); err != nil {
			t.Fatal(err)
		}
		noticed(before + 1)
		select { // it has been seen to be there
		case err := <-failed:
			t.Fatalf("while it is only down: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	if err := netlink.LinkDel(c.nearEnd); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-failed:
		if !strings.Contains(err.Error(), "near0: the interface has gone") {
			t.Errorf("OnError got %v", err)
		}
	case <-time.After(patience):
		t.Fatal("nobody was told that the interface has gone")
	}
	if err := l.Send([]link.Packet{{Header: make([]byte, 60)}}); err == nil {
		t.Error("Send to an interface that has gone worked")
	}
}

func TestClose(t *testing.T) {
	c := lay(t)
	l, _ := c.station(Config{}, nil)
	for range 2 {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := l.Send(nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Send after Close: %v", err)
	}
	if err := l.Attach(func([]link.Packet) {}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Attach after Close: %v", err)
	}
	for _, tt := range []struct {
		cfg  Config
		want string
	}{
		{Config{}, "Interface is missing"},
		{Config{Interface: "nope0"}, "no interface nope0"},
		{Config{Interface: "lo", MTU: 10}, "MTU 10"},
		{Config{Interface: "near0", HardwareAddr: [6]byte{1}}, "of a group"},
		{Config{Interface: "sixteen-bytes-xx"}, "longer than 15"},
	} {
		if _, err := Open(tt.cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.cfg, err, tt.want)
		}
	}
}

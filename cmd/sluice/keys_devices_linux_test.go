package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/config"
)

const tunYAML = `version: 1
links: [{name: wan, driver: tun}]
stacks: [{name: edge, link: wan, addresses: [10.9.0.2/24]}]
`

var (
	tapYAML    = strings.Replace(tunYAML, "driver: tun", "driver: tap", 1)
	packetYAML = strings.Replace(tunYAML, "driver: tun", "driver: packet, packet: {interface: veth1}", 1)
)

// deviceCases are like keyCases.
var deviceCases = map[string]struct {
	yaml string
	set  []string
	see  func(s *deviceState) any
	want string
}{
	"links[].tun.device":         {tunYAML, []string{"links.wan.tun.device=sluice7"}, seeDevice, "sluice7"},
	"links[].tun.offload":        {tunYAML, []string{"links.wan.tun.offload=on"}, seeOffload, "true"},
	"links[].tun.up":             {tunYAML, []string{"links.wan.tun.up=false"}, func(s *deviceState) any { return s.up }, "false"},
	"links[].tun.host_addresses": {tunYAML, []string{"links.wan.tun.host_addresses=10.9.0.1/24,fd09::1/64"}, func(s *deviceState) any { return s.addresses }, "10.9.0.1/24 fd09::1/64"},
	"links[].tun.fd":             {tunYAML, []string{"links.wan.tun.fd=TUNFD"}, seeDevice, "inherited0"},
	"links[].tun.queues":         {tunYAML, []string{"links.wan.tun.queues=3"}, func(s *deviceState) any { return s.descriptors }, "3"},
	"links[].tap.device":         {tapYAML, []string{"links.wan.tap.device=sluice7"}, seeDevice, "sluice7"},
	"links[].tap.offload":        {tapYAML, []string{"links.wan.tap.offload=on"}, seeOffload, "true"},
	"links[].tap.up":             {tapYAML, []string{"links.wan.tap.up=false"}, func(s *deviceState) any { return s.up }, "false"},
	"links[].tap.host_addresses": {tapYAML, []string{"links.wan.tap.host_addresses=10.9.0.1/24,fd09::1/64"}, func(s *deviceState) any { return s.addresses }, "10.9.0.1/24 fd09::1/64"},
	"links[].tap.fd":             {tapYAML, []string{"links.wan.tap.fd=TAPFD"}, seeDevice, "inherited0"},
	"links[].tap.queues":         {tapYAML, []string{"links.wan.tap.queues=3"}, func(s *deviceState) any { return s.descriptors }, "3"},
	"links[].tap.mac":            {tapYAML, []string{"links.wan.tap.mac=02:00:00:00:00:07"}, seeMAC, "02:00:00:00:00:07"},
	"links[].packet.interface":   {packetYAML, []string{"links.wan.packet.interface=veth2"}, seeDevice, "veth2"},
	"links[].packet.mac":         {packetYAML, []string{"links.wan.packet.mac=02:00:00:00:00:07"}, seeMAC, "02:00:00:00:00:07"},
	"links[].packet.offload":     {packetYAML, []string{"links.wan.packet.offload=off"}, seeOffload, "false"},

	// A packet from an address that is not sure is dropped at once, and otherwise
	// waits for the neighbour.
	"stacks[].duplicate_detection": {tapYAML, []string{"stacks.edge.duplicate_detection=false"}, func(s *deviceState) any { return s.unresolved > 0 }, "false"},
}

func seeDevice(s *deviceState) any  { return s.status.Links[0].Device }
func seeOffload(s *deviceState) any { return s.attr.MaxGSO > 0 }
func seeMAC(s *deviceState) any     { return net.HardwareAddr(s.attr.HardwareAddr[:]) }

// deviceState is what can be seen of a system with a device.
type deviceState struct {
	status      *config.Status
	attr        link.Attributes
	up          bool
	addresses   string
	descriptors int    // of TUN and TAP devices
	unresolved  uint64 // packets dropped of a dial
}

func TestKeysOfDevices(t *testing.T) {
	newNamespace(t) // skips where there can be none
	for path := range deviceKeys {
		if _, ok := deviceCases[path]; !ok {
			t.Errorf("%s has no case", path)
		}
	}
	for path, c := range deviceCases {
		t.Run(path, func(t *testing.T) {
			before := fmt.Sprint(c.see(inFreshNamespace(t, c.yaml, nil)))
			after := fmt.Sprint(c.see(inFreshNamespace(t, c.yaml, c.set)))
			if before == after {
				t.Errorf("it changes nothing: %s", after)
			}
			if after != c.want {
				t.Errorf("got %q, want %q", after, c.want)
			}
		})
	}
}

// inFreshNamespace builds the system on a thread with a network of its own, which
// ends with the thread.
func inFreshNamespace(t *testing.T, yaml string, set []string) (s *deviceState) {
	t.Helper()
	s = &deviceState{}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good
		done <- func() error {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return err
			}
			set = append([]string{}, set...)
			for i := range set {
				for kind, flag := range map[string]uint16{"TUNFD": unix.IFF_TUN, "TAPFD": unix.IFF_TAP} {
					if strings.Contains(set[i], kind) {
						fd, err := openTUN("inherited0", flag)
						if err != nil {
							return err
						}
						set[i] = strings.Replace(set[i], kind, fmt.Sprint(fd), 1)
					}
				}
			}
			pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "veth1"}, PeerName: "veth2"}
			if err := netlink.LinkAdd(pair); err != nil {
				return err
			}
			for _, name := range []string{"veth1", "veth2"} {
				d, err := netlink.LinkByName(name)
				if err != nil {
					return err
				}
				if err := netlink.LinkSetUp(d); err != nil {
					return err
				}
			}
			sys, err := config.Build(loadKeys(t, yaml, set), config.Deps{Wrap: func(_ string, l link.Link) link.Link {
				s.attr = l.Attributes()
				return l
			}})
			if err != nil {
				return err
			}
			defer sys.Close(context.Background())
			s.status = sys.Status()
			fds, _ := filepath.Glob("/proc/self/fd/*")
			for _, fd := range fds {
				if to, _ := os.Readlink(fd); to == "/dev/net/tun" {
					s.descriptors++
				}
			}
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			defer cancel()
			sys.Stack("edge").Dial(ctx, netip.MustParseAddrPort("10.9.0.99:9"), nil)
			s.unresolved = sys.Stack("edge").Info().Drops[api.DropUnresolved]
			dev, err := netlink.LinkByName(s.status.Links[0].Device)
			if err != nil {
				return err
			}
			s.up = dev.Attrs().RawFlags&unix.IFF_UP != 0
			list, err := netlink.AddrList(dev, netlink.FAMILY_ALL)
			if err != nil {
				return err
			}
			var names []string
			for _, a := range list {
				if !a.IP.IsLinkLocalUnicast() {
					names = append(names, a.IPNet.String())
				}
			}
			sort.Strings(names)
			s.addresses = strings.Join(names, " ")
			return nil
		}()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return s
}

// openTUN opens a device as a parent process would that hands the descriptor on.
func openTUN(name string, kind uint16) (int, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, os.NewSyscallError("open", err)
	}
	req, err := unix.NewIfreq(name)
	if err != nil {
		return 0, err
	}
	req.SetUint16(kind | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		return 0, os.NewSyscallError("TUNSETIFF", err)
	}
	return fd, nil
}

package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sort"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/config"
)

const tunYAML = `version: 1
links: [{name: wan, driver: tun}]
stacks: [{name: edge, link: wan, addresses: [10.9.0.2/24]}]
`

// tunCases are like keyCases.
var tunCases = map[string]struct {
	base, set []string
	see       func(s *tunState) any
	want      string
}{
	"links[].tun.device":  {nil, []string{"links.wan.tun.device=sluice7"}, func(s *tunState) any { return s.status.Links[0].Device }, "sluice7"},
	"links[].tun.offload": {nil, []string{"links.wan.tun.offload=on"}, func(s *tunState) any { return s.maxGSO > 0 }, "true"},
	"links[].tun.up":      {nil, []string{"links.wan.tun.up=false"}, func(s *tunState) any { return s.up }, "false"},
	"links[].tun.host_addresses": {nil, []string{"links.wan.tun.host_addresses=10.9.0.1/24,fd09::1/64"}, func(s *tunState) any { return s.addresses },
		"10.9.0.1/24 fd09::1/64"},
	"links[].tun.fd": {nil, []string{"links.wan.tun.fd=FD"}, func(s *tunState) any { return s.status.Links[0].Device }, "inherited0"},
}

// tunState is what can be seen of a system with a device.
type tunState struct {
	status    *config.Status
	maxGSO    int
	up        bool
	addresses string
}

func TestKeysOfTUN(t *testing.T) {
	newNamespace(t) // skips where there can be none
	for path := range tunKeys {
		if _, ok := tunCases[path]; !ok {
			t.Errorf("%s has no case", path)
		}
	}
	for path, c := range tunCases {
		t.Run(path, func(t *testing.T) {
			before := fmt.Sprint(c.see(inFreshNamespace(t, c.base)))
			after := fmt.Sprint(c.see(inFreshNamespace(t, append(append([]string{}, c.base...), c.set...))))
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
func inFreshNamespace(t *testing.T, set []string) (s *tunState) {
	t.Helper()
	s = &tunState{}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good
		done <- func() error {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return err
			}
			set = append([]string{}, set...)
			for i := range set {
				if strings.Contains(set[i], "FD") {
					fd, err := openTUN("inherited0")
					if err != nil {
						return err
					}
					set[i] = strings.Replace(set[i], "FD", fmt.Sprint(fd), 1)
				}
			}
			sys, err := config.Build(loadKeys(t, tunYAML, set), config.Deps{Wrap: func(_ string, l link.Link) link.Link {
				s.maxGSO = l.Attributes().MaxGSO
				return l
			}})
			if err != nil {
				return err
			}
			defer sys.Close(context.Background())
			s.status = sys.Status()
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
func openTUN(name string) (int, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, os.NewSyscallError("open", err)
	}
	req, err := unix.NewIfreq(name)
	if err != nil {
		return 0, err
	}
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		return 0, os.NewSyscallError("TUNSETIFF", err)
	}
	return fd, nil
}

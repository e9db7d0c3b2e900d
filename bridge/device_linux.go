package bridge

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/link/tun/setup"
)

const devNetTun = "/dev/net/tun"

// A device is a TUN device that one thread reads and writes, without offloads. The
// driver of package link/tun has a goroutine of its own that reads, and so a change
// of threads for each packet: here that would be an error in every instant.
type device struct {
	fd    int
	name  string
	stats EndReport
}

// openDevice opens the device of an end, and sets it up.
func openDevice(e *End, mtu int) (*device, error) {
	if e.FD != 0 {
		return adopt(e.FD)
	}
	var d *device
	err := InNamespace(e.Netns, func() (err error) {
		if d, err = create(e.Device); err != nil {
			return err
		}
		dev, err := netlink.LinkByName(d.name)
		if err == nil {
			err = netlink.LinkSetTxQLen(dev, e.QueueLimit)
		}
		if err != nil {
			return fmt.Errorf("device %s: cannot set its queue to %d packets: %w", d.name, e.QueueLimit, err)
		}
		addrs := make([]netip.Prefix, len(e.Addresses))
		for i, p := range e.Addresses {
			addrs[i] = p.Prefix
		}
		return setup.Configure(d.name, mtu, addrs...)
	})
	if err != nil && d != nil {
		d.close()
	}
	return d, err
}

// InNamespace calls f in a network namespace, named as [NamespacePath] takes it.
func InNamespace(name string, f func() error) error {
	path := NamespacePath(name)
	if path == "" {
		return f()
	}
	done := make(chan error)
	go func() {
		// Not unlocked: the thread ends with the goroutine, so that nothing else ever
		// runs in the namespace.
		runtime.LockOSThread()
		done <- func() error {
			fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if errors.Is(err, unix.ENOENT) {
				return fmt.Errorf("there is no network namespace %s: make it with \"ip netns add %s\"", path, name)
			}
			if err != nil {
				return fmt.Errorf("network namespace %s: %w", path, err)
			}
			defer unix.Close(fd)
			if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("cannot enter the network namespace %s: %w: run as root", path, err)
			}
			return f()
		}()
	}()
	return <-done
}

// create makes a device, or attaches to one.
func create(name string) (*device, error) {
	fd, err := unix.Open(devNetTun, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open %s: %w: run as root, load the module tun, or give the container the device", devNetTun, err)
	}
	got, err := attach(fd, name, unix.IFF_TUN|unix.IFF_NO_PI)
	if errors.Is(err, unix.EINVAL) {
		// A persistent device that was made for several queues.
		got, err = attach(fd, name, unix.IFF_TUN|unix.IFF_NO_PI|unix.IFF_MULTI_QUEUE)
	}
	if err != nil {
		unix.Close(fd)
		switch {
		case errors.Is(err, unix.EPERM):
			return nil, fmt.Errorf("not allowed to make the device %s: %w: run as root or with CAP_NET_ADMIN", name, err)
		case errors.Is(err, unix.EBUSY):
			return nil, fmt.Errorf("the device %s is in use by another program: %w", name, err)
		case errors.Is(err, unix.EINVAL):
			return nil, fmt.Errorf("%s cannot be a TUN device: an interface of another kind has the name, or none can have it: %w", name, err)
		}
		return nil, fmt.Errorf("cannot attach to the device %s: %w", name, err)
	}
	// A device remembers what its last user could do.
	if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, 0); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("device %s: cannot turn offloads off: %w", got, err)
	}
	return &device{fd: fd, name: got}, nil
}

func attach(fd int, name string, flags uint16) (string, error) {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return "", err
	}
	ifr.SetUint16(flags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		return "", err
	}
	return ifr.Name(), nil
}

// adopt takes an inherited descriptor.
func adopt(fd int) (*device, error) {
	ifr, _ := unix.NewIfreq("")
	if err := unix.IoctlIfreq(fd, unix.TUNGETIFF, ifr); err != nil {
		if errors.Is(err, unix.EBADFD) {
			return nil, fmt.Errorf("fd: descriptor %d has no device: attach one with TUNSETIFF before handing it over", fd)
		}
		return nil, fmt.Errorf("fd: descriptor %d is not an open %s: %w", fd, devNetTun, err)
	}
	switch flags := ifr.Uint16(); {
	case flags&unix.IFF_TAP != 0:
		return nil, fmt.Errorf("fd: descriptor %d is %s, a TAP device, which carries Ethernet frames: open it with IFF_TUN", fd, ifr.Name())
	case flags&unix.IFF_VNET_HDR != 0:
		return nil, fmt.Errorf("fd: descriptor %d (%s) was opened with IFF_VNET_HDR: open it without", fd, ifr.Name())
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("fd: descriptor %d (%s): %w", fd, ifr.Name(), err)
	}
	unix.CloseOnExec(fd)
	unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, 0) // may be forbidden; without a virtio header there is nothing to offload
	return &device{fd: fd, name: ifr.Name()}, nil
}

func (d *device) close() { unix.Close(d.fd) }

// read reads a packet into page. Nothing and no error means that none is there.
func (d *device) read(page []byte) ([]byte, error) {
	for {
		// The descriptor does not block, so that the Go runtime need not be told.
		r, _, err := unix.RawSyscall(unix.SYS_READ, uintptr(d.fd), uintptr(unsafe.Pointer(&page[0])), uintptr(len(page)))
		switch n := int(r); {
		case err == 0:
			d.stats.PacketsIn++
			d.stats.BytesIn += uint64(n)
			return page[:n], nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			return nil, nil
		default:
			return nil, fmt.Errorf("bridge: device %s: %w", d.name, err)
		}
	}
}

// write gives a packet to the device. What it has no room for, or when it is down,
// is counted; the error is for good.
func (d *device) write(packet []byte) error {
	for {
		_, _, err := unix.RawSyscall(unix.SYS_WRITE, uintptr(d.fd), uintptr(unsafe.Pointer(&packet[0])), uintptr(len(packet)))
		switch {
		case err == 0:
			d.stats.PacketsOut++
			d.stats.BytesOut += uint64(len(packet))
			return nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EBADFD):
			return fmt.Errorf("bridge: the device %s is gone", d.name)
		default: // EIO: it is down; EINVAL: corrupted beyond what a device takes
			d.stats.Refused++
			return nil
		}
	}
}

package tun

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/api/link"
)

const devNetTun = "/dev/net/tun"

// Open opens a TUN device. The link's name is the device's. Opening by name
// happens in the network namespace of the calling thread; the link then works
// from any. Errors say what to do about them.
//
// Send never waits: what the kernel has no room for is dropped and counted.
func Open(cfg Config) (link.Link, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	if cfg.HasFD {
		return adopt(cfg)
	}
	fd, err := unix.Open(devNetTun, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, explainOpen(err)
	}
	d, err := attachByName(fd, cfg)
	if err != nil {
		return nil, err
	}
	return d, nil
}

// attachByName attaches a new descriptor to the device that cfg names. It owns fd.
func attachByName(fd int, cfg Config) (*device, error) {
	const flags = unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR
	name, err := setInterface(fd, cfg.Name, flags)
	if errors.Is(err, unix.EINVAL) {
		// A persistent device that was made for several queues wants to be
		// attached to as such, even with one.
		name, err = setInterface(fd, cfg.Name, flags|unix.IFF_MULTI_QUEUE)
	}
	if err != nil {
		unix.Close(fd)
		return nil, explainAttach(err, cfg.Name)
	}
	if cfg.MTU == 0 {
		if cfg.MTU, err = deviceMTU(name); err != nil {
			unix.Close(fd)
			return nil, fmt.Errorf("tun: cannot read the MTU of %s: %w", name, err)
		}
	}
	return newDevice(fd, name, true, cfg)
}

func setInterface(fd int, name string, flags uint16) (string, error) {
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

// adopt uses a descriptor that somebody else has opened and attached. It leaves
// the descriptor alone if it fails.
func adopt(cfg Config) (link.Link, error) {
	ifr, _ := unix.NewIfreq("")
	if err := unix.IoctlIfreq(cfg.FD, unix.TUNGETIFF, ifr); err != nil {
		if errors.Is(err, unix.EBADFD) {
			return nil, fmt.Errorf("tun: descriptor %d has no device: attach one with TUNSETIFF before handing it over", cfg.FD)
		}
		return nil, fmt.Errorf("tun: descriptor %d is not an open %s: %w", cfg.FD, devNetTun, err)
	}
	name, flags := ifr.Name(), ifr.Uint16()
	if flags&unix.IFF_TAP != 0 {
		return nil, fmt.Errorf("tun: descriptor %d is %s, a TAP device, which carries Ethernet frames; open it with IFF_TUN", cfg.FD, name)
	}
	if cfg.MTU == 0 {
		cfg.MTU = 1500
	}
	fd, err := unix.FcntlInt(uintptr(cfg.FD), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, fmt.Errorf("tun: descriptor %d (%s): %w", cfg.FD, name, err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("tun: descriptor %d (%s): %w", cfg.FD, name, err)
	}
	d, err := newDevice(fd, name, flags&unix.IFF_VNET_HDR != 0, cfg)
	if err != nil {
		return nil, err
	}
	d.inherited = true
	unix.Close(cfg.FD)
	return d, nil
}

// newDevice makes a link of an attached descriptor, which it owns.
func newDevice(fd int, name string, virtio bool, cfg Config) (*device, error) {
	d := &device{onError: cfg.OnError, done: make(chan struct{})}
	d.attr = link.Attributes{Name: name, Medium: link.IP, MTU: cfg.MTU}
	// With the descriptor not blocking, File waits in the runtime's poller,
	// and Close wakes a reader; unless the poller has refused it, which only
	// setting a deadline tells.
	d.file = os.NewFile(uintptr(fd), devNetTun)
	err := d.file.SetReadDeadline(time.Time{})
	if err == nil {
		d.raw, err = d.file.SyscallConn()
	}
	if err != nil {
		d.file.Close()
		return nil, fmt.Errorf("tun: %s cannot be polled: %w", name, err)
	}
	if virtio {
		d.headerLen = virtioHeaderLen
		if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, virtioHeaderLen); err != nil {
			d.file.Close()
			return nil, fmt.Errorf("tun: %s: cannot set the size of the virtio header: %w", name, err)
		}
	}
	if err := d.setOffload(fd, cfg.Offload); err != nil {
		d.file.Close()
		return nil, err
	}
	d.fillFunc, d.drainFunc = d.fill, d.drain
	return d, nil
}

// setOffload tells the kernel what it may send us. A device remembers what its
// last user said, so that off has to be said too.
func (d *device) setOffload(fd int, mode OffloadMode) error {
	if d.headerLen == 0 {
		if mode == OffloadOn {
			return fmt.Errorf("tun: %s: no offload without a virtio header: open the descriptor with IFF_VNET_HDR, or set offload to off or auto", d.attr.Name)
		}
		return nil
	}
	if mode != OffloadOff {
		err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, unix.TUN_F_CSUM|unix.TUN_F_TSO4|unix.TUN_F_TSO6)
		if err == nil {
			d.attr.MaxGSO, d.attr.TxChecksum = 65535, true
			return nil
		}
		if mode == OffloadOn {
			return fmt.Errorf("tun: %s: this kernel does not offload (%w): set offload to off or auto", d.attr.Name, err)
		}
	}
	if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, 0); err != nil {
		return fmt.Errorf("tun: %s: cannot turn offloads off: %w", d.attr.Name, err)
	}
	return nil
}

func deviceMTU(name string) (int, error) {
	s, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(s)
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return 0, err
	}
	if err := unix.IoctlIfreq(s, unix.SIOCGIFMTU, ifr); err != nil {
		return 0, err
	}
	return int(ifr.Uint32()), nil
}

func explainOpen(err error) error {
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV):
		return fmt.Errorf("tun: there is no %s: load the module with \"modprobe tun\", or give the container the device (--device %[1]s): %w", devNetTun, err)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Errorf("tun: not allowed to open %s: run as root, or let the user read and write it: %w", devNetTun, err)
	}
	return fmt.Errorf("tun: cannot open %s: %w", devNetTun, err)
}

func explainAttach(err error, name string) error {
	shown := name
	if shown == "" {
		shown = "a new device"
	}
	switch {
	case errors.Is(err, unix.EPERM):
		if name == "" {
			name = "NAME"
		}
		return fmt.Errorf("tun: not allowed to use %s: run as root or with CAP_NET_ADMIN, or have root make the device once with \"ip tuntap add dev %s mode tun user %d\": %w", shown, name, os.Getuid(), err)
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("tun: device %s is in use by another program: stop that, or choose another name: %w", shown, err)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("tun: %s cannot be a TUN device: an interface of another kind (TAP?) has the name, or no interface can have it: %w", shown, err)
	}
	return fmt.Errorf("tun: cannot attach to %s: %w", shown, err)
}

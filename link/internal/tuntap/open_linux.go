package tuntap

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/link/internal/virtio"
)

// DevNetTun is where devices come from.
const DevNetTun = "/dev/net/tun"

// Open opens a device.
func Open(cfg Config) (link.Link, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	if cfg.HasFD {
		return adopt(cfg)
	}
	d, err := create(cfg)
	if err != nil {
		return nil, err
	}
	return d, nil
}

func (k Kind) flags() uint16 {
	if k == TAP {
		return unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR
	}
	return unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR
}

// create attaches new descriptors to the device that cfg names.
func create(cfg Config) (*device, error) {
	fd, name, err := attach(cfg.Kind, cfg.Name, cfg.Queues > 1)
	if err != nil {
		return nil, err
	}
	if cfg.MTU == 0 {
		if cfg.MTU, err = deviceMTU(name); err != nil {
			unix.Close(fd)
			return nil, fmt.Errorf("%v: cannot read the MTU of %s: %w", cfg.Kind, name, err)
		}
	}
	d, err := newDevice(fd, name, true, cfg)
	if err != nil {
		return nil, err
	}
	for len(d.queues) < cfg.Queues {
		if fd, _, err = attach(cfg.Kind, name, true); err == nil {
			err = d.addQueue(fd, cfg.Offload)
		}
		if err != nil {
			d.Close()
			return nil, err
		}
	}
	return d, nil
}

// attach opens a descriptor and attaches it to a device.
func attach(k Kind, name string, several bool) (fd int, shown string, err error) {
	fd, err = unix.Open(DevNetTun, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, "", ExplainOpen(k, err)
	}
	flags := k.flags()
	if several {
		flags |= unix.IFF_MULTI_QUEUE
	}
	shown, err = SetInterface(fd, name, flags)
	if errors.Is(err, unix.EINVAL) && !several {
		// A persistent device that was made for several queues wants to be
		// attached to as such, even with one.
		shown, err = SetInterface(fd, name, flags|unix.IFF_MULTI_QUEUE)
	}
	if err != nil {
		unix.Close(fd)
		return -1, "", ExplainAttach(k, err, name)
	}
	return fd, shown, nil
}

// SetInterface attaches a descriptor to the device of a name, and returns the name
// that it has got.
func SetInterface(fd int, name string, flags uint16) (string, error) {
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
			return nil, fmt.Errorf("%v: descriptor %d has no device: attach one with TUNSETIFF before handing it over", cfg.Kind, cfg.FD)
		}
		return nil, fmt.Errorf("%v: descriptor %d is not an open %s: %w", cfg.Kind, cfg.FD, DevNetTun, err)
	}
	name, flags := ifr.Name(), ifr.Uint16()
	if isTAP := flags&unix.IFF_TAP != 0; isTAP != (cfg.Kind == TAP) {
		carries := "Ethernet frames"
		if !isTAP {
			carries = "IP packets"
		}
		return nil, fmt.Errorf("%v: descriptor %d is %s, a %s device, which carries %s; open it with IFF_%s",
			cfg.Kind, cfg.FD, name, cfg.Kind.other().noun(), carries, cfg.Kind.noun())
	}
	if cfg.MTU == 0 {
		cfg.MTU = 1500
	}
	fd, err := unix.FcntlInt(uintptr(cfg.FD), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, fmt.Errorf("%v: descriptor %d (%s): %w", cfg.Kind, cfg.FD, name, err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("%v: descriptor %d (%s): %w", cfg.Kind, cfg.FD, name, err)
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
func newDevice(fd int, name string, hasHeader bool, cfg Config) (*device, error) {
	d := &device{kind: cfg.Kind, onError: cfg.OnError}
	d.attr = link.Attributes{Name: name, Medium: link.IP, MTU: cfg.MTU}
	if cfg.Kind == TAP {
		d.attr.Medium, d.attr.HardwareAddr, d.l2 = link.Ethernet, cfg.HardwareAddr, ethernetHeaderLen
	}
	if hasHeader {
		d.headerLen = virtio.HeaderLen
	}
	if err := d.addQueue(fd, cfg.Offload); err != nil {
		return nil, err
	}
	return d, nil
}

const ethernetHeaderLen = 14

// addQueue adds a descriptor, which it owns.
func (d *device) addQueue(fd int, mode virtio.Mode) error {
	q := &queue{device: d, done: make(chan struct{})}
	// With the descriptor not blocking, File waits in the runtime's poller,
	// and Close wakes a reader; unless the poller has refused it, which only
	// setting a deadline tells.
	q.file = os.NewFile(uintptr(fd), DevNetTun)
	err := q.file.SetReadDeadline(time.Time{})
	if err == nil {
		q.raw, err = q.file.SyscallConn()
	}
	if err != nil {
		q.file.Close()
		return fmt.Errorf("%v: %s cannot be polled: %w", d.kind, d.attr.Name, err)
	}
	if d.headerLen > 0 {
		if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, d.headerLen); err != nil {
			q.file.Close()
			return fmt.Errorf("%v: %s: cannot set the size of the virtio header: %w", d.kind, d.attr.Name, err)
		}
	}
	if err := d.setOffload(fd, mode); err != nil {
		q.file.Close()
		return err
	}
	q.fillFunc, q.drainFunc = q.fill, q.drain
	d.queues = append(d.queues, q)
	return nil
}

// setOffload tells the kernel what it may send us. A device remembers what its
// last user said, so that off has to be said too.
func (d *device) setOffload(fd int, mode virtio.Mode) error {
	if d.headerLen == 0 {
		if mode == virtio.On {
			return fmt.Errorf("%v: %s: no offload without a virtio header: open the descriptor with IFF_VNET_HDR, or set offload to off or auto", d.kind, d.attr.Name)
		}
		return nil
	}
	if mode != virtio.Off {
		err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, unix.TUN_F_CSUM|unix.TUN_F_TSO4|unix.TUN_F_TSO6)
		if err == nil {
			d.attr.MaxGSO, d.attr.TxChecksum = 65535, true
			return nil
		}
		if mode == virtio.On {
			return fmt.Errorf("%v: %s: this kernel does not offload (%w): set offload to off or auto", d.kind, d.attr.Name, err)
		}
	}
	if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, 0); err != nil {
		return fmt.Errorf("%v: %s: cannot turn offloads off: %w", d.kind, d.attr.Name, err)
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

// ExplainOpen says what to do about an error in opening DevNetTun.
func ExplainOpen(k Kind, err error) error {
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV):
		return fmt.Errorf("%v: there is no %s: load the module with \"modprobe tun\", or give the container the device (--device %[2]s): %w", k, DevNetTun, err)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Errorf("%v: not allowed to open %s: run as root, or let the user read and write it: %w", k, DevNetTun, err)
	}
	return fmt.Errorf("%v: cannot open %s: %w", k, DevNetTun, err)
}

// ExplainAttach says what to do about an error in attaching to a device.
func ExplainAttach(k Kind, err error, name string) error {
	shown := name
	if shown == "" {
		shown = "a new device"
	}
	switch {
	case errors.Is(err, unix.EPERM):
		if name == "" {
			name = "NAME"
		}
		return fmt.Errorf("%v: not allowed to use %s: run as root or with CAP_NET_ADMIN, or have root make the device once with \"ip tuntap add dev %s mode %v user %d\": %w", k, shown, name, k, os.Getuid(), err)
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%v: device %s is in use by another program: stop that, or choose another name: %w", k, shown, err)
	case errors.Is(err, unix.E2BIG):
		return fmt.Errorf("%v: device %s has no room for another queue: %w", k, shown, err)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("%v: %s cannot be a %s device: an interface of another kind (%s?) has the name, it was made for one queue and not for several, or no interface can have it: %w",
			k, shown, k.noun(), k.other().noun(), err)
	}
	return fmt.Errorf("%v: cannot attach to %s: %w", k, shown, err)
}

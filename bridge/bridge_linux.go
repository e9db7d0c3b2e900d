package bridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/sim"
)

// Options are what is not in a file.
type Options struct {
	// Capture, if not nil, receives the packets at the first end as pcapng: before
	// the link's queue, or as they arrive.
	Capture io.Writer

	// WholeProcess gives every thread of the process real-time priority, not only
	// the one that moves packets, and lets garbage be collected only when there
	// are 256 MiB of it. Otherwise that thread has to wait, now and then, for
	// ordinary threads of the Go runtime, which on a busy machine takes many
	// milliseconds. It is for processes that do nothing else.
	WholeProcess bool
}

// A Bridge is two open devices and the link between them.
type Bridge struct {
	file    *File
	opts    Options
	net     *sim.Network
	ports   [2]*sim.Port
	devices [2]*device
	capture *sim.Capture
	wake    int // an eventfd that ends the wait

	epoch    time.Time
	page     []byte // what is being read
	late     histogram
	flows    flowTable
	realtime bool
	err      error // of a device, for good
}

// Open opens the devices. It needs CAP_NET_ADMIN, and CAP_SYS_ADMIN to go to other
// namespaces.
func Open(f *File, opts Options) (_ *Bridge, err error) {
	b := &Bridge{file: f, opts: opts, page: make([]byte, 1<<16), flows: flowTable{flows: map[flowKey]*flowStat{}}}
	if b.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, fmt.Errorf("bridge: eventfd: %w", err)
	}
	defer func() {
		if err != nil {
			b.Close()
		}
	}()
	var deliver [2]func(sim.Time, []byte)
	for i := range f.Ends {
		if b.devices[i], err = openDevice(&f.Ends[i], f.Link.MTU); err != nil {
			return nil, fmt.Errorf("ends.%s: %w", f.Ends[i].Name, err)
		}
		d := b.devices[i]
		deliver[i] = func(due sim.Time, packet []byte) {
			b.note(d.write(packet))
			now := b.now()
			b.late.add(now.Sub(due), time.Duration(now))
		}
	}
	var l *sim.Link
	if b.net, l, b.ports, err = f.build(deliver); err != nil {
		return nil, err
	}
	if opts.Capture != nil {
		b.capture = b.net.NewCapture(opts.Capture)
		if err = b.capture.Add(l, b.ports[0]); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// Devices returns the names of the devices.
func (b *Bridge) Devices() [2]string { return [2]string{b.devices[0].name, b.devices[1].name} }

// Close closes the devices. Run must have returned.
func (b *Bridge) Close() {
	for _, d := range b.devices {
		if d != nil {
			d.close()
		}
	}
	unix.Close(b.wake)
}

// Network returns the network, which must not be used while Run is under way.
func (b *Bridge) Network() *sim.Network { return b.net }

func (b *Bridge) now() sim.Time { return sim.Time(time.Since(b.epoch)) }

func (b *Bridge) note(err error) {
	if err != nil && b.err == nil {
		b.err = err
	}
}

// Run moves packets until the file's duration is over or ctx ends, which is no error.
// It may be called once.
func (b *Bridge) Run(ctx context.Context) error {
	done := make(chan error)
	go func() {
		// The thread ends with the goroutine, and its priority with it.
		runtime.LockOSThread()
		done <- b.run()
	}()
	stop := context.AfterFunc(ctx, func() {
		var one [8]byte
		*(*uint64)(unsafe.Pointer(&one)) = 1
		unix.Write(b.wake, one[:])
	})
	err := <-done
	stop()
	if b.capture != nil {
		err = errors.Join(err, b.capture.Flush())
	}
	return err
}

// priority is what the thread asks for among those with real-time scheduling.
const priority = 10

// prepare makes the thread one that wakes up on time.
func (b *Bridge) prepare() error {
	unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) // nanosecond; 50 us otherwise
	if b.file.Realtime == "off" {
		return nil
	}
	err := setRealtime(0, priority)
	if err != nil && b.file.Realtime == "on" {
		return fmt.Errorf("bridge: no real-time priority: %w: run as root or with CAP_SYS_NICE, or set realtime to auto", err)
	}
	b.realtime = err == nil
	if b.realtime && b.opts.WholeProcess {
		// Threads that are made later inherit the priority of those that make them.
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return fmt.Errorf("bridge: %w", err)
		}
		for _, t := range tasks {
			if tid, err := strconv.Atoi(t.Name()); err == nil && tid != unix.Gettid() {
				setRealtime(tid, priority-1) // it may have ended
			}
		}
	}
	return nil
}

func setRealtime(tid int, priority uint32) error {
	return unix.SchedSetAttr(tid, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: priority}, 0)
}

// batch is how many packets are taken from a device before the clock is looked at.
const batch = 32

func (b *Bridge) run() error {
	if err := b.prepare(); err != nil {
		return err
	}
	if b.opts.WholeProcess {
		defer debug.SetMemoryLimit(debug.SetMemoryLimit(256 << 20))
		defer debug.SetGCPercent(debug.SetGCPercent(-1))
	}
	end, spin := b.file.end(), time.Duration(b.file.Spin)
	fds := []unix.PollFd{
		{Fd: int32(b.devices[0].fd), Events: unix.POLLIN},
		{Fd: int32(b.devices[1].fd), Events: unix.POLLIN},
		{Fd: int32(b.wake), Events: unix.POLLIN},
	}
	b.epoch = time.Now()
	for {
		now := b.now()
		if now >= end {
			return b.net.Run(time.Duration(end))
		}
		if err := b.net.Run(time.Duration(now)); err != nil {
			return err
		}
		busy := false
		for i := range b.devices {
			if b.read(i) == batch {
				busy = true
			}
		}
		if b.err != nil {
			return b.err
		}
		if busy {
			continue
		}
		wait := min(b.net.Next(), end).Sub(b.now())
		if wait <= spin {
			continue
		}
		if err := poll(fds, min(wait-spin, time.Hour)); err != nil {
			return fmt.Errorf("bridge: ppoll: %w", err)
		}
		if fds[2].Revents != 0 {
			return b.net.Run(time.Duration(b.now()))
		}
		for i := range b.devices {
			if fds[i].Revents&^unix.POLLIN != 0 {
				return fmt.Errorf("bridge: the device %s is gone", b.devices[i].name)
			}
		}
	}
}

// nap is how long a system call may take that the Go runtime is not told of. Being
// told, it may give the processor to another goroutine, and afterwards has to find
// one again.
const nap = 5 * time.Millisecond

// poll waits.
func poll(fds []unix.PollFd, d time.Duration) error {
	for i := range fds {
		fds[i].Revents = 0
	}
	ts := unix.NsecToTimespec(int64(d))
	var err error
	if d > nap {
		_, err = unix.Ppoll(fds, &ts, nil)
	} else if _, _, e := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&fds[0])), uintptr(len(fds)), uintptr(unsafe.Pointer(&ts)), 0, 0, 0); e != 0 {
		err = e
	}
	if errors.Is(err, unix.EINTR) {
		return nil
	}
	return err
}

// read takes packets from a device and puts them onto the link, and returns how
// many.
func (b *Bridge) read(i int) int {
	for n := range batch {
		p, err := b.devices[i].read(b.page)
		if len(p) == 0 {
			b.note(err)
			return n
		}
		// What is due before this packet comes leaves before it. Whoever is late is
		// late for all: the instant is taken after the reading.
		if err := b.net.Run(time.Duration(b.now())); err != nil {
			b.note(err)
			return n
		}
		b.flows.see(p)
		b.ports[i].Send(p)
	}
	return batch
}

// Report returns what the bridge has done. Run must have returned.
func (b *Bridge) Report() *Report {
	n := b.net.Report()
	r := &Report{Title: b.file.Title, Seed: b.file.Seed, Duration: n.Duration, Realtime: b.realtime, Links: n.Links, Drops: n.Drops,
		Late: b.late.report(), Flows: b.flows.report(), Untold: b.flows.untold}
	for i, d := range b.devices {
		s := d.stats
		s.Name, s.Device = b.file.Ends[i].Name, d.name
		r.Ends = append(r.Ends, s)
	}
	return r
}

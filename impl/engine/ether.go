package engine

import (
	"math/rand/v2"
	"sync"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/impl/engine/neigh"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// An ether makes a link of IP packets from one of Ethernet frames: the machine of
// package neigh behind a lock, which is never held while the link or the stack is
// called. Packets of one caller stay in order; those that waited for a neighbour
// are sent by whoever takes in its answer.
type ether struct {
	link.Link
	stack *Stack
	timer clock.Timer
	spare sync.Pool // of *neigh.Frames

	mu       sync.Mutex
	machine  *neigh.Machine
	armed    clock.Time
	closed   bool
	recv     func([]link.Packet)
	reported [api.NumDropReasons]uint64 // drops that the observer knows of
}

func newEther(s *Stack, cfg *Config) (*ether, error) {
	e := &ether{Link: cfg.Link, stack: s, armed: clock.Never}
	m, err := neigh.New(s.clock.Now(), neigh.Config{
		Addresses:    cfg.Addresses,
		Gateways:     cfg.Gateways,
		HardwareAddr: wire.HardwareAddr(cfg.Link.Attributes().HardwareAddr),
		NoDetection:  cfg.NoDuplicateDetection,
		Rand:         rand.New(rand.NewPCG(s.rand.Uint64(), s.rand.Uint64())),
	})
	if err != nil {
		return nil, err
	}
	e.machine = m
	e.timer = s.clock.NewTimer(e.due)
	e.spare.New = func() any { return new(neigh.Frames) }
	return e, nil
}

// Attributes implements link.Link.
func (e *ether) Attributes() link.Attributes {
	a := e.Link.Attributes()
	a.Medium = link.IP
	return a
}

// Attach implements link.Link.
func (e *ether) Attach(recv func(batch []link.Packet)) error {
	e.recv = recv
	if err := e.Link.Attach(e.receive); err != nil {
		return err
	}
	e.due() // the first probe or announcement
	return nil
}

// receive takes frames from the link.
func (e *ether) receive(batch []link.Packet) {
	f := e.spare.Get().(*neigh.Frames)
	e.mu.Lock()
	now := e.stack.clock.Now()
	n := 0
	for i := range batch {
		if e.machine.Input(now, &batch[i], f) {
			batch[n] = batch[i]
			n++
		}
	}
	e.leave(f)
	if n > 0 {
		e.recv(batch[:n])
	}
}

// Send implements link.Link.
func (e *ether) Send(batch []link.Packet) error {
	f := e.spare.Get().(*neigh.Frames)
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return e.Link.Send(nil) // which says so
	}
	now := e.stack.clock.Now()
	for i := range batch {
		e.machine.Output(now, &batch[i], f)
	}
	return e.leave(f)
}

// due is called by the timer.
func (e *ether) due() {
	f := e.spare.Get().(*neigh.Frames)
	e.mu.Lock()
	e.armed = clock.Never
	if !e.closed {
		e.machine.Timeout(e.stack.clock.Now(), f)
	}
	e.leave(f)
}

// leave lets go of the lock, and does what the machine has asked for.
func (e *ether) leave(f *neigh.Frames) (err error) {
	if at := e.machine.Deadline(); at < e.armed && !e.closed {
		e.armed = at
		e.timer.Reset(at)
	}
	drops := e.newDrops()
	e.mu.Unlock()
	if len(f.Link) > 0 {
		err = e.Link.Send(f.Link)
	}
	if len(f.Up) > 0 {
		e.recv(f.Up)
	}
	for _, c := range f.Conflicts {
		if c.Lost {
			e.stack.log.Error("another station has our address: it is not used until that one has gone", "address", c.Addr, "by", c.By)
		} else {
			e.stack.log.Warn("another station claims our address", "address", c.Addr, "by", c.By)
		}
	}
	f.Reset()
	e.spare.Put(f)
	for _, d := range drops {
		d.hook(d.reason, d.n)
	}
	return err
}

type newDrop struct {
	hook   func(api.DropReason, uint64)
	reason api.DropReason
	n      uint64
}

// newDrops returns what the observer is to be told. The caller holds the lock.
func (e *ether) newDrops() (ds []newDrop) {
	o := e.stack.observer.Load()
	if o == nil || o.Drop == nil {
		return nil
	}
	st := e.machine.Stats()
	for r := range st.Drops {
		if d := st.Drops[r] - e.reported[r]; d > 0 {
			ds = append(ds, newDrop{o.Drop, api.DropReason(r), d})
		}
	}
	e.reported = st.Drops
	return ds
}

// observed counts what has been dropped so far as told.
func (e *ether) observed() {
	e.mu.Lock()
	e.reported = e.machine.Stats().Drops
	e.mu.Unlock()
}

// drops adds what the machine has dropped.
func (e *ether) drops(sum *[api.NumDropReasons]uint64) {
	e.mu.Lock()
	st := e.machine.Stats()
	e.mu.Unlock()
	for r, n := range st.Drops {
		sum[r] += n
	}
}

// Close implements link.Link.
func (e *ether) Close() error {
	e.mu.Lock()
	e.closed = true
	e.machine.Forget()
	e.mu.Unlock()
	e.timer.Stop()
	return e.Link.Close()
}

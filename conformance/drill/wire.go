package drill

import (
	"errors"
	"net"
	"sync"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/link"
)

// wire is the link of a host under test: what it sends goes to emit.
type wire struct {
	mtu  int
	emit func(raw []byte)

	mu     sync.Mutex
	recv   func([]link.Packet)
	closed bool
	stats  link.Stats

	running sync.RWMutex // held for reading while recv runs
}

var _ link.Link = (*wire)(nil)

// Attributes implements link.Link.
func (w *wire) Attributes() link.Attributes {
	return link.Attributes{Name: "drill", Medium: link.IP, MTU: w.mtu}
}

// Attach implements link.Link.
func (w *wire) Attach(recv func([]link.Packet)) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.recv != nil {
		return errors.New("attached already")
	}
	w.recv = recv
	return nil
}

// Send implements link.Link.
func (w *wire) Send(batch []link.Packet) error {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return net.ErrClosed
	}
	for i := range batch {
		w.stats.PacketsOut++
		w.stats.BytesOut += uint64(batch[i].Len())
	}
	w.mu.Unlock()
	for i := range batch {
		w.emit(batch[i].AppendTo(nil))
	}
	return nil
}

// Stats implements link.Link.
func (w *wire) Stats() link.Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stats
}

// Close implements link.Link.
func (w *wire) Close() error {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.running.Lock() // recv is not running
	defer w.running.Unlock()
	return nil
}

// deliver hands a packet to the host.
func (w *wire) deliver(raw []byte) {
	w.running.RLock()
	defer w.running.RUnlock()
	w.mu.Lock()
	recv, closed := w.recv, w.closed
	if !closed && recv != nil {
		w.stats.PacketsIn++
		w.stats.BytesIn += uint64(len(raw))
	}
	w.mu.Unlock()
	if !closed && recv != nil {
		recv([]link.Packet{{Payload: []api.Buffer{*api.CopyBuffer(raw)}}})
	}
}

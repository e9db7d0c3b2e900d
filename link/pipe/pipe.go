// Package pipe is a link in memory: what one end sends the other receives, at
// once, in the sender's goroutine. It has no queue, no goroutine and no clock,
// copies no payload, and loses nothing.
package pipe

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/link/internal/gate"
)

// Config describes a pipe. The zero value is a plain link of 1500 bytes.
type Config struct {
	// Name is the link's; the ends are called Name:a and Name:b. Default "pipe".
	Name string

	// MTU is the largest IP packet in bytes, 68 to 65535; 0 means 1500.
	MTU int

	// MaxGSO is the largest super-packet in bytes, up to 65535; 0 means none.
	// Super-packets cross the pipe whole.
	MaxGSO int

	// TxChecksum says that senders may leave transport checksums to the link.
	// The pipe leaves them undone, and the receiver is told so.
	TxChecksum bool

	// Unvouched keeps the link from vouching for checksums, so that the
	// receiver verifies them as it does with packets from a wire: for peers
	// that damage packets on purpose.
	Unvouched bool
}

// New returns the two ends of a pipe. It panics if cfg is impossible, as its
// fields are constants of a program; Check tells of a cfg that comes from
// elsewhere.
func New(cfg Config) (a, b *End) {
	if err := cfg.Check(); err != nil {
		panic("BUG: " + err.Error())
	}
	if cfg.Name == "" {
		cfg.Name = "pipe"
	}
	if cfg.MTU == 0 {
		cfg.MTU = 1500
	}
	a, b = newEnd(cfg, "a"), newEnd(cfg, "b")
	a.peer, b.peer = b, a
	return a, b
}

// Check returns an error that names the field that is wrong, if one is.
func (cfg Config) Check() error {
	if cfg.MTU != 0 && (cfg.MTU < 68 || cfg.MTU > 65535) {
		return fmt.Errorf("pipe: MTU %d is not between 68 and 65535", cfg.MTU)
	}
	if cfg.MaxGSO < 0 || cfg.MaxGSO > 65535 {
		return fmt.Errorf("pipe: MaxGSO %d is not between 0 and 65535", cfg.MaxGSO)
	}
	return nil
}

// End is one end of a pipe. It implements [link.Link].
//
// Send calls the other end's recv before it returns, and that may send in
// turn. Close of one end leaves the other working: what it sends is dropped
// and counted.
type End struct {
	attr    link.Attributes
	vouched bool
	peer    *End
	gate    *gate.Gate
	recv    atomic.Pointer[func([]link.Packet)]

	packetsIn, bytesIn   atomic.Uint64
	packetsOut, bytesOut atomic.Uint64
	dropsOut             atomic.Uint64
}

var _ link.Link = (*End)(nil)

func newEnd(cfg Config, suffix string) *End {
	return &End{
		attr: link.Attributes{
			Name:       cfg.Name + ":" + suffix,
			Medium:     link.IP,
			MTU:        cfg.MTU,
			MaxGSO:     cfg.MaxGSO,
			TxChecksum: cfg.TxChecksum,
		},
		vouched: !cfg.Unvouched,
		gate:    gate.New(),
	}
}

// Attributes implements [link.Link].
func (e *End) Attributes() link.Attributes { return e.attr }

// Attach implements [link.Link].
func (e *End) Attach(recv func(batch []link.Packet)) error {
	if recv == nil {
		return fmt.Errorf("link %s: Attach of a nil function", e.attr.Name)
	}
	if e.gate.Closed() {
		return e.errClosed()
	}
	if !e.recv.CompareAndSwap(nil, &recv) {
		return fmt.Errorf("link %s is attached already", e.attr.Name)
	}
	return nil
}

// batches has slices for the packets under way; calls nest, so that one a link
// would not do.
var batches = sync.Pool{New: func() any { return new([]link.Packet) }}

// Send implements [link.Link]. It calls the other end's recv.
func (e *End) Send(batch []link.Packet) error {
	if e.gate.Closed() {
		return e.errClosed()
	}
	p := e.peer
	recv := p.recv.Load()
	if recv == nil || !p.gate.Enter() {
		e.dropsOut.Add(uint64(len(batch)))
		return nil
	}
	defer p.gate.Leave()

	// What crosses is the sender's headers, which stay as they are until recv
	// returns, and views of its payload: nothing is copied. The views stand in
	// a slice of their own, which is the receiver's to keep.
	out := batches.Get().(*[]link.Packet)
	var bytes uint64
	pieces := 0
	for i := range batch {
		pieces += len(batch[i].Payload)
	}
	views := make([]api.Buffer, 0, pieces)
	for i := range batch {
		p := &batch[i]
		n := p.Len()
		if !e.fits(n, &p.Offload) {
			e.dropsOut.Add(1)
			continue
		}
		first := len(views)
		for j := range p.Payload {
			if k := p.Payload[j].Len(); k > 0 {
				views = append(views, p.Payload[j].View(0, k))
			}
		}
		c := link.Packet{Header: p.Header, Payload: views[first:len(views):len(views)], Offload: p.Offload}
		c.Offload.Vouched = e.vouched
		*out = append(*out, c)
		bytes += uint64(n)
	}
	if n := uint64(len(*out)); n > 0 {
		e.packetsOut.Add(n)
		e.bytesOut.Add(bytes)
		p.packetsIn.Add(n)
		p.bytesIn.Add(bytes)
		(*recv)(*out)
	}
	clear(*out)
	*out = (*out)[:0]
	batches.Put(out)
	return nil
}

// fits reports whether the link takes a packet of n bytes.
func (e *End) fits(n int, o *link.Offload) bool {
	if o.GSOSize != 0 {
		return n <= e.attr.MaxGSO && int(o.GSOSize) < e.attr.MTU
	}
	return 0 < n && n <= e.attr.MTU
}

// Stats implements [link.Link].
func (e *End) Stats() link.Stats {
	return link.Stats{
		PacketsIn:  e.packetsIn.Load(),
		BytesIn:    e.bytesIn.Load(),
		PacketsOut: e.packetsOut.Load(),
		BytesOut:   e.bytesOut.Load(),
		DropsOut:   e.dropsOut.Load(),
	}
}

// Close implements [link.Link].
func (e *End) Close() error {
	e.gate.Close()
	return nil
}

func (e *End) errClosed() error { return fmt.Errorf("link %s: %w", e.attr.Name, net.ErrClosed) }

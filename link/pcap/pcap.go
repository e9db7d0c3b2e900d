// Package pcap records what crosses a link, as pcapng that Wireshark, tshark and
// tcpdump read, and plays captures into a stack.
package pcap

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
)

// Config says how to record.
type Config struct {
	// SnapLen is how many bytes of each packet are kept; 0 means all.
	SnapLen int

	// OnError, if not nil, is called once when the file cannot be written.
	// Recording ends then; the link goes on. It is called by whoever was
	// sending or receiving, and must not block or call the link.
	OnError func(error)
}

// Wrap returns a link that does what l does and records it on w, timed by clk.
// It is [New] with an empty Config.
func Wrap(l link.Link, w io.Writer, clk clock.Clock) (link.Link, error) {
	return New(l, w, clk, Config{})
}

// New returns a link that does what l does and records it on w, timed by clk:
// received packets before the stack sees them, sent ones before l does, those
// included that l then drops.
//
// The two directions are two interfaces of the file, named "in" and "out" after
// the link's name. Super-packets are recorded whole, and checksums that are left
// to the link as they are, unfinished.
//
// Records are buffered: Flush writes them out, and so does Close. Neither closes
// w. An error is returned if the head of the file cannot be written; l remains
// the caller's then.
func New(l link.Link, w io.Writer, clk clock.Clock, cfg Config) (*Link, error) {
	if cfg.SnapLen < 0 {
		return nil, fmt.Errorf("pcap: SnapLen %d is negative", cfg.SnapLen)
	}
	at := l.Attributes()
	linkType := layers.LinkTypeRaw
	if at.Medium == link.Ethernet {
		linkType = layers.LinkTypeEthernet
	}
	face := pcapgo.NgInterface{
		Name:        at.Name + " in",
		Description: "packets received by the stack",
		LinkType:    linkType,
		SnapLength:  uint32(cfg.SnapLen),
	}
	opts := pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{
		Hardware: runtime.GOARCH, OS: runtime.GOOS, Application: "sluice",
	}}
	ng, err := pcapgo.NewNgWriterInterface(w, face, opts)
	if err == nil {
		face.Name, face.Description = at.Name+" out", "packets sent by the stack"
		_, err = ng.AddInterface(face)
	}
	if err == nil {
		err = ng.Flush()
	}
	if err != nil {
		return nil, fmt.Errorf("pcap: cannot begin the capture of link %s: %w", at.Name, err)
	}
	return &Link{inner: l, clk: clk, cfg: cfg, ng: ng}, nil
}

// The indices of the interfaces in the file.
const (
	in  = 0
	out = 1
)

// Link is a link that is recorded. It implements [link.Link].
type Link struct {
	inner link.Link
	clk   clock.Clock
	cfg   Config

	mu    sync.Mutex
	ng    *pcapgo.NgWriter // nil once recording has ended
	err   error            // why, if it was not Close
	bytes []byte           // of the packet that is being recorded
}

var _ link.Link = (*Link)(nil)

// Attributes implements [link.Link].
func (l *Link) Attributes() link.Attributes { return l.inner.Attributes() }

// Stats implements [link.Link]. They are those of the link within.
func (l *Link) Stats() link.Stats { return l.inner.Stats() }

// Attach implements [link.Link].
func (l *Link) Attach(recv func(batch []link.Packet)) error {
	if recv == nil {
		return l.inner.Attach(nil) // which says what is wrong
	}
	return l.inner.Attach(func(batch []link.Packet) {
		l.record(in, batch)
		recv(batch)
	})
}

// Send implements [link.Link].
func (l *Link) Send(batch []link.Packet) error {
	l.record(out, batch)
	return l.inner.Send(batch)
}

// Close implements [link.Link]. It closes the link within and ends the
// recording, whose error it returns if the file could not be written.
func (l *Link) Close() error {
	err := l.inner.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ng != nil {
		if err := l.ng.Flush(); err != nil {
			l.fail(err)
		}
		l.ng = nil
	}
	recording := l.err
	l.err = nil // reported
	return errors.Join(err, recording)
}

// Flush writes out what has been recorded.
func (l *Link) Flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ng == nil {
		return l.err
	}
	if err := l.ng.Flush(); err != nil {
		l.fail(err)
	}
	return l.err
}

// fail ends the recording. The caller holds mu.
func (l *Link) fail(err error) {
	l.ng = nil
	l.err = fmt.Errorf("pcap: the capture of link %s has ended: %w", l.inner.Attributes().Name, err)
	if l.cfg.OnError != nil {
		l.cfg.OnError(l.err)
	}
}

// record writes a batch. The time is taken with the lock held, so that it never
// goes back within a file.
func (l *Link) record(face int, batch []link.Packet) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ng == nil {
		return
	}
	now := l.clk.Wall(l.clk.Now())
	for i := range batch {
		l.bytes = batch[i].AppendTo(l.bytes[:0])
		b := l.bytes
		if l.cfg.SnapLen > 0 {
			b = b[:min(len(b), l.cfg.SnapLen)]
		}
		ci := gopacket.CaptureInfo{
			Timestamp: now, InterfaceIndex: face,
			CaptureLength: len(b), Length: len(l.bytes),
		}
		if err := l.ng.WritePacket(ci, b); err != nil {
			l.fail(err)
			return
		}
	}
}

package pcap

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/link/internal/gate"
)

// ReplayConfig says how to play a capture. Reader and Clock are compulsory.
type ReplayConfig struct {
	Name string // the link's; default "replay"

	// Reader has the capture, as pcap or pcapng, of Ethernet frames or of bare
	// IP packets. Close closes it if it is an io.Closer.
	Reader io.Reader

	// Clock times the packets, from Attach on.
	Clock clock.Clock

	// Speed divides the times between packets: 1 plays them as they were
	// recorded, 10 ten times as fast. 0 plays as fast as the stack takes them.
	Speed float64

	// Interface, if not "", plays only what was recorded on the interface of
	// that name in a pcapng file: "x in" for what the stack received in a
	// capture that [New] has made of a link x.
	Interface string

	// HardwareAddr is the Ethernet address that the stack has on a capture of
	// Ethernet frames: that of the host whose packets it is to take.
	HardwareAddr [6]byte

	// MTU is the largest IP packet that the stack sends; 0 means 1500. What is
	// played may be longer: captures show super-packets.
	MTU int

	// OnEnd, if not nil, is called once when the last packet has been played,
	// with nil, or when the file cannot be read on. It may call Close.
	OnEnd func(error)
}

// replayBatch is how many packets are handed over at a time.
const replayBatch = 64

// Replay is a link on which the packets of a capture arrive. What the stack sends is
// counted and goes nowhere, so that it can answer a capture, and not talk with it:
// the peers in the capture do not react to what it says. Packets that were not
// recorded whole are dropped and counted.
type Replay struct {
	attr link.Attributes
	cfg  ReplayConfig
	next func() (packet []byte, at time.Time, whole bool, err error)
	gate *gate.Gate

	mu       sync.Mutex // held while playing, too
	recv     func([]link.Packet)
	attached atomic.Bool
	timer    clock.Timer
	start    clock.Time // when the first packet was played
	first    time.Time  // when it was recorded
	begun    bool
	ahead    *link.Packet // read, and not yet due
	due      clock.Time

	closing                                 sync.Once
	packetsIn, bytesIn, dropsIn, packetsOut atomic.Uint64
	bytesOut                                atomic.Uint64
}

var _ link.Link = (*Replay)(nil)

// NewReplay returns a link that plays a capture once it is attached. An error is
// returned if the head of the capture makes no sense; the Reader remains the
// caller's then.
func NewReplay(cfg ReplayConfig) (*Replay, error) {
	if cfg.Name == "" {
		cfg.Name = "replay"
	}
	switch {
	case cfg.Reader == nil || cfg.Clock == nil:
		return nil, errors.New("replay: Reader and Clock are compulsory")
	case !(cfg.Speed >= 0):
		return nil, fmt.Errorf("replay: Speed %v is negative", cfg.Speed)
	case cfg.MTU != 0 && (cfg.MTU < 68 || cfg.MTU > 65535):
		return nil, fmt.Errorf("replay: MTU %d is not between 68 and 65535", cfg.MTU)
	case cfg.MTU == 0:
		cfg.MTU = 1500
	}
	r := &Replay{cfg: cfg, gate: gate.New()}
	linkType, err := r.open()
	if err != nil {
		return nil, fmt.Errorf("replay: the capture cannot be read: %w", err)
	}
	r.attr = link.Attributes{Name: cfg.Name, MTU: cfg.MTU}
	switch linkType {
	case layers.LinkTypeEthernet:
		r.attr.Medium, r.attr.HardwareAddr = link.Ethernet, cfg.HardwareAddr
	case layers.LinkTypeRaw, layers.LinkTypeIPv4, layers.LinkTypeIPv6, 12, 14: // DLT_RAW has had other numbers
	default:
		return nil, fmt.Errorf("replay: the capture is of link type %v: only Ethernet and raw IP can be played", linkType)
	}
	r.timer = cfg.Clock.NewTimer(r.play)
	return r, nil
}

// open finds out which format the capture has.
func (r *Replay) open() (layers.LinkType, error) {
	in := bufio.NewReader(r.cfg.Reader)
	magic, err := in.Peek(4)
	if err != nil {
		return 0, err
	}
	if [4]byte(magic) != [4]byte{0x0a, 0x0d, 0x0d, 0x0a} {
		if r.cfg.Interface != "" {
			return 0, errors.New("a pcap file names no interfaces, only pcapng does")
		}
		p, err := pcapgo.NewReader(in)
		if err != nil {
			return 0, err
		}
		r.next = func() ([]byte, time.Time, bool, error) {
			b, ci, err := p.ReadPacketData()
			return b, ci.Timestamp, ci.CaptureLength == ci.Length, err
		}
		return p.LinkType(), nil
	}
	ng, err := pcapgo.NewNgReader(in, pcapgo.NgReaderOptions{})
	if err != nil {
		return 0, err
	}
	r.next = func() (b []byte, at time.Time, whole bool, err error) {
		for {
			var ci gopacket.CaptureInfo
			if b, ci, err = ng.ReadPacketData(); err != nil {
				return nil, at, false, err
			}
			if r.cfg.Interface != "" {
				face, err := ng.Interface(ci.InterfaceIndex)
				if err != nil {
					return nil, at, false, err
				}
				if face.Name != r.cfg.Interface {
					continue
				}
			}
			return b, ci.Timestamp, ci.CaptureLength == ci.Length, nil
		}
	}
	return ng.LinkType(), nil
}

// Attributes implements [link.Link].
func (r *Replay) Attributes() link.Attributes { return r.attr }

// Stats implements [link.Link].
func (r *Replay) Stats() link.Stats {
	return link.Stats{
		PacketsIn: r.packetsIn.Load(), BytesIn: r.bytesIn.Load(), DropsIn: r.dropsIn.Load(),
		PacketsOut: r.packetsOut.Load(), BytesOut: r.bytesOut.Load(),
	}
}

// Attach implements [link.Link]. It starts playing.
func (r *Replay) Attach(recv func(batch []link.Packet)) error {
	if recv == nil {
		return fmt.Errorf("link %s: Attach of a nil function", r.attr.Name)
	}
	if r.gate.Closed() {
		return r.errClosed()
	}
	if !r.attached.CompareAndSwap(false, true) {
		return fmt.Errorf("link %s is attached already", r.attr.Name)
	}
	r.mu.Lock()
	r.recv = recv
	r.mu.Unlock()
	r.timer.Reset(r.cfg.Clock.Now())
	return nil
}

// play hands over what is due. The timer calls it.
func (r *Replay) play() {
	if !r.gate.Enter() {
		return
	}
	r.mu.Lock()
	batch := make([]link.Packet, 0, replayBatch)
	err := error(nil)
	for len(batch) < replayBatch && err == nil {
		if r.ahead == nil {
			if err = r.read(); err != nil {
				break
			}
			continue
		}
		if r.due > r.cfg.Clock.Now() {
			break
		}
		n := uint64(r.ahead.Len())
		r.packetsIn.Add(1)
		r.bytesIn.Add(n)
		batch = append(batch, *r.ahead)
		r.ahead = nil
	}
	if len(batch) > 0 {
		r.recv(batch)
	}
	if err == nil {
		at := r.cfg.Clock.Now()
		if r.ahead != nil {
			at = r.due
		}
		r.timer.Reset(at)
	}
	r.mu.Unlock()
	r.gate.Leave()
	if err != nil && r.cfg.OnEnd != nil {
		if err == io.EOF {
			r.cfg.OnEnd(nil)
		} else {
			r.cfg.OnEnd(fmt.Errorf("link %s: the capture cannot be read on: %w", r.attr.Name, err))
		}
	}
}

// read reads the next packet, if it is whole.
func (r *Replay) read() error {
	b, at, whole, err := r.next()
	if err != nil {
		return err
	}
	if !whole || len(b) == 0 {
		r.dropsIn.Add(1)
		return nil
	}
	now := r.cfg.Clock.Now()
	if !r.begun {
		r.begun, r.start, r.first = true, now, at
	}
	r.due = now
	if r.cfg.Speed > 0 {
		// Files may go back in time; what is late is played at once.
		r.due = r.start.Add(time.Duration(float64(at.Sub(r.first)) / r.cfg.Speed))
	}
	r.ahead = &link.Packet{Payload: []api.Buffer{*api.CopyBuffer(b)}}
	return nil
}

// Send implements [link.Link]. The packets go nowhere.
func (r *Replay) Send(batch []link.Packet) error {
	if r.gate.Closed() {
		return r.errClosed()
	}
	for i := range batch {
		r.packetsOut.Add(1)
		r.bytesOut.Add(uint64(batch[i].Len()))
	}
	return nil
}

// Close implements [link.Link].
func (r *Replay) Close() (err error) {
	r.gate.Close()
	r.timer.Stop()
	r.closing.Do(func() {
		if c, ok := r.cfg.Reader.(io.Closer); ok {
			err = c.Close()
		}
	})
	return err
}

func (r *Replay) errClosed() error { return fmt.Errorf("link %s: %w", r.attr.Name, net.ErrClosed) }

// Package link is the contract between a stack and a network: what a [Link] is
// and what crosses it.
package link

import "github.com/sluicenet/sluice/api"

// A Link moves IP packets (or Ethernet frames) between a stack and a network.
//
// A link pushes: what it receives it hands to the function given to Attach,
// from a goroutine that the driver owns or, for links within the process, from
// whoever sends. It never queues without a bound: a link that is full drops, as
// networks do, and counts.
type Link interface {
	// Attributes do not change over the life of a link.
	Attributes() Attributes

	// Attach starts receiving. recv is called with batches of packets, perhaps
	// from several goroutines at once, each of which keeps its packets in
	// order. The batch itself and the Header of each packet are valid until
	// recv returns; the Payload of each packet belongs to the receiver, who
	// releases it. recv does not block. Attach may be called once.
	Attach(recv func(batch []Packet)) error

	// Send transmits packets in order. It reads or copies every byte before
	// it returns, or takes Views of the Payload: the Payload remains the
	// caller's. It does not wait for the network; packets that the link has
	// no room for are dropped and counted, which is no error. Send may be
	// called from several goroutines at once, also from within recv.
	// After Close the error matches net.ErrClosed.
	Send(batch []Packet) error

	// Stats returns what has been counted so far.
	Stats() Stats

	// Close stops both directions. When it returns recv is not running and
	// will not run again. It must not be called from within recv.
	// Closing again does nothing.
	Close() error
}

// Attributes say what a link is and can do.
type Attributes struct {
	Name   string
	Medium Medium
	MTU    int // largest IP packet, in bytes

	// MaxGSO is the largest super-packet that Send takes, in bytes with its IP
	// header; 0 if none, and Send then takes nothing longer than the MTU.
	MaxGSO int

	// TxChecksum says that Send completes transport checksums of packets whose
	// Offload asks for it.
	TxChecksum bool

	// HardwareAddr is the link's Ethernet address.
	HardwareAddr [6]byte
}

// Medium is what a link carries.
type Medium uint8

// The media.
const (
	IP       Medium = iota // bare IP packets, as a TUN device
	Ethernet               // Ethernet frames: the stack runs ARP and NDP
)

// A Packet is one IP packet, or one super-packet that stands for several:
// the bytes of Header followed by those of Payload. IP and transport headers
// are contiguous: either all of them are in Header, or Header is empty and they
// are at the beginning of Payload[0].
type Packet struct {
	Header  []byte
	Payload []api.Buffer
	Offload Offload
}

// Offload tells what has been left to the other side, after virtio's
// virtio_net_hdr. The zero value is a plain, complete packet.
type Offload struct {
	// GSOSize, if not 0, makes this a super-packet: each segment but the last
	// has that many bytes of TCP payload.
	GSOSize uint16

	// NeedsChecksum says that the transport checksum holds only the sum of the
	// pseudo-header, and that the rest is to be summed from ChecksumStart
	// (counted from the start of the IP header) and stored ChecksumOffset
	// further on.
	NeedsChecksum                 bool
	ChecksumStart, ChecksumOffset uint16

	// Vouched says that the link vouches for the transport checksum: the
	// packet never left this machine, or the device has verified it. A
	// received packet with NeedsChecksum is vouched for as well.
	Vouched bool
}

// Len returns the number of bytes of the packet.
func (p *Packet) Len() int {
	n := len(p.Header)
	for i := range p.Payload {
		n += p.Payload[i].Len()
	}
	return n
}

// AppendTo appends the packet's bytes to b.
func (p *Packet) AppendTo(b []byte) []byte {
	b = append(b, p.Header...)
	for i := range p.Payload {
		b = append(b, p.Payload[i].Bytes()...)
	}
	return b
}

// Copy returns the packet's bytes as one received packet: Header is empty, and
// Payload is one buffer that shares no memory with p.
func (p *Packet) Copy() Packet {
	b := api.Alloc(p.Len())
	p.AppendTo(b.Bytes()[:0])
	return Packet{Payload: []api.Buffer{*b}, Offload: p.Offload}
}

// Release releases the payload.
func (p *Packet) Release() {
	for i := range p.Payload {
		p.Payload[i].Release()
	}
	p.Payload = nil
}

// Stats counts a link's packets and bytes since it was made.
type Stats struct {
	PacketsIn, BytesIn   uint64 // handed to the stack
	PacketsOut, BytesOut uint64 // taken from the stack and sent
	DropsIn, DropsOut    uint64 // lost in the link for want of room, or malformed
	Errors               uint64 // system calls that failed
}

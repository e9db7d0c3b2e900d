// Package virtio translates between offload facts and the header that TUN, TAP and
// packet sockets put before what they carry.
package virtio

import (
	"encoding/binary"

	"github.com/sluicenet/sluice/api/link"
)

// HeaderLen is the length of the struct virtio_net_hdr before every packet
// (Virtio 1.3, section 5.1.6), in its legacy form: the machine's byte order and no
// num_buffers, which is what Linux uses unless told otherwise.
//
//	0 flags  1 gso_type  2 hdr_len  4 gso_size  6 csum_start  8 csum_offset
const HeaderLen = 10

// Specification constants.
const (
	flagNeedsChecksum = 1 // VIRTIO_NET_HDR_F_NEEDS_CSUM
	flagDataValid     = 2 // VIRTIO_NET_HDR_F_DATA_VALID

	gsoNone  = 0    // VIRTIO_NET_HDR_GSO_NONE
	gsoTCPv4 = 1    // VIRTIO_NET_HDR_GSO_TCPV4
	gsoTCPv6 = 4    // VIRTIO_NET_HDR_GSO_TCPV6
	gsoECN   = 0x80 // VIRTIO_NET_HDR_GSO_ECN: CWR is for the first segment alone
)

// Parse reads the header h of a received packet of n bytes that begins with head.
// l2 is how many bytes precede the IP header: 14 for Ethernet. ok is false if the
// header makes no sense.
func Parse(h, head []byte, n, l2 int) (o link.Offload, ok bool) {
	if len(h) < HeaderLen {
		return o, false
	}
	start, offset := binary.NativeEndian.Uint16(h[6:]), binary.NativeEndian.Uint16(h[8:])
	switch {
	case h[0]&flagNeedsChecksum != 0:
		if int(start)+int(offset)+2 > n || int(start) < l2 {
			return o, false
		}
		start -= uint16(l2)
		o.NeedsChecksum, o.ChecksumStart, o.ChecksumOffset = true, start, offset
		o.Vouched = true // it has not left this machine
	case h[0]&flagDataValid != 0:
		o.Vouched = true
	}
	switch h[1] &^ gsoECN {
	case gsoNone:
		return o, true
	case gsoTCPv4, gsoTCPv6:
		o.GSOSize = binary.NativeEndian.Uint16(h[4:])
		version := byte(4)
		if h[1]&^gsoECN == gsoTCPv6 {
			version = 6
		}
		return o, o.GSOSize != 0 && len(head) > l2 && head[l2]>>4 == version
	}
	return o, false
}

// Emit writes into h the header of a packet of n bytes that begins with head, its
// headers up to the transport's at least. ok is false if o makes no sense for the
// packet.
func Emit(h []byte, o *link.Offload, head []byte, n, l2 int) (ok bool) {
	h = h[:HeaderLen]
	clear(h)
	if o.NeedsChecksum {
		if l2+int(o.ChecksumStart)+int(o.ChecksumOffset)+2 > n {
			return false
		}
		h[0] = flagNeedsChecksum
		binary.NativeEndian.PutUint16(h[6:], o.ChecksumStart+uint16(l2))
		binary.NativeEndian.PutUint16(h[8:], o.ChecksumOffset)
	}
	if o.GSOSize == 0 {
		return true
	}
	// A super-packet: each segment gets a checksum of its own, so that there
	// has to be one to compute.
	tcp := l2 + int(o.ChecksumStart)
	if !o.NeedsChecksum || len(head) < tcp+20 || len(head) == 0 {
		return false
	}
	switch head[l2] >> 4 {
	case 4:
		h[1] = gsoTCPv4
	case 6:
		h[1] = gsoTCPv6
	default:
		return false
	}
	headers := tcp + int(head[tcp+12]>>4)*4
	if headers < tcp+20 || headers > len(head) || headers >= n {
		return false
	}
	const cwr = 0x80
	if head[tcp+13]&cwr != 0 {
		h[1] |= gsoECN
	}
	binary.NativeEndian.PutUint16(h[2:], uint16(headers))
	binary.NativeEndian.PutUint16(h[4:], o.GSOSize)
	return true
}

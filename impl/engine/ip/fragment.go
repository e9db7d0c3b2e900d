package ip

import (
	"encoding/binary"

	"github.com/sluicenet/sluice/impl/engine/wire"
)

// Fragment cuts a whole packet of ours, which has no extension headers, into
// fragments of at most mtu bytes, and calls emit with each; the slice is not
// kept. Of the packets that a host originates, only long ICMP messages need it.
func Fragment(b []byte, mtu int, id uint32, emit func([]byte)) {
	if b[0]>>4 == 4 {
		fragment4(b, mtu, uint16(id), emit)
		return
	}
	const hl = wire.IPv6HeaderLen
	step := (mtu - hl - wire.IPv6FragHeaderLen) &^ 7
	if step < 8 {
		panic("BUG: MTU too small to fragment")
	}
	data := b[hl:]
	out := make([]byte, 0, mtu)
	for off := 0; off < len(data); off += step {
		n := min(step, len(data)-off)
		out = append(out[:0], b[:hl]...)
		binary.BigEndian.PutUint16(out[4:], uint16(wire.IPv6FragHeaderLen+n))
		out[6] = wire.ProtoFragment
		out = out[:hl+wire.IPv6FragHeaderLen]
		f := wire.IPv6Fragment{NextHeader: b[6], Offset: off, More: off+n < len(data), ID: id}
		f.Emit(out[hl:])
		emit(append(out, data[off:off+n]...))
	}
}

func fragment4(b []byte, mtu int, id uint16, emit func([]byte)) {
	h, hl, ok := wire.ParseIPv4(b)
	step := (mtu - hl) &^ 7
	if !ok || step < 8 {
		panic("BUG: packet that cannot be fragmented")
	}
	data := b[hl:h.TotalLen]
	out := make([]byte, 0, mtu)
	for off := 0; off < len(data); off += step {
		n := min(step, len(data)-off)
		h.TotalLen, h.ID, h.DF = uint16(hl+n), id, false
		h.FragOffset, h.MF = off, off+n < len(data)
		out = out[:hl]
		h.Emit(out)
		emit(append(out, data[off:off+n]...))
	}
}

package virtio

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/sluicenet/sluice/api/link"
)

// header returns a virtio header of these fields.
func header(flags, gso byte, hdrLen, gsoSize, start, offset uint16) []byte {
	h := []byte{flags, gso}
	for _, v := range []uint16{hdrLen, gsoSize, start, offset} {
		h = binary.NativeEndian.AppendUint16(h, v)
	}
	return h
}

// shift returns the same header for a packet behind an Ethernet header.
func shift(h []byte) []byte {
	if len(h) < HeaderLen || binary.NativeEndian.Uint16(h[6:]) > 65000 {
		return nil
	}
	h = bytes.Clone(h)
	if h[0]&flagNeedsChecksum != 0 {
		binary.NativeEndian.PutUint16(h[6:], binary.NativeEndian.Uint16(h[6:])+14)
	}
	if n := binary.NativeEndian.Uint16(h[2:]); n != 0 {
		binary.NativeEndian.PutUint16(h[2:], n+14)
	}
	return h
}

func TestParse(t *testing.T) {
	v4, v6 := []byte{0x45}, []byte{0x60}
	for _, tt := range []struct {
		name string
		h    []byte
		head []byte
		n    int
		want link.Offload
		ok   bool
	}{
		{"plain", header(0, 0, 0, 0, 0, 0), v4, 100, link.Offload{}, true},
		{"verified", header(2, 0, 0, 0, 0, 0), v4, 100, link.Offload{Vouched: true}, true},
		{"unfinished", header(1, 0, 0, 0, 20, 16), v4, 100, link.Offload{NeedsChecksum: true, ChecksumStart: 20, ChecksumOffset: 16, Vouched: true}, true},
		{"checksum at the very end", header(1, 0, 0, 0, 82, 16), v4, 100, link.Offload{NeedsChecksum: true, ChecksumStart: 82, ChecksumOffset: 16, Vouched: true}, true},
		{"checksum beyond", header(1, 0, 0, 0, 83, 16), v4, 100, link.Offload{}, false},
		{"checksum far beyond", header(1, 0, 0, 0, 65535, 65535), v4, 100, link.Offload{}, false},
		{"super-packet", header(1, 1, 40, 1460, 20, 16), v4, 9000, link.Offload{NeedsChecksum: true, ChecksumStart: 20, ChecksumOffset: 16, Vouched: true, GSOSize: 1460}, true},
		{"super-packet, IPv6, CWR", header(1, 0x84, 60, 1440, 40, 16), v6, 9000, link.Offload{NeedsChecksum: true, ChecksumStart: 40, ChecksumOffset: 16, Vouched: true, GSOSize: 1440}, true},
		{"super-packet without a size", header(1, 1, 40, 0, 20, 16), v4, 9000, link.Offload{}, false},
		{"super-packet of the other family", header(1, 4, 40, 1460, 20, 16), v4, 9000, link.Offload{}, false},
		{"UDP", header(1, 5, 28, 1460, 20, 6), v4, 9000, link.Offload{}, false},
		{"short", make([]byte, 9), v4, 100, link.Offload{}, false},
	} {
		o, ok := Parse(tt.h, tt.head, tt.n, 0)
		if ok != tt.ok || ok && o != tt.want {
			t.Errorf("%s: %+v %v, want %+v %v", tt.name, o, ok, tt.want, tt.ok)
		}
		// The same behind an Ethernet header.
		if h := shift(tt.h); h != nil {
			if o, ok := Parse(h, append(make([]byte, 14), tt.head...), tt.n+14, 14); ok != tt.ok || ok && o != tt.want {
				t.Errorf("%s, Ethernet: %+v %v, want %+v %v", tt.name, o, ok, tt.want, tt.ok)
			}
		}
	}
}

// tcpPacket returns a TCP segment with the checksum of its pseudo-header alone.
func tcpPacket(t *testing.T, v6 bool, n int, opts []layers.TCPOption, set func(*layers.TCP)) []byte {
	t.Helper()
	tcp := &layers.TCP{SrcPort: 1, DstPort: 2, ACK: true, Window: 1000, Options: opts}
	if set != nil {
		set(tcp)
	}
	b := gopacket.NewSerializeBuffer()
	var ip gopacket.SerializableLayer = &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: make([]byte, 4), DstIP: make([]byte, 4)}
	if v6 {
		ip = &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolTCP, SrcIP: make([]byte, 16), DstIP: make([]byte, 16)}
	}
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true}, ip, tcp, gopacket.Payload(make([]byte, n))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestEmit(t *testing.T) {
	ts := []layers.TCPOption{{OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: make([]byte, 8)}}
	v4 := link.Offload{GSOSize: 1000, NeedsChecksum: true, ChecksumStart: 20, ChecksumOffset: 16}
	v6 := v4
	v6.ChecksumStart = 40
	p4, p6 := tcpPacket(t, false, 3000, ts, nil), tcpPacket(t, true, 3000, nil, nil)
	cwr := tcpPacket(t, false, 3000, nil, func(tcp *layers.TCP) { tcp.CWR = true })
	edit := func(o link.Offload, f func(*link.Offload)) link.Offload { f(&o); return o }
	for _, tt := range []struct {
		name string
		o    link.Offload
		p    []byte
		want []byte // nil: refused
	}{
		{"plain", link.Offload{}, p4, header(0, 0, 0, 0, 0, 0)},
		{"vouched is not for the wire", link.Offload{Vouched: true}, p4, header(0, 0, 0, 0, 0, 0)},
		{"unfinished", edit(v4, func(o *link.Offload) { o.GSOSize = 0 }), p4, header(1, 0, 0, 0, 20, 16)},
		{"super-packet", v4, p4, header(1, 1, 52, 1000, 20, 16)},
		{"super-packet, IPv6", v6, p6, header(1, 4, 60, 1000, 40, 16)},
		{"super-packet, CWR", v4, cwr, header(1, 0x81, 40, 1000, 20, 16)},
		{"super-packet with finished checksum", edit(v4, func(o *link.Offload) { o.NeedsChecksum = false }), p4, nil},
		{"checksum beyond the end", edit(v4, func(o *link.Offload) { o.GSOSize, o.ChecksumStart = 0, 60000 }), p4, nil},
		{"transport header beyond the end", edit(v4, func(o *link.Offload) { o.ChecksumStart = uint16(len(p4)) - 19 }), p4, nil},
		{"headers but no data", v4, tcpPacket(t, false, 0, nil, nil), nil},
		{"no IP version", v4, make([]byte, 4000), nil},
	} {
		h := bytes.Repeat([]byte{0xff}, HeaderLen)
		ok := Emit(h, &tt.o, tt.p, len(tt.p), 0)
		e := bytes.Repeat([]byte{0xff}, HeaderLen)
		if eok := Emit(e, &tt.o, append(make([]byte, 14), tt.p...), len(tt.p)+14, 14); eok != ok || ok && !bytes.Equal(e, shift(h)) {
			t.Errorf("%s, Ethernet: %x %v, want %x", tt.name, e, eok, shift(h))
		}
		if ok != (tt.want != nil) || ok && !bytes.Equal(h, tt.want) {
			t.Errorf("%s: %x %v, want %x", tt.name, h, ok, tt.want)
		}
	}
	if h := make([]byte, HeaderLen); Emit(h, &v4, p4[:45], len(p4), 0) {
		t.Error("headers that are not contiguous were accepted")
	}
}

// Nothing that a device says, and nothing that a packet holds, causes a panic;
// what is accepted can be sent on as it is.
func FuzzHeader(f *testing.F) {
	f.Add(header(1, 1, 40, 1460, 20, 16), make([]byte, 100), 100, false)
	f.Add(header(2, 0x84, 40, 1460, 40, 16), []byte{0x60}, 65535, true)
	f.Add([]byte{}, []byte{}, 0, true)
	f.Fuzz(func(t *testing.T, h, head []byte, n int, ethernet bool) {
		l2 := 0
		if ethernet {
			l2 = 14
		}
		n = max(n&0xffff, len(head))
		o, ok := Parse(h, head, n, l2)
		if !ok {
			return
		}
		if o.NeedsChecksum && l2+int(o.ChecksumStart)+int(o.ChecksumOffset)+2 > n {
			t.Fatalf("checksum beyond the end of %d bytes: %+v", n, o)
		}
		var again [HeaderLen]byte
		if !Emit(again[:], &o, head, n, l2) {
			return
		}
		if p, ok := Parse(again[:], head, n, l2); !ok || p.GSOSize != o.GSOSize || p.NeedsChecksum != o.NeedsChecksum ||
			p.ChecksumStart != o.ChecksumStart || p.ChecksumOffset != o.ChecksumOffset {
			t.Fatalf("%+v became %+v", o, p)
		}
	})
}

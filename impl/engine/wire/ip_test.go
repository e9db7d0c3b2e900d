package wire

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"pgregory.net/rapid"
)

func draw4(t *rapid.T) netip.Addr {
	return netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "addr")))
}

func draw16(t *rapid.T) netip.Addr {
	return netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "addr")))
}

func TestIPv4AgainstGopacket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := IPv4{
			TOS: rapid.Uint8().Draw(t, "tos"), TotalLen: 60, ID: rapid.Uint16().Draw(t, "id"),
			DF: rapid.Bool().Draw(t, "df"), MF: rapid.Bool().Draw(t, "mf"),
			FragOffset: 8 * rapid.IntRange(0, 8191).Draw(t, "offset"),
			TTL:        rapid.Uint8().Draw(t, "ttl"), Protocol: rapid.Uint8().Draw(t, "proto"),
			Src: draw4(t), Dst: draw4(t),
			Options: bytes.Repeat([]byte{1}, 4*rapid.IntRange(0, 10).Draw(t, "options")),
		}
		b := bytes.Repeat([]byte{0xee}, 60)
		n := h.Emit(b)
		var l layers.IPv4
		if err := l.DecodeFromBytes(b, gopacket.NilDecodeFeedback); err != nil {
			t.Fatal(err)
		}
		src, _ := netip.AddrFromSlice(l.SrcIP)
		dst, _ := netip.AddrFromSlice(l.DstIP)
		if l.TOS != h.TOS || l.Length != h.TotalLen || l.Id != h.ID || l.TTL != h.TTL || uint8(l.Protocol) != h.Protocol ||
			src != h.Src || dst != h.Dst || int(l.FragOffset)*8 != h.FragOffset ||
			(l.Flags&layers.IPv4DontFragment != 0) != h.DF || (l.Flags&layers.IPv4MoreFragments != 0) != h.MF {
			t.Fatalf("gopacket reads %+v of %+v", l, h)
		}
		var c Checksum
		if c.Add(b[:n]); c.Folded() != 0xffff {
			t.Fatalf("header sums to %#x", c.Folded())
		}
		got, hl, ok := ParseIPv4(b)
		if !ok || hl != n || !bytes.Equal(got.Options, h.Options) {
			t.Fatalf("ok %v, length %d, want %d", ok, hl, n)
		}
		got.Options, h.Options = nil, nil
		if got.Src != h.Src || got.Dst != h.Dst || got.ID != h.ID || got.DF != h.DF || got.MF != h.MF ||
			got.FragOffset != h.FragOffset || got.TTL != h.TTL || got.TOS != h.TOS || got.Protocol != h.Protocol || got.TotalLen != h.TotalLen {
			t.Fatalf("got %+v, want %+v", got, h)
		}
	})
}

func TestIPv6AgainstGopacket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := IPv6{
			TrafficClass: rapid.Uint8().Draw(t, "class"), FlowLabel: rapid.Uint32Range(0, 0xfffff).Draw(t, "label"),
			PayloadLen: 8, NextHeader: ProtoFragment,
			HopLimit: rapid.Uint8().Draw(t, "hops"), Src: draw16(t), Dst: draw16(t),
		}
		frag := IPv6Fragment{
			NextHeader: rapid.Uint8().Draw(t, "inner"), Offset: 8 * rapid.IntRange(0, 8191).Draw(t, "offset"),
			More: rapid.Bool().Draw(t, "more"), ID: rapid.Uint32().Draw(t, "id"),
		}
		b := bytes.Repeat([]byte{0xee}, IPv6HeaderLen+IPv6FragHeaderLen)
		n := h.Emit(b)
		n += frag.Emit(b[n:])
		var l layers.IPv6
		if err := l.DecodeFromBytes(b[:n], gopacket.NilDecodeFeedback); err != nil {
			t.Fatal(err)
		}
		src, _ := netip.AddrFromSlice(l.SrcIP)
		dst, _ := netip.AddrFromSlice(l.DstIP)
		if l.TrafficClass != h.TrafficClass || l.FlowLabel != h.FlowLabel || l.Length != h.PayloadLen ||
			uint8(l.NextHeader) != h.NextHeader || l.HopLimit != h.HopLimit || src != h.Src || dst != h.Dst {
			t.Fatalf("gopacket reads %+v of %+v", l, h)
		}
		p := gopacket.NewPacket(b[:n], layers.LayerTypeIPv6, gopacket.Default)
		lf, ok := p.Layer(layers.LayerTypeIPv6Fragment).(*layers.IPv6Fragment)
		if !ok || uint8(lf.NextHeader) != frag.NextHeader || int(lf.FragmentOffset)*8 != frag.Offset ||
			lf.MoreFragments != frag.More || lf.Identification != frag.ID {
			t.Fatalf("gopacket reads %+v of %+v", lf, frag)
		}
		if got, ok := ParseIPv6(b); !ok || got != h {
			t.Fatalf("got %+v, want %+v", got, h)
		}
		if got, ok := ParseIPv6Fragment(b[IPv6HeaderLen:]); !ok || got != frag {
			t.Fatalf("got %+v, want %+v", got, frag)
		}
	})
}

// FuzzIP feeds every parser any bytes, and emits again what they read.
func FuzzIP(f *testing.F) {
	f.Add([]byte{0x45, 0, 0, 20, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2})
	f.Add(append([]byte{0x60, 0, 0, 0, 0, 0, 6, 64}, make([]byte, 32)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, n, ok := ParseIPv4(b); ok {
			if n > len(b) || n > int(h.TotalLen) {
				t.Fatalf("header of %d bytes in %d, of total length %d", n, len(b), h.TotalLen)
			}
			out := make([]byte, n)
			h.Emit(out)
			out[10], out[11] = b[10], b[11] // the checksum, and the reserved bit
			out[6] |= b[6] & 0x80
			if !bytes.Equal(out, b[:n]) {
				t.Fatalf("%x\n%x", out, b[:n])
			}
		}
		if h, ok := ParseIPv6(b); ok {
			out := make([]byte, IPv6HeaderLen)
			h.Emit(out)
			if !bytes.Equal(out, b[:IPv6HeaderLen]) {
				t.Fatalf("%x\n%x", out, b[:IPv6HeaderLen])
			}
		}
		if _, n, ok := ParseIPv6Extension(b); ok && (n < 8 || n > len(b)) {
			t.Fatalf("extension header of %d bytes in %d", n, len(b))
		}
		ParseIPv6Fragment(b)
		if m, ok := ParseICMP(b); ok {
			out := make([]byte, ICMPHeaderLen)
			m.Emit(out)
			out[2], out[3] = b[2], b[3]
			if !bytes.Equal(out, b[:ICMPHeaderLen]) {
				t.Fatalf("%x\n%x", out, b[:ICMPHeaderLen])
			}
		}
	})
}

package wire

import (
	"bytes"
	"net"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"pgregory.net/rapid"
)

func drawTCP(t *rapid.T) TCP {
	h := TCP{
		SrcPort: rapid.Uint16().Draw(t, "src"),
		DstPort: rapid.Uint16().Draw(t, "dst"),
		Seq:     rapid.Uint32().Draw(t, "seq"),
		Ack:     rapid.Uint32().Draw(t, "ack"),
		Flags:   Flags(rapid.Uint16Range(0, 0x1ff).Draw(t, "flags")),
		Window:  rapid.Uint16().Draw(t, "window"),
		Urgent:  rapid.Uint16().Draw(t, "urgent"),
	}
	o := &h.Options
	if o.HasMSS = rapid.Bool().Draw(t, "hasMSS"); o.HasMSS {
		o.MSS = rapid.Uint16().Draw(t, "mss")
	}
	if o.HasWindowScale = rapid.Bool().Draw(t, "hasWS"); o.HasWindowScale {
		o.WindowScale = rapid.Uint8().Draw(t, "ws")
	}
	o.SACKPermitted = rapid.Bool().Draw(t, "sackOK")
	if o.HasTimestamps = rapid.Bool().Draw(t, "hasTS"); o.HasTimestamps {
		o.TSval, o.TSecr = rapid.Uint32().Draw(t, "tsval"), rapid.Uint32().Draw(t, "tsecr")
	}
	if o.FastOpen.Present = rapid.Bool().Draw(t, "hasFastOpen"); o.FastOpen.Present {
		o.FastOpen.Experimental = rapid.Bool().Draw(t, "experimental")
		n := rapid.SampledFrom([]int{0, 4, 6, 8, 10, 12, 14, 16}).Draw(t, "cookie")
		o.FastOpen.Cookie, _ = MakeCookie(rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "octets"))
	}
	o.SACKCount = rapid.Uint8Range(0, 4).Draw(t, "blocks")
	for i := range o.SACK[:o.SACKCount] {
		o.SACK[i] = SACKBlock{rapid.Uint32().Draw(t, "left"), rapid.Uint32().Draw(t, "right")}
	}
	return h
}

// fits returns h without the SACK blocks that Emit leaves out for want of room.
func fits(h TCP) TCP {
	used := 0
	o := &h.Options
	if o.HasMSS {
		used += 4
	}
	if o.HasTimestamps {
		used += 12
	} else if o.SACKPermitted {
		used += 4
	}
	if o.HasWindowScale {
		used += 4
	}
	if f := &o.FastOpen; f.Present {
		used += (2 + int(f.Cookie.Len) + 3) &^ 3
		if f.Experimental {
			used += (4+int(f.Cookie.Len)+3)&^3 - (2+int(f.Cookie.Len)+3)&^3
		}
	}
	for o.SACKCount > 0 && used+4+8*int(o.SACKCount) > 40 {
		o.SACKCount--
		o.SACK[o.SACKCount] = SACKBlock{}
	}
	return h
}

func TestTCPRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawTCP(t)
		b := bytes.Repeat([]byte{0xee}, 64) // what Emit does not write shows
		n := want.Emit(b)
		if n != want.HeaderLen() || n%4 != 0 || n > 60 {
			t.Fatalf("Emit wrote %d bytes, HeaderLen is %d", n, want.HeaderLen())
		}
		got, hl, ok := ParseTCP(b[:n])
		if !ok || hl != n {
			t.Fatalf("ParseTCP: length %d, ok %v, want %d", hl, ok, n)
		}
		if want := fits(want); got != want {
			t.Fatalf("got  %+v\nwant %+v", got, want)
		}
	})
}

// TestTCPAgainstGopacket holds Emit to an independent decoder.
func TestTCPAgainstGopacket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawTCP(t)
		b := make([]byte, h.HeaderLen())
		h.Emit(b)
		h = fits(h)
		var l layers.TCP
		if err := l.DecodeFromBytes(b, gopacket.NilDecodeFeedback); err != nil {
			t.Fatalf("gopacket refuses what Emit wrote: %v", err)
		}
		if uint16(l.SrcPort) != h.SrcPort || uint16(l.DstPort) != h.DstPort || l.Seq != h.Seq ||
			l.Ack != h.Ack || l.Window != h.Window || l.Urgent != h.Urgent || l.Checksum != 0 {
			t.Fatalf("gopacket reads %+v of %+v", l, h)
		}
		var flags Flags
		for i, set := range []bool{l.FIN, l.SYN, l.RST, l.PSH, l.ACK, l.URG, l.ECE, l.CWR, l.NS} {
			if set {
				flags |= 1 << i
			}
		}
		if flags != h.Flags {
			t.Fatalf("gopacket reads flags %v, want %v", flags, h.Flags)
		}
		var o TCPOptions
		for _, opt := range l.Options {
			d := opt.OptionData
			switch opt.OptionType {
			case 34:
				o.FastOpen.Present = true
				o.FastOpen.Cookie, _ = MakeCookie(d)
			case 254:
				o.FastOpen.Present, o.FastOpen.Experimental = true, true
				if !bytes.HasPrefix(d, []byte{0xf9, 0x89}) {
					t.Fatalf("experiment % x", d)
				}
				o.FastOpen.Cookie, _ = MakeCookie(d[2:])
			case layers.TCPOptionKindMSS:
				o.HasMSS, o.MSS = true, uint16(d[0])<<8|uint16(d[1])
			case layers.TCPOptionKindWindowScale:
				o.HasWindowScale, o.WindowScale = true, d[0]
			case layers.TCPOptionKindSACKPermitted:
				o.SACKPermitted = true
			case layers.TCPOptionKindTimestamps:
				o.HasTimestamps, o.TSval, o.TSecr = true, be32(d), be32(d[4:])
			case layers.TCPOptionKindSACK:
				for ; len(d) >= 8; d = d[8:] {
					o.SACK[o.SACKCount] = SACKBlock{be32(d), be32(d[4:])}
					o.SACKCount++
				}
			}
		}
		if o != h.Options {
			t.Fatalf("gopacket reads options\n%+v, want\n%+v", o, h.Options)
		}
	})
}

func be32(b []byte) uint32 {
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

// TestTCPIllegalOptions: no option length, however wrong, keeps the segment
// from being read, or what came before from counting (MUST-5, MUST-6, MUST-7).
func TestTCPIllegalOptions(t *testing.T) {
	header := func(opts ...byte) []byte {
		h := TCP{SrcPort: 1, DstPort: 2, Flags: SYN}
		b := make([]byte, 20, 60)
		h.Emit(b)
		for len(opts)%4 != 0 {
			opts = append(opts, 0)
		}
		b = append(b, opts...)
		b[12] = byte(len(b)/4) << 4
		return b
	}
	mss := TCPOptions{HasMSS: true, MSS: 1400}
	for _, test := range []struct {
		name string
		opts []byte
		want TCPOptions
	}{
		{"nothing", nil, TCPOptions{}},
		{"length 0", []byte{2, 4, 5, 120, 8, 0, 2, 4}, mss},
		{"length 1", []byte{2, 4, 5, 120, 254, 1, 2, 4}, mss},
		{"past the end", []byte{2, 4, 5, 120, 254, 9, 1, 1}, mss},
		{"no room for a length", []byte{2, 4, 5, 120, 1, 1, 1, 3}, mss},
		{"unknown is skipped", []byte{254, 4, 9, 9, 2, 4, 5, 120}, mss},
		{"wrong length of a known kind", []byte{2, 3, 9, 1, 2, 4, 5, 120}, mss},
		{"after the end of options", []byte{2, 4, 5, 120, 0, 3, 3, 7}, mss},
		{"Fast Open, a request", []byte{34, 2, 1, 1}, TCPOptions{FastOpen: FastOpenOption{Present: true}}},
		{"Fast Open, the least", []byte{34, 6, 1, 2, 3, 4}, TCPOptions{FastOpen: FastOpenOption{Present: true, Cookie: Cookie{4, [16]byte{1, 2, 3, 4}}}}},
		{"Fast Open, experimental", []byte{254, 8, 0xf9, 0x89, 1, 2, 3, 4},
			TCPOptions{FastOpen: FastOpenOption{Present: true, Experimental: true, Cookie: Cookie{4, [16]byte{1, 2, 3, 4}}}}},
		{"Fast Open, another experiment", []byte{254, 8, 0xf9, 0x88, 1, 2, 3, 4}, TCPOptions{}},
		{"Fast Open, too short", []byte{34, 4, 1, 2, 2, 4, 5, 120}, mss},
		{"Fast Open, odd", []byte{34, 7, 1, 2, 3, 4, 5, 2, 4, 5, 120}, mss},
		{"Fast Open, too long", append([]byte{2, 4, 5, 120, 34, 20}, make([]byte, 18)...), mss},
		{"SACK of no block", []byte{5, 2, 2, 4, 5, 120}, mss},
		{"SACK of half a block", []byte{5, 6, 0, 0, 0, 1, 2, 4, 5, 120}, mss},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, _, ok := ParseTCP(header(test.opts...))
			if !ok || got.Options != test.want {
				t.Errorf("ok %v, options %+v, want %+v", ok, got.Options, test.want)
			}
		})
	}
	// Every pair of first two bytes, filled up with the worst that follows (S35).
	for k := range 256 {
		for l := range 256 {
			for _, fill := range []byte{0, 1, 2, 0xff} {
				opts := bytes.Repeat([]byte{fill}, 40)
				opts[0], opts[1] = byte(k), byte(l)
				if _, n, ok := ParseTCP(header(opts...)); !ok || n != 60 {
					t.Fatalf("options %d %d, then %d: ok %v, length %d", k, l, fill, ok, n)
				}
			}
		}
	}
}

func TestTCPDataOffset(t *testing.T) {
	full := bytes.Repeat([]byte{1}, 80)
	for offset := range 16 {
		for n := range 80 {
			full[12] = byte(offset) << 4
			_, hl, ok := ParseTCP(full[:n:n])
			want := n >= 20 && offset >= 5 && offset*4 <= n
			if ok != want || ok && hl != offset*4 {
				t.Fatalf("offset %d of %d bytes: ok %v, length %d", offset, n, ok, hl)
			}
		}
	}
}

func FuzzTCP(f *testing.F) {
	h := TCP{Options: TCPOptions{HasMSS: true, HasTimestamps: true, SACKPermitted: true, HasWindowScale: true}}
	b := make([]byte, h.HeaderLen())
	h.Emit(b)
	f.Add(b)
	for _, exp := range []bool{false, true} {
		h.Options.FastOpen = FastOpenOption{Present: true, Experimental: exp, Cookie: Cookie{8, [16]byte{1, 2, 3}}}
		b := make([]byte, h.HeaderLen())
		h.Emit(b)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, n, ok := ParseTCP(b)
		if !ok {
			return
		}
		if n < 20 || n > 60 || n > len(b) {
			t.Fatalf("header of %d bytes in %d", n, len(b))
		}
		again := make([]byte, h.HeaderLen())
		h.Emit(again)
		got, _, ok := ParseTCP(again)
		if want := fits(h); !ok || got != want {
			t.Fatalf("ok %v, got\n%+v, want\n%+v", ok, got, want)
		}
	})
}

func TestChecksumAgainstGopacket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		payload := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "payload")
		v6 := rapid.Bool().Draw(t, "v6")
		src, dst := netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("192.168.255.254")
		var nl gopacket.NetworkLayer = &layers.IPv4{SrcIP: net.IP(src.AsSlice()), DstIP: net.IP(dst.AsSlice()), Protocol: layers.IPProtocolTCP}
		if v6 {
			src, dst = netip.MustParseAddr("2001:db8::ffff"), netip.MustParseAddr("fe80::1:2:3")
			nl = &layers.IPv6{SrcIP: net.IP(src.AsSlice()), DstIP: net.IP(dst.AsSlice()), NextHeader: layers.IPProtocolTCP}
		}
		h := drawTCP(t)
		l := &layers.TCP{SrcPort: layers.TCPPort(h.SrcPort), DstPort: layers.TCPPort(h.DstPort), Seq: h.Seq, Ack: h.Ack, Window: h.Window}
		if err := l.SetNetworkLayerForChecksum(nl); err != nil {
			t.Fatal(err)
		}
		sb := gopacket.NewSerializeBuffer()
		if err := gopacket.SerializeLayers(sb, gopacket.SerializeOptions{ComputeChecksums: true, FixLengths: true}, l, gopacket.Payload(payload)); err != nil {
			t.Fatal(err)
		}
		b := sb.Bytes()
		want := uint16(b[16])<<8 | uint16(b[17])

		// With the checksum in place the sum is all ones, however it is cut.
		c := PseudoHeader(src, dst, ProtoTCP, len(b))
		for p := b; len(p) > 0; {
			n := rapid.IntRange(1, len(p)).Draw(t, "cut")
			c.Add(p[:n])
			p = p[n:]
		}
		if c.Folded() != 0xffff {
			t.Fatalf("sum over gopacket's segment is %#x", c.Folded())
		}
		// Without it, the value is gopacket's.
		b[16], b[17] = 0, 0
		c = PseudoHeader(src, dst, ProtoTCP, len(b))
		c.Add(b)
		if got := c.Value(); got != want {
			t.Fatalf("checksum %#x, gopacket says %#x", got, want)
		}
	})
}

// TestChecksumSlow compares with the definition of RFC 1071, also where carries
// pile up.
func TestChecksumSlow(t *testing.T) {
	for n := range 530 {
		for _, fill := range []byte{0, 1, 0x7f, 0xff} {
			b := bytes.Repeat([]byte{fill}, n)
			if n > 3 {
				b[n/3] ^= 0x55
			}
			var sum uint32
			for i, x := range b {
				if i%2 == 0 {
					sum += uint32(x) << 8
				} else {
					sum += uint32(x)
				}
			}
			for sum > 0xffff {
				sum = sum>>16 + sum&0xffff
			}
			var c Checksum
			c.Add(b)
			if got := c.Folded(); got != uint16(sum) {
				t.Fatalf("%d bytes of %#x: %#x, want %#x", n, fill, got, sum)
			}
		}
	}
}

func BenchmarkChecksum(b *testing.B) {
	p := bytes.Repeat([]byte{1, 2, 3}, 500)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		var c Checksum
		c.Add(p)
	}
}

func TestFlagsString(t *testing.T) {
	if got := (SYN | ACK).String(); got != "SYN|ACK" {
		t.Error(got)
	}
	if got := Flags(0).String(); got != "none" {
		t.Error(got)
	}
}

// The order of the BSDs has the same options and the same length.
func TestBSDOptions(t *testing.T) {
	for i := range 8 {
		o := TCPOptions{HasMSS: true, MSS: 1460, SACKPermitted: i&1 != 0, HasWindowScale: i&2 != 0, WindowScale: 6 * uint8(i>>1&1),
			HasTimestamps: i&4 != 0, TSval: 7 * uint32(i>>2), TSecr: 9 * uint32(i>>2)}
		h := TCP{Flags: SYN, Options: o}
		h.Options.BSD = true
		b := make([]byte, TCPMaxHeaderLen)
		n := h.Emit(b)
		got, m, ok := ParseTCP(b[:n])
		if !ok || n != m || n != h.HeaderLen() || got.Options != o {
			t.Errorf("%+v: %v, length %d and %d: %+v", o, ok, n, m, got.Options)
		}
		if i == 7 && string(b[20:n]) != "\x02\x04\x05\xb4\x01\x03\x03\x06\x04\x02\x08\x0a\x00\x00\x00\x07\x00\x00\x00\x09" {
			t.Errorf("% x", b[20:n])
		}
	}
}

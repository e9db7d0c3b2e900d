package gso

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/impl/cubic"
	"github.com/sluicenet/sluice/impl/engine"
	"github.com/sluicenet/sluice/link/linktest"
	"github.com/sluicenet/sluice/link/pipe"
)

// The contract of links holds with the edge in front. Super-packets do not arrive as
// they were sent, and those of this test, which are no TCP, cannot be cut: they are
// dropped, as on a link that takes none.
func TestLink(t *testing.T) {
	linktest.Run(t, func() (a, b link.Link) {
		x, y := pipe.New(pipe.Config{})
		return modest{Wrap(x)}, modest{Wrap(y)}
	})
}

// modest does not say that it takes super-packets.
type modest struct{ link.Link }

func (m modest) Attributes() link.Attributes {
	a := m.Link.Attributes()
	a.MaxGSO = 0
	return a
}

func TestWrapKeeps(t *testing.T) {
	x, _ := pipe.New(pipe.Config{MaxGSO: 65535})
	if l := Wrap(x); l != link.Link(x) {
		t.Error("a link that needs no edge got one")
	}
}

// a spec is a segment; the zero value is one with ACK and no data.
type spec struct {
	v6       bool
	src      uint16
	seq, ack uint32
	n        int
	edit     func(*layers.TCP)
	ip       func(*layers.IPv4)
}

// payload returns the bytes of a stream from seq on.
func payload(seq uint32, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		k := seq + uint32(i)
		b[i] = byte(k ^ k>>8 ^ k>>16)
	}
	return b
}

// build has gopacket make the packet.
func build(t testing.TB, s spec) []byte {
	t.Helper()
	tcp := &layers.TCP{SrcPort: layers.TCPPort(1000 + s.src), DstPort: 80, Seq: s.seq, Ack: s.ack, ACK: true, Window: 500,
		Options: []layers.TCPOption{{OptionType: layers.TCPOptionKindNop}, {OptionType: layers.TCPOptionKindNop},
			{OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: []byte{0, 0, 0, 7, 0, 0, 0, 9}}}}
	if s.edit != nil {
		s.edit(tcp)
	}
	var ip interface {
		gopacket.SerializableLayer
		gopacket.NetworkLayer
	}
	v4 := &layers.IPv4{Version: 4, TTL: 64, Flags: layers.IPv4DontFragment, Protocol: layers.IPProtocolTCP, SrcIP: []byte{10, 0, 0, 1}, DstIP: []byte{10, 0, 0, 2}}
	if s.ip != nil {
		s.ip(v4)
	}
	ip = v4
	if s.v6 {
		ip = &layers.IPv6{Version: 6, HopLimit: 64, FlowLabel: 77, NextHeader: layers.IPProtocolTCP,
			SrcIP: netip.MustParseAddr("fd00::1").AsSlice(), DstIP: netip.MustParseAddr("fd00::2").AsSlice()}
	}
	tcp.SetNetworkLayerForChecksum(ip)
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ip, tcp, gopacket.Payload(payload(s.seq, s.n))); err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(b.Bytes())
}

// judge has gopacket read a packet, and compute its checksums anew.
func judge(t testing.TB, b []byte) (gopacket.Packet, *layers.TCP) {
	t.Helper()
	first := layers.LayerTypeIPv4
	if b[0]>>4 == 6 {
		first = layers.LayerTypeIPv6
	}
	p := gopacket.NewPacket(b, first, gopacket.Default)
	tcp, ok := p.Layer(layers.LayerTypeTCP).(*layers.TCP)
	if !ok || p.ErrorLayer() != nil {
		t.Fatalf("not a segment: %v", p)
	}
	tcp.SetNetworkLayerForChecksum(p.NetworkLayer())
	buf := gopacket.NewSerializeBuffer()
	again := *tcp
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{ComputeChecksums: true}, &again, gopacket.Payload(tcp.Payload)); err != nil {
		t.Fatal(err)
	}
	if again.Checksum != tcp.Checksum {
		t.Fatalf("checksum %x, want %x", tcp.Checksum, again.Checksum)
	}
	if ip, ok := p.NetworkLayer().(*layers.IPv4); ok {
		buf := gopacket.NewSerializeBuffer()
		again := *ip
		gopacket.SerializeLayers(buf, gopacket.SerializeOptions{ComputeChecksums: true}, &again)
		if again.Checksum != ip.Checksum || int(ip.Length) != len(b) {
			t.Fatalf("IPv4 header %+v of %d bytes", ip, len(b))
		}
	} else if int(p.NetworkLayer().(*layers.IPv6).Length)+40 != len(b) {
		t.Fatal("IPv6 length")
	}
	return p, tcp
}

// super makes a super-packet of a segment as the stack does, in pieces.
func super(b []byte, size uint16, shape int) link.Packet {
	start := 20
	if b[0]>>4 == 6 {
		start = 40
	}
	b = bytes.Clone(b)
	binary.BigEndian.PutUint16(b[start+16:], fold(pseudoHeader(b, len(b)-start)))
	p := link.Packet{Offload: link.Offload{GSOSize: size, NeedsChecksum: true, ChecksumStart: uint16(start), ChecksumOffset: 16}}
	k := start + int(b[start+12]>>4)*4
	switch shape % 4 {
	case 0:
		p.Header = b
	case 1:
		p.Payload = []api.Buffer{*api.CopyBuffer(b)}
	default:
		p.Header = b[:k]
		for r := b[k:]; len(r) > 0; {
			n := min(len(r), 1+shape*333)
			p.Payload = append(p.Payload, *api.CopyBuffer(r[:n]))
			r = r[n:]
		}
	}
	return p
}

// sent collects what Send of a link under the edge gets.
type sent struct {
	link.Link
	mtu     int
	medium  link.Medium
	packets [][]byte
	recv    func([]link.Packet)
}

func (s *sent) Attributes() link.Attributes {
	return link.Attributes{Name: "sent", MTU: s.mtu, Medium: s.medium}
}
func (s *sent) Attach(recv func([]link.Packet)) error { s.recv = recv; return nil }
func (s *sent) Send(batch []link.Packet) error {
	for i := range batch {
		if o := batch[i].Offload; o.GSOSize != 0 || o.NeedsChecksum {
			continue // a link drops it
		}
		s.packets = append(s.packets, batch[i].AppendTo(nil))
	}
	return nil
}

// A super-packet becomes the packets that the stack would have sent: judged by
// gopacket, for either family and all ways in which its bytes may lie.
func TestCut(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for shape := range 8 {
			for _, n := range []int{1, 999, 1000, 1001, 5000, 62345} {
				s := &sent{mtu: 1500}
				e := Wrap(s)
				b := build(t, spec{v6: v6, seq: 0xffff_fff0, n: n, edit: func(tcp *layers.TCP) { tcp.PSH, tcp.FIN, tcp.CWR = true, true, true },
					ip: func(ip *layers.IPv4) { ip.Id = 65530 }})
				p := super(b, 1000, shape)
				if err := e.Send([]link.Packet{p}); err != nil {
					t.Fatal(err)
				}
				if got := p.AppendTo(nil); !bytes.Equal(got[:16], b[:16]) || !bytes.Equal(got[len(got)-n:], b[len(b)-n:]) {
					t.Fatal("Send changed the packet")
				}
				want := (n + 999) / 1000
				if len(s.packets) != want {
					t.Fatalf("%d bytes: %d packets, want %d", n, len(s.packets), want)
				}
				seq := uint32(0xffff_fff0)
				for i, b := range s.packets {
					pkt, tcp := judge(t, b)
					last := i == want-1
					if tcp.Seq != seq || !bytes.Equal(tcp.Payload, payload(seq, min(1000, n-i*1000))) {
						t.Fatalf("packet %d: seq %d", i, tcp.Seq)
					}
					if tcp.PSH != last || tcp.FIN != last || tcp.CWR != (i == 0) || !tcp.ACK || len(tcp.Options) != 3 {
						t.Fatalf("packet %d of %d: %+v", i, want, tcp)
					}
					if ip, ok := pkt.NetworkLayer().(*layers.IPv4); ok && ip.Id != uint16(65530+i) {
						t.Fatalf("packet %d: identification %d", i, ip.Id)
					}
					seq += uint32(len(tcp.Payload))
				}
			}
		}
	}
}

// Unfinished checksums are finished, whatever lies where; what makes no sense is left
// to the link, which drops it.
func TestFinish(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for shape := range 8 {
			s := &sent{mtu: 1500}
			p := super(build(t, spec{v6: v6, n: 1201}), 0, shape)
			Wrap(s).Send([]link.Packet{p})
			if len(s.packets) != 1 {
				t.Fatalf("%d packets", len(s.packets))
			}
			if _, tcp := judge(t, s.packets[0]); len(tcp.Payload) != 1201 {
				t.Fatal("payload")
			}
		}
	}
	for _, edit := range []func(p *link.Packet){
		func(p *link.Packet) { p.Offload.NeedsChecksum = false },
		func(p *link.Packet) { p.Offload.ChecksumStart = 60000 },
		func(p *link.Packet) { p.Offload.ChecksumStart = 0 },
		func(p *link.Packet) { p.Offload.GSOSize = 1460 }, // more than the MTU with these options
		func(p *link.Packet) { p.Header = p.Header[:30] },
		func(p *link.Packet) { p.Header[32] = 0xff },
		func(p *link.Packet) { p.Offload.GSOSize, p.Offload.ChecksumOffset = 0, 60000 },
	} {
		s := &sent{mtu: 1500}
		p := super(build(t, spec{n: 5000}), 1000, 2)
		edit(&p)
		Wrap(s).Send([]link.Packet{p})
		if len(s.packets) != 0 {
			t.Errorf("%+v gave %d packets", p.Offload, len(s.packets))
		}
	}
}

// receive hands packets to the edge in one batch, and returns what comes out.
func receive(batch []link.Packet, medium link.Medium) (out []link.Packet) {
	s := &sent{mtu: 1500, medium: medium}
	e := Wrap(s)
	e.Attach(func(batch []link.Packet) {
		for i := range batch {
			c := batch[i].Copy()
			batch[i].Release()
			out = append(out, c)
		}
	})
	s.recv(batch)
	return out
}

func packetOf(b []byte, shape int) link.Packet {
	switch shape % 3 {
	case 0:
		return link.Packet{Payload: []api.Buffer{*api.CopyBuffer(b)}}
	case 1: // as from a pipe
		k := 20
		if b[0]>>4 == 6 {
			k = 40
		}
		k += int(b[k+12]>>4) * 4
		return link.Packet{Header: b[:k:k], Payload: []api.Buffer{*api.CopyBuffer(b[k:])}}
	}
	k := max(len(b)*2/3, min(len(b), 14+40+32)) // headers are contiguous
	return link.Packet{Payload: []api.Buffer{*api.CopyBuffer(b[:k]), *api.CopyBuffer(b[k:])}}
}

// What is merged, and what must not be. The numbers are the payloads of the packets
// that come out.
func TestMerge(t *testing.T) {
	edit := func(s spec, f func(*layers.TCP)) spec { s.edit = f; return s }
	for _, tt := range []struct {
		name string
		in   []spec
		want []int
	}{
		{"a train", []spec{{n: 100}, {seq: 100, n: 100}, {seq: 200, n: 100}}, []int{300}},
		{"the last is shorter", []spec{{n: 100}, {seq: 100, n: 40}, {seq: 140, n: 100}}, []int{140, 100}},
		{"a longer one", []spec{{n: 100}, {seq: 100, n: 101}}, []int{100, 101}},
		{"PSH ends it", []spec{{n: 100}, edit(spec{seq: 100, n: 100}, func(tcp *layers.TCP) { tcp.PSH = true }), {seq: 200, n: 100}}, []int{200, 100}},
		{"PSH in the first", []spec{edit(spec{n: 100}, func(tcp *layers.TCP) { tcp.PSH = true }), {seq: 100, n: 100}}, []int{100, 100}},
		{"a gap", []spec{{n: 100}, {seq: 101, n: 100}}, []int{100, 100}},
		{"an overlap", []spec{{n: 100}, {seq: 99, n: 100}}, []int{100, 100}},
		{"backwards", []spec{{seq: 100, n: 100}, {n: 100}}, []int{100, 100}},
		{"twice", []spec{{n: 100}, {n: 100}, {seq: 100, n: 100}}, []int{100, 200}},
		{"around zero", []spec{{seq: 0xffffffce, n: 100}, {seq: 50, n: 100}}, []int{200}},
		{"another acknowledgement", []spec{{n: 100}, {seq: 100, n: 100, ack: 1}}, []int{100, 100}},
		{"another window", []spec{{n: 100}, edit(spec{seq: 100, n: 100}, func(tcp *layers.TCP) { tcp.Window++ })}, []int{100, 100}},
		{"another timestamp", []spec{{n: 100}, edit(spec{seq: 100, n: 100}, func(tcp *layers.TCP) { tcp.Options[2].OptionData[3]++ })}, []int{100, 100}},
		{"no options", []spec{{n: 100}, edit(spec{seq: 100, n: 100}, func(tcp *layers.TCP) { tcp.Options = nil })}, []int{100, 100}},
		{"FIN", []spec{{n: 100}, edit(spec{seq: 100, n: 100}, func(tcp *layers.TCP) { tcp.FIN = true })}, []int{100, 100}},
		{"RST", []spec{{n: 100}, edit(spec{seq: 100, n: 100}, func(tcp *layers.TCP) { tcp.RST = true })}, []int{100, 100}},
		{"URG", []spec{{n: 100}, edit(spec{seq: 100, n: 100}, func(tcp *layers.TCP) { tcp.URG = true })}, []int{100, 100}},
		{"ECE", []spec{{n: 100}, edit(spec{seq: 100, n: 100}, func(tcp *layers.TCP) { tcp.ECE = true })}, []int{100, 100}},
		{"CWR", []spec{{n: 100}, edit(spec{seq: 100, n: 100}, func(tcp *layers.TCP) { tcp.CWR = true })}, []int{100, 100}},
		{"SYN first", []spec{edit(spec{n: 100}, func(tcp *layers.TCP) { tcp.SYN = true }), {seq: 101, n: 100}}, []int{100, 100}},
		{"pure ACKs", []spec{{}, {}, {}}, []int{0, 0, 0}},
		{"an ACK between", []spec{{n: 100}, {seq: 100}, {seq: 100, n: 100}}, []int{100, 0, 100}},
		{"congestion experienced", []spec{{n: 100}, {seq: 100, n: 100, ip: func(ip *layers.IPv4) { ip.TOS = 3 }}}, []int{100, 100}},
		{"another TTL", []spec{{n: 100}, {seq: 100, n: 100, ip: func(ip *layers.IPv4) { ip.TTL-- }}}, []int{100, 100}},
		{"another DF", []spec{{n: 100}, {seq: 100, n: 100, ip: func(ip *layers.IPv4) { ip.Flags = 0 }}}, []int{100, 100}},
		{"a fragment between", []spec{{n: 100}, {seq: 100, n: 100, ip: func(ip *layers.IPv4) { ip.Flags = layers.IPv4MoreFragments }}, {seq: 200, n: 100}}, []int{100, -1, 100}},
		{"flows interleaved", []spec{{n: 100}, {src: 1, n: 50}, {seq: 100, n: 100}, {src: 1, seq: 50, n: 50}, {seq: 200, n: 100}}, []int{300, 100}},
		{"families", []spec{{n: 100}, {v6: true, seq: 100, n: 100}, {v6: true, seq: 200, n: 100}}, []int{100, 200}},
		{"up to 64 KB", slices.Repeat([]spec{{}}, 0), nil},
	} {
		for shape := range 3 {
			var batch []link.Packet
			for _, s := range tt.in {
				batch = append(batch, packetOf(build(t, s), shape))
			}
			if tt.name == "up to 64 KB" {
				for i := range 50 {
					batch = append(batch, packetOf(build(t, spec{seq: uint32(i * 1448), n: 1448}), shape))
				}
				tt.want = []int{45 * 1448, 5 * 1448}
			}
			var got []int
			for _, p := range receive(batch, link.IP) {
				b := p.AppendTo(nil)
				first := layers.LayerTypeIPv4
				if b[0]>>4 == 6 {
					first = layers.LayerTypeIPv6
				}
				tcp, ok := gopacket.NewPacket(b, first, gopacket.Default).Layer(layers.LayerTypeTCP).(*layers.TCP)
				if !ok {
					got = append(got, -1)
					continue
				}
				got = append(got, len(tcp.Payload))
				if !bytes.Equal(tcp.Payload, payload(tcp.Seq, len(tcp.Payload))) {
					t.Errorf("%s: other bytes", tt.name)
				}
				if o := p.Offload; (o.GSOSize != 0) != o.Vouched {
					t.Errorf("%s: %+v", tt.name, o)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("%s, shape %d: %v, want %v", tt.name, shape, got, tt.want)
			}
		}
	}
}

// A wrong checksum is not covered up: such a packet stays alone, for the stack to
// drop, at any place of a train.
func TestMergeChecksum(t *testing.T) {
	for at := range 3 {
		for _, bit := range []int{20 + 4, 60, 19, 151} { // sequence number, payload, address, payload
			var batch []link.Packet
			for i := range 3 {
				b := build(t, spec{seq: uint32(i * 100), n: 100})
				if i == at {
					b[bit] ^= 4
				}
				batch = append(batch, packetOf(b, 0))
			}
			out := receive(batch, link.IP)
			if len(out) < 2 {
				t.Errorf("packet %d, byte %d: all were merged", at, bit)
			}
			for _, p := range out {
				if p.Offload.GSOSize != 0 {
					judgeMerged(t, p.AppendTo(nil))
				}
			}
		}
	}
}

func judgeMerged(t *testing.T, b []byte) {
	t.Helper()
	tcp := gopacket.NewPacket(b, layers.LayerTypeIPv4, gopacket.Default).Layer(layers.LayerTypeTCP).(*layers.TCP)
	if !bytes.Equal(tcp.Payload, payload(tcp.Seq, len(tcp.Payload))) {
		t.Error("damaged bytes were merged, and vouched for")
	}
}

// Frames that were padded to Ethernet's minimum lose the padding when merged.
func TestMergeEthernet(t *testing.T) {
	var batch []link.Packet
	for i := range 4 {
		b := append([]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0}, build(t, spec{seq: uint32(i * 3), n: 3})...)
		b = append(b, make([]byte, 7)...)
		batch = append(batch, packetOf(b, 0))
	}
	out := receive(batch, link.Ethernet)
	if len(out) != 1 {
		t.Fatalf("%d frames", len(out))
	}
	b := out[0].AppendTo(nil)
	tcp := gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.Default).Layer(layers.LayerTypeTCP).(*layers.TCP)
	if !bytes.Equal(tcp.Payload, payload(0, 12)) || len(b) != 14+52+12 {
		t.Errorf("merged to %x", b)
	}
}

// Whatever is cut and merged again is the same: super-packets of several flows, mixed.
func TestThere(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		s := &sent{mtu: 1500}
		var want [][]byte
		var supers []link.Packet
		for flow := range 1 + r.IntN(5) {
			b := build(t, spec{v6: r.IntN(2) == 0, src: uint16(flow), seq: r.Uint32(), n: 1001 + r.IntN(20_000),
				edit: func(tcp *layers.TCP) { tcp.PSH = r.IntN(2) == 0 }})
			want = append(want, b)
			supers = append(supers, super(b, 1000, r.IntN(8)))
		}
		Wrap(s).Send(supers)
		var batch []link.Packet
		for _, b := range s.packets {
			batch = append(batch, packetOf(b, r.IntN(3)))
		}
		out := receive(batch, link.IP)
		if len(out) != len(want) {
			t.Fatalf("%d packets, want %d", len(out), len(want))
		}
		for i := range out {
			start := 20
			if want[i][0]>>4 == 6 {
				start = 40
			}
			got := out[i].AppendTo(nil)
			copy(got[start+16:start+18], want[i][start+16:start+18]) // vouched for, and not computed
			if !bytes.Equal(got, want[i]) {
				t.Fatalf("flow %d: came back otherwise", i)
			}
		}
	}
}

// Two stacks transfer over a link of plain packets with the edge on both ends.
func TestStacks(t *testing.T) {
	const n = 4 << 20
	v := clock.NewVirtual()
	v.Run(func() {
		x, y := pipe.New(pipe.Config{Unvouched: true})
		var stacks [2]*engine.Stack
		for i, l := range []link.Link{x, y} {
			s, err := engine.New(engine.Config{Link: Wrap(l), Clock: v, Controllers: []cc.Factory{cubic.Factory}, Seed: uint64(i + 1),
				Addresses: []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.0.0.%d/24", i+1))}})
			if err != nil {
				t.Fatal(err)
			}
			stacks[i] = s
		}
		got := 0
		done := v.NewWaiter()
		if _, err := stacks[1].Listen(9, nil, func(ctx context.Context, f api.Flow) {
			for {
				b, err := f.Read(ctx)
				if err != nil {
					done.Wake()
					return
				}
				if !bytes.Equal(b.Bytes(), payload(uint32(got), b.Len())) {
					t.Errorf("other bytes at %d", got)
				}
				got += b.Len()
				b.Release()
			}
		}); err != nil {
			t.Fatal(err)
		}
		f, err := stacks[0].Dial(context.Background(), netip.MustParseAddrPort("10.0.0.2:9"), nil)
		if err != nil {
			t.Fatal(err)
		}
		for off := 0; off < n; off += 1 << 16 {
			if err := f.Write(context.Background(), api.NewBuffer(payload(uint32(off), 1<<16))); err != nil {
				t.Fatal(err)
			}
		}
		f.Close(context.Background())
		done.Park(context.Background())
		if got != n {
			t.Errorf("%d bytes arrived of %d", got, n)
		}
		sent, link, taken := stacks[0].Info().PacketsOut, x.Stats().PacketsOut, stacks[1].Info().PacketsIn
		if link < n/1460 || sent > link/8 || taken > link/8 {
			t.Errorf("%d packets sent, %d on the link, %d received", sent, link, taken)
		}
		if d := stacks[1].Info().Drops; d[api.DropTCPChecksum]+d[api.DropIPChecksum] != 0 {
			t.Errorf("drops %v", d)
		}
		ctx, cancel := v.WithTimeout(context.Background(), 1e11)
		defer cancel()
		stacks[0].Disconnect(ctx)
		stacks[1].Disconnect(ctx)
	})
}

// Nothing that arrives or is sent causes a panic, and no byte is lost or made up.
func FuzzEdge(f *testing.F) {
	for _, v6 := range []bool{false, true} {
		f.Add(build(f, spec{v6: v6, n: 50}), build(f, spec{v6: v6, seq: 50, n: 50}), uint16(10), uint16(20), false)
		f.Add(build(f, spec{v6: v6, n: 50}), build(f, spec{v6: v6, seq: 50, n: 20}), uint16(0), uint16(40), true)
	}
	f.Fuzz(func(t *testing.T, a, b []byte, size, start uint16, ethernet bool) {
		medium := link.IP
		if ethernet {
			medium = link.Ethernet
		}
		total := 0
		var batch []link.Packet
		for _, x := range [][]byte{a, b, a} {
			batch = append(batch, link.Packet{Payload: []api.Buffer{*api.CopyBuffer(x)}})
			total += len(x)
		}
		got := 0
		for _, p := range receive(batch, medium) {
			got += p.Len()
		}
		if got > total {
			t.Fatalf("%d bytes of %d", got, total)
		}
		s := &sent{mtu: 1500, medium: medium}
		o := link.Offload{GSOSize: size, NeedsChecksum: true, ChecksumStart: start, ChecksumOffset: 16}
		Wrap(s).Send([]link.Packet{{Header: a, Offload: o}, {Payload: []api.Buffer{*api.CopyBuffer(b)}, Offload: o}})
		for _, x := range s.packets {
			if size != 0 && len(x) > 1500+14 {
				t.Fatalf("a packet of %d bytes", len(x))
			}
		}
	})
}

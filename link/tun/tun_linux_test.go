package tun

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/link/tun/setup"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// namespace moves the test into a network namespace of its own.
func namespace(t *testing.T) {
	t.Helper()
	missing := ""
	if os.Getuid() != 0 {
		missing = "root"
	} else if f, err := os.OpenFile(devNetTun, os.O_RDWR, 0); err != nil {
		missing = err.Error()
	} else {
		f.Close()
	}
	if missing != "" {
		if os.Getenv("SLUICE_REQUIRE_NET") == "1" {
			t.Fatalf("SLUICE_REQUIRE_NET is set, but no TUN here: %s", missing)
		}
		t.Skipf("no TUN here: %s", missing)
	}
	runtime.LockOSThread()
	origin, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ns.Close()
		if err := netns.Set(origin); err != nil {
			panic(err) // the thread must not be used again
		}
		origin.Close()
		runtime.UnlockOSThread()
	})
}

// The kernel's addresses and ours, of either family.
var (
	kernel4 = netip.MustParsePrefix("10.9.0.1/24")
	kernel6 = netip.MustParsePrefix("fd09::1/64")
	ours4   = netip.MustParseAddr("10.9.0.2")
	ours6   = netip.MustParseAddr("fd09::2")
)

// peer is us, on the link: it decodes with gopacket what the kernel sends.
type peer struct {
	*testing.T
	link link.Link
	in   chan received
}

type received struct {
	bytes   []byte
	offload link.Offload
	pieces  int
}

func open(t *testing.T, cfg Config) *peer {
	t.Helper()
	l, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{T: t, link: l, in: make(chan received, 10_000)}
	t.Cleanup(func() { l.Close() })
	return p
}

// configure sets up the kernel's side.
func (p *peer) configure() {
	p.Helper()
	if err := setup.Configure(p.link.Attributes().Name, 0, kernel4, kernel6); err != nil {
		p.Fatal(err)
	}
}

// up does that, and begins to collect what the kernel sends.
func (p *peer) up() {
	p.Helper()
	p.configure()
	if err := p.link.Attach(func(batch []link.Packet) {
		for i := range batch {
			select {
			case p.in <- received{batch[i].AppendTo(nil), batch[i].Offload, len(batch[i].Payload)}:
			default:
			}
			batch[i].Release()
		}
	}); err != nil {
		p.Fatal(err)
	}
}

// expect returns the next packet from the kernel that has a layer of this type.
func (p *peer) expect(layer gopacket.LayerType) (gopacket.Packet, received) {
	p.Helper()
	for timeout := time.After(patience); ; {
		select {
		case r := <-p.in:
			if pkt := decode(r.bytes); pkt.Layer(layer) != nil {
				return pkt, r
			}
		case <-timeout:
			p.Fatalf("in vain waited for %v", layer)
		}
	}
}

func decode(b []byte) gopacket.Packet {
	if b[0]>>4 == 6 {
		return gopacket.NewPacket(b, layers.LayerTypeIPv6, gopacket.Default)
	}
	return gopacket.NewPacket(b, layers.LayerTypeIPv4, gopacket.Default)
}

func (p *peer) send(packets ...link.Packet) {
	p.Helper()
	if err := p.link.Send(packets); err != nil {
		p.Fatal(err)
	}
}

// build makes a packet of ours to the kernel. Its checksum is finished if sum
// is set, and otherwise that of the pseudo-header.
func (p *peer) build(v6, sum bool, transport gopacket.SerializableLayer, payload []byte) []byte {
	p.Helper()
	var proto layers.IPProtocol
	type needsIP interface {
		SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
	}
	switch transport.(type) {
	case *layers.TCP:
		proto = layers.IPProtocolTCP
	case *layers.UDP:
		proto = layers.IPProtocolUDP
	case *layers.ICMPv4:
		proto = layers.IPProtocolICMPv4
	}
	var ip interface {
		gopacket.SerializableLayer
		gopacket.NetworkLayer
	} = &layers.IPv4{Version: 4, TTL: 64, Protocol: proto, SrcIP: ours4.AsSlice(), DstIP: kernel4.Addr().AsSlice()}
	if v6 {
		ip = &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: proto, SrcIP: ours6.AsSlice(), DstIP: kernel6.Addr().AsSlice()}
	}
	if n, ok := transport.(needsIP); ok {
		n.SetNetworkLayerForChecksum(ip)
	}
	b := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(b, opts, ip, transport, gopacket.Payload(payload)); err != nil {
		p.Fatal(err)
	}
	out := b.Bytes()
	if !sum {
		start, at := 20, 16
		if v6 {
			start = 40
		}
		if proto == layers.IPProtocolUDP {
			at = 6
		}
		c := pseudoHeaderSum(out, start, byte(proto))
		out[start+at], out[start+at+1] = byte(c>>8), byte(c)
	}
	return out
}

// pseudoHeaderSum returns the sum, not inverted, of the pseudo-header.
func pseudoHeaderSum(b []byte, start int, proto byte) uint16 {
	addrs := b[12:20]
	if start == 40 {
		addrs = b[8:40]
	}
	sum := uint32(proto) + uint32(len(b)-start)
	for i := 0; i < len(addrs); i += 2 {
		sum += uint32(addrs[i])<<8 | uint32(addrs[i+1])
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}

// checksumOK computes the transport checksum as a receiver does.
func checksumOK(b []byte, start int, proto byte) bool {
	sum := uint32(pseudoHeaderSum(b, start, proto))
	for i := start; i < len(b); i += 2 {
		w := uint32(b[i]) << 8
		if i+1 < len(b) {
			w |= uint32(b[i+1])
		}
		sum += w
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return sum == 0xffff
}

// packetOf cuts bytes into a packet with a header and n pieces of payload.
func packetOf(b []byte, header, n int) link.Packet {
	p := link.Packet{Header: b[:header]}
	for rest := b[header:]; len(rest) > 0; {
		k := min(max((len(b)-header)/n, 1), len(rest))
		p.Payload = append(p.Payload, *api.CopyBuffer(rest[:k]))
		rest = rest[k:]
	}
	return p
}

// The kernel pings us, and we it.
func TestPing(t *testing.T) {
	namespace(t)
	p := open(t, Config{Name: "sl%d"})
	p.up()
	if a := p.link.Attributes(); a.Name != "sl0" || a.MTU != 1500 || a.MaxGSO != 0 || a.TxChecksum || a.Medium != link.IP {
		t.Errorf("attributes %+v", a)
	}
	echo := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoRequest, 0), Id: 7, Seq: 9}
	for _, n := range []int{0, 1, 56, 1472} {
		data := bytes.Repeat([]byte{0xa5}, n)
		p.send(packetOf(p.build(false, true, echo, data), 28, 1))
		pkt, _ := p.expect(layers.LayerTypeICMPv4)
		reply := pkt.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
		if reply.TypeCode.Type() != layers.ICMPv4TypeEchoReply || reply.Id != 7 || reply.Seq != 9 || !bytes.Equal(reply.Payload, data) {
			t.Errorf("%d bytes: reply %+v", n, reply)
		}
	}
	st := p.link.Stats()
	if st.PacketsOut != 4 || st.BytesOut != 4*28+1+56+1472 || st.PacketsIn < 4 || st.DropsOut != 0 || st.Errors != 0 {
		t.Errorf("stats %+v", st)
	}
}

// Datagrams both ways, checksums finished by us or by the kernel.
func TestUDP(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		t.Run(fmt.Sprint("v6=", v6), func(t *testing.T) {
			namespace(t)
			p := open(t, Config{Offload: OffloadOn})
			p.up()
			local, remote, start := kernel4.Addr(), ours4, 20
			if v6 {
				local, remote, start = kernel6.Addr(), ours6, 40
			}
			c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(local, 0)))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(patience))
			port := c.LocalAddr().(*net.UDPAddr).Port

			payload := []byte("from the kernel")
			if _, err := c.WriteToUDPAddrPort(payload, netip.AddrPortFrom(remote, 5000)); err != nil {
				t.Fatal(err)
			}
			pkt, r := p.expect(layers.LayerTypeUDP)
			if !bytes.Equal(pkt.Layer(layers.LayerTypeUDP).LayerPayload(), payload) {
				t.Errorf("payload %q", pkt.Layer(layers.LayerTypeUDP).LayerPayload())
			}
			if o := r.offload; !o.NeedsChecksum && !o.Vouched && !checksumOK(r.bytes, start, 17) {
				t.Errorf("neither vouched for nor right: %+v", o)
			}

			udp := &layers.UDP{SrcPort: 5000, DstPort: layers.UDPPort(port)}
			bad := p.build(v6, true, udp, []byte("damaged"))
			bad[len(bad)-1] ^= 1
			unfinished := packetOf(p.build(v6, false, udp, []byte("unfinished")), start+8, 3)
			unfinished.Offload = link.Offload{NeedsChecksum: true, ChecksumStart: uint16(start), ChecksumOffset: 6}
			p.send(
				packetOf(bad, start+8, 1),
				packetOf(p.build(v6, true, udp, []byte("finished")), start+8, 1),
				unfinished,
			)
			buf := make([]byte, 100)
			for _, want := range []string{"finished", "unfinished"} {
				n, from, err := c.ReadFromUDPAddrPort(buf)
				if err != nil || string(buf[:n]) != want || from.Addr().Unmap() != remote {
					t.Errorf("the kernel received %q from %v, %v; want %q", buf[:n], from, err, want)
				}
			}
		})
	}
}

// TCP with the kernel by hand: a super-packet each way, or none without offload.
func TestTCP(t *testing.T) {
	for _, tt := range []struct {
		v6   bool
		mode OffloadMode
	}{{false, OffloadOn}, {true, OffloadOn}, {false, OffloadOff}, {true, OffloadOff}, {false, OffloadAuto}} {
		t.Run(fmt.Sprintf("v6=%v,%v", tt.v6, tt.mode), func(t *testing.T) {
			namespace(t)
			p := open(t, Config{Offload: tt.mode})
			p.up()
			testTCP(p, tt.v6, tt.mode != OffloadOff)
		})
	}
}

func testTCP(p *peer, v6, offload bool) {
	local, start := kernel4.Addr(), 20
	if v6 {
		local, start = kernel6.Addr(), 40
	}
	if got := p.link.Attributes(); (got.MaxGSO == 65535) != offload || got.TxChecksum != offload {
		p.Errorf("attributes %+v", got)
	}
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(local, 0)))
	if err != nil {
		p.Fatal(err)
	}
	defer l.Close()
	l.SetDeadline(time.Now().Add(patience))
	port := layers.TCPPort(l.Addr().(*net.TCPAddr).Port)

	const mss = 1000
	seg := layers.TCP{SrcPort: 4000, DstPort: port, Seq: 1000, Window: 65535}
	syn := seg
	syn.SYN = true
	syn.Options = []layers.TCPOption{
		{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{mss >> 8, mss & 0xff}},
		{OptionType: layers.TCPOptionKindWindowScale, OptionLength: 3, OptionData: []byte{7}},
	}
	p.send(link.Packet{Header: p.build(v6, true, &syn, nil)})
	pkt, _ := p.expect(layers.LayerTypeTCP)
	synack := pkt.Layer(layers.LayerTypeTCP).(*layers.TCP)
	if !synack.SYN || !synack.ACK {
		p.Fatalf("answer to SYN: %+v", synack)
	}
	seg.ACK, seg.Seq, seg.Ack = true, 1001, synack.Seq+1
	p.send(link.Packet{Header: p.build(v6, true, &seg, nil)})
	conn, err := l.AcceptTCP()
	if err != nil {
		p.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))

	// Towards the kernel.
	data := make([]byte, 20_500)
	for i := range data {
		data[i] = byte(i * 7 >> 3)
	}
	before := p.link.Stats()
	if offload {
		super := packetOf(p.build(v6, false, &seg, data), start+20, 41)
		super.Offload = link.Offload{GSOSize: mss, NeedsChecksum: true, ChecksumStart: uint16(start), ChecksumOffset: 16}
		p.send(super)
	} else {
		for i := 0; i < len(data); i += mss {
			s := seg
			s.Seq += uint32(i)
			p.send(packetOf(p.build(v6, true, &s, data[i:min(i+mss, len(data))]), start+20, 2))
		}
	}
	got := make([]byte, len(data))
	if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, data) {
		p.Fatalf("the kernel received other bytes than we sent: %v", err)
	}
	if st := p.link.Stats(); offload && st.PacketsOut != before.PacketsOut+1 {
		p.Errorf("the super-packet counts as %d", st.PacketsOut-before.PacketsOut)
	}
	seg.Seq += uint32(len(data))

	// From the kernel. It starts with ten segments in flight, and each
	// acknowledgement lets it send more.
	var write sync.WaitGroup
	write.Go(func() {
		if _, err := conn.Write(data); err != nil {
			p.Error(err)
		}
	})
	back := make([]byte, 0, len(data))
	supers := 0
	for len(back) < len(data) {
		pkt, r := p.expect(layers.LayerTypeTCP)
		tcp := pkt.Layer(layers.LayerTypeTCP).(*layers.TCP)
		if len(tcp.Payload) == 0 || tcp.Seq != seg.Ack {
			continue
		}
		headers := len(r.bytes) - len(tcp.Payload)
		if r.offload.GSOSize > 0 {
			supers++
			if r.offload.GSOSize != mss {
				p.Errorf("GSOSize %d, want the MSS of %d", r.offload.GSOSize, mss)
			}
		} else if len(r.bytes) > headers+mss {
			p.Errorf("a packet of %d bytes that is no super-packet", len(r.bytes))
		}
		switch o := r.offload; {
		case o.NeedsChecksum && (int(o.ChecksumStart) != start || o.ChecksumOffset != 16):
			p.Errorf("unfinished checksum at %d+%d", o.ChecksumStart, o.ChecksumOffset)
		case !o.NeedsChecksum && !checksumOK(r.bytes, start, 6):
			p.Error("finished checksum is wrong")
		case !offload && o != (link.Offload{}):
			p.Errorf("with offload off: %+v", o)
		}
		back = append(back, tcp.Payload...)
		seg.Ack += uint32(len(tcp.Payload))
		p.send(link.Packet{Header: p.build(v6, true, &seg, nil)})
	}
	write.Wait()
	if !bytes.Equal(back, data) {
		p.Error("we received other bytes than the kernel sent")
	}
	if (supers > 0) != offload {
		p.Errorf("%d super-packets", supers)
	}
	if st := p.link.Stats(); st.DropsOut != 0 || st.DropsIn != 0 || st.Errors != 0 {
		p.Errorf("stats %+v", st)
	}
}

// Packets of every length arrive as they are, wherever the pages are cut.
func TestLengths(t *testing.T) {
	namespace(t)
	p := open(t, Config{Name: "jumbo"})
	if err := setup.Configure("jumbo", 65535); err != nil {
		t.Fatal(err)
	}
	p.up()
	c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(kernel4.Addr(), 0)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// The last of them is a super-packet as to its length: whole pages are read from then
	// on, until enough small packets have come.
	sizes := []int{1, 1000, smallPage - 29, smallPage - 28, smallPage - 27, 9000, smallPage + copyLimit - 28, smallPage + copyLimit - 27}
	split := len(sizes)
	sizes = append(sizes, 65507, 1, smallPage-27, copyLimit-28, copyLimit-27, 40000)
	for range 16 {
		sizes = append(sizes, 1400)
	}
	split2 := len(sizes)
	sizes = append(sizes, 9000, 65507, 9000)
	for i, n := range sizes {
		data := make([]byte, n)
		for i := range data {
			data[i] = byte(i>>8) ^ byte(i)
		}
		if _, err := c.WriteToUDPAddrPort(data, netip.AddrPortFrom(ours4, 9)); err != nil {
			t.Fatal(n, err)
		}
		pkt, r := p.expect(layers.LayerTypeUDP)
		if !bytes.Equal(pkt.Layer(layers.LayerTypeUDP).LayerPayload(), data) {
			t.Errorf("a datagram of %d bytes arrived damaged", n)
		}
		want := 1
		if (i < split || i == split2 || i == split2+1) && n+28 > smallPage {
			want = 2
		}
		if r.pieces != want {
			t.Errorf("%d bytes arrived in %d pieces, want %d", n, r.pieces, want)
		}
	}
}

func TestSendDropsWhatDoesNotFit(t *testing.T) {
	namespace(t)
	p := open(t, Config{})
	p.up()
	super := link.Packet{Header: make([]byte, 1000), Offload: link.Offload{GSOSize: 100, NeedsChecksum: true, ChecksumStart: 20, ChecksumOffset: 16}}
	p.send(link.Packet{}, link.Packet{Header: make([]byte, 1501)}, super)
	if st := p.link.Stats(); st.DropsOut != 3 || st.PacketsOut != 0 || st.Errors != 0 {
		t.Errorf("stats %+v, want 3 drops", st)
	}
	// What the kernel refuses is an error, and hurts nobody else.
	p.send(link.Packet{Header: []byte{0x05, 1, 2, 3}})
	if st := p.link.Stats(); st.DropsOut != 4 || st.Errors != 1 {
		t.Errorf("stats %+v, want 4 drops and 1 error", st)
	}
	// More pieces than writev takes.
	udp := &layers.UDP{SrcPort: 1, DstPort: 2}
	p.send(packetOf(p.build(false, true, udp, make([]byte, 1400)), 28, 1400))
	if pkt, _ := p.expect(layers.LayerTypeICMPv4); pkt.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4).TypeCode.Type() != layers.ICMPv4TypeDestinationUnreachable {
		t.Error("no answer to a packet in 1400 pieces")
	}
}

// A device that root has made beforehand is attached to, and outlives us.
func TestPersistentDevice(t *testing.T) {
	for _, multi := range []bool{false, true} {
		t.Run(fmt.Sprint("multi=", multi), func(t *testing.T) {
			namespace(t)
			flags := netlink.TUNTAP_NO_PI | netlink.TUNTAP_ONE_QUEUE
			if multi {
				flags = netlink.TUNTAP_NO_PI | netlink.TUNTAP_MULTI_QUEUE
			}
			dev := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: "kept"}, Mode: netlink.TUNTAP_MODE_TUN, Flags: flags, Queues: 1}
			if err := netlink.LinkAdd(dev); err != nil {
				t.Fatal(err)
			}
			for _, f := range dev.Fds {
				f.Close()
			}
			if err := setup.Configure("kept", 1400); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				p := open(t, Config{Name: "kept"})
				if a := p.link.Attributes(); a.Name != "kept" || a.MTU != 1400 {
					t.Errorf("attributes %+v", a)
				}
				p.up()
				p.send(link.Packet{Header: p.build(false, true, &layers.UDP{SrcPort: 1, DstPort: 2}, nil)})
				p.expect(layers.LayerTypeICMPv4)
				if !multi {
					if _, err := Open(Config{Name: "kept"}); err == nil || !strings.Contains(err.Error(), "in use by another program") {
						t.Errorf("a second Open: %v", err)
					}
				}
				p.link.Close()
			}
			if _, err := netlink.LinkByName("kept"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOpenErrors(t *testing.T) {
	namespace(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	raw := func(flags uint16) int {
		fd, err := unix.Open(devNetTun, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		if flags != 0 {
			if _, err := setInterface(fd, "", flags); err != nil {
				t.Fatal(err)
			}
		}
		return fd
	}
	for _, tt := range []struct {
		cfg  Config
		want string
	}{
		{Config{Name: "lo"}, "an interface of another kind"},
		{Config{Name: "a/b"}, "no interface can have it"},
		{Config{Name: "sixteen-bytes-xx"}, "longer than 15 bytes"},
		{Config{MTU: 67}, "MTU 67"},
		{Config{Offload: 9}, "offload mode 9"},
		{Config{HasFD: true, FD: -1}, "no descriptor"},
		{Config{HasFD: true, FD: int(r.Fd())}, "is not an open /dev/net/tun"},
		{Config{HasFD: true, FD: raw(0)}, "has no device"},
		{Config{HasFD: true, FD: raw(unix.IFF_TAP | unix.IFF_NO_PI)}, "a TAP device"},
		{Config{HasFD: true, FD: raw(unix.IFF_TUN | unix.IFF_NO_PI), Offload: OffloadOn}, "IFF_VNET_HDR"},
	} {
		l, err := Open(tt.cfg)
		if err == nil {
			l.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want an error that says %q", tt.cfg, err, tt.want)
		}
	}
	for _, tt := range []struct{ err, want error }{
		{explainOpen(unix.ENOENT), errors.New("modprobe tun")},
		{explainOpen(unix.EACCES), errors.New("run as root")},
		{explainAttach(unix.EPERM, "x0"), errors.New("ip tuntap add dev x0 mode tun")},
	} {
		if !strings.Contains(tt.err.Error(), tt.want.Error()) {
			t.Errorf("%v does not say %v", tt.err, tt.want)
		}
	}
}

// An inherited descriptor, with a virtio header of any size and without, blocking
// or not.
func TestInherited(t *testing.T) {
	for _, tt := range []struct {
		name  string
		flags uint16
		size  int
	}{{"plain", 0, 0}, {"virtio", unix.IFF_VNET_HDR, 10}, {"virtio of 12 bytes", unix.IFF_VNET_HDR, 12}} {
		t.Run(tt.name, func(t *testing.T) {
			namespace(t)
			fd, err := unix.Open(devNetTun, unix.O_RDWR|unix.O_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := setInterface(fd, "inh0", unix.IFF_TUN|unix.IFF_NO_PI|tt.flags); err != nil {
				t.Fatal(err)
			}
			if tt.size != 0 {
				if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, tt.size); err != nil {
					t.Fatal(err)
				}
			}
			p := open(t, Config{HasFD: true, FD: fd, Offload: OffloadAuto})
			if a := p.link.Attributes(); a.Name != "inh0" || a.MTU != 1500 || a.TxChecksum != (tt.flags != 0) {
				t.Errorf("attributes %+v", a)
			}
			p.up()
			p.send(link.Packet{Header: p.build(false, true, &layers.UDP{SrcPort: 1, DstPort: 2}, nil)})
			p.expect(layers.LayerTypeICMPv4)
			if err := p.link.Close(); err != nil {
				t.Error(err)
			}
			if _, err := netlink.LinkByName("inh0"); err == nil {
				t.Error("the device is still there: a descriptor was left open")
			}
		})
	}
}

// A descriptor that was opened without IFF_NO_PI can only be told by its first
// packet; it is refused then.
func TestInheritedPacketInfo(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, flags := range []uint16{0, unix.IFF_VNET_HDR} {
			t.Run(fmt.Sprintf("v6=%v,flags=%x", v6, flags), func(t *testing.T) {
				namespace(t)
				fd, err := unix.Open(devNetTun, unix.O_RDWR|unix.O_CLOEXEC, 0)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := setInterface(fd, "", unix.IFF_TUN|flags); err != nil {
					t.Fatal(err)
				}
				failed := make(chan error, 1)
				p := open(t, Config{HasFD: true, FD: fd, OnError: func(err error) { failed <- err }})
				p.up()
				to, start := ours4, "udp4"
				if v6 {
					to, start = ours6, "udp6"
				}
				c, err := net.DialUDP(start, nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, 9)))
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				c.Write([]byte("hello"))
				select {
				case err := <-failed:
					if !strings.Contains(err.Error(), "IFF_NO_PI") {
						t.Errorf("OnError got %v", err)
					}
				case <-time.After(patience):
					t.Fatal("packet information went unnoticed")
				}
			})
		}
	}
}

func TestClose(t *testing.T) {
	namespace(t)
	p := open(t, Config{Name: "gone0"})
	p.up()
	if err := p.link.Attach(func([]link.Packet) {}); err == nil {
		t.Error("a second Attach worked")
	}
	var wg sync.WaitGroup
	for range 4 { // others are sending meanwhile
		wg.Go(func() {
			b := p.build(false, true, &layers.UDP{SrcPort: 1, DstPort: 2}, nil)
			for {
				if err := p.link.Send([]link.Packet{{Header: b}}); err != nil {
					if !errors.Is(err, net.ErrClosed) {
						t.Errorf("Send after Close: %v", err)
					}
					return
				}
			}
		})
	}
	p.expect(layers.LayerTypeICMPv4)
	for range 3 {
		wg.Go(func() {
			if err := p.link.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := p.link.Attach(func([]link.Packet) {}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Attach after Close: %v", err)
	}
	if _, err := netlink.LinkByName("gone0"); err == nil {
		t.Error("the device outlived Close")
	}
	// Never attached.
	if err := open(t, Config{}).link.Close(); err != nil {
		t.Error(err)
	}
}

// The device vanishes under us.
func TestDeviceDeleted(t *testing.T) {
	namespace(t)
	failed := make(chan error, 2)
	var p *peer
	p = open(t, Config{Name: "del0", OnError: func(err error) {
		p.link.Close()
		failed <- err
	}})
	p.up()
	dev, err := netlink.LinkByName("del0")
	if err != nil {
		t.Fatal(err)
	}
	// A device that is down loses packets, and says so.
	netlink.LinkSetDown(dev)
	p.send(link.Packet{Header: p.build(false, true, &layers.UDP{SrcPort: 1, DstPort: 2}, nil)})
	if st := p.link.Stats(); st.DropsOut != 1 || st.Errors != 1 {
		t.Errorf("stats %+v", st)
	}
	netlink.LinkSetUp(dev)
	p.send(link.Packet{Header: p.build(false, true, &layers.UDP{SrcPort: 1, DstPort: 2}, nil)})
	if st := p.link.Stats(); st.DropsOut != 1 {
		t.Errorf("stats %+v after the device came up again", st)
	}
	if err := netlink.LinkDel(dev); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-failed:
		if !errors.Is(err, unix.EBADFD) || !strings.Contains(err.Error(), "del0") {
			t.Errorf("OnError got %v", err)
		}
	case <-time.After(patience):
		t.Fatal("nobody was told that the device is gone")
	}
	if err := p.link.Send([]link.Packet{{Header: make([]byte, 40)}}); err == nil {
		t.Error("Send to a deleted device worked")
	}
}

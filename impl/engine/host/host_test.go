package host

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/impl/engine/ip"
	"github.com/sluicenet/sluice/impl/engine/tcp"
	"github.com/sluicenet/sluice/impl/reno"
)

// TestShardHash: a segment, an ICMP error that quotes what we sent back, and the
// shard in which a dial opens are one and the same; the fragments of a datagram
// are together.
func TestShardHash(t *testing.T) {
	const key = 0x123456789abcdef
	hash := func(b []byte, headerLen int) uint64 {
		p := link.Packet{Header: b[:headerLen], Payload: []api.Buffer{*api.CopyBuffer(b[headerLen:])}}
		return ShardHash(key, &p)
	}
	for _, src := range []netip.Addr{peer4, peer6} {
		l := newLab(t, nil)
		dst, _ := l.h.Route(src, netip.Addr{})
		local, remote := netip.AddrPortFrom(dst, 80), netip.AddrPortFrom(src, 1000)
		want := TupleHash(key, local, remote)
		in := seg{src: src, flags: "A", data: strings.Repeat("x", 1000)}.bytes(t)
		for _, headerLen := range []int{0, 60, 70} {
			if got := hash(in, headerLen); got != want {
				t.Errorf("segment, %d bytes of header: %#x, want %#x", headerLen, got, want)
			}
		}
		// An extension or an option in front changes nothing.
		if src.Is6() {
			b := append(bytes.Clone(in[:40]), append([]byte{6, 0, 1, 4, 0, 0, 0, 0}, in[40:]...)...)
			b[6], b[4], b[5] = 60, byte((len(b)-40)>>8), byte(len(b)-40)
			if got := hash(b, 0); got != want {
				t.Errorf("segment behind an extension: %#x, want %#x", got, want)
			}
		} else {
			g := gopacket.NewPacket(in, layers.LayerTypeIPv4, gopacket.Default)
			v4 := g.NetworkLayer().(*layers.IPv4)
			v4.Options = []layers.IPv4Option{{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}}
			if got := hash(serialize(t, v4, gopacket.Payload(v4.Payload)), 0); got != want {
				t.Errorf("segment behind an option: %#x, want %#x", got, want)
			}
		}
		out := seg{src: dst, dst: src, sport: 80, dport: 1000, flags: "A"}.bytes(t)
		typ := uint8(3)
		if src.Is6() {
			typ = 1
		}
		if got := hash(errorAbout(t, out, typ, 0, 0), 0); got != want {
			t.Errorf("ICMP error: %#x, want %#x", got, want)
		}
		var hashes []uint64
		ip.Fragment(in, 576, 3, func(b []byte) { hashes = append(hashes, hash(bytes.Clone(b), 0)) })
		if len(hashes) != 2 || hashes[0] != hashes[1] {
			t.Errorf("fragments: %#x", hashes)
		}
		// Of the next-header fields in fragments only the first one's counts
		// (RFC 8200, section 4.5).
		if src.Is6() {
			i := 0
			ip.Fragment(in, 576, 3, func(b []byte) {
				b = bytes.Clone(b)
				if i++; i == 2 {
					b[40] = 17
				}
				hashes = append(hashes, hash(b, 0))
			})
			if hashes[2] != hashes[3] || hashes[2] != hashes[0] {
				t.Errorf("fragments: %#x", hashes)
			}
		}
		hash(nil, 0)
	}
	// Spread well, also over few shards.
	counts := make([]int, 8)
	for i := range 8000 {
		counts[TupleHash(key, netip.AddrPortFrom(us4, 80), netip.AddrPortFrom(peer4, uint16(i)))%8]++
	}
	if chi2(counts) > 30 { // 7 degrees of freedom; 1 in 10,000
		t.Errorf("ports spread as %v", counts)
	}
	if TupleHash(1, netip.AddrPortFrom(us4, 80), netip.AddrPortFrom(peer4, 1)) == TupleHash(2, netip.AddrPortFrom(us4, 80), netip.AddrPortFrom(peer4, 1)) {
		t.Error("the key does not matter")
	}
}

func chi2(counts []int) float64 {
	sum := 0
	for _, n := range counts {
		sum += n
	}
	e, x := float64(sum)/float64(len(counts)), 0.0
	for _, n := range counts {
		x += (float64(n) - e) * (float64(n) - e) / e
	}
	return x
}

// TestPorts: each port once, uniform, and not to be guessed from the last ones
// (RFC 6056, S37).
func TestPorts(t *testing.T) {
	l := newLab(t, nil)
	remote := netip.AddrPortFrom(peer4, 80)
	seen := map[uint16]bool{}
	for p := range l.h.Ports(l.now, us4, remote) {
		if seen[p] || p < 32768 || p > 60999 {
			t.Fatalf("port %d", p)
		}
		seen[p] = true
	}
	if len(seen) != 60999-32768+1 {
		t.Errorf("%d ports", len(seen))
	}
	// Each dial takes the first; none comes again soon, and the steps tell nothing.
	next := func(remote netip.AddrPort) uint16 {
		for p := range l.h.Ports(l.now, us4, remote) {
			return p
		}
		panic("no port")
	}
	for i := range 3 {
		remote := netip.AddrPortFrom(peer4, uint16(81+i))
		buckets, steps, seen := make([]int, 16), make([]int, 16), map[uint16]bool{}
		last := next(remote)
		for range 16000 {
			p := next(remote)
			if seen[p] {
				t.Fatalf("port %d again within one round", p)
			}
			seen[p] = true
			buckets[int(p-32768)*16/28232]++
			steps[int(p-last+60000)%16]++
			last = p
		}
		if x := chi2(buckets); x > 50 { // 15 degrees of freedom
			t.Errorf("ports spread as %v", buckets)
		}
		if x := chi2(steps); x > 50 {
			t.Errorf("steps spread as %v", steps)
		}
	}
	a, b := next(netip.AddrPortFrom(peer4, 90)), next(netip.AddrPortFrom(peer4, 91))
	other := newLab(t, func(c *Config) { c.Secret[0]++ })
	if n := firstPort(other, 90); n == a && firstPort(other, 91) == b {
		t.Error("the secret does not matter")
	}
	small := newLab(t, func(c *Config) { c.FirstPort, c.LastPort = 100, 102 })
	n := 0
	for p := range small.h.Ports(0, us4, netip.AddrPortFrom(us4, 101)) {
		if n++; p == 101 {
			t.Error("a port to connect to itself")
		}
	}
	if n != 2 {
		t.Errorf("%d ports of two", n)
	}
}

func firstPort(l *lab, port uint16) uint16 {
	for p := range l.h.Ports(l.now, us4, netip.AddrPortFrom(peer4, port)) {
		return p
	}
	return 0
}

// TestISN: RFC 6528 (S05): unpredictable from tuple to tuple, and a clock of 4
// microseconds for one.
func TestISN(t *testing.T) {
	l := newLab(t, nil)
	iss := func(now clock.Time, port uint16, dst byte) uint32 {
		return l.h.identify(now, netip.AddrPortFrom(us4, port), netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, 9, dst}), 80)).iss
	}
	for _, d := range []time.Duration{0, time.Millisecond, time.Second, time.Hour, 30 * time.Hour} {
		if got, want := iss(clock.Time(d), 1, 1)-iss(0, 1, 1), uint32(d/(4*time.Microsecond)); got != want {
			t.Errorf("after %v the ISN is %d on, want %d (MUST-8)", d, got, want)
		}
	}
	const n = 50000
	var bits [32]int
	var words = make([]int, 256)
	offsets := map[uint32]bool{}
	for i := range n {
		x := iss(0, uint16(i), byte(i>>14))
		for b := range bits {
			bits[b] += int(x >> b & 1)
		}
		words[(x-iss(0, uint16(i+1), byte(i>>14)))>>24]++
		offsets[x] = true
	}
	for b, ones := range bits {
		if math.Abs(float64(ones)-n/2) > 5*math.Sqrt(n)/2 {
			t.Errorf("bit %d is set %d times of %d", b, ones, n)
		}
	}
	if x := chi2(words); x > 400 { // 255 degrees of freedom
		t.Errorf("differences of neighbours: chi-square %v", x)
	}
	if len(offsets) < n-10 {
		t.Errorf("%d different ISNs of %d", len(offsets), n)
	}
	m := newLab(t, func(c *Config) { c.Secret[31]++ })
	if m.h.identify(0, netip.AddrPortFrom(us4, 1), netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, 9, 1}), 80)).iss == iss(0, 1, 1) {
		t.Error("the secret does not matter (MUST-9)")
	}
	// Timestamp clocks are apart too (S23).
	c1 := l.h.identify(0, netip.AddrPortFrom(us4, 1), netip.AddrPortFrom(peer4, 1))
	c2 := l.h.identify(0, netip.AddrPortFrom(us4, 2), netip.AddrPortFrom(peer4, 1))
	if c1.tsOffset == c2.tsOffset {
		t.Error("two connections share a timestamp clock")
	}
}

// TestLoopback: a host reaches itself at any of its addresses, and nothing of it
// crosses the link.
func TestLoopback(t *testing.T) {
	for _, gso := range []int{0, 65535} {
		l := newLab(t, func(c *Config) {
			c.MaxGSO = gso
			c.Addresses = append(c.Addresses, netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("10.0.0.9/24"))
		})
		l.listen(nil)
		port := uint16(5000)
		for _, dst := range []string{"10.0.0.1", "10.0.0.9", "127.0.0.1", "fd00::1"} {
			port++
			to := netip.AddrPortFrom(netip.MustParseAddr(dst), 80)
			src, err := l.h.Route(to.Addr(), netip.Addr{})
			if err != nil || src != to.Addr() {
				t.Fatalf("route to %v from %v: %v", to, src, err)
			}
			n := len(l.conns)
			c, err := l.h.Dial(l.now, netip.AddrPortFrom(src, port), to, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			l.want()
			if len(l.conns) != n+1 || c.State() != api.StateEstablished {
				t.Fatalf("%s: %v, %d accepted", dst, c.State(), len(l.conns)-n)
			}
			server := l.conns[n]
			data := bytes.Repeat([]byte("0123456789"), 20_000)
			if _, err := c.Write(l.now, []*api.Buffer{api.CopyBuffer(data)}, tcp.WriteOptions{}); err != nil {
				t.Fatal(err)
			}
			c.CloseWrite(l.now)
			l.h.Touch(l.now, c)
			var got []byte
			for range 1000 {
				l.want()
				b, err := server.Read(l.now)
				if err == io.EOF {
					break
				}
				if err != nil {
					l.advance(10 * time.Millisecond)
					continue
				}
				got = append(got, b.Bytes()...)
				b.Release()
				l.h.Touch(l.now, server)
			}
			if sha256.Sum256(got) != sha256.Sum256(data) {
				t.Errorf("%s: %d bytes of %d", dst, len(got), len(data))
			}
			server.CloseWrite(l.now)
			l.h.Touch(l.now, server)
			l.want()
			if !c.FullyClosed() || !server.FullyClosed() {
				t.Errorf("%s: %v, %v", dst, c.State(), server.State())
			}
		}
		// To itself, on one and the same port: a simultaneous open.
		self := netip.AddrPortFrom(us4, 7)
		c, err := l.h.Dial(l.now, self, self, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		l.want()
		if c.State() != api.StateEstablished {
			t.Errorf("to itself: %v", c.State())
		}
		l.h.Shutdown(l.now)
		// From the link the same addresses are lies.
		l.listen(nil)
		l.in(seg{src: netip.MustParseAddr("10.0.0.9"), flags: "S"})
		l.in(seg{src: peer4, dst: netip.MustParseAddr("127.0.0.1"), flags: "S"})
		l.want()
		if l.drops(api.DropMartian) != 2 {
			t.Errorf("%d martians", l.drops(api.DropMartian))
		}
	}
}

// TestOffload: with a link that sums, and one that cuts up super-packets.
func TestOffload(t *testing.T) {
	for _, src := range []netip.Addr{peer4, peer6} {
		l := newLab(t, func(c *Config) { c.TxChecksum, c.MaxGSO = true, 65535 })
		l.listen(nil)
		l.connect(seg{src: src, seq: 100, mss: 1440})
		c := l.conns[0]
		data := bytes.Repeat([]byte("0123456789"), 10_000)
		c.Write(l.now, []*api.Buffer{api.CopyBuffer(data)}, tcp.WriteOptions{NoDelay: true})
		l.h.Touch(l.now, c)
		l.h.Poll(l.now, &l.batch, 100)
		var got []byte
		super := false
		for i := range l.batch.Link {
			p := &l.batch.Link[i]
			ipLen := 20
			if src.Is6() {
				ipLen = 40
			}
			o := p.Offload
			if !o.NeedsChecksum || int(o.ChecksumStart) != ipLen || o.ChecksumOffset != 16 {
				t.Fatalf("%+v", o)
			}
			if p.Len() > 1500 {
				super = true
				if o.GSOSize == 0 || p.Len() > 65535 {
					t.Fatalf("%d bytes, %+v", p.Len(), o)
				}
			}
			// What the device does: sum from ChecksumStart, and store.
			b := p.AppendTo(nil)
			var s uint32
			for j := ipLen; j < len(b); j += 2 {
				s += uint32(b[j]) << 8
				if j+1 < len(b) {
					s += uint32(b[j+1])
				}
			}
			for s > 0xffff {
				s = s>>16 + s&0xffff
			}
			b[ipLen+16], b[ipLen+17] = byte(^s>>8), byte(^s)
			g := l.decode(&link.Packet{Header: b, Offload: link.Offload{GSOSize: o.GSOSize}}) // gopacket agrees
			got = append(got, tcpOf(t, g).Payload...)
		}
		l.batch.Reset()
		if !super || !bytes.HasPrefix(data, got) || len(got) < 10_000 {
			t.Errorf("%d bytes sent, super-packets %v", len(got), super)
		}
	}
	// Received: a super-packet counts as one segment, vouched for or with only
	// part of its checksum.
	for _, o := range []link.Offload{{GSOSize: 1000, Vouched: true}, {GSOSize: 1000, NeedsChecksum: true, ChecksumStart: 20, ChecksumOffset: 16}} {
		l := newLab(t, nil)
		l.listen(nil)
		iss := l.connect(seg{seq: 100})
		data := strings.Repeat("0123456789", 2000)
		b := seg{flags: "PA", seq: 101, ack: iss + 1, data: data}.bytes(t)
		b[36] ^= 0xff
		l.h.Packet(l.now, &link.Packet{Header: b[:40], Payload: []api.Buffer{*api.CopyBuffer(b[40:])}, Offload: o})
		l.run()
		n := 0
		for {
			r, err := l.conns[0].Read(l.now)
			if err != nil {
				break
			}
			n += r.Len()
		}
		if n != len(data) {
			t.Errorf("%+v: %d bytes", o, n)
		}
	}
}

func TestResolve(t *testing.T) {
	l := newLab(t, func(c *Config) { c.Flow.DSCP, c.Flow.SendBuffer = 10, 100_000 })
	f, err := l.h.Resolve(nil)
	if err != nil || f.TTL != 64 || f.DSCP != 10 || f.SendBuffer != 100_000 || f.ReceiveBuffer != defaultReceiveBuffer || f.Congestion != "reno" {
		t.Errorf("%+v, %v", f, err)
	}
	f, err = l.h.Resolve(&api.FlowConfig{TTL: 3, MSS: 500, UserTimeout: time.Second})
	if err != nil || f.TTL != 3 || f.MSS != 500 || f.UserTimeout != time.Second || f.SendBuffer != 100_000 {
		t.Errorf("%+v, %v", f, err)
	}
	for field, c := range map[string]api.FlowConfig{
		"SendBuffer":    {SendBuffer: -1},
		"ReceiveBuffer": {ReceiveBuffer: 1 << 40},
		"UserTimeout":   {UserTimeout: -1},
		"DSCP":          {DSCP: 64},
		"MSS":           {MSS: 8},
		"Congestion":    {Congestion: "vegas"},
	} {
		if _, err := l.h.Resolve(&c); !errors.Is(err, api.ErrInvalidConfig) || !strings.Contains(fmt.Sprint(err), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, err := l.h.Resolve(&api.FlowConfig{Local: netip.MustParseAddrPort("9.9.9.9:0")}); !errors.Is(err, api.ErrInvalidAddress) {
		t.Errorf("another's address: %v", err)
	}
	if _, err := l.h.Resolve(&api.FlowConfig{Congestion: "reno:nonsense=1"}); !errors.Is(err, api.ErrInvalidConfig) {
		t.Errorf("options of a controller: %v", err)
	}
	if _, err := l.h.Resolve(&api.FlowConfig{Local: netip.MustParseAddrPort("0.0.0.0:77")}); err != nil {
		t.Errorf("half an address: %v", err)
	}
}

func TestNewErrors(t *testing.T) {
	for name, edit := range map[string]func(*Config){
		"no address":      func(c *Config) { c.Addresses = nil },
		"MTU":             func(c *Config) { c.MTU = 67 },
		"MTU for IPv6":    func(c *Config) { c.MTU = 1279 },
		"no controller":   func(c *Config) { c.Controllers = nil },
		"unknown default": func(c *Config) { c.Flow.Congestion = "vegas" },
		"no default": func(c *Config) {
			c.Flow.Congestion = ""
			c.Controllers = map[string]cc.Factory{"reno": reno.Factory, "reno2": reno.Factory}
		},
		"ports":    func(c *Config) { c.FirstPort, c.LastPort = 10, 5 },
		"path MTU": func(c *Config) { c.MinPathMTU = 20 },
		"gateways": func(c *Config) { c.Gateways = append(c.Gateways, peer4) },
	} {
		cfg := &Config{Addresses: []netip.Prefix{netip.PrefixFrom(us4, 24), netip.PrefixFrom(us6, 64)}, MTU: 1500,
			Gateways: []netip.Addr{peer4}, Controllers: map[string]cc.Factory{"reno": reno.Factory}}
		edit(cfg)
		if _, err := New(cfg); !errors.Is(err, api.ErrInvalidConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBudget: limits hold from many goroutines.
func TestBudget(t *testing.T) {
	b := &Budget{MemoryLimit: 1000}
	done := make(chan int64)
	for range 4 {
		go func() {
			n := int64(0)
			for range 1000 {
				if b.Charge(3) {
					n += 3
				}
			}
			done <- n
		}()
	}
	var sum int64
	for range 4 {
		sum += <-done
	}
	if sum != b.Memory() || sum > 1000 || sum < 990 {
		t.Errorf("%d charged, %d taken", sum, b.Memory())
	}
	b.Release(sum)
	if b.Memory() != 0 {
		t.Error("not given back")
	}
}

// TestMemoryLimit: a stack at its limit takes no new connections.
func TestMemoryLimit(t *testing.T) {
	l := newLab(t, func(c *Config) { c.Budget.MemoryLimit = 1000 })
	l.listen(nil)
	l.h.budget.Charge(1000)
	l.in(seg{flags: "S"})
	l.want()
	if l.drops(api.DropMemory) != 1 {
		t.Error("not counted")
	}
	if _, err := l.h.Dial(l.now, netip.AddrPortFrom(us4, 5000), netip.AddrPortFrom(peer4, 80), nil, nil); !errors.Is(err, api.ErrNoMemory) {
		t.Error(err)
	}
	l.h.budget.Release(1000)
	l.wantEmpty()
}

// TestRepliesAreBounded: answers that nobody fetches do not pile up.
func TestRepliesAreBounded(t *testing.T) {
	l := newLab(t, nil)
	ping := serialize(t, ipTo(peer4, us4, layers.IPProtocolICMPv4), icmp4(8, 0, 77, 3), gopacket.Payload(make([]byte, 1000)))
	for range 5000 {
		l.packet(ping)
	}
	if l.h.replies.len() > maxReplies || l.h.replyBytes > maxReplyMemory {
		t.Errorf("%d replies of %d bytes", l.h.replies.len(), l.h.replyBytes)
	}
	n := len(l.run())
	if l.h.replyBytes != 0 || uint64(n)+l.drops(api.DropMemory) != 5000 {
		t.Errorf("%d sent, %d dropped, %d bytes left", n, l.drops(api.DropMemory), l.h.replyBytes)
	}
}

// TestRepeats: the same packets at the same instants give the same packets.
func TestRepeats(t *testing.T) {
	run := func() (h [32]byte) {
		l := newLab(t, nil)
		l.listen(nil)
		sum := sha256.New()
		ack := map[uint16]uint32{}
		out := func() {
			for _, g := range l.run() {
				sum.Write(g.Data())
			}
		}
		for port := uint16(1); port <= 40; port++ {
			iss := l.connect(seg{sport: port, seq: 100})
			ack[port] = iss
		}
		for port, c := range l.conns {
			c.Write(l.now, []*api.Buffer{api.NewBuffer(make([]byte, 5000))}, tcp.WriteOptions{})
			l.h.Touch(l.now, c)
			if port%3 == 0 {
				l.in(seg{sport: uint16(port + 1), flags: "A", seq: 101, ack: ack[uint16(port+1)] + 1})
			}
		}
		for range 20 {
			out()
			l.advance(300 * time.Millisecond)
		}
		sum.Sum(h[:0])
		return h
	}
	first := run()
	for range 3 {
		if run() != first {
			t.Fatal("another run sent other packets")
		}
	}
}

// TestShutdown: nothing is left, whatever was under way.
func TestShutdown(t *testing.T) {
	l := newLab(t, nil)
	l.listen(nil)
	l.in(seg{flags: "S", sport: 1}) // half-open
	l.run()
	l.timeWaiting(seg{sport: 2, seq: 100})
	l.connect(seg{sport: 3, seq: 100})
	ip.Fragment(seg{flags: "A", data: strings.Repeat("x", 1000)}.bytes(t), 600, 5, func(b []byte) { l.packet(b[:]) })
	l.h.frags.Clear()
	for _, c := range l.conns {
		c.Abort(l.now, api.ErrDisconnected)
		l.h.Touch(l.now, c)
		c.ReleaseBuffers()
	}
	l.h.Shutdown(l.now)
	l.run()
	l.wantEmpty()
	if s := l.h.Stats(); s.TimeWait != 0 || l.h.Deadline() != clock.Never {
		t.Errorf("%d in TIME-WAIT, deadline %v", s.TimeWait, l.h.Deadline())
	}
}

// TestTouchForgotten: what happens to a connection that the Host has forgotten is
// still told.
func TestTouchForgotten(t *testing.T) {
	l := newLab(t, nil)
	l.listen(nil)
	l.connect(seg{seq: 100})
	c := l.conns[0]
	l.in(seg{flags: "R", seq: 101})
	told := tcp.Events(0)
	for {
		d, ev, ok := l.h.Ready()
		if !ok {
			break
		}
		if d == c {
			told |= ev
		}
	}
	if told&tcp.EventClosed == 0 || !c.Gone() {
		t.Errorf("told %b", told)
	}
	l.want()
	l.wantEmpty()
	c.CloseWrite(l.now)
	l.h.Touch(l.now, c)
	l.want()
	l.wantEmpty()
}

// FuzzHost feeds a Host any packets, between steps of time. It must not panic, must
// not answer with more than it was told, and must come to an end.
func FuzzHost(f *testing.F) {
	f.Add(append([]byte{60}, seg{flags: "S", mss: 1000}.bytes(f)...))
	f.Add(append([]byte{41}, seg{flags: "A", ack: 1}.bytes(f)...))
	f.Add(append([]byte{60}, seg{src: peer6, flags: "S", data: "x"}.bytes(f)...))
	f.Add(append([]byte{28}, serialize(f, ipTo(peer4, us4, layers.IPProtocolICMPv4), icmp4(8, 0, 1, 1))...))
	f.Fuzz(func(t *testing.T, script []byte) {
		l := &lab{t: t, h: fuzzHost(t)}
		l.listen(func(ln *Listener) { ln.Backlog = 2 })
		l.h.Dial(l.now, netip.AddrPortFrom(us4, 2000), netip.AddrPortFrom(peer4, 1000), nil, nil)
		in, out := 0, 0
		for len(script) > 0 && in < 64 {
			n := min(int(script[0])+1, len(script))
			b := bytes.Clone(script[1:n])
			script = script[n:]
			repair(b)
			in++
			p := link.Packet{Offload: link.Offload{Vouched: true}}
			if n%2 == 0 {
				p.Payload = []api.Buffer{*api.NewBuffer(b)}
			} else {
				k := min(len(b), 60)
				p.Header = b[:k]
				if k < len(b) {
					p.Payload = []api.Buffer{*api.NewBuffer(b[k:])}
				}
			}
			ShardHash(1, &p)
			l.h.Packet(l.now, &p)
			out += len(l.run())
			if out > 4*in+8 {
				t.Fatalf("%d packets in answer to %d", out, in)
			}
			l.advance(time.Duration(n) * 100 * time.Microsecond)
		}
		for _, c := range l.conns {
			c.Abort(l.now, api.ErrAborted)
			c.ReleaseBuffers()
			l.h.Touch(l.now, c)
		}
		for range 600 {
			l.run()
			if l.h.Deadline() == clock.Never {
				break
			}
			l.advance(time.Second)
		}
		l.run()
		if l.h.Deadline() != clock.Never {
			t.Fatalf("something is left after ten minutes: %+v", l.h.Stats())
		}
		l.wantEmpty()
	})
}

func fuzzHost(t testing.TB) *Host { return newLab(t, nil).h }

// repair makes a packet's addresses and IP checksum good, so that the fuzzer gets
// past the door.
func repair(b []byte) {
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		copy(b[12:], peer4.AsSlice())
		copy(b[16:], us4.AsSlice())
		b[2], b[3] = byte(len(b)>>8), byte(len(b))
		if n := int(b[0]&15) * 4; n == 20 {
			fixChecksum(b)
		}
	case len(b) >= 40 && b[0]>>4 == 6:
		copy(b[8:], peer6.AsSlice())
		copy(b[24:], us6.AsSlice())
		b[4], b[5] = byte((len(b)-40)>>8), byte(len(b)-40)
	}
}

// TestPortExhaustion: when every port towards a destination is taken a dial fails
// at once; towards another it does not.
func TestPortExhaustion(t *testing.T) {
	l := newLab(t, func(c *Config) { c.FirstPort, c.LastPort = 100, 119 })
	dial := func(remote netip.AddrPort) error {
		err := error(api.ErrNoPorts)
		for p := range l.h.Ports(l.now, us4, remote) {
			if _, err = l.h.Dial(l.now, netip.AddrPortFrom(us4, p), remote, nil, nil); !errors.Is(err, api.ErrPortInUse) {
				return err
			}
		}
		return err
	}
	for i := range 20 {
		if err := dial(netip.AddrPortFrom(peer4, 80)); err != nil {
			t.Fatalf("dial %d: %v", i, err)
		}
	}
	if err := dial(netip.AddrPortFrom(peer4, 80)); !errors.Is(err, api.ErrPortInUse) {
		t.Errorf("one too many: %v", err)
	}
	if err := dial(netip.AddrPortFrom(peer4, 81)); err != nil {
		t.Errorf("another destination: %v", err)
	}
}

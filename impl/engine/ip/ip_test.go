package ip

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/wire"
	"pgregory.net/rapid"
)

var (
	src4 = netip.MustParseAddr("192.0.2.1")
	dst4 = netip.MustParseAddr("192.0.2.99")
	src6 = netip.MustParseAddr("2001:db8::1")
	dst6 = netip.MustParseAddr("2001:db8::99")
)

// serialize lets gopacket write the packets, so that it is not our own code that
// says what a good one is.
func serialize(t testing.TB, ls ...gopacket.SerializableLayer) []byte {
	t.Helper()
	sb := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(sb, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ls...); err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(sb.Bytes())
}

func ipv4(edit func(*layers.IPv4)) *layers.IPv4 {
	l := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: net.IP(src4.AsSlice()), DstIP: net.IP(dst4.AsSlice())}
	if edit != nil {
		edit(l)
	}
	return l
}

func TestParse4(t *testing.T) {
	good := serialize(t, ipv4(nil), gopacket.Payload("0123456789"))
	edit := func(f func(b []byte) []byte) []byte {
		b := f(bytes.Clone(good))
		if len(b) >= 20 && int(b[0]&15)*4 <= len(b) {
			b[10], b[11] = 0, 0
			var c wire.Checksum
			c.Add(b[:int(b[0]&15)*4])
			binary.BigEndian.PutUint16(b[10:], c.Value())
		}
		return b
	}
	option := func(o ...byte) []byte {
		return serialize(t, ipv4(func(l *layers.IPv4) {
			l.Options = []layers.IPv4Option{{OptionType: o[0], OptionLength: uint8(len(o)), OptionData: o[2:]}}
		}), gopacket.Payload("0123456789"))
	}
	for _, test := range []struct {
		name string
		b    []byte
		ok   bool
		want api.DropReason
	}{
		{"good", good, true, 0},
		{"padded by the link", append(bytes.Clone(good), 0, 0, 0), true, 0},
		{"empty", nil, false, api.DropTruncated},
		{"short header", good[:19], false, api.DropTruncated},
		{"short payload", good[:len(good)-1], false, api.DropTruncated},
		{"version 5", edit(func(b []byte) []byte { b[0] = 0x55; return b }), false, api.DropIPHeader},
		{"IHL 4", edit(func(b []byte) []byte { b[0] = 0x44; return b }), false, api.DropIPHeader},
		{"IHL 15 of 30 bytes", edit(func(b []byte) []byte { b[0] = 0x4f; return b }), false, api.DropTruncated},
		{"total length below the header", edit(func(b []byte) []byte { b[3] = 19; return b }), false, api.DropIPHeader},
		{"checksum", func() []byte { b := bytes.Clone(good); b[8]++; return b }(), false, api.DropIPChecksum},
		{"router alert is skipped (MUST-50)", option(148, 4, 0, 0), true, 0},
		{"unknown option is skipped (MUST-50)", option(200, 6, 1, 2, 3, 4), true, 0},
		{"loose source route", option(131, 7, 4, 1, 2, 3, 4), false, api.DropIPHeader},
		{"strict source route", option(137, 7, 4, 1, 2, 3, 4), false, api.DropIPHeader},
		{"option past the end", edit(func(b []byte) []byte {
			b = append(b[:20:20], append([]byte{200, 9, 0, 0}, b[20:]...)...)
			b[0], b[3] = 0x46, byte(len(b))
			return b
		}), false, api.DropIPHeader},
		{"option of length 1", edit(func(b []byte) []byte {
			b = append(b[:20:20], append([]byte{200, 1, 0, 0}, b[20:]...)...)
			b[0], b[3] = 0x46, byte(len(b))
			return b
		}), false, api.DropIPHeader},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, f, ok := Parse(test.b, len(test.b))
			if ok != test.ok || !ok && f.Reason != test.want {
				t.Fatalf("ok %v, %v; want %v, %v", ok, f.Reason, test.ok, test.want)
			}
			if ok && string(test.b[p.HeaderLen:p.Len]) != "0123456789" {
				t.Errorf("payload %q", test.b[p.HeaderLen:p.Len])
			}
		})
	}
}

// TestParse4Lengths: no combination of lengths lets bytes beyond the total length
// through, or reads past the end (S34).
func TestParse4Lengths(t *testing.T) {
	for ihl := range 16 {
		for total := range 100 {
			for n := range 81 {
				b := make([]byte, n)
				if n > 3 {
					b[0], b[3] = 0x40|byte(ihl), byte(total)
				}
				if n >= 20 && ihl*4 <= n {
					var c wire.Checksum
					c.Add(b[:ihl*4])
					if ihl >= 3 {
						binary.BigEndian.PutUint16(b[10:], c.Value())
					}
				}
				p, _, ok := Parse(b, n)
				if want := n >= 20 && ihl >= 5 && ihl*4 <= total && total <= n; ok != want {
					t.Fatalf("IHL %d, total length %d, %d bytes: ok %v", ihl, total, n, ok)
				}
				if ok && (p.Len != total || p.HeaderLen != ihl*4) {
					t.Fatalf("IHL %d, total length %d: %+v", ihl, total, p)
				}
			}
		}
	}
}

// v6 builds an IPv6 packet from a chain of raw extension headers.
func v6(next byte, chain ...[]byte) []byte {
	var payload []byte
	for _, c := range chain {
		payload = append(payload, c...)
	}
	b := make([]byte, 40, 40+len(payload))
	b[0], b[6], b[7] = 0x60, next, 64
	binary.BigEndian.PutUint16(b[4:], uint16(len(payload)))
	copy(b[8:], src6.AsSlice())
	copy(b[24:], dst6.AsSlice())
	return append(b, payload...)
}

// ext is an extension header of eight bytes with padding, or the given body.
func ext(next byte, body ...byte) []byte {
	if body == nil {
		body = []byte{1, 4, 0, 0, 0, 0}
	}
	return append([]byte{next, byte((len(body)+2)/8 - 1)}, body...)
}

func TestParse6(t *testing.T) {
	tcp := make([]byte, 20)
	tcp[12] = 5 << 4
	frag := func(next byte, off uint16, more byte) []byte {
		return []byte{next, 0, byte(off >> 8), byte(off) | more, 0, 0, 0, 7}
	}
	var long [][]byte
	for range 9 {
		long = append(long, ext(60))
	}
	long = append(long, ext(6), tcp)
	for _, test := range []struct {
		name   string
		b      []byte
		ok     bool
		header int
		want   api.DropReason
		report int // code, -1 if none
	}{
		{"plain", v6(6, tcp), true, 40, 0, -1},
		{"hop-by-hop first", v6(0, ext(6), tcp), true, 48, 0, -1},
		{"all of them", v6(0, ext(60), ext(43), ext(60, 1, 4, 0, 0, 0, 0), ext(6), tcp), false, 0, api.DropIPHeader, 0}, // a routing header with segments left
		{"routing without segments left", v6(43, ext(6, 0, 0, 0, 0, 0, 0), tcp), true, 48, 0, -1},
		{"routing with segments left", v6(43, ext(6, 0, 1, 0, 0, 0, 0), tcp), false, 0, api.DropIPHeader, 0},
		{"hop-by-hop second", v6(60, ext(0), ext(6), tcp), false, 0, api.DropIPHeader, 1},
		{"eight headers", v6(60, append(long[2:], nil)...), true, 40 + 64, 0, -1},
		{"ten headers", v6(60, long...), false, 0, api.DropIPHeader, -1},
		{"chain cut short", v6(60, ext(6)[:7]), false, 0, api.DropTruncated, -1},
		{"option past its header", v6(60, ext(6, 1, 9, 0, 0, 0, 0), tcp), false, 0, api.DropIPHeader, -1},
		{"unknown option, skip", v6(60, ext(6, 0x3e, 4, 0, 0, 0, 0), tcp), true, 48, 0, -1},
		{"unknown option, discard", v6(60, ext(6, 0x7e, 4, 0, 0, 0, 0), tcp), false, 0, api.DropIPHeader, -1},
		{"unknown option, report", v6(60, ext(6, 0xbe, 4, 0, 0, 0, 0), tcp), false, 0, api.DropIPHeader, 2},
		{"jumbo payload", v6(0, ext(6, 0xc2, 4, 0, 1, 0, 0), tcp), false, 0, api.DropIPHeader, 2},
		{"atomic fragment (RFC 6946)", v6(44, frag(6, 0, 0), tcp), true, 48, 0, -1},
		{"first fragment", v6(44, frag(6, 0, 1), tcp), true, 48, 0, -1},
		{"first fragment without the whole chain (RFC 7112)", v6(44, frag(6, 0, 1), tcp[:16]), false, 0, api.DropFragmentInvalid, 3},
		{"first fragment that ends in an extension (RFC 7112)", v6(44, frag(60, 0, 1), ext(6)), false, 0, api.DropFragmentInvalid, 3},
		{"later fragment", v6(44, frag(60, 8, 1), []byte("whatever")), true, 48, 0, -1},
		{"two fragment headers", v6(44, frag(44, 0, 1), frag(6, 0, 1), tcp), false, 0, api.DropFragmentInvalid, -1},
		{"two atomic ones", v6(44, frag(44, 0, 0), frag(6, 0, 0), tcp), false, 0, api.DropFragmentInvalid, -1},
		{"payload cut short", v6(6, tcp)[:59], false, 0, api.DropTruncated, -1},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, f, ok := Parse(test.b, len(test.b))
			report := -1
			if f.Report {
				report = int(f.Code)
			}
			if ok != test.ok || p.HeaderLen != test.header && ok || !ok && f.Reason != test.want || report != test.report {
				t.Errorf("ok %v, header %d, %v, report %d; want %v, %d, %v, %d", ok, p.HeaderLen, f.Reason, report,
					test.ok, test.header, test.want, test.report)
			}
		})
	}
	// Cut off at every byte, nothing panics, and nothing is taken (S33).
	whole := v6(0, ext(60), ext(44), frag(6, 0, 0), tcp)
	for n := range whole {
		if _, _, ok := Parse(whole[:n:n], n); ok {
			t.Errorf("%d of %d bytes are taken for a packet", n, len(whole))
		}
	}
	if _, _, ok := Parse(whole, len(whole)); !ok {
		t.Error("the whole is refused")
	}
}

func TestMartians(t *testing.T) {
	for _, a := range []string{"0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
		"::", "::1", "ff02::1", "ff0e::1", "::ffff:10.0.0.1", "::10.0.0.1"} {
		if !Martian(netip.MustParseAddr(a)) {
			t.Errorf("%s passes", a)
		}
	}
	for _, a := range []string{"10.0.0.1", "192.168.1.255", "8.8.8.8", "223.255.255.255", "fe80::1", "fd00::1", "2001:db8::1"} {
		if Martian(netip.MustParseAddr(a)) {
			t.Errorf("%s does not pass", a)
		}
	}
	r, err := NewRoutes([]netip.Prefix{netip.MustParsePrefix("10.1.2.3/24"), netip.MustParsePrefix("fd00::3/64")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for a, want := range map[string]bool{"10.1.2.3": false, "fd00::3": false, "10.1.2.255": false, "10.1.2.4": true, "10.9.9.9": true} {
		if got := r.AcceptableSource(netip.MustParseAddr(a)); got != want {
			t.Errorf("AcceptableSource(%s) = %v", a, got)
		}
	}
}

func TestSource(t *testing.T) {
	prefixes := func(s ...string) (ps []netip.Prefix) {
		for _, p := range s {
			ps = append(ps, netip.MustParsePrefix(p))
		}
		return ps
	}
	r, err := NewRoutes(prefixes("10.1.0.1/24", "10.2.0.1/16", "127.0.0.1/8", "fd01::1/64", "fd02::1/64", "fe80::1/64"),
		[]netip.Addr{netip.MustParseAddr("10.1.0.254")})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		dst, src, want string
		err            error
	}{
		{"10.1.0.7", "", "10.1.0.1", nil},
		{"10.2.7.7", "", "10.2.0.1", nil},
		{"10.2.7.7", "10.1.0.1", "10.1.0.1", nil},
		{"10.2.7.7", "0.0.0.0", "10.2.0.1", nil},
		{"::ffff:10.2.7.7", "", "10.2.0.1", nil},
		{"8.8.8.8", "", "10.1.0.1", nil}, // by the gateway
		{"10.1.0.1", "", "10.1.0.1", nil},
		{"127.0.0.1", "", "127.0.0.1", nil},
		{"127.9.9.9", "", "", api.ErrUnreachable},
		{"10.2.7.7", "10.3.0.1", "", api.ErrInvalidAddress},
		{"10.2.7.7", "fd01::1", "", api.ErrInvalidAddress},
		{"8.8.8.8", "127.0.0.1", "", api.ErrInvalidAddress},
		{"fd01::7", "", "fd01::1", nil},
		{"fd02::7", "", "fd02::1", nil},
		{"fe80::7", "", "fe80::1", nil},
		{"2001:db8::1", "", "", api.ErrUnreachable}, // no gateway
		{"0.0.0.0", "", "", api.ErrInvalidAddress},
		{"::", "", "", api.ErrInvalidAddress},
		{"224.0.0.1", "", "", api.ErrInvalidAddress},
		{"ff02::1", "", "", api.ErrInvalidAddress},
		{"255.255.255.255", "", "", api.ErrInvalidAddress},
		{"10.1.0.255", "", "", api.ErrInvalidAddress},
		{"10.2.255.255", "", "", api.ErrInvalidAddress},
		{"250.1.1.1", "", "", api.ErrInvalidAddress},
		{"::1", "", "", api.ErrUnreachable},
	} {
		var src netip.Addr
		if test.src != "" {
			src = netip.MustParseAddr(test.src)
		}
		got, err := r.Source(netip.MustParseAddr(test.dst), src)
		if !errors.Is(err, test.err) || test.want != "" && got.String() != test.want {
			t.Errorf("Source(%s, %q) = %v, %v; want %s, %v", test.dst, test.src, got, err, test.want, test.err)
		}
	}
	if _, err := r.Source(netip.Addr{}, netip.Addr{}); !errors.Is(err, api.ErrInvalidAddress) {
		t.Errorf("no address at all: %v", err)
	}
	for name, ps := range map[string][]netip.Prefix{
		"none": nil, "zero value": {{}}, "unspecified": prefixes("0.0.0.0/0"), "multicast": prefixes("ff02::1/64"),
		"broadcast": prefixes("10.0.0.255/24"), "twice": prefixes("10.0.0.1/24", "10.0.0.1/16"), "reserved": prefixes("250.0.0.1/24"),
	} {
		if _, err := NewRoutes(ps, nil); !errors.Is(err, api.ErrInvalidConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var many []netip.Prefix
	for i := range 100 {
		many = append(many, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 5, byte(i), 1}), 24))
	}
	if r, err = NewRoutes(many, nil); err != nil {
		t.Fatal(err)
	}
	for _, p := range many {
		if b, _ := directedBroadcast(p); !r.IsOwn(p.Addr()) || r.IsOwn(p.Addr().Next()) || !r.IsBroadcast(b) || r.IsBroadcast(b.Prev()) {
			t.Errorf("%v of a hundred", p)
		}
	}
	two := []netip.Addr{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.3")}
	if _, err := NewRoutes(prefixes("10.0.0.1/24"), two); !errors.Is(err, api.ErrInvalidConfig) {
		t.Errorf("two gateways: %v", err)
	}
}

func TestPathMTUs(t *testing.T) {
	var m PathMTUs
	addr := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	m.Set(0, addr(1), PathMTU{MTU: 1400})
	if p, ok := m.Get(clock.Time(PathMTULife-1), addr(1)); !ok || p.MTU != 1400 {
		t.Error("forgotten too soon")
	}
	if _, ok := m.Get(clock.Time(PathMTULife), addr(1)); ok {
		t.Error("kept for too long")
	}
	for i := range 100000 {
		m.Set(clock.Time(i), addr(i), PathMTU{MTU: 1300})
		m.Set(clock.Time(i), addr(7), PathMTU{MTU: 1300}) // over and over
		if m.Len() > maxPaths || len(m.queue) > 2*maxPaths {
			t.Fatalf("%d paths, queue of %d", m.Len(), len(m.queue))
		}
	}
	if _, ok := m.Get(100000, addr(99999)); !ok {
		t.Error("the newest was forgotten")
	}
	for _, test := range []struct {
		is6                     bool
		reported, quoted, floor int
		want                    PathMTU
	}{
		{false, 1400, 1500, 552, PathMTU{MTU: 1400}},
		{false, 300, 1500, 552, PathMTU{MTU: 552, Fragment: true}},
		{false, 300, 1500, 68, PathMTU{MTU: 300}},
		{false, 1, 1500, 68, PathMTU{MTU: 68, Fragment: true}},
		{false, 0, 1500, 552, PathMTU{MTU: 1492}}, // RFC 1191's plateaus
		{false, 0, 1492, 552, PathMTU{MTU: 1006}},
		{false, 0, 40, 552, PathMTU{MTU: 552, Fragment: true}},
		{true, 1400, 1500, 552, PathMTU{MTU: 1400}},
		{true, 600, 1500, 552, PathMTU{MTU: 1280}},
	} {
		if got := ReportedMTU(test.is6, test.reported, test.quoted, test.floor); got != test.want {
			t.Errorf("%+v: %+v", test, got)
		}
	}
}

type seq struct{ n uint64 }

func (s *seq) Uint64() uint64 { s.n = s.n*6364136223846793005 + 1442695040888963407; return s.n >> 11 }

func TestLimiter(t *testing.T) {
	l := NewLimiter(&seq{1})
	allowed := 0
	for range 1000 {
		if l.Allow(0, src4) {
			allowed++
		}
	}
	if allowed != perDestBurst {
		t.Errorf("one destination got %d at once, want %d", allowed, perDestBurst)
	}
	// Everyone together, for ten seconds.
	l = NewLimiter(&seq{1})
	allowed = 0
	for i := range 1_000_000 {
		now := clock.Time(i) * clock.Time(10*time.Microsecond)
		if l.Allow(now, netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})) {
			allowed++
		}
	}
	if want := 10*errorsPerSecond + errorsBurst; allowed > want*11/10 || allowed < want*7/10 {
		t.Errorf("%d in ten seconds, want about %d", allowed, want)
	}
	// And who was quiet is served again.
	if !l.Allow(clock.Time(time.Hour), src6) {
		t.Error("not served after an hour")
	}
}

// TestLimiterIsRandom: how much the common limit takes cannot be counted by one
// who shares it (S39).
func TestLimiterIsRandom(t *testing.T) {
	counts := map[int]bool{}
	rng := &seq{3}
	for range 50 {
		l := NewLimiter(rng)
		n := 0
		for i := range 1000 {
			if l.Allow(0, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})) {
				n++
			}
		}
		counts[n] = true
	}
	if len(counts) < 3 {
		t.Errorf("the burst is always one of %v", counts)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(serialize(f, ipv4(nil), gopacket.Payload("0123456789")))
	f.Add(v6(0, ext(60), ext(6), make([]byte, 20)))
	f.Add(v6(44, []byte{6, 0, 0, 1, 0, 0, 0, 7}, make([]byte, 20)))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, _, ok := Parse(b, len(b))
		if ok && (p.HeaderLen > p.Len || p.Len > len(b) || p.HeaderLen < 20) {
			t.Fatalf("%+v of %d bytes", p, len(b))
		}
		if ok {
			againstGopacket(t, b, &p)
			refragment(t, b, &p)
		}
		ParseQuote(b)
		// A second part that is not contiguous changes nothing but the length.
		if p2, _, ok2 := Parse(b, len(b)+100); ok2 && p2.Len > len(b)+100 {
			t.Fatalf("%+v of %d bytes", p2, len(b)+100)
		}
	})
}

// againstGopacket compares what was accepted with what gopacket reads.
func againstGopacket(t *testing.T, b []byte, p *Packet) {
	if !p.Is6() {
		var l layers.IPv4
		if err := l.DecodeFromBytes(b, gopacket.NilDecodeFeedback); err != nil {
			if len(l.Options) == 0 && int(b[0]&15) > 5 {
				return // gopacket does not like an option that we skip
			}
			t.Fatalf("gopacket refuses % x: %v", b, err)
		}
		src, _ := netip.AddrFromSlice(l.SrcIP)
		dst, _ := netip.AddrFromSlice(l.DstIP)
		more := l.Flags&layers.IPv4MoreFragments != 0
		if src != p.Src || dst != p.Dst || uint8(l.Protocol) != p.Proto || int(l.Length) != p.Len || int(l.IHL)*4 != p.HeaderLen ||
			l.TOS != p.TOS || p.Fragment != (more || l.FragOffset != 0) {
			t.Fatalf("gopacket reads %+v, got %+v", l, p)
		}
		return
	}
	var l layers.IPv6
	if err := l.DecodeFromBytes(b, gopacket.NilDecodeFeedback); err != nil {
		return // extension headers, which gopacket reads in its own way
	}
	src, _ := netip.AddrFromSlice(l.SrcIP)
	dst, _ := netip.AddrFromSlice(l.DstIP)
	if src != p.Src || dst != p.Dst || l.TrafficClass != p.TOS || int(l.Length)+40 != p.Len && l.HopByHop == nil {
		t.Fatalf("gopacket reads %+v, got %+v", l, p)
	}
}

// refragment takes a packet apart and puts it together again.
func refragment(t *testing.T, b []byte, p *Packet) {
	if p.Fragment || p.HeaderLen != 20 && p.HeaderLen != 40 || p.HeaderLen == 40 && !p.Is6() {
		return
	}
	mtu := 68 + int(b[5])
	if p.Is6() {
		mtu = 1280
	}
	if p.Len <= mtu {
		return
	}
	r := newTestReassembler()
	var whole []byte
	Fragment(b[:p.Len], mtu, 99, func(f []byte) {
		q, fault, ok := Parse(f, len(f))
		if !ok || len(f) > mtu || !q.Fragment || whole != nil {
			t.Fatalf("% x: %v", f, fault.Reason)
		}
		whole, _ = r.Add(0, &q, f)
	})
	q, _, ok := Parse(whole, len(whole))
	if !ok || !bytes.Equal(whole[q.HeaderLen:q.Len], b[p.HeaderLen:p.Len]) || q.Proto != p.Proto || q.Src != p.Src || q.Dst != p.Dst {
		t.Fatalf("% x came back as % x", b, whole)
	}
	r.wantEmpty(t)
}

func TestFragmentOutput(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 3000).Draw(rt, "length")
		payload := bytes.Repeat([]byte("abcdefg"), n/7+1)[:n]
		mtu := rapid.IntRange(68, 1500).Draw(rt, "mtu")
		var whole []byte
		if rapid.Bool().Draw(rt, "v6") {
			whole = v6(59, payload)
		} else {
			whole = serialize(t, ipv4(nil), gopacket.Payload(payload))
		}
		r := newTestReassembler()
		var got []byte
		Fragment(whole, mtu, 77, func(b []byte) {
			if len(b) > mtu {
				rt.Fatalf("fragment of %d bytes", len(b))
			}
			p, f, ok := Parse(b, len(b))
			if !ok {
				rt.Fatalf("fragment refused: %v", f.Reason)
			}
			if !p.Fragment { // it fits whole
				got = bytes.Clone(b)
				return
			}
			got, _ = r.Add(0, &p, b)
		})
		p, _, ok := Parse(got, len(got))
		if !ok || !bytes.Equal(got[p.HeaderLen:p.Len], payload) {
			rt.Fatalf("%d bytes came back, ok %v", len(got), ok)
		}
	})
}

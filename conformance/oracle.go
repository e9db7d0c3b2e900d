package conformance

import (
	"fmt"
	"net/netip"
	"sync"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// oracle looks at every packet that a stack under test sends, whatever the
// case is about.
type oracle struct {
	mu      sync.Mutex
	mtu     int
	streams map[[2]netip.AddrPort]*stream
	paused  bool
	fail    func(format string, args ...any)
}

// pause stops the oracle in cases that send so much that it would take long.
func (o *oracle) pause(on bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.paused = on
}

// stream remembers what one direction of one connection has carried.
type stream struct {
	isn   uint32
	seen  []bool
	bytes []byte
	acked int // bytes that the peer has acknowledged
}

// maxStream bounds how far into a stream the oracle compares.
const maxStream = 256 << 10

func newOracle(mtu int, fail func(string, ...any)) *oracle {
	return &oracle{mtu: mtu, streams: map[[2]netip.AddrPort]*stream{}, fail: fail}
}

// packet checks a packet sent by a stack under test.
func (o *oracle) packet(raw []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.paused {
		return
	}
	if len(raw) > o.mtu {
		o.fail("oracle: packet of %d bytes on a link with MTU %d", len(raw), o.mtu)
	}
	s := decode(raw)
	if s == nil {
		o.other(raw)
		return
	}
	bad := func(format string, args ...any) {
		o.fail("oracle: %s: %s", fmt.Sprintf(format, args...), s)
	}
	// RFC 9293, section 3.1, MUST-2.
	if s.checksumMismatch != "" {
		bad("wrong %s", s.checksumMismatch)
	}
	if s.optionTrouble != "" {
		bad("malformed or unknown option: %s", s.optionTrouble)
	}
	// RFC 9293, section 3.2, MUST-65, and RFC 7323, section 2.2; RFC 2018, section 2; RFC 7413, section 4.1.1.
	if s.Flags&SYN == 0 && (s.HasMSS || s.HasScale || s.SACKPermitted || s.HasFastOpen) {
		bad("option of a SYN on a segment that is none")
	}
	// RFC 7323, section 2.3.
	if s.HasScale && s.Scale > 14 {
		bad("window scale above 14")
	}
	// RFC 9293, section 3.1, MUST-69: nothing but zeros after the end of the options.
	if end := optionsEnd(s.Options); end >= 0 {
		for _, b := range s.Options[end:] {
			if b != 0 {
				bad("padding that is not zero")
				break
			}
		}
	}
	if s.Has(SYN|FIN) || s.Has(SYN|RST) || s.Has(RST|FIN) {
		bad("impossible combination of flags")
	}
	// RFC 9293, section 3.10: only a first SYN or a RST that answers a segment
	// without ACK has none itself.
	if s.Flags&(ACK|SYN|RST) == 0 {
		bad("no ACK bit")
	}
	if s.Has(URG) && s.Urgent == 0 {
		bad("urgent pointer to nothing")
	}
	o.stream(s, bad)
}

// stream checks that a sequence number never carries two different bytes.
func (o *oracle) stream(s *Segment, bad func(string, ...any)) {
	key := [2]netip.AddrPort{s.Src, s.Dst}
	st := o.streams[key]
	if s.Has(SYN) {
		if st == nil || st.isn != s.Seq {
			o.streams[key] = &stream{isn: s.Seq}
		}
		return
	}
	if st == nil || s.Has(RST) {
		return
	}
	at := int(s.Seq - st.isn - 1)
	if at < 0 || at+len(s.Payload) > maxStream {
		return // keepalive probes repeat the number before the first, or beyond what is kept
	}
	for len(st.seen) < at+len(s.Payload) {
		st.seen, st.bytes = append(st.seen, false), append(st.bytes, 0)
	}
	for i, b := range s.Payload {
		if at+i < st.acked {
			continue // a probe may carry a garbage octet that has been acknowledged (RFC 9293, section 3.8.4)
		}
		if st.seen[at+i] && st.bytes[at+i] != b {
			bad("sequence number %d has carried another byte before", s.Seq+uint32(i))
			return
		}
		st.seen[at+i], st.bytes[at+i] = true, b
	}
}

// heard notes what a packet to the stack acknowledges.
func (o *oracle) heard(raw []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.paused {
		return
	}
	s := decode(raw)
	if s == nil || !s.Has(ACK) || s.Has(SYN) {
		return
	}
	if st := o.streams[[2]netip.AddrPort{s.Dst, s.Src}]; st != nil {
		if at := int(s.Ack - st.isn - 1); at <= len(st.seen) {
			st.acked = max(st.acked, at)
		}
	}
}

// other checks what is not TCP.
func (o *oracle) other(raw []byte) {
	p := gopacket.NewPacket(raw, packetType(raw), gopacket.DecodeOptions{NoCopy: true})
	if p.NetworkLayer() == nil {
		o.fail("oracle: a packet that is neither IPv4 nor IPv6: %x", raw[:min(len(raw), 40)])
		return
	}
	if ip, ok := p.NetworkLayer().(*layers.IPv4); ok && sum(ip.Contents) != 0xffff {
		o.fail("oracle: wrong IPv4 header checksum: %s", describe(raw))
	}
	switch l := p.Layer(layers.LayerTypeICMPv4).(type) {
	case *layers.ICMPv4:
		if sum(append(append([]byte(nil), l.Contents...), l.Payload...)) != 0xffff {
			o.fail("oracle: wrong ICMP checksum: %s", describe(raw))
		}
	}
	if l, ok := p.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6); ok {
		ip := p.NetworkLayer().(*layers.IPv6)
		src, _ := netip.AddrFromSlice(ip.SrcIP)
		dst, _ := netip.AddrFromSlice(ip.DstIP)
		b := append(append([]byte(nil), l.Contents...), l.Payload...)
		if sum(pseudo(src, dst, 58, len(b)), b) != 0xffff {
			o.fail("oracle: wrong ICMPv6 checksum: %s", describe(raw))
		}
	}
	if e := p.ErrorLayer(); e != nil {
		o.fail("oracle: malformed packet: %v: %s", e.Error(), describe(raw))
	}
}

// optionsEnd returns where an end-of-options option stands, or -1.
func optionsEnd(b []byte) int {
	for i := 0; i < len(b); {
		switch {
		case b[i] == 0:
			return i
		case b[i] == 1:
			i++
		case i+1 >= len(b) || b[i+1] < 2:
			return -1
		default:
			i += int(b[i+1])
		}
	}
	return -1
}

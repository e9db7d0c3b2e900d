package drill

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/sluicenet/sluice/conformance/drill/script"
)

// Mismatch is one field in which a packet differs from what the script expects.
type Mismatch struct {
	Field string `json:"field"`
	Want  string `json:"want"`
	Got   string `json:"got"`
}

func (m Mismatch) String() string {
	return fmt.Sprintf("%s: expected %s, got %s", m.Field, m.Want, m.Got)
}

// rules say how packets are compared.
type rules struct {
	lenient        bool
	strictSegments bool
	tsTick         int64 // microseconds a tick of the timestamp clock; 0: values are not checked
	tolerance      int64 // microseconds
	zeros          bool  // the process has written nothing but zeros
}

// compare returns in what a packet, which is in the script's numbers, differs
// from p. whole is the packet as it was, for numbers that are not mapped.
func (c *conn) compare(p *script.Packet, s, whole *segment, r *rules) (ms []Mismatch) {
	differ := func(field string, want, got any) {
		if want != got {
			ms = append(ms, Mismatch{field, fmt.Sprint(want), fmt.Sprint(got)})
		}
	}
	if s.trouble != "" {
		differ("packet", "a well-formed packet", s.trouble)
	}
	c.compareIP(p, s, r, differ)
	t := p.TCP
	want := flagsOf(&t.Flags)
	ignore := uint16(0)
	if r.lenient && t.Seq.Len > 0 {
		ignore = fPSH // when to push is up to the sender
	}
	if t.Flags.HasACE {
		ignore |= fECE | fCWR | fAE
		differ("ACE", t.Flags.ACE, uint8(s.flags&fECE/fECE|s.flags&fCWR/fCWR<<1|s.flags&fAE/fAE<<2))
	}
	reset := r.lenient && want&s.flags&fRST != 0
	if reset { // with an ACK or without: what counts is its sequence number
		ignore |= fACK
	}
	differ("flags", flagText(want&^ignore), flagText(s.flags&^ignore))
	if !t.Seq.Any {
		seq := s.seq
		if t.Seq.Absolute {
			seq = whole.seq
		}
		differ("seq", t.Seq.Start, seq)
	}
	differ("length", t.Seq.Len, len(s.payload))
	if (want&fACK != 0 || s.flags&fACK == 0) && !reset {
		differ("ack", t.Ack, s.ack)
	}
	if t.HasWindow && !r.lenient {
		differ("win", t.Window, s.window)
	}
	differ("urg", t.Urgent, s.urgent)
	if !t.AnyOptions && !(r.lenient && t.Flags.SYN) && !reset {
		compareOptions(t.Options, s.options, r, differ)
	}
	if r.zeros && t.Seq.Len == len(s.payload) && !bytes.Equal(s.payload, make([]byte, len(s.payload))) {
		differ("payload", "zeros", "other bytes")
	}
	return ms
}

func (c *conn) compareIP(p *script.Packet, s *segment, r *rules, differ func(string, any, any)) {
	if p.IP.HasDSCP {
		differ("dscp", p.IP.DSCP, s.tos>>2)
	}
	switch ecn := s.tos & 3; {
	case p.IP.HasTOS:
		differ("tos", fmt.Sprintf("%#02x", p.IP.TOS), fmt.Sprintf("%#02x", s.tos))
	case p.IP.ECN == script.ECT01:
		if ecn != 1 && ecn != 2 {
			differ("ecn", "ect0 or ect1", ecnNames[ecn])
		}
	case p.IP.ECN != script.ECNUnchecked:
		differ("ecn", ecnNames[tosOf(&p.IP)&3], ecnNames[ecn])
	}
	if p.IP.HasTTL {
		differ("ttl", p.IP.TTL, s.ttl)
	}
	if p.IP.HasFlowLabel && p.IP.FlowLabel != 0 && s.v6 {
		switch {
		case s.label == 0:
			differ("flowlabel", fmt.Sprintf("%#x", p.IP.FlowLabel), "none")
		case c.scriptLabel == 0 || p.IP.FlowLabel == c.scriptLabel && s.label == c.label:
			c.scriptLabel, c.label = p.IP.FlowLabel, s.label
		case p.IP.FlowLabel == c.scriptLabel:
			differ("flowlabel", fmt.Sprintf("%#x, as before", c.label), fmt.Sprintf("%#x", s.label))
		case s.label == c.label:
			differ("flowlabel", "another than before", fmt.Sprintf("%#x", s.label))
		default:
			c.scriptLabel, c.label = p.IP.FlowLabel, s.label
		}
	}
}

var ecnNames = [...]string{"noecn", "ect1", "ect0", "ce"}

// compareOptions compares options in order, or, leniently, without regard to
// order and padding.
func compareOptions(want []script.TCPOption, got []tcpOption, r *rules, differ func(string, any, any)) {
	w := parseOptions(encodeOptions(want, 0, nil))
	text := fmt.Sprintf("<%s>", optionsText(w))
	w, g := trimEOL(w), trimEOL(got)
	if r.lenient {
		w, g = withoutPadding(w), withoutPadding(g)
		g = inOrderOf(w, g)
	}
	fail := func() { differ("options", text, fmt.Sprintf("<%s>", optionsText(got))) }
	if len(w) != len(g) {
		fail()
		return
	}
	kinds := make(map[uint8]*script.TCPOption)
	for i := range want {
		switch want[i].Kind {
		case script.OptTS:
			kinds[kindTS] = &want[i]
		case script.OptWScale:
			kinds[kindWScale] = &want[i]
		}
	}
	for i := range w {
		if w[i].kind != g[i].kind {
			fail()
			return
		}
		if o := kinds[w[i].kind]; o != nil && o.Kind == script.OptWScale && o.AnyVal {
			continue
		}
		if w[i].kind != kindTS {
			if !bytes.Equal(w[i].data, g[i].data) {
				fail()
				return
			}
			continue
		}
		// As in packetdrill, values are compared only if the length of a tick is known.
		if o := kinds[kindTS]; r.tsTick > 0 && len(g[i].data) == 8 && o != nil && !o.AnyVal {
			d := int64(int32(binary.BigEndian.Uint32(g[i].data) - binary.BigEndian.Uint32(w[i].data)))
			if max(d, -d)*r.tsTick > r.tolerance {
				fail()
				return
			}
		}
	}
}

// trimEOL takes the padding off the end.
func trimEOL(os []tcpOption) []tcpOption {
	for len(os) > 0 && os[len(os)-1].kind == kindEOL {
		os = os[:len(os)-1]
	}
	return os
}

func withoutPadding(os []tcpOption) (kept []tcpOption) {
	for _, o := range os {
		if o.kind != kindNOP && o.kind != kindEOL {
			kept = append(kept, o)
		}
	}
	return kept
}

// inOrderOf returns os in the order in which w has the same kinds.
func inOrderOf(w, os []tcpOption) (sorted []tcpOption) {
	left := append([]tcpOption(nil), os...)
	for _, x := range w {
		for i, o := range left {
			if o.kind == x.kind {
				sorted = append(sorted, o)
				left = append(left[:i], left[i+1:]...)
				break
			}
		}
	}
	return append(sorted, left...)
}

// merge makes one segment of several that follow one another, as a stack with
// segmentation offload would have sent it. It returns nil where they do not.
func merge(parts []*segment) *segment {
	m := *parts[0]
	m.payload = bytes.Clone(m.payload)
	for _, p := range parts[1:] {
		if p.seq != m.seq+uint32(len(m.payload)) || m.flags&(fSYN|fFIN|fRST) != 0 {
			return nil
		}
		m.payload = append(m.payload, p.payload...)
		m.flags |= p.flags & (fFIN | fPSH)
		m.flags = m.flags&^fPSH | p.flags&fPSH // of the last one
		m.options, m.ack, m.window = p.options, p.ack, p.window
		m.flags = m.flags&^fECE | p.flags&fECE
		m.at = p.at
	}
	return &m
}

// split cuts n bytes off the front of a segment.
func split(s *segment, n int) (front, rest *segment) {
	f, r := *s, *s
	f.payload, r.payload = s.payload[:n:n], s.payload[n:]
	f.flags &^= fFIN | fPSH
	r.seq += uint32(n)
	r.flags &^= fCWR
	if r.urgent > 0 {
		r.urgent -= uint16(min(n, int(r.urgent)))
	}
	return &f, &r
}

// expectedText prints what a script expects, in packetdrill's notation.
func expectedText(p *script.Packet) string {
	if p.TCP == nil {
		if p.ICMP != nil {
			return strings.TrimSpace("> icmp " + p.ICMP.Type + " " + p.ICMP.Code)
		}
		return "> (not TCP)"
	}
	t := p.TCP
	s := &segment{
		tcp: true, out: p.Dir == script.Outbound, tos: tosOf(&p.IP), flags: flagsOf(&t.Flags),
		seq: t.Seq.Start, ack: t.Ack, window: t.Window, urgent: t.Urgent, payload: make([]byte, t.Seq.Len),
	}
	s.options = parseOptions(encodeOptions(t.Options, 0, nil))
	text := notation(s)
	if !t.HasWindow {
		text = strings.Replace(text, fmt.Sprintf(" win %d", t.Window), "", 1)
	}
	if t.AnyOptions {
		text += " <...>"
	}
	return text
}

package script

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// integer reads a decimal number between low and high.
func (p *parser) integer(what string, low, high int64) (int64, error) {
	if p.tok.kind != tokInt {
		return 0, p.expected(what)
	}
	return p.bounded(what, 10, p.tok.text, low, high)
}

// anyInteger also takes a hexadecimal one.
func (p *parser) anyInteger(what string, low, high int64) (int64, error) {
	if p.tok.kind == tokHex {
		return p.bounded(what, 16, p.tok.text[2:], low, high)
	}
	return p.integer(what, low, high)
}

func (p *parser) bounded(what string, base int, text string, low, high int64) (int64, error) {
	n, err := strconv.ParseInt(text, base, 64)
	if err != nil || n < low || n > high {
		return 0, p.fail("%s: %s is not between %d and %d", what, clip(p.tok.text), low, high)
	}
	return n, p.advance()
}

const (
	max8  = 1<<8 - 1
	max16 = 1<<16 - 1
	max20 = 1<<20 - 1
	max24 = 1<<24 - 1
	max32 = 1<<32 - 1
)

func (p *parser) packet() (*Packet, error) {
	k := &Packet{Pos: p.tok.pos}
	if p.tok.is('>') {
		k.Dir = Outbound
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	for {
		more, err := p.encap(k)
		if err != nil {
			return nil, err
		}
		if !more {
			break
		}
	}
	var echoed *Echoed
	if p.tok.is('(') || p.tok.is('[') {
		next, err := p.peek()
		if err != nil {
			return nil, err
		}
		if p.tok.is('(') || isIPInfo(next) {
			k.IP, err = p.ipInfo()
		} else {
			echoed, err = p.echoed()
		}
		if err != nil {
			return nil, err
		}
	}
	if k.IP.ECN == ECT01 && k.Dir != Outbound {
		return nil, &Error{k.Pos, "[ect01] is for outbound packets only"}
	}
	if err := p.ports(k); err != nil {
		return nil, err
	}
	var err error
	switch {
	case p.tok.isWord("icmp") || echoed != nil:
		k.ICMP, err = p.icmp(echoed)
	case p.tok.isWord("udp") || p.tok.isWord("udplite"):
		k.UDP, err = p.udp(k)
	case p.tok.isWord("sctp"):
		k.Other, err = p.sctp()
	default:
		var other bool
		if other, err = p.otherProtocol(); err != nil {
			break
		}
		if other {
			k.Other, err = p.other()
		} else {
			k.TCP, err = p.tcp(k)
		}
	}
	if err != nil {
		return nil, err
	}
	return k, nil
}

// isIPInfo says whether what follows a bracket is about the IP header.
func isIPInfo(t token) bool {
	if t.kind != tokWord {
		return false
	}
	switch t.text {
	case "noecn", "ect0", "ect1", "ect01", "ce", "tos", "class", "dscp", "ecn", "flowlabel", "ttl", "hlim":
		return true
	}
	return false
}

// dscpNames are the code points that have names (RFC 2474, 2597, 3246, 5865, 8622).
var dscpNames = map[string]uint8{
	"cs0": 0, "cs1": 8, "cs2": 16, "cs3": 24, "cs4": 32, "cs5": 40, "cs6": 48, "cs7": 56,
	"af11": 10, "af12": 12, "af13": 14, "af21": 18, "af22": 20, "af23": 22,
	"af31": 26, "af32": 28, "af33": 30, "af41": 34, "af42": 36, "af43": 38,
	"ef": 46, "voice_admit": 44, "le": 1,
}

// dscp reads a code point: a number or a name.
func (p *parser) dscp() (uint8, error) {
	if p.tok.kind != tokWord {
		n, err := p.anyInteger("the code point", 0, 63)
		return uint8(n), err
	}
	name := strings.ToLower(p.tok.text)
	if name == "voice" {
		if err := p.advance(); err != nil {
			return 0, err
		}
		if err := p.punct('-'); err != nil {
			return 0, err
		}
		name += "_" + strings.ToLower(p.tok.text)
	}
	v, ok := dscpNames[name]
	if !ok {
		return 0, p.expected("a code point: a number, cs0 to cs7, af11 to af43, ef, voice-admit or le")
	}
	return v, p.advance()
}

var ecnNames = map[string]ECN{"noecn": NoECN, "ect0": ECT0, "ect1": ECT1, "ce": CE, "ect01": ECT01}

// ipInfo reads "[ect0]", "(tos 0x10, flowlabel 0x1)", "[ttl 5]" and so on.
func (p *parser) ipInfo() (IPInfo, error) {
	var i IPInfo
	end := byte(')')
	if p.tok.is('[') {
		end = ']'
	}
	if err := p.advance(); err != nil {
		return i, err
	}
	for {
		name := p.tok
		if !isIPInfo(name) {
			return i, p.expected("noecn, ect0, ect1, ect01, ce, ecn, dscp, tos, class, flowlabel, ttl or hlim")
		}
		if err := p.advance(); err != nil {
			return i, err
		}
		var n int64
		var err error
		switch name.text {
		case "ecn":
			e, ok := ecnNames[p.tok.text]
			if !ok || p.tok.kind != tokWord {
				return i, p.expected("noecn, ect0, ect1, ect01 or ce")
			}
			i.ECN, err = e, p.advance()
		case "dscp":
			i.DSCP, err = p.dscp()
			i.HasDSCP = true
		case "tos", "class":
			n, err = p.anyInteger("the type of service", 0, max8)
			i.TOS, i.HasTOS = uint8(n), true
		case "flowlabel":
			n, err = p.anyInteger("the flow label", 0, max20)
			i.FlowLabel, i.HasFlowLabel = uint32(n), true
		case "ttl", "hlim":
			n, err = p.anyInteger("the time to live", 0, max8)
			i.TTL, i.HasTTL = uint8(n), true
		default:
			i.ECN = ecnNames[name.text]
		}
		if err != nil {
			return i, err
		}
		if p.tok.is(',') {
			if err := p.advance(); err != nil {
				return i, err
			}
			continue
		}
		return i, p.punct(end)
	}
}

// encap reads one header of encapsulation, if there is one.
func (p *parser) encap(k *Packet) (bool, error) {
	e := Encap{Pos: p.tok.pos}
	var err error
	switch {
	case p.tok.isWord("ipv4"):
		err = p.outerIP(&e, false)
	case p.tok.isWord("ipv6"):
		e.Kind = EncapIPv6
		err = p.outerIP(&e, true)
	case p.tok.isWord("gre") || p.tok.isWord("GREv0"):
		e.Kind = EncapGRE
		if err = p.advance(); err != nil {
			break
		}
		if _, err = p.optional(','); err != nil {
			break
		}
		if p.tok.kind == tokWord {
			e.GRE, err = p.gre()
		}
	case p.tok.isWord("mpls"):
		e.Kind = EncapMPLS
		if err = p.advance(); err == nil {
			e.Labels, err = p.mpls()
		}
	default:
		return false, nil
	}
	if err == nil {
		err = p.punct(':')
	}
	k.Encap = append(k.Encap, e)
	return true, err
}

// outerIP reads "ipv4 [info] src > dst".
func (p *parser) outerIP(e *Encap, v6 bool) error {
	if err := p.advance(); err != nil {
		return err
	}
	var err error
	if p.tok.is('(') || p.tok.is('[') {
		if e.IP, err = p.ipInfo(); err != nil {
			return err
		}
	}
	if e.Src, err = p.address(v6); err != nil {
		return err
	}
	if err := p.punct('>'); err != nil {
		return err
	}
	e.Dst, err = p.address(v6)
	return err
}

// address reads an IP address from the source, which has no token for it. A
// colon at its end belongs to what follows.
func (p *parser) address(v6 bool) (netip.Addr, error) {
	src, off := p.lex.src, p.tok.off
	end := off
	for end < len(src) && (isHex(src[end]) || src[end] == '.' || src[end] == ':') {
		end++
	}
	for n := end; n > off; n-- {
		if a, err := netip.ParseAddr(src[off:n]); err == nil && a.Is4() != v6 {
			p.lex.rewind(n)
			return a, p.advance()
		}
	}
	if v6 {
		return netip.Addr{}, p.expected("an IPv6 address")
	}
	return netip.Addr{}, p.expected("an IPv4 address")
}

// mpls reads "(label 1, tc 2, [S], ttl 3)...".
func (p *parser) mpls() ([]MPLS, error) {
	var labels []MPLS
	for p.tok.is('(') {
		var m MPLS
		err := p.advance()
		read := func(name string, n *int64, high int64) {
			if err == nil {
				err = p.word(name)
			}
			if err == nil {
				*n, err = p.integer("the number of "+name, 0, high)
			}
		}
		comma := func() {
			if err == nil {
				err = p.punct(',')
			}
		}
		read("label", &m.Label, max20)
		comma()
		read("tc", &m.TC, 7)
		comma()
		if err == nil && p.tok.is('[') {
			m.Bottom = true
			if err = p.advance(); err == nil {
				err = p.word("S")
			}
			if err == nil {
				err = p.punct(']')
			}
			comma()
		}
		read("ttl", &m.TTL, max8)
		if err == nil {
			err = p.punct(')')
		}
		if err != nil {
			return nil, err
		}
		labels = append(labels, m)
	}
	return labels, nil
}

// gre reads "flags [key present, ...], sum 0x0, off 0x0, key 1, seq 2".
func (p *parser) gre() (*GRE, error) {
	g := &GRE{}
	if !p.tok.isWord("flags") && !p.tok.isWord("Flags") {
		return nil, p.expected(`"flags" or ':'`)
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	if p.tok.is('[') {
		for !p.tok.is(']') {
			if err := p.advance(); err != nil { // '[' or ','
				return nil, err
			}
			flag := p.tok.text
			bit, ok := map[string]uint16{"none": 0, "checksum": 0x8000, "key": 0x2000, "sequence": 0x1000}[flag]
			if p.tok.kind != tokWord || !ok {
				return nil, p.expected("none, checksum, key or sequence")
			}
			if err := p.advance(); err != nil {
				return nil, err
			}
			if flag != "none" {
				if err := p.word("present"); err != nil {
					return nil, err
				}
			}
			g.Flags |= bit
			if !p.tok.is(',') && !p.tok.is(']') {
				return nil, p.expected("',' or ']'")
			}
		}
		if err := p.advance(); err != nil {
			return nil, err
		}
	} else {
		n, err := p.anyInteger("the flags", 0, max16)
		if err != nil {
			return nil, err
		}
		g.Flags = uint16(n)
	}
	for _, f := range []struct {
		name string
		n    *int64
		high int64
	}{{"sum", &g.Sum, max16}, {"off", &g.Offset, max16}, {"key", &g.Key, max32}, {"seq", &g.SequenceValue, max32}} {
		if _, err := p.optional(','); err != nil {
			return nil, err
		}
		if err := p.word(f.name); err != nil {
			return nil, err
		}
		if _, err := p.optional('='); err != nil {
			return nil, err
		}
		n, err := p.anyInteger("the value of "+f.name, 0, f.high)
		if err != nil {
			return nil, err
		}
		*f.n = n
	}
	return g, nil
}

// ports reads "src > dst", if it is there.
func (p *parser) ports(k *Packet) error {
	if p.tok.kind != tokInt {
		return nil
	}
	if next, err := p.peek(); err != nil || !next.is('>') {
		return err
	}
	ports := &Ports{Pos: p.tok.pos}
	n, err := p.integer("the source port", 0, max16)
	if err != nil {
		return err
	}
	ports.Src = uint16(n)
	if err := p.punct('>'); err != nil {
		return err
	}
	n, err = p.integer("the destination port", 0, max16)
	ports.Dst = uint16(n)
	k.Ports = ports
	return err
}

func (p *parser) udp(k *Packet) (*UDP, error) {
	u := &UDP{Lite: p.tok.text == "udplite"}
	if err := p.advance(); err != nil {
		return nil, err
	}
	if err := p.ports(k); err != nil {
		return nil, err
	}
	var err error
	u.Len, u.Coverage, err = p.lengths(u.Lite)
	return u, err
}

// lengths reads "(length)" or "(length, coverage)".
func (p *parser) lengths(two bool) (n, coverage int, err error) {
	if err := p.punct('('); err != nil {
		return 0, 0, err
	}
	v, err := p.integer("the length of the payload", 0, max16)
	if err != nil {
		return 0, 0, err
	}
	n = int(v)
	if two {
		if err := p.punct(','); err != nil {
			return 0, 0, err
		}
		v, err := p.integer("the coverage of the checksum", 0, max16)
		if err != nil {
			return 0, 0, err
		}
		coverage = int(v)
	}
	return n, coverage, p.punct(')')
}

func (p *parser) icmp(echoed *Echoed) (*ICMP, error) {
	i := &ICMP{Pos: p.tok.pos, Echoed: echoed}
	if err := p.word("icmp"); err != nil {
		return nil, err
	}
	if p.tok.kind != tokWord {
		return nil, p.expected("the type of the ICMP message")
	}
	i.Type = p.tok.text
	if err := p.advance(); err != nil {
		return nil, err
	}
	if p.tok.kind == tokWord && p.tok.text != "mtu" && p.tok.text != "id" {
		i.Code = p.tok.text
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
	for {
		var err error
		switch {
		case p.tok.isWord("mtu"):
			i.HasMTU = true
			if err = p.advance(); err == nil {
				i.MTU, err = p.integer("the MTU", 0, max32)
			}
		case p.tok.isWord("id"):
			i.HasID = true
			if err = p.advance(); err == nil {
				i.ID, err = p.integer("the identifier", 0, max16)
			}
		case p.tok.is('[') && i.Echoed == nil:
			i.Echoed, err = p.echoed()
		default:
			return i, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// echoed reads what an ICMP message quotes.
func (p *parser) echoed() (*Echoed, error) {
	e := &Echoed{Pos: p.tok.pos, Protocol: "tcp"}
	if err := p.punct('['); err != nil {
		return nil, err
	}
	var err error
	if p.tok.kind == tokWord {
		e.Protocol = p.tok.text
		switch e.Protocol {
		case "udp", "raw", "udplite":
			if err := p.advance(); err != nil {
				return nil, err
			}
			e.Len, e.Coverage, err = p.lengths(e.Protocol == "udplite")
		case "sctp":
			if err = p.advance(); err != nil {
				return nil, err
			}
			if err = p.punct('('); err != nil {
				return nil, err
			}
			var tag int64
			if tag, err = p.integer("the verification tag", 0, max32); err != nil {
				return nil, err
			}
			e.Tag = uint32(tag)
			err = p.punct(')')
		default:
			return nil, p.expected("a sequence range, udp, udplite, raw or sctp")
		}
	} else {
		e.Seq, err = p.seq()
	}
	if err != nil {
		return nil, err
	}
	if e.UDP, err = p.udpEncap(); err != nil {
		return nil, err
	}
	return e, p.punct(']')
}

// udpEncap reads "/udp(src > dst)", if it is there.
func (p *parser) udpEncap() (*UDPEncap, error) {
	if !p.tok.is('/') {
		return nil, nil
	}
	u := &UDPEncap{Pos: p.tok.pos}
	if err := p.advance(); err != nil {
		return nil, err
	}
	if err := p.word("udp"); err != nil {
		return nil, err
	}
	if err := p.punct('('); err != nil {
		return nil, err
	}
	n, err := p.integer("the UDP source port", 0, max16)
	if err != nil {
		return nil, err
	}
	u.Src = uint16(n)
	if err := p.punct('>'); err != nil {
		return nil, err
	}
	if n, err = p.integer("the UDP destination port", 0, max16); err != nil {
		return nil, err
	}
	u.Dst = uint16(n)
	return u, p.punct(')')
}

// seq reads "start:end(length)", "start:end(length)!" or "...(length)".
func (p *parser) seq() (Seq, error) {
	s := Seq{Pos: p.tok.pos}
	if p.tok.kind == tokDots {
		s.Any = true
		if err := p.advance(); err != nil {
			return s, err
		}
		n, _, err := p.lengths(false)
		s.Len = n
		return s, err
	}
	n, err := p.integer("a sequence number", 0, max32)
	if err != nil {
		return s, err
	}
	s.Start = uint32(n)
	if err := p.punct(':'); err != nil {
		return s, err
	}
	if n, err = p.integer("the sequence number of the end", 0, max32); err != nil {
		return s, err
	}
	s.End = uint32(n)
	if s.Len, _, err = p.lengths(false); err != nil {
		return s, err
	}
	if s.Start+uint32(s.Len) != s.End {
		return s, &Error{s.Pos, fmt.Sprintf("%d:%d(%d): the numbers and the length do not agree", s.Start, s.End, s.Len)}
	}
	s.Absolute, err = p.optional('!')
	return s, err
}

// otherProtocol says whether the present word starts a packet that is not
// TCP's: flags are followed by a sequence range.
func (p *parser) otherProtocol() (bool, error) {
	if p.tok.kind != tokWord {
		return false, nil
	}
	if strings.Trim(p.tok.text, "FSRPEWAU01234567") == "" {
		return false, nil
	}
	next, err := p.peek()
	if err != nil {
		return false, err
	}
	return !next.is('.') && next.kind != tokInt && next.kind != tokFloat && next.kind != tokDots && next.kind != tokEOF, nil
}

// other passes over a packet that is unknown: to the end of the line, and on
// while brackets are open.
func (p *parser) other() (*OtherPacket, error) {
	o := &OtherPacket{Pos: p.tok.pos, Protocol: p.tok.text}
	line, open := p.tok.pos.Line, 0
	var text []string
	for p.tok.kind != tokEOF && (p.tok.pos.Line == line || open > 0) {
		open += depthOf(p.tok)
		text = append(text, p.lex.src[p.tok.off:p.tok.end])
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
	o.Text = strings.Join(text, " ")
	return o, nil
}

func depthOf(t token) int {
	if t.kind == tokPunct {
		switch t.text[0] {
		case '(', '[', '{':
			return 1
		case ')', ']', '}':
			return -1
		}
	}
	return 0
}

// sctp passes over an SCTP packet: a header, a colon, and chunks with brackets
// around what they contain, joined by semicolons.
func (p *parser) sctp() (*OtherPacket, error) {
	o := &OtherPacket{Pos: p.tok.pos, Protocol: "sctp"}
	var text []string
	take := func() error {
		text = append(text, p.lex.src[p.tok.off:p.tok.end])
		return p.advance()
	}
	balanced := func() error {
		open := 0
		for {
			if p.tok.kind == tokEOF {
				return p.expected("a closing bracket")
			}
			open += depthOf(p.tok)
			if err := take(); err != nil {
				return err
			}
			if open <= 0 {
				return nil
			}
		}
	}
	if err := take(); err != nil {
		return nil, err
	}
	for !p.tok.is(':') {
		var err error
		switch {
		case p.tok.is('('):
			err = balanced()
		case p.tok.is('/') || p.tok.isWord("udp"):
			err = take()
		default:
			err = p.expected("':'")
		}
		if err != nil {
			return nil, err
		}
	}
	if err := take(); err != nil {
		return nil, err
	}
	for p.tok.kind == tokWord || p.tok.is('[') {
		if p.tok.kind == tokWord {
			if err := take(); err != nil {
				return nil, err
			}
		}
		if !p.tok.is('[') {
			return nil, p.expected("'['")
		}
		if err := balanced(); err != nil {
			return nil, err
		}
		if !p.tok.is(';') {
			break
		}
		if err := take(); err != nil {
			return nil, err
		}
	}
	o.Text = strings.Join(text, " ")
	return o, nil
}

// flags reads the flags of a segment: letters, and "." for ACK.
func (p *parser) flags() (Flags, error) {
	var f Flags
	switch {
	case p.tok.is('-'):
		return f, p.advance()
	case p.tok.kind == tokWord, p.tok.is('.'), p.tok.kind == tokFloat && strings.HasPrefix(p.tok.text, "."), p.aceFirst():
	default:
		return f, p.expected("the flags of a segment (letters of FSRPUEWA, '.' for ACK, '-' for none)")
	}
	for end := p.tok.off; p.tok.off == end; {
		if p.tok.kind != tokWord && p.tok.kind != tokFloat && !p.tok.is('.') && !p.aceFirst() {
			break
		}
		for i := range len(p.tok.text) {
			if err := f.set(p.tok.text[i]); err != "" {
				e := &Error{p.tok.pos, err}
				e.Col += i
				return f, e
			}
		}
		end = p.tok.end
		if err := p.advance(); err != nil {
			return f, err
		}
	}
	return f, nil
}

// aceFirst says whether a digit and a dot come next, as in "5.".
func (p *parser) aceFirst() bool {
	return p.tok.kind == tokInt && p.tok.end-p.tok.off == 1 && p.tok.end < len(p.lex.src) && p.lex.src[p.tok.end] == '.'
}

// set sets one flag, or says why not.
func (f *Flags) set(c byte) string {
	switch c {
	case 'F':
		f.FIN = true
	case 'S':
		f.SYN = true
	case 'R':
		f.RST = true
	case 'P':
		f.PSH = true
	case '.':
		f.ACK = true
	case 'U':
		f.URG = true
	case 'E':
		f.ECE = true
	case 'W':
		f.CWR = true
	case 'A':
		f.AE = true
	default:
		if c < '0' || c > '7' {
			return fmt.Sprintf("expected a flag of FSRPUEWA, '.' or a digit up to 7, found %q", string(c))
		}
		if f.HasACE {
			return "there can be only one digit"
		}
		f.HasACE, f.ACE = true, c-'0'
	}
	if f.HasACE && (f.ECE || f.CWR || f.AE) {
		return "the digit of Accurate ECN stands for the flags E, W and A"
	}
	return ""
}

func (p *parser) tcp(k *Packet) (*TCP, error) {
	t := &TCP{}
	var err error
	if t.Flags, err = p.flags(); err != nil {
		return nil, err
	}
	if t.Seq, err = p.seq(); err != nil {
		return nil, err
	}
	for done := false; !done; {
		var n int64
		switch {
		case p.tok.isWord("ack"):
			if err = p.advance(); err == nil {
				n, err = p.integer("the acknowledgement number", 0, max32)
			}
			t.HasAck, t.Ack = true, uint32(n)
		case p.tok.isWord("win"):
			if err = p.advance(); err == nil {
				n, err = p.integer("the window", 0, max16)
			}
			t.HasWindow, t.Window = true, uint16(n)
		case p.tok.isWord("urg"):
			if err = p.advance(); err == nil {
				n, err = p.integer("the urgent pointer", 0, max16)
			}
			t.HasUrgent, t.Urgent = true, uint16(n)
		default:
			done = true
		}
		if err != nil {
			return nil, err
		}
	}
	if p.tok.is('<') {
		if err := p.tcpOptions(k, t); err != nil {
			return nil, err
		}
	}
	if p.tok.is('{') {
		if t.Fuzz, err = p.fuzz(); err != nil {
			return nil, err
		}
	}
	if t.UDP, err = p.udpEncap(); err != nil {
		return nil, err
	}
	return t, nil
}

// tcpOptions reads "<mss 1460, nop, ...>" or "<...>".
func (p *parser) tcpOptions(k *Packet, t *TCP) error {
	start := p.tok.pos
	if err := p.advance(); err != nil {
		return err
	}
	if p.tok.kind == tokDots {
		if k.Dir != Outbound {
			return &Error{start, "the options <...> are for outbound packets only"}
		}
		t.AnyOptions = true
		if err := p.advance(); err != nil {
			return err
		}
		return p.punct('>')
	}
	for {
		o, err := p.tcpOption()
		if err != nil {
			return err
		}
		t.Options = append(t.Options, o)
		if p.tok.is('>') {
			return p.advance()
		}
		if !p.tok.is(',') {
			return p.expected("',' or '>' after a TCP option")
		}
		if err := p.advance(); err != nil {
			return err
		}
	}
}

var optionKinds = map[string]TCPOptionKind{
	"nop": OptNOP, "eol": OptEOL, "mss": OptMSS, "wscale": OptWScale, "sackOK": OptSACKOK, "sack": OptSACK,
	"TS": OptTS, "FO": OptFastOpen, "FOEXP": OptFOEXP, "md5": OptMD5,
	"ECN": OptAccECN, "AccECN": OptAccECN, "AccECNEXP": OptAccECNEXP, "ECNEXP": OptAccECNEXP,
	"AccECN0": OptAccECN, "AccECN1": OptAccECN, "exp-AccECN0": OptAccECNEXP, "exp-AccECN1": OptAccECNEXP,
	"exp-FO": OptFOEXP, "exp-TARR": OptTARR,
}

func (p *parser) tcpOption() (TCPOption, error) {
	o := TCPOption{Pos: p.tok.pos}
	if p.tok.kind != tokWord {
		return o, p.expected("a TCP option (mss, wscale, sackOK, sack, TS, nop, eol, FO, FOEXP, md5, ECN)")
	}
	name, from := p.tok.text, p.tok.off
	if err := p.advance(); err != nil {
		return o, err
	}
	if strings.EqualFold(name, "exp") && p.tok.is('-') {
		if err := p.advance(); err != nil {
			return o, err
		}
		if p.tok.kind != tokWord {
			return o, p.expected("the name of an experimental option")
		}
		name = "exp-" + p.tok.text
		if err := p.advance(); err != nil {
			return o, err
		}
	}
	kind, known := optionKinds[name]
	o.Second = strings.HasSuffix(name, "AccECN1")
	if !known {
		return p.unknownOption(o, name, from)
	}
	o.Kind = kind
	var n int64
	var err error
	switch kind {
	case OptMSS:
		n, err = p.integer("the maximum segment size", 0, max16)
		o.Value = uint32(n)
	case OptWScale:
		if o.AnyVal = p.tok.is('*'); o.AnyVal {
			err = p.advance()
			break
		}
		n, err = p.integer("the window scale", 0, max8)
		o.Value = uint32(n)
	case OptSACK:
		err = p.sackBlocks(&o)
	case OptTS:
		err = p.timestamps(&o)
	case OptFastOpen, OptFOEXP:
		if !p.tok.is(',') && !p.tok.is('>') {
			o.Data, err = p.blob("the cookie")
		}
	case OptMD5:
		if !p.tok.is(',') && !p.tok.is('>') {
			o.Data, err = p.blob("the digest")
		}
	case OptTARR:
		if !p.tok.is(',') && !p.tok.is('>') {
			n, err = p.integer("the ratio", 0, 1<<11-1)
			o.Value, o.HasValue = uint32(n), true
		}
	case OptAccECN, OptAccECNEXP:
		for err == nil && p.tok.kind == tokWord {
			c := AccECNCounter{Name: p.tok.text}
			if len(c.Name) == 4 { // ee0b, ee1b and eceb
				c.Name = c.Name[1:]
			}
			if c.Name != "e0b" && c.Name != "e1b" && c.Name != "ceb" {
				return o, p.expected("e0b, e1b or ceb")
			}
			if err = p.advance(); err != nil {
				break
			}
			n, err = p.integer("the counter", 0, max24)
			c.Value = uint32(n)
			o.Counters = append(o.Counters, c)
		}
	}
	return o, err
}

// unknownOption passes over an option of an unknown name, up to a comma or the
// end of the list.
func (p *parser) unknownOption(o TCPOption, name string, from int) (TCPOption, error) {
	o.Kind, o.Name = OptUnknown, name
	text := []string{name}
	for open := 0; ; {
		if open == 0 && (p.tok.is(',') || p.tok.is('>')) {
			o.Text = strings.Join(text, " ")
			return o, nil
		}
		if p.tok.kind == tokEOF || p.tok.is('<') {
			return o, p.expected(fmt.Sprintf("the end of the TCP option %q", clip(name)))
		}
		open += depthOf(p.tok)
		text = append(text, p.lex.src[p.tok.off:p.tok.end])
		if err := p.advance(); err != nil {
			return o, err
		}
	}
}

func (p *parser) sackBlocks(o *TCPOption) error {
	for {
		b := SACKBlock{Pos: p.tok.pos}
		n, err := p.integer("the left edge of a SACK block", 0, max32)
		if err != nil {
			return err
		}
		b.Left = uint32(n)
		if err := p.punct(':'); err != nil {
			return err
		}
		if n, err = p.integer("the right edge of a SACK block", 0, max32); err != nil {
			return err
		}
		b.Right = uint32(n)
		o.Blocks = append(o.Blocks, b)
		if p.tok.kind != tokInt {
			return nil
		}
	}
}

// timestamps reads "val N ecr N", "val ... ecr N!".
func (p *parser) timestamps(o *TCPOption) error {
	if err := p.word("val"); err != nil {
		return err
	}
	var n int64
	var err error
	if o.AnyVal = p.tok.kind == tokDots; o.AnyVal {
		err = p.advance()
	} else {
		n, err = p.integer("the timestamp", 0, max32)
		o.Val = uint32(n)
	}
	if err != nil {
		return err
	}
	if err := p.word("ecr"); err != nil {
		return err
	}
	if o.AnyEcr = p.tok.kind == tokDots; o.AnyEcr {
		return p.advance()
	}
	if n, err = p.integer("the timestamp echoed", 0, max32); err != nil {
		return err
	}
	o.Ecr = uint32(n)
	o.AbsoluteEcr, err = p.optional('!')
	return err
}

// blob reads bytes in hexadecimal, with or without 0x.
func (p *parser) blob(what string) ([]byte, error) {
	text := p.tok.text
	switch p.tok.kind {
	case tokHex:
		text = text[2:]
	case tokInt, tokWord:
	default:
		return nil, p.expected(what + " in hexadecimal")
	}
	b, err := hex.DecodeString(text)
	if err != nil || len(b) > 38 {
		return nil, p.fail("%s: %s is not a run of at most 38 bytes in hexadecimal", what, clip(p.tok.text))
	}
	return b, p.advance()
}

// fuzz reads "{ mut tcp mss; trun ip 0-20 }".
func (p *parser) fuzz() (*Fuzz, error) {
	f := &Fuzz{Pos: p.tok.pos}
	if err := p.advance(); err != nil {
		return nil, err
	}
	oneOf := func(words ...string) (string, error) {
		for _, w := range words {
			if p.tok.isWord(w) {
				return w, p.advance()
			}
		}
		return "", p.expected("one of " + strings.Join(words, ", "))
	}
	for {
		var q FuzzParam
		var err error
		if q.Kind, err = oneOf("mut", "trun", "ins"); err != nil {
			return nil, err
		}
		if q.Header, err = oneOf("ip", "tcp"); err != nil {
			return nil, err
		}
		if p.tok.kind == tokWord {
			if q.Field, err = oneOf("mss", "ihl", "source_port"); err != nil {
				return nil, err
			}
		} else {
			if q.First, err = p.integer("a position", 0, max16); err != nil {
				return nil, err
			}
			if q.Range, err = p.optional('-'); err != nil {
				return nil, err
			}
			if p.tok.kind == tokInt && p.tok.text[0] == '-' { // "4-8" is two numbers to the lexer
				q.Range = true
				p.tok.text = p.tok.text[1:]
			}
			if q.Second, err = p.integer("a position", 0, max16); err != nil {
				return nil, err
			}
		}
		f.Params = append(f.Params, q)
		if p.tok.is('}') {
			return f, p.advance()
		}
		if err := p.punct(';'); err != nil {
			return nil, err
		}
	}
}

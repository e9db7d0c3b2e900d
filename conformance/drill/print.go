package drill

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// notation prints a packet as packetdrill writes it. Its numbers are printed
// as they are: see conn.scripted.
func notation(s *segment) string {
	dir := "<"
	if s.out {
		dir = ">"
	}
	var b strings.Builder
	b.WriteString(dir + " ")
	if e := s.tos & 3; e != 0 {
		b.WriteString(map[uint8]string{1: "[ect1] ", 2: "[ect0] ", 3: "[ce] "}[e])
	}
	switch {
	case s.icmp:
		fmt.Fprintf(&b, "icmp type %d code %d", s.icmpType, s.icmpCode)
		return b.String()
	case !s.tcp:
		fmt.Fprintf(&b, "IP protocol %d, %d bytes", s.proto, len(s.raw))
		return b.String()
	}
	fmt.Fprintf(&b, "%s %d:%d(%d)", flagText(s.flags), s.seq, s.seq+uint32(len(s.payload)), len(s.payload))
	if s.flags&fACK != 0 {
		fmt.Fprintf(&b, " ack %d", s.ack)
	}
	fmt.Fprintf(&b, " win %d", s.window)
	if s.flags&fURG != 0 {
		fmt.Fprintf(&b, " urg %d", s.urgent)
	}
	if len(s.options) > 0 {
		fmt.Fprintf(&b, " <%s>", optionsText(s.options))
	}
	if s.trouble != "" {
		b.WriteString(" (" + s.trouble + ")")
	}
	return b.String()
}

func optionsText(os []tcpOption) string {
	var l []string
	for _, o := range os {
		l = append(l, optionText(o))
	}
	return strings.Join(l, ",")
}

func optionText(o tcpOption) string {
	d := o.data
	u32 := func(i int) uint32 { return binary.BigEndian.Uint32(d[i:]) }
	switch {
	case o.kind == kindEOL:
		return "eol"
	case o.kind == kindNOP:
		return "nop"
	case o.kind == kindMSS && len(d) == 2:
		return fmt.Sprintf("mss %d", binary.BigEndian.Uint16(d))
	case o.kind == kindWScale && len(d) == 1:
		return fmt.Sprintf("wscale %d", d[0])
	case o.kind == kindSACKOK && len(d) == 0:
		return "sackOK"
	case o.kind == kindTS && len(d) == 8:
		return fmt.Sprintf("TS val %d ecr %d", u32(0), u32(4))
	case o.kind == kindSACK && len(d)%8 == 0:
		t := "sack"
		for i := 0; i < len(d); i += 8 {
			t += fmt.Sprintf(" %d:%d", u32(i), u32(i+4))
		}
		return t
	case o.kind == kindFO:
		return fmt.Sprintf("FO %x", d)
	case o.kind == kindMD5:
		return "md5"
	case (o.kind == kindAccECN0 || o.kind == kindAccECN1) && len(d)%3 == 0:
		names := []string{"e0b", "ceb", "e1b"}
		if o.kind == kindAccECN1 {
			names = []string{"e1b", "ceb", "e0b"}
		}
		t := "ECN"
		for i := 0; i < len(d) && i/3 < 3; i += 3 {
			t += fmt.Sprintf(" %s %d", names[i/3], uint32(d[i])<<16|uint32(d[i+1])<<8|uint32(d[i+2]))
		}
		return t
	}
	return fmt.Sprintf("0x%02x 0x%x", o.kind, d)
}

package script

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Text returns the script in a canonical form, one event a line. Symbols have
// been replaced, so lines that define them are left out, and so are comments.
// Parsing the text gives the same tree again, but for positions.
func (s *Script) Text() string {
	var b strings.Builder
	for _, o := range s.Options {
		if o.Name == "define" {
			continue
		}
		b.WriteString("--" + o.Name)
		if o.HasValue {
			value := o.Value
			if o.quoted {
				value = `"` + value + `"`
			}
			b.WriteString("=" + value)
		}
		b.WriteByte('\n')
	}
	if s.Init != nil {
		b.WriteString(commandText(s.Init) + "\n")
	}
	for i := range s.Events {
		b.WriteString(s.Events[i].String() + "\n")
	}
	if s.Cleanup != nil {
		b.WriteString(commandText(s.Cleanup) + "\n")
	}
	return b.String()
}

// String returns the event as a line of a script.
func (e *Event) String() string {
	t := e.Time.String()
	switch a := e.Action.(type) {
	case *Packet:
		return t + " " + a.String()
	case *Syscall:
		if a.Blocking {
			t += "..." + seconds(a.End)
		}
		return t + " " + a.String()
	case *Command:
		return t + " " + commandText(a)
	case *Code:
		return t + " %{ " + a.Text + " }%"
	}
	return t
}

// String returns the time as in a script.
func (t Time) String() string {
	switch t.Kind {
	case Relative:
		return "+" + seconds(t.At)
	case AnyTime:
		return "*"
	case AbsoluteRange:
		return seconds(t.At) + "~" + seconds(t.Until)
	case RelativeRange:
		return "+" + seconds(t.At) + "~+" + seconds(t.Until)
	}
	return seconds(t.At)
}

func seconds(d time.Duration) string {
	s := strconv.FormatInt(int64(d/time.Second), 10)
	if f := d % time.Second; f != 0 {
		s += strings.TrimRight(fmt.Sprintf(".%09d", int64(f)), "0")
	}
	return s
}

func commandText(c *Command) string {
	return "`" + strings.ReplaceAll(c.Text, "`", "\\`") + "`"
}

// String returns the packet as in a script.
func (k *Packet) String() string {
	parts := []string{"<"}
	if k.Dir == Outbound {
		parts[0] = ">"
	}
	for _, e := range k.Encap {
		parts = append(parts, e.String()+":")
	}
	parts = append(parts, k.IP.String())
	ports := ""
	if k.Ports != nil {
		ports = fmt.Sprintf("%d > %d", k.Ports.Src, k.Ports.Dst)
	}
	switch {
	case k.TCP != nil:
		parts = append(parts, ports, k.TCP.String())
	case k.UDP != nil && k.UDP.Lite:
		parts = append(parts, "udplite", ports, fmt.Sprintf("(%d, %d)", k.UDP.Len, k.UDP.Coverage))
	case k.UDP != nil:
		parts = append(parts, "udp", ports, fmt.Sprintf("(%d)", k.UDP.Len))
	case k.ICMP != nil:
		parts = append(parts, ports, k.ICMP.String())
	case k.Other != nil:
		parts = append(parts, ports, k.Other.Text)
	}
	return join(parts)
}

// join puts blanks between the parts that are not empty.
func join(parts []string) string {
	var b strings.Builder
	for _, s := range parts {
		if s == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(s)
	}
	return b.String()
}

// String returns the header as in a script, without the colon.
func (e *Encap) String() string {
	switch e.Kind {
	case EncapIPv4:
		return join([]string{"ipv4", e.IP.String(), e.Src.String(), ">", e.Dst.String()})
	case EncapIPv6:
		return join([]string{"ipv6", e.IP.String(), e.Src.String(), ">", e.Dst.String()})
	case EncapMPLS:
		return join([]string{"mpls", mplsText(e.Labels)})
	}
	if e.GRE == nil {
		return "gre"
	}
	return "gre " + greText(e.GRE)
}

func mplsText(labels []MPLS) string {
	var parts []string
	for _, m := range labels {
		bottom := ""
		if m.Bottom {
			bottom = "[S], "
		}
		parts = append(parts, fmt.Sprintf("(label %d, tc %d, %sttl %d)", m.Label, m.TC, bottom, m.TTL))
	}
	return strings.Join(parts, " ")
}

func greText(g *GRE) string {
	return fmt.Sprintf("flags 0x%x, sum 0x%x, off 0x%x, key 0x%x, seq 0x%x", g.Flags, g.Sum, g.Offset, g.Key, g.SequenceValue)
}

var ecnTexts = map[ECN]string{NoECN: "noecn", ECT0: "ect0", ECT1: "ect1", CE: "ce", ECT01: "ect01"}

// String returns what is said of the IP header in brackets, or "".
func (i IPInfo) String() string {
	var parts []string
	if i.HasDSCP {
		parts = append(parts, fmt.Sprintf("dscp 0x%02x", i.DSCP))
	}
	if i.ECN != ECNUnchecked {
		parts = append(parts, ecnTexts[i.ECN])
	}
	if i.HasTOS {
		parts = append(parts, fmt.Sprintf("tos 0x%02x", i.TOS))
	}
	if i.HasFlowLabel {
		parts = append(parts, fmt.Sprintf("flowlabel 0x%x", i.FlowLabel))
	}
	if i.HasTTL {
		parts = append(parts, fmt.Sprintf("ttl %d", i.TTL))
	}
	if len(parts) == 0 {
		return ""
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// String returns the flags as in a script.
func (f Flags) String() string {
	var b []byte
	add := func(set bool, c byte) {
		if set {
			b = append(b, c)
		}
	}
	add(f.FIN, 'F')
	add(f.SYN, 'S')
	add(f.RST, 'R')
	add(f.PSH, 'P')
	add(f.URG, 'U')
	add(f.ECE, 'E')
	add(f.CWR, 'W')
	add(f.AE, 'A')
	add(f.ACK, '.')
	if f.HasACE && !f.ACK {
		if len(b) == 0 {
			return "-" // a digit alone is no flag, and cannot have been read
		}
		b = append(b, '0'+f.ACE)
	} else {
		add(f.HasACE, '0'+f.ACE)
	}
	if len(b) == 0 {
		return "-"
	}
	return string(b)
}

// String returns the range as in a script.
func (s Seq) String() string {
	switch {
	case s.Any:
		return fmt.Sprintf("...(%d)", s.Len)
	case s.Absolute:
		return fmt.Sprintf("%d:%d(%d)!", s.Start, s.End, s.Len)
	}
	return fmt.Sprintf("%d:%d(%d)", s.Start, s.End, s.Len)
}

// String returns the segment as in a script.
func (t *TCP) String() string {
	parts := []string{t.Flags.String(), t.Seq.String()}
	if t.HasAck {
		parts = append(parts, fmt.Sprintf("ack %d", t.Ack))
	}
	if t.HasWindow {
		parts = append(parts, fmt.Sprintf("win %d", t.Window))
	}
	if t.HasUrgent {
		parts = append(parts, fmt.Sprintf("urg %d", t.Urgent))
	}
	if t.AnyOptions {
		parts = append(parts, "<...>")
	} else if len(t.Options) > 0 {
		var options []string
		for i := range t.Options {
			options = append(options, t.Options[i].String())
		}
		parts = append(parts, "<"+strings.Join(options, ",")+">")
	}
	if t.Fuzz != nil {
		var params []string
		for _, q := range t.Fuzz.Params {
			field := q.Field
			switch {
			case field != "":
			case q.Range:
				field = fmt.Sprintf("%d - %d", q.First, q.Second)
			default:
				field = fmt.Sprintf("%d %d", q.First, q.Second)
			}
			params = append(params, q.Kind+" "+q.Header+" "+field)
		}
		parts = append(parts, "{"+strings.Join(params, "; ")+"}")
	}
	return join(append(parts, t.UDP.String()))
}

// String returns "/udp(src > dst)", or "" for nil.
func (u *UDPEncap) String() string {
	if u == nil {
		return ""
	}
	return fmt.Sprintf("/udp(%d > %d)", u.Src, u.Dst)
}

// String returns the option as in a script.
func (o *TCPOption) String() string {
	switch o.Kind {
	case OptNOP:
		return "nop"
	case OptEOL:
		return "eol"
	case OptMSS:
		return fmt.Sprintf("mss %d", o.Value)
	case OptWScale:
		if o.AnyVal {
			return "wscale *"
		}
		return fmt.Sprintf("wscale %d", o.Value)
	case OptSACKOK:
		return "sackOK"
	case OptSACK:
		s := "sack"
		for _, b := range o.Blocks {
			s += fmt.Sprintf(" %d:%d", b.Left, b.Right)
		}
		return s
	case OptTS:
		val, ecr := strconv.FormatUint(uint64(o.Val), 10), strconv.FormatUint(uint64(o.Ecr), 10)
		if o.AnyVal {
			val = "..."
		}
		if o.AnyEcr {
			ecr = "..."
		} else if o.AbsoluteEcr {
			ecr += "!"
		}
		return "TS val " + val + " ecr " + ecr
	case OptFastOpen:
		return blobText("FO", o.Data)
	case OptFOEXP:
		return blobText("FOEXP", o.Data)
	case OptMD5:
		return blobText("md5", o.Data)
	case OptAccECN, OptAccECNEXP:
		s := "ECN"
		if o.Kind == OptAccECNEXP {
			s = "AccECNEXP"
		}
		if o.Second {
			s = map[TCPOptionKind]string{OptAccECN: "AccECN1", OptAccECNEXP: "exp-AccECN1"}[o.Kind]
		}
		for _, c := range o.Counters {
			s += fmt.Sprintf(" %s %d", c.Name, c.Value)
		}
		return s
	}
	if o.Kind == OptTARR {
		if o.HasValue {
			return fmt.Sprintf("exp-TARR %d", o.Value)
		}
		return "exp-TARR"
	}
	return o.Text
}

func blobText(name string, data []byte) string {
	if len(data) == 0 {
		return name
	}
	return name + " " + hex.EncodeToString(data)
}

// String returns the message as in a script.
func (i *ICMP) String() string {
	parts := []string{"icmp", i.Type, i.Code}
	if i.HasMTU {
		parts = append(parts, fmt.Sprintf("mtu %d", i.MTU))
	}
	if i.HasID {
		parts = append(parts, fmt.Sprintf("id %d", i.ID))
	}
	if e := i.Echoed; e != nil {
		switch e.Protocol {
		case "tcp":
			parts = append(parts, "["+join([]string{e.Seq.String(), e.UDP.String()})+"]")
		case "udplite":
			parts = append(parts, fmt.Sprintf("[udplite (%d, %d)]", e.Len, e.Coverage))
		case "sctp":
			parts = append(parts, fmt.Sprintf("[sctp (%d)%s]", e.Tag, e.UDP.String()))
		default:
			parts = append(parts, fmt.Sprintf("[%s (%d)]", e.Protocol, e.Len))
		}
	}
	return join(parts)
}

// String returns the call as in a script, without its times.
func (s *Syscall) String() string {
	parts := []string{s.Name + "(" + exprList(s.Args) + ")", "=", ExprText(s.Result)}
	if s.Errno != nil {
		parts = append(parts, s.Errno.Name)
		// Parentheses behind the name are its text, so a note needs both.
		if s.Errno.Text != "" || s.Note != "" {
			parts = append(parts, "("+s.Errno.Text+")")
		}
	}
	if s.Note != "" {
		parts = append(parts, "("+s.Note+")")
	}
	return join(parts)
}

func exprList(list []Expr) string {
	var parts []string
	for _, x := range list {
		parts = append(parts, ExprText(x))
	}
	return strings.Join(parts, ", ")
}

// ExprText returns the expression as in a script.
func ExprText(x Expr) string {
	switch x := x.(type) {
	case Int:
		if x.Hex {
			return fmt.Sprintf("0x%x", uint64(x.Value))
		}
		return strconv.FormatInt(x.Value, 10)
	case Str:
		s := quote(x.Value)
		if x.Partial {
			s += "..."
		}
		return s
	case Name:
		return x.Name
	case Ellipsis:
		return "..."
	case *Binary:
		if x.Op == "=" {
			return ExprText(x.Left) + "=" + ExprText(x.Right)
		}
		return operand(x.Left, precedence[x.Op]) + " " + x.Op + " " + operand(x.Right, precedence[x.Op]+1)
	case *Unary:
		o := ExprText(x.X)
		if _, ok := x.X.(*Binary); ok {
			o = "(" + o + ")"
		}
		if x.Op == "-" && o != "" && (o[0] == '-' || isDigit(o[0]) && !strings.HasPrefix(o, "0x")) {
			return "- " + o // to the lexer "-0" is one number, and "--A" an option
		}
		return x.Op + o
	case *List:
		if x.Braces {
			return "{" + exprList(x.Items) + "}"
		}
		return "[" + exprList(x.Items) + "]"
	case *Call:
		return x.Name + "(" + exprList(x.Args) + ")"
	case *Struct:
		return structText(x)
	case Header:
		return "{" + x.Text + "}"
	}
	return ""
}

// operand returns the text of an operand, in parentheses if it binds less.
func operand(x Expr, least int) string {
	s := ExprText(x)
	switch x := x.(type) {
	case *Binary:
		if precedence[x.Op] < least {
			return "(" + s + ")"
		}
	case Int:
		if x.Value < 0 && !x.Hex {
			return "(" + s + ")"
		}
	}
	return s
}

func structText(x *Struct) string {
	var parts []string
	for _, f := range x.Fields {
		arg := ""
		if f.Arg != nil {
			arg = "(" + ExprText(f.Arg) + ")"
		}
		parts = append(parts, f.Name+arg+"="+ExprText(f.Value))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// quote writes a string with escapes of C.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c >= 0x7f:
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

package script

import (
	"fmt"
	"net/netip"
	"time"
)

// Pos is a place in a script. Line and Col count from 1; Col counts bytes.
type Pos struct {
	File      string
	Line, Col int
}

// String returns "file:line:column".
func (p Pos) String() string {
	if p.File == "" {
		return fmt.Sprintf("%d:%d", p.Line, p.Col)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

// Script is a whole script.
type Script struct {
	File    string
	Source  string // as read
	Options []Option
	Init    *Command // the command before the first event, or nil
	Events  []Event
	Cleanup *Command // the command after the last event, or nil
}

// Option is a line --name=value. Scripts repeat "define" with values such as
// NAME=value, which the parser has applied already.
type Option struct {
	Pos
	Name     string
	HasValue bool
	Value    string // quotes of a plain "value" removed; NAME="value" keeps them
	quoted   bool   // Value was in quotes
}

// Event is one line of the script: when, and what.
type Event struct {
	Pos
	Time   Time
	Action Action
}

// Action is a *Packet, *Syscall, *Command or *Code.
type Action interface{ action() }

// TimeKind says how a Time is to be read.
type TimeKind uint8

// The kinds of times.
const (
	// Absolute: At after the start of the script.
	Absolute TimeKind = iota
	// Relative: At after the event before it.
	Relative
	// AnyTime, "*": whenever it happens. Outbound packets only.
	AnyTime
	// AbsoluteRange, "a~b": between At and Until. Outbound packets only.
	AbsoluteRange
	// RelativeRange, "+a~+b": the same, after the event before it.
	RelativeRange
)

// Time is when an event happens.
type Time struct {
	Pos
	Kind      TimeKind
	At, Until time.Duration
}

// Direction is which way a packet goes, as the stack under test sees it.
type Direction uint8

// The directions.
const (
	Inbound  Direction = iota // "<": the script sends it
	Outbound                  // ">": the stack under test sends it
)

// Packet is a packet that is sent or expected. Exactly one of TCP, UDP, ICMP
// and Other is not nil.
type Packet struct {
	Pos
	Dir   Direction
	Encap []Encap // outer headers, outermost first
	IP    IPInfo
	Ports *Ports // nil: those of the connection in hand

	TCP   *TCP
	UDP   *UDP
	ICMP  *ICMP
	Other *OtherPacket
}

// Encap is a header around the packet.
type Encap struct {
	Pos
	Kind     EncapKind
	Src, Dst netip.Addr // EncapIPv4, EncapIPv6
	IP       IPInfo     // EncapIPv4, EncapIPv6
	Labels   []MPLS     // EncapMPLS
	GRE      *GRE       // EncapGRE with details, else nil
}

// EncapKind is the protocol of an Encap.
type EncapKind uint8

// The kinds of encapsulation.
const (
	EncapIPv4 EncapKind = iota
	EncapIPv6
	EncapGRE
	EncapMPLS
)

// MPLS is an entry of a label stack.
type MPLS struct {
	Label, TC, TTL int64
	Bottom         bool
}

// GRE has the details of a GRE header.
type GRE struct {
	Flags              uint16 // as on the wire: 0x8000 checksum, 0x2000 key, 0x1000 sequence
	Sum, Offset        int64
	Key, SequenceValue int64
}

// ECN is what a script says of the ECN field.
type ECN uint8

// The values of ECN. ECT01 matches ECT(0) and ECT(1) and is outbound only.
const (
	ECNUnchecked ECN = iota
	NoECN
	ECT0
	ECT1
	CE
	ECT01
)

// IPInfo is what a script says of the IP header, in brackets or parentheses.
type IPInfo struct {
	ECN          ECN
	HasTOS       bool
	DSCP         uint8
	HasDSCP      bool // DSCP was written; ECN is apart
	TOS          uint8
	HasFlowLabel bool
	FlowLabel    uint32
	HasTTL       bool
	TTL          uint8
}

// Ports are "src > dst", as on the wire of this packet.
type Ports struct {
	Pos
	Src, Dst uint16
}

// UDPEncap is the UDP header of TCP over UDP, "/udp(src > dst)".
type UDPEncap struct {
	Pos
	Src, Dst uint16
}

// Flags are TCP's, with the numeric form of Accurate ECN's counter.
type Flags struct {
	FIN, SYN, RST, PSH, ACK, URG bool
	ECE, CWR, AE                 bool // E, W and A; unset if HasACE
	HasACE                       bool // a digit was written
	ACE                          uint8
}

// Seq is "start:end(length)".
type Seq struct {
	Pos
	Start, End uint32
	Len        int
	Absolute   bool // followed by "!": not to be mapped to the live numbers
	Any        bool // "...(length)": any number
}

// TCP is a TCP segment.
type TCP struct {
	Flags      Flags
	Seq        Seq
	HasAck     bool // "ack N" was written; scripts with '.' and no ack mean 0
	Ack        uint32
	HasWindow  bool // else it is not checked
	Window     uint16
	HasUrgent  bool
	Urgent     uint16
	AnyOptions bool // "<...>": whatever they are. Outbound only
	Options    []TCPOption
	Fuzz       *Fuzz     // "{ ... }", else nil
	UDP        *UDPEncap // else nil
}

// TCPOptionKind names a TCP option.
type TCPOptionKind uint8

// The options that have a syntax.
const (
	OptNOP TCPOptionKind = iota
	OptEOL
	OptMSS       // Value
	OptWScale    // Value, AnyVal
	OptSACKOK    //
	OptSACK      // Blocks
	OptTS        // Val, Ecr, AnyVal, AbsoluteEcr
	OptFastOpen  // Data: the cookie, perhaps empty. Kind 34
	OptFOEXP     // Data: the cookie, perhaps empty. Kind 254 with magic 0xF989
	OptMD5       // Data: the digest
	OptAccECN    // Counters. Kind 172 or 174 by their order: RFC 9768
	OptAccECNEXP // Counters. Kind 254 with the experiment's magic
	OptTARR      // Value, if HasValue. Kind 254: the TCP ACK Rate Request
	OptUnknown   // Name and Text: a name that neither dialect is known to have
)

// TCPOption is one option of a segment.
type TCPOption struct {
	Pos
	Kind        TCPOptionKind
	Value       uint32      // mss, wscale
	Blocks      []SACKBlock // sack
	Val, Ecr    uint32      // TS
	AnyVal      bool        // "val ...", "wscale *": any
	AnyEcr      bool        // "ecr ...": any
	AbsoluteEcr bool        // "ecr N!": not to be mapped
	Data        []byte
	Counters    []AccECNCounter // in the order written
	Name, Text  string          // OptUnknown: its name, and all of it as written
	Second      bool            // OptAccECN: the name says that the first counter is e1b
	HasValue    bool            // OptTARR
}

// SACKBlock is one block, in the script's sequence numbers.
type SACKBlock struct {
	Pos
	Left, Right uint32
}

// AccECNCounter is a byte counter of Accurate ECN: Name is "e0b", "e1b" or "ceb".
type AccECNCounter struct {
	Name  string
	Value uint32 // 24 bits
}

// Fuzz asks for a segment with broken fields: Google's "{ mut tcp mss, ... }".
type Fuzz struct {
	Pos
	Params []FuzzParam
}

// FuzzParam is one change: Kind is "mut", "trun" or "ins", Header "ip" or
// "tcp"; either Field is set, or First and Second are numbers, joined by '-'
// for a range.
type FuzzParam struct {
	Kind, Header, Field string
	First, Second       int64
	Range               bool
}

// UDP is a datagram. Lite has a checksum that covers Coverage bytes.
type UDP struct {
	Len      int
	Lite     bool
	Coverage int
}

// ICMP is an ICMPv4 or ICMPv6 message; the address family of the script
// decides which.
type ICMP struct {
	Pos
	Type   string // as "unreachable", "echo_request", "packet_too_big"
	Code   string // as "frag_needed"; "" if none
	HasMTU bool
	MTU    int64
	HasID  bool
	ID     int64
	Echoed *Echoed // what it quotes, or nil
}

// Echoed is the packet that an ICMP message quotes: "[1:1461(1460)]",
// "[udp (1472)]", "[raw (1472)]".
type Echoed struct {
	Pos
	Protocol string // "tcp", "udp", "udplite", "raw", "sctp"
	Seq      Seq    // tcp
	Len      int    // the others
	Coverage int    // udplite
	Tag      uint32 // sctp
	UDP      *UDPEncap
}

// OtherPacket is a packet of a protocol that has no support: SCTP, or one that
// the parser does not know.
type OtherPacket struct {
	Pos
	Protocol string
	Text     string // as written, comments and line breaks removed
}

// Syscall is a system call with its expected result.
type Syscall struct {
	Pos
	// Blocking: the call is made at the event's time in a thread of its own and
	// returns at End. For an event with a relative time, End counts from the
	// same instant as the event's time, as in "+0...1.5".
	Blocking bool
	End      time.Duration
	Name     string
	Args     []Expr
	Result   Expr
	Errno    *Errno // expected error, or nil
	Note     string // "(words)" after the result
}

// Errno is the name of an expected error, as EAGAIN, and its text.
type Errno struct {
	Pos
	Name string
	Text string
}

// Command is a shell command.
type Command struct {
	Pos
	Text string // between the backquotes
}

// Code is what stands between %{ and }%, blanks and tabs at both ends removed.
type Code struct {
	Pos  // of Text's first byte
	Text string
}

func (*Packet) action()  {}
func (*Syscall) action() {}
func (*Command) action() {}
func (*Code) action()    {}

// Expr is an expression in a system call: Int, Str, Name, Ellipsis, *Binary, *Unary,
// *List, *Call or *Struct.
type Expr interface {
	expr()
	// Position returns where it stands.
	Position() Pos
}

// Int is a number.
type Int struct {
	Pos
	Value int64
	Hex   bool
}

// Str is a string. Value has its escapes replaced; strings written one
// after the other are joined. Partial: followed by "...", as a prefix.
type Str struct {
	Pos
	Value   string
	Partial bool
}

// Name is a symbolic constant such as SOL_SOCKET, or NULL.
type Name struct {
	Pos
	Name string
}

// Ellipsis is "...": unchecked, or supplied by the interpreter.
type Ellipsis struct{ Pos }

// Binary joins two expressions by Op: "|", "&", "^", "+", "-", "*", "<<", ">>"
// or, for "symbol = value", "=".
type Binary struct {
	Pos
	Op          string
	Left, Right Expr
}

// Unary is "~" or "-" before an expression that is no number.
type Unary struct {
	Pos
	Op string
	X  Expr
}

// List is "[a, b]", or "{a, b}" with Braces.
type List struct {
	Pos
	Braces bool
	Items  []Expr
}

// Call is "function(arguments)" as a value: htons, htonl, inet_addr, inet6_addr.
type Call struct {
	Pos
	Name string
	Args []Expr
}

// Struct is "{name=value, ...}": an address, linger, pollfd, msghdr, cmsghdr,
// iovec by names, epoll_event, and whatever else has named members. Its kind
// follows from its members; see Field.
type Struct struct {
	Pos
	Fields []Field
}

// Field is a member of a Struct. Arg is what stands in parentheses behind the
// name, as in msg_name(...)=... and msg_iov(1)=[...], or nil.
type Field struct {
	Pos
	Name  string
	Arg   Expr
	Value Expr
}

// Header is "{(label 1, ...)}" or "{flags 0x2000, ...}": an MPLS stack or a GRE header
// as a value. Text is what stands between the braces.
type Header struct {
	Pos
	Kind string // "mpls" or "gre"
	Text string
}

// Field returns the value of a member, or nil.
func (s *Struct) Field(name string) Expr {
	for i := range s.Fields {
		if s.Fields[i].Name == name {
			return s.Fields[i].Value
		}
	}
	return nil
}

// Has says whether the struct has a member.
func (s *Struct) Has(name string) bool { return s.Field(name) != nil }

func (Int) expr()      {}
func (Str) expr()      {}
func (Name) expr()     {}
func (Ellipsis) expr() {}
func (*Binary) expr()  {}
func (*Unary) expr()   {}
func (*List) expr()    {}
func (*Call) expr()    {}
func (*Struct) expr()  {}
func (Header) expr()   {}

// Position returns p itself.
func (p Pos) Position() Pos { return p }

package drill

import (
	"encoding/binary"
	"net/netip"

	"github.com/sluicenet/sluice/conformance/drill/script"
)

// conn is a connection of the script, and how its numbers become those on the
// wire. In packets with SYN a script's numbers are absolute; in all others they
// count from the initial sequence numbers, as tcpdump prints them.
type conn struct {
	passive       bool
	local, remote netip.AddrPort // on the wire; a zero local port is not known yet

	scriptISS, scriptIRS uint32 // of the host and of the script's side, as the script has them
	iss, irs             uint32 // on the wire; the script chooses irs
	hasISS, hasIRS       bool

	// Timestamps of the host: script's value to value on the wire.
	ts                   map[uint32]uint32
	hasTS                bool
	firstScript, firstTS uint32

	// The flow label last seen, and what the script called it.
	label, scriptLabel uint32

	lastSYN uint32 // sequence number of the last SYN that the script has sent
	fd      int    // descriptor of the script, -1 if not known
	inbox   []*segment
}

func newConn() *conn { return &conn{ts: make(map[uint32]uint32), fd: -1} }

// localOffset is what a script's number of the host's side is short of the one
// on the wire.
func (c *conn) localOffset(syn bool) uint32 {
	if syn {
		return c.iss - c.scriptISS
	}
	return c.iss
}

// remoteOffset is the same for the script's own side.
func (c *conn) remoteOffset(syn bool) uint32 {
	if syn {
		return 0
	}
	return c.irs
}

// tsEcr returns the timestamp on the wire that the script's value echoes.
func (c *conn) tsEcr(ecr uint32) uint32 {
	if v, ok := c.ts[ecr]; ok {
		return v
	}
	if c.hasTS {
		return ecr - c.firstScript + c.firstTS
	}
	return ecr
}

// sawTS learns what a timestamp that the script expected really was.
func (c *conn) sawTS(scripted, live uint32) {
	c.ts[scripted] = live
	if !c.hasTS {
		c.hasTS, c.firstScript, c.firstTS = true, scripted, live
	}
}

// encodeOptions returns the bytes of a script's options. mapped numbers are those
// of SACK blocks and of echoed timestamps.
func encodeOptions(os []script.TCPOption, sackOffset uint32, ecr func(uint32) uint32) []byte {
	var b []byte
	u32 := func(v uint32) { b = binary.BigEndian.AppendUint32(b, v) }
	for i := range os {
		o := &os[i]
		switch o.Kind {
		case script.OptNOP:
			b = append(b, kindNOP)
		case script.OptEOL:
			b = append(b, kindEOL)
		case script.OptMSS:
			b = append(b, kindMSS, 4, byte(o.Value>>8), byte(o.Value))
		case script.OptWScale:
			b = append(b, kindWScale, 3, byte(o.Value))
		case script.OptSACKOK:
			b = append(b, kindSACKOK, 2)
		case script.OptSACK:
			b = append(b, kindSACK, byte(2+8*len(o.Blocks)))
			for _, s := range o.Blocks {
				u32(s.Left + sackOffset)
				u32(s.Right + sackOffset)
			}
		case script.OptTS:
			b = append(b, kindTS, 10)
			u32(o.Val)
			v := o.Ecr
			if !o.AbsoluteEcr && !o.AnyEcr && ecr != nil {
				v = ecr(v)
			}
			u32(v)
		case script.OptFastOpen:
			b = append(append(b, kindFO, byte(2+len(o.Data))), o.Data...)
		case script.OptFOEXP:
			b = append(append(b, kindExp, byte(4+len(o.Data)), 0xf9, 0x89), o.Data...)
		case script.OptMD5:
			b = append(append(b, kindMD5, byte(2+len(o.Data))), o.Data...)
		case script.OptTARR:
			if !o.HasValue {
				b = append(b, kindExp, 4, 0x00, 0xac)
			} else {
				b = append(b, kindExp, 6, 0x00, 0xac, byte(o.Value>>3), byte(o.Value<<5))
			}
		case script.OptAccECN, script.OptAccECNEXP:
			kind, magic := byte(kindAccECN0), byte(0xc0)
			if o.Second || len(o.Counters) > 0 && o.Counters[0].Name == "e1b" {
				kind, magic = kindAccECN1, 0xc1
			}
			if o.Kind == script.OptAccECN {
				b = append(b, kind, byte(2+3*len(o.Counters)))
			} else {
				b = append(b, kindExp, byte(4+3*len(o.Counters)), 0xac, magic)
			}
			for _, c := range o.Counters {
				b = append(b, byte(c.Value>>16), byte(c.Value>>8), byte(c.Value))
			}
		}
	}
	return b
}

// flagsOf returns the bits of a script's flags.
func flagsOf(f *script.Flags) (bits uint16) {
	for _, x := range []struct {
		set bool
		bit uint16
	}{{f.FIN, fFIN}, {f.SYN, fSYN}, {f.RST, fRST}, {f.PSH, fPSH}, {f.ACK, fACK}, {f.URG, fURG},
		{f.ECE, fECE}, {f.CWR, fCWR}, {f.AE, fAE}} {
		if x.set {
			bits |= x.bit
		}
	}
	if f.HasACE {
		for i, bit := range []uint16{fECE, fCWR, fAE} {
			if f.ACE&(1<<i) != 0 {
				bits |= bit
			}
		}
	}
	return bits
}

// tosOf returns the TOS byte of a script's packet.
func tosOf(ip *script.IPInfo) uint8 {
	if ip.HasTOS {
		return ip.TOS
	}
	return ip.DSCP<<2 | map[script.ECN]uint8{script.ECT0: 2, script.ECT1: 1, script.CE: 3}[ip.ECN]
}

// inbound returns the packet to inject for a script's.
func (c *conn) inbound(p *script.Packet) []byte {
	t := p.TCP
	h := &header{
		src: c.remote, dst: c.local, tos: tosOf(&p.IP), flags: flagsOf(&t.Flags),
		window: t.Window, urgent: t.Urgent,
	}
	if p.IP.HasTTL {
		h.ttl = p.IP.TTL
	}
	if p.IP.HasFlowLabel {
		h.label = p.IP.FlowLabel
	}
	if p.Ports != nil {
		if p.Ports.Src != 0 {
			h.src = netip.AddrPortFrom(h.src.Addr(), p.Ports.Src)
		}
		if p.Ports.Dst != 0 {
			h.dst = netip.AddrPortFrom(h.dst.Addr(), p.Ports.Dst)
		}
	}
	syn := t.Flags.SYN
	h.seq = t.Seq.Start
	if !t.Seq.Absolute {
		h.seq += c.remoteOffset(syn)
	}
	if t.HasAck || t.Flags.ACK {
		h.ack = t.Ack
		if t.Flags.ACK {
			h.ack += c.localOffset(syn)
		}
	}
	ecr := c.tsEcr
	if !t.Flags.ACK {
		ecr = nil
	}
	h.options = encodeOptions(t.Options, c.localOffset(syn), ecr)
	h.payload = make([]byte, t.Seq.Len)
	return build(h)
}

// scripted returns a packet of the host's in the script's numbers.
func (c *conn) scripted(s *segment) *segment {
	v := *s
	syn := s.flags&fSYN != 0
	v.seq -= c.localOffset(syn)
	if s.flags&fACK != 0 {
		v.ack -= c.remoteOffset(syn)
	}
	v.options = make([]tcpOption, len(s.options))
	for i, o := range s.options {
		if o.kind == kindSACK && len(o.data)%8 == 0 {
			d := make([]byte, 0, len(o.data))
			for j := 0; j < len(o.data); j += 4 {
				d = binary.BigEndian.AppendUint32(d, binary.BigEndian.Uint32(o.data[j:])-c.remoteOffset(syn))
			}
			o.data = d
		}
		if o.kind == kindTS && len(o.data) == 8 && c.hasTS {
			d := binary.BigEndian.AppendUint32(nil, binary.BigEndian.Uint32(o.data)-c.firstTS+c.firstScript)
			o.data = append(d, o.data[4:]...)
		}
		v.options[i] = o
	}
	return &v
}

// scriptedInbound returns a packet of the script's side in the script's numbers.
func (c *conn) scriptedInbound(s *segment) *segment {
	v := *s
	syn := s.flags&fSYN != 0
	v.seq -= c.remoteOffset(syn)
	if s.flags&fACK != 0 {
		v.ack -= c.localOffset(syn)
	}
	v.options = make([]tcpOption, len(s.options))
	for i, o := range s.options {
		d := append([]byte(nil), o.data...)
		switch {
		case o.kind == kindSACK && len(d)%8 == 0:
			for j := 0; j < len(d); j += 4 {
				binary.BigEndian.PutUint32(d[j:], binary.BigEndian.Uint32(d[j:])-c.localOffset(syn))
			}
		case o.kind == kindTS && len(d) == 8 && c.hasTS && s.flags&fACK != 0:
			binary.BigEndian.PutUint32(d[4:], binary.BigEndian.Uint32(d[4:])-c.firstTS+c.firstScript)
		}
		v.options[i] = tcpOption{o.kind, d}
	}
	return &v
}

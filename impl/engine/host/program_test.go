package host

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/ip"
	"github.com/sluicenet/sluice/impl/engine/tcp"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

func init() { tcp.SetParanoid(true) }

// FuzzProgram drives a whole Host by a program: packets that fit what the Host has
// sent so far, more or less; packets that do not; fragments, ICMP, its own packets
// sent back; the calls of a user; steps of the clock. After each of them everything
// that can be said of a Host that works is checked: see (*program).check and
// (*program).sent.
func FuzzProgram(f *testing.F) {
	for _, p := range programs {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) > 3000 {
			return
		}
		p := newProgram(t, in)
		for len(p.in) > 0 {
			p.op()
		}
		p.finish()
	})
}

// A program is a Host and what is known about it from outside.
type program struct {
	*lab
	in    []byte
	flows map[program4]*programFlow
	conns map[*tcp.Conn]*programConn
	order []*tcp.Conn
	past  [][]byte // packets that the peer has sent
	ours  [][]byte // packets that the Host has sent
	ln    *Listener
	v6    bool
	mtu   int

	// What the present operation allows as an answer.
	stimulus stimulus
}

// stimulus is the kind of packet that has just come in.
type stimulus struct {
	packets, bytes int
	onlyRST        bool // nothing but RSTs
	onlyICMPError  bool // nothing but ICMP errors
	stranger       bool // for no connection
	called         bool // the user has called: what is sent need not be an answer
}

type program4 struct {
	is6          bool
	local, peers uint16
}

// programFlow is what an observer on the wire knows of one pair of ports.
type programFlow struct {
	next, first uint32 // of what the Host sends: beyond the last, and the least not acknowledged
	iss, irs    uint32 // of the last SYN-ACK
	ack         uint32 // what the Host acknowledges
	win         uint16
	tsval       uint32
	edge        uint32 // of its window
	hasEdge     bool
}

// programConn is what the user knows of one connection.
type programConn struct {
	key      program4
	iss, irs uint32
	opened   bool // irs is known
	read     uint32
	wrote    uint32
	gone     bool
}

// at is the byte that the stream of either side has at a sequence number.
func streamByte(seq uint32) byte { return byte(seq ^ seq>>8 ^ seq>>16*7) }

func streamBytes(seq uint32, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = streamByte(seq + uint32(i))
	}
	return b
}

func newProgram(t *testing.T, in []byte) *program {
	p := &program{in: in, flows: map[program4]*programFlow{}, conns: map[*tcp.Conn]*programConn{}}
	mode, more := p.next(), p.next()
	p.mtu = 1500
	p.lab = newLab(t, func(c *Config) {
		c.MaxTimeWait = 3
		c.Flow.SendBuffer, c.Flow.ReceiveBuffer = 20_000, 9_000
		if mode&1 != 0 {
			c.MTU, p.mtu = 1280, 1280
		}
		if mode&2 != 0 {
			c.MaxGSO = 65535
		}
		if mode&4 != 0 {
			c.Budget.MemoryLimit = 60_000
		}
		if mode&8 != 0 {
			c.Budget.FlowLimit, c.Budget.HalfOpenLimit = 3, 3
		}
		if mode&16 != 0 {
			c.Params.ECN = tcp.ECNOn
		}
		if mode&32 != 0 {
			c.Params.Autotune = true
			c.Flow.SendBuffer, c.Flow.ReceiveBuffer = 300_000, 300_000
		}
		if mode&64 != 0 {
			c.Flow.Keepalive = api.KeepaliveConfig{After: time.Second, Interval: time.Second, Probes: 2}
		}
		if mode&128 != 0 {
			c.Flow.UserTimeout = 20 * time.Second
		}
		c.Params.NoSACK = more&1 != 0
		c.Params.NoTimestamps = more&2 != 0
		c.Params.NoWindowScale = more&4 != 0
		c.Budget.FragmentLimit = 100_000
	})
	p.now = clock.Time(time.Hour)
	p.v6 = more&8 != 0
	p.ln = p.listen(func(ln *Listener) { ln.Backlog, ln.HalfOpen = 4, 3 })
	return p
}

func (p *program) next() byte {
	if len(p.in) == 0 {
		return 0
	}
	b := p.in[0]
	p.in = p.in[1:]
	return b
}

func (p *program) next16() int { return int(p.next())<<8 | int(p.next()) }

// pick returns one of a few pairs of ports: to the listener, of dials, and to nobody.
func (p *program) pick() program4 {
	n := p.next()
	k := program4{is6: p.v6 != (n&64 != 0), local: 80, peers: 1000 + uint16(n&3)}
	switch n >> 3 & 3 {
	case 1:
		k.local, k.peers = 2000+uint16(n&3), 90
	case 2:
		if n&7 == 7 {
			k.local = 81
		}
	}
	return k
}

func (p *program) flow(k program4) *programFlow {
	if p.flows[k] == nil {
		p.flows[k] = &programFlow{win: 65535}
	}
	return p.flows[k]
}

func (k program4) ends() (local, peer netip.AddrPort) {
	if k.is6 {
		return netip.AddrPortFrom(us6, k.local), netip.AddrPortFrom(peer6, k.peers)
	}
	return netip.AddrPortFrom(us4, k.local), netip.AddrPortFrom(peer4, k.peers)
}

// conn returns the connection that the Host has for k.
func (p *program) conn(k program4) *tcp.Conn {
	local, peer := k.ends()
	for c := range p.h.Conns() {
		if c.Local() == local && c.Remote() == peer {
			return c
		}
	}
	return nil
}

// timestamps reports whether the connection of k, half-open or not, has timestamps.
func (p *program) timestamps(k program4) bool {
	if c := p.conn(k); c != nil {
		return c.Info(p.now).Timestamps
	}
	local, peer := k.ends()
	for i := range p.h.HalfOpens(p.now) {
		if i.Src == local && i.Dst == peer {
			return i.Timestamps
		}
	}
	return false
}

// wrap puts an IP header in front of a segment or an ICMP message.
func (p *program) wrap(is6 bool, proto, tos uint8, payload []byte) []byte {
	src, dst := peer4, us4
	if is6 {
		src, dst = peer6, us6
	}
	if is6 {
		h := wire.IPv6{TrafficClass: tos, PayloadLen: uint16(len(payload)), NextHeader: proto, HopLimit: 64, Src: src, Dst: dst}
		b := make([]byte, wire.IPv6HeaderLen)
		h.Emit(b)
		return append(b, payload...)
	}
	h := wire.IPv4{TOS: tos, TotalLen: uint16(wire.IPv4MinHeaderLen + len(payload)), TTL: 64, Protocol: proto, Src: src, Dst: dst, ID: uint16(len(p.past))}
	b := make([]byte, wire.IPv4MinHeaderLen)
	h.Emit(b)
	return append(b, payload...)
}

// segment makes a segment of the peer's from the program: near what is expected.
func (p *program) segment() (k program4, h wire.TCP, b []byte) {
	k = p.pick()
	f := p.flow(k)
	kind := p.next()
	h = wire.TCP{SrcPort: k.peers, DstPort: k.local, Flags: wire.ACK, Seq: f.ack, Ack: f.next, Window: 65535}
	n := 0
	switch kind % 8 {
	case 0: // open
		h.Flags, h.Ack, h.Seq = wire.SYN, 0, uint32(p.next())<<24|0xfffff0
		h.Options = wire.TCPOptions{HasMSS: kind&8 == 0, MSS: uint16(p.next16()), HasWindowScale: kind&16 == 0, WindowScale: kind >> 5, SACKPermitted: kind&32 == 0}
		h.Options.HasTimestamps, h.Options.TSval = kind&64 == 0, 1000
		if k.local != 80 {
			h.Flags |= wire.ACK
			h.Ack = f.next
			if kind&128 != 0 {
				h.Flags, h.Ack = wire.SYN, 0 // simultaneous open
			}
		}
	case 1: // acknowledge
	case 2: // data
		n = p.next16() % 1400
		h.Flags |= wire.PSH
	case 3: // data beyond a hole
		n = int(p.next())
		h.Seq += uint32(p.next()) * 8
	case 4: // close
		h.Flags |= wire.FIN
		n = int(kind >> 4)
	case 5: // reset
		h.Flags = wire.RST
		if kind&8 != 0 {
			h.Flags |= wire.ACK
		}
		h.Seq += uint32(kind >> 4)
	case 6: // part of what is outstanding, a window, selective acknowledgements
		h.Ack = f.first + uint32(p.next())*100
		h.Window = uint16(p.next16())
		for range kind >> 6 {
			l := f.first + uint32(p.next())*100
			h.Options.SACK[h.Options.SACKCount] = wire.SACKBlock{Left: l, Right: l + uint32(p.next())*100}
			h.Options.SACKCount++
		}
	case 7: // anything
		h.Flags = wire.Flags(p.next())
		h.Seq += uint32(int32(int8(p.next())))
		h.Ack += uint32(int32(int8(p.next())))
		if kind&8 != 0 {
			h.Seq += 1 << 30
		}
		if kind&16 != 0 {
			h.Ack += 1 << 30
		}
		h.Window = uint16(p.next16())
		h.Urgent = uint16(p.next())
		n = int(p.next())
	}
	if h.Flags&wire.SYN == 0 && p.timestamps(k) {
		h.Options.HasTimestamps = true
		h.Options.TSval, h.Options.TSecr = 1000+uint32(p.now.Sub(clock.Time(time.Hour))/time.Millisecond), f.tsval
		if kind == 7|32 {
			h.Options.TSval -= 5000
		}
	}
	if h.Options.HasTimestamps {
		h.Options.SACKCount = min(h.Options.SACKCount, 3)
	}
	data := streamBytes(h.Seq, n)
	if h.Flags&wire.SYN != 0 {
		data = streamBytes(h.Seq+1, n)
	}
	hl := h.HeaderLen()
	b = append(make([]byte, hl), data...)
	h.Emit(b)
	p.sum(k.is6, wire.ProtoTCP, b, wire.TCPChecksumOffset)
	tos := uint8(0)
	if kind == 2|8 {
		tos = 3 // congestion experienced
	}
	return k, h, p.wrap(k.is6, wire.ProtoTCP, tos, b)
}

func (p *program) sum(is6 bool, proto uint8, b []byte, at int) {
	var s wire.Checksum
	switch {
	case is6:
		s = wire.PseudoHeader(peer6, us6, proto, len(b))
	case proto == wire.ProtoTCP:
		s = wire.PseudoHeader(peer4, us4, proto, len(b))
	}
	b[at], b[at+1] = 0, 0
	s.Add(b)
	binary.BigEndian.PutUint16(b[at:], s.Value())
}

// receive gives the Host a packet and notes what may come of it.
func (p *program) receive(b []byte) {
	p.stimulus.packets++
	p.stimulus.bytes += len(b)
	p.packet(b)
}

// op does one operation.
func (p *program) op() {
	op := p.next()
	rested := p.h.Resting() // else what is sent may be an answer to something before
	if rested {
		p.stimulus = stimulus{}
	}
	p.stimulus.onlyRST, p.stimulus.onlyICMPError, p.stimulus.stranger = false, false, false
	switch op % 16 {
	case 0, 1, 2, 3, 4, 5:
		k, h, b := p.segment()
		p.past = append(p.past, b)
		c := p.conn(k)
		p.stimulus.stranger = rested && c == nil
		p.stimulus.onlyRST = rested && h.Flags&wire.RST != 0
		opening := c != nil && c.State() == api.StateSynSent
		p.receive(b)
		if c := p.conn(k); c != nil && h.Flags&wire.SYN != 0 {
			pc := p.known(c)
			if !pc.opened && opening && c.State() != api.StateSynSent {
				pc.opened, pc.irs = true, h.Seq
			}
		}
	case 6:
		p.stimulus.called = true
		p.user(op)
	case 7, 8:
		p.stimulus.called = true // by the clock
	}
	switch op % 16 {
	case 7:
		p.wait(time.Duration(p.next()) * []time.Duration{time.Millisecond, 10 * time.Millisecond, time.Second, time.Minute}[op>>4&3])
	case 8: // to the next deadline
		if d := p.h.Deadline(); d != clock.Never {
			p.now = max(p.now, d)
			p.h.Timeout(p.now)
		}
	case 9:
		p.icmp(op)
	case 10: // in fragments, one of which is lost, doubled or changed
		_, h, b := p.segment()
		if h.Flags&wire.SYN != 0 {
			return // whose sequence number would have to be noted
		}
		mtu := 68 + int(p.next())*4
		if b[0]>>4 == 6 {
			mtu = 1280 + int(p.next())
		}
		which, what := int(p.next()&7), p.next()
		i := 0
		ip.Fragment(b, mtu, uint32(p.next()), func(fr []byte) {
			fr = bytes.Clone(fr)
			if i++; i-1 == which {
				switch what & 3 {
				case 0:
					return
				case 1:
					p.receive(fr)
				case 2: // longer than it says, or shorter
					fr = fr[:max(1, len(fr)-int(what>>2))]
				}
			}
			p.receive(fr)
		})
	case 11: // noise
		n := min(int(p.next()), len(p.in))
		b := bytes.Clone(p.in[:n])
		p.in = p.in[n:]
		if op&16 != 0 {
			repair(b)
		}
		p.receive(b)
	case 12: // something the peer has sent, again, or with one bit changed
		if len(p.past) == 0 {
			return
		}
		b := bytes.Clone(p.past[int(p.next())%len(p.past)])
		if wire := b[6]; op&16 != 0 || wire == 0 {
			i := p.next16() % (len(b) * 8)
			b[i/8] ^= 1 << (i % 8)
		} else if isSyn(b) {
			return
		}
		p.receive(b)
	case 13: // its own packets come back, or those of others do
		if len(p.ours) == 0 {
			return
		}
		b := p.ours[int(p.next())%len(p.ours)]
		p.receive(b)
	case 14: // ping
		n := int(p.next())
		typ := uint8(wire.ICMPv4Echo)
		if p.v6 {
			typ = wire.ICMPv6Echo
		}
		p.message(p.v6, typ, 0, 77, make([]byte, n))
	case 15:
		switch op >> 4 & 3 {
		case 0:
			p.stimulus.called = true
			p.h.Unlisten(p.now, p.ln)
			p.h.Listen(p.ln)
		case 1: // other protocols
			p.receive(p.wrap(p.v6, p.next(), 0, make([]byte, 40)))
		case 2: // flags and addresses that have no business here
			k := p.pick()
			b := seg{src: netip.IPv4Unspecified(), dst: us4, flags: "S", sport: k.peers, dport: k.local}.bytes(p.t)
			copy(b[12:16], [][]byte{{0, 0, 0, 0}, {127, 0, 0, 1}, {224, 0, 0, 1}, {255, 255, 255, 255}, us4.AsSlice(), {10, 0, 0, 255}}[int(p.next())%6])
			fixChecksum(b)
			p.settle()
			n := p.h.Stats().PacketsOut
			p.receive(b)
			p.settle()
			if p.h.Stats().PacketsOut != n {
				p.t.Fatalf("% x was answered", b[12:16])
			}
		}
	}
	if op&128 == 0 || p.next()&1 == 0 {
		p.settle()
	}
}

func isSyn(b []byte) bool {
	pkt, _, ok := ip.Parse(b, len(b))
	return ok && pkt.Proto == wire.ProtoTCP && len(b) > pkt.HeaderLen+13 && wire.Flags(b[pkt.HeaderLen+13])&wire.SYN != 0
}

// message sends an ICMP message.
func (p *program) message(is6 bool, typ, code uint8, rest uint32, body []byte) {
	m := wire.ICMP{Type: typ, Code: code, Rest: rest}
	b := make([]byte, wire.ICMPHeaderLen+len(body))
	m.Emit(b)
	copy(b[wire.ICMPHeaderLen:], body)
	proto := uint8(wire.ProtoICMP)
	if is6 {
		proto = wire.ProtoICMPv6
	}
	p.sum(is6, proto, b, wire.ICMPChecksumOffset)
	p.receive(p.wrap(is6, proto, 0, b))
}

// icmp sends an ICMP error about something the Host has sent.
func (p *program) icmp(op byte) {
	if len(p.ours) == 0 {
		return
	}
	b := bytes.Clone(p.ours[int(p.next())%len(p.ours)])
	typ, code, mtu := p.next()&15, p.next()&15, p.next16()
	if op&16 != 0 {
		typ = 3
		if b[0]>>4 == 6 {
			typ = 2
		}
	}
	if op&32 != 0 {
		code = 4
	}
	is6 := b[0]>>4 == 6
	n := len(b)
	if !is6 && op&64 != 0 {
		n = 28
	}
	p.stimulus.onlyICMPError = p.h.Resting() && isICMPError(is6, typ)
	p.message(is6, typ, code, uint32(mtu), b[:min(n, len(b))])
}

func (p *program) wait(d time.Duration) {
	end := p.now.Add(d)
	for n := 0; p.h.Deadline() <= end; n++ {
		if n > 20_000 {
			p.t.Fatalf("timers spin at %v", p.now)
		}
		p.now = max(p.now, p.h.Deadline())
		p.h.Timeout(p.now)
		p.settle()
	}
	p.now = end
}

func (p *program) known(c *tcp.Conn) *programConn {
	if p.conns[c] == nil {
		k := program4{is6: c.Local().Addr().Is6(), local: c.Local().Port(), peers: c.Remote().Port()}
		pc := &programConn{key: k}
		if c.Passive() { // the Host has only a record of it until the handshake is complete
			f := p.flow(k)
			pc.opened, pc.iss, pc.irs = true, f.iss, f.irs
		}
		p.conns[c] = pc
	}
	return p.conns[c]
}

// user makes a call.
func (p *program) user(op byte) {
	what := p.next()
	if what%16 == 0 {
		k := p.pick()
		k.local, k.peers = 2000+k.local&3, 90
		local, peer := k.ends()
		c, err := p.h.Dial(p.now, local, peer, nil, nil)
		if err == nil {
			p.order = append(p.order, c)
			p.known(c)
			p.flows[k] = &programFlow{win: 65535}
		} else if !errors.Is(err, api.ErrPortInUse) && !errors.Is(err, api.ErrNoMemory) {
			p.t.Fatal(err)
		}
		return
	}
	if len(p.order) == 0 {
		return
	}
	c := p.order[int(p.next())%len(p.order)]
	pc := p.known(c)
	switch what % 16 {
	case 1, 2, 3, 4:
		if pc.gone || pc.iss == 0 {
			return
		}
		n := p.next16()%5000 + 1
		b := api.NewBuffer(streamBytes(pc.iss+1+pc.wrote, n))
		end, err := c.Write(p.now, []*api.Buffer{b}, tcp.WriteOptions{NoDelay: op&16 != 0, Urgent: op&32 != 0})
		switch {
		case err == nil:
			pc.wrote += uint32(n)
			if uint32(end) != pc.wrote {
				p.t.Fatalf("wrote up to %d, Write says %d", pc.wrote, end)
			}
		case errors.Is(err, tcp.ErrAgain) || errors.Is(err, api.ErrNoMemory) || errors.Is(err, api.ErrClosed):
			b.Release()
		default:
			p.t.Fatal(err)
		}
	case 5, 6, 7, 8:
		p.read(c)
	case 9, 10:
		c.CloseWrite(p.now)
	case 11:
		c.CloseRead(p.now)
	case 12:
		pc.gone = true
		c.Orphan(p.now)
	case 13:
		pc.gone = true
		c.Abort(p.now, api.ErrAborted)
		c.ReleaseBuffers()
	case 14, 15:
		f := c.FlowConfig()
		f.SendBuffer, f.ReceiveBuffer = int64(p.next())<<8|2048, int64(p.next())<<8|2048
		f.NoDelay = op&16 != 0
		f.UserTimeout = time.Duration(p.next()) * time.Second
		c.Configure(p.now, &f)
	}
	p.h.Touch(p.now, c)
}

func (p *program) read(c *tcp.Conn) {
	pc := p.known(c)
	for range 3 {
		b, err := c.Read(p.now)
		if err != nil {
			if b != nil || err != tcp.ErrAgain && err != io.EOF && c.CloseReason() == nil {
				p.t.Fatal(b, err)
			}
			return
		}
		if b.Len() == 0 || !pc.opened {
			p.t.Fatalf("%d bytes read, open %v", b.Len(), pc.opened)
		}
		if want := streamBytes(pc.irs+1+pc.read, b.Len()); !bytes.Equal(b.Bytes(), want) {
			p.t.Fatalf("wrong bytes at %d", pc.read)
		}
		pc.read += uint32(b.Len())
		b.Release()
	}
}

// settle brings the Host to rest and checks it and what it has sent.
func (p *program) settle() {
	p.lab.conns = p.lab.conns[:0]
	out := p.run()
	for _, c := range p.lab.conns { // accepted
		p.order = append(p.order, c)
		p.ln.Finished()
	}
	for again := true; again; { // questions of Keepalives
		again = false
		for _, c := range p.order {
			if k, idle, sent, ok := c.AskKeepalive(p.now); ok {
				action, wait := k.Next(idle, sent)
				c.AnswerKeepalive(p.now, action, wait)
				p.h.Touch(p.now, c)
				p.stimulus.called, p.stimulus.stranger, p.stimulus.onlyRST, p.stimulus.onlyICMPError = true, false, false, false
				again = true
			}
		}
		if again {
			out = append(out, p.run()...)
		}
	}
	p.sent(out)
	p.stimulus = stimulus{}
	if err := p.h.Check(); err != nil {
		p.t.Fatal(err)
	}
	for n := 0; p.h.Deadline() <= p.now; n++ {
		if n > 100 {
			p.t.Fatalf("a timer stays due at %v", p.now)
		}
		p.h.Timeout(p.now)
		p.sent(p.run())
	}
}

// sent checks what the Host has sent in answer to the present operation. That each
// packet is well formed and fits the link gopacket has seen to.
func (p *program) sent(out []gopacket.Packet) {
	s := &p.stimulus
	resets, icmps, synAcks := 0, 0, 0
	for _, g := range out {
		raw := g.Data()
		if len(p.ours) < 64 {
			p.ours = append(p.ours, raw)
		} else {
			p.ours[int(p.h.Stats().PacketsOut)%64] = raw
		}
		if g.Layer(layers.LayerTypeICMPv4) != nil || g.Layer(layers.LayerTypeICMPv6) != nil {
			icmps++
			continue
		}
		l, ok := g.Layer(layers.LayerTypeTCP).(*layers.TCP)
		if !ok {
			continue // a fragment of an echo reply
		}
		k := program4{is6: raw[0]>>4 == 6, local: uint16(l.SrcPort), peers: uint16(l.DstPort)}
		f := p.flow(k)
		switch {
		case l.RST:
			resets++
			if s.onlyRST {
				p.t.Fatalf("a RST was answered: %v", text(g))
			}
			if l.SYN || l.FIN || len(l.Payload) > 0 {
				p.t.Fatalf("RST with more: %v", text(g))
			}
			continue
		case l.SYN:
			if l.ACK {
				synAcks++
			}
			if len(l.Payload) > 0 || l.FIN {
				p.t.Fatalf("SYN with more: %v", text(g))
			}
			if c := p.conn(k); c != nil {
				p.known(c).iss = l.Seq
			}
			*f = programFlow{next: l.Seq + 1, first: l.Seq, win: 65535, ack: f.ack}
			if l.ACK {
				f.ack = l.Ack
				f.iss, f.irs = l.Seq, l.Ack-1
			}
		case !l.ACK:
			p.t.Fatalf("no ACK: %v", text(g))
		}
		for i, x := range l.Payload {
			if x != streamByte(l.Seq+uint32(i)) {
				p.t.Fatalf("wrong byte %d: %v", i, text(g))
			}
		}
		end := l.Seq + uint32(len(l.Payload))
		if l.FIN {
			end++
		}
		if int32(end-f.next) > 0 {
			f.next = end
		}
		for _, o := range l.Options {
			if o.OptionType == layers.TCPOptionKindTimestamps {
				f.tsval = binary.BigEndian.Uint32(o.OptionData)
			}
		}
		if l.SYN {
			continue
		}
		if int32(l.Ack-f.ack) > 0 || !f.hasEdge {
			f.ack = l.Ack
		}
		// The window is not taken back, but for the rounding of its scale.
		if c := p.conn(k); c != nil {
			scale := max(0, c.Info(p.now).RecvWindowScale)
			edge := l.Ack + uint32(l.Window)<<scale
			if f.hasEdge && int32(edge+1<<scale-1-f.edge) < 0 {
				p.t.Fatalf("window taken back from %d to %d: %v", f.edge, edge, text(g))
			}
			if !f.hasEdge || int32(edge-f.edge) > 0 {
				f.edge, f.hasEdge = edge, true
			}
		}
	}
	if s.onlyRST && (len(out) > 1 || synAcks > 0) {
		p.t.Fatalf("%d answers to a RST, %d of them SYN-ACKs", len(out), synAcks)
	}
	if s.onlyICMPError && (icmps > 0 || resets > 0) {
		p.t.Fatalf("an ICMP error was answered: %d by ICMP, %d by RST", icmps, resets)
	}
	if s.stranger && len(out) > s.packets {
		p.t.Fatalf("%d answers to %d packets of a stranger: %v", len(out), s.packets, texts(out))
	}
	if s.packets > 0 && !s.called && (resets > s.packets+1 || icmps > 2*s.packets) {
		p.t.Fatalf("%d RSTs and %d ICMP messages in answer to %d packets", resets, icmps, s.packets)
	}
}

// finish lets everything end: users give up, and nobody answers any more.
func (p *program) finish() {
	p.settle()
	abort := len(p.order)%2 == 1
	for _, c := range p.order {
		if abort {
			c.Abort(p.now, api.ErrAborted)
		} else {
			c.Orphan(p.now)
		}
		if c.FullyClosed() {
			c.ReleaseBuffers()
		}
		p.h.Touch(p.now, c)
	}
	p.settle()
	for n := 0; p.h.Deadline() != clock.Never; n++ {
		if n > 5000 || p.now > clock.Time(3*time.Hour) && n > 2000 {
			p.t.Fatalf("after %d timers, at %v, something is left: %+v", n, p.now, p.h.Stats())
		}
		p.now = max(p.now, p.h.Deadline())
		p.h.Timeout(p.now)
		p.settle()
	}
	for _, c := range p.order {
		if !c.Gone() && c.State() != api.StateTimeWait {
			p.t.Fatalf("a connection stays in %v", c.State())
		}
		c.ReleaseBuffers()
	}
	p.wantEmpty()
	if n := p.h.Stats().TimeWait; n != 0 {
		p.t.Fatalf("%d records in TIME-WAIT", n)
	}
	if n := p.ln.unfinished.Load(); n != 0 {
		p.t.Fatalf("%d handlers unfinished", n)
	}
}

// programs is where the fuzzer begins.
var programs = func() (all [][]byte) {
	const user, step = 6, 7
	open := []byte{0, 0, 0, 1, 5, 180, 0, 0, 1}               // SYN, then ACK, from port 1000
	data := []byte{0, 0, 2, 1, 0, user, 5, 0}                 // data, and read
	write := []byte{user, 1, 0, 4, 0, 0, 0, 1}                // write, and it is acknowledged
	hole := []byte{0, 0, 3, 100, 50, 0, 0, 2, 1, 144}         // beyond a hole, then what was missing
	fin := []byte{0, 0, 4, user, 9, 0, 0, 0, 1, 0, 0, 1}      // close, passively
	dial := []byte{user, 0, 8, 0, 8, 0, 9, 5, 180, user, 1}   // dial, and a SYN-ACK
	closing := []byte{user, 9, 0, 0, 0, 1, 0, 0, 4, step, 77} // close, actively, into TIME-WAIT
	lost := []byte{user, 1, 0, 16, 0, 8, 8, 8, 0, 0, 1}       // write, nothing comes back, timers, an ACK
	window := []byte{user, 1, 0, 8, 0, 0, 0, 6, 255, 0, 0, 8, 8, 8, 0, 0, 6, 255, 16, 0}
	sack := []byte{user, 1, 0, 19, 0, 0, 0, 6 | 64, 0, 255, 255, 15, 15, 0, 0, 6 | 64, 0, 255, 255, 30, 15, step | 16, 100}
	icmp := []byte{9 | 16 | 32, 0, 3, 4, 2, 88, 9, 0, 3, 3, 0, 0}
	noise := []byte{14, 100, 10, 0, 2, 5, 0, 10, 0, 0, 7, 13, 0, 12, 0, 12 | 16, 1, 2, 3, 15 | 16, 17, 15 | 32, 0, 2}
	reset := []byte{0, 0, 5, 0, 0, 5, 0, 0, 1}
	abort := []byte{user, 13, 0, 0, 0, 1}
	configure := []byte{user, 14, 0, 8, 9, 20}
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for _, mode := range [][]byte{{0, 0}, {0, 8}, {2, 0}, {4 | 8, 0}, {16 | 32, 8}, {64 | 128, 0}, {1, 7}} {
		all = append(all,
			join(mode, open, data, write, fin),
			join(mode, open, write, closing, noise),
			join(mode, open, hole, data, lost, closing),
			join(mode, open, window, write, reset),
			join(mode, open, sack, lost, fin),
			join(mode, dial, icmp, write, abort),
			join(mode, open, icmp, configure, data, noise, abort),
			join(mode, noise, dial, closing, noise, open, open, fin, open),
		)
	}
	return append(all, []byte("2000X000001&102000&\x01\b08")) // a window that shrank within a super-packet
}()

// TestPrograms: the programs from which the fuzzer starts get somewhere.
func TestPrograms(t *testing.T) {
	var s Stats
	var read, wrote, states int
	seen := map[api.State]bool{}
	for _, in := range programs {
		p := newProgram(t, in)
		for len(p.in) > 0 {
			p.op()
			for c := range p.h.Conns() {
				seen[c.State()] = true
			}
			if p.h.Stats().HalfOpen > 0 {
				seen[api.StateSynReceived] = true
			}
			if p.h.Stats().TimeWait > 0 {
				seen[api.StateTimeWait] = true
			}
		}
		p.finish()
		for _, c := range p.conns {
			read += int(c.read)
			wrote += int(c.wrote)
		}
		q := p.h.Stats()
		s.Accepted += q.Accepted
		s.Opened += q.Opened
		s.Retransmits += q.Retransmits
		s.ChallengeAcks += q.ChallengeAcks
		s.ResetsIn += q.ResetsIn
		s.ResetsOut += q.ResetsOut
	}
	states = len(seen)
	t.Logf("%d accepted, %d opened, %d bytes read, %d written, %d retransmissions, %d challenges, %d and %d RSTs, states %v",
		s.Accepted, s.Opened, read, wrote, s.Retransmits, s.ChallengeAcks, s.ResetsIn, s.ResetsOut, seen)
	if s.Accepted < 20 || s.Opened == 0 || read < 5000 || wrote < 5000 || s.Retransmits < 20 || s.ResetsIn == 0 || s.ResetsOut == 0 || states < 8 {
		t.Error("the programs do not get far")
	}
}

func texts(out []gopacket.Packet) (lines []string) {
	for _, g := range out {
		lines = append(lines, text(g))
	}
	return lines
}

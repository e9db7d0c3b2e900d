package main

import (
	"encoding/binary"

	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/link/pipe"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
)

// TCP flags.
const (
	flagSYN = 2
	flagRST = 4
	flagACK = 16
)

// goodNet is the first byte of the addresses of good clients.
const goodNet = 13

// A segment is one of IPv4 to or from the server, with a window of 64 KB and, in a
// SYN, an MSS.
type segment struct {
	src, dst uint32
	srcPort  uint16
	seq, ack uint32
	flags    byte
	data     []byte
}

// append appends the packet to b, from src to the server.
func (s segment) append(b []byte) []byte {
	tcpLen := 20
	if s.flags&flagSYN != 0 {
		tcpLen = 24
	}
	n := 20 + tcpLen + len(s.data)
	i := len(b)
	b = append(b, make([]byte, n)...)
	p := b[i:]
	p[0], p[8], p[9] = 0x45, 64, 6
	binary.BigEndian.PutUint16(p[2:], uint16(n))
	binary.BigEndian.PutUint32(p[12:], s.src)
	dst := serverNet.Addr().As4()
	copy(p[16:], dst[:])
	binary.BigEndian.PutUint16(p[10:], ^fold(sum(p[:20])))
	t := p[20:]
	binary.BigEndian.PutUint16(t, s.srcPort)
	binary.BigEndian.PutUint16(t[2:], firstPort)
	binary.BigEndian.PutUint32(t[4:], s.seq)
	binary.BigEndian.PutUint32(t[8:], s.ack)
	t[12], t[13] = byte(tcpLen/4)<<4, s.flags
	binary.BigEndian.PutUint16(t[14:], 65535)
	if tcpLen == 24 {
		copy(t[20:], []byte{2, 4, 1460 >> 8, 1460 & 0xff})
	}
	copy(t[tcpLen:], s.data)
	binary.BigEndian.PutUint16(t[16:], ^fold(sum(p[12:20])+6+uint32(len(t))+sum(t)))
	return b
}

func sum(b []byte) (s uint32) {
	for len(b) >= 2 {
		s += uint32(b[0])<<8 | uint32(b[1])
		b = b[2:]
	}
	if len(b) > 0 {
		s += uint32(b[0]) << 8
	}
	return s
}

func fold(s uint32) uint16 {
	s = s>>16 + s&0xffff
	return uint16(s>>16 + s)
}

// parseSegment reads what the server has sent.
func parseSegment(b []byte) (s segment, ok bool) {
	if len(b) < 40 || b[0] != 0x45 || b[9] != 6 {
		return s, false
	}
	t := b[20:]
	return segment{
		src: binary.BigEndian.Uint32(b[12:]), dst: binary.BigEndian.Uint32(b[16:]), srcPort: binary.BigEndian.Uint16(t),
		seq: binary.BigEndian.Uint32(t[4:]), ack: binary.BigEndian.Uint32(t[8:]), flags: t[13],
	}, true
}

// pipeInjector returns a function that sends a packet from an end of a pipe. What
// comes back is given to onPacket.
func pipeInjector(end *pipe.End, onPacket func([]byte)) func([]byte) {
	end.Attach(func(batch []link.Packet) {
		for i := range batch {
			p := &batch[i]
			if len(p.Payload) == 0 {
				onPacket(p.Header)
			} else {
				onPacket(p.AppendTo(nil))
			}
			p.Release()
		}
	})
	batch := make([]link.Packet, 1)
	return func(b []byte) {
		batch[0] = link.Packet{Header: b}
		end.Send(batch)
	}
}

func newChannel() *channel.Endpoint { return channel.New(4096, 1500, "") }

func bufferOf(b []byte) buffer.Buffer { return buffer.MakeWithData(b) }

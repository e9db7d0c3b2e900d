package host

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/impl/engine/tcp"
)

// BenchmarkReceive is what one segment of 1448 bytes in order costs, with its
// share of the ACKs and of the reading.
func BenchmarkReceive(b *testing.B) {
	l := newLab(b, nil)
	l.listen(nil)
	iss := l.connect(seg{seq: 100})
	c := l.conns[0]
	template := seg{flags: "A", seq: 101, ack: iss + 1, data: string(make([]byte, 1448))}.bytes(b)
	seq := uint32(101)
	b.SetBytes(1448)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		buf := api.CopyBuffer(template)
		binary.BigEndian.PutUint32(buf.Bytes()[24:], seq)
		seq += 1448
		l.h.Packet(l.now, &link.Packet{Payload: []api.Buffer{*buf}, Offload: link.Offload{Vouched: true}})
		l.h.Ready()
		l.h.Poll(l.now, &l.batch, 8)
		l.batch.Reset()
		r, err := c.Read(l.now)
		if err != nil {
			b.Fatal(err)
		}
		r.Release()
		l.h.Touch(l.now, c)
		l.now += 1000
	}
}

// BenchmarkPing is a write of one byte, the segment, its ACK and the answer.
func BenchmarkPing(b *testing.B) {
	l := newLab(b, func(c *Config) { c.Flow.NoDelay = true })
	l.listen(nil)
	iss := l.connect(seg{seq: 100})
	c := l.conns[0]
	template := seg{flags: "A", seq: 101, ack: iss + 1, data: "x"}.bytes(b)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range uint32(b.N) {
		if _, err := c.Write(l.now, []*api.Buffer{api.CopyBuffer([]byte{1})}, tcp.WriteOptions{}); err != nil {
			b.Fatal(err)
		}
		l.h.Touch(l.now, c)
		l.h.Ready()
		l.h.Poll(l.now, &l.batch, 8)
		l.batch.Reset()
		buf := api.CopyBuffer(template)
		binary.BigEndian.PutUint32(buf.Bytes()[24:], 101+i)
		binary.BigEndian.PutUint32(buf.Bytes()[28:], iss+2+i)
		l.h.Packet(l.now, &link.Packet{Payload: []api.Buffer{*buf}, Offload: link.Offload{Vouched: true}})
		l.h.Ready()
		l.h.Poll(l.now, &l.batch, 8)
		l.batch.Reset()
		if r, err := c.Read(l.now); err != nil {
			b.Fatal(err)
		} else {
			r.Release()
		}
		l.now += 1000
	}
}

// BenchmarkSyn is what a SYN of a flood costs.
func BenchmarkSyn(b *testing.B) {
	l := newLab(b, nil)
	l.listen(nil)
	template := seg{flags: "S", mss: 1460}.bytes(b)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		buf := api.CopyBuffer(template)
		p := buf.Bytes()
		p[13], p[14], p[15] = byte(i>>16), byte(i>>8)|1, byte(i)
		fixChecksum(p)
		l.h.Packet(l.now, &link.Packet{Payload: []api.Buffer{*buf}, Offload: link.Offload{Vouched: true}})
		l.h.Ready()
		l.h.Poll(l.now, &l.batch, 8)
		l.batch.Reset()
		l.now += 1000
	}
}

func BenchmarkShardHash(b *testing.B) {
	buf := seg{src: netip.MustParseAddr("fd00::2"), flags: "A"}.bytes(b)
	p := link.Packet{Header: buf}
	for b.Loop() {
		ShardHash(1, &p)
	}
}

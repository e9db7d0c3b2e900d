package tcp

import (
	"testing"
	"time"
	"unsafe"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

func TestConnSize(t *testing.T) {
	t.Logf("a Conn has %d bytes, a txRec %d, a TimeWait %d", unsafe.Sizeof(Conn{}), unsafe.Sizeof(txRec{}), unsafe.Sizeof(TimeWait{}))
	// A large object has 8 bytes of the allocator's, and the class after that of 896 is of
	// 1,024: a field too many costs every idle connection 128 bytes.
	if n := unsafe.Sizeof(Conn{}); n > 896-8 && unsafe.Sizeof(uintptr(0)) == 8 {
		t.Errorf("an idle connection takes %d bytes", n)
	}
}

// BenchmarkTransfer is one segment of bulk data from Write to Read, with its share
// of ACKs, and no network.
func BenchmarkTransfer(b *testing.B) {
	for name, gso := range map[string]int64{"mss": 0, "gso": 65535} {
		b.Run(name, func(b *testing.B) {
			paranoid = false
			defer func() { paranoid = true }()
			p := newPair(b, pairConfig{passive: true, gso: gso})
			for p.c[0].State() != api.StateEstablished || p.c[1].State() != api.StateEstablished {
				p.step()
			}
			var out Out
			var seg Segment
			now := p.now
			sent := 0
			b.ReportAllocs()
			b.SetBytes(1448)
			b.ResetTimer()
			move := func(from, to *Conn) bool {
				any := false
				for from.Poll(now, &out) {
					any = true
					seg = Segment{TCP: out.TCP, Payload: append(seg.Payload[:0], out.Payload...), Len: out.Len, GSOSize: out.GSOSize}
					out.Payload = out.Payload[:0]
					to.Segment(now, &seg)
				}
				return any
			}
			for sent < b.N*1448 {
				for {
					w := api.Alloc(64 << 10)
					if _, err := p.c[0].Write(now, []*api.Buffer{w}, WriteOptions{}); err != nil {
						w.Release()
						break
					}
					sent += 64 << 10
				}
				now = now.Add(10 * time.Microsecond)
				move(p.c[0], p.c[1])
				for {
					r, err := p.c[1].Read(now)
					if err != nil {
						break
					}
					r.Release()
				}
				move(p.c[1], p.c[0])
			}
			if p.c[0].seldom.timeouts > 0 || out.TCP.Flags&wire.RST != 0 {
				b.Fatal("lost something")
			}
		})
	}
}

package host

import (
	"encoding/binary"
	"net/netip"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"pgregory.net/rapid"

	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/tcp"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// TestLookup compares a lookup with a map.
func TestLookup(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := lookup[timeWait]{hashKey: rapid.Uint64().Draw(t, "key"), place: func(w *timeWait) (*tuple, **timeWait) { return &w.key, &w.chain }}
		model := map[tuple]*timeWait{}
		tupleN := func(n uint32) (k tuple) {
			binary.BigEndian.PutUint32(k.Remote[12:], n)
			return k
		}
		for _, n := range rapid.SliceOfN(rapid.Uint32Range(0, 300), 0, 2000).Draw(t, "keys") {
			k := tupleN(n)
			w := l.get(&k)
			if w != model[k] {
				t.Fatalf("%d: another one", n)
			}
			if w == nil {
				w = &timeWait{key: k}
				l.add(w)
				model[k] = w
			} else {
				l.remove(w)
				delete(model, k)
			}
			if l.len() != len(model) {
				t.Fatalf("%d things, want %d", l.len(), len(model))
			}
		}
		for k, w := range model {
			if l.get(&k) != w {
				t.Fatal("lost one")
			}
			l.remove(w)
		}
		if l.len() != 0 || len(l.buckets) > minBuckets {
			t.Fatalf("%d left, %d buckets", l.len(), len(l.buckets))
		}
	})
}

// TestEntrySize: what a connection makes the host hold, beside the tcp.Conn.
func TestEntrySize(t *testing.T) {
	if n := unsafe.Sizeof(entry{}); n > 96 {
		t.Errorf("%d bytes", n)
	}
}

// TestHalfOpenSize: what one SYN makes the host hold, with its bucket (S01).
func TestHalfOpenSize(t *testing.T) {
	if n := unsafe.Sizeof(halfOpen{}) + unsafe.Sizeof((*halfOpen)(nil)); n > 160 {
		t.Errorf("%d bytes", n)
	}
}

// TestManyTimeWaits is S21: 100,000 connections in TIME-WAIT, at a few hundred bytes
// each with table and timer, which go when their time has come.
func TestManyTimeWaits(t *testing.T) {
	const n = 100_000
	l := newLab(t, func(c *Config) { c.MaxTimeWait = n })
	before := liveHeap()
	for i := range uint32(n) {
		local := netip.AddrPortFrom(us4, 80)
		remote := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(1 + i>>16), byte(i >> 8), byte(i)}), 1000)
		id := l.h.identify(l.now, local, remote)
		cfg, e := l.h.config(l.now, local, remote, &id, &l.h.flow, l.h.sharingOf(&l.h.flow))
		c, err := tcp.NewActive(l.now, cfg)
		if err != nil || !l.h.budget.takeFlow() {
			t.Fatal(err)
		}
		l.h.insert(e, c)
		// Both close at once, in segments that cross.
		var out tcp.Out
		c.Poll(l.now, &out)
		for _, s := range []wire.TCP{
			{Flags: wire.SYN | wire.ACK, Ack: out.TCP.Seq + 1, Window: 1000},
			{Flags: wire.ACK | wire.FIN, Seq: 1, Ack: out.TCP.Seq + 2, Window: 1000},
		} {
			c.Segment(l.now, &tcp.Segment{TCP: s})
			c.CloseWrite(l.now)
			for c.Poll(l.now, &out) {
			}
			out.TCP.Seq = id.iss
		}
		l.h.touch(e)
		l.h.Poll(l.now, &l.batch, 64)
		l.batch.Reset()
		l.now = l.now.Add(time.Microsecond)
	}
	l.run()
	if s := l.h.Stats(); s.TimeWait != n || s.Conns != 0 {
		t.Fatalf("%d in TIME-WAIT, %d connections", s.TimeWait, s.Conns)
	}
	each := (liveHeap() - before) / n
	t.Logf("%d bytes for each", each)
	if each > 220 {
		t.Errorf("%d bytes for each", each)
	}
	l.advance(61 * time.Second)
	if l.h.Stats().TimeWait != 0 || l.h.Deadline() != clock.Never {
		t.Errorf("%d left", l.h.Stats().TimeWait)
	}
	runtime.KeepAlive(l)
}

package tcp

import (
	"fmt"
	"hash/fnv"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
	"pgregory.net/rapid"
)

// rangeSet against a set of single numbers.
func TestRangeSetModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s rangeSet
		m := map[uint64]bool{}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			a := rapid.Uint64Range(0, 60).Draw(t, "a")
			b := a + rapid.Uint64Range(1, 12).Draw(t, "len")
			r := seqRange{a, b}
			all := true
			for i := a; i < b; i++ {
				all = all && m[i]
			}
			if s.covers(r) != all {
				t.Fatalf("%v covers %v: %v", s, r, !all)
			}
			if rapid.IntRange(0, 5).Draw(t, "op") == 0 {
				s.trimBelow(a)
				for i := range m {
					if i < a {
						delete(m, i)
					}
				}
			} else {
				before, grows := len(s), s.grows(r)
				s.add(r)
				if grows != (len(s) == before+1) {
					t.Fatalf("grows %v, from %d to %d", grows, before, len(s))
				}
				for i := a; i < b; i++ {
					m[i] = true
				}
			}
			n := 0
			for i, r := range s {
				if r.start >= r.end || i > 0 && s[i-1].end >= r.start {
					t.Fatalf("not in order: %v", s)
				}
				n += int(r.end - r.start)
			}
			if n != len(m) {
				t.Fatalf("%v, want %d numbers", s, len(m))
			}
			for i := range uint64(80) {
				if _, ok := s.containing(i); ok != m[i] {
					t.Fatalf("%v contains %d: %v", s, i, ok)
				}
			}
		}
	})
}

// The scoreboard against one flag for each octet: what is marked, what is lost by
// RFC 6675's IsLost, and the sums that pipe is made from.
func TestScoreboardModel(t *testing.T) {
	const smss = 10
	rapid.Check(t, func(t *rapid.T) {
		type octet struct{ sacked, lost, rexmit bool }
		var b scoreboard
		una, nxt := uint64(1000), uint64(1000)
		m := map[uint64]*octet{}
		b.rexmitFrom = una
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"send", "send", "sack", "sack", "ack", "mark", "resend", "timeout"}).Draw(t, "op") {
			case "send":
				n := rapid.Uint64Range(1, 35).Draw(t, "n")
				b.push(txRec{start: nxt, end: nxt + n})
				for i := nxt; i < nxt+n; i++ {
					m[i] = &octet{}
				}
				nxt += n
			case "sack":
				if una == nxt {
					continue
				}
				l := rapid.Uint64Range(una, nxt-1).Draw(t, "l")
				r := rapid.Uint64Range(l+1, nxt).Draw(t, "r")
				want, got := int64(0), int64(0)
				for i := l; i < r; i++ {
					if !m[i].sacked {
						want++
					}
					*m[i] = octet{sacked: true}
				}
				fresh := b.sack(seqRange{l, r}, func(r *txRec) { got += r.len() })
				if fresh != want || got != want {
					t.Fatalf("[%d,%d): %d fresh, %d told, want %d", l, r, fresh, got, want)
				}
			case "ack":
				ack := rapid.Uint64Range(una, nxt).Draw(t, "ack")
				n := int64(0)
				b.ack(ack, func(_ *txRec, k int64) { n += k })
				if n != int64(ack-una) {
					t.Fatalf("%d removed, want %d", n, ack-una)
				}
				for ; una < ack; una++ {
					delete(m, una)
				}
			case "mark":
				// IsLost by its definition, octet by octet.
				edge := b.lossEdge(smss)
				for s := una; s < nxt; s++ {
					var octets, runs int
					in := false
					for i := s + 1; i < nxt; i++ {
						if m[i].sacked {
							octets++
							if !in {
								runs++
							}
						}
						in = m[i].sacked
					}
					if lost := !m[s].sacked && (runs >= dupThresh || octets > (dupThresh-1)*smss); lost != (!m[s].sacked && s < edge) {
						t.Fatalf("IsLost(%d) is %v, edge %d, ranges %v", s, lost, edge, b.ranges)
					}
					if !m[s].sacked && s < edge && !m[s].lost {
						m[s].lost = true
					}
				}
				b.markLost(edge)
			case "resend":
				if i, ok := b.nextLost(); ok {
					r := &b.live()[i]
					for j := una; j < r.start; j++ {
						if m[j].lost && !m[j].rexmit {
							t.Fatalf("%d comes before %d", j, r.start)
						}
					}
					b.resent(r)
					for j := r.start; j < r.end; j++ {
						m[j].rexmit = true
					}
				} else {
					for j, o := range m {
						if o.lost && !o.rexmit {
							t.Fatalf("%d is lost and not offered", j)
						}
					}
				}
			case "timeout":
				forget := rapid.Bool().Draw(t, "forget")
				b.loseAll(forget)
				for _, o := range m {
					if forget || !o.sacked {
						*o = octet{lost: true}
					}
				}
			}
			var sacked, lost, rexmit int64
			for _, o := range m {
				switch {
				case o.sacked:
					sacked++
				default:
					if o.lost {
						lost++
					}
					if o.rexmit {
						rexmit++
					}
				}
			}
			if b.sacked != sacked || b.lost != lost || b.rexmit != rexmit {
				t.Fatalf("sums %d %d %d, want %d %d %d", b.sacked, b.lost, b.rexmit, sacked, lost, rexmit)
			}
		}
	})
}

// The same seed gives the same packets.
func TestDeterminism(t *testing.T) {
	run := func() string {
		h := fnv.New64()
		p := newPair(t, pairConfig{passive: true, seed: 5, ch: channel{delay: 10 * time.Millisecond, loss: 0.05, reorder: 0.1, dup: 0.05}})
		p.onSend = func(c *Conn, out *Out) { fmt.Fprint(h, p.now, out.TCP, out.Len) }
		p.transfer([2][]byte{pattern(200_000, 1), pattern(100_000, 2)}, func() int { return 5000 }, time.Hour)
		return fmt.Sprint(h.Sum64(), p.packets, p.now)
	}
	if a, b := run(), run(); a != b {
		t.Errorf("%s, then %s", a, b)
	}
}

// What fills a hole is worth more than what lies beyond it: with the budget used
// up by out-of-order data the stream still goes on.
func TestScarceMemory(t *testing.T) {
	s := scriptConfig{synOpts: sackOpts}.open(t)
	d := pattern(20_000, 1)
	for at := 1460; at < 15_000; at += 1460 {
		s.recvData(fACK, 1+uint32(at), 1, d[at:at+1460])
		s.want(fACK, 1, 1, 0)
	}
	s.budget.limit = s.budget.used + 100
	s.recvData(fACK, 1, 1, d[:1460])
	s.wantSack(1461)
	same(t, s.read(1460), d[:1460])
	// Nothing at all: dropped, counted, and not acknowledged.
	s.budget.limit = 1
	s.recvData(fACK, 1461, 1, d[1460:2920])
	s.wantSack(1461)
	s.recvData(fACK, 4000, 1, d[:100])
	s.wantSack(1461)
	if s.drops(api.DropMemory) != 2 {
		t.Errorf("%d drops", s.drops(api.DropMemory))
	}
	s.budget.limit = 0
	s.recvData(fACK, 1461, 1, d[1460:2920])
	s.read(1460)
	s.clean()
}

// The urgent pointer counts from the segment's own sequence number, however much
// of the segment is old.
func TestUrgentOfTrimmedSegment(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly}.open(t)
	s.recvData(fACK, 1, 1, pattern(50, 1))
	s.recvData(fACK|fURG, 1, 1, pattern(100, 1), urgPtr(80))
	if n := s.c.Info(s.now).UrgentPending; n != 80 {
		t.Errorf("pending %d", n)
	}
}

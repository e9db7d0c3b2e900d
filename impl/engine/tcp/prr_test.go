package tcp

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api/cc"
)

// RFC 9937's examples: 20 segments of 1460 bytes are in flight, and ssthresh
// becomes 10. What each ACK lets out follows from section 6.2 by hand: N is new
// data, R a retransmission, "." nothing.
var prrExamples = []struct {
	name string
	lost []int // of segments 0 to 19
	sent string
}{
	// The first segment is lost. Two ACKs let limited transmit send, the third begins
	// recovery with RecoverFS = 20, and after that every other ACK sends, until
	// in flight is what ssthresh says.
	{"one", []int{0},
		"N N R . N . N . N . N . N . N . N . ." + // ACKs of 1 to 19
			" N N" + // of what limited transmit sent, with in flight below ssthresh
			" N"}, // of the retransmission: recovery is over

	// Fifteen segments are lost, which is more than the reduction: in flight is 4,
	// and while SND.UNA stands still as much is sent as arrives. Then each ACK
	// is a SafeACK, and sends one segment more, up to ssthresh.
	{"burst", []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14},
		"N N R R R" + // ACKs of 15 to 19
			" R R" + // of what limited transmit sent
			" RR RR RR RR RR" + // of the first five retransmissions
			" N N N N N N N N N" + // of those that they let out
			" N"}, // of the last one: recovery is over

	// Ten are lost, as many as the reduction takes: in flight falls to ssthresh by
	// the loss alone and stays there.
	{"half", []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9},
		"N N R R R R R R R R" + // ACKs of 10 to 19
			" R R" + // of what limited transmit sent
			" N N N N N N N N N" +
			" N"},
}

// prrPeer receives segments by number and answers each at once.
type prrPeer struct{ got []bool }

func (p *prrPeer) take(n int) (ack int, blocks []uint32) {
	for len(p.got) <= n {
		p.got = append(p.got, false)
	}
	p.got[n] = true
	for ack < len(p.got) && p.got[ack] {
		ack++
	}
	// The block of what has just come first, then those below it (RFC 2018, section 4).
	var runs [][2]uint32
	at := 0
	for i := ack; i < len(p.got); i++ {
		if !p.got[i] {
			continue
		}
		j := i
		for j < len(p.got) && p.got[j] {
			j++
		}
		if i <= n && n < j {
			at = len(runs)
		}
		runs = append(runs, [2]uint32{seg(uint32(i)), seg(uint32(j))})
		i = j
	}
	if len(runs) > 0 {
		blocks = append(blocks, runs[at][0], runs[at][1])
		for i, r := range slices.Backward(runs) {
			if i != at && len(blocks) < 6 {
				blocks = append(blocks, r[0], r[1])
			}
		}
	}
	return ack, blocks
}

func TestPRRExamples(t *testing.T) {
	for _, e := range prrExamples {
		for _, noRACK := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/rack=%v", e.name, !noRACK), func(t *testing.T) {
				f := &spyFactory{}
				s := scriptConfig{synOpts: sackOpts, cc: f, params: Params{InitialWindow: 20 * 1460, NoRACK: noRACK}}.open(t)
				s.write(100 * 1460)
				var way []int // segments in the network, oldest first
				next := 0     // the first that was never sent
				sent := func() (what string) {
					for s.poll() {
						n := int(s.out.TCP.Seq-s.iss-1) / 1460
						if s.out.Len != 1460 || s.out.TCP.Seq-s.iss != seg(uint32(n)) {
							t.Fatalf("sent %d bytes from %d", s.out.Len, s.out.TCP.Seq-s.iss)
						}
						way = append(way, n)
						if n == next {
							next++
							what += "N"
						} else {
							what += "R"
						}
						s.done()
					}
					return what
				}
				if first := sent(); first != strings.Repeat("N", 20) {
					t.Fatalf("first flight: %s", first)
				}
				way = slices.DeleteFunc(way, func(n int) bool { return slices.Contains(e.lost, n) })
				s.now = s.now.Add(10 * time.Millisecond)
				peer := &prrPeer{got: make([]bool, 20)}
				var got []string
				for recovering := false; ; {
					ack, blocks := peer.take(way[0])
					way = way[1:]
					s.recv(fACK, 1, seg(uint32(ack)), s.sack(blocks...))
					over := recovering && s.c.phase != cc.Recovery
					if over && (s.c.cwnd != s.c.ssthresh || s.c.ssthresh != 10*1460) {
						t.Errorf("at the end cwnd is %d and ssthresh %d, want both 14600", s.c.cwnd, s.c.ssthresh)
					}
					what := sent()
					if what == "" {
						what = "."
					}
					got = append(got, what)
					if in := s.c.pipe(); recovering && in > s.c.cwnd {
						t.Errorf("%d in flight with cwnd %d", in, s.c.cwnd)
					}
					recovering = s.c.phase == cc.Recovery
					if over {
						break
					}
					if len(got) > 60 {
						t.Fatalf("recovery does not end: %s", strings.Join(got, " "))
					}
				}
				if g := strings.Join(got, " "); g != e.sent {
					t.Errorf("ACK by ACK sent\n%s, want\n%s", g, e.sent)
				}
				if len(f.last.congs) != 1 {
					t.Errorf("%d episodes", len(f.last.congs))
				}
			})
		}
	}
}

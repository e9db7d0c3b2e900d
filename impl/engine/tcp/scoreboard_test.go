package tcp

import "testing"

// A flight of a thousand segments that is acknowledged at once, again and again, costs
// no memory but the first time; one that is far longer leaves none behind.
func TestScoreboardReuse(t *testing.T) {
	var b scoreboard
	seq := uint64(1)
	flight := func(n int) {
		for range n {
			b.push(txRec{start: seq, end: seq + 1000})
			seq += 1000
		}
		b.ack(seq, func(*txRec, int64) {})
	}
	flight(1000)
	if n := testing.AllocsPerRun(20, func() { flight(1000) }); n != 0 {
		t.Errorf("%v allocations for a flight of 1000 segments", n)
	}
	flight(20_000)
	if cap(b.recs) > spareRecs {
		t.Errorf("an empty scoreboard has memory for %d records", cap(b.recs))
	}
}

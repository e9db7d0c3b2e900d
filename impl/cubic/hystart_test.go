package cubic

import (
	"testing"
	"time"

	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/internal/cctest"
)

// round acknowledges n segments of a full window, the first of them beginning a
// round trip, with the same RTT.
func round(c cc.Controller, n int, rtt time.Duration) {
	for i := range n {
		c.OnAck(&cc.AckEvent{Now: 1, CumAcked: mss, Delivered: mss, CwndLimited: true, RoundStart: i == 0,
			RTT: cc.RTT{Sample: rtt, Smoothed: rtt, Min: rtt}})
	}
}

const base = 100 * time.Millisecond // an eighth of it is 12.5 ms

// RFC 9406, section 4.2: conservative slow start, and its end after 5 rounds.
func TestHyStart(t *testing.T) {
	c := cctest.New(t, Factory, "")
	w := int64(10 * mss)
	grow := func(n int, rtt time.Duration, want int64) {
		t.Helper()
		round(c, n, rtt)
		w += want
		if got := c.Control().Cwnd; got != w {
			t.Fatalf("cwnd is %d, want %d", got, w)
		}
	}
	grow(10, base, 10*mss)
	grow(10, base+12*time.Millisecond, 10*mss) // below the threshold
	// 12.5 ms above it, in fact more than an eighth of the round before; noticed
	// with the eighth sample, which grows by a quarter already.
	grow(10, base+30*time.Millisecond, 7*mss+3*mss/4)
	for range 4 {
		grow(10, base+30*time.Millisecond, 10*mss/4)
	}
	if s := c.Control().Ssthresh; s != cc.NoThreshold {
		t.Fatalf("slow start ended after 5 rounds, the first not whole: ssthresh %d", s)
	}
	before := c.Control().Cwnd
	round(c, 1, base+30*time.Millisecond)
	if s := c.Control().Ssthresh; s != before {
		t.Fatalf("at the end of conservative slow start ssthresh is %d, cwnd was %d", s, before)
	}
	round(c, 9, base+30*time.Millisecond)
	if got := c.Control().Cwnd - before; got > 2*mss {
		t.Fatalf("then a round adds %d", got)
	}
}

// Section 4.2: where the delay goes down again it was jitter.
func TestHyStartResumes(t *testing.T) {
	c := cctest.New(t, Factory, "")
	round(c, 10, base)
	round(c, 10, base+20*time.Millisecond)
	if vars(c)["css"] != 1 {
		t.Fatal("no conservative slow start")
	}
	round(c, 7, base+19*time.Millisecond)
	if vars(c)["css"] != 1 {
		t.Fatal("conservative slow start ended with 7 samples")
	}
	round(c, 1, base+19*time.Millisecond)
	for range 7 {
		c.OnAck(&cc.AckEvent{CumAcked: mss, Delivered: mss, CwndLimited: true, RTT: cc.RTT{Sample: base + 19*time.Millisecond}})
	}
	if vars(c)["css"] != 0 {
		t.Fatal("conservative slow start goes on though the delay went down")
	}
	w := c.Control().Cwnd
	round(c, 10, base+19*time.Millisecond)
	if got := c.Control().Cwnd - w; got != 10*mss {
		t.Fatalf("slow start adds %d for 10 segments", got)
	}
}

// Section 4.3: the threshold is an eighth of the RTT, but from 4 to 16 ms.
func TestHyStartThreshold(t *testing.T) {
	for _, x := range []struct{ rtt, more time.Duration }{
		{time.Millisecond, 4 * time.Millisecond}, {64 * time.Millisecond, 8 * time.Millisecond}, {time.Second, 16 * time.Millisecond},
	} {
		for _, less := range []time.Duration{0, time.Microsecond} {
			c := cctest.New(t, Factory, "")
			round(c, 10, x.rtt)
			round(c, 10, x.rtt+x.more-less)
			if got := vars(c)["css"] == 1; got != (less == 0) {
				t.Errorf("RTT of %v and %v: conservative slow start is %v", x.rtt, x.rtt+x.more-less, got)
			}
		}
	}
}

// Few samples say nothing; nor does a slow start that is not the first.
func TestHyStartStaysOut(t *testing.T) {
	c := cctest.New(t, Factory, "")
	for i := range 20 {
		round(c, 7, base+time.Duration(i)*50*time.Millisecond)
	}
	if w := c.Control().Cwnd; w != 150*mss {
		t.Errorf("cwnd is %d after 140 segments in rounds of 7", w)
	}
	for _, opts := range []string{"", "hystart=off"} {
		c := cctest.New(t, Factory, opts)
		if opts == "" {
			c.OnCongestion(&cc.CongestionEvent{Kind: cc.Timeout, FlightSize: 1000 * mss})
		}
		w := c.Control().Cwnd
		for i := range 10 {
			round(c, 10, base+time.Duration(i)*50*time.Millisecond)
		}
		if got := c.Control().Cwnd - w; got != 100*mss {
			t.Errorf("%q: slow start adds %d for 100 segments", opts, got)
		}
	}
}

func TestHyStartOption(t *testing.T) {
	if _, err := Factory.New(cctest.Env(), "hystart=yes"); err == nil || err.Error() != `cubic: option "hystart": must be "on" or "off"` {
		t.Errorf("got %v", err)
	}
}

// Package cctest has what the tests of every congestion controller share: a
// model of a path, and the properties that none may violate.
package cctest

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api/cc"
	"pgregory.net/rapid"
)

// MSS is the segment size of the models.
const MSS = 1000

// Env returns the environment of a connection with an initial window of 10
// segments.
func Env() *cc.Env {
	return &cc.Env{MSS: MSS, InitialWindow: 10 * MSS, SACK: true, Rand: rand.New(rand.NewPCG(1, 2))}
}

// New makes a controller, or fails the test.
func New(t testing.TB, f cc.Factory, opts string) cc.Controller {
	t.Helper()
	c, err := f.New(Env(), opts)
	if err != nil {
		t.Fatalf("New(%q): %v", opts, err)
	}
	return c
}

// A Path delivers segments to a controller one ACK at a time. It has no queue: a
// window takes one RTT, whatever its size.
type Path struct {
	C     cc.Controller
	Now   cc.Time
	RTT   time.Duration
	Phase cc.Phase
	MSS   int64
}

// Cwnd returns the controller's window.
func (p *Path) Cwnd() int64 { return p.C.Control().Cwnd }

// Ack acknowledges n bytes of a full window at the present instant.
func (p *Path) Ack(n int64) {
	w := p.Cwnd()
	p.C.OnAck(&cc.AckEvent{
		Now: p.Now, Phase: p.Phase, CumAcked: n, Delivered: n, FlightBefore: w, FlightAfter: w - n,
		RTT: cc.RTT{Sample: p.RTT, Smoothed: p.RTT, Min: p.RTT}, CwndLimited: true, MaxFlight: w,
	})
}

// Idle acknowledges n bytes of a window that was not full.
func (p *Path) Idle(n int64) {
	p.C.OnAck(&cc.AckEvent{Now: p.Now, Phase: p.Phase, CumAcked: n, Delivered: n, AppLimited: true,
		RTT: cc.RTT{Sample: p.RTT, Smoothed: p.RTT, Min: p.RTT}})
}

// Segment lets the time of one segment of a full window pass and acknowledges it.
func (p *Path) Segment() {
	p.Now = p.Now.Add(time.Duration(float64(p.RTT) * float64(p.MSS) / float64(p.Cwnd())))
	p.Ack(p.MSS)
}

// Round acknowledges one window, segment by segment.
func (p *Path) Round() {
	for left := p.Cwnd(); left >= p.MSS; left -= p.MSS {
		p.Segment()
	}
}

// Congest declares congestion with a full window in flight.
func (p *Path) Congest(kind cc.CongestionKind) {
	p.C.OnCongestion(&cc.CongestionEvent{Now: p.Now, Kind: kind, Lost: p.MSS, FlightSize: p.Cwnd(), InFlight: p.Cwnd() - p.MSS})
}

// NewPath returns a path with a fresh controller.
func NewPath(t testing.TB, f cc.Factory, opts string, rtt time.Duration) *Path {
	return &Path{C: New(t, f, opts), RTT: rtt, MSS: MSS, Now: 1}
}

// MeanWindow returns the mean window, in segments, of a flow that loses one of
// every n segments, without any cost of recovery. It starts with a loss at a
// window of start segments, and counts after some cycles for settling: CUBIC
// without fast convergence comes back to its mean only slowly from a start far
// above it.
func MeanWindow(t testing.TB, f cc.Factory, opts string, rtt time.Duration, start int64, n, cycles int) float64 {
	env := Env()
	env.InitialWindow = start * MSS
	c, err := f.New(env, opts)
	if err != nil {
		t.Fatal(err)
	}
	p := &Path{C: c, RTT: rtt, MSS: MSS, Now: 1}
	p.Congest(cc.LossDetected)
	const settle = 10
	var segments int
	var from cc.Time
	for cycle := range settle + cycles {
		if cycle == settle {
			from, segments = p.Now, 0
		}
		for range n {
			p.Segment()
			segments++
		}
		p.Congest(cc.LossDetected)
	}
	return float64(segments) * float64(rtt) / float64(p.Now.Sub(from))
}

// step is one call into a controller.
type step struct {
	kind    int
	d       time.Duration
	n       int64
	limited bool
	phase   cc.Phase
	rtt     time.Duration
}

func (s step) String() string {
	type fields step // without this method
	return fmt.Sprintf("%+v", fields(s))
}

func drawStep(t *rapid.T) step {
	return step{
		kind: rapid.SampledFrom([]int{0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6}).Draw(t, "kind"),
		d: time.Duration(rapid.OneOf(
			rapid.Int64Range(0, int64(time.Second)),
			rapid.Int64Range(0, int64(90*24*time.Hour)),
		).Draw(t, "d")),
		n: rapid.OneOf(rapid.Int64Range(0, 20*MSS), rapid.Int64Range(0, 1<<45),
			rapid.SampledFrom([]int64{1<<63 - 1})).Draw(t, "n"),
		limited: rapid.Bool().Draw(t, "limited"),
		phase:   cc.Phase(rapid.IntRange(0, int(cc.Loss)).Draw(t, "phase")),
		rtt:     time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "rtt")),
	}
}

// apply makes the call. mss is the segment size in force.
func (s step) apply(c cc.Controller, now cc.Time, mss *int64) {
	switch s.kind {
	case 0:
		c.OnAck(&cc.AckEvent{Now: now, Phase: s.phase, CumAcked: s.n, Delivered: s.n, CwndLimited: s.limited,
			RTT: cc.RTT{Sample: s.rtt, Smoothed: s.rtt, Min: s.rtt}})
	case 1:
		c.OnCongestion(&cc.CongestionEvent{Now: now, Kind: cc.LossDetected, FlightSize: s.n})
	case 2:
		c.OnCongestion(&cc.CongestionEvent{Now: now, Kind: cc.Timeout, FlightSize: s.n, Repeat: s.limited})
	case 3:
		c.OnCongestion(&cc.CongestionEvent{Now: now, Kind: cc.ECNMark, FlightSize: s.n})
	case 4:
		if u, ok := c.(cc.Undoer); ok {
			u.Undo(now, cc.LossDetected)
		}
	case 5:
		if r, ok := c.(cc.IdleObserver); ok {
			r.OnRestart(now, s.d)
		}
	case 6:
		if m, ok := c.(cc.MSSObserver); ok {
			*mss = 48 + s.n%(64<<10)
			m.OnMSS(*mss)
		}
	}
}

// Properties checks what must hold whatever a controller is told: the window
// stays at one segment at least, and finite; it grows only on an ACK of a full
// window outside of recovery, and by no more than was delivered there plus
// what the algorithm's own target asks for; it shrinks on no ACK; the same
// calls give the same answers.
func Properties(t *testing.T, f cc.Factory, opts string) {
	t.Helper()
	rapid.Check(t, func(rt *rapid.T) {
		a, err := f.New(Env(), opts)
		if err != nil {
			rt.Fatal(err)
		}
		b, _ := f.New(Env(), opts)
		steps := rapid.SliceOfN(rapid.Custom(drawStep), 1, 60).Draw(rt, "steps")
		var now cc.Time
		mssA, mssB := int64(MSS), int64(MSS)
		for i, s := range steps {
			now = now.Add(s.d)
			before := a.Control()
			s.apply(a, now, &mssA)
			s.apply(b, now, &mssB)
			after := a.Control()
			if other := b.Control(); after != other {
				rt.Fatalf("step %d %v: two controllers told the same differ: %+v, %+v", i, s, after, other)
			}
			if after.Cwnd < mssA || after.Cwnd > 1<<50 {
				rt.Fatalf("step %d %v: cwnd is %d with an MSS of %d", i, s, after.Cwnd, mssA)
			}
			if after.Ssthresh < 2*mssA {
				rt.Fatalf("step %d %v: ssthresh is %d with an MSS of %d", i, s, after.Ssthresh, mssA)
			}
			if s.kind != 0 {
				continue
			}
			if after.Cwnd < before.Cwnd {
				rt.Fatalf("step %d %v: an ACK shrank cwnd from %d to %d", i, s, before.Cwnd, after.Cwnd)
			}
			may := s.limited && s.n > 0 && s.phase != cc.Recovery && s.phase != cc.CWR
			if after.Cwnd > before.Cwnd && !may {
				rt.Fatalf("step %d %v: cwnd grew from %d to %d", i, s, before.Cwnd, after.Cwnd)
			}
			if before.Cwnd < before.Ssthresh && after.Cwnd-before.Cwnd > 8*mssA {
				rt.Fatalf("step %d %v: slow start added %d to cwnd for one ACK", i, s, after.Cwnd-before.Cwnd)
			}
		}
	})
}

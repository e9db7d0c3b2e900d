package tcp

import (
	"fmt"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/cubic"
	"github.com/sluicenet/sluice/impl/reno"
)

// growth is a controller whose growth is looked at.
type growth struct {
	cc.Controller
	mss   int64
	onAck func(mss int64, before, after cc.Control, e *cc.AckEvent)
}

func (w *growth) OnAck(e *cc.AckEvent) {
	before := w.Control()
	w.Controller.OnAck(e)
	w.onAck(w.mss, before, w.Control(), e)
}
func (w *growth) OnMSS(mss int64) {
	w.mss = mss
	w.Controller.(cc.MSSObserver).OnMSS(mss)
}
func (w *growth) OnRestart(now clock.Time, d time.Duration) {
	w.Controller.(cc.IdleObserver).OnRestart(now, d)
}
func (w *growth) Undo(now clock.Time, k cc.CongestionKind) { w.Controller.(cc.Undoer).Undo(now, k) }

type growthFactory struct {
	cc.Factory
	onAck func(mss int64, before, after cc.Control, e *cc.AckEvent)
}

func (f growthFactory) New(e *cc.Env, o string) (cc.Controller, error) {
	c, err := f.Factory.New(e, o)
	return &growth{c, e.MSS, f.onAck}, err
}

// draft-ietf-ccwg-ratelimited-increase: while the application or the peer's window is
// the limit, cwnd grows to twice the greatest FlightSize since the last decrease in
// slow start, and in congestion avoidance to what an ACK for all of that would have
// made of it: one segment more for Reno. The engine says when cwnd was the limit
// (AckEvent.CwndLimited), and that is enough.
func TestRateLimitedIncrease(t *testing.T) {
	for _, f := range []cc.Factory{reno.Factory, cubic.Factory} {
		for seed := range uint64(8) {
			t.Run(fmt.Sprint(f.Name(), seed), func(t *testing.T) {
				grown, held := 0, 0
				w := growthFactory{f, func(mss int64, before, after cc.Control, e *cc.AckEvent) {
					limit := e.MaxFlight + 2*mss // one for a segment that cwnd had room for in part
					switch {
					case before.Cwnd < before.Ssthresh:
						limit = 2*e.MaxFlight + 2*mss
					case f.Name() == "cubic": // RFC 9438, section 4.2: at most half in a round trip
						limit = e.MaxFlight*3/2 + 2*mss
					}
					if after.Cwnd > before.Cwnd {
						grown++
						if after.Cwnd > limit {
							t.Fatalf("cwnd %d to %d, ssthresh %d, greatest flight %d", before.Cwnd, after.Cwnd, before.Ssthresh, e.MaxFlight)
						}
						if !e.CwndLimited {
							t.Fatal("grew although cwnd was not the limit")
						}
					} else {
						held++
					}
				}}
				pc := pairConfig{passive: true, seed: seed, ch: channel{delay: 15 * time.Millisecond, loss: 0.002 * float64(seed%3)}, cc: w}
				if seed%4 == 3 { // limited by the peer's window
					pc.flow[1] = api.FlowConfig{ReceiveBuffer: 40_000}
				}
				p := newPair(t, pc)
				rng := p.rng
				for range 300 { // bursts and pauses
					n := 1 + rng.IntN(1+rng.IntN(120_000))
					b := api.NewBuffer(make([]byte, n))
					if _, err := p.c[0].Write(p.now, []*api.Buffer{b}, WriteOptions{}); err != nil {
						b.Release()
					}
					for until := p.now.Add(time.Duration(rng.IntN(150)) * time.Millisecond); p.now < until; {
						if !p.step() {
							p.now = until
						}
						for {
							b, err := p.c[1].Read(p.now)
							if err != nil {
								break
							}
							b.Release()
						}
					}
				}
				if grown == 0 || held == 0 {
					t.Errorf("grown %d times, held %d times: nothing was tried", grown, held)
				}
			})
		}
	}
}

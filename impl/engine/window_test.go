package engine_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/bbr"
	"github.com/sluicenet/sluice/impl/dctcp"
	"github.com/sluicenet/sluice/impl/engine"
	"github.com/sluicenet/sluice/impl/fixed"
	"github.com/sluicenet/sluice/link/sim"
)

// constant is the least that a controller can be.
type constant int64

func (w constant) Name() string                               { return "constant" }
func (w constant) New(*cc.Env, string) (cc.Controller, error) { return w, nil }
func (w constant) OnAck(*cc.AckEvent)                         {}
func (w constant) OnCongestion(*cc.CongestionEvent)           {}
func (w constant) Control() cc.Control {
	return cc.Control{Cwnd: int64(w), Ssthresh: cc.NoThreshold}
}

// TestWindowBoundsFlight measures on the wire, with gopacket, how much each
// controller has in flight: never more than its window, and at times nearly that,
// so that it is the window that bounds it.
func TestWindowBoundsFlight(t *testing.T) {
	for _, f := range []cc.Factory{controllers["reno"], controllers["cubic"], bbr.Factory, dctcp.Factory, fixed.Factory, constant(20_000)} {
		virtually(t, func(v *clock.Virtual) {
			var flow api.Flow
			var sent, acked uint32 // ends, by the wire
			var most, fullest int64
			road := sim.Direction{Rate: 50 * sim.Mbit, Delay: 20 * time.Millisecond, QueueBytes: 32 << 20}
			la, lb, err := sim.New(v, sim.Config{AB: road, BA: road, Tap: func(e sim.Event) {
				p := gopacket.NewPacket(e.Data, layers.LayerTypeIPv4, gopacket.DecodeOptions{Lazy: true, NoCopy: true})
				tcp, _ := p.Layer(layers.LayerTypeTCP).(*layers.TCP)
				switch {
				case tcp == nil:
				case e.Dir == sim.AtoB && tcp.SYN:
					sent, acked = tcp.Seq+1, tcp.Seq+1
				case flow == nil:
				case e.Dir == sim.AtoB && e.Fate == sim.Sent && len(tcp.Payload) > 0:
					if end := tcp.Seq + uint32(len(tcp.Payload)); int32(end-sent) > 0 {
						sent = end
					}
					flight, info := int64(sent-acked), flow.Info()
					if flight > info.Cwnd {
						t.Errorf("%s: %d bytes in flight with a window of %d", f.Name(), flight, info.Cwnd)
					}
					most = max(most, flight)
					fullest = max(fullest, flight*100/info.Cwnd)
				case e.Dir == sim.BtoA && e.Fate == sim.Delivered:
					acked = tcp.Ack
				}
			}})
			if err != nil {
				t.Fatal(err)
			}
			w := newWorld(t, v, la, lb, func(_ string, c *engine.Config) {
				c.Controllers = []cc.Factory{f}
				c.Flow.ReceiveBuffer = 64 << 20
				c.Flow.SendBuffer = 16 << 20
			})
			defer w.close()
			w.b.Listen(9, nil, func(_ context.Context, f api.Flow) { receive(f); f.Close(context.Background()) })
			c, err := w.a.Dial(context.Background(), netip.AddrPortFrom(addrB4.Addr(), 9), nil)
			if err != nil {
				t.Fatal(err)
			}
			flow = c
			if _, err := sendRandom(c, 1, 4<<20); err != nil {
				t.Fatal(err)
			}
			if err := c.Close(context.Background()); err != nil {
				t.Fatal(err)
			}
			t.Logf("%s: at most %d bytes in flight, %d %% of the window", f.Name(), most, fullest)
			if fullest < 90 {
				t.Errorf("%s: at most %d %% of the window was ever in flight: something else was the bound", f.Name(), fullest)
			}
		})
	}
}

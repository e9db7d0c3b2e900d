package sim

import (
	"math"

	"github.com/sluicenet/sluice/impl/engine/tcp"
)

// Bulk is a flow that sends as fast as it may.
type Bulk struct {
	FlowConfig
	Bytes int64 // to send; 0: without an end
}

// AddBulk adds a flow.
func (n *Network) AddBulk(cfg Bulk) (Flow, error) {
	f, err := n.newFlow("bulk", cfg.FlowConfig)
	if err != nil {
		return nil, err
	}
	b := &bulk{flow: f, left: cfg.Bytes}
	if cfg.Bytes <= 0 {
		b.left = math.MaxInt64
	}
	n.flows = append(n.flows, b)
	return b, nil
}

type bulk struct {
	flow
	left int64 // not written yet
}

func (b *bulk) begin() {
	b.listen(sink{&b.flow}, b.start)
	b.stopAt(func(now Time) {
		if b.client != nil {
			b.client.abort(now)
		}
	})
}

func (b *bulk) start(now Time) { b.client = b.dial(now, b) }

func (b *bulk) ready(now Time, c *Conn, ev tcp.Events) {
	b.client = c
	if ev&tcp.EventClosed != 0 {
		if b.closed(c) && b.endedAt == 0 {
			b.endedAt = now
		}
		return
	}
	if ev&(tcp.EventEstablished|tcp.EventWrite) != 0 && b.left > 0 && !b.stopped {
		b.left -= c.write(now, b.left)
		if b.left == 0 {
			c.tcp.CloseWrite(now)
		}
		c.host.touched(now, c)
	}
}

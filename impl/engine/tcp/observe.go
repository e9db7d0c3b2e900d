package tcp

import (
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/clock"
)

// packetWatch tells a controller of single packets, if it wants to know.
type packetWatch struct {
	o      cc.PacketObserver
	lost   func(r *txRec) // for the scoreboard
	packet cc.SentPacket  // reused

	// What is being done: when, and what has been delivered that the totals do
	// not have yet.
	now       clock.Time
	delivered int64

	// Bytes reported lost since the total was last brought up to date.
	total, since int64
}

// watchPackets is called once the connection has its controller.
func (c *Conn) watchPackets() {
	if o, ok := c.ctl.(cc.PacketObserver); ok {
		c.watch = &packetWatch{o: o, lost: c.packetLost}
	}
}

// watching notes what is being done, which may come to find packets lost.
func (c *Conn) watching(now clock.Time, delivered int64) {
	if c.watch != nil {
		c.watch.now, c.watch.delivered = now, delivered
	}
}

// withoutWatch does something that loses packets for another reason than the
// network.
func (c *Conn) withoutWatch(f func()) {
	on := c.sb.onLost
	c.sb.onLost = nil
	f()
	c.sb.onLost = on
}

// describe fills in what a controller is told of a record.
func (w *packetWatch) describe(r *txRec) *cc.SentPacket {
	w.packet = cc.SentPacket{
		Seq: r.start, End: r.end, At: r.sentAt, InFlight: r.inFlight, Delivered: r.delivered, Lost: r.lostAtTx,
		AppLimited: r.flags&recAppLimited != 0, Retransmit: r.flags&recEverRexmit != 0,
	}
	return &w.packet
}

// packetSent is called when a record is about to leave.
func (c *Conn) packetSent(r *txRec) {
	w := c.watch
	if w == nil {
		return
	}
	p := w.describe(r)
	p.Retransmit = p.Retransmit || r.start < c.sndNxt
	w.o.OnSent(p)
	c.takeControl()
}

// packetLost is called when a record is thought lost.
func (c *Conn) packetLost(r *txRec) {
	w := c.watch
	if w.total != c.rate.lost {
		w.total, w.since = c.rate.lost, 0
	}
	w.since += r.len()
	w.o.OnPacketLost(w.describe(r), w.now, c.rate.delivered+w.delivered, w.total+w.since)
}

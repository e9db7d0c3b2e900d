package tcp

import (
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/clock"
)

// Tune changes parameters of this connection alone, as far as they are looked at after
// the handshake. Stacks that emulate others use it for what those have socket options
// for.
func (c *Conn) Tune(now clock.Time, change func(p *Params)) {
	p, like := *c.p, *c.p.Like
	p.Like = &like
	change(&p)
	s := c.cfg.withFlow(&c.cfg.Flow)
	s.params = &p
	c.share(s)
	c.p = s.params
	if c.ctl != nil && !c.FullyClosed() {
		c.takeControl()
	}
}

// thinSegments is how few in flight make a stream thin: fewer cannot cause the
// duplicate ACKs of a fast retransmit. thinTimeouts of it are not doubled.
const (
	thinSegments = 4
	thinTimeouts = 6
)

// linearTimeout reports whether the timeout that has come is not to be doubled
// (Linux: not in the first slow start, whose cwnd nobody has tried yet).
func (c *Conn) linearTimeout() bool {
	return c.p.Like.LinearThin && c.retries <= thinTimeouts && c.ssthresh < cc.NoThreshold && c.segmentsIn(c.flightSize()) < thinSegments
}

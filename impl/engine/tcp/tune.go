package tcp

import (
	"time"

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

// SwitchController replaces the congestion controller of an established connection that
// has not left its initial window, and reports whether it could.
func (c *Conn) SwitchController(now clock.Time, f cc.Factory) bool {
	if c.ctl == nil || c.FullyClosed() || c.phase != cc.Open || c.ssthresh < cc.NoThreshold || c.cwnd != c.initialWindow() {
		return false
	}
	if !c.remakeController(now, f, "", c.cwnd) {
		return false
	}
	s := c.cfg.withFlow(&c.cfg.Flow)
	s.params, s.Controller, s.ControllerOptions, s.name = c.p, f, "", f.Name()
	c.share(s)
	return true
}

// remakeController begins again with a controller whose initial window is cwnd.
func (c *Conn) remakeController(now clock.Time, f cc.Factory, options string, cwnd int64) bool {
	env := c.env(now, &seeded{c.iss})
	env.InitialWindow = cwnd
	ctl, err := f.New(env, options)
	if err != nil {
		return false
	}
	c.ctl, c.watch = ctl, nil
	c.watchPackets()
	c.takeControl()
	return true
}

// decayed is cwnd after a pause, halved for each RTO of it.
func (c *Conn) decayed(idle time.Duration) int64 {
	w, least := c.cwnd, c.initialWindow()
	for idle -= c.rtt.rto; idle > 0 && w > least; idle -= c.rtt.rto {
		w = w / 2 / c.mss * c.mss
	}
	return max(w, min(c.cwnd, least))
}

// seeded is a sequence of numbers (splitmix64) for a controller that is made late.
type seeded struct{ state uint64 }

func (s *seeded) Uint64() uint64 {
	s.state += 0x9e3779b97f4a7c15
	z := s.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
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

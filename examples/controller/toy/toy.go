// Package toy is a congestion controller that is not part of Sluice: a window that
// follows the delay, after TCP Vegas. It keeps two to four segments in the queue of
// the bottleneck, and halves its window when something is lost all the same.
//
// Option: queue=4, the most segments that it wants to have waiting.
package toy

import (
	"fmt"
	"strconv"

	"github.com/sluicenet/sluice/api/cc"
)

// Factory makes toy controllers. A program hands it to its stack, beside or in
// place of those that come with Sluice.
type Factory struct{}

// Name is what configurations and flows call the controller.
func (Factory) Name() string { return "toy" }

// New makes the controller of one connection.
func (Factory) New(env *cc.Env, opts string) (cc.Controller, error) {
	c := &controller{mss: env.MSS, cwnd: max(env.InitialWindow, env.MSS), ssthresh: cc.NoThreshold, queue: 4}
	err := cc.ParseOptions(opts, func(key, value string) (known bool, err error) {
		if key != "queue" {
			return false, nil
		}
		if c.queue, err = strconv.ParseInt(value, 10, 64); err == nil && (c.queue < 2 || c.queue > 1000) {
			err = fmt.Errorf("%d is not from 2 to 1000", c.queue)
		}
		return true, err
	})
	return c, err
}

type controller struct {
	mss, cwnd, ssthresh, queue int64
}

// OnAck is called for each ACK that delivered data.
func (c *controller) OnAck(ev *cc.AckEvent) {
	if ev.Phase == cc.Recovery || ev.Phase == cc.CWR || ev.RTT.Min <= 0 || ev.RTT.Smoothed <= 0 {
		return
	}
	// What waits in queues, in segments: the share of the RTT that is not propagation.
	waiting := int64(float64(c.cwnd) * (1 - float64(ev.RTT.Min)/float64(ev.RTT.Smoothed)) / float64(c.mss))
	switch {
	case c.cwnd < c.ssthresh && waiting <= c.queue/2:
		if ev.CwndLimited { // an unused window does not grow
			c.cwnd = min(c.cwnd+min(ev.Delivered, 8*c.mss), 1<<30)
		}
	case c.cwnd < c.ssthresh: // a queue is there: the end of slow start
		c.ssthresh = max(c.cwnd, 2*c.mss)
	case !ev.RoundStart: // one step each round trip
	case waiting > c.queue:
		c.cwnd = max(c.cwnd-c.mss, 2*c.mss)
	case waiting < c.queue/2 && ev.CwndLimited:
		c.cwnd = min(c.cwnd+c.mss, 1<<30)
	}
}

// OnCongestion is called once for each episode of loss.
func (c *controller) OnCongestion(ev *cc.CongestionEvent) {
	if !ev.Repeat {
		c.ssthresh = max(min(ev.FlightSize, 1<<30)/2, 2*c.mss)
	}
	c.cwnd = c.ssthresh
	if ev.Kind == cc.Timeout {
		c.cwnd = c.mss
	}
}

// OnMSS is called when the path turns out to take other segments.
func (c *controller) OnMSS(mss int64) {
	c.mss = max(mss, 1)
	c.cwnd, c.ssthresh = max(c.cwnd, c.mss), max(c.ssthresh, 2*c.mss)
}

// Control is what the engine has to go by.
func (c *controller) Control() cc.Control {
	return cc.Control{Cwnd: c.cwnd, Ssthresh: c.ssthresh}
}

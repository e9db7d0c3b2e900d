package sim

import (
	"fmt"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/impl/engine/tcp"
)

// Request is a flow of requests and responses over one connection, one at a time.
type Request struct {
	FlowConfig
	Request, Response int64         // bytes of each
	Think             time.Duration // from a response to the next request
	Count             int           // of requests; 0: without an end
}

// AddRequest adds a flow.
func (n *Network) AddRequest(cfg Request) (Flow, error) {
	if cfg.Request <= 0 || cfg.Response <= 0 || cfg.Think < 0 || cfg.Count < 0 {
		return nil, fmt.Errorf("sim: flow %s: requests and responses have one byte at least", cfg.Name)
	}
	f, err := n.newFlow("request", cfg.FlowConfig)
	if err != nil {
		return nil, err
	}
	r := &request{flow: f, cfg: cfg}
	r.think = newTimer(doFunc(r.ask))
	n.flows = append(n.flows, r)
	return r, nil
}

type request struct {
	flow
	cfg     Request
	think   timer
	asked   Time  // when the present request was made
	unsent  int64 // of it
	pending int64 // of the response
	took    durations
}

func (r *request) begin() {
	r.listen(r, func(now Time) { r.client = r.dial(now, r) })
	r.stopAt(func(now Time) {
		r.net.events.disarm(&r.think)
		if r.client != nil {
			r.client.abort(now)
		}
	})
}

func (r *request) ready(now Time, c *Conn, ev tcp.Events) {
	r.client = c
	if ev&tcp.EventEstablished != 0 {
		r.ask(now)
	}
	if ev&tcp.EventWrite != 0 && r.unsent > 0 {
		r.unsent -= c.write(now, r.unsent)
	}
	n, eof := c.discard(now)
	r.total.received += uint64(n)
	if r.pending > 0 && n > 0 {
		if r.pending -= n; r.pending <= 0 {
			r.took.add(now.Sub(r.asked))
			if r.flow.endedAt == 0 && (r.cfg.Count == 0 || len(r.took) < r.cfg.Count) {
				r.net.events.arm(&r.think, now.Add(r.cfg.Think))
			} else {
				r.complete = r.cfg.Count > 0
				r.endedAt = now
				c.tcp.CloseWrite(now)
			}
		}
	}
	if eof && r.endedAt == 0 {
		r.closed(c)
		r.endedAt = now
	}
	c.host.touched(now, c)
}

// ask makes the next request.
func (r *request) ask(now Time) {
	r.asked, r.pending, r.unsent = now, r.cfg.Response, r.cfg.Request
	r.unsent -= r.client.write(now, r.unsent)
	r.client.host.touched(now, r.client)
}

func (r *request) accept(now Time, c *Conn) connUser {
	r.server = c
	return &responder{r: r}
}

// A responder answers each whole request.
type responder struct {
	r      *request
	got    int64
	unsent int64
}

func (s *responder) ready(now Time, c *Conn, ev tcp.Events) {
	n, eof := c.discard(now)
	for s.got += n; s.got >= s.r.cfg.Request; s.got -= s.r.cfg.Request {
		s.unsent += s.r.cfg.Response
	}
	if s.unsent > 0 {
		s.unsent -= c.write(now, s.unsent)
	}
	if eof && s.unsent == 0 && c.tcp.State() != api.StateClosed {
		c.tcp.CloseWrite(now)
	}
	c.host.touched(now, c)
}

// Report implements Flow. The flow's bytes are those of the responses, and so
// are the retransmissions.
func (r *request) Report() FlowReport {
	client, server := r.client, r.server
	r.client, r.server = server, nil
	p := r.flow.Report()
	r.client, r.server = client, server
	p.Count, p.LatencyP = len(r.took), r.took.latency()
	return p
}

func (r *request) warm(now Time) { r.base = baseline{now, r.total.received} }

// sample implements Flow: cwnd and so on are those of the responding end.
func (r *request) sample(now Time, s *FlowSample) bool {
	client, server := r.client, r.server
	r.client, r.server = server, nil
	ok := r.flow.sample(now, s)
	r.client, r.server = client, server
	return ok
}

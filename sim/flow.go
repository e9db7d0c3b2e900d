package sim

import (
	"errors"
	"fmt"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/impl/engine/tcp"
)

// A Flow is an application at two hosts: something that sends from one to the
// other.
type Flow interface {
	Name() string

	// Report returns what has happened so far.
	Report() FlowReport

	check() error
	begin()
	// sample notes the present state for the time series.
	sample(now Time, s *FlowSample) bool
	// warm begins the measurement.
	warm(now Time)
}

// FlowConfig is what all applications over TCP have in common.
type FlowConfig struct {
	Name     string
	From, To *Host // From dials, and sends most

	// Start is when the flow begins, and Stop when it is cut off, at whatever
	// point it is then; 0: never.
	Start, Stop time.Duration

	// Congestion names the controllers of both ends, with options; by default
	// those of their hosts.
	Congestion string

	// NoDelay switches Nagle's algorithm off.
	NoDelay bool

	// SendBuffer and ReceiveBuffer of both ends, where they differ from those of
	// their hosts.
	SendBuffer, ReceiveBuffer int64

	// MSS is the largest segment payload, if the MTU shall not say it.
	MSS uint16
}

// FlowReport is what a flow has achieved. Times are seconds, sizes are bytes and
// rates are bits a second.
type FlowReport struct {
	Name       string  `json:"name"`
	Kind       string  `json:"kind"`
	From       string  `json:"from"`
	To         string  `json:"to"`
	Congestion string  `json:"congestion,omitempty"`
	Start      float64 `json:"start"`
	End        float64 `json:"end"`                 // of the flow, or of the measurement
	Complete   bool    `json:"complete"`            // everything it wanted to send has arrived
	Failed     int     `json:"failed,omitempty"`    // connections that ended with an error
	Error      string  `json:"error,omitempty"`     // the first of those errors
	Bytes      uint64  `json:"bytes"`               // payload that arrived in order
	Goodput    float64 `json:"goodput"`             // of Bytes, after the warm-up
	Sent       uint64  `json:"sent_bytes"`          // payload, retransmissions not counted
	Resent     uint64  `json:"retransmitted_bytes"` //
	Resends    uint64  `json:"retransmits"`         // segments
	Spurious   uint64  `json:"spurious"`            // of them, reported as duplicates
	Timeouts   uint64  `json:"timeouts"`
	BaseRTT    float64 `json:"base_rtt"` // of the links, empty
	MinRTT     float64 `json:"min_rtt"`
	MeanRTT    float64 `json:"mean_rtt,omitempty"`  // of the smoothed RTT in the time series
	MeanCwnd   float64 `json:"mean_cwnd,omitempty"` // in the time series
	LastCwnd   int64   `json:"cwnd"`                // at the end
	LossRatio  float64 `json:"retransmitted_share"` // Resent of all payload bytes sent
	// Of request, onoff and short flows: how long each exchange took.
	Count     int     `json:"count,omitempty"`
	LatencyP  Latency `json:"latency,omitzero"`
	Unstarted int     `json:"unstarted,omitempty"` // short flows beyond the limit of open ones
}

// Latency has percentiles, in seconds.
type Latency struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P95  float64 `json:"p95"`
	P99  float64 `json:"p99"`
	Max  float64 `json:"max"`
}

// flow is what all applications over TCP have in common.
type flow struct {
	net  *Network
	cfg  FlowConfig
	kind string
	port uint16

	client, server *Conn // of the connection that counts, or the last one
	stopped        bool
	endedAt        Time // 0 while it lasts
	complete       bool
	failed         int
	firstErr       error
	total          totals // of connections that have ended

	rttSum, cwndSum float64 // of the samples
	samples         int
	base            baseline
}

// A baseline is what had arrived when the measurement began.
type baseline struct {
	at    Time
	bytes uint64
}

// rate is bits a second since then.
func (b *baseline) rate(bytes uint64, start, end Time) float64 {
	start = max(start, b.at)
	if end <= start {
		return 0
	}
	return float64(bytes-min(b.bytes, bytes)) * 8e9 / float64(end-start)
}

// totals are the counters of the connections of a flow.
type totals struct {
	received, sent, resent, resends, spurious, timeouts uint64
	minRTT                                              time.Duration
	cwnd                                                int64
}

func (t *totals) add(client, server *Conn) {
	if client != nil {
		i := client.tcp.Info(client.host.net.now)
		t.sent += i.BytesSent
		t.resent += i.BytesRetransmitted
		t.resends += i.Retransmits
		t.spurious += i.SpuriousRetransmits
		t.timeouts += i.Timeouts
		if i.MinRTT > 0 && (t.minRTT == 0 || i.MinRTT < t.minRTT) {
			t.minRTT = i.MinRTT
		}
		t.cwnd = i.Cwnd
	}
	if server != nil {
		t.received += server.tcp.Info(server.host.net.now).BytesReceived
	}
}

// firstPort is the port of the first flow.
const firstPort = 5001

func (n *Network) newFlow(kind string, cfg FlowConfig) (flow, error) {
	fail := func(format string, args ...any) (flow, error) {
		return flow{}, fmt.Errorf("sim: flow %s: %w", cfg.Name, fmt.Errorf(format, args...))
	}
	switch {
	case n.started:
		return fail("the network is running")
	case cfg.From == nil || cfg.To == nil:
		return fail("wants two hosts")
	case cfg.From == cfg.To:
		return fail("both ends are at %s", cfg.From.name)
	case cfg.From.net != n || cfg.To.net != n:
		return fail("an end is in another network")
	case cfg.Start < 0 || cfg.Stop < 0 || cfg.Stop != 0 && cfg.Stop <= cfg.Start:
		return fail("must start at 0 or later, and stop later than it starts")
	case firstPort+len(n.flows) > 32000:
		return fail("too many flows")
	}
	f := flow{net: n, cfg: cfg, kind: kind, port: uint16(firstPort + len(n.flows))}
	c := f.tcpConfig()
	for _, h := range []*Host{cfg.From, cfg.To} {
		m, err := h.machineOf(1500)
		if err == nil {
			_, err = m.Resolve(&c)
		}
		if err != nil {
			return fail("%w", err)
		}
	}
	return f, nil
}

func (f *flow) tcpConfig() api.FlowConfig {
	return api.FlowConfig{
		Congestion: f.cfg.Congestion, NoDelay: f.cfg.NoDelay, MSS: f.cfg.MSS,
		SendBuffer: f.cfg.SendBuffer, ReceiveBuffer: f.cfg.ReceiveBuffer,
	}
}

// listen starts the far end; the near one follows at Start.
func (f *flow) listen(a acceptor, start doFunc) {
	c := f.tcpConfig()
	full, err := f.cfg.To.machine().Resolve(&c)
	if err != nil {
		panic("BUG: options of a flow that were good are bad: " + err.Error())
	}
	f.cfg.To.listen(f.port, full, a)
	f.net.At(Time(f.cfg.Start), start)
}

func (f *flow) dial(now Time, u connUser) *Conn {
	c := f.tcpConfig()
	conn, err := f.cfg.From.dial(now, f.cfg.To, f.port, &c, u)
	if err != nil {
		f.fail(err)
		return nil
	}
	return conn
}

func (f *flow) fail(err error) {
	f.failed++
	if f.firstErr == nil {
		f.firstErr = err
	}
}

// stopAt calls stop when the flow is to be cut off.
func (f *flow) stopAt(stop doFunc) {
	if f.cfg.Stop != 0 {
		f.net.At(Time(f.cfg.Stop), func(now Time) {
			if f.endedAt == 0 {
				f.stopped = true
				stop(now)
				f.endedAt = now
			}
		})
	}
}

// abort cuts a connection off.
func (c *Conn) abort(now Time) {
	c.tcp.Abort(now, api.ErrAborted)
	c.host.touched(now, c)
}

// closed tells whether a connection has ended with an error, and notes it.
func (f *flow) closed(c *Conn) (failed bool) {
	if err := c.tcp.CloseReason(); err != nil && !errors.Is(err, api.ErrAborted) {
		f.fail(err)
		return true
	}
	return false
}

// Name returns the flow's name.
func (f *flow) Name() string { return f.cfg.Name }

func (f *flow) check() error {
	if f.net.way(f.cfg.From.node, f.cfg.To.node) == nil || f.net.way(f.cfg.To.node, f.cfg.From.node) == nil {
		return fmt.Errorf("there is no way from %s to %s and back", f.cfg.From.name, f.cfg.To.name)
	}
	return nil
}

// Report implements Flow.
func (f *flow) Report() FlowReport {
	t := f.total
	t.add(f.client, f.server)
	end := f.endedAt
	if end == 0 {
		end = f.net.now
	}
	r := FlowReport{
		Name: f.cfg.Name, Kind: f.kind, From: f.cfg.From.name, To: f.cfg.To.name,
		Congestion: f.cfg.Congestion, Start: f.cfg.Start.Seconds(), End: time.Duration(end).Seconds(),
		Complete: f.complete, Failed: f.failed, Bytes: t.received, Sent: t.sent, Resent: t.resent,
		Resends: t.resends, Spurious: t.spurious, Timeouts: t.timeouts,
		BaseRTT: f.net.BaseRTT(f.cfg.From, f.cfg.To).Seconds(), MinRTT: t.minRTT.Seconds(), LastCwnd: t.cwnd,
	}
	if r.Congestion == "" {
		r.Congestion = f.cfg.From.cfg.Flow.Congestion
	}
	if f.firstErr != nil {
		r.Error = f.firstErr.Error()
	}
	r.Goodput = f.base.rate(r.Bytes, Time(f.cfg.Start), end)
	if all := r.Sent + r.Resent; all > 0 {
		r.LossRatio = float64(r.Resent) / float64(all)
	}
	if f.samples > 0 {
		r.MeanRTT = f.rttSum / float64(f.samples)
		r.MeanCwnd = f.cwndSum / float64(f.samples)
	}
	return r
}

func (f *flow) received(now Time) uint64 {
	n := f.total.received
	if f.server != nil {
		n += f.server.tcp.Info(now).BytesReceived
	}
	return n
}

func (f *flow) warm(now Time) { f.base = baseline{now, f.received(now)} }

func (f *flow) sample(now Time, s *FlowSample) bool {
	s.Bytes = f.received(now)
	c := f.client
	if c == nil || now < Time(f.cfg.Start) || f.endedAt != 0 {
		return f.endedAt == 0 && now >= Time(f.cfg.Start)
	}
	i := c.tcp.Info(now)
	s.Cwnd, s.Ssthresh, s.InFlight = i.Cwnd, i.Ssthresh, i.InFlight
	s.SRTT, s.RTTVar, s.Pacing, s.Resent = i.SRTT, i.RTTVar, i.PacingRate, f.total.resent+i.BytesRetransmitted
	if i.SRTT > 0 && now >= f.net.warmup {
		f.rttSum += i.SRTT.Seconds()
		f.cwndSum += float64(i.Cwnd)
		f.samples++
	}
	return true
}

// A sink takes everything and ends its stream when the other end has.
type sink struct{ f *flow }

func (s sink) accept(now Time, c *Conn) connUser {
	s.f.server = c
	// Nobody looks at the bytes: take them off the connection's hands.
	c.tcp.CloseRead(now)
	return s
}

func (s sink) ready(now Time, c *Conn, ev tcp.Events) {
	if c.tcp.State() == api.StateCloseWait {
		s.f.arrived(now)
		c.tcp.CloseWrite(now)
		c.host.touched(now, c)
	}
}

// arrived notes that the whole stream has arrived.
func (f *flow) arrived(now Time) {
	if f.endedAt == 0 {
		f.complete, f.endedAt = true, now
	}
}

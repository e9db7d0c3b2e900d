package sim

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"
)

// FlowSample is the state of a flow at an instant.
type FlowSample struct {
	Time     Time
	Flow     int // index in Network.Flows
	Cwnd     int64
	Ssthresh int64 // 0 if there is none yet
	InFlight int64
	SRTT     time.Duration
	RTTVar   time.Duration
	Pacing   int64   // bytes a second; 0 if unpaced
	Bytes    uint64  // received in order so far
	Resent   uint64  // bytes so far
	Goodput  float64 // bits a second since the last sample
}

// LinkSample is the state of one direction of a link at an instant.
type LinkSample struct {
	Time         Time
	Link         int // index in Network.Links
	Back         bool
	QueueBytes   int64
	QueuePackets int
	Drops        uint64  // so far
	Marked       uint64  // so far
	SentBytes    uint64  // so far
	Throughput   float64 // bits a second since the last sample
}

// maxSamples bounds the memory of the time series. When there are more, every
// second one is given up, and the interval is doubled.
const maxSamples = 400_000

type sampler struct {
	net      *Network
	interval time.Duration
	tick     timer
	flows    []FlowSample
	links    []LinkSample
}

func newSampler(n *Network, d time.Duration) *sampler {
	s := &sampler{net: n, interval: d}
	s.tick = newTimer(doFunc(s.sample))
	return s
}

func (s *sampler) begin() { s.net.events.arm(&s.tick, 0) }

func (s *sampler) sample(now Time) {
	for i, f := range s.net.flows {
		x := FlowSample{Time: now, Flow: i}
		if f.sample(now, &x) {
			s.flows = append(s.flows, x)
		}
	}
	for i, l := range s.net.links {
		for _, p := range []*path{l.ab, l.ba} {
			s.links = append(s.links, LinkSample{
				Time: now, Link: i, Back: p == l.ba, QueueBytes: p.waitingBytes, QueuePackets: p.waiting.len(),
				Drops: p.stats.Drops(), Marked: p.stats.Marked, SentBytes: p.stats.SentBytes,
			})
		}
	}
	if len(s.flows)+len(s.links) > maxSamples {
		s.thin()
	}
	s.net.events.arm(&s.tick, now.Add(s.interval))
}

// thin gives up every second instant.
func (s *sampler) thin() {
	d := Time(s.interval)
	s.interval *= 2
	flows := s.flows[:0]
	for _, x := range s.flows {
		if x.Time/d%2 == 0 {
			flows = append(flows, x)
		}
	}
	links := s.links[:0]
	for _, x := range s.links {
		if x.Time/d%2 == 0 {
			links = append(links, x)
		}
	}
	s.flows, s.links = flows, links
}

// Series returns what was noted every [Config].Sample, in order of time.
func (n *Network) Series() (flows []FlowSample, links []LinkSample) {
	s := n.series
	if s == nil {
		return nil, nil
	}
	lastFlow := make(map[int]FlowSample)
	for i := range s.flows {
		x := &s.flows[i]
		if l, ok := lastFlow[x.Flow]; ok && x.Time > l.Time {
			x.Goodput = float64(x.Bytes-l.Bytes) * 8e9 / float64(x.Time-l.Time)
		}
		lastFlow[x.Flow] = *x
	}
	type key struct {
		link int
		back bool
	}
	lastLink := make(map[key]LinkSample)
	for i := range s.links {
		x := &s.links[i]
		k := key{x.Link, x.Back}
		if l, ok := lastLink[k]; ok && x.Time > l.Time {
			x.Throughput = float64(x.SentBytes-l.SentBytes) * 8e9 / float64(x.Time-l.Time)
		}
		lastLink[k] = *x
	}
	return s.flows, s.links
}

// The rows of the time series as JSON. Times are seconds, sizes bytes, rates bits
// a second, pacing bytes a second.
type flowRow struct {
	Time     float64 `json:"time"`
	Flow     string  `json:"flow"`
	Cwnd     int64   `json:"cwnd"`
	Ssthresh int64   `json:"ssthresh,omitempty"` // absent before the first congestion
	InFlight int64   `json:"in_flight"`
	SRTT     float64 `json:"srtt"`
	RTTVar   float64 `json:"rttvar"`
	Pacing   int64   `json:"pacing,omitempty"`
	Goodput  float64 `json:"goodput"`
	Received uint64  `json:"received"`
	Resent   uint64  `json:"retransmitted"`
}

type linkRow struct {
	Time         float64 `json:"time"`
	Link         string  `json:"link"`
	From         string  `json:"from"`
	To           string  `json:"to"`
	QueueBytes   int64   `json:"queue_bytes"`
	QueuePackets int     `json:"queue_packets"`
	Throughput   float64 `json:"throughput"`
	Drops        uint64  `json:"drops"`
	Marked       uint64  `json:"marked"`
}

// WriteSeriesJSON writes the time series as one JSON object a line, in order of
// time.
func (n *Network) WriteSeriesJSON(w io.Writer) error {
	out := bufio.NewWriter(w)
	enc := json.NewEncoder(out)
	err := n.eachRow(func(x *FlowSample) error {
		return enc.Encode(flowRow{
			Time: time.Duration(x.Time).Seconds(), Flow: n.flows[x.Flow].Name(), Cwnd: x.Cwnd, Ssthresh: x.Ssthresh, InFlight: x.InFlight,
			SRTT: x.SRTT.Seconds(), RTTVar: x.RTTVar.Seconds(), Pacing: x.Pacing, Goodput: x.Goodput, Received: x.Bytes, Resent: x.Resent,
		})
	}, func(x *LinkSample, from, to *node) error {
		return enc.Encode(linkRow{
			Time: time.Duration(x.Time).Seconds(), Link: n.links[x.Link].name, From: from.name, To: to.name,
			QueueBytes: x.QueueBytes, QueuePackets: x.QueuePackets, Throughput: x.Throughput, Drops: x.Drops, Marked: x.Marked,
		})
	})
	if err != nil {
		return err
	}
	return out.Flush()
}

// eachRow calls flow and link with the samples, in order of time.
func (n *Network) eachRow(flow func(*FlowSample) error, link func(x *LinkSample, from, to *node) error) error {
	flows, links := n.Series()
	for i, j := 0, 0; i < len(flows) || j < len(links); {
		if i < len(flows) && (j >= len(links) || flows[i].Time <= links[j].Time) {
			if err := flow(&flows[i]); err != nil {
				return err
			}
			i++
			continue
		}
		x := &links[j]
		l := n.links[x.Link]
		from, to := l.a, l.b
		if x.Back {
			from, to = l.b, l.a
		}
		if err := link(x, from, to); err != nil {
			return err
		}
		j++
	}
	return nil
}

// WriteSeries writes the time series as CSV: one row for each flow, and each
// direction of a link, at each instant. Cells that have no meaning are empty.
func (n *Network) WriteSeries(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprintln(out, "time_s,flow,link,direction,cwnd_bytes,ssthresh_bytes,in_flight_bytes,srtt_s,rttvar_s,pacing_bytes_per_s,"+
		"goodput_bits_per_s,received_bytes,retransmitted_bytes,queue_bytes,queue_packets,throughput_bits_per_s,drops,marked")
	num := func(x int64) string {
		if x == 0 {
			return ""
		}
		return strconv.FormatInt(x, 10)
	}
	err := n.eachRow(func(x *FlowSample) error {
		_, err := fmt.Fprintf(out, "%s,%s,,,%s,%s,%s,%s,%s,%s,%.0f,%d,%d,,,,,\n", seconds(x.Time), n.flows[x.Flow].Name(), num(x.Cwnd),
			num(x.Ssthresh), num(x.InFlight), seconds(Time(x.SRTT)), seconds(Time(x.RTTVar)), num(x.Pacing), x.Goodput, x.Bytes, x.Resent)
		return err
	}, func(x *LinkSample, from, to *node) error {
		_, err := fmt.Fprintf(out, "%s,,%s,%s>%s,,,,,,,,,,%d,%d,%.0f,%d,%d\n", seconds(x.Time), n.links[x.Link].name, from.name, to.name,
			x.QueueBytes, x.QueuePackets, x.Throughput, x.Drops, x.Marked)
		return err
	})
	if err != nil {
		return err
	}
	return out.Flush()
}

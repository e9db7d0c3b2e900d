package sim

import (
	"bufio"
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

// WriteSeries writes the time series as CSV: one row for each flow, and each
// direction of a link, at each instant. Cells that have no meaning are empty.
func (n *Network) WriteSeries(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprintln(out, "time_s,flow,link,direction,cwnd_bytes,ssthresh_bytes,in_flight_bytes,srtt_s,rttvar_s,pacing_bytes_per_s,"+
		"goodput_bits_per_s,received_bytes,retransmitted_bytes,queue_bytes,queue_packets,throughput_bits_per_s,drops,marked")
	flows, links := n.Series()
	num := func(x int64) string {
		if x == 0 {
			return ""
		}
		return strconv.FormatInt(x, 10)
	}
	j := 0
	for i := 0; i < len(flows) || j < len(links); {
		if i < len(flows) && (j >= len(links) || flows[i].Time <= links[j].Time) {
			x := &flows[i]
			fmt.Fprintf(out, "%s,%s,,,%s,%s,%s,%s,%s,%s,%.0f,%d,%d,,,,,\n", seconds(x.Time), n.flows[x.Flow].Name(), num(x.Cwnd),
				num(x.Ssthresh), num(x.InFlight), seconds(Time(x.SRTT)), seconds(Time(x.RTTVar)), num(x.Pacing), x.Goodput, x.Bytes, x.Resent)
			i++
			continue
		}
		x := &links[j]
		l := n.links[x.Link]
		from, to := l.a, l.b
		if x.Back {
			from, to = l.b, l.a
		}
		fmt.Fprintf(out, "%s,,%s,%s>%s,,,,,,,,,,%d,%d,%.0f,%d,%d\n", seconds(x.Time), l.name, from.name, to.name,
			x.QueueBytes, x.QueuePackets, x.Throughput, x.Drops, x.Marked)
		j++
	}
	return out.Flush()
}

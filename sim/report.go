package sim

import "time"

// Report is what an experiment has shown. Its JSON form is documented in
// docs/sim.md; times are seconds, sizes are bytes and rates are bits a second.
type Report struct {
	Scenario string            `json:"scenario,omitempty"`
	Title    string            `json:"title,omitempty"`
	Seed     uint64            `json:"seed"`
	Duration float64           `json:"duration"`
	Packets  uint64            `json:"packets"` // sent by hosts
	Hops     uint64            `json:"hops"`    // links that these have crossed together
	Jain     float64           `json:"jain,omitempty"`
	Flows    []FlowReport      `json:"flows"`
	Links    []LinkReport      `json:"links"`
	Drops    map[string]uint64 `json:"drops"`
}

// LinkReport is what happened in one direction of a link.
type LinkReport struct {
	Name        string            `json:"name"`
	From        string            `json:"from"`
	To          string            `json:"to"`
	Offered     uint64            `json:"offered"` // packets
	Sent        uint64            `json:"sent"`
	SentBytes   uint64            `json:"sent_bytes"`
	Delivered   uint64            `json:"delivered"`
	Dropped     map[string]uint64 `json:"dropped,omitempty"`
	Marked      uint64            `json:"marked,omitempty"`
	Corrupted   uint64            `json:"corrupted,omitempty"`
	Reordered   uint64            `json:"reordered,omitempty"`
	Duplicated  uint64            `json:"duplicated,omitempty"`
	Rate        int64             `json:"rate,omitempty"`        // at the end
	Utilization float64           `json:"utilization,omitempty"` // sent over what Rate carries, after the warm-up
	MeanQueue   float64           `json:"mean_queue"`
	MaxQueue    int64             `json:"max_queue"`
	MeanWaiting float64           `json:"mean_queue_delay"` // of packets that were sent
	MaxWaiting  float64           `json:"max_queue_delay"`
}

// Jain returns the Jain index of some rates: 1 if they are equal, 1/n if one has
// everything.
func Jain(rates []float64) float64 {
	var sum, squares float64
	for _, r := range rates {
		sum += r
		squares += r * r
	}
	if squares == 0 {
		return 0
	}
	return sum * sum / (float64(len(rates)) * squares)
}

// Report returns what has happened so far. Jain is that of the goodputs of bulk
// flows, if there are several.
func (n *Network) Report() *Report {
	r := &Report{Seed: n.seed, Duration: time.Duration(n.now).Seconds(), Packets: n.sent, Hops: n.hops, Drops: map[string]uint64{}}
	var rates []float64
	for _, f := range n.flows {
		p := f.Report()
		r.Flows = append(r.Flows, p)
		if p.Kind == "bulk" {
			rates = append(rates, p.Goodput)
		}
	}
	if len(rates) > 1 {
		r.Jain = Jain(rates)
	}
	for _, l := range n.links {
		for _, p := range []*path{l.ab, l.ba} {
			s := p.snapshot(n.now)
			lr := LinkReport{
				Name: l.name, From: p.from.name, To: p.to.name, Offered: s.Offered, Sent: s.Sent, SentBytes: s.SentBytes,
				Delivered: s.Delivered, Marked: s.Marked, Corrupted: s.Corrupted, Reordered: s.Reordered, Duplicated: s.Duplicated,
				Rate: p.d.lineRate(), MeanQueue: s.MeanQueueBytes, MaxQueue: s.MaxQueueBytes,
				MeanWaiting: s.MeanQueueDelay.Seconds(), MaxWaiting: s.MaxQueued.Seconds(),
			}
			if d := n.now - p.baseAt; lr.Rate > 0 && d > 0 {
				lr.Utilization = float64(s.SentBytes-p.base.SentBytes) * 8e9 / (float64(lr.Rate) * float64(d))
			}
			for reason, k := range s.Dropped {
				if k > 0 {
					if lr.Dropped == nil {
						lr.Dropped = map[string]uint64{}
					}
					lr.Dropped[DropReason(reason).String()] = k
					r.Drops[DropReason(reason).String()] += k
				}
			}
			r.Links = append(r.Links, lr)
		}
	}
	return r
}

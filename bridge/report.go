package bridge

import (
	"math/bits"
	"time"

	"github.com/sluicenet/sluice/sim"
)

// Report is what a bridge has done. Times are seconds, sizes bytes.
type Report struct {
	Title    string            `json:"title,omitempty"`
	Seed     uint64            `json:"seed"`
	Duration float64           `json:"duration"`
	Realtime bool              `json:"realtime"` // ran at real-time priority
	Ends     []EndReport       `json:"ends"`
	Links    []sim.LinkReport  `json:"links"` // each direction
	Drops    map[string]uint64 `json:"drops"`
	Late     Lateness          `json:"late"`
	Flows    []FlowReport      `json:"flows"`
	Untold   uint64            `json:"untold_flows,omitempty"` // TCP flows beyond those in Flows
}

// EndReport is what crossed a device.
type EndReport struct {
	Name       string `json:"name"`
	Device     string `json:"device"`
	PacketsIn  uint64 `json:"packets_in"` // taken from the device
	BytesIn    uint64 `json:"bytes_in"`
	PacketsOut uint64 `json:"packets_out"` // given to it
	BytesOut   uint64 `json:"bytes_out"`
	Refused    uint64 `json:"refused"` // the device had no room, or was down
}

// Lateness says how long after they were due packets were given to the devices.
type Lateness struct {
	Packets uint64  `json:"packets"`
	Mean    float64 `json:"mean"`
	P50     float64 `json:"p50"`
	P90     float64 `json:"p90"`
	P99     float64 `json:"p99"`
	P999    float64 `json:"p999"`
	Max     float64 `json:"max"`
	MaxAt   float64 `json:"max_at"` // since the start
}

// FlowReport is one direction of a TCP connection, as it came to the bridge.
type FlowReport struct {
	Src                string  `json:"src"`
	Dst                string  `json:"dst"`
	Packets            uint64  `json:"packets"`
	Bytes              uint64  `json:"bytes"` // payload
	RetransmittedBytes uint64  `json:"retransmitted_bytes"`
	RetransmittedShare float64 `json:"retransmitted_share"`
}

// A histogram has eight buckets for each power of two of nanoseconds.
type histogram struct {
	count [64 * 8]uint64
	n     uint64
	sum   time.Duration
	max   time.Duration
	maxAt time.Duration
}

// add counts a packet that was late by d at the instant at.
func (h *histogram) add(d, at time.Duration) {
	d = max(d, 0)
	h.count[bucketOf(uint64(d))]++
	h.n++
	h.sum += d
	if d > h.max {
		h.max, h.maxAt = d, at
	}
}

func bucketOf(v uint64) int {
	if v < 8 {
		return int(v)
	}
	e := bits.Len64(v) - 1 // at least 3
	return (e-2)*8 + int(v>>(e-3)&7)
}

// upper returns the greatest value of a bucket.
func upper(i int) uint64 {
	if i < 8 {
		return uint64(i)
	}
	e := i/8 + 2
	return (uint64(8+i%8)+1)<<(e-3) - 1
}

func (h *histogram) quantile(q float64) float64 {
	want, seen := uint64(q*float64(h.n)), uint64(0)
	for i, c := range h.count {
		if seen += c; c > 0 && seen > want {
			return min(time.Duration(upper(i)), h.max).Seconds()
		}
	}
	return h.max.Seconds()
}

func (h *histogram) report() Lateness {
	l := Lateness{Packets: h.n, P50: h.quantile(.5), P90: h.quantile(.9), P99: h.quantile(.99), P999: h.quantile(.999), Max: h.max.Seconds(), MaxAt: h.maxAt.Seconds()}
	if h.n > 0 {
		l.Mean = h.sum.Seconds() / float64(h.n)
	}
	return l
}

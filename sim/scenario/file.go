// Package scenario reads experiments for the laboratory from YAML files and
// carries them out. The format is documented in docs/sim.md.
package scenario

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sluicenet/sluice/config"
	"github.com/sluicenet/sluice/link/impair"
)

// File is the content of a scenario file.
type File struct {
	Version  int             `mapstructure:"version" oneof:"1" required:"true" doc:"Version of the file format."`
	Title    string          `mapstructure:"title" doc:"What the experiment shows, in one line."`
	Duration config.Duration `mapstructure:"duration" required:"true" min:"1ms" max:"8760h" doc:"Virtual time that passes."`
	Warmup   config.Duration `mapstructure:"warmup" doc:"Time at the beginning that goodputs, utilizations and means leave out."`
	Seed     uint64          `mapstructure:"seed" default:"1" doc:"Seed of everything random. The same seed gives the same packets."`
	Sample   config.Duration `mapstructure:"sample" min:"10us" doc:"Interval of the time series; by default a 500th of the duration, at least 1ms."`
	IPv6     bool            `mapstructure:"ipv6" default:"false" doc:"Hosts speak IPv6 instead of IPv4."`
	Hosts    []Host          `mapstructure:"hosts" required:"true" doc:"The machines. Flows begin and end at them; they do not forward."`
	Routers  []Router        `mapstructure:"routers" doc:"What forwards packets, along the way with the fewest links."`
	Links    []Link          `mapstructure:"links" required:"true" doc:"What joins hosts and routers."`
	Flows    []Flow          `mapstructure:"flows" required:"true" doc:"What is sent."`
	Changes  []Change        `mapstructure:"changes" doc:"What becomes different at set times."`
}

// Host is one machine.
type Host struct {
	Name          string          `mapstructure:"name" required:"true" name:"true" doc:"Name of the host: lower-case letters, digits and '-'."`
	Congestion    string          `mapstructure:"congestion" default:"cubic" doc:"Congestion controller of the host's flows, with options after a colon: 'cubic:beta=0.8'."`
	SendBuffer    config.Size     `mapstructure:"send_buffer" default:"16MiB" min:"4KiB" max:"1GiB" doc:"Memory for data written and not yet acknowledged, for each flow."`
	ReceiveBuffer config.Size     `mapstructure:"receive_buffer" default:"64MiB" min:"4KiB" max:"1GiB" doc:"Memory for data received and not yet read, for each flow: the receive window."`
	NoDelay       bool            `mapstructure:"nodelay" default:"false" doc:"Turn Nagle's algorithm off."`
	MSS           int             `mapstructure:"mss" min:"64" max:"65495" doc:"Largest segment payload announced and sent, in bytes. By default the MTU says it."`
	InitialWindow config.Size     `mapstructure:"initial_window" min:"64B" max:"16MiB" doc:"Initial congestion window; by default that of RFC 6928."`
	MaxWindow     config.Size     `mapstructure:"max_window" default:"1GiB" min:"1KiB" max:"1GiB" doc:"Greatest congestion window."`
	DelayedAck    config.Duration `mapstructure:"delayed_ack" default:"40ms" max:"499ms" doc:"How long an acknowledgement may wait for company; 0 acknowledges every segment at once."`
	RTOInitial    config.Duration `mapstructure:"rto_initial" default:"1s" min:"1ms" max:"1m" doc:"Retransmission timeout before the first measurement."`
	RTOMin        config.Duration `mapstructure:"rto_min" default:"200ms" min:"1ms" max:"1m" doc:"Least retransmission timeout."`
	SACK          bool            `mapstructure:"sack" default:"true" doc:"Selective acknowledgements (RFC 2018)."`
	Timestamps    bool            `mapstructure:"timestamps" default:"true" doc:"Timestamps (RFC 7323)."`
	WindowScale   bool            `mapstructure:"window_scale" default:"true" doc:"Window scaling (RFC 7323)."`
}

// Router forwards packets.
type Router struct {
	Name string `mapstructure:"name" required:"true" name:"true" doc:"Name of the router: lower-case letters, digits and '-'."`
}

// Link joins two nodes.
type Link struct {
	Name    string   `mapstructure:"name" required:"true" name:"true" doc:"Name of the link: lower-case letters, digits and '-'."`
	Between []string `mapstructure:"between" required:"true" doc:"The two hosts or routers at its ends. 'Forward' is from the first to the second."`
	MTU     int      `mapstructure:"mtu" default:"1500" min:"576" max:"65535" doc:"Largest IP packet, in bytes."`
	Path    `mapstructure:",squash"`
	Reverse *Path `mapstructure:"reverse" doc:"The direction from the second end to the first, if it differs. A key that is absent here keeps its default, not the value of the other direction. Without this block both directions are alike."`
}

// Path is what a link does to packets in one direction, in the order in which they
// meet it.
type Path struct {
	Blackhole      bool            `mapstructure:"blackhole" default:"false" doc:"Lose everything."`
	Policer        *Bucket         `mapstructure:"policer" doc:"Drop what exceeds a rate, before the queue."`
	Queue          Queue           `mapstructure:"queue" doc:"Room in the queue: bytes (64KiB), or how long they take at the rate (50ms). Packets that find none are dropped. By default what the rate carries in twice the delay, at least 64KiB."`
	QueuePackets   int             `mapstructure:"queue_packets" min:"1" max:"1000000" doc:"Room in the queue in packets, instead of queue or beside it."`
	Mark           Queue           `mapstructure:"mark" doc:"Mark packets of ECN-capable senders that find more than that waiting: bytes or time, as in queue (a step, as for DCTCP)."`
	CoDel          *CoDel          `mapstructure:"codel" doc:"Drop or mark at the head of the queue what waits too long (RFC 8289). An empty block, {}, takes the defaults."`
	Shaper         *Bucket         `mapstructure:"shaper" doc:"Hold packets in the queue until a token bucket lets them go."`
	Rate           config.Rate     `mapstructure:"rate" doc:"Bit rate of the wire, counting whole IP packets; 0 for no limit."`
	Loss           config.Percent  `mapstructure:"loss" doc:"Share of packets lost at random."`
	LossEvery      int             `mapstructure:"loss_every" min:"2" doc:"Lose every n-th data packet, retransmissions not counted and not lost."`
	LossList       []int           `mapstructure:"loss_list" doc:"Lose the data packets of these numbers, counted from 1 as for loss_every."`
	LossBursts     *Bursts         `mapstructure:"loss_bursts" doc:"Lose packets in bursts (the Gilbert-Elliott model)."`
	Corrupt        config.Percent  `mapstructure:"corrupt" doc:"Share of packets in which one bit is flipped."`
	Delay          config.Duration `mapstructure:"delay" max:"24h" doc:"One-way delay."`
	Jitter         config.Duration `mapstructure:"jitter" max:"24h" doc:"Largest random change of the delay, either way."`
	JitterReorders bool            `mapstructure:"jitter_reorders" default:"false" doc:"Let jitter change the order of packets."`
	Reorder        config.Percent  `mapstructure:"reorder" doc:"Share of packets that later ones may overtake."`
	ReorderDelay   config.Duration `mapstructure:"reorder_delay" max:"24h" doc:"Further delay of those packets; by default half the delay, 1ms at least."`
	Duplicate      config.Percent  `mapstructure:"duplicate" doc:"Share of packets that arrive twice."`
}

// Bucket is a token bucket.
type Bucket struct {
	Rate  config.Rate `mapstructure:"rate" required:"true" min:"1bit" doc:"Rate at which tokens come."`
	Burst config.Size `mapstructure:"burst" default:"15000B" min:"1500B" max:"1GiB" doc:"Tokens that can be saved."`
}

// CoDel is an active queue management.
type CoDel struct {
	Target   config.Duration `mapstructure:"target" default:"5ms" min:"1us" max:"10s" doc:"Standing delay that is accepted."`
	Interval config.Duration `mapstructure:"interval" default:"100ms" min:"1us" max:"100s" doc:"Time in which it has to be reached."`
	ECN      bool            `mapstructure:"ecn" default:"false" doc:"Mark packets of ECN-capable senders instead of dropping them."`
}

// Bursts is a wire that is in one of two states.
type Bursts struct {
	ToBad    config.Percent `mapstructure:"to_bad" required:"true" doc:"Chance, before each packet, to change from good to bad."`
	ToGood   config.Percent `mapstructure:"to_good" required:"true" doc:"Chance, before each packet, to change back. Its inverse is the mean length of a burst."`
	LossGood config.Percent `mapstructure:"loss_good" default:"0%" doc:"Share of packets lost in the good state."`
	LossBad  config.Percent `mapstructure:"loss_bad" default:"100%" doc:"Share of packets lost in the bad state."`
}

// Flow is an application at two hosts.
type Flow struct {
	Name        string          `mapstructure:"name" required:"true" name:"true" doc:"Name of the flow: lower-case letters, digits and '-'."`
	Kind        string          `mapstructure:"kind" default:"bulk" oneof:"bulk|request|paced|onoff|short|cross" doc:"bulk: as fast as it may; request: requests and responses, one at a time; paced: writes at a rate; onoff: writes at a rate in bursts; short: many short connections; cross: UDP that takes no notice of losses."`
	From        string          `mapstructure:"from" required:"true" doc:"Host that opens the connection, and sends; of request the one that asks."`
	To          string          `mapstructure:"to" required:"true" doc:"Host at the other end."`
	Start       config.Duration `mapstructure:"start" doc:"When it begins."`
	Stop        config.Duration `mapstructure:"stop" doc:"When it is cut off."`
	Copies      int             `mapstructure:"copies" default:"1" min:"1" max:"1000" doc:"How many of its kind there are; they are called name-1, name-2 and so on."`
	Stagger     config.Duration `mapstructure:"stagger" doc:"Time from the beginning of one copy to that of the next."`
	Congestion  string          `mapstructure:"congestion" doc:"Congestion controller at both ends, instead of those of the hosts."`
	NoDelay     bool            `mapstructure:"nodelay" default:"false" doc:"Turn Nagle's algorithm off."`
	MSS         int             `mapstructure:"mss" min:"64" max:"65495" doc:"Largest segment payload, instead of that of the hosts."`
	Bytes       config.Size     `mapstructure:"bytes" min:"1B" doc:"bulk: how much is sent, without an end by default; short: mean size of a connection."`
	Rate        config.Rate     `mapstructure:"rate" min:"1bit" doc:"paced, onoff: of writing; cross: of whole packets."`
	Chunk       config.Size     `mapstructure:"chunk" min:"1B" max:"64KiB" doc:"paced, onoff: bytes written at once, 1000B by default; cross: size of a packet with its headers, 1000B by default."`
	On          config.Duration `mapstructure:"on" min:"1us" doc:"onoff, cross: how long it sends before it pauses."`
	Off         config.Duration `mapstructure:"off" min:"1us" doc:"onoff, cross: how long it pauses."`
	Exponential bool            `mapstructure:"exponential" default:"false" doc:"onoff, cross: on and off are means, and vary exponentially."`
	Poisson     bool            `mapstructure:"poisson" default:"false" doc:"cross: packets leave at random instants instead of even ones."`
	Request     config.Size     `mapstructure:"request" min:"1B" doc:"request: size of a request."`
	Response    config.Size     `mapstructure:"response" min:"1B" doc:"request: size of a response."`
	Think       config.Duration `mapstructure:"think" doc:"request: time from a response to the next request."`
	Count       int             `mapstructure:"count" min:"1" doc:"request: how many requests; short: how many connections. Without an end by default."`
	Interval    config.Duration `mapstructure:"interval" min:"1us" doc:"short: mean time between the beginnings of connections, which are a Poisson process."`
	Sizes       string          `mapstructure:"sizes" default:"fixed" oneof:"fixed|exponential|pareto" doc:"short: how sizes vary around their mean; pareto is heavy-tailed, with the shape 1.5."`
	MaxOpen     int             `mapstructure:"max_open" default:"1000" min:"1" max:"10000" doc:"short: connections open at once; what would be more does not begin, and is counted."`
}

// Change is something that becomes different during the experiment. What is absent
// stays as it is.
type Change struct {
	At        config.Duration `mapstructure:"at" required:"true" doc:"When."`
	Link      string          `mapstructure:"link" required:"true" doc:"Name of the link."`
	Direction string          `mapstructure:"direction" default:"both" oneof:"forward|reverse|both" doc:"Direction of the link."`
	Patch     `mapstructure:",squash"`
}

// Patch is what changes about one direction of a link.
type Patch struct {
	Blackhole    *bool            `mapstructure:"blackhole" doc:"As of a link."`
	Policer      *Bucket          `mapstructure:"policer" doc:"As of a link."`
	Queue        *Queue           `mapstructure:"queue" doc:"As of a link."`
	QueuePackets *int             `mapstructure:"queue_packets" min:"1" max:"1000000" doc:"As of a link."`
	Mark         *Queue           `mapstructure:"mark" doc:"As of a link."`
	CoDel        *CoDel           `mapstructure:"codel" doc:"As of a link."`
	Shaper       *Bucket          `mapstructure:"shaper" doc:"As of a link."`
	Rate         *config.Rate     `mapstructure:"rate" doc:"As of a link. A queue that was given as a time keeps its room in bytes."`
	Loss         *config.Percent  `mapstructure:"loss" doc:"As of a link."`
	LossEvery    *int             `mapstructure:"loss_every" doc:"As of a link; 0 for none."`
	LossBursts   *Bursts          `mapstructure:"loss_bursts" doc:"As of a link."`
	Corrupt      *config.Percent  `mapstructure:"corrupt" doc:"As of a link."`
	Delay        *config.Duration `mapstructure:"delay" max:"24h" doc:"As of a link."`
	Jitter       *config.Duration `mapstructure:"jitter" max:"24h" doc:"As of a link."`
	Reorder      *config.Percent  `mapstructure:"reorder" doc:"As of a link."`
	ReorderDelay *config.Duration `mapstructure:"reorder_delay" max:"24h" doc:"As of a link."`
	Duplicate    *config.Percent  `mapstructure:"duplicate" doc:"As of a link."`
}

// Queue is room in a queue: bytes, as in "64KiB", or the time that they take at the
// rate of the link, as in "50ms".
type Queue struct {
	Bytes config.Size
	Time  config.Duration
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (q *Queue) UnmarshalText(text []byte) error {
	s := string(text)
	var v Queue
	if _, err := time.ParseDuration(s); err == nil && s != "0" {
		if err := v.Time.UnmarshalText(text); err != nil {
			return err
		}
	} else if _, err := strconv.ParseFloat(s, 64); err == nil && s != "0" {
		return fmt.Errorf("%q has no unit: write %q or %q", s, s+"KiB", s+"ms")
	} else if err := v.Bytes.UnmarshalText(text); err != nil {
		return fmt.Errorf("%q is neither a size such as %q nor a time such as %q", s, "64KiB", "50ms")
	}
	if v == (Queue{}) && strings.Trim(s, "0") == "" {
		return fmt.Errorf("%q is no room at all", s)
	}
	*q = v
	return nil
}

// String prints the queue as it is written.
func (q Queue) String() string {
	if q.Time != 0 {
		return q.Time.String()
	}
	return q.Bytes.String()
}

// at returns the bytes that a queue takes at a rate.
func (q Queue) at(rate int64) int64 {
	if q.Time == 0 {
		return int64(q.Bytes)
	}
	return max(impair.BDP(rate, time.Duration(q.Time)), 1)
}

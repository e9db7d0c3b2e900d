package config

import (
	"cmp"
	"net/netip"
	"runtime/debug"
	"slices"
	"time"

	"github.com/sluicenet/sluice/api"
)

// Status is a snapshot of a System. Its JSON form is documented in
// docs/json.md; fields may be added, and keep their meaning.
type Status struct {
	Version       string          `json:"version"`
	Config        string          `json:"config"`
	Started       time.Time       `json:"started"`
	UptimeSeconds float64         `json:"uptime_seconds"`
	Links         []LinkStatus    `json:"links"`
	Stacks        []StackStatus   `json:"stacks"`
	Services      []ServiceStatus `json:"services"`
	Flows         []FlowStatus    `json:"flows"`
}

// LinkStatus is a link, or one end of it.
type LinkStatus struct {
	Name       string `json:"name"`
	Driver     string `json:"driver"`
	Device     string `json:"device,omitempty"`
	MTU        int    `json:"mtu"`
	PacketsIn  uint64 `json:"packets_in"`
	PacketsOut uint64 `json:"packets_out"`
	BytesIn    uint64 `json:"bytes_in"`
	BytesOut   uint64 `json:"bytes_out"`
	DropsIn    uint64 `json:"drops_in"`
	DropsOut   uint64 `json:"drops_out"`
	Errors     uint64 `json:"errors"`
}

// StackStatus is a stack.
type StackStatus struct {
	Name             string            `json:"name"`
	Backend          string            `json:"backend"`
	Addresses        []string          `json:"addresses"`
	Flows            int64             `json:"flows"`
	HalfOpen         int64             `json:"half_open"`
	TimeWait         int64             `json:"time_wait"`
	Listeners        int64             `json:"listeners"`
	MemoryBytes      int64             `json:"memory_bytes"`
	MemoryLimitBytes int64             `json:"memory_limit_bytes"`
	Opened           uint64            `json:"opened"`
	Accepted         uint64            `json:"accepted"`
	Refused          uint64            `json:"refused"`
	Failed           uint64            `json:"failed"`
	CookiesSent      uint64            `json:"cookies_sent"`
	CookiesAccepted  uint64            `json:"cookies_accepted"`
	PacketsIn        uint64            `json:"packets_in"`
	PacketsOut       uint64            `json:"packets_out"`
	BytesIn          uint64            `json:"bytes_in"`
	BytesOut         uint64            `json:"bytes_out"`
	SegmentsIn       uint64            `json:"segments_in"`
	SegmentsOut      uint64            `json:"segments_out"`
	Retransmits      uint64            `json:"retransmits"`
	ResetsIn         uint64            `json:"resets_in"`
	ResetsOut        uint64            `json:"resets_out"`
	ChallengeAcks    uint64            `json:"challenge_acks"`
	Drops            map[string]uint64 `json:"drops"`
}

// ServiceStatus is a service.
type ServiceStatus struct {
	Name     string `json:"name"`
	Stack    string `json:"stack"`
	Handler  string `json:"handler"`
	Listen   string `json:"listen"`
	Active   int64  `json:"active"`
	Total    int64  `json:"total"`
	Failed   int64  `json:"failed"`
	BytesIn  int64  `json:"bytes_in"`
	BytesOut int64  `json:"bytes_out"`
}

// FlowStatus is a flow of a stack, as in api.Info. Times are whole
// microseconds.
type FlowStatus struct {
	Stack      string         `json:"stack"`
	State      string         `json:"state"`
	Local      netip.AddrPort `json:"local"`
	Peer       netip.AddrPort `json:"peer"`
	Congestion string         `json:"congestion"`

	ReceiveQueue int64 `json:"receive_queue_bytes"`
	SendQueue    int64 `json:"send_queue_bytes"`
	OutOfOrder   int64 `json:"out_of_order_bytes"`
	Memory       int64 `json:"memory_bytes"`
	SendBuffer   int64 `json:"send_buffer_bytes"`
	RecvBuffer   int64 `json:"receive_buffer_bytes"`

	Cwnd       int64 `json:"cwnd_bytes"`
	Ssthresh   int64 `json:"ssthresh_bytes"`
	InFlight   int64 `json:"in_flight_bytes"`
	SendWindow int64 `json:"send_window_bytes"`
	RecvWindow int64 `json:"receive_window_bytes"`

	RTT     int64 `json:"rtt_us"`
	RTTVar  int64 `json:"rtt_var_us"`
	MinRTT  int64 `json:"min_rtt_us"`
	RTO     int64 `json:"rto_us"`
	Backoff int   `json:"backoff"`

	MSS             int64 `json:"mss"`
	RecvMSS         int64 `json:"receive_mss"`
	PathMTU         int64 `json:"path_mtu"`
	SendWindowScale int   `json:"send_window_scale"`
	RecvWindowScale int   `json:"receive_window_scale"`
	SACK            bool  `json:"sack"`
	Timestamps      bool  `json:"timestamps"`
	ECN             bool  `json:"ecn"`

	BytesSent          uint64 `json:"bytes_sent"`
	BytesReceived      uint64 `json:"bytes_received"`
	BytesAcked         uint64 `json:"bytes_acked"`
	BytesRetransmitted uint64 `json:"bytes_retransmitted"`
	SegmentsSent       uint64 `json:"segments_sent"`
	SegmentsReceived   uint64 `json:"segments_received"`
	Retransmits        uint64 `json:"retransmits"`
	Spurious           uint64 `json:"spurious_retransmits"`
	ControllerFaults   uint64 `json:"controller_faults"`
	DupAcks            uint64 `json:"dup_acks"`
	Timeouts           uint64 `json:"timeouts"`
	PacingRate         int64  `json:"pacing_bytes_per_second"`
	DeliveryRate       int64  `json:"delivery_bytes_per_second"`

	Timer     string    `json:"timer"`
	TimerLeft int64     `json:"timer_left_us"`
	Probes    int       `json:"keepalive_probes"`
	SoftError string    `json:"soft_error,omitempty"`
	Opened    time.Time `json:"opened,omitzero"`
	TTL       uint8     `json:"ttl"`
	DSCP      uint8     `json:"dscp"`
	NoDelay   bool      `json:"nodelay"`
}

// Version returns the version of the running program, as its build tells.
func Version() string {
	bi, ok := debug.ReadBuildInfo()
	if !ok || bi.Main.Version == "" {
		return "(devel)"
	}
	return bi.Main.Version
}

// Status returns a snapshot. Its parts are not from the same instant.
func (s *System) Status() *Status {
	st := &Status{
		Version:       Version(),
		Config:        s.cfg.name,
		Started:       s.started,
		UptimeSeconds: s.clock.Wall(s.clock.Now()).Sub(s.started).Seconds(),
		Links:         []LinkStatus{},
		Stacks:        []StackStatus{},
		Services:      []ServiceStatus{},
		Flows:         s.Flows(),
	}
	for _, b := range s.links {
		for _, name := range b.order {
			x := b.ends[name].Stats()
			a := b.ends[name].Attributes()
			ls := LinkStatus{
				Name: name, Driver: b.cfg.Driver, MTU: a.MTU,
				PacketsIn: x.PacketsIn, PacketsOut: x.PacketsOut, BytesIn: x.BytesIn, BytesOut: x.BytesOut,
				DropsIn: x.DropsIn, DropsOut: x.DropsOut, Errors: x.Errors,
			}
			if b.ownName() {
				ls.Device = a.Name
			}
			st.Links = append(st.Links, ls)
		}
	}
	for _, b := range s.stacks {
		st.Stacks = append(st.Stacks, stackStatus(b.name, b.stack.Info()))
	}
	for _, b := range s.services {
		x := b.Stats()
		st.Services = append(st.Services, ServiceStatus{
			Name: b.cfg.Name, Stack: b.cfg.Stack, Handler: b.cfg.Handler, Listen: x.Listen,
			Active: x.Active, Total: x.Total, Failed: x.Failed, BytesIn: x.BytesIn, BytesOut: x.BytesOut,
		})
	}
	return st
}

func stackStatus(name string, i api.StackInfo) StackStatus {
	s := StackStatus{
		Name: name, Backend: i.Backend, Addresses: []string{},
		Flows: i.Flows, HalfOpen: i.HalfOpen, TimeWait: i.TimeWait, Listeners: i.Listeners,
		MemoryBytes: i.Memory, MemoryLimitBytes: i.MemoryLimit,
		Opened: i.Opened, Accepted: i.Accepted, Refused: i.Refused, Failed: i.Failed,
		CookiesSent: i.CookiesSent, CookiesAccepted: i.CookiesAccepted,
		PacketsIn: i.PacketsIn, PacketsOut: i.PacketsOut, BytesIn: i.BytesIn, BytesOut: i.BytesOut,
		SegmentsIn: i.SegmentsIn, SegmentsOut: i.SegmentsOut, Retransmits: i.Retransmits,
		ResetsIn: i.ResetsIn, ResetsOut: i.ResetsOut, ChallengeAcks: i.ChallengeAcks,
		Drops: map[string]uint64{},
	}
	for _, a := range i.Addresses {
		s.Addresses = append(s.Addresses, a.String())
	}
	for r, n := range i.Drops {
		if n > 0 {
			s.Drops[api.DropReason(r).String()] = n
		}
	}
	return s
}

// Flows returns the flows of all stacks, in the order of stack, local and peer
// address.
func (s *System) Flows() []FlowStatus {
	list := []FlowStatus{}
	for _, b := range s.stacks {
		first := len(list)
		for i := range b.stack.Flows() {
			list = append(list, NewFlowStatus(b.name, i))
		}
		slices.SortFunc(list[first:], func(a, b FlowStatus) int {
			return cmp.Or(a.Local.Compare(b.Local), a.Peer.Compare(b.Peer), cmp.Compare(a.State, b.State))
		})
	}
	return list
}

// NewFlowStatus returns the status of a flow of the stack of that name.
func NewFlowStatus(stack string, i api.Info) FlowStatus {
	f := FlowStatus{
		Stack: stack, State: i.State.String(), Local: i.Src, Peer: i.Dst, Congestion: i.Congestion,
		ReceiveQueue: i.ReceiveQueue, SendQueue: i.SendQueue, OutOfOrder: i.OutOfOrder, Memory: i.Memory,
		SendBuffer: i.SendBuffer, RecvBuffer: i.RecvBuffer,
		Cwnd: i.Cwnd, Ssthresh: i.Ssthresh, InFlight: i.InFlight, SendWindow: i.SendWindow, RecvWindow: i.RecvWindow,
		RTT: i.SRTT.Microseconds(), RTTVar: i.RTTVar.Microseconds(), MinRTT: i.MinRTT.Microseconds(),
		RTO: i.RTO.Microseconds(), Backoff: i.Backoff,
		MSS: i.SendMSS, RecvMSS: i.RecvMSS, PathMTU: i.PathMTU,
		SendWindowScale: i.SendWindowScale, RecvWindowScale: i.RecvWindowScale,
		SACK: i.SACK, Timestamps: i.Timestamps, ECN: i.ECN,
		BytesSent: i.BytesSent, BytesReceived: i.BytesReceived, BytesAcked: i.BytesAcked,
		BytesRetransmitted: i.BytesRetransmitted, SegmentsSent: i.SegmentsSent, SegmentsReceived: i.SegmentsReceived,
		Retransmits: i.Retransmits, Spurious: i.SpuriousRetransmits, ControllerFaults: i.ControllerFaults, DupAcks: i.DupAcks, Timeouts: i.Timeouts,
		PacingRate: i.PacingRate, DeliveryRate: i.DeliveryRate,
		Timer: i.Timer, TimerLeft: i.TimerLeft.Microseconds(), Probes: i.KeepaliveProbes,
		Opened: i.Opened, TTL: i.TTL, DSCP: i.DSCP, NoDelay: i.NoDelay,
	}
	if i.SoftError != nil {
		f.SoftError = i.SoftError.Error()
	}
	return f
}

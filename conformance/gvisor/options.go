package main

import (
	"fmt"
	"strings"

	"gvisor.dev/gvisor/pkg/tcpip"

	"github.com/sluicenet/sluice/api"
)

// merged returns cfg with the defaults of the environment where it has none.
func merged(cfg *api.FlowConfig, defaults api.FlowConfig) api.FlowConfig {
	if cfg == nil {
		return defaults
	}
	c := *cfg
	if c.Keepalive == nil {
		c.Keepalive = defaults.Keepalive
	}
	c.NoDelay = c.NoDelay || defaults.NoDelay
	if c.SendBuffer == 0 {
		c.SendBuffer = defaults.SendBuffer
	}
	if c.ReceiveBuffer == 0 {
		c.ReceiveBuffer = defaults.ReceiveBuffer
	}
	if c.UserTimeout == 0 {
		c.UserTimeout = defaults.UserTimeout
	}
	if c.TTL == 0 {
		c.TTL = defaults.TTL
	}
	if c.DSCP == 0 {
		c.DSCP = defaults.DSCP
	}
	if c.MSS == 0 {
		c.MSS = defaults.MSS
	}
	if c.Congestion == "" {
		c.Congestion = defaults.Congestion
	}
	return c
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{api.ErrInvalidConfig}, args...)...)
}

// configure gives the endpoint its options.
func (f *flow) configure(c api.FlowConfig) error {
	keepalive, ok := c.Keepalive.(api.KeepaliveConfig)
	if c.Keepalive != nil && !ok {
		return invalid("gVisor takes no Keepalive but a KeepaliveConfig")
	}
	if c.DSCP > 63 {
		return invalid("DSCP %d", c.DSCP)
	}
	if c.SendBuffer < 0 || c.ReceiveBuffer < 0 || c.UserTimeout < 0 {
		return invalid("a negative size or time")
	}
	name, opts, _ := strings.Cut(c.Congestion, ":")
	if opts != "" {
		return invalid("gVisor's congestion control takes no options: %q", c.Congestion)
	}
	type option struct {
		id tcpip.SockOptInt
		v  int
	}
	ints := []option{{tcpip.IPv4TOSOption, int(c.DSCP) << 2}, {tcpip.IPv6TrafficClassOption, int(c.DSCP) << 2}}
	if c.TTL != 0 {
		ints = append(ints, option{tcpip.IPv4TTLOption, int(c.TTL)}, option{tcpip.IPv6HopLimitOption, int(c.TTL)})
	}
	if c.MSS != 0 && c.MSS != f.cfg.MSS {
		ints = append(ints, option{tcpip.MaxSegOption, int(c.MSS)})
	}
	timeout := tcpip.TCPUserTimeoutOption(c.UserTimeout)
	others := []tcpip.SettableSocketOption{&timeout}
	if name != "" && c.Congestion != f.cfg.Congestion {
		cc := tcpip.CongestionControlOption(name)
		others = append(others, &cc)
	}
	if c.Keepalive != nil {
		// What is zero means the default, which gVisor has too.
		if keepalive.Probes > 0 {
			ints = append(ints, option{tcpip.KeepaliveCountOption, keepalive.Probes})
		}
		if idle := tcpip.KeepaliveIdleOption(keepalive.After); idle > 0 {
			others = append(others, &idle)
		}
		if interval := tcpip.KeepaliveIntervalOption(keepalive.Interval); interval > 0 {
			others = append(others, &interval)
		}
	}
	for _, o := range ints {
		if err := f.ep.SetSockOptInt(o.id, o.v); err != nil {
			return invalid("option %d to %d: %v", o.id, o.v, err)
		}
	}
	for _, o := range others {
		if err := f.ep.SetSockOpt(o); err != nil {
			return invalid("option %T: %v", o, err)
		}
	}
	so := f.ep.SocketOptions()
	so.SetKeepAlive(c.Keepalive != nil)
	so.SetDelayOption(!c.NoDelay)
	if c.SendBuffer != 0 {
		so.SetSendBufferSize(c.SendBuffer, true)
	}
	if c.ReceiveBuffer != 0 {
		so.SetReceiveBufferSize(c.ReceiveBuffer, true)
	}
	f.mu.Lock()
	f.cfg = c
	f.mu.Unlock()
	return nil
}

func (f *flow) Configure(change func(*api.FlowConfig)) error {
	f.mu.Lock()
	old := f.cfg
	f.mu.Unlock()
	c := old
	change(&c)
	var err error
	switch {
	case f.ended():
		err = api.ClosedBy(f.CloseReason())
	case c.MSS != old.MSS || c.Local != old.Local || c.Congestion != old.Congestion:
		err = invalid("MSS, Local and Congestion are fixed")
	default:
		err = f.configure(c)
	}
	f.s.settle()
	if err != nil {
		return failed("configure", f.src, f.dst, err)
	}
	return nil
}

func (f *flow) Info() api.Info {
	var t tcpip.TCPInfoOption
	f.ep.GetSockOpt(&t)
	unread, _ := f.ep.GetSockOptInt(tcpip.ReceiveQueueSizeOption)
	ttl, _ := f.ep.GetSockOptInt(tcpip.IPv4TTLOption)
	if f.src.Addr().Is6() {
		ttl, _ = f.ep.GetSockOptInt(tcpip.IPv6HopLimitOption)
	}
	tos, _ := f.ep.GetSockOptInt(tcpip.IPv4TOSOption)
	var cc tcpip.CongestionControlOption
	f.ep.GetSockOpt(&cc)
	f.mu.Lock()
	defer f.mu.Unlock()
	return api.Info{
		State: f.state(), Src: f.src, Dst: f.dst, Congestion: string(cc),
		SRTT: t.RTT, RTTVar: t.RTTVar, RTO: t.RTO,
		ReceiveQueue: int64(max(unread, 0)), SendQueue: int64(f.taken - min(f.acked, f.taken)),
		BytesAcked: min(f.acked, f.taken), BytesSent: f.taken - uint64(len(f.pending)),
		TTL: uint8(ttl), DSCP: uint8(tos >> 2), NoDelay: f.cfg.NoDelay,
		SendBuffer: f.ep.SocketOptions().GetSendBufferSize(), RecvBuffer: f.ep.SocketOptions().GetReceiveBufferSize(),
		SendWindowScale: -1, RecvWindowScale: -1,
	}
}

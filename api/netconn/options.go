package netconn

import (
	"net"
	"time"

	"github.com/sluicenet/sluice/api"
)

// What package net gives a connection whose keepalive is switched on without
// further wishes.
const (
	keepAliveIdle     = 15 * time.Second
	keepAliveInterval = 15 * time.Second
	keepAliveCount    = 9
)

func (c *Conn) configure(change func(*api.FlowConfig)) error {
	if c.closing.Load() {
		return c.wrap("set", net.ErrClosed)
	}
	if err := c.flow.Configure(change); err != nil {
		return c.wrap("set", err)
	}
	return nil
}

// SetLinger says what Close does about data that the peer has not acknowledged:
// if sec is negative, as by default, the stack delivers it in the background;
// 0 discards it and resets the connection; otherwise it is discarded sec
// seconds later. Close itself never waits.
func (c *Conn) SetLinger(sec int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing.Load() {
		return c.wrap("set", net.ErrClosed)
	}
	c.linger = max(sec, -1)
	return nil
}

// SetNoDelay switches Nagle's algorithm off, or on (N4). Unlike package net, a
// Conn begins as its stack's configuration says.
func (c *Conn) SetNoDelay(noDelay bool) error {
	return c.configure(func(f *api.FlowConfig) { f.NoDelay = noDelay })
}

// SetKeepAlive switches the keepalive on, with the values that package net
// takes (15 s, 15 s, 9 probes) if there is none yet, or off (K1).
func (c *Conn) SetKeepAlive(keepalive bool) error {
	return c.configure(func(f *api.FlowConfig) {
		switch {
		case !keepalive:
			f.Keepalive = nil
		case f.Keepalive == nil:
			f.Keepalive = keepaliveOf(nil, net.KeepAliveConfig{})
		}
	})
}

// SetKeepAlivePeriod sets how long the peer may be silent before the first
// probe. A keepalive that is off stays off until SetKeepAlive.
func (c *Conn) SetKeepAlivePeriod(d time.Duration) error {
	return c.configure(func(f *api.FlowConfig) {
		if f.Keepalive != nil {
			f.Keepalive = keepaliveOf(f.Keepalive, net.KeepAliveConfig{Idle: d, Interval: -1, Count: -1})
		}
	})
}

// SetKeepAliveConfig does what the method of *net.TCPConn does: fields that are
// zero mean 15 s, 15 s and 9, and those that are negative stay as they are.
func (c *Conn) SetKeepAliveConfig(config net.KeepAliveConfig) error {
	return c.configure(func(f *api.FlowConfig) {
		if config.Enable {
			f.Keepalive = keepaliveOf(f.Keepalive, config)
		} else {
			f.Keepalive = nil
		}
	})
}

// keepaliveOf applies change to old, which may be of any kind or nil.
func keepaliveOf(old api.Keepalive, change net.KeepAliveConfig) api.KeepaliveConfig {
	k, ok := old.(api.KeepaliveConfig)
	if p, isPtr := old.(*api.KeepaliveConfig); isPtr && p != nil {
		k, ok = *p, true
	}
	if !ok {
		k = api.KeepaliveConfig{After: keepAliveIdle, Interval: keepAliveInterval, Probes: keepAliveCount}
	}
	set := func(to *time.Duration, v, zero time.Duration) {
		switch {
		case v == 0:
			*to = zero
		case v > 0:
			*to = v
		}
	}
	set(&k.After, change.Idle, keepAliveIdle)
	set(&k.Interval, change.Interval, keepAliveInterval)
	switch {
	case change.Count == 0:
		k.Probes = keepAliveCount
	case change.Count > 0:
		k.Probes = change.Count
	}
	return k
}

// SetReadBuffer limits what is received and not yet read, in bytes.
func (c *Conn) SetReadBuffer(bytes int) error {
	return c.configure(func(f *api.FlowConfig) { f.ReceiveBuffer = int64(bytes) })
}

// SetWriteBuffer limits what is written and not yet acknowledged, in bytes.
func (c *Conn) SetWriteBuffer(bytes int) error {
	return c.configure(func(f *api.FlowConfig) { f.SendBuffer = int64(bytes) })
}

// Package setup configures the kernel's side of a TUN device, through netlink.
// Package tun does without it, and so without netlink, where the device has
// been set up by somebody else.
package setup

import "time"

// Metrics are those of a route, as ip-route(8) has them. Zero is the kernel's
// default.
type Metrics struct {
	MTU, AdvMSS        int // bytes
	InitCwnd, InitRwnd int // segments
	RTOMin             time.Duration
	QuickAck           bool
	Congestion         string // controller of connections
}

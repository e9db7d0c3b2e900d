package host

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
)

// Defaults and bounds of a flow's options.
const (
	defaultSendBuffer    = 1 << 20
	defaultReceiveBuffer = 1 << 20
	minBuffer            = 2 << 10 // less cannot hold one ordinary packet
	maxBuffer            = 1 << 30 // RFC 7323, section 2.3: no window is larger
	minMSS               = 48
)

// defaultFlow completes the stack's defaults, and checks them.
func defaultFlow(c *Config) (api.FlowConfig, error) {
	f := c.Flow
	if f.SendBuffer == 0 {
		f.SendBuffer = defaultSendBuffer
	}
	if f.ReceiveBuffer == 0 {
		f.ReceiveBuffer = defaultReceiveBuffer
	}
	if f.TTL == 0 {
		f.TTL = defaultTTL
	}
	if f.Congestion == "" && len(c.Controllers) == 1 {
		for name := range c.Controllers {
			f.Congestion = name
		}
	}
	if f.Congestion == "" {
		return f, fmt.Errorf("%w: Flow.Congestion does not say which controller is the default", api.ErrInvalidConfig)
	}
	h := &Host{cfg: *c}
	return f, h.check(&f)
}

// Resolve fills the zero fields of cfg (nil: all) with the host's defaults and
// checks it; errors match api.ErrInvalidConfig and say which field, or
// api.ErrInvalidAddress for a Local that is not an address of the host.
func (h *Host) Resolve(cfg *api.FlowConfig) (api.FlowConfig, error) {
	if cfg == nil {
		return h.flow, nil
	}
	f, d := *cfg, &h.flow
	if f.Keepalive == nil {
		f.Keepalive = d.Keepalive
	}
	if !f.NoDelay {
		f.NoDelay = d.NoDelay
	}
	if f.SendBuffer == 0 {
		f.SendBuffer = d.SendBuffer
	}
	if f.ReceiveBuffer == 0 {
		f.ReceiveBuffer = d.ReceiveBuffer
	}
	if f.UserTimeout == 0 {
		f.UserTimeout = d.UserTimeout
	}
	if f.TTL == 0 {
		f.TTL = d.TTL
	}
	if f.DSCP == 0 {
		f.DSCP = d.DSCP
	}
	if f.MSS == 0 {
		f.MSS = d.MSS
	}
	if f.Local == (netip.AddrPort{}) {
		f.Local = d.Local
	}
	if f.Congestion == "" {
		f.Congestion = d.Congestion
	}
	if f.Notify == nil {
		f.Notify = d.Notify
	}
	return f, h.check(&f)
}

func (h *Host) check(f *api.FlowConfig) error {
	bad := func(field string, format string, args ...any) error {
		return fmt.Errorf("%w: %s: %s", api.ErrInvalidConfig, field, fmt.Sprintf(format, args...))
	}
	switch {
	case f.SendBuffer < minBuffer || f.SendBuffer > maxBuffer:
		return bad("SendBuffer", "%d is not within %d and %d bytes", f.SendBuffer, minBuffer, maxBuffer)
	case f.ReceiveBuffer < minBuffer || f.ReceiveBuffer > maxBuffer:
		return bad("ReceiveBuffer", "%d is not within %d and %d bytes", f.ReceiveBuffer, minBuffer, maxBuffer)
	case f.UserTimeout < 0:
		return bad("UserTimeout", "%v is negative", f.UserTimeout)
	case f.DSCP > 63:
		return bad("DSCP", "%d does not fit into 6 bits", f.DSCP)
	case f.MSS != 0 && f.MSS < minMSS:
		return bad("MSS", "%d is below %d bytes", f.MSS, minMSS)
	}
	if a := f.Local.Addr(); a.IsValid() && !a.IsUnspecified() && h.routes != nil && !h.routes.IsOwn(a.Unmap()) {
		return fmt.Errorf("%w: Local: %v is not an address of this stack", api.ErrInvalidAddress, a)
	}
	// The default was checked when the Host was made.
	if f.Congestion == h.flow.Congestion {
		return nil
	}
	name, opts := splitCongestion(f.Congestion)
	factory := h.cfg.Controllers[name]
	if factory == nil {
		return bad("Congestion", "no controller %q; there are %s", name, h.controllers())
	}
	env := cc.Env{MSS: 1448, InitialWindow: 14480, SRTT: time.Millisecond, MinRTT: time.Millisecond,
		Rand: constRand{}, Trace: func(string, float64) {}}
	if _, err := factory.New(&env, opts); err != nil {
		return bad("Congestion", "%v", err)
	}
	return nil
}

func (h *Host) controllers() string {
	var names []string
	for name := range h.cfg.Controllers {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func splitCongestion(s string) (name, opts string) {
	name, opts, _ = strings.Cut(s, ":")
	return name, opts
}

type constRand struct{}

func (constRand) Uint64() uint64 { return 1 }

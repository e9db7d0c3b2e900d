package kernel

import (
	"fmt"
	"math"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/sluicenet/sluice/api"
	"golang.org/x/sys/unix"
)

// merge returns the options of a flow: those of cfg, and where they are zero
// the defaults.
func merge(defaults api.FlowConfig, cfg *api.FlowConfig) api.FlowConfig {
	if cfg == nil {
		return defaults
	}
	c := *cfg
	fill(&c.SendBuffer, defaults.SendBuffer)
	fill(&c.ReceiveBuffer, defaults.ReceiveBuffer)
	fill(&c.UserTimeout, defaults.UserTimeout)
	fill(&c.TTL, defaults.TTL)
	fill(&c.DSCP, defaults.DSCP)
	fill(&c.MSS, defaults.MSS)
	fill(&c.Local, defaults.Local)
	fill(&c.Congestion, defaults.Congestion)
	c.NoDelay = c.NoDelay || defaults.NoDelay
	if c.Keepalive == nil {
		c.Keepalive = defaults.Keepalive
	}
	if c.Notify == nil {
		c.Notify = defaults.Notify
	}
	return c
}

func fill[T comparable](v *T, byDefault T) {
	var zero T
	if *v == zero {
		*v = byDefault
	}
}

// invalid makes an error that matches ErrInvalidConfig and says what is wrong.
func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{api.ErrInvalidConfig}, args...)...)
}

// validate checks what the kernel would not, or would with less to say.
func validate(c *api.FlowConfig) error {
	switch {
	case c.SendBuffer < 0 || c.SendBuffer > math.MaxInt32:
		return invalid("send buffer of %d bytes", c.SendBuffer)
	case c.ReceiveBuffer < 0 || c.ReceiveBuffer > math.MaxInt32:
		return invalid("receive buffer of %d bytes", c.ReceiveBuffer)
	case c.UserTimeout < 0 || c.UserTimeout > math.MaxInt32*time.Millisecond:
		return invalid("user timeout of %v", c.UserTimeout)
	case c.DSCP > 63:
		return invalid("DSCP %d is not below 64", c.DSCP)
	case strings.ContainsRune(c.Congestion, ':'):
		return invalid("the kernel's controllers take no options: %q", c.Congestion)
	case len(c.Congestion) >= 16: // TCP_CA_NAME_MAX
		return invalid("the kernel has no controller %q", c.Congestion)
	}
	_, err := keepaliveOf(c.Keepalive)
	return err
}

// keepaliveOf returns the kernel's form of k, or nil if k is.
func keepaliveOf(k api.Keepalive) (*api.KeepaliveConfig, error) {
	var c api.KeepaliveConfig
	switch k := k.(type) {
	case nil:
		return nil, nil
	case api.KeepaliveConfig:
		c = k
	case *api.KeepaliveConfig:
		if k == nil {
			return nil, nil
		}
		c = *k
	default:
		return nil, invalid("the kernel takes no Keepalive but a KeepaliveConfig, not a %T", k)
	}
	// The defaults of api.KeepaliveConfig.
	if c.After <= 0 {
		c.After = 2 * time.Hour
	}
	if c.Interval <= 0 {
		c.Interval = 75 * time.Second
	}
	if c.Probes <= 0 {
		c.Probes = 9
	}
	const maxTime, maxProbes = 32767 * time.Second, 127
	if c.After > maxTime || c.Interval > maxTime || c.Probes > maxProbes {
		return nil, invalid("the kernel's keepalive goes no further than %v and %d probes", maxTime, maxProbes)
	}
	return &c, nil
}

// apply sets the options of fd, a socket of the given family, to those of c that
// differ from old.
func (s *Stack) apply(fd int, ipv6 bool, old, c *api.FlowConfig) error {
	set := func(what string, level, opt, value int) error {
		if err := unix.SetsockoptInt(fd, level, opt, value); err != nil {
			return invalid("%s %d: %v", what, value, err)
		}
		return nil
	}
	if c.Congestion != old.Congestion && c.Congestion != "" {
		if err := unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, c.Congestion); err != nil {
			return invalid("congestion controller %q: %v", c.Congestion, err)
		}
	}
	if c.MSS != old.MSS {
		if err := set("MSS", unix.IPPROTO_TCP, unix.TCP_MAXSEG, int(c.MSS)); err != nil {
			return err
		}
	}
	if c.NoDelay != old.NoDelay {
		if err := set("NoDelay", unix.IPPROTO_TCP, unix.TCP_NODELAY, boolInt(c.NoDelay)); err != nil {
			return err
		}
	}
	if c.UserTimeout != old.UserTimeout {
		ms := (c.UserTimeout + time.Millisecond - 1) / time.Millisecond
		if err := set("user timeout", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(ms)); err != nil {
			return err
		}
	}
	if c.TTL != old.TTL {
		ttl := int(c.TTL)
		if ttl == 0 {
			ttl = -1 // the system's default
		}
		if ipv6 {
			if err := set("TTL", unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, ttl); err != nil {
				return err
			}
		}
		// An IPv6 socket may carry IPv4.
		if err := set("TTL", unix.IPPROTO_IP, unix.IP_TTL, ttl); err != nil {
			return err
		}
	}
	if c.DSCP != old.DSCP {
		if ipv6 {
			if err := set("DSCP", unix.IPPROTO_IPV6, unix.IPV6_TCLASS, int(c.DSCP)<<2); err != nil {
				return err
			}
		}
		if err := set("DSCP", unix.IPPROTO_IP, unix.IP_TOS, int(c.DSCP)<<2); err != nil {
			return err
		}
	}
	if c.SendBuffer != old.SendBuffer {
		if err := setBuffer(fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, c.SendBuffer, s.sendDefault); err != nil {
			return err
		}
	}
	if c.ReceiveBuffer != old.ReceiveBuffer {
		if err := setBuffer(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, c.ReceiveBuffer, s.receiveDefault); err != nil {
			return err
		}
	}
	return applyKeepalive(set, old.Keepalive, c.Keepalive)
}

// setBuffer limits a queue to n bytes of memory. The kernel doubles what it is
// given, for its overhead, and counts that.
func setBuffer(fd, force, plain int, n, byDefault int64) error {
	if n == 0 {
		n = byDefault
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, int(n/2)) == nil {
		return nil
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, plain, int(n/2)); err != nil {
		return invalid("buffer of %d bytes: %v", n, err)
	}
	return nil
}

func applyKeepalive(set func(string, int, int, int) error, was, is api.Keepalive) error {
	old, _ := keepaliveOf(was)
	k, err := keepaliveOf(is)
	if err != nil {
		return err
	}
	if k == nil {
		if old == nil {
			return nil
		}
		return set("keepalive", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 0)
	}
	if old != nil && *old == *k {
		return nil
	}
	for _, o := range []struct {
		what       string
		opt, value int
	}{
		{"keepalive time", unix.TCP_KEEPIDLE, seconds(k.After)},
		{"keepalive interval", unix.TCP_KEEPINTVL, seconds(k.Interval)},
		{"keepalive probes", unix.TCP_KEEPCNT, k.Probes},
	} {
		if err := set(o.what, unix.IPPROTO_TCP, o.opt, o.value); err != nil {
			return err
		}
	}
	return set("keepalive", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
}

func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// defaultBuffer reads the middle one of the three numbers of a sysctl.
func defaultBuffer(sysctl string, otherwise int64) int64 {
	b, err := os.ReadFile("/proc/sys/net/ipv4/" + sysctl)
	if err != nil {
		return otherwise
	}
	if f := strings.Fields(string(b)); len(f) == 3 {
		if n, err := strconv.ParseInt(f[1], 10, 64); err == nil {
			return n
		}
	}
	return otherwise
}

// inForce returns the options of fd as they are, given those that were asked
// for.
func inForce(fd int, ipv6 bool, c api.FlowConfig) api.FlowConfig {
	get := func(level, opt int) int {
		v, err := unix.GetsockoptInt(fd, level, opt)
		if err != nil {
			return 0
		}
		return v
	}
	c.SendBuffer = int64(get(unix.SOL_SOCKET, unix.SO_SNDBUF))
	c.ReceiveBuffer = int64(get(unix.SOL_SOCKET, unix.SO_RCVBUF))
	if ipv6 {
		c.TTL = uint8(get(unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS))
	} else {
		c.TTL = uint8(get(unix.IPPROTO_IP, unix.IP_TTL))
	}
	if name, err := unix.GetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION); err == nil {
		c.Congestion = name
	}
	return c
}

// sockaddr translates a. Zones are names or numbers of interfaces.
func sockaddr(a netip.AddrPort) (family int, sa unix.Sockaddr, err error) {
	if a.Addr().Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}, nil
	}
	zone, err := zoneID(a.Addr().Zone())
	return unix.AF_INET6, &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port()), ZoneId: zone}, err
}

func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		ip := netip.AddrFrom16(sa.Addr).Unmap()
		if sa.ZoneId != 0 && ip.Is6() {
			ip = ip.WithZone(zoneName(sa.ZoneId))
		}
		return netip.AddrPortFrom(ip, uint16(sa.Port))
	}
	return netip.AddrPort{}
}

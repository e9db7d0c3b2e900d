package netconn

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/sluicenet/sluice/api"
)

// A Dialer opens connections through a stack. Its DialContext serves as that of
// an http.Transport, and its Dial as golang.org/x/net/proxy's.
type Dialer struct {
	// Stack is the stack to dial through.
	Stack api.Stack

	// Config has the options of the flows; nil means the stack's defaults.
	Config *api.FlowConfig

	// Resolver translates names. If it is nil only IP literals can be dialled:
	// names do not leak to the host's resolver unless that is asked for, by
	// net.DefaultResolver.
	Resolver *net.Resolver
}

// Dial is DialContext without a context.
func (d *Dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialContext connects to address, "host:port", over "tcp", "tcp4" or "tcp6".
// Of a name with several addresses it tries one after another, sharing out the
// time left in ctx, and returns the first error if none answers. Errors
// are *net.OpError; the conn is a *Conn.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	fail := func(dst netip.AddrPort, err error) (net.Conn, error) {
		op := &net.OpError{Op: "dial", Net: network, Addr: addrOf(dst), Err: strip(err)}
		if d.Config != nil {
			op.Source = addrOf(d.Config.Local)
		}
		return nil, op
	}
	// A stack may succeed, if it need not wait, although ctx has ended; a
	// dialer of package net does not.
	if ctx.Err() != nil {
		return fail(netip.AddrPort{}, context.Cause(ctx))
	}
	dsts, err := d.resolve(ctx, network, address)
	if err != nil {
		return fail(netip.AddrPort{}, err)
	}
	var first error
	var firstDst netip.AddrPort
	for i, dst := range dsts {
		attempt, cancel := shareOut(ctx, len(dsts)-i)
		f, err := d.Stack.Dial(attempt, dst, d.Config)
		cancel()
		if err == nil {
			return New(f), nil
		}
		if first == nil {
			first, firstDst = err, dst
		}
		if ctx.Err() != nil {
			break
		}
	}
	return fail(firstDst, first)
}

// shareOut returns a context for the first of n attempts within ctx: an equal
// share of the time left, but not under two seconds if so much is left.
func shareOut(ctx context.Context, n int) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok || n == 1 {
		return ctx, func() {}
	}
	left := time.Until(deadline)
	return context.WithTimeout(ctx, max(left/time.Duration(n), min(left, 2*time.Second)))
}

// resolve returns the endpoints that address stands for, at least one.
func (d *Dialer) resolve(ctx context.Context, network, address string) ([]netip.AddrPort, error) {
	var wanted func(netip.Addr) bool
	var ipNetwork string
	switch network {
	case "tcp":
		ipNetwork, wanted = "ip", func(netip.Addr) bool { return true }
	case "tcp4":
		ipNetwork, wanted = "ip4", netip.Addr.Is4
	case "tcp6":
		ipNetwork, wanted = "ip6", netip.Addr.Is6
	default:
		return nil, net.UnknownNetworkError(network)
	}
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if host == "" {
		return nil, &net.AddrError{Err: "missing host in address", Addr: address}
	}
	resolver := d.Resolver
	if resolver == nil {
		resolver = net.DefaultResolver // for service names alone: a table
	}
	port, err := resolver.LookupPort(ctx, network, service)
	if err != nil {
		return nil, err
	}
	ip, err := netip.ParseAddr(host)
	ips := []netip.Addr{ip}
	if err != nil {
		if d.Resolver == nil {
			return nil, &net.AddrError{Err: "not an IP address, and the dialer has no resolver", Addr: host}
		}
		if ips, err = d.Resolver.LookupNetIP(ctx, ipNetwork, host); err != nil {
			return nil, err
		}
	}
	var dsts []netip.AddrPort
	for _, ip := range ips {
		if ip = ip.Unmap(); wanted(ip) {
			dsts = append(dsts, netip.AddrPortFrom(ip, uint16(port)))
		}
	}
	if len(dsts) == 0 {
		return nil, &net.AddrError{Err: "no suitable address found", Addr: host}
	}
	return dsts, nil
}

package main

import (
	"context"
	"net"
	"net/netip"
	"runtime"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/api/netconn"
	"github.com/sluicenet/sluice/impl/cubic"
	"github.com/sluicenet/sluice/impl/engine"
	"github.com/sluicenet/sluice/impl/engine/tcp"
	"github.com/sluicenet/sluice/link/gso"
	"github.com/sluicenet/sluice/link/pipe"
	"github.com/sluicenet/sluice/link/tun"
	"github.com/sluicenet/sluice/link/tun/setup"
)

var (
	clientNet = netip.MustParsePrefix("10.77.0.1/16")
	serverNet = netip.MustParsePrefix("10.77.0.2/16")
)

// Both userspace stacks get buffers of the same size.
const (
	sendBuffer    = 6 << 20
	receiveBuffer = 8 << 20
)

// A memLink is a link between two stacks of this process.
type memLink struct {
	mtu      int
	gso      bool // super-packets, and nobody computes checksums
	software bool // plain packets with checksums cross, but the stacks see super-packets
}

// newEngine makes a stack of ours. It uses what its users would, but for the
// buffers, which are gVisor's.
func newEngine(l link.Link, address netip.Prefix, edit func(*engine.Config)) (*engine.Stack, error) {
	cfg := engine.Config{
		Link:        l,
		Addresses:   []netip.Prefix{address},
		Controllers: []cc.Factory{cubic.Factory},
		Flow:        api.FlowConfig{SendBuffer: sendBuffer, ReceiveBuffer: receiveBuffer},
		// A second, as what the peers do when the pair of addresses is wanted
		// again; 100 flows with full buffers have to fit.
		Params: tcp.Params{TimeWait: time.Second, Autotune: true},
		Limits: engine.Limits{Memory: 4 << 30, Flows: 4 << 20},
	}
	if edit != nil {
		edit(&cfg)
	}
	return engine.New(cfg)
}

// sluiceNetwork is one or two stacks of ours.
type sluiceNetwork struct {
	client, server *engine.Stack
	flows          bool
	kernelNetwork  // the server, if that is the kernel
}

func newSluicePair(l memLink, flows bool) (network, error) {
	cfg := pipe.Config{MTU: l.mtu, Unvouched: true}
	if l.gso {
		cfg = pipe.Config{MTU: l.mtu, MaxGSO: 65535, TxChecksum: true}
	}
	a, b := pipe.New(cfg)
	n := &sluiceNetwork{flows: flows}
	var client, server link.Link = a, b
	if l.software {
		client, server = gso.Wrap(a), gso.Wrap(b)
	}
	var err error
	if n.client, err = newEngine(client, clientNet, nil); err != nil {
		return nil, err
	}
	if n.server, err = newEngine(server, serverNet, nil); err != nil {
		return nil, err
	}
	return n, nil
}

// newSluiceTun is a client of ours and a server of the kernel's, joined by a TUN
// device, which has a queue for each CPU.
func newSluiceTun(offload, flows bool) (network, error) {
	if err := tunePeer(); err != nil {
		return nil, err
	}
	mode := tun.OffloadOff
	if offload {
		mode = tun.OffloadOn
	}
	l, err := tun.Open(tun.Config{Name: "bench0", Offload: mode, Queues: runtime.NumCPU()})
	if err != nil {
		return nil, err
	}
	if err := setup.Configure("bench0", 1500, serverNet); err != nil {
		return nil, err
	}
	if err := setQueueLength("bench0", tunQueue); err != nil {
		return nil, err
	}
	n := &sluiceNetwork{flows: flows}
	if n.client, err = newEngine(l, clientNet, nil); err != nil {
		return nil, err
	}
	return n, nil
}

func (n *sluiceNetwork) dial(ctx context.Context, port int) (net.Conn, error) {
	f, err := n.client.Dial(ctx, netip.AddrPortFrom(serverNet.Addr(), uint16(port)), nil)
	if err != nil {
		return nil, err
	}
	return netconn.New(f), nil
}

func (n *sluiceNetwork) listen(port int) (net.Listener, error) {
	if n.server == nil {
		return n.kernelNetwork.listen(port)
	}
	return netconn.Listen(n.server, uint16(port), nil)
}

func (n *sluiceNetwork) raw() bool { return n.flows }

func (n *sluiceNetwork) retransmits() int64 {
	r := n.client.Info().Retransmits
	if n.server != nil {
		r += n.server.Info().Retransmits
	}
	return int64(r)
}

package tun

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/impl/cubic"
	"github.com/sluicenet/sluice/impl/engine"
	"github.com/sluicenet/sluice/link/internal/tuntap"
)

// A packet that comes alone costs two reads: the one that gets it and the one that
// finds nothing more. The reader then waits.
func TestReadsOfLonePackets(t *testing.T) {
	namespace(t)
	p := open(t, Config{})
	p.up()
	c, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(ours4, 9)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const packets = 100
	before, seen := tuntap.Reads(p.link), p.link.Stats().PacketsIn
	for range packets {
		if _, err := c.Write([]byte("alone")); err != nil {
			t.Fatal(err)
		}
		p.expect(layers.LayerTypeUDP)
	}
	// What else the kernel sends meanwhile costs as much, and so does the look that
	// a reader takes when it has just begun, and every two seconds.
	others := p.link.Stats().PacketsIn - seen - packets
	if n := tuntap.Reads(p.link) - before; n < packets || n > 2*(packets+others)+10 {
		t.Errorf("%d reads for %d packets and %d others", n, packets, others)
	}
}

// A stack that has flows, but nothing to do, does not read.
func TestIdleReads(t *testing.T) {
	namespace(t)
	const several = 2
	p := open(t, Config{Name: "idle0", Queues: several, Offload: OffloadOn})
	p.configure()
	s, err := engine.New(engine.Config{
		Link:        p.link,
		Addresses:   []netip.Prefix{netip.PrefixFrom(ours4, 24)},
		Controllers: []cc.Factory{cubic.Factory},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	defer s.Disconnect(ctx)
	if _, err := s.Listen(7, nil, func(ctx context.Context, f api.Flow) { f.Read(ctx); f.Abort() }); err != nil {
		t.Fatal(err)
	}
	c, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(netip.AddrPortFrom(ours4, 7)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	reads := func() (reads, packets uint64) { return tuntap.Reads(p.link), p.link.Stats().PacketsIn }
	readsBefore, packetsBefore := reads()
	start := time.Now()
	time.Sleep(3 * time.Second)
	// Every two seconds each queue looks whether its device is still there. Packets of
	// the kernel's (solicitations of routers) cost two reads each.
	looks := several * uint64(2+time.Since(start)/(2*time.Second))
	readsAfter, packetsAfter := reads()
	if n, allowed := readsAfter-readsBefore, looks+2*(packetsAfter-packetsBefore)+2; n > allowed {
		t.Errorf("%d reads while nothing happened, %d allowed", n, allowed)
	}
}

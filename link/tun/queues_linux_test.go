package tun

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/api/netconn"
	"github.com/sluicenet/sluice/impl/cubic"
	"github.com/sluicenet/sluice/impl/engine"
	"github.com/sluicenet/sluice/link/internal/tuntap"
)

const queues = 4

// Many flows of the kernel spread over the queues, in both directions, and all
// bytes arrive.
func TestQueues(t *testing.T) {
	namespace(t)
	p := open(t, Config{Name: "mq0", Queues: queues, Offload: OffloadOn})
	p.configure()
	s, err := engine.New(engine.Config{
		Link:        p.link,
		Addresses:   []netip.Prefix{netip.PrefixFrom(ours4, 24), netip.PrefixFrom(ours6, 64)},
		Controllers: []cc.Factory{cubic.Factory},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	defer s.Disconnect(ctx)
	if _, err := s.Listen(7, nil, func(ctx context.Context, f api.Flow) {
		c := netconn.New(f)
		defer c.Close()
		io.Copy(c, c)
	}); err != nil {
		t.Fatal(err)
	}
	const flows, size = 48, 256 << 10
	// A thread that is in the namespace opens the sockets; any may use them.
	conns := make([]*net.TCPConn, flows)
	for i := range conns {
		dst := ours4
		if i%2 == 1 {
			dst = ours6
		}
		c, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(netip.AddrPortFrom(dst, 7)))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		conns[i] = c
	}
	var wg sync.WaitGroup
	for i, c := range conns {
		data := make([]byte, size)
		for j := range data {
			data[j] = byte(j*7 ^ i ^ j>>9)
		}
		wg.Go(func() {
			c.Write(data)
			c.CloseWrite()
		})
		wg.Go(func() {
			h := sha256.New()
			if _, err := io.Copy(h, c); err != nil || [32]byte(h.Sum(nil)) != sha256.Sum256(data) {
				t.Errorf("flow %d: other bytes came back: %v", i, err)
			}
		})
	}
	wg.Wait()
	in, out := tuntap.QueuePackets(p.link)
	if len(in) != queues || slices.Min(in) == 0 || slices.Min(out) == 0 {
		t.Errorf("packets in %v and out %v", in, out)
	}
	if st := p.link.Stats(); st.DropsIn != 0 || st.Errors != 0 {
		t.Errorf("stats %+v", st)
	}
}

// Within a flow packets stay in order, both ways.
func TestQueuesOrder(t *testing.T) {
	namespace(t)
	p := open(t, Config{Queues: queues})
	p.configure()
	const flows, each = 16, 20 // fits into any queue on the way
	var mu sync.Mutex
	next := make([]uint32, flows) // by source port of the kernel's
	count := 0
	if err := p.link.Attach(func(batch []link.Packet) {
		mu.Lock()
		defer mu.Unlock()
		for i := range batch {
			udp, ok := decode(batch[i].AppendTo(nil)).Layer(layers.LayerTypeUDP).(*layers.UDP)
			batch[i].Release()
			if !ok || udp.DstPort != 9 {
				continue
			}
			flow, seq := udp.Payload[0], binary.BigEndian.Uint32(udp.Payload[1:])
			if seq < next[flow] {
				t.Errorf("flow %d: %d after %d", flow, seq, next[flow]-1)
			}
			next[flow] = seq + 1
			count++
		}
	}); err != nil {
		t.Fatal(err)
	}
	conns := make([]*net.UDPConn, flows)
	for i := range conns {
		c, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(ours4, 9)))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns[i] = c
	}
	var wg sync.WaitGroup
	for i, c := range conns {
		wg.Go(func() {
			for seq := range uint32(each) {
				c.Write(binary.BigEndian.AppendUint32([]byte{byte(i)}, seq))
			}
		})
	}
	wg.Wait()
	for start := time.Now(); time.Since(start) < patience; time.Sleep(time.Millisecond) {
		mu.Lock()
		n := slices.Min(next)
		mu.Unlock()
		if n == each {
			break
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if slices.Min(next) != each {
		t.Errorf("%d packets of %d arrived; the last of each flow: %v", count, flows*each, next)
	}
	// And ours: several senders at once, each in batches of mixed flows.
	listen, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(kernel4.Addr(), 5)))
	if err != nil {
		t.Fatal(err)
	}
	defer listen.Close()
	listen.SetReadBuffer(4 << 20)
	for range 4 {
		wg.Add(1)
	}
	for sender := range 4 {
		go func() {
			defer wg.Done()
			for seq := range uint32(each) {
				var batch []link.Packet
				for f := range 4 {
					flow := sender*4 + f
					b := p.build(false, true, &layers.UDP{SrcPort: layers.UDPPort(1000 + flow), DstPort: 5}, binary.BigEndian.AppendUint32([]byte{byte(flow)}, seq))
					batch = append(batch, link.Packet{Header: b})
				}
				if err := p.link.Send(batch); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	wg.Wait()
	clear(next)
	listen.SetReadDeadline(time.Now().Add(patience))
	buf := make([]byte, 100)
	for got := 0; slices.Min(next) < each; got++ {
		if _, err := io.ReadFull(listen, buf[:5]); err != nil {
			t.Fatalf("after %d packets: %v; the last of each flow: %v", got, err, next)
		}
		flow, seq := buf[0], binary.BigEndian.Uint32(buf[1:])
		if seq != next[flow] {
			t.Fatalf("flow %d: %d, want %d", flow, seq, next[flow])
		}
		next[flow]++
	}
	_, out := tuntap.QueuePackets(p.link)
	if slices.Min(out) == 0 {
		t.Errorf("packets out %v", out)
	}
}

func TestQueuesRefused(t *testing.T) {
	namespace(t)
	open(t, Config{Name: "one0"}) // made for one queue
	for _, cfg := range []Config{{Queues: -1}, {Queues: 257}, {HasFD: true, FD: 3, Queues: 2}, {Name: "one0", Queues: 2}} {
		if l, err := Open(cfg); err == nil {
			l.Close()
			t.Errorf("%+v was accepted", cfg)
		}
	}
}

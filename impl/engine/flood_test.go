package engine_test

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/impl/engine"
	"github.com/sluicenet/sluice/link/pipe"
)

// TestSynFlood sends 100,000 SYNs that are never completed. What they make the
// stack hold is bounded while they come, and gone some minutes later; a peer
// that tries as often as TCP does gets through.
func TestSynFlood(t *testing.T) {
	const syns, halfOpen, backlog = 100_000, 512, 256
	virtually(t, func(v *clock.Virtual) {
		ours, theirs := pipe.New(pipe.Config{})
		s, err := engine.New(engine.Config{
			Link: ours, Clock: v, Addresses: []netip.Prefix{addrB4}, Seed: 1,
			Controllers: []cc.Factory{controllers["reno"]},
			Limits:      engine.Limits{HalfOpen: halfOpen},
		})
		if err != nil {
			t.Fatal(err)
		}
		accepted := 0
		if _, err := s.Listen(80, &api.ListenConfig{HalfOpen: backlog}, func(_ context.Context, f api.Flow) {
			accepted++
			f.Abort()
		}); err != nil {
			t.Fatal(err)
		}
		answers := 0
		var good *layers.TCP // the SYN-ACK to the good client
		if err := theirs.Attach(func(batch []link.Packet) {
			for i := range batch {
				answers++
				p := gopacket.NewPacket(batch[i].AppendTo(nil), layers.LayerTypeIPv4, gopacket.Default)
				if tcp, _ := p.Layer(layers.LayerTypeTCP).(*layers.TCP); tcp != nil && tcp.DstPort == 7777 && tcp.SYN {
					good = tcp
				}
				batch[i].Release()
			}
		}); err != nil {
			t.Fatal(err)
		}
		send := func(src net.IP, tcp *layers.TCP) {
			ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: src, DstIP: addrB4.Addr().AsSlice()}
			tcp.SetNetworkLayerForChecksum(ip)
			b := gopacket.NewSerializeBuffer()
			if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ip, tcp); err != nil {
				t.Fatal(err)
			}
			if err := theirs.Send([]link.Packet{{Payload: []api.Buffer{*api.CopyBuffer(b.Bytes())}}}); err != nil {
				t.Fatal(err)
			}
		}
		before := heap()
		ctx := context.Background()
		for i := range syns {
			send(net.IP{10, 1, byte(i >> 8 & 0x7f), byte(i)}.To4(), &layers.TCP{
				SrcPort: layers.TCPPort(1024 + i>>15), DstPort: 80, Seq: uint32(i) * 7919, SYN: true, Window: 65535})
			if i%1000 == 999 {
				clock.Sleep(ctx, v, 10*time.Millisecond)
			}
		}
		info := s.Info()
		held := heap() - before
		t.Logf("%d half-open, %d answers, %d KiB held, %d dropped", info.HalfOpen, answers, held>>10, info.Drops[api.DropSynQueue])
		if info.HalfOpen > backlog {
			t.Errorf("%d half-open connections, more than the listener's %d", info.HalfOpen, backlog)
		}
		if most := int64(4 << 20); held > most {
			t.Errorf("%d bytes held, want at most %d", held, most)
		}

		for try := 0; try < 8 && good == nil; try++ {
			send(net.IP{10, 1, 0, 99}, &layers.TCP{SrcPort: 7777, DstPort: 80, Seq: 5, SYN: true, Window: 65535})
			clock.Sleep(ctx, v, time.Second<<try)
		}
		if good == nil {
			t.Error("a good client got no answer")
		} else {
			send(net.IP{10, 1, 0, 99}, &layers.TCP{SrcPort: 7777, DstPort: 80, Seq: 6, Ack: good.Seq + 1, ACK: true, Window: 65535})
			clock.Sleep(ctx, v, time.Second)
			if accepted != 1 {
				t.Errorf("%d flows accepted, want the good client's", accepted)
			}
		}
		clock.Sleep(ctx, v, 10*time.Minute)
		if n := s.Info().HalfOpen; n != 0 {
			t.Errorf("%d half-open connections after 10 minutes", n)
		}
		if held := heap() - before; held > 2<<20 {
			t.Errorf("%d bytes held after the flood is over", held)
		}
		s.Disconnect(ctx)
		theirs.Close()
	})
}

package neigh

import (
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// timeline lets time go by in small steps and returns when a frame of the family
// was sent.
func (s *script) timeline(d time.Duration, v6 bool) (at []clock.Time) {
	s.Helper()
	for end := s.now.Add(d); s.now < end; {
		s.advance(10 * time.Millisecond)
		for len(s.sent) > 0 {
			p := s.next("a frame")
			if (p.Layer(layers.LayerTypeIPv6) != nil) == v6 {
				at = append(at, s.now)
			}
		}
	}
	return at
}

// RFC 5227, section 2.1 and 2.3: three probes, a second or two apart, two seconds
// of waiting, two announcements.
func TestDetection4(t *testing.T) {
	s := begin(t, true)
	s.send(peer4, 10)
	s.arp(layers.ARPRequest, peerHW, peer4, our4)
	s.quiet("the address is not ours yet")
	s.wantDrops(api.DropUnresolved, 1)
	at := s.timeline(20*time.Second, false)
	if len(at) != 5 {
		t.Fatalf("frames at %v", at)
	}
	limits := [][2]time.Duration{{0, probeWait}, {probeMin, probeMax}, {probeMin, probeMax}, {announceWait, announceWait}, {announceInterval, announceInterval}}
	last := clock.Time(0)
	for i, l := range limits {
		if d := at[i].Sub(last); d < l[0]-10*time.Millisecond || d > l[1]+10*time.Millisecond {
			t.Errorf("frame %d after %v, want %v", i, d, l)
		}
		last = at[i]
	}

	s = begin(t, true)
	s.advance(probeWait)
	for len(s.sent) > 0 && s.sent[0].Layer(layers.LayerTypeARP) == nil {
		s.next("of the other family")
	}
	s.wantARP("a probe has no sender", wire.EthernetBroadcast, layers.ARPRequest, zero4, our4)
	s.sent = nil
	s.advance(7 * time.Second)
	for len(s.sent) > 1 {
		s.next("")
	}
	s.wantARP("an announcement", wire.EthernetBroadcast, layers.ARPRequest, our4, our4)
	s.advance(time.Minute)
	s.sent = nil
	s.resolve(peer4, peerHW)
}

// RFC 4862, section 5.4.2: one solicitation without a source, one second of
// waiting.
func TestDetection6(t *testing.T) {
	s := begin(t, true)
	for len(s.sent) == 0 || s.sent[0].Layer(layers.LayerTypeIPv6) == nil {
		s.sent = nil
		s.advance(time.Millisecond)
	}
	s.wantSolicit("detection", groupAddr(solicitedNode(our6)), zero6, solicitedNode(our6), our6)
	s.ndp(layers.ICMPv6TypeNeighborSolicitation, peerHW, peer6, solicitedNode(our6), our6, 0, 255)
	s.raw(append(append(append([]byte{}, ourHW[:]...), peerHW[:]...), append([]byte{0x86, 0xdd}, packet(peer6, our6, 10)...)...))
	if len(s.up) > 0 {
		t.Error("a packet to a tentative address got to the host")
	}
	for len(s.sent) > 0 {
		if p := s.next(""); p.Layer(layers.LayerTypeIPv6) != nil {
			t.Errorf("a tentative address spoke: %v", p)
		}
	}
	s.advance(time.Second)
	for len(s.sent) > 0 && s.sent[0].Layer(layers.LayerTypeIPv6) == nil {
		s.next("of the other family")
	}
	s.wantAdvert("announced", groupAddr(allNodes), allNodes, our6, 0x20)
	s.advance(time.Minute)
	s.sent = nil
	s.resolve(peer6, peerHW)
}

// Every sign that another has the address while we only ask for it.
func TestConflictBefore(t *testing.T) {
	for _, tt := range []struct {
		name string
		v6   bool
		sign func(s *script)
	}{
		{"reply", false, func(s *script) { s.arp(layers.ARPReply, other, our4, zero4) }},
		{"request", false, func(s *script) { s.arp(layers.ARPRequest, other, our4, peer4) }},
		{"probe", false, func(s *script) { s.arp(layers.ARPRequest, other, zero4, our4) }},
		{"advertisement", true, func(s *script) {
			s.ndp(layers.ICMPv6TypeNeighborAdvertisement, other, our6, allNodes, our6, 0x20, 255)
		}},
		{"detection", true, func(s *script) {
			s.ndp(layers.ICMPv6TypeNeighborSolicitation, wire.HardwareAddr{}, zero6, solicitedNode(our6), our6, 0, 255)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := begin(t, true)
			s.advance(500 * time.Millisecond)
			tt.sign(s)
			addr, peer := our4, peer4
			if tt.v6 {
				addr, peer = our6, peer6
			}
			if len(s.lost) != 1 || s.lost[0].Addr != addr || !s.lost[0].Lost || s.m.Stats().Conflicts != 1 {
				t.Fatalf("conflicts %+v", s.lost)
			}
			s.sent = nil
			if at := s.timeline(59*time.Second, tt.v6); len(at) != 0 {
				t.Errorf("we spoke at %v", at)
			}
			s.send(peer, 10)
			s.quiet("an address that is another's is not used")
			// The other has gone.
			s.advance(30 * time.Second)
			s.sent = nil
			s.resolve(peer, peerHW)
			if len(s.lost) != 1 {
				t.Errorf("conflicts %+v", s.lost)
			}
		})
	}
}

// Later we keep it and say so, but not in answer to each frame: two stations that
// both insist must not flood the network.
func TestConflictAfter(t *testing.T) {
	s := begin(t, false)
	s.advance(time.Minute)
	for range 1000 {
		s.arp(layers.ARPReply, other, our4, our4)
		s.ndp(layers.ICMPv6TypeNeighborAdvertisement, other, our6, allNodes, our6, 0x20, 255)
		s.advance(25 * time.Millisecond)
	}
	for range 3 { // in 25 s
		s.wantARP("defence", wire.EthernetBroadcast, layers.ARPRequest, our4, our4)
		s.wantAdvert("defence", groupAddr(allNodes), allNodes, our6, 0x20)
	}
	s.quiet("once in ten seconds")
	if len(s.lost) != 6 || s.lost[0].Lost || s.m.Stats().Conflicts != 2000 || s.m.Stats().Neighbours != 0 {
		t.Errorf("conflicts %+v %+v", s.lost, s.m.Stats())
	}
	s.resolve(peer4, peerHW)
	s.resolve(peer6, peerHW)
}

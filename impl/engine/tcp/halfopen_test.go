package tcp

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
	"unsafe"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// A half-open record is what a flood of SYNs makes a host hold (S01).
func TestHalfOpenSize(t *testing.T) {
	if n := unsafe.Sizeof(HalfOpen{}); n > 56 {
		t.Errorf("%d bytes", n)
	}
}

// TestHalfOpenIsConn drives a HalfOpen and a Conn in SYN-RECEIVED with the same
// segments and timers, which were chosen to be nearly right. Both must send the
// same, count the same, and come to the same end.
func TestHalfOpenIsConn(t *testing.T) {
	ends := map[string]int{}
	for seed := range uint64(3000) {
		ends[compareHalfOpen(t, rand.New(rand.NewPCG(seed, 1)))]++
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Log(ends)
	for _, e := range []string{"open", "forgotten", "timeout"} {
		if ends[e] < 100 {
			t.Errorf("%d of 3000 ended as %q", ends[e], e)
		}
	}
}

func compareHalfOpen(t *testing.T, rng *rand.Rand) string {
	yes := func() bool { return rng.IntN(2) == 0 }
	now := clock.Time(rng.Int64N(int64(time.Hour)))
	var counts [2]Counters
	cfg := Config{
		Params: &Params{NoSACK: rng.IntN(4) == 0, NoTimestamps: rng.IntN(4) == 0, NoWindowScale: rng.IntN(4) == 0, ECN: ECNPolicy(rng.IntN(3)), Like: &Emulation{SynAckRetries: rng.IntN(9)}},
		Local:  netip.MustParseAddrPort("10.0.0.1:80"), Remote: netip.MustParseAddrPort("10.0.0.2:1000"),
		ISS: rng.Uint32(), TSOffset: rng.Uint32(), LinkMTU: 1500, Controller: renoFactory{}, Rand: rng, Counters: &counts[0],
	}
	if yes() {
		cfg.Local, cfg.Remote = netip.MustParseAddrPort("[fd00::1]:80"), netip.MustParseAddrPort("[fd00::2]:1000")
	}
	// Whether beyond the window of the SYN-ACK depends on whether a Conn has opened it
	// since: that is looked at where it cannot.
	wide := 100_000
	if yes() {
		cfg.Flow.ReceiveBuffer = 4096 << rng.IntN(4)
		wide = 400_000
	}
	if rng.IntN(4) == 0 {
		cfg.Flow.UserTimeout = time.Duration(rng.Int64N(int64(90 * time.Second)))
	}
	tsVal := rng.Uint32()
	syn := wire.TCP{Seq: rng.Uint32(), Flags: wire.SYN, Window: uint16(rng.Uint32()), Options: wire.TCPOptions{
		HasMSS: yes(), MSS: uint16(rng.Uint32()), HasWindowScale: yes(), WindowScale: uint8(rng.IntN(20)),
		SACKPermitted: yes(), HasTimestamps: yes(), TSval: tsVal,
	}}
	if yes() {
		syn.Flags |= wire.ECE | wire.CWR
	}
	halfCfg := cfg
	halfCfg.Counters = &counts[1]
	c, err := NewPassive(now, &cfg, &Segment{TCP: syn})
	if err != nil {
		t.Fatal(err)
	}
	r := NewResponder(now, &halfCfg)
	var got, want Out
	half := r.Open(now, cfg.ISS, cfg.TSOffset, cfg.Remote.Addr().Is6(), &syn, &got)
	reply := true
	log := ""
	compare := func(what string) {
		t.Helper()
		log += fmt.Sprintf("%v %s\n", now, what)
		sent := c.Poll(now, &want)
		if sent != reply {
			t.Fatalf("%s: replied %v, the Conn %v (%+v)\n%s", what, reply, sent, want.TCP, log)
		}
		if sent {
			a, b := got.TCP, want.TCP
			a.SrcPort, a.DstPort = b.SrcPort, b.DstPort
			if a.Flags&wire.SYN == 0 {
				a.Window = b.Window // a Conn opens it as far as it can
			}
			b.Options.SACK, b.Options.SACKCount = a.Options.SACK, 0 // of duplicates, before there are data
			if a != b || got.TTL != want.TTL {
				t.Fatalf("%s: sent\n%+v, the Conn\n%+v\n%s", what, a, b, log)
			}
		}
		if c.Poll(now, &want) {
			t.Fatalf("%s: the Conn sends more: %+v\n%s", what, want.TCP, log)
		}
		a, b := counts[0], counts[1]
		a.SegmentsIn, b.SegmentsIn = 0, 0 // the SYN is the host's
		if a != b {
			t.Fatalf("%s: counted\n%+v, the Conn\n%+v\n%s", what, b, a, log)
		}
	}
	compare("SYN")
	near := func(x uint32) uint32 {
		switch rng.IntN(6) {
		case 0:
			return x + uint32(rng.IntN(5)) - 2
		case 1:
			return x + uint32(rng.IntN(wide)) - uint32(wide/2)
		case 2:
			return x + 1<<30 + rng.Uint32()>>1
		}
		return x
	}
	for range 60 {
		if rng.IntN(3) == 0 {
			d := r.Deadline(&half)
			if d != c.Deadline() {
				t.Fatalf("due at %v, the Conn at %v\n%s", d, c.Deadline(), log)
			}
			now = max(now, d)
			c.Timeout(now)
			v := r.Timeout(now, &half, &got)
			reply = v == HalfOpenReply
			compare("timeout")
			if v == HalfOpenForget {
				if !c.Gone() {
					t.Fatalf("forgotten, the Conn is in %v\n%s", c.State(), log)
				}
				return "timeout"
			}
			continue
		}
		now = now.Add(time.Duration(rng.Int64N(int64(time.Second))))
		now = min(now, r.Deadline(&half)) // what is due is done first
		seg := Segment{TCP: wire.TCP{Seq: near(syn.Seq + 1), Ack: near(cfg.ISS + 1), Window: uint16(rng.Uint32()), Options: wire.TCPOptions{
			HasTimestamps: rng.IntN(4) != 0, TSval: tsVal + uint32(rng.IntN(8)) - 2, TSecr: near(half.tsNow(now)),
		}}}
		switch rng.IntN(8) {
		case 0:
			seg.TCP.Flags, seg.TCP.Seq = wire.SYN, near(syn.Seq)
			if yes() {
				seg.TCP.Flags |= wire.ECE | wire.CWR
			}
		case 1:
			seg.TCP.Flags = wire.RST
		case 2:
			seg.TCP.Flags = wire.SYN | wire.ACK
			if yes() {
				seg.TCP.Seq = syn.Seq
			}
		case 3:
			seg.TCP.Flags = wire.Flags(rng.IntN(512))
		default:
			seg.TCP.Flags = wire.ACK
		}
		seg.TCP.Flags &^= wire.URG
		if rng.IntN(3) == 0 {
			data := pattern(1+rng.IntN(1000), 1)
			seg.Payload, seg.Len = []api.Buffer{*api.NewBuffer(data)}, int64(len(data))
		}
		// A Conn acknowledges what it trims, also where it then finds the ACK wrong.
		if begin := int64(int32(seg.TCP.Seq - syn.Seq - 1)); begin < 0 && begin+seg.Len > 0 || begin+seg.Len > int64(r.window) {
			if seg.TCP.Ack = cfg.ISS + 1; seg.TCP.Flags&wire.ACK == 0 {
				continue
			}
		}
		twin := seg
		for i := range twin.Payload {
			twin.Payload = []api.Buffer{*api.NewBuffer(bytes.Clone(seg.Payload[i].Bytes()))}
		}
		what := fmt.Sprintf("%v seq %d ack %d len %d ts %v", seg.TCP.Flags, int32(seg.TCP.Seq-syn.Seq), int32(seg.TCP.Ack-cfg.ISS), seg.Len, seg.TCP.Options.HasTimestamps)
		v := r.Segment(now, &half, &seg, &got)
		c.Segment(now, &twin)
		reply = v == HalfOpenReply
		switch v {
		case HalfOpenAccept:
			if c.State() == api.StateSynReceived || c.Gone() {
				t.Fatalf("accepted, the Conn is in %v\n%s%s", c.State(), log, what)
			}
			d := r.Accept(now, &halfCfg, &half)
			d.Segment(now, &seg)
			a, b := d.Info(now), c.Info(now)
			a.RecvWindow, b.RecvWindow, a.Memory, b.Memory = 0, 0, 0, 0
			// A record does not count what was said in between.
			a.SegmentsSent, b.SegmentsSent, a.SegmentsReceived, b.SegmentsReceived, a.Retransmits, b.Retransmits = 0, 0, 0, 0, 0, 0
			a.DataSegmentsReceived, b.DataSegmentsReceived = 0, 0
			if a != b {
				t.Fatalf("became\n%+v, the Conn\n%+v\n%s%s", a, b, log, what)
			}
			return "open"
		case HalfOpenForget:
			if !c.Gone() {
				t.Fatalf("forgotten, the Conn is in %v\n%s%s", c.State(), log, what)
			}
			reply = false
			compare(what)
			return "forgotten"
		}
		compare(what)
		if c.State() != api.StateSynReceived {
			t.Fatalf("kept, the Conn is in %v\n%s", c.State(), log)
		}
	}
	return "half-open"
}

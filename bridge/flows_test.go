package bridge

import (
	"net"
	"slices"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"pgregory.net/rapid"
)

// segment makes a TCP segment with somebody else's code.
func segment(t testing.TB, v6 bool, seq uint32, n int, syn bool) []byte {
	tcp := &layers.TCP{SrcPort: 1000, DstPort: 80, Seq: seq, SYN: syn, ACK: !syn, Window: 1,
		Options: []layers.TCPOption{{OptionType: layers.TCPOptionKindNop}, {OptionType: layers.TCPOptionKindNop}}}
	var ip gopacket.SerializableLayer
	if v6 {
		h := &layers.IPv6{Version: 6, NextHeader: layers.IPProtocolTCP, HopLimit: 1, SrcIP: net.ParseIP("fd00::1"), DstIP: net.ParseIP("fd00::2")}
		tcp.SetNetworkLayerForChecksum(h)
		ip = h
	} else {
		h := &layers.IPv4{Version: 4, TTL: 1, Protocol: layers.IPProtocolTCP, SrcIP: net.IPv4(10, 0, 0, 1), DstIP: net.IPv4(10, 0, 0, 2)}
		tcp.SetNetworkLayerForChecksum(h)
		ip = h
	}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ip, tcp, gopacket.Payload(make([]byte, n))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRetransmissionsAreSeen(t *testing.T) {
	const isn = 1<<32 - 1001 // wraps on the way
	for _, v6 := range []bool{false, true} {
		table := flowTable{flows: map[flowKey]*flowStat{}}
		at := func(offset uint32, n int) { table.see(segment(t, v6, uint32(isn)+1+offset, n, false)) }
		table.see(segment(t, v6, isn, 0, true))
		table.see(segment(t, v6, isn, 0, true)) // the SYN again: no payload
		at(0, 1000)
		at(1000, 1000)
		at(0, 1000)    // again
		at(1500, 1000) // half of it again
		at(3000, 500)  // 500 bytes have been lost before the bridge
		at(2500, 500)  // and come again: what fills the gap counts as a retransmission, for it is one
		at(3500, 0)    // an acknowledgement
		src := "10.0.0.1:1000"
		if v6 {
			src = "[fd00::1]:1000"
		}
		r := table.report()
		if len(r) != 1 || r[0].Src != src || r[0].Packets != 9 || r[0].Bytes != 5000 || r[0].RetransmittedBytes != 2000 || r[0].RetransmittedShare != .4 {
			t.Errorf("%+v", r)
		}
	}
}

func TestFlowsAreBounded(t *testing.T) {
	table := flowTable{flows: map[flowKey]*flowStat{}}
	b := segment(t, false, 1, 10, false)
	for i := range maxFlows + 5 {
		b[12], b[13] = byte(i>>8), byte(i)
		table.see(b)
	}
	if len(table.report()) != maxFlows || table.untold != 5 {
		t.Errorf("%d flows, %d untold", len(table.flows), table.untold)
	}
}

func FuzzSee(f *testing.F) {
	f.Add(segment(f, false, 1, 10, false))
	f.Add(segment(f, true, 1, 10, true))
	f.Fuzz(func(t *testing.T, b []byte) {
		table := flowTable{flows: map[flowKey]*flowStat{}}
		table.see(b)
		table.see(b)
		for _, r := range table.report() {
			if r.RetransmittedBytes > r.Bytes || r.Bytes > 2*uint64(len(b)) {
				t.Errorf("%x: %+v", b, r)
			}
		}
	})
}

// The quantiles are those of the sorted list, within an eighth.
func TestHistogram(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.SliceOfN(rapid.Int64Range(0, int64(time.Hour)), 1, 200).Draw(t, "v")
		var h histogram
		for _, x := range v {
			h.add(time.Duration(x), 0)
		}
		slices.Sort(v)
		for _, q := range []float64{0, .5, .9, .99, .999} {
			want := time.Duration(v[int(q*float64(len(v)))]).Seconds()
			if got := h.quantile(q); got < want-1e-12 || got > want*1.125+1e-8 {
				t.Fatalf("quantile %v of %v: %v, want %v", q, v, got, want)
			}
		}
		if r := h.report(); r.Packets != uint64(len(v)) || r.Max != time.Duration(v[len(v)-1]).Seconds() {
			t.Fatalf("%+v", r)
		}
	})
	var empty histogram
	if r := empty.report(); r != (Lateness{}) {
		t.Errorf("nothing was late by %+v", r)
	}
}

package bridge

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"
)

// maxFlows bounds the TCP flows that are told apart: what comes may be anything.
const maxFlows = 1000

// flowTable watches TCP go by: how much each flow sends, and how much of it again.
// It judges every sender by the same measure, from outside.
type flowTable struct {
	flows  map[flowKey]*flowStat
	untold uint64
}

type flowKey struct{ src, dst netip.AddrPort }

type flowStat struct {
	packets, bytes, again uint64
	next                  uint32 // the highest sequence number seen, and one
}

// see takes note of a packet.
func (t *flowTable) see(b []byte) {
	var k flowKey
	var tcp []byte
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		n, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
		if b[9] != 6 || n < 20 || total > len(b) || total < n+20 || binary.BigEndian.Uint16(b[6:])&0x3fff != 0 {
			return
		}
		tcp = b[n:total]
		k.src = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[12:])), 0)
		k.dst = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[16:])), 0)
	case len(b) >= 60 && b[0]>>4 == 6:
		total := 40 + int(binary.BigEndian.Uint16(b[4:]))
		if b[6] != 6 || total > len(b) || total < 60 {
			return
		}
		tcp = b[40:total]
		k.src = netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[8:])), 0)
		k.dst = netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[24:])), 0)
	default:
		return
	}
	offset := int(tcp[12]>>4) * 4
	if offset < 20 || offset > len(tcp) {
		return
	}
	k.src = netip.AddrPortFrom(k.src.Addr(), binary.BigEndian.Uint16(tcp))
	k.dst = netip.AddrPortFrom(k.dst.Addr(), binary.BigEndian.Uint16(tcp[2:]))
	seq, payload := binary.BigEndian.Uint32(tcp[4:]), uint32(len(tcp)-offset)
	syn := tcp[13]&2 != 0
	f := t.flows[k]
	if f == nil {
		if len(t.flows) >= maxFlows {
			t.untold++
			return
		}
		f = &flowStat{next: seq}
		t.flows[k] = f
	}
	if syn {
		seq++
		f.next = seq // perhaps a new connection with the old ports
	}
	f.packets++
	f.bytes += uint64(payload)
	end := seq + payload
	if ahead := int32(end - f.next); ahead >= 0 {
		f.again += uint64(payload) - min(uint64(payload), uint64(ahead))
		f.next = end
	} else {
		f.again += uint64(payload)
	}
}

// report returns the flows, those with the most bytes first.
func (t *flowTable) report() []FlowReport {
	r := make([]FlowReport, 0, len(t.flows))
	for k, f := range t.flows {
		x := FlowReport{Src: k.src.String(), Dst: k.dst.String(), Packets: f.packets, Bytes: f.bytes, RetransmittedBytes: f.again}
		if f.bytes > 0 {
			x.RetransmittedShare = float64(f.again) / float64(f.bytes)
		}
		r = append(r, x)
	}
	slices.SortFunc(r, func(a, b FlowReport) int {
		return cmp.Or(-cmp.Compare(a.Bytes, b.Bytes), cmp.Compare(a.Src, b.Src), cmp.Compare(a.Dst, b.Dst))
	})
	return r
}

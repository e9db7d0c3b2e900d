package conformance

import (
	"fmt"
	"sync"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/sluicenet/sluice/api/clock"
)

// trace keeps the last packets of a case, to be decoded if it fails.
type trace struct {
	mu    sync.Mutex
	lines []traced
	total int
}

type traced struct {
	at  clock.Time
	who string
	raw []byte
}

// maxTrace is how many packets of a case are kept.
const maxTrace = 200

func (tr *trace) add(at clock.Time, who string, raw []byte) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.total++
	if len(tr.lines) == maxTrace {
		copy(tr.lines, tr.lines[1:])
		tr.lines = tr.lines[:maxTrace-1]
	}
	tr.lines = append(tr.lines, traced{at, who, append([]byte(nil), raw[:min(len(raw), 160)]...)})
}

// decoded returns the packets as text.
func (tr *trace) decoded() []string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	var out []string
	if n := tr.total - len(tr.lines); n > 0 {
		out = append(out, fmt.Sprintf("(%d packets before these)", n))
	}
	for _, l := range tr.lines {
		out = append(out, fmt.Sprintf("%-14v %-6s %s", l.at, l.who, describe(l.raw)))
	}
	return out
}

// describe prints one packet.
func describe(raw []byte) string {
	if s := decode(raw); s != nil {
		return s.String()
	}
	p := gopacket.NewPacket(raw, packetType(raw), gopacket.DecodeOptions{NoCopy: true})
	text := fmt.Sprintf("%d bytes", len(raw))
	if n := p.NetworkLayer(); n != nil {
		text = n.NetworkFlow().String()
	}
	switch l := p.Layer(layers.LayerTypeICMPv4).(type) {
	case *layers.ICMPv4:
		return text + " ICMP " + l.TypeCode.String()
	}
	switch l := p.Layer(layers.LayerTypeICMPv6).(type) {
	case *layers.ICMPv6:
		return text + " ICMPv6 " + l.TypeCode.String()
	}
	if e := p.ErrorLayer(); e != nil {
		return text + ": " + e.Error().Error()
	}
	return text
}

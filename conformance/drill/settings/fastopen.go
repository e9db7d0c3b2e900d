package settings

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/sluicenet/sluice/conformance/drill/script"
)

// The bits of net.ipv4.tcp_fastopen that a script can be seen to need.
const (
	foClient         = 0x1
	foServer         = 0x2
	foClientNoCookie = 0x4
	foServerNoCookie = 0x200
	foEveryListener  = 0x400
)

// fastOpenKey is the key of hosts on which scripts run that name cookies and no key.
const fastOpenKey = "5d8a1f3c-0b6e47d2-94c1e8a5-27f3b069"

// ChooseFastOpenKey sets a key.
func (s *Settings) ChooseFastOpenKey() { s.set("net.ipv4.tcp_fastopen_key", fastOpenKey) }

// parseFastOpenKey returns the bytes of a key, or of two with a comma between, each four
// words in hexadecimal.
func parseFastOpenKey(text string) (b []byte, ok bool) {
	for _, k := range strings.Split(text, ",") {
		words := strings.Split(strings.TrimSpace(k), "-")
		if len(words) != 4 {
			return nil, false
		}
		for _, w := range words {
			v, err := strconv.ParseUint(w, 16, 32)
			if err != nil {
				return nil, false
			}
			b = binary.LittleEndian.AppendUint32(b, uint32(v))
		}
	}
	return b, len(b) <= 32
}

// FastOpens calls f for each SYN-ACK that a script expects, with the SYN that came before
// it, or nil.
func FastOpens(sc *script.Script, f func(syn, synAck *script.TCP)) {
	var syn *script.TCP
	for i := range sc.Events {
		p, ok := sc.Events[i].Action.(*script.Packet)
		if !ok || p.TCP == nil || !p.TCP.Flags.SYN {
			continue
		}
		switch {
		case p.Dir == script.Inbound:
			if syn = p.TCP; syn.Flags.ACK {
				syn = nil
			}
		case p.TCP.Flags.ACK:
			f(syn, p.TCP)
		}
	}
}

// TakesData reports whether a SYN-ACK acknowledges data that came with the SYN.
func TakesData(syn, synAck *script.TCP) bool {
	return syn.Seq.Len > 0 && synAck.Ack-syn.Seq.Start > 1 && synAck.Ack-syn.Seq.Start <= uint32(syn.Seq.Len)+1
}

func fastOpenOption(t *script.TCP) (data []byte, ok bool) {
	for _, o := range t.Options {
		if o.Kind == script.OptFastOpen || o.Kind == script.OptFOEXP {
			return o.Data, true
		}
	}
	return nil, false
}

// inferFastOpen switches on what of Fast Open a script expects to see, for those whose
// settings are elsewhere. A sysctl in the script decides otherwise.
func (s *Settings) inferFastOpen(sc *script.Script) {
	if s.Profile != Linux {
		return
	}
	was := s.FastOpen
	FastOpens(sc, func(syn, synAck *script.TCP) {
		if data, ok := fastOpenOption(synAck); ok && len(data) > 0 && syn != nil {
			s.FastOpen |= foServer
		}
		if syn != nil && TakesData(syn, synAck) {
			s.FastOpen |= foServer
			if _, ok := fastOpenOption(syn); !ok {
				s.FastOpen |= foServerNoCookie
			}
		}
	})
	offered := false
	for i := range sc.Events {
		switch a := sc.Events[i].Action.(type) {
		case *script.Packet:
			if a.Dir == script.Outbound && a.TCP != nil && a.TCP.Flags.SYN && !a.TCP.Flags.ACK && a.TCP.Seq.Len > 0 {
				if _, ok := fastOpenOption(a.TCP); !ok {
					s.FastOpen |= foClientNoCookie
				}
			}
		case *script.Syscall:
			if a.Name == "setsockopt" && len(a.Args) > 2 {
				if n, ok := a.Args[2].(script.Name); ok {
					offered = offered || n.Name == "TCP_FASTOPEN"
					if n.Name == "TCP_FASTOPEN_NO_COOKIE" { // which does without the bits
						return
					}
				}
			}
		}
	}
	if s.FastOpen&foServer != 0 && !offered {
		s.FastOpen |= foEveryListener
	}
	if s.FastOpen != was {
		s.Keys["net.ipv4.tcp_fastopen"] = fmt.Sprintf("%#x", s.FastOpen)
	}
}

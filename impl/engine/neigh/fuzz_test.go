package neigh

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// Frames, packets and time in any order cause no panic and stay within the bounds,
// and the machine never sends more than one frame for each that it is given, a
// timer apart.
func FuzzMachine(f *testing.F) {
	f.Add([]byte{0, 42, 0, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1}, true)
	f.Add([]byte{1, 2, 3, 4, 2, 200, 0, 86}, false)
	f.Fuzz(func(t *testing.T, program []byte, detect bool) {
		m, err := New(0, Config{
			Addresses: []netip.Prefix{netip.PrefixFrom(our4, 8), netip.PrefixFrom(our6, 64)},
			Gateways:  []netip.Addr{netip.MustParseAddr("10.0.0.254")}, HardwareAddr: ourHW, NoDetection: !detect,
			Rand: rand.New(rand.NewPCG(1, 2)),
		})
		if err != nil {
			t.Fatal(err)
		}
		var now clock.Time
		var fr Frames
		for len(program) > 1 {
			op, n := program[0], int(program[1])
			program = program[2:]
			arg := program[:min(n, len(program))]
			limit := 1 + maxPending
			switch op % 8 {
			case 0, 1: // a frame as it is, and one for us of a type that matters
				b := append([]byte(nil), arg...)
				if op%8 == 1 {
					types := []uint16{wire.EtherTypeARP, wire.EtherTypeIPv4, wire.EtherTypeIPv6}
					b = append(append(append([]byte(nil), ourHW[:]...), peerHW[:]...), 0, 0)
					binary.BigEndian.PutUint16(b[12:], types[int(op>>3)%3])
					b = append(b, arg...)
				}
				p := link.Packet{Payload: []api.Buffer{*api.CopyBuffer(b)}}
				if m.Input(now, &p, &fr) {
					if _, _, ok := addresses(p.AppendTo(nil)); !ok {
						t.Fatal("what is no packet went up")
					}
					p.Release()
				}
				program = program[len(arg):]
			case 2: // an ARP message, well formed
				a := wire.ARP{Op: uint16(op>>3)%2 + 1, SenderHW: wire.HardwareAddr{2, 1, byte(n)}, Sender: netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}), Target: our4}
				b := make([]byte, 14+wire.ARPLen)
				h := wire.Ethernet{Dst: ourHW, Src: a.SenderHW, Type: wire.EtherTypeARP}
				a.Emit(b[h.Emit(b):])
				p := link.Packet{Header: b}
				m.Input(now, &p, &fr)
			case 3, 4, 5: // send
				p := link.Packet{Header: packet(our4, netip.AddrFrom4([4]byte{10, 0, op >> 3, byte(n)}), n)}
				if op%8 == 5 {
					p = link.Packet{Header: packet(our6, netip.AddrFrom16([16]byte{0: 0xfd, 15: byte(n)}), n)}
				}
				m.Output(now, &p, &fr)
			default:
				now = now.Add(time.Duration(n) * 50 * time.Millisecond)
				limit += len(m.entries) + 2
				if m.Deadline() <= now {
					m.Timeout(now, &fr)
					if m.Deadline() <= now {
						t.Fatal("what is due was not done")
					}
				}
			}
			if len(fr.Link) > limit {
				t.Fatalf("%d frames at once", len(fr.Link))
			}
			fr.Reset()
			pending, bytes := 0, 0
			for _, e := range m.entries {
				pending += len(e.pending)
				for i := range e.pending {
					bytes += int(e.pending[i].Payload[0].MemSize())
				}
				if len(e.pending) > 0 && e.due == clock.Never {
					t.Fatalf("packets wait for %v, and nothing happens", e.addr)
				}
			}
			n = 0
			for c := range m.class {
				if l := m.class[c].Len(); l > classLimit[c] {
					t.Fatalf("%d of class %d", l, c)
				} else {
					n += l
				}
			}
			if st := m.Stats(); st.Pending != pending || st.PendingBytes != bytes || n != len(m.entries) || pending > maxAllPending || bytes > maxPendingMem {
				t.Fatalf("%+v, counted %d, %d bytes, %d entries", st, pending, bytes, n)
			}
		}
	})
}

package config

import (
	"testing"

	"github.com/sluicenet/sluice/api/link"
)

// What a pipe's offload says reaches the stacks: the packets that they may send.
func TestPipeOffload(t *testing.T) {
	for _, tt := range []struct {
		offload  string
		super    bool // stacks may send super-packets
		crossing bool // and they cross whole
	}{
		{"off", false, false},
		{"on", true, true},
		{"software", true, false},
	} {
		l := &Link{Name: "p", Driver: "pipe", MTU: 1500, Ends: []string{"a", "b"}, Pipe: &Pipe{Offload: tt.offload}}
		b, err := openLink(l, Deps{})
		if err != nil {
			t.Fatal(err)
		}
		x, y := b.ends["p:a"], b.ends["p:b"]
		if at := x.Attributes(); at.MTU != 1500 || (at.MaxGSO > 0) != tt.super || at.TxChecksum != tt.super {
			t.Errorf("%s: %+v", tt.offload, at)
		}
		var came []int
		if err := y.Attach(func(batch []link.Packet) {
			for i := range batch {
				came = append(came, int(batch[i].Offload.GSOSize))
				batch[i].Release()
			}
		}); err != nil {
			t.Fatal(err)
		}
		if tt.super {
			if err := x.Send([]link.Packet{superPacket(4000, 1000)}); err != nil {
				t.Fatal(err)
			}
			// Either way it arrives as it was; only the count of what crossed tells.
			if n := x.Stats().PacketsOut; len(came) != 1 || came[0] != 1000 || (n == 1) != tt.crossing {
				t.Errorf("%s: %d packets crossed, super-packets of %d arrived", tt.offload, n, came)
			}
		}
		x.Close()
		y.Close()
	}
}

// superPacket returns n bytes of TCP in segments of mss.
func superPacket(n, mss int) link.Packet {
	p := make([]byte, 40+n)
	copy(p, []byte{0x45, 0, byte(len(p) >> 8), byte(len(p)), 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2})
	copy(p[20:], []byte{0, 80, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0xff, 0xff})
	return link.Packet{Header: p, Offload: link.Offload{GSOSize: uint16(mss), NeedsChecksum: true, ChecksumStart: 20, ChecksumOffset: 16}}
}

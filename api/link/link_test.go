package link

import (
	"testing"

	"github.com/sluicenet/sluice/api"
)

func TestPacket(t *testing.T) {
	b := api.CopyBuffer([]byte("payload"))
	p := Packet{Header: []byte("header:"), Payload: []api.Buffer{b.View(0, 3), b.View(3, 7)}, Offload: Offload{GSOSize: 3, Vouched: true}}
	if p.Len() != 14 || string(p.AppendTo([]byte(">"))) != ">header:payload" {
		t.Fatalf("%d bytes: %q", p.Len(), p.AppendTo(nil))
	}
	c := p.Copy()
	if len(c.Header) != 0 || len(c.Payload) != 1 || c.Offload != p.Offload {
		t.Fatalf("the copy is %+v", c)
	}
	p.Release()
	copy(b.Bytes(), "XXXXXXX")
	if got := string(c.Payload[0].Bytes()); got != "header:payload" {
		t.Fatalf("the copy shows %q", got)
	}
	if !b.Exclusive() || p.Payload != nil {
		t.Fatal("Release kept something")
	}
	p.Release() // nothing is left to release
	c.Release()
	b.Release()
}

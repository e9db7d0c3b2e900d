package pipe_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/link/linktest"
	"github.com/sluicenet/sluice/link/pipe"
)

func TestLink(t *testing.T) {
	for _, cfg := range []pipe.Config{{}, {MTU: 9000, MaxGSO: 65535, TxChecksum: true}, {MaxGSO: 10_000}, {MTU: 65535}} {
		t.Run("", func(t *testing.T) {
			linktest.Run(t, func() (a, b link.Link) { return pipe.New(cfg) })
		})
	}
}

func TestVouched(t *testing.T) {
	for _, unvouched := range []bool{false, true} {
		a, b := pipe.New(pipe.Config{Unvouched: unvouched})
		var got []link.Offload
		b.Attach(func(batch []link.Packet) { got = append(got, batch[0].Offload) })
		sent := link.Offload{NeedsChecksum: true, ChecksumStart: 20, ChecksumOffset: 16}
		a.Send([]link.Packet{{Header: linktest.Packet(0, 60), Offload: sent}})
		sent.Vouched = !unvouched
		if len(got) != 1 || got[0] != sent {
			t.Errorf("Unvouched=%v: arrived with %+v, want %+v", unvouched, got, sent)
		}
	}
}

func TestNames(t *testing.T) {
	a, b := pipe.New(pipe.Config{Name: "wan"})
	if a.Attributes().Name != "wan:a" || b.Attributes().Name != "wan:b" {
		t.Errorf("names %q and %q", a.Attributes().Name, b.Attributes().Name)
	}
}

func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		cfg  pipe.Config
		want string
	}{
		{pipe.Config{MTU: 67}, "MTU"},
		{pipe.Config{MTU: 65536}, "MTU"},
		{pipe.Config{MaxGSO: -1}, "MaxGSO"},
		{pipe.Config{MaxGSO: 65536}, "MaxGSO"},
	} {
		if err := tt.cfg.Check(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want an error about %s", tt.cfg, err, tt.want)
		}
	}
}

func BenchmarkSend(b *testing.B) {
	x, y := pipe.New(pipe.Config{})
	y.Attach(func(batch []link.Packet) {
		for i := range batch {
			batch[i].Release()
		}
	})
	batch := make([]link.Packet, 16)
	for i := range batch {
		batch[i].Header = linktest.Packet(0, 1500)
	}
	b.SetBytes(16 * 1500)
	b.ReportAllocs()
	for b.Loop() {
		x.Send(batch)
	}
}

// What crosses is views of the sender's payload, which stay good after the sender has
// let go of it.
func TestNothingIsCopied(t *testing.T) {
	a, b := pipe.New(pipe.Config{})
	var got []link.Packet
	if err := b.Attach(func(batch []link.Packet) {
		got = append(got, link.Packet{Header: bytes.Clone(batch[0].Header), Payload: batch[0].Payload})
	}); err != nil {
		t.Fatal(err)
	}
	payload := api.CopyBuffer([]byte("payload"))
	p := link.Packet{Header: []byte("header:"), Payload: []api.Buffer{payload.View(0, 3), payload.View(3, 3), payload.View(3, 7)}}
	want := &p.Payload[0].Bytes()[0]
	if err := a.Send([]link.Packet{p}); err != nil {
		t.Fatal(err)
	}
	if len(p.Payload) != 3 || string(p.AppendTo(nil)) != "header:payload" {
		t.Errorf("the sender's packet is now %q", p.AppendTo(nil))
	}
	p.Release()
	payload.Release()
	if len(got) != 1 || &got[0].Payload[0].Bytes()[0] != want {
		t.Fatal("the payload was copied")
	}
	if s := string(got[0].AppendTo(nil)); s != "header:payload" {
		t.Errorf("received %q", s)
	}
	got[0].Release()
	b.Close()
	a.Close()
}

package pcap_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/impl/engine"
	"github.com/sluicenet/sluice/impl/reno"
	"github.com/sluicenet/sluice/link/pcap"
	"github.com/sluicenet/sluice/link/pipe"
)

var (
	replayPeer = netip.MustParsePrefix("10.0.0.1/24")
	replayHost = netip.MustParsePrefix("10.0.0.2/24")
)

// serve attaches a stack that listens on port 7.
func serve(t *testing.T, clk clock.Clock, l link.Link) *engine.Stack {
	t.Helper()
	s, err := engine.New(engine.Config{Link: l, Clock: clk, Addresses: []netip.Prefix{replayHost}, Controllers: []cc.Factory{reno.Factory},
		Seed: 1, NoDuplicateDetection: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Listen(7, nil, func(ctx context.Context, f api.Flow) {}); err != nil {
		t.Fatal(err)
	}
	return s
}

// A capture of a link is played into the same stack again: it sees the same SYN at
// the same time, answers it alike, and takes the data that follow, because with the
// same seed it chooses the same sequence numbers.
func TestReplayOfACapture(t *testing.T) {
	var file bytes.Buffer
	var want api.StackInfo
	first := clock.NewVirtual()
	first.Run(func() {
		x, y := pipe.New(pipe.Config{Name: "lab"})
		rec, err := pcap.New(y, &file, first, pcap.Config{})
		if err != nil {
			t.Fatal(err)
		}
		s := serve(t, first, rec)
		peer, err := engine.New(engine.Config{Link: x, Clock: first, Addresses: []netip.Prefix{replayPeer}, Controllers: []cc.Factory{reno.Factory}, Seed: 2})
		if err != nil {
			t.Fatal(err)
		}
		f, err := peer.Dial(context.Background(), netip.AddrPortFrom(replayHost.Addr(), 7), nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			f.Write(context.Background(), api.NewBuffer(make([]byte, 5000)))
			clock.Sleep(context.Background(), first, 100*time.Millisecond)
		}
		want = s.Info()
		rec.Flush()
		ctx, cancel := first.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		peer.Disconnect(ctx)
		s.Disconnect(ctx)
	})

	for _, speed := range []float64{1, 10} {
		again := clock.NewVirtual()
		again.Run(func() {
			ended := again.NewWaiter()
			var end error
			r, err := pcap.NewReplay(pcap.ReplayConfig{Reader: bytes.NewReader(file.Bytes()), Clock: again, Speed: speed, Interface: "lab:b in",
				OnEnd: func(err error) { end = err; ended.Wake() }})
			if err != nil {
				t.Fatal(err)
			}
			if a := r.Attributes(); a.Medium != link.IP || a.MTU != 1500 || a.Name != "replay" {
				t.Errorf("attributes %+v", a)
			}
			s := serve(t, again, r)
			clock.Sleep(context.Background(), again, time.Duration(float64(950*time.Millisecond)/speed))
			// Within so much time everything up to the last write has been played.
			got := s.Info()
			if got.Accepted != 1 || got.SegmentsIn == 0 || speed == 1 && (got.BytesIn != want.BytesIn || got.SegmentsIn != want.SegmentsIn) {
				t.Errorf("at speed %v: %d segments, %d bytes of %d; %d accepted", speed, got.SegmentsIn, got.BytesIn, want.BytesIn, got.Accepted)
			}
			ended.Park(context.Background())
			if end != nil {
				t.Errorf("the end: %v", end)
			}
			st := r.Stats()
			if st.PacketsIn < got.SegmentsIn || st.PacketsOut == 0 || st.DropsIn != 0 {
				t.Errorf("stats %+v", st)
			}
			ctx, cancel := again.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			s.Disconnect(ctx)
			if err := r.Send(nil); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Send after Close: %v", err)
			}
		})
	}
}

// classic returns a pcap file of echo requests, one every ten milliseconds.
func classic(t *testing.T, linkType layers.LinkType, n, snap int) []byte {
	t.Helper()
	var file bytes.Buffer
	w := pcapgo.NewWriter(&file)
	w.WriteFileHeader(uint32(snap), linkType)
	hw := net.HardwareAddr{2, 0, 0, 0, 0, 9}
	for i := range n {
		ls := []gopacket.SerializableLayer{
			&layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolICMPv4, SrcIP: replayPeer.Addr().AsSlice(), DstIP: replayHost.Addr().AsSlice()},
			&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoRequest, 0), Seq: uint16(i)},
			gopacket.Payload(make([]byte, i)),
		}
		if linkType == layers.LinkTypeEthernet {
			ls = append([]gopacket.SerializableLayer{&layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: hw, EthernetType: layers.EthernetTypeIPv4}}, ls...)
		}
		b := gopacket.NewSerializeBuffer()
		if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ls...); err != nil {
			t.Fatal(err)
		}
		k := min(len(b.Bytes()), snap)
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: time.Unix(1000, int64(i)*10_000_000), CaptureLength: k, Length: len(b.Bytes())}, b.Bytes()[:k]); err != nil {
			t.Fatal(err)
		}
	}
	return file.Bytes()
}

// Pings of a pcap file, as packets and as frames, are answered at their times, or
// all at once.
func TestReplayPcap(t *testing.T) {
	for _, linkType := range []layers.LinkType{layers.LinkTypeRaw, layers.LinkTypeEthernet} {
		for _, speed := range []float64{0, 1} {
			clk := clock.NewVirtual()
			clk.Run(func() {
				r, err := pcap.NewReplay(pcap.ReplayConfig{Reader: bytes.NewReader(classic(t, linkType, 200, 65535)), Clock: clk, Speed: speed,
					HardwareAddr: [6]byte{2, 0, 0, 0, 0, 9}})
				if err != nil {
					t.Fatal(err)
				}
				s := serve(t, clk, r)
				clock.Sleep(context.Background(), clk, 995*time.Millisecond)
				want := uint64(200)
				if speed == 1 {
					want = 100
				}
				if st := r.Stats(); st.PacketsIn != want {
					t.Errorf("%v at speed %v: %d packets played, want %d", linkType, speed, st.PacketsIn, want)
				}
				clock.Sleep(context.Background(), clk, 5*time.Second)
				if got := s.Info().PacketsOut; got != 200 {
					t.Errorf("%v at speed %v: %d answers", linkType, speed, got)
				}
				ctx, cancel := clk.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				s.Disconnect(ctx)
			})
		}
	}
}

// Packets that were cut off are not played.
func TestReplayCut(t *testing.T) {
	clk := clock.NewVirtual()
	clk.Run(func() {
		r, err := pcap.NewReplay(pcap.ReplayConfig{Reader: bytes.NewReader(classic(t, layers.LinkTypeRaw, 50, 28+20)), Clock: clk})
		if err != nil {
			t.Fatal(err)
		}
		s := serve(t, clk, r)
		clock.Sleep(context.Background(), clk, time.Second)
		if st := r.Stats(); st.PacketsIn != 21 || st.DropsIn != 29 {
			t.Errorf("stats %+v", st)
		}
		s.Disconnect(context.Background())
	})
}

// A file that is cut off or damaged anywhere ends with an error, and not with a
// panic or without an end.
func TestReplayDamaged(t *testing.T) {
	var ng bytes.Buffer
	w, err := pcapgo.NewNgWriter(&ng, layers.LinkTypeRaw)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		b := make([]byte, 40+i)
		w.WritePacket(gopacket.CaptureInfo{Timestamp: time.Unix(int64(i), 0), CaptureLength: len(b), Length: len(b)}, b)
	}
	w.Flush()
	for _, good := range [][]byte{ng.Bytes(), classic(t, layers.LinkTypeRaw, 3, 65535)} {
		for n := range len(good) {
			play(t, good[:n])
			damaged := bytes.Clone(good)
			damaged[n] ^= 0x15 // not so high that a length becomes gigabytes
			play(t, damaged)
		}
	}
}

func play(t *testing.T, file []byte) {
	clk := clock.NewVirtual()
	clk.Run(func() {
		ended := clk.NewWaiter()
		r, err := pcap.NewReplay(pcap.ReplayConfig{Reader: bytes.NewReader(file), Clock: clk, OnEnd: func(error) { ended.Wake() }})
		if err != nil {
			return
		}
		r.Attach(func(batch []link.Packet) {
			for i := range batch {
				batch[i].Release()
			}
		})
		ended.Park(context.Background())
		r.Close()
	})
}

type closer struct {
	io.Reader
	closed int
}

func (c *closer) Close() error { c.closed++; return nil }

func TestReplayRefuses(t *testing.T) {
	clk := clock.NewReal()
	c := &closer{Reader: bytes.NewReader(classic(t, layers.LinkTypeRaw, 1, 65535))}
	r, err := pcap.NewReplay(pcap.ReplayConfig{Reader: c, Clock: clk})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Attach(nil); err == nil {
		t.Error("Attach of nil worked")
	}
	for range 2 {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := r.Attach(func([]link.Packet) {}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Attach after Close: %v", err)
	}
	if c.closed != 1 {
		t.Errorf("the reader was closed %d times", c.closed)
	}
	raw := classic(t, layers.LinkTypeRaw, 1, 65535)
	for _, tt := range []struct {
		cfg  pcap.ReplayConfig
		want string
	}{
		{pcap.ReplayConfig{Reader: strings.NewReader("")}, "cannot be read"},
		{pcap.ReplayConfig{Reader: strings.NewReader("not a capture, certainly")}, "cannot be read"},
		{pcap.ReplayConfig{Reader: bytes.NewReader(classic(t, layers.LinkTypeIEEE802_11, 1, 65535))}, "only Ethernet and raw IP"},
		{pcap.ReplayConfig{Reader: bytes.NewReader(raw), Interface: "x"}, "only pcapng"},
		{pcap.ReplayConfig{Reader: bytes.NewReader(raw), Speed: -1}, "negative"},
		{pcap.ReplayConfig{Reader: bytes.NewReader(raw), MTU: 3}, "MTU 3"},
	} {
		tt.cfg.Clock = clk
		if _, err := pcap.NewReplay(tt.cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.cfg, err, tt.want)
		}
	}
}

package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/config"
)

const replayYAML = `version: 1
links: [{name: film, driver: replay, replay: {file: DIR/long.pcapng}}]
stacks: [{name: edge, link: film, addresses: [10.0.0.2/24], duplicate_detection: false}]
`

// seeReplay returns how many packets a stack has got, and sent, after 1.05 s of a
// capture: pings, one every 100 ms, for 2 s.
func seeReplay(t *testing.T, _ string, set []string) (seen string) {
	dir := t.TempDir()
	films(t, dir)
	set = append([]string{}, set...)
	for i := range set {
		set[i] = strings.Replace(set[i], "DIR", dir, 1)
	}
	v := clock.NewVirtual()
	v.Run(func() {
		sys, err := config.Build(loadKeys(t, strings.Replace(replayYAML, "DIR", dir, 1), set), config.Deps{Clock: v})
		if err != nil {
			seen = err.Error()
			return
		}
		clock.Sleep(context.Background(), v, 1050*time.Millisecond)
		st := sys.Status()
		seen = fmt.Sprint(st.Links[0].PacketsIn, st.Stacks[0].PacketsOut)
		sys.Close(context.Background())
	})
	return seen
}

// films writes the captures.
func films(t *testing.T, dir string) {
	t.Helper()
	write := func(name string, b []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	at := func(i int) time.Time { return time.Unix(1000, int64(i)*100_000_000) }
	var long, short, ethernet bytes.Buffer
	ng, err := pcapgo.NewNgWriterInterface(&long, pcapgo.NgInterface{Name: "x in", LinkType: layers.LinkTypeRaw}, pcapgo.NgWriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	out, err := ng.AddInterface(pcapgo.NgInterface{Name: "x out", LinkType: layers.LinkTypeRaw})
	if err != nil {
		t.Fatal(err)
	}
	s, e := pcapgo.NewWriter(&short), pcapgo.NewWriter(&ethernet)
	s.WriteFileHeader(65535, layers.LinkTypeRaw)
	e.WriteFileHeader(65535, layers.LinkTypeEthernet)
	info := func(i, face int, b []byte) gopacket.CaptureInfo {
		return gopacket.CaptureInfo{Timestamp: at(i), InterfaceIndex: face, CaptureLength: len(b), Length: len(b)}
	}
	for i := range 20 {
		b, f := ping(t, i, false), ping(t, i, true)
		ng.WritePacket(info(i, 0, b), b)
		if i < 5 {
			ng.WritePacket(info(0, out, b[:20]), b[:20]) // not a packet that is answered
		}
		if i < 3 {
			s.WritePacket(info(i, 0, b), b)
		}
		e.WritePacket(info(i, 0, f), f)
	}
	ng.Flush()
	write("long.pcapng", long.Bytes())
	write("short.pcap", short.Bytes())
	write("ethernet.pcap", ethernet.Bytes())
}

func ping(t *testing.T, i int, frame bool) []byte {
	t.Helper()
	ls := []gopacket.SerializableLayer{
		&layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolICMPv4, SrcIP: net.IP{10, 0, 0, 1}, DstIP: net.IP{10, 0, 0, 2}},
		&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoRequest, 0), Seq: uint16(i)},
	}
	if frame {
		ls = append([]gopacket.SerializableLayer{&layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1},
			DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 9}, EthernetType: layers.EthernetTypeIPv4}}, ls...)
	}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ls...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

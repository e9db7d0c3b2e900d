package pcap_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/link/linktest"
	"github.com/sluicenet/sluice/link/pcap"
	"github.com/sluicenet/sluice/link/pipe"
)

// buffer is a file in memory that several goroutines may touch.
type buffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

type record struct {
	face, length int
	at           time.Time
	data         []byte
}

// readBack reads a file with gopacket.
func readBack(t *testing.T, r io.Reader) (faces []pcapgo.NgInterface, records []record) {
	t.Helper()
	ng, err := pcapgo.NewNgReader(r, pcapgo.NgReaderOptions{WantMixedLinkType: true})
	if err != nil {
		t.Fatal(err)
	}
	for {
		data, ci, err := ng.ReadPacketData()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("after %d packets: %v", len(records), err)
		}
		records = append(records, record{ci.InterfaceIndex, ci.Length, ci.Timestamp, data})
	}
	for i := range ng.NInterfaces() {
		f, err := ng.Interface(i)
		if err != nil {
			t.Fatal(err)
		}
		faces = append(faces, f)
	}
	return faces, records
}

func drop(batch []link.Packet) {
	for i := range batch {
		batch[i].Release()
	}
}

// A recorded link is a link.
func TestLink(t *testing.T) {
	var files []*buffer
	linktest.Run(t, func() (a, b link.Link) {
		x, y := pipe.New(pipe.Config{MaxGSO: 65535})
		wrap := func(l link.Link) link.Link {
			f := new(buffer)
			files = append(files, f)
			w, err := pcap.Wrap(l, f, clock.NewReal())
			if err != nil {
				t.Fatal(err)
			}
			return w
		}
		return wrap(x), wrap(y)
	})
	for _, f := range files {
		readBack(t, f)
	}
}

func TestContents(t *testing.T) {
	v := clock.NewVirtual()
	a, b := pipe.New(pipe.Config{Name: "wan", MaxGSO: 65535})
	var file bytes.Buffer
	l, err := pcap.Wrap(a, &file, v)
	if err != nil {
		t.Fatal(err)
	}
	l.Attach(drop)
	b.Attach(drop)
	super := linktest.Packet(2, 64_001)
	parts := link.Packet{Header: super[:40]}
	whole := link.Packet{Header: super[40:]}
	parts.Payload = whole.Copy().Payload
	parts.Offload = link.Offload{GSOSize: 1400, NeedsChecksum: true, ChecksumStart: 20, ChecksumOffset: 6}
	v.Run(func() {
		l.Send([]link.Packet{{Header: linktest.Packet(0, 60)}, {Header: linktest.Packet(1, 61)}})
		clock.Sleep(context.Background(), v, 1234567891*time.Nanosecond)
		l.Send([]link.Packet{parts})
		b.Send([]link.Packet{{Header: linktest.Packet(3, 1500)}})
	})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	saved := bytes.Clone(file.Bytes())
	faces, records := readBack(t, &file)
	if len(faces) != 2 || faces[0].Name != "wan:a in" || faces[1].Name != "wan:a out" || faces[0].LinkType != layers.LinkTypeRaw || faces[1].LinkType != layers.LinkTypeRaw {
		t.Errorf("interfaces %+v", faces)
	}
	start := v.Wall(0)
	later := start.Add(1234567891)
	want := []record{
		{1, 60, start, linktest.Packet(0, 60)},
		{1, 61, start, linktest.Packet(1, 61)},
		{1, 64_001, later, super},
		{0, 1500, later, linktest.Packet(3, 1500)},
	}
	if len(records) != len(want) {
		t.Fatalf("%d records, want %d", len(records), len(want))
	}
	for i, w := range want {
		if r := records[i]; r.face != w.face || r.length != w.length || !r.at.Equal(w.at) || !bytes.Equal(r.data, w.data) {
			t.Errorf("record %d: interface %d, %d bytes at %v; want interface %d, %d bytes at %v, and the same bytes", i, r.face, r.length, r.at, w.face, w.length, w.at)
		}
	}
	t.Run("tshark", func(t *testing.T) { tshark(t, saved) })
}

// tshark reads it as we meant it.
func tshark(t *testing.T, saved []byte) {
	if _, err := exec.LookPath("tshark"); err != nil {
		t.Skip("tshark is not installed")
	}
	name := filepath.Join(t.TempDir(), "x.pcapng")
	if err := os.WriteFile(name, saved, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("tshark", "-n", "-r", name, "-T", "fields", "-e", "frame.interface_name", "-e", "frame.len",
		"-e", "frame.time_epoch", "-e", "ip.proto").Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want := []string{
		"wan:a out 60 946684800.000000000 253",
		"wan:a out 61 946684800.000000000 253",
		"wan:a out 64001 946684801.234567891 253",
		"wan:a in 1500 946684801.234567891 253",
	}
	for i, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		// tshark 4.2 and later prints the epoch in another form.
		got := strings.ReplaceAll(strings.ReplaceAll(line, "\t", " "), "2000-01-01T00:00:00.000000000Z", "946684800.000000000")
		got = strings.ReplaceAll(got, "2000-01-01T00:00:01.234567891Z", "946684801.234567891")
		if i >= len(want) || got != want[i] {
			t.Errorf("line %d: %q", i, line)
		}
	}
}

func TestSnapLen(t *testing.T) {
	a, b := pipe.New(pipe.Config{})
	b.Attach(drop)
	var file bytes.Buffer
	l, err := pcap.New(a, &file, clock.NewReal(), pcap.Config{SnapLen: 50})
	if err != nil {
		t.Fatal(err)
	}
	l.Send([]link.Packet{{Header: linktest.Packet(0, 60)}, {Header: linktest.Packet(1, 49)}})
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	faces, records := readBack(t, bytes.NewReader(file.Bytes()))
	if len(records) != 2 || len(records[0].data) != 50 || records[0].length != 60 || len(records[1].data) != 49 || records[1].length != 49 {
		t.Errorf("records %+v", records)
	}
	if faces[1].SnapLength != 50 {
		t.Errorf("snap length %d", faces[1].SnapLength)
	}
	if _, err := pcap.New(a, io.Discard, clock.NewReal(), pcap.Config{SnapLen: -1}); err == nil {
		t.Error("a negative SnapLen was taken")
	}
}

// full is a disk with room for so many bytes.
type full struct{ room int }

var errFull = errors.New("disk full")

func (f *full) Write(p []byte) (int, error) {
	if f.room -= len(p); f.room < 0 {
		return 0, errFull
	}
	return len(p), nil
}

// A full disk ends the recording, is told once, and loses no packet.
func TestWriteError(t *testing.T) {
	a, b := pipe.New(pipe.Config{})
	got := 0
	b.Attach(func(batch []link.Packet) { got += len(batch); drop(batch) })
	var told []error
	l, err := pcap.New(a, &full{20_000}, clock.NewReal(), pcap.Config{OnError: func(err error) { told = append(told, err) }})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if err := l.Send([]link.Packet{{Header: linktest.Packet(uint64(i), 1000)}}); err != nil {
			t.Fatal(err)
		}
	}
	if got != 100 {
		t.Errorf("%d of 100 packets arrived", got)
	}
	if len(told) != 1 || !errors.Is(told[0], errFull) {
		t.Errorf("told %v", told)
	}
	if err := l.Flush(); !errors.Is(err, errFull) {
		t.Errorf("Flush: %v", err)
	}
	if err := l.Close(); !errors.Is(err, errFull) {
		t.Errorf("Close: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}

	// It shows only when the last records are written out.
	told = nil
	l, err = pcap.New(b, &full{1000}, clock.NewReal(), pcap.Config{OnError: func(err error) { told = append(told, err) }})
	if err != nil {
		t.Fatal(err)
	}
	l.Send([]link.Packet{{Header: linktest.Packet(0, 1000)}})
	if err := l.Close(); !errors.Is(err, errFull) || len(told) != 1 {
		t.Errorf("Close: %v, told %v", err, told)
	}
	if _, err := pcap.Wrap(b, &full{10}, clock.NewReal()); !errors.Is(err, errFull) {
		t.Errorf("Wrap on a full disk: %v", err)
	}
}

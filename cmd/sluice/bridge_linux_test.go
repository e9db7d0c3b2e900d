package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/google/gopacket/pcapgo"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/bridge"
	"github.com/sluicenet/sluice/bridge/versus"
	"github.com/sluicenet/sluice/link/tun/setup"
	"github.com/sluicenet/sluice/sim"
)

// checkAccuracy makes TestBridgeAccuracy fail where the bridge is not as exact as it
// should be, which no machine that others keep busy promises.
var checkAccuracy = take("SLUICE_ACCURACY") == "1"

// unnamedNamespace makes a network namespace that vanishes with the test, and returns
// where it is. Its kernel speaks no IPv6, so that no packets are sent but those of
// the test.
func unnamedNamespace(t *testing.T) string {
	t.Helper()
	needNamespaces(t)
	type result struct {
		f   *os.File
		err error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			err = os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
			if errors.Is(err, os.ErrNotExist) {
				err = nil // no IPv6 at all
			}
		}
		if err != nil {
			done <- result{nil, err}
			return
		}
		f, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
		done <- result{f, err}
	}()
	r := <-done
	if r.err != nil {
		t.Fatal(r.err)
	}
	t.Cleanup(func() { r.f.Close() })
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), r.f.Fd())
}

// runningBridge is a running "sluice bridge".
type runningBridge struct {
	t    *testing.T
	cmd  *exec.Cmd
	out  bytes.Buffer
	errs *bufio.Reader
}

func startBridge(t *testing.T, yaml string, files []*os.File, args ...string) *runningBridge {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	b := &runningBridge{t: t, cmd: exec.Command(path, append([]string{"bridge", "--json", "-c", "-"}, args...)...)}
	b.cmd.Env, b.cmd.Stdin, b.cmd.Stdout, b.cmd.ExtraFiles = environment(), strings.NewReader(yaml), &b.out, files
	errs, err := b.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.cmd.Process.Kill(); b.cmd.Wait() })
	b.errs = bufio.NewReader(errs)
	if line, _ := b.errs.ReadString('\n'); !strings.Contains(line, "are joined") {
		rest, _ := io.ReadAll(b.errs)
		t.Fatalf("the bridge does not start: %s%s", line, rest)
	}
	return b
}

// wait waits for its end and returns its report.
func (b *runningBridge) wait() *bridge.Report {
	b.t.Helper()
	errs, _ := io.ReadAll(b.errs)
	if err := b.cmd.Wait(); err != nil {
		b.t.Fatalf("%v: %s", err, errs)
	}
	r := new(bridge.Report)
	if err := json.Unmarshal(b.out.Bytes(), r); err != nil {
		b.t.Fatalf("%v: %s", err, b.out.Bytes())
	}
	return r
}

func (b *runningBridge) stop() *bridge.Report {
	b.t.Helper()
	b.cmd.Process.Signal(syscall.SIGTERM)
	return b.wait()
}

// udp opens a socket in a namespace.
func udp(t *testing.T, netns, addr string) *net.UDPConn {
	t.Helper()
	var c *net.UDPConn
	if err := bridge.InNamespace(netns, func() (err error) {
		if c, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(addr))); err != nil {
			return err
		}
		raw, err := c.SyscallConn()
		if err != nil {
			return err
		}
		raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20) })
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

const bridgeYAML = `version: 1
seed: 3
ends:
  - {name: left, netns: %q, device: br0, addresses: [10.77.0.1/24]}
  - {name: right, netns: %q, device: br0, addresses: [10.77.0.2/24]}
link: {rate: 100Mbit, delay: 10ms, loss: 10%%, queue: 1MiB, reverse: {delay: 10ms}}
`

// survivors returns which of n packets get through, in the laboratory.
func survivors(t *testing.T, n int) (alive []uint32) {
	lab := sim.New(sim.Config{Seed: 3})
	a, _ := lab.AddPort("left", func(sim.Time, []byte) {})
	b, _ := lab.AddPort("right", func(_ sim.Time, p []byte) { alive = append(alive, numberOf(p[len(p)-4:])) })
	if _, err := lab.AddLink(sim.LinkConfig{Name: "link", A: a, B: b, AB: sim.Direction{Loss: .1}}); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		lab.Run(time.Duration(i) * time.Second)
		a.Send(number4(i))
	}
	lab.Run(time.Hour)
	return alive
}

func number4(i int) []byte { return []byte{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)} }
func numberOf(b []byte) uint32 {
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

// TestBridge: datagrams are lost as the laboratory foretells, are captured, and a
// stream over TCP comes whole and no faster than the link; by name and by descriptor.
func TestBridge(t *testing.T) {
	for _, how := range []string{"by name", "by descriptor"} {
		t.Run(how, func(t *testing.T) {
			left, right := unnamedNamespace(t), unnamedNamespace(t)
			yaml := fmt.Sprintf(bridgeYAML, left, right)
			var files []*os.File
			if how == "by descriptor" {
				var fd int
				if err := bridge.InNamespace(left, func() (err error) {
					if fd, err = openTUN("inherited1", unix.IFF_TUN); err != nil {
						return err
					}
					return setup.Configure("inherited1", 1500, netip.MustParsePrefix("10.77.0.1/24"))
				}); err != nil {
					t.Fatal(err)
				}
				files = []*os.File{os.NewFile(uintptr(fd), "tun")}
				defer files[0].Close()
				yaml = strings.Replace(yaml, fmt.Sprintf("netns: %q, device: br0, addresses: [10.77.0.1/24]", left), "fd: 3", 1)
			}
			capture := filepath.Join(t.TempDir(), "t.pcapng")
			b := startBridge(t, yaml, files, "--pcap", capture)

			const n = 400
			from, to := udp(t, left, "10.77.0.1:7000"), udp(t, right, "10.77.0.2:7000")
			for i := range n {
				if _, err := from.WriteToUDPAddrPort(number4(i), netip.MustParseAddrPort("10.77.0.2:7000")); err != nil {
					t.Fatal(err)
				}
			}
			want := survivors(t, n)
			var got []uint32
			page := make([]byte, 2000)
			for len(got) < len(want) {
				to.SetReadDeadline(time.Now().Add(30 * time.Second))
				k, _, err := to.ReadFromUDPAddrPort(page)
				if err != nil {
					t.Fatalf("after %d of %d datagrams: %v", len(got), len(want), err)
				}
				got = append(got, numberOf(page[:k]))
			}
			if !slices.Equal(got, want) {
				t.Errorf("other packets are lost than in the laboratory:\n%v\n%v", got, want)
			}

			// A stream, in the direction in which nothing is lost and nothing bounds
			// the rate, and then in the other.
			stream(t, right, "10.77.0.1", left, 1_000_000)
			began := time.Now()
			stream(t, left, "10.77.0.2", right, 200_000)
			if took := time.Since(began); took < 200_000*8*time.Second/100e6+20*time.Millisecond {
				t.Errorf("200 kB took %v", took)
			}
			r := b.stop()
			if l := r.Links[0]; l.From != "left" || l.Offered < n || l.Dropped["loss"] < uint64(n-len(want)) || r.Ends[0].PacketsIn != l.Offered ||
				r.Ends[1].PacketsOut+r.Ends[1].Refused != l.Delivered || r.Seed != 3 || r.Late.Packets != l.Delivered+r.Links[1].Delivered {
				t.Errorf("the report is %+v", r)
			}
			// Nothing was lost there, but a kernel that waits for a busy machine may probe.
			if len(r.Flows) != 4 || r.Flows[0].Bytes-r.Flows[0].RetransmittedBytes != 1_000_000 {
				t.Errorf("the flows are %+v", r.Flows)
			}
			f, err := os.Open(capture)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			ng, err := pcapgo.NewNgReader(f, pcapgo.DefaultNgReaderOptions)
			if err != nil {
				t.Fatal(err)
			}
			captured := uint64(0)
			for ; err == nil; captured++ {
				_, _, err = ng.ReadPacketData()
			}
			if captured--; captured != r.Links[0].Offered+r.Links[1].Delivered {
				t.Errorf("%d packets are captured, of %d and %d", captured, r.Links[0].Offered, r.Links[1].Delivered)
			}
			bridge.InNamespace(right, func() error {
				if _, err := net.InterfaceByName("br0"); err == nil {
					t.Error("the device is left behind")
				}
				return nil
			})
		})
	}
}

// stream sends n bytes over TCP from one namespace to an address in another.
func stream(t *testing.T, from, addr, to string, n int) {
	t.Helper()
	var l net.Listener
	if err := bridge.InNamespace(to, func() (err error) { l, err = net.Listen("tcp4", addr+":0"); return err }); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	data := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(data)
	sent := make(chan error, 1)
	go func() {
		sent <- bridge.InNamespace(from, func() error {
			c, err := net.DialTimeout("tcp4", l.Addr().String(), time.Minute)
			if err != nil {
				return err
			}
			defer c.Close()
			_, err = c.Write(data)
			return err
		})
	}()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	got, err := io.ReadAll(c)
	if e := <-sent; err != nil || e != nil || !bytes.Equal(got, data) {
		t.Errorf("%d of %d bytes arrived: %v, %v", len(got), n, err, e)
	}
}

// TestBridgeEnds: by itself after its duration, with a change on the way.
func TestBridgeEnds(t *testing.T) {
	left, right := unnamedNamespace(t), unnamedNamespace(t)
	b := startBridge(t, fmt.Sprintf(bridgeYAML, left, right)+"duration: 700ms\nchanges: [{at: 1ms, direction: forward, blackhole: true}]\n", nil)
	time.Sleep(50 * time.Millisecond) // the change is due
	from := udp(t, left, "10.77.0.1:7000")
	for range 10 {
		if _, err := from.WriteToUDPAddrPort([]byte{1}, netip.MustParseAddrPort("10.77.0.2:7000")); err != nil {
			t.Fatal(err)
		}
	}
	r := b.wait()
	if r.Duration != .7 || r.Drops["blackhole"] != 10 || r.Links[0].Offered != 10 {
		t.Errorf("the report is %+v", r)
	}
}

func TestBridgeRefusals(t *testing.T) {
	dir := t.TempDir()
	file := func(name, yaml string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	bad := file("bad.yaml", "version: 1\nends: []\nlnk: {}\n")
	gone := file("gone.yaml", fmt.Sprintf(bridgeYAML, "sluice-no-such", "sluice-no-such-either"))
	noFD := file("fd.yaml", "version: 1\nends: [{name: a, fd: 777}, {name: b, fd: 778}]\n")
	const example = "../../examples/bridge/two-namespaces.yaml"
	for _, c := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{}, 2, "Use -c FILE"},
		{[]string{"-c", filepath.Join(dir, "none")}, 1, "no such file"},
		{[]string{"-c", bad}, 1, bad + `:3: lnk: unknown key; did you mean "link"?`},
		{[]string{"-c", gone}, 1, `ends.left: there is no network namespace /run/netns/sluice-no-such: make it with "ip netns add sluice-no-such"`},
		{[]string{"-c", noFD}, 1, "ends.a: fd: descriptor 777 is not an open /dev/net/tun"},
		{[]string{"-c", example, "--check"}, 0, "ok"},
		{[]string{"-c", example, "--check", "--set", "link.rate=5"}, 1, "--set link.rate=5: link.rate"},
		{[]string{"-c", example, "--set", "x"}, 2, "is not KEY=VALUE"},
		{[]string{"--keys"}, 0, "link.reverse.codel.target"},
		{[]string{"compare", "--cc", "vegas"}, 2, "--cc vegas"},
		{[]string{"compare", "--runs", "x"}, 2, "--runs x"},
		{[]string{"compare", "--duration", "1ms"}, 2, "--duration 1ms"},
		{[]string{"compare", "--rate", "10"}, 2, `--rate: "10" has no unit`},
		{[]string{"compare", "--rtt", "50us"}, 2, "--rtt: 50"},
		{[]string{"compare", "--buffer", "x"}, 2, `--buffer: "x"`},
		{[]string{"compare", "--loss", "1"}, 2, `--loss: "1" has no unit`},
		{[]string{"compare", "--full", "--rtt", "10ms"}, 2, "--full says which cells"},
		{[]string{"compare", "--repeat", "0"}, 2, "--repeat 0"},
	} {
		status, out, errs := sluice(append([]string{"bridge"}, c.args...)...)
		if status != c.status || !strings.Contains(out+errs, c.want) {
			t.Errorf("sluice bridge %v: status %d, want %d; %s%s, want %q", c.args, status, c.status, out, errs, c.want)
		}
	}
}

// TestBridgeCompare: one cell, briefly. That the figures are good ones is not for a
// test of a second to say.
func TestBridgeCompare(t *testing.T) {
	needNamespaces(t)
	if b, err := os.ReadFile("/proc/sys/net/ipv4/tcp_available_congestion_control"); err != nil || !strings.Contains(string(b), "cubic") {
		t.Skip("this kernel has no cubic")
	}
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "bridge", "compare", "--rate", "5Mbit", "--rtt", "10ms", "--cc", "cubic", "--duration", "2s", "--json")
	cmd.Env = environment()
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, errs.String())
	}
	var r versus.Report
	if err := json.Unmarshal(out, &r); err != nil || len(r.Rows) != 1 || len(r.Rows[0].Runs) != 3 {
		t.Fatalf("%v: %s", err, out)
	}
	row := &r.Rows[0]
	for _, run := range row.Runs {
		var sum float64
		for _, s := range run.Senders {
			sum += s.Goodput
			if s.Packets == 0 || s.MeanRTT < .01 || s.Retransmitted < 0 || s.Retransmitted > .5 {
				t.Errorf("%s: %+v", run.Kind, s)
			}
		}
		// The queue's worth of bytes can be read beyond what the rate brings.
		if sum < 1e6 || sum > 5.1e6 {
			t.Errorf("%s: %.2f Mbit/s over 5 Mbit/s\n%s", run.Kind, sum/1e6, out)
		}
	}
	if row.Linux == nil || row.Sluice == nil || row.Share == nil || row.GoodputRatio <= 0 || !strings.Contains(errs.String(), "5Mbit 10ms 1BDP 0% cubic") {
		t.Errorf("the row is %+v\n%s", row, errs.String())
	}
}

// TestBridgeAccuracy: datagrams that the kernel stamps on arrival cross the bridge
// while 100 Mbit/s of TCP go the other way. None may come early; how late they come is
// held to 0.2 ms with SLUICE_ACCURACY=1.
func TestBridgeAccuracy(t *testing.T) {
	left, right := unnamedNamespace(t), unnamedNamespace(t)
	const delay = 10 * time.Millisecond
	b := startBridge(t, strings.Replace(fmt.Sprintf(bridgeYAML, left, right), "loss: 10%, ", "", 1), nil)

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var l net.Listener
	if err := bridge.InNamespace(right, func() (err error) { l, err = net.Listen("tcp4", "10.77.0.2:9"); return err }); err != nil {
		t.Fatal(err)
	}
	context.AfterFunc(ctx, func() { l.Close() })
	go func() {
		if c, err := l.Accept(); err == nil {
			context.AfterFunc(ctx, func() { c.Close() })
			io.Copy(io.Discard, c)
		}
	}()
	var load net.Conn
	if err := bridge.InNamespace(left, func() (err error) { load, err = net.Dial("tcp4", "10.77.0.2:9"); return err }); err != nil {
		t.Fatal(err)
	}
	context.AfterFunc(ctx, func() { load.Close() })
	go func() {
		for b := make([]byte, 64<<10); ; {
			if _, err := load.Write(b); err != nil {
				return
			}
		}
	}()

	from, to := udp(t, right, "10.77.0.2:7000"), udp(t, left, "10.77.0.1:7000")
	raw, err := to.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1) })
	if err != nil {
		t.Fatal(err)
	}
	n := 500
	if testing.Short() {
		n = 50
	}
	var errors []time.Duration
	data, oob := make([]byte, 100), make([]byte, 200)
	for i := range n {
		before := time.Now()
		if _, err := from.WriteToUDPAddrPort(number4(i), netip.MustParseAddrPort("10.77.0.1:7000")); err != nil {
			t.Fatal(err)
		}
		after := time.Now()
		to.SetReadDeadline(time.Now().Add(30 * time.Second))
		_, k, _, _, err := to.ReadMsgUDPAddrPort(data, oob)
		if err != nil {
			t.Fatal(err)
		}
		messages, err := unix.ParseSocketControlMessage(oob[:k])
		if err != nil || len(messages) != 1 || len(messages[0].Data) < int(unsafe.Sizeof(unix.Timespec{})) {
			t.Fatalf("no stamp: %v, %v", messages, err)
		}
		stamp := time.Unix(0, (*unix.Timespec)(unsafe.Pointer(&messages[0].Data[0])).Nano())
		late := stamp.Sub(before) - delay
		if late < -50*time.Microsecond { // the civil clock may be slewed
			t.Errorf("packet %d is early by %v", i, -late)
		}
		// What the sender itself did not know better is no fault of the bridge.
		if after.Sub(before) < 50*time.Microsecond {
			errors = append(errors, late)
		}
	}
	cancel()
	r := b.stop()
	if len(errors) < n/10 {
		t.Skipf("only %d of %d packets were sent at a certain time", len(errors), n)
	}
	slices.Sort(errors)
	at := func(q float64) time.Duration { return errors[int(q*float64(len(errors)-1))] }
	t.Logf("%d datagrams beside %.1f Mbit/s: late by %v in the median, 90 %% within %v, 99 %% %v, all %v", len(errors),
		float64(r.Ends[1].BytesOut)*8/r.Duration/1e6, at(.5), at(.9), at(.99), at(1))
	t.Logf("by the bridge's own account, all packets: median %.3f ms, 99 %% %.3f, 99.9 %% %.3f, greatest %.3f", r.Late.P50*1e3, r.Late.P99*1e3, r.Late.P999*1e3, r.Late.Max*1e3)
	if checkAccuracy && (at(.5) > 200*time.Microsecond || r.Late.P99 > 200e-6) {
		t.Error("the bridge is late by more than 0.2 ms")
	}
}

package service_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/netconn"
	"github.com/sluicenet/sluice/config"
	"github.com/sluicenet/sluice/config/service"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const serverAddr = "10.0.0.2"

// stacks returns two stacks joined by memory.
func stacks(t *testing.T) (client, server api.Stack) {
	t.Helper()
	cfg, err := config.Load(config.Options{Name: "test", Data: []byte(`version: 1
links: [{name: wire, driver: pipe}]
stacks:
  - {name: client, link: "wire:a", addresses: [10.0.0.1/24]}
  - {name: server, link: "wire:b", addresses: [` + serverAddr + `/24]}
shutdown: 2s
`)})
	if err != nil {
		t.Fatal(err)
	}
	sys, err := config.Build(cfg, config.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		sys.Close(ctx)
	})
	return sys.Stack("client"), sys.Stack("server")
}

// start starts a service, and ends it with the test.
func start(t *testing.T, s service.Service) service.Service {
	t.Helper()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		s.Drain(ctx)
		closed := make(chan struct{})
		go func() { s.Close(); close(closed) }()
		select {
		case <-closed:
		case <-time.After(20 * time.Second):
			t.Error("Close does not return")
		}
	})
	return s
}

func dial(t *testing.T, s api.Stack, port int) *netconn.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	d := netconn.Dialer{Stack: s}
	c, err := d.DialContext(ctx, "tcp", fmt.Sprintf("%s:%d", serverAddr, port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(30 * time.Second))
	return c.(*netconn.Conn)
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// duplex is what both kinds of connections have.
type duplex interface {
	io.ReadWriter
	CloseWrite() error
}

// exchange writes data, closes, and reads to the end.
func exchange(t *testing.T, c duplex, data []byte) []byte {
	t.Helper()
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := c.Write(data); err != nil {
			t.Errorf("write: %v", err)
		}
		if err := c.CloseWrite(); err != nil {
			t.Errorf("CloseWrite: %v", err)
		}
	})
	got, err := io.ReadAll(c)
	if err != nil {
		t.Errorf("read: %v", err)
	}
	wg.Wait()
	return got
}

// eventually waits for something that another goroutine is about to do.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s does not happen", what)
		}
	}
}

func TestEcho(t *testing.T) {
	client, server := stacks(t)
	s := start(t, service.Echo(service.Config{Name: "echo", Stack: server, Port: 7}))
	data := randomBytes(1 << 20)
	if got := exchange(t, dial(t, client, 7), data); !bytes.Equal(got, data) {
		t.Errorf("%d bytes came back, not the %d that were sent", len(got), len(data))
	}
	eventually(t, "the end of the flow", func() bool { return s.Stats().Active == 0 })
	if st := s.Stats(); st.Total != 1 || st.Failed != 0 || st.BytesIn != 1<<20 || st.BytesOut != 1<<20 || st.Listen != ":7" {
		t.Errorf("counters: %+v", st)
	}
}

func TestDiscard(t *testing.T) {
	client, server := stacks(t)
	s := start(t, service.Discard(service.Config{Name: "discard", Stack: server, Port: 9}))
	if got := exchange(t, dial(t, client, 9), randomBytes(1<<20)); len(got) != 0 {
		t.Errorf("%d bytes came back", len(got))
	}
	if n := s.Stats().BytesIn; n != 1<<20 {
		t.Errorf("%d bytes read", n)
	}
}

// TestChargen: the lines of RFC 864, and what comes in does not stop them.
func TestChargen(t *testing.T) {
	client, server := stacks(t)
	start(t, service.Chargen(service.Config{Name: "chargen", Stack: server, Port: 19}))
	c := dial(t, client, 19)
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 300*74)
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.SplitAfter(string(b), "\r\n")[:300] {
		if len(line) != 74 {
			t.Fatalf("line %d is %q", i, line)
		}
		for j := range 72 {
			if line[j] != byte(32+(i+j)%95) {
				t.Fatalf("line %d is %q", i, line)
			}
		}
	}
}

// TestDrainChargen: every byte that the service has written arrives, and an end
// of file follows.
func TestDrainChargen(t *testing.T) {
	client, server := stacks(t)
	s := start(t, service.Chargen(service.Config{Name: "chargen", Stack: server, Port: 19}))
	c := dial(t, client, 19)
	b := make([]byte, 100_000)
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var n int64
	var rest error
	var wg sync.WaitGroup
	wg.Go(func() {
		n, rest = io.Copy(io.Discard, c)
		c.CloseWrite()
	})
	s.Drain(ctx)
	wg.Wait()
	if st := s.Stats(); rest != nil || st.BytesOut != n+100_000 || st.Active != 0 || st.Failed != 0 {
		t.Errorf("%d bytes read, error %v; counters %+v", n+100_000, rest, st)
	}
}

func httpClient(t *testing.T, s api.Stack) *http.Client {
	d := netconn.Dialer{Stack: s}
	tr := &http.Transport{DialContext: d.DialContext}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 60 * time.Second}
}

func do(t *testing.T, c *http.Client, method, path string, body io.Reader) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, "http://"+serverAddr+path, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp.StatusCode, string(b)
}

func TestHTTPFiles(t *testing.T) {
	client, server := stacks(t)
	outside := t.TempDir()
	root := filepath.Join(outside, "root")
	os.MkdirAll(filepath.Join(root, "sub"), 0o755)
	os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600)
	os.Symlink("../secret", filepath.Join(root, "link"))
	os.Symlink("..", filepath.Join(root, "up"))
	big := randomBytes(3 << 20)
	os.WriteFile(filepath.Join(root, "big"), big, 0o600)
	start(t, service.HTTP(service.Config{Name: "files", Stack: server, Port: 80},
		service.HTTPOptions{Root: root, Upload: true}))
	c := httpClient(t, client)

	if code, b := do(t, c, "GET", "/big", nil); code != 200 || sha256.Sum256([]byte(b)) != sha256.Sum256(big) {
		t.Errorf("GET /big: %d, %d bytes", code, len(b))
	}
	if code, b := do(t, c, "GET", "/", nil); code != 200 || !strings.Contains(b, "big") {
		t.Errorf("GET /: %d %q", code, b)
	}
	for method, path := range map[string]string{"PUT": "/sub/put", "POST": "/posted"} {
		if code, b := do(t, c, method, path, bytes.NewReader(big)); code != 201 || b != fmt.Sprintf("%d bytes\n", len(big)) {
			t.Errorf("%s: %d %q", method, code, b)
		}
		if got, err := os.ReadFile(filepath.Join(root, path)); err != nil || !bytes.Equal(got, big) {
			t.Errorf("%s %s: %d bytes stored, %v", method, path, len(got), err)
		}
	}
	for _, tc := range []struct {
		method, path string
		code         int
	}{
		{"GET", "/none", 404},
		{"GET", "/../secret", 404}, // net/http's client sends it cleaned
		{"GET", "/link", 500},
		{"GET", "/up/secret", 500},
		{"PUT", "/", 400},
		{"PUT", "/sub/", 400},
		{"PUT", "/none/x", 404},
		{"PUT", "/up/x", 500},
		{"DELETE", "/big", 405},
	} {
		code, b := do(t, c, tc.method, tc.path, strings.NewReader("body"))
		if code != tc.code && !(tc.code == 500 && code >= 400) || strings.Contains(b, "secret") && code == 200 {
			t.Errorf("%s %s: %d %q, want %d", tc.method, tc.path, code, b, tc.code)
		}
	}
	if _, err := os.Stat(filepath.Join(outside, "x")); err == nil {
		t.Error("a file has been stored outside the root")
	}

	// An upload that breaks off leaves nothing behind.
	conn := dial(t, client, 80)
	fmt.Fprintf(conn, "PUT /broken HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nonly this")
	eventually(t, "the upload", func() bool { return uploads(root) == 1 })
	conn.Close()
	eventually(t, "the end of the upload", func() bool { return uploads(root) == 0 })
	if _, err := os.Stat(filepath.Join(root, "broken")); err == nil {
		t.Error("half a file has been stored")
	}
}

func uploads(root string) int {
	names, _ := filepath.Glob(filepath.Join(root, ".upload-*"))
	return len(names)
}

func TestHTTPNoUpload(t *testing.T) {
	client, server := stacks(t)
	root := t.TempDir()
	start(t, service.HTTP(service.Config{Name: "files", Stack: server, Port: 80}, service.HTTPOptions{Root: root}))
	if code, b := do(t, httpClient(t, client), "PUT", "/x", strings.NewReader("body")); code != 403 || !strings.Contains(b, "upload") {
		t.Errorf("PUT: %d %q", code, b)
	}
	if s := service.HTTP(service.Config{Name: "none", Stack: server, Port: 81}, service.HTTPOptions{Root: filepath.Join(root, "none")}); s.Start() == nil {
		t.Error("a root that does not exist is accepted")
	}
	made := filepath.Join(root, "made", "for", "uploads")
	start(t, service.HTTP(service.Config{Name: "made", Stack: server, Port: 82}, service.HTTPOptions{Root: made, Upload: true}))
	if st, err := os.Stat(made); err != nil || !st.IsDir() {
		t.Errorf("a root for uploads is not made: %v", err)
	}
}

func TestStatusPage(t *testing.T) {
	client, server := stacks(t)
	start(t, service.HTTP(service.Config{Name: "page", Stack: server, Port: 80},
		service.HTTPOptions{Status: func() any { return map[string]int{"answer": 42} }}))
	c := httpClient(t, client)
	if code, b := do(t, c, "GET", "/", nil); code != 200 || !strings.Contains(b, "<title>Sluice</title>") {
		t.Errorf("page: %d %.100s", code, b)
	}
	if code, b := do(t, c, "GET", "/status.json", nil); code != 200 || b != "{\"answer\":42}\n" {
		t.Errorf("status: %d %s", code, b)
	}
	if code, b := do(t, c, "GET", "/bytes/100000", nil); code != 200 || len(b) != 100000 {
		t.Errorf("bytes: %d, %d", code, len(b))
	}
	for _, path := range []string{"/bytes/-1", "/bytes/x", "/bytes/99999999999999"} {
		if code, _ := do(t, c, "GET", path, nil); code != 400 {
			t.Errorf("%s: %d", path, code)
		}
	}
}

// TestDrainHTTP: a download under way is finished.
func TestDrainHTTP(t *testing.T) {
	client, server := stacks(t)
	s := start(t, service.HTTP(service.Config{Name: "page", Stack: server, Port: 80}, service.HTTPOptions{}))
	resp, err := httpClient(t, client).Get("http://" + serverAddr + "/bytes/20000000")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var n int64
	var wg sync.WaitGroup
	wg.Go(func() { n, err = io.Copy(io.Discard, resp.Body) })
	s.Drain(ctx)
	wg.Wait()
	if n != 20_000_000 || err != nil || ctx.Err() != nil {
		t.Errorf("%d bytes, %v; drained in time: %v", n, err, ctx.Err() == nil)
	}
}

// hostServer is a server on the host's loopback that runs h for each connection.
func hostServer(t *testing.T, h func(*net.TCPConn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				h(c.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// TestProxy: half-close passes in both directions.
func TestProxy(t *testing.T) {
	client, server := stacks(t)
	data := randomBytes(1 << 20)
	to := hostServer(t, func(c *net.TCPConn) {
		got, err := io.ReadAll(c) // until the client's end of file, which the proxy must carry
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("the target reads %d bytes, %v", len(got), err)
		}
		c.Write(got)
	})
	s := start(t, service.Proxy(service.Config{Name: "proxy", Stack: server, Port: 80}, to))
	if got := exchange(t, dial(t, client, 80), data); !bytes.Equal(got, data) {
		t.Errorf("%d bytes came back", len(got))
	}
	eventually(t, "the end of the connection", func() bool { return s.Stats().Active == 0 })
	if st := s.Stats(); st.Failed != 0 || st.BytesIn != 1<<20 || st.BytesOut != 1<<20 {
		t.Errorf("counters: %+v", st)
	}
}

// TestProxyRefused: a target that is not there is a reset for the client.
func TestProxyRefused(t *testing.T) {
	client, server := stacks(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	to := l.Addr().(*net.TCPAddr).AddrPort()
	l.Close()
	s := start(t, service.Proxy(service.Config{Name: "proxy", Stack: server, Port: 80}, to))
	d := netconn.Dialer{Stack: client}
	c, err := d.Dial("tcp", serverAddr+":80")
	if err == nil { // else the reset was faster than the dial
		defer c.Close()
		c.SetDeadline(time.Now().Add(30 * time.Second))
		_, err = c.Read(make([]byte, 1))
	}
	if !errors.Is(err, api.ErrReset) {
		t.Errorf("the client sees %v", err)
	}
	eventually(t, "the count", func() bool { return s.Stats().Failed == 1 })
}

// TestProxyReset: a reset of the target is one for the client, not an end of file.
func TestProxyReset(t *testing.T) {
	client, server := stacks(t)
	to := hostServer(t, func(c *net.TCPConn) {
		c.Read(make([]byte, 1))
		c.SetLinger(0)
	})
	start(t, service.Proxy(service.Config{Name: "proxy", Stack: server, Port: 80}, to))
	c := dial(t, client, 80)
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, api.ErrReset) {
		t.Errorf("the client reads %v", err)
	}
}

func hostDial(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(30 * time.Second))
	return c.(*net.TCPConn)
}

var anyPort = netip.MustParseAddrPort("127.0.0.1:0")

func TestForward(t *testing.T) {
	client, server := stacks(t)
	start(t, service.Echo(service.Config{Name: "echo", Stack: server, Port: 7}))
	s := start(t, service.Forward(service.Config{Name: "fwd", Stack: client}, anyPort, netip.MustParseAddrPort(serverAddr+":7")))
	data := randomBytes(1 << 20)
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			if got := exchange(t, hostDial(t, s.Stats().Listen), data); !bytes.Equal(got, data) {
				t.Errorf("%d bytes came back", len(got))
			}
		})
	}
	wg.Wait()
	eventually(t, "the end of the connections", func() bool { return s.Stats().Active == 0 })
	if st := s.Stats(); st.Total != 5 || st.Failed != 0 {
		t.Errorf("counters: %+v", st)
	}
}

func TestForwardRefused(t *testing.T) {
	client, _ := stacks(t)
	s := start(t, service.Forward(service.Config{Name: "fwd", Stack: client}, anyPort, netip.MustParseAddrPort(serverAddr+":7")))
	c, err := net.Dial("tcp", s.Stats().Listen)
	if err == nil { // else the reset was faster than the system call
		defer c.Close()
		c.SetDeadline(time.Now().Add(30 * time.Second))
		_, err = c.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client sees %v", err)
	}
}

func TestForwardPortInUse(t *testing.T) {
	client, _ := stacks(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	from := l.Addr().(*net.TCPAddr).AddrPort()
	err = service.Forward(service.Config{Name: "fwd", Stack: client}, from, from).Start()
	var inUse *service.PortInUseError
	if !errors.As(err, &inUse) || inUse.Addr != from || inUse.Service != "fwd" {
		t.Errorf("error: %v", err)
	}
}

// TestForwardBound: no more than the configured connections at once; the next is
// carried when one has ended.
func TestForwardBound(t *testing.T) {
	client, server := stacks(t)
	start(t, service.Echo(service.Config{Name: "echo", Stack: server, Port: 7}))
	s := start(t, service.Forward(service.Config{Name: "fwd", Stack: client, Connections: 2}, anyPort, netip.MustParseAddrPort(serverAddr+":7")))
	var conns []*net.TCPConn
	for range 3 {
		c := hostDial(t, s.Stats().Listen)
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	for _, c := range conns[:2] {
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	conns[2].SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, _ := conns[2].Read(make([]byte, 1)); n != 0 || s.Stats().Total != 2 {
		t.Errorf("a third connection is carried: %+v", s.Stats())
	}
	conns[0].Close()
	conns[2].SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.ReadFull(conns[2], make([]byte, 1)); err != nil {
		t.Errorf("the third connection is not carried: %v", err)
	}
}

// TestDrainForward: what the far service has written arrives at the host's
// client, followed by an end of file.
func TestDrainForward(t *testing.T) {
	client, server := stacks(t)
	gen := start(t, service.Chargen(service.Config{Name: "chargen", Stack: server, Port: 19}))
	fwd := start(t, service.Forward(service.Config{Name: "fwd", Stack: client}, anyPort, netip.MustParseAddrPort(serverAddr+":19")))
	c := hostDial(t, fwd.Stats().Listen)
	if _, err := io.ReadFull(c, make([]byte, 100_000)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var n int64
	var err error
	var wg sync.WaitGroup
	wg.Go(func() {
		n, err = io.Copy(io.Discard, c)
		c.Close()
	})
	wg.Go(func() { gen.Drain(ctx) })
	fwd.Drain(ctx)
	wg.Wait()
	if g := gen.Stats(); err != nil || n+100_000 != g.BytesOut || g.Active != 0 || fwd.Stats().Active != 0 {
		t.Errorf("%d bytes arrive, %v; %d were written", n+100_000, err, g.BytesOut)
	}
}

// TestDrainStubborn: a connection that nobody ends is ended when half of the time
// is over, with an end of file on both sides.
func TestDrainStubborn(t *testing.T) {
	client, server := stacks(t)
	start(t, service.Echo(service.Config{Name: "echo", Stack: server, Port: 7}))
	s := start(t, service.Forward(service.Config{Name: "fwd", Stack: client}, anyPort, netip.MustParseAddrPort(serverAddr+":7")))
	c := hostDial(t, s.Stats().Listen)
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 400*time.Millisecond)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("the client reads %d bytes, %v", n, err)
		}
		c.Close()
	})
	s.Drain(ctx)
	wg.Wait()
	eventually(t, "the end of the connection", func() bool { return s.Stats().Active == 0 })
	if n := s.Stats().Failed; n != 0 {
		t.Errorf("%d connections failed", n)
	}
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/config"
	"github.com/sluicenet/sluice/mocks"
)

var testFlow = api.Info{
	State: api.StateEstablished,
	Src:   netip.MustParseAddrPort("10.9.0.2:80"), Dst: netip.MustParseAddrPort("10.9.0.1:51234"), Congestion: "cubic",
	SendQueue: 65160, SendWindowScale: 7, RecvWindowScale: 7, RTO: 204 * time.Millisecond,
	SRTT: 20100 * time.Microsecond, RTTVar: 1300 * time.Microsecond, MinRTT: 19800 * time.Microsecond,
	SendMSS: 1448, PathMTU: 1500, Cwnd: 141000, Ssthresh: 98000, InFlight: 62000, BytesSent: 12_400_000,
	Retransmits: 3, SpuriousRetransmits: 1, DeliveryRate: 6_900_000, Timer: "keepalive", TimerLeft: 47 * time.Second,
	RecvWindow: 1_200_000, SendWindow: 500, SACK: true, Timestamps: true,
}

func TestPrintFlows(t *testing.T) {
	flows := []config.FlowStatus{
		config.NewFlowStatus("edge", api.Info{State: api.StateListen, Src: netip.MustParseAddrPort("0.0.0.0:80"),
			SendWindowScale: -1, RecvWindowScale: -1}),
		config.NewFlowStatus("edge", testFlow),
		config.NewFlowStatus("edge", api.Info{State: api.StateTimeWait, Src: testFlow.Src, Dst: testFlow.Dst,
			Timer: "timewait", TimerLeft: 31500 * time.Millisecond}),
	}
	var b strings.Builder
	printFlows(&b, flows)
	want := `STATE      RECV-Q  SEND-Q  LOCAL        PEER            CC     STACK
LISTEN     0       0       *:80         *:*             -      edge
ESTAB      0       65160   10.9.0.2:80  10.9.0.1:51234  cubic  edge
  ts sack wscale:7,7 rto:204ms rtt:20.1/1.3ms minrtt:19.8ms mss:1448 pmtu:1500 cwnd:141kB ssthresh:98.0kB
  inflight:62.0kB sent:12.4MB received:0B retrans:0/3 spurious:1 delivery:55.2Mbit/s ka:47s/0 rwnd:1.2MB swnd:500B
TIME-WAIT  0       0       10.9.0.2:80  10.9.0.1:51234  -      edge
  timer:timewait,32s
`
	if b.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", b.String(), want)
	}
}

func TestFigures(t *testing.T) {
	for n, want := range map[int64]string{0: "0B", 999: "999B", 1000: "1.0kB", 99949: "99.9kB", 99950: "100kB",
		999499: "999kB", 999500: "1.0MB", 12400000: "12.4MB", 1 << 62: "4611686TB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %s, want %s", n, got, want)
		}
	}
	for us, want := range map[int64]string{500: "500µs", 204000: "204ms", 1234567: "1.2s", 47400000: "47s"} {
		if got := micros(us); got != want {
			t.Errorf("micros(%d) = %s, want %s", us, got, want)
		}
	}
}

// mockSystem is a System whose one stack has one flow.
func mockSystem(t *testing.T) *config.System {
	t.Helper()
	st := mocks.NewStack(t)
	st.EXPECT().Info().Return(api.StackInfo{Backend: "mock"}).Maybe()
	st.EXPECT().Flows().Return(iter.Seq[api.Info](func(yield func(api.Info) bool) { yield(testFlow) })).Maybe()
	st.EXPECT().Disconnect(mock.Anything).Return().Once()
	cfg, err := config.Load(config.Options{Name: "f", Data: []byte("version: 1\nstacks: [{name: edge, backend: mock}]\n"),
		Backends: config.Backends{"mock": {New: func(*config.Environment) (api.Stack, error) { return st, nil }}}})
	if err != nil {
		t.Fatal(err)
	}
	sys, err := config.Build(cfg, config.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sys.Close(context.Background()) })
	return sys
}

func serve(t *testing.T, set ...string) *statusServers {
	t.Helper()
	sys := mockSystem(t)
	opts := config.Options{Name: "f", Data: []byte("version: 1\nstacks: [{name: edge, backend: mock}]\n"),
		Backends: config.Backends{"mock": {}}}
	for _, s := range set {
		a, err := config.ParseAssignment(s, "--set")
		if err != nil {
			t.Fatal(err)
		}
		opts.Set = append(opts.Set, a)
	}
	cfg, err := config.Load(opts)
	if err != nil {
		t.Fatal(err)
	}
	s, err := serveStatus(cfg, sys, slog.New(slog.DiscardHandler))
	t.Cleanup(s.close)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestFlowsCommand(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	serve(t, "control.socket="+path)
	status, out, errs := sluice("flows", "--socket", path)
	if status != 0 || !strings.Contains(out, "ESTAB") || !strings.Contains(out, "cwnd:141kB") {
		t.Errorf("status %d\n%s\n%s", status, out, errs)
	}
	status, out, _ = sluice("flows", "--socket", path, "--json")
	var list flowList
	if err := json.Unmarshal([]byte(out), &list); status != 0 || err != nil || len(list.Flows) != 1 || list.Flows[0].Cwnd != 141000 {
		t.Errorf("status %d, %v\n%s", status, err, out)
	}
}

// TestFlowsWatch: -w goes on until its context ends.
func TestFlowsWatch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	serve(t, "control.socket="+path)
	ctx, cancel := context.WithCancel(context.Background())
	w := &cancelAfter{n: 3, cancel: cancel}
	if status := execute(ctx, []string{"flows", "-w", "--interval", "100ms", "--socket", path}, w, io.Discard); status != 0 {
		t.Errorf("status %d", status)
	}
	if n := strings.Count(w.String(), "ESTAB"); n != 3 {
		t.Errorf("%d listings, want 3", n)
	}
}

type cancelAfter struct {
	strings.Builder
	n      int
	cancel func()
}

func (c *cancelAfter) Write(p []byte) (int, error) {
	if strings.Contains(string(p), "ESTAB") {
		if c.n--; c.n == 0 {
			c.cancel()
		}
	}
	return c.Builder.Write(p)
}

func TestStatusOverHTTP(t *testing.T) {
	s := serve(t, "control.socket=off", "http.listen=127.0.0.1:0")
	if s.socket != "" {
		t.Error("there is a control socket")
	}
	get := func(path, host string) (int, []byte) {
		req, _ := http.NewRequest(http.MethodGet, fmt.Sprintf("http://%s%s", s.addr, path), nil)
		if host != "" {
			req.Host = host
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, b
	}
	for _, path := range []string{"/", "/v1/status"} {
		code, b := get(path, "")
		var st config.Status
		if err := json.Unmarshal(b, &st); code != 200 || err != nil || st.Stacks[0].Name != "edge" || len(st.Flows) != 1 {
			t.Errorf("%s: %d %v %s", path, code, err, b)
		}
	}
	for host, want := range map[string]int{"localhost": 200, "localhost:1": 200, "[::1]:80": 200, "127.0.0.1": 200,
		"evil.example": 403, "evil.example:9464": 403, "10.0.0.1": 403, "": 200} {
		if code, _ := get("/v1/flows", host); code != want {
			t.Errorf("Host %q: %d, want %d", host, code, want)
		}
	}
	if code, _ := get("/etc", ""); code != 404 {
		t.Errorf("/etc: %d", code)
	}
	resp, err := http.Post("http://"+s.addr.String()+"/v1/status", "", nil)
	if err != nil || resp.StatusCode != 405 {
		t.Errorf("POST: %v %v", resp, err)
	}
	if err == nil {
		resp.Body.Close()
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestJSONDocumented: docs/json.md names every field.
func TestJSONDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/json.md")
	if err != nil {
		t.Fatal(err)
	}
	b, _ := json.Marshal(mockSystem(t).Status())
	var v map[string]any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	var names func(v any) []string
	names = func(v any) (list []string) {
		switch v := v.(type) {
		case map[string]any:
			for k, x := range v {
				list = append(append(list, k), names(x)...)
			}
		case []any:
			for _, x := range v {
				list = append(list, names(x)...)
			}
		}
		return list
	}
	all := names(v)
	if len(all) < 60 {
		t.Errorf("only %d fields seen", len(all))
	}
	for _, name := range all {
		if !strings.Contains(string(doc), "`"+name+"`") {
			t.Errorf("docs/json.md does not name %s", name)
		}
	}
}

// TestPageKnowsTheFields: the status page uses no field that does not exist.
func TestPageKnowsTheFields(t *testing.T) {
	page, err := os.ReadFile("../../config/service/page.html")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("../../docs/json.md")
	if err != nil {
		t.Fatal(err)
	}
	used := regexp.MustCompile(`\b(?:k|f|l|s|busiest)\.([a-z_]+)\b([.(]?)`).FindAllSubmatch(page, -1)
	if len(used) < 20 {
		t.Fatalf("only %d fields found", len(used))
	}
	for _, m := range used {
		if name := string(m[1]); string(m[2]) != "(" && !strings.Contains(string(doc), "`"+name+"`") {
			t.Errorf("the page uses %s, which docs/json.md does not name", name)
		}
	}
}

func TestControlSocket(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	l, err := listenUnix(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	go func(l net.Listener) {
		if c, err := l.Accept(); err == nil {
			c.Close()
		}
	}(l)
	if _, err := listenUnix(path, 0o600); err == nil || !strings.Contains(err.Error(), "--socket") {
		t.Errorf("a second daemon: %v", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	l, err = listenUnix(path, 0o660) // what a dead daemon left is replaced
	if err != nil {
		t.Fatal(err)
	}
	if st, _ := os.Stat(path); st.Mode().Perm() != 0o660 {
		t.Errorf("mode %v", st.Mode())
	}
	l.Close()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is left behind: %v", err)
	}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listenUnix(path, 0o600); err == nil {
		t.Error("a file is replaced by the socket")
	}
	if b, _ := os.ReadFile(path); string(b) != "precious" {
		t.Error("the file has been harmed")
	}
	if _, err := listenUnix(filepath.Join(dir, "none", "s"), 0o600); err == nil {
		t.Error("a directory that does not exist is accepted")
	}
}

func TestStatusPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg, err := config.Load(config.Options{Name: "f", Data: []byte("version: 1\nstacks: [{name: edge, backend: mock}]\ncontrol: {socket: off}\n"),
		Backends: config.Backends{"mock": {}},
		Set:      []config.Assignment{{Key: "http.listen", Value: l.Addr().String(), Source: "--http"}}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := serveStatus(cfg, nil, slog.New(slog.DiscardHandler))
	s.close()
	if err == nil || !strings.Contains(err.Error(), "--http") {
		t.Errorf("error: %v", err)
	}
}

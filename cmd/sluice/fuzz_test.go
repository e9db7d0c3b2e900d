package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/sluicenet/sluice/config"
)

// noStatus is a System of which there is nothing to tell.
type noStatus struct{}

func (noStatus) Status() *config.Status     { return new(config.Status) }
func (noStatus) Flows() []config.FlowStatus { return nil }

// FuzzStatusRequest: whatever comes over the status socket or over HTTP is answered by
// JSON or by an error; and over HTTP only those learn something who name this machine.
func FuzzStatusRequest(f *testing.F) {
	for _, s := range []string{
		"GET /v1/status HTTP/1.1\r\nHost: 127.0.0.1:9464\r\n\r\n",
		"GET /v1/flows HTTP/1.1\r\nHost: [::1]\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
		"POST /v1/status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}",
		"GET /../v1/status HTTP/1.0\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	plain := statusHandler(noStatus{})
	guarded := loopbackOnly(plain)
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			return
		}
		w := httptest.NewRecorder()
		plain.ServeHTTP(w, r)
		if w.Code == http.StatusOK && (r.Method != http.MethodGet && r.Method != http.MethodHead || !json.Valid(w.Body.Bytes())) {
			t.Fatalf("%q is answered by %q", raw, w.Body)
		}
		if r, err = http.ReadRequest(bufio.NewReader(bytes.NewReader(raw))); err != nil {
			t.Fatal(err)
		}
		w = httptest.NewRecorder()
		guarded.ServeHTTP(w, r)
		if w.Code == http.StatusForbidden {
			return
		}
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		a, err := netip.ParseAddr(strings.Trim(host, "[]"))
		if strings.Trim(host, "[]") != "localhost" && (err != nil || !a.IsLoopback()) {
			t.Fatalf("host %q got the answer %d", r.Host, w.Code)
		}
	})
}

// FuzzSeeds: a list of seeds is refused, or has what it says.
func FuzzSeeds(f *testing.F) {
	for _, s := range []string{"1", "1-10,20", "5-1", "18446744073709551614-18446744073709551615", "1-1000001", ",", "-", "1--2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 40 {
			return
		}
		seeds, err := parseSeeds(s)
		if (len(seeds) == 0) == (err == nil) {
			t.Fatalf("%q: %d seeds, %v", s, len(seeds), err)
		}
		if err == nil && len(seeds) != strings.Count(s, ",")+1 && !strings.Contains(s, "-") {
			t.Fatalf("%q: %v", s, seeds)
		}
	})
}

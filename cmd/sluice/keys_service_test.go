package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/netconn"
	"github.com/sluicenet/sluice/config"
	"github.com/sluicenet/sluice/mocks"
)

// serviceLab is two stacks with services, in real time: services use sockets.
type serviceLab struct {
	t   *testing.T
	sys *config.System
}

// services builds and starts a system with the given items of services.
func services(t *testing.T, items string) *serviceLab {
	t.Helper()
	cfg, err := config.Load(config.Options{Name: "f", Data: []byte(`version: 1
links: [{name: wire, driver: pipe}]
stacks:
  - {name: near, link: "wire:a", addresses: [10.0.0.1/24], tcp: {fast_open: {client: true}}}
  - {name: far, link: "wire:b", addresses: [10.0.0.2/24], tcp: {fast_open: {server: true}}}
shutdown: 1s
services:
` + items)})
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
	if err := sys.Start(); err != nil {
		t.Fatal(err)
	}
	return &serviceLab{t, sys}
}

// talk sends a word to a port of a stack from another, and returns the answer.
func (l *serviceLab) talk(from string, to string) string {
	l.t.Helper()
	d := netconn.Dialer{Stack: l.sys.Stack(from)}
	c, err := d.Dial("tcp", to)
	if err != nil {
		return "refused"
	}
	return converse(l.t, c)
}

func converse(t *testing.T, c net.Conn) string {
	t.Helper()
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(c, "word")
	c.(interface{ CloseWrite() error }).CloseWrite()
	b, err := io.ReadAll(c)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

// fastTalk sends a word with the SYN, if the server's cookie for that can be had by a
// dial before, and returns what has become of it.
func (l *serviceLab) fastTalk(from, to string) (outcome string) {
	l.t.Helper()
	for range 2 {
		f, err := l.sys.Stack(from).(api.FastDialer).DialFast(context.Background(), netip.MustParseAddrPort(to), nil, api.NewBuffer([]byte("word")))
		if err != nil {
			l.t.Fatal(err)
		}
		if b, err := f.Read(context.Background()); err != nil || string(b.Bytes()) != "word" {
			l.t.Errorf("answer: %v", err)
		}
		outcome = f.Info().FastOpen
		f.Close(context.Background())
	}
	return outcome
}

// http asks the far stack's web server.
func (l *serviceLab) http(method, path string) string {
	l.t.Helper()
	d := netconn.Dialer{Stack: l.sys.Stack("near")}
	tr := &http.Transport{DialContext: d.DialContext, DisableKeepAlives: true}
	req, _ := http.NewRequest(method, "http://10.0.0.2"+path, strings.NewReader("body"))
	resp, err := tr.RoundTrip(req)
	if err != nil {
		l.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return fmt.Sprintf("%d %.20s", resp.StatusCode, b)
}

const echo = "  - {name: s, stack: far, handler: echo, listen: 7}\n"

// serviceCases has the two forms of the file of which only one key differs, and
// what is to be seen.
var serviceCases = map[string]struct {
	before, after string
	see           func(*serviceLab) string
	want          string
}{
	"services[].name": {echo, strings.Replace(echo, "name: s", "name: other", 1), func(l *serviceLab) string {
		return l.sys.Status().Services[0].Name
	}, "other"},
	"services[].stack": {echo, strings.Replace(echo, "stack: far", "stack: near", 1), func(l *serviceLab) string {
		return l.talk("near", "10.0.0.2:7") + " " + l.talk("far", "10.0.0.1:7")
	}, "refused word"},
	"services[].handler": {echo, strings.Replace(echo, "handler: echo", "handler: discard", 1), func(l *serviceLab) string {
		return "answer " + l.talk("near", "10.0.0.2:7")
	}, "answer "},
	"services[].listen": {echo, strings.Replace(echo, "listen: 7", "listen: 8", 1), func(l *serviceLab) string {
		return l.talk("near", "10.0.0.2:7") + " " + l.talk("near", "10.0.0.2:8")
	}, "refused word"},
	"services[].root": {"  - {name: s, stack: far, handler: http, listen: 80}\n",
		"  - {name: s, stack: far, handler: http, listen: 80, root: DIR}\n",
		func(l *serviceLab) string { return l.http("GET", "/file") }, "200 content"},
	"services[].upload": {"  - {name: s, stack: far, handler: http, listen: 80, root: DIR}\n",
		"  - {name: s, stack: far, handler: http, listen: 80, root: DIR, upload: true}\n",
		func(l *serviceLab) string { return l.http("PUT", "/new") }, "201 4 bytes\n"},
	"services[].to": {forwardTo + `"10.0.0.2:9"}` + "\n" + twoServers, forwardTo + `"10.0.0.2:7"}` + "\n" + twoServers, func(l *serviceLab) string {
		c, err := net.Dial("tcp", l.sys.Status().Services[0].Listen)
		if err != nil {
			l.t.Fatal(err)
		}
		return "answer " + converse(l.t, c)
	}, "answer word"},
	"services[].from": {forwardTo + `"10.0.0.2:9"}` + "\n", strings.Replace(forwardTo, "127.0.0.1:0", "127.0.0.2:0", 1) + `"10.0.0.2:9"}` + "\n", func(l *serviceLab) string {
		return netip.MustParseAddrPort(l.sys.Status().Services[0].Listen).Addr().String()
	}, "127.0.0.2"},
	// What it does with connections is tested beside the service, whose dials can be
	// led to a safe place there.
	"services[].prefixes": {"  - {name: f, stack: far, handler: forward, prefixes: [10.9.9.0/24]}\n",
		"  - {name: f, stack: far, handler: forward, prefixes: [10.9.9.7/16, '::/0']}\n",
		func(l *serviceLab) string { return l.sys.Status().Services[0].Listen }, "[10.9.0.0/16 ::/0]"},
	"services[].fast_open": {echo, strings.Replace(echo, "listen: 7", "listen: 7, fast_open: 5", 1), func(l *serviceLab) string {
		return l.fastTalk("near", "10.0.0.2:7")
	}, "accepted"},
	"services[].connections": {echo, strings.Replace(echo, "listen: 7", "listen: 7, connections: 3", 1), nil, "3"},
}

const (
	forwardTo  = `  - {name: f, stack: near, handler: forward, from: "127.0.0.1:0", to: `
	twoServers = echo + "  - {name: d, stack: far, handler: discard, listen: 9}\n"
)

func TestKeysOfServices(t *testing.T) {
	for path, c := range serviceCases {
		t.Run(path, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "file"), []byte("content"), 0o600); err != nil {
				t.Fatal(err)
			}
			see := func(items string) string {
				items = strings.ReplaceAll(items, "DIR", dir)
				if c.see == nil {
					return seeBacklog(t, items)
				}
				return c.see(services(t, items))
			}
			before, after := see(c.before), see(c.after)
			if before == after {
				t.Errorf("it changes nothing: %s", after)
			}
			if after != c.want {
				t.Errorf("got %q, want %q", after, c.want)
			}
		})
	}
}

// seeBacklog returns how many unfinished handlers the service asks its stack for.
func seeBacklog(t *testing.T, items string) string {
	var backlog int
	st := mocks.NewStack(t)
	st.EXPECT().Listen(uint16(7), mock.Anything, mock.Anything).RunAndReturn(
		func(port uint16, cfg *api.ListenConfig, _ api.Handler) (uint16, error) {
			backlog = cfg.Backlog
			return port, nil
		}).Once()
	st.EXPECT().Unlisten(uint16(7)).Return().Once()
	st.EXPECT().Disconnect(mock.Anything).Return().Once()
	cfg, err := config.Load(config.Options{Name: "f",
		Data:     []byte("version: 1\nstacks: [{name: far, backend: mock}]\nservices:\n" + items),
		Backends: config.Backends{"mock": {New: func(*config.Environment) (api.Stack, error) { return st, nil }}}})
	if err != nil {
		t.Fatal(err)
	}
	sys, err := config.Build(cfg, config.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	if err := sys.Start(); err != nil {
		t.Error(err)
	}
	sys.Close(context.Background())
	return fmt.Sprint(backlog)
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluicenet/sluice/config"
)

// binary builds the program once, and returns its path.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "sluice-e2e-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "sluice")
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	args := []string{"build", "-o", path}
	if raceEnabled {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, ".")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %v\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	status := m.Run()
	if path, err := binary(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	if err := goleak.Find(); err != nil && status == 0 {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}

// environment is that of a user, without what is set for tests.
func environment() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, config.EnvPrefix) {
			env = append(env, kv)
		}
	}
	return env
}

// daemon is a running "sluice run".
type daemon struct {
	t      *testing.T
	cmd    *exec.Cmd
	socket string
	out    string   // what it printed until it was ready
	log    logLines // its standard error
	done   chan struct{}
	err    error
}

type logLines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// startDaemon runs "sluice run" behind a command such as "ip netns exec", and
// waits until it is ready.
func startDaemon(t *testing.T, prefix []string, args ...string) *daemon {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{t: t, socket: filepath.Join(t.TempDir(), "s"), done: make(chan struct{})}
	argv := append(append([]string{}, prefix...), path, "run", "--socket", d.socket, "--set", "log.format=json")
	argv = append(argv, args...)
	d.cmd = exec.Command(argv[0], argv[1:]...)
	d.cmd.Env = environment()
	d.cmd.Stderr = &d.log
	stdout, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	go func() {
		sc := bufio.NewScanner(stdout)
		var out strings.Builder
		for sc.Scan() {
			fmt.Fprintln(&out, sc.Text())
			if strings.HasPrefix(sc.Text(), "Ctrl-C") {
				d.out = out.String()
				close(ready)
			}
		}
		d.err = d.cmd.Wait()
		close(d.done)
	}()
	t.Cleanup(func() {
		d.cmd.Process.Kill()
		<-d.done
		if t.Failed() {
			t.Logf("the daemon's log:\n%s", d.log.String())
		}
	})
	select {
	case <-ready:
	case <-d.done:
		t.Fatalf("sluice run ends: %v", d.err)
	case <-time.After(10 * time.Minute):
		t.Fatal("sluice run does not start")
	}
	return d
}

// terminate sends SIGTERM and waits for an orderly end.
func (d *daemon) terminate() {
	d.t.Helper()
	d.signal()
	d.wait()
}

func (d *daemon) signal() { d.cmd.Process.Signal(syscall.SIGTERM) }

func (d *daemon) wait() {
	d.t.Helper()
	select {
	case <-d.done:
		if d.err != nil {
			d.t.Errorf("the daemon ends with %v", d.err)
		}
	case <-time.After(10 * time.Minute):
		d.t.Error("the daemon does not end")
	}
}

// url returns the first URL that the daemon printed after the given words.
func (d *daemon) url(after string) string {
	d.t.Helper()
	m := regexp.MustCompile(regexp.QuoteMeta(after) + ` (http://\S+)`).FindStringSubmatch(d.out)
	if m == nil {
		d.t.Fatalf("no URL after %q in:\n%s", after, d.out)
	}
	return m[1]
}

// written returns how many bytes a service had written to its flows in all,
// which the daemon logs at its end.
func (d *daemon) written(service string) int64 {
	d.t.Helper()
	for _, line := range strings.Split(d.log.String(), "\n") {
		var rec struct {
			Msg     string
			Service string
			Written int64
		}
		if json.Unmarshal([]byte(line), &rec) == nil && rec.Msg == "service ended" && rec.Service == service {
			return rec.Written
		}
	}
	d.t.Errorf("no word of service %s in the log", service)
	return -1
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	client := &http.Client{Timeout: 60 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%s: %s, %v", url, resp.Status, err)
	}
	return string(b)
}

// TestRunDefault: what a newcomer sees.
func TestRunDefault(t *testing.T) {
	d := startDaemon(t, nil, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0")
	web := d.url("Open")
	if page := fetch(t, web); !strings.Contains(page, "<title>Sluice</title>") {
		t.Errorf("the page is %.200q", page)
	}
	if n := len(fetch(t, web+"bytes/2000000")); n != 2_000_000 {
		t.Errorf("%d bytes", n)
	}
	var st config.Status
	if err := json.Unmarshal([]byte(fetch(t, d.url("Status as JSON:"))), &st); err != nil {
		t.Fatal(err)
	}
	var crossed uint64
	for _, l := range st.Links {
		crossed += l.BytesOut
	}
	if crossed < 2_000_000 || st.Stacks[0].Backend != "cubic" || st.Stacks[1].Backend != "reno" {
		t.Errorf("%d bytes crossed the link; stacks %+v", crossed, st.Stacks)
	}
	status, out, errs := sluice("flows", "--socket", d.socket)
	if status != 0 || !strings.Contains(out, "LISTEN") || !strings.Contains(out, "10.77.0.2:80") {
		t.Errorf("flows: status %d\n%s%s", status, out, errs)
	}
	d.terminate()
	if _, err := os.Stat(d.socket); !os.IsNotExist(err) {
		t.Errorf("the control socket is left behind: %v", err)
	}
}

// TestRunDrains: a download under way when SIGTERM comes is finished.
func TestRunDrains(t *testing.T) {
	d := startDaemon(t, nil, "--listen", "127.0.0.1:0", "--http", "off")
	resp, err := http.Get(d.url("Open") + "bytes/6000000")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	first, err := io.CopyN(io.Discard, resp.Body, 100_000)
	if err != nil {
		t.Fatal(err)
	}
	d.signal()
	rest, err := io.Copy(io.Discard, resp.Body)
	if err != nil || first+rest != 6_000_000 {
		t.Errorf("%d bytes, %v", first+rest, err)
	}
	http.DefaultClient.CloseIdleConnections()
	d.wait()
}

func TestRunPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr := l.Addr().String()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "s")
	for _, flag := range []string{"--listen", "--http"} {
		args := []string{"run", "--socket", socket, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", flag, addr}
		cmd := exec.Command(path, args...)
		cmd.Env = environment()
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), addr) || !strings.Contains(string(out), "another with "+flag) {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
}

// TestRunEndsInTime: a client that never reads does not hold up the end beyond
// the configured time, and a second signal ends it at once.
func TestRunEndsInTime(t *testing.T) {
	for _, second := range []bool{false, true} {
		shutdown := "1s"
		if second {
			shutdown = "10m"
		}
		d := startDaemon(t, nil, "-c", "../../examples/pipe.yaml", "--set", "shutdown="+shutdown,
			"--set", "services.to-echo.from=127.0.0.1:0", "--set", "services.to-discard.from=127.0.0.1:0",
			"--set", "services.to-chargen.from=127.0.0.1:0")
		m := regexp.MustCompile(`to-chargen: (\S+) of this host`).FindStringSubmatch(d.out)
		if m == nil {
			t.Fatalf("no address in:\n%s", d.out)
		}
		c, err := net.Dial("tcp", m[1])
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.ReadFull(c, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		d.signal()
		if second {
			for !strings.Contains(d.log.String(), "shutting down") {
				time.Sleep(time.Millisecond)
			}
			d.signal()
		}
		select {
		case <-d.done:
		case <-time.After(30 * time.Second):
			t.Fatal("the daemon does not end")
		}
		if code := d.cmd.ProcessState.ExitCode(); code != 0 && !second || code != 1 && second {
			t.Errorf("second signal %v: exit status %d", second, code)
		}
	}
}

// TestExamples: every example is valid, and starts. Those with devices start in a
// namespace of their own, in TestTUN, TestTAP and TestPacket.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../../examples/*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("examples: %v, %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			cfg, err := config.Load(config.Options{File: file})
			if err != nil {
				t.Fatal(err)
			}
			driver := ""
			if len(cfg.Links) > 0 {
				driver = cfg.Links[0].Driver
			}
			switch driver {
			case "tun", "tap", "packet":
				return
			}
			opts := config.Options{File: file}
			kernel := cfg.Stacks[0].Backend == "kernel"
			for _, s := range cfg.Services {
				key, value := "services."+s.Name+".from", "127.0.0.1:0"
				if s.Handler != "forward" {
					if !kernel {
						continue
					}
					key, value = "services."+s.Name+".listen", freePort(t)
				}
				opts.Set = append(opts.Set, config.Assignment{Key: key, Value: value, Source: "test"})
			}
			if cfg, err = config.Load(opts); err != nil {
				t.Fatal(err)
			}
			sys, err := config.Build(cfg, config.Deps{})
			if err != nil {
				t.Fatal(err)
			}
			defer sys.Close(context.Background())
			if err := sys.Start(); err != nil {
				t.Fatal(err)
			}
			for _, s := range sys.Status().Services {
				if s.Listen == "" {
					t.Errorf("service %s does not listen", s.Name)
				}
			}
		})
	}
}

// freePort returns a port of loopback that is free now.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// drillRun runs "sluice drill" with args.
func drillRun(args ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	status = execute(context.Background(), append([]string{"drill"}, args...), &out, &errs)
	return status, out.String(), errs.String()
}

func TestDrillCommand(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := write("good.pkt", "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = FD\n+0 close(FD) = 0\n")
	bad := write("bad.pkt", "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 close(3) = -1 EBADF (Bad file descriptor)\n")
	write("skip.pkt", "`frobnicate`\n0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n")
	broken := write("broken.pkt", "0 socket(\n")

	if status, out, errs := drillRun(good, "-D", "FD=3"); status != 0 || !strings.Contains(out, "1 scripts") || !strings.Contains(out, "1 pass, 0 fail") {
		t.Errorf("good: %d\n%s%s", status, out, errs)
	}
	status, _, errs := drillRun(bad)
	if status != 1 || !strings.Contains(errs, "FAIL at line 2") || !strings.Contains(errs, "close(3) = -1 EBADF") {
		t.Errorf("bad: %d\n%s", status, errs)
	}
	if status, _, errs := drillRun(broken); status != 1 || !strings.Contains(errs, "broken.pkt:2:1: expected an expression") {
		t.Errorf("broken: %d\n%s", status, errs)
	}

	jsonFile, junitFile, pcaps := filepath.Join(dir, "r.json"), filepath.Join(dir, "r.xml"), filepath.Join(dir, "pcaps")
	status, out, errs := drillRun(dir, "-D", "FD=3", "--json", jsonFile, "--junit", junitFile, "--pcap", pcaps, "-v")
	if status != 1 || !strings.Contains(out, "1 pass, 1 fail, 1 skip, 1 broken") || !strings.Contains(out, "the shell command frobnicate") ||
		!strings.Contains(errs, "good.pkt: PASS") {
		t.Errorf("directory: %d\n%s%s", status, out, errs)
	}
	var report drillReport
	b, err := os.ReadFile(jsonFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &report); err != nil || len(report.Scripts) != 4 || report.Counts["skip"] != 1 {
		t.Errorf("%v\n%s", err, b)
	}
	b, err = os.ReadFile(junitFile)
	if err != nil {
		t.Fatal(err)
	}
	d := xml.NewDecoder(bytes.NewReader(b))
	for err == nil {
		_, err = d.Token()
	}
	if err != io.EOF || !strings.Contains(string(b), `tests="4" failures="1" errors="1" skipped="1"`) {
		t.Errorf("%v\n%s", err, b)
	}
	if files, _ := filepath.Glob(pcaps + "/*.pcapng"); len(files) != 4 {
		t.Errorf("captures: %v", files)
	}

	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "needs a script"},
		{[]string{good, "--target", "x"}, "no target"},
		{[]string{good, "--match", "x"}, "neither strict nor lenient"},
		{[]string{good, "--profile", "x"}, "none of linux"},
		{[]string{good, "-D", "x"}, "not NAME=value"},
		{[]string{filepath.Join(dir, "none.pkt")}, "none.pkt"},
		{[]string{t.TempDir()}, "there is no *.pkt"},
	} {
		if status, _, errs := drillRun(c.args...); status != 2 || !strings.Contains(errs, c.want) {
			t.Errorf("%v: %d\n%s", c.args, status, errs)
		}
	}
	if status, out, _ := drillRun("--list"); status != 0 || !strings.Contains(out, "net.ipv4.tcp_sack") || !strings.Contains(out, "epoll_wait") {
		t.Errorf("list: %d\n%s", status, out)
	}
}

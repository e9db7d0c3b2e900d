package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sluice runs one command line in this process.
func sluice(args ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	status = execute(context.Background(), args, &out, &errs)
	return status, out.String(), errs.String()
}

func TestExitStatus(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(bad, []byte("version: 1\nstcks: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := "../../examples/default.yaml"
	for _, tc := range []struct {
		args   []string
		status int
		out    string // in standard output
		err    string // in standard error
	}{
		{[]string{}, 0, "sluice run", ""},
		{[]string{"--help"}, 0, "Usage:", ""},
		{[]string{"version"}, 0, "sluice ", ""},
		{[]string{"version", "x"}, 2, "", "--help"},
		{[]string{"frob"}, 2, "", `unknown command "frob"`},
		{[]string{"run", "--frob"}, 2, "", "unknown flag: --frob"},
		{[]string{"run", "x"}, 2, "", "--help"},
		{[]string{"run", "--set", "nonsense"}, 2, "", "is not KEY=VALUE"},
		{[]string{"check"}, 2, "", "which file"},
		{[]string{"check", "-c", good}, 0, "ok: 1 link, 2 stacks, 2 services", ""},
		{[]string{"check", "-c", bad}, 1, "", bad + `:2: stcks: unknown key; did you mean "stacks"?`},
		{[]string{"check", "-c", filepath.Join(dir, "none")}, 1, "", "no such file"},
		{[]string{"check", "-c", good, "--set", "stacks.far.backend=kubic"}, 1, "", `there is no backend "kubic"`},
		{[]string{"check", "--keys"}, 0, "stacks[].buffers.send (size, 4KiB to 1GiB)", ""},
		{[]string{"run", "-c", bad}, 1, "", bad + ":2"},
		{[]string{"run", "--http", "9464"}, 1, "", "--http 9464: http.listen"},
		{[]string{"run", "--http", "10.0.0.1:80"}, 1, "", "not a loopback address"},
		{[]string{"run", "--listen", ":80"}, 1, "", `write "127.0.0.1:80"`},
		{[]string{"run", "-c", "../../examples/pipe.yaml", "--listen", "127.0.0.1:1"}, 2, "", "say which with --set services."},
		{[]string{"run", "-c", "../../examples/tun.yaml", "--listen", "127.0.0.1:1"}, 2, "", "no service of the configuration has the handler forward"},
		{[]string{"flows", "--socket", filepath.Join(dir, "s")}, 1, "", "is 'sluice run' running?"},
		{[]string{"flows", "--interval", "1ms"}, 2, "", "less than 100ms"},
	} {
		status, out, errs := sluice(tc.args...)
		if status != tc.status || !strings.Contains(out, tc.out) || !strings.Contains(errs, tc.err) {
			t.Errorf("sluice %v: status %d, want %d; output %q, want %q; errors %q, want %q",
				tc.args, status, tc.status, out, tc.out, errs, tc.err)
		}
		if status == 0 && errs != "" || status != 0 && errs == "" {
			t.Errorf("sluice %v: status %d with errors %q", tc.args, status, errs)
		}
	}
}

func TestEnvironmentIsRead(t *testing.T) {
	t.Setenv("SLUICE_STACKS_FAR_BACKEND", "kubic")
	status, _, errs := sluice("check", "-c", "../../examples/default.yaml")
	if status != 1 || !strings.Contains(errs, "SLUICE_STACKS_FAR_BACKEND: stacks.far.backend") {
		t.Errorf("status %d, errors %q", status, errs)
	}
}

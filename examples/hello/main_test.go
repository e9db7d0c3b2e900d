package main

import (
	"bytes"
	"runtime"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// TestBackends: one word of the configuration, and nothing of the program,
// decides which TCP it is.
func TestBackends(t *testing.T) {
	defer goleak.VerifyNone(t)
	for _, backend := range []string{"cubic", "reno", "kernel"} {
		if backend == "kernel" && runtime.GOOS != "linux" {
			continue
		}
		// The file with the word changed, as a user would do it.
		edited := bytes.Replace(yaml, []byte("backend: cubic"), []byte("backend: "+backend), 1)
		if backend != "cubic" && bytes.Equal(edited, yaml) {
			t.Fatal("hello.yaml has no line \"backend: cubic\"")
		}
		saved := yaml
		yaml = edited
		var out strings.Builder
		err := run("", &out)
		yaml = saved
		if err != nil || !strings.HasPrefix(out.String(), backend+": hello, world ") {
			t.Errorf("%s: %q, %v", backend, out.String(), err)
		}
	}
	if err := run("kubic", &strings.Builder{}); err == nil || !strings.Contains(err.Error(), `did you mean "cubic"?`) {
		t.Errorf("an unknown backend: %v", err)
	}
}

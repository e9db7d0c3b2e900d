package examples_test

import (
	"os"
	"os/exec"
	"testing"
)

// The controller from outside is a module of its own, which ./... leaves out.
func TestController(t *testing.T) {
	cmd := exec.Command("go", "test", "-v", "./...")
	cmd.Dir = "controller"
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go test in examples/controller: %v\n%s", err, out)
	}
}

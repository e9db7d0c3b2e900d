package driver

import (
	"os"
	"strings"
	"testing"

	"github.com/sluicenet/sluice/conformance"
)

// TestMine runs some cases. All of them: conformance.Run(t, Mine{}).
func TestMine(t *testing.T) {
	cases, err := conformance.Select("contract/R*,rfc9293/MUST-3*,rfc2018/*")
	if err != nil {
		t.Fatal(err)
	}
	conformance.RunCases(t, Mine{}, cases)
}

// TestMissing: a capability that is not claimed gives a skip that names it.
func TestMissing(t *testing.T) {
	c, _ := conformance.Lookup("rfc9293/MUST-62")
	r := conformance.RunCase(Mine{}, &c, conformance.IPv4, 1, 0)
	if r.Verdict != conformance.Skip || r.Missing != "urgent" {
		t.Error(r.Text())
	}
}

// TestShort: a driver takes less than 60 lines.
func TestShort(t *testing.T) {
	b, err := os.ReadFile("driver.go")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(b), "\n"); n >= 60 {
		t.Errorf("the driver has %d lines", n)
	}
}

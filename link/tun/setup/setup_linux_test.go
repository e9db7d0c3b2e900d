package setup

import (
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestErrors(t *testing.T) {
	if err := Configure("no-such-device", 0); err == nil || !strings.Contains(err.Error(), "no-such-device: cannot find it") {
		t.Errorf("a device that is not there: %v", err)
	}
	if err := Configure("no-such-device", 0, netip.Prefix{}); err == nil || !strings.Contains(err.Error(), "invalid address") {
		t.Errorf("an invalid address: %v", err)
	}
	if err := explain("x0", "set it up", unix.EPERM); !strings.Contains(err.Error(), "run as root") {
		t.Errorf("without a privilege: %v", err)
	}
}

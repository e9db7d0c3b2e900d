package fixed

import (
	"strings"
	"testing"

	"github.com/sluicenet/sluice/api/cc"
)

func TestWindow(t *testing.T) {
	for opts, want := range map[string]int64{
		"": 65536, "window=64KiB": 65536, "window=100kB": 100000, "window=1B": 1000, "window=1.5MiB": 3 << 19,
		"window=2MB": 2e6, "window=3GB": 3e9, " window = 1 GiB ": 1 << 30, "window=1024GiB": 1 << 40, "window=1e3kB": 1e6,
	} {
		c, err := Factory.New(&cc.Env{MSS: 1000, InitialWindow: 10000}, opts)
		if err != nil {
			t.Errorf("New(%q): %v", opts, err)
			continue
		}
		c.OnCongestion(&cc.CongestionEvent{Kind: cc.Timeout, FlightSize: 5000})
		c.OnAck(&cc.AckEvent{Delivered: 1 << 40, CumAcked: 1 << 40, CwndLimited: true})
		if got := c.Control(); got != (cc.Control{Cwnd: want, Ssthresh: cc.NoThreshold}) {
			t.Errorf("New(%q) gives %+v, want a window of %d", opts, got, want)
		}
	}
}

// A window has room for one segment, whatever its size.
func TestMSS(t *testing.T) {
	c, err := Factory.New(&cc.Env{MSS: 1000}, "window=2000B")
	if err != nil {
		t.Fatal(err)
	}
	for mss, want := range map[int64]int64{1000: 2000, 9000: 9000, 500: 2000} {
		c.(cc.MSSObserver).OnMSS(mss)
		if got := c.Control().Cwnd; got != want {
			t.Errorf("with an MSS of %d the window is %d, want %d", mss, got, want)
		}
	}
}

func TestOptions(t *testing.T) {
	if Factory.Name() != "fixed" {
		t.Fatalf("name is %q", Factory.Name())
	}
	for opts, part := range map[string]string{
		"window=64": "needs a unit", "window=KiB": `"KiB" is not a size`, "window=-1KiB": "from 1B", "window=0B": "from 1B",
		"window=2TB": "not a size", "window=NaNB": "not a size", "window=1025GiB": "from 1B", "window=1.5B": "whole number",
		"window=InfB": "from 1B", "size=1KiB": `unknown option "size"`, "window": `option "window"`, "window=xB": "not a size",
	} {
		_, err := Factory.New(&cc.Env{MSS: 1000}, opts)
		if err == nil || !strings.HasPrefix(err.Error(), "fixed: ") || !strings.Contains(err.Error(), part) {
			t.Errorf("New(%q) gave %v, want it to say %s", opts, err, part)
		}
	}
}

package cctest_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/conformance/cctest"
)

// small is a correct little controller, which a test breaks in one way.
type small struct {
	mss, cwnd, ssthresh int64
	env                 *cc.Env
	last                *cc.AckEvent
	log                 []int64
	broken              string
}

type smallFactory struct{ broken string }

func (f smallFactory) Name() string {
	if f.broken == "has no name" {
		return ""
	}
	return "small"
}

func (f smallFactory) New(env *cc.Env, opts string) (cc.Controller, error) {
	err := cc.ParseOptions(opts, func(string, string) (bool, error) { return false, nil })
	switch {
	case f.broken == "ignores options":
	case f.broken == "does not say which option" && err != nil:
		return nil, errors.New("bad options")
	case err != nil:
		return nil, fmt.Errorf("small: %w", err)
	}
	return &small{mss: env.MSS, cwnd: env.InitialWindow, ssthresh: cc.NoThreshold, env: env, broken: f.broken}, nil
}

var calls int64 // what a controller must not have

func (c *small) OnAck(ev *cc.AckEvent) {
	const limit = 1 << 40
	grow := ev.CwndLimited && ev.Delivered > 0 && ev.Phase != cc.Recovery
	switch c.broken {
	case "grows unused":
		grow = true
	case "grows in recovery":
		grow = ev.CwndLimited && ev.Delivered > 0
	case "shrinks on an ACK":
		if ev.RTT.Sample > 500*time.Millisecond {
			c.cwnd = max(c.cwnd/2, c.mss)
		}
	case "keeps the event":
		if c.last != nil && grow {
			c.cwnd = min(c.cwnd+c.last.Delivered%2, limit)
		}
		c.last = ev
	case "keeps the Env":
		grow = grow && c.env.MSS > 0
	case "has a global variable":
		calls++
		c.cwnd = min(c.cwnd+calls%2, limit)
	case "allocates":
		c.log = append([]int64(nil), ev.Delivered, ev.Lost)
	case "divides by zero":
		c.cwnd += int64(ev.Rate.Interval) / int64(ev.RTT.Smoothed) * 0
	case "paces backwards":
		c.log = append(c.log[:0], -ev.Delivered)
	}
	if !grow {
		return
	}
	n := min(ev.Delivered, 8*c.mss)
	if c.cwnd >= c.ssthresh {
		n = max(1, c.mss*min(ev.Delivered, c.cwnd)/c.cwnd)
	}
	if c.broken == "overflows" {
		c.cwnd += c.cwnd / 2
		return
	}
	c.cwnd = max(c.cwnd, min(c.cwnd+n, limit))
}

func (c *small) OnCongestion(ev *cc.CongestionEvent) {
	flight := min(ev.FlightSize, 1<<40)
	c.ssthresh = max(flight/2, 2*c.mss)
	if c.broken == "has no floor" {
		c.ssthresh = max(flight/2, 1)
	}
	c.cwnd = c.ssthresh
	if ev.Kind == cc.Timeout {
		c.cwnd = c.mss
	}
}

func (c *small) OnMSS(mss int64) {
	c.mss = mss
	if c.broken != "forgets the segment size" {
		c.cwnd, c.ssthresh = max(c.cwnd, mss), max(c.ssthresh, 2*mss)
	}
}

func (c *small) Control() cc.Control {
	k := cc.Control{Cwnd: c.cwnd, Ssthresh: c.ssthresh}
	if c.broken == "paces backwards" && len(c.log) > 0 {
		k.Pacing = cc.BytesPerSec(c.log[0])
	}
	return k
}

// failing returns the checks that a controller fails.
func failing(f cc.Factory, o cctest.Options) (names []string) {
	for _, c := range cctest.Checks() {
		if c.Run(f, o) != nil {
			names = append(names, c.Name)
		}
	}
	return names
}

// run runs one check.
func run(name string, f cc.Factory, o cctest.Options) error {
	for _, c := range cctest.Checks() {
		if c.Name == name {
			return c.Run(f, o)
		}
	}
	panic("BUG: no check " + name)
}

// A correct controller passes every check, and each way of breaking it fails the
// check that is there for it.
func TestBrokenControllersFail(t *testing.T) {
	loss := cctest.Options{LossBased: true}
	if bad := failing(smallFactory{}, loss); len(bad) > 0 {
		t.Fatalf("a correct controller fails %v", bad)
	}
	seen := map[string]bool{}
	for broken, check := range map[string]string{
		"has no name":               "options",
		"ignores options":           "options",
		"does not say which option": "options",
		"has no floor":              "floor",
		"forgets the segment size":  "floor",
		"grows unused":              "unused",
		"overflows":                 "month",
		"grows in recovery":         "hostile",
		"shrinks on an ACK":         "hostile",
		"divides by zero":           "hostile",
		"paces backwards":           "hostile",
		"keeps the event":           "determinism",
		"keeps the Env":             "determinism",
		"has a global variable":     "determinism",
		"allocates":                 "allocation",
	} {
		if err := run(check, smallFactory{broken}, loss); err == nil {
			t.Errorf("a controller that %s passes %q", broken, check)
		}
		seen[check] = true
	}
	for _, c := range cctest.Checks() {
		if !seen[c.Name] {
			t.Errorf("no controller fails %q", c.Name)
		}
	}
}

// Without the declaration, shrinking on an ACK is allowed, and growth in a model's
// bounds; growth without bound is not.
func TestModelBased(t *testing.T) {
	if bad := failing(smallFactory{"shrinks on an ACK"}, cctest.Options{}); len(bad) > 0 {
		t.Errorf("a model-based controller may shrink its window on an ACK, but fails %v", bad)
	}
	if run("unused", smallFactory{"grows unused"}, cctest.Options{}) == nil {
		t.Error("a window that grows unused without bound passes")
	}
}

// Package fixed is a constant window: no congestion control at all, for tests and
// measurements on networks that nobody else uses.
//
// One option, with its default:
//
//	window=64KiB  what may be in flight; B, kB, KiB, MB, MiB, GB or GiB
package fixed

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/sluicenet/sluice/api/cc"
)

// Factory makes controllers with a constant window, under the name "fixed".
var Factory cc.Factory = factory{}

const (
	defaultWindow = 64 << 10

	// maxWindow keeps sums of windows and sequence numbers from overflowing. An
	// engine's own limit is much lower.
	maxWindow = 1 << 40
)

type factory struct{}

func (factory) Name() string { return "fixed" }

func (factory) New(env *cc.Env, opts string) (cc.Controller, error) {
	c := &controller{window: defaultWindow, mss: max(env.MSS, 1)}
	err := cc.ParseOptions(opts, func(key, value string) (known bool, err error) {
		if key != "window" {
			return false, nil
		}
		c.window, err = size(value)
		return true, err
	})
	if err != nil {
		return nil, fmt.Errorf("fixed: %w", err)
	}
	return c, nil
}

var units = []struct {
	suffix string
	bytes  float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, // before B, which ends them
	{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9},
	{"B", 1},
}

// size parses a number of bytes, with its unit.
func size(s string) (int64, error) {
	for _, u := range units {
		number, ok := strings.CutSuffix(s, u.suffix)
		if !ok {
			continue
		}
		x, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		n := x * u.bytes
		switch {
		case err != nil || math.IsNaN(x):
			return 0, fmt.Errorf("%q is not a size such as 64KiB", s)
		case n != math.Trunc(n) || n < 1 || n > maxWindow:
			return 0, fmt.Errorf("%q is not a whole number of bytes from 1B to %dGiB", s, maxWindow>>30)
		}
		return int64(n), nil
	}
	return 0, errors.New("a size needs a unit: B, kB, KiB, MB, MiB, GB or GiB")
}

type controller struct {
	window, mss int64
}

func (c *controller) OnAck(*cc.AckEvent)               {}
func (c *controller) OnCongestion(*cc.CongestionEvent) {}

func (c *controller) Control() cc.Control {
	return cc.Control{Cwnd: max(c.window, c.mss), Ssthresh: cc.NoThreshold}
}

// OnMSS implements [cc.MSSObserver]: a window has room for a segment.
func (c *controller) OnMSS(mss int64) { c.mss = max(mss, 1) }

// EnterRecovery and ExitRecovery implement [cc.RecoveryOwner]: losses do not
// change the window either.
func (c *controller) EnterRecovery(now cc.Time, inFlight int64) {}
func (c *controller) ExitRecovery(now cc.Time, undone bool)     {}

var (
	_ cc.MSSObserver   = (*controller)(nil)
	_ cc.RecoveryOwner = (*controller)(nil)
)

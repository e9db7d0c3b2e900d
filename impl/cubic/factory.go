package cubic

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/sluicenet/sluice/api/cc"
)

// Factory makes CUBIC controllers, under the name "cubic".
var Factory cc.Factory = factory{}

type factory struct{}

func (factory) Name() string { return "cubic" }

func (factory) New(env *cc.Env, opts string) (cc.Controller, error) {
	c := &controller{c: 0.4, beta: 0.7, fastConvergence: true, delayBased: true, trace: env.Trace}
	err := cc.ParseOptions(opts, func(key, value string) (known bool, err error) {
		switch key {
		case "c":
			c.c, err = number(value, 1000)
		case "beta":
			c.beta, err = number(value, 1)
		case "fast_convergence":
			c.fastConvergence, err = onOff(value)
		case "hystart":
			c.delayBased, err = onOff(value)
		default:
			return false, nil
		}
		return true, err
	})
	if err != nil {
		return nil, fmt.Errorf("cubic: %w", err)
	}
	c.mss = float64(max(env.MSS, 1))
	c.initial = clamp(float64(env.InitialWindow), c.mss, maxWindow)
	c.cwnd = c.initial
	c.ssthresh = noThreshold
	return c, nil
}

// number parses a value greater than 0 and less than limit.
func number(s string, limit float64) (float64, error) {
	x, err := strconv.ParseFloat(s, 64)
	if err != nil || !(x > 0 && x < limit) {
		return 0, fmt.Errorf("%q is not a number between 0 and %g, both excluded", s, limit)
	}
	return x, nil
}

func onOff(s string) (bool, error) {
	if s != "on" && s != "off" {
		return false, errors.New(`must be "on" or "off"`)
	}
	return s == "on", nil
}

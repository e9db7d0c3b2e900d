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
	o, err := parse(opts)
	if err != nil {
		return nil, fmt.Errorf("cubic: %w", err)
	}
	mss := float64(max(env.MSS, 1))
	initial := clamp(float64(env.InitialWindow), mss, maxWindow)
	return &controller{
		options: o, trace: env.Trace, grown: &nobody,
		mss: mss, initial: initial, cwnd: initial, ssthresh: noThreshold,
	}, nil
}

var defaults = options{c: 0.4, beta: 0.7, fastConvergence: true, delayBased: true}

// parse returns the options in a string; the defaults are one value for all.
func parse(opts string) (*options, error) {
	if opts == "" {
		return &defaults, nil
	}
	o := defaults
	err := cc.ParseOptions(opts, func(key, value string) (known bool, err error) {
		switch key {
		case "c":
			o.c, err = number(value, 1000)
		case "beta":
			o.beta, err = number(value, 1)
		case "fast_convergence":
			o.fastConvergence, err = onOff(value)
		case "hystart":
			o.delayBased, err = onOff(value)
		default:
			return false, nil
		}
		return true, err
	})
	return &o, err
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

package cctest_test

import (
	"testing"

	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/conformance/cctest"
	"github.com/sluicenet/sluice/impl/bbr"
	"github.com/sluicenet/sluice/impl/cubic"
	"github.com/sluicenet/sluice/impl/dctcp"
	"github.com/sluicenet/sluice/impl/fixed"
	"github.com/sluicenet/sluice/impl/reno"
)

var controllers = []struct {
	f    cc.Factory
	opts string
	loss bool
}{
	{reno.Factory, "", true},
	{cubic.Factory, "", true},
	{cubic.Factory, "hystart=off,fast_convergence=off,c=900,beta=0.1", true},
	{bbr.Factory, "", false},
	{dctcp.Factory, "", true},
	{dctcp.Factory, "g=1,alpha=0.1", true},
	{fixed.Factory, "", true},
	{fixed.Factory, "window=1B", true},
}

// Every controller of this module keeps the contract.
func TestControllers(t *testing.T) {
	for _, c := range controllers {
		name := c.f.Name()
		if c.opts != "" {
			name += ":" + c.opts
		}
		t.Run(name, func(t *testing.T) {
			cctest.Test(t, c.f, cctest.Options{Opts: c.opts, LossBased: c.loss})
		})
	}
}

func FuzzReno(f *testing.F)  { cctest.Fuzz(f, reno.Factory, cctest.Options{LossBased: true}) }
func FuzzCubic(f *testing.F) { cctest.Fuzz(f, cubic.Factory, cctest.Options{LossBased: true}) }
func FuzzBBR(f *testing.F)   { cctest.Fuzz(f, bbr.Factory, cctest.Options{}) }
func FuzzDCTCP(f *testing.F) { cctest.Fuzz(f, dctcp.Factory, cctest.Options{LossBased: true}) }

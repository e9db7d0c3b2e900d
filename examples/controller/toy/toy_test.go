package toy_test

import (
	"testing"

	"example.com/controller/toy"
	"github.com/sluicenet/sluice/conformance/cctest"
)

// The kit holds it to the contract. An ACK may shrink its window: it is not based on
// loss alone.
func TestContract(t *testing.T) {
	cctest.Test(t, toy.Factory{}, cctest.Options{})
	cctest.Test(t, toy.Factory{}, cctest.Options{Opts: "queue=20"})
}

func FuzzController(f *testing.F) { cctest.Fuzz(f, toy.Factory{}, cctest.Options{}) }

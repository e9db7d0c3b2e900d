// Package cctest holds any congestion controller to the contract of package cc, and
// has a bench to try one on without a network.
//
// A controller's own test is a line:
//
//	func TestController(t *testing.T) { cctest.Test(t, mine.Factory, cctest.Options{LossBased: true}) }
//	func FuzzController(f *testing.F) { cctest.Fuzz(f, mine.Factory, cctest.Options{LossBased: true}) }
//
// What is checked, and why, stands with each of [Checks].
package cctest

import (
	"testing"

	"github.com/sluicenet/sluice/api/cc"
)

// Options say what a controller is, and how it is made.
type Options struct {
	// Opts are the controller's options, as for [cc.Factory].
	Opts string

	// LossBased declares that the window follows signals of congestion alone, as
	// in RFC 5681: no ACK shrinks it, and an ACK grows it only where it was the
	// limit, outside of recovery. The others, which follow a model of the path,
	// must keep an unused window within a multiple of what is in flight.
	LossBased bool
}

// A Check is one thing that every controller must do.
type Check struct {
	Name    string
	Explain string

	// Run returns what is wrong. It does not fail for a controller that it cannot
	// make: the check "options" does.
	Run func(f cc.Factory, o Options) error
}

// Checks returns all checks.
func Checks() []Check {
	return []Check{
		{"options", "A factory has a name, works without options, and refuses an unknown one by name: a typing error must not pass for a default.", checkOptions},
		{"floor", "The window has room for one segment whatever is lost, marked or changed in size; else the connection stands still.", checkFloor},
		{"unused", "A window that was not the limit has proved nothing, and does not grow (RFC 9002, section 7.8; RFC 7661).", checkUnused},
		{"month", "A connection lives for a month of one packet a second (three days with -short), idles for a year, and grows without a loss until numbers end: nothing overflows.", checkMonth},
		{"hostile", "Events in any order, of any size: the answer is always one that an engine can use, and never a panic.", checkHostile},
		{"determinism", "The same events give the same answers, whatever other controllers are told, and no event or Env is looked at after the call.", checkDeterminism},
		{"allocation", "No event allocates: there are millions of them a second.", checkAllocation},
	}
}

// Test runs every check.
func Test(t *testing.T, f cc.Factory, o Options) {
	for _, c := range Checks() {
		t.Run(c.Name, func(t *testing.T) {
			if err := c.Run(f, o); err != nil {
				t.Errorf("%s: %v\n%s", f.Name(), err, c.Explain)
			}
		})
	}
}

// Fuzz looks for orders of events that a controller does not bear. It is the check
// "hostile", steered.
func Fuzz(f *testing.F, factory cc.Factory, o Options) {
	for seed := range uint64(8) {
		f.Add(script(seed, 30))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := runScript(factory, o, data); err != nil {
			t.Fatal(err)
		}
	})
}

//go:build sluicefaults

package fault

import "sync/atomic"

// Built is whether the program was built to have faults.
const Built = true

// A Fault is one way in which the engine can be made wrong.
type Fault struct {
	Name     string
	Requires string // what it breaks, separated by ", ": identifiers of RFC 9293 or of the contract; other RFCs by section
	Breaks   string // what it does, in a sentence
	Cases    string // of the suite, separated by ", ": those that must fail under it
}

var active atomic.Pointer[string]

// Set makes the engine wrong in the way that name says, or sound again if name is
// empty. It must not be called while a stack is at work.
func Set(name string) { active.Store(&name) }

// On reports whether the engine is to be wrong in the way that name says.
func On(name string) bool {
	a := active.Load()
	return a != nil && *a == name
}

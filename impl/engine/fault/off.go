//go:build !sluicefaults

package fault

// Built is whether the program was built to have faults.
const Built = false

// On reports whether the engine is to be wrong in the way that name says. It never
// is.
func On(name string) bool { return false }

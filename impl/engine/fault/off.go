//go:build !sluicefaults

package fault

// On reports whether the engine is to be wrong in the way that name says. It never
// is.
func On(name string) bool { return false }

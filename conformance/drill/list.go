package drill

import (
	"maps"
	"slices"
)

// Syscalls lists the system calls that scripts may make.
func Syscalls() []string { return slices.Sorted(maps.Keys(syscalls)) }

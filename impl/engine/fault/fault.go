// Package fault lets the tests of the conformance suite break the engine in one
// place at a time. At each place where a requirement is kept stands a condition
//
//	if fault.On("name") { ... }
//
// that is false unless the program was built with the tag sluicefaults, and a test
// has chosen that fault. In any other build On is a constant that the compiler
// removes, together with the name and with what depends on it: .ci/run faults looks
// that no program has them. Yet it counts the call when it decides whether a function
// is small enough to be inlined. One that is, but for the hook, has
//
//	if fault.Built && fault.On("name") { ... }
//
// which leaves nothing to be counted. What takes more than a line,
// or is one of several wrong ways at the same place, stands in the fault.go of its
// package.
//
// The faults are listed in table.go, each with the requirements that it breaks.
// There is one at a time for the whole process; many are tried at once in as many
// processes.
package fault

// Command gvisor runs the conformance suite against gVisor's TCP.
//
// It is a module of its own so that Sluice's stays free of gVisor. Its command line is
// that of "sluice conform".
package main

import "github.com/sluicenet/sluice/conformance/command"

func main() { command.Main(target{}) }

package main

import "os"

// What the environment says about the tests. It is taken out of the environment, in
// which the command itself accepts no variable that it does not know.
var (
	requireNet = take("SLUICE_REQUIRE_NET") == "1" // a test of the network that cannot run fails
	bigFiles   = take("SLUICE_BIG") == "1"         // transfers of 1 GiB
)

func take(name string) string {
	value := os.Getenv(name)
	os.Unsetenv(name)
	return value
}

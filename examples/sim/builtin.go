// Package builtin has the scenarios that "sluice sim" knows by name: the files of
// its directory.
package builtin

import (
	"embed"
	"strings"
)

//go:embed *.yaml
var files embed.FS

// Names returns the names of the scenarios, in order.
func Names() []string {
	entries, err := files.ReadDir(".")
	if err != nil {
		panic("BUG: no embedded files: " + err.Error())
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	return names
}

// Get returns the scenario of that name.
func Get(name string) (data []byte, ok bool) {
	data, err := files.ReadFile(name + ".yaml")
	return data, err == nil
}

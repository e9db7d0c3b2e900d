// Package examples has configurations to begin with. Each of them is a file in
// this directory; "sluice run" without a file runs default.yaml.
package examples

import "embed"

// Default is default.yaml.
//
//go:embed default.yaml
var Default []byte

// Files has every configuration.
//
//go:embed *.yaml
var Files embed.FS

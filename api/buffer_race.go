//go:build race

package api

const catchDoubleRelease = true

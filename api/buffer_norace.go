//go:build !race

package api

const catchDoubleRelease = false

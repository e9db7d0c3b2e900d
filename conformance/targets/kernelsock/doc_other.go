//go:build !linux

// Package kernelsock is for Linux alone.
package kernelsock

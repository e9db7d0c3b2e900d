//go:build unix

package main

import "syscall"

// restrictUmask lets no one but the user open what is created until restore is
// called.
func restrictUmask() (restore func()) {
	old := syscall.Umask(0o177)
	return func() { syscall.Umask(old) }
}

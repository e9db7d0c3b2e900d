//go:build !unix

package main

func restrictUmask() (restore func()) { return func() {} }

//go:build !linux

package main

func preferProcess() {}

// Package leak has no code: its test opens and closes many flows, and looks for
// what they have left behind.
package leak

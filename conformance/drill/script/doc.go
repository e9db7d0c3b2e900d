// Package script has the language of packetdrill: what a script says, a parser,
// and a printer.
//
// A script is a list of events, each with a time and an action: a packet that
// is sent to the stack under test (<) or expected of it (>), a system call with
// the result that is expected, a shell command in backquotes, or code between
// %{ and }%. The grammar is the union of the two dialects in use, Google's
// (with its extensions for Accurate ECN and those that the Linux kernel's own
// scripts use) and that of FreeBSD's developers; where one of them refuses what the
// other accepts, it is accepted.
//
// The tree keeps what was written: names of constants stay names, and packets
// keep the script's own sequence numbers, ports and timestamps. What they mean
// is the business of package drill.
package script

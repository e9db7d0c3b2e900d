// Package sock makes BSD sockets of a stack: a process with descriptors and
// the system calls that packetdrill scripts use, over [api.Stack] and living in
// any [clock.Clock], so also in virtual time.
//
// Numbers and layouts are those of Linux on a 64-bit little-endian machine,
// whatever the host: levels, options, flags, struct linger, struct timeval.
// Constants that only FreeBSD has are numbered from 0x10000 on. Errors are an
// [Errno]; what the stack cannot do, and therefore no script about it can be
// judged, is [Unsupported].
//
// Some of what a kernel does within TCP is done here because the contract has no
// word for it: corking, the byte of urgent data that is taken out of the stream,
// peeking, lingering, the resetting close when data are left unread.
package sock

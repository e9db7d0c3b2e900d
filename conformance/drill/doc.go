// Package drill runs packetdrill scripts against a stack.
//
// A [Target] makes the host that a script is run on, with its sockets and its
// one link; the script's own end of that link is here. In virtual time a script
// that waits for hours takes milliseconds, and has the same verdict each time.
//
// Strict matching is packetdrill's own: options in order, windows where the
// script states them, times within 4 ms. Lenient matching is for scripts that
// were written for another stack: see [Lenient].
package drill

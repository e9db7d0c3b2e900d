// Package netconn makes an [api.Flow] a [net.Conn], and an [api.Stack] a
// [net.Listener] and a dialer, so that net/http, crypto/tls and whatever else
// is written for package net runs over any stack.
//
// # What a Conn gives up
//
// A Flow is not a net.Conn for three reasons, and the adapter decides each of
// them for net.Conn:
//
//   - Write copies its argument, because an io.Writer must not keep it. Flow.Write
//     takes ownership instead (W1). ReadFrom and WriteTo hand buffers over.
//   - Close ends Read as well: pending and later calls fail with net.ErrClosed.
//     A Flow goes on reading (C3); CloseWrite is the half-close of a Conn.
//   - Close returns at once. Flow.Close waits until the peer has closed too (C4).
//     The stack goes on delivering what was written, and then the FIN, for a
//     limited time and without a goroutine for each connection
//     ([api.Orphaner]). Whether the peer got it all is not told; a protocol that
//     must know has to say so in its own words.
//
// Deadlines take the place of contexts. They are kept by the machine's clock;
// under a virtual clock use Flow itself.
//
// SyscallConn is not offered: there need be no descriptor underneath. What a
// flow offers beyond net.Conn is reached through [Conn.Flow].
//
// # Errors
//
// Errors are *net.OpError, apart from a bare io.EOF at the end of the stream.
// Their Err matches os.ErrDeadlineExceeded after a deadline, net.ErrClosed
// after a local close, and otherwise the sentinels of package api and the
// errno that a kernel's socket would have given.
package netconn

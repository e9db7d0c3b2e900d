// Package api is the contract of Sluice: what a TCP stack is, independently of
// how it is built. A [Stack] opens and accepts [Flow] values; a [Keepalive]
// says when a silent peer is given up.
//
// The contract is that of MirageOS's TCP signature. Each of its promises has an
// id (R1, W3, ...), cited below where it is kept, and listed with the case that
// proves it by "sluice conform list".
//
// # A Flow is not a net.Conn
//
// Three promises contradict package net: Write takes ownership of its buffer
// (W1), Close leaves Read working (C3), and Close waits for the peer (C4).
// Package api/netconn adapts a Flow to net.Conn and says what it gives up.
//
// # Blocking and cancellation
//
// A method that takes a context may block until it ends. Given a context that
// is already done, it still succeeds if it can do so without blocking. A method
// that returns because its context ended leaves the flow usable, and its error
// matches context.Cause(ctx).
//
// # Units
//
// Sizes and windows are bytes, in int64. Times are time.Duration.
package api

// Package tcp is one TCP connection as a pure machine: no goroutine, no lock,
// no clock, no I/O. Everything it knows it was told, and everything it wants done
// it returns.
//
// A [Conn] is driven by four kinds of call, each of which takes the present
// instant: a packet came in ([Conn.Segment], [Conn.ICMP]); the user wants
// something ([Conn.Write], [Conn.Read], [Conn.CloseWrite], ...); a timer is due
// ([Conn.Timeout]); and what is there to send ([Conn.Poll]). After any of the
// first three, call Poll until it returns false, then [Conn.Deadline] and
// [Conn.TakeEvents]; that order matters, because what is sent arms timers.
//
// Sequence numbers are unwrapped 64-bit offsets inside, 32 bits only in headers.
package tcp

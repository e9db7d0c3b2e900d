// Package wire reads and writes the headers of IPv4, IPv6, ICMP and TCP.
//
// Parsers never panic, whatever the bytes: they return ok=false, or for TCP a
// reason, and look at nothing beyond the slice. Emitters write into a slice that
// is long enough, as told by the value's HeaderLen, and panic otherwise.
package wire

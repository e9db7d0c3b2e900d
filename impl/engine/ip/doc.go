// Package ip is the Internet layer of a host as pure machines: validation of
// incoming IPv4 and IPv6 packets, reassembly, routes and source addresses, the
// path MTU cache, and the limits on what is sent in answer to strangers.
//
// Nothing here has a goroutine, lock, clock or I/O, and nothing that a packet says
// makes it panic or grow beyond its bounds.
//
// Declared unsupported, and counted as dropped: IPv4 source routes, IPv6 routing
// headers with segments left, jumbograms. Other IPv4 options are skipped
// (RFC 9293, section 3.9.2, MUST-50).
package ip

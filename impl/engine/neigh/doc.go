// Package neigh is the part of a host that Ethernet needs below IP, as a pure
// machine: ARP (RFC 826), neighbour discovery (RFC 4861) with its reachability
// states for both families, and duplicate address detection (RFC 5227; RFC 4862,
// section 5.4).
//
// Nothing here has a goroutine, lock, clock or I/O, and nothing that a frame says
// makes it panic or grow beyond its bounds:
//
//   - Neighbours that have answered us, those that are being asked, and those that
//     merely asked for us are counted apart, so that floods of the latter two do not
//     displace the first. In each class the least recently used makes room.
//   - What nobody asked for only changes entries that exist.
//   - A few packets wait for each neighbour that is being asked, the last ones if
//     there are more (RFC 1122, section 2.3.2.2). All together are bounded; the
//     neighbour that has been silent for longest gives way first, so that dead
//     neighbours do not keep others from being reached.
//
// Not done: router advertisements, redirects and autoconfiguration (messages are
// counted and dropped, so that a flood of them does nothing), multicast listener
// reports (RFC 3810), VLAN tags, proxies.
package neigh

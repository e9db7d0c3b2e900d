package api

// DropReason says why a packet, or what it carried, was not used. Every packet
// that a stack drops is counted under one of them.
type DropReason uint8

// The reasons.
const (
	DropTruncated       DropReason = iota // shorter than its headers say
	DropIPHeader                          // malformed IP header
	DropIPChecksum                        // IPv4 header checksum
	DropNotForUs                          // destination is not an address of ours
	DropMartian                           // source that no packet may have
	DropProtocol                          // transport protocol that we do not speak
	DropTCPHeader                         // malformed TCP header
	DropTCPChecksum                       // TCP checksum
	DropICMP                              // malformed, unknown or unmatched ICMP
	DropFragmentInvalid                   // fragment that cannot be part of a datagram
	DropFragmentOverlap                   // datagram with overlapping fragments (RFC 5722)
	DropFragmentTimeout                   // datagram never completed
	DropFragmentLimit                     // no room for more fragments
	DropNoListener                        // segment for no connection; answered by a reset
	DropSynQueue                          // SYN queue full
	DropSynCookie                         // acknowledges no SYN cookie of ours; answered by a reset
	DropAcceptQueue                       // accept backlog full
	DropMemory                            // memory or flow limit reached
	DropUnacceptable                      // outside the window (RFC 9293, section 3.10.7.4)
	DropPAWS                              // old timestamp (RFC 7323, section 5)
	DropNoTimestamp                       // timestamp missing after negotiation
	DropBadAck                            // acknowledgement out of range (RFC 5961, section 5)
	DropNoAck                             // neither ACK, SYN nor RST
	DropReset                             // RST out of place (RFC 5961, section 3)
	DropSyn                               // SYN in a synchronised state (RFC 5961, section 4)
	DropReceiveBuffer                     // data that the receive buffer cannot hold
	DropClosed                            // data after the end of the flow
	DropTimeWait                          // segment for a connection in TIME-WAIT
	DropBacklog                           // engine backlog full
	DropNoRoute                           // no route to the destination, on sending
	DropLink                              // the link could not send
	DropDisconnected                      // the stack has left the network
	DropNeighbour                         // ARP or neighbour discovery: malformed, unsupported, or unasked for
	DropUnresolved                        // sent to a neighbour that does not answer, or from an address that is not ours yet
	NumDropReasons
)

var dropNames = [NumDropReasons]string{
	"truncated", "ip-header", "ip-checksum", "not-for-us", "martian", "protocol",
	"tcp-header", "tcp-checksum", "icmp", "fragment-invalid", "fragment-overlap",
	"fragment-timeout", "fragment-limit", "no-listener", "syn-queue", "syn-cookie", "accept-queue",
	"memory", "unacceptable", "paws", "no-timestamp", "bad-ack", "no-ack", "reset", "syn",
	"receive-buffer", "closed", "time-wait", "backlog", "no-route", "link", "disconnected",
	"neighbour", "unresolved",
}

// String returns the reason's name as it stands in logs and in JSON.
func (r DropReason) String() string {
	if r < NumDropReasons {
		return dropNames[r]
	}
	return "unknown"
}

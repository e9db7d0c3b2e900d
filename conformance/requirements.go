package conformance

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// A Requirement is one thing that the contract or an RFC demands or permits. The
// catalogue says what the suite is about; Cases say how it is judged.
type Requirement struct {
	ID      string   // "contract/R1", "rfc9293/MUST-34"; of other RFCs the RFC and section, and a word
	RFC     int      // 0: the contract
	Section string   // of the RFC; of the contract, its id
	Level   string   // "MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "RECOMMENDED", "MAY"; of the contract "promise"
	Clause  string   // in our words
	Unseen  string   // why no case can show it; empty: it can be observed
	Proof   []string // IDs of cases that prove it, beside the case of the same ID and those that cite it
}

// Must reports whether the requirement binds without exception.
func (r *Requirement) Must() bool { return r.Level == "MUST" || r.Level == "MUST NOT" }

// Name is the last part of the ID: "R1", "MUST-34".
func (r *Requirement) Name() string { return r.ID[strings.IndexByte(r.ID, '/')+1:] }

// Source says where the requirement stands.
func (r *Requirement) Source() string {
	if r.RFC == 0 {
		return "contract " + r.Section
	}
	return fmt.Sprintf("RFC %d section %s", r.RFC, r.Section)
}

// URL is where to read the requirement itself, or "" for the contract.
func (r *Requirement) URL() string {
	if r.RFC == 0 {
		return ""
	}
	section, _, _ := strings.Cut(r.Section, ",")
	return fmt.Sprintf("https://www.rfc-editor.org/rfc/rfc%d.html#section-%s", r.RFC, section)
}

// Cases returns the cases that prove the requirement, those of the same name first.
func (r *Requirement) Cases() []Case {
	var own, citing []Case
	for _, c := range Cases() {
		switch {
		case c.ID == r.ID:
			own = append(own, c)
		case slices.Contains(r.Proof, c.ID) || r.cited(&c):
			citing = append(citing, c)
		}
	}
	return append(own, citing...)
}

var (
	citation9293     = regexp.MustCompile(`\b(?:MUST|SHLD|MAY|REC)-\d+\b`)
	citationContract = regexp.MustCompile(`\b[RWVNCDOKLUX]\d\b`)
)

// cited reports whether the source of c names r by the identifier that RFC 9293 or
// the contract gives it.
func (r *Requirement) cited(c *Case) bool {
	switch {
	case r.RFC == 9293:
		return slices.Contains(citation9293.FindAllString(c.Source, -1), r.Name())
	case r.RFC == 0 && c.Level == Contract:
		return slices.Contains(citationContract.FindAllString(c.Source, -1), r.Name())
	}
	return false
}

// Requirements returns the catalogue: the contract, then RFC 9293 in the order of
// its appendix B, then the other RFCs by number.
var Requirements = sync.OnceValue(func() []Requirement {
	var all []Requirement
	for _, g := range [][]Requirement{contractRequirements, rfc9293Requirements, otherRequirements} {
		all = append(all, g...)
	}
	for i := range all {
		r := &all[i]
		if r.RFC == 0 && !strings.HasPrefix(r.ID, "contract/") || r.RFC != 0 && !strings.HasPrefix(r.ID, fmt.Sprintf("rfc%d/", r.RFC)) {
			panic(fmt.Sprintf("BUG: requirement %q of RFC %d", r.ID, r.RFC))
		}
	}
	return all
})

// FindRequirement returns the requirement with an ID, which may be cut to the name
// that the contract or RFC 9293 gives it: "R1", "MUST-34".
func FindRequirement(id string) (Requirement, bool) {
	for _, r := range Requirements() {
		if r.ID == id || (r.RFC == 0 || r.RFC == 9293) && r.Name() == id {
			return r, true
		}
	}
	return Requirement{}, false
}

// Coverage counts requirements: how many there are, how many of them can be
// observed, and how many of those have a case.
type Coverage struct{ All, Observable, Covered int }

// Covers counts the requirements that keep selects; nil selects all.
func Covers(keep func(*Requirement) bool) (c Coverage) {
	for _, r := range Requirements() {
		if keep != nil && !keep(&r) {
			continue
		}
		c.All++
		if r.Unseen == "" {
			c.Observable++
			if len(r.Cases()) > 0 {
				c.Covered++
			}
		}
	}
	return c
}

// WriteCoverage says how many of the MUSTs of RFC 9293 can be observed and have a case,
// and lists those that cannot, with the reason.
func WriteCoverage(w io.Writer) error {
	must := func(r *Requirement) bool { return r.RFC == 9293 && r.Must() }
	c, all := Covers(must), Covers(nil)
	var b strings.Builder
	fmt.Fprintf(&b, "%d MUSTs in RFC 9293: %d can be observed, %d of them have a case of their own\n", c.All, c.Observable, c.Covered)
	reasons := map[string][]string{}
	var order []string
	for _, r := range Requirements() {
		if must(&r) && r.Unseen != "" {
			if reasons[r.Unseen] == nil {
				order = append(order, r.Unseen)
			}
			reasons[r.Unseen] = append(reasons[r.Unseen], r.Name())
		}
	}
	for _, why := range order {
		fmt.Fprintf(&b, "not observed: %s: %s\n", strings.Join(reasons[why], ", "), why)
	}
	fmt.Fprintf(&b, "%d requirements in all: %d can be observed, %d of them have cases\n", all.All, all.Observable, all.Covered)
	_, err := io.WriteString(w, b.String())
	return err
}

const (
	promise = "promise"
	noRoute = "the contract has no source routes, so no call can give one, and a packet that carries one is dropped: RFC 7126 advises that, and hosts and routers do it everywhere"
	binds   = "binds applications, not stacks"
)

// contractRequirements are the promises of package api.
var contractRequirements = []Requirement{
	{ID: "contract/R1", Section: "R1", Level: promise, Clause: "Read blocks until data is available and returns it in a fresh buffer, which its caller owns and may overwrite."},
	{ID: "contract/R2", Section: "R2", Level: promise, Clause: "The buffer has a size convenient to the implementation, of at least one byte."},
	{ID: "contract/R3", Section: "R3", Level: promise, Clause: "After the peer's close, reads return data until all that was in flight has been read, also after a local close."},
	{ID: "contract/R4", Section: "R4", Level: promise, Clause: "Then Read returns io.EOF, bare, now and later; a reset is ErrReset and no end of file."},
	{ID: "contract/W1", Section: "W1", Level: promise, Clause: "Write takes its buffer over, whatever it returns."},
	{ID: "contract/W2", Section: "W2", Level: promise, Clause: "Success of a write means queued in order, not delivered."},
	{ID: "contract/W3", Section: "W3", Level: promise, Clause: "The contents may travel in any segments: one byte stream."},
	{ID: "contract/W4", Section: "W4", Level: promise, Clause: "A closed flow makes writes fail with ErrClosed, also those that block when it goes."},
	{ID: "contract/W5", Section: "W5", Level: promise, Clause: "Other errors are possible; each is an *Error with operation, addresses and a cause that errors.Is finds."},
	{ID: "contract/V1", Section: "V1", Level: promise, Clause: "Writev writes a sequence of buffers in order and as one write among others."},
	{ID: "contract/N1", Section: "N1", Level: promise, Clause: "WriteNoDelay blocks until the peer's TCP has acknowledged the last byte."},
	{ID: "contract/N2", Section: "N2", Level: promise, Clause: "In this mode nothing waits within the layer: no Nagle."},
	{ID: "contract/N3", Section: "N3", Level: promise, Clause: "WritevNoDelay is the same for a sequence."},
	{ID: "contract/N4", Section: "N4", Level: promise, Clause: "Nodelay is an attribute of the flow too."},
	{ID: "contract/C1", Section: "C1", Level: promise, Clause: "Close flushes pending writes and then says that no more will follow."},
	{ID: "contract/C2", Section: "C2", Level: promise, Clause: "When the peer has read everything, its read returns end of file."},
	{ID: "contract/C3", Section: "C3", Level: promise, Clause: "Until the peer closes too it may write, and the local end still reads, for as long as it takes."},
	{ID: "contract/C4", Section: "C4", Level: promise, Clause: "Close returns only when the peer has closed too. A context ends the wait, not the close; closing again is fine."},
	{ID: "contract/C5", Section: "C5", Level: promise, Clause: "Then nothing flows and the flow's resources are free."},
	{ID: "contract/D1", Section: "D1", Level: promise, Clause: "Dst is what the flow is connected to and Src its own end, both for the life of the value."},
	{ID: "contract/O1", Section: "O1", Level: promise, Clause: "Dial opens a connection to an endpoint, IPv4 or IPv6."},
	{ID: "contract/O2", Section: "O2", Level: promise, Clause: "It fails with ErrRefused by a reset and with ErrTimeout, after three minutes at least, without an answer; a context ends it sooner."},
	{ID: "contract/K1", Section: "K1", Level: promise, Clause: "With a keepalive an idle connection is probed; without one it is not."},
	{ID: "contract/K2", Section: "K2", Level: promise, Clause: "Without an answer to the probes that were sent, and never after one alone, the connection is ended."},
	{ID: "contract/K3", Section: "K3", Level: promise, Clause: "Then Read returns io.EOF, bare; CloseReason has the cause."},
	{ID: "contract/K4", Section: "K4", Level: promise, Clause: "And writes fail with ErrClosed."},
	{ID: "contract/L1", Section: "L1", Level: promise, Clause: "Listen runs the handler for each established flow, each in a goroutine of its own."},
	{ID: "contract/L2", Section: "L2", Level: promise, Clause: "Options given to Listen are in force before the handler runs."},
	{ID: "contract/L3", Section: "L3", Level: promise, Clause: "A port has one listener at most; port 0 picks one that is free; unfinished handlers are bounded."},
	{ID: "contract/U1", Section: "U1", Level: promise, Clause: "Unlisten stops the listener of a port and leaves flows alone; without a listener it does nothing."},
	{ID: "contract/X1", Section: "X1", Level: promise, Clause: "Disconnect closes every flow, releases every blocked call and leaves the link."},
	{ID: "contract/X2", Section: "X2", Level: promise, Clause: "Disconnect can never fail."},
}

// rfc9293Requirements is the list of appendix B of RFC 9293.
var rfc9293Requirements = []Requirement{
	{ID: "rfc9293/MUST-1", RFC: 9293, Section: "3.1", Level: "MUST", Clause: "The window field is an unsigned number: values of 32768 and more are not negative."},
	{ID: "rfc9293/MUST-2", RFC: 9293, Section: "3.1", Level: "MUST", Clause: "Every segment sent carries a valid checksum."},
	{ID: "rfc9293/MUST-3", RFC: 9293, Section: "3.1", Level: "MUST", Clause: "A segment received with a wrong checksum is dropped without any effect."},
	{ID: "rfc9293/MUST-4", RFC: 9293, Section: "3.1, 3.2", Level: "MUST", Clause: "The options end-of-list, no-operation and maximum segment size are understood."},
	{ID: "rfc9293/MUST-5", RFC: 9293, Section: "3.1", Level: "MUST", Clause: "Options are accepted on any segment, not only on SYNs."},
	{ID: "rfc9293/MUST-6", RFC: 9293, Section: "3.1", Level: "MUST", Clause: "Unknown options are skipped by their length, and are no error."},
	{ID: "rfc9293/MUST-7", RFC: 9293, Section: "3.1", Level: "MUST", Clause: "Illegal option lengths (0, 1, past the end of the header) are survived."},
	{ID: "rfc9293/MUST-8", RFC: 9293, Section: "3.4.1", Level: "MUST", Clause: "Initial sequence numbers have a clock component that advances about every four microseconds."},
	{ID: "rfc9293/MUST-9", RFC: 9293, Section: "3.4.1", Level: "MUST NOT", Clause: "The pseudo-random part of an initial sequence number cannot be computed from outside."},
	{ID: "rfc9293/MUST-10", RFC: 9293, Section: "3.5", Level: "MUST", Clause: "Simultaneous open works."},
	{ID: "rfc9293/MUST-11", RFC: 9293, Section: "3.5", Level: "MUST", Clause: "SYN-RECEIVED remembers whether it came of a passive or an active open."},
	{ID: "rfc9293/MUST-12", RFC: 9293, Section: "3.6", Level: "MUST", Clause: "An application can tell a normal close from an abort."},
	{ID: "rfc9293/MUST-13", RFC: 9293, Section: "3.6.1", Level: "MUST", Clause: "The active closer stays in TIME-WAIT for two maximum segment lifetimes."},
	{ID: "rfc9293/MUST-14", RFC: 9293, Section: "3.7.1", Level: "MUST", Clause: "The MSS option is sent and obeyed."},
	{ID: "rfc9293/MUST-15", RFC: 9293, Section: "3.7.1", Level: "MUST", Clause: "Without an MSS option received, segments have 536 bytes at most over IPv4 and 1220 over IPv6."},
	{ID: "rfc9293/MUST-16", RFC: 9293, Section: "3.7.1", Level: "MUST", Clause: "The effective send MSS is the lesser of what the peer and the IP layer allow, less the options."},
	{ID: "rfc9293/MUST-17", RFC: 9293, Section: "3.7.4", Level: "MUST", Clause: "Nagle's algorithm can be switched off for a connection."},
	{ID: "rfc9293/MUST-18", RFC: 9293, Section: "3.8.1", Level: "MUST", Clause: "The retransmission timeout is that of RFC 6298, with Karn's rule."},
	{ID: "rfc9293/MUST-19", RFC: 9293, Section: "3.8.2", Level: "MUST", Clause: "Slow start, congestion avoidance and exponential backoff are there."},
	{ID: "rfc9293/MUST-20", RFC: 9293, Section: "3.8.3", Level: "MUST", Clause: "There are two thresholds: at R1 trouble is noticed, at R2 the connection is closed."},
	{ID: "rfc9293/MUST-21", RFC: 9293, Section: "3.8.3", Level: "MUST", Clause: "An application can set R2 for a connection."},
	{ID: "rfc9293/MUST-22", RFC: 9293, Section: "3.8.3", Level: "MUST", Clause: "A SYN is retransmitted by the same rules."},
	{ID: "rfc9293/MUST-23", RFC: 9293, Section: "3.8.3", Level: "MUST", Clause: "R2 of a SYN is at least three minutes."},
	{ID: "rfc9293/MUST-24", RFC: 9293, Section: "3.8.4", Level: "MUST", Clause: "Keep-alives can be switched on and off for each connection."},
	{ID: "rfc9293/MUST-25", RFC: 9293, Section: "3.8.4", Level: "MUST", Clause: "Keep-alives are off by default."},
	{ID: "rfc9293/MUST-26", RFC: 9293, Section: "3.8.4", Level: "MUST", Clause: "Keep-alives are sent only if nothing is outstanding and nothing was received for the interval."},
	{ID: "rfc9293/MUST-27", RFC: 9293, Section: "3.8.4", Level: "MUST", Clause: "The keep-alive interval can be configured."},
	{ID: "rfc9293/MUST-28", RFC: 9293, Section: "3.8.4", Level: "MUST", Clause: "Its default is two hours at least."},
	{ID: "rfc9293/MUST-29", RFC: 9293, Section: "3.8.4", Level: "MUST", Clause: "One unanswered keep-alive does not mean that the connection is dead."},
	{ID: "rfc9293/MUST-30", RFC: 9293, Section: "3.8.5", Level: "MUST", Clause: "The urgent mechanism is supported."},
	{ID: "rfc9293/MUST-31", RFC: 9293, Section: "3.8.5", Level: "MUST", Clause: "Urgent data may have any length."},
	{ID: "rfc9293/MUST-32", RFC: 9293, Section: "3.8.5", Level: "MUST", Clause: "An application is told when urgent data appear or the urgent pointer advances."},
	{ID: "rfc9293/MUST-33", RFC: 9293, Section: "3.8.5", Level: "MUST", Clause: "An application can learn how much urgent data is left to read."},
	{ID: "rfc9293/MUST-34", RFC: 9293, Section: "3.8.6", Level: "MUST", Clause: "A sender survives a peer that shrinks its window."},
	{ID: "rfc9293/MUST-35", RFC: 9293, Section: "3.8.6", Level: "MUST", Clause: "A window that shrinks to zero is probed in the standard way."},
	{ID: "rfc9293/MUST-36", RFC: 9293, Section: "3.8.6.1", Level: "MUST", Clause: "Zero windows are probed."},
	{ID: "rfc9293/MUST-37", RFC: 9293, Section: "3.8.6.1", Level: "MUST", Clause: "The connection stays open for as long as probes are acknowledged with a window of zero."},
	{ID: "rfc9293/MUST-38", RFC: 9293, Section: "3.8.6.2.1", Level: "MUST", Clause: "The sender avoids the silly window syndrome."},
	{ID: "rfc9293/MUST-39", RFC: 9293, Section: "3.8.6.2.2", Level: "MUST", Clause: "The receiver avoids the silly window syndrome."},
	{ID: "rfc9293/MUST-40", RFC: 9293, Section: "3.8.6.3", Level: "MUST", Clause: "An ACK is delayed by less than half a second."},
	{ID: "rfc9293/MUST-41", RFC: 9293, Section: "3.9.1.1", Level: "MUST", Clause: "A passive open makes a new record or fails, and never disturbs those that exist."},
	{ID: "rfc9293/MUST-42", RFC: 9293, Section: "3.9.1.1", Level: "MUST", Clause: "One can listen on a port while connections on it are in SYN-SENT or SYN-RECEIVED."},
	{ID: "rfc9293/MUST-43", RFC: 9293, Section: "3.9.1.1", Level: "MUST", Clause: "The local address can be given when opening."},
	{ID: "rfc9293/MUST-44", RFC: 9293, Section: "3.9.1.1", Level: "MUST", Clause: "Where none is given, one is chosen before the first SYN is sent."},
	{ID: "rfc9293/MUST-45", RFC: 9293, Section: "3.9.1.1", Level: "MUST", Clause: "The same local address is used for the whole life of the connection."},
	{ID: "rfc9293/MUST-46", RFC: 9293, Section: "3.9.1.1", Level: "MUST", Clause: "Opening towards an invalid remote address, such as a broadcast or multicast one, fails."},
	{ID: "rfc9293/MUST-47", RFC: 9293, Section: "3.9.1.8", Level: "MUST", Clause: "Soft errors are reported to the application."},
	{ID: "rfc9293/MUST-48", RFC: 9293, Section: "3.9.1.9", Level: "MUST", Clause: "An application can set the Diffserv field of a connection."},
	{ID: "rfc9293/MUST-49", RFC: 9293, Section: "3.9.2", Level: "MUST", Clause: "The TTL or hop limit can be configured."},
	{ID: "rfc9293/MUST-50", RFC: 9293, Section: "3.9.2", Level: "MUST", Clause: "Unknown IP options are ignored."},
	{ID: "rfc9293/MUST-51", RFC: 9293, Section: "3.9.2.1", Level: "MUST", Clause: "An application can give an IPv4 source route when opening actively.", Unseen: noRoute},
	{ID: "rfc9293/MUST-52", RFC: 9293, Section: "3.9.2.1", Level: "MUST", Clause: "That source route wins over one received.", Unseen: noRoute},
	{ID: "rfc9293/MUST-53", RFC: 9293, Section: "3.9.2.1", Level: "MUST", Clause: "A passive open keeps the reversed source route and uses it.", Unseen: noRoute},
	{ID: "rfc9293/MUST-54", RFC: 9293, Section: "3.9.2.2", Level: "MUST", Clause: "ICMP errors are matched to the connection that they quote, and acted on."},
	{ID: "rfc9293/MUST-55", RFC: 9293, Section: "3.9.2.2", Level: "MUST", Clause: "ICMP Source Quench is dropped silently."},
	{ID: "rfc9293/MUST-56", RFC: 9293, Section: "3.9.2.2", Level: "MUST NOT", Clause: "Soft ICMP errors (unreachable 0, 1 and 5, time exceeded, parameter problem, and their like in IPv6) do not abort."},
	{ID: "rfc9293/MUST-57", RFC: 9293, Section: "3.9.2.3", Level: "MUST", Clause: "A segment sent to a broadcast or multicast address is dropped silently."},
	{ID: "rfc9293/MUST-58", RFC: 9293, Section: "3.10.7.4", Level: "MUST", Clause: "ACKs are aggregated where that is possible."},
	{ID: "rfc9293/MUST-59", RFC: 9293, Section: "3.10.7.4", Level: "MUST", Clause: "All segments that are queued are processed before an ACK is sent."},
	{ID: "rfc9293/MUST-60", RFC: 9293, Section: "3.9.1.2", Level: "MUST NOT", Clause: "Without a push flag in the call, data are not buffered for ever."},
	{ID: "rfc9293/MUST-61", RFC: 9293, Section: "3.9.1.2", Level: "MUST", Clause: "Without a push flag in the call, the last segment that is queued carries PSH."},
	{ID: "rfc9293/MUST-62", RFC: 9293, Section: "3.8.5", Level: "MUST", Clause: "The urgent pointer names the octet after the urgent data."},
	{ID: "rfc9293/MUST-63", RFC: 9293, Section: "3.9.2.3", Level: "MUST", Clause: "A SYN from an invalid source address is ignored."},
	{ID: "rfc9293/MUST-64", RFC: 9293, Section: "3.2", Level: "MUST", Clause: "Options are read at any alignment."},
	{ID: "rfc9293/MUST-65", RFC: 9293, Section: "3.2", Level: "MUST NOT", Clause: "The MSS option never stands on a segment without SYN."},
	{ID: "rfc9293/MUST-66", RFC: 9293, Section: "3.4", Level: "MUST", Clause: "RST and URG are processed though the receive window is zero."},
	{ID: "rfc9293/MUST-67", RFC: 9293, Section: "3.7.1", Level: "MUST", Clause: "The MSS announced is not more than can be reassembled, less the TCP header."},
	{ID: "rfc9293/MUST-68", RFC: 9293, Section: "3.1", Level: "MUST", Clause: "All options but end-of-list and no-operation have a length octet."},
	{ID: "rfc9293/MUST-69", RFC: 9293, Section: "3.1", Level: "MUST", Clause: "What follows the end of the options is padded with zeros."},
	{ID: "rfc9293/SHLD-1", RFC: 9293, Section: "3.4.1", Level: "SHOULD", Clause: "Initial sequence numbers are a clock plus a keyed function of addresses and ports (RFC 6528)."},
	{ID: "rfc9293/SHLD-2", RFC: 9293, Section: "3.5.3", Level: "SHOULD", Clause: "A RST may carry data."},
	{ID: "rfc9293/SHLD-3", RFC: 9293, Section: "3.6.1", Level: "SHOULD", Clause: "A half-duplex close with data unread or arriving later sends a RST."},
	{ID: "rfc9293/SHLD-4", RFC: 9293, Section: "3.6.1", Level: "SHOULD", Clause: "Timestamps shorten TIME-WAIT for a new connection (RFC 6191)."},
	{ID: "rfc9293/SHLD-5", RFC: 9293, Section: "3.7.1", Level: "SHOULD", Clause: "Every SYN carries the MSS option where the value is not the default."},
	{ID: "rfc9293/SHLD-6", RFC: 9293, Section: "3.7.3", Level: "SHOULD", Clause: "Where the MTU varies the MSS announced goes by the smallest.", Unseen: "the MSS announced comes from the MTU of the link, which does not vary"},
	{ID: "rfc9293/SHLD-7", RFC: 9293, Section: "3.7.4", Level: "SHOULD", Clause: "Nagle's algorithm is implemented."},
	{ID: "rfc9293/SHLD-8", RFC: 9293, Section: "3.8.2", Level: "SHOULD", Clause: "ECN (RFC 3168) is implemented."},
	{ID: "rfc9293/SHLD-9", RFC: 9293, Section: "3.8.3", Level: "SHOULD", Clause: "An application is told of trouble between R1 and R2."},
	{ID: "rfc9293/SHLD-10", RFC: 9293, Section: "3.8.3", Level: "SHOULD", Clause: "R1 is three retransmissions at least."},
	{ID: "rfc9293/SHLD-11", RFC: 9293, Section: "3.8.3", Level: "SHOULD", Clause: "R2 is 100 seconds at least."},
	{ID: "rfc9293/SHLD-12", RFC: 9293, Section: "3.8.4", Level: "SHOULD", Clause: "Keep-alives carry no data."},
	{ID: "rfc9293/SHLD-13", RFC: 9293, Section: "3.8.5, 3.9.1.2", Level: "SHOULD NOT", Clause: "New applications do not use urgent data.", Unseen: binds},
	{ID: "rfc9293/SHLD-14", RFC: 9293, Section: "3.8.6", Level: "SHOULD NOT", Clause: "A receiver does not move the right edge of its window to the left."},
	{ID: "rfc9293/SHLD-15", RFC: 9293, Section: "3.8.6", Level: "SHOULD NOT", Clause: "No new data are sent after the peer has shrunk its window."},
	{ID: "rfc9293/SHLD-16", RFC: 9293, Section: "3.8.6", Level: "SHOULD", Clause: "Old data within the shrunken window are still retransmitted."},
	{ID: "rfc9293/SHLD-17", RFC: 9293, Section: "3.8.6", Level: "SHOULD NOT", Clause: "Data beyond a shrunken window, unacknowledged, do not time the connection out."},
	{ID: "rfc9293/SHLD-18", RFC: 9293, Section: "3.8.6.3", Level: "SHOULD", Clause: "ACKs are delayed."},
	{ID: "rfc9293/SHLD-19", RFC: 9293, Section: "3.8.6.3", Level: "SHOULD", Clause: "At least every second full segment is acknowledged."},
	{ID: "rfc9293/SHLD-20", RFC: 9293, Section: "3.9.1.8", Level: "SHOULD", Clause: "Reports of errors can be switched off."},
	{ID: "rfc9293/SHLD-21", RFC: 9293, Section: "3.9.1.9", Level: "SHOULD", Clause: "The Diffserv field can be changed during a connection."},
	{ID: "rfc9293/SHLD-22", RFC: 9293, Section: "3.9.1.9", Level: "SHOULD", Clause: "The Diffserv field is passed to IP unchanged."},
	{ID: "rfc9293/SHLD-23", RFC: 9293, Section: "3.9.2", Level: "SHOULD NOT", Clause: "Applications do not change the Diffserv field during a connection.", Unseen: binds},
	{ID: "rfc9293/SHLD-24", RFC: 9293, Section: "3.9.2.1", Level: "SHOULD", Clause: "A source route received later replaces an earlier one.", Unseen: noRoute},
	{ID: "rfc9293/SHLD-25", RFC: 9293, Section: "3.9.2.2", Level: "SHOULD", Clause: "Soft ICMP errors are made known to the application."},
	{ID: "rfc9293/SHLD-26", RFC: 9293, Section: "3.9.2.2", Level: "SHOULD", Clause: "Hard ICMP errors abort (RFC 5461 and 5927 advise: before the connection is synchronised)."},
	{ID: "rfc9293/SHLD-27", RFC: 9293, Section: "3.9.1.2", Level: "SHOULD", Clause: "Successive pushes are collapsed when data are packetised."},
	{ID: "rfc9293/SHLD-28", RFC: 9293, Section: "3.9.1.2", Level: "SHOULD", Clause: "Segments of full size are sent where possible."},
	{ID: "rfc9293/SHLD-29", RFC: 9293, Section: "3.8.6.1", Level: "SHOULD", Clause: "The first zero-window probe comes after one retransmission timeout."},
	{ID: "rfc9293/SHLD-30", RFC: 9293, Section: "3.8.6.1", Level: "SHOULD", Clause: "The interval between zero-window probes grows exponentially."},
	{ID: "rfc9293/SHLD-31", RFC: 9293, Section: "3.10.7.4", Level: "SHOULD", Clause: "Segments out of order are queued."},
	{ID: "rfc9293/MAY-1", RFC: 9293, Section: "3.6.1", Level: "MAY", Clause: "A half-duplex close."},
	{ID: "rfc9293/MAY-2", RFC: 9293, Section: "3.6.1", Level: "MAY", Clause: "TIME-WAIT accepts a new SYN under conditions."},
	{ID: "rfc9293/MAY-3", RFC: 9293, Section: "3.7.1", Level: "MAY", Clause: "The MSS option is always sent."},
	{ID: "rfc9293/MAY-4", RFC: 9293, Section: "3.8.1", Level: "MAY", Clause: "The IP identification is reused for an identical retransmission.", Unseen: "not claimed: packets that may not be fragmented have the identification 0 (RFC 6864)"},
	{ID: "rfc9293/MAY-5", RFC: 9293, Section: "3.8.4", Level: "MAY", Clause: "There are keep-alives."},
	{ID: "rfc9293/MAY-6", RFC: 9293, Section: "3.8.4", Level: "MAY", Clause: "A keep-alive carries one garbage octet.", Unseen: "not claimed: probes carry no data"},
	{ID: "rfc9293/MAY-7", RFC: 9293, Section: "3.8.6", Level: "MAY", Clause: "Old data beyond the shrunken window are retransmitted.", Unseen: "not claimed: what lies beyond the shrunken edge waits for the window"},
	{ID: "rfc9293/MAY-8", RFC: 9293, Section: "3.8.6.1", Level: "MAY", Clause: "A receiver keeps its window closed for ever."},
	{ID: "rfc9293/MAY-9", RFC: 9293, Section: "3.9.1.9", Level: "MAY", Clause: "The Diffserv field received is passed up.", Unseen: "not claimed: the contract has no call that passes the received field up"},
	{ID: "rfc9293/MAY-10", RFC: 9293, Section: "3.9.2", Level: "MAY", Clause: "The IPv4 Timestamp option.", Unseen: "not claimed: the option is never sent, and skipped when received"},
	{ID: "rfc9293/MAY-11", RFC: 9293, Section: "3.9.2", Level: "MAY", Clause: "The IPv4 Record Route option.", Unseen: "not claimed: the option is never sent, and skipped when received"},
	{ID: "rfc9293/MAY-12", RFC: 9293, Section: "3.10.7.4", Level: "MAY", Clause: "Data are checked by their ACK number (RFC 5961, section 5)."},
	{ID: "rfc9293/MAY-13", RFC: 9293, Section: "3.10.7.4", Level: "MAY", Clause: "A segment in the window but out of order is acknowledged at once."},
	{ID: "rfc9293/MAY-14", RFC: 9293, Section: "3.9.1.7", Level: "MAY", Clause: "A FLUSH call.", Unseen: "not claimed: the contract has no flush; what is queued can be given up by Abort alone"},
	{ID: "rfc9293/MAY-15", RFC: 9293, Section: "3.9.1.2", Level: "MAY", Clause: "A PUSH flag in the SEND call.", Unseen: "not claimed: the contract has no push flag; the end of what is queued always carries PSH"},
	{ID: "rfc9293/MAY-16", RFC: 9293, Section: "3.9.1.2", Level: "MAY", Clause: "Data that were not pushed are aggregated."},
	{ID: "rfc9293/MAY-17", RFC: 9293, Section: "3.9.1.3", Level: "MAY", Clause: "PSH is passed up to the application.", Unseen: "not claimed: Read returns what there is, pushed or not"},
	{ID: "rfc9293/MAY-18", RFC: 9293, Section: "3.8.2", Level: "MAY", Clause: "Other congestion controls that conform."},
	{ID: "rfc9293/REC-1", RFC: 9293, Section: "3.1", Level: "RECOMMENDED", Clause: "Windows are 32-bit numbers within."},
}

// otherRequirements are those of other RFCs, as far as they bind a stack that claims
// the RFC. An ID that is no case's own is proved by the cases that it lists.
var otherRequirements = []Requirement{
	{ID: "rfc1122/3.2.1.1-version", RFC: 1122, Section: "3.2.1.1", Level: "MUST", Clause: "A datagram whose version is not what it claims to be is dropped silently."},
	{ID: "rfc1122/3.2.1.2-checksum", RFC: 1122, Section: "3.2.1.2", Level: "MUST", Clause: "The IPv4 header checksum is verified, and a bad datagram dropped silently.", Proof: []string{"mirage/checksum-verify"}},
	{ID: "rfc1122/3.2.1.3-addressing", RFC: 1122, Section: "3.2.1.3", Level: "MUST", Clause: "A datagram that is not for this host is dropped silently, and so is one from an invalid source.", Proof: []string{"ip/not-ours", "rfc9293/MUST-63"}},
	{ID: "rfc1122/3.2.1.8-options", RFC: 1122, Section: "3.2.1.8", Level: "MUST", Clause: "IP options that are not understood are ignored.", Proof: []string{"rfc9293/MUST-50"}},
	{ID: "rfc1122/3.2.2-no-error", RFC: 1122, Section: "3.2.2", Level: "MUST NOT", Clause: "No ICMP error is sent about an ICMP error, a fragment but the first, or a packet to or from an address that is not one host's."},
	{ID: "rfc1122/3.2.2.6-echo", RFC: 1122, Section: "3.2.2.6", Level: "MUST", Clause: "Echo requests are answered, with the data that came, from the address that was asked.", Proof: []string{"icmp/echo"}},
	{ID: "rfc1122/3.3.2-reassembly", RFC: 1122, Section: "3.3.2", Level: "MUST", Clause: "Fragments are put together, and given up after a while.", Proof: []string{"ip/fragments", "rfc1122/3.3.2-timeout"}},
	{ID: "rfc1122/4.2.2.13-abort", RFC: 1122, Section: "4.2.2.13", Level: "SHOULD", Clause: "A close with data unread is a reset to the peer.", Proof: []string{"rfc9293/SHLD-3"}},
	{ID: "rfc1122/4.2.3.2-delayed", RFC: 1122, Section: "4.2.3.2", Level: "MUST", Clause: "A delayed ACK waits for less than half a second, and a stream of full segments gets one for every second.", Proof: []string{"rfc9293/MUST-40", "rfc9293/SHLD-19"}},
	{ID: "rfc1191/3-floor", RFC: 1191, Section: "3", Level: "MUST NOT", Clause: "The estimate of the path MTU is never lowered below 68 bytes.", Proof: []string{"rfc1191/3-floor", "rfc5927/ptb-checked"}},
	{ID: "rfc1191/6.3-no-increase", RFC: 1191, Section: "6.3", Level: "MUST NOT", Clause: "The estimate is not raised within five minutes of a packet-too-big."},
	{ID: "rfc1191/6.4-retransmit", RFC: 1191, Section: "6.4", Level: "SHOULD", Clause: "What was too big is sent again at once, and that is no congestion.", Proof: []string{"mirage/pmtud", "rfc1191/6.4-no-congestion"}},
	{ID: "rfc1191/4-df", RFC: 1191, Section: "3", Level: "MUST", Clause: "The DF bit is set on what is sent while the path MTU is being discovered.", Proof: []string{"mirage/pmtud"}},
	{ID: "rfc1337/3-rst", RFC: 1337, Section: "3", Level: "SHOULD", Clause: "A RST does not end TIME-WAIT.", Proof: []string{"rfc1337/time-wait-rst"}},
	{ID: "rfc2018/2-permitted", RFC: 2018, Section: "2", Level: "MUST", Clause: "SACK-permitted stands on SYNs only; a SACK option is sent only where the peer has permitted it."},
	{ID: "rfc2018/3-fit", RFC: 2018, Section: "3", Level: "SHOULD", Clause: "As many blocks as fit: four, or three with timestamps.", Proof: []string{"rfc2018/4-blocks", "rfc2018/3-timestamps"}},
	{ID: "rfc2018/4-first", RFC: 2018, Section: "4", Level: "MUST", Clause: "The first block holds the segment that caused this ACK, unless the ACK has moved past it.", Proof: []string{"rfc2018/4-blocks", "rfc2018/4-first-random"}},
	{ID: "rfc2018/4-repeat", RFC: 2018, Section: "4", Level: "SHOULD", Clause: "The most recent blocks are repeated.", Proof: []string{"rfc2018/4-blocks"}},
	{ID: "rfc2018/4-every-ack", RFC: 2018, Section: "4", Level: "SHOULD", Clause: "While something is missing every ACK carries blocks."},
	{ID: "rfc2018/5-unneeded", RFC: 2018, Section: "5", Level: "MUST NOT", Clause: "A segment that was reported is not retransmitted before a timeout.", Proof: []string{"rfc6675/5-holes-only"}},
	{ID: "rfc2018/5-after-timeout", RFC: 2018, Section: "5", Level: "MUST", Clause: "After a timeout the left edge of the window is retransmitted, though it was reported."},
	{ID: "rfc2018/8-keep", RFC: 2018, Section: "8", Level: "MUST", Clause: "Data that were reported are kept until they are acknowledged.", Proof: []string{"rfc2018/8-reneging"}},
	{ID: "rfc2883/4-first", RFC: 2883, Section: "4", Level: "MUST", Clause: "A duplicate segment is reported by the first block.", Proof: []string{"rfc2883/4-duplicate"}},
	{ID: "rfc2883/4-once", RFC: 2883, Section: "4", Level: "MUST", Clause: "Each duplicate is reported once."},
	{ID: "rfc2883/4.1-below", RFC: 2883, Section: "4.1", Level: "MUST", Clause: "A duplicate below the ACK is reported by a block below the ACK, in part if only a part of it was old.", Proof: []string{"rfc2883/4.1-partial"}},
	{ID: "rfc2883/4.2-within", RFC: 2883, Section: "4.2", Level: "MUST", Clause: "For a duplicate within a block that is reported, that block comes second.", Proof: []string{"rfc2883/4-duplicate"}},
	{ID: "rfc2883/4-sender", RFC: 2883, Section: "4", Level: "MUST", Clause: "A sender that gets such a block takes it for nothing but a duplicate: it acknowledges nothing."},
	{ID: "rfc3042/2-limited", RFC: 3042, Section: "2", Level: "SHOULD", Clause: "The first two duplicate ACKs let one new segment out each, within two segments of the window.", Proof: []string{"rfc3042/limited-transmit"}},
	{ID: "rfc3042/2-sack", RFC: 3042, Section: "2", Level: "MUST NOT", Clause: "With SACK a duplicate ACK that reports nothing new sends nothing."},
	{ID: "rfc3168/5-ignore", RFC: 3168, Section: "6.1", Level: "MUST", Clause: "CE marks are ignored where ECN was not negotiated."},
	{ID: "rfc3168/6.1.1-syn", RFC: 3168, Section: "6.1.1", Level: "MUST", Clause: "An ECN-setup SYN has ECE and CWR, an ECN-setup SYN-ACK ECE alone, and only in answer to such a SYN."},
	{ID: "rfc3168/6.1.1-no-ect", RFC: 3168, Section: "6.1.1", Level: "MUST NOT", Clause: "SYN and SYN-ACK are not ECT."},
	{ID: "rfc3168/6.1.1-bounce", RFC: 3168, Section: "6.1.1", Level: "MUST NOT", Clause: "A SYN-ACK with both bits, or none, does not make the connection ECN-capable."},
	{ID: "rfc3168/6.1.1.1-fallback", RFC: 3168, Section: "6.1.1.1", Level: "SHOULD", Clause: "ECN-setup SYNs that get no answer are followed by plain ones."},
	{ID: "rfc3168/6.1.2-reduce", RFC: 3168, Section: "6.1.2", Level: "MUST", Clause: "An ECE is answered like a loss: the window is reduced, at most once in a window of data."},
	{ID: "rfc3168/6.1.2-cwr", RFC: 3168, Section: "6.1.2", Level: "MUST", Clause: "The first new data after the reduction carry CWR."},
	{ID: "rfc3168/6.1.2-one-segment", RFC: 3168, Section: "6.1.2", Level: "MUST", Clause: "With a window of one segment an ECE resets the retransmission timer, and the next packet waits for it.", Unseen: "a window of one segment comes of a timeout alone, and the ACKs that end that state answer for what was sent before it; package tcp has the test"},
	{ID: "rfc3168/6.1.3-echo", RFC: 3168, Section: "6.1.3", Level: "MUST", Clause: "After a CE every ACK carries ECE until CWR comes."},
	{ID: "rfc3168/6.1.3-cwr-ce", RFC: 3168, Section: "6.1.3", Level: "MUST", Clause: "CWR ends the echo, but a CE on the same segment or after it begins it anew."},
	{ID: "rfc3168/6.1.4-ack", RFC: 3168, Section: "6.1.4", Level: "MUST NOT", Clause: "Pure ACKs are not ECT."},
	{ID: "rfc3168/6.1.5-retransmission", RFC: 3168, Section: "6.1.5", Level: "MUST NOT", Clause: "Retransmissions are not ECT."},
	{ID: "rfc3168/6.1.5-window", RFC: 3168, Section: "6.1.5", Level: "SHOULD", Clause: "A CE on a segment outside the window is ignored."},
	{ID: "rfc3168/6.1.6-probe", RFC: 3168, Section: "6.1.6", Level: "MUST NOT", Clause: "Window probes are not ECT."},
	{ID: "rfc3522/3.2-eifel", RFC: 3522, Section: "3.2", Level: "MAY", Clause: "A timestamp echoed from before a retransmission shows that it was spurious, and what was done is undone."},
	{ID: "rfc5461/4-syn", RFC: 5461, Section: "4.1", Level: "SHOULD", Clause: "A hard ICMP error that quotes a SYN fails the dial.", Proof: []string{"rfc5461/hard-syn-sent"}},
	{ID: "rfc5681/2-duplicate", RFC: 5681, Section: "2", Level: "MUST", Clause: "What is a duplicate ACK follows the five-part definition.", Proof: []string{"rfc5681/2-not-duplicate"}},
	{ID: "rfc5681/3.1-bound", RFC: 5681, Section: "3.1", Level: "MUST NOT", Clause: "Never more than the lesser of cwnd and rwnd is in flight."},
	{ID: "rfc5681/3.1-iw", RFC: 5681, Section: "3.1", Level: "MUST", Clause: "The initial window is bounded: ten segments by RFC 6928.", Proof: []string{"rfc9293/MUST-19"}},
	{ID: "rfc5681/3.1-iw-syn-lost", RFC: 5681, Section: "3.1", Level: "MUST", Clause: "If the SYN or the SYN-ACK was lost the initial window is one segment."},
	{ID: "rfc5681/3.1-slow-start", RFC: 5681, Section: "3.1", Level: "MUST", Clause: "In slow start an ACK adds at most one segment, or what it newly acknowledges.", Proof: []string{"rfc9293/MUST-19", "rfc5681/ack-division"}},
	{ID: "rfc5681/3.1-avoidance", RFC: 5681, Section: "3.1", Level: "MUST", Clause: "In congestion avoidance the window grows by at most one segment a round trip."},
	{ID: "rfc5681/3.1-ssthresh", RFC: 5681, Section: "3.1", Level: "MUST", Clause: "After a timeout ssthresh is half of what was in flight, two segments at least."},
	{ID: "rfc5681/3.1-ssthresh-once", RFC: 5681, Section: "3.1", Level: "MUST", Clause: "A segment that times out again does not lower ssthresh again."},
	{ID: "rfc5681/3.1-loss-window", RFC: 5681, Section: "3.1", Level: "MUST", Clause: "After a timeout the window is one segment.", Proof: []string{"mirage/rto-one-segment"}},
	{ID: "rfc5681/3.2-fast", RFC: 5681, Section: "3.2", Level: "SHOULD", Clause: "The third duplicate ACK brings the retransmission.", Proof: []string{"rfc5681/3.2-fast-retransmit"}},
	{ID: "rfc5681/3.2-halve", RFC: 5681, Section: "3.2", Level: "MUST", Clause: "A loss reduces the window.", Proof: []string{"rfc5681/3.1-halve"}},
	{ID: "rfc5681/4.1-restart", RFC: 5681, Section: "4.1", Level: "SHOULD", Clause: "After an idle time of more than the RTO the window is not larger than the initial one.", Proof: []string{"mirage/idle-restart"}},
	{ID: "rfc5681/4.2-delayed", RFC: 5681, Section: "4.2", Level: "MUST", Clause: "An ACK is delayed by less than half a second.", Proof: []string{"rfc9293/MUST-40"}},
	{ID: "rfc5681/4.2-out-of-order", RFC: 5681, Section: "4.2", Level: "SHOULD", Clause: "A segment out of order, or one that fills a gap, is acknowledged at once."},
	{ID: "rfc5681/4.2-one-ack", RFC: 5681, Section: "4.2", Level: "MUST NOT", Clause: "No more than one ACK for each segment, but for window updates."},
	{ID: "rfc5682/3.1-frto", RFC: 5682, Section: "3.1", Level: "MAY", Clause: "After a timeout two ACKs of what was not sent again show that it was spurious."},
	{ID: "rfc5927/5.2-soft", RFC: 5927, Section: "5.2", Level: "SHOULD", Clause: "ICMP errors are soft once the connection is synchronised.", Proof: []string{"rfc5927/hard-synchronised"}},
	{ID: "rfc5927/4.1-seq", RFC: 5927, Section: "4.1", Level: "SHOULD", Clause: "An ICMP error counts only if it quotes a sequence number in flight.", Proof: []string{"rfc5927/ptb-checked", "icmp/wrong-connection"}},
	{ID: "rfc5961/3.2-outside", RFC: 5961, Section: "3.2", Level: "MUST", Clause: "A RST outside the window is dropped silently.", Proof: []string{"rfc5961/3-rst-outside"}},
	{ID: "rfc5961/3.2-exact", RFC: 5961, Section: "3.2", Level: "MUST", Clause: "A RST whose sequence number is what is expected next resets."},
	{ID: "rfc5961/3.2-in-window", RFC: 5961, Section: "3.2", Level: "MUST", Clause: "A RST elsewhere in the window gets a challenge ACK and does not reset.", Proof: []string{"rfc5961/3-rst-in-window"}},
	{ID: "rfc5961/4.2-syn", RFC: 5961, Section: "4.2", Level: "MUST", Clause: "A SYN in a synchronised state gets a challenge ACK, whatever its number.", Proof: []string{"rfc5961/4-syn"}},
	{ID: "rfc5961/5.2-range", RFC: 5961, Section: "5.2", Level: "MUST", Clause: "An ACK is acceptable from SND.UNA less the largest window to SND.NXT; others are answered and dropped.", Proof: []string{"rfc5961/5-ack-range", "rfc5961/5-old-ack", "rfc5961/5.2-edges"}},
	{ID: "rfc5961/7-limit", RFC: 5961, Section: "7", Level: "SHOULD", Clause: "Challenge ACKs are limited in rate."},
	{ID: "rfc5961/7-each", RFC: 5961, Section: "7", Level: "SHOULD", Clause: "The limit is no counter that connections share.", Proof: []string{"rfc5961/7-limit"}},
	{ID: "rfc6056/3-random", RFC: 6056, Section: "3.1", Level: "SHOULD", Clause: "Ephemeral ports are hard to guess.", Proof: []string{"rfc6056/ports"}},
	{ID: "rfc6191/2-reuse", RFC: 6191, Section: "2", Level: "SHOULD", Clause: "A SYN beyond the end of the old connection, or with a newer timestamp, may end TIME-WAIT.", Proof: []string{"rfc6191/reuse"}},
	{ID: "rfc6298/2.1-initial", RFC: 6298, Section: "2", Level: "SHOULD", Clause: "Without a measurement the RTO is a second.", Proof: []string{"rfc6298/2-initial"}},
	{ID: "rfc6298/2.2-first", RFC: 6298, Section: "2", Level: "MUST", Clause: "After the first measurement R the RTO is R + max(G, 4 R/2)."},
	{ID: "rfc6298/2.3-update", RFC: 6298, Section: "2", Level: "MUST", Clause: "Later measurements update RTTVAR, then SRTT, by a quarter and an eighth."},
	{ID: "rfc6298/2.4-floor", RFC: 6298, Section: "2", Level: "SHOULD", Clause: "There is a floor under the RTO (a second; what is declared here is 200 ms)."},
	{ID: "rfc6298/2.5-ceiling", RFC: 6298, Section: "2", Level: "MAY", Clause: "A ceiling of the RTO is a minute at least."},
	{ID: "rfc6298/3-karn", RFC: 6298, Section: "3", Level: "MUST", Clause: "Segments that were retransmitted give no sample, unless timestamps tell.", Proof: []string{"rfc9293/MUST-18", "rfc6298/3-timestamps"}},
	{ID: "rfc6298/4-restart", RFC: 6298, Section: "5.3", Level: "MUST", Clause: "An ACK of new data restarts the timer.", Proof: []string{"mirage/rto-restart"}},
	{ID: "rfc6298/5.1-start", RFC: 6298, Section: "5.1", Level: "MUST", Clause: "The timer runs whenever something is outstanding."},
	{ID: "rfc6298/5.2-stop", RFC: 6298, Section: "5.2", Level: "MUST", Clause: "When all is acknowledged the timer is off."},
	{ID: "rfc6298/5.4-earliest", RFC: 6298, Section: "5.4", Level: "MUST", Clause: "The earliest segment that is not acknowledged is retransmitted."},
	{ID: "rfc6298/5.5-backoff", RFC: 6298, Section: "5.5", Level: "MUST", Clause: "A timeout doubles the RTO.", Proof: []string{"mirage/rto-backoff"}},
	{ID: "rfc6298/5.7-syn", RFC: 6298, Section: "5.7", Level: "MUST", Clause: "If the timer expired for a SYN, and the RTO is below three seconds, it is three seconds when data begin.", Proof: []string{"rfc6298/5.7-syn-lost"}},
	{ID: "rfc6528/3-clock", RFC: 6528, Section: "3", Level: "MUST", Clause: "The ISN grows with a clock of four microseconds.", Proof: []string{"rfc9293/MUST-8"}},
	{ID: "rfc6528/3-tuple", RFC: 6528, Section: "3", Level: "MUST", Clause: "It depends on each part of the connection's addresses and ports."},
	{ID: "rfc6528/3-secret", RFC: 6528, Section: "3", Level: "MUST NOT", Clause: "It cannot be computed without the secret.", Proof: []string{"rfc9293/MUST-9"}},
	{ID: "rfc6582/3.2-partial", RFC: 6582, Section: "3.2", Level: "MUST", Clause: "Without SACK, a partial ACK in recovery retransmits the next segment missing.", Proof: []string{"rfc6582/partial-ack"}},
	{ID: "rfc6582/3.2-full", RFC: 6582, Section: "3.2", Level: "MUST", Clause: "An ACK of all that was outstanding ends the recovery."},
	{ID: "rfc6582/3.2-once", RFC: 6582, Section: "3.2", Level: "MUST NOT", Clause: "Duplicate ACKs of what was sent before the recovery's end, or caused by the retransmissions of a timeout, start no second one."},
	{ID: "rfc6675/5-one-cut", RFC: 6675, Section: "5", Level: "MUST", Clause: "One recovery, and one reduction, for the losses of a window."},
	{ID: "rfc6675/5-pipe", RFC: 6675, Section: "5", Level: "MUST", Clause: "In recovery no more is in flight than the reduced window."},
	{ID: "rfc6675/5-next", RFC: 6675, Section: "5", Level: "MUST", Clause: "Holes are filled before new data are sent, each once.", Proof: []string{"rfc6675/5-holes-only", "rfc6675/5-order"}},
	{ID: "rfc6675/5.1-after-timeout", RFC: 6675, Section: "5.1", Level: "MUST NOT", Clause: "After a timeout no recovery begins before the recovery point is acknowledged."},
	{ID: "rfc6928/2-iw10", RFC: 6928, Section: "2", Level: "MAY", Clause: "An initial window of ten segments.", Proof: []string{"rfc5681/3.1-iw"}},
	{ID: "rfc7323/2.2-syn-only", RFC: 7323, Section: "2.2", Level: "MUST", Clause: "Window scale stands on SYNs only, in a SYN-ACK only if the SYN had it, and is used only if both had it.", Proof: []string{"rfc7323/2.2-scale"}},
	{ID: "rfc7323/2.2-later", RFC: 7323, Section: "2.2", Level: "MUST", Clause: "A window scale option elsewhere is ignored.", Proof: []string{"rfc7323/2.2-scale-later"}},
	{ID: "rfc7323/2.2-unscaled", RFC: 7323, Section: "2.2", Level: "MUST NOT", Clause: "The window of a SYN or SYN-ACK is not scaled.", Proof: []string{"mirage/syn-window-unscaled"}},
	{ID: "rfc7323/2.3-fourteen", RFC: 7323, Section: "2.3", Level: "MUST", Clause: "A shift above 14 counts as 14.", Proof: []string{"mirage/option-wscale-15"}},
	{ID: "rfc7323/2.4-retraction", RFC: 7323, Section: "2.4", Level: "MUST", Clause: "A sender bears the retraction of a window that comes of the rounding."},
	{ID: "rfc7323/3.2-every", RFC: 7323, Section: "3.2", Level: "MUST", Clause: "Once negotiated, timestamps stand on every segment but a RST.", Proof: []string{"rfc7323/3.2-every-segment"}},
	{ID: "rfc7323/3.2-rst", RFC: 7323, Section: "3.2", Level: "SHOULD", Clause: "And on a RST."},
	{ID: "rfc7323/3.2-missing", RFC: 7323, Section: "3.2", Level: "SHOULD", Clause: "Segments that lack them are dropped, and the connection lives on."},
	{ID: "rfc7323/3.2-tsecr", RFC: 7323, Section: "3.2", Level: "MUST", Clause: "TSecr is zero where the ACK bit is off.", Proof: []string{"rfc7323/3.2-every-segment"}},
	{ID: "rfc7323/4.1-rttm", RFC: 7323, Section: "4.1", Level: "MUST", Clause: "Only an ACK that moves SND.UNA gives a sample."},
	{ID: "rfc7323/4.3-recent", RFC: 7323, Section: "4.3", Level: "MUST", Clause: "What is echoed comes from a segment that covers the last ACK sent."},
	{ID: "rfc7323/5.3-paws", RFC: 7323, Section: "5.3", Level: "MUST", Clause: "A segment with an old timestamp is answered and dropped."},
	{ID: "rfc7323/5.3-rst", RFC: 7323, Section: "5.3", Level: "MUST NOT", Clause: "But not a RST.", Proof: []string{"rfc7323/5.3-paws"}},
	{ID: "rfc7323/5.3-order", RFC: 7323, Section: "5.3", Level: "MUST", Clause: "That check comes first: what fails it updates nothing.", Proof: []string{"rfc7323/5.3-poison"}},
	{ID: "rfc7323/5.4-clock", RFC: 7323, Section: "5.4", Level: "MUST", Clause: "The timestamp clock does not go back, and ticks once in 1 ms to 1 s."},
	{ID: "rfc7323/5.4-offset", RFC: 7323, Section: "5.4", Level: "SHOULD", Clause: "It has an offset of its own for each connection.", Proof: []string{"rfc7323/offset"}},
	{ID: "rfc7323/5.5-idle", RFC: 7323, Section: "5.5", Level: "SHOULD", Clause: "After 24 days of idleness the old timestamp means nothing."},
	{ID: "rfc8200/4-headers", RFC: 8200, Section: "4", Level: "MUST", Clause: "Extension headers before TCP are stepped over.", Proof: []string{"ipv6/extension-headers"}},
	{ID: "rfc8200/4.5-overlap", RFC: 8200, Section: "4.5", Level: "MUST", Clause: "A datagram with overlapping fragments is dropped.", Proof: []string{"ip/fragments"}},
	{ID: "rfc8201/4-floor", RFC: 8201, Section: "4", Level: "MUST NOT", Clause: "Packets are not made smaller than 1280 bytes by a packet-too-big."},
	{ID: "rfc8201/4-raise", RFC: 8201, Section: "4", Level: "MUST NOT", Clause: "A packet-too-big never raises the estimate."},
	{ID: "rfc8201/4-no-increase", RFC: 8201, Section: "4", Level: "MUST NOT", Clause: "The estimate is not raised within five minutes of a packet-too-big."},
	{ID: "rfc8985/6.2-window", RFC: 8985, Section: "6.2", Level: "MUST", Clause: "A segment is lost when one sent later by more than the reordering window has been delivered."},
	{ID: "rfc8985/6.2-reorder", RFC: 8985, Section: "6.2", Level: "SHOULD", Clause: "Where reordering has been seen, a segment late by less than the reordering window is not retransmitted."},
	{ID: "rfc8985/6.2-timer", RFC: 8985, Section: "6.2", Level: "MUST", Clause: "What may yet be within the window is looked at again when that has passed."},
	{ID: "rfc8985/6.2-dsack", RFC: 8985, Section: "6.2", Level: "SHOULD", Clause: "Reports of duplicates widen the reordering window."},
	{ID: "rfc8985/6.2-retransmission", RFC: 8985, Section: "6.2", Level: "SHOULD", Clause: "A retransmission that is lost is found lost, and sent again without a timeout."},
	{ID: "rfc8985/6.2-karn", RFC: 8985, Section: "6.2", Level: "MUST", Clause: "The ACK of an original is not taken for that of its retransmission."},
	{ID: "rfc8985/7.2-pto", RFC: 8985, Section: "7.2", Level: "SHOULD", Clause: "After two round trips without an ACK a probe is sent, not later than the RTO."},
	{ID: "rfc8985/7.3-new", RFC: 8985, Section: "7.3", Level: "MUST", Clause: "The probe carries new data if there are some and the window allows it."},
	{ID: "rfc8985/7.3-last", RFC: 8985, Section: "7.3", Level: "MUST", Clause: "Otherwise it is the last segment again."},
	{ID: "rfc8985/7.3-one", RFC: 8985, Section: "7.3", Level: "MUST", Clause: "There is one probe out at most."},
	{ID: "rfc8985/7.3-tail", RFC: 8985, Section: "7.3", Level: "SHOULD", Clause: "A lost tail is repaired without a timeout."},
	{ID: "rfc8985/7.4-loss", RFC: 8985, Section: "7.4", Level: "MUST", Clause: "A probe that repaired a loss is answered as congestion."},
	{ID: "rfc8985/7.4-no-loss", RFC: 8985, Section: "7.4", Level: "MUST NOT", Clause: "A probe that repaired nothing is not."},
	{ID: "rfc9438/4.2-growth", RFC: 9438, Section: "4.2", Level: "MUST", Clause: "The window grows no faster than the cubic function, within one and a half times in a round trip."},
	{ID: "rfc9438/4.3-reno", RFC: 9438, Section: "4.3", Level: "MUST", Clause: "And no slower than Reno would, where that is faster."},
	{ID: "rfc9438/4.6-beta", RFC: 9438, Section: "4.6", Level: "SHOULD", Clause: "A loss multiplies the window by 0.7."},
	{ID: "rfc9438/4.8-timeout", RFC: 9438, Section: "4.8", Level: "MUST", Clause: "After a timeout the window is one segment, and ssthresh 0.7 of what was in flight."},
	{ID: "rfc9937/6.2-proportional", RFC: 9937, Section: "6.2", Level: "MUST", Clause: "In recovery no more is sent than in proportion to what is delivered."},
	{ID: "rfc9937/6.2-bounded", RFC: 9937, Section: "6.2", Level: "MUST", Clause: "Below the target an ACK sends what it delivers, and at most one segment more."},
	{ID: "rfc9937/6.2-first", RFC: 9937, Section: "6.2", Level: "MUST", Clause: "The first retransmission goes out at once."},
	{ID: "rfc9937/6.2-end", RFC: 9937, Section: "6.2", Level: "MUST", Clause: "Recovery ends with the window that the controller has chosen, without a burst."},
}

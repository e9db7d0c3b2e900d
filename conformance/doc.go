// Package conformance judges TCP stacks: any implementation of [api.Stack], ours
// or not, against the contract and against the RFCs.
//
// A [Case] is one promise put to the test. There are two levels. Contract cases
// join two stacks by a network under the suite's control, or take two stacks
// of the same host, and look at what callers see. Wire cases put one stack
// opposite a peer that speaks in raw segments, built and decoded by gopacket,
// and look at the packets. Both run in virtual time where the target allows
// it, so that hours take milliseconds and every run repeats exactly.
//
// A case states predicates rather than an exact sequence: options come in any
// order, extra pure acknowledgments and window updates are allowed, and an
// acknowledgment may be immediate or delayed where the RFC allows both.
// Beside its own predicates every case is watched by an oracle that checks
// each packet the stack sends (checksums, lengths, options, and that one
// sequence number never carries two different bytes).
//
// Nothing here imports a stack: a [Target] makes one.
package conformance

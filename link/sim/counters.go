package sim

import (
	"fmt"

	"github.com/sluicenet/sluice/api/clock"
)

// Counters tell what happened to the packets of one direction. Sent is the sum
// of Delivered, InFlight, Lost and the four kinds of drops, minus Duplicated.
type Counters struct {
	Sent      uint64 // given to Send
	Delivered uint64 // handed to the other end's recv, copies included
	InFlight  uint64 // queued or on the wire, copies included

	Lost       uint64
	Corrupted  uint64
	Reordered  uint64
	Duplicated uint64

	DropsQueue     uint64 // no room in the queue
	DropsFlight    uint64 // too much on the wire
	DropsMalformed uint64 // empty, longer than the MTU, or with an offload that the link does not have
	DropsReceiver  uint64 // the other end was closed or not attached, copies included

	QueueBytes    int64 // waiting now
	MaxQueueBytes int64 // the most that ever waited
}

// Dir is a direction of the link.
type Dir uint8

// The directions.
const (
	AtoB Dir = iota
	BtoA
)

// String returns "a>b" or "b>a".
func (d Dir) String() string {
	if d == BtoA {
		return "b>a"
	}
	return "a>b"
}

// Fate is what an Event tells of a packet.
type Fate uint8

// The fates. A packet is Sent, and then Delivered once or twice, or one of the
// others; a malformed one is nothing but that.
const (
	Sent Fate = iota
	Delivered
	Lost
	DropQueue
	DropFlight
	DropMalformed
	DropReceiver
)

var fateNames = [...]string{"sent", "delivered", "lost", "drop:queue", "drop:flight", "drop:malformed", "drop:receiver"}

// String returns a word for f.
func (f Fate) String() string {
	if int(f) < len(fateNames) {
		return fateNames[f]
	}
	return fmt.Sprintf("fate %d", uint8(f))
}

// An Event is something that happens to a packet.
type Event struct {
	Dir  Dir
	Time clock.Time
	Fate Fate
	Data []byte // the packet as it is then, valid during the call
}

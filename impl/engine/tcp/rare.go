package tcp

import (
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// rare is what most connections never need. One that does has its own from then on;
// all others of a Shared have one that is empty.
type rare struct {
	reason  error // why the connection ended; nil while open and if orderly
	softErr error

	// Urgent data (RFC 9293, section 3.8.5).
	sndUp    uint64 // their end, if beyond SND.UNA
	rcvUp    uint64
	hasRcvUp bool

	// The limit on answers to what should not have come (RFC 5961, section 7).
	challenged  bool
	challengeAt clock.Time

	// The RST to send, if rstDue.
	rstFlags wire.Flags
	rstSeq   uint32
	rstAck   uint32

	priorAcks []priorAck // to be sent before anything else

	seldom rareStats
}

// rareStats are the counters of Info of which most connections have none.
type rareStats struct {
	rexmits, bytesRexmit uint64
	timeouts, probes     uint32
	undone, spurious     uint32
	misruled             uint32 // answers of the controller that were out of bounds
	deliveredCE          uint32
}

// keepRare is called before something is put into c.rare.
func (c *Conn) keepRare() {
	if c.rare == &c.cfg.usual {
		c.rare = new(rare)
	}
}

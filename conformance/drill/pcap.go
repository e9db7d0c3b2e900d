package drill

import (
	"io"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// capture writes packets to a pcapng file; nil captures nothing.
type capture struct {
	w   *pcapgo.NgWriter
	err error
}

func newCapture(w io.Writer) *capture {
	if w == nil {
		return nil
	}
	c := &capture{}
	c.w, c.err = pcapgo.NewNgWriter(w, layers.LinkTypeRaw)
	return c
}

func (c *capture) add(at time.Time, raw []byte) {
	if c == nil || c.err != nil {
		return
	}
	c.err = c.w.WritePacket(gopacket.CaptureInfo{Timestamp: at, CaptureLength: len(raw), Length: len(raw)}, raw)
}

func (c *capture) close() error {
	if c == nil {
		return nil
	}
	if c.err == nil {
		c.err = c.w.Flush()
	}
	return c.err
}

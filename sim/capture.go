package sim

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
)

// A Capture writes packets as pcapng, which Wireshark reads. Nothing in the file
// depends on when, where or by what build it was written.
type Capture struct {
	net   *Network
	w     *bufio.Writer
	err   error
	faces map[*path]uint32 // interface of the path that leads out of the node
	count int
	buf   []byte
}

// NewCapture begins a file.
func (n *Network) NewCapture(w io.Writer) *Capture {
	c := &Capture{net: n, w: bufio.NewWriterSize(w, 64<<10), faces: make(map[*path]uint32)}
	var b []byte
	b = binary.LittleEndian.AppendUint32(b, 0x1a2b3c4d)
	b = binary.LittleEndian.AppendUint16(b, 1)
	b = binary.LittleEndian.AppendUint16(b, 0)
	b = binary.LittleEndian.AppendUint64(b, 1<<64-1) // length unknown
	b = appendOption(b, 4, []byte("sluice sim"))     // shb_userappl
	b = appendOption(b, 0, nil)
	c.block(0x0a0d0d0a, b)
	return c
}

// Add captures at an interface: where a link meets a node. Packets that leave the
// node are recorded before the link's queue, and packets from the link when they
// arrive.
func (c *Capture) Add(l *Link, at Node) error {
	out := l.ab
	switch at.base() {
	case l.a:
	case l.b:
		out = l.ba
	default:
		return fmt.Errorf("sim: link %s does not lead to %s", l.name, at.Name())
	}
	if _, ok := c.faces[out]; ok {
		return nil
	}
	var b []byte
	b = binary.LittleEndian.AppendUint16(b, 101) // LINKTYPE_RAW
	b = binary.LittleEndian.AppendUint16(b, 0)
	b = binary.LittleEndian.AppendUint32(b, 0)           // whole packets
	b = appendOption(b, 2, []byte(at.Name()+":"+l.name)) // if_name
	b = appendOption(b, 9, []byte{9})                    // if_tsresol: nanoseconds
	b = appendOption(b, 0, nil)
	c.block(1, b)
	v := at.base()
	c.faces[out] = uint32(len(c.faces))
	next := v.tap
	in := l.ab
	if out == l.ab {
		in = l.ba
	}
	v.tap = func(now Time, p *path, pkt *packet, leaving bool) {
		if next != nil {
			next(now, p, pkt, leaving)
		}
		if leaving && p == out || !leaving && p == in {
			c.record(now, c.faces[out], pkt, leaving)
		}
	}
	return nil
}

// record writes an enhanced packet block.
func (c *Capture) record(now Time, face uint32, pkt *packet, out bool) {
	if c.err != nil {
		return
	}
	b := c.buf[:0]
	b = binary.LittleEndian.AppendUint32(b, face)
	b = binary.LittleEndian.AppendUint32(b, uint32(uint64(now)>>32))
	b = binary.LittleEndian.AppendUint32(b, uint32(now))
	b = binary.LittleEndian.AppendUint32(b, uint32(pkt.size))
	b = binary.LittleEndian.AppendUint32(b, uint32(pkt.size))
	b = pkt.appendTo(b)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	flags := []byte{1, 0, 0, 0} // epb_flags: inbound
	if out {
		flags[0] = 2
	}
	b = appendOption(b, 2, flags)
	b = appendOption(b, 0, nil)
	c.buf = b
	c.block(6, b)
	c.count++
}

func (c *Capture) block(kind uint32, body []byte) {
	var head [8]byte
	binary.LittleEndian.PutUint32(head[:], kind)
	binary.LittleEndian.PutUint32(head[4:], uint32(len(body)+12))
	for _, b := range [][]byte{head[:], body, head[4:]} {
		if _, err := c.w.Write(b); err != nil && c.err == nil {
			c.err = err
		}
	}
}

func appendOption(b []byte, code uint16, value []byte) []byte {
	b = binary.LittleEndian.AppendUint16(b, code)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(value)))
	b = append(b, value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// Packets returns how many have been recorded.
func (c *Capture) Packets() int { return c.count }

// Flush writes out what has been recorded. The error is the first there was.
func (c *Capture) Flush() error {
	if err := c.w.Flush(); err != nil && c.err == nil {
		c.err = err
	}
	return c.err
}

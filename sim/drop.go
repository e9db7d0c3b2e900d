package sim

import (
	"fmt"
	"io"
)

// A Drop is a packet that was lost.
type Drop struct {
	Time   Time
	Link   string // "" if a node lost it
	Node   string // that was sending
	Reason DropReason
	Packet PacketInfo
}

// logDrop notes that a packet is lost.
func (n *Network) logDrop(now Time, l *Link, at *node, pkt *packet, r DropReason) {
	if len(n.drops) >= n.maxDrops && n.onDrop == nil {
		n.unlogged++
		return
	}
	d := Drop{Time: now, Node: at.name, Reason: r, Packet: pkt.info()}
	if l != nil {
		d.Link = l.name
	}
	if n.onDrop != nil {
		n.onDrop(d)
	}
	if len(n.drops) >= n.maxDrops {
		n.unlogged++
		return
	}
	n.drops = append(n.drops, d)
}

// Drops returns the log of lost packets, and how many more there were.
func (n *Network) Drops() (log []Drop, more uint64) { return n.drops, n.unlogged }

// OnDrop calls f for each packet that is lost from now on.
func (n *Network) OnDrop(f func(Drop)) { n.onDrop = f }

// WriteDrops writes the log of lost packets as CSV.
func (n *Network) WriteDrops(w io.Writer) error {
	if _, err := fmt.Fprintln(w, "time_s,link,node,reason,packet,from,to,src_port,dst_port,flags,seq,ack,payload_bytes,bytes"); err != nil {
		return err
	}
	for i := range n.drops {
		d := &n.drops[i]
		p := &d.Packet
		if _, err := fmt.Fprintf(w, "%s,%s,%s,%s,%d,%s,%s,%d,%d,%s,%d,%d,%d,%d\n", seconds(d.Time), d.Link, d.Node, d.Reason,
			p.Number, p.From, p.To, p.SrcPort, p.DstPort, p.Flags, p.Seq, p.Ack, p.Payload, p.Size); err != nil {
			return err
		}
	}
	return nil
}

// seconds prints an instant in seconds, exactly.
func seconds(t Time) string { return fmt.Sprintf("%d.%09d", t/1e9, t%1e9) }
